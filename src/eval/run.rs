//! All methods over all cases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::paired::{Paired, against_first};
use super::recorded::{EvalError, RecordedCase};
use super::scoring::{Accuracy, Outcome};
use super::without::{Part, held};
use crate::analysis::{Detected, Settings};
use crate::assemble::assemble;
use crate::rank::hypocenter::Hypocenter;
use crate::rank::{self, Ranker, Ranking, Verdict};
use crate::telemetry::id::ServiceId;
use crate::telemetry::warning::with_causes;

/// Cases in memory at the same time: reading has threads of its own, so two keep the machine busy, and the spans of two
/// cases are all that memory must hold.
const CASES_AT_ONCE: usize = 2;

/// What one method said about one case.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// Right or not.
    pub outcome: Outcome,
    /// The service that stands first, if any.
    pub first: Option<String>,
    /// Probability of the first candidate; `None` without one.
    pub probability: Option<f64>,
    /// Probability that none of the candidates is the cause; `None` when the case could not be loaded.
    pub none_probability: Option<f64>,
    /// Whether the method names a cause at all; `None` when the case could not be loaded.
    pub verdict: Option<Verdict>,
    /// Detection and this method's ranking, without reading, milliseconds; `None` when the case could not be loaded.
    pub analysis_ms: Option<f64>,
    /// Whether the case failed: it could not be loaded, or the method ranked nothing.
    pub failed: bool,
}

impl Answer {
    /// What a case counts as that could not be loaded.
    pub(super) fn unread(causes: &[Vec<ServiceId>]) -> Self {
        Self {
            outcome: Outcome::failed(causes),
            first: None,
            probability: None,
            none_probability: None,
            verdict: None,
            analysis_ms: None,
            failed: true,
        }
    }
}

/// One case with the answers of all methods.
#[derive(Clone, PartialEq, Debug)]
pub struct CaseResult {
    /// [`RecordedCase::id`].
    pub id: String,
    /// [`RecordedCase::truth`]; empty for a quiet case.
    pub truth: String,
    /// Kinds of group to which the case belongs, with its group: `("system", "Train Ticket")`.
    pub groups: Vec<(&'static str, String)>,
    /// The kinds of telemetry that it holds.
    pub parts: BTreeSet<Part>,
    /// Reading, analysing and ranking by all methods, seconds.
    pub seconds: f64,
    /// Why the case could not be loaded.
    pub error: Option<String>,
    /// One for each method, in the order of [`Evaluation::methods`].
    pub answers: Vec<Answer>,
}

impl CaseResult {
    /// The group of a kind to which the case belongs.
    pub fn group(&self, kind: &str) -> Option<&str> {
        self.groups.iter().find(|group| group.0 == kind).map(|group| group.1.as_str())
    }
}

/// Time that a method takes for a case: detection and ranking, with the telemetry in memory. Another case is read at the
/// same time, so a machine of few cores shows more than the analysis alone would take.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Times {
    /// Half of the cases take no longer, milliseconds.
    pub median_ms: f64,
    /// The slowest case, milliseconds.
    pub largest_ms: f64,
}

/// One method's figures.
#[derive(Clone, PartialEq, Debug)]
pub struct MethodResult {
    /// The method's name.
    pub name: String,
    /// Over all cases.
    pub accuracy: Accuracy,
    /// Cases that failed; they count as misses.
    pub failures: usize,
    /// On the same incidents against the first method; `None` for the first itself.
    pub against_first: Option<Paired>,
    /// `None` when no case could be loaded.
    pub times: Option<Times>,
    /// By kind of group (`system`, `fault_kind`, `severity`, `split`) and group.
    pub by: BTreeMap<&'static str, BTreeMap<String, Accuracy>>,
}

/// The result over a dataset.
#[derive(Clone, PartialEq, Debug)]
pub struct Evaluation {
    /// Name of the dataset.
    pub dataset: String,
    /// In the order asked for.
    pub methods: Vec<MethodResult>,
    /// In the order of the dataset.
    pub cases: Vec<CaseResult>,
    /// The first method with less to go on, by [`super::ablation::Variant::name`]; empty where it was not asked for.
    pub ablations: Vec<MethodResult>,
}

