//! Jaeger's query service: the API v3 where there is one, else v1, which the newest Jaeger has no more.
//!
//! v3 answers with OTLP JSON, and with 404 where nothing was found; v1 with Jaeger's own JSON. Names of v3's parameters are
//! sent in both spellings, since older servers know only the one with underscores. Reference: jaeger-idl
//! `api_v3/query_service.proto`; Jaeger `apiv3/http_gateway.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::LiveError;
use super::client::{Answer, Client};
use super::traces::{Ask, Form, Found, Outcome, TraceStore, facts};
use crate::telemetry::id::TraceId;
use crate::timespec::rfc3339;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Api {
    V1,
    V3,
}

/// A Jaeger and the service whose traces are asked for.
pub(super) struct Jaeger {
    client: Arc<Client>,
    api: Api,
    service: String,
}

impl Jaeger {
    /// Finds out which API there is; also the services that it knows.
    pub(super) async fn connect(client: Arc<Client>, service: &str) -> Result<(Self, Vec<String>), LiveError> {
        let v3 = client.find("/api/v3/services", &[], "application/json").await;
        let (api, answer) = match v3 {
            Ok(answer) if !answer.not_found => (Api::V3, answer),
            // Servers without v3 say so, or give the page of their user interface.
            Ok(_) | Err(LiveError::Status { status: 405 | 501, .. } | LiveError::WebPage { .. }) => {
                (Api::V1, client.get("/api/services", &[]).await?)
            }
            Err(error) => return Err(error),
        };
        let told = json_of(&answer)?;
        let list = told.get(if api == Api::V3 { "services" } else { "data" }).and_then(Value::as_array);
        let mut services: Vec<String> =
            list.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        services.sort();
        Ok((Self { client, api, service: service.to_owned() }, services))
    }

