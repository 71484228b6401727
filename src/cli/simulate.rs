//! `hypocenter simulate`: incidents on paper, as case folders with the truth.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::{fs, io};

use anyhow::Context;
use clap::ValueEnum;

use crate::report::terminal_text;
use crate::simulate::fault::kinds::KINDS;
use crate::simulate::fault::{Onset, Severity};
use crate::simulate::incident::{Played, play};
use crate::simulate::scenario::{Choice, QUIET, draw};
use crate::simulate::system::{self, System, from_graph};
use crate::simulate::write::TraceFormat;

use super::errors::Usage;
use super::progress::Progress;
use super::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  hypocenter simulate --list
  hypocenter simulate --out cases --cases 20
  hypocenter simulate --out cases --cases 5 --system booking --fault slow-database --severity severe
  hypocenter graph --traces traces/ -o json > mine.json
  hypocenter simulate --out cases --cases 10 --system mine.json
  hypocenter eval cases --format case";

/// What was chosen does not fit together; the cause follows.
pub(super) const CANNOT: &str = "cannot simulate this; choose another --fault (simulate --list) or --system";

/// Write incidents on paper: telemetry of simulated systems, with the cause known
///
/// Each case is a folder with traces, metrics, logs, changes, the alert that fired and a case.toml with the truth. Case N
/// of a seed is the same bytes from run to run and from machine to machine, however many are made and by how many jobs.
/// What the simulation models and what it leaves out is in docs/simulator.md.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Folder for the cases: new or empty. They go to DIR/SYSTEM/CASE
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// How many cases
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    cases: u64,
    #[command(flatten)]
    chosen: Chosen,
    /// How many cases to make at the same time (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Format of the traces
    #[arg(long, value_enum, default_value_t = TracesArg::OtlpJson, value_name = "FORMAT")]
    traces: TracesArg,
    /// List systems and faults, and stop
    #[arg(long)]
    list: bool,
}

