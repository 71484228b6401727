//! Times, durations and windows as people write them, and the one way in which we write them back.
//!
//! Times are RFC 3339 with a zone (`2026-03-02T10:00:00Z`), Unix seconds (`1772445600.25`) or relative to the present
//! (`now`, `now-1h30m`). Durations are Prometheus' (`1h30m`, units `y w d h m s ms`). A window is `START/END` or
//! `START/DURATION`. The present is a parameter: nothing here reads a clock.

use crate::telemetry::time::{EmptyWindow, NANOS_PER_SECOND, Window};

/// Why a text is not a time, a duration or a window. Every message says what would be one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TimespecError {
    /// Neither of the three ways to write a time.
    #[error(
        "`{text}` is not a time: write RFC 3339 with a zone (2026-03-02T10:00:00Z), Unix seconds (1772445600) or now-1h"
    )]
    Time {
        /// As written.
        text: String,
    },
    /// Before 1677 or after 2262: most often milliseconds were meant as seconds.
    #[error("time `{text}` is out of range (years 1677 to 2262): Unix times are in seconds, not milliseconds")]
    OutOfRange {
        /// As written.
        text: String,
    },
    /// Not a duration as Prometheus writes it.
    #[error("`{text}` is not a duration: write for example 90s, 15m or 1h30m (units y w d h m s ms, largest first)")]
    Duration {
        /// As written.
        text: String,
    },
    /// No `/` between the two ends of a window.
    #[error("`{text}` is not a window: write START/END or START/DURATION, for example 2026-03-02T10:00:00Z/15m")]
    Window {
        /// As written.
        text: String,
    },
    /// The end is not after the start.
    #[error("window `{text}` is empty")]
    Empty {
        /// As written.
        text: String,
        /// The two instants.
        #[source]
        source: EmptyWindow,
    },
}

/// The units of a duration, largest first, in nanoseconds. A year has 365 days, as in Prometheus.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400 * NANOS_PER_SECOND),
    ("w", 7 * 86_400 * NANOS_PER_SECOND),
    ("d", 86_400 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("s", NANOS_PER_SECOND),
    ("ms", 1_000_000),
];

/// Reads a time into Unix nanoseconds; `now_ns` is what `now` means.
///
/// # Errors
/// [`TimespecError`] when the text is no time, or lies outside the years 1677 to 2262.
///
/// ```
/// use hypocenter::timespec::parse_time;
/// assert_eq!(parse_time("1970-01-01T00:01:00+00:00", 0), Ok(60_000_000_000));
/// assert_eq!(parse_time("1.5", 0), Ok(1_500_000_000));
/// assert_eq!(parse_time("now-1m30s", 90_000_000_000), Ok(0));
/// ```
pub fn parse_time(text: &str, now_ns: i64) -> Result<i64, TimespecError> {
    let text = text.trim();
    let wrong = || TimespecError::Time { text: shown(text) };
    let out_of_range = || TimespecError::OutOfRange { text: shown(text) };
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.strip_prefix('-') {
            None if rest.is_empty() => Ok(now_ns),
            None => Err(wrong()),
            Some(duration) => now_ns.checked_sub(parse_duration(duration)?).ok_or_else(out_of_range),
        };
    }
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-')
        && !text[1..].contains('-')
    {
        return unix_seconds(text).ok_or_else(wrong)?.ok_or_else(out_of_range);
    }
    let instant: jiff::Timestamp = text.parse().map_err(|_error: jiff::Error| wrong())?;
    i64::try_from(instant.as_nanosecond()).map_err(|_error| out_of_range())
}

/// Unix seconds with up to nine decimals, exactly. Outer `None`: not a number; inner `None`: out of range.
fn unix_seconds(text: &str) -> Option<Option<i64>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return None;
    }
    let Ok(seconds) = whole.parse::<i64>() else { return Some(None) };
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let total = seconds.checked_mul(NANOS_PER_SECOND).and_then(|s| s.checked_add(nanos));
    Some(total.map(|t| if negative { -t } else { t }))
}

