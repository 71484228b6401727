//! Who makes more calls than before pays for them: a callee is not slow because it is asked ten times instead of once.
//!
//! ```text
//! extra_uv = n_uv - N_u * n0_uv / N0_u
//! moved_w  = extra calls of w * own cost of w per call in the baseline     for w = v and all that v calls on account of it
//! ```
//! with `n_uv` calls of an edge and `N_u` calls that `u` handles, both per entering request, `n0` and `N0` in the baseline.
//! As many extra calls as more calls of `u` failed than before are the doing of those that failed: they are another attempt,
//! or another way round. The rest is the doing of `u`. What a call costs more than before stays where it is spent. Only
//! edges take part whose calls per request rose significantly.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Contribution;
use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::rank::Suspect;
use crate::rank::inside::CALLS_PER_REQUEST;
use crate::telemetry::calls::CallStats;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Subject;

/// Edges that are followed at most, strongest first: each may lead through the whole graph.
const MAX_EDGES: usize = 16;

/// An edge whose calls per request rose.
#[derive(Clone, Copy)]
pub(super) struct Busier {
    caller: u32,
    callee: u32,
    finding: usize,
}

/// The edges whose calls per request of the caller rose significantly, strongest first.
pub(super) fn busier(incident: &Incident, findings: &[Finding]) -> Vec<Busier> {
    let node = |name: &ServiceId| incident.calls.nodes.binary_search_by(|n| n.id.cmp(name)).ok().map(|at| at as u32);
    let mut found: Vec<Busier> = findings
        .iter()
        .enumerate()
        .filter(|(_, f)| f.name == CALLS_PER_REQUEST && f.significant && f.change == Change::Rise)
        .filter_map(|(finding, f)| match &f.subject {
            Subject::Edge { caller, callee } => Some(Busier { caller: node(caller)?, callee: node(callee)?, finding }),
            _ => None,
        })
        .collect();
    found.sort_by(|a, b| findings[b.finding].bits.total_cmp(&findings[a.finding].bits));
    found.truncate(MAX_EDGES);
    found
}

/// Calls and failures per entering request.
#[derive(Clone, Copy, Default)]
pub(super) struct PerRequest {
    pub(super) calls_baseline: f64,
    pub(super) calls_incident: f64,
    pub(super) failed_baseline: f64,
    pub(super) failed_incident: f64,
}

/// Calls of all edges, by caller (`None` from outside) and callee.
pub(super) struct Traffic {
    edges: BTreeMap<(Option<u32>, u32), PerRequest>,
    handled: BTreeMap<u32, PerRequest>,
}

impl Traffic {
    pub(super) fn new(edges: BTreeMap<(Option<u32>, u32), PerRequest>) -> Self {
        let mut handled: BTreeMap<u32, PerRequest> = BTreeMap::new();
        for ((_, callee), calls) in &edges {
            let sum = handled.entry(*callee).or_default();
            sum.calls_baseline += calls.calls_baseline;
            sum.calls_incident += calls.calls_incident;
        }
        Self { edges, handled }
    }

    fn handled(&self, node: u32) -> PerRequest {
        self.handled.get(&node).copied().unwrap_or_default()
    }

    fn callees(&self, caller: u32) -> impl Iterator<Item = (u32, &PerRequest)> {
        self.edges.range((Some(caller), 0)..=(Some(caller), u32::MAX)).map(|((_, callee), calls)| (*callee, calls))
    }

    /// Calls of the edge beyond what the caller's own requests let expect, and on whose account they are made (node, share
    /// of them). None for an edge that is new, for then nothing tells what its calls used to cost.
    fn extra(&self, edge: Busier) -> Option<(f64, Vec<(u32, f64)>)> {
        let caller = self.handled(edge.caller);
        let calls = self.edges.get(&(Some(edge.caller), edge.callee))?;
        if caller.calls_baseline <= 0.0 || calls.calls_baseline <= 0.0 {
            return None;
        }
        let growth = caller.calls_incident / caller.calls_baseline;
        let extra = calls.calls_incident - calls.calls_baseline * growth;
        let failures: Vec<(u32, f64)> = self
            .callees(edge.caller)
            .map(|(callee, c)| (callee, c.failed_incident - c.failed_baseline * growth))
            .filter(|(_, failed)| *failed > 0.0)
            .collect();
        let failed: f64 = failures.iter().map(|(_, failed)| failed).sum();
        // So many failures explain all of it, or their number of it.
        let explained = failed.max(extra);
        let mut owed: Vec<(u32, f64)> = failures.into_iter().map(|(callee, n)| (callee, n / explained)).collect();
        owed.push((edge.caller, (1.0 - failed / explained).max(0.0)));
        (extra > 0.0).then_some((extra, owed))
    }

