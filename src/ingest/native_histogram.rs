//! Native (exponential) histograms of Prometheus, rewritten as the parts of a classic one, which [`super::condense`]
//! knows how to sum over instances and over time.
//!
//! A sample lists the buckets that hold something, each with its bounds and its own count. Every bound that no bucket of
//! any sample spans becomes a cumulative `_bucket` series, so that a histogram which became coarser on the way is read
//! at its coarsest, as PromQL does. These series carry [`MARK`], which says whether the quantile inside such a bucket is
//! interpolated along the exponential scale, as Prometheus does since 3.0 (`promql/quantile.go`, `HistogramQuantile`),
//! or linearly, as it does where a native histogram has buckets of its own choice.

use std::sync::Arc;

use super::rates::{self, Scale};
use super::signals::{RawKind, RawSeries};

/// Label of bucket series that were made here; its value is [`EXPONENTIAL`] or [`CUSTOM`].
pub(crate) const MARK: &str = "__native_histogram__";
pub(crate) const EXPONENTIAL: &str = "exponential";
const CUSTOM: &str = "custom";

/// One sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NativeHistogram {
    /// Observations.
    pub(crate) count: f64,
    /// Sum of observations.
    pub(crate) sum: f64,
    /// Lower bound, upper bound and own count of each bucket, ascending.
    pub(crate) buckets: Vec<(f64, f64, f64)>,
}

/// A native histogram has up to 160 buckets by default; with many times more bounds over its samples it is no histogram
/// but an attempt to fill the memory.
const MOST_BOUNDS: usize = 4096;

pub(crate) const TOO_MANY_BOUNDS: &str = "a native histogram with thousands of different bucket bounds is not read";

/// Quantiles that are taken where a histogram cannot be summed any more.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99")];

/// A name and its labels, and where they were read.
pub(crate) struct Described<'d> {
    pub(crate) source: &'d Arc<str>,
    pub(crate) name: &'d str,
    pub(crate) labels: &'d [(String, String)],
}

impl Described<'_> {
    fn series(&self, name: String, samples: Vec<(i64, f64)>, kind: RawKind) -> RawSeries {
        RawSeries { source: self.source.clone(), name, labels: self.labels.to_vec(), kind, samples }
    }

    fn bucket(&self, bound: String, scale: Scale, samples: Vec<(i64, f64)>) -> RawSeries {
        let mut labels = self.labels.to_vec();
        labels.push(("le".to_owned(), bound));
        labels.push((MARK.to_owned(), if scale == Scale::Exponential { EXPONENTIAL } else { CUSTOM }.to_owned()));
        labels.sort();
        let (name, kind) = (format!("{}_bucket", self.name), RawKind::Counter);
        RawSeries { source: self.source.clone(), name, labels, kind, samples }
    }
}

/// The parts of a classic histogram that grows as this one does: `_count`, `_sum` and `_bucket` by `le`.
pub(crate) fn as_counters(
    described: &Described<'_>,
    samples: &[(i64, NativeHistogram)],
) -> Result<Vec<RawSeries>, &'static str> {
    let name = described.name;
    let bounds = common_bounds(samples)?;
    let scale = scale_of(samples);
    let kind = RawKind::Counter;
    let part = |value: fn(&NativeHistogram) -> f64| samples.iter().map(|(at, h)| (*at, value(h))).collect();
    let mut series = vec![
        described.series(format!("{name}_count"), part(|h| h.count), kind),
        described.series(format!("{name}_sum"), part(|h| h.sum), kind),
        described.bucket("+Inf".to_owned(), scale, part(|h| h.count)),
    ];
    let mut at_bound: Vec<Vec<(i64, f64)>> = vec![Vec::with_capacity(samples.len()); bounds.len()];
    for (at, histogram) in samples {
        for ((_, cumulative), values) in cumulated(histogram, &bounds).into_iter().zip(&mut at_bound) {
            values.push((*at, cumulative));
        }
    }
    for (bound, samples) in bounds.iter().zip(at_bound) {
        series.push(described.bucket(bound.to_string(), scale, samples));
    }
    Ok(series)
}

