//! Evidence as sentences with their numbers.

use super::EvidenceLine;
use super::{changes, neighbour, numbers};
use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::rank::evidence::logs::Shown;
use crate::rank::evidence::structure::rerouted;
use crate::rank::fusion::CAP;
use crate::rank::hypocenter::{OwnParts, contentions, log_changes};
use crate::rank::{Candidate, Evidence, Modality};
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject, Unit};

/// Below this part of what it was, a share of calls is said to be gone.
const NO_LONGER: f64 = 0.1;
/// Characters of a log template that a sentence shows.
const MAX_TEMPLATE_CHARS: usize = 80;

/// One line for each piece of evidence, strongest first.
pub(super) fn lines(
    incident: &Incident,
    parts: &[OwnParts],
    findings: &[Finding],
    candidate: &Candidate,
) -> Vec<EvidenceLine> {
    let service = candidate.suspect.service();
    let neighbours = contentions(incident, findings);
    let contention = neighbours.get(service);
    candidate
        .evidence
        .iter()
        .map(|evidence| {
            let finding = evidence.finding.and_then(|index| findings.get(index)).cloned();
            let told = contention.and_then(|c| neighbour::sentence(findings, parts, c, evidence));
            let text = match &finding {
                _ if told.is_some() => told.unwrap_or_default(),
                Some(finding) => sentence(finding),
                None if evidence.modality == Modality::Logs => logs(incident, service),
                None if evidence.modality == Modality::Structure => structure(incident, findings, service),
                None if evidence.modality == Modality::Changes => changes::sentence(incident, findings, service),
                None => without_finding(parts, service, evidence),
            };
            EvidenceLine { modality: evidence.modality, bits: evidence.bits, finding, text }
        })
        .collect()
}

/// What a finding says.
pub(super) fn sentence(finding: &Finding) -> String {
    let signal = signal_phrase(finding.signal, &finding.name);
    let subject = &finding.subject;
    let before = numbers::value(finding.baseline, finding.unit);
    let during = numbers::value(finding.incident, finding.unit);
    let what = match (&finding.change, subject) {
        (Change::Vanished, Subject::Edge { caller, callee }) => format!("{caller} stopped calling {callee}"),
        (Change::Vanished, _) => format!("{signal} of {subject} went silent"),
        (Change::Appeared, Subject::Edge { caller, callee }) => format!("{caller} began to call {callee}"),
        (Change::Appeared, _) => format!("{signal} of {subject} appeared"),
        (Change::Rise, _) => format!("{signal} of {subject} rose"),
        (Change::Fall, _) => format!("{signal} of {subject} fell"),
    };
    format!("{what} from {before} to {during}")
}

/// A signal as people call it.
pub(super) fn signal_phrase(signal: Signal, name: &str) -> String {
    match signal {
        Signal::Requests if name == crate::rank::inside::CALLS_PER_REQUEST => "calls per request".to_owned(),
        Signal::Requests => "request rate".to_owned(),
        Signal::ErrorRatio => "error ratio".to_owned(),
        Signal::OriginErrorRatio => "ratio of errors that begin there".to_owned(),
        Signal::Latency => "latency".to_owned(),
        Signal::SelfTime => "own time (callees taken off)".to_owned(),
        Signal::NetworkGap => "time between caller and callee (network, proxy, queue)".to_owned(),
        Signal::Cpu => "CPU".to_owned(),
        Signal::CpuThrottling => "CPU throttling".to_owned(),
        Signal::Memory => "memory".to_owned(),
        Signal::Disk if name.contains("io_time") => "share of time in which the disk is busy".to_owned(),
        Signal::Disk => "disk traffic".to_owned(),
        Signal::Sockets => "open sockets".to_owned(),
        Signal::Restarts => "restarts".to_owned(),
        Signal::NetworkReceive => "received bytes".to_owned(),
        Signal::NetworkTransmit => "sent bytes".to_owned(),
        Signal::Syscalls => "system calls".to_owned(),
        Signal::NodeCpu => "CPU of the machine".to_owned(),
        Signal::NodeMemory => "memory of the machine".to_owned(),
        Signal::Timeouts => "share of calls that timed out".to_owned(),
        Signal::Retries => "share of retries".to_owned(),
        Signal::Hedges => "share of hedged calls".to_owned(),
        Signal::Other => name.to_owned(),
    }
}

