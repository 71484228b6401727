//! How long detection takes: an hour of call statistics and metrics, 50 and 1,000 services.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use hypocenter::detect::{Settings, detect};
use hypocenter::graph::ServiceGraph;
use hypocenter::incident::Incident;
use hypocenter::telemetry::calls::{CallKey, CallNode, CallRow, CallStats, Entry};
use hypocenter::telemetry::id::ServiceId;
use hypocenter::telemetry::logs::LogStats;
use hypocenter::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use hypocenter::telemetry::sketch::Sketch;
use hypocenter::telemetry::time::{Grid, Window};
use hypocenter::telemetry::topology::{EdgeMode, NodeKind};

const MINUTE: i64 = 60_000_000_000;
const MINUTES: i64 = 60;
/// Metric series of a service.
const SERIES: [Signal; 6] =
    [Signal::Cpu, Signal::Memory, Signal::Disk, Signal::Latency, Signal::NetworkReceive, Signal::NetworkTransmit];

/// Repeatable noise, 0 to 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Each service calls the next one and one further away; 100 calls a minute on each edge and two operations a service.
fn incident(services: u32) -> Incident {
    let mut noise = Noise(42);
    let mut rows = Vec::new();
    for service in 0..services {
        for callee in [(service + 1) % services, (service * 7 + 3) % services] {
            for operation in 0..2 {
                for bin in 0..MINUTES {
                    rows.push(row(&mut noise, service, callee, operation, bin));
                }
            }
        }
    }
    rows.sort_by_key(|row| row.key);
    let id = |service: u32| ServiceId::new(&format!("service-{service:04}"));
    let series = (0..services).flat_map(|service| {
        SERIES.map(|signal| Series {
            subject: Subject::Service(id(service)),
            signal,
            statistic: Statistic::Mean,
            unit: Unit::None,
            name: "gauge".into(),
            samples: Vec::new(),
        })
    });
    let mut series: Vec<Series> = series.collect();
    for series in &mut series {
        series.samples = (0..MINUTES).map(|minute| (minute * MINUTE, 1.0 + noise.next())).collect();
    }
    Incident {
        name: "bench".into(),
        window: Window::new(50 * MINUTE, MINUTES * MINUTE).expect("not empty"),
        baselines: vec![Window::new(0, 45 * MINUTE).expect("not empty")],
        entry: None,
        symptom: None,
        calls: CallStats {
            nodes: (0..services).map(|s| CallNode { id: id(s), kind: NodeKind::Service }).collect(),
            operations: vec!["get".into(), "put".into()],
            entries: vec![Entry { service: 0, operation: 0 }],
            rows,
            ..CallStats::empty(Grid::new(MINUTE))
        },
        series,
        graph: ServiceGraph::default(),
        logs: LogStats::empty(Grid::new(MINUTE)),
        changes: Vec::new(),
        dialects: Vec::new(),
        cut_files: std::collections::BTreeSet::new(),
        alert: None,
        warnings: Vec::new(),
    }
}

fn row(noise: &mut Noise, caller: u32, callee: u32, operation: u32, bin: i64) -> CallRow {
    let mut sketches = [Sketch::default(), Sketch::default(), Sketch::default()];
    let calls = 40 + (20.0 * noise.next()) as u64;
    for sketch in &mut sketches {
        let buckets = (0..calls).map(|_| (Sketch::bucket((1e7 * (0.2 + noise.next() + noise.next())) as u64), 1));
        *sketch = Sketch::from_counts(buckets.collect());
    }
    let [durations, self_times, gaps] = sketches;
    let errors = u64::from(noise.next() < 0.2);
    CallRow {
        calls,
        observed: calls,
        weight_squares: calls,
        error_weight_squares: errors,
        errors,
        caller_errors: errors,
        origin_errors: errors,
        duration_ns: calls * 10_000_000,
        self_ns: calls * 10_000_000,
        paired_calls: calls,
        durations,
        self_times,
        gaps,
        ..CallRow::empty(CallKey { caller: Some(caller), callee, operation, mode: EdgeMode::Sync, entry: 0, bin })
    }
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("detect");
    group.sample_size(10);
    for services in [50, 1000] {
        let incident = incident(services);
        group.throughput(Throughput::Elements(u64::from(services)));
        group.bench_with_input(BenchmarkId::new("services", services), &incident, |bencher, incident| {
            bencher.iter(|| detect(black_box(incident), &Settings::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
