//! Changes (deploys, settings, flags) as people and pipelines tell them.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::problem::{Body, Parameters, Problem};
use super::{Shared, Success, off_thread};
use crate::ingest::{Format, ReadOptions, read_bytes_as};
use crate::memory;
use crate::respond::now_ns;
use crate::telemetry::change::Change;
use crate::telemetry::time::Window;
use crate::timespec::{parse_time, rfc3339};

/// What is told is taken as a file with a list of changes would be; nothing of it, if any of it makes no sense.
pub(super) async fn tell(State(responder): State<Shared>, Body(body): Body) -> Result<Response, Problem> {
    if body.trim_ascii().is_empty() {
        return Err(Problem::BadData("the body is empty: give a change or a list of changes".to_owned()));
    }
    let read = read_bytes_as(Format::ChangesJson, Path::new("body"), &body, &ReadOptions::default());
    if read.changes.is_empty() || read.skipped > 0 {
        let problems: Vec<String> = read.warnings.iter().take(5).map(ToString::to_string).collect();
        let problems = if problems.is_empty() { "the body holds no change".to_owned() } else { problems.join("; ") };
        return Err(Problem::BadData(problems));
    }
    let warnings = read.warnings.iter().take(5).map(ToString::to_string).collect();
    let changes = read.changes;
    let told = changes.len();
    let new = off_thread(&responder, move |responder| responder.tell_changes(&changes)).await?;
    let success = Success { warnings, ..Success::new(json!({ "new": new, "known": told - new })) };
    Ok(Json(success).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    from: Option<String>,
    to: Option<String>,
}

#[derive(Serialize)]
struct ChangeJson {
    time: String,
    service: Option<String>,
    kind: &'static str,
    version: String,
    description: String,
}

impl From<Change> for ChangeJson {
    fn from(change: Change) -> Self {
        Self {
            time: rfc3339(change.at_ns),
            service: change.service.map(|service| service.to_string()),
            kind: change.kind.word(),
            version: change.version,
            description: change.description,
        }
    }
}

pub(super) async fn list(
    State(responder): State<Shared>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Problem> {
    let now_ns = now_ns();
    let time = |name: &str, text: Option<String>, default: &str| {
        let wrong = |error| Problem::BadData(format!("parameter `{name}`: {error}"));
        parse_time(text.as_deref().unwrap_or(default), now_ns).map_err(wrong)
    };
    let (from_ns, to_ns) = (time("from", wanted.from, "now-24h")?, time("to", wanted.to, "now")?);
    let empty = |_| Problem::BadData("parameter `to` must be later than `from`".to_owned());
    let window = Window::new(from_ns, to_ns).map_err(empty)?;
    let found =
        off_thread(&responder, move |responder| responder.memory().read(|t| memory::changes_in(t, &window))).await?;
    let changes: Vec<ChangeJson> = found.into_iter().map(ChangeJson::from).collect();
    Ok(Json(Success::new(changes)).into_response())
}
