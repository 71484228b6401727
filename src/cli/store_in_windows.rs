//! What the store of `hypocenter serve` holds of some windows, for `hypocenter doctor`.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::doctor::{Finding, Severity};
use crate::ingest::{self, ReadOptions, Telemetry};
use crate::store;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};
use crate::timespec::rfc3339;

use super::progress::Progress;
use super::windows;

/// Without windows so much of the store's end is looked at: a quarter of an hour, and the hour before it.
const LAST_NS: i64 = 75 * 60 * NANOS_PER_SECOND;

/// A store and what of it is looked at.
pub(super) struct Kept {
    folder: PathBuf,
    /// All that it holds: first and last instant, Unix nanoseconds.
    extent: Option<(i64, i64)>,
    windows: Vec<Window>,
}

impl Kept {
    /// The windows that were named, or the end of what there is.
    pub(super) fn of(
        folder: &Path,
        incident: Option<Window>,
        baselines: &[Window],
        options: &ReadOptions,
    ) -> anyhow::Result<Self> {
        let extent = store::extent(folder, options).context("cannot read the store")?;
        let named = windows::to_read(incident, baselines, &Telemetry::default());
        let last = || extent.and_then(|(_, last_ns)| Window::new(last_ns.saturating_sub(LAST_NS), last_ns + 1).ok());
        let windows = if named.is_empty() { last().into_iter().collect() } else { named };
        Ok(Self { folder: folder.to_owned(), extent, windows })
    }

    /// Reads what lies in the windows.
    pub(super) fn read(&self, options: &ReadOptions) -> anyhow::Result<Telemetry> {
        let _progress = Progress::start("reading the store");
        let mut telemetry = store::read(&self.folder, &self.windows, options).context("cannot read the store")?;
        ingest::finish(&mut telemetry, options);
        Ok(telemetry)
    }

    /// What there is in all, and what of it was looked at.
    pub(super) fn finding(&self) -> Finding {
        let folder = self.folder.display();
        let finding =
            |severity, id, what, advice: &str| Finding { severity, id, weight: 1.0, what, advice: advice.into() };
        let Some((first_ns, last_ns)) = self.extent else {
            let what = format!("the store {folder} is empty");
            let advice = "send telemetry to `hypocenter serve`; its /metrics tell what it received and refused";
            return finding(Severity::Stops, "store_is_empty", what, advice);
        };
        let reaches = format!("the store {folder} reaches from {} to {}", rfc3339(first_ns), rfc3339(last_ns));
        let is_held = |window: &Window| window.start_ns() <= last_ns && first_ns < window.end_ns();
        if !self.windows.iter().any(is_held) {
            let what = format!("{reaches}, and none of the windows lies in it");
            return finding(Severity::Stops, "store_without_windows", what, "name windows within these times");
        }
        let looked = self.windows.iter().map(|w| format!("{} to {}", rfc3339(w.start_ns()), rfc3339(w.end_ns())));
        let what = format!("{reaches}; looked at: {}", looked.collect::<Vec<_>>().join(", "));
        finding(Severity::Note, "store_extent", what, "name other windows with --incident and --baseline to look there")
    }
}
