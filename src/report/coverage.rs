//! What could be seen and what not, in words: short when all is well, worst first, never more than a screenful.

use crate::explain::{
    Coverage, Deduction, Diagnosis, KnownFrom, Listed, OneWindow, SeriesGap, SeriesName, Shortfall, UnweightedSample,
    numbers,
};
use crate::telemetry::clock::ClockSkew;
use crate::timespec::rfc3339;

use super::escape;

/// Names that a sentence lists.
const MOST_NAMES: usize = 5;
/// Longest name inside a sentence: five of them fill two lines.
const NAME: usize = 40;
/// Sentences on what was missing.
const MOST_SENTENCES: usize = 10;

/// The section's sentences. They hold names: each format escapes the whole sentence.
pub(super) struct Sentences {
    /// What was seen.
    pub(super) seen: Vec<String>,
    /// What was missing, worst first.
    pub(super) missing: Vec<String>,
    /// By how much that lowered the confidence, and which gap cost how much.
    pub(super) confidence: String,
}

pub(super) fn sentences(diagnosis: &Diagnosis) -> Sentences {
    let coverage = &diagnosis.coverage;
    // What costs confidence weighs more than one, the rest by its share: worst first.
    let mut weighed = lost_spans(coverage);
    weighed.extend(requests(coverage));
    if !coverage.cut_files.is_empty() {
        weighed.push((2.0, cut_files(&coverage.cut_files)));
    }
    weighed.extend(coverage.unweighted_samples.first.first().map(|_| (0.9, sampling(&coverage.unweighted_samples))));
    weighed.extend(one_window(&coverage.one_window, coverage.series));
    if !coverage.series_gaps.is_empty() {
        let share = coverage.series_gaps.total as f64 / coverage.series.max(1) as f64;
        weighed.push((share, series_gaps(&coverage.series_gaps)));
    }
    weighed.extend(silent(coverage));
    if !coverage.clocks.is_empty() {
        weighed.push((0.02, clocks(&coverage.clocks, coverage.spans.moved)));
    }
    weighed.extend(skipped(diagnosis));
    weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
    let omitted = weighed.len().saturating_sub(MOST_SENTENCES);
    let mut missing: Vec<String> = weighed.into_iter().take(MOST_SENTENCES).map(|(_, sentence)| sentence).collect();
    if omitted > 0 {
        missing.push(format!("and {omitted} more, all of them with -o json"));
    }
    Sentences { seen: seen(coverage), missing, confidence: confidence(coverage) }
}

fn cut_files(cut: &Listed<String>) -> String {
    let files = counted(cut.total, "file that is", "files that are");
    let names = names(cut.first.iter().map(String::as_str), cut.total as usize);
    format!("{files} cut or damaged, so that what is missing may look like a change: {names}")
}

fn seen(coverage: &Coverage) -> Vec<String> {
    let spans = &coverage.spans;
    let mut seen = Vec::new();
    if spans.spans > 0 {
        seen.push(format!(
            "{} in {}; {} in the baseline, {} in the incident",
            counted(spans.spans, "span", "spans"),
            counted(spans.traces, "trace", "traces"),
            counted(coverage.calls_baseline, "request", "requests"),
            numbers::count(coverage.calls_incident)
        ));
    } else {
        seen.push("no spans".to_owned());
    }
    if spans.sampled > 0 {
        seen.push(format!(
            "{} of the spans stand for more than themselves: sampled, {} in all; counts are estimates of all traffic",
            numbers::count(spans.sampled),
            numbers::count(spans.represented)
        ));
    }
    let read_as = match coverage.dialects.is_empty() {
        true => String::new(),
        false => {
            format!(", made from {}", names(coverage.dialects.iter().map(String::as_str), coverage.dialects.len()))
        }
    };
    seen.push(match coverage.series {
        0 => "no metric series".to_owned(),
        n => format!("{} metric series{read_as}", numbers::count(n)),
    });
    seen
}

