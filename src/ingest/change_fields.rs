//! Which field of a listed change holds what, for JSON and CSV alike.
//!
//! Sources: the documentation of Grafana's annotations, GitHub's deployments and releases, Argo CD's history, and the words
//! that people's own lists use. Names are plain as in [`super::json_fields`]; ranks decide among names that tell the same.

use std::borrow::Cow;

use super::json_fields::PlainFields;
use super::json_stream::Scalar;
use super::{log_text, semconv, signals};
use crate::telemetry::change::{Change, ChangeKind};
use crate::telemetry::id::ServiceId;

/// What a field tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    Time,
    Service,
    Namespace,
    /// The address of a repository, whose last part may name the service.
    Repository,
    Kind,
    Version,
    Before,
    Title,
    Text,
    Tag,
    /// Grafana writes it beside its annotations.
    Annotation,
    /// Grafana's note that an alert changed its state.
    AlertState,
    /// Says that the record is no change but a log record, a span or a sample.
    Other,
}

/// What a name tells, and its rank among the names that tell the same (0 wins).
pub(super) fn slot(name: &str) -> Option<(Slot, u8)> {
    Some(match name {
        "deployedat" => (Slot::Time, 0),
        "startedat" | "startsat" | "starttime" => (Slot::Time, 1),
        "time" | "timestamp" | "@timestamp" | "at" | "ts" | "when" | "date" | "datetime" | "timens" => (Slot::Time, 2),
        "publishedat" | "releasedat" | "completedat" | "finishedat" | "appliedat" | "changedat" | "mergedat" => {
            (Slot::Time, 3)
        }
        "createdat" | "created" | "eventtime" => (Slot::Time, 4),
        "service" | "servicename" | "services" => (Slot::Service, 0),
        "app" | "application" | "applicationname" | "appname" | "component" | "componentname" | "microservice"
        | "workload" | "target" | "deployment" | "deploymentname" => (Slot::Service, 1),
        "project" | "projectname" | "repository" | "repo" | "repositoryname" => (Slot::Service, 2),
        "servicenamespace" => (Slot::Namespace, 0),
        "repositoryurl" => (Slot::Repository, 0),
        "kind" | "type" | "changetype" | "changekind" => (Slot::Kind, 0),
        "eventtype" | "category" | "action" | "task" | "event" => (Slot::Kind, 1),
        "version" | "newversion" | "serviceversion" => (Slot::Version, 0),
        "image" | "newimage" | "imagetag" | "tag" | "tagname" | "release" => (Slot::Version, 1),
        "revision" | "commit" | "commitsha" | "commitid" | "sha" | "gitcommit" | "gitsha" => (Slot::Version, 2),
        "build" | "ref" => (Slot::Version, 3),
        "value" | "newvalue" | "to" | "after" => (Slot::Version, WEAK_VERSION),
        "from" | "before" | "oldversion" | "previousversion" | "oldvalue" => (Slot::Before, 0),
        "title" | "summary" => (Slot::Title, 0),
        "name" | "flag" | "flagkey" | "key" => (Slot::Title, 1),
        "description" | "details" | "comment" | "notes" | "reason" => (Slot::Text, 0),
        "message" | "text" | "msg" | "body" => (Slot::Text, WEAK_TEXT),
        "tags" => (Slot::Tag, 0),
        "dashboardid" | "dashboarduid" | "panelid" | "timeend" => (Slot::Annotation, 0),
        "newstate" => (Slot::AlertState, 0),
        "level" | "severity" | "loglevel" | "lvl" | "severitytext" | "logger" | "loggername" | "thread"
        | "threadname" | "stream" | "log" | "shortmessage" | "pid" | "traceid" | "spanid" | "duration" | "metric"
        | "alerts" | "metrics" => (Slot::Other, 0),
        _ => return None,
    })
}

/// Names that series have for their values too.
pub(super) const WEAK_VERSION: u8 = 4;
/// Names that logs have for their messages too.
const WEAK_TEXT: u8 = 1;

