//! Metrics of OTLP, whether they came as JSON or protobuf: data points become streams, and streams raw series as
//! Prometheus would name and count them.
//!
//! A stream is all points of one metric with the same attributes of resource and point. Streams are kept until all files
//! are there, because only the whole stream tells where a counter began anew, how increases (delta temporality) add up,
//! and how finely an exponential histogram may be divided. What differs from Prometheus' own translation: attributes of
//! the resource are labels of every series, so that they can name the service, and its name carries the namespace, as
//! the services of spans do.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHasher};

use super::Telemetry;
use super::native_histogram;
use super::otlp_histograms::{self, Buckets, Distribution};
use super::otlp_metric_names::{label_name, prometheus_name, with_direction};
use super::semconv;
use super::signals::{RawKind, RawSeries};

/// What a metric's points are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// Aggregation temporality, by OTLP's numbers.
pub(crate) const DELTA: i64 = 1;
pub(crate) const CUMULATIVE: i64 = 2;

/// One metric of one resource, as it came.
#[derive(Debug, Default)]
pub(crate) struct MetricDraft<'de> {
    pub(crate) name: Cow<'de, str>,
    pub(crate) unit: Cow<'de, str>,
    pub(crate) kind: Option<Kind>,
    pub(crate) temporality: i64,
    pub(crate) is_monotonic: bool,
    /// Attributes of all points, one point after the other.
    pub(crate) attributes: Vec<(Cow<'de, str>, Cow<'de, str>)>,
    pub(crate) points: Vec<PointDraft>,
}

/// One data point as it came; of the values only those of the metric's kind are there.
#[derive(Debug, Default)]
pub(crate) struct PointDraft {
    /// Where its attributes stand in the metric's.
    pub(crate) attributes: Range<usize>,
    pub(crate) start_ns: i64,
    pub(crate) time_ns: i64,
    /// Bit 0: no value was recorded, which ends the series until the next point.
    pub(crate) flags: i64,
    pub(crate) number: Option<f64>,
    pub(crate) count: f64,
    pub(crate) sum: Option<f64>,
    pub(crate) bounds: Vec<f64>,
    pub(crate) counts: Vec<f64>,
    pub(crate) scale: i64,
    pub(crate) zero_count: f64,
    pub(crate) positive: Buckets,
    pub(crate) negative: Buckets,
    /// Quantile and value.
    pub(crate) quantiles: Vec<(f64, f64)>,
}

/// The attributes of a resource as labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceLabels {
    labels: Vec<(String, String)>,
    /// All of them as one text.
    key: String,
}

impl ResourceLabels {
    pub(crate) fn new(attributes: &[(Cow<'_, str>, Cow<'_, str>)]) -> Self {
        let get = |name: &str| {
            attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|v| !v.is_empty())
        };
        let mut labels: Vec<(String, String)> =
            attributes.iter().map(|(name, value)| (label_name(name), value.clone().into_owned())).collect();
        // Only with its namespace is it the name under which spans of the same service come.
        if let Some(name) = get("service.name") {
            let instance = get("service.instance.id").or(get("k8s.pod.name")).or(get("host.name")).unwrap_or_default();
            let namespace = get("service.namespace").unwrap_or_default();
            let name = semconv::service_identity(name, namespace, instance).into_owned();
            if let Some(label) = labels.iter_mut().find(|(label, _)| label == "service_name") {
                label.1 = name;
            }
        }
        let key = labels.iter().flat_map(|(name, value)| [name, "\u{0}", value, "\u{0}"]).collect();
        Self { labels, key }
    }
}

/// What makes a stream besides name and labels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Shape {
    kind: Kind,
    is_counter: bool,
    is_delta: bool,
}

/// Points of one metric with the same attributes.
#[derive(Clone, Debug)]
struct Stream {
    source: Arc<str>,
    name: String,
    /// Sorted.
    labels: Vec<(String, String)>,
    shape: Shape,
    points: Vec<Point>,
    /// As many as points where the metric is a histogram or summary, else none.
    distributions: Vec<Distribution>,
}

