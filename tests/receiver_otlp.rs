//! `hypocenter serve` as a process: a recorded incident sent to it over both transports is analysed as from its files, and
//! what it refuses it refuses as OTLP specifies.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use receiver::{Client, Receiver, message};
use serde_json::{Value, json};

#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
/// 2026-03-02T10:00:00Z.
const START_NS: u64 = 1_772_445_600_000_000_000;

fn run(arguments: &[&str], folder: &Path) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_hypocenter")).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn analysed(inputs: &[&str], windows: &[String; 2], folder: &Path) -> Value {
    let arguments = ["analyze", "-o", "json", "--incident", &windows[0], "--baseline", &windows[1]];
    let mut report: Value = serde_json::from_slice(&run(&[&arguments[..], inputs].concat(), folder)).unwrap();
    // Only a single file gives its name to the incident.
    report["name"] = Value::Null;
    report
}

/// A simulated incident: its folder and its windows, the incident first.
fn simulated(folder: &Path, format: &str) -> (PathBuf, [String; 2]) {
    run(&["simulate", "--out", format, "--traces", format, "--system", "shop", "--fault", "disk-saturation"], folder);
    let shop = folder.join(format).join("shop");
    let case = fs::read_dir(shop).unwrap().next().unwrap().unwrap().path();
    let table: toml::Table = fs::read_to_string(case.join("case.toml")).unwrap().parse().unwrap();
    let at = |table: &toml::Value, key: &str| table[key].as_datetime().unwrap().to_string();
    let window = |table: &toml::Value| format!("{}/{}", at(table, "start"), at(table, "end"));
    (case, [window(&table["incident"]), window(&table["baseline"][0])])
}

fn unpacked(path: &Path) -> Vec<u8> {
    zstd::decode_all(fs::File::open(path).unwrap()).unwrap()
}

/// The store while it is written to: its extent, its services, and a command that works.
fn the_doctor_knows_the_store(windows: &[String; 2], folder: &Path) {
    let asked = ["doctor", "--data", "data", "--incident", &windows[0], "--baseline", &windows[1]];
    let told: Value = serde_json::from_slice(&run(&[&asked[..], &["-o", "json"]].concat(), folder)).unwrap();
    let extent = told["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == "store_extent");
    assert!(extent.is_some_and(|finding| finding["what"].as_str().unwrap().contains(" reaches from 20")), "{told:#}");
    assert!(told["nodes"].as_array().is_some_and(|nodes| nodes.len() > 3), "{told:#}");
    let command = told["command"].as_str().unwrap();
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    assert!(words.contains(&"--data") && !run(&words, folder).is_empty(), "{command}");
    // Without windows the end of what there is, which holds spans.
    let told = String::from_utf8(run(&["doctor", "--data", "data"], folder)).unwrap();
    assert!(told.contains("looked at: "), "{told}");
    let elsewhere = ["doctor", "--data", "data", "--incident", "2020-03-02T10:00:00Z/5m"];
    let output = Command::new(env!("CARGO_BIN_EXE_hypocenter")).args(elsewhere).current_dir(folder).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("none of the windows lies in it"), "{told}");
}

#[tokio::test]
async fn an_incident_over_grpc_is_analysed_as_from_its_file_while_it_runs_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let (case, windows) = simulated(folder.path(), "otlp-protobuf");
    let data = folder.path().join("data");
    let receiver = Receiver::start(&data, &[]);
    let client = Client::new();
    let bytes = unpacked(&case.join("traces.pb.zst"));
    let mut rest = bytes.as_slice();
    // As the collector's file exporter writes it: a length before each message.
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (message, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        let answer = client.export(&receiver.grpc, "trace.v1.TraceService", message).await.unwrap();
        assert!(answer.is_ok() && answer.message.is_empty(), "{:?}", answer.code);
        rest = after;
    }
    let expected = analysed(&["--traces", case.join("traces.pb.zst").to_str().unwrap()], &windows, folder.path());
    assert_eq!(expected["verdict"], "cause_found");
    assert!(analysed(&["--data", "data"], &windows, folder.path()) == expected, "from the log");
    the_doctor_knows_the_store(&windows, folder.path());
    assert!(receiver.stop().success());
    assert_eq!(fs::read_dir(data.join("log")).unwrap().count(), 0, "a stop closes the log");
    assert!(analysed(&["--data", "data"], &windows, folder.path()) == expected, "from segments");
    let alert = case.join("alert.json");
    let alerted = run(&["analyze", "-o", "json", "--data", "data", "--alert", alert.to_str().unwrap()], folder.path());
    let alerted: Value = serde_json::from_slice(&alerted).unwrap();
    assert_eq!(alerted["causes"][0]["candidate"]["suspect"], expected["causes"][0]["candidate"]["suspect"]);
    for windows in [&[][..], &["--incident", "2020-03-02T10:00:00Z/5m"]] {
        let arguments = [&["analyze", "--data", "data"], windows].concat();
        let refused =
            Command::new(env!("CARGO_BIN_EXE_hypocenter")).args(arguments).current_dir(folder.path()).output();
        let refused = refused.unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("the store data reaches from 20"));
    }
    let segments = fs::read_dir(data.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let segments: Vec<String> = segments.map(|path| path.to_str().unwrap().to_owned()).collect();
    let direct: Vec<&str> = std::iter::once("--traces").chain(segments.iter().map(String::as_str)).collect();
    assert!(analysed(&direct, &windows, folder.path()) == expected, "segments as files");
}

