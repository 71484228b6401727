//! The fault test: `hypocenter serve` is killed with `kill -9` again and again under load; then every span that was answered
//! is there exactly once. Five times, or as many as `HYPOCENTER_KILLS` says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hypocenter::ingest::{ReadOptions, Telemetry};
use hypocenter::telemetry::time::Window;
use receiver::{Client, Receiver, message};

#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;

/// 2026-03-02T10:00:00Z.
const START_NS: u64 = 1_772_445_600_000_000_000;
const SPANS_A_MESSAGE: u64 = 100;
const SENDERS: u64 = 6;
/// How often the store is read while it is written to.
const READS: u32 = 5;

/// Everything in the store, and what is odd about it besides spans that came twice.
fn read_all(data: &Path) -> (Telemetry, Vec<String>) {
    let window = Window::new(START_NS as i64, START_NS as i64 + 1_000_000_000).unwrap();
    let read = hypocenter::store::read(data, &[window], &ReadOptions::default()).unwrap();
    let others = read.warnings.iter().filter(|w| !w.message.contains("more than once")).map(ToString::to_string);
    let others = others.collect();
    (read, others)
}

/// Sends batches, each until it is answered, as an SDK does; gives the numbers of those that were.
async fn send(
    sender: u64,
    [grpc, http]: [String; 2],
    next: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
) -> (Vec<u64>, u64) {
    let client = Client::new();
    let url = format!("http://{http}/v1/traces");
    let (mut answered, mut again) = (Vec::new(), 0);
    while !enough.load(Ordering::Relaxed) {
        let batch = next.fetch_add(1, Ordering::Relaxed);
        let spans = message(batch * SPANS_A_MESSAGE..(batch + 1) * SPANS_A_MESSAGE, START_NS, 1_000_000_000);
        loop {
            let taken = if sender.is_multiple_of(2) {
                let answer = client.export(&grpc, "trace.v1.TraceService", &spans).await;
                answer.is_ok_and(|answer| answer.is_ok())
            } else {
                let headers = [("content-type", "application/x-protobuf")];
                let answer = client.post(&url, &headers, spans.clone()).await;
                answer.is_ok_and(|answer| answer.status() == 200)
            };
            if taken {
                answered.push(batch);
                break;
            }
            again += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    (answered, again)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_span_is_there_once_after_kill_minus_nine() {
    let kills: u32 = std::env::var("HYPOCENTER_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = folder.path().join("settings.toml");
    // Small, so that logs become segments while it is killed.
    fs::write(&settings, "[store]\nsegment_size = \"2MiB\"\n").unwrap();
    let arguments = ["--config", settings.to_str().unwrap()];
    let mut receiver = Receiver::start(&data, &arguments);
    let (next, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let addresses = [receiver.grpc.clone(), receiver.http.clone()];
    let start = |sender| tokio::spawn(send(sender, addresses.clone(), Arc::clone(&next), Arc::clone(&enough)));
    let senders: Vec<_> = (0..SENDERS).map(start).collect();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(150 + u64::from(kill * 97 % 400))).await;
        receiver.kill();
        receiver = receiver.start_again(&data, &arguments);
        if kill < READS {
            // While it puts its store in order, makes segments and receives.
            let folder = data.clone();
            assert_eq!(tokio::task::spawn_blocking(move || read_all(&folder).1).await.unwrap(), [""; 0]);
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    enough.store(true, Ordering::Relaxed);
    let (mut answered, mut again) = (Vec::new(), 0);
    for sender in senders {
        let (of_one, again_of_one) = sender.await.unwrap();
        answered.extend(of_one);
        again += again_of_one;
    }
    assert!(receiver.stop().success());

    let (read, others) = read_all(&data);
    assert_eq!(others, [""; 0]);
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    read.spans.id.iter().for_each(|id| *times.entry(*id).or_default() += 1);
    for batch in &answered {
        for number in batch * SPANS_A_MESSAGE..(batch + 1) * SPANS_A_MESSAGE {
            assert_eq!(times.get(&(number + 1)), Some(&1), "span {number} of batch {batch}");
        }
    }
    assert_eq!(times.len() as u64, answered.len() as u64 * SPANS_A_MESSAGE, "and no other");
    let repeated = read.warnings.iter().find(|w| w.message.contains("more than once")).map_or(0, |w| w.affected);
    let files = |name: &str| fs::read_dir(data.join(name)).unwrap().count();
    println!(
        "{kills} kills: {} spans answered, each there once; {again} messages sent again, {repeated} spans stored more than \
         once; {} segments, {} torn ends set aside",
        times.len(),
        files("segments"),
        files("aside"),
    );
}