/// A number at a time. Of a distribution it is the count.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    start_ns: i64,
    time_ns: i64,
    /// Not a number where none was recorded.
    value: f64,
}

/// All streams of one or several files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    streams: Vec<Stream>,
    /// Places in `streams` by the hash of what tells streams apart.
    by_identity: FxHashMap<u64, Vec<u32>>,
    /// The same by what points say of it, in their order: points of one stream mostly come alike.
    by_text: FxHashMap<Vec<u8>, u32>,
    text: Vec<u8>,
}

pub(crate) const NO_TIME: &str = "data points skipped: their time is missing or after the year 2262";
pub(crate) const NO_VALUE: &str = "data points skipped: they hold no value that can be read";
const NO_NAME: &str = "metrics skipped: they have no name";
const FALLING_DELTA: &str = "data points skipped: changes of a sum that may fall (delta temporality) do not tell its \
     level; let the SDK or the collector export it cumulatively";

impl Streams {
    /// The times of all points.
    pub(crate) fn times_ns(&self) -> impl Iterator<Item = i64> {
        self.streams.iter().flat_map(|stream| &stream.points).map(|point| point.time_ns)
    }

    /// Number of series that the streams will become, distributions counted once.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Adds the points of a metric. `skip` hears why and how many were left out.
    pub(crate) fn push(
        &mut self,
        source: &Arc<str>,
        resource: &ResourceLabels,
        metric: MetricDraft<'_>,
        mut skip: impl FnMut(&'static str, u64),
    ) {
        let Some(kind) = metric.kind else { return };
        let n_points = metric.points.len() as u64;
        if metric.name.trim().is_empty() {
            return skip(NO_NAME, 1);
        }
        let is_delta = metric.temporality == DELTA && !matches!(kind, Kind::Gauge | Kind::Summary);
        let is_counter = kind != Kind::Gauge && (kind != Kind::Sum || metric.is_monotonic);
        if is_delta && !is_counter {
            return skip(FALLING_DELTA, n_points.max(1));
        }
        let shape = Shape { kind, is_counter, is_delta };
        for mut point in metric.points {
            let is_recorded = point.flags & 1 == 0;
            if point.time_ns <= 0 {
                skip(NO_TIME, 1);
                continue;
            }
            let number = if matches!(kind, Kind::Gauge | Kind::Sum) { point.number } else { Some(point.count) };
            let value = match number {
                Some(value) if is_recorded => value,
                None if is_recorded => {
                    skip(NO_VALUE, 1);
                    continue;
                }
                _ => f64::NAN,
            };
            let attributes = metric.attributes.get(point.attributes.clone()).unwrap_or_default();
            let index = self.index(source, resource, &metric.name, &metric.unit, shape, attributes);
            let Some(stream) = self.streams.get_mut(index) else { continue };
            stream.points.push(Point { start_ns: point.start_ns, time_ns: point.time_ns, value });
            if !matches!(kind, Kind::Gauge | Kind::Sum) {
                let distribution =
                    if is_recorded { Distribution::of(kind, &mut point) } else { Distribution::default() };
                stream.distributions.push(distribution);
            }
        }
    }

    /// Place of the stream, which is made if it is new.
    fn index(
        &mut self,
        source: &Arc<str>,
        resource: &ResourceLabels,
        name: &str,
        unit: &str,
        shape: Shape,
        attributes: &[(Cow<'_, str>, Cow<'_, str>)],
    ) -> usize {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.extend([shape.kind as u8, u8::from(shape.is_counter), u8::from(shape.is_delta)]);
        let parts = attributes.iter().flat_map(|(name, value)| [&**name, &**value]);
        for part in [name, unit, resource.key.as_str()].into_iter().chain(parts) {
            text.extend(part.as_bytes());
            // Where one text ends and the next begins must be told too, or two streams could look alike.
            text.extend((part.len() as u64).to_le_bytes());
        }
        if let Some(&index) = self.by_text.get(&text) {
            self.text = text;
            return index as usize;
        }
        let mut labels = resource.labels.clone();
        for (name, value) in attributes {
            let name = label_name(name);
            // What a point says of itself goes before what its resource says, unless that only adds the namespace.
            match labels.iter_mut().find(|(label, _)| *label == name) {
                Some((label, known)) if label == "service_name" && is_short_for(value, known) => {}
                Some((_, known)) => {
                    known.clear();
                    known.push_str(value);
                }
                None => labels.push((name, value.clone().into_owned())),
            }
        }
        let mut name = prometheus_name(name, unit, shape.kind, shape.is_counter);
        with_direction(&mut name, &mut labels);
        labels.sort();
        let source = source.clone();
        let stream = Stream { source, name, labels, shape, points: Vec::new(), distributions: Vec::new() };
        let index = self.place_of(stream);
        self.by_text.insert(text, index);
        index as usize
    }

    /// Place of the stream that is the same as `stream`, which is added if there is none.
    fn place_of(&mut self, mut stream: Stream) -> u32 {
        let mut hasher = FxHasher::default();
        (&stream.name, &stream.labels, stream.shape).hash(&mut hasher);
        let places = self.by_identity.entry(hasher.finish()).or_default();
        let same = places.iter().copied().find(|&place| {
            self.streams.get(place as usize).is_some_and(|known| {
                known.shape == stream.shape && known.name == stream.name && known.labels == stream.labels
            })
        });
        if let Some(place) = same {
            if let Some(known) = self.streams.get_mut(place as usize) {
                known.points.append(&mut stream.points);
                known.distributions.append(&mut stream.distributions);
            }
            return place;
        }
        let place = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        places.push(place);
        self.streams.push(stream);
        place
    }

    /// Adds all streams of `other` after those that are here.
    pub(crate) fn append(&mut self, other: Streams) {
        if self.streams.is_empty() {
            *self = other;
        } else {
            for stream in other.streams {
                self.place_of(stream);
            }
        }
        // Only for reading: memory for as many texts as there are streams.
        self.by_text = FxHashMap::default();
    }
}

/// Whether `name` is the service `identity` without its namespace or without the instance of an unnamed service.
fn is_short_for(name: &str, identity: &str) -> bool {
    let name = name.trim();
    identity.rsplit_once('/').map_or(identity, |(_, short)| short) == name
        || identity.strip_suffix(')').and_then(|rest| rest.split_once(" (")).is_some_and(|(short, _)| short == name)
}

/// Makes raw series of the streams of all files.
pub(crate) fn finish(telemetry: &mut Telemetry) {
    for mut stream in std::mem::take(&mut telemetry.otlp_metrics).streams {
        let conflicts = sort(&mut stream);
        if conflicts > 0 {
            let place = format!("series `{}`", stream.name);
            telemetry.warn(Path::new(&*stream.source), place, super::derive::CONFLICT, conflicts);
        }
        series_of(&stream, &mut telemetry.raw_series);
    }
}

/// Sorts points by time, keeps the first of those with one time, and counts those dropped that differ.
fn sort(stream: &mut Stream) -> u64 {
    let points = &stream.points;
    if points.windows(2).all(|pair| pair[0].time_ns < pair[1].time_ns) {
        return 0;
    }
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&at| points[at].time_ns);
    let mut conflicts = 0;
    order.dedup_by(|&mut next, &mut kept| {
        let same = points[next].time_ns == points[kept].time_ns;
        conflicts += u64::from(same && points[next].value.total_cmp(&points[kept].value).is_ne());
        same
    });
    stream.distributions = if stream.distributions.is_empty() {
        Vec::new()
    } else {
        order.iter().map(|&at| std::mem::take(&mut stream.distributions[at])).collect()
    };
    stream.points = order.into_iter().map(|at| stream.points[at]).collect();
    conflicts
}