#[tokio::test]
async fn an_incident_over_http_in_json_and_gzip_is_analysed_as_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (case, windows) = simulated(folder.path(), "otlp-json");
    let receiver = Receiver::start(&folder.path().join("data"), &[]);
    let client = Client::new();
    let url = format!("http://{}/v1/traces", receiver.http);
    let mut traces = fs::read_dir(&case).unwrap().map(|entry| entry.unwrap().path());
    let traces = traces.find(|path| path.to_string_lossy().contains("traces.")).unwrap();
    let text = String::from_utf8(unpacked(&traces)).unwrap();
    for (number, line) in text.lines().enumerate() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(line.as_bytes()).unwrap();
        let answer = match number % 2 {
            0 => client.post(&url, &[JSON], line.into()).await.unwrap(),
            _ => client.post(&url, &[JSON, GZIP], packed.finish().unwrap()).await.unwrap(),
        };
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.bytes().await.unwrap(), "{}");
    }
    let expected = analysed(&["--traces", traces.to_str().unwrap()], &windows, folder.path());
    assert_eq!(expected["verdict"], "cause_found");
    assert!(analysed(&["--data", "data"], &windows, folder.path()) == expected);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_as_specified() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "[serve]\nmax_request_size = \"1MiB\"\n").unwrap();
    let receiver = Receiver::start(&folder.path().join("data"), &["--config", settings.to_str().unwrap()]);
    let client = Client::new();
    let url = format!("http://{}/v1/traces", receiver.http);

    let answer = client.post(&url, &[PROTOBUF], b"\x0a\x7fabc".into()).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (400, &PROTOBUF.1.parse().unwrap()));
    let status = answer.bytes().await.unwrap();
    assert!(status.starts_with(b"\x08\x03\x12") && String::from_utf8_lossy(&status).contains("broken protobuf"));
    let answer = client.post(&url, &[JSON], b"{\"resourceSpans\":[".into()).await.unwrap();
    assert_eq!(answer.status(), 400);
    let status: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(status["code"], 3);

    let logs = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [
        { "timeUnixNano": START_NS.to_string(), "body": { "stringValue": "it broke" } }] }],
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "cart" } }] } }] });
    let answer = client.post(&url, &[JSON], logs.to_string().into()).await.unwrap();
    assert_eq!(answer.status(), 400, "logs where traces belong");

    // Small as it comes, large unfolded.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![0; 2 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 10_000);
    assert_eq!(client.post(&url, &[PROTOBUF, GZIP], packed.clone()).await.unwrap().status(), 413);
    assert_eq!(client.post(&url, &[PROTOBUF, GZIP], b"no gzip".into()).await.unwrap().status(), 400);
    assert_eq!(client.post(&url, &[("content-type", "text/plain")], vec![]).await.unwrap().status(), 415);
    assert_eq!(client.post(&url, &[PROTOBUF, ("content-encoding", "br")], vec![]).await.unwrap().status(), 415);

    let call = |service: &'static str, message: Vec<u8>| {
        let (client, address) = (client.clone(), receiver.grpc.clone());
        async move { client.export(&address, service, &message).await.unwrap().code }
    };
    assert_eq!(call("trace.v1.TraceService", b"\x0a\x7fabc".into()).await, Some(3));
    assert_eq!(call("trace.v1.Other", vec![]).await, Some(12));
    assert!(call("trace.v1.TraceService", vec![0; 2 << 20]).await.is_some());

    let unfolded = client.call(&receiver.grpc, "trace.v1.TraceService", "gzip", &packed).await.unwrap();
    assert_eq!((unfolded.code, unfolded.details.as_str()), (Some(8), ""), "too large, and not to be tried again");

    let write = format!("http://{}/api/v1/write", receiver.web);
    let version_2 = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    assert_eq!(client.post(&write, &[version_2, ("content-encoding", "snappy")], vec![]).await.unwrap().status(), 415);
    assert_eq!(client.post(&write, &[PROTOBUF], b"no snappy".into()).await.unwrap().status(), 400);
    for path in ["healthy", "ready"] {
        let url = format!("http://{}/-/{path}", receiver.web);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn spans_that_make_no_sense_are_told_and_the_others_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let receiver = Receiver::start(&data, &[]);
    let client = Client::new();
    let span = |id: &str| {
        json!({ "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": id, "name": "a",
                "startTimeUnixNano": START_NS.to_string(), "endTimeUnixNano": (START_NS + 5).to_string() })
    };
    let spans = json!([span("0102030405060708"), span("0000000000000000"), span("none")]);
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string();
    let url = format!("http://{}/v1/traces", receiver.http);
    let answer = client.post(&url, &[JSON], body.into()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "2");
    assert!(answer["partialSuccess"]["errorMessage"].as_str().is_some_and(|reason| reason.contains("span id")));
    receiver.stop();
    let window = hypocenter::telemetry::time::Window::new(START_NS as i64, START_NS as i64 + 1).unwrap();
    let read = hypocenter::store::read(&data, &[window], &Default::default()).unwrap();
    assert_eq!(read.spans.id, [0x0102_0304_0506_0708]);
}

