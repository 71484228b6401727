//! Lag-aware correlation of each node's behaviour with the symptom at the entry.

use std::collections::BTreeMap;

use super::node_series::SymptomSeries;
use super::traversal::ANOMALOUS;
use super::{Ranker, Ranking, scored};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::stats::correlation::lagged;
use crate::telemetry::id::ServiceId;

/// Scores a node by the absolute correlation of its latency (or error ratio) with that of the entry, near the incident;
/// anomalous nodes (as in [`super::traversal`]) stand before all others, and without one no cause is named.
///
/// The node may lead or follow the entry by up to two bins: bins and averages blur who was first. The entry itself
/// scores 0: it correlates with itself whatever the cause. Among the published baselines the strongest on PetShop's
/// availability incidents (Hardt et al., "The PetShop Dataset", CLeaR 2024, table 8), where single rows of the incident
/// are correlated without a lag and nodes that are not anomalous are left out.
pub struct Correlation;

/// How far apart cause and symptom may be: calls pass a fault on within one bin, queues and caches within a few.
const MAX_LAG_BINS: usize = 2;
/// Fewest values near the incident for a correlation: with three, any two series have a good chance of 0.9.
const MIN_VALUES: usize = 4;

impl Ranker for Correlation {
    fn name(&self) -> &'static str {
        "correlation"
    }

    fn about(&self) -> &'static str {
        "lag-aware correlation with the symptom at the entry (PetShop's ranked correlation, CLeaR 2024)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let scores = SymptomSeries::of(incident).map(|s| anomalous_first(&s)).unwrap_or_default();
        let alarm = scores.values().any(|score| *score > 1.0);
        scored::ranking_if(alarm, self.name(), incident, findings, &scores)
    }
}

/// The absolute correlation, plus 1 for anomalous nodes.
fn anomalous_first(symptom: &SymptomSeries) -> BTreeMap<ServiceId, f64> {
    let mut scores = with_symptom(symptom);
    for (node, score) in &mut scores {
        if *score > 0.0 && symptom.change(node).is_some_and(|change| change.abs() > ANOMALOUS) {
            *score += 1.0;
        }
    }
    scores
}

/// Absolute correlation, 0 to 1, of every measured node but the entry with the entry.
pub(super) fn with_symptom(symptom: &SymptomSeries) -> BTreeMap<ServiceId, f64> {
    let near = symptom.nodes.near_incident();
    let values = |node: &ServiceId| chosen_values(symptom.nodes.values.get(node)?, &near);
    let Some(felt) = values(&symptom.entry) else { return BTreeMap::new() };
    let others = symptom.nodes.values.keys().filter(|node| **node != symptom.entry);
    others
        .filter_map(|node| Some((node.clone(), lagged(&values(node)?, &felt, MAX_LAG_BINS).correlation.abs())))
        .collect()
}

/// The chosen values, NaN for gaps as [`lagged`] takes them. `None` with fewer than [`MIN_VALUES`] values.
fn chosen_values(values: &[Option<f64>], chosen: &[usize]) -> Option<Vec<f64>> {
    let all: Vec<f64> = chosen.iter().map(|&i| values.get(i).copied().flatten().unwrap_or(f64::NAN)).collect();
    (all.iter().filter(|v| v.is_finite()).count() >= MIN_VALUES).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::node_series::NodeSeries;
    use crate::telemetry::alert::Symptom;

    fn symptom(series: &[(&str, &[f64])]) -> SymptomSeries {
        let n = series[0].1.len();
        let nodes = NodeSeries {
            times_ns: (0..n as i64).collect(),
            in_incident: (0..n).map(|i| i >= n / 2).collect(),
            values: series.iter().map(|&(id, v)| (id.into(), v.iter().copied().map(Some).collect())).collect(),
        };
        SymptomSeries { entry: series[0].0.into(), symptom: Symptom::Latency, nodes }
    }

    #[test]
    fn a_node_that_moves_with_the_entry_beats_one_that_does_not() {
        let scores = with_symptom(&symptom(&[
            ("front", &[1.0, 1.1, 0.9, 1.0, 1.0, 3.0, 3.2, 2.9, 3.1, 3.0]),
            ("cause", &[0.1, 0.12, 0.09, 0.1, 0.1, 2.1, 2.3, 2.0, 2.2, 2.1]),
            ("other", &[0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 0.5, 0.4, 0.5, 0.6]),
            ("constant", &[0.5; 10]),
        ]));
        assert!(scores[&"cause".into()] > 0.99, "{scores:?}");
        assert!(scores[&"other".into()] < 0.6, "{scores:?}");
        assert!(scores[&"constant".into()] < 1e-12, "{scores:?}");
        assert!(!scores.contains_key(&"front".into()));
    }

    #[test]
    fn too_few_values_say_nothing() {
        let gappy = [Some(1.0), None, Some(2.0), Some(9.0), Some(3.0), None];
        assert_eq!(chosen_values(&gappy, &[0, 2, 3, 4]), Some(vec![1.0, 2.0, 9.0, 3.0]));
        assert!(chosen_values(&gappy, &[0, 1, 2, 3, 4]).is_some_and(|v| v[1].is_nan()));
        assert_eq!(chosen_values(&gappy, &[0, 1, 2, 4]), None, "three values");
    }
}
