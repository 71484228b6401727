//! Callers that stop after the same call: what is called last before a caller gives up is whose doing it is.
//!
//! Where spans have no status, all that a failing callee leaves is callers that call nobody else after it. One caller that
//! stops after a call may as well have stopped by itself, in its own code. Where several callers stop after the same call,
//! each in code of its own, it is the callee that they have in common:
//!
//! ```text
//! stopped(caller, call) = P(last | call) during - P(last | call) before
//! ```
//! tested by Fisher's exact test with Bonferroni's correction over all calls that are ever last.

use std::collections::BTreeMap;

use super::structure::Rerouted;
use crate::incident::Incident;
use crate::stats::proportion::fisher_two_sided;
use crate::telemetry::id::ServiceId;
use crate::telemetry::topology::EdgeMode;

/// Callers without which there is nothing in common.
const MIN_CALLERS: usize = 2;
/// A call after which so few more requests stop is not what stops them.
const MIN_STOPPED: f64 = 0.1;
/// Chance of a false alarm over all calls.
const MAX_P: f64 = 0.01;

/// Calls and those of them that were the last, before and during.
#[derive(Clone, Copy, Default)]
struct Counts {
    calls: [u64; 2],
    last: [u64; 2],
}

impl Counts {
    /// By how much the share of last calls rose.
    fn stopped(&self) -> f64 {
        let share = |side: usize| self.last[side] as f64 / self.calls[side].max(1) as f64;
        share(1) - share(0)
    }
}

/// Takes from callers what they have of going another way, as far as they stop at a callee that several of them have in
/// common, and returns it for those callees: bits, those of the caller that says most.
pub(crate) fn taken_from_callers(
    incident: &Incident,
    rerouted: &mut BTreeMap<ServiceId, Rerouted>,
) -> BTreeMap<ServiceId, f64> {
    let mut taken: BTreeMap<ServiceId, f64> = BTreeMap::new();
    if rerouted.len() < MIN_CALLERS {
        return taken;
    }
    for ((callee, _), callers) in stopping(incident) {
        let stops: Vec<(&ServiceId, f64)> =
            callers.into_iter().filter(|(caller, _)| rerouted.contains_key(*caller)).collect();
        if stops.len() < MIN_CALLERS {
            continue;
        }
        for (caller, share) in stops {
            let Some(way) = rerouted.get_mut(caller) else { continue };
            let moved = way.bits * share;
            way.bits -= moved;
            let known = taken.entry(callee.clone()).or_default();
            *known = known.max(moved);
        }
    }
    taken
}

/// The callers that stop at each callee's operation, and how much of all their stopping that is.
fn stopping(incident: &Incident) -> BTreeMap<(&ServiceId, u32), Vec<(&ServiceId, f64)>> {
    let calls = &incident.calls;
    let mut counts: BTreeMap<(u32, u32, u32), Counts> = BTreeMap::new();
    for row in calls.rows.iter().filter(|row| row.key.mode == EdgeMode::Sync) {
        let Some(caller) = row.key.caller.filter(|caller| *caller != row.key.callee) else { continue };
        let at_ns = calls.grid.bin_start_ns(row.key.bin);
        let side = match incident.window.contains(at_ns) {
            true => 1,
            false if incident.baselines.iter().any(|window| window.contains(at_ns)) => 0,
            false => continue,
        };
        let known = counts.entry((caller, row.key.callee, row.key.operation)).or_default();
        known.calls[side] += row.calls;
        known.last[side] += row.last_calls;
    }
    let tests = counts.values().filter(|of| of.last[0] + of.last[1] > 0).count() as f64;
    let mut whole: BTreeMap<u32, f64> = BTreeMap::new();
    let mut found = Vec::new();
    for ((caller, callee, operation), of) in counts {
        let stopped = of.stopped();
        if stopped < MIN_STOPPED || of.calls[0] == 0 {
            continue;
        }
        let p_value = fisher_two_sided(of.last[1], of.calls[1], of.last[0], of.calls[0]);
        if p_value * tests <= MAX_P {
            let requests = stopped * of.calls[1] as f64;
            *whole.entry(caller).or_default() += requests;
            found.push((caller, callee, operation, requests));
        }
    }
    let mut stopping: BTreeMap<(&ServiceId, u32), Vec<(&ServiceId, f64)>> = BTreeMap::new();
    for (caller, callee, operation, requests) in found {
        let share = requests / whole.get(&caller).copied().unwrap_or(requests);
        stopping.entry((calls.service(callee), operation)).or_default().push((calls.service(caller), share));
    }
    stopping
}
