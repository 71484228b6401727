//! Alerts in: which of them are new, and to which incident they belong.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::related::Calls;
use super::{Settings, nanoseconds};
use crate::ingest::{Webhook, WebhookAlert};
use crate::memory::{self, AlertRecord, Condition, IncidentRecord, Memory, MemoryError, Origin, Reason, Transaction};
use crate::telemetry::alert::{Alert, Symptom};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::Window;
use crate::timespec::window_text;

/// What became of the alerts of a webhook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// New ones.
    pub firing: u64,
    /// Known ones of which nothing is new.
    pub known: u64,
    /// Known ones that have ended.
    pub resolved: u64,
    /// Such as had ended before they were heard of.
    pub ended_before: u64,
    /// Incidents that began.
    pub incidents: u64,
}

/// Why alerts were not taken; none of them was.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Too much waits.
    #[error("{waiting} incidents wait for their analysis: send it again later")]
    Busy {
        /// Incidents that wait.
        waiting: usize,
    },
    /// The disk is full or broken.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// An analysis that somebody asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// For reports.
    pub title: String,
    /// When users felt it.
    pub incident: Window,
    /// Normal operation; empty for the derived one.
    pub baselines: Vec<Window>,
    /// Where users felt it.
    pub entry: Option<ServiceId>,
    /// What they felt.
    pub symptom: Option<Symptom>,
}

/// Takes all alerts or none.
pub(super) fn take(memory: &Memory, webhook: &Webhook, settings: &Settings, now_ns: i64) -> Result<Taken, IntakeError> {
    // Most of what comes was there before: that needs no write, and nobody waits for the disk.
    let identities: Vec<String> =
        webhook.alerts.iter().flatten().map(|alert| identity(webhook, alert, now_ns)).collect();
    let alerts = || webhook.alerts.iter().flatten().zip(&identities);
    let nothing_new = memory.read(|transaction| {
        let mut taken = Taken::default();
        for (alert, identity) in alerts() {
            match memory::find_alert(transaction, identity)? {
                Some(known) if fires_again(&known, alert, settings, now_ns) => return Ok(None),
                Some(known) if ends(&known, alert) || is_heard_again(&known, alert, settings, now_ns) => {
                    return Ok(None);
                }
                Some(_) => taken.known += 1,
                None if alert.is_resolved => taken.ended_before += 1,
                None => return Ok::<_, MemoryError>(None),
            }
        }
        Ok(Some(taken))
    })?;
    if let Some(taken) = nothing_new {
        return Ok(taken);
    }
    memory.change(|transaction| {
        let mut intake = Intake { transaction, settings, now_ns, around: None, taken: Taken::default() };
        for (alert, identity) in alerts() {
            intake.take(webhook, alert, identity)?;
        }
        Ok(intake.taken)
    })
}

/// Whether an alert fires that is known to have ended, with the start that it had: its sender had lost sight of it for a
/// while. What comes soon after the end is a straggler, unless the end is but our guess.
fn fires_again(known: &AlertRecord, alert: &WebhookAlert, settings: &Settings, now_ns: i64) -> bool {
    let within_ns = nanoseconds(settings.group_within);
    let is_straggler = known.ended_seen_ns.is_some_and(|seen_ns| now_ns.saturating_sub(seen_ns) <= within_ns);
    !alert.is_resolved && known.ends_ns.is_some() && !is_straggler
}

/// Whether this is the end of an alert, of which nobody has told before.
fn ends(known: &AlertRecord, alert: &WebhookAlert) -> bool {
    alert.is_resolved && known.ended_seen_ns.is_none()
}

/// Whether a repetition is to be noted, which costs a write: a dozen times in the time of silence after which an alert is
/// given up.
fn is_heard_again(known: &AlertRecord, alert: &WebhookAlert, settings: &Settings, now_ns: i64) -> bool {
    let unnoted_ns = now_ns.saturating_sub(known.heard_ns);
    !alert.is_resolved && known.ends_ns.is_none() && unnoted_ns > nanoseconds(settings.unheard_after / 12)
}