    /// The extra calls of the edge, and those below it that come of them.
    fn follow(&self, edge: Busier, extra: f64) -> BTreeMap<(u32, u32), f64> {
        let mut extra_calls = BTreeMap::from([((edge.caller, edge.callee), extra)]);
        // Share of each node's calls that is extra; a node passes on what it got before its turn.
        let mut share = BTreeMap::new();
        let share_of = |node: u32, calls: f64| calls / self.handled(node).calls_incident.max(calls);
        share.insert(edge.callee, share_of(edge.callee, extra));
        let mut seen = BTreeSet::from([edge.caller, edge.callee]);
        let mut open = VecDeque::from([edge.callee]);
        while let Some(caller) = open.pop_front() {
            let part: f64 = share.get(&caller).copied().unwrap_or(0.0);
            for (callee, calls) in self.callees(caller) {
                // Who began it is not followed again, nor is a circle.
                let calls = calls.calls_incident * part.min(1.0);
                if calls <= 0.0 || callee == edge.caller || extra_calls.contains_key(&(caller, callee)) {
                    continue;
                }
                extra_calls.insert((caller, callee), calls);
                *share.entry(callee).or_insert(0.0) += share_of(callee, calls);
                if seen.insert(callee) {
                    open.push_back(callee);
                }
            }
        }
        extra_calls
    }
}

/// Moves the cost of extra calls to those on whose account they are made. Of each contribution comes the spread that it is
/// compared with. Returned is, for each caller, the finding of its busiest edge and the cost that was moved to it.
pub(super) fn move_to_callers(
    calls: &CallStats,
    busier: &[Busier],
    traffic: &Traffic,
    contributions: &mut [(Contribution, f64)],
) -> BTreeMap<ServiceId, (usize, f64)> {
    let place: BTreeMap<Suspect, usize> =
        contributions.iter().enumerate().map(|(at, (c, _))| (c.suspect.clone(), at)).collect();
    let service = |node: u32| place.get(&Suspect::Service(calls.service(node).clone())).copied();
    let mut moved_to = BTreeMap::new();
    for &edge in busier {
        let Some((extra, owed)) = traffic.extra(edge) else { continue };
        let owed: Vec<(u32, usize, f64)> =
            owed.into_iter().filter_map(|(node, share)| Some((node, service(node)?, share))).collect();
        for ((caller, callee), extra) in traffic.follow(edge, extra) {
            let (above, below) = (calls.service(caller).clone(), calls.service(callee).clone());
            let edge_before = traffic.edges.get(&(Some(caller), callee)).map_or(0.0, |c| c.calls_baseline);
            let costs = [
                (Suspect::Service(below.clone()), traffic.handled(callee).calls_baseline),
                (Suspect::Edge { caller: above, callee: below }, edge_before),
            ];
            for (suspect, calls_before) in costs {
                let Some(&from) = place.get(&suspect).filter(|_| calls_before > 0.0) else { continue };
                let part = &contributions[from].0;
                let cost = (extra * part.baseline / calls_before).clamp(0.0, part.delta().max(0.0));
                for &(node, to, share) in owed.iter().filter(|(_, to, _)| *to != from) {
                    contributions[from].0.incident -= cost * share;
                    contributions[to].0.incident += cost * share;
                    if node == edge.caller && cost * share > 0.0 {
                        moved_to.entry(calls.service(node).clone()).or_insert((edge.finding, 0.0)).1 += cost * share;
                    }
                }
            }
        }
    }
    for (contribution, scale) in contributions {
        contribution.z = contribution.delta() / *scale;
    }
    moved_to
}
