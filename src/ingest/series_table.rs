//! Series as tables, in CSV here and in Parquet beside ([`super::series_parquet`]).
//!
//! Long: a column of time, one of names, one of values, and any others as labels. Wide: a column of time, columns that
//! are labels, and every other column a series. In a wide table the subject comes from the label columns, else from the
//! column's own name (`metric{service="x"}`, `service:metric`, `service_metric`), else from the file's name
//! (`<pod>_metric.csv`). Preset for the Nezha recordings: the entry's own service in lower case (`front_service.csv`),
//! and the edges of `source_50.csv` and `destination_50.csv`.

use std::fmt::Display;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::openmetrics::parse_series;
use super::prometheus_range::file_stem;
use super::signals::{self, RawKind, RawSeries};
use super::text::csv_reader;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, instant, plain_names};
use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};

/// Names of a column of time, in lower case; the first that is there is taken, the others are passed over. A plain
/// `time` comes late because recorders write it as text beside a number.
const TIME_COLUMNS: &[&str] = &[
    "timestamp",
    "unix_timestamp",
    "time_unix_nano",
    "timeunixnano",
    "ts",
    "@timestamp",
    "time",
    "_time",
    "datetime",
    "date",
];
/// Names of a column of metric names.
const NAME_COLUMNS: &[&str] = &["metric", "metric_name", "__name__", "kpi_name", "kpi", "name"];
/// Names of a column of values.
const VALUE_COLUMNS: &[&str] = &["value", "_value", "val"];
/// Columns of logs and spans: a table with one of them is no table of series.
const FOREIGN_COLUMNS: &[&str] =
    &["traceid", "trace_id", "trace.id", "spanid", "span_id", "log", "message", "body", "duration", "parentid"];
/// Names of files that tell nothing about a service.
const GENERIC_STEMS: &[&str] =
    &["", "data", "metric", "metrics", "series", "simple_data", "simple_metrics", "values", "kpi", "export"];

/// Whether the first lines are a table of series in CSV.
pub(crate) fn sniff_csv(head: &Head<'_>) -> bool {
    let mut reader = csv_reader(head.bytes);
    let mut records = reader.byte_records();
    let Some(Ok(header)) = records.next() else { return false };
    let Some(names) = header.iter().map(|cell| std::str::from_utf8(cell).ok()).collect::<Option<Vec<&str>>>() else {
        return false;
    };
    if !is_series_header(&names) {
        return false;
    }
    let Some(time) = time_column(&names) else { return false };
    // A header alone is an empty table; a first row must begin with a time.
    match records.next() {
        Some(Ok(row)) => {
            row.get(time).and_then(|c| std::str::from_utf8(c).ok()).is_some_and(|c| instant::read(c).is_some())
        }
        Some(Err(_)) => false,
        None => true,
    }
}

/// Whether the names of columns are those of a table of series: a time, and no trace or log.
pub(super) fn is_series_header(names: &[&str]) -> bool {
    let foreign = |name: &&str| FOREIGN_COLUMNS.contains(&name.trim().to_lowercase().as_str());
    names.len() >= 2 && !names.iter().any(foreign) && time_column(names).is_some()
}

/// Whether a column's name is that of `first` once more, as it stands or numbered as pandas does (`time.1`).
fn repeats(name: &str, first: &str) -> bool {
    let plain = match name.rsplit_once('.') {
        Some((plain, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => plain,
        _ => name,
    };
    plain.trim().eq_ignore_ascii_case(first.trim())
}

fn time_column(names: &[&str]) -> Option<usize> {
    find_column(names, TIME_COLUMNS)
}

fn find_column(names: &[&str], wanted: &[&str]) -> Option<usize> {
    wanted.iter().find_map(|wanted| names.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted)))
}