/// Runs the methods (names of [`rank::registry`]; others are ignored) over the cases. `on_case_done` is called after
/// each case, from several threads.
///
/// The figures depend on neither the order nor the number of threads; only `seconds` and [`Times`] do.
pub fn evaluate(
    dataset: &str,
    cases: &[RecordedCase],
    methods: &[&str],
    settings: &Settings,
    on_case_done: &(dyn Fn(&str) + Sync),
) -> Evaluation {
    let cases = in_parallel(cases, |case| {
        let result = run_case(case, methods, settings);
        on_case_done(&case.id);
        result
    });
    let mut results: Vec<MethodResult> =
        methods.iter().enumerate().map(|(at, name)| summed_up(name, at, &cases)).collect();
    for (result, paired) in results.iter_mut().skip(1).zip(against_first(&first_hits(methods.len(), &cases))) {
        result.against_first = Some(paired);
    }
    Evaluation { dataset: dataset.to_owned(), methods: results, cases, ablations: Vec::new() }
}

/// What `work` makes of each case, in the order of the cases.
pub fn in_parallel<T: Send>(cases: &[RecordedCase], work: impl Fn(&RecordedCase) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, T>> = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..CASES_AT_ONCE {
            scope.spawn(|| {
                while let Some((at, case)) = take(cases, &next) {
                    let result = work(case);
                    done.lock().expect("no thread panics while it inserts").insert(at, result);
                }
            });
        }
    });
    done.into_inner().expect("no thread panics while it inserts").into_values().collect()
}

/// For each method, incident by incident: does the cause stand first? Quiet cases have none.
fn first_hits(methods: usize, cases: &[CaseResult]) -> Vec<Vec<bool>> {
    let hit = |case: &CaseResult, at: usize| match case.answers[at].outcome {
        Outcome::Incident { rank, .. } => Some(rank == Some(1)),
        Outcome::Quiet(_) => None,
    };
    (0..methods).map(|at| cases.iter().filter_map(|case| hit(case, at)).collect()).collect()
}

fn take<'a>(cases: &'a [RecordedCase], next: &AtomicUsize) -> Option<(usize, &'a RecordedCase)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    cases.get(at).map(|case| (at, case))
}

fn run_case(case: &RecordedCase, methods: &[&str], settings: &Settings) -> CaseResult {
    let started = Instant::now();
    let (answers, parts, error) = match analysed(case, methods, settings) {
        Ok((answers, parts)) => (answers, parts, None),
        Err(error) => (vec![Answer::unread(&case.causes); methods.len()], BTreeSet::new(), Some(with_causes(&error))),
    };
    let mut groups = vec![("system", case.system.clone()), ("fault_kind", case.fault_kind.clone())];
    groups.extend(case.severity.clone().map(|severity| ("severity", severity)));
    groups.extend(case.split.clone().map(|split| ("split", split)));
    CaseResult {
        id: case.id.clone(),
        truth: case.truth(),
        groups,
        parts,
        seconds: started.elapsed().as_secs_f64(),
        error,
        answers,
    }
}

