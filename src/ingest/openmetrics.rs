//! OpenMetrics text and the classic Prometheus text format, with timestamps, as `promtool tsdb dump-openmetrics` or a
//! recorded exporter writes them.
//!
//! The line parser is our own: openmetrics-parser is under the LGPL and rejects a whole file for one bad line;
//! prometheus-parse gives samples without timestamp the time of reading and drops what it does not understand in silence.
//! OpenMetrics writes seconds and the classic format milliseconds; the number's size tells which, so that no `# EOF` at
//! the far end of the file must be awaited.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::metric_parts::{Part, split_part};
use super::signals::{RawKind, RawSeries};
use super::text::LineReader;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, instant};

/// Whether the first lines are comments of the format, or samples.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let Some(text) = head.bytes.get(..head.bytes.len().min(4096)) else { return false };
    let text = String::from_utf8_lossy(text);
    let mut samples = 0;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        if ["# TYPE ", "# HELP ", "# UNIT ", "# EOF"].iter().any(|start| line.starts_with(start)) {
            return true;
        }
        if line.starts_with('#') {
            continue;
        }
        // The last line may be cut.
        if split_sample(line).is_err() {
            return samples > 0 && lines.peek().is_none();
        }
        samples += 1;
        if samples == 3 {
            return true;
        }
    }
    samples > 0
}

/// Reads all samples that carry a time.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let mut lines = LineReader::new(input, options);
    let mut exposition = Exposition { source: Arc::from(path.to_string_lossy()), ..Exposition::default() };
    let mut last_line = 0;
    let result = loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let problem = match std::str::from_utf8(line.bytes) {
            Ok(text) => exposition.line(text).err(),
            Err(_invalid) => Some("not valid UTF-8"),
        };
        if let Some(problem) = problem {
            out.skip(path, format_args!("line {}", line.number), problem);
        }
        last_line = line.number;
    };
    if exposition.is_open_metrics() && !exposition.has_end && result.is_ok() {
        out.warn(path, format_args!("line {last_line}"), NO_END, 1);
    }
    out.raw_series.extend(exposition.finish());
    result
}

/// What was read so far.
#[derive(Default)]
struct Exposition {
    source: Arc<str>,
    /// Whether it has a line `# UNIT`, which only OpenMetrics has.
    has_unit: bool,
    /// Whether `# EOF`, with which OpenMetrics has to end, was there.
    has_end: bool,
    kinds: BTreeMap<String, RawKind>,
    /// Series by their text, which repeats with every sample.
    known: FxHashMap<String, usize>,
    series: Vec<RawSeries>,
}

pub(super) const NO_TIMESTAMP: &str = "a sample without timestamp cannot be placed in time; record with timestamps \
                            (`honor_timestamps`, `promtool tsdb dump-openmetrics`) or ask /api/v1/query_range";

const NO_END: &str = "OpenMetrics ends in `# EOF`, which is not there: the file may be cut off";

