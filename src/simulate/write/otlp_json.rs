//! Traces as OTLP JSON, one message a line, as the Collector's file exporter writes them: `traces.jsonl.zst`.

use crate::simulate::observe::{ObservedSpans, trace_state};
use crate::simulate::recording::{Recording, Side, SpanRecord};
use crate::simulate::system::System;

use super::attributes::{self, Attributes, Value};
use super::batches::{Group, each_message};
use super::json::{push_decimal, push_hex, push_text, push_trace};
use super::shapes::Shape;
use super::{CaseFile, compressed};

/// All spans.
pub(super) fn write(system: &System, recording: &Recording, observed: &ObservedSpans) -> CaseFile {
    let mut prepared = Prepared::new(system, recording, observed.threshold);
    let mut line = Vec::new();
    let bytes = compressed(|out| {
        each_message(system, recording, &observed.spans, |shapes, groups| {
            for shape in &shapes.all[prepared.shapes.len()..] {
                prepared.shapes.push(ShapeBytes::new(shape, &prepared.trace_state));
            }
            line.clear();
            push_message(&mut line, &prepared, groups, |shape| shapes.all[shape].scope);
            out.write_all(&line)
        })
    });
    CaseFile { name: "traces.jsonl.zst".to_owned(), bytes }
}

/// Bytes that are the same in many spans.
struct Prepared {
    /// `{"resource":{…},"scopeSpans":[`, by instance.
    resources: Vec<Vec<u8>>,
    shapes: Vec<ShapeBytes>,
    /// `"traceState":"…",`, or nothing.
    trace_state: Vec<u8>,
}

impl Prepared {
    fn new(system: &System, recording: &Recording, threshold: Option<u64>) -> Self {
        let resource = |instance| {
            let mut out = b"{\"resource\":{".to_vec();
            push_attributes(&mut out, &attributes::of_resource(system, instance));
            out.extend_from_slice(b"},\"scopeSpans\":[");
            out
        };
        let mut state = Vec::new();
        if let Some(threshold) = threshold {
            state.extend_from_slice(b"\"traceState\":");
            push_text(&mut state, &trace_state(threshold));
            state.push(b',');
        }
        let resources = recording.instances.iter().map(resource).collect();
        Self { resources, shapes: Vec::new(), trace_state: state }
    }
}

/// What stands between the parts that each span has of its own.
struct ShapeBytes {
    /// From after the ids up to the start.
    before_start: Vec<u8>,
    /// From after the end up to the time of the exception; to the links where there is none.
    after_end: Vec<u8>,
    /// From after the time of the exception up to the links.
    after_exception: Option<Vec<u8>>,
    /// From after the links.
    status: Vec<u8>,
    side: Side,
}

impl ShapeBytes {
    fn new(shape: &Shape, trace_state: &[u8]) -> Self {
        let mut before_start = trace_state.to_vec();
        before_start.extend_from_slice(b"\"name\":");
        push_text(&mut before_start, &shape.name);
        before_start.extend_from_slice(b",\"kind\":");
        push_decimal(&mut before_start, super::span_kind(shape.side));
        before_start.extend_from_slice(b",\"startTimeUnixNano\":\"");
        let mut after_end = b"\",".to_vec();
        push_attributes(&mut after_end, &shape.attributes);
        let after_exception = shape.exception.as_ref().map(|(kind, message)| {
            after_end.extend_from_slice(b",\"events\":[{\"timeUnixNano\":\"");
            let mut out = b"\",\"name\":\"exception\",".to_vec();
            push_attributes(&mut out, &attributes::of_exception(kind, message));
            out.extend_from_slice(b"}]");
            out
        });
        let mut status = b",\"status\":{".to_vec();
        if shape.is_error {
            if let Some((_, message)) = &shape.exception {
                status.extend_from_slice(b"\"message\":");
                push_text(&mut status, message);
                status.push(b',');
            }
            status.extend_from_slice(b"\"code\":2");
        }
        status.extend_from_slice(b"},\"flags\":");
        Self { before_start, after_end, after_exception, status, side: shape.side }
    }
}

fn push_message(out: &mut Vec<u8>, prepared: &Prepared, groups: &[Group<'_>], scope: impl Fn(usize) -> &'static str) {
    out.extend_from_slice(b"{\"resourceSpans\":[");
    let mut open = None;
    for group in groups {
        let Some((first, shape)) = group.first() else { continue };
        if open == Some(first.instance) {
            out.push(b',');
        } else {
            if open.is_some() {
                out.extend_from_slice(b"]},");
            }
            out.extend_from_slice(&prepared.resources[first.instance as usize]);
            open = Some(first.instance);
        }
        out.extend_from_slice(b"{\"scope\":{\"name\":");
        push_text(out, scope(*shape));
        out.extend_from_slice(b"},\"spans\":[");
        for (nth, (span, shape)) in group.iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            push_span(out, span, &prepared.shapes[*shape]);
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}]}\n");
}

fn push_span(out: &mut Vec<u8>, span: &SpanRecord, shape: &ShapeBytes) {
    out.extend_from_slice(b"{\"traceId\":\"");
    push_trace(out, span.trace);
    out.extend_from_slice(b"\",\"spanId\":\"");
    push_hex(out, span.span);
    out.extend_from_slice(b"\",\"parentSpanId\":\"");
    if span.parent != 0 {
        push_hex(out, span.parent);
    }
    out.extend_from_slice(b"\",");
    out.extend_from_slice(&shape.before_start);
    push_decimal(out, span.start_ns.unsigned_abs());
    out.extend_from_slice(b"\",\"endTimeUnixNano\":\"");
    push_decimal(out, span.end_ns.unsigned_abs());
    out.extend_from_slice(&shape.after_end);
    if let Some(after_exception) = &shape.after_exception {
        push_decimal(out, span.end_ns.unsigned_abs());
        out.extend_from_slice(after_exception);
    }
    if span.link.1 != 0 {
        out.extend_from_slice(b",\"links\":[{\"traceId\":\"");
        push_trace(out, span.link.0);
        out.extend_from_slice(b"\",\"spanId\":\"");
        push_hex(out, span.link.1);
        out.extend_from_slice(b"\"}]");
    }
    out.extend_from_slice(&shape.status);
    push_decimal(out, super::flags(shape.side, span.parent).into());
    out.push(b'}');
}

fn push_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    out.extend_from_slice(b"\"attributes\":[");
    for (nth, attribute) in attributes.0.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"key\":");
        push_text(out, attribute.name);
        match &attribute.value {
            Value::Text(text) => {
                out.extend_from_slice(b",\"value\":{\"stringValue\":");
                push_text(out, text);
            }
            // 64-bit integers are texts in the JSON of protobuf.
            Value::Integer(number) => {
                out.extend_from_slice(b",\"value\":{\"intValue\":");
                push_text(out, &number.to_string());
            }
        }
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
}
