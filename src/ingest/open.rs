//! From paths to telemetry: finds the files, unfolds compression, asks the formats, joins what they read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::error::LimitReached;
use super::guess::{Unrecognised, guess};
use super::{
    FORMATS, FileSummary, Format, FormatReader, HEAD_BYTES, Head, IngestError, Input, PULL_RECORD, ReadOptions,
    SpanColumns, Telemetry, csv_table, derive, pull_record, span_json, table, trace_weights,
};

/// How far reading has come, in bytes and files as they lie on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Files that are done.
    pub files_done: u64,
    /// Files in all.
    pub files: u64,
    /// Bytes that are done.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// Reads files, folders (recursively) and glob patterns, each in its own format.
///
/// In folders and patterns, hidden files, `case.toml`, `pull.json`, `*.md` and `LICENSE*` are passed over (of `pull.json`
/// in a folder the warnings are taken), and a file that no format recognises is a warning. The result depends on neither the order of `paths` nor threads: files are joined in the
/// order of their paths, and a file that is named twice is read once. `progress` is called now and then, from several
/// threads.
///
/// # Errors
/// [`IngestError::Missing`] and [`IngestError::Pattern`] for a path that names nothing, [`IngestError::Unrecognised`] for
/// a file named outright that is in none of the known formats, [`IngestError::MissingColumn`] for such a file that lacks a
/// column of [`ReadOptions::span_columns`]. All other failures are warnings.
pub fn read_paths(
    paths: &[PathBuf],
    options: &ReadOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Telemetry, IngestError> {
    let mut all = read_parts(paths, options, progress)?;
    finish(&mut all, options);
    Ok(all)
}

/// Reads as [`read_paths`] does, but leaves metrics as they were read, so that several such parts can be joined and
/// [`finish`] sees all of them: traces name the services whose pods metrics speak of.
///
/// # Errors
/// As [`read_paths`].
pub fn read_parts(
    paths: &[PathBuf],
    options: &ReadOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Telemetry, IngestError> {
    let mut early = Telemetry::default();
    let files = find_files(paths, &mut early)?;
    let meter = Meter::new(&files, progress);
    let read: Vec<Result<Telemetry, IngestError>> =
        files.par_iter().map(|file| read_file(file, options, &meter)).collect();
    // The first error in the order of paths, whichever thread met one first.
    let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut all = early;
    all.append_all(read);
    Ok(all)
}

/// Makes series of the metrics that were read, and tells what only all files together show.
pub fn finish(telemetry: &mut Telemetry, options: &ReadOptions) {
    if let Some(name) = &options.sampling_attribute
        && !telemetry.sampling_seen
        && telemetry.spans.weight.is_empty()
        && let Some(first) = telemetry.files.iter().find(|file| file.spans > 0)
    {
        let path = first.path.clone();
        let message = format!(
            "no span has the attribute `{name}`, which was named as telling how spans were sampled; check its spelling: \
             spans count as their tracestate says, else once"
        );
        telemetry.warn(&path, "", &message, telemetry.spans.len() as u64);
    }
    trace_weights::apply(telemetry);
    derive::finish(telemetry, &options.metrics);
    if let Some((words, records)) = telemetry.logs.shortened() {
        let kept = match words {
            0 => "their numbers alone are kept".to_owned(),
            1 => "only their first word is kept".to_owned(),
            more => format!("only their first {more} words are kept"),
        };
        let message = format!(
            "log messages differ too much to be told apart in full: {kept}; let the logger write what varies as fields, \
             or leave out the files that have most"
        );
        telemetry.warn(Path::new("logs"), "", &message, records);
    }
}

/// Reads one file that lies in memory, as [`read_paths`] would read it from `name`.
///
/// # Errors
/// [`IngestError::Unrecognised`] and [`IngestError::MissingColumn`] as in [`read_paths`].
pub fn read_bytes(name: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Telemetry, IngestError> {
    let mut out = Telemetry::default();
    match read_stream(name, Box::new(bytes), None, options, &mut out) {
        Ok(()) => {}
        Err(error @ IngestError::Unrecognised { .. }) => return Err(error),
        Err(error) => out.warnings.push(error.to_warning()),
    }
    finish(&mut out, options);
    Ok(out)
}

/// Reads what lies in memory as one format, and leaves metrics as [`read_parts`] does. Failures are warnings.
pub fn read_bytes_as(format: Format, name: &Path, bytes: &[u8], options: &ReadOptions) -> Telemetry {
    let mut out = Telemetry::default();
    let options = ReadOptions { format: Some(format), ..options.clone() };
    if let Err(error) = read_stream(name, Box::new(bytes), None, &options, &mut out) {
        out.warnings.push(error.to_warning());
    }
    out
}

/// A file to read and whether the user named it, or a folder or pattern that it is in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Found {
    path: PathBuf,
    named: bool,
}

/// Folders deeper than this are not entered.
const MAX_DEPTH: usize = 64;

fn find_files(paths: &[PathBuf], out: &mut Telemetry) -> Result<Vec<Found>, IngestError> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, 0, &mut found, out);
        } else if path.exists() {
            found.push(Found { path: path.clone(), named: true });
        } else {
            expand(path, &mut found, out)?;
        }
    }
    // Named ones first, so that of two mentions of one file the stricter counts.
    found.sort_by(|a, b| (&a.path, !a.named).cmp(&(&b.path, !b.named)));
    let mut seen = BTreeSet::new();
    found.retain(|file| seen.insert(fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone())));
    Ok(found)
}

