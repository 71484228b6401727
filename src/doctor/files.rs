//! File by file: what it is, what it holds, what was skipped and why.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustc_hash::FxHashSet;

use crate::ingest::{FileSummary, Guess, Telemetry, Unrecognised};
use crate::telemetry::series::Signal;
use crate::telemetry::time::Window;
use crate::telemetry::warning::Warning;

use super::times::extent_of;
use super::{Facts, Finding, Severity, brief, count, counted, percent};

/// What one file is and holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FileFacts {
    /// The file, as named or as found.
    pub path: PathBuf,
    /// Its format's name; `None` when it was not recognised.
    pub format: Option<&'static str>,
    /// What an unrecognised file seems to be, and what to do.
    pub guess: Option<Guess>,
    /// Spans.
    pub spans: u64,
    /// Distinct traces.
    pub traces: u64,
    /// Services of its spans, sorted.
    pub services: Vec<String>,
    /// From the first span's start to the last span's end.
    pub span_range: Option<Window>,
    /// Series read.
    pub series: u64,
    /// What the series measure, as far as this file alone tells.
    pub signals: Vec<Signal>,
    /// Kinds of metrics that were recognised.
    pub dialects: Vec<String>,
    /// From the first to the last sample.
    pub sample_range: Option<Window>,
    /// Log records.
    pub logs: u64,
    /// From the first to the last log record.
    pub log_range: Option<Window>,
    /// Changes.
    pub changes: u64,
    /// Alerts.
    pub alerts: u64,
    /// Edges stated outright.
    pub edges: u64,
    /// Records skipped.
    pub skipped: u64,
    /// What was skipped or odd, and why.
    pub warnings: Vec<Warning>,
}

impl FileFacts {
    /// The facts of each file of `telemetry`. `alone` gives a file's telemetry when it is read by itself, for what
    /// cannot be told apart once files are joined (series may go on from one file into the next); it is asked only of
    /// files that hold anything but spans.
    pub fn of(telemetry: &Telemetry, mut alone: impl FnMut(&FileSummary) -> Option<Telemetry>) -> Vec<Self> {
        let mut first_row = 0;
        let mut files: Vec<Self> = telemetry
            .files
            .iter()
            .map(|summary| {
                let rows = first_row..first_row + summary.spans as usize;
                first_row = rows.end;
                let mut facts = Self::named(summary);
                facts.add_spans(telemetry, rows);
                let holds_only_spans = summary.spans > 0 && summary.series + summary.logs == 0;
                if !holds_only_spans && let Some(alone) = alone(summary) {
                    facts.add_others(&alone);
                }
                facts
            })
            .collect();
        files.extend(telemetry.unrecognised.iter().map(|Unrecognised { path, guess, .. }| Self {
            path: path.clone(),
            guess: Some(guess.clone()),
            ..Self::default()
        }));
        // What could not be opened or is empty is no summary, only a warning.
        let known: BTreeSet<String> = files.iter().map(|f| f.path.to_string_lossy().into_owned()).collect();
        let unread: BTreeSet<&str> =
            telemetry.warnings.iter().map(|w| w.source.as_str()).filter(|s| !known.contains(*s)).collect();
        files.extend(unread.into_iter().map(|source| Self { path: source.into(), ..Self::default() }));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in &mut files {
            let path = file.path.to_string_lossy();
            file.warnings = telemetry.warnings.iter().filter(|w| w.source == path).cloned().collect();
        }
        files
    }

    fn named(summary: &FileSummary) -> Self {
        let format = Some(summary.format.name());
        Self {
            path: summary.path.clone(),
            format,
            spans: summary.spans,
            series: summary.series,
            logs: summary.logs,
            changes: summary.changes,
            skipped: summary.skipped,
            ..Self::default()
        }
    }

    /// Whether its format was recognised and nothing was read from it all the same.
    fn gave_nothing(&self) -> bool {
        let records = self.spans + self.series + self.logs + self.changes + self.alerts + self.edges;
        self.format.is_some() && records == 0
    }

