//! Does one group of values lie above the other? The test of Mann and Whitney, on samples and on histograms.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::distribution::normal_two_sided;

/// Counts of orderings up to this are exact in an `f64`.
const MAX_EXACT_ORDERINGS: f64 = 9_007_199_254_740_992.0;
/// Longest array of counts for the exact distribution.
const MAX_EXACT_LENGTH: u64 = 50_000;

/// The result of a two-sided Mann-Whitney U test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// Chance that a value of the first group exceeds one of the second, ties counted half: U over the number of
    /// pairs, 0 to 1; one half says no shift, also when a group is empty.
    pub superiority: f64,
    /// Two-sided p-value.
    pub p_value: f64,
}

/// Nothing to tell.
const UNDECIDED: MannWhitney = MannWhitney { superiority: 0.5, p_value: 1.0 };

/// Tests two samples of finite values in ascending order.
///
/// Exact (all orderings of two samples counted, as `scipy.stats.mannwhitneyu(method="exact")`) when no value occurs in
/// both samples and the number of orderings is below 2^53; ties within one sample do not change U, whichever way they
/// are broken, so that the exact distribution holds. Otherwise as [`mann_whitney_binned`]. p = 1 when a sample is empty.
///
/// H. B. Mann and D. R. Whitney, Ann. Math. Stat. 18, 1947, <https://doi.org/10.1214/aoms/1177730491>. The library's
/// `mannwhitneyu` compares all pairs for validity and enumerates all orderings, which a long baseline does not allow.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> MannWhitney {
    let pairs = Pairs::of(ties(a), ties(b));
    match pairs.exact_p_value() {
        Some(p_value) => MannWhitney { superiority: pairs.superiority(), p_value },
        None => pairs.asymptotic(),
    }
}

/// Tests two histograms, each (value, count) with ascending values.
///
/// The normal approximation with tie and continuity correction, as
/// `scipy.stats.mannwhitneyu(method="asymptotic")` on the values repeated by their counts:
///
/// ```text
/// z = (|U - n m / 2| - 1/2) / sqrt(n m / 12 (N + 1 - sum(t^3 - t) / (N (N - 1)))),   N = n + m, t = size of a tie
/// ```
///
/// p = 1 when a histogram is empty or all values are equal.
pub fn mann_whitney_binned(a: &[(f64, u64)], b: &[(f64, u64)]) -> MannWhitney {
    Pairs::of(a.iter().copied(), b.iter().copied()).asymptotic()
}

/// Ascending values as a histogram.
fn ties(sorted: &[f64]) -> impl Iterator<Item = (f64, u64)> {
    // `<=` in ascending order is equality, also of 0.0 and -0.0
    sorted.chunk_by(|value, next| next <= value).map(|tie| (tie[0], tie.len() as u64))
}

/// What all pairs of two groups say.
struct Pairs {
    n_a: f64,
    n_b: f64,
    /// Pairs in which `a` is larger, ties counted half.
    u: f64,
    /// Sum of t^3 - t over ties.
    ties: f64,
    /// Whether a value occurs in both groups.
    shared: bool,
}

impl Pairs {
    fn of(a: impl Iterator<Item = (f64, u64)>, b: impl Iterator<Item = (f64, u64)>) -> Self {
        let (mut a, mut b) = (a.peekable(), b.peekable());
        let (mut below_b, mut n_a) = (0.0, 0.0);
        let (mut u, mut ties, mut shared) = (0.0, 0.0, false);
        loop {
            let value = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => x.0.min(y.0),
                (Some(x), None) => x.0,
                (None, Some(y)) => y.0,
                (None, None) => break,
            };
            let count_a = take(&mut a, value);
            let count_b = take(&mut b, value);
            u += count_a * (below_b + 0.5 * count_b);
            let tied = count_a + count_b;
            ties += tied * (tied * tied - 1.0);
            shared |= count_a > 0.0 && count_b > 0.0;
            below_b += count_b;
            n_a += count_a;
        }
        Self { n_a, n_b: below_b, u, ties, shared }
    }

    fn superiority(&self) -> f64 {
        let pairs = self.n_a * self.n_b;
        if pairs > 0.0 { (self.u / pairs).clamp(0.0, 1.0) } else { 0.5 }
    }

    fn asymptotic(&self) -> MannWhitney {
        let n = self.n_a + self.n_b;
        if self.n_a <= 0.0 || self.n_b <= 0.0 || n < 2.0 {
            return UNDECIDED;
        }
        let pairs = self.n_a * self.n_b;
        let variance = pairs / 12.0 * (n + 1.0 - self.ties / (n * (n - 1.0)));
        let distance = ((self.u - pairs / 2.0).abs() - 0.5).max(0.0);
        // all values equal: the variance is zero but for rounding
        let p_value = if variance > pairs * 1e-9 { normal_two_sided(distance / variance.sqrt()) } else { 1.0 };
        MannWhitney { superiority: self.superiority(), p_value }
    }

    /// The share of orderings at least as extreme; `None` where they cannot be counted.
    fn exact_p_value(&self) -> Option<f64> {
        let pairs = self.n_a * self.n_b;
        if self.shared || pairs <= 0.0 {
            return None;
        }
        let (fewer, more) = (self.n_a.min(self.n_b) as u64, self.n_a.max(self.n_b) as u64);
        let mut orderings = 1.0;
        for i in 1..=fewer {
            orderings = orderings * (more + i) as f64 / i as f64;
            if orderings > MAX_EXACT_ORDERINGS {
                return None;
            }
        }
        let extreme = self.u.min(pairs - self.u).max(0.0) as u64;
        if extreme >= MAX_EXACT_LENGTH {
            return None;
        }
        let tail: f64 = orderings_with_u(fewer as usize, more as usize, extreme as usize).iter().sum();
        Some((2.0 * tail / orderings).clamp(0.0, 1.0))
    }
}

