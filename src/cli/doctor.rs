//! `hypocenter doctor`: what was recognised in files or live sources, what is missing for a good analysis, and what to do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;

use crate::case::{CASE_FILE, Case};
use crate::doctor::{self, FileFacts, Finding, Severity, Verdict};
use crate::ingest::{Format, ReadOptions, Telemetry, read_paths};
use crate::live::{Probe, probe};
use crate::settings::Settings;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};
use crate::windows::Chosen;

use super::command_line::CommandLine;
use super::errors::Usage;
use super::exit;
use super::inputs::{TIMES_HELP, columns, format_named, now_ns, window};
use super::live::{self, Before, Live, PulledCase};
use super::progress::Progress;
use super::store_in_windows::Kept;
use super::terminal::Terminal;
use super::windows;

const AFTER_HELP: &str = "\
Findings are `stops` (no analysis is possible), `gap` (it is less sure, or blind in places) and
`note`; under each stands what to do. The last lines are a command that would analyse this.

Examples:
  Why is my map empty?
    hypocenter doctor traces/
  Everything of an incident, before it is analysed:
    hypocenter doctor otel/*.jsonl.gz metrics/ alert.json \\
      --incident 2026-03-02T10:10:00Z/5m --baseline 2026-03-02T09:00:00Z/1h
  What the live sources have of the last quarter of an hour and the hour before:
    hypocenter doctor --prometheus http://localhost:9090 --tempo http://localhost:3200 --entry frontend
  What the receiver has of the last hour and a quarter:
    hypocenter doctor --data ~/.local/share/hypocenter
  A case folder, for a program:
    hypocenter doctor datasets/checkout-db-latency -o json

JSON: one object with schema_version (\"1\"; fields may be added), verdict (ready, usable_with_gaps,
not_usable), summary, findings (severity, id, what, advice; worst first), ranges, nodes, edges,
files (format, or looks_like and advice; what each holds and what was skipped), command.

Exit codes:
  0  nothing prevents an analysis
  1  something does: nothing usable was read, or a window holds no telemetry
  2  the command line is wrong";

/// Explain what was read, what is missing, and what to do
///
/// Looks at any files, folders or globs, or a case folder, says of each file what it is and holds, and what
/// stands in the way of a good analysis: for maps that are empty or wrong and for formats that nobody told.
#[derive(clap::Args)]
#[command(after_help = format!("{TIMES_HELP}\n\n{AFTER_HELP}"))]
pub(super) struct Args {
    /// Traces, metrics, alerts, anything: files, folders or globs; or one case folder
    #[arg(required_unless_present_any = ["prometheus", "jaeger", "tempo", "zipkin", "config", "data"], value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The store of `hypocenter serve`; without --incident its last hour and a quarter
    #[arg(long, value_name = "DIR", conflicts_with_all = ["paths", "prometheus", "jaeger", "tempo", "zipkin", "format"])]
    data: Option<PathBuf>,
    #[command(flatten)]
    live: Live,
    /// The service where users felt it, whose traces are asked for
    #[arg(long, value_name = "SERVICE")]
    entry: Option<String>,
    /// When users felt it: START/END or START/DURATION
    #[arg(long, value_name = "WINDOW", value_parser = window)]
    incident: Option<Window>,
    /// Normal operation to compare with; may be given several times
    #[arg(long, value_name = "WINDOW", value_parser = window, requires = "incident")]
    baseline: Vec<Window>,
    /// Read files as this format instead of looking at their content
    #[arg(long, value_name = "FORMAT", value_parser = format_named)]
    format: Option<Format>,
    /// Columns of span tables: `nezha`, or `field=column` joined by commas (trace=TraceID,start=Start:us); fields are
    /// trace, span, parent, service, instance, version, operation, start, end, duration, kind, status, peer, weight,
    /// trace_state, attributes, resource
    #[arg(long, value_name = "COLUMNS")]
    span_columns: Option<String>,
    /// Attribute of sampled spans that tells how many each stands for: the rate (keeps 1 in N), or below 1 the probability
    #[arg(long, value_name = "NAME")]
    sampling_attribute: Option<String>,
    /// Settings file: rules for metrics, labels and names of services; a flag wins over it (README, "Settings")
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    /// For a terminal
    Text,
    /// For programs
    Json,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let settings = args.config.as_deref().map(Settings::read).transpose().context("cannot use the settings")?;
    let settings = settings.unwrap_or_default();
    let asked = ask(args, &settings)?;
    let (case, answers) = match asked {
        Some(asked) => match &asked.pulled {
            Some(pulled) => (Some(Case::read(pulled.dir()).context("cannot read what was pulled")?), Some(asked)),
            None => (None, Some(asked)),
        },
        None => (case(&args.paths)?, None),
    };
    let of_case = case.as_ref().and_then(|c| c.sampling_attribute.clone());
    let span_columns = args.span_columns.as_deref().or(case.as_ref().and_then(|c| c.span_columns.as_deref()));
    let options = ReadOptions {
        format: args.format,
        span_columns: columns(span_columns)?,
        sampling_attribute: args.sampling_attribute.clone().or(of_case).or(settings.sampling_attribute),
        metrics: settings.metrics,
        unrecognised_is_error: false,
        ..ReadOptions::default()
    };
    let read: Vec<PathBuf> = match &case {
        // What was pulled, and what was named besides.
        Some(case) if answers.is_some() => case.files.iter().chain(&args.paths).cloned().collect(),
        Some(case) => case.files.clone(),
        None => args.paths.clone(),
    };
    let kept =
        args.data.as_deref().map(|folder| Kept::of(folder, args.incident, &args.baseline, &options)).transpose()?;
    let telemetry = match &kept {
        Some(kept) => kept.read(&options)?,
        None => {
            let progress = Progress::start("reading");
            read_paths(&read, &options, &|p| progress.reading(p)).context("cannot read the telemetry")?
        }
    };
    let windows = windows_of(args, case.as_ref());
    let examination = {
        let _progress = Progress::start("examining");
        let alone = |path: &Path| match &kept {
            Some(kept) => kept.read(&options).ok(),
            None => read_paths(&[path.to_owned()], &options, &|_| {}).ok(),
        };
        let files = FileFacts::of(&telemetry, |summary| alone(&summary.path));
        let mut examination = doctor::examine(&telemetry, files, windows.as_ref());
        let mut of_sources: Vec<Finding> = kept.iter().map(Kept::finding).collect();
        if let Some(asked) = &answers {
            of_sources.extend(asked.findings.iter().cloned());
            if examination.files.is_empty() {
                // Nobody named files: what is wrong is wrong with the sources.
                examination.findings.retain(|finding| finding.id != "nothing_read");
                of_sources.extend(asked.nothing());
            }
        }
        if kept.is_some() && telemetry.first_and_last_ns().is_none() {
            // The store says what it lacks.
            examination.findings.retain(|finding| finding.id != "nothing_read");
        }
        examination.with(of_sources)
    };
    let recorded = case.as_ref().filter(|_| answers.is_none());
    let command =
        command(args, recorded, windows.as_ref(), &telemetry).filter(|_| examination.verdict != Verdict::NotUsable);
    terminal.print(|out| match args.output {
        Form::Json => doctor::write_json(&examination, command.as_deref(), out),
        Form::Text => {
            let (colour, width) = terminal.shape();
            doctor::write_text(&examination, colour, width, out)?;
            match &command {
                // As it is, not broken into lines: it is to be pasted.
                Some(command) => writeln!(out, "\nAnalyse it with\n  {command}"),
                None => Ok(()),
            }
        }
    })?;
    let code = if examination.verdict == Verdict::NotUsable { exit::FAILURE } else { 0 };
    Ok(ExitCode::from(code))
}

/// What live sources gave, and what is to be told of them.
struct Asked {
    pulled: Option<PulledCase>,
    findings: Vec<Finding>,
}

impl Asked {
    /// That nothing came, where no source is said to fail.
    fn nothing(&self) -> Option<Finding> {
        let is_said = self.findings.iter().any(|finding| finding.severity == Severity::Stops);
        let what = match self.pulled.as_ref().and_then(PulledCase::nothing) {
            Some(nothing) => nothing.to_owned(),
            None => "nothing was pulled from the live sources".to_owned(),
        };
        let advice = "see what is said of each source, and what to do".to_owned();
        (!is_said).then_some(Finding { severity: Severity::Stops, id: "nothing_pulled", weight: 1.0, what, advice })
    }
}

/// Asks the live sources, if there are any: first what they are, then, of those that answer, for telemetry.
fn ask(args: &Args, settings: &Settings) -> anyhow::Result<Option<Asked>> {
    let mut sources = args.live.sources(settings, !args.paths.is_empty() || args.data.is_some())?;
    if sources.is_empty() {
        return match args.paths.as_slice() {
            [] if args.data.is_none() => Err(Usage(
                "nothing to look at: name files, a case folder, or a live source such as --prometheus".into(),
            )
            .into()),
            _ => Ok(None),
        };
    }
    let now_ns = now_ns();
    let last = Window::new(now_ns - LAST_NS, now_ns).ok();
    let windows = windows::before_pull(args.incident.or(last), &args.baseline, None, now_ns)?;
    let all: Vec<Window> = windows.baselines.iter().copied().chain([windows.incident]).collect();
    let probes = {
        let _progress = Progress::start("asking");
        probe(&sources, &all, args.entry.as_deref(), &settings.metrics).context("cannot ask the live sources")?
    };
    let failing = probes.iter().filter(|probe| probe.is_failing).count();
    let mut findings: Vec<Finding> = probes.iter().map(|probe| finding(probe, failing == probes.len())).collect();
    if args.paths.is_empty() && failing == probes.len() {
        let advice = "mend the address, or see that the server runs: there is nothing else to look at";
        findings.iter_mut().for_each(|finding| finding.advice = advice.to_owned());
    }
    for probe in probes.iter().filter(|probe| probe.is_failing || probe.cannot_be_pulled) {
        sources.leave_out(probe.kind);
    }
    if sources.is_empty() {
        return Ok(Some(Asked { pulled: None, findings }));
    }
    let entry = args.entry.as_deref();
    let before = Before { settings, windows: &windows, entry, symptom: None, alert: None };
    Ok(Some(Asked { pulled: Some(live::pull(&sources, &before, None)?), findings }))
}

/// Without windows, this is looked at, against the hour before.
const LAST_NS: i64 = 15 * 60 * NANOS_PER_SECOND;

fn finding(probe: &Probe, is_hopeless: bool) -> Finding {
    let severity = match probe {
        Probe { is_failing: true, .. } if is_hopeless => Severity::Stops,
        Probe { is_failing: true, .. } | Probe { lacks_something: true, .. } => Severity::Gap,
        _ => Severity::Note,
    };
    let id = if probe.is_failing { "source_fails" } else { "source_answers" };
    Finding { severity, id, weight: 1.0, what: probe.what.clone(), advice: probe.advice.clone() }
}

/// The case, where one case folder is all that was named.
fn case(paths: &[PathBuf]) -> anyhow::Result<Option<Case>> {
    match paths {
        [folder] if folder.join(CASE_FILE).is_file() => Ok(Some(Case::read(folder).context("cannot read the case")?)),
        _ => Ok(None),
    }
}

fn windows_of(args: &Args, case: Option<&Case>) -> Option<doctor::Windows> {
    let incident = args.incident.or(case.map(|c| c.incident))?;
    let of_case = case.map(|c| c.baselines.clone()).unwrap_or_default();
    let baselines = if args.baseline.is_empty() { of_case } else { args.baseline.clone() };
    Some(doctor::Windows { incident, baselines })
}

/// A command that would analyse this, with windows that hold data.
fn command(args: &Args, case: Option<&Case>, asked: Option<&doctor::Windows>, telemetry: &Telemetry) -> Option<String> {
    let line = CommandLine::new("analyze");
    let line = match case {
        Some(_) => line.paths("--case", &args.paths),
        None => named_inputs(args, telemetry, line),
    };
    let line = args
        .live
        .words(line)
        .paths("--data", args.data.as_slice())
        .flag_if("--entry", args.entry.as_deref())
        .flag_if("--format", args.format.map(Format::name))
        .flag_if("--span-columns", args.span_columns.as_deref())
        .flag_if("--sampling-attribute", args.sampling_attribute.as_deref())
        .paths("--config", args.config.as_slice());
    if case.is_some() && args.incident.is_none() {
        return Some(line.to_string());
    }
    let chosen = match (args.incident, asked) {
        (_, Some(asked)) if case.is_none() => {
            windows::choose(Some(asked.incident), &asked.baselines, telemetry, &line).ok()?
        }
        (Some(incident), _) => windows::choose(Some(incident), &args.baseline, telemetry, &line).ok()?,
        (None, _) => windows::proposed(telemetry)?,
    };
    let Chosen { incident, baselines } = chosen;
    Some(line.windows(&incident, &baselines).to_string())
}

/// The paths that gave something, by what they hold; a folder of spans and metrics is named once, as traces.
fn named_inputs(args: &Args, telemetry: &Telemetry, line: CommandLine) -> CommandLine {
    let (mut traces, mut metrics, mut logs, mut changes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut alert = Vec::new();
    for path in &args.paths {
        let pattern = glob::Pattern::new(&path.to_string_lossy()).ok();
        let is_below = |file: &Path| {
            file == path
                || (path.is_dir() && file.starts_with(path))
                || pattern.as_ref().is_some_and(|p| p.matches_path(file))
        };
        let mut below = telemetry.files.iter().filter(|f| is_below(&f.path)).peekable();
        if below.peek().is_none() {
            continue;
        }
        let files: Vec<_> = below.collect();
        if files.iter().any(|f| f.spans > 0) {
            traces.push(path);
        } else if files.iter().all(|f| f.format == Format::Alertmanager) && alert.is_empty() {
            alert.push(path);
        } else if files.iter().all(|f| f.series == 0 && f.logs > 0) {
            logs.push(path);
        } else if files.iter().all(|f| f.series == 0 && f.changes > 0) {
            changes.push(path);
        } else {
            metrics.push(path);
        }
    }
    line.paths("--traces", &traces)
        .paths("--metrics", &metrics)
        .paths("--logs", &logs)
        .paths("--changes", &changes)
        .paths("--alert", &alert)
}
