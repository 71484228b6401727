//! What is done with bytes that mean no good: read as each format, and carried through to the reports.
//!
//! The fuzz targets and `tests/fuzz_corpus.rs` share it, so that what fuzzing once found stays found.

use std::path::Path;

use hypocenter::analysis::{Settings, analyze};
use hypocenter::assemble::{Request, assemble};
use hypocenter::case::Case;
use hypocenter::ingest::{Format, ReadOptions, SpanColumns, Telemetry, read_bytes};
use hypocenter::report;
use hypocenter::telemetry::time::Window;
use hypocenter::timespec;

/// Small, so that a bomb costs little time.
const MAX_FILE_BYTES: u64 = 4 << 20;
const HALF_HOUR_NS: i64 = 1_800_000_000_000;

/// Reads the bytes as a format, or as what they look like, and holds the result against what is promised of it.
///
/// # Panics
/// When a promise is broken.
pub fn read(format: Option<Format>, bytes: &[u8]) -> Option<Telemetry> {
    let options = ReadOptions { format, max_file_bytes: MAX_FILE_BYTES, ..ReadOptions::default() };
    let telemetry = read_bytes(Path::new("fuzzed"), bytes, &options).ok()?;
    let spans = &telemetry.spans;
    for row in 0..spans.len() {
        let span = spans.get(row);
        assert!(span.id.0 != 0 && span.start_ns > 0);
        assert!((span.resource.0 as usize) < spans.resources().len());
        assert!((span.operation.0 as usize) < spans.operations().len());
        assert!(span.peer.is_none_or(|peer| (peer.0 as usize) < spans.peers().len()));
    }
    assert!(spans.weight.is_empty() || spans.weight.len() == spans.len());
    assert!(spans.weight.iter().all(|&weight| weight > 0));
    assert!(spans.links.iter().all(|link| (link.row as usize) < spans.len()));
    for series in &telemetry.series {
        assert!(series.samples.windows(2).all(|pair| pair[0].0 < pair[1].0), "times ascend");
        assert!(series.samples.iter().all(|sample| sample.1.is_finite()), "a gap is a missing time");
    }
    assert!(telemetry.skipped == 0 || !telemetry.warnings.is_empty(), "skipped without a word");
    Some(telemetry)
}

/// Reads the bytes as what they look like and analyses the hour around their middle.
pub fn analyse(bytes: &[u8]) {
    let Some(telemetry) = read(None, bytes) else { return };
    let mut times = telemetry.spans.start_ns.clone();
    times.extend(telemetry.series.iter().flat_map(|series| &series.samples).map(|sample| sample.0));
    times.sort_unstable();
    let Some(&middle_ns) = times.get(times.len() / 2) else { return };
    let window = |from_ns: i64| Window::new(from_ns, from_ns.checked_add(HALF_HOUR_NS)?).ok();
    let (Some(window), Some(baseline)) = (window(middle_ns), middle_ns.checked_sub(HALF_HOUR_NS).and_then(window))
    else {
        return;
    };
    let request = Request { name: "fuzzed".to_owned(), window, baselines: vec![baseline], entry: None, symptom: None };
    let Ok(incident) = assemble(telemetry, request) else { return };
    let diagnosis = analyze(&incident, &Settings::default());
    let formats = [report::Format::Text { colour: true, width: 100 }, report::Format::Markdown, report::Format::Json];
    for format in formats {
        let mut out = Vec::new();
        report::write(&diagnosis, format, &mut out).expect("memory takes it");
        let text = String::from_utf8(out).expect("a report is text");
        let hostile = |c: char| c.is_control() && c != '\n' && c != '\u{1b}';
        assert!(format == report::Format::Json || !text.contains(hostile), "a control character in a report");
    }
}

/// polars panics on some broken Parquet files, which ingest catches; libFuzzer would end the process before. A panic that
/// nobody catches still ends it.
#[allow(dead_code, reason = "the test that shares this file has no libFuzzer")]
pub fn only_uncaught_panics_count() {
    std::panic::set_hook(Box::new(|_| ()));
}

/// Reads what people write: times, durations, windows, columns and case descriptions.
///
/// # Panics
/// When an instant does not survive being written and read again.
pub fn texts(text: &str) {
    if let Ok(at_ns) = timespec::parse_time(text, 0) {
        assert_eq!(timespec::parse_time(&timespec::rfc3339(at_ns), 0).ok(), Some(at_ns), "what is written can be read");
    }
    // Errors are what most inputs deserve; only panics and hangs are wrong.
    drop(timespec::parse_duration(text));
    drop(timespec::parse_window(text, HALF_HOUR_NS));
    drop(SpanColumns::parse(text));
    drop(Case::from_text(text, Path::new("fuzzed/case.toml"), "fuzzed"));
}
