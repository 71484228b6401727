//! What an alert tells before any analysis: since when, where, and what hurts.

use super::id::ServiceId;

/// What users feel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Symptom {
    /// Requests are slow.
    Latency,
    /// Requests fail.
    Errors,
}

impl Symptom {
    /// As it stands in files and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Errors => "errors",
        }
    }

    /// The reverse of [`Symptom::word`].
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Latency, Self::Errors].into_iter().find(|known| known.word() == word)
    }
}

/// The part of an alert that an analysis starts from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Alert {
    /// Name of the alerting rule.
    pub name: String,
    /// When it began to fire, Unix nanoseconds.
    pub starts_ns: Option<i64>,
    /// When it stopped; `None` while it fires.
    pub ends_ns: Option<i64>,
    /// The service that the alert is about.
    pub service: Option<ServiceId>,
    /// What hurts, where name, labels or expression tell.
    pub symptom: Option<Symptom>,
    /// The expression that fired, from the generator's URL, which is never fetched.
    pub expression: Option<String>,
    /// Human summary from the annotations. Hostile text.
    pub summary: Option<String>,
}
