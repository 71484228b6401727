//! Jaeger's JSON of `/api/traces` and of the UI's download: `{"data": [trace…]}`, single traces, lists of traces, and
//! bare spans that carry their `process` (anonymizer), also as documents of Elasticsearch: in `_source`, one a line or in
//! the `hits` of a search, tags perhaps as the object `tag` with `@` for the dots in their names.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use crate::telemetry::span::{ResourceKey, SpanKind};

use super::attribute_text::read_object;
use super::json_attributes::read_attributes;
use super::json_stream::{Decoder, Element, List, Node, Scalar, Source, Visit, ignore, scalar};
use super::semconv::{self, ResourceFacts};
use super::span_draft::{BAD_DURATION, BAD_START, Defect, IdNames, SpanDraft};
use super::{Head, IngestError, Input, ReadOptions, Telemetry, ids, json_values};

/// Jaeger by the spelling of its ids, or by the envelope of an answer without traces.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let text = head.bytes.trim_ascii_start();
    let has = |name: &str| memchr::memmem::find(text, name.as_bytes()).is_some();
    if !matches!(text.first(), Some(b'{' | b'[')) {
        return false;
    }
    let has_spans = has("\"traceID\"") && (has("\"spanID\"") || has("\"spans\"") || has("\"operationName\""));
    has_spans || (has("\"data\"") && has("\"total\"") && has("\"limit\"") && has("\"offset\""))
}

/// Reads all traces of a file.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    json_values::read_side_by_side(input, options, out, decode)
}

fn decode(source: &Source<'_>, out: &mut Telemetry) {
    Decoder::new(out, source).read_values(|decoder, json| {
        let mut trace = TraceNode::new(decoder);
        let result = Visit(&mut trace).deserialize(json);
        trace.finish(result.is_ok());
        result
    });
}

const IDS: IdNames = IdNames { trace: "traceID", span: "spanID", parent: "references", links: "references" };

/// A trace, the envelope around traces, or a bare span: Jaeger's tools write them all, and one node tells them apart by
/// their fields. Its spans wait until the end of the trace, because `processes` stands after them.
struct TraceNode<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    spans: Vec<JaegerSpan<'de>>,
    processes: BTreeMap<Cow<'de, str>, ResourceFacts>,
    /// The object itself, in case that it is a span; its trace id is the trace's otherwise.
    bare: JaegerSpan<'de>,
}

impl<'d, 'o, 'de> TraceNode<'d, 'o, 'de> {
    fn new(decoder: &'d mut Decoder<'o, 'de>) -> Self {
        Self { decoder, spans: Vec::new(), processes: BTreeMap::new(), bare: JaegerSpan::default() }
    }

    fn each<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<(), A::Error> {
        List(self).read(seq)
    }

    fn push(&mut self, span: JaegerSpan<'de>, keys: &BTreeMap<&str, ResourceKey>) {
        let Decoder { out, source, near, .. } = &mut *self.decoder;
        let resource = match (&span.process, &span.process_id) {
            (Some(process), _) => Some(process.key(&mut out.spans)),
            (None, Scalar::Text(id)) => keys.get(&**id).copied(),
            (None, _) => None,
        };
        let times = span.times();
        let mut draft = span.into_draft();
        if draft.trace == Scalar::Absent {
            draft.trace = self.bare.draft.trace.clone();
        }
        let no_process = Defect { field: "processID", message: NO_PROCESS };
        let result = resource.ok_or(no_process).and_then(|resource| draft.push(out, source, &IDS, resource, times?));
        if let Err(defect) = result {
            draft.skip(out, source, *near, defect);
        }
    }
}

const NO_PROCESS: &str = "spans skipped: their process, which names the service, is not in the trace";

impl<'de> Node<'de> for TraceNode<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "data" | "traces" | "hits" | "_source" => {
                self.decoder.begin("data", &key);
                let mut inner = TraceNode::new(self.decoder);
                let result = map.next_value_seed(Visit(&mut inner));
                inner.finish(result.is_ok());
                result
            }
            "spans" => {
                self.decoder.begin("spans", &key);
                let mut list = SpanElement { decoder: self.decoder, spans: &mut self.spans };
                map.next_value_seed(Visit(&mut List(&mut list)))
            }
            "processes" => {
                self.decoder.begin("processes", &key);
                let mut processes = Processes { decoder: self.decoder, processes: &mut self.processes };
                map.next_value_seed(Visit(&mut processes))
            }
            _ => self.bare.read_field(key, map, self.decoder),
        }
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        Some(self.each(seq))
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("an object or a list of objects");
    }
}