/// Quantiles and mean of histograms that are no counters: the result of an expression such as `rate(x[5m])`.
pub(crate) fn as_values(described: &Described<'_>, samples: &[(i64, NativeHistogram)]) -> Vec<RawSeries> {
    let kind = RawKind::Words;
    let mean = |h: &NativeHistogram| Some(h.sum / h.count).filter(|mean| mean.is_finite());
    let means = samples.iter().filter_map(|(at, h)| Some((*at, mean(h)?))).collect();
    let mut series = vec![described.series(described.name.to_owned(), means, kind)];
    let scale = scale_of(samples);
    for (q, suffix) in QUANTILES {
        let quantile = |sample: &(i64, NativeHistogram)| {
            let (at, h) = sample;
            let bounds = common_bounds(std::slice::from_ref(sample)).ok()?;
            let mut cumulative = cumulated(h, &bounds);
            cumulative.push((f64::INFINITY, h.count));
            Some((*at, rates::histogram_quantile(q, &cumulative, scale)?))
        };
        let values = samples.iter().filter_map(quantile).collect();
        series.push(described.series(format!("{}_{suffix}", described.name), values, kind));
    }
    series.retain(|series| !series.samples.is_empty());
    series
}

/// Bounds of all buckets that no bucket of any sample has inside.
fn common_bounds(samples: &[(i64, NativeHistogram)]) -> Result<Vec<f64>, &'static str> {
    let mut bounds: Vec<f64> = Vec::new();
    for (_, histogram) in samples {
        bounds.extend(
            histogram.buckets.iter().flat_map(|b| <[f64; 2]>::from(reach(histogram, b))).filter(|b| b.is_finite()),
        );
        if bounds.len() > 2 * MOST_BOUNDS {
            bounds.sort_by(f64::total_cmp);
            bounds.dedup_by(|a, b| a.total_cmp(b).is_eq());
            if bounds.len() > MOST_BOUNDS {
                return Err(TOO_MANY_BOUNDS);
            }
        }
    }
    bounds.sort_by(f64::total_cmp);
    bounds.dedup_by(|a, b| a.total_cmp(b).is_eq());
    let mut spanned = vec![false; bounds.len()];
    for (_, histogram) in samples {
        for bucket in &histogram.buckets {
            let (lower, upper) = reach(histogram, bucket);
            let from = bounds.partition_point(|bound| *bound <= lower);
            let to = bounds.partition_point(|bound| *bound < upper);
            spanned.get_mut(from..to).into_iter().flatten().for_each(|inside| *inside = true);
        }
    }
    let mut at = 0;
    bounds.retain(|_| {
        at += 1;
        !spanned[at - 1]
    });
    Ok(bounds)
}

/// Lower and upper bound of a bucket. The zero bucket reaches to either side by its width, but ends at zero where
/// observations of one sign only stand beside it (PromQL).
fn reach(histogram: &NativeHistogram, bucket: &(f64, f64, f64)) -> (f64, f64) {
    let (lower, upper, _) = *bucket;
    if !(lower < 0.0 && upper > 0.0) {
        return (lower, upper);
    }
    let negative = histogram.buckets.first().is_some_and(|first| first.1 < 0.0);
    let positive = histogram.buckets.last().is_some_and(|last| last.0 > 0.0);
    match (negative, positive) {
        (false, true) => (0.0, upper),
        (true, false) => (lower, 0.0),
        _ => (lower, upper),
    }
}

/// Whether the buckets are those of a native histogram's schema: each bound is the one before times 2 to the power of
/// 2^-schema.
fn scale_of(samples: &[(i64, NativeHistogram)]) -> Scale {
    let is_exponential = |&(lower, upper, _): &(f64, f64, f64)| {
        let (lower, upper) = if upper < 0.0 { (-upper, -lower) } else { (lower, upper) };
        if lower <= 0.0 || !upper.is_finite() {
            return true;
        }
        let schema = -(upper / lower).log2().log2();
        (schema - schema.round()).abs() < 1e-6 && (-4.5..8.5).contains(&schema)
    };
    let exponential = samples.iter().flat_map(|(_, histogram)| &histogram.buckets).all(is_exponential);
    if exponential { Scale::Exponential } else { Scale::Linear }
}

