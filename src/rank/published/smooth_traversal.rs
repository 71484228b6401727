//! Smooth traversal: the node whose surprise its callees do not share.

use std::collections::BTreeMap;

use super::acyclic::Acyclic;
use super::alarm;
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::node_series::SymptomSeries;
use crate::rank::{Ranker, Ranking, scored};
use crate::stats::robust;
use crate::telemetry::id::ServiceId;

/// With the information-theoretic score of a node's measure,
///
/// ```text
/// S(v) = -ln( (1 + #{baseline samples with g >= g(x)}) / (n + 1) )        g(x) = |x - median_B|
/// ```
/// for the incident's median `x`, a node gets what its score exceeds those of all its callees by: `max(0, min over
/// callees u of S(v) - S(u))`, and `S(v)` without measured callees. Source: Orchard, Okati, Garrido Mejia, Blöbaum,
/// Janzing, "Root cause analysis of outliers with missing structural knowledge", NeurIPS 2025,
/// <https://arxiv.org/abs/2406.05014>: algorithm "SMOOTH TRAVERSAL". The empirical tail ends at `ln (n + 1)`, so with
/// few samples many nodes tie. Differs in this: there is one abnormal sample in the paper, here the median of several;
/// calls in a circle are cut.
pub struct SmoothTraversal;

impl Ranker for SmoothTraversal {
    fn name(&self) -> &'static str {
        "smooth_traversal"
    }

    fn about(&self) -> &'static str {
        "smooth traversal: surprise beyond that of the callees (Orchard et al., NeurIPS 2025)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let scores = SymptomSeries::of(incident)
            .map(|symptom| scores(&symptom, incident.graph.edges().iter().map(|edge| (&edge.caller, &edge.callee))))
            .unwrap_or_default();
        scored::ranking_if(alarm(incident), self.name(), incident, findings, &scores)
    }
}

fn scores<'a>(
    symptom: &SymptomSeries,
    calls: impl Iterator<Item = (&'a ServiceId, &'a ServiceId)>,
) -> BTreeMap<ServiceId, f64> {
    let surprises: Vec<(&ServiceId, f64)> = symptom
        .nodes
        .values
        .keys()
        .filter_map(|node| {
            let (before, during) = symptom.nodes.split(node);
            Some((node, surprise(&before, &during)?))
        })
        .collect();
    let index: BTreeMap<&ServiceId, usize> = surprises.iter().enumerate().map(|(at, node)| (node.0, at)).collect();
    let calls: Vec<(usize, usize)> =
        calls.filter_map(|(caller, callee)| Some((*index.get(caller)?, *index.get(callee)?))).collect();
    let acyclic = Acyclic::of(surprises.len(), &calls);
    surprises
        .iter()
        .zip(&acyclic.callees)
        .map(|((node, own), callees)| {
            let shared = callees.iter().map(|&callee| surprises[callee].1).fold(0.0, f64::max);
            ((*node).clone(), (own - shared).max(0.0))
        })
        .collect()
}

/// In nats; `None` without values on either side.
fn surprise(before: &[f64], during: &[f64]) -> Option<f64> {
    let median = robust::median(before)?;
    let distance = (robust::median(during)? - median).abs();
    let as_far = before.iter().filter(|value| (*value - median).abs() >= distance).count();
    Some(-((1 + as_far) as f64 / (1 + before.len()) as f64).ln())
}

#[cfg(test)]
mod tests {
    use super::super::symptom_rows::test_symptom;
    use super::*;

    #[test]
    fn surprise_is_the_empirical_tail() {
        // np.median = 3, |b - 3| = 2 1 0 1 2: none is as far as 6, two are as far as 2.
        let before = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!((surprise(&before, &[9.0]).unwrap() - 6.0_f64.ln()).abs() < 1e-12);
        assert!((surprise(&before, &[1.0, 5.0, 5.0]).unwrap() - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(surprise(&before, &[]), None);
    }

    #[test]
    fn what_callees_share_is_taken_off() {
        let symptom = test_symptom(
            5,
            &[
                ("front", &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]),
                ("cart", &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]),
                ("ads", &[1.0, 2.0, 3.0, 4.0, 5.0, 5.0]),
            ],
        );
        let id = ServiceId::new;
        let (front, cart, ads) = (id("front"), id("cart"), id("ads"));
        let got = scores(&symptom, [(&front, &cart), (&front, &ads), (&cart, &ads)].into_iter());
        assert!(got[&front].abs() < 1e-12, "its callee cart is as surprising");
        assert!((got[&cart] - (6.0_f64.ln() - 2.0_f64.ln())).abs() < 1e-12);
        assert!((got[&ads] - 2.0_f64.ln()).abs() < 1e-12);
    }
}