/// Gives up alerts of which nothing was heard for long, and makes the analyses of incidents due that end with them; gives
/// those.
pub(super) fn end_unheard(memory: &Memory, settings: &Settings, now_ns: i64) -> Result<Vec<i64>, MemoryError> {
    memory.change(|transaction| {
        let since_ns = now_ns.saturating_sub(nanoseconds(settings.unheard_after));
        let mut ended = Vec::new();
        for incident in memory::close_unheard_alerts(transaction, since_ns)? {
            if end_incident(transaction, incident, settings, now_ns)? {
                ended.push(incident);
            }
        }
        Ok(ended)
    })
}

/// Closes an incident whose alerts are all over, and tells whether that is news; then a report has to say so.
fn end_incident(
    transaction: &Transaction<'_>,
    incident: i64,
    settings: &Settings,
    now_ns: i64,
) -> Result<bool, MemoryError> {
    let is_news = memory::end_incident(transaction, incident, now_ns)?;
    if is_news {
        let due_ns = now_ns.saturating_add(nanoseconds(settings.analyse_after));
        memory::schedule(transaction, incident, Reason::Resolved, due_ns)?;
    }
    Ok(is_news)
}

struct Intake<'a, 'c> {
    transaction: &'a Transaction<'c>,
    settings: &'a Settings,
    now_ns: i64,
    /// Recalled for the first new alert: most of what comes is none.
    around: Option<Around>,
    taken: Taken,
}

/// What decides where a new alert belongs.
struct Around {
    calls: Calls,
    /// Incidents that alerts may join, the one that an alert joined last first.
    open: Vec<Open>,
    /// How many incidents waited before this webhook: one that brings many is taken whole.
    waiting: usize,
}

/// An incident that alerts may join.
#[derive(Default)]
struct Open {
    id: i64,
    /// The services of its alerts, and all that these call on some way.
    reached: BTreeSet<String>,
    /// The keys of the groups of its alerts, and of those without a service.
    groups: BTreeSet<String>,
    groups_without_service: BTreeSet<String>,
    /// When its alerts began, from the first to the last, Unix nanoseconds.
    starts_ns: Option<(i64, i64)>,
}

impl Open {
    fn begins_near(&self, starts_ns: i64, within_ns: i64) -> bool {
        let near = |(first, last): (i64, i64)| {
            starts_ns >= first.saturating_sub(within_ns) && starts_ns <= last.saturating_add(within_ns)
        };
        self.starts_ns.is_none_or(near)
    }

    fn add(&mut self, calls: &Calls, (service, group): (Option<String>, String)) {
        match service {
            Some(service) => self.reached.extend(calls.reach(&service).into_iter().map(str::to_owned)),
            None if group.is_empty() => {}
            None => {
                self.groups_without_service.insert(group.clone());
            }
        }
        if !group.is_empty() {
            self.groups.insert(group);
        }
    }

    /// Whether an alert is about what a service of the incident calls, or calls such; where one of the two names no
    /// service, or one of which nobody knows whom it calls, whether the sender grouped them.
    fn is_about(&self, calls: &Calls, service: Option<&str>, group: &str) -> bool {
        match service {
            Some(service) => {
                calls.reach(service).into_iter().any(|reached| self.reached.contains(reached))
                    || self.groups_without_service.contains(group)
                    || (!calls.know(service) && self.groups.contains(group))
            }
            None => self.groups.contains(group),
        }
    }
}

impl Around {
    fn recall(transaction: &Transaction<'_>, settings: &Settings, now_ns: i64) -> Result<Self, MemoryError> {
        let calls = Calls::of(memory::edges(transaction)?);
        let since_ns = now_ns.saturating_sub(nanoseconds(settings.group_within));
        let mut open = Vec::new();
        for record in memory::open_incidents(transaction, since_ns)? {
            let starts_ns = memory::starts_of(transaction, record.id)?;
            let mut one = Open { id: record.id, starts_ns, ..Open::default() };
            let subjects = memory::subjects_of(transaction, record.id)?;
            subjects.into_iter().for_each(|subject| one.add(&calls, subject));
            open.push(one);
        }
        Ok(Self { calls, open, waiting: memory::waiting(transaction)? })
    }