    pub(super) fn api(&self) -> &'static str {
        match self.api {
            Api::V1 => "v1",
            Api::V3 => "v3",
        }
    }

    async fn v3(&self, ask: Ask) -> Result<Found, LiveError> {
        let (start, end) = (rfc3339(ask.window.start_ns()), rfc3339(ask.window.end_ns()));
        let limit = ask.limit.to_string();
        let mut query = vec![
            ("query.serviceName", self.service.clone()),
            ("query.service_name", self.service.clone()),
            ("query.startTimeMin", start.clone()),
            ("query.start_time_min", start),
            ("query.startTimeMax", end.clone()),
            ("query.start_time_max", end),
            ("query.searchDepth", limit.clone()),
            ("query.num_traces", limit),
            // Without the server's corrections of clocks.
            ("query.rawTraces", "true".to_owned()),
            ("query.raw_traces", "true".to_owned()),
        ];
        match ask.outcome {
            Outcome::Any => {}
            Outcome::Failed => query.push(("query.attributes", r#"{"error":"true"}"#.to_owned())),
            Outcome::SlowerThan(from_us) => {
                query.push(("query.durationMin", format!("{from_us}us")));
                query.push(("query.duration_min", format!("{from_us}us")));
            }
        }
        let answer = self.client.find("/api/v3/traces", &query, "application/json").await?;
        if answer.not_found {
            return Ok(Found::none(true));
        }
        let mut bodies: BTreeMap<TraceId, Vec<Value>> = BTreeMap::new();
        // A stream of parts, or one.
        for part in serde_json::Deserializer::from_slice(&answer.body).into_iter::<Value>() {
            let part = part.map_err(|error| wrong(&answer, &format!("not valid JSON: {error}")))?;
            let spans = part.get("result").unwrap_or(&part).get("resourceSpans").and_then(Value::as_array);
            for resource in spans.into_iter().flatten() {
                let apart = by_trace(resource)
                    .ok_or_else(|| wrong(&answer, "a span without a `traceId` of hexadecimal digits"))?;
                apart.into_iter().for_each(|(id, one)| bodies.entry(id).or_default().push(one));
            }
        }
        if bodies.is_empty() {
            return Ok(Found::none(true));
        }
        let document = |spans: Vec<Value>| json!({ "result": { "resourceSpans": spans } }).to_string().into_bytes();
        let is_all = bodies.len() < ask.limit;
        let bodies = bodies.into_iter().map(|(id, spans)| (id, document(spans))).collect();
        Ok(Found::cut(bodies, facts(&answer.body, &answer.url, &self.service)?, Form::Json, is_all))
    }

    async fn v1(&self, ask: Ask) -> Result<Found, LiveError> {
        let mut query = vec![
            ("service", self.service.clone()),
            ("start", ask.window.start_ns().div_euclid(1000).to_string()),
            ("end", ask.window.end_ns().div_euclid(1000).to_string()),
            ("limit", ask.limit.to_string()),
            ("raw", "true".to_owned()),
        ];
        match ask.outcome {
            Outcome::Any => {}
            Outcome::Failed => query.push(("tags", r#"{"error":"true"}"#.to_owned())),
            Outcome::SlowerThan(from_us) => query.push(("minDuration", format!("{from_us}us"))),
        }
        let answer = self.client.find("/api/traces", &query, "application/json").await?;
        if answer.not_found {
            return Ok(Found::none(true));
        }
        let mut told = json_of(&answer)?;
        let Some(Value::Array(traces)) = told.get_mut("data").map(Value::take) else {
            return Err(wrong(&answer, "no list `data` of traces, as Jaeger's API v1 has it"));
        };
        if traces.is_empty() {
            return Ok(Found::none(true));
        }
        let is_all = traces.len() < ask.limit;
        let mut bodies = BTreeMap::new();
        for trace in traces {
            let id = trace.get("traceID").and_then(Value::as_str).and_then(TraceId::from_hex);
            let id = id.ok_or_else(|| wrong(&answer, "a trace without a `traceID` of hexadecimal digits"))?;
            bodies.insert(id, json!({ "data": [trace] }).to_string().into_bytes());
        }
        Ok(Found::cut(bodies, facts(&answer.body, &answer.url, &self.service)?, Form::Json, is_all))
    }
}

impl TraceStore for Jaeger {
    async fn ask(&self, ask: Ask) -> Result<Found, LiveError> {
        match self.api {
            Api::V1 => self.v1(ask).await,
            Api::V3 => self.v3(ask).await,
        }
    }

    fn shortest_ns(&self) -> i64 {
        // v1 takes microseconds.
        1_000_000
    }
}

/// The spans of one resource, apart by trace; `None` where one does not tell its trace.
fn by_trace(resource: &Value) -> Option<BTreeMap<TraceId, Value>> {
    let mut of_traces: BTreeMap<TraceId, Vec<Value>> = BTreeMap::new();
    for scope in resource.get("scopeSpans").and_then(Value::as_array).into_iter().flatten() {
        let mut spans: BTreeMap<TraceId, Vec<&Value>> = BTreeMap::new();
        for span in scope.get("spans").and_then(Value::as_array).into_iter().flatten() {
            let id = span.get("traceId").and_then(Value::as_str).and_then(TraceId::from_hex)?;
            spans.entry(id).or_default().push(span);
        }
        for (id, spans) in spans {
            of_traces.entry(id).or_default().push(with(scope, "spans", json!(spans)));
        }
    }
    Some(of_traces.into_iter().map(|(id, scopes)| (id, with(resource, "scopeSpans", Value::Array(scopes)))).collect())
}

/// The object with another list.
fn with(object: &Value, list: &str, value: Value) -> Value {
    let others = object.as_object().into_iter().flatten().filter(|(key, _)| *key != list);
    let mut copy: Map<String, Value> = others.map(|(key, value)| (key.clone(), value.clone())).collect();
    copy.insert(list.to_owned(), value);
    Value::Object(copy)
}

pub(super) fn json_of(answer: &Answer) -> Result<Value, LiveError> {
    serde_json::from_slice(&answer.body).map_err(|error| wrong(answer, &format!("not valid JSON: {error}")))
}

pub(super) fn wrong(answer: &Answer, problem: &str) -> LiveError {
    LiveError::Answer { url: answer.url.clone(), problem: problem.to_owned() }
}
