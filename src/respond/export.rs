//! An incident with its true cause as a case folder, for `eval` and `train`.

use std::fs;
use std::path::PathBuf;

use super::analyse::Known;
use super::gather::{GatherError, Wanted, gather};
use super::{Responder, now_ns};
use crate::case::{CASE_FILE, CaseToWrite, TruthToWrite};
use crate::live;
use crate::memory::{Feedback, IncidentRecord};
use crate::store;

/// Below the data folder.
const CASES: &str = "cases";

/// Writes the folder anew: telemetry as it can still be had, and what was said of the cause.
pub(super) fn export(
    responder: &Responder,
    incident: &IncidentRecord,
    feedback: &Feedback,
) -> Result<PathBuf, GatherError> {
    let configuration = responder.configuration();
    let (origin, rules) = (&configuration.origin, &configuration.settings.windows);
    let nothing = || GatherError::Nothing("the incident was forgotten".to_owned());
    let known = Known::recall(responder, incident.id).ok().flatten().ok_or_else(nothing)?;
    let read = known.windows(rules, now_ns())?;
    let wanted = Wanted { entry: incident.entry.as_deref(), ..Wanted::of(&read) };
    let telemetry = gather(origin, &wanted, &responder.scratch())?;
    let compared = known.compared(read, &telemetry, rules)?;
    drop(telemetry);
    let root = responder.folder.join(CASES).join(incident.id.to_string());
    let failed = |source| GatherError::Write { path: root.clone(), source };
    match fs::remove_dir_all(&root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    if !origin.sources.is_empty() {
        let request = live::Request {
            name: &incident.title,
            incident: compared.incident,
            baselines: &compared.baselines,
            entry: incident.entry.as_deref(),
            symptom: incident.symptom.as_deref(),
            metrics: &origin.options.metrics,
            alert: None,
        };
        live::pull(&origin.sources, &request, &root)?;
    }
    if let Some(folder) = &origin.store {
        store::export(folder, &compared.all(), &origin.options, &origin.live_signals(), &root)?;
    }
    let case = CaseToWrite {
        comment: "Kept by `hypocenter serve` when its cause was confirmed.",
        name: &format!("incident {}: {}", incident.id, incident.title),
        entry: incident.entry.as_deref(),
        symptom: incident.symptom.as_deref(),
        incident: compared.incident,
        baselines: &compared.baselines,
        truth: Some(TruthToWrite { service: feedback.cause.as_deref(), description: &feedback.note }),
    };
    fs::write(root.join(CASE_FILE), case.toml()).map_err(failed)?;
    Ok(root)
}
