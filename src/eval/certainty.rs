//! How sure the figures are, for people: intervals, paired tests and times; our method with less to go on; calibration.

use std::io::{self, Write};

use super::calibration::{Bin, Calibration};
use super::columns::{or_dash, p_value, plain, share, write_columns};
use super::run::{Evaluation, MethodResult, Times};
use super::table::ends;

/// Width of a bar that stands for 1.
const BAR: usize = 20;
/// Systems that get columns of their own beside the variants; more would not fit.
const SYSTEMS_SHOWN: usize = 3;

/// Writes what decides between the first method and each other one, and how long each takes.
pub(super) fn write_comparison(methods: &[MethodResult], out: &mut dyn Write) -> io::Result<()> {
    let heading = ["how sure", "AC@3 95 %", "MRR 95 %", "only ours", "only this", "p", "Holm", "ms", "ms at most"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(methods.iter().map(comparison_row));
    writeln!(out)?;
    write_columns(&rows, out)
}

fn comparison_row(method: &MethodResult) -> Vec<String> {
    let intervals = method.accuracy.intervals;
    let mut row = vec![method.name.clone(), ends(intervals.map(|i| i.ac3)), ends(intervals.map(|i| i.mrr))];
    row.extend(match method.against_first {
        Some(p) => [p.only_first.to_string(), p.only_this.to_string(), p_value(p.p), p_value(p.p_holm)],
        None => ["-"; 4].map(str::to_owned),
    });
    row.extend(match method.times {
        Some(Times { median_ms, largest_ms }) => [median_ms, largest_ms].map(|ms| format!("{ms:.1}")),
        None => ["-"; 2].map(str::to_owned),
    });
    row
}

/// Writes our method with less to go on beside the whole, and AC@1/AC@3 by system where there are a few.
pub(super) fn write_ablations(evaluation: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    let Some(whole) = evaluation.methods.first().filter(|_| !evaluation.ablations.is_empty()) else { return Ok(()) };
    let systems: Vec<&String> = whole.by.get("system").into_iter().flatten().map(|(system, _)| system).collect();
    let systems = if (2..=SYSTEMS_SHOWN).contains(&systems.len()) { systems } else { Vec::new() };
    let mut rows = vec![["with less to go on", "AC@1", "95 %", "AC@3", "specificity"].map(str::to_owned).to_vec()];
    rows[0].extend(systems.iter().map(|system| plain(system)));
    for result in std::iter::once(whole).chain(&evaluation.ablations) {
        let a = &result.accuracy;
        let mut row = vec![result.name.clone(), share(a.ac1), ends(a.intervals.map(|i| i.ac1)), share(a.ac3)];
        row.push(or_dash(a.specificity));
        row.extend(systems.iter().map(|system| match result.by.get("system").and_then(|by| by.get(*system)) {
            Some(a) => format!("{:.2}/{:.2}", a.ac1, a.ac3),
            None => "-".to_owned(),
        }));
        rows.push(row);
    }
    writeln!(out)?;
    write_columns(&rows, out)
}

/// Writes the reliability diagram of the first method: `#` up to the share right, `|` at the mean confidence.
pub(super) fn write_calibration(evaluation: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    let Some(calibration) = Calibration::of_first_method(&evaluation.cases) else { return Ok(()) };
    let ours = evaluation.methods.first().map_or("", |method| method.name.as_str());
    writeln!(
        out,
        "\ncalibration of {ours}: expected calibration error {}, Brier score {}, {} top answers",
        share(calibration.expected_error),
        share(calibration.brier),
        calibration.statements
    )?;
    let mut rows =
        vec![["confidence", "answers", "mean", "right", "# right, | confidence"].map(str::to_owned).to_vec()];
    rows.extend(calibration.bins.iter().filter(|bin| bin.statements > 0).map(|bin| {
        let range = format!("{:.1}-{:.1}", bin.low, bin.high);
        let figures = [bin.mean_confidence, bin.share_right].map(or_dash);
        [vec![range, bin.statements.to_string()], figures.to_vec(), vec![bar(bin)]].concat()
    }));
    write_columns(&rows, out)
}

fn bar(bin: &Bin) -> String {
    let cell = |value: Option<f64>| value.map_or(0, |v| (v * BAR as f64).round() as usize);
    let (right, confidence) = (cell(bin.share_right), cell(bin.mean_confidence));
    (0..=BAR)
        .map(|at| match at {
            at if at == confidence => '|',
            at if at < right => '#',
            _ => ' ',
        })
        .collect()
}
