//! GitHub: a comment on one issue, or an issue per incident, in Markdown.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::content::{Beside, Content, marker};
use super::cut::{Kind, cut, line, units};
use super::{Message, NotDelivered, Outcome, delivery, who};
use crate::http::{self, Answer, Connection, Endpoint, Method};
use crate::report::{self, Note, markdown_text};

/// Characters of an issue's or comment's body.
const BODY: usize = 65_536;
/// Characters of an issue's title.
const TITLE: usize = 256;
/// Pages of a hundred that are looked through for an earlier message.
const MOST_PAGES: usize = 10;
const PER_PAGE: usize = 100;
/// How long before the incident an earlier message may have been written by GitHub's clock.
const MARGIN_NS: i64 = 86_400 * 1_000_000_000;

const HEADERS: &[(&str, &str)] = &[("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];

/// Where on GitHub messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitHub {
    /// The API, `https://api.github.com` or `https://HOST/api/v3`, with a token.
    pub endpoint: Endpoint,
    /// `owner/name`.
    pub repository: String,
    /// The issue to comment on; without it, each incident has an issue.
    pub issue: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    incident: String,
    /// Since when a message of this incident can be there (RFC 3339).
    since: String,
    title: String,
    body: String,
}

/// A message of ours.
#[derive(Clone, Copy)]
enum Ours {
    Issue(u64),
    Comment(u64),
}

#[derive(Deserialize)]
struct Item {
    /// Of a comment.
    id: u64,
    /// Of an issue.
    number: Option<u64>,
    body: Option<String>,
}

impl GitHub {
    pub(super) fn render(&self, message: &Message<'_>) -> String {
        let content = Content::of(message);
        let mark = format!("\n<!-- {} -->\n", content.marker());
        let text = markdown(message, &content);
        let body = cut(&text, Kind::Markdown, BODY - units(&mark), units, &content.whole()) + &mark;
        let starts_ns = match message.outcome {
            Outcome::Report(diagnosis) => diagnosis.window.start_ns(),
            Outcome::Failure(failure) => failure.starts_ns,
        };
        let since = crate::timespec::rfc3339(starts_ns.saturating_sub(MARGIN_NS));
        // A title is no Markdown; a character without width keeps a name in it from being a mention.
        let title = line(&content.subject(TITLE).replace('@', "@\u{200b}"), TITLE);
        json!(Payload { incident: content.incident, since, title, body }).to_string()
    }

    pub(super) async fn deliver(
        &self,
        name: &str,
        payload: &str,
        earlier: Option<&str>,
        is_repeated: bool,
    ) -> Result<Option<String>, NotDelivered> {
        let payload: Payload = delivery::payload(payload)?;
        let connection = delivery::connect(name, &self.endpoint)?;
        let mut ours = earlier.and_then(|mark| self.marked(mark));
        if ours.is_none() && is_repeated {
            ours = self.find(&connection, &payload).await?;
        }
        let ours = match ours {
            Some(ours) => {
                self.update(&connection, ours, &payload).await?;
                ours
            }
            None => self.create(&connection, &payload).await?,
        };
        Ok(Some(self.mark(ours)))
    }

    pub(super) fn describe(&self) -> String {
        let what = match self.issue {
            Some(issue) => format!("comments on issue {issue} of"),
            None => "an issue per incident in".to_owned(),
        };
        format!("github, {what} {} at {}, {}", self.repository, self.endpoint.url, who(&self.endpoint))
    }

    /// The mark of a message: with its repository, since another one has other numbers.
    fn mark(&self, ours: Ours) -> String {
        match ours {
            Ours::Issue(number) => format!("{}#{number}", self.repository),
            Ours::Comment(id) => format!("{}#comment-{id}", self.repository),
        }
    }

    fn marked(&self, mark: &str) -> Option<Ours> {
        let which = mark.strip_prefix(&self.repository)?.strip_prefix('#')?;
        match which.strip_prefix("comment-") {
            Some(id) => id.parse().ok().map(Ours::Comment),
            None => which.parse().ok().map(Ours::Issue),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/issues{rest}", self.repository)
    }

    async fn create(&self, connection: &Connection, payload: &Payload) -> Result<Ours, NotDelivered> {
        let what = "writing to GitHub";
        match self.issue {
            Some(issue) => {
                let body = json!({ "body": payload.body });
                let answer = self.send(connection, what, Method::POST, &format!("/{issue}/comments"), &body).await?;
                Ok(Ours::Comment(delivery::read::<Item>(what, &answer)?.id))
            }
            None => {
                let body = json!({ "title": payload.title, "body": payload.body });
                let answer = self.send(connection, what, Method::POST, "", &body).await?;
                let number = delivery::read::<Item>(what, &answer)?.number;
                number.map(Ours::Issue).ok_or_else(|| delivery::later(format!("{what}: the answer names no issue")))
            }
        }
    }

    async fn update(&self, connection: &Connection, ours: Ours, payload: &Payload) -> Result<(), NotDelivered> {
        let (path, body) = match ours {
            Ours::Comment(id) => (format!("/comments/{id}"), json!({ "body": payload.body })),
            Ours::Issue(number) => (format!("/{number}"), json!({ "title": payload.title, "body": payload.body })),
        };
        self.send(connection, "updating the message on GitHub", Method::PATCH, &path, &body).await.map(|_answer| ())
    }

    /// The message of this incident that an earlier attempt may have left. Lists are read, and not the search, which
    /// knows of a new comment only after a while.
    async fn find(&self, connection: &Connection, payload: &Payload) -> Result<Option<Ours>, NotDelivered> {
        let what = "looking for an earlier message on GitHub";
        let path = self.issue.map_or(self.path(""), |issue| self.path(&format!("/{issue}/comments")));
        let last = format!("<!-- {} -->", marker(&payload.incident));
        for page in 1..=MOST_PAGES {
            let mut query =
                vec![("since", payload.since.clone()), ("per_page", PER_PAGE.to_string()), ("page", page.to_string())];
            if self.issue.is_none() {
                query.push(("state", "all".to_owned()));
            }
            let asked = http::Message { method: Method::GET, path: &path, query: &query, headers: HEADERS, body: None };
            let items: Vec<Item> = delivery::read(what, &delivery::send(connection, what, asked).await?)?;
            // As a line of its own at the end: in what someone quotes there stands something before it.
            let is_ours =
                |item: &&Item| item.body.as_deref().is_some_and(|b| b.trim_end().lines().next_back() == Some(&last));
            if let Some(item) = items.iter().find(is_ours) {
                return Ok(match self.issue {
                    Some(_) => Some(Ours::Comment(item.id)),
                    None => item.number.map(Ours::Issue),
                });
            }
            if items.len() < PER_PAGE {
                return Ok(None);
            }
        }
        Ok(None)
    }

    async fn send(
        &self,
        connection: &Connection,
        what: &str,
        method: Method,
        rest: &str,
        body: &serde_json::Value,
    ) -> Result<Answer, NotDelivered> {
        let path = self.path(rest);
        let body = Some(("application/json", body.to_string()));
        delivery::send(connection, what, http::Message { method, path: &path, query: &[], headers: HEADERS, body })
            .await
    }
}

/// The message in Markdown: what and where in a line, then the report with what is known beside it.
pub(super) fn markdown(message: &Message<'_>, content: &Content) -> String {
    let Beside { changed, similar, alerts } = Beside::of(message);
    let changed_title = Beside::changed_title(content.version);
    let notes = [(changed_title.as_str(), &changed), ("Similar incidents", &similar), ("Alerts", &alerts)];
    let notes: Vec<Note<'_>> =
        notes.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(title, lines)| Note { title, lines }).collect();
    let page = content.link.as_ref().map(|link| format!(" · [the page of the incident]({link})")).unwrap_or_default();
    let whole = match message.outcome {
        Outcome::Report(diagnosis) => report::markdown_with(diagnosis, &notes),
        Outcome::Failure(failure) => failure.markdown(content),
    };
    let (title, incident) = (markdown_text(&content.title, 200), markdown_text(&content.incident, 100));
    format!("**{title}** · incident {incident}, {}{page}\n\n{whole}", content.which().to_lowercase())
}
