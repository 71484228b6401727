//! OpenTelemetry's semantic conventions as far as they move the graph, old and new names alike.
//!
//! Source: semantic conventions 1.44.0, and the names that they replaced. Which name wins where a span carries both is
//! told by its rank, never by the order in which they come.

use std::borrow::Cow;

use crate::telemetry::span::{Marks, Peer, PeerKind, Place, ResourceKey, SpanKind, SpanStatus, SpanTable};

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

const N_FACTS: usize = Fact::Sampling as usize + 1;

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

/// Messaging systems that are told by the name of the attribute that holds the destination, by its rank.
const SYSTEM_OF_DESTINATION: [(u8, &str); 4] = [(5, "kafka"), (6, "rabbitmq"), (7, "jms"), (8, "jms")];

/// Other names of a database or messaging system: those of conventions before `db.system.name`, and what people write.
const SYSTEM_ALIASES: &[(&str, &str)] = &[
    ("postgres", "postgresql"),
    ("pgsql", "postgresql"),
    ("mongo", "mongodb"),
    ("mssql", "microsoft.sql_server"),
    ("sqlserver", "microsoft.sql_server"),
    ("oracle", "oracle.db"),
    ("db2", "ibm.db2"),
    ("informix", "ibm.informix"),
    ("netezza", "ibm.netezza"),
    ("hanadb", "sap.hana"),
    ("maxdb", "sap.maxdb"),
    ("adabas", "softwareag.adabas"),
    ("ingres", "actian.ingres"),
    ("firebird", "firebirdsql"),
    ("h2", "h2database"),
    ("cache", "intersystems.cache"),
    ("dynamodb", "aws.dynamodb"),
    ("redshift", "aws.redshift"),
    ("cosmosdb", "azure.cosmosdb"),
    ("spanner", "gcp.spanner"),
    ("amazonsqs", "aws_sqs"),
    ("aws.sqs", "aws_sqs"),
    ("amazonsns", "aws.sns"),
];

