//! Anomaly traversal: from the entry down along anomalous callees, as far as it goes.

use std::collections::{BTreeMap, BTreeSet};

use super::node_series::SymptomSeries;
use super::{Ranker, Ranking, scored};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;

/// A candidate is an anomalous node without an anomalous callee that the entry reaches over anomalous nodes only; its
/// score is the largest sum of anomaly scores along such a way. Equal scores are ordered by depth (deeper first), then
/// by name.
///
/// The baseline of Hardt et al., "The PetShop Dataset", CLeaR 2024, with these differences: the change is that of the
/// incident's median (not of single rows), its scale has a floor, ties do not follow hash order, calls in a circle are
/// cut where a walk from the entry (callees by name) closes it instead of being an error, and so the largest sum is
/// found in linear time.
pub struct Traversal;

/// The paper's threshold of 5 MAD, in scales of 1.4826 MAD.
pub(super) const ANOMALOUS: f64 = 5.0 / 1.4826;

impl Ranker for Traversal {
    fn name(&self) -> &'static str {
        "traversal"
    }

    fn about(&self) -> &'static str {
        "anomaly traversal: the deepest anomalous callees below the entry (PetShop's baseline, CLeaR 2024)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let ends = SymptomSeries::of(incident)
            .map(|symptom| {
                let graph = &incident.graph;
                let change = |node: &ServiceId| symptom.change(node).map_or(0.0, f64::abs);
                traverse(&symptom.entry, |node| graph.callees(node).into_iter().cloned().collect(), change)
            })
            .unwrap_or_default();
        let scores = ends.iter().map(|(node, end)| (node.clone(), end.score)).collect();
        let mut ranking = scored::ranking(self.name(), incident, findings, &scores);
        let depth = |service: &ServiceId| ends.get(service).map_or(0, |end| end.depth);
        ranking.candidates.sort_by(|a, b| {
            let (a_id, b_id) = (a.suspect.service(), b.suspect.service());
            b.score.total_cmp(&a.score).then_with(|| depth(b_id).cmp(&depth(a_id))).then_with(|| a_id.cmp(b_id))
        });
        ranking
    }
}

/// Where a way over anomalous nodes ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    /// Largest sum of anomaly scores on a way from the entry.
    score: f64,
    /// Calls on that way.
    depth: usize,
}

fn traverse(
    entry: &ServiceId,
    callees: impl Fn(&ServiceId) -> Vec<ServiceId>,
    change: impl Fn(&ServiceId) -> f64,
) -> BTreeMap<ServiceId, End> {
    if change(entry) <= ANOMALOUS {
        return BTreeMap::new();
    }
    let (callers_first, below) = anomalous_below(entry, callees, |node| change(node) > ANOMALOUS);
    let mut best = BTreeMap::from([(entry.clone(), End { score: change(entry), depth: 0 })]);
    for caller in &callers_first {
        let Some(&end) = best.get(caller) else { continue };
        for callee in below.get(caller).into_iter().flatten() {
            let longer = End { score: end.score + change(callee), depth: end.depth + 1 };
            let known = best.entry(callee.clone()).or_insert(longer);
            if (longer.score, longer.depth) > (known.score, known.depth) {
                *known = longer;
            }
        }
    }
    best.retain(|node, _| below.get(node).is_none_or(Vec::is_empty));
    best
}

/// The anomalous nodes below the entry, callers before callees, and their anomalous callees without those that would
/// close a circle.
fn anomalous_below(
    entry: &ServiceId,
    callees: impl Fn(&ServiceId) -> Vec<ServiceId>,
    anomalous: impl Fn(&ServiceId) -> bool,
) -> (Vec<ServiceId>, BTreeMap<ServiceId, Vec<ServiceId>>) {
    let next = |node: &ServiceId| callees(node).into_iter().filter(|c| anomalous(c)).rev().collect::<Vec<_>>();
    let mut below: BTreeMap<ServiceId, Vec<ServiceId>> = BTreeMap::from([(entry.clone(), Vec::new())]);
    let mut open = BTreeSet::from([entry.clone()]);
    let mut callees_first = Vec::new();
    // Depth first, by hand: call graphs can be deep. Each frame holds the callees still to visit, the next one last.
    let mut stack = vec![(entry.clone(), next(entry))];
    while let Some((node, rest)) = stack.last_mut() {
        let Some(callee) = rest.pop() else {
            open.remove(node);
            callees_first.push(node.clone());
            stack.pop();
            continue;
        };
        if open.contains(&callee) {
            continue;
        }
        below.entry(node.clone()).or_default().push(callee.clone());
        if !below.contains_key(&callee) {
            below.insert(callee.clone(), Vec::new());
            open.insert(callee.clone());
            let rest = next(&callee);
            stack.push((callee, rest));
        }
    }
    callees_first.reverse();
    (callees_first, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(calls: &[(&str, &str)], changes: &[(&str, f64)]) -> Vec<(String, f64, usize)> {
        let callees = |node: &ServiceId| {
            let mut to: Vec<ServiceId> =
                calls.iter().filter(|c| c.0 == node.as_str()).map(|c| ServiceId::new(c.1)).collect();
            to.sort();
            to
        };
        let change = |node: &ServiceId| changes.iter().find(|c| c.0 == node.as_str()).map_or(0.0, |c| c.1);
        let found = traverse(&"front".into(), callees, change);
        found.into_iter().map(|(id, end)| (id.to_string(), end.score, end.depth)).collect()
    }

    #[test]
    fn the_deepest_anomalous_nodes_are_candidates() {
        let calls =
            [("front", "a"), ("front", "b"), ("a", "c"), ("b", "c"), ("c", "quiet"), ("quiet", "far"), ("b", "d")];
        let changes = [("front", 10.0), ("a", 4.0), ("b", 5.0), ("c", 6.0), ("quiet", 1.0), ("far", 50.0), ("d", 7.0)];
        // front-b-c is 21 (over a it is 20), front-b-d is 22; `far` lies behind a quiet node.
        assert_eq!(ends(&calls, &changes), [("c".to_owned(), 21.0, 2), ("d".to_owned(), 22.0, 2)]);
    }

    #[test]
    fn the_longer_way_counts_even_when_found_later() {
        let calls = [("front", "a"), ("front", "z"), ("a", "m"), ("m", "z")];
        let changes = [("front", 10.0), ("a", 4.0), ("m", 4.0), ("z", 4.0)];
        assert_eq!(ends(&calls, &changes), [("z".to_owned(), 22.0, 3)]);
    }

    #[test]
    fn circles_are_cut() {
        let calls = [("front", "a"), ("a", "b"), ("b", "a"), ("b", "front"), ("a", "a")];
        let changes = [("front", 10.0), ("a", 4.0), ("b", 5.0)];
        assert_eq!(ends(&calls, &changes), [("b".to_owned(), 19.0, 2)]);
    }

    #[test]
    fn a_quiet_entry_has_no_candidates_and_an_entry_alone_is_its_own() {
        assert!(ends(&[("front", "a")], &[("front", 1.0), ("a", 9.0)]).is_empty());
        assert_eq!(ends(&[("front", "a")], &[("front", 9.0), ("a", 1.0)]), [("front".to_owned(), 9.0, 0)]);
    }
}
