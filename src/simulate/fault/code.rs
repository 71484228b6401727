//! Faults of a service's own code, without a change that someone recorded.

use super::Severity;
use super::scene::{Made, Scene, told};
use super::traffic::Need;
use crate::simulate::plan::{Effect, Knob, Target, Which};
use crate::simulate::system::{ServiceIdx, Step};

/// Share of requests that end early.
pub(super) const EARLY: [(f64, f64); 4] = [(0.1, 0.2), (0.6, 0.75), (0.85, 0.95), (1.0, 1.0)];
/// Share of the instances that are down at any time.
pub(super) const DOWN: [(f64, f64); 4] = [(0.02, 0.05), (0.1, 0.2), (0.4, 0.6), (1.0, 1.0)];

pub(super) fn error_burst(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let place = scene.place(Need::Required, &[&|service| traffic.is_code(service)])?;
    let share = scene.failing_visits(&place, true);
    let target = Target::Instances(place.service, Which::All);
    Some(Made {
        causes: vec![place.service],
        description: format!("{} fails {:.1} % of its requests", scene.name(place.service), 100.0 * share),
        effects: vec![scene.effect(target, Knob::Fail(share))],
        ..Made::default()
    })
}

pub(super) fn wrong_result(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    // Someone must use the answer: what an entry itself answers wrongly leaves no trace.
    let asked = |service: ServiceIdx| {
        traffic.is_code(service)
            && traffic
                .operations_of(service)
                .all(|operation| !traffic.system.entries.iter().any(|entry| entry.operation == operation))
    };
    let place = scene.place(Need::Required, &[&asked])?;
    let share = scene.failing_visits(&place, false);
    let target = Target::Instances(place.service, Which::All);
    Some(Made {
        causes: vec![place.service],
        description: format!(
            "{} answers {:.1} % of its requests with a wrong result and status OK",
            scene.name(place.service),
            100.0 * share
        ),
        effects: vec![scene.effect(target, Knob::Corrupt(share))],
        ..Made::default()
    })
}

pub(super) fn early_return(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let asks = |service: ServiceIdx| {
        let asks = |step: &Step| matches!(step, Step::Call(_) | Step::Parallel(_) | Step::Publish { .. });
        traffic.is_code(service)
            && traffic.operations_of(service).any(|operation| {
                traffic.rate_per_s[operation] > 0.0 && traffic.system.operations[operation].steps.iter().any(asks)
            })
    };
    let place = scene.place(Need::Required, &[&asks])?;
    let target = Target::Instances(place.service, Which::All);
    Some(Made {
        causes: vec![place.service],
        description: format!(
            "{} answers {:.0} % of its requests with OK before it has asked anyone",
            scene.name(place.service),
            100.0 * scene.size
        ),
        effects: vec![scene.effect(target, Knob::ReturnEarly(scene.size))],
        ..Made::default()
    })
}

pub(super) fn crash(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let place = scene.place(Need::Required, &[&|service| traffic.is_code(service)])?;
    let instances = traffic.system.services[place.service].instances;
    let (which, effects) = if scene.severity == Severity::Total {
        (Which::All, down_one_after_the_other(scene, place.service, instances))
    } else if instances > 1 && scene.random.chance(0.5) {
        // One pod that dies again and again, so that the share of all comes from it alone as far as it can.
        let which = Which::Nth(scene.random.below(instances as usize) as u32);
        let share = (scene.size * f64::from(instances)).min(0.95);
        let target = Target::Instances(place.service, which.clone());
        (which, scene.flapping(share, &target, Knob::Down))
    } else {
        let target = Target::Instances(place.service, Which::All);
        (Which::All, scene.flapping(scene.size, &target, Knob::Down))
    };
    Some(Made {
        causes: vec![place.service],
        description: format!("{} dies and says nothing any more", told(&which, scene.name(place.service))),
        effects,
        ..Made::default()
    })
}

/// All instances, spread over the time in which the fault creeps.
fn down_one_after_the_other(scene: &Scene<'_>, service: ServiceIdx, instances: u32) -> Vec<Effect> {
    if scene.ramp_ns == 0 {
        return vec![scene.effect(Target::Instances(service, Which::All), Knob::Down)];
    }
    (0..instances)
        .map(|nth| Effect {
            target: Target::Instances(service, Which::Nth(nth)),
            knob: Knob::Down,
            from_ns: scene.from_ns + i64::from(nth) * scene.ramp_ns / i64::from(instances),
            until_ns: scene.until_ns,
            ramp_ns: 0,
        })
        .collect()
}
