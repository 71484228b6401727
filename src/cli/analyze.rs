//! `hypocenter analyze`: from files or live sources to a report.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;

use crate::analysis::{self, Settings};
use crate::assemble::{Request, assemble};
use crate::case::Case;
use crate::explain::Diagnosis;
use crate::ingest::Telemetry;
use crate::rank::fusion::Fusion;
use crate::rank::{self, Verdict};
use crate::report;
use crate::settings;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::windows::{Chosen, extent};

use super::command_line::CommandLine;
use super::errors::Usage;
use super::exit;
use super::inputs::{Inputs, TIMES_HELP, Windows, now_ns};
use super::live::{self, Before, Live, PulledCase};
use super::model;
use super::progress::Progress;
use super::terminal::{Output, Terminal};
use super::windows;

const EXAMPLES: &str = "\
Examples:
  A recorded incident, windows given:
    hypocenter analyze --traces traces.jsonl --metrics metrics/ \\
      --incident 2026-03-02T10:10:00Z/5m --baseline 2026-03-02T09:00:00Z/1h
  The last quarter of an hour against the hour before, as a ticket:
    hypocenter analyze --traces otel/*.json.gz -o markdown \\
      --incident now-15m/now --baseline now-75m/now-15m
  From the alert that fired (gives windows, entry and symptom):
    hypocenter analyze --traces traces/ --metrics cpu.json --alert webhook.json
  A case folder:
    hypocenter analyze --case datasets/checkout-db-latency -o json
  What is running now, kept to be analysed again:
    hypocenter analyze --prometheus http://localhost:9090 --tempo http://localhost:3200 \\
      --entry frontend --incident now-15m/now --save incident-42";

/// Find where an incident began
///
/// Compares the incident with normal operation and finds the service, or the call, where the failure began.
#[derive(clap::Args)]
#[command(after_help = format!("{TIMES_HELP}\n\n{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    live: Live,
    /// Keep what the live sources gave as a case folder
    #[arg(long, value_name = "DIR", conflicts_with = "case")]
    save: Option<PathBuf>,
    /// The body of an Alertmanager or Grafana webhook: gives windows, entry and symptom
    #[arg(long, value_name = "FILE")]
    alert: Option<PathBuf>,
    #[command(flatten)]
    windows: Windows,
    /// The service where users felt it; without it, the entry that changed most
    #[arg(long, value_name = "SERVICE")]
    entry: Option<String>,
    /// What users felt; without it, whatever changed
    #[arg(long, value_enum)]
    symptom: Option<SymptomArg>,
    /// Ranking method; `hypocenter` is our own, the others are for comparison
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Model that weighs the evidence of `hypocenter`: a file of `hypocenter train`, or `rules` for none; without it, the
    /// one that comes with the program
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
    /// Exit with 3 on a conclusion
    #[arg(long, value_enum, value_name = "CONCLUSION")]
    fail_on: Option<FailOn>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum SymptomArg {
    /// Requests are slow
    Latency,
    /// Requests fail
    Errors,
}

impl SymptomArg {
    fn symptom(self) -> Symptom {
        match self {
            Self::Latency => Symptom::Latency,
            Self::Errors => Symptom::Errors,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FailOn {
    /// No cause was named: nothing anomalous, or the evidence does not separate the candidates
    Inconclusive,
    /// Anything anomalous was found, with or without a cause (to watch a deployment)
    Anomaly,
}

impl FailOn {
    fn fails(self, verdict: Verdict) -> bool {
        match self {
            Self::Inconclusive => verdict != Verdict::CauseFound,
            Self::Anomaly => verdict != Verdict::NoAnomaly,
        }
    }
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let settings = Settings { fusion: model::fusion(args.model.as_deref())?, ..Settings::default() };
    let method = method(args.method.as_deref(), settings.fusion)?;
    // Once: it may be a pipe.
    let file = args.inputs.settings()?;
    let pulled = pull(args, &file)?;
    let case = match &pulled {
        Some(pulled) => Some(Case::read(pulled.dir()).context("cannot read what was pulled")?),
        None => args.inputs.case()?,
    };
    // What was pulled has the alert beside it.
    let alert = args.alert.as_ref().filter(|_| pulled.is_none());
    let telemetry = args.inputs.read(file, case.as_ref(), alert, &args.windows)?;
    if let Some(nothing) = pulled.as_ref().and_then(PulledCase::nothing)
        && extent(&telemetry).is_none()
    {
        anyhow::bail!("{nothing}");
    }
    let command = args.inputs.words(CommandLine::new("analyze"));
    let command = match &args.save {
        Some(saved) => command.paths("--case", &[saved]),
        None => args.live.words(command).paths("--alert", args.alert.as_slice()),
    };

    // What was pulled ends where telemetry had arrived.
    let asked = args.windows.incident.filter(|_| pulled.is_none());
    let given = asked.or(case.as_ref().map(|c| c.incident));
    let from_case = case.as_ref().map(|c| c.baselines.as_slice()).unwrap_or_default();
    let baselines = if args.windows.baseline.is_empty() { from_case } else { &args.windows.baseline };
    let windows = windows::choose(given, baselines, &telemetry, &command)?;
    let request = request(args, case.as_ref(), &windows, &telemetry);
    let command = reproduce(args, command, case.as_ref(), &windows);

    let diagnosis = diagnose(telemetry, request, method.as_deref(), &settings)?;
    let format = terminal.format(args.output);
    terminal.print(|out| {
        report::write(&diagnosis, format, out)?;
        write_command(args.output, &command, out)
    })?;
    let flagged = args.fail_on.is_some_and(|fail_on| fail_on.fails(diagnosis.verdict));
    Ok(if flagged { ExitCode::from(exit::FLAGGED) } else { ExitCode::SUCCESS })
}

/// Asks the live sources, if there are any, for what the case folder is to hold.
fn pull(args: &Args, settings: &settings::Settings) -> anyhow::Result<Option<PulledCase>> {
    if args.inputs.case.is_some() && args.live.is_asked() {
        let text =
            "--case is telemetry that was recorded, and live sources are asked for what they have: give one of both";
        return Err(Usage(text.to_owned()).into());
    }
    if args.inputs.data.is_some() && args.live.is_asked() {
        let text = "--data is a store of what was received, and live sources are asked for what they have: the same telemetry \
                    may be in both and would count twice; give one of both";
        return Err(Usage(text.to_owned()).into());
    }
    let sources = args.live.sources(settings, args.inputs.names_files())?;
    if sources.is_empty() {
        return match &args.save {
            Some(_) => {
                Err(Usage("--save keeps what live sources gave; name one, for example --prometheus".into()).into())
            }
            None => Ok(None),
        };
    }
    if args.save.is_some() && args.inputs.names_files() {
        let text = "--save keeps what live sources gave and not the files beside them: the saved case would give another \
                    report; leave out --save, or the files";
        return Err(Usage(text.to_owned()).into());
    }
    let alert = args.alert.as_deref().map(live::read_alert).transpose()?;
    let windows = windows::before_pull(args.windows.incident, &args.windows.baseline, alert.as_ref(), now_ns())?;
    let before = Before {
        settings,
        windows: &windows,
        entry: args.entry.as_deref(),
        symptom: args.symptom.map(SymptomArg::symptom),
        alert: args.alert.as_deref().zip(alert.as_ref()),
    };
    live::pull(&sources, &before, args.save.as_deref()).map(Some)
}

/// Everything between reading and writing. `None` is our own method.
pub(super) fn diagnose(
    telemetry: Telemetry,
    request: Request,
    method: Option<&dyn rank::Ranker>,
    settings: &Settings,
) -> anyhow::Result<Diagnosis> {
    let _progress = Progress::start("analysing");
    let incident = assemble(telemetry, request).context("cannot analyse this incident")?;
    Ok(match method {
        Some(ranker) => analysis::analyze_with(&incident, ranker, settings),
        None => analysis::analyze(&incident, settings),
    })
}

fn method(name: Option<&str>, fusion: Fusion) -> Result<Option<Box<dyn rank::Ranker>>, Usage> {
    let Some(name) = name else { return Ok(None) };
    rank::by_name(name, fusion).map(Some).ok_or_else(|| {
        let known: Vec<String> =
            rank::registry(fusion).iter().map(|ranker| format!("  {}: {}", ranker.name(), ranker.about())).collect();
        Usage(format!("there is no method `{name}`; the methods are\n{}", known.join("\n")))
    })
}

fn request(args: &Args, case: Option<&Case>, windows: &Chosen, telemetry: &Telemetry) -> Request {
    let file_name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let of_case = case.map(|c| c.name.clone());
    let of_alert = telemetry.alerts.iter().map(|alert| alert.name.clone()).find(|name| !name.is_empty());
    let mut files = args.inputs.traces.iter().chain(&args.inputs.metrics).filter_map(file_name);
    // One of several files would be no name for all of them.
    let of_file = files.next().filter(|_| files.next().is_none());
    Request {
        name: of_case.or(of_alert).or(of_file).unwrap_or_else(|| "incident".to_owned()),
        window: windows.incident,
        baselines: windows.baselines.clone(),
        entry: args.entry.as_deref().map(ServiceId::new).or_else(|| case?.entry.clone()),
        symptom: args.symptom.map(SymptomArg::symptom).or_else(|| case?.symptom),
    }
}

/// The command that gives this report again: with the windows as they were chosen, so that neither the clock nor more
/// telemetry changes them.
fn reproduce(args: &Args, command: CommandLine, case: Option<&Case>, windows: &Chosen) -> CommandLine {
    let is_kept = args.inputs.case.is_some() || args.save.is_some();
    let case = case.filter(|_| is_kept);
    let as_in_case = case.is_some_and(|c| c.incident == windows.incident && c.baselines == windows.baselines);
    let entry = args.entry.as_deref();
    let entry =
        entry.filter(|entry| case.and_then(|c| c.entry.as_ref()).is_none_or(|of_case| of_case.as_str() != *entry));
    let symptom = args.symptom.filter(|symptom| case.and_then(|c| c.symptom) != Some(symptom.symptom()));
    let command = if as_in_case { command } else { command.windows(&windows.incident, &windows.baselines) };
    let symptom = symptom.and_then(|s| s.to_possible_value()).map(|v| v.get_name().to_owned());
    let model: Vec<&PathBuf> = args.model.iter().collect();
    command
        .paths("--model", &model)
        .flag_if("--entry", entry)
        .flag_if("--symptom", symptom.as_deref())
        .flag_if("--method", args.method.as_deref())
}

/// Adds the command for people; JSON holds the windows already and stays one object.
fn write_command(output: Output, command: &CommandLine, out: &mut dyn Write) -> io::Result<()> {
    match output {
        Output::Text => writeln!(out, "\nReproduce with\n  {command}"),
        // A fence longer than any run of backticks in the command cannot be closed by it.
        Output::Markdown => {
            let command = command.to_string();
            let longest = command.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            writeln!(out, "Reproduce with\n\n{fence}sh\n{command}\n{fence}")
        }
        Output::Json => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conclusions_fail_only_as_asked() {
        use Verdict::{CannotTell, CauseFound, NoAnomaly};
        let failing = |fail_on: FailOn| [CauseFound, CannotTell, NoAnomaly].map(|verdict| fail_on.fails(verdict));
        assert_eq!(failing(FailOn::Inconclusive), [false, true, true]);
        assert_eq!(failing(FailOn::Anomaly), [true, true, false]);
    }

    #[test]
    fn a_fence_is_not_closed_by_the_command() {
        let command = CommandLine::new("analyze").flag("--entry", "a```b");
        let mut out = Vec::new();
        write_command(Output::Markdown, &command, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().ends_with("\n````\n"));
    }
}
