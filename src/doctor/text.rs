//! The examination on a terminal: the verdict, what to mend, what was read.

use std::io;

use crate::report::page::{ALARM, CALM, DOUBT, Page};
use crate::report::terminal_text;
use crate::telemetry::series::Signal;

use super::times::{interval, minutes};
use super::{Examination, FileFacts, Finding, Severity, Verdict, count, counted, list};

/// Longest sentence.
const SENTENCE: usize = 500;
/// Findings shown; the rest is in the JSON.
const MOST_FINDINGS: usize = 20;
/// Files shown.
const MOST_FILES: usize = 20;

pub(super) fn write(examination: &Examination, colour: bool, width: usize, out: &mut dyn io::Write) -> io::Result<()> {
    let mut page = Page::new(out, colour, width);
    head(examination, &mut page)?;
    findings(&examination.findings, &mut page)?;
    files(&examination.files, &mut page)?;
    ranges(examination, &mut page)
}

fn head(examination: &Examination, page: &mut Page<'_>) -> io::Result<()> {
    let (style, verdict) = match examination.verdict {
        Verdict::Ready => (CALM, "READY FOR ANALYSIS"),
        Verdict::UsableWithGaps => (DOUBT, "USABLE, WITH GAPS"),
        Verdict::NotUsable => (ALARM, "NOT USABLE"),
    };
    page.styled(style, verdict)?;
    writeln!(page.out)?;
    page.wrapped("  ", &sentence(&examination.summary))
}

fn findings(findings: &[Finding], page: &mut Page<'_>) -> io::Result<()> {
    if findings.is_empty() {
        page.title("Nothing to mend")?;
        return page.wrapped("  ", "traces and metrics cover the same time, calls are linked, names agree");
    }
    page.title("What to mend, worst first")?;
    for finding in findings.iter().take(MOST_FINDINGS) {
        let label = match finding.severity {
            Severity::Stops => "stops",
            Severity::Gap => "gap",
            Severity::Note => "note",
        };
        page.wrapped(&format!("  {label:5}  "), &sentence(&finding.what))?;
        page.wrapped("         → ", &sentence(&finding.advice))?;
    }
    match findings.len().saturating_sub(MOST_FINDINGS) {
        0 => Ok(()),
        more => page.dim(&format!("and {more} more, all of them with -o json")),
    }
}

fn files(files: &[FileFacts], page: &mut Page<'_>) -> io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    page.title(&format!("Files ({})", count(files.len() as u64)))?;
    for file in files.iter().take(MOST_FILES) {
        let path = terminal_text(&file.path.to_string_lossy(), 200);
        page.wrapped("  ", &path)?;
        page.wrapped("    ", &sentence(&holds(file)))?;
        for warning in file.warnings.iter().take(3).filter(|_| file.guess.is_none()) {
            let place = terminal_text(&warning.place, 80);
            let at = if place.is_empty() { String::new() } else { format!("{place}: ") };
            let times =
                if warning.affected > 1 { format!(" ({} times)", count(warning.affected)) } else { String::new() };
            // Room for the message: a place may be as long as a hostile name.
            page.wrapped("    - ", &format!("{at}{}{times}", terminal_text(&warning.message, 300)))?;
        }
        if file.guess.is_none() && file.warnings.len() > 3 {
            page.dim(&format!("  and {} more kinds of oddities", file.warnings.len() - 3))?;
        }
    }
    match files.len().saturating_sub(MOST_FILES) {
        0 => Ok(()),
        more => page.dim(&format!("and {more} more, all of them with -o json")),
    }
}

/// What a file holds, in one sentence.
fn holds(file: &FileFacts) -> String {
    let Some(format) = file.format else {
        return match &file.guess {
            Some(guess) => format!("not recognised: looks like {}", guess.looks_like),
            None => "nothing was read from it".to_owned(),
        };
    };
    let mut parts = vec![format.to_owned()];
    if file.spans > 0 {
        let traces = counted(file.traces, "trace", "traces");
        let services = list(file.services.iter().map(String::as_str));
        parts.push(format!("{} in {traces} of {services}", counted(file.spans, "span", "spans")));
        parts.extend(file.span_range.as_ref().map(interval));
    }
    if file.series > 0 {
        let mut signals: Vec<&str> = file.signals.iter().map(|s| signal(*s)).collect();
        signals.dedup();
        let signals = if signals.is_empty() { String::new() } else { format!(" of {}", signals.join(", ")) };
        parts.push(format!("{} metric series{signals}", count(file.series)));
        if !file.dialects.is_empty() {
            parts.push(list(file.dialects.iter().map(String::as_str)));
        }
        parts.extend(file.sample_range.as_ref().map(interval));
    }
    if file.logs > 0 {
        parts.push(counted(file.logs, "log record", "log records"));
        parts.extend(file.log_range.as_ref().map(interval));
    }
    for (number, one, many) in [
        (file.edges, "edge of a call graph", "edges of a call graph"),
        (file.changes, "change", "changes"),
        (file.alerts, "alert", "alerts"),
        (file.skipped, "record skipped", "records skipped"),
    ] {
        if number > 0 {
            parts.push(counted(number, one, many));
        }
    }
    if parts.len() == 1 {
        parts.push("nothing in it".to_owned());
    }
    parts.join(" · ")
}

fn ranges(examination: &Examination, page: &mut Page<'_>) -> io::Result<()> {
    if examination.ranges.is_empty() {
        return Ok(());
    }
    page.title("Times")?;
    for range in &examination.ranges {
        let length = minutes(range.range.end_ns() - range.range.start_ns());
        page.wrapped(&format!("  {:8}", range.kind), &format!("{} ({length})", interval(&range.range)))?;
    }
    Ok(())
}

fn sentence(text: &str) -> String {
    terminal_text(text, SENTENCE)
}

/// What a signal is called here.
pub(super) fn signal(signal: Signal) -> &'static str {
    match signal {
        Signal::Requests => "requests",
        Signal::ErrorRatio | Signal::OriginErrorRatio => "errors",
        Signal::Latency => "latency",
        Signal::SelfTime => "self-time",
        Signal::NetworkGap => "network gap",
        Signal::Cpu => "CPU",
        Signal::CpuThrottling => "CPU throttling",
        Signal::Memory => "memory",
        Signal::Disk => "disk",
        Signal::Sockets => "sockets",
        Signal::Restarts => "restarts",
        Signal::NetworkReceive | Signal::NetworkTransmit => "network traffic",
        Signal::Syscalls => "system calls",
        Signal::NodeCpu => "CPU of machines",
        Signal::NodeMemory => "memory of machines",
        Signal::Timeouts => "timeouts",
        Signal::Retries => "retries",
        Signal::Hedges => "hedged calls",
        Signal::Other => "other",
    }
}
