//! `hypocenter eval`: how often each method finds the known causes of recorded incidents.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::analysis::Settings;
use crate::eval::{DatasetFormat, cases, recorded::RecordedCase, run::evaluate, table, without};
use crate::rank;
use crate::telemetry::time::NANOS_PER_SECOND;

use super::errors::Usage;
use super::progress::Progress;

/// Methods that need no knowledge of the system: without them no figure means anything.
const ALWAYS: [&str; 3] = ["largest_change", "earliest_onset", "random"];
/// Our own method.
const OURS: &str = "hypocenter";

/// Measure how often the cause is found in recorded incidents
///
/// AC@k is the share of incidents whose cause is among the first k services, Avg@5 the mean of AC@1 to AC@5, MRR the mean
/// of 1/rank, all@n the share of incidents with n causes at once whose first n services are these, specificity the share of
/// quiet cases in which no cause is named. A tie counts against the method: the true
/// service stands behind all others of equal score. Cases that fail stay in the denominator.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hypocenter eval datasets --format case
  hypocenter eval nezha --format nezha --shift -60 -o json
  hypocenter eval petshop --format petshop --method random_walk --cases
  hypocenter eval RE2/RE2-TT --format rcaeval --without traces

Exit codes:
  0  the figures were written (failed cases included)
  1  the dataset cannot be used
  2  the command line is wrong")]
pub struct EvalArgs {
    /// Folder of the dataset
    dir: PathBuf,
    /// Layout of the folder
    #[arg(long, value_enum)]
    format: FormatArg,
    /// Ranking method to compare (repeatable; default: all). `hypocenter` and the simple baselines are always there
    #[arg(long = "method", value_name = "NAME")]
    methods: Vec<String>,
    /// How to write the figures
    #[arg(short, long, value_enum, default_value_t = OutputArg::Table)]
    output: OutputArg,
    /// Take every incident to begin this many seconds later (earlier if negative) than it did
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    shift: i64,
    /// Leave a kind of telemetry out (repeatable): what is it worth?
    #[arg(long, value_enum, value_name = "KIND")]
    without: Vec<PartArg>,
    /// List the cases and methods, and stop
    #[arg(long)]
    list: bool,
    /// Write one row for each case as well: rank of the truth, what stood first, time
    #[arg(long)]
    cases: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FormatArg {
    /// Case folders with a case.toml that has a [truth]
    Case,
    /// Nezha (FSE 2023): rca_data and construct_data
    Nezha,
    /// PetShop (CLeaR 2024): graph.csv, noissue and issues
    Petshop,
    /// RCAEval (WWW 2025), suites RE1 to RE3: <service>_<fault>/<n> with inject_time.txt
    Rcaeval,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum PartArg {
    /// Log records
    Logs,
    /// Spans, and what only they tell
    Traces,
    /// Metric series
    Metrics,
    /// Changes that files tell of
    Changes,
}

impl From<PartArg> for without::Part {
    fn from(part: PartArg) -> Self {
        match part {
            PartArg::Logs => Self::Logs,
            PartArg::Traces => Self::Traces,
            PartArg::Metrics => Self::Metrics,
            PartArg::Changes => Self::Changes,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum OutputArg {
    /// Tables for people
    Table,
    /// One JSON object
    Json,
}

/// Runs the command.
///
/// # Errors
/// When the dataset cannot be used, a method's name is unknown, or the figures cannot be written.
pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    if args.cases && args.output == OutputArg::Json {
        return Err(Usage("--cases needs -o table: the JSON holds figures only".to_owned()).into());
    }
    let methods = methods(&args.methods)?;
    let format = match args.format {
        FormatArg::Case => DatasetFormat::Case,
        FormatArg::Nezha => DatasetFormat::Nezha,
        FormatArg::Petshop => DatasetFormat::PetShop,
        FormatArg::Rcaeval => DatasetFormat::RcaEval,
    };
    let found = cases(&args.dir, format, args.shift.saturating_mul(NANOS_PER_SECOND))
        .with_context(|| format!("cannot use {} as a dataset", args.dir.display()))?;
    let found = without::without(found, &args.without.iter().map(|part| (*part).into()).collect());
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.list {
        list(&found, &mut out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let progress = Progress::counting("evaluating", "cases", found.len() as u64);
    let evaluation = evaluate(&dataset_name(args), &found, &methods, &Settings::default(), &|_| progress.one_more());
    drop(progress);
    match args.output {
        OutputArg::Json => table::write_json(&evaluation, &mut out)?,
        OutputArg::Table => {
            if args.cases {
                table::write_cases(&evaluation, &mut out)?;
                writeln!(out)?;
            }
            table::write_text(&evaluation, &mut out)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The folder's own name.
fn dataset_name(args: &EvalArgs) -> String {
    let full = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    full.file_name().unwrap_or(full.as_os_str()).to_string_lossy().into_owned()
}

/// Names of the methods to run, in the registry's order: ours, those asked for (all when none is), the baselines.
fn methods(asked: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let known: Vec<&'static str> = rank::registry().iter().map(|ranker| ranker.name()).collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(&name.as_str())) {
        let message = format!("there is no ranking method `{unknown}`; methods: {}", known.join(", "));
        return Err(Usage(message).into());
    }
    let wanted =
        |name: &str| name == OURS || ALWAYS.contains(&name) || asked.is_empty() || asked.iter().any(|a| a == name);
    Ok(known.into_iter().filter(|name| wanted(name)).collect())
}

fn list(cases: &[RecordedCase], out: &mut dyn Write) -> io::Result<()> {
    for case in cases {
        let truth = if case.causes.is_empty() { "no cause".to_owned() } else { case.truth() };
        writeln!(out, "{}\t{}\t{}\t{truth}", case.id, case.system, case.fault_kind)?;
    }
    writeln!(out)?;
    for ranker in rank::registry() {
        writeln!(out, "{}\t{}", ranker.name(), ranker.about())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_first_and_the_baselines_are_always_there() {
        let all = methods(&[]).unwrap();
        assert_eq!(all[0], OURS);
        assert!(ALWAYS.iter().all(|name| all.contains(name)));
        let some = methods(&["random_walk".to_owned()]).unwrap();
        assert_eq!(some, ["hypocenter", "random_walk", "largest_change", "earliest_onset", "random"]);
        let error = methods(&["magic".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`magic`") && error.contains("random_walk"), "{error}");
    }
}
