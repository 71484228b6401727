//! Closed logs become segments, in a thread of its own, which also removes what is too old or too much.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::counters::{Counted, Counters};
use super::files::{Content, Folders};
use super::frame::{Kind, Records};
use super::segment::{self, Signal};
use super::{Settings, query, retention};
use crate::ingest::ReadOptions;
use crate::telemetry::span::SpanTable;

/// A log to which nothing is added any more.
pub(super) struct Closed {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Its spans; `None` where they have to be read from it.
    pub(super) spans: Option<SpanTable>,
}

/// Makes segments of closed logs.
pub(super) struct Converter {
    folders: Folders,
    settings: Settings,
    options: ReadOptions,
    counters: Arc<Counters>,
}

/// How often retention is looked at, and what failed is tried again.
const PAUSE: Duration = Duration::from_secs(20);

impl Converter {
    pub(super) fn new(folders: Folders, settings: Settings, options: ReadOptions, counters: Arc<Counters>) -> Self {
        Self { folders, settings, options, counters }
    }

    /// Until no log can come any more. `left` are those that the last run has left.
    pub(super) fn run(self, left: Vec<Closed>, closed: &Receiver<Closed>) {
        let mut failed: Vec<Closed> = left.into_iter().filter_map(|log| self.convert(log)).collect();
        loop {
            match closed.recv_timeout(PAUSE) {
                Ok(log) => failed.extend(self.convert(log)),
                Err(RecvTimeoutError::Timeout) => {
                    failed = failed.into_iter().filter_map(|log| self.convert(log)).collect();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Err(error) = retention::apply(&self.folders, &self.settings, &self.counters) {
                tracing::error!(%error, folder = %self.folders.segments.display(), "cannot remove old segments");
            }
        }
    }

    /// Gives the log back, without its spans to save memory, where it could not be done.
    fn convert(&self, log: Closed) -> Option<Closed> {
        let Closed { number, path, spans } = log;
        match self.segments_of(number, &path, spans) {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, log = %path.display(), "cannot make segments of a log; it is tried again, and read as it is until then");
                Some(Closed { number, path, spans: None })
            }
        }
    }

    fn segments_of(&self, number: u64, path: &PathBuf, spans: Option<SpanTable>) -> io::Result<()> {
        let bytes = fs::read(path)?;
        let known = self.folders.segments()?;
        let is_there = |content| known.iter().any(|segment| segment.number == number && segment.content == content);
        let (mut unreadable, mut signals, mut tables) = (0, Vec::new(), Vec::new());
        let has_spans = spans.is_some();
        for (code, payload) in Records::of(&bytes).into_iter().flatten() {
            let Some(kind) = Kind::of_code(code) else {
                unreadable += 1;
                continue;
            };
            if kind.has_spans() && has_spans {
                continue;
            }
            let Ok(read) = query::decode(kind, path, payload, &self.options) else {
                unreadable += 1;
                continue;
            };
            match (kind.has_spans(), read.first_and_last_ns) {
                (true, _) => tables.push(read.telemetry.spans),
                // Without times it says nothing about any window.
                (false, None) => {}
                (false, Some((first_ns, last_ns))) => signals.push(Signal { first_ns, last_ns, kind, payload }),
            }
        }
        let mut spans = spans.unwrap_or_default();
        spans.append_all(tables);
        if !signals.is_empty() && !is_there(Content::Signals) {
            segment::write_signals(&self.folders, number, &signals)?;
            self.counters.add(Counted::Segments, 1);
        }
        if !spans.is_empty() && !is_there(Content::Spans) {
            segment::write_spans(&self.folders, number, &spans)?;
            self.counters.add(Counted::Segments, 1);
        }
        if unreadable == 0 {
            return fs::remove_file(path);
        }
        self.counters.add(Counted::UnreadablePayloads, unreadable);
        let aside = self.folders.set_aside(path)?;
        tracing::error!(unreadable, log = %aside.display(), "some messages of a log cannot be read; the log is set aside");
        Ok(())
    }
}
