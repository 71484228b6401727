//! Histograms and summaries of OTLP as the cumulative buckets and quantiles that Prometheus has.

use std::collections::BTreeMap;

use super::otlp_metrics::{Kind, PointDraft};

/// The buckets of one side of an exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Buckets {
    /// Index of the first.
    pub(crate) offset: i64,
    pub(crate) counts: Vec<f64>,
}

/// What a point says besides its count.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) sum: Option<f64>,
    shape: DistributionShape,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum DistributionShape {
    /// Neither buckets nor quantiles.
    #[default]
    Bare,
    /// Upper bound and cumulative count, ascending, the last one open.
    Explicit(Vec<(f64, f64)>),
    Exponential(Exponential),
    /// Quantile and value.
    Quantiles(Vec<(f64, f64)>),
}

/// Bucket `i` of the positive side holds values above `base^i` up to `base^(i+1)`, with base 2^(2^-scale).
#[derive(Clone, Debug, PartialEq)]
struct Exponential {
    scale: i64,
    count: f64,
    zero_count: f64,
    positive: BTreeMap<i64, f64>,
    negative: BTreeMap<i64, f64>,
}

/// Finer than eight buckets a doubling (9 % wide) nothing is told apart: quantiles are interpolated within them.
const FINEST_SCALE: i64 = 3;
/// Most buckets of one histogram: what SDKs use at most on one side (specification, `MaxSize`).
const MOST_BUCKETS: usize = 160;
/// Indexes beyond this are of no double at any scale down to -10, where a bucket spans 2^1024.
const LARGEST_INDEX: i64 = 1 << 31;

impl Distribution {
    /// Takes what `point` holds for a metric of that kind.
    pub(crate) fn of(kind: Kind, point: &mut PointDraft) -> Self {
        let shape = match kind {
            Kind::Gauge | Kind::Sum => DistributionShape::Bare,
            Kind::Histogram => explicit(&point.bounds, &point.counts, point.count),
            Kind::ExponentialHistogram => DistributionShape::Exponential(Exponential::new(point)),
            Kind::Summary => DistributionShape::Quantiles(std::mem::take(&mut point.quantiles)),
        };
        Self { sum: point.sum.filter(|sum| sum.is_finite()), shape }
    }
}

/// Cumulative counts at the bounds; none where bounds and counts do not fit together.
fn explicit(bounds: &[f64], counts: &[f64], count: f64) -> DistributionShape {
    let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]) && bounds.iter().all(|bound| bound.is_finite());
    if counts.is_empty() || counts.len() != bounds.len() + 1 || !ascending {
        return DistributionShape::Bare;
    }
    let mut total = 0.0;
    let mut buckets: Vec<(f64, f64)> = bounds
        .iter()
        .zip(counts)
        .map(|(bound, count)| {
            total += count;
            (*bound, total)
        })
        .collect();
    buckets.push((f64::INFINITY, count.max(total)));
    DistributionShape::Explicit(buckets)
}

impl Exponential {
    fn new(point: &PointDraft) -> Self {
        let mut histogram = Self {
            scale: point.scale.clamp(-11, 62),
            count: point.count,
            zero_count: point.zero_count,
            positive: indexed(&point.positive),
            negative: indexed(&point.negative),
        };
        let coarsest = histogram.scale.min(FINEST_SCALE);
        histogram.coarsen(coarsest);
        histogram
    }

    /// Joins buckets until the scale is no finer than `scale`: each step joins two.
    fn coarsen(&mut self, scale: i64) {
        let steps = (self.scale - scale).clamp(0, 63);
        if steps == 0 {
            return;
        }
        self.scale -= steps;
        for side in [&mut self.positive, &mut self.negative] {
            let mut joined = BTreeMap::new();
            for (index, count) in std::mem::take(side) {
                *joined.entry(index >> steps).or_insert(0.0) += count;
            }
            *side = joined;
        }
    }

    /// Upper bounds and counts, ascending, not cumulative. Where a bucket begins is a bound too, with no count, because
    /// empty buckets are left out and nothing may be spread over them.
    fn buckets(&self) -> Vec<(f64, f64)> {
        let power = |index: i64| (index as f64 * (-self.scale as f64).exp2()).exp2();
        let negative = self.negative.iter().rev();
        let negative = negative.flat_map(|(index, count)| [(-power(index + 1), 0.0), (-power(*index), *count)]);
        let positive = self.positive.iter();
        let positive = positive.flat_map(|(index, count)| [(power(*index), 0.0), (power(index + 1), *count)]);
        negative.chain([(0.0, self.zero_count)]).chain(positive).collect()
    }
}

