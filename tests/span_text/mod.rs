//! Spans written as text, and their call statistics as text.

use std::fmt::Write as _;

use hypocenter::aggregate::aggregate;
use hypocenter::telemetry::calls::CallStats;
use hypocenter::telemetry::id::{SpanId, TraceId};
use hypocenter::telemetry::span::{Marks, PeerKind, Span, SpanKind, SpanStatus, SpanTable};
use hypocenter::telemetry::time::Grid;
use hypocenter::telemetry::topology::EdgeMode;

pub(crate) const MINUTE_NS: i64 = 60_000_000_000;

/// Reads spans from lines `trace/id parent service kind operation start+duration [error] [timeout] [resent] [db=NAME]
/// [queue=NAME] [peer=NAME] [pod=NAME] [weight=N] [link=TRACE/ID]…`; parent `-` is none. Numbers are decimal, times are nanoseconds,
/// or milliseconds where `ms` stands behind the duration.
pub(crate) fn spans(text: &str) -> SpanTable {
    let mut table = SpanTable::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (trace, id) = address(words[0]);
        let (start, duration) = words[5].split_once('+').unwrap();
        let (duration, factor) = duration.strip_suffix("ms").map_or((duration, 1), |ms| (ms, 1_000_000));
        let mut status = SpanStatus::Unset;
        let mut peer = None;
        let (mut links, mut weight) = (Vec::new(), 0);
        let mut marks = Marks::default();
        let mut pod = format!("{}-0", words[2]);
        for extra in &words[6..] {
            match extra.split_once('=').unwrap_or((extra, "")) {
                ("error", _) => status = SpanStatus::Error,
                ("timeout", _) => (status, marks) = (SpanStatus::Error, marks.and(Marks::TIMED_OUT)),
                ("resent", _) => marks = marks.and(Marks::RESENT),
                ("db", name) => peer = Some((name, PeerKind::Database)),
                ("queue", name) => peer = Some((name, PeerKind::Queue)),
                ("peer", name) => peer = Some((name, PeerKind::Service)),
                ("pod", name) => pod = name.to_owned(),
                ("weight", of) => weight = of.parse().unwrap(),
                ("link", to) => links.push(address(to)),
                other => panic!("{other:?}"),
            }
        }
        let span = Span {
            trace,
            id,
            parent: (words[1] != "-").then(|| SpanId(words[1].parse().unwrap())),
            resource: table.resource_key(words[2], &pod, "v1"),
            operation: table.operation_key(words[4]),
            kind: match words[3] {
                "server" => SpanKind::Server,
                "client" => SpanKind::Client,
                "producer" => SpanKind::Producer,
                "consumer" => SpanKind::Consumer,
                "internal" => SpanKind::Internal,
                "?" => SpanKind::Unspecified,
                other => panic!("{other}"),
            },
            status,
            peer: peer.map(|(name, kind)| table.peer_key(name, kind)),
            start_ns: start.parse::<i64>().unwrap().saturating_mul(factor as i64),
            duration_ns: duration.parse::<u64>().unwrap().saturating_mul(factor),
        };
        table.push_weighted(span, weight);
        table.mark(marks);
        links.iter().for_each(|&(trace, id)| table.push_link(trace, id));
    }
    table
}

fn address(text: &str) -> (TraceId, SpanId) {
    let (trace, id) = text.split_once('/').unwrap();
    (TraceId(trace.parse().unwrap()), SpanId(id.parse().unwrap()))
}

pub(crate) fn stats(spans: &SpanTable) -> CallStats {
    aggregate(spans, &Grid::new(MINUTE_NS)).0
}

/// One line for each row: `caller -> callee operation: calls × duration, self, part of work + part of gap`, `~>` for
/// asynchronous calls; then the gap, the errors and how often calls were tried, where there are any.
pub(crate) fn show(stats: &CallStats) -> String {
    let mut text = String::new();
    for row in &stats.rows {
        let caller = row.key.caller.map_or("*", |caller| stats.service(caller).as_str());
        let arrow = if row.key.mode == EdgeMode::Sync { "->" } else { "~>" };
        let (callee, operation) = (stats.service(row.key.callee), &stats.operations[row.key.operation as usize]);
        write!(text, "{caller} {arrow} {callee} {operation}: {}x{}", row.calls, row.duration_ns).unwrap();
        write!(text, " self {} part {}+{}", row.self_ns, row.part_ns, row.part_gap_ns).unwrap();
        if row.paired_calls > 0 {
            write!(text, " gap {}", row.gap_ns).unwrap();
        }
        if row.errors > 0 {
            let (caller, origin, edge) = (row.caller_errors, row.origin_errors, row.edge_errors);
            write!(text, " errors {} caller {caller} origin {origin} edge {edge}", row.errors).unwrap();
        }
        for (name, count) in [("timeouts", row.timeouts), ("retries", row.retries), ("hedges", row.hedges)] {
            if count > 0 {
                write!(text, " {name} {count}").unwrap();
            }
        }
        text.push('\n');
    }
    text
}

#[track_caller]
pub(crate) fn check(text: &str, expected: &[&str]) -> CallStats {
    let stats = stats(&spans(text));
    assert_eq!(show(&stats).lines().collect::<Vec<_>>(), expected, "of{text}");
    stats
}
