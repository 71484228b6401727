//! What holds of every system that comes with the program.

use super::check::check;
use super::flow::Flow;
use super::*;

/// The systems by name, and generated ones of many sizes and seeds.
fn systems() -> Vec<(String, System)> {
    let named = ["shop", "booking"].map(|name| (name.to_owned(), 0));
    let random = (0..60).map(|seed| ("generated".to_owned(), seed));
    let sized = [1, 2, 5, 20, 100, 1000].map(|size| (format!("generated:{size}"), 7));
    let all = named.into_iter().chain(random).chain(sized);
    all.map(|(name, seed)| (format!("{name} of seed {seed}"), by_name(&name, seed).unwrap())).collect()
}

#[test]
fn every_system_can_be_played_and_all_of_it_is_used() {
    for (name, system) in systems() {
        check(&system).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        let flow = Flow::of(&system);
        for (at, operation) in system.operations.iter().enumerate() {
            assert!(flow.rates_per_s[at] > 0.0, "{name}: nobody asks {}", operation.name);
        }
        for (at, service) in system.services.iter().enumerate() {
            let asked = system.operations.iter().any(|operation| operation.service == at);
            let carries = system.topics.iter().any(|topic| topic.broker == at);
            assert!(asked || carries, "{name}: {} is there for nothing", service.name);
        }
        assert!(system.topics.iter().all(|topic| !topic.consumers.is_empty()), "{name}: a topic without consumers");
    }
}

#[test]
fn no_service_is_near_its_limits_at_the_mean_load() {
    for (name, system) in systems() {
        let flow = Flow::of(&system);
        for (service, utilisation) in system.services.iter().zip(flow.utilisation(&system)) {
            let most = if service.role == Role::Service { 0.45 } else { 0.6 };
            assert!(utilisation <= most, "{name}: {} is busy for {utilisation:.2} of the time", service.name);
        }
        let busiest = flow.utilisation(&system).into_iter().fold(0.0, f64::max);
        assert!(busiest > 0.08, "{name}: nothing is busy, {busiest:.2} at most");
        for topic in 0..system.topics.len() {
            let prefetch = f64::from(system.topics[topic].prefetch);
            let busy = flow.busy_consumers(&system, topic).into_iter().fold(0.0, f64::max);
            assert!(busy <= 0.45 * prefetch, "{name}: consumers of {} hardly keep up", system.topics[topic].name);
        }
    }
}

#[test]
fn requests_come_and_leave_spans_as_stated() {
    let of = |name: &str| {
        let system = by_name(name, 1).unwrap();
        let rate: f64 = system.entries.iter().map(|entry| entry.rate_per_s).sum();
        (rate, Flow::of(&system).spans_per_request(&system))
    };
    for (name, least, most) in [("shop", 8.0, 14.0), ("booking", 15.0, 25.0)] {
        let (rate, spans) = of(name);
        assert!((7.5..=12.0).contains(&rate), "{name}: {rate} requests per second");
        assert!((least..=most).contains(&spans), "{name}: {spans} spans per request");
    }
    for size in [5, 20, 100, 1000] {
        let (rate, spans) = of(&format!("generated:{size}"));
        assert!((rate - 8.0).abs() < 1e-9 && (2.0..=22.0).contains(&spans), "{size}: {rate} per second, {spans} spans");
    }
}

#[test]
fn timeouts_and_promises_leave_room_for_the_usual() {
    for (name, system) in systems() {
        let flow = Flow::with_queues(&system);
        for step in system.operations.iter().flat_map(|operation| &operation.steps) {
            let (Step::Call(call) | Step::Lookup { call, .. }) = step else { continue };
            let usual_us = flow.call_us(&system, call);
            let timeout_us = call.timeout_us.unwrap();
            assert!(timeout_us > 5.0 * usual_us, "{name}: {timeout_us} µs to wait for {usual_us} µs");
        }
        for entry in &system.entries {
            let usual_ms = flow.request_us(&system, entry.operation) / 1e3;
            assert!(entry.objective_ms >= 4.0 * usual_ms, "{name}: {} ms of {usual_ms}", entry.objective_ms);
        }
    }
}

#[test]
fn a_seed_is_one_system_and_a_name_that_is_none_is_told() {
    assert_eq!(by_name("generated", 3), by_name("generated", 3));
    assert_ne!(by_name("generated", 3), by_name("generated", 4));
    for name in ["shops", "", "generated:", "generated:0", "generated:x", "generated:5001"] {
        assert_eq!(by_name(name, 1), None, "{name}");
    }
    let count = |name: &str| {
        let system = by_name(name, 9).unwrap();
        system.services.iter().filter(|service| service.role == Role::Service).count()
    };
    assert_eq!((count("shop"), count("booking"), count("generated:33")), (10, 40, 33));
    for seed in 0..40 {
        let system = by_name("generated", seed).unwrap();
        let services = system.services.iter().filter(|service| service.role == Role::Service).count();
        assert!((8..=60).contains(&services), "{services} services");
    }
}

#[test]
fn names_list_what_by_name_knows() {
    assert!(NAMES.iter().all(|(name, about)| by_name(name, 5).is_some() && !about.is_empty()));
}
