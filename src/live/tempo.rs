//! Tempo: TraceQL finds the ids, and each trace is fetched by its own.
//!
//! Traces are asked for in protobuf, which is OTLP; a server or proxy that gives JSON all the same is understood, in either
//! of its dialects. Searches are in whole seconds. Reference: Tempo documentation, "HTTP API"; `tempo.proto`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use prost::Message;
use serde_json::Value;
use tokio::task::JoinSet;

use super::LiveError;
use super::client::Client;
use super::jaeger::{json_of, wrong};
use super::traces::{Ask, Form, Found, Outcome, TraceStore, facts};
use crate::telemetry::id::TraceId;
use crate::telemetry::time::NANOS_PER_SECOND;

/// A Tempo and the service whose traces are asked for.
pub(super) struct Tempo {
    shared: Arc<Shared>,
}

struct Shared {
    client: Arc<Client>,
    service: String,
    /// Whether `/api/v2/traces` is not there (before Tempo 2.7).
    is_old: AtomicBool,
    /// Traces that a search found and that were not there when asked for.
    gone: AtomicUsize,
    /// Traces of which the server says that they are not whole.
    partial: AtomicUsize,
}

/// The answer of `/api/v2/traces/{id}`; the trace itself stays as it is.
#[derive(Clone, PartialEq, Message)]
struct TraceById {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    /// 1: partial.
    #[prost(int32, tag = "3")]
    status: i32,
}

impl Tempo {
    /// Also the services that it knows.
    pub(super) async fn connect(client: Arc<Client>, service: &str) -> Result<(Self, Vec<String>), LiveError> {
        let answer = client.get("/api/search/tag/service.name/values", &[]).await?;
        let told = json_of(&answer)?;
        let values = told.get("tagValues").and_then(Value::as_array);
        let values = values.ok_or_else(|| wrong(&answer, "no list `tagValues`, as Tempo's API has it"))?;
        let mut services: Vec<String> = values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
        services.sort();
        let shared = Shared {
            client,
            service: service.to_owned(),
            is_old: AtomicBool::new(false),
            gone: AtomicUsize::new(0),
            partial: AtomicUsize::new(0),
        };
        Ok((Self { shared: Arc::new(shared) }, services))
    }

    /// What was odd so far.
    pub(super) fn warnings(&self) -> Vec<String> {
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        let (gone, partial) = (count(&self.shared.gone), count(&self.shared.partial));
        let gone =
            (gone > 0).then(|| format!("tempo: {gone} traces that a search found could not be fetched by their id"));
        let partial = (partial > 0).then(|| {
            format!("tempo: {partial} traces are partial: they are too large, or a part of the storage did not answer")
        });
        gone.into_iter().chain(partial).collect()
    }
}

impl Shared {
    /// Fetches one trace; nothing where it is gone.
    async fn fetch(&self, id: TraceId) -> Result<Found, LiveError> {
        if !self.is_old.load(Ordering::Relaxed) {
            let answer = self.client.find(&format!("/api/v2/traces/{id}"), &[], PROTOBUF).await?;
            if !answer.not_found {
                return self.understood(id, answer.is_protobuf, true, &answer.url, answer.body);
            }
        }
        let answer = self.client.find(&format!("/api/traces/{id}"), &[], PROTOBUF).await?;
        if answer.not_found {
            self.gone.fetch_add(1, Ordering::Relaxed);
            return Ok(Found::none(true));
        }
        // It has the trace, and has it not at the new address: there is no such address.
        self.is_old.store(true, Ordering::Relaxed);
        self.understood(id, answer.is_protobuf, false, &answer.url, answer.body)
    }

    fn understood(
        &self,
        id: TraceId,
        is_protobuf: bool,
        is_wrapped: bool,
        url: &str,
        body: Vec<u8>,
    ) -> Result<Found, LiveError> {
        let broken = |problem: String| LiveError::Answer { url: url.to_owned(), problem };
        let (form, body, is_partial) = if !is_protobuf {
            let told: Value =
                serde_json::from_slice(&body).map_err(|error| broken(format!("not valid JSON: {error}")))?;
            (Form::Json, body, told.get("status").and_then(Value::as_str) == Some("PARTIAL"))
        } else if is_wrapped {
            let told = TraceById::decode(body.as_slice()).map_err(|error| broken(format!("not a trace: {error}")))?;
            (Form::Protobuf, told.trace, told.status == 1)
        } else {
            (Form::Protobuf, body, false)
        };
        self.partial.fetch_add(usize::from(is_partial), Ordering::Relaxed);
        let facts = facts(&body, url, &self.service)?;
        Ok(Found::cut(BTreeMap::from([(id, body)]), facts, form, true))
    }
}

const PROTOBUF: &str = "application/protobuf";

impl TraceStore for Tempo {
    async fn ask(&self, ask: Ask) -> Result<Found, LiveError> {
        let service = Value::String(self.shared.service.clone());
        let condition = match ask.outcome {
            Outcome::Any => String::new(),
            Outcome::Failed => " && status = error".to_owned(),
            Outcome::SlowerThan(from_us) => format!(" && duration >= {from_us}us"),
        };
        let query = [
            ("q", format!("{{ resource.service.name = {service}{condition} }}")),
            ("start", ask.window.start_ns().div_euclid(NANOS_PER_SECOND).to_string()),
            ("end", ((ask.window.end_ns() - 1).div_euclid(NANOS_PER_SECOND) + 1).to_string()),
            ("limit", ask.limit.to_string()),
            ("spss", "1".to_owned()),
        ];
        let answer = self.shared.client.get("/api/search", &query).await?;
        let told = json_of(&answer)?;
        let found = told.get("traces").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut ids = BTreeSet::new();
        for trace in found {
            let id = trace.get("traceID").and_then(Value::as_str).and_then(TraceId::from_hex);
            ids.insert(id.ok_or_else(|| wrong(&answer, "a trace without a `traceID` of hexadecimal digits"))?);
        }
        if found.len() >= ask.limit {
            // They would be thrown away.
            return Ok(Found::none(false));
        }
        let mut tasks = JoinSet::new();
        for id in ids {
            let shared = self.shared.clone();
            tasks.spawn(async move { shared.fetch(id).await });
        }
        let mut found = Found::none(true);
        for one in tasks.join_all().await {
            let one = one?;
            found.traces.extend(one.traces);
            found.unreadable.extend(one.unreadable);
        }
        Ok(found)
    }

    fn shortest_ns(&self) -> i64 {
        NANOS_PER_SECOND
    }
}
