//! OpenTelemetry's semantic conventions as far as they move the graph, old and new names alike.
//!
//! Source: semantic conventions 1.44.0, and the names that they replaced. Which name wins where a span carries both is
//! told by its rank, never by the order in which they come.

use std::borrow::Cow;

use crate::telemetry::span::{Marks, ResourceKey, SpanKind, SpanStatus, SpanTable};

mod peer;
#[cfg(test)]
mod tests;

use super::json_stream::Scalar;
use super::sampling::{self, Said};

/// Makes of rows `"name" => (Fact, rank)` both the look-up and the list that tests go through.
macro_rules! table {
    ($(#[$doc:meta])* $lookup:ident, $rows:ident: $fact:ident { $($name:literal => ($kind:ident, $rank:literal),)* }) => {
        $(#[$doc])*
        fn $lookup(name: &str) -> Option<($fact, u8)> {
            Some(match name {
                $($name => ($fact::$kind, $rank),)*
                _ => return None,
            })
        }

        #[cfg(test)]
        const $rows: &[(&str, $fact, u8)] = &[$(($name, $fact::$kind, $rank),)*];
    };
}

/// What an attribute of a span tells us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fact {
    Kind,
    Error,
    StatusCode,
    ErrorType,
    Resend,
    PeerService,
    PeerNamespace,
    DatabaseSystem,
    DatabaseName,
    Host,
    Address,
    Port,
    Url,
    MessagingSystem,
    Destination,
    Temporary,
    Anonymous,
    MessagingOperation,
    HttpStatus,
    RpcStatus,
    RpcSystem,
    RpcService,
    AwsResource,
    InvokedFunction,
    TraceState,
    SamplerType,
    Sampling,
}

/// Each fact has its bit in [`SpanFacts::has`].
const _: () = assert!((Fact::Sampling as u32) < u32::BITS);

table! {
    /// The one table of span attributes: what a name tells, and its rank among the names that tell the same (0 wins).
    span_attribute, SPAN_ROWS: Fact {
        "span.kind" => (Kind, 0),
        "error" => (Error, 0),
        "otel.status_code" => (StatusCode, 0),
        "error.type" => (ErrorType, 0),
        "exception.type" => (ErrorType, 1),
        "error.kind" => (ErrorType, 2), // OpenTracing
        "otel.status_description" => (ErrorType, 3), // Zipkin and Jaeger exporters
        "http.request.resend_count" => (Resend, 0),
        "http.resend_count" => (Resend, 1),
        "http.retry_count" => (Resend, 2),
        "service.peer.name" => (PeerService, 0),
        "peer.service" => (PeerService, 1),
        "service.peer.namespace" => (PeerNamespace, 0),
        "db.system.name" => (DatabaseSystem, 0),
        "db.system" => (DatabaseSystem, 1),
        "db.type" => (DatabaseSystem, 2), // OpenTracing
        "db.namespace" => (DatabaseName, 0),
        "db.name" => (DatabaseName, 1),
        "db.instance" => (DatabaseName, 2), // OpenTracing
        "server.address" => (Host, 0),
        "net.peer.name" => (Host, 1),
        "net.sock.peer.name" => (Host, 2),
        "peer.hostname" => (Host, 3), // OpenTracing
        "http.host" => (Host, 4),
        "network.peer.address" => (Address, 0),
        "net.sock.peer.addr" => (Address, 1),
        "net.peer.ip" => (Address, 2),
        "peer.ipv4" => (Address, 3), // OpenTracing
        "peer.ipv6" => (Address, 4), // OpenTracing
        "server.port" => (Port, 0),
        "net.peer.port" => (Port, 1),
        "network.peer.port" => (Port, 2),
        "net.sock.peer.port" => (Port, 3),
        "peer.port" => (Port, 4), // OpenTracing
        "url.full" => (Url, 0),
        "http.url" => (Url, 1),
        "messaging.system" => (MessagingSystem, 0),
        "messaging.destination.template" => (Destination, 0), // low-cardinality where the name is not
        "messaging.destination.name" => (Destination, 1),
        "messaging.source.name" => (Destination, 2), // of consumers, conventions 1.17 to 1.19
        "messaging.destination" => (Destination, 3),
        "message_bus.destination" => (Destination, 4), // OpenTracing
        "kafka.topic" => (Destination, 5), // Zipkin's Brave, and so on
        "rabbit.queue" => (Destination, 6),
        "jms.queue" => (Destination, 7),
        "jms.topic" => (Destination, 8),
        "messaging.destination.temporary" => (Temporary, 0),
        "messaging.temp_destination" => (Temporary, 1),
        "messaging.destination.anonymous" => (Anonymous, 0),
        "messaging.operation.type" => (MessagingOperation, 0),
        "messaging.operation" => (MessagingOperation, 1),
        "messaging.operation.name" => (MessagingOperation, 2),
        "http.response.status_code" => (HttpStatus, 0),
        "http.status_code" => (HttpStatus, 1),
        "rpc.response.status_code" => (RpcStatus, 0),
        "rpc.grpc.status_code" => (RpcStatus, 1),
        "grpc.status_code" => (RpcStatus, 2), // OpenTracing and Zipkin's Brave
        "rpc.system.name" => (RpcSystem, 0),
        "rpc.system" => (RpcSystem, 1),
        "rpc.service" => (RpcService, 0),
        "aws.service" => (RpcService, 1), // AWS X-Ray's and older SDK instrumentation
        "aws.sqs.queue.url" => (AwsResource, 0),
        "aws.queue.url" => (AwsResource, 1),
        "aws.sns.topic.arn" => (AwsResource, 2),
        "aws.kinesis.stream_name" => (AwsResource, 3),
        "aws.s3.bucket" => (AwsResource, 4),
        "faas.invoked_name" => (InvokedFunction, 0),
        "w3c.tracestate" => (TraceState, 0), // where Jaeger and Zipkin keep it
        "sampler.type" => (SamplerType, 0), // Jaeger
    }
}

/// Whether a span attribute of that name is of any use here.
pub(crate) fn is_span_attribute(name: &str) -> bool {
    span_attribute(name).is_some()
}

/// The attribute in which Jaeger's clients keep their sampler's parameter, on the first span of a trace.
const JAEGER_PARAMETER: &str = "sampler.param";

/// What the attributes of one span tell.
#[derive(Debug, Default)]
pub(crate) struct SpanFacts<'de> {
    /// Each fact once, with its rank. A list, since spans tell few of them and many tell none.
    known: Vec<(Fact, u8, Scalar<'de>)>,
    /// The facts that `known` holds, a bit for each.
    has: u32,
}

impl<'de> SpanFacts<'de> {
    /// Takes note of an attribute, if it tells something.
    pub(crate) fn note(&mut self, name: &str, value: Scalar<'de>) {
        let Some((fact, rank)) = span_attribute(name) else { return };
        if matches!(value, Scalar::Absent | Scalar::Nested) || value.as_text().is_some_and(|t| t.trim().is_empty()) {
            return;
        }
        match self.known.iter_mut().find(|known| known.0 == fact) {
            Some(known) if rank < known.1 => (known.1, known.2) = (rank, value),
            Some(_) => {}
            None => {
                self.known.push((fact, rank, value));
                self.has |= 1 << fact as u32;
            }
        }
    }

    /// Takes note of an attribute, and of how the span was sampled where the user named it as telling that.
    pub(crate) fn note_with(&mut self, sampling_attribute: Option<&str>, name: &str, value: Scalar<'de>) {
        if sampling_attribute == Some(name) {
            self.note_sampling(name, value.clone());
        }
        self.note(name, value);
    }

    /// Takes the attribute that the user named as telling how spans were sampled.
    pub(crate) fn note_sampling(&mut self, name: &str, value: Scalar<'de>) {
        self.known.retain(|known| known.0 != Fact::Sampling);
        self.known.push((Fact::Sampling, u8::from(name == JAEGER_PARAMETER), value));
        self.has |= 1 << Fact::Sampling as u32;
    }

    /// Whether it has the attribute that the user named as telling how spans were sampled.
    pub(crate) fn has_sampling(&self) -> bool {
        self.has & 1 << Fact::Sampling as u32 != 0
    }

    /// What the span says of how it was sampled: in the attribute that the user named, else in its tracestate, else in a tag
    /// with the tracestate. The parameter of Jaeger's samplers is a probability for one of their types only.
    pub(crate) fn sampling(&self, trace_state: Said) -> Said {
        self.named_sampling().or_else(|| trace_state).or_else(|| {
            self.get(Fact::TraceState).and_then(Scalar::as_text).map_or(Said::Nothing, sampling::of_trace_state)
        })
    }

    fn named_sampling(&self) -> Said {
        match self.ranked(Fact::Sampling) {
            None => Said::Nothing,
            Some((0, value)) => sampling::of_value(value),
            Some((_, value)) => match self.text(Fact::SamplerType) {
                Some(kind) if kind == "probabilistic" => sampling::of_value(value),
                _ => Said::Nothing,
            },
        }
    }

    fn ranked(&self, fact: Fact) -> Option<(u8, &Scalar<'de>)> {
        if self.has & 1 << fact as u32 == 0 {
            return None;
        }
        self.known.iter().find(|known| known.0 == fact).map(|known| (known.1, &known.2))
    }

    fn get(&self, fact: Fact) -> Option<&Scalar<'de>> {
        self.ranked(fact).map(|(_, value)| value)
    }

    fn text(&self, fact: Fact) -> Option<Cow<'_, str>> {
        match self.get(fact)? {
            Scalar::Text(text) => Some(Cow::Borrowed(text.trim())),
            other => other.clone().into_text().map(|text| Cow::Owned(text.into_owned())),
        }
    }

    /// The kind that Jaeger keeps in a tag.
    pub(crate) fn kind(&self) -> Option<&Scalar<'de>> {
        self.get(Fact::Kind)
    }

    /// Whether an attribute gives the other end's host or database that name, in whatever case.
    pub(crate) fn repeats(&self, name: &str) -> bool {
        let facts = [Fact::Host, Fact::DatabaseName, Fact::DatabaseSystem, Fact::MessagingSystem];
        facts.into_iter().filter_map(|fact| self.text(fact)).any(|text| text.eq_ignore_ascii_case(name))
    }

    /// The outcome as this side judged it: the status that was set, else an `error` tag that is true, else what the
    /// codes of HTTP and gRPC mean on this side of the call (a 4xx is the caller's failure, not the callee's).
    pub(crate) fn status(&self, kind: SpanKind, set: SpanStatus) -> SpanStatus {
        let set = match set {
            SpanStatus::Unset => self.get(Fact::StatusCode).and_then(status).unwrap_or_default(),
            SpanStatus::Ok | SpanStatus::Error => set,
        };
        if set != SpanStatus::Unset {
            return set;
        }
        if self.get(Fact::Error).is_some_and(is_true) {
            return SpanStatus::Error;
        }
        let fails_from = if kind == SpanKind::Client { 400 } else { 500 };
        let http_failed = self.get(Fact::HttpStatus).and_then(Scalar::as_integer).is_some_and(|c| c >= fails_from);
        let rpc_failed = self.get(Fact::RpcStatus).and_then(grpc_code).is_some_and(|code| match kind {
            SpanKind::Client => code != 0,
            _ => is_grpc_failure(code),
        });
        if http_failed || rpc_failed { SpanStatus::Error } else { SpanStatus::Unset }
    }

    /// The role of the span: a client that fetches messages is their consumer, and one that acknowledges them plays no
    /// part in a call (messaging conventions since 1.24), nor does one of a database inside the service.
    pub(crate) fn role(&self, kind: SpanKind) -> SpanKind {
        if kind != SpanKind::Client {
            return kind;
        }
        if self.is_embedded() {
            return SpanKind::Internal;
        }
        match self.text(Fact::MessagingOperation).as_deref() {
            Some("receive") => SpanKind::Consumer,
            Some("settle") => SpanKind::Internal,
            _ => kind,
        }
    }

    /// What else the span tells of its call. Only the caller's side knows.
    pub(crate) fn marks(&self, kind: SpanKind) -> Marks {
        if !matches!(kind, SpanKind::Client | SpanKind::Producer) {
            return Marks::default();
        }
        let mut marks = Marks::default();
        let deadline_exceeded = self.get(Fact::RpcStatus).and_then(grpc_code) == Some(4);
        if deadline_exceeded || self.text(Fact::ErrorType).is_some_and(|error| is_timeout(&error)) {
            marks = marks.and(Marks::TIMED_OUT);
        }
        if self.get(Fact::Resend).and_then(Scalar::as_integer).is_some_and(|count| count > 0) {
            marks = marks.and(Marks::RESENT);
        }
        marks
    }
}

