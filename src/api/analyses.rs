//! Asking for the analysis of a window.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::problem::{JsonBody, Problem};
use super::{LONGEST_SECONDS, Shared, Success, off_thread};
use crate::respond::{Asked, now_ns};
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::Window;
use crate::timespec::{parse_window, window_text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    incident: String,
    #[serde(default)]
    baselines: Vec<String>,
    entry: Option<String>,
    symptom: Option<String>,
    title: Option<String>,
}

/// Most baselines of one analysis.
const MOST_BASELINES: usize = 20;

impl Wanted {
    fn checked(self, now_ns: i64) -> Result<Asked, Problem> {
        let wrong = |problem: String| Problem::BadData(problem);
        let window = |field: &str, text: &str| {
            let window = parse_window(text, now_ns).map_err(|error| wrong(format!("`{field}`: {error}")))?;
            match window.seconds() <= LONGEST_SECONDS {
                true => Ok(window),
                false => Err(wrong(format!("`{field}`: a window has 24 hours at most"))),
            }
        };
        let incident = window("incident", &self.incident)?;
        if self.baselines.len() > MOST_BASELINES {
            return Err(wrong(format!("`baselines`: {MOST_BASELINES} at most")));
        }
        let baselines =
            self.baselines.iter().map(|text| window("baselines", text)).collect::<Result<Vec<Window>, _>>()?;
        if let Some(overlapping) = baselines.iter().find(|baseline| baseline.overlaps(&incident)) {
            let text = window_text(overlapping);
            return Err(wrong(format!("`baselines`: {text} overlaps the incident: move or shorten one of them")));
        }
        let unknown = || wrong("`symptom`: known are `latency` and `errors`".to_owned());
        let symptom = self.symptom.map(|word| Symptom::of_word(&word).ok_or_else(unknown)).transpose()?;
        let entry = self.entry.filter(|entry| !entry.is_empty());
        let title = self.title.filter(|title| !title.is_empty());
        let title = title.unwrap_or_else(|| format!("analysis of {}", entry.as_deref().unwrap_or("a window")));
        Ok(Asked {
            title: title.chars().take(200).collect(),
            incident,
            baselines,
            entry: entry.as_deref().map(ServiceId::new),
            symptom,
        })
    }
}

pub(super) async fn ask(
    State(responder): State<Shared>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, Problem> {
    let asked = wanted.checked(now_ns())?;
    let id = off_thread(&responder, move |responder| responder.ask(&asked)).await?;
    Ok((StatusCode::ACCEPTED, Json(Success::new(json!({ "id": id.to_string() })))).into_response())
}
