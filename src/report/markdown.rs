//! The report in a ticket: GitHub-flavoured Markdown, the path as a Mermaid graph, long parts folded.

use std::io::{self, Write};

use crate::explain::{Cause, Diagnosis, PathStep, numbers};
use crate::rank::{Suspect, Verdict};
use crate::telemetry::topology::EdgeMode;

use super::{Note, coverage, escape};

use super::wording::{self, MOST_ROWS};

/// Longest name of a service, operation or case.
const NAME: usize = 80;
/// Longest sentence. All lists together stay well below the 32 767 characters that Jira takes.
const SENTENCE: usize = 500;

pub(super) fn write(diagnosis: &Diagnosis, notes: &[Note<'_>], out: &mut dyn Write) -> io::Result<()> {
    head(diagnosis, out)?;
    history(diagnosis, out)?;
    facts(diagnosis, out)?;
    for note in notes {
        writeln!(out, "### {}\n", sentence(note.title))?;
        for line in note.lines {
            writeln!(out, "- {}", sentence(line))?;
        }
        writeln!(out)?;
    }
    for (index, cause) in diagnosis.causes.iter().enumerate() {
        reasons(cause, index, diagnosis.causes.len(), out)?;
    }
    if diagnosis.verdict != Verdict::CauseFound {
        candidates(diagnosis, out)?;
    }
    next_steps(diagnosis, out)?;
    logs(diagnosis, out)?;
    changes(diagnosis, out)?;
    victims(diagnosis, out)?;
    affected(diagnosis, out)?;
    if diagnosis.verdict == Verdict::CauseFound {
        candidates(diagnosis, out)?;
    }
    onsets(diagnosis, out)?;
    exemplars(diagnosis, out)?;
    coverage(diagnosis, out)?;
    warnings(diagnosis, out)
}

fn head(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    let verdict = wording::verdict_title(diagnosis);
    let names: Vec<String> = diagnosis.causes.iter().map(|c| name(&wording::suspect(&c.candidate.suspect))).collect();
    match names.is_empty() {
        false => writeln!(out, "## {verdict}: {}\n", names.join(", "))?,
        true => writeln!(out, "## {verdict}\n\n{}.\n", sentence_start(wording::verdict_gloss(diagnosis)))?,
    }
    for (cause, name) in diagnosis.causes.iter().zip(&names) {
        writeln!(out, "**{name}**: {}\n", sentence(&wording::cause_details(cause)))?;
    }
    match diagnosis.verdict_reason.as_str() {
        "" => Ok(()),
        reason => writeln!(out, "{}\n", sentence(reason)),
    }
}

/// What changed since the report before, and what earlier incidents of the kind were: it may save the whole reading.
fn history(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    let Some(history) = &diagnosis.history else { return Ok(()) };
    for changed in &history.changed {
        writeln!(out, "- Report {}: {}.", history.version, sentence(changed))?;
    }
    for earlier in &history.similar {
        writeln!(out, "- Seen before: {}.", sentence(&earlier.sentence()))?;
    }
    if history.changed.is_empty() && history.similar.is_empty() { Ok(()) } else { writeln!(out) }
}

fn facts(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "| | |\n| --- | --- |")?;
    writeln!(out, "| Case | {} |", name(&diagnosis.name))?;
    if let Some(alert) = &diagnosis.alert {
        let summary = alert.summary.as_deref().map(|s| format!(": {}", escape::markdown(s, 200))).unwrap_or_default();
        writeln!(out, "| Alert | {}{summary} |", name(&alert.name))?;
    }
    for symptom in &diagnosis.symptoms {
        writeln!(out, "| Symptom | {} |", sentence(&wording::symptom(symptom)))?;
    }
    writeln!(out, "| Incident | {} |", wording::window(&diagnosis.window))?;
    for baseline in &diagnosis.baselines {
        writeln!(out, "| Baseline | {} |", wording::window(baseline))?;
    }
    writeln!(out, "| Method | {} |\n", name(diagnosis.method))
}

