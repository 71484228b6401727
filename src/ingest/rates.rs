//! Arithmetic on raw samples: counters to rates, sums over members, quantiles of classic histograms.
//!
//! A rate belongs to the interval between two samples and is stamped with its end, as PromQL's `rate` is.

/// A value that holds over `start_ns < t <= end_ns`, Unix nanoseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Interval {
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) value: f64,
}

/// How many typical steps may lie between two samples that make one interval. Prometheus looks back five minutes by
/// default, which is five samples of the usual minute; beyond that the interval is a gap, so that two stretches of one
/// series, hours apart, do not make a rate of the time between them.
const LONGEST_INTERVAL_STEPS: i64 = 5;

/// Median distance of neighbouring samples, nanoseconds; `None` below two samples.
pub(crate) fn typical_step_ns(samples: &[(i64, f64)]) -> Option<i64> {
    let mut steps: Vec<i64> = samples.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
    if steps.is_empty() {
        return None;
    }
    let middle = (steps.len() - 1) / 2;
    Some(*steps.select_nth_unstable(middle).1)
}

/// Per-second rates of a counter's increase, one for each pair of neighbouring samples (ascending by time, finite).
///
/// A fall is a reset: the counter began again at zero, so the increase is the new value (Prometheus, `rate`).
/// An interval longer than five typical steps is a gap and gives no rate.
pub(crate) fn counter_rates(samples: &[(i64, f64)]) -> Vec<Interval> {
    let longest = typical_step_ns(samples).unwrap_or(0).saturating_mul(LONGEST_INTERVAL_STEPS);
    let mut rates = Vec::with_capacity(samples.len().saturating_sub(1));
    for pair in samples.windows(2) {
        let (start_ns, before) = pair[0];
        let (end_ns, after) = pair[1];
        let elapsed_ns = end_ns.saturating_sub(start_ns);
        if elapsed_ns <= 0 || elapsed_ns > longest {
            continue;
        }
        let increase = if after < before { after } else { after - before };
        rates.push(Interval { start_ns, end_ns, value: increase / (elapsed_ns as f64 / 1e9) });
    }
    rates
}

/// A gauge's samples as intervals: each value holds since the sample before, the first one for a typical step.
pub(crate) fn gauge_intervals(samples: &[(i64, f64)]) -> Vec<Interval> {
    let step = typical_step_ns(samples).unwrap_or(1);
    let longest = step.saturating_mul(LONGEST_INTERVAL_STEPS);
    let mut previous = None;
    let mut intervals = Vec::with_capacity(samples.len());
    for &(end_ns, value) in samples {
        let start_ns = match previous {
            Some(at) if end_ns.saturating_sub(at) <= longest => at,
            _ => end_ns.saturating_sub(step),
        };
        intervals.push(Interval { start_ns, end_ns, value });
        previous = Some(end_ns);
    }
    intervals
}

/// Whether the samples can be a counter's: falls are resets, and a process does not restart at every fourth sample.
pub(crate) fn looks_like_counter(samples: &[(i64, f64)]) -> bool {
    let falls = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
    samples.iter().all(|s| s.1 >= 0.0) && falls * 4 <= samples.len().saturating_sub(1)
}

/// Whether the samples of a column that is called a counter are one, and not the rate of one: a counter rises, and a rate
/// falls about as often as it rises.
pub(crate) fn grows(samples: &[(i64, f64)]) -> bool {
    let moves = |is: fn(f64, f64) -> bool| samples.windows(2).filter(|pair| is(pair[0].1, pair[1].1)).count();
    let (rises, falls) = (moves(|before, after| after > before), moves(|before, after| after < before));
    samples.iter().all(|s| s.1 >= 0.0) && falls * 4 < rises && rises >= LEAST_RISES
}

/// A rate that fell to a new level and rose to another has that many; a counter of anything that happens has more.
const LEAST_RISES: usize = 3;

