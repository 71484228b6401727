//! CSV tables whose first record is a header, record by record, with their lines for messages.

use std::io::BufRead;
use std::path::Path;

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::json_fields::push_plain;
use super::{Head, IngestError, Input};

/// A table behind its header.
pub(crate) struct CsvTable<'i> {
    path: &'i Path,
    reader: Reader<Box<dyn BufRead + Send + 'i>>,
    /// The names of the columns, without white space around them.
    pub(crate) header: Vec<String>,
    record: ByteRecord,
    line: u64,
}

impl<'i> CsvTable<'i> {
    /// Reads the header and with it the separator; `None` for an empty file.
    pub(crate) fn open(mut input: Input<'i>) -> Result<Option<Self>, IngestError> {
        let path = input.path;
        let start = input.bytes.fill_buf().map_err(|e| IngestError::io(path, "line 1", e))?;
        let delimiter = delimiter(start.split(|&b| b == b'\n').next().unwrap_or_default());
        let reader =
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(input.bytes);
        let mut table = Self { path, reader, header: Vec::new(), record: ByteRecord::new(), line: 1 };
        if !table.read()? {
            return Ok(None);
        }
        table.header = names(&table.record);
        table.line = 2;
        Ok(Some(table))
    }

    /// The next record and the line where it begins: a record may stretch over lines.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &ByteRecord)>, IngestError> {
        if !self.read()? {
            return Ok(None);
        }
        let line = self.record.position().map_or(self.line, csv::Position::line);
        self.line = line + 1;
        Ok(Some((line, &self.record)))
    }

    fn read(&mut self) -> Result<bool, IngestError> {
        let (path, line) = (self.path, self.line);
        self.reader.read_byte_record(&mut self.record).map_err(|error| match error.into_kind() {
            ErrorKind::Io(source) => IngestError::io(path, format_args!("line {line}"), source),
            other => IngestError::malformed(path, format_args!("line {line}"), format_args!("broken CSV: {other:?}")),
        })
    }
}

/// What each column holds, as `slot` tells of its name in plain letters, with the rank among the names for the same.
pub(crate) fn columns<S>(header: &[String], slot: impl Fn(&str) -> Option<(S, u8)>) -> Vec<Option<(S, u8)>> {
    let of = |name: &String| {
        let mut plain = String::new();
        push_plain(name, &mut plain);
        slot(&plain)
    };
    header.iter().map(of).collect()
}

/// The cells of the first line; empty when it cannot be one of column names.
pub(crate) fn header(head: &Head<'_>) -> Vec<String> {
    let line = head.bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    if line.is_empty() || matches!(line.first(), Some(b'{' | b'[' | b'#')) || line.contains(&0) {
        return Vec::new();
    }
    let mut reader = ReaderBuilder::new().has_headers(false).delimiter(delimiter(line)).from_reader(line);
    let mut record = ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => names(&record),
        _ => Vec::new(),
    }
}

fn names(record: &ByteRecord) -> Vec<String> {
    record.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect()
}

/// The separator that the header has most of.
fn delimiter(header: &[u8]) -> u8 {
    let count = |separator| memchr::memchr_iter(separator, header).count();
    // The comma wins ties, being last.
    [b'\t', b';', b','].into_iter().max_by_key(|&separator| count(separator)).unwrap_or(b',')
}
