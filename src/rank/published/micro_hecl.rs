//! MicroHECL: chains of anomalous services from the entry, pruned by correlation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::columns::Moments;
use crate::detect::Finding;
use crate::graph::ServiceGraph;
use crate::incident::Incident;
use crate::rank::node_series::{NodeSeries, Source, SymptomSeries};
use crate::rank::{Ranker, Ranking, scored};
use crate::stats::correlation::pearson;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Signal;

/// From the entry, anomalies of latency and errors are followed from caller to callee and anomalies of traffic from
/// callee to caller; a chain goes on to a neighbour that is anomalous itself (a sample beyond three standard
/// deviations) and whose measure correlates with the last one's by at least 0.7. Where no chain goes on, it ends; ends
/// are ranked by their absolute correlation with the entry's symptom.
///
/// Source: Liu, He, Chen et al., "MicroHECL: High-efficient root cause localization in large-scale microservice
/// systems", ICSE-SEIP 2021, <https://arxiv.org/abs/2103.01782>: chain analysis, ranking of candidates, pruning
/// (threshold 0.7). Differs in this: the three-sigma rule of its traffic detector stands for all three, whose one-class
/// SVM and random forest are trained on labels of their system. All or nothing: services off the chains score 0.
pub struct MicroHecl;

const SIGMAS: f64 = 3.0;
const LEAST_CORRELATION: f64 = 0.7;

impl Ranker for MicroHecl {
    fn name(&self) -> &'static str {
        "micro_hecl"
    }

    fn about(&self) -> &'static str {
        "MicroHECL: anomaly propagation chains, pruned by correlation (Liu et al., ICSE-SEIP 2021)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let Some(symptom) = SymptomSeries::of(incident) else {
            return scored::ranking(self.name(), incident, findings, &BTreeMap::new());
        };
        let source = [Source::Calls, Source::Series]
            .into_iter()
            .find(|&source| NodeSeries::measure(incident, Signal::Latency, source).values.contains_key(&symptom.entry))
            .unwrap_or(Source::Series);
        let traffic = NodeSeries::measure(incident, Signal::Requests, source);
        let alarm = is_anomalous(&symptom.nodes, &symptom.entry);
        let scores = scores(&incident.graph, &symptom, &traffic);
        scored::ranking_if(alarm, self.name(), incident, findings, &scores)
    }
}

/// Whom a chain goes on to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Callees,
    Callers,
}

fn scores(graph: &ServiceGraph, symptom: &SymptomSeries, traffic: &NodeSeries) -> BTreeMap<ServiceId, f64> {
    let mut scores: BTreeMap<ServiceId, f64> = BTreeMap::new();
    let near = symptom.nodes.near_incident();
    let felt = chosen_values(&symptom.nodes, &near, &symptom.entry);
    for (nodes, towards) in [(&symptom.nodes, Towards::Callees), (traffic, Towards::Callers)] {
        for end in chain_ends(graph, nodes, &symptom.entry, towards) {
            let correlation = pearson(&chosen_values(&symptom.nodes, &near, &end), &felt).abs();
            scores.insert(end, correlation);
        }
    }
    scores
}

/// Where chains from the entry end; the entry itself where none goes on. Empty when it is not anomalous.
fn chain_ends(graph: &ServiceGraph, nodes: &NodeSeries, entry: &ServiceId, towards: Towards) -> BTreeSet<ServiceId> {
    let mut ends = BTreeSet::new();
    if !is_anomalous(nodes, entry) {
        return ends;
    }
    let near = nodes.near_incident();
    let mut seen = BTreeSet::from([entry.clone()]);
    let mut open = VecDeque::from([entry.clone()]);
    let mut last = entry.clone();
    while let Some(node) = open.pop_front() {
        let neighbours = match towards {
            Towards::Callees => graph.callees(&node),
            Towards::Callers => graph.callers(&node),
        };
        let here = chosen_values(nodes, &near, &node);
        let mut goes_on = false;
        for next in neighbours.into_iter().filter(|next| **next != node && is_anomalous(nodes, next)) {
            if pearson(&chosen_values(nodes, &near, next), &here) < LEAST_CORRELATION {
                continue;
            }
            goes_on = true;
            if seen.insert(next.clone()) {
                open.push_back(next.clone());
            }
        }
        if !goes_on {
            ends.insert(node.clone());
        }
        last = node;
    }
    if ends.is_empty() {
        // Chains that only run in a circle: who is farthest from the entry stands for it.
        ends.insert(last);
    }
    ends
}

fn is_anomalous(nodes: &NodeSeries, node: &ServiceId) -> bool {
    let (before, during) = nodes.split(node);
    Moments::of(&before).is_some_and(|moments| {
        during
            .iter()
            .any(|value| (value - moments.mean).abs() > SIGMAS * moments.deviation && moments.z(*value).abs() > 0.0)
    })
}

/// The chosen values of a node, NaN for gaps.
fn chosen_values(nodes: &NodeSeries, chosen: &[usize], node: &ServiceId) -> Vec<f64> {
    let Some(values) = nodes.values.get(node) else { return Vec::new() };
    chosen.iter().map(|&at| values.get(at).copied().flatten().unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::symptom_rows::test_symptom;
    use super::*;
    use crate::telemetry::calls::CallStats;
    use crate::telemetry::time::{Grid, NANOS_PER_SECOND};
    use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};

    #[test]
    fn the_end_of_the_chain_is_ranked_by_scipys_correlation() {
        let symptom = test_symptom(
            5,
            &[
                ("front", &[1.0, 1.1, 0.9, 1.0, 1.05, 3.0, 3.2, 2.8, 3.1, 3.0]),
                ("cart", &[0.5, 0.55, 0.45, 0.52, 0.5, 2.4, 2.5, 2.2, 2.5, 2.4]),
                ("db", &[0.1, 0.12, 0.09, 0.1, 0.11, 2.1, 1.9, 2.0, 2.2, 2.1]),
                // As anomalous, but not with the entry.
                ("ads", &[0.1, 0.12, 0.09, 0.1, 0.11, 0.1, 0.11, 2.2, 0.1, 0.1]),
            ],
        );
        let edge = |(caller, callee): (&str, &str)| GivenEdge {
            caller: caller.into(),
            callee: callee.into(),
            callee_kind: NodeKind::Service,
            mode: EdgeMode::Sync,
        };
        // The last call makes a circle, in which no chain would end.
        let edges = [("front", "cart"), ("cart", "db"), ("front", "ads"), ("db", "front")].map(edge);
        for edges in [&edges[..3], &edges[..]] {
            let (graph, _) = ServiceGraph::build(&CallStats::empty(Grid::new(NANOS_PER_SECOND)), edges);
            let got = scores(&graph, &symptom, &NodeSeries::default());
            assert_eq!(got.keys().map(ServiceId::as_str).collect::<Vec<_>>(), ["db"]);
            // scipy.stats.pearsonr(db, front).statistic
            assert!((got[&"db".into()] - SCIPY).abs() < 1e-12, "{got:?}");
        }
    }

    const SCIPY: f64 = 0.99160675114803;
}
