//! The receiver as a whole process on loopback: spans a second made durable over gRPC, its memory meanwhile, and how long
//! `analyze --data` takes for ten minutes out of a day of them.
//!
//! `HYPOCENTER_BENCH_SPANS` says how many spans are sent (default 2,000,000; 20,000 with `--test`); `HYPOCENTER_BENCH_DATA`
//! where the store lies, if not in a temporary folder. The sender runs on the same processors.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking and prints its figures")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use receiver::{Client, Receiver, message};

#[path = "../tests/support/receiver.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod receiver;

/// 2026-03-02T00:00:00Z.
const START_NS: u64 = 1_772_409_600_000_000_000;
const DAY_NS: u64 = 86_400_000_000_000;
const SPANS_A_MESSAGE: u64 = 1_000;
const SENDERS: u64 = 4;

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let named = std::env::var("HYPOCENTER_BENCH_SPANS").ok().map(|spans| spans.parse().unwrap());
    let spans: u64 = named.unwrap_or(if is_test { 20_000 } else { 2_000_000 });
    let messages = spans.div_ceil(SPANS_A_MESSAGE);
    let rate: Option<f64> = std::env::var("HYPOCENTER_BENCH_RATE").ok().map(|rate| rate.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let data = std::env::var_os("HYPOCENTER_BENCH_DATA").map_or(temporary.path().join("data"), Into::into);
    let settings = temporary.path().join("settings.toml");
    fs::write(&settings, "[store]\nretention_size = \"100GiB\"\n").unwrap();
    let receiver = Receiver::start(&data, &["--config", settings.to_str().unwrap()]);

    let (sent, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let memory = {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let next = Arc::new(AtomicU64::new(0));
            let plan = Plan { messages, rate, started };
            let task = |_| tokio::spawn(send(receiver.grpc.clone(), plan, Arc::clone(&next), Arc::clone(&sent)));
            let senders: Vec<_> = (0..SENDERS).map(task).collect();
            let memory = watch(receiver.id(), messages, &sent).await;
            for sender in senders {
                sender.await.unwrap();
            }
            memory
        })
    };
    let seconds = started.elapsed().as_secs_f64();
    let spans = messages * SPANS_A_MESSAGE;
    println!("accepted durably over gRPC: {spans} spans in {seconds:.1} s, {:.0} a second", spans as f64 / seconds);
    println!("processor time of the receiver: {:.1} s", processor_seconds(receiver.id()));
    let shown: Vec<String> = memory.iter().map(|megabytes| megabytes.to_string()).collect();
    println!("its memory in MB, at equal distances of time: {}", shown.join(" "));

    query("while it runs", &data);
    let stopping = Instant::now();
    assert!(receiver.stop().success());
    println!("stopped in {:.1} s; {:.1} MB in segments", stopping.elapsed().as_secs_f64(), megabytes_in(&data));
    query("from segments", &data);
}

/// What all senders together are to do.
#[derive(Clone, Copy)]
struct Plan {
    messages: u64,
    /// Spans a second; `None` for as many as are taken.
    rate: Option<f64>,
    started: Instant,
}

/// Sends every message, with ids and times of its own, until it is taken.
async fn send(address: String, plan: Plan, next: Arc<AtomicU64>, sent: Arc<AtomicU64>) {
    let client = Client::new();
    let mut template = Template::new(DAY_NS / plan.messages);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.messages {
            return;
        }
        if let Some(rate) = plan.rate {
            let due = plan.started + Duration::from_secs_f64((number * SPANS_A_MESSAGE) as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let bytes = template.patched(number);
        while !client.export(&address, "trace.v1.TraceService", bytes).await.is_ok_and(|answer| answer.is_ok()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Megabytes of the receiver's memory, at up to 20 times.
async fn watch(id: u32, messages: u64, sent: &AtomicU64) -> Vec<u64> {
    let mut seen = Vec::new();
    while sent.load(Ordering::Relaxed) < messages {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        seen.push(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024);
    }
    let step = seen.len().div_ceil(20).max(1);
    seen.chunks(step).filter_map(|chunk| chunk.iter().max().copied()).collect()
}

fn processor_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // User and system time, in hundredths of a second on Linux.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn query(when: &str, data: &Path) {
    let started = Instant::now();
    let analysed = Command::new(env!("CARGO_BIN_EXE_hypocenter"))
        .args([
            "analyze",
            "-o",
            "json",
            "--incident",
            "2026-03-02T12:05:00Z/5m",
            "--baseline",
            "2026-03-02T12:00:00Z/5m",
        ])
        .arg("--data")
        .arg(data)
        .output()
        .unwrap();
    let seconds = started.elapsed().as_secs_f64();
    assert!(analysed.status.success(), "{}", String::from_utf8_lossy(&analysed.stderr));
    let report: serde_json::Value = serde_json::from_slice(&analysed.stdout).unwrap();
    println!("ten minutes of a day {when}: analysed {} spans in {seconds:.2} s", report["coverage"]["spans"]);
}

fn megabytes_in(data: &Path) -> f64 {
    let segments = fs::read_dir(data.join("segments")).unwrap();
    segments.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>() as f64 / 1e6
}

/// A message whose ids and times are set anew without encoding it again, so that sending costs little.
struct Template {
    bytes: Vec<u8>,
    original: Vec<u8>,
    message_ns: u64,
    /// Where each span has its trace's number, its own, its parent's, and start and end.
    places: Vec<[Option<usize>; 5]>,
}

impl Template {
    fn new(message_ns: u64) -> Self {
        let bytes = message(0..SPANS_A_MESSAGE, START_NS, message_ns);
        let place = |number: u64| {
            let trace = (u128::from(number / 4 + 1) << 64 | 0x5eed).to_be_bytes();
            // Trace and span ids stand one after the other, each behind two bytes of tag and length.
            let ids = [&trace[..], &[0x12, 8], &(number + 1).to_be_bytes()].concat();
            let at = memchr::memmem::find(&bytes, &ids).unwrap();
            let (span, after) = (at + 18, at + 26);
            let parent = (bytes[after] == 0x22).then_some(after + 2);
            let start_ns = START_NS + number * message_ns / SPANS_A_MESSAGE;
            let start = after + memchr::memmem::find(&bytes[after..], &start_ns.to_le_bytes()).unwrap();
            [Some(at), Some(span), parent, Some(start), Some(start + 9)]
        };
        let places = (0..SPANS_A_MESSAGE).map(place).collect();
        Self { original: bytes.clone(), bytes, message_ns, places }
    }

    fn patched(&mut self, number: u64) -> &[u8] {
        let read = |at: usize| <[u8; 8]>::try_from(&self.original[at..at + 8]).unwrap();
        let (spans, ns) = (number * SPANS_A_MESSAGE, number * self.message_ns);
        for place in &self.places {
            for (field, at) in place.iter().enumerate() {
                let Some(at) = *at else { continue };
                // Ids in order would pack far better than those of real tracers.
                let mixed = |id: u64| id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(29).to_be_bytes();
                let value = match field {
                    0 => mixed(u64::from_be_bytes(read(at)) + spans / 4),
                    1 | 2 => mixed(u64::from_be_bytes(read(at)) + spans),
                    _ => (u64::from_le_bytes(read(at)) + ns).to_le_bytes(),
                };
                self.bytes[at..at + 8].copy_from_slice(&value);
            }
        }
        &self.bytes
    }
}
