//! The service graph: who calls whom. A *caller* calls a *callee*; faults travel from callee to caller.
//! petgraph is private to this room.

use std::collections::BTreeMap;

use crate::telemetry::calls::{CallNode, CallStats};
use crate::telemetry::id::ServiceId;
use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};
use crate::telemetry::warning::Warning;

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
pub struct ServiceGraph {}

impl ServiceGraph {
    /// Joins what the spans show with what the user's data states outright. Never fails: what is odd becomes a warning.
    pub fn build(_calls: &CallStats, _given: &[GivenEdge]) -> (Self, Vec<Warning>) {
        todo!()
    }

    /// All nodes, sorted by name.
    pub fn nodes(&self) -> &[CallNode] {
        todo!()
    }

    /// All edges, sorted.
    pub fn edges(&self) -> &[Edge] {
        todo!()
    }

    /// What a node is; `None` for a name that is not in the graph.
    pub fn kind(&self, _service: &ServiceId) -> Option<NodeKind> {
        todo!()
    }

    /// The edge between two nodes.
    pub fn edge(&self, _caller: &ServiceId, _callee: &ServiceId) -> Option<&Edge> {
        todo!()
    }

    /// Those who call the node, sorted by name.
    pub fn callers(&self, _service: &ServiceId) -> Vec<&ServiceId> {
        todo!()
    }

    /// Those whom the node calls, sorted by name.
    pub fn callees(&self, _service: &ServiceId) -> Vec<&ServiceId> {
        todo!()
    }

    /// Every node that the start reaches along calls, itself included, with the least number of calls on the way.
    pub fn reachable_from(&self, _start: &ServiceId) -> BTreeMap<&ServiceId, usize> {
        todo!()
    }

    /// A shortest call path from one node to another, both included; among equals the first by name.
    pub fn path(&self, _from: &ServiceId, _to: &ServiceId) -> Option<Vec<&ServiceId>> {
        todo!()
    }

    /// Groups of nodes that call each other in a circle, each sorted, sorted by their first name.
    pub fn cycles(&self) -> Vec<Vec<&ServiceId>> {
        todo!()
    }
}
