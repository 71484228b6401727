//! Distributions of durations: did their middle or their upper tenth shift?

use crate::stats::distribution::student_two_sided;
use crate::stats::mann_whitney::mann_whitney_binned;
use crate::stats::proportion::fisher_two_sided;
use crate::stats::robust::{Scale, median, spread};
use crate::telemetry::sketch::Sketch;

use super::level::spread_of_levels;
use super::windows::{Bins, Role};
use super::{Outcome, Settings, Shift, may_be_significant};

/// Number of buckets of a [`Sketch`].
const BUCKETS: usize = 3776;
/// Calls of a bin, or of a window, before its median is used.
const MIN_CALLS: u64 = 5;
/// Calls of a window before its 90th percentile is used: two lie above it.
const MIN_CALLS_P90: u64 = 20;
/// Baseline bins before the spread from bin to bin is used.
const MIN_BINS: usize = 5;
/// A sketch tells durations apart by 1 in 64, so nothing is known to be steadier than half of that.
const RESOLUTION: f64 = 1.0 / 128.0;
/// Which quantiles are compared.
const QUANTILES: [(f64, &str); 2] = [(0.5, "p50"), (0.9, "p90")];

/// Sums sketches: adding is one step for each of their buckets, whatever was added before.
#[derive(Clone, Debug)]
struct Sum {
    counts: Vec<u64>,
    low: usize,
    high: usize,
    count: u64,
}

impl Sum {
    fn new() -> Self {
        Self { counts: vec![0; BUCKETS], low: BUCKETS, high: 0, count: 0 }
    }

    fn add(&mut self, sketch: &Sketch) {
        for &(bucket, count) in sketch.counts() {
            self.add_bucket(usize::from(bucket), count);
        }
    }

    fn add_bucket(&mut self, bucket: usize, count: u64) {
        if let Some(sum) = self.counts.get_mut(bucket) {
            *sum = sum.saturating_add(count);
            self.count = self.count.saturating_add(count);
            self.low = self.low.min(bucket);
            self.high = self.high.max(bucket + 1);
        }
    }

    fn add_all(&mut self, other: &Sum) {
        for (bucket, &count) in other.counts.iter().enumerate().take(other.high).skip(other.low) {
            if count > 0 {
                self.add_bucket(bucket, count);
            }
        }
    }

    fn clear(&mut self) {
        if self.low < self.high {
            self.counts[self.low..self.high].fill(0);
        }
        (self.low, self.high, self.count) = (BUCKETS, 0, 0);
    }

    /// The bucket of a rank (from 1), clamped to the ranks there are.
    fn bucket_of_rank(&self, rank: f64) -> usize {
        let rank = (rank.ceil().max(1.0) as u64).min(self.count);
        let mut seen = 0;
        (self.low..self.high)
            .find(|&bucket| {
                seen += self.counts[bucket];
                seen >= rank
            })
            .unwrap_or(self.low)
    }

    /// The quantile in seconds; the same as [`Sketch::quantile`].
    fn quantile(&self, q: f64) -> f64 {
        seconds(self.bucket_of_rank(q * self.count as f64))
    }

    /// Half the width of the quantile's interval of one standard error: the order statistics at
    /// `n q -+ sqrt(n q (1 - q))`.
    fn standard_error(&self, q: f64) -> f64 {
        let n = self.count as f64;
        let width = (n * q * (1.0 - q)).sqrt();
        (seconds(self.bucket_of_rank(n * q + width)) - seconds(self.bucket_of_rank(n * q - width))) / 2.0
    }

    fn count_above(&self, bucket: usize) -> u64 {
        self.counts[(bucket + 1).min(self.high)..self.high].iter().sum()
    }

    fn histogram(&self) -> Vec<(f64, u64)> {
        (self.low..self.high).filter(|&b| self.counts[b] > 0).map(|b| (b as f64, self.counts[b])).collect()
    }
}

/// Middle of a bucket of nanoseconds, in seconds.
fn seconds(bucket: usize) -> f64 {
    Sketch::bucket_value(u16::try_from(bucket).unwrap_or(u16::MAX)) / 1e9
}

/// The distributions of one subject.
struct Spectra {
    incident: Sum,
    baseline: Sum,
    windows: Vec<Sum>,
    /// Median and 90th percentile of each place with enough calls.
    places: Vec<Option<[f64; 2]>>,
}

impl Spectra {
    fn of<'a>(bins: &Bins, cells: impl Iterator<Item = (usize, &'a Sketch)>) -> Self {
        let mut spectra = Self {
            incident: Sum::new(),
            baseline: Sum::new(),
            windows: vec![Sum::new(); bins.windows],
            places: vec![None; bins.len()],
        };
        let mut current = Sum::new();
        let mut at: Option<usize> = None;
        for (place, sketch) in cells {
            if at != Some(place) {
                spectra.close(bins, at, &mut current);
                at = Some(place);
            }
            current.add(sketch);
        }
        spectra.close(bins, at, &mut current);
        spectra
    }

    /// Books the sum of one place.
    fn close(&mut self, bins: &Bins, place: Option<usize>, sum: &mut Sum) {
        let Some(place) = place else { return };
        match bins.role(place) {
            Role::Incident => self.incident.add_all(sum),
            Role::Baseline(window) => {
                self.baseline.add_all(sum);
                self.windows[window].add_all(sum);
            }
            Role::Lead => {}
        }
        if sum.count >= MIN_CALLS {
            self.places[place] = Some(QUANTILES.map(|(q, _)| sum.quantile(q)));
        }
        sum.clear();
    }

    /// Quantile `which` of the places of a role.
    fn of_role(&self, bins: &Bins, which: usize, wanted: impl Fn(Role) -> bool) -> Vec<f64> {
        bins.places(wanted).into_iter().filter_map(|place| Some(self.places[place]?[which])).collect()
    }
}

