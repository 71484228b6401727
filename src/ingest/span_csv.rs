//! Spans as a table in CSV, one span a row.

use std::borrow::Cow;

use csv::ByteRecord;
use rustc_hash::FxHashMap;

use crate::telemetry::id::{SpanId, TraceId};
use crate::telemetry::span::{ResourceKey, SpanKind, SpanStatus};

use super::attribute_text::{NO_ATTRIBUTES, read_text};
use super::csv_table::{CsvTable, header};
use super::json_stream::Scalar;
use super::semconv::{self, ResourceFacts, SpanFacts};
use super::span_columns::{Columns, SpanColumns, TimeUnit};
use super::span_draft::{
    BAD_DURATION, BAD_END, BAD_LINK, BAD_PARENT_ID, BAD_SPAN_ID, BAD_START, BAD_TRACE_ID, END_BEFORE_START,
};
use super::span_row::{Resources, SpanRow};
use super::table_values::{instant_ns, length_ns, parent_id, span_id, trace_id};
use super::{Head, IngestError, Input, ReadOptions, Telemetry};

/// A first line that names the columns of a span table.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    SpanColumns::recognises(&header(head))
}

/// Reads all rows.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let Some(mut table) = CsvTable::open(input)? else { return Ok(()) };
    let header = std::mem::take(&mut table.header);
    let mut rows = Rows {
        columns: SpanColumns::resolve(options.span_columns.as_ref(), path, &header)?,
        header,
        resources: FxHashMap::default(),
        with_attributes: Resources::default(),
        key: String::new(),
        sampling_attribute: options.sampling_attribute.as_deref(),
    };
    if let Some((column, message)) = rows.columns.unit_guess() {
        out.warn(path, format_args!("field `{}`", rows.name(column)), message, 1);
    }
    while let Some((line, record)) = table.next()? {
        if let Err((column, message)) = rows.push(record, line, out, path) {
            out.skip(path, format_args!("line {line}, field `{}`", rows.name(column)), message);
        }
    }
    Ok(())
}

struct Rows<'o> {
    columns: Columns,
    header: Vec<String>,
    /// Keys by service, instance and version, joined by a character that does not occur in names.
    resources: FxHashMap<String, ResourceKey>,
    /// Keys of resources that have attributes.
    with_attributes: Resources,
    key: String,
    sampling_attribute: Option<&'o str>,
}

