//! A small shop and some of its traces, made by hand: what the tests of observing and writing look at.

use crate::simulate::recording::{
    ChangeKind, ChangeRecord, Instance, LogEvent, LogRecord, Outcome, Recording, Side, SpanRecord,
};
use crate::simulate::system::{Link, Operation, Protocol, Role, Runtime, Service, System, Topic, Visibility};

/// 2 March 2026, 10:00 UTC.
pub(crate) const START_NS: i64 = 1_772_445_600_000_000_000;

const SERVICES: [(&str, Runtime); 9] = [
    ("frontend", Runtime::Node),
    ("cart", Runtime::Go),
    ("orders", Runtime::Jvm),
    ("mailer", Runtime::Python),
    ("ranker", Runtime::Native),
    ("orders-db", Runtime::Native),
    ("sessions", Runtime::Native),
    ("events", Runtime::Jvm),
    ("api.pay.example", Runtime::Native),
];

fn role(name: &str) -> Role {
    match name {
        "orders-db" => Role::Database("postgresql".to_owned()),
        "sessions" => Role::Cache("redis".to_owned()),
        "events" => Role::Queue("kafka".to_owned()),
        "api.pay.example" => Role::External,
        _ => Role::Service,
    }
}

pub(crate) fn system() -> System {
    let service = |(name, runtime): (&str, Runtime)| Service {
        name: name.to_owned(),
        role: role(name),
        runtime,
        instances: 2,
        workers: 8,
        backlog: 100,
        cores: 1.0,
        memory_mib: 512.0,
        idle_memory_mib: 128.0,
        visibility: if role(name) == Role::Service { Visibility::Full } else { Visibility::Nothing },
        autoscale: None,
        version: "1.4.2".to_owned(),
    };
    let http = |method: &str| Protocol::Http(method.to_owned());
    let operation =
        |service, name: &str, protocol| Operation { service, name: name.to_owned(), protocol, steps: vec![] };
    let link = |caller, callee| Link { caller, callee, network_us: 200.0, pool: None, breaker: None };
    System {
        name: "shop".to_owned(),
        namespace: "shop".to_owned(),
        services: SERVICES.into_iter().map(service).collect(),
        operations: vec![
            operation(0, "/checkout", http("POST")),
            operation(1, "shop.Cart/Get", Protocol::Grpc),
            operation(2, "/orders/{id}", http("PUT")),
            operation(3, "orders", Protocol::Message),
            operation(4, "shop.Ranker/Rank", Protocol::Grpc),
            operation(5, "SELECT orders", Protocol::Database),
            operation(6, "GET", Protocol::Database),
            operation(8, "/v1/charges", http("POST")),
        ],
        links: vec![link(0, 1), link(0, 2), link(1, 6), link(2, 5), link(2, 7), link(2, 8), link(0, 4)],
        topics: vec![Topic { name: "orders".to_owned(), broker: 7, consumers: vec![3], linked: true, prefetch: 4 }],
        entries: vec![],
        machines: 3,
        machine_cores: 8.0,
    }
}

/// A stream of distinct numbers that look random (SplitMix64).
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).max(1)
}

/// Spans of one request, one after the other.
struct Request {
    number: u64,
    trace: u128,
    spans: Vec<SpanRecord>,
}

impl Request {
    fn new(number: u64) -> Self {
        let trace = (u128::from(mixed(2 * number + 1)) << 64) | u128::from(mixed(2 * number + 2));
        Self { number, trace, spans: Vec::new() }
    }

    /// Adds a span that begins and ends some ms after the request, and returns its id.
    fn add(
        &mut self,
        (side, service, operation): (Side, u32, usize),
        parent: u64,
        (from_ms, to_ms): (i64, i64),
    ) -> u64 {
        let span = mixed(self.number * 64 + self.spans.len() as u64 + (1 << 40));
        // Arrivals 100 ms apart over a minute, again and again; nanoseconds as real clocks have them.
        let arrived_ns = START_NS + (self.number % 600) as i64 * 100_000_000 + (span % 1_000_000) as i64;
        self.spans.push(SpanRecord {
            trace: self.trace,
            span,
            parent,
            link: (0, 0),
            start_ns: arrived_ns + from_ms * 1_000_000,
            end_ns: arrived_ns + to_ms * 1_000_000 + 789,
            instance: 2 * service + (self.number % 2) as u32,
            operation,
            topic: None,
            side,
            outcome: Outcome::Ok,
            attempt: 0,
        });
        span
    }

    fn last(&mut self) -> &mut SpanRecord {
        self.spans.last_mut().expect("a span was added")
    }
}

const FAILURES: [Outcome; 11] = [
    Outcome::Failed,
    Outcome::InvalidAnswer,
    Outcome::DependencyFailed,
    Outcome::TimedOut,
    Outcome::Refused,
    Outcome::Reset,
    Outcome::NameNotFound,
    Outcome::Overloaded,
    Outcome::BreakerOpen,
    Outcome::PoolTimedOut,
    Outcome::Rejected,
];

