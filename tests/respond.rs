//! `hypocenter serve` as a process of its own: spans in, an alert in, the report out; then an incident that looks the same,
//! whose report names the first one with the cause that was confirmed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::{Value, json};

use receiver::otlp_messages::TracesData;
use receiver::{Client, Receiver, message};

#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;

const SECOND: u64 = 1_000_000_000;
/// 2026-03-02T10:00:00Z.
const START_NS: u64 = 1_772_445_600 * SECOND;

/// Half an hour of requests from an hour after `START_NS` on, of which the last ten minutes are slow inside `items`.
fn spans(hour: u64) -> Vec<u8> {
    let start_ns = START_NS + hour * 3_600 * SECOND;
    let bytes = message(hour * 100_000..hour * 100_000 + 4_800, start_ns, 1_800 * SECOND);
    let mut traces = TracesData::decode(&*bytes).unwrap();
    let spans =
        traces.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans).flat_map(|s| &mut s.spans);
    for span in spans.filter(|span| span.start_time_unix_nano >= start_ns + 1_200 * SECOND) {
        span.end_time_unix_nano += 400_000_000;
    }
    traces.encode_to_vec()
}

fn alert(hour: u64, status: &str) -> String {
    let at = |minute: u64| format!("2026-03-02T{:02}:{minute:02}:00Z", 10 + hour);
    json!({
        "version": "4", "receiver": "rca", "status": status, "groupKey": "g",
        "alerts": [{
            "status": status, "startsAt": at(23), "endsAt": at(30), "fingerprint": "f",
            "labels": { "alertname": "HighLatency" }, "annotations": { "summary": "p99 above 300 ms" },
            "generatorURL": "http://prometheus:9090/graph?g0.expr=latency%7Bservice%3D%22frontend%22%7D+%3E+0.3",
        }],
    })
    .to_string()
}

struct Server {
    receiver: Receiver,
    client: reqwest::Client,
}

