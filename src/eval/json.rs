//! Figures for programs: the JSON of `eval -o json` and of records.
//!
//! Shares are rounded to six digits: what lies behind is counts of cases. Everything but `times` is the same in every run.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::calibration::{Bin, Calibration};
use super::interval::{Interval, Intervals};
use super::paired::Paired;
use super::run::{Answer, CaseResult, Evaluation, MethodResult, Times};
use super::scoring::{Accuracy, Outcome};
use super::table::verdict_name;

/// All figures of an evaluation.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct EvaluationJson {
    /// Name of the dataset.
    pub dataset: String,
    /// Number of incidents.
    pub cases: usize,
    /// Number of quiet cases.
    pub quiet_cases: usize,
    /// Ours first.
    pub methods: Vec<MethodJson>,
    /// Our method with less to go on.
    pub ablations: Vec<MethodJson>,
    /// Of our method's probabilities.
    pub calibration: Option<CalibrationJson>,
    /// Case by case, where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_case: Vec<CaseJson>,
    /// By method; other in every run.
    pub times: BTreeMap<String, TimesJson>,
}

/// One method, or one variant of ours.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct MethodJson {
    /// Its name.
    pub name: String,
    /// Over all cases.
    #[serde(flatten)]
    pub figures: FiguresJson,
    /// Cases that failed.
    pub failures: usize,
    /// Against the first method on the same incidents; null for the first itself and for its variants.
    pub against_first: Option<PairedJson>,
    /// By kind of group and group.
    pub by: BTreeMap<String, BTreeMap<String, FiguresJson>>,
}

/// [`Accuracy`]. Intervals are `[low, high]`, null without incidents.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the fields are those of `Accuracy`, and documented there")]
pub struct FiguresJson {
    pub cases: usize,
    pub ac1: f64,
    pub ac1_interval: Option<[f64; 2]>,
    pub ac3: f64,
    pub ac3_interval: Option<[f64; 2]>,
    pub ac5: f64,
    pub avg5: f64,
    pub mrr: f64,
    pub mrr_interval: Option<[f64; 2]>,
    pub all_causes: Option<f64>,
    pub specificity: Option<f64>,
}

/// [`Paired`].
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the fields are those of `Paired`, and documented there")]
pub struct PairedJson {
    pub only_first: usize,
    pub only_this: usize,
    pub p: f64,
    pub p_holm: f64,
}

/// [`Calibration`].
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the fields are those of `Calibration`, and documented there")]
pub struct CalibrationJson {
    pub statements: usize,
    pub unanswered: usize,
    pub expected_error: f64,
    pub brier: f64,
    pub bins: Vec<BinJson>,
}

/// [`Bin`].
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the fields are those of `Bin`, and documented there")]
pub struct BinJson {
    pub low: f64,
    pub high: f64,
    pub statements: usize,
    pub mean_confidence: Option<f64>,
    pub share_right: Option<f64>,
}

/// One case with the answers of all methods.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct CaseJson {
    /// Name of the case.
    pub id: String,
    /// The right answers; empty for a quiet case.
    pub truth: String,
    /// Kind of fault.
    pub kind: Option<String>,
    /// The system that was observed.
    pub system: Option<String>,
    /// How bad it was, where that is known.
    pub severity: Option<String>,
    /// Part of the dataset, where it has parts.
    pub split: Option<String>,
    /// Why the case could not be read.
    pub error: Option<String>,
    /// By method.
    pub answers: BTreeMap<String, AnswerJson>,
}

/// What one method said about one case.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct AnswerJson {
    /// Whether the cause stands first; in a quiet case, whether none is named.
    pub right: bool,
    /// Rank of the cause; null in quiet cases and where it is not ranked.
    pub rank: Option<usize>,
    /// What stands first.
    pub first: Option<String>,
    /// Its probability.
    pub probability: Option<f64>,
    /// That of "none of the candidates".
    pub none_probability: Option<f64>,
    /// `cause found`, `no anomaly`, `cannot tell`; null where the case could not be read.
    pub verdict: Option<String>,
}