/// Reads a table of series in CSV.
pub(crate) fn read_csv(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let mut reader = csv_reader(input.bytes.take(options.max_file_bytes));
    let mut record = csv::ByteRecord::new();
    let mut table = None;
    let result = loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(csv_error(path, error)),
        }
        let line = record.position().map_or(0, csv::Position::line);
        let Some(table) = &mut table else {
            let names: Vec<String> = record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
            table = Some(Table::new(path, names)?);
            continue;
        };
        if record.len() != table.columns.len() {
            let problem = "the row has another number of cells than the header (a torn or misquoted line)";
            out.skip(path, format_args!("line {line}"), problem);
            continue;
        }
        table.row(&record, format_args!("line {line}"), out);
    };
    if let Some(table) = table {
        table.finish(out);
    }
    result
}

fn csv_error(path: &Path, error: csv::Error) -> IngestError {
    let place = error.position().map_or_else(String::new, |p| format!("line {}", p.line()));
    match error.into_kind() {
        csv::ErrorKind::Io(source) => IngestError::io(path, place, source),
        other => IngestError::malformed(path, place, format!("not a CSV table: {other:?}")),
    }
}

/// A cell of a table.
pub(super) enum Cell<'c> {
    Missing,
    Number(f64),
    Instant(i64),
    Text(&'c str),
    NotText,
}

/// A row of a table.
pub(super) trait Row {
    fn cell(&self, column: usize) -> Cell<'_>;
}

impl Row for csv::ByteRecord {
    fn cell(&self, column: usize) -> Cell<'_> {
        match self.get(column).map(<[u8]>::trim_ascii) {
            None | Some(b"") => Cell::Missing,
            Some(bytes) => std::str::from_utf8(bytes).map_or(Cell::NotText, Cell::Text),
        }
    }
}

/// What a column is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// The time, or another writing of it.
    Time,
    Name,
    Value,
    Label,
    Series,
    /// A series or a label: its first value will tell.
    Undecided,
}

struct Column {
    name: String,
    role: Role,
}

/// The series of a table under construction.
pub(super) struct Table<'p> {
    path: &'p Path,
    stem: String,
    columns: Vec<Column>,
    pub(super) time: usize,
    /// The column of names, where the table is long.
    name: Option<usize>,
    /// Long: one slot per name and labels. Wide: one per labels, with all series columns in a row.
    slots: Vec<Slot>,
    known: FxHashMap<String, usize>,
    last_key: String,
    last_slot: usize,
    zoneless: u64,
}

struct Slot {
    name: String,
    labels: Vec<(String, String)>,
    /// One per column in a wide table, one in all in a long one.
    samples: Vec<Vec<(i64, f64)>>,
}

impl<'p> Table<'p> {
    pub(super) fn new(path: &'p Path, names: Vec<String>) -> Result<Self, IngestError> {
        let seen: Vec<&str> = names.iter().map(String::as_str).collect();
        let missing = |field: &str| IngestError::MissingColumn {
            path: path.to_owned(),
            field: field.to_owned(),
            seen: seen.join(", "),
        };
        let time = time_column(&seen).ok_or_else(|| missing("the time"))?;
        let value = find_column(&seen, VALUE_COLUMNS);
        let name = value.and_then(|_| find_column(&seen, NAME_COLUMNS));
        let role = |index: usize, name_of: &str| {
            let lower = name_of.trim().to_lowercase();
            if index == time || TIME_COLUMNS.contains(&lower.as_str()) || repeats(&lower, seen[time]) {
                Role::Time
            } else if Some(index) == name {
                Role::Name
            } else if Some(index) == value {
                Role::Value
            } else if value.is_some() || signals::names_a_subject(&lower) || lower == "namespace" {
                Role::Label
            } else {
                Role::Undecided
            }
        };
        let columns: Vec<Column> = seen
            .iter()
            .enumerate()
            .map(|(index, name)| Column { name: (*name).to_owned(), role: role(index, name) })
            .collect();
        if columns.iter().all(|column| matches!(column.role, Role::Time | Role::Label)) {
            return Err(missing("values"));
        }
        let (slots, known, last_key) = (Vec::new(), FxHashMap::default(), String::new());
        let stem = file_stem(path);
        Ok(Self { path, stem, columns, time, name, slots, known, last_key, last_slot: usize::MAX, zoneless: 0 })
    }

