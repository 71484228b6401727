//! The embedded rolling store: what the receiver accepts, durable before it is answered, as files that any number of
//! readers may read at the same time.
//!
//! ```text
//! DIR/log/<number>.log                                   records as they came (frame), the newest still growing (writer)
//! DIR/segments/spans-<number>-<first>-<last>.parquet     spans of a closed log as columns, sorted by start (segment)
//! DIR/segments/signals-<number>-<first>-<last>.parquet   its metrics and logs: (first_ns, last_ns, kind, payload)
//! DIR/aside/                                             what was broken when the store was opened: never read
//! DIR/sampling-attribute                                 by which attribute spans are read, for readers of logs
//! ```
//!
//! A log's number is the millisecond in which it was begun. A closed log becomes segments of the same number, and only
//! when these are durable under their names it is removed: where both are there, the segments count. `first` and `last`
//! are Unix nanoseconds, so that a reader opens only files that overlap its windows.

mod convert;
mod counters;
mod files;
mod frame;
mod query;
mod recover;
mod remote_write;
mod retention;
mod segment;
mod writer;

use std::any::Any;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::ingest::ReadOptions;
use crate::telemetry::span::SpanTable;

pub use counters::{Counted, Counters};
pub use frame::Kind;
pub use query::{export, extent, read, read_spans};
pub use remote_write::{RemoteWriteError, check as check_remote_write};

use files::Folders;

/// How the store rolls, and what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it lies.
    pub folder: PathBuf,
    /// A log is closed and becomes segments when it is so long, bytes.
    pub segment_bytes: u64,
    /// The same when it is so old.
    pub segment_age: Duration,
    /// Segments are removed when they were received so long ago.
    pub retention_age: Duration,
    /// The oldest segments are removed when all take more than this, bytes.
    pub retention_bytes: u64,
}

impl Settings {
    /// The defaults, in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(300),
            retention_age: Duration::from_secs(72 * 3600),
            retention_bytes: 10 << 30,
        }
    }
}

/// One message to keep.
#[derive(Debug)]
pub struct Record {
    /// What the payload is.
    pub kind: Kind,
    /// The message as it came, uncompressed.
    pub payload: Bytes,
    /// Its spans as they were read from it.
    pub spans: SpanTable,
    /// Dropped when the record no longer takes memory here, whether or not anybody still waits for it.
    pub guard: Option<Arc<dyn Any + Send + Sync>>,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes to it.
    #[error("{}: another process writes to this store; stop it, or give another folder with --data", folder.display())]
    InUse {
        /// The store.
        folder: PathBuf,
    },
    /// The folder holds something else.
    #[error("{}: this folder holds other things and no store; give a new or an empty one with --data or store.path", folder.display())]
    NotAStore {
        /// The folder.
        folder: PathBuf,
    },
    /// The system refused something.
    #[error("{}: {action}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was to be done.
        action: &'static str,
        /// Why it could not.
        source: std::io::Error,
    },
}

/// Why a record was not kept: try again later.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The disk is full or broken.
    #[error("cannot write to the store: {0}")]
    Disk(String),
    /// The store is being closed.
    #[error("the store is being closed")]
    Closing,
}

/// A record on its way to the disk, and who waits for it.
pub(crate) struct Waiting {
    record: Record,
    kept: oneshot::Sender<Result<(), NotKept>>,
}

/// An open store. Clones write to the same one.
#[derive(Clone)]
pub struct Store {
    waiting: Sender<Waiting>,
    counters: Arc<Counters>,
}

/// Keeps a store open; gives it back to the disk with [`Opened::close`].
pub struct Opened {
    store: Store,
    threads: Vec<JoinHandle<()>>,
    /// Locked as long as the store is open.
    _lock: File,
}

/// Closed logs that may wait to become segments: when more wait, the writer waits, and so do those who send.
const CLOSED_LOGS: usize = 1;

impl Store {
    /// Opens the store in a folder, which need not be there, and sets aside what is broken in it.
    ///
    /// # Errors
    /// [`StoreError`] when the folder cannot be used.
    pub fn open(settings: &Settings, options: ReadOptions) -> Result<Opened, StoreError> {
        let folders = Folders::create(&settings.folder)?;
        let lock = folders.lock()?;
        // Readers of logs read spans as their segments will have them.
        folders.note_sampling(options.sampling_attribute.as_deref()).map_err(|source| StoreError::Io {
            path: folders.root.clone(),
            action: "cannot note the sampling attribute",
            source,
        })?;
        let counters = Arc::new(Counters::default());
        let left = recover::recover(&folders, &counters)?;
        let (closed, to_convert): (SyncSender<convert::Closed>, _) = sync_channel(CLOSED_LOGS);
        let (waiting, to_write) = channel();
        let writer = writer::Writer::open(&folders, settings, closed, Arc::clone(&counters))?;
        let converter = convert::Converter::new(folders, settings.clone(), options, Arc::clone(&counters));
        let threads = vec![
            spawn("store-writer", move || writer.run(&to_write)),
            spawn("store-segments", move || converter.run(left, &to_convert)),
        ];
        Ok(Opened { store: Store { waiting, counters }, threads, _lock: lock })
    }

    /// Keeps a record. When this returns `Ok` it is on the disk, whatever happens to process or machine.
    ///
    /// # Errors
    /// [`NotKept`] when it is not; then it may be sent again.
    pub async fn keep(&self, record: Record) -> Result<(), NotKept> {
        let (kept, answer) = oneshot::channel();
        self.waiting.send(Waiting { record, kept }).map_err(|_writer_is_gone| NotKept::Closing)?;
        answer.await.unwrap_or(Err(NotKept::Closing))
    }

    /// What has happened since the store was opened.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Opened {
    /// The store, to write to.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// What has happened since the store was opened.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.store.counters)
    }

    /// Waits until everything is on the disk and its log is closed. All clones of the store must be gone.
    pub fn close(self) {
        drop(self.store);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked; what was answered is in its log");
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).expect("the system can start a thread")
}
