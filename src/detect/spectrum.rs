//! Distributions of durations: did their middle or their upper tenth shift?

use crate::stats::distribution::student_two_sided;
use crate::stats::effective::Weights;
use crate::stats::mann_whitney::mann_whitney_binned;
use crate::stats::proportion::fisher_two_sided;
use crate::stats::robust::{Scale, median, spread};
use crate::telemetry::sketch::Sketch;

use super::level::spread_of_levels;
use super::windows::{Bins, Role};
use super::{Outcome, Settings, Shift, may_be_significant};

/// Calls of a bin, or of a window, before its median is used; of sampled traffic as many as say so much.
const MIN_CALLS: f64 = 5.0;
/// Calls of a window before its 90th percentile is used: two lie above it.
const MIN_CALLS_P90: f64 = 20.0;
/// Baseline bins before the spread from bin to bin is used.
const MIN_BINS: usize = 5;
/// A sketch tells durations apart by 1 in 64, so nothing is known to be steadier than half of that.
const RESOLUTION: f64 = 1.0 / 128.0;
/// Which quantiles are compared.
const QUANTILES: [(f64, &str); 2] = [(0.5, "p50"), (0.9, "p90")];

/// The distribution of one row, with the weights of the row's calls.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) sketch: &'a Sketch,
    pub(super) weights: Weights,
    /// Calls of the row that were seen.
    pub(super) observed: u64,
}

/// Sums sketches: adding is one step for each of their buckets, whatever was added before.
#[derive(Clone, Debug, Default)]
struct Sum {
    /// The bucket of the first count.
    low: usize,
    counts: Vec<u64>,
    count: u64,
    /// Sum of the squares of the weights.
    squares: f64,
    /// How many of the calls were seen.
    observed: u64,
}

impl Sum {
    fn add(&mut self, cell: &Cell<'_>) {
        let counts = cell.sketch.counts();
        let before = self.count;
        if let (Some(first), Some(last)) = (counts.first(), counts.last()) {
            self.cover(usize::from(first.0), usize::from(last.0));
        }
        for &(bucket, count) in counts {
            let sum = &mut self.counts[usize::from(bucket) - self.low];
            *sum = sum.saturating_add(count);
            self.count = self.count.saturating_add(count);
        }
        // Not every call of a row has a gap: its share of what the row says of all.
        let added = self.count - before;
        self.squares += cell.weights.design_effect() * added as f64;
        let seen = u128::from(added) * u128::from(cell.observed) / u128::from(cell.weights.sum.max(1));
        self.observed = self.observed.saturating_add(u64::try_from(seen).unwrap_or(u64::MAX));
    }

    /// See [`crate::stats::effective`].
    fn design_effect(&self) -> f64 {
        if self.count == 0 { 1.0 } else { (self.squares / self.count as f64).max(1.0) }
    }

    /// As many calls without weights would say as much.
    fn effective(&self) -> f64 {
        self.count as f64 / self.design_effect()
    }

    fn add_all(&mut self, other: &Sum) {
        if other.counts.is_empty() {
            return;
        }
        self.cover(other.low, other.low + other.counts.len() - 1);
        let from = other.low - self.low;
        for (sum, count) in self.counts[from..].iter_mut().zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
        self.count = self.count.saturating_add(other.count);
        self.squares += other.squares;
        self.observed = self.observed.saturating_add(other.observed);
    }

    /// Makes room for the buckets from `first` to `last`.
    fn cover(&mut self, first: usize, last: usize) {
        if self.counts.is_empty() {
            self.low = first;
        }
        if first < self.low {
            self.counts.splice(0..0, std::iter::repeat_n(0, self.low - first));
            self.low = first;
        }
        if last >= self.low + self.counts.len() {
            self.counts.resize(last + 1 - self.low, 0);
        }
    }

    /// Empties it, keeping its room.
    fn clear(&mut self) {
        self.counts.fill(0);
        self.count = 0;
        self.squares = 0.0;
        self.observed = 0;
    }

