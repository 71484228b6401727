//! Slack: a message of a bot that is edited as the incident goes on, or an incoming webhook, which cannot edit.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content::{Content, marker};
use super::cut::{Kind, cut, line, units};
use super::{Message, NotDelivered, delivery};
use crate::http::{self, Answer, Connection, Endpoint, HttpError, Method};
use crate::report::slack_text;

/// Characters of a section's text; a little below Slack's 3 000, since how it counts is not documented.
const SECTION: usize = 2_900;
/// Characters of a header.
const HEADER: usize = 150;
/// Characters of all texts of a message. Slack refuses more than about 13 200 with `msg_blocks_too_long`.
const MESSAGE: usize = 12_000;
/// Longest line before it is escaped.
const LINE: usize = 240;
/// Where Slack asks for a pause and does not say which.
const UNNAMED_PAUSE: Duration = Duration::from_secs(30);
/// What an incoming webhook has sent: its own marks, since Slack gives none.
const SENT: &str = "sent";
const SENT_FAILURE: &str = "sent failure";
const SENT_RESOLVED: &str = "sent resolved";
/// The kind of our metadata.
const EVENT_TYPE: &str = "hypocenter_incident";
/// Messages of a channel that are looked through for an earlier one.
const HISTORY: usize = 200;

/// Where on Slack messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slack {
    /// Slack, with the token of a bot where there is one.
    pub endpoint: Endpoint,
    /// How it is written to.
    pub way: SlackWay,
}

/// The two ways to write to Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackWay {
    /// As a bot to a channel, by its id or name.
    Bot {
        /// `C0123456789` or `#name`. Earlier messages can be looked for by id only.
        channel: String,
    },
    /// By an incoming webhook, whose address is a secret in a file.
    Webhook {
        /// That file.
        url_file: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
struct Payload {
    incident: String,
    is_resolved: bool,
    /// Of an analysis that gave no report.
    #[serde(default)]
    is_failure: bool,
    /// The text of notifications.
    text: String,
    blocks: Vec<Value>,
}

/// What every method of the API answers.
#[derive(Deserialize)]
struct Told {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
    #[serde(default)]
    messages: Vec<Posted>,
}

#[derive(Deserialize)]
struct Posted {
    #[serde(default)]
    ts: String,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    event_type: String,
    #[serde(default)]
    event_payload: Value,
}

impl Slack {
    pub(super) fn render(message: &Message<'_>) -> String {
        let content = Content::of(message);
        let blocks = blocks(&content);
        let text = slack_text(&content.subject(LINE), LINE);
        let (is_resolved, is_failure) = (content.is_over(), content.is_failure);
        json!(Payload { incident: content.incident, is_resolved, is_failure, text, blocks }).to_string()
    }

    pub(super) async fn deliver(
        &self,
        name: &str,
        payload: &str,
        earlier: Option<&str>,
        is_repeated: bool,
    ) -> Result<Option<String>, NotDelivered> {
        let payload: Payload = delivery::payload(payload)?;
        match &self.way {
            SlackWay::Bot { channel } => {
                let connection = delivery::connect(name, &self.endpoint)?;
                let mut ours = earlier.and_then(|mark| mark.split_once('/'));
                let found;
                if ours.is_none() && is_repeated {
                    found = find(&connection, channel, &payload.incident).await?;
                    ours = found.as_deref().map(|ts| (channel.as_str(), ts));
                }
                write(&connection, ours, channel, &payload).await.map(Some)
            }
            SlackWay::Webhook { url_file } => {
                let is_told = match earlier {
                    Some(SENT_RESOLVED) => payload.is_resolved,
                    Some(SENT_FAILURE) => payload.is_failure && !payload.is_resolved,
                    Some(_) => !payload.is_resolved,
                    None => false,
                };
                if is_told {
                    return Ok(earlier.map(str::to_owned));
                }
                let connection = delivery::connect_hidden(name, &self.endpoint, Some(url_file))?;
                let body = json!({ "text": payload.text, "blocks": payload.blocks });
                post(&connection, "calling the incoming webhook of Slack", "", &body).await?;
                let sent = match &payload {
                    Payload { is_resolved: true, .. } => SENT_RESOLVED,
                    Payload { is_failure: true, .. } => SENT_FAILURE,
                    _ => SENT,
                };
                Ok(Some(sent.to_owned()))
            }
        }
    }

    pub(super) fn check(&self, name: &str) -> Result<(), HttpError> {
        match &self.way {
            SlackWay::Bot { .. } => delivery::check(name, &self.endpoint),
            SlackWay::Webhook { url_file } => delivery::hidden(name, &self.endpoint, Some(url_file)).map(|_made| ()),
        }
    }

    pub(super) fn describe(&self) -> String {
        match &self.way {
            SlackWay::Bot { channel } => format!("slack, channel {channel} at {}, a bot", self.endpoint.url),
            SlackWay::Webhook { .. } => {
                "slack, an incoming webhook: first report and resolution only, since it cannot edit".to_owned()
            }
        }
    }
}

/// Writes or edits the message; the mark of it.
async fn write(
    connection: &Connection,
    ours: Option<(&str, &str)>,
    channel: &str,
    payload: &Payload,
) -> Result<String, NotDelivered> {
    let metadata = json!({ "event_type": EVENT_TYPE, "event_payload": { "incident": payload.incident } });
    let mut body = json!({
        "channel": ours.map_or(channel, |(channel, _)| channel),
        "text": payload.text,
        "blocks": payload.blocks,
        "metadata": metadata,
    });
    let (what, path) = match ours {
        Some((_, ts)) => {
            body["ts"] = json!(ts);
            ("updating the message in Slack", "/api/chat.update")
        }
        None => {
            body["unfurl_links"] = json!(false);
            ("writing to Slack", "/api/chat.postMessage")
        }
    };
    let told = call(what, post(connection, what, path, &body).await?)?;
    Ok(format!("{}/{}", told.channel, told.ts))
}

/// The message of this incident that an earlier attempt may have left, by its metadata. Slack has no key against writing
/// twice, and who may not read the channel cannot look: a second message is then better than none.
async fn find(connection: &Connection, channel: &str, incident: &str) -> Result<Option<String>, NotDelivered> {
    let what = "looking for an earlier message in Slack";
    let query =
        [("channel", channel.to_owned()), ("limit", HISTORY.to_string()), ("include_all_metadata", "true".to_owned())];
    let path = "/api/conversations.history";
    let asked = http::Message { method: Method::GET, path, query: &query, headers: &[], body: None };
    let answer = delivery::send(connection, what, asked).await?;
    let told: Told = delivery::read(what, &answer)?;
    if matches!(told.error.as_str(), "missing_scope" | "channel_not_found" | "not_in_channel") {
        return Ok(None);
    }
    let is_ours = |posted: &Posted| {
        let metadata = posted.metadata.as_ref();
        metadata.is_some_and(|m| m.event_type == EVENT_TYPE && m.event_payload["incident"] == incident)
    };
    let told = checked(what, told, &answer)?;
    Ok(told.messages.into_iter().find(is_ours).map(|posted| posted.ts))
}

async fn post(connection: &Connection, what: &str, path: &str, body: &Value) -> Result<Answer, NotDelivered> {
    let body = Some(("application/json; charset=utf-8", body.to_string()));
    delivery::send(connection, what, http::Message { method: Method::POST, path, query: &[], headers: &[], body }).await
}

/// What a method answered, if it did what was asked.
fn call(what: &str, answer: Answer) -> Result<Told, NotDelivered> {
    let told: Told = delivery::read(what, &answer)?;
    let told = checked(what, told, &answer)?;
    if told.channel.is_empty() || told.ts.is_empty() {
        return Err(delivery::later(format!("{what}: the answer does not name the message")));
    }
    Ok(told)
}

/// Slack tells of failures with status 200.
fn checked(what: &str, told: Told, answer: &Answer) -> Result<Told, NotDelivered> {
    if told.ok {
        return Ok(told);
    }
    // A code of Slack's; anything else is none, and may repeat what it was sent.
    let is_code = told.error.len() <= 60 && told.error.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let error = if is_code { told.error.as_str() } else { "an unknown code" };
    let advice = match told.error.as_str() {
        "not_in_channel" | "channel_not_found" => ": invite the bot to the channel, and check its name",
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            ": check the file with the token"
        }
        "missing_scope" => ": the bot needs the scope chat:write",
        "message_not_found" => ": it was deleted, and is not written again",
        _ => "",
    };
    let problem = format!("{what}: Slack answers `{error}`{advice}");
    Err(match told.error.as_str() {
        "ratelimited" | "rate_limited" => delivery::after(answer.retry_after.unwrap_or(UNNAMED_PAUSE), problem),
        "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout"
        | "team_added_to_org"
        | "invalid_auth"
        | "not_authed"
        | "token_revoked"
        | "token_expired"
        | "account_inactive"
        | "missing_scope"
        | "not_in_channel" => delivery::later(problem),
        _ => delivery::never(problem),
    })
}

