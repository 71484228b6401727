//! Throughput of the trace decoders on one core, in bytes of input.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hypocenter::ingest::{ReadOptions, read_bytes};
use polars::prelude::{DataFrame, IntoColumn, NamedFrom, ParquetWriter, Series};

const SPANS: u64 = 10_000;
const SPANS_A_TRACE: u64 = 20;

/// A span as the writers below see it: all fields follow from its number, so that every run has the same bytes.
struct Shape {
    trace: String,
    id: String,
    parent: String,
    service: String,
    operation: String,
    start_ns: u64,
    duration_ns: u64,
}

fn shape(number: u64) -> Shape {
    let (trace, in_trace) = (number / SPANS_A_TRACE, number % SPANS_A_TRACE);
    let mixed = |n: u64| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let parent =
        if in_trace == 0 { String::new() } else { format!("{:016x}", mixed(number - in_trace + in_trace / 2)) };
    Shape {
        trace: format!("{:016x}{:016x}", mixed(trace), mixed(trace ^ 0xabcd)),
        id: format!("{:016x}", mixed(number)),
        parent,
        service: format!("service-{:02}", mixed(number) % 50),
        operation: format!("GET /api/v{}/items", mixed(number) % 7),
        start_ns: 1_700_000_000_000_000_000 + number * 720_000,
        duration_ns: 1_000_000 + mixed(number) % 50_000_000,
    }
}

/// Texts joined by commas.
fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

fn traces() -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..SPANS / SPANS_A_TRACE).map(|trace| trace * SPANS_A_TRACE..(trace + 1) * SPANS_A_TRACE)
}

/// Lines of the collector's file exporter: 20 spans a line, ten attributes a span, as HTTP instrumentation has them.
fn otlp_lines() -> String {
    const ATTRIBUTES: &str = r#"{"key":"http.request.method","value":{"stringValue":"GET"}},
        {"key":"http.route","value":{"stringValue":"/api/items"}},
        {"key":"http.response.status_code","value":{"intValue":"200"}},
        {"key":"url.scheme","value":{"stringValue":"http"}},
        {"key":"url.path","value":{"stringValue":"/api/items/4711"}},
        {"key":"server.address","value":{"stringValue":"items.shop.svc"}},
        {"key":"server.port","value":{"intValue":"8080"}},
        {"key":"network.protocol.version","value":{"stringValue":"1.1"}},
        {"key":"user_agent.original","value":{"stringValue":"okhttp/4.12.0"}},
        {"key":"thread.name","value":{"stringValue":"http-nio-8080-exec-7"}}"#;
    let attributes = ATTRIBUTES.split_whitespace().collect::<String>();
    let span = |number| {
        let Shape { trace, id, parent, operation, start_ns, duration_ns, .. } = shape(number);
        let (kind, end_ns) = (2 + number % 2, start_ns + duration_ns);
        format!(
            r#"{{"traceId":"{trace}","spanId":"{id}","parentSpanId":"{parent}","flags":257,"name":"{operation}","kind":{kind},"startTimeUnixNano":"{start_ns}","endTimeUnixNano":"{end_ns}","attributes":[{attributes}],"status":{{}}}}"#
        )
    };
    let line = |numbers: std::ops::Range<u64>| {
        let service = shape(numbers.start).service;
        let spans = list(numbers.map(span));
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}},{{"key":"k8s.pod.name","value":{{"stringValue":"{service}-7d9f8b-x2x4z"}}}}]}},"scopeSpans":[{{"scope":{{"name":"http","version":"2.1"}},"spans":[{spans}]}}]}}]}}"#
        ) + "\n"
    };
    traces().map(line).collect()
}

/// An answer of Jaeger's `/api/traces`.
fn jaeger() -> String {
    let span = |number| {
        let Shape { trace, id, parent, operation, start_ns, duration_ns, .. } = shape(number);
        let reference = format!(r#"{{"refType":"CHILD_OF","traceID":"{trace}","spanID":"{parent}"}}"#);
        let references = if parent.is_empty() { "" } else { &reference };
        let (start, duration) = (start_ns / 1000, duration_ns / 1000);
        format!(
            r#"{{"traceID":"{trace}","spanID":"{id}","operationName":"{operation}","references":[{references}],"startTime":{start},"duration":{duration},"tags":[{{"key":"span.kind","type":"string","value":"server"}},{{"key":"http.response.status_code","type":"int64","value":200}},{{"key":"http.route","type":"string","value":"/api/items"}},{{"key":"internal.span.format","type":"string","value":"otlp"}}],"logs":[],"processID":"p1","warnings":null}}"#
        )
    };
    let trace = |numbers: std::ops::Range<u64>| {
        let Shape { trace, service, .. } = shape(numbers.start);
        let spans = list(numbers.map(span));
        format!(
            r#"{{"traceID":"{trace}","spans":[{spans}],"processes":{{"p1":{{"serviceName":"{service}","tags":[]}}}}}}"#
        )
    };
    format!(r#"{{"data":[{}]}}"#, list(traces().map(trace)))
}

fn csv() -> String {
    let row = |number| {
        let Shape { trace, id, parent, service, operation, start_ns, duration_ns } = shape(number);
        format!("{trace},{id},{parent},{service},{operation},{start_ns},{duration_ns}\n")
    };
    let header = "trace_id,span_id,parent_span_id,service_name,name,start_time_unix_nano,duration_ns\n";
    header.to_owned() + &(0..SPANS).map(row).collect::<String>()
}

fn parquet() -> Vec<u8> {
    let shapes: Vec<Shape> = (0..SPANS).map(shape).collect();
    let texts = |name: &str, of: fn(&Shape) -> &str| {
        Series::new(name.into(), shapes.iter().map(of).collect::<Vec<_>>()).into_column()
    };
    let numbers = |name: &str, of: fn(&Shape) -> u64| {
        Series::new(name.into(), shapes.iter().map(of).collect::<Vec<_>>()).into_column()
    };
    let columns = vec![
        texts("trace_id", |s| &s.trace),
        texts("span_id", |s| &s.id),
        texts("parent_span_id", |s| &s.parent),
        texts("service_name", |s| &s.service),
        texts("name", |s| &s.operation),
        numbers("start_time_unix_nano", |s| s.start_ns),
        numbers("duration_ns", |s| s.duration_ns),
    ];
    let mut bytes = Vec::new();
    let mut frame = DataFrame::new(shapes.len(), columns).expect("columns of one length");
    ParquetWriter::new(&mut bytes).finish(&mut frame).expect("in memory");
    bytes
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.sample_size(20);
    let shapes: [(&str, Vec<u8>); 4] = [
        ("otlp-json", otlp_lines().into_bytes()),
        ("jaeger-json", jaeger().into_bytes()),
        ("span-csv", csv().into_bytes()),
        ("span-parquet", parquet()),
    ];
    for (name, bytes) in &shapes {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(*name, |b| {
            b.iter(|| {
                let read = read_bytes(Path::new("bench"), black_box(bytes), &ReadOptions::default());
                let read = read.expect("a known format");
                assert_eq!((read.spans.len() as u64, read.skipped), (SPANS, 0));
                read
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
