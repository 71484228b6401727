//! The words that all human formats share. Sentences made here hold raw names: each format escapes the whole sentence.

use std::collections::BTreeSet;

use super::escape;
use crate::explain::{AffectedEntry, Cause, ChangeLine, Diagnosis, LogLine, OnsetRow, PathStep, numbers};
use crate::rank::{Candidate, Modality, Suspect, SymptomChange, Verdict};
use crate::telemetry::change::ChangeKind;
use crate::telemetry::logs::Severity;
use crate::telemetry::series::{Signal, Unit};
use crate::telemetry::time::Window;
use crate::telemetry::topology::{EdgeMode, NodeKind};
use crate::telemetry::warning::Warning;
use crate::timespec::rfc3339;

/// Rows that a report for people shows of one list; the rest is counted and is in the JSON.
pub(super) const MOST_ROWS: usize = 10;

pub(super) fn signal(signal: Signal) -> &'static str {
    match signal {
        Signal::Requests => "requests",
        Signal::ErrorRatio => "errors",
        Signal::OriginErrorRatio => "errors of its own",
        Signal::Latency => "latency",
        Signal::SelfTime => "self-time",
        Signal::NetworkGap => "network gap",
        Signal::Cpu => "CPU",
        Signal::CpuThrottling => "CPU throttling",
        Signal::Memory => "memory",
        Signal::Disk => "disk",
        Signal::Sockets => "sockets",
        Signal::Restarts => "restarts",
        Signal::NetworkReceive => "network receive",
        Signal::NetworkTransmit => "network transmit",
        Signal::Syscalls => "system calls",
        Signal::NodeCpu => "CPU of the machine",
        Signal::NodeMemory => "memory of the machine",
        Signal::Timeouts => "timeouts",
        Signal::Retries => "retries",
        Signal::Hedges => "hedged calls",
        Signal::Other => "metric",
    }
}

pub(super) fn modality(modality: Modality) -> &'static str {
    match modality {
        Modality::Attribution => "attribution",
        Modality::Resources => "resources",
        Modality::Behaviour => "behaviour",
        Modality::Network => "network",
        Modality::Correlation => "correlation",
        Modality::Walk => "random walk",
        Modality::Onset => "onset",
        Modality::Structure => "structure",
        Modality::Logs => "logs",
        Modality::Changes => "changes",
    }
}

pub(super) fn node_kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Service => "service",
        NodeKind::Database => "database",
        NodeKind::Queue => "queue",
        NodeKind::External => "external dependency",
    }
}

/// A suspect by its name: a node, or the call between two.
pub(super) fn suspect(suspect: &Suspect) -> String {
    match suspect {
        Suspect::Service(service) => service.to_string(),
        Suspect::Edge { caller, callee } => format!("the call {caller} → {callee}"),
    }
}

/// The verdict in capitals: what a tired reader sees first.
pub(super) fn verdict(diagnosis: &Diagnosis) -> &'static str {
    match (diagnosis.verdict, diagnosis.causes.len()) {
        (Verdict::CauseFound, 0 | 1) => "CAUSE FOUND",
        (Verdict::CauseFound, _) => "SEVERAL CAUSES FOUND",
        (Verdict::NoAnomaly, _) => "NO ANOMALY",
        (Verdict::CannotTell, _) => "CANNOT TELL",
    }
}

/// The verdict as a title begins with it.
pub(super) fn verdict_title(diagnosis: &Diagnosis) -> &'static str {
    match (diagnosis.verdict, diagnosis.causes.len()) {
        (Verdict::CauseFound, 0 | 1) => "Cause found",
        (Verdict::CauseFound, _) => "Several causes found",
        (Verdict::NoAnomaly, _) => "No anomaly",
        (Verdict::CannotTell, _) => "Cannot tell",
    }
}

/// What follows the verdict when there is no name to follow it.
pub(super) fn verdict_gloss(diagnosis: &Diagnosis) -> &'static str {
    match diagnosis.verdict {
        Verdict::CauseFound => "",
        Verdict::NoAnomaly => "nothing that users feel left its baseline, so there is no cause to name",
        Verdict::CannotTell if diagnosis.symptoms.is_empty() && diagnosis.alternatives.is_empty() => {
            "what users feel was not measured in both windows, or nothing shows where it began"
        }
        Verdict::CannotTell => "something changed, but the evidence does not separate the candidates",
    }
}

/// `94 %, very likely`.
pub(super) fn confidence(probability: f64) -> String {
    format!("{}, {}", numbers::probability(probability), numbers::likelihood(probability))
}

