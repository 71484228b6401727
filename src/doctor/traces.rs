//! What the spans let an analysis see: calls, sides, outcomes, instances, names.

use std::collections::{BTreeMap, BTreeSet};

use crate::explain;
use crate::telemetry::span::{SpanKind, SpanStatus};
use crate::telemetry::time::Window;

use super::{Facts, Finding, Severity, brief, count, counted, list, percent};

/// Requests below which chance decides: at 30 the confidence is already lowered by a tenth (`explain::coverage`).
const FEW_REQUESTS: u64 = 30;
/// Spans from which on "not one of them" means something.
const MANY_SPANS: usize = 1_000;
/// Distinct operations of one service from which on their names surely hold ids.
const MANY_OPERATIONS: usize = 500;

pub(super) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    if facts.telemetry.spans.is_empty() {
        return vec![no_spans(facts)];
    }
    let mut findings = Vec::new();
    findings.extend(graph(facts));
    findings.extend(kinds(facts));
    findings.extend(unpaired(facts));
    findings.extend(few_requests(facts));
    findings.extend(statuses(facts));
    findings.extend(sampling(facts));
    findings.extend(clocks(facts));
    findings.extend(duplicates(facts));
    findings.extend(operations(facts));
    findings.extend(resources(facts));
    findings
}

fn no_spans(facts: &Facts<'_>) -> Finding {
    let has_edges = !facts.graph.edges().is_empty();
    Finding {
        severity: Severity::Gap,
        id: "no_spans",
        weight: if has_edges { 0.6 } else { 0.95 },
        what: if has_edges {
            "there are no traces: who calls whom is known from metrics or a call graph, where time is spent is not".to_owned()
        } else {
            "there are neither traces nor a call graph: who calls whom is not known, so no cause can be traced back".to_owned()
        },
        advice: "add traces of both windows (`--traces`); the Collector's `file` exporter, Jaeger's /api/traces and Tempo's \
                 /api/v2/traces give them; without traces, service-graph metrics (`traces_service_graph_*`) give the calls"
            .to_owned(),
    }
}

/// A graph that is empty, or of one service, or in pieces.
fn graph(facts: &Facts<'_>) -> Option<Finding> {
    let edges = facts.graph.edges();
    let services = facts.traced.len();
    let name = facts.traced.first().map_or("", |s| s.as_str());
    let (id, weight, what, advice) = match (services, edges.is_empty()) {
        (1, true) => (
            "lone_service",
            0.9,
            format!(
                "only {} sends spans, and it calls nobody: there is nothing to trace a failure back to",
                brief(name)
            ),
            "add the traces of those whom it calls and of those who call it; if they are instrumented, see whether their \
             exporters reach the same backend; if not, instrument them, or let its client library write client spans",
        ),
        (_, true) => (
            "empty_graph",
            0.98,
            format!("{services} services send spans, but no call between any two of them is known: the map is empty"),
            "each service starts traces of its own, so the trace context does not travel: set the same propagator everywhere \
             (OTEL_PROPAGATORS=tracecontext,baggage; add b3 where Zipkin's headers are in use), instrument the clients, and \
             let gateways and proxies pass `traceparent` on; of a table, map the parent's column (parent=… in --span-columns)",
        ),
        (_, false) => return isolated(facts),
    };
    Some(Finding { severity: Severity::Gap, id, weight, what, advice: advice.to_owned() })
}

/// Services beside the map.
fn isolated(facts: &Facts<'_>) -> Option<Finding> {
    let in_edges: BTreeSet<&str> =
        facts.graph.edges().iter().flat_map(|e| [e.caller.as_str(), e.callee.as_str()]).collect();
    let alone: Vec<&str> = facts.traced.iter().map(|s| s.as_str()).filter(|s| !in_edges.contains(s)).collect();
    (!alone.is_empty()).then(|| Finding {
        severity: Severity::Gap,
        id: "isolated_services",
        weight: alone.len() as f64 / facts.traced.len() as f64,
        what: format!("called by nobody and calling nobody: {}", list(alone.iter().copied())),
        advice: "if they are called, the trace context does not reach them: same propagator on both sides \
                 (OTEL_PROPAGATORS), and proxies that pass `traceparent` on"
            .to_owned(),
    })
}

fn kinds(facts: &Facts<'_>) -> Option<Finding> {
    let kinds = &facts.telemetry.spans.kind;
    let number = |kind: SpanKind| kinds.iter().filter(|k| **k == kind).count();
    let (servers, clients) = (number(SpanKind::Server) + number(SpanKind::Consumer), number(SpanKind::Client));
    if number(SpanKind::Unspecified) == kinds.len() {
        return Some(Finding {
            severity: Severity::Note,
            id: "no_span_kinds",
            weight: 0.4,
            what: "no span tells its kind (client, server): roles are guessed from the shape of the traces".to_owned(),
            advice: "of a table, map the column (kind=… in --span-columns); else nothing needs to be done, but gaps between \
                     caller and callee (network, queues) cannot be measured"
                .to_owned(),
        });
    }
    if servers == 0 {
        return Some(Finding {
            severity: Severity::Gap,
            id: "no_server_spans",
            weight: 0.85,
            what: "there is not one server or consumer span: what callees do inside is not seen".to_owned(),
            advice: "instrument the servers, or see whether a filter of the collector (`filter` processor, tail sampling by \
                     span kind) drops them"
                .to_owned(),
        });
    }
    (clients == 0 && facts.traced.len() > 1).then(|| Finding {
        severity: Severity::Note,
        id: "no_client_spans",
        weight: 0.5,
        what: "there is not one client span: time between caller and callee (network, queues, retries) is not seen"
            .to_owned(),
        advice: "instrument the clients: HTTP, gRPC and database libraries".to_owned(),
    })
}

