//! The service graph: who calls whom. A *caller* calls a *callee*; faults travel from callee to caller.
//! petgraph is private to this room.

use std::collections::{BTreeMap, VecDeque};

use petgraph::Direction;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::telemetry::calls::{CallNode, CallStats};
use crate::telemetry::id::ServiceId;
use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};
use crate::telemetry::warning::Warning;

mod draw;

/// A directed call edge.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct Edge {
    /// Who calls.
    pub caller: ServiceId,
    /// Who is called.
    pub callee: ServiceId,
    /// Whether the caller waits. An edge seen in both modes is `Sync`.
    pub mode: EdgeMode,
}

/// Who calls whom, by [`ServiceId`].
#[derive(Clone, Debug, Default)]
pub struct ServiceGraph {
    nodes: Vec<CallNode>,
    edges: Vec<Edge>,
    /// Node `i` stands for `nodes[i]`; an edge's weight is its position in `edges`.
    links: DiGraph<(), usize>,
}

impl ServiceGraph {
    /// Joins what the spans show with what the user's data states outright. Never fails: what is odd becomes a warning.
    ///
    /// Of several statements about what a node is, the first in the order of [`NodeKind`] holds. A node of which a given
    /// edge only tells that it calls is a service, unless something else tells more.
    pub fn build(calls: &CallStats, given: &[GivenEdge]) -> (Self, Vec<Warning>) {
        let mut kinds: BTreeMap<&ServiceId, Vec<NodeKind>> = BTreeMap::new();
        for node in &calls.nodes {
            kinds.entry(&node.id).or_default().push(node.kind);
        }
        let mut modes: BTreeMap<(&ServiceId, &ServiceId), EdgeMode> = BTreeMap::new();
        let mut join = |caller, callee, mode: EdgeMode| {
            modes.entry((caller, callee)).and_modify(|known| *known = mode.min(*known)).or_insert(mode);
        };
        for key in calls.rows.iter().map(|row| &row.key) {
            if let Some(caller) = key.caller {
                join(calls.service(caller), calls.service(key.callee), key.mode);
            }
        }
        for edge in given {
            kinds.entry(&edge.callee).or_default().push(edge.callee_kind);
            kinds.entry(&edge.caller).or_default();
            join(&edge.caller, &edge.callee, edge.mode);
        }

        let mut warnings = Vec::new();
        let mut nodes = Vec::with_capacity(kinds.len());
        for (id, stated) in kinds {
            let kind = stated.iter().copied().min().unwrap_or(NodeKind::Service);
            let vague = [NodeKind::Service, NodeKind::External];
            if stated.iter().any(|&other| other != kind && !vague.contains(&other) && !vague.contains(&kind)) {
                warnings.push(Warning {
                    source: "graph".to_owned(),
                    place: id.to_string(),
                    message: format!("is called both a database and a queue; taken for a {}", draw::word(kind)),
                    affected: 1,
                });
            }
            nodes.push(CallNode { id: id.clone(), kind });
        }
        let edges = modes.into_iter().map(|((caller, callee), mode)| Edge {
            caller: caller.clone(),
            callee: callee.clone(),
            mode,
        });
        (Self::from_sorted(nodes, edges.collect()), warnings)
    }

    fn from_sorted(nodes: Vec<CallNode>, edges: Vec<Edge>) -> Self {
        let mut graph = Self { links: DiGraph::with_capacity(nodes.len(), edges.len()), nodes, edges };
        for _ in &graph.nodes {
            graph.links.add_node(());
        }
        for (at, edge) in graph.edges.iter().enumerate() {
            if let (Some(caller), Some(callee)) = (graph.index(&edge.caller), graph.index(&edge.callee)) {
                graph.links.add_edge(caller, callee, at);
            }
        }
        graph
    }

    /// All nodes, sorted by name.
    pub fn nodes(&self) -> &[CallNode] {
        &self.nodes
    }

    /// All edges, sorted by caller and then callee; one for each pair.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// What a node is; `None` for a name that is not in the graph.
    pub fn kind(&self, service: &ServiceId) -> Option<NodeKind> {
        self.index(service).map(|node| self.nodes[node.index()].kind)
    }

    /// The edge between two nodes.
    pub fn edge(&self, caller: &ServiceId, callee: &ServiceId) -> Option<&Edge> {
        let at = self.edges.binary_search_by(|edge| (&edge.caller, &edge.callee).cmp(&(caller, callee)));
        at.ok().map(|at| &self.edges[at])
    }

    /// Those who call the node, sorted by name.
    pub fn callers(&self, service: &ServiceId) -> Vec<&ServiceId> {
        self.neighbours(service, Direction::Incoming)
    }

