//! Datasets of case folders (format `case`): folders with a `case.toml` that names the truth.

use std::path::Path;

use super::recorded::{EvalError, QUIET, RecordedCase, folders, id_below, name_of, shifted};
use crate::assemble::Request;
use crate::case::{CASE_FILE, Case};
use crate::ingest::{ReadOptions, SpanColumns, read_paths};

/// How deep below the dataset's folder a case folder may lie: `<dataset>/<system>/<case>`, with one level to spare.
const DEPTH: usize = 3;

/// Finds all case folders with a truth below `dir`, itself included.
///
/// The system is what the case says, else the folder that holds it.
///
/// # Errors
/// [`EvalError`] when the folder cannot be read, a description is wrong, or there is no case with a truth.
pub fn cases(dir: &Path, shift_ns: i64) -> Result<Vec<RecordedCase>, EvalError> {
    let mut found = Vec::new();
    for folder in folders(dir, DEPTH)? {
        if !folder.join(CASE_FILE).is_file() {
            continue;
        }
        let case = Case::read(&folder)?;
        let Some(truth) = case.truth.clone() else { continue };
        let above = || folder.canonicalize().ok().and_then(|f| f.parent().map(name_of));
        let system = case.system.clone().or_else(above).unwrap_or_default();
        found.push(RecordedCase {
            id: id_below(dir, &folder),
            system,
            fault_kind: truth
                .kind
                .clone()
                .unwrap_or_else(|| if truth.is_quiet() { QUIET } else { "unknown" }.to_owned()),
            split: None,
            severity: truth.severity,
            causes: truth.causes,
            load: Box::new(move || {
                let span_columns = case.span_columns.as_deref().map(SpanColumns::parse).transpose()?;
                let sampling_attribute = case.sampling_attribute.clone();
                let options = ReadOptions { span_columns, sampling_attribute, ..ReadOptions::default() };
                let telemetry = read_paths(&case.files, &options, &|_| {})?;
                Ok((telemetry, shifted(Request::from(&case), shift_ns)?))
            }),
        });
    }
    if found.is_empty() {
        return Err(EvalError::NoCases {
            path: dir.to_owned(),
            format: "case",
            expected: "folders with a case.toml that has a [truth]",
        });
    }
    Ok(found)
}
