//! The section `[incidents]`: how alerts become analyses.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::receiver::At;
use super::{SettingsError, Table};
use crate::respond::{self, Signature};
use crate::windows::Rules;

/// The section with its keys.
pub(super) const KEYS: &[Table] = &[(
    "incidents",
    &[
        "before",
        "longest",
        "baseline",
        "guard",
        "ticket_labels",
        "analyse_after",
        "again_after",
        "group_within",
        "unheard_after",
        "most_waiting",
        "workers",
        "deadline",
        "keep",
        "external_url",
        "signature_secret_file",
        "signature_header",
        "signature_timestamp_header",
    ],
)];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Incidents {
    before: Option<String>,
    longest: Option<String>,
    baseline: Option<String>,
    guard: Option<String>,
    ticket_labels: Option<Vec<String>>,
    analyse_after: Option<String>,
    again_after: Option<Vec<String>>,
    group_within: Option<String>,
    unheard_after: Option<String>,
    most_waiting: Option<usize>,
    workers: Option<usize>,
    deadline: Option<String>,
    keep: Option<String>,
    external_url: Option<String>,
    signature_secret_file: Option<PathBuf>,
    signature_header: Option<String>,
    signature_timestamp_header: Option<String>,
}

/// As Grafana calls it.
const SIGNATURE_HEADER: &str = "X-Grafana-Alerting-Signature";

impl Incidents {
    pub(super) fn checked(self, path: &Path) -> Result<respond::Settings, SettingsError> {
        let default = respond::Settings::default();
        let key = |name: &'static str| At { path, key: format!("incidents.{name}") };
        let windows = Rules {
            before_alert_ns: nanoseconds(&key("before"), self.before, default.windows.before_alert_ns)?,
            longest_firing_ns: nanoseconds(&key("longest"), self.longest, default.windows.longest_firing_ns)?,
            baseline_ns: nanoseconds(&key("baseline"), self.baseline, default.windows.baseline_ns)?,
            guard_ns: nanoseconds(&key("guard"), self.guard, default.windows.guard_ns)?,
        };
        let again = |after: Vec<String>| {
            after.into_iter().map(|text| key("again_after").duration(Some(text), Duration::ZERO)).collect()
        };
        let least_one = |name, number: Option<usize>, default| match number {
            Some(0) => Err(key(name).wrong("at least 1")),
            given => Ok(given.unwrap_or(default)),
        };
        if self.external_url.as_deref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err(key("external_url").wrong("an address begins with http:// or https://"));
        }
        let signature = match &self.signature_secret_file {
            Some(file) => {
                let secret_file = path.parent().unwrap_or(Path::new("")).join(file);
                let header = self.signature_header.unwrap_or_else(|| SIGNATURE_HEADER.to_owned());
                let timestamp_header = self.signature_timestamp_header;
                Some(Signature { secret_file, header, timestamp_header })
            }
            None if self.signature_header.is_some() || self.signature_timestamp_header.is_some() => {
                let problem = "a signature needs the key that both sides know: name its file here";
                return Err(key("signature_secret_file").wrong(problem));
            }
            None => None,
        };
        Ok(respond::Settings {
            windows,
            ticket_labels: self.ticket_labels.unwrap_or(default.ticket_labels),
            analyse_after: key("analyse_after").duration(self.analyse_after, default.analyse_after)?,
            again_after: self.again_after.map(again).transpose()?.unwrap_or(default.again_after),
            group_within: key("group_within").duration(self.group_within, default.group_within)?,
            unheard_after: key("unheard_after").duration(self.unheard_after, default.unheard_after)?,
            most_waiting: least_one("most_waiting", self.most_waiting, default.most_waiting)?,
            workers: least_one("workers", self.workers, default.workers)?,
            deadline: key("deadline").duration(self.deadline, default.deadline)?,
            keep: key("keep").duration(self.keep, default.keep)?,
            external_url: self.external_url,
            signature,
        })
    }
}

fn nanoseconds(key: &At<'_>, text: Option<String>, default: i64) -> Result<i64, SettingsError> {
    let Some(text) = text else { return Ok(default) };
    let duration = key.duration(Some(text), Duration::ZERO)?;
    Ok(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
