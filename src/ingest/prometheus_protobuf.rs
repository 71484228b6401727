//! Prometheus' exposition in protobuf: messages `io.prometheus.client.MetricFamily`, each with its length before it, as
//! a scrape with `application/vnd.google.protobuf` answers and as federation keeps it with timestamps.
//!
//! The messages are declared here with the field numbers of Prometheus' `io/prometheus/client/metrics.proto`; fields
//! that say nothing of time or value (exemplars, help) are passed over by the decoder. Several scrapes may follow each
//! other in one file.

use std::sync::Arc;

use bytes::Buf;
use prost::Message;
use rustc_hash::FxHashMap;

use super::native_histogram::{self, Described, NativeHistogram};
use super::signals::{RawKind, RawSeries};
use super::text::read_whole;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, openmetrics};

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Value>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Value>,
    #[prost(message, optional, tag = "4")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    untyped: Option<Value>,
    #[prost(int64, optional, tag = "6")]
    timestamp_ms: Option<i64>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    quantile: Vec<Quantile>,
}

#[derive(Clone, PartialEq, Message)]
struct Quantile {
    #[prost(double, optional, tag = "1")]
    quantile: Option<f64>,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(double, optional, tag = "4")]
    sample_count_float: Option<f64>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    #[prost(double, optional, tag = "8")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "9")]
    negative_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "10")]
    negative_delta: Vec<i64>,
    #[prost(double, repeated, tag = "11")]
    negative_count: Vec<f64>,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
    #[prost(double, repeated, tag = "14")]
    positive_count: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
    #[prost(double, optional, tag = "4")]
    cumulative_count_float: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

/// Longest name that `sniff` believes.
const LONGEST_NAME: u64 = 512;

/// Whether the file begins with a length and a message that begins with a metric's name and goes on with help, type,
/// metrics or unit. A length and a name alone would fit too many other files.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let mut rest = head.bytes;
    begins_with_a_family(&mut rest).is_some()
}

fn begins_with_a_family(rest: &mut &[u8]) -> Option<()> {
    let length = usize::try_from(prost::encoding::decode_varint(rest).ok()?).ok()?;
    // A first message that is longer than the head is looked at as far as it is there.
    let mut message = rest.get(..length).unwrap_or(rest);
    if message.is_empty() || message.get_u8() != 0x0a {
        return None;
    }
    let name_length = prost::encoding::decode_varint(&mut message).ok().filter(|n| (1..=LONGEST_NAME).contains(n))?;
    let name = message.get(..usize::try_from(name_length).ok()?)?;
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'.' | b'-' | b'/');
    if !name.iter().all(is_name) || name[0].is_ascii_digit() {
        return None;
    }
    // Help (2), type (3), metric (4), unit (5): the keys of the fields that may follow.
    message.get(name.len()).filter(|key| matches!(key, 0x12 | 0x18 | 0x22 | 0x2a)).map(|_| ())
}

/// Reads all samples that carry a time.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let (bytes, torn) = read_whole(input, options);
    let mut exposition = Exposition { source: Arc::from(path.to_string_lossy()), ..Exposition::default() };
    let mut rest: &[u8] = &bytes;
    let mut broken = None;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let length = prost::encoding::decode_varint(&mut rest).ok().and_then(|length| usize::try_from(length).ok());
        let Some(message) = length.and_then(|length| rest.get(..length)) else {
            broken = Some((at, "the file ends within a message; what comes before is kept".to_owned()));
            break;
        };
        rest.advance(message.len());
        match MetricFamily::decode(message) {
            Ok(family) => {
                for (metric, problem) in exposition.family(family) {
                    out.skip(path, format_args!("byte {at}, metric {}", metric + 1), problem);
                }
            }
            // The length before it tells where the next message begins.
            Err(error) => out.skip(path, format_args!("byte {at}"), &format!("not a MetricFamily: {error}")),
        }
    }
    for (name, samples) in exposition.finish(&mut out.raw_series) {
        out.skipped += samples;
        out.warn(path, format_args!("series `{name}`"), native_histogram::TOO_MANY_BOUNDS, samples);
    }
    match (torn, broken) {
        (Some(torn), _) => Err(torn),
        (None, Some((at, problem))) => Err(IngestError::malformed(path, format_args!("byte {at}"), problem)),
        (None, None) => Ok(()),
    }
}

