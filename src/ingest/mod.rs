//! Bytes in; typed spans, series, edges, alerts and warnings out. One file per format.
//!
//! A format is a file of this folder with two functions, listed once in `FORMATS`:
//! `sniff(&Head) -> bool` looks at the first bytes (after decompression),
//! `read(Input, &ReadOptions, &mut Telemetry) -> Result<(), IngestError>` reads the whole.
//!
//! Every file is read into a `Telemetry` of its own, in parallel; these are joined in the order of the paths, so that
//! the result does not depend on threads. A record that makes no sense is skipped with `Telemetry::skip` and the
//! rest is kept; an `Err` of `read` ends that file only and becomes a warning, and what it had read until then is kept.

mod alertmanager;
mod attribute_text;
mod call_graph;
mod change_fields;
mod changes;
mod changes_from_metrics;
mod condense;
mod csv_table;
mod derive;
mod dialects;
mod error;
mod expected;
mod extent;
mod guess;
mod hosts;
mod ids;
mod instant;
mod jaeger_json;
mod json_attributes;
mod json_fields;
mod json_keys;
mod json_stream;
mod json_values;
mod log_cri;
mod log_csv;
mod log_draft;
mod log_fields;
mod log_json;
mod log_loki;
mod log_mask;
mod log_names;
mod log_text;
mod machines;
mod mesh;
mod metric_meaning;
mod metric_parts;
mod metric_rules;
mod metric_table;
mod naming;
mod native_histogram;
mod open;
mod openmetrics;
mod otlp_histograms;
mod otlp_json;
mod otlp_json_metrics;
mod otlp_logs;
mod otlp_message;
mod otlp_metric_names;
mod otlp_metrics;
mod otlp_protobuf;
mod otlp_protobuf_kind;
mod otlp_protobuf_logs;
mod otlp_protobuf_metrics;
mod otlp_protobuf_spans;
mod outcomes;
mod parquet_nested;
mod petshop;
mod pieces;
mod plain_names;
mod prometheus_protobuf;
mod prometheus_range;
pub(crate) mod protobuf;
mod pull_record;
mod rates;
mod sampling;
mod semconv;
mod series_parquet;
mod series_table;
mod signals;
mod span_columns;
mod span_csv;
mod span_draft;
mod span_fields;
mod span_json;
mod span_parquet;
mod span_parquet_values;
mod span_parquet_write;
mod span_row;
mod stored_peer;
mod table;
mod table_values;
mod text;
mod ties;
mod trace_weights;
mod zipkin_json;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::File;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::telemetry::alert::Alert;
use crate::telemetry::change::Change;
use crate::telemetry::id::TraceId;
use crate::telemetry::logs::LogTable;
use crate::telemetry::series::Series;
use crate::telemetry::span::SpanTable;
use crate::telemetry::topology::GivenEdge;
use crate::telemetry::warning::Warning;

pub use alertmanager::{NotAWebhook, Webhook, WebhookAlert, read_webhook};
pub use error::IngestError;
pub use expected::Expected;
pub use guess::{Guess, Unrecognised};
pub use metric_meaning::{Meant, meant};
pub use metric_rules::{MetricKind, MetricRule, MetricSettings, NamePattern};
pub use open::{Progress, finish, read_bytes, read_bytes_as, read_parts, read_paths};
pub use otlp_message::{OtlpEncoding, OtlpSignal, read_otlp};
pub use pull_record::PULL_RECORD;
pub use span_columns::{ServiceName, SpanColumns, SpanColumnsError, TimeUnit};
pub use span_parquet_write::write_spans;

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
    /// OTLP in protobuf: one message, or messages with a length before each, as the collector's file exporter writes them.
    OtlpProtobuf,
    /// Zipkin's version 2 JSON.
    ZipkinJson,
    /// Spans as rows of JSON, an object a line, for example ClickHouse's `JSONEachRow`.
    SpanJson,
    /// Prometheus' exposition in protobuf, messages with a length before each.
    PrometheusProtobuf,
    /// Log records as JSON, an object a line.
    LogJson,
    /// Log records as a table in CSV.
    LogCsv,
    /// Log lines as Kubernetes' container runtimes write them (CRI).
    LogCri,
    /// A list of changes (deploys, settings, flags) in JSON.
    ChangesJson,
    /// The same in CSV.
    ChangesCsv,
    /// How many traces each trace of a sample stands for, in CSV.
    TraceWeights,
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
    /// Log records read.
    pub logs: u64,
    /// Changes read.
    pub changes: u64,
    /// Records skipped; the reasons are among the warnings.
    pub skipped: u64,
}

