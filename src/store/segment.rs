//! Segments: written under another name, made durable, then named; so a segment that has its name is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use polars::prelude::{
    BinaryChunked, DataFrame, Int64Chunked, IntoColumn, NewChunkedArray, ParquetCompression, ParquetReader,
    ParquetWriter, PolarsResult, SerReader, UInt8Chunked,
};

use super::files::{Content, Folders, UNFINISHED, sync_folder};
use super::frame::Kind;
use crate::ingest;
use crate::telemetry::span::SpanTable;

/// A message with metrics or logs.
pub(super) struct Signal<'p> {
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) kind: Kind,
    pub(super) payload: &'p [u8],
}

/// Bytes of messages in one group of rows, which are in memory at once.
const GROUP_BYTES: usize = 16 << 20;

/// Writes the spans, sorted by their start.
pub(super) fn write_spans(folders: &Folders, number: u64, spans: &SpanTable) -> io::Result<()> {
    let mut rows: Vec<usize> = (0..spans.len()).collect();
    rows.sort_by_key(|row| (spans.start_ns[*row], spans.trace[*row], spans.id[*row]));
    let start = |row: Option<&usize>| row.map_or(0, |row| spans.start_ns[*row]);
    let path = folders.segment(Content::Spans, number, start(rows.first()), start(rows.last()));
    write_whole(&path, |out| ingest::write_spans(spans, &rows, out))
}

/// Writes messages in the order in which they came.
pub(super) fn write_signals(folders: &Folders, number: u64, signals: &[Signal<'_>]) -> io::Result<()> {
    let first = signals.iter().map(|signal| signal.first_ns).min().unwrap_or(0);
    let last = signals.iter().map(|signal| signal.last_ns).max().unwrap_or(0);
    let path = folders.segment(Content::Signals, number, first, last);
    write_whole(&path, |out| signal_table(signals, out).map_err(io::Error::other))
}

fn signal_table(signals: &[Signal<'_>], out: &mut dyn Write) -> PolarsResult<()> {
    let mut groups = groups(signals).into_iter();
    let first = frame(groups.next().unwrap_or_default())?;
    let writer = ParquetWriter::new(out).with_compression(ParquetCompression::Zstd(None)).set_parallel(false);
    let mut writer = writer.batched(first.schema())?;
    writer.write_batch(&first)?;
    for group in groups {
        writer.write_batch(&frame(group)?)?;
    }
    writer.finish()?;
    Ok(())
}

fn groups<'s, 'p>(signals: &'s [Signal<'p>]) -> Vec<&'s [Signal<'p>]> {
    let (mut groups, mut rest) = (Vec::new(), signals);
    while !rest.is_empty() {
        let mut bytes = 0;
        let whole = rest.iter().take_while(|signal| {
            bytes += signal.payload.len();
            bytes <= GROUP_BYTES
        });
        let (group, following) = rest.split_at(whole.count().max(1));
        groups.push(group);
        rest = following;
    }
    groups
}

fn frame(signals: &[Signal<'_>]) -> PolarsResult<DataFrame> {
    DataFrame::new_infer_height(vec![
        Int64Chunked::from_iter_values("first_ns".into(), signals.iter().map(|s| s.first_ns)).into_column(),
        Int64Chunked::from_iter_values("last_ns".into(), signals.iter().map(|s| s.last_ns)).into_column(),
        UInt8Chunked::from_iter_values("kind".into(), signals.iter().map(|s| s.kind.code())).into_column(),
        BinaryChunked::from_iter_values("payload".into(), signals.iter().map(|s| s.payload)).into_column(),
    ])
}

fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let written = (|| {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
        write(&mut out)?;
        out.into_inner()?.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    })();
    if written.is_err() {
        // The disk may be full: half a segment is of no use.
        fs::remove_file(&unfinished).ok();
    }
    written
}

/// Hands the messages of a segment to `each` that overlap one of the ranges (Unix nanoseconds, both ends included).
pub(super) fn read_signals(
    path: &Path,
    overlaps: impl Fn(i64, i64) -> bool,
    mut each: impl FnMut(u8, &[u8]),
) -> io::Result<()> {
    let frame = guarded(|| ParquetReader::new(File::open(path)?).finish())?;
    let mut rows = || -> PolarsResult<()> {
        let (first, last) = (frame.column("first_ns")?.i64()?, frame.column("last_ns")?.i64()?);
        let (kind, payload) = (frame.column("kind")?.u8()?, frame.column("payload")?.binary()?);
        for (((first, last), kind), payload) in first.iter().zip(last.iter()).zip(kind.iter()).zip(payload.iter()) {
            if let (Some(first), Some(last), Some(kind), Some(payload)) = (first, last, kind, payload)
                && overlaps(first, last)
            {
                each(kind, payload);
            }
        }
        Ok(())
    };
    rows().map_err(io::Error::other)
}

/// Whether the file has a footer that can be read and fits its length.
pub(super) fn is_whole(path: &PathBuf) -> io::Result<bool> {
    let file = File::open(path)?;
    Ok(guarded(|| ParquetReader::new(file).num_rows()).is_ok())
}

/// Runs polars on bytes that a broken disk may have changed: it checks most of them and panics at some.
fn guarded<T>(read: impl FnOnce() -> PolarsResult<T>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(polars::prelude::PolarsError::IO { error, .. })) => Err(io::Error::new(error.kind(), error.to_string())),
        Ok(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(_panic) => Err(io::Error::new(io::ErrorKind::InvalidData, "its structure contradicts itself")),
    }
}
