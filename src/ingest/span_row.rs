//! A row of a span table whose columns are read, with what its attributes add to them.

use rustc_hash::FxHashMap;

use crate::telemetry::id::{SpanId, TraceId};
use crate::telemetry::span::{Peer, PeerKind, Place, ResourceKey, Span, SpanKind, SpanStatus, SpanTable};

use super::sampling;
use super::semconv::{self, ResourceFacts, SpanFacts};

/// One row.
pub(crate) struct SpanRow<'r> {
    pub(crate) trace: u128,
    pub(crate) id: u64,
    /// 0 for none.
    pub(crate) parent: u64,
    pub(crate) operation: &'r str,
    pub(crate) kind: SpanKind,
    pub(crate) status: SpanStatus,
    /// The peer of a column of its own; empty for none.
    pub(crate) peer: &'r str,
    pub(crate) start_ns: i64,
    pub(crate) duration_ns: u64,
    pub(crate) resource: ResourceKey,
    /// W3C `tracestate` of a column of its own; empty for none.
    pub(crate) trace_state: &'r str,
    pub(crate) facts: SpanFacts<'r>,
}

impl SpanRow<'_> {
    /// Adds the row to the table. Returns what is odd about how it says to be sampled.
    #[must_use]
    pub(crate) fn push(self, spans: &mut SpanTable) -> Option<&'static str> {
        let trace = TraceId(self.trace);
        let (weight, odd) = self.facts.sampling(sampling::of_trace_state(self.trace_state)).weight(trace);
        let kind = match self.kind {
            SpanKind::Unspecified => self.facts.kind().and_then(semconv::kind).unwrap_or_default(),
            kind => kind,
        };
        let kind = self.facts.role(kind);
        let status = self.facts.status(kind, self.status);
        let peer = peer(&self.facts, kind, self.peer.trim()).map(|peer| spans.peer_key_of(peer));
        let operation = spans.operation_key(self.operation);
        let span = Span {
            trace,
            id: SpanId(self.id),
            parent: (self.parent != 0).then_some(SpanId(self.parent)),
            resource: self.resource,
            operation,
            kind,
            status,
            peer,
            start_ns: self.start_ns,
            duration_ns: self.duration_ns,
        };
        spans.push_weighted(span, weight);
        spans.mark(self.facts.marks(kind));
        odd
    }
}

/// The peer that a column names, or else the attributes.
pub(crate) fn peer(facts: &SpanFacts<'_>, kind: SpanKind, named: &str) -> Option<Peer> {
    let told = facts.peer(kind);
    match (kind, named) {
        (SpanKind::Server, _) => None,
        (_, "") => told,
        // A database by a name that people gave it is still a database.
        _ => {
            let kind = told.map_or(PeerKind::Service, |peer| peer.kind);
            Some(Peer { name: named.to_owned(), kind, place: Place::default() })
        }
    }
}

/// The keys of resources that every span states anew: to remember them costs less than to ask the table each time.
#[derive(Default)]
pub(crate) struct Resources {
    known: FxHashMap<ResourceFacts, ResourceKey>,
}

/// Resources that are remembered; where there are more, a resource is rarely met again.
const RESOURCES_KEPT: usize = 4096;

impl Resources {
    /// The key of this resource in `spans`, always the same table.
    pub(crate) fn key(&mut self, facts: ResourceFacts, spans: &mut SpanTable) -> ResourceKey {
        if let Some(&key) = self.known.get(&facts) {
            return key;
        }
        let key = facts.key(spans);
        if self.known.len() < RESOURCES_KEPT {
            self.known.insert(facts, key);
        }
        key
    }
}
