//! PetShop (Amazon, CLeaR 2024): 5-minute metrics of an AWS application with its call graph.
//!
//! A scenario is a folder with `graph.csv`, `noissue/metrics.csv` (normal operation, months later than the issues) and
//! `<split>/issue_N/` with `metrics.csv` (five rows, of which the third is the alarm's) and `target.json`.
//! An issue's first two rows lie before the trigger: a second baseline, short but near in time.
//! Quiet cases, as the authors measure specificity: the normal rows are cut at 50, 60, 70, 80 and 90 %, the head is the
//! baseline and the tail the incident.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::recorded::{EvalError, QUIET, RecordedCase, folders, id_below, list, name_of, read_json, shifted};
use crate::assemble::Request;
use crate::ingest::{ReadOptions, Telemetry, read_paths};
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::{NANOS_PER_SECOND, Window, without};

/// `<dataset>/dataset/<scenario>`.
const DEPTH: usize = 3;
/// Length of a row.
const STEP_NS: i64 = 300 * NANOS_PER_SECOND;
/// Rows of an issue before the trigger.
const ROWS_BEFORE_TRIGGER: usize = 2;
/// Where the normal rows are cut for quiet cases, percent.
const QUIET_CUTS: [usize; 5] = [50, 60, 70, 80, 90];

#[derive(Deserialize)]
struct TargetJson {
    target: Target,
    root_cause: RootCause,
}

