//! RCAEval (Pham et al., WWW 2025): Online Boutique, Sock Shop and Train Ticket with injected faults; metrics each second,
//! in the suites RE2 and RE3 also logs and, but for Sock Shop, traces.
//!
//! A case is a folder with an `inject_time.txt` (Unix seconds): `<service>_<fault>/<n>/`, as the archives unfold, or
//! `<dataset>_<service>_<fault>_<n>/`. Other folders are no cases. Its system is the folder around it, `RE2-TT` for example.
//!
//! | file | content |
//! | --- | --- |
//! | `simple_metrics.csv` (RE2, RE3), `simple_data.csv` or `data.csv` (RE1), `metrics.csv`, `metrics.parquet` | a column `time` (seconds) and a column `<service>_<metric>` each; the first of these files that is there is read |
//! | `traces.csv` | spans as Jaeger stores them, durations in microseconds; `statusCode` is gRPC's or HTTP's |
//! | `logs.csv` | `timestamp` (nanoseconds), `container_name`, `message` |
//!
//! What lies beside them (`logts.csv`, `tracets_err.csv`, `tracets_lat.csv`, `cluster_info.json`) was made from these and
//! is not read. Where there are a short and a full table of metrics, the published figures are of the short one.
//!
//! The authors' protocol: ten minutes from the injection on are the incident, the ten before it the baseline. A hit is the
//! service that the folder names. The authors count `carts-db` as `carts`; here a database is a service of its own, so
//! that naming the one for the other is a miss.

use std::fs;
use std::path::{Path, PathBuf};

use super::recorded::{EvalError, RecordedCase, folders, id_below, name_of};
use crate::assemble::Request;
use crate::ingest::{ReadOptions, Telemetry, read_paths};
use crate::stats::robust::median;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Unit};
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

/// `<suites>/RE2/RE2-OB/<service>_<fault>/<n>`.
const DEPTH: usize = 4;
/// Length of the incident and of the baseline.
const WINDOW_NS: i64 = 600 * NANOS_PER_SECOND;
const INJECTION_FILE: &str = "inject_time.txt";
/// Tables of metrics, the one of the published figures first.
const METRIC_FILES: [&str; 5] = ["simple_metrics.csv", "simple_data.csv", "data.csv", "metrics.csv", "metrics.parquet"];
const OTHER_FILES: [&str; 4] = ["traces.csv", "traces.parquet", "logs.csv", "logs.parquet"];
/// Any of the files may be compressed.
const ENDINGS: [&str; 3] = ["", ".gz", ".zst"];

/// Finds all cases below `dir`.
///
/// # Errors
/// [`EvalError`] when a folder cannot be read or there is no case. What is wrong within a case fails that case alone.
pub fn cases(dir: &Path, shift_ns: i64) -> Result<Vec<RecordedCase>, EvalError> {
    let mut found = Vec::new();
    // Resolved, so that `.` has a name too.
    let root = dir.canonicalize().map_err(|source| EvalError::Io { path: dir.to_owned(), source })?;
    for folder in folders(&root, DEPTH)? {
        if !folder.join(INJECTION_FILE).is_file() {
            continue;
        }
        let Some(named) = Named::of(&folder) else { continue };
        let id = id_below(&root, &folder);
        found.push(RecordedCase {
            id: id.clone(),
            system: named.system,
            fault_kind: named.fault,
            split: None,
            severity: None,
            causes: vec![vec![ServiceId::new(&named.service)]],
            load: Box::new(move || load(&folder, &id, shift_ns)),
        });
    }
    if found.is_empty() {
        return Err(EvalError::NoCases {
            path: dir.to_owned(),
            format: "rcaeval",
            expected: "<service>_<fault>/<n>/inject_time.txt beside data.csv or simple_metrics.csv",
        });
    }
    Ok(found)
}

/// What the folders' names tell.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    system: String,
    service: String,
    fault: String,
}

impl Named {
    fn of(folder: &Path) -> Option<Self> {
        let (own, above) = (name_of(folder), folder.parent()?);
        if let Some((service, fault)) = service_and_fault(&name_of(above)) {
            let system = above.parent().map(name_of).unwrap_or_default();
            return Some(Self { system, service, fault });
        }
        let (rest, number) = own.rsplit_once('_')?;
        let (system, rest) = rest.split_once('_')?;
        let (service, fault) = service_and_fault(rest)?;
        number.parse::<u32>().ok()?;
        Some(Self { system: system.to_owned(), service, fault })
    }
}

/// `ts-auth-service_cpu` is (`ts-auth-service`, `cpu`).
fn service_and_fault(name: &str) -> Option<(String, String)> {
    let (service, fault) = name.rsplit_once('_')?;
    (!service.is_empty() && !fault.is_empty()).then(|| (service.to_owned(), fault.to_owned()))
}