/// What the fields of one change tell.
#[derive(Debug, Default)]
pub(super) struct ChangeFields<'a> {
    time: Option<(u8, i64)>,
    /// Whether the time names no zone.
    zoneless: bool,
    services: Vec<(u8, Cow<'a, str>)>,
    namespace: Cow<'a, str>,
    repository: Cow<'a, str>,
    kind: Option<(u8, Cow<'a, str>)>,
    version: Option<(u8, Cow<'a, str>)>,
    before: Cow<'a, str>,
    title: Option<(u8, Cow<'a, str>)>,
    text: Option<(u8, Cow<'a, str>)>,
    tags: Vec<Cow<'a, str>>,
    has_annotation: bool,
    is_alert: bool,
    is_other: bool,
}

impl<'a> PlainFields<'a> for ChangeFields<'a> {
    const TRANSPARENT: &'static [&'static str] =
        &["payload", "data", "attributes", "fields", "properties", "labels", "details", "change"];

    fn note(&mut self, name: &str, value: Scalar<'a>) {
        if let Some((slot, rank)) = slot(name) {
            self.take(slot, rank, value);
        }
    }
}

impl<'a> ChangeFields<'a> {
    /// Takes a field by what it tells.
    pub(super) fn take(&mut self, slot: Slot, rank: u8, value: Scalar<'a>) {
        match slot {
            Slot::Other => return self.is_other |= value != Scalar::Absent,
            Slot::Annotation => return self.has_annotation = true,
            Slot::Time => {
                if let Some(instant) = log_text::time(&value)
                    && self.time.is_none_or(|(known, _)| rank < known)
                {
                    self.time = Some((rank, instant.ns));
                    self.zoneless = !instant.zoned;
                }
                return;
            }
            _ => {}
        }
        let Some(text) = value.into_text().filter(|text| !text.trim().is_empty()) else { return };
        let keep = |known: &mut Option<(u8, Cow<'a, str>)>, text| {
            if known.as_ref().is_none_or(|(known, _)| rank < *known) {
                *known = Some((rank, text));
            }
        };
        match slot {
            Slot::Service => self.services.push((rank, text)),
            Slot::Namespace => self.namespace = text,
            Slot::Repository => self.repository = text,
            Slot::Kind => keep(&mut self.kind, text),
            Slot::Version => keep(&mut self.version, text),
            Slot::Before => self.before = text,
            Slot::Title => keep(&mut self.title, text),
            Slot::Text => keep(&mut self.text, text),
            Slot::Tag => self.tags.extend(text.split(',').map(|tag| Cow::Owned(tag.trim().to_owned()))),
            Slot::AlertState => self.is_alert = true,
            Slot::Time | Slot::Annotation | Slot::Other => {}
        }
    }

    /// Whether a record with these fields can be no other thing than a change.
    pub(super) fn is_change(&self) -> bool {
        let rank = |known: &Option<(u8, Cow<'a, str>)>| known.as_ref().map_or(u8::MAX, |(rank, _)| *rank);
        let has_kind = self.kind.as_ref().is_some_and(|(_, kind)| kind_of(kind).is_some());
        // Programs write their version into every line of their logs, too; what they say there is of something else.
        let is_message = rank(&self.text) == WEAK_TEXT && self.title.is_none();
        let tells_of_change = self.text.as_ref().is_some_and(|(_, text)| kind_of(text).is_some());
        let has_version =
            rank(&self.version) < WEAK_VERSION && !self.services.is_empty() && (!is_message || tells_of_change);
        let is_told = !self.services.is_empty() && (rank(&self.title) == 0 || rank(&self.text) < WEAK_TEXT);
        let is_annotation = self.has_annotation && self.text.is_some();
        self.time.is_some() && !self.is_other && (has_kind || has_version || is_told || is_annotation)
    }

    /// Whether it is Grafana's note that an alert changed its state, which nobody did to the system.
    pub(super) fn is_alert(&self) -> bool {
        self.is_alert
    }

    pub(super) fn has_time(&self) -> bool {
        self.time.is_some()
    }

    /// Whether the time names no zone and was read as UTC.
    pub(super) fn zoneless(&self) -> bool {
        self.zoneless
    }

    /// Whether there is what only other records have, or a time and a text such as logs have.
    pub(super) fn may_be_log(&self) -> bool {
        self.is_other || (self.time.is_some() && self.text.as_ref().is_some_and(|(rank, _)| *rank >= WEAK_TEXT))
    }

    /// Whether anything but a time is told.
    pub(super) fn tells(&self) -> bool {
        let texts = [&self.kind, &self.version, &self.title, &self.text];
        texts.into_iter().any(Option::is_some)
            || !(self.services.is_empty()
                && self.tags.is_empty()
                && self.repository.is_empty()
                && self.before.is_empty())
    }

    /// The change, for each of the services that it names; `None` without a readable time.
    pub(super) fn changes(&self, source: &str) -> Option<Vec<Change>> {
        let (_, at_ns) = self.time?;
        let text = |known: &Option<(u8, Cow<'a, str>)>| {
            known.as_ref().map_or_else(String::new, |(_, text)| text.trim().to_owned())
        };
        let (version, title, told) = (text(&self.version), text(&self.title), text(&self.text));
        let mut description = match (title.is_empty() || told.contains(&title), told.is_empty()) {
            (true, _) => told,
            (false, true) => title,
            (false, false) => format!("{title}: {told}"),
        };
        if description.is_empty() && !self.before.trim().is_empty() {
            description = format!("before: {}", self.before.trim());
        }
        let kind = self.kind(&description);
        let change = |service: Option<ServiceId>| Change {
            at_ns,
            service,
            kind,
            version: version.clone(),
            description: description.clone(),
            source: source.to_owned(),
        };
        let services = self.service_names();
        if services.is_empty() {
            return Some(vec![change(None)]);
        }
        Some(services.into_iter().map(|service| change(Some(service))).collect())
    }

    fn kind(&self, description: &str) -> ChangeKind {
        let named = self.kind.as_ref().and_then(|(_, kind)| kind_of(kind));
        let tagged = || self.tags.iter().find_map(|tag| kind_of(tag));
        let versioned = || self.version.as_ref().filter(|(rank, _)| *rank < WEAK_VERSION).map(|_| ChangeKind::Deploy);
        named.or_else(tagged).or_else(versioned).or_else(|| kind_of(description)).unwrap_or(ChangeKind::Other)
    }

    fn service_names(&self) -> Vec<ServiceId> {
        let best = self.services.iter().map(|(rank, _)| *rank).min();
        let mut names: Vec<&str> =
            self.services.iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, name)| name.trim()).collect();
        if names.is_empty() {
            for known in &self.tags {
                let (key, value) = known.split_once([':', '=']).unwrap_or_default();
                if matches!(key.trim(), "service" | "app" | "component" | "service.name") {
                    names.push(value.trim());
                }
            }
        }
        if names.is_empty() {
            names.extend(self.repository.trim_end_matches('/').rsplit('/').next());
        }
        let mut ids: Vec<ServiceId> = names
            .into_iter()
            .filter(|name| !name.is_empty())
            .map(|name| {
                ServiceId::new(&semconv::service_identity(signals::service_of_pod(name), self.namespace.trim(), ""))
            })
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// Parts of words that tell a kind, in small letters; the first that fits counts: a `feature flag release` is a flag.
const KINDS: &[(&str, ChangeKind)] = &[
    ("flag", ChangeKind::Flag),
    ("toggle", ChangeKind::Flag),
    ("experiment", ChangeKind::Flag),
    ("scal", ChangeKind::Scale),
    ("replica", ChangeKind::Scale),
    ("resize", ChangeKind::Scale),
    ("capacity", ChangeKind::Scale),
    ("config", ChangeKind::Config),
    ("setting", ChangeKind::Config),
    ("secret", ChangeKind::Config),
    ("environment variable", ChangeKind::Config),
    ("migration", ChangeKind::Config),
    ("deploy", ChangeKind::Deploy),
    ("release", ChangeKind::Deploy),
    ("rollout", ChangeKind::Deploy),
    ("rollback", ChangeKind::Deploy),
    ("rolled back", ChangeKind::Deploy),
    ("upgrade", ChangeKind::Deploy),
    ("canary", ChangeKind::Deploy),
    ("new version", ChangeKind::Deploy),
    ("image", ChangeKind::Deploy),
];

/// Bytes of a text in which a kind is looked for.
const KIND_BYTES: usize = 400;

fn kind_of(text: &str) -> Option<ChangeKind> {
    let text: String = text.chars().take(KIND_BYTES).collect::<String>().to_lowercase();
    KINDS.iter().find(|(word, _)| text.contains(word)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_with_a_version_is_no_change() {
        let is_change = |json: &str| {
            let mut fields = ChangeFields::default();
            super::super::json_fields::read(json, &mut fields);
            fields.is_change()
        };
        let with = |more: &str| format!(r#"{{"time":"2026-03-02T10:00:00Z","service":"cart","version":"v2"{more}}}"#);
        assert!(!is_change(&with(r#","message":"order 7 placed""#)));
        for more in
            ["", r#","message":"deployed by ann""#, r#","description":"faster""#, r#","title":"faster","msg":"x""#]
        {
            assert!(is_change(&with(more)), "{more}");
        }
    }

    #[test]
    fn each_word_tells_its_kind() {
        for (word, kind) in KINDS {
            assert_eq!(kind_of(&word.to_uppercase()), Some(*kind), "{word}");
        }
        assert_eq!(kind_of("feature flag release"), Some(ChangeKind::Flag));
        assert_eq!(kind_of("Deployment scaled"), Some(ChangeKind::Scale));
        assert_eq!(kind_of("Event"), None);
    }
}
