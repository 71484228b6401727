//! The recorded incidents as `eval` sees them: how many, of what kind, and that nothing of the answer leaks into the
//! windows. And what is kept of its figures: records, and the tables that are made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use hypocenter::assemble::Request;
use hypocenter::eval::recorded::{QUIET, RecordedCase};
use hypocenter::eval::{DatasetFormat, cases, markdown, record, summary};
use hypocenter::ingest::Telemetry;
use hypocenter::telemetry::time::{NANOS_PER_SECOND, Window};
use hypocenter::timespec::parse_time;

/// The recorded datasets; `None`, with a line that says so, where they are not.
fn dataset(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets").join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: the recorded incidents of {name} are not in ../shared/datasets");
    None
}

fn counts(cases: &[RecordedCase], of: impl Fn(&RecordedCase) -> String) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for case in cases {
        *counts.entry(of(case)).or_default() += 1;
    }
    counts
}

fn table(rows: &[(&str, usize)]) -> BTreeMap<String, usize> {
    rows.iter().map(|&(name, n)| (name.to_owned(), n)).collect()
}

fn load(case: &RecordedCase) -> (Telemetry, Request) {
    (case.load)().expect(&case.id)
}

/// What every analysis asks of its windows, and that they hold data.
fn check_windows(case: &RecordedCase, telemetry: &Telemetry, request: &Request) {
    let id = &case.id;
    assert!(!request.baselines.is_empty(), "{id}: no baseline");
    for (at, window) in request.baselines.iter().enumerate() {
        assert!(!window.overlaps(&request.window), "{id}: baseline {window:?} overlaps the incident");
        let twice = request.baselines[at + 1..].iter().find(|other| other.overlaps(window));
        assert_eq!(twice, None, "{id}: an instant in two baselines");
    }
    let samples = |window: &Window| telemetry.series.iter().filter(|s| !s.values_in(window).is_empty()).count();
    assert!(samples(&request.window) > 0, "{id}: no series in the incident window");
    assert!(request.baselines.iter().any(|w| samples(w) > 0), "{id}: no series in any baseline");
}

#[test]
fn nezha_has_its_sixty_faults() {
    let Some(dir) = dataset("nezha") else { return };
    let found = cases(&dir, DatasetFormat::Nezha, 0).unwrap();
    assert_eq!(counts(&found, |c| c.system.clone()), table(&[("Online Boutique", 29), ("Train Ticket", 31)]));
    let kinds = [("cpu_contention", 12), ("cpu_consumed", 6), ("network_delay", 22), ("return", 10), ("exception", 10)];
    assert_eq!(counts(&found, |c| c.fault_kind.clone()), table(&kinds));
    assert_eq!(found[0].id, "2022-08-23/12:01:25");
    assert_eq!(found[0].truth(), "frontend");
    assert_eq!(found[59].truth(), "ts-security-service");
}

#[test]
fn nezha_cases_hold_spans_and_series_and_no_other_fault() {
    let Some(dir) = dataset("nezha") else { return };
    let found = cases(&dir, DatasetFormat::Nezha, 0).unwrap();
    let injection = |case: &RecordedCase| parse_time(&format!("{}Z", case.id.replacen('/', "T", 1)), 0).unwrap();
    let injections: Vec<i64> = found.iter().map(injection).collect();
    // A fault lasts three minutes; the fourth is for what follows.
    let faults: Vec<Window> =
        injections.iter().map(|&at| Window::new(at, at + 240 * NANOS_PER_SECOND).unwrap()).collect();
    for (case, at) in found.iter().zip(&injections) {
        let (telemetry, request) = load(case);
        check_windows(case, &telemetry, &request);
        assert_eq!(request.window.start_ns(), *at, "{}", case.id);
        assert_eq!((request.entry.clone(), request.symptom), (None, None), "{}: the tool must find them", case.id);
        for baseline in &request.baselines {
            let polluted = faults.iter().find(|fault| fault.overlaps(baseline));
            assert_eq!(polluted, None, "{}: a fault in baseline {baseline:?}", case.id);
        }
        let starts = &telemetry.spans.start_ns;
        let spans = |window: &Window| starts.iter().filter(|start| window.contains(**start)).count();
        assert!(spans(&request.window) > 1000, "{}: {} spans in the incident", case.id, spans(&request.window));
        let normal: usize = request.baselines.iter().map(spans).sum();
        assert!(normal > 1000, "{}: {normal} spans in the baselines", case.id);
    }
}

#[test]
fn a_wrong_injection_time_moves_every_window() {
    let Some(dir) = dataset("nezha") else { return };
    let exact = cases(&dir, DatasetFormat::Nezha, 0).unwrap();
    for shift_s in [-60, 60] {
        let shifted = cases(&dir, DatasetFormat::Nezha, shift_s * NANOS_PER_SECOND).unwrap();
        for at in [0, 30] {
            let (telemetry, request) = load(&shifted[at]);
            check_windows(&shifted[at], &telemetry, &request);
            let moved = request.window.start_ns() - load(&exact[at]).1.window.start_ns();
            assert_eq!(moved, shift_s * NANOS_PER_SECOND);
        }
    }
}

