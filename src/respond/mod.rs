//! What `hypocenter serve` does by itself: an alert becomes an incident, an analysis, a report, messages.
//!
//! ```text
//! webhook ──intake──> incident, job ──workers──> gather ──> analysis ──> report, outbox ──workers──> sinks
//! ```
//!
//! Everything between the arrows is in the [`crate::memory`], so that a crash loses nothing and repeats nothing: a job that
//! was being made is made again, and its report is remembered together with its end and its messages, or not at all.

mod analyse;
mod counters;
mod export;
mod gather;
mod intake;
mod related;
mod tell;
mod workers;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::analysis;
use crate::ingest::{OtlpSignal, ReadOptions, Telemetry, Webhook};
use crate::live::Sources;
use crate::memory::{self, Feedback, Memory, MemoryError};
use crate::notify::Sink;
use crate::telemetry::change::Change;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};
use crate::windows::{Chosen, Rules};

pub use counters::Counters;
pub use gather::GatherError;
pub use intake::{Asked, IntakeError, Taken};
use tell::Failed;
pub use workers::Workers;

/// How alerts become analyses.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How windows are derived from an alert.
    pub windows: Rules,
    /// Labels or annotations that name a ticket.
    pub ticket_labels: Vec<String>,
    /// The first analysis is made so long after the alert: telemetry of the last seconds is still on its way.
    pub analyse_after: Duration,
    /// Further analyses are made so long after the alert, with the telemetry that has come since.
    pub again_after: Vec<Duration>,
    /// Alerts that come within this time of each other may be one incident.
    pub group_within: Duration,
    /// An alert of which nothing was heard for so long is taken for ended: its sender has forgotten it.
    pub unheard_after: Duration,
    /// When so many incidents wait for their first analysis, alerts are refused until later.
    pub most_waiting: usize,
    /// Analyses made at the same time.
    pub workers: usize,
    /// An analysis that takes longer is given up.
    pub deadline: Duration,
    /// Incidents are forgotten so long after they ended.
    pub keep: Duration,
    /// Where people reach this server, for links in messages.
    pub external_url: Option<String>,
    /// The key by which Grafana signs, and how.
    pub signature: Option<Signature>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            windows: Rules::default(),
            ticket_labels: vec!["ticket".to_owned(), "issue".to_owned()],
            analyse_after: Duration::from_secs(10),
            again_after: vec![Duration::from_secs(300)],
            group_within: Duration::from_secs(300),
            // Alertmanager and Grafana repeat what fires every 4 hours, unless told otherwise.
            unheard_after: Duration::from_secs(12 * 3600),
            most_waiting: 100,
            workers: 1,
            deadline: Duration::from_secs(120),
            keep: Duration::from_secs(90 * 24 * 3600),
            external_url: None,
            signature: None,
        }
    }
}

/// How webhooks are signed (Grafana: HMAC-SHA256, hexadecimal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The file with the shared key; read for each webhook, so that it can be changed at any time.
    pub secret_file: PathBuf,
    /// The header with the signature.
    pub header: String,
    /// The header with the time that is signed with the body; none where the sender signs the body alone.
    pub timestamp_header: Option<String>,
}

/// Where telemetry comes from, and how it is read. May change while the server runs.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The own store.
    pub store: Option<PathBuf>,
    /// Live sources.
    pub sources: Sources,
    /// How files are read.
    pub options: ReadOptions,
}

impl Origin {
    /// What comes from live sources, and not from the own store.
    fn live_signals(&self) -> Vec<OtlpSignal> {
        let metrics = self.sources.prometheus.is_some().then_some(OtlpSignal::Metrics);
        let traces = self.sources.trace_stores().next().map(|_| OtlpSignal::Traces);
        metrics.into_iter().chain(traces).collect()
    }
}

/// What may change while the server runs: from the settings file.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// How alerts become analyses.
    pub settings: Settings,
    /// Where telemetry comes from.
    pub origin: Origin,
    /// Where messages go.
    pub sinks: Vec<Sink>,
    /// How an analysis is made.
    pub analysis: analysis::Settings,
}

/// A pull takes no more than this share of the time that an analysis has: what came has to be compared, too.
const PULL_SHARE: f64 = 0.75;

impl Configuration {
    /// Where an analysis reads, so that a pull that is slow leaves it time for what came.
    fn origin_of_an_analysis(&self) -> Origin {
        let mut origin = self.origin.clone();
        origin.sources.deadline = origin.sources.deadline.min(self.settings.deadline.mul_f64(PULL_SHARE));
        origin
    }
}

/// The one that responds to alerts. Shared by the API and the workers.
pub struct Responder {
    memory: Memory,
    /// Of the memory: part of what messages call an incident.
    name: String,
    /// Pulled telemetry and exported cases lie below it.
    folder: PathBuf,
    configuration: RwLock<Arc<Configuration>>,
    /// Wakes those who make analyses.
    analyses: Notify,
    /// Wakes those who send messages.
    messages: Notify,
    counters: Counters,
    /// Held by the request that reads telemetry.
    reading: Mutex<()>,
    /// Before, nobody could be heard.
    started_ns: i64,
}

