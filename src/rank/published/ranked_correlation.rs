//! Ranked correlation: anomalous nodes by their correlation with the symptom.

use std::collections::BTreeMap;

use super::symptom_rows::is_anomalous;
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::node_series::SymptomSeries;
use crate::rank::{Ranker, Ranking, scored};
use crate::stats::correlation::pearson;
use crate::telemetry::id::ServiceId;

/// Ranks the nodes with any incident sample more than five MAD off the baseline's median (any deviation where the MAD
/// is 0) by the absolute Pearson correlation of the symptom's measure with that of the entry over all samples, baseline
/// and incident. The entry itself is left out.
///
/// Source: Hardt et al., "The PetShop dataset: finding causes of performance issues across microservices", CLeaR 2024,
/// <https://arxiv.org/abs/2311.04806>, baseline "ranked correlation". No lag, no floor, no restriction to the
/// neighbourhood of the incident: these are what `correlation` adds.
pub struct RankedCorrelation;

impl Ranker for RankedCorrelation {
    fn name(&self) -> &'static str {
        "ranked_correlation"
    }

    fn about(&self) -> &'static str {
        "ranked correlation: anomalous nodes by correlation with the symptom (Hardt et al., PetShop, CLeaR 2024)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let scores = SymptomSeries::of(incident).map(|symptom| scores(&symptom)).unwrap_or_default();
        scored::ranking(self.name(), incident, findings, &scores)
    }
}

fn scores(symptom: &SymptomSeries) -> BTreeMap<ServiceId, f64> {
    let nodes = &symptom.nodes;
    let all = |values: &[Option<f64>]| values.iter().map(|v| v.unwrap_or(f64::NAN)).collect::<Vec<f64>>();
    let Some(felt) = nodes.values.get(&symptom.entry).map(|values| all(values)) else { return BTreeMap::new() };
    nodes
        .values
        .iter()
        .filter(|(node, _)| **node != symptom.entry && is_anomalous(symptom, node))
        .map(|(node, values)| (node.clone(), pearson(&all(values), &felt).abs()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::symptom_rows::test_symptom;
    use super::*;

    #[test]
    fn only_anomalous_nodes_are_ranked_by_scipys_correlation() {
        let symptom = test_symptom(
            5,
            &[
                ("front", &[1.0, 1.1, 0.9, 1.0, 1.05, 3.0, 3.2]),
                ("cause", &[0.1, 0.12, 0.09, 0.1, 0.11, 2.1, 1.9]),
                ("quiet", &[0.5, 0.4, 0.6, 0.55, 0.45, 0.6, 0.62]),
            ],
        );
        let got = scores(&symptom);
        assert_eq!(got.len(), 1);
        // scipy.stats.pearsonr(cause, front).statistic
        assert!((got[&"cause".into()] - SCIPY).abs() < 1e-12, "{got:?}");
    }

    const SCIPY: f64 = 0.991_732_026_909_406;
}
