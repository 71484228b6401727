//! The training table: CSV with a row for each candidate, and one for each case without any.

use sha2::{Digest, Sha256};

use super::examples::{Alternative, Example};
use crate::rank::fusion::SIGNS;

/// Columns before those of [`SIGNS`].
const FIXED: [&str; 5] = ["case", "system", "quiet", "calm", "cause"];

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is no CSV.
    #[error("the training table is no CSV")]
    Csv(#[from] csv::Error),
    /// Its columns are others.
    #[error("the training table has the columns {found}; expected {expected}: make it again from recorded cases")]
    Columns {
        /// As it has them.
        found: String,
        /// As they have to be.
        expected: String,
    },
    /// A cell cannot be read.
    #[error("line {line} of the training table: {column} is `{found}`, expected a number")]
    Cell {
        /// From 1, the head included.
        line: u64,
        /// Which column.
        column: &'static str,
        /// What stands there.
        found: String,
    },
}

fn columns() -> Vec<&'static str> {
    FIXED.into_iter().chain(SIGNS.map(|sign| sign.0)).collect()
}

/// Writes the examples. Bits have three digits after the point.
pub(super) fn write(examples: &[Example]) -> String {
    let mut text = columns().join(",");
    text.push('\n');
    let flag = |value: bool| if value { "1" } else { "0" };
    for (at, example) in examples.iter().enumerate() {
        let nobody = Alternative { is_cause: false, signs: [0.0; SIGNS.len()] };
        let rows = if example.alternatives.is_empty() { std::slice::from_ref(&nobody) } else { &example.alternatives };
        for row in rows {
            // Names of systems come from folders; a comma or a quote in one would make other columns.
            let system: String = example.system.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
            let [quiet, calm, cause] = [example.is_quiet, example.is_calm, row.is_cause].map(flag);
            text.push_str(&format!("{at},{system},{quiet},{calm},{cause}"));
            row.signs.iter().for_each(|bits| text.push_str(&format!(",{bits:.3}")));
            text.push('\n');
        }
    }
    text
}

/// Reads what [`write`] has written.
pub(super) fn read(text: &str) -> Result<Vec<Example>, TableError> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let found: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    if found != columns() {
        return Err(TableError::Columns { found: found.join(","), expected: columns().join(",") });
    }
    let mut examples: Vec<Example> = Vec::new();
    let mut last_case = None;
    for record in reader.records() {
        let record = record?;
        let number = |at: usize| {
            let cell = record.get(at).unwrap_or_default();
            cell.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0).ok_or_else(|| {
                TableError::Cell {
                    line: record.position().map_or(0, csv::Position::line),
                    column: columns().get(at).copied().unwrap_or_default(),
                    found: cell.to_owned(),
                }
            })
        };
        let is_set = |at: usize| number(at).map(|value| value > 0.0);
        let mut signs = [0.0; SIGNS.len()];
        for (at, sign) in signs.iter_mut().enumerate() {
            *sign = number(FIXED.len() + at)?;
        }
        let case = record.get(0).map(str::to_owned);
        if case != last_case {
            let system = record.get(1).unwrap_or_default().to_owned();
            examples.push(Example { system, is_quiet: is_set(2)?, is_calm: is_set(3)?, alternatives: Vec::new() });
            last_case = case;
        }
        let alternative = Alternative { is_cause: is_set(4)?, signs };
        if let Some(example) = examples.last_mut().filter(|_| alternative.signs.iter().any(|bits| *bits > 0.0)) {
            example.alternatives.push(alternative);
        }
    }
    Ok(examples)
}

/// SHA-256 in hexadecimal.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