/// What qualifies a cause: its kind where it is not a plain service, and the share that it explains.
pub(super) fn cause_details(cause: &Cause) -> String {
    let mut parts = vec![confidence(cause.candidate.probability)];
    match cause.kind {
        Some(NodeKind::Service) | None => {}
        Some(kind) => parts.push(node_kind(kind).to_owned()),
    }
    // A cause found by other evidence than accounting has no share worth saying.
    if let Some(share) = cause.candidate.explained_share.filter(|share| *share >= 0.01) {
        parts.push(format!("{} of the symptom's change begins here", numbers::percent(share)));
    }
    if let Some(onset) = &cause.candidate.onset {
        parts.push(format!("since {}", rfc3339(whole_seconds(onset.at_ns))));
    }
    parts.join(" · ")
}

/// `frontend latency 120 ms → 1.4 s (×12)`.
pub(super) fn symptom(change: &SymptomChange) -> String {
    let values = numbers::change(change.baseline, change.incident, numbers::symptom_unit(change.symptom));
    let passed = if change.significant { "" } else { ", within normal variation" };
    format!("{} {} {values}{passed}", change.entry, change.symptom.word())
}

/// `2026-… to 2026-… (5 min)`.
pub(super) fn window(window: &Window) -> String {
    format!("{} to {} ({})", rfc3339(window.start_ns()), rfc3339(window.end_ns()), numbers::length(window))
}

/// The changes on one edge of the path, most important first.
pub(super) fn step(step: &PathStep) -> String {
    let mut parts: Vec<String> =
        step.changes.iter().map(|c| format!("{} {}", signal(c.signal), numbers::measured(c))).collect();
    if parts.is_empty() {
        parts.push("no measurement on this call".to_owned());
    }
    if step.mode == EdgeMode::Async {
        parts.push("asynchronous: the caller does not wait".to_owned());
    }
    parts.join(" · ")
}

/// The nodes of a path in order, from the symptom to the cause.
pub(super) fn path_nodes(path: &[PathStep]) -> Vec<String> {
    let mut nodes: Vec<String> = path.iter().map(|step| step.caller.to_string()).collect();
    nodes.extend(path.last().map(|step| step.callee.to_string()));
    nodes
}

/// When, how surely, and what.
pub(super) fn onset(row: &OnsetRow) -> (String, String) {
    let within = row.onset.uncertainty_ns.unsigned_abs();
    let when = format!("{} ±{}", rfc3339(whole_seconds(row.onset.at_ns)), numbers::nanoseconds(within));
    (when, signal(row.signal).to_owned())
}

/// `1 234 of 2 345 requests (52.6 %) failed or were slow; normally 1 %`.
pub(super) fn affected(entry: &AffectedEntry) -> String {
    let share = if entry.requests == 0 { 0.0 } else { entry.affected as f64 / entry.requests as f64 };
    format!(
        "{} of {} requests ({}) failed or were unusually slow; normally {}",
        numbers::count(entry.affected),
        numbers::count(entry.requests),
        numbers::percent(share),
        numbers::percent(entry.baseline_share)
    )
}

/// What speaks for a candidate that was not chosen: `attribution +1.2, network −0.4 bits`.
pub(super) fn bits_by_modality(candidate: &Candidate) -> String {
    let mut parts: Vec<String> = Vec::new();
    for evidence in candidate.evidence.iter().take(3) {
        parts.push(format!("{} {}", modality(evidence.modality), signed(evidence.bits)));
    }
    if parts.is_empty() { String::new() } else { format!("{} bits", parts.join(", ")) }
}

/// A number with its sign and one decimal.
pub(super) fn signed(bits: f64) -> String {
    // Rounds first, so that -0.04 is not written as -0.0.
    let rounded = (bits * 10.0).round() / 10.0 + 0.0;
    format!("{rounded:+.1}")
}

pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Unspecified => "no severity",
        Severity::Trace => "trace",
        Severity::Debug => "debug",
        Severity::Info => "info",
        Severity::Warn => "warning",
        Severity::Error => "error",
        Severity::Fatal => "fatal",
    }
}

pub(super) fn change_kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Deploy => "deploy",
        ChangeKind::Config => "configuration",
        ChangeKind::Flag => "flag",
        ChangeKind::Scale => "scaling",
        ChangeKind::Other => "change",
    }
}

/// Longest template of a log message in a report; the JSON has all of it.
pub(super) const TEMPLATE: usize = 160;

/// How often a message came before and during: `new: 24 records (0.4/s)`.
pub(super) fn log_rate(line: &LogLine) -> String {
    let records = numbers::count(line.incident_records);
    let noun = if line.incident_records == 1 { "record" } else { "records" };
    match line.baseline_records {
        0 => format!("new: {records} {noun} ({})", numbers::value(line.incident, Unit::PerSecond)),
        _ => format!("{}, {records} {noun}", numbers::change(line.baseline, line.incident, Unit::PerSecond)),
    }
}