/// Whether the name or the description of an error says that time ran out: `context deadline exceeded`,
/// `java.net.SocketTimeoutException`, `ETIMEDOUT`.
fn is_timeout(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    ["timeout", "timedout", "timed out", "deadline"].iter().any(|word| error.contains(word))
}

/// A truth value as such, as text, or as a number.
pub(crate) fn is_true(value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Bool(value) => *value,
        Scalar::Text(text) => text.eq_ignore_ascii_case("true"),
        Scalar::Integer(number) => *number != 0,
        Scalar::Absent | Scalar::Float(_) | Scalar::Nested => false,
    }
}

/// A span kind as number (OTLP) or name in any spelling: `SPAN_KIND_SERVER`, `Server`, `server`, `2`.
/// `None` for what is none of them.
pub(crate) fn kind(value: &Scalar<'_>) -> Option<SpanKind> {
    if let Some(text) = value.as_text() {
        let text = text.trim();
        let name = strip_prefix_ignoring_case(text, "SPAN_KIND_");
        for (known, kind) in KINDS {
            if name.eq_ignore_ascii_case(known) {
                return Some(kind);
            }
        }
    }
    Some(match value.as_integer() {
        Some(0) => SpanKind::Unspecified,
        Some(1) => SpanKind::Internal,
        Some(2) => SpanKind::Server,
        Some(3) => SpanKind::Client,
        Some(4) => SpanKind::Producer,
        Some(5) => SpanKind::Consumer,
        Some(_) => return None,
        None if matches!(value, Scalar::Absent) => SpanKind::Unspecified,
        None => return None,
    })
}

