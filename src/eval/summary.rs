//! The README's table: for each recorded dataset our method, alone and with less to go on, and the best of the others.

use super::json::{FiguresJson, MethodJson};
use super::markdown::{Align, code, milliseconds, optional, row, rule, text, two_digits, with_interval};
use super::record::Record;
use crate::rank::{Ranker, single};

/// Other methods with a row of their own; the rest is summed up in one.
const OTHERS_SHOWN: usize = 3;
/// Systems of a dataset that get rows of their own; more would say nothing about each.
const SYSTEMS_SHOWN: usize = 3;

/// What the README says of the records: the table, and what else stands in them.
pub fn summary(records: &[Record]) -> String {
    let calibrated = |record: &Record| {
        let c = record.evaluation.calibration.as_ref()?;
        Some(format!("{} {:.2}", text(&record.evaluation.dataset), c.expected_error))
    };
    let errors: Vec<String> = records.iter().filter_map(calibrated).collect();
    let recorded = |record: &Record| format!("{} {}", text(&record.evaluation.dataset), record.date);
    let days: Vec<String> = records.iter().map(recorded).collect();
    format!(
        "{}\nExpected calibration error of our probabilities: {}. Recorded: {}.\n",
        table(records),
        errors.join(", "),
        days.join(", ")
    )
}

/// One table for all records, in Markdown.
fn table(records: &[Record]) -> String {
    let heading = ["incidents", "method", "AC@1 (95 %)", "AC@3", "specificity", "p", "ms"];
    let mut lines = vec![row(&heading.map(str::to_owned))];
    let aligned = [Align::Left, Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right];
    lines.push(rule(&aligned));
    for record in records {
        lines.extend(rows(record).iter().map(|cells| row(cells)));
    }
    lines.join("\n") + "\n"
}

fn rows(record: &Record) -> Vec<[String; 7]> {
    let evaluation = &record.evaluation;
    let Some((ours, others)) = evaluation.methods.split_first() else { return Vec::new() };
    let ms = |name: &str| evaluation.times.get(name).map_or_else(String::new, |t| milliseconds(t.median_ms));
    let mut rows = vec![cells(format!("**{}**", text(&ours.name)), &ours.figures, None, ms(&ours.name))];
    rows[0][0] = format!("**{}**, {}", text(&evaluation.dataset), counted(evaluation.cases, evaluation.quiet_cases));
    if let Some(systems) = ours.by.get("system").filter(|systems| (2..=SYSTEMS_SHOWN).contains(&systems.len())) {
        let of_system = |(name, figures): (&String, &FiguresJson)| {
            let mut row = cells(String::new(), figures, None, String::new());
            row[1] = format!("on the {} of {}", figures.cases, text(name));
            row
        };
        rows.extend(systems.iter().map(of_system));
    }
    rows.extend(evaluation.ablations.iter().map(|v| cells(text(&v.name), &v.figures, None, String::new())));
    let mut others: Vec<&MethodJson> = others.iter().filter(|method| !is_part_of_ours(&method.name)).collect();
    others
        .sort_by(|a, b| b.figures.ac1.total_cmp(&a.figures.ac1).then_with(|| b.figures.ac3.total_cmp(&a.figures.ac3)));
    let (shown, rest) = others.split_at(others.len().min(OTHERS_SHOWN));
    let p = |method: &MethodJson| method.against_first.as_ref().map(|paired| paired.p_holm);
    rows.extend(shown.iter().map(|m| cells(code(&m.name), &m.figures, p(m), ms(&m.name))));
    if !rest.is_empty() {
        let most = |of: fn(&FiguresJson) -> f64| rest.iter().map(|m| of(&m.figures)).fold(0.0, f64::max);
        let mut row = [(); 7].map(|()| String::new());
        row[1] = format!("{} more", rest.len());
        row[2] = format!("at most {}", two_digits(most(|f| f.ac1)));
        row[3] = format!("at most {}", two_digits(most(|f| f.ac3)));
        rows.push(row);
    }
    rows
}

fn cells(name: String, figures: &FiguresJson, p: Option<f64>, ms: String) -> [String; 7] {
    [
        String::new(),
        name,
        with_interval(figures.ac1, figures.ac1_interval),
        two_digits(figures.ac3),
        optional(figures.specificity, two_digits),
        optional(p, super::columns::p_value),
        ms,
    ]
}

fn counted(incidents: usize, quiet: usize) -> String {
    if quiet == 0 { incidents.to_string() } else { format!("{incidents} and {quiet} quiet") }
}

/// Signs of our own method stand in tables to show what each adds; they are no other method.
fn is_part_of_ours(name: &str) -> bool {
    [single::ATTRIBUTION, single::NETWORK_GAP, single::INSIDE].iter().any(|part| part.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::table::tests::evaluation;

    #[test]
    fn one_table_for_all_records() {
        let record = Record::new(&evaluation(), "2026-03-02", "hypocenter eval shop");
        let mut wide = record.clone();
        wide.evaluation.dataset = "two|systems".to_owned();
        let by = &mut wide.evaluation.methods[0].by;
        let figures = by["fault_kind"]["cpu"].clone();
        let systems = [("a".to_owned(), figures.clone()), ("b".to_owned(), figures)];
        by.insert("system".to_owned(), systems.into_iter().collect());
        let random = wide.evaluation.methods[1].clone();
        let others =
            ["circa", "prism", "inside", "baro"].map(|name| MethodJson { name: name.to_owned(), ..random.clone() });
        wide.evaluation.methods.extend(others);
        wide.evaluation.methods[2].figures.ac1 = 0.5;
        let expected = "\
| incidents | method | AC@1 (95 %) | AC@3 | specificity | p | ms |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
| **shop**, 2 and 1 quiet | **hypocenter** | 0.50 (0.00–1.00) | 0.50 | 1.00 |  | 2.5 |
|  | without logs | 0.00 (0.00–0.00) | 0.00 | 1.00 |  |  |
|  | `random` | 0.00 (0.00–0.00) | 0.00 | 1.00 | 1.000 | 0.0 |
| **two\\|systems**, 2 and 1 quiet | **hypocenter** | 0.50 (0.00–1.00) | 0.50 | 1.00 |  | 2.5 |
|  | on the 2 of a | 0.50 (0.00–1.00) | 0.50 |  |  |  |
|  | on the 2 of b | 0.50 (0.00–1.00) | 0.50 |  |  |  |
|  | without logs | 0.00 (0.00–0.00) | 0.00 | 1.00 |  |  |
|  | `circa` | 0.50 (0.00–0.00) | 0.00 | 1.00 | 1.000 |  |
|  | `random` | 0.00 (0.00–0.00) | 0.00 | 1.00 | 1.000 | 0.0 |
|  | `prism` | 0.00 (0.00–0.00) | 0.00 | 1.00 | 1.000 |  |
|  | 1 more | at most 0.00 | at most 0.00 |  |  |  |
";
        assert_eq!(table(&[record.clone(), wide]), expected);
        let rest = summary(&[record]);
        let rest = rest.rsplit("\n\n").next().unwrap_or_default();
        // Right at 0.8, wrong at 0.8, and a cause in the quiet case at 0.8: |1/3 - 0.8|.
        let expected = "Expected calibration error of our probabilities: shop 0.47. Recorded: shop 2026-03-02.\n";
        assert_eq!(rest, expected);
    }
}