/// When something was changed: `changed 4 min before the incident began`. Never why.
pub(super) fn change_time(line: &ChangeLine) -> String {
    let distance = line.after_start_ns.unsigned_abs();
    let distance = match distance / MINUTE_NS {
        0 => numbers::nanoseconds(distance / SECOND_NS * SECOND_NS),
        minutes @ 1..120 => format!("{minutes} min"),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    };
    match line.after_start_ns {
        0 => "changed as the incident began".to_owned(),
        i64::MIN..0 => format!("changed {distance} before the incident began"),
        _ => format!("changed during the incident, {distance} after it began"),
    }
}

const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_NS: u64 = 60 * SECOND_NS;

/// What was changed: `deploy of 2.3.1: rollout by ci`.
pub(super) fn change_what(line: &ChangeLine) -> String {
    let change = &line.change;
    let mut what = change_kind(change.kind).to_owned();
    if !change.version.is_empty() {
        what.push_str(if change.kind == ChangeKind::Deploy { " of " } else { " to " });
        what.push_str(&change.version);
    }
    if !change.description.is_empty() {
        what.push_str(": ");
        what.push_str(&change.description);
    }
    what
}

/// When it was, in whole seconds.
pub(super) fn change_at(line: &ChangeLine) -> String {
    rfc3339(whole_seconds(line.change.at_ns))
}

/// Whose change it was.
pub(super) fn change_service(line: &ChangeLine) -> String {
    line.change.service.as_ref().map_or_else(|| "(no service named)".to_owned(), ToString::to_string)
}

/// Longest place of a warning.
const PLACE: usize = 80;

/// Warnings for people, the most frequent first: the same message about several files is said once, with the first file
/// and their number.
pub(super) fn warnings(warnings: &[Warning]) -> Vec<String> {
    let mut groups: Vec<(&Warning, BTreeSet<&str>, u64)> = Vec::new();
    for warning in warnings {
        match groups.iter_mut().find(|(first, _, _)| first.message == warning.message) {
            Some((_, sources, affected)) => {
                sources.insert(&warning.source);
                *affected = affected.saturating_add(warning.affected);
            }
            None => groups.push((warning, BTreeSet::from([warning.source.as_str()]), warning.affected)),
        }
    }
    let sentence = |(first, sources, affected): &(&Warning, BTreeSet<&str>, u64)| {
        // A long name in the place must not push the message out of the line, which is cut at its end.
        let first = Warning { place: escape::terminal(&first.place, PLACE), ..(*first).clone() };
        match sources.len() {
            1 => Warning { affected: *affected, ..first }.to_string(),
            n if *affected <= n as u64 => format!("{n} files, first {first}"),
            n => format!("{n} files, first {first}; {} times in all", numbers::count(*affected)),
        }
    };
    // Stable: of equally frequent ones the first in the order of files stays first.
    groups.sort_by_key(|(_, _, affected)| std::cmp::Reverse(*affected));
    groups.iter().map(sentence).collect()
}

/// `and 31 more` for what a list leaves out.
pub(super) fn omitted(total: usize, shown: usize) -> Option<String> {
    (total > shown).then(|| format!("and {} more, all of them with -o json", total - shown))
}

/// Onsets are known to seconds at best: decimals would only pretend.
fn whole_seconds(at_ns: i64) -> i64 {
    const SECOND: i64 = crate::telemetry::time::NANOS_PER_SECOND;
    // Rounded to the nearest; saturating at the ends of the range, where rounding has no room.
    at_ns.saturating_add(SECOND / 2).div_euclid(SECOND).saturating_mul(SECOND)
}

/// What the report calls the services that it does not list.
const UNLISTED: &str = "another service, which shows little or nothing";
/// Below this a probability of these is not worth a line.
const LEAST_UNLISTED: f64 = 0.005;

/// The answers beside the candidates, with their probabilities.
pub(super) fn other_answers(diagnosis: &Diagnosis) -> Vec<(f64, &'static str)> {
    let unlisted = (diagnosis.unlisted_probability, UNLISTED);
    let mut answers: Vec<(f64, &'static str)> = [unlisted].into_iter().filter(|a| a.0 >= LEAST_UNLISTED).collect();
    answers.push((diagnosis.none_probability, "none of them"));
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_in_the_place_does_not_hide_the_message() {
        let warning =
            Warning { source: "logs".to_owned(), place: "s".repeat(5000), message: "is odd".to_owned(), affected: 1 };
        assert_eq!(warnings(&[warning]), [format!("logs, {}…: is odd", "s".repeat(PLACE - 1))]);
    }
}
