//! `hypocenter drill`: an incident is simulated and analysed by the same path as any other, then compared with its truth.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::analysis::Settings;
use crate::assemble::Request;
use crate::case::{CASE_FILE, Case, Truth};
use crate::explain::Diagnosis;
use crate::ingest::{ReadOptions, Telemetry, finish, read_bytes};
use crate::report;
use crate::simulate::incident::{Played, play};
use crate::simulate::write::TraceFormat;
use crate::telemetry::id::ServiceId;

use super::analyze::diagnose;
use super::progress::Progress;
use super::simulate::{CANNOT, Chosen};
use super::terminal::{Output, Terminal};

/// What a drill without any choice shows: an everyday fault, told by traces, logs and a deploy.
const FIRST_FAULT: &str = "bad-deploy";
const FIRST_SYSTEM: &str = "shop";

const AFTER: &str = "
Another one: hypocenter drill --seed 2, or --fault KIND (hypocenter simulate --list).
Now your own: name your traces, and when it hurt
  hypocenter analyze --traces PATH --incident now-15m/now --baseline now-75m/now-15m
`hypocenter analyze --help` says what it reads and how to give metrics and an alert.
";

const EXAMPLES: &str = "\
Examples:
  hypocenter drill
  hypocenter drill --fault slow-database --system booking --seed 7
  hypocenter drill --fault harmless-deploy
  hypocenter drill -o markdown > ticket.md";

/// Simulate an incident and analyse it: the first thing to run
///
/// The report is what your own telemetry would give; at the end stands what really happened, and whether the report was
/// right.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let mut choice = args.chosen.choice()?;
    if choice.fault.is_none() && choice.system.is_none() && args.chosen.seed == Chosen::FIRST_SEED {
        choice.fault = Some(FIRST_FAULT.to_owned());
        choice.system = Some(FIRST_SYSTEM.to_owned());
    }
    let progress = Progress::start("simulating");
    let played = play(&choice, args.chosen.seed, 0, TraceFormat::OtlpProtobuf).context(CANNOT)?;
    drop(progress);
    let case = case_of(&played)?;
    let diagnosis = diagnose(telemetry_of(&played)?, Request::from(&case), None, &Settings::default())?;
    let truth = case.truth.as_ref().context("a simulated case has its truth")?;
    let format = terminal.format(args.output);
    terminal.print(|out| match args.output {
        // For people the report is framed by what it is; a ticket or a program gets the report alone.
        Output::Text => {
            writeln!(out, "{}", before(&played))?;
            report::write(&diagnosis, format, out)?;
            writeln!(out, "\n{}", told(truth, &diagnosis))?;
            write!(out, "{AFTER}")
        }
        Output::Markdown | Output::Json => report::write(&diagnosis, format, out),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The case as `case.toml` describes it.
fn case_of(played: &Played) -> anyhow::Result<Case> {
    let described = played.files.iter().find(|file| file.name == CASE_FILE);
    let text = described.and_then(|file| std::str::from_utf8(&file.bytes).ok()).context("a simulated case has text")?;
    Ok(Case::from_text(text, Path::new(CASE_FILE), &played.name)?)
}

/// The telemetry, read as from files.
fn telemetry_of(played: &Played) -> anyhow::Result<Telemetry> {
    let _progress = Progress::start("reading");
    let options = ReadOptions::default();
    let mut telemetry = Telemetry::default();
    for file in played.files.iter().filter(|file| file.name != CASE_FILE) {
        let read = read_bytes(Path::new(&file.name), &file.bytes, &options);
        telemetry.append(read.context("cannot read the simulated telemetry")?);
    }
    finish(&mut telemetry, &options);
    Ok(telemetry)
}

fn before(played: &Played) -> String {
    let alert = if played.is_alerted { "an alert has fired" } else { "no alert has fired, but someone asks" };
    format!(
        "A drill: the system `{}` on paper, {} spans; {alert}.\n\
         What follows is the report that your own telemetry would give.\n",
        played.system, played.spans
    )
}

/// What really happened, and whether the report was right.
fn told(truth: &Truth, diagnosis: &Diagnosis) -> String {
    let description = truth.description.as_deref().unwrap_or("nothing was wrong");
    let mut text = format!("What really happened\n  {description}\n");
    let names = |services: &[ServiceId], between: &str| {
        services.iter().map(|service| service.as_str()).collect::<Vec<_>>().join(between)
    };
    if truth.path.len() > 1 {
        text.push_str(&format!("  on the way from the symptom: {}\n", names(&truth.path, " → ")));
    }
    let named: Vec<&ServiceId> = diagnosis.causes.iter().map(|cause| cause.candidate.suspect.service()).collect();
    let found = truth.causes.iter().filter(|cause| cause.iter().any(|name| named.contains(&name))).count();
    let judgement = match (truth.causes.len(), found, named.is_empty()) {
        (0, _, true) => "RIGHT: no cause was named, and there was none".to_owned(),
        (0, _, false) => "WRONG: a cause was named where there was none".to_owned(),
        (all, found, false) if found == all => "RIGHT: the report names it".to_owned(),
        (all, found, false) if found > 0 => format!("HALF RIGHT: the report names {found} of {all} causes"),
        (_, _, false) => "WRONG: the report names another service".to_owned(),
        (_, _, true) => "MISSED: the report names no cause, and there was one".to_owned(),
    };
    text.push_str(&judgement);
    text
}
