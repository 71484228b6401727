//! The end of a pull as a whole: each request is bounded, and so are all of them together.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::LiveError;

/// What sets the deadline.
pub(super) const SETTING: &str = "`deadline` under [live] in the settings file, and for analyses of `hypocenter serve` three \
                                  quarters of that under [incidents] at most";

/// When a pull ends.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    /// So long after now.
    pub(super) fn after(after: Duration) -> Self {
        Self { at: Instant::now() + after, after }
    }

    /// Seconds that the whole pull has.
    pub(super) fn seconds(&self) -> u64 {
        self.after.as_secs()
    }

    /// Does work of a source until the deadline; then it is given up with [`LiveError::Late`].
    pub(super) async fn limit<T>(
        &self,
        source_name: &'static str,
        work: impl Future<Output = Result<T, LiveError>>,
    ) -> Result<T, LiveError> {
        match timeout_at(self.at, work).await {
            Ok(done) => done,
            Err(_elapsed) => Err(LiveError::Late { source_name, seconds: self.seconds() }),
        }
    }
}
