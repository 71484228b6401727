//! Who suffers from a cause elsewhere, and how we know.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, MAX_ROWS, Victim, neighbour, numbers};
use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::rank::hypocenter::contentions;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};

/// Services whose latency or errors rose and that call a cause, directly or through others.
pub(super) fn victims(incident: &Incident, findings: &[Finding], causes: &[Cause]) -> Vec<Victim> {
    let is_cause = |name: &ServiceId| causes.iter().any(|c| c.candidate.suspect.service() == name);
    let neighbours = contentions(incident, findings);
    let beside: Vec<_> = causes.iter().filter_map(|c| neighbours.get(c.candidate.suspect.service())).collect();
    let mut victims: Vec<Victim> =
        beside.iter().flat_map(|contention| neighbour::victims(findings, contention)).take(MAX_ROWS).collect();
    // Who calls one of those waits for it.
    let reached = causes.iter().map(|c| c.candidate.suspect.service()).chain(beside.iter().flat_map(|c| &c.slowed));
    let towards: Vec<BTreeMap<&ServiceId, &ServiceId>> =
        reached.map(|service| incident.graph.next_towards(service)).collect();
    let felt = strongest(findings, &[Signal::Latency, Signal::ErrorRatio]);
    let known: BTreeSet<ServiceId> = victims.iter().map(|victim| victim.service.clone()).collect();
    for node in incident.graph.nodes().iter().filter(|n| !is_cause(&n.id) && !known.contains(&n.id)) {
        if victims.len() == MAX_ROWS {
            break;
        }
        let Some(felt) = felt.get(&node.id) else { continue };
        let Some(because_of) = towards.iter().find_map(|next| next.get(&node.id).copied()) else { continue };
        let because_of = because_of.clone();
        victims.push(Victim { text: text(findings, felt, &because_of), service: node.id.clone(), because_of });
    }
    victims
}

/// For each service as a whole its strongest significant rise of these signals; of equals the first by name.
fn strongest<'a>(findings: &'a [Finding], signals: &[Signal]) -> BTreeMap<&'a ServiceId, &'a Finding> {
    let mut strongest: BTreeMap<&ServiceId, &Finding> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.significant && f.change == Change::Rise && signals.contains(&f.signal))
    {
        let Subject::Service(service) = &finding.subject else { continue };
        let known = strongest.entry(service).or_insert(finding);
        let order = finding.bits.total_cmp(&known.bits).then_with(|| known.name.cmp(&finding.name));
        if order.is_gt() {
            *known = finding;
        }
    }
    strongest
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
