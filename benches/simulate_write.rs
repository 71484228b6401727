//! A million spans of a made-up shop to files of each format, on one processor. With `HYPOCENTER_BENCH_LARGE` set the files are kept in it,
//! a folder, for other tools to read.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hypocenter::simulate;
use processor_time::ProcessorTime;
use simulate::observe::{Clocks, Imperfections, observe};
use simulate::write::{CaseFile, TraceFormat, changes, logs, traces};

#[path = "support/processor_time.rs"]
mod processor_time;
// Hand-made systems and traces, which the tests of writing look at too.
#[path = "../src/simulate/write/sample.rs"]
mod sample;

/// Requests of about twelve spans each.
const REQUESTS: u64 = 82_650;

fn write(criterion: &mut Criterion<ProcessorTime>) {
    let (system, recording) = sample::shop(REQUESTS);
    let perfect = Imperfections::default();
    let observed = observe(&recording, &perfect, 1);
    let folder = std::env::var_os("HYPOCENTER_BENCH_LARGE");
    let keep = |file: &CaseFile| {
        if let Some(folder) = &folder {
            std::fs::write(Path::new(folder).join(&file.name), &file.bytes)
                .expect("HYPOCENTER_BENCH_LARGE is a folder");
        }
    };
    let clocks = Clocks::of(&recording, &perfect);
    logs::logs(&system, &recording, &clocks).iter().chain(&changes::changes(&system, &recording)).for_each(keep);

    let mut group = criterion.benchmark_group("simulate_write");
    group.sample_size(10).throughput(Throughput::Elements(observed.spans.len() as u64));
    group.bench_function("observe", |bencher| bencher.iter(|| observe(black_box(&recording), &perfect, 1)));
    for format in TraceFormat::ALL {
        keep(&traces(format, &system, &recording, &observed));
        group.bench_with_input(BenchmarkId::from_parameter(format.name()), &format, |bencher, format| {
            bencher.iter(|| traces(*format, &system, &recording, &observed));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = write
}
criterion_main!(benches);