    /// Those whom the node calls, sorted by name.
    pub fn callees(&self, service: &ServiceId) -> Vec<&ServiceId> {
        self.neighbours(service, Direction::Outgoing)
    }

    /// Every node that the start reaches along calls, itself included, with the least number of calls on the way.
    /// Empty when the start is not in the graph.
    pub fn reachable_from(&self, start: &ServiceId) -> BTreeMap<&ServiceId, usize> {
        let Some(start) = self.index(start) else { return BTreeMap::new() };
        let distances = self.distances(start, Direction::Outgoing);
        let reached = self.nodes.iter().zip(distances);
        reached.filter_map(|(node, distance)| distance.map(|d| (&node.id, d))).collect()
    }

    /// A shortest call path from one node to another, both included; among equals the first by name.
    pub fn path(&self, from: &ServiceId, to: &ServiceId) -> Option<Vec<&ServiceId>> {
        let (from, to) = (self.index(from)?, self.index(to)?);
        // How far each node is from the goal; a shortest path comes one call nearer with every step.
        let left = self.distances(to, Direction::Incoming);
        let mut at = from;
        let mut path = vec![self.name(at)];
        for distance in (0..left[from.index()]?).rev() {
            let nearer = |node: &NodeIndex| left[node.index()] == Some(distance);
            at = self.links.neighbors(at).filter(nearer).min()?;
            path.push(self.name(at));
        }
        Some(path)
    }

    /// For every node that reaches the goal along calls (the goal itself left out): whom to call next on a shortest
    /// path, among equals the first by name.
    pub fn next_towards(&self, goal: &ServiceId) -> BTreeMap<&ServiceId, &ServiceId> {
        let Some(goal) = self.index(goal) else { return BTreeMap::new() };
        let left = self.distances(goal, Direction::Incoming);
        let next = |at: NodeIndex| {
            let distance = left[at.index()]?.checked_sub(1)?;
            self.links.neighbors(at).filter(|node| left[node.index()] == Some(distance)).min()
        };
        self.links.node_indices().filter_map(|at| Some((self.name(at), self.name(next(at)?)))).collect()
    }

    /// Groups of nodes that call each other in a circle, each sorted, sorted by their first name.
    /// A node that only calls itself is not such a group.
    pub fn cycles(&self) -> Vec<Vec<&ServiceId>> {
        // Not petgraph's `tarjan_scc`: it is recursive, and a long chain of calls would overflow the stack.
        let mut cycles: Vec<Vec<&ServiceId>> = kosaraju_scc(&self.links)
            .into_iter()
            .filter(|group| group.len() > 1)
            .map(|mut group| {
                group.sort_unstable();
                group.into_iter().map(|node| self.name(node)).collect()
            })
            .collect();
        cycles.sort_unstable();
        cycles
    }

    fn index(&self, service: &ServiceId) -> Option<NodeIndex> {
        self.nodes.binary_search_by(|node| node.id.cmp(service)).ok().map(NodeIndex::new)
    }

    fn name(&self, node: NodeIndex) -> &ServiceId {
        &self.nodes[node.index()].id
    }

    fn neighbours(&self, service: &ServiceId, direction: Direction) -> Vec<&ServiceId> {
        let Some(node) = self.index(service) else { return Vec::new() };
        let mut found: Vec<NodeIndex> = self.links.neighbors_directed(node, direction).collect();
        found.sort_unstable();
        found.into_iter().map(|node| self.name(node)).collect()
    }

