//! OTLP JSON as protobuf and as Tempo's dialect of JSON, by the fields of `trace.proto` that the simulation writes.

use prost::Message;
use serde_json::{Value, json};

#[derive(Clone, PartialEq, Message)]
struct TracesData {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Attributes>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// Every value as text.
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, tag = "1")]
    string: String,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
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
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

/// `TraceByIDResponse` of `tempo.proto`.
#[derive(Clone, PartialEq, Message)]
struct TraceById {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(int32, tag = "3")]
    status: i32,
}

fn bytes(hexadecimal: &Value) -> Vec<u8> {
    let text = hexadecimal.as_str().unwrap_or_default();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn attributes(of: &Value) -> Vec<KeyValue> {
    let string = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pair = |(key, value): (&str, &Value)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { string: string(value) }),
    };
    super::attributes(of).map(pair).collect()
}

/// `TracesData` in protobuf.
pub(super) fn encoded(resources: &[Value]) -> Vec<u8> {
    let span = |span: &Value| Span {
        trace_id: bytes(&span["traceId"]),
        span_id: bytes(&span["spanId"]),
        parent_span_id: bytes(&span["parentSpanId"]),
        name: span["name"].as_str().unwrap().to_owned(),
        kind: super::number(&span["kind"]) as i32,
        start: super::number(&span["startTimeUnixNano"]) as u64,
        end: super::number(&span["endTimeUnixNano"]) as u64,
        attributes: attributes(span),
        status: Some(Status { code: super::number(&span["status"]["code"]) as i32 }),
    };
    let resource = |one: &Value| ResourceSpans {
        resource: Some(Attributes { attributes: attributes(&one["resource"]) }),
        scope_spans: vec![ScopeSpans {
            spans: one["scopeSpans"][0]["spans"].as_array().unwrap().iter().map(span).collect(),
        }],
    };
    TracesData { resource_spans: resources.iter().map(resource).collect() }.encode_to_vec()
}

pub(super) fn wrapped(trace: &[u8]) -> Vec<u8> {
    TraceById { trace: trace.to_vec(), status: 0 }.encode_to_vec()
}

/// Ids in base64, enums by name.
pub(super) fn in_tempos_dialect(mut resources: Vec<Value>) -> Vec<Value> {
    for resource in &mut resources {
        for span in resource["scopeSpans"][0]["spans"].as_array_mut().unwrap() {
            for id in ["traceId", "spanId", "parentSpanId"] {
                if span[id].as_str().is_some_and(|text| !text.is_empty()) {
                    span[id] = json!(base64(&bytes(&span[id])));
                }
            }
            let kinds = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
            span["kind"] = json!(format!("SPAN_KIND_{}", kinds[super::number(&span["kind"]) as usize]));
            if span["status"]["code"] == 2 {
                span["status"]["code"] = json!("STATUS_CODE_ERROR");
            }
        }
    }
    resources
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let letter = |at: usize| LETTERS[(0..6).fold(0, |value, bit| value * 2 + usize::from(bits(at * 6 + bit)))];
    let mut text: String = (0..(bytes.len() * 8).div_ceil(6)).map(|at| char::from(letter(at))).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}
