//! How sure a model may be: probabilities on systems that it has not seen, and the temperature that makes them true.

use std::collections::BTreeMap;

use super::TrainError;
use super::examples::Example;
use super::fit::fit;
use crate::eval::calibration::{Calibration, Statement};
use crate::rank::fusion::{Fusion, SIGNS, weight};

/// The answers to one case with their scores, by a model that has not seen the case's system.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Predicted {
    pub(super) system: String,
    /// Score of each candidate in units that double the odds, as its model has it, and whether it is a cause.
    candidates: Vec<(f64, bool)>,
    /// That of "none of them", and whether nothing was wrong.
    none: (f64, bool),
    /// That of a cause without evidence, and whether it was one. It is the right answer then, but nobody can give it.
    unseen: (f64, bool),
}

/// Every case, predicted by a model trained on the other systems.
pub(super) fn without_each_system(examples: &[Example]) -> Result<Vec<Predicted>, TrainError> {
    let mut by_system: BTreeMap<&str, Fusion> = BTreeMap::new();
    for example in examples {
        if !by_system.contains_key(example.system.as_str()) {
            let others = examples.iter().filter(|other| other.system != example.system);
            by_system.insert(&example.system, fit(others)?);
        }
    }
    Ok(examples.iter().map(|example| predicted(example, &by_system[example.system.as_str()])).collect())
}

fn predicted(example: &Example, fusion: &Fusion) -> Predicted {
    let score = |signs: &[f64; SIGNS.len()]| {
        signs.iter().zip(fusion.weights).map(|(bits, weight)| bits * weight).sum::<f64>() / fusion.temperature
    };
    let [none, unseen] = fusion.without_evidence(example.is_calm).map(|bits| bits / fusion.temperature);
    let is_unseen = !example.is_quiet && !example.alternatives.iter().any(|a| a.is_cause);
    Predicted {
        system: example.system.clone(),
        candidates: example.alternatives.iter().map(|a| (score(&a.signs), a.is_cause)).collect(),
        none: (none, example.is_quiet),
        unseen: (unseen, is_unseen),
    }
}

impl Predicted {
    /// Probability of the likeliest answer and whether it is right; of equal ones a wrong one counts. Then that of the
    /// right answers together.
    fn probabilities(&self, hotter: f64) -> (f64, bool, f64) {
        let top = self.candidates.iter().map(|candidate| candidate.0).fold(self.none.0.max(self.unseen.0), f64::max);
        let [none, unseen] =
            [self.none, self.unseen].map(|(score, is_right)| (((score - top) / hotter).exp2(), is_right));
        let candidates = self.candidates.iter().map(|(score, is_cause)| (weight(*score, top, hotter), *is_cause));
        let answers: Vec<(f64, bool)> = candidates.chain([none]).collect();
        let total: f64 = answers.iter().chain([&unseen]).map(|answer| answer.0).sum();
        let first = answers.iter().map(|answer| answer.0).fold(0.0, f64::max);
        let right = answers.iter().filter(|answer| answer.0 >= first).all(|answer| answer.1);
        let truth: f64 = answers.iter().chain([&unseen]).filter(|answer| answer.1).map(|answer| answer.0).sum();
        (first / total, right, truth / total)
    }
}

/// By how much the models' own temperature has to grow for the least log loss on systems that they have not seen (Guo et
/// al. 2017, section 4.2); by golden-section search.
pub(super) fn temperature(cases: &[Predicted]) -> f64 {
    let loss = |temperature: f64| log_loss(cases, temperature);
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.25_f64, 8.0_f64);
    while high - low > 1e-6 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if loss(a) < loss(b) { high = b } else { low = a }
    }
    f64::midpoint(low, high)
}

/// Mean negative log-likelihood of the right answer, nats.
fn log_loss(cases: &[Predicted], temperature: f64) -> f64 {
    // A truth that the model holds impossible would cost infinitely much.
    let loss = |case: &Predicted| -case.probabilities(temperature).2.max(1e-12).ln();
    cases.iter().map(loss).sum::<f64>() / cases.len().max(1) as f64
}

/// What the probabilities on unseen systems were worth.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Figures {
    /// Share of cases whose likeliest answer is right.
    pub(super) right: f64,
    pub(super) log_loss: f64,
    pub(super) calibration: Calibration,
    /// Share right by system.
    pub(super) by_system: BTreeMap<String, f64>,
}

/// The figures where the models' own temperature is multiplied by `hotter`; `None` without cases.
pub(super) fn figures(cases: &[Predicted], hotter: f64) -> Option<Figures> {
    let mut statements = Vec::new();
    let mut systems: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for case in cases {
        let (confidence, right, _) = case.probabilities(hotter);
        statements.push(Statement { confidence, right });
        systems.entry(case.system.clone()).or_default().push(right);
    }
    let share = |rights: &[bool]| rights.iter().filter(|right| **right).count() as f64 / rights.len() as f64;
    let all: Vec<bool> = statements.iter().map(|statement| statement.right).collect();
    Some(Figures {
        calibration: Calibration::of(&statements)?,
        right: share(&all),
        log_loss: log_loss(cases, hotter),
        by_system: systems.into_iter().map(|(name, rights)| (name, share(&rights))).collect(),
    })
}
