//! What an analysis costs once its spans are small: detect, rank, explain and report for a system of 50 services, one
//! hour of traffic. Neither stage sees the spans any more, so their number hardly matters.

use criterion::{Criterion, criterion_group, criterion_main};
use hypocenter::analysis::{Settings, analyze};
use hypocenter::assemble::{Request, assemble};
use hypocenter::detect::detect;
use hypocenter::explain::{coverage, explain};
use hypocenter::ingest::Telemetry;
use hypocenter::rank::Ranker;
use hypocenter::rank::fusion::Fusion;
use hypocenter::rank::hypocenter::Hypocenter;
use hypocenter::report;
use hypocenter::telemetry::time::Window;

#[allow(dead_code, reason = "shared with benches/aggregate.rs, which also writes Parquet")]
mod support;

/// Where `support` starts its hour.
const START_NS: i64 = 1_750_000_000_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

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
    let ours = Hypocenter { fusion: Fusion::rules() };
    let ranking = ours.rank(&incident, &findings);
    let diagnosis = analyze(&incident, &settings);

    let mut group = criterion.benchmark_group("analysis/50-services");
    group.sample_size(20);
    group.bench_function("detect", |bencher| bencher.iter(|| detect(&incident, &settings.detect)));
    group.bench_function("rank", |bencher| bencher.iter(|| ours.rank(&incident, &findings)));
    group.bench_function("explain", |bencher| {
        bencher.iter(|| explain(&incident, &findings, ranking.clone(), coverage(&incident)));
    });
    group.bench_function("report", |bencher| {
        bencher.iter(|| report::write(&diagnosis, report::Format::Json, &mut std::io::sink()));
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
