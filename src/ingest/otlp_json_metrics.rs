//! Metrics of OTLP JSON: the nodes that [`super::otlp_json`] hands `resourceMetrics` to.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::{MapAccess, SeqAccess};

use super::json_attributes::{Facts, read_attributes};
use super::json_stream::{Decoder, Element, List, Node, Scalar, Visit, ignore, scalar};
use super::otlp_histograms::Buckets;
use super::otlp_metrics::{CUMULATIVE, DELTA, Kind, MetricDraft, PointDraft, ResourceLabels};

/// Reads the value of the current field as a list of the metrics of resources.
pub(crate) fn read<'de, A: MapAccess<'de>>(map: &mut A, decoder: &mut Decoder<'_, 'de>) -> Result<(), A::Error> {
    let mut resource = ResourceMetrics {
        source: Arc::from(decoder.source.path.to_string_lossy()),
        attributes: Labels::default(),
        metrics: Vec::new(),
        decoder,
    };
    map.next_value_seed(Visit(&mut List(&mut resource)))
}

/// Attributes as texts, one list for many points.
type Attributes<'de> = Vec<(Cow<'de, str>, Cow<'de, str>)>;

/// Takes all attributes that are scalars.
#[derive(Default)]
struct Labels<'de>(Attributes<'de>);

impl<'de> Facts<'de> for Labels<'de> {
    fn wants(_name: &str) -> bool {
        true
    }

    fn note(&mut self, name: &str, value: Scalar<'de>) {
        if let Some(value) = value.into_text() {
            self.0.push((Cow::Owned(name.to_owned()), value));
        }
    }
}

/// The metrics of one resource; they are handed on at its end, since it may stand after them.
struct ResourceMetrics<'d, 'o, 'de> {
    source: Arc<str>,
    attributes: Labels<'de>,
    metrics: Vec<MetricDraft<'de>>,
    decoder: &'d mut Decoder<'o, 'de>,
}

impl<'de> Node<'de> for ResourceMetrics<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "resource" => {
                self.decoder.begin("resource", &key);
                map.next_value_seed(Visit(&mut Resource { labels: &mut self.attributes, decoder: self.decoder }))
            }
            "scopeMetrics" | "scope_metrics" | "instrumentationLibraryMetrics" | "instrumentation_library_metrics" => {
                self.decoder.begin("scopeMetrics", &key);
                let mut scope = ScopeMetrics { metrics: &mut self.metrics, decoder: self.decoder };
                map.next_value_seed(Visit(&mut List(&mut scope)))
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of objects");
    }
}

impl<'de> Element<'de> for ResourceMetrics<'_, '_, 'de> {
    fn start(&mut self) {
        self.attributes.0.clear();
        self.metrics.clear();
    }

    fn finish(&mut self, _whole: bool) {
        if self.metrics.is_empty() {
            return;
        }
        let resource = ResourceLabels::new(&self.attributes.0);
        let mut left_out = Vec::new();
        for metric in self.metrics.drain(..) {
            let skip = |message, count| left_out.push((message, count));
            self.decoder.out.otlp_metrics.push(&self.source, &resource, metric, skip);
        }
        let place = self.decoder.source.place(self.decoder.near, "dataPoints");
        for (message, count) in left_out {
            self.decoder.out.skipped += count;
            self.decoder.out.warn(self.decoder.source.path, &place, message, count);
        }
    }
}

struct Resource<'r, 'o, 'de> {
    labels: &'r mut Labels<'de>,
    decoder: &'r mut Decoder<'o, 'de>,
}

impl<'de> Node<'de> for Resource<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "attributes" => {
                self.decoder.begin("attributes", &key);
                read_attributes(map, self.labels, self.decoder)
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("an object");
    }
}

struct ScopeMetrics<'m, 'o, 'de> {
    metrics: &'m mut Vec<MetricDraft<'de>>,
    decoder: &'m mut Decoder<'o, 'de>,
}

impl<'de> Node<'de> for ScopeMetrics<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "metrics" => {
                self.decoder.begin("metrics", &key);
                let mut metric =
                    MetricNode { draft: MetricDraft::default(), metrics: self.metrics, decoder: self.decoder };
                map.next_value_seed(Visit(&mut List(&mut metric)))
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of objects");
    }
}

impl<'de> Element<'de> for ScopeMetrics<'_, '_, 'de> {
    fn start(&mut self) {}

    fn finish(&mut self, _whole: bool) {}
}

struct MetricNode<'m, 'o, 'de> {
    draft: MetricDraft<'de>,
    metrics: &'m mut Vec<MetricDraft<'de>>,
    decoder: &'m mut Decoder<'o, 'de>,
}

impl<'de> Node<'de> for MetricNode<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let kind = match &*key {
            "name" => {
                self.draft.name = scalar(map)?.into_text().unwrap_or_default();
                return Ok(());
            }
            "unit" => {
                self.draft.unit = scalar(map)?.into_text().unwrap_or_default();
                return Ok(());
            }
            "gauge" => Kind::Gauge,
            "sum" => Kind::Sum,
            "histogram" => Kind::Histogram,
            "exponentialHistogram" | "exponential_histogram" => Kind::ExponentialHistogram,
            "summary" => Kind::Summary,
            _ => return ignore(map),
        };
        self.decoder.begin("dataPoints", &key);
        self.draft.kind = Some(kind);
        map.next_value_seed(Visit(&mut Data { draft: &mut self.draft, decoder: self.decoder }))
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of metrics");
    }
}