/// Sends all but the end of a body and keeps the connection.
fn hold(address: &str, bytes: usize) -> TcpStream {
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        bytes + 1
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&vec![0x0a; bytes]).unwrap();
    connection
}

#[tokio::test]
async fn over_its_memory_it_says_when_to_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    let limits = "[serve]\nmax_request_size = \"1MiB\"\nmemory_limit = \"2MiB\"\nrequest_timeout = \"4s\"\n";
    fs::write(&settings, limits).unwrap();
    let receiver = Receiver::start(&folder.path().join("data"), &["--config", settings.to_str().unwrap()]);
    let client = Client::new();
    let url = format!("http://{}/v1/traces", receiver.http);
    let metrics = format!("http://{}/metrics", receiver.web);
    let mut held = [hold(&receiver.http, 1_048_000), hold(&receiver.http, 1_048_000)];
    // Until both are counted.
    for _ in 0..100 {
        let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
        if text.lines().any(|line| line == "hypocenter_receiver_memory_bytes 2096000") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let spans = message(0..100, START_NS, 1_000_000_000);
    let answer = client.post(&url, &[PROTOBUF], spans.clone()).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert!(answer.bytes().await.unwrap().starts_with(b"\x08\x0e\x12"), "UNAVAILABLE");
    let answer = client.export(&receiver.grpc, "trace.v1.TraceService", &spans).await.unwrap();
    assert_eq!(answer.code, Some(14));
    // The end of "google.rpc.RetryInfo" in base64.
    assert!(answer.details.contains("ZXRyeUluZm8"), "{}", answer.details);
    // Who does not go on sending is given up, and its memory with it.
    let mut answer = String::new();
    held[0].set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    held[0].read_to_string(&mut answer).ok();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.post(&url, &[PROTOBUF], spans.clone()).await.unwrap().status(), 200);
    assert!(client.export(&receiver.grpc, "trace.v1.TraceService", &spans).await.unwrap().is_ok());
}

#[test]
fn a_start_that_fails_says_why_and_leaves_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    fs::create_dir(folder.path().join("letters")).unwrap();
    fs::write(folder.path().join("letters/one.txt"), "dear").unwrap();
    let free = "127.0.0.1:0";
    for (data, grpc, http, expected) in [
        ("new", taken.as_str(), free, "cannot listen on"),
        ("new", "localhost:4317", free, "an IP address, not a name"),
        ("new", "127.0.0.1:1", "127.0.0.1:1", "serve.grpc_address and serve.http_address are the same"),
        ("letters", free, free, "this folder holds other things and no store"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypocenter"));
        command.args(["serve", "--data", data, "--otlp.grpc-address", grpc, "--otlp.http-address", http]);
        let output = command.args(["--web.listen-address", free]).current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(expected), "{told}");
    }
    assert!(!folder.path().join("new").exists());
    assert_eq!(fs::read_dir(folder.path().join("letters")).unwrap().count(), 1);
}

/// A log that cannot grow, as on a disk that is full.
#[tokio::test]
async fn a_disk_that_takes_no_more_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new("bash");
    // `ulimit -f` counts kibibytes. The signal that would end the process is ignored, and the write fails instead.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$@\"";
    command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_hypocenter"), "serve", "--data"]).arg(&data);
    for flag in ["--otlp.grpc-address", "--otlp.http-address", "--web.listen-address"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let receiver = Receiver::spawn(&mut command);
    let client = Client::new();
    let url = format!("http://{}/v1/traces", receiver.http);
    let (mut taken, mut deferred) = (0, 0);
    for number in 0..40 {
        let spans = message(number * 100..(number + 1) * 100, START_NS, 1_000_000_000);
        match client.post(&url, &[PROTOBUF], spans).await.unwrap().status().as_u16() {
            200 => taken += 100,
            503 => deferred += 1,
            other => panic!("{other}"),
        }
    }
    assert!(taken > 0 && deferred > 0, "{taken} spans taken, {deferred} requests deferred");
    receiver.stop();
    let window = hypocenter::telemetry::time::Window::new(START_NS as i64, START_NS as i64 + 1).unwrap();
    let read = hypocenter::store::read(&data, &[window], &Default::default()).unwrap();
    assert_eq!(read.spans.len(), taken);
}
