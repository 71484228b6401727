//! How many spans of the real traffic one span stands for, in the two bytes that a packed row has left.

use crate::telemetry::id::TraceId;

/// A weight as a floating-point number without sign: 4 bits of exponent over 12 bits of mantissa. Exact up to 8192; above
/// that within 1 in 4096, rounded up or down by the trace's hash so that sums stay right on average, and so that neither
/// the order of spans nor the machine can change them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Weight(u16);

const MANTISSA_BITS: u32 = 12;
const HIDDEN_BIT: u32 = 1 << MANTISSA_BITS;

impl Weight {
    /// The source does not say.
    pub(super) const UNSAID: Self = Self(0);
    /// Stands for itself only.
    pub(super) const ONE: Self = Self(1);
    /// The greatest that can be told, 134 million; what is more counts as this.
    const MAX: u32 = (2 * HIDDEN_BIT - 1) << 14;

    /// The weight of a span of `trace`; 0 is [`Weight::UNSAID`].
    pub(super) fn of(weight: u32, trace: TraceId) -> Self {
        let weight = weight.min(Self::MAX);
        if weight < HIDDEN_BIT {
            return Self(weight as u16);
        }
        let shift = weight.ilog2() - MANTISSA_BITS;
        // Not the bits by which ingest rounded: the two roundings must not depend on each other.
        let chance = (trace.mixed() as u32) & ((1 << shift) - 1);
        let rounded = (weight + chance).min(Self::MAX);
        let shift = rounded.ilog2() - MANTISSA_BITS;
        Self((((shift + 1) << MANTISSA_BITS) | ((rounded >> shift) & (HIDDEN_BIT - 1))) as u16)
    }

    /// From [`Weight::code`].
    pub(super) fn from_code(code: u16) -> Self {
        Self(code)
    }

    /// Its two bytes; equal for equal weights, and greater for greater ones.
    pub(super) fn code(self) -> u16 {
        self.0
    }

    /// As a number; 0 for [`Weight::UNSAID`].
    #[inline]
    pub(super) fn value(self) -> u64 {
        let (exponent, mantissa) = (u32::from(self.0) >> MANTISSA_BITS, u64::from(self.0) & u64::from(HIDDEN_BIT - 1));
        if exponent == 0 { mantissa } else { (u64::from(HIDDEN_BIT) | mantissa) << (exponent - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_weights_are_exact_and_great_ones_close() {
        for weight in (0..=8192).chain([10_000, 65_537, 1 << 20, Weight::MAX - 1, Weight::MAX]) {
            for trace in [0, 1, 77, u128::MAX] {
                let told = Weight::of(weight, TraceId(trace)).value();
                let error = told.abs_diff(u64::from(weight));
                assert!(
                    if weight <= 8192 { error == 0 } else { error * 4096 <= u64::from(weight) },
                    "{weight}: {told}"
                );
            }
        }
        assert_eq!(Weight::of(u32::MAX, TraceId(1)).value(), u64::from(Weight::MAX));
    }

    #[test]
    fn codes_are_in_the_order_of_weights() {
        let codes: Vec<Weight> = (0..100_000).step_by(7).map(|weight| Weight::of(weight, TraceId(5))).collect();
        assert!(codes.is_sorted());
        assert!(codes.iter().all(|weight| Weight::from_code(weight.code()) == *weight));
    }

    #[test]
    fn rounding_is_right_on_average() {
        // 10 001 lies between 10 000 and 10 002: the mean of 40 000 traces is within 5 standard errors, 5 / 200.
        let weight = |trace| Weight::of(10_001, TraceId(trace)).value() as f64;
        let mean = (0..40_000_u128).map(|n| weight(n * n * 0x9e37_79b9 + n)).sum::<f64>() / 40_000.0;
        assert!((mean - 10_001.0).abs() < 0.025, "{mean}");
    }
}