fn analysed(
    case: &RecordedCase,
    methods: &[&str],
    settings: &Settings,
) -> Result<(Vec<Answer>, BTreeSet<Part>), EvalError> {
    let (telemetry, request) = (case.load)()?;
    let parts = held(&telemetry);
    let incident = assemble(telemetry, request)?;
    let started = Instant::now();
    let detected = Detected::of(&incident, settings);
    let detection_ms = milliseconds(started);
    let answered = |ranker: Box<dyn Ranker>| {
        let started = Instant::now();
        let is_ours = ranker.name() == Hypocenter::NAME;
        let ranking = if is_ours { detected.ours() } else { detected.ranking(ranker.as_ref()) };
        answer(&ranking, case, detection_ms + milliseconds(started))
    };
    let answers = methods.iter().filter_map(|name| rank::by_name(name, settings.fusion)).map(answered).collect();
    Ok((answers, parts))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn answer(ranking: &Ranking, case: &RecordedCase, analysis_ms: f64) -> Answer {
    // Nothing ranked is a failure where there is something to find; in a quiet case it is an answer.
    let failed = ranking.candidates.is_empty() && !case.causes.is_empty();
    let first = ranking.candidates.first();
    Answer {
        outcome: if failed { Outcome::failed(&case.causes) } else { Outcome::of(ranking, &case.causes) },
        first: first.map(|c| c.suspect.service().to_string()),
        probability: first.map(|c| c.probability),
        none_probability: Some(ranking.none_probability),
        verdict: Some(ranking.verdict),
        analysis_ms: Some(analysis_ms),
        failed,
    }
}

fn summed_up(name: &str, at: usize, cases: &[CaseResult]) -> MethodResult {
    let over = |wanted: &dyn Fn(&CaseResult) -> bool| {
        let outcomes: Vec<Outcome> = cases.iter().filter(|c| wanted(c)).map(|c| c.answers[at].outcome).collect();
        Accuracy::of(&outcomes)
    };
    let groups: BTreeSet<&(&'static str, String)> = cases.iter().flat_map(|case| &case.groups).collect();
    let mut by: BTreeMap<&'static str, BTreeMap<String, Accuracy>> = BTreeMap::new();
    for group in groups {
        by.entry(group.0).or_default().insert(group.1.clone(), over(&|case| case.groups.contains(group)));
    }
    MethodResult {
        name: name.to_owned(),
        accuracy: over(&|_| true),
        failures: cases.iter().filter(|case| case.answers[at].failed).count(),
        against_first: None,
        times: times(cases.iter().filter_map(|case| case.answers[at].analysis_ms).collect()),
        by,
    }
}

fn times(mut all_ms: Vec<f64>) -> Option<Times> {
    all_ms.sort_by(f64::total_cmp);
    let median_ms = *all_ms.get(all_ms.len().saturating_sub(1) / 2)?;
    Some(Times { median_ms, largest_ms: *all_ms.last()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::recorded::QUIET;
    use std::path::PathBuf;

    fn broken(id: &str, truth: &[&str], kind: &str) -> RecordedCase {
        RecordedCase {
            id: id.to_owned(),
            system: "shop".to_owned(),
            fault_kind: kind.to_owned(),
            split: None,
            severity: None,
            causes: truth.iter().map(|&t| vec![t.into()]).collect(),
            load: Box::new(|| {
                let source = std::io::Error::other("disk on fire");
                Err(EvalError::Io { path: PathBuf::from("x.csv"), source })
            }),
        }
    }

    #[test]
    fn cases_that_cannot_be_loaded_stay_in_the_denominator() {
        let cases = [broken("1", &["a"], "cpu"), broken("2", &["b"], "delay"), broken("3", &[], QUIET)];
        let done = AtomicUsize::new(0);
        let settings = Settings::default();
        let got = evaluate("set", &cases, &["hypocenter", "random"], &settings, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 3);
        assert_eq!(got.cases.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(got.cases[0].error.as_deref(), Some("cannot read x.csv: disk on fire"));
        let paired: Vec<_> = got.methods.iter().map(|m| m.against_first.map(|p| (p.only_first, p.only_this))).collect();
        assert_eq!(paired, [None, Some((0, 0))]);
        for method in &got.methods {
            assert_eq!((method.failures, method.accuracy.cases), (3, 2));
            assert_eq!(method.accuracy.specificity, Some(0.0), "a failed quiet case is a false alarm");
            assert_eq!(method.by["system"]["shop"].cases, 2);
            assert_eq!(method.by["fault_kind"]["cpu"].cases, 1);
            assert_eq!(method.by["fault_kind"][QUIET].cases, 0);
            assert_eq!(method.times, None);
        }
    }
    #[test]
    fn half_of_the_cases_take_no_longer_than_the_median() {
        let of = |all: &[f64]| times(all.to_vec()).map(|t| (t.median_ms, t.largest_ms));
        assert_eq!(of(&[3.0, 1.0, 9.0]), Some((3.0, 9.0)));
        assert_eq!(of(&[4.0, 2.0]), Some((2.0, 4.0)));
        assert_eq!(of(&[]), None);
    }
}
