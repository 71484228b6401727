//! What the platform does: deploys, scaling, names, scrapes; and the rhythm of the load.

use std::collections::BTreeSet;

use super::super::load::intensity;
use super::super::run;
use super::support::{
    MINUTE_NS, SECOND_NS, START_NS, all_ended, burn, effect, empty, entry, operation, plan, service, share, spans,
};
use crate::simulate::plan::{Deploy, Knob, Target, Which};
use crate::simulate::recording::{ChangeKind, Outcome, Side};
use crate::simulate::system::{Autoscale, Role, Shape, System};

/// One service of three pods: 60 requests a second of 10 ms of CPU, 0.2 cores a pod.
fn desk() -> System {
    let mut system = empty();
    let place = service(&mut system, "desk", 50);
    (system.services[place].instances, system.services[place].cores) = (3, 1.0);
    operation(&mut system, place, "/serve", vec![burn(10_000.0, Shape::LogNormal(0.5))]);
    entry(&mut system, 0, 60.0);
    system
}

fn deploy(pods: Option<u32>) -> Deploy {
    Deploy {
        at_ns: START_NS + 2 * MINUTE_NS,
        service: 0,
        version: "1.1.0".to_owned(),
        pods,
        step_ns: 40 * SECOND_NS,
        description: "Release 1.1.0".to_owned(),
    }
}

#[test]
fn a_deploy_replaces_pod_by_pod_and_nobody_notices() {
    let mut plan = plan(6);
    plan.deploys = vec![deploy(None)];
    let recording = run(&desk(), &plan);
    let versions: Vec<&str> = recording.instances.iter().map(|pod| pod.version.as_str()).collect();
    assert_eq!(versions, ["1.0.0", "1.0.0", "1.0.0", "1.1.0", "1.1.0", "1.1.0"]);
    let (old, new) = recording.instances.split_at(3);
    // Each old one ends when its successor is ready, 20 s after its start.
    for (step, (old, new)) in old.iter().zip(new).enumerate() {
        let started_ns = START_NS + 2 * MINUTE_NS + 40 * SECOND_NS * step as i64;
        assert_eq!((new.started_ns, new.ended_ns), (started_ns, None));
        assert!((20..22).contains(&((old.ended_ns.unwrap() - started_ns) / SECOND_NS)));
    }
    assert!(all_ended(&spans(&recording, Side::Server, 0, 0..6), Outcome::Ok));
    assert_eq!(recording.changes.len(), 1);
    let change = &recording.changes[0];
    assert_eq!((change.kind, change.version.as_deref()), (ChangeKind::Deploy, Some("1.1.0")));
    assert_eq!((change.at_ns, change.description.as_str()), (START_NS + 2 * MINUTE_NS, "Release 1.1.0"));
    // One replica set for each version, one name for each pod.
    let sets: BTreeSet<&str> = recording.instances.iter().map(|pod| pod.pod.rsplit_once('-').unwrap().0).collect();
    let names: BTreeSet<&str> = recording.instances.iter().map(|pod| pod.pod.as_str()).collect();
    assert_eq!((sets.len(), names.len()), (2, 6));
    assert!(names.iter().all(|name| name.starts_with("desk-") && name.len() == "desk-6b5d8f7c94-h7jrw".len()));
}

#[test]
fn a_canary_is_one_pod_and_an_effect_can_be_on_its_version_only() {
    let mut plan = plan(6);
    plan.deploys = vec![deploy(Some(1))];
    plan.effects = vec![effect(Target::Instances(0, Which::Version("1.1.0".to_owned())), Knob::Fail(0.5), 2, 6)];
    let recording = run(&desk(), &plan);
    assert_eq!(recording.instances.iter().filter(|pod| pod.ended_ns.is_none()).count(), 3);
    let served = spans(&recording, Side::Server, 0, 3..6);
    for span in &served {
        assert!(span.outcome == Outcome::Ok || recording.instances[span.instance as usize].version == "1.1.0");
    }
    // Half of a third.
    assert!((share(&served, Outcome::Failed) - 1.0 / 6.0).abs() < 0.02);
}

