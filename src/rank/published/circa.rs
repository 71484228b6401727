//! CIRCA: nodes whose behaviour their callees do not explain.

use std::collections::BTreeMap;

use super::acyclic::Acyclic;
use super::columns::{Moments, unit};
use super::regression::residuals;
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::node_series::{SymptomSeries, signal};
use crate::rank::{Ranker, Ranking, scored};
use crate::telemetry::id::ServiceId;

/// Regression-based hypothesis testing with descendant adjustment.
///
/// Each node's measure is regressed on those of its callees (ordinary least squares over the baseline); its score is
/// the largest residual of the incident in standard deviations of the baseline's residuals. Then a node beyond three
/// deviations gets the highest score among its callers added, a caller below three passing on those of its own callers:
/// a cause that shows weakly still stands before what it explains.
///
/// Source: Li, Li, Yin et al., "Causal inference-based root cause analysis for online service systems with intervention
/// recognition", KDD 2022, <https://doi.org/10.1145/3534678.3539041>: regression-based hypothesis testing and
/// descendant adjustment, step by step as in the authors' code (`alg/ci`), threshold 3. Differs in this: one variable a
/// node, the symptom's measure, as in the comparison of Hardt et al., CLeaR 2024, instead of traffic, saturation,
/// latency and errors of each; calls in a circle are cut; gaps hold the baseline's mean; a hub is regressed on at most
/// 32 callees, those that correlate most. Where residuals of the baseline are all the same, the scale is 1: error
/// ratios are taken in percent, as there.
pub struct Circa;

/// From how many standard deviations on a node counts as changed.
const THRESHOLD: f64 = 3.0;

impl Ranker for Circa {
    fn name(&self) -> &'static str {
        "circa"
    }

    fn about(&self) -> &'static str {
        "CIRCA: residuals of a regression on callees, with descendant adjustment (Li et al., KDD 2022)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let scores = SymptomSeries::of(incident)
            .map(|symptom| {
                let edges = incident.graph.edges();
                scores(&symptom, edges.iter().map(|edge| (&edge.caller, &edge.callee)))
            })
            .unwrap_or_default();
        let alarm = scores.values().any(|score| *score > THRESHOLD);
        scored::ranking_if(alarm, self.name(), incident, findings, &scores)
    }
}

fn scores<'a>(
    symptom: &SymptomSeries,
    calls: impl Iterator<Item = (&'a ServiceId, &'a ServiceId)>,
) -> BTreeMap<ServiceId, f64> {
    let nodes: Vec<(&ServiceId, Filled)> = symptom
        .nodes
        .values
        .iter()
        .filter_map(|(id, values)| {
            Some((id, filled(values, &symptom.nodes.in_incident, unit(signal(symptom.symptom)))?))
        })
        .collect();
    let index: BTreeMap<&ServiceId, usize> = nodes.iter().enumerate().map(|(at, node)| (node.0, at)).collect();
    let calls: Vec<(usize, usize)> =
        calls.filter_map(|(caller, callee)| Some((*index.get(caller)?, *index.get(callee)?))).collect();
    let acyclic = Acyclic::of(nodes.len(), &calls);
    let own: Vec<f64> = nodes
        .iter()
        .zip(&acyclic.callees)
        .map(|((_, values), callees)| {
            let explained_by: Vec<&Filled> = callees.iter().map(|&callee| &nodes[callee].1).collect();
            farthest_residual(values, &explained_by)
        })
        .collect();
    let adjusted = adjusted(&own, &acyclic);
    nodes.into_iter().map(|node| node.0.clone()).zip(adjusted).collect()
}

/// Values of a node without gaps.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    before: Vec<f64>,
    during: Vec<f64>,
}

/// Gaps become the baseline's mean; `None` without a baseline value.
fn filled(values: &[Option<f64>], in_incident: &[bool], unit: f64) -> Option<Filled> {
    let known: Vec<f64> =
        values.iter().zip(in_incident).filter(|(_, during)| !**during).filter_map(|(v, _)| *v).collect();
    let mean = Moments::of(&known)?.mean;
    let side = |wanted: bool| {
        let side = values.iter().zip(in_incident).filter(|(_, during)| **during == wanted);
        side.map(|(value, _)| value.unwrap_or(mean) * unit).collect()
    };
    Some(Filled { before: side(false), during: side(true) })
}

