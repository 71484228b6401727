//! Traces pulled from replay servers of Jaeger, Tempo and Zipkin: the cause is found in a balanced sample, and its weights
//! give back the traffic.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "live/program.rs"]
mod program;
#[path = "live/replay.rs"]
mod replay;
#[path = "live/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::Router;
use program::{CAUSE, analyze, failure, hypocenter, incident, named, report, stderr, unfolded};
use replay::{Store, Tempo};
use serde_json::Value;
use server::Serving;
use tempfile::TempDir;

const ENTRY: &str = "frontend";
const SECOND_NS: i64 = 1_000_000_000;

fn store() -> Arc<Store> {
    static STORE: OnceLock<Arc<Store>> = OnceLock::new();
    STORE.get_or_init(|| Store::of(&unfolded("traces.jsonl.zst"))).clone()
}

/// The windows of the incident in Unix nanoseconds: baseline and incident.
fn windows() -> [(i64, i64); 2] {
    [program::BASELINE, program::INCIDENT].map(|window| {
        let (start, end) = window.split_once('/').unwrap();
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second() * SECOND_NS;
        (at(start), at(end))
    })
}

/// Pulls at most so many traces of each stratum and analyses them; gives the record.
fn pulled(kind: &str, router: Router, max_traces: usize) -> (TempDir, Value) {
    let server = Serving::start(router);
    let folder = TempDir::new().unwrap();
    let (settings, saved) = (folder.path().join("settings.toml"), folder.path().join("saved"));
    std::fs::write(&settings, format!("[{kind}]\nurl = \"{}\"\nmax_traces = {max_traces}\n", server.url())).unwrap();
    let (settings, saved_text) = (settings.to_str().unwrap(), saved.to_str().unwrap());
    let output = hypocenter(&analyze(&["--config", settings, "--entry", ENTRY, "--save", saved_text]));
    assert_eq!(output.status.code(), Some(0), "{kind}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{kind}");
    let live = String::from_utf8(output.stdout).unwrap();
    assert_eq!(named(&live), ("cause_found".to_owned(), CAUSE.to_owned()), "{kind}");
    assert_eq!(report(&["analyze", "--case", saved_text, "-o", "json"]), live, "{kind}: once more from what was kept");
    let record = serde_json::from_slice(&std::fs::read(saved.join("pull.json")).unwrap()).unwrap();
    (folder, record)
}

fn ids(record: &Value) -> BTreeSet<&str> {
    record["traces"]["trace_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

/// What the weights of the traces of each window add up to, against how many there are.
fn check_weights(record: &Value, folder: &TempDir, allowed: f64) {
    let table = std::fs::read_to_string(folder.path().join("saved/traces/stands_for.csv")).unwrap();
    let total: f64 = table.lines().skip(1).map(|line| line.split_once(',').unwrap().1.parse::<f64>().unwrap()).sum();
    let truth: usize = windows().iter().map(|(start, end)| store().count(ENTRY, *start, *end)).sum();
    assert!((total - truth as f64).abs() <= allowed * truth as f64, "{total} for {truth}: {record:#}");
    assert_eq!(table.lines().count() - 1, ids(record).len());
}

fn strata(record: &Value) -> Vec<(&str, &str, u64)> {
    let windows = record["traces"]["windows"].as_array().unwrap();
    let strata = windows.iter().flat_map(|window| window["strata"].as_array().unwrap());
    strata
        .map(|s| (s["stratum"].as_str().unwrap(), s["how"].as_str().unwrap(), s["traces"].as_u64().unwrap()))
        .collect()
}

#[test]
fn the_files_tell_the_same_cause() {
    let file = incident().join("traces.jsonl.zst");
    let told = named(&report(&analyze(&["--traces", file.to_str().unwrap(), "--entry", ENTRY])));
    assert_eq!(told, ("cause_found".to_owned(), CAUSE.to_owned()));
}

#[test]
fn both_apis_of_jaeger_give_everything_where_there_is_little() {
    for (api, router) in [("v3", replay::jaeger_v3(store())), ("v1", replay::jaeger_v1(store()))] {
        let (folder, record) = pulled("jaeger", router, 100_000);
        assert_eq!(record["traces"]["api"], api);
        check_weights(&record, &folder, 1e-9);
        assert!(strata(&record).iter().all(|(name, how, _)| (*name, *how) == ("all others", "census")), "{record:#}");
    }
}

#[test]
fn a_balanced_sample_of_jaeger_finds_the_cause_and_gives_back_the_traffic() {
    for router in [replay::jaeger_v3(store()), replay::jaeger_v1(store())] {
        let (folder, record) = pulled("jaeger", router, 100);
        check_weights(&record, &folder, 0.25);
        let truth: usize = windows().iter().map(|(start, end)| store().count(ENTRY, *start, *end)).sum();
        assert!(ids(&record).len() < truth / 2, "{} of {truth}", ids(&record).len());
        let names: BTreeSet<&str> = strata(&record).iter().map(|(name, _, _)| *name).collect();
        assert_eq!(names, BTreeSet::from(["failed", "rest", "slow"]), "{record:#}");
    }
}

#[test]
fn tempo_is_understood_in_protobuf_old_and_new_and_in_json() {
    let mut all = Vec::new();
    for how in [Tempo::New, Tempo::Old, Tempo::Json] {
        let (folder, record) = pulled("tempo", replay::tempo(store(), how), 100);
        check_weights(&record, &folder, 0.25);
        all.push(ids(&record).into_iter().map(str::to_owned).collect::<Vec<_>>());
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "the same traces in each");
}

#[test]
fn zipkin_is_sampled_as_the_others_are() {
    let (folder, record) = pulled("zipkin", replay::zipkin(store()), 100);
    check_weights(&record, &folder, 0.25);
}

#[test]
fn whose_traces_are_wanted_has_to_be_said() {
    let server = Serving::start(replay::jaeger_v3(store()));
    let message = failure(&analyze(&["--jaeger", &server.url()]));
    assert!(
        message.contains("--entry") && message.contains("the server knows") && message.contains(ENTRY),
        "{message}"
    );
    let message = failure(&analyze(&["--jaeger", &server.url(), "--entry", "frontent"]));
    assert!(message.contains("no trace of `frontent`") && message.contains(ENTRY), "{message}");
    let message = failure(&analyze(&["--jaeger", &server.url(), "--tempo", &server.url(), "--entry", ENTRY]));
    assert!(message.contains("more than one trace store"), "{message}");
}

#[test]
fn doctor_tells_what_live_sources_have() {
    let server = Serving::start(replay::jaeger_v3(store()));
    let windows = ["--incident", program::INCIDENT, "--baseline", program::BASELINE];
    let asked = |more: &[&str]| hypocenter(&[&["doctor", "--jaeger", &server.url()], &windows[..], more].concat());
    let output = asked(&["--entry", ENTRY]);
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
    assert!(told.contains("jaeger at ") && told.contains("hypocenter analyze --jaeger"), "{told}");
    // The command that it proposes runs.
    let command = told.lines().find(|line| line.trim().starts_with("hypocenter analyze")).unwrap();
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    assert!(report(&words).contains("CAUSE FOUND  cart"), "{command}");
    let output = asked(&[]);
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(told.contains("--entry"), "{told}{}", stderr(&output));
    let nobody = program::nobody();
    let output = hypocenter(&[&["doctor", "--tempo", nobody.as_str()], &windows[..]].concat());
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("NOT USABLE") && told.contains(&nobody), "{told}");
}
