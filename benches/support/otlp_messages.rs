//! OTLP's trace messages as the `opentelemetry-proto` crate derives them, to write bytes for benchmarks and to parse them
//! with prost alone.

/// `opentelemetry.proto.trace.v1.TracesData`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TracesData {
    #[prost(message, repeated, tag = "1")]
    pub(crate) resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(crate) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) scope_spans: Vec<ScopeSpans>,
    #[prost(string, tag = "3")]
    pub(crate) schema_url: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "2")]
    pub(crate) dropped_attributes_count: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(crate) scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) spans: Vec<Span>,
    #[prost(string, tag = "3")]
    pub(crate) schema_url: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Scope {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(crate) trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) parent_span_id: Vec<u8>,
    #[prost(fixed32, tag = "16")]
    pub(crate) flags: u32,
    #[prost(string, tag = "5")]
    pub(crate) name: String,
    #[prost(int32, tag = "6")]
    pub(crate) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(crate) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(crate) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub(crate) status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Status {
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(int32, tag = "3")]
    pub(crate) code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    pub(crate) value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Integer(i64),
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

/// The ten attributes that the benchmark's spans have in JSON too.
pub(crate) fn http_attributes() -> Vec<KeyValue> {
    let text = |key, value: &str| attribute(key, Value::Text(value.to_owned()));
    vec![
        text("http.request.method", "GET"),
        text("http.route", "/api/items"),
        attribute("http.response.status_code", Value::Integer(200)),
        text("url.scheme", "http"),
        text("url.path", "/api/items/4711"),
        text("server.address", "items.shop.svc"),
        attribute("server.port", Value::Integer(8080)),
        text("network.protocol.version", "1.1"),
        text("user_agent.original", "okhttp/4.12.0"),
        text("thread.name", "http-nio-8080-exec-7"),
    ]
}

/// A message of one service's spans.
pub(crate) fn message(service: &str, spans: Vec<Span>) -> TracesData {
    let attributes = vec![
        attribute("service.name", Value::Text(service.to_owned())),
        attribute("k8s.pod.name", Value::Text(format!("{service}-7d9f8b-x2x4z"))),
    ];
    let resource = Some(Resource { attributes, dropped_attributes_count: 0 });
    let scope = Some(Scope { name: "http".to_owned(), version: "2.1".to_owned() });
    let scope_spans = vec![ScopeSpans { scope, spans, schema_url: String::new() }];
    TracesData { resource_spans: vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }] }
}
