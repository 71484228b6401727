//! What sinks are told of an incident, and when: each what it does not know yet. An update without news would only ring.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use super::analyse::Known;
use super::gather::GatherError;
use super::{Configuration, Responder};
use crate::explain::{Diagnosis, History, numbers};
use crate::memory::{self, About, AlertRecord, Condition, IncidentRecord, MemoryError, Origin, Outgoing, ReportRecord};
use crate::notify::{Failure, Message, Outcome, ReportBefore, Status};
use crate::telemetry::warning::with_causes;
use crate::timespec::rfc3339;

/// What each sink was told last of an incident.
type Told = BTreeMap<String, (About, Condition)>;

/// Why an analysis gave no report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    pub(super) problem: String,
    pub(super) next_step: &'static str,
}

impl Failed {
    /// With the telemetry.
    pub(super) fn of(error: &GatherError) -> Self {
        let error_and_causes: &dyn Error = error;
        Self { problem: with_causes(error_and_causes), next_step: error.next_step() }
    }

    /// In this program, on this machine.
    pub(super) fn here(problem: &str) -> Self {
        Self { problem: problem.to_owned(), next_step: "look into the log of `hypocenter serve`" }
    }

    /// For want of time.
    pub(super) fn too_slow(deadline: Duration) -> Self {
        Self {
            problem: format!("the analysis took longer than {} s", deadline.as_secs_f64()),
            next_step: "raise incidents.deadline, or lower incidents.longest and incidents.baseline, to read less",
        }
    }
}

/// The messages for the sinks that do not know what a report says.
pub(super) fn report(
    responder: &Responder,
    configuration: &Configuration,
    known: &Known,
    (condition, told): (Condition, &Told),
    diagnosis: &Diagnosis,
    history: &History,
) -> Vec<Outgoing> {
    let similar: Vec<String> = history.similar.iter().map(|earlier| earlier.sentence()).collect();
    let said = Said {
        incident: &known.incident,
        alerts: &known.alerts,
        condition,
        version: history.version,
        title: &diagnosis.name,
        outcome: Outcome::Report(diagnosis),
        similar: &similar,
        changed: &history.changed,
    };
    let is_news = |sink: &str| !history.changed.is_empty() || told.get(sink) != Some(&(About::Report, condition));
    said.to_sinks(responder, configuration, is_news)
}

/// The messages that an analysis has failed, for the sinks that were not told anything of the incident as it is now: one that
/// has a report of it keeps that.
pub(super) fn failure(responder: &Responder, incident: i64, failed: &Failed) -> Result<Vec<Outgoing>, MemoryError> {
    let recalled = responder.memory.read(|transaction| {
        let Some(incident) = memory::incident(transaction, incident)? else { return Ok(None) };
        let told = memory::told(transaction, incident.id)?;
        let before = memory::latest_report(transaction, incident.id)?;
        let again_ns = memory::due_again_ns(transaction, incident.id)?;
        let alerts = memory::alerts_of(transaction, incident.id)?;
        Ok::<_, MemoryError>(Some((incident, told, before, again_ns, alerts)))
    });
    let Some((incident, told, before, again_ns, alerts)) = recalled? else { return Ok(Vec::new()) };
    let again = again_ns.map(|due_ns| format!("wait: the next analysis is due at {}", rfc3339(due_ns)));
    let failure = Failure {
        problem: failed.problem.clone(),
        next_steps: [failed.next_step.to_owned()].into_iter().chain(again).collect(),
        starts_ns: incident.starts_ns,
        before: before.as_ref().map(report_before),
    };
    let said = Said {
        alerts: &alerts,
        condition: incident.condition,
        version: before.map_or(0, |before| before.version),
        title: &title(&incident),
        outcome: Outcome::Failure(&failure),
        similar: &[],
        changed: &[],
        incident: &incident,
    };
    let is_news = |sink: &str| told.get(sink).is_none_or(|(_, condition)| *condition != incident.condition);
    Ok(said.to_sinks(responder, &responder.configuration(), is_news))
}

/// What an incident is called: as its alert.
pub(super) fn title(incident: &IncidentRecord) -> String {
    match incident.title.as_str() {
        "" => format!("incident {}", incident.id),
        title => title.to_owned(),
    }
}

fn report_before(report: &ReportRecord) -> ReportBefore {
    let verdict = report.verdict.replace('_', " ");
    let headline = match (&report.cause, report.probability) {
        (Some(cause), Some(probability)) => format!("{verdict}: {cause} ({})", numbers::probability(probability)),
        _ => verdict,
    };
    ReportBefore { headline, markdown: report.markdown.clone(), text: report.text.clone() }
}

/// What there is to say, to whichever sink.
struct Said<'a> {
    incident: &'a IncidentRecord,
    alerts: &'a [AlertRecord],
    condition: Condition,
    version: u32,
    title: &'a str,
    outcome: Outcome<'a>,
    similar: &'a [String],
    changed: &'a [String],
}

impl Said<'_> {
    /// What each sink makes of it. Whoever asks for an analysis reads it where he asked.
    fn to_sinks(
        &self,
        responder: &Responder,
        configuration: &Configuration,
        is_news: impl Fn(&str) -> bool,
    ) -> Vec<Outgoing> {
        let sinks: Vec<_> = configuration.sinks.iter().filter(|sink| is_news(&sink.name)).collect();
        if self.incident.origin != Origin::Alert || sinks.is_empty() {
            return Vec::new();
        }
        let id = self.incident.id;
        let incident_id = format!("{}-{id}", responder.name);
        let url = configuration.settings.external_url.as_deref();
        let link = url.map(|url| format!("{}/incidents/{id}", url.trim_end_matches('/')));
        let names: BTreeSet<&str> = self.alerts.iter().map(|alert| alert.name.as_str()).collect();
        let alerts: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let title = match &self.incident.entry {
            Some(entry) => format!("{} at {entry}", self.title),
            None => self.title.to_owned(),
        };
        let message = Message {
            incident_id: &incident_id,
            version: self.version,
            status: match self.condition {
                Condition::Firing => Status::Open,
                Condition::Resolved => Status::Resolved,
                Condition::Unheard => Status::Unheard,
            },
            title: &title,
            alerts: &alerts,
            link: link.as_deref(),
            outcome: self.outcome,
            similar: self.similar,
            changed: self.changed,
            ticket: self.alerts.iter().find_map(|alert| alert.ticket.as_deref()),
        };
        let about = match self.outcome {
            Outcome::Report(_) => About::Report,
            Outcome::Failure(_) => About::Failure,
        };
        let outgoing = |sink: &crate::notify::Sink| Outgoing {
            sink: sink.name.clone(),
            incident: id,
            version: self.version,
            about,
            condition: self.condition,
            payload: sink.render(&message),
        };
        sinks.into_iter().map(outgoing).collect()
    }
}
