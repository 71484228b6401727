//! Small systems and plans for the tests of the world.

use crate::simulate::plan::{Effect, Knob, Load, Plan, Target};
use crate::simulate::recording::{Outcome, Recording, Side, SpanRecord};
use crate::simulate::system::{
    Call, Entry, Link, LinkIdx, Operation, OperationIdx, Protocol, Role, Runtime, Service, ServiceIdx, Shape, Step,
    System, Topic, Visibility, Work,
};

/// Tuesday, 3 February 2026, 10:00 UTC.
pub(crate) const START_NS: i64 = 1_770_112_800_000_000_000;
pub(crate) const SECOND_NS: i64 = 1_000_000_000;
pub(crate) const MINUTE_NS: i64 = 60 * SECOND_NS;

/// A system without anything; machines with more cores than anybody asks for.
pub(crate) fn empty() -> System {
    System {
        name: "test".to_owned(),
        namespace: "test".to_owned(),
        services: Vec::new(),
        operations: Vec::new(),
        links: Vec::new(),
        topics: Vec::new(),
        entries: Vec::new(),
        machines: 3,
        machine_cores: 1_000.0,
    }
}

/// Adds a service of one instance with so many workers; enough of everything else.
pub(crate) fn service(system: &mut System, name: &str, workers: u32) -> ServiceIdx {
    system.services.push(Service {
        name: name.to_owned(),
        role: Role::Service,
        runtime: Runtime::Native,
        instances: 1,
        workers,
        backlog: 1_000_000,
        cores: 1_000.0,
        memory_mib: 1_000_000.0,
        idle_memory_mib: 100.0,
        visibility: Visibility::Full,
        autoscale: None,
        version: "1.0.0".to_owned(),
    });
    system.services.len() - 1
}

/// Adds an operation.
pub(crate) fn operation(system: &mut System, service: ServiceIdx, name: &str, steps: Vec<Step>) -> OperationIdx {
    let protocol = match system.services[service].role {
        Role::Database(_) | Role::Cache(_) => Protocol::Database,
        _ => Protocol::Http("GET".to_owned()),
    };
    system.operations.push(Operation { service, name: name.to_owned(), protocol, steps });
    system.operations.len() - 1
}

/// Adds a link with a network of 100 µs.
pub(crate) fn link(system: &mut System, caller: ServiceIdx, callee: ServiceIdx) -> LinkIdx {
    system.links.push(Link { caller, callee, network_us: 100.0, pool: None, breaker: None });
    system.links.len() - 1
}

/// Adds an entry.
pub(crate) fn entry(system: &mut System, operation: OperationIdx, rate_per_s: f64) {
    system.entries.push(Entry { operation, rate_per_s, objective_ms: 1_000.0 });
}

/// A topic whose messages one operation takes.
pub(crate) fn topic(system: &mut System, broker: ServiceIdx, consumer: OperationIdx, prefetch: u32) -> usize {
    system.topics.push(Topic { name: "orders".to_owned(), broker, consumers: vec![consumer], linked: false, prefetch });
    system.topics.len() - 1
}

/// Work that only waits.
pub(crate) fn wait(mean_us: f64, shape: Shape) -> Step {
    Step::Work(Work { mean_us, shape, cpu: 0.0 })
}

/// Work that only burns CPU.
pub(crate) fn burn(mean_us: f64, shape: Shape) -> Step {
    Step::Work(Work { mean_us, shape, cpu: 1.0 })
}

/// A required call without timeout and further attempts.
pub(crate) fn call(link: LinkIdx, operation: OperationIdx) -> Call {
    Call { link, operation, timeout_us: None, retries: 0, backoff_us: 0.0, required: true }
}

/// Even load for so many minutes.
pub(crate) fn plan(minutes: i64) -> Plan {
    Plan {
        seed: 1,
        start_ns: START_NS,
        warm_up_ns: MINUTE_NS,
        duration_ns: minutes * MINUTE_NS,
        scrape_ns: 15 * SECOND_NS,
        load: Load { factor: 1.0, daily: 0.0, weekend: 0.0, bursts: Vec::new() },
        effects: Vec::new(),
        deploys: Vec::new(),
    }
}

/// An effect between two minutes of the plan, at once.
pub(crate) fn effect(target: Target, knob: Knob, from_minute: i64, until_minute: i64) -> Effect {
    Effect {
        target,
        knob,
        from_ns: START_NS + from_minute * MINUTE_NS,
        until_ns: START_NS + until_minute * MINUTE_NS,
        ramp_ns: 0,
    }
}

/// Spans of one side of an operation that end between two minutes of the plan.
pub(crate) fn spans(
    recording: &Recording,
    side: Side,
    operation: OperationIdx,
    minutes: std::ops::Range<i64>,
) -> Vec<SpanRecord> {
    let from_ns = START_NS + minutes.start * MINUTE_NS;
    let until_ns = START_NS + minutes.end * MINUTE_NS;
    let matching = recording
        .spans
        .iter()
        .filter(|span| span.side == side && span.operation == operation && (from_ns..until_ns).contains(&span.end_ns));
    matching.copied().collect()
}

/// Mean length, ms.
pub(crate) fn mean_ms(spans: &[SpanRecord]) -> f64 {
    spans.iter().map(|span| (span.end_ns - span.start_ns) as f64 / 1e6).sum::<f64>() / spans.len() as f64
}

/// Share that ended so.
pub(crate) fn share(spans: &[SpanRecord], outcome: Outcome) -> f64 {
    spans.iter().filter(|span| span.outcome == outcome).count() as f64 / spans.len() as f64
}

/// Whether there are some, and all ended so.
pub(crate) fn all_ended(spans: &[SpanRecord], outcome: Outcome) -> bool {
    !spans.is_empty() && spans.iter().all(|span| span.outcome == outcome)
}
