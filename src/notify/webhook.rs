//! Any server that takes a text: the message as JSON, or as a template makes it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::content::{Beside, Content};
use super::cut::{Kind, cut};
use super::github::markdown;
use super::template::{Template, TemplateError};
use super::{Message, NotDelivered, Status, delivery, who};
use crate::http::{self, Endpoint, HttpError, Method};

/// Where the text goes, and how it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The server. Its address is empty where `url_file` has it.
    pub endpoint: Endpoint,
    /// The file with the address, where that is a secret.
    pub url_file: Option<PathBuf>,
    /// How it is asked.
    pub method: WebhookMethod,
    /// How the text is made; without a template it is the fields as JSON.
    pub template: Option<Template>,
    /// Most bytes of the text.
    pub max_bytes: usize,
}

/// How a webhook is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookMethod {
    /// With POST.
    #[default]
    Post,
    /// With PUT.
    Put,
}

/// What a template may name; without one, this is the text. The fields are documented in `docs/notify.md`.
#[derive(Clone, Serialize)]
struct Fields {
    schema_version: &'static str,
    incident: String,
    version: u32,
    status: &'static str,
    title: String,
    headline: String,
    verdict: &'static str,
    causes: Vec<CauseFields>,
    reason: String,
    symptoms: Vec<String>,
    window: String,
    path: String,
    evidence: Vec<String>,
    candidates: Vec<String>,
    changes: Vec<String>,
    next_steps: Vec<String>,
    changed: Vec<String>,
    similar: Vec<String>,
    alerts: Vec<String>,
    link: Option<String>,
    ticket: Option<String>,
    markdown: String,
}

#[derive(Clone, Serialize)]
struct CauseFields {
    name: String,
    service: String,
    probability: f64,
    details: String,
}

#[derive(Serialize, Deserialize)]
enum Payload {
    #[serde(rename = "text")]
    Text(String),
    /// Why there is no text.
    #[serde(rename = "problem")]
    Problem(String),
}

impl Webhook {
    /// Whether the template makes what it should of any message: the longest and the shortest that can be.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn check_template(&self) -> Result<(), TemplateError> {
        [Fields::longest(), Fields::shortest()].iter().try_for_each(|fields| self.text(fields, "").map(|_text| ()))
    }

    pub(super) fn render(&self, message: &Message<'_>) -> String {
        let content = Content::of(message);
        let whole = content.whole();
        let fields = Fields::of(message, content);
        let payload = match self.text(&fields, &whole) {
            Ok(text) => Payload::Text(text),
            Err(problem) => Payload::Problem(problem.to_string()),
        };
        json!(payload).to_string()
    }

    pub(super) async fn deliver(&self, name: &str, payload: &str) -> Result<Option<String>, NotDelivered> {
        let text = match delivery::payload(payload)? {
            Payload::Text(text) => text,
            Payload::Problem(problem) => {
                return Err(delivery::never(format!("the template made no message: {problem}")));
            }
        };
        let connection = delivery::connect_hidden(name, &self.endpoint, self.url_file.as_deref())?;
        let method = match self.method {
            WebhookMethod::Post => Method::POST,
            WebhookMethod::Put => Method::PUT,
        };
        let body = Some(("application/json", text));
        let message = http::Message { method, path: "", query: &[], headers: &[], body };
        delivery::send(&connection, "calling the webhook", message).await.map(|_answer| None)
    }

    pub(super) fn check(&self, name: &str) -> Result<(), HttpError> {
        delivery::hidden(name, &self.endpoint, self.url_file.as_deref()).map(|_connection| ())
    }

    pub(super) fn describe(&self) -> String {
        let url = match &self.url_file {
            Some(_) => "the address in a file",
            None => &self.endpoint.url,
        };
        let method = match self.method {
            WebhookMethod::Post => "POST",
            WebhookMethod::Put => "PUT",
        };
        let text = if self.template.is_some() { "by a template" } else { "as JSON" };
        format!("webhook, {method} to {url}, {text}, {}, at most {} bytes", who(&self.endpoint), self.max_bytes)
    }

    /// The text of a message. What is too long loses lines of the report.
    fn text(&self, fields: &Fields, whole: &str) -> Result<String, TemplateError> {
        let mut fields = fields.clone();
        let all = fields.markdown.clone();
        loop {
            let text = self.filled(&fields)?;
            let excess = text.len().saturating_sub(self.max_bytes);
            if excess == 0 {
                return Ok(text);
            }
            if fields.markdown.is_empty() {
                let problem = format!("{} bytes without the report, and max_size is {}", text.len(), self.max_bytes);
                return Err(TemplateError::other(problem));
            }
            // Shorter at each turn, so that this ends.
            let limit = fields.markdown.len().saturating_sub(excess);
            fields.markdown = cut(&all, Kind::Markdown, limit, str::len, whole);
        }
    }

    fn filled(&self, fields: &Fields) -> Result<String, TemplateError> {
        let Some(template) = &self.template else { return Ok(json!(fields).to_string()) };
        let text = template.render(fields)?;
        let is_json = self.is_json() && !text.trim().is_empty();
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Err(error) if is_json => Err(TemplateError::other(format!(
                "what it makes is not valid JSON (line {} of the text); write values with the filter `tojson`, or name \
                 another media type by the header Content-Type",
                error.line()
            ))),
            _ if text.trim().is_empty() => Err(TemplateError::other("it makes an empty text".to_owned())),
            _ => Ok(text),
        }
    }

    /// Whether the text goes as JSON: so it does unless a header says otherwise.
    fn is_json(&self) -> bool {
        let named = self.endpoint.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        named.is_none_or(|(_, value)| value.reveal().to_ascii_lowercase().contains("json"))
    }
}