impl Server {
    async fn get(&self, path: &str) -> String {
        let answer = self.client.get(format!("http://{}{path}", self.receiver.web)).send().await.unwrap();
        answer.text().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await).unwrap()
    }

    async fn post(&self, path: &str, body: String) -> (u16, Value) {
        let answer = self.client.post(format!("http://{}{path}", self.receiver.web)).body(body).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// Waits for a version of an incident's report.
    async fn report(&self, id: u32, version: u64) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let incident = self.json(&format!("/api/v1/incidents/{id}")).await;
            if incident["data"]["report"]["version"].as_u64() >= Some(version) {
                return self.json(&format!("/api/v1/incidents/{id}/report?version={version}")).await;
            }
            assert!(Instant::now() < deadline, "{incident:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_follows_the_alert_and_names_an_earlier_incident_that_looked_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (data, settings) = (folder.path().join("data"), folder.path().join("settings.toml"));
    fs::write(&settings, "[incidents]\nanalyse_after = \"200ms\"\nagain_after = [\"1h\"]\ngroup_within = \"1ms\"\n")
        .unwrap();
    let receiver = Receiver::start(&data, &["--config", settings.to_str().unwrap()]);
    for hour in [0, 1] {
        assert!(Client::new().export(&receiver.grpc, "trace.v1.TraceService", &spans(hour)).await.unwrap().is_ok());
    }
    let server = Server { receiver, client: reqwest::Client::builder().no_proxy().build().unwrap() };

    // A deployment is told, and an alert fires, whose expression alone names the service.
    let deploy = json!({ "time": "2026-03-02T10:19:30Z", "service": "items", "kind": "deploy", "version": "2.0" });
    assert_eq!(server.post("/api/v1/changes", deploy.to_string()).await.0, 200);
    assert_eq!(server.post("/api/v1/alerts", alert(0, "firing")).await.1["data"]["new"], 1);
    let first = server.report(1, 1).await;
    assert_eq!(
        (&first["verdict"], &first["causes"][0]["candidate"]["suspect"]["service"]),
        (&json!("cause_found"), &json!("items")),
        "{first:#}"
    );
    assert_eq!(first["symptoms"][0]["entry"], "frontend");
    assert_eq!(first["changes"][0]["version"], "2.0");
    assert_eq!(first["history"], json!({ "version": 1, "changed": [], "similar": [] }));
    for (format, part) in [("text", "CAUSE FOUND  items"), ("markdown", "## Cause found: items")] {
        let report = server.get(&format!("/api/v1/incidents/1/report?format={format}")).await;
        assert!(report.contains(part), "{report}");
    }
    assert!(server.get("/incidents/1").await.contains("CAUSE FOUND  items"));
    assert!(server.get("/api/v1/graph?window=2026-03-02T10:00:00Z/30m&format=mermaid").await.contains("items"));

    // It ends, and is analysed once more; somebody says what it was.
    assert_eq!(server.post("/api/v1/alerts", alert(0, "resolved")).await.1["data"]["resolved"], 1);
    server.report(1, 2).await;
    let (status, kept) =
        server.post("/api/v1/incidents/1/feedback", json!({ "cause": "items", "note": "a lock" }).to_string()).await;
    assert_eq!((status, kept.get("warnings")), (200, None), "{kept}");
    let case = kept["data"]["case"].as_str().unwrap();
    let analysed =
        Command::new(env!("CARGO_BIN_EXE_hypocenter")).args(["analyze", "-o", "json", "--case", case]).output();
    let again: Value = serde_json::from_slice(&analysed.unwrap().stdout).unwrap();
    assert_eq!(again["causes"][0]["candidate"]["suspect"]["service"], "items");
    let evaluated = Command::new(env!("CARGO_BIN_EXE_hypocenter"))
        .args(["eval", "--format", "case", "-o", "json"])
        .arg(data.join("cases"))
        .output();
    let evaluated = evaluated.unwrap();
    let figures: Value = serde_json::from_slice(&evaluated.stdout).expect("eval reads exported cases");
    assert!(figures.to_string().contains("\"hypocenter\""), "{figures}");

    // An hour later the same happens again, and a window is asked for by hand.
    server.post("/api/v1/alerts", alert(1, "firing")).await;
    let second = server.report(2, 1).await;
    let similar = &second["history"]["similar"][0];
    assert_eq!((&similar["incident"], &similar["confirmed_cause"]), (&json!("1"), &json!("items")), "{second:#}");
    let asked = json!({ "incident": "2026-03-02T10:20:00Z/10m", "baselines": ["2026-03-02T10:00:00Z/20m"] });
    let (status, asked) = server.post("/api/v1/analyses", asked.to_string()).await;
    assert_eq!((status, &asked["data"]["id"]), (202, &json!("3")));
    let third = server.report(3, 1).await;
    assert_eq!(third["causes"][0]["candidate"]["suspect"]["service"], "items");
    assert_eq!(third["baselines"][0]["start"], "2026-03-02T10:00:00Z");
    assert!(server.receiver.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_brings_other_settings_and_a_broken_file_none() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "[incidents]\nmost_waiting = 1\nanalyse_after = \"1h\"\n").unwrap();
    let arguments = ["--config", settings.to_str().unwrap(), "--web.enable-lifecycle"];
    let receiver = Receiver::start(&folder.path().join("data"), &arguments);
    let server = Server { receiver, client: reqwest::Client::builder().no_proxy().build().unwrap() };
    let alert = |service: &str| {
        let labels = json!({ "alertname": "A", "service": service });
        json!({ "alerts": [{ "status": "firing", "startsAt": "2026-03-02T10:00:00Z", "labels": labels }] }).to_string()
    };
    assert_eq!(server.post("/api/v1/alerts", alert("a")).await.0, 200);
    assert_eq!(server.post("/api/v1/alerts", alert("b")).await.0, 503, "never 429, which is not tried again");
    fs::write(&settings, "[incidents]\nmost_waitng = 2\n").unwrap();
    assert_eq!(server.post("/-/reload", String::new()).await.0, 500);
    assert_eq!(server.post("/api/v1/alerts", alert("b")).await.0, 503);
    fs::write(&settings, "[incidents]\nmost_waiting = 2\nanalyse_after = \"1h\"\n").unwrap();
    let url = format!("http://{}/-/reload", server.receiver.web);
    assert_eq!(server.client.post(url).send().await.unwrap().status(), 200);
    assert_eq!(server.post("/api/v1/alerts", alert("b")).await.0, 200);
}

/// Schemathesis (PyPI, of the Python that `HYPOCENTER_PYTHON` names) makes requests of the description, valid and invalid:
/// nothing is a server error, and every answer is one that is described.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_the_answer_is_as_described() {
    let named = std::env::var("HYPOCENTER_PYTHON").ok();
    let python = named.clone().unwrap_or_else(|| "python3".to_owned());
    let has = |module: &str| Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if !has("schemathesis").is_ok_and(|output| output.status.success()) {
        assert_eq!(named, None, "the Python that HYPOCENTER_PYTHON names has no schemathesis");
        println!("skipped: there is no schemathesis (PyPI)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&folder.path().join("data"), &[]);
    let url = format!("http://{}/api/v1/openapi.json", receiver.web);
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())";
    let tried = Command::new(&python)
        .current_dir(folder.path())
        .args(["-c", program, "run", &url, "--max-examples", "10", "--seed", "1", "--checks", checks])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&tried.stdout);
    assert!(tried.status.success(), "{told}{}", String::from_utf8_lossy(&tried.stderr));
    assert!(told.contains("Tested: 11"), "{told}");
}