const KINDS: [(&str, SpanKind); 8] = [
    ("server", SpanKind::Server),
    ("client", SpanKind::Client),
    ("internal", SpanKind::Internal),
    ("producer", SpanKind::Producer),
    ("consumer", SpanKind::Consumer),
    ("unspecified", SpanKind::Unspecified),
    ("local", SpanKind::Internal),
    ("", SpanKind::Unspecified),
];

/// A status as number (OTLP) or name in any spelling: `STATUS_CODE_ERROR`, `Error`, `2`, also a truth value that
/// tells whether the span failed. `None` for what is none of them.
pub(crate) fn status(value: &Scalar<'_>) -> Option<SpanStatus> {
    match value {
        Scalar::Absent => return Some(SpanStatus::Unset),
        Scalar::Bool(failed) => return Some(if *failed { SpanStatus::Error } else { SpanStatus::Unset }),
        Scalar::Text(text) => {
            let text = text.trim();
            let name = strip_prefix_ignoring_case(text, "STATUS_CODE_");
            for (known, status) in STATUSES {
                if name.eq_ignore_ascii_case(known) {
                    return Some(status);
                }
            }
        }
        Scalar::Integer(_) | Scalar::Float(_) | Scalar::Nested => {}
    }
    match value.as_integer()? {
        0 => Some(SpanStatus::Unset),
        1 => Some(SpanStatus::Ok),
        2 => Some(SpanStatus::Error),
        _ => None,
    }
}

