//! Spans as rows of JSON: an object a line (ClickHouse's `JSONEachRow`, DuckDB's and BigQuery's exports), a list of
//! objects, or ClickHouse's `FORMAT JSON` with its rows in `data`.
//!
//! Every row names its columns itself, so rows of one file may differ. Attributes are objects, with dots in their names or
//! nested, as the exporter for ClickHouse keeps them in either of its two schemas.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use crate::telemetry::id::{SpanId, TraceId};
use crate::telemetry::span::{SpanKind, SpanStatus};

use super::attribute_text::read_object;
use super::ids;
use super::json_keys::first_row_keys;
use super::json_stream::{Decoder, Element, List, Node, Scalar, Visit, ignore, scalar};
use super::semconv::{self, ResourceFacts, SpanFacts};
use super::span_columns::{GUESSED_UNIT, SpanColumns, TimeUnit};
use super::span_draft::{
    BAD_DURATION, BAD_END, BAD_LINK, BAD_PARENT_ID, BAD_SPAN_ID, BAD_START, BAD_TRACE_ID, END_BEFORE_START,
};
use super::span_fields::{ColumnUse, Field, N_FIELDS};
use super::span_row::{Resources, SpanRow};
use super::table_values::{instant_ns, length_ns, parent_id, span_id, trace_id, whole_instant_ns};
use super::{Head, IngestError, Input, ReadOptions, Telemetry, json_values};

/// Rows whose first one has the columns of a span table and is no log record about a span.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let keys = first_row_keys(head.bytes);
    let has = |names: &[&str]| keys.iter().any(|key| names.iter().any(|name| key.eq_ignore_ascii_case(name)));
    let is_log = has(&["message", "msg", "body", "level", "severity", "severityText", "severity_text"]);
    SpanColumns::recognises(&keys) && !is_log
}

/// Whether the rows have the columns that the user named.
pub(crate) fn fits_mapping(head: &Head<'_>, options: &ReadOptions) -> bool {
    let keys = first_row_keys(head.bytes);
    options.span_columns.is_some() && SpanColumns::resolve(options.span_columns.as_ref(), "".as_ref(), &keys).is_ok()
}

/// Reads all rows.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let columns = options.span_columns.clone().unwrap_or_default();
    let names = Names { columns: &columns, known: RwLock::default() };
    json_values::read_side_by_side(input, options, out, |source, out| {
        let mut table = Table { names: &names, known: names.known(), new: Vec::new(), resources: Resources::default() };
        Decoder::new(out, source).read_values(|decoder, json| {
            let mut row = RowNode::new(decoder, &mut table);
            let result = Visit(&mut row).deserialize(json);
            row.finish(result.is_ok());
            result
        });
        names.remember(table.new);
    })
}

/// Column names that are remembered; a file with more has texts for names.
const NAMES_KEPT: usize = 1024;

/// Uses of columns by their names.
type Uses = FxHashMap<String, Arc<ColumnUse>>;

/// What the names of columns mean, found out once for each name of a file and not for each row.
struct Names<'c> {
    columns: &'c SpanColumns,
    known: RwLock<Arc<Uses>>,
}

impl Names<'_> {
    fn known(&self) -> Arc<Uses> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn remember(&self, new: Vec<(String, Arc<ColumnUse>)>) {
        if new.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() + new.len() <= NAMES_KEPT {
            let mut more = Uses::clone(&known);
            more.extend(new);
            *known = Arc::new(more);
        }
    }
}

/// What the rows of one piece of a file share.
struct Table<'c> {
    names: &'c Names<'c>,
    known: Arc<Uses>,
    /// Names that were not known before this piece, in order of appearance.
    new: Vec<(String, Arc<ColumnUse>)>,
    resources: Resources,
}

impl Table<'_> {
    fn column_use(&mut self, name: &str) -> Arc<ColumnUse> {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        if let Some((_, known)) = self.new.iter().find(|(known, _)| known == name) {
            return Arc::clone(known);
        }
        let column = Arc::new(ColumnUse::of(name, self.names.columns));
        // More names than columns are texts; what they mean is found out each time.
        if self.new.len() < NEW_NAMES_KEPT {
            self.new.push((name.to_owned(), Arc::clone(&column)));
        }
        column
    }
}

