//! What a slow or failing callee does to its callers: saturation, timeouts, pools, breakers, caches.

use super::super::run;
use super::support::{
    MINUTE_NS, START_NS, all_ended, call, effect, empty, entry, link, mean_ms, operation, plan, service, share, spans,
    wait,
};
use crate::simulate::plan::{Knob, Target, Which};
use crate::simulate::recording::{LogEvent, Outcome, Recording, Side};
use crate::simulate::system::{Breaker, Call, Role, Shape, Step, System, Visibility};

/// A front that calls a back end, 40 a second.
fn pair(front_workers: u32, back_workers: u32, back_us: f64, change: impl FnOnce(&mut Call)) -> System {
    let mut system = empty();
    let front = service(&mut system, "front", front_workers);
    let back = service(&mut system, "back", back_workers);
    let way = link(&mut system, front, back);
    let mut asked = call(way, 1);
    change(&mut asked);
    operation(&mut system, front, "/front", vec![wait(1_000.0, Shape::Exponential), Step::Call(asked)]);
    operation(&mut system, back, "/back", vec![wait(back_us, Shape::Exponential)]);
    entry(&mut system, 0, 40.0);
    system
}

fn back() -> Target {
    Target::Instances(1, Which::All)
}

#[test]
fn saturation_moves_up_from_callee_to_caller() {
    // Four workers of 40 ms: 1.6 of 4 in use. Three times slower, 4.8 are asked for.
    let mut system = pair(20, 4, 40_000.0, |_| ());
    system.services[0].backlog = 50;
    let mut plan = plan(20);
    plan.effects = vec![effect(back(), Knob::Wait(3.0), 2, 20)];
    let recording = run(&system, &plan);
    let busiest = |instance: u32, from: i64, until: i64| {
        let samples = recording.instance_samples.iter().filter(|sample| {
            let minute = (sample.at_ns - START_NS) / MINUTE_NS;
            sample.instance == instance && (from..until).contains(&minute)
        });
        samples.map(|sample| (sample.busy_workers, sample.waiting)).max().unwrap_or_default()
    };
    assert!(busiest(0, 0, 2).0 < 15 && busiest(0, 0, 2).1 == 0);
    // First the workers of the callee, then those of the caller, then its queue, and then it refuses.
    assert_eq!(busiest(1, 3, 8).0, 4);
    assert_eq!(busiest(0, 4, 8), (20, 50));
    let refused = share(&spans(&recording, Side::Server, 0, 5..20), Outcome::Overloaded);
    // 4 / 0.12 s = 33.3 a second of 40 get through: one in six is refused (deviation between seeds: 0.007).
    assert!((refused - 1.0 / 6.0).abs() < 0.035, "{refused}");
}

#[test]
fn timeouts_are_tried_again_with_doubled_pauses() {
    let system = pair(1_000, 1_000, 5_000.0, |call| {
        (call.timeout_us, call.retries, call.backoff_us) = (Some(50_000.0), 2, 100_000.0);
    });
    let mut plan = plan(4);
    plan.effects = vec![effect(back(), Knob::Pause(200_000.0), 2, 4)];
    let recording = run(&system, &plan);
    let asked = spans(&recording, Side::Client, 1, 2..4);
    let timed_out: Vec<_> = asked.iter().filter(|span| span.outcome == Outcome::TimedOut).collect();
    assert!(timed_out.iter().all(|span| span.end_ns - span.start_ns == 50_000_000));
    for attempt in 0..3 {
        let count = timed_out.iter().filter(|span| span.attempt == attempt).count();
        // 40 a second for two minutes.
        assert!((4_800_i64 - count as i64).abs() < 5 * 70 + 20, "{count}");
    }
    // Between attempts half to all of 100 ms, then of 200 ms.
    let of_one = |trace: u128| asked.iter().filter(move |span| span.trace == trace).collect::<Vec<_>>();
    let three = asked.iter().rev().map(|span| of_one(span.trace)).find(|spans| spans.len() == 3).unwrap();
    let pause_ms = |nth: usize| (three[nth + 1].start_ns - three[nth].end_ns) as f64 / 1e6;
    assert!((50.0..100.0).contains(&pause_ms(0)) && (100.0..200.0).contains(&pause_ms(1)));
    // The callee works on for nobody, three times for each request.
    let served = spans(&recording, Side::Server, 1, 3..4);
    assert!(all_ended(&served, Outcome::Ok));
    assert!(served.len() > 2 * 40 * 60);
    assert!(share(&spans(&recording, Side::Server, 0, 3..4), Outcome::DependencyFailed) > 0.99);
}

