//! The service graph of a window.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::problem::{Parameters, Problem};
use super::{LONGEST_SECONDS, Shared, off_thread};
use crate::assemble::graph_of;
use crate::report::{GraphFormat, write_graph};
use crate::respond::{GatherError, now_ns};
use crate::telemetry::warning::with_causes;
use crate::timespec::parse_window;
use crate::windows::Chosen;

/// What an unspecified window is.
const DEFAULT: &str = "now-15m/now";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    window: Option<String>,
    baseline: Option<String>,
    format: Option<String>,
}

impl From<GatherError> for Problem {
    fn from(error: GatherError) -> Self {
        Self::Execution(with_causes(&error))
    }
}

pub(super) async fn graph(
    State(responder): State<Shared>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Problem> {
    let now_ns = now_ns();
    let window = |name: &str, text: &str| {
        let wrong = |problem: String| Problem::BadData(format!("parameter `{name}`: {problem}"));
        let window = parse_window(text, now_ns).map_err(|error| wrong(error.to_string()))?;
        match window.seconds() <= LONGEST_SECONDS {
            true => Ok(window),
            false => Err(wrong("a window has 24 hours at most".to_owned())),
        }
    };
    let incident = window("window", wanted.window.as_deref().unwrap_or(DEFAULT))?;
    let baselines = wanted.baseline.map(|text| window("baseline", &text)).transpose()?;
    let windows = Chosen { incident, baselines: baselines.into_iter().collect() };
    let (format, content_type) = match wanted.format.as_deref().unwrap_or("json") {
        "json" => (GraphFormat::Json, "application/json"),
        "dot" => (GraphFormat::Dot, "text/vnd.graphviz; charset=utf-8"),
        "mermaid" => (GraphFormat::Mermaid, "text/plain; charset=utf-8"),
        _ => {
            let problem = "parameter `format`: known are `json`, `dot` and `mermaid`";
            return Err(Problem::BadData(problem.to_owned()));
        }
    };
    let _turn = responder.turn().await;
    let text = off_thread(&responder, move |responder| {
        let mut telemetry = responder.telemetry(&windows)?;
        let (calls, graph, _) = graph_of(&mut telemetry, &windows.incident);
        let mut text = Vec::new();
        let compared = (!windows.baselines.is_empty()).then_some((&windows.incident, windows.baselines.as_slice()));
        write_graph(&graph, &calls, &telemetry.series, compared, format, &mut text)
            .expect("memory takes all that is written");
        Ok::<_, GatherError>(text)
    });
    Ok(([(header::CONTENT_TYPE, content_type)], text.await?).into_response())
}
