//! Location and scale that a few wild values cannot move.

/// Makes the median absolute deviation of normal data estimate its standard deviation: 1 / Phi^-1(3/4).
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;
/// Makes the interquartile range of normal data estimate its standard deviation: 2 Phi^-1(3/4).
const IQR_PER_SIGMA: f64 = 1.348_979_500_392_163_4;
/// The distance between the 10th and 90th percentile of normal data in standard deviations: 2 Phi^-1(0.9).
const DECILE_RANGE_PER_SIGMA: f64 = 2.563_103_131_089_201;
/// Robust z scores end here, so that they stay finite and add up without overflow.
pub const MAX_Z: f64 = 1e9;

/// The finite values in ascending order.
pub fn sorted<'a>(values: impl IntoIterator<Item = &'a f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.into_iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The `q`-quantile of values in ascending order, linear between order statistics (NumPy's default; type 7 of Hyndman
/// and Fan, 1996, <https://doi.org/10.1080/00031305.1996.10473566>). `None` when empty; `q` is clamped to 0..=1.
pub fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let share = position - below as f64;
    Some(sorted[below] * (1.0 - share) + sorted[above] * share)
}

/// The `q`-quantile in any order of values, see [`quantile_of_sorted`]. Values that are not finite are left out.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    quantile_of_sorted(&sorted(values), q)
}

/// The median; `None` when there is no finite value.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Median of the absolute deviations from the median, not scaled; `None` when there is no finite value.
pub fn mad(values: &[f64]) -> Option<f64> {
    let center = median(values)?;
    let deviations: Vec<f64> = values.iter().map(|v| (v - center).abs()).collect();
    median(&deviations)
}

/// Third less first quartile; `None` when there is no finite value.
pub fn iqr(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    Some(quantile_of_sorted(&sorted, 0.75)? - quantile_of_sorted(&sorted, 0.25)?)
}

/// Spread of the values themselves: `max(1.4826 MAD, IQR / 1.349)`, the standard deviation where they are normal.
///
/// The larger of the two, because each is zero where the other need not be: half of the values equal makes the
/// MAD zero, and an IQR is still there when only a quarter differs. Zero for fewer than two different values.
pub fn spread(values: &[f64]) -> f64 {
    Location::of(values.to_vec()).spread
}

/// Middle and spread of values, from sorting them once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// How many are finite.
    pub values: usize,
    /// As [`median`].
    pub median: Option<f64>,
    /// As [`spread`].
    pub spread: f64,
}

impl Location {
    /// Of values in any order.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.retain(|value| value.is_finite());
        values.sort_unstable_by(f64::total_cmp);
        Self::of_sorted(&values)
    }

    /// Of finite values in ascending order.
    pub fn of_sorted(sorted: &[f64]) -> Self {
        let quartile = |q: f64| quantile_of_sorted(sorted, q).unwrap_or(0.0);
        let median = quantile_of_sorted(sorted, 0.5);
        let from_mad = median.and_then(|center| mad_of_sorted(sorted, center)).unwrap_or(0.0) * MAD_TO_SIGMA;
        let from_iqr = (quartile(0.75) - quartile(0.25)) / IQR_PER_SIGMA;
        Self { values: sorted.len(), median, spread: from_mad.max(from_iqr) }
    }
}

/// Median of the absolute deviations of ascending values from a center. Below it they fall and above it they rise, so that
/// merging the two sides sorts them, up to the middle of those that are finite.
fn mad_of_sorted(sorted: &[f64], center: f64) -> Option<f64> {
    let deviation = |value: &f64| (value - center).abs();
    let (below, above) = sorted.split_at(sorted.partition_point(|value| *value < center));
    let mut below = below.iter().rev().map(deviation).peekable();
    let mut above = above.iter().map(deviation).peekable();
    let mut ascending = std::iter::from_fn(|| match (below.peek(), above.peek()) {
        (Some(low), Some(high)) if low <= high => below.next(),
        (_, Some(_)) => above.next(),
        (_, None) => below.next(),
    });
    let last = sorted.iter().map(deviation).filter(|deviation| deviation.is_finite()).count().checked_sub(1)?;
    let low = ascending.nth(last / 2)?;
    let high = if last % 2 == 0 { low } else { ascending.next()? };
    Some(low * 0.5 + high * 0.5)
}

/// The [`spread`] that the range from the 10th to the 90th percentile of ascending values says: for tests that look at
/// tails, which heavy-tailed data fill more than its middle lets expect. A tenth of the values on either side may be
/// anything: baselines hold the traces of earlier incidents.
pub fn tail_spread(sorted: &[f64]) -> f64 {
    match (quantile_of_sorted(sorted, 0.1), quantile_of_sorted(sorted, 0.9)) {
        (Some(low), Some(high)) => (high - low) / DECILE_RANGE_PER_SIGMA,
        _ => 0.0,
    }
}

