//! Spans to a table in Parquet that [`super::span_parquet`] reads back without loss: the usual names where there are some,
//! our own for what no usual column holds.

use std::io::Write;

use polars::chunked_array::builder::get_list_builder;
use polars::prelude::{
    BinaryChunked, Column, DataFrame, DataType, Int64Chunked, IntoColumn, IntoSeries, NewChunkedArray,
    ParquetCompression, ParquetWriter, PolarsError, PolarsResult, StringChunked, UInt8Chunked, UInt32Chunked,
    UInt64Chunked,
};

use super::stored_peer;
use crate::telemetry::span::{NO_PEER, SpanKind, SpanLink, SpanStatus, SpanTable};

/// The column of [`crate::telemetry::span::Marks`].
pub(super) const MARKS: &str = "hypocenter.marks";
/// The column of [`SpanTable::weight`].
const WEIGHT: &str = "hypocenter.weight";
const PEER: &str = "hypocenter.peer";

/// Rows of a group: its columns are in memory at once, and a reader unfolds them together.
const GROUP_ROWS: usize = 1 << 17;

/// Writes the rows `rows` of `spans`, in that order.
///
/// # Errors
/// Those of `out`.
///
/// # Panics
/// When a row is not below [`SpanTable::len`].
pub fn write_spans(spans: &SpanTable, rows: &[usize], out: impl Write) -> std::io::Result<()> {
    let peers: Vec<String> = spans.peers().iter().map(stored_peer::write).collect();
    let write = || -> PolarsResult<()> {
        let mut groups = rows.chunks(GROUP_ROWS);
        let first = frame(spans, &peers, groups.next().unwrap_or_default())?;
        let writer = ParquetWriter::new(out).with_compression(ParquetCompression::Zstd(None)).set_parallel(false);
        let mut writer = writer.batched(first.schema())?;
        writer.write_batch(&first)?;
        for group in groups {
            writer.write_batch(&frame(spans, &peers, group)?)?;
        }
        writer.finish()?;
        Ok(())
    };
    write().map_err(|error| match error {
        // The system's own error tells whether the disk is full.
        PolarsError::IO { error, .. } => std::io::Error::new(error.kind(), error.to_string()),
        other => std::io::Error::other(other),
    })
}

fn frame(spans: &SpanTable, peers: &[String], rows: &[usize]) -> PolarsResult<DataFrame> {
    let resource = |row: &usize| &spans.resources()[spans.resource[*row] as usize];
    let peer = |row: &usize| match spans.peer[*row] {
        NO_PEER => "",
        key => peers[key as usize].as_str(),
    };
    let parent = |row: &usize| match spans.parent[*row] {
        0 => None,
        parent => Some(parent.to_be_bytes()),
    };
    let texts = |name: &str, text: &dyn Fn(&usize) -> String| -> Column {
        StringChunked::from_iter_values(name.into(), rows.iter().map(text)).into_column()
    };
    let mut columns = vec![
        BinaryChunked::from_iter_values("trace_id".into(), rows.iter().map(|row| spans.trace[*row].to_be_bytes()))
            .into_column(),
        BinaryChunked::from_iter_values("span_id".into(), rows.iter().map(|row| spans.id[*row].to_be_bytes()))
            .into_column(),
        BinaryChunked::from_iter_options("parent_span_id".into(), rows.iter().map(parent)).into_column(),
        texts("service_name", &|row| resource(row).service.clone()),
        texts("service_instance_id", &|row| resource(row).instance.clone()),
        texts("service_version", &|row| resource(row).version.clone()),
        texts("span_name", &|row| spans.operations()[spans.operation[*row] as usize].clone()),
        texts("span_kind", &|row| kind_name(spans.kind[*row]).to_owned()),
        texts("status_code", &|row| status_name(spans.status[*row]).to_owned()),
        Int64Chunked::from_iter_values("start_time_unix_nano".into(), rows.iter().map(|row| spans.start_ns[*row]))
            .into_column(),
        UInt64Chunked::from_iter_values("duration_nano".into(), rows.iter().map(|row| spans.duration_ns[*row]))
            .into_column(),
        texts(PEER, &|row| peer(row).to_owned()),
        UInt8Chunked::from_iter_values(MARKS.into(), rows.iter().map(|row| spans.marks_of(*row).0)).into_column(),
    ];
    // The columns of a file are the same in all its groups, whatever their rows have.
    if !spans.weight.is_empty() {
        let weight = |row: &usize| Some(spans.weight[*row]).filter(|weight| *weight > 0);
        columns.push(UInt32Chunked::from_iter_options(WEIGHT.into(), rows.iter().map(weight)).into_column());
    }
    if !spans.links.is_empty() {
        columns.push(links("link_trace_ids", spans, rows, |link| format!("{:032x}", link.trace.0))?);
        columns.push(links("link_span_ids", spans, rows, |link| format!("{:016x}", link.id.0))?);
    }
    DataFrame::new_infer_height(columns)
}

