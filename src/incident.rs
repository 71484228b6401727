//! Everything that one analysis needs, checked once.

use crate::graph::ServiceGraph;
use crate::telemetry::alert::{Alert, Symptom};
use crate::telemetry::calls::CallStats;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Series;
use crate::telemetry::time::Window;
use crate::telemetry::topology::GivenEdge;
use crate::telemetry::warning::Warning;

/// What the rim hands over: windows and telemetry, not yet checked against each other.
#[derive(Clone, Debug)]
pub struct IncidentParts {
    /// A name for the report, for example the case folder's.
    pub name: String,
    /// When users felt it.
    pub window: Window,
    /// Normal operation to compare with; at least one.
    pub baselines: Vec<Window>,
    /// Where users felt it, if known.
    pub entry: Option<ServiceId>,
    /// What they felt, if known.
    pub symptom: Option<Symptom>,
    /// Call statistics over all windows.
    pub calls: CallStats,
    /// Metric series over all windows.
    pub series: Vec<Series>,
    /// Edges stated outright.
    pub given_edges: Vec<GivenEdge>,
    /// The alert that started it, if any.
    pub alert: Option<Alert>,
    /// What ingest and aggregation had to say.
    pub warnings: Vec<Warning>,
}

/// A checked incident: windows that do not overlap, sorted series, a graph.
#[derive(Clone, Debug)]
pub struct Incident {
    /// A name for the report.
    pub name: String,
    /// When users felt it.
    pub window: Window,
    /// Normal operation, sorted by time, none overlapping the incident window.
    pub baselines: Vec<Window>,
    /// Where users felt it, if known. Always a node of `graph`.
    pub entry: Option<ServiceId>,
    /// What they felt, if known.
    pub symptom: Option<Symptom>,
    /// Call statistics.
    pub calls: CallStats,
    /// Metric series, sorted by subject, signal, name.
    pub series: Vec<Series>,
    /// Who calls whom.
    pub graph: ServiceGraph,
    /// The alert that started it, if any.
    pub alert: Option<Alert>,
    /// What the reader of the report should know, sorted.
    pub warnings: Vec<Warning>,
}

/// A caller's mistake that no analysis can mend.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IncidentError {
    /// There is nothing to compare with.
    #[error("no baseline window: name a window of normal operation")]
    NoBaseline,
    /// A baseline shares time with the incident.
    #[error("baseline window {0:?} overlaps the incident window {1:?}: move or shorten one of them")]
    Overlap(Window, Window),
    /// No spans, no series.
    #[error("there is no telemetry: neither spans nor series were read")]
    NoTelemetry,
    /// The entry service is not among the services seen.
    #[error("the entry service {0:?} is not in the telemetry; services seen: {1}")]
    UnknownEntry(ServiceId, String),
}
