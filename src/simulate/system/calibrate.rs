//! As much of everything as the load of a system asks for: workers, limits, pools, timeouts, promises.
//!
//! A system that is nearly idle shows no queues whatever goes wrong, and one that is nearly full fails by itself. So
//! workers are counted such that about a third of them are busy at the mean load: twice the load is felt, and a service
//! that takes three times as long is saturated.
//! Few workers must be less busy than many, lest waiting is all that the slowest requests do.

use super::flow::Flow;
use super::queueing::mean_wait;
use super::{Call, Role, Step, System};

/// Share of its workers that a service has busy at most at the mean load.
const BUSY_SERVICE: f64 = 0.42;
/// The same of databases, which are shared by many.
const BUSY_DATABASE: f64 = 0.5;
/// Longest mean wait for a worker at the mean load, as a share of the time of service. One worker alone may be busy for
/// a quarter of the time then; two together already reach the shares above.
const WAIT: f64 = 1.0 / 3.0;
/// Workers of one pod at most: what needs more is no system that can be played.
const MOST_WORKERS: u32 = 10_000;
/// The same of the cores in the CPU limit.
const BUSY_CORES: f64 = 0.35;
/// Callers wait this many times the usual time before they give up, and then up to the next of these, ms.
const PATIENCE: f64 = 8.0;
const TIMEOUTS_MS: [f64; 7] = [1_000.0, 2_000.0, 3_000.0, 5_000.0, 10_000.0, 20_000.0, 30_000.0];
/// What is promised is this many times the mean under load: with log-normal times of the deviations used here the 99th
/// percentile is at two to three times the mean, and waits have longer tails than work.
const PROMISE: f64 = 4.0;
/// Steps to which promises are rounded up, ms.
const PROMISES_MS: [f64; 20] = [
    100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1_000.0, 1_250.0, 1_500.0, 2_000.0, 2_500.0,
    3_000.0, 4_000.0, 5_000.0, 6_000.0, 8_000.0, 10_000.0,
];

/// Sets what follows from the load. Numbers of workers and cores that are there already are the least.
pub(super) fn calibrate(system: &mut System) {
    let flow = Flow::of(system);
    size_services(system, &flow);
    size_topics(system, &flow);
    size_pools(system, &flow);
    for at in 0..system.operations.len() {
        let mut steps = std::mem::take(&mut system.operations[at].steps);
        for call in steps.iter_mut().flat_map(calls_of) {
            call.timeout_us = Some(timeout_us(system, &flow, call));
        }
        system.operations[at].steps = steps;
    }
    let loaded = Flow::with_queues(system);
    for at in 0..system.entries.len() {
        let usual_ms = loaded.request_us(system, system.entries[at].operation) / 1e3;
        system.entries[at].objective_ms = up_to(&PROMISES_MS, PROMISE * usual_ms);
    }
}

fn size_services(system: &mut System, flow: &Flow) {
    let workers = flow.busy_workers(system);
    let cores = flow.busy_cores(system);
    for (at, service) in system.services.iter_mut().enumerate() {
        let most_busy = match service.role {
            Role::Service => BUSY_SERVICE,
            Role::Database(_) | Role::Cache(_) | Role::Queue(_) | Role::External => BUSY_DATABASE,
        };
        let instances = f64::from(service.instances);
        let busy = workers[at] / instances;
        service.workers = service.workers.max((busy / most_busy).ceil() as u32).min(MOST_WORKERS);
        while service.workers < MOST_WORKERS
            && (busy > most_busy * f64::from(service.workers) || mean_wait(busy, service.workers) > WAIT)
        {
            service.workers += 1;
        }
        // Below one core even a lone request would be slowed down; limits come in halves.
        service.cores = service.cores.max((2.0 * cores[at] / instances / BUSY_CORES).ceil() / 2.0);
    }
}

fn size_topics(system: &mut System, flow: &Flow) {
    for at in 0..system.topics.len() {
        let busiest = flow.busy_consumers(system, at).into_iter().fold(0.0, f64::max);
        system.topics[at].prefetch = ((busiest / BUSY_SERVICE).ceil() as u32).max(1);
    }
}

/// Only databases have pools: fewer connections than a caller has workers, as people set them, so that a slow database
/// is felt as an empty pool first.
fn size_pools(system: &mut System, flow: &Flow) {
    for at in 0..system.links.len() {
        let link = system.links[at];
        if !matches!(system.services[link.callee].role, Role::Database(_)) {
            continue;
        }
        let caller = &system.services[link.caller];
        let of_service = |operation: &usize| system.operations[*operation].service == link.caller;
        let consumes = system.topics.iter().filter(|topic| topic.consumers.iter().any(of_service));
        let workers = caller.workers + consumes.map(|topic| topic.prefetch).sum::<u32>();
        let usual = flow.connections[at] / f64::from(caller.instances);
        system.links[at].pool = Some((0.7 * f64::from(workers)).max(4.0 * usual).ceil().max(2.0) as u32);
    }
}

fn timeout_us(system: &System, flow: &Flow, call: &Call) -> f64 {
    1e3 * up_to(&TIMEOUTS_MS, PATIENCE * flow.call_us(system, call) / 1e3)
}

/// The first step that is not below `wanted`; above the last one, whole multiples of it.
fn up_to(steps: &[f64], wanted: f64) -> f64 {
    let last = steps.last().copied().unwrap_or(1.0);
    steps.iter().copied().find(|step| *step >= wanted).unwrap_or((wanted / last).ceil() * last)
}

fn calls_of(step: &mut Step) -> &mut [Call] {
    match step {
        Step::Call(call) | Step::Lookup { call, .. } => std::slice::from_mut(call),
        Step::Parallel(calls) => calls,
        Step::Work(_) | Step::Publish { .. } | Step::Sometimes { .. } => &mut [],
    }
}