impl Exposition {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            self.comment(comment);
            return Ok(());
        }
        if line.is_empty() {
            return Ok(());
        }
        let (series, value, timestamp) = split_sample(line)?;
        let timestamp = timestamp.ok_or(NO_TIMESTAMP)?;
        let at_ns = instant::number_ns(timestamp).ok_or("the timestamp is not a number of seconds or milliseconds")?;
        let index = match self.known.get(series) {
            Some(&index) => index,
            None => {
                let (name, labels) = parse_series(series)?;
                let index = self.series.len();
                let kind = RawKind::Unknown;
                self.series.push(RawSeries { source: self.source.clone(), name, labels, kind, samples: Vec::new() });
                self.known.insert(series.to_owned(), index);
                index
            }
        };
        self.series[index].samples.push((at_ns, value));
        Ok(())
    }

    fn comment(&mut self, comment: &str) {
        let mut words = comment.split_ascii_whitespace();
        match words.next() {
            Some("TYPE") => {}
            Some("UNIT") => return self.has_unit = true,
            Some("EOF") => return self.has_end = true,
            _ => return,
        }
        let (Some(name), Some(kind)) = (words.next(), words.next()) else { return };
        let kind = match kind {
            "counter" | "histogram" | "summary" => RawKind::Counter,
            "gauge" | "gaugehistogram" | "info" | "stateset" => RawKind::Gauge,
            _ => RawKind::Unknown,
        };
        self.kinds.insert(name.trim_matches('"').to_owned(), kind);
    }

    /// Whether this is OpenMetrics for certain: counters are declared there by their name without `_total`.
    fn is_open_metrics(&self) -> bool {
        let declared = |series: &RawSeries| {
            let family = series.name.strip_suffix("_total");
            family.is_some_and(|family| self.kinds.get(family) == Some(&RawKind::Counter))
        };
        self.has_unit || self.series.iter().any(declared)
    }

    fn finish(mut self) -> Vec<RawSeries> {
        for series in &mut self.series {
            let (base, part) = split_part(&series.name);
            let family = series.name.strip_suffix("_total").unwrap_or(base);
            let kind = self.kinds.get(&series.name).or_else(|| self.kinds.get(family));
            series.kind = match kind.copied().unwrap_or(RawKind::Unknown) {
                // A summary's quantiles are no counters, though its type counts as one for `_sum` and `_count`.
                RawKind::Counter if part == Part::None && series.label("quantile").is_some() => RawKind::Gauge,
                kind => kind,
            };
        }
        self.series
    }
}

/// Cuts a line into the series' text, its value, and its timestamp if there is one. An exemplar is left out.
fn split_sample(line: &str) -> Result<(&str, f64, Option<&str>), &'static str> {
    let end = series_end(line).ok_or("no value after the series' name and labels")?;
    let (series, rest) = line.split_at(end);
    if series.is_empty() {
        return Err("no metric name");
    }
    let rest = rest.split(" # ").next().unwrap_or(rest);
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().ok_or("no value after the series' name and labels")?;
    let value = value.parse::<f64>().map_err(|_not_a_number| "the value is not a number")?;
    let timestamp = words.next();
    if words.next().is_some() {
        return Err("more than a value and a timestamp after the series' name and labels");
    }
    Ok((series.trim_end(), value, timestamp))
}

/// Where the series' text ends: behind the closing brace, or at the first white space where there are no labels.
fn series_end(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let start = memchr::memchr3(b'{', b' ', b'\t', bytes)?;
    // The classic format allows white space between name and labels.
    let brace = start + bytes[start..].iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    if !bytes[..start].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'.')) {
        return None;
    }
    if bytes[brace] != b'{' {
        return Some(start);
    }
    let mut quoted = false;
    let mut position = brace + 1;
    while let Some(&byte) = bytes.get(position) {
        match byte {
            b'\\' if quoted => position += 1,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(position + 1),
            _ => {}
        }
        position += 1;
    }
    None
}

type Labels = Vec<(String, String)>;

/// Name and labels (sorted, without `__name__`) of a series' text `name{label="value",…}`; in the newer form
/// `{"quoted.name", label="value"}` the name is the first quoted word.
pub(crate) fn parse_series(text: &str) -> Result<(String, Labels), &'static str> {
    let Some((name, rest)) = text.split_once('{') else { return Ok((text.trim().to_owned(), Vec::new())) };
    let body = rest.trim_end().strip_suffix('}').ok_or("the labels do not end with `}`")?;
    let mut name = name.trim().to_owned();
    let mut labels = Vec::new();
    let mut rest = body.trim_start();
    while !rest.is_empty() {
        let (label, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find('=').ok_or("a label without `=`")?;
                (rest[..end].trim_end().to_owned(), &rest[end..])
            }
        };
        let after = after.trim_start();
        rest = match after.strip_prefix('=') {
            Some(value) => {
                let quoted = value.trim_start().strip_prefix('"').ok_or("a label's value is not quoted")?;
                let (value, after) = unquote(quoted)?;
                if label == "__name__" {
                    name = value
                } else {
                    labels.push((label, value))
                }
                after
            }
            None if name.is_empty() => {
                name = label;
                after
            }
            None => return Err("a label without `=`"),
        };
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.is_empty() => rest,
            None => return Err("no comma between labels"),
        };
    }
    if labels.iter().any(|(label, _)| label.is_empty()) {
        return Err("a label without a name");
    }
    labels.sort();
    Ok((name, labels))
}

