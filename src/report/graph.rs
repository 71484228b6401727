//! The service graph for people and programs: who calls whom, with rates, errors and latency of both windows.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::explain::numbers;
use crate::graph::{Edge, ServiceGraph};
use crate::telemetry::calls::{CallRow, CallStats};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use crate::telemetry::sketch::Sketch;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};
use crate::timespec::rfc3339;

/// The form of a graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GraphFormat {
    /// Graphviz.
    Dot,
    /// A Mermaid flowchart.
    Mermaid,
    /// An object with sorted `nodes` and `edges`.
    Json,
}

/// Writes a graph with what was measured on it; of the windows (the incident, the baselines) where there are any.
///
/// # Errors
/// Those of `out`.
pub fn write_graph(
    graph: &ServiceGraph,
    calls: &CallStats,
    series: &[Series],
    windows: Option<(&Window, &[Window])>,
    format: GraphFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    let json = GraphJson::new(graph, calls, series, windows);
    match format {
        GraphFormat::Dot => out.write_all(graph.to_dot_with(|edge| json.label(edge)).as_bytes()),
        GraphFormat::Mermaid => out.write_all(graph.to_mermaid_with(|edge| json.label(edge)).as_bytes()),
        GraphFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &json)?;
            writeln!(out)
        }
    }
}

#[derive(Serialize)]
struct GraphJson<'a> {
    schema_version: &'static str,
    incident: Option<WindowJson>,
    baselines: Vec<WindowJson>,
    nodes: Vec<NodeJson<'a>>,
    edges: Vec<EdgeJson<'a>>,
}

#[derive(Serialize)]
struct WindowJson {
    start: String,
    end: String,
}

#[derive(Serialize)]
struct NodeJson<'a> {
    name: &'a str,
    kind: &'static str,
    calls: u64,
    baseline: Option<TrafficJson>,
    incident: Option<TrafficJson>,
}

#[derive(Serialize)]
struct EdgeJson<'a> {
    caller: &'a str,
    callee: &'a str,
    mode: &'static str,
    calls: u64,
    timeouts: u64,
    retries: u64,
    hedges: u64,
    baseline: Option<TrafficJson>,
    incident: Option<TrafficJson>,
}

#[derive(Serialize)]
struct TrafficJson {
    calls: u64,
    requests_per_second: f64,
    error_ratio: Option<f64>,
    timeout_ratio: Option<f64>,
    retry_ratio: Option<f64>,
    hedge_ratio: Option<f64>,
    latency_p50_seconds: Option<f64>,
    latency_p90_seconds: Option<f64>,
    latency_p99_seconds: Option<f64>,
}

impl TrafficJson {
    /// From the series of a node or an edge; `None` where its requests were not recorded. Ratios and quantiles are
    /// those of the window's typical sample.
    fn of_series(series: &[Series], subject: &Subject, windows: &[Window]) -> Option<Self> {
        let typical = |signal: Signal, is_wanted: &dyn Fn(Statistic) -> bool| {
            let wanted = |s: &&Series| s.subject == *subject && s.signal == signal && is_wanted(s.statistic);
            let found = series.iter().find(wanted)?;
            let mut values: Vec<f64> = windows.iter().flat_map(|window| found.values_in(window)).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let mean = |statistic| statistic == Statistic::Mean;
        let quantile =
            |q: f64| typical(Signal::Latency, &|s| matches!(s, Statistic::Quantile(of) if (of - q).abs() < 1e-9));
        let requests_per_second = typical(Signal::Requests, &mean)?;
        let seconds: f64 = windows.iter().map(Window::seconds).sum();
        Some(Self {
            calls: (requests_per_second * seconds).round() as u64,
            requests_per_second,
            error_ratio: typical(Signal::ErrorRatio, &mean),
            timeout_ratio: None,
            retry_ratio: None,
            hedge_ratio: None,
            latency_p50_seconds: quantile(0.5),
            latency_p90_seconds: quantile(0.9),
            latency_p99_seconds: quantile(0.99),
        })
    }
}

/// Calls of one node or edge: in all, in the baselines, in the incident.
#[derive(Clone, Default)]
struct Traffic {
    calls: u64,
    timeouts: u64,
    retries: u64,
    hedges: u64,
    baseline: Sum,
    incident: Sum,
}

#[derive(Clone, Default)]
struct Sum {
    calls: u64,
    errors: u64,
    timeouts: u64,
    retries: u64,
    hedges: u64,
    durations: Sketch,
}

impl Sum {
    fn add(&mut self, row: &CallRow) {
        self.calls += row.calls;
        self.errors += row.errors;
        self.timeouts += row.timeouts;
        self.retries += row.retries;
        self.hedges += row.hedges;
        self.durations.merge(&row.durations);
    }

