//! When the incident really started: people notice late, alerts fire later still, and some write down an earlier time.
//!
//! Where the windows as given do not let a cause be named surely, those are tried that a wrong start would ask for:
//!
//! ```text
//!            baseline                    incident
//! given      ............................|##############
//! late       .......................     |##############    the end of the baseline, a third of the incident's length,
//!                                                          is like the incident
//! later      ..................     |###################    the incident began by as much earlier
//! early      ............................     |#########    the incident began by as much later
//! ```
//!
//! Those are taken in which one service explains most surely what happened, if it is another service. They cost confidence,
//! because to choose among several comparisons finds something more easily than one comparison does, and the report
//! names them.

use crate::detect::{self, Comparison, Finding};
use crate::incident::Incident;
use crate::rank::{Ranker, Ranking, Verdict};
use crate::telemetry::series::Series;
use crate::telemetry::time::{Window, without};
use crate::telemetry::warning::Warning;

/// How far the start may be wrong: the incident's length over this.
const SHARE: i64 = 3;
/// From this probability of the cause on the windows as given are not doubted, and where they name a cause at all others
/// must be as sure. …
const SURE: f64 = 0.75;
/// … Where they name none, this is enough, …
const LEAST_SURE: f64 = 0.3;
/// … but for windows that leave out a part of the incident, for then evidence goes with it. …
const LEAST_SURE_OF_LESS: f64 = 0.6;
/// … By so much others must be surer than those given. All four were chosen on the development cases, with the start right
/// and wrong by 60 s either way.
const LEAST_GAIN: f64 = 0.05;
/// What other windows leave of the confidence. On the development cases with the right start they were right in every
/// second case.
pub(super) const REMAINS: f64 = 2.0 / 3.0;

/// What was found in the windows as given, or in those of a likelier start.
pub(super) struct Compared {
    /// With the other windows; `None` for those given.
    pub(super) moved: Option<Incident>,
    pub(super) findings: Vec<Finding>,
    pub(super) ranking: Ranking,
}

/// Runs detection and ranking in the windows as given, and in others where these leave the ranking unsure.
pub(super) fn compared(incident: &Incident, ranker: &dyn Ranker, settings: &detect::Settings) -> Compared {
    let findings = detect::detect(incident, settings);
    let ranking = ranker.rank(incident, &findings);
    let given = Compared { moved: None, findings, ranking };
    let others = if certainty(&given.ranking) < SURE { others(incident) } else { Vec::new() };
    let comparisons: Vec<Comparison> = others.iter().map(|other| other.0.clone()).collect();
    if comparisons.is_empty() {
        return given;
    }
    let mut trial = incident.clone();
    let mut surest = certainty(&given.ranking) + LEAST_GAIN;
    let mut best = None;
    for ((comparison, why), findings) in others.into_iter().zip(detect::detect_each(incident, &comparisons, settings)) {
        (trial.window, trial.baselines) = (comparison.incident, comparison.baselines.clone());
        let ranking = ranker.rank(&trial, &findings);
        let least = match given.ranking.verdict {
            Verdict::CauseFound => SURE,
            _ if comparison.incident.start_ns() > incident.window.start_ns() => LEAST_SURE_OF_LESS,
            _ => LEAST_SURE,
        };
        let certainty = certainty(&ranking);
        if certainty > surest && certainty >= least {
            surest = certainty;
            best = Some((comparison, why, findings, ranking));
        }
    }
    let first = |ranking: &Ranking| ranking.candidates.first().map(|candidate| candidate.suspect.clone());
    match best {
        Some((comparison, message, findings, ranking)) if first(&ranking) != first(&given.ranking) => {
            (trial.window, trial.baselines) = (comparison.incident, comparison.baselines);
            let source = "windows".to_owned();
            trial.warnings.push(Warning { source, place: String::new(), message, affected: 1 });
            trial.warnings.sort();
            Compared { moved: Some(trial), findings, ranking }
        }
        _ => given,
    }
}

/// Probability of the causes that are named, or of the first candidate.
fn certainty(ranking: &Ranking) -> f64 {
    ranking.candidates.iter().take(ranking.causes.max(1)).map(|candidate| candidate.probability).sum()
}

/// The windows that a wrong start would ask for, each with what the report says of it. A baseline shorter than the
/// incident is none, and telemetry that is coarser than the difference tells none.
fn others(incident: &Incident) -> Vec<(Comparison, String)> {
    let (start, end) = (incident.window.start_ns(), incident.window.end_ns());
    let third = end.saturating_sub(start) / SHARE;
    let [later, late, early] = [-2, -1, 1].map(|thirds| start.saturating_add(third.saturating_mul(thirds)));
    let seconds = third as f64 / 1e9;
    let began = |which: &str| format!("the incident is taken to have begun {seconds:.0} s {which} than given");
    let left_out = format!("the baseline's last {seconds:.0} s before the incident are left out");
    let all = [(late, start, left_out), (later, late, began("earlier")), (start, early, began("later"))];
    if ![(late, start), (start, early)].iter().all(|(from, to)| is_sampled(incident, *from, *to)) {
        return Vec::new();
    }
    let reaches_up = |baseline: &Window| baseline.start_ns() < start && baseline.end_ns() > late;
    let into_incident = incident.baselines.iter().any(reaches_up);
    all.into_iter()
        .filter(|(until, from, _)| into_incident || *until != late || *from != start)
        .filter_map(|(until, from, why)| {
            let incident_window = Window::new(from, end).ok()?;
            let baselines = without(&incident.baselines, &[Window::new(until, end).ok()?]);
            let left: f64 = baselines.iter().map(Window::seconds).sum();
            let comparison = Comparison { incident: incident_window, baselines };
            (left >= incident_window.seconds()).then_some((comparison, why))
        })
        .collect()
}

