//! What kinds of node and edge a service graph has. Terms: a *caller* calls a *callee*; faults travel from callee to caller.

use super::id::ServiceId;

/// What a node of the service graph is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum NodeKind {
    /// A service that emits telemetry of its own.
    Service,
    /// A database or cache, seen from its callers.
    Database,
    /// A queue or topic, seen from producers and consumers.
    Queue,
    /// A dependency without telemetry, seen from its callers.
    External,
}

impl NodeKind {
    /// As it stands in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Database => "database",
            Self::Queue => "queue",
            Self::External => "external",
        }
    }
}

/// Whether the caller waits for the callee.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum EdgeMode {
    /// The caller waits for the answer: slowness travels up.
    Sync,
    /// The caller does not wait (message, fire and forget).
    Async,
}

impl EdgeMode {
    /// As it stands in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

/// An edge that the user's data states outright, without spans (a call graph file, service-graph metrics).
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct GivenEdge {
    /// Who calls.
    pub caller: ServiceId,
    /// Who is called.
    pub callee: ServiceId,
    /// What the callee is.
    pub callee_kind: NodeKind,
    /// Whether the caller waits; `Sync` where the source does not tell.
    pub mode: EdgeMode,
}