fn expand(pattern: &Path, found: &mut Vec<Found>, out: &mut Telemetry) -> Result<(), IngestError> {
    let text = pattern.to_string_lossy();
    let matches = glob::glob(&text).map_err(|source| IngestError::Pattern { path: pattern.to_owned(), source })?;
    let before = found.len();
    for entry in matches {
        match entry {
            Ok(path) if path.is_dir() => walk(&path, 0, found, out),
            Ok(path) => {
                if !is_passed_over(&path) {
                    found.push(Found { path, named: false });
                }
            }
            Err(error) => out.warn(error.path(), "", &format!("cannot be read: {}", error.error()), 1),
        }
    }
    if found.len() == before {
        return Err(IngestError::Missing { path: pattern.to_owned() });
    }
    Ok(())
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<Found>, out: &mut Telemetry) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return out.warn(folder, "", &format!("the folder cannot be read: {error}"), 1),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                out.warn(folder, "", &format!("the folder cannot be read further: {error}"), 1);
                continue;
            }
        };
        let path = entry.path();
        if is_passed_over(&path) {
            if entry.file_name() == PULL_RECORD {
                pull_record::read(&path, out);
            }
            continue;
        }
        // Links to folders are not followed: they may lead in a circle.
        let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
        if is_folder && depth < MAX_DEPTH {
            walk(&path, depth + 1, found, out);
        } else if is_folder {
            out.warn(&path, "", "not entered: the folders are nested too deep", 1);
        } else if path.is_file() {
            found.push(Found { path, named: false });
        }
    }
}

/// What lies beside telemetry in folders and is none.
fn is_passed_over(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|n| n.to_string_lossy()) else { return false };
    name.starts_with('.')
        || name == "case.toml"
        || name == PULL_RECORD
        || name.ends_with(".md")
        || name.starts_with("LICENSE")
}

fn read_file(file: &Found, options: &ReadOptions, meter: &Meter<'_>) -> Result<Telemetry, IngestError> {
    let mut out = Telemetry::default();
    let on_disk = fs::metadata(&file.path).map_or(0, |m| m.len());
    let counted = AtomicU64::new(0);
    let result = match File::open(&file.path) {
        Ok(opened) => {
            let counting = Counting { inner: opened, counted: &counted, meter };
            let stream = Box::new(BufReader::with_capacity(256 * 1024, counting));
            read_stream(&file.path, stream, Some(&file.path), options, &mut out)
        }
        Err(source) => Err(IngestError::Io { path: file.path.clone(), place: "byte 0".to_owned(), source }),
    };
    meter.file_done(on_disk.saturating_sub(counted.into_inner()));
    match result {
        Ok(()) => {}
        Err(error @ (IngestError::Unrecognised { .. } | IngestError::MissingColumn { .. })) => {
            if file.named && options.unrecognised_is_error {
                return Err(error);
            }
            out.warnings.push(error.to_warning());
            out.unrecognised.extend(Unrecognised::of(error, file.named));
        }
        Err(error) => out.warnings.push(error.to_warning()),
    }
    Ok(out)
}

