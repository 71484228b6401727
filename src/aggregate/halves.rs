//! Zipkin's shared spans: both halves of a call under one id, parted into a caller's and a callee's span.
//!
//! Zipkin's clients hand their span's id to the server, which reports its own span under it (`shared: true`). Whoever
//! keeps one span an id loses half of every call. Here, where all spans of a trace are together whatever files they came
//! in, spans of one id that are the calling and the called side are told by their kinds; the flag may be late or lost on
//! the way through Jaeger or a collector. The called half gets an id of its own below the calling half, and the spans
//! below the shared id go to the half that made them.

use super::forest::LocalSpan;
use crate::telemetry::id::TraceId;
use crate::telemetry::span::SpanKind;

/// The called half of a shared span.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CalledHalf {
    /// The id that both halves had.
    shared: u64,
    service: u32,
    start_ns: i64,
    /// The half's own id.
    id: u64,
    /// Service of the calling half.
    caller: u32,
}

/// Parts the shared spans of a trace, whose spans are sorted by id, and keeps them sorted so. Costs one look at each
/// span where nothing is shared.
pub(super) fn part_halves(spans: &mut [LocalSpan]) {
    let differ = |pair: &[LocalSpan]| pair[0].id == pair[1].id && is_called(&pair[0]) != is_called(&pair[1]);
    if !spans.windows(2).any(differ) {
        return;
    }
    let mut halves = Vec::new();
    for group in spans.chunk_by_mut(|a, b| a.id == b.id) {
        let Some(caller) = caller(group) else { continue };
        for span in group.iter_mut().filter(|span| is_called(span)) {
            let id = own_id(span);
            halves.push(CalledHalf { shared: span.id, service: span.service, start_ns: span.start_ns, id, caller });
            span.parent = span.id;
            span.id = id;
        }
    }
    halves.sort_unstable();
    for span in spans.iter_mut() {
        // A called half has its place already: below the id that it shared.
        let parted = halves.binary_search_by_key(&span.parent, |half| half.shared).is_ok();
        if parted && span.id != own_id(&LocalSpan { id: span.parent, ..*span }) {
            span.parent = parent_half(&halves, span);
        }
    }
    spans.sort_unstable_by(LocalSpan::by_id);
}

fn is_called(span: &LocalSpan) -> bool {
    matches!(span.kind, SpanKind::Server | SpanKind::Consumer)
}

/// The service of the calling half of spans with one id: the client's, else that of a span without a side in a service
/// that no called half is in. `None` when there are no two halves.
fn caller(group: &[LocalSpan]) -> Option<u32> {
    let outgoing = |span: &&LocalSpan| matches!(span.kind, SpanKind::Client | SpanKind::Producer);
    if !group.iter().any(is_called) {
        return None;
    }
    if let Some(client) = group.iter().find(outgoing) {
        return Some(client.service);
    }
    // A list, for there may be any number of spans with one id.
    let mut called: Vec<u32> = group.iter().filter(|span| is_called(span)).map(|span| span.service).collect();
    called.sort_unstable();
    let without_called = |service: u32| called.binary_search(&service).is_err();
    group.iter().find(|span| !is_called(span) && without_called(span.service)).map(|span| span.service)
}

/// The id of a called half: from all that tells it apart, so that it is the same on every machine, and that a half which
/// was read twice still counts as one. Not from the trace, since equal traces have equal trees.
fn own_id(span: &LocalSpan) -> u64 {
    let words = [
        span.id,
        span.start_ns.cast_unsigned(),
        span.end_ns.cast_unsigned(),
        (u64::from(span.instance) << 32) | u64::from(span.operation),
        (u64::from(span.peer) << 32) | ((span.kind as u64) << 8) | span.status as u64,
    ];
    let mut hash = 0;
    for word in words {
        hash = TraceId((u128::from(hash) << 64) | u128::from(word)).mixed();
    }
    hash.max(1)
}

/// The parent of a span below a shared id: the called half of its own service, of several the last that had begun;
/// else the calling half when that is its service; else, where its own client is missing, any called half.
fn parent_half(halves: &[CalledHalf], span: &LocalSpan) -> u64 {
    let key = |half: &CalledHalf| (half.shared, half.service, half.start_ns);
    let of_service = halves.partition_point(|half| key(half) < (span.parent, span.service, i64::MIN));
    let begun = halves.partition_point(|half| key(half) <= (span.parent, span.service, span.start_ns));
    let at = if begun > of_service { begun - 1 } else { of_service };
    if let Some(half) = halves.get(at).filter(|half| (half.shared, half.service) == (span.parent, span.service)) {
        return half.id;
    }
    let first = halves.partition_point(|half| half.shared < span.parent);
    match halves.get(first) {
        Some(half) if half.caller != span.service => half.id,
        _ => span.parent,
    }
}
