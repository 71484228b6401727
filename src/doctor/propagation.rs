//! Where the trace context is lost: spans without their parent, and calls that start a new trace at the callee.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::telemetry::span::{NO_PEER, PeerKind, SpanKind, SpanTable};

use super::names::plain;
use super::{Facts, Finding, Severity, brief, count, percent};

/// Shares below this are the edges of the export: a trace that was running when it began.
const WORTH_TELLING: f64 = 0.01;
/// Pairs of services that are told one by one.
const MOST_PAIRS: usize = 3;

/// Calls of one service to another.
#[derive(Clone, Copy, Default)]
struct Pair {
    /// Client spans that a span of the callee answers.
    linked: u64,
    /// Client spans that name the callee and that no span answers.
    broken: u64,
}

/// What the second look at the spans gives.
struct Propagation<'a> {
    /// Names, sorted; the numbers below are positions.
    services: Vec<&'a str>,
    /// Spans, and spans whose parent was not read, by service.
    spans: Vec<u64>,
    orphans: Vec<u64>,
    /// Server spans that begin a trace, by service.
    roots: Vec<u64>,
    pairs: BTreeMap<(u32, u32), Pair>,
}

impl<'a> Propagation<'a> {
    fn new(spans: &'a SpanTable) -> Self {
        let mut services: Vec<&str> = spans.resources().iter().map(|r| r.service.as_str()).collect();
        services.sort_unstable();
        services.dedup();
        let service_of: Vec<u32> =
            spans.resources().iter().map(|r| services.binary_search(&r.service.as_str()).unwrap_or(0) as u32).collect();
        let of_row = |row: usize| service_of[spans.resource[row] as usize];

        // Zipkin's clients and servers share an id: then the server's half stands for both, and answers the client.
        let mut by_id: FxHashMap<(u128, u64), u32> = FxHashMap::default();
        let mut halves: Vec<(usize, usize)> = Vec::new();
        for row in 0..spans.len() {
            let known = by_id.entry((spans.trace[row], spans.id[row])).or_insert(row as u32);
            let other = *known as usize;
            match (spans.kind[other], spans.kind[row]) {
                _ if other == row => {}
                (SpanKind::Client, SpanKind::Server) => {
                    halves.push((other, row));
                    *known = row as u32;
                }
                (SpanKind::Server, SpanKind::Client) => halves.push((row, other)),
                _ => {}
            }
        }
        let zeros = vec![0; services.len()];
        let mut found =
            Self { spans: zeros.clone(), orphans: zeros.clone(), roots: zeros, services, pairs: BTreeMap::new() };
        let mut answered = vec![false; spans.len()];
        let mut is_half = vec![false; spans.len()];
        for (client, server) in halves {
            (answered[client], is_half[server]) = (true, true);
            if of_row(client) != of_row(server) {
                found.pairs.entry((of_row(client), of_row(server))).or_default().linked += 1;
            }
        }
        for (row, is_half) in is_half.into_iter().enumerate() {
            let service = of_row(row);
            found.spans[service as usize] += 1;
            if is_half {
                continue;
            }
            if spans.parent[row] == 0 {
                found.roots[service as usize] += u64::from(spans.kind[row] == SpanKind::Server);
                continue;
            }
            match by_id.get(&(spans.trace[row], spans.parent[row])) {
                None => found.orphans[service as usize] += 1,
                Some(&parent) if of_row(parent as usize) != service => {
                    answered[parent as usize] = true;
                    found.pairs.entry((of_row(parent as usize), service)).or_default().linked += 1;
                }
                Some(_) => {}
            }
        }
        let peers = found.services_of_peers(spans);
        for row in (0..spans.len()).filter(|row| !answered[*row] && spans.kind[*row] == SpanKind::Client) {
            let peer = spans.peer[row];
            let callee = if peer == NO_PEER { None } else { peers.get(peer as usize).copied().flatten() };
            if let Some(callee) = callee.filter(|callee| *callee != of_row(row)) {
                found.pairs.entry((of_row(row), callee)).or_default().broken += 1;
            }
        }
        found
    }