    /// Takes a row; `place` tells where it stands.
    pub(super) fn row(&mut self, row: &impl Row, place: impl Display + Copy, out: &mut Telemetry) {
        let Some(at_ns) = self.time_of(row) else {
            let problem = "the time is neither a Unix time nor RFC 3339";
            return out.skip(self.path, format_args!("{place}, column `{}`", self.columns[self.time].name), problem);
        };
        self.decide(row);
        let Some(slot) = self.slot(row, place, out) else { return };
        for (index, column) in self.columns.iter().enumerate() {
            let samples = match column.role {
                Role::Series | Role::Undecided => &mut self.slots[slot].samples[index],
                Role::Value => &mut self.slots[slot].samples[0],
                Role::Time | Role::Name | Role::Label => continue,
            };
            let value = match row.cell(index) {
                Cell::Missing => continue,
                Cell::Number(value) => Some(value),
                Cell::Text(text) => text.parse::<f64>().ok(),
                Cell::Instant(_) | Cell::NotText => None,
            };
            match value {
                Some(value) => samples.push((at_ns, value)),
                None => {
                    out.skip(self.path, format_args!("{place}, column `{}`", column.name), "the value is not a number")
                }
            }
        }
    }

    fn time_of(&mut self, row: &impl Row) -> Option<i64> {
        match row.cell(self.time) {
            Cell::Text(text) => {
                let instant = instant::read(text)?;
                self.zoneless += u64::from(!instant.zoned);
                Some(instant.ns)
            }
            Cell::Number(value) => instant::float_ns(value),
            Cell::Instant(ns) => Some(ns),
            Cell::Missing | Cell::NotText => None,
        }
    }

    /// A column is a label when its first value is text that is no number.
    fn decide(&mut self, row: &impl Row) {
        for (index, column) in self.columns.iter_mut().enumerate() {
            if column.role == Role::Undecided {
                column.role = match row.cell(index) {
                    Cell::Missing | Cell::NotText => Role::Undecided,
                    Cell::Number(_) => Role::Series,
                    Cell::Text(text) if text.parse::<f64>().is_ok() => Role::Series,
                    Cell::Text(_) | Cell::Instant(_) => Role::Label,
                };
            }
        }
    }

    /// The slot of the row's name and labels.
    fn slot(&mut self, row: &impl Row, place: impl Display, out: &mut Telemetry) -> Option<usize> {
        let mut key = String::new();
        for (index, column) in self.columns.iter().enumerate() {
            if matches!(column.role, Role::Name | Role::Label) {
                match row.cell(index) {
                    Cell::Text(text) => key.push_str(text),
                    Cell::Number(value) => key.push_str(&value.to_string()),
                    Cell::Missing if column.role == Role::Label => {}
                    _ => {
                        let place = format!("{place}, column `{}`", column.name);
                        out.skip(self.path, place, "no readable text where a name or label should be");
                        return None;
                    }
                }
                key.push('\u{1f}');
            }
        }
        if self.last_slot < self.slots.len() && key == self.last_key {
            return Some(self.last_slot);
        }
        let slot = match self.known.get(&key) {
            Some(&slot) => slot,
            None => {
                let slot = self.new_slot(&key);
                self.known.insert(key.clone(), slot);
                slot
            }
        };
        self.last_key = key;
        self.last_slot = slot;
        Some(slot)
    }

    fn new_slot(&mut self, key: &str) -> usize {
        let mut name = self.stem.clone();
        let mut labels = Vec::new();
        let keyed = self.columns.iter().filter(|column| matches!(column.role, Role::Name | Role::Label));
        for (column, value) in keyed.zip(key.split('\u{1f}')) {
            if column.role == Role::Name {
                name = value.to_owned();
            } else if !value.is_empty() {
                labels.push((column.name.trim().to_lowercase(), value.to_owned()));
            }
        }
        let is_long = self.columns.iter().any(|column| column.role == Role::Value);
        let samples = vec![Vec::new(); if is_long { 1 } else { self.columns.len() }];
        self.slots.push(Slot { name, labels, samples });
        self.slots.len() - 1
    }

