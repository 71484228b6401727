//! What the verdict rests on, and what a person should look at next.

use super::{Cause, Coverage, Named, evidence};
use crate::detect::{Change, Finding};
use crate::rank::{Modality, SymptomChange, Verdict, is_felt_measured};
use crate::telemetry::topology::NodeKind;

/// Why the verdict is what it is, one sentence.
pub(super) fn reason(named: &Named<'_>, findings: &[Finding], symptom: Option<&SymptomChange>) -> String {
    match named.verdict {
        Verdict::CauseFound => {
            named.causes.first().and_then(|c| c.evidence.first()).map_or_else(String::new, |line| line.text.clone())
        }
        Verdict::NoAnomaly => no_anomaly(findings, symptom),
        Verdict::CannotTell => {
            let significant = findings.iter().filter(|f| f.significant).count();
            let best: Vec<String> =
                named.alternatives.iter().take(3).map(|c| c.suspect.service().to_string()).collect();
            if best.is_empty() && symptom.is_none() && !is_felt_measured(findings) {
                "neither latency nor errors of any service were measured in both windows".to_owned()
            } else if best.is_empty() {
                format!("{significant} signals left their baseline, but none of them shows where it began")
            } else {
                format!("the evidence does not separate the candidates ({})", best.join(", "))
            }
        }
    }
}

/// Why nothing is wrong. What did change all the same (traffic, most often) is said.
fn no_anomaly(findings: &[Finding], symptom: Option<&SymptomChange>) -> String {
    let significant = || findings.iter().filter(|f| f.significant);
    let strongest = significant().reduce(|best, next| if next.bits > best.bits { next } else { best });
    match (strongest, symptom) {
        (None, Some(change)) => {
            format!("nothing at {} or below it left its baseline by more than its usual spread", change.entry)
        }
        (None, None) => "no signal left its baseline by more than its usual spread".to_owned(),
        (Some(finding), _) => {
            let felt = symptom.map_or_else(
                || "none of them tells of slowness or errors that begin somewhere".to_owned(),
                |change| format!("what users feel at {} did not", change.entry),
            );
            let count = significant().count();
            let signals = if count == 1 { "signal left its baseline" } else { "signals left their baseline" };
            format!("{count} {signals} ({}), but {felt}", evidence::sentence(finding))
        }
    }
}

/// What to look at next, most useful first.
pub(super) fn steps(named: &Named<'_>, findings: &[Finding], coverage: &Coverage) -> Vec<String> {
    let mut steps: Vec<String> = named.causes.iter().flat_map(for_cause).collect();
    if let Some(file) = coverage.cut_files.first.first() {
        steps.insert(
            0,
            format!(
                "fetch {file} again and repeat this: it is cut or damaged, and what is missing looks like a change"
            ),
        );
    }
    if named.verdict == Verdict::CannotTell {
        if !is_felt_measured(findings) {
            steps.push(
                "name windows in which services were asked, and give what tells of it: `hypocenter doctor` shows what there is"
                    .to_owned(),
            );
        }
        for candidate in named.alternatives.iter().take(3) {
            let strongest = candidate.evidence.first().and_then(|e| e.finding).and_then(|index| findings.get(index));
            let why = strongest.map_or_else(String::new, |f| format!(": {}", evidence::sentence(f)));
            steps.push(format!("look at {}{why}", candidate.suspect.service()));
        }
        if coverage.spans.spans == 0 {
            steps.push("add traces of both windows: series alone do not show which calls were slow".to_owned());
        }
        if coverage.series == 0 {
            steps.push("add metrics of both windows: CPU, memory and restarts show faults inside a service".to_owned());
        }
    }
    if named.verdict == Verdict::NoAnomaly {
        steps.push("check that the incident window covers the time when users felt it".to_owned());
        steps.push("check that the baseline windows were normal operation".to_owned());
    }
    steps
}

fn for_cause(cause: &Cause) -> Vec<String> {
    let service = cause.candidate.suspect.service();
    let mut steps = Vec::new();
    if matches!(cause.kind, Some(NodeKind::Database | NodeKind::External | NodeKind::Queue)) {
        steps.push(format!(
            "{service} has no telemetry of its own here: look at its own monitoring or status page before trusting this"
        ));
    }
    for line in &cause.evidence {
        let step = match line.modality {
            Modality::Resources => format!("compare {service}'s resource use with its limits and with its neighbours'"),
            Modality::Network => {
                format!("check the network path to {service}: packet loss, proxy or sidecar, connection pools")
            }
            Modality::Behaviour => format!("look at what changed in {service}: deploys, flags, data, locks"),
            Modality::Structure if line.finding.as_ref().is_some_and(|f| f.change == Change::Rise) => {
                format!("look for loops, retries or a lost cache in {service}: it calls others more often per request")
            }
            Modality::Structure => {
                format!(
                    "look for early returns, exceptions or fallbacks in {service}: requests go another way than before"
                )
            }
            Modality::Logs => format!("read the logs of {service}: it takes another way through its code than before"),
            Modality::Changes => {
                format!("see whether the last change of {service} can be taken back: {service} went wrong after it")
            }
            Modality::Attribution | Modality::Correlation | Modality::Walk | Modality::Onset => continue,
        };
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    if steps.is_empty() {
        steps.push(format!("look at what changed in {service} at the onset: deploys, flags, traffic, data"));
    }
    steps
}
