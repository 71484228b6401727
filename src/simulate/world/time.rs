//! Times of the world: whole nanoseconds, so that sums do not depend on their order.

pub(super) const MICROSECOND_NS: i64 = 1_000;
pub(super) const MILLISECOND_NS: i64 = 1_000_000;
pub(super) const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds of microseconds; at least 0, at most a day (a Pareto time has no bound).
pub(super) fn ns_of_us(us: f64) -> i64 {
    // `as` saturates and turns NaN into 0.
    ((us * 1_000.0) as i64).clamp(0, 86_400 * SECOND_NS)
}

/// Milliseconds of nanoseconds.
pub(super) fn ms_of_ns(ns: i64) -> f64 {
    ns as f64 / 1_000_000.0
}
