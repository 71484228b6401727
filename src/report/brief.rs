//! The few sentences that a chat, a pager or the first lines of a ticket have room for, made once for all of them.

use crate::explain::{Cause, Diagnosis, numbers};
use crate::rank::{Suspect, Verdict};

use super::{escape, wording};

/// Longest name.
const NAME: usize = 80;
/// Longest sentence.
const SENTENCE: usize = 240;
/// Causes, candidates, symptoms and changes that are told.
const FEW: usize = 3;
/// Pieces of evidence and next steps that are told.
const REASONS: usize = 3;
/// Evidence that does not even double the odds is none to tell in brief.
const LEAST_BITS: f64 = 1.0;

/// A diagnosis in brief. All texts are single lines of bounded length without control characters; they hold telemetry's
/// names, so each dialect escapes them.
#[derive(Clone, PartialEq, Debug)]
pub struct Brief {
    /// `cause_found`, `cannot_tell` or `no_anomaly`, as in the JSON report.
    pub verdict: &'static str,
    /// What and how sure, to stand in a title: `payments is the cause (99 %, very likely)`.
    pub headline: String,
    /// The causes; none unless the verdict is `cause_found`.
    pub causes: Vec<BriefCause>,
    /// Why the verdict is what it is.
    pub reason: String,
    /// What users felt, with numbers.
    pub symptoms: Vec<String>,
    /// The window that was analysed.
    pub window: String,
    /// From the symptom to the first cause, `frontend → checkout → payments`; empty where no path is known.
    pub path: String,
    /// What speaks most for the causes, beyond the reason.
    pub evidence: Vec<String>,
    /// Who else it could be, with probabilities.
    pub candidates: Vec<String>,
    /// What was changed near the incident, at the cause first.
    pub changes: Vec<String>,
    /// What to look at next, most useful first.
    pub next_steps: Vec<String>,
}

/// A cause in brief.
#[derive(Clone, PartialEq, Debug)]
pub struct BriefCause {
    /// The service, or the call between two.
    pub name: String,
    /// The service; of a call, who is called.
    pub service: String,
    /// Probability, 0 to 1.
    pub probability: f64,
    /// Probability in words, share of the symptom, since when.
    pub details: String,
}

impl Brief {
    /// The brief of a diagnosis.
    pub fn of(diagnosis: &Diagnosis) -> Self {
        let first = |texts: &[String], most: usize| texts.iter().take(most).map(|text| sentence(text)).collect();
        let gloss = wording::verdict_gloss(diagnosis);
        let reason = if diagnosis.verdict_reason.is_empty() { gloss } else { &diagnosis.verdict_reason };
        let evidence = diagnosis.causes.iter().flat_map(|cause| &cause.evidence);
        let evidence = evidence.filter(|line| line.bits >= LEAST_BITS && line.text != diagnosis.verdict_reason);
        let mut changes: Vec<_> = diagnosis.changes.iter().collect();
        changes.sort_by_key(|line| !line.at_cause);
        let change = |line: &&_| {
            let (service, what) = (wording::change_service(line), wording::change_what(line));
            let place = if line.at_cause { " (the cause)" } else { "" };
            sentence(&format!("{service}{place}: {what}, {}", wording::change_time(line)))
        };
        let candidate = |candidate: &crate::rank::Candidate| {
            let probability = numbers::probability(candidate.probability);
            sentence(&format!("{} {probability}", name(&candidate.suspect)))
        };
        Self {
            verdict: match diagnosis.verdict {
                Verdict::CauseFound => "cause_found",
                Verdict::NoAnomaly => "no_anomaly",
                Verdict::CannotTell => "cannot_tell",
            },
            headline: headline(diagnosis),
            causes: diagnosis.causes.iter().take(FEW).map(cause).collect(),
            reason: sentence(reason),
            symptoms: diagnosis.symptoms.iter().take(FEW).map(|change| sentence(&wording::symptom(change))).collect(),
            window: wording::window(&diagnosis.window),
            path: diagnosis.causes.first().map(path).unwrap_or_default(),
            evidence: evidence.take(REASONS).map(|line| sentence(&line.text)).collect(),
            candidates: diagnosis.alternatives.iter().take(FEW).map(candidate).collect(),
            changes: changes.iter().take(FEW).map(change).collect(),
            next_steps: first(&diagnosis.next_steps, REASONS),
        }
    }
}

fn headline(diagnosis: &Diagnosis) -> String {
    let sure =
        |(suspect, probability): (&Suspect, f64)| format!("{} ({})", name(suspect), wording::confidence(probability));
    let causes: Vec<_> = diagnosis.causes.iter().map(|c| (&c.candidate.suspect, c.candidate.probability)).collect();
    let others = diagnosis.alternatives.iter().take(FEW);
    let others: Vec<String> =
        others.map(|c| format!("{} {}", name(&c.suspect), numbers::probability(c.probability))).collect();
    match (diagnosis.verdict, causes.as_slice()) {
        (Verdict::CauseFound, [(suspect, probability)]) => {
            format!("{} is the cause ({})", name(suspect), wording::confidence(*probability))
        }
        (Verdict::CauseFound, several) => {
            let shown: Vec<String> = several.iter().take(FEW).copied().map(sure).collect();
            let more = several.len().saturating_sub(FEW);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("{} causes: {}{more}", several.len(), shown.join(", "))
        }
        (Verdict::NoAnomaly, _) => "no anomaly found".to_owned(),
        (Verdict::CannotTell, _) if others.is_empty() => "the cause cannot be told".to_owned(),
        (Verdict::CannotTell, _) => format!("the cause cannot be told; candidates: {}", others.join(", ")),
    }
}

fn cause(cause: &Cause) -> BriefCause {
    BriefCause {
        name: name(&cause.candidate.suspect),
        service: escape::terminal(cause.candidate.suspect.service().as_str(), NAME),
        probability: cause.candidate.probability,
        details: sentence(&wording::cause_details(cause)),
    }
}

/// The way in one line; a long one loses its middle, since where it is felt and where it begins matter most.
fn path(cause: &Cause) -> String {
    let nodes: Vec<String> = wording::path_nodes(&cause.path).iter().map(|node| escape::terminal(node, NAME)).collect();
    match nodes.as_slice() {
        [first, second, .., before, last] if nodes.len() > 6 => {
            let left_out = nodes.len() - 4;
            format!("{first} → {second} → … {left_out} more … → {before} → {last}")
        }
        short => short.join(" → "),
    }
}

fn name(suspect: &Suspect) -> String {
    escape::terminal(&wording::suspect(suspect), NAME)
}

fn sentence(text: &str) -> String {
    escape::terminal(text, SENTENCE)
}
