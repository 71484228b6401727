//! Random walk with restart along call edges, weighted by correlation with the symptom.

use std::collections::BTreeMap;

use super::node_series::SymptomSeries;
use super::page_rank::{Stop, page_rank};
use super::traversal::ANOMALOUS;
use super::{Ranker, Ranking, correlation, scored};
use crate::detect::Finding;
use crate::graph::ServiceGraph;
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;

/// Where a walker that starts at the entry and follows correlated calls spends its time.
///
/// With `w(v)` the absolute lag-aware correlation of `v`'s latency or error ratio with the symptom (1 for the entry
/// itself), a walker at `v` goes
///
/// ```text
/// to a callee c   with weight w(c)
/// to a caller r   with weight rho * w(r)
/// nowhere         with weight max(0, w(v) - max over callees of w(c))
/// ```
/// and restarts at `v` in proportion to `w(v)`. The score is the stationary probability. A node that was never measured
/// has weight 0 and is not walked to.
/// Source: Kim, Sumbaly, Shah, "Root cause detection in a service-oriented architecture" (MonitorRank), SIGMETRICS 2013,
/// <https://doi.org/10.1145/2465529.2465753>; the weights as in Wang et al., "CloudRanger", CCGRID 2018,
/// <https://doi.org/10.1109/CCGRID.2018.00076>, first order. There visits of simulated walkers are counted; here the
/// distribution that they approach is computed.
pub struct RandomWalk;

/// Weight of a step from a callee back to its caller: 0.1 in PyRCA's implementation of CloudRanger.
const RHO: f64 = 0.1;
/// Probability of walking on instead of restarting; 0.85 is the value of the PageRank paper, used by MonitorRank's
/// successors.
const DAMPING: f64 = 0.85;
/// The error falls by the damping factor at least in each iteration: 0.85^170 < 1e-12.
const STOP: Stop = Stop { tolerance: 1e-12, max_iterations: 500 };

impl Ranker for RandomWalk {
    fn name(&self) -> &'static str {
        "random_walk"
    }

    fn about(&self) -> &'static str {
        "random walk with restart along call edges, weighted by correlation (MonitorRank 2013, CloudRanger 2018)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let Some(symptom) = SymptomSeries::of(incident) else {
            return scored::ranking(self.name(), incident, findings, &BTreeMap::new());
        };
        // The published methods start from an alarm.
        let alarm = symptom.change(&symptom.entry).is_some_and(|change| change.abs() > ANOMALOUS);
        let scores = from_symptom(&incident.graph, symptom);
        scored::ranking_if(alarm, self.name(), incident, findings, &scores)
    }
}

/// Stationary probabilities of the walk for a symptom.
pub(super) fn from_symptom(graph: &ServiceGraph, symptom: SymptomSeries) -> BTreeMap<ServiceId, f64> {
    let mut weights = correlation::with_symptom(&symptom);
    weights.insert(symptom.entry, 1.0);
    walk(graph, &weights)
}

fn walk(graph: &ServiceGraph, weights: &BTreeMap<ServiceId, f64>) -> BTreeMap<ServiceId, f64> {
    let calls: Vec<(&ServiceId, &ServiceId)> = graph.edges().iter().map(|e| (&e.caller, &e.callee)).collect();
    walk_along(&calls, weights)
}

/// Stationary probability of the nodes with a weight above 0.
fn walk_along(calls: &[(&ServiceId, &ServiceId)], weights: &BTreeMap<ServiceId, f64>) -> BTreeMap<ServiceId, f64> {
    let nodes: Vec<(&ServiceId, f64)> = weights.iter().map(|(id, &w)| (id, w)).filter(|node| node.1 > 0.0).collect();
    let index: BTreeMap<&ServiceId, usize> = nodes.iter().enumerate().map(|(i, node)| (node.0, i)).collect();
    let mut edges = Vec::new();
    let mut best_callee = vec![0.0_f64; nodes.len()];
    for (caller, callee) in calls {
        let (Some(&from), Some(&to)) = (index.get(caller), index.get(callee)) else { continue };
        // A call to oneself is the self-loop below.
        if from != to {
            edges.push((from, to, nodes[to].1));
            edges.push((to, from, RHO * nodes[from].1));
            best_callee[from] = best_callee[from].max(nodes[to].1);
        }
    }
    for (at, node) in nodes.iter().enumerate() {
        edges.push((at, at, (node.1 - best_callee[at]).max(0.0)));
    }
    let personalization: Vec<f64> = nodes.iter().map(|node| node.1).collect();
    let ranks = page_rank(&edges, &personalization, DAMPING, STOP);
    nodes.into_iter().map(|node| node.0.clone()).zip(ranks.scores).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NetworkX 3.6.1 on the graph that the weights below make:
    /// `w = dict(front=1, cart=.9, db=.95, ads=.2); calls = [('front','cart'),('cart','db'),('front','ads')];
    /// G = nx.DiGraph(); G.add_weighted_edges_from([(a,b,w[b]) for a,b in calls] + [(b,a,.1*w[a]) for a,b in calls] +
    /// [(v,v,max(0,w[v]-max([w[b] for a,b in calls if a==v],default=0))) for v in w]);
    /// nx.pagerank(G, alpha=.85, personalization=w, weight='weight', tol=1e-14, max_iter=1000)`
    #[test]
    fn the_walk_ends_where_correlation_leads() {
        let id = ServiceId::new;
        let weights = BTreeMap::from([
            (id("front"), 1.0),
            (id("cart"), 0.9),
            (id("db"), 0.95),
            (id("ads"), 0.2),
            (id("idle"), 0.0),
        ]);
        let (front, cart, db, ads, idle) = (id("front"), id("cart"), id("db"), id("ads"), id("idle"));
        let got = walk_along(&[(&front, &cart), (&cart, &db), (&front, &ads), (&front, &idle)], &weights);
        let expected = NETWORKX;
        assert_eq!(got.len(), expected.len());
        for (name, value) in expected {
            assert!((got[&id(name)] - value).abs() < 1e-10, "{name}: {} against {value}", got[&id(name)]);
        }
    }

    const NETWORKX: [(&str, f64); 4] = [
        ("front", 0.08088437987429367),
        ("cart", 0.14886891586767195),
        ("db", 0.7211051210519565),
        ("ads", 0.04914158320607706),
    ];
}
