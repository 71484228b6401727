//! From one number for each service to a [`Ranking`]: what the simple methods have in common.

use std::collections::BTreeMap;

use super::{Candidate, Ranking, Suspect, Verdict, earliest_onsets, order};
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
    ranking_if(true, method, incident, findings, scores)
}

/// As [`ranking`], but with the verdict `NoAnomaly` unless there is an `alarm`: for methods that start from one. The
/// order is the same, so that a missed alarm costs them no accuracy.
pub(super) fn ranking_if(
    alarm: bool,
    method: &'static str,
    incident: &Incident,
    findings: &[Finding],
    scores: &BTreeMap<ServiceId, f64>,
) -> Ranking {
    let services = incident.services();
    let score = |service: &ServiceId| scores.get(service).copied().filter(|s| s.is_finite()).unwrap_or(0.0).max(0.0);
    // Dividing by the largest first keeps the sum finite.
    let largest = services.iter().map(score).fold(0.0, f64::max);
    let found = alarm && largest > 0.0;
    let total: f64 = if largest > 0.0 { services.iter().map(|s| score(s) / largest).sum() } else { 0.0 };
    let onsets = earliest_onsets(findings);
    let mut candidates: Vec<Candidate> = services
        .iter()
        .map(|service| Candidate {
            suspect: Suspect::Service(service.clone()),
            score: score(service),
            probability: if found { score(service) / largest / total } else { 0.0 },
            explained_share: None,
            onset: onsets.get(service).copied(),
            evidence: Vec::new(),
        })
        .collect();
    order(&mut candidates);
    Ranking {
        method,
        verdict: if found { Verdict::CauseFound } else { Verdict::NoAnomaly },
        symptoms: Vec::new(),
        candidates,
        causes: usize::from(found),
        none_probability: if found { 0.0 } else { 1.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::rank::fusion::Fusion;
    use crate::rank::test_findings::finding;
    use crate::rank::{Ranker, earliest_onset, largest_change, random_walk, registry, traversal};
    use crate::telemetry::alert::Symptom;
    use crate::telemetry::calls::CallStats;

    use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
    use crate::telemetry::time::{Grid, NANOS_PER_SECOND, Window};
    use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};

    const STEP: i64 = 60 * NANOS_PER_SECOND;

    /// front calls cart calls db, front calls ads; db grows slow at minute 20 and takes its callers with it. `spare` has
    /// neither calls nor a latency.
    fn incident(turn_around: bool) -> Incident {
        let noise = |minute: i64, salt: i64| ((minute * 7 + salt * 3) % 5) as f64 * 0.002;
        let latency = |name: &str, base: f64, slow: f64, salt: i64| Series {
            subject: Subject::Service(name.into()),
            signal: if name == "spare" { Signal::Memory } else { Signal::Latency },
            statistic: Statistic::Mean,
            unit: Unit::Seconds,
            name: "latency".to_owned(),
            samples: (0..25)
                .map(|m| (m * STEP, base + noise(m, salt) + if m >= 20 { slow + noise(m, salt + 1) } else { 0.0 }))
                .collect(),
        };
        let edge = |caller: &str, callee: &str| GivenEdge {
            caller: caller.into(),
            callee: callee.into(),
            callee_kind: NodeKind::Service,
            mode: EdgeMode::Sync,
        };
        let mut parts = IncidentParts {
            name: "made by hand".to_owned(),
            symptom: Some(Symptom::Latency),
            series: vec![
                latency("front", 0.3, 0.5, 0),
                latency("cart", 0.2, 0.5, 1),
                latency("db", 0.1, 0.5, 2),
                latency("ads", 0.1, 0.0, 3),
                latency("spare", 0.1, 0.0, 4),
            ],
            given_edges: vec![edge("front", "cart"), edge("front", "ads"), edge("cart", "db")],
            ..IncidentParts::new(
                Window::new(20 * STEP, 25 * STEP).unwrap(),
                vec![Window::new(0, 20 * STEP).unwrap()],
                CallStats::empty(Grid::new(STEP)),
            )
        };
        if turn_around {
            parts.series.reverse();
            parts.given_edges.reverse();
        }
        Incident::new(parts).unwrap()
    }

    /// The published ones and the yardsticks.
    fn methods() -> Vec<Box<dyn Ranker>> {
        registry(Fusion::rules()).into_iter().skip_while(|method| method.name() != "correlation").collect()
    }

    #[test]
    fn every_method_ranks_every_service_once_in_any_input_order() {
        let findings = [finding("db", 9.0, Some(1200)), finding("cart", 5.0, Some(1230))];
        for method in methods() {
            let ranking = method.rank(&incident(false), &findings);
            let mut names: Vec<&str> = ranking.candidates.iter().map(|c| c.suspect.service().as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["ads", "cart", "db", "front", "spare"], "{}", method.name());
            let sum: f64 = ranking.candidates.iter().map(|c| c.probability).sum::<f64>() + ranking.none_probability;
            assert!((sum - 1.0).abs() < 1e-12, "{}: {sum}", method.name());
            assert!(ranking.candidates.is_sorted_by(|a, b| a.score >= b.score), "{}", method.name());
            assert_eq!(ranking.verdict, Verdict::CauseFound, "{}", method.name());
            assert_eq!(ranking, method.rank(&incident(true), &findings), "{}", method.name());
        }
    }

    #[test]
    fn the_methods_that_follow_calls_find_the_slow_database() {
        let first =
            |method: &dyn Ranker| method.rank(&incident(false), &[]).candidates[0].suspect.service().to_string();
        assert_eq!(first(&traversal::Traversal), "db");
        assert_eq!(first(&random_walk::RandomWalk), "db");
    }

    #[test]
    fn without_evidence_there_is_no_cause() {
        for method in [&largest_change::LargestChange as &dyn Ranker, &earliest_onset::EarliestOnset] {
            let ranking = method.rank(&incident(false), &[]);
            assert_eq!(ranking.verdict, Verdict::NoAnomaly, "{}", method.name());
            assert!((ranking.none_probability - 1.0).abs() < 1e-15);
            assert!(ranking.candidates.iter().all(|c| c.score.abs() < 1e-15 && c.probability.abs() < 1e-15));
        }
    }
}
