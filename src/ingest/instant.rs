//! Instants as tables and alerts write them: Unix numbers of any usual unit, RFC 3339, and Go's `time.Time` text.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A read instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Instant {
    /// Unix nanoseconds.
    pub(crate) ns: i64,
    /// Whether the text named its zone; without one it was read as UTC.
    pub(crate) zoned: bool,
}

/// Reads a number in seconds, milliseconds, microseconds or nanoseconds (told by its size), `2022-08-23T11:59:28Z`
/// with a space or a `T`, or `2022-08-23 11:59:28.196 +0000 UTC m=+0.13`, which Go prints. `None` for anything else.
pub(crate) fn read(text: &str) -> Option<Instant> {
    let text = text.trim();
    if let Some(ns) = number_ns(text) {
        return Some(Instant { ns, zoned: true });
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return to_ns(timestamp).map(|ns| Instant { ns, zoned: true });
    }
    let mut parts = text.split_ascii_whitespace();
    let (date, time, offset) = (parts.next()?, parts.next(), parts.next());
    if let (Some(time), Some(offset)) = (time, offset)
        && offset.starts_with(['+', '-'])
    {
        let timestamp = format!("{date}T{time}{offset}").parse::<Timestamp>().ok()?;
        return to_ns(timestamp).map(|ns| Instant { ns, zoned: true });
    }
    let timestamp = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    to_ns(timestamp).map(|ns| Instant { ns, zoned: false })
}

fn to_ns(timestamp: Timestamp) -> Option<i64> {
    i64::try_from(timestamp.as_nanosecond()).ok()
}

/// Unix nanoseconds of a decimal number, exact to the nanosecond.
///
/// The unit is told by the size: below 10^11 seconds (year 5138), below 10^14 milliseconds, below 10^17 microseconds,
/// else nanoseconds; each range begins in March 1973.
pub(crate) fn number_ns(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_decimal = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_decimal(whole) || !is_decimal(fraction) {
        // Exponents, as spreadsheets and data frames write them.
        let value: f64 = text.parse().ok()?;
        return float_ns(value);
    }
    let whole: i64 = whole.parse().ok()?;
    let unit_ns = unit_ns(whole);
    let mut fraction_ns = 0;
    let mut digit_ns = unit_ns;
    for digit in fraction.bytes() {
        digit_ns /= 10;
        fraction_ns += i64::from(digit - b'0') * digit_ns;
    }
    whole.checked_mul(unit_ns)?.checked_add(fraction_ns)
}

/// The same of a number that is no text any more; exact to the microsecond for times of this century in seconds.
pub(crate) fn float_ns(value: f64) -> Option<i64> {
    if !(0.0..9.2e18).contains(&value) {
        return None;
    }
    let unit_ns = unit_ns(value as i64) as f64;
    let ns = value * unit_ns;
    (ns < 9.2e18).then(|| if unit_ns > 1e6 { (value * 1e6).round() as i64 * 1000 } else { ns.round() as i64 })
}

/// Nanoseconds of the unit in which a Unix time of this size must be.
pub(crate) fn unit_ns(whole: i64) -> i64 {
    match whole {
        ..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_one_instant_gives_the_same() {
        // date -u -d @1661255968 is 2022-08-23 11:59:28.
        for (text, ns) in [
            ("1661255968", 1_661_255_968_000_000_000),
            ("1661255968.0", 1_661_255_968_000_000_000),
            ("1.661255968e9", 1_661_255_968_000_000_000),
            ("1661255968.123456789", 1_661_255_968_123_456_789),
            ("1661255968123", 1_661_255_968_123_000_000),
            ("1661255968123456", 1_661_255_968_123_456_000),
            ("1661255968123456789", 1_661_255_968_123_456_789),
            ("2022-08-23T11:59:28Z", 1_661_255_968_000_000_000),
            ("2022-08-23 13:59:28+02:00", 1_661_255_968_000_000_000),
            ("2022-08-23 11:59:28.156628494 +0000 UTC m=+0.139064770", 1_661_255_968_156_628_494),
            ("2022-08-23 19:59:28.5 +0800 CST", 1_661_255_968_500_000_000),
        ] {
            assert_eq!(read(text), Some(Instant { ns, zoned: true }), "{text}");
        }
        let local = Instant { ns: 1_661_255_968_000_000_000, zoned: false };
        assert_eq!(read("2022-08-23 11:59:28"), Some(local));
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for text in ["", "now", "-5", "12:30", "2022-13-01T00:00:00Z", "1e300", "NaN", "99999999999999999999", "."] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
