//! What went before an analysis: earlier versions of the report, earlier incidents that looked alike.

use crate::rank::Suspect;
use crate::timespec::rfc3339;

use super::{Cause, Diagnosis};

/// What a server that remembers knows beside the telemetry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// Which report of the incident this is; 1 is the first.
    pub version: u32,
    /// What changed since the version before, a sentence each. Hostile text.
    pub changed: Vec<String>,
    /// Earlier incidents with the same signature, those with a confirmed cause first.
    pub similar: Vec<Earlier>,
}

/// An earlier incident that looked alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Earlier {
    /// Its number.
    pub incident: i64,
    /// When it began, Unix nanoseconds.
    pub starts_ns: i64,
    /// Whether somebody has said what it was.
    pub is_confirmed: bool,
    /// The true cause as it was given; none for a false alarm. Hostile text.
    pub confirmed_cause: Option<String>,
    /// What was noted with it. Hostile text.
    pub note: String,
}

impl Earlier {
    /// In one sentence.
    pub fn sentence(&self) -> String {
        let what = match (&self.confirmed_cause, self.is_confirmed) {
            (Some(cause), _) => format!("the cause was {cause}"),
            (None, true) => "it was a false alarm".to_owned(),
            (None, false) => "nobody has confirmed a cause".to_owned(),
        };
        let note = if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) };
        format!("incident {} of {}: {what}{note}", self.incident, rfc3339(self.starts_ns))
    }
}

/// How the first cause shows itself: who, on which path, by which signals. Equal for incidents that look alike, `None`
/// without a cause.
pub fn signature(diagnosis: &Diagnosis) -> Option<String> {
    let cause = diagnosis.causes.first()?;
    let path: Vec<&str> = cause.path.iter().map(|step| step.callee.as_str()).collect();
    let mut signals: Vec<String> =
        cause.evidence.iter().filter_map(|line| Some(format!("{:?}", line.finding.as_ref()?.signal))).collect();
    signals.sort();
    signals.dedup();
    Some(format!("{}|{}|{}", suspect(cause), path.join(">"), signals.join(",")))
}

/// What the reader of an earlier report should know has changed, a sentence each; of `before`: verdict, first cause and
/// its probability.
pub fn changed(before: (&str, Option<&str>, Option<f64>), diagnosis: &Diagnosis) -> Vec<String> {
    let (verdict, cause, probability) = before;
    let now = diagnosis.causes.first();
    let now_cause = now.map(suspect);
    let mut changed = Vec::new();
    if verdict != diagnosis.verdict.word() {
        changed.push(format!("the verdict was \u{201c}{}\u{201d}", verdict.replace('_', " ")));
    }
    match (cause, now_cause) {
        (Some(cause), now_cause) if now_cause.as_deref() != Some(cause) => {
            changed.push(format!("the cause was thought to be {cause}"));
        }
        (Some(_), Some(_)) => {
            let (before, now) = (probability.unwrap_or(0.0), now.map_or(0.0, |now| now.candidate.probability));
            if (before - now).abs() >= MOVED {
                changed.push(format!("the probability of the cause was {:.0} %", before * 100.0));
            }
        }
        _ => {}
    }
    changed
}

/// A difference of probability that a reader should know of.
const MOVED: f64 = 0.10;

/// The name of a cause in reports, signatures and searches.
pub fn suspect(cause: &Cause) -> String {
    match &cause.candidate.suspect {
        Suspect::Service(service) => service.to_string(),
        Suspect::Edge { caller, callee } => format!("{caller} → {callee}"),
    }
}
