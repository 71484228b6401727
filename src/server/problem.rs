//! Errors of the web address, shaped as Prometheus shapes those of its API.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer that says what went wrong: `{"status": "error", "errorType": …, "error": …}`.
pub(super) fn problem(status: StatusCode, error_type: &str, error: &str) -> Response {
    let body = json!({ "status": "error", "errorType": error_type, "error": error }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
