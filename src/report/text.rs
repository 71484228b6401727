//! The report on a terminal: what a tired engineer on call reads, the verdict first.

use std::io::{self, Write};

use crate::explain::{Cause, Diagnosis, ExemplarPair, PathStep, numbers};
use crate::rank::{Candidate, Suspect, Verdict};
use crate::telemetry::topology::EdgeMode;

use super::page::{ALARM, CALM, DOUBT, Page, TITLE};
use super::{coverage, escape};

use super::wording::{self, MOST_ROWS};

/// Longest name of a service, operation or case.
const NAME: usize = 60;
/// Longest sentence.
const SENTENCE: usize = 600;

pub(super) fn write(diagnosis: &Diagnosis, colour: bool, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(out, colour, width);
    head(diagnosis, &mut page)?;
    facts(diagnosis, &mut page)?;
    match diagnosis.verdict {
        Verdict::CauseFound => {
            for (index, cause) in diagnosis.causes.iter().enumerate() {
                reasons(cause, index, diagnosis.causes.len(), &mut page)?;
            }
            logs(diagnosis, &mut page)?;
            changes(diagnosis, &mut page)?;
            suffering(diagnosis, &mut page)?;
            measured(diagnosis, &mut page)?;
            candidates(diagnosis, "Other candidates", &mut page)?;
            next_steps(diagnosis, &mut page)?;
        }
        // Without a cause, what could be and what to do about it comes before the details.
        Verdict::CannotTell => {
            candidates(diagnosis, "Candidates, not separated by the evidence", &mut page)?;
            next_steps(diagnosis, &mut page)?;
            logs(diagnosis, &mut page)?;
            changes(diagnosis, &mut page)?;
            suffering(diagnosis, &mut page)?;
            measured(diagnosis, &mut page)?;
        }
        Verdict::NoAnomaly => {
            next_steps(diagnosis, &mut page)?;
            logs(diagnosis, &mut page)?;
            changes(diagnosis, &mut page)?;
            measured(diagnosis, &mut page)?;
        }
    }
    coverage(diagnosis, &mut page)?;
    warnings(diagnosis, &mut page)
}

/// Verdict, name, confidence, and why in one sentence.
fn head(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    let verdict = wording::verdict(diagnosis);
    let style = match diagnosis.verdict {
        Verdict::CauseFound => ALARM,
        Verdict::CannotTell => DOUBT,
        Verdict::NoAnomaly => CALM,
    };
    page.styled(style, verdict)?;
    match diagnosis.causes.as_slice() {
        [] => writeln!(page.out)?,
        [cause] => {
            write!(page.out, "  ")?;
            page.styled(TITLE, &name(&wording::suspect(&cause.candidate.suspect)))?;
            writeln!(page.out)?;
            page.wrapped("  ", &wording::cause_details(cause))?;
        }
        several => {
            writeln!(page.out)?;
            for (index, cause) in several.iter().enumerate() {
                write!(page.out, "  {}. ", index + 1)?;
                page.styled(TITLE, &name(&wording::suspect(&cause.candidate.suspect)))?;
                writeln!(page.out)?;
                page.wrapped("     ", &wording::cause_details(cause))?;
            }
        }
    }
    let gloss = wording::verdict_gloss(diagnosis);
    if !gloss.is_empty() {
        page.wrapped("  ", gloss)?;
    }
    if !diagnosis.verdict_reason.is_empty() {
        page.wrapped("  ", &sentence(&diagnosis.verdict_reason))?;
    }
    writeln!(page.out)
}

fn facts(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    if let Some(history) = &diagnosis.history {
        for changed in &history.changed {
            page.fact(&format!("report {}", history.version), &sentence(changed))?;
        }
        for earlier in &history.similar {
            page.fact("similar", &sentence(&earlier.sentence()))?;
        }
    }
    page.fact("case", &name(&diagnosis.name))?;
    if let Some(alert) = &diagnosis.alert {
        let summary = alert.summary.as_deref().map(|s| format!(": {}", escape::terminal(s, 200))).unwrap_or_default();
        page.fact("alert", &format!("{}{summary}", name(&alert.name)))?;
    }
    for (index, symptom) in diagnosis.symptoms.iter().enumerate() {
        page.fact(if index == 0 { "symptom" } else { "" }, &sentence(&wording::symptom(symptom)))?;
    }
    page.fact("incident", &wording::window(&diagnosis.window))?;
    for (index, baseline) in diagnosis.baselines.iter().enumerate() {
        page.fact(if index == 0 { "baseline" } else { "" }, &wording::window(baseline))?;
    }
    page.fact("method", diagnosis.method)
}

