//! What all trace stores have in common: what they are asked, what comes back, and what a trace tells when one looks at it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::ingest::{ReadOptions, read_bytes};
use crate::telemetry::id::TraceId;
use crate::telemetry::span::SpanStatus;
use crate::telemetry::time::Window;

use super::LiveError;

/// Which traces of the entry's service are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// All.
    Any,
    /// Those in which a span of the service failed.
    Failed,
    /// Those in which a span of the service took at least so many microseconds.
    SlowerThan(u64),
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) window: Window,
    pub(super) outcome: Outcome,
    /// Most traces that the answer may have.
    pub(super) limit: usize,
}

/// How the body of a trace is written, which decides how bodies are put together into a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Form {
    Json,
    Protobuf,
}

/// One trace as the server gave it.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub(super) id: TraceId,
    pub(super) facts: Facts,
    pub(super) form: Form,
    /// A document of its own.
    pub(super) body: Vec<u8>,
}

/// What a trace tells of the service that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    /// Start of the first span of the service, Unix ns: the one instant at which the trace counts.
    pub(super) starts_ns: i64,
    /// The longest span of the service, microseconds.
    pub(super) longest_us: u64,
    /// Whether a span of the service failed.
    pub(super) failed: bool,
}

/// The answer to one question.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) traces: Vec<Trace>,
    /// Traces that came and of which no span could be read.
    pub(super) unreadable: BTreeSet<TraceId>,
    /// Whether fewer came than the limit allows, so that these are all.
    pub(super) is_all: bool,
}

/// A server that can be searched for traces of one service.
pub(super) trait TraceStore: Send + Sync + 'static {
    /// Searches.
    fn ask(&self, ask: Ask) -> impl Future<Output = Result<Found, LiveError>> + Send;

    /// The shortest time that it can be asked for, nanoseconds.
    fn shortest_ns(&self) -> i64;
}

/// Reads an answer and tells of each trace in it what happened to the service; the name counts in either case of letters,
/// since Zipkin writes names small. A trace without the service is told as a whole.
pub(super) fn facts(body: &[u8], url: &str, service: &str) -> Result<BTreeMap<TraceId, Facts>, LiveError> {
    let read = read_bytes(Path::new("answer"), body, &ReadOptions::default())
        .map_err(|error| LiveError::Answer { url: url.to_owned(), problem: error.to_string() })?;
    let spans = &read.spans;
    let is_service: Vec<bool> =
        spans.resources().iter().map(|resource| resource.service.eq_ignore_ascii_case(service)).collect();
    let mut of_traces: BTreeMap<TraceId, (bool, Facts)> = BTreeMap::new();
    for row in 0..spans.len() {
        let span = spans.get(row);
        let of_service = is_service.get(spans.resource[row] as usize).copied().unwrap_or(false);
        let (starts_ns, longest_us) = (span.start_ns, span.duration_ns / 1000);
        let facts = Facts { starts_ns, longest_us, failed: span.status == SpanStatus::Error };
        let known = of_traces.entry(span.trace).or_insert((of_service, facts));
        if of_service && !known.0 {
            *known = (true, facts);
        } else if of_service == known.0 {
            let so_far = &mut known.1;
            so_far.starts_ns = so_far.starts_ns.min(facts.starts_ns);
            so_far.longest_us = so_far.longest_us.max(facts.longest_us);
            so_far.failed |= facts.failed;
        }
    }
    Ok(of_traces.into_iter().map(|(id, (_, facts))| (id, facts)).collect())
}

impl Found {
    /// Nothing was found, or nothing of it is of use.
    pub(super) fn none(is_all: bool) -> Self {
        Self { traces: Vec::new(), unreadable: BTreeSet::new(), is_all }
    }

    /// Traces whose bodies were cut out of an answer, with what they tell. Whether these are all is known by what came, and
    /// not by what of it could be read.
    pub(super) fn cut(
        bodies: BTreeMap<TraceId, Vec<u8>>,
        mut facts: BTreeMap<TraceId, Facts>,
        form: Form,
        is_all: bool,
    ) -> Self {
        let mut found = Self::none(is_all);
        for (id, body) in bodies {
            match facts.remove(&id) {
                Some(facts) => found.traces.push(Trace { id, facts, form, body }),
                None => drop(found.unreadable.insert(id)),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_told_by_the_spans_of_the_service() {
        let span = |id: &str, service: &str, start: u64, length: u64, tags: &str| {
            format!(
                r#"{{"traceId":"0a","id":"{id}","kind":"SERVER","timestamp":{start},"duration":{length},"localEndpoint":{{"serviceName":"{service}"}},"tags":{{{tags}}}}}"#
            )
        };
        let spans = [
            span("1", "gateway", 1_000_000, 90, r#""error":"true""#),
            span("2", "front", 1_000_020, 50, ""),
            span("3", "front", 1_000_010, 10, ""),
        ];
        let told = |service: &str| facts(format!("[{}]", spans.join(",")).as_bytes(), "u", service).unwrap();
        let of_front = Facts { starts_ns: 1_000_010_000, longest_us: 50, failed: false };
        assert_eq!(told("Front")[&TraceId(10)], of_front);
        assert!(told("gateway")[&TraceId(10)].failed);
        assert_eq!(told("absent")[&TraceId(10)].starts_ns, 1_000_000_000);
        assert!(facts(b"nothing of the kind", "u", "front").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let known = Facts { starts_ns: 1, longest_us: 2, failed: false };
        let bodies = [1, 2].map(|id| (TraceId(id), Vec::new()));
        let found = Found::cut(bodies.into(), BTreeMap::from([(TraceId(2), known)]), Form::Json, false);
        assert_eq!(found.traces.iter().map(|trace| trace.id).collect::<Vec<_>>(), [TraceId(2)]);
        assert!(found.unreadable == BTreeSet::from([TraceId(1)]) && !found.is_all);
    }
}
