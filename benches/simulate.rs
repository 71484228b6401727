//! Spans that the world records in a second: ten services behind a front, in chains and side by side, with a database and
//! a cache, timeouts and pools, for as long as half a million spans take.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hypocenter::simulate::plan::{Load, Plan};
use hypocenter::simulate::system::{
    Call, Entry, Link, Operation, Protocol, Role, Runtime, Service, Shape, Step, System, Visibility, Work,
};
use hypocenter::simulate::world;

/// Tuesday, 3 February 2026, 10:00 UTC.
const START_NS: i64 = 1_770_112_800_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

/// Who calls whom at the same time: the front three, each of them one or two, and so on.
const CALLS: [&[usize]; 12] = [&[1, 2, 3], &[4], &[5, 6], &[7], &[8, 10], &[9], &[10], &[11], &[10], &[], &[], &[]];

fn service(place: usize) -> Service {
    let (role, runtime, visibility) = match place {
        10 => (Role::Database("postgresql".to_owned()), Runtime::Native, Visibility::NoSpans { passes_context: false }),
        11 => (Role::Cache("redis".to_owned()), Runtime::Native, Visibility::NoSpans { passes_context: false }),
        _ if place.is_multiple_of(2) => (Role::Service, Runtime::Jvm, Visibility::Full),
        _ => (Role::Service, Runtime::Go, Visibility::Full),
    };
    Service {
        name: format!("service-{place}"),
        role,
        runtime,
        instances: if place < 10 { 3 } else { 1 },
        workers: 32,
        backlog: 100,
        cores: 2.0,
        memory_mib: 1_024.0,
        idle_memory_mib: 300.0,
        visibility,
        autoscale: None,
        version: "1.0.0".to_owned(),
    }
}

fn system() -> System {
    let mut system = System {
        name: "bench".to_owned(),
        namespace: "bench".to_owned(),
        services: (0..CALLS.len()).map(service).collect(),
        operations: Vec::new(),
        links: Vec::new(),
        topics: Vec::new(),
        entries: vec![Entry { operation: 0, rate_per_s: 50.0, objective_ms: 500.0 }],
        machines: 4,
        machine_cores: 16.0,
    };
    for (place, callees) in CALLS.iter().enumerate() {
        let own = Step::Work(Work { mean_us: 2_000.0, shape: Shape::LogNormal(0.5), cpu: 0.6 });
        let calls = callees.iter().map(|callee| {
            system.links.push(Link {
                caller: place,
                callee: *callee,
                network_us: 200.0,
                pool: Some(64),
                breaker: None,
            });
            let link = system.links.len() - 1;
            let timeout_us = Some(2e6);
            Call { link, operation: *callee, timeout_us, retries: 1, backoff_us: 5e4, required: true }
        });
        let calls = Step::Parallel(calls.collect());
        let protocol = if place < 10 { Protocol::Http("GET".to_owned()) } else { Protocol::Database };
        let name = format!("/operation-{place}");
        system.operations.push(Operation { service: place, name, protocol, steps: vec![own, calls] });
    }
    system
}

fn play(criterion: &mut Criterion) {
    let system = system();
    let plan = Plan {
        seed: 1,
        start_ns: START_NS,
        warm_up_ns: 0,
        duration_ns: 8 * MINUTE_NS,
        scrape_ns: 15_000_000_000,
        load: Load { factor: 1.0, daily: 0.2, weekend: 0.2, bursts: Vec::new() },
        effects: Vec::new(),
        deploys: Vec::new(),
    };
    let mut group = criterion.benchmark_group("simulate");
    group.sample_size(10);
    group.throughput(Throughput::Elements(world::run(&system, &plan).spans.len() as u64));
    group.bench_function("world", |bencher| bencher.iter(|| world::run(&system, &plan)));
    group.finish();
}

criterion_group!(benches, play);
criterion_main!(benches);
