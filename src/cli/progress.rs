//! Progress on standard error, for work that takes more than a second and only on a terminal.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ingest;

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar or spinner that appears when the work takes long and vanishes when this is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    done: Option<Sender<()>>,
    waiting: Option<JoinHandle<()>>,
}

impl Progress {
    pub(super) fn start(stage: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style("{spinner} {msg} {elapsed}"));
        bar.set_message(stage);
        let (done, finished) = mpsc::channel::<()>();
        let shown = bar.clone();
        let waiting = thread::spawn(move || {
            if finished.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // Draws nothing where standard error is no terminal.
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(120));
            }
        });
        Self { bar, done: Some(done), waiting: Some(waiting) }
    }

    /// A bar that counts `total` things, named in the plural.
    pub(super) fn counting(stage: &'static str, things: &'static str, total: u64) -> Self {
        let progress = Self::start(stage);
        progress.bar.set_length(total);
        progress
            .bar
            .set_style(style(&format!("{{spinner}} {{msg}} {{wide_bar}} {{pos}}/{{len}} {things}, {{elapsed}}")));
        progress
    }

    /// One more of the things is done. From any thread.
    pub(super) fn one_more(&self) {
        self.bar.inc(1);
    }

    /// Shows how far reading has come.
    pub(super) fn reading(&self, progress: ingest::Progress) {
        if self.bar.length() != Some(progress.bytes) {
            self.bar.set_length(progress.bytes);
            self.bar.set_style(style("{spinner} {msg} {wide_bar} {bytes}/{total_bytes} {eta}"));
        }
        self.bar.set_position(progress.bytes_done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(waiting) = self.waiting.take() {
            // A panic there would have been one of indicatif's: nothing for our reader.
            drop(waiting.join());
        }
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are valid")
}