/// A compressed file may unfold to so many times its size: telemetry reaches a few dozen, a file made to fill the memory
/// a thousand and more.
const MAX_RATIO: u64 = 200;
/// Up to here the ratio does not matter.
const RATIO_FREE_BYTES: u64 = 256 << 20;

/// Reads one stream into `out`. Only failures before the format was found are errors.
fn read_stream<'a>(
    path: &'a Path,
    stream: Box<dyn BufRead + Send + 'a>,
    on_disk: Option<&Path>,
    options: &ReadOptions,
    out: &mut Telemetry,
) -> Result<(), IngestError> {
    let at_start = |source| IngestError::io(path, "byte 0", source);
    let folded_bytes = on_disk.and_then(|path| fs::metadata(path).ok()).map_or(u64::MAX, |m| m.len());
    let limit = options.max_file_bytes.min(folded_bytes.saturating_mul(MAX_RATIO).max(RATIO_FREE_BYTES));
    let (mut stream, compressed) = decompress(stream, limit).map_err(at_start)?;
    let mut head = Vec::new();
    let head_read = stream.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head);
    if head.is_empty() {
        head_read.map_err(at_start)?;
        out.warn(path, "", "the file is empty", 1);
        return Ok(());
    }
    let file = match on_disk {
        // Opened anew, because clones of a file share their position.
        Some(on_disk) if !compressed => Some(File::open(on_disk).map_err(at_start)?),
        _ => None,
    };
    let is_parquet = table::is_parquet(&head);
    if is_parquet && file.is_none() {
        // A footer at the end tells what the file is: there is no way but to have all of it.
        stream.by_ref().take(options.max_file_bytes).read_to_end(&mut head).map_err(at_start)?;
    }
    let columns = if is_parquet { table::column_names(file.as_ref(), &head) } else { Vec::new() };
    let reader = choose(path, &head, &columns, options)?;
    let rest: Box<dyn BufRead + Send + 'a> = match head_read {
        Ok(_) => stream,
        // The format shall see the error after the bytes before it.
        Err(error) => Box::new(BufReader::new(Failing { error: Some(error) })),
    };
    let mut head = Cursor::new(head);
    if head.get_ref().starts_with(BYTE_ORDER_MARK) {
        head.set_position(BYTE_ORDER_MARK.len() as u64);
    }
    let bytes = Box::new(head.chain(rest));
    let failure = (reader.read)(Input { path, bytes, file }, options, out).err();
    out.warnings.extend(failure.iter().map(IngestError::to_warning));
    let is_table = matches!(reader.format, Format::SpanCsv | Format::SpanParquet | Format::SpanJson);
    if is_table && !out.spans.is_empty() && out.spans.parent.iter().all(|parent| *parent == 0) {
        let services: BTreeSet<&str> = out.spans.resources().iter().map(|r| r.service.as_str()).collect();
        if services.len() > 1 {
            out.warn(path, "", NO_PARENTS, out.spans.len() as u64);
        }
    }
    let names_cut = out.spans.names_cut();
    if names_cut > 0 {
        out.warn(path, "", derive::NAMES_CUT, names_cut);
    }
    let (spans, series) =
        (out.spans.len() as u64, (out.series.len() + out.raw_series.len() + out.otlp_metrics.len()) as u64);
    let (logs, changes) = (out.logs.len() as u64, out.changes.len() as u64);
    let is_silent = spans + series + logs + changes == 0
        && out.given_edges.is_empty()
        && out.alerts.is_empty()
        && out.stands_for.is_empty();
    if is_silent && out.warnings.is_empty() {
        out.warn(path, "", &format!("nothing was found in it, although it looks like {}", reader.format.name()), 1);
    }
    if failure.is_some() && !is_silent {
        out.cut(path);
    }
    let skipped = out.skipped;
    out.files.push(FileSummary { path: path.to_owned(), format: reader.format, spans, series, logs, changes, skipped });
    Ok(())
}

const NO_PARENTS: &str = "no span of the table names a parent, so that every span counts as a request of its own and no service \
     calls another; name the column of the parents with --span-columns 'parent=…'";

