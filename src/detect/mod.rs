//! Which signal left its baseline, when, by how much, how surely.
//!
//! # What is tested
//! * every metric series (`level.rs`): shift of the median, of the 90th percentile, and of the level held for three
//!   samples in a row, never a lone maximum;
//! * call statistics, for each node, edge and operation, and for each instance and version where a service has several:
//!   request rate, calls per caller's request and error ratios (`counts.rs`), latency, self-time and network gap
//!   (`spectrum.rs`);
//! * silence: what is there in the baseline and gone in the incident, and the reverse.
//!
//! # What the numbers mean
//! Importance and surprise are two questions with two answers.
//!
//! `z` is importance: the shift in scales. A scale is the baseline's spread, but never less than 5 % of the level or an
//! absolute amount in the signal's unit ([`Floors`]); see [`Scale`](crate::stats::robust::Scale) for zero spread. Where
//! there are several baseline windows, the spread of their levels is added, so that what differs from day to day is
//! not news. `p_value` is surprise: the chance of such a shift under the baseline's own noise, without those floors.
//! A finding is `significant` when it is both: its Benjamini-Hochberg `q_value` over all tests of the analysis is at most
//! [`Settings::false_discovery_rate`], and its shift is more than [`Settings::min_relative_change`] and the floor.
//!
//! `bits` is evidence that compares between signals, from two views and with two caps:
//!
//! ```text
//! bits = min(max_bits, -log2(p), (log2(1 + z) + |log2((incident + floor) / (baseline + floor))|) / 2)
//! ```
//!
//! The second view is relative change, which is right where the baseline's spread is wide; it is the first alone where
//! the ratio is not defined (negative values). A test cannot carry more bits than its own surprise. For what vanished or
//! appeared, `bits = min(max_bits, -log2 P)`, P the exact conditional chance of a zero count; in the limit of a long
//! baseline that is lambda / ln 2 for lambda expected calls.

mod calls;
mod counts;
mod level;
mod rows;
mod series;
mod spectrum;
#[cfg(test)]
mod tests;
mod windows;

use crate::incident::Incident;
use crate::stats::fdr::benjamini_hochberg;
use crate::telemetry::series::{Signal, Subject, Unit};

pub(crate) use windows::Comparison;

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
    /// Evidence in bits, of shift and ratio or of a count test, capped (see the head of this module).
    pub bits: f64,
    /// Chance of a change as large under the baseline, 0 to 1.
    pub p_value: f64,
    /// Benjamini-Hochberg adjusted `p_value` over all findings of the analysis.
    pub q_value: f64,
    /// Whether `q_value` is at most the false-discovery rate and the change is large enough to matter.
    pub significant: bool,
    /// When it left the baseline; `None` where it did not, or the samples do not tell.
    pub onset: Option<Onset>,
    /// Samples or calls behind `baseline`.
    pub n_baseline: u64,
    /// Samples or calls behind `incident`.
    pub n_incident: u64,
}

/// The least change that matters, by unit. Below it a shift is not a finding however sure it is, and no spread counts
/// as smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct Floors {
    /// Processor cores; 0.005, half a percent of a core.
    pub cores: f64,
    /// Bytes; 1 MiB.
    pub bytes: f64,
    /// Bytes per second; 1 KiB/s.
    pub bytes_per_second: f64,
    /// Events per second; 1/60, one a minute.
    pub per_second: f64,
    /// Seconds; 0.001.
    pub seconds: f64,
    /// Shares of requests that fail; 0.001.
    pub error_ratio: f64,
    /// Other shares; 0.005.
    pub ratio: f64,
    /// Counts; 1.
    pub count: f64,
    /// Calls per request of the caller; 0.01.
    pub calls_per_request: f64,
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            cores: 0.005,
            bytes: 1_048_576.0,
            bytes_per_second: 1024.0,
            per_second: 1.0 / 60.0,
            seconds: 0.001,
            error_ratio: 0.001,
            ratio: 0.005,
            count: 1.0,
            calls_per_request: 0.01,
        }
    }
}

impl Floors {
    /// The floor of a signal in a unit; 0 where the unit is unknown.
    pub fn of(&self, signal: Signal, unit: Unit) -> f64 {
        match unit {
            Unit::Seconds => self.seconds,
            Unit::PerSecond => self.per_second,
            Unit::Ratio if matches!(signal, Signal::ErrorRatio | Signal::OriginErrorRatio) => self.error_ratio,
            Unit::Ratio => self.ratio,
            Unit::Cores => self.cores,
            Unit::Bytes => self.bytes,
            Unit::BytesPerSecond => self.bytes_per_second,
            Unit::Count => self.count,
            Unit::None => 0.0,
        }
    }
}

/// What counts as a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Expected share of false findings among the significant ones; 0.05.
    pub false_discovery_rate: f64,
    /// Cap on the bits of one finding; 8, a shift of about 250 scales.
    pub max_bits: f64,
    /// A scale is at least this share of the baseline's level; 0.05.
    pub relative_floor: f64,
    /// A significant shift is more than this share of the baseline's level; 0.05.
    pub min_relative_change: f64,
    /// Calls that the baseline lets expect before their absence is significant; 5.
    pub min_expected_calls: f64,
    /// Absolute floors by unit.
    pub floors: Floors,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            false_discovery_rate: 0.05,
            max_bits: 8.0,
            relative_floor: 0.05,
            min_relative_change: 0.05,
            min_expected_calls: 5.0,
            floors: Floors::default(),
        }
    }
}

