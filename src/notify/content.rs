//! What a message says, in pieces of bounded length that each dialect renders in its own way.

use crate::report::{Brief, terminal_text};

use super::cut::line;
use super::{Message, Outcome, Status};

/// Longest line of a list.
const LINE: usize = 240;
/// Lines of a list that are told; the rest is counted.
const MOST_LINES: usize = 5;
/// Longest title of an incident, so that what follows it in a title has room.
const TITLE: usize = 120;

/// A message in pieces. Texts are single lines without control characters, not yet escaped for any dialect.
pub(super) struct Content {
    /// The incident's id, of letters, digits, `.`, `_` and `-` only.
    pub(super) incident: String,
    pub(super) version: u32,
    pub(super) status: Status,
    /// Whether there is no report of the last analysis.
    pub(super) is_failure: bool,
    /// The alert and where it is felt, with what has become of it.
    pub(super) title: String,
    pub(super) brief: Brief,
    /// Lists with their titles, most useful first; none is empty.
    pub(super) sections: Vec<Section>,
    /// The incident's page, if it is an address that can be shown in any dialect.
    pub(super) link: Option<String>,
}

/// A list with its title.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) lines: Vec<String>,
}

impl Content {
    pub(super) fn of(message: &Message<'_>) -> Self {
        let brief = match message.outcome {
            Outcome::Report(diagnosis) => Brief::of(diagnosis),
            Outcome::Failure(failure) => failure.brief(),
        };
        let status = match message.status {
            Status::Open => "",
            Status::Resolved => "Resolved: ",
            Status::Unheard => "Not heard of any more: ",
        };
        Self {
            incident: incident(message.incident_id),
            version: message.version,
            status: message.status,
            is_failure: matches!(message.outcome, Outcome::Failure(_)),
            title: format!("{status}{}", terminal_text(message.title, TITLE)),
            sections: sections(message, &brief),
            brief,
            link: message.link.and_then(safe_link),
        }
    }

    /// What, where and how sure in one line of at most so many UTF-16 units.
    pub(super) fn subject(&self, limit: usize) -> String {
        line(&format!("{}: {}", self.title, self.brief.headline), limit)
    }

    /// What users felt and when, and why the verdict is what it is.
    pub(super) fn lead(&self) -> Vec<String> {
        let brief = &self.brief;
        let details = brief.causes.iter().map(|cause| format!("{}: {}", cause.name, cause.details));
        let reason = (!brief.reason.is_empty()).then(|| brief.reason.clone());
        let felt = (!brief.symptoms.is_empty()).then(|| format!("felt as {}", brief.symptoms.join("; ")));
        let path = (!brief.path.is_empty()).then(|| format!("from the symptom to the cause: {}", brief.path));
        let when = (!brief.window.is_empty()).then(|| format!("analysed {}", brief.window));
        details.chain(reason).chain(felt).chain(path).chain(when).collect()
    }

    /// Which report it is, to begin a sentence.
    pub(super) fn which(&self) -> String {
        match self.version {
            0 => "No report yet".to_owned(),
            version => format!("Version {version} of the report"),
        }
    }

    /// Whether the alerts are over, or taken for it.
    pub(super) fn is_over(&self) -> bool {
        self.status != Status::Open
    }

    /// Where the whole report is, in words.
    pub(super) fn whole(&self) -> String {
        self.link.clone().unwrap_or_else(|| format!("GET /api/v1/incidents/{} of hypocenter serve", self.incident))
    }

    /// Which incident this is, in words by which a message is found again.
    pub(super) fn marker(&self) -> String {
        marker(&self.incident)
    }
}

/// The words by which a message of an incident is found again.
pub(super) fn marker(incident: &str) -> String {
    format!("hypocenter incident {incident}")
}

/// What someone else than the report says about the incident.
pub(super) struct Beside {
    pub(super) changed: Vec<String>,
    pub(super) similar: Vec<String>,
    pub(super) alerts: Vec<String>,
}

impl Beside {
    pub(super) fn of(message: &Message<'_>) -> Self {
        Self { changed: few(message.changed), similar: few(message.similar), alerts: few(message.alerts) }
    }

    pub(super) fn changed_title(version: u32) -> String {
        format!("What changed since version {}", version.saturating_sub(1))
    }
}

fn sections(message: &Message<'_>, brief: &Brief) -> Vec<Section> {
    let beside = Beside::of(message);
    let candidates = if brief.causes.is_empty() { "Candidates" } else { "Other candidates" };
    [
        (Beside::changed_title(message.version).as_str(), beside.changed),
        ("Evidence", brief.evidence.clone()),
        (candidates, brief.candidates.clone()),
        ("Changed in the system", brief.changes.clone()),
        ("Look at next", brief.next_steps.clone()),
        ("Similar incidents", beside.similar),
        ("Alerts", beside.alerts),
    ]
    .into_iter()
    .filter(|(_, lines)| !lines.is_empty())
    .map(|(title, lines)| Section { title: title.to_owned(), lines })
    .collect()
}

/// The first lines of a list, each of bounded length, and how many more there are.
fn few(lines: &[String]) -> Vec<String> {
    let mut few: Vec<String> = lines.iter().take(MOST_LINES).map(|line| terminal_text(line, LINE)).collect();
    few.retain(|line| !line.is_empty());
    if lines.len() > MOST_LINES {
        few.push(format!("and {} more", lines.len() - MOST_LINES));
    }
    few
}

/// The id without what a marker, a key or a query could be steered by.
fn incident(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    id.chars().take(100).map(safe).collect()
}

/// A link without a character that ends or begins something in any dialect.
fn safe_link(link: &str) -> Option<String> {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&*+,;=%".contains(c);
    let is_link = link.starts_with("https://") || link.starts_with("http://");
    (is_link && link.len() <= 500 && link.chars().all(is_safe)).then(|| link.to_owned())
}
