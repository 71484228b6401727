//! A real Prometheus and a real VictoriaMetrics over the same OpenMetrics text, on ports of their own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

/// A server that ends with it.
pub(crate) struct Server {
    process: Child,
    port: u16,
    folder: TempDir,
}

/// Whether the program is there; where it must be, that it is not is a failure.
fn has(program: &str, package: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        let must = ["CI", "HYPOCENTER_REQUIRE_TOOLS"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!must, "{program} is missing, and here it must not be (Debian: apt-get install {package})");
        eprintln!("skipped: {program} is missing (Debian: apt-get install {package})");
    }
    found
}

/// Given back at once: another process may take it in between, which would fail the test by name.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Prometheus with this history; `None` where it is not installed.
    pub(crate) fn prometheus(text: &[u8]) -> Option<Self> {
        if !has("promtool", "prometheus") || !has("prometheus", "prometheus") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let (metrics, blocks) = (folder.path().join("metrics.om"), folder.path().join("blocks"));
        std::fs::write(&metrics, text).unwrap();
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&metrics, &blocks])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let port = free_port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", blocks.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--storage.tsdb.retention.time=100y")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { process, port, folder };
        server.wait("/-/ready");
        Some(server)
    }

    /// VictoriaMetrics with this history; `None` where it is not installed.
    pub(crate) fn victoria_metrics(text: &[u8]) -> Option<Self> {
        if !has("victoria-metrics", "victoria-metrics") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let process = Command::new("victoria-metrics")
            .arg(format!("-storageDataPath={}", folder.path().join("data").display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg("-retentionPeriod=100y")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { process, port, folder };
        server.wait("/health");
        let answer = server.request("POST", "/api/v1/import", &import_lines(text)).unwrap();
        assert!(answer.starts_with("HTTP/1.0 204") || answer.starts_with("HTTP/1.1 204"), "{answer}");
        let flushed = server.request("GET", "/internal/force_flush", b"").unwrap();
        assert!(flushed.contains(" 200 "), "{flushed}");
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn wait(&self, path: &str) {
        let begin = Instant::now();
        while !self.request("GET", path, b"").is_some_and(|answer| answer.contains(" 200 ")) {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(begin.elapsed() < Duration::from_secs(60), "the server does not become ready: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The whole answer; HTTP 1.0 is not chunked and ends with the connection.
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n").ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

/// OpenMetrics as the lines that VictoriaMetrics imports: a series with all its samples each.
fn import_lines(text: &[u8]) -> Vec<u8> {
    let mut series: Vec<(&str, Vec<f64>, Vec<i64>)> = Vec::new();
    let text = std::str::from_utf8(text).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (rest, at) = line.rsplit_once(' ').unwrap();
        let (name, value) = rest.rsplit_once(' ').unwrap();
        let at_ms = (at.parse::<f64>().unwrap() * 1000.0).round() as i64;
        if series.last().is_none_or(|last| last.0 != name) {
            series.push((name, Vec::new(), Vec::new()));
        }
        let last = series.last_mut().unwrap();
        last.1.push(value.parse().unwrap());
        last.2.push(at_ms);
    }
    let lines = series.into_iter().map(|(name, values, timestamps)| {
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let mut metric = serde_json::Map::from_iter([("__name__".to_owned(), json!(name))]);
        let mut rest = labels.trim_end_matches('}');
        while let Some((label, after)) = rest.split_once("=\"") {
            // Values of the simulation have no quotes.
            let (value, after) = after.split_once('"').unwrap();
            metric.insert(label.trim_start_matches(',').to_owned(), json!(value));
            rest = after;
        }
        json!({ "metric": metric, "values": values, "timestamps": timestamps }).to_string() + "\n"
    });
    lines.collect::<String>().into_bytes()
}