/// What one unit of change is: the spread of the baseline, or a floor where the baseline hardly moves.
///
/// ```text
/// scale = max(1.4826 MAD, IQR / 1.349, relative |median|, absolute)
/// ```
///
/// **Zero spread.** A constant baseline does not mean that any change is infinitely surprising; it means that the
/// signal was quieter than what matters. The scale is then the floor: the larger of a share of the level and an
/// absolute amount in the signal's unit (its resolution: half a percent of a core, a mebibyte, one error in a
/// thousand requests). Where neither floor is known (a constant zero in an unknown unit) nothing says how much
/// is much: the scale is zero, and [`Scale::z`] calls any change exactly one scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale(f64);

impl Scale {
    /// The scale of baseline `values` with a floor relative to the median (0.05 is 5 %) and an absolute one in the
    /// values' unit. Floors that are negative or not finite count as 0.
    pub fn of(values: &[f64], relative: f64, absolute: f64) -> Self {
        let center = median(values).unwrap_or(0.0);
        Self::floored(spread(values), center, relative, absolute)
    }

    /// The scale of a statistic whose spread is known, floored in the same way around `center`.
    pub fn floored(spread: f64, center: f64, relative: f64, absolute: f64) -> Self {
        Self(finite(spread).max(finite(relative) * finite(center.abs())).max(finite(absolute)))
    }

    /// In the values' unit; not negative, finite.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Adds a further, independent uncertainty in the values' unit.
    pub fn plus(self, more: f64) -> Self {
        Self((self.0 + finite(more)).min(f64::MAX))
    }

    /// The size of a shift in scales, unsigned, at most [`MAX_Z`]: 0 for no shift, 1 for a shift when the scale is zero.
    pub fn z(self, shift: f64) -> f64 {
        let shift = shift.abs();
        if shift.is_nan() || shift <= 0.0 {
            0.0
        } else if self.0 > 0.0 {
            (shift / self.0).min(MAX_Z)
        } else {
            1.0
        }
    }
}

/// The value if it is finite and positive, else 0.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// Signed distance of a value from `location` in scales, at most [`MAX_Z`] either way.
pub fn robust_z(value: f64, location: f64, scale: Scale) -> f64 {
    let shift = value - location;
    scale.z(shift) * if shift < 0.0 { -1.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{actual} is not {expected}");
    }

    const VALUES: [f64; 9] = [2.0, 3.5, 3.5, 4.0, 7.25, 8.0, 11.0, 50.0, -1.0];

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([2, 3.5, 3.5, 4, 7.25, 8, 11, 50, -1], [0, .05, .25, .5, .9, .95, 1])
        let expected = [-1.0, 0.2, 3.5, 4.0, 18.8, 34.4, 50.0];
        for (q, value) in [0.0, 0.05, 0.25, 0.5, 0.9, 0.95, 1.0].into_iter().zip(expected) {
            close(quantile(&VALUES, q).unwrap(), value);
        }
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[f64::NAN], 0.5), None);
        assert_eq!(quantile(&[3.0, f64::NAN, f64::INFINITY], 0.9), Some(3.0));
    }

    #[test]
    fn spreads_are_those_of_scipy() {
        // scipy.stats.median_abs_deviation(v), scipy.stats.iqr(v)
        close(mad(&VALUES).unwrap(), 3.25);
        close(iqr(&VALUES).unwrap(), 4.5);
        // max(scipy.stats.median_abs_deviation(v, scale='normal'), scipy.stats.iqr(v, scale='normal'))
        close(spread(&VALUES), 4.818_457_210_143_206);
        // (numpy.quantile(v, .9) - numpy.quantile(v, .1)) / (2 * scipy.stats.norm.ppf(.9))
        close(tail_spread(&sorted(&VALUES)), 6.788646070829702);
    }

    #[test]
    fn zero_spread_falls_to_the_floors() {
        close(Scale::of(&[10.0; 5], 0.05, 0.1).value(), 0.5);
        close(Scale::of(&[10.0; 5], 0.0, 0.1).value(), 0.1);
        close(Scale::of(&[0.0; 5], 0.05, 0.001).value(), 0.001);
        let unknown = Scale::of(&[0.0; 5], 0.05, 0.0);
        close(unknown.z(1e300), 1.0);
        close(unknown.z(0.0), 0.0);
        // half of the values equal: the MAD is 0, the IQR is not
        assert!(Scale::of(&[0.0, 0.0, 0.0, 5.0, 9.0], 0.05, 0.1).value() > 3.0);
    }

    #[test]
    fn z_is_finite_signed_and_equivariant() {
        let scale = Scale::of(&VALUES, 0.05, 0.0);
        close(robust_z(4.0 + 2.0 * scale.value(), 4.0, scale), 2.0);
        close(robust_z(4.0 - 2.0 * scale.value(), 4.0, scale), -2.0);
        for wild in [f64::MAX, f64::MIN, f64::INFINITY, f64::NAN] {
            assert!(robust_z(wild, 4.0, scale).is_finite());
            assert!(robust_z(wild, 4.0, Scale::of(&[wild], wild, wild)).is_finite());
        }
        let doubled: Vec<f64> = VALUES.iter().map(|v| 2.0 * v).collect();
        close(Scale::of(&doubled, 0.05, 0.0).value(), 2.0 * scale.value());
    }
}
