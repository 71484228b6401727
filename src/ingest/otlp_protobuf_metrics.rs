//! Metrics of OTLP in protobuf, to the same streams as those of OTLP JSON.

use std::borrow::Cow;
use std::sync::Arc;

use super::Telemetry;
use super::json_attributes::Facts;
use super::json_stream::Scalar;
use super::otlp_histograms::Buckets;
use super::otlp_metrics::{Kind, MetricDraft, PointDraft, ResourceLabels};
use super::otlp_protobuf::{Place, each_leaf};
use super::otlp_protobuf_spans::{read_attribute, read_resource};
use super::protobuf::{Broken, Fields, Value, push_fixed64, push_varints};

/// Attributes as texts.
#[derive(Default)]
struct Labels<'b>(Vec<(Cow<'b, str>, Cow<'b, str>)>);

impl<'b> Facts<'b> for Labels<'b> {
    fn wants(_name: &str) -> bool {
        true
    }

    fn note(&mut self, name: &str, value: Scalar<'b>) {
        if let Some(value) = value.into_text() {
            self.0.push((Cow::Owned(name.to_owned()), value));
        }
    }
}

/// Reads the metrics of one resource.
pub(super) fn read(entry: &[u8], is_cut: bool, place: Place<'_>, source: &Arc<str>, out: &mut Telemetry) {
    let mut labels = Labels::default();
    read_resource(entry, &mut labels, place, out);
    let resource = ResourceLabels::new(&labels.0);
    each_leaf(entry, is_cut, place, out, |bytes, out| match read_metric(bytes, place, out) {
        Ok(metric) => {
            let mut left_out = Vec::new();
            out.otlp_metrics.push(source, &resource, metric, |message, count| left_out.push((message, count)));
            for (message, count) in left_out {
                out.skipped += count;
                out.warn(place.path, format_args!("{}, field `data_points`", place.of(bytes)), message, count);
            }
        }
        Err(broken) => place.skip(broken, out),
    });
}

fn read_metric<'b>(bytes: &'b [u8], place: Place<'_>, out: &mut Telemetry) -> Result<MetricDraft<'b>, Broken<'b>> {
    let mut metric = MetricDraft::default();
    let mut data = None;
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        let Some(bytes) = value.bytes() else { continue };
        let kind = match number {
            1 => {
                metric.name = place.text(bytes, out);
                continue;
            }
            3 => {
                metric.unit = place.text(bytes, out);
                continue;
            }
            5 => Kind::Gauge,
            7 => Kind::Sum,
            9 => Kind::Histogram,
            10 => Kind::ExponentialHistogram,
            11 => Kind::Summary,
            _ => continue,
        };
        data = Some((kind, bytes));
    }
    let Some((kind, bytes)) = data else { return Ok(metric) };
    metric.kind = Some(kind);
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => {
                // A broken point costs only itself.
                if let Err(broken) = read_point(kind, bytes, &mut metric, place, out) {
                    place.skip(broken, out);
                }
            }
            (2, Value::Varint(temporality)) => metric.temporality = temporality as i64,
            (3, Value::Varint(truth)) => metric.is_monotonic = truth != 0,
            _ => {}
        }
    }
    Ok(metric)
}

fn read_point<'b>(
    kind: Kind,
    bytes: &'b [u8],
    metric: &mut MetricDraft<'b>,
    place: Place<'_>,
    out: &mut Telemetry,
) -> Result<(), Broken<'b>> {
    let first = metric.attributes.len();
    let mut labels = Labels(std::mem::take(&mut metric.attributes));
    let mut point = PointDraft::default();
    let result = read_fields(kind, bytes, &mut point, &mut labels, place, out);
    metric.attributes = labels.0;
    result?;
    point.attributes = first..metric.attributes.len();
    metric.points.push(point);
    Ok(())
}

/// Fields 2 and 3 are the times of all kinds; of the others each kind has its own numbers.
fn read_fields<'b>(
    kind: Kind,
    bytes: &'b [u8],
    point: &mut PointDraft,
    labels: &mut Labels<'b>,
    place: Place<'_>,
    out: &mut Telemetry,
) -> Result<(), Broken<'b>> {
    // A time beyond the year 2262 is none.
    let time = |ns: u64| i64::try_from(ns).unwrap_or_default();
    let count = |bits: u64| bits as f64;
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match (kind, number, value) {
            (_, 2, Value::Fixed64(ns)) => point.start_ns = time(ns),
            (_, 3, Value::Fixed64(ns)) => point.time_ns = time(ns),
            (Kind::Gauge | Kind::Sum | Kind::Summary, 7, Value::Bytes(attribute))
            | (Kind::Histogram, 9, Value::Bytes(attribute))
            | (Kind::ExponentialHistogram, 1, Value::Bytes(attribute)) => {
                read_attribute(attribute, labels, place, out)?;
            }
            (Kind::Gauge | Kind::Sum | Kind::Summary, 8, Value::Varint(flags))
            | (Kind::Histogram | Kind::ExponentialHistogram, 10, Value::Varint(flags)) => point.flags = flags as i64,
            (Kind::Gauge | Kind::Sum, 4, value) => point.number = value.double(),
            (Kind::Gauge | Kind::Sum, 6, Value::Fixed64(bits)) => point.number = Some(bits as i64 as f64),
            (Kind::Histogram | Kind::ExponentialHistogram | Kind::Summary, 4, Value::Fixed64(bits)) => {
                point.count = count(bits);
            }
            (Kind::Histogram | Kind::ExponentialHistogram | Kind::Summary, 5, value) => point.sum = value.double(),
            (Kind::Histogram, 6, value) => push_fixed64(&mut point.counts, value, count),
            (Kind::Histogram, 7, value) => push_fixed64(&mut point.bounds, value, f64::from_bits),
            (Kind::ExponentialHistogram, 6, value) => point.scale = value.zigzag().unwrap_or_default(),
            (Kind::ExponentialHistogram, 7, Value::Fixed64(bits)) => point.zero_count = count(bits),
            (Kind::ExponentialHistogram, 8, Value::Bytes(bytes)) => point.positive = read_buckets(bytes)?,
            (Kind::ExponentialHistogram, 9, Value::Bytes(bytes)) => point.negative = read_buckets(bytes)?,
            (Kind::Summary, 6, Value::Bytes(bytes)) => point.quantiles.push(read_quantile(bytes)?),
            _ => {}
        }
    }
    Ok(())
}

fn read_buckets<'b>(bytes: &'b [u8]) -> Result<Buckets, Broken<'b>> {
    let mut buckets = Buckets::default();
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => buckets.offset = value.zigzag().unwrap_or_default(),
            2 => push_varints(&mut buckets.counts, value),
            _ => {}
        }
    }
    Ok(buckets)
}

fn read_quantile<'b>(bytes: &'b [u8]) -> Result<(f64, f64), Broken<'b>> {
    let mut pair = (0.0, 0.0);
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => pair.0 = value.double().unwrap_or_default(),
            2 => pair.1 = value.double().unwrap_or_default(),
            _ => {}
        }
    }
    Ok(pair)
}
