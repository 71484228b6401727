//! Traces as a table with the columns of the OpenTelemetry exporter for ClickHouse (`otel_traces`): `traces.parquet`.
//!
//! What shapes and instances tell are tables of some hundreds of rows, of which each span takes one. Row groups are
//! written one after the other, and each column's pages by one thread: the bytes do not depend on how many there are.

use polars::chunked_array::builder::get_list_builder;
use polars::prelude::{
    BatchedWriter, Column, DataFrame, DataType, Field, IdxCa, IdxSize, Int64Chunked, IntoColumn, IntoSeries,
    ListChunked, NamedFrom, ParquetCompression, ParquetWriter, PolarsResult, Series, StringChunkedBuilder,
    StructChunked, TimeUnit, UInt64Chunked,
};

use crate::simulate::observe::{ObservedSpans, trace_state};
use crate::simulate::recording::{Recording, Side, SpanRecord};
use crate::simulate::system::System;

use super::CaseFile;
use super::attributes::{self, Attributes, Value};
use super::json::{push_hex, push_trace};
use super::shapes::{Shape, ShapeIdx, Shapes};

/// Rows of a group: its columns are in memory at once.
const GROUP_ROWS: usize = 1 << 16;

const COLUMNS: [&str; 20] = [
    "Timestamp",
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "TraceState",
    "SpanName",
    "SpanKind",
    "ServiceName",
    "ResourceAttributes",
    "ScopeName",
    "SpanAttributes",
    "Duration",
    "StatusCode",
    "StatusMessage",
    "Events.Timestamp",
    "Events.Name",
    "Events.Attributes",
    "Links.TraceId",
    "Links.SpanId",
    "Links.TraceState",
];

/// All spans.
pub(super) fn write(system: &System, recording: &Recording, observed: &ObservedSpans) -> CaseFile {
    let bytes = table(system, recording, observed).expect("columns of one length, written into memory");
    CaseFile { name: "traces.parquet".to_owned(), bytes }
}

fn table(system: &System, recording: &Recording, observed: &ObservedSpans) -> PolarsResult<Vec<u8>> {
    let mut shapes = Shapes::new(system, recording);
    let shape_of: Vec<ShapeIdx> = observed.spans.iter().map(|span| shapes.of(span)).collect();
    let by_shape = shape_table(&shapes.all)?;
    let by_instance = instance_table(system, recording)?;
    let state = observed.threshold.map(trace_state).unwrap_or_default();
    let group = |first: usize| -> PolarsResult<DataFrame> {
        let end = observed.spans.len().min(first + GROUP_ROWS);
        let spans = &observed.spans[first..end];
        let rows: Vec<IdxSize> = shape_of[first..end].iter().map(|shape| *shape as IdxSize).collect();
        let mut frame = by_shape.take(&IdxCa::from_vec("".into(), rows))?;
        let rows: Vec<IdxSize> = spans.iter().map(|span| span.instance).collect();
        frame.hstack_mut(by_instance.take(&IdxCa::from_vec("".into(), rows))?.columns())?;
        frame.hstack_mut(&own_columns(spans, &shape_of[first..end], &shapes.all, &state)?)?;
        frame.select(COLUMNS)
    };
    let mut bytes = Vec::new();
    let mut first_group = group(0)?;
    first_group.rechunk_mut();
    let writer = ParquetWriter::new(&mut bytes).with_compression(ParquetCompression::Zstd(None)).set_parallel(false);
    let mut writer: BatchedWriter<_> = writer.batched(first_group.schema())?;
    writer.write_batch(&first_group)?;
    for first in (GROUP_ROWS..observed.spans.len()).step_by(GROUP_ROWS) {
        let mut frame = group(first)?;
        frame.rechunk_mut();
        writer.write_batch(&frame)?;
    }
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

/// A row for each shape.
fn shape_table(shapes: &[Shape]) -> PolarsResult<DataFrame> {
    let texts = |name: &str, text: &dyn Fn(&Shape) -> String| {
        Column::new(name.into(), shapes.iter().map(text).collect::<Vec<String>>())
    };
    let kind = |shape: &Shape| match shape.side {
        Side::Server => "Server".to_owned(),
        Side::Client => "Client".to_owned(),
        Side::Producer => "Producer".to_owned(),
        Side::Consumer => "Consumer".to_owned(),
    };
    let message = |shape: &Shape| shape.exception.as_ref().map_or_else(String::new, |(_, message)| message.clone());
    let attributes: Vec<Attributes> = shapes.iter().map(|shape| shape.attributes.clone()).collect();
    let mut events = get_list_builder(&map_type(), 0, shapes.len(), "Events.Attributes".into());
    let mut names = get_list_builder(&DataType::String, 0, shapes.len(), "Events.Name".into());
    for shape in shapes {
        let told: Vec<Attributes> =
            shape.exception.iter().map(|(kind, message)| attributes::of_exception(kind, message)).collect();
        events.append_series(&maps("", &told)?.into_series())?;
        names.append_series(&Series::new("".into(), vec!["exception"; told.len()]))?;
    }
    DataFrame::new_infer_height(vec![
        texts("SpanName", &|shape| shape.name.clone()),
        texts("SpanKind", &kind),
        texts("ScopeName", &|shape| shape.scope.to_owned()),
        texts("StatusCode", &|shape| if shape.is_error { "Error" } else { "Unset" }.to_owned()),
        texts("StatusMessage", &message),
        maps("SpanAttributes", &attributes)?.into_column(),
        names.finish().into_column(),
        events.finish().into_column(),
    ])
}

/// A row for each instance.
fn instance_table(system: &System, recording: &Recording) -> PolarsResult<DataFrame> {
    let instances = &recording.instances;
    let services: Vec<&str> = instances.iter().map(|of| system.services[of.service].name.as_str()).collect();
    let attributes: Vec<Attributes> = instances.iter().map(|of| attributes::of_resource(system, of)).collect();
    DataFrame::new_infer_height(vec![
        Column::new("ServiceName".into(), services),
        maps("ResourceAttributes", &attributes)?.into_column(),
    ])
}

/// What ClickHouse's maps are in Parquet for readers that know no maps: lists of structs of `key` and `value`.
fn map_type() -> DataType {
    DataType::List(Box::new(pair_type()))
}

fn pair_type() -> DataType {
    DataType::Struct(vec![Field::new("key".into(), DataType::String), Field::new("value".into(), DataType::String)])
}

fn maps(name: &str, maps: &[Attributes]) -> PolarsResult<ListChunked> {
    let mut lists = get_list_builder(&pair_type(), 0, maps.len(), name.into());
    for Attributes(attributes) in maps {
        let names: Vec<&str> = attributes.iter().map(|attribute| attribute.name).collect();
        let values = attributes.iter().map(|attribute| match &attribute.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
        });
        let pairs = [Series::new("key".into(), names), Series::new("value".into(), values.collect::<Vec<String>>())];
        lists.append_series(&StructChunked::from_series("".into(), attributes.len(), pairs.iter())?.into_series())?;
    }
    Ok(lists.finish())
}

