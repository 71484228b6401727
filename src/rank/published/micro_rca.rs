//! MicroRCA: PageRank on the anomalous part of the call graph, personalised by what resources share with latency.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::node_series::{NodeSeries, Source, entry};
use crate::rank::page_rank::{Stop, page_rank};
use crate::rank::{Ranker, Ranking, scored};
use crate::stats::correlation::pearson;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Signal;
use crate::telemetry::time::NANOS_PER_SECOND;

/// An edge whose smoothed latency falls into several clusters (Birch) is anomalous, and so is its callee. The graph of
/// anomalous nodes and their neighbours gets weights: 0.55 for anomalous edges, for the others the correlation of their
/// latency with that of the anomalous node. A node's personalisation is the mean weight of its edges, times the
/// highest absolute correlation of its latency with one of its resources, over its degree; PageRank (0.85) from callers
/// to callees gives the score.
///
/// Source: Wu, Tordsson, Elmroth, Kao, "MicroRCA: Root cause localization of performance issues in microservices", NOMS
/// 2020, <https://doi.org/10.1109/NOMS47738.2020.9110353>: with the constants of the authors' code (Birch threshold
/// 0.045, one minute of smoothing, 0.01 where no resource is known). Differs in this: hosts are no nodes, for which
/// service runs where is not known; an edge without calls counted has its callee's latency; as many bins before the
/// incident as in it are looked at.
pub struct MicroRca;

const BIRCH_THRESHOLD: f64 = 0.045;
const SMOOTHING_NS: i64 = 60 * NANOS_PER_SECOND;
const ANOMALOUS_EDGE: f64 = 0.55;
const UNKNOWN_RESOURCE: f64 = 0.01;
const DAMPING: f64 = 0.85;
const STOP: Stop = Stop { tolerance: 1e-12, max_iterations: 500 };
/// What may explain a slow service from inside.
const RESOURCES: [Signal; 7] = [
    Signal::Cpu,
    Signal::Memory,
    Signal::Disk,
    Signal::NetworkReceive,
    Signal::NetworkTransmit,
    Signal::NodeCpu,
    Signal::NodeMemory,
];

impl Ranker for MicroRca {
    fn name(&self) -> &'static str {
        "micro_rca"
    }

    fn about(&self) -> &'static str {
        "MicroRCA: PageRank on the anomalous subgraph, personalised by resources (Wu et al., NOMS 2020)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let scores = Latencies::of(incident).map(|latencies| latencies.scores(incident)).unwrap_or_default();
        scored::ranking(self.name(), incident, findings, &scores)
    }
}

/// Latencies near the incident; NaN for gaps.
struct Latencies {
    times_ns: Vec<i64>,
    nodes: BTreeMap<ServiceId, Vec<f64>>,
    edges: BTreeMap<(ServiceId, ServiceId), Vec<f64>>,
}

impl Latencies {
    fn of(incident: &Incident) -> Option<Self> {
        let entry = entry(incident)?;
        let measured = [Source::Calls, Source::Series]
            .into_iter()
            .map(|source| NodeSeries::measure(incident, Signal::Latency, source))
            .find(|measured| measured.values.contains_key(&entry))?;
        let near = measured.near_incident();
        let times_ns: Vec<i64> = near.iter().map(|&at| measured.times_ns[at]).collect();
        let nodes: BTreeMap<ServiceId, Vec<f64>> = measured
            .values
            .into_iter()
            .map(|(id, values)| (id, near.iter().map(|&at| values[at].unwrap_or(f64::NAN)).collect()))
            .collect();
        let mut edges = counted_edges(incident, &times_ns);
        for edge in incident.graph.edges().iter().filter(|edge| edge.caller != edge.callee) {
            if let Some(values) = nodes.get(&edge.callee) {
                edges.entry((edge.caller.clone(), edge.callee.clone())).or_insert_with(|| values.clone());
            }
        }
        Some(Self { times_ns, nodes, edges })
    }

    /// Bins of one minute.
    fn smoothing(&self) -> usize {
        let step = self.times_ns.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(SMOOTHING_NS).max(1);
        usize::try_from(SMOOTHING_NS / step).unwrap_or(1).max(1)
    }