    /// The open incident to which an alert belongs.
    fn belongs_to(&self, service: Option<&str>, group: &str, starts_ns: i64, within_ns: i64) -> Option<i64> {
        // One that fires since yesterday is no part of what begins now.
        let fits = |open: &&Open| open.begins_near(starts_ns, within_ns) && open.is_about(&self.calls, service, group);
        self.open.iter().find(fits).map(|open| open.id)
    }

    fn joins(&mut self, incident: i64, service: Option<&str>, group: &str, starts_ns: i64) {
        let at = match self.open.iter().position(|open| open.id == incident) {
            Some(at) => at,
            None => {
                self.open.insert(0, Open { id: incident, ..Open::default() });
                0
            }
        };
        let open = &mut self.open[at];
        open.add(&self.calls, (service.map(str::to_owned), group.to_owned()));
        let (first, last) = open.starts_ns.unwrap_or((starts_ns, starts_ns));
        open.starts_ns = Some((first.min(starts_ns), last.max(starts_ns)));
    }
}

impl Intake<'_, '_> {
    fn take(&mut self, webhook: &Webhook, alert: &WebhookAlert, identity: &str) -> Result<(), IntakeError> {
        match memory::find_alert(self.transaction, identity)? {
            Some(known) if ends(&known, alert) => self.end(&known, &alert.alert)?,
            Some(known) if fires_again(&known, alert, self.settings, self.now_ns) => {
                self.taken.firing += 1;
                memory::reopen_alert(self.transaction, identity, self.now_ns)?;
                self.extend(known.incident, &alert.alert)?;
            }
            Some(known) => {
                self.taken.known += 1;
                if is_heard_again(&known, alert, self.settings, self.now_ns) {
                    memory::hear_alert(self.transaction, identity, self.now_ns)?;
                }
            }
            None if alert.is_resolved => self.taken.ended_before += 1,
            None => self.begin(webhook, alert, identity)?,
        }
        Ok(())
    }

    fn end(&mut self, known: &AlertRecord, alert: &Alert) -> Result<(), IntakeError> {
        self.taken.resolved += 1;
        let ends_ns = alert.ends_ns.unwrap_or(self.now_ns).max(known.starts_ns);
        memory::close_alert(self.transaction, &known.identity, ends_ns, self.now_ns)?;
        end_incident(self.transaction, known.incident, self.settings, self.now_ns)?;
        Ok(())
    }

    fn begin(&mut self, webhook: &Webhook, alert: &WebhookAlert, identity: &str) -> Result<(), IntakeError> {
        self.taken.firing += 1;
        let ticket = alert.named(&self.settings.ticket_labels);
        let WebhookAlert { alert, body, .. } = alert;
        let starts_ns = alert.starts_ns.unwrap_or(self.now_ns);
        let (service, symptom) = (alert.service.as_ref().map(ServiceId::as_str), alert.symptom.map(Symptom::word));
        let group = &webhook.group_key;
        let mut around = match self.around.take() {
            Some(around) => around,
            None => Around::recall(self.transaction, self.settings, self.now_ns)?,
        };
        let within_ns = nanoseconds(self.settings.group_within);
        let incident = match around.belongs_to(service, group, starts_ns, within_ns) {
            Some(incident) => {
                self.extend(incident, alert)?;
                incident
            }
            None => {
                let new = IncidentRecord {
                    id: 0,
                    origin: Origin::Alert,
                    condition: Condition::Firing,
                    title: alert.name.clone(),
                    entry: service.map(str::to_owned),
                    symptom: symptom.map(str::to_owned),
                    starts_ns,
                    ends_ns: None,
                    last_alert_ns: self.now_ns,
                    baseline: String::new(),
                    updated_ns: self.now_ns,
                };
                self.taken.incidents += 1;
                begin_incident(self.transaction, &new, Reason::First, around.waiting, self.settings)?
            }
        };
        around.joins(incident, service, group, starts_ns);
        self.around = Some(around);
        memory::insert_alert(
            self.transaction,
            &AlertRecord {
                identity: identity.to_owned(),
                incident,
                name: alert.name.clone(),
                service: service.map(str::to_owned),
                symptom: symptom.map(str::to_owned),
                starts_ns,
                ends_ns: None,
                ended_seen_ns: None,
                group_key: webhook.group_key.clone(),
                ticket,
                expression: alert.expression.clone(),
                summary: alert.summary.clone(),
                body: body.clone(),
                heard_ns: self.now_ns,
            },
        )?;
        let after = self.settings.again_after.first().copied().unwrap_or(self.settings.analyse_after);
        memory::schedule_unless_waiting(
            self.transaction,
            incident,
            Reason::Later,
            self.now_ns.saturating_add(nanoseconds(after)),
        )?;
        Ok(())
    }

