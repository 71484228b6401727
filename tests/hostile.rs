//! Input that means harm: bombs, bottomless nesting, endless names. It is told, it costs bounded memory, and what stands
//! beside it is read.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use hypocenter::ingest::{Format, ReadOptions, Telemetry, read_bytes, read_paths};
use hypocenter::telemetry::id::MAX_NAME_BYTES;

const MEBIBYTE: usize = 1 << 20;

fn span(id: u64, service: &str, name: &str) -> String {
    format!(
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\
         \"{service}\"}}}}]}},\"scopeSpans\":[{{\"spans\":[{{\"traceId\":\"{id:032x}\",\"spanId\":\"{id:016x}\",\"name\":\
         \"{name}\",\"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"1700000000000000001\"}}]}}]}}]}}\n"
    )
}

fn told(telemetry: &Telemetry) -> String {
    telemetry.warnings.iter().map(|warning| format!("{warning}\n")).collect()
}

fn gzip(bytes: impl Read) -> Vec<u8> {
    let mut bytes = bytes;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut bytes, &mut gzip).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn decompression_bombs_stop_at_their_limit_and_what_stood_before_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = || std::io::repeat(b' ').take(300 << 20);
    let first = span(1, "cart", "GET");
    fs::write(folder.path().join("bomb.json.gz"), gzip(first.as_bytes().chain(zeros()))).unwrap();
    let bomb = zstd::encode_all(first.as_bytes().chain(zeros()), 1).unwrap();
    assert!(bomb.len() < MEBIBYTE, "the bomb is small: {} bytes", bomb.len());
    fs::write(folder.path().join("bomb.json.zst"), bomb).unwrap();
    fs::write(folder.path().join("honest.json"), span(2, "orders", "GET")).unwrap();
    let telemetry = read_paths(&[folder.path().to_owned()], &ReadOptions::default(), &|_| ()).unwrap();
    assert_eq!(telemetry.spans.len(), 3, "{}", told(&telemetry));
    for bomb in ["bomb.json.gz", "bomb.json.zst"] {
        assert!(
            told(&telemetry).lines().any(|line| line.contains(bomb) && line.contains("268435456 bytes")),
            "{}",
            told(&telemetry)
        );
    }
}

#[test]
fn files_that_end_before_their_time_are_named() {
    let lines = [span(1, "cart", "GET"), span(2, "cart", "GET"), span(3, "cart", "GET")].concat();
    let cut = &lines[..lines.len() - 30];
    let packed = gzip(lines.as_bytes());
    let torn_within = lines.replacen("}]}]}]}\n", "}]\n", 1);
    let pretty = lines.lines().next().unwrap().replace(',', ",\n");
    for (bytes, is_cut) in [
        (lines.as_bytes(), false),
        (lines.trim_end().as_bytes(), false),
        (cut.as_bytes(), false),         // a file to which a collector still writes
        (torn_within.as_bytes(), false), // one record is lost, and the file goes on
        (packed.as_slice(), false),
        (&packed[..packed.len() - 12], true),
        (pretty.as_bytes(), false),
        (&pretty.as_bytes()[..pretty.len() - 5], true),
    ] {
        let telemetry = read_bytes(Path::new("spans.json"), bytes, &ReadOptions::default()).unwrap();
        assert_eq!(
            telemetry.cut.contains("spans.json"),
            is_cut,
            "{}: {}",
            String::from_utf8_lossy(bytes),
            told(&telemetry)
        );
    }
}

#[test]
fn bottomless_nesting_is_refused_and_the_next_line_is_read() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [200, 2_000_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let attribute = format!("{{\"resourceSpans\":[],\"unknown\":{nested}}}\n");
            let value = span(1, "cart", "GET").replace("{\"stringValue\":\"cart\"}", &nested);
            let text = [span(7, "front", "GET"), attribute, value, span(8, "front", "GET")].concat();
            let options = ReadOptions { format: Some(Format::OtlpJson), ..ReadOptions::default() };
            let telemetry = read_bytes(Path::new("nested.json"), text.as_bytes(), &options).unwrap();
            let ids = &telemetry.spans.id;
            assert!(ids.contains(&7) && ids.contains(&8), "depth {depth} of {open}: {}", told(&telemetry));
        }
    }
    // Whatever the format, nesting alone is no reason to overflow the stack.
    for format in Format::all() {
        for piece in ["[", "{\"data\":", "{\"resourceSpans\":[", "{\"traces\":[{\"a\":", "\n\u{1}\u{1}"] {
            let options = ReadOptions { format: Some(format), ..ReadOptions::default() };
            drop(read_bytes(Path::new("nested"), piece.repeat(500_000).as_bytes(), &options));
        }
    }
}

#[test]
fn endless_names_are_cut_and_stay_apart() {
    let endless = "n".repeat(10 * MEBIBYTE);
    let lines = [span(1, &endless, "GET"), span(2, &format!("{endless}2"), &endless), span(3, "cart", "GET")].concat();
    let telemetry = read_bytes(Path::new("names.json"), lines.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!(telemetry.spans.len(), 3);
    let services: Vec<&str> =
        telemetry.spans.resources().iter().map(|r| r.service.as_str()).filter(|s| !s.is_empty()).collect();
    assert_eq!(services.len(), 3, "one name for each service");
    assert!(services.iter().all(|name| name.len() <= MAX_NAME_BYTES));
    assert!(told(&telemetry).contains("names longer than 1 KiB are kept in part"), "{}", told(&telemetry));

    let metrics = format!(
        "# TYPE up gauge\nup{{service=\"{endless}\",{}=\"x\"}} 1 1700000000\nup{{service=\"cart\"}} 1 1700000000\n# EOF\n",
        "l".repeat(MEBIBYTE)
    );
    let telemetry = read_bytes(Path::new("names.om"), metrics.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!(telemetry.series.len(), 2, "{}", told(&telemetry));
    assert!(telemetry.series.iter().all(|s| s.subject.to_string().len() <= 2 * MAX_NAME_BYTES));
    assert!(told(&telemetry).len() < 16 * MAX_NAME_BYTES, "warnings are short, too");
}

#[test]
fn a_quote_that_is_never_closed_costs_its_file_only() {
    let folder = tempfile::tempdir().unwrap();
    let header = "trace_id,span_id,parent_id,service,start_time,duration_s\n";
    let mut file = fs::File::create(folder.path().join("quote.csv")).unwrap();
    write!(file, "{header}1,1,,cart,1700000000,1\n2,2,,\"cart,1700000000,1\n").unwrap();
    for id in 3..2000 {
        writeln!(file, "{id},{id},,cart,1700000000,1").unwrap();
    }
    fs::write(folder.path().join("whole.csv"), format!("{header}1,9,,cart,1700000000,1\n")).unwrap();
    let telemetry = read_paths(&[folder.path().to_owned()], &ReadOptions::default(), &|_| ()).unwrap();
    assert!(telemetry.spans.id.contains(&1) && telemetry.spans.id.contains(&9));
    assert!(telemetry.cut.is_empty(), "nothing tells that this file lacks anything");
    assert!(told(&telemetry).contains("quote.csv"), "{}", told(&telemetry));
}