fn unpaired(facts: &Facts<'_>) -> Option<Finding> {
    let coverage = &facts.calls.coverage;
    let clients = facts.telemetry.spans.kind.iter().filter(|k| **k == SpanKind::Client).count().max(1);
    let share = coverage.unpaired_clients as f64 / clients as f64;
    (share >= 0.05).then(|| Finding {
        severity: Severity::Gap,
        id: "unpaired_clients",
        weight: share.min(1.0) * 0.8,
        what: format!(
            "{} client spans ({} of them) have no answer and name nobody: whom they called is not known",
            count(coverage.unpaired_clients),
            percent(share.min(1.0))
        ),
        advice: "let clients write `server.address` or `service.peer.name` (`peer.service` before), databases \
                 `db.system.name`; or add the callees' traces"
            .to_owned(),
    })
}

fn few_requests(facts: &Facts<'_>) -> Option<Finding> {
    let requests: u64 = facts.calls.rows.iter().filter(|r| facts.calls.is_request(r)).map(|r| r.observed).sum();
    (requests < 2 * FEW_REQUESTS).then(|| Finding {
        severity: Severity::Gap,
        id: "few_requests",
        weight: 0.6,
        what: format!(
            "{} in all: what they show may be chance",
            counted(requests, "request is in the traces", "requests are in the traces")
        ),
        advice:
            "export a longer time, raise the limit of the query (`limit=` of Jaeger and Tempo) or the sampling rate"
                .to_owned(),
    })
}

fn statuses(facts: &Facts<'_>) -> Option<Finding> {
    let status = &facts.telemetry.spans.status;
    let silent = status.len() >= MANY_SPANS && !status.contains(&SpanStatus::Error);
    silent.then(|| Finding {
        severity: Severity::Note,
        id: "no_errors",
        weight: 0.3,
        what: "not one span has failed: either nothing did, or outcomes are not recorded".to_owned(),
        advice:
            "if there were errors, let instrumentation set the span's status; of a table, map the column (status=… in \
                 --span-columns)"
                .to_owned(),
    })
}

fn sampling(facts: &Facts<'_>) -> Vec<Finding> {
    let coverage = &facts.calls.coverage;
    let mut findings = Vec::new();
    if coverage.sampled > 0 {
        findings.push(Finding {
            severity: Severity::Note,
            id: "sampled",
            weight: 0.2,
            what: format!(
                "{} of {} spans carry sampling weights and stand for {} in all",
                count(coverage.sampled),
                count(coverage.spans),
                count(coverage.represented)
            ),
            advice: "nothing: counts and ratios are weighted; the fewer spans, the less sure they are".to_owned(),
        });
    }
    let all: Vec<Window> = facts.ranges.iter().filter(|r| r.kind == "metrics").map(|r| r.range).collect();
    let samples = explain::unweighted_samples(facts.calls, &facts.telemetry.series, &all);
    if let Some(first) = samples.first() {
        let names = list(samples.iter().map(|s| s.service.as_str()));
        let example = format!(
            "{} has {} of {} requests",
            brief(first.service.as_str()),
            count(first.traced),
            count(first.measured)
        );
        let by_outcome = first.kept.map_or_else(String::new, |kept| {
            format!(", {} of the failed but {} of the others", percent(kept.failed.min(1.0)), percent(kept.others))
        });
        findings.push(Finding {
            severity: if first.kept.is_some() { Severity::Gap } else { Severity::Note },
            id: if first.kept.is_some() { "tail_sampled_without_weights" } else { "sampled_without_weights" },
            weight: 0.75,
            what: format!("traces hold a part of the requests only ({example}{by_outcome}): {names}"),
            advice: if first.kept.is_some() {
                "error ratios from these traces are too high: sample by probability with `ot=th:` in `tracestate`, so that \
                 spans carry their weight, or rely on metrics computed before sampling (spanmetrics connector)"
                    .to_owned()
            } else {
                "ratios and latencies are not harmed; for true counts let the sampler write `ot=th:` into `tracestate`".to_owned()
            },
        });
    }
    findings
}

