//! Reads windows from the files of a store, also while another process writes to it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::StoreError;
use super::files::{Content, Folders};
use super::frame::{Kind, Records};
use super::remote_write::{self, Gathered};
use super::segment;
use crate::ingest::{
    FileSummary, Format, OtlpEncoding, OtlpSignal, ReadOptions, Telemetry, read_bytes_as, read_otlp, read_parts,
    write_spans,
};
use crate::telemetry::span::{Marks, SpanTable};
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

/// Spans are read from so long before the windows to so long after: a trace does not end where a window does.
const SPAN_MARGIN_NS: i64 = 60 * NANOS_PER_SECOND;
/// The same of metrics and logs: a rate needs the point before.
const SIGNAL_MARGIN_NS: i64 = 300 * NANOS_PER_SECOND;

/// What a message of a log holds.
pub(super) struct Decoded {
    pub(super) telemetry: Telemetry,
    pub(super) first_and_last_ns: Option<(i64, i64)>,
}

/// A message that was accepted once and cannot be read now.
pub(super) struct Unreadable(String);

/// Reads one message. Those of remote-write make series only together, so here they tell their times alone.
pub(super) fn decode(kind: Kind, name: &Path, payload: &[u8], options: &ReadOptions) -> Result<Decoded, Unreadable> {
    match kind {
        Kind::Otlp(signal, encoding) => {
            let telemetry = read_otlp(signal, encoding, name, payload, options);
            let telemetry = telemetry.map_err(|error| Unreadable(error.to_string()))?;
            Ok(Decoded { first_and_last_ns: telemetry.first_and_last_ns(), telemetry })
        }
        Kind::RemoteWrite => {
            let checked = remote_write::check(payload).map_err(|error| Unreadable(error.to_string()))?;
            Ok(Decoded { telemetry: Telemetry::default(), first_and_last_ns: checked.first_and_last_ns })
        }
    }
}

/// What lies in a store before `first` and after `last`, by the names of its segments and the content of its logs:
/// first and last instant, Unix nanoseconds.
///
/// # Errors
/// [`StoreError`] when the folder is no store or cannot be read.
pub fn extent(folder: &Path, options: &ReadOptions) -> Result<Option<(i64, i64)>, StoreError> {
    let folders = open(folder)?;
    let options = &as_kept(&folders, options)?;
    let ranges = || -> io::Result<Vec<(i64, i64)>> {
        let (logs, segments) = (Log::all(&folders)?, folders.segments()?);
        let mut ranges: Vec<(i64, i64)> = segments.iter().map(|s| (s.first_ns, s.last_ns)).collect();
        for log in logs {
            let bytes = log.bytes()?;
            let records = Records::of(&bytes).into_iter().flatten();
            let decoded =
                records.filter_map(|(code, payload)| decode(Kind::of_code(code)?, &log.path, payload, options).ok());
            ranges.extend(decoded.filter_map(|decoded| decoded.first_and_last_ns));
        }
        Ok(ranges)
    };
    let ranges = ranges().map_err(|source| unreadable(&folders, source))?;
    Ok(ranges.into_iter().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))))
}

