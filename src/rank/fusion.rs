//! From bits of evidence to probabilities over the candidates and "none of them".

use super::Candidate;
use crate::incident::Incident;
use crate::telemetry::topology::NodeKind;

/// Most bits that one modality may add.
pub(crate) const CAP: f64 = 8.0;
/// Score of "none of the candidates": a candidate needs as much evidence to be as likely as not.
const NONE_BITS: f64 = 3.0;
/// Bits of score that double the odds. Evidence of several modalities about one service is correlated,
/// so a bit of score is worth less than a bit of evidence. Chosen on the development cases.
const TEMPERATURE: f64 = 1.5;
/// Share of its probability that a dependency outside of the telemetry loses: as `explain::coverage` takes off where all
/// calls are seen from their callers only.
const OUTSIDE_DOUBT: f64 = 0.25;

/// Gives the candidates, in order of their score, their probabilities, and returns that of "none of them".
pub(super) fn assign_probabilities(incident: &Incident, candidates: &mut [Candidate]) -> f64 {
    softmax(candidates) + doubt_outsiders(incident, candidates)
}

/// Probabilities over the candidates and "none", which is returned.
fn softmax(candidates: &mut [Candidate]) -> f64 {
    let top = candidates.iter().map(|c| c.score).fold(NONE_BITS, f64::max);
    let odds = |score: f64| ((score - top) / TEMPERATURE).exp2();
    // A candidate without any evidence is not an alternative: else a large system could never be sure.
    let weight = |c: &Candidate| if c.score > 0.0 { odds(c.score) } else { 0.0 };
    let none = odds(NONE_BITS);
    let total = none + candidates.iter().map(weight).sum::<f64>();
    for candidate in candidates.iter_mut() {
        candidate.probability = weight(candidate) / total;
    }
    none / total
}

/// Takes a part of their probability from dependencies outside of the system that only their callers tell of: what a
/// caller measures holds its own side too (connection pool, name resolution, the way there). Returns what was taken.
fn doubt_outsiders(incident: &Incident, candidates: &mut [Candidate]) -> f64 {
    let mut taken = 0.0;
    for candidate in candidates {
        let service = candidate.suspect.service();
        let outside = incident.graph.kind(service) == Some(NodeKind::External)
            && !incident.series.iter().any(|series| series.subject.service() == service);
        if outside {
            taken += candidate.probability * OUTSIDE_DOUBT;
            candidate.probability *= 1.0 - OUTSIDE_DOUBT;
        }
    }
    taken
}
