//! The answer of Prometheus' `/api/v1/query_range`: a matrix of series, values as strings.
//!
//! Series are taken one by one while the text is parsed, so that a torn answer keeps those before the tear. A series
//! without `__name__` is the result of an expression and takes its name from the file. Native histograms stand beside the
//! values, under `histograms`. Reference: Prometheus documentation, "HTTP API", "Native histograms".

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::native_histogram::{self, Described, NativeHistogram};
use super::signals::{RawKind, RawSeries};
use super::text::read_whole;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, instant, plain_names};
use crate::telemetry::series::Statistic;

/// Whether the text begins like an answer of the API, or is the page that a proxy sent instead.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let start = head.bytes.get(..head.bytes.len().min(1024)).unwrap_or_default();
    let has = |key: &str| memchr::memmem::find(start, key.as_bytes()).is_some();
    is_html(start)
        || (start.trim_ascii_start().starts_with(b"{")
            && ((has("\"status\"") && (has("\"resultType\"") || has("\"errorType\""))) || has_data_first(start)))
}

/// Whether the result stands before the status, as programs write it that sort the keys: what stands after the result may
/// be far away.
fn has_data_first(start: &[u8]) -> bool {
    let dense: Vec<u8> = start.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    ["\"data\":{\"resultType\":\"", "\"data\":{\"result\":["]
        .iter()
        .any(|keys| memchr::memmem::find(&dense, keys.as_bytes()).is_some())
}

fn is_html(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    let begins = |word: &[u8]| start.get(..word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word));
    begins(b"<!doctype html") || begins(b"<html")
}

/// Reads the series of a matrix.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let (bytes, torn) = read_whole(input, options);
    if is_html(&bytes) {
        let problem = "this is a web page and no telemetry: a login page or a proxy's error was saved in its place; \
                       fetch it again with the right address and credentials";
        return Err(IngestError::malformed(path, "byte 0", problem));
    }
    let mut answer = Answer { source: Arc::from(path.to_string_lossy()), stem: file_stem(path), ..Answer::default() };
    let mut parser = serde_json::Deserializer::from_slice(&bytes);
    let parsed = AnswerSeed(&mut answer).deserialize(&mut parser).and_then(|()| parser.end());
    answer.deliver(path, out)?;
    if let Some(torn) = torn {
        return Err(torn);
    }
    parsed.map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let problem = format!("not valid JSON from here on, what comes before is kept: {error}");
        IngestError::malformed(path, place, problem)
    })
}

/// The file's name without folder and endings: `cpu.json.gz` is `cpu`.
pub(crate) fn file_stem(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}

/// What was read so far.
#[derive(Default)]
struct Answer {
    source: Arc<str>,
    stem: String,
    status: Option<String>,
    error_type: Option<String>,
    error: Option<String>,
    result_type: Option<String>,
    has_result: bool,
    notes: Vec<String>,
    series: Vec<RawSeries>,
    bad_samples: u64,
    bad_series: u64,
    bad_histograms: u64,
    crowded_histograms: u64,
    misnamed_histograms: u64,
}

impl Answer {
    /// Checks the answer as a whole and hands its series on.
    fn deliver(self, path: &Path, out: &mut Telemetry) -> Result<(), IngestError> {
        for note in &self.notes {
            out.warn(path, "", &format!("prometheus says: {note}"), 1);
        }
        if let Some(status) = self.status.as_deref().filter(|status| *status != "success") {
            let kind = self.error_type.as_deref().unwrap_or("no errorType");
            let error = self.error.as_deref().unwrap_or("no error text");
            let problem = format!("prometheus answered with status `{status}`: {kind}: {error}");
            return Err(IngestError::malformed(path, "field `status`", problem));
        }
        if let Some(kind) = self.result_type.as_deref().filter(|kind| *kind != "matrix") {
            let problem = format!("the result is a `{kind}`, which has no course in time; ask /api/v1/query_range");
            return Err(IngestError::malformed(path, "field `data.resultType`", problem));
        }
        for (count, field, message) in [
            (self.bad_samples, "field `values`", "samples that are not a pair of time and value"),
            (self.bad_series, "field `data.result`", "elements that are not a series with `metric` and `values`"),
            (
                self.bad_histograms,
                "field `histograms`",
                "samples that are not a pair of time and native histogram (`count`, `sum`, `buckets`)",
            ),
            (self.crowded_histograms, "field `histograms`", native_histogram::TOO_MANY_BOUNDS),
            (
                self.misnamed_histograms,
                "field `histograms`",
                "native histograms in a file that is named after one quantile are not read; name the file after what is \
                 measured",
            ),
        ] {
            if count > 0 {
                out.skipped += count;
                out.warn(path, field, message, count);
            }
        }
        if self.has_result && self.series.is_empty() && self.bad_series == 0 {
            out.warn(path, "field `data.result`", "the answer holds no series; check the query and its time range", 1);
        }
        let has_result = self.has_result;
        out.raw_series.extend(self.series);
        if has_result {
            Ok(())
        } else {
            let problem = "no list of series here; expected {\"status\":\"success\",\"data\":{\"result\":[…]}}";
            Err(IngestError::malformed(path, "field `data.result`", problem))
        }
    }
}

