//! What `hypocenter serve` remembers: incidents, their alerts, analyses to do and done, reports, messages to send,
//! changes, feedback. One SQLite file; what a function here has returned from is on the disk, also after a crash.
//!
//! ```text
//! alert ──> incident ──> job (an analysis that is due) ──> report (a version) ──> outbox (a message per sink)
//!              └── feedback                    changes, edges: what every analysis may use
//! ```

mod alerts;
mod changes;
mod edges;
mod feedback;
mod incidents;
mod jobs;
mod outbox;
mod reports;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

pub use alerts::{
    AlertRecord, alerts_of, close_alert, close_unheard_alerts, find_alert, hear_alert, insert_alert, reopen_alert,
    starts_of, subjects_of,
};
pub use changes::{changes_in, insert_changes};
pub use edges::{edges, see_edges};
pub use feedback::{Feedback, feedback_of, give_feedback};
pub use incidents::{
    Condition, IncidentRecord, Origin, Search, delete_before, end_incident, extend_incident, incident, insert_incident,
    open_incidents, search,
};
pub use jobs::{
    Job, JobState, Reason, claim, due_again_ns, due_next_ns, fail, finish, last_failure, put_back_interrupted,
    put_back_unfinished, schedule, schedule_unless_waiting, waiting,
};
pub use outbox::{
    About, Delivery, Outgoing, delivered, due_delivery_ns, enqueue, give_up, leave_alone, next_delivery, not_delivered,
    told, undelivered,
};
pub use reports::{
    ReportRecord, ReportSummary, Similar, insert_report, latest_report, latest_summary, report, similar, summaries,
};

/// Why something could not be remembered or recalled.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The file cannot be opened.
    #[error("{}: cannot be opened as the memory of incidents; move it away to begin with an empty one", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A newer program has written it.
    #[error(
        "{}: written by a newer hypocenter (schema {found}, this one knows {}); use that one, or move the file away",
        path.display(), schema::VERSION
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: usize,
    },
    /// A statement failed: the disk is full or broken.
    #[error("cannot read or write the memory of incidents: {0}")]
    Statement(#[from] rusqlite::Error),
}

/// The result of anything that is remembered or recalled.
pub type Result<T> = std::result::Result<T, MemoryError>;

/// A transaction: all that the functions of this room are given is done, or nothing.
pub struct Transaction<'c>(rusqlite::Transaction<'c>);

impl<'c> std::ops::Deref for Transaction<'c> {
    type Target = rusqlite::Transaction<'c>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The open file, once to change it and once to read: who reads does not wait for the disk.
pub struct Memory {
    changing: Mutex<Connection>,
    reading: Mutex<Connection>,
}

/// Another process may hold the file for so long, as a backup does.
const BUSY: Duration = Duration::from_secs(10);

impl Memory {
    /// Opens the file, makes it where it is not there, and brings an older one to today's schema.
    ///
    /// # Errors
    /// [`MemoryError`] for a file that is something else, newer, or cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |source| MemoryError::Open { path: path.to_owned(), source };
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY)?;
            // FULL: a commit is on the disk before it returns.
            let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";
            connection.execute_batch(settings)?;
            Ok(connection)
        };
        let mut changing = open().map_err(failed)?;
        match schema::migrate(&mut changing).map_err(failed)? {
            schema::Found::Known => {
                let reading = open().map_err(failed)?;
                Ok(Self { changing: Mutex::new(changing), reading: Mutex::new(reading) })
            }
            schema::Found::Newer(found) => Err(MemoryError::Newer { path: path.to_owned(), found }),
        }
    }

    /// Does all of it or nothing.
    ///
    /// # Errors
    /// Those of the work, and of writing to the disk; then nothing was done.
    pub fn change<T, E: From<MemoryError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut connection = lock(&self.changing);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = Transaction(transaction.map_err(MemoryError::Statement)?);
        let done = work(&transaction)?;
        transaction.0.commit().map_err(MemoryError::Statement)?;
        Ok(done)
    }

    /// Reads, from one state of the file.
    ///
    /// # Errors
    /// Those of the work.
    pub fn read<T, E: From<MemoryError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut connection = lock(&self.reading);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred);
        work(&Transaction(transaction.map_err(MemoryError::Statement)?))
    }

    /// The name of this memory, random and for ever: it tells its incidents from those of other servers.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn name(&self) -> Result<String> {
        self.read(|transaction| Ok(transaction.query_row("SELECT name FROM server", [], |row| row.get(0))?))
    }
}

/// A transaction that panicked was rolled back: what is in the file counts.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
