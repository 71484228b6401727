//! OpenTelemetry's semantic conventions as far as they move the graph, old and new names alike.
//!
//! Source: semantic conventions 1.44.0, and the names that they replaced. Which name wins where a span carries both is
//! told by its rank, never by the order in which they come.

use std::borrow::Cow;

use crate::telemetry::span::{PeerKind, ResourceKey, SpanKind, SpanStatus, SpanTable};

use super::json_stream::Scalar;
use super::sampling::{self, Said};

/// What an attribute of a span tells us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fact {
    Kind,
    Error,
    StatusCode,
    PeerService,
    DatabaseSystem,
    DatabaseName,
    Host,
    Url,
    MessagingSystem,
    Destination,
    HttpStatus,
    RpcStatus,
    TraceState,
    SamplerType,
    Sampling,
}

const N_FACTS: usize = Fact::Sampling as usize + 1;

/// The one table of span attributes: what a name tells, and its rank among the names that tell the same (0 wins).
fn span_attribute(name: &str) -> Option<(Fact, u8)> {
    Some(match name {
        "span.kind" => (Fact::Kind, 0),
        "error" => (Fact::Error, 0),
        "otel.status_code" => (Fact::StatusCode, 0),
        "service.peer.name" => (Fact::PeerService, 0),
        "peer.service" => (Fact::PeerService, 1),
        "db.system.name" => (Fact::DatabaseSystem, 0),
        "db.system" => (Fact::DatabaseSystem, 1),
        "db.type" => (Fact::DatabaseSystem, 2), // OpenTracing
        "db.namespace" => (Fact::DatabaseName, 0),
        "db.name" => (Fact::DatabaseName, 1),
        "db.instance" => (Fact::DatabaseName, 2), // OpenTracing
        "server.address" => (Fact::Host, 0),
        "net.peer.name" => (Fact::Host, 1),
        "network.peer.address" => (Fact::Host, 2),
        "peer.hostname" => (Fact::Host, 3), // OpenTracing
        "url.full" => (Fact::Url, 0),
        "http.url" => (Fact::Url, 1),
        "messaging.system" => (Fact::MessagingSystem, 0),
        "messaging.destination.template" => (Fact::Destination, 0), // low-cardinality where the name is not
        "messaging.destination.name" => (Fact::Destination, 1),
        "messaging.destination" => (Fact::Destination, 2),
        "http.response.status_code" => (Fact::HttpStatus, 0),
        "http.status_code" => (Fact::HttpStatus, 1),
        "rpc.response.status_code" => (Fact::RpcStatus, 0),
        "rpc.grpc.status_code" => (Fact::RpcStatus, 1),
        "w3c.tracestate" => (Fact::TraceState, 0), // where Jaeger and Zipkin keep it
        "sampler.type" => (Fact::SamplerType, 0),  // Jaeger
        _ => return None,
    })
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

    /// The outcome as this side judged it: an `error` tag that is true, else the status that was set, else what the
    /// codes of HTTP and gRPC mean on this side of the call (a 4xx is the caller's failure, not the callee's).
    pub(crate) fn status(&self, kind: SpanKind, set: SpanStatus) -> SpanStatus {
        if self.get(Fact::Error).is_some_and(is_true) {
            return SpanStatus::Error;
        }
        let set = match set {
            SpanStatus::Unset => self.get(Fact::StatusCode).and_then(status).unwrap_or_default(),
            SpanStatus::Ok | SpanStatus::Error => set,
        };
        if set != SpanStatus::Unset {
            return set;
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

    /// The other end of an outgoing call, as far as the span names it.
    pub(crate) fn peer(&self, kind: SpanKind) -> Option<(String, PeerKind)> {
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
        let database = self.text(Fact::DatabaseSystem);
        if let Some(service) = self.text(Fact::PeerService) {
            // The name that people gave it, but still a database.
            let kind = if database.is_some() { PeerKind::Database } else { PeerKind::Service };
            return Some((service.into_owned(), kind));
        }
        if let Some(system) = database {
            let name = match (self.text(Fact::DatabaseName), self.host()) {
                (Some(namespace), _) => format!("{system}/{namespace}"),
                (None, Some(host)) => format!("{system}@{host}"),
                (None, None) => system.into_owned(),
            };
            return Some((name, PeerKind::Database));
        }
        if !outgoing {
            return None;
        }
        self.queue().or_else(|| self.host().map(|host| (host.to_owned(), PeerKind::External)))
    }

    fn queue(&self) -> Option<(String, PeerKind)> {
        let system = self.text(Fact::MessagingSystem)?;
        let name = match (self.text(Fact::Destination), self.host()) {
            (Some(destination), _) => format!("{system}/{destination}"),
            (None, Some(host)) => format!("{system}@{host}"),
            (None, None) => system.into_owned(),
        };
        Some((name, PeerKind::Queue))
    }

    fn host(&self) -> Option<&str> {
        let named = self.get(Fact::Host).and_then(Scalar::as_text).map(str::trim);
        named.or_else(|| host_of(self.get(Fact::Url)?.as_text()?))
    }
}

/// The host of a URL, without credentials and port.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        // An IPv6 address keeps its colons.
        Some(literal) => literal.split(']').next()?,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
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

/// The one table of resource attributes, ranked as the span attributes are.
fn resource_attribute(name: &str) -> Option<(ResourceFact, u8)> {
    Some(match name {
        "service.name" => (ResourceFact::Name, 0),
        "service.namespace" => (ResourceFact::Namespace, 0),
        "service.instance.id" => (ResourceFact::Instance, 0),
        "k8s.pod.name" => (ResourceFact::Instance, 1),
        "host.name" => (ResourceFact::Instance, 2),
        "hostname" => (ResourceFact::Instance, 3), // Jaeger's own clients
        "service.version" => (ResourceFact::Version, 0),
        _ => return None,
    })
}

/// What the attributes of one resource tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
            assert_eq!(facts(&attributes).peer(SpanKind::Client), Some(("new".to_owned(), PeerKind::Service)));
        }
    }

    #[test]
    fn peers_have_stable_names_by_what_they_are() {
        let check = |attributes: &[(&str, Scalar<'static>)], kind, expected: Option<(&str, PeerKind)>| {
            let expected = expected.map(|(name, kind)| (name.to_owned(), kind));
            assert_eq!(facts(attributes).peer(kind), expected, "{attributes:?} {kind:?}");
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
}
