//! What an analysis costs once its telemetry is in memory: a system of 50 services from 200,000 spans, and how the time
//! grows with the system, up to 10,000 services.

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hypocenter::analysis::{Detected, Settings, analyze};
use hypocenter::assemble::{Request, assemble};
use hypocenter::detect::detect;
use hypocenter::explain::{coverage, explain};
use hypocenter::incident::{Incident, IncidentParts};
use hypocenter::ingest::Telemetry;
use hypocenter::rank::hypocenter::Hypocenter;
use hypocenter::report;
use hypocenter::telemetry::calls::{CallKey, CallNode, CallRow, CallStats, Entry, SpanCoverage};
use hypocenter::telemetry::id::ServiceId;
use hypocenter::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use hypocenter::telemetry::sketch::Sketch;
use hypocenter::telemetry::time::{Grid, Window};
use hypocenter::telemetry::topology::{EdgeMode, NodeKind};

#[allow(dead_code, reason = "shared with benches/aggregate.rs, which also writes Parquet")]
mod support;

/// Where `support` starts its hour.
const START_NS: i64 = 1_750_000_000_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

/// The stages of one analysis, for an hour of 50 services. Neither stage sees the spans any more, so their number matters
/// by the rows that they make only.
fn stages(criterion: &mut Criterion) {
    let mut telemetry = Telemetry::default();
    telemetry.spans = support::spans(200_000);
    let window = |from: i64, to: i64| {
        Window::new(START_NS + from * MINUTE_NS, START_NS + to * MINUTE_NS).expect("it ends after it starts")
    };
    let request = Request {
        name: "bench".to_owned(),
        window: window(50, 60),
        baselines: vec![window(0, 50)],
        entry: None,
        symptom: None,
    };
    let incident = assemble(telemetry, request).expect("a sound incident");
    let settings = Settings::default();
    let findings = detect(&incident, &settings.detect);
    let ours = Hypocenter { fusion: settings.fusion };
    let detected = Detected::of(&incident, &settings);
    let ranking = detected.ranking(&ours);
    let diagnosis = analyze(&incident, &settings);

    let mut group = criterion.benchmark_group("analysis/50-services");
    group.sample_size(20);
    group.bench_function("detect", |bencher| bencher.iter(|| detect(&incident, &settings.detect)));
    // The findings, compared with a shorter baseline as well, and what could be seen.
    group.bench_function("detected", |bencher| bencher.iter(|| Detected::of(&incident, &settings)));
    group.bench_function("rank", |bencher| bencher.iter(|| detected.ranking(&ours)));
    group.bench_function("explain", |bencher| {
        bencher.iter(|| explain(&incident, &findings, ranking.clone(), coverage(&incident)));
    });
    group.bench_function("report", |bencher| {
        bencher.iter(|| report::write(&diagnosis, report::Format::Json, &mut std::io::sink()));
    });
    group.finish();
}

/// Detection and ranking by the size of the system. An element is an edge or a series.
fn growth(criterion: &mut Criterion) {
    let settings = Settings::default();
    let ours = Hypocenter { fusion: settings.fusion };
    let mut group = criterion.benchmark_group("analysis/growth");
    group.sample_size(10);
    for services in [50, 500, 5_000, 10_000] {
        let incident = incident(services);
        let elements = incident.graph.edges().len() + incident.series.len();
        group.throughput(Throughput::Elements(elements as u64));
        let detected = Detected::of(&incident, &settings);
        let ranking = detected.ranking(&ours);
        assert_eq!(ranking.candidates.first().map(|c| c.suspect.service()), Some(&name(cause(services))));
        group.bench_with_input(BenchmarkId::new("detected", services), &incident, |bencher, incident| {
            bencher.iter(|| Detected::of(black_box(incident), &settings));
        });
        group.bench_with_input(BenchmarkId::new("rank", services), &detected, |bencher, detected| {
            bencher.iter(|| black_box(detected).ranking(&ours));
        });
        group.bench_with_input(BenchmarkId::new("analyze", services), &incident, |bencher, incident| {
            bencher.iter(|| analyze(black_box(incident), &settings));
        });
    }
    group.finish();
}

/// Repeatable noise, 0 to 1 (Knuth's MMIX generator).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Minutes of baseline, and with the incident.
const BASELINE_MINUTES: i64 = 20;
const MINUTES: i64 = 25;
/// Calls of each edge in a minute.
const CALLS: u64 = 10;
/// Series of each service.
const SERIES: [(Signal, Unit); 6] = [
    (Signal::Requests, Unit::PerSecond),
    (Signal::Latency, Unit::Seconds),
    (Signal::ErrorRatio, Unit::Ratio),
    (Signal::Cpu, Unit::Cores),
    (Signal::Memory, Unit::Bytes),
    (Signal::NetworkReceive, Unit::BytesPerSecond),
];

