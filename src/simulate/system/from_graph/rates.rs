//! A graph by places instead of names, with rates that can be played.

use std::collections::BTreeMap;

use super::{Edge, Graph, Kind, Mode, Node, Traffic};

/// Requests per second of all entries, where the graph only has counts.
const TOTAL_PER_S: f64 = 10.0;
/// Where it has rates they are scaled into this range: fewer raise no alert, more only take longer to play.
const LEAST_PER_S: f64 = 5.0;
const MOST_PER_S: f64 = 20.0;
/// Share of a node's requests that may come from nowhere (lost spans) without it being an entry.
const FROM_NOWHERE: f64 = 0.05;

/// What is played of a graph.
pub(super) struct Topology {
    pub(super) nodes: Vec<TopologyNode>,
    pub(super) edges: Vec<TopologyEdge>,
}

pub(super) struct TopologyNode {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Requests per second that come from outside; 0: it is no entry.
    pub(super) entry_per_s: f64,
    /// Median latency, ms.
    pub(super) latency_ms: Option<f64>,
}

pub(super) struct TopologyEdge {
    pub(super) caller: usize,
    pub(super) callee: usize,
    pub(super) mode: Mode,
    /// Calls for each request of the caller.
    pub(super) per_request: f64,
    /// Whether failed calls are tried again.
    pub(super) retried: bool,
}

impl Topology {
    /// # Errors
    ///
    /// Field and problem.
    pub(super) fn new(graph: Graph) -> Result<Self, (String, String)> {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, node) in graph.nodes.iter().enumerate() {
            let wrong = |problem: &str| Err((format!("nodes[{at}].name"), problem.to_owned()));
            if node.name.trim().is_empty() {
                return wrong("is empty");
            }
            if places.insert(&node.name, at).is_some() {
                return wrong(&format!("{:?} is there twice", node.name));
            }
            sound(node.baseline.as_ref()).map_err(|problem| (format!("nodes[{at}].baseline"), problem))?;
        }
        let mut ends = Vec::with_capacity(graph.edges.len());
        for (at, edge) in graph.edges.iter().enumerate() {
            let place = |field: &str, name: &str| {
                let unknown = || (format!("edges[{at}].{field}"), format!("{name:?} is not among the nodes"));
                places.get(name).copied().ok_or_else(unknown)
            };
            ends.push((place("caller", &edge.caller)?, place("callee", &edge.callee)?));
            sound(edge.baseline.as_ref()).map_err(|problem| (format!("edges[{at}].baseline"), problem))?;
        }
        drop(places);
        let rates = Rates::of(&graph, &ends);
        let edges = (graph.edges.iter().zip(&ends).enumerate())
            .map(|(at, (edge, &(caller, callee)))| {
                let asked = rates.nodes[caller];
                let per_request = if rates.counted && asked > 0.0 { rates.edges[at] / asked } else { 1.0 };
                TopologyEdge { caller, callee, mode: edge.mode, per_request, retried: edge.retries > 0 }
            })
            .collect();
        let nodes = (graph.nodes.into_iter().zip(&rates.entries))
            .map(|(node, &entry_per_s)| {
                let p50 = node.baseline.as_ref().and_then(|traffic| traffic.latency_p50_seconds);
                let latency_ms = p50.filter(|seconds| *seconds > 0.0).map(|seconds| seconds * 1e3);
                TopologyNode { name: node.name, kind: node.kind, entry_per_s, latency_ms }
            })
            .collect();
        Ok(Self { nodes, edges })
    }
}

fn sound(traffic: Option<&Traffic>) -> Result<(), String> {
    let Some(traffic) = traffic else { return Ok(()) };
    let values = [
        ("requests_per_second", Some(traffic.requests_per_second)),
        ("latency_p50_seconds", traffic.latency_p50_seconds),
    ];
    for (name, value) in values {
        // As a sum of them has to be a number as well.
        if let Some(value) = value.filter(|value| !(0.0..=1e9).contains(value)) {
            return Err(format!("{name} is {value}"));
        }
    }
    Ok(())
}

/// Requests of nodes, calls of edges and requests from outside, all in one unit.
struct Rates {
    /// Whether the graph tells how often anything is called.
    counted: bool,
    nodes: Vec<f64>,
    edges: Vec<f64>,
    entries: Vec<f64>,
}

impl Rates {
    fn of(graph: &Graph, ends: &[(usize, usize)]) -> Self {
        let before = |traffic: &Option<Traffic>| traffic.as_ref().map_or(0.0, |traffic| traffic.requests_per_second);
        let has_rates = graph.nodes.iter().any(|node| before(&node.baseline) > 0.0);
        let of_node = |node: &Node| if has_rates { before(&node.baseline) } else { node.calls as f64 };
        let of_edge = |edge: &Edge| if has_rates { before(&edge.baseline) } else { edge.calls as f64 };
        let mut nodes: Vec<f64> = graph.nodes.iter().map(of_node).collect();
        let mut edges: Vec<f64> = graph.edges.iter().map(of_edge).collect();
        let counted = nodes.iter().chain(&edges).any(|rate| *rate > 0.0);
        if !counted {
            // A graph that only says who calls whom: each request makes each call once.
            edges.fill(1.0);
        }
        let mut called = vec![0.0; nodes.len()];
        let mut has_caller = vec![false; nodes.len()];
        for (&(caller, callee), rate) in ends.iter().zip(&edges) {
            called[callee] += rate;
            has_caller[callee] |= caller != callee;
        }
        for (node, called) in nodes.iter_mut().zip(&called) {
            *node = node.max(*called);
        }
        let mut entries = vec![0.0; nodes.len()];
        for at in (0..nodes.len()).filter(|&at| graph.nodes[at].kind == Kind::Service) {
            let own = nodes[at] - called[at];
            if !has_caller[at] {
                // One that nobody asked in the windows is asked as often as it calls.
                let calls = ends.iter().zip(&edges).filter(|((caller, _), _)| *caller == at).map(|(_, rate)| *rate);
                entries[at] = if own > 0.0 { own } else { calls.fold(0.0, f64::max) };
                nodes[at] = nodes[at].max(entries[at]);
            } else if own > FROM_NOWHERE * nodes[at] {
                entries[at] = own;
            }
            // Consumers of a queue that nobody fills are asked directly.
            let unfilled = |from: usize| graph.nodes[from].kind == Kind::Queue && !has_caller[from];
            let from_outside = ends.iter().zip(&edges).filter(|((from, to), _)| *to == at && unfilled(*from));
            entries[at] += from_outside.map(|(_, rate)| *rate).sum::<f64>();
        }
        let total: f64 = entries.iter().sum();
        if total > 0.0 {
            let wanted = if has_rates { total.clamp(LEAST_PER_S, MOST_PER_S) } else { TOTAL_PER_S };
            entries.iter_mut().for_each(|rate| *rate *= wanted / total);
        }
        Self { counted, nodes, edges, entries }
    }
}
