//! A span whose fields come in any order, checked and pushed into the table once all are there.

use std::borrow::Cow;
use std::path::Path;

use crate::telemetry::id::{SpanId, TraceId};
use crate::telemetry::span::{ResourceKey, Span, SpanKind, SpanStatus, SpanTable};

use super::Telemetry;
use super::ids;
use super::json_stream::{Scalar, Source};
use super::sampling::{self, Said};
use super::semconv::SpanFacts;

/// What is known of a span so far.
#[derive(Debug, Default)]
pub(crate) struct SpanDraft<'de> {
    pub(crate) trace: Scalar<'de>,
    pub(crate) id: Scalar<'de>,
    pub(crate) parent: Scalar<'de>,
    pub(crate) name: Scalar<'de>,
    pub(crate) kind: SpanKind,
    pub(crate) status: SpanStatus,
    pub(crate) facts: SpanFacts<'de>,
    /// W3C `tracestate`, where the format has a field for it.
    pub(crate) trace_state: Scalar<'de>,
    /// Trace and span that a link names.
    pub(crate) links: Vec<(Scalar<'de>, Scalar<'de>)>,
}

/// The ids of a span as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ids {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    /// Zero for none.
    pub(crate) parent: u64,
}

/// What a format calls the ids, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdNames {
    pub(crate) trace: &'static str,
    pub(crate) span: &'static str,
    pub(crate) parent: &'static str,
    pub(crate) links: &'static str,
}

/// Why a span was skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Defect {
    pub(crate) field: &'static str,
    pub(crate) message: &'static str,
}

pub(crate) const BAD_TRACE_ID: &str =
    "spans skipped: a trace id must be up to 32 hexadecimal digits or base64 of 16 bytes, and not zero";
pub(crate) const BAD_SPAN_ID: &str =
    "spans skipped: a span id must be up to 16 hexadecimal digits or base64 of 8 bytes, and not zero";
pub(crate) const BAD_PARENT_ID: &str =
    "spans skipped: a parent id must be up to 16 hexadecimal digits or base64 of 8 bytes, or empty for a root";
pub(crate) const BAD_START: &str = "spans skipped: the start must be a positive whole number of nanoseconds \
     (microseconds in Jaeger) since the Unix epoch, before the year 2262";
pub(crate) const BAD_END: &str =
    "spans skipped: the end must be a positive whole number of nanoseconds since the Unix epoch, before the year 2262";
pub(crate) const END_BEFORE_START: &str = "spans skipped: they end before they start";
pub(crate) const BAD_DURATION: &str = "spans skipped: the duration must be a number that is not negative";
pub(crate) const BAD_LINK: &str = "span links left out: their ids cannot be read";

impl<'de> SpanDraft<'de> {
    /// Something borrowed from the source, for the span's place.
    pub(crate) fn borrowed(&self) -> Option<&'de str> {
        self.id.borrowed().or_else(|| self.trace.borrowed()).or_else(|| self.name.borrowed())
    }

    /// Notes in `out` that the span is skipped.
    pub(crate) fn skip(&self, out: &mut Telemetry, source: &Source<'_>, near: Option<&str>, defect: Defect) {
        let own = match defect.message {
            BAD_TRACE_ID => self.trace.borrowed(),
            BAD_PARENT_ID => self.parent.borrowed(),
            _ => None,
        };
        let place = source.place(own.or(self.borrowed()).or(near), defect.field);
        out.skip(source.path, place, defect.message);
    }

    /// Adds the span to `out` with `resource`, or tells why not.
    pub(crate) fn push(
        &self,
        out: &mut Telemetry,
        source: &Source<'_>,
        names: &IdNames,
        resource: ResourceKey,
        (start_ns, duration_ns): (i64, u64),
    ) -> Result<(), Defect> {
        let Some(trace) = self.trace.as_text().and_then(ids::trace_id) else {
            return Err(Defect { field: names.trace, message: BAD_TRACE_ID });
        };
        let Some(id) = self.id.as_text().and_then(ids::span_id).filter(|&id| id != 0) else {
            return Err(Defect { field: names.span, message: BAD_SPAN_ID });
        };
        let parent = match &self.parent {
            Scalar::Absent => Some(0),
            Scalar::Text(text) if text.is_empty() => Some(0),
            other => other.as_text().and_then(ids::span_id),
        };
        let Some(parent) = parent else {
            return Err(Defect { field: names.parent, message: BAD_PARENT_ID });
        };
        let ids = Ids { trace, span: id, parent };
        let near = self.trace_state.borrowed().or(self.borrowed());
        let place = || source.place(near, "traceState");
        self.push_with(out, (source.path, &place), ids, resource, (start_ns, duration_ns));
        for (linked_trace, linked_span) in &self.links {
            match (linked_trace.as_text().and_then(ids::trace_id), linked_span.as_text().and_then(ids::span_id)) {
                (Some(trace), Some(span)) if span != 0 => out.spans.push_link(TraceId(trace), SpanId(span)),
                _ => out.warn(source.path, source.place(self.borrowed(), names.links), BAD_LINK, 1),
            }
        }
        Ok(())
    }

    /// Adds the span to `out` with ids that were read already, without its links. `place` is for what is odd about its
    /// sampling.
    pub(crate) fn push_with(
        &self,
        out: &mut Telemetry,
        (path, place): (&Path, &dyn Fn() -> String),
        ids: Ids,
        resource: ResourceKey,
        (start_ns, duration_ns): (i64, u64),
    ) {
        let trace = TraceId(ids.trace);
        let said = self.facts.sampling(self.trace_state.as_text().map_or(Said::Nothing, sampling::of_trace_state));
        out.sampling_seen |= self.facts.has_sampling();
        let weight = said.weight_at(trace, out, path, place);
        let kind = self.facts.role(self.kind);
        let peer = self.facts.peer(kind).map(|peer| out.spans.peer_key_of(peer));
        let operation = out.spans.operation_key(self.name.as_text().unwrap_or_default());
        let span = Span {
            trace,
            id: SpanId(ids.span),
            parent: (ids.parent != 0).then_some(SpanId(ids.parent)),
            resource,
            operation,
            kind,
            status: self.facts.status(kind, self.status),
            peer,
            start_ns,
            duration_ns,
        };
        out.spans.push_weighted(span, weight);
        out.spans.mark(self.facts.marks(kind));
    }
}

/// Gives the rows from `first` on their resource, which a source may name only after its spans.
pub(crate) fn set_resource(spans: &mut SpanTable, first: usize, resource: ResourceKey) {
    if let Some(rows) = spans.resource.get_mut(first..) {
        rows.fill(resource.0);
    }
}

/// Text of a piece of a file; what is not UTF-8 is replaced and counted.
pub(crate) fn text_of<'b>(out: &mut Telemetry, path: &Path, line: u64, bytes: &'b [u8]) -> Cow<'b, str> {
    let (text, valid) = super::text::decode(bytes);
    if !valid {
        let valid_up_to = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        let newlines = memchr::memchr_iter(b'\n', bytes.get(..valid_up_to).unwrap_or_default()).count();
        let place = format!("line {}", line + newlines as u64);
        out.warn(path, place, "text that is not UTF-8 was replaced by U+FFFD", 1);
    }
    text
}