impl<'de> Element<'de> for MetricNode<'_, '_, 'de> {
    fn start(&mut self) {
        self.draft = MetricDraft::default();
    }

    fn finish(&mut self, whole: bool) {
        if whole && self.draft.kind.is_some() {
            self.metrics.push(std::mem::take(&mut self.draft));
        }
    }
}

/// What stands under `gauge`, `sum` and so on.
struct Data<'m, 'o, 'de> {
    draft: &'m mut MetricDraft<'de>,
    decoder: &'m mut Decoder<'o, 'de>,
}

impl<'de> Node<'de> for Data<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "dataPoints" | "data_points" => {
                self.decoder.begin("dataPoints", &key);
                let mut point = PointNode { point: PointDraft::default(), draft: self.draft, decoder: self.decoder };
                map.next_value_seed(Visit(&mut List(&mut point)))
            }
            "aggregationTemporality" | "aggregation_temporality" => {
                self.draft.temporality = match scalar(map)? {
                    Scalar::Text(name) if name.ends_with("DELTA") => DELTA,
                    Scalar::Text(name) if name.ends_with("CUMULATIVE") => CUMULATIVE,
                    number => number.as_integer().unwrap_or_default(),
                };
                Ok(())
            }
            "isMonotonic" | "is_monotonic" => {
                self.draft.is_monotonic = scalar(map)? == Scalar::Bool(true);
                Ok(())
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("an object");
    }
}

struct PointNode<'m, 'o, 'de> {
    point: PointDraft,
    draft: &'m mut MetricDraft<'de>,
    decoder: &'m mut Decoder<'o, 'de>,
}

impl<'de> Node<'de> for PointNode<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let point = &mut self.point;
        match &*key {
            "attributes" => {
                self.decoder.begin("attributes", &key);
                let first = self.draft.attributes.len();
                let mut labels = Labels(std::mem::take(&mut self.draft.attributes));
                let result = read_attributes(map, &mut labels, self.decoder);
                self.draft.attributes = labels.0;
                point.attributes = first..self.draft.attributes.len();
                return result;
            }
            "startTimeUnixNano" | "start_time_unix_nano" => point.start_ns = integer(map)?,
            "timeUnixNano" | "time_unix_nano" => point.time_ns = integer(map)?,
            "flags" => point.flags = integer(map)?,
            "asDouble" | "as_double" | "asInt" | "as_int" => point.number = number(map)?,
            "count" => point.count = number(map)?.unwrap_or_default(),
            "sum" => point.sum = number(map)?,
            "bucketCounts" | "bucket_counts" => numbers(map, &mut point.counts)?,
            "explicitBounds" | "explicit_bounds" => numbers(map, &mut point.bounds)?,
            "scale" => point.scale = integer(map)?,
            "zeroCount" | "zero_count" => point.zero_count = number(map)?.unwrap_or_default(),
            "positive" => map.next_value_seed(Visit(&mut BucketsNode(&mut point.positive)))?,
            "negative" => map.next_value_seed(Visit(&mut BucketsNode(&mut point.negative)))?,
            "quantileValues" | "quantile_values" => {
                map.next_value_seed(Visit(&mut List(&mut QuantileNode(&mut point.quantiles))))?;
            }
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of data points");
    }
}

impl<'de> Element<'de> for PointNode<'_, '_, 'de> {
    fn start(&mut self) {
        self.point = PointDraft::default();
    }

    fn finish(&mut self, whole: bool) {
        if whole {
            self.draft.points.push(std::mem::take(&mut self.point));
        }
    }
}

fn integer<'de, A: MapAccess<'de>>(map: &mut A) -> Result<i64, A::Error> {
    Ok(scalar(map)?.as_integer().unwrap_or_default())
}

fn number<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<f64>, A::Error> {
    Ok(scalar(map)?.as_number())
}

fn numbers<'de, A: MapAccess<'de>>(map: &mut A, into: &mut Vec<f64>) -> Result<(), A::Error> {
    map.next_value_seed(Visit(&mut Numbers(into)))
}

/// A list of numbers. One that is none makes a histogram's counts and bounds unequal in number, so that it is not used.
struct Numbers<'p>(&'p mut Vec<f64>);

impl<'de> Node<'de> for Numbers<'_> {
    fn takes_object(&self) -> bool {
        false
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        Some(self.each(seq))
    }

    fn wrong(&mut self) {
        self.0.clear();
    }
}

impl Numbers<'_> {
    fn each<'de, A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<(), A::Error> {
        let mut value = Scalar::Absent;
        while seq.next_element_seed(Visit(&mut value))?.is_some() {
            self.0.extend(value.as_number());
        }
        Ok(())
    }
}

struct BucketsNode<'p>(&'p mut Buckets);

impl<'de> Node<'de> for BucketsNode<'_> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "offset" => self.0.offset = integer(map)?,
            "bucketCounts" | "bucket_counts" => numbers(map, &mut self.0.counts)?,
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {}
}

struct QuantileNode<'p>(&'p mut Vec<(f64, f64)>);

impl<'de> Node<'de> for QuantileNode<'_> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let Some(pair) = self.0.last_mut() else { return ignore(map) };
        match &*key {
            "quantile" => pair.0 = number(map)?.unwrap_or(f64::NAN),
            "value" => pair.1 = number(map)?.unwrap_or(f64::NAN),
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {}
}

impl<'de> Element<'de> for QuantileNode<'_> {
    fn start(&mut self) {
        self.0.push((0.0, 0.0));
    }

    fn finish(&mut self, whole: bool) {
        if !whole {
            self.0.pop();
        }
    }
}