/// The text up to the closing quote, unescaped, and what follows the quote.
fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((position, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[position + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                // Unknown escapes stand for themselves, as Prometheus reads them.
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            letter => value.push(letter),
        }
    }
    Err("a quoted text does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unescaped_and_sorted() {
        let (name, labels) = parse_series(r#"m{path="C:\\DIR\n\"x\"", a = "}{,=" ,}"#).expect("valid");
        assert_eq!(name, "m");
        let expected = [("a".to_owned(), "}{,=".to_owned()), ("path".to_owned(), "C:\\DIR\n\"x\"".to_owned())];
        assert_eq!(labels, expected);
        let (name, labels) = parse_series(r#"{"http.server.duration", "service.name"="cart"}"#).expect("valid");
        assert_eq!((name.as_str(), labels.len()), ("http.server.duration", 1));
        assert_eq!(parse_series("up").expect("valid"), ("up".to_owned(), Vec::new()));
    }

    #[test]
    fn samples_are_cut_at_the_right_places() {
        assert_eq!(split_sample("up 1 1661255968"), Ok(("up", 1.0, Some("1661255968"))));
        assert_eq!(split_sample(r#"m{a="} 5"} +Inf"#), Ok((r#"m{a="} 5"}"#, f64::INFINITY, None)));
        let exemplar = r#"m_bucket{le="1"} 4 1661255968.5 # {trace_id="ab"} 0.9 1661255960"#;
        assert_eq!(split_sample(exemplar), Ok((r#"m_bucket{le="1"}"#, 4.0, Some("1661255968.5"))));
    }

    #[test]
    fn each_bad_line_has_its_message() {
        for (line, problem) in [
            ("name", "no value after the series' name and labels"),
            ("name{a=\"b\"}", "no value after the series' name and labels"),
            ("name{a=\"b\" 1 1661255968", "no value after the series' name and labels"),
            ("name abc 1661255968", "the value is not a number"),
            ("name 1 tomorrow", "the timestamp is not a number of seconds or milliseconds"),
            ("name 1", NO_TIMESTAMP),
            ("name 1 1661255968 7", "more than a value and a timestamp after the series' name and labels"),
            ("{a=\"b\"", "no value after the series' name and labels"),
            ("m{a} 1 1661255968", "a label without `=`"),
            ("m{a=b} 1 1661255968", "a label's value is not quoted"),
            ("m{a=\"b\"c=\"d\"} 1 1661255968", "no comma between labels"),
            ("m{=\"b\"} 1 1661255968", "a label without a name"),
        ] {
            assert_eq!(Exposition::default().line(line), Err(problem), "{line}");
        }
    }

    #[test]
    fn types_reach_the_parts_of_their_family() {
        let mut exposition = Exposition::default();
        for line in [
            "# TYPE a counter",
            "a_total 1 1661255968",
            "# TYPE b histogram",
            "b_bucket{le=\"1\"} 1 1661255968",
            "# TYPE c summary",
            "c{quantile=\"0.5\"} 1 1661255968",
            "c_sum 1 1661255968",
            "# TYPE d gauge",
            "d_total 1 1661255968",
            "e 1 1661255968",
            "# EOF",
        ] {
            exposition.line(line).expect("valid");
        }
        let kinds: Vec<RawKind> = exposition.finish().iter().map(|s| s.kind).collect();
        use RawKind::{Counter, Gauge, Unknown};
        assert_eq!(kinds, [Counter, Counter, Gauge, Counter, Gauge, Unknown]);
    }
}
