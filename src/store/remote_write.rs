//! Requests of Prometheus' remote-write 1.0, and the answer of `query_range` that they make together.
//!
//! Of native histograms, sum and count are taken, as the series that a classic one has besides its buckets.
//!
//! Source: Prometheus Remote-Write 1.0 specification; `prompb/remote.proto` and `types.proto` of Prometheus.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::ingest::protobuf::{Broken, Fields, Value};

/// Why a request cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RemoteWriteError {
    /// The bytes are no request.
    #[error("not a request of remote-write 1.0 (prometheus.WriteRequest): {problem} at byte {byte}")]
    Malformed {
        /// What is wrong.
        problem: &'static str,
        /// Where, uncompressed.
        byte: usize,
    },
    /// A series that the specification forbids.
    #[error("a series has no label `__name__`; send series as Prometheus does")]
    NoName,
    /// The same.
    #[error("a series has a label without a name; send series as Prometheus does")]
    NamelessLabel,
    /// More labels than any real series has: they would take many times the memory of the request.
    #[error("a series has more than {MAX_LABELS} labels")]
    TooManyLabels,
}

/// Prometheus itself limits labels to 30 where one asks it for limits.
const MAX_LABELS: usize = 1000;

/// A request, of which one series at a time is looked at, and nothing is built: a few bytes of it may stand for a series or
/// a label, which would take many times as much.
#[derive(Clone, Copy)]
struct Request<'b>(&'b [u8]);

/// A series of a request.
#[derive(Default)]
struct Series<'b> {
    labels: Vec<(&'b str, &'b str)>,
    /// How many samples it has.
    samples: u64,
    histograms: u64,
}

/// The values of a series that were wanted.
#[derive(Default)]
struct Values {
    samples: Vec<Sample>,
    /// Of native histograms.
    sums: Vec<Sample>,
    counts: Vec<Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    value: f64,
    /// Unix milliseconds.
    timestamp: i64,
}

impl Sample {
    fn at_ns(&self) -> i64 {
        self.timestamp.saturating_mul(NANOS_PER_MILLISECOND)
    }
}

impl<'b> Request<'b> {
    fn malformed(self, at: &[u8], problem: &'static str) -> RemoteWriteError {
        RemoteWriteError::Malformed { problem, byte: at.as_ptr().addr().saturating_sub(self.0.as_ptr().addr()) }
    }

