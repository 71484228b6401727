//! What was changed at a service shortly before it went wrong: a small prior, and evidence where the changed part of the
//! service does worse than the unchanged part beside it (`beside.rs`).
//!
//! Most changes are innocent. One counts only when the service left its baseline, and did so after the change; then it
//! doubles the odds. Where versions or instances run side by side, the comparison decides: bits grow with how surely the
//! changed part is worse, and a change whose part is no worse than the one beside it gives nothing.
//! (Change as a candidate by differences in differences: Yu et al., ChangeRCA, FSE 2024, doi:10.1145/3643728.)

use std::collections::BTreeMap;

use super::beside::{self, Comparison};
use crate::detect::{Finding, Onset};
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};
use crate::telemetry::time::NANOS_PER_SECOND;

/// What a change that nothing compares is worth: twice the odds. Of the changes to a large system nearly all harm nobody,
/// so that one says little; of a service that is ill anyway it says a little more than nothing.
const PRIOR_BITS: f64 = 1.0;
/// Most bits of a comparison: it is an experiment, but nobody drew by lot which requests and machines the new version got.
const MOST_BITS: f64 = 4.0;
/// A bad change is felt when it has traffic, within the time of a roll-out. What comes later (leaks, full disks) is not
/// told by the time of a change.
const EFFECT_NS: i64 = 30 * 60 * NANOS_PER_SECOND;

/// How a change speaks for its service as the cause.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Support {
    /// Bits of evidence, positive.
    pub(crate) bits: f64,
    /// Index of the change in the incident's.
    pub(crate) change: usize,
    /// From the change to the service's onset, nanoseconds; not negative.
    pub(crate) before_onset_ns: i64,
    /// The changed part against the unchanged one, where the changed part is worse.
    pub(crate) worse: Option<Comparison>,
}

/// The change that speaks most for each service that changed for the worse after it.
pub(crate) fn supports(incident: &Incident, findings: &[Finding]) -> BTreeMap<ServiceId, Support> {
    let mut supports: BTreeMap<ServiceId, Support> = BTreeMap::new();
    if incident.changes.is_empty() {
        return supports;
    }
    let onsets = onsets(findings);
    // By time: of two that say the same, the later one is nearer to the onset.
    for (index, change) in incident.changes.iter().enumerate() {
        let Some(service) = &change.service else { continue };
        let Some(onset) = onsets.get(service) else { continue };
        let before_onset_ns = onset.at_ns.saturating_sub(change.at_ns);
        if before_onset_ns < -onset.uncertainty_ns || before_onset_ns > EFFECT_NS {
            continue;
        }
        let compared = beside::compare(incident, service, change);
        let bits = compared.as_ref().map_or(PRIOR_BITS, |c| c.bits().min(MOST_BITS));
        let known = supports.get(service).map_or(0.0, |support| support.bits);
        if bits > 0.0 && bits >= known {
            let before_onset_ns = before_onset_ns.max(0);
            supports.insert(service.clone(), Support { bits, change: index, before_onset_ns, worse: compared });
        }
    }
    supports
}

/// When each service went wrong: the onset of its strongest finding, for the earliest of many is often chance. That
/// instances and versions come and go is the change itself and no harm.
fn onsets(findings: &[Finding]) -> BTreeMap<&ServiceId, Onset> {
    let mut strongest: BTreeMap<&ServiceId, (f64, Onset)> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.significant) {
        let is_part = matches!(finding.subject, Subject::Instance { .. } | Subject::Version { .. });
        let Some(onset) = finding.onset.filter(|_| !(is_part && finding.signal == Signal::Requests)) else { continue };
        let known = strongest.entry(finding.subject.service()).or_insert((finding.bits, onset));
        let order = finding.bits.total_cmp(&known.0).then_with(|| known.1.at_ns.cmp(&onset.at_ns));
        if order.is_gt() {
            *known = (finding.bits, onset);
        }
    }
    strongest.into_iter().map(|(service, (_, onset))| (service, onset)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::beside::tests::{Traffic, deploy, incident};
    use super::*;
    use crate::rank::test_findings::finding;

    const MINUTE: i64 = 60 * NANOS_PER_SECOND;

    fn ill(at_ns: i64, uncertainty_ns: i64) -> Vec<Finding> {
        vec![Finding { onset: Some(Onset { at_ns, uncertainty_ns }), ..finding("pay", 20.0, None) }]
    }

    fn bits(changes: Vec<crate::telemetry::change::Change>, findings: &[Finding]) -> Option<f64> {
        let parts = [Traffic::of("1", "", 0, 25, 60, 0)];
        supports(&incident(&parts, changes), findings).get(&ServiceId::new("pay")).map(|s| s.bits)
    }

    #[test]
    fn only_a_change_shortly_before_the_onset_counts() {
        let findings = ill(20 * MINUTE, MINUTE);
        assert_eq!(bits(vec![deploy("2", 18)], &findings), Some(PRIOR_BITS));
        assert_eq!(bits(vec![deploy("2", 21)], &findings), Some(PRIOR_BITS), "within the onset's uncertainty");
        assert_eq!(bits(vec![deploy("2", 22)], &findings), None, "after the onset");
        let late = ill(40 * MINUTE, MINUTE);
        assert_eq!(bits(vec![deploy("2", 5)], &late), None, "long before it");
        assert_eq!(bits(vec![deploy("2", 18)], &[]), None, "nothing went wrong");
    }

    #[test]
    fn a_new_version_that_comes_up_is_no_harm() {
        let subject = Subject::Version { service: "pay".into(), version: "2".to_owned() };
        let onset = Some(Onset { at_ns: 18 * MINUTE, uncertainty_ns: MINUTE });
        let appeared = Finding { subject, onset, signal: Signal::Requests, ..finding("pay", 20.0, None) };
        assert_eq!(bits(vec![deploy("2", 18)], &[appeared]), None);
    }

    #[test]
    fn beside_the_old_version_the_comparison_decides() {
        let changed = |failed| {
            let parts = [Traffic::of("1", "a", 0, 25, 60, 0), Traffic::of("2", "b", 19, 25, 60, failed)];
            supports(&incident(&parts, vec![deploy("2", 19)]), &ill(20 * MINUTE, MINUTE))
        };
        let worse = changed(12);
        let support = &worse[&ServiceId::new("pay")];
        assert!(support.bits > PRIOR_BITS && support.bits <= MOST_BITS && support.worse.is_some(), "{support:?}");
        assert_eq!(support.before_onset_ns, MINUTE);
        assert!(changed(0).is_empty(), "no worse than the old one: the change is innocent");
    }
}
