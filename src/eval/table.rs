//! Figures for people (a table) and for programs (JSON).

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::run::{CaseResult, Evaluation, MethodResult};
use super::scoring::{Accuracy, Outcome};
use crate::rank::Verdict;

/// Failed cases that the table names; one wrong folder can fail them all.
const FAILURES_SHOWN: usize = 5;

/// Writes the figures of all methods, then AC@1 and AC@3 by system, fault kind, severity and split.
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
        ["method", "AC@1", "AC@3", "AC@5", "Avg@5", "MRR", "all@n", "specificity", "failures"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for method in &evaluation.methods {
        let a = &method.accuracy;
        let mut row = vec![method.name.clone()];
        row.extend([a.ac1, a.ac3, a.ac5, a.avg5, a.mrr].map(share));
        row.extend([a.all_causes, a.specificity].map(|figure| figure.map_or_else(|| "-".to_owned(), share)));
        row.push(method.failures.to_string());
        rows.push(row);
    }
    write_columns(&rows, out)?;
    write_failures(evaluation, out)?;
    let kinds = evaluation.methods.first().map(|m| m.by.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
    for kind in kinds {
        writeln!(out)?;
        write_columns(&group_rows(kind, &evaluation.methods), out)?;
    }
    Ok(())
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
fn group_rows(kind: &str, methods: &[MethodResult]) -> Vec<Vec<String>> {
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
    let kind = case.groups.iter().find(|group| group.0 == "fault_kind").map_or("", |group| group.1.as_str());
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

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::CauseFound => "cause found",
        Verdict::NoAnomaly => "no anomaly",
        Verdict::CannotTell => "cannot tell",
    }
}

fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn share(value: f64) -> String {
    format!("{value:.3}")
}

/// Names come from files: control characters would reach the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What stands in place of a figure.
const WORDS: [&str; 5] = ["-", "ok", "alarm", "failed", "quiet "];

/// Left-aligned texts, right-aligned figures, two spaces between columns, no space at line ends.
fn write_columns(rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let widths: Vec<usize> =
        (0..columns).map(|c| cells(c).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let is_figure = |cell: &String| {
        cell.starts_with(|c: char| c.is_ascii_digit()) || WORDS.iter().any(|word| cell.starts_with(word))
    };
    // The first column names things, even where the names begin with a digit.
    let figures: Vec<bool> = (0..columns).map(|c| c > 0 && cells(c).skip(1).all(is_figure)).collect();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            line.push_str(if column == 0 { "" } else { "  " });
            if figures[column] { line.extend([padding.as_str(), cell]) } else { line.extend([cell, padding.as_str()]) }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[derive(Serialize)]
struct EvaluationJson<'a> {
    dataset: &'a str,
    cases: usize,
    methods: Vec<MethodJson<'a>>,
}

#[derive(Serialize)]
struct MethodJson<'a> {
    name: &'a str,
    ac1: f64,
    ac3: f64,
    ac5: f64,
    avg5: f64,
    mrr: f64,
    failures: usize,
    all_causes: Option<f64>,
    specificity: Option<f64>,
    by: BTreeMap<&'a str, BTreeMap<&'a str, GroupJson>>,
}

#[derive(Serialize)]
struct GroupJson {
    cases: usize,
    ac1: f64,
    ac3: f64,
    ac5: f64,
    avg5: f64,
    mrr: f64,
    all_causes: Option<f64>,
    specificity: Option<f64>,
}

impl From<&Accuracy> for GroupJson {
    fn from(a: &Accuracy) -> Self {
        Self {
            cases: a.cases,
            ac1: a.ac1,
            ac3: a.ac3,
            ac5: a.ac5,
            avg5: a.avg5,
            mrr: a.mrr,
            all_causes: a.all_causes,
            specificity: a.specificity,
        }
    }
}

/// Writes the figures as one JSON object. `cases` counts incidents; `specificity` is null without quiet cases.
///
/// # Errors
/// What the writer says.
pub fn write_json(evaluation: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    let methods = evaluation.methods.iter().map(|method| {
        let a = &method.accuracy;
        let by = method.by.iter().map(|(kind, groups)| {
            (*kind, groups.iter().map(|(group, figures)| (group.as_str(), GroupJson::from(figures))).collect())
        });
        MethodJson {
            name: &method.name,
            ac1: a.ac1,
            ac3: a.ac3,
            ac5: a.ac5,
            avg5: a.avg5,
            mrr: a.mrr,
            failures: method.failures,
            all_causes: a.all_causes,
            specificity: a.specificity,
            by: by.collect(),
        }
    });
    let json = EvaluationJson {
        dataset: &evaluation.dataset,
        cases: evaluation.methods.first().map_or(0, |m| m.accuracy.cases),
        methods: methods.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &json)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::run::Answer;

    fn evaluation() -> Evaluation {
        let incidents = [(Some(1), None), (Some(4), None)].map(|(rank, all)| Outcome::Incident { rank, all });
        let incidents = [incidents[0], incidents[1], Outcome::Quiet(true)];
        let accuracy = Accuracy::of(&incidents);
        let by = BTreeMap::from([(
            "fault_kind",
            BTreeMap::from([
                ("cpu".to_owned(), Accuracy::of(&incidents[..2])),
                ("none".to_owned(), Accuracy::of(&incidents[2..])),
            ]),
        )]);
        let case = |id: &str, truth: &str, kind: &str, outcome, verdict| CaseResult {
            id: id.to_owned(),
            truth: truth.to_owned(),
            groups: vec![("fault_kind", kind.to_owned())],
            seconds: 0.25,
            error: None,
            answers: vec![Answer { outcome, first: Some("cart".to_owned()), verdict: Some(verdict), failed: false }],
        };
        Evaluation {
            dataset: "shop".to_owned(),
            methods: vec![MethodResult { name: "hypocenter".to_owned(), accuracy, failures: 0, by }],
            cases: vec![
                case("1", "cart", "cpu", incidents[0], Verdict::CauseFound),
                case("2", "pay\u{1b}[31m", "cpu", incidents[1], Verdict::CannotTell),
                case("3", "", "none", incidents[2], Verdict::NoAnomaly),
            ],
        }
    }

    fn text(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_reads_well() {
        let expected = "\
shop: 2 incidents, 1 quiet case; ties count against the method

method       AC@1   AC@3   AC@5  Avg@5    MRR  all@n  specificity  failures
hypocenter  0.500  0.500  1.000  0.700  0.625      -        1.000         0

by fault kind, AC@1/AC@3  incidents   hypocenter
cpu                               2    0.50/0.50
none                              0  quiet 1.000
";
        assert_eq!(text(|out| write_text(&evaluation(), out)), expected);
    }

    #[test]
    fn the_list_of_cases_is_safe_to_print() {
        let expected = "\
case  fault kind  truth     hypocenter  first  verdict      seconds
1     cpu         cart               1  cart   cause found      0.2
2     cpu         pay\u{fffd}[31m           4  cart   cannot tell      0.2
3     none                          ok  cart   no anomaly       0.2
";
        assert_eq!(text(|out| write_cases(&evaluation(), out)), expected);
    }

    #[test]
    fn the_json_has_the_agreed_fields() {
        let json: serde_json::Value = serde_json::from_str(&text(|out| write_json(&evaluation(), out))).unwrap();
        let expected = serde_json::json!({
            "dataset": "shop",
            "cases": 2,
            "methods": [{
                "name": "hypocenter", "ac1": 0.5, "ac3": 0.5, "ac5": 1.0, "avg5": 0.7, "mrr": 0.625,
                "failures": 0, "all_causes": null, "specificity": 1.0,
                "by": {"fault_kind": {
                    "cpu": {"cases": 2, "ac1": 0.5, "ac3": 0.5, "ac5": 1.0, "avg5": 0.7, "mrr": 0.625,
                            "all_causes": null, "specificity": null},
                    "none": {"cases": 0, "ac1": 0.0, "ac3": 0.0, "ac5": 0.0, "avg5": 0.0, "mrr": 0.0,
                             "all_causes": null, "specificity": 1.0},
                }},
            }],
        });
        assert_eq!(json, expected);
    }
}
