//! Baseline method: the service with the largest change of any signal first.

use std::collections::BTreeMap;

use super::{Ranker, Ranking, scored};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;

/// Scores a service by its largest robust change (`z`) among significant findings, whatever the signal.
///
/// A finding about a call edge counts for the callee. This is the N-sigma family with a robust scale
/// (Pham et al., BARO, FSE 2024); it knows nothing of who calls whom.
pub struct LargestChange;

impl Ranker for LargestChange {
    fn name(&self) -> &'static str {
        "largest_change"
    }

    fn about(&self) -> &'static str {
        "baseline: the largest robust change of any signal first (as BARO's scorer, FSE 2024)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        scored::ranking(self.name(), incident, findings, &scores(findings))
    }
}

fn scores(findings: &[Finding]) -> BTreeMap<ServiceId, f64> {
    let mut scores: BTreeMap<ServiceId, f64> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.significant) {
        let score = scores.entry(finding.subject.service().clone()).or_default();
        *score = score.max(finding.z);
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::test_findings::finding;

    #[test]
    fn the_largest_significant_change_counts() {
        let findings = [finding("a", 3.0, Some(10)), finding("b", 2.0, None), finding("a", 1.0, None), {
            let mut noise = finding("b", 100.0, None);
            noise.significant = false;
            noise
        }];
        assert_eq!(scores(&findings), BTreeMap::from([("a".into(), 3.0), ("b".into(), 2.0)]));
    }
}
