//! Prometheus remote-write, health, reload, and the receiver's own metrics.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::http::{http_status, retry_after};
use super::intake::{Intake, Refusal};
use super::metrics::Metrics;
use super::problem::problem;
use super::reload::Reload;

const TOO_LARGE: &str = "too_large";

/// The routes of the web address. Without `lifecycle` nobody can ask for a reload over HTTP.
pub(super) fn router(intake: Arc<Intake>, metrics: Arc<Metrics>, lifecycle: Option<Reload>, api: Router) -> Router {
    let reload = move || reload(lifecycle.clone());
    let metrics = move || async move {
        let text = spawn_blocking(move || metrics.text()).await.unwrap_or_default();
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
    };
    let own = Router::new()
        .route("/api/v1/write", post(remote_write))
        .route("/-/healthy", get(|| async { "healthy\n" }))
        // It answers only after its store is open.
        .route("/-/ready", get(|| async { "ready\n" }))
        .route("/-/reload", post(reload.clone()).put(reload))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::disable())
        .with_state(intake);
    own.merge(api).fallback(no_such_path).method_not_allowed_fallback(no_such_method)
}

async fn no_such_path(request: Request) -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", &format!("nothing is served at {}", request.uri().path()))
}

async fn no_such_method(request: Request) -> Response {
    let message = format!("{} is not served at {}", request.method(), request.uri().path());
    problem(StatusCode::METHOD_NOT_ALLOWED, "bad_data", &message)
}

async fn reload(lifecycle: Option<Reload>) -> Response {
    let Some(reload) = lifecycle else {
        let message = "a reload over HTTP is not enabled (--web.enable-lifecycle); SIGHUP does the same";
        return problem(StatusCode::FORBIDDEN, "forbidden", message);
    };
    match reload.request().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", &format!("not reloaded: {error}")),
    }
}

/// What is served beside the receiver: most bytes of a body, by the path.
#[derive(Clone)]
pub(super) struct Beside {
    pub(super) intake: Arc<Intake>,
    pub(super) most_bytes: fn(&str) -> u64,
}

/// Reads the body of a request to what is served beside the receiver, so that it counts like one of telemetry until it is
/// answered.
pub(super) async fn within_the_memory_limit(
    State(Beside { intake, most_bytes }): State<Beside>,
    request: Request,
    next: Next,
) -> Response {
    let held = intake.budget.hold();
    let (parts, body) = request.into_parts();
    let most = most_bytes(parts.uri.path());
    match intake.read(body, &held, most.min(intake.max_request_bytes)).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(Refusal::TooLarge { limit }) if limit == most => {
            let message = format!("the body has more than {limit} bytes, which is the most for this path");
            problem(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE, &message)
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let error_type = match refusal {
        Refusal::Malformed(_) => "bad_data",
        Refusal::TooLarge { .. } => TOO_LARGE,
        Refusal::Overloaded(_) => "unavailable",
    };
    let mut response = problem(http_status(refusal), error_type, &refusal.to_string());
    retry_after(Some(refusal), &mut response);
    response
}

async fn remote_write(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    if let Err(message) = check(request.headers()) {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_data", message);
    }
    let held = Arc::new(intake.budget.hold());
    let taken = async {
        let packed = intake.read(request.into_body(), &held, intake.max_request_bytes).await?;
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
        Err(refusal) => refused(&refusal),
    }
}

/// Remote-write 2.0 has another message under the same path, and asks to refuse with 415 what is not spoken.
fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content = text(header::CONTENT_TYPE);
    let mut parts = content.split(';').map(str::trim);
    let is_protobuf = parts.next() == Some("application/x-protobuf");
    if !is_protobuf || !parts.all(|part| part == "proto=prometheus.WriteRequest") {
        return Err("only remote-write 1.0 is spoken here: application/x-protobuf;proto=prometheus.WriteRequest");
    }
    if !matches!(text(header::CONTENT_ENCODING), "snappy" | "") {
        return Err("the body must be packed as a snappy block: Content-Encoding: snappy");
    }
    Ok(())
}
