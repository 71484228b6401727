//! Random numbers that are the same on every machine.
//!
//! Bits come from PCG (O'Neill 2014, `rand_pcg`), whose output is fixed by its definition. What is drawn from them uses
//! [`libm`]'s logarithm and trigonometry, which are code in Rust: those of the platform differ in the last digit between
//! C libraries, and one digit would change every byte that follows.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(Pcg64Mcg);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// A stream of its own for `part` of what `seed` stands for: that one part draws more numbers leaves the others as
    /// they are.
    pub fn of_part(seed: u64, part: &str) -> Self {
        // FNV-1a, 64 bits: the hashes of the standard library may change between versions.
        let hash = part
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self::new(seed ^ hash.rotate_left(17))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 (included) to 1 (excluded), in steps of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// True with the probability given; below 0 means never, above 1 always.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number below `n`; 0 when `n` is 0. (Lemire's multiplication; its bias is below 2⁻³² for any `n` used here.)
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// One of the items; `None` when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// Exponential with the mean given.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit())
    }

    /// Standard normal, by Marsaglia's polar method.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * libm::sqrt(-2.0 * libm::log(square) / square);
            }
        }
    }

    /// Log-normal with the mean given; `sigma` is the deviation of its logarithm.
    pub fn log_normal(&mut self, mean: f64, sigma: f64) -> f64 {
        mean * libm::exp(sigma * self.normal() - 0.5 * sigma * sigma)
    }

    /// Pareto with the mean given; `shape` above 1. Heavier the smaller the shape: from 2 down its variance is infinite.
    pub fn pareto(&mut self, mean: f64, shape: f64) -> f64 {
        let least = mean * (shape - 1.0) / shape;
        least * libm::exp(-libm::log(1.0 - self.unit()) / shape)
    }

    /// The items in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Means and variances within five standard errors of the theory, over 200 000 draws.
    #[test]
    fn moments_are_those_of_the_distributions() {
        let n = 200_000;
        let mut random = Random::new(1);
        let mut check = |what: &str, mean: f64, variance: f64, draw: &dyn Fn(&mut Random) -> f64| {
            let values: Vec<f64> = (0..n).map(|_| draw(&mut random)).collect();
            let found = values.iter().sum::<f64>() / f64::from(n);
            let error = (variance / f64::from(n)).sqrt();
            assert!((found - mean).abs() < 5.0 * error, "{what}: mean {found} against {mean}");
        };
        check("unit", 0.5, 1.0 / 12.0, &Random::unit);
        check("exponential", 3.0, 9.0, &|r| r.exponential(3.0));
        check("normal", 0.0, 1.0, &Random::normal);
        check("normal squared", 1.0, 2.0, &|r| r.normal().powi(2));
        check("log-normal", 2.0, 4.0 * (0.25_f64.exp() - 1.0), &|r| r.log_normal(2.0, 0.5));
        check("pareto", 2.0, 4.0 / (3.0 * 1.0), &|r| r.pareto(2.0, 3.0));
        check("below", 4.5, 8.25, &|r| r.below(10) as f64);
    }

    #[test]
    fn a_stream_is_fixed_for_ever() {
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        insta::assert_debug_snapshot!(drawn);
        assert_ne!(Random::of_part(7, "load").bits(), Random::of_part(7, "faults").bits());
    }
}
