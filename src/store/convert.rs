//! Closed logs become segments, in a thread of its own, which also removes what is too old or too much.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

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
    pause: Duration,
}

/// How often retention is looked at where nothing comes, and what failed is tried again.
const PAUSE: Duration = Duration::from_secs(20);

impl Converter {
    pub(super) fn new(folders: Folders, settings: Settings, options: ReadOptions, counters: Arc<Counters>) -> Self {
        Self { folders, settings, options, counters, pause: PAUSE }
    }

    /// Until no log can come any more. `left` are those that the last run has left.
    pub(super) fn run(self, left: Vec<Closed>, closed: &Receiver<Closed>) {
        let mut failed: Vec<Closed> = left.into_iter().filter_map(|log| self.convert(log)).collect();
        let mut tried = Instant::now();
        loop {
            match closed.recv_timeout(self.pause) {
                Ok(log) => failed.extend(self.convert(log)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Under load there is never a pause.
            if tried.elapsed() >= self.pause {
                failed = failed.into_iter().filter_map(|log| self.convert(log)).collect();
                tried = Instant::now();
            }
            if let Err(error) = retention::apply(&self.folders, &self.settings, &self.counters) {
                tracing::error!(%error, folder = %self.folders.segments.display(), "cannot remove old segments");
            }
        }
    }

    /// Gives the log back, without its spans to save memory, where it could not be done.
    fn convert(&self, log: Closed) -> Option<Closed> {
        let Closed { number, path, spans } = log;
        // A panic would end this thread, and then nothing would become a segment or be removed any more.
        let made = catch_unwind(AssertUnwindSafe(|| self.segments_of(number, &path, spans))).unwrap_or_else(|_panic| {
            Err(io::Error::other("a message in it cannot be handled: it made this thread panic"))
        });
        match made {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::ingest::{OtlpEncoding, OtlpSignal};
    use crate::store::frame::{MAGIC, push};

    fn log(folders: &Folders, number: u64) -> Closed {
        let span = r#"{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"0102030405060708","name":"a","startTimeUnixNano":"1772445600000000000","endTimeUnixNano":"1772445600000000001"}"#;
        let message = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
        let mut bytes = MAGIC.to_vec();
        push(&mut bytes, Kind::Otlp(OtlpSignal::Traces, OtlpEncoding::Json), message.as_bytes());
        let path = folders.log(number);
        fs::write(&path, bytes).unwrap();
        Closed { number, path, spans: None }
    }

    #[test]
    fn what_failed_is_tried_again_also_while_logs_keep_coming() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::create(folder.path()).unwrap();
        let settings = Settings { retention_age: Duration::MAX, ..Settings::new(folder.path().to_owned()) };
        let mut converter =
            Converter::new(folders.clone(), settings, ReadOptions::default(), Arc::new(Counters::default()));
        converter.pause = Duration::from_millis(200);
        // Its log comes a little later, as from a disk that does not answer for a while.
        let late = log(&folders, 1);
        fs::rename(&late.path, folders.root.join("elsewhere")).unwrap();
        let (send, closed) = sync_channel(1);
        let thread = std::thread::spawn(move || converter.run(Vec::new(), &closed));
        send.send(late).unwrap();
        // One log may wait: when the third is taken in, the first was tried.
        send.send(log(&folders, 2)).unwrap();
        send.send(log(&folders, 3)).unwrap();
        fs::rename(folders.root.join("elsewhere"), folders.log(1)).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let mut number = 4;
        while folders.log(1).exists() && Instant::now() < until {
            send.send(log(&folders, number)).unwrap();
            number += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!folders.log(1).exists(), "it has become a segment");
        drop(send);
        thread.join().unwrap();
    }
}
