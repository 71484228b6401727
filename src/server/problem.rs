//! Errors of the web address, shaped as Prometheus shapes those of its API.

use std::any::Any;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer that says what went wrong: `{"status": "error", "errorType": …, "error": …}`.
pub(super) fn problem(status: StatusCode, error_type: &str, error: &str) -> Response {
    let body = json!({ "status": "error", "errorType": error_type, "error": error }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The answer to a request that panicked. What it panicked with is for the log, where it stands already.
pub(super) fn defect(_panic: Box<dyn Any + Send>) -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this request met a defect; the log has more")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_in_the_shape_of_prometheus_and_not_with_its_words() {
        async fn panics() -> StatusCode {
            panic!("hunter2")
        }
        let router = Router::new().route("/", get(panics)).layer(CatchPanicLayer::custom(defect));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body: serde_json::Value =
            serde_json::from_slice(&to_bytes(response.into_body(), 1_000).await.unwrap()).unwrap();
        assert_eq!((&body["status"], &body["errorType"]), (&json!("error"), &json!("internal")));
        assert!(!body.to_string().contains("hunter2"));
    }
}
