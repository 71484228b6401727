//! Nezha (Yu et al., FSE 2023): Online Boutique and Train Ticket with injected faults; traces, pod metrics and logs.
//!
//! `rca_data/<day>/<day>-fault_list.json` is the truth; `rca_data/<day>/trace/HH_MM_trace.csv` holds the spans collected
//! in about a minute (it begins up to a minute *before* HH:MM, so that spans are assigned by their own start);
//! `rca_data/<day>/metric/<pod>_metric.csv` the day's metrics of a pod, a row a minute; `construct_data/<day>/trace` one
//! minute without fault; `log` beside `trace` the logs of the same minutes, where there are any. A case is compared as
//! follows.
//!
//! | window | spans and logs | metrics |
//! | --- | --- | --- |
//! | incident: the injection and three minutes on | of the minute of the injection and the two after | as spans |
//! | baseline: from the first span of these files to the injection, outside other faults | the same files | a row or two |
//! | baseline: the fault-free minute | all | as any baseline |
//! | baseline: two hours around the injection, outside every fault's minute before to five minutes after | none | all |
//!
//! Two hours, because the load generators of Train Ticket stop in the afternoon: an idle system is no baseline for a
//! busy one. Other faults' times are used for nothing but to leave them out. Missing minutes are as published.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use super::recorded::{EvalError, RecordedCase, folders, list, name_of, read_json};
use crate::assemble::Request;
use crate::ingest::{ReadOptions, Telemetry, read_paths};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::{NANOS_PER_SECOND, Window, without};
use crate::timespec::parse_time;

/// The dataset's folder may lie one level below the given one.
const DEPTH: usize = 1;
const MINUTE_NS: i64 = 60 * NANOS_PER_SECOND;
/// Trace files of a fault: that of the injection's minute and those after it.
const TRACE_MINUTES: i64 = 3;
/// Length of the incident window.
const INCIDENT_NS: i64 = 3 * MINUTE_NS;
/// What of a day is no baseline, before and after each injection.
const FAULT_BEFORE_NS: i64 = MINUTE_NS;
const FAULT_AFTER_NS: i64 = 5 * MINUTE_NS;
/// How far from the injection metrics still are a baseline.
const BASELINE_REACH_NS: i64 = 120 * MINUTE_NS;
/// Which system was observed, by month.
const SYSTEMS: [(&str, &str); 2] = [("2022-08", "Online Boutique"), ("2023-01", "Train Ticket")];

#[derive(Deserialize)]
struct FaultJson {
    /// UTC, `2023-01-29 08:43:04`. (`inject_timestamp` is eight hours off on one day, so it is not read.)
    inject_time: String,
    inject_pod: String,
    inject_type: String,
}

/// Files by the hour and minute of their name.
type ByMinute = BTreeMap<(i64, i64), PathBuf>;

/// What the cases of one day share.
struct Day {
    metric_files: Vec<PathBuf>,
    /// Read by the first case that needs them.
    metrics: Mutex<Option<Arc<Telemetry>>>,
    fault_free_traces: Vec<PathBuf>,
    fault_free_logs: Vec<PathBuf>,
    /// By (hour, minute) of the file's name.
    traces: ByMinute,
    logs: ByMinute,
    /// Instants of all injections, ascending.
    injections: Vec<i64>,
}

/// Finds all faults of all days.
///
/// # Errors
/// [`EvalError`] when a folder or a fault list cannot be read, or there is none.
pub fn cases(dir: &Path, shift_ns: i64) -> Result<Vec<RecordedCase>, EvalError> {
    let mut found = Vec::new();
    for root in folders(dir, DEPTH)? {
        if !root.join("rca_data").is_dir() {
            continue;
        }
        for day in list(&root.join("rca_data"))?.into_iter().filter(|path| path.is_dir()) {
            found.extend(day_cases(&root, &day, shift_ns)?);
        }
    }
    if found.is_empty() {
        return Err(EvalError::NoCases {
            path: dir.to_owned(),
            format: "nezha",
            expected: "rca_data/<day>/<day>-fault_list.json beside construct_data/<day>",
        });
    }
    Ok(found)
}