/// The raw series of one stream.
fn series_of(stream: &Stream, out: &mut Vec<RawSeries>) {
    let mut push = |suffix: &str, more: &[(&str, &str)], kind: RawKind, samples: Vec<(i64, f64)>| {
        let mut labels = stream.labels.clone();
        labels.retain(|(known, _)| more.iter().all(|(name, _)| name != known));
        labels.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        labels.sort();
        let (source, name) = (stream.source.clone(), format!("{}{suffix}", stream.name));
        out.push(RawSeries { source, name, labels, kind, samples });
    };
    let counter = |value: &dyn Fn(usize, &Point) -> f64| {
        let points = stream.points.iter().enumerate();
        counter_samples(points.map(|(at, point)| Point { value: value(at, point), ..*point }), stream.shape.is_delta)
    };
    if stream.shape.kind == Kind::Gauge || !stream.shape.is_counter {
        let samples = stream.points.iter().map(|point| (point.time_ns, point.value)).collect();
        return push("", &[], RawKind::Gauge, samples);
    }
    if stream.shape.kind == Kind::Sum {
        return push("", &[], RawKind::Counter, counter(&|_, point| point.value));
    }
    push("_count", &[], RawKind::Counter, counter(&|_, point| point.value));
    let sums: Option<Vec<f64>> = stream.distributions.iter().map(|d| d.sum).collect();
    if let Some(sums) = sums {
        push(
            "_sum",
            &[],
            RawKind::Counter,
            counter(&|at, point| if point.value.is_nan() { f64::NAN } else { sums[at] }),
        );
    }
    if stream.shape.kind == Kind::Summary {
        for (quantile, values) in otlp_histograms::quantiles(&stream.distributions) {
            let samples = values.into_iter().map(|(at, value)| (stream.points[at].time_ns, value)).collect();
            push("", &[("quantile", &quantile.to_string())], RawKind::Gauge, samples);
        }
        return;
    }
    // Where the quantile lies within a bucket is estimated along the scale on which the buckets are equally wide.
    let mark = (native_histogram::MARK, native_histogram::EXPONENTIAL);
    let is_exponential = stream.shape.kind == Kind::ExponentialHistogram;
    for (bound, values) in otlp_histograms::cumulative_buckets(&stream.distributions) {
        let le = if bound == f64::INFINITY { "+Inf".to_owned() } else { bound.to_string() };
        let points = values.into_iter().map(|(at, value)| Point { value, ..stream.points[at] });
        let labels = [("le", le.as_str()), mark];
        let labels = labels.get(..1 + usize::from(is_exponential)).unwrap_or(&labels);
        push("_bucket", labels, RawKind::Counter, counter_samples(points, stream.shape.is_delta));
    }
}

