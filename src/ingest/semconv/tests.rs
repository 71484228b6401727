//! Every row of both tables, the names of peers, and who judges what.

use super::peer::SYSTEM_ALIASES;
use super::*;
use crate::telemetry::span::{PeerKind, Place};

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
    let postgres = [("db.system", text("postgresql")), ("db.name", text("orders")), ("net.peer.name", text("pg-1"))];
    let database = Some(("postgresql/orders", PeerKind::Database));
    check(&postgres, SpanKind::Client, database);
    check(&postgres, SpanKind::Internal, database);
    check(&postgres, SpanKind::Server, None);
    let redis = [("db.system.name", text("redis")), ("server.address", text("cache"))];
    check(&redis, SpanKind::Client, Some(("redis@cache", PeerKind::Database)));
    // A library inside the service is no other end; a server that speaks for it is.
    let sqlite =
        [("db.system", text("sqlite")), ("db.name", text("/data/shop.db")), ("server.address", text("rqlite"))];
    for (attributes, role, peer) in [
        (&sqlite[..2], SpanKind::Internal, None),
        (&sqlite[..], SpanKind::Client, Some(("sqlite//data/shop.db", PeerKind::Database))),
        (&[("db.type", text("H2"))], SpanKind::Internal, None),
        (&postgres[..1], SpanKind::Client, Some(("postgresql", PeerKind::Database))),
    ] {
        assert_eq!(facts(attributes).role(SpanKind::Client), role, "{attributes:?}");
        check(attributes, SpanKind::Client, peer);
    }

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

/// (attribute, value, what it tells); written out, so that a row that is lost or changed fails.
const SPAN_FACTS: &[(&str, &str, &str)] = &[
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
    ("url.full", "https://u:p@pay.example:8443/x", "External pay.example at pay.example  8443 Unset 0 Client None"),
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
    ("messaging.destination.temporary", "true", "Queue rabbitmq/(temporary) at   0 Unset 0 Client None"),
    ("messaging.temp_destination", "true", "Queue rabbitmq/(temporary) at   0 Unset 0 Client None"),
    ("messaging.destination.anonymous", "true", "Queue rabbitmq/(anonymous) at   0 Unset 0 Client None"),
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
    ("aws.sqs.queue.url", "https://sqs.eu.amazonaws.com/1/jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
    ("aws.queue.url", "https://sqs.eu.amazonaws.com/1/jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
    ("aws.sns.topic.arn", "arn:aws:sns:eu:1:jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
    ("aws.kinesis.stream_name", "jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
    ("aws.s3.bucket", "jobs", "Queue aws_sqs/jobs at   0 Unset 0 Client None"),
    ("faas.invoked_name", "resize", "Service resize at   0 Unset 0 Client None"),
    ("w3c.tracestate", "ot=th:8", " Unset 0 Client None"), // see the tests of `sampling`
    ("sampler.type", "probabilistic", " Unset 0 Client None"),
];

/// What one attribute, with what it needs beside it, tells of a span: kind of peer, its name and place, the outcome
/// at the client, marks, role.
fn told(name: &str, value: &'static str) -> String {
    let mut facts = SpanFacts::default();
    facts.note(name, text(value));
    let beside: &[(&str, &'static str)] = match span_attribute(name).unwrap().0 {
        Fact::DatabaseName => &[("db.system.name", "mysql")],
        Fact::Destination if span_attribute(name).unwrap().1 < 5 => &[("messaging.system", "kafka")],
        Fact::Temporary | Fact::Anonymous => {
            &[("messaging.system", "rabbitmq"), ("messaging.destination.name", "amq.gen-Xa2")]
        }
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
    let names: Vec<&str> = SPAN_ROWS.iter().map(|row| row.0).collect();
    let tested: Vec<&str> = SPAN_FACTS.iter().map(|row| row.0).collect();
    assert_eq!(names, tested);
    for (name, value, expected) in SPAN_FACTS {
        assert_eq!(told(name, value), *expected, "{name}");
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
    let instances: Vec<&str> = RESOURCE_ROWS.iter().filter(|r| r.1 == ResourceFact::Instance).map(|r| r.0).collect();
    for pair in instances.windows(2).flat_map(|pair| [[pair[0], pair[1]], [pair[1], pair[0]]]) {
        let mut facts = ResourceFacts::default();
        pair.iter().for_each(|&n| facts.note(n, Scalar::Text(n.to_owned().into())));
        let better = instances.iter().find(|i| pair.contains(i)).unwrap();
        assert_eq!(facts.get(ResourceFact::Instance), *better);
    }
}

#[test]
fn names_that_change_with_every_client_or_request_make_no_nodes() {
    let name = |attributes: &[(&str, Scalar<'static>)]| facts(attributes).peer(SpanKind::Client).map(|peer| peer.name);
    let reply = [("messaging.system", text("rabbitmq")), ("messaging.destination.name", text("amq.gen-1"))];
    let with = |more: &[(&'static str, Scalar<'static>)]| name(&[&reply[..], more].concat());
    assert_eq!(
        with(&[("messaging.destination.temporary", Scalar::Bool(false))]).as_deref(),
        Some("rabbitmq/amq.gen-1")
    );
    let both =
        [("messaging.destination.temporary", Scalar::Bool(false)), ("messaging.destination.anonymous", text("true"))];
    assert_eq!(with(&both).as_deref(), Some("rabbitmq/(anonymous)"));
    // A template says more, and is as stable.
    let template =
        [("messaging.destination.template", text("reply-{id}")), ("messaging.temp_destination", text("true"))];
    assert_eq!(with(&template).as_deref(), Some("rabbitmq/reply-{id}"));
    let url = [("server.address", text("https://pay.example:8443/customers/7?token=1"))];
    let peer = facts(&url).peer(SpanKind::Client).unwrap();
    assert_eq!((peer.name.as_str(), peer.place.port), ("pay.example", 8443));
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