    fn add_spans(&mut self, telemetry: &Telemetry, rows: std::ops::Range<usize>) {
        let spans = &telemetry.spans;
        let (Some(traces), Some(resources)) = (spans.trace.get(rows.clone()), spans.resource.get(rows.clone())) else {
            return;
        };
        self.traces = traces.iter().collect::<FxHashSet<_>>().len() as u64;
        let keys: BTreeSet<u32> = resources.iter().copied().collect();
        let services: BTreeSet<&str> =
            keys.iter().map(|key| spans.resources()[*key as usize].service.as_str()).collect();
        self.services = services.into_iter().map(str::to_owned).collect();
        let end = |row: usize| spans.start_ns[row].saturating_add_unsigned(spans.duration_ns[row]);
        self.span_range = extent_of(rows.map(|row| (spans.start_ns[row], end(row))));
    }

    fn add_others(&mut self, alone: &Telemetry) {
        self.signals = alone.series.iter().map(|s| s.signal).collect::<BTreeSet<_>>().into_iter().collect();
        self.dialects = alone.dialects.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let ends = alone.series.iter().filter_map(|s| Some((s.samples.first()?.0, s.samples.last()?.0)));
        self.sample_range = extent_of(ends);
        self.log_range = extent_of(alone.logs.at_ns.iter().map(|at| (*at, *at)));
        self.alerts = alone.alerts.len() as u64;
        self.edges = alone.given_edges.len() as u64;
    }
}

pub(super) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let telemetry = facts.telemetry;
    let mut findings = Vec::new();
    if telemetry.spans.is_empty() && telemetry.series.is_empty() {
        findings.push(nothing(facts));
    }
    findings.extend(unrecognised(&telemetry.unrecognised));
    findings.extend(skipped(facts));
    findings
}

fn nothing(facts: &Facts<'_>) -> Finding {
    let files = facts.files.len() as u64;
    let (what, advice) = if files == 0 {
        (
            "there is no file: the folders and patterns hold none".to_owned(),
            "name files, folders or globs of traces and metrics; `hypocenter doctor --help` has examples".to_owned(),
        )
    } else {
        let read = counted(files, "file was", "files were");
        let telemetry = facts.telemetry;
        let others = [
            (telemetry.alerts.len(), "alert", "alerts"),
            (telemetry.logs.len(), "log record", "log records"),
            (telemetry.given_edges.len(), "edge of a call graph", "edges of a call graph"),
            (telemetry.changes.len(), "change", "changes"),
        ];
        let held: Vec<String> =
            others.into_iter().filter(|(n, ..)| *n > 0).map(|(n, one, many)| counted(n as u64, one, many)).collect();
        let held = if held.is_empty() { String::new() } else { format!(" (only {})", held.join(", ")) };
        (
            format!("{read} looked at, and none holds spans or metric series{held}"),
            "see below, file by file, what each is; add traces (OTLP, Jaeger, Zipkin, tables) or metrics (Prometheus, tables)"
                .to_owned(),
        )
    };
    Finding { severity: Severity::Stops, id: "nothing_read", weight: 1.0, what, advice }
}

/// One finding for each kind of file: a folder may hold a thousand of them.
fn unrecognised(files: &[Unrecognised]) -> Vec<Finding> {
    let mut kinds: Vec<(&Guess, bool, Vec<&Unrecognised>)> = Vec::new();
    for file in files {
        match kinds.iter_mut().find(|(guess, named, _)| **guess == file.guess && *named == file.named) {
            Some((_, _, same)) => same.push(file),
            None => kinds.push((&file.guess, file.named, vec![file])),
        }
    }
    let finding = |(guess, named, same): (&Guess, bool, Vec<&Unrecognised>)| {
        let first = same.first().map_or_else(String::new, |f| path(&f.path));
        let which = match same.len() {
            1 => format!("{first} was not read: it looks like"),
            n => format!("{n} files were not read, first {first}: each looks like"),
        };
        Finding {
            // What lies about in a folder need not be telemetry; what was named should have been.
            severity: if named { Severity::Gap } else { Severity::Note },
            id: "unrecognised",
            weight: if named { 0.9 } else { 0.5 },
            what: format!("{which} {}", guess.looks_like),
            advice: guess.advice.clone(),
        }
    };
    kinds.into_iter().map(finding).collect()
}