    /// For each peer the service that it names, where that service sends spans.
    fn services_of_peers(&self, spans: &SpanTable) -> Vec<Option<u32>> {
        let by_name: BTreeMap<String, u32> =
            self.services.iter().enumerate().map(|(at, name)| (plain(name), at as u32)).collect();
        let of_peer = |peer: &crate::telemetry::span::Peer| match peer.kind {
            PeerKind::Service | PeerKind::External => by_name.get(&plain(&peer.name)).copied(),
            PeerKind::Database | PeerKind::Queue => None,
        };
        spans.peers().iter().map(of_peer).collect()
    }
}

pub(super) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let spans = &facts.telemetry.spans;
    if spans.is_empty() {
        return Vec::new();
    }
    let found = Propagation::new(spans);
    let mut findings = Vec::new();
    findings.extend(lost_parents(&found));
    findings.extend(broken_pairs(&found));
    findings.extend(rootless(facts));
    findings
}

fn lost_parents(found: &Propagation<'_>) -> Option<Finding> {
    let (orphans, all): (u64, u64) = (found.orphans.iter().sum(), found.spans.iter().sum());
    let share = orphans as f64 / all.max(1) as f64;
    if share < WORTH_TELLING {
        return None;
    }
    let mut worst: Vec<usize> = (0..found.services.len()).filter(|at| found.orphans[*at] > 0).collect();
    worst.sort_by_key(|at| (std::cmp::Reverse(found.orphans[*at]), *at));
    let told: Vec<String> = worst
        .iter()
        .take(MOST_PAIRS)
        .map(|&at| {
            let (orphans, all) = (found.orphans[at], found.spans[at]);
            format!("{} {} of {}", brief(found.services[at]), count(orphans), count(all))
        })
        .collect();
    Some(Finding {
        severity: if share >= 0.05 { Severity::Gap } else { Severity::Note },
        id: "lost_parents",
        weight: share,
        what: format!("{} of the spans have a parent that was not read ({})", percent(share), told.join(", ")),
        advice: "the parents were dropped or lie elsewhere: look for exporters that lose spans \
                 (`otelcol_exporter_send_failed_spans`, `otelcol_receiver_refused_spans`), for services that export to \
                 another backend, for proxies that write `traceparent` without sending spans, and for a query's limit"
            .to_owned(),
    })
}

/// Pairs of services between which the context is lost: the caller names the callee, which starts traces of its own.
fn broken_pairs(found: &Propagation<'_>) -> Option<Finding> {
    let share = |pair: &Pair| pair.broken as f64 / (pair.broken + pair.linked).max(1) as f64;
    let mut broken: Vec<(&(u32, u32), &Pair)> = found
        .pairs
        .iter()
        .filter(|((_, callee), pair)| found.roots[*callee as usize] > 0 && share(pair) >= WORTH_TELLING)
        .collect();
    broken.sort_by(|a, b| b.1.broken.cmp(&a.1.broken).then(a.0.cmp(b.0)));
    let (_, worst) = broken.first()?;
    let name = |at: u32| brief(found.services[at as usize]);
    let told: Vec<String> = broken
        .iter()
        .take(MOST_PAIRS)
        .map(|((caller, callee), pair)| {
            let calls = count(pair.broken + pair.linked);
            format!("{} → {} ({} of {calls} calls)", name(*caller), name(*callee), percent(share(pair)))
        })
        .collect();
    let more = broken.len().saturating_sub(told.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(Finding {
        severity: Severity::Gap,
        id: "broken_propagation",
        weight: share(worst),
        what: format!("the trace context is lost on the way: {}{more}", told.join(", ")),
        advice: "use the same propagator on both sides (OTEL_PROPAGATORS=tracecontext,baggage, add b3 where Zipkin's headers \
                 are in use), instrument the caller's client, and let proxies between them pass `traceparent` on"
            .to_owned(),
    })
}

fn rootless(facts: &Facts<'_>) -> Option<Finding> {
    let coverage = &facts.calls.coverage;
    let share = coverage.rootless_traces as f64 / coverage.traces.max(1) as f64;
    (share >= 0.05).then(|| Finding {
        severity: Severity::Gap,
        id: "rootless_traces",
        weight: share * 0.7,
        what: format!("{} of the traces have no root span: where their requests came in is not known", percent(share)),
        advice:
            "collect the traces of the gateway or front end too; if its spans are there, see whether they arrive late \
                 (a longer time to export) or are sampled apart from the rest (`tail_sampling` needs whole traces)"
                .to_owned(),
    })
}
