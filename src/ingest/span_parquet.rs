//! Spans as a table in Parquet, read column by column, several batches of rows at a time.

use std::borrow::Cow;
use std::path::Path;

use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::telemetry::id::{SpanId, TraceId};
use crate::telemetry::span::{Marks, OperationKey, PeerKey, PeerKind, ResourceKey, Span, SpanKind, SpanStatus};
use crate::telemetry::warning::Warning;

use super::attribute_text::NO_ATTRIBUTES;
use super::json_stream::Scalar;
use super::parquet_nested::{Attributes, TextLists};
use super::sampling::{self, Said};
use super::semconv::{self, ResourceFacts, SpanFacts};
use super::span_columns::{Columns, SpanColumns};
use super::span_draft::{
    BAD_DURATION, BAD_END, BAD_LINK, BAD_PARENT_ID, BAD_SPAN_ID, BAD_START, BAD_TRACE_ID, END_BEFORE_START,
};
use super::span_fields::{STORED_PEER, plain};
use super::span_parquet_values::{
    Encoded, by_code, durations, encode, instants, own_unit, parent_ids, span_ids, trace_ids,
};
use super::span_parquet_write::MARKS;
use super::span_row::{Resources, peer};
use super::table::{Batch, ParquetTable, is_parquet};
use super::table_values::{span_id, trace_id};
use super::{Head, IngestError, Input, ReadOptions, Telemetry, stored_peer};

/// Parquet with the columns of a span table, or with none that can be read: then the reader says why.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    is_parquet(head.bytes) && (head.columns.is_empty() || SpanColumns::recognises(head.columns))
}

/// Reads all rows.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let table = ParquetTable::open(input, options)?;
    let columns = SpanColumns::resolve(options.span_columns.as_ref(), path, table.column_names())?;
    if let Some((column, message)) = columns.unit_guess() {
        let name = table.column_names().get(column).map_or("", String::as_str);
        out.warn(path, format_args!("field `{name}`"), message, 1);
    }
    let mut projection = Vec::from([columns.trace, columns.id, columns.start]);
    let length = columns.length().or(columns.end);
    let optional = [columns.parent, columns.instance, columns.version, columns.operation, columns.kind, columns.status];
    let attributes = [columns.attributes, columns.resource_attributes];
    let links = columns.links.map(|(traces, spans)| [traces, spans]);
    projection.extend(optional.into_iter().chain([columns.service, length, columns.peer]).chain(attributes).flatten());
    let marks = table.column_names().iter().position(|name| name == MARKS);
    projection.extend(marks);
    projection.extend(links.into_iter().flatten().chain(columns.trace_state).chain(columns.sampling));
    let sampling_attribute = options.sampling_attribute.as_deref();

    let has_attributes = attributes.iter().any(Option::is_some);
    let batches = if has_attributes { table.small_batches() } else { table.batches() };
    let read: Vec<Telemetry> = batches
        .par_iter()
        .map(|&batch| {
            let mut part = Telemetry::default();
            let rows = match table.read(batch, &projection) {
                Ok(frame) => {
                    let names = table.column_names();
                    Rows { frame, columns: &columns, marks, names, path, batch, sampling_attribute }.push_all(&mut part)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = rows {
                // The other batches are still good.
                part.skipped += batch.rows as u64;
                part.warnings.push(Warning { affected: batch.rows as u64, ..error.to_warning() });
            }
            part
        })
        .collect();
    out.absorb(path, read);
    Ok(())
}

/// The rows of one batch.
struct Rows<'t> {
    frame: DataFrame,
    columns: &'t Columns,
    /// The column of [`MARKS`].
    marks: Option<usize>,
    names: &'t [String],
    path: &'t Path,
    batch: Batch,
    sampling_attribute: Option<&'t str>,
}

