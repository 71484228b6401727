//! Jira: a comment on the ticket that an alert names or on a fixed one, or an issue per incident. Cloud takes documents
//! (ADF, API version 3), Server and Data Center take wiki markup (version 2).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content::{Content, marker};
use super::jira_text::{adf, wiki};
use super::{Message, NotDelivered, delivery, who};
use crate::http::{self, Answer, Connection, Endpoint, Method};

/// Characters of a summary.
const SUMMARY: usize = 255;
/// Comments that are looked through for an earlier one, the newest first.
const COMMENTS: &str = "100";

/// Where in Jira messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jira {
    /// The server, with what stands before `/rest`, and credentials.
    pub endpoint: Endpoint,
    /// Which Jira it is.
    pub flavor: JiraFlavor,
    /// Projects on whose tickets a comment may be written where an alert names one.
    pub projects: Vec<String>,
    /// Where else the message goes; without it, only to tickets that alerts name.
    pub place: Option<JiraPlace>,
}

/// Which Jira it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JiraFlavor {
    /// Jira Cloud.
    Cloud,
    /// Jira Server or Data Center.
    Server,
}

/// Where messages go when no alert names a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JiraPlace {
    /// To a ticket, as comments.
    Issue(String),
    /// To a project, as an issue per incident.
    Project {
        /// The key of the project.
        project: String,
        /// The name of the type of issue.
        issue_type: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Payload {
    incident: String,
    ticket: Option<String>,
    summary: String,
    /// A document, or wiki markup.
    text: Value,
}

/// A message of ours, by the mark that is kept of it: `OPS-12` or `OPS-12/10045`.
struct Ours {
    issue: String,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Created {
    id: String,
    #[serde(default)]
    key: String,
}

#[derive(Deserialize)]
struct Comments {
    comments: Vec<Comment>,
}

#[derive(Deserialize)]
struct Comment {
    id: String,
    body: Value,
}

#[derive(Deserialize)]
struct Found {
    issues: Vec<Issue>,
}

#[derive(Deserialize)]
struct Issue {
    key: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    description: Value,
}

/// Whether a text is the key of a ticket, as `OPS-12`.
pub fn is_ticket(text: &str) -> bool {
    text.len() <= 100
        && text.rsplit_once('-').is_some_and(|(project, number)| {
            is_project(project) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
        })
}

/// Whether a text is the key of a project, as `OPS`.
pub fn is_project(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

impl Jira {
    pub(super) fn render(&self, message: &Message<'_>) -> String {
        let content = Content::of(message);
        let text = match self.flavor {
            JiraFlavor::Cloud => adf(&message.outcome, &content),
            JiraFlavor::Server => json!(wiki(&message.outcome, &content)),
        };
        let ticket = message.ticket.filter(|ticket| is_ticket(ticket)).map(str::to_owned);
        let summary = content.subject(SUMMARY);
        json!(Payload { incident: content.incident, ticket, summary, text }).to_string()
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
        let place = self.place_of(&payload)?;
        let mut ours = earlier.and_then(|mark| self.marked(mark));
        if ours.is_none() && is_repeated {
            ours = match &place {
                JiraPlace::Issue(issue) => self.find_comment(&connection, issue, &payload).await?,
                JiraPlace::Project { project, .. } => self.find_issue(&connection, project, &payload).await?,
            };
        }
        let ours = match ours {
            Some(ours) => self.update(&connection, ours, &payload).await?,
            None => self.create(&connection, place, &payload).await?,
        };
        Ok(Some(match ours {
            Ours { issue, comment: Some(comment) } => format!("{issue}/{comment}"),
            Ours { issue, comment: None } => issue,
        }))
    }

    pub(super) fn describe(&self) -> String {
        let flavor = match self.flavor {
            JiraFlavor::Cloud => "cloud",
            JiraFlavor::Server => "server",
        };
        let named = match self.projects.as_slice() {
            [] => None,
            projects => Some(format!("comments on tickets of {} that alerts name", projects.join(", "))),
        };
        let place = self.place.as_ref().map(|place| match place {
            JiraPlace::Issue(issue) => format!("comments on {issue}"),
            JiraPlace::Project { project, issue_type } => format!("a {issue_type} per incident in {project}"),
        });
        let what: Vec<String> = named.into_iter().chain(place).collect();
        format!("jira {flavor}, {} at {}, {}", what.join(", else "), self.endpoint.url, who(&self.endpoint))
    }

    fn api(&self, rest: &str) -> String {
        let version = match self.flavor {
            JiraFlavor::Cloud => 3,
            JiraFlavor::Server => 2,
        };
        format!("/rest/api/{version}{rest}")
    }

    /// Where a message goes: a ticket that an alert names counts only if the settings name its project.
    fn place_of(&self, payload: &Payload) -> Result<JiraPlace, NotDelivered> {
        let ticket = payload.ticket.as_ref().filter(|ticket| is_ticket(ticket) && self.is_of_projects(ticket));
        match (ticket, &self.place) {
            (Some(ticket), _) => Ok(JiraPlace::Issue(ticket.clone())),
            (None, Some(place)) => Ok(place.clone()),
            (None, None) => Err(delivery::never(format!(
                "no alert names a ticket of {}, and the settings name no `issue` and no `project`",
                self.projects.join(", ")
            ))),
        }
    }

    fn is_of_projects(&self, ticket: &str) -> bool {
        let project = ticket.rsplit_once('-').map_or("", |(project, _)| project);
        self.projects.iter().any(|allowed| allowed == project)
    }

    /// The message of a mark, if the settings still lead there.
    fn marked(&self, mark: &str) -> Option<Ours> {
        let (issue, comment) = match mark.split_once('/') {
            Some((issue, comment)) => (issue, Some(comment.to_owned())),
            None => (mark, None),
        };
        let is_of_place = match &self.place {
            Some(JiraPlace::Issue(fixed)) => fixed == issue,
            Some(JiraPlace::Project { project, .. }) => {
                issue.rsplit_once('-').is_some_and(|(of_issue, _)| of_issue == project)
            }
            None => false,
        };
        let is_id = comment.as_ref().is_none_or(|id| id.bytes().all(|b| b.is_ascii_digit()));
        let is_ours = is_ticket(issue) && is_id && (is_of_place || self.is_of_projects(issue));
        is_ours.then(|| Ours { issue: issue.to_owned(), comment })
    }

    async fn create(&self, connection: &Connection, place: JiraPlace, payload: &Payload) -> Result<Ours, NotDelivered> {
        let what = "writing to Jira";
        match place {
            JiraPlace::Issue(issue) => {
                let (path, body) = (format!("/issue/{issue}/comment"), json!({ "body": payload.text }));
                let answer = self.send(connection, what, Method::POST, &path, &body).await?;
                let created: Created = delivery::read(what, &answer)?;
                Ok(Ours { issue, comment: Some(created.id) })
            }
            JiraPlace::Project { project, issue_type } => {
                let fields = json!({
                    "project": { "key": project },
                    "issuetype": { "name": issue_type },
                    "summary": payload.summary,
                    "description": payload.text,
                });
                let body = json!({ "fields": fields });
                let answer = self.send(connection, what, Method::POST, "/issue", &body).await?;
                let created: Created = delivery::read(what, &answer)?;
                if !is_ticket(&created.key) {
                    return Err(delivery::later(format!("{what}: the answer names no issue")));
                }
                Ok(Ours { issue: created.key, comment: None })
            }
        }
    }

    async fn update(&self, connection: &Connection, ours: Ours, payload: &Payload) -> Result<Ours, NotDelivered> {
        let (path, body) = match &ours {
            Ours { issue, comment: Some(comment) } => {
                (format!("/issue/{issue}/comment/{comment}"), json!({ "body": payload.text }))
            }
            Ours { issue, comment: None } => {
                let fields = json!({ "summary": payload.summary, "description": payload.text });
                (format!("/issue/{issue}"), json!({ "fields": fields }))
            }
        };
        self.send(connection, "updating the message in Jira", Method::PUT, &path, &body).await?;
        Ok(ours)
    }

    async fn find_comment(
        &self,
        connection: &Connection,
        issue: &str,
        payload: &Payload,
    ) -> Result<Option<Ours>, NotDelivered> {
        let query = [("orderBy", "-created".to_owned()), ("maxResults", COMMENTS.to_owned())];
        let found: Comments = self.get(connection, &format!("/issue/{issue}/comment"), &query).await?;
        let ours = found.comments.into_iter().find(|comment| is_ours(&comment.body, &payload.incident));
        Ok(ours.map(|comment| Ours { issue: issue.to_owned(), comment: Some(comment.id) }))
    }

    /// The issue of this incident that an earlier attempt may have left. Jira's search may know of it only some seconds
    /// later, and there is no other way to ask.
    async fn find_issue(
        &self,
        connection: &Connection,
        project: &str,
        payload: &Payload,
    ) -> Result<Option<Ours>, NotDelivered> {
        let words = marker(&payload.incident);
        let jql = format!("project = \"{project}\" AND description ~ \"\\\"{words}\\\"\" ORDER BY created DESC");
        let path = match self.flavor {
            JiraFlavor::Cloud => "/search/jql",
            JiraFlavor::Server => "/search",
        };
        let query = [("jql", jql), ("fields", "description".to_owned()), ("maxResults", "50".to_owned())];
        let found: Found = self.get(connection, path, &query).await?;
        let ours = found.issues.into_iter().find(|issue| is_ours(&issue.fields.description, &payload.incident));
        Ok(ours.filter(|issue| is_ticket(&issue.key)).map(|issue| Ours { issue: issue.key, comment: None }))
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        connection: &Connection,
        rest: &str,
        query: &[(&str, String)],
    ) -> Result<T, NotDelivered> {
        let (what, path) = ("looking for an earlier message in Jira", self.api(rest));
        let asked = http::Message { method: Method::GET, path: &path, query, headers: HEADERS, body: None };
        delivery::read(what, &delivery::send(connection, what, asked).await?)
    }

    async fn send(
        &self,
        connection: &Connection,
        what: &str,
        method: Method,
        rest: &str,
        body: &Value,
    ) -> Result<Answer, NotDelivered> {
        let path = self.api(rest);
        let body = Some(("application/json", body.to_string()));
        delivery::send(connection, what, http::Message { method, path: &path, query: &[], headers: HEADERS, body })
            .await
    }
}

const HEADERS: &[(&str, &str)] = &[("accept", "application/json")];

/// Whether a text is of this incident: its last line says so, and nothing but that.
fn is_ours(text: &Value, incident: &str) -> bool {
    let is_marker = |line: &str| line.trim() == marker(incident);
    match text {
        Value::String(wiki) => wiki.trim_end().lines().next_back().is_some_and(is_marker),
        document => {
            let last = document["content"].as_array().and_then(|blocks| blocks.last());
            last.and_then(|block| block["content"][0]["text"].as_str()).is_some_and(is_marker)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tickets_are_recognised() {
        for ticket in ["OPS-12", "A1_B-1"] {
            assert!(is_ticket(ticket), "{ticket}");
        }
        for other in ["ops-1", "OPS", "OPS-", "O-1", "OPS-1/../x", "OPS-1a", "OPS--1", "1OPS-1", "OPS-1\n", "OPS 1-1"] {
            assert!(!is_ticket(other), "{other}");
        }
    }
}