/// The end of a path: what tells files of one folder apart.
fn path(path: &std::path::Path) -> String {
    let text = path.to_string_lossy();
    let length = text.chars().count();
    if length <= 60 {
        brief_path(&text)
    } else {
        format!("…{}", brief_path(&text.chars().skip(length - 59).collect::<String>()))
    }
}

fn brief_path(text: &str) -> String {
    crate::report::terminal_text(text, 60)
}

/// What to do about an oddity whose message says nothing of that.
fn advice_without_advice(message: &str) -> &'static str {
    if message.contains("is empty") || message.starts_with("nothing was found in it") {
        "see why whoever wrote it had nothing to write: a query that found nothing, a file just rotated"
    } else if message.contains("count as gaps") {
        "nothing, where there was nothing to measure; else look at the exporter"
    } else if message.contains("read as UTC") {
        "write times with their zone (RFC 3339), or make sure that they are in UTC"
    } else if message.contains("not used") {
        "nothing, unless you miss them"
    } else if message.contains("cannot be read further") {
        "the file is cut or damaged: fetch or unfold it again; what stands before that place was used"
    } else {
        "look at the place, and at what wrote it; the rest of the file was used"
    }
}

/// Files that could not be read to their end.
fn cut(telemetry: &Telemetry) -> Option<Finding> {
    let first = telemetry.cut.first()?;
    let others = match telemetry.cut.len() as u64 - 1 {
        0 => String::new(),
        more => format!(" and {}", counted(more, "other file", "other files")),
    };
    let named = path(std::path::Path::new(first));
    Some(Finding {
        severity: Severity::Gap,
        id: "cut_files",
        weight: 0.9,
        what: format!("{named}{others} could not be read to the end: what is missing may look like a change"),
        advice: "fetch, export or unfold it again".to_owned(),
    })
}

/// What to do about a file of which nothing was used, where the message says nothing of that.
const LOSS_ADVICE: &str = "nothing of this file was used: mend the query or what wrote it, and fetch it again";

/// Whether a message says that a file is whole and there was nothing to write into it.
fn says_that_there_was_nothing(message: &str) -> bool {
    ["is empty", "nothing was found in it", "holds no series", "holds no lines"].iter().any(|m| message.contains(m))
}

/// Kinds of oddities that are told one by one; the files' own lines have all.
const MOST_KINDS: usize = 5;

