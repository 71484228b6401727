//! `hypocenter train`: how much each kind of evidence is worth, learned from recorded incidents with known causes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::eval::recorded::RecordedCase;
use crate::eval::run::in_parallel;
use crate::eval::{DatasetFormat, cases};
use crate::train::{self, Example};

use super::errors::Usage;
use super::eval::FormatArg;
use super::progress::Progress;
use super::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  Again from the table that lies beside the model, to the same bytes:
    hypocenter train --table models/fusion.csv --out models
  From simulated incidents and your own case folders:
    hypocenter simulate --out simulated --cases 200
    hypocenter train case:simulated case:incidents --out models
  Then use it:
    hypocenter analyze --case incidents/42 --model models/fusion.json

Exit codes:
  0  the model was written
  1  a dataset or table cannot be used, or there is too little in it
  2  the command line is wrong";

/// Train the model that weighs the evidence, on incidents with known causes
///
/// Writes fusion.json (the model), fusion.md (its model card) and fusion.csv (the training table: bits of evidence by kind,
/// without names) into a folder. The same table gives the same bytes. Cases of a split called `test` are left out. It
/// needs incidents of two systems or more: how sure the model may be is measured on systems that it has not seen.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Datasets as FORMAT:FOLDER; the formats are those of `hypocenter eval`
    #[arg(value_name = "DATASET", required_unless_present = "table")]
    datasets: Vec<String>,
    /// A training table made before, instead of datasets
    #[arg(long, value_name = "FILE", conflicts_with = "datasets")]
    table: Option<PathBuf>,
    /// Folder for what is written; it is made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = "models")]
    out: PathBuf,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let table = match &args.table {
        Some(path) => fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => train::table_of(&examples(&args.datasets)?),
    };
    let trained = train::train(&table).context("cannot train")?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let json = trained.model.to_json();
    let files = [("fusion.json", &json), ("fusion.md", &trained.card), ("fusion.csv", &trained.table)];
    for (name, text) in files {
        let path = args.out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    terminal.print(|out| {
        let held_out = &trained.model.held_out;
        writeln!(
            out,
            "{} cases. On systems left out of the training the likeliest answer is right in {:.1} %, with an expected \
             calibration error of {:.3}.\nWritten: {}",
            held_out.cases,
            held_out.right * 100.0,
            held_out.calibration_error,
            files.map(|file| args.out.join(file.0).display().to_string()).join(", ")
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

/// All cases of the datasets as examples, in the order given. Cases that cannot be read are told of on standard error.
fn examples(datasets: &[String]) -> anyhow::Result<Vec<Example>> {
    let mut found: Vec<RecordedCase> = Vec::new();
    for dataset in datasets {
        let (format, dir) = parsed(dataset)?;
        let of_dataset = cases(dir, format, 0).with_context(|| format!("cannot use {} as a dataset", dir.display()))?;
        found.extend(of_dataset.into_iter().filter(|case| case.split.as_deref() != Some("test")));
    }
    let progress = Progress::counting("analysing", "cases", found.len() as u64);
    let examples = in_parallel(&found, |case| {
        let example = train::example(case);
        progress.one_more();
        example
    });
    drop(progress);
    let mut read = Vec::new();
    for (case, example) in found.iter().zip(examples) {
        match example {
            Ok(example) => read.push(example),
            Err(error) => anstream::eprintln!("left out: {}: {:#}", case.id, anyhow::Error::from(error)),
        }
    }
    Ok(read)
}

fn parsed(dataset: &str) -> anyhow::Result<(DatasetFormat, &Path)> {
    let wrong = || Usage(format!("`{dataset}` is no dataset; expected FORMAT:FOLDER, for example case:incidents"));
    let (format, dir) = dataset.split_once(':').ok_or_else(wrong)?;
    let format = <FormatArg as clap::ValueEnum>::from_str(format, true).map_err(|_unknown| wrong())?;
    Ok((format.into(), Path::new(dir)))
}
