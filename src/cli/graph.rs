//! `hypocenter graph`: who calls whom, with rates, errors and latency of both windows.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::assemble::graph_of;
use crate::report::{GraphFormat, terminal_text, write_graph};

use super::command_line::CommandLine;
use super::errors::Usage;
use super::inputs::{Inputs, TIMES_HELP, Windows};
use super::progress::Progress;
use super::terminal::Terminal;
use super::windows;

const EXAMPLES: &str = "\
Examples:
  hypocenter graph --traces traces.jsonl | dot -Tsvg > graph.svg
  hypocenter graph --traces traces/ -o mermaid
  hypocenter graph --traces traces/ -o json \\
    --incident 2026-03-02T10:10:00Z/5m --baseline 2026-03-02T09:00:00Z/1h
  hypocenter graph --case datasets/checkout-db-latency -o json";

const EXIT_CODES: &str = "\
Exit codes:
  0  the graph was printed
  1  it could not be: a file could not be read, there is no telemetry
  2  the command line is wrong";

/// Print who calls whom
///
/// With --incident and --baseline the graph has the rates, errors and latencies of both.
#[derive(clap::Args)]
#[command(after_help = format!("{TIMES_HELP}\n\n{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    windows: Windows,
    /// Form of the graph
    #[arg(short, long, value_enum, default_value_t = GraphOutput::Dot, value_name = "FORM")]
    output: GraphOutput,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum GraphOutput {
    /// Graphviz
    Dot,
    /// Mermaid flowchart
    Mermaid,
    /// Object with sorted `nodes` and `edges`
    Json,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let case = args.inputs.case()?;
    let mut telemetry = args.inputs.read(args.inputs.settings()?, case.as_ref(), None, &args.windows)?;
    let incident = args.windows.incident.or(case.as_ref().map(|c| c.incident));
    let from_case = case.as_ref().map(|c| c.baselines.as_slice()).unwrap_or_default();
    let baselines = if args.windows.baseline.is_empty() { from_case } else { &args.windows.baseline };
    let windows = match incident {
        None if baselines.is_empty() => None,
        None => return Err(Usage("--baseline needs --incident beside it".to_owned()).into()),
        Some(_) => {
            let command = args.inputs.words(CommandLine::new("graph"));
            Some(windows::choose(incident, baselines, &telemetry, &command)?)
        }
    };
    let progress = Progress::start("aggregating");
    // Without windows the bins do not matter: all of them are added up.
    let whole = crate::windows::extent(&telemetry);
    let grid_window = windows.as_ref().map(|w| w.incident).or(whole);
    let Some(grid_window) = grid_window else { return Err(windows::no_telemetry(&telemetry)) };
    let (calls, graph, mut warnings) = graph_of(&mut telemetry, &grid_window);
    warnings.extend(telemetry.warnings);
    warnings.sort();
    drop(progress);
    for warning in &warnings {
        anstream::eprintln!("warning: {}", terminal_text(&warning.to_string(), 1_000));
    }
    let windows = windows.as_ref().map(|w| (&w.incident, w.baselines.as_slice()));
    let format = match args.output {
        GraphOutput::Dot => GraphFormat::Dot,
        GraphOutput::Mermaid => GraphFormat::Mermaid,
        GraphOutput::Json => GraphFormat::Json,
    };
    terminal.print(|out| write_graph(&graph, &calls, &telemetry.series, windows, format, out))?;
    Ok(ExitCode::SUCCESS)
}