/// New names of one piece that are remembered.
const NEW_NAMES_KEPT: usize = 256;

/// The value of one field of a row.
#[derive(Clone, Default)]
struct Slot<'de> {
    rank: u8,
    column: Cow<'de, str>,
    unit: Option<TimeUnit>,
    is_flag: bool,
    value: Scalar<'de>,
}

/// A row, a list of rows, or the object around them.
struct RowNode<'n, 'c, 'o, 'de> {
    decoder: &'n mut Decoder<'o, 'de>,
    table: &'n mut Table<'c>,
    slots: [Option<Slot<'de>>; N_FIELDS],
    facts: SpanFacts<'de>,
    resource: ResourceFacts,
    link_traces: Vec<Scalar<'de>>,
    link_spans: Vec<Scalar<'de>>,
    /// Whether the object holds what the envelope of rows does.
    is_wrapper: bool,
    is_object: bool,
}

/// Column and problem.
type RowDefect = (Field, &'static str);

impl<'n, 'c, 'o, 'de> RowNode<'n, 'c, 'o, 'de> {
    fn new(decoder: &'n mut Decoder<'o, 'de>, table: &'n mut Table<'c>) -> Self {
        Self {
            decoder,
            table,
            slots: Default::default(),
            facts: SpanFacts::default(),
            resource: ResourceFacts::default(),
            link_traces: Vec::new(),
            link_spans: Vec::new(),
            is_wrapper: false,
            is_object: false,
        }
    }

    /// The place of the first row in which a column says nothing, by its name or else by what it would hold.
    fn place(&self, field: Field) -> String {
        let slot = self.slots[field as usize].as_ref();
        let borrowed = slot.and_then(|slot| slot.value.borrowed()).or(self.decoder.near);
        let name = slot.map_or_else(|| field.usual().first().copied().unwrap_or_default(), |slot| &slot.column);
        self.decoder.source.place(borrowed, name)
    }

    fn value(&self, field: Field) -> &Scalar<'de> {
        self.slots[field as usize].as_ref().map_or(&Scalar::Absent, |slot| &slot.value)
    }

    fn text(&self, field: Field) -> Cow<'de, str> {
        self.value(field).clone().into_text().unwrap_or_default()
    }

    fn unit(&self, field: Field) -> Option<TimeUnit> {
        let named = match field {
            Field::Duration => self.table.names.columns.duration_unit,
            _ => self.table.names.columns.start_unit,
        };
        named.or_else(|| self.slots[field as usize].as_ref()?.unit)
    }

    fn odd(&mut self, field: Field, message: &str) {
        let place = self.place(field);
        self.decoder.out.warn(self.decoder.source.path, place, message, 1);
    }

    fn push(&mut self) -> Result<(), RowDefect> {
        let trace = match self.value(Field::Trace) {
            Scalar::Integer(number) => Some(u128::from(number.cast_unsigned())),
            other => other.as_text().and_then(trace_id),
        };
        let trace = trace.ok_or((Field::Trace, BAD_TRACE_ID))?;
        let id = match self.value(Field::Id) {
            Scalar::Integer(number) => Some(number.cast_unsigned()).filter(|&id| id != 0),
            _ => span_id(&self.text(Field::Id)),
        };
        let id = id.ok_or((Field::Id, BAD_SPAN_ID))?;
        let parent = match self.value(Field::Parent) {
            Scalar::Integer(number) => Some(number.cast_unsigned()),
            _ => parent_id(&self.text(Field::Parent)),
        };
        let parent = parent.ok_or((Field::Parent, BAD_PARENT_ID))?;
        let (start_ns, duration_ns) = self.times()?;
        let kind = semconv::kind(self.value(Field::Kind)).unwrap_or_else(|| {
            self.odd(Field::Kind, "spans of unknown kind are taken as unspecified");
            SpanKind::Unspecified
        });
        let is_flag = self.slots[Field::Status as usize].as_ref().is_some_and(|slot| slot.is_flag);
        let status = self.value(Field::Status);
        let status = if is_flag { semconv::failed(status) } else { semconv::status_or_code(status) };
        let status = status.unwrap_or_else(|| {
            self.odd(Field::Status, "spans of unknown status are taken as unset");
            SpanStatus::Unset
        });
        let mut resource = std::mem::take(&mut self.resource);
        resource.rename(self.table.names.columns.service_name.of(self.text(Field::Service).trim()));
        resource.place(&self.text(Field::Instance), &self.text(Field::Version));
        let (operation, peer, trace_state) =
            (self.text(Field::Operation), self.text(Field::Peer), self.text(Field::TraceState));
        let mut facts = std::mem::take(&mut self.facts);
        if *self.value(Field::Sampling) != Scalar::Absent {
            facts.note_sampling("", self.value(Field::Sampling).clone());
        }
        self.decoder.out.sampling_seen |= facts.has_sampling();
        let spans = &mut self.decoder.out.spans;
        let resource = self.table.resources.key(resource, spans);
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
        if let Some(message) = row.push(spans) {
            self.odd(Field::TraceState, message);
        }
        self.push_links();
        Ok(())
    }

