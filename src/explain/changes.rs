//! What was changed in the system shortly before the incident and in it. Nothing says that a change is the cause: what is
//! said is when it was, and whether it was at a cause.

use std::collections::BTreeSet;

use super::{Cause, ChangeLine, numbers};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::evidence::beside::Comparison;
use crate::rank::evidence::changes::supports;
use crate::rank::{Candidate, Suspect};
use crate::telemetry::change::{Change, ChangeKind};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Signal;
use crate::telemetry::time::NANOS_PER_SECOND;

/// A change this long before the incident is still shown: leaks, caches and certificates take hours.
const LOOK_BACK_NS: i64 = 6 * 3600 * NANOS_PER_SECOND;

/// One change is told by people, seen in spans and seen in metrics, each a little later than the one before: within the
/// time of a roll-out they are the same.
const ROLL_OUT_NS: i64 = 10 * 60 * NANOS_PER_SECOND;

/// Changes from some hours before the incident to its end, by time. Where there are more than fit, those at the causes
/// come first, then those at the candidates, then those nearest to the beginning of the incident.
pub(super) fn lines(incident: &Incident, causes: &[Cause], alternatives: &[Candidate]) -> Vec<ChangeLine> {
    let at_causes: BTreeSet<&ServiceId> = causes.iter().flat_map(|cause| services(&cause.candidate.suspect)).collect();
    let candidates: BTreeSet<&ServiceId> = alternatives.iter().flat_map(|c| services(&c.suspect)).collect();
    let start_ns = incident.window.start_ns();
    let earliest = start_ns.saturating_sub(LOOK_BACK_NS);
    let within = |at_ns: i64| (earliest..incident.window.end_ns()).contains(&at_ns);
    let mut lines: Vec<ChangeLine> = told_once(&incident.changes)
        .into_iter()
        .filter(|change| within(change.at_ns))
        .map(|change| ChangeLine {
            at_cause: change.service.as_ref().is_some_and(|service| at_causes.contains(service)),
            after_start_ns: change.at_ns.saturating_sub(start_ns),
            change,
        })
        .collect();
    let is_candidate = |line: &ChangeLine| line.change.service.as_ref().is_some_and(|s| candidates.contains(s));
    lines.sort_by_key(|line| (!line.at_cause, !is_candidate(line), line.after_start_ns.unsigned_abs()));
    lines.truncate(super::MAX_ROWS);
    lines.sort_by(|a, b| a.change.cmp(&b.change));
    lines
}

/// Deploys that several sources tell of, each once: as the first source tells it, with the sources of the others.
fn told_once(changes: &[Change]) -> Vec<Change> {
    let mut once: Vec<Change> = Vec::new();
    for change in changes {
        let is_same = |known: &&mut Change| {
            let versions_agree =
                known.version.is_empty() || change.version.is_empty() || known.is_of_version(&change.version);
            (known.kind, change.kind) == (ChangeKind::Deploy, ChangeKind::Deploy)
                && known.service == change.service
                && !known.source.split("; ").any(|source| source == change.source)
                && change.at_ns.saturating_sub(known.at_ns) <= ROLL_OUT_NS
                && versions_agree
        };
        match once.iter_mut().rev().find(is_same) {
            Some(known) => {
                if known.version.is_empty() {
                    known.version.clone_from(&change.version);
                }
                known.source = format!("{}; {}", known.source, change.source);
            }
            None => once.push(change.clone()),
        }
    }
    once
}

/// Why a change speaks for its service: when it was, and how the changed part did beside the unchanged one.
pub(super) fn sentence(incident: &Incident, findings: &[Finding], service: &ServiceId) -> String {
    let supports = supports(incident, findings);
    let told = supports.get(service).and_then(|s| Some((incident.changes.get(s.change)?, s)));
    let Some((change, support)) = told else { return format!("{service} was changed shortly before") };
    let what = match change.kind {
        ChangeKind::Deploy if change.version.is_empty() => "a deploy".to_owned(),
        ChangeKind::Deploy => format!("a deploy of {}", change.version),
        ChangeKind::Config => "other settings".to_owned(),
        ChangeKind::Flag => "a feature flag".to_owned(),
        ChangeKind::Scale => "another scale".to_owned(),
        ChangeKind::Other => "a change".to_owned(),
    };
    let beside = support.worse.map_or_else(String::new, |worse| format!("; {}", compared(&worse)));
    format!("{service} was changed ({what}) {} its onset{beside}", distance(support.before_onset_ns))
}

/// `3 min before`; `right at` below a minute's half.
fn distance(before_ns: i64) -> String {
    let seconds = before_ns / NANOS_PER_SECOND;
    match (seconds + 30) / 60 {
        0 => "right at".to_owned(),
        minutes => format!("{minutes} min before"),
    }
}

fn compared(worse: &Comparison) -> String {
    let (new, old) = if worse.versions {
        ("the new version", "the old one beside it")
    } else {
        ("its new instances", "the old ones beside them")
    };
    if worse.signal == Signal::SelfTime {
        let [changed, unchanged] = [worse.changed, worse.unchanged].map(numbers::seconds);
        return format!("{new} took {changed} of own time a call where {old} took {unchanged}");
    }
    let [changed, unchanged] = [worse.changed, worse.unchanged].map(numbers::percent);
    format!("{new} failed in {changed} of calls where {old} failed in {unchanged}")
}

fn services(suspect: &Suspect) -> Vec<&ServiceId> {
    match suspect {
        Suspect::Service(service) => vec![service],
        Suspect::Edge { caller, callee } => vec![caller, callee],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * NANOS_PER_SECOND;

    fn change(minute: i64, kind: ChangeKind, version: &str, source: &str) -> Change {
        let (version, source) = (version.to_owned(), source.to_owned());
        let description = String::new();
        Change { at_ns: minute * MINUTE, service: Some("pay".into()), kind, version, description, source }
    }

    #[test]
    fn a_deploy_of_which_three_sources_tell_is_listed_once() {
        let deploy = |minute, version, source| change(minute, ChangeKind::Deploy, version, source);
        let all = [
            deploy(3, "1.4", "changes.json"),
            deploy(4, "1.4", "service.version of spans"),
            deploy(4, "registry/pay:1.4", "kube_pod_container_info"),
            deploy(6, "1.5", "service.version of spans"),
            change(6, ChangeKind::Scale, "", "kube_deployment_spec_replicas"),
            deploy(60, "1.4", "changes.json"),
        ];
        let once = told_once(&all);
        let told: Vec<(i64, &str)> = once.iter().map(|c| (c.at_ns / MINUTE, c.version.as_str())).collect();
        assert_eq!(told, [(3, "1.4"), (6, "1.5"), (6, ""), (60, "1.4")]);
        assert_eq!(once[0].source, "changes.json; service.version of spans; kube_pod_container_info");
    }

    #[test]
    fn times_are_told_in_minutes() {
        assert_eq!(distance(20 * NANOS_PER_SECOND), "right at");
        assert_eq!(distance(170 * NANOS_PER_SECOND), "3 min before");
    }

    #[test]
    fn a_comparison_names_both_sides() {
        let (changed, unchanged) = (0.12, 0.001);
        let worse = Comparison {
            signal: Signal::OriginErrorRatio,
            versions: true,
            changed,
            unchanged,
            effect: changed - unchanged,
            error: 0.01,
            degrees: 9.0,
        };
        let text = "the new version failed in 12 % of calls where the old one beside it failed in 0.1 %";
        assert_eq!(compared(&worse), text);
    }
}