/// The message: a header, what and how sure, the lists, which incident it is.
fn blocks(content: &Content) -> Vec<Value> {
    let header = line(&content.title, HEADER);
    let mut texts = vec![section(&format!("*{}*", escaped(&content.brief.headline)), &content.lead(), "", content)];
    for list in &content.sections {
        texts.push(section(&format!("*{}*", escaped(&list.title)), &list.lines, "• ", content));
    }
    let page = content.link.as_ref().map(|link| format!(" · <{}|the whole report>", link.replace('&', "&amp;")));
    let page = page.unwrap_or_else(|| format!(" · the whole report: {}", escaped(&content.whole())));
    let foot = format!("{} · {}{page}", escaped(&marker(&content.incident)), content.which().to_lowercase());
    let mut left = MESSAGE.saturating_sub(units(&header) + units(&foot));
    let mut blocks =
        vec![json!({ "type": "header", "text": { "type": "plain_text", "text": header, "emoji": false } })];
    let n_texts = texts.len();
    for (index, text) in texts.into_iter().enumerate() {
        // Room is kept for saying what is left out.
        let Some(rest) = left.checked_sub(units(&text)).filter(|rest| *rest >= LINE || index + 1 == n_texts) else {
            let more = format!("… {} lists left out; the whole report: {}", n_texts - index, escaped(&content.whole()));
            blocks.push(mrkdwn(&more));
            break;
        };
        left = rest;
        blocks.push(mrkdwn(&text));
    }
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": foot, "verbatim": true }] }));
    blocks
}

fn section(title: &str, lines: &[String], bullet: &str, content: &Content) -> String {
    let lines: String = lines.iter().map(|line| format!("\n{bullet}{}", escaped(line))).collect();
    cut(&format!("{title}{lines}"), Kind::Plain, SECTION, units, &escaped(&content.whole())).trim_end().to_owned()
}

/// Verbatim: no address and no name becomes a link or a mention.
fn mrkdwn(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

fn escaped(text: &str) -> String {
    slack_text(text, 1_000)
}