fn choose(
    path: &Path,
    head: &[u8],
    columns: &[String],
    options: &ReadOptions,
) -> Result<&'static FormatReader, IngestError> {
    let bytes = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let head = Head { bytes: bytes.get(..HEAD_BYTES).unwrap_or(bytes), columns };
    let of_format = |format| FORMATS.iter().find(|reader| reader.format == format);
    // Columns that the user named need not have their usual names.
    let fits_mapping = |header: &[String]| {
        options.span_columns.is_some() && SpanColumns::resolve(options.span_columns.as_ref(), path, header).is_ok()
    };
    let header = if columns.is_empty() { csv_table::header(&head) } else { columns.to_vec() };
    let chosen = match options.format {
        Some(format) => of_format(format),
        None if fits_mapping(columns) => of_format(Format::SpanParquet),
        None if fits_mapping(&header) => of_format(Format::SpanCsv),
        None if span_json::fits_mapping(&head, options) => of_format(Format::SpanJson),
        None => {
            let sniffed = FORMATS.iter().find(|reader| (reader.sniff)(&head));
            match options.expected {
                Some(expected) => expected.format(&head, sniffed.map(|reader| reader.format)).and_then(of_format),
                None => sniffed,
            }
        }
    };
    if chosen.is_none() && options.span_columns.is_some() && header.len() > 1 {
        // A table that the mapping was meant for: which column is not there helps more than a list of formats.
        SpanColumns::resolve(options.span_columns.as_ref(), path, &header)?;
    }
    chosen.ok_or_else(|| {
        let guess = guess(path, bytes);
        let guess = options.expected.map_or_else(|| guess.clone(), |expected| expected.mend(guess.clone()));
        IngestError::Unrecognised { path: path.to_owned(), guess }
    })
}

/// UTF-8's byte order mark, which some exporters write.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A stream and whether it is the unfolding of a compressed one.
type Unfolded<'a> = (Box<dyn BufRead + Send + 'a>, bool);

/// Unfolds gzip and zstd, known by their first bytes, up to `limit` bytes.
fn decompress<'a>(mut stream: Box<dyn BufRead + Send + 'a>, limit: u64) -> io::Result<Unfolded<'a>> {
    let start = stream.fill_buf()?;
    let unfolded: Box<dyn Read + Send + 'a> = if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(stream))
    } else if is_zstd(start) {
        Box::new(zstd::stream::read::Decoder::with_buffer(stream)?)
    } else {
        return Ok((stream, false));
    };
    let limited = Limited { inner: unfolded, left: limit, limit };
    Ok((Box::new(BufReader::with_capacity(256 * 1024, limited)), true))
}

/// A zstd frame, or one of the skippable frames that parallel compressors write first (RFC 8878, 3.1).
fn is_zstd(start: &[u8]) -> bool {
    match start {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => true,
        [first, 0x2a, 0x4d, 0x18, ..] => (0x50..=0x5f).contains(first),
        _ => false,
    }
}

/// Fails, instead of ending, where a stream grows beyond its limit.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            // A stream that ends exactly at the limit is within it.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::other(LimitReached { limit: self.limit })),
            };
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.inner.read(&mut buffer[..most])?;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Returns an error once, then ends.
struct Failing {
    error: Option<io::Error>,
}

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.error.take().map_or(Ok(0), Err)
    }
}

/// Adds up what all threads have read and tells the caller.
struct Meter<'p> {
    progress: &'p (dyn Fn(Progress) + Sync),
    files: u64,
    bytes: u64,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
}

impl<'p> Meter<'p> {
    fn new(files: &[Found], progress: &'p (dyn Fn(Progress) + Sync)) -> Self {
        let bytes = files.iter().map(|f| fs::metadata(&f.path).map_or(0, |m| m.len())).sum();
        let (files_done, bytes_done) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { progress, files: files.len() as u64, bytes, files_done, bytes_done }
    }

    fn bytes_done(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    fn file_done(&self, bytes_left: u64) {
        self.bytes_done.fetch_add(bytes_left, Ordering::Relaxed);
        self.files_done.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        (self.progress)(Progress {
            files_done: self.files_done.load(Ordering::Relaxed),
            files: self.files,
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
            bytes: self.bytes,
        });
    }
}

struct Counting<'m> {
    inner: File,
    counted: &'m AtomicU64,
    meter: &'m Meter<'m>,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.counted.fetch_add(n as u64, Ordering::Relaxed);
        self.meter.bytes_done(n as u64);
        Ok(n)
    }
}
