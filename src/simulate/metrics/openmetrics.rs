//! OpenMetrics text with timestamps, as `promtool tsdb create-blocks-from openmetrics` takes it.

use std::io::Write as _;

use super::{Family, FamilyKind, MetricSeries};
use crate::simulate::write::CaseFile;

/// Higher levels take longer, and of this text they make a larger file.
const LEVEL: i32 = 1;

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
        let whole = *value as i64;
        if (whole as f64).total_cmp(value).is_eq() {
            write_whole(out, whole);
        } else {
            // The shortest decimals that read back as the same number.
            write!(out, "{value}").expect("writing into memory does not fail");
        }
        let at_ms = at_ns.div_euclid(1_000_000);
        out.push(b' ');
        write_whole(out, at_ms.div_euclid(1000));
        let milliseconds = at_ms.rem_euclid(1000);
        let digit = |place: i64| b'0' + (milliseconds / place % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'\n']);
    }
}

/// Most samples are whole numbers, and half of what is written are times: this is several times faster than `write!`.
fn write_whole(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    let (mut rest, mut digits, mut begin) = (number.unsigned_abs(), [0_u8; 20], 20);
    loop {
        begin -= 1;
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

fn line(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    out.push(b'\n');
}

/// Backslashes, quotes and line breaks escaped, as the format demands it of labels and allows it in help texts.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_seconds_and_names_are_escaped() {
        let labels = vec![("le", "2.0".to_owned()), ("span_name", "GET /\"a\\b\"\n".to_owned())];
        let samples = vec![(0, 0.0), (1_770_022_800_070_000_000, 12.0), (1_770_022_801_500_000_000, -0.25)];
        let samples = samples.into_iter().chain([(1_770_022_802_000_000_000, 1e300)]).collect();
        let series = vec![MetricSeries { suffix: "_bucket", labels, samples }];
        let family = Family { name: "m", help: "Some\nthing.", kind: FamilyKind::Histogram, series };
        let text = String::from_utf8(text(&[family])).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("# TYPE m histogram"));
        assert_eq!(lines.next(), Some("# HELP m Some\\nthing."));
        let name = r#"m_bucket{le="2.0",span_name="GET /\"a\\b\"\n"}"#;
        assert_eq!(lines.next(), Some(format!("{name} 0 0.000").as_str()));
        assert_eq!(lines.next(), Some(format!("{name} 12 1770022800.070").as_str()));
        assert_eq!(lines.next(), Some(format!("{name} -0.25 1770022801.500").as_str()));
        let large: Vec<&str> = lines.next().unwrap().rsplit(' ').collect();
        assert_eq!(large[0], "1770022802.000");
        assert_eq!(large[1].parse(), Ok(1e300));
        assert_eq!(lines.collect::<Vec<_>>(), ["# EOF"]);
    }
}