/// Reads a duration into nanoseconds. `0` alone is the only number that needs no unit.
///
/// # Errors
/// [`TimespecError::Duration`] for unknown, repeated or unordered units, and for more than 292 years.
///
/// ```
/// use hypocenter::timespec::parse_duration;
/// assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
/// assert!(parse_duration("30m1h").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<i64, TimespecError> {
    let text = text.trim();
    let wrong = || TimespecError::Duration { text: shown(text) };
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let letters = rest[digits..].len() - rest[digits..].trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let amount: i64 = rest[..digits].parse().map_err(|_error: std::num::ParseIntError| wrong())?;
        let name = &rest[digits..digits + letters];
        // The iterator only moves forward, so a unit that is repeated or too large for its place is not found.
        let (_, nanos) = units.find(|(unit, _)| *unit == name).ok_or_else(wrong)?;
        total = amount.checked_mul(*nanos).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = &rest[digits + letters..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// Reads a window, `START/END` or `START/DURATION`.
///
/// # Errors
/// [`TimespecError`] when either side cannot be read or the window is empty.
///
/// ```
/// use hypocenter::timespec::parse_window;
/// let window = parse_window("1970-01-01T00:00:00Z/5m", 0).unwrap();
/// assert_eq!(window.seconds(), 300.0);
/// ```
pub fn parse_window(text: &str, now_ns: i64) -> Result<Window, TimespecError> {
    let (start, end) = text.split_once('/').ok_or_else(|| TimespecError::Window { text: shown(text) })?;
    let start_ns = parse_time(start, now_ns)?;
    // A lone number is a time, a number with units a duration; the two do not overlap.
    let end_ns = match parse_duration(end) {
        Ok(length) => start_ns.checked_add(length).ok_or_else(|| TimespecError::OutOfRange { text: shown(text) })?,
        Err(_) => parse_time(end, now_ns)?,
    };
    Window::new(start_ns, end_ns).map_err(|source| TimespecError::Empty { text: shown(text), source })
}

/// Writes an instant as RFC 3339 in UTC, with as many decimals as it needs.
pub fn rfc3339(at_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at_ns))
        .expect("every i64 of nanoseconds lies in jiff's range, years -9999 to 9999")
        .to_string()
}

/// Writes a window as `START/END`, readable by [`parse_window`].
pub fn window_text(window: &Window) -> String {
    format!("{}/{}", rfc3339(window.start_ns()), rfc3339(window.end_ns()))
}

/// Foreign text for a message: one line, without control characters, not endless.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(80).collect();
    if text.chars().count() > 80 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_445_600 * NANOS_PER_SECOND;

    #[test]
    fn times_in_every_notation_mean_the_same_instant() {
        // date -u -d @1772445600 --iso-8601=seconds  ->  2026-03-02T10:00:00+00:00
        for text in
            ["2026-03-02T10:00:00Z", "2026-03-02T11:00:00+01:00", "1772445600", "1772445600.000", "now", "now-0s"]
        {
            assert_eq!(parse_time(text, NOW), Ok(NOW), "{text}");
        }
        assert_eq!(parse_time("1772445600.000000001", NOW), Ok(NOW + 1));
        assert_eq!(parse_time("-1.5", NOW), Ok(-1_500_000_000));
        assert_eq!(parse_time("now-1d", NOW), Ok(NOW - 86_400 * NANOS_PER_SECOND));
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_way_out() {
        for text in
            ["", "yesterday", "2026-03-02T10:00:00", "now-", "now+1h", "nowish", "1.2.3", "-", "--1", "é", "1-2"]
        {
            let error = parse_time(text, NOW).expect_err(text);
            assert!(error.to_string().contains("write"), "{text}: {error}");
        }
        let error = parse_time("1772445600000", NOW).unwrap_err();
        assert_eq!(error, TimespecError::OutOfRange { text: "1772445600000".into() });
        assert!(matches!(parse_time("99999999999999999999", NOW), Err(TimespecError::OutOfRange { .. })));
        assert!(matches!(parse_time("9000-01-01T00:00:00Z", NOW), Err(TimespecError::OutOfRange { .. })));
    }

    #[test]
    fn durations_follow_prometheus() {
        // The accepted and refused cases of TestParseDuration, prometheus/common model/time_test.go.
        let second = NANOS_PER_SECOND;
        for (text, expected) in [
            ("0", 0),
            ("0w", 0),
            ("0s", 0),
            ("324ms", 324_000_000),
            ("3s", 3 * second),
            ("5m", 300 * second),
            ("1h", 3600 * second),
            ("4d", 4 * 86_400 * second),
            ("4d1h", (4 * 86_400 + 3600) * second),
            ("14d", 14 * 86_400 * second),
            ("3w2d1h", (23 * 86_400 + 3600) * second),
            ("10y", 3650 * 86_400 * second),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        for text in ["1", "1y1m1d", "-1w", "1.5d", "d", "", "294y", "200y10400w", "1h1h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn windows_are_two_times_or_a_time_and_a_length() {
        let expected = Window::new(NOW, NOW + 900 * NANOS_PER_SECOND).unwrap();
        for text in [
            "2026-03-02T10:00:00Z/15m",
            "2026-03-02T10:00:00Z/2026-03-02T10:15:00Z",
            "1772445600/1772446500",
            "now/15m",
        ] {
            assert_eq!(parse_window(text, NOW), Ok(expected), "{text}");
        }
        assert_eq!(parse_window(&window_text(&expected), 0), Ok(expected));
        assert!(matches!(parse_window("now/now-1h", NOW), Err(TimespecError::Empty { .. })));
        assert!(matches!(parse_window("now/0s", NOW), Err(TimespecError::Empty { .. })));
        assert!(matches!(parse_window("now", NOW), Err(TimespecError::Window { .. })));
        assert!(matches!(parse_window("now/soon", NOW), Err(TimespecError::Time { .. })));
    }

    #[test]
    fn instants_are_written_in_utc() {
        assert_eq!(rfc3339(NOW), "2026-03-02T10:00:00Z");
        assert_eq!(rfc3339(NOW + 250_000_000), "2026-03-02T10:00:00.25Z");
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43.145224192Z");
    }
}
