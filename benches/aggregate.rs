//! Spans to call statistics, in memory: 10 thousand to 1 million spans; with `HYPOCENTER_BENCH_LARGE` set also 10
//! million, and `spans-5m.parquet` is written for `benches/duckdb_beside.py` into `HYPOCENTER_BENCH_LARGE`, a folder.

use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hypocenter::aggregate::aggregate;
use hypocenter::telemetry::time::Grid;

mod support;

const MINUTE_NS: i64 = 60_000_000_000;

fn aggregate_spans(criterion: &mut Criterion) {
    let large = std::env::var_os("HYPOCENTER_BENCH_LARGE");
    let mut shapes = vec![("10k", 10_000), ("100k", 100_000), ("1M", 1_000_000)];
    if let Some(folder) = &large {
        shapes.push(("10M", 10_000_000));
        let file = Path::new(folder).join("spans-5m.parquet");
        if !file.exists() {
            support::write_parquet(&support::spans(5_000_000), &file).expect("HYPOCENTER_BENCH_LARGE is a folder");
        }
    }
    let mut group = criterion.benchmark_group("aggregate");
    group.sample_size(10);
    for (name, count) in shapes {
        let spans = support::spans(count);
        group.throughput(Throughput::Elements(spans.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &spans, |bencher, spans| {
            bencher.iter(|| aggregate(spans, &Grid::new(MINUTE_NS)));
        });
    }
    group.finish();
}

criterion_group!(benches, aggregate_spans);
criterion_main!(benches);
