//! Counts of calls and of failed calls: did their rate or ratio shift by more than counting lets expect?

use crate::stats::proportion::fisher_two_sided;
use crate::stats::rate::poisson_two_sided;
use crate::stats::robust::Scale;

use super::windows::Bins;
use super::{Change, Outcome, Settings, Shift};

/// Bins, or blocks of bins, of baseline before their dispersion is estimated.
const MIN_BINS: usize = 5;
const MIN_BLOCKS: usize = 4;

/// Variance of counts over what their law says, at least 1, in the incident and in the baseline: the burstiness of the
/// traffic (see [`dispersion`]) and what sampling adds to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub(super) incident: f64,
    pub(super) baseline: f64,
    /// Weight of a call in the baseline.
    weight_baseline: f64,
}

impl Spread {
    /// From the dispersion that the baseline's weighted counts show, and the design effects of both windows.
    ///
    /// What the baseline shows holds for its own sampling. With calls that come together a change of the weight
    /// multiplies it, with load that drifts it adds to it; the greater is believed. Both leave it as it is where windows
    /// were sampled alike.
    pub(super) fn new(measured: f64, effect_incident: f64, effect_baseline: f64) -> Self {
        let baseline = measured.max(effect_baseline);
        let added = baseline + (effect_incident - effect_baseline);
        let incident = added.max(baseline * (effect_incident / effect_baseline));
        Self { incident, baseline, weight_baseline: effect_baseline }
    }

    /// The greater of both.
    pub(super) fn greater(&self) -> f64 {
        self.incident.max(self.baseline)
    }
}

/// Events of the incident window and of all baseline windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Events {
    pub(super) incident: u64,
    pub(super) baseline: u64,
    /// How many of them were seen, in the incident and in the baseline.
    pub(super) observed: (u64, u64),
    /// What the events are counted over: seconds, or requests of the caller.
    pub(super) exposure_incident: f64,
    pub(super) exposure_baseline: f64,
    pub(super) spread: Spread,
}

/// Compares two rates (events over exposure); `None` when there are no events or an exposure is missing.
///
/// p-value: the exact conditional test of two Poisson rates on counts divided by their spread (rounded): d events that
/// come together, or one that stands for d, carry the information of one. Where the windows' spreads differ, so do the
/// rates of what is counted then, and the exposure of the incident is scaled to that of the baseline. `z`: the difference over its standard error, floored by `relative`
/// (of the baseline's rate) and `floor`.
///
/// Without any event on one side the change is `Vanished` or `Appeared`. It matters when the other side lets expect at
/// least `min_expected_calls` independent events; its bits are those of the exact chance of none, given the sum, which a
/// short baseline keeps honest.
pub(super) fn compare_rates(events: &Events, relative: f64, floor: f64, settings: &Settings) -> Option<Outcome> {
    let Events { incident, baseline, observed, exposure_incident, exposure_baseline, spread } = *events;
    let usable = |exposure: f64| exposure.is_finite() && exposure > 0.0;
    if incident.saturating_add(baseline) == 0 || !usable(exposure_incident) || !usable(exposure_baseline) {
        return None;
    }
    let now = incident as f64 / exposure_incident;
    let before = baseline as f64 / exposure_baseline;
    let exposure_incident = exposure_incident * (spread.baseline / spread.incident);
    let independent = |count: u64, spread: f64| (count as f64 / spread).round() as u64;
    let least = spread.weight_baseline / exposure_baseline;
    let variance = spread.baseline * before.max(least) * (1.0 / exposure_incident + 1.0 / exposure_baseline);
    let scale = Scale::floored(variance.sqrt(), before, relative, floor);
    let shift = Shift {
        baseline: before,
        incident: now,
        z: scale.z(now - before),
        p_value: poisson_two_sided(
            independent(incident, spread.incident),
            exposure_incident,
            independent(baseline, spread.baseline),
            exposure_baseline,
        ),
        floor,
    };
    let mut outcome = shift.outcome(settings, observed.1, observed.0, None);
    let silent = |seen: u64, spread: f64, there: f64, here: f64| {
        let expected = seen as f64 / spread * here / there;
        // -log2 of the chance that all fall on the other side
        let bits =
            (independent(seen, spread) as f64 * (here / there).ln_1p() / std::f64::consts::LN_2).min(settings.max_bits);
        (bits, expected >= settings.min_expected_calls)
    };
    if incident == 0 {
        outcome.change = Change::Vanished;
        (outcome.bits, outcome.matters) = silent(baseline, spread.baseline, exposure_baseline, exposure_incident);
    } else if baseline == 0 {
        outcome.change = Change::Appeared;
        (outcome.bits, outcome.matters) = silent(incident, spread.incident, exposure_incident, exposure_baseline);
    }
    Some(outcome)
}

