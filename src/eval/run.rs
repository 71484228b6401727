//! All methods over all cases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::recorded::{EvalError, RecordedCase};
use super::scoring::{Accuracy, Outcome};
use crate::analysis::{self, Settings};
use crate::assemble::assemble;
use crate::rank::{self, Ranking, Verdict};

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
    /// Whether the method names a cause at all; `None` after a failure.
    pub verdict: Option<Verdict>,
    /// Whether the case failed: it could not be loaded, or the method ranked nothing.
    pub failed: bool,
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
    /// Reading, analysing and ranking by all methods, seconds.
    pub seconds: f64,
    /// Why the case could not be loaded.
    pub error: Option<String>,
    /// One for each method, in the order of [`Evaluation::methods`].
    pub answers: Vec<Answer>,
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
}

/// Runs the methods (names of [`rank::registry`]; others are ignored) over the cases. `on_case_done` is called after
/// each case, from several threads.
///
/// The figures depend on neither the order nor the number of threads; only `seconds` does.
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
    let methods = methods.iter().enumerate().map(|(at, name)| summed_up(name, at, &cases)).collect();
    Evaluation { dataset: dataset.to_owned(), methods, cases }
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

fn take<'a>(cases: &'a [RecordedCase], next: &AtomicUsize) -> Option<(usize, &'a RecordedCase)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    cases.get(at).map(|case| (at, case))
}

fn run_case(case: &RecordedCase, methods: &[&str], settings: &Settings) -> CaseResult {
    let started = Instant::now();
    let (answers, error) = match rankings(case, methods, settings) {
        Ok(rankings) => (rankings.iter().map(|ranking| answer(ranking, case)).collect(), None),
        Err(error) => {
            let failed = Answer { outcome: Outcome::failed(&case.causes), first: None, verdict: None, failed: true };
            (vec![failed; methods.len()], Some(chain(&error)))
        }
    };
    let mut groups = vec![("system", case.system.clone()), ("fault_kind", case.fault_kind.clone())];
    groups.extend(case.severity.clone().map(|severity| ("severity", severity)));
    groups.extend(case.split.clone().map(|split| ("split", split)));
    CaseResult {
        id: case.id.clone(),
        truth: case.truth(),
        groups,
        seconds: started.elapsed().as_secs_f64(),
        error,
        answers,
    }
}

fn rankings(case: &RecordedCase, methods: &[&str], settings: &Settings) -> Result<Vec<Ranking>, EvalError> {
    let (telemetry, request) = (case.load)()?;
    let incident = assemble(telemetry, request)?;
    let rankers: Vec<_> = methods.iter().filter_map(|name| rank::by_name(name, settings.fusion)).collect();
    Ok(analysis::rankings(&incident, &rankers, settings))
}

fn answer(ranking: &Ranking, case: &RecordedCase) -> Answer {
    // Nothing ranked is a failure where there is something to find; in a quiet case it is an answer.
    let failed = ranking.candidates.is_empty() && !case.causes.is_empty();
    Answer {
        outcome: if failed { Outcome::failed(&case.causes) } else { Outcome::of(ranking, &case.causes) },
        first: ranking.candidates.first().map(|c| c.suspect.service().to_string()),
        verdict: Some(ranking.verdict),
        failed,
    }
}

/// The error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
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
        by,
    }
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
        for method in &got.methods {
            assert_eq!((method.failures, method.accuracy.cases), (3, 2));
            assert_eq!(method.accuracy.specificity, Some(0.0), "a failed quiet case is a false alarm");
            assert_eq!(method.by["system"]["shop"].cases, 2);
            assert_eq!(method.by["fault_kind"]["cpu"].cases, 1);
            assert_eq!(method.by["fault_kind"][QUIET].cases, 0);
        }
    }
}