/// Counts by index, without those that are zero.
fn indexed(side: &Buckets) -> BTreeMap<i64, f64> {
    let indexes = side.offset.clamp(-LARGEST_INDEX, LARGEST_INDEX)..;
    indexes.zip(&side.counts).filter(|(_, count)| **count > 0.0).map(|(index, count)| (index, *count)).collect()
}

/// Values of one series, each with the place of its point.
type Values = Vec<(usize, f64)>;

/// Cumulative counts by upper bound, ascending by bound.
pub(crate) fn cumulative_buckets(distributions: &[Distribution]) -> Vec<(f64, Values)> {
    let mut exponential: Vec<(usize, Exponential)> = Vec::new();
    // In the order of f64::total_cmp, which for numbers that are not NaN is their own.
    let mut by_bound: Vec<(f64, Values)> = Vec::new();
    let n_points = distributions.len();
    for (at, distribution) in distributions.iter().enumerate() {
        match &distribution.shape {
            DistributionShape::Explicit(buckets) => {
                for (bound, count) in buckets {
                    values_at(&mut by_bound, *bound, n_points).push((at, *count));
                }
            }
            DistributionShape::Exponential(histogram) => exponential.push((at, histogram.clone())),
            DistributionShape::Bare | DistributionShape::Quantiles(_) => {}
        }
    }
    // All points on one scale, the coarsest: counts of a coarse bucket cannot be divided, and a cumulative count that
    // fell would be taken for a restart.
    let Some(mut scale) = exponential.iter().map(|(_, histogram)| histogram.scale).min() else { return by_bound };
    let bounds = loop {
        exponential.iter_mut().for_each(|(_, histogram)| histogram.coarsen(scale));
        let mut bounds: Vec<f64> =
            exponential.iter().flat_map(|(_, histogram)| histogram.buckets()).map(|bucket| bucket.0).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup_by(|a, b| a.total_cmp(b).is_eq());
        if bounds.len() <= MOST_BUCKETS || scale <= -11 {
            break bounds;
        }
        scale -= 1;
    };
    for (at, histogram) in &exponential {
        let buckets = histogram.buckets();
        let (mut next, mut total) = (0, 0.0);
        for bound in bounds.iter().filter(|bound| bound.is_finite()) {
            while let Some((_, count)) = buckets.get(next).filter(|bucket| bucket.0 <= *bound) {
                total += count;
                next += 1;
            }
            values_at(&mut by_bound, *bound, n_points).push((*at, total));
        }
        let all: f64 = buckets.iter().map(|bucket| bucket.1).sum();
        values_at(&mut by_bound, f64::INFINITY, n_points).push((*at, histogram.count.max(all)));
    }
    by_bound
}

/// The values of a bound, which is added in its place if it is new.
fn values_at(by_bound: &mut Vec<(f64, Values)>, bound: f64, n_points: usize) -> &mut Values {
    let place = match by_bound.binary_search_by(|known| known.0.total_cmp(&bound)) {
        Ok(place) => place,
        Err(place) => {
            by_bound.insert(place, (bound, Vec::with_capacity(n_points)));
            place
        }
    };
    &mut by_bound[place].1
}