/// All that was read.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// Spans.
    pub spans: SpanTable,
    /// Log records, their messages masked.
    pub logs: LogTable,
    /// Series whose subject and signal were understood.
    pub series: Vec<Series>,
    /// Edges stated outright.
    pub given_edges: Vec<GivenEdge>,
    /// Alerts.
    pub alerts: Vec<Alert>,
    /// What was changed in the system.
    pub changes: Vec<Change>,
    /// Kinds of metrics that were recognised and how many series are of each, for example `Istio (24 series)`, sorted.
    pub dialects: Vec<String>,
    /// What was odd or skipped.
    pub warnings: Vec<Warning>,
    /// One row for each file.
    pub files: Vec<FileSummary>,
    /// Records skipped in all files; the reasons are among the warnings.
    pub skipped: u64,
    /// Files that no format recognised.
    pub unrecognised: Vec<Unrecognised>,
    /// Files that could not be read to their end: what is missing there may look like a change. A last line that is torn
    /// makes no such file: that is how copies of a file look to which a collector still writes.
    pub cut: BTreeSet<String>,
    /// Whether a span has the attribute that was named as telling how it was sampled.
    pub(crate) sampling_seen: bool,
    /// How many traces a trace stands for, until [`finish`] puts it on the spans; empty afterwards.
    pub(crate) stands_for: BTreeMap<TraceId, f64>,
    /// Series as read, until all files are there and [`finish`] makes `series` of them; empty afterwards.
    pub(crate) raw_series: Vec<signals::RawSeries>,
    /// Metrics of OTLP as read, which [`derive::finish`] makes raw series of; empty afterwards.
    pub(crate) otlp_metrics: otlp_metrics::Streams,
}

/// Distinct warnings kept for one file; what goes beyond is counted together, so that a hostile file cannot fill the
/// report.
const MAX_WARNINGS_PER_FILE: usize = 64;

impl Telemetry {
    /// Forgets metrics that [`finish`] has not yet made series of, and series.
    pub fn forget_metrics(&mut self) {
        self.series.clear();
        self.raw_series.clear();
        self.otlp_metrics = otlp_metrics::Streams::default();
    }

    /// Notes something odd in a file. The same message about the same file is kept once, with its first place, and
    /// counted: put the place into `place`, not into `message`.
    pub(crate) fn warn(&mut self, path: &Path, place: impl Display, message: &str, affected: u64) {
        // Linear search: there are few distinct messages, and odd records are rare.
        let source = path.to_string_lossy();
        if let Some(known) = self.warnings.iter_mut().find(|w| w.message == message && w.source == source) {
            known.affected += affected;
            return;
        }
        if self.warnings.iter().filter(|w| w.source == source).count() < MAX_WARNINGS_PER_FILE {
            let place = place.to_string();
            self.warnings.push(Warning { source: source.into_owned(), place, message: message.to_owned(), affected });
        } else {
            // At the limit this one more warning takes the rest.
            match self.warnings.iter_mut().find(|w| w.message == FURTHER_WARNINGS && w.source == source) {
                Some(further) => further.affected += affected,
                None => self.warnings.push(Warning {
                    source: source.into_owned(),
                    place: place.to_string(),
                    message: FURTHER_WARNINGS.to_owned(),
                    affected,
                }),
            }
        }
    }

    /// Counts one skipped record and notes why, as [`Telemetry::warn`] does.
    pub(crate) fn skip(&mut self, path: &Path, place: impl Display, message: &str) {
        self.skipped += 1;
        self.warn(path, place, message, 1);
    }

    /// Notes that the file could not be read to its end.
    pub(crate) fn cut(&mut self, path: &Path) {
        self.cut.insert(path.to_string_lossy().into_owned());
    }

    /// Adds parts of the file at `path`: as [`Telemetry::append_all`], but warnings that repeat are counted together.
    pub(crate) fn absorb(&mut self, path: &Path, mut parts: Vec<Telemetry>) {
        for warning in parts.iter_mut().flat_map(|part| std::mem::take(&mut part.warnings)) {
            self.warn(path, warning.place, &warning.message, warning.affected);
        }
        self.append_all(parts);
    }

