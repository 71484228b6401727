//! The flags that say what to read, and the reading.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::case::Case;
use crate::ingest::{self, Expected, Format, ReadOptions, SpanColumns, Telemetry, read_parts};
use crate::settings::Settings;
use crate::store;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};
use crate::timespec::{TimespecError, parse_window, rfc3339};

use super::command_line::CommandLine;
use super::errors::Usage;
use super::progress::Progress;
use super::windows;

/// What to read.
#[derive(clap::Args)]
pub(super) struct Inputs {
    /// Case folder: telemetry with a case.toml that names windows and entry
    #[arg(long, value_name = "DIR", conflicts_with_all = ["traces", "metrics", "logs", "changes"])]
    pub(super) case: Option<PathBuf>,
    /// Traces: files, folders or globs; .gz and .zst are unfolded
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(super) traces: Vec<PathBuf>,
    /// Metrics: files, folders or globs; .gz and .zst are unfolded
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(super) metrics: Vec<PathBuf>,
    /// Logs: files, folders or globs; .gz and .zst are unfolded
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(super) logs: Vec<PathBuf>,
    /// Lists of changes (time, service, kind, version, title, description; README) in JSON or CSV: files, folders or globs
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(super) changes: Vec<PathBuf>,
    /// Store that `hypocenter serve` writes to; what lies in the windows is read, so --incident or --alert says when
    #[arg(long, value_name = "DIR", conflicts_with = "case")]
    pub(super) data: Option<PathBuf>,
    /// Read files as this format instead of looking at their content
    #[arg(long, value_name = "FORMAT", value_parser = format_named)]
    pub(super) format: Option<Format>,
    /// Columns of span tables: `nezha`, or `field=column` joined by commas (trace=TraceID,start=Start:us); fields are
    /// trace, span, parent, service, instance, version, operation, start, end, duration, kind, status, peer, weight,
    /// trace_state, attributes, resource
    #[arg(long, value_name = "COLUMNS")]
    pub(super) span_columns: Option<String>,
    /// Attribute of sampled spans that tells how many each stands for: the rate (keeps 1 in N), or below 1 the probability
    #[arg(long, value_name = "NAME")]
    pub(super) sampling_attribute: Option<String>,
    /// Settings file: rules for metrics, labels and names of services; a flag wins over it (README, "Settings")
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// The windows to compare.
#[derive(clap::Args)]
pub(super) struct Windows {
    /// When users felt it: START/END or START/DURATION
    #[arg(long, value_name = "WINDOW", value_parser = window)]
    pub(super) incident: Option<Window>,
    /// Normal operation to compare with; may be given several times
    #[arg(long, value_name = "WINDOW", value_parser = window)]
    pub(super) baseline: Vec<Window>,
}

/// How to write times and windows, for the help of every command that takes them.
pub(super) const TIMES_HELP: &str = "\
Times are RFC 3339 (2026-03-02T10:00:00Z), Unix seconds (1772445600) or relative (now, now-1h30m);
durations are as in Prometheus (90s, 15m, 1h30m).";

/// The present, Unix nanoseconds: for the whole command one, so that `now-1h` means the same instant in each flag, and in
/// whole seconds, which a reader can repeat.
pub(super) fn now_ns() -> i64 {
    static NOW: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    *NOW.get_or_init(|| jiff::Timestamp::now().as_second().saturating_mul(NANOS_PER_SECOND))
}

pub(super) fn window(text: &str) -> Result<Window, TimespecError> {
    parse_window(text, now_ns())
}

pub(super) fn format_named(name: &str) -> Result<Format, String> {
    Format::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Format::all().map(Format::name).collect();
        format!("known formats are {}", known.join(", "))
    })
}

/// The flag to which files of a format are given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Traces,
    Metrics,
    Logs,
    Changes,
}

/// Whether files of the format may be given to the flag: OTLP has spans, metrics and logs in one file.
fn fits(format: Format, flag: Flag) -> bool {
    let has_all = matches!(format, Format::OtlpJson | Format::OtlpProtobuf);
    flag_of(format) == flag || (has_all && flag != Flag::Changes)
}

fn flag_of(format: Format) -> Flag {
    match format {
        Format::OtlpJson
        | Format::OtlpProtobuf
        | Format::JaegerJson
        | Format::ZipkinJson
        | Format::SpanCsv
        | Format::SpanParquet
        | Format::SpanJson
        | Format::TraceWeights => Flag::Traces,
        Format::LogJson | Format::LogCsv | Format::LogCri => Flag::Logs,
        Format::ChangesJson | Format::ChangesCsv => Flag::Changes,
        Format::PrometheusRange
        | Format::PrometheusProtobuf
        | Format::OpenMetrics
        | Format::SeriesCsv
        | Format::SeriesParquet
        | Format::PetShopMetrics
        | Format::CallGraphCsv
        | Format::Alertmanager => Flag::Metrics,
    }
}

impl Inputs {
    /// The case's description, if a case was given.
    pub(super) fn case(&self) -> anyhow::Result<Option<Case>> {
        self.case.as_deref().map(Case::read).transpose().context("cannot read the case")
    }

