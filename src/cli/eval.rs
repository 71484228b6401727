//! `hypocenter eval`: how often each method finds the known causes of recorded incidents.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::analysis::Settings;
use crate::eval::ablation::variants;
use crate::eval::record::Record;
use crate::eval::recorded::RecordedCase;
use crate::eval::run::{Evaluation, MethodResult, evaluate};
use crate::eval::{DatasetFormat, cases, json, markdown, table, without};
use crate::rank::{self, fusion::Fusion};
use crate::report::terminal_text;
use crate::telemetry::time::NANOS_PER_SECOND;

use super::command_line::CommandLine;
use super::errors::Usage;
use super::model;
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
///
/// Intervals are 95 % percentile bootstrap over incidents. p is McNemar's exact test of AC@1 against our method on the same
/// incidents ("only ours": it alone is right), Holm the same adjusted for all comparisons. ms is detection and ranking of
/// one case in memory: the median, and at most. Calibration looks at the probability of each top answer ("no cause" where
/// that is likelier): of those at 0.9, are nine in ten right?
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hypocenter eval --list
  hypocenter eval datasets --format case
  hypocenter eval nezha --format nezha --shift -60 -o json
  hypocenter eval petshop --format petshop --method random_walk --cases
  hypocenter eval nezha --format nezha --ablation --record datasets/records
  hypocenter eval RE2/RE2-TT --format rcaeval --without traces

Exit codes:
  0  the figures were written (failed cases included)
  1  the dataset cannot be used
  2  the command line is wrong")]
pub struct EvalArgs {
    /// Folder of the dataset
    #[arg(required_unless_present = "list", requires = "format")]
    dir: Option<PathBuf>,
    /// Layout of the folder
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
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
    /// Model that weighs the evidence of `hypocenter`: a file of `hypocenter train`, or `rules` for none
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Run `hypocenter` also without each kind of telemetry, and with the start wrong by 60 s either way
    #[arg(long, conflicts_with_all = ["shift", "without"])]
    ablation: bool,
    /// Keep all figures in this folder, as DATE-DATASET.json
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// The record's date (default: today, UTC)
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<jiff::civil::Date>,
    /// The dataset's name in figures and records (default: the folder's name)
    #[arg(long)]
    name: Option<String>,
    /// List the methods, and the cases of a dataset if one is given, and stop
    #[arg(long)]
    list: bool,
    /// Tell of each case as well: rank of the truth, what stood first, time; in JSON every method's answer
    #[arg(long)]
    cases: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum FormatArg {
    /// Case folders with a case.toml that has a [truth]
    Case,
    /// Nezha (FSE 2023): rca_data and construct_data
    Nezha,
    /// PetShop (CLeaR 2024): graph.csv, noissue and issues
    Petshop,
    /// RCAEval (WWW 2025), suites RE1 to RE3: <service>_<fault>/<n> with inject_time.txt
    Rcaeval,
}

impl From<FormatArg> for DatasetFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Case => Self::Case,
            FormatArg::Nezha => Self::Nezha,
            FormatArg::Petshop => Self::PetShop,
            FormatArg::Rcaeval => Self::RcaEval,
        }
    }
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
    /// A page for tickets and documents
    Markdown,
}

/// Runs the command.
///
/// # Errors
/// When the dataset cannot be used, a method's name is unknown, or the figures cannot be written.
pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    if args.cases && args.output == OutputArg::Markdown {
        return Err(Usage("--cases needs -o table or -o json: the page names wrong cases only".to_owned()).into());
    }
    let methods = methods(&args.methods)?;
    let settings = Settings { fusion: model::fusion(args.model.as_deref())?, ..Settings::default() };
    let found = cases_of(args, args.shift.saturating_mul(NANOS_PER_SECOND))?;
    let found = without::without(found, &args.without.iter().map(|part| (*part).into()).collect());
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.list {
        list(&found, &mut out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut evaluation = evaluated(args, "evaluating", &found, &methods, &settings);
    if args.ablation {
        for variant in variants(&evaluation) {
            let found = without::without(cases_of(args, variant.shift_ns())?, &variant.parts());
            let methods = evaluated(args, "with less to go on", &found, &[OURS], &settings).methods;
            let renamed = methods.into_iter().map(|result| MethodResult { name: variant.name(), ..result });
            evaluation.ablations.extend(renamed);
        }
    }
    let record = || Record::new(&evaluation, &date(args).to_string(), &CommandLine::as_given().to_string());
    if let Some(folder) = &args.record {
        let path = record().write(folder).context("cannot keep the record")?;
        anstream::eprintln!("recorded in {}", terminal_text(&path.to_string_lossy(), 2_000));
    }
    match args.output {
        OutputArg::Json => json::write_json(&evaluation, args.cases, &mut out)?,
        OutputArg::Markdown => out.write_all(markdown::page(&record()).as_bytes())?,
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

/// The cases of the dataset; none where none is given, which is for `--list` only.
fn cases_of(args: &EvalArgs, shift_ns: i64) -> anyhow::Result<Vec<RecordedCase>> {
    let (Some(dir), Some(format)) = (&args.dir, args.format) else { return Ok(Vec::new()) };
    cases(dir, format.into(), shift_ns).with_context(|| format!("cannot use {} as a dataset", dir.display()))
}

fn evaluated(
    args: &EvalArgs,
    stage: &'static str,
    found: &[RecordedCase],
    methods: &[&str],
    settings: &Settings,
) -> Evaluation {
    let progress = Progress::counting(stage, "cases", found.len() as u64);
    evaluate(&dataset_name(args), found, methods, settings, &|_| progress.one_more())
}

/// Today, unless another day is asked for.
fn date(args: &EvalArgs) -> jiff::civil::Date {
    args.date.unwrap_or_else(|| jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// The name asked for, else the folder's own.
fn dataset_name(args: &EvalArgs) -> String {
    if let Some(name) = &args.name {
        return name.clone();
    }
    let dir = args.dir.as_deref().unwrap_or_else(|| Path::new("."));
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    full.file_name().unwrap_or(full.as_os_str()).to_string_lossy().into_owned()
}

/// Names of the methods to run, in the registry's order: ours, those asked for (all when none is), the baselines.
fn methods(asked: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let known: Vec<&'static str> = rank::registry(Fusion::rules()).iter().map(|ranker| ranker.name()).collect();
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
    if !cases.is_empty() {
        writeln!(out)?;
    }
    for ranker in rank::registry(Fusion::rules()) {
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
