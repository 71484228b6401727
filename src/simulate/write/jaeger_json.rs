//! Traces as Jaeger's JSON, trace by trace, with the tags into which Jaeger translates OTLP: `traces.json.zst`.
//!
//! Source of the translation: OpenTelemetry specification, "OpenTelemetry to Jaeger Transformation". Times are whole
//! microseconds, rounded down, as Jaeger's JSON has them.

use rustc_hash::FxHashMap;

use crate::simulate::observe::{ObservedSpans, trace_state};
use crate::simulate::recording::{Recording, Side, SpanRecord};
use crate::simulate::system::System;

use super::attributes::{self, Attribute, Value};
use super::json::{push_decimal, push_hex, push_text, push_trace};
use super::shapes::{Shape, Shapes};
use super::{CaseFile, compressed};

/// All spans, traces in order of their first ended span.
pub(super) fn write(system: &System, recording: &Recording, observed: &ObservedSpans) -> CaseFile {
    let mut by_trace: FxHashMap<u128, u32> = FxHashMap::default();
    let mut order: Vec<(u32, u32)> = Vec::with_capacity(observed.spans.len());
    for (nth, span) in (0..).zip(&observed.spans) {
        let next = by_trace.len() as u32;
        order.push((*by_trace.entry(span.trace).or_insert(next), nth));
    }
    order.sort_unstable();
    let state = observed.threshold.map(trace_state);
    let mut shapes = Shapes::new(system, recording);
    let mut tags: Vec<ShapeBytes> = Vec::new();
    let processes: Vec<Vec<u8>> = recording.instances.iter().map(|instance| process(system, instance)).collect();
    let mut text = Vec::new();
    let bytes = compressed(|out| {
        out.write_all(b"{\"data\":[")?;
        for trace in order.chunk_by(|a, b| a.0 == b.0) {
            text.clear();
            // Jaeger numbers the processes of each trace.
            let mut numbers: Vec<u32> = Vec::new();
            for (nth, (_, span)) in trace.iter().enumerate() {
                let span = &observed.spans[*span as usize];
                if nth == 0 {
                    let separator: &[u8] = if trace[0].0 == 0 { b"\n" } else { b",\n" };
                    text.extend_from_slice(separator);
                    text.extend_from_slice(b"{\"traceID\":\"");
                    push_trace(&mut text, span.trace);
                    text.extend_from_slice(b"\",\"spans\":[");
                } else {
                    text.push(b',');
                }
                let shape = shapes.of(span);
                tags.extend(shapes.all[tags.len()..].iter().map(|shape| ShapeBytes::new(shape, state.as_deref())));
                let known = numbers.iter().position(|instance| *instance == span.instance);
                let process = known.unwrap_or(numbers.len());
                if known.is_none() {
                    numbers.push(span.instance);
                }
                push_span(&mut text, span, &tags[shape], process as u64 + 1);
            }
            text.extend_from_slice(b"],\"processes\":{");
            for (number, instance) in (1..).zip(&numbers) {
                text.extend_from_slice(if number == 1 { b"\"p" } else { b",\"p" });
                push_decimal(&mut text, number);
                text.extend_from_slice(b"\":");
                text.extend_from_slice(&processes[*instance as usize]);
            }
            text.extend_from_slice(b"},\"warnings\":null}");
            out.write_all(&text)?;
        }
        out.write_all(b"\n],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}\n")
    });
    CaseFile { name: "traces.json.zst".to_owned(), bytes }
}

/// Bytes that are the same in all spans of a shape.
struct ShapeBytes {
    /// `"operationName":…,"references":[`.
    before_references: Vec<u8>,
    /// `"tags":[…],"logs":[`, and within it what stands before the time of an exception.
    tags: Vec<u8>,
    /// What follows that time.
    exception: Option<Vec<u8>>,
}