    /// The bucket of a rank (from 1), clamped to the ranks there are.
    fn bucket_of_rank(&self, rank: f64) -> usize {
        let rank = (rank.ceil().max(1.0) as u64).min(self.count);
        let mut seen = 0_u64;
        let found = self.counts.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= rank
        });
        self.low + found.unwrap_or(0)
    }

    /// The quantile in seconds; the same as [`Sketch::quantile`].
    fn quantile(&self, q: f64) -> f64 {
        seconds(self.bucket_of_rank(q * self.count as f64))
    }

    /// Half the width of the quantile's interval of one standard error: the order statistics at
    /// `n q -+ sqrt(d n q (1 - q))`, d the design effect.
    fn standard_error(&self, q: f64) -> f64 {
        let n = self.count as f64;
        let width = (n * q * (1.0 - q) * self.design_effect()).sqrt();
        (seconds(self.bucket_of_rank(n * q + width)) - seconds(self.bucket_of_rank(n * q - width))) / 2.0
    }

    fn count_above(&self, bucket: usize) -> u64 {
        let from = (bucket + 1).saturating_sub(self.low);
        self.counts.iter().skip(from).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// So many calls as so many of the sum say as much as.
    fn independent(&self, count: u64) -> u64 {
        (count as f64 / self.design_effect()).round() as u64
    }

    /// Independent calls by bucket: an ascending function of the duration, which is all that ranks need.
    fn histogram(&self) -> Vec<(f64, u64)> {
        let (mut seen, mut told) = (0_u64, 0_u64);
        let all = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let independent = all.map(|(at, count)| {
            seen = seen.saturating_add(*count);
            let before = std::mem::replace(&mut told, self.independent(seen));
            ((self.low + at) as f64, told - before)
        });
        independent.filter(|(_, count)| *count > 0).collect()
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
    fn of<'a>(bins: &Bins, cells: impl Iterator<Item = (usize, Cell<'a>)>) -> Self {
        let mut spectra = Self {
            incident: Sum::default(),
            baseline: Sum::default(),
            windows: vec![Sum::default(); bins.baselines.len()],
            places: vec![None; bins.len()],
        };
        let mut current = Sum::default();
        let mut at: Option<usize> = None;
        for (place, cell) in cells {
            if at != Some(place) {
                spectra.close(bins, at, &mut current);
                at = Some(place);
            }
            current.add(&cell);
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
        if sum.effective() >= MIN_CALLS {
            self.places[place] = Some(QUANTILES.map(|(q, _)| sum.quantile(q)));
        }
        sum.clear();
    }

    /// Quantile `which` of those places that have one.
    fn at(&self, places: impl Iterator<Item = usize>, which: usize) -> Vec<f64> {
        places.filter_map(|place| Some(self.places[place]?[which])).collect()
    }
}

/// Compares a distribution of durations, given as (place, sketch) in order of place; the outcome comes with the name of the
/// quantile that shows it. `None` with fewer than 5 calls in a window. Of sampled traffic the quantiles are those of all
/// calls, and what they are held against goes by as many calls as say as much.
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
    cells: impl Iterator<Item = (usize, Cell<'a>)>,
    settings: &Settings,
) -> Option<(Outcome, &'static str)> {
    let spectra = Spectra::of(bins, cells);
    let calls = spectra.incident.effective().min(spectra.baseline.effective());
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
    let mut outcome = shift.outcome(settings, spectra.baseline.observed, spectra.incident.observed, None);
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
    let base_bins = spectra.at(bins.baseline(), which);
    let now_bins = spectra.at(bins.incident.iter().copied(), which);
    let by_window: Vec<f64> =
        spectra.windows.iter().filter(|w| w.effective() >= MIN_CALLS).map(|w| w.quantile(q)).collect();
    let between = spread_of_levels(&by_window, before);
    let error = spectra.baseline.standard_error(q).hypot(spectra.incident.standard_error(q));
    let measured = base_bins.len() >= MIN_BINS;
    let noise = if measured { spread(&base_bins).max(error) } else { error };
    let scale = Scale::floored(noise, before, settings.relative_floor, floor).plus(between);
    let mut p_value = match which {
        0 => mann_whitney_binned(&spectra.incident.histogram(), &spectra.baseline.histogram()).p_value,
        _ => {
            let above = spectra.baseline.bucket_of_rank(q * spectra.baseline.count as f64);
            let (now, base) = (&spectra.incident, &spectra.baseline);
            fisher_two_sided(
                now.independent(now.count_above(above)),
                now.independent(now.count),
                base.independent(base.count_above(above)),
                base.independent(base.count),
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

    fn unsampled(sketch: &Sketch) -> Cell<'_> {
        let count = sketch.count();
        Cell { sketch, weights: Weights { sum: count, squares: count }, observed: count }
    }

    #[test]
    fn a_weighted_sum_says_as_much_as_what_was_seen() {
        let mut seen = Sum::default();
        let mut weighted = Sum::default();
        let values: Vec<u16> = (1..=300_u64).map(|value| Sketch::bucket(value * 1_000_000)).collect();
        let of = |weight| Sketch::from_counts(values.iter().map(|bucket| (*bucket, weight)).collect());
        seen.add(&unsampled(&of(1)));
        let weights = Weights { sum: 300 * 50, squares: 300 * 50 * 50 };
        weighted.add(&Cell { sketch: &of(50), weights, observed: 300 });
        assert_eq!((weighted.count, weighted.observed, weighted.effective()), (15_000, 300, 300.0));
        assert_eq!(weighted.histogram(), seen.histogram());
        for q in [0.5, 0.9] {
            assert_eq!(Some(weighted.quantile(q)), Some(seen.quantile(q)));
            let (one, other) = (weighted.standard_error(q), seen.standard_error(q));
            assert!((one - other).abs() <= 0.05 * other, "{one} {other}");
        }
    }

    #[test]
    fn a_sum_has_the_quantiles_of_the_merged_sketch() {
        let (mut one, mut two) = (Sketch::default(), Sketch::default());
        for value in 0..500_u64 {
            one.add(value * value * 1000);
            two.add(value * 77_777);
        }
        let mut sum = Sum::default();
        sum.add(&unsampled(&one));
        sum.add(&unsampled(&two));
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
        let mut sum = Sum::default();
        let mut values = Sketch::default();
        for value in 1..=1000_u64 {
            values.add(value * 1_000_000);
        }
        sum.add(&unsampled(&values));
        // sqrt(1000 / 4) = 15.8 ranks of 1 ms either way, within the sketch's resolution
        assert!((sum.standard_error(0.5) - 0.0158).abs() < 0.008, "{}", sum.standard_error(0.5));
    }
}