/// Spans that cannot be placed, each sentence with its share of all spans.
fn lost_spans(coverage: &Coverage) -> Vec<(f64, String)> {
    let spans = &coverage.spans;
    let all = spans.spans.max(1) as f64;
    let charged = |shortfall| coverage.deductions.iter().any(|d| d.shortfall == shortfall);
    let mut weighed = Vec::new();
    for (count, one, many, what, cost) in [
        (spans.orphans, "span", "spans", "whose parent was not read", charged(Shortfall::LostParents)),
        (spans.rootless_traces, "trace", "traces", "without a root span", false),
        (spans.duplicates, "span", "spans", "with the id of another span, skipped", false),
        (spans.cyclic, "span", "spans", "whose parents form a cycle, cut", false),
        (
            spans.unpaired_clients,
            "client span",
            "client spans",
            "without a server span or a named peer",
            charged(Shortfall::UnpairedClients),
        ),
        (
            spans.outside_parent,
            "call",
            "calls",
            "outside the caller's span: clocks differ or work is asynchronous",
            false,
        ),
        (spans.unresolved_links, "span link", "span links", "whose other end was not read", false),
        (spans.unevenly_sampled, "trace", "traces", "whose spans were sampled at different rates", false),
    ] {
        if count > 0 {
            let share = count as f64 / all;
            // A handful in millions is no news beside a share that matters.
            let of_all = if share >= 0.01 && many == "spans" {
                format!(" ({})", numbers::percent(share))
            } else {
                String::new()
            };
            weighed
                .push((share + if cost { 1.0 } else { 0.0 }, format!("{}{of_all} {what}", counted(count, one, many))));
        }
    }
    weighed
}

/// Windows that hold no requests although there are spans.
fn requests(coverage: &Coverage) -> Option<(f64, String)> {
    if coverage.spans.spans == 0 {
        return None;
    }
    let sentence = match (coverage.calls_baseline, coverage.calls_incident) {
        (0, 0) => "no request of either window is in the spans: they lie outside the windows",
        (0, _) => "no request of the baseline is in the spans: there is nothing to compare the incident's with",
        (_, 0) => "no request of the incident is in the spans: nobody called, or the spans end too early",
        _ => return None,
    };
    Some((3.0, sentence.to_owned()))
}

fn sampling(samples: &Listed<UnweightedSample>) -> String {
    let told = samples.first.iter().take(2).map(|sample| {
        let (name, traced, measured) = (brief(sample.service.as_str()), sample.traced, sample.measured);
        let (traced, measured) = (numbers::count(traced), numbers::count(measured));
        match sample.kept {
            Some(kept) => format!(
                "{name} has {traced} of {measured} requests in traces, {} of the failed but {} of the others: its error \
                 ratio from traces is too high",
                percent(kept.failed),
                percent(kept.others)
            ),
            None => format!("{name} has {traced} of {measured} requests in traces"),
        }
    });
    let told: Vec<String> = told.collect();
    let more = samples.total.saturating_sub(told.len() as u64);
    let more = if more > 0 { format!("; {} more", counted(more, "service", "services")) } else { String::new() };
    format!("sampled without weights, as the metrics tell: {}{more}", told.join("; "))
}

fn one_window(one: &OneWindow, series: u64) -> Vec<(f64, String)> {
    let mut weighed = Vec::new();
    for (nodes, window) in [(&one.nodes_baseline_only, "baseline"), (&one.nodes_incident_only, "incident")] {
        if !nodes.is_empty() {
            let names = names(nodes.first.iter().map(|n| n.as_str()), total(nodes));
            weighed.push((0.3, format!("called in the {window} only: {names}")));
        }
    }
    for (list, what) in [
        (&one.series_outside, "outside both windows"),
        (&one.series_baseline_only, "in the baseline only"),
        (&one.series_incident_only, "in the incident only"),
    ] {
        if let Some(first) = list.first.first() {
            let share = list.total as f64 / series.max(1) as f64;
            let count = numbers::count(list.total);
            weighed.push((share, format!("{count} metric series with samples {what}, {}", example(first, list.total))));
        }
    }
    weighed
}

fn series_gaps(gaps: &Listed<SeriesGap>) -> String {
    let worst = gaps.first.iter().take(2).map(|gap| {
        let missing = numbers::nanoseconds(gap.missing_ns);
        let since = rfc3339(gap.longest.start_ns());
        format!("{} ({missing} missing, most at once after {since})", series(&gap.series))
    });
    let worst: Vec<String> = worst.collect();
    format!("{} metric series with gaps, worst {}", numbers::count(gaps.total), worst.join(" and "))
}

