//! Times, ids and names as the cells of a table hold them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::ids;
use super::span_columns::TimeUnit;

/// An instant in nanoseconds since the Unix epoch: a number in `unit`, or in the unit that its size tells, or text as in
/// RFC 3339, where a missing offset means UTC. `None` for what is no positive instant.
pub(crate) fn instant_ns(text: &str, unit: Option<TimeUnit>) -> Option<i64> {
    let text = text.trim();
    let ns = match decimal(text) {
        Some(number) => number.in_ns(unit.unwrap_or_else(|| TimeUnit::from_magnitude(number.whole)))?,
        None => text_instant_ns(text)?,
    };
    (ns > 0).then_some(ns)
}

/// A length in nanoseconds. `None` for what is no number or negative.
pub(crate) fn length_ns(text: &str, unit: TimeUnit) -> Option<u64> {
    u64::try_from(decimal(text.trim())?.in_ns(unit)?).ok()
}

/// An instant given as a whole number.
pub(crate) fn whole_instant_ns(number: i64, unit: Option<TimeUnit>) -> Option<i64> {
    let unit = unit.unwrap_or_else(|| TimeUnit::from_magnitude(number));
    number.checked_mul(unit.nanoseconds()).filter(|&ns| ns > 0)
}

/// A decimal number without loss of digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Decimal {
    whole: i64,
    /// Billionths, of the sign of the whole.
    billionths: i64,
}

impl Decimal {
    fn in_ns(self, unit: TimeUnit) -> Option<i64> {
        let fraction = i128::from(self.billionths) * i128::from(unit.nanoseconds()) / 1_000_000_000;
        i64::try_from(i128::from(self.whole) * i128::from(unit.nanoseconds()) + fraction).ok()
    }
}

fn decimal(text: &str) -> Option<Decimal> {
    if let Ok(whole) = text.parse() {
        return Some(Decimal { whole, billionths: 0 });
    }
    let (whole, fraction) = text.split_once('.')?;
    if fraction.bytes().all(|b| b.is_ascii_digit()) && !whole.is_empty() {
        let mut digits = 0i64;
        for index in 0..9 {
            digits = digits * 10 + i64::from(fraction.as_bytes().get(index).map_or(0, |d| d - b'0'));
        }
        let billionths = if whole.starts_with('-') { -digits } else { digits };
        return Some(Decimal { whole: whole.parse().ok()?, billionths });
    }
    // Exponents, as spreadsheets write them.
    let number: f64 = text.parse().ok()?;
    (number.abs() < 9.2e18).then_some(Decimal { whole: number as i64, billionths: (number.fract() * 1e9) as i64 })
}

fn text_instant_ns(text: &str) -> Option<i64> {
    let at: Timestamp = match text.parse() {
        Ok(at) => at,
        Err(_no_offset) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    let since: SignedDuration = at.as_duration();
    i64::try_from(since.as_nanos()).ok()
}

/// A span id: hexadecimal or base64, or more than 16 decimal digits. `None` also for zero.
pub(crate) fn span_id(text: &str) -> Option<u64> {
    let text = text.trim();
    ids::span_id(text).or_else(|| text.parse().ok()).filter(|&id| id != 0)
}

/// A trace id. `None` also for zero.
pub(crate) fn trace_id(text: &str) -> Option<u128> {
    ids::trace_id(text.trim())
}

/// A parent's id, 0 for a root; `None` for what is neither.
pub(crate) fn parent_id(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_root = ["", "root", "null", "none", "nan", "-1"].iter().any(|root| text.eq_ignore_ascii_case(root));
    if is_root { Some(0) } else { ids::span_id(text).or_else(|| text.parse().ok()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_without_loss() {
        // Expected: date -u -d '2023-11-14T22:13:20.123456789Z' +%s%N
        const EXPECTED: i64 = 1_700_000_000_123_456_789;
        for text in [
            "1700000000123456789",
            "1700000000123456.789",
            "1700000000.123456789",
            "2023-11-14T22:13:20.123456789Z",
            "2023-11-14 22:13:20.123456789",
            "2023-11-14T23:13:20.123456789+01:00",
        ] {
            assert_eq!(instant_ns(text, None), Some(EXPECTED), "{text}");
        }
        assert_eq!(instant_ns("5", Some(TimeUnit::Milliseconds)), Some(5_000_000));
        for text in ["", "0", "-1700000000", "noon", "99999999999999999999", "1e400", "."] {
            assert_eq!(instant_ns(text, None), None, "{text}");
        }
    }

    #[test]
    fn lengths_may_be_zero_but_not_negative() {
        assert_eq!(length_ns("28160", TimeUnit::Microseconds), Some(28_160_000));
        assert_eq!(length_ns("1.5", TimeUnit::Milliseconds), Some(1_500_000));
        assert_eq!(length_ns("1.5e3", TimeUnit::Nanoseconds), Some(1_500));
        assert_eq!(length_ns("0", TimeUnit::Seconds), Some(0));
        for text in ["-1", "-0.5", "nan", "inf", "9e30"] {
            assert_eq!(length_ns(text, TimeUnit::Seconds), None, "{text}");
        }
    }

    #[test]
    fn roots_have_many_names() {
        for root in ["", "root", "NULL", "0", "0000000000000000", "-1"] {
            assert_eq!(parent_id(root), Some(0), "{root}");
        }
        assert_eq!(parent_id("233d5101e107e112"), Some(0x233d_5101_e107_e112));
        assert_eq!(parent_id("12345678901234567890"), Some(12_345_678_901_234_567_890));
        assert_eq!(parent_id("what"), None);
    }
}
