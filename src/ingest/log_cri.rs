//! Log lines as container runtimes write them for Kubernetes (containerd, CRI-O): `<time> <stream> <tags> <line>`.
//!
//! Source: Kubernetes, design proposal "CRI logging" and kubelet's `kuberuntime/logs`: the time is RFC 3339 with
//! nanoseconds, the stream `stdout` or `stderr`, the tags are joined by colons and the first is `F` (a full line) or `P`
//! (a part of one, which goes on in the next line of the same stream).

use std::borrow::Cow;

use super::json_stream::Scalar;
use super::log_fields::{LogFields, Slot};
use super::log_json::deliver;
use super::span_draft::text_of;
use super::text::LineReader;
use super::{HEAD_BYTES, Head, IngestError, Input, ReadOptions, Telemetry, instant};

/// Lines of a file that are looked at; all of them must be of this form.
const SNIFF_LINES: usize = 5;

/// Bytes to which the parts of a line are joined; what comes after is passed over. Runtimes cut lines at 16 KiB.
const MAX_JOINED: usize = 1 << 20;

const NO_CRI: &str = "lines skipped: not of the form `<time> stdout|stderr F|P <text>` (a line cut in two)";
const TOO_LONG: &str = "lines of more than 1 MiB are kept in part";

/// One line of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct CriLine<'l> {
    time: &'l str,
    is_error: bool,
    is_part: bool,
    text: &'l str,
}

impl<'l> CriLine<'l> {
    fn of(line: &'l str) -> Option<Self> {
        let (time, rest) = line.split_once(' ')?;
        let (stream, rest) = rest.split_once(' ')?;
        // An empty line has no space after its tags in some runtimes.
        let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_error = match stream {
            "stdout" => false,
            "stderr" => true,
            _ => return None,
        };
        let is_part = match tags.split(':').next() {
            Some("F") => false,
            Some("P") => true,
            _ => return None,
        };
        // A date with a time of day and a zone, in one word: a plain number is none.
        let is_time = time.contains('T') && instant::read(time).is_some_and(|instant| instant.zoned);
        is_time.then_some(Self { time, is_error, is_part, text })
    }
}

/// Whether all of the first lines are of this form. The last line of a head may be cut off anywhere.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let text = String::from_utf8_lossy(head.bytes);
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(SNIFF_LINES).collect();
    if head.bytes.len() >= HEAD_BYTES && lines.len() > 1 {
        lines.pop();
    }
    !lines.is_empty() && lines.iter().all(|line| CriLine::of(line).is_some())
}

/// The parts of a line that are there so far.
#[derive(Default)]
struct Joined {
    time: String,
    first_line: u64,
    text: String,
    open: bool,
}

/// Reads all lines.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let mut lines = LineReader::new(input, options);
    // One for each stream: their lines lie between each other.
    let mut streams = [Joined::default(), Joined::default()];
    let record = |time: &str, text: &str, number: u64, out: &mut Telemetry| {
        let mut fields = LogFields::default();
        fields.take(Slot::Time, 0, Scalar::Text(Cow::Borrowed(time)));
        fields.take(Slot::Message, 0, Scalar::Text(Cow::Borrowed(text)));
        deliver(fields, &|| format!("line {number}"), path, out, 0);
    };
    let result = loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        if line.bytes.trim_ascii().is_empty() {
            continue;
        }
        let number = line.number;
        let text = text_of(out, path, number, line.bytes);
        let Some(cri) = CriLine::of(&text) else {
            out.skip(path, format_args!("line {number}"), NO_CRI);
            continue;
        };
        let joined = &mut streams[usize::from(cri.is_error)];
        if !joined.open && !cri.is_part {
            record(cri.time, cri.text, number, out);
            continue;
        }
        if !joined.open {
            cri.time.clone_into(&mut joined.time);
            (joined.first_line, joined.open) = (number, true);
        }
        if joined.text.len() + cri.text.len() <= MAX_JOINED {
            joined.text.push_str(cri.text);
        } else {
            out.warn(path, format_args!("line {number}"), TOO_LONG, 1);
        }
        if !cri.is_part {
            record(&joined.time, &joined.text, joined.first_line, out);
            joined.text.clear();
            joined.open = false;
        }
    };
    // A line whose end the file does not have.
    for joined in streams.iter().filter(|joined| joined.open) {
        record(&joined.time, &joined.text, joined.first_line, out);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Format, read_bytes};
    use super::*;

    const POD: &str = "/var/log/pods/shop_cart-5f6585d649-fnmft_0a1b2c3d-0000-4000-8000-000000000001/server/0.log";

    fn read(text: &str) -> Telemetry {
        read_bytes(Path::new(POD), text.as_bytes(), &ReadOptions::default()).expect("recognised")
    }

    fn messages(telemetry: &Telemetry) -> Vec<String> {
        let logs = &telemetry.logs;
        (0..logs.len()).map(|row| logs.messages()[logs.message[row] as usize].to_string()).collect()
    }

    #[test]
    fn lines_are_read_and_parts_joined_by_their_stream() {
        let telemetry = read(
            "2026-03-02T10:00:00.1Z stdout P {\"level\":\"error\",\"mess\n\
             2026-03-02T10:00:00.2Z stderr F plain ERROR words\n\
             2026-03-02T10:00:00.3Z stdout F age\":\"disk full\"}\n\
             2026-03-02T10:00:00.4+00:00 stdout F:x last\n\
             2026-03-02T10:00:00.5Z stdout F\n\
             torn\n\
             2026-03-02T10:00:00.6Z stderr P unended\n",
        );
        assert_eq!(telemetry.files[0].format, Format::LogCri);
        assert_eq!(messages(&telemetry), ["plain ERROR words", "disk full", "last", "unended"]);
        assert_eq!(telemetry.logs.at_ns[1] % 1_000_000_000, 100_000_000);
        assert_eq!(telemetry.logs.services(), ["cart"]);
        assert_eq!(telemetry.skipped, 1);
        let told: Vec<String> = telemetry.warnings.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|warning| warning.contains("line 6: lines skipped")), "{told:?}");
    }

    #[test]
    fn other_lines_are_not_taken_for_it() {
        for line in [
            "2026-03-02T10:00:00Z stdout X text",
            "2026-03-02T10:00:00 stdout F text",
            "1772445600 stdout F text",
            "2026-03-02T10:00:00Z info F text",
            "2026-03-02T10:00:00Z stdout",
            "",
        ] {
            assert_eq!(CriLine::of(line), None, "{line}");
            assert!(!sniff(&Head { bytes: line.as_bytes(), columns: &[] }), "{line}");
        }
        let torn = b"2026-03-02T10:00:00Z stdout F text\nno such line\n";
        assert!(!sniff(&Head { bytes: torn, columns: &[] }));
    }

    #[test]
    fn no_line_grows_without_end() {
        let part = format!("2026-03-02T10:00:00Z stdout P {}\n", "x".repeat(400_000));
        let telemetry = read(&part.repeat(4));
        assert_eq!(telemetry.logs.len(), 1);
        assert!(telemetry.warnings.iter().any(|w| w.message == TOO_LONG && w.affected == 2));
    }
}
