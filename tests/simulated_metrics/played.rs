//! A small run, written down by hand: a shop of four services in which the cart begins to fail after 20 minutes.

use hypocenter::simulate::plan::{Load, Plan};
use hypocenter::simulate::random::Random;
use hypocenter::simulate::recording::*;
use hypocenter::simulate::system::*;

/// Monday, 2 February 2026, 09:00 UTC.
pub(crate) const START_NS: i64 = 1_770_022_800 * SECOND_NS;
pub(crate) const SECOND_NS: i64 = 1_000_000_000;
pub(crate) const DURATION_S: i64 = 1800;
/// From here on a third of all checkouts fails, and what does not takes five times as long.
pub(crate) const FAULT_S: i64 = 1200;
/// When the cart's first pod is replaced by one of another version.
pub(crate) const DEPLOY_S: i64 = 600;
/// When the other pod of the cart runs out of memory.
pub(crate) const KILLED_S: i64 = 1500;
const SCRAPE_S: i64 = 15;

fn service(name: &str, role: Role, runtime: Runtime, instances: u32) -> Service {
    let visibility = match role {
        Role::Service => Visibility::Full,
        Role::External => Visibility::Nothing,
        Role::Database(_) | Role::Cache(_) | Role::Queue(_) => Visibility::NoSpans { passes_context: false },
    };
    Service {
        name: name.to_owned(),
        role,
        runtime,
        instances,
        workers: 16,
        backlog: 100,
        cores: 1.0,
        memory_mib: 512.0,
        idle_memory_mib: 200.0,
        visibility,
        autoscale: None,
        version: "1.4.2".to_owned(),
    }
}

fn operation(service: ServiceIdx, name: &str, protocol: Protocol) -> Operation {
    Operation { service, name: name.to_owned(), protocol, steps: Vec::new() }
}

pub(crate) fn system() -> System {
    let link = |caller, callee, pool| Link { caller, callee, network_us: 200.0, pool, breaker: None };
    System {
        name: "small".to_owned(),
        namespace: "shop".to_owned(),
        services: vec![
            service("front", Role::Service, Runtime::Go, 2),
            service("cart", Role::Service, Runtime::Jvm, 2),
            service("orders-db", Role::Database("postgresql".to_owned()), Runtime::Native, 1),
            service("bus", Role::Queue("kafka".to_owned()), Runtime::Native, 1),
            service("shipping", Role::Service, Runtime::Python, 1),
            service("api.cardpay.example", Role::External, Runtime::Native, 1),
        ],
        operations: vec![
            operation(0, "/checkout", Protocol::Http("POST".to_owned())),
            operation(1, "shop.Cart/Take", Protocol::Grpc),
            operation(2, "INSERT orders", Protocol::Database),
            operation(4, "ship", Protocol::Message),
            // A route that has to be escaped wherever it is written.
            operation(0, "/cart/{id}/\"a\\b\"", Protocol::Http("GET".to_owned())),
        ],
        links: vec![link(0, 1, None), link(1, 2, Some(10)), link(1, 3, None), link(3, 4, None)],
        topics: vec![Topic { name: "orders".to_owned(), broker: 3, consumers: vec![3], linked: true, prefetch: 4 }],
        entries: vec![
            Entry { operation: 0, rate_per_s: 8.0, objective_ms: 150.0 },
            Entry { operation: 4, rate_per_s: 4.0, objective_ms: 150.0 },
        ],
        machines: 3,
        machine_cores: 4.0,
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        seed: 7,
        start_ns: START_NS,
        warm_up_ns: 0,
        duration_ns: DURATION_S * SECOND_NS,
        scrape_ns: SCRAPE_S * SECOND_NS,
        load: Load { factor: 1.0, daily: 0.0, weekend: 0.0, bursts: Vec::new() },
        effects: Vec::new(),
        deploys: Vec::new(),
    }
}

/// With the fault.
pub(crate) fn played() -> (System, Recording) {
    run(FAULT_S)
}

/// Without it.
pub(crate) fn quiet() -> (System, Recording) {
    run(i64::MAX)
}

fn run(fault_s: i64) -> (System, Recording) {
    let system = system();
    let instance = |service, pod: &str, machine, version: &str, from_s: i64, until_s: Option<i64>| Instance {
        service,
        pod: pod.to_owned(),
        machine,
        version: version.to_owned(),
        started_ns: START_NS + from_s * SECOND_NS,
        ended_ns: until_s.map(|s| START_NS + s * SECOND_NS),
    };
    let instances = vec![
        instance(0, "front-5c8d7b6f44-b2k9x", 0, "1.4.2", -600, None),
        instance(0, "front-5c8d7b6f44-x7j2l", 1, "1.4.2", -600, None),
        instance(1, "cart-6b5d8f7c94-h7jrw", 1, "1.4.2", -600, Some(DEPLOY_S)),
        instance(1, "cart-6b5d8f7c94-n4kvz", 2, "1.4.2", -600, None),
        instance(2, "orders-db-0", 0, "15.4", -600, None),
        instance(3, "bus-0", 1, "3.6.1", -600, None),
        instance(4, "shipping-7f9c6d5b88-q2wtx", 2, "2.0.0", -600, None),
        instance(5, "api.cardpay.example-0", 0, "1", -600, None),
        instance(1, "cart-77d9c8b5f6-m8txk", 1, "1.5.0", DEPLOY_S, None),
    ];
    let mut recording = Recording { instances, ..Recording::default() };
    let mut random = Random::of_part(7, "by hand");
    let mut at_s = 0.0;
    loop {
        at_s += random.exponential(1.0 / 8.0);
        if at_s >= DURATION_S as f64 {
            break;
        }
        let start_ns = START_NS + (at_s * 1e9) as i64;
        checkout(&mut recording, &mut random, start_ns, (at_s as i64) >= fault_s);
        if random.chance(0.5) {
            look(&mut recording, &mut random, start_ns);
        }
    }
    recording.spans.sort_by_key(|span| (span.end_ns, span.span));
    readings(&mut recording, fault_s);
    let change = |at_s: i64, kind, version: &str| ChangeRecord {
        at_ns: START_NS + at_s * SECOND_NS,
        service: 1,
        kind,
        version: Some(version.to_owned()),
        description: "cart 1.5.0".to_owned(),
    };
    recording.changes = vec![change(DEPLOY_S, ChangeKind::Deploy, "1.5.0")];
    let killed = START_NS + KILLED_S * SECOND_NS;
    recording.logs = vec![LogRecord { at_ns: killed, instance: 3, event: LogEvent::OutOfMemory, trace: 0, span: 0 }];
    (system, recording)
}

