//! PagerDuty: an alert of our own by the Events API v2, with the cause in its details.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::content::{Content, marker};
use super::{Message, NotDelivered, delivery};
use crate::http::{self, Endpoint, HttpError, Method, Secret};
use crate::report::terminal_text;

/// Characters of a summary.
const SUMMARY: usize = 1_024;

/// Where on PagerDuty events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagerDuty {
    /// The Events API, `https://events.pagerduty.com` or that of the European region.
    pub endpoint: Endpoint,
    /// The file with the routing key of the service's integration.
    pub routing_key_file: PathBuf,
    /// How severe its alerts are.
    pub severity: Severity,
}

/// How severe an alert is, which decides whom it wakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// `critical`.
    Critical,
    /// `error`.
    Error,
    /// `warning`, the default: the alert that was felt has woken who has to be.
    #[default]
    Warning,
    /// `info`.
    Info,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl PagerDuty {
    /// The event but for its routing key.
    pub(super) fn render(&self, message: &Message<'_>) -> String {
        let content = Content::of(message);
        let dedup_key = format!("hypocenter-{}", content.incident);
        if content.is_over() {
            return json!({ "event_action": "resolve", "dedup_key": dedup_key }).to_string();
        }
        let links: Vec<Value> =
            content.link.iter().map(|link| json!({ "href": link, "text": "The page of the incident" })).collect();
        let cause = content.brief.causes.first();
        let mut event = json!({
            "event_action": "trigger",
            "dedup_key": dedup_key,
            "client": "hypocenter",
            "links": links,
            "payload": {
                "summary": content.subject(SUMMARY),
                "source": cause.map_or("hypocenter", |cause| &cause.service),
                "severity": self.severity.word(),
                "custom_details": details(&content),
            },
        });
        if let Some(link) = &content.link {
            event["client_url"] = json!(link);
        }
        if let Some(cause) = cause {
            event["payload"]["component"] = json!(cause.service);
        }
        event.to_string()
    }

    pub(super) async fn deliver(&self, name: &str, payload: &str) -> Result<Option<String>, NotDelivered> {
        let what = "sending an event to PagerDuty";
        let mut event: Map<String, Value> = delivery::payload(payload)?;
        let dedup_key = event.get("dedup_key").and_then(Value::as_str).map(str::to_owned);
        let key = Secret::read(&self.routing_key_file).map_err(|error| delivery::cannot_speak(&error))?;
        let key = Secret::new(key.reveal().trim().to_owned());
        let connection = delivery::connect(name, &self.endpoint)?.hiding(key.clone());
        event.insert("routing_key".to_owned(), json!(key.reveal()));
        let body = Some(("application/json", Value::Object(event).to_string()));
        let path = "/v2/enqueue";
        let message = http::Message { method: Method::POST, path, query: &[], headers: &[], body };
        let answer = delivery::send(&connection, what, message).await?;
        match answer.status {
            202 => Ok(dedup_key),
            // Not this API: it takes events with 202 alone.
            status => Err(delivery::later(format!("{what}: status {status}, not 202: {}", answer.told))),
        }
    }

    pub(super) fn check(&self, name: &str) -> Result<(), HttpError> {
        Secret::read(&self.routing_key_file)?;
        delivery::check(name, &self.endpoint)
    }

    pub(super) fn describe(&self) -> String {
        format!("pagerduty, events of severity {} to {}", self.severity.word(), self.endpoint.url)
    }
}

/// What the alert shows below its summary: plain text by title.
fn details(content: &Content) -> Map<String, Value> {
    let mut details = Map::new();
    let mut put = |title: &str, text: Value| details.insert(title.to_owned(), text);
    put("verdict", json!(content.brief.headline));
    if let Some(cause) = content.brief.causes.first() {
        put("cause", json!(cause.name));
        // Three digits for people.
        put("probability", json!((cause.probability * 1e3).round() / 1e3));
    }
    put("why", json!(content.lead().join("\n")));
    for section in &content.sections {
        put(&section.title, json!(section.lines));
    }
    put("incident", json!(format!("{}: {}", marker(&content.incident), content.which().to_lowercase())));
    put("whole report", json!(terminal_text(&content.whole(), 600)));
    details
}