/// A tree of services, each of which calls two more and one across; the first is the entry. One in the middle becomes slow,
/// and with it all above it.
fn incident(services: u32) -> Incident {
    let mut noise = Noise(42);
    let slow = above(cause(services));
    let mut rows = Vec::new();
    for caller in 0..services {
        let callees = BTreeSet::from([2 * caller + 1, 2 * caller + 2, caller + 7]);
        for callee in callees.into_iter().filter(|callee| *callee < services) {
            rows.extend((0..MINUTES).map(|bin| row(&mut noise, Some(caller), callee, bin, &slow)));
        }
    }
    rows.extend((0..MINUTES).map(|bin| row(&mut noise, None, 0, bin, &slow)));
    rows.sort_by_key(|row| row.key);
    let series = (0..services).flat_map(|service| SERIES.map(|kind| (service, kind)));
    let series = series.map(|(service, (signal, unit))| Series {
        subject: Subject::Service(name(service)),
        signal,
        statistic: Statistic::Mean,
        unit,
        name: "gauge".to_owned(),
        samples: (0..MINUTES).map(|minute| (minute * MINUTE_NS, 1.0 + 0.2 * noise.next())).collect(),
    });
    let window = |from: i64, to: i64| Window::new(from * MINUTE_NS, to * MINUTE_NS).expect("it ends after it starts");
    let coverage = SpanCoverage { spans: rows.len() as u64 * CALLS, ..SpanCoverage::default() };
    Incident::new(IncidentParts {
        name: "bench".to_owned(),
        series: series.collect(),
        ..IncidentParts::new(
            window(BASELINE_MINUTES, MINUTES),
            vec![window(0, BASELINE_MINUTES)],
            CallStats {
                nodes: (0..services).map(|at| CallNode { id: name(at), kind: NodeKind::Service }).collect(),
                operations: vec!["get".to_owned()],
                entries: vec![Entry { service: 0, operation: 0 }],
                rows,
                coverage,
                ..CallStats::empty(Grid::new(MINUTE_NS))
            },
        )
    })
    .expect("a sound incident")
}

fn name(service: u32) -> ServiceId {
    ServiceId::new(&format!("service-{service:05}"))
}

/// Who is at fault.
fn cause(services: u32) -> u32 {
    services / 2
}

/// A service and those above it in the tree.
fn above(service: u32) -> BTreeSet<u32> {
    std::iter::successors(Some(service), |at| at.checked_sub(1).map(|at| at / 2)).collect()
}

/// Calls of one minute. Who is slow takes 40 ms more in the incident; the cause is the last of them.
fn row(noise: &mut Noise, caller: Option<u32>, callee: u32, bin: i64, slow: &BTreeSet<u32>) -> CallRow {
    let late = |applies: bool| if applies && bin >= BASELINE_MINUTES { 4e7 } else { 0.0 };
    let during = late(slow.contains(&callee));
    let at_cause = late(slow.last() == Some(&callee));
    let mut times = |at_least: f64| -> (u64, Sketch) {
        let times: Vec<u64> = (0..CALLS).map(|_| (at_least + 1e6 * noise.next()) as u64).collect();
        (times.iter().sum(), Sketch::from_counts(times.iter().map(|time| (Sketch::bucket(*time), 1)).collect()))
    };
    let (self_ns, self_times) = times(1e6 + at_cause);
    let (duration_ns, durations) = times(3e6 + during);
    let (gap_ns, gaps) = if caller.is_some() { times(1e5) } else { (0, Sketch::default()) };
    let errors = u64::from(noise.next() < 0.02);
    CallRow {
        calls: CALLS,
        observed: CALLS,
        weight_squares: CALLS,
        error_weight_squares: errors,
        errors,
        caller_errors: errors,
        origin_errors: errors,
        duration_ns,
        self_ns,
        part_ns: self_ns,
        paired_calls: if caller.is_some() { CALLS } else { 0 },
        gap_ns,
        durations,
        self_times,
        gaps,
        ..CallRow::empty(CallKey { caller, callee, operation: 0, mode: EdgeMode::Sync, entry: 0, bin })
    }
}

criterion_group!(benches, stages, growth);
criterion_main!(benches);
