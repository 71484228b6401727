//! Who stands at the end of slow edges: the gap between a caller's and its callee's measured time, by endpoint.
//!
//! A gap that rises belongs to neither side's code: it is network, proxy, connection or accept queue. A pod whose
//! network is slow, or whose processor is saturated, slows all edges it takes part in; so each node is scored by
//! how many of its edges are slow and by how much of all slowness it stands at the end of.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::{Change, Finding};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};

/// The network evidence of one node.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Endpoint {
    /// Bits, 0 to the cap.
    pub(crate) bits: f64,
    /// The finding of the edge that changed most.
    pub(crate) finding: usize,
    /// Edges of the node whose gap rose.
    pub(crate) affected: usize,
    /// Edges of the node whose gap could be measured.
    pub(crate) edges: usize,
}

/// How much more a single slow edge speaks against its callee than against its caller: what is shared with no
/// other edge cannot be told apart, and a callee's side (server, sidecar, pod) holds more that can fail.
const LONE_CALLER_DISCOUNT: f64 = 0.8;

/// The p-value up to which an edge beside a slow one is slow too: the usual level of a single test.
const BESIDE_P_VALUE: f64 = 0.05;

/// Bits for every node at the end of a measured edge.
///
/// ```text
/// bits_v = max_e b_e * sqrt( mean_e (b_e / cap) * sum_e b_e / sum of b over all edges )    over the edges e of v
/// ```
/// with `b_e` the finding's bits where the gap rose significantly, else 0: the geometric mean of "all of its
/// edges are slow" and "it is at the end of all slow edges".
///
/// Beside an edge that is slow beyond doubt, others of the same node need to be so by their own p-value only: they are few
/// tests of one question, and an edge of five calls is never significant among the thousand tests of an analysis.
pub(crate) fn endpoints(findings: &[Finding], cap: f64) -> BTreeMap<ServiceId, Endpoint> {
    let suspected: BTreeSet<&ServiceId> = findings
        .iter()
        .filter(|finding| finding.signal == Signal::NetworkGap && finding.significant && finding.change == Change::Rise)
        .filter_map(|finding| match &finding.subject {
            Subject::Edge { caller, callee } => Some([caller, callee]),
            _ => None,
        })
        .flatten()
        .collect();
    let mut edges: BTreeMap<(&ServiceId, &ServiceId), (f64, usize)> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        let (Signal::NetworkGap, Subject::Edge { caller, callee }) = (finding.signal, &finding.subject) else {
            continue;
        };
        let beside = suspected.contains(caller) || suspected.contains(callee);
        let sure = finding.significant || (beside && finding.p_value <= BESIDE_P_VALUE);
        let bits = if sure && finding.change == Change::Rise { finding.bits.min(cap) } else { 0.0 };
        let entry = edges.entry((caller, callee)).or_insert((bits, index));
        if bits > entry.0 {
            *entry = (bits, index);
        }
    }
    let total: f64 = edges.values().map(|e| e.0).sum();
    if total <= 0.0 {
        return BTreeMap::new();
    }
    let mut nodes: BTreeMap<&ServiceId, Vec<(f64, usize, bool)>> = BTreeMap::new();
    for ((caller, callee), (bits, index)) in edges {
        nodes.entry(callee).or_default().push((bits, index, true));
        if caller != callee {
            nodes.entry(caller).or_default().push((bits, index, false));
        }
    }
    nodes.into_iter().filter_map(|(node, edges)| Some((node.clone(), endpoint(&edges, total, cap)?))).collect()
}

fn endpoint(edges: &[(f64, usize, bool)], total: f64, cap: f64) -> Option<Endpoint> {
    let sum: f64 = edges.iter().map(|e| e.0).sum();
    let top = edges.iter().max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))?;
    if top.0 <= 0.0 {
        return None;
    }
    let affected = edges.iter().filter(|e| e.0 > 0.0).count();
    let all_slow = sum / edges.len() as f64 / cap;
    let mut bits = top.0 * (all_slow * sum / total).sqrt();
    if affected == 1 && !top.2 {
        bits *= LONE_CALLER_DISCOUNT;
    }
    Some(Endpoint { bits, finding: top.1, affected, edges: edges.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::series::Unit;

    fn gap(caller: &str, callee: &str, bits: f64) -> Finding {
        Finding {
            subject: Subject::Edge { caller: caller.into(), callee: callee.into() },
            signal: Signal::NetworkGap,
            name: "p50 of gaps".to_owned(),
            change: Change::Rise,
            baseline: 0.001,
            incident: 0.2,
            unit: Unit::Seconds,
            z: 2.0_f64.powf(bits) - 1.0,
            bits,
            p_value: 0.0,
            q_value: 0.0,
            significant: bits > 0.0,
            onset: None,
            n_baseline: 100,
            n_incident: 100,
        }
    }

    fn first(findings: &[Finding]) -> (ServiceId, Endpoint) {
        let endpoints = endpoints(findings, 8.0);
        endpoints.into_iter().max_by(|a, b| a.1.bits.total_cmp(&b.1.bits)).expect("an edge is slow")
    }

    #[test]
    fn a_callee_slow_from_all_callers_is_the_endpoint() {
        let findings = [
            gap("frontend", "cart", 6.0),
            gap("checkout", "cart", 6.0),
            gap("frontend", "ads", 0.0),
            gap("frontend", "shipping", 0.0),
            gap("checkout", "shipping", 0.0),
        ];
        let (node, endpoint) = first(&findings);
        assert_eq!(node, "cart".into());
        assert_eq!((endpoint.affected, endpoint.edges), (2, 2));
        // Both of its edges slow (6/8 each) and all slowness at its end: 6 * sqrt(0.75 * 1).
        assert!((endpoint.bits - 6.0 * 0.75_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_caller_slow_towards_all_callees_is_the_endpoint() {
        let findings = [
            gap("frontend", "cart", 6.0),
            gap("frontend", "ads", 6.0),
            gap("frontend", "shipping", 6.0),
            gap("cart", "db", 0.0),
        ];
        assert_eq!(first(&findings).0, "frontend".into());
    }

    #[test]
    fn a_lone_slow_edge_speaks_against_its_callee() {
        assert_eq!(first(&[gap("frontend", "cart", 6.0)]).0, "cart".into());
    }

    #[test]
    fn no_slow_edge_gives_no_endpoint() {
        assert!(endpoints(&[gap("frontend", "cart", 0.0)], 8.0).is_empty());
    }
}
