//! What was changed in the system shortly before the incident and in it. Nothing says that a change is the cause: what is
//! said is when it was, and whether it was at a cause.

use std::collections::BTreeSet;

use super::{Cause, ChangeLine};
use crate::incident::Incident;
use crate::rank::{Candidate, Suspect};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::NANOS_PER_SECOND;

/// A change this long before the incident is still shown: leaks, caches and certificates take hours.
const LOOK_BACK_NS: i64 = 6 * 3600 * NANOS_PER_SECOND;

/// Changes from some hours before the incident to its end, by time. Where there are more than fit, those at the causes
/// come first, then those at the candidates, then those nearest to the beginning of the incident.
pub(super) fn lines(incident: &Incident, causes: &[Cause], alternatives: &[Candidate]) -> Vec<ChangeLine> {
    let at_causes: BTreeSet<&ServiceId> = causes.iter().flat_map(|cause| services(&cause.candidate.suspect)).collect();
    let candidates: BTreeSet<&ServiceId> = alternatives.iter().flat_map(|c| services(&c.suspect)).collect();
    let start_ns = incident.window.start_ns();
    let earliest = start_ns.saturating_sub(LOOK_BACK_NS);
    let within = |at_ns: i64| (earliest..incident.window.end_ns()).contains(&at_ns);
    let mut lines: Vec<ChangeLine> = incident
        .changes
        .iter()
        .filter(|change| within(change.at_ns))
        .map(|change| ChangeLine {
            at_cause: change.service.as_ref().is_some_and(|service| at_causes.contains(service)),
            after_start_ns: change.at_ns.saturating_sub(start_ns),
            change: change.clone(),
        })
        .collect();
    let is_candidate = |line: &ChangeLine| line.change.service.as_ref().is_some_and(|s| candidates.contains(s));
    lines.sort_by_key(|line| (!line.at_cause, !is_candidate(line), line.after_start_ns.unsigned_abs()));
    lines.truncate(super::MAX_ROWS);
    lines.sort_by(|a, b| a.change.cmp(&b.change));
    lines
}

fn services(suspect: &Suspect) -> Vec<&ServiceId> {
    match suspect {
        Suspect::Service(service) => vec![service],
        Suspect::Edge { caller, callee } => vec![caller, callee],
    }
}
