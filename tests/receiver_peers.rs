//! Real components send to `hypocenter serve`: the official OpenTelemetry SDK over both transports, a real collector in
//! front, a real Prometheus that remote-writes. What they sent is analysed from the store while the receiver runs.
//!
//! The SDK and the collector `rotel` come from PyPI and are those of the Python that `HYPOCENTER_PYTHON` names (as `.ci/run`
//! does), which then must have them; else of `python3` if that has them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hypocenter::ingest::{ReadOptions, finish};
use hypocenter::telemetry::series::Signal;
use hypocenter::telemetry::time::Window;
use receiver::Receiver;
use serde_json::Value;

#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;

/// Python with these modules; `None` where there is none.
fn python_with(modules: &str) -> Option<String> {
    let named = std::env::var("HYPOCENTER_PYTHON").ok();
    let python = named.clone().unwrap_or_else(|| "python3".to_owned());
    let import = format!("import {modules}");
    if Command::new(&python).args(["-c", &import]).output().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert_eq!(named, None, "the Python that HYPOCENTER_PYTHON names lacks one of {modules}");
    println!("skipped: {python} lacks one of {modules}");
    None
}

const SDK: &str =
    "opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http, opentelemetry.exporter.otlp.proto.grpc.trace_exporter";

/// Plays the shop against a collector and analyses what came into the store.
fn the_cart_is_named(python: &str, shop: &[&str], data: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otel_sdk/shop.py");
    let shop = Command::new(python).arg(script).args(shop).output().unwrap();
    assert!(shop.status.success(), "{}", String::from_utf8_lossy(&shop.stderr));
    assert!(shop.stderr.is_empty(), "the SDK complains: {}", String::from_utf8_lossy(&shop.stderr));
    let windows = String::from_utf8(shop.stdout).unwrap();
    let windows: Vec<String> = windows.lines().map(|line| line.replace(' ', "/")).collect();
    // A collector in front hands on what it has in its own time.
    let mut report = Value::Null;
    for _ in 0..10 {
        let analysed = Command::new(env!("CARGO_BIN_EXE_hypocenter"))
            .args(["analyze", "-o", "json", "--baseline", &windows[0], "--incident", &windows[1], "--data"])
            .arg(data)
            .output()
            .unwrap();
        assert!(analysed.status.success(), "{}", String::from_utf8_lossy(&analysed.stderr));
        report = serde_json::from_slice(&analysed.stdout).unwrap();
        if report["coverage"]["orphans"] == 0 && report["logs"].to_string().contains("waited") {
            break;
        }
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(report["verdict"], "cause_found", "{report:#}");
    assert_eq!(report["causes"][0]["candidate"]["suspect"]["service"], "cart", "{report:#}");
    assert_eq!(report["coverage"]["orphans"], 0, "{report:#}");
    assert!(report["coverage"]["series"].as_u64().is_some_and(|series| series >= 4), "{report:#}");
    assert!(report["logs"].to_string().contains("waited <*> ms for lock"), "{report:#}");
}

#[test]
fn the_official_sdk_sends_over_http() {
    let Some(python) = python_with(SDK) else { return };
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(folder.path(), &[]);
    the_cart_is_named(&python, &[&format!("http://{}", receiver.http), "16"], folder.path());
}

#[test]
fn the_official_sdk_sends_over_grpc() {
    let Some(python) = python_with(SDK) else { return };
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(folder.path(), &[]);
    the_cart_is_named(&python, &[&format!("http://{}", receiver.grpc), "16", "grpc"], folder.path());
}

/// A process that is killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn rotel(python: &str) -> PathBuf {
    let find = "import rotel, os; print(os.path.join(list(rotel.__path__)[0], 'rotel-agent'))";
    let output = Command::new(python).args(["-c", find]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

#[test]
fn a_real_collector_stands_in_front() {
    let Some(python) = python_with(&format!("{SDK}, rotel")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&folder.path().join("data"), &[]);
    let [grpc, http] = [free_address(), free_address()];
    let log = fs::File::create(folder.path().join("rotel.log")).unwrap();
    let _collector = Peer(
        Command::new(rotel(&python))
            .args(["start", "--otlp-grpc-endpoint", &grpc, "--otlp-http-endpoint", &http, "--exporter", "otlp"])
            .args([
                "--otlp-exporter-endpoint",
                &format!("http://{}", receiver.grpc),
                "--otlp-exporter-protocol",
                "grpc",
            ])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    for _ in 0..100 {
        if std::net::TcpStream::connect(&http).is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    the_cart_is_named(&python, &[&format!("http://{http}"), "16"], &folder.path().join("data"));
}

#[test]
fn a_real_prometheus_remote_writes() {
    if !Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no prometheus");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let receiver = Receiver::start(&data, &[]);
    let address = free_address();
    let settings = format!(
        "global:\n  scrape_interval: 500ms\nscrape_configs:\n- job_name: prometheus\n  static_configs:\n  \
         - targets: ['{address}']\n- job_name: receiver\n  static_configs:\n  - targets: ['{web}']\nremote_write:\n\
         - url: http://{web}/api/v1/write\n",
        web = receiver.web
    );
    fs::write(folder.path().join("prometheus.yml"), settings).unwrap();
    let now_ns = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let start_ns = now_ns();
    let prometheus = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", &format!("--web.listen-address={address}")])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let prometheus = Peer(prometheus.unwrap());
    let options = ReadOptions::default();
    let read = |end_ns| {
        let mut read = hypocenter::store::read(&data, &[Window::new(start_ns, end_ns).unwrap()], &options).unwrap();
        finish(&mut read, &options);
        read
    };
    let cpu_of = |read: &hypocenter::ingest::Telemetry| {
        let series = read.series.iter().filter(|series| series.signal == Signal::Cpu);
        series.map(|series| (series.subject.to_string(), series.samples.len())).collect::<Vec<_>>()
    };
    for _ in 0..60 {
        thread::sleep(Duration::from_millis(500));
        if cpu_of(&read(now_ns())).iter().any(|(_, samples)| *samples >= 6) {
            break;
        }
    }
    drop(prometheus);
    let end_ns = now_ns();
    let live = read(end_ns);
    assert!(cpu_of(&live).iter().any(|(_, samples)| *samples >= 6), "{:?}, {:?}", cpu_of(&live), live.warnings);
    assert!(receiver.stop().success());
    let closed = read(end_ns);
    assert_eq!(cpu_of(&closed), cpu_of(&live), "from segments as from the log");
    assert_eq!(closed.series.len(), live.series.len());
}
