//! Do two samples of categories come from the same distribution?

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Likelihood-ratio test of homogeneity of two rows of counts over the same categories, with Williams' correction.
///
/// ```text
/// G = 2 sum_ij o_ij ln(o_ij / e_ij)        e_ij = row_i column_j / n
/// q = 1 + (n sum_i 1/row_i - 1) (n sum_j 1/column_j - 1) / (6 n (k - 1))
/// p = P(chi-squared with k - 1 degrees of freedom > G / q)
/// ```
/// with k categories that occur at all. D. A. Williams, "Improved likelihood ratio tests for complete contingency tables",
/// Biometrika 63, 1976, <https://doi.org/10.1093/biomet/63.1.33>: without q the test finds too much in small tables.
///
/// Counts may be fractions; those that are negative or not finite count as 0. 1 where a row is empty or fewer than two
/// categories occur: nothing can differ.
pub fn homogeneity_p_value(one: &[f64], other: &[f64]) -> f64 {
    let clean = |count: f64| if count.is_finite() { count.max(0.0) } else { 0.0 };
    let cells: Vec<(f64, f64)> =
        one.iter().zip(other).map(|(a, b)| (clean(*a), clean(*b))).filter(|(a, b)| a + b > 0.0).collect();
    let rows = cells.iter().fold((0.0, 0.0), |sum: (f64, f64), cell| (sum.0 + cell.0, sum.1 + cell.1));
    let n = rows.0 + rows.1;
    if cells.len() < 2 || rows.0 <= 0.0 || rows.1 <= 0.0 || !n.is_finite() {
        return 1.0;
    }
    let term = |observed: f64, row: f64, column: f64| {
        if observed > 0.0 { observed * (observed * n / (row * column)).ln() } else { 0.0 }
    };
    let g: f64 = cells.iter().map(|&(a, b)| term(a, rows.0, a + b) + term(b, rows.1, a + b)).sum::<f64>() * 2.0;
    let freedom = (cells.len() - 1) as f64;
    let inverse_rows = n / rows.0 + n / rows.1 - 1.0;
    let inverse_columns = cells.iter().map(|(a, b)| n / (a + b)).sum::<f64>() - 1.0;
    let q = 1.0 + inverse_rows * inverse_columns / (6.0 * n * freedom);
    ChiSquared::new(freedom).map_or(1.0, |chi| chi.sf((g / q).max(0.0)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-8 * expected.abs(), "{actual} is not {expected}");
    }

    #[test]
    fn p_values_are_those_of_scipy_after_the_correction() {
        // g, _, d, _ = scipy.stats.chi2_contingency([one, other], correction=False, lambda_="log-likelihood");
        // q as above from numpy sums; scipy.stats.chi2.sf(g / q, d)
        for (one, other, p) in [
            (&[10.0, 0.0][..], &[1.0, 19.0][..], 5.3468046123077435e-08),
            (&[80.0, 13.0, 7.0], &[30.0, 40.0, 2.0], 2.324545437510172e-08),
            (&[26.0, 0.0, 3.5], &[5.0, 7.0, 1.5], 0.00011857455036619203),
            (&[500.0, 300.0, 200.0], &[100.0, 150.0, 90.0], 1.6380245969602655e-10),
        ] {
            close(homogeneity_p_value(one, other), p);
            close(homogeneity_p_value(other, one), p);
        }
    }

    #[test]
    fn nothing_to_compare_is_no_difference() {
        for (one, other) in [
            (&[][..], &[][..]),
            (&[5.0], &[9.0]),
            (&[5.0, 1.0], &[0.0, 0.0]),
            (&[5.0, 0.0], &[9.0, 0.0]),
            (&[f64::NAN, 3.0], &[1.0, f64::INFINITY]),
        ] {
            let p = homogeneity_p_value(one, other);
            assert!((0.0..=1.0).contains(&p), "{p}");
        }
        close(homogeneity_p_value(&[5.0, 1.0], &[0.0, 0.0]), 1.0);
        close(homogeneity_p_value(&[6.0, 3.0], &[20.0, 10.0]), 1.0);
    }
}
