//! Sums of a discrete distribution's far tail, from the first term outwards.

/// Enough for a tail that starts at the mean of a distribution with a standard deviation of a hundred thousand.
const MAX_TERMS: usize = 1_000_000;

/// The sum of a tail whose first term has the logarithm `ln_first` and whose n-th quotient of neighbours (next over
/// this) is `quotient(n)`, falling and below 1 sooner or later. In 0..=1.
///
/// Summing outwards keeps the relative precision of tails far below the rounding of `1 - cdf`, and needs steps in
/// proportion to the standard deviation only, where the library's sums need one for each value.
pub(super) fn sum(ln_first: f64, quotient: impl Fn(f64) -> f64) -> f64 {
    if ln_first.is_nan() {
        return 1.0;
    }
    let mut term = 1.0_f64;
    let mut total = 1.0_f64;
    for step in 0..MAX_TERMS {
        let factor = quotient(step as f64);
        term *= factor;
        if factor.is_nan() || term <= 0.0 {
            break;
        }
        total += term;
        if factor < 1.0 && term < total * 1e-17 {
            break;
        }
    }
    (ln_first + total.ln()).exp().clamp(0.0, 1.0)
}