/// The times at which sums over `members` are taken: all interval ends, thinned to at least half a typical interval,
/// because members that are scraped at different moments must not multiply the samples.
pub(crate) fn common_times(members: &[Vec<Interval>]) -> Vec<i64> {
    let mut ends: Vec<i64> = members.iter().flatten().map(|i| i.end_ns).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut lengths: Vec<i64> = members.iter().flatten().map(|i| i.end_ns.saturating_sub(i.start_ns)).collect();
    if lengths.is_empty() {
        return ends;
    }
    let middle = (lengths.len() - 1) / 2;
    let half_step = *lengths.select_nth_unstable(middle).1 / 2;
    let mut kept: Vec<i64> = Vec::with_capacity(ends.len());
    for end in ends {
        if kept.last().is_none_or(|&last| end.saturating_sub(last) > half_step) {
            kept.push(end);
        }
    }
    kept
}

/// The sum over `members` at each of `times` (ascending); `None` where no member has a value.
pub(crate) fn sum_at(times: &[i64], members: &[Vec<Interval>]) -> Vec<Option<f64>> {
    let mut sums = vec![None; times.len()];
    for member in members {
        let mut next = 0;
        for (sum, &at) in sums.iter_mut().zip(times) {
            while member.get(next).is_some_and(|i| i.end_ns < at) {
                next += 1;
            }
            match member.get(next) {
                Some(interval) if interval.start_ns < at => *sum = Some(sum.unwrap_or(0.0) + interval.value),
                Some(_) => {}
                None => break,
            }
        }
    }
    sums
}

/// How values are thought to lie within a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scale {
    /// Evenly: classic histograms.
    Linear,
    /// Evenly on the logarithm, where the bucket's bounds are of one sign: native histograms since Prometheus 3.0.
    Exponential,
}

