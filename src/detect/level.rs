//! Samples of a gauge: did its level shift?

use crate::stats::correlation::lag_one_autocorrelation;
use crate::stats::distribution::{normal_two_sided, normal_z, student_two_sided};
use crate::stats::mann_whitney::mann_whitney;
use crate::stats::robust::{Location, Scale, median, quantile_of_sorted, sorted, tail_spread};

use super::{Settings, Shift};

/// Samples in a row that a level must hold to count: two coincide by chance in any long window.
const SUSTAINED: usize = 3;
/// Samples in each window before its 90th percentile is more than its maximum.
const MIN_FOR_P90: usize = 10;
/// Samples of a baseline window before its autocorrelation is used.
const MIN_FOR_AUTOCORRELATION: usize = 8;
/// Noise is taken to be at least this share of the scale's floor: a recording is not more exact than that, and a baseline
/// that happened to stand still for a few samples does not prove that it always does.
const NOISE_PER_FLOOR: f64 = 0.2;
/// The median of one or two samples is no better than a maximum, so their tails are taken to be heavy: Student's t with
/// at most so many degrees of freedom, which held the alarms in lognormal noise (sigma 0.5) to their promised share.
const LONE_DEGREES: f64 = 5.0;
/// A rank test whose most extreme ordering is more likely than this cannot survive control over some thousand tests,
/// whatever the size of the shift.
const RANKS_CAN_TELL: f64 = 1e-5;

/// Which statistic of the window shifted most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum View {
    /// The median.
    Median,
    /// The level that three samples in a row held, where its `z` is more than twice the median's.
    Sustained,
    /// The 90th percentile, where its `z` is more than twice that of the others.
    P90,
}

/// A shift with the view that shows it best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) view: View,
    pub(super) shift: Shift,
    /// Standard deviation of single samples, for the onset.
    pub(super) noise: f64,
}

/// Compares the samples of the incident with those of the baseline windows (each in order of time); `None` when either
/// has none. `floor` is the absolute floor of the signal.
///
/// * `z` of the median: shift over `max(1.4826 MAD, IQR/1.349, 5 %, floor)` of the pooled baseline plus the spread of the
///   windows' medians (their root mean square distance from the pooled one).
/// * `z` of the 90th percentile (from 10 samples a side): over that scale or the baseline's distance from median to 90th
///   percentile, if larger.
/// * `z` of the sustained level (from 3 samples): what three samples in a row all exceed, less the most that three in a
///   row exceeded in the baseline.
/// * p-value: the least of these, times their number (Bonferroni):
///   * Student's t of the median's shift over the noise of a single new sample, with one degree of freedom less than
///     baseline samples (at most 5 for one or two incident samples). On the safe side, as the median of several samples
///     varies less than one, and so right for samples that follow each other closely;
///   * Mann-Whitney, which sees small lasting shifts, with a single baseline window and enough samples that complete
///     separation is less likely than 1e-5 (else ranks cannot tell small from large). Its statistic in standard normal
///     units is multiplied by `sqrt((1 - r) / (1 + r))`, r the baseline's autocorrelation at one step, because
///     neighbours in time say less than independent samples;
///   * Student's t of the two other shifts.
pub(super) fn compare(baselines: &[Vec<f64>], incident: &[f64], floor: f64, settings: &Settings) -> Option<Level> {
    let base = sorted(baselines.iter().flatten());
    let now = sorted(incident);
    let center = quantile_of_sorted(&base, 0.5)?;
    let level = quantile_of_sorted(&now, 0.5)?;
    let between = between_windows(baselines, center);
    let spread = Location::of_sorted(&base).spread;
    let scale = Scale::floored(spread, center, settings.relative_floor, floor).plus(between);
    let least_noise = NOISE_PER_FLOOR * (settings.relative_floor * center.abs()).max(floor);
    let noise = spread.max(tail_spread(&base)).hypot(between).max(least_noise);
    let degrees = base.len() as f64 - 1.0;
    let shift = |baseline: f64, incident: f64, z: f64| Shift { baseline, incident, z, p_value: 1.0, floor };
    let mut views = vec![(View::Median, shift(center, level, scale.z(level - center)))];
    let lone = if now.len() < SUSTAINED { degrees.min(LONE_DEGREES) } else { degrees };
    let new_sample = noise * (1.0 + 1.0 / base.len() as f64).sqrt();
    let mut p_values = vec![student_two_sided((level - center) / new_sample, lone)];
    p_values.extend(by_ranks(baselines, &base, &now));
    if now.len() >= SUSTAINED {
        let (limit, held) = sustained(baselines, incident, center);
        views.push((View::Sustained, shift(center, held, scale.z(held - limit))));
        p_values.push(student_two_sided((held - limit) / noise, degrees));
    }
    if base.len() >= MIN_FOR_P90 && now.len() >= MIN_FOR_P90 {
        let (high, high_now) = (ninetieth(&base), ninetieth(&now));
        let wider = Scale::floored(high - center, high, settings.relative_floor, scale.value());
        views.push((View::P90, shift(high, high_now, wider.z(high_now - high))));
        p_values.push(student_two_sided((high_now - high) / noise.max(high - center), degrees));
    }
    let (view, mut shift) =
        views.into_iter().reduce(|best, next| if next.1.z > 2.0 * best.1.z { next } else { best })?;
    let least = p_values.iter().copied().fold(1.0, f64::min);
    shift.p_value = (least * p_values.len() as f64).min(1.0);
    Some(Level { view, shift, noise })
}

