//! What the plain text of a log line tells besides its message: severity and trace.

use std::borrow::Cow;

use super::ids;
use super::instant;
use super::json_stream::Scalar;
use crate::telemetry::logs::Severity;

/// The words for severities, in lower case. Sources: OpenTelemetry's log data model (appendix B), syslog (RFC 5424),
/// java.util.logging, log4j, Python, zap, Serilog's three letters.
const WORDS: &[(&str, Severity)] = &[
    ("trace", Severity::Trace),
    ("trc", Severity::Trace),
    ("verbose", Severity::Trace),
    ("vrb", Severity::Trace),
    ("finest", Severity::Trace),
    ("finer", Severity::Trace),
    ("debug", Severity::Debug),
    ("dbg", Severity::Debug),
    ("fine", Severity::Debug),
    ("config", Severity::Debug),
    ("info", Severity::Info),
    ("inf", Severity::Info),
    ("information", Severity::Info),
    ("informational", Severity::Info),
    ("notice", Severity::Info),
    ("log", Severity::Info),
    ("default", Severity::Unspecified), // Google Cloud
    ("warn", Severity::Warn),
    ("wrn", Severity::Warn),
    ("warning", Severity::Warn),
    ("error", Severity::Error),
    ("err", Severity::Error),
    ("severe", Severity::Error),
    ("dpanic", Severity::Error),
    ("fatal", Severity::Fatal),
    ("ftl", Severity::Fatal),
    ("critical", Severity::Fatal),
    ("crit", Severity::Fatal),
    ("panic", Severity::Fatal),
    ("alert", Severity::Fatal),
    ("emerg", Severity::Fatal),
    ("emergency", Severity::Fatal),
];

/// A severity by its word or letter, in any case, perhaps with OpenTelemetry's digit (`ERROR2`); `None` for other words.
pub(crate) fn severity_word(word: &str) -> Option<Severity> {
    let word = word.trim().trim_end_matches(['2', '3', '4']);
    let by_letter = match word {
        "T" | "V" | "t" => Some(Severity::Trace),
        "D" | "d" => Some(Severity::Debug),
        "I" | "i" => Some(Severity::Info),
        "W" | "w" => Some(Severity::Warn),
        "E" | "e" => Some(Severity::Error),
        "F" | "C" | "f" | "c" => Some(Severity::Fatal),
        _ => None,
    };
    by_letter.or_else(|| WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, s)| *s))
}

/// OpenTelemetry's severity number, 1 to 24.
pub(crate) fn severity_number(number: i64) -> Option<Severity> {
    Some(match number {
        0 => Severity::Unspecified,
        1..=4 => Severity::Trace,
        5..=8 => Severity::Debug,
        9..=12 => Severity::Info,
        13..=16 => Severity::Warn,
        17..=20 => Severity::Error,
        21..=24 => Severity::Fatal,
        _ => return None,
    })
}

/// A numeric level whose scale its size tells: syslog's 0 (worst) to 7, the tens of pino and bunyan, logback's ten
/// thousands.
pub(crate) fn level_number(number: i64) -> Option<Severity> {
    Some(match number {
        0..=2 => Severity::Fatal,
        3 => Severity::Error,
        4 => Severity::Warn,
        5 | 6 => Severity::Info,
        7 => Severity::Debug,
        10..=19 | 5_000..=9_999 => Severity::Trace,
        20..=29 | 10_000..=19_999 => Severity::Debug,
        30..=39 | 20_000..=29_999 => Severity::Info,
        40..=49 | 30_000..=39_999 => Severity::Warn,
        50..=59 | 40_000..=49_999 => Severity::Error,
        60..=99 | 50_000..=59_999 => Severity::Fatal,
        _ => return None,
    })
}

/// Bytes of a line in which a severity is looked for.
const HEAD_BYTES: usize = 200;
/// Words of a line in which it is looked for: date, time, zone, host, thread and process come before it.
const HEAD_WORDS: usize = 9;

