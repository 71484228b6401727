//! Bytes in; typed spans, series, edges, alerts and warnings out. One file per format.
//!
//! A format is a file of this folder with two functions, listed once in `FORMATS`:
//! `sniff(&Head) -> bool` looks at the first bytes (after decompression) and the file name,
//! `read(Input, &ReadOptions, &mut Telemetry) -> Result<(), IngestError>` reads the whole.

use std::io::BufRead;
use std::path::PathBuf;

use crate::telemetry::alert::Alert;
use crate::telemetry::series::Series;
use crate::telemetry::span::SpanTable;
use crate::telemetry::topology::GivenEdge;
use crate::telemetry::warning::Warning;

/// A wire format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Format {
    /// OTLP JSON: whole messages, or one message a line as the collector's file exporter writes them.
    OtlpJson,
    /// Jaeger's JSON of `/api/traces` and of the UI's download.
    JaegerJson,
    /// Spans as a table in CSV.
    SpanCsv,
    /// Spans as a table in Parquet.
    SpanParquet,
    /// The answer of Prometheus' `/api/v1/query_range`.
    PrometheusRange,
    /// OpenMetrics or Prometheus text exposition, with timestamps.
    OpenMetrics,
    /// Series as a table in CSV, long or wide.
    SeriesCsv,
    /// Series as a table in Parquet, long or wide.
    SeriesParquet,
    /// PetShop's `metrics.csv`: three header rows (component, metric, statistic).
    PetShopMetrics,
    /// An adjacency matrix in CSV: the row calls the column.
    CallGraphCsv,
    /// The body of an Alertmanager (version 4) or Grafana webhook.
    Alertmanager,
}

/// What one file gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSummary {
    /// The file, as the user named it or as found in a folder.
    pub path: PathBuf,
    /// The format as which it was read.
    pub format: Format,
    /// Spans read.
    pub spans: u64,
    /// Series read.
    pub series: u64,
    /// Records skipped; the reasons are among the warnings.
    pub skipped: u64,
}

/// All that was read.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// Spans.
    pub spans: SpanTable,
    /// Series whose subject and signal were understood.
    pub series: Vec<Series>,
    /// Edges stated outright.
    pub given_edges: Vec<GivenEdge>,
    /// Alerts.
    pub alerts: Vec<Alert>,
    /// What was odd or skipped.
    pub warnings: Vec<Warning>,
    /// One row for each file.
    pub files: Vec<FileSummary>,
}

/// The columns of a span table. Names are compared without regard to case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpanColumns {
    // settled by ingest/span_table.rs
}

/// How files are to be read, where content does not tell.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Read every file as this format instead of looking at its content.
    pub format: Option<Format>,
    /// Columns of span tables; `None` finds them by their usual names.
    pub span_columns: Option<SpanColumns>,
}

/// One opened file: decompressed bytes and the name for messages.
pub struct Input<'a> {
    /// Name for messages and for what formats read from names (Nezha's `<pod>_metric.csv`).
    pub path: &'a std::path::Path,
    /// Decompressed bytes.
    pub bytes: Box<dyn BufRead + Send + 'a>,
}
