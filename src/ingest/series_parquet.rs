//! Series as tables in Parquet, a batch of rows at a time; what the columns mean is told by [`super::series_table`].

use std::path::Path;

use polars::prelude::{Column, DataFrame, DataType, PolarsResult, TimeUnit};

use super::series_table::{Cell, Row, Table, is_series_header};
use super::table::{ParquetTable, is_parquet};
use super::{Head, IngestError, Input, ReadOptions, Telemetry, instant};
use crate::telemetry::warning::Warning;

/// Whether the file is Parquet with the columns of a table of series.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let names: Vec<&str> = head.columns.iter().map(String::as_str).collect();
    is_parquet(head.bytes) && is_series_header(&names)
}

/// Reads all rows.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let file = ParquetTable::open(input, options)?;
    let mut table = Table::new(path, file.column_names().to_vec())?;
    let all: Vec<usize> = (0..file.column_names().len()).collect();
    for batch in file.batches() {
        let columns = file.read(batch, &all).and_then(|frame| columns_of(&frame, table.time, path));
        match columns {
            Ok(columns) => {
                for row in 0..batch.rows {
                    let number = batch.first_row + row + 1;
                    table.row(&FrameRow { columns: &columns, row }, format_args!("row {number}"), out);
                }
            }
            Err(error) => {
                // The other batches are still good.
                out.skipped += batch.rows as u64;
                out.warnings.push(Warning { affected: batch.rows as u64, ..error.to_warning() });
            }
        }
    }
    table.finish(out);
    Ok(())
}

/// A column in one of the forms that a cell can have.
enum FrameColumn {
    Numbers(Vec<Option<f64>>),
    /// Unix nanoseconds.
    Instants(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
}

fn columns_of(frame: &DataFrame, time: usize, path: &Path) -> Result<Vec<FrameColumn>, IngestError> {
    let columns = frame.columns().iter().enumerate();
    columns
        .map(|(index, column)| {
            convert(column, index == time).map_err(|error| {
                let place = format_args!("column `{}`", column.name()).to_string();
                IngestError::malformed(path, place, format_args!("cannot be read: {error}"))
            })
        })
        .collect()
}

const NANOS_PER_DAY: i64 = 86_400 * crate::telemetry::time::NANOS_PER_SECOND;

fn convert(column: &Column, is_time: bool) -> PolarsResult<FrameColumn> {
    let series = column.as_materialized_series();
    let instants = |factor: i64| -> PolarsResult<FrameColumn> {
        let numbers = series.cast(&DataType::Int64)?;
        Ok(FrameColumn::Instants(numbers.i64()?.iter().map(|value| value?.checked_mul(factor)).collect()))
    };
    match series.dtype() {
        DataType::Datetime(TimeUnit::Nanoseconds, _) => instants(1),
        DataType::Datetime(TimeUnit::Microseconds, _) => instants(1_000),
        DataType::Datetime(TimeUnit::Milliseconds, _) => instants(1_000_000),
        DataType::Date => instants(NANOS_PER_DAY),
        // Whole numbers keep all their digits: nanoseconds do not fit a float.
        kind if kind.is_integer() && is_time => {
            let numbers = series.cast(&DataType::Int64)?;
            let scaled = |value: i64| if value < 0 { None } else { value.checked_mul(instant::unit_ns(value)) };
            Ok(FrameColumn::Instants(numbers.i64()?.iter().map(|value| scaled(value?)).collect()))
        }
        kind if kind.is_numeric() || kind.is_bool() => {
            Ok(FrameColumn::Numbers(series.cast(&DataType::Float64)?.f64()?.iter().collect()))
        }
        _ => {
            let texts = series.cast(&DataType::String)?;
            Ok(FrameColumn::Texts(texts.str()?.iter().map(|value| value.map(str::to_owned)).collect()))
        }
    }
}

struct FrameRow<'f> {
    columns: &'f [FrameColumn],
    row: usize,
}

impl Row for FrameRow<'_> {
    fn cell(&self, column: usize) -> Cell<'_> {
        fn cell<'c, T>(values: &'c [Option<T>], row: usize, make: impl Fn(&'c T) -> Cell<'c>) -> Cell<'c> {
            values.get(row).and_then(Option::as_ref).map_or(Cell::Missing, make)
        }
        match self.columns.get(column) {
            Some(FrameColumn::Numbers(values)) => cell(values, self.row, |value| Cell::Number(*value)),
            Some(FrameColumn::Instants(values)) => cell(values, self.row, |value| Cell::Instant(*value)),
            Some(FrameColumn::Texts(values)) => cell(values, self.row, |value| Cell::Text(value)),
            None => Cell::Missing,
        }
    }
}
