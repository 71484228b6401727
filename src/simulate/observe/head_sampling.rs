//! Consistent probability sampling: each trace is kept or not by its id alone, decided at the root.
//!
//! ```text
//! R = the low 56 bits of the trace id                     T = rejection threshold, 0 to 2^56
//! kept      where R >= T                                  probability = (2^56 - T) / 2^56
//! tracestate   ot=th:<T in 14 hexadecimal digits, without zeros at their end>
//! ```
//! OpenTelemetry specification, "TraceState: Probability Sampling" and "TraceState Handling" (`th`). Thresholds are
//! rounded as the Collector's `pkg/sampling` does it (`ProbabilityToThresholdWithPrecision`, four digits).

/// Number of random values of a trace id, 2⁵⁶.
const RANDOM_VALUES: u64 = 1 << 56;
/// Hexadecimal digits of a threshold.
const DIGITS: i32 = 14;
/// Digits that are kept, besides those that lead up to probabilities near 0 or 1.
const PRECISION_DIGITS: i32 = 4;

/// The rejection threshold of a probability; `None` for 0 or less (and NaN), with which nothing is kept.
pub(super) fn threshold(probability: f64) -> Option<u64> {
    if probability >= 1.0 {
        return Some(0);
    }
    if probability.is_nan() || probability <= 0.0 {
        return None;
    }
    // Leading digits f (or 0) say how near to 0 (or 1) the probability is; each of them asks for a further one.
    let leading = |fraction: f64| libm::frexp(fraction).1 / -4;
    let digits = PRECISION_DIGITS + leading(probability).max(leading(1.0 - probability));
    let kept = libm::round(probability * RANDOM_VALUES as f64) as u64;
    let exact = RANDOM_VALUES - kept.clamp(1, RANDOM_VALUES);
    if digits >= DIGITS {
        return Some(exact);
    }
    let shift = (4 * (DIGITS - digits)) as u32;
    let rounded = ((exact + (1 << (shift - 1))) >> shift) << shift;
    Some(rounded.min(RANDOM_VALUES - 1))
}

/// Whether a trace is kept.
pub(super) fn keeps(threshold: u64, trace: u128) -> bool {
    (trace as u64) & (RANDOM_VALUES - 1) >= threshold
}

/// The `tracestate` of a sampled span, `ot=th:f333`.
pub(crate) fn trace_state(threshold: u64) -> String {
    let digits = format!("{threshold:014x}");
    let digits = digits.trim_end_matches('0');
    format!("ot=th:{}", if digits.is_empty() { "0" } else { digits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_collector() {
        // Cases of the Collector's pkg/sampling/probability_test.go that round to four digits or need none:
        // TestProbabilityToThresholdWithPrecision, ExampleProbabilityToThreshold_limitedprecision, …_verysmall.
        let below_one = |numerator: u64, bits: u32| 1.0 - numerator as f64 / (1_u64 << bits) as f64;
        let of_all = |kept: f64| kept / RANDOM_VALUES as f64;
        for (probability, encoded) in [
            (below_one(0x0456_789a, 28), "4568"),
            (below_one(0x0456_789a, 40), "0004568"),
            (below_one(0x0007_89ab_cdef, 40), "0789b"),
            (below_one(0x1234_5678, 32), "1234"),
            (1.0, "0"),
            (15.0 / 16.0, "1"),
            (0.5, "8"),
            (0.25, "c"),
            (0.125, "e"),
            (0.0625, "f"),
            (of_all(1.0), "ffffffffffffff"),
            (of_all(3.0), "fffffffffffffd"),
            (of_all(16.0), "fffffffffffff"),
        ] {
            let found = threshold(probability).map(trace_state);
            assert_eq!(found, Some(format!("ot=th:{encoded}")), "{probability}");
        }
        assert_eq!(threshold(0.0), None);
        assert_eq!(threshold(f64::NAN), None);
    }

    #[test]
    fn only_the_low_56_bits_of_a_trace_decide() {
        let half = threshold(0.5).expect("above 0");
        assert!(keeps(half, 0xff80_0000_0000_0000));
        assert!(!keeps(half, (u128::MAX << 64) | 0xff7f_ffff_ffff_ffff));
    }
}