    /// Lets an incident go on, or on again; then soon a report has to say so.
    fn extend(&self, incident: i64, alert: &Alert) -> Result<(), IntakeError> {
        let known = memory::incident(self.transaction, incident)?;
        let starts_ns = alert.starts_ns.unwrap_or(self.now_ns);
        let felt = (alert.service.as_ref().map(ServiceId::as_str), alert.symptom.map(Symptom::word));
        memory::extend_incident(self.transaction, incident, starts_ns, felt, self.now_ns)?;
        if known.is_some_and(|known| known.condition != Condition::Firing) {
            let due_ns = self.now_ns.saturating_add(nanoseconds(self.settings.analyse_after));
            memory::schedule(self.transaction, incident, Reason::Later, due_ns)?;
        }
        Ok(())
    }
}

/// A new incident with its analyses, unless too many wait already.
fn begin_incident(
    transaction: &Transaction<'_>,
    new: &IncidentRecord,
    reason: Reason,
    waiting: usize,
    settings: &Settings,
) -> Result<i64, IntakeError> {
    if waiting >= settings.most_waiting {
        return Err(IntakeError::Busy { waiting });
    }
    let id = memory::insert_incident(transaction, new)?;
    let after = |duration| new.updated_ns.saturating_add(nanoseconds(duration));
    match reason {
        Reason::Request => memory::schedule(transaction, id, reason, new.updated_ns)?,
        _ => {
            memory::schedule(transaction, id, reason, after(settings.analyse_after))?;
            for again in &settings.again_after {
                memory::schedule(transaction, id, Reason::Later, after(*again))?;
            }
        }
    }
    Ok(id)
}

/// Makes an analysis due that somebody asks for.
pub(super) fn ask(memory: &Memory, asked: &Asked, settings: &Settings, now_ns: i64) -> Result<i64, IntakeError> {
    let baselines: Vec<String> = asked.baselines.iter().map(window_text).collect();
    let new = IncidentRecord {
        id: 0,
        origin: Origin::Request,
        condition: Condition::Resolved,
        title: asked.title.clone(),
        entry: asked.entry.as_ref().map(ToString::to_string),
        symptom: asked.symptom.map(Symptom::word).map(str::to_owned),
        starts_ns: asked.incident.start_ns(),
        ends_ns: Some(asked.incident.end_ns()),
        last_alert_ns: now_ns,
        baseline: baselines.join(","),
        updated_ns: now_ns,
    };
    memory.change(|transaction| {
        let waiting = memory::waiting(transaction)?;
        begin_incident(transaction, &new, Reason::Request, waiting, settings)
    })
}

/// Receiver, fingerprint and start. The key of the group is left out: by it nothing is told apart that these do not tell
/// apart, and it changes with the sender's routes. An alert without a start has the hour for one, so that it is new
/// again on another day.
fn identity(webhook: &Webhook, alert: &WebhookAlert, now_ns: i64) -> String {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let starts_ns = alert.alert.starts_ns.unwrap_or(now_ns - now_ns.rem_euclid(HOUR_NS));
    let fingerprint = match alert.fingerprint.as_str() {
        "" => {
            let body: serde_json::Value = serde_json::from_str(&alert.body).unwrap_or_default();
            let labels = body.get("labels").map(ToString::to_string).unwrap_or_default();
            let digest = Sha256::digest(labels.as_bytes());
            digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
        }
        told => told.to_owned(),
    };
    format!("{}\u{1f}{fingerprint}\u{1f}{starts_ns}", webhook.receiver)
}

#[cfg(test)]
mod tests;