impl Answer {
    /// Takes a series' native histograms. One with a name is a counter; the result of an expression is one no more.
    fn histograms(
        &mut self,
        name: Option<&str>,
        labels: &[(String, String)],
        mut samples: Vec<(i64, NativeHistogram)>,
    ) {
        if samples.is_empty() {
            return;
        }
        samples.sort_by_key(|sample| sample.0);
        samples.dedup_by_key(|sample| sample.0);
        let described = Described { source: &self.source, name: name.unwrap_or(&self.stem), labels };
        match name.map(|_| native_histogram::as_counters(&described, &samples)) {
            Some(Ok(series)) => self.series.extend(series),
            Some(Err(_)) => self.crowded_histograms += samples.len() as u64,
            // All quantiles would become the one that the name tells.
            None if plain_names::read(&self.stem).statistic != Statistic::Mean => {
                self.misnamed_histograms += samples.len() as u64;
            }
            None => self.series.extend(native_histogram::as_values(&described, &samples)),
        }
    }
}

/// A visitor that takes anything: what it does not want becomes the default value.
macro_rules! otherwise_default {
    (except $($skip:ident)*) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }
        otherwise_default!(@scalar visit_bool bool);
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        otherwise_default!(@maybe [$($skip)*]);
    };
    (@scalar $name:ident $type:ty) => {
        fn $name<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
    (@numbers) => {
        otherwise_default!(@scalar visit_i64 i64);
        otherwise_default!(@scalar visit_u64 u64);
        otherwise_default!(@scalar visit_f64 f64);
    };
    (@text) => { otherwise_default!(@scalar visit_str &str); };
    (@seq) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (@map) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (@maybe [numbers text]) => { otherwise_default!(@seq); otherwise_default!(@map); };
    (@maybe [text]) => { otherwise_default!(@numbers); otherwise_default!(@seq); otherwise_default!(@map); };
    (@maybe [seq]) => { otherwise_default!(@numbers); otherwise_default!(@text); otherwise_default!(@map); };
    (@maybe [map]) => { otherwise_default!(@numbers); otherwise_default!(@text); otherwise_default!(@seq); };
}

/// Text, if it is text.
struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Option<String>;
    otherwise_default!(except text);

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }
}

/// A number, or a text that is one.
struct Number;

impl<'de> Visitor<'de> for Number {
    type Value = Option<f64>;
    otherwise_default!(except numbers text);

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.parse().ok())
    }
}

/// `[time, "value"]`.
struct Sample;

impl<'de> Visitor<'de> for Sample {
    type Value = Option<(i64, f64)>;
    otherwise_default!(except seq);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let time = seq.next_element_seed(Any(Number))?.flatten();
        let value = seq.next_element_seed(Any(Number))?.flatten();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(time.and_then(instant::float_ns).zip(value))
    }
}

/// Values of a series: those that are samples, and the number of others.
struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = (Vec<(i64, f64)>, u64);
    otherwise_default!(except seq);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut samples, mut bad) = (Vec::new(), 0);
        while let Some(sample) = seq.next_element_seed(Any(Sample))? {
            match sample {
                Some(sample) => samples.push(sample),
                None => bad += 1,
            }
        }
        Ok((samples, bad))
    }
}

/// One bucket of a native histogram, `[rule, "lower", "upper", "count"]`; the rule tells which bounds belong to it.
struct Bucket;

impl<'de> Visitor<'de> for Bucket {
    type Value = Option<(f64, f64, f64)>;
    otherwise_default!(except seq);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        seq.next_element::<IgnoredAny>()?;
        let mut numbers = [None; 3];
        for number in &mut numbers {
            *number = seq.next_element_seed(Any(Number))?.flatten();
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        let [Some(lower), Some(upper), Some(count)] = numbers else { return Ok(None) };
        // Also false for what is no number.
        Ok((lower <= upper && count >= 0.0).then_some((lower, upper, count)))
    }
}

/// All buckets in order; nothing where one makes no sense.
struct Buckets;

impl<'de> Visitor<'de> for Buckets {
    type Value = Option<Vec<(f64, f64, f64)>>;
    otherwise_default!(except seq);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut buckets = Some(Vec::new());
        while let Some(bucket) = seq.next_element_seed(Any(Bucket))? {
            buckets = buckets.zip(bucket).map(|(mut buckets, bucket)| {
                buckets.push(bucket);
                buckets
            });
        }
        if let Some(buckets) = &mut buckets {
            buckets.sort_by(|a, b| a.1.total_cmp(&b.1));
        }
        Ok(buckets)
    }
}