fn without_finding(parts: &[OwnParts], service: &ServiceId, evidence: &Evidence) -> String {
    match evidence.modality {
        Modality::Attribution => attribution(parts, service),
        Modality::Correlation => format!("{service} moves with the symptom over time"),
        Modality::Walk => format!("a random walk along slow calls from the entry ends at {service}"),
        Modality::Onset => format!("{service} changed before the others"),
        Modality::Resources
        | Modality::Behaviour
        | Modality::Network
        | Modality::Structure
        | Modality::Logs
        | Modality::Changes => format!("{service} changed"),
    }
}

/// What shows most that the service's logs changed.
fn logs(incident: &Incident, service: &ServiceId) -> String {
    let text = |template: u32| {
        let whole = incident.logs.templates.get(template as usize).map_or("", String::as_str);
        let short: String = whole.chars().take(MAX_TEMPLATE_CHARS).collect();
        if short.len() < whole.len() {
            format!("\u{201c}{short}…\u{201d}")
        } else {
            format!("\u{201c}{short}\u{201d}")
        }
    };
    let share = |value: f64| numbers::value(value, Unit::Ratio);
    match log_changes(incident).get(service).map(|change| change.shown) {
        Some(Shown::Flow { from, to, before, during }) => {
            let next = to.map_or_else(|| "it logs nothing more".to_owned(), |to| format!("it logs {}", text(to)));
            let (before, during) = (share(before), share(during));
            format!("{service} goes another way: after {} {next} in {during} of traces, before in {before}", text(from))
        }
        Some(Shown::Message { template, before, during }) => {
            let (before, during) = (numbers::value(before, Unit::PerSecond), numbers::value(during, Unit::PerSecond));
            format!("{service} logs {} {during}, before {before}", text(template))
        }
        None => format!("the logs of {service} changed"),
    }
}

/// Whom an operation no longer calls, or calls for the first time.
fn structure(incident: &Incident, findings: &[Finding], service: &ServiceId) -> String {
    let ways = rerouted(incident, findings, &log_changes(incident), CAP);
    let told = ways.get(service).and_then(|way| Some((way, incident.calls.operations.get(way.operation as usize)?)));
    let Some((way, operation)) = told else { return format!("its callers call nobody else after calling {service}") };
    let [before, during] = [way.before, way.during].map(|share| numbers::value(share, Unit::Ratio));
    let how = match way.during < way.before {
        true if way.during < NO_LONGER * way.before => "no longer calls",
        true => "calls more rarely",
        false => "calls for the first time",
    };
    format!("{service}'s {operation} {how} {} (in {before} → {during} of its requests)", way.callee)
}

/// How much of the symptom begins at the service, for the symptom of which that is most.
fn attribution(parts: &[OwnParts], service: &ServiceId) -> String {
    let own = |part: &OwnParts| part.parts.get(service).copied().unwrap_or(0.0);
    // As in `Account::shares`: where the symptom did not rise as a whole, a part is compared with the largest part.
    let largest = |part: &OwnParts| part.parts.values().copied().fold(part.rise, f64::max);
    let share = |part: &OwnParts| if largest(part) > 0.0 { own(part) / largest(part) } else { 0.0 };
    // Of equals the first: the symptom that changed most.
    let Some(part) = parts.iter().reduce(|best, next| if share(next) > share(best) { next } else { best }) else {
        return format!("part of the symptom begins at {service}");
    };
    let (change, own) = (&part.change, own(part));
    let (what, own, rise) = match change.symptom {
        Symptom::Latency => ("mean latency", numbers::seconds(own), numbers::seconds(part.rise)),
        Symptom::Errors => ("error ratio", points(own), points(part.rise)),
    };
    if part.rise <= 0.0 {
        return format!("the {what} of {} did not rise, but {own} more than before begins here", change.entry);
    }
    format!("the {what} of {} rose by {rise}, and {own} of that begins here", change.entry)
}

/// A difference of two shares.
pub(super) fn points(difference: f64) -> String {
    numbers::percent(difference).replace('%', "percentage points")
}
