//! Every knob does what its documentation says, on three services in a row, the last of them of constant time.

use super::super::run;
use super::support::{
    MINUTE_NS, START_NS, call, effect, empty, entry, link, mean_ms, operation, plan, service, share, spans,
};
use crate::simulate::plan::{Effect, Knob, Target, Which};
use crate::simulate::recording::{InstanceSample, LogEvent, Outcome, Recording, Side};
use crate::simulate::system::{Shape, Step, System, Work};

/// Places in the system below: services, operations; the links have the place of their caller.
const FRONT: usize = 0;
const MIDDLE: usize = 1;
const LEAF: usize = 2;
const RATE_PER_S: f64 = 50.0;
/// Of a leaf left alone: 3 ms of CPU and 3 ms of waiting.
const LEAF_MS: f64 = 6.0;

fn chain() -> System {
    let mut system = empty();
    for name in ["front", "middle", "leaf"] {
        service(&mut system, name, 200);
    }
    for caller in [FRONT, MIDDLE] {
        link(&mut system, caller, caller + 1);
        operation(&mut system, caller, "/ask", vec![Step::Call(call(caller, caller + 1))]);
    }
    let work = Work { mean_us: LEAF_MS * 1_000.0, shape: Shape::Constant, cpu: 0.5 };
    operation(&mut system, LEAF, "/leaf", vec![Step::Work(work)]);
    entry(&mut system, FRONT, RATE_PER_S);
    system
}

/// With effects from minute 3 to minute 6 of 8.
fn played(system: &System, turned: &[(Target, Knob)]) -> Recording {
    let mut plan = plan(8);
    plan.effects = turned.iter().map(|(target, knob)| effect(target.clone(), *knob, 3, 6)).collect();
    run(system, &plan)
}

fn leaf() -> Target {
    Target::Instances(LEAF, Which::All)
}

/// Mean time of the leaf's server spans before, during and after.
fn leaf_ms(recording: &Recording) -> [f64; 3] {
    [0..3, 3..6, 7..8].map(|minutes| mean_ms(&spans(recording, Side::Server, LEAF, minutes)))
}

/// Per second, of a counter of the leaf in µs: before and during.
fn per_s(recording: &Recording, counter: fn(&InstanceSample) -> u64) -> [f64; 2] {
    [0..3, 3..6].map(|minutes| {
        let of_leaf = |sample: &&InstanceSample| {
            recording.instances[sample.instance as usize].service == LEAF
                && (minutes.start..minutes.end).contains(&((sample.at_ns - START_NS) / MINUTE_NS))
        };
        let samples: Vec<&InstanceSample> = recording.instance_samples.iter().filter(of_leaf).collect();
        let (first, last) = (samples[0], samples[samples.len() - 1]);
        (counter(last) - counter(first)) as f64 / ((last.at_ns - first.at_ns) as f64 / 1e3)
    })
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} against {expected} ± {tolerance}");
}

/// A share of `n` within five standard errors.
#[track_caller]
fn near_share(found: f64, expected: f64, n: usize) {
    near(found, expected, 5.0 * (expected * (1.0 - expected) / n as f64).sqrt());
}

#[test]
fn work_takes_longer_and_burns_more() {
    let recording = played(&chain(), &[(leaf(), Knob::Work(3.0))]);
    let [before, during, after] = leaf_ms(&recording);
    near(before, LEAF_MS, 0.001);
    near(during, 3.0 * LEAF_MS, 0.05);
    near(after, LEAF_MS, 0.001);
    let [before, during] = per_s(&recording, |sample| sample.cpu_us);
    // 50 a second of 3 ms and 9 ms, in 165 s: 8 250 requests.
    near(before, 0.154, 0.154 * 0.06);
    near(during, 0.454, 0.454 * 0.06);
}

#[test]
fn waits_and_pauses_take_longer_without_cpu() {
    let recording = played(&chain(), &[(leaf(), Knob::Wait(3.0)), (leaf(), Knob::Pause(4_000.0))]);
    near(leaf_ms(&recording)[1], 3.0 + 9.0 + 4.0, 0.05);
    near(per_s(&recording, |sample| sample.cpu_us)[1], 0.154, 0.154 * 0.06);
}

