//! One evaluation as a page in Markdown: all methods, our method with less to go on, by group, calibration, wrong cases.

use super::columns::p_value;
use super::json::{CalibrationJson, EvaluationJson, FiguresJson, MethodJson};
use super::record::{Record, WrongJson};
use crate::report::{markdown_text, terminal_text};

/// Wrong cases that a page lists; the record has them all.
const WRONG_SHOWN: usize = 40;
/// Longest name, characters.
const MAX_NAME: usize = 120;

/// The page of a record, headed by the dataset's name as a third-level heading.
pub fn page(record: &Record) -> String {
    let evaluation = &record.evaluation;
    let mut page = format!("### {}\n\n", text(&evaluation.dataset));
    let quiet = if evaluation.quiet_cases == 0 { String::new() } else { format!(", {} quiet", evaluation.quiet_cases) };
    let Record { date, version, command, cases_digest, .. } = record;
    page.push_str(&format!(
        "{} incidents{quiet} (digest of their names `{cases_digest}`), {date}, version {version}:\n\n",
        evaluation.cases
    ));
    page.push_str(&format!("```sh\n{}\n```\n\n", terminal_text(command, 2_000)));
    methods(evaluation, &mut page);
    variants(evaluation, &mut page);
    groups(evaluation, &mut page);
    if let Some(calibration) = &evaluation.calibration {
        reliability(calibration, &mut page);
    }
    wrong(&record.wrong, &mut page);
    page
}

fn methods(evaluation: &EvaluationJson, page: &mut String) {
    let heading = [
        "method",
        "AC@1 (95 %)",
        "AC@3 (95 %)",
        "Avg@5",
        "MRR",
        "specificity",
        "only ours",
        "only this",
        "p",
        "ms",
        "at most",
    ];
    table(page, &heading, &[Align::Left], |rows| {
        for method in &evaluation.methods {
            let MethodJson { name, figures: f, against_first, .. } = method;
            let paired = against_first.as_ref();
            let times = evaluation.times.get(name);
            rows.push(vec![
                code(name),
                with_interval(f.ac1, f.ac1_interval),
                with_interval(f.ac3, f.ac3_interval),
                two_digits(f.avg5),
                two_digits(f.mrr),
                optional(f.specificity, two_digits),
                optional(paired, |p| p.only_first.to_string()),
                optional(paired, |p| p.only_this.to_string()),
                optional(paired, |p| p_value(p.p_holm)),
                optional(times, |t| milliseconds(t.median_ms)),
                optional(times, |t| milliseconds(t.largest_ms)),
            ]);
        }
    });
}

