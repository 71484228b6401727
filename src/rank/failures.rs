//! Failed calls before and during the incident, and whether they became more by more than chance.

use super::phase::Phase;
use crate::telemetry::calls::CallRow;

/// Failures beyond the usual that there must be to speak of a rise.
const LEAST_FAILURES: f64 = 4.0;
/// A rise must be this many standard errors.
const LEAST_ERRORS_Z: f64 = 3.0;
/// Failures that would be expected elsewhere at the same rate, for their absence to say something: with 5 expected, none
/// is seen by chance in 7 of 1000 cases (Poisson).
const LEAST_EXPECTED: f64 = 5.0;

/// Calls of an edge or a node, or of several together, and how many failed; before and during.
#[derive(Clone, Copy, Default)]
pub(crate) struct Failures {
    /// Calls that were seen; the other counts are what these stand for.
    seen: [f64; 2],
    calls: [f64; 2],
    failed: [f64; 2],
}

impl Failures {
    pub(crate) fn add(&mut self, phase: Phase, row: &CallRow, failed: u64) {
        self.seen[phase as usize] += row.observed as f64;
        self.calls[phase as usize] += row.calls as f64;
        self.failed[phase as usize] += failed as f64;
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for at in [Phase::Baseline as usize, Phase::Incident as usize] {
            self.seen[at] += other.seen[at];
            self.calls[at] += other.calls[at];
            self.failed[at] += other.failed[at];
        }
    }

    pub(crate) fn calls(&self, phase: Phase) -> f64 {
        self.calls[phase as usize]
    }

    /// Rise of the share of calls that fail.
    pub(crate) fn excess(&self) -> f64 {
        self.rise_of(&self.failed)
    }

    /// Whether that share rose by more than chance.
    pub(crate) fn rose(&self) -> bool {
        self.has_risen(&self.failed)
    }

    /// Rise of the share that another count has in the calls.
    pub(crate) fn rise_of(&self, [before, during]: &[f64; 2]) -> f64 {
        during / self.calls(Phase::Incident).max(1.0) - before / self.calls(Phase::Baseline).max(1.0)
    }

    /// Whether the share of another count rose by more than chance.
    pub(crate) fn has_risen(&self, count: &[f64; 2]) -> bool {
        let (rise, seen) = (self.rise_of(count), self.seen[Phase::Incident as usize]);
        let usual = ((count[0] + 0.5) / (self.calls(Phase::Baseline) + 1.0)).clamp(0.0, 0.5);
        let error = (usual * (1.0 - usual) / seen.max(1.0)).sqrt();
        rise * seen >= LEAST_FAILURES && rise > LEAST_ERRORS_Z * error
    }

    /// Whether so many calls were seen during the incident that an absence of failures at the rate given says something.
    pub(crate) fn would_tell(&self, rate: f64) -> bool {
        self.seen[Phase::Incident as usize] * rate >= LEAST_EXPECTED
    }
}