#[test]
fn a_hog_takes_the_cpu_of_the_service_and_throttles_it() {
    let mut system = chain();
    system.services[LEAF].cores = 2.0;
    let recording = played(&system, &[(leaf(), Knob::Hog(3.0))]);
    let [before, during, _] = leaf_ms(&recording);
    near(before, LEAF_MS, 0.001);
    // One request: (3 + 0.5) / 2 times 3 ms of CPU, and 3 ms of waiting; a second one beside it: 4 / 2 times.
    assert!((8.25..9.0).contains(&during), "{during}");
    near(per_s(&recording, |sample| sample.cpu_us)[1], 2.0, 0.2);
    let throttled = per_s(&recording, |sample| sample.cpu_throttled_periods * 100_000);
    near(throttled[0], 0.0, 0.001);
    near(throttled[1], 1.0, 0.02);
}

#[test]
fn a_low_limit_throttles() {
    let recording = played(&chain(), &[(leaf(), Knob::CpuLimit(0.25))]);
    let [_, during, _] = leaf_ms(&recording);
    // Alone: 0.5 / 0.25 times 3 ms of CPU, and 3 ms of waiting; 50 a second ask for 0.15 of the 0.25 cores.
    assert!((9.0..20.0).contains(&during), "{during}");
    assert!(per_s(&recording, |sample| sample.cpu_throttled_periods)[1] > 0.0);
    let in_force = recording.instance_samples.iter().filter(|sample| sample.cpu_limit < 0.3).count();
    near(in_force as f64, 12.0, 1.0);
}

#[test]
fn a_lock_is_held_by_one_at_a_time() {
    let recording = played(&chain(), &[(leaf(), Knob::Lock(10_000.0))]);
    // M/D/1 at half load: a wait of ρ/(2(1-ρ)) = half a holding time. Work of 6 ms and the lock of 10 ms besides.
    near(leaf_ms(&recording)[1], 6.0 + 10.0 + 5.0, 1.0);
}

#[test]
fn a_busy_disk_slows_what_waits() {
    let recording = played(&chain(), &[(leaf(), Knob::Disk(0.75))]);
    near(leaf_ms(&recording)[1], 3.0 + 3.0 / 0.25, 0.05);
    near(per_s(&recording, |sample| sample.disk_us)[1], 0.75, 0.1);
}

#[test]
fn failures_are_those_of_the_callee_and_callers_depend_on_it() {
    let recording = played(&chain(), &[(leaf(), Knob::Fail(0.3))]);
    let served = spans(&recording, Side::Server, LEAF, 3..6);
    near_share(share(&served, Outcome::Failed), 0.3, served.len());
    let failed: Vec<_> = served.iter().filter(|span| span.outcome == Outcome::Failed).copied().collect();
    // Half of the work on average, uniformly.
    near(mean_ms(&failed), LEAF_MS / 2.0, 5.0 * LEAF_MS / (12.0 * failed.len() as f64).sqrt());
    let asked = spans(&recording, Side::Client, LEAF, 3..6);
    near_share(share(&asked, Outcome::Failed), 0.3, asked.len());
    for caller in [MIDDLE, FRONT] {
        let callers = spans(&recording, Side::Server, caller, 3..6);
        near_share(share(&callers, Outcome::DependencyFailed), 0.3, callers.len());
    }
    near(share(&spans(&recording, Side::Server, FRONT, 0..3), Outcome::Ok), 1.0, 0.0);
    let lines = recording.logs.iter().filter(|line| line.event == LogEvent::Failed(LEAF)).count();
    // 15 a second fail, five of them are logged.
    assert!((700..=905).contains(&lines), "{lines}");
}

#[test]
fn wrong_answers_fail_at_the_caller() {
    let recording = played(&chain(), &[(leaf(), Knob::Corrupt(0.3))]);
    near(share(&spans(&recording, Side::Server, LEAF, 3..6), Outcome::Ok), 1.0, 0.0);
    near(share(&spans(&recording, Side::Client, LEAF, 3..6), Outcome::Ok), 1.0, 0.0);
    let middle = spans(&recording, Side::Server, MIDDLE, 3..6);
    near_share(share(&middle, Outcome::InvalidAnswer), 0.3, middle.len());
    let asked = spans(&recording, Side::Client, MIDDLE, 3..6);
    near(share(&asked, Outcome::Failed), share(&middle, Outcome::InvalidAnswer), 0.001);
}