    /// The least number of calls between the start and each node, in order of nodes; `None` for those out of reach.
    fn distances(&self, start: NodeIndex, direction: Direction) -> Vec<Option<usize>> {
        let mut distances = vec![None; self.nodes.len()];
        distances[start.index()] = Some(0);
        let mut queue = VecDeque::from([(start, 0)]);
        while let Some((node, distance)) = queue.pop_front() {
            for next in self.links.neighbors_directed(node, direction) {
                if distances[next.index()].is_none() {
                    distances[next.index()] = Some(distance + 1);
                    queue.push_back((next, distance + 1));
                }
            }
        }
        distances
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::time::Grid;

    fn given(edges: &[(&str, &str)]) -> ServiceGraph {
        let edges: Vec<GivenEdge> = edges.iter().map(|(caller, callee)| edge(caller, callee)).collect();
        ServiceGraph::build(&CallStats::empty(Grid::new(60_000_000_000)), &edges).0
    }

    fn edge(caller: &str, callee: &str) -> GivenEdge {
        GivenEdge { caller: caller.into(), callee: callee.into(), callee_kind: NodeKind::Service, mode: EdgeMode::Sync }
    }

    fn names(services: Vec<&ServiceId>) -> Vec<&str> {
        services.into_iter().map(ServiceId::as_str).collect()
    }

    #[test]
    fn answers_who_calls_whom() {
        let graph = given(&[("web", "cart"), ("web", "ads"), ("cart", "db"), ("ads", "db"), ("db", "db")]);
        assert_eq!(names(graph.callees(&"web".into())), ["ads", "cart"]);
        assert_eq!(names(graph.callers(&"db".into())), ["ads", "cart", "db"]);
        assert_eq!(names(graph.path(&"web".into(), &"db".into()).unwrap()), ["web", "ads", "db"]);
        assert_eq!(names(graph.path(&"web".into(), &"web".into()).unwrap()), ["web"]);
        assert_eq!(graph.path(&"db".into(), &"web".into()), None);
        assert_eq!(graph.path(&"web".into(), &"nobody".into()), None);
        let reached: Vec<(&str, usize)> =
            graph.reachable_from(&"cart".into()).into_iter().map(|(s, d)| (s.as_str(), d)).collect();
        assert_eq!(reached, [("cart", 0), ("db", 1)]);
        assert!(graph.edge(&"web".into(), &"db".into()).is_none());
        assert!(graph.cycles().is_empty());
    }

    #[test]
    fn finds_circles_in_a_long_chain_without_recursion() {
        let chain: Vec<String> = (0..200_000).map(|n| format!("s{n:06}")).collect();
        let mut edges: Vec<GivenEdge> = chain.windows(2).map(|pair| edge(&pair[0], &pair[1])).collect();
        edges.push(edge("s000003", "s000001"));
        edges.push(edge(&chain[199_999], &chain[199_998]));
        let (graph, _) = ServiceGraph::build(&CallStats::empty(Grid::new(1_000_000)), &edges);
        let cycles: Vec<Vec<&str>> = graph.cycles().into_iter().map(names).collect();
        assert_eq!(cycles, [vec!["s000001", "s000002", "s000003"], vec!["s199998", "s199999"]]);
        let path = graph.path(&chain[0].as_str().into(), &chain[199_999].as_str().into());
        assert_eq!(path.unwrap().len(), 200_000);
    }

    #[test]
    fn joins_statements_about_a_node_and_an_edge() {
        let statements = [
            GivenEdge { mode: EdgeMode::Async, ..edge("web", "store") },
            GivenEdge { callee_kind: NodeKind::External, ..edge("web", "store") },
            GivenEdge { callee_kind: NodeKind::Queue, ..edge("web", "odd") },
            GivenEdge { callee_kind: NodeKind::Database, ..edge("web", "odd") },
            GivenEdge { callee_kind: NodeKind::Database, ..edge("web", "stream") },
            edge("stream", "store"),
        ];
        let (graph, warnings) = ServiceGraph::build(&CallStats::empty(Grid::new(1_000_000)), &statements);
        assert_eq!(graph.edge(&"web".into(), &"store".into()).unwrap().mode, EdgeMode::Sync);
        assert_eq!(graph.kind(&"store".into()), Some(NodeKind::Service));
        assert_eq!(graph.kind(&"web".into()), Some(NodeKind::Service));
        assert_eq!(graph.kind(&"stream".into()), Some(NodeKind::Database));
        assert_eq!(graph.kind(&"odd".into()), Some(NodeKind::Database));
        assert_eq!(graph.kind(&"nobody".into()), None);
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].place, "odd");
    }

    proptest! {
        #[test]
        fn callers_and_callees_are_inverse_and_paths_are_valid(pairs in prop::collection::vec((0..9_u8, 0..9_u8), 0..30)) {
            let edges: Vec<GivenEdge> =
                pairs.iter().map(|(a, b)| edge(&format!("s{a}"), &format!("s{b}"))).collect();
            let (graph, _) = ServiceGraph::build(&CallStats::empty(Grid::new(1_000_000)), &edges);
            for one in graph.nodes() {
                let reached = graph.reachable_from(&one.id);
                let towards = graph.next_towards(&one.id);
                for other in graph.nodes() {
                    let expected = graph.path(&other.id, &one.id).and_then(|path| path.get(1).copied());
                    prop_assert_eq!(towards.get(&other.id).copied(), expected);
                    let calls = graph.edge(&one.id, &other.id).is_some();
                    prop_assert_eq!(calls, graph.callees(&one.id).contains(&&other.id));
                    prop_assert_eq!(calls, graph.callers(&other.id).contains(&&one.id));
                    let path = graph.path(&one.id, &other.id);
                    prop_assert_eq!(path.as_ref().map(|p| p.len() - 1), reached.get(&other.id).copied());
                    for step in path.iter().flat_map(|p| p.windows(2)) {
                        prop_assert!(graph.edge(step[0], step[1]).is_some());
                    }
                }
            }
        }
    }
}