#[test]
fn petshop_has_its_issues_and_quiet_cases() {
    let Some(dir) = dataset("petshop") else { return };
    let found = cases(&dir, DatasetFormat::PetShop, 0).unwrap();
    let kinds = [("latency", 14), ("availability", 12), (QUIET, 10)];
    assert_eq!(counts(&found, |c| c.fault_kind.clone()), table(&kinds));
    let splits = [("train", 8), ("test", 18), ("", 10)];
    assert_eq!(counts(&found, |c| c.split.clone().unwrap_or_default()), table(&splits));
    assert!(found.iter().all(|case| case.causes.is_empty() == (case.fault_kind == QUIET)));
}

#[test]
fn petshop_cases_have_an_entry_edges_and_rows_on_both_sides() {
    let Some(dir) = dataset("petshop") else { return };
    for case in cases(&dir, DatasetFormat::PetShop, 0).unwrap() {
        let (telemetry, request) = load(&case);
        check_windows(&case, &telemetry, &request);
        assert_eq!(request.entry, Some("PetSite".into()), "{}", case.id);
        assert!(request.symptom.is_some() && !telemetry.given_edges.is_empty(), "{}", case.id);
        let rows = |window: &Window| telemetry.series.iter().map(|s| s.values_in(window).len()).max().unwrap_or(0);
        let normal: usize = request.baselines.iter().map(rows).sum();
        if case.causes.is_empty() {
            let cut: usize = case.id.rsplit('_').next().unwrap().parse().unwrap();
            assert_eq!((normal, rows(&request.window)), (589 * cut / 100, 589 - 589 * cut / 100), "{}", case.id);
        } else {
            assert_eq!((normal, rows(&request.window)), (589 + 2, 3), "{}", case.id);
        }
    }
}

fn write(path: PathBuf, text: &str) {
    let folder = path.parent().expect("the files of a dataset lie in folders");
    std::fs::create_dir_all(folder).expect("a temporary folder can be written");
    std::fs::write(path, text).expect("a temporary file can be written");
}

fn seconds(window: &Window) -> (i64, i64) {
    (window.start_ns() / NANOS_PER_SECOND, window.end_ns() / NANOS_PER_SECOND)
}

/// PetShop's layout in small: ten normal rows long after one issue of five rows.
#[test]
fn petshop_windows_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("dataset/small");
    let rows = |first: i64, n: i64| {
        let lines = (0..n).map(|i| format!("{}.0,0.1,0.2\n", first + 300 * i)).collect::<String>();
        format!("microservice,front,back\nmetric,latency,latency\nstatistic,Average,Average\nunix_timestamp,,\n{lines}")
    };
    write(scenario.join("graph.csv"), ",front,back\nfront,0.0,1.0\nback,0.0,0.0\n");
    write(scenario.join("noissue/metrics.csv"), &rows(1_600_000_200, 10));
    write(scenario.join("train/issue_7/metrics.csv"), &rows(1_500_000_000, 5));
    let target = r#"{"target": {"node": "front", "metric": "latency", "agg": "Average", "timestamp": 1500000600},
                     "root_cause": {"node": "back", "metric": null}}"#;
    write(scenario.join("train/issue_7/target.json"), target);

    let found = cases(dir.path(), DatasetFormat::PetShop, 0).unwrap();
    let ids: Vec<&str> = found.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids[..2], ["dataset/small/train/issue_7", "dataset/small/noissue/latency_50"]);
    assert_eq!((found.len(), found[0].truth()), (6, "back".to_owned()));

    let (telemetry, request) = load(&found[0]);
    assert_eq!(seconds(&request.window), (1_500_000_600, 1_500_001_500), "rows three to five");
    let baselines: Vec<_> = request.baselines.iter().map(seconds).collect();
    assert_eq!(baselines, [(1_500_000_000, 1_500_000_600), (1_600_000_200, 1_600_003_200)]);
    assert_eq!((telemetry.series.len(), telemetry.given_edges.len()), (2, 1), "one series over both files");

    let (_, quiet) = load(&found[2]);
    assert_eq!(seconds(&quiet.window), (1_600_002_000, 1_600_003_200), "the last four of ten rows");
    assert_eq!(quiet.baselines.iter().map(seconds).collect::<Vec<_>>(), [(1_600_000_200, 1_600_002_000)]);
}