#[test]
fn early_ends_leave_calls_out() {
    let recording = played(&chain(), &[(Target::Instances(MIDDLE, Which::All), Knob::ReturnEarly(0.3))]);
    let middle = spans(&recording, Side::Server, MIDDLE, 3..6);
    near(share(&middle, Outcome::Ok), 1.0, 0.0);
    let leaf = spans(&recording, Side::Server, LEAF, 3..6);
    near_share(leaf.len() as f64 / middle.len() as f64, 0.7, middle.len());
}

#[test]
fn the_network_delays_both_ways() {
    let recording = played(&chain(), &[(Target::Link(MIDDLE), Knob::Delay(5_000.0))]);
    let way_ms = |minutes: std::ops::Range<i64>| {
        let asked = mean_ms(&spans(&recording, Side::Client, LEAF, minutes.clone()));
        asked - mean_ms(&spans(&recording, Side::Server, LEAF, minutes))
    };
    near(way_ms(0..3), 0.2, 0.01);
    // 9 000 calls with two exponential parts of 2.5 ms each.
    near(way_ms(3..6), 10.2, 5.0 * 2.5 * (2.0_f64 / 9_000.0).sqrt() + 0.01);
    near(leaf_ms(&recording)[1], LEAF_MS, 0.001);
}

#[test]
fn lost_messages_are_sent_again() {
    let recording = played(&chain(), &[(Target::Network(LEAF), Knob::Loss(0.1))]);
    let asked = mean_ms(&spans(&recording, Side::Client, LEAF, 3..6));
    // 200 ms, 400 ms, … with 0.1 each: 200 p / (1 - 2p) = 25 ms a message, two messages.
    near(asked, LEAF_MS + 0.2 + 50.0, 8.0);
}

#[test]
fn a_cut_way_hangs_until_the_timeout() {
    let recording = played(&chain(), &[(Target::Link(MIDDLE), Knob::Cut)]);
    let asked = spans(&recording, Side::Client, LEAF, 4..6);
    near(share(&asked, Outcome::TimedOut), 1.0, 0.0);
    near(mean_ms(&asked), 5_000.0, 0.1);
    assert!(spans(&recording, Side::Server, LEAF, 4..6).is_empty());
    near(share(&spans(&recording, Side::Server, LEAF, 7..8), Outcome::Ok), 1.0, 0.0);
}

#[test]
fn a_service_that_is_cut_off_from_all_gets_no_requests() {
    let recording = played(&chain(), &[(Target::Network(FRONT), Knob::Cut)]);
    assert!(spans(&recording, Side::Server, LEAF, 4..6).is_empty());
    assert!(spans(&recording, Side::Server, FRONT, 4..6).is_empty());
    assert!(!spans(&recording, Side::Server, FRONT, 6..8).is_empty());
}

#[test]
fn names_settings_and_timeouts_fail_calls() {
    let recording = played(&chain(), &[(Target::CallsFrom(MIDDLE), Knob::NoName(0.4))]);
    let asked = spans(&recording, Side::Client, LEAF, 3..6);
    near_share(share(&asked, Outcome::NameNotFound), 0.4, asked.len());

    let recording = played(&chain(), &[(Target::Link(MIDDLE), Knob::Misconfigured(0.5))]);
    for side in [Side::Client, Side::Server] {
        let refused = spans(&recording, side, LEAF, 3..6);
        near_share(share(&refused, Outcome::Rejected), 0.5, refused.len());
    }

    let recording = played(&chain(), &[(Target::Link(MIDDLE), Knob::Timeout(3_000.0))]);
    let asked = spans(&recording, Side::Client, LEAF, 3..6);
    near(share(&asked, Outcome::TimedOut), 1.0, 0.0005);
    near(mean_ms(&asked), 3.0, 0.01);
    // The callee works on.
    near(leaf_ms(&recording)[1], LEAF_MS, 0.001);
    near(share(&spans(&recording, Side::Server, LEAF, 3..6), Outcome::Ok), 1.0, 0.0);
}

