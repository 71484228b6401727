//! One sign of our own method by itself, as a method to compare with: what does each add to the whole?

use std::collections::BTreeMap;

use super::fusion::Fusion;
use super::hypocenter::Hypocenter;
use super::{Modality, Ranker, Ranking, scored};
use crate::detect::Finding;
use crate::incident::Incident;

/// Ranks by the bits of some modalities of [`Hypocenter`], and by nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Single {
    name: &'static str,
    about: &'static str,
    modalities: &'static [Modality],
}

/// Self-contribution accounting alone.
pub const ATTRIBUTION: Single = Single {
    name: "attribution",
    about: "one sign of hypocenter: how much of the symptom begins where, by accounting along calls",
    modalities: &[Modality::Attribution],
};

/// Network gaps by endpoint alone.
pub const NETWORK_GAP: Single = Single {
    name: "network_gap",
    about: "one sign of hypocenter: the end of the edges on which caller and callee measure different times",
    modalities: &[Modality::Network],
};

/// Resources, own time, errors that begin here and early returns alone.
pub const INSIDE: Single = Single {
    name: "inside",
    about: "one sign of hypocenter: resources, own time and own errors, which callees cannot explain",
    modalities: &[Modality::Resources, Modality::Behaviour, Modality::Structure],
};

impl Ranker for Single {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let whole = Hypocenter { fusion: Fusion::rules() }.rank(incident, findings);
        let scores: BTreeMap<_, f64> = whole
            .candidates
            .iter()
            .map(|candidate| {
                let own = candidate.evidence.iter().filter(|e| self.modalities.contains(&e.modality));
                (candidate.suspect.service().clone(), own.map(|e| e.bits).sum())
            })
            .collect();
        scored::ranking(self.name, incident, findings, &scores)
    }
}
