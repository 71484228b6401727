//! Incidents: listing, looking at one, its reports, and the true cause afterwards.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::problem::{JsonBody, Parameters, Problem, no_incident, number};
use super::{Shared, Success, off_thread};
use crate::memory::{
    self, AlertRecord, Condition, Feedback, IncidentRecord, MemoryError, ReportSummary, Search, Transaction,
};
use crate::respond::now_ns;
use crate::telemetry::warning::with_causes;
use crate::timespec::{parse_time, rfc3339};

/// Incidents on a page, unless asked otherwise.
const PAGE: u32 = 50;
const MOST_ON_PAGE: u32 = 500;
/// Longest note or name that is given with a cause.
const MOST_CHARACTERS: usize = 4_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    status: Option<String>,
    service: Option<String>,
    search: Option<String>,
    from: Option<String>,
    to: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

impl Wanted {
    fn checked(self, now_ns: i64) -> Result<Search, Problem> {
        let time = |name: &str, text: Option<String>| {
            let wrong = |error| Problem::BadData(format!("parameter `{name}`: {error}"));
            text.map(|text| parse_time(&text, now_ns)).transpose().map_err(wrong)
        };
        let condition = self.status.map(|word| {
            let wrong =
                || Problem::BadData("parameter `status`: known are `firing`, `resolved` and `unheard`".to_owned());
            Condition::of_word(&word).ok_or_else(wrong)
        });
        Ok(Search {
            condition: condition.transpose()?,
            service: self.service,
            text: self.search,
            from_ns: time("from", self.from)?,
            to_ns: time("to", self.to)?,
            before_id: self.before,
            limit: self.limit.unwrap_or(PAGE).clamp(1, MOST_ON_PAGE),
        })
    }
}

#[derive(Serialize)]
struct IncidentJson {
    id: String,
    status: &'static str,
    origin: &'static str,
    title: String,
    entry: Option<String>,
    symptom: Option<String>,
    starts_at: String,
    ends_at: Option<String>,
    updated_at: String,
    /// Why the last analysis gave no report.
    problem: Option<String>,
    report: Option<ReportJson>,
    feedback: Option<FeedbackJson>,
}

#[derive(Serialize)]
struct ReportJson {
    version: u32,
    made_at: String,
    verdict: String,
    cause: Option<String>,
    probability: Option<f64>,
    changed: Vec<String>,
}

#[derive(Serialize)]
struct FeedbackJson {
    cause: Option<String>,
    note: String,
    given_at: String,
}

#[derive(Serialize)]
struct WholeJson {
    #[serde(flatten)]
    incident: IncidentJson,
    alerts: Vec<AlertJson>,
    versions: Vec<ReportJson>,
    not_delivered: Vec<SinkJson>,
}

#[derive(Serialize)]
pub(super) struct AlertJson {
    name: String,
    service: Option<String>,
    starts_at: String,
    ends_at: Option<String>,
    expression: Option<String>,
    summary: Option<String>,
    ticket: Option<String>,
}

#[derive(Serialize)]
struct SinkJson {
    sink: String,
    problem: Option<String>,
}

impl From<ReportSummary> for ReportJson {
    fn from(report: ReportSummary) -> Self {
        let ReportSummary { version, made_ns, verdict, cause, probability, changed } = report;
        Self { version, made_at: rfc3339(made_ns), verdict, cause, probability, changed }
    }
}

fn incident_json(transaction: &Transaction<'_>, incident: IncidentRecord) -> Result<IncidentJson, MemoryError> {
    let feedback = |Feedback { cause, note, given_ns }| FeedbackJson { cause, note, given_at: rfc3339(given_ns) };
    Ok(IncidentJson {
        id: incident.id.to_string(),
        status: incident.condition.word(),
        origin: incident.origin.word(),
        starts_at: rfc3339(incident.starts_ns),
        ends_at: incident.ends_ns.map(rfc3339),
        updated_at: rfc3339(incident.updated_ns),
        problem: memory::last_failure(transaction, incident.id)?,
        report: memory::latest_summary(transaction, incident.id)?.map(ReportJson::from),
        feedback: memory::feedback_of(transaction, incident.id)?.map(feedback),
        title: incident.title,
        entry: incident.entry,
        symptom: incident.symptom,
    })
}

pub(super) fn alert_json(alert: AlertRecord) -> AlertJson {
    AlertJson {
        name: alert.name,
        service: alert.service,
        starts_at: rfc3339(alert.starts_ns),
        ends_at: alert.ends_ns.map(rfc3339),
        expression: alert.expression,
        summary: alert.summary,
        ticket: alert.ticket,
    }
}

