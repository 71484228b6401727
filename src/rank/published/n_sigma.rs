//! N-sigma: the service with the farthest sample of any metric first.

use std::collections::BTreeMap;

use super::columns::{Column, Moments, best_of, columns};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::{Ranker, Ranking, scored};
use crate::telemetry::id::ServiceId;

/// Scores a metric by its farthest sample above the baseline, in standard deviations of the baseline:
///
/// ```text
/// s_m = max over t in the incident of (x_m(t) - mean_B) / sd_B        (sd_B = 1 where the baseline is constant)
/// ```
/// and a service by its highest metric. Source: the baseline "N-Sigma" of Li et al., "Causal inference-based root cause
/// analysis for online service systems with intervention recognition", KDD 2022, and of Pham et al., "BARO", FSE 2024,
/// <https://doi.org/10.1145/3660805>: signed, as in BARO's code. Names a cause from three
/// standard deviations on. `O(samples)`.
pub struct NSigma;

/// The usual N.
const SIGMAS: f64 = 3.0;

impl Ranker for NSigma {
    fn name(&self) -> &'static str {
        "n_sigma"
    }

    fn about(&self) -> &'static str {
        "N-sigma: the farthest sample of any metric in standard deviations (as in CIRCA, KDD 2022, and BARO, FSE 2024)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let scores = scores(&columns(incident));
        let alarm = scores.values().any(|score| *score > SIGMAS);
        scored::ranking_if(alarm, self.name(), incident, findings, &scores)
    }
}

fn scores(columns: &[Column]) -> BTreeMap<ServiceId, f64> {
    best_of(columns, |column| {
        let (before, during) = column.split();
        farthest(&before, &during)
    })
}

/// The largest signed distance of a value from the baseline.
fn farthest(before: &[f64], during: &[f64]) -> Option<f64> {
    let moments = Moments::of(before)?;
    during.iter().map(|value| moments.z(*value)).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // StandardScaler().fit(np.array([[10.,12.,11.,9.,13.]]).T).transform(np.array([[14.,2.,20.]]).T).max()
        let score = farthest(&[10.0, 12.0, 11.0, 9.0, 13.0], &[14.0, 2.0, 20.0]).unwrap();
        assert!((score - 6.363_961_030_678_928).abs() < 1e-12, "{score}");
        assert_eq!(farthest(&[], &[1.0]), None);
    }
}
