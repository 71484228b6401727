//! Throughput of the decoders on one core, in bytes of input by processor time, and beside them what general parsers of Rust need for the
//! same bytes: prost's derived messages (what the `opentelemetry-proto` crate is made of) and serde_json's values.
//!
//! With `HYPOCENTER_BENCH_FILES=<folder>` the bytes are written there as well, for `benches/parsers_beside.py`.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hypocenter::ingest::{ReadOptions, read_bytes};
use polars::prelude::{DataFrame, IntoColumn, NamedFrom, ParquetWriter, Series};
use prost::Message;

use otlp_messages::TracesData;
use processor_time::ProcessorTime;

#[path = "support/otlp_messages.rs"]
mod otlp_messages;
#[path = "support/processor_time.rs"]
mod processor_time;

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

/// The same spans as in [`otlp_lines`], a message for each trace with four bytes of length before it.
fn otlp_protobuf() -> Vec<u8> {
    let message = |numbers: std::ops::Range<u64>| {
        let service = shape(numbers.start).service;
        let spans = numbers.map(|number| {
            let Shape { trace, id, parent, operation, start_ns, duration_ns, .. } = shape(number);
            otlp_messages::Span {
                trace_id: hex(&trace),
                span_id: hex(&id),
                parent_span_id: hex(&parent),
                flags: 257,
                name: operation,
                kind: 2 + (number % 2) as i32,
                start_time_unix_nano: start_ns,
                end_time_unix_nano: start_ns + duration_ns,
                attributes: otlp_messages::http_attributes(),
                status: Some(otlp_messages::Status::default()),
                ..otlp_messages::Span::default()
            }
        });
        let message = otlp_messages::message(&service, spans.collect()).encode_to_vec();
        let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
        length.into_iter().chain(message)
    };
    traces().flat_map(message).collect()
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// An answer of Zipkin's `/api/v2/traces`.
fn zipkin() -> String {
    let span = |number| {
        let Shape { trace, id, parent, service, operation, start_ns, duration_ns } = shape(number);
        let parent = if parent.is_empty() { parent } else { format!(r#""parentId":"{parent}","#) };
        let (start, duration) = (start_ns / 1000, duration_ns / 1000);
        format!(
            r#"{{"traceId":"{trace}",{parent}"id":"{id}","kind":"SERVER","name":"{operation}","timestamp":{start},"duration":{duration},"localEndpoint":{{"serviceName":"{service}","ipv4":"10.0.0.7","port":8080}},"tags":{{"http.method":"GET","http.path":"/api/items/4711","http.status_code":"200","instance":"i-1"}}}}"#
        )
    };
    format!("[{}]", list(traces().map(|numbers| format!("[{}]", list(numbers.map(span))))))
}

/// Rows of ClickHouse's `otel_traces` as `FORMAT JSONEachRow` writes them.
fn clickhouse() -> String {
    let row = |number| {
        let Shape { trace, id, parent, service, operation, start_ns, duration_ns } = shape(number);
        let (seconds, fraction) = (start_ns / 1_000_000_000, start_ns % 1_000_000_000);
        format!(
            r#"{{"Timestamp":"{seconds}.{fraction:09}","TraceId":"{trace}","SpanId":"{id}","ParentSpanId":"{parent}","TraceState":"","SpanName":"{operation}","SpanKind":"Server","ServiceName":"{service}","ResourceAttributes":{{"service.name":"{service}","k8s.pod.name":"{service}-7d9f8b-x2x4z"}},"ScopeName":"http","ScopeVersion":"2.1","SpanAttributes":{{"http.request.method":"GET","http.route":"/api/items","http.response.status_code":"200","url.path":"/api/items/4711","user_agent.original":"okhttp/4.12.0"}},"Duration":"{duration_ns}","StatusCode":"Unset","StatusMessage":"","Events.Timestamp":[],"Events.Name":[],"Events.Attributes":[],"Links.TraceId":[],"Links.SpanId":[],"Links.TraceState":[],"Links.Attributes":[]}}"#
        ) + "\n"
    };
    (0..SPANS).map(row).collect()
}

/// Metrics of 50 services as the collector's file exporter writes them every ten seconds: a histogram by route and status,
/// a counter and two gauges.
fn otlp_metrics() -> String {
    let line = |step: u64| {
        let at = 1_700_000_000_000_000_000 + step * 10_000_000_000;
        let times = format!(r#""startTimeUnixNano":"1700000000000000000","timeUnixNano":"{at}""#);
        let resource = |service: u64| {
            let histogram = list((0..8).map(|route| {
                let count = step * (route + 1);
                let counts = list((0..15).map(|bucket| format!(r#""{}""#, count * (bucket % 3))));
                format!(
                    r#"{{"attributes":[{{"key":"http.request.method","value":{{"stringValue":"GET"}}}},{{"key":"http.route","value":{{"stringValue":"/api/items/{route}"}}}},{{"key":"http.response.status_code","value":{{"intValue":"200"}}}}],{times},"count":"{}","sum":{}.25,"bucketCounts":[{counts}],"explicitBounds":[0.005,0.01,0.025,0.05,0.075,0.1,0.25,0.5,0.75,1,2.5,5,7.5,10],"min":0.001,"max":3.5}}"#,
                    count * 15,
                    count * 2
                )
            }));
            let point = |value: String| {
                format!(r#"{{"attributes":[{{"key":"cpu.mode","value":{{"stringValue":"user"}}}}],{times},{value}}}"#)
            };
            let (cpu, memory, threads) = (
                point(format!(r#""asDouble":{step}.5"#)),
                point(format!(r#""asInt":"{}""#, step * 4096)),
                point(r#""asInt":"42""#.to_owned()),
            );
            format!(
                r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"service-{service:02}"}}}},{{"key":"service.instance.id","value":{{"stringValue":"i-{service}"}}}},{{"key":"telemetry.sdk.language","value":{{"stringValue":"java"}}}}]}},"scopeMetrics":[{{"scope":{{"name":"http"}},"metrics":[{{"name":"http.server.request.duration","description":"Duration of HTTP server requests.","unit":"s","histogram":{{"dataPoints":[{histogram}],"aggregationTemporality":2}}}},{{"name":"process.cpu.time","unit":"s","sum":{{"dataPoints":[{cpu}],"aggregationTemporality":2,"isMonotonic":true}}}},{{"name":"jvm.memory.used","unit":"By","gauge":{{"dataPoints":[{memory}]}}}},{{"name":"jvm.thread.count","unit":"{{thread}}","gauge":{{"dataPoints":[{threads}]}}}}]}}]}}"#
            )
        };
        format!(r#"{{"resourceMetrics":[{}]}}"#, list((0..50).map(resource))) + "\n"
    };
    (1..=30).map(line).collect()
}

/// All on one core, whatever the machine has: what is promised is the throughput of a core.
fn on_one_core<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(work)
}

fn decode(c: &mut Criterion<ProcessorTime>) {
    let mut group = c.benchmark_group("decode");
    group.sample_size(20);
    let shapes: [(&str, Vec<u8>); 7] = [
        ("otlp-protobuf", otlp_protobuf()),
        ("otlp-json", otlp_lines().into_bytes()),
        ("zipkin-json", zipkin().into_bytes()),
        ("clickhouse-json", clickhouse().into_bytes()),
        ("jaeger-json", jaeger().into_bytes()),
        ("span-csv", csv().into_bytes()),
        ("span-parquet", parquet()),
    ];
    let metrics = otlp_metrics().into_bytes();
    if let Some(folder) = std::env::var_os("HYPOCENTER_BENCH_FILES") {
        let folder = Path::new(&folder);
        for (name, bytes) in shapes.iter().chain([&("otlp-metrics-json", metrics.clone())]) {
            std::fs::write(folder.join(name), bytes).expect("a folder that can be written to");
        }
    }
    let read = |bytes: &[u8]| read_bytes(Path::new("bench"), black_box(bytes), &ReadOptions::default()).expect("known");
    for (name, bytes) in &shapes {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        on_one_core(|| {
            let read = read(bytes);
            assert_eq!((read.spans.len() as u64, read.skipped), (SPANS, 0), "{name}: {:?}", read.warnings);
        });
        group.bench_function(*name, |b| on_one_core(|| b.iter(|| read(bytes))));
    }
    group.throughput(Throughput::Bytes(metrics.len() as u64));
    group.bench_function("otlp-metrics-json", |b| {
        on_one_core(|| {
            b.iter(|| {
                let read = read(&metrics);
                assert_eq!(read.skipped, 0, "{:?}", read.warnings);
                assert!(read.series.len() > 50 * 8);
                read
            });
        });
    });
    group.finish();
}

/// The same bytes parsed by others into values that say the same, which is less than reading them into a table of spans.
fn others(c: &mut Criterion<ProcessorTime>) {
    let mut group = c.benchmark_group("others");
    group.sample_size(20);
    let protobuf = otlp_protobuf();
    group.throughput(Throughput::Bytes(protobuf.len() as u64));
    group.bench_function("otlp-protobuf by prost's messages", |b| {
        b.iter(|| {
            let mut rest = black_box(protobuf.as_slice());
            let mut messages = Vec::new();
            while let Some((length, bytes)) = rest.split_first_chunk::<4>() {
                let (message, following) = bytes.split_at(u32::from_be_bytes(*length) as usize);
                messages.push(TracesData::decode(message).expect("our own bytes"));
                rest = following;
            }
            messages
        });
    });
    for (name, text) in [("otlp-json", otlp_lines()), ("otlp-metrics-json", otlp_metrics())] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{name} by serde_json's values"), |b| {
            let value = |line| serde_json::from_str::<serde_json::Value>(line).expect("our own text");
            b.iter(|| black_box(&text).lines().map(value).collect::<Vec<_>>());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = decode, others
}
criterion_main!(benches);
