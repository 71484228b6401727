//! What the metrics let an analysis see.

use std::collections::BTreeSet;

use crate::explain;
use crate::telemetry::series::{Series, Signal, Statistic};
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

use super::times::minutes;
use super::{Facts, Finding, Severity, count, list, percent};

/// The first bucket's end of Tempo's and the Collector's service-graph histograms, seconds.
const FIRST_BUCKET: f64 = 0.1;
/// Beyond this distance of samples a usual incident window of a quarter of an hour holds too few to see an onset.
const COARSE_STEP_NS: i64 = 120 * NANOS_PER_SECOND;

pub(super) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let series = &facts.telemetry.series;
    if series.is_empty() {
        return vec![Finding {
            severity: Severity::Gap,
            id: "no_metrics",
            weight: 0.5,
            what: "there are no metrics: what happens inside a service (CPU, memory, restarts) is not seen".to_owned(),
            advice: "add metrics of both windows (`--metrics`): answers of Prometheus' /api/v1/query_range, OpenMetrics with \
                     timestamps, or tables"
                .to_owned(),
        }];
    }
    let mut findings = Vec::new();
    findings.extend(no_resources(series));
    findings.extend(coarse_buckets(facts));
    findings.extend(coarse_steps(series));
    findings.extend(gaps(facts));
    findings.extend(unknown(series));
    findings
}

fn no_resources(series: &[Series]) -> Option<Finding> {
    let has_resources = series.iter().any(|s| s.signal.is_internal());
    (!has_resources).then(|| Finding {
        severity: Severity::Gap,
        id: "no_resource_metrics",
        weight: 0.3,
        what: "no series tells of CPU, memory, disk or restarts: faults inside a service show only from outside"
            .to_owned(),
        advice: "add cAdvisor's (`container_cpu_usage_seconds_total`, `container_memory_working_set_bytes`) and \
                 kube-state-metrics' series, or the runtimes' own"
            .to_owned(),
    })
}

/// Latencies that lie inside the first bucket of a service graph's histogram, where no shift can be seen.
fn coarse_buckets(facts: &Facts<'_>) -> Option<Finding> {
    let is_graph = |s: &&Series| {
        let quantile = matches!(s.statistic, Statistic::Quantile(q) if (0.5..0.995).contains(&q));
        s.signal == Signal::Latency && quantile && s.name.contains("service_graph_request")
    };
    let graphs: Vec<&Series> = facts.telemetry.series.iter().filter(is_graph).collect();
    let hidden: BTreeSet<String> =
        graphs.iter().filter(|s| median(s) < FIRST_BUCKET).map(|s| s.subject.to_string()).collect();
    (!hidden.is_empty()).then(|| Finding {
        severity: if facts.traced.is_empty() { Severity::Gap } else { Severity::Note },
        id: "coarse_buckets",
        weight: 0.55,
        what: format!(
            "latencies below 100 ms lie inside the first bucket of the service graph's histograms, where no shift is seen: {}",
            list(hidden.iter().map(String::as_str))
        ),
        advice: "prefer traces or span metrics, or set finer buckets: Tempo \
                 `metrics_generator.processor.service_graphs.histogram_buckets`, Collector `servicegraph: \
                 latency_histogram_buckets` (5ms, 10ms, 25ms, 50ms, …)"
            .to_owned(),
    })
}

fn median(series: &Series) -> f64 {
    let mut values: Vec<f64> = series.samples.iter().map(|s| s.1).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::INFINITY)
}

fn coarse_steps(series: &[Series]) -> Option<Finding> {
    let mut steps: Vec<i64> = series
        .iter()
        .filter_map(|s| {
            let mut steps: Vec<i64> = s.samples.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
            steps.sort_unstable();
            steps.get(steps.len() / 2).copied()
        })
        .collect();
    steps.sort_unstable();
    let typical = steps.get(steps.len() / 2).copied()?;
    (typical > COARSE_STEP_NS).then(|| Finding {
        severity: Severity::Note,
        id: "coarse_steps",
        weight: 0.4,
        what: format!("metrics have one sample in {}: when a change began is known no better", minutes(typical)),
        advice: "query with a smaller `step`, not below the scrape interval".to_owned(),
    })
}

fn gaps(facts: &Facts<'_>) -> Option<Finding> {
    let windows: Vec<Window> = match facts.windows {
        Some(windows) => windows.baselines.iter().copied().chain([windows.incident]).collect(),
        None => facts.ranges.iter().filter(|r| r.kind == "metrics").map(|r| r.range).collect(),
    };
    let gaps = explain::series_gaps(&facts.telemetry.series, &windows);
    let share = gaps.len() as f64 / facts.telemetry.series.len() as f64;
    let worst = gaps.first()?;
    Some(Finding {
        severity: if share >= 0.2 { Severity::Gap } else { Severity::Note },
        id: "series_gaps",
        weight: share,
        what: format!(
            "{} series ({}) have gaps, worst {} ({} missing)",
            count(gaps.len() as u64),
            percent(share),
            list([format!("{} of {}", worst.series.name, worst.series.subject).as_str()]),
            explain::numbers::nanoseconds(worst.missing_ns)
        ),
        advice: "look for failed scrapes (`up`, `scrape_duration_seconds`) or restarts at that time".to_owned(),
    })
}

/// Series that were read and whose meaning is not known.
fn unknown(series: &[Series]) -> Option<Finding> {
    let unknown: Vec<&Series> = series.iter().filter(|s| s.signal == Signal::Other).collect();
    let share = unknown.len() as f64 / series.len() as f64;
    let names: BTreeSet<&str> = unknown.iter().map(|s| s.name.as_str()).collect();
    (share >= 0.5).then(|| Finding {
        severity: Severity::Note,
        id: "unknown_metrics",
        weight: 0.3 * share,
        what: format!("{} of the series have names whose meaning is not known: {}", percent(share), list(names)),
        advice: "they are watched as they are; series of requests, errors, duration, CPU and memory tell more"
            .to_owned(),
    })
}
