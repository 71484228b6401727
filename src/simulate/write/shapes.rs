//! Kinds of spans: what all spans with the same side, operation, outcome and language have in common. A run has millions
//! of spans and some hundreds of shapes, so that writers prepare the bytes of each shape once.

use rustc_hash::FxHashMap;

use crate::simulate::recording::{Recording, Side, SpanRecord};
use crate::simulate::system::{Protocol, Runtime, System};

use super::attributes::{self, Attributes, Call};
use super::failures::{Exception, is_error};
use super::span_names::name_of;

/// What is the same in all spans of one kind.
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) side: Side,
    pub(super) attributes: Attributes,
    pub(super) is_error: bool,
    /// What it met with, as event of the span and description of its status.
    pub(super) exception: Option<Exception>,
    /// Name of the instrumentation that made it.
    pub(super) scope: &'static str,
}

/// Place of a shape in [`Shapes::all`].
pub(super) type ShapeIdx = usize;

/// All shapes met so far.
pub(super) struct Shapes<'s> {
    system: &'s System,
    recording: &'s Recording,
    by_key: FxHashMap<Key, ShapeIdx>,
    pub(super) all: Vec<Shape>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    /// Operation, and topic + 1.
    what: (u32, u32),
    /// The service, for its language and for the name of its consumers' group.
    service: u32,
    /// Side, outcome, attempt.
    how: (u8, u8, u8),
}

impl<'s> Shapes<'s> {
    pub(super) fn new(system: &'s System, recording: &'s Recording) -> Self {
        Self { system, recording, by_key: FxHashMap::default(), all: Vec::new() }
    }

    /// The shape of a span; shapes are numbered in order of their first span.
    pub(super) fn of(&mut self, span: &SpanRecord) -> ShapeIdx {
        let service = self.recording.instances[span.instance as usize].service;
        // What a producer's operation is has no meaning.
        let operation = if span.side == Side::Producer { 0 } else { span.operation };
        let key = Key {
            what: (operation as u32, span.topic.map_or(0, |topic| topic as u32 + 1)),
            service: service as u32,
            how: (span.side as u8, span.outcome as u8, span.attempt),
        };
        if let Some(shape) = self.by_key.get(&key) {
            return *shape;
        }
        let shape = self.all.len();
        self.all.push(shape_of(self.system, service, span));
        self.by_key.insert(key, shape);
        shape
    }
}

fn shape_of(system: &System, service: usize, span: &SpanRecord) -> Shape {
    let service = &system.services[service];
    let topic = span.topic.and_then(|topic| system.topics.get(topic));
    // Which consumer's operation stands here does not show: all of them take from this topic.
    let asked = match (span.side, topic) {
        (Side::Producer, Some(topic)) => topic.consumers.first().copied().unwrap_or_default(),
        _ => span.operation,
    };
    let operation = &system.operations[asked];
    let call = Call {
        system,
        runtime: service.runtime,
        service,
        side: span.side,
        operation,
        topic: topic.map(|topic| (topic.name.as_str(), &system.services[topic.broker])),
        outcome: span.outcome,
        attempt: span.attempt,
    };
    let is_error = status_is_error(system, span);
    let exception = attributes::failing(&call).exception(span.outcome).filter(|_| is_error);
    let protocol = if topic.is_some() { &Protocol::Message } else { &operation.protocol };
    Shape {
        name: name_of(system, span.side, asked, span.topic),
        side: span.side,
        attributes: attributes::of_span(&call),
        is_error,
        exception,
        scope: scope(service.runtime, protocol, span.side),
    }
}

/// Whether the status of a span is `Error`; it is unset otherwise.
pub fn status_is_error(system: &System, span: &SpanRecord) -> bool {
    let protocol = match span.topic {
        Some(_) => &Protocol::Message,
        None => &system.operations[span.operation].protocol,
    };
    is_error(span.side, protocol, span.outcome)
}

/// The usual instrumentation library.
fn scope(runtime: Runtime, protocol: &Protocol, side: Side) -> &'static str {
    let serves = side == Side::Server;
    match (runtime, protocol) {
        (Runtime::Jvm, Protocol::Http(_)) if serves => "io.opentelemetry.tomcat-10.0",
        (Runtime::Jvm, Protocol::Http(_)) => "io.opentelemetry.java-http-client",
        (Runtime::Jvm, Protocol::Grpc) => "io.opentelemetry.grpc-1.6",
        (Runtime::Jvm, Protocol::Database) => "io.opentelemetry.jdbc",
        (Runtime::Jvm, Protocol::Message) => "io.opentelemetry.kafka-clients-0.11",
        (Runtime::Go, Protocol::Http(_)) => "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
        (Runtime::Go, Protocol::Grpc) => "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
        (Runtime::Go, Protocol::Database) => "github.com/XSAM/otelsql",
        (Runtime::Go, Protocol::Message) => "github.com/dnwe/otelsarama",
        (Runtime::Node, Protocol::Http(_)) => "@opentelemetry/instrumentation-http",
        (Runtime::Node, Protocol::Grpc) => "@opentelemetry/instrumentation-grpc",
        (Runtime::Node, Protocol::Database) => "@opentelemetry/instrumentation-pg",
        (Runtime::Node, Protocol::Message) => "@opentelemetry/instrumentation-kafkajs",
        (Runtime::Python, Protocol::Http(_)) if serves => "opentelemetry.instrumentation.fastapi",
        (Runtime::Python, Protocol::Http(_)) => "opentelemetry.instrumentation.requests",
        (Runtime::Python, Protocol::Grpc) => "opentelemetry.instrumentation.grpc",
        (Runtime::Python, Protocol::Database) => "opentelemetry.instrumentation.sqlalchemy",
        (Runtime::Python, Protocol::Message) => "opentelemetry.instrumentation.kafka",
        (Runtime::Native, _) => "tracing-opentelemetry",
    }
}