/// Tests every signal of the incident against its baselines.
///
/// All tests are returned, significant or not, sorted by subject, signal, name and change; what cannot be tested (no
/// samples in either window, no errors in both) is not. The order of series and rows does not matter.
pub fn detect(incident: &Incident, settings: &Settings) -> Vec<Finding> {
    detect_each(incident, &[Comparison::given(incident)], settings).pop().unwrap_or_default()
}

/// The findings of each of several comparisons, as [`detect`] gives them.
pub(crate) fn detect_each(incident: &Incident, comparisons: &[Comparison], settings: &Settings) -> Vec<Vec<Finding>> {
    let of_calls = calls::findings(&incident.calls, comparisons, settings);
    let all = |(comparison, of_calls): (&Comparison, Vec<Finding>)| {
        let mut findings = series::findings(&incident.series, comparison, settings);
        findings.extend(of_calls);
        judged(findings, settings)
    };
    comparisons.iter().zip(of_calls).map(all).collect()
}

/// All findings together, sorted: which of them are significant.
fn judged(mut findings: Vec<Finding>, settings: &Settings) -> Vec<Finding> {
    let p_values: Vec<f64> = findings.iter().map(|f| f.p_value).collect();
    for (finding, q_value) in findings.iter_mut().zip(benjamini_hochberg(&p_values)) {
        finding.q_value = q_value;
        finding.significant &= q_value <= settings.false_discovery_rate;
        if !finding.significant {
            finding.onset = None;
        }
    }
    findings.sort_by(|a, b| {
        (&a.subject, a.signal, &a.name, a.change, a.unit)
            .cmp(&(&b.subject, b.signal, &b.name, b.change, b.unit))
            .then(a.baseline.total_cmp(&b.baseline))
            .then(a.incident.total_cmp(&b.incident))
            .then(a.z.total_cmp(&b.z))
            .then((a.n_baseline, a.n_incident).cmp(&(b.n_baseline, b.n_incident)))
    });
    findings
}

/// What a test says before it is compared with all others.
#[derive(Clone, Debug)]
struct Outcome {
    change: Change,
    baseline: f64,
    incident: f64,
    z: f64,
    bits: f64,
    p_value: f64,
    /// Large enough to matter, however sure.
    matters: bool,
    n_baseline: u64,
    n_incident: u64,
    onset: Option<Onset>,
}

impl Outcome {
    fn into_finding(self, subject: &Subject, signal: Signal, name: impl Into<String>, unit: Unit) -> Finding {
        Finding {
            subject: subject.clone(),
            signal,
            name: name.into(),
            change: self.change,
            baseline: self.baseline,
            incident: self.incident,
            unit,
            z: self.z,
            bits: self.bits,
            p_value: self.p_value,
            q_value: 1.0,
            significant: self.matters,
            onset: self.onset,
            n_baseline: self.n_baseline,
            n_incident: self.n_incident,
        }
    }
}

/// A shift from one level to another.
#[derive(Clone, Copy, Debug)]
struct Shift {
    baseline: f64,
    incident: f64,
    z: f64,
    p_value: f64,
    /// The absolute floor of the signal.
    floor: f64,
}

impl Shift {
    fn change(&self) -> Change {
        if self.incident < self.baseline { Change::Fall } else { Change::Rise }
    }

    /// See the head of this module.
    fn bits(&self, settings: &Settings) -> f64 {
        let by_scale = (1.0 + self.z).log2();
        let ratio = (self.incident + self.floor) / (self.baseline + self.floor);
        let by_ratio = ratio.log2().abs();
        let defined = self.incident >= 0.0 && self.baseline >= 0.0 && by_ratio.is_finite();
        let bits = if defined { (by_scale + by_ratio) / 2.0 } else { by_scale };
        bits.min(surprise_bits(self.p_value)).clamp(0.0, settings.max_bits)
    }

    fn matters(&self, settings: &Settings) -> bool {
        let shift = (self.incident - self.baseline).abs();
        shift > settings.min_relative_change * self.baseline.abs() && shift > self.floor
    }

    fn outcome(&self, settings: &Settings, n_baseline: u64, n_incident: u64, onset: Option<Onset>) -> Outcome {
        Outcome {
            change: self.change(),
            baseline: self.baseline,
            incident: self.incident,
            z: self.z,
            bits: self.bits(settings),
            p_value: self.p_value,
            matters: self.matters(settings),
            n_baseline,
            n_incident,
            onset,
        }
    }
}

/// `-log2(p)`, not negative.
fn surprise_bits(p_value: f64) -> f64 {
    (-p_value.log2()).max(0.0)
}

/// Whether an onset is worth looking for: `q_value` is never below `p_value`.
fn may_be_significant(outcome: &Outcome, settings: &Settings) -> bool {
    outcome.matters && outcome.p_value <= settings.false_discovery_rate
}
