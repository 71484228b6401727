//! What a message of OTLP holds: traces, metrics and logs have the same fields down to the third level, so only the types
//! of the fields of a span, metric or log record tell.

use super::protobuf::{Fields, Value};

/// What a message holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Traces,
    Metrics,
    Logs,
}

/// Field of the list of resources in all messages.
pub(super) const RESOURCES: u32 = 1;
/// Field of the resource in all entries of that list.
pub(super) const RESOURCE: u32 = 1;
/// Field of the lists by scope in all entries, and of the list of spans, metrics or records in each scope.
pub(super) const LIST: u32 = 2;
/// The older field of the lists by scope.
pub(super) const OLD_LIST: u32 = 1000;
/// Schema URL on both levels.
const SCHEMA_URL: u32 = 3;

/// Whether the first span, metric or log record that can be told is found, and all before it is as OTLP has it.
/// The message may be cut off.
pub(super) fn looks_like(message: &[u8]) -> bool {
    let mut resources = Fields::of(message);
    while let Ok(Some((RESOURCES, Value::Bytes(entry) | Value::Cut(entry)))) = resources.next_or_cut() {
        let mut parts = Fields::of(entry);
        loop {
            match parts.next_or_cut() {
                Ok(Some((RESOURCE, Value::Bytes(resource)))) if is_resource(resource) => {}
                Ok(Some((SCHEMA_URL, Value::Bytes(url)))) if std::str::from_utf8(url).is_ok() => {}
                Ok(Some((LIST | OLD_LIST, Value::Bytes(scope) | Value::Cut(scope)))) => {
                    let mut fields = Fields::of(scope);
                    loop {
                        match fields.next_or_cut() {
                            Ok(Some((LIST, Value::Bytes(leaf) | Value::Cut(leaf)))) => {
                                if let Some(kind) = kind_of_leaf(leaf) {
                                    return is_leaf(kind, leaf);
                                }
                            }
                            Ok(Some((1 | SCHEMA_URL, Value::Bytes(_)))) => {}
                            Ok(None) => break,
                            _ => return false,
                        }
                    }
                }
                Ok(None) => break,
                _ => return false,
            }
        }
    }
    false
}

/// Attributes with names, and nothing that a resource has not.
fn is_resource(resource: &[u8]) -> bool {
    let mut fields = Fields::of(resource);
    loop {
        match fields.next() {
            Ok(Some((1, Value::Bytes(attribute)))) => match Fields::of(attribute).next() {
                Ok(Some((1, Value::Bytes(key)))) if std::str::from_utf8(key).is_ok() => {}
                _ => return false,
            },
            Ok(Some((2, Value::Varint(_)) | (3, Value::Bytes(_)))) => {}
            Ok(None) => return true,
            _ => return false,
        }
    }
}

/// Whether all fields, up to where the bytes end, have the types that spans, metrics or log records give them.
fn is_leaf(kind: Kind, leaf: &[u8]) -> bool {
    let mut fields = Fields::of(leaf);
    while let Ok(Some((number, value))) = fields.next_or_cut() {
        let fits = match (kind, number, value) {
            (_, _, Value::Cut(_)) => return true,
            (Kind::Traces, 1..=5 | 9 | 11 | 13 | 15, Value::Bytes(_))
            | (Kind::Traces, 6 | 10 | 12 | 14, Value::Varint(_))
            | (Kind::Traces, 7 | 8, Value::Fixed64(_))
            | (Kind::Traces, 16, Value::Fixed32(_))
            | (Kind::Metrics, 1..=3 | 5 | 7 | 9..=12, Value::Bytes(_))
            | (Kind::Logs, 1 | 11, Value::Fixed64(_))
            | (Kind::Logs, 2 | 7, Value::Varint(_))
            | (Kind::Logs, 3 | 5 | 6 | 9 | 10 | 12, Value::Bytes(_))
            | (Kind::Logs, 8, Value::Fixed32(_)) => true,
            // Fields that the protocol may get.
            (_, number, _) => number > 16,
        };
        if !fits {
            return false;
        }
    }
    true
}

/// What a message holds, told by its first span, metric or log record that is unmistakable.
pub(super) fn kind_of(message: &[u8]) -> Option<Kind> {
    let mut resources = Fields::of(message);
    while let Ok(Some((number, value))) = resources.next_or_cut() {
        if let (RESOURCES, Value::Bytes(entry) | Value::Cut(entry)) = (number, value)
            && let Some(kind) = kind_of_entry(entry)
        {
            return Some(kind);
        }
    }
    None
}

fn kind_of_entry(entry: &[u8]) -> Option<Kind> {
    let mut parts = Fields::of(entry);
    while let Ok(Some((number, value))) = parts.next_or_cut() {
        let (LIST | OLD_LIST, Value::Bytes(scope) | Value::Cut(scope)) = (number, value) else { continue };
        let mut fields = Fields::of(scope);
        while let Ok(Some((number, value))) = fields.next_or_cut() {
            if let (LIST, Value::Bytes(leaf) | Value::Cut(leaf)) = (number, value)
                && let Some(kind) = kind_of_leaf(leaf)
            {
                return Some(kind);
            }
        }
    }
    None
}

/// Tells a span, a metric and a log record apart by the types of their fields; `None` where they do not tell.
///
/// Times decide almost always: fixed64 fields 7 and 8 are a span's, 1 and 11 a log record's, and a metric has none, but a
/// message in field 5, 7, 9, 10 or 11.
fn kind_of_leaf(leaf: &[u8]) -> Option<Kind> {
    let mut fields = Fields::of(leaf);
    let (mut first, mut second, mut fifth) = (None, None, false);
    let (mut data, mut named_data) = (false, false);
    while let Ok(Some((number, value))) = fields.next_or_cut() {
        match (number, value) {
            (7 | 8, Value::Fixed64(_)) | (16, Value::Fixed32(_)) | (6 | 10 | 12 | 14, Value::Varint(_)) => {
                return Some(Kind::Traces);
            }
            (4 | 13 | 15, Value::Bytes(_)) => return Some(Kind::Traces),
            (1 | 11, Value::Fixed64(_)) | (2 | 7, Value::Varint(_)) | (8, Value::Fixed32(_)) => {
                return Some(Kind::Logs);
            }
            (6, Value::Bytes(_)) => return Some(Kind::Logs),
            (7 | 10, Value::Bytes(_) | Value::Cut(_)) if first.is_some() => return Some(Kind::Metrics),
            (1, Value::Bytes(bytes)) => first = Some(bytes),
            (2, Value::Bytes(bytes)) => second = Some(bytes),
            (5 | 9 | 11, Value::Bytes(bytes) | Value::Cut(bytes)) => {
                fifth |= number == 5;
                data = true;
                // A gauge, histogram or summary begins with its first data point; a span's name is text.
                named_data |= bytes.first() == Some(&0x0a);
            }
            _ => {}
        }
    }
    match first {
        Some(name) if named_data && std::str::from_utf8(name).is_ok() => Some(Kind::Metrics),
        Some(id) if id.len() == 16 && second.is_some_and(|id| id.len() == 8) => Some(Kind::Traces),
        Some(name) if data && std::str::from_utf8(name).is_ok() => Some(Kind::Metrics),
        None if fifth => Some(Kind::Logs),
        _ => None,
    }
}
