//! OTLP in protobuf: one message as it goes over the wire, or messages with their length before each.
//!
//! The collector's file exporter writes four bytes of length, most significant first, before each message; streams
//! of other programs have the length as a varint. With compression the exporter packs every message for itself into
//! zstd, those in JSON too. Traces, metrics and logs look alike down to the third level ([`kind_of`] tells them
//! apart), so one file may hold all of them.

use std::io::{BufRead, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::otlp_protobuf_kind::{Kind, LIST, OLD_LIST, RESOURCES, kind_of, looks_like};
use super::otlp_protobuf_logs::read_logs;
use super::otlp_protobuf_spans::read_spans;
use super::pieces::{self, PIECE_BYTES};
use super::protobuf::{BEYOND_END, Broken, Fields, Value};
use super::text::read_whole;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, json_stream, otlp_json, otlp_protobuf_metrics, text};

/// What stands before each message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    /// Nothing: the file is one message, or several whose parts follow each other, which is the same in protobuf.
    Bare,
    /// Four bytes of length, most significant first.
    BigEndian,
    Varint,
}

/// How a frame of zstd begins (RFC 8878, 3.1.1).
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Whether the first bytes are messages of OTLP, down to the fields of a span, metric or log record.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    framing(head.bytes).is_some()
}

/// How messages are framed; `None` where the bytes are none.
fn framing(head: &[u8]) -> Option<Framing> {
    [Framing::BigEndian, Framing::Varint, Framing::Bare].into_iter().find(|framing| match framing {
        Framing::Bare => looks_like(head),
        framed => {
            let mut rest = head;
            // The first ones may hold a resource and no more.
            while let Some((length, bytes)) = take_length(*framed, rest) {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let message = bytes.get(..length).unwrap_or(bytes);
                if *framed == Framing::BigEndian && message.starts_with(ZSTD) {
                    return true;
                }
                if looks_like(message) {
                    return true;
                }
                match bytes.get(length..) {
                    Some(following) if message.is_empty() || message.first() == Some(&0x0a) => rest = following,
                    _ => return false,
                }
            }
            false
        }
    })
}

/// The length at the beginning and what follows it.
fn take_length(framing: Framing, bytes: &[u8]) -> Option<(u64, &[u8])> {
    match framing {
        Framing::Bare => None,
        Framing::BigEndian => {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            Some((u64::from(u32::from_be_bytes(*length)), rest))
        }
        Framing::Varint => {
            let mut rest = bytes;
            let length = prost::encoding::decode_varint(&mut rest).ok()?;
            Some((length, rest))
        }
    }
}

/// Where in the file bytes stand that are being decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'b> {
    pub(super) path: &'b Path,
    bytes: &'b [u8],
    /// Place of the first of `bytes` in the file.
    offset: u64,
    /// The attribute that tells how spans were sampled, see [`ReadOptions::sampling_attribute`].
    pub(super) sampling_attribute: Option<&'b str>,
}

impl<'b> Place<'b> {
    /// Of bytes that are everything there is.
    pub(super) fn whole(path: &'b Path, bytes: &'b [u8], sampling_attribute: Option<&'b str>) -> Self {
        Self { path, bytes, offset: 0, sampling_attribute }
    }

    /// The place of a piece of the bytes.
    pub(super) fn of(&self, piece: &[u8]) -> String {
        let offset = piece.as_ptr().addr().saturating_sub(self.bytes.as_ptr().addr());
        format!("byte {}", self.offset + offset as u64)
    }

    /// Notes that what stands at `broken` and after it in its message is lost.
    pub(super) fn skip(&self, broken: Broken<'_>, out: &mut Telemetry) {
        let message =
            format!("broken protobuf: {}; the rest of the span, metric or record is left out", broken.problem);
        out.skip(self.path, self.of(broken.at), &message);
    }

    /// Text of a field; what is not UTF-8 is replaced and counted.
    pub(super) fn text<'t>(&self, bytes: &'t [u8], out: &mut Telemetry) -> std::borrow::Cow<'t, str> {
        let (text, is_valid) = text::decode(bytes);
        if !is_valid {
            out.warn(self.path, self.of(bytes), "text that is not UTF-8 was replaced by U+FFFD", 1);
        }
        text
    }
}

const CUT: &str = "the protobuf message is cut off, or a length in it is wrong; what stood before is kept";

