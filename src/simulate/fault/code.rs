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
    let (which, effects) = match scene.severity {
        // Where others take over, the loss of one instance is hardly felt.
        Severity::Subtle if instances > 1 => {
            let which = Which::Nth(scene.random.below(instances as usize) as u32);
            let effect = scene.effect(Target::Instances(place.service, which.clone()), Knob::Down);
            (which, vec![effect])
        }
        Severity::Total => (Which::All, down_one_after_the_other(scene, place.service, instances)),
        Severity::Subtle | Severity::Middle | Severity::Severe => (Which::All, crashes(scene, place.service)),
    };
    Some(Made {
        causes: vec![place.service],
        description: format!("{} dies and says nothing any more", told(&which, scene.name(place.service))),
        effects,
        ..Made::default()
    })
}

/// Time that a process takes to be there again after a crash, seconds.
const START_S: f64 = 15.0;

/// All instances die together and start again, so often that they are away for the share of the time that is wanted;
/// half as often while that creeps.
fn crashes(scene: &mut Scene<'_>, service: ServiceIdx) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut at_ns = scene.from_ns;
    while at_ns < scene.until_ns {
        let down_s = scene.random.between(2.0, 8.0);
        effects.push(Effect {
            target: Target::Instances(service, Which::All),
            knob: Knob::Down,
            from_ns: at_ns,
            until_ns: (at_ns + (down_s * 1e9) as i64).min(scene.until_ns),
            ramp_ns: 0,
        });
        let creeping = at_ns - scene.from_ns < scene.ramp_ns;
        let period_s = (down_s + START_S) / scene.size * if creeping { 2.0 } else { 1.0 };
        at_ns += (period_s * 1e9) as i64;
    }
    effects
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