/// A list for each row.
fn links(name: &str, spans: &SpanTable, rows: &[usize], text: fn(&SpanLink) -> String) -> PolarsResult<Column> {
    let mut lists = get_list_builder(&DataType::String, spans.links.len(), rows.len(), name.into());
    for row in rows {
        // Links stand in the order of their rows.
        let first = spans.links.partition_point(|link| (link.row as usize) < *row);
        let of_row = spans.links.iter().skip(first).take_while(|link| link.row as usize == *row);
        lists.append_series(&StringChunked::from_iter_values("".into(), of_row.map(text)).into_series())?;
    }
    Ok(lists.finish().into_column())
}

fn kind_name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "Unspecified",
        SpanKind::Internal => "Internal",
        SpanKind::Server => "Server",
        SpanKind::Client => "Client",
        SpanKind::Producer => "Producer",
        SpanKind::Consumer => "Consumer",
    }
}

fn status_name(status: SpanStatus) -> &'static str {
    match status {
        SpanStatus::Unset => "Unset",
        SpanStatus::Ok => "Ok",
        SpanStatus::Error => "Error",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ingest::{Format, ReadOptions, read_bytes_as};
    use crate::telemetry::id::{SpanId, TraceId};
    use crate::telemetry::span::{Marks, Peer, PeerKind, Place, Span};

    fn table(weighted: bool) -> SpanTable {
        let mut spans = SpanTable::new();
        for number in 1..40u64 {
            let kind = [SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Unspecified];
            let kind = kind[number as usize % 4];
            let place = Place { host: "db.shop".into(), address: "10.0.0.7".into(), port: 5432 };
            let peer = Peer { name: format!("postgresql/[\"{}\"]", number % 3), kind: PeerKind::Database, place };
            let peer = (kind == SpanKind::Client).then(|| spans.peer_key_of(peer));
            let span = Span {
                trace: TraceId(u128::from(number) << 70 | 5),
                id: SpanId(number),
                parent: (number % 2 == 0).then_some(SpanId(number - 1)),
                resource: spans.resource_key("shop/cart", &format!("cart-{}", number % 2), "1.2"),
                operation: spans.operation_key(if number % 3 == 0 { "" } else { "GET /a b" }),
                kind,
                status: [SpanStatus::Unset, SpanStatus::Ok, SpanStatus::Error][number as usize % 3],
                peer,
                start_ns: 1_772_445_600_000_000_000 + number as i64,
                duration_ns: number * 7,
            };
            spans.push_weighted(span, if weighted { number as u32 % 3 } else { 0 });
            spans.mark(Marks(number as u8 % 4));
            if number % 5 == 0 {
                spans.push_link(TraceId(77), SpanId(number));
                spans.push_link(TraceId(78), SpanId(number));
            }
        }
        spans
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        for weighted in [true, false] {
            let spans = table(weighted);
            let mut bytes = Vec::new();
            write_spans(&spans, &(0..spans.len()).collect::<Vec<_>>(), &mut bytes).unwrap();
            let read = read_bytes_as(Format::SpanParquet, Path::new("s.parquet"), &bytes, &ReadOptions::default());
            assert!(read.warnings.is_empty(), "{:?}", read.warnings);
            let read = read.spans;
            assert_eq!(read.len(), spans.len());
            assert_eq!((&read.weight, &read.links), (&spans.weight, &spans.links));
            for row in 0..spans.len() {
                let (a, b) = (spans.get(row), read.get(row));
                let plain = |span: Span, table: &SpanTable| {
                    let peer = span.peer.map(|key| table.peers()[key.0 as usize].clone());
                    let resource = table.resources()[span.resource.0 as usize].clone();
                    let operation = table.operations()[span.operation.0 as usize].clone();
                    let ids = (span.trace, span.id, span.parent, span.start_ns, span.duration_ns);
                    (ids, span.kind, span.status, peer, resource, operation, table.marks_of(row))
                };
                assert_eq!(plain(a, &spans), plain(b, &read));
            }
        }
    }

    #[test]
    fn rows_may_be_written_in_another_order() {
        let spans = table(false);
        let mut bytes = Vec::new();
        write_spans(&spans, &[7, 4, 3], &mut bytes).unwrap();
        let read = read_bytes_as(Format::SpanParquet, Path::new("s.parquet"), &bytes, &ReadOptions::default()).spans;
        assert_eq!(read.id, [8, 5, 4]);
        assert_eq!(read.links.iter().map(|link| (link.row, link.id.0)).collect::<Vec<_>>(), [(1, 5), (1, 5)]);
    }
}
