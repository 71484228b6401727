//! What is known of the cause of a recorded incident: the table `[truth]` of a `case.toml`.

use std::path::Path;

use serde::Deserialize;

use super::{CaseError, instant};
use crate::telemetry::id::ServiceId;

/// What is known about the cause. No analysis reads it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Truth {
    /// What went wrong at the same time, usually one thing; each with the names that are right answers for it. Empty for
    /// a quiet case, in which nothing is wrong.
    pub causes: Vec<Vec<ServiceId>>,
    /// Kind of fault, for tables by kind.
    pub kind: Option<String>,
    /// How bad it was, for tables by severity.
    pub severity: Option<String>,
    /// How it began: `sudden` or `creeping`.
    pub onset: Option<String>,
    /// When it began, Unix ns.
    pub at_ns: Option<i64>,
    /// Services at which users felt it.
    pub entries: Vec<ServiceId>,
    /// Services from where it was felt to the cause, both included.
    pub path: Vec<ServiceId>,
    /// What happened, for people.
    pub description: Option<String>,
}

impl Truth {
    /// Whether the right answer is "no cause found".
    pub fn is_quiet(&self) -> bool {
        self.causes.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TruthToml {
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    causes: Vec<Vec<String>>,
    #[serde(default)]
    none: bool,
    kind: Option<String>,
    severity: Option<String>,
    onset: Option<String>,
    at: Option<toml::Value>,
    #[serde(default)]
    entries: Vec<String>,
    #[serde(default)]
    path: Vec<String>,
    description: Option<String>,
}

impl TruthToml {
    /// Names become ids; what contradicts itself is refused.
    pub(super) fn checked(self, path: &Path) -> Result<Truth, CaseError> {
        let ids = |names: &[String]| names.iter().map(|name| ServiceId::new(name)).collect::<Vec<_>>();
        let empty = |names: &Vec<String>| names.iter().all(|name| name.trim().is_empty());
        let causes = if self.causes.is_empty() && !empty(&self.services) {
            vec![self.services.clone()]
        } else {
            self.causes.clone()
        };
        let several_fit = self.services.iter().all(|name| causes.iter().flatten().any(|cause| cause == name));
        if causes.is_empty() != self.none || causes.iter().any(empty) || !several_fit {
            return Err(CaseError::Truth { path: path.to_owned() });
        }
        Ok(Truth {
            causes: causes.iter().map(|names| ids(names)).collect(),
            kind: self.kind,
            severity: self.severity,
            onset: self.onset,
            at_ns: self.at.map(|at| instant(&at, path, "truth.at")).transpose()?,
            entries: ids(&self.entries),
            path: ids(&self.path),
            description: self.description,
        })
    }
}
