//! The HTTP API of `hypocenter serve`: alerts and changes in; incidents, reports and graphs out; and pages to look at.
//!
//! Answers have the shape of Prometheus' own API. `openapi.json` describes all of it; a test holds the two together.

mod alerts;
mod analyses;
mod changes;
mod graph;
mod incidents;
mod metrics;
mod pages;
mod problem;
mod rate;
mod signature;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::memory::MemoryError;
use crate::respond::Responder;

pub use metrics::metrics;
use problem::Problem;
use rate::Rate;

/// The description of this API, OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Most bytes of a request, except for alerts.
const MOST_BYTES: usize = 1 << 20;
/// Most bytes of a webhook: some thousand alerts.
const MOST_WEBHOOK_BYTES: usize = 4 << 20;

/// The longest window that is read for a request: its telemetry is held in memory.
const LONGEST_SECONDS: f64 = 24.0 * 3_600.0;
/// Webhooks that are read at the same time; senders of more try again.
const MOST_WEBHOOKS: usize = 32;

/// The path of webhooks.
const WEBHOOKS: &str = "/api/v1/alerts";

/// Most bytes of the body of a request to a path, for who reads it.
pub fn most_bytes(path: &str) -> u64 {
    (if path == WEBHOOKS { MOST_WEBHOOK_BYTES } else { MOST_BYTES }) as u64
}

type Shared = Arc<Responder>;

/// All paths with what they answer.
fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    let places = Arc::new(Semaphore::new(MOST_WEBHOOKS));
    let webhook = post(alerts::take).put(alerts::take).layer(DefaultBodyLimit::max(MOST_WEBHOOK_BYTES));
    let webhook = webhook.layer(middleware::from_fn(move |request: Request, next: Next| {
        let places = Arc::clone(&places);
        async move {
            match places.try_acquire() {
                Ok(_place) => next.run(request).await,
                Err(_none_left) => {
                    let problem = "too many webhooks at once: send it again later".to_owned();
                    Problem::Unavailable { problem, after_seconds: 5 }.into_response()
                }
            }
        }
    }));
    let rate = Arc::new(Rate::default());
    let reads_telemetry = |method: MethodRouter<Shared>| {
        let rate = Arc::clone(&rate);
        method.route_layer(middleware::from_fn(move |request: Request, next: Next| {
            let taken = rate.take(Instant::now());
            async move {
                match taken {
                    Ok(()) => next.run(request).await,
                    Err(after_seconds) => Problem::TooMany { after_seconds }.into_response(),
                }
            }
        }))
    };
    vec![
        (WEBHOOKS, webhook),
        ("/api/v1/incidents", get(incidents::list)),
        ("/api/v1/incidents/{id}", get(incidents::one)),
        ("/api/v1/incidents/{id}/report", get(incidents::report)),
        ("/api/v1/incidents/{id}/feedback", reads_telemetry(post(incidents::feedback).put(incidents::feedback))),
        ("/api/v1/analyses", reads_telemetry(post(analyses::ask))),
        ("/api/v1/changes", get(changes::list).post(changes::tell)),
        ("/api/v1/graph", reads_telemetry(get(graph::graph))),
        ("/api/v1/openapi.json", get(openapi)),
        ("/", get(pages::list)),
        ("/incidents", get(pages::list)),
        ("/incidents/{id}", get(pages::one)),
    ]
}

/// The routes, to be served with others.
pub fn router(responder: Shared) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method));
    let router = router.layer(DefaultBodyLimit::max(MOST_BYTES)).layer(middleware::from_fn(not_across_sites));
    router.with_state(responder)
}

/// On loopback nobody has to say who he is, so that any page in a browser on this machine could tell alerts: browsers say
/// of each request from which site it comes.
async fn not_across_sites(request: Request, next: Next) -> Response {
    if is_across_sites(&request) && !request.method().is_safe() {
        return Problem::Forbidden("this comes from a page of another site".to_owned()).into_response();
    }
    next.run(request).await
}

fn is_across_sites(request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host_of_origin = header("origin").map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    host_of_origin.is_some_and(|origin| header("host") != Some(origin))
        || header("sec-fetch-site").is_some_and(|site| matches!(site, "cross-site" | "same-site"))
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

/// What went well.
#[derive(Serialize)]
struct Success<T> {
    status: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl<T> Success<T> {
    fn new(data: T) -> Self {
        Self { status: "success", data, warnings: Vec::new() }
    }
}

/// Does work that waits for the disk.
async fn off_thread<T, E>(
    responder: &Shared,
    work: impl FnOnce(&Responder) -> Result<T, E> + Send + 'static,
) -> Result<T, Problem>
where
    T: Send + 'static,
    E: Into<Problem> + Send + 'static,
{
    let responder = Arc::clone(responder);
    match spawn_blocking(move || work(&responder)).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) => {
            tracing::error!(%error, "a request has panicked");
            Err(Problem::Internal("this request met a defect; the log has more".to_owned()))
        }
    }
}

impl From<MemoryError> for Problem {
    fn from(error: MemoryError) -> Self {
        tracing::error!(%error, "the memory of incidents failed");
        Self::Unavailable { problem: error.to_string(), after_seconds: 5 }
    }
}

#[cfg(test)]
mod tests;