/// Values by quantile, ascending by quantile.
pub(crate) fn quantiles(distributions: &[Distribution]) -> Vec<(f64, Values)> {
    let mut by_quantile: Vec<(f64, Values)> = Vec::new();
    for (at, distribution) in distributions.iter().enumerate() {
        if let DistributionShape::Quantiles(quantiles) = &distribution.shape {
            for (quantile, value) in quantiles.iter().filter(|(quantile, _)| (0.0..=1.0).contains(quantile)) {
                values_at(&mut by_quantile, *quantile, distributions.len()).push((at, *value));
            }
        }
    }
    by_quantile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(kind: Kind, mut point: PointDraft) -> Distribution {
        Distribution::of(kind, &mut point)
    }

    fn exponential(scale: i64, zero: f64, offset: i64, counts: &[f64]) -> Distribution {
        let count = zero + counts.iter().sum::<f64>();
        let positive = Buckets { offset, counts: counts.to_vec() };
        let point = PointDraft { scale, zero_count: zero, count, positive, ..PointDraft::default() };
        distribution(Kind::ExponentialHistogram, point)
    }

    #[test]
    fn explicit_buckets_are_added_up() {
        let point = |bounds: &[f64], counts: &[f64]| {
            let (bounds, counts) = (bounds.to_vec(), counts.to_vec());
            let count = counts.iter().sum();
            distribution(Kind::Histogram, PointDraft { bounds, counts, count, ..PointDraft::default() })
        };
        let buckets = cumulative_buckets(&[point(&[0.1, 1.0], &[1.0, 2.0, 3.0]), point(&[0.1, 1.0], &[1.0, 2.0, 4.0])]);
        let expected = vec![
            (0.1, vec![(0, 1.0), (1, 1.0)]),
            (1.0, vec![(0, 3.0), (1, 3.0)]),
            (f64::INFINITY, vec![(0, 6.0), (1, 7.0)]),
        ];
        assert_eq!(buckets, expected);
        // Counts that do not fit the bounds say nothing.
        assert_eq!(cumulative_buckets(&[point(&[0.1, 1.0], &[1.0, 2.0])]), []);
        assert_eq!(cumulative_buckets(&[point(&[1.0, 0.1], &[1.0, 2.0, 3.0])]), []);
    }

    #[test]
    fn exponential_buckets_have_the_bounds_of_the_specification() {
        // The data model's table for scale 0: bucket 0 is (1, 2], bucket -1 is (0.5, 1], bucket 1 is (2, 4].
        let buckets = cumulative_buckets(&[exponential(0, 5.0, -1, &[1.0, 2.0, 3.0])]);
        let expected: Vec<(f64, Values)> =
            [(0.0, 5.0), (0.5, 5.0), (1.0, 6.0), (2.0, 8.0), (4.0, 11.0), (f64::INFINITY, 11.0)]
                .map(|(bound, count)| (bound, vec![(0, count)]))
                .to_vec();
        assert_eq!(buckets, expected);
        // Scale 1: the base is the square root of two.
        let bounds: Vec<f64> = cumulative_buckets(&[exponential(1, 0.0, 0, &[1.0, 1.0])]).iter().map(|b| b.0).collect();
        assert!((bounds[2] - 2_f64.sqrt()).abs() < 1e-12 && (bounds[3] - 2.0).abs() < 1e-12, "{bounds:?}");
    }

    #[test]
    fn all_points_are_brought_to_the_coarsest_scale() {
        // At scale 1 the buckets 0..=3 are (1, 2^½], (2^½, 2], (2, 2^1.5], (2^1.5, 4]; at scale 0, (1, 2] and (2, 4].
        let buckets =
            cumulative_buckets(&[exponential(1, 0.0, 0, &[1.0, 2.0, 4.0, 8.0]), exponential(0, 0.0, 0, &[9.0])]);
        let expected = vec![
            (0.0, vec![(0, 0.0), (1, 0.0)]),
            (1.0, vec![(0, 0.0), (1, 0.0)]),
            (2.0, vec![(0, 3.0), (1, 9.0)]),
            (4.0, vec![(0, 15.0), (1, 9.0)]),
            (f64::INFINITY, vec![(0, 15.0), (1, 9.0)]),
        ];
        assert_eq!(buckets, expected);
    }

    #[test]
    fn negative_values_lie_below_zero() {
        let negative = Buckets { offset: 0, counts: vec![1.0, 2.0] };
        let point = PointDraft { count: 3.0, negative, ..PointDraft::default() };
        // Bucket 0 is [-2, -1), bucket 1 is [-4, -2).
        let expected: Vec<(f64, Values)> = [(-4.0, 0.0), (-2.0, 2.0), (-1.0, 3.0), (0.0, 3.0), (f64::INFINITY, 3.0)]
            .map(|(b, n)| (b, vec![(0, n)]))
            .to_vec();
        assert_eq!(cumulative_buckets(&[distribution(Kind::ExponentialHistogram, point)]), expected);
    }

    #[test]
    fn hostile_scales_and_offsets_stay_small() {
        for (scale, offset) in [(i64::MAX, i64::MAX), (i64::MIN, i64::MIN), (20, i64::MIN), (-10, i64::MAX), (3, 0)] {
            let buckets = cumulative_buckets(&[exponential(scale, 1.0, offset, &[1.0; 5000])]);
            assert!(buckets.len() <= MOST_BUCKETS + 1, "{scale} {offset}: {}", buckets.len());
            assert_eq!(buckets.last().map(|last| last.1[0].1), Some(5001.0), "{scale} {offset}");
        }
    }

    #[test]
    fn quantiles_of_summaries_are_sorted_apart() {
        let point = |quantiles: &[(f64, f64)]| {
            distribution(Kind::Summary, PointDraft { quantiles: quantiles.to_vec(), ..PointDraft::default() })
        };
        let found = quantiles(&[point(&[(0.99, 3.0), (0.5, 1.0)]), point(&[(0.5, 2.0), (7.0, 9.0)])]);
        assert_eq!(found, [(0.5, vec![(0, 1.0), (1, 2.0)]), (0.99, vec![(0, 3.0)])]);
    }
}