/// Failed calls of the incident window and of all baseline windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failures {
    pub(super) incident: u64,
    pub(super) calls_incident: u64,
    pub(super) baseline: u64,
    pub(super) calls_baseline: u64,
    /// How many of the calls were seen, in the incident and in the baseline.
    pub(super) observed: (u64, u64),
    pub(super) spread: Spread,
}

/// Compares two error ratios; `None` when a window has no calls, or no call failed in either.
///
/// p-value: the exact test of two proportions on counts divided by their spread. `z`: the difference over the pooled
/// standard error, floored by 5 % of the baseline's ratio and one error in a thousand calls.
pub(super) fn compare_ratios(failures: &Failures, settings: &Settings) -> Option<Outcome> {
    let Failures { incident, calls_incident, baseline, calls_baseline, observed, spread } = *failures;
    if calls_incident == 0 || calls_baseline == 0 || incident.saturating_add(baseline) == 0 {
        return None;
    }
    let in_incident = |count: u64| (count as f64 / spread.incident).round() as u64;
    let in_baseline = |count: u64| (count as f64 / spread.baseline).round() as u64;
    let (n, m) = (calls_incident as f64, calls_baseline as f64);
    let (now, before) = (incident as f64 / n, baseline as f64 / m);
    let pooled = ((incident as f64 + baseline as f64) / (n + m)).min(1.0);
    let variance = spread.baseline * pooled * (1.0 - pooled) * ((spread.incident / spread.baseline) / n + 1.0 / m);
    let floor = settings.floors.error_ratio;
    let scale = Scale::floored(variance.sqrt(), before, settings.relative_floor, floor);
    let shift = Shift {
        baseline: before,
        incident: now,
        z: scale.z(now - before),
        p_value: fisher_two_sided(
            in_incident(incident),
            in_incident(calls_incident),
            in_baseline(baseline),
            in_baseline(calls_baseline),
        ),
        floor,
    };
    Some(shift.outcome(settings, observed.1, observed.0, None))
}

/// How counts vary from bin to bin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Law {
    /// Events over an exposure: variance = mean.
    Poisson,
    /// Successes of trials: variance = mean x (1 - probability).
    Binomial,
}

/// Variance of the baseline's counts over what the law says, at least 1.
///
/// Real traffic is burstier than Poisson: users come in sessions, batches at the full minute, load drifts. Pearson's
/// chi-squared over its degrees of freedom (McCullagh and Nelder, Generalized Linear Models, 1989, section 4.5)
/// measures by how much, at three lengths of time, and the largest counts: single bins (from 5), blocks as long as the
/// incident window (from 4), whose counts keep slow drifts that single bins average out, and whole baseline windows
/// (from 2). 1 where none can be measured.
pub(super) fn dispersion(bins: &Bins, law: Law, count: impl Fn(usize) -> u64, exposure: impl Fn(usize) -> f64) -> f64 {
    let block = bins.incident.len().max(1);
    let cell = |place: &usize| (count(*place) as f64, exposure(*place));
    let add = |sum: (f64, f64), cell: (f64, f64)| (sum.0 + cell.0, sum.1 + cell.1);
    let sum = |places: &[usize]| places.iter().map(cell).fold((0.0, 0.0), add);
    let by_window = || bins.baselines.iter().map(|places| sum(places));
    let total = by_window().fold((0.0, 0.0), add);
    if total.0 <= 0.0 || total.1 <= 0.0 {
        return 1.0;
    }
    let rate = total.0 / total.1;
    let kept = match law {
        Law::Poisson => 1.0,
        Law::Binomial => 1.0 - rate.min(1.0),
    };
    let by_bin = bins.baselines.iter().flatten().map(cell);
    let by_block = bins.baselines.iter().flat_map(|places| places.chunks_exact(block)).map(sum);
    chi_squared_share(by_bin, rate, kept, MIN_BINS)
        .max(chi_squared_share(by_block, rate, kept, MIN_BLOCKS))
        .max(chi_squared_share(by_window(), rate, kept, 2))
        .max(1.0)
}

/// Pearson's chi-squared over degrees of freedom; 1 with fewer than `least` cells that have an exposure.
fn chi_squared_share(cells: impl Iterator<Item = (f64, f64)>, rate: f64, kept: f64, least: usize) -> f64 {
    let (mut used, mut sum) = (0_usize, 0.0);
    for (count, over) in cells.filter(|cell| cell.1 > 0.0) {
        used += 1;
        sum += (count - rate * over).powi(2) / (rate * over * kept);
    }
    if used < least || kept <= 1e-9 { 1.0 } else { sum / (used - 1) as f64 }
}
