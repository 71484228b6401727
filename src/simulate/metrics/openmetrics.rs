//! OpenMetrics text with timestamps, as `promtool tsdb create-blocks-from openmetrics` takes it.

use std::io::Write as _;

use super::{Family, FamilyKind, MetricSeries};
use crate::simulate::write::CaseFile;

/// Text repeats so much that higher levels gain little.
const LEVEL: i32 = 3;

/// The file of all families, compressed. They are written as they are given: families by name, series by labels.
pub fn write(families: &[Family]) -> CaseFile {
    let text = text(families);
    let bytes = zstd::bulk::compress(&text, LEVEL).expect("compression into memory does not fail");
    CaseFile { name: "metrics.om.zst".to_owned(), bytes }
}

/// The text of all families.
pub fn text(families: &[Family]) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        let kind = match family.kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        line(&mut out, &["# TYPE ", family.name, " ", kind]);
        if !family.help.is_empty() {
            line(&mut out, &["# HELP ", family.name, " ", &escaped(family.help)]);
        }
        for series in &family.series {
            write_series(&mut out, family.name, series);
        }
    }
    out.extend_from_slice(b"# EOF\n");
    out
}

fn write_series(out: &mut Vec<u8>, name: &str, series: &MetricSeries) {
    let labels: Vec<String> =
        series.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let start = format!("{name}{}{{{}}} ", series.suffix, labels.join(","));
    for (at_ns, value) in &series.samples {
        out.extend_from_slice(start.as_bytes());
        let at_ms = at_ns.div_euclid(1_000_000);
        let (seconds, milliseconds) = (at_ms.div_euclid(1000), at_ms.rem_euclid(1000));
        // Rust writes the shortest decimals that read back as the same number.
        writeln!(out, "{value} {seconds}.{milliseconds:03}").expect("writing into memory does not fail");
    }
}

fn line(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    out.push(b'\n');
}

/// Backslashes, quotes and line breaks escaped, as the format demands it of labels and allows it in help texts.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