    /// What the settings file says, if one was given.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let settings = self.config.as_deref().map(Settings::read).transpose().context("cannot use the settings")?;
        Ok(settings.unwrap_or_default())
    }

    /// Whether files, a store or a case were given.
    pub(super) fn names_files(&self) -> bool {
        let lists = [&self.traces, &self.metrics, &self.logs, &self.changes];
        self.case.is_some() || self.data.is_some() || lists.iter().any(|paths| !paths.is_empty())
    }

    /// Reads everything that was named, as the settings say, of a store what lies in the windows. An alert is a file with the body of a webhook.
    pub(super) fn read(
        &self,
        settings: Settings,
        case: Option<&Case>,
        alert: Option<&PathBuf>,
        windows: &Windows,
    ) -> anyhow::Result<Telemetry> {
        let Settings { metrics, sampling_attribute, .. } = settings;
        let of_case = || case.and_then(|case| case.sampling_attribute.clone());
        let sampling_attribute = self.sampling_attribute.clone().or_else(of_case).or(sampling_attribute);
        let options = ReadOptions { metrics, sampling_attribute, ..ReadOptions::default() };
        let mut telemetry = Telemetry::default();
        if let Some(case) = case {
            let columns = self.span_columns.as_deref().or(case.span_columns.as_deref());
            telemetry.append(read(&case.files, self.format, columns, &options)?);
        }
        let columns = self.span_columns.as_deref();
        // Traces and metrics are read at once, and what was given to them is not read again with the others: a file that
        // is given to several flags, as OTLP may be, counts once.
        let traces_and_metrics = [(&self.traces, Flag::Traces), (&self.metrics, Flag::Metrics)];
        let given = [
            (&traces_and_metrics[..], None),
            (&[(&self.logs, Flag::Logs)][..], Some(Expected::Logs)),
            (&[(&self.changes, Flag::Changes)][..], Some(Expected::Changes)),
        ];
        let mut seen = BTreeSet::new();
        for (flags, expected) in given {
            let options = ReadOptions { expected, ..options.clone() };
            for forced in [true, false] {
                let fits = |flag| self.format.is_some_and(|format| fits(format, flag));
                let paths = flags.iter().filter(|(_, flag)| fits(*flag) == forced).flat_map(|(paths, _)| *paths);
                let paths: Vec<PathBuf> = paths.filter(|path| seen.insert((*path).clone())).cloned().collect();
                if !paths.is_empty() {
                    let format = self.format.filter(|_| forced);
                    telemetry.append(read(&paths, format, columns, &options)?);
                }
            }
        }
        let alert = match alert {
            Some(alert) => read(std::slice::from_ref(alert), Some(Format::Alertmanager), None, &options)?,
            None => Telemetry::default(),
        };
        if let Some(folder) = &self.data {
            telemetry.append(self.read_store(folder, windows, &alert, &options)?);
        }
        // Logs and changes say more about an incident, but show none by themselves.
        if telemetry.files.is_empty() && case.is_none() && self.traces.is_empty() && self.metrics.is_empty() {
            let sources = "give --traces and --metrics, --case, --data, or a live source such as --prometheus";
            return Err(Usage(format!("nothing to read: {sources}")).into());
        }
        telemetry.append(alert);
        // Once for all parts: traces name the services whose pods metrics speak of.
        ingest::finish(&mut telemetry, &options);
        Ok(telemetry)
    }

    fn read_store(
        &self,
        folder: &Path,
        given: &Windows,
        alert: &Telemetry,
        options: &ReadOptions,
    ) -> anyhow::Result<Telemetry> {
        let windows = windows::to_read(given.incident, &given.baseline, alert);
        let _progress = Progress::start("reading the store");
        let read = store::read(folder, &windows, options).context("cannot read the store")?;
        if read.first_and_last_ns().is_some() {
            return Ok(read);
        }
        let why =
            if windows.is_empty() { "when was it? Give --incident" } else { "the store holds nothing in the windows" };
        let there = match store::extent(folder, options).context("cannot read the store")? {
            Some((first, last)) => {
                format!("the store {} reaches from {} to {}", folder.display(), rfc3339(first), rfc3339(last))
            }
            None => format!("the store {} is empty", folder.display()),
        };
        Err(Usage(format!("{why}; {there}")).into())
    }

    /// The same inputs as words of a command.
    pub(super) fn words(&self, line: CommandLine) -> CommandLine {
        let case: Vec<&PathBuf> = self.case.iter().collect();
        let data: Vec<&PathBuf> = self.data.iter().collect();
        line.paths("--case", &case)
            .paths("--data", &data)
            .paths("--traces", &self.traces)
            .paths("--metrics", &self.metrics)
            .paths("--logs", &self.logs)
            .paths("--changes", &self.changes)
            .flag_if("--format", self.format.map(Format::name))
            .flag_if("--span-columns", self.span_columns.as_deref())
            .flag_if("--sampling-attribute", self.sampling_attribute.as_deref())
            .paths("--config", self.config.as_slice())
    }
}

fn read(
    paths: &[PathBuf],
    format: Option<Format>,
    span_columns: Option<&str>,
    options: &ReadOptions,
) -> anyhow::Result<Telemetry> {
    let span_columns = columns(span_columns)?;
    let options = ReadOptions { format, span_columns, ..options.clone() };
    let progress = Progress::start("reading");
    read_parts(paths, &options, &|p| progress.reading(p)).context("cannot read the telemetry")
}

pub(super) fn columns(text: Option<&str>) -> anyhow::Result<Option<SpanColumns>> {
    text.map(SpanColumns::parse).transpose().map_err(|error| {
        let flag = anyhow::Error::new(Usage(error.to_string()));
        flag.context("--span-columns cannot be understood")
    })
}
