//! JSON files: one value a line, read line by line, or values that stretch over lines, read as a whole.

use serde::de::IgnoredAny;

use super::json_stream::Source;
use super::span_draft::text_of;
use super::text::LineReader;
use super::{IngestError, Input, ReadOptions, Telemetry};

/// Hands every line, or the whole file where values stretch over lines, to `decode`.
///
/// The first line tells: if it is a whole value, or broken otherwise than by being cut off, every line is one for
/// itself, and a broken line costs only itself. If it is only the beginning of a value, and the second line is not a
/// value of its own, the file is one text.
pub(crate) fn read(
    input: Input<'_>,
    options: &ReadOptions,
    out: &mut Telemetry,
    mut decode: impl FnMut(&Source<'_>, &mut Telemetry),
) -> Result<(), IngestError> {
    let path = input.path;
    let sampling_attribute = options.sampling_attribute.as_deref();
    let mut lines = LineReader::new(input, options);
    let mut start = Vec::new();
    let first;
    // The first line that is not blank.
    loop {
        let Some(line) = lines.next_line()? else { return Ok(()) };
        if !line.bytes.trim_ascii().is_empty() {
            start.extend_from_slice(line.bytes);
            first = line.number;
            break;
        }
    }
    let mut decode_line = |number: u64, bytes: &[u8]| {
        if !bytes.trim_ascii().is_empty() {
            let text = text_of(out, path, number, bytes);
            decode(&Source { path, text: &text, line: Some(number), sampling_attribute }, out);
        }
    };
    if is_beginning(&start) {
        // A failure to read on must not keep us from what there is.
        let (second, error) = match lines.next_line() {
            Ok(line) => (line.map(|l| (l.number, l.bytes.to_vec())), None),
            Err(error) => (None, Some(error)),
        };
        match second {
            Some((number, second)) if is_value(&second) => {
                decode_line(first, &start);
                decode_line(number, &second);
            }
            second => {
                // Blank lines before the first keep the line numbers of messages right.
                let mut whole = vec![b'\n'; usize::try_from(first - 1).unwrap_or(0)];
                whole.append(&mut start);
                if let Some((_, second)) = second {
                    whole.push(b'\n');
                    whole.extend_from_slice(&second);
                    whole.push(b'\n');
                }
                let (rest, later) = if error.is_some() { (Vec::new(), None) } else { lines.rest() };
                whole.extend_from_slice(&rest);
                drop(rest);
                let text = text_of(out, path, 1, &whole);
                decode(&Source { path, text: &text, line: None, sampling_attribute }, out);
                return error.or(later).map_or(Ok(()), Err);
            }
        }
        if let Some(error) = error {
            return Err(error);
        }
    } else {
        decode_line(first, &start);
    }
    drop(start);
    while let Some(line) = lines.next_line()? {
        decode_line(line.number, line.bytes);
    }
    Ok(())
}

/// Whether the text is a value that goes on in the next line.
fn is_beginning(line: &[u8]) -> bool {
    // A line of an exporter may be a gigabyte long: look at its last byte before reading it twice.
    const LONG: usize = 64 * 1024;
    let closed = matches!(line.trim_ascii_end().last(), Some(b'}' | b']'));
    if closed && line.len() > LONG {
        return false;
    }
    let mut json = serde_json::Deserializer::from_slice(line);
    while json.end().is_err() {
        if let Err(error) = serde::Deserialize::deserialize(&mut json).map(|IgnoredAny| ()) {
            return error.is_eof();
        }
    }
    false
}

fn is_value(line: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(line).is_ok() && line.trim_ascii_start().starts_with(b"{")
}
