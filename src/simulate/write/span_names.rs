//! Names of spans as OpenTelemetry's semantic conventions make them: of low cardinality, the same in traces and in the
//! metrics made of them.
//!
//! | protocol | server | client |
//! | --- | --- | --- |
//! | HTTP | `GET /cart/{id}` | `GET`: a client does not know the route |
//! | gRPC | `shop.Cart/Get` | `shop.Cart/Get` |
//! | database | | `SELECT products` |
//! | messages | `process orders` (consumer) | `publish orders` (producer) |

use crate::simulate::recording::{Side, SpanRecord};
use crate::simulate::system::{OperationIdx, Protocol, System, TopicIdx};

/// The name of a span.
pub fn span_name(system: &System, span: &SpanRecord) -> String {
    name_of(system, span.side, span.operation, span.topic)
}

/// The name of the span in which an operation that is no consumer is served, or asked of a database.
pub fn served_name(system: &System, operation: OperationIdx) -> String {
    name_of(system, Side::Server, operation, None)
}

pub(super) fn name_of(system: &System, side: Side, operation: OperationIdx, topic: Option<TopicIdx>) -> String {
    let topic = topic.and_then(|topic| system.topics.get(topic)).map(|topic| topic.name.as_str());
    match (side, topic) {
        (Side::Producer, Some(topic)) => return format!("publish {topic}"),
        (Side::Consumer, Some(topic)) => return format!("process {topic}"),
        (Side::Server | Side::Client | Side::Producer | Side::Consumer, _) => {}
    }
    let operation = &system.operations[operation];
    match (&operation.protocol, side) {
        (Protocol::Http(method), Side::Client) => method.clone(),
        (Protocol::Http(method), _) => format!("{method} {}", operation.name),
        (Protocol::Grpc | Protocol::Database | Protocol::Message, _) => operation.name.clone(),
    }
}
