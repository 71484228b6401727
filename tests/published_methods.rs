//! The published methods side by side: on an incident with calls and metrics, on thousands of services, and on PetShop
//! against the figures that their authors' code reaches there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::path::Path;

use hypocenter::analysis::Settings;
use hypocenter::eval::recorded::QUIET;
use hypocenter::eval::run::evaluate;
use hypocenter::eval::{DatasetFormat, cases};
use hypocenter::incident::{Incident, IncidentParts};
use hypocenter::rank::fusion::Fusion;
use hypocenter::rank::published::methods;
use hypocenter::rank::{Ranking, Verdict, registry};
use hypocenter::telemetry::alert::Symptom;
use hypocenter::telemetry::calls::{CallKey, CallNode, CallRow, CallStats, Entry};
use hypocenter::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use hypocenter::telemetry::time::{Grid, NANOS_PER_SECOND, Window};
use hypocenter::telemetry::topology::{EdgeMode, NodeKind};

const STEP: i64 = 60 * NANOS_PER_SECOND;
const BASELINE_BINS: i64 = 20;
const BINS: i64 = 26;
const CALLS: u64 = 100;

/// A call edge, and in which of the requests' time it takes how long by itself.
struct Edge {
    caller: Option<u32>,
    callee: u32,
    whole_us: u64,
    own_us: u64,
}

fn row(edge: &Edge, entry: u32, bin: i64, slower_us: u64, own_slower_us: u64) -> CallRow {
    // A little noise, other in each bin and for each callee.
    let noise_us = u64::try_from((bin * 7 + i64::from(edge.callee) * 3).rem_euclid(5)).unwrap() * 20;
    CallRow {
        calls: CALLS,
        observed: CALLS,
        weight_squares: CALLS,
        duration_ns: (edge.whole_us + slower_us + noise_us) * 1000 * CALLS,
        self_ns: (edge.own_us + own_slower_us + noise_us) * 1000 * CALLS,
        ..CallRow::empty(CallKey {
            caller: edge.caller,
            callee: edge.callee,
            operation: 0,
            mode: EdgeMode::Sync,
            entry,
            bin,
        })
    }
}

fn incident(names: &[String], entries: Vec<Entry>, rows: Vec<CallRow>, series: Vec<Series>) -> Incident {
    let mut calls = CallStats::empty(Grid::new(STEP));
    calls.nodes = names.iter().map(|name| CallNode { id: name.as_str().into(), kind: NodeKind::Service }).collect();
    calls.operations = vec!["get".to_owned()];
    calls.entries = entries;
    calls.rows = rows;
    calls.rows.sort_by_key(|row| row.key);
    Incident::new(IncidentParts {
        name: "made by hand".to_owned(),
        entry: Some(names[0].as_str().into()),
        symptom: Some(Symptom::Latency),
        series,
        ..IncidentParts::new(
            Window::new(BASELINE_BINS * STEP, BINS * STEP).unwrap(),
            vec![Window::new(0, BASELINE_BINS * STEP).unwrap()],
            calls,
        )
    })
    .unwrap()
}

/// Requests at `a` call `b`, which calls `c`; `a` calls `d`, and requests at `e` call `d` only. `c` grows slow by itself
/// and burns processor time.
fn slow_leaf(turn_around: bool) -> Incident {
    let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
    let edge = |caller, callee, whole_us, own_us| Edge { caller, callee, whole_us, own_us };
    let through_c = [
        (edge(None, 0, 100_000, 10_000), 0),
        (edge(Some(0), 1, 60_000, 20_000), 0),
        (edge(Some(1), 2, 40_000, 40_000), 200_000),
        (edge(Some(0), 3, 30_000, 30_000), 0),
    ];
    let others = [edge(None, 4, 50_000, 20_000), edge(Some(4), 3, 30_000, 30_000)];
    let mut rows = Vec::new();
    for bin in 0..BINS {
        let slower_us = if bin >= BASELINE_BINS { 200_000 } else { 0 };
        for (edge, own_us) in &through_c {
            let (whole_us, own_us) = if edge.callee == 3 { (0, 0) } else { (slower_us, slower_us.min(*own_us)) };
            rows.push(row(edge, 0, bin, whole_us, own_us));
        }
        rows.extend(others.iter().map(|edge| row(edge, 1, bin, 0, 0)));
    }
    let processor = |name: &str, rise: f64| Series {
        subject: Subject::Service(name.into()),
        signal: Signal::Cpu,
        statistic: Statistic::Mean,
        unit: Unit::Cores,
        name: "cpu".to_owned(),
        samples: (0..BINS)
            .map(|bin| {
                let noise = (bin * 3).rem_euclid(7) as f64 * 0.01;
                (bin * STEP, 0.5 + noise + if bin >= BASELINE_BINS { rise } else { 0.0 })
            })
            .collect(),
    };
    let mut series: Vec<Series> =
        names.iter().map(|name| processor(name, if name == "c" { 2.0 } else { 0.0 })).collect();
    if turn_around {
        rows.reverse();
        series.reverse();
    }
    let entries = vec![Entry { service: 0, operation: 0 }, Entry { service: 4, operation: 0 }];
    incident(&names, entries, rows, series)
}

fn first(ranking: &Ranking) -> &str {
    ranking.candidates[0].suspect.service().as_str()
}

