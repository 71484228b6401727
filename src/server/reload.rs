//! Reading the settings and the web config file again while it runs: asked for by a signal or a request, or since the
//! web config file or a file that it names is another.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::door::Door;
use crate::telemetry::warning::with_causes;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Why a reload was not done: the message with its causes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotReloaded(String);

impl NotReloaded {
    /// From what went wrong.
    pub fn because(error: &dyn Error) -> Self {
        Self(with_causes(error))
    }
}

type Answer = oneshot::Sender<Result<(), NotReloaded>>;

/// Asks a running [`super::Server`] to read its files again.
#[derive(Clone, Debug)]
pub struct Reload {
    requested: mpsc::Sender<Answer>,
}

impl Reload {
    /// Asks, and waits until it is done.
    ///
    /// # Errors
    /// What is of no use: the settings or the web config. What it said before still holds.
    pub async fn request(&self) -> Result<(), NotReloaded> {
        let stopping = || NotReloaded("the server is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        self.requested.send(answer).await.map_err(|_unsent| stopping())?;
        answered.await.map_err(|_dropped| stopping())?
    }
}

/// Does what is asked for, one after the other.
pub(super) struct Reloads {
    requests: mpsc::Receiver<Answer>,
    door: Arc<Door>,
    outcomes: Arc<Outcomes>,
}

/// How reloads ended.
#[derive(Debug)]
pub(super) struct Outcomes(Mutex<Tally>);

/// The numbers of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) last_succeeded: bool,
    /// Seconds since 1970.
    pub(super) last_success_s: u64,
}

impl Outcomes {
    /// After a start that succeeded.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Tally { succeeded: 0, failed: 0, last_succeeded: true, last_success_s: now_s() }))
    }

    pub(super) fn now(&self) -> Tally {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, result: &Result<(), NotReloaded>) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.last_succeeded = result.is_ok();
        match result {
            Ok(()) => {
                tally.succeeded += 1;
                tally.last_success_s = now_s();
                tracing::info!("the settings and the web config were read again");
            }
            Err(error) => {
                tally.failed += 1;
                tracing::error!(%error, "not reloaded: what held before still holds");
            }
        }
    }
}

fn now_s() -> u64 {
    // A clock before 1970 is none.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Reloads {
    pub(super) fn new(door: Arc<Door>, outcomes: Arc<Outcomes>) -> (Reload, Self) {
        let (requested, requests) = mpsc::channel(1);
        (Reload { requested }, Self { requests, door, outcomes })
    }

    /// Runs as long as anybody can ask. `reread` reads what is not of the server: the settings.
    pub(super) async fn run(mut self, reread: impl Fn() -> Result<(), NotReloaded> + Send + Sync + 'static) {
        let reread = Arc::new(reread);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let answer = tokio::select! {
                answer = self.requests.recv() => answer,
                _ = looks.tick() => {
                    let door = Arc::clone(&self.door);
                    let changed = apart(move || door.read_if_changed()).await;
                    if let Some(result) = changed.flatten() {
                        self.outcomes.note(&result.map_err(|error| NotReloaded::because(&error)));
                    }
                    continue;
                }
            };
            let Some(answer) = answer else { return };
            let (door, reread) = (Arc::clone(&self.door), Arc::clone(&reread));
            // Both, even if one is of no use: they have nothing to do with each other.
            let done = apart(move || {
                let (settings, web) = (reread(), door.read_again());
                settings.and(web.map_err(|error| NotReloaded::because(&error)))
            });
            let Some(result) = done.await else { return };
            self.outcomes.note(&result);
            // Who asked may be gone.
            answer.send(result).ok();
        }
    }
}

/// Runs what waits for files where waiting is allowed; `None` when the program stops.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