impl Fields {
    fn of(message: &Message<'_>, content: Content) -> Self {
        let markdown = markdown(message, &content);
        let Beside { changed, similar, alerts } = Beside::of(message);
        let brief = content.brief;
        let causes = brief.causes.into_iter().map(|cause| CauseFields {
            name: cause.name,
            service: cause.service,
            probability: cause.probability,
            details: cause.details,
        });
        Self {
            schema_version: "1",
            incident: content.incident,
            version: content.version,
            status: match content.status {
                Status::Open => "open",
                Status::Resolved => "resolved",
                Status::Unheard => "unheard",
            },
            title: content.title,
            headline: brief.headline,
            verdict: brief.verdict,
            causes: causes.collect(),
            reason: brief.reason,
            symptoms: brief.symptoms,
            window: brief.window,
            path: brief.path,
            evidence: brief.evidence,
            candidates: brief.candidates,
            changes: brief.changes,
            next_steps: brief.next_steps,
            changed,
            similar,
            alerts,
            link: content.link,
            ticket: message.ticket.map(|ticket| crate::report::terminal_text(ticket, 100)),
            markdown,
        }
    }

    /// Every text as long as it can be, of a character that takes most room.
    fn longest() -> Self {
        let text = || "<".repeat(500);
        let list = |most: usize| vec!["<".repeat(240); most];
        let cause = CauseFields { name: text(), service: text(), probability: 0.987_654_321, details: text() };
        Self {
            schema_version: "1",
            incident: text(),
            version: u32::MAX,
            status: "open",
            title: text(),
            headline: text(),
            verdict: "cause_found",
            causes: vec![cause.clone(), cause.clone(), cause],
            reason: text(),
            symptoms: list(3),
            window: text(),
            path: text(),
            evidence: list(3),
            candidates: list(3),
            changes: list(3),
            next_steps: list(3),
            changed: list(6),
            similar: list(6),
            alerts: list(6),
            link: Some(text()),
            ticket: Some(text()),
            markdown: "report\n".to_owned(),
        }
    }

    /// Nothing that may be absent.
    fn shortest() -> Self {
        Self {
            version: 1,
            status: "resolved",
            verdict: "no_anomaly",
            causes: Vec::new(),
            symptoms: Vec::new(),
            path: String::new(),
            evidence: Vec::new(),
            candidates: Vec::new(),
            changes: Vec::new(),
            next_steps: Vec::new(),
            changed: Vec::new(),
            similar: Vec::new(),
            alerts: Vec::new(),
            link: None,
            ticket: None,
            ..Self::longest()
        }
    }
}
