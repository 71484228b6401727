//! From bits of evidence to probabilities over the candidates and "none of them".
//!
//! A conditional logit (McFadden 1974): each candidate has the utility `sum of weight * bits` over its signs; "none", which
//! means that nothing went wrong here, has one of its own, and so has "unseen": that the evidence does not show the
//! cause. Probabilities are their softmax, and the candidates without evidence have equal parts of "unseen". Bits are
//! capped per modality before, so that a weight bounds what a modality may say. The weights are the rules' (all 1) or those of a trained model
//! (`model`).

use std::collections::BTreeSet;

use super::{Candidate, Evidence, Modality, SymptomChange, order};
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::topology::NodeKind;

/// Most bits that one modality may add.
pub(crate) const CAP: f64 = 8.0;
/// Bits below which a candidate has a hint at most.
pub(super) const HINT_BITS: f64 = 0.5;
/// Share of its probability that a dependency outside of the telemetry loses: as `explain::coverage` takes off where all
/// calls are seen from their callers only.
const OUTSIDE_DOUBT: f64 = 0.25;

/// Kinds of evidence that have a weight of their own, with their names in model files.
pub const SIGNS: [(&str, &[Modality]); 8] = [
    ("attribution", &[Modality::Attribution]),
    ("resources", &[Modality::Resources]),
    ("behaviour", &[Modality::Behaviour]),
    ("network", &[Modality::Network]),
    ("structure", &[Modality::Structure]),
    ("logs", &[Modality::Logs]),
    ("changes", &[Modality::Changes]),
    ("support", &[Modality::Correlation, Modality::Walk, Modality::Onset]),
];

/// How signs are weighed. All scores are in bits: what doubles the odds at temperature 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fusion {
    /// Weight of each of [`SIGNS`], 0 or more.
    pub weights: [f64; SIGNS.len()],
    /// Score of "none of the candidates".
    pub none: f64,
    /// What is added to it where no symptom passes the gate.
    pub none_when_calm: f64,
    /// Score of a cause that the evidence does not show. The candidates without evidence have it together: it does not grow
    /// with their number.
    pub unseen: f64,
    /// What is added to it where no symptom passes the gate.
    pub unseen_when_calm: f64,
    /// Bits of score that double the odds, above 0: signs of several modalities about one service are correlated, so a bit
    /// of score is worth less than a bit of evidence.
    pub temperature: f64,
}

impl Fusion {
    /// The rules, without any training: every bit counts the same. Numbers chosen by hand on the development cases.
    pub fn rules() -> Self {
        Self {
            weights: [1.0; SIGNS.len()],
            none: 3.0,
            none_when_calm: 0.0,
            unseen: 0.0,
            unseen_when_calm: 0.0,
            temperature: 1.5,
        }
    }

    /// Weighs the evidence of the candidates, puts them in order and gives them probabilities; returns that of "none".
    pub(super) fn join(&self, incident: &Incident, symptoms: &[SymptomChange], candidates: &mut [Candidate]) -> f64 {
        for candidate in candidates.iter_mut() {
            for (sign, weight) in SIGNS.iter().zip(self.weights) {
                let of_sign = |evidence: &&mut Evidence| sign.1.contains(&evidence.modality);
                candidate.evidence.iter_mut().filter(of_sign).for_each(|evidence| evidence.bits *= weight);
            }
            candidate.score = candidate.evidence.iter().map(|evidence| evidence.bits).sum();
        }
        order(candidates);
        let [none, unseen] = self.without_evidence(is_calm(symptoms));
        self.softmax(none, unseen, candidates) + doubt_outsiders(incident, candidates)
    }

    /// Scores of "none" and of "unseen".
    pub fn without_evidence(&self, is_calm: bool) -> [f64; 2] {
        let when_calm = f64::from(u8::from(is_calm));
        [self.none + when_calm * self.none_when_calm, self.unseen + when_calm * self.unseen_when_calm]
    }

    /// Probabilities over the candidates and "none", which is returned. A candidate's weight is [`weight`]; a hint orders,
    /// and makes nothing likelier.
    fn softmax(&self, none: f64, unseen: f64, candidates: &mut [Candidate]) -> f64 {
        let top = candidates.iter().map(|c| c.score).fold(none.max(unseen), f64::max);
        let odds = |score: f64| ((score - top) / self.temperature).exp2();
        let without = candidates.iter().filter(|candidate| !candidate.is_evident()).count();
        let each = if without > 0 { odds(unseen) / without as f64 } else { 0.0 };
        let weight = |candidate: &Candidate| {
            if candidate.is_evident() { weight(candidate.score, top, self.temperature) } else { each }
        };
        let total = odds(none) + candidates.iter().map(weight).sum::<f64>();
        for candidate in candidates.iter_mut() {
            candidate.probability = weight(candidate) / total;
        }
        odds(none) / total
    }
}

/// Odds of a score of a candidate, less those of a score of 0, both relative to `top`: without any evidence it is no
/// alternative. Else a large system could never be sure.
pub fn weight(score: f64, top: f64, temperature: f64) -> f64 {
    (((score - top) / temperature).exp2() - (-top / temperature).exp2()).max(0.0)
}

/// Whether no symptom changed enough to pass the gate.
pub fn is_calm(symptoms: &[SymptomChange]) -> bool {
    !symptoms.iter().any(|symptom| symptom.significant)
}

/// The bits of a candidate for each of [`SIGNS`].
pub fn signs(candidate: &Candidate) -> [f64; SIGNS.len()] {
    SIGNS.map(|(_, modalities)| {
        let of_sign = candidate.evidence.iter().filter(|evidence| modalities.contains(&evidence.modality));
        of_sign.map(|evidence| evidence.bits).sum()
    })
}

/// Takes a part of their probability from dependencies outside of the system that only their callers tell of: what a
/// caller measures holds its own side too (connection pool, name resolution, the way there). Returns what was taken.
fn doubt_outsiders(incident: &Incident, candidates: &mut [Candidate]) -> f64 {
    let measured: BTreeSet<&ServiceId> = incident.series.iter().map(|series| series.subject.service()).collect();
    let mut taken = 0.0;
    for candidate in candidates {
        let service = candidate.suspect.service();
        let outside = incident.graph.kind(service) == Some(NodeKind::External) && !measured.contains(service);
        if outside {
            taken += candidate.probability * OUTSIDE_DOUBT;
            candidate.probability *= 1.0 - OUTSIDE_DOUBT;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_evidence_has_no_weight_and_little_evidence_hardly_any() {
        let weight = |score: f64| weight(score, 8.0, 1.5);
        assert!(weight(0.0).abs() < 1e-12 && (weight(8.0) - 1.0).abs() < 0.03);
        // By hand: 2^((0.4 - 8) / 1.5) - 2^(-8 / 1.5) = 0.02982 - 0.02479.
        assert!((weight(0.4) - 0.005_036).abs() < 1e-5, "{}", weight(0.4));
    }
}
