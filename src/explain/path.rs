//! The way from the symptom to the cause, with what changed on each call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{BeforeAfter, PathStep};
use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};
use crate::telemetry::topology::EdgeMode;

/// Changes shown on one call, beside those of how often it was tried.
const MAX_CHANGES: usize = 3;
/// How often calls were tried, in vain or again.
const ATTEMPTS: [Signal; 3] = [Signal::Timeouts, Signal::Retries, Signal::Hedges];

/// The call path along which the change travelled: a shortest one over calls that got slower or failed more; where
/// there is none, a shortest one over any calls. Empty where the cause is the entry or cannot be reached.
pub(super) fn path(incident: &Incident, findings: &[Finding], entry: &ServiceId, cause: &ServiceId) -> Vec<PathStep> {
    let changed = changed_path(incident, findings, entry, cause);
    let nodes = changed.or_else(|| incident.graph.path(entry, cause)).unwrap_or_default();
    nodes
        .windows(2)
        .map(|pair| PathStep {
            caller: pair[0].clone(),
            callee: pair[1].clone(),
            mode: incident.graph.edge(pair[0], pair[1]).map_or(EdgeMode::Sync, |e| e.mode),
            changes: changes(findings, pair[0], pair[1]),
        })
        .collect()
}

/// Breadth first over calls that changed; callees come sorted, so among equals the first by name is found.
fn changed_path<'a>(
    incident: &'a Incident,
    findings: &[Finding],
    entry: &'a ServiceId,
    cause: &'a ServiceId,
) -> Option<Vec<&'a ServiceId>> {
    let travels = [Signal::Latency, Signal::ErrorRatio, Signal::NetworkGap];
    let changed: BTreeSet<(&ServiceId, &ServiceId)> = findings
        .iter()
        .filter(|f| f.significant && f.change == Change::Rise && travels.contains(&f.signal))
        .filter_map(|f| match &f.subject {
            Subject::Edge { caller, callee } => Some((caller, callee)),
            _ => None,
        })
        .collect();
    let mut came_from: BTreeMap<&ServiceId, &ServiceId> = BTreeMap::new();
    let mut open = VecDeque::from([entry]);
    while let Some(caller) = open.pop_front() {
        if caller == cause {
            let mut path: Vec<&ServiceId> =
                std::iter::successors(Some(caller), |at| came_from.get(at).copied()).collect();
            path.reverse();
            return Some(path);
        }
        for callee in incident.graph.callees(caller) {
            if changed.contains(&(caller, callee)) && callee != entry && !came_from.contains_key(callee) {
                came_from.insert(callee, caller);
                open.push_back(callee);
            }
        }
    }
    None
}

/// What changed on the edge; where the edge itself was not measured, what changed at the callee.
fn changes(findings: &[Finding], caller: &ServiceId, callee: &ServiceId) -> Vec<BeforeAfter> {
    let edge = Subject::Edge { caller: caller.clone(), callee: callee.clone() };
    let of_edge = strongest_by_signal(findings, &edge);
    if of_edge.is_empty() { strongest_by_signal(findings, &Subject::Service(callee.clone())) } else { of_edge }
}

/// The strongest significant finding of each signal, strongest first.
fn strongest_by_signal(findings: &[Finding], subject: &Subject) -> Vec<BeforeAfter> {
    let shown = [Signal::Latency, Signal::ErrorRatio, Signal::Requests, Signal::NetworkGap];
    let of_signals = |signals: &[Signal]| -> Vec<&Finding> {
        findings.iter().filter(|f| f.significant && f.subject == *subject && signals.contains(&f.signal)).collect()
    };
    let mut of_subject = of_signals(&shown);
    of_subject.sort_by(|a, b| b.bits.total_cmp(&a.bits).then_with(|| a.name.cmp(&b.name)));
    let mut seen = Vec::new();
    of_subject.retain(|f| {
        let new = !seen.contains(&f.signal);
        seen.push(f.signal);
        new
    });
    let before_after =
        |f: &Finding| BeforeAfter { signal: f.signal, unit: f.unit, baseline: f.baseline, incident: f.incident };
    of_subject.into_iter().take(MAX_CHANGES).chain(of_signals(&ATTEMPTS)).map(before_after).collect()
}
