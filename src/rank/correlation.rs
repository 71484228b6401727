//! Lag-aware correlation of each node's behaviour with the symptom at the entry.

use std::collections::BTreeMap;

use super::node_series::SymptomSeries;
use super::{Ranker, Ranking, scored};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::stats::correlation::lagged;
use crate::stats::robust;
use crate::telemetry::id::ServiceId;

/// Scores a node by the absolute correlation of its latency (or error ratio) with that of the entry, near the incident.
///
/// The node may lead the entry by up to [`MAX_LAG_BINS`] bins. The entry itself scores 0: it correlates with itself
/// whatever the cause. Among the published baselines the strongest on PetShop's availability incidents (Hardt et al.,
/// "The PetShop Dataset", CLeaR 2024, table 8).
pub struct Correlation;

/// How far a cause may lead its symptom: calls pass a fault on within one bin, queues and caches within a few.
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
        let scores = SymptomSeries::of(incident).map(|s| with_symptom(&s)).unwrap_or_default();
        scored::ranking(self.name(), incident, findings, &scores)
    }
}

/// Absolute correlation, 0 to 1, of every measured node but the entry with the entry.
pub(super) fn with_symptom(symptom: &SymptomSeries) -> BTreeMap<ServiceId, f64> {
    let near = symptom.nodes.near_incident();
    let values = |node: &ServiceId| filled(symptom.nodes.values.get(node)?, &near);
    let Some(felt) = values(&symptom.entry) else { return BTreeMap::new() };
    let others = symptom.nodes.values.keys().filter(|node| **node != symptom.entry);
    others.filter_map(|node| Some((node.clone(), strength(&values(node)?, &felt)))).collect()
}

fn strength(node: &[f64], felt: &[f64]) -> f64 {
    // A lag costs values on both ends; enough must remain.
    let max_lag = MAX_LAG_BINS.min(node.len().saturating_sub(MIN_VALUES));
    let (r, _) = lagged(node, felt, max_lag);
    if r.is_finite() { r.abs().min(1.0) } else { 0.0 }
}

/// The chosen values with gaps closed by the median, which pulls a correlation towards 0. `None` with fewer than half of
/// the values, or fewer than [`MIN_VALUES`].
fn filled(values: &[Option<f64>], chosen: &[usize]) -> Option<Vec<f64>> {
    let known: Vec<f64> = chosen.iter().filter_map(|&i| values.get(i).copied().flatten()).collect();
    if known.len() < MIN_VALUES || known.len() * 2 < chosen.len() {
        return None;
    }
    let middle = robust::median(&known)?;
    Some(chosen.iter().map(|&i| values.get(i).copied().flatten().unwrap_or(middle)).collect())
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
    fn gaps_are_closed_by_the_median_or_the_node_is_left_out() {
        let gappy = [Some(1.0), None, Some(2.0), Some(9.0), Some(3.0), None];
        assert_eq!(filled(&gappy, &[0, 1, 2, 3, 4]), Some(vec![1.0, 2.5, 2.0, 9.0, 3.0]));
        assert_eq!(filled(&gappy, &[0, 1, 2, 4]), None, "three values");
        assert_eq!(filled(&[Some(1.0); 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8]), None, "less than half");
    }
}
