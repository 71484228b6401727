//! How far the figures would move with other incidents of the same kind: percentile bootstrap.
//!
//! B. Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, 1993, section 13.3, eq. 13.5: draw as many
//! incidents as there are, with replacement, 2000 times; the interval goes from the 50th to the 1950th of the ordered
//! figures. The draws are the same in every run, and for every method with as many incidents.
//!
//! Limits: the incidents of a dataset are few systems' and few faults', so the interval speaks of more incidents like
//! these, not of other systems. Where every incident is a hit (or none is) it has no width: with n of n hits, the true
//! share may still be as low as about 1 - 3/n (rule of three).

use crate::simulate::random::Random;

/// Enough for intervals, say Efron and Tibshirani (section 13.3, and 19.3 for what more draws would bring).
const DRAWS: usize = 2000;
/// Position of the lower end among the ordered draws: 2.5 % of them, the 50th.
const LOW: usize = DRAWS / 40 - 1;
/// Position of the upper end: 97.5 % of them, the 1950th.
const HIGH: usize = DRAWS - DRAWS / 40 - 1;
/// Any number would do; it is the same for ever.
const SEED: u64 = 1993;

/// A 95 % confidence interval of a share, both ends included.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// Lower end, 0 to 1.
    pub low: f64,
    /// Upper end, 0 to 1.
    pub high: f64,
}

/// The intervals of one method's figures.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Intervals {
    /// Of AC@1.
    pub ac1: Interval,
    /// Of AC@3.
    pub ac3: Interval,
    /// Of the mean reciprocal rank.
    pub mrr: Interval,
}

impl Intervals {
    /// The intervals over incidents, given the rank of each one's cause (`None`: not ranked). `None` without incidents.
    pub fn of(ranks: &[Option<usize>]) -> Option<Self> {
        if ranks.is_empty() {
            return None;
        }
        let mut random = Random::new(SEED);
        let [mut first, mut among_three, mut reciprocal] = [(); 3].map(|()| Vec::with_capacity(DRAWS));
        for _ in 0..DRAWS {
            let (mut hits, mut hits_of_three, mut sum) = (0_usize, 0_usize, 0.0);
            for _ in ranks {
                let Some(rank) = ranks[random.below(ranks.len())] else { continue };
                hits += usize::from(rank == 1);
                hits_of_three += usize::from(rank <= 3);
                sum += 1.0 / rank as f64;
            }
            first.push(hits as f64 / ranks.len() as f64);
            among_three.push(hits_of_three as f64 / ranks.len() as f64);
            reciprocal.push(sum / ranks.len() as f64);
        }
        Some(Self { ac1: middle(first), ac3: middle(among_three), mrr: middle(reciprocal) })
    }
}

/// The middle 95 % of the draws.
fn middle(mut draws: Vec<f64>) -> Interval {
    draws.sort_by(f64::total_cmp);
    Interval { low: draws[LOW], high: draws[HIGH] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(counts: &[(Option<usize>, usize)]) -> Vec<Option<usize>> {
        counts.iter().flat_map(|&(rank, n)| vec![rank; n]).collect()
    }

    fn close(interval: Interval, low: f64, high: f64, tolerance: f64) {
        let near = (interval.low - low).abs() <= tolerance && (interval.high - high).abs() <= tolerance;
        assert!(near, "{interval:?} is not {low}-{high}");
    }

    /// Of a share, what the bootstrap draws is binomial: scipy.stats.binom.ppf([.025, .975], n, k / n) / n. One hit more
    /// or less is the error of 2000 draws.
    #[test]
    fn intervals_of_shares_are_quantiles_of_the_binomial() {
        for (hits, n, low, high) in [(22, 30, 17.0, 26.0), (9, 60, 4.0, 15.0), (50, 60, 44.0, 55.0)] {
            let got = Intervals::of(&ranks(&[(Some(1), hits), (None, n - hits)])).unwrap();
            let n = n as f64;
            close(got.ac1, low / n, high / n, 1.01 / n);
            assert_eq!((got.ac3, got.mrr), (got.ac1, got.ac1), "a hit has rank 1, a miss none");
        }
    }

    /// scipy.stats.bootstrap((reciprocals,), numpy.mean, method="percentile", n_resamples=200000) = 0.525, 0.7278.
    #[test]
    fn the_interval_of_the_mean_reciprocal_rank_is_that_of_scipy() {
        let ranks = ranks(&[(Some(1), 30), (Some(2), 10), (Some(3), 5), (Some(5), 5), (None, 10)]);
        let got = Intervals::of(&ranks).unwrap();
        close(got.mrr, 0.525, 0.7278, 0.01);
        assert_eq!(Intervals::of(&ranks), Some(got), "the same draws in every run");
    }

    #[test]
    fn without_spread_there_is_no_width_and_without_incidents_no_interval() {
        let got = Intervals::of(&[Some(1); 5]).unwrap();
        close(got.ac1, 1.0, 1.0, 0.0);
        assert_eq!(Intervals::of(&[]), None);
    }
}