impl ShapeBytes {
    fn new(shape: &Shape, trace_state: Option<&str>) -> Self {
        let mut before_references = b"\"flags\":1,\"operationName\":".to_vec();
        push_text(&mut before_references, &shape.name);
        before_references.extend_from_slice(b",\"references\":[");
        let kind = match shape.side {
            Side::Server => "server",
            Side::Client => "client",
            Side::Producer => "producer",
            Side::Consumer => "consumer",
        };
        let text = |name, value: &str| Attribute { name, value: Value::Text(value.to_owned()) };
        let mut all = vec![text("otel.scope.name", shape.scope), text("span.kind", kind)];
        all.extend(shape.attributes.0.iter().cloned());
        if shape.is_error {
            all.push(text("otel.status_code", "ERROR"));
        }
        if let Some((_, message)) = &shape.exception {
            all.push(text("otel.status_description", message));
        }
        all.extend(trace_state.map(|state| text("w3c.tracestate", state)));
        let mut tags = b"\"tags\":[".to_vec();
        push_tags(&mut tags, &all);
        if shape.is_error {
            tags.extend_from_slice(b",{\"key\":\"error\",\"type\":\"bool\",\"value\":true}");
        }
        tags.extend_from_slice(b"],\"logs\":[");
        let exception = shape.exception.as_ref().map(|(kind, message)| {
            tags.extend_from_slice(b"{\"timestamp\":");
            let mut fields = vec![text("event", "exception")];
            fields.extend(attributes::of_exception(kind, message).0);
            let mut out = b",\"fields\":[".to_vec();
            push_tags(&mut out, &fields);
            out.extend_from_slice(b"]}");
            out
        });
        Self { before_references, tags, exception }
    }
}

fn process(system: &System, instance: &crate::simulate::recording::Instance) -> Vec<u8> {
    let mut out = b"{\"serviceName\":".to_vec();
    push_text(&mut out, &system.services[instance.service].name);
    out.extend_from_slice(b",\"tags\":[");
    let mut all = attributes::of_resource(system, instance).0;
    all.retain(|attribute| attribute.name != "service.name");
    push_tags(&mut out, &all);
    out.extend_from_slice(b"]}");
    out
}

fn push_span(out: &mut Vec<u8>, span: &SpanRecord, shape: &ShapeBytes, process: u64) {
    out.extend_from_slice(b"{\"traceID\":\"");
    push_trace(out, span.trace);
    out.extend_from_slice(b"\",\"spanID\":\"");
    push_hex(out, span.span);
    out.extend_from_slice(b"\",");
    out.extend_from_slice(&shape.before_references);
    if span.parent != 0 {
        push_reference(out, b"CHILD_OF", (span.trace, span.parent));
    }
    if span.link.1 != 0 {
        if span.parent != 0 {
            out.push(b',');
        }
        push_reference(out, b"FOLLOWS_FROM", span.link);
    }
    out.extend_from_slice(b"],\"startTime\":");
    push_decimal(out, span.start_ns.unsigned_abs() / 1000);
    out.extend_from_slice(b",\"duration\":");
    push_decimal(out, (span.end_ns - span.start_ns).unsigned_abs() / 1000);
    out.push(b',');
    out.extend_from_slice(&shape.tags);
    if let Some(exception) = &shape.exception {
        push_decimal(out, span.end_ns.unsigned_abs() / 1000);
        out.extend_from_slice(exception);
    }
    out.extend_from_slice(b"],\"processID\":\"p");
    push_decimal(out, process);
    out.extend_from_slice(b"\",\"warnings\":null}");
}

fn push_reference(out: &mut Vec<u8>, kind: &[u8], (trace, span): (u128, u64)) {
    out.extend_from_slice(b"{\"refType\":\"");
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\",\"traceID\":\"");
    push_trace(out, trace);
    out.extend_from_slice(b"\",\"spanID\":\"");
    push_hex(out, span);
    out.extend_from_slice(b"\"}");
}

fn push_tags(out: &mut Vec<u8>, tags: &[Attribute]) {
    for (nth, tag) in tags.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"key\":");
        push_text(out, tag.name);
        match &tag.value {
            Value::Text(text) => {
                out.extend_from_slice(b",\"type\":\"string\",\"value\":");
                push_text(out, text);
            }
            Value::Integer(number) => {
                out.extend_from_slice(b",\"type\":\"int64\",\"value\":");
                out.extend_from_slice(number.to_string().as_bytes());
            }
        }
        out.push(b'}');
    }
}