pub(super) async fn list(
    State(responder): State<Shared>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Problem> {
    let search = wanted.checked(now_ns())?;
    let found = off_thread(&responder, move |responder| {
        responder.memory().read(|transaction| {
            let found = memory::search(transaction, &search)?;
            found.into_iter().map(|incident| incident_json(transaction, incident)).collect::<Result<Vec<_>, _>>()
        })
    });
    Ok(Json(Success::new(found.await?)).into_response())
}

pub(super) async fn one(State(responder): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = number(&id)?;
    let found = off_thread(&responder, move |responder| {
        responder.memory().read(|transaction| {
            let Some(incident) = memory::incident(transaction, id)? else { return Ok(None) };
            let sinks = memory::undelivered(transaction, id)?;
            Ok::<_, MemoryError>(Some(WholeJson {
                alerts: memory::alerts_of(transaction, id)?.into_iter().map(alert_json).collect(),
                versions: memory::summaries(transaction, id)?.into_iter().map(ReportJson::from).collect(),
                not_delivered: sinks.into_iter().map(|(sink, problem)| SinkJson { sink, problem }).collect(),
                incident: incident_json(transaction, incident)?,
            }))
        })
    });
    let whole = found.await?.ok_or_else(|| no_incident(id))?;
    Ok(Json(Success::new(whole)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedReport {
    format: Option<String>,
    version: Option<u32>,
}

pub(super) async fn report(
    State(responder): State<Shared>,
    Path(id): Path<String>,
    Parameters(wanted): Parameters<WantedReport>,
) -> Result<Response, Problem> {
    let id = number(&id)?;
    let found = off_thread(&responder, move |responder| {
        responder.memory().read(|transaction| {
            let report = match wanted.version {
                Some(version) => memory::report(transaction, id, version)?,
                None => memory::latest_report(transaction, id)?,
            };
            let is_known = memory::incident(transaction, id)?.is_some();
            Ok::<_, MemoryError>((report, is_known, memory::last_failure(transaction, id)?))
        })
    });
    let report = match found.await? {
        (Some(report), ..) => report,
        (None, false, _) => return Err(no_incident(id)),
        (None, true, problem) => {
            let why = problem.unwrap_or_else(|| "it is not made yet".to_owned());
            return Err(Problem::NotFound(format!("incident {id} has no such report: {why}")));
        }
    };
    let (content_type, text) = match wanted.format.as_deref().unwrap_or("json") {
        "json" => ("application/json", report.json),
        "markdown" => ("text/markdown; charset=utf-8", report.markdown),
        "text" => ("text/plain; charset=utf-8", report.text),
        _ => {
            let problem = "parameter `format`: known are `json`, `markdown` and `text`";
            return Err(Problem::BadData(problem.to_owned()));
        }
    };
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    cause: Option<String>,
    #[serde(default)]
    false_alarm: bool,
    #[serde(default)]
    note: String,
}

#[derive(Serialize)]
struct Kept {
    /// Where its telemetry is kept for `eval` and `train`.
    case: Option<String>,
}

pub(super) async fn feedback(
    State(responder): State<Shared>,
    Path(id): Path<String>,
    JsonBody(told): JsonBody<Told>,
) -> Result<Response, Problem> {
    let id = number(&id)?;
    let cause = told.cause.map(|cause| cause.trim().to_owned()).filter(|cause| !cause.is_empty());
    let wrong = |problem: &str| Err(Problem::BadData(problem.to_owned()));
    match (&cause, told.false_alarm) {
        (None, false) => return wrong("give `cause` with the name of a service, or `false_alarm: true`"),
        (Some(_), true) => return wrong("a false alarm has no `cause`: give one of both"),
        _ => {}
    }
    let length = told.note.chars().count().max(cause.as_deref().map_or(0, |cause| cause.chars().count()));
    if length > MOST_CHARACTERS {
        return wrong("`cause` and `note` have 4,000 characters at most");
    }
    let feedback = Feedback { cause, note: told.note, given_ns: now_ns() };
    let _turn = responder.turn().await;
    let kept = off_thread(&responder, move |responder| responder.feedback(id, &feedback)).await?;
    let mut success = Success::new(Kept { case: None });
    match kept.ok_or_else(|| no_incident(id))? {
        Ok(folder) => success.data.case = Some(folder.display().to_string()),
        Err(error) => {
            success.warnings.push(format!("the cause is kept, but not the telemetry: {}", with_causes(&error)));
        }
    }
    Ok((StatusCode::OK, Json(success)).into_response())
}