/// The count of `value` in what is left of an ascending histogram.
fn take(histogram: &mut Peekable<impl Iterator<Item = (f64, u64)>>, value: f64) -> f64 {
    let mut count = 0.0;
    while let Some((_, n)) = histogram.next_if(|(v, _)| v.partial_cmp(&value) != Some(Ordering::Greater)) {
        count += n as f64;
    }
    count
}

/// Number of orderings of two samples with U = 0, 1, … `last`: the first coefficients of the Gaussian binomial
/// `prod over i of (1 - q^(more + i)) / (1 - q^i)`, i = 1..fewer. Integers below 2^53, hence exact.
fn orderings_with_u(fewer: usize, more: usize, last: usize) -> Vec<f64> {
    let mut counts = vec![0.0; last + 1];
    counts[0] = 1.0;
    for i in 1..=fewer {
        for at in (more + i..=last).rev() {
            counts[at] -= counts[at - more - i];
        }
        for at in i..=last {
            counts[at] += counts[at - i];
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::robust::sorted;

    fn mann_whitney(a: &[f64], b: &[f64]) -> MannWhitney {
        super::mann_whitney(&sorted(a), &sorted(b))
    }

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-9 * expected.abs(), "{actual} is not {expected}");
    }

    #[test]
    fn exact_is_that_of_scipy() {
        // scipy.stats.mannwhitneyu(a, b, method="exact").pvalue
        close(
            mann_whitney(&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0]).p_value,
            0.111_111_111_111_111_1,
        );
        let b: Vec<f64> = (0..60).map(f64::from).collect();
        close(mann_whitney(&[100.0, 101.0, 102.5, 99.5], &b).p_value, 3.147_742_439_122_661_2e-6);
        close(mann_whitney(&[58.5, 40.5, 57.5], &b).p_value, 0.023_066_656_593_890_86);
        // ties within one sample only: scipy.stats.permutation_test(([7, 7, 9], [1, 1, 1, 2, 3]),
        // lambda a, b: scipy.stats.mannwhitneyu(a, b).statistic, permutation_type="independent").pvalue
        close(mann_whitney(&[7.0, 7.0, 9.0], &[1.0, 1.0, 1.0, 2.0, 3.0]).p_value, 0.035_714_285_714_285_71);
    }

    #[test]
    fn asymptotic_is_that_of_scipy() {
        // scipy.stats.mannwhitneyu(a, b, method="asymptotic").pvalue
        let a = [(1.0, 5), (2.0, 30), (3.0, 40), (8.0, 2)];
        let b = [(1.0, 20), (2.0, 35), (3.0, 20), (4.0, 1)];
        let test = mann_whitney_binned(&a, &b);
        close(test.p_value, 8.153_761_561_863_365e-5);
        close(test.superiority, 0.671_052_631_578_947_3);
        close(mann_whitney_binned(&b, &a).p_value, 8.153_761_561_863_365e-5);
        // samples with a value in common go the same way
        close(
            mann_whitney(&[1.0, 2.0, 2.0, 5.0, 7.0, 9.0], &[0.0, 1.0, 2.0, 3.0, 3.0]).p_value,
            0.266_699_368_901_043_07,
        );
    }

    #[test]
    fn nothing_to_tell() {
        for (a, b) in [(&[][..], &[1.0][..]), (&[1.0], &[]), (&[], &[]), (&[2.0; 5], &[2.0; 9]), (&[f64::NAN], &[1.0])]
        {
            assert_eq!(mann_whitney(a, b), UNDECIDED);
        }
        close(mann_whitney(&[1.0], &[2.0]).p_value, 1.0);
        let huge = mann_whitney_binned(&[(1.0, 1 << 40)], &[(1.0, 1 << 40), (2.0, 1 << 40)]);
        assert!(huge.p_value < 1e-100 && huge.superiority < 0.5);
    }
}
