//! OTLP JSON: whole messages (one, several in a row, or in a list; pretty-printed or not) and the lines of the
//! collector's file exporter.
//!
//! One liberal decoder takes the specification's form and what Tempo and Jaeger v3 make of it: ids in hexadecimal or
//! base64, enums as numbers or names, 64-bit integers as text or numbers, snake_case and the older names of lists,
//! and the wrappers `result`, `trace` and `data`. Unknown fields are ignored. Spans go into the table as they stream by,
//! so that a cut-off message gives all spans before the cut.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use crate::telemetry::span::ResourceKey;

use super::json_attributes::read_attributes;
use super::json_stream::{Decoder, Element, List, Node, Scalar, Source, Visit, ignore, scalar};
use super::otlp_logs::ResourceLogs;
use super::semconv::{self, ResourceFacts};
use super::span_draft::{BAD_END, BAD_START, Defect, END_BEFORE_START, IdNames, SpanDraft, set_resource};
use super::{Head, IngestError, Input, ReadOptions, Telemetry, json_values, otlp_json_metrics};

/// OTLP by the name of one of its lists.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let text = head.bytes.trim_ascii_start();
    let has = |name: &str| memchr::memmem::find(text, name.as_bytes()).is_some();
    let lists =
        ["\"resourceSpans\"", "\"resource_spans\"", "\"resourceLogs\"", "\"resourceMetrics\"", "\"resource_metrics\""];
    match text.first() {
        // The empty message is `{}`.
        Some(b'{') if text.trim_ascii_end() == b"{}" => true,
        Some(b'{' | b'[') => {
            let scopes = ["\"scopeSpans\"", "\"scope_spans\"", "\"instrumentationLibrarySpans\""];
            lists.iter().any(|list| has(list)) || scopes.iter().any(|list| has(list))
        }
        _ => false,
    }
}

/// Reads all messages of a file.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    json_values::read_side_by_side(input, options, out, decode)
}

/// Decodes the messages that `source` holds, one after the other.
pub(super) fn decode(source: &Source<'_>, out: &mut Telemetry) {
    Decoder::new(out, source).read_values(|decoder, json| Visit(&mut MessageNode(decoder)).deserialize(json));
}

const IDS: IdNames = IdNames { trace: "traceId", span: "spanId", parent: "parentSpanId", links: "links" };

/// A message, its wrapper, or a list of them.
struct MessageNode<'d, 'o, 'de>(&'d mut Decoder<'o, 'de>);

impl<'de> Node<'de> for MessageNode<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "resourceSpans" | "resource_spans" | "batches" => {
                self.0.begin("resourceSpans", &key);
                let mut spans = ResourceSpans { decoder: self.0, first_row: 0, facts: ResourceFacts::default() };
                map.next_value_seed(Visit(&mut List(&mut spans)))
            }
            "result" | "trace" | "data" => {
                self.0.begin("result", &key);
                map.next_value_seed(Visit(&mut MessageNode(self.0)))
            }
            "resourceLogs" | "resource_logs" => {
                self.0.begin("resourceLogs", &key);
                map.next_value_seed(Visit(&mut List(&mut ResourceLogs::new(self.0))))
            }
            "resourceMetrics" | "resource_metrics" => {
                self.0.begin("resourceMetrics", &key);
                otlp_json_metrics::read(map, self.0)
            }
            "resourceProfiles" => {
                self.0.begin("resourceProfiles", &key);
                let place = self.0.source.place(self.0.near, &key);
                self.0.out.skip(self.0.source.path, place, "messages with profiles: they are not read");
                ignore(map)
            }
            "status" => {
                // Tempo's mark of an answer that it cut.
                if scalar(map)?.as_text() == Some("PARTIAL") {
                    self.0.begin("status", &key);
                    self.0.odd("the trace is partial: Tempo did not return all of it");
                }
                Ok(())
            }
            _ => ignore(map),
        }
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        Some(self.each(seq))
    }

    fn wrong(&mut self) {
        self.0.wrong_type("an object or a list of objects");
    }
}

impl<'de> MessageNode<'_, '_, 'de> {
    fn each<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<(), A::Error> {
        while seq.next_element_seed(Visit(&mut *self))?.is_some() {}
        Ok(())
    }
}

/// The spans of one resource.
struct ResourceSpans<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    first_row: usize,
    facts: ResourceFacts,
}

impl<'de> Node<'de> for ResourceSpans<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "resource" => {
                self.decoder.begin("resource", &key);
                map.next_value_seed(Visit(&mut Resource { decoder: self.decoder, facts: &mut self.facts }))
            }
            "scopeSpans" | "scope_spans" | "instrumentationLibrarySpans" | "instrumentation_library_spans" => {
                self.decoder.begin("scopeSpans", &key);
                map.next_value_seed(Visit(&mut List(&mut ScopeSpans(self.decoder))))
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of objects");
    }
}

impl<'de> Element<'de> for ResourceSpans<'_, '_, 'de> {
    fn start(&mut self) {
        self.first_row = self.decoder.out.spans.len();
        self.facts = ResourceFacts::default();
    }

    fn finish(&mut self, _whole: bool) {
        // Only now, because the resource may stand after its spans.
        let spans = &mut self.decoder.out.spans;
        if spans.len() > self.first_row {
            let key = self.facts.key(spans);
            set_resource(spans, self.first_row, key);
        }
    }
}

struct Resource<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    facts: &'d mut ResourceFacts,
}