/// Reads all messages of a file.
pub(crate) fn read(mut input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let head = input.bytes.fill_buf().map_err(|source| IngestError::io(path, "byte 0", source))?;
    match framing(head) {
        Some(framing @ (Framing::BigEndian | Framing::Varint)) => read_framed(framing, input, options, out),
        // The format was named outright, and the beginning is damaged.
        None if head.first() == Some(&0) => read_framed(Framing::BigEndian, input, options, out),
        Some(Framing::Bare) | None => read_bare(input, options, out),
    }
}

/// Some entries of the list of resources of one message.
struct Entries {
    entries: Vec<Range<usize>>,
    /// Whether the last one lacks its end.
    is_cut: bool,
}

fn read_bare(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let (bytes, torn) = read_whole(input, options);
    let Some(kind) = kind_of(&bytes) else {
        let problem = "no span, metric or log record is found in it as OTLP has them in protobuf";
        return Err(torn.unwrap_or_else(|| IngestError::malformed(path, "byte 0", problem)));
    };
    let sampling_attribute = options.sampling_attribute.as_deref();
    let place = Place { path, bytes: &bytes, offset: 0, sampling_attribute };
    let source: Arc<str> = Arc::from(path.to_string_lossy());
    let mut fields = Fields::of(&bytes);
    let mut broken = None;
    let next = || {
        let (mut entries, mut length) = (Vec::new(), 0);
        let mut is_cut = false;
        while length < PIECE_BYTES {
            let entry = match fields.next_or_cut() {
                Ok(Some((RESOURCES, Value::Bytes(entry)))) => entry,
                Ok(Some((_, Value::Cut(entry)))) => {
                    is_cut = true;
                    entry
                }
                Ok(Some(_)) => continue,
                Ok(None) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            };
            let start = entry.as_ptr().addr() - bytes.as_ptr().addr();
            entries.push(start..start + entry.len());
            length += entry.len();
        }
        (!entries.is_empty()).then_some(Entries { entries, is_cut })
    };
    pieces::decode(path, out, next, |piece, out| {
        for (at, range) in piece.entries.iter().enumerate() {
            let is_cut = piece.is_cut && at + 1 == piece.entries.len();
            read_entry(kind, bytes.get(range.clone()).unwrap_or_default(), is_cut, place, &source, out);
            if is_cut {
                out.cut(path);
                out.skip(path, format_args!("byte {}", bytes.len()), CUT);
            }
        }
    });
    if let Some(error) = torn {
        return Err(error);
    }
    match broken {
        Some(Broken { at, problem }) => Err(IngestError::malformed(
            path,
            place.of(at),
            format_args!("broken protobuf: {problem}; what stood before is kept"),
        )),
        None => Ok(()),
    }
}

/// Messages that follow each other in the file.
struct Messages {
    bytes: Vec<u8>,
    /// Where each message lies in `bytes`, and its place in the file.
    messages: Vec<(Range<usize>, u64)>,
    /// Whether the last one lacks its end.
    is_cut: bool,
}

/// Takes messages from a stream, some at a time.
struct Frames<'a> {
    path: &'a Path,
    framing: Framing,
    stream: Box<dyn BufRead + Send + 'a>,
    /// Place in the file of what comes next.
    offset: u64,
    limit: u64,
    error: Option<IngestError>,
    has_ended: bool,
}

