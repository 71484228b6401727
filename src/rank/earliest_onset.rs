//! Baseline method: the service that changed first stands first.

use std::collections::BTreeMap;

use super::{Ranker, Ranking, scored};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::NANOS_PER_SECOND;

/// Scores a service by the earliest onset among its significant findings.
///
/// The score is `1 / (1 + seconds after the first onset of all)`: 1 for the first, equal for equal onsets.
pub struct EarliestOnset;

impl Ranker for EarliestOnset {
    fn name(&self) -> &'static str {
        "earliest_onset"
    }

    fn about(&self) -> &'static str {
        "baseline: the service whose signals changed first stands first"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        scored::ranking(self.name(), incident, findings, &scores(findings))
    }
}

fn scores(findings: &[Finding]) -> BTreeMap<ServiceId, f64> {
    let onsets = super::earliest_onsets(findings);
    let Some(first) = onsets.values().map(|o| o.at_ns).min() else { return BTreeMap::new() };
    let seconds_after = |at_ns: i64| at_ns.saturating_sub(first) as f64 / NANOS_PER_SECOND as f64;
    onsets.into_iter().map(|(service, onset)| (service.clone(), 1.0 / (1.0 + seconds_after(onset.at_ns)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::test_findings::finding;

    #[test]
    fn earlier_scores_higher_and_equal_onsets_tie() {
        let findings = [
            finding("a", 1.0, Some(4)),
            finding("a", 1.0, Some(3)),
            finding("b", 9.0, Some(2)),
            finding("c", 9.0, Some(2)),
            finding("d", 9.0, None),
        ];
        let want = BTreeMap::from([("a".into(), 0.5), ("b".into(), 1.0), ("c".into(), 1.0)]);
        assert_eq!(scores(&findings), want);
        assert!(scores(&[]).is_empty());
    }
}
