//! A list of changes (deploys, settings, flags, scaling) in JSON or CSV: people's own lists, annotations exported from
//! Grafana, GitHub's deployments, Argo CD's history.

use std::path::Path;

use serde_json::Value;

use super::change_fields::{ChangeFields, Slot, WEAK_VERSION, slot};
use super::csv_table::{CsvTable, columns, header};
use super::json_fields;
use super::json_stream::{Scalar, Source};
use super::span_draft::text_of;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, json_values};

const NO_TIME: &str = "changes skipped: they have no readable time; write one as `time`, in RFC 3339 or as a Unix time";
const NOTHING_TOLD: &str = "changes skipped: they tell nothing but a time; write what was changed (`service`, `version`, \
     `kind`, `title` or `description`)";
const NO_ZONE: &str = "times of changes name no zone and are read as UTC";

/// Entries that are looked at: the first one may be a bad one.
const SNIFF_ENTRIES: usize = 8;

/// Names of a list of changes in an object around it.
const LISTS: &[&str] =
    &["changes", "deployments", "deploys", "releases", "annotations", "events", "items", "history", "data"];

/// Whether one of the first objects is a change, and none before it something else: each alone on its line, in a list, or in a list within an object.
pub(crate) fn sniff_json(head: &Head<'_>) -> bool {
    let text = String::from_utf8_lossy(head.bytes);
    let text = text.trim_start();
    let has = |word: &str| memchr::memmem::find(head.bytes, word.as_bytes()).is_some();
    if !text.starts_with(['{', '[']) {
        return false;
    }
    if has("\"argoproj.io/") && has("\"deployedAt\"") {
        return true;
    }
    let first = first_of_list(text).unwrap_or_else(|| text.trim_start_matches('[').trim_start());
    // A log record before the first change says that the file is a log.
    entries(first).find(|entry| entry.is_change() || entry.may_be_log()).is_some_and(|entry| entry.is_change())
}

