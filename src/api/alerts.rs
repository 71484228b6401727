//! Webhooks of Alertmanager and Grafana.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::problem::{Body, Problem};
use super::{Shared, Success, off_thread, signature};
use crate::ingest::read_webhook;
use crate::respond::{IntakeError, now_ns};

/// Alertmanager tries again what is answered with 5xx and nothing else: never 429.
impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Busy { .. } => Self::Unavailable { problem: error.to_string(), after_seconds: 30 },
            IntakeError::Memory(error) => error.into(),
        }
    }
}

pub(super) async fn take(
    State(responder): State<Shared>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let configuration = responder.configuration();
    if let Some(expected) = &configuration.settings.signature {
        signature::check(expected, &headers, &body, now_ns())?;
    }
    let of_body = Arc::clone(&configuration);
    let read = off_thread(&responder, move |_responder| {
        let service_labels = &of_body.origin.options.metrics.service_labels;
        read_webhook(&body, service_labels).map_err(|error| Problem::BadData(error.to_string()))
    });
    let webhook = read.await?;
    let odd = webhook.alerts.iter().filter(|alert| alert.is_none()).count();
    let truncated = webhook.truncated;
    let taken = off_thread(&responder, move |responder| responder.take(&webhook)).await?;
    let mut success = Success::new(json!({
        "new": taken.firing,
        "known": taken.known,
        "resolved": taken.resolved,
        "ended_before": taken.ended_before,
        "incidents": taken.incidents,
    }));
    if odd > 0 {
        success.warnings.push(format!("{odd} alerts are no objects with `labels` and `startsAt` and were skipped"));
    }
    if truncated > 0 {
        success.warnings.push(format!("the sender left out {truncated} alerts; raise `max_alerts` of the webhook"));
    }
    Ok(Json(success).into_response())
}
