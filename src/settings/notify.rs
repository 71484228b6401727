//! The sections `[[notify]]`: where reports are sent. Each kind of sink has keys of its own; secrets come from files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::error::nearest;
use super::receiver::size;
use super::speaking::{AUTHORIZATION, Authorize, BAD_ADDRESS, BASIC, BasicAuth, Section, TLS, TlsConfig};
use super::{SettingsError, Table};
use crate::http::{Authentication, Endpoint};
use crate::notify::{
    DEFAULT_TIMEOUT, GitHub, Jira, JiraFlavor, JiraPlace, PagerDuty, Severity, Sink, Slack, SlackWay, Target, Template,
    Webhook, WebhookMethod, is_project, is_ticket,
};

/// The sections with the keys of all kinds; `headers` takes any key.
pub(super) const KEYS: &[Table] = &[
    (
        "notify",
        &[
            "name",
            "kind",
            "timeout",
            "tls_config",
            "url",
            "repository",
            "issue",
            "token_file",
            "flavor",
            "projects",
            "project",
            "issue_type",
            "basic_auth",
            "authorization",
            "channel",
            "webhook_url_file",
            "routing_key_file",
            "severity",
            "url_file",
            "method",
            "headers",
            "template_file",
            "max_size",
        ],
    ),
    ("notify.basic_auth", BASIC),
    ("notify.authorization", AUTHORIZATION),
    ("notify.tls_config", TLS),
];

/// The kinds, and the keys of each.
const KINDS: [(&str, &[&str]); 5] = [
    ("github", &["name", "kind", "timeout", "tls_config", "url", "repository", "issue", "token_file"]),
    (
        "jira",
        &[
            "name",
            "kind",
            "timeout",
            "tls_config",
            "url",
            "flavor",
            "issue",
            "projects",
            "project",
            "issue_type",
            "basic_auth",
            "authorization",
        ],
    ),
    ("slack", &["name", "kind", "timeout", "tls_config", "url", "token_file", "channel", "webhook_url_file"]),
    ("pagerduty", &["name", "kind", "timeout", "tls_config", "url", "routing_key_file", "severity"]),
    (
        "webhook",
        &[
            "name",
            "kind",
            "timeout",
            "tls_config",
            "url",
            "url_file",
            "method",
            "headers",
            "basic_auth",
            "authorization",
            "template_file",
            "max_size",
        ],
    ),
];

/// A text of a webhook may be so long unless a setting says otherwise.
const MAX_BYTES: u64 = 256 << 10;
/// No text is longer: it is kept in the store until it is delivered.
const MOST_BYTES: u64 = 16 << 20;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Notify {
    name: String,
    kind: String,
    timeout: Option<String>,
    tls_config: TlsConfig,
    url: Option<String>,
    repository: Option<String>,
    /// A number of GitHub, a key of Jira.
    issue: Option<toml::Value>,
    token_file: Option<PathBuf>,
    flavor: Option<String>,
    projects: Vec<String>,
    project: Option<String>,
    issue_type: Option<String>,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorize>,
    channel: Option<String>,
    webhook_url_file: Option<PathBuf>,
    routing_key_file: Option<PathBuf>,
    severity: Option<String>,
    url_file: Option<PathBuf>,
    method: Option<String>,
    headers: BTreeMap<String, String>,
    template_file: Option<PathBuf>,
    max_size: Option<String>,
}

/// Refuses keys that are of another kind of sink, with the nearest that is of this one.
pub(super) fn check_kinds(path: &Path, table: &toml::Table) -> Result<(), SettingsError> {
    let sections = table.get("notify").and_then(toml::Value::as_array).into_iter().flatten();
    for (index, section) in sections.filter_map(toml::Value::as_table).enumerate() {
        let Some(kind) = section.get("kind").and_then(toml::Value::as_str) else { continue };
        let Some((_, known)) = KINDS.iter().find(|(name, _)| *name == kind) else { continue };
        if let Some(key) = section.keys().find(|key| !known.contains(&key.as_str())) {
            let (path, nearest, known) = (path.to_owned(), nearest(key, known), known.to_vec());
            return Err(SettingsError::UnknownKey { path, key: format!("notify[{index}].{key}"), nearest, known });
        }
    }
    Ok(())
}

