//! Prometheus remote-write, health, and the receiver's own metrics.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;

use super::http::{http_status, retry_after};
use super::intake::{Intake, Refusal};

pub(super) fn router(intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/api/v1/write", post(remote_write))
        .route("/-/healthy", get(|| async { "healthy\n" }))
        // It answers only after its store is open.
        .route("/-/ready", get(|| async { "ready\n" }))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::disable())
        .with_state(intake)
}

async fn remote_write(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    if let Err(message) = check(request.headers()) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    }
    let held = Arc::new(intake.budget.hold());
    let taken = async {
        let packed = intake.read(request.into_body(), &held).await?;
        let malformed = |error: snap::Error| Refusal::Malformed(format!("the body is no snappy block: {error}"));
        let length = snap::raw::decompress_len(&packed).map_err(malformed)? as u64;
        if length > intake.max_request_bytes {
            return Err(Refusal::TooLarge { limit: intake.max_request_bytes });
        }
        held.grow(length)?;
        let payload = snap::raw::Decoder::new().decompress_vec(&packed).map_err(malformed)?;
        intake.take_remote_write(Bytes::from(payload), held).await
    }
    .await;
    intake.count(&taken);
    match taken {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => {
            let mut response = (http_status(&refusal), format!("{refusal}\n")).into_response();
            retry_after(Some(&refusal), &mut response);
            response
        }
    }
}

/// Remote-write 2.0 has another message under the same path, and asks to refuse with 415 what is not spoken.
fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content = text(header::CONTENT_TYPE);
    let mut parts = content.split(';').map(str::trim);
    let is_protobuf = parts.next() == Some("application/x-protobuf");
    if !is_protobuf || !parts.all(|part| part == "proto=prometheus.WriteRequest") {
        return Err("only remote-write 1.0 is spoken here: application/x-protobuf;proto=prometheus.WriteRequest\n");
    }
    if !matches!(text(header::CONTENT_ENCODING), "snappy" | "") {
        return Err("the body must be packed as a snappy block: Content-Encoding: snappy\n");
    }
    Ok(())
}

async fn metrics(State(intake): State<Arc<Intake>>) -> impl IntoResponse {
    let received = &intake.received;
    let own = [
        ("requests_accepted", "requests taken", &received.accepted),
        ("records_rejected", "spans, points and records that made no sense", &received.rejected),
        ("requests_refused", "requests refused for good", &received.refused),
        ("requests_deferred", "requests whose senders were told to try again", &received.deferred),
    ];
    let own = own.into_iter().map(|(name, help, value)| ("receiver", name, help, value.load(Ordering::Relaxed)));
    let stored = intake.store.counters().all().map(|(name, help, value)| ("store", name, help, value));
    let mut text = String::new();
    for (room, name, help, value) in own.chain(stored) {
        let name = format!("hypocenter_{room}_{name}_total");
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}").expect("memory takes text");
    }
    let (name, help) = ("hypocenter_receiver_memory_bytes", "bytes of requests that are in memory");
    let taken = intake.budget.taken();
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {taken}").expect("memory takes text");
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