/// How many observations lie at or below each bound.
fn cumulated(histogram: &NativeHistogram, bounds: &[f64]) -> Vec<(f64, f64)> {
    let mut buckets = histogram.buckets.iter().peekable();
    let mut sum = 0.0;
    bounds
        .iter()
        .map(|&bound| {
            while let Some(bucket) = buckets.next_if(|bucket| reach(histogram, bucket).1 <= bound) {
                sum += bucket.2;
            }
            (bound, sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described<'d>(source: &'d Arc<str>, labels: &'d [(String, String)]) -> Described<'d> {
        Described { source, name: "h", labels }
    }

    #[test]
    fn a_histogram_that_became_coarser_is_read_at_its_coarsest() {
        let fine = NativeHistogram { count: 6.0, sum: 9.0, buckets: vec![(1.0, 2.0, 2.0), (2.0, 4.0, 4.0)] };
        let coarse = NativeHistogram { count: 9.0, sum: 20.0, buckets: vec![(1.0, 4.0, 8.0), (4.0, 16.0, 1.0)] };
        let source = Arc::from("test");
        let series = as_counters(&described(&source, &[]), &[(0, fine), (10, coarse)]).unwrap();
        let shown: Vec<String> =
            series.iter().map(|s| format!("{} {} {:?}", s.name, s.label("le").unwrap_or("-"), s.samples)).collect();
        assert_eq!(
            shown,
            [
                "h_count - [(0, 6.0), (10, 9.0)]",
                "h_sum - [(0, 9.0), (10, 20.0)]",
                "h_bucket +Inf [(0, 6.0), (10, 9.0)]",
                "h_bucket 1 [(0, 0.0), (10, 0.0)]",
                "h_bucket 4 [(0, 6.0), (10, 8.0)]",
                "h_bucket 16 [(0, 6.0), (10, 9.0)]",
            ]
        );
    }

    fn quantile(q: f64, histogram: NativeHistogram) -> f64 {
        let samples = [(0, histogram)];
        let bounds = common_bounds(&samples).unwrap();
        let mut cumulative = cumulated(&samples[0].1, &bounds);
        cumulative.push((f64::INFINITY, samples[0].1.count));
        rates::histogram_quantile(q, &cumulative, scale_of(&samples)).unwrap()
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-12 * right.abs()
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        // Prometheus' promqltest/testdata/native_histograms.test: `single_histogram`, and `histogram_quantile_1`, which is
        // {{schema:0 count:12 sum:100 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]}}, with the values given there.
        const MEDIAN: f64 = std::f64::consts::SQRT_2;
        let single =
            NativeHistogram { count: 4.0, sum: 5.0, buckets: vec![(0.5, 1.0, 1.0), (1.0, 2.0, 2.0), (2.0, 4.0, 1.0)] };
        assert!(close(quantile(0.5, single.clone()), MEDIAN));
        let with_zero = NativeHistogram {
            count: 12.0,
            sum: 100.0,
            buckets: vec![(-0.001, 0.001, 2.0), (0.5, 1.0, 2.0), (1.0, 2.0, 3.0), (4.0, 8.0, 1.0), (8.0, 16.0, 4.0)],
        };
        for (q, expected) in [
            (0.99, 15.670_724_761_390_83),
            (0.9, 12.996_038_341_699_77),
            (0.6, 4.594_793_419_988_138),
            (0.5, 1.587_401_051_968_199_4),
            (0.1, 0.0006),
        ] {
            let found = quantile(q, with_zero.clone());
            assert!(close(found, expected), "{q}: {found}");
        }
        // `histogram_quantile_2`: the same below zero.
        let mirrored = NativeHistogram {
            buckets: with_zero.buckets.iter().rev().map(|&(lower, upper, count)| (-upper, -lower, count)).collect(),
            ..with_zero
        };
        for (q, expected) in [(0.9, -0.0006), (0.5, -1.587_401_051_968_199_6), (0.1, -12.996_038_341_699_768)] {
            let found = quantile(q, mirrored.clone());
            assert!(close(found, expected), "{q}: {found}");
        }
        let source = Arc::from("test");
        let series = as_values(&described(&source, &[]), &[(0, single)]);
        let value = |name: &str| series.iter().find(|s| s.name == name).unwrap().samples[0].1;
        assert!(close(value("h"), 1.25) && close(value("h_p50"), MEDIAN));
    }

    #[test]
    fn buckets_of_ones_own_choice_are_linear() {
        let custom = NativeHistogram { count: 4.0, sum: 5.0, buckets: vec![(0.1, 0.25, 2.0), (0.25, 1.0, 2.0)] };
        assert!(close(quantile(0.75, custom), 0.625));
    }

    #[test]
    fn bounds_without_end_are_refused() {
        let samples: Vec<(i64, NativeHistogram)> = (0..5000)
            .map(|at| {
                let lower = f64::from(at as i32);
                (at, NativeHistogram { count: 1.0, sum: 1.0, buckets: vec![(lower, lower + 0.5, 1.0)] })
            })
            .collect();
        let source = Arc::from("test");
        assert_eq!(as_counters(&described(&source, &[]), &samples).err(), Some(TOO_MANY_BOUNDS));
    }
}
