//! Damaged files of every format: whatever happens to the bytes, nothing panics, and what stands before the damage is read.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hypocenter::ingest::{Format, ReadOptions, Telemetry, read_bytes};
use polars::prelude::{DataFrame, IntoColumn, NamedFrom, ParquetWriter, Series};
use proptest::prelude::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces").join(name);
    fs::read(path).expect("the fixture is part of the repository")
}

fn parquet() -> Vec<u8> {
    let n = 40_u64;
    let text =
        |name: &str, of: fn(u64) -> String| Series::new(name.into(), (0..n).map(of).collect::<Vec<_>>()).into_column();
    let columns = vec![
        text("trace_id", |i| format!("{:032x}", i / 7 + 1)),
        text("span_id", |i| format!("{:016x}", i + 1)),
        text("parent_span_id", |i| if i % 7 == 0 { String::new() } else { format!("{i:016x}") }),
        text("service", |i| format!("service-{}", i % 5)),
        text("status_code", |i| ["Ok", "Error"][i as usize % 2].to_owned()),
        Series::new("start_ns".into(), (0..n).map(|i| 1_700_000_000_000_000_000 + i).collect::<Vec<_>>()).into_column(),
        Series::new("duration_ns".into(), (0..n).collect::<Vec<_>>()).into_column(),
    ];
    let mut bytes = Vec::new();
    let mut frame = DataFrame::new(columns[0].len(), columns).expect("columns of one length");
    ParquetWriter::new(&mut bytes).with_row_group_size(Some(16)).finish(&mut frame).expect("in memory");
    bytes
}

fn series_parquet() -> Vec<u8> {
    let n = 40_i64;
    let column =
        |name: &str, of: fn(i64) -> f64| Series::new(name.into(), (0..n).map(of).collect::<Vec<_>>()).into_column();
    let columns = vec![
        Series::new("timestamp".into(), (0..n).map(|i| 1_700_000_000 + i).collect::<Vec<_>>()).into_column(),
        column("cart_cpu", |i| (i % 7) as f64),
        column("cart_latency", |i| 0.01 * (i % 5) as f64),
    ];
    let mut bytes = Vec::new();
    let mut frame = DataFrame::new(columns[0].len(), columns).expect("columns of one length");
    ParquetWriter::new(&mut bytes).finish(&mut frame).expect("in memory");
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("in memory");
    gzip.finish().expect("in memory")
}

/// Every fixture, and some that are made here, each with its format.
fn files() -> &'static [(Format, Vec<u8>)] {
    static FILES: OnceLock<Vec<(Format, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut files = Vec::new();
        let mut add = |name: &Path, bytes: Vec<u8>| {
            if let Ok(telemetry) = read_bytes(name, &bytes, &ReadOptions::default()) {
                files.push((telemetry.files[0].format, bytes));
            }
        };
        for path in fixtures() {
            add(&path, fs::read(&path).expect("the fixture is part of the repository"));
        }
        add(Path::new("spans.parquet"), parquet());
        add(Path::new("series.parquet"), series_parquet());
        add(Path::new("lines.gz"), gzip(&fixture("otlp_lines.jsonl")));
        add(Path::new("nezha.zst"), zstd::encode_all(fixture("nezha.csv").as_slice(), 1).expect("in memory"));
        files
    })
}

