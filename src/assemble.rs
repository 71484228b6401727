//! From telemetry and windows to a checked [`Incident`].

use crate::aggregate::aggregate;
use crate::incident::{Incident, IncidentError, IncidentParts};
use crate::ingest::Telemetry;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::logs::LogStats;
use crate::telemetry::time::{Grid, NANOS_PER_SECOND, Window};

/// Which windows of the telemetry to analyse, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Name for the report.
    pub name: String,
    /// When users felt it.
    pub window: Window,
    /// Normal operation.
    pub baselines: Vec<Window>,
    /// Where users felt it; `None` looks for it.
    pub entry: Option<ServiceId>,
    /// What they felt; `None` looks at both.
    pub symptom: Option<Symptom>,
}

/// Bin widths to choose from, seconds: they divide minutes and hours, so that tables of several runs can be merged.
const STEPS_SECONDS: [i64; 8] = [1, 2, 5, 10, 15, 20, 30, 60];

/// Bins that the incident window should have at least: enough to see an onset and to estimate noise.
const BINS_PER_WINDOW: i64 = 12;

/// The widest bin that still gives the incident window a dozen bins, at least one second and at most one minute.
pub fn grid_for(window: &Window) -> Grid {
    let wanted_ns = (window.end_ns() - window.start_ns()) / BINS_PER_WINDOW;
    let step = STEPS_SECONDS.iter().rev().find(|s| **s * NANOS_PER_SECOND <= wanted_ns).unwrap_or(&STEPS_SECONDS[0]);
    Grid::new(step * NANOS_PER_SECOND)
}

/// Aggregates the spans and checks everything against everything.
///
/// The entry and the symptom are taken from the request, else from the first alert that names them and is
/// known to the telemetry.
///
/// # Errors
/// [`IncidentError`] for a mistake that no analysis can mend.
pub fn assemble(telemetry: Telemetry, request: Request) -> Result<Incident, IncidentError> {
    let (calls, aggregate_warnings) = aggregate(&telemetry.spans, &grid_for(&request.window));
    drop(telemetry.spans);
    let logs = LogStats::empty(grid_for(&request.window));
    let mut warnings = telemetry.warnings;
    warnings.extend(aggregate_warnings);
    let alert = telemetry.alerts.iter().find(|a| a.service.is_some()).or(telemetry.alerts.first()).cloned();
    let alerted_service = telemetry.alerts.iter().find_map(|a| a.service.clone());
    let mut incident = Incident::new(IncidentParts {
        name: request.name,
        window: request.window,
        baselines: request.baselines,
        symptom: request.symptom.or_else(|| telemetry.alerts.iter().find_map(|a| a.symptom)),
        entry: request.entry,
        calls,
        series: telemetry.series,
        given_edges: telemetry.given_edges,
        logs,
        changes: telemetry.changes,
        dialects: telemetry.dialects,
        alert,
        warnings,
    })?;
    // An alert may name a service as the metrics call it, which need not be how the traces call it: then it is
    // better to look for the entry than to refuse the analysis.
    if incident.entry.is_none() {
        let services = incident.services();
        incident.entry = alerted_service.filter(|s| services.contains(s));
    }
    Ok(incident)
}
