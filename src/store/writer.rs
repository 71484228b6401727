//! The one thread that writes: it gathers what waits, writes it at once, waits for the disk once, and answers all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::convert::Closed;
use super::counters::{Counted, Counters};
use super::files::{Folders, sync_folder};
use super::frame::{MAGIC, push};
use super::{NotKept, Settings, StoreError, Waiting};
use crate::telemetry::span::SpanTable;

/// So many bytes are written at once at most: more would only make the first of them wait longer.
const BATCH_BYTES: usize = 16 << 20;
/// How often the age of the log is looked at where nothing comes.
const IDLE: Duration = Duration::from_millis(500);

/// The newest log.
struct Log {
    number: u64,
    path: PathBuf,
    file: File,
    /// Up to where it is durable.
    bytes: u64,
    begun: Instant,
    /// When its first record came.
    since: Option<Instant>,
    /// Whether a write or sync has failed: what that left behind is unknown, so nothing is ever added after it.
    is_broken: bool,
}

/// Writes records to the newest log and closes it in time.
pub(super) struct Writer {
    folders: Folders,
    segment_bytes: u64,
    segment_age: Duration,
    log: Log,
    /// The spans of the log as they were read, so that they need not be read again from it.
    spans: SpanTable,
    closed: SyncSender<Closed>,
    counters: Arc<Counters>,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn open(
        folders: &Folders,
        settings: &Settings,
        closed: SyncSender<Closed>,
        counters: Arc<Counters>,
    ) -> Result<Self, StoreError> {
        // Segments too: a clock that was set back must not give a log the number of one that was.
        let newest = || {
            let logs = folders.logs()?.into_iter().map(|(number, _)| number);
            Ok(logs.chain(folders.segments()?.into_iter().map(|segment| segment.number)).max().unwrap_or(0))
        };
        let log = newest().and_then(|newest| Log::begin(folders, newest)).map_err(|source| StoreError::Io {
            path: folders.log.clone(),
            action: "cannot begin a log in this folder",
            source,
        })?;
        Ok(Self {
            folders: folders.clone(),
            segment_bytes: settings.segment_bytes,
            segment_age: settings.segment_age,
            log,
            spans: SpanTable::new(),
            closed,
            counters,
            buffer: Vec::new(),
        })
    }

    /// Until nobody can send any more.
    pub(super) fn run(mut self, waiting: &Receiver<Waiting>) {
        loop {
            match waiting.recv_timeout(IDLE) {
                Ok(first) => {
                    let batch = gather(first, waiting);
                    self.keep(batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let is_old = self.log.since.is_some_and(|since| since.elapsed() >= self.segment_age);
            if self.log.is_broken || self.log.bytes >= self.segment_bytes || is_old {
                self.roll();
            }
        }
        self.close();
    }

    fn keep(&mut self, mut batch: Vec<Waiting>) {
        // Who no longer waits was told to try again, or has gone and will.
        batch.retain(|waiting| !waiting.kept.is_closed());
        if batch.is_empty() {
            return;
        }
        // Its number says when its records came.
        if self.log.since.is_none() && self.log.begun.elapsed() >= self.segment_age {
            self.roll();
        }
        self.buffer.clear();
        for waiting in &batch {
            push(&mut self.buffer, waiting.record.kind, &waiting.record.payload);
        }
        let written = self.log.append(&self.buffer);
        self.buffer.shrink_to(BATCH_BYTES);
        match written {
            Ok(()) => {
                self.counters.add(Counted::Syncs, 1);
                self.counters.add(Counted::Records, batch.len() as u64);
                self.counters.add(Counted::RecordBytes, self.buffer.len() as u64);
                let mut tables = Vec::with_capacity(batch.len());
                for Waiting { record, kept } in batch {
                    self.counters.add(Counted::Spans, record.spans.len() as u64);
                    tables.push(record.spans);
                    // Who stopped waiting meanwhile will send again: then it is there twice.
                    kept.send(Ok(())).ok();
                }
                self.spans.append_all(tables);
            }
            Err(error) => {
                tracing::error!(%error, log = %self.log.path.display(), "cannot write to the log; clients are told to try again");
                self.counters.add(Counted::WriteFailures, batch.len() as u64);
                for waiting in batch {
                    waiting.kept.send(Err(NotKept::Disk(error.to_string()))).ok();
                }
            }
        }
    }

    /// Begins a new log and hands the old one over. Where the disk does not allow it, the old one stays.
    fn roll(&mut self) {
        match Log::begin(&self.folders, self.log.number) {
            Ok(next) => {
                let old = std::mem::replace(&mut self.log, next);
                hand_over(&self.closed, old, std::mem::take(&mut self.spans));
            }
            Err(error) => {
                tracing::error!(%error, folder = %self.folders.log.display(), "cannot begin a new log");
                std::thread::sleep(IDLE);
            }
        }
    }

    fn close(self) {
        hand_over(&self.closed, self.log, self.spans);
    }
}

/// Gives a log to those who make segments; waits while others wait for that.
fn hand_over(closed: &SyncSender<Closed>, Log { number, path, .. }: Log, spans: SpanTable) {
    if closed.send(Closed { number, path, spans: Some(spans) }).is_err() {
        tracing::error!("the thread that makes segments is gone; logs are kept as they are until the next start");
    }
}

/// The first that waits and whoever else does.
fn gather(first: Waiting, waiting: &Receiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.record.payload.len();
    let mut batch = vec![first];
    while bytes < BATCH_BYTES
        && let Ok(next) = waiting.try_recv()
    {
        bytes += next.record.payload.len();
        batch.push(next);
    }
    batch
}

impl Log {
    /// A new log whose number is above `before`.
    fn begin(folders: &Folders, before: u64) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let number = u64::try_from(now).unwrap_or(0).max(before + 1);
        let path = folders.log(number);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let begun = file.write_all(MAGIC).and_then(|()| file.sync_all()).and_then(|()| sync_folder(&folders.log));
        match begun {
            Ok(()) => Ok(Self {
                number,
                path,
                file,
                bytes: MAGIC.len() as u64,
                begun: Instant::now(),
                since: None,
                is_broken: false,
            }),
            Err(error) => {
                std::fs::remove_file(&path).ok();
                Err(error)
            }
        }
    }

    /// Adds records and waits until they are on the disk.
    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("the log is broken, and no new one could be begun yet"));
        }
        let written = self.file.write_all(records).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.is_broken = true;
            // Half a record would hide the whole ones that follow it.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += records.len() as u64;
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::{Kind, Record};

    #[test]
    fn what_nobody_waits_for_any_more_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::create(folder.path()).unwrap();
        let counters = Arc::new(Counters::default());
        let (closed, _logs) = sync_channel(1);
        let settings = Settings::new(folder.path().to_owned());
        let mut writer = Writer::open(&folders, &settings, closed, Arc::clone(&counters)).unwrap();
        let waiting = || {
            let (kept, answer) = oneshot::channel();
            let payload = Bytes::from_static(b"a");
            (
                Waiting {
                    record: Record { kind: Kind::RemoteWrite, payload, spans: SpanTable::new(), guard: None },
                    kept,
                },
                answer,
            )
        };
        let (gone, answer) = waiting();
        drop(answer);
        let (there, mut answer) = waiting();
        writer.keep(vec![gone, there]);
        assert!(matches!(answer.try_recv(), Ok(Ok(()))));
        assert_eq!(counters.get(Counted::Records), 1);
        let (gone, answer) = waiting();
        drop(answer);
        writer.keep(vec![gone]);
        assert_eq!((counters.get(Counted::Records), counters.get(Counted::Syncs)), (1, 1));
    }
}
