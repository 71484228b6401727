//! Memory, restarts and silence: how a container dies and what its callers see of it.

use super::super::run;
use super::support::{
    MINUTE_NS, SECOND_NS, START_NS, all_ended, burn, call, effect, empty, entry, link, mean_ms, operation, plan,
    service, share, spans,
};
use crate::simulate::plan::{Knob, Plan, Target, Which};
use crate::simulate::recording::{InstanceSample, LogEvent, LogRecord, Outcome, Recording, Side};
use crate::simulate::system::{Runtime, Shape, Step, System};

/// A front that calls a back end of so many pods of 512 MiB in Java, 30 a second.
fn pair(pods: u32) -> System {
    let mut system = empty();
    let front = service(&mut system, "front", 200);
    let back = service(&mut system, "back", 50);
    let way = link(&mut system, front, back);
    let settings = &mut system.services[back];
    (settings.instances, settings.runtime, settings.memory_mib) = (pods, Runtime::Jvm, 512.0);
    settings.cores = 2.0;
    operation(&mut system, front, "/front", vec![Step::Call(call(way, 1))]);
    operation(&mut system, back, "/back", vec![burn(5_000.0, Shape::LogNormal(0.4))]);
    entry(&mut system, 0, 30.0);
    system
}

fn with(knob: Knob, which: Which, minutes: i64) -> Plan {
    let mut plan = plan(minutes);
    plan.effects = vec![effect(Target::Instances(1, which), knob, 2, minutes)];
    plan
}

fn samples(recording: &Recording, instance: u32) -> Vec<InstanceSample> {
    recording.instance_samples.iter().filter(|sample| sample.instance == instance).copied().collect()
}

fn lines(recording: &Recording, event: LogEvent) -> Vec<LogRecord> {
    recording.logs.iter().filter(|line| line.event == event).copied().collect()
}

#[test]
fn a_leak_pauses_more_and_more_until_the_container_is_killed() {
    // 100 MiB and 1.5 MiB a second: the limit of 512 MiB after 275 s, a little earlier with up to 50 requests in work.
    let recording = run(&pair(2), &with(Knob::Leak(1.5), Which::Nth(0), 10));
    let killed = lines(&recording, LogEvent::OutOfMemory);
    assert_eq!(killed[0].instance, 1);
    let after_s = (killed[0].at_ns - START_NS) as f64 / 1e9 - 120.0;
    assert!((265.0..275.0).contains(&after_s), "{after_s}");
    let leaking = samples(&recording, 1);
    let at = |minute: i64| *leaking.iter().find(|sample| sample.at_ns >= START_NS + minute * MINUTE_NS).unwrap();
    let pauses = |from: i64, until: i64| at(until).gc_us - at(from).gc_us;
    assert!(pauses(5, 6) > 5 * pauses(0, 1), "{} {}", pauses(5, 6), pauses(0, 1));
    assert!(at(6).memory_bytes > 400 << 20);
    assert!(!lines(&recording, LogEvent::GarbagePause(0.0)).iter().any(|line| line.instance == 2));
    // Work in progress is lengthened by the pauses.
    let of_leaking = |minutes: std::ops::Range<i64>| {
        let mut served = spans(&recording, Side::Server, 1, minutes);
        served.retain(|span| span.instance == 1);
        mean_ms(&served)
    };
    assert!(of_leaking(5..6) > 1.5 * of_leaking(0..1));
    // It is started again, with new counters and without what leaked.
    let restarted = leaking.iter().find(|sample| sample.restarts == 1 && sample.ready).unwrap();
    assert!(restarted.memory_bytes < 300 << 20 && restarted.cpu_us < at(6).cpu_us);
    let down_s = (restarted.at_ns - killed[0].at_ns) / SECOND_NS;
    assert!((15..=31).contains(&down_s), "{down_s}");
    // The other pod takes over once clients know; until then connections are refused.
    let asked = spans(&recording, Side::Client, 1, 6..7);
    let (refused, reset) = (share(&asked, Outcome::Refused), share(&asked, Outcome::Reset));
    assert!(refused > 0.0 && refused + reset < 0.1, "{refused} {reset}");
}

#[test]
fn a_container_that_is_killed_again_and_again_is_held_back() {
    let recording = run(&pair(1), &with(Knob::Allocate(600.0), Which::All, 10));
    let killed_s: Vec<i64> =
        lines(&recording, LogEvent::OutOfMemory).iter().map(|line| (line.at_ns - START_NS) / SECOND_NS).collect();
    let between: Vec<i64> = killed_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // 15 s to start and 10 s until it happens again, and then 10, 20, 40, … more.
    assert!(between.len() >= 4);
    for (gap, expected) in between.iter().zip([25, 35, 45, 65]) {
        assert!((gap - expected).abs() <= 1, "{between:?}");
    }
    let asked = spans(&recording, Side::Client, 1, 3..10);
    assert!(share(&asked, Outcome::Refused) > 0.5);
}

#[test]
fn a_silent_pod_sends_nothing_and_the_others_take_over() {
    let mut plan = with(Knob::Down, Which::Nth(1), 8);
    plan.effects[0].until_ns = START_NS + 5 * MINUTE_NS;
    let recording = run(&pair(3), &plan);
    // The front is instance 0.
    let silent = 2;
    let inside = |at_ns: i64| (START_NS + 2 * MINUTE_NS..START_NS + 5 * MINUTE_NS).contains(&at_ns);
    assert!(!recording.spans.iter().any(|span| span.instance == silent && inside(span.end_ns - 1)));
    assert!(!samples(&recording, silent).iter().any(|sample| inside(sample.at_ns)));
    assert!(!recording.logs.iter().any(|line| line.instance == silent && inside(line.at_ns - 1)));
    // A third of the calls is refused for the 20 s in which clients do not know.
    let asked = spans(&recording, Side::Client, 1, 2..3);
    let refused = share(&asked, Outcome::Refused);
    assert!((refused - 1.0 / 9.0).abs() < 0.04, "{refused}");
    assert!(all_ended(&spans(&recording, Side::Client, 1, 3..5), Outcome::Ok));
    assert!(spans(&recording, Side::Server, 1, 6..8).iter().any(|span| span.instance == silent));
}

#[test]
fn a_service_that_is_down_is_refused_by_the_network() {
    let recording = run(&pair(2), &with(Knob::Down, Which::All, 5));
    assert!(all_ended(&spans(&recording, Side::Client, 1, 3..5), Outcome::Refused));
    assert!(all_ended(&spans(&recording, Side::Server, 0, 3..5), Outcome::DependencyFailed));
    assert!(spans(&recording, Side::Server, 1, 3..5).is_empty());
}