/// The path to one cause and the evidence for it.
fn reasons(cause: &Cause, index: usize, total: usize, page: &mut Page) -> io::Result<()> {
    let which = if total > 1 { format!(", cause {} of {total}", index + 1) } else { String::new() };
    if !cause.path.is_empty() {
        page.title(&format!("From the symptom to the cause{which} (a caller above whom it calls)"))?;
        path(cause, page)?;
    }
    page.title(&format!("Evidence{which}"))?;
    let width = cause.evidence.iter().map(|e| wording::modality(e.modality).len()).max().unwrap_or(0);
    for line in cause.evidence.iter().take(MOST_ROWS) {
        let label = format!("{:>5} bits  {:width$}  ", wording::signed(line.bits), wording::modality(line.modality));
        page.wrapped(&format!("  {label}"), &sentence(&line.text))?;
    }
    if cause.evidence.is_empty() {
        page.wrapped("  ", "the method gives no evidence beyond its score")?;
    }
    page.omitted(cause.evidence.len())
}

/// The arrow chain: a node, what changed on the call below it, the next node.
fn path(cause: &Cause, page: &mut Page) -> io::Result<()> {
    let on_edge = |step: &PathStep| match &cause.candidate.suspect {
        Suspect::Edge { caller, callee } => *caller == step.caller && *callee == step.callee,
        Suspect::Service(_) => false,
    };
    for step in &cause.path {
        writeln!(page.out, "  {}", name(step.caller.as_str()))?;
        let line = match step.mode {
            EdgeMode::Sync => "│",
            EdgeMode::Async => "┊",
        };
        page.wrapped(&format!("    {line}  "), &unbroken(&wording::step(step)))?;
        write!(page.out, "    ▼")?;
        if on_edge(step) {
            page.styled(ALARM, "  ◀ the cause is this call")?;
        }
        writeln!(page.out)?;
    }
    if let Some(last) = cause.path.last() {
        write!(page.out, "  {}", name(last.callee.as_str()))?;
        if cause.candidate.suspect == Suspect::Service(last.callee.clone()) {
            page.styled(ALARM, "  ◀ it begins here")?;
        }
        writeln!(page.out)?;
    }
    Ok(())
}

/// What the logs of causes and candidates say that they did not say before.
fn logs(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    if diagnosis.logs.is_empty() {
        return Ok(());
    }
    page.title("New or more frequent in the logs")?;
    for line in diagnosis.logs.iter().take(MOST_ROWS) {
        let (service, severity) = (name(line.service.as_str()), wording::severity(line.severity));
        page.wrapped("  ", &format!("{service} · {severity} · {}", wording::log_rate(line)))?;
        page.wrapped("      ", &escape::terminal(&line.template, wording::TEMPLATE))?;
        if let Some(trace) = line.trace {
            writeln!(page.out, "      trace {trace}")?;
        }
    }
    page.omitted(diagnosis.logs.len())
}

/// What was changed near the incident; when, never why.
fn changes(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    if diagnosis.changes.is_empty() {
        return Ok(());
    }
    page.title("What was changed")?;
    for line in diagnosis.changes.iter().take(MOST_ROWS) {
        let mark = if line.at_cause { "▶" } else { " " };
        let what = escape::terminal(&wording::change_what(line), wording::TEMPLATE);
        let when = wording::change_at(line);
        let service = name(&wording::change_service(line));
        page.wrapped(&format!("{mark} {when}  "), &format!("{service}: {what}"))?;
        let place = if line.at_cause { "at the cause; " } else { "" };
        page.wrapped("      ", &format!("{place}{}", wording::change_time(line)))?;
    }
    page.omitted(diagnosis.changes.len())
}

/// Victims: services that one might suspect and need not.
fn suffering(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    if diagnosis.victims.is_empty() {
        return Ok(());
    }
    page.title("Victims, not causes")?;
    let names: Vec<String> = diagnosis.victims.iter().map(|v| name(v.service.as_str())).collect();
    let width = column(&names);
    for (victim, service) in diagnosis.victims.iter().zip(&names).take(MOST_ROWS) {
        let because = format!("because of {}: {}", victim.because_of, victim.text);
        page.wrapped(&format!("  {service:width$}  "), &sentence(&because))?;
    }
    page.omitted(diagnosis.victims.len())
}

