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
