//! Traces to open beside each other: a bad one from the incident, a normal one from the baseline.

use super::{Cause, ExemplarPair};
use crate::incident::Incident;
use crate::rank::SymptomChange;
use crate::telemetry::alert::Symptom;
use crate::telemetry::calls::{CallRow, Exemplar};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};
use crate::telemetry::sketch::Sketch;

/// One pair for each cause, and one for the entry where it is no cause itself.
pub(super) fn pairs(incident: &Incident, causes: &[Cause], symptom: Option<&SymptomChange>) -> Vec<ExemplarPair> {
    let mut services: Vec<&ServiceId> = Vec::new();
    for service in causes.iter().map(shown_service) {
        if !services.contains(&service) {
            services.push(service);
        }
    }
    if let Some(entry) = symptom.map(|s| &s.entry).filter(|e| !services.contains(e)) {
        services.push(entry);
    }
    let errors = symptom.is_some_and(|s| s.symptom == Symptom::Errors);
    services.into_iter().filter_map(|service| pair(incident, service, errors)).collect()
}

/// Whose calls show the cause: its own; but where the time is lost between caller and callee, the caller's.
fn shown_service(cause: &Cause) -> &ServiceId {
    let strongest = cause.evidence.iter().find_map(|line| line.finding.as_ref());
    match strongest.map(|finding| (finding.signal, &finding.subject)) {
        Some((Signal::NetworkGap, Subject::Edge { caller, .. })) => caller,
        _ => cause.candidate.suspect.service(),
    }
}

fn pair(incident: &Incident, service: &ServiceId, errors: bool) -> Option<ExemplarPair> {
    let calls = &incident.calls;
    let of_service = || calls.rows.iter().filter(|row| calls.service(row.key.callee) == service);
    let start_ns = |row: &CallRow| calls.grid.bin_start_ns(row.key.bin);
    let during: Vec<&CallRow> = of_service().filter(|r| incident.window.contains(start_ns(r))).collect();
    let before: Vec<&CallRow> =
        of_service().filter(|r| incident.baselines.iter().any(|w| w.contains(start_ns(r)))).collect();
    let slowest = during.iter().filter_map(|r| r.slowest).max();
    let failed = during.iter().filter_map(|r| r.failed).min_by_key(|e| e.trace);
    let bad = if errors { failed.or(slowest) } else { slowest };
    let mut durations = Sketch::default();
    before.iter().for_each(|row| durations.merge(&row.durations));
    let median = durations.quantile(0.5).unwrap_or(0.0);
    let distance = |e: &Exemplar| (e.duration_ns as f64 - median).abs();
    let normal = before
        .iter()
        .filter_map(|r| r.typical)
        .min_by(|a, b| distance(a).total_cmp(&distance(b)).then_with(|| a.trace.cmp(&b.trace)));
    let shown = |e: Exemplar| (e.trace, e.duration_ns);
    (bad.is_some() || normal.is_some()).then(|| ExemplarPair {
        subject: service.to_string(),
        bad: bad.map(shown),
        normal: normal.map(shown),
    })
}
