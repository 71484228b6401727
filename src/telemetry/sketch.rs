//! A mergeable histogram of non-negative integers (nanoseconds) with bounded relative error.

/// Buckets per power of two.
const SUB_BUCKETS: u64 = 64;
/// Binary logarithm of [`SUB_BUCKETS`].
const SUB_BITS: u32 = 6;

/// A log-linear histogram: each power of two is cut into 64 equal buckets.
///
/// A reported quantile differs from the exact one of the same rank by at most 1/128 (0.8 %) of its value;
/// values below 64 are exact. Merging adds counts, so it is exact, and neither order nor grouping matters.
/// Only integer arithmetic is used: the same values give the same buckets on every machine, which a
/// logarithm from the platform's mathematics library does not promise.
/// The layout is that of HdrHistogram (Gil Tene, <http://hdrhistogram.org>); its bound is that of DDSketch
/// (Masson, Rim, Lee, VLDB 2019, <https://doi.org/10.14778/3352063.3352135>) with alpha = 1/128.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// (bucket, count), ascending by bucket, counts positive.
    counts: Vec<(u16, u64)>,
}

impl Sketch {
    /// The bucket of a value, 0 to 3775.
    pub fn bucket(value: u64) -> u16 {
        if value < SUB_BUCKETS {
            return value as u16;
        }
        let shift = 63 - value.leading_zeros() - SUB_BITS;
        ((u64::from(shift) << SUB_BITS) + (value >> shift)) as u16
    }

    /// The middle of a bucket.
    pub fn bucket_value(bucket: u16) -> f64 {
        let bucket = u64::from(bucket);
        if bucket < SUB_BUCKETS {
            return bucket as f64;
        }
        let shift = (bucket >> SUB_BITS) - 1;
        let low = (bucket - (shift << SUB_BITS)) << shift;
        low as f64 + ((1_u64 << shift) - 1) as f64 / 2.0
    }

    /// A sketch from (bucket, count) pairs in any order; equal buckets are added up.
    pub fn from_counts(mut counts: Vec<(u16, u64)>) -> Self {
        counts.sort_unstable();
        let mut merged: Vec<(u16, u64)> = Vec::with_capacity(counts.len());
        for (bucket, count) in counts.into_iter().filter(|c| c.1 > 0) {
            match merged.last_mut() {
                Some(last) if last.0 == bucket => last.1 += count,
                _ => merged.push((bucket, count)),
            }
        }
        Self { counts: merged }
    }

    /// Adds one value.
    pub fn add(&mut self, value: u64) {
        let bucket = Self::bucket(value);
        match self.counts.binary_search_by_key(&bucket, |c| c.0) {
            Ok(at) => self.counts[at].1 += 1,
            Err(at) => self.counts.insert(at, (bucket, 1)),
        }
    }

    /// Adds all values of another sketch.
    pub fn merge(&mut self, other: &Sketch) {
        let both = self.counts.iter().chain(&other.counts).copied().collect();
        *self = Self::from_counts(both);
    }

    /// The (bucket, count) pairs, ascending by bucket.
    pub fn counts(&self) -> &[(u16, u64)] {
        &self.counts
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|c| c.1).sum()
    }

    /// The value of rank `ceil(q * count)` (at least 1), within 0.8 %; `None` when empty. `q` is clamped to 0..=1.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|&(bucket, n)| {
            seen += n;
            (seen >= rank).then(|| Self::bucket_value(bucket))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_within_the_error_bound() {
        let mut last = Sketch::bucket(0);
        for value in 1..100_000_u64 {
            let bucket = Sketch::bucket(value);
            assert!(bucket == last || bucket == last + 1, "gap at {value}");
            last = bucket;
        }
        for exponent in 0..64 {
            for offset in [0_u64, 1, 3, 12345] {
                let value = (1_u64 << exponent).saturating_add(offset);
                let error = (Sketch::bucket_value(Sketch::bucket(value)) - value as f64).abs();
                assert!(error <= value as f64 / 128.0, "{value}: {error}");
            }
        }
        assert_eq!(Sketch::bucket(u64::MAX), 3775);
    }

    #[test]
    fn quantiles_follow_the_nearest_rank() {
        let mut sketch = Sketch::default();
        for value in 1..=10 {
            sketch.add(value);
        }
        assert_eq!(sketch.quantile(0.5), Some(5.0));
        assert_eq!(sketch.quantile(0.0), Some(1.0));
        assert_eq!(sketch.quantile(1.0), Some(10.0));
        assert_eq!(Sketch::default().quantile(0.5), None);
    }
}