#[test]
fn what_keeps_state_keeps_its_name() {
    let mut system = desk();
    system.services[0].role = Role::Database("postgresql".to_owned());
    let mut plan = plan(6);
    plan.deploys = vec![deploy(Some(1))];
    let recording = run(&system, &plan);
    let names: Vec<&str> = recording.instances.iter().map(|pod| pod.pod.as_str()).collect();
    assert_eq!(names, ["desk-0", "desk-1", "desk-2", "desk-0"]);
    assert_eq!(recording.instances[0].ended_ns, Some(recording.instances[3].started_ns));
}

#[test]
fn pods_are_added_under_load_and_taken_away_later() {
    let mut system = desk();
    system.services[0].autoscale = Some(Autoscale { most: 10, target: 0.4 });
    let mut plan = plan(20);
    plan.effects = vec![effect(Target::Load, Knob::Arrivals(4.0), 2, 8)];
    let recording = run(&system, &plan);
    let scalings: Vec<_> = recording.changes.iter().filter(|change| change.kind == ChangeKind::Scale).collect();
    assert!(!scalings.is_empty());
    let alive = |minute: i64| {
        let at_ns = START_NS + minute * MINUTE_NS;
        let lives = |pod: &&crate::simulate::recording::Instance| {
            pod.started_ns <= at_ns && pod.ended_ns.is_none_or(|end_ns| end_ns > at_ns)
        };
        recording.instances.iter().filter(lives).count()
    };
    assert_eq!(alive(1), 3);
    // 2.4 cores at 0.4 of a core each: six, and up to seven within the tolerance and the noise of 15 s.
    assert!((6..=8).contains(&alive(7)), "{}", alive(7));
    // Not before five minutes have passed since more were wished for.
    assert_eq!(alive(12), alive(8));
    assert_eq!(alive(19), 3);
}

#[test]
fn scrapes_keep_their_period_and_counters_grow() {
    let recording = run(&desk(), &plan(5));
    assert_eq!(recording.instance_samples.len(), 3 * 20);
    let mut phases = BTreeSet::new();
    for instance in 0..3 {
        let of_one: Vec<_> = recording.instance_samples.iter().filter(|sample| sample.instance == instance).collect();
        phases.insert(of_one[0].at_ns);
        for pair in of_one.windows(2) {
            assert_eq!(pair[1].at_ns - pair[0].at_ns, 15 * SECOND_NS);
            assert_eq!(pair[1].cpu_periods - pair[0].cpu_periods, 150);
            assert!(pair[1].cpu_us > pair[0].cpu_us && pair[1].received_bytes > pair[0].received_bytes);
            assert!(pair[1].sent_bytes >= pair[0].sent_bytes && pair[1].written_bytes > pair[0].written_bytes);
        }
    }
    assert_eq!(phases.len(), 3);
}

#[test]
fn load_swings_over_day_and_week() {
    let mut plan = plan(1);
    (plan.load.factor, plan.load.daily, plan.load.weekend) = (2.0, 0.4, 0.5);
    // Tuesday, 3 February 2026, 10:00.
    let at = |hours: i64| intensity(&plan, START_NS + hours * 60 * MINUTE_NS);
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} against {expected}");
    near(at(4), 2.0 * 1.4);
    near(at(16), 2.0 * 0.6);
    near(at(10), 2.0);
    // Saturday and Monday, 14:00.
    near(at(4 + 4 * 24), 1.4);
    near(at(4 + 6 * 24), 2.8);
}

#[test]
fn arrivals_follow_rhythm_and_bursts() {
    let mut plan = plan(60);
    plan.load.bursts = vec![(START_NS + 20 * MINUTE_NS, 10 * MINUTE_NS, 3.0)];
    plan.load.daily = 0.5;
    plan.load.factor = 0.2;
    let recording = run(&desk(), &plan);
    let mut traces = 0.0;
    for minute in 0..60 {
        let expected = 60.0 * 60.0 * intensity(&plan, START_NS + minute * MINUTE_NS + MINUTE_NS / 2);
        let found = spans(&recording, Side::Server, 0, minute..minute + 1).len() as f64;
        // The variance of a Poisson count is its mean: sixty of these add up to a chi-squared value.
        traces += (found - expected) * (found - expected) / expected;
    }
    // 99.99 % of chi-squared with 60 degrees of freedom lies below 109.5, 0.01 % below 27.5 (SciPy's chi2.ppf).
    assert!((27.5..109.5).contains(&traces), "{traces}");
}
