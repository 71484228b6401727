//! Two-sided tails of the normal and Student's t distribution.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::erf::{erfc, erfc_inv};

/// `P(|Z| >= |z|)` for a standard normal Z; 1 for a NaN.
pub fn normal_two_sided(z: f64) -> f64 {
    if z.is_nan() { 1.0 } else { erfc(z.abs() * std::f64::consts::FRAC_1_SQRT_2).clamp(0.0, 1.0) }
}

/// The z >= 0 whose [`normal_two_sided`] is `p`; `p` is clamped to the positive numbers up to 1, and so z to at most 38.
pub fn normal_z(p: f64) -> f64 {
    let p = if p.is_nan() { 1.0 } else { p.clamp(f64::MIN_POSITIVE, 1.0) };
    (erfc_inv(p) * std::f64::consts::SQRT_2).max(0.0)
}

/// `P(|T| >= |t|)` for Student's t with `degrees` of freedom; 1 where `degrees` is not positive (nothing is known) or
/// either is a NaN.
pub fn student_two_sided(t: f64, degrees: f64) -> f64 {
    if t.is_nan() || degrees.is_nan() || degrees <= 0.0 {
        return 1.0;
    }
    // From here on the two agree to 1e-4 of p, and the library's continued fraction needs ever more steps.
    if degrees > 10_000.0 {
        return normal_two_sided(t);
    }
    let t = t.abs().min(1e100);
    StudentsT::new(0.0, 1.0, degrees).map_or(1.0, |student| (2.0 * student.sf(t)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-9 * expected.abs(), "{actual} is not {expected}");
    }

    #[test]
    fn normal_tails_are_those_of_scipy() {
        // 2 * scipy.stats.norm.sf([0, 1.96, 6, 30])
        for (z, p) in [
            (0.0, 1.0),
            (1.96, 0.049_995_790_296_440_87),
            (6.0, 1.973_175_290_075_389e-9),
            (30.0, 9.813_427_854_295_816e-198),
        ] {
            close(normal_two_sided(z), p);
            close(normal_two_sided(-z), p);
            assert!((normal_z(p) - z).abs() < 1e-6, "{} is not {z}", normal_z(p));
        }
        close(normal_two_sided(f64::NAN), 1.0);
        assert!(normal_two_sided(f64::INFINITY) < 1e-300);
        assert!(normal_z(0.0) < 38.5 && normal_z(0.0) > 37.0);
    }

    #[test]
    fn student_tails_are_those_of_scipy() {
        // 2 * scipy.stats.t.sf([1, 3, 12, 50], [1, 4, 29, 5])
        for (t, degrees, p) in [
            (1.0, 1.0, 0.5),
            (3.0, 4.0, 0.039_941_968_071_718_83),
            (12.0, 29.0, 9.060_708_333_137_183e-13),
            (50.0, 5.0, 6.047_757_626_601_225e-8),
        ] {
            close(student_two_sided(t, degrees), p);
            close(student_two_sided(-t, degrees), p);
        }
        close(student_two_sided(5.0, 0.0), 1.0);
        close(student_two_sided(f64::NAN, 3.0), 1.0);
        assert!(student_two_sided(1e308, 3.0) >= 0.0);
        assert!(student_two_sided(f64::INFINITY, 1e9) >= 0.0);
    }
}