    pub(super) fn finish(self, out: &mut Telemetry) {
        if self.zoneless > 0 {
            let column = format!("column `{}`", self.columns[self.time].name);
            out.warn(self.path, column, "times without a zone are read as UTC", self.zoneless);
        }
        if self.slots.is_empty() {
            out.warn(self.path, "", "the table has no rows", 1);
        }
        let time = &self.columns[self.time].name;
        let again = self.columns.iter().filter(|c| repeats(&c.name.to_lowercase(), time)).count().saturating_sub(1);
        if again > 0 {
            let message = "the column of times is there more than once; the first is used";
            out.warn(self.path, format_args!("column `{time}`"), message, again as u64);
        }
        if let Some(quantile) = edge_latency_quantile(&self.stem)
            && self.name.is_none()
        {
            return self.finish_edges(quantile, out);
        }
        let source: Arc<str> = Arc::from(self.path.to_string_lossy());
        let is_entry_table = self.columns.get(2).is_some_and(|c| c.name == "ServiceName");
        for slot in self.slots {
            let mut labels = slot.labels;
            if is_entry_table {
                // Nezha writes the entry `Frontend` here and `frontend` everywhere else.
                labels.iter_mut().filter(|l| l.0 == "servicename").for_each(|l| l.1 = l.1.to_lowercase());
            }
            labels.sort();
            let kind = RawKind::Words;
            if slot.samples.len() == 1 && self.columns.iter().any(|c| c.role == Role::Value) {
                let (name, more) = named_series(&slot.name, &labels, &self.stem);
                for samples in slot.samples {
                    out.raw_series.push(RawSeries {
                        source: source.clone(),
                        name: name.clone(),
                        labels: more.clone(),
                        kind,
                        samples,
                    });
                }
                continue;
            }
            for (column, samples) in self.columns.iter().zip(slot.samples) {
                if column.role == Role::Series && !samples.is_empty() {
                    let (name, labels) = named_series(&column.name, &labels, &self.stem);
                    out.raw_series.push(RawSeries { source: source.clone(), name, labels, kind, samples });
                }
            }
        }
    }

    /// Nezha's tables of edge latency: a column `caller_callee` each, in seconds.
    fn finish_edges(self, quantile: f64, out: &mut Telemetry) {
        let Some(slot) = self.slots.into_iter().next() else { return };
        for (column, samples) in self.columns.iter().zip(slot.samples) {
            if column.role != Role::Series {
                continue;
            }
            let Some((caller, callee)) = column.name.split_once('_') else {
                out.skip(self.path, format_args!("column `{}`", column.name), "not named `caller_callee`");
                continue;
            };
            out.series.push(Series {
                subject: Subject::Edge { caller: caller.into(), callee: callee.into() },
                signal: Signal::Latency,
                statistic: Statistic::Quantile(quantile),
                unit: Unit::Seconds,
                name: self.stem.clone(),
                samples: samples.into_iter().filter(|sample| sample.1.is_finite()).collect(),
            });
        }
    }
}

/// `source_50` and `destination_50`: the median as the caller and as the callee measured it.
fn edge_latency_quantile(stem: &str) -> Option<f64> {
    let digits = stem.strip_prefix("source_").or_else(|| stem.strip_prefix("destination_"))?;
    match plain_names::read(&format!("p{digits}")).statistic {
        Statistic::Quantile(quantile) => Some(quantile),
        _ => None,
    }
}

/// Metric name and labels of a series called `written` in a table whose rows carry `labels`, in a file called `stem`.
fn named_series(written: &str, labels: &[(String, String)], stem: &str) -> (String, Vec<(String, String)>) {
    let mut labels = labels.to_vec();
    let mut name = written.trim().to_owned();
    if written.contains('{')
        && let Ok((base, more)) = parse_series(written)
    {
        name = if base.is_empty() { stem.to_owned() } else { base };
        labels.extend(more);
    }
    let named = |label: &str| labels.iter().find(|(key, _)| signals::underscored(key) == label).map(|l| l.1.as_str());
    if signals::service(named).is_none() {
        if let Some((service, metric)) = service_in_name(&name) {
            labels.push(("service".to_owned(), service.to_owned()));
            name = metric.to_owned();
        } else if let Some(stem) = service_in_stem(stem) {
            let label = if signals::service_of_pod(stem) == stem { "service" } else { "pod" };
            labels.push((label.to_owned(), stem.to_owned()));
        }
    }
    labels.sort();
    (name, labels)
}