impl<'de> Element<'de> for TraceNode<'_, '_, 'de> {
    fn start(&mut self) {
        self.spans.clear();
        self.processes.clear();
        self.bare = JaegerSpan::default();
    }

    fn finish(&mut self, whole: bool) {
        let processes = std::mem::take(&mut self.processes);
        let mut keys = BTreeMap::new();
        for (id, facts) in &processes {
            keys.insert(&**id, facts.key(&mut self.decoder.out.spans));
        }
        if whole && self.bare.draft.id != Scalar::Absent {
            let trace = self.bare.draft.trace.clone();
            let bare = std::mem::take(&mut self.bare);
            self.bare.draft.trace = trace;
            self.spans.push(bare);
        }
        for span in std::mem::take(&mut self.spans) {
            self.push(span, &keys);
        }
    }
}

struct SpanElement<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    spans: &'d mut Vec<JaegerSpan<'de>>,
}

impl<'de> Node<'de> for SpanElement<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match self.spans.last_mut() {
            Some(span) => span.read_field(key, map, self.decoder),
            None => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of spans");
    }
}

impl<'de> Element<'de> for SpanElement<'_, '_, 'de> {
    fn start(&mut self) {
        self.spans.push(JaegerSpan::default());
    }

    fn finish(&mut self, whole: bool) {
        // A span that was cut off, or something that is no object.
        if !whole || self.spans.last().is_some_and(|span| !span.is_object) {
            self.spans.pop();
        }
    }
}

/// A span as Jaeger writes it.
#[derive(Default)]
struct JaegerSpan<'de> {
    draft: SpanDraft<'de>,
    /// Microseconds.
    start: Scalar<'de>,
    /// The same in milliseconds, for Elasticsearch's searches by time.
    start_ms: Scalar<'de>,
    duration: Scalar<'de>,
    process_id: Scalar<'de>,
    process: Option<ResourceFacts>,
    references: Vec<Reference<'de>>,
    is_object: bool,
}

#[derive(Default)]
struct Reference<'de> {
    kind: Scalar<'de>,
    trace: Scalar<'de>,
    span: Scalar<'de>,
}

