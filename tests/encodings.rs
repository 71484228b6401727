//! One set of traces, written in every encoding of traces that is read: the same bytes of graph and of report must come
//! out, whichever went in.
//!
//! The traces hold what all of these encodings can carry, which is what they say of the graph and of the incident: whole
//! microseconds (Jaeger and Zipkin know no finer ones), names in lower case (Zipkin keeps no others), kinds, statuses,
//! instances and versions (among the tags of each span in Zipkin, where the collector's exporter puts them), peers, links
//! across traces (a reference in Jaeger, the exporter's `otlp.link.0` in Zipkin). Left out: links within one trace, which
//! Jaeger cannot tell from a parent that nobody waits for; spans without a kind, which Zipkin takes for internal ones
//! only by a tag; `db.system` without any name, and hosts as remote endpoints, which other exporters of Zipkin repeat
//! (tested in `ingest_dialects`). Spans that client and server share under one id are Zipkin's own: there, every server
//! has its client's.
#![allow(clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::Path;
use std::process::Command;

use encoded::model::{self, BASELINE, INCIDENT};
use encoded::{binary, json};

mod encoded {
    pub(crate) mod binary;
    pub(crate) mod json;
    pub(crate) mod model;
}

/// Runs the program in a folder that holds the traces under the one name `traces`.
fn output(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hypocenter")).args(args).current_dir(folder).output();
    let output = output.expect("the program starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{args:?}: {told}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn vector_02_same_trace_in_five_encodings() {
    let spans = model::spans();
    let encodings: [(&str, Vec<u8>); 6] = [
        ("OTLP JSON", json::otlp(&spans).into_bytes()),
        ("OTLP protobuf", binary::otlp(&spans)),
        ("Jaeger", json::jaeger(&spans).into_bytes()),
        ("Zipkin", json::zipkin(&spans).into_bytes()),
        ("ClickHouse rows", json::clickhouse(&spans).into_bytes()),
        ("ClickHouse Parquet", binary::clickhouse(&spans)),
    ];
    let analyze = ["analyze", "--traces", "traces", "--incident", INCIDENT, "--baseline", BASELINE, "-o"];
    let commands: Vec<Vec<&str>> = ["json", "markdown", "text"]
        .into_iter()
        .map(|form| [&analyze[..], &[form]].concat())
        .chain([vec!["graph", "--traces", "traces", "-o", "json"]])
        .collect();
    let mut expected: Vec<String> = Vec::new();
    for (encoding, bytes) in encodings {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("traces"), bytes).expect("written");
        for (at, command) in commands.iter().enumerate() {
            let found = output(folder.path(), command);
            match expected.get(at) {
                None => expected.push(found),
                Some(expected) => same(expected, &found, encoding, command),
            }
        }
    }

    // All the same would be easy if there were nothing in it.
    let [report, _, text, graph] = &expected[..] else { panic!("four outputs") };
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    assert_eq!(report["verdict"], "cause_found", "{text}");
    assert!(text.contains("CAUSE FOUND  bank.example\n"), "{text}");
    let graph: serde_json::Value = serde_json::from_str(graph).expect("JSON");
    let nodes = graph["nodes"].as_array().expect("nodes");
    let mut names: Vec<&str> = nodes.iter().filter_map(|node| node["name"].as_str().or(node["id"].as_str())).collect();
    names.sort_unstable();
    let expected = [
        "bank.example",
        "cart",
        "cart-cache",
        "kafka/orders",
        "mailer",
        "orders",
        "payments",
        "postgresql/orders",
        "web",
    ];
    assert_eq!(names, expected, "{graph}");
}

#[track_caller]
fn same(expected: &str, found: &str, encoding: &str, command: &[&str]) {
    let differ = expected.lines().zip(found.lines()).find(|(a, b)| a != b);
    assert!(expected == found, "{encoding}, {command:?}: {differ:#?}");
}
