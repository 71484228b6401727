//! Control of the false-discovery rate over many tests.

/// Adjusted p-values of Benjamini and Hochberg, in the order given: rejecting those below q keeps the expected share of
/// false discoveries among all discoveries below q, for independent or positively dependent tests.
///
/// ```text
/// q_(i) = min over j >= i of m p_(j) / j,   p_(1) <= ... <= p_(m)
/// ```
///
/// Y. Benjamini and Y. Hochberg, J. R. Stat. Soc. B 57, 1995, <https://doi.org/10.1111/j.2517-6161.1995.tb02031.x>.
/// Results are in 0..=1 and not below their p; a NaN counts as 1, and other values are clamped to 0..=1.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let p: Vec<f64> = p_values.iter().map(|p| if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) }).collect();
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let tests = p.len() as f64;
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 1.0_f64;
    for (rank, &at) in order.iter().enumerate().rev() {
        least = least.min(p[at] * (tests / (rank + 1) as f64));
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjusts_as_scipy_does() {
        // scipy.stats.false_discovery_control([.01, .04, .03, .005, .55, .04, 1, 0]) =
        // [0.02667, 0.05333, 0.05333, 0.02, 0.62857, 0.05333, 1, 0]
        let actual = benjamini_hochberg(&[0.01, 0.04, 0.03, 0.005, 0.55, 0.04, 1.0, 0.0]);
        let third = 0.16 / 3.0;
        let expected = [0.08 / 3.0, third, third, 0.02, 4.4 / 7.0, third, 1.0, 0.0];
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() < 1e-12, "{actual:?}");
        }
        assert!(benjamini_hochberg(&[]).is_empty());
        assert_eq!(benjamini_hochberg(&[f64::NAN, -1.0]), [1.0, 0.0]);
    }
}