/// Compares a distribution of durations, given as (place, sketch) in order of place; the outcome comes with the name of the
/// quantile that shows it. `None` with fewer than 5 calls in a window.
///
/// The 90th percentile speaks where its `z` is more than twice the median's and both windows have 20 calls.
///
/// * `z`: shift of the quantile over its noise. A distribution's width is not the noise of its median: the noise is the
///   spread of the quantile from bin to bin of the baseline (from 5 bins with 5 calls), and not less than the standard
///   error from the order statistics of both windows, 5 % of the quantile, or the floor. The spread between several
///   baseline windows is added.
/// * p-value: the larger of two. Calls: Mann-Whitney on the histograms for the median, the exact test on the share of calls
///   above the baseline's 90th percentile for that. Bins (where there are 5, and 2 in the incident): Student's t of the
///   bins' quantiles, because calls of one bin share their circumstances and so thousands of them say less than it seems.
///   Twice the p-value where both quantiles were looked at.
pub(super) fn compare<'a>(
    bins: &Bins,
    cells: impl Iterator<Item = (usize, &'a Sketch)>,
    settings: &Settings,
) -> Option<(Outcome, &'static str)> {
    let spectra = Spectra::of(bins, cells);
    let calls = spectra.incident.count.min(spectra.baseline.count);
    if calls < MIN_CALLS {
        return None;
    }
    let (mut which, mut best) = (0, quantile_shift(bins, &spectra, 0, settings));
    let mut tests = 1.0;
    if calls >= MIN_CALLS_P90 {
        let high = quantile_shift(bins, &spectra, 1, settings);
        tests = 2.0;
        if high.0.z > 2.0 * best.0.z {
            (which, best) = (1, high);
        }
    }
    let (mut shift, noise) = best;
    shift.p_value = (shift.p_value * tests).min(1.0);
    let mut outcome = shift.outcome(settings, spectra.baseline.count, spectra.incident.count, None);
    if may_be_significant(&outcome, settings) {
        outcome.onset = bins.onset(shift.baseline, shift.incident, noise, |place| Some(spectra.places[place]?[which]));
    }
    Some((outcome, QUANTILES[which].1))
}

/// The shift of one quantile, and its noise from bin to bin.
fn quantile_shift(bins: &Bins, spectra: &Spectra, which: usize, settings: &Settings) -> (Shift, f64) {
    let q = QUANTILES[which].0;
    let (before, now) = (spectra.baseline.quantile(q), spectra.incident.quantile(q));
    let floor = settings.floors.seconds;
    let steady = before * RESOLUTION;
    let base_bins = spectra.of_role(bins, which, |role| matches!(role, Role::Baseline(_)));
    let now_bins = spectra.of_role(bins, which, |role| role == Role::Incident);
    let by_window: Vec<f64> = spectra.windows.iter().filter(|w| w.count >= MIN_CALLS).map(|w| w.quantile(q)).collect();
    let between = spread_of_levels(&by_window, before);
    let error = spectra.baseline.standard_error(q).hypot(spectra.incident.standard_error(q));
    let measured = base_bins.len() >= MIN_BINS;
    let noise = if measured { spread(&base_bins).max(error) } else { error };
    let scale = Scale::floored(noise, before, settings.relative_floor, floor).plus(between);
    let mut p_value = match which {
        0 => mann_whitney_binned(&spectra.incident.histogram(), &spectra.baseline.histogram()).p_value,
        _ => {
            let above = spectra.baseline.bucket_of_rank(q * spectra.baseline.count as f64);
            fisher_two_sided(
                spectra.incident.count_above(above),
                spectra.incident.count,
                spectra.baseline.count_above(above),
                spectra.baseline.count,
            )
        }
    };
    if measured && now_bins.len() >= 2 {
        let (k, m) = (base_bins.len() as f64, now_bins.len() as f64);
        let level = median(&base_bins).unwrap_or(before);
        let shift = median(&now_bins).unwrap_or(now) - level;
        let error = (spread(&base_bins).max(steady) * (1.0 / k + 1.0 / m).sqrt()).hypot(between);
        p_value = p_value.max(student_two_sided(shift / error, k - 1.0));
    }
    (Shift { baseline: before, incident: now, z: scale.z(now - before), p_value, floor }, noise.max(steady))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_the_quantiles_of_the_merged_sketch() {
        let (mut one, mut two) = (Sketch::default(), Sketch::default());
        for value in 0..500_u64 {
            one.add(value * value * 1000);
            two.add(value * 77_777);
        }
        let mut sum = Sum::new();
        sum.add(&one);
        sum.add(&two);
        one.merge(&two);
        for q in [0.0, 0.1, 0.5, 0.9, 1.0] {
            assert_eq!(Some(sum.quantile(q) * 1e9), one.quantile(q).map(|v| v / 1e9 * 1e9));
        }
        assert_eq!(sum.count, 1000);
        sum.clear();
        assert_eq!((sum.count, sum.histogram().len()), (0, 0));
    }

    #[test]
    fn the_standard_error_is_that_of_the_order_statistics() {
        let mut sum = Sum::new();
        let mut values = Sketch::default();
        for value in 1..=1000_u64 {
            values.add(value * 1_000_000);
        }
        sum.add(&values);
        // sqrt(1000 / 4) = 15.8 ranks of 1 ms either way, within the sketch's resolution
        assert!((sum.standard_error(0.5) - 0.0158).abs() < 0.008, "{}", sum.standard_error(0.5));
    }
}