/// A request that asks nobody else.
fn look(recording: &mut Recording, random: &mut Random, start_ns: i64) {
    recording.spans.push(SpanRecord {
        trace: u128::from(random.bits() | 1),
        span: random.bits() | 1,
        parent: 0,
        link: (0, 0),
        start_ns,
        end_ns: start_ns + (random.log_normal(20.0, 0.5) * 1e6) as i64,
        instance: 1,
        operation: 4,
        topic: None,
        side: Side::Server,
        outcome: Outcome::Ok,
        attempt: 0,
    });
}

fn checkout(recording: &mut Recording, random: &mut Random, start_ns: i64, broken: bool) {
    let since_s = (start_ns - START_NS) / SECOND_NS;
    let own_ms = random.log_normal(if broken { 150.0 } else { 30.0 }, 0.5);
    let failed = broken && random.chance(0.33);
    let outcome = |failed: bool, how| if failed { how } else { Outcome::Ok };
    let trace = (u128::from(random.bits()) << 64) | u128::from(random.bits() | 1);
    let mut push = |parent, instance, side, operation, from_ms: f64, until_ms: f64, outcome| {
        let span = random.bits() | 1;
        let at = |ms: f64| start_ns + (ms * 1e6) as i64;
        let topic = matches!(side, Side::Consumer | Side::Producer).then_some(0);
        let (start_ns, end_ns, link) = (at(from_ms), at(until_ms), (0, 0));
        let record = SpanRecord {
            trace,
            span,
            parent,
            link,
            start_ns,
            end_ns,
            instance,
            operation,
            topic,
            side,
            outcome,
            attempt: 0,
        };
        recording.spans.push(record);
        span
    };
    let cart = if since_s < DEPLOY_S { 2 } else { 8 };
    let end = own_ms + 6.0;
    let root = push(0, 0, Side::Server, 0, 0.0, end, outcome(failed, Outcome::DependencyFailed));
    let client = push(root, 0, Side::Client, 1, 2.0, end - 2.0, outcome(failed, Outcome::Failed));
    let server = push(client, cart, Side::Server, 1, 2.5, end - 2.5, outcome(failed, Outcome::Failed));
    push(server, cart, Side::Client, 2, 3.0, 5.0, Outcome::Ok);
    if !failed {
        let sent = push(server, cart, Side::Producer, 0, 5.0, 6.0, Outcome::Ok);
        push(sent, 6, Side::Consumer, 3, 8.0, 20.0, Outcome::Ok);
    }
}

/// Every pod at its own phase.
fn readings(recording: &mut Recording, fault_s: i64) {
    for n in 0..DURATION_S / SCRAPE_S {
        for (index, instance) in (0..).zip(&recording.instances) {
            let at_ns = START_NS + n * SCRAPE_S * SECOND_NS + i64::from(index) * 1_234_567_891;
            if at_ns < instance.started_ns || instance.ended_ns.is_some_and(|end| at_ns >= end) {
                continue;
            }
            let killed_ns = START_NS + KILLED_S * SECOND_NS;
            let is_after_kill = index == 3 && at_ns >= killed_ns;
            let begin_ns = if is_after_kill { killed_ns } else { instance.started_ns };
            let age_us = (at_ns - begin_ns).unsigned_abs() / 1000;
            recording.instance_samples.push(InstanceSample {
                at_ns,
                instance: index,
                cpu_us: age_us / 10 * (u64::from(index) + 1) / 2,
                cpu_periods: age_us / 100_000,
                cpu_throttled_periods: age_us / 1_000_000,
                memory_bytes: 300 << 20,
                gc_us: age_us / 50,
                received_bytes: age_us / 10,
                sent_bytes: age_us / 5,
                written_bytes: age_us / 100,
                disk_us: age_us / 20,
                restarts: u32::from(is_after_kill),
                ready: age_us > 15_000_000,
                busy_workers: 3,
                waiting: 1,
                cpu_limit: 1.0,
            });
            if instance.service == 1 {
                let (link, size, used, waiting) = (1, 10, 4, 0);
                recording.pool_samples.push(PoolSample { at_ns, instance: index, link, size, used, waiting });
            }
        }
        let at_ns = START_NS + n * SCRAPE_S * SECOND_NS + 4_321_000_000;
        let lag = 5 + u64::try_from(n.saturating_mul(SCRAPE_S).saturating_sub(fault_s).max(0)).unwrap() * 3;
        recording.topic_samples.push(TopicSample { at_ns, topic: 0, consumer: 0, lag });
        let cpu_us = u64::try_from(n * SCRAPE_S).unwrap() * 1_500_000;
        recording.neighbour_samples.push(NeighbourSample { at_ns, machine: 2, cpu_us });
    }
}
