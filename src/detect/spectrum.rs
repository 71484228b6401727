//! Distributions of durations: did their middle or their upper tenth shift?

use std::ops::Range;

use crate::stats::distribution::student_two_sided;
use crate::stats::effective::Weights;
use crate::stats::mann_whitney::mann_whitney_binned;
use crate::stats::proportion::fisher_two_sided;
use crate::stats::robust::{Location, Scale, median};
use crate::telemetry::sketch::Sketch;

use super::level::spread_of_levels;
use super::windows::Bins;
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

/// Sums of calls by bucket, on an array with a place for each bucket: adding is one step, and only the buckets that have
/// calls are visited again.
#[derive(Clone, Debug, Default)]
struct Buckets {
    counts: Vec<u64>,
    /// A bit for each bucket that has calls, 64 to a word.
    used: Vec<u64>,
    /// The words from the first to the last with a bit.
    words: Range<usize>,
}

impl Buckets {
    fn add(&mut self, counts: &[(u16, u64)]) {
        let (Some(first), Some(last)) = (counts.first(), counts.last()) else { return };
        let (first, last) = (usize::from(first.0) / 64, usize::from(last.0) / 64);
        if last >= self.used.len() {
            self.used.resize(last + 1, 0);
            self.counts.resize((last + 1) * 64, 0);
        }
        self.words = if self.words.is_empty() {
            first..last + 1
        } else {
            self.words.start.min(first)..self.words.end.max(last + 1)
        };
        for &(bucket, count) in counts {
            let at = usize::from(bucket);
            self.counts[at] = self.counts[at].saturating_add(count);
            self.used[at / 64] |= 1 << (at % 64);
        }
    }

    /// Gives the buckets with their calls, ascending, and is empty then.
    fn take(&mut self, mut each: impl FnMut(u16, u64)) {
        for word in std::mem::take(&mut self.words) {
            let mut left = std::mem::take(&mut self.used[word]);
            while left != 0 {
                let at = word * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                // A bucket is a u16, so that this never ends at the limit.
                each(u16::try_from(at).unwrap_or(u16::MAX), std::mem::take(&mut self.counts[at]));
            }
        }
    }
}

/// Calls of one place, or of a window, without their durations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mass {
    count: u64,
    /// Sum of the squares of the weights.
    squares: f64,
    /// How many of the calls were seen.
    observed: u64,
}

impl Mass {
    fn add(&mut self, cell: &Cell<'_>) {
        let added = cell.sketch.counts().iter().fold(0_u64, |sum, count| sum.saturating_add(count.1));
        self.count = self.count.saturating_add(added);
        // Not every call of a row has a gap: its share of what the row says of all.
        self.squares += cell.weights.design_effect() * added as f64;
        let seen = if added == cell.weights.sum && added > 0 {
            cell.observed
        } else {
            let seen = u128::from(added) * u128::from(cell.observed) / u128::from(cell.weights.sum.max(1));
            u64::try_from(seen).unwrap_or(u64::MAX)
        };
        self.observed = self.observed.saturating_add(seen);
    }

    fn join(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.squares += other.squares;
        self.observed = self.observed.saturating_add(other.observed);
    }

    /// See [`crate::stats::effective`].
    fn design_effect(&self) -> f64 {
        if self.count == 0 { 1.0 } else { (self.squares / self.count as f64).max(1.0) }
    }

    /// As many calls without weights would say as much.
    fn effective(&self) -> f64 {
        self.count as f64 / self.design_effect()
    }

    /// So many calls as so many of these say as much as.
    fn independent(&self, count: u64) -> u64 {
        (count as f64 / self.design_effect()).round() as u64
    }

    /// The quantile's rank among the calls.
    fn rank(&self, rank: f64) -> u64 {
        (rank.ceil().max(1.0) as u64).min(self.count)
    }
}

/// The durations of the calls of a window.
struct Durations {
    mass: Mass,
    /// Buckets with the number of calls up to their end, ascending.
    up_to: Vec<(u16, u64)>,
}

