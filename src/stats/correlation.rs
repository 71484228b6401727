//! Do two series move together, at once or one after the other?

use super::robust::sorted;

/// Fewest pairs that a correlation is computed from: two points always lie on a line.
const MIN_PAIRS: usize = 3;

/// Pearson's correlation of values at equal positions, -1 to 1.
///
/// A NaN (or infinity) on either side is a gap: the pair is left out. 0 where correlation is not defined: lengths differ
/// (the longer tail is ignored), fewer than 3 pairs, or a side constant.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    pearson_of(x.iter().copied().zip(y.iter().copied()), MIN_PAIRS)
}

/// Spearman's rank correlation (Pearson's of mid-ranks), with the rules of [`pearson`]. Ranks are taken over the pairs
/// without a gap.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    let (x, y): (Vec<f64>, Vec<f64>) =
        x.iter().copied().zip(y.iter().copied()).filter(|(a, b)| a.is_finite() && b.is_finite()).unzip();
    pearson(&mid_ranks(&x), &mid_ranks(&y))
}

/// A correlation with the lag at which it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lagged {
    /// Pearson's correlation, -1 to 1.
    pub correlation: f64,
    /// Steps by which the second series follows the first; negative when it leads.
    pub lag: i64,
}

/// The strongest (largest absolute) Pearson correlation of `x[t]` with `y[t + lag]` over lags from `-max_lag` to
/// `max_lag`; among equals the smallest lag, then the positive one.
///
/// Gaps and constants as in [`pearson`]. A lag counts only if at least half of the positions pair up, so that a few
/// points at the ends cannot win by chance; correlation 0 at lag 0 when none does.
pub fn lagged(x: &[f64], y: &[f64], max_lag: usize) -> Lagged {
    let length = x.len().min(y.len());
    let least = MIN_PAIRS.max(length.div_ceil(2));
    let mut best = Lagged { correlation: 0.0, lag: 0 };
    for distance in 0..=max_lag.min(length) {
        for lag in [distance as i64, -(distance as i64)] {
            let (from_x, from_y) = if lag < 0 { (distance, 0) } else { (0, distance) };
            let pairs =
                x[from_x.min(length)..length].iter().copied().zip(y[from_y.min(length)..length].iter().copied());
            let correlation = pearson_of(pairs, least);
            if correlation.abs() > best.correlation.abs() {
                best = Lagged { correlation, lag };
            }
        }
    }
    best
}

/// Correlation of each value with the next, -1 to 1; 0 for a constant or fewer than 4 values.
pub fn lag_one_autocorrelation(values: &[f64]) -> f64 {
    if values.len() < 4 { 0.0 } else { pearson(&values[..values.len() - 1], &values[1..]) }
}

fn pearson_of(pairs: impl Iterator<Item = (f64, f64)>, least: usize) -> f64 {
    let pairs: Vec<(f64, f64)> = pairs.filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
    if pairs.len() < least {
        return 0.0;
    }
    let n = pairs.len() as f64;
    let mean_x = pairs.iter().map(|p| p.0 / n).sum::<f64>();
    let mean_y = pairs.iter().map(|p| p.1 / n).sum::<f64>();
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    // a constant leaves rounding only, relative to its level
    let flat = |squares: f64, mean: f64| squares <= n * (mean.abs() * 1e-14).powi(2);
    if flat(xx, mean_x) || flat(yy, mean_y) {
        return 0.0;
    }
    let correlation = xy / (xx.sqrt() * yy.sqrt());
    if correlation.is_finite() { correlation.clamp(-1.0, 1.0) } else { 0.0 }
}

/// Ranks from 1; equal values share the mean of their ranks.
fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let ascending = sorted(values);
    values
        .iter()
        .map(|v| {
            let below = ascending.partition_point(|a| a < v);
            let up_to = ascending.partition_point(|a| a <= v);
            (below + up_to + 1) as f64 / 2.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-12, "{actual} is not {expected}");
    }

    const X: [f64; 8] = [1.0, 2.0, 4.0, 3.0, 7.0, 7.0, 5.0, 9.0];
    const Y: [f64; 8] = [2.0, 1.0, 5.0, 3.0, 40.0, 8.0, 8.0, 11.0];

    #[test]
    fn correlations_are_those_of_scipy() {
        // scipy.stats.pearsonr(x, y).statistic, scipy.stats.spearmanr(x, y).statistic
        close(pearson(&X, &Y), 0.559_844_649_395_326_7);
        close(spearman(&X, &Y), 0.921_686_746_987_951_7);
        // numpy.corrcoef(x[:-1], x[1:])[0, 1]
        close(lag_one_autocorrelation(&X), 0.533_650_268_149_143);
    }

    #[test]
    fn gaps_and_constants_are_no_correlation() {
        close(pearson(&[1.0, f64::NAN, 2.0, 3.0, 5.0], &[2.0, 9.0, 4.0, 6.0, 10.0]), 1.0);
        for (x, y) in
            [(&[][..], &[][..]), (&[1.0, 2.0], &[1.0, 2.0]), (&[0.1; 9], &X), (&X, &[0.1; 8]), (&[f64::NAN; 8], &X)]
        {
            close(pearson(x, y), 0.0);
            close(spearman(x, y), 0.0);
            assert_eq!(lagged(x, y, 3), Lagged { correlation: 0.0, lag: 0 });
        }
    }

    #[test]
    fn the_lag_is_found() {
        let wave: Vec<f64> = (0..40).map(|t| f64::from((t * t) % 17)).collect();
        let late: Vec<f64> = (0..40).map(|t| if t < 3 { f64::NAN } else { -2.0 * wave[t - 3] }).collect();
        let found = lagged(&wave, &late, 5);
        close(found.correlation, -1.0);
        assert_eq!(found.lag, 3);
        assert_eq!(lagged(&late, &wave, 5).lag, -3);
        // out of reach: nothing as strong
        assert!(lagged(&wave, &late, 2).correlation.abs() < 0.9);
        // a perfect correlation of the last four points does not win
        let sparse: Vec<f64> = (0..40).map(|t| if t < 36 { f64::NAN } else { wave[t] }).collect();
        close(lagged(&wave, &sparse, 38).correlation, 0.0);
    }
}