    fn scores(&self, incident: &Incident) -> BTreeMap<ServiceId, f64> {
        let smoothing = self.smoothing();
        let anomalous: BTreeSet<&(ServiceId, ServiceId)> =
            self.edges.iter().filter(|(_, values)| in_clusters(values, smoothing)).map(|(edge, _)| edge).collect();
        let resources = self.resource_correlation(incident, anomalous.iter().map(|edge| &edge.1));
        let edges = self.weighted(&anomalous);
        scores(&edges, &resources)
    }

    /// The edges at anomalous nodes with their weights, by caller and callee.
    fn weighted(&self, anomalous: &BTreeSet<&(ServiceId, ServiceId)>) -> Vec<(&ServiceId, &ServiceId, f64)> {
        let nodes: BTreeSet<&ServiceId> = anomalous.iter().map(|edge| &edge.1).collect();
        self.edges
            .iter()
            .filter_map(|(edge, values)| {
                if anomalous.contains(edge) {
                    return Some((&edge.0, &edge.1, ANOMALOUS_EDGE));
                }
                let at = [&edge.1, &edge.0].into_iter().find(|node| nodes.contains(*node))?;
                Some((&edge.0, &edge.1, pearson(self.nodes.get(at)?, values).abs()))
            })
            .collect()
    }

    /// For each node the highest absolute correlation of its latency with one of its resources.
    fn resource_correlation<'a>(
        &self,
        incident: &Incident,
        nodes: impl Iterator<Item = &'a ServiceId>,
    ) -> BTreeMap<ServiceId, f64> {
        let mut best: BTreeMap<ServiceId, f64> = nodes.map(|node| (node.clone(), UNKNOWN_RESOURCE)).collect();
        for signal in RESOURCES {
            let measured = NodeSeries::measure(incident, signal, Source::Series);
            for (node, best) in &mut best {
                let (Some(latency), Some(values)) = (self.nodes.get(node), measured.values.get(node)) else { continue };
                let at_time = |at: &i64| latest(&measured.times_ns, values, *at);
                let aligned: Vec<f64> = self.times_ns.iter().map(at_time).collect();
                *best = best.max(pearson(latency, &aligned).abs());
            }
        }
        best
    }
}

/// The value at or last before an instant; NaN without one.
fn latest(times_ns: &[i64], values: &[Option<f64>], at_ns: i64) -> f64 {
    let after = times_ns.partition_point(|time| *time <= at_ns);
    values.get(..after).into_iter().flatten().rev().find_map(|value| *value).unwrap_or(f64::NAN)
}

/// Mean duration of each edge's calls at each of the times, seconds.
fn counted_edges(incident: &Incident, times_ns: &[i64]) -> BTreeMap<(ServiceId, ServiceId), Vec<f64>> {
    let statistics = &incident.calls;
    let place: BTreeMap<i64, usize> = times_ns.iter().enumerate().map(|(at, time)| (*time, at)).collect();
    let mut sums: BTreeMap<(u32, u32), Vec<(u64, u64)>> = BTreeMap::new();
    for row in &statistics.rows {
        let Some(caller) = row.key.caller.filter(|caller| *caller != row.key.callee) else { continue };
        let Some(&at) = place.get(&statistics.grid.bin_start_ns(row.key.bin)) else { continue };
        let cells = sums.entry((caller, row.key.callee)).or_insert_with(|| vec![(0, 0); times_ns.len()]);
        cells[at].0 += row.calls;
        cells[at].1 = cells[at].1.saturating_add(row.duration_ns);
    }
    let mean = |(calls, duration_ns): (u64, u64)| {
        if calls == 0 { f64::NAN } else { duration_ns as f64 / calls as f64 / NANOS_PER_SECOND as f64 }
    };
    sums.into_iter()
        .map(|((caller, callee), cells)| {
            let edge = (statistics.service(caller).clone(), statistics.service(callee).clone());
            (edge, cells.into_iter().map(mean).collect())
        })
        .collect()
}