impl Durations {
    /// The bucket of a rank (from 1), clamped to the ranks there are.
    fn bucket_of_rank(&self, rank: f64) -> u16 {
        let rank = self.mass.rank(rank);
        let at = self.up_to.partition_point(|(_, seen)| *seen < rank);
        self.up_to.get(at).map_or(0, |(bucket, _)| *bucket)
    }

    /// The quantile in seconds; the same as [`Sketch::quantile`].
    fn quantile(&self, q: f64) -> f64 {
        seconds(self.bucket_of_rank(q * self.mass.count as f64))
    }

    /// Half the width of the quantile's interval of one standard error: the order statistics at
    /// `n q -+ sqrt(d n q (1 - q))`, d the design effect.
    fn standard_error(&self, q: f64) -> f64 {
        let n = self.mass.count as f64;
        let width = (n * q * (1.0 - q) * self.mass.design_effect()).sqrt();
        (seconds(self.bucket_of_rank(n * q + width)) - seconds(self.bucket_of_rank(n * q - width))) / 2.0
    }

    fn count_above(&self, bucket: u16) -> u64 {
        let below = self.up_to.partition_point(|(at, _)| *at <= bucket).checked_sub(1);
        self.mass.count - below.map_or(0, |at| self.up_to[at].1)
    }

    /// Independent calls by bucket: an ascending function of the duration, which is all that ranks need.
    fn histogram(&self) -> Vec<(f64, u64)> {
        let mut told = 0_u64;
        let independent = self.up_to.iter().map(|(bucket, seen)| {
            let before = std::mem::replace(&mut told, self.mass.independent(*seen));
            (f64::from(*bucket), told - before)
        });
        let mut histogram = Vec::with_capacity(self.up_to.len());
        histogram.extend(independent.filter(|(_, count)| *count > 0));
        histogram
    }
}

/// Middle of a bucket of nanoseconds, in seconds.
fn seconds(bucket: u16) -> f64 {
    Sketch::bucket_value(bucket) / 1e9
}

/// Room that is used again for one subject after the other.
#[derive(Default)]
pub(super) struct Room {
    place: Buckets,
    /// Calls of each part of the time (see [`Bins`]).
    parts: Vec<Buckets>,
    /// The same as lists, once all rows were added.
    lists: Vec<Vec<(u16, u64)>>,
    entries: Vec<(u16, u64)>,
}

/// The distributions of one subject, as all comparisons need them.
pub(super) struct Spectra<'r> {
    room: &'r mut Room,
    masses: Vec<Mass>,
    /// Median and 90th percentile of each place with enough calls.
    places: Vec<Option<[f64; 2]>>,
}

impl<'r> Spectra<'r> {
    /// From cells with their places, in order of place.
    pub(super) fn of<'a>(bins: &Bins, room: &'r mut Room, cells: impl Iterator<Item = (usize, Cell<'a>)>) -> Self {
        room.parts.resize_with(bins.parts(), Buckets::default);
        room.lists.resize_with(bins.parts(), Vec::new);
        let (masses, places) = (vec![Mass::default(); bins.len()], vec![None; bins.len()]);
        let mut spectra = Self { room, masses, places };
        let mut at: Option<usize> = None;
        for (place, cell) in cells {
            if at != Some(place) {
                spectra.close(bins, at);
                at = Some(place);
            }
            spectra.room.place.add(cell.sketch.counts());
            spectra.masses[place].add(&cell);
        }
        spectra.close(bins, at);
        let Room { parts, lists, .. } = &mut *spectra.room;
        for (part, list) in parts.iter_mut().zip(lists) {
            list.clear();
            part.take(|bucket, count| list.push((bucket, count)));
        }
        spectra
    }