/// What is pulled for an analysis lies here, below the data folder, as long as it is made.
const SCRATCH: &str = "pulled";
/// So often an analysis is begun, before it is held for what ends the process.
const MOST_ATTEMPTS: u32 = 3;

impl Responder {
    /// Takes up what was left when the last process ended.
    ///
    /// # Errors
    /// [`MemoryError`] when the memory cannot be written.
    pub fn new(memory: Memory, folder: PathBuf, configuration: Configuration) -> Result<Self, MemoryError> {
        // What a process that was killed had pulled.
        let scratch = folder.join(SCRATCH);
        if let Err(error) = fs::remove_dir_all(&scratch)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %scratch.display(), %error, "cannot be removed");
        }
        let responder = Self {
            name: memory.name()?,
            memory,
            folder,
            configuration: RwLock::new(Arc::new(configuration)),
            analyses: Notify::new(),
            messages: Notify::new(),
            counters: Counters::default(),
            reading: Mutex::new(()),
            started_ns: now_ns(),
        };
        responder.put_back_unfinished()?;
        Ok(responder)
    }

    /// What was being made when the last process ended is due again, or told to have failed.
    fn put_back_unfinished(&self) -> Result<(), MemoryError> {
        let failure = Failed {
            problem: "the process ended each time this analysis was made".to_owned(),
            next_step: "look into the log, and at the memory of the machine; a smaller incidents.longest reads less",
        };
        self.memory.change(|transaction| {
            let failed = memory::put_back_unfinished(transaction, MOST_ATTEMPTS, &failure.problem, now_ns())?;
            // At the start nobody waits for the file, so that messages may be made while it is held.
            failed.iter().try_for_each(|incident| {
                let messages = tell::failure(self, *incident, &failure)?;
                messages.iter().try_for_each(|message| memory::enqueue(transaction, message, now_ns()))
            })
        })
    }

    /// Waits for the turn of a request that reads telemetry: one at a time, for memory's sake.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().await
    }

    /// What holds now.
    pub fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&self.configuration.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on another configuration holds, for what begins after this.
    pub fn configure(&self, configuration: Configuration) {
        *self.configuration.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configuration);
        self.analyses.notify_waiters();
        self.messages.notify_waiters();
    }

    /// What is remembered, to read.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What has happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes the alerts of a webhook. When this returns they are on the disk.
    ///
    /// # Errors
    /// [`IntakeError`] when too much waits, or nothing can be written: the sender should try again.
    pub fn take(&self, webhook: &Webhook) -> Result<Taken, IntakeError> {
        let taken = intake::take(&self.memory, webhook, &self.configuration().settings, now_ns());
        self.counters.count_webhook(&taken);
        if taken.as_ref().is_ok_and(|taken| taken.firing + taken.resolved > 0) {
            self.analyses.notify_one();
        }
        taken
    }

    /// Makes the analysis of a window due, and gives the number of its incident.
    ///
    /// # Errors
    /// As [`Responder::take`].
    pub fn ask(&self, asked: &Asked) -> Result<i64, IntakeError> {
        let incident = intake::ask(&self.memory, asked, &self.configuration().settings, now_ns())?;
        self.analyses.notify_one();
        Ok(incident)
    }

    /// Remembers changes, and tells how many were new.
    ///
    /// # Errors
    /// [`MemoryError`] when nothing can be written.
    pub fn tell_changes(&self, changes: &[Change]) -> Result<usize, MemoryError> {
        self.memory.change(|transaction| memory::insert_changes(transaction, changes))
    }

    /// Remembers the true cause of an incident and keeps its telemetry as a case folder, for `eval` and `train`. Gives the
    /// folder, or why there is none; `None` for an incident that is not known.
    ///
    /// # Errors
    /// [`MemoryError`] when nothing can be written.
    pub fn feedback(
        &self,
        incident: i64,
        feedback: &Feedback,
    ) -> Result<Option<Result<PathBuf, GatherError>>, MemoryError> {
        let known = self.memory.change(|transaction| {
            let known = memory::incident(transaction, incident)?;
            if known.is_some() {
                memory::give_feedback(transaction, incident, feedback)?;
            }
            Ok::<_, MemoryError>(known)
        })?;
        let Some(known) = known else { return Ok(None) };
        Ok(Some(export::export(self, &known, feedback)))
    }

    /// The telemetry of windows, as an analysis would read it.
    ///
    /// # Errors
    /// [`GatherError`] when a source cannot be read.
    pub fn telemetry(&self, windows: &Chosen) -> Result<Telemetry, GatherError> {
        let wanted = gather::Wanted::of(windows);
        gather::gather(&self.configuration().origin, &wanted, &self.scratch()).map(|(telemetry, _arrived)| telemetry)
    }

    /// A folder for what is pulled, which is new each time.
    fn scratch(&self) -> PathBuf {
        self.folder.join(SCRATCH).join(now_ns().to_string())
    }
}

/// The present, Unix nanoseconds.
pub fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A window of whole seconds around two instants.
fn window(start_ns: i64, end_ns: i64) -> Option<Window> {
    let end_ns = crate::windows::ceil_second(end_ns).max(start_ns.saturating_add(NANOS_PER_SECOND));
    Window::new(crate::windows::floor_second(start_ns), end_ns).ok()
}

#[cfg(test)]
mod tests;
