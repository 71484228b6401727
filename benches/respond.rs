//! Webhooks to `hypocenter serve` as a whole process on loopback: 1,000 a second, of which one in fifty has a new alert and
//! the others repeat what came before. How long answers take, memory meanwhile, and whether each incident was analysed once.
//!
//! `HYPOCENTER_BENCH_SECONDS` says how long (default 10; 1 with `--test`). The sender runs on the same processors.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking and prints its figures")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use receiver::{Client, Receiver, message};
use serde_json::{Value, json};

#[path = "../tests/support/receiver.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod receiver;

/// 2026-03-02T10:00:00Z.
const START_NS: u64 = 1_772_445_600_000_000_000;
const RATE: f64 = 1_000.0;
const NEW_ONE_IN: u64 = 50;
const SENDERS: u64 = 16;
/// Services that nothing relates: alerts of each are an incident.
const SERVICES: u64 = 40;

fn body(number: u64) -> Vec<u8> {
    let alert = number / NEW_ONE_IN;
    // Of each alert, its repetitions; of each service, alert after alert.
    let (service, start) = (format!("service-{}", alert % SERVICES), alert / SERVICES);
    json!({
        "version": "4", "receiver": "rca", "status": "firing", "groupKey": service,
        "alerts": [{
            "status": "firing", "startsAt": format!("2026-03-02T10:20:{:02}Z", start % 60), "fingerprint": alert.to_string(),
            "endsAt": "0001-01-01T00:00:00Z", "labels": { "alertname": "HighLatency", "service": service },
            "annotations": { "summary": "p99 above 2 s for five minutes" },
        }],
    })
    .to_string()
    .into_bytes()
}

async fn send(url: String, next: Arc<AtomicU64>, most: u64, started: Instant) -> Vec<Duration> {
    let client = Client::new();
    let mut took = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= most {
            return took;
        }
        let due = started + Duration::from_secs_f64(number as f64 / RATE);
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now();
        let answer = client.post(&url, &[("content-type", "application/json")], body(number)).await.unwrap();
        let status = answer.status();
        assert_eq!(status, 200, "{:?}", answer.text().await);
        took.push(sent.elapsed());
    }
}

fn megabytes(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

async fn incidents(web: &str) -> Vec<Value> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{web}/api/v1/incidents?limit=500")).send().await.unwrap();
    let list: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    list["data"].as_array().unwrap().clone()
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let named = std::env::var("HYPOCENTER_BENCH_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let seconds: u64 = named.unwrap_or(if is_test { 1 } else { 10 });
    let most = seconds * RATE as u64;
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "[incidents]\nanalyse_after = \"1s\"\nagain_after = [\"1h\"]\n").unwrap();
    let receiver = Receiver::start(&folder.path().join("data"), &["--config", settings.to_str().unwrap()]);
    let spans = message(0..4_000, START_NS, 1_800_000_000_000);
    assert!(Client::new().export(&receiver.grpc, "trace.v1.TraceService", &spans).await.unwrap().is_ok());

    let (started, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let url = format!("http://{}/api/v1/alerts", receiver.web);
    let task = |_| tokio::spawn(send(url.clone(), Arc::clone(&next), most, started));
    let senders: Vec<_> = (0..SENDERS).map(task).collect();
    let mut memory = Vec::new();
    while next.load(Ordering::Relaxed) < most {
        memory.push(megabytes(receiver.id()).to_string());
        tokio::time::sleep(Duration::from_secs(seconds.div_ceil(12))).await;
    }
    let mut took = Vec::new();
    for sender in senders {
        took.extend(sender.await.unwrap());
    }
    let elapsed = started.elapsed().as_secs_f64();
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{most} webhooks in {elapsed:.1} s, one in {NEW_ONE_IN} with a new alert");
    println!("answers: median {:.2} ms, 99th percentile {:.1} ms, longest {:.0} ms", at(0.5), at(0.99), at(1.0));
    println!("memory in MB, at equal distances of time: {}", memory.join(" "));

    let deadline = Instant::now() + Duration::from_secs(60);
    let found = loop {
        let found = incidents(&receiver.web).await;
        if found.iter().all(|incident| incident["report"].is_object()) {
            break found;
        }
        assert!(Instant::now() < deadline, "some incidents have no report");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let once = found.iter().filter(|incident| incident["report"]["version"] == 1).count();
    println!("{} incidents, {once} of them with one report", found.len());
    assert_eq!(once, found.len(), "each incident is analysed once");
    assert!(receiver.stop().success());
}
