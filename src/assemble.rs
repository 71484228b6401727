//! From telemetry and windows to a checked [`Incident`].

use std::collections::BTreeSet;

use crate::aggregate::{aggregate, log_stats, version_changes};
use crate::case::Case;
use crate::graph::ServiceGraph;
use crate::incident::{Incident, IncidentError, IncidentParts};
use crate::ingest::Telemetry;
use crate::telemetry::alert::Symptom;
use crate::telemetry::calls::CallStats;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::{Grid, NANOS_PER_SECOND, Window};
use crate::telemetry::warning::Warning;

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

impl From<&Case> for Request {
    /// What a case folder says.
    fn from(case: &Case) -> Self {
        Self {
            name: case.name.clone(),
            window: case.incident,
            baselines: case.baselines.clone(),
            entry: case.entry.clone(),
            symptom: case.symptom,
        }
    }
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
    let mut changes = telemetry.changes;
    changes.extend(version_changes(&telemetry.spans));
    drop(telemetry.spans);
    let logs = log_stats(&telemetry.logs, &grid_for(&request.window));
    drop(telemetry.logs);
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
        changes,
        dialects: telemetry.dialects,
        cut_files: telemetry.cut,
        alert,
        warnings,
    })?;
    known_names(&mut incident);
    // An alert may name a service as the metrics call it, which need not be how the traces call it: then it is
    // better to look for the entry than to refuse the analysis.
    if incident.entry.is_none() {
        let services = incident.services();
        incident.entry = alerted_service.filter(|s| services.contains(s));
    }
    Ok(incident)
}

/// Who calls whom in the telemetry, with what was odd. Its spans are given up for that, and its series adopt the names that
/// the calls have. `window` says how wide the bins are.
pub fn graph_of(telemetry: &mut Telemetry, window: &Window) -> (CallStats, ServiceGraph, Vec<Warning>) {
    let (calls, mut warnings) = aggregate(&telemetry.spans, &grid_for(window));
    std::mem::take(&mut telemetry.spans).free();
    calls.adopt(&mut telemetry.given_edges, &mut telemetry.series);
    let (graph, of_graph) = ServiceGraph::build(&calls, &telemetry.given_edges);
    warnings.extend(of_graph);
    (calls, graph, warnings)
}

/// Gives services that logs and changes name the names that traces and metrics have for them, and tells whose are of no
/// use: those of services that nothing else knows, and those of which one side of the comparison is missing.
fn known_names(incident: &mut Incident) {
    let services = incident.services();
    for change in &mut incident.changes {
        if let Some(known) = change.service.as_ref().and_then(|name| known_as(&services, name)) {
            change.service = Some(known.clone());
        }
    }
    incident.changes.sort();
    let renamed: Vec<ServiceId> =
        incident.logs.services.iter().map(|name| known_as(&services, name).unwrap_or(name).clone()).collect();
    incident.logs.rename_services(&renamed);
    let warnings = log_warnings(incident, &services);
    incident.warnings.extend(warnings);
    incident.warnings.sort();
}

/// The service that a name means: itself, else the only one that has it behind its namespace, or without the namespace.
fn known_as<'s>(services: &'s BTreeSet<ServiceId>, name: &ServiceId) -> Option<&'s ServiceId> {
    if let Some(same) = services.get(name) {
        return Some(same);
    }
    let bare = |name: &ServiceId| name.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let is_namespaced = |name: &ServiceId| name.as_str().contains('/');
    // Two namespaces are two services: one of the names must have none.
    let fits = |s: &&ServiceId| bare(s) == bare(name) && is_namespaced(s) != is_namespaced(name);
    let mut fitting = services.iter().filter(fits);
    fitting.next().filter(|_| fitting.next().is_none())
}

fn log_warnings(incident: &Incident, services: &BTreeSet<ServiceId>) -> Vec<Warning> {
    let logs = &incident.logs;
    let mut by_service = vec![[0_u64; 3]; logs.services.len()];
    for row in &logs.rows {
        let start_ns = logs.grid.bin_start_ns(row.bin);
        let side = match () {
            () if incident.window.contains(start_ns) => 0,
            () if incident.baselines.iter().any(|baseline| baseline.contains(start_ns)) => 1,
            () => 2,
        };
        if let Some(counts) = by_service.get_mut(row.service as usize) {
            counts[side] += row.records;
        }
    }
    let warning = |service: &ServiceId, message: &str, affected: u64| Warning {
        source: "logs".to_owned(),
        place: service.to_string(),
        message: message.to_owned(),
        affected,
    };
    let of = |(service, counts): (&ServiceId, &[u64; 3])| match counts {
        _ if !services.contains(service) => {
            let message = "log records of a service that neither traces nor metrics name are not compared";
            Some(warning(service, message, counts.iter().sum()))
        }
        [0, 0, outside] => Some(warning(service, "log records outside the baseline and the incident", *outside)),
        [during, 0, _] => {
            let message = "log records of the incident without any of the baseline: there is nothing to compare with";
            Some(warning(service, message, *during))
        }
        _ => None,
    };
    logs.services.iter().zip(&by_service).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_one_service_that_it_can_mean() {
        let services: BTreeSet<ServiceId> =
            ["cart", "shop/pay", "a/mail", "b/mail"].into_iter().map(ServiceId::new).collect();
        let known = |name: &str| known_as(&services, &ServiceId::new(name)).map(ServiceId::as_str);
        assert_eq!(known("cart"), Some("cart"));
        assert_eq!(known("pay"), Some("shop/pay"));
        assert_eq!(known("shop/cart"), Some("cart"));
        assert_eq!(known("other/pay"), None);
        assert_eq!(known("mail"), None);
        assert_eq!(known("web"), None);
    }
}
