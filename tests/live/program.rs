//! A simulated incident and the program that analyses it.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const INCIDENT: &str = "2026-03-10T12:19:20Z/2026-03-10T12:29:29Z";
pub(crate) const BASELINE: &str = "2026-03-10T12:00:25Z/2026-03-10T12:18:20Z";
pub(crate) const CAUSE: &str = "cart";

/// Runs the program without what the environment could add to it.
pub(crate) fn hypocenter(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hypocenter")).args(args).env("NO_COLOR", "1").output().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command that has to succeed; its report.
pub(crate) fn report(args: &[&str]) -> String {
    let output = hypocenter(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that has to fail; its message.
pub(crate) fn failure(args: &[&str]) -> String {
    let output = hypocenter(args);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{args:?} did not fail");
    stderr(&output)
}

/// The arguments of an analysis of these inputs over the windows of the incident.
pub(crate) fn analyze<'a>(inputs: &[&'a str]) -> Vec<&'a str> {
    [&["analyze", "--incident", INCIDENT, "--baseline", BASELINE, "-o", "json"], inputs].concat()
}

/// The service that a JSON report names, and what kind of conclusion it is.
pub(crate) fn named(report: &str) -> (String, String) {
    let report: Value = serde_json::from_str(report).unwrap();
    let cause = report["causes"][0]["candidate"]["suspect"]["service"].as_str().unwrap_or_default();
    (report["verdict"].as_str().unwrap().to_owned(), cause.to_owned())
}

/// The folder of the incident: a pool that leaks its connections.
pub(crate) fn incident() -> &'static Path {
    static MADE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, case) = MADE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join("made");
        let kind = ["--system", "shop", "--fault", "pool-exhaustion", "--severity", "total", "--onset", "sudden"];
        let size = ["--seed", "5", "--spans", "30000", "--out", out.to_str().unwrap()];
        let output = hypocenter(&[&["simulate"], &kind[..], &size[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let case = out.join("shop/0000-pool-exhaustion-total");
        assert!(case.is_dir());
        (folder, case)
    });
    case
}

/// A file of the incident, unfolded.
pub(crate) fn unfolded(name: &str) -> Vec<u8> {
    zstd::stream::decode_all(std::fs::File::open(incident().join(name)).unwrap()).unwrap()
}

/// The address of a port at which nobody listens: it was free a moment ago.
pub(crate) fn nobody() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}