/// Column and problem.
type RowDefect = (usize, &'static str);

impl Rows<'_> {
    fn name(&self, column: usize) -> &str {
        self.header.get(column).map_or("", String::as_str)
    }

    fn push(
        &mut self,
        record: &ByteRecord,
        line: u64,
        out: &mut Telemetry,
        path: &std::path::Path,
    ) -> Result<(), RowDefect> {
        let columns = self.columns.clone();
        let text = |column: usize| lossy(record, column);
        let optional = |column: Option<usize>| column.map_or(Cow::Borrowed(""), text);
        let trace = trace_id(&text(columns.trace)).ok_or((columns.trace, BAD_TRACE_ID))?;
        let id = span_id(&text(columns.id)).ok_or((columns.id, BAD_SPAN_ID))?;
        let parent = parent_id(&optional(columns.parent)).ok_or((columns.parent.unwrap_or_default(), BAD_PARENT_ID))?;
        let (start_ns, duration_ns) = times(&columns, &text)?;
        let mut odd = |column: Option<usize>, message: &str| {
            let name = self.header.get(column.unwrap_or_default()).map_or("", String::as_str);
            out.warn(path, format_args!("line {line}, field `{name}`"), message, 1);
        };
        let kind = semconv::kind(&Scalar::Text(optional(columns.kind))).unwrap_or_else(|| {
            odd(columns.kind, "spans of unknown kind are taken as unspecified");
            SpanKind::Unspecified
        });
        let status = Scalar::Text(optional(columns.status));
        let status = if columns.status_is_flag { semconv::failed(&status) } else { semconv::status_or_code(&status) };
        let status = status.unwrap_or_else(|| {
            odd(columns.status, "spans of unknown status are taken as unset");
            SpanStatus::Unset
        });
        let cells = [columns.service, columns.instance, columns.version, columns.operation, columns.peer];
        let bad_text = |column: &usize| record.get(*column).is_some_and(|cell| std::str::from_utf8(cell).is_err());
        if let Some(column) = cells.into_iter().flatten().find(bad_text) {
            odd(Some(column), "text that is not UTF-8 was replaced by U+FFFD");
        }
        let mut facts = SpanFacts::default();
        let attributes = optional(columns.attributes);
        let sampling = self.sampling_attribute;
        if !read_text(&attributes, &mut |name, value| facts.note_with(sampling, name, value)) {
            odd(columns.attributes, NO_ATTRIBUTES);
        }
        let mut resource_facts = ResourceFacts::default();
        let attributes = optional(columns.resource_attributes);
        if !read_text(&attributes, &mut |name, value| resource_facts.note(name, value)) {
            odd(columns.resource_attributes, NO_ATTRIBUTES);
        }
        let (service, instance, version) =
            (optional(columns.service), optional(columns.instance), optional(columns.version));
        let resource = if columns.resource_attributes.is_some() {
            resource_facts.rename(columns.service_name.of(service.trim()));
            resource_facts.place(&instance, &version);
            self.with_attributes.key(resource_facts, &mut out.spans)
        } else {
            self.resource(&service, &instance, &version, out)
        };
        if columns.sampling.is_some() {
            facts.note_sampling("", Scalar::Text(optional(columns.sampling)));
        }
        let (operation, peer, trace_state) =
            (optional(columns.operation), optional(columns.peer), optional(columns.trace_state));
        let (operation, peer, trace_state) = (&*operation, &*peer, &*trace_state);
        let row = SpanRow {
            trace,
            id,
            parent,
            operation,
            kind,
            status,
            peer,
            start_ns,
            duration_ns,
            resource,
            trace_state,
            facts,
        };
        out.sampling_seen |= row.facts.has_sampling();
        if let Some(message) = row.push(&mut out.spans) {
            let name = self.name(columns.sampling.or(columns.trace_state).unwrap_or_default());
            out.warn(path, format_args!("line {line}, field `{name}`"), message, 1);
        }
        self.push_links(record, line, out, path);
        Ok(())
    }

    /// Links whose traces and spans stand in two lists, as ClickHouse writes them: `['id','id']`.
    fn push_links(&self, record: &ByteRecord, line: u64, out: &mut Telemetry, path: &std::path::Path) {
        let Some((traces, spans)) = self.columns.links else { return };
        let (trace_text, span_text) = (lossy(record, traces), lossy(record, spans));
        let (traces, ids) = (list(&trace_text), list(&span_text));
        let mut bad = traces.len().abs_diff(ids.len()) as u64;
        for (trace, id) in traces.iter().zip(ids) {
            match (trace_id(trace), span_id(id)) {
                (Some(trace), Some(id)) => out.spans.push_link(TraceId(trace), SpanId(id)),
                _ => bad += 1,
            }
        }
        if bad > 0 {
            out.warn(path, format_args!("line {line}, field `{}`", self.name(spans)), BAD_LINK, bad);
        }
    }

    fn resource(&mut self, service: &str, instance: &str, version: &str, out: &mut Telemetry) -> ResourceKey {
        self.key.clear();
        for part in [service, "\0", instance, "\0", version] {
            self.key.push_str(part);
        }
        if let Some(&key) = self.resources.get(&self.key) {
            return key;
        }
        let instance = instance.trim();
        let service = self.columns.service_name.of(service.trim());
        let key = out.spans.resource_key(&semconv::service_identity(service, "", instance), instance, version.trim());
        self.resources.insert(self.key.clone(), key);
        key
    }
}

/// The members of a list of ids in brackets, quoted or not.
fn list(text: &str) -> Vec<&str> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    inner.split(',').map(|id| id.trim().trim_matches(['\'', '"'])).filter(|id| !id.is_empty()).collect()
}

fn lossy(record: &ByteRecord, column: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(record.get(column).unwrap_or_default())
}

fn times<'t>(columns: &Columns, text: &dyn Fn(usize) -> Cow<'t, str>) -> Result<(i64, u64), RowDefect> {
    let start_text = text(columns.start);
    let start = instant_ns(&start_text, columns.start_unit).ok_or((columns.start, BAD_START))?;
    if let Some(column) = columns.length() {
        // A duration without a unit is in that of the start.
        let unit = columns.duration_unit.or(columns.start_unit);
        let unit =
            unit.unwrap_or_else(|| start_text.trim().parse().map_or(TimeUnit::Nanoseconds, TimeUnit::from_magnitude));
        return length_ns(&text(column), unit).map(|length| (start, length)).ok_or((column, BAD_DURATION));
    }
    let column = columns.end.unwrap_or_default();
    let end = instant_ns(&text(column), columns.end_unit).ok_or((column, BAD_END))?;
    u64::try_from(end - start).map(|length| (start, length)).map_err(|_negative| (column, END_BEFORE_START))
}