/// Reads what the store holds of the windows and a little around them. Spans that were sent more than once count once.
/// Metrics are left as they were read, until [`crate::ingest::finish`].
///
/// # Errors
/// [`StoreError`] when the folder is no store or cannot be read. What is broken in it is a warning.
pub fn read(folder: &Path, windows: &[Window], options: &ReadOptions) -> Result<Telemetry, StoreError> {
    let folders = open(folder)?;
    let (given, options) = (options.sampling_attribute.as_ref(), &as_kept(&folders, options)?);
    let reader = Reader { folders: &folders, windows, options, wants: Wants::All };
    let parts = reader.read().map_err(|source| unreadable(&folders, source))?;
    let mut all = Telemetry::default();
    let mut gathered = Gathered::default();
    let mut payloads = Vec::new();
    let mut telemetry = Vec::with_capacity(parts.len());
    for part in parts {
        telemetry.push(part.telemetry);
        payloads.extend(part.remote_writes);
    }
    all.append_all(telemetry);
    if given.is_some() && given != options.sampling_attribute.as_ref() && !all.spans.is_empty() {
        let message = "the sampling attribute that was named is not that of the store, which counts: give it to \
                       `hypocenter serve`";
        all.warn(folder, "", message, all.spans.len() as u64);
    }
    let repeated = drop_repeated(&mut all.spans);
    if repeated > 0 {
        all.warn(
            folder,
            "",
            "spans were received more than once, as after an answer that was lost; each counts once",
            repeated,
        );
    }
    for payload in payloads {
        if let Err(error) = gathered.add(&payload, |at_ns| reader.wants(at_ns, at_ns, SIGNAL_MARGIN_NS)) {
            all.skip(folder, "remote-write", &error.to_string());
        }
    }
    if let without_buckets @ 1.. = gathered.histograms_without_buckets() {
        let message = "of native histograms of remote-write sum and count are read and no quantiles; let Prometheus send the \
                       classic ones as well (always_scrape_classic_histograms: true)";
        all.warn(folder, "remote-write", message, without_buckets);
    }
    if let Some(answer) = gathered.into_answer() {
        all.append(read_bytes_as(Format::PrometheusRange, &folder.join("remote-write"), &answer, options));
    }
    summarise(folder, &mut all);
    Ok(all)
}

/// Reads the spans alone of what [`read`] does, without looking at metrics and logs.
///
/// # Errors
/// As [`read`].
pub fn read_spans(folder: &Path, windows: &[Window], options: &ReadOptions) -> Result<SpanTable, StoreError> {
    let folders = open(folder)?;
    let options = &as_kept(&folders, options)?;
    let reader = Reader { folders: &folders, windows, options, wants: Wants::Spans };
    let parts = reader.read().map_err(|source| unreadable(&folders, source))?;
    let mut all = Telemetry::default();
    all.append_all(parts.into_iter().map(|part| part.telemetry).collect());
    drop_repeated(&mut all.spans);
    Ok(all.spans)
}

/// Writes what the store holds of the windows and a little around them into files of a folder, for
/// [`crate::ingest::read_paths`] to read: the spans as a table, metrics and logs as the messages that came. Signals that
/// are to be left out are.
///
/// # Errors
/// [`StoreError`] when the folder is no store or cannot be read, or `into` not be written.
pub fn export(
    folder: &Path,
    windows: &[Window],
    options: &ReadOptions,
    leave_out: &[OtlpSignal],
    into: &Path,
) -> Result<(), StoreError> {
    let folders = open(folder)?;
    let options = &as_kept(&folders, options)?;
    let reader = Reader { folders: &folders, windows, options, wants: Wants::Messages };
    let parts = reader.read().map_err(|source| unreadable(&folders, source))?;
    let mut spans = Vec::new();
    let mut gathered = Gathered::default();
    let (mut protobuf, mut json) = (Vec::new(), Vec::new());
    let is_wanted = |signal: OtlpSignal| !leave_out.contains(&signal);
    for part in parts {
        if is_wanted(OtlpSignal::Traces) {
            spans.push(part.telemetry);
        }
        for payload in part.remote_writes.iter().filter(|_| is_wanted(OtlpSignal::Metrics)) {
            // What cannot be read was refused when it came.
            gathered.add(payload, |at_ns| reader.wants(at_ns, at_ns, SIGNAL_MARGIN_NS)).ok();
        }
        for (kind, payload) in part.messages {
            match kind {
                Kind::Otlp(signal, _) if !is_wanted(signal) => {}
                Kind::Otlp(_, OtlpEncoding::Json) => {
                    json.extend(payload.into_iter().filter(|byte| *byte != b'\n').chain([b'\n']));
                }
                // As a collector's file exporter writes them.
                _ => {
                    protobuf.extend((payload.len() as u32).to_be_bytes());
                    protobuf.extend(payload);
                }
            }
        }
    }
    let mut all = Telemetry::default();
    all.append_all(spans);
    drop_repeated(&mut all.spans);
    let write = |name: &str, bytes: &[u8]| match bytes {
        [] => Ok(()),
        bytes => fs::write(into.join(name), bytes),
    };
    let write_all = || {
        fs::create_dir_all(into)?;
        let rows: Vec<usize> = (0..all.spans.len()).collect();
        if !rows.is_empty() {
            write_spans(&all.spans, &rows, File::create(into.join("spans.parquet"))?)?;
        }
        write("metrics-and-logs.otlp.pb", &protobuf)?;
        write("metrics-and-logs.otlp.jsonl", &json)?;
        write("remote-write.json", &gathered.into_answer().unwrap_or_default())
    };
    write_all().map_err(|source| StoreError::Io { path: into.to_owned(), action: "cannot be written", source })
}