impl<'de> Node<'de> for Resource<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "attributes" => {
                self.decoder.begin("attributes", &key);
                read_attributes(map, self.facts, self.decoder)
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("an object");
    }
}

struct ScopeSpans<'d, 'o, 'de>(&'d mut Decoder<'o, 'de>);

impl<'de> Node<'de> for ScopeSpans<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "spans" => {
                self.0.begin("spans", &key);
                let mut span = SpanNode::new(self.0);
                map.next_value_seed(Visit(&mut List(&mut span)))
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.0.wrong_type("a list of objects");
    }
}

impl<'de> Element<'de> for ScopeSpans<'_, '_, 'de> {
    fn start(&mut self) {}

    fn finish(&mut self, _whole: bool) {}
}

struct SpanNode<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    draft: SpanDraft<'de>,
    start: Scalar<'de>,
    end: Scalar<'de>,
    is_object: bool,
}

impl<'d, 'o, 'de> SpanNode<'d, 'o, 'de> {
    fn new(decoder: &'d mut Decoder<'o, 'de>) -> Self {
        Self { decoder, draft: SpanDraft::default(), start: Scalar::Absent, end: Scalar::Absent, is_object: false }
    }

    fn times(&self) -> Result<(i64, u64), Defect> {
        let positive = |time: &Scalar<'_>| time.as_integer().filter(|&ns| ns > 0);
        let start = positive(&self.start).ok_or(Defect { field: "startTimeUnixNano", message: BAD_START })?;
        let end = positive(&self.end).ok_or(Defect { field: "endTimeUnixNano", message: BAD_END })?;
        let duration = u64::try_from(end - start)
            .map_err(|_negative| Defect { field: "endTimeUnixNano", message: END_BEFORE_START })?;
        Ok((start, duration))
    }
}

impl<'de> Node<'de> for SpanNode<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        self.is_object = true;
        match &*key {
            "traceId" | "trace_id" => {
                self.decoder.begin("traceId", &key);
                self.draft.trace = scalar(map)?;
            }
            "spanId" | "span_id" => {
                self.decoder.begin("spanId", &key);
                self.draft.id = scalar(map)?;
            }
            "parentSpanId" | "parent_span_id" => self.draft.parent = scalar(map)?,
            "traceState" | "trace_state" => self.draft.trace_state = scalar(map)?,
            "name" => self.draft.name = scalar(map)?,
            "kind" => {
                self.decoder.begin("kind", &key);
                match semconv::kind(&scalar(map)?) {
                    Some(kind) => self.draft.kind = kind,
                    None => self.decoder.odd("spans of unknown kind are taken as unspecified"),
                }
            }
            "startTimeUnixNano" | "start_time_unix_nano" => self.start = scalar(map)?,
            "endTimeUnixNano" | "end_time_unix_nano" => self.end = scalar(map)?,
            "attributes" => {
                self.decoder.begin("attributes", &key);
                read_attributes(map, &mut self.draft.facts, self.decoder)?;
            }
            "status" => {
                self.decoder.begin("status", &key);
                let mut status = Status::default();
                map.next_value_seed(Visit(&mut status))?;
                match semconv::status(&status.code) {
                    Some(status) => self.draft.status = status,
                    None => self.decoder.odd("spans of unknown status are taken as unset"),
                }
            }
            "links" => {
                self.decoder.begin("links", &key);
                let mut link = Link { links: &mut self.draft.links, wrong: false };
                map.next_value_seed(Visit(&mut List(&mut link)))?;
                if link.wrong {
                    self.decoder.wrong_type("a list of links");
                }
            }
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of spans");
    }
}

impl<'de> Element<'de> for SpanNode<'_, '_, 'de> {
    fn start(&mut self) {
        self.draft = SpanDraft::default();
        self.start = Scalar::Absent;
        self.end = Scalar::Absent;
        self.is_object = false;
    }

    fn finish(&mut self, whole: bool) {
        if !whole || !self.is_object {
            return;
        }
        let times = self.times();
        let draft = std::mem::take(&mut self.draft);
        let Decoder { out, source, near, .. } = &mut *self.decoder;
        // The resource is set when all of its spans are there.
        let result = times.and_then(|times| draft.push(out, source, &IDS, ResourceKey(0), times));
        if let Err(defect) = result {
            draft.skip(out, source, *near, defect);
        }
    }
}

#[derive(Default)]
struct Status<'de> {
    code: Scalar<'de>,
}

impl<'de> Node<'de> for Status<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "code" => self.code = scalar(map)?,
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn scalar(&mut self, value: Scalar<'de>) -> bool {
        self.code = value;
        true
    }

    fn wrong(&mut self) {
        self.code = Scalar::Nested;
    }
}

struct Link<'l, 'de> {
    links: &'l mut Vec<(Scalar<'de>, Scalar<'de>)>,
    wrong: bool,
}

impl<'de> Node<'de> for Link<'_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let Some(link) = self.links.last_mut() else { return ignore(map) };
        match &*key {
            "traceId" | "trace_id" => link.0 = scalar(map)?,
            "spanId" | "span_id" => link.1 = scalar(map)?,
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.wrong = true;
    }
}

impl<'de> Element<'de> for Link<'_, 'de> {
    fn start(&mut self) {
        self.links.push(Default::default());
    }

    fn finish(&mut self, whole: bool) {
        if !whole {
            self.links.pop();
        }
    }
}
