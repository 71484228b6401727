//! The traces in protobuf and Parquet.

use polars::prelude::{
    Column, DataFrame, DataType, IntoColumn, IntoSeries, NamedFrom, ParquetWriter, Series, StructChunked, TimeUnit,
};
use prost::Message;

use super::json::{KINDS, STATUSES, resource};
use super::model::{Span, Value};

#[derive(Clone, PartialEq, Message)]
struct TracesData {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WireSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 3")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Integer(i64),
}

#[derive(Clone, PartialEq, Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

fn key_value(key: &str, value: &Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => Any::Text((*text).to_owned()),
        Value::Integer(number) => Any::Integer(*number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

/// One OTLP message, each span with a resource of its own.
pub(crate) fn otlp(spans: &[Span]) -> Vec<u8> {
    let resource_spans = |span: &Span| {
        let attributes = resource(&span.process).iter().map(|(key, text)| key_value(key, &Value::Text(text))).collect();
        let wire = WireSpan {
            trace_id: span.trace.to_be_bytes().to_vec(),
            span_id: span.id.to_be_bytes().to_vec(),
            parent_span_id: if span.parent == 0 { Vec::new() } else { span.parent.to_be_bytes().to_vec() },
            name: span.name.to_owned(),
            kind: i32::try_from(span.kind).expect("small"),
            start_time_unix_nano: span.start_us * 1000,
            end_time_unix_nano: span.end_us() * 1000,
            attributes: span.attributes.iter().map(|(key, value)| key_value(key, value)).collect(),
            links: span
                .links
                .iter()
                .map(|l| Link { trace_id: l.0.to_be_bytes().to_vec(), span_id: l.1.to_be_bytes().to_vec() })
                .collect(),
            status: Some(Status { code: i32::try_from(span.status).expect("small") }),
        };
        ResourceSpans { resource: Some(Resource { attributes }), scope_spans: vec![ScopeSpans { spans: vec![wire] }] }
    };
    TracesData { resource_spans: spans.iter().map(resource_spans).collect() }.encode_to_vec()
}

fn texts(name: &str, of: impl Iterator<Item = String>) -> Column {
    Series::new(name.into(), of.collect::<Vec<_>>()).into_column()
}

fn lists(name: &str, of: impl Iterator<Item = Vec<String>>) -> Column {
    Series::new(name.into(), of.map(|texts| Series::new("".into(), texts)).collect::<Vec<_>>()).into_column()
}

fn maps(name: &str, of: impl Iterator<Item = Vec<(String, String)>>) -> Column {
    let map = |attributes: Vec<(String, String)>| {
        let (keys, values): (Vec<String>, Vec<String>) = attributes.into_iter().unzip();
        let members = [Series::new("key".into(), keys), Series::new("value".into(), values)];
        StructChunked::from_series("".into(), members[0].len(), members.iter()).expect("one length").into_series()
    };
    Series::new(name.into(), of.map(map).collect::<Vec<_>>()).into_column()
}

/// The exporter's table for ClickHouse, as ClickHouse writes it with `FORMAT Parquet`.
pub(crate) fn clickhouse(spans: &[Span]) -> Vec<u8> {
    let of = |text: fn(&Span) -> String| spans.iter().map(text);
    let owned = |attributes: Vec<(&str, String)>| -> Vec<(String, String)> {
        attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    };
    let starts: Vec<i64> = spans.iter().map(|span| (span.start_us * 1000).cast_signed()).collect();
    let timestamps = Series::new("Timestamp".into(), starts);
    let timestamps = timestamps.cast(&DataType::Datetime(TimeUnit::Nanoseconds, None)).expect("numbers");
    let durations: Vec<u64> = spans.iter().map(|span| span.duration_us * 1000).collect();
    let columns = vec![
        timestamps.into_column(),
        texts("TraceId", of(|s| format!("{:032x}", s.trace))),
        texts("SpanId", of(|s| format!("{:016x}", s.id))),
        texts("ParentSpanId", of(|s| if s.parent == 0 { String::new() } else { format!("{:016x}", s.parent) })),
        texts("SpanName", of(|s| s.name.to_owned())),
        texts("SpanKind", of(|s| KINDS[s.kind].to_owned())),
        texts("ServiceName", of(|s| s.process.service.to_owned())),
        maps(
            "ResourceAttributes",
            spans.iter().map(|s| owned(resource(&s.process).map(|(key, text)| (key, text.to_owned())).to_vec())),
        ),
        maps(
            "SpanAttributes",
            spans.iter().map(|s| owned(s.attributes.iter().map(|(key, value)| (*key, value.text())).collect())),
        ),
        Series::new("Duration".into(), durations).into_column(),
        texts("StatusCode", of(|s| STATUSES[s.status].to_owned())),
        lists("Links.TraceId", spans.iter().map(|s| s.links.iter().map(|l| format!("{:032x}", l.0)).collect())),
        lists("Links.SpanId", spans.iter().map(|s| s.links.iter().map(|l| format!("{:016x}", l.1)).collect())),
    ];
    let mut frame = DataFrame::new(spans.len(), columns).expect("columns of one length");
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).with_row_group_size(Some(1000)).finish(&mut frame).expect("in memory");
    bytes
}