#[test]
fn a_pool_that_is_too_small_for_a_slow_database_runs_out() {
    let mut system = pair(1_000, 100, 20_000.0, |_| ());
    system.services[1].role = Role::Database("postgresql".to_owned());
    system.services[1].visibility = Visibility::NoSpans { passes_context: false };
    system.operations[1].protocol = crate::simulate::system::Protocol::Database;
    system.links[0].pool = Some(5);
    let mut plan = plan(8);
    plan.effects = vec![effect(back(), Knob::Wait(10.0), 3, 6)];
    let recording = run(&system, &plan);
    // 5 connections of 200 ms: 25 a second of 40; the others get none within 5 s.
    let asked = spans(&recording, Side::Client, 1, 4..6);
    let rate = asked.len() as f64 / 120.0;
    assert!((rate - 25.0).abs() < 5.0 * (25.0_f64 / 120.0).sqrt() + 0.2, "{rate}");
    // The wait is the caller's own: the spans of the database are as long as its work.
    assert!((mean_ms(&asked) - 200.2).abs() < 5.0 * 200.0 / (asked.len() as f64).sqrt());
    let failed = share(&spans(&recording, Side::Server, 0, 4..6), Outcome::DependencyFailed);
    assert!((failed - 15.0 / 40.0).abs() < 0.06, "{failed}");
    assert!(recording.logs.iter().any(|line| line.event == LogEvent::PoolEmpty(0)));
    let full = |sample: &&crate::simulate::recording::PoolSample| sample.used == 5 && sample.waiting > 50;
    assert!(recording.pool_samples.iter().filter(full).count() >= 6);
    assert!(recording.pool_samples.iter().all(|sample| sample.used <= 5 && sample.size == 5));
    assert!(share(&spans(&recording, Side::Server, 0, 7..8), Outcome::Ok) > 0.999);
}

#[test]
fn a_breaker_opens_probes_and_closes() {
    let mut system = pair(100, 100, 5_000.0, |_| ());
    system.links[0].breaker = Some(Breaker { window: 20, failures: 0.5, open_us: 5e6 });
    let mut plan = plan(6);
    plan.effects = vec![effect(back(), Knob::Fail(1.0), 2, 4)];
    let recording = run(&system, &plan);
    let during = spans(&recording, Side::Client, 1, 2..4);
    let asked = during.iter().filter(|span| span.outcome != Outcome::BreakerOpen).count();
    // Some twenty before it opens, and a probe every five seconds.
    assert!((10 + 20..20 + 26).contains(&asked), "{asked}");
    assert!(share(&during, Outcome::BreakerOpen) > 0.98);
    let events: Vec<LogEvent> = recording.logs.iter().map(|line| line.event).collect();
    let count = |event: LogEvent| events.iter().filter(|found| **found == event).count();
    assert!(count(LogEvent::BreakerOpened(0)) >= 20);
    assert_eq!(count(LogEvent::BreakerClosed(0)), 1);
    assert!(all_ended(&spans(&recording, Side::Client, 1, 5..6), Outcome::Ok));
}

/// A front that asks a cache, and a database on a miss: 100 a second, of which 90 % hit.
fn cached() -> System {
    let mut system = empty();
    let front = service(&mut system, "front", 100);
    let cache = service(&mut system, "sessions", 100);
    let database = service(&mut system, "store", 100);
    system.services[cache].role = Role::Cache("redis".to_owned());
    system.services[database].role = Role::Database("postgresql".to_owned());
    let (to_cache, to_database) = (link(&mut system, front, cache), link(&mut system, front, database));
    let lookup = Step::Lookup { call: call(to_cache, 1), hit_ratio: 0.9, skip: 1 };
    operation(&mut system, front, "/front", vec![lookup, Step::Call(call(to_database, 2))]);
    operation(&mut system, cache, "GET", vec![wait(200.0, Shape::Exponential)]);
    operation(&mut system, database, "SELECT sessions", vec![wait(2_000.0, Shape::Exponential)]);
    entry(&mut system, 0, 100.0);
    system
}

fn misses(recording: &Recording, minutes: std::ops::Range<i64>) -> f64 {
    let asked = spans(recording, Side::Client, 1, minutes.clone()).len();
    spans(recording, Side::Client, 2, minutes).len() as f64 / asked as f64
}

#[test]
fn a_flushed_cache_misses_and_fills_again() {
    let mut plan = plan(10);
    plan.effects = vec![effect(Target::Instances(1, Which::All), Knob::Flush(6_000.0), 2, 10)];
    let recording = run(&cached(), &plan);
    assert!((misses(&recording, 0..2) - 0.1).abs() < 0.015);
    // With u = 1 - w and m misses so far, u = exp(-m / 6000), and a lookup misses with 1 - 0.9 w = 0.1 + 0.9 u. Over
    // 6 000 lookups that is dm/dl = 0.1 + 0.9 exp(-m / 6000): m(6000) = 4 312.0 by SciPy's solve_ivp.
    let first = misses(&recording, 2..3);
    assert!((first - 4_312.0 / 6_000.0).abs() < 0.03, "{first}");
    let later = misses(&recording, 8..10);
    assert!(later < first / 2.0 && later > 0.1, "{later}");
}

#[test]
fn what_is_not_required_may_fail() {
    let system = pair(100, 100, 5_000.0, |call| call.required = false);
    let mut plan = plan(3);
    plan.effects = vec![effect(back(), Knob::Fail(1.0), 1, 3)];
    let recording = run(&system, &plan);
    assert!(all_ended(&spans(&recording, Side::Server, 0, 0..3), Outcome::Ok));
    assert!(share(&spans(&recording, Side::Client, 1, 2..3), Outcome::Failed) > 0.999);
}