/// The histogram of one sample.
struct Histogram;

impl<'de> Visitor<'de> for Histogram {
    type Value = Option<NativeHistogram>;
    otherwise_default!(except map);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // A histogram without observations has no field `buckets`.
        let (mut count, mut sum, mut buckets) = (None, None, Some(Vec::new()));
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "count" => count = map.next_value_seed(Any(Number))?,
                "sum" => sum = map.next_value_seed(Any(Number))?,
                "buckets" => buckets = map.next_value_seed(Any(Buckets))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let all = count.zip(sum).zip(buckets);
        Ok(all.map(|((count, sum), buckets)| NativeHistogram { count, sum, buckets }))
    }
}

/// `[time, {histogram}]`.
struct HistogramSample;

impl<'de> Visitor<'de> for HistogramSample {
    type Value = Option<(i64, NativeHistogram)>;
    otherwise_default!(except seq);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let time = seq.next_element_seed(Any(Number))?.flatten();
        let histogram = seq.next_element_seed(Any(Histogram))?.flatten();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(time.and_then(instant::float_ns).zip(histogram))
    }
}

/// Native histograms of a series: those that are samples, and the number of others.
struct Histograms;

impl<'de> Visitor<'de> for Histograms {
    type Value = (Vec<(i64, NativeHistogram)>, u64);
    otherwise_default!(except seq);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut samples, mut bad) = (Vec::new(), 0);
        while let Some(sample) = seq.next_element_seed(Any(HistogramSample))? {
            match sample {
                Some(sample) => samples.push(sample),
                None => bad += 1,
            }
        }
        Ok((samples, bad))
    }
}

/// Labels whose value is text.
struct Labels;

impl<'de> Visitor<'de> for Labels {
    type Value = Option<Vec<(String, String)>>;
    otherwise_default!(except map);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut labels = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if let Some(value) = map.next_value_seed(Any(Text))? {
                labels.push((name, value));
            }
        }
        labels.sort();
        Ok(Some(labels))
    }
}

/// Texts of a list.
struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;
    otherwise_default!(except seq);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = seq.next_element_seed(Any(Text))? {
            texts.extend(text);
        }
        Ok(texts)
    }
}

/// One series of the matrix.
struct Element<'a>(&'a mut Answer);

impl<'de> Visitor<'de> for Element<'_> {
    /// Whether it was a series.
    type Value = bool;
    otherwise_default!(except map);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut labels, mut values, mut histograms) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metric" => labels = map.next_value_seed(Any(Labels))?,
                "values" => values = Some(map.next_value_seed(Any(Values))?),
                "histograms" => histograms = Some(map.next_value_seed(Any(Histograms))?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let (Some(mut labels), true) = (labels, values.is_some() || histograms.is_some()) else { return Ok(false) };
        let name = labels.iter().position(|(label, _)| label == "__name__").map(|at| labels.remove(at).1);
        let (histograms, bad) = histograms.unwrap_or_default();
        self.0.bad_histograms += bad;
        self.0.histograms(name.as_deref(), &labels, histograms);
        let (samples, bad) = values.unwrap_or_default();
        self.0.bad_samples += bad;
        if samples.is_empty() {
            return Ok(true);
        }
        let kind = if name.is_some() { RawKind::Unknown } else { RawKind::Words };
        let name = name.unwrap_or_else(|| self.0.stem.clone());
        self.0.series.push(RawSeries { source: self.0.source.clone(), name, labels, kind, samples });
        Ok(true)
    }
}

/// The list of series.
struct Elements<'a>(&'a mut Answer);

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();
    otherwise_default!(except seq);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        self.0.has_result = true;
        while let Some(is_series) = seq.next_element_seed(Any(Element(&mut *self.0)))? {
            self.0.bad_series += u64::from(!is_series);
        }
        Ok(())
    }
}

/// The field `data`.
struct Data<'a>(&'a mut Answer);

impl<'de> Visitor<'de> for Data<'_> {
    type Value = ();
    otherwise_default!(except map);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "resultType" => self.0.result_type = map.next_value_seed(Any(Text))?,
                "result" => map.next_value_seed(Any(Elements(&mut *self.0)))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The whole answer.
struct AnswerSeed<'a>(&'a mut Answer);

impl<'de> DeserializeSeed<'de> for AnswerSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnswerSeed<'_> {
    type Value = ();
    otherwise_default!(except map);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "status" => self.0.status = map.next_value_seed(Any(Text))?,
                "errorType" => self.0.error_type = map.next_value_seed(Any(Text))?,
                "error" => self.0.error = map.next_value_seed(Any(Text))?,
                "data" => map.next_value_seed(Any(Data(&mut *self.0)))?,
                "warnings" | "infos" => self.0.notes.extend(map.next_value_seed(Any(Texts))?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Lets a visitor look at whatever comes.
struct Any<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Any<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }
}