/// One sentence for each way to be known.
fn silent(coverage: &Coverage) -> Vec<(f64, String)> {
    let mut weighed = Vec::new();
    for (known_from, weight, what) in [
        (KnownFrom::Alert, 0.4, "named by the alert, but by nothing else"),
        (KnownFrom::Metrics, 0.2, "metrics but no spans"),
        (KnownFrom::Edges, 0.1, "no telemetry of their own, known only from the call graph"),
        (KnownFrom::Callers, 0.1, "no telemetry of their own, known only from callers"),
        (KnownFrom::Logs, 0.05, "known only from logs"),
        (KnownFrom::Changes, 0.05, "known only from changes"),
    ] {
        let of_kind = || coverage.silent.first.iter().filter(|s| s.known_from == known_from);
        let count = of_kind().count();
        if count > 0 {
            let names = names(of_kind().map(|s| s.service.as_str()), count);
            weighed.push((weight, format!("{what}: {names}")));
        }
    }
    weighed
}

fn clocks(clocks: &Listed<ClockSkew>, moved: u64) -> String {
    let furthest = clocks.first.iter().take(2).map(|clock| {
        let direction = if clock.offset_ns < 0 { "behind" } else { "ahead of" };
        format!(
            "{} is {} {direction} {} ({})",
            brief(&clock.callee),
            numbers::nanoseconds(clock.offset_ns.unsigned_abs()),
            brief(&clock.caller),
            counted(clock.pairs, "pair", "pairs")
        )
    });
    let furthest: Vec<String> = furthest.collect();
    let more = clocks.total.saturating_sub(furthest.len() as u64);
    let more = if more > 0 { format!("; {} more", counted(more, "pair", "pairs")) } else { String::new() };
    let moved = if moved > 0 { format!(", {} moved", counted(moved, "span", "spans")) } else { String::new() };
    format!("clocks that disagree{moved}: {}{more}", furthest.join("; "))
}

/// Points to the list of warnings: nothing that was skipped shall be missed for standing at the end.
fn skipped(diagnosis: &Diagnosis) -> Option<(f64, String)> {
    let affected = diagnosis.warnings.iter().map(|w| w.affected).fold(0, u64::saturating_add);
    (!diagnosis.warnings.is_empty())
        .then(|| (0.01, format!("{} skipped or odd: see the warnings", counted(affected, "record", "records"))))
}

fn confidence(coverage: &Coverage) -> String {
    if coverage.factor >= 1.0 {
        return "nothing is missing that would lower the confidence".to_owned();
    }
    let parts: Vec<String> = coverage.deductions.iter().map(|d| deduction(d, coverage)).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("confidence lowered to {} of what complete telemetry would give{parts}", numbers::percent(coverage.factor))
}

fn deduction(deduction: &Deduction, coverage: &Coverage) -> String {
    let what = match deduction.shortfall {
        Shortfall::LostParents => "lost parents cost".to_owned(),
        Shortfall::UnpairedClients => "unanswered client spans cost".to_owned(),
        Shortfall::CutFiles => "files that are cut cost".to_owned(),
        Shortfall::OtherWindows => "other windows than those given cost".to_owned(),
        Shortfall::FewRequests => {
            let fewest = numbers::count(coverage.calls_baseline.min(coverage.calls_incident));
            format!("{fewest} requests in the smaller window cost")
        }
    };
    format!("{what} {}", percent(1.0 - deduction.factor))
}

/// Percent with two digits at most: more would promise more than these estimates can keep.
fn percent(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.001 => "<0.1 %".to_owned(),
        s if s >= 0.1 => format!("{:.0} %", s * 100.0),
        s => numbers::percent((s * 1000.0).round() / 1000.0),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", numbers::count(count), if count == 1 { one } else { many })
}

fn names<'a>(names: impl Iterator<Item = &'a str>, total: usize) -> String {
    let shown: Vec<String> = names.take(MOST_NAMES).map(brief).collect();
    let more = total.saturating_sub(shown.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

fn example(series_name: &SeriesName, total: u64) -> String {
    format!("{}{}", if total > 1 { "for example " } else { "" }, series(series_name))
}

fn series(series: &SeriesName) -> String {
    let subject = brief(&series.subject.to_string());
    if series.name.is_empty() { subject } else { format!("{} of {subject}", brief(&series.name)) }
}

fn total<T>(list: &Listed<T>) -> usize {
    usize::try_from(list.total).unwrap_or(usize::MAX)
}

/// A name cut so that it leaves room for the others.
fn brief(name: &str) -> String {
    escape::terminal(name, NAME)
}
