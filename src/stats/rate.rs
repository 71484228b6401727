//! Do two counts come from the same rate?

use statrs::distribution::{Binomial, Discrete};

use super::tail;

/// Two-sided exact test of two Poisson rates: `count_a` events in an exposure (time, or requests) of `exposure_a`
/// against `count_b` in `exposure_b`.
///
/// Given the sum n of the counts, `count_a` is binomial with probability `exposure_a / (exposure_a + exposure_b)`
/// when the rates are equal (Przyborowski and Wilenski, Biometrika 31, 1940, <https://doi.org/10.1093/biomet/31.3-4.313>).
/// The p-value is twice the smaller tail, at most 1. 1 when both counts are 0 or an exposure is not positive and finite:
/// nothing was observed. The cost grows with the root of the counts.
pub fn poisson_two_sided(count_a: u64, exposure_a: f64, count_b: u64, exposure_b: f64) -> f64 {
    let usable = |exposure: f64| exposure.is_finite() && exposure > 0.0;
    let total = count_a.saturating_add(count_b);
    if total == 0 || !usable(exposure_a) || !usable(exposure_b) {
        return 1.0;
    }
    binomial_two_sided(count_a, total, exposure_a / (exposure_a + exposure_b))
}

/// Two-sided exact binomial test: `successes` of `trials` when each succeeds with `probability`; twice the smaller
/// tail, at most 1. 1 when there are no trials or `probability` is not strictly between 0 and 1.
pub fn binomial_two_sided(successes: u64, trials: u64, probability: f64) -> f64 {
    let successes = successes.min(trials);
    if trials == 0 || !(probability > 0.0 && probability < 1.0) {
        return 1.0;
    }
    let Ok(binomial) = Binomial::new(probability, trials) else { return 1.0 };
    let (x, n) = (successes as f64, trials as f64);
    let odds = probability / (1.0 - probability);
    let ln_first = binomial.ln_pmf(successes);
    // the tail on the far side of the mean is the smaller one
    let smaller = if x >= n * probability {
        tail::sum(ln_first, |step| (n - x - step) / (x + step + 1.0) * odds)
    } else {
        tail::sum(ln_first, |step| (x - step) / (n - x + step + 1.0) / odds)
    };
    (2.0 * smaller).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-8 * expected.abs(), "{actual} is not {expected}");
    }

    #[test]
    fn tails_are_those_of_scipy() {
        // b = scipy.stats.binom; min(1, 2 * min(b.cdf(k, n, p), b.sf(k - 1, n, p)))
        for (successes, trials, probability, p) in [
            (7, 10, 0.5, 0.34375),
            (0, 20, 0.25, 0.006_342_423_877_867_992),
            (20, 20, 0.5, 1.907_348_632_812_5e-6),
            (3, 1000, 0.01, 0.020_145_309_544_028_583),
            (510_000, 1_000_000, 0.5, 5.544_363_287_708_518e-89),
            (600, 1000, 0.3, 2.847_706_789_006_319e-85),
        ] {
            close(binomial_two_sided(successes, trials, probability), p);
        }
    }

    #[test]
    fn poisson_rates_condition_on_the_sum() {
        // scipy.stats.poisson_means_test has another statistic; this is
        // 2 * scipy.stats.binom.cdf(2, 62, 10 / 70), the conditional test of 2 events in 10 s against 60 in 60 s
        close(poisson_two_sided(2, 10.0, 60, 60.0), 0.009_027_458_675_717_305);
        close(poisson_two_sided(0, 1.0, 0, 1.0), 1.0);
        close(poisson_two_sided(5, 0.0, 5, 1.0), 1.0);
        close(poisson_two_sided(5, f64::NAN, 5, 1.0), 1.0);
        close(poisson_two_sided(5, 1.0, 5, 1.0), 1.0);
        let huge = poisson_two_sided(u64::MAX, 1.0, u64::MAX, 1.0);
        assert!((0.0..=1.0).contains(&huge));
    }
}