/// The largest absolute residual of the incident in standard deviations of the baseline's residuals.
fn farthest_residual(values: &Filled, explained_by: &[&Filled]) -> f64 {
    let parents: Vec<(&[f64], &[f64])> =
        explained_by.iter().map(|parent| (parent.before.as_slice(), parent.during.as_slice())).collect();
    let residuals = residuals((&values.before, &values.during), &parents);
    // Residuals of the baseline have mean 0; how much of them is rounding, the values themselves tell.
    let level = values.before.iter().fold(0.0_f64, |level, value| level.max(value.abs()));
    let spread = Moments::of(&residuals.0).map_or(0.0, |moments| moments.deviation);
    let scale = if spread > level * ROUNDING { spread } else { 1.0 };
    residuals.1.iter().map(|residual| residual.abs() / scale).fold(0.0, f64::max)
}

/// A spread below this share of the level is rounding of the regression.
const ROUNDING: f64 = 1e-11;

/// Descendant adjustment: in the causal graph a node's children are its callers.
fn adjusted(own: &[f64], acyclic: &Acyclic) -> Vec<f64> {
    let mut best_above = vec![0.0_f64; own.len()];
    for &caller in &acyclic.callers_first {
        let passed_on = if own[caller] < THRESHOLD { own[caller].max(best_above[caller]) } else { own[caller] };
        for &callee in &acyclic.callees[caller] {
            best_above[callee] = best_above[callee].max(passed_on);
        }
    }
    own.iter().zip(best_above).map(|(own, above)| if *own > THRESHOLD { own + above } else { *own }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::symptom_rows::test_symptom;
    use super::*;

    /// PyRCA's `HT` (analyzers/ht.py) on the same data, its formulas with numpy: `w = np.linalg.lstsq(np.c_[X,
    /// np.ones(len(X))], y)[0]`, residuals over their `std()`, the largest of the incident.
    #[test]
    fn residuals_and_adjustment_are_those_of_pyrca() {
        let symptom = test_symptom(6, &SERIES);
        let id = ServiceId::new;
        let (front, cart, db, ads) = (id("front"), id("cart"), id("db"), id("ads"));
        let got = scores(&symptom, [(&front, &cart), (&front, &ads), (&cart, &db)].into_iter());
        for (name, expected) in NUMPY {
            assert!((got[&id(name)] - expected).abs() < 1e-8 * expected, "{name}: {got:?}");
        }
    }

    const SERIES: [(&str, &[f64]); 4] = [
        ("front", &[1.0, 1.2, 0.9, 1.1, 1.3, 1.05, 3.1, 3.3]),
        ("cart", &[0.5, 0.6, 0.45, 0.52, 0.61, 0.5, 2.4, 2.6]),
        ("db", &[0.2, 0.24, 0.21, 0.19, 0.27, 0.2, 2.1, 2.2]),
        ("ads", &[0.3, 0.28, 0.31, 0.35, 0.33, 0.29, 0.31, 0.3]),
    ];
    const NUMPY: [(&str, f64); 4] =
        [("front", 108.251_303_659), ("cart", 144.231_584_43), ("db", 106.910_074_139), ("ads", 0.420_084_025_208)];

    #[test]
    fn a_quiet_caller_passes_on_what_stands_above_it() {
        // front calls cart calls db; cart hides what db does to front.
        let acyclic = Acyclic::of(3, &[(0, 1), (1, 2)]);
        assert_eq!(adjusted(&[9.0, 1.0, 4.0], &acyclic), [9.0, 1.0, 13.0]);
        assert_eq!(adjusted(&[9.0, 5.0, 4.0], &acyclic), [9.0, 14.0, 9.0]);
    }

    #[test]
    fn gaps_hold_the_mean_and_constants_the_unit() {
        let values = filled(&[Some(1.0), None, Some(3.0), None, Some(7.0)], &[false, false, false, true, true], 1.0);
        let values = values.expect("there is a baseline");
        assert_eq!((values.before.as_slice(), values.during.as_slice()), (&[1.0, 2.0, 3.0][..], &[2.0, 7.0][..]));
        let constant = Filled { before: vec![2.0; 4], during: vec![2.5] };
        assert!((farthest_residual(&constant, &[]) - 0.5).abs() < 1e-12);
    }
}