fn request(number: u64) -> Vec<SpanRecord> {
    let mut request = Request::new(number);
    let root = request.add((Side::Server, 0, 0), 0, (0, if number % 40 == 7 { 500 } else { 90 }));
    let to_cart = request.add((Side::Client, 0, 1), root, (1, 20));
    let cart = request.add((Side::Server, 1, 1), to_cart, (2, 19));
    request.add((Side::Client, 1, 6), cart, (3, 5));
    let to_orders = request.add((Side::Client, 0, 2), root, (21, 85));
    let orders = request.add((Side::Server, 2, 2), to_orders, (22, 84));
    request.add((Side::Client, 2, 5), orders, (23, 40));
    request.add((Side::Client, 2, 7), orders, (41, 60));
    request.add((Side::Producer, 2, 0), orders, (61, 64));
    request.last().topic = Some(0);
    let producer = request.last().span;
    let to_ranker = request.add((Side::Client, 0, 4), root, (86, 89));
    request.add((Side::Server, 4, 4), to_ranker, (87, 88));
    request.add((Side::Consumer, 3, 3), 0, (70, 95));
    let first = request.trace;
    let consumer = request.last();
    (consumer.topic, consumer.link) = (Some(0), (first, producer));
    consumer.trace = (u128::from(mixed(number + (1 << 50))) << 64) | u128::from(mixed(number + (1 << 51)));
    // Each failure at each of the spans in turn, and a second attempt.
    if number % 10 == 3 {
        let (which, outcome) = ((number / 10) as usize, FAILURES[(number / 10) as usize % FAILURES.len()]);
        let n = request.spans.len();
        request.spans[which % n].outcome = outcome;
        if request.spans[which % n].side == Side::Client {
            let failed = request.spans[which % n];
            request.spans.push(SpanRecord { span: mixed(failed.span), attempt: 1, outcome: Outcome::Ok, ..failed });
        }
    }
    request.spans
}

/// The system and the recording of this many requests, two traces each.
pub(crate) fn shop(n_requests: u64) -> (System, Recording) {
    let system = system();
    let pod = |nth: u32| {
        let service = (nth / 2) as usize;
        Instance {
            service,
            pod: format!("{}-6b5d8f7c9-h7jr{}", system.services[service].name, nth % 2),
            machine: system.machine_of(service, nth % 2),
            version: if nth.is_multiple_of(2) { "1.4.2" } else { "1.5.0" }.to_owned(),
            started_ns: START_NS,
            ended_ns: None,
        }
    };
    let mut spans: Vec<SpanRecord> = (0..n_requests).flat_map(request).collect();
    spans.sort_by_key(|span| (span.end_ns, span.span));
    let change = |seconds: i64, kind, version: Option<&str>, description: &str| ChangeRecord {
        at_ns: START_NS + seconds * 1_000_000_000,
        service: 1,
        kind,
        version: version.map(str::to_owned),
        description: description.to_owned(),
    };
    let recording = Recording {
        instances: (0..2 * SERVICES.len() as u32).map(pod).collect(),
        logs: logs(&spans),
        spans,
        changes: vec![
            change(5, ChangeKind::Deploy, Some("1.5.0"), "Cart: \"faster\" lookups"),
            change(9, ChangeKind::Config, None, "cache.ttl from 60s to 5s"),
            change(12, ChangeKind::Scale, None, "replicas from 2 to 3"),
        ],
        ..Recording::default()
    };
    (system, recording)
}

/// Each event of a log once for each instance of a service, some with the trace of a span.
fn logs(spans: &[SpanRecord]) -> Vec<LogRecord> {
    let mut events = vec![
        LogEvent::Served(1, 12.25),
        LogEvent::Failed(1),
        LogEvent::InvalidAnswer(0, 1),
        LogEvent::EndedEarly(1),
        LogEvent::PoolEmpty(3),
        LogEvent::BreakerOpened(0),
        LogEvent::BreakerClosed(0),
        LogEvent::LockWait(250.5),
        LogEvent::SlowStatement(5, 1520.3),
        LogEvent::GarbagePause(180.0),
        LogEvent::OutOfMemory,
        LogEvent::Started,
        LogEvent::Stopping,
    ];
    events.extend(FAILURES.map(|outcome| LogEvent::CallFailed(0, 1, outcome)));
    events.extend((0..8).map(LogEvent::Routine));
    let mut logs = Vec::new();
    for (nth, event) in events.into_iter().enumerate() {
        for instance in (0..12).step_by(2) {
            let span = spans.get(nth);
            logs.push(LogRecord {
                at_ns: START_NS + nth as i64 * 1_000_000_000 + i64::from(instance) * 1_000_003,
                instance,
                event,
                trace: span.map_or(0, |span| span.trace),
                span: span.map_or(0, |span| span.span),
            });
        }
    }
    logs
}
