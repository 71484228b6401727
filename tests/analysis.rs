//! Whole analyses of the recorded cases in `datasets/`: the cause is found, and what must not matter does not.

use std::path::{Path, PathBuf};

use hypocenter::analysis::{Settings, analyze};
use hypocenter::assemble::{Request, assemble};
use hypocenter::case::Case;
use hypocenter::explain::Diagnosis;
use hypocenter::ingest::{ReadOptions, Telemetry, read_paths};
use hypocenter::rank::Verdict;
use hypocenter::report;
use hypocenter::telemetry::id::ServiceId;
use hypocenter::telemetry::span::{Span, SpanTable};
use hypocenter::telemetry::time::Window;

fn case(name: &str) -> (Telemetry, Request) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(name);
    let case = Case::read(&dir).expect("the case folder is sound");
    let paths: Vec<PathBuf> = case.files.clone();
    let telemetry = read_paths(&paths, &ReadOptions::default(), &|_| {}).expect("its files are readable");
    let request = Request {
        name: case.name,
        window: case.incident,
        baselines: case.baselines,
        entry: case.entry,
        symptom: case.symptom,
    };
    (telemetry, request)
}

fn diagnose(telemetry: Telemetry, request: Request) -> Diagnosis {
    let incident = assemble(telemetry, request).expect("a sound incident");
    analyze(&incident, &Settings::default())
}

fn json(diagnosis: &Diagnosis) -> String {
    let mut out = Vec::new();
    report::write(diagnosis, report::Format::Json, &mut out).expect("memory does not fail");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// (service, probability) in order of the ranking.
fn ranking(diagnosis: &Diagnosis) -> Vec<(String, f64)> {
    let causes = diagnosis.causes.iter().map(|c| &c.candidate);
    causes.chain(&diagnosis.alternatives).map(|c| (c.suspect.service().to_string(), c.probability)).collect()
}

/// The same spans with their rows in another order and their services called otherwise.
fn changed(spans: &SpanTable, rows: &[usize], name: &dyn Fn(&str) -> String) -> SpanTable {
    let mut out = SpanTable::new();
    for &row in rows {
        let span = spans.get(row);
        let resource = &spans.resources()[span.resource.0 as usize];
        let resource = out.resource_key(&name(&resource.service), &resource.instance, &resource.version);
        let operation = out.operation_key(&spans.operations()[span.operation.0 as usize]);
        let peer = span.peer.map(|key| {
            let peer = &spans.peers()[key.0 as usize];
            out.peer_key(&name(&peer.name), peer.kind)
        });
        out.push(Span { resource, operation, peer, ..span });
    }
    out
}

#[test]
fn the_cause_of_each_case_is_found_and_its_victims_are_named() {
    for (name, cause, victims) in [
        ("checkout-db-latency", "payments", ["checkout", "frontend"]),
        ("inventory-errors", "inventory", ["gateway", "orders"]),
    ] {
        let (telemetry, request) = case(name);
        let diagnosis = diagnose(telemetry, request);
        assert_eq!(diagnosis.verdict, Verdict::CauseFound, "{name}");
        assert_eq!(diagnosis.causes.len(), 1, "{name}");
        assert_eq!(diagnosis.causes[0].candidate.suspect.service().as_str(), cause);
        let named: Vec<&str> = diagnosis.victims.iter().map(|v| v.service.as_str()).collect();
        assert_eq!(named, victims, "{name}");
        let total: f64 = ranking(&diagnosis).iter().map(|c| c.1).sum::<f64>()
            + diagnosis.unlisted_probability
            + diagnosis.none_probability;
        assert!((total - 1.0).abs() < 1e-9, "probabilities of {name} sum to {total}");
    }
}

#[test]
fn the_same_input_in_any_order_gives_the_same_bytes() {
    for name in ["checkout-db-latency", "inventory-errors"] {
        let (telemetry, request) = case(name);
        let expected = json(&diagnose(telemetry.clone(), request.clone()));
        assert_eq!(json(&diagnose(telemetry.clone(), request.clone())), expected, "{name}: a second run");
        let n = telemetry.spans.len();
        // A stride that shares no factor with n visits every row once.
        let stride = (n / 3..).find(|s| gcd(*s, n) == 1).expect("some number has no common factor");
        let rows: Vec<usize> = (0..n).map(|i| i * stride % n).collect();
        let mut shuffled = telemetry;
        shuffled.spans = changed(&shuffled.spans, &rows, &str::to_owned);
        shuffled.series.reverse();
        assert_eq!(json(&diagnose(shuffled, request)), expected, "{name}: shuffled");
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[test]
fn the_names_of_services_do_not_matter() {
    // Reversed names sort in another order and share no prefix.
    let other = |name: &str| format!("x{}", name.chars().rev().collect::<String>());
    for name in ["checkout-db-latency", "inventory-errors"] {
        let (mut telemetry, mut request) = case(name);
        telemetry.series.clear();
        telemetry.alerts.clear();
        let expected: Vec<(String, f64)> =
            ranking(&diagnose(telemetry.clone(), request.clone())).into_iter().map(|(n, p)| (other(&n), p)).collect();
        let rows: Vec<usize> = (0..telemetry.spans.len()).collect();
        telemetry.spans = changed(&telemetry.spans, &rows, &other);
        request.entry = request.entry.map(|e| ServiceId::new(&other(e.as_str())));
        let got = ranking(&diagnose(telemetry, request));
        assert_eq!(got.len(), expected.len(), "{name}");
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(got.0, expected.0, "{name}");
            assert!((got.1 - expected.1).abs() < 1e-9, "{name}: {}", got.0);
        }
    }
}

#[test]
fn two_halves_of_normal_operation_give_no_cause() {
    for name in ["checkout-db-latency", "inventory-errors"] {
        let (telemetry, mut request) = case(name);
        let normal = request.baselines[0];
        let middle_ns = normal.start_ns() + (normal.end_ns() - normal.start_ns()) / 2;
        request.baselines = vec![Window::new(normal.start_ns(), middle_ns).expect("not empty")];
        request.window = Window::new(middle_ns, normal.end_ns()).expect("not empty");
        let diagnosis = diagnose(telemetry, request);
        assert_ne!(diagnosis.verdict, Verdict::CauseFound, "{name}: {:?}", ranking(&diagnosis).first());
    }
}