fn open(folder: &Path) -> Result<Folders, StoreError> {
    let folders = Folders::of(folder);
    match fs::metadata(&folders.segments) {
        Ok(_) => Ok(folders),
        Err(source) => Err(StoreError::Io {
            path: folder.to_owned(),
            action: "there is no store here; name the folder that `hypocenter serve --data` writes to",
            source,
        }),
    }
}

/// The options with the attribute by which the segments were made, so that what is still in a log is read alike.
fn as_kept(folders: &Folders, options: &ReadOptions) -> Result<ReadOptions, StoreError> {
    let sampling_attribute = folders.sampling().map_err(|source| unreadable(folders, source))?;
    Ok(ReadOptions { sampling_attribute, ..options.clone() })
}

fn unreadable(folders: &Folders, source: io::Error) -> StoreError {
    StoreError::Io { path: folders.root.clone(), action: "the store cannot be read", source }
}

/// A log that is open, so that it can be read to its end also where it becomes a segment and is removed meanwhile.
struct Log {
    number: u64,
    path: PathBuf,
    file: File,
}

impl Log {
    /// All logs, the oldest first. To be called before segments are listed: a log that is gone by now has become one.
    fn all(folders: &Folders) -> io::Result<Vec<Self>> {
        let mut logs = Vec::new();
        for (number, path) in folders.logs()? {
            match File::open(&path) {
                Ok(file) => logs.push(Self { number, path, file }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(logs)
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&self.file).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A file to read.
enum Piece {
    Spans(PathBuf),
    Signals(PathBuf),
    /// With what has become segments already.
    Log(Log, Vec<Content>),
}

/// What a file gave.
#[derive(Default)]
struct Part {
    telemetry: Telemetry,
    remote_writes: Vec<Vec<u8>>,
    /// Messages of OTLP without spans, where they are kept as they came.
    messages: Vec<(Kind, Vec<u8>)>,
}

struct Reader<'r> {
    folders: &'r Folders,
    windows: &'r [Window],
    options: &'r ReadOptions,
    wants: Wants,
}

/// What a reader makes of metrics and logs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// They are read as the spans are.
    All,
    /// They are kept as they came.
    Messages,
    /// They are passed over.
    Spans,
}

impl Reader<'_> {
    /// Whether a range, both ends included, comes that near to a window.
    fn wants(&self, first_ns: i64, last_ns: i64, margin_ns: i64) -> bool {
        self.windows.iter().any(|window| {
            last_ns >= window.start_ns().saturating_sub(margin_ns)
                && first_ns < window.end_ns().saturating_add(margin_ns)
        })
    }

    fn is_of_use(&self, content: Content) -> bool {
        content == Content::Spans || self.wants != Wants::Spans
    }

    fn read(&self) -> io::Result<Vec<Part>> {
        // One that is a log and a segment counts as a segment.
        let (logs, segments) = (Log::all(self.folders)?, self.folders.segments()?);
        let mut pieces = Vec::new();
        for segment in &segments {
            let (margin_ns, piece): (i64, fn(PathBuf) -> Piece) = match segment.content {
                Content::Spans => (SPAN_MARGIN_NS, Piece::Spans),
                Content::Signals => (SIGNAL_MARGIN_NS, Piece::Signals),
            };
            if self.is_of_use(segment.content) && self.wants(segment.first_ns, segment.last_ns, margin_ns) {
                pieces.push(piece(segment.path.clone()));
            }
        }
        for log in logs {
            let done = segments.iter().filter(|s| s.number == log.number).map(|s| s.content).collect();
            pieces.push(Piece::Log(log, done));
        }
        pieces.par_iter().map(|piece| self.read_piece(piece)).collect()
    }

    fn read_piece(&self, piece: &Piece) -> io::Result<Part> {
        let mut part = Part::default();
        match piece {
            // A segment that is gone was removed for its age, or for the size of the store.
            Piece::Spans(path) | Piece::Signals(path) if !path.exists() => {}
            Piece::Spans(path) => {
                let read = read_parts(std::slice::from_ref(path), self.options, &|_| {});
                match read {
                    Ok(read) => part.telemetry = read,
                    Err(error) => part.telemetry.skip(path, "", &error.to_string()),
                }
            }
            Piece::Signals(path) => {
                let wanted = |first, last| self.wants(first, last, SIGNAL_MARGIN_NS);
                let result = segment::read_signals(path, wanted, |code, payload| {
                    self.take(code, path, payload, &mut part);
                });
                match result {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => part.telemetry.skip(path, "", &format!("the segment is broken: {error}")),
                    Ok(()) => {}
                }
            }
            Piece::Log(log, done) => {
                let bytes = log.bytes()?;
                for (code, payload) in Records::of(&bytes).into_iter().flatten() {
                    let has_spans = Kind::of_code(code).is_some_and(Kind::has_spans);
                    let content = if has_spans { Content::Spans } else { Content::Signals };
                    if self.is_of_use(content) && !done.contains(&content) {
                        self.take(code, &log.path, payload, &mut part);
                    }
                }
            }
        }
        self.keep_wanted(&mut part.telemetry.spans);
        Ok(part)
    }

    /// Adds a message to what a file gives.
    fn take(&self, code: u8, path: &Path, payload: &[u8], part: &mut Part) {
        let Some(kind) = Kind::of_code(code) else {
            return part.telemetry.skip(path, "", "messages of a kind that this version does not know");
        };
        let decoded = match decode(kind, path, payload, self.options) {
            Ok(decoded) => decoded,
            Err(Unreadable(problem)) => return part.telemetry.skip(path, "", &problem),
        };
        let margin_ns = if kind.has_spans() { SPAN_MARGIN_NS } else { SIGNAL_MARGIN_NS };
        let is_wanted = |(first, last)| self.wants(first, last, margin_ns);
        if !decoded.first_and_last_ns.is_some_and(is_wanted) {
            return;
        }
        match kind {
            Kind::RemoteWrite => part.remote_writes.push(payload.to_vec()),
            Kind::Otlp(..) if self.wants == Wants::Messages && !kind.has_spans() => {
                part.messages.push((kind, payload.to_vec()))
            }
            Kind::Otlp(..) => part.telemetry.absorb(path, vec![decoded.telemetry]),
        }
    }

    fn keep_wanted(&self, spans: &mut SpanTable) {
        let keep: Vec<bool> = spans.start_ns.iter().map(|start| self.wants(*start, *start, SPAN_MARGIN_NS)).collect();
        retain(spans, &keep);
    }
}

/// Keeps the first of all spans with the same ids and role: a client that got no answer sends them again. (Spans of the
/// two sides of a call may share their ids.)
fn drop_repeated(spans: &mut SpanTable) -> u64 {
    let mut seen = FxHashSet::with_capacity_and_hasher(spans.len(), rustc_hash::FxBuildHasher);
    let ids = spans.trace.iter().zip(&spans.id).zip(&spans.kind);
    let keep: Vec<bool> = ids.map(|((trace, id), kind)| seen.insert((*trace, *id, *kind as u8))).collect();
    let repeated = keep.iter().filter(|keep| !**keep).count();
    retain(spans, &keep);
    repeated as u64
}

/// Keeps the rows that are to be kept.
fn retain(spans: &mut SpanTable, keep: &[bool]) {
    if keep.iter().all(|keep| *keep) {
        return;
    }
    fn filter<T: Copy>(column: &mut Vec<T>, keep: &[bool]) {
        let mut row = 0;
        column.retain(|_| {
            row += 1;
            keep.get(row - 1).copied().unwrap_or(false)
        });
    }
    let mut new_row = 0;
    let new_rows: Vec<Option<u32>> = keep
        .iter()
        .map(|keep| {
            new_row += u32::from(*keep);
            keep.then(|| new_row - 1)
        })
        .collect();
    spans.links.retain_mut(|link| match new_rows.get(link.row as usize) {
        Some(Some(row)) => {
            link.row = *row;
            true
        }
        _ => false,
    });
    if !spans.marks.is_empty() {
        spans.marks.resize(keep.len(), Marks::default());
    }
    filter(&mut spans.marks, keep);
    filter(&mut spans.weight, keep);
    filter(&mut spans.trace, keep);
    filter(&mut spans.id, keep);
    filter(&mut spans.parent, keep);
    filter(&mut spans.start_ns, keep);
    filter(&mut spans.duration_ns, keep);
    filter(&mut spans.resource, keep);
    filter(&mut spans.operation, keep);
    filter(&mut spans.peer, keep);
    filter(&mut spans.kind, keep);
    filter(&mut spans.status, keep);
}

/// One row for the store instead of one for each of its files.
fn summarise(folder: &Path, all: &mut Telemetry) {
    let series = all.files.iter().map(|file| file.series).sum();
    all.files = vec![FileSummary {
        path: folder.to_owned(),
        format: Format::SpanParquet,
        spans: all.spans.len() as u64,
        series,
        logs: all.logs.len() as u64,
        changes: 0,
        skipped: all.skipped,
    }];
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::{Record, Settings, Store};

    #[test]
    fn who_wants_spans_alone_reads_no_other_message() {
        let folder = tempfile::tempdir().unwrap();
        let resource = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"web"}}]}"#;
        let spans = format!(
            r#"{{"resourceSpans":[{{{resource},"scopeSpans":[{{"spans":[{{"traceId":"{}","spanId":"{}","name":"x","kind":2,
            "startTimeUnixNano":"5000000000","endTimeUnixNano":"5100000000"}}]}}]}}]}}"#,
            "a1".repeat(16),
            "b2".repeat(8)
        );
        let log = format!(
            r#"{{"resourceLogs":[{{{resource},"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"5000000000",
            "severityNumber":9,"body":{{"stringValue":"hello"}}}}]}}]}}]}}"#
        );
        let options = ReadOptions::default();
        let opened = Store::open(&Settings::new(folder.path().to_owned()), options.clone()).unwrap();
        for (signal, text) in [(OtlpSignal::Traces, spans), (OtlpSignal::Logs, log)] {
            let read = read_otlp(signal, OtlpEncoding::Json, Path::new("x"), text.as_bytes(), &options).unwrap();
            let kind = Kind::Otlp(signal, OtlpEncoding::Json);
            let record = Record { kind, payload: Bytes::from(text), spans: read.spans, guard: None };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(opened.store().keep(record)).unwrap();
        }
        let windows = [Window::new(0, 10_000_000_000).unwrap()];
        let look = || {
            let folders = Folders::of(folder.path());
            let logs = |wants| {
                let reader = Reader { folders: &folders, windows: &windows, options: &options, wants };
                reader.read().unwrap().iter().map(|part| part.telemetry.logs.len()).sum::<usize>()
            };
            assert_eq!((logs(Wants::All), logs(Wants::Spans)), (1, 0));
            assert_eq!(read_spans(folder.path(), &windows, &options).unwrap().len(), 1);
        };
        // From the log, and from segments.
        look();
        opened.close();
        look();
    }
}
