//! A circuit breaker of one caller instance and link: closed, open, half-open.

use std::collections::VecDeque;

use crate::simulate::system::Breaker;

use super::time::ns_of_us;

/// Where a breaker stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Closed,
    /// Until when calls fail at once, ns.
    Open(i64),
    /// One probe is on its way; all others fail at once.
    HalfOpen,
}

/// What one result changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    Opened,
    Closed,
    Stayed,
}

/// A breaker with its memory.
#[derive(Debug)]
pub(super) struct BreakerState {
    settings: Breaker,
    phase: Phase,
    failed: VecDeque<bool>,
    failures: u32,
}

impl BreakerState {
    pub(super) fn new(settings: Breaker) -> Self {
        Self { settings, phase: Phase::Closed, failed: VecDeque::new(), failures: 0 }
    }

    /// Whether a call may go; the first one after the open time is the probe.
    pub(super) fn allows(&mut self, now_ns: i64) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::Open(until_ns) if now_ns >= until_ns => {
                self.phase = Phase::HalfOpen;
                true
            }
            Phase::Open(_) | Phase::HalfOpen => false,
        }
    }

    /// Takes in how a call ended that was allowed to go.
    pub(super) fn note(&mut self, now_ns: i64, failed: bool) -> Turn {
        match self.phase {
            Phase::HalfOpen if failed => {
                self.open(now_ns);
                Turn::Opened
            }
            Phase::HalfOpen => {
                self.phase = Phase::Closed;
                self.failed.clear();
                self.failures = 0;
                Turn::Closed
            }
            // A call that went before the breaker opened: old news.
            Phase::Open(_) => Turn::Stayed,
            Phase::Closed => {
                self.remember(failed);
                let full = self.failed.len() as u32 >= self.settings.window.max(1);
                let share = f64::from(self.failures) / f64::from(self.settings.window.max(1));
                if full && failed && share >= self.settings.failures {
                    self.open(now_ns);
                    return Turn::Opened;
                }
                Turn::Stayed
            }
        }
    }

    fn remember(&mut self, failed: bool) {
        self.failed.push_back(failed);
        self.failures += u32::from(failed);
        if self.failed.len() as u32 > self.settings.window.max(1) && self.failed.pop_front() == Some(true) {
            self.failures -= 1;
        }
    }

    fn open(&mut self, now_ns: i64) {
        self.phase = Phase::Open(now_ns + ns_of_us(self.settings.open_us));
    }
}
