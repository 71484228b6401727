//! Counts of log records over the windows that are compared, and how much they vary from bin to bin.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::incident::Incident;
use crate::telemetry::id::TraceId;
use crate::telemetry::time::Window;

/// Bins, or blocks of bins, from which a dispersion can be told (as in detection).
const MIN_CELLS: i64 = 4;

/// The bins of either side of the comparison, as half-open ranges: a window may have millions.
pub(crate) struct Windows {
    pub(crate) incident: Range<i64>,
    /// Sorted, none overlapping another.
    baselines: Vec<Range<i64>>,
}

impl Windows {
    /// Of the logs' grid.
    pub(crate) fn of(incident: &Incident) -> Self {
        let grid = incident.logs.grid;
        let first_from = |at_ns: i64| {
            let bin = grid.bin(at_ns);
            if grid.bin_start_ns(bin) < at_ns { bin.saturating_add(1) } else { bin }
        };
        let bins = |window: &Window| first_from(window.start_ns())..first_from(window.end_ns());
        let mut baselines: Vec<Range<i64>> = Vec::new();
        // Sorted by their beginnings already.
        for range in incident.baselines.iter().map(bins) {
            match baselines.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => baselines.push(range),
            }
        }
        Self { incident: bins(&incident.window), baselines }
    }

    /// Whether the whole bin lies in the incident.
    pub(crate) fn in_incident(&self, bin: i64) -> bool {
        self.incident.contains(&bin)
    }

    /// Whether the whole bin lies in a baseline.
    pub(crate) fn in_baseline(&self, bin: i64) -> bool {
        self.baselines.iter().any(|bins| bins.contains(&bin))
    }

    /// Bins of the incident.
    pub(crate) fn incident_bins(&self) -> i64 {
        length(&self.incident)
    }

    /// Bins of all baselines.
    pub(crate) fn baseline_bins(&self) -> i64 {
        self.baselines.iter().map(length).sum()
    }
}

fn length(bins: &Range<i64>) -> i64 {
    bins.end.saturating_sub(bins.start).max(0)
}

/// Records of one template and severity.
#[derive(Default)]
pub(crate) struct Counts {
    /// By bin, of either side.
    pub(crate) by_bin: BTreeMap<i64, u64>,
    /// In the incident.
    pub(crate) incident: u64,
    /// In the baselines.
    pub(crate) baseline: u64,
    /// A trace of the incident.
    pub(crate) trace: Option<TraceId>,
}

/// Variance of the counts over their mean, at least 1: logs come in bursts, and a burst says as much as one record.
///
/// Pearson's chi-squared over its degrees of freedom, as for calls in detection: by bins of the baseline, by blocks of it
/// as long as the incident, and by bins of the incident (a message that is new has no baseline); the largest counts.
pub(crate) fn dispersion(counts: &Counts, windows: &Windows) -> f64 {
    let block = length(&windows.incident).max(1);
    let during = Cells::of(counts, std::slice::from_ref(&windows.incident), 1);
    let by_bin = Cells::of(counts, &windows.baselines, 1);
    let by_block = Cells::of(counts, &windows.baselines, block);
    [during, by_bin, by_block].iter().map(Cells::variance_over_mean).fold(1.0, f64::max)
}

/// Variance of the counts beyond what `requests` by bin let expect, over their mean, at least 1: Pearson's chi-squared of
/// counts in proportion to requests, over its degrees of freedom. Bins without requests tell nothing.
pub(crate) fn dispersion_beside(counts: &Counts, requests: &BTreeMap<i64, f64>) -> f64 {
    let records = |bin: &i64| counts.by_bin.get(bin).copied().unwrap_or(0) as f64;
    let busy: Vec<(f64, f64)> =
        requests.iter().filter(|(_, requests)| **requests > 0.0).map(|(bin, asked)| (records(bin), *asked)).collect();
    let (seen, asked) = busy.iter().fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    if (busy.len() as i64) < MIN_CELLS || seen <= 0.0 {
        return 1.0;
    }
    let chi_squared: f64 = busy.iter().map(|of| (of.0 - of.1 * seen / asked).powi(2) / (of.1 * seen / asked)).sum();
    (chi_squared / (busy.len() - 1) as f64).max(1.0)
}

/// Counts in cells of some bins each; empty cells are counted, not kept.
struct Cells {
    filled: Vec<f64>,
    cells: i64,
}

impl Cells {
    /// Whole cells of `width` bins of the ranges.
    fn of(counts: &Counts, ranges: &[Range<i64>], width: i64) -> Self {
        let mut filled: Vec<f64> = Vec::new();
        for range in ranges {
            let end = range.start + length(range) / width * width;
            let mut cell = None;
            for (bin, records) in counts.by_bin.range(range.start..end.max(range.start)) {
                let place = (bin - range.start) / width;
                match filled.last_mut() {
                    Some(last) if cell == Some(place) => *last += *records as f64,
                    _ => filled.push(*records as f64),
                }
                cell = Some(place);
            }
        }
        Self { filled, cells: ranges.iter().map(|range| length(range) / width).sum() }
    }

    fn variance_over_mean(&self) -> f64 {
        let mean = self.filled.iter().sum::<f64>() / self.cells.max(1) as f64;
        if self.cells < MIN_CELLS || mean <= 0.0 {
            return 1.0;
        }
        let empty = (self.cells as f64 - self.filled.len() as f64) * mean.powi(2);
        let filled: f64 = self.filled.iter().map(|cell| (cell - mean).powi(2)).sum();
        (filled + empty) / mean / (self.cells - 1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_of_requests_are_not_the_messages_own() {
        let counts = Counts { by_bin: BTreeMap::from([(0, 4), (1, 18), (2, 1), (3, 7)]), ..Counts::default() };
        let asked = |asked: [f64; 4]| BTreeMap::from_iter((0..).zip(asked));
        assert!((dispersion_beside(&counts, &asked([8.0, 36.0, 2.0, 14.0])) - 1.0).abs() < 1e-9);
        // scipy.stats.chisquare([4, 18, 1, 7]).statistic / 3
        assert!((dispersion_beside(&counts, &asked([1.0; 4])) - 7.333_333_333_333_333).abs() < 1e-9);
    }

    #[test]
    fn dispersion_is_the_variance_over_the_mean_of_all_cells() {
        let by_bin = BTreeMap::from([(0, 4), (3, 2), (5, 6), (9, 100)]);
        let counts = Counts { by_bin, ..Counts::default() };
        let dispersion = |ranges: &[Range<i64>], width| Cells::of(&counts, ranges, width).variance_over_mean();
        let close = |actual: f64, expected: f64| assert!((actual - expected).abs() < 1e-9, "{actual}");
        // numpy.var([4, 0, 0, 2, 0, 6, 0, 0], ddof=1) / 1.5
        close(dispersion(std::slice::from_ref(&(0..8)), 1), 3.619_047_619_047_619);
        // numpy.var([4, 2, 6, 0], ddof=1) / 3
        close(dispersion(std::slice::from_ref(&(0..8)), 2), 2.222_222_222_222_222_3);
        // The ninth bin makes no whole cell, and three cells are too few.
        close(dispersion(std::slice::from_ref(&(0..9)), 2), 2.222_222_222_222_222_3);
        close(dispersion(std::slice::from_ref(&(0..9)), 3), 1.0);
        close(dispersion(&[0..4, 4..8], 2), 2.222_222_222_222_222_3);
    }
}