type Labels = Vec<(String, String)>;

/// One series of native histograms.
struct Native {
    name: String,
    labels: Labels,
    samples: Vec<(i64, NativeHistogram)>,
}

/// What was read so far.
#[derive(Default)]
struct Exposition {
    source: Arc<str>,
    /// Position by name and labels, which repeat with every scrape.
    known: FxHashMap<(String, Labels), usize>,
    series: Vec<RawSeries>,
    known_native: FxHashMap<(String, Labels), usize>,
    native: Vec<Native>,
}

impl Exposition {
    /// Takes one family; gives back which of its metrics were skipped and why.
    fn family(&mut self, family: MetricFamily) -> Vec<(usize, &'static str)> {
        let Some(name) = family.name.filter(|name| !name.is_empty()) else {
            return vec![(0, "a MetricFamily without a name")];
        };
        let mut skipped = Vec::new();
        for (position, metric) in family.metric.into_iter().enumerate() {
            if let Err(problem) = self.metric(&name, metric) {
                skipped.push((position, problem));
            }
        }
        skipped
    }

    fn metric(&mut self, name: &str, metric: Metric) -> Result<(), &'static str> {
        let at_ns = metric.timestamp_ms.ok_or(openmetrics::NO_TIMESTAMP)?;
        let at_ns = at_ns.checked_mul(1_000_000).ok_or("the timestamp is too far away")?;
        let mut labels: Labels = metric
            .label
            .into_iter()
            .map(|pair| (pair.name.unwrap_or_default(), pair.value.unwrap_or_default()))
            .filter(|(name, _)| !name.is_empty())
            .collect();
        labels.sort();
        // Proto2 leaves out what is zero only where the writer chose to; absent is zero here.
        let value = |value: Value| value.value.unwrap_or_default();
        if let Some(counter) = metric.counter {
            // The text form ends counters in `_total` where they do not yet.
            self.push(name, &labels, RawKind::Counter, at_ns, value(counter));
        } else if let Some(gauge) = metric.gauge {
            self.push(name, &labels, RawKind::Gauge, at_ns, value(gauge));
        } else if let Some(untyped) = metric.untyped {
            self.push(name, &labels, RawKind::Unknown, at_ns, value(untyped));
        } else if let Some(summary) = metric.summary {
            self.summary(name, &labels, at_ns, summary);
        } else if let Some(histogram) = metric.histogram {
            self.histogram(name, labels, at_ns, histogram)?;
        } else {
            return Err("a metric without a value");
        }
        Ok(())
    }

    fn summary(&mut self, name: &str, labels: &Labels, at_ns: i64, summary: Summary) {
        let count = summary.sample_count.unwrap_or_default() as f64;
        self.push(&format!("{name}_count"), labels, RawKind::Counter, at_ns, count);
        self.push(&format!("{name}_sum"), labels, RawKind::Counter, at_ns, summary.sample_sum.unwrap_or_default());
        for quantile in summary.quantile {
            let labels = with(labels, "quantile", quantile.quantile.unwrap_or_default());
            self.push(name, &labels, RawKind::Gauge, at_ns, quantile.value.unwrap_or_default());
        }
    }

    fn histogram(&mut self, name: &str, labels: Labels, at_ns: i64, mut h: Histogram) -> Result<(), &'static str> {
        let count = h.sample_count_float.filter(|count| *count > 0.0);
        let count = count.unwrap_or_else(|| h.sample_count.unwrap_or_default() as f64);
        let sum = h.sample_sum.unwrap_or_default();
        let buckets = std::mem::take(&mut h.bucket);
        // A native histogram without observations is told by its schema and its zero bucket.
        let is_native = h.schema.is_some() && (!h.positive_span.is_empty() || h.zero_threshold.is_some());
        if is_native {
            let histogram = NativeHistogram { count, sum, buckets: native_buckets(&h)? };
            let key = (name.to_owned(), labels);
            let index = match self.known_native.get(&key) {
                Some(&index) => index,
                None => {
                    let (name, labels) = key.clone();
                    self.native.push(Native { name, labels, samples: Vec::new() });
                    self.known_native.insert(key, self.native.len() - 1);
                    self.native.len() - 1
                }
            };
            self.native[index].samples.push((at_ns, histogram));
            return Ok(());
        }
        self.push(&format!("{name}_count"), &labels, RawKind::Counter, at_ns, count);
        self.push(&format!("{name}_sum"), &labels, RawKind::Counter, at_ns, sum);
        let bucket_name = format!("{name}_bucket");
        let mut open = false;
        for bucket in buckets {
            let cumulative = bucket.cumulative_count_float.filter(|count| *count > 0.0);
            let cumulative = cumulative.unwrap_or_else(|| bucket.cumulative_count.unwrap_or_default() as f64);
            let bound = bucket.upper_bound.unwrap_or_default();
            open |= bound == f64::INFINITY;
            self.push(&bucket_name, &with(&labels, "le", bound), RawKind::Counter, at_ns, cumulative);
        }
        // The open bucket may be left out, since it holds what the count says.
        if !open {
            self.push(&bucket_name, &with(&labels, "le", f64::INFINITY), RawKind::Counter, at_ns, count);
        }
        Ok(())
    }

    fn push(&mut self, name: &str, labels: &Labels, kind: RawKind, at_ns: i64, value: f64) {
        let key = (name.to_owned(), labels.clone());
        let index = match self.known.get(&key) {
            Some(&index) => index,
            None => {
                let (name, labels) = key.clone();
                self.series.push(RawSeries { source: self.source.clone(), name, labels, kind, samples: Vec::new() });
                self.known.insert(key, self.series.len() - 1);
                self.series.len() - 1
            }
        };
        self.series[index].samples.push((at_ns, value));
    }

    /// Hands all series over; gives back the native histograms that were refused.
    fn finish(self, out: &mut Vec<RawSeries>) -> Vec<(String, u64)> {
        out.extend(self.series);
        let mut refused = Vec::new();
        for Native { name, labels, mut samples } in self.native {
            samples.sort_by_key(|sample| sample.0);
            samples.dedup_by_key(|sample| sample.0);
            let described = Described { source: &self.source, name: &name, labels: &labels };
            match native_histogram::as_counters(&described, &samples) {
                Ok(series) => out.extend(series),
                Err(_) => refused.push((name, samples.len() as u64)),
            }
        }
        refused
    }
}