    fn json(&self, seconds: f64) -> TrafficJson {
        let quantile = |q| self.durations.quantile(q).map(|ns| ns / NANOS_PER_SECOND as f64);
        let ratio = |count: u64| (self.calls > 0).then(|| count as f64 / self.calls as f64);
        TrafficJson {
            calls: self.calls,
            requests_per_second: self.calls as f64 / seconds,
            error_ratio: ratio(self.errors),
            timeout_ratio: ratio(self.timeouts),
            retry_ratio: ratio(self.retries),
            hedge_ratio: ratio(self.hedges),
            latency_p50_seconds: quantile(0.5),
            latency_p90_seconds: quantile(0.9),
            latency_p99_seconds: quantile(0.99),
        }
    }
}

/// An edge by the names of its ends.
type Ends<'a> = (&'a ServiceId, &'a ServiceId);

impl<'a> GraphJson<'a> {
    fn new(
        graph: &'a ServiceGraph,
        calls: &'a CallStats,
        series: &[Series],
        windows: Option<(&Window, &[Window])>,
    ) -> Self {
        let mut nodes: BTreeMap<&ServiceId, Traffic> = BTreeMap::new();
        let mut edges: BTreeMap<Ends, Traffic> = BTreeMap::new();
        for row in &calls.rows {
            let callee = calls.service(row.key.callee);
            let add = |traffic: &mut Traffic| {
                traffic.calls += row.calls;
                traffic.timeouts += row.timeouts;
                traffic.retries += row.retries;
                traffic.hedges += row.hedges;
                let Some((incident, baselines)) = windows else { return };
                // A bin belongs to the window that holds its start.
                let start_ns = calls.grid.bin_start_ns(row.key.bin);
                if incident.contains(start_ns) {
                    traffic.incident.add(row);
                } else if baselines.iter().any(|b| b.contains(start_ns)) {
                    traffic.baseline.add(row);
                }
            };
            add(nodes.entry(callee).or_default());
            if let Some(caller) = row.key.caller {
                add(edges.entry((calls.service(caller), callee)).or_default());
            }
        }
        let seconds = windows
            .map(|(incident, baselines)| (incident.seconds(), baselines.iter().map(Window::seconds).sum::<f64>()));
        let both = |traffic: &Traffic, subject: &Subject| {
            let (incident_seconds, baseline_seconds) = seconds?;
            if traffic.calls > 0 {
                return Some((traffic.baseline.json(baseline_seconds), traffic.incident.json(incident_seconds)));
            }
            // What no span told, metrics of a service graph may.
            let (incident, baselines) = windows?;
            let before = TrafficJson::of_series(series, subject, baselines)?;
            Some((before, TrafficJson::of_series(series, subject, std::slice::from_ref(incident))?))
        };
        Self {
            schema_version: "1",
            incident: windows.map(|(incident, _)| window(incident)),
            baselines: windows.map(|(_, baselines)| baselines.iter().map(window).collect()).unwrap_or_default(),
            nodes: graph
                .nodes()
                .iter()
                .map(|node| {
                    let traffic = nodes.get(&node.id).cloned().unwrap_or_default();
                    let (baseline, incident) = both(&traffic, &Subject::Service(node.id.clone())).unzip();
                    NodeJson {
                        name: node.id.as_str(),
                        kind: node.kind.word(),
                        calls: traffic.calls,
                        baseline,
                        incident,
                    }
                })
                .collect(),
            edges: graph
                .edges()
                .iter()
                .map(|edge| {
                    let traffic = edges.get(&(&edge.caller, &edge.callee)).cloned().unwrap_or_default();
                    let subject = Subject::Edge { caller: edge.caller.clone(), callee: edge.callee.clone() };
                    let (baseline, incident) = both(&traffic, &subject).unzip();
                    EdgeJson {
                        caller: edge.caller.as_str(),
                        callee: edge.callee.as_str(),
                        mode: edge.mode.word(),
                        calls: traffic.calls,
                        timeouts: traffic.timeouts,
                        retries: traffic.retries,
                        hedges: traffic.hedges,
                        baseline,
                        incident,
                    }
                })
                .collect(),
        }
    }
}

impl GraphJson<'_> {
    /// What changed on an edge, for a drawing; without windows, or without calls in them, only how often calls were tried
    /// again or in vain.
    fn label(&self, edge: &Edge) -> String {
        let found =
            self.edges.binary_search_by(|e| (e.caller, e.callee).cmp(&(edge.caller.as_str(), edge.callee.as_str())));
        let Some(edge) = found.ok().and_then(|index| self.edges.get(index)) else { return String::new() };
        let (Some(before), Some(during)) = (&edge.baseline, &edge.incident) else {
            let counts = [("timeouts", edge.timeouts), ("retries", edge.retries), ("hedged calls", edge.hedges)];
            let share = |count: u64| numbers::percent(count as f64 / edge.calls.max(1) as f64);
            let told = counts.iter().filter(|(_, count)| *count > 0);
            return told.map(|(name, count)| format!("{name} {}", share(*count))).collect::<Vec<_>>().join(", ");
        };
        let mut parts = vec![numbers::change(before.requests_per_second, during.requests_per_second, Unit::PerSecond)];
        for (name, before, during) in [
            ("errors", before.error_ratio, during.error_ratio),
            ("timeouts", before.timeout_ratio, during.timeout_ratio),
            ("retries", before.retry_ratio, during.retry_ratio),
            ("hedged calls", before.hedge_ratio, during.hedge_ratio),
        ] {
            if let (Some(before), Some(during)) = (before, during)
                && (before > 0.0 || during > 0.0)
            {
                parts.push(format!("{name} {}", numbers::change(before, during, Unit::Ratio)));
            }
        }
        if let (Some(before), Some(during)) = (before.latency_p90_seconds, during.latency_p90_seconds) {
            parts.push(format!("p90 {}", numbers::change(before, during, Unit::Seconds)));
        }
        parts.join(", ")
    }
}

