//! Requests of Prometheus' remote-write 1.0, and the answer of `query_range` that they make together.
//!
//! Source: Prometheus Remote-Write 1.0 specification; `prompb/remote.proto` and `types.proto` of Prometheus.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Value, json};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    /// Native histograms, which are counted and not kept apart.
    #[prost(bytes = "vec", repeated, tag = "4")]
    histograms: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    /// Unix milliseconds.
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// Why a request cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RemoteWriteError {
    /// The bytes are no request.
    #[error("not a request of remote-write 1.0 (prometheus.WriteRequest): {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A series that the specification forbids.
    #[error("a series has no label `__name__`; send series as Prometheus does")]
    NoName,
}

/// What a request holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Samples.
    pub samples: u64,
    /// Native histograms, which cannot be analysed.
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
    let request = WriteRequest::decode(payload)?;
    if request.timeseries.iter().any(|series| series.labels.iter().all(|label| label.name != "__name__")) {
        return Err(RemoteWriteError::NoName);
    }
    let mut checked = Checked::default();
    for series in &request.timeseries {
        checked.samples += series.samples.len() as u64;
        checked.histograms += series.histograms.len() as u64;
        for sample in &series.samples {
            let at_ns = sample.timestamp.saturating_mul(NANOS_PER_MILLISECOND);
            let (first, last) = checked.first_and_last_ns.unwrap_or((at_ns, at_ns));
            checked.first_and_last_ns = Some((first.min(at_ns), last.max(at_ns)));
        }
    }
    Ok(checked)
}

/// Series of many requests.
#[derive(Default)]
pub(super) struct Gathered {
    series: BTreeMap<Vec<(String, String)>, BTreeMap<i64, f64>>,
    /// Native histograms left out.
    pub(super) histograms: u64,
}

impl Gathered {
    /// Adds the samples of a request whose time (Unix nanoseconds) `wanted` accepts.
    pub(super) fn add(&mut self, payload: &[u8], wanted: impl Fn(i64) -> bool) -> Result<(), RemoteWriteError> {
        for series in WriteRequest::decode(payload)?.timeseries {
            self.histograms += series.histograms.len() as u64;
            let mut samples = series.samples;
            samples.retain(|sample| {
                sample.value.to_bits() != STALE && wanted(sample.timestamp.saturating_mul(NANOS_PER_MILLISECOND))
            });
            if samples.is_empty() {
                continue;
            }
            let labels = series.labels.into_iter().map(|label| (label.name, label.value)).collect();
            let known = self.series.entry(labels).or_default();
            known.extend(samples.iter().map(|sample| (sample.timestamp, sample.value)));
        }
        Ok(())
    }

    /// All of it as Prometheus would answer a query over the range; `None` where there is nothing.
    pub(super) fn into_answer(self) -> Option<Vec<u8>> {
        if self.series.is_empty() {
            return None;
        }
        let result: Vec<Value> = self
            .series
            .into_iter()
            .map(|(labels, samples)| {
                let metric: serde_json::Map<_, _> =
                    labels.into_iter().map(|(name, value)| (name, value.into())).collect();
                let values: Vec<Value> =
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
    use super::*;

    fn request(name: &str, samples: &[(i64, f64)]) -> Vec<u8> {
        let labels = vec![Label { name: "__name__".into(), value: name.into() }];
        let samples =
            samples.iter().map(|(timestamp, value)| Sample { value: *value, timestamp: *timestamp }).collect();
        WriteRequest { timeseries: vec![TimeSeries { labels, samples, histograms: vec![] }] }.encode_to_vec()
    }

    #[test]
    fn requests_make_one_answer_each_sample_once() {
        let mut gathered = Gathered::default();
        let stale = f64::from_bits(STALE);
        for bytes in [request("up", &[(1500, 1.0), (2000, 0.0)]), request("up", &[(2000, 0.0), (2500, stale)])] {
            gathered.add(&bytes, |_| true).unwrap();
        }
        let answer: Value = serde_json::from_slice(&gathered.into_answer().unwrap()).unwrap();
        assert_eq!(
            answer["data"]["result"],
            json!([{ "metric": { "__name__": "up" }, "values": [[1.5, "1"], [2.0, "0"]] }])
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(matches!(check(b"\x0a\x7f"), Err(RemoteWriteError::Malformed(_))));
        let nameless = WriteRequest { timeseries: vec![TimeSeries::default()] }.encode_to_vec();
        assert!(matches!(check(&nameless), Err(RemoteWriteError::NoName)));
        let checked = check(&request("up", &[(1500, 1.0), (2000, 0.0)])).unwrap();
        assert_eq!(checked.first_and_last_ns, Some((1_500_000_000, 2_000_000_000)));
    }
}
