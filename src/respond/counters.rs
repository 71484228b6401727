//! What has happened since the start, for the server's own metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{IntakeError, Taken};

macro_rules! counters {
    ($($(#[$about:meta])* $name:ident),+ $(,)?) => {
        /// Counts since the start.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$about])* pub $name: AtomicU64),+ }
    };
}

counters! {
    /// Webhooks that were taken.
    webhooks_taken,
    /// Webhooks that were refused because too much waits.
    webhooks_refused_busy,
    /// Webhooks that could not be written to the disk.
    webhooks_failed,
    /// Alerts that were new.
    alerts_new,
    /// Alerts that were known: repeated, or sent by several.
    alerts_known,
    /// Alerts that had ended before they were heard of.
    alerts_ended_before,
    /// Alerts that ended.
    alerts_resolved,
    /// Incidents that began.
    incidents,
    /// Analyses that gave a report.
    analyses_done,
    /// Analyses that gave none.
    analyses_failed,
    /// Milliseconds that analyses took.
    analysis_milliseconds,
    /// Messages that sinks have taken.
    messages_sent,
    /// Attempts that sinks have not taken.
    messages_not_taken,
    /// Messages that no sink will take.
    messages_given_up,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn count_webhook(&self, taken: &Result<Taken, IntakeError>) {
        let add = |counter: &AtomicU64, count: u64| {
            counter.fetch_add(count, Ordering::Relaxed);
        };
        match taken {
            Ok(taken) => {
                add(&self.webhooks_taken, 1);
                add(&self.alerts_new, taken.firing);
                add(&self.alerts_known, taken.known);
                add(&self.alerts_resolved, taken.resolved);
                add(&self.alerts_ended_before, taken.ended_before);
                add(&self.incidents, taken.incidents);
            }
            Err(IntakeError::Busy { .. }) => add(&self.webhooks_refused_busy, 1),
            Err(IntakeError::Memory(_)) => add(&self.webhooks_failed, 1),
        }
    }
}
