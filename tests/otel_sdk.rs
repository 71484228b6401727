//! Real clients: a shop instrumented with the official OpenTelemetry SDK (Python, from PyPI) sends spans, metrics and logs
//! to a receiver in this test, which keeps them as files; these are analysed by the program.
//!
//! Runs with the Python that `HYPOCENTER_PYTHON` names (as `.ci/run` does), which then must have the SDK; else with `python3`
//! if that has it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

#[test]
fn what_the_official_sdk_sends_is_read_and_analysed() {
    let named = std::env::var("HYPOCENTER_PYTHON").ok();
    let python = named.clone().unwrap_or_else(|| "python3".to_owned());
    let import = "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http";
    if !Command::new(&python).args(["-c", import]).output().is_ok_and(|output| output.status.success()) {
        assert_eq!(named, None, "the Python that HYPOCENTER_PYTHON names has no OpenTelemetry SDK");
        println!("skipped: {python} has no opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let collector = receive_into(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otel_sdk/shop.py");
    let shop = Command::new(&python).arg(script).args([collector.as_str(), "16"]).output().unwrap();
    assert!(shop.status.success(), "{}", String::from_utf8_lossy(&shop.stderr));
    let windows = String::from_utf8(shop.stdout).unwrap();
    let windows: Vec<String> = windows.lines().map(|line| line.replace(' ', "/")).collect();

    let analysed = Command::new(env!("CARGO_BIN_EXE_hypocenter"))
        .args(["analyze", "-o", "json", "--baseline", &windows[0], "--incident", &windows[1]])
        .args(["--traces", "traces", "--metrics", "metrics", "--logs", "logs"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(analysed.status.success(), "{}", String::from_utf8_lossy(&analysed.stderr));
    let report: Value = serde_json::from_slice(&analysed.stdout).unwrap();
    assert_eq!(report["verdict"], "cause_found", "{report:#}");
    assert_eq!(report["causes"][0]["candidate"]["suspect"]["service"], "cart", "{report:#}");
    assert_eq!(report["coverage"]["orphans"], 0, "{report:#}");
    assert!(report["coverage"]["series"].as_u64().is_some_and(|series| series >= 4), "{report:#}");
    // The lock that the cart waited for is in no span.
    assert!(report["logs"].to_string().contains("waited <*> ms for lock"), "{report:#}");
}

/// Starts a receiver of OTLP over HTTP on loopback that keeps every body as a file, in a folder for each signal; gives its address.
fn receive_into(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    let bodies: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    // Both end with the test's process.
    thread::spawn(move || {
        for connection in listener.incoming() {
            let folder = folder.clone();
            thread::spawn(move || keep_bodies(connection.unwrap(), &folder, bodies));
        }
    });
    address
}

/// Answers the requests of one connection. The test fails for want of telemetry where this fails.
fn keep_bodies(mut connection: TcpStream, folder: &Path, bodies: &AtomicUsize) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let signal = request.split([' ', '/']).find(|word| ["traces", "metrics", "logs"].contains(word)).unwrap();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            match header.trim_end().to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let folder: PathBuf = folder.join(signal);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{:06}.pb", bodies.fetch_add(1, Ordering::Relaxed))), body).unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
}