fn reasons(cause: &Cause, index: usize, total: usize, out: &mut dyn Write) -> io::Result<()> {
    let which = if total > 1 { format!(" (cause {} of {total})", index + 1) } else { String::new() };
    if !cause.path.is_empty() {
        writeln!(out, "### From the symptom to the cause{which}\n")?;
        mermaid(cause, out)?;
        writeln!(out, "| Call | Before and during |\n| --- | --- |")?;
        for step in &cause.path {
            let call = format!("{} → {}", step.caller, step.callee);
            writeln!(out, "| {} | {} |", sentence(&call), sentence(&wording::step(step)))?;
        }
        writeln!(out)?;
    }
    if !cause.evidence.is_empty() {
        writeln!(out, "### Evidence{which}\n\n| Bits | Kind | Observation |\n| ---: | --- | --- |")?;
        for line in cause.evidence.iter().take(MOST_ROWS) {
            let (bits, kind) = (wording::signed(line.bits), wording::modality(line.modality));
            writeln!(out, "| {bits} | {kind} | {} |", sentence(&line.text))?;
        }
        rest(cause.evidence.len(), out)?;
    }
    Ok(())
}

/// The path as a graph. Nodes are numbered: no name becomes syntax.
fn mermaid(cause: &Cause, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "```mermaid\nflowchart LR")?;
    let nodes = wording::path_nodes(&cause.path);
    for (index, node) in nodes.iter().enumerate() {
        writeln!(out, "    n{index}[\"{}\"]", escape::mermaid(node, NAME))?;
    }
    let mut cause_edge = None;
    for (index, step) in cause.path.iter().enumerate() {
        let arrow = match step.mode {
            EdgeMode::Sync => "-->",
            EdgeMode::Async => "-.->",
        };
        let label = edge_label(step);
        let label = if label.is_empty() { label } else { format!("|\"{label}\"|") };
        writeln!(out, "    n{index} {arrow}{label} n{}", index + 1)?;
        if cause.candidate.suspect == (Suspect::Edge { caller: step.caller.clone(), callee: step.callee.clone() }) {
            cause_edge = Some(index);
        }
    }
    match cause_edge {
        Some(edge) => writeln!(out, "    linkStyle {edge} stroke:#c00,stroke-width:3px")?,
        None => {
            writeln!(out, "    classDef cause stroke:#c00,stroke-width:3px\n    class n{} cause", cause.path.len())?;
        }
    }
    writeln!(out, "```\n")
}

/// The one change that matters most on a call; the table below the graph has them all.
fn edge_label(step: &PathStep) -> String {
    match step.changes.first() {
        Some(change) => {
            escape::mermaid(&format!("{} {}", wording::signal(change.signal), numbers::measured(change)), NAME)
        }
        None => String::new(),
    }
}

fn logs(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.logs.is_empty() {
        return Ok(());
    }
    writeln!(out, "### New or more frequent in the logs\n")?;
    writeln!(out, "| Service | Severity | Before and during | Message | Trace |\n| --- | --- | --- | --- | --- |")?;
    for line in diagnosis.logs.iter().take(MOST_ROWS) {
        let (service, severity) = (name(line.service.as_str()), wording::severity(line.severity));
        let template = escape::markdown(&line.template, wording::TEMPLATE);
        let trace = line.trace.map(|trace| format!("`{trace}`")).unwrap_or_default();
        writeln!(out, "| {service} | {severity} | {} | {template} | {trace} |", sentence(&wording::log_rate(line)))?;
    }
    rest(diagnosis.logs.len(), out)
}

fn changes(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "### What was changed\n\n| When | Service | What | |\n| --- | --- | --- | --- |")?;
    for line in diagnosis.changes.iter().take(MOST_ROWS) {
        let when = wording::change_at(line);
        let service = name(&wording::change_service(line));
        let service = if line.at_cause { format!("**{service}** (the cause)") } else { service };
        let what = escape::markdown(&wording::change_what(line), wording::TEMPLATE);
        writeln!(out, "| {when} | {service} | {what} | {} |", wording::change_time(line))?;
    }
    rest(diagnosis.changes.len(), out)
}

fn victims(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.victims.is_empty() {
        return Ok(());
    }
    writeln!(out, "### Victims, not causes\n\n| Service | Because of | Why |\n| --- | --- | --- |")?;
    for victim in diagnosis.victims.iter().take(MOST_ROWS) {
        let (service, because) = (name(victim.service.as_str()), name(victim.because_of.as_str()));
        writeln!(out, "| {service} | {because} | {} |", sentence(&victim.text))?;
    }
    rest(diagnosis.victims.len(), out)
}

