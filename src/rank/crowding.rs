//! Services that are slow, or refuse work, because each request holds a worker longer: their callees answer late.
//!
//! ```text
//! held_u   = own time before + time in synchronous callees and on the way there, per call that u handles
//! weight_u = (log2(held during / held before) - 1, between 0 and 1) * (1 - own resources' bits / cap)
//! ```
//! A service has so many workers. By Little's law (1961) the number that is busy is calls per second times the time that
//! each is held: callees that take four times as long do to a service what four times the requests do (see `demand.rs`).
//! Once all workers wait, the next request waits for a worker, which is time of the service itself, or is refused, which is
//! an error that begins there. Of both the weight's share is the doing of whoever takes longer below. Time between a caller
//! and the service stays where it is: a slow network of the service makes its own calls slow as well. Where its processor or
//! its memory tells that the service itself is ill, its calls may take longer because of that, and it keeps its share.

use std::collections::{BTreeMap, BTreeSet};

use super::fusion::CAP;
use super::inside;
use super::phase::Phase;
use crate::detect::Finding;
use crate::incident::Incident;
use crate::telemetry::topology::EdgeMode;

/// Calls handled, before and during, that are needed to compare.
const LEAST_CALLS: f64 = 20.0;

/// What begins at a callee, or with its caller on the edge to it.
pub(crate) type Part = (u32, Option<u32>);

/// A service whose workers are held by its callees.
pub(crate) struct Crowded {
    /// Which.
    pub(crate) node: u32,
    /// How much of its slowness and its errors that explains, 0 to 1.
    pub(crate) weight: f64,
    /// All that it reaches along calls, itself left out.
    below: BTreeSet<u32>,
}

/// The crowded services, those that reach least first: what is left at a callee is known before its callers' turn.
#[derive(Default)]
pub(crate) struct Crowding(Vec<Crowded>);

/// Own time, time in callees (nanoseconds) and calls handled of a node.
#[derive(Clone, Copy, Default)]
struct Held {
    own: f64,
    callees: [f64; 2],
    handled: [f64; 2],
}

impl Held {
    fn weight(&self) -> f64 {
        if self.handled.iter().any(|calls| *calls < LEAST_CALLS) {
            return 0.0;
        }
        let own = self.own / self.handled[0];
        let [before, during] = [0, 1].map(|at| own + self.callees[at] / self.handled[at]);
        if before > 0.0 { ((during / before).max(1.0).log2() - 1.0).clamp(0.0, 1.0) } else { 0.0 }
    }
}

impl Crowding {
    pub(crate) fn of(incident: &Incident, findings: &[Finding]) -> Self {
        let mut held: BTreeMap<u32, Held> = BTreeMap::new();
        for row in incident.calls.rows.iter().filter(|row| row.key.mode == EdgeMode::Sync) {
            let Some(phase) = Phase::of_bin(incident, &incident.calls.grid, row.key.bin) else { continue };
            let callee = held.entry(row.key.callee).or_default();
            callee.handled[phase as usize] += row.calls as f64;
            if phase == Phase::Baseline {
                callee.own += row.self_ns as f64;
            }
            if let Some(caller) = row.key.caller.filter(|caller| *caller != row.key.callee) {
                held.entry(caller).or_default().callees[phase as usize] += (row.duration_ns + row.gap_ns) as f64;
            }
        }
        let ill = inside::resources(findings, CAP);
        let mut crowded: Vec<Crowded> = held
            .into_iter()
            .filter_map(|(node, held)| {
                let service = incident.calls.service(node);
                let weight = held.weight() * (1.0 - ill.get(service).map_or(0.0, |own| own.bits / CAP));
                let index = |name| incident.calls.nodes.binary_search_by(|n| n.id.cmp(name)).ok().map(|at| at as u32);
                let reached = || incident.graph.reachable_from(service).into_keys().filter_map(index);
                (weight > 0.0).then(|| Crowded { node, weight, below: reached().filter(|n| *n != node).collect() })
            })
            .collect();
        crowded.sort_by_key(|c| (c.below.len(), c.node));
        Self(crowded)
    }

    /// The crowded services, those that reach least first.
    pub(crate) fn services(&self) -> &[Crowded] {
        &self.0
    }

    /// Gives the growth of every crowded service to what grew below it.
    pub(crate) fn settle(&self, growth: &mut BTreeMap<Part, f64>) {
        for crowded in &self.0 {
            let Some(own) = growth.get(&(crowded.node, None)).copied().filter(|own| *own > 0.0) else { continue };
            let shares = crowded.shares(growth);
            if shares.is_empty() {
                continue;
            }
            growth.insert((crowded.node, None), own * (1.0 - crowded.weight));
            for (part, share) in shares {
                *growth.entry(part).or_default() += own * crowded.weight * share;
            }
        }
    }
}

impl Crowded {
    /// The parts below that grew, with their shares of all growth there.
    pub(crate) fn shares(&self, growth: &BTreeMap<Part, f64>) -> Vec<(Part, f64)> {
        let is_below = |(node, caller): &Part| {
            self.below.contains(node) && caller.is_none_or(|c| c == self.node || self.below.contains(&c))
        };
        let grown: Vec<(Part, f64)> =
            growth.iter().filter(|(part, grown)| **grown > 0.0 && is_below(part)).map(|(p, g)| (*p, *g)).collect();
        let total: f64 = grown.iter().map(|(_, grown)| grown).sum();
        grown.into_iter().map(|(part, grown)| (part, grown / total)).collect()
    }
}