/// The fields of the first objects of a list, or of objects in a row.
fn entries(mut rest: &str) -> impl Iterator<Item = ChangeFields<'_>> {
    let next = move || {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if !rest.starts_with('{') {
            return None;
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
        // A head is cut where it is cut: what came before counts.
        let end = if values.next().is_some_and(|value| value.is_ok()) { values.byte_offset() } else { rest.len() };
        let (entry, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = after;
        let mut fields = ChangeFields::default();
        json_fields::read(entry, &mut fields);
        Some(fields)
    };
    std::iter::from_fn(next).take(SNIFF_ENTRIES)
}

/// What follows `{"changes": [`.
fn first_of_list(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('{')?.trim_start().strip_prefix('"')?;
    let (name, rest) = rest.split_once('"')?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('[')?;
    LISTS.contains(&name).then(|| rest.trim_start())
}

/// Reads all changes of a file.
pub(crate) fn read_json(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    json_values::read(input, options, out, decode)
}

fn decode(source: &Source<'_>, out: &mut Telemetry) {
    let mut values = serde_json::Deserializer::from_str(source.text).into_iter::<Value>();
    for value in values.by_ref() {
        match value {
            Ok(value) => changes_in(&value, source, out),
            Err(error) => {
                let (place, problem) = source.syntax(&error);
                return out.skip(source.path, place, &problem);
            }
        }
    }
}

/// The changes of a value: a list of them, an object around a list, or one of them.
fn changes_in(value: &Value, source: &Source<'_>, out: &mut Telemetry) {
    let is_one = value.is_object() && LISTS.iter().all(|name| value.get(*name).is_none_or(|list| !list.is_array()));
    let place = |index: usize| match source.line {
        Some(line) if is_one => format!("line {line}"),
        Some(line) => format!("line {line}, change {}", index + 1),
        None => format!("change {}", index + 1),
    };
    let elements = match value {
        Value::Array(elements) => elements,
        Value::Object(members) => {
            if is_argo(value) {
                return argo_history(value, &place(0), source.path, out);
            }
            let list = LISTS.iter().find_map(|name| members.get(*name)?.as_array());
            match list {
                Some(list) => list,
                None => return one(value, &place(0), source.path, out),
            }
        }
        _ => return out.skip(source.path, place(0), "changes skipped: a change must be an object with a time"),
    };
    for (index, element) in elements.iter().enumerate() {
        match is_argo(element) {
            true => argo_history(element, &place(index), source.path, out),
            false => one(element, &place(index), source.path, out),
        }
    }
}

fn one(value: &Value, place: &str, path: &Path, out: &mut Telemetry) {
    if !value.is_object() {
        return out.skip(path, place, "changes skipped: a change must be an object with a time");
    }
    // Nested objects, spellings and lists are told apart in one place, which reads text.
    let text = value.to_string();
    let mut fields = ChangeFields::default();
    json_fields::read(&text, &mut fields);
    push(&fields, place, path, out);
}

fn push(fields: &ChangeFields<'_>, place: &str, path: &Path, out: &mut Telemetry) {
    if fields.is_alert() {
        let message = "annotations that tell the state of an alert are no changes and are passed over";
        return out.warn(path, place, message, 1);
    }
    if !fields.tells() {
        return out.skip(path, place, if fields.has_time() { NOTHING_TOLD } else { NO_TIME });
    }
    match fields.changes(&path.to_string_lossy()) {
        Some(changes) => {
            if fields.zoneless() {
                out.warn(path, place, NO_ZONE, 1);
            }
            out.changes.extend(changes);
        }
        None => out.skip(path, place, NO_TIME),
    }
}

/// An application of Argo CD, which keeps its deploys in `status.history`.
fn is_argo(value: &Value) -> bool {
    value.pointer("/status/history").is_some_and(Value::is_array)
}

fn argo_history(application: &Value, place: &str, path: &Path, out: &mut Telemetry) {
    let name = application.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let history = application.pointer("/status/history").and_then(Value::as_array);
    for entry in history.into_iter().flatten() {
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let mut fields = ChangeFields::default();
        let mut take = |slot, text: &str| fields.take(slot, 0, Scalar::Text(text.to_owned().into()));
        take(Slot::Time, text("/deployedAt"));
        take(Slot::Service, name);
        take(Slot::Kind, "deploy");
        take(Slot::Version, text("/revision"));
        take(Slot::Text, text("/source/targetRevision"));
        push(&fields, place, path, out);
    }
}

/// A first line that names a time and what a change has and nothing else has.
pub(crate) fn sniff_csv(head: &Head<'_>) -> bool {
    let columns = columns(&header(head), slot);
    let has = |wanted: Slot, below: u8| columns.iter().flatten().any(|(slot, rank)| *slot == wanted && *rank < below);
    let any = u8::MAX;
    // `value` is a column of series as well.
    let is_named = has(Slot::Version, WEAK_VERSION) || (has(Slot::Kind, any) && !has(Slot::Version, any));
    let is_told = has(Slot::Service, any) || has(Slot::Title, 1) || has(Slot::Text, any);
    let is_described = has(Slot::Service, any) && (has(Slot::Title, 1) || has(Slot::Text, 1));
    has(Slot::Time, any) && !has(Slot::Other, any) && ((is_named && is_told) || is_described)
}

/// A first line with a column that changes have, for a file that is said to hold changes.
pub(super) fn could_be_csv(header: &[String]) -> bool {
    header.len() > 1 && columns(header, slot).iter().flatten().any(|(slot, _)| *slot != Slot::Other)
}

/// Reads all rows.
pub(crate) fn read_csv(input: Input<'_>, _options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let Some(mut table) = CsvTable::open(input)? else { return Ok(()) };
    let columns = columns(&table.header, slot);
    while let Some((line, record)) = table.next()? {
        let mut fields = ChangeFields::default();
        for (cell, column) in record.iter().zip(&columns) {
            if let Some((slot, rank)) = column {
                let text = text_of(out, path, line, cell).into_owned();
                fields.take(*slot, *rank, Scalar::Text(text.into()));
            }
        }
        push(&fields, &format!("line {line}"), path, out);
    }
    Ok(())
}
