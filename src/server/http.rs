//! OTLP over HTTP: protobuf and JSON, plain or gzip, answered in the encoding of the request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tower_http::decompression::RequestDecompressionLayer;

use super::intake::{Intake, Partial, RETRY_AFTER_SECONDS, Refusal};
use super::status;
use crate::ingest::{OtlpEncoding, OtlpSignal};

pub(super) fn router(intake: Arc<Intake>) -> Router {
    let export = |signal| {
        post(move |State(intake): State<Arc<Intake>>, request: Request| async move {
            export(signal, &intake, request).await
        })
    };
    Router::new()
        .route("/v1/traces", export(OtlpSignal::Traces))
        .route("/v1/metrics", export(OtlpSignal::Metrics))
        .route("/v1/logs", export(OtlpSignal::Logs))
        .layer(RequestDecompressionLayer::new())
        // The intake counts what the body unfolds to.
        .layer(DefaultBodyLimit::disable())
        .with_state(intake)
}

async fn export(signal: OtlpSignal, intake: &Intake, request: Request) -> Response {
    let Some(encoding) = encoding(request.headers()) else {
        let message = "the content type must be application/x-protobuf or application/json";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    };
    let held = Arc::new(intake.budget.hold());
    let taken = match intake.read(request.into_body(), &held, intake.max_request_bytes).await {
        Ok(payload) => intake.take_otlp(signal, encoding, payload, held).await,
        Err(refusal) => Err(refusal),
    };
    intake.count(&taken);
    answer(signal, encoding, &taken)
}

fn encoding(headers: &HeaderMap) -> Option<OtlpEncoding> {
    let content = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match content.split(';').next()?.trim() {
        "application/x-protobuf" => Some(OtlpEncoding::Protobuf),
        "application/json" => Some(OtlpEncoding::Json),
        _ => None,
    }
}

fn answer(signal: OtlpSignal, encoding: OtlpEncoding, taken: &Result<Option<Partial>, Refusal>) -> Response {
    let content = HeaderValue::from_static(match encoding {
        OtlpEncoding::Protobuf => "application/x-protobuf",
        OtlpEncoding::Json => "application/json",
    });
    let (code, body) = match (taken, encoding) {
        (Ok(partial), OtlpEncoding::Protobuf) => (StatusCode::OK, status::success(partial.as_ref())),
        (Ok(partial), OtlpEncoding::Json) => (StatusCode::OK, status::success_json(signal, partial.as_ref())),
        (Err(refusal), OtlpEncoding::Protobuf) => (http_status(refusal), status::failure(refusal)),
        (Err(refusal), OtlpEncoding::Json) => (http_status(refusal), status::failure_json(refusal)),
    };
    let mut response = (code, [(header::CONTENT_TYPE, content)], body).into_response();
    retry_after(taken.as_ref().err(), &mut response);
    response
}

pub(super) fn http_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Says when to try again, where that helps.
pub(super) fn retry_after(refusal: Option<&Refusal>, response: &mut Response) {
    if matches!(refusal, Some(Refusal::Overloaded(_))) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
}
