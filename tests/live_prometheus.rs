//! Metrics pulled from a real Prometheus and a real VictoriaMetrics: the same cause as from the files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "live/metric_servers.rs"]
mod metric_servers;
#[path = "live/program.rs"]
mod program;

use std::path::Path;

use metric_servers::Server;
use program::{CAUSE, analyze, incident, named, report, unfolded};
use serde_json::Value;
use tempfile::TempDir;

/// What the analysis of the files says.
fn from_files() -> (String, String) {
    let file = incident().join("metrics.om.zst");
    named(&report(&analyze(&["--metrics", file.to_str().unwrap()])))
}

fn pulled_from(server: &Server) -> (TempDir, Value) {
    let folder = TempDir::new().unwrap();
    let saved = folder.path().join("saved");
    let saved_text = saved.to_str().unwrap();
    let live = report(&analyze(&["--prometheus", &server.url(), "--save", saved_text]));
    assert_eq!(named(&live), from_files());
    assert_eq!(named(&live), ("cause_found".to_owned(), CAUSE.to_owned()));
    // Once more from what was kept, byte for byte.
    assert_eq!(report(&["analyze", "--case", saved_text, "-o", "json"]), live);
    let record = serde_json::from_slice(&std::fs::read(saved.join("pull.json")).unwrap()).unwrap();
    (folder, record)
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_real_prometheus_gives_the_same_cause_as_the_files() {
    let Some(server) = Server::prometheus(&unfolded("metrics.om.zst")) else { return };
    let (folder, record) = pulled_from(&server);
    let queries = record["metrics"]["queries"].as_array().unwrap();
    let with_series = queries.iter().filter(|query| query["series"].as_u64() > Some(0)).count();
    assert!(with_series > 10, "{with_series}");
    assert_eq!(count(&folder.path().join("saved/metrics")), with_series);
    // Scraped every 15 s, kube-state-metrics every 30 s, and found to be.
    let is_found = |query: &Value| {
        let is_of_cluster = query["query"].as_str().unwrap().contains("\"kube_");
        query["step_seconds"] == if is_of_cluster { 30 } else { 15 }
    };
    assert!(queries.iter().all(is_found), "{record:#}");
    assert_eq!(record["warnings"].as_array().unwrap().len(), 0, "{record:#}");
    assert!(
        record["metrics"]["metrics_of_the_server"].as_u64() > record["metrics"]["metrics_that_mean_something"].as_u64()
    );

    let windows = ["--incident", program::INCIDENT, "--baseline", program::BASELINE];
    let told = report(&[&["doctor", "--prometheus", &server.url()], &windows[..]].concat());
    assert!(told.contains("prometheus at ") && told.contains(", version 2.") && told.contains("cAdvisor"), "{told}");

    // What is set wins over what is found, and a limit is told.
    let settings = folder.path().join("settings.toml");
    let text =
        format!("[prometheus]\nurl = \"{}\"\nstep = \"30s\"\nmax_metrics = 7\nalso = [\"jvm_*\"]\n", server.url());
    std::fs::write(&settings, text).unwrap();
    let few = folder.path().join("few");
    let args = analyze(&["--config", settings.to_str().unwrap(), "--save", few.to_str().unwrap()]);
    let output = program::hypocenter(&args);
    assert!(program::stderr(&output).contains("were not asked for, since max_metrics is 7"), "{output:?}");
    let record: Value = serde_json::from_slice(&std::fs::read(few.join("pull.json")).unwrap()).unwrap();
    let queries = record["metrics"]["queries"].as_array().unwrap();
    assert!(queries.len() == 7 && queries.iter().all(|query| query["step_seconds"] == 30), "{record:#}");
}

#[test]
fn a_real_victoria_metrics_gives_the_same_cause_as_the_files() {
    let Some(server) = Server::victoria_metrics(&unfolded("metrics.om.zst")) else { return };
    pulled_from(&server);
}

/// More than 11,000 points of a series are refused by the real server, so that only a split range comes through.
#[test]
fn long_ranges_come_in_parts() {
    let sample = |at: i64| {
        format!("container_cpu_usage_seconds_total{{pod=\"cart-0\"}} {} {}\n", at % 5000, 1_773_000_000 + at * 10)
    };
    let text: String = std::iter::once("# TYPE container_cpu_usage_seconds counter\n".to_owned())
        .chain((0..15_000).map(sample))
        .chain(["# EOF\n".to_owned()])
        .collect();
    let Some(server) = Server::prometheus(text.as_bytes()) else { return };
    let folder = TempDir::new().unwrap();
    let saved = folder.path().join("saved");
    let windows = ["--baseline", "1773000000/1773140000", "--incident", "1773140000/1773149000"];
    let source = ["--prometheus", &server.url(), "--save", saved.to_str().unwrap()];
    report(&[&["analyze"], &windows[..], &source[..]].concat());
    let record: Value = serde_json::from_slice(&std::fs::read(saved.join("pull.json")).unwrap()).unwrap();
    let queries = record["metrics"]["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 2, "{record:#}");
    assert!(queries.iter().all(|query| query["step_seconds"] == 10 && query["series"] == 1), "{record:#}");
    assert_eq!(count(&saved.join("metrics")), 2);
}