    /// Books the calls of one place.
    fn close(&mut self, bins: &Bins, place: Option<usize>) {
        let Some(place) = place else { return };
        let Room { place: buckets, parts, entries, .. } = &mut *self.room;
        entries.clear();
        buckets.take(|bucket, count| entries.push((bucket, count)));
        let mass = self.masses[place];
        if mass.effective() >= MIN_CALLS {
            let ranks = QUANTILES.map(|(q, _)| mass.rank(q * mass.count as f64));
            self.places[place] = Some(ranks.map(|rank| {
                let mut seen = 0_u64;
                let found = entries.iter().find(|(_, count)| {
                    seen = seen.saturating_add(*count);
                    seen >= rank
                });
                found.map_or(0.0, |(bucket, _)| seconds(*bucket))
            }));
        }
        if let Some(part) = bins.part(place) {
            parts[part].add(entries);
        }
    }

    /// The durations of some places, which are these parts of the time.
    fn over(&mut self, places: impl Iterator<Item = usize>, parts: &[usize]) -> Durations {
        let mut mass = Mass::default();
        places.for_each(|place| mass.join(&self.masses[place]));
        let mut up_to = Vec::with_capacity(parts.iter().map(|part| self.room.lists[*part].len()).sum());
        let mut seen = 0_u64;
        let mut push = |bucket: u16, count: u64| {
            seen = seen.saturating_add(count);
            up_to.push((bucket, seen));
        };
        let Room { place: buckets, lists, .. } = &mut *self.room;
        if let [part] = parts {
            lists[*part].iter().for_each(|(bucket, count)| push(*bucket, *count));
        } else {
            parts.iter().for_each(|part| buckets.add(&lists[*part]));
            buckets.take(push);
        }
        Durations { mass, up_to }
    }

    /// Quantile `which` of those places that have one.
    fn at(&self, places: impl Iterator<Item = usize>, which: usize) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.places.len());
        values.extend(places.filter_map(|place| Some(self.places[place]?[which])));
        values
    }
}

/// The windows of one comparison.
struct Sides {
    incident: Durations,
    baseline: Durations,
    /// Each baseline window, where there are several.
    windows: Vec<Durations>,
}

impl Sides {
    fn of(bins: &Bins, spectra: &mut Spectra<'_>) -> Self {
        let incident = spectra.over(bins.incident.iter().copied(), &bins.incident_parts);
        let baseline = spectra.over(bins.baseline_by_time(), &bins.baseline_parts.concat());
        let several = if bins.baselines.len() > 1 { bins.baselines.as_slice() } else { &[] };
        let windows = several
            .iter()
            .zip(&bins.baseline_parts)
            .map(|(places, parts)| spectra.over(places.iter().copied(), parts))
            .collect();
        Self { incident, baseline, windows }
    }
}

/// Compares a distribution of durations; the outcome comes with the name of the quantile that shows it. `None` with fewer than 5 calls in a window. Of sampled traffic the quantiles are those of all
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
pub(super) fn compare(bins: &Bins, spectra: &mut Spectra<'_>, settings: &Settings) -> Option<(Outcome, &'static str)> {
    let sides = Sides::of(bins, spectra);
    let calls = sides.incident.mass.effective().min(sides.baseline.mass.effective());
    if calls < MIN_CALLS {
        return None;
    }
    let (mut which, mut best) = (0, quantile_shift(bins, spectra, &sides, 0, settings));
    let mut tests = 1.0;
    if calls >= MIN_CALLS_P90 {
        let high = quantile_shift(bins, spectra, &sides, 1, settings);
        tests = 2.0;
        if high.0.z > 2.0 * best.0.z {
            (which, best) = (1, high);
        }
    }
    let (mut shift, noise) = best;
    shift.p_value = (shift.p_value * tests).min(1.0);
    let mut outcome = shift.outcome(settings, sides.baseline.mass.observed, sides.incident.mass.observed, None);
    if may_be_significant(&outcome, settings) {
        outcome.onset = bins.onset(shift.baseline, shift.incident, noise, |place| Some(spectra.places[place]?[which]));
    }
    Some((outcome, QUANTILES[which].1))
}

