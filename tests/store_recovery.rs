//! The store by itself: what it does with torn logs, crashes between its steps, broken segments, old and large ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use hypocenter::ingest::{OtlpEncoding, OtlpSignal, ReadOptions, Telemetry, read_otlp};
use hypocenter::store::{Counted, Kind, Opened, Record, Settings, Store, StoreError, read};
use hypocenter::telemetry::time::Window;
use serde_json::json;

/// 2026-03-02T10:00:00Z.
const START_NS: i64 = 1_772_445_600_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

fn open(settings: &Settings) -> Opened {
    Store::open(settings, ReadOptions::default()).unwrap()
}

fn spans(numbers: std::ops::Range<u64>, at_ns: i64) -> Vec<u8> {
    let span = |number: u64| {
        json!({ "traceId": format!("{:032x}", number + 1), "spanId": format!("{:016x}", number + 1), "name": "a",
                "startTimeUnixNano": at_ns.to_string(), "endTimeUnixNano": (at_ns + 5).to_string() })
    };
    let spans: Vec<_> = numbers.map(span).collect();
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string().into_bytes()
}

fn log_record(message: &str, at_ns: i64) -> Vec<u8> {
    let records = [json!({ "timeUnixNano": at_ns.to_string(), "body": { "stringValue": message } })];
    let service = json!({ "key": "service.name", "value": { "stringValue": "cart" } });
    let resource = json!({ "attributes": [service] });
    json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": records }] }] })
        .to_string()
        .into_bytes()
}

async fn keep(opened: &Opened, signal: OtlpSignal, payload: Vec<u8>) {
    let read = read_otlp(signal, OtlpEncoding::Json, Path::new("a"), &payload, &ReadOptions::default()).unwrap();
    let kind = Kind::Otlp(signal, OtlpEncoding::Json);
    opened.store().keep(Record { kind, payload: Bytes::from(payload), spans: read.spans, guard: None }).await.unwrap();
}

fn read_window(folder: &Path, from_ns: i64, minutes: i64) -> Telemetry {
    let window = Window::new(from_ns, from_ns + minutes * MINUTE_NS).unwrap();
    read(folder, &[window], &ReadOptions::default()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Copies the logs as they are, which is what a crash leaves.
fn crash(from: &Path, to: &Path) {
    for name in ["log", "segments", "aside"] {
        fs::create_dir_all(to.join(name)).unwrap();
    }
    for log in files(&from.join("log")) {
        fs::copy(&log, to.join("log").join(log.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_what_stands_before_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let opened = open(&Settings::new(first.clone()));
    keep(&opened, OtlpSignal::Traces, spans(0..10, START_NS)).await;
    keep(&opened, OtlpSignal::Logs, log_record("it broke", START_NS)).await;
    crash(&first, &second);
    opened.close();
    let log = files(&second.join("log")).remove(0);
    let mut torn = fs::OpenOptions::new().append(true).open(&log).unwrap();
    torn.write_all(&[200, 0, 0, 0, 1, 2, 3, 4, 2, b'{']).unwrap();
    drop(torn);

    let read = read_window(&second, START_NS, 1);
    assert_eq!((read.spans.len(), read.logs.len()), (10, 1), "a reader stops before the tear");
    let opened = open(&Settings::new(second.clone()));
    assert_eq!(opened.counters().get(Counted::TornBytes), 10);
    opened.close();
    assert_eq!(fs::read(files(&second.join("aside")).remove(0)).unwrap().len(), 10);
    let read = read_window(&second, START_NS, 1);
    assert_eq!((read.spans.len(), read.logs.len()), (10, 1));
    assert!(files(&second.join("log")).is_empty());
}

#[tokio::test]
async fn a_crash_between_segment_and_log_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let opened = open(&Settings::new(first.clone()));
    keep(&opened, OtlpSignal::Traces, spans(0..10, START_NS)).await;
    keep(&opened, OtlpSignal::Logs, log_record("it broke", START_NS)).await;
    crash(&first, &second);
    opened.close();
    let segments = files(&first.join("segments"));
    assert_eq!(segments.len(), 2);
    // With one segment, and with both, while the log is still there; and an unfinished one beside it.
    for segment in segments {
        fs::copy(&segment, second.join("segments").join(segment.file_name().unwrap())).unwrap();
        fs::write(second.join("segments/spans-0000000000000001-1-2.tmp"), "PAR1 and no more").unwrap();
        let read = read_window(&second, START_NS, 1);
        assert_eq!((read.spans.len(), read.logs.len()), (10, 1));
        assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    }
    open(&Settings::new(second.clone())).close();
    let read = read_window(&second, START_NS, 1);
    assert_eq!((read.spans.len(), read.logs.len()), (10, 1));
    assert_eq!((files(&second.join("log")).len(), files(&second.join("segments")).len()), (0, 2));
}

#[tokio::test]
async fn a_broken_segment_is_set_aside_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().to_owned());
    for number in 0..3 {
        let opened = open(&settings);
        keep(&opened, OtlpSignal::Traces, spans(number * 10..number * 10 + 10, START_NS)).await;
        opened.close();
    }
    let segments = files(&folder.path().join("segments"));
    assert_eq!(segments.len(), 3);
    let bytes = fs::read(&segments[1]).unwrap();
    fs::write(&segments[1], &bytes[..bytes.len() / 2]).unwrap();
    let read = read_window(folder.path(), START_NS, 1);
    assert_eq!(read.spans.len(), 20);
    assert!(read.warnings.iter().any(|w| Path::new(&w.source) == segments[1]), "{:?}", read.warnings);
    let opened = open(&settings);
    assert_eq!(opened.counters().get(Counted::SetAside), 1);
    opened.close();
    assert_eq!(files(&folder.path().join("aside")).len(), 1);
    let read = read_window(folder.path(), START_NS, 1);
    assert_eq!((read.spans.len(), read.warnings.len()), (20, 0));
}

#[tokio::test]
async fn a_window_reads_what_overlaps_it_and_repeated_spans_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().to_owned());
    for hour in 0..3 {
        let opened = open(&settings);
        keep(&opened, OtlpSignal::Traces, spans(0..10, START_NS + hour * 60 * MINUTE_NS)).await;
        let other = spans(hour as u64 * 10 + 100..hour as u64 * 10 + 105, START_NS + hour * 60 * MINUTE_NS);
        keep(&opened, OtlpSignal::Traces, other.clone()).await;
        keep(&opened, OtlpSignal::Traces, other).await;
        opened.close();
    }
    // What lies elsewhere is not even opened.
    let [first, .., last] = &files(&folder.path().join("segments"))[..] else { panic!("three segments") };
    for outside in [first, last] {
        fs::write(outside, "not to be read").unwrap();
    }
    let read = read_window(folder.path(), START_NS + 60 * MINUTE_NS, 10);
    assert_eq!(read.spans.len(), 15);
    let told: Vec<_> = read.warnings.iter().map(|w| (w.message.contains("more than once"), w.affected)).collect();
    assert_eq!(told, [(true, 5)]);
}

