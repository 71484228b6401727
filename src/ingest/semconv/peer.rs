//! The other end of an outgoing call: databases, queues, services and hosts, by names that last.

use std::borrow::Cow;

use crate::telemetry::span::{Peer, PeerKind, Place, SpanKind};

use super::super::json_stream::Scalar;
use super::{Fact, SpanFacts, is_true};

/// Messaging systems that are told by the name of the attribute that holds the destination, by its rank.
const SYSTEM_OF_DESTINATION: [(u8, &str); 4] = [(5, "kafka"), (6, "rabbitmq"), (7, "jms"), (8, "jms")];

/// The rank of the destination that stands for many of the same kind.
const TEMPLATE: u8 = 0;

/// Other names of a database or messaging system: those of conventions before `db.system.name`, and what people write.
pub(super) const SYSTEM_ALIASES: &[(&str, &str)] = &[
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

/// Databases that are libraries: without a host in the span their work is done inside the service, and is its own.
const EMBEDDED: [&str; 5] = ["sqlite", "h2database", "hsqldb", "derby", "duckdb"];

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

impl SpanFacts<'_> {
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
            return (!self.is_embedded()).then(|| self.database(&system));
        }
        if !outgoing {
            return None;
        }
        self.queue().or_else(|| self.aws()).or_else(|| self.external())
    }

    /// Whether the span is of a database that is a library in its own service.
    pub(super) fn is_embedded(&self) -> bool {
        let system = self.system(Fact::DatabaseSystem);
        system.is_some_and(|system| EMBEDDED.contains(&system.as_str()))
            && self.place().host.is_empty()
            && self.text(Fact::PeerService).is_none()
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
        let rank = self.ranked(Fact::Destination).map_or(0, |(rank, _)| rank);
        let destination = self.text(Fact::Destination);
        let implied = SYSTEM_OF_DESTINATION.iter().find(|(of, _)| *of == rank).map(|(_, system)| (*system).to_owned());
        let system = self.system(Fact::MessagingSystem).or(implied)?;
        let destination = destination.or_else(|| self.text(Fact::AwsResource));
        let passing = self.passing_destination().filter(|_| rank != TEMPLATE && destination.is_some());
        let destination = passing.map(Cow::Borrowed).or(destination);
        let name = match (destination, self.place().host.as_str()) {
            (Some(destination), _) => format!("{system}/{}", last_part(&destination)),
            (None, "") => system,
            (None, host) => format!("{system}@{host}"),
        };
        Some(Peer { name, kind: PeerKind::Queue, place: Place::default() })
    }

    /// What all destinations are called that live no longer than their client, as the conventions have it in names of
    /// spans: a reply queue for each connection would be a node for each.
    fn passing_destination(&self) -> Option<&'static str> {
        let says = |fact| self.get(fact).is_some_and(is_true);
        if says(Fact::Temporary) { Some("(temporary)") } else { says(Fact::Anonymous).then_some("(anonymous)") }
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
        // Some write a URL where a host belongs; its path and query would make a node for each request.
        let host_of = |text| if has_scheme(text) { authority_of(text) } else { Some(host_and_port(text)) };
        let named = self.get(Fact::Host).and_then(Scalar::as_text).and_then(host_of);
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
    let is_compound = has_scheme(text) || text.starts_with("arn:");
    if is_compound { text.rsplit(['/', ':']).next().unwrap_or(text) } else { text }
}

fn has_scheme(text: &str) -> bool {
    text.contains("://")
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
