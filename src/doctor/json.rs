//! The examination as JSON: one object, version 1. Within a version fields may be added, never removed or changed in
//! meaning. Strings are bounded as in the report's JSON.

use std::io::{self, Write};

use serde::Serialize;

use crate::report::write_bounded_json;
use crate::telemetry::time::Window;
use crate::telemetry::topology::NodeKind;
use crate::timespec::rfc3339;

use super::text::signal;
use super::{Examination, FileFacts, Finding, NodeFacts, Range, Severity, Verdict};

const SCHEMA_VERSION: &str = "1";
/// Longest lists; `…_total` tells how long they are.
const MAX_LISTED: usize = 1_000;

#[derive(Serialize)]
struct ExaminationJson<'a> {
    schema_version: &'static str,
    verdict: &'static str,
    summary: &'a str,
    findings: Vec<FindingJson<'a>>,
    ranges: Vec<RangeJson>,
    nodes_total: usize,
    nodes: Vec<NodeJson<'a>>,
    edges: u64,
    files_total: usize,
    files: Vec<FileJson<'a>>,
    command: Option<&'a str>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    severity: &'static str,
    id: &'static str,
    what: &'a str,
    advice: &'a str,
}

#[derive(Serialize)]
struct RangeJson {
    kind: &'static str,
    #[serde(flatten)]
    range: WindowJson,
}

#[derive(Serialize)]
struct WindowJson {
    start: String,
    end: String,
}

#[derive(Serialize)]
struct NodeJson<'a> {
    name: &'a str,
    kind: Option<&'static str>,
    spans: bool,
    series: u64,
}

#[derive(Serialize)]
struct FileJson<'a> {
    path: String,
    format: Option<&'static str>,
    looks_like: Option<&'a str>,
    advice: Option<&'a str>,
    spans: u64,
    traces: u64,
    services: Vec<&'a str>,
    span_range: Option<WindowJson>,
    series: u64,
    signals: Vec<&'static str>,
    dialects: &'a [String],
    sample_range: Option<WindowJson>,
    logs: u64,
    log_range: Option<WindowJson>,
    changes: u64,
    alerts: u64,
    edges: u64,
    skipped: u64,
    warnings: Vec<WarningJson<'a>>,
}

#[derive(Serialize)]
struct WarningJson<'a> {
    place: &'a str,
    message: &'a str,
    affected: u64,
}

pub(super) fn write(examination: &Examination, command: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let json = ExaminationJson {
        schema_version: SCHEMA_VERSION,
        verdict: match examination.verdict {
            Verdict::Ready => "ready",
            Verdict::UsableWithGaps => "usable_with_gaps",
            Verdict::NotUsable => "not_usable",
        },
        summary: &examination.summary,
        findings: examination.findings.iter().map(finding).collect(),
        ranges: examination.ranges.iter().map(range).collect(),
        nodes_total: examination.nodes.len(),
        nodes: examination.nodes.iter().take(MAX_LISTED).map(node).collect(),
        edges: examination.edges,
        files_total: examination.files.len(),
        files: examination.files.iter().take(MAX_LISTED).map(file).collect(),
        command,
    };
    write_bounded_json(&json, out)?;
    writeln!(out)
}

fn finding(finding: &Finding) -> FindingJson<'_> {
    let severity = match finding.severity {
        Severity::Stops => "stops",
        Severity::Gap => "gap",
        Severity::Note => "note",
    };
    FindingJson { severity, id: finding.id, what: &finding.what, advice: &finding.advice }
}

fn range(range: &Range) -> RangeJson {
    RangeJson { kind: range.kind, range: window(&range.range) }
}

fn window(window: &Window) -> WindowJson {
    WindowJson { start: rfc3339(window.start_ns()), end: rfc3339(window.end_ns()) }
}

fn node(node: &NodeFacts) -> NodeJson<'_> {
    let kind = node.kind.map(NodeKind::word);
    NodeJson { name: node.name.as_str(), kind, spans: node.spans, series: node.series }
}

fn file(file: &FileFacts) -> FileJson<'_> {
    FileJson {
        path: file.path.to_string_lossy().into_owned(),
        format: file.format,
        looks_like: file.guess.as_ref().map(|g| g.looks_like.as_str()),
        advice: file.guess.as_ref().map(|g| g.advice.as_str()),
        spans: file.spans,
        traces: file.traces,
        services: file.services.iter().take(MAX_LISTED).map(String::as_str).collect(),
        span_range: file.span_range.as_ref().map(window),
        series: file.series,
        signals: file.signals.iter().map(|s| signal(*s)).collect(),
        dialects: &file.dialects,
        sample_range: file.sample_range.as_ref().map(window),
        logs: file.logs,
        log_range: file.log_range.as_ref().map(window),
        changes: file.changes,
        alerts: file.alerts,
        edges: file.edges,
        skipped: file.skipped,
        warnings: file
            .warnings
            .iter()
            .map(|w| WarningJson { place: &w.place, message: &w.message, affected: w.affected })
            .collect(),
    }
}
