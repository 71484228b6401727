//! Multivariate Bayesian online change-point detection, as BARO uses it.
//!
//! ```text
//! R(r+1, t+1) = R(r, t) pi_r (1 - H)        the run goes on
//! R(0, t+1)   = sum over r of R(r, t) pi_r H        a new run begins
//! ```
//! normalised at each step, with `pi_r` the probability of the new row under the run of length `r` and `H = 1/50`.
//! Adams, MacKay, "Bayesian online changepoint detection", 2007, algorithm 1, <https://arxiv.org/abs/0710.3742>; the
//! hazard and the rule for a change point as in Pham et al., "BARO", FSE 2024, and its code. `pi_r` is the posterior
//! predictive of a Normal-Wishart: with `d` columns, degrees of freedom `n` (first `d + 1`), `k` (first 1), mean `m`
//! (first 0) and inverse scale `S` (first the identity),
//!
//! ```text
//! x ~ Student-t with n - d + 1 degrees of freedom, location m, shape S (k + 1) / (k (n - d + 1))
//! S += k / (k + 1) (x - m)(x - m)^T     m = (k m + x) / (k + 1)     n += 1     k += 1
//! ```
//! Murphy, "Conjugate Bayesian analysis of the Gaussian distribution", 2007, the section on the
//! Normal-Wishart. The inverse of `S` and
//! its determinant follow the update of rank one (Sherman and Morrison), so a step costs `O(runs * d^2)` and not
//! `O(runs * d^3)`; runs of probability below 1e-6 are dropped, where the authors keep all.

use std::f64::consts::PI;

/// Chance of a change at each step: 1/50, as in BARO.
const HAZARD: f64 = 0.02;
/// Runs less probable than this are dropped.
const LEAST_PROBABILITY: f64 = 1e-6;

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Detected {
    /// The first row after it.
    pub(super) row: usize,
}

/// The rows, all of the same length, at which the most probable run length does not simply grow by one: the change lies
/// that run length before.
pub(super) fn change_points(rows: &[Vec<f64>]) -> Vec<Detected> {
    let lengths = most_probable_runs(rows);
    let mut found = Vec::new();
    for (at, pair) in lengths.windows(2).enumerate() {
        // `lengths[0]` is that before any row: after row `at` the run is `pair[1]` rows long.
        if pair[0].abs_diff(pair[1]) > 1 {
            found.push(Detected { row: (at + 1).saturating_sub(pair[1]) });
        }
    }
    found
}

