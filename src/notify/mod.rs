//! The report where the team works: one message per incident in GitHub, Jira, Slack, PagerDuty or behind any webhook,
//! updated as the incident goes on.
//!
//! [`Sink::render`] is pure: it makes the payload while the diagnosis is at hand, within the sink's limits and in its
//! dialect, so that it can be kept until it is delivered. [`Sink::deliver`] makes one attempt; who calls it keeps the
//! payload, the mark that it gives back and the time of the next attempt. Only targets of the settings are spoken to.

mod content;
mod cut;
mod delivery;
mod failure;
mod github;
mod jira;
mod jira_text;
mod pagerduty;
mod slack;
mod template;
mod webhook;

use std::time::Duration;

use crate::explain::Diagnosis;
use crate::http::{Authentication, Endpoint, HttpError};
use crate::report::{self, Format};

pub use failure::{Failure, ReportBefore};
pub use github::GitHub;
pub use jira::{Jira, JiraFlavor, JiraPlace, is_project, is_ticket};
pub use pagerduty::{PagerDuty, Severity};
pub use slack::{Slack, SlackWay};
pub use template::{Template, TemplateError};
pub use webhook::{Webhook, WebhookMethod};

/// How long one request to a sink may take, unless a setting says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// Its name in the settings, unique among all sinks.
    pub name: String,
    /// What it is.
    pub target: Target,
}

/// The kinds of sinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A comment on an issue of GitHub, or an issue per incident.
    GitHub(GitHub),
    /// A comment on a ticket of Jira, or an issue per incident.
    Jira(Jira),
    /// A message in a channel of Slack.
    Slack(Slack),
    /// An alert of PagerDuty.
    PagerDuty(PagerDuty),
    /// Any server that takes a text.
    Webhook(Webhook),
}

/// What there is to say about an incident.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The incident's id. It has to be unique among all servers that write to the same sink.
    pub incident_id: &'a str,
    /// The version of the report, counted from 1; 0 before there is one.
    pub version: u32,
    /// How the incident stands.
    pub status: Status,
    /// The alert and where it is felt.
    pub title: &'a str,
    /// The alerts, in words.
    pub alerts: &'a [String],
    /// The page of the incident.
    pub link: Option<&'a str>,
    /// The report, or why there is none.
    pub outcome: Outcome<'a>,
    /// Earlier incidents of the same signature, in words.
    pub similar: &'a [String],
    /// What changed since the version before, in words.
    pub changed: &'a [String],
    /// A ticket that an alert names.
    pub ticket: Option<&'a str>,
}

/// How an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// An alert fires.
    Open,
    /// The alerts are over.
    Resolved,
    /// They are taken for over, since nothing is heard of them any more.
    Unheard,
}

/// What an analysis came to.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// A report.
    Report(&'a Diagnosis),
    /// None.
    Failure(&'a Failure),
}

impl Outcome<'_> {
    /// The report as on a terminal, without colours; of a failure that before, which may be empty.
    fn text(&self) -> String {
        match self {
            Self::Report(diagnosis) => {
                report::to_text(diagnosis, Format::Text { colour: false, width: report::DEFAULT_WIDTH })
            }
            Self::Failure(failure) => failure.text(),
        }
    }
}

/// When another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before so long, as the sink asked.
    After(Duration),
    /// After a pause that grows from attempt to attempt.
    Later,
    /// The sink would refuse it again.
    Never,
}

/// Why a message was not delivered, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct NotDelivered {
    /// When to try again.
    pub retry: Retry,
    /// What happened and what to do, in a line without secrets. It may hold the sink's words: escape for each output.
    pub problem: String,
}

impl Sink {
    /// The payload for a message: JSON text of this program, within the limits of the sink.
    pub fn render(&self, message: &Message<'_>) -> String {
        match &self.target {
            Target::GitHub(github) => github.render(message),
            Target::Jira(jira) => jira.render(message),
            Target::Slack(_) => Slack::render(message),
            Target::PagerDuty(pagerduty) => pagerduty.render(message),
            Target::Webhook(webhook) => webhook.render(message),
        }
    }

    /// Makes one attempt to deliver a payload.
    ///
    /// `earlier` is what a delivery for this incident gave back: the sink's own mark of the message, which is updated
    /// then. `is_repeated` tells that an attempt for this incident may have reached the sink without our knowing; where
    /// there is no mark the message is then looked for, as far as the sink lets, before another is written.
    ///
    /// # Errors
    /// [`NotDelivered`].
    pub async fn deliver(
        &self,
        payload: &str,
        earlier: Option<&str>,
        is_repeated: bool,
    ) -> Result<Option<String>, NotDelivered> {
        match &self.target {
            Target::GitHub(github) => github.deliver(&self.name, payload, earlier, is_repeated).await,
            Target::Jira(jira) => jira.deliver(&self.name, payload, earlier, is_repeated).await,
            Target::Slack(slack) => slack.deliver(&self.name, payload, earlier, is_repeated).await,
            Target::PagerDuty(pagerduty) => pagerduty.deliver(&self.name, payload).await,
            Target::Webhook(webhook) => webhook.deliver(&self.name, payload).await,
        }
    }

    /// Whether the sink could be spoken to: its address is one, its files are there and hold what they should. Nothing is
    /// contacted.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn check(&self) -> Result<(), HttpError> {
        match &self.target {
            Target::GitHub(github) => delivery::check(&self.name, &github.endpoint),
            Target::Jira(jira) => delivery::check(&self.name, &jira.endpoint),
            Target::Slack(slack) => slack.check(&self.name),
            Target::PagerDuty(pagerduty) => pagerduty.check(&self.name),
            Target::Webhook(webhook) => webhook.check(&self.name),
        }
    }

    /// The sink in a line: everything but secrets.
    pub fn describe(&self) -> String {
        match &self.target {
            Target::GitHub(github) => github.describe(),
            Target::Jira(jira) => jira.describe(),
            Target::Slack(slack) => slack.describe(),
            Target::PagerDuty(pagerduty) => pagerduty.describe(),
            Target::Webhook(webhook) => webhook.describe(),
        }
    }
}

/// Who asks, without a secret.
fn who(endpoint: &Endpoint) -> &'static str {
    match &endpoint.authentication {
        None => "no authentication",
        Some(Authentication::Basic { .. }) => "basic authentication",
        Some(Authentication::Authorization { .. }) => "a token",
    }
}