/// The sinks of the sections.
pub(super) fn checked(sections: Vec<Notify>, path: &Path) -> Result<Vec<Sink>, SettingsError> {
    let mut names = BTreeSet::new();
    let mut sinks = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let at = format!("notify[{index}]");
        let at = Section { path, name: &at };
        if section.name.trim().is_empty() || section.name.chars().any(char::is_control) {
            return Err(at.wrong("name", "a sink needs a name, by which its deliveries are kept"));
        }
        if !names.insert(section.name.clone()) {
            return Err(at.wrong("name", "another sink has this name"));
        }
        let name = section.name.clone();
        let target = match section.kind.as_str() {
            "github" => Target::GitHub(section.github(at)?),
            "jira" => Target::Jira(section.jira(at)?),
            "slack" => Target::Slack(section.slack(at)?),
            "pagerduty" => Target::PagerDuty(section.pagerduty(at)?),
            "webhook" => Target::Webhook(section.webhook(at)?),
            other => return Err(unknown(at, "kind", other, &KINDS.map(|(kind, _)| kind))),
        };
        if sinks.iter().any(|sink: &Sink| sink.target == target) {
            return Err(at.wrong("kind", "another sink is the same but for its name: each message would come twice"));
        }
        sinks.push(Sink { name, target });
    }
    Ok(sinks)
}