    /// Hands the fields of one of its messages to `each`.
    fn fields(
        self,
        message: &'b [u8],
        mut each: impl FnMut(u32, Value<'b>) -> Result<(), RemoteWriteError>,
    ) -> Result<(), RemoteWriteError> {
        let mut fields = Fields::of(message);
        let broken = |Broken { at, problem }: Broken<'_>| self.malformed(at, problem);
        while let Some((number, value)) = fields.next().map_err(broken)? {
            each(number, value)?;
        }
        Ok(())
    }

    /// The bytes of a field of `message`.
    fn bytes(self, message: &[u8], value: Value<'b>) -> Result<&'b [u8], RemoteWriteError> {
        value.bytes().ok_or_else(|| self.malformed(message, WRONG_TYPE))
    }

    /// Hands each series to `each` with the values that `wanted` accepts; of a native histogram it is asked of the sum.
    fn each_series(
        self,
        wanted: impl Fn(&Sample) -> bool,
        mut each: impl FnMut(Series<'b>, Values),
    ) -> Result<(), RemoteWriteError> {
        self.fields(self.0, |number, value| {
            if number == 1 {
                let message = self.bytes(self.0, value)?;
                let (series, values) = self.series(message, &wanted)?;
                each(series, values);
            }
            Ok(())
        })
    }

    fn series(
        self,
        message: &'b [u8],
        wanted: impl Fn(&Sample) -> bool,
    ) -> Result<(Series<'b>, Values), RemoteWriteError> {
        let (mut series, mut values) = (Series::default(), Values::default());
        self.fields(message, |number, value| {
            match number {
                1 if series.labels.len() == MAX_LABELS => return Err(RemoteWriteError::TooManyLabels),
                1 => series.labels.push(self.label(self.bytes(message, value)?)?),
                2 => {
                    series.samples += 1;
                    let sample = self.sample(self.bytes(message, value)?)?;
                    values.samples.extend(wanted(&sample).then_some(sample));
                }
                4 => {
                    series.histograms += 1;
                    let (sum, count) = self.histogram(self.bytes(message, value)?)?;
                    if wanted(&sum) {
                        values.sums.push(sum);
                        values.counts.push(count);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        if series.labels.iter().all(|(name, _)| *name != "__name__") {
            return Err(RemoteWriteError::NoName);
        }
        Ok((series, values))
    }

    /// Sum and count of a native histogram.
    fn histogram(self, message: &'b [u8]) -> Result<(Sample, Sample), RemoteWriteError> {
        let (mut sum, mut count, mut timestamp) = (0.0, 0.0, 0);
        self.fields(message, |number, value| {
            match (number, value) {
                (1, Value::Varint(whole)) => count = whole as f64,
                (2, Value::Fixed64(bits)) => count = f64::from_bits(bits),
                (3, Value::Fixed64(bits)) => sum = f64::from_bits(bits),
                (15, Value::Varint(at)) => timestamp = at.cast_signed(),
                (1..=3 | 15, _) => return Err(self.malformed(message, WRONG_TYPE)),
                _ => {}
            }
            Ok(())
        })?;
        Ok((Sample { value: sum, timestamp }, Sample { value: count, timestamp }))
    }

    fn label(self, message: &'b [u8]) -> Result<(&'b str, &'b str), RemoteWriteError> {
        let mut label = ("", "");
        let text = |value| {
            let bytes = self.bytes(message, value)?;
            std::str::from_utf8(bytes).map_err(|_not_utf8| self.malformed(bytes, "text that is not UTF-8"))
        };
        self.fields(message, |number, value| {
            match number {
                1 => label.0 = text(value)?,
                2 => label.1 = text(value)?,
                _ => {}
            }
            Ok(())
        })?;
        if label.0.is_empty() { Err(RemoteWriteError::NamelessLabel) } else { Ok(label) }
    }

    fn sample(self, message: &'b [u8]) -> Result<Sample, RemoteWriteError> {
        let mut sample = Sample { value: 0.0, timestamp: 0 };
        self.fields(message, |number, value| {
            match (number, value) {
                (1, Value::Fixed64(bits)) => sample.value = f64::from_bits(bits),
                (2, Value::Varint(timestamp)) => sample.timestamp = timestamp.cast_signed(),
                (1 | 2, _) => return Err(self.malformed(message, WRONG_TYPE)),
                _ => {}
            }
            Ok(())
        })?;
        Ok(sample)
    }
}

const WRONG_TYPE: &str = "a field of another type than it should have";

/// What a request holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Samples.
    pub samples: u64,
    /// Native histograms, of which sum and count are taken.
    pub histograms: u64,
    /// First and last time, Unix nanoseconds.
    pub first_and_last_ns: Option<(i64, i64)>,
}

/// How Prometheus marks the end of a series: a number that is none, with these bits.
const STALE: u64 = 0x7ff0_0000_0000_0002;
const NANOS_PER_MILLISECOND: i64 = 1_000_000;

/// Looks through a request.
///
/// # Errors
/// [`RemoteWriteError`] when it is none.
pub fn check(payload: &[u8]) -> Result<Checked, RemoteWriteError> {
    let range = Cell::new(None);
    let mut checked = Checked::default();
    let note = |sample: &Sample| {
        let at_ns = sample.at_ns();
        let (first, last) = range.get().unwrap_or((at_ns, at_ns));
        range.set(Some((at_ns.min(first), at_ns.max(last))));
        // The samples themselves are not needed.
        false
    };
    Request(payload).each_series(note, |series, _none| {
        checked.samples += series.samples;
        checked.histograms += series.histograms;
    })?;
    checked.first_and_last_ns = range.get();
    Ok(checked)
}

/// Series of many requests.
#[derive(Default)]
pub(super) struct Gathered {
    series: BTreeMap<Labels, BTreeMap<i64, f64>>,
    /// How many native histograms came with these labels; their buckets are left out.
    histograms: BTreeMap<Labels, u64>,
}

/// Of a series, its name among them.
type Labels = Vec<(String, String)>;

impl Gathered {
    /// Adds the samples of a request whose time (Unix nanoseconds) `wanted` accepts.
    pub(super) fn add(&mut self, payload: &[u8], wanted: impl Fn(i64) -> bool) -> Result<(), RemoteWriteError> {
        let wanted = |sample: &Sample| sample.value.to_bits() != STALE && wanted(sample.at_ns());
        Request(payload).each_series(wanted, |series, Values { samples, sums, counts }| {
            if !sums.is_empty() {
                let label = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
                *self.histograms.entry(series.labels.iter().map(label).collect()).or_default() += sums.len() as u64;
            }
            for (suffix, samples) in [("", samples), ("_sum", sums), ("_count", counts)] {
                if samples.is_empty() {
                    continue;
                }
                let label = |(name, value): &(&str, &str)| {
                    let suffix = if *name == "__name__" { suffix } else { "" };
                    ((*name).to_owned(), format!("{value}{suffix}"))
                };
                let known = self.series.entry(series.labels.iter().map(label).collect()).or_default();
                known.extend(samples.iter().map(|sample| (sample.timestamp, sample.value)));
            }
        })
    }

    /// How many native histograms came of which the classic one did not come besides.
    pub(super) fn histograms_without_buckets(&self) -> u64 {
        let classic = |labels: &Labels| {
            let mut native: Labels = labels.iter().filter(|(name, _)| name != "le").cloned().collect();
            let (_, name) = native.iter_mut().find(|(name, _)| name == "__name__")?;
            *name = name.strip_suffix("_bucket")?.to_owned();
            Some(native)
        };
        if self.histograms.is_empty() {
            return 0;
        }
        let classic: BTreeSet<Labels> = self.series.keys().filter_map(classic).collect();
        self.histograms.iter().filter(|(labels, _)| !classic.contains(*labels)).map(|(_, count)| count).sum()
    }

    /// All of it as Prometheus would answer a query over the range; `None` where there is nothing.
    pub(super) fn into_answer(self) -> Option<Vec<u8>> {
        if self.series.is_empty() {
            return None;
        }
        let result: Vec<Json> = self
            .series
            .into_iter()
            .map(|(labels, samples)| {
                let metric: serde_json::Map<_, _> =
                    labels.into_iter().map(|(name, value)| (name, value.into())).collect();
                let values: Vec<Json> =
                    samples.into_iter().map(|(ms, value)| json!([ms as f64 / 1e3, value.to_string()])).collect();
                json!({ "metric": metric, "values": values })
            })
            .collect();
        let answer = json!({ "status": "success", "data": { "resultType": "matrix", "result": result } });
        Some(answer.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        timeseries: Vec<TimeSeries>,
    }

    /// Series as they are written.
    #[derive(Clone, PartialEq, Message)]
    struct WriteRequestBytes {
        #[prost(bytes = "vec", repeated, tag = "1")]
        timeseries: Vec<Vec<u8>>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Point>,
        #[prost(bytes = "vec", repeated, tag = "4")]
        histograms: Vec<Vec<u8>>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Histogram {
        #[prost(uint64, tag = "1")]
        count: u64,
        #[prost(double, tag = "3")]
        sum: f64,
        #[prost(sint32, tag = "4")]
        schema: i32,
        #[prost(sint64, repeated, tag = "12")]
        positive_deltas: Vec<i64>,
        #[prost(int64, tag = "15")]
        timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Label {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        value: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Point {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        timestamp: i64,
    }

    fn of_series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
        let label = |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
        let point = |(timestamp, value): &(i64, f64)| Point { value: *value, timestamp: *timestamp };
        let (labels, samples) = (labels.iter().map(label).collect(), samples.iter().map(point).collect());
        WriteRequest { timeseries: vec![TimeSeries { labels, samples, histograms: Vec::new() }] }.encode_to_vec()
    }

    fn request(name: &str, samples: &[(i64, f64)]) -> Vec<u8> {
        of_series(&[("__name__", name)], samples)
    }

    #[test]
    fn requests_make_one_answer_each_sample_once() {
        let mut gathered = Gathered::default();
        let stale = f64::from_bits(STALE);
        for bytes in [request("up", &[(1500, 1.0), (2000, 0.0)]), request("up", &[(2000, 0.0), (2500, stale)])] {
            gathered.add(&bytes, |_| true).unwrap();
        }
        let answer: Json = serde_json::from_slice(&gathered.into_answer().unwrap()).unwrap();
        assert_eq!(
            answer["data"]["result"],
            json!([{ "metric": { "__name__": "up" }, "values": [[1.5, "1"], [2.0, "0"]] }])
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(matches!(check(b"\x0a\x7f"), Err(RemoteWriteError::Malformed { byte: 0, .. })));
        let wrong = check(b"\x0a\x02\x10\x01").unwrap_err();
        assert_eq!(wrong, RemoteWriteError::Malformed { problem: WRONG_TYPE, byte: 2 });
        assert_eq!(check(&of_series(&[("job", "a")], &[])), Err(RemoteWriteError::NoName));
        assert_eq!(check(&of_series(&[("__name__", "a"), ("", "")], &[])), Err(RemoteWriteError::NamelessLabel));
        assert_eq!(check(&of_series(&[("__name__", "a"); 1001], &[])), Err(RemoteWriteError::TooManyLabels));
        // Series and labels of two bytes each would take hundreds of megabytes.
        let (series, labels) = (b"\x0a\x00".repeat(4 << 20), b"\x0a\x00".repeat(4 << 20));
        assert_eq!(check(&series), Err(RemoteWriteError::NoName));
        let labels = WriteRequestBytes { timeseries: vec![labels] }.encode_to_vec();
        assert_eq!(check(&labels), Err(RemoteWriteError::NamelessLabel));
        let checked = check(&request("up", &[(1500, 1.0), (2000, 0.0)])).unwrap();
        let first_and_last_ns = Some((1_500_000_000, 2_000_000_000));
        assert_eq!(checked, Checked { samples: 2, histograms: 0, first_and_last_ns });
    }

    #[test]
    fn sum_and_count_of_native_histograms_are_taken() {
        let histogram = |timestamp: i64, count: u64, sum: f64| {
            Histogram { count, sum, schema: 3, positive_deltas: vec![count as i64], timestamp }.encode_to_vec()
        };
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        let labels = vec![label("__name__", "rpc_seconds"), label("job", "a")];
        let histograms = vec![histogram(1500, 7, 2.5), histogram(2500, 9, f64::from_bits(STALE))];
        let request = WriteRequest { timeseries: vec![TimeSeries { labels, samples: Vec::new(), histograms }] };
        let bytes = request.encode_to_vec();
        let first_and_last_ns = Some((1_500_000_000, 2_500_000_000));
        assert_eq!(check(&bytes), Ok(Checked { samples: 0, histograms: 2, first_and_last_ns }));
        let mut gathered = Gathered::default();
        gathered.add(&bytes, |_| true).unwrap();
        assert_eq!(gathered.histograms_without_buckets(), 1);
        // With the buckets of another series there is still something to do, and with its own nothing.
        for (job, left) in [("b", 1), ("a", 0)] {
            let labels = [("__name__", "rpc_seconds_bucket"), ("job", job), ("le", "+Inf")];
            let mut both = Gathered::default();
            both.add(&bytes, |_| true).unwrap();
            both.add(&of_series(&labels, &[(1500, 7.0)]), |_| true).unwrap();
            assert_eq!(both.histograms_without_buckets(), left, "{job}");
        }
        let answer: Json = serde_json::from_slice(&gathered.into_answer().unwrap()).unwrap();
        let series =
            |name: &str, value: &str| json!({ "metric": { "__name__": name, "job": "a" }, "values": [[1.5, value]] });
        assert_eq!(
            answer["data"]["result"],
            json!([series("rpc_seconds_count", "7"), series("rpc_seconds_sum", "2.5")])
        );
        assert!(
            check(
                &WriteRequest {
                    timeseries: vec![TimeSeries {
                        labels: vec![label("__name__", "a")],
                        samples: Vec::new(),
                        histograms: vec![vec![0x1d, 0, 0, 0, 0]]
                    }]
                }
                .encode_to_vec()
            )
            .is_err()
        );
    }
}