fn window(window: &Window) -> WindowJson {
    WindowJson { start: rfc3339(window.start_ns()), end: rfc3339(window.end_ns()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::aggregate;
    use crate::telemetry::id::{SpanId, TraceId};
    use crate::telemetry::span::{Span, SpanKind, SpanStatus, SpanTable};
    use crate::telemetry::time::Grid;

    const SECOND: i64 = NANOS_PER_SECOND;

    /// One request with so many attempts at its callee, of which all but the last fail.
    fn request(spans: &mut SpanTable, number: u64, start_ns: i64, attempts: i64) {
        let mut push = |id, parent: u64, service, kind, failed, start_ns, duration_ns| {
            let span = Span {
                trace: TraceId(u128::from(number)),
                id: SpanId(id),
                parent: (parent != 0).then_some(SpanId(parent)),
                resource: spans.resource_key(service, "", ""),
                operation: spans.operation_key("get"),
                kind,
                status: if failed { SpanStatus::Error } else { SpanStatus::Unset },
                peer: None,
                start_ns,
                duration_ns,
            };
            spans.push(span);
        };
        push(1, 0, "web", SpanKind::Server, false, start_ns, 900_000_000);
        for at in 0..attempts {
            let (id, start_ns, failed) = (10 + 2 * at as u64, start_ns + at * 100_000_000, at + 1 < attempts);
            push(id, 1, "web", SpanKind::Client, failed, start_ns, 50_000_000);
            push(id + 1, id, "cart", SpanKind::Server, failed, start_ns + 1_000_000, 40_000_000);
        }
    }

    #[test]
    fn retries_are_seen_in_every_form() {
        let mut spans = SpanTable::new();
        request(&mut spans, 1, SECOND, 1);
        request(&mut spans, 2, 11 * SECOND, 4);
        let (calls, _) = aggregate(&spans, &Grid::new(SECOND));
        let (graph, _) = ServiceGraph::build(&calls, &[]);
        let window = |from: i64| Window::new(from * SECOND, (from + 10) * SECOND).unwrap();
        let (incident, baselines) = (window(10), [window(0)]);
        let json = GraphJson::new(&graph, &calls, &[], Some((&incident, &baselines)));
        let text = serde_json::to_string(&json).unwrap();
        assert!(text.contains(r#""calls":5,"timeouts":0,"retries":3,"hedges":0"#), "{text}");
        assert!(
            text.contains(r#""error_ratio":0.75,"timeout_ratio":0.0,"retry_ratio":0.75,"hedge_ratio":0.0"#),
            "{text}"
        );
        let dot = graph.to_dot_with(|edge| json.label(edge));
        assert!(dot.contains("retries 0 % → 75 % (from nothing)"), "{dot}");
        // Without windows there is no change to show, but the retries are there.
        let json = GraphJson::new(&graph, &calls, &[], None);
        assert_eq!(json.label(&graph.edges()[0]), "retries 60 %");
    }
}
