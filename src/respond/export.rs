//! An incident with its true cause as a case folder, for `eval` and `train`.

use std::fs;
use std::path::{Path, PathBuf};

use super::analyse::Known;
use super::gather::{GatherError, Removed, Wanted, gather_into};
use super::{Responder, now_ns};
use crate::case::{CASE_FILE, Case, CaseToWrite, TruthToWrite};
use crate::memory::{Feedback, IncidentRecord};
use crate::store;
use crate::windows::Chosen;

/// Below the data folder.
const CASES: &str = "cases";

/// Writes the folder: telemetry as it can still be had, and what was said of the cause. Of one that is there, the cause.
pub(super) fn export(
    responder: &Responder,
    incident: &IncidentRecord,
    feedback: &Feedback,
) -> Result<PathBuf, GatherError> {
    let configuration = responder.configuration();
    let (origin, rules) = (&configuration.origin, &configuration.settings.windows);
    let cases = responder.folder.join(CASES);
    let root = cases.join(incident.id.to_string());
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| GatherError::Write { path, source }
    };
    let truth = TruthToWrite { service: feedback.cause.as_deref(), description: &feedback.note };
    let name = format!("incident {}: {}", incident.id, incident.title);
    let case = |windows: &Chosen| {
        let written = CaseToWrite {
            comment: "Kept by `hypocenter serve` when its cause was confirmed.",
            name: &name,
            entry: incident.entry.as_deref(),
            symptom: incident.symptom.as_deref(),
            incident: windows.incident,
            baselines: &windows.baselines,
            truth: Some(truth.clone()),
        };
        written.toml()
    };
    // Telemetry that was kept is not thrown away: only what it was is said anew.
    if let Ok(kept) = Case::read(&root) {
        let windows = Chosen { incident: kept.incident, baselines: kept.baselines };
        fs::write(root.join(CASE_FILE), case(&windows)).map_err(failed(&root))?;
        return Ok(root);
    }
    let nothing = || GatherError::Nothing("the incident was forgotten".to_owned());
    let known = Known::recall(responder, incident.id).ok().flatten().ok_or_else(nothing)?;
    let read = known.windows(rules, now_ns())?;
    let wanted =
        Wanted { windows: &read, name: &name, entry: incident.entry.as_deref(), symptom: incident.symptom.as_deref() };
    // Beside its place, so that a case is there whole or not at all.
    let unfinished = responder.scratch();
    let _removed = Removed(&unfinished);
    let (telemetry, arrived) = gather_into(origin, &wanted, &unfinished)?;
    let compared = known.compared(arrived, &telemetry, rules)?.windows;
    drop(telemetry);
    if let Some(folder) = &origin.store {
        store::export(folder, &compared.all(), &origin.options, &origin.live_signals(), &unfinished)?;
    }
    fs::write(unfinished.join(CASE_FILE), case(&compared)).map_err(failed(&unfinished))?;
    fs::create_dir_all(&cases).map_err(failed(&cases))?;
    fs::rename(&unfinished, &root).map_err(failed(&root))?;
    Ok(root)
}