fn clocks(facts: &Facts<'_>) -> Option<Finding> {
    let furthest = facts.calls.clocks.iter().max_by_key(|c| (c.offset_ns.unsigned_abs(), std::cmp::Reverse(*c)))?;
    let direction = if furthest.offset_ns < 0 { "behind" } else { "ahead of" };
    Some(Finding {
        severity: Severity::Note,
        id: "clock_skew",
        weight: 0.3,
        what: format!(
            "{} of hosts disagree; {} is {} {direction} {} ({})",
            counted(facts.calls.clocks.len() as u64, "pair of clocks", "pairs of clocks"),
            brief(&furthest.callee),
            explain::numbers::nanoseconds(furthest.offset_ns.unsigned_abs()),
            brief(&furthest.caller),
            counted(furthest.pairs, "call", "calls")
        ),
        advice: "it was estimated and corrected; set the hosts' clocks by NTP or chrony".to_owned(),
    })
}

fn duplicates(facts: &Facts<'_>) -> Option<Finding> {
    let coverage = &facts.calls.coverage;
    let share = coverage.duplicates as f64 / coverage.spans.max(1) as f64;
    (share >= 0.01).then(|| Finding {
        severity: Severity::Note,
        id: "duplicates",
        weight: share,
        what: format!("{} of the spans have the id of another span of their trace; the first counts", percent(share)),
        advice: "files overlap, or a pipeline exports twice; spans that share their id on purpose are Zipkin's `shared` ones"
            .to_owned(),
    })
}

/// Names that hold ids make a thousand operations of one, each too rare to compare.
fn operations(facts: &Facts<'_>) -> Option<Finding> {
    let spans = &facts.telemetry.spans;
    let mut by_service: BTreeMap<&str, (BTreeSet<u32>, u64)> = BTreeMap::new();
    // By key first: names may be long, and spans are many.
    let mut by_key: BTreeMap<u32, (BTreeSet<u32>, u64)> = BTreeMap::new();
    for (resource, operation) in spans.resource.iter().zip(&spans.operation) {
        let (operations, number) = by_key.entry(*resource).or_default();
        operations.insert(*operation);
        *number += 1;
    }
    for (resource, (operations, number)) in by_key {
        let sum = by_service.entry(spans.resources()[resource as usize].service.as_str()).or_default();
        sum.0.extend(operations);
        sum.1 += number;
    }
    let (service, (operations, number)) =
        by_service.into_iter().max_by_key(|(name, (o, _))| (o.len(), std::cmp::Reverse(*name)))?;
    let is_many = operations.len() >= MANY_OPERATIONS && operations.len() as u64 * 10 >= number;
    let example = operations.first().and_then(|o| spans.operations().get(*o as usize)).map_or("", String::as_str);
    is_many.then(|| Finding {
        severity: Severity::Gap,
        id: "names_hold_ids",
        weight: 0.5,
        what: format!(
            "{} has {} different span names for {} spans, such as {}: the names hold ids",
            brief(service),
            count(operations.len() as u64),
            count(number),
            brief(example)
        ),
        advice: "name spans by route (`http.route`), or set names in the collector (`transform` processor: \
                 `replace_pattern(span.name, …)`)"
            .to_owned(),
    })
}

/// What the resources do not tell: name, instance, version.
fn resources(facts: &Facts<'_>) -> Vec<Finding> {
    let resources = facts.telemetry.spans.resources();
    let mut findings = Vec::new();
    let unnamed: Vec<&str> =
        facts.traced.iter().map(|s| s.as_str()).filter(|s| s.starts_with("unknown_service")).collect();
    if !unnamed.is_empty() {
        findings.push(Finding {
            severity: Severity::Gap,
            id: "unknown_service",
            weight: unnamed.len() as f64 / facts.traced.len() as f64,
            what: format!("without a name of their own: {}", list(unnamed.iter().copied())),
            advice: "set OTEL_SERVICE_NAME (or `service.name` in OTEL_RESOURCE_ATTRIBUTES) where they run".to_owned(),
        });
    }
    let mut instances: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for resource in resources {
        let known = instances.entry(&resource.service).or_default();
        if !resource.instance.is_empty() {
            known.insert(&resource.instance);
        }
    }
    let without: Vec<&str> = instances.iter().filter(|(_, known)| known.is_empty()).map(|(s, _)| *s).collect();
    if !without.is_empty() {
        findings.push(Finding {
            severity: Severity::Note,
            id: "no_instances",
            weight: 0.25 * without.len() as f64 / instances.len() as f64,
            what: format!("spans name no instance of {}: one sick instance among healthy ones cannot be told", list(without)),
            advice: "add `service.instance.id` or `k8s.pod.name` (collector: `k8sattributes` processor); of a table, map the \
                     column (instance=…)"
                .to_owned(),
        });
    } else if instances.values().all(|known| known.len() == 1) {
        findings.push(Finding {
            severity: Severity::Note,
            id: "one_instance",
            weight: 0.1,
            what: "every service has one instance only: instances cannot be compared with each other".to_owned(),
            advice: "nothing, if that is how it runs; else see whether traces of the other instances are missing"
                .to_owned(),
        });
    }
    if resources.iter().all(|r| r.version.is_empty()) {
        findings.push(Finding {
            severity: Severity::Note,
            id: "no_versions",
            weight: 0.2,
            what: "no span tells its service's version: a deploy between the windows is not seen".to_owned(),
            advice: "set `service.version` (OTEL_RESOURCE_ATTRIBUTES), or give a list of changes".to_owned(),
        });
    }
    findings
}
