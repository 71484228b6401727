//! Failures that a service only passes on: its callees fail it, and what it logs of that is hearsay.
//!
//! ```text
//! passed_u  = sum over callees v of failed calls u -> v beyond the usual * (1 - share that is u's own doing)
//! own_u     = failed calls that are u's own doing, and errors that begin in u beyond the usual, less what comes of its
//!             callees (`crowding.rs`, `answers.rs`)
//! hearsay_u = passed_u / (passed_u + own_u)
//! ```
//! A service whose calls fail logs each of them, in messages that it never wrote before; so does its caller. Where nothing
//! that it calls fails more than before, its logs stand for themselves. Of the few errors that begin in a service that
//! passes on many the same holds: they are what is left where the span of a failed call was lost, or a way round failed.

use std::collections::{BTreeMap, BTreeSet};

use super::caller_side::CallerSide;
use super::crowding::Crowding;
use super::failures::Failures;
use super::phase::Phase;
use crate::incident::Incident;
use crate::telemetry::topology::EdgeMode;

/// What of a call that failed at once counts as passed on where the callee has no spans: only the caller tells of it, and it
/// may be the caller that reached nobody.
const TOLD_BY_THE_CALLER: f64 = 0.5;

/// By node the share of its failures that its callees gave it, 0 to 1; nodes without are absent.
pub(crate) fn shares(incident: &Incident, side: &CallerSide, crowding: &Crowding) -> BTreeMap<u32, f64> {
    let mut own: BTreeMap<u32, Failures> = BTreeMap::new();
    // By caller and callee: failures that are no timeouts, and timeouts.
    let mut edges: BTreeMap<(u32, u32), [Failures; 2]> = BTreeMap::new();
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    for row in incident.calls.rows.iter().filter(|row| row.key.mode == EdgeMode::Sync) {
        let Some(phase) = Phase::of_bin(incident, &incident.calls.grid, row.key.bin) else { continue };
        own.entry(row.key.callee).or_default().add(phase, row, row.origin_errors);
        if let Some(caller) = row.key.caller.filter(|caller| *caller != row.key.callee) {
            let [failed, late] = edges.entry((caller, row.key.callee)).or_default();
            failed.add(phase, row, row.errors.saturating_sub(row.timeouts));
            late.add(phase, row, row.timeouts);
            if row.paired_calls > 0 {
                seen.insert(row.key.callee);
            }
        }
    }
    let beyond =
        |failures: &Failures| if failures.rose() { failures.excess() * failures.calls(Phase::Incident) } else { 0.0 };
    let mut passed: BTreeMap<u32, f64> = BTreeMap::new();
    let mut doing: BTreeMap<u32, f64> = BTreeMap::new();
    for ((caller, callee), [failed, late]) in &edges {
        let told = if seen.contains(callee) { 0.0 } else { TOLD_BY_THE_CALLER };
        for (failures, shares, told) in [(failed, &side.failures, told), (late, &side.timeouts, 0.0)] {
            let callers = shares.get(&(*callee, *caller)).copied().unwrap_or(0.0).max(told);
            *passed.entry(*caller).or_default() += beyond(failures) * (1.0 - callers);
            *doing.entry(*caller).or_default() += beyond(failures) * callers;
        }
    }
    passed.retain(|_, sum| *sum > 0.0);
    passed
        .into_iter()
        .map(|(node, passed)| {
            let held = crowding.services().iter().find(|c| c.node == node).map_or(0.0, |c| c.weight);
            let relieved = 1.0 - side.relief.get(&node).copied().unwrap_or(0.0);
            let own = own.get(&node).map_or(0.0, |failures| beyond(failures) * relieved * (1.0 - held));
            let doing = doing.get(&node).copied().unwrap_or(0.0);
            (node, passed / (passed + doing + own))
        })
        .collect()
}
