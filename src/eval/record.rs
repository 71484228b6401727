//! Dated records of evaluations: what the README's figures are made of.
//!
//! A record is one file, `<date>-<dataset>.json`. Measured again with the same program and data it has the same bytes, but
//! for `date` and `times`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::few_lines;
use super::json::EvaluationJson;
use super::recorded::{EvalError, list, read_json};
use super::run::{CaseResult, Evaluation};
use super::scoring::Outcome;
use super::table::verdict_name;
use crate::telemetry::id::fnv1a;

/// Goes up when fields change their meaning or vanish.
const SCHEMA: u32 = 1;

/// An evaluation as it is kept.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Record {
    /// Version of this layout.
    pub schema: u32,
    /// The day of the measurement, `YYYY-MM-DD`.
    pub date: String,
    /// The command line.
    pub command: String,
    /// Version of the program.
    pub version: String,
    /// FNV-1a (64 bits) over the names of all cases, each followed by a line feed: were these the same cases?
    pub cases_digest: String,
    /// The figures.
    #[serde(flatten)]
    pub evaluation: EvaluationJson,
    /// Cases in which our method is wrong.
    pub wrong: Vec<WrongJson>,
}

/// A case in which the cause does not stand first, or one is named where there is none.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct WrongJson {
    /// Name of the case.
    pub id: String,
    /// Kind of fault.
    pub kind: Option<String>,
    /// The right answers; empty for a quiet case.
    pub truth: String,
    /// Rank of the cause; null where it is not ranked, and in a quiet case.
    pub rank: Option<usize>,
    /// What stood first.
    pub first: Option<String>,
    /// Its probability.
    pub probability: Option<f64>,
    /// What the report concluded; null where the case could not be read.
    pub verdict: Option<String>,
}

impl Record {
    /// The record of an evaluation. `date` is the day as `YYYY-MM-DD`.
    pub fn new(evaluation: &Evaluation, date: &str, command: &str) -> Self {
        let names: String = evaluation.cases.iter().map(|case| format!("{}\n", case.id)).collect();
        Self {
            schema: SCHEMA,
            date: date.to_owned(),
            command: command.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cases_digest: format!("fnv1a:{:016x}", fnv1a(names.as_bytes())),
            evaluation: EvaluationJson::from(evaluation),
            wrong: evaluation.cases.iter().filter_map(wrong).collect(),
        }
    }

    /// Name of the file. What a dataset's name has besides letters, digits, `.`, `_` and `-` becomes `-`.
    pub fn file_name(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        format!("{}-{}.json", self.date, self.evaluation.dataset.chars().map(safe).collect::<String>())
    }

    /// Writes the record into a folder, which is made if need be, over an older one of the same day. Returns its path.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the folder or the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, EvalError> {
        let path = folder.join(self.file_name());
        let failed = |source| EvalError::Write { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let mut file = fs::File::create(&path).map_err(failed)?;
        few_lines::write(self, &mut file).map_err(failed)?;
        Ok(path)
    }
}

fn wrong(case: &CaseResult) -> Option<WrongJson> {
    let ours = case.answers.first().filter(|answer| !answer.outcome.is_right())?;
    Some(WrongJson {
        id: case.id.clone(),
        kind: case.group("fault_kind").map(str::to_owned),
        truth: case.truth.clone(),
        rank: match ours.outcome {
            Outcome::Incident { rank, .. } => rank,
            Outcome::Quiet(_) => None,
        },
        first: ours.first.clone(),
        probability: ours.probability.map(|p| (p * 1e6).round() / 1e6),
        verdict: ours.verdict.map(|verdict| verdict_name(verdict).to_owned()),
    })
}

/// The latest record of each dataset in a folder, sorted by the dataset's name.
///
/// # Errors
/// [`EvalError`] when the folder or a record cannot be read, or a record is of another schema.
pub fn latest(folder: &Path) -> Result<Vec<Record>, EvalError> {
    let mut records: Vec<Record> = Vec::new();
    for path in list(folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let record: Record = read_json(&path)?;
        if record.schema != SCHEMA {
            let problem = format!("a record of schema {}; this program knows {SCHEMA}: record it again", record.schema);
            return Err(EvalError::Layout { path, problem });
        }
        records.push(record);
    }
    let dataset = |record: &Record| record.evaluation.dataset.clone();
    records.sort_by(|a, b| dataset(a).cmp(&dataset(b)).then_with(|| b.date.cmp(&a.date)));
    records.dedup_by(|later, first| later.evaluation.dataset == first.evaluation.dataset);
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::table::tests::evaluation;

    #[test]
    fn the_latest_record_of_each_dataset_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("records");
        let record = |dataset: &str, date: &str| {
            let evaluation = Evaluation { dataset: dataset.to_owned(), ..evaluation() };
            Record::new(&evaluation, date, "hypocenter eval x")
        };
        let kept = record("shop/eu west", "2026-03-02");
        let path = kept.write(&below).unwrap();
        assert_eq!(path.file_name().unwrap(), "2026-03-02-shop-eu-west.json");
        record("shop/eu west", "2026-03-01").write(&below).unwrap();
        let other = record("booking", "2025-12-31");
        other.write(&below).unwrap();
        assert_eq!(latest(&below).unwrap(), [other, kept]);
        let foreign = fs::read_to_string(&path).unwrap().replace("\"schema\": 1", "\"schema\": 2");
        fs::write(&path, foreign).unwrap();
        let error = latest(&below).unwrap_err().to_string();
        assert!(error.contains("schema 2") && error.contains("record it again"), "{error}");
    }

    #[test]
    fn wrong_cases_are_named_and_right_ones_are_not() {
        let record = Record::new(&evaluation(), "2026-03-02", "x");
        let ids: Vec<&str> = record.wrong.iter().map(|wrong| wrong.id.as_str()).collect();
        assert_eq!(ids, ["2"]);
        assert_eq!((record.wrong[0].rank, record.wrong[0].first.as_deref()), (Some(4), Some("cart")));
        // printf '1\n2\n3\n' through FNV-1a, 64 bits
        assert_eq!(record.cases_digest, "fnv1a:fb3efa191b399257");
    }
}
