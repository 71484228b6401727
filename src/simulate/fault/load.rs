//! Faults of the load.

use super::Severity;
use super::scene::{Made, Scene};
use super::traffic::Need;
use crate::simulate::plan::{Knob, Target};
use crate::simulate::system::ServiceIdx;

/// Subtle: times the usual requests. From middle up: times what the busiest service can serve.
pub(super) const SURGE: [(f64, f64); 4] = [(1.2, 1.5), (0.9, 1.1), (1.3, 1.8), (3.0, 5.0)];

/// Most times the usual requests: crowds beyond it are attacks.
const MOST: [f64; 4] = [1.5, 8.0, 12.0, 20.0];

pub(super) fn traffic_surge(scene: &mut Scene<'_>) -> Option<Made> {
    let system = scene.traffic.system;
    let mut causes: Vec<ServiceIdx> =
        system.entries.iter().map(|entry| system.operations[entry.operation].service).collect();
    causes.sort_unstable();
    causes.dedup();
    if causes.is_empty() || causes.iter().any(|&service| !scene.allowed[service]) {
        return None;
    }
    let used = (0..system.services.len()).map(|service| used(scene, service)).fold(0.01, f64::max);
    let factor = match scene.severity {
        Severity::Subtle => scene.size,
        Severity::Middle | Severity::Severe | Severity::Total => {
            (scene.size / used).clamp(1.6, MOST[scene.severity as usize])
        }
    };
    Some(Made {
        causes,
        description: format!("{factor:.1} times as many requests come in"),
        effects: vec![scene.effect(Target::Load, Knob::Arrivals(factor))],
        ..Made::default()
    })
}

/// Share of what a service can serve that it serves: of its CPU or of its workers, whichever is scarcer.
fn used(scene: &Scene<'_>, service: ServiceIdx) -> f64 {
    let traffic = scene.traffic;
    let has = &traffic.system.services[service];
    let waited_for =
        (0..traffic.system.entries.len()).any(|entry| traffic.visits_of(Need::Optional, entry, service) > 0.0);
    if !waited_for {
        return 0.0;
    }
    let busy_us: f64 = traffic
        .operations_of(service)
        .map(|operation| traffic.rate_per_s[operation] * traffic.response_us[operation])
        .sum();
    let workers = busy_us / 1e6 / (f64::from(has.instances) * f64::from(has.workers));
    workers.max(traffic.cores_in_use(service) / has.cores)
}
