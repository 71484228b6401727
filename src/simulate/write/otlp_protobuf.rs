//! Traces as OTLP in protobuf, each message with four bytes of length before it, most significant first, as the
//! Collector's file exporter writes them: `traces.pb.zst`.
//!
//! Numbers of fields: `opentelemetry/proto/trace/v1/trace.proto`, `…/common/v1/common.proto` (1.8).

use crate::simulate::observe::{ObservedSpans, trace_state};
use crate::simulate::recording::{Recording, Side, SpanRecord};
use crate::simulate::system::System;

use super::attributes::{self, Attributes, Value};
use super::batches::{Group, each_message};
use super::protobuf::{push_bytes, push_fixed32, push_fixed64, push_length, push_number};
use super::shapes::Shape;
use super::{CaseFile, compressed};

/// All spans.
pub(super) fn write(system: &System, recording: &Recording, observed: &ObservedSpans) -> CaseFile {
    let resource = |instance| {
        let mut resource = Vec::new();
        push_attributes(&mut resource, 1, &attributes::of_resource(system, instance));
        resource
    };
    let resources: Vec<Vec<u8>> = recording.instances.iter().map(resource).collect();
    let state = observed.threshold.map(trace_state);
    let mut shapes_bytes: Vec<ShapeBytes> = Vec::new();
    let mut message = Message::default();
    let bytes = compressed(|out| {
        each_message(system, recording, &observed.spans, |shapes, groups| {
            for shape in &shapes.all[shapes_bytes.len()..] {
                shapes_bytes.push(ShapeBytes::new(shape, state.as_deref()));
            }
            message.fill(&resources, &shapes_bytes, groups);
            let length = u32::try_from(message.bytes.len()).expect("a thousand spans are some hundred kilobytes");
            out.write_all(&length.to_be_bytes())?;
            out.write_all(&message.bytes)
        })
    });
    CaseFile { name: "traces.pb.zst".to_owned(), bytes }
}

/// Bytes that are the same in all spans of a shape, in the order in which a span has them.
struct ShapeBytes {
    side: Side,
    /// Field 3.
    trace_state: Vec<u8>,
    /// Fields 5 and 6: name and kind.
    name: Vec<u8>,
    /// Field 9.
    attributes: Vec<u8>,
    /// What follows the time within field 11, the exception.
    exception: Option<Vec<u8>>,
    /// Field 15.
    status: Vec<u8>,
    /// Field 1 of the scope.
    scope: Vec<u8>,
}

impl ShapeBytes {
    fn new(shape: &Shape, trace_state: Option<&str>) -> Self {
        let mut bytes = Self {
            side: shape.side,
            trace_state: Vec::new(),
            name: Vec::new(),
            attributes: Vec::new(),
            exception: None,
            status: Vec::new(),
            scope: Vec::new(),
        };
        if let Some(state) = trace_state {
            push_bytes(&mut bytes.trace_state, 3, state.as_bytes());
        }
        push_bytes(&mut bytes.name, 5, shape.name.as_bytes());
        push_number(&mut bytes.name, 6, super::span_kind(shape.side));
        push_attributes(&mut bytes.attributes, 9, &shape.attributes);
        let mut status = Vec::new();
        if let Some((kind, message)) = &shape.exception {
            let mut exception = Vec::new();
            push_bytes(&mut exception, 2, b"exception");
            push_attributes(&mut exception, 3, &attributes::of_exception(kind, message));
            bytes.exception = Some(exception);
            push_bytes(&mut status, 2, message.as_bytes());
        }
        if shape.is_error {
            push_number(&mut status, 3, 2);
        }
        push_bytes(&mut bytes.status, 15, &status);
        push_bytes(&mut bytes.scope, 1, shape.scope.as_bytes());
        bytes
    }
}

/// An ExportTraceServiceRequest, and room for its parts, whose lengths stand before them.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
    resource_spans: Vec<u8>,
    scope_spans: Vec<u8>,
    span: Vec<u8>,
}

impl Message {
    fn fill(&mut self, resources: &[Vec<u8>], shapes: &[ShapeBytes], groups: &[Group<'_>]) {
        self.bytes.clear();
        for resource in groups.chunk_by(|a, b| instance_of(a) == instance_of(b)) {
            let Some(instance) = resource.first().and_then(|group| instance_of(group)) else { continue };
            self.resource_spans.clear();
            push_bytes(&mut self.resource_spans, 1, &resources[instance as usize]);
            for group in resource {
                self.scope_spans.clear();
                for (nth, (span, shape)) in group.iter().enumerate() {
                    let shape = &shapes[*shape];
                    if nth == 0 {
                        push_bytes(&mut self.scope_spans, 1, &shape.scope);
                    }
                    self.span.clear();
                    push_span(&mut self.span, span, shape);
                    push_bytes(&mut self.scope_spans, 2, &self.span);
                }
                push_bytes(&mut self.resource_spans, 2, &self.scope_spans);
            }
            push_bytes(&mut self.bytes, 1, &self.resource_spans);
        }
    }
}

fn instance_of(group: Group<'_>) -> Option<u32> {
    group.first().map(|(span, _)| span.instance)
}

fn push_span(out: &mut Vec<u8>, span: &SpanRecord, shape: &ShapeBytes) {
    push_bytes(out, 1, &span.trace.to_be_bytes());
    push_bytes(out, 2, &span.span.to_be_bytes());
    out.extend_from_slice(&shape.trace_state);
    if span.parent != 0 {
        push_bytes(out, 4, &span.parent.to_be_bytes());
    }
    out.extend_from_slice(&shape.name);
    push_fixed64(out, 7, span.start_ns.unsigned_abs());
    push_fixed64(out, 8, span.end_ns.unsigned_abs());
    out.extend_from_slice(&shape.attributes);
    if let Some(exception) = &shape.exception {
        /// A tag and eight bytes.
        const TIME_BYTES: usize = 9;
        push_length(out, 11, TIME_BYTES + exception.len());
        push_fixed64(out, 1, span.end_ns.unsigned_abs());
        out.extend_from_slice(exception);
    }
    if span.link.1 != 0 {
        /// Ids of 16 and 8 bytes, each behind a tag and a length.
        const LINK_BYTES: usize = 28;
        push_length(out, 13, LINK_BYTES);
        push_bytes(out, 1, &span.link.0.to_be_bytes());
        push_bytes(out, 2, &span.link.1.to_be_bytes());
    }
    out.extend_from_slice(&shape.status);
    push_fixed32(out, 16, super::flags(shape.side, span.parent));
}

fn push_attributes(out: &mut Vec<u8>, field: u32, attributes: &Attributes) {
    for attribute in &attributes.0 {
        let (mut value, mut pair) = (Vec::new(), Vec::new());
        match &attribute.value {
            Value::Text(text) => push_bytes(&mut value, 1, text.as_bytes()),
            Value::Integer(number) => push_number(&mut value, 3, *number as u64),
        }
        push_bytes(&mut pair, 1, attribute.name.as_bytes());
        push_bytes(&mut pair, 2, &value);
        push_bytes(out, field, &pair);
    }
}
