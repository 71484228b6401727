//! From one number for each service to a [`Ranking`]: what the simple methods have in common.

use std::collections::BTreeMap;

use super::{Candidate, Ranking, Suspect, Verdict, earliest_onset, order};
use crate::detect::Finding;
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
            onset: earliest_onset(service, findings),
            evidence: Vec::new(),
        })
        .collect();
    order(&mut candidates);
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