    /// Adds everything of all others, in their order.
    pub fn append_all(&mut self, mut others: Vec<Telemetry>) {
        self.spans.append_all(others.iter_mut().map(|other| std::mem::take(&mut other.spans)).collect());
        others.into_iter().for_each(|other| self.append(other));
    }

    /// Adds everything of `other` after what is there.
    pub fn append(&mut self, other: Telemetry) {
        self.spans.append(other.spans);
        self.logs.append(other.logs);
        self.series.extend(other.series);
        self.raw_series.extend(other.raw_series);
        self.otlp_metrics.append(other.otlp_metrics);
        self.given_edges.extend(other.given_edges);
        self.alerts.extend(other.alerts);
        self.changes.extend(other.changes);
        self.dialects.extend(other.dialects);
        dialects::join(&mut self.dialects);
        self.warnings.extend(other.warnings);
        self.files.extend(other.files);
        self.cut.extend(other.cut);
        self.skipped += other.skipped;
        self.stands_for.extend(other.stands_for);
        self.sampling_seen |= other.sampling_seen;
        self.unrecognised.extend(other.unrecognised);
    }
}

const FURTHER_WARNINGS: &str = "further warnings of other kinds";

/// How files are to be read, where content does not tell.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Read every file as this format instead of looking at its content.
    pub format: Option<Format>,
    /// What the files were said to hold, which decides where the content leaves it open.
    pub expected: Option<Expected>,
    /// Columns of span tables; `None` finds them by their usual names.
    pub span_columns: Option<SpanColumns>,
    /// Attribute of spans that tells how they were sampled, for example `SampleRate`: from 1 on the rate, one span kept of
    /// so many; below 1 the probability. Where a span has it, it goes before what `tracestate` says.
    pub sampling_attribute: Option<String>,
    /// Most bytes that one compressed file may unfold to, and that one file may take when it must be read as a whole.
    /// A file on the disk may besides unfold to 200 times its size only, or to 256 MiB where that is more.
    pub max_file_bytes: u64,
    /// Whether a file that was named and is not recognised ends the reading, as it should where the result is to be
    /// relied upon; otherwise it is one of [`Telemetry::unrecognised`], as one found in a folder is.
    pub unrecognised_is_error: bool,
    /// What metric names and labels mean beyond what is known, from the settings file.
    pub metrics: MetricSettings,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            expected: None,
            span_columns: None,
            sampling_attribute: None,
            max_file_bytes: 8 << 30,
            unrecognised_is_error: true,
            metrics: MetricSettings::default(),
        }
    }
}

/// One opened file: decompressed bytes and the name for messages.
pub struct Input<'a> {
    /// Name for messages and for what formats read from names (Nezha's `<pod>_metric.csv`).
    pub path: &'a Path,
    /// Decompressed bytes from the beginning.
    pub bytes: Box<dyn BufRead + Send + 'a>,
    /// The file itself, at its beginning, for formats that must seek (Parquet): there when the file was not compressed.
    pub file: Option<File>,
}

/// How many bytes [`Head::bytes`] holds at most.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;

/// What `sniff` sees of a file.
pub(crate) struct Head<'a> {
    /// The first 64 KiB after decompression, without a byte order mark; the whole file when it is shorter.
    pub(crate) bytes: &'a [u8],
    /// The columns of a Parquet file, which stand at its end; empty for other files and for a broken one.
    pub(crate) columns: &'a [String],
}

