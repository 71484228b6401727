//! Metrics of spans, as the OpenTelemetry Collector's spanmetrics connector counts them, before any sampling.
//!
//! The connector keeps one set for each service (`resource_metrics_key_attributes: [service.name]`), not for each pod,
//! and durations are kept of the handling side only: both are settings by which people keep the number of series down.

use rustc_hash::FxHashMap;

use super::pods::Pods;
use super::scrapes::Scrapes;
use super::{Family, FamilyKind, Labels};
use crate::simulate::recording::{Side, SpanRecord};
use crate::simulate::system::{OperationIdx, ServiceIdx, System};
use crate::simulate::write::{span_name, status_is_error};

/// Calls by service, span, kind and status.
pub(crate) const CALLS: &str = "traces_span_metrics_calls";
/// Their durations.
pub(crate) const DURATIONS: &str = "traces_span_metrics_duration_milliseconds";

/// Upper bounds of the connector's buckets, ms: its default.
const BOUNDS_MS: [u32; 16] = [2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000];
const N_BUCKETS: usize = BOUNDS_MS.len() + 1;

/// The families.
pub(super) fn families(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Vec<Family> {
    let ticks = scrapes.ticks("otel-collector", 1);
    let mut calls = Family::new(FamilyKind::Counter, CALLS, "");
    let mut durations = Family::new(FamilyKind::Histogram, DURATIONS, "");
    let exporter = Labels::of([("instance", "otel-collector:8889"), ("job", "otel-collector")]);
    for counter in count(pods, &ticks) {
        let labels = exporter.with([
            ("service_name", &pods.system.services[counter.service].name),
            ("span_kind", kind(counter.side)),
            ("span_name", &counter.name),
            ("status_code", if counter.failed { "STATUS_CODE_ERROR" } else { "STATUS_CODE_UNSET" }),
        ]);
        calls.push(labels.clone(), counter.read(|row| row.count() as f64));
        if !matches!(counter.side, Side::Server | Side::Consumer) {
            continue;
        }
        for bucket in 0..N_BUCKETS {
            let bound = BOUNDS_MS.get(bucket).map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound}.0"));
            let up_to = |row: &Row| row.counts[..=bucket].iter().sum::<u64>() as f64;
            durations.push_part("_bucket", labels.with([("le", &bound)]), counter.read(up_to));
        }
        durations.push_part("_count", labels.clone(), counter.read(|row| row.count() as f64));
        durations.push_part("_sum", labels, counter.read(|row| row.sum_ns as f64 / 1e6));
    }
    vec![calls, durations]
}

/// What one series of calls has counted up to an instant.
#[derive(Clone, Copy, Default)]
struct Row {
    at_ns: i64,
    counts: [u64; N_BUCKETS],
    sum_ns: u64,
}

impl Row {
    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

struct Counter {
    service: ServiceIdx,
    name: String,
    side: Side,
    failed: bool,
    now: Row,
    /// One for each scrape since it began to exist.
    rows: Vec<Row>,
}

impl Counter {
    fn read(&self, value: impl Fn(&Row) -> f64) -> Vec<(i64, f64)> {
        self.rows.iter().map(|row| (row.at_ns, value(row))).collect()
    }
}

/// All counters, in order of their first span.
fn count(pods: &Pods<'_>, ticks: &[i64]) -> Vec<Counter> {
    let mut names = Names::default();
    let mut places: FxHashMap<(ServiceIdx, usize, u8, bool), usize> = FxHashMap::default();
    let mut counters: Vec<Counter> = Vec::new();
    let mut spans = pods.recording.spans.iter().peekable();
    for &tick in ticks {
        while let Some(span) = spans.next_if(|span| span.end_ns <= tick) {
            let Some(instance) = pods.recording.instances.get(span.instance as usize) else { continue };
            let (service, name) = (instance.service, names.of(pods.system, span));
            let failed = status_is_error(pods.system, span);
            let place = *places.entry((service, name, span.side as u8, failed)).or_insert_with(|| {
                let (name, now, rows) = (names.texts[name].clone(), Row::default(), Vec::new());
                counters.push(Counter { service, name, side: span.side, failed, now, rows });
                counters.len() - 1
            });
            let duration_ns = span.end_ns.saturating_sub(span.start_ns).max(0).unsigned_abs();
            let row = &mut counters[place].now;
            row.counts[bucket(duration_ns)] += 1;
            row.sum_ns += duration_ns;
        }
        for counter in &mut counters {
            counter.rows.push(Row { at_ns: tick, ..counter.now });
        }
    }
    counters
}

fn bucket(duration_ns: u64) -> usize {
    BOUNDS_MS.partition_point(|bound| u64::from(*bound) * 1_000_000 < duration_ns)
}

/// Numbers for names of spans: each name is made once.
#[derive(Default)]
struct Names {
    texts: Vec<String>,
    known: FxHashMap<(u8, OperationIdx, Option<usize>), usize>,
}

impl Names {
    fn of(&mut self, system: &System, span: &SpanRecord) -> usize {
        let operation = if span.side == Side::Producer { 0 } else { span.operation };
        *self.known.entry((span.side as u8, operation, span.topic)).or_insert_with(|| {
            let name = span_name(system, span);
            self.texts.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.texts.push(name);
                self.texts.len() - 1
            })
        })
    }
}

/// The kind as the connector writes it.
fn kind(side: Side) -> &'static str {
    match side {
        Side::Server => "SPAN_KIND_SERVER",
        Side::Client => "SPAN_KIND_CLIENT",
        Side::Producer => "SPAN_KIND_PRODUCER",
        Side::Consumer => "SPAN_KIND_CONSUMER",
    }
}