/// A status as tables write it: OpenTelemetry's, else the code of gRPC (its 2, `UNKNOWN`, is a failure in both) or of
/// HTTP. Whether a client's mistake is a failure depends on the side, so that is left open.
pub(crate) fn status_or_code(value: &Scalar<'_>) -> Option<SpanStatus> {
    status(value).or_else(|| match value.as_integer()? {
        code @ 3..=16 => Some(if is_grpc_failure(code) { SpanStatus::Error } else { SpanStatus::Unset }),
        100..=499 => Some(SpanStatus::Unset),
        500..=599 => Some(SpanStatus::Error),
        _ => None,
    })
}

/// The codes that the RPC conventions count as failures of the server.
fn is_grpc_failure(code: i64) -> bool {
    matches!(code, 2 | 4 | 12 | 13 | 14 | 15)
}

/// A status given as a flag: whether the span failed.
pub(crate) fn failed(value: &Scalar<'_>) -> Option<SpanStatus> {
    match status(value) {
        Some(SpanStatus::Ok) if value.as_integer() == Some(1) => Some(SpanStatus::Error),
        status => status,
    }
}

const STATUSES: [(&str, SpanStatus); 6] = [
    ("unset", SpanStatus::Unset),
    ("ok", SpanStatus::Ok),
    ("error", SpanStatus::Error),
    ("", SpanStatus::Unset),
    ("true", SpanStatus::Error),
    ("false", SpanStatus::Unset),
];

fn strip_prefix_ignoring_case<'t>(text: &'t str, prefix: &str) -> &'t str {
    match text.split_at_checked(prefix.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => rest,
        _ => text,
    }
}

