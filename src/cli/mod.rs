//! The command line: one file per subcommand, and the parts that they share.
//!
//! A subcommand is a file with `Args` (clap) and `run(&Args, &Terminal) -> anyhow::Result<ExitCode>`, listed in
//! `Command`. Standard output is the report, standard error is for people. Errors go up to [`main`], which prints the
//! chain once.

mod analyze;
mod check;
mod command_line;
mod completions;
mod doctor;
mod drill;
mod errors;
pub mod eval;
mod graph;
mod inputs;
mod live;
mod model;
mod progress;
mod schema;
mod serve;
mod simulate;
mod store_in_windows;
mod terminal;
mod train;
mod windows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use terminal::{Color, Terminal};

/// Exit codes, as documented in `--help` and README.
mod exit {
    pub(super) const FAILURE: u8 = 1;
    pub(super) const USAGE: u8 = 2;
    pub(super) const FLAGGED: u8 = 3;
}

const EXIT_CODES: &str = "\
Exit codes:
  0  the analysis was done, whatever it concluded
  1  it could not be done: a file could not be read, there is no telemetry
  2  the command line is wrong: unknown flags, windows that overlap or hold nothing
  3  done, and --fail-on asked to fail on this conclusion";

/// Finds the service where a failure began: traces and metrics in, a ranked and explained root cause out.
#[derive(Parser)]
#[command(name = "hypocenter", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to use colour. NO_COLOR is honoured
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

#[derive(Subcommand)]
enum Command {
    Analyze(Box<analyze::Args>),
    Check(check::Args),
    Doctor(doctor::Args),
    Drill(drill::Args),
    Eval(eval::EvalArgs),
    Graph(graph::Args),
    Serve(serve::Args),
    Simulate(simulate::Args),
    Train(train::Args),
    /// Print the JSON Schema of the JSON report
    #[command(after_help = "Examples:\n  hypocenter schema > report.schema.json")]
    Schema,
    /// Print completions for a shell
    Completions(completions::Args),
}

/// Runs the program: reads the command line, does the work, prints what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let terminal = Terminal::new(cli.color);
    let result = match &cli.command {
        Command::Analyze(args) => analyze::run(args, &terminal),
        Command::Check(args) => check::run(args, &terminal),
        Command::Doctor(args) => doctor::run(args, &terminal),
        Command::Drill(args) => drill::run(args, &terminal),
        Command::Eval(args) => eval::run(args),
        Command::Graph(args) => graph::run(args, &terminal),
        Command::Serve(args) => serve::run(args),
        Command::Simulate(args) => simulate::run(args, &terminal),
        Command::Train(args) => train::run(args, &terminal),
        Command::Schema => schema::run(&terminal),
        Command::Completions(args) => completions::run(args, &terminal),
    };
    match result {
        Ok(code) => code,
        Err(error) => errors::report(&error),
    }
}

/// The whole command line, for completions and for checking it.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