/// What each span has of its own.
fn own_columns(
    spans: &[SpanRecord],
    shape_of: &[ShapeIdx],
    shapes: &[Shape],
    state: &str,
) -> PolarsResult<Vec<Column>> {
    let nanoseconds = |name: &str, times: Vec<i64>| {
        Int64Chunked::from_vec(name.into(), times).into_datetime(TimeUnit::Nanoseconds, None)
    };
    let links = |name: &str, text: &dyn Fn((u128, u64)) -> String| -> PolarsResult<Column> {
        let mut lists = get_list_builder(&DataType::String, 0, spans.len(), name.into());
        for span in spans {
            let linked: Vec<String> = (span.link.1 != 0).then(|| text(span.link)).into_iter().collect();
            if linked.is_empty() {
                lists.append_series(&Series::new_empty("".into(), &DataType::String))?;
            } else {
                lists.append_series(&Series::new("".into(), linked))?;
            }
        }
        Ok(lists.finish().into_column())
    };
    let time = DataType::Datetime(TimeUnit::Nanoseconds, None);
    let mut event_times = get_list_builder(&time, 0, spans.len(), "Events.Timestamp".into());
    let no_time = Series::new_empty("".into(), &time);
    for (span, shape) in spans.iter().zip(shape_of) {
        match shapes[*shape].exception {
            Some(_) => event_times.append_series(&nanoseconds("", vec![span.end_ns]).into_series())?,
            None => event_times.append_series(&no_time)?,
        }
    }
    let lengths = spans.iter().map(|span| (span.end_ns - span.start_ns).unsigned_abs()).collect();
    Ok(vec![
        nanoseconds("Timestamp", spans.iter().map(|span| span.start_ns).collect()).into_column(),
        digits("TraceId", spans, &|out, span| push_trace(out, span.trace)),
        digits("SpanId", spans, &|out, span| push_hex(out, span.span)),
        digits("ParentSpanId", spans, &|out, span| {
            if span.parent != 0 {
                push_hex(out, span.parent);
            }
        }),
        Column::new("TraceState".into(), vec![state; spans.len()]),
        UInt64Chunked::from_vec("Duration".into(), lengths).into_column(),
        event_times.finish().into_column(),
        links("Links.TraceId", &|(trace, _)| format!("{trace:032x}"))?,
        links("Links.SpanId", &|(_, span)| format!("{span:016x}"))?,
        links("Links.TraceState", &|_| state.to_owned())?,
    ])
}

fn digits(name: &str, spans: &[SpanRecord], push: &dyn Fn(&mut Vec<u8>, &SpanRecord)) -> Column {
    let mut column = StringChunkedBuilder::new(name.into(), spans.len());
    let mut text = Vec::with_capacity(32);
    for span in spans {
        text.clear();
        push(&mut text, span);
        column.append_value(std::str::from_utf8(&text).expect("hexadecimal digits"));
    }
    column.finish().into_column()
}