/// Ports that a system listens on unless told otherwise: a client that names none means this one.
const DEFAULT_PORTS: &[(&str, u16)] = &[
    ("postgresql", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("redis", 6379),
    ("memcached", 11211),
    ("mongodb", 27017),
    ("microsoft.sql_server", 1433),
    ("oracle.db", 1521),
    ("cassandra", 9042),
    ("elasticsearch", 9200),
    ("opensearch", 9200),
    ("cockroachdb", 26257),
    ("clickhouse", 8123),
];

/// Databases whose clients talk to many nodes of one cluster: what they name is the database, not the host.
const CLUSTERS: [&str; 12] = [
    "cassandra",
    "scylladb",
    "mongodb",
    "elasticsearch",
    "opensearch",
    "couchbase",
    "cockroachdb",
    "hbase",
    "aws.dynamodb",
    "azure.cosmosdb",
    "gcp.spanner",
    "trino",
];

/// Whether a span attribute of that name is of any use here.
pub(crate) fn is_span_attribute(name: &str) -> bool {
    span_attribute(name).is_some()
}

/// The attribute in which Jaeger's clients keep their sampler's parameter, on the first span of a trace.
const JAEGER_PARAMETER: &str = "sampler.param";

/// What the attributes of one span tell.
#[derive(Debug, Default)]
pub(crate) struct SpanFacts<'de> {
    facts: [Option<(u8, Scalar<'de>)>; N_FACTS],
}

impl<'de> SpanFacts<'de> {
    /// Takes note of an attribute, if it tells something.
    pub(crate) fn note(&mut self, name: &str, value: Scalar<'de>) {
        let Some((fact, rank)) = span_attribute(name) else { return };
        if matches!(value, Scalar::Absent | Scalar::Nested) || value.as_text().is_some_and(|t| t.trim().is_empty()) {
            return;
        }
        let slot = &mut self.facts[fact as usize];
        if slot.as_ref().is_none_or(|(known, _)| rank < *known) {
            *slot = Some((rank, value));
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
        self.facts[Fact::Sampling as usize] = Some((u8::from(name == JAEGER_PARAMETER), value));
    }

    /// What the span says of how it was sampled: in the attribute that the user named, else in its tracestate, else in a tag
    /// with the tracestate. The parameter of Jaeger's samplers is a probability for one of their types only.
    pub(crate) fn sampling(&self, trace_state: Said) -> Said {
        self.named_sampling().or_else(|| trace_state).or_else(|| {
            self.get(Fact::TraceState).and_then(Scalar::as_text).map_or(Said::Nothing, sampling::of_trace_state)
        })
    }

    fn named_sampling(&self) -> Said {
        match &self.facts[Fact::Sampling as usize] {
            None => Said::Nothing,
            Some((0, value)) => sampling::of_value(value),
            Some((_, value)) => match self.text(Fact::SamplerType) {
                Some(kind) if kind == "probabilistic" => sampling::of_value(value),
                _ => Said::Nothing,
            },
        }
    }

    fn get(&self, fact: Fact) -> Option<&Scalar<'de>> {
        self.facts[fact as usize].as_ref().map(|(_, value)| value)
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
            // The codes that the RPC conventions count as failures of the server.
            _ => matches!(code, 2 | 4 | 12 | 13 | 14 | 15),
        });
        if http_failed || rpc_failed { SpanStatus::Error } else { SpanStatus::Unset }
    }

    /// The role of the span: a client that fetches messages is their consumer, and one that acknowledges them plays no
    /// part in a call (messaging conventions since 1.24).
    pub(crate) fn role(&self, kind: SpanKind) -> SpanKind {
        if kind != SpanKind::Client {
            return kind;
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

    /// The other end of an outgoing call, as far as the span names it.
    pub(crate) fn peer(&self, kind: SpanKind) -> Option<Peer> {
        let outgoing = match kind {
            // There the attributes speak of the span's own side or of whoever called.
            SpanKind::Server => return None,
            SpanKind::Consumer => return self.queue(),
            SpanKind::Producer => {
                if let Some(queue) = self.queue() {
                    return Some(queue);
                }
                false
            }
            SpanKind::Client => true,
            SpanKind::Internal | SpanKind::Unspecified => false,
        };
        let database = self.system(Fact::DatabaseSystem);
        if let Some(service) = self.text(Fact::PeerService) {
            // The name that people gave it, but still a database.
            let kind = if database.is_some() { PeerKind::Database } else { PeerKind::Service };
            let name = match self.text(Fact::PeerNamespace) {
                Some(namespace) if kind == PeerKind::Service => format!("{namespace}/{service}"),
                _ => service.into_owned(),
            };
            return Some(Peer { name, kind, place: Place::default() });
        }
        if let Some(system) = database {
            return Some(self.database(&system));
        }
        if !outgoing {
            return None;
        }
        self.queue().or_else(|| self.aws()).or_else(|| self.external())
    }

    /// A database by its name, else by its host.
    fn database(&self, system: &str) -> Peer {
        let named = self.text(Fact::DatabaseName);
        let cluster = named.is_some() && CLUSTERS.contains(&system);
        let mut place = if cluster { Place::default() } else { self.place() };
        let default_port = DEFAULT_PORTS.iter().find(|(known, _)| *known == system).map_or(0, |(_, port)| *port);
        if place.port == 0 && !place.host.is_empty() {
            place.port = default_port;
        }
        let name = match (named, place.host.as_str()) {
            (Some(namespace), _) => format!("{system}/{namespace}"),
            (None, "") => system.to_owned(),
            (None, host) => format!("{system}@{host}"),
        };
        Peer { name, kind: PeerKind::Database, place }
    }

    fn external(&self) -> Option<Peer> {
        let mut place = self.place();
        if matches!(place.port, 80 | 443) {
            place.port = 0; // one site, whichever way it is asked
        }
        (!place.host.is_empty()).then(|| Peer { name: place.host.clone(), kind: PeerKind::External, place })
    }

    fn queue(&self) -> Option<Peer> {
        let (rank, destination) = match &self.facts[Fact::Destination as usize] {
            Some((rank, _)) => (*rank, self.text(Fact::Destination)),
            None => (0, None),
        };
        let implied = SYSTEM_OF_DESTINATION.iter().find(|(of, _)| *of == rank).map(|(_, system)| (*system).to_owned());
        let system = self.system(Fact::MessagingSystem).or(implied)?;
        let destination = destination.or_else(|| self.text(Fact::AwsResource));
        let name = match (destination, self.place().host.as_str()) {
            (Some(destination), _) => format!("{system}/{}", last_part(&destination)),
            (None, "") => system,
            (None, host) => format!("{system}@{host}"),
        };
        Some(Peer { name, kind: PeerKind::Queue, place: Place::default() })
    }

    /// A service of AWS, which the RPC attributes name; and a function that is called by name.
    fn aws(&self) -> Option<Peer> {
        let peer = |name: String, kind| Some(Peer { name, kind, place: Place::default() });
        if let Some(function) = self.text(Fact::InvokedFunction) {
            return peer(function.into_owned(), PeerKind::Service);
        }
        if self.text(Fact::RpcSystem).as_deref() != Some("aws-api") {
            return None;
        }
        let service = self.text(Fact::RpcService)?.to_lowercase();
        let service = service.strip_prefix("amazon").unwrap_or(&service).trim();
        let (system, kind) = match service {
            "sqs" => ("aws_sqs".to_owned(), PeerKind::Queue),
            "sns" | "kinesis" => (format!("aws.{service}"), PeerKind::Queue),
            "dynamodb" => ("aws.dynamodb".to_owned(), PeerKind::Database),
            other => (format!("aws.{other}"), PeerKind::External),
        };
        match self.text(Fact::AwsResource) {
            Some(resource) => peer(format!("{system}/{}", last_part(&resource)), kind),
            None => peer(system, kind),
        }
    }

    /// The name of a system as the newest conventions spell it.
    fn system(&self, fact: Fact) -> Option<String> {
        let system = self.text(fact)?.to_ascii_lowercase();
        let alias = SYSTEM_ALIASES.iter().find(|(old, _)| *old == system);
        Some(alias.map_or(system, |(_, new)| (*new).to_owned()))
    }

    /// Host, address and port of the other end. A host that is known by its address only has that as its name.
    fn place(&self) -> Place {
        let url = || self.get(Fact::Url).and_then(Scalar::as_text).and_then(authority_of);
        let named = self.get(Fact::Host).and_then(Scalar::as_text).map(host_and_port);
        let address = self.get(Fact::Address).and_then(Scalar::as_text).map(host_and_port);
        let (host, mut port) = named.or_else(url).or(address).unwrap_or_default();
        if let Some(told) = self.get(Fact::Port).and_then(Scalar::as_integer).and_then(|p| u16::try_from(p).ok()) {
            port = told;
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = address.map(|(address, _)| address.to_ascii_lowercase()).filter(|address| *address != host);
        Place { host, address: address.unwrap_or_default(), port }
    }
}

/// The last part of a path, a URL or an ARN: the name of a queue or a topic.
fn last_part(text: &str) -> &str {
    let is_compound = text.contains("://") || text.starts_with("arn:");
    if is_compound { text.rsplit(['/', ':']).next().unwrap_or(text) } else { text }
}

/// Whether the name or the description of an error says that time ran out: `context deadline exceeded`,
/// `java.net.SocketTimeoutException`, `ETIMEDOUT`.
fn is_timeout(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    ["timeout", "timedout", "timed out", "deadline"].iter().any(|word| error.contains(word))
}

/// Host and port of a URL, without credentials.
fn authority_of(url: &str) -> Option<(&str, u16)> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some(host_and_port(host)).filter(|(host, _)| !host.is_empty())
}

/// A host with an optional port; 0 for none. An IPv6 address keeps its colons.
fn host_and_port(text: &str) -> (&str, u16) {
    let text = text.trim();
    if let Some(literal) = text.strip_prefix('[') {
        let (host, rest) = literal.split_once(']').unwrap_or((literal, ""));
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()).unwrap_or(0));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port.parse().unwrap_or(0)),
        _ => (text, 0),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(attributes: &[(&str, Scalar<'static>)]) -> SpanFacts<'static> {
        let mut facts = SpanFacts::default();
        for (name, value) in attributes {
            facts.note(name, value.clone());
        }
        facts
    }

    fn text(text: &'static str) -> Scalar<'static> {
        Scalar::Text(text.into())
    }

    #[test]
    fn the_newer_name_wins_in_either_order() {
        let (old, new) = (("peer.service", text("old")), ("service.peer.name", text("new")));
        for attributes in [[old.clone(), new.clone()], [new, old]] {
            let peer = facts(&attributes).peer(SpanKind::Client).unwrap();
            assert_eq!((peer.name.as_str(), peer.kind), ("new", PeerKind::Service));
        }
    }

    #[test]
    fn peers_have_stable_names_by_what_they_are() {
        let check = |attributes: &[(&str, Scalar<'static>)], kind, expected: Option<(&str, PeerKind)>| {
            let found = facts(attributes).peer(kind);
            let found = found.as_ref().map(|peer| (peer.name.as_str(), peer.kind));
            assert_eq!(found, expected, "{attributes:?} {kind:?}");
        };
        let postgres =
            [("db.system", text("postgresql")), ("db.name", text("orders")), ("net.peer.name", text("pg-1"))];
        let database = Some(("postgresql/orders", PeerKind::Database));
        check(&postgres, SpanKind::Client, database);
        check(&postgres, SpanKind::Internal, database);
        check(&postgres, SpanKind::Server, None);
        let redis = [("db.system.name", text("redis")), ("server.address", text("cache"))];
        check(&redis, SpanKind::Client, Some(("redis@cache", PeerKind::Database)));
        check(&[("db.system", text("sqlite"))], SpanKind::Client, Some(("sqlite", PeerKind::Database)));

        let kafka = [
            ("messaging.system", text("kafka")),
            ("messaging.destination.name", text("payments")),
            ("peer.service", text("broker")),
        ];
        for kind in [SpanKind::Producer, SpanKind::Consumer] {
            check(&kafka, kind, Some(("kafka/payments", PeerKind::Queue)));
        }
        check(&kafka[..2], SpanKind::Client, Some(("kafka/payments", PeerKind::Queue)));

        let url = [("http.url", text("https://user:pw@api.stripe.com:443/v1?q=@x"))];
        check(&url, SpanKind::Client, Some(("api.stripe.com", PeerKind::External)));
        check(&url, SpanKind::Internal, None);
        check(&[("url.full", text("http://[::1]:80/"))], SpanKind::Client, Some(("::1", PeerKind::External)));
        check(&[("server.address", text("a"))], SpanKind::Server, None);
        check(&[], SpanKind::Client, None);
    }

    #[test]
    fn each_side_judges_codes_for_itself() {
        let judge =
            |name: &'static str, value: Scalar<'static>, kind| facts(&[(name, value)]).status(kind, SpanStatus::Unset);
        let (client, server) = (SpanKind::Client, SpanKind::Server);
        assert_eq!(judge("http.status_code", Scalar::Integer(404), client), SpanStatus::Error);
        assert_eq!(judge("http.status_code", Scalar::Integer(404), server), SpanStatus::Unset);
        assert_eq!(judge("http.response.status_code", text("503"), server), SpanStatus::Error);
        assert_eq!(judge("http.response.status_code", Scalar::Integer(302), client), SpanStatus::Unset);
        for code in 0..=16 {
            let failed = |is| if is { SpanStatus::Error } else { SpanStatus::Unset };
            let at_server = [2, 4, 12, 13, 14, 15].contains(&code);
            assert_eq!(judge("rpc.grpc.status_code", Scalar::Integer(code), client), failed(code != 0));
            assert_eq!(judge("rpc.grpc.status_code", Scalar::Integer(code), server), failed(at_server), "{code}");
        }
        assert_eq!(judge("rpc.response.status_code", text("NOT_FOUND"), server), SpanStatus::Unset);
        assert_eq!(judge("rpc.response.status_code", text("UNAVAILABLE"), server), SpanStatus::Error);
        assert_eq!(judge("error", text("true"), server), SpanStatus::Error);
        assert_eq!(judge("error", Scalar::Bool(false), server), SpanStatus::Unset);
        assert_eq!(judge("otel.status_code", text("OK"), server), SpanStatus::Ok);
        // A status that was set is not overruled by a code.
        let not_found = facts(&[("http.status_code", Scalar::Integer(404))]);
        assert_eq!(not_found.status(client, SpanStatus::Ok), SpanStatus::Ok);
    }

    #[test]
    fn kinds_and_statuses_have_many_spellings() {
        for spelled in ["SPAN_KIND_SERVER", "Server", "SERVER", "server", "2", " span_kind_server "] {
            assert_eq!(kind(&text(spelled)), Some(SpanKind::Server), "{spelled}");
        }
        assert_eq!(kind(&Scalar::Integer(5)), Some(SpanKind::Consumer));
        assert_eq!(kind(&Scalar::Integer(9)), None);
        assert_eq!(kind(&text("é")), None);
        for spelled in ["STATUS_CODE_ERROR", "Error", "ERROR", "2", "true"] {
            assert_eq!(status(&text(spelled)), Some(SpanStatus::Error), "{spelled}");
        }
        assert_eq!(status(&text("STATUS_CODE_UNSET")), Some(SpanStatus::Unset));
        assert_eq!(status(&Scalar::Integer(1)), Some(SpanStatus::Ok));
    }

    #[test]
    fn processes_without_a_name_are_kept_apart() {
        assert_eq!(service_identity("", "", "pod-1"), "unknown_service (pod-1)");
        assert_eq!(service_identity("unknown_service:java", "shop", "pod-1"), "shop/unknown_service:java (pod-1)");
        assert_eq!(service_identity("unknown_services", "", "pod-1"), "unknown_services");
        assert_eq!(service_identity("cart", "shop", "pod-1"), "shop/cart");
        assert_eq!(service_identity("", "", ""), "unknown_service");
    }

    /// What one attribute, with what it needs beside it, tells of a span: kind of peer, its name and place, the outcome
    /// at the client, marks, role.
    fn told(name: &str, value: &'static str) -> String {
        let mut facts = SpanFacts::default();
        facts.note(name, text(value));
        let beside: &[(&str, &'static str)] = match span_attribute(name).unwrap().0 {
            Fact::DatabaseName => &[("db.system.name", "mysql")],
            Fact::Destination if span_attribute(name).unwrap().1 < 5 => &[("messaging.system", "kafka")],
            Fact::Port | Fact::Address => &[("server.address", "db")],
            Fact::PeerNamespace => &[("service.peer.name", "cart")],
            Fact::RpcSystem => &[("rpc.service", "SQS")],
            Fact::RpcService => &[("rpc.system", "aws-api")],
            Fact::AwsResource => &[("rpc.system", "aws-api"), ("rpc.service", "SQS")],
            _ => &[],
        };
        beside.iter().for_each(|(name, value)| facts.note(name, text(value)));
        let client = SpanKind::Client;
        let peer = facts.peer(client).map(|p| {
            let place = format!("{} {} {}", p.place.host, p.place.address, p.place.port);
            format!("{:?} {} at {place}", p.kind, p.name)
        });
        let (status, marks) = (facts.status(client, SpanStatus::Unset), facts.marks(client).0);
        let kind = facts.kind().and_then(kind);
        format!("{} {status:?} {marks} {:?} {kind:?}", peer.unwrap_or_default(), facts.role(client))
    }

    #[test]
    fn every_row_of_the_span_table_tells_its_fact() {
        // (attribute, value, what it tells); written out, so that a row that is lost or changed fails here.
        let expected = [
            ("span.kind", "server", " Unset 0 Client Some(Server)"),
            ("error", "true", " Error 0 Client None"),
            ("otel.status_code", "ERROR", " Error 0 Client None"),
            ("error.type", "java.net.SocketTimeoutException", " Unset 1 Client None"),
            ("exception.type", "TimeoutError", " Unset 1 Client None"),
            ("error.kind", "ETIMEDOUT", " Unset 1 Client None"),
            ("otel.status_description", "context deadline exceeded", " Unset 1 Client None"),
            ("http.request.resend_count", "2", " Unset 2 Client None"),
            ("http.resend_count", "1", " Unset 2 Client None"),
            ("http.retry_count", "1", " Unset 2 Client None"),
            ("service.peer.name", "cart", "Service cart at   0 Unset 0 Client None"),
            ("peer.service", "cart", "Service cart at   0 Unset 0 Client None"),
            ("service.peer.namespace", "shop", "Service shop/cart at   0 Unset 0 Client None"),
            ("db.system.name", "postgres", "Database postgresql at   0 Unset 0 Client None"),
            ("db.system", "mssql", "Database microsoft.sql_server at   0 Unset 0 Client None"),
            ("db.type", "Redis", "Database redis at   0 Unset 0 Client None"),
            ("db.namespace", "orders", "Database mysql/orders at   0 Unset 0 Client None"),
            ("db.name", "orders", "Database mysql/orders at   0 Unset 0 Client None"),
            ("db.instance", "orders", "Database mysql/orders at   0 Unset 0 Client None"),
            ("server.address", "API.example.", "External api.example at api.example  0 Unset 0 Client None"),
            ("net.peer.name", "a:8080", "External a at a  8080 Unset 0 Client None"),
            ("net.sock.peer.name", "a", "External a at a  0 Unset 0 Client None"),
            ("peer.hostname", "a", "External a at a  0 Unset 0 Client None"),
            ("http.host", "a:443", "External a at a  0 Unset 0 Client None"),
            ("network.peer.address", "10.0.0.1", "External db at db 10.0.0.1 0 Unset 0 Client None"),
            ("net.sock.peer.addr", "10.0.0.1", "External db at db 10.0.0.1 0 Unset 0 Client None"),
            ("net.peer.ip", "10.0.0.1", "External db at db 10.0.0.1 0 Unset 0 Client None"),
            ("peer.ipv4", "10.0.0.1", "External db at db 10.0.0.1 0 Unset 0 Client None"),
            ("peer.ipv6", "[::1]:80", "External db at db ::1 0 Unset 0 Client None"),
            ("server.port", "9000", "External db at db  9000 Unset 0 Client None"),
            ("net.peer.port", "9000", "External db at db  9000 Unset 0 Client None"),
            ("network.peer.port", "9000", "External db at db  9000 Unset 0 Client None"),
            ("net.sock.peer.port", "9000", "External db at db  9000 Unset 0 Client None"),
            ("peer.port", "9000", "External db at db  9000 Unset 0 Client None"),
            (
                "url.full",
                "https://u:p@pay.example:8443/x",
                "External pay.example at pay.example  8443 Unset 0 Client None",
            ),
            ("http.url", "http://[::1]:80/", "External ::1 at ::1  0 Unset 0 Client None"),
            ("messaging.system", "AmazonSQS", "Queue aws_sqs at   0 Unset 0 Client None"),
            ("messaging.destination.template", "orders", "Queue kafka/orders at   0 Unset 0 Client None"),
            ("messaging.destination.name", "orders", "Queue kafka/orders at   0 Unset 0 Client None"),
            ("messaging.source.name", "orders", "Queue kafka/orders at   0 Unset 0 Client None"),
            ("messaging.destination", "orders", "Queue kafka/orders at   0 Unset 0 Client None"),
            ("message_bus.destination", "orders", "Queue kafka/orders at   0 Unset 0 Client None"),
            ("kafka.topic", "orders", "Queue kafka/orders at   0 Unset 0 Client None"),
            ("rabbit.queue", "orders", "Queue rabbitmq/orders at   0 Unset 0 Client None"),
            ("jms.queue", "orders", "Queue jms/orders at   0 Unset 0 Client None"),
            ("jms.topic", "orders", "Queue jms/orders at   0 Unset 0 Client None"),
            ("messaging.operation.type", "receive", " Unset 0 Consumer None"),
            ("messaging.operation", "receive", " Unset 0 Consumer None"),
            ("messaging.operation.name", "settle", " Unset 0 Internal None"),
            ("http.response.status_code", "404", " Error 0 Client None"),
            ("http.status_code", "500", " Error 0 Client None"),
            ("rpc.response.status_code", "DEADLINE_EXCEEDED", " Error 1 Client None"),
            ("rpc.grpc.status_code", "4", " Error 1 Client None"),
            ("grpc.status_code", "5", " Error 0 Client None"),
            ("rpc.system.name", "aws-api", "Queue aws_sqs at   0 Unset 0 Client None"),
            ("rpc.system", "aws-api", "Queue aws_sqs at   0 Unset 0 Client None"),
            ("rpc.service", "DynamoDB", "Database aws.dynamodb at   0 Unset 0 Client None"),
            ("aws.service", "AmazonS3", "External aws.s3 at   0 Unset 0 Client None"),
            (
                "aws.sqs.queue.url",
                "https://sqs.eu.amazonaws.com/1/jobs",
                "Queue aws_sqs/jobs at   0 Unset 0 Client None",
            ),
            ("aws.queue.url", "https://sqs.eu.amazonaws.com/1/jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
            ("aws.sns.topic.arn", "arn:aws:sns:eu:1:jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
            ("aws.kinesis.stream_name", "jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
            ("aws.s3.bucket", "jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
            ("faas.invoked_name", "resize", "Service resize at   0 Unset 0 Client None"),
            ("w3c.tracestate", "ot=th:8", " Unset 0 Client None"), // see the tests of `sampling`
            ("sampler.type", "probabilistic", " Unset 0 Client None"),
        ];
        let names: Vec<&str> = SPAN_ROWS.iter().map(|row| row.0).collect();
        let tested: Vec<&str> = expected.iter().map(|row| row.0).collect();
        assert_eq!(names, tested);
        for (name, value, expected) in expected {
            assert_eq!(told(name, value), expected, "{name}");
        }
    }

    #[test]
    fn of_names_for_one_fact_the_better_wins_in_either_order() {
        let mut ranks = std::collections::BTreeMap::<String, Vec<u8>>::new();
        for (name, fact, rank) in SPAN_ROWS {
            assert_eq!(span_attribute(name), Some((*fact, *rank)));
            ranks.entry(format!("{fact:?}")).or_default().push(*rank);
            for (other, _, worse) in SPAN_ROWS.iter().filter(|(_, f, r)| f == fact && r > rank) {
                for pair in [[*name, *other], [*other, *name]] {
                    let mut facts = SpanFacts::default();
                    pair.iter().for_each(|&n| facts.note(n, Scalar::Text(n.to_owned().into())));
                    assert_eq!(facts.text(*fact).as_deref(), Some(*name), "{name} {rank} {other} {worse}");
                }
            }
        }
        for (fact, ranks) in ranks {
            assert!(ranks.iter().copied().eq(0..ranks.len() as u8), "{fact} {ranks:?}");
        }
    }

    #[test]
    fn every_row_of_the_resource_table_tells_its_fact() {
        let expected = [
            ("service.name", "x||"),
            ("service.namespace", "x/unknown_service||"),
            ("service.instance.id", "unknown_service (x)|x|"),
            ("k8s.pod.name", "unknown_service (x)|x|"),
            ("k8s.pod.uid", "unknown_service (x)|x|"),
            ("faas.instance", "unknown_service (x)|x|"),
            ("container.id", "unknown_service (x)|x|"),
            ("host.name", "unknown_service (x)|x|"),
            ("host.id", "unknown_service (x)|x|"),
            ("hostname", "unknown_service (x)|x|"),
            ("ip", "unknown_service (x)|x|"),
            ("service.version", "unknown_service||x"),
        ];
        let names: Vec<&str> = RESOURCE_ROWS.iter().map(|row| row.0).collect();
        assert_eq!(names, expected.map(|row| row.0));
        for (name, expected) in expected {
            let mut facts = ResourceFacts::default();
            facts.note(name, text("x"));
            let mut table = SpanTable::new();
            let key = facts.key(&mut table);
            let resource = &table.resources()[key.0 as usize];
            assert_eq!(format!("{}|{}|{}", resource.service, resource.instance, resource.version), expected, "{name}");
        }
        // Of several names of an instance the one nearest to the process.
        let instances: Vec<&str> =
            RESOURCE_ROWS.iter().filter(|r| r.1 == ResourceFact::Instance).map(|r| r.0).collect();
        for pair in instances.windows(2).flat_map(|pair| [[pair[0], pair[1]], [pair[1], pair[0]]]) {
            let mut facts = ResourceFacts::default();
            pair.iter().for_each(|&n| facts.note(n, Scalar::Text(n.to_owned().into())));
            let better = instances.iter().find(|i| pair.contains(i)).unwrap();
            assert_eq!(facts.get(ResourceFact::Instance), *better);
        }
    }

    #[test]
    fn systems_have_one_name_each() {
        for (old, new) in [
            ("postgres", "postgresql"),
            ("PostgreSQL", "postgresql"),
            ("pgsql", "postgresql"),
            ("mongo", "mongodb"),
            ("mssql", "microsoft.sql_server"),
            ("sqlserver", "microsoft.sql_server"),
            ("oracle", "oracle.db"),
            ("db2", "ibm.db2"),
            ("informix", "ibm.informix"),
            ("netezza", "ibm.netezza"),
            ("hanadb", "sap.hana"),
            ("maxdb", "sap.maxdb"),
            ("adabas", "softwareag.adabas"),
            ("ingres", "actian.ingres"),
            ("firebird", "firebirdsql"),
            ("h2", "h2database"),
            ("cache", "intersystems.cache"),
            ("dynamodb", "aws.dynamodb"),
            ("redshift", "aws.redshift"),
            ("cosmosdb", "azure.cosmosdb"),
            ("spanner", "gcp.spanner"),
            ("mysql", "mysql"),
        ] {
            assert_eq!(facts(&[("db.system", text(old))]).peer(SpanKind::Client).unwrap().name, new);
        }
        for (old, new) in [("AmazonSQS", "aws_sqs"), ("aws.sqs", "aws_sqs"), ("AmazonSNS", "aws.sns")] {
            assert_eq!(facts(&[("messaging.system", text(old))]).peer(SpanKind::Producer).unwrap().name, new);
        }
        assert_eq!(SYSTEM_ALIASES.len(), 23, "each alias has a line above");
        // A client that names no port means the usual one.
        let redis = [("db.system", text("redis")), ("server.address", text("cache"))];
        assert_eq!(facts(&redis).peer(SpanKind::Client).unwrap().place.port, 6379);
        // Of a cluster the database counts, not the node that was asked.
        let cassandra = [("db.system", text("cassandra")), ("db.name", text("shop")), ("server.address", text("c-3"))];
        assert_eq!(facts(&cassandra).peer(SpanKind::Client).unwrap().place, Place::default());
    }

    #[test]
    fn vector_03_client_4xx_is_no_server_error() {
        for name in ["http.status_code", "http.response.status_code"] {
            for code in 400..500 {
                let facts = facts(&[(name, Scalar::Integer(code))]);
                assert_eq!(facts.status(SpanKind::Client, SpanStatus::Unset), SpanStatus::Error, "{code}");
                assert_eq!(facts.status(SpanKind::Server, SpanStatus::Unset), SpanStatus::Unset, "{code}");
                // Whoever set a status knows better than the code.
                assert_eq!(facts.status(SpanKind::Client, SpanStatus::Ok), SpanStatus::Ok);
                assert_eq!(facts.status(SpanKind::Server, SpanStatus::Error), SpanStatus::Error);
            }
        }
        let told = facts(&[("error", Scalar::Bool(true))]);
        assert_eq!(told.status(SpanKind::Client, SpanStatus::Ok), SpanStatus::Ok);
        assert_eq!(told.status(SpanKind::Client, SpanStatus::Unset), SpanStatus::Error);
    }
}
