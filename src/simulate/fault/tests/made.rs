//! Every kind, in every severity and with every onset.

use std::collections::BTreeSet;

use super::shop::shop;
use crate::simulate::fault::kinds::KINDS;
use crate::simulate::fault::{Fault, Moment, Onset, Severity, make};
use crate::simulate::plan::{Effect, Knob, Target, Which};
use crate::simulate::random::Random;
use crate::simulate::system::{Role, System};

const FROM_NS: i64 = 1_770_000_000_000_000_000;
const UNTIL_NS: i64 = FROM_NS + 540_000_000_000;

fn made(system: &System, kind: &str, severity: Severity, onset: Onset, seed: u64) -> Fault {
    let kind = KINDS.iter().find(|found| found.name == kind).unwrap();
    let moment = Moment { severity, onset, from_ns: FROM_NS, until_ns: UNTIL_NS, load: 1.0 };
    let allowed = vec![true; system.services.len()];
    make(kind, system, &moment, &allowed, &mut Random::new(seed)).unwrap_or_else(|| panic!("{} fits", kind.name))
}

#[test]
fn every_kind_can_be_made_at_every_severity_and_onset() {
    let system = shop();
    for kind in KINDS {
        for severity in Severity::ALL {
            for onset in Onset::ALL {
                for seed in 0..20 {
                    let fault = made(&system, kind.name, severity, onset, seed);
                    let what = format!("{} {severity:?} {onset:?} {seed}: {fault:#?}", kind.name);
                    assert!(!fault.effects.is_empty() && !fault.causes.is_empty(), "{what}");
                    assert!(fault.effects.iter().all(|effect| inside(&system, effect)), "{what}");
                    assert!(fault.effects.iter().any(|effect| effect.from_ns == FROM_NS), "{what}");
                    assert!(!fault.description.contains("NaN") && !fault.description.contains("inf"), "{what}");
                    let causes: BTreeSet<usize> = fault.causes.iter().copied().collect();
                    assert_eq!(causes.len(), fault.causes.len(), "{what}");
                    assert_eq!(fault, made(&system, kind.name, severity, onset, seed));
                }
            }
        }
    }
}

/// Within the window, on something that exists, by an amount that means something.
fn inside(system: &System, effect: &Effect) -> bool {
    let time = effect.from_ns >= FROM_NS && effect.until_ns <= UNTIL_NS && effect.from_ns < effect.until_ns;
    let ramp = (0..=UNTIL_NS - FROM_NS).contains(&effect.ramp_ns);
    let target = match &effect.target {
        Target::Instances(service, Which::Nth(nth)) => *nth < system.services[*service].instances,
        Target::Instances(service, _) | Target::CallsFrom(service) | Target::Network(service) => {
            *service < system.services.len()
        }
        Target::Link(link) => *link < system.links.len(),
        Target::Machine(machine) => *machine < system.machines,
        Target::Load => true,
    };
    let size = match effect.knob {
        Knob::Work(x) | Knob::Wait(x) | Knob::Arrivals(x) => x > 1.0 && x < 1e6,
        Knob::Fail(x)
        | Knob::Corrupt(x)
        | Knob::ReturnEarly(x)
        | Knob::Loss(x)
        | Knob::NoName(x)
        | Knob::Misconfigured(x)
        | Knob::Disk(x) => x > 0.0 && x <= 1.0,
        Knob::Pause(x)
        | Knob::Hog(x)
        | Knob::CpuLimit(x)
        | Knob::Leak(x)
        | Knob::Allocate(x)
        | Knob::Lock(x)
        | Knob::Delay(x)
        | Knob::Timeout(x)
        | Knob::Flush(x)
        | Knob::Neighbour(x) => x > 0.0 && x < 1e9,
        Knob::Down | Knob::Cut | Knob::Pool(_) => true,
        Knob::Retries(n) => (1..100).contains(&n),
    };
    time && ramp && target && size
}

#[test]
fn sizes_grow_with_the_severity() {
    let system = shop();
    for kind in KINDS {
        for pair in kind.sizes.windows(2) {
            // Seconds between two kills shrink as it gets worse; a surge changes its measure after subtle.
            let grows = pair[0].1 <= pair[1].1 || kind.name == "out-of-memory" || kind.name == "traffic-surge";
            assert!(pair.iter().all(|(low, high)| low <= high) && grows, "{}: {:?}", kind.name, kind.sizes);
        }
    }
    let pause = |severity| match made(&system, "consumer-stall", severity, Onset::Sudden, 3).effects[0].knob {
        Knob::Pause(pause_us) => pause_us,
        knob => panic!("a stall is a pause, not {knob:?}"),
    };
    let pauses = Severity::ALL.map(pause);
    assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
}

#[test]
fn right_answers_are_where_the_table_says() {
    let system = shop();
    let role = |service: usize| system.services[service].role.clone();
    for seed in 0..50 {
        let causes = |kind| made(&system, kind, Severity::Middle, Onset::Sudden, seed).causes;
        assert!(matches!(role(causes("slow-database")[0]), Role::Database(_)));
        assert!(matches!(role(causes("cache-flush")[0]), Role::Cache(_)));
        assert_eq!(role(causes("external-outage")[0]), Role::External);
        assert_eq!(causes("consumer-stall"), [4], "the mailer");
        assert_eq!(causes("traffic-surge"), [0], "the gateway");
        assert_eq!(causes("pool-exhaustion"), [2], "orders has the only pool");
        for kind in ["dns-failure", "bad-configuration", "bad-timeout", "cpu-hog", "bad-deploy", "crash"] {
            assert_eq!(role(causes(kind)[0]), Role::Service, "{kind}");
        }
        let partition = made(&system, "partition", Severity::Middle, Onset::Sudden, seed);
        let Target::Link(link) = partition.effects[0].target else { panic!("a partition is of a link") };
        assert_eq!(partition.causes, [system.links[link].caller, system.links[link].callee]);
        assert_ne!(causes("wrong-result"), [0], "nobody uses what the gateway answers");
    }
}

/// A fault that fails requests, seen from the entry: tries and visits multiply out to the share in the table.
#[test]
fn failures_come_to_the_share_that_the_severity_wants() {
    let system = shop();
    for seed in 0..50 {
        let fault = made(&system, "error-burst", Severity::Severe, Onset::Sudden, seed);
        let Knob::Fail(share) = fault.effects[0].knob else { panic!("errors") };
        // Payments are tried twice, everything else once; each is visited once by a request.
        let felt = if fault.causes == [3] { share * share } else { share };
        assert!((0.2..=0.6).contains(&felt), "{fault:?}");
    }
}

/// A fault that slows, seen from the entry: what is added to its requests is what its objective is multiplied with.
#[test]
fn slowness_comes_to_what_the_severity_wants() {
    let system = shop();
    for seed in 0..50 {
        let fault = made(&system, "network-delay", Severity::Middle, Onset::Sudden, seed);
        let Knob::Delay(delay_us) = fault.effects[0].knob else { panic!("a delay") };
        // A visit of orders-db is two messages, by an entry that promises 300 ms; workers and timeouts leave room.
        if fault.causes == [7] {
            assert!((0.8 * 300e3..1.4 * 300e3).contains(&(2.0 * delay_us)), "{fault:?}");
        }
    }
}
