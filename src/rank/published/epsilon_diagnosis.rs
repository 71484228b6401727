//! Epsilon-diagnosis: metrics whose incident resembles their baseline more than chance lets expect.

use std::collections::BTreeMap;

use super::alarm;
use super::columns::{Column, best_of, columns};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::{Ranker, Ranking, scored};
use crate::stats::correlation::pearson;
use crate::stats::robust::quantile;
use crate::telemetry::id::ServiceId;

/// Scores a metric by the squared correlation of its incident window with the window of as many samples before it,
///
/// ```text
/// e_m = cov(B, A)^2 / (var B var A)
/// ```
/// where this exceeds the 95 % quantile of the same between windows of its normal operation; a service by its highest
/// metric. Source: Shan, Chen, Liu et al., "ε-Diagnosis: Unsupervised and real-time diagnosis of small-window long-tail
/// latency in large-scale microservice platforms", WWW 2019, <https://doi.org/10.1145/3308558.3313653>, in the form in
/// which it is compared since: that of PyRCA (`analyzers/epsilon_diagnosis.py`). Differs from it in this: normal
/// windows are taken from the metric itself, side by side, and not drawn by lot from those of all metrics, so no figure
/// depends on a seed and the time grows with the samples and not with the square of the metrics. Samples are paired by
/// position, which means nothing; the method is here because it is published.
pub struct EpsilonDiagnosis;

/// 1 - alpha with the paper's alpha of 0.05.
const CONFIDENCE: f64 = 0.95;
/// Most pairs of normal windows: as many as PyRCA draws.
const MAX_PAIRS: usize = 200;
/// Fewest samples of a window: two always lie on a line.
const MIN_WINDOW: usize = 3;

impl Ranker for EpsilonDiagnosis {
    fn name(&self) -> &'static str {
        "epsilon_diagnosis"
    }

    fn about(&self) -> &'static str {
        "epsilon-diagnosis: correlation of windows before and during, beyond chance (Shan et al., WWW 2019)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        scored::ranking_if(alarm(incident), self.name(), incident, findings, &scores(&columns(incident)))
    }
}

fn scores(columns: &[Column]) -> BTreeMap<ServiceId, f64> {
    best_of(columns, |column| {
        let (before, during) = column.split();
        similarity(&before, &during)
    })
}

/// The squared correlation of the incident with the window before it, where it is beyond chance.
fn similarity(before: &[f64], during: &[f64]) -> Option<f64> {
    let length = during.len();
    if length < MIN_WINDOW || before.len() < length {
        return None;
    }
    let windows: Vec<&[f64]> = before.rchunks_exact(length).collect();
    let squared = |a: &[f64], b: &[f64]| pearson(a, b).powi(2);
    let of_chance: Vec<f64> = windows.windows(2).take(MAX_PAIRS).map(|pair| squared(pair[0], pair[1])).collect();
    let threshold = quantile(&of_chance, CONFIDENCE).unwrap_or(0.0);
    let similarity = squared(windows.first()?, during);
    (similarity > threshold).then_some(similarity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_squared_correlation_is_that_of_numpy() {
        let normal = [1.0, 5.0, 2.0, 4.0, 3.0, 3.0, 2.0, 9.0, 4.0];
        let during = [3.0, 8.0, 5.0];
        // c = np.corrcoef; w = [[2,9,4],[4,3,3],[1,5,2]]
        // c([2,9,4],[4,3,3])[0,1]**2, c([4,3,3],[1,5,2])[0,1]**2 -> np.quantile(_, .95); c([2,9,4],[3,8,5])[0,1]**2
        let similarity = similarity(&normal, &during).unwrap();
        assert!((similarity - NUMPY).abs() < 1e-12, "{similarity}");
        // The same shape as by chance is nothing.
        assert_eq!(super::similarity(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(super::similarity(&[1.0, 2.0, 3.0], &[1.0, 2.0]), None);
    }

    const NUMPY: f64 = 0.983_805_668_016_194_6;
}
