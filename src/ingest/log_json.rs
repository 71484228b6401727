//! Log records as JSON, an object a line: what loggers write, what container runtimes and Loki wrap around it.

use std::borrow::Cow;
use std::path::Path;

use super::json_stream::Source;
use super::log_draft::{NO_MESSAGE, NO_SERVICE, NO_ZONE};
use super::log_fields::LogFields;
use super::log_names::service_of_file;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, json_values, log_loki};
use crate::telemetry::logs::LogServiceKey;

/// Lines of a file that are looked at: a program may greet in plain text before its logger speaks.
const SNIFF_LINES: usize = 5;

/// Whether one of the first lines is an object with a time and a message and nothing that only spans have.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let text = String::from_utf8_lossy(head.bytes);
    if log_loki::sniff(&text) {
        return true;
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(SNIFF_LINES);
    let records: Vec<LogFields<'_>> = lines.filter_map(|line| LogFields::of_json(line, true)).collect();
    if records.is_empty() {
        // An object or a list that stretches over lines.
        let start = text.trim_start().trim_start_matches('[');
        return LogFields::of_json(start, true).is_some_and(|fields| fields.is_log());
    }
    records.iter().any(LogFields::is_log) && !records.iter().any(|fields| fields.is_span)
}

/// Whether one of the first records has a time and a message by any name, for a file that is said to hold log records.
pub(super) fn could_be(head: &Head<'_>) -> bool {
    let text = String::from_utf8_lossy(head.bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(SNIFF_LINES);
    let whole = text.trim_start().trim_start_matches('[');
    lines.chain([whole]).filter_map(|line| LogFields::of_json(line, true)).any(|fields| fields.may_be_log())
}

/// Reads all records of a file.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    json_values::read(input, options, out, decode)
}

fn decode(source: &Source<'_>, out: &mut Telemetry) {
    let text = source.text.trim();
    if log_loki::sniff(text) {
        return log_loki::read(source, out);
    }
    match source.line {
        // A whole list may stand in one line.
        Some(number) if !text.starts_with('[') => record(text, || format!("line {number}"), source.path, out),
        _ => values(source, out),
    }
}

/// A file that is no value a line: objects in a row or in a list.
fn values(source: &Source<'_>, out: &mut Telemetry) {
    let is_list = source.text.trim_start().starts_with('[');
    let mut rest = source.text.trim_start().trim_start_matches('[');
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.is_empty() || (is_list && rest.starts_with(']')) {
            return;
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
        let result = values.next();
        let end = values.byte_offset();
        let byte = source.text.len() - rest.len();
        match (result, rest.get(..end)) {
            (Some(Ok(_)), Some(value)) if end > 0 => {
                record(value, || format!("byte {byte}"), source.path, out);
                rest = rest.get(end..).unwrap_or_default();
            }
            (Some(Err(error)), _) => {
                let problem = match error.is_eof() {
                    true => "the JSON is cut off; what stood before is kept",
                    false => "broken JSON; what stood before is kept",
                };
                if error.is_eof() {
                    out.cut(source.path);
                }
                return out.skip(source.path, format_args!("byte {byte}"), problem);
            }
            _ => return,
        }
    }
}

/// One record, perhaps with another one in its message.
pub(super) fn record(text: &str, place: impl Fn() -> String, path: &Path, out: &mut Telemetry) {
    match LogFields::of_json(text, false) {
        Some(fields) => deliver(fields, &place, path, out, 0),
        None => {
            let problem = "lines skipped: not a JSON object (a start-up message, or a line cut in two)";
            out.skip(path, place(), problem);
        }
    }
}

/// Records within messages of records: Docker's around Loki's around the program's own.
const MAX_WRAPPED: u8 = 3;

/// Adds a record whose message may itself be a record in JSON.
pub(super) fn deliver(
    mut fields: LogFields<'_>,
    place: &dyn Fn() -> String,
    path: &Path,
    out: &mut Telemetry,
    depth: u8,
) {
    if depth < MAX_WRAPPED && fields.draft.body.trim_start().starts_with('{') {
        let body = std::mem::take(&mut fields.draft.body);
        if let Some(mut inner) = LogFields::of_json(&body, false)
            && (!inner.draft.body.is_empty() || !inner.draft.event.is_empty())
        {
            inner.complete(fields);
            return deliver(inner, place, path, out, depth + 1);
        }
        fields.draft.body = body;
        return push(fields, place, path, out);
    }
    push(fields, place, path, out);
}

fn push(fields: LogFields<'_>, place: &dyn Fn() -> String, path: &Path, out: &mut Telemetry) {
    let named = fields.service().map(Cow::into_owned);
    let Some(service) = named.as_deref().or_else(|| service_of_file(path)) else {
        return out.skip(path, place(), NO_SERVICE);
    };
    let zoneless = fields.zoneless;
    let first = out.logs.len();
    match fields.draft().push(&mut out.logs, LogServiceKey(0)) {
        Ok(()) => {
            // Only now, so that a record that is skipped leaves no service behind.
            let service = out.logs.service_key(service);
            out.logs.set_service(first, service);
            if zoneless {
                out.warn(path, place(), NO_ZONE, 1);
            }
        }
        // An empty line of output is a record of nothing, and nothing is lost with it.
        Err(NO_MESSAGE) => out.warn(path, place(), "log records without a message are passed over", 1),
        Err(problem) => out.skip(path, place(), problem),
    }
}
