//! Text streams line by line or as a whole; what came before a read error is never lost.

use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::Path;

use super::error::LimitReached;
use super::{IngestError, Input, ReadOptions};

/// One line of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'l> {
    /// Number, from 1.
    pub(crate) number: u64,
    /// Its bytes without the line's end.
    pub(crate) bytes: &'l [u8],
}

/// Reads a stream line by line into one buffer.
pub(crate) struct LineReader<'a> {
    path: &'a Path,
    stream: Box<dyn BufRead + Send + 'a>,
    buffer: Vec<u8>,
    number: u64,
    limit: u64,
    error: Option<IngestError>,
}

impl<'a> LineReader<'a> {
    pub(crate) fn new(input: Input<'a>, options: &ReadOptions) -> Self {
        let (path, stream, limit) = (input.path, input.bytes, options.max_file_bytes);
        Self { path, stream, buffer: Vec::new(), number: 0, limit, error: None }
    }

    /// The next line; `None` at the end. Before a read error, what there is of the line is returned once.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line<'_>>, IngestError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.buffer.clear();
        self.number += 1;
        let number = self.number;
        let place = || format!("line {number}"); // not for every line
        match self.stream.by_ref().take(self.limit).read_until(b'\n', &mut self.buffer) {
            Ok(0) => return Ok(None),
            Ok(n) if n as u64 == self.limit && self.buffer.last() != Some(&b'\n') => {
                let source = std::io::Error::other(LimitReached { limit: self.limit });
                self.error = Some(IngestError::io(self.path, place(), source));
            }
            Ok(_) => {}
            Err(source) => {
                let error = IngestError::io(self.path, place(), source);
                if self.buffer.is_empty() {
                    return Err(error);
                }
                self.error = Some(error);
            }
        }
        let bytes = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Ok(Some(Line { number: self.number, bytes }))
    }
}

impl LineReader<'_> {
    /// Everything after the last line, and the error that ended it before its end.
    pub(crate) fn rest(mut self) -> (Vec<u8>, Option<IngestError>) {
        if let Some(error) = self.error.take() {
            return (Vec::new(), Some(error));
        }
        read_to_end(self.path, self.stream, self.limit)
    }
}

/// The whole stream, and the error that ended it before its end.
pub(crate) fn read_whole(input: Input<'_>, options: &ReadOptions) -> (Vec<u8>, Option<IngestError>) {
    read_to_end(input.path, input.bytes, options.max_file_bytes)
}

fn read_to_end(path: &Path, stream: impl Read, limit: u64) -> (Vec<u8>, Option<IngestError>) {
    let mut bytes = Vec::new();
    let result = stream.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    let source = match result {
        Ok(_) if bytes.len() as u64 <= limit => return (bytes, None),
        Ok(_) => std::io::Error::other(LimitReached { limit }),
        Err(source) => source,
    };
    let error = IngestError::io(path, format_args!("byte {}", bytes.len()), source);
    (bytes, Some(error))
}

/// Text of bytes, with U+FFFD for what is not UTF-8; borrowed, and `true`, when all of it is.
pub(crate) fn decode(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), true),
        Err(_invalid) => (String::from_utf8_lossy(bytes), false),
    }
}

/// A CSV reader for files whose format is told by their header: the header is a row like any other, and rows may differ
/// in length.
pub(crate) fn csv_reader<R: std::io::Read>(bytes: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader};

    use super::*;

    struct FailsAtEnd(&'static [u8]);

    impl Read for FailsAtEnd {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::other("torn"));
            }
            self.0.read(buffer)
        }
    }

    fn input(bytes: &'static [u8]) -> Input<'static> {
        Input { path: Path::new("f"), bytes: Box::new(BufReader::new(FailsAtEnd(bytes))), file: None }
    }

    #[test]
    fn lines_before_a_read_error_are_delivered_with_their_places() {
        let mut lines = LineReader::new(input(b"one\r\n\nthree"), &ReadOptions::default());
        let mut seen = Vec::new();
        let error = loop {
            match lines.next_line() {
                Ok(Some(line)) => seen.push((line.number, String::from_utf8_lossy(line.bytes).into_owned())),
                Ok(None) => panic!("the error must come before the end"),
                Err(error) => break error,
            }
        };
        assert_eq!(seen, [(1, "one".into()), (2, String::new()), (3, "three".into())]);
        assert_eq!(error.to_warning().to_string(), "f, line 3: cannot be read further: torn");
    }

    #[test]
    fn a_whole_read_keeps_what_came_before_an_error_and_stops_at_the_limit() {
        let (bytes, error) = read_whole(input(b"abcdef"), &ReadOptions::default());
        assert_eq!(bytes, b"abcdef");
        assert_eq!(error.expect("torn").to_string(), "f, byte 6: cannot be read further");

        let (_, error) = read_whole(input(b"abcdef"), &ReadOptions { max_file_bytes: 5, ..ReadOptions::default() });
        assert!(matches!(error, Some(IngestError::TooLarge { limit: 5, .. })));
    }

    #[test]
    fn a_line_without_end_stops_at_the_limit() {
        let options = ReadOptions { max_file_bytes: 4, ..ReadOptions::default() };
        let mut lines = LineReader::new(input(b"ab\nabcdefgh"), &options);
        assert_eq!(lines.next_line().expect("short").expect("a line").bytes, b"ab");
        assert_eq!(lines.next_line().expect("cut").expect("a line").bytes, b"abcd");
        assert!(matches!(lines.next_line(), Err(IngestError::TooLarge { limit: 4, .. })));
    }
}