#[test]
fn further_attempts_multiply_calls() {
    let turned = [(Target::Link(MIDDLE), Knob::Retries(2)), (leaf(), Knob::Fail(0.5))];
    let recording = played(&chain(), &turned);
    let middle = spans(&recording, Side::Server, MIDDLE, 3..6);
    let asked = spans(&recording, Side::Client, LEAF, 3..6);
    // 1 + 1/2 + 1/4 attempts; one in eight fails three times.
    near(asked.len() as f64 / middle.len() as f64, 1.75, 0.05);
    near_share(share(&middle, Outcome::DependencyFailed), 0.125, middle.len());
    assert_eq!(asked.iter().map(|span| span.attempt).max(), Some(2));
}

#[test]
fn a_small_pool_makes_calls_wait() {
    let recording = played(&chain(), &[(Target::Link(MIDDLE), Knob::Pool(1))]);
    // One connection, held for 6.2 ms 50 times a second: ρ = 0.31, M/D/1 (nearly): ρ/(2(1-ρ)) 6.2 ms = 1.39 ms.
    near(mean_ms(&spans(&recording, Side::Client, LEAF, 3..6)), 6.2 + 1.39, 0.25);
    assert!(recording.pool_samples.iter().all(|sample| sample.size == 1 && sample.used <= 1 && sample.link == MIDDLE));
    near(recording.pool_samples.len() as f64, 12.0, 1.0);
}

#[test]
fn a_neighbour_takes_the_machine() {
    let mut system = chain();
    // One pod to a machine of one core.
    (system.machines, system.machine_cores) = (100, 1.0);
    let machine = system.machine_of(LEAF, 0);
    let recording = played(&system, &[(Target::Machine(machine), Knob::Neighbour(1.5))]);
    let [before, during, _] = leaf_ms(&recording);
    // Alone: (0.5 + 1.5) / 1 times 3 ms of CPU, and 3 ms of waiting.
    near(before, LEAF_MS, 0.3);
    assert!((9.0..10.0).contains(&during), "{during}");
    let neighbours = &recording.neighbour_samples;
    near(neighbours.len() as f64, 12.0, 1.0);
    let (first, last) = (neighbours[0], neighbours[neighbours.len() - 1]);
    let cores = (last.cpu_us - first.cpu_us) as f64 / ((last.at_ns - first.at_ns) as f64 / 1e3);
    // It gets 1.5 / (1.5 + what the leaf asks for) of the core.
    assert!((0.8..1.0).contains(&cores), "{cores}");
    assert!(neighbours.iter().all(|sample| sample.machine == machine));
}

#[test]
fn more_requests_arrive() {
    let recording = played(&chain(), &[(Target::Load, Knob::Arrivals(2.5))]);
    for (minutes, factor) in [(0..3, 1.0), (3..6, 2.5), (7..8, 1.0)] {
        let expected = RATE_PER_S * factor * 60.0 * (minutes.end - minutes.start) as f64;
        near(spans(&recording, Side::Server, FRONT, minutes).len() as f64, expected, 5.0 * expected.sqrt());
    }
}

#[test]
fn an_effect_grows_to_its_size() {
    let mut plan = plan(8);
    plan.effects = vec![Effect { ramp_ns: 2 * MINUTE_NS, ..effect(leaf(), Knob::Pause(40_000.0), 2, 8) }];
    let recording = run(&chain(), &plan);
    let at_ms = |minute: i64| mean_ms(&spans(&recording, Side::Server, LEAF, minute..minute + 1)) - LEAF_MS;
    near(at_ms(1), 0.0, 0.001);
    near(at_ms(2), 10.0, 1.0);
    near(at_ms(3), 30.0, 1.0);
    near(at_ms(4), 40.0, 0.5);
}

#[test]
fn an_effect_is_on_the_instances_that_are_meant() {
    let mut system = chain();
    system.services[LEAF].instances = 3;
    let one = Target::Instances(LEAF, Which::Nth(1));
    let recording = played(&system, &[(one, Knob::Pause(50_000.0))]);
    for span in spans(&recording, Side::Server, LEAF, 3..6) {
        let slow = span.end_ns - span.start_ns > 50_000_000;
        // The front's and the middle's pods come first; a request from before the effect may end in it.
        assert!(slow == (span.instance == 3) || span.start_ns < START_NS + 3 * MINUTE_NS, "{span:?}");
    }
}
