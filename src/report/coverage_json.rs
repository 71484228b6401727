//! The coverage section of the JSON report: all that the sentences for people are made of.

use serde::Serialize;

use crate::explain::{
    Coverage, Deduction, KnownFrom, Listed, OneWindow, SeriesGap, SeriesName, Shortfall, UnweightedSample,
};
use crate::telemetry::clock::ClockSkew;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::NANOS_PER_SECOND;

use super::json::{SubjectJson, WindowJson, finite, subject, window};

#[derive(Serialize)]
pub(super) struct CoverageJson<'a> {
    spans: u64,
    traces: u64,
    orphans: u64,
    rootless_traces: u64,
    duplicates: u64,
    cyclic: u64,
    unpaired_clients: u64,
    outside_parent: u64,
    unresolved_links: u64,
    sampled_spans: u64,
    represented_spans: u64,
    unevenly_sampled_traces: u64,
    moved_spans: u64,
    series: u64,
    dialects: &'a [String],
    series_with_gaps: u64,
    series_gaps: Vec<GapJson<'a>>,
    one_window: OneWindowJson<'a>,
    silent_nodes: Vec<&'a str>,
    silent: ListedJson<SilentJson<'a>>,
    clocks: ListedJson<ClockJson<'a>>,
    unweighted_samples: ListedJson<SampleJson<'a>>,
    requests_baseline: u64,
    requests_incident: u64,
    cut_files: ListedJson<&'a str>,
    deductions: Vec<DeductionJson>,
    factor: Option<f64>,
}

#[derive(Serialize)]
struct ListedJson<T> {
    total: u64,
    first: Vec<T>,
}

#[derive(Serialize)]
struct GapJson<'a> {
    series: SeriesJson<'a>,
    missing_seconds: f64,
    longest: WindowJson,
}

#[derive(Serialize)]
struct SeriesJson<'a> {
    subject: SubjectJson<'a>,
    name: &'a str,
}

#[derive(Serialize)]
struct OneWindowJson<'a> {
    nodes_baseline_only: ListedJson<&'a str>,
    nodes_incident_only: ListedJson<&'a str>,
    series_baseline_only: ListedJson<SeriesJson<'a>>,
    series_incident_only: ListedJson<SeriesJson<'a>>,
    series_outside: ListedJson<SeriesJson<'a>>,
}

#[derive(Serialize)]
struct SilentJson<'a> {
    service: &'a str,
    known_from: &'static str,
}

#[derive(Serialize)]
struct ClockJson<'a> {
    caller: &'a str,
    callee: &'a str,
    offset_seconds: f64,
    pairs: u64,
}

#[derive(Serialize)]
struct SampleJson<'a> {
    service: &'a str,
    traced_requests: u64,
    measured_requests: u64,
    kept_share_of_failed: Option<f64>,
    kept_share_of_others: Option<f64>,
}

#[derive(Serialize)]
struct DeductionJson {
    reason: &'static str,
    factor: Option<f64>,
}

pub(super) fn coverage(c: &Coverage) -> CoverageJson<'_> {
    CoverageJson {
        spans: c.spans.spans,
        traces: c.spans.traces,
        orphans: c.spans.orphans,
        rootless_traces: c.spans.rootless_traces,
        duplicates: c.spans.duplicates,
        cyclic: c.spans.cyclic,
        unpaired_clients: c.spans.unpaired_clients,
        outside_parent: c.spans.outside_parent,
        unresolved_links: c.spans.unresolved_links,
        sampled_spans: c.spans.sampled,
        represented_spans: c.spans.represented,
        unevenly_sampled_traces: c.spans.unevenly_sampled,
        moved_spans: c.spans.moved,
        series: c.series,
        dialects: &c.dialects,
        series_with_gaps: c.series_gaps.total,
        series_gaps: c.series_gaps.first.iter().map(gap).collect(),
        one_window: one_window(&c.one_window),
        silent_nodes: known_from_callers(c),
        silent: listed(&c.silent, |s| SilentJson { service: s.service.as_str(), known_from: known_from(s.known_from) }),
        clocks: listed(&c.clocks, clock),
        unweighted_samples: listed(&c.unweighted_samples, sample),
        cut_files: listed(&c.cut_files, |file| file.as_str()),
        requests_baseline: c.calls_baseline,
        requests_incident: c.calls_incident,
        deductions: c.deductions.iter().map(deduction).collect(),
        factor: finite(c.factor),
    }
}

fn listed<'a, T, U>(list: &'a Listed<T>, row: impl Fn(&'a T) -> U) -> ListedJson<U> {
    ListedJson { total: list.total, first: list.first.iter().map(row).collect() }
}

fn known_from_callers(c: &Coverage) -> Vec<&str> {
    let from_callers = c.silent.first.iter().filter(|s| s.known_from == KnownFrom::Callers);
    from_callers.map(|s| s.service.as_str()).collect()
}

fn gap(gap: &SeriesGap) -> GapJson<'_> {
    GapJson {
        series: series(&gap.series),
        missing_seconds: gap.missing_ns as f64 / NANOS_PER_SECOND as f64,
        longest: window(&gap.longest),
    }
}

fn series(series: &SeriesName) -> SeriesJson<'_> {
    SeriesJson { subject: subject(&series.subject), name: &series.name }
}

fn one_window(one: &OneWindow) -> OneWindowJson<'_> {
    OneWindowJson {
        nodes_baseline_only: listed(&one.nodes_baseline_only, ServiceId::as_str),
        nodes_incident_only: listed(&one.nodes_incident_only, ServiceId::as_str),
        series_baseline_only: listed(&one.series_baseline_only, series),
        series_incident_only: listed(&one.series_incident_only, series),
        series_outside: listed(&one.series_outside, series),
    }
}

fn clock(clock: &ClockSkew) -> ClockJson<'_> {
    ClockJson {
        caller: &clock.caller,
        callee: &clock.callee,
        offset_seconds: clock.offset_ns as f64 / NANOS_PER_SECOND as f64,
        pairs: clock.pairs,
    }
}

fn sample(sample: &UnweightedSample) -> SampleJson<'_> {
    SampleJson {
        service: sample.service.as_str(),
        traced_requests: sample.traced,
        measured_requests: sample.measured,
        kept_share_of_failed: sample.kept.and_then(|kept| finite(kept.failed)),
        kept_share_of_others: sample.kept.and_then(|kept| finite(kept.others)),
    }
}

fn deduction(deduction: &Deduction) -> DeductionJson {
    let reason = match deduction.shortfall {
        Shortfall::LostParents => "lost_parents",
        Shortfall::UnpairedClients => "unpaired_clients",
        Shortfall::FewRequests => "few_requests",
        Shortfall::CutFiles => "cut_files",
        Shortfall::OtherWindows => "other_windows",
    };
    DeductionJson { reason, factor: finite(deduction.factor) }
}

fn known_from(known_from: KnownFrom) -> &'static str {
    match known_from {
        KnownFrom::Callers => "callers",
        KnownFrom::Edges => "edges",
        KnownFrom::Metrics => "metrics",
        KnownFrom::Alert => "alert",
        KnownFrom::Logs => "logs",
        KnownFrom::Changes => "changes",
    }
}