impl Notify {
    fn github(mut self, at: Section<'_>) -> Result<GitHub, SettingsError> {
        let repository = self.repository.take().unwrap_or_default();
        let is_part = |part: &str| {
            !part.trim_matches('.').is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if !repository.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name)) {
            return Err(at.wrong("repository", "a repository is written as owner/name"));
        }
        let issue = match self.issue.take() {
            None => None,
            Some(toml::Value::Integer(number)) if number > 0 => Some(number.unsigned_abs()),
            Some(_) => return Err(at.wrong("issue", "an issue of GitHub is a number above 0")),
        };
        let token = bearer(at, "token_file", self.token_file.take())?;
        let endpoint = Endpoint { authentication: Some(token), ..self.endpoint(at, Some("https://api.github.com"))? };
        Ok(GitHub { endpoint, repository, issue })
    }

    fn jira(mut self, at: Section<'_>) -> Result<Jira, SettingsError> {
        let flavor = match self.flavor.take().as_deref() {
            Some("cloud") => JiraFlavor::Cloud,
            Some("server") => JiraFlavor::Server,
            Some(other) => return Err(unknown(at, "flavor", other, &["cloud", "server"])),
            None => return Err(at.wrong("flavor", "say which Jira it is: \"cloud\", or \"server\" for Data Center")),
        };
        let projects = std::mem::take(&mut self.projects);
        if !projects.iter().all(|project| is_project(project)) {
            return Err(at.wrong("projects", BAD_PROJECT));
        }
        let place = match (self.issue.take(), self.project.take(), self.issue_type.take()) {
            (None, None, None) if projects.is_empty() => {
                return Err(at.wrong("project", "name at least one of project, issue and projects"));
            }
            (None, None, None) => None,
            (Some(toml::Value::String(issue)), None, None) if is_ticket(&issue) => Some(JiraPlace::Issue(issue)),
            (Some(_), None, None) => return Err(at.wrong("issue", "a ticket of Jira is a key such as \"OPS-12\"")),
            (None, Some(project), issue_type) if is_project(&project) => {
                Some(JiraPlace::Project { project, issue_type: issue_type.unwrap_or_else(|| "Task".to_owned()) })
            }
            (None, Some(_), _) => return Err(at.wrong("project", BAD_PROJECT)),
            (None, None, Some(_)) => return Err(at.wrong("issue_type", "only an issue of a project has a type")),
            (Some(_), _, _) => return Err(at.wrong("issue", "either this or project, which makes an issue of its own")),
        };
        let endpoint = self.endpoint(at, None)?;
        if endpoint.authentication.is_none() {
            return Err(at.wrong("basic_auth", "Jira needs to know who writes: basic_auth or authorization"));
        }
        Ok(Jira { endpoint, flavor, projects, place })
    }

    fn slack(mut self, at: Section<'_>) -> Result<Slack, SettingsError> {
        match (self.token_file.take(), self.channel.take(), self.webhook_url_file.take()) {
            (token_file, Some(channel), None) => {
                if channel.trim().is_empty() {
                    return Err(at.wrong("channel", "a channel without a name"));
                }
                let token = bearer(at, "token_file", token_file)?;
                let endpoint =
                    Endpoint { authentication: Some(token), ..self.endpoint(at, Some("https://slack.com"))? };
                Ok(Slack { endpoint, way: SlackWay::Bot { channel } })
            }
            (None, None, Some(file)) => {
                if self.url.is_some() {
                    return Err(at.wrong("url", "the address of an incoming webhook stands in its file"));
                }
                let url_file = at.file(file);
                Ok(Slack { endpoint: self.endpoint(at, Some(""))?, way: SlackWay::Webhook { url_file } })
            }
            (Some(_), None, None) => Err(at.wrong("channel", "a bot needs a channel")),
            (None, None, None) => Err(at.wrong("channel", "name a channel and token_file, or webhook_url_file")),
            (_, _, Some(_)) => Err(at.wrong("webhook_url_file", "either this or a bot with token_file and channel")),
        }
    }

    fn pagerduty(mut self, at: Section<'_>) -> Result<PagerDuty, SettingsError> {
        let severity = match self.severity.take().as_deref() {
            None => Severity::default(),
            Some("critical") => Severity::Critical,
            Some("error") => Severity::Error,
            Some("warning") => Severity::Warning,
            Some("info") => Severity::Info,
            Some(other) => return Err(unknown(at, "severity", other, &["critical", "error", "warning", "info"])),
        };
        let Some(file) = self.routing_key_file.take() else {
            return Err(at.wrong("routing_key_file", "name the file with the routing key of the service's integration"));
        };
        let endpoint = self.endpoint(at, Some("https://events.pagerduty.com"))?;
        Ok(PagerDuty { endpoint, routing_key_file: at.file(file), severity })
    }

    fn webhook(mut self, at: Section<'_>) -> Result<Webhook, SettingsError> {
        let method = match self.method.take().as_deref() {
            None | Some("POST") => WebhookMethod::Post,
            Some("PUT") => WebhookMethod::Put,
            Some(other) => return Err(unknown(at, "method", other, &["POST", "PUT"])),
        };
        let max_bytes = match self.max_size.take() {
            None => Some(MAX_BYTES),
            Some(text) => size(&text).filter(|bytes| (1..=MOST_BYTES).contains(bytes)),
        };
        let max_bytes = max_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let max_bytes =
            max_bytes.ok_or_else(|| at.wrong("max_size", "a size of at most 16MiB, as in \"64KiB\" or \"1MiB\""))?;
        let url_file = match (self.url_file.take(), &self.url) {
            (Some(_), Some(_)) => return Err(at.wrong("url_file", "either this or url")),
            (file, _) => file.map(|file| at.file(file)),
        };
        let template_file = self.template_file.take().map(|file| at.file(file));
        let template = template_file.as_deref().map(template).transpose()?;
        let endpoint = self.endpoint(at, url_file.is_some().then_some(""))?;
        let webhook = Webhook { endpoint, url_file, method, template, max_bytes };
        webhook.check_template().map_err(|source| match template_file {
            Some(path) => SettingsError::Template { path, source },
            None => at.wrong("max_size", "not even a message without the report has so few bytes: take 64KiB or more"),
        })?;
        Ok(webhook)
    }

    /// The server of the section; an empty default is for those whose address stands in a file.
    fn endpoint(self, at: Section<'_>, default_url: Option<&str>) -> Result<Endpoint, SettingsError> {
        let Some(url) = self.url.as_deref().or(default_url) else {
            return Err(at.wrong("url", "the section names no address"));
        };
        let mut endpoint = Endpoint::new(url);
        if !url.is_empty() {
            endpoint.check_whole_address(at.name).map_err(|_shown| at.wrong("url", BAD_ADDRESS))?;
        }
        let seconds = self.timeout.as_deref().map(|text| at.seconds("timeout", text)).transpose()?;
        endpoint.timeout = seconds.map_or(DEFAULT_TIMEOUT, |seconds| Duration::from_secs(seconds.into()));
        endpoint.authentication = at.authentication(self.basic_auth, self.authorization)?;
        endpoint.headers = at.headers(self.headers)?;
        endpoint.tls = at.tls(self.tls_config)?;
        Ok(endpoint)
    }
}

const BAD_PROJECT: &str = "the key of a project is of capitals, digits and `_`, such as \"OPS\"";

fn bearer(at: Section<'_>, key: &str, file: Option<PathBuf>) -> Result<Authentication, SettingsError> {
    let file = file.ok_or_else(|| at.wrong(key, "name the file with the token"))?;
    Ok(Authentication::Authorization { scheme: "Bearer".to_owned(), credentials_file: at.file(file) })
}

fn template(path: &Path) -> Result<Template, SettingsError> {
    let text = fs::read_to_string(path).map_err(|source| SettingsError::Io { path: path.to_owned(), source })?;
    Template::parse(text).map_err(|source| SettingsError::Template { path: path.to_owned(), source })
}

fn unknown(at: Section<'_>, key: &str, value: &str, known: &[&'static str]) -> SettingsError {
    SettingsError::UnknownValue {
        path: at.path.to_owned(),
        key: format!("{}.{key}", at.name),
        value: value.to_owned(),
        nearest: nearest(value, known),
        known: known.to_vec(),
    }
}
