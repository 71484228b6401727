//! The fault test of who responds: `hypocenter serve` is killed with `kill -9` again and again while webhooks come and
//! messages go; then every alert that was acknowledged is in an incident, every incident has its report, none has two of
//! one analysis, and the ticket server has one message for each. Five times, or as many as `HYPOCENTER_KILLS` says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use apis::{Kept, TOKEN, github};
use fake::Fake;
use receiver::{Client, Receiver, message};

#[path = "notify/apis.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod apis;
#[path = "notify/fake.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod fake;
#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;
#[path = "live/server.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod server;

/// 2026-03-02T10:00:00Z.
const START_NS: u64 = 1_772_445_600_000_000_000;
const ALERT_AT: &str = "2026-03-02T10:20:00Z";
const SENDERS: u64 = 3;
/// Incidents that each sender begins at most: each costs an analysis.
const MOST_INCIDENTS: u64 = 20;

fn webhook(service: &str, status: &str) -> Vec<u8> {
    let ends_at = if status == "resolved" { "2026-03-02T10:25:00Z" } else { "0001-01-01T00:00:00Z" };
    json!({
        "version": "4", "receiver": "rca", "status": status, "groupKey": service,
        "alerts": [{
            "status": status, "startsAt": ALERT_AT, "endsAt": ends_at, "fingerprint": service,
            "labels": { "alertname": "HighLatency", "service": service }, "annotations": {},
        }],
    })
    .to_string()
    .into_bytes()
}

/// Whether the alert of a service ends, too: then its incident is analysed once more.
fn ends(service: &str) -> bool {
    service.ends_with(['0', '5'])
}

/// Sends alerts, each until it is answered, as Alertmanager does, and now and then one again; gives those that were.
async fn send(sender: u64, web: String, enough: Arc<AtomicBool>, sent: Arc<AtomicU64>) -> Vec<String> {
    let client = Client::new();
    let url = format!("http://{web}/api/v1/alerts");
    let mut acknowledged = Vec::new();
    let mut number = 0;
    while !enough.load(Ordering::Relaxed) {
        // New ones first, then the same again and again: services that nothing relates are an incident each.
        let service = format!("service-{sender}-{}", number % MOST_INCIDENTS);
        number += 1;
        let statuses = if ends(&service) { &["firing", "resolved"][..] } else { &["firing"][..] };
        for status in statuses {
            loop {
                let body = webhook(&service, status);
                let answer = client.post(&url, &[("content-type", "application/json")], body).await;
                sent.fetch_add(1, Ordering::Relaxed);
                match answer {
                    Ok(answer) if answer.status() == 200 => break,
                    Ok(answer) => assert_eq!(answer.status(), 503, "{:?}", answer.text().await),
                    Err(_killed) => {}
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        acknowledged.push(service);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    acknowledged
}

/// How many reports an incident has when all is done.
fn last_version(incident: &Value) -> u64 {
    if ends(incident["entry"].as_str().unwrap()) { 2 } else { 1 }
}

async fn get(web: &str, path: &str) -> Value {
    let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("http://{web}{path}")).send().await;
    serde_json::from_str(&answer.unwrap().text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_alert_is_lost_and_no_report_made_twice_by_kill_minus_nine() {
    let kills: u32 = std::env::var("HYPOCENTER_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let tickets = Fake::start(Kept::default(), github);
    let (data, settings) = (folder.path().join("data"), folder.path().join("settings.toml"));
    fs::write(folder.path().join("token"), TOKEN).unwrap();
    let url = tickets.url();
    fs::write(
        &settings,
        format!(
            "[incidents]\nanalyse_after = \"1s\"\nagain_after = [\"1h\"]\nmost_waiting = 1000\nworkers = 2\n\n\
             [[notify]]\nname = \"tickets\"\nkind = \"github\"\nurl = \"{url}\"\nrepository = \"acme/shop\"\n\
             token_file = \"token\"\n"
        ),
    )
    .unwrap();
    let arguments = ["--config", settings.to_str().unwrap()];
    let mut receiver = Receiver::start(&data, &arguments);
    // Half an hour of requests, in which the alert fired.
    let spans = message(0..4_000, START_NS, 1_800_000_000_000);
    assert!(Client::new().export(&receiver.grpc, "trace.v1.TraceService", &spans).await.unwrap().is_ok());
    let (enough, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = |sender| tokio::spawn(send(sender, receiver.web.clone(), Arc::clone(&enough), Arc::clone(&sent)));
    let senders: Vec<_> = (0..SENDERS).map(start).collect();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(300 + u64::from(kill * 197 % 900))).await;
        receiver.kill();
        receiver = receiver.start_again(&data, &arguments);
    }
    enough.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }

    // What is left to do is done: each incident has its report, and the ticket server its message.
    let deadline = Instant::now() + Duration::from_secs(180);
    let incidents = loop {
        let list = get(&receiver.web, "/api/v1/incidents?limit=500").await;
        let incidents = list["data"].as_array().unwrap().clone();
        let is_reported = |incident: &&Value| incident["report"]["version"].as_u64() >= Some(last_version(incident));
        let reported = incidents.iter().filter(is_reported).count();
        let told = tickets.state(|kept| {
            let resolved =
                |versions: &&Vec<Value>| versions.last().unwrap()["title"].as_str().unwrap().contains("esolved");
            let resolved = kept.items.iter().filter(resolved).count();
            if resolved == incidents.iter().filter(|incident| last_version(incident) == 2).count() {
                kept.items.len()
            } else {
                0
            }
        });
        if reported == incidents.len() && told >= reported {
            break incidents;
        }
        assert!(Instant::now() < deadline, "{reported} of {} reported, {told} told: {list}", incidents.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let entries: BTreeSet<String> =
        incidents.iter().map(|incident| incident["entry"].as_str().unwrap().to_owned()).collect();
    assert_eq!(entries.len(), incidents.len(), "no alert has two incidents");
    assert_eq!(entries, acknowledged, "every acknowledged alert has one, and no other");
    for incident in &incidents {
        assert_eq!(incident["report"]["version"], last_version(incident), "no report twice: {incident}");
        let status = if last_version(incident) == 2 { "resolved" } else { "firing" };
        assert_eq!(incident["status"], status);
    }
    let mut by_incident: BTreeMap<String, usize> = BTreeMap::new();
    tickets.state(|kept| {
        for versions in &kept.items {
            let body = versions.last().unwrap()["body"].as_str().unwrap();
            let mark = body.lines().rfind(|line| line.starts_with("<!-- ")).unwrap();
            *by_incident.entry(mark.to_owned()).or_default() += 1;
        }
    });
    assert_eq!(by_incident.len(), incidents.len());
    assert!(by_incident.values().all(|count| *count == 1), "one message per incident: {by_incident:?}");
    println!(
        "{kills} kills: {} webhooks sent, {} alerts acknowledged, each in one incident with one report of each analysis and \
         one message",
        sent.load(Ordering::Relaxed),
        acknowledged.len()
    );
    assert!(receiver.stop().success());
}