/// Service and metric of `service:metric` or `service_metric`: the metric begins at the first word that begins one,
/// else behind the first separator. `None` where the name begins as a metric itself.
fn service_in_name(name: &str) -> Option<(&str, &str)> {
    if name.matches(':').count() == 1 {
        return name.split_once(':').filter(|(service, metric)| !service.is_empty() && !metric.is_empty());
    }
    // A first part of several words is a service's name if a metric follows: `load-generator_cpu`.
    let several =
        |(service, metric): &(&str, &str)| service.contains('-') && plain_names::begins_with_a_metric_word(metric);
    if plain_names::begins_with_a_metric_word(name) {
        return name.split_once('_').filter(several);
    }
    let cuts = || {
        name.match_indices('_')
            .map(|(at, _)| (&name[..at], &name[at + 1..]))
            .filter(|(s, m)| !s.is_empty() && !m.is_empty())
    };
    cuts().find(|(_, metric)| plain_names::begins_with_a_metric_word(metric)).or_else(|| cuts().next())
}

fn service_in_stem(stem: &str) -> Option<&str> {
    let stem = stem.strip_suffix("_metrics").or_else(|| stem.strip_suffix("_metric")).unwrap_or(stem);
    (!GENERIC_STEMS.contains(&stem)).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, labels: &[(&str, &str)], stem: &str, expected: (&str, &[(&str, &str)])) {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let (name, found) = named_series(written, &owned(labels), stem);
        assert_eq!((name.as_str(), found), (expected.0, owned(expected.1)), "{written} in {stem}");
    }

    #[test]
    fn the_subject_is_found_in_labels_columns_and_file_names() {
        check("cpu", &[("pod", "a-5f6585d649-fnmft")], "x", ("cpu", &[("pod", "a-5f6585d649-fnmft")]));
        check("cpu{service=\"cart\"}", &[], "data", ("cpu", &[("service", "cart")]));
        check("{service=\"cart\"}", &[], "p99_latency", ("p99_latency", &[("service", "cart")]));
        check("cart:cpu_usage", &[], "data", ("cpu_usage", &[("service", "cart")]));
        check("ts-auth-service_latency-90", &[], "data", ("latency-90", &[("service", "ts-auth-service")]));
        check("order_service_cpu", &[], "data", ("cpu", &[("service", "order_service")]));
        check("load-generator_cpu", &[], "data", ("cpu", &[("service", "load-generator")]));
        check("cpu_load", &[], "cart", ("cpu_load", &[("service", "cart")]));
        check("cart_queue_depth", &[], "data", ("queue_depth", &[("service", "cart")]));
        check("cpu_usage", &[], "cart", ("cpu_usage", &[("service", "cart")]));
        check("cpu", &[], "cart-579f59597d-wc2lz_metric", ("cpu", &[("pod", "cart-579f59597d-wc2lz")]));
        check("cpu", &[], "metrics", ("cpu", &[]));
    }

    #[test]
    fn headers_of_logs_and_spans_are_no_series() {
        let header = |text: &str| is_series_header(&text.split(',').collect::<Vec<_>>());
        assert!(header("time,cart_cpu"));
        assert!(header("Time,TimeStamp,PodName,CpuUsage(m)"));
        assert!(!header("Timestamp,TimeUnixNano,Node,PodName,Container,TraceID,SpanID,Log"));
        assert!(!header("service,cpu"));
        assert!(!header("time"));
    }

    #[test]
    fn a_number_is_preferred_to_a_text_of_the_same_time() {
        assert_eq!(time_column(&["Time", "TimeStamp", "PodName"]), Some(1));
        assert_eq!(time_column(&["time", "value"]), Some(0));
        assert_eq!(time_column(&["when", "value"]), None);
    }
}