/// Telemetry and windows of one case, whose injection the analysis takes to be `shift_ns` later than it was.
fn load(folder: &Path, name: &str, shift_ns: i64) -> Result<(Telemetry, Request), EvalError> {
    let believed_ns = injection_ns(&folder.join(INJECTION_FILE))?.saturating_add(shift_ns);
    let Some(metrics) = METRIC_FILES.iter().find_map(|name| there(folder, name)) else {
        let problem = format!("no table of metrics; expected one of {}", METRIC_FILES.join(", "));
        return Err(EvalError::Layout { path: folder.to_owned(), problem });
    };
    let mut files = vec![metrics.clone()];
    files.extend(OTHER_FILES.iter().filter_map(|name| there(folder, name)));
    let mut telemetry = read_paths(&files, &ReadOptions::default(), &|_| {})?;
    let Some(last_ns) = telemetry.series.iter().filter_map(|s| Some(s.samples.last()?.0)).max() else {
        let problem = "no column `<service>_<metric>` with values".to_owned();
        return Err(EvalError::Layout { path: metrics, problem });
    };
    give_units(&mut telemetry.series);
    failures_to_shares(&mut telemetry.series);
    // The recording may end sooner: what was not recorded did not fall silent.
    let end_ns = believed_ns.saturating_add(WINDOW_NS).min(last_ns.saturating_add(NANOS_PER_SECOND));
    let Ok(window) = Window::new(believed_ns, end_ns) else {
        let problem = "the metrics end before the injection".to_owned();
        return Err(EvalError::Layout { path: metrics, problem });
    };
    let baselines = vec![Window::new(believed_ns.saturating_sub(WINDOW_NS), believed_ns)?];
    Ok((telemetry, Request { name: name.to_owned(), window, baselines, entry: None, symptom: None }))
}

/// The file of that name, compressed or not. An empty one holds nothing: not every system was traced.
fn there(folder: &Path, name: &str) -> Option<PathBuf> {
    let is_there = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0);
    ENDINGS.iter().map(|ending| folder.join(format!("{name}{ending}"))).find(is_there)
}

/// The first line of the file: whole seconds since the Unix epoch.
fn injection_ns(path: &Path) -> Result<i64, EvalError> {
    let text = fs::read_to_string(path).map_err(|source| EvalError::Io { path: path.to_owned(), source })?;
    let line = text.lines().next().unwrap_or_default().trim();
    let seconds: Option<i64> = line.parse().ok().filter(|seconds| *seconds > 0);
    seconds.and_then(|seconds| seconds.checked_mul(NANOS_PER_SECOND)).ok_or_else(|| EvalError::Layout {
        path: path.to_owned(),
        problem: format!("`{line}` is not a time in Unix seconds"),
    })
}

/// A service in less memory than this is none: then the column is not in bytes.
const LEAST_MEMORY_BYTES: f64 = 65_536.0;
/// No service of a benchmark keeps a processor busy all the time before anything is wrong: then the column is in percent.
const MOST_USUAL_CORES: f64 = 1.0;

/// Gives the columns the units in which the authors' Prometheus queries answer, which their names do not tell: latency in
/// seconds, memory in bytes, processor in percent of a core. Values that cannot be in the unit are left without one.
fn give_units(series: &mut [Series]) {
    let level = |one: &Series| median(&one.samples.iter().map(|s| s.1).collect::<Vec<_>>()).unwrap_or(0.0);
    let unknown = |one: &&Series| one.unit == Unit::None;
    let levels = |signal: Signal| series.iter().filter(unknown).filter(move |s| s.signal == signal).map(level);
    let in_percent = levels(Signal::Cpu).any(|cores| cores > MOST_USUAL_CORES);
    let in_bytes = levels(Signal::Memory).fold(0.0, f64::max) >= LEAST_MEMORY_BYTES;
    for one in series.iter_mut().filter(|one| one.unit == Unit::None) {
        one.unit = match one.signal {
            Signal::Latency => Unit::Seconds,
            Signal::Cpu => Unit::Cores,
            Signal::Memory if in_bytes => Unit::Bytes,
            Signal::Disk => Unit::BytesPerSecond,
            Signal::Sockets => Unit::Count,
            Signal::Requests => Unit::PerSecond,
            _ => continue,
        };
        if one.signal == Signal::Cpu && in_percent {
            one.samples.iter_mut().for_each(|sample| sample.1 /= 100.0);
        }
    }
}

/// Failed requests per second become a share of the service's requests: a column `error` that exceeds 1 is no share.
fn failures_to_shares(series: &mut [Series]) {
    let is_failures = |one: &Series| one.signal == Signal::Other && matches!(one.name.as_str(), "error" | "errors");
    let requests: Vec<Series> = series.iter().filter(|one| one.signal == Signal::Requests).cloned().collect();
    for failures in series.iter_mut().filter(|one| is_failures(one)) {
        let Some(all) = requests.iter().find(|all| all.subject == failures.subject) else { continue };
        let share = |&(at_ns, failed): &(i64, f64)| {
            let at = all.samples.binary_search_by_key(&at_ns, |sample| sample.0).ok()?;
            let asked = all.samples[at].1;
            (asked > 0.0 && failed >= 0.0).then(|| (at_ns, (failed / asked).min(1.0)))
        };
        failures.samples = failures.samples.iter().filter_map(share).collect();
        (failures.signal, failures.unit) = (Signal::ErrorRatio, Unit::Ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_system_service_and_fault() {
        let named = |path: &str| Named::of(Path::new(path)).map(|n| [n.system, n.service, n.fault].join(" "));
        assert_eq!(named("/d/RE2-TT/ts-auth-service_cpu/1").as_deref(), Some("RE2-TT ts-auth-service cpu"));
        assert_eq!(named("/d/RE3-OB/order_service_f1/12").as_deref(), Some("RE3-OB order_service f1"));
        assert_eq!(named("/d/re1ob_adservice_mem_3").as_deref(), Some("re1ob adservice mem"));
        for none in ["/d/multi-source-data", "/d/RE2-OB/_cpu/1", "/d/adservice_cpu", "/d/re1ob_adservice_cpu_x"] {
            assert_eq!(named(none), None, "{none}");
        }
    }
}