/// The labels and one more, a number as Prometheus writes it.
fn with(labels: &Labels, label: &str, number: f64) -> Labels {
    let text = if number == f64::INFINITY { "+Inf".to_owned() } else { number.to_string() };
    let mut labels = labels.clone();
    labels.push((label.to_owned(), text));
    labels.sort();
    labels
}

/// More buckets than a native histogram can have in earnest: with the finest schema, 8, all of f64's range is 524 288
/// buckets, but servers keep 160 by default.
const MOST_BUCKETS: usize = 10_000;

/// Bounds and counts of all buckets, ascending.
///
/// Bucket `i` of schema `s` holds values up to `2^(i / 2^s)`; spans give runs of neighbouring buckets, the first by its
/// index, the others by the distance from the one before; counts are differences from the bucket before, or outright
/// where they are floats (client_model, `metrics.proto`).
fn native_buckets(h: &Histogram) -> Result<Vec<(f64, f64, f64)>, &'static str> {
    let schema = h.schema.unwrap_or_default();
    if !(-4..=8).contains(&schema) {
        return Err("a native histogram with a schema that is not known (-4 to 8)");
    }
    let bound = |index: i64| (index as f64 * 2.0_f64.powi(-schema)).exp2();
    let positive = side(&h.positive_span, &h.positive_delta, &h.positive_count)?;
    let negative = side(&h.negative_span, &h.negative_delta, &h.negative_count)?;
    let mut buckets: Vec<(f64, f64, f64)> =
        negative.iter().rev().map(|&(index, count)| (-bound(index), -bound(index - 1), count)).collect();
    let zeros = h.zero_count_float.filter(|count| *count > 0.0);
    let zeros = zeros.unwrap_or_else(|| h.zero_count.unwrap_or_default() as f64);
    let width = h.zero_threshold.unwrap_or_default();
    if zeros > 0.0 && width >= 0.0 {
        buckets.push((-width, width, zeros));
    }
    buckets.extend(positive.iter().map(|&(index, count)| (bound(index - 1), bound(index), count)));
    Ok(buckets)
}

