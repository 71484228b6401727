//! Figures for people: tables of at most a hundred columns or so.

use std::io::{self, Write};

use super::certainty::{write_ablations, write_calibration, write_comparison};
use super::columns::{or_dash, plain, share, write_columns};
use super::interval::Interval;
use super::run::{CaseResult, Evaluation, MethodResult};
use super::scoring::{Accuracy, Outcome};
use crate::rank::Verdict;

/// Methods that tables by group have columns for; more would be wider than a screen.
const METHODS_BY_GROUP: usize = 5;
/// Failed cases that the table names; one wrong folder can fail them all.
const FAILURES_SHOWN: usize = 5;

/// Writes the figures of all methods and how sure they are, our method with less to go on, then AC@1 and AC@3 by system, fault kind, severity and split.
///
/// # Errors
/// What the writer says.
pub fn write_text(evaluation: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    let incidents = evaluation.methods.first().map_or(0, |m| m.accuracy.cases);
    let quiet = evaluation.cases.len() - incidents.min(evaluation.cases.len());
    let failed = evaluation.cases.iter().filter(|case| case.error.is_some()).count();
    write!(out, "{}: {}", plain(&evaluation.dataset), counted(incidents, "incident"))?;
    if quiet > 0 {
        write!(out, ", {}", counted(quiet, "quiet case"))?;
    }
    if failed > 0 {
        write!(out, ", {failed} could not be read (counted as missed)")?;
    }
    writeln!(out, "; ties count against the method\n")?;

    let mut rows = vec![
        ["method", "AC@1", "95 %", "AC@3", "AC@5", "Avg@5", "MRR", "all@n", "specificity", "failures"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for method in &evaluation.methods {
        let a = &method.accuracy;
        let mut row = vec![method.name.clone()];
        row.extend([share(a.ac1), ends(a.intervals.map(|i| i.ac1))]);
        row.extend([a.ac3, a.ac5, a.avg5, a.mrr].map(share));
        row.extend([a.all_causes, a.specificity].map(or_dash));
        row.push(method.failures.to_string());
        rows.push(row);
    }
    write_columns(&rows, out)?;
    write_failures(evaluation, out)?;
    write_comparison(&evaluation.methods, out)?;
    write_ablations(evaluation, out)?;
    write_calibration(evaluation, out)?;
    let kinds = evaluation.methods.first().map(|m| m.by.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
    let shown = methods_by_group(&evaluation.methods);
    for kind in kinds {
        writeln!(out)?;
        write_columns(&group_rows(kind, &shown), out)?;
    }
    if shown.len() < evaluation.methods.len() {
        let most = shown.len() - 1;
        writeln!(out, "\nBy group: ours and the {most} others that are best over all; -o json has every method.")?;
    }
    Ok(())
}

/// The first method and the others with the highest AC@1, in the order of the table.
fn methods_by_group(methods: &[MethodResult]) -> Vec<&MethodResult> {
    let mut best: Vec<usize> = (1..methods.len()).collect();
    let figures = |at: usize| &methods[at].accuracy;
    // Sorting is stable: of equals the earlier stays.
    best.sort_by(|&a, &b| {
        let (a, b) = (figures(a), figures(b));
        b.ac1.total_cmp(&a.ac1).then_with(|| b.ac3.total_cmp(&a.ac3))
    });
    best.truncate(METHODS_BY_GROUP - 1);
    let shown = methods.iter().enumerate().filter(|(at, _)| *at == 0 || best.contains(at));
    shown.map(|(_, method)| method).collect()
}

/// Both ends of an interval, in one cell.
pub(super) fn ends(interval: Option<Interval>) -> String {
    interval.map_or_else(|| "-".to_owned(), |Interval { low, high }| format!("{low:.2}-{high:.2}"))
}

fn write_failures(evaluation: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    let failures: Vec<(&str, &str)> =
        evaluation.cases.iter().filter_map(|case| Some((case.id.as_str(), case.error.as_deref()?))).collect();
    if failures.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for (id, reason) in failures.iter().take(FAILURES_SHOWN) {
        writeln!(out, "{} failed: {}", plain(id), plain(reason))?;
    }
    if failures.len() > FAILURES_SHOWN {
        writeln!(out, "and {} more failed", failures.len() - FAILURES_SHOWN)?;
    }
    Ok(())
}

/// One row a group: the number of incidents, then each method's AC@1 and AC@3; specificity for groups of quiet cases.
fn group_rows(kind: &str, methods: &[&MethodResult]) -> Vec<Vec<String>> {
    let heading = match kind {
        "system" => "by system, AC@1/AC@3",
        "fault_kind" => "by fault kind, AC@1/AC@3",
        "severity" => "by severity, AC@1/AC@3",
        _ => "by split, AC@1/AC@3",
    };
    let mut rows = vec![vec![heading.to_owned(), "incidents".to_owned()]];
    rows[0].extend(methods.iter().map(|method| method.name.clone()));
    let Some(groups) = methods.first().and_then(|method| method.by.get(kind)) else { return rows };
    for (group, first) in groups {
        let mut row = vec![plain(group), first.cases.to_string()];
        row.extend(methods.iter().map(|method| match method.by.get(kind).and_then(|by| by.get(group)) {
            Some(Accuracy { cases: 0, specificity: Some(kept), .. }) => format!("quiet {}", share(*kept)),
            Some(a) => format!("{:.2}/{:.2}", a.ac1, a.ac3),
            None => "-".to_owned(),
        }));
        rows.push(row);
    }
    rows
}

/// Writes one row a case: the truth, each method's rank of it (`-` not ranked, `ok` or `alarm` for quiet cases), what our
/// method put first with its verdict, and the time it took.
///
/// # Errors
/// What the writer says.
pub fn write_cases(evaluation: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    let mut heading = vec!["case".to_owned(), "fault kind".to_owned(), "truth".to_owned()];
    heading.extend(evaluation.methods.iter().map(|method| method.name.clone()));
    heading.extend(["first", "verdict", "seconds"].map(str::to_owned));
    let mut rows = vec![heading];
    rows.extend(evaluation.cases.iter().map(case_row));
    write_columns(&rows, out)
}

fn case_row(case: &CaseResult) -> Vec<String> {
    let kind = case.group("fault_kind").unwrap_or_default();
    let mut row = vec![plain(&case.id), plain(kind), plain(&case.truth)];
    row.extend(case.answers.iter().map(|answer| match answer.outcome {
        _ if answer.failed => "failed".to_owned(),
        Outcome::Incident { rank: Some(rank), .. } => rank.to_string(),
        Outcome::Incident { rank: None, .. } => "-".to_owned(),
        Outcome::Quiet(true) => "ok".to_owned(),
        Outcome::Quiet(false) => "alarm".to_owned(),
    }));
    let ours = case.answers.first();
    row.push(plain(ours.and_then(|answer| answer.first.as_deref()).unwrap_or("-")));
    row.push(ours.and_then(|answer| answer.verdict).map_or("-", verdict_name).to_owned());
    row.push(format!("{:.1}", case.seconds));
    row
}

/// The verdict in words.
pub(super) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::CauseFound => "cause found",
        Verdict::NoAnomaly => "no anomaly",
        Verdict::CannotTell => "cannot tell",
    }
}

fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::eval::paired::Paired;
    use crate::eval::run::{Answer, Times};

    /// Two incidents, of which our method finds one, and a quiet case; another method finds nothing.
    pub(in crate::eval) fn evaluation() -> Evaluation {
        let incidents = [(Some(1), None), (Some(4), None)].map(|(rank, all)| Outcome::Incident { rank, all });
        let ours = [incidents[0], incidents[1], Outcome::Quiet(true)];
        let missed = Outcome::Incident { rank: None, all: None };
        let method = |name: &str, outcomes: &[Outcome], ms: f64, against_first| MethodResult {
            name: name.to_owned(),
            accuracy: Accuracy::of(outcomes),
            failures: 0,
            against_first,
            times: Some(Times { median_ms: ms, largest_ms: 8.05 * ms }),
            by: BTreeMap::from([(
                "fault_kind",
                BTreeMap::from([
                    ("cpu".to_owned(), Accuracy::of(&outcomes[..2])),
                    ("none".to_owned(), Accuracy::of(&outcomes[2..])),
                ]),
            )]),
        };
        let case = |id: &str, truth: &str, kind: &str, outcome, verdict| {
            let ours = Answer {
                outcome,
                first: Some("cart".to_owned()),
                probability: Some(0.8),
                none_probability: Some(0.1),
                verdict: Some(verdict),
                analysis_ms: Some(2.5),
                failed: false,
            };
            let nothing = Answer { first: None, probability: None, none_probability: Some(1.0), ..ours.clone() };
            let theirs = Answer { outcome: missed, verdict: Some(Verdict::NoAnomaly), ..nothing };
            CaseResult {
                id: id.to_owned(),
                truth: truth.to_owned(),
                groups: vec![("fault_kind", kind.to_owned())],
                parts: BTreeSet::new(),
                seconds: 0.25,
                error: None,
                answers: vec![ours, theirs],
            }
        };
        let paired = Paired { only_first: 1, only_this: 0, p: 0.0004, p_holm: 1.0 };
        Evaluation {
            dataset: "shop".to_owned(),
            methods: vec![
                method("hypocenter", &ours, 2.5, None),
                method("random", &[missed, missed, Outcome::Quiet(true)], 0.01, Some(paired)),
            ],
            cases: vec![
                case("1", "cart", "cpu", ours[0], Verdict::CauseFound),
                case("2", "pay\u{1b}[31m", "cpu", ours[1], Verdict::CannotTell),
                case("3", "", "none", ours[2], Verdict::NoAnomaly),
            ],
            ablations: vec![method("without logs", &[missed, incidents[1], Outcome::Quiet(true)], 2.5, None)],
        }
    }

    fn text(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_tables_read_well() {
        insta::assert_snapshot!(text(|out| write_text(&evaluation(), out)));
    }

    #[test]
    fn the_list_of_cases_is_safe_to_print() {
        let expected = "\
case  fault kind  truth     hypocenter  random  first  verdict      seconds
1     cpu         cart               1       -  cart   cause found      0.2
2     cpu         pay\u{fffd}[31m           4       -  cart   cannot tell      0.2
3     none                          ok       -  cart   no anomaly       0.2
";
        assert_eq!(text(|out| write_cases(&evaluation(), out)), expected);
    }
}
