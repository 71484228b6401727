//! Everything that one analysis needs, checked once.

use std::collections::BTreeSet;

use crate::graph::ServiceGraph;
use crate::telemetry::alert::{Alert, Symptom};
use crate::telemetry::calls::CallStats;
use crate::telemetry::change::Change;
use crate::telemetry::id::ServiceId;
use crate::telemetry::logs::LogStats;
use crate::telemetry::series::{Series, Signal, Subject};
use crate::telemetry::time::Window;
use crate::telemetry::topology::GivenEdge;
use crate::telemetry::warning::Warning;
use crate::timespec::window_text;

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
    /// Log statistics over all windows.
    pub logs: LogStats,
    /// What was changed, at any time.
    pub changes: Vec<Change>,
    /// Kinds of metrics that were recognised, for example `spanmetrics (OpenTelemetry Collector)`.
    pub dialects: Vec<String>,
    /// Files that could not be read to their end.
    pub cut_files: BTreeSet<String>,
    /// The alert that started it, if any.
    pub alert: Option<Alert>,
    /// What ingest and aggregation had to say.
    pub warnings: Vec<Warning>,
}

impl IncidentParts {
    /// Windows and calls, and nothing else.
    pub fn new(window: Window, baselines: Vec<Window>, calls: CallStats) -> Self {
        Self {
            name: String::new(),
            window,
            baselines,
            entry: None,
            symptom: None,
            series: Vec::new(),
            given_edges: Vec::new(),
            logs: LogStats::empty(calls.grid),
            calls,
            changes: Vec::new(),
            dialects: Vec::new(),
            cut_files: BTreeSet::new(),
            alert: None,
            warnings: Vec::new(),
        }
    }
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
    /// Where users felt it, if known: a node of `graph` or a service with series.
    pub entry: Option<ServiceId>,
    /// What they felt, if known.
    pub symptom: Option<Symptom>,
    /// Call statistics.
    pub calls: CallStats,
    /// Metric series, sorted by subject, signal, name.
    pub series: Vec<Series>,
    /// Who calls whom.
    pub graph: ServiceGraph,
    /// Log statistics.
    pub logs: LogStats,
    /// What was changed, sorted.
    pub changes: Vec<Change>,
    /// Kinds of metrics that were recognised, sorted.
    pub dialects: Vec<String>,
    /// Files that could not be read to their end.
    pub cut_files: BTreeSet<String>,
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
    #[error(
        "the baseline window {} overlaps the incident window {}: move or shorten one of them",
        window_text(.0),
        window_text(.1)
    )]
    Overlap(Window, Window),
    /// No spans, no series.
    #[error("there is no telemetry: neither spans nor series were read")]
    NoTelemetry,
    /// The entry service is not among the services seen.
    #[error("the entry service `{0}` is not in the telemetry; services seen: {1}")]
    UnknownEntry(ServiceId, String),
}

/// How many service names an error message lists.
const SERVICES_IN_MESSAGE: usize = 12;

impl Incident {
    /// Checks the parts against each other and builds the service graph.
    ///
    /// # Errors
    /// [`IncidentError`] for a caller's mistake: no baseline, overlapping windows, no telemetry, an unknown entry.
    pub fn new(parts: IncidentParts) -> Result<Self, IncidentError> {
        let mut baselines = parts.baselines;
        baselines.sort();
        baselines.dedup();
        if baselines.is_empty() {
            return Err(IncidentError::NoBaseline);
        }
        if let Some(baseline) = baselines.iter().find(|b| b.overlaps(&parts.window)) {
            return Err(IncidentError::Overlap(*baseline, parts.window));
        }
        if parts.calls.rows.is_empty() && parts.series.is_empty() {
            return Err(IncidentError::NoTelemetry);
        }
        let (mut series, mut given_edges) = (parts.series, parts.given_edges);
        parts.calls.adopt(&mut given_edges, &mut series);
        let (graph, graph_warnings) = ServiceGraph::build(&parts.calls, &given_edges);
        series.sort_by(|a, b| {
            (&a.subject, a.signal, &a.name)
                .cmp(&(&b.subject, b.signal, &b.name))
                .then_with(|| a.samples.len().cmp(&b.samples.len()))
        });
        let mut warnings = parts.warnings;
        warnings.extend(graph_warnings);
        warnings.sort();
        let (mut changes, mut dialects) = (parts.changes, parts.dialects);
        changes.sort();
        changes.dedup();
        dialects.sort();
        dialects.dedup();
        let incident = Self {
            name: parts.name,
            window: parts.window,
            baselines,
            entry: parts.entry,
            symptom: parts.symptom,
            calls: parts.calls,
            series,
            graph,
            logs: parts.logs,
            changes,
            dialects,
            cut_files: parts.cut_files,
            alert: parts.alert,
            warnings,
        };
        let services = incident.services();
        match &incident.entry {
            Some(entry) if !services.contains(entry) => {
                let mut seen: Vec<&str> = services.iter().take(SERVICES_IN_MESSAGE).map(ServiceId::as_str).collect();
                if services.len() > SERVICES_IN_MESSAGE {
                    seen.push("…");
                }
                Err(IncidentError::UnknownEntry(entry.clone(), seen.join(", ")))
            }
            _ => Ok(incident),
        }
    }

    /// Every node of the graph and every service that has a series, sorted by name.
    pub fn services(&self) -> BTreeSet<ServiceId> {
        let mut services: BTreeSet<&ServiceId> = self.graph.nodes().iter().map(|n| &n.id).collect();
        for series in self.series.iter().filter(|s| s.signal != Signal::Other) {
            services.insert(series.subject.service());
            if let Subject::Edge { caller, .. } = &series.subject {
                services.insert(caller);
            }
        }
        services.into_iter().cloned().collect()
    }
}