fn day_cases(root: &Path, day: &Path, shift_ns: i64) -> Result<Vec<RecordedCase>, EvalError> {
    let date = name_of(day);
    let list_path = day.join(format!("{date}-fault_list.json"));
    let by_hour: BTreeMap<String, Vec<FaultJson>> = read_json(&list_path)?;
    let mut faults = Vec::new();
    for fault in by_hour.into_values().flatten() {
        let text = format!("{}Z", fault.inject_time.trim().replacen(' ', "T", 1));
        let at_ns = parse_time(&text, 0)
            .map_err(|error| EvalError::Layout { path: list_path.clone(), problem: format!("inject_time: {error}") })?;
        faults.push((at_ns, fault));
    }
    faults.sort_by(|a, b| (a.0, &a.1.inject_pod).cmp(&(b.0, &b.1.inject_pod)));
    let shared = Arc::new(Day {
        metric_files: list(&day.join("metric"))?.into_iter().filter(|p| name_of(p).contains("_metric.csv")).collect(),
        metrics: Mutex::new(None),
        fault_free_traces: list(&root.join("construct_data").join(&date).join("trace"))?,
        fault_free_logs: list_if_there(&root.join("construct_data").join(&date).join("log"))?,
        traces: by_minute(list(&day.join("trace"))?, "_trace.csv"),
        logs: by_minute(list_if_there(&day.join("log"))?, "_log.csv"),
        injections: faults.iter().map(|fault| fault.0).collect(),
    });
    let system = SYSTEMS.iter().find(|s| date.starts_with(s.0)).map_or(date.as_str(), |s| s.1);
    Ok(faults
        .into_iter()
        .map(|(at_ns, fault)| {
            let id = fault.inject_time.trim().replacen(' ', "/", 1);
            let day = Arc::clone(&shared);
            RecordedCase {
                id: id.clone(),
                system: system.to_owned(),
                fault_kind: fault.inject_type,
                split: None,
                severity: None,
                causes: vec![vec![ServiceId::new(service_of(&fault.inject_pod))]],
                load: Box::new(move || day.load(&id, at_ns, shift_ns)),
            }
        })
        .collect())
}

/// What is no baseline around an injection.
fn around(injection_ns: i64) -> Result<Window, EvalError> {
    let (from, to) = (injection_ns.saturating_sub(FAULT_BEFORE_NS), injection_ns.saturating_add(FAULT_AFTER_NS));
    Ok(Window::new(from, to)?)
}

/// The pod's name without its last two parts (replica set and pod).
fn service_of(pod: &str) -> &str {
    pod.rsplitn(3, '-').nth(2).unwrap_or(pod)
}

fn by_minute(files: Vec<PathBuf>, kind: &str) -> ByMinute {
    files.into_iter().filter_map(|path| Some((minute_of(&name_of(&path), kind)?, path))).collect()
}

/// The logs of a day were not always published.
fn list_if_there(dir: &Path) -> Result<Vec<PathBuf>, EvalError> {
    if dir.is_dir() { list(dir) } else { Ok(Vec::new()) }
}

/// `08_43_trace.csv.zst` is (8, 43), for the kind `_trace.csv`.
fn minute_of(file_name: &str, kind: &str) -> Option<(i64, i64)> {
    let (time, _) = file_name.split_once(kind)?;
    let (hour, minute) = time.split_once('_')?;
    Some((hour.parse().ok()?, minute.parse().ok()?))
}

/// The files of the injection's minute and the next ones of the day, as far as they exist.
fn of_fault(files: &ByMinute, at_ns: i64) -> Vec<PathBuf> {
    let minute_of_day = at_ns.div_euclid(MINUTE_NS).rem_euclid(24 * 60);
    (minute_of_day..minute_of_day + TRACE_MINUTES)
        .filter_map(|minute| files.get(&(minute / 60, minute % 60)).cloned())
        .collect()
}