/// Whether the telemetry is fine enough for a part of the time: windows that differ by less than a sample do not differ.
fn is_sampled(incident: &Incident, from: i64, to: i64) -> bool {
    let by_calls = !incident.calls.rows.is_empty() && incident.calls.grid.step_ns() <= to.saturating_sub(from);
    let has_sample = |series: &Series| {
        let next = series.samples.partition_point(|sample| sample.0 < from);
        series.samples.get(next).is_some_and(|sample| sample.0 < to)
    };
    by_calls || incident.series.iter().any(has_sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::rank::fusion::Fusion;
    use crate::rank::hypocenter::Hypocenter;
    use crate::rank::{Candidate, Suspect};
    use crate::telemetry::calls::CallStats;

    use crate::telemetry::series::{Signal, Statistic, Subject, Unit};
    use crate::telemetry::time::{Grid, NANOS_PER_SECOND};

    const STEP: i64 = 10 * NANOS_PER_SECOND;

    /// Processor time of four services, every 10 s; that of one rises at `onset`. The incident is said to begin after
    /// 300 s and to last for 180 s.
    fn incident(onset: i64) -> Incident {
        let noise = |at: i64, salt: i64| ((at * 7 + salt * 3) % 5) as f64 * 0.002;
        let risen = |at: i64, salt: i64| if salt == 0 && at >= onset { 0.5 } else { 0.0 };
        let series = |salt: i64| Series {
            subject: Subject::Service(format!("s{salt}").as_str().into()),
            signal: Signal::Cpu,
            statistic: Statistic::Mean,
            unit: Unit::Cores,
            name: "cpu".to_owned(),
            samples: (0..48).map(|at| (at * STEP, 0.1 + noise(at, salt) + risen(at, salt))).collect(),
        };
        Incident::new(IncidentParts {
            series: (0..4).map(series).collect(),
            ..IncidentParts::new(
                Window::new(30 * STEP, 48 * STEP).unwrap(),
                vec![Window::new(0, 30 * STEP).unwrap()],
                CallStats::empty(Grid::new(STEP)),
            )
        })
        .unwrap()
    }

    fn window(from: i64, to: i64) -> Window {
        Window::new(from * STEP, to * STEP).unwrap()
    }

    fn moved(onset: i64) -> Option<Incident> {
        compared(&incident(onset), &Hypocenter { fusion: Fusion::rules() }, &detect::Settings::default()).moved
    }

    /// Names `s0` as surely as is said for an incident that begins at a time, and else `s1` with so much.
    struct Sees {
        given: f64,
        from: i64,
        there: f64,
    }

    impl Ranker for Sees {
        fn name(&self) -> &'static str {
            "sees"
        }

        fn about(&self) -> &'static str {
            "for tests"
        }

        fn rank(&self, incident: &Incident, _findings: &[Finding]) -> Ranking {
            let there = incident.window.start_ns() == self.from * STEP;
            let (name, probability) = if there { ("s0", self.there) } else { ("s1", self.given) };
            let candidate = Candidate {
                suspect: Suspect::Service(name.into()),
                score: 1.0,
                probability,
                explained_share: None,
                onset: None,
                evidence: Vec::new(),
            };
            let found = probability >= 0.5;
            Ranking {
                method: "sees",
                verdict: if found { Verdict::CauseFound } else { Verdict::CannotTell },
                symptoms: Vec::new(),
                candidates: vec![candidate],
                causes: usize::from(found),
                none_probability: 1.0 - probability,
            }
        }
    }

    /// Where the incident begins that is analysed, in steps.
    fn begins(given: f64, from: i64, there: f64) -> i64 {
        let moved = compared(&incident(99), &Sees { given, from, there }, &detect::Settings::default()).moved;
        moved.map_or(30, |moved| {
            assert!(moved.warnings.iter().any(|w| w.source == "windows" && w.message.contains("60 s")));
            moved.window.start_ns() / STEP
        })
    }

    #[test]
    fn the_windows_of_a_wrong_start() {
        let windows: Vec<(Window, Vec<Window>)> =
            others(&incident(30)).into_iter().map(|other| (other.0.incident, other.0.baselines)).collect();
        // That of a start that was later is not there: it would leave a baseline shorter than the incident.
        assert_eq!(windows, [(window(30, 48), vec![window(0, 24)]), (window(36, 48), vec![window(0, 30)])]);
    }

    #[test]
    fn what_is_coarser_than_the_difference_tells_no_other_start() {
        let mut coarse = incident(30);
        coarse.series.iter_mut().for_each(|series| series.samples.retain(|sample| sample.0 % (30 * STEP) == 0));
        assert!(others(&coarse).is_empty());
    }

    #[test]
    fn a_start_that_explains_the_incident_is_kept() {
        assert!(moved(30).is_none());
        // A quiet system.
        assert!(moved(99).is_none());
        assert_eq!(begins(0.8, 36, 0.95), 30, "sure enough");
        assert_eq!(begins(0.6, 36, 0.7), 30, "what names a cause yields only to what is sure");
        assert_eq!(begins(0.2, 36, 0.5), 30, "less of the incident needs more");
    }

    #[test]
    fn a_start_that_explains_more_is_taken() {
        assert_eq!(begins(0.2, 36, 0.9), 36);
        assert_eq!(begins(0.6, 36, 0.9), 36);
    }
}