/// [`Times`].
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the fields are those of `Times`, and documented there")]
pub struct TimesJson {
    pub median_ms: f64,
    pub largest_ms: f64,
}

/// Writes the figures as one JSON object; with `per_case`, what every method said about every case too.
///
/// # Errors
/// What the writer says.
pub fn write_json(evaluation: &Evaluation, per_case: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut json = EvaluationJson::from(evaluation);
    if per_case {
        json.per_case = evaluation.cases.iter().map(|case| case_json(case, &evaluation.methods)).collect();
    }
    serde_json::to_writer_pretty(&mut *out, &json)?;
    writeln!(out)
}

impl From<&Evaluation> for EvaluationJson {
    fn from(evaluation: &Evaluation) -> Self {
        let incidents = evaluation.methods.first().map_or(0, |m| m.accuracy.cases);
        let times = |method: &MethodResult| Some((method.name.clone(), method.times.as_ref()?.into()));
        Self {
            dataset: evaluation.dataset.clone(),
            cases: incidents,
            quiet_cases: evaluation.cases.len().saturating_sub(incidents),
            methods: evaluation.methods.iter().map(MethodJson::from).collect(),
            ablations: evaluation.ablations.iter().map(MethodJson::from).collect(),
            calibration: Calibration::of_first_method(&evaluation.cases).as_ref().map(CalibrationJson::from),
            per_case: Vec::new(),
            times: evaluation.methods.iter().filter_map(times).collect(),
        }
    }
}

impl From<&MethodResult> for MethodJson {
    fn from(method: &MethodResult) -> Self {
        let figures = |groups: &BTreeMap<String, Accuracy>| {
            groups.iter().map(|(group, accuracy)| (group.clone(), FiguresJson::from(accuracy))).collect()
        };
        Self {
            name: method.name.clone(),
            figures: FiguresJson::from(&method.accuracy),
            failures: method.failures,
            against_first: method.against_first.as_ref().map(PairedJson::from),
            by: method.by.iter().map(|(kind, groups)| ((*kind).to_owned(), figures(groups))).collect(),
        }
    }
}

impl From<&Accuracy> for FiguresJson {
    fn from(a: &Accuracy) -> Self {
        let ends = |of: fn(&Intervals) -> Interval| {
            a.intervals.as_ref().map(of).map(|interval| [rounded(interval.low), rounded(interval.high)])
        };
        Self {
            cases: a.cases,
            ac1: rounded(a.ac1),
            ac1_interval: ends(|i| i.ac1),
            ac3: rounded(a.ac3),
            ac3_interval: ends(|i| i.ac3),
            ac5: rounded(a.ac5),
            avg5: rounded(a.avg5),
            mrr: rounded(a.mrr),
            mrr_interval: ends(|i| i.mrr),
            all_causes: a.all_causes.map(rounded),
            specificity: a.specificity.map(rounded),
        }
    }
}

impl From<&Paired> for PairedJson {
    fn from(paired: &Paired) -> Self {
        let Paired { only_first, only_this, p, p_holm } = *paired;
        Self { only_first, only_this, p: rounded(p), p_holm: rounded(p_holm) }
    }
}

impl From<&Calibration> for CalibrationJson {
    fn from(calibration: &Calibration) -> Self {
        let bin = |bin: &Bin| BinJson {
            low: bin.low,
            high: bin.high,
            statements: bin.statements,
            mean_confidence: bin.mean_confidence.map(rounded),
            share_right: bin.share_right.map(rounded),
        };
        Self {
            statements: calibration.statements,
            unanswered: calibration.unanswered,
            expected_error: rounded(calibration.expected_error),
            brier: rounded(calibration.brier),
            bins: calibration.bins.iter().map(bin).collect(),
        }
    }
}

