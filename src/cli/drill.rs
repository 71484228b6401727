//! `hypocenter drill`: the built-in incident, analysed by the same path as any other.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::assemble::Request;
use crate::case::Case;
use crate::ingest::{ReadOptions, Telemetry, read_bytes};
use crate::report;

use super::analyze::diagnose;
use super::terminal::{Output, Terminal};

/// The files of `datasets/checkout-db-latency`, inside the program: a drill needs nothing but itself.
const CASE: &str = include_str!("../../datasets/checkout-db-latency/case.toml");
const FILES: [(&str, &[u8]); 3] = [
    ("traces.jsonl.gz", include_bytes!("../../datasets/checkout-db-latency/traces.jsonl.gz")),
    ("metrics.om.gz", include_bytes!("../../datasets/checkout-db-latency/metrics.om.gz")),
    ("alert.json", include_bytes!("../../datasets/checkout-db-latency/alert.json")),
];

const BEFORE: &str = "\
A drill: a made incident of a small shop, built into this program. Ten minutes
are normal, in the next five the frontend is slow. What follows is the report
that your own telemetry would give.
";

const AFTER: &str = "
Now your own: name your traces, and when it hurt
  hypocenter analyze --traces PATH --incident now-15m/now --baseline now-75m/now-15m
`hypocenter analyze --help` says what it reads and how to give metrics and an alert.
";

/// Analyse the built-in incident: the first thing to run
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hypocenter drill\n  hypocenter drill -o markdown > ticket.md")]
pub(super) struct Args {
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let name = "checkout-db-latency";
    let case = Case::from_text(CASE, Path::new("case.toml"), name)?;
    let mut telemetry = Telemetry::default();
    for (file, bytes) in FILES {
        let read = read_bytes(Path::new(file), bytes, &ReadOptions::default());
        telemetry.append(read.context("cannot read the built-in incident")?);
    }
    let request = Request::from(&case);
    let diagnosis = diagnose(telemetry, request, None)?;
    let format = terminal.format(args.output);
    terminal.print(|out| match args.output {
        // For people the report is framed by what it is; a ticket or a program gets the report alone.
        Output::Text => {
            writeln!(out, "{BEFORE}")?;
            report::write(&diagnosis, format, out)?;
            write!(out, "{AFTER}")
        }
        Output::Markdown | Output::Json => report::write(&diagnosis, format, out),
    })?;
    Ok(ExitCode::SUCCESS)
}
