//! How much a weighted sample says: as much as so many unweighted observations.
//!
//! Of sampled traffic an observation stands for `w` others, and a sum of weights `N = sum(w)` is less sure than a count of
//! `N`. Its *design effect* is
//!
//! ```text
//! d = sum(w^2) / sum(w),    effective size = N / d = sum(w)^2 / sum(w^2)
//! ```
//! (L. Kish, Survey Sampling, 1965, section 11.7): the variance of `N` over that of a Poisson count of mean `N`. All
//! functions give exactly 1 where every weight is 1, so that nothing changes for traffic that was not sampled.

/// Sum of the weights of a group, and of their squares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weights {
    /// Sum of the weights.
    pub sum: u64,
    /// Sum of their squares.
    pub squares: u64,
}

impl Weights {
    /// The design effect, at least 1; 1 for an empty group.
    pub fn design_effect(self) -> f64 {
        if self.sum == 0 { 1.0 } else { (self.squares as f64 / self.sum as f64).max(1.0) }
    }

    fn without(self, part: Self) -> Self {
        Self { sum: self.sum.saturating_sub(part.sum), squares: self.squares.saturating_sub(part.squares) }
    }
}

/// The design effect of a ratio of hits, estimated from weights: the ratio's variance over `ratio (1 - ratio) / N`.
///
/// ```text
/// d = (1 - r) d_hits + r d_others
/// ```
/// with the design effects of hits and of the other trials: the variance of a ratio of two weighted sums, linearized
/// (`sum(w^2 (hit - r)^2) / N^2`; W. G. Cochran, Sampling Techniques, 1977, section 2.11). Where hits are rare this is the
/// weight of the hits: tail sampling that keeps every failure and one success of 20 loses little about the failures, where
/// Kish's effect over all trials would let it lose nearly everything. Without any hit, or with nothing else, nobody knows
/// how those that are missing would be weighted, and the effect over all trials stands.
pub fn ratio_design_effect(ratio: f64, hits: Weights, trials: Weights) -> f64 {
    let others = trials.without(hits);
    if hits.sum == 0 || others.sum == 0 {
        return trials.design_effect();
    }
    let (of_hits, of_others) = (hits.design_effect(), others.design_effect());
    of_hits + ratio.clamp(0.0, 1.0) * (of_others - of_hits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` observations of weight `w`.
    fn group(count: u64, w: u64) -> Weights {
        Weights { sum: count * w, squares: count * w * w }
    }

    fn both(a: Weights, b: Weights) -> Weights {
        Weights { sum: a.sum + b.sum, squares: a.squares + b.squares }
    }

    #[track_caller]
    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-9 * expected, "{actual} is not {expected}");
    }

    /// To the bit: traffic that was not sampled must give the same bytes as if there were no weights.
    #[track_caller]
    fn exactly_one(actual: f64) {
        assert_eq!(actual.to_bits(), 1.0_f64.to_bits(), "{actual}");
    }

    #[test]
    fn equal_weights_divide_the_count() {
        close(group(30, 100).design_effect(), 100.0);
        exactly_one(group(7, 1).design_effect());
        exactly_one(Weights::default().design_effect());
        for hits in [0, 1, 3, 7] {
            let ratio = hits as f64 / 7.0;
            exactly_one(ratio_design_effect(ratio, group(hits, 1), group(7, 1)));
            close(ratio_design_effect(ratio, group(hits, 50), group(7, 50)), 50.0);
        }
    }

    #[test]
    fn a_ratio_varies_as_the_effect_says() {
        // Tail sampling of 2000 requests of which 5 % fail: all failures, one success in 20. Exactly, with the kept
        // successes binomial (n = 1900, p = 1/20) and the failures fixed by the traffic, Poisson:
        // var(ratio) is (1 - r)^2 100 + r^2 95 * 400 over 2000^2.
        let (failed, fine) = (group(100, 1), group(95, 20));
        let effect = ratio_design_effect(0.05, failed, both(failed, fine));
        let variance = (0.95_f64.powi(2) * 100.0 + 0.05_f64.powi(2) * 95.0 * 400.0) / 2000.0_f64.powi(2);
        close(effect, variance / (0.05 * 0.95 / 2000.0));
        assert!(both(failed, fine).design_effect() > 9.0 * effect, "Kish's is far too careful here");
    }
}
