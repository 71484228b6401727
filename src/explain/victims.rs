//! Who suffers from a cause elsewhere, and how we know.

use super::{Cause, MAX_ROWS, Victim, numbers};
use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};

/// Services whose latency or errors rose and that call a cause, directly or through others.
pub(super) fn victims(incident: &Incident, findings: &[Finding], causes: &[Cause]) -> Vec<Victim> {
    let is_cause = |name: &ServiceId| causes.iter().any(|c| c.candidate.suspect.service() == name);
    let mut victims: Vec<Victim> = Vec::new();
    for node in incident.graph.nodes().iter().filter(|n| !is_cause(&n.id)) {
        let next = causes.iter().find_map(|cause| {
            let path = incident.graph.path(&node.id, cause.candidate.suspect.service())?;
            path.get(1).map(|callee| (*callee).clone())
        });
        let Some(because_of) = next else { continue };
        let Some(felt) = strongest(findings, &node.id, &[Signal::Latency, Signal::ErrorRatio]) else { continue };
        victims.push(Victim { text: text(findings, felt, &because_of), service: node.id.clone(), because_of });
    }
    victims.truncate(MAX_ROWS);
    victims
}

fn strongest<'a>(findings: &'a [Finding], service: &ServiceId, signals: &[Signal]) -> Option<&'a Finding> {
    findings
        .iter()
        .filter(|f| f.significant && f.change == Change::Rise && signals.contains(&f.signal))
        .filter(|f| matches!(&f.subject, Subject::Service(name) if name == service))
        .max_by(|a, b| a.bits.total_cmp(&b.bits).then_with(|| b.name.cmp(&a.name)))
}

fn text(findings: &[Finding], felt: &Finding, because_of: &ServiceId) -> String {
    let service = felt.subject.service();
    let (before, during) = (numbers::value(felt.baseline, felt.unit), numbers::value(felt.incident, felt.unit));
    let (felt_what, own) = match felt.signal {
        Signal::ErrorRatio => ("error ratio", Signal::OriginErrorRatio),
        _ => ("latency", Signal::SelfTime),
    };
    let mut text = format!("{felt_what} rose from {before} to {during}");
    let measured = findings.iter().find(|f| f.signal == own && f.subject == Subject::Service(service.clone()));
    match (measured, own) {
        (Some(own), Signal::SelfTime) => {
            let (before, during) = (numbers::value(own.baseline, own.unit), numbers::value(own.incident, own.unit));
            text.push_str(&format!("; its own time went from {before} to {during}: it waits for {because_of}"));
        }
        (Some(own), _) => {
            let (before, during) = (numbers::value(own.baseline, own.unit), numbers::value(own.incident, own.unit));
            text.push_str(&format!(
                "; errors that begin there went from {before} to {during}: the rest comes from {because_of}"
            ));
        }
        (None, _) => text.push_str(&format!("; it calls {because_of}")),
    }
    text
}
