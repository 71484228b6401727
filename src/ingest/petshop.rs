//! PetShop's `metrics.csv`: three header rows (component, metric, statistic), then a row every five minutes.
//!
//! Latency is in seconds, `requests` a sum over the interval, `availability` a percentage of successful requests. Empty
//! cells are gaps: nothing was called. Layout: github.com/amazon-science/petshop-root-cause-analysis.

use std::path::Path;

use super::text::csv_reader;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, instant};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};

/// Whether the first cells of the first three rows are those of the layout.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let starts = ["microservice,", "metric,", "statistic,"];
    let mut lines = head.bytes.split(|b| *b == b'\n');
    starts.iter().all(|start| lines.next().is_some_and(|line| line.starts_with(start.as_bytes())))
}

/// Reads one series for each column.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let mut reader = csv_reader(std::io::Read::take(input.bytes, options.max_file_bytes));
    let mut header: Vec<Vec<String>> = Vec::new();
    let mut columns: Vec<Option<Series>> = Vec::new();
    let mut record = csv::ByteRecord::new();
    let result = loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(IngestError::malformed(path, "", format!("not a CSV table: {error}"))),
        }
        let line = record.position().map_or(0, csv::Position::line);
        if header.len() < 3 {
            header.push(record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect());
            if header.len() == 3 {
                columns = series_of(&header, path, out)?;
            }
            continue;
        }
        // The index's own name stands in a row without values.
        if record.get(0) == Some(b"unix_timestamp") {
            continue;
        }
        if record.len() != columns.len() + 1 {
            let problem = "the row has another number of cells than the header (a torn or misquoted line)";
            out.skip(path, format_args!("line {line}"), problem);
            continue;
        }
        row(&record, line, path, &mut columns, out);
    };
    if header.len() < 3 {
        let problem = "three header rows (microservice, metric, statistic) expected";
        return Err(IngestError::malformed(path, format_args!("line {}", header.len() + 1), problem));
    }
    out.series.extend(columns.into_iter().flatten().filter(|series| !series.samples.is_empty()));
    result
}

fn row(record: &csv::ByteRecord, line: u64, path: &Path, columns: &mut [Option<Series>], out: &mut Telemetry) {
    let text = |index: usize| record.get(index).and_then(|cell| std::str::from_utf8(cell).ok()).map(str::trim);
    let Some(at) = text(0).and_then(instant::read) else {
        return out.skip(path, format_args!("line {line}, column `unix_timestamp`"), "the time is not a Unix time");
    };
    for (index, series) in columns.iter_mut().enumerate() {
        let (Some(series), Some(cell)) = (series, record.get(index + 1)) else { continue };
        if cell.is_empty() {
            continue;
        }
        match text(index + 1).and_then(|cell| cell.parse::<f64>().ok()) {
            Some(value) if value.is_finite() => {
                let value =
                    if series.signal == Signal::ErrorRatio { (1.0 - value / 100.0).clamp(0.0, 1.0) } else { value };
                series.samples.push((at.ns, value));
            }
            _ => out.skip(path, format_args!("line {line}, column {}", index + 2), "the value is not a number"),
        }
    }
}

/// An empty series for each column after the first; `None` for one whose meaning is unknown.
fn series_of(header: &[Vec<String>], path: &Path, out: &mut Telemetry) -> Result<Vec<Option<Series>>, IngestError> {
    let [components, metrics, statistics] = header else { return Ok(Vec::new()) };
    if metrics.len() != components.len() || statistics.len() != components.len() || components.len() < 2 {
        let problem = "the three header rows must have the same number of cells, at least two";
        return Err(IngestError::malformed(path, "line 3", problem));
    }
    let mut columns = Vec::with_capacity(components.len() - 1);
    for (index, component) in components.iter().enumerate().skip(1) {
        let (metric, statistic) = (metrics[index].as_str(), statistics[index].as_str());
        let (signal, unit) = match metric {
            "latency" => (Signal::Latency, Unit::Seconds),
            "requests" => (Signal::Requests, Unit::Count),
            "availability" => (Signal::ErrorRatio, Unit::Ratio),
            _ => (Signal::Other, Unit::None),
        };
        let statistic = match statistic {
            "Average" => Statistic::Mean,
            "Sum" => Statistic::Sum,
            "p50" => Statistic::Quantile(0.5),
            "p90" => Statistic::Quantile(0.9),
            "p95" => Statistic::Quantile(0.95),
            "p99" => Statistic::Quantile(0.99),
            _ => {
                let problem = "statistics other than Average, Sum, p50, p90, p95 and p99 are not used";
                out.skip(path, format_args!("line 3, column {}", index + 1), problem);
                columns.push(None);
                continue;
            }
        };
        let subject = Subject::Service(ServiceId::new(component));
        columns.push(Some(Series { subject, signal, statistic, unit, name: metric.to_owned(), samples: Vec::new() }));
    }
    Ok(columns)
}
