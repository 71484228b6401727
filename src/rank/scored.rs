//! From one number for each service to a [`Ranking`]: what the simple methods have in common.

use std::collections::BTreeMap;

use super::{Candidate, Ranking, Suspect, Verdict};
use crate::detect::{Finding, Onset};
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;

/// Ranks every service of the incident by its score; a service without one gets 0 and stands at the end.
///
/// Scores are 0 or more and finite. The probability is the score's share. These methods cannot doubt: the verdict is
/// `CauseFound` whenever any score is above 0, and `NoAnomaly` otherwise.
pub(super) fn ranking(
    method: &'static str,
    incident: &Incident,
    findings: &[Finding],
    scores: &BTreeMap<ServiceId, f64>,
) -> Ranking {
    let services = incident.services();
    let onsets = earliest_onsets(findings);
    let score = |service: &ServiceId| scores.get(service).copied().filter(|s| s.is_finite()).unwrap_or(0.0).max(0.0);
    // Dividing by the largest first keeps the sum finite.
    let largest = services.iter().map(score).fold(0.0, f64::max);
    let total: f64 = if largest > 0.0 { services.iter().map(|s| score(s) / largest).sum() } else { 0.0 };
    let mut candidates: Vec<Candidate> = services
        .iter()
        .map(|service| Candidate {
            suspect: Suspect::Service(service.clone()),
            score: score(service),
            probability: if largest > 0.0 { score(service) / largest / total } else { 0.0 },
            explained_share: None,
            onset: onsets.get(service).copied(),
            evidence: Vec::new(),
        })
        .collect();
    let onset_ns = |c: &Candidate| c.onset.map_or(i64::MAX, |o| o.at_ns);
    candidates.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| onset_ns(a).cmp(&onset_ns(b)))
            .then_with(|| a.suspect.service().cmp(b.suspect.service()))
    });
    let found = largest > 0.0;
    Ranking {
        method,
        verdict: if found { Verdict::CauseFound } else { Verdict::NoAnomaly },
        symptoms: Vec::new(),
        candidates,
        causes: usize::from(found),
        none_probability: if found { 0.0 } else { 1.0 },
    }
}

/// The earliest onset among the significant findings of each service.
pub(super) fn earliest_onsets(findings: &[Finding]) -> BTreeMap<ServiceId, Onset> {
    let mut earliest: BTreeMap<ServiceId, Onset> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.significant) {
        let Some(onset) = finding.onset else { continue };
        let known = earliest.entry(finding.subject.service().clone()).or_insert(onset);
        if (onset.at_ns, onset.uncertainty_ns) < (known.at_ns, known.uncertainty_ns) {
            *known = onset;
        }
    }
    earliest
}