/// Our method with less to go on: all incidents, then AC@1 by system.
fn variants(evaluation: &EvaluationJson, page: &mut String) {
    let Some(ours) = evaluation.methods.first().filter(|_| !evaluation.ablations.is_empty()) else { return };
    let systems: Vec<&String> = ours.by.get("system").into_iter().flatten().map(|(system, _)| system).collect();
    let systems = if systems.len() > 1 { systems } else { Vec::new() };
    let names: Vec<String> = systems.iter().map(|system| format!("AC@1 of {}", text(system))).collect();
    let heading: Vec<&str> = ["with less to go on", "AC@1 (95 %)", "AC@3", "specificity"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    table(page, &heading, &[Align::Left], |rows| {
        for variant in std::iter::once(ours).chain(&evaluation.ablations) {
            let f = &variant.figures;
            let mut row = vec![text(&variant.name), with_interval(f.ac1, f.ac1_interval), two_digits(f.ac3)];
            row.push(optional(f.specificity, two_digits));
            let of = |system: &&String| variant.by.get("system").and_then(|by| by.get(*system));
            row.extend(systems.iter().map(|system| optional(of(system), |f| two_digits(f.ac1))));
            rows.push(row);
        }
    });
}

/// Our method by system, fault kind, severity and split.
fn groups(evaluation: &EvaluationJson, page: &mut String) {
    let Some(ours) = evaluation.methods.first() else { return };
    for (kind, groups) in ours.by.iter().filter(|(_, groups)| groups.len() > 1) {
        let of = format!("by {}", kind.replace('_', " "));
        table(page, &[&of, "incidents", "AC@1 (95 %)", "AC@3", "specificity"], &[Align::Left], |rows| {
            for (group, f) in groups {
                let figures = Some(f).filter(|f| f.cases > 0);
                rows.push(vec![
                    text(group),
                    f.cases.to_string(),
                    optional(figures, |f: &FiguresJson| with_interval(f.ac1, f.ac1_interval)),
                    optional(figures, |f: &FiguresJson| two_digits(f.ac3)),
                    optional(f.specificity, two_digits),
                ]);
            }
        });
    }
}

fn reliability(calibration: &CalibrationJson, page: &mut String) {
    page.push_str(&format!(
        "Calibration: expected calibration error {:.3}, Brier score {:.3}, {} top answers.\n\n",
        calibration.expected_error, calibration.brier, calibration.statements
    ));
    table(page, &["confidence", "top answers", "mean confidence", "share right"], &[Align::Left], |rows| {
        for bin in calibration.bins.iter().filter(|bin| bin.statements > 0) {
            rows.push(vec![
                format!("{:.1}–{:.1}", bin.low, bin.high),
                bin.statements.to_string(),
                optional(bin.mean_confidence, two_digits),
                optional(bin.share_right, two_digits),
            ]);
        }
    });
}

fn wrong(wrong: &[WrongJson], page: &mut String) {
    if wrong.is_empty() {
        page.push_str("No case is wrong.\n");
        return;
    }
    let left = [Align::Left, Align::Left, Align::Left, Align::Right, Align::Left, Align::Right, Align::Left];
    let heading = ["wrong case", "kind", "truth", "rank", "stood first", "probability", "verdict"];
    table(page, &heading, &left, |rows| {
        for case in wrong.iter().take(WRONG_SHOWN) {
            rows.push(vec![
                text(&case.id),
                optional(case.kind.as_ref(), |kind| text(kind)),
                text(&case.truth),
                optional(case.rank, |rank| rank.to_string()),
                optional(case.first.as_ref(), |first| text(first)),
                optional(case.probability, two_digits),
                optional(case.verdict.as_ref(), |verdict| text(verdict)),
            ]);
        }
    });
    if wrong.len() > WRONG_SHOWN {
        page.push_str(&format!("And {} more: the record names them all.\n", wrong.len() - WRONG_SHOWN));
    }
}

/// How a column is aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Align {
    /// Texts.
    Left,
    /// Figures.
    Right,
}

/// A table and an empty line. Columns that `aligned` does not name hold figures.
fn table(page: &mut String, heading: &[&str], aligned: &[Align], fill: impl FnOnce(&mut Vec<Vec<String>>)) {
    let mut rows = Vec::new();
    fill(&mut rows);
    let aligned: Vec<Align> =
        (0..heading.len()).map(|column| aligned.get(column).copied().unwrap_or(Align::Right)).collect();
    let heading: Vec<String> = heading.iter().map(|&name| name.to_owned()).collect();
    let lines = [row(&heading), rule(&aligned)].into_iter().chain(rows.iter().map(|cells| row(cells)));
    page.extend(lines.map(|line| line + "\n"));
    page.push('\n');
}

/// One row of a table.
pub(super) fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// The row below the heading.
pub(super) fn rule(aligned: &[Align]) -> String {
    let cell = |align: &Align| if *align == Align::Left { "---" } else { "---:" }.to_owned();
    row(&aligned.iter().map(cell).collect::<Vec<_>>())
}

/// A name from a file.
pub(super) fn text(name: &str) -> String {
    markdown_text(name, MAX_NAME)
}

/// A name of a method.
pub(super) fn code(name: &str) -> String {
    format!("`{name}`")
}

/// A share.
pub(super) fn two_digits(value: f64) -> String {
    format!("{value:.2}")
}

/// A share with its interval.
pub(super) fn with_interval(value: f64, interval: Option<[f64; 2]>) -> String {
    match interval {
        Some([low, high]) => format!("{value:.2} ({low:.2}–{high:.2})"),
        None => two_digits(value),
    }
}

/// Milliseconds; below ten with one digit.
pub(super) fn milliseconds(ms: f64) -> String {
    if ms < 9.95 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// An empty cell where there is nothing.
pub(super) fn optional<T>(value: Option<T>, shown: impl FnOnce(T) -> String) -> String {
    value.map_or_else(String::new, shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::table::tests::evaluation;

    #[test]
    fn the_page_tells_all_and_names_are_escaped() {
        let record = Record::new(&evaluation(), "2026-03-02", "hypocenter eval shop");
        insta::assert_snapshot!(page(&record));
    }
}