/// A gRPC status as number or name (`rpc.response.status_code` holds names since the conventions became stable).
fn grpc_code(value: &Scalar<'_>) -> Option<i64> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    value.as_integer().or_else(|| {
        let text = value.as_text()?.trim();
        (0..).zip(NAMES).find(|(_, name)| text.eq_ignore_ascii_case(name)).map(|(code, _)| code)
    })
}

/// What an attribute of a resource tells us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ResourceFact {
    Name,
    Namespace,
    Instance,
    Version,
}

table! {
    /// The one table of resource attributes, ranked as the span attributes are.
    resource_attribute, RESOURCE_ROWS: ResourceFact {
        "service.name" => (Name, 0),
        "service.namespace" => (Namespace, 0),
        "service.instance.id" => (Instance, 0),
        "k8s.pod.name" => (Instance, 1),
        "k8s.pod.uid" => (Instance, 2),
        "faas.instance" => (Instance, 3),
        "container.id" => (Instance, 4),
        "host.name" => (Instance, 5),
        "host.id" => (Instance, 6),
        "hostname" => (Instance, 7), // Jaeger's own clients
        "ip" => (Instance, 8), // Jaeger's own clients
        "service.version" => (Version, 0),
    }
}

/// What the attributes of one resource tell.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct ResourceFacts {
    facts: [Option<(u8, String)>; 4],
}

impl ResourceFacts {
    /// Takes note of an attribute, if it tells something.
    pub(crate) fn note(&mut self, name: &str, value: Scalar<'_>) {
        let Some((fact, rank)) = resource_attribute(name) else { return };
        let Some(text) = value.into_text() else { return };
        let text = text.trim();
        let slot = &mut self.facts[fact as usize];
        if !text.is_empty() && slot.as_ref().is_none_or(|(known, _)| rank < *known) {
            *slot = Some((rank, text.to_owned()));
        }
    }

    /// Takes the name that stands outside the attributes (Jaeger's `serviceName`).
    pub(crate) fn name(&mut self, name: Scalar<'_>) {
        self.note("service.name", name);
    }

    /// Takes the name that stands outside the attributes and wins over one among them (Zipkin's endpoints, a table's
    /// column).
    pub(crate) fn rename(&mut self, name: &str) {
        self.set(ResourceFact::Name, name);
    }

    /// Takes instance and version that stand outside the attributes, where they are not empty.
    pub(crate) fn place(&mut self, instance: &str, version: &str) {
        self.set(ResourceFact::Instance, instance);
        self.set(ResourceFact::Version, version);
    }

    fn set(&mut self, fact: ResourceFact, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.facts[fact as usize] = Some((0, text.to_owned()));
        }
    }

    fn get(&self, fact: ResourceFact) -> &str {
        self.facts[fact as usize].as_ref().map_or("", |(_, text)| text)
    }

    /// The service's name for the graph; `None` where the resource names neither service nor instance.
    pub(crate) fn identity(&self) -> Option<Cow<'_, str>> {
        let (name, instance) = (self.get(ResourceFact::Name), self.get(ResourceFact::Instance));
        let named = !name.is_empty() || !instance.is_empty();
        named.then(|| service_identity(name, self.get(ResourceFact::Namespace), instance))
    }

    /// The service's name as given; empty where the resource does not tell.
    pub(crate) fn given_name(&self) -> &str {
        self.get(ResourceFact::Name)
    }

    /// The key of this resource in `table`.
    pub(crate) fn key(&self, table: &mut SpanTable) -> ResourceKey {
        let instance = self.get(ResourceFact::Instance);
        let service = service_identity(self.get(ResourceFact::Name), self.get(ResourceFact::Namespace), instance);
        table.resource_key(&service, instance, self.get(ResourceFact::Version))
    }
}

/// Name of a service for the graph: `namespace/name`. Processes that never got a name must not become one node, so
/// `unknown_service` (perhaps with `:executable`) carries its instance.
pub(crate) fn service_identity<'n>(name: &'n str, namespace: &str, instance: &str) -> Cow<'n, str> {
    const UNKNOWN: &str = "unknown_service";
    let name = if name.is_empty() { UNKNOWN } else { name };
    let is_unknown = name.strip_prefix(UNKNOWN).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    match (namespace, is_unknown && !instance.is_empty()) {
        ("", false) => Cow::Borrowed(name),
        ("", true) => Cow::Owned(format!("{name} ({instance})")),
        (_, false) => Cow::Owned(format!("{namespace}/{name}")),
        (_, true) => Cow::Owned(format!("{namespace}/{name} ({instance})")),
    }
}