impl From<&Times> for TimesJson {
    fn from(times: &Times) -> Self {
        let microseconds = |ms: f64| (ms * 1e3).round() / 1e3;
        Self { median_ms: microseconds(times.median_ms), largest_ms: microseconds(times.largest_ms) }
    }
}

fn case_json(case: &CaseResult, methods: &[MethodResult]) -> CaseJson {
    let group = |kind: &str| case.group(kind).map(str::to_owned);
    let answers = methods.iter().zip(&case.answers);
    CaseJson {
        id: case.id.clone(),
        truth: case.truth.clone(),
        kind: group("fault_kind"),
        system: group("system"),
        severity: group("severity"),
        split: group("split"),
        error: case.error.clone(),
        answers: answers.map(|(method, answer)| (method.name.clone(), AnswerJson::from(answer))).collect(),
    }
}

impl From<&Answer> for AnswerJson {
    fn from(answer: &Answer) -> Self {
        let rank = match answer.outcome {
            Outcome::Incident { rank, .. } => rank,
            Outcome::Quiet(_) => None,
        };
        Self {
            right: answer.outcome.is_right(),
            rank,
            first: answer.first.clone(),
            probability: answer.probability.map(rounded),
            none_probability: answer.none_probability.map(rounded),
            verdict: answer.verdict.map(|verdict| verdict_name(verdict).to_owned()),
        }
    }
}

/// To six digits.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::table::tests::evaluation;

    fn json(per_case: bool) -> serde_json::Value {
        let mut out = Vec::new();
        write_json(&evaluation(), per_case, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn the_json_has_the_agreed_fields() {
        let got = json(false);
        let group = |cases: usize, right: f64, interval: serde_json::Value, specificity: Option<f64>| {
            serde_json::json!({
                "cases": cases, "ac1": 0.5 * right, "ac1_interval": interval, "ac3": 0.5 * right,
                "ac3_interval": interval, "ac5": right, "avg5": 0.7 * right, "mrr": 0.625 * right,
                "mrr_interval": if cases == 0 { serde_json::Value::Null } else { serde_json::json!([0.25, 1.0]) },
                "all_causes": null, "specificity": specificity,
            })
        };
        let wide = serde_json::json!([0.0, 1.0]);
        let mut method = group(2, 1.0, wide.clone(), Some(1.0));
        method["name"] = "hypocenter".into();
        method["failures"] = 0.into();
        method["against_first"] = serde_json::Value::Null;
        method["by"] = serde_json::json!({"fault_kind": {
            "cpu": group(2, 1.0, wide, None),
            "none": group(0, 0.0, serde_json::Value::Null, Some(1.0)),
        }});
        assert_eq!(got["methods"][0], method);
        assert_eq!((&got["dataset"], &got["cases"], &got["quiet_cases"]), (&"shop".into(), &2.into(), &1.into()));
        assert_eq!(got["times"]["hypocenter"], serde_json::json!({"median_ms": 2.5, "largest_ms": 20.125}));
        assert_eq!(got["calibration"]["statements"], 3);
        assert!(got.get("per_case").is_none());
    }

    #[test]
    fn cases_are_told_one_by_one_where_asked_for() {
        let got = json(true);
        let expected = serde_json::json!({
            "id": "1", "truth": "cart", "kind": "cpu", "system": null, "severity": null, "split": null, "error": null,
            "answers": {
                "hypocenter": {
                    "right": true, "rank": 1, "first": "cart", "probability": 0.8, "none_probability": 0.1,
                    "verdict": "cause found",
                },
                "random": {
                    "right": false, "rank": null, "first": null, "probability": null, "none_probability": 1.0,
                    "verdict": "no anomaly",
                },
            },
        });
        assert_eq!(got["per_case"][0], expected);
        assert_eq!(got["per_case"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn what_was_written_can_be_read() {
        let written = EvaluationJson::from(&evaluation());
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<EvaluationJson>(&text).unwrap(), written);
    }
}
