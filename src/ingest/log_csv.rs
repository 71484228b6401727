//! Log records as a table in CSV, one a row; columns are found by the names that fields of JSON logs have.
//!
//! Nezha's columns (Timestamp, TimeUnixNano, Node, PodName, Container, TraceID, SpanID, Log) are found so too; its `Log`
//! holds a line of Docker's json-file driver, which is read as such.

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use std::io::BufRead;

use super::json_fields::push_plain;
use super::json_stream::Scalar;
use super::log_fields::{LogFields, Slot, slot};
use super::log_json::deliver;
use super::span_csv::{delimiter, header, names};
use super::span_draft::text_of;
use super::{Head, IngestError, Input, ReadOptions, Telemetry};

/// A first line that names a time and a message, and no column that only spans have.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let columns = columns(&header(head));
    let has = |wanted: fn(Slot, u8) -> bool| columns.iter().flatten().any(|(slot, rank)| wanted(*slot, *rank));
    has(|slot, _| matches!(slot, Slot::Time | Slot::Observed))
        && has(|slot, rank| slot == Slot::Message && rank < 3)
        && !has(|slot, _| slot == Slot::SpanOnly)
}

/// A first line that names a time and a message by any name, for a file that is said to hold log records.
pub(super) fn could_be(header: &[String]) -> bool {
    let columns = columns(header);
    let has = |wanted: fn(Slot) -> bool| columns.iter().flatten().any(|(slot, _)| wanted(*slot));
    has(|slot| matches!(slot, Slot::Time | Slot::Observed))
        && has(|slot| matches!(slot, Slot::Message | Slot::Event))
        && !has(|slot| slot == Slot::SpanOnly)
}

fn columns(header: &[String]) -> Vec<Option<(Slot, u8)>> {
    let plain = |name: &String| {
        let mut plain = String::new();
        push_plain(name, &mut plain);
        slot(&plain)
    };
    header.iter().map(plain).collect()
}

/// Reads all rows.
pub(crate) fn read(mut input: Input<'_>, _options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let start = input.bytes.fill_buf().map_err(|e| IngestError::io(path, "line 1", e))?;
    let delimiter = delimiter(start.split(|&b| b == b'\n').next().unwrap_or_default());
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(input.bytes);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord, line: u64| {
        reader.read_byte_record(record).map_err(|error| match error.into_kind() {
            ErrorKind::Io(source) => IngestError::io(path, format_args!("line {line}"), source),
            other => IngestError::malformed(path, format_args!("line {line}"), format_args!("broken CSV: {other:?}")),
        })
    };
    if !next(&mut record, 1)? {
        return Ok(());
    }
    let columns = columns(&names(&record));
    let mut line = 2;
    while next(&mut record, line)? {
        // A record may stretch over lines; its first one is its place.
        line = record.position().map_or(line, csv::Position::line);
        let place = || format!("line {line}");
        if record.len() > columns.len() {
            out.skip(path, place(), "rows skipped: more cells than the header has (a torn or misquoted line)");
        } else {
            let cells = record.iter().zip(&columns).filter_map(|(cell, column)| column.map(|column| (cell, column)));
            let cells: Vec<_> = cells.map(|(cell, column)| (text_of(out, path, line, cell), column)).collect();
            let mut fields = LogFields::default();
            for (cell, (slot, rank)) in &cells {
                fields.take(*slot, *rank, Scalar::Text((&**cell).into()));
            }
            deliver(fields, &place, path, out, 0);
        }
        line += 1;
    }
    Ok(())
}
