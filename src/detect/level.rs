//! Samples of a gauge: did its level shift?

use crate::stats::correlation::lag_one_autocorrelation;
use crate::stats::distribution::{normal_two_sided, normal_z, student_two_sided};
use crate::stats::mann_whitney::mann_whitney;
use crate::stats::robust::{Scale, median, quantile_of_sorted, sorted, spread, tail_spread};

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
/// A rank test whose most extreme ordering is more likely than this cannot survive control over some thousand tests,
/// whatever the size of the shift.
const RANKS_CAN_TELL: f64 = 1e-5;

/// Which statistic of the window shifted most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum View {
    /// The median.
    Median,
    /// The 90th percentile, where the 90th percentile's shift is more than twice the median's.
    P90,
    /// The level that three samples in a row held, likewise.
    Sustained,
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
/// * p-value of the median: Mann-Whitney. Its statistic in standard normal units is multiplied by
///   `sqrt((1 - r) / (1 + r))`, r the baseline's autocorrelation at one step, because neighbours in time say less than
///   independent samples. With so few samples that even complete separation is likelier than 1e-5, ranks cannot tell
///   small from large; then (and, as a further condition, with several baseline windows) it is Student's t of the shift
///   over the noise of a single new sample, with one degree of freedom less than baseline samples. That is on the safe
///   side, as the median of several samples varies less than one.
/// * p-values of the other views: Student's t of their z. The result is multiplied by the number of views (Bonferroni).
pub(super) fn compare(baselines: &[Vec<f64>], incident: &[f64], floor: f64, settings: &Settings) -> Option<Level> {
    let pooled: Vec<f64> = baselines.iter().flatten().copied().collect();
    let base = sorted(&pooled);
    let now = sorted(incident);
    let center = quantile_of_sorted(&base, 0.5)?;
    let level = quantile_of_sorted(&now, 0.5)?;
    let between = between_windows(baselines, center);
    let scale = Scale::floored(spread(&base), center, settings.relative_floor, floor).plus(between);
    let least_noise = NOISE_PER_FLOOR * (settings.relative_floor * center.abs()).max(floor);
    let noise = tail_spread(&base).hypot(between).max(least_noise);
    let degrees = base.len() as f64 - 1.0;
    let by_median = Shift {
        baseline: center,
        incident: level,
        z: scale.z(level - center),
        p_value: p_of_median(baselines, &pooled, incident, (level - center).abs() / noise),
        floor,
    };
    let mut views = vec![(View::Median, by_median)];
    if base.len() >= MIN_FOR_P90 && now.len() >= MIN_FOR_P90 {
        let high = quantile_of_sorted(&base, 0.9)?;
        let high_now = quantile_of_sorted(&now, 0.9)?;
        let wider = Scale::floored(high - center, high, settings.relative_floor, scale.value());
        let z = wider.z(high_now - high);
        let p_value = student_two_sided((high_now - high) / noise.max(high - center), degrees);
        views.push((View::P90, Shift { baseline: high, incident: high_now, z, p_value, floor }));
    }
    if let Some((limit, held)) = sustained(baselines, incident, center) {
        let z = scale.z(held - limit);
        let p_value = student_two_sided((held - limit) / noise, degrees);
        views.push((View::Sustained, Shift { baseline: center, incident: held, z, p_value, floor }));
    }
    let tests = views.len() as f64;
    let (view, mut shift) =
        views.into_iter().reduce(|best, next| if next.1.z > 2.0 * best.1.z { next } else { best })?;
    shift.p_value = (shift.p_value * tests).min(1.0);
    Some(Level { view, shift, noise })
}

/// Root mean square distance of the windows' medians from the pooled one; 0 for a single window.
fn between_windows(baselines: &[Vec<f64>], center: f64) -> f64 {
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

fn p_of_median(baselines: &[Vec<f64>], pooled: &[f64], incident: &[f64], shift_in_noise: f64) -> f64 {
    let (n, m) = (pooled.len() as f64, incident.len() as f64);
    let predicted = student_two_sided(shift_in_noise / (1.0 + 1.0 / n).sqrt(), n - 1.0);
    let ranks = mann_whitney(incident, pooled);
    // 2 / binomial(n + m, m), the most extreme ordering either way
    let rarest = (1..=incident.len()).fold(2.0, |p, i| p * i as f64 / (n + i as f64));
    if m < 1.0 || rarest > RANKS_CAN_TELL {
        let separated = ranks.superiority <= 0.0 || ranks.superiority >= 1.0;
        return if separated { predicted } else { predicted.max(ranks.p_value) };
    }
    let correlated = baselines
        .iter()
        .filter(|window| window.len() >= MIN_FOR_AUTOCORRELATION)
        .map(|window| lag_one_autocorrelation(window))
        .fold(0.0, f64::max)
        .min(0.99);
    let discount = ((1.0 - correlated) / (1.0 + correlated)).sqrt();
    let by_ranks = normal_two_sided(normal_z(ranks.p_value) * discount);
    if baselines.iter().filter(|window| !window.is_empty()).count() > 1 { by_ranks.max(predicted) } else { by_ranks }
}

/// The most that samples in a row exceeded (baseline, incident), on the side on which the incident's excess is larger;
/// `None` where the incident does not go further than the baseline did.
fn sustained(baselines: &[Vec<f64>], incident: &[f64], center: f64) -> Option<(f64, f64)> {
    let side = |sign: f64| {
        let held = |values: &[f64]| {
            values
                .windows(SUSTAINED)
                .map(|run| run.iter().map(|v| sign * (v - center)).fold(f64::INFINITY, f64::min))
                .reduce(f64::max)
        };
        let now = held(incident)?;
        let before = baselines.iter().filter_map(|window| held(window)).fold(0.0, f64::max);
        (now > before).then_some((sign, before, now))
    };
    let (sign, before, now) = [side(1.0), side(-1.0)]
        .into_iter()
        .flatten()
        .reduce(|up, down| if down.2 - down.1 > up.2 - up.1 { down } else { up })?;
    Some((center + sign * before, center + sign * now))
}
