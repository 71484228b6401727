//! The recorded incidents as `eval` sees them: how many, of what kind, and that nothing of the answer leaks into the
//! windows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hypocenter::assemble::Request;
use hypocenter::eval::recorded::{QUIET, RecordedCase};
use hypocenter::eval::{DatasetFormat, cases};
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
    (case.load)().unwrap_or_else(|error| panic!("{}: {error}", case.id))
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
    assert_eq!(found[0].truth, ["frontend".into()]);
    assert_eq!(found[59].truth, ["ts-security-service".into()]);
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
    assert!(found.iter().all(|case| case.truth.is_empty() == (case.fault_kind == QUIET)));
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
        if case.truth.is_empty() {
            let cut: usize = case.id.rsplit('_').next().unwrap().parse().unwrap();
            assert_eq!((normal, rows(&request.window)), (589 * cut / 100, 589 - 589 * cut / 100), "{}", case.id);
        } else {
            assert_eq!((normal, rows(&request.window)), (589 + 2, 3), "{}", case.id);
        }
    }
}