    fn push_links(&mut self) {
        let (traces, ids) = (std::mem::take(&mut self.link_traces), std::mem::take(&mut self.link_spans));
        let unpaired = traces.len().abs_diff(ids.len());
        let mut bad = unpaired as u64;
        for (trace, id) in traces.iter().zip(&ids) {
            match (trace.as_text().and_then(ids::trace_id), id.as_text().and_then(ids::span_id)) {
                (Some(trace), Some(id)) if id != 0 => self.decoder.out.spans.push_link(TraceId(trace), SpanId(id)),
                _ => bad += 1,
            }
        }
        if bad > 0 {
            let place = self.place(Field::LinkSpans);
            self.decoder.out.warn(self.decoder.source.path, place, BAD_LINK, bad);
        }
    }

    fn instant(&self, field: Field) -> Option<i64> {
        match self.value(field) {
            Scalar::Integer(number) => whole_instant_ns(*number, self.unit(field)),
            other => instant_ns(&other.clone().into_text()?, self.unit(field)),
        }
    }

    fn times(&mut self) -> Result<(i64, u64), RowDefect> {
        let start = self.instant(Field::Start).ok_or((Field::Start, BAD_START))?;
        let (has_end, has_duration) =
            (*self.value(Field::End) != Scalar::Absent, *self.value(Field::Duration) != Scalar::Absent);
        let unit = self.unit(Field::Duration);
        // As for other tables: the end wins, its unit being more often certain, except over a finer duration.
        let duration_wins = has_duration && (!has_end || (unit.is_some() && unit < self.unit(Field::End)));
        if duration_wins || !has_end {
            let columns = self.table.names.columns;
            if unit.is_none() && columns.duration.is_some() && has_duration {
                self.odd(Field::Duration, GUESSED_UNIT);
            }
            let unit =
                unit.or(self.unit(Field::Start)).unwrap_or_else(|| match self.value(Field::Start).as_integer() {
                    Some(number) => TimeUnit::from_magnitude(number),
                    None => TimeUnit::Nanoseconds,
                });
            let length = self.value(Field::Duration).clone().into_text().and_then(|text| length_ns(&text, unit));
            return length.map(|length| (start, length)).ok_or((Field::Duration, BAD_DURATION));
        }
        let end = self.instant(Field::End).ok_or((Field::End, BAD_END))?;
        u64::try_from(end - start).map(|length| (start, length)).map_err(|_negative| (Field::End, END_BEFORE_START))
    }

    fn read_attributes<A: MapAccess<'de>>(&mut self, field: Field, map: &mut A) -> Result<(), A::Error> {
        let (facts, resource) = (&mut self.facts, &mut self.resource);
        let sampling = self.decoder.source.sampling_attribute;
        let is_object = match field {
            Field::Resource => read_object(map, &mut |name, value| resource.note(name, value))?,
            _ => read_object(map, &mut |name, value| facts.note_with(sampling, name, value))?,
        };
        if !is_object {
            self.decoder.wrong_type("an object of attributes, or a text that holds one");
        }
        Ok(())
    }

    fn read_links<A: MapAccess<'de>>(&mut self, field: Field, map: &mut A) -> Result<(), A::Error> {
        let wrong = match field {
            Field::Links => {
                let mut links = Links { row: self, trace: Scalar::Absent, span: Scalar::Absent, wrong: false };
                map.next_value_seed(Visit(&mut List(&mut links)))?;
                links.wrong
            }
            _ => {
                let mut list = ScalarList::default();
                map.next_value_seed(Visit(&mut list))?;
                let values = if field == Field::LinkTraces { &mut self.link_traces } else { &mut self.link_spans };
                *values = list.values;
                list.wrong
            }
        };
        if wrong {
            self.decoder.wrong_type("a list of links");
        }
        Ok(())
    }
}