/// The shift of one quantile, and its noise from bin to bin.
fn quantile_shift(
    bins: &Bins,
    spectra: &Spectra<'_>,
    Sides { incident, baseline, windows }: &Sides,
    which: usize,
    settings: &Settings,
) -> (Shift, f64) {
    let q = QUANTILES[which].0;
    let (before, now) = (baseline.quantile(q), incident.quantile(q));
    let floor = settings.floors.seconds;
    let steady = before * RESOLUTION;
    let base_bins = Location::of(spectra.at(bins.baseline(), which));
    let now_bins = spectra.at(bins.incident.iter().copied(), which);
    let by_window: Vec<f64> =
        windows.iter().filter(|w| w.mass.effective() >= MIN_CALLS).map(|w| w.quantile(q)).collect();
    let between = spread_of_levels(&by_window, before);
    let error = baseline.standard_error(q).hypot(incident.standard_error(q));
    let measured = base_bins.values >= MIN_BINS;
    let noise = if measured { base_bins.spread.max(error) } else { error };
    let scale = Scale::floored(noise, before, settings.relative_floor, floor).plus(between);
    let mut p_value = match which {
        0 => mann_whitney_binned(&incident.histogram(), &baseline.histogram()).p_value,
        _ => {
            let above = baseline.bucket_of_rank(q * baseline.mass.count as f64);
            fisher_two_sided(
                incident.mass.independent(incident.count_above(above)),
                incident.mass.independent(incident.mass.count),
                baseline.mass.independent(baseline.count_above(above)),
                baseline.mass.independent(baseline.mass.count),
            )
        }
    };
    if measured && now_bins.len() >= 2 {
        let (k, m) = (base_bins.values as f64, now_bins.len() as f64);
        let level = base_bins.median.unwrap_or(before);
        let shift = median(&now_bins).unwrap_or(now) - level;
        let error = (base_bins.spread.max(steady) * (1.0 / k + 1.0 / m).sqrt()).hypot(between);
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

    fn durations(cells: &[Cell<'_>]) -> Durations {
        let (mut buckets, mut mass) = (Buckets::default(), Mass::default());
        for cell in cells {
            buckets.add(cell.sketch.counts());
            mass.add(cell);
        }
        let (mut up_to, mut seen) = (Vec::new(), 0);
        buckets.take(|bucket, count| {
            seen += count;
            up_to.push((bucket, seen));
        });
        let mut left = 0;
        buckets.take(|_, _| left += 1);
        assert_eq!(left, 0, "what was taken is gone");
        Durations { mass, up_to }
    }

    #[test]
    fn a_weighted_sum_says_as_much_as_what_was_seen() {
        let values: Vec<u16> = (1..=300_u64).map(|value| Sketch::bucket(value * 1_000_000)).collect();
        let of = |weight| Sketch::from_counts(values.iter().map(|bucket| (*bucket, weight)).collect());
        let seen = durations(&[unsampled(&of(1))]);
        let weights = Weights { sum: 300 * 50, squares: 300 * 50 * 50 };
        let weighted = durations(&[Cell { sketch: &of(50), weights, observed: 300 }]);
        let mass = weighted.mass;
        assert_eq!((mass.count, mass.observed, mass.effective()), (15_000, 300, 300.0));
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
        let sum = durations(&[unsampled(&one), unsampled(&two)]);
        one.merge(&two);
        for q in [0.0, 0.1, 0.5, 0.9, 1.0] {
            assert_eq!(Some(sum.quantile(q) * 1e9), one.quantile(q).map(|v| v / 1e9 * 1e9));
        }
        assert_eq!(sum.mass.count, 1000);
        let middle = sum.bucket_of_rank(500.0);
        let above = one.counts().iter().filter(|c| c.0 > middle).map(|c| c.1).sum::<u64>();
        assert_eq!(sum.count_above(middle), above);
        assert_eq!(sum.count_above(u16::MAX), 0);
    }

    #[test]
    fn the_standard_error_is_that_of_the_order_statistics() {
        let mut values = Sketch::default();
        for value in 1..=1000_u64 {
            values.add(value * 1_000_000);
        }
        let sum = durations(&[unsampled(&values)]);
        // sqrt(1000 / 4) = 15.8 ranks of 1 ms either way, within the sketch's resolution
        assert!((sum.standard_error(0.5) - 0.0158).abs() < 0.008, "{}", sum.standard_error(0.5));
    }
}
