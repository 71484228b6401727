//! The telemetry of windows, from the own store and from live sources.

use std::fs;
use std::path::Path;

use super::Origin;
use crate::case::{Case, CaseError};
use crate::incident::IncidentError;
use crate::ingest::{IngestError, OtlpSignal, ReadOptions, Telemetry, finish, read_parts};
use crate::live::{self, LiveError};
use crate::store::{self, StoreError};
use crate::telemetry::span::SpanTable;
use crate::telemetry::time::Window;
use crate::telemetry::warning::Warning;
use crate::windows::Chosen;

/// Why there is no telemetry to analyse, or no analysis of it.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The own store cannot be read.
    #[error("cannot read the store")]
    Store(#[from] StoreError),
    /// A live source cannot be asked.
    #[error("cannot pull from the live sources")]
    Live(#[from] LiveError),
    /// What was pulled cannot be read.
    #[error("cannot read what was pulled")]
    Case(#[from] CaseError),
    /// The same.
    #[error("cannot read what was pulled")]
    Ingest(#[from] IngestError),
    /// The telemetry does not make an incident.
    #[error(transparent)]
    Incident(#[from] IncidentError),
    /// A folder cannot be written.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// The folder or file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing to compare.
    #[error("{0}")]
    Nothing(String),
}

impl GatherError {
    /// What whoever reads of it can do.
    pub(super) fn next_step(&self) -> &'static str {
        match self {
            Self::Nothing(_) => "ask `hypocenter doctor` what telemetry there is, and what is missing",
            Self::Live(_) => "look whether the live sources of the settings answer to this machine",
            Self::Incident(_) => "look whether the services send spans, or metrics that name who calls whom",
            Self::Store(_) | Self::Case(_) | Self::Ingest(_) | Self::Write { .. } => {
                "look at the disk of `hypocenter serve`, and into its log"
            }
        }
    }
}

/// What to gather.
pub(super) struct Wanted<'a> {
    pub(super) windows: &'a Chosen,
    pub(super) name: &'a str,
    pub(super) entry: Option<&'a str>,
    pub(super) symptom: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(windows: &'a Chosen) -> Self {
        Self { windows, name: "window", entry: None, symptom: None }
    }
}

/// Reads everything as [`gather_into`] does, and leaves nothing of what was pulled.
pub(super) fn gather(origin: &Origin, wanted: &Wanted<'_>, scratch: &Path) -> Result<(Telemetry, Chosen), GatherError> {
    let _removed = Removed(scratch);
    gather_into(origin, wanted, scratch)
}

/// Reads everything. What is pulled stays in `folder`, which must be new. A live source takes the place of what the store
/// has of its kind: the same spans or samples may be in both, and would count twice. Of the windows, the incident ends where
/// the telemetry of live sources has arrived.
pub(super) fn gather_into(
    origin: &Origin,
    wanted: &Wanted<'_>,
    folder: &Path,
) -> Result<(Telemetry, Chosen), GatherError> {
    let (mut telemetry, mut windows) = (Telemetry::default(), wanted.windows.clone());
    if let Some(store) = &origin.store {
        telemetry = store::read(store, &wanted.windows.all(), &origin.options)?;
        prefer_live(origin, &mut telemetry, store);
    }
    if !origin.sources.is_empty() {
        let (pulled, incident) = pull(origin, wanted, folder)?;
        telemetry.append(pulled);
        windows.incident = incident;
    }
    finish(&mut telemetry, &origin.options);
    Ok((telemetry, windows))
}

fn prefer_live(origin: &Origin, telemetry: &mut Telemetry, folder: &Path) {
    for signal in origin.live_signals() {
        match signal {
            OtlpSignal::Traces => {
                let affected = telemetry.spans.len() as u64;
                telemetry.spans = SpanTable::default();
                let message =
                    "spans of the own store are left out: the traces come from the live source of the settings";
                let source = folder.display().to_string();
                let warning = Warning { source, place: String::new(), message: message.to_owned(), affected };
                telemetry.warnings.extend(Some(warning).filter(|_| affected > 0));
            }
            OtlpSignal::Metrics => telemetry.forget_metrics(),
            OtlpSignal::Logs => {}
        }
    }
}

/// What was pulled, and the incident as far as that has arrived.
fn pull(origin: &Origin, wanted: &Wanted<'_>, folder: &Path) -> Result<(Telemetry, Window), GatherError> {
    let ReadOptions { metrics, .. } = &origin.options;
    let request = live::Request {
        name: wanted.name,
        incident: wanted.windows.incident,
        baselines: &wanted.windows.baselines,
        entry: wanted.entry,
        symptom: wanted.symptom,
        metrics,
        alert: None,
    };
    live::pull(&origin.sources, &request, folder)?;
    let case = Case::read(folder)?;
    Ok((read_parts(&case.files, &origin.options, &|_| {})?, case.incident))
}

/// Removes a folder when it is done with.
pub(super) struct Removed<'p>(pub(super) &'p Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), %error, "cannot be removed");
        }
    }
}