/// The severity that a plain line begins with: a word in capitals among its first ones, `level=error`, or the letter of
/// klog (`E0302 10:00:00…`).
pub(crate) fn severity_in(line: &str) -> Severity {
    let mut end = line.len().min(HEAD_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let head = line.get(..end).unwrap_or_default();
    for (index, word) in head.split_ascii_whitespace().take(HEAD_WORDS).enumerate() {
        if let Some((_, value)) = word.split_once("level=").or_else(|| word.split_once("severity=")) {
            return severity_word(value.trim_matches(['"', '\'', ','])).unwrap_or_default();
        }
        let bytes = word.as_bytes();
        let is_klog = index == 0 && bytes.len() == 5 && bytes.iter().skip(1).all(u8::is_ascii_digit);
        if let (true, Some(letter)) = (is_klog, word.get(..1).filter(|l| "IWEF".contains(l))) {
            return severity_word(letter).unwrap_or_default();
        }
        // `[ERROR]`, `ERROR:`, `|ERROR|`; a word in small letters is more often part of the message.
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if bare.len() >= 3
            && bare.bytes().all(|b| b.is_ascii_uppercase())
            && let Some(severity) = severity_word(bare)
        {
            return severity;
        }
    }
    Severity::Unspecified
}

/// The trace id that a plain line names after a word like `trace_id=`, `traceId: ` or `TraceID `.
pub(crate) fn trace_in(line: &str) -> Option<u128> {
    let bytes = line.as_bytes();
    for at in memchr::memmem::find_iter(bytes, b"race").take(4) {
        let rest = bytes.get(at + 4..)?;
        let rest = rest.strip_prefix(b"_").or(rest.strip_prefix(b".")).or(rest.strip_prefix(b"-")).unwrap_or(rest);
        let Some(rest) = rest.get(2..).filter(|_| rest.get(..2).is_some_and(|id| id.eq_ignore_ascii_case(b"id")))
        else {
            continue;
        };
        let skipped =
            rest.iter().take(4).take_while(|b| matches!(b, b'=' | b':' | b' ' | b'"' | b'\'' | b'\\')).count();
        let id = rest.get(skipped..)?;
        let digits = id.iter().take(33).take_while(|b| b.is_ascii_hexdigit()).count();
        if matches!(digits, 16 | 32)
            && let Some(id) = id.get(..digits).and_then(|id| std::str::from_utf8(id).ok())
        {
            return ids::trace_id(id);
        }
    }
    None
}

/// The instant of a log record: as [`instant::read`] reads it, and with a comma before the fraction, as Python and log4j
/// write it.
pub(crate) fn time(value: &Scalar<'_>) -> Option<instant::Instant> {
    let ns = match value {
        Scalar::Integer(number) => number.checked_mul(instant::unit_ns(*number)),
        Scalar::Float(number) => instant::float_ns(*number),
        Scalar::Text(text) => return time_text(text),
        Scalar::Absent | Scalar::Bool(_) | Scalar::Nested => None,
    };
    ns.filter(|ns| *ns > 0).map(|ns| instant::Instant { ns, zoned: true })
}

fn time_text(text: &str) -> Option<instant::Instant> {
    let text = text.trim().trim_matches(['[', ']']);
    let text = match text.contains(',') {
        true => Cow::Owned(text.replacen(',', ".", 1)),
        false => Cow::Borrowed(text),
    };
    instant::read(&text).filter(|instant| instant.ns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_tells_its_severity_in_any_case() {
        for (word, severity) in WORDS {
            assert_eq!(severity_word(word), Some(*severity), "{word}");
            assert_eq!(severity_word(&word.to_uppercase()), Some(*severity), "{word}");
        }
        assert_eq!(severity_word("ERROR3"), Some(Severity::Error));
        assert_eq!(severity_word("errors"), None);
        assert_eq!(severity_word(""), None);
    }

    #[test]
    fn a_level_tells_its_scale_by_its_size() {
        for (level, severity) in [
            (10, Severity::Trace), // pino, bunyan
            (30, Severity::Info),
            (50, Severity::Error),
            (60, Severity::Fatal),
            (3, Severity::Error), // syslog
            (6, Severity::Info),
            (40_000, Severity::Error), // logback
        ] {
            assert_eq!(level_number(level), Some(severity), "{level}");
        }
        assert_eq!(level_number(-1), None);
        assert_eq!(severity_number(17), Some(Severity::Error));
        assert_eq!(severity_number(25), None);
    }

    #[test]
    fn plain_lines_tell_their_severity() {
        for (line, severity) in [
            ("16:48:42.424 INFO  t.s.TravelServiceImpl#532 ok", Severity::Info),
            ("2026-03-02 10:00:00,123 [main] ERROR o.a.Server - refused", Severity::Error),
            ("[WARNING] disk is full", Severity::Warn),
            ("ts=2026-03-02T10:00:00Z level=error msg=\"no route\"", Severity::Error),
            ("E0302 10:00:00.123456       1 controller.go:12] failed", Severity::Error),
            ("no error here, info only", Severity::Unspecified),
            ("", Severity::Unspecified),
            ("ééééé", Severity::Unspecified),
        ] {
            assert_eq!(severity_in(line), severity, "{line}");
        }
    }

    #[test]
    fn plain_lines_tell_their_trace() {
        const ID: u128 = 0x49a5_1828_3221_83eb_20bf_e4ac_e306_0000;
        for line in [
            "INFO TraceID: 49a51828322183eb20bfe4ace3060000 SpanID: 083e5d40259e7999 done",
            "trace_id=49a51828322183eb20bfe4ace3060000",
            r#"retrace it, "traceId":"49A51828322183EB20BFE4ACE3060000""#,
        ] {
            assert_eq!(trace_in(line), Some(ID), "{line}");
        }
        for line in
            ["trace", "trace_id=", "trace_id=00000000000000000000000000000000", "trace_id=49a5", "stack trace é"]
        {
            assert_eq!(trace_in(line), None, "{line}");
        }
    }

    #[test]
    fn times_are_read_as_loggers_write_them() {
        // date -u -d 2026-03-02T10:00:00 +%s
        const TEN: i64 = 1_772_445_600_000_000_000;
        let text = |text: &'static str| time(&Scalar::Text(text.into())).map(|i| i.ns);
        for written in [
            "2026-03-02T10:00:00Z",
            "2026-03-02 10:00:00,000",
            "2026-03-02T11:00:00+0100",
            "1772445600000",
            "[2026-03-02 10:00:00]",
        ] {
            assert_eq!(text(written), Some(TEN), "{written}");
        }
        assert_eq!(time(&Scalar::Integer(1_772_445_600_000)).map(|i| i.ns), Some(TEN));
        assert_eq!(time(&Scalar::Float(1_772_445_600.0)).map(|i| i.ns), Some(TEN));
        for bad in ["", "yesterday", "16:48:42.424", "0"] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }
}