/// The most probable run length before the first row and after each; the shorter among equals.
fn most_probable_runs(rows: &[Vec<f64>]) -> Vec<usize> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut most_probable = vec![0];
    if columns == 0 {
        return most_probable;
    }
    let log_gamma = LogGamma::up_to(rows.len() + columns + 2);
    let mut runs = vec![(1.0, Run::new(columns))];
    for row in rows {
        let log_likelihood: Vec<f64> = runs.iter().map(|(_, run)| run.log_density(row, &log_gamma)).collect();
        // Only ratios matter: the largest likelihood becomes 1, so that nothing underflows.
        let largest = log_likelihood.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = runs.iter().zip(&log_likelihood).map(|((p, _), l)| p * (l - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut next = vec![(HAZARD, Run::new(columns))];
        for ((_, run), weight) in runs.into_iter().zip(weights) {
            let probability = weight / total * (1.0 - HAZARD);
            if probability >= LEAST_PROBABILITY {
                next.push((probability, run.with(row)));
            }
        }
        runs = next;
        let mut best = (0.0, 0);
        for (probability, run) in &runs {
            if *probability > best.0 {
                best = (*probability, run.length);
            }
        }
        most_probable.push(best.1);
    }
    most_probable
}

/// What is known of a run: the parameters of its Normal-Wishart.
#[derive(Clone, Debug)]
struct Run {
    length: usize,
    mean: Vec<f64>,
    /// Inverse of `S`, row by row.
    inverse: Vec<f64>,
    /// Natural logarithm of the determinant of `S`.
    log_determinant: f64,
}

impl Run {
    fn new(columns: usize) -> Self {
        let mut inverse = vec![0.0; columns * columns];
        for at in 0..columns {
            inverse[at * columns + at] = 1.0;
        }
        Self { length: 0, mean: vec![0.0; columns], inverse, log_determinant: 0.0 }
    }

    fn kappa(&self) -> f64 {
        1.0 + self.length as f64
    }

    /// The inverse of `S` times the distance from the mean, and the distance's square in that metric.
    fn whitened(&self, row: &[f64]) -> (Vec<f64>, f64) {
        let distance: Vec<f64> = row.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        let columns = distance.len();
        let whitened: Vec<f64> =
            self.inverse.chunks(columns).map(|line| line.iter().zip(&distance).map(|(a, b)| a * b).sum()).collect();
        let square = whitened.iter().zip(&distance).map(|(a, b)| a * b).sum();
        (whitened, square)
    }

    fn log_density(&self, row: &[f64], log_gamma: &LogGamma) -> f64 {
        let columns = self.mean.len();
        let d = columns as f64;
        // n - d + 1 with n = d + 1 + length.
        let freedom = self.length + 2;
        let df = freedom as f64;
        let stretch = (self.kappa() + 1.0) / (self.kappa() * df);
        let square = self.whitened(row).1 / stretch;
        let log_shape = self.log_determinant + d * stretch.ln();
        log_gamma.of_half(freedom + columns)
            - log_gamma.of_half(freedom)
            - 0.5 * d * (df * PI).ln()
            - 0.5 * log_shape
            - 0.5 * (df + d) * (square / df).ln_1p()
    }

    fn with(mut self, row: &[f64]) -> Self {
        let (whitened, square) = self.whitened(row);
        let kappa = self.kappa();
        let weight = kappa / (kappa + 1.0);
        let columns = whitened.len();
        let shrink = weight / (1.0 + weight * square);
        for (at, value) in self.inverse.iter_mut().enumerate() {
            *value -= shrink * whitened[at / columns] * whitened[at % columns];
        }
        self.log_determinant += (weight * square).ln_1p();
        for (mean, x) in self.mean.iter_mut().zip(row) {
            *mean = (kappa * *mean + x) / (kappa + 1.0);
        }
        self.length += 1;
        self
    }
}

/// Logarithms of the gamma function at halves: all that degrees of freedom need.
struct LogGamma(Vec<f64>);

impl LogGamma {
    /// Up to `largest / 2`, by `gamma(x) = (x - 1) gamma(x - 1)` from `gamma(1/2) = sqrt(pi)` and `gamma(1) = 1`.
    fn up_to(largest: usize) -> Self {
        let mut values = vec![f64::INFINITY, 0.5 * PI.ln(), 0.0];
        for twice in 3..=largest {
            let below = twice as f64 / 2.0 - 1.0;
            values.push(below.ln() + values[twice - 2]);
        }
        Self(values)
    }

    /// At `twice / 2`.
    fn of_half(&self, twice: usize) -> f64 {
        self.0[twice]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(at: usize, column: usize) -> f64 {
        ((at * 7 + column * 3) % 5) as f64 * 0.02
    }

    #[test]
    fn the_predictive_density_is_that_of_scipy() {
        let rows = [[0.1, 0.4], [0.3, 0.2], [0.2, 0.9]];
        let log_gamma = LogGamma::up_to(20);
        let mut run = Run::new(2);
        for (row, expected) in rows.iter().zip(SCIPY) {
            let got = run.log_density(row, &log_gamma);
            assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
            run = run.with(row);
        }
    }

    /// `m, S, n, k = np.zeros(2), np.eye(2), 3, 1`, then for each row `x`: `df = n - 1;
    /// multivariate_t(m, S * (k + 1) / (k * df), df=df).logpdf(x)` of scipy.stats 1.16, followed by the update above.
    const SCIPY: [f64; 3] = [-2.001_037_040_394_191, -1.287_113_993_675_177, -1.683_628_144_261_621];

    #[test]
    fn a_shift_is_found_where_it_is_and_none_in_noise() {
        let shifted: Vec<Vec<f64>> = (0..60)
            .map(|at| (0..3).map(|c| wave(at, c) + if at >= 40 && c < 2 { 0.8 } else { 0.0 }).collect())
            .collect();
        let found = change_points(&shifted);
        assert!(found.first().is_some_and(|first| first.row.abs_diff(40) <= 1), "{found:?}");
        let quiet: Vec<Vec<f64>> = (0..60).map(|at| (0..3).map(|c| wave(at, c)).collect()).collect();
        assert!(change_points(&quiet).is_empty());
        assert!(change_points(&[]).is_empty() && change_points(&[Vec::new()]).is_empty());
    }
}
