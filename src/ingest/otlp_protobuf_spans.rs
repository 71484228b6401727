//! Spans of OTLP in protobuf, to the same rows as those of OTLP JSON.

use std::borrow::Cow;

use crate::telemetry::id::{SpanId, TraceId};
use crate::telemetry::span::ResourceKey;

use super::Telemetry;
use super::json_attributes::Facts;
use super::json_stream::Scalar;
use super::otlp_protobuf::{Place, each_leaf};
use super::otlp_protobuf_kind::RESOURCE;
use super::protobuf::{Broken, Fields, Value};
use super::semconv::{self, ResourceFacts};
use super::span_draft::{BAD_END, BAD_LINK, BAD_START, Defect, END_BEFORE_START, Ids, SpanDraft, set_resource};

const BAD_TRACE_ID: &str = "spans skipped: a trace id must be 16 bytes, and not zero";
const BAD_SPAN_ID: &str = "spans skipped: a span id must be 8 bytes, and not zero";
const BAD_PARENT_ID: &str = "spans skipped: a parent id must be 8 bytes, or empty for a root";

/// Reads the spans of one resource.
pub(super) fn read_spans(entry: &[u8], is_cut: bool, place: Place<'_>, out: &mut Telemetry) {
    let first_row = out.spans.len();
    each_leaf(entry, is_cut, place, out, |span, out| {
        if let Err(broken) = read_span(span, place, out) {
            place.skip(broken, out);
        }
    });
    if out.spans.len() > first_row {
        let mut facts = ResourceFacts::default();
        read_resource(entry, &mut facts, place, out);
        let key = facts.key(&mut out.spans);
        set_resource(&mut out.spans, first_row, key);
    }
}

/// Hands the attributes of an entry's resource to `facts`.
pub(super) fn read_resource<'b>(entry: &'b [u8], facts: &mut impl Facts<'b>, place: Place<'_>, out: &mut Telemetry) {
    let mut parts = Fields::of(entry);
    while let Ok(Some((number, value))) = parts.next_or_cut() {
        let (RESOURCE, Value::Bytes(resource)) = (number, value) else { continue };
        let mut fields = Fields::of(resource);
        loop {
            match fields.next() {
                Ok(Some((1, Value::Bytes(attribute)))) => {
                    if let Err(broken) = read_attribute(attribute, facts, place, out) {
                        place.skip(broken, out);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(broken) => {
                    place.skip(broken, out);
                    break;
                }
            }
        }
    }
}

/// Hands an attribute to `facts`, if they want it.
pub(super) fn read_attribute<'b, F: Facts<'b>>(
    attribute: &'b [u8],
    facts: &mut F,
    place: Place<'_>,
    out: &mut Telemetry,
) -> Result<(), Broken<'b>> {
    let (mut key, mut value) = (&[][..], None);
    let mut fields = Fields::of(attribute);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => {
                key = bytes;
                // Most attributes mean nothing here, and their values need not be looked at.
                let is_idle = |key: &str| !F::wants(key) && place.sampling_attribute != Some(key);
                if std::str::from_utf8(key).is_ok_and(is_idle) {
                    return Ok(());
                }
            }
            (2, Value::Bytes(bytes)) => value = Some(bytes),
            // Keys by index belong to profiles.
            _ => {}
        }
    }
    let Some(value) = value else { return Ok(()) };
    // A name that is not UTF-8 is none that means anything, but as a label it tells series apart.
    let key = match std::str::from_utf8(key) {
        Ok(key) => Cow::Borrowed(key),
        Err(_invalid) => place.text(key, out),
    };
    if place.sampling_attribute == Some(&*key) {
        facts.note_sampling(&key, any_value(value, place, out)?);
    }
    facts.note(&key, any_value(value, place, out)?);
    Ok(())
}

/// A value that is a scalar; lists, maps and bytes are absent, as in OTLP JSON.
pub(super) fn any_value<'b>(value: &'b [u8], place: Place<'_>, out: &mut Telemetry) -> Result<Scalar<'b>, Broken<'b>> {
    let mut scalar = Scalar::Absent;
    let mut fields = Fields::of(value);
    while let Some(field) = fields.next()? {
        scalar = match field {
            (1, Value::Bytes(text)) => Scalar::Text(place.text(text, out)),
            (2, Value::Varint(truth)) => Scalar::Bool(truth != 0),
            (3, Value::Varint(number)) => Scalar::Integer(number as i64),
            (4, Value::Fixed64(bits)) => Scalar::Float(f64::from_bits(bits)),
            _ => continue,
        };
    }
    Ok(scalar)
}