#[tokio::test]
async fn what_is_too_old_or_too_much_is_removed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().join("segments");
    let mut settings = Settings::new(folder.path().to_owned());
    for number in 0..4 {
        let opened = open(&settings);
        // History that comes late is young.
        keep(&opened, OtlpSignal::Traces, spans(number * 500..number * 500 + 500, START_NS)).await;
        opened.close();
    }
    let before = files(&segments);
    let bytes: Vec<u64> = before.iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    assert_eq!(before.len(), 4, "none is too old or too much");
    // Retention is looked at when a log becomes a segment.
    settings.retention_bytes = bytes[2..].iter().sum::<u64>() + bytes[0];
    let opened = open(&settings);
    keep(&opened, OtlpSignal::Traces, spans(0..500, START_NS)).await;
    let counters = opened.counters();
    opened.close();
    assert_eq!(files(&segments)[..2], before[2..], "the two oldest are gone");
    assert_eq!(counters.get(Counted::RemovedBySize), 2);
    assert_eq!(counters.get(Counted::RemovedBytes), bytes[0] + bytes[1]);

    settings.retention_age = Duration::from_millis(1);
    let opened = open(&settings);
    keep(&opened, OtlpSignal::Traces, spans(0..5, START_NS)).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    opened.close();
    assert!(files(&segments).is_empty());
}

#[tokio::test]
async fn logs_and_segments_are_read_by_the_sampling_attribute_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let by = |name: &str| ReadOptions { sampling_attribute: Some(name.to_owned()), ..ReadOptions::default() };
    let rate = json!({ "key": "SampleRate", "value": { "intValue": "10" } });
    let mut message: serde_json::Value = serde_json::from_slice(&spans(0..4, START_NS)).unwrap();
    for span in message["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap() {
        span["attributes"] = json!([rate]);
    }
    let payload = message.to_string().into_bytes();
    let kind = Kind::Otlp(OtlpSignal::Traces, OtlpEncoding::Json);
    let read_spans = read_otlp(OtlpSignal::Traces, OtlpEncoding::Json, Path::new("a"), &payload, &by("SampleRate"));
    let opened = Store::open(&Settings::new(folder.path().to_owned()), by("SampleRate")).unwrap();
    let record = Record { kind, payload: Bytes::from(payload), spans: read_spans.unwrap().spans, guard: None };
    opened.store().keep(record).await.unwrap();
    let weights = |options: &ReadOptions| {
        let window = Window::new(START_NS, START_NS + MINUTE_NS).unwrap();
        let mut read = read(folder.path(), &[window], options).unwrap();
        hypocenter::ingest::finish(&mut read, &ReadOptions::default());
        let told = read.warnings.iter().any(|w| w.message.contains("not that of the store"));
        (read.spans.weight.iter().map(|weight| f64::from(*weight).round() as u64).collect::<Vec<_>>(), told)
    };
    assert_eq!(weights(&ReadOptions::default()), (vec![10; 4], false), "from the log");
    assert_eq!(weights(&by("other")), (vec![10; 4], true));
    opened.close();
    assert_eq!(weights(&ReadOptions::default()), (vec![10; 4], false), "from the segment");
}

#[test]
fn two_processes_do_not_write_to_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().to_owned());
    let opened = open(&settings);
    assert!(matches!(Store::open(&settings, ReadOptions::default()), Err(StoreError::InUse { .. })));
    opened.close();
    open(&settings).close();
}
