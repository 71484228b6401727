//! Where timeouts begin: a caller that stops waiting fails because of whoever takes the time, which may be far below.
//!
//! The failures of an edge `u -> v` that are timeouts are shared out among `v`, all that it calls and the edges between
//! them, in proportion to how much longer each of these took per request than before:
//!
//! ```text
//! share_w = max(0, own time of w during - before) / sum of the same over all w that v reaches
//! ```
//!
//! Where nothing below takes longer, they begin on the edge itself; where the callee does not (somebody lowered a limit), at
//! the caller.

use std::collections::{BTreeMap, BTreeSet};

use super::from_calls::{Costs, Scope, part_costs};
use crate::incident::Incident;
use crate::rank::caller_side::CallerSide;
use crate::rank::crowding::Part;
use crate::rank::phase::Phase;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;

/// Adds the timeouts of every edge (callee, caller) to the parts where they begin.
pub(super) fn share_out(
    incident: &Incident,
    scope: &Scope<'_>,
    side: &CallerSide,
    later: &BTreeMap<Part, f64>,
    timeouts: &BTreeMap<(u32, u32), Costs>,
    parts: &mut BTreeMap<Part, Costs>,
) {
    for (&(callee, caller), costs) in timeouts {
        let may_blame = scope.may_blame(incident.calls.service(caller));
        let callers = side.timeouts.get(&(callee, caller)).copied().filter(|_| may_blame).unwrap_or(0.0);
        parts.entry((caller, None)).or_default().add_share(costs, callers);
        let below: BTreeSet<&ServiceId> =
            incident.graph.reachable_from(incident.calls.service(callee)).into_keys().collect();
        let is_below = |node: u32| below.contains(incident.calls.service(node));
        let takes_part = |part: &Part| match *part {
            (node, None) => is_below(node),
            (node, Some(above)) => (node, above) == (callee, caller) || (is_below(node) && is_below(above)),
        };
        let taking: Vec<(Part, f64)> = later.iter().filter(|(p, _)| takes_part(p)).map(|(p, s)| (*p, *s)).collect();
        let total: f64 = taking.iter().map(|(_, seconds)| seconds).sum();
        if total > 0.0 {
            for (part, seconds) in taking {
                parts.entry(part).or_default().add_share(costs, (1.0 - callers) * seconds / total);
            }
        } else {
            parts.entry((callee, Some(caller))).or_default().add_share(costs, 1.0 - callers);
        }
    }
}

/// By how much longer each part takes per request than before, seconds; only those that do.
pub(super) fn later(incident: &Incident, scope: &Scope<'_>) -> BTreeMap<Part, f64> {
    let mut requests = [0.0; 2];
    let mut seconds: BTreeMap<Part, [f64; 2]> = BTreeMap::new();
    for row in incident.calls.rows.iter().filter(|row| scope.entries.contains(&row.key.entry)) {
        let Some(phase) = Phase::of_bin(incident, &incident.calls.grid, row.key.bin) else { continue };
        let at = phase as usize;
        if incident.calls.is_request(row) {
            requests[at] += row.calls as f64;
        }
        if scope.may_blame(incident.calls.service(row.key.callee)) {
            let (own, edge) = part_costs(row, Symptom::Latency);
            seconds.entry((row.key.callee, None)).or_default()[at] += own;
            if row.key.caller.is_some() {
                seconds.entry((row.key.callee, row.key.caller)).or_default()[at] += edge;
            }
        }
    }
    let [before, during] = requests.map(|n: f64| n.max(1.0));
    let later = seconds.into_iter().map(|(part, [b, d])| (part, d / during - b / before));
    later.filter(|(_, seconds)| *seconds > 0.0).collect()
}
