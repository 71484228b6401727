//! Log records as a table in CSV, one a row; columns are found by the names that fields of JSON logs have.
//!
//! Nezha's columns (Timestamp, TimeUnixNano, Node, PodName, Container, TraceID, SpanID, Log) are found so too; its `Log`
//! holds a line of Docker's json-file driver, which is read as such.

use super::csv_table::{CsvTable, columns, header};
use super::json_stream::Scalar;
use super::log_fields::{LogFields, Slot, slot};
use super::log_json::deliver;
use super::span_draft::text_of;
use super::{Head, IngestError, Input, ReadOptions, Telemetry};

/// A first line that names a time and a message, and no column that only spans have.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let columns = columns(&header(head), slot);
    let has = |wanted: fn(Slot, u8) -> bool| columns.iter().flatten().any(|(slot, rank)| wanted(*slot, *rank));
    has(|slot, _| matches!(slot, Slot::Time | Slot::Observed))
        && has(|slot, rank| slot == Slot::Message && rank < 3)
        && !has(|slot, _| slot == Slot::SpanOnly)
}

/// A first line that names a time and a message by any name, for a file that is said to hold log records.
pub(super) fn could_be(header: &[String]) -> bool {
    let columns = columns(header, slot);
    let has = |wanted: fn(Slot) -> bool| columns.iter().flatten().any(|(slot, _)| wanted(*slot));
    has(|slot| matches!(slot, Slot::Time | Slot::Observed))
        && has(|slot| matches!(slot, Slot::Message | Slot::Event))
        && !has(|slot| slot == Slot::SpanOnly)
}

/// Reads all rows.
pub(crate) fn read(input: Input<'_>, _options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let Some(mut table) = CsvTable::open(input)? else { return Ok(()) };
    let columns = columns(&table.header, slot);
    while let Some((line, record)) = table.next()? {
        let place = || format!("line {line}");
        if record.len() > columns.len() {
            out.skip(path, place(), "rows skipped: more cells than the header has (a torn or misquoted line)");
            continue;
        }
        let cells = record.iter().zip(&columns).filter_map(|(cell, column)| column.map(|column| (cell, column)));
        let cells: Vec<_> = cells.map(|(cell, column)| (text_of(out, path, line, cell), column)).collect();
        let mut fields = LogFields::default();
        for (cell, (slot, rank)) in &cells {
            fields.take(*slot, *rank, Scalar::Text((&**cell).into()));
        }
        deliver(fields, &place, path, out, 0);
    }
    Ok(())
}