/// The most frequent reasons for which records were skipped or are odd.
fn skipped(facts: &Facts<'_>) -> Vec<Finding> {
    let telemetry = facts.telemetry;
    let unrecognised: BTreeSet<String> =
        telemetry.unrecognised.iter().map(|f| f.path.to_string_lossy().into_owned()).collect();
    let mut kinds: Vec<(&str, &Warning, u64, BTreeSet<&str>)> = Vec::new();
    for warning in telemetry.warnings.iter().filter(|w| !unrecognised.contains(&w.source)) {
        match kinds.iter_mut().find(|(message, ..)| *message == warning.message) {
            Some((_, _, affected, sources)) => {
                *affected = affected.saturating_add(warning.affected);
                sources.insert(&warning.source);
            }
            None => {
                kinds.push((&warning.message, warning, warning.affected, BTreeSet::from([warning.source.as_str()])))
            }
        }
    }
    // A file that gave nothing because of an oddity is a hole, however few records that is: a login page in place of the
    // metrics is one.
    let lost: FxHashSet<String> =
        facts.files.iter().filter(|f| f.gave_nothing()).map(|f| f.path.to_string_lossy().into_owned()).collect();
    let is_loss = |message: &str, sources: &BTreeSet<&str>| {
        !says_that_there_was_nothing(message) && sources.iter().any(|source| lost.contains(*source))
    };
    kinds.sort_by_cached_key(|(message, _, affected, sources)| {
        (!is_loss(message, sources), std::cmp::Reverse(*affected), *message)
    });
    let losses = kinds.iter().filter(|(message, _, _, sources)| is_loss(message, sources)).count();
    let told = MOST_KINDS + losses.min(MOST_KINDS);
    let read = (telemetry.spans.len() + telemetry.series.len()) as f64;
    let mut findings: Vec<Finding> = kinds
        .iter()
        .take(told)
        .map(|(message, first, affected, sources)| {
            let is_loss = is_loss(message, sources);
            let share = *affected as f64 / (*affected as f64 + read).max(1.0);
            // The message says what is wrong and, after a semicolon, what to do.
            let without = if is_loss { LOSS_ADVICE } else { advice_without_advice(message) };
            let (what, advice) = message.split_once("; ").unwrap_or((message, without));
            let at = if first.place.is_empty() { String::new() } else { format!(", {}", brief(&first.place)) };
            let more = match sources.len() {
                1 => String::new(),
                n => format!(" and {} more files", n - 1),
            };
            let times = if *affected > 1 { format!(", {} times", count(*affected)) } else { String::new() };
            Finding {
                severity: match is_loss || (share >= 0.01 && telemetry.skipped > 0) {
                    true => Severity::Gap,
                    false => Severity::Note,
                },
                id: if is_loss { "file_lost" } else { "skipped_or_odd" },
                weight: if is_loss { 0.85 } else { share.min(0.8) },
                what: format!("{}{at}{more}: {what}{times}", path(std::path::Path::new(&first.source))),
                advice: advice.to_owned(),
            }
        })
        .collect();
    findings.extend(cut(telemetry));
    if kinds.len() > told {
        let rest: u64 = kinds.iter().skip(told).map(|k| k.2).fold(0, u64::saturating_add);
        findings.push(Finding {
            severity: Severity::Note,
            id: "skipped_or_odd",
            weight: 0.0,
            what: format!("{} further kinds of oddities in {}", kinds.len() - told, counted(rest, "record", "records")),
            advice: "see them file by file with -o json".to_owned(),
        });
    }
    if telemetry.skipped > 0 && read > 0.0 {
        let share = telemetry.skipped as f64 / (telemetry.skipped as f64 + read);
        if share >= 0.2 {
            findings.push(Finding {
                severity: Severity::Gap,
                id: "much_skipped",
                weight: share,
                what: format!("{} of all records were skipped ({})", percent(share), count(telemetry.skipped)),
                advice: "the reasons stand below; an analysis would go by the rest alone".to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ingest::{ReadOptions, read_bytes};

    #[test]
    fn nothing_is_called_used_of_a_file_that_gave_nothing() {
        let read = |name: &str, bytes: &[u8]| read_bytes(Path::new(name), bytes, &ReadOptions::default()).unwrap();
        let advice = |telemetry: &Telemetry| {
            let examination = super::super::examine(telemetry, FileFacts::of(telemetry, |_| None), None);
            let ids = ["skipped_or_odd", "file_lost"];
            let odd = examination.findings.into_iter().find(|finding| ids.contains(&finding.id));
            odd.expect("an oddity").advice
        };
        let broken = advice(&read("a.parquet", b"PAR1 no footer follows"));
        assert!(broken.contains("nothing of this file was used"), "{broken}");
        let header = "trace_id,span_id,parent_id,service,start_us,duration_us\n";
        let torn = format!("{header}1,2,,cart,1772445600000000,5\nzz,3,,cart,1772445600000000,5\n");
        let torn = advice(&read("a.csv", torn.as_bytes()));
        assert!(torn.contains("the rest of the file was used"), "{torn}");
    }
}
