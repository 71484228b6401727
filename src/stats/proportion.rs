//! Do two groups fail with the same probability?

use statrs::function::factorial::ln_binomial;

use super::tail;

/// Two-sided exact test of two proportions (Fisher): `hits_a` of `trials_a` against `hits_b` of `trials_b`.
///
/// Given the margins, `hits_a` is hypergeometric when the probabilities are equal. The p-value is twice the smaller
/// tail, at most 1; `scipy.stats.fisher_exact` instead adds all tables that are no more probable, which differs by less
/// than a factor of two. 1 when a group is empty or all trials went the same way. Hits above trials count as trials.
///
/// statrs has `fishers_exact`, but its `1 - cdf` ends at 1e-16, and its terms grow with the counts; here the cost grows
/// with their root.
pub fn fisher_two_sided(hits_a: u64, trials_a: u64, hits_b: u64, trials_b: u64) -> f64 {
    let (hits_a, hits_b) = (hits_a.min(trials_a), hits_b.min(trials_b));
    let hits = hits_a.saturating_add(hits_b);
    let trials = trials_a.saturating_add(trials_b);
    if trials_a == 0 || trials_b == 0 || hits == 0 || hits == trials {
        return 1.0;
    }
    let ln_first = ln_binomial(trials_a, hits_a) + ln_binomial(trials_b, hits_b) - ln_binomial(trials, hits);
    let (x, m, n, others) = (hits_a as f64, trials_a as f64, hits as f64, trials_b as f64);
    // the tail on the far side of the mean is the smaller one
    let smaller = if x >= n * m / (m + others) {
        tail::sum(ln_first, |step| {
            let at = x + step;
            (m - at) * (n - at) / ((at + 1.0) * (others - n + at + 1.0))
        })
    } else {
        tail::sum(ln_first, |step| {
            let at = x - step;
            at * (others - n + at) / ((m - at + 1.0) * (n - at + 1.0))
        })
    };
    (2.0 * smaller).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-7 * expected.abs(), "{actual} is not {expected}");
    }

    #[test]
    fn tails_are_those_of_scipy() {
        // h = scipy.stats.hypergeom(trials_a + trials_b, hits_a + hits_b, trials_a)
        // min(1, 2 * min(h.cdf(hits_a), h.sf(hits_a - 1)))
        for (hits_a, trials_a, hits_b, trials_b, p) in [
            (3, 8, 4, 54, 0.079_414_984_930_585_64),
            (18, 165, 123, 181, 8.155_641_404_608_788e-29),
            (2, 4, 0, 100, 0.002_240_477_968_633_308),
            (40, 1000, 55, 1000, 0.140_721_480_745_599_18),
            (5, 200, 900, 30_000, 0.887_574_148_605_334_6),
            (700, 100_000, 500, 100_000, 7.704_203_749_095_278e-9),
            (0, 3, 7, 2000, 1.0),
        ] {
            close(fisher_two_sided(hits_a, trials_a, hits_b, trials_b), p);
            close(fisher_two_sided(trials_a - hits_a, trials_a, trials_b - hits_b, trials_b), p);
            close(fisher_two_sided(hits_b, trials_b, hits_a, trials_a), p);
        }
    }

    #[test]
    fn nothing_to_tell() {
        close(fisher_two_sided(0, 0, 5, 10), 1.0);
        close(fisher_two_sided(0, 10, 0, 10), 1.0);
        close(fisher_two_sided(10, 10, 20, 20), 1.0);
        close(fisher_two_sided(5, 10, 5, 10), 1.0);
        close(fisher_two_sided(99, 10, 10, 10), 1.0);
        let huge = fisher_two_sided(u64::MAX / 4, u64::MAX / 2, u64::MAX / 4, u64::MAX / 2);
        assert!((0.0..=1.0).contains(&huge));
    }
}
