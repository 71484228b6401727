//! Pages to look at: the list of incidents, and one with its report. Without scripts; every text is escaped by the
//! templates.

use std::sync::LazyLock;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use minijinja::Environment;
use minijinja::value::Serde;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::incidents::{AlertJson, alert_json};
use super::problem::{Parameters, Problem, no_incident, number};
use super::{Shared, off_thread};
use crate::memory::{self, Condition, IncidentRecord, MemoryError, Search, Transaction};
use crate::timespec::rfc3339;

/// Incidents on the list.
const ROWS: u32 = 100;

static PAGES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    // By the ending of their names, texts are escaped for HTML.
    for (name, source) in [
        ("frame.html", include_str!("pages/frame.html")),
        ("list.html", include_str!("pages/list.html")),
        ("incident.html", include_str!("pages/incident.html")),
    ] {
        pages.add_template(name, source).expect("the pages of this program are well formed");
    }
    pages
});

/// Whatever a text from telemetry contains, a browser runs and fetches nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

fn page(name: &str, values: &serde_json::Value) -> Result<Response, Problem> {
    let html = PAGES.get_template(name).and_then(|template| template.render(Serde(values))).map_err(|error| {
        tracing::error!(%error, "a page cannot be made");
        Problem::Internal("this page met a defect; the log has more".to_owned())
    })?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Html(html)).into_response())
}

#[derive(Serialize)]
struct Row {
    id: i64,
    status: &'static str,
    title: String,
    entry: Option<String>,
    starts: String,
    ends: Option<String>,
    verdict: Option<String>,
    cause: Option<String>,
    percent: Option<String>,
    problem: Option<String>,
    confirmed: Option<String>,
}

fn row(transaction: &Transaction<'_>, incident: IncidentRecord) -> Result<Row, MemoryError> {
    let report = memory::latest_summary(transaction, incident.id)?;
    let problem = memory::last_failure(transaction, incident.id)?;
    let feedback = memory::feedback_of(transaction, incident.id)?;
    Ok(Row {
        id: incident.id,
        status: match incident.condition {
            Condition::Firing => "firing",
            Condition::Resolved => "resolved",
            Condition::Unheard => "not heard of any more",
        },
        entry: incident.entry,
        starts: rfc3339(incident.starts_ns),
        ends: incident.ends_ns.map(rfc3339),
        verdict: report.as_ref().map(|report| report.verdict.replace('_', " ")),
        cause: report.as_ref().and_then(|report| report.cause.clone()),
        percent: report.and_then(|report| report.probability).map(|p| format!("{:.0} %", p * 100.0)),
        problem,
        confirmed: feedback.map(|feedback| feedback.cause.unwrap_or_else(|| "false alarm".to_owned())),
        title: incident.title,
    })
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    search: Option<String>,
    before: Option<i64>,
}

pub(super) async fn list(
    State(responder): State<Shared>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Problem> {
    let Wanted { search: text, before } = wanted;
    let text = text.filter(|text| !text.is_empty());
    let search = Search { text: text.clone(), before_id: before, limit: ROWS, ..Search::default() };
    let rows = off_thread(&responder, move |responder| {
        responder.memory().read(|transaction| {
            let found = memory::search(transaction, &search)?;
            found.into_iter().map(|incident| row(transaction, incident)).collect::<Result<Vec<Row>, _>>()
        })
    });
    let rows = rows.await?;
    let next = rows.last().filter(|_| rows.len() == ROWS as usize).map(|row| row.id);
    page("list.html", &json!({ "rows": rows, "search": text, "next": next }))
}

#[derive(Deserialize)]
pub(super) struct WantedVersion {
    version: Option<u32>,
}

pub(super) async fn one(
    State(responder): State<Shared>,
    Path(id): Path<String>,
    Parameters(wanted): Parameters<WantedVersion>,
) -> Result<Response, Problem> {
    let id = number(&id)?;
    let found = off_thread(&responder, move |responder| {
        responder.memory().read(|transaction| {
            let Some(incident) = memory::incident(transaction, id)? else { return Ok(None) };
            let versions = memory::summaries(transaction, id)?;
            let shown = wanted.version.or(versions.last().map(|report| report.version));
            let shown = shown.map(|version| memory::report(transaction, id, version)).transpose()?.flatten();
            let versions: Vec<(u32, String)> =
                versions.iter().map(|report| (report.version, rfc3339(report.made_ns))).collect();
            let alerts: Vec<AlertJson> = memory::alerts_of(transaction, id)?.into_iter().map(alert_json).collect();
            let note = memory::feedback_of(transaction, id)?.map(|feedback| feedback.note);
            let sinks = memory::undelivered(transaction, id)?;
            Ok::<_, MemoryError>(Some((row(transaction, incident)?, shown, versions, alerts, note, sinks)))
        })
    });
    let (row, shown, versions, alerts, note, sinks) = found.await?.ok_or_else(|| no_incident(id))?;
    let report = shown.as_ref().map(|report| report.text.as_str());
    let version = shown.as_ref().map(|report| report.version);
    let values = json!({
        "row": row, "report": report, "version": version, "versions": versions, "alerts": alerts, "note": note, "sinks": sinks,
    });
    page("incident.html", &values)
}