/// A span's fields that the draft does not hold.
#[derive(Default)]
struct Raw<'b> {
    trace: &'b [u8],
    id: &'b [u8],
    parent: &'b [u8],
    start: u64,
    end: u64,
    links: Vec<(&'b [u8], &'b [u8])>,
}

fn read_span<'b>(span: &'b [u8], place: Place<'_>, out: &mut Telemetry) -> Result<(), Broken<'b>> {
    let mut raw = Raw::default();
    let mut draft = SpanDraft::default();
    let mut fields = Fields::of(span);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => raw.trace = bytes,
            (2, Value::Bytes(bytes)) => raw.id = bytes,
            (3, Value::Bytes(text)) => draft.trace_state = Scalar::Text(place.text(text, out)),
            (4, Value::Bytes(bytes)) => raw.parent = bytes,
            (5, Value::Bytes(name)) => draft.name = Scalar::Text(place.text(name, out)),
            (6, Value::Varint(kind)) => match semconv::kind(&Scalar::Integer(kind as i64)) {
                Some(kind) => draft.kind = kind,
                None => odd(span, "kind", "spans of unknown kind are taken as unspecified", place, out),
            },
            (7, Value::Fixed64(ns)) => raw.start = ns,
            (8, Value::Fixed64(ns)) => raw.end = ns,
            (9, Value::Bytes(attribute)) => read_attribute(attribute, &mut draft.facts, place, out)?,
            (13, Value::Bytes(link)) => raw.links.push(read_link(link)?),
            (15, Value::Bytes(status)) => match semconv::status(&Scalar::Integer(status_code(status)? as i64)) {
                Some(status) => draft.status = status,
                None => odd(span, "status", "spans of unknown status are taken as unset", place, out),
            },
            _ => {}
        }
    }
    match times(raw.start, raw.end).and_then(|times| Ok((ids(&raw)?, times))) {
        Ok((ids, times)) => {
            // The resource is set when all of its spans are there.
            let trace_state = || format!("{}, field `trace_state`", place.of(span));
            draft.push_with(out, (place.path, &trace_state), ids, ResourceKey(0), times);
            for (trace, id) in raw.links {
                match (trace_id(trace), span_id(id)) {
                    (Some(trace), Some(id)) => out.spans.push_link(TraceId(trace), SpanId(id)),
                    _ => odd(span, "links", BAD_LINK, place, out),
                }
            }
        }
        Err(Defect { field, message }) => {
            out.skip(place.path, format_args!("{}, field `{field}`", place.of(span)), message);
        }
    }
    Ok(())
}

/// Notes something odd about a field of a span.
fn odd(span: &[u8], field: &str, message: &str, place: Place<'_>, out: &mut Telemetry) {
    out.warn(place.path, format_args!("{}, field `{field}`", place.of(span)), message, 1);
}

pub(super) fn trace_id(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes).filter(|id| *id != 0)
}

fn span_id(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes).filter(|id| *id != 0)
}

fn ids(raw: &Raw<'_>) -> Result<Ids, Defect> {
    let trace = trace_id(raw.trace).ok_or(Defect { field: "trace_id", message: BAD_TRACE_ID })?;
    let span = span_id(raw.id).ok_or(Defect { field: "span_id", message: BAD_SPAN_ID })?;
    let parent = match raw.parent {
        [] => 0,
        // Some exporters write zeros for a root.
        bytes => bytes
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_length| Defect { field: "parent_span_id", message: BAD_PARENT_ID })?,
    };
    Ok(Ids { trace, span, parent })
}

/// Start and duration.
fn times(start: u64, end: u64) -> Result<(i64, u64), Defect> {
    let positive = |ns: u64| i64::try_from(ns).ok().filter(|&ns| ns > 0);
    let start_ns = positive(start).ok_or(Defect { field: "start_time_unix_nano", message: BAD_START })?;
    positive(end).ok_or(Defect { field: "end_time_unix_nano", message: BAD_END })?;
    let duration = end.checked_sub(start).ok_or(Defect { field: "end_time_unix_nano", message: END_BEFORE_START })?;
    Ok((start_ns, duration))
}

fn status_code<'b>(status: &'b [u8]) -> Result<u64, Broken<'b>> {
    let mut code = 0;
    let mut fields = Fields::of(status);
    while let Some(field) = fields.next()? {
        if let (3, Value::Varint(number)) = field {
            code = number;
        }
    }
    Ok(code)
}

fn read_link<'b>(link: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), Broken<'b>> {
    let (mut trace, mut id) = (&[][..], &[][..]);
    let mut fields = Fields::of(link);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => trace = bytes,
            (2, Value::Bytes(bytes)) => id = bytes,
            _ => {}
        }
    }
    Ok((trace, id))
}