impl Day {
    /// Telemetry and windows of the fault injected at `at_ns`, which the analysis takes to be `shift_ns` later.
    fn load(&self, name: &str, at_ns: i64, shift_ns: i64) -> Result<(Telemetry, Request), EvalError> {
        let believed_ns = at_ns.saturating_add(shift_ns);
        let mut files = of_fault(&self.traces, at_ns);
        files.extend(of_fault(&self.logs, at_ns));
        let mut telemetry = read_paths(&files, &ReadOptions::default(), &|_| {})?;
        let first_span_ns = telemetry.spans.start_ns.iter().min().copied();
        let fault_free_files = [self.fault_free_traces.as_slice(), &self.fault_free_logs].concat();
        let fault_free = read_paths(&fault_free_files, &ReadOptions::default(), &|_| {})?;
        let starts = || fault_free.spans.start_ns.iter().chain(&fault_free.logs.at_ns);
        let fault_free_window = match (starts().min(), starts().max()) {
            (Some(&first), Some(&last)) => Window::new(first, last.saturating_add(1)).ok(),
            _ => None,
        };
        telemetry.append(fault_free);
        telemetry.append(self.metrics()?.as_ref().clone());

        let window = Window::new(believed_ns, believed_ns.saturating_add(INCIDENT_NS))?;
        let others = self.injections.iter().filter(|other| **other != at_ns);
        let mut holes = others.map(|other| around(*other)).collect::<Result<Vec<_>, _>>()?;
        holes.push(window);
        // Each instant belongs to one window; those with spans come first.
        let near = first_span_ns.and_then(|first| Window::new(first, believed_ns).ok());
        let mut baselines = without(near.as_slice(), &holes);
        holes.extend(near);
        baselines.extend(without(fault_free_window.as_slice(), &holes));
        holes.extend(fault_free_window);
        holes.push(around(believed_ns)?);
        let (from, to) = (believed_ns.saturating_sub(BASELINE_REACH_NS), believed_ns.saturating_add(BASELINE_REACH_NS));
        baselines.extend(without(&[Window::new(from, to)?], &holes));
        baselines.sort();
        Ok((telemetry, Request { name: name.to_owned(), window, baselines, entry: None, symptom: None }))
    }

    fn metrics(&self) -> Result<Arc<Telemetry>, EvalError> {
        // A panic of another case says nothing about this state: it is either read or not.
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = metrics.as_ref() {
            return Ok(Arc::clone(read));
        }
        let read = Arc::new(read_paths(&self.metric_files, &ReadOptions::default(), &|_| {})?);
        *metrics = Some(Arc::clone(&read));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_service_and_minute() {
        assert_eq!(service_of("ts-order-other-service-6cdbf9b4cc-h7mqk"), "ts-order-other-service");
        assert_eq!(service_of("frontend"), "frontend");
        assert_eq!(minute_of("08_43_trace.csv.zst", "_trace.csv"), Some((8, 43)));
        assert_eq!(minute_of("08_43_log.csv", "_log.csv"), Some((8, 43)));
        assert_eq!(minute_of("README.md", "_trace.csv"), None);
    }

    #[test]
    fn only_the_three_minutes_of_a_fault_are_read() {
        let traces: ByMinute = [(8, 42), (8, 43), (8, 45), (8, 46), (23, 59), (0, 0)]
            .map(|(h, m)| ((h, m), PathBuf::from(format!("{h}_{m}"))))
            .into();
        let at = |text: &str| parse_time(text, 0).unwrap();
        assert_eq!(of_fault(&traces, at("2023-01-29T08:43:04Z")), [Path::new("8_43"), Path::new("8_45")]);
        assert_eq!(
            of_fault(&traces, at("2023-01-29T23:59:59Z")),
            [Path::new("23_59")],
            "00:00 belongs to the next day"
        );
        assert!(of_fault(&traces, at("2023-01-29T10:00:00Z")).is_empty());
    }
}
