//! Who suffers from a cause elsewhere, and how we know.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, MAX_ROWS, Victim, neighbour, numbers};
use crate::detect::{Change, Finding};
use crate::graph::ServiceGraph;
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
    let towards: Vec<Towards<'_>> = reached.map(|goal| Towards::new(&incident.graph, goal)).collect();
    let felt = strongest(findings, &[Signal::Latency, Signal::ErrorRatio]);
    let known: BTreeSet<ServiceId> = victims.iter().map(|victim| victim.service.clone()).collect();
    for node in incident.graph.nodes().iter().filter(|n| !is_cause(&n.id) && !known.contains(&n.id)) {
        if victims.len() == MAX_ROWS {
            break;
        }
        let Some(felt) = felt.get(&node.id) else { continue };
        let Some(because_of) = towards.iter().find_map(|towards| towards.hop(findings, felt, &node.id)) else {
            continue;
        };
        let because_of = because_of.clone();
        victims.push(Victim { text: text(findings, felt, &because_of), service: node.id.clone(), because_of });
    }
    victims
}

/// The ways to a goal.
struct Towards<'a> {
    graph: &'a ServiceGraph,
    goal: &'a ServiceId,
    /// Of each service, whom it calls on a shortest way.
    next: BTreeMap<&'a ServiceId, &'a ServiceId>,
}

impl<'a> Towards<'a> {
    fn new(graph: &'a ServiceGraph, goal: &'a ServiceId) -> Self {
        Self { graph, goal, next: graph.next_towards(goal) }
    }

    /// From whom a service suffers: of the callees on any way to the goal the one whose calls grew most in what is felt,
    /// among equals the first by name; where no call was measured, the one on a shortest way.
    fn hop(&self, findings: &[Finding], felt: &Finding, from: &ServiceId) -> Option<&'a ServiceId> {
        let shortest = self.next.get(from)?;
        let callees = self.graph.callees(from).into_iter().filter(|callee| self.lead(callee, from));
        let grown = callees.filter_map(|callee| Some((growth(findings, felt.signal, from, callee)?, callee)));
        let most = grown.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
        Some(most.map_or(shortest, |(_, callee)| callee))
    }

    /// Whether a service leads to the goal, and not by way of another.
    fn lead(&self, service: &ServiceId, another: &ServiceId) -> bool {
        let mut way = std::iter::successors(Some(service), |at| self.next.get(*at).copied());
        way.clone().all(|at| at != another) && way.any(|at| at == self.goal)
    }
}

/// By how much the calls between two rose in a signal.
fn growth(findings: &[Finding], signal: Signal, caller: &ServiceId, callee: &ServiceId) -> Option<f64> {
    let call = Subject::Edge { caller: caller.clone(), callee: callee.clone() };
    let rises = findings.iter().filter(|f| f.significant && f.change == Change::Rise);
    let of_call = rises.filter(|f| f.signal == signal && f.subject == call);
    of_call.map(|f| f.incident - f.baseline).max_by(f64::total_cmp)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::calls::CallStats;
    use crate::telemetry::series::Unit;
    use crate::telemetry::time::Grid;
    use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};

    fn rise(subject: Subject, signal: Signal, baseline: f64, incident: f64) -> Finding {
        Finding {
            subject,
            signal,
            name: "mean of durations".to_owned(),
            change: Change::Rise,
            baseline,
            incident,
            unit: Unit::Seconds,
            z: 9.0,
            bits: 9.0,
            p_value: 1e-9,
            q_value: 1e-9,
            significant: true,
            onset: None,
            n_baseline: 100,
            n_incident: 100,
        }
    }

    #[test]
    fn of_two_ways_to_the_cause_the_one_that_grew_most_is_named() {
        let edges = [
            ("storefront", "inventory"),
            ("storefront", "checkout"),
            ("storefront", "audit"),
            ("checkout", "inventory"),
            ("checkout", "promotions"),
            ("promotions", "checkout"),
            ("audit", "mail"),
        ];
        let given = edges.map(|(caller, callee)| GivenEdge {
            caller: caller.into(),
            callee: callee.into(),
            callee_kind: NodeKind::Service,
            mode: EdgeMode::Sync,
        });
        let graph = ServiceGraph::build(&CallStats::empty(Grid::new(60_000_000_000)), &given).0;
        let goal = ServiceId::new("inventory");
        let towards = Towards::new(&graph, &goal);
        let felt = rise(Subject::Service("storefront".into()), Signal::Latency, 0.1, 0.9);
        let named = |from: &str, calls: &[(&str, Signal, f64)]| {
            let call = |callee: &str| Subject::Edge { caller: from.into(), callee: callee.into() };
            let findings: Vec<Finding> =
                calls.iter().map(|(callee, signal, by)| rise(call(callee), *signal, 0.1, 0.1 + by)).collect();
            towards.hop(&findings, &felt, &from.into()).map(ToString::to_string)
        };
        let latency = |callee, by| (callee, Signal::Latency, by);
        let named_is = |calls: &[_], expected: &str| assert_eq!(named("storefront", calls).as_deref(), Some(expected));
        named_is(&[], "inventory");
        named_is(&[latency("inventory", 0.2), latency("checkout", 0.7)], "checkout");
        named_is(&[latency("inventory", 0.7), latency("checkout", 0.2)], "inventory");
        named_is(&[latency("inventory", 0.5), latency("checkout", 0.5)], "checkout");
        named_is(&[latency("inventory", 0.2), ("checkout", Signal::ErrorRatio, 0.7)], "inventory");
        // Who does not lead to the cause is no reason, nor who leads there only by way of the victim.
        named_is(&[latency("inventory", 0.2), latency("audit", 0.9)], "inventory");
        assert_eq!(named("checkout", &[latency("promotions", 0.9)]).as_deref(), Some("inventory"));
        assert_eq!(named("audit", &[latency("mail", 0.9)]), None);
    }
}
