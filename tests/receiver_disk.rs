//! A disk that is full: a receiver on a small file system of its own says "try again", keeps all that it answered, and goes
//! on when there is space again. Needs `unshare` of util-linux and user namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hypocenter::ingest::ReadOptions;
use hypocenter::telemetry::time::Window;
use receiver::{Client, Receiver, message};

#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;

/// 2026-03-02T10:00:00Z.
const START_NS: u64 = 1_772_445_600_000_000_000;
const SPANS_A_MESSAGE: u64 = 100;
/// gRPC's UNAVAILABLE, after which OTLP's senders try again.
const UNAVAILABLE: u32 = 14;

/// A shell in which `folder` is a file system of 16 MiB of its own, which becomes the command.
fn on_a_small_disk(folder: &Path, command: &str) -> Command {
    let mut shell = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size=16m tmpfs '{}' && exec {command}", folder.display());
    shell.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    shell
}

/// Fills the disk to its last page.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[b'x'; 64 << 10]).is_ok() {}
    while file.write_all(b"x").is_ok() {}
}

/// Whether it was taken; else whether the answer says to try again.
async fn sent(client: &Client, receiver: &Receiver, batch: u64) -> Result<(), bool> {
    let spans = message(batch * SPANS_A_MESSAGE..(batch + 1) * SPANS_A_MESSAGE, START_NS, 1_000_000_000);
    if batch.is_multiple_of(2) {
        let answer = client.export(&receiver.grpc, "trace.v1.TraceService", &spans).await.unwrap();
        return if answer.is_ok() {
            Ok(())
        } else {
            Err(answer.code == Some(UNAVAILABLE) && !answer.details.is_empty())
        };
    }
    let url = format!("http://{}/v1/traces", receiver.http);
    let answer = client.post(&url, &[("content-type", "application/x-protobuf")], spans).await.unwrap();
    let is_later = answer.status() == 503 && answer.headers().contains_key("retry-after");
    if answer.status() == 200 { Ok(()) } else { Err(is_later) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_was_answered_and_is_got_over() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    if !on_a_small_disk(&disk, "true").status().is_ok_and(|status| status.success()) {
        println!("skipped: no file system of its own can be had here (unshare --user --mount)");
        return;
    }
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "[store]\nsegment_size = \"1MiB\"\n").unwrap();
    let mut command = on_a_small_disk(&disk, "\"$@\"");
    command.arg(env!("CARGO_BIN_EXE_hypocenter")).args(["serve", "--config"]).arg(&settings);
    command.arg("--data").arg(disk.join("data"));
    for flag in ["--otlp.grpc-address", "--otlp.http-address", "--web.listen-address"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let receiver = Receiver::spawn(&mut command);
    // The disk as the receiver sees it.
    let inside = PathBuf::from(format!("/proc/{}/root", receiver.id())).join(disk.strip_prefix("/").unwrap());
    let filler = inside.join("filler");

    let client = Client::new();
    let (mut answered, mut batch, mut deferred) = (Vec::new(), 0, 0);
    for round in 0..3 {
        for _ in 0..20 {
            assert_eq!(sent(&client, &receiver, batch).await, Ok(()), "round {round}, batch {batch}");
            answered.push(batch);
            batch += 1;
        }
        fill(&filler);
        // The page that a log has begun may take some more.
        let mut refused = 0;
        while refused < 10 {
            match sent(&client, &receiver, batch).await {
                Ok(()) => answered.push(batch),
                Err(is_later) => {
                    assert!(is_later, "round {round}, batch {batch}: not told to try again");
                    refused += 1;
                }
            }
            batch += 1;
        }
        deferred += refused;
        fs::remove_file(&filler).unwrap();
        let space_since = Instant::now();
        while sent(&client, &receiver, batch).await.is_err() {
            assert!(space_since.elapsed() < Duration::from_secs(20), "there is space again, and nothing is taken");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        answered.push(batch);
        batch += 1;
        println!("round {round}: taken {:.1} s after there was space again", space_since.elapsed().as_secs_f64());
    }

    let window = Window::new(START_NS as i64, START_NS as i64 + 1_000_000_000).unwrap();
    let read = hypocenter::store::read(&inside.join("data"), &[window], &ReadOptions::default()).unwrap();
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    read.spans.id.iter().for_each(|id| *times.entry(*id).or_default() += 1);
    for number in answered.iter().flat_map(|batch| batch * SPANS_A_MESSAGE..(batch + 1) * SPANS_A_MESSAGE) {
        assert_eq!(times.get(&(number + 1)), Some(&1), "span {number}");
    }
    assert_eq!(times.len(), answered.len() * SPANS_A_MESSAGE as usize, "and no other");
    println!("{} spans answered, each there once; {deferred} requests told to try again", times.len());
    assert!(receiver.stop().success());
}
