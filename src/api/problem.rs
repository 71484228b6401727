//! What went wrong, in the shape of Prometheus' API.

use std::str::FromStr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::rate::MOST;

/// Why a request is not answered with what it asks for.
#[derive(Debug)]
pub(super) enum Problem {
    /// The request makes no sense.
    BadData(String),
    /// What it asks for is not there.
    NotFound(String),
    /// The signature is missing or wrong.
    Unauthorized(String),
    /// It may not come from there.
    Forbidden(String),
    /// It is too long.
    TooLarge(String),
    /// It makes sense, but cannot be done with the telemetry that there is.
    Execution(String),
    /// Others have asked for so much lately.
    TooMany { after_seconds: u32 },
    /// Not now.
    Unavailable { problem: String, after_seconds: u32 },
    /// A defect.
    Internal(String),
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, kind, problem, after) = match self {
            Self::BadData(problem) => (StatusCode::BAD_REQUEST, "bad_data", problem, None),
            Self::NotFound(problem) => (StatusCode::NOT_FOUND, "not_found", problem, None),
            Self::Unauthorized(problem) => (StatusCode::UNAUTHORIZED, "unauthorized", problem, None),
            Self::Forbidden(problem) => (StatusCode::FORBIDDEN, "forbidden", problem, None),
            Self::TooLarge(problem) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", problem, None),
            Self::Execution(problem) => (StatusCode::UNPROCESSABLE_ENTITY, "execution", problem, None),
            Self::Unavailable { problem, after_seconds } => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", problem, Some(after_seconds))
            }
            Self::TooMany { after_seconds } => {
                let problem = format!(
                    "telemetry was read for {MOST} requests in this minute, which is the most: ask again in {after_seconds} s"
                );
                (StatusCode::TOO_MANY_REQUESTS, "unavailable", problem, Some(after_seconds))
            }
            Self::Internal(problem) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", problem, None),
        };
        let body = Json(json!({ "status": "error", "errorType": kind, "error": problem }));
        let mut response = (status, body).into_response();
        if let Some(seconds) = after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The whole body.
pub(super) struct Body(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection: BytesRejection| {
            match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::TooLarge("the body is too long for this path".to_owned()),
                _ => Problem::BadData(format!("the body cannot be read: {rejection}")),
            }
        })
    }
}

/// A body in JSON.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Body(bytes) = Body::from_request(request, state).await?;
        let wrong = |error: serde_json::Error| Problem::BadData(format!("the body does not fit: {error}"));
        serde_json::from_slice(&bytes).map(Self).map_err(wrong)
    }
}

/// The parameters of the query.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |rejection: QueryRejection| Problem::BadData(rejection.body_text());
        Query::<T>::from_request_parts(parts, state).await.map(|Query(found)| Self(found)).map_err(wrong)
    }
}

/// The number of an incident in a path.
pub(super) fn number(text: &str) -> Result<i64, Problem> {
    i64::from_str(text).map_err(|_syntax| no_incident(text))
}

pub(super) fn no_incident(id: impl std::fmt::Display) -> Problem {
    let id: String = id.to_string().chars().take(40).collect();
    Problem::NotFound(format!("there is no incident {id}: it never was, or was forgotten for its age"))
}