fn affected(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.blast_radius.is_empty() {
        return Ok(());
    }
    writeln!(out, "### Who is affected\n\n| Entry | Requests |\n| --- | --- |")?;
    for entry in diagnosis.blast_radius.iter().take(MOST_ROWS) {
        writeln!(out, "| {} | {} |", name(&entry.entry), wording::affected(entry))?;
    }
    rest(diagnosis.blast_radius.len(), out)
}

fn candidates(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.alternatives.is_empty() {
        return Ok(());
    }
    let title = match diagnosis.verdict {
        Verdict::CauseFound | Verdict::NoAnomaly => "Other candidates",
        Verdict::CannotTell => "Candidates, not separated by the evidence",
    };
    writeln!(out, "### {title}\n\n| Candidate | Probability | For and against |\n| --- | ---: | --- |")?;
    for candidate in diagnosis.alternatives.iter().take(MOST_ROWS) {
        let probability = numbers::probability(candidate.probability).replace('<', "&lt;").replace('>', "&gt;");
        let who = name(&wording::suspect(&candidate.suspect));
        writeln!(out, "| {who} | {probability} | {} |", wording::bits_by_modality(candidate))?;
    }
    for (probability, answer) in wording::other_answers(diagnosis) {
        let probability = numbers::probability(probability).replace('<', "&lt;").replace('>', "&gt;");
        writeln!(out, "| {answer} | {probability} | |")?;
    }
    rest(diagnosis.alternatives.len(), out)
}

fn next_steps(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.next_steps.is_empty() {
        return Ok(());
    }
    writeln!(out, "### Look at next\n")?;
    for (index, step) in diagnosis.next_steps.iter().take(MOST_ROWS).enumerate() {
        writeln!(out, "{}. {}", index + 1, sentence(step))?;
    }
    rest(diagnosis.next_steps.len(), out)
}

fn onsets(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.onsets.is_empty() {
        return Ok(());
    }
    folded("What changed first", out)?;
    writeln!(out, "| When | Service | Signal |\n| --- | --- | --- |")?;
    for row in diagnosis.onsets.iter().take(MOST_ROWS) {
        let (when, signal) = wording::onset(row);
        writeln!(out, "| {when} | {} | {signal} |", name(row.service.as_str()))?;
    }
    rest(diagnosis.onsets.len(), out)?;
    writeln!(out, "</details>\n")
}

fn exemplars(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.exemplars.is_empty() {
        return Ok(());
    }
    folded("Traces to open beside each other", out)?;
    writeln!(out, "| What | Bad | Normal |\n| --- | --- | --- |")?;
    for pair in diagnosis.exemplars.iter().take(MOST_ROWS) {
        let cell = |trace: &Option<_>| match trace {
            Some((id, duration_ns)) => format!("`{id}` {}", numbers::nanoseconds(*duration_ns)),
            None => String::new(),
        };
        writeln!(out, "| {} | {} | {} |", sentence(&pair.subject), cell(&pair.bad), cell(&pair.normal))?;
    }
    rest(diagnosis.exemplars.len(), out)?;
    writeln!(out, "</details>\n")
}

fn coverage(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    let sentences = coverage::sentences(diagnosis);
    folded("What could be seen", out)?;
    for line in sentences.seen.iter().chain(&sentences.missing) {
        writeln!(out, "- {}", sentence(line))?;
    }
    writeln!(out, "- {}\n\n</details>\n", sentence(&sentences.confidence))
}

fn warnings(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    if diagnosis.warnings.is_empty() {
        return Ok(());
    }
    folded(&format!("Warnings ({})", numbers::count(diagnosis.warnings.len() as u64)), out)?;
    let warnings = wording::warnings(&diagnosis.warnings);
    for warning in warnings.iter().take(MOST_ROWS) {
        writeln!(out, "- {}", sentence(warning))?;
    }
    rest(warnings.len(), out)?;
    writeln!(out, "</details>\n")
}

/// Begins a folded part. The empty line lets Markdown begin inside.
fn folded(title: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<details><summary>{title}</summary>\n")
}

/// Ends a list with what it leaves out and an empty line.
fn rest(total: usize, out: &mut dyn Write) -> io::Result<()> {
    match wording::omitted(total, MOST_ROWS) {
        Some(more) => writeln!(out, "\n{more}\n"),
        None => writeln!(out),
    }
}

fn name(text: &str) -> String {
    escape::markdown(text, NAME)
}

fn sentence(text: &str) -> String {
    escape::markdown(text, SENTENCE)
}

/// The text with a capital at the beginning.
fn sentence_start(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|c| c.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