/// Order of onset, blast radius, exemplars.
fn measured(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    if !diagnosis.onsets.is_empty() {
        page.title("What changed first")?;
        let names: Vec<String> = diagnosis.onsets.iter().map(|o| escape::terminal(o.service.as_str(), 44)).collect();
        let width = column(&names);
        let whens: Vec<(String, String)> = diagnosis.onsets.iter().map(wording::onset).collect();
        let when_width = whens.iter().take(MOST_ROWS).map(|(when, _)| when.chars().count()).max().unwrap_or(0);
        for ((when, signal), service) in whens.iter().zip(&names).take(MOST_ROWS) {
            page.wrapped(&format!("  {when:when_width$}  {service:width$}  "), signal)?;
        }
        page.omitted(diagnosis.onsets.len())?;
    }
    if !diagnosis.blast_radius.is_empty() {
        page.title("Who is affected")?;
        let names: Vec<String> = diagnosis.blast_radius.iter().map(|e| name(&e.entry)).collect();
        let width = column(&names);
        for (entry, name) in diagnosis.blast_radius.iter().zip(&names).take(MOST_ROWS) {
            page.wrapped(&format!("  {name:width$}  "), &wording::affected(entry))?;
        }
        page.omitted(diagnosis.blast_radius.len())?;
    }
    if !diagnosis.exemplars.is_empty() {
        page.title("Traces to open beside each other")?;
        for pair in diagnosis.exemplars.iter().take(MOST_ROWS) {
            exemplar(pair, page)?;
        }
        page.omitted(diagnosis.exemplars.len())?;
    }
    Ok(())
}

fn exemplar(pair: &ExemplarPair, page: &mut Page) -> io::Result<()> {
    page.wrapped("  ", &sentence(&pair.subject))?;
    for (label, trace) in [("bad", &pair.bad), ("normal", &pair.normal)] {
        if let Some((id, duration_ns)) = trace {
            writeln!(page.out, "    {label:6}  {id}  {}", numbers::nanoseconds(*duration_ns))?;
        }
    }
    Ok(())
}

fn candidates(diagnosis: &Diagnosis, title: &str, page: &mut Page) -> io::Result<()> {
    if diagnosis.alternatives.is_empty() {
        return Ok(());
    }
    page.title(title)?;
    let shown: Vec<&Candidate> = diagnosis.alternatives.iter().take(MOST_ROWS / 2).collect();
    let mut names: Vec<String> = shown.iter().map(|c| name(&wording::suspect(&c.suspect))).collect();
    names.push("none of them".to_owned());
    let width = column(&names);
    for (candidate, name) in shown.iter().zip(&names) {
        let probability = numbers::probability(candidate.probability);
        let label = format!("  {probability:>5}  {name:width$}  ");
        page.wrapped(&label, &wording::bits_by_modality(candidate))?;
    }
    for (probability, answer) in wording::other_answers(diagnosis) {
        writeln!(page.out, "  {:>5}  {answer}", numbers::probability(probability))?;
    }
    match wording::omitted(diagnosis.alternatives.len(), shown.len()) {
        Some(more) => page.dim(&more),
        None => Ok(()),
    }
}

fn next_steps(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    if diagnosis.next_steps.is_empty() {
        return Ok(());
    }
    page.title("Look at next")?;
    for (index, step) in diagnosis.next_steps.iter().take(MOST_ROWS).enumerate() {
        page.wrapped(&format!("  {:>2}. ", index + 1), &sentence(step))?;
    }
    page.omitted(diagnosis.next_steps.len())
}

fn coverage(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    let sentences = coverage::sentences(diagnosis);
    page.title("What could be seen")?;
    for line in &sentences.seen {
        page.wrapped("  ", &sentence(line))?;
    }
    for line in &sentences.missing {
        page.wrapped("  - ", &sentence(line))?;
    }
    page.wrapped("  ", &sentences.confidence)
}

fn warnings(diagnosis: &Diagnosis, page: &mut Page) -> io::Result<()> {
    if diagnosis.warnings.is_empty() {
        return Ok(());
    }
    page.title(&format!("Warnings ({})", numbers::count(diagnosis.warnings.len() as u64)))?;
    let warnings = wording::warnings(&diagnosis.warnings);
    for warning in warnings.iter().take(MOST_ROWS) {
        page.wrapped("  - ", &sentence(warning))?;
    }
    page.omitted(warnings.len())
}

/// Keeps the parts of a list together, so that lines break only between them.
fn unbroken(list: &str) -> String {
    list.split(" · ").map(|part| part.replace(' ', "\u{a0}")).collect::<Vec<_>>().join("\u{a0}· ")
}

fn name(text: &str) -> String {
    escape::terminal(text, NAME)
}

fn sentence(text: &str) -> String {
    escape::terminal(text, SENTENCE)
}

/// Width of a column of names: that of the longest, but not so wide that nothing fits beside it.
fn column(names: &[String]) -> usize {
    names.iter().take(MOST_ROWS).map(|n| n.chars().count()).max().unwrap_or(0).min(32)
}