/// Index and count of the buckets on one side of zero.
fn side(spans: &[BucketSpan], deltas: &[i64], counts: &[f64]) -> Result<Vec<(i64, f64)>, &'static str> {
    let lengths: usize = spans.iter().map(|span| span.length.unwrap_or_default() as usize).sum();
    if lengths > MOST_BUCKETS {
        return Err(native_histogram::TOO_MANY_BOUNDS);
    }
    if lengths != deltas.len().max(counts.len()) {
        return Err("a native histogram whose spans do not have as many buckets as counts");
    }
    let mut buckets = Vec::with_capacity(lengths);
    let (mut index, mut count) = (0_i64, 0_i64);
    for (nth, span) in spans.iter().enumerate() {
        let offset = i64::from(span.offset.unwrap_or_default());
        if nth > 0 && offset < 0 {
            return Err("a native histogram whose spans overlap");
        }
        index += offset;
        for _ in 0..span.length.unwrap_or_default() {
            let own = match (counts.get(buckets.len()), deltas.get(buckets.len())) {
                (Some(&own), _) => own,
                (None, Some(&delta)) => {
                    count = count.saturating_add(delta);
                    count as f64
                }
                (None, None) => 0.0,
            };
            if own.is_nan() || own < 0.0 {
                return Err("a native histogram with a negative count");
            }
            buckets.push((index, own));
            index += 1;
        }
    }
    Ok(buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_length_and_a_family_are_taken_for_the_format() {
        let sniffed = |bytes: &[u8]| sniff(&Head { bytes, columns: &[] });
        let family = MetricFamily { name: Some("up".to_owned()), kind: Some(1), metric: Vec::new() };
        assert!(sniffed(&family.encode_length_delimited_to_vec()));
        for other in
            [&b""[..], b"\x0a", b"{\"a\":1}", b"# TYPE up gauge\n", b"\x05\x0a\x02up", b"\x06\x0a\x02\x00p\x18\x01"]
        {
            assert!(!sniffed(other), "{other:?}");
        }
        // OTLP: field 1 is a message, whose first byte is a key and no letter.
        assert!(!sniffed(b"\x0a\x20\x0a\x1e\x0a\x1c\x0a\x0c"));
    }

    #[test]
    fn spans_and_differences_become_buckets() {
        // Prometheus' own example of the wire form: schema 0, indices 0 and 1, then a gap of one, then 3 and 4.
        let h = Histogram {
            schema: Some(0),
            zero_threshold: Some(0.001),
            zero_count: Some(2),
            positive_span: vec![
                BucketSpan { offset: Some(0), length: Some(2) },
                BucketSpan { offset: Some(1), length: Some(2) },
            ],
            positive_delta: vec![2, 1, -2, 3],
            negative_span: vec![BucketSpan { offset: Some(1), length: Some(1) }],
            negative_delta: vec![5],
            ..Histogram::default()
        };
        assert_eq!(
            native_buckets(&h).unwrap(),
            [
                (-2.0, -1.0, 5.0),
                (-0.001, 0.001, 2.0),
                (0.5, 1.0, 2.0),
                (1.0, 2.0, 3.0),
                (4.0, 8.0, 1.0),
                (8.0, 16.0, 4.0)
            ]
        );
        for (broken, problem) in [
            (
                Histogram { schema: Some(9), ..h.clone() },
                "a native histogram with a schema that is not known (-4 to 8)",
            ),
            (
                Histogram { positive_delta: vec![2], ..h.clone() },
                "a native histogram whose spans do not have as many buckets as counts",
            ),
            (Histogram { positive_delta: vec![2, 1, -4, 3], ..h.clone() }, "a native histogram with a negative count"),
            (
                Histogram { positive_span: vec![BucketSpan { offset: Some(0), length: Some(u32::MAX) }], ..h.clone() },
                native_histogram::TOO_MANY_BOUNDS,
            ),
        ] {
            assert_eq!(native_buckets(&broken), Err(problem));
        }
    }
}