/// What to simulate; `drill` has it too.
#[derive(clap::Args)]
pub(super) struct Chosen {
    /// System: a name of `simulate --list`, or a file that `hypocenter graph -o json` wrote
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) system: Option<String>,
    /// What goes wrong: a name of `simulate --list`
    #[arg(long, value_name = "KIND")]
    pub(super) fault: Option<String>,
    /// How bad it is
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(super) severity: Option<SeverityArg>,
    /// How it begins
    #[arg(long, value_enum, value_name = "ONSET")]
    pub(super) onset: Option<OnsetArg>,
    /// About how many spans before sampling (default: 70 000 to 140 000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) spans: Option<u32>,
    /// About how many minutes, two thirds of them before the fault (default: 29)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(6..=720))]
    pub(super) minutes: Option<u32>,
    /// Seconds between two scrapes of metrics (default: 15, in some cases 30)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(5..=60))]
    pub(super) scrape: Option<u32>,
    /// Seed: another seed gives other incidents
    #[arg(long, value_name = "N", default_value_t = Chosen::FIRST_SEED)]
    pub(super) seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum SeverityArg {
    /// Hardly felt; maybe no alert
    Subtle,
    /// Users notice
    Middle,
    /// Many requests are slow or fail
    Severe,
    /// Nothing works any more at the place of the fault
    Total,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum OnsetArg {
    /// At once
    Sudden,
    /// Over some minutes
    Creeping,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum TracesArg {
    /// OTLP in JSON, a request a line
    OtlpJson,
    /// OTLP in protobuf
    OtlpProtobuf,
    /// Jaeger's JSON
    Jaeger,
    /// A table as ClickHouse has it
    Parquet,
}

impl TracesArg {
    fn format(self) -> TraceFormat {
        match self {
            Self::OtlpJson => TraceFormat::OtlpJson,
            Self::OtlpProtobuf => TraceFormat::OtlpProtobuf,
            Self::Jaeger => TraceFormat::JaegerJson,
            Self::Parquet => TraceFormat::Parquet,
        }
    }
}

impl Chosen {
    /// The seed unless another is asked for.
    pub(super) const FIRST_SEED: u64 = 1;

    /// Checks the names, and reads the system where it is a file.
    pub(super) fn choice(&self) -> anyhow::Result<Choice> {
        if let Some(name) = self.fault.as_deref().filter(|name| !is_fault(name)) {
            let hint = "hypocenter simulate --list has all kinds of faults";
            return Err(Usage(format!("there is no fault `{name}`; {hint}")).into());
        }
        let (system, given) = match self.system.as_deref() {
            Some(name) if system::by_name(name, 0).is_none() => (None, Some(topology(Path::new(name))?)),
            named => (named.map(str::to_owned), None),
        };
        Ok(Choice {
            system,
            given,
            fault: self.fault.clone(),
            severity: self.severity.map(|severity| match severity {
                SeverityArg::Subtle => Severity::Subtle,
                SeverityArg::Middle => Severity::Middle,
                SeverityArg::Severe => Severity::Severe,
                SeverityArg::Total => Severity::Total,
            }),
            onset: self.onset.map(|onset| match onset {
                OnsetArg::Sudden => Onset::Sudden,
                OnsetArg::Creeping => Onset::Creeping,
            }),
            spans: self.spans,
            minutes: self.minutes,
            scrape_s: self.scrape,
        })
    }
}

fn is_fault(name: &str) -> bool {
    let known = KINDS.iter().map(|kind| kind.name).chain(QUIET.map(|quiet| quiet.name()));
    known.chain(["two", "none"]).any(|known| known == name)
}

/// Reads a system from what `hypocenter graph -o json` wrote.
fn topology(path: &Path) -> anyhow::Result<System> {
    let bytes = fs::read(path).map_err(|source| {
        let names: Vec<&str> = system::NAMES.iter().map(|(name, _)| *name).collect();
        let hint = format!("--system takes {} or a file of `hypocenter graph -o json`", names.join(", "));
        anyhow::Error::new(source).context(format!("cannot read {} ({hint})", path.display()))
    })?;
    from_graph::from_graph(&bytes, path).context("cannot make a system of this graph")
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    if args.list {
        terminal.print(list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let out = args.out.as_deref().expect("clap asks for it unless --list is there");
    let choice = args.chosen.choice()?;
    // Tried before hours of work: what was chosen may not fit together.
    draw(&choice, &system::by_name, args.chosen.seed, 0).context(CANNOT)?;
    prepare(out)?;
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or_else(processors, usize::from).min(usize::try_from(args.cases).unwrap_or(usize::MAX));
    let progress = Progress::counting("simulating", "cases", args.cases);
    let made = make(out, &choice, args, jobs, &progress)?;
    drop(progress);
    made.tell(out);
    Ok(ExitCode::SUCCESS)
}

/// What was made, for people.
#[derive(Default)]
struct Made {
    cases: usize,
    spans: usize,
    without_alert: usize,
    bytes: usize,
}

impl Made {
    fn tell(&self, out: &Path) {
        let Self { cases, spans, without_alert, bytes } = self;
        let out = terminal_text(&out.display().to_string(), 1_000);
        anstream::eprintln!(
            "{cases} cases with {spans} spans in {:.1} MB under {out}; no alert fired in {without_alert} of them",
            *bytes as f64 / 1e6
        );
        anstream::eprintln!("next: hypocenter eval {out} --format case");
    }
}

/// Makes all cases; which thread makes which does not show in them.
fn make(out: &Path, choice: &Choice, args: &Args, jobs: usize, progress: &Progress) -> anyhow::Result<Made> {
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let work = || -> anyhow::Result<Made> {
        let mut made = Made::default();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= args.cases {
                break;
            }
            let played = play(choice, args.chosen.seed, index, args.traces.format())
                .with_context(|| format!("cannot simulate case {index}"));
            let written = played.and_then(|played| write(out, &played).map(|()| played));
            let played = written.inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            made.cases += 1;
            made.spans += played.spans;
            made.without_alert += usize::from(!played.is_alerted);
            made.bytes += played.files.iter().map(|file| file.bytes.len()).sum::<usize>();
            progress.one_more();
        }
        Ok(made)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut all = Made::default();
        for thread in threads {
            let made = thread.join().expect("a panic in a simulation is ours to mend")?;
            all.cases += made.cases;
            all.spans += made.spans;
            all.without_alert += made.without_alert;
            all.bytes += made.bytes;
        }
        Ok(all)
    })
}

/// Makes sure that the folder is there and empty: cases of two runs would mix.
fn prepare(out: &Path) -> anyhow::Result<()> {
    let shown = || out.display();
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", shown()))?;
    let mut entries = fs::read_dir(out).with_context(|| format!("cannot read the folder {}", shown()))?;
    if entries.next().is_some() {
        return Err(Usage(format!("{} is not empty: name a new folder, or remove what is in it", shown())).into());
    }
    Ok(())
}

fn write(out: &Path, played: &Played) -> anyhow::Result<()> {
    let folder = out.join(&played.system).join(&played.name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for file in &played.files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn list(out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "Systems (--system)")?;
    for (name, about) in system::NAMES {
        writeln!(out, "  {name:20} {about}")?;
    }
    writeln!(out, "  {:20} what `hypocenter graph -o json` wrote", "FILE")?;
    writeln!(out, "\nFaults (--fault)")?;
    for kind in KINDS {
        writeln!(out, "  {:20} {}", kind.name, kind.about)?;
    }
    writeln!(out, "  {:20} two of them at once", "two")?;
    writeln!(out, "\nNothing is wrong (--fault)")?;
    for quiet in QUIET {
        writeln!(out, "  {:20} {}", quiet.name(), quiet.about())?;
    }
    writeln!(out, "  {:20} any of these", "none")?;
    Ok(())
}
