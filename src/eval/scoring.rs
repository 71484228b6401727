//! Accuracy of rankings against known causes: AC@k, Avg@5, MRR and specificity.
//!
//! ```text
//! AC@k  = share of incidents whose cause is among the first k services     (k = 1, 3, 5)
//! Avg@5 = (AC@1 + AC@2 + AC@3 + AC@4 + AC@5) / 5
//! MRR   = mean of 1 / rank of the cause; 0 where it is not ranked
//! all@n = share of incidents with several causes at once whose n causes are the first n services
//! specificity = share of quiet cases in which the method names no cause
//! ```
//! Rules that change figures, all in the harder way:
//! - **Ties count against the method**: the true service stands behind all others of equal score.
//! - Failed cases stay in the denominator as misses (quiet ones as false alarms).
//! - Services are ranked, not candidates: a service counts once, at the best of its candidates (node or edges).
//! - With several true services, finding any of them is a hit for AC@k, and they do not stand in each other's way.
//! - A list counts whatever the verdict says: "cannot tell" with the right service on top is a hit. The verdict decides
//!   quiet cases only.

use std::collections::BTreeMap;

use super::interval::Intervals;
use crate::rank::{Ranking, Verdict};
use crate::telemetry::id::ServiceId;

/// What a method made of one case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An incident.
    Incident {
        /// The rank of the best true service from 1, `None` when none is ranked.
        rank: Option<usize>,
        /// With several causes at once: whether each was found before any innocent service. `None` with one cause.
        all: Option<bool>,
    },
    /// A quiet case; whether the method rightly named no cause.
    Quiet(bool),
}

impl Outcome {
    /// Judges a ranking by the causes, each with the names that are right for it. No cause means a quiet case.
    pub fn of(ranking: &Ranking, causes: &[Vec<ServiceId>]) -> Self {
        if causes.is_empty() {
            return Self::Quiet(ranking.verdict != Verdict::CauseFound);
        }
        let scores = scores(ranking);
        let ranks = causes.iter().map(|cause| rank_of(&scores, cause, causes));
        let all = (causes.len() > 1).then(|| ranks.clone().all(|rank| rank == Some(1)));
        Self::Incident { rank: ranks.flatten().min(), all }
    }

    /// What a failure counts as.
    pub fn failed(causes: &[Vec<ServiceId>]) -> Self {
        if causes.is_empty() {
            return Self::Quiet(false);
        }
        Self::Incident { rank: None, all: (causes.len() > 1).then_some(false) }
    }

    /// Whether the cause of an incident stands first, or a quiet case is told as such.
    pub fn is_right(self) -> bool {
        matches!(self, Self::Incident { rank: Some(1), .. } | Self::Quiet(true))
    }
}

/// The best score of each service. One that is not a number stands last.
fn scores(ranking: &Ranking) -> BTreeMap<&ServiceId, f64> {
    let mut best: BTreeMap<&ServiceId, f64> = BTreeMap::new();
    for candidate in &ranking.candidates {
        let score = if candidate.score.is_nan() { f64::NEG_INFINITY } else { candidate.score };
        let known = best.entry(candidate.suspect.service()).or_insert(score);
        *known = known.max(score);
    }
    best
}

/// The rank, from 1, of the best name of a cause among the services that are no cause, behind all of equal score.
fn rank_of(scores: &BTreeMap<&ServiceId, f64>, cause: &[ServiceId], causes: &[Vec<ServiceId>]) -> Option<usize> {
    let score = cause.iter().filter_map(|service| scores.get(service)).copied().max_by(f64::total_cmp)?;
    let is_innocent = |service: &ServiceId| !causes.iter().flatten().any(|cause| cause == service);
    let before = scores.iter().filter(|(service, other)| **other >= score && is_innocent(service)).count();
    Some(before + 1)
}

