//! A recorded incident with its known cause, and how its telemetry is had.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::assemble::Request;
use crate::case::CaseError;
use crate::incident::IncidentError;
use crate::ingest::{IngestError, SpanColumnsError, Telemetry};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::{EmptyWindow, Window, without};

/// Reads the telemetry of one case and says which windows to compare, as the user of `analyze` would.
pub type Load = Box<dyn Fn() -> Result<(Telemetry, Request), EvalError> + Send + Sync>;

/// One case of a dataset.
pub struct RecordedCase {
    /// Name, unique within the dataset.
    pub id: String,
    /// The system that was observed.
    pub system: String,
    /// Kind of fault; `none` for a quiet case.
    pub fault_kind: String,
    /// The part of the dataset that it belongs to (train, test), where the dataset has parts.
    pub split: Option<String>,
    /// How bad it was, where that is known.
    pub severity: Option<String>,
    /// The causes, each with the names of services that are right answers; empty for a quiet case, in which nothing is
    /// wrong.
    pub causes: Vec<Vec<ServiceId>>,
    /// The telemetry. The truth is not in it.
    pub load: Load,
}

/// Fault kind of cases without a fault.
pub const QUIET: &str = "none";

impl RecordedCase {
    /// The right answers in one line: names of one cause are parted by `|`, causes by ` + `.
    pub fn truth(&self) -> String {
        let names = |cause: &Vec<ServiceId>| cause.iter().map(|s| s.as_str()).collect::<Vec<_>>().join("|");
        self.causes.iter().map(names).collect::<Vec<_>>().join(" + ")
    }
}

/// Why a dataset, or a case of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A description of the dataset is not as its authors publish it.
    #[error("{}: {problem}", path.display())]
    Layout {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong, a lower-case fragment.
        problem: String,
    },
    /// JSON that cannot be read.
    #[error("{}: not the expected JSON", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Line, column and reason.
        #[source]
        source: serde_json::Error,
    },
    /// There is no case of the format below the folder.
    #[error("{}: no case of format {format} found; expected {expected}", path.display())]
    NoCases {
        /// The folder.
        path: PathBuf,
        /// The format looked for.
        format: &'static str,
        /// What a folder of this format holds.
        expected: &'static str,
    },
    /// A wrong time of injection leaves nothing of the window.
    #[error("a shift of {shift_s} s leaves nothing of the incident window of {window_s} s")]
    Shift {
        /// The shift, seconds.
        shift_s: i64,
        /// Length of the window, seconds.
        window_s: f64,
    },
    /// A window that the files give is empty.
    #[error(transparent)]
    Window(#[from] EmptyWindow),
    /// A case folder's description.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// Telemetry could not be read.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// A case folder's column mapping.
    #[error(transparent)]
    SpanColumns(#[from] SpanColumnsError),
    /// Telemetry and windows do not fit together.
    #[error(transparent)]
    Incident(#[from] IncidentError),
}

/// What lies in a folder, sorted by name.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let failed = |source| EvalError::Io { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The folder itself and all folders below it, down to `depth` levels, sorted by path.
pub(super) fn folders(dir: &Path, depth: usize) -> Result<Vec<PathBuf>, EvalError> {
    let mut found = vec![dir.to_owned()];
    if depth > 0 {
        for path in list(dir)?.into_iter().filter(|path| path.is_dir()) {
            found.extend(folders(&path, depth - 1)?);
        }
    }
    Ok(found)
}

/// A file's or folder's own name as text.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The path as seen from the dataset's folder, with `/` on every machine.
pub(super) fn id_below(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    if parts.is_empty() { name_of(path) } else { parts.join("/") }
}

/// Reads a description in JSON.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, EvalError> {
    let bytes = fs::read(path).map_err(|source| EvalError::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| EvalError::Json { path: path.to_owned(), source })
}

/// The request as someone would make it who takes the incident to begin `shift_ns` later (earlier if negative).
///
/// A baseline that touches the incident's start moves its end with it; what would overlap the incident is cut off.
pub(super) fn shifted(request: Request, shift_ns: i64) -> Result<Request, EvalError> {
    let (old_start, end) = (request.window.start_ns(), request.window.end_ns());
    let start = old_start.saturating_add(shift_ns);
    let window = Window::new(start, end).map_err(|_empty| EvalError::Shift {
        shift_s: shift_ns / crate::telemetry::time::NANOS_PER_SECOND,
        window_s: request.window.seconds(),
    })?;
    let stretched: Vec<Window> = request
        .baselines
        .iter()
        .map(|b| if b.end_ns() == old_start && start > old_start { Window::new(b.start_ns(), start) } else { Ok(*b) })
        .collect::<Result<_, _>>()?;
    Ok(Request { window, baselines: without(&stretched, &[window]), ..request })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window::new(start, end).unwrap()
    }

    #[test]
    fn a_wrong_start_moves_the_neighbouring_baseline_too() {
        let request = Request {
            name: "r".to_owned(),
            window: window(100, 200),
            baselines: vec![window(0, 10), window(40, 100)],
            entry: None,
            symptom: None,
        };
        let late = shifted(request.clone(), 30).unwrap();
        assert_eq!((late.window, late.baselines), (window(130, 200), vec![window(0, 10), window(40, 130)]));
        let early = shifted(request.clone(), -70).unwrap();
        assert_eq!((early.window, early.baselines), (window(30, 200), vec![window(0, 10)]));
        assert!(matches!(shifted(request, 100), Err(EvalError::Shift { .. })));
    }
}