/// Nezha's layout in small: two faults on one day; the minute of the first is missing.
#[test]
fn nezha_windows_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let day = dir.path().join("rca_data/2023-01-29");
    let at = |time: &str| parse_time(&format!("2023-01-29T{time}Z"), 0).unwrap();
    let faults = r#"{"08": [{"inject_time": "2023-01-29 08:43:04", "inject_timestamp": "1",
                             "inject_pod": "ts-a-service-5dc8d4f9fd-46997", "inject_type": "return"}],
                     "09": [{"inject_time": "2023-01-29 09:10:00", "inject_timestamp": "2",
                             "inject_pod": "b-6f6cfc45b-h5m2n", "inject_type": "cpu"}]}"#;
    write(day.join("2023-01-29-fault_list.json"), faults);
    let spans = |times: &[&str]| {
        let line =
            |time: &&str| format!("{0:032x},{0:016x},root,b-6f6cfc45b-h5m2n,/x,{0},{1},1\n", at(time), at(time) + 1000);
        let header = "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n";
        format!("{header}{}", times.iter().map(line).collect::<String>())
    };
    write(day.join("trace/08_44_trace.csv"), &spans(&["08:43:30", "08:44:20"]));
    write(day.join("trace/08_46_trace.csv"), &spans(&["08:45:30"]));
    write(day.join("trace/09_10_trace.csv"), &spans(&["09:09:30", "09:10:20"]));
    write(dir.path().join("construct_data/2023-01-29/trace/08_50_trace.csv"), &spans(&["08:50:00", "08:50:30"]));
    let metric =
        "Time,TimeStamp,PodName,CpuUsage(m)\n2023-01-29 09:00:00.5 +0000 UTC m=+1,1674982800,b-6f6cfc45b-h5m2n,4.5\n";
    write(day.join("metric/b-6f6cfc45b-h5m2n_metric.csv"), metric);

    let found = cases(dir.path(), DatasetFormat::Nezha, 0).unwrap();
    assert_eq!(found.iter().map(RecordedCase::truth).collect::<Vec<_>>(), ["ts-a-service", "b"]);
    let (telemetry, request) = load(&found[0]);
    assert_eq!(telemetry.spans.len(), 2 + 2, "08:44, 08:50; the fourth minute is not the fault's");
    assert_eq!(telemetry.series.len(), 1);
    let around = |from: i64, to: i64| (from / NANOS_PER_SECOND, to / NANOS_PER_SECOND);
    assert_eq!(seconds(&request.window), around(at("08:43:04"), at("08:46:04")));
    let second = NANOS_PER_SECOND;
    let expected = [
        around(at("06:43:04"), at("08:42:04")),
        around(at("08:48:04"), at("08:50:00")),
        around(at("08:50:00"), at("08:50:30")),
        around(at("08:50:30"), at("09:09:00")),
        around(at("09:15:00"), at("10:43:04")),
    ];
    assert_eq!(request.baselines.iter().map(seconds).collect::<Vec<_>>(), expected);

    let (_, request) = load(&found[1]);
    let near = Window::new(at("09:09:30"), at("09:10:00")).unwrap();
    assert!(request.baselines.contains(&near), "spans of the own file before the injection");
    let late = cases(dir.path(), DatasetFormat::Nezha, 30 * second).unwrap();
    let (_, request) = load(&late[1]);
    assert!(
        request.baselines.contains(&Window::new(at("09:09:30"), at("09:10:30")).unwrap()),
        "polluted, as it would be"
    );
}

/// The README's table and the pages of `docs/accuracy.md` are made from the records. With UPDATE_README=1 the test writes
/// them.
#[test]
fn readme_and_docs_show_what_the_records_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let records = record::latest(&root.join("datasets/records")).unwrap();
    assert!(!records.is_empty());
    let pages: Vec<String> = records.iter().map(markdown::page).collect();
    for (file, name, expected) in
        [("README.md", "accuracy", summary::summary(&records)), ("docs/accuracy.md", "records", pages.join("\n"))]
    {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
        let (before, rest) = text.split_once(&begin).expect(file);
        let (block, after) = rest.split_once(&end).expect(file);
        if std::env::var_os("UPDATE_README").is_some() {
            std::fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
        } else {
            assert!(block == expected, "{file} says other than datasets/records: run the tests with UPDATE_README=1");
        }
    }
}

#[test]
fn a_record_has_the_same_bytes_again_but_for_its_times() {
    let folder = tempfile::tempdir().unwrap();
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/inventory-errors");
    let recorded = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypocenter"));
        command.arg("eval").arg(&case).args(["--format", "case", "--method", "prism", "--ablation"]);
        command.args(["--name", "errors", "--date", "2026-03-02", "--record"]).arg(folder.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(folder.path().join("2026-03-02-errors.json")).unwrap();
        let (before, rest) = text.split_once("  \"times\": {").expect("a record has times");
        let (_, after) = rest.split_once("  },").expect("the times end");
        format!("{before}{after}")
    };
    let first = recorded();
    assert_eq!(recorded(), first);
    let kept = &record::latest(folder.path()).unwrap()[0];
    assert_eq!((kept.evaluation.dataset.as_str(), kept.evaluation.cases), ("errors", 1));
    let variants: Vec<&str> = kept.evaluation.ablations.iter().map(|variant| variant.name.as_str()).collect();
    assert_eq!(variants, ["start 60 s early", "start 60 s late"], "traces are all that the case has");
    assert!(kept.command.starts_with("hypocenter eval ") && kept.command.contains("--date 2026-03-02"));
    assert!(kept.evaluation.times.contains_key("prism"));
}
