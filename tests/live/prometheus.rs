//! A small Prometheus that answers, refuses or keeps silent as a test says.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};

/// The distance of samples, seconds: as it is taken to be where nobody tells.
pub(crate) const STEP_S: i64 = 30;

/// A query for a range.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) metric: String,
    pub(crate) start_s: i64,
    pub(crate) end_s: i64,
}

impl Asked {
    pub(crate) fn points(&self) -> i64 {
        (self.end_s - self.start_s) / STEP_S + 1
    }
}

/// What becomes of it.
pub(crate) enum Reply {
    /// A series with samples from here on to there.
    Held(i64, i64),
    /// The same, of a server of which a part did not answer.
    Partial(i64, i64),
    /// A status and what is said.
    Refused(u16, &'static str),
    /// No answer at all.
    Never,
}

/// Serves metrics of these names.
pub(crate) fn prometheus(names: &[&str], reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Router {
    prometheus_until(names, || 0, reply)
}

/// The same; the newest sample of each is of the second that `newest_s` gives when it is asked for.
pub(crate) fn prometheus_until(
    names: &[&str],
    newest_s: impl Fn() -> i64 + Send + Sync + 'static,
    reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> Router {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let shared = Arc::new((names, newest_s, reply));
    let handle = move |request: Request| {
        let shared = shared.clone();
        async move {
            let path = request.uri().path().to_owned();
            let form = form(request).await;
            let (names, newest_s, reply) = &*shared;
            if path.ends_with("/values") {
                return success(json!(names));
            }
            if path.ends_with("/buildinfo") {
                return success(json!({ "version": "3.0.0" }));
            }
            if path.ends_with("/query") {
                let is_newest = form["query"].contains("timestamp");
                let of = |at_s: i64| json!({ "metric": {}, "value": [at_s, at_s.to_string()] });
                let result = if is_newest { vec![of(newest_s())] } else { Vec::new() };
                return success(json!({ "resultType": "vector", "result": result }));
            }
            let number = |key: &str| form[key].parse().unwrap();
            let metric = names.iter().find(|name| form["query"].contains(name.as_str())).unwrap().clone();
            let asked = Asked { metric, start_s: number("start"), end_s: number("end") };
            match reply(&asked) {
                Reply::Held(from_s, to_s) => success(matrix(&asked, from_s, to_s)),
                Reply::Partial(from_s, to_s) => {
                    let data = matrix(&asked, from_s, to_s);
                    json_answer(&json!({ "status": "success", "isPartial": true, "data": data }))
                }
                Reply::Refused(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
                Reply::Never => std::future::pending().await,
            }
        }
    };
    Router::new().fallback(any(handle))
}

async fn form(request: Request) -> BTreeMap<String, String> {
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let pairs = std::str::from_utf8(&body).unwrap().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn matrix(asked: &Asked, from_s: i64, to_s: i64) -> Value {
    let times = (0..asked.points()).map(|n| asked.start_s + n * STEP_S).filter(|at| (from_s..=to_s).contains(at));
    let values: Vec<Value> = times.map(|at| json!([at, (at % 100_000).to_string()])).collect();
    let series = json!({ "metric": { "__name__": asked.metric, "pod": "cart-0" }, "values": values });
    json!({ "resultType": "matrix", "result": if values.is_empty() { vec![] } else { vec![series] } })
}

fn success(data: Value) -> Response {
    json_answer(&json!({ "status": "success", "data": data }))
}

fn json_answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