/// The `q`-quantile (0 to 1) of a histogram: `(upper bound, cumulative count)` ascending by bound.
///
/// Interpolation within the bucket that holds the rank `q * total`; the lowest bucket starts at 0 when its bound
/// is positive; a rank in the last bucket, which is open, gives the bound of the one before. Counts that fall are
/// raised to the one before (rates of buckets scraped apart). As `bucketQuantile` in Prometheus' `promql/quantile.go`.
/// `None` without a bucket of bound +Inf, with fewer than two buckets, or without observations.
pub(crate) fn histogram_quantile(q: f64, buckets: &[(f64, f64)], scale: Scale) -> Option<f64> {
    let last = buckets.len().checked_sub(1).filter(|&last| last >= 1)?;
    if buckets[last].0 != f64::INFINITY {
        return None;
    }
    let mut cumulative = Vec::with_capacity(buckets.len());
    let mut highest = 0.0_f64;
    for &(_, count) in buckets {
        highest = highest.max(count);
        cumulative.push(highest);
    }
    if highest <= 0.0 {
        return None;
    }
    let rank = q * highest;
    let found = cumulative.iter().position(|&count| count >= rank).unwrap_or(last);
    let upper = buckets[found].0;
    if found == last {
        return Some(buckets[last - 1].0);
    }
    if found == 0 {
        if upper <= 0.0 {
            return Some(upper);
        }
        return Some(upper * (rank / cumulative[0]));
    }
    let lower = buckets[found - 1].0;
    let below = cumulative[found - 1];
    let share = (rank - below) / (cumulative[found] - below);
    Some(match scale {
        Scale::Exponential if lower > 0.0 || upper < 0.0 => lower * (upper / lower).powf(share),
        Scale::Exponential | Scale::Linear => lower + (upper - lower) * share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-12 * right.abs().max(1.0)
    }

    #[test]
    fn rates_survive_a_reset_and_leave_gaps_out() {
        // 15 s apart: +30, reset to 6 (so +6), then a hole of 100 steps, then +15.
        let samples = [(0, 100.0), (15 * S, 130.0), (30 * S, 6.0), (1530 * S, 1000.0), (1545 * S, 1015.0)];
        let rates = counter_rates(&samples);
        let values: Vec<(i64, f64)> = rates.iter().map(|r| (r.end_ns / S, r.value)).collect();
        assert_eq!(values, [(15, 2.0), (30, 0.4), (1545, 1.0)]);
        assert!(counter_rates(&samples[..1]).is_empty());
        assert!(counter_rates(&[(5, 1.0), (5, 2.0)]).is_empty());
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        // ClickHouse documents `quantilePrometheusHistogram`, its reimplementation of the PromQL function, with
        // (0, 6), (0.5, 11), (1, 14), (inf, 19) and the result 0.35 for the median.
        let histogram_quantile = |q, buckets: &[(f64, f64)]| histogram_quantile(q, buckets, Scale::Linear);
        let documented = [(0.0, 6.0), (0.5, 11.0), (1.0, 14.0), (f64::INFINITY, 19.0)];
        assert!(close(histogram_quantile(0.5, &documented).unwrap(), 0.35));
        // A rank in the open bucket gives the highest finite bound; a rank in a lowest bucket of bound <= 0, its bound.
        assert!(close(histogram_quantile(0.99, &documented).unwrap(), 1.0));
        assert!(close(histogram_quantile(0.1, &documented).unwrap(), 0.0));
        // Prometheus' promqltest/testdata/histograms.test: testhistogram_bucket{start="positive"} grows by 5, 7, 11, 12
        // at the bounds 0.1, 0.2, 1, +Inf; its quantiles are given there.
        let positive = [(0.1, 5.0), (0.2, 7.0), (1.0, 11.0), (f64::INFINITY, 12.0)];
        assert!(close(histogram_quantile(0.2, &positive).unwrap(), 0.048));
        assert!(close(histogram_quantile(0.5, &positive).unwrap(), 0.15));
        assert!(close(histogram_quantile(0.8, &positive).unwrap(), 0.72));
        assert_eq!(histogram_quantile(0.5, &positive[..3]), None);
        assert_eq!(histogram_quantile(0.5, &[(1.0, 0.0), (f64::INFINITY, 0.0)]), None);
        // A count that falls counts as the one before.
        let broken = [(1.0, 10.0), (2.0, 9.0), (f64::INFINITY, 10.0)];
        assert!(close(histogram_quantile(0.5, &broken).unwrap(), 0.5));
    }

    #[test]
    fn sums_do_not_dip_where_members_are_scraped_at_different_moments() {
        let first = counter_rates(&[(0, 0.0), (10 * S, 10.0), (20 * S, 20.0), (30 * S, 30.0)]);
        let second = counter_rates(&[(3 * S, 0.0), (13 * S, 20.0), (23 * S, 40.0), (33 * S, 60.0)]);
        let members = [first, second];
        let times = common_times(&members);
        assert_eq!(times, [10 * S, 20 * S, 30 * S]);
        assert_eq!(sum_at(&times, &members), [Some(3.0), Some(3.0), Some(3.0)]);
        assert_eq!(sum_at(&[99 * S], &members), [None]);
    }

    #[test]
    fn a_gauge_holds_since_the_sample_before() {
        let intervals = gauge_intervals(&[(10 * S, 1.0), (20 * S, 2.0), (900 * S, 3.0)]);
        assert_eq!(intervals[0].start_ns, 0);
        assert_eq!(intervals[1].start_ns, 10 * S);
        // Steps of 10 s and 880 s: the lower median is typical, so the third value holds only for 10 s.
        assert_eq!(intervals[2].start_ns, 890 * S);
    }

    #[test]
    fn a_falling_series_is_no_counter() {
        assert!(looks_like_counter(&[(0, 1.0), (1, 2.0), (2, 3.0), (3, 0.0), (4, 1.0)]));
        assert!(!looks_like_counter(&[(0, 1.0), (1, 0.5), (2, 3.0), (3, 0.0)]));
        assert!(!looks_like_counter(&[(0, -1.0)]));
    }
}
