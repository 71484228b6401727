//! Log records of OTLP in protobuf, to the same rows as those of OTLP JSON ([`super::otlp_logs`]).

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::telemetry::logs::LogServiceKey;

use super::Telemetry;
use super::json_stream::Scalar;
use super::log_draft::{BodyValue, LogDraft, LogResource, NO_MESSAGE, NO_SERVICE};
use super::otlp_protobuf::{Place, each_leaf};
use super::otlp_protobuf_spans::{any_value, read_attribute, read_resource, trace_id};
use super::protobuf::{Broken, Fields, Value};

/// Reads the log records of one resource.
pub(super) fn read_logs(entry: &[u8], is_cut: bool, place: Place<'_>, out: &mut Telemetry) {
    let first = out.logs.len();
    each_leaf(entry, is_cut, place, out, |record, out| {
        if let Err(broken) = read_record(record, place, out) {
            place.skip(broken, out);
        }
    });
    if out.logs.len() == first {
        return;
    }
    let mut resource = LogResource::default();
    read_resource(entry, &mut resource, place, out);
    match resource.key(&mut out.logs) {
        Some(service) => out.logs.set_service(first, service),
        None => {
            let lost = out.logs.truncate(first) as u64;
            out.skipped += lost;
            out.warn(place.path, format_args!("{}, field `resource`", place.of(entry)), NO_SERVICE, lost);
        }
    }
}

fn read_record<'b>(record: &'b [u8], place: Place<'_>, out: &mut Telemetry) -> Result<(), Broken<'b>> {
    let mut draft = LogDraft::default();
    let (mut number, mut text) = (0, Cow::Borrowed(""));
    // A time beyond the year 2262 is none.
    let time = |ns: u64| i64::try_from(ns).unwrap_or_default();
    let mut fields = Fields::of(record);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Fixed64(ns)) => draft.time_ns = time(ns),
            (11, Value::Fixed64(ns)) => draft.observed_ns = time(ns),
            (2, Value::Varint(severity)) => number = severity as i64,
            (3, Value::Bytes(severity)) => text = place.text(severity, out),
            (5, Value::Bytes(body)) => {
                if let Some(body) = body_value(body, DEEPEST, place, out)? {
                    draft.set_body(body);
                }
            }
            (6, Value::Bytes(attribute)) => read_attribute(attribute, &mut draft, place, out)?,
            (9, Value::Bytes(id)) => draft.trace = trace_id(id),
            (12, Value::Bytes(name)) => draft.event = place.text(name, out),
            _ => {}
        }
    }
    draft.judge(number, &text);
    // The service is set when all records of the resource are there.
    if let Err(problem) = draft.push(&mut out.logs, LogServiceKey(0)) {
        let field = if problem == NO_MESSAGE { "body" } else { "time_unix_nano" };
        out.skip(place.path, format_args!("{}, field `{field}`", place.of(record)), problem);
    }
    Ok(())
}

/// Values within values of a body beyond this are left out: nobody nests so deep but to exhaust the stack.
const DEEPEST: usize = 32;

/// A value of any type; `None` for an empty one.
fn body_value<'b>(
    value: &'b [u8],
    depth: usize,
    place: Place<'_>,
    out: &mut Telemetry,
) -> Result<Option<BodyValue<'b>>, Broken<'b>> {
    let mut fields = Fields::of(value);
    let mut found = None;
    while let Some((number, content)) = fields.next()? {
        found = match (number, content) {
            (5 | 6, Value::Bytes(_)) if depth == 0 => {
                out.warn(
                    place.path,
                    place.of(value),
                    "values nested too deep in the body of a log record are left out",
                    1,
                );
                None
            }
            (5, Value::Bytes(list)) => {
                let mut items = Vec::new();
                let mut values = Fields::of(list);
                while let Some(item) = values.next()? {
                    if let (1, Value::Bytes(item)) = item {
                        items.extend(body_value(item, depth - 1, place, out)?);
                    }
                }
                Some(BodyValue::List(items))
            }
            (6, Value::Bytes(map)) => {
                let mut members = BTreeMap::new();
                let mut values = Fields::of(map);
                while let Some(member) = values.next()? {
                    if let (1, Value::Bytes(member)) = member
                        && let Some((key, value)) = member_of(member, depth - 1, place, out)?
                    {
                        members.insert(key, value);
                    }
                }
                Some(BodyValue::Map(members))
            }
            (7, Value::Bytes(bytes)) => Some(BodyValue::Text(place.text(bytes, out))),
            _ => continue,
        };
    }
    if found.is_some() {
        return Ok(found);
    }
    Ok(Scalar::into_text(any_value(value, place, out)?).map(BodyValue::Text))
}

fn member_of<'b>(
    member: &'b [u8],
    depth: usize,
    place: Place<'_>,
    out: &mut Telemetry,
) -> Result<Option<(String, BodyValue<'b>)>, Broken<'b>> {
    let (mut key, mut value) = (String::new(), None);
    let mut fields = Fields::of(member);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => key = place.text(bytes, out).into_owned(),
            (2, Value::Bytes(bytes)) => value = body_value(bytes, depth, place, out)?,
            _ => {}
        }
    }
    Ok(value.map(|value| (key, value)))
}
