//! A real Prometheus over a file of ours, on a port of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A server that ends with it.
pub(crate) struct Prometheus {
    server: Child,
    port: u16,
    folder: TempDir,
}

/// Whether the program is there; where it must be, that it is not is a failure.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        let must = ["CI", "HYPOCENTER_REQUIRE_TOOLS"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!must, "{program} is missing, and here it must not be (Debian: apt-get install prometheus)");
        eprintln!("skipped: {program} is missing (Debian: apt-get install prometheus)");
    }
    found
}

/// What `promtool` says; a failure is the test's.
fn promtool(arguments: &[&str], file: &Path, folder: Option<&Path>) -> String {
    let output = Command::new("promtool").args(arguments).arg(file).args(folder).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {told}");
    told
}

/// Checks a file of rules; what `promtool` says, or `None` where there is none.
pub(crate) fn check_rules(bytes: &[u8]) -> Option<String> {
    if !has("promtool") {
        return None;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, bytes).unwrap();
    Some(promtool(&["check", "rules"], &file, None))
}

impl Prometheus {
    /// A server that has loaded this OpenMetrics text; `None` where the programs are missing.
    pub(crate) fn over(text: &[u8]) -> Option<Self> {
        if !has("promtool") || !has("prometheus") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let (metrics, blocks) = (folder.path().join("metrics.om"), folder.path().join("blocks"));
        std::fs::write(&metrics, text).unwrap();
        promtool(&["tsdb", "create-blocks-from", "openmetrics"], &metrics, Some(&blocks));
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        // Given back at once: another process may take it in between, which would fail the test by name.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", blocks.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--storage.tsdb.retention.time=100y")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let prometheus = Self { server, port, folder };
        prometheus.wait();
        Some(prometheus)
    }

    fn wait(&self) {
        let begin = Instant::now();
        while !self.get("/-/ready").is_some_and(|answer| answer.contains(" 200 ")) {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(begin.elapsed() < Duration::from_secs(60), "Prometheus does not become ready: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The whole answer; HTTP 1.0 is not chunked and ends with the connection.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn ask(&self, path: &str) -> Value {
        let answer = self.get(path).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], "success", "{path}: {body}");
        body["data"]["result"].take()
    }

    /// Values of an expression at equidistant instants; one without a value is `None`. It has at most one series.
    pub(crate) fn query_range(&self, expression: &str, instants: &[i64], step_s: i64) -> Vec<Option<f64>> {
        let (start, end) = (seconds(instants[0]), seconds(instants[instants.len() - 1]));
        let expression = encoded(expression);
        let answer = self.ask(&format!("/api/v1/query_range?query={expression}&start={start}&end={end}&step={step_s}"));
        let series = answer.as_array().unwrap();
        assert!(series.len() <= 1, "{answer}");
        let values: Vec<(i64, f64)> = series.iter().flat_map(|series| samples(&series["values"])).collect();
        let value = |at_ns: &i64| values.iter().find(|(at_ms, _)| *at_ms == at_ns / 1_000_000).map(|value| value.1);
        instants.iter().map(value).collect()
    }

    /// All series of an expression at an instant: one label and the value, in order.
    pub(crate) fn query(&self, expression: &str, at_ns: i64, label: &str) -> Vec<(String, f64)> {
        let answer = self.ask(&format!("/api/v1/query?query={}&time={}", encoded(expression), seconds(at_ns)));
        let series = answer.as_array().unwrap().iter();
        let mut found: Vec<(String, f64)> = series
            .map(|series| (series["metric"][label].as_str().unwrap_or_default().to_owned(), sample(&series["value"]).1))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let ended = self.server.kill().and_then(|()| self.server.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

fn seconds(at_ns: i64) -> String {
    format!("{}.{:03}", at_ns / 1_000_000_000, at_ns / 1_000_000 % 1000)
}

fn samples(values: &Value) -> Vec<(i64, f64)> {
    values.as_array().unwrap().iter().map(sample).collect()
}

/// Milliseconds and value.
fn sample(pair: &Value) -> (i64, f64) {
    ((pair[0].as_f64().unwrap() * 1000.0).round() as i64, pair[1].as_str().unwrap().parse().unwrap())
}

fn encoded(text: &str) -> String {
    let letter = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(letter).collect()
}