/// The order statistic at or below the 90th percentile: interpolation would let the maximum in.
fn ninetieth(sorted: &[f64]) -> f64 {
    sorted[sorted.len().saturating_sub(1) * 9 / 10]
}

/// Root mean square distance of the windows' medians from the pooled one; 0 for a single window.
fn between_windows(baselines: &[Vec<f64>], center: f64) -> f64 {
    if baselines.len() < 2 {
        return 0.0;
    }
    let medians: Vec<f64> = baselines.iter().filter_map(|window| median(window)).collect();
    spread_of_levels(&medians, center)
}

/// Root mean square distance of levels from a center, with one degree of freedom less than levels; 0 for fewer than two.
pub(super) fn spread_of_levels(levels: &[f64], center: f64) -> f64 {
    if levels.len() < 2 {
        return 0.0;
    }
    let squares: f64 = levels.iter().map(|m| (m - center).powi(2)).sum();
    (squares / (levels.len() - 1) as f64).sqrt()
}

/// The rank test of samples in ascending order, where it can tell; see [`compare`].
fn by_ranks(baselines: &[Vec<f64>], base: &[f64], now: &[f64]) -> Option<f64> {
    // 2 / binomial(n + m, m), the most extreme ordering either way
    let rarest = (1..=now.len()).fold(2.0, |p, i| p * i as f64 / (base.len() + i) as f64);
    let mut windows = baselines.iter().filter(|window| !window.is_empty());
    let (Some(window), None) = (windows.next(), windows.next()) else { return None };
    if rarest > RANKS_CAN_TELL {
        return None;
    }
    let known = window.len() >= MIN_FOR_AUTOCORRELATION;
    let correlated = if known { lag_one_autocorrelation(window).clamp(0.0, 0.99) } else { 0.0 };
    let discount = ((1.0 - correlated) / (1.0 + correlated)).sqrt();
    Some(normal_two_sided(normal_z(mann_whitney(now, base).p_value) * discount))
}

/// The most that samples in a row exceeded: (in the baseline, in the incident), on the side on which the incident went
/// further beyond the baseline; equal where it did not.
fn sustained(baselines: &[Vec<f64>], incident: &[f64], center: f64) -> (f64, f64) {
    // (above the center, below it)
    let held = |most: (f64, f64), values: &[f64]| {
        values.windows(SUSTAINED).fold(most, |most, run| {
            let least = run.iter().fold(f64::INFINITY, |least, value| least.min(*value));
            let largest = run.iter().fold(f64::NEG_INFINITY, |largest, value| largest.max(*value));
            (most.0.max(least - center), most.1.max(center - largest))
        })
    };
    let before = baselines.iter().fold((0.0, 0.0), |most, window| held(most, window));
    let during = held(before, incident);
    if during.1 - before.1 > during.0 - before.0 {
        (center - before.1, center - during.1)
    } else {
        (center + before.0, center + during.0)
    }
}
