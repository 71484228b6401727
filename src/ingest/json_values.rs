//! JSON files: one value a line, read line by line, or values that stretch over lines, read as a whole.

use std::ops::Range;
use std::path::Path;

use serde::de::IgnoredAny;

use super::json_stream::Source;
use super::pieces::{self, PIECE_BYTES};
use super::span_draft::text_of;
use super::text::LineReader;
use super::{IngestError, Input, ReadOptions, Telemetry};

/// Hands every line, or the whole file where values stretch over lines, to `decode`, one after the other.
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
    let file = File { path: input.path, sampling_attribute: options.sampling_attribute.as_deref() };
    let Some(mut lines) = beginning(file, input, options, out, &mut decode)? else { return Ok(()) };
    while let Some(line) = lines.next_line()? {
        file.decode_line(line.number, line.bytes, out, &mut decode);
    }
    Ok(())
}

/// As [`read`], with the lines decoded on all cores: for formats whose lines do not depend on each other.
pub(crate) fn read_side_by_side(
    input: Input<'_>,
    options: &ReadOptions,
    out: &mut Telemetry,
    decode: impl Fn(&Source<'_>, &mut Telemetry) + Sync,
) -> Result<(), IngestError> {
    let file = File { path: input.path, sampling_attribute: options.sampling_attribute.as_deref() };
    let Some(mut lines) = beginning(file, input, options, out, &mut |source, out| decode(source, out))? else {
        return Ok(());
    };
    let mut result = Ok(());
    let next = || Lines::next(&mut lines, &mut result);
    pieces::decode(file.path, out, next, |piece, out| {
        for (number, range) in &piece.lines {
            let line = piece.bytes.get(range.clone()).unwrap_or_default();
            file.decode_line(*number, line, out, &mut |source, out| decode(source, out));
        }
    });
    result
}

/// Lines that follow each other, with their numbers.
struct Lines {
    bytes: Vec<u8>,
    lines: Vec<(u64, Range<usize>)>,
}

impl Lines {
    /// The next ones; `None` at the end of the file, or at a failure to read on, which goes into `result`.
    fn next(reader: &mut LineReader<'_>, result: &mut Result<(), IngestError>) -> Option<Self> {
        let mut piece = Self { bytes: Vec::new(), lines: Vec::new() };
        while result.is_ok() && piece.bytes.len() < PIECE_BYTES {
            match reader.next_line() {
                // Or else any number of them would fit into a piece.
                Ok(Some(line)) if line.bytes.trim_ascii().is_empty() => {}
                Ok(Some(line)) => {
                    let start = piece.bytes.len();
                    piece.bytes.extend_from_slice(line.bytes);
                    piece.lines.push((line.number, start..piece.bytes.len()));
                }
                Ok(None) => break,
                Err(error) => *result = Err(error),
            }
        }
        (!piece.lines.is_empty()).then_some(piece)
    }
}

#[derive(Clone, Copy)]
struct File<'f> {
    path: &'f Path,
    sampling_attribute: Option<&'f str>,
}

impl File<'_> {
    fn decode_line(
        &self,
        number: u64,
        bytes: &[u8],
        out: &mut Telemetry,
        decode: &mut impl FnMut(&Source<'_>, &mut Telemetry),
    ) {
        if !bytes.trim_ascii().is_empty() {
            let Self { path, sampling_attribute } = *self;
            let text = text_of(out, path, number, bytes);
            decode(&Source { path, text: &text, line: Some(number), sampling_attribute }, out);
        }
    }
}

/// Decodes the first line, or all of the file where values stretch over lines; the lines that are left.
fn beginning<'i>(
    file: File<'_>,
    input: Input<'i>,
    options: &ReadOptions,
    out: &mut Telemetry,
    decode: &mut impl FnMut(&Source<'_>, &mut Telemetry),
) -> Result<Option<LineReader<'i>>, IngestError> {
    let File { path, sampling_attribute } = file;
    let mut lines = LineReader::new(input, options);
    let mut start = Vec::new();
    let first;
    // The first line that is not blank.
    loop {
        let Some(line) = lines.next_line()? else { return Ok(None) };
        if !line.bytes.trim_ascii().is_empty() {
            start.extend_from_slice(line.bytes);
            first = line.number;
            break;
        }
    }
    if !is_beginning(&start) {
        file.decode_line(first, &start, out, decode);
        return Ok(Some(lines));
    }
    // A failure to read on must not keep us from what there is.
    let (second, error) = match lines.next_line() {
        Ok(line) => (line.map(|l| (l.number, l.bytes.to_vec())), None),
        Err(error) => (None, Some(error)),
    };
    match second {
        Some((number, second)) if is_value(&second) => {
            file.decode_line(first, &start, out, decode);
            file.decode_line(number, &second, out, decode);
            error.map_or(Ok(Some(lines)), Err)
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
            error.or(later).map_or(Ok(None), Err)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_take_no_room_in_a_piece() {
        let text = format!("{}{{}}\n{}", "\n".repeat(10_000), " \r\n".repeat(10_000));
        let input = Input { path: Path::new("blank.json"), bytes: Box::new(text.as_bytes()), file: None };
        let (mut reader, mut result) = (LineReader::new(input, &ReadOptions::default()), Ok(()));
        let piece = Lines::next(&mut reader, &mut result).unwrap();
        assert_eq!(piece.lines, [(10_001, 0..2)]);
        assert!(Lines::next(&mut reader, &mut result).is_none() && result.is_ok());
    }
}