/// All files below `tests/fixtures` in a fixed order.
fn fixtures() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("part of the repository") {
            let path = entry.expect("part of the repository").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[test]
fn there_is_a_file_of_every_format() {
    for format in Format::all() {
        assert!(files().iter().any(|(known, _)| *known == format), "no fixture is read as {}", format.name());
    }
}

/// What may befall a file; places are shares of its length.
#[derive(Clone, Debug)]
enum Damage {
    Flip(f64, u8),
    Truncate(f64),
    Delete(f64, usize),
    Duplicate(f64, usize),
    Insert(f64, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0.0..1.0_f64;
    prop_oneof![
        4 => (place.clone(), 1..=u8::MAX).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        1 => place.clone().prop_map(Damage::Truncate),
        2 => (place.clone(), 1..200_usize).prop_map(|(at, n)| Damage::Delete(at, n)),
        2 => (place.clone(), 1..200_usize).prop_map(|(at, n)| Damage::Duplicate(at, n)),
        1 => (place, proptest::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, b)| Damage::Insert(at, b)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let index = |at: f64, n: usize| ((at * n as f64) as usize).min(n);
    let n = bytes.len();
    match damage {
        Damage::Flip(at, bits) => {
            if let Some(byte) = bytes.get_mut(index(*at, n)) {
                *byte ^= bits;
            }
        }
        Damage::Truncate(at) => bytes.truncate(index(*at, n)),
        Damage::Delete(at, length) => {
            let from = index(*at, n);
            bytes.drain(from..(from + length).min(n));
        }
        Damage::Duplicate(at, length) => {
            let from = index(*at, n);
            let piece = bytes[from..(from + length).min(n)].to_vec();
            bytes.splice(from..from, piece);
        }
        Damage::Insert(at, piece) => {
            let from = index(*at, n);
            bytes.splice(from..from, piece.iter().copied());
        }
    }
}

/// What holds for the result of any file.
fn check(telemetry: &Telemetry) -> Result<(), TestCaseError> {
    let spans = &telemetry.spans;
    for row in 0..spans.len() {
        let span = spans.get(row);
        prop_assert!(span.id.0 != 0 && span.start_ns > 0);
        prop_assert!((span.resource.0 as usize) < spans.resources().len());
        prop_assert!((span.operation.0 as usize) < spans.operations().len());
        prop_assert!(span.peer.is_none_or(|peer| (peer.0 as usize) < spans.peers().len()));
    }
    prop_assert!(spans.links.iter().all(|link| (link.row as usize) < spans.len()));
    let logs = &telemetry.logs;
    let columns = [logs.at_ns.len(), logs.service.len(), logs.message.len(), logs.severity.len(), logs.trace.len()];
    prop_assert!(columns.iter().all(|length| *length == logs.len()));
    prop_assert!(logs.service.iter().all(|key| (*key as usize) < logs.services().len()));
    prop_assert!(logs.message.iter().all(|key| (*key as usize) < logs.messages().len()));
    prop_assert!(logs.at_ns.iter().all(|at_ns| *at_ns > 0) && telemetry.changes.iter().all(|change| change.at_ns > 0));
    prop_assert!(telemetry.skipped == 0 || !telemetry.warnings.is_empty(), "skipped without a word");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        file in 0..files().len(),
        damages in proptest::collection::vec(damage(), 1..6),
        override_format in any::<bool>(),
    ) {
        let (format, mut bytes) = files()[file].clone();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        // Named outright, a damaged file reaches its decoder even where its head is no longer recognised.
        let options = ReadOptions { format: override_format.then_some(format), ..ReadOptions::default() };
        if let Ok(telemetry) = read_bytes(Path::new("damaged"), &bytes, &options) {
            check(&telemetry)?;
        }
    }

    #[test]
    fn lines_before_the_damage_survive(
        whole_lines in 1..20_usize,
        csv in any::<bool>(),
        damages in proptest::collection::vec(damage(), 1..6),
    ) {
        let line = |id: usize| if csv {
            format!("{id:032x},{id:016x},,cart,1700000000,1\n")
        } else {
            format!(
                "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{\"traceId\":\"{id:032x}\",\"spanId\":\"{id:016x}\",\
                 \"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"1700000000000000001\"}}]}}]}}]}}\n"
            )
        };
        let mut bytes = Vec::new();
        if csv {
            bytes.extend_from_slice(b"trace_id,span_id,parent_id,service,start_time,duration_s\n");
        }
        bytes.extend((1..=whole_lines).flat_map(|id| line(id).into_bytes()));
        let mut tail: Vec<u8> = (100..120).flat_map(|id| line(id).into_bytes()).collect();
        damages.iter().for_each(|damage| apply(&mut tail, damage));
        bytes.extend(tail);
        let telemetry = read_bytes(Path::new("damaged"), &bytes, &ReadOptions::default()).expect("the head is whole");
        check(&telemetry)?;
        let ids: Vec<u64> = telemetry.spans.id.iter().copied().take(whole_lines).collect();
        let expected: Vec<u64> = (1..=whole_lines as u64).collect();
        prop_assert_eq!(ids, expected);
    }

    #[test]
    fn a_message_that_is_cut_off_gives_the_spans_before_the_cut(at in 0.0..1.0_f64) {
        let whole = fixture("otlp_pretty.json");
        // Bytes after the closing braces of both spans: the end of their status.
        let ends = [b"\"flags\": 257\n            }".as_slice(), b"\"deadlock detected\" }\n            }"]
            .map(|end| memchr::memmem::find(&whole, end).expect("part of the fixture") + end.len());
        let cut = (at * whole.len() as f64) as usize;
        let options = ReadOptions { format: Some(Format::OtlpJson), ..ReadOptions::default() };
        let telemetry = read_bytes(Path::new("cut"), &whole[..cut], &options).expect("the format is named");
        let expected = ends.iter().filter(|&&end| cut >= end).count();
        prop_assert_eq!(telemetry.spans.len(), expected);
        check(&telemetry)?;
    }
}
