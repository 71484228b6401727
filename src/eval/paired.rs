//! Is the first method better than another on the same incidents, or was it luck?
//!
//! Exact McNemar test (Q. McNemar, Psychometrika 12, 1947, <https://doi.org/10.1007/BF02295996>; exact by the binomial):
//! only incidents count in which one of the two has the cause first and the other has not. If neither were better, each
//! of these would be a coin's toss. Because one method is compared with many, p-values are adjusted over all of them
//! (S. Holm, Scand. J. Stat. 6, 1979).

use crate::stats::rate::binomial_two_sided;

/// One method against the first.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Paired {
    /// Incidents in which only the first method has the cause first.
    pub only_first: usize,
    /// Incidents in which only this method has.
    pub only_this: usize,
    /// Two-sided p-value of "neither is better", 0 to 1.
    pub p: f64,
    /// The same, adjusted by Holm over all methods that the first was compared with.
    pub p_holm: f64,
}

/// Compares every method but the first with the first. `hits` says for each method, incident by incident, whether the
/// cause stands first.
pub fn against_first(hits: &[Vec<bool>]) -> Vec<Paired> {
    let Some((first, others)) = hits.split_first() else { return Vec::new() };
    let mut compared: Vec<Paired> = others
        .iter()
        .map(|other| {
            let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count();
            let (only_first, only_this) = (only(first, other), only(other, first));
            let p = binomial_two_sided(only_first as u64, (only_first + only_this) as u64, 0.5);
            Paired { only_first, only_this, p, p_holm: p }
        })
        .collect();
    let adjusted = holm(&compared.iter().map(|paired| paired.p).collect::<Vec<_>>());
    for (paired, p_holm) in compared.iter_mut().zip(adjusted) {
        paired.p_holm = p_holm;
    }
    compared
}

/// Holm's adjusted p-values, in the order given: the i-th smallest of m is the largest of `(m - j + 1) p_(j)` over
/// j <= i, at most 1.
fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut most = 0.0_f64;
    for (rank, &at) in order.iter().enumerate() {
        most = most.max(p_values[at] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[at] = most;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hits of two methods of which `a` times only the first and `b` times only the second is right.
    fn discordant(a: usize, b: usize) -> [Vec<bool>; 2] {
        let flags = |a_right: bool| [vec![a_right; a], vec![!a_right; b], vec![true; 7], vec![false; 3]].concat();
        [flags(true), flags(false)]
    }

    #[test]
    fn p_values_are_those_of_scipy() {
        // scipy.stats.binomtest(a, a + b, 0.5).pvalue
        for (a, b, p) in [
            (2, 10, 0.038_574_218_75),
            (6, 0, 0.031_25),
            (5, 5, 1.0),
            (39, 1, 7.457_856_554_538_012e-11),
            (3, 1, 0.625),
            (0, 0, 1.0),
        ] {
            let [first, other] = discordant(a, b);
            let got = against_first(&[first, other])[0];
            assert_eq!((got.only_first, got.only_this), (a, b));
            assert!((got.p - p).abs() <= 1e-9 * p, "{a} against {b}: {} is not {p}", got.p);
            assert!((got.p_holm - got.p).abs() < 1e-15, "one comparison needs no adjustment");
        }
    }

    /// By hand: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 raised to the one before it.
    #[test]
    fn holm_by_hand() {
        let got = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (got, expected) in got.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
        }
        let certain = holm(&[0.6, 0.7]);
        assert!(certain.iter().all(|p| (p - 1.0).abs() < 1e-15), "{certain:?}");
        assert!(against_first(&[]).is_empty() && against_first(&[vec![true]]).is_empty());
    }
}