impl Rows<'_> {
    fn column(&self, index: usize) -> Result<&Column, IngestError> {
        let name = self.name(index);
        self.frame.column(name).map_err(|error| {
            IngestError::malformed(self.path, format_args!("row {}, field `{name}`", self.batch.first_row + 1), error)
        })
    }

    fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("", String::as_str)
    }

    fn optional(&self, index: Option<usize>) -> Result<Option<&Column>, IngestError> {
        index.map(|index| self.column(index)).transpose()
    }

    fn push_all(&self, out: &mut Telemetry) -> Result<(), IngestError> {
        let columns = self.columns;
        let traces = trace_ids(self.column(columns.trace)?);
        let ids = span_ids(self.column(columns.id)?);
        let parents = self.optional(columns.parent)?.map(parent_ids);
        let starts = instants(self.column(columns.start)?, columns.start_unit);
        let lengths = self.lengths(&starts)?;
        let attributes = self.attributes(columns.attributes)?;
        let resource_attributes = self.attributes(columns.resource_attributes)?;
        let resources = self.resources(resource_attributes.as_ref(), out)?;
        let links = self.links(out)?;
        let marks = self.optional(self.marks)?.and_then(|column| column.u8().ok());
        let unnamed = out.spans.operation_key("");
        let operations = self.optional(columns.operation)?.map(|column| {
            let (codes, texts) = encode(column);
            let keys: Vec<OperationKey> = texts.iter().map(|text| out.spans.operation_key(text)).collect();
            by_code(&codes, &keys)
        });
        let kinds = self.words(columns.kind, semconv::kind, "spans of unknown kind are taken as unspecified", out)?;
        let status = if columns.status_is_flag { semconv::failed } else { semconv::status_or_code };
        let statuses = self.words(columns.status, status, "spans of unknown status are taken as unset", out)?;
        let peers = self.peers(out)?;
        let by_rate = self.sampling(columns.sampling, |text| sampling::of_value(&Scalar::Text(Cow::Borrowed(text))))?;
        let by_trace_state = self.sampling(columns.trace_state, sampling::of_trace_state)?;
        let said = |column: &Option<Vec<Said>>, row: usize| column.as_ref().map_or(Said::Nothing, |said| said[row]);
        out.spans.reserve(traces.len());
        // Columns of one frame have the same length, so that rows index them all.
        for row in 0..traces.len() {
            let kind: SpanKind = kinds.as_ref().map_or(SpanKind::Unspecified, |k| k[row]);
            let parent = parents.as_ref().map_or(Some(0), |parents| parents[row]);
            let checked = (|| {
                let trace = traces[row].ok_or((columns.trace, BAD_TRACE_ID))?;
                let id = ids[row].ok_or((columns.id, BAD_SPAN_ID))?;
                let parent = parent.ok_or((columns.parent.unwrap_or_default(), BAD_PARENT_ID))?;
                let start = starts[row].ok_or((columns.start, BAD_START))?;
                Ok((trace, id, parent, start, lengths[row]?))
            })();
            let (trace, id, parent, start_ns, duration_ns) = match checked {
                Ok(checked) => checked,
                Err(defect) => {
                    self.skip(row, defect, out);
                    continue;
                }
            };
            let span = Span {
                trace: TraceId(trace),
                id: SpanId(id),
                parent: (parent != 0).then_some(SpanId(parent)),
                resource: resources[row],
                operation: operations.as_ref().map_or(unnamed, |o| o[row]),
                kind,
                status: statuses.as_ref().map_or(SpanStatus::Unset, |s| s[row]),
                peer: peers.as_ref().and_then(|p| p[row]).filter(|_| kind != SpanKind::Server),
                start_ns,
                duration_ns,
            };
            let (rate, trace_state) = (said(&by_rate, row), said(&by_trace_state, row));
            match &attributes {
                Some(attributes) => self.push_with_attributes(row, span, (rate, trace_state), attributes, out),
                None => self.push_weighted(row, span, rate.or_else(|| trace_state), out),
            }
            if let Some(marks) = marks.and_then(|marks| marks.get(row)) {
                out.spans.mark(Marks(marks));
            }
            if let Some(links) = &links {
                self.push_links(row, links, out);
            }
        }
        Ok(())
    }

    /// Adds a span whose kind, status and peer its attributes may tell.
    fn push_with_attributes(
        &self,
        row: usize,
        span: Span,
        (rate, trace_state): (Said, Said),
        attributes: &Attributes,
        out: &mut Telemetry,
    ) {
        let mut facts = SpanFacts::default();
        let sampling = self.sampling_attribute;
        if !attributes.read_row(row, &mut |name, value| facts.note_with(sampling, name, value)) {
            self.warn(row, self.columns.attributes, NO_ATTRIBUTES, out);
        }
        let kind = match span.kind {
            SpanKind::Unspecified => facts.kind().and_then(semconv::kind).unwrap_or_default(),
            kind => kind,
        };
        let kind = facts.role(kind);
        let named = span.peer.map(|peer| out.spans.peers()[peer.0 as usize].name.clone());
        let peer = peer(&facts, kind, named.as_deref().unwrap_or_default()).map(|peer| out.spans.peer_key_of(peer));
        let status = facts.status(kind, span.status);
        out.sampling_seen |= facts.has_sampling();
        let said = rate.or_else(|| facts.sampling(trace_state));
        self.push_weighted(row, Span { kind, status, peer, ..span }, said, out);
        out.spans.mark(facts.marks(kind));
    }

    fn push_weighted(&self, row: usize, span: Span, said: Said, out: &mut Telemetry) {
        let (weight, odd) = said.weight(span.trace);
        if let Some(message) = odd {
            self.warn(row, self.columns.sampling.or(self.columns.trace_state), message, out);
        }
        out.spans.push_weighted(span, weight);
    }

    /// What a column says of how spans were sampled.
    fn sampling(&self, index: Option<usize>, parse: fn(&str) -> Said) -> Result<Option<Vec<Said>>, IngestError> {
        let Some(column) = self.optional(index)? else { return Ok(None) };
        let (codes, texts) = encode(column);
        let said: Vec<Said> = texts.iter().map(|text| parse(text)).collect();
        Ok(said.iter().any(|said| *said != Said::Nothing).then(|| by_code(&codes, &said)))
    }

    fn attributes(&self, index: Option<usize>) -> Result<Option<Attributes>, IngestError> {
        Ok(self.optional(index)?.map(Attributes::new))
    }

    fn warn(&self, row: usize, column: Option<usize>, message: &str, out: &mut Telemetry) {
        let name = column.map_or("", |column| self.name(column));
        out.warn(self.path, format_args!("row {}, field `{name}`", self.batch.first_row + row + 1), message, 1);
    }

    fn links(&self, out: &mut Telemetry) -> Result<Option<[TextLists; 2]>, IngestError> {
        let Some((traces, spans)) = self.columns.links else { return Ok(None) };
        let lists = TextLists::new(self.column(traces)?).zip(TextLists::new(self.column(spans)?));
        if lists.is_none() {
            let place = format!("row {}, field `{}`", self.batch.first_row + 1, self.name(traces));
            out.warn(self.path, place, BAD_LINK, self.batch.rows as u64);
        }
        Ok(lists.map(|(traces, spans)| [traces, spans]))
    }

    fn push_links(&self, row: usize, [traces, spans]: &[TextLists; 2], out: &mut Telemetry) {
        let mut bad = traces.of_row(row).count().abs_diff(spans.of_row(row).count()) as u64;
        for (trace, id) in traces.of_row(row).zip(spans.of_row(row)) {
            match (trace_id(trace), span_id(id)) {
                (Some(trace), Some(id)) => out.spans.push_link(TraceId(trace), SpanId(id)),
                _ => bad += 1,
            }
        }
        if bad > 0 {
            let column = self.columns.links.map_or(0, |(_, spans)| spans);
            let place = format!("row {}, field `{}`", self.batch.first_row + row + 1, self.name(column));
            out.warn(self.path, place, BAD_LINK, bad);
        }
    }

    fn skip(&self, row: usize, (column, message): RowDefect, out: &mut Telemetry) {
        let place = format!("row {}, field `{}`", self.batch.first_row + row + 1, self.name(column));
        out.skip(self.path, place, message);
    }

    fn resources(&self, attributes: Option<&Attributes>, out: &mut Telemetry) -> Result<Vec<ResourceKey>, IngestError> {
        let columns = self.columns;
        let nameless = || (vec![0; self.frame.height()], vec![String::new()]);
        let services = self.optional(columns.service)?.map_or_else(nameless, encode);
        let instances = self.optional(columns.instance)?.map(encode);
        let versions = self.optional(columns.version)?.map(encode);
        let code = |encoded: &Option<Encoded>, row: usize| encoded.as_ref().map_or(0, |(codes, _)| codes[row]);
        let text = |encoded: &Option<Encoded>, code: u32| {
            encoded.as_ref().map_or("", |(_, texts)| texts[code as usize].trim()).to_owned()
        };
        if let Some(attributes) = attributes {
            let mut known = Resources::default();
            let key = |(row, &service): (usize, &u32)| {
                let mut facts = ResourceFacts::default();
                if !attributes.read_row(row, &mut |name, value| facts.note(name, value)) {
                    self.warn(row, columns.resource_attributes, NO_ATTRIBUTES, out);
                }
                facts.rename(columns.service_name.of(services.1[service as usize].trim()));
                let place = |encoded: &Option<Encoded>| text(encoded, code(encoded, row));
                facts.place(&place(&instances), &place(&versions));
                known.key(facts, &mut out.spans)
            };
            return Ok(services.0.iter().enumerate().map(key).collect());
        }
        let mut keys: FxHashMap<[u32; 3], ResourceKey> = FxHashMap::default();
        let mut resources = Vec::with_capacity(services.0.len());
        for (row, &service) in services.0.iter().enumerate() {
            let codes = [service, code(&instances, row), code(&versions, row)];
            let key = *keys.entry(codes).or_insert_with(|| {
                let instance = text(&instances, codes[1]);
                let name = columns.service_name.of(services.1[service as usize].trim());
                let identity = semconv::service_identity(name, "", &instance);
                out.spans.resource_key(&identity, &instance, &text(&versions, codes[2]))
            });
            resources.push(key);
        }
        Ok(resources)
    }

    fn lengths(&self, starts: &[Option<i64>]) -> Result<Vec<Result<u64, RowDefect>>, IngestError> {
        let columns = self.columns;
        if let Some(index) = columns.length() {
            let column = self.column(index)?;
            // A duration without a unit is in that of the start.
            let unit = columns.duration_unit.or(columns.start_unit);
            let unit = match unit {
                Some(unit) => unit,
                None => own_unit(self.column(columns.start)?),
            };
            let bad = (index, BAD_DURATION);
            return Ok(durations(column, unit).into_iter().map(|length| length.ok_or(bad)).collect());
        }
        let index = columns.end.unwrap_or_default();
        let ends = instants(self.column(index)?, columns.end_unit);
        let length = |(end, start): (Option<i64>, &Option<i64>)| {
            let end = end.ok_or((index, BAD_END))?;
            u64::try_from(end - start.unwrap_or(end)).map_err(|_negative| (index, END_BEFORE_START))
        };
        Ok(ends.into_iter().zip(starts).map(length).collect())
    }

    /// A column of few distinct words or numbers.
    fn words<T: Copy + Default>(
        &self,
        index: Option<usize>,
        parse: fn(&Scalar<'_>) -> Option<T>,
        unknown: &str,
        out: &mut Telemetry,
    ) -> Result<Option<Vec<T>>, IngestError> {
        let Some(index) = index else { return Ok(None) };
        let (codes, texts) = encode(self.column(index)?);
        let parsed: Vec<Option<T>> = texts.iter().map(|t| parse(&Scalar::Text(Cow::Borrowed(t.as_str())))).collect();
        if parsed.iter().any(Option::is_none) {
            let bad = |code: &u32| parsed[*code as usize].is_none();
            let first = codes.iter().position(bad).unwrap_or_default();
            let place = format!("row {}, field `{}`", self.batch.first_row + first + 1, self.name(index));
            out.warn(self.path, place, unknown, codes.iter().filter(|code| bad(code)).count() as u64);
        }
        let parsed: Vec<T> = parsed.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Some(by_code(&codes, &parsed)))
    }

    fn peers(&self, out: &mut Telemetry) -> Result<Option<Vec<Option<PeerKey>>>, IngestError> {
        let Some(column) = self.optional(self.columns.peer)? else { return Ok(None) };
        let (codes, texts) = encode(column);
        let is_stored = self.columns.peer.is_some_and(|index| plain(self.name(index)) == STORED_PEER);
        let mut key = |text: &String| match text.trim() {
            "" => None,
            text if is_stored => stored_peer::read(text).map(|peer| out.spans.peer_key_of(peer)),
            name => Some(out.spans.peer_key(name, PeerKind::Service)),
        };
        let keys: Vec<_> = texts.iter().map(&mut key).collect();
        Ok(Some(by_code(&codes, &keys)))
    }
}

/// Column and problem.
type RowDefect = (usize, &'static str);