impl Frames<'_> {
    fn next(&mut self) -> Option<Messages> {
        let mut messages = Messages { bytes: Vec::with_capacity(PIECE_BYTES), messages: Vec::new(), is_cut: false };
        while !self.has_ended && messages.bytes.len() < PIECE_BYTES {
            self.has_ended = match self.add(&mut messages) {
                Ok(more) => !more,
                Err(error) => {
                    self.error = Some(error);
                    true
                }
            };
        }
        (!messages.messages.is_empty()).then_some(messages)
    }

    /// Adds the next message; `false` at the end of the file.
    fn add(&mut self, messages: &mut Messages) -> Result<bool, IngestError> {
        let before = self.offset;
        let Some(length) = self.length()? else { return Ok(false) };
        if length == 0 {
            return Ok(true); // any number of them would fit into a piece
        }
        if length > self.limit {
            let source = std::io::Error::other(super::error::LimitReached { limit: self.limit });
            return Err(IngestError::io(self.path, format_args!("byte {before}"), source));
        }
        let start = messages.bytes.len();
        // A length may be wrong: memory beyond a piece is taken only as bytes come.
        messages.bytes.reserve(usize::try_from(length).unwrap_or(PIECE_BYTES).min(PIECE_BYTES));
        let result = self.stream.by_ref().take(length).read_to_end(&mut messages.bytes);
        let range = start..messages.bytes.len();
        let n_read = (range.end - range.start) as u64;
        let message = messages.bytes.get(range.clone()).unwrap_or_default();
        // All fields at the top are lists of resources; anything else means that lengths and messages are out of step.
        if !message.is_empty() && message.first() != Some(&0x0a) && !message.starts_with(ZSTD) {
            let problem = format!(
                "no message of OTLP begins here, after a length of {length} bytes: a length before it is wrong; what \
                 stood before is kept"
            );
            messages.bytes.truncate(start);
            return Err(IngestError::malformed(self.path, format_args!("byte {}", self.offset), problem));
        }
        messages.messages.push((range, self.offset));
        self.offset += n_read;
        messages.is_cut = n_read < length;
        result.map_err(|source| IngestError::io(self.path, format_args!("byte {}", self.offset), source))?;
        Ok(!messages.is_cut)
    }

    /// The length of the next message; `None` at the end of the file.
    fn length(&mut self) -> Result<Option<u64>, IngestError> {
        let most = if self.framing == Framing::BigEndian { 4 } else { 10 };
        let mut bytes = Vec::with_capacity(most);
        let start = self.offset;
        while bytes.len() < most && (self.framing == Framing::BigEndian || bytes.last().is_none_or(|b| b & 0x80 != 0)) {
            let read = self.stream.by_ref().take(1).read_to_end(&mut bytes);
            match read.map_err(|source| IngestError::io(self.path, format_args!("byte {start}"), source))? {
                0 => break,
                _ => self.offset += 1,
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let length = take_length(self.framing, &bytes).map(|(length, _)| length);
        let problem = "the length of a message is cut off or has more than ten bytes; what stood before is kept";
        length.map(Some).ok_or_else(|| IngestError::malformed(self.path, format_args!("byte {start}"), problem))
    }
}

fn read_framed(
    framing: Framing,
    input: Input<'_>,
    options: &ReadOptions,
    out: &mut Telemetry,
) -> Result<(), IngestError> {
    let (path, stream, limit) = (input.path, input.bytes, options.max_file_bytes);
    let sampling_attribute = options.sampling_attribute.as_deref();
    let mut frames = Frames { path, framing, stream, offset: 0, limit, error: None, has_ended: false };
    let source: Arc<str> = Arc::from(path.to_string_lossy());
    pieces::decode(
        path,
        out,
        || frames.next(),
        |piece, out| {
            for (at, (range, offset)) in piece.messages.iter().enumerate() {
                let message = piece.bytes.get(range.clone()).unwrap_or_default();
                let is_cut = piece.is_cut && at + 1 == piece.messages.len();
                if message.starts_with(ZSTD) {
                    read_packed(message, path, *offset, options, &source, out);
                } else {
                    let place = Place { path, bytes: message, offset: *offset, sampling_attribute };
                    read_message(message, is_cut, place, &source, out);
                }
                if is_cut {
                    out.cut(path);
                    out.skip(path, format_args!("byte {}", offset + message.len() as u64), CUT);
                }
            }
        },
    );
    frames.error.map_or(Ok(()), Err)
}

/// A message that was compressed for itself, in JSON or protobuf.
fn read_packed(
    message: &[u8],
    path: &Path,
    offset: u64,
    options: &ReadOptions,
    source: &Arc<str>,
    out: &mut Telemetry,
) {
    let (limit, sampling_attribute) = (options.max_file_bytes, options.sampling_attribute.as_deref());
    let mut bytes = Vec::new();
    let unpacked = zstd::stream::read::Decoder::with_buffer(message)
        .and_then(|decoder| decoder.take(limit.min(MOST_UNPACKED)).read_to_end(&mut bytes));
    // Places within count from the beginning of the unpacked message, so they are told behind that of the message.
    let mut part = Telemetry::default();
    if bytes.trim_ascii_start().starts_with(b"{") {
        let (text, _) = text::decode(&bytes);
        otlp_json::decode(&json_stream::Source { path, text: &text, line: None, sampling_attribute }, &mut part);
    } else {
        let is_cut = unpacked.is_err() || bytes.len() as u64 == MOST_UNPACKED;
        let place = Place { path, bytes: &bytes, offset: 0, sampling_attribute };
        read_message(&bytes, is_cut, place, source, &mut part);
    }
    for warning in &mut part.warnings {
        warning.place = format!("byte {offset}, unpacked: {}", warning.place);
    }
    out.absorb(path, vec![part]);
    if let Err(error) = unpacked {
        out.skip(
            path,
            format_args!("byte {offset}"),
            &format!("a message packed with zstd cannot be unpacked: {error}"),
        );
    } else if bytes.len() as u64 == MOST_UNPACKED {
        out.skip(path, format_args!("byte {offset}"), "a message unfolds to more than 256 MiB; the rest is left out");
    }
}

/// One message may unfold to so much: four times what the OTLP specification recommends servers to take.
const MOST_UNPACKED: u64 = 256 << 20;

/// All entries of one message. Where `is_cut`, its end is missing, and whoever knows that tells it.
fn read_message(message: &[u8], is_cut: bool, place: Place<'_>, source: &Arc<str>, out: &mut Telemetry) {
    if message.is_empty() {
        return;
    }
    let Some(kind) = kind_of(message) else {
        // Resources without anything in them are no loss; a message of another kind is.
        match Fields::of(message).next() {
            Ok(Some((RESOURCES, Value::Bytes(_)))) => {}
            Ok(_) => out.skip(place.path, place.of(message), "messages that are neither traces nor metrics nor logs"),
            Err(broken) if !is_cut => place.skip(broken, out),
            Err(_told_by_the_caller) => {}
        }
        return;
    };
    let mut fields = Fields::of(message);
    loop {
        match fields.next_or_cut() {
            Ok(Some((RESOURCES, Value::Bytes(entry)))) => read_entry(kind, entry, false, place, source, out),
            Ok(Some((RESOURCES, Value::Cut(entry)))) => {
                read_entry(kind, entry, true, place, source, out);
                if !is_cut {
                    place.skip(Broken { at: entry, problem: BEYOND_END }, out);
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(broken) => {
                if !is_cut {
                    place.skip(broken, out);
                }
                return;
            }
        }
    }
}

/// What one resource sent.
pub(super) fn read_entry(
    kind: Kind,
    entry: &[u8],
    is_cut: bool,
    place: Place<'_>,
    source: &Arc<str>,
    out: &mut Telemetry,
) {
    match kind {
        Kind::Traces => read_spans(entry, is_cut, place, out),
        Kind::Metrics => otlp_protobuf_metrics::read(entry, is_cut, place, source, out),
        Kind::Logs => read_logs(entry, is_cut, place, out),
    }
}

/// Hands every span, metric or log record of an entry to `read`, and tells what is broken around them.
pub(super) fn each_leaf<'b>(
    entry: &'b [u8],
    is_cut: bool,
    place: Place<'_>,
    out: &mut Telemetry,
    mut read: impl FnMut(&'b [u8], &mut Telemetry),
) {
    let mut parts = Fields::of(entry);
    loop {
        match parts.next_or_cut() {
            Ok(Some((LIST | OLD_LIST, Value::Bytes(scope)))) => each_of_scope(scope, false, place, out, &mut read),
            Ok(Some((number, Value::Cut(scope)))) => {
                if matches!(number, LIST | OLD_LIST) {
                    each_of_scope(scope, true, place, out, &mut read);
                }
                if !is_cut {
                    place.skip(Broken { at: scope, problem: BEYOND_END }, out);
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(broken) => {
                if !is_cut {
                    place.skip(broken, out);
                }
                return;
            }
        }
    }
}

fn each_of_scope<'b>(
    scope: &'b [u8],
    is_cut: bool,
    place: Place<'_>,
    out: &mut Telemetry,
    read: &mut impl FnMut(&'b [u8], &mut Telemetry),
) {
    let mut fields = Fields::of(scope);
    loop {
        match fields.next_or_cut() {
            Ok(Some((LIST, Value::Bytes(leaf)))) => read(leaf, out),
            Ok(Some((_, Value::Cut(rest)))) if !is_cut => {
                place.skip(Broken { at: rest, problem: BEYOND_END }, out);
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(broken) => {
                if !is_cut {
                    place.skip(broken, out);
                }
                return;
            }
        }
    }
}