#[derive(Deserialize)]
struct Target {
    node: String,
    metric: TargetMetric,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum TargetMetric {
    Latency,
    Availability,
}

#[derive(Deserialize)]
struct RootCause {
    node: String,
}

impl TargetMetric {
    fn symptom(self) -> Symptom {
        match self {
            Self::Latency => Symptom::Latency,
            Self::Availability => Symptom::Errors,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Availability => "availability",
        }
    }
}

/// Finds all issues and quiet cases of all scenarios below `dir`.
///
/// # Errors
/// [`EvalError`] when a folder or a `target.json` cannot be read, or there is no scenario.
pub fn cases(dir: &Path, shift_ns: i64) -> Result<Vec<RecordedCase>, EvalError> {
    let mut found = Vec::new();
    for scenario in folders(dir, DEPTH)? {
        if scenario.join("graph.csv").is_file() && scenario.join("noissue").is_dir() {
            found.extend(scenario_cases(dir, &scenario, shift_ns)?);
        }
    }
    if found.is_empty() {
        return Err(EvalError::NoCases {
            path: dir.to_owned(),
            format: "petshop",
            expected: "a scenario folder with graph.csv, noissue/metrics.csv and <split>/issue_N/target.json",
        });
    }
    Ok(found)
}

fn scenario_cases(dir: &Path, scenario: &Path, shift_ns: i64) -> Result<Vec<RecordedCase>, EvalError> {
    let system = format!("PetShop {}", name_of(scenario));
    let normal = [scenario.join("graph.csv"), scenario.join("noissue").join("metrics.csv")];
    let mut cases = Vec::new();
    // What an alarm watches, (metric, node): the quiet cases watch the same.
    let mut targets: Vec<(TargetMetric, String)> = Vec::new();
    for split in list(scenario)?.into_iter().filter(|path| path.is_dir()) {
        let mut issues: Vec<(u64, PathBuf)> = list(&split)?
            .into_iter()
            .filter_map(|path| Some((name_of(&path).strip_prefix("issue_")?.parse().ok()?, path)))
            .collect();
        issues.sort();
        for (_, issue) in issues {
            let TargetJson { target, root_cause } = read_json(&issue.join("target.json"))?;
            let paths = [normal[0].clone(), normal[1].clone(), issue.join("metrics.csv")];
            let id = id_below(dir, &issue);
            let alarm =
                Alarm { name: id.clone(), entry: ServiceId::new(&target.node), symptom: target.metric.symptom() };
            cases.push(RecordedCase {
                id,
                system: system.clone(),
                fault_kind: target.metric.name().to_owned(),
                split: Some(name_of(&split)),
                severity: None,
                causes: vec![vec![ServiceId::new(&root_cause.node)]],
                load: Box::new(move || load_issue(&paths, &alarm, shift_ns)),
            });
            targets.push((target.metric, target.node));
        }
    }
    targets.sort();
    targets.dedup();
    for (metric, node) in targets {
        for cut in QUIET_CUTS {
            let paths = normal.clone();
            let id = format!("{}/noissue/{}_{cut}", id_below(dir, scenario), metric.name());
            let alarm = Alarm { name: id.clone(), entry: ServiceId::new(&node), symptom: metric.symptom() };
            cases.push(RecordedCase {
                id,
                system: system.clone(),
                fault_kind: QUIET.to_owned(),
                split: None,
                severity: None,
                causes: Vec::new(),
                load: Box::new(move || load_quiet(&paths, &alarm, cut)),
            });
        }
    }
    Ok(cases)
}

/// What an alarm tells.
struct Alarm {
    name: String,
    entry: ServiceId,
    symptom: Symptom,
}

impl Alarm {
    fn request(&self, window: Window, baselines: Vec<Window>) -> Request {
        let (entry, symptom) = (Some(self.entry.clone()), Some(self.symptom));
        Request { name: self.name.clone(), window, baselines, entry, symptom }
    }
}

/// `paths`: graph, normal rows, the issue's rows.
fn load_issue(paths: &[PathBuf; 3], alarm: &Alarm, shift_ns: i64) -> Result<(Telemetry, Request), EvalError> {
    let issue = read_paths(&paths[2..], &ReadOptions::default(), &|_| {})?;
    let rows = row_times(&issue);
    let (Some(&first), Some(&trigger), Some(&last)) = (rows.first(), rows.get(ROWS_BEFORE_TRIGGER), rows.last()) else {
        let problem = format!("{} rows, but the alarm's is row {}", rows.len(), ROWS_BEFORE_TRIGGER + 1);
        return Err(EvalError::Layout { path: paths[2].clone(), problem });
    };
    let near = Window::new(first, trigger)?;
    let incident = Window::new(trigger, last.saturating_add(STEP_NS))?;
    let telemetry = read_paths(paths, &ReadOptions::default(), &|_| {})?;
    // Everything else is normal operation.
    let normal = span_of(row_times(&telemetry).into_iter().filter(|t| !near.contains(*t) && !incident.contains(*t)))?;
    let mut baselines = without(&[normal], &[near, incident]);
    baselines.push(near);
    Ok((telemetry, shifted(alarm.request(incident, baselines), shift_ns)?))
}

/// `paths`: graph, normal rows.
fn load_quiet(paths: &[PathBuf; 2], alarm: &Alarm, cut_percent: usize) -> Result<(Telemetry, Request), EvalError> {
    let telemetry = read_paths(paths, &ReadOptions::default(), &|_| {})?;
    let rows = row_times(&telemetry);
    let (head, tail) = rows.split_at(rows.len() * cut_percent / 100);
    let request = alarm.request(span_of(tail.iter().copied())?, vec![span_of(head.iter().copied())?]);
    Ok((telemetry, request))
}

/// Times of all rows, ascending.
fn row_times(telemetry: &Telemetry) -> Vec<i64> {
    let mut times: Vec<i64> = telemetry.series.iter().flat_map(|s| s.samples.iter().map(|sample| sample.0)).collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// From the first row to the end of the last.
fn span_of(rows: impl Iterator<Item = i64>) -> Result<Window, EvalError> {
    let (first, last) = rows.fold((i64::MAX, i64::MIN), |(a, b), t| (a.min(t), b.max(t)));
    Ok(Window::new(first, last.saturating_add(STEP_NS))?)
}
