//! Which signal left its baseline, when, by how much, how surely.

use crate::telemetry::series::{Signal, Subject, Unit};

/// In which way a signal changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Change {
    /// The level rose.
    Rise,
    /// The level fell.
    Fall,
    /// Was there in the baseline, is gone in the incident (calls or telemetry): silence.
    Vanished,
    /// Was not there in the baseline.
    Appeared,
}

/// When a signal left its baseline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Onset {
    /// Most likely instant, Unix nanoseconds.
    pub at_ns: i64,
    /// The onset lies within this many nanoseconds of `at_ns`, either way (sampling step and noise).
    pub uncertainty_ns: i64,
}

/// This signal of this subject left its baseline, or was tested and did not.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// Whose.
    pub subject: Subject,
    /// What.
    pub signal: Signal,
    /// Name of the series or statistic in the source ("p90 of durations", "CpuUsage(m)").
    pub name: String,
    /// Which way.
    pub change: Change,
    /// Typical value in the baseline, in `unit`.
    pub baseline: f64,
    /// Typical value in the incident window, in `unit`.
    pub incident: f64,
    /// Unit of both.
    pub unit: Unit,
    /// Robust change in scales of the baseline's spread (see `stats::robust`), unsigned, finite.
    pub z: f64,
    /// Evidence in bits, `log2(1 + z)` or the bits of a count test, capped (see `detect::Settings::max_bits`).
    pub bits: f64,
    /// Chance of a change as large under the baseline, 0 to 1.
    pub p_value: f64,
    /// Benjamini-Hochberg adjusted `p_value` over all findings of the analysis.
    pub q_value: f64,
    /// Whether `q_value` is below the false-discovery rate and the change is large enough to matter.
    pub significant: bool,
    /// When it left the baseline; `None` where it did not, or the samples do not tell.
    pub onset: Option<Onset>,
    /// Samples or calls behind `baseline`.
    pub n_baseline: u64,
    /// Samples or calls behind `incident`.
    pub n_incident: u64,
}