/// A format's row in [`FORMATS`].
pub(crate) struct FormatReader {
    pub(crate) format: Format,
    pub(crate) sniff: fn(&Head<'_>) -> bool,
    pub(crate) read: fn(Input<'_>, &ReadOptions, &mut Telemetry) -> Result<(), IngestError>,
}

/// All formats. The first whose `sniff` says yes reads the file, so the stricter stand before the looser.
pub(crate) static FORMATS: &[FormatReader] = &[
    FormatReader { format: Format::OtlpJson, sniff: otlp_json::sniff, read: otlp_json::read },
    FormatReader { format: Format::OtlpProtobuf, sniff: otlp_protobuf::sniff, read: otlp_protobuf::read },
    // Logs name the ids of their traces as spans do, so their strict sniffs stand before the looser ones of spans.
    FormatReader { format: Format::ChangesJson, sniff: changes::sniff_json, read: changes::read_json },
    FormatReader { format: Format::LogCri, sniff: log_cri::sniff, read: log_cri::read },
    FormatReader { format: Format::LogJson, sniff: log_json::sniff, read: log_json::read },
    FormatReader { format: Format::ZipkinJson, sniff: zipkin_json::sniff, read: zipkin_json::read },
    FormatReader { format: Format::JaegerJson, sniff: jaeger_json::sniff, read: jaeger_json::read },
    FormatReader { format: Format::PetShopMetrics, sniff: petshop::sniff, read: petshop::read },
    FormatReader { format: Format::CallGraphCsv, sniff: call_graph::sniff, read: call_graph::read },
    FormatReader { format: Format::PrometheusRange, sniff: prometheus_range::sniff, read: prometheus_range::read },
    FormatReader { format: Format::SpanJson, sniff: span_json::sniff, read: span_json::read },
    FormatReader {
        format: Format::PrometheusProtobuf,
        sniff: prometheus_protobuf::sniff,
        read: prometheus_protobuf::read,
    },
    FormatReader { format: Format::Alertmanager, sniff: alertmanager::sniff, read: alertmanager::read },
    FormatReader { format: Format::OpenMetrics, sniff: openmetrics::sniff, read: openmetrics::read },
    FormatReader { format: Format::TraceWeights, sniff: trace_weights::sniff, read: trace_weights::read },
    FormatReader { format: Format::ChangesCsv, sniff: changes::sniff_csv, read: changes::read_csv },
    FormatReader { format: Format::LogCsv, sniff: log_csv::sniff, read: log_csv::read },
    FormatReader { format: Format::SpanCsv, sniff: span_csv::sniff, read: span_csv::read },
    FormatReader { format: Format::SpanParquet, sniff: span_parquet::sniff, read: span_parquet::read },
    FormatReader { format: Format::SeriesCsv, sniff: series_table::sniff_csv, read: series_table::read_csv },
    FormatReader { format: Format::SeriesParquet, sniff: series_parquet::sniff, read: series_parquet::read },
];

impl Format {
    /// The name on the command line and in messages, for example `otlp-json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtlpJson => "otlp-json",
            Self::JaegerJson => "jaeger-json",
            Self::SpanCsv => "span-csv",
            Self::SpanParquet => "span-parquet",
            Self::PrometheusRange => "prometheus-range",
            Self::OpenMetrics => "openmetrics",
            Self::SeriesCsv => "series-csv",
            Self::SeriesParquet => "series-parquet",
            Self::PetShopMetrics => "petshop-metrics",
            Self::CallGraphCsv => "call-graph-csv",
            Self::Alertmanager => "alertmanager",
            Self::OtlpProtobuf => "otlp-protobuf",
            Self::ZipkinJson => "zipkin-json",
            Self::SpanJson => "span-json",
            Self::PrometheusProtobuf => "prometheus-protobuf",
            Self::LogJson => "log-json",
            Self::LogCsv => "log-csv",
            Self::LogCri => "log-cri",
            Self::ChangesJson => "changes-json",
            Self::ChangesCsv => "changes-csv",
            Self::TraceWeights => "trace-weights",
        }
    }

    /// All formats, in the order in which a file's content is held against them.
    pub fn all() -> impl Iterator<Item = Self> {
        FORMATS.iter().map(|reader| reader.format)
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|format| format.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_warnings_are_counted_at_their_first_place() {
        let mut out = Telemetry::default();
        let (a, b) = (Path::new("a"), Path::new("b"));
        out.skip(a, "line 3", "odd");
        out.warn(b, "line 4", "odd", 1);
        out.skip(a, "line 5", "odd");
        let told: Vec<_> = out.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["a, line 3: odd (2 times)", "b, line 4: odd"]);
        assert_eq!(out.skipped, 2);
    }

    #[test]
    fn a_hostile_file_cannot_fill_the_report() {
        let mut out = Telemetry::default();
        for kind in 0..1000 {
            out.warn(Path::new("a"), kind, &format!("oddity {kind}"), 1);
        }
        assert_eq!(out.warnings.len(), MAX_WARNINGS_PER_FILE + 1);
        let last = &out.warnings[MAX_WARNINGS_PER_FILE];
        assert_eq!((last.message.as_str(), last.affected), (FURTHER_WARNINGS, 1000 - MAX_WARNINGS_PER_FILE as u64));
    }

    #[test]
    fn every_format_has_a_reader_and_a_name_that_finds_it() {
        for reader in FORMATS {
            assert_eq!(Format::from_name(reader.format.name()), Some(reader.format));
        }
        assert_eq!(FORMATS.len(), 21);
    }
}