fn check_form(ranking: &Ranking, services: usize) {
    let method = ranking.method;
    let names: BTreeSet<&str> = ranking.candidates.iter().map(|c| c.suspect.service().as_str()).collect();
    assert_eq!((names.len(), ranking.candidates.len()), (services, services), "{method}");
    let sum: f64 = ranking.candidates.iter().map(|c| c.probability).sum::<f64>() + ranking.none_probability;
    assert!((sum - 1.0).abs() < 1e-9, "{method}: {sum}");
    assert!(ranking.candidates.iter().all(|c| c.score.is_finite()), "{method}");
}

#[test]
fn every_method_of_the_issue_has_a_name_and_a_paper() {
    let names: BTreeSet<&str> = registry(Fusion::rules()).iter().map(|method| method.name()).collect();
    assert_eq!(names.len(), registry(Fusion::rules()).len(), "no name twice");
    for name in [
        "n_sigma",
        "baro",
        "baro_bocpd",
        "epsilon_diagnosis",
        "ranked_correlation",
        "traversal",
        "micro_hecl",
        "random_walk",
        "micro_rca",
        "circa",
        "micro_rank",
        "trace_rca",
        "prism",
        "simple_rca",
        "smooth_traversal",
        "shapley_iq",
    ] {
        assert!(names.contains(name), "{name}");
    }
    for method in methods() {
        assert!(method.about().contains("20"), "{} tells no year", method.name());
    }
}

#[test]
fn every_method_gives_the_same_answer_in_any_input_order() {
    for method in methods() {
        let ranking = method.rank(&slow_leaf(false), &[]);
        check_form(&ranking, 5);
        assert_eq!(ranking, method.rank(&slow_leaf(true), &[]), "{}", method.name());
    }
}

#[test]
fn a_slow_leaf_is_found_by_whoever_can() {
    let found: Vec<&str> = methods()
        .iter()
        .filter(|method| first(&method.rank(&slow_leaf(false), &[])) == "c")
        .map(|m| m.name())
        .collect();
    // Not among them by their nature: whoever looks at metrics one by one and finds the callers as far off (or, as PRISM,
    // has the processor to tell them apart, and is here); CIRCA, whose regression on noise does not reach so far beyond it.
    for name in ["prism", "micro_hecl", "micro_rca", "micro_rank", "trace_rca", "shapley_iq"] {
        assert!(found.contains(&name), "{name}: only {found:?}");
    }
    for method in methods().iter().filter(|method| method.name() != "epsilon_diagnosis") {
        // Windows paired by position say nothing, whatever happens.
        assert_eq!(method.rank(&slow_leaf(false), &[]).verdict, Verdict::CauseFound, "{}", method.name());
    }
}

#[test]
fn five_thousand_services_are_ranked_by_every_method() {
    // A hub that calls half of the services, each of which calls one of the other half; one leaf is slow.
    let half: u32 = 2500;
    let names: Vec<String> = (0..=2 * half).map(|at| format!("s{at:05}")).collect();
    let mut rows = Vec::new();
    for bin in BASELINE_BINS - 6..BASELINE_BINS + 3 {
        let slower_us = |slow: bool| if slow && bin >= BASELINE_BINS { 200_000 } else { 0 };
        rows.push(row(&Edge { caller: None, callee: 0, whole_us: 500_000, own_us: 1000 }, 0, bin, slower_us(true), 0));
        for at in 1..=half {
            let slower_us = slower_us(at == 7);
            let middle = Edge { caller: Some(0), callee: at, whole_us: 30_000, own_us: 10_000 };
            let leaf = Edge { caller: Some(at), callee: at + half, whole_us: 20_000, own_us: 20_000 };
            rows.push(row(&middle, 0, bin, slower_us, 0));
            rows.push(row(&leaf, 0, bin, slower_us, slower_us));
        }
    }
    let incident = incident(&names, vec![Entry { service: 0, operation: 0 }], rows, Vec::new());
    for method in methods() {
        check_form(&method.rank(&incident, &[]), names.len());
    }
}

/// The figures of the authors' code on the 26 low-traffic incidents, top-1 and top-3, as the folder of the recordings
/// tells them. Theirs break ties by the order of a hash table; here ties count against the method.
#[test]
fn petshop_figures_are_those_of_the_authors_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets/petshop");
    if !folder.is_dir() {
        eprintln!("skipped: the recorded incidents of petshop are not in ../shared/datasets");
        return;
    }
    let all = cases(&folder, DatasetFormat::PetShop, 0).unwrap();
    let incidents: Vec<_> = all.into_iter().filter(|case| case.fault_kind != QUIET).collect();
    assert_eq!(incidents.len(), 26);
    let published = [("ranked_correlation", 0.58, 0.77), ("traversal", 0.62, 0.77), ("circa", 0.38, 0.92)];
    let names: Vec<&str> = published.iter().map(|method| method.0).collect();
    let evaluation = evaluate("petshop", &incidents, &names, &Settings::default(), &|_| {});
    for (method, (name, ac1, ac3)) in evaluation.methods.iter().zip(published) {
        let got = &method.accuracy;
        assert_eq!(method.name, name);
        assert!((got.ac1 - ac1).abs() <= 0.08, "{name}: AC@1 {} against {ac1}", got.ac1);
        assert!((got.ac3 - ac3).abs() <= 0.08, "{name}: AC@3 {} against {ac3}", got.ac3);
    }
}
