//! Replay servers of trace stores, built from their published API definitions, over the traces of a simulated incident.
//!
//! Jaeger: `api_v3/query_service.proto` and `apiv3/http_gateway.go` (v3), `app/http_handler.go` (v1). Tempo: documentation
//! "HTTP API", `tempo.proto`. Zipkin: `zipkin2-api.yaml`. A search gives the newest traces first, up to the limit, that
//! have a span of the service within the times with the duration and the outcome that were asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

#[path = "otlp.rs"]
mod otlp;

/// A span and its resource, as OTLP JSON has them.
pub(crate) struct Span {
    resource: Value,
    span: Value,
    service: String,
    start_ns: i64,
    duration_us: i64,
    failed: bool,
}

/// All traces by id.
pub(crate) struct Store {
    traces: BTreeMap<String, Vec<Span>>,
}

type Shared = State<Arc<Store>>;
type Asked = Query<HashMap<String, String>>;

struct Search<'a> {
    service: &'a str,
    start_ns: i64,
    end_ns: i64,
    least_us: i64,
    failed: bool,
    limit: usize,
}

fn number(value: &Value) -> i64 {
    value.as_str().map_or_else(|| value.as_i64().unwrap_or_default(), |text| text.parse().unwrap())
}

fn attributes(of: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let list = of["attributes"].as_array().into_iter().flatten();
    list.map(|pair| (pair["key"].as_str().unwrap(), pair["value"].as_object().unwrap().values().next().unwrap()))
}

impl Store {
    /// Reads lines of OTLP JSON.
    pub(crate) fn of(lines: &[u8]) -> Arc<Self> {
        let mut traces: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for message in serde_json::Deserializer::from_slice(lines).into_iter::<Value>() {
            for resource in message.unwrap()["resourceSpans"].as_array().unwrap() {
                let service = attributes(&resource["resource"]).find(|(key, _)| *key == "service.name").unwrap().1;
                for span in
                    resource["scopeSpans"].as_array().unwrap().iter().flat_map(|s| s["spans"].as_array().unwrap())
                {
                    let start_ns = number(&span["startTimeUnixNano"]);
                    let kept = Span {
                        resource: resource["resource"].clone(),
                        span: span.clone(),
                        service: service.as_str().unwrap().to_owned(),
                        start_ns,
                        duration_us: (number(&span["endTimeUnixNano"]) - start_ns) / 1000,
                        failed: span["status"]["code"] == 2,
                    };
                    traces.entry(span["traceId"].as_str().unwrap().to_owned()).or_default().push(kept);
                }
            }
        }
        Arc::new(Self { traces })
    }

    pub(crate) fn services(&self) -> BTreeSet<&str> {
        self.traces.values().flatten().map(|span| span.service.as_str()).collect()
    }

    /// How many traces have the first span of the service within the times.
    pub(crate) fn count(&self, service: &str, start_ns: i64, end_ns: i64) -> usize {
        let first =
            |spans: &Vec<Span>| spans.iter().filter(|span| span.service == service).map(|span| span.start_ns).min();
        self.traces.values().filter_map(first).filter(|start| (start_ns..end_ns).contains(start)).count()
    }

    fn search(&self, asked: &Search<'_>) -> Vec<(&str, &[Span])> {
        let fits = |span: &&Span| {
            span.service.eq_ignore_ascii_case(asked.service)
                && (asked.start_ns..=asked.end_ns).contains(&span.start_ns)
                && span.duration_us >= asked.least_us
                && (span.failed || !asked.failed)
        };
        let newest = |spans: &[Span]| spans.iter().filter(fits).map(|span| span.start_ns).max();
        let all = self.traces.iter().map(|(id, spans)| (id.as_str(), spans.as_slice()));
        let mut found: Vec<_> = all.filter_map(|(id, spans)| Some((newest(spans)?, id, spans))).collect();
        found.sort_by_key(|(at, id, _)| (std::cmp::Reverse(*at), *id));
        found.into_iter().take(asked.limit).map(|(_, id, spans)| (id, spans)).collect()
    }
}

fn json_answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Microseconds of a Go duration as we write it.
fn micros(text: Option<&String>) -> i64 {
    text.map_or(0, |text| text.strip_suffix("us").expect("microseconds").parse().unwrap())
}

fn otlp_of(spans: &[Span]) -> Vec<Value> {
    let one = |span: &Span| json!({"resource": span.resource, "scopeSpans": [{"scope": {}, "spans": [span.span]}]});
    spans.iter().map(one).collect()
}