impl<'de> Node<'de> for RowNode<'_, '_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        self.is_object = true;
        let column = self.table.column_use(&key);
        let Some(&(first, _)) = column.fields.first() else {
            return match &*key {
                // The members of `FORMAT JSON`.
                "data" if self.slots.iter().all(Option::is_none) => {
                    self.decoder.begin("data", &key);
                    self.is_wrapper = true;
                    map.next_value_seed(Visit(&mut RowNode::new(self.decoder, self.table)))
                }
                "meta" => {
                    self.is_wrapper = true;
                    ignore(map)
                }
                _ => ignore(map),
            };
        };
        self.decoder.begin("attributes", &key);
        match first {
            Field::Attributes | Field::Resource => return self.read_attributes(first, map),
            Field::Links | Field::LinkTraces | Field::LinkSpans => return self.read_links(first, map),
            _ => {}
        }
        let value = scalar(map)?;
        for &(field, rank) in &column.fields {
            let slot = &mut self.slots[field as usize];
            if value != Scalar::Absent && slot.as_ref().is_none_or(|known| rank < known.rank) {
                let (unit, is_flag, name) = (column.unit, column.is_flag, key.clone());
                *slot = Some(Slot { rank, column: name, unit, is_flag, value: value.clone() });
            }
        }
        Ok(())
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        Some(List(self).read(seq))
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a row, an object, or a list of rows");
    }
}

impl<'de> Element<'de> for RowNode<'_, '_, '_, 'de> {
    fn start(&mut self) {
        self.slots = Default::default();
        self.facts = SpanFacts::default();
        self.resource = ResourceFacts::default();
        self.link_traces.clear();
        self.link_spans.clear();
        (self.is_wrapper, self.is_object) = (false, false);
    }

    fn finish(&mut self, whole: bool) {
        let is_row = self.is_object && !(self.is_wrapper && self.slots.iter().all(Option::is_none));
        if whole
            && is_row
            && let Err((field, message)) = self.push()
        {
            let place = self.place(field);
            self.decoder.out.skip(self.decoder.source.path, place, message);
        }
        self.is_object = false;
    }
}

#[derive(Default)]
struct ScalarList<'de> {
    values: Vec<Scalar<'de>>,
    wrong: bool,
}

impl<'de> Node<'de> for ScalarList<'de> {
    fn takes_object(&self) -> bool {
        false
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        Some(loop {
            let mut value = Scalar::Absent;
            match seq.next_element_seed(Visit(&mut value)) {
                Ok(Some(())) => self.values.push(value),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        })
    }

    fn wrong(&mut self) {
        self.wrong = true;
    }
}

struct Links<'l, 'n, 'c, 'o, 'de> {
    row: &'l mut RowNode<'n, 'c, 'o, 'de>,
    trace: Scalar<'de>,
    span: Scalar<'de>,
    wrong: bool,
}

impl<'de> Node<'de> for Links<'_, '_, '_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let column = self.row.table.column_use(&key);
        match column.fields.first() {
            Some((Field::Trace, _)) => self.trace = scalar(map)?,
            Some((Field::Id, _)) => self.span = scalar(map)?,
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.wrong = true;
    }
}

impl<'de> Element<'de> for Links<'_, '_, '_, '_, 'de> {
    fn start(&mut self) {
        (self.trace, self.span) = (Scalar::Absent, Scalar::Absent);
    }

    fn finish(&mut self, whole: bool) {
        if whole {
            self.row.link_traces.push(std::mem::take(&mut self.trace));
            self.row.link_spans.push(std::mem::take(&mut self.span));
        }
    }
}