/// Figures of one method over some cases; shares from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Accuracy {
    /// Incidents, the denominator of the first five figures. Quiet cases do not count here.
    pub cases: usize,
    /// Share with the cause first.
    pub ac1: f64,
    /// Share with the cause among the first three.
    pub ac3: f64,
    /// Share with the cause among the first five.
    pub ac5: f64,
    /// Mean of AC@1 to AC@5.
    pub avg5: f64,
    /// Mean reciprocal rank.
    pub mrr: f64,
    /// Of incidents with several causes at once, the share with all of them before any other service; `None` without
    /// such incidents.
    pub all_causes: Option<f64>,
    /// Share of quiet cases in which no cause was named; `None` without quiet cases.
    pub specificity: Option<f64>,
    /// How sure the figures are; `None` without incidents.
    pub intervals: Option<Intervals>,
}

impl Accuracy {
    /// Sums up outcomes. Without incidents the shares are 0.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut ranks = Vec::new();
        let (mut several, mut all_found) = (0_usize, 0_usize);
        let (mut quiet, mut kept_quiet) = (0_usize, 0_usize);
        for outcome in outcomes {
            match *outcome {
                Outcome::Incident { rank, all } => {
                    ranks.push(rank);
                    several += usize::from(all.is_some());
                    all_found += usize::from(all == Some(true));
                }
                Outcome::Quiet(right) => {
                    quiet += 1;
                    kept_quiet += usize::from(right);
                }
            }
        }
        let cases = ranks.len();
        let within = |k: usize| ranks.iter().filter(|rank| rank.is_some_and(|r| r <= k)).count();
        let share = |hits: usize, of: usize| if of == 0 { 0.0 } else { hits as f64 / of as f64 };
        let reciprocal: f64 = ranks.iter().map(|rank| rank.map_or(0.0, |r| 1.0 / r as f64)).sum();
        Self {
            cases,
            ac1: share(within(1), cases),
            ac3: share(within(3), cases),
            ac5: share(within(5), cases),
            // One division of a whole number, so that five hits of five are exactly 1.
            avg5: share((1..=5).map(within).sum(), 5 * cases),
            mrr: if cases == 0 { 0.0 } else { reciprocal / cases as f64 },
            all_causes: (several > 0).then(|| share(all_found, several)),
            specificity: (quiet > 0).then(|| share(kept_quiet, quiet)),
            intervals: Intervals::of(&ranks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::{Candidate, Suspect};

    fn candidate(suspect: Suspect, score: f64) -> Candidate {
        Candidate { suspect, score, probability: 0.0, explained_share: None, onset: None, evidence: Vec::new() }
    }

    fn ranking(verdict: Verdict, scores: &[(&str, f64)]) -> Ranking {
        let candidates = scores.iter().map(|&(name, s)| candidate(Suspect::Service(name.into()), s)).collect();
        Ranking { method: "test", verdict, symptoms: Vec::new(), candidates, causes: 0, none_probability: 0.0 }
    }

    fn rank(scores: &[(&str, f64)], truth: &[&str]) -> Outcome {
        let truth: Vec<ServiceId> = truth.iter().map(|&t| t.into()).collect();
        Outcome::of(&ranking(Verdict::CauseFound, scores), &[truth])
    }

    fn at(rank: usize) -> Outcome {
        Outcome::Incident { rank: Some(rank), all: None }
    }

    #[test]
    fn ties_count_against_the_method() {
        let scores = [("a", 3.0), ("b", 2.0), ("c", 2.0), ("d", 2.0), ("e", 0.0)];
        assert_eq!(rank(&scores, &["a"]), at(1));
        assert_eq!(rank(&scores, &["b"]), at(4), "first of three equals is the last of them");
        assert_eq!(rank(&scores, &["d"]), at(4));
        assert_eq!(rank(&scores, &["e"]), at(5));
        assert_eq!(rank(&scores, &["absent"]), Outcome::Incident { rank: None, all: None });
        assert_eq!(rank(&[("a", f64::NAN), ("b", 0.0)], &["a"]), at(2));
    }

    #[test]
    fn several_true_services_are_one_hit() {
        let scores = [("a", 3.0), ("b", 2.0), ("c", 2.0), ("d", 2.0)];
        assert_eq!(rank(&scores, &["d", "b"]), at(3), "behind a and c, not behind each other");
        assert_eq!(rank(&scores, &["c", "a"]), at(1));
        assert_eq!(rank(&scores, &["c", "absent"]), at(4));
    }

    #[test]
    fn of_several_causes_any_is_a_hit_and_all_are_counted_apart() {
        let scores = [("a", 3.0), ("b", 2.0), ("x", 1.0), ("c", 0.5)];
        let ranking = ranking(Verdict::CauseFound, &scores);
        let judged = |causes: &[&[&str]]| {
            let causes: Vec<Vec<ServiceId>> =
                causes.iter().map(|names| names.iter().map(|&name| name.into()).collect()).collect();
            Outcome::of(&ranking, &causes)
        };
        let outcome = |rank, all| Outcome::Incident { rank: Some(rank), all: Some(all) };
        assert_eq!(judged(&[&["a"], &["b"]]), outcome(1, true));
        assert_eq!(judged(&[&["b"], &["a", "absent"]]), outcome(1, true));
        assert_eq!(judged(&[&["a"], &["c"]]), outcome(1, false), "x stands before c");
        assert_eq!(judged(&[&["b"], &["absent"]]), outcome(2, false));
        assert_eq!(judged(&[&["a", "b"]]), at(1), "two names of one cause");
        let outcomes = [outcome(1, true), outcome(1, false), at(1), Outcome::failed(&[vec![], vec![]])];
        assert_eq!(Accuracy::of(&outcomes).all_causes, Some(1.0 / 3.0));
    }

    #[test]
    fn a_service_counts_once_at_its_best_candidate() {
        let mut ranking = ranking(Verdict::CauseFound, &[("a", 5.0), ("b", 1.0)]);
        let edge = |caller: &str, callee: &str| Suspect::Edge { caller: caller.into(), callee: callee.into() };
        ranking.candidates.push(candidate(edge("x", "a"), 4.0));
        ranking.candidates.push(candidate(edge("y", "a"), 3.0));
        ranking.candidates.push(candidate(edge("a", "b"), 2.0));
        assert_eq!(Outcome::of(&ranking, &[vec!["b".into()]]), at(2), "three candidates of a are one");
    }

    #[test]
    fn quiet_cases_ask_for_no_cause() {
        for (verdict, right) in [(Verdict::CauseFound, false), (Verdict::NoAnomaly, true), (Verdict::CannotTell, true)]
        {
            assert_eq!(Outcome::of(&ranking(verdict, &[("a", 1.0)]), &[]), Outcome::Quiet(right));
        }
    }

    /// By hand, ranks 1, 2, 4, 6, absent and one failure in six incidents: AC@1 1/6, AC@2 2/6, AC@3 2/6, AC@4 3/6,
    /// AC@5 3/6; Avg@5 (1+2+2+3+3)/30 = 11/30; MRR (1 + 1/2 + 1/4 + 1/6)/6 = 23/72. Of three quiet cases one is right, one
    /// wrong, one failed.
    #[test]
    fn figures_by_hand() {
        let truth = [vec!["t".into()]];
        let outcomes = [
            at(1),
            at(2),
            at(4),
            at(6),
            Outcome::Incident { rank: None, all: None },
            Outcome::failed(&truth),
            Outcome::Quiet(true),
            Outcome::Quiet(false),
            Outcome::failed(&[]),
        ];
        let got = Accuracy::of(&outcomes);
        assert_eq!(got.cases, 6);
        let figures = [
            (got.ac1, 1.0 / 6.0),
            (got.ac3, 1.0 / 3.0),
            (got.ac5, 0.5),
            (got.avg5, 11.0 / 30.0),
            (got.mrr, 23.0 / 72.0),
            (got.specificity.unwrap(), 1.0 / 3.0),
        ];
        for (at, (figure, expected)) in figures.into_iter().enumerate() {
            assert!((figure - expected).abs() < 1e-15, "figure {at}: {figure} against {expected}");
        }
        assert_eq!(Accuracy::of(&[at(1)]).specificity, None);
        assert_eq!(Accuracy::of(&[]).mrr.to_bits(), 0.0_f64.to_bits());
    }
}