/// A new Jaeger, which has v3 only, and answers 404 where nothing was found.
pub(crate) fn jaeger_v3(store: Arc<Store>) -> Router {
    let services = |State(store): Shared| async move { json_answer(&json!({"services": store.services()})) };
    let traces = |State(store): Shared, Query(asked): Asked| async move {
        let nanos = |key: &str| {
            let at = asked.get(key).unwrap_or_else(|| panic!("{key} is required"));
            at.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as i64
        };
        let found = store.search(&Search {
            service: &asked["query.serviceName"],
            start_ns: nanos("query.startTimeMin"),
            end_ns: nanos("query.startTimeMax"),
            least_us: micros(asked.get("query.durationMin")),
            failed: asked.get("query.attributes").is_some_and(|text| text == r#"{"error":"true"}"#),
            limit: asked["query.searchDepth"].parse().unwrap(),
        });
        if found.is_empty() {
            let error = json!({"error": {"httpCode": 404, "message": "No traces found"}});
            return (StatusCode::NOT_FOUND, json_answer(&error)).into_response();
        }
        let spans: Vec<Value> = found.iter().flat_map(|(_, spans)| otlp_of(spans)).collect();
        json_answer(&json!({"result": {"resourceSpans": spans}}))
    };
    Router::new().route("/api/v3/services", get(services)).route("/api/v3/traces", get(traces)).with_state(store)
}

/// An old Jaeger, which has v1 only, and the page of its user interface for everything else.
pub(crate) fn jaeger_v1(store: Arc<Store>) -> Router {
    let services = |State(store): Shared| async move { json_answer(&json!({"data": store.services()})) };
    let traces = |State(store): Shared, Query(asked): Asked| async move {
        let micro = |key: &str| asked[key].parse::<i64>().unwrap() * 1000;
        let found = store.search(&Search {
            service: &asked["service"],
            start_ns: micro("start"),
            end_ns: micro("end"),
            least_us: micros(asked.get("minDuration")),
            failed: asked.get("tags").is_some_and(|text| text == r#"{"error":"true"}"#),
            limit: asked["limit"].parse().unwrap(),
        });
        let data: Vec<Value> = found.iter().map(|(id, spans)| jaeger_trace(id, spans)).collect();
        json_answer(&json!({"data": data, "total": 0, "limit": 0, "offset": 0, "errors": null}))
    };
    let page = || async { axum::response::Html("<!doctype html><title>Jaeger UI</title>") };
    Router::new()
        .route("/api/services", get(services))
        .route("/api/traces", get(traces))
        .fallback(page)
        .with_state(store)
}

fn jaeger_trace(id: &str, spans: &[Span]) -> Value {
    let tag = |(key, value): (&str, &Value)| json!({"key": key, "type": "string", "value": text(value)});
    let mut processes = serde_json::Map::new();
    let rows: Vec<Value> = spans
        .iter()
        .enumerate()
        .map(|(at, kept)| {
            let span = &kept.span;
            let process =
                json!({"serviceName": kept.service, "tags": attributes(&kept.resource).map(tag).collect::<Vec<_>>()});
            processes.insert(format!("p{at}"), process);
            let mut tags: Vec<Value> = attributes(span).map(tag).collect();
            let kind = ["", "internal", "server", "client", "producer", "consumer"][number(&span["kind"]) as usize];
            tags.push(json!({"key": "span.kind", "type": "string", "value": kind}));
            if kept.failed {
                tags.push(json!({"key": "error", "type": "bool", "value": true}));
            }
            let parent = span["parentSpanId"].as_str().filter(|parent| !parent.is_empty());
            let references: Vec<Value> =
                parent.iter().map(|parent| json!({"refType": "CHILD_OF", "traceID": id, "spanID": parent})).collect();
            json!({
                "traceID": id, "spanID": span["spanId"], "operationName": span["name"], "references": references,
                "startTime": kept.start_ns / 1000, "duration": kept.duration_us, "tags": tags, "logs": [],
                "processID": format!("p{at}"),
            })
        })
        .collect();
    json!({"traceID": id, "spans": rows, "processes": processes})
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How a Tempo answers to a trace's id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tempo {
    /// `/api/v2/traces`, in protobuf.
    New,
    /// `/api/traces` only, in protobuf.
    Old,
    /// `/api/v2/traces`, in Tempo's own dialect of JSON whatever was asked for: ids in base64, enums by name.
    Json,
}

pub(crate) fn tempo(store: Arc<Store>, how: Tempo) -> Router {
    let services = |State(store): Shared| async move { json_answer(&json!({"tagValues": store.services()})) };
    let search = |State(store): Shared, Query(asked): Asked| async move {
        let query = &asked["q"];
        let after = |start: &str| query.split_once(start).map(|(_, rest)| rest);
        let service = after("resource.service.name = \"").unwrap().split('"').next().unwrap();
        let least_us = after("duration >= ").map_or(0, |rest| rest.split("us").next().unwrap().parse().unwrap());
        let second = |key: &str| asked[key].parse::<i64>().unwrap() * 1_000_000_000;
        let (start_ns, end_ns) = (second("start"), second("end"));
        let (failed, limit) = (query.contains("status = error"), asked["limit"].parse().unwrap());
        let found = store.search(&Search { service, start_ns, end_ns, least_us, failed, limit });
        // Older versions leave out leading zeros.
        let trace = |(id, _): &(&str, &[Span])| json!({"traceID": id.trim_start_matches('0'), "durationMs": 1});
        json_answer(&json!({"traces": found.iter().map(trace).collect::<Vec<_>>(), "metrics": {}}))
    };
    let by_id = move |State(store): Shared, Path(id): Path<String>, headers: HeaderMap| async move {
        assert_eq!(headers[header::ACCEPT], "application/protobuf");
        let Some(spans) = store.traces.get(&id) else {
            return (StatusCode::NOT_FOUND, "trace not found").into_response();
        };
        let bytes = otlp::encoded(&otlp_of(spans));
        let protobuf = [(header::CONTENT_TYPE, "application/protobuf")];
        match how {
            Tempo::New => (protobuf, otlp::wrapped(&bytes)).into_response(),
            Tempo::Old => (protobuf, bytes).into_response(),
            Tempo::Json => json_answer(&json!({"trace": {"resourceSpans": otlp::in_tempos_dialect(otlp_of(spans))}})),
        }
    };
    let path = if how == Tempo::Old { "/api/traces/{id}" } else { "/api/v2/traces/{id}" };
    Router::new()
        .route("/api/search/tag/service.name/values", get(services))
        .route("/api/search", get(search))
        .route(path, get(by_id))
        .with_state(store)
}

pub(crate) fn zipkin(store: Arc<Store>) -> Router {
    let services = |State(store): Shared| async move {
        json_answer(&json!(store.services().iter().map(|name| name.to_lowercase()).collect::<Vec<_>>()))
    };
    let traces = |State(store): Shared, Query(asked): Asked| async move {
        let number = |key: &str| asked[key].parse::<i64>().unwrap();
        let end_ns = number("endTs") * 1_000_000;
        let found = store.search(&Search {
            service: &asked["serviceName"],
            start_ns: end_ns - number("lookback") * 1_000_000,
            end_ns,
            least_us: asked.get("minDuration").map_or(0, |text| text.parse().unwrap()),
            failed: asked.get("annotationQuery").is_some_and(|text| text == "error"),
            limit: asked["limit"].parse().unwrap(),
        });
        json_answer(&found.iter().map(|(id, spans)| zipkin_trace(id, spans)).collect::<Value>())
    };
    Router::new().route("/api/v2/services", get(services)).route("/api/v2/traces", get(traces)).with_state(store)
}

fn zipkin_trace(id: &str, spans: &[Span]) -> Value {
    let row = |kept: &Span| {
        let span = &kept.span;
        let mut tags: serde_json::Map<String, Value> =
            attributes(span).map(|(key, value)| (key.to_owned(), json!(text(value)))).collect();
        if kept.failed {
            tags.insert("error".to_owned(), json!("true"));
        }
        let mut row = json!({
            "traceId": id, "id": span["spanId"], "name": span["name"], "timestamp": kept.start_ns / 1000,
            "duration": kept.duration_us.max(1), "tags": tags,
            "localEndpoint": {"serviceName": kept.service.to_lowercase()},
        });
        if let Some(kind) = ["", "", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"].get(number(&span["kind"]) as usize)
            && !kind.is_empty()
        {
            row["kind"] = json!(kind);
        }
        if let Some(parent) = span["parentSpanId"].as_str().filter(|parent| !parent.is_empty()) {
            row["parentId"] = json!(parent);
        }
        row
    };
    spans.iter().map(row).collect()
}