impl<'de> JaegerSpan<'de> {
    fn read_field<A: MapAccess<'de>>(
        &mut self,
        key: Cow<'de, str>,
        map: &mut A,
        decoder: &mut Decoder<'_, 'de>,
    ) -> Result<(), A::Error> {
        self.is_object = true;
        match &*key {
            "traceID" => {
                decoder.begin("traceID", &key);
                self.draft.trace = scalar(map)?;
            }
            "spanID" => {
                decoder.begin("spanID", &key);
                self.draft.id = scalar(map)?;
            }
            "parentSpanID" => self.draft.parent = scalar(map)?,
            "operationName" => self.draft.name = scalar(map)?,
            "startTime" => self.start = scalar(map)?,
            "startTimeMillis" => self.start_ms = scalar(map)?,
            "duration" => self.duration = scalar(map)?,
            "processID" => self.process_id = scalar(map)?,
            "references" => {
                decoder.begin("references", &key);
                let mut element = ReferenceElement { references: &mut self.references, wrong: false };
                map.next_value_seed(Visit(&mut List(&mut element)))?;
                if element.wrong {
                    decoder.wrong_type("a list of references");
                }
            }
            "tags" => {
                decoder.begin("tags", &key);
                read_attributes(map, &mut self.draft.facts, decoder)?;
            }
            "tag" => {
                decoder.begin("tag", &key);
                let facts = &mut self.draft.facts;
                if !read_object(map, &mut |name, value| facts.note(&dotted(name), value))? {
                    decoder.wrong_type("an object of tags");
                }
            }
            "process" => {
                decoder.begin("process", &key);
                let mut facts = ResourceFacts::default();
                map.next_value_seed(Visit(&mut Process { decoder, facts: &mut facts }))?;
                self.process = Some(facts);
            }
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn times(&self) -> Result<(i64, u64), Defect> {
        let (start, unit_ns) =
            if self.start == Scalar::Absent { (&self.start_ms, 1_000_000) } else { (&self.start, 1000) };
        let start = start.as_integer().filter(|&start| start > 0).and_then(|start| start.checked_mul(unit_ns));
        let start = start.ok_or(Defect { field: "startTime", message: BAD_START })?;
        let duration = self.duration.as_integer().and_then(|us| u64::try_from(us).ok()?.checked_mul(1000));
        let duration = duration.ok_or(Defect { field: "duration", message: BAD_DURATION })?;
        Ok((start, duration))
    }

    /// Decides which reference is the parent, within the trace: `CHILD_OF`, the older `parentSpanID`, or else
    /// `FOLLOWS_FROM`; the other references are links. Nobody waits for what only follows: that is what a consumer is,
    /// and a span that says no kind is taken for one.
    fn into_draft(mut self) -> SpanDraft<'de> {
        let trace = self.draft.trace.as_text().and_then(ids::trace_id);
        let in_trace = |reference: &Reference<'_>| {
            reference.trace == Scalar::Absent || reference.trace.as_text().and_then(ids::trace_id) == trace
        };
        let of_kind = |kind: &str| {
            self.references.iter().position(|r| in_trace(r) && r.kind.as_text().unwrap_or("CHILD_OF") == kind)
        };
        let has_parent = self.draft.parent.as_text().is_some_and(|id| ids::span_id(id).is_some_and(|id| id != 0));
        let child_of = of_kind("CHILD_OF");
        let follows = if child_of.is_none() && !has_parent { of_kind("FOLLOWS_FROM") } else { None };
        if let Some(index) = child_of.or(follows) {
            self.draft.parent = self.references.remove(index).span;
        }
        let own_trace = &self.draft.trace;
        self.draft.links = self
            .references
            .into_iter()
            .map(|r| (if r.trace == Scalar::Absent { own_trace.clone() } else { r.trace }, r.span))
            .collect();
        if let Some(kind) = self.draft.facts.kind() {
            // A tag of another meaning under that name does no harm.
            self.draft.kind = semconv::kind(kind).unwrap_or(SpanKind::Unspecified);
        }
        if self.draft.kind == SpanKind::Unspecified && follows.is_some() {
            self.draft.kind = SpanKind::Consumer;
        }
        self.draft
    }
}

struct ReferenceElement<'r, 'de> {
    references: &'r mut Vec<Reference<'de>>,
    wrong: bool,
}

impl<'de> Node<'de> for ReferenceElement<'_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let Some(reference) = self.references.last_mut() else { return ignore(map) };
        match &*key {
            "refType" => reference.kind = scalar(map)?,
            "traceID" => reference.trace = scalar(map)?,
            "spanID" => reference.span = scalar(map)?,
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.wrong = true;
    }
}

impl<'de> Element<'de> for ReferenceElement<'_, 'de> {
    fn start(&mut self) {
        self.references.push(Reference::default());
    }

    fn finish(&mut self, whole: bool) {
        if !whole || self.references.last().is_some_and(|r| r.span == Scalar::Absent) {
            self.references.pop();
        }
    }
}

/// The object whose members are the processes.
struct Processes<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    processes: &'d mut BTreeMap<Cow<'de, str>, ResourceFacts>,
}

impl<'de> Node<'de> for Processes<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        self.decoder.begin("processes", &key);
        let facts = self.processes.entry(key).or_default();
        map.next_value_seed(Visit(&mut Process { decoder: self.decoder, facts }))
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("an object with a process for each id");
    }
}

struct Process<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    facts: &'d mut ResourceFacts,
}

impl<'de> Node<'de> for Process<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "serviceName" => {
                let name = scalar(map)?;
                self.facts.name(name);
                Ok(())
            }
            "tags" => {
                self.decoder.begin("tags", &key);
                read_attributes(map, self.facts, self.decoder)
            }
            "tag" => {
                self.decoder.begin("tag", &key);
                let facts = &mut *self.facts;
                if !read_object(map, &mut |name, value| facts.note(&dotted(name), value))? {
                    self.decoder.wrong_type("an object of tags");
                }
                Ok(())
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("an object");
    }
}

/// The name of a tag that became a field of Elasticsearch, where a dot has a meaning of its own.
fn dotted(name: &str) -> String {
    name.replace('@', ".")
}
