//! The way from the symptom to the cause, with what changed on each call.

use super::{BeforeAfter, PathStep};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};
use crate::telemetry::topology::EdgeMode;

/// Changes shown on one call.
const MAX_CHANGES: usize = 3;

/// A shortest call path from the entry to the cause; empty where there is none.
pub(super) fn path(incident: &Incident, findings: &[Finding], entry: &ServiceId, cause: &ServiceId) -> Vec<PathStep> {
    let nodes = incident.graph.path(entry, cause).unwrap_or_default();
    nodes
        .windows(2)
        .map(|pair| PathStep {
            caller: pair[0].clone(),
            callee: pair[1].clone(),
            mode: incident.graph.edge(pair[0], pair[1]).map_or(EdgeMode::Sync, |e| e.mode),
            changes: changes(findings, pair[0], pair[1]),
        })
        .collect()
}

/// What changed on the edge; where the edge itself was not measured, what changed at the callee.
fn changes(findings: &[Finding], caller: &ServiceId, callee: &ServiceId) -> Vec<BeforeAfter> {
    let edge = Subject::Edge { caller: caller.clone(), callee: callee.clone() };
    let of_edge = strongest_by_signal(findings, &edge);
    if of_edge.is_empty() { strongest_by_signal(findings, &Subject::Service(callee.clone())) } else { of_edge }
}

/// The strongest significant finding of each signal, strongest first.
fn strongest_by_signal(findings: &[Finding], subject: &Subject) -> Vec<BeforeAfter> {
    let shown = [Signal::Latency, Signal::ErrorRatio, Signal::Requests, Signal::NetworkGap];
    let mut of_subject: Vec<&Finding> =
        findings.iter().filter(|f| f.significant && f.subject == *subject && shown.contains(&f.signal)).collect();
    of_subject.sort_by(|a, b| b.bits.total_cmp(&a.bits).then_with(|| a.name.cmp(&b.name)));
    let mut seen = Vec::new();
    of_subject.retain(|f| {
        let new = !seen.contains(&f.signal);
        seen.push(f.signal);
        new
    });
    let before_after =
        |f: &Finding| BeforeAfter { signal: f.signal, unit: f.unit, baseline: f.baseline, incident: f.incident };
    of_subject.into_iter().take(MAX_CHANGES).map(before_after).collect()
}