/// Whether the values, smoothed and scaled to length 1, fall into more than one Birch cluster: a value joins the
/// nearest cluster if that one's radius stays below the threshold, else begins one. Gaps are left out.
///
/// Zhang, Ramakrishnan, Livny, "BIRCH", SIGMOD 1996, as scikit-learn's `Birch(n_clusters=None)` in one dimension.
fn in_clusters(values: &[f64], smoothing: usize) -> bool {
    let known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let smoothed: Vec<f64> = (0..known.len())
        .map(|at| {
            let window = &known[at.saturating_sub(smoothing - 1)..=at];
            window.iter().sum::<f64>() / window.len() as f64
        })
        .collect();
    let length = smoothed.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length <= 0.0 {
        return false;
    }
    let scaled: Vec<f64> = smoothed.iter().map(|value| value / length).collect();
    // While there is one cluster, the nearest is that one; the second ends the search.
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for value in scaled {
        (n, sum, squares) = (n + 1.0, sum + value, squares + value * value);
        let centroid: f64 = sum / n;
        let radius = (squares / n - centroid * centroid).max(0.0).sqrt();
        if radius > BIRCH_THRESHOLD {
            return true;
        }
    }
    false
}

/// Personalised PageRank from callers to callees; anomalous nodes are those of `resources`.
fn scores(edges: &[(&ServiceId, &ServiceId, f64)], resources: &BTreeMap<ServiceId, f64>) -> BTreeMap<ServiceId, f64> {
    let ids: BTreeSet<&ServiceId> = edges.iter().flat_map(|edge| [edge.0, edge.1]).collect();
    let ids: Vec<&ServiceId> = ids.into_iter().collect();
    let index: BTreeMap<&ServiceId, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let mut at_node = vec![(0.0, 0.0); ids.len()];
    for (caller, callee, weight) in edges {
        for node in [caller, callee] {
            let (sum, degree) = &mut at_node[index[node]];
            *sum += weight;
            *degree += 1.0;
        }
    }
    let personalization: Vec<f64> = ids
        .iter()
        .zip(&at_node)
        .map(|(id, (sum, degree))| resources.get(*id).map_or(0.0, |resource| sum / degree * resource / degree))
        .collect();
    let edges: Vec<(usize, usize, f64)> = edges.iter().map(|edge| (index[edge.0], index[edge.1], edge.2)).collect();
    let ranks = page_rank(&edges, &personalization, DAMPING, STOP);
    ids.into_iter().cloned().zip(ranks.scores).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_those_of_scikit_learn() {
        // len(set(Birch(n_clusters=None, threshold=0.045).fit_predict(normalize([v])[0].reshape(-1, 1)))) > 1
        assert!(!in_clusters(&[1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.1], 1));
        assert!(in_clusters(&[1.0, 1.1, 0.9, 1.0, 1.05, 3.0, 3.1, 2.9], 1));
        assert!(!in_clusters(&[0.0, 0.0], 1) && !in_clusters(&[], 1));
    }

    /// `G.add_weighted_edges_from([('front','cart',.55),('cart','db',.55),('front','ads',.2)]);
    /// p = {'cart': (.55+.55)/2*.6/2, 'db': .55*.9/1}; nx.pagerank(G, alpha=.85, personalization=p, tol=1e-14,
    /// max_iter=1000)` of NetworkX 3
    #[test]
    fn the_score_is_that_of_networkx() {
        let id = ServiceId::new;
        let (front, cart, db, ads) = (id("front"), id("cart"), id("db"), id("ads"));
        let resources = BTreeMap::from([(cart.clone(), 0.6), (db.clone(), 0.9)]);
        let got = scores(&[(&front, &cart, 0.55), (&cart, &db, 0.55), (&front, &ads, 0.2)], &resources);
        for (name, expected) in NETWORKX {
            assert!((got[&id(name)] - expected).abs() < 1e-10, "{got:?}");
        }
    }

    const NETWORKX: [(&str, f64); 4] =
        [("front", 0.0), ("cart", 0.206_185_567_010_312_63), ("db", 0.793_814_432_989_687_6), ("ads", 0.0)];

    #[test]
    fn resources_are_read_at_the_time_of_latencies() {
        let values = [Some(1.0), None, Some(3.0)];
        assert!((latest(&[10, 20, 30], &values, 25) - 1.0).abs() < 1e-12);
        assert!((latest(&[10, 20, 30], &values, 30) - 3.0).abs() < 1e-12);
        assert!(latest(&[10, 20, 30], &values, 5).is_nan());
    }
}
