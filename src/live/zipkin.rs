//! Zipkin's API v2. Its times are in milliseconds and its names of services in small letters.
//! Reference: `zipkin2-api.yaml`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::LiveError;
use super::client::Client;
use super::jaeger::{json_of, wrong};
use super::traces::{Ask, Form, Found, Outcome, TraceStore, facts};
use crate::telemetry::id::TraceId;

const NANOS_PER_MILLISECOND: i64 = 1_000_000;

/// A Zipkin and the service whose traces are asked for.
pub(super) struct Zipkin {
    client: Arc<Client>,
    service: String,
}

impl Zipkin {
    /// Also the services that it knows.
    pub(super) async fn connect(client: Arc<Client>, service: &str) -> Result<(Self, Vec<String>), LiveError> {
        let answer = client.get("/api/v2/services", &[]).await?;
        let services: Vec<String> = serde_json::from_slice(&answer.body)
            .map_err(|error| wrong(&answer, &format!("not the list of services of Zipkin's API v2: {error}")))?;
        Ok((Self { client, service: service.to_lowercase() }, services))
    }
}

impl TraceStore for Zipkin {
    async fn ask(&self, ask: Ask) -> Result<Found, LiveError> {
        let start_ms = ask.window.start_ns().div_euclid(NANOS_PER_MILLISECOND);
        let end_ms = (ask.window.end_ns() - 1).div_euclid(NANOS_PER_MILLISECOND) + 1;
        let mut query = vec![
            ("serviceName", self.service.clone()),
            ("endTs", end_ms.to_string()),
            ("lookback", (end_ms - start_ms).to_string()),
            ("limit", ask.limit.to_string()),
        ];
        match ask.outcome {
            Outcome::Any => {}
            Outcome::Failed => query.push(("annotationQuery", "error".to_owned())),
            Outcome::SlowerThan(from_us) => query.push(("minDuration", from_us.to_string())),
        }
        let answer = self.client.get("/api/v2/traces", &query).await?;
        let Value::Array(traces) = json_of(&answer)? else {
            return Err(wrong(&answer, "no list of traces, as Zipkin's API v2 has it"));
        };
        let is_all = traces.len() < ask.limit;
        if traces.is_empty() {
            return Ok(Found::none(is_all));
        }
        let mut bodies = BTreeMap::new();
        for trace in traces {
            let id = trace.get(0).and_then(|span| span.get("traceId")).and_then(Value::as_str);
            let id = id.and_then(TraceId::from_hex);
            let id = id.ok_or_else(|| wrong(&answer, "a trace without a `traceId` of hexadecimal digits"))?;
            bodies.insert(id, trace.to_string().into_bytes());
        }
        Ok(Found::cut(bodies, facts(&answer.body, &answer.url, &self.service)?, Form::Json, is_all))
    }

    fn shortest_ns(&self) -> i64 {
        2 * NANOS_PER_MILLISECOND
    }
}