/// Samples of a counter, as if it had never begun anew.
///
/// A process that restarts may have counted beyond its old value by the next sample, which only the start time tells: one
/// after the last sample. (Starts that merely waver, because they are computed from an uptime, lie before it.) Increases
/// are added up; where one begins later than the one before ended, nothing was counted in between.
fn counter_samples(points: impl Iterator<Item = Point>, is_delta: bool) -> Vec<(i64, f64)> {
    let mut samples: Vec<(i64, f64)> = Vec::with_capacity(points.size_hint().0 + 1);
    let (mut total, mut last) = (0.0, None::<Point>);
    for point in points {
        let Point { start_ns, time_ns, value } = point;
        if value.is_nan() {
            samples.push((time_ns, value));
            continue;
        }
        if is_delta {
            let begins = start_ns > 0 && start_ns < time_ns;
            if begins && samples.last().is_none_or(|sample| start_ns > sample.0) {
                samples.push((start_ns, total));
            }
            total += value;
            samples.push((time_ns, total));
        } else {
            // Here `total` is what earlier lives of the counter came to.
            if let Some(last) = last.filter(|last| start_ns != last.start_ns && start_ns >= last.time_ns) {
                total += last.value;
            }
            samples.push((time_ns, total + value));
            last = Some(point);
        }
    }
    samples
}
