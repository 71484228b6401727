//! The report for programs. The wire types are private to this file; `schema-v1.json` describes them.

use std::io::{self, Write};

use serde::Serialize;

use crate::detect::{Change, Finding, Onset};
use crate::explain::{
    BeforeAfter, Cause, ChangeLine, Diagnosis, Earlier, EvidenceLine, ExemplarPair, History, LogLine, PathStep, numbers,
};
use crate::rank::{Candidate, Modality, Suspect, SymptomChange};
use crate::telemetry::alert::{Alert, Symptom};
use crate::telemetry::id::TraceId;
use crate::telemetry::logs::Severity;
use crate::telemetry::series::{Signal, Subject, Unit};
use crate::telemetry::time::Window;
use crate::telemetry::topology::NodeKind;
use crate::timespec::rfc3339;

use super::bounded_json;
use super::coverage_json::{CoverageJson, coverage};

/// Rises when a field is removed or changes its meaning; new fields do not raise it.
const SCHEMA_VERSION: &str = "1";

pub(super) fn write(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    let report = ReportJson::from(diagnosis);
    bounded_json::write(&report, out)?;
    writeln!(out)
}

#[derive(Serialize)]
struct ReportJson<'a> {
    schema_version: &'static str,
    name: &'a str,
    method: &'a str,
    verdict: &'static str,
    verdict_reason: &'a str,
    unlisted_probability: Option<f64>,
    none_probability: Option<f64>,
    incident: WindowJson,
    baselines: Vec<WindowJson>,
    alert: Option<AlertJson<'a>>,
    symptoms: Vec<SymptomJson<'a>>,
    causes: Vec<CauseJson<'a>>,
    alternatives: Vec<CandidateJson<'a>>,
    victims: Vec<VictimJson<'a>>,
    onsets: Vec<OnsetRowJson<'a>>,
    blast_radius: Vec<AffectedJson<'a>>,
    exemplars: Vec<ExemplarJson<'a>>,
    coverage: CoverageJson<'a>,
    next_steps: &'a [String],
    warnings: Vec<WarningJson<'a>>,
    logs: Vec<LogJson<'a>>,
    changes: Vec<SystemChangeJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<HistoryJson<'a>>,
}

#[derive(Serialize)]
struct HistoryJson<'a> {
    version: u32,
    changed: &'a [String],
    similar: Vec<EarlierJson<'a>>,
}

#[derive(Serialize)]
struct EarlierJson<'a> {
    incident: String,
    started: String,
    confirmed_cause: Option<&'a str>,
    false_alarm: bool,
    note: &'a str,
}

#[derive(Serialize)]
struct LogJson<'a> {
    service: &'a str,
    severity: &'static str,
    template: &'a str,
    baseline_per_second: Option<f64>,
    incident_per_second: Option<f64>,
    baseline_records: u64,
    incident_records: u64,
    q_value: Option<f64>,
    trace_id: Option<String>,
}

#[derive(Serialize)]
struct SystemChangeJson<'a> {
    at: String,
    service: Option<&'a str>,
    kind: &'static str,
    version: &'a str,
    description: &'a str,
    source: &'a str,
    at_cause: bool,
    seconds_after_start: f64,
}

#[derive(Serialize)]
pub(super) struct WindowJson {
    start: String,
    end: String,
    duration_seconds: f64,
}

#[derive(Serialize)]
struct AlertJson<'a> {
    name: &'a str,
    starts: Option<String>,
    ends: Option<String>,
    service: Option<&'a str>,
    symptom: Option<&'static str>,
    expression: Option<&'a str>,
    summary: Option<&'a str>,
}

#[derive(Serialize)]
struct SymptomJson<'a> {
    entry: &'a str,
    symptom: &'static str,
    unit: &'static str,
    baseline: Option<f64>,
    incident: Option<f64>,
    significant: bool,
}

#[derive(Serialize)]
struct SuspectJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    service: &'a str,
    caller: Option<&'a str>,
}

#[derive(Serialize)]
struct CandidateJson<'a> {
    suspect: SuspectJson<'a>,
    score: Option<f64>,
    probability: Option<f64>,
    explained_share: Option<f64>,
    onset: Option<OnsetJson>,
    bits_by_modality: Vec<BitsJson>,
}

#[derive(Serialize)]
struct BitsJson {
    modality: &'static str,
    bits: Option<f64>,
}

#[derive(Serialize)]
struct CauseJson<'a> {
    candidate: CandidateJson<'a>,
    node_kind: Option<&'static str>,
    path: Vec<StepJson<'a>>,
    evidence: Vec<EvidenceJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    caller: &'a str,
    callee: &'a str,
    mode: &'static str,
    changes: Vec<ChangeJson>,
}

#[derive(Serialize)]
struct ChangeJson {
    signal: &'static str,
    unit: &'static str,
    baseline: Option<f64>,
    incident: Option<f64>,
}

#[derive(Serialize)]
struct EvidenceJson<'a> {
    modality: &'static str,
    bits: Option<f64>,
    text: &'a str,
    finding: Option<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    subject: SubjectJson<'a>,
    signal: &'static str,
    name: &'a str,
    change: &'static str,
    unit: &'static str,
    baseline: Option<f64>,
    incident: Option<f64>,
    z: Option<f64>,
    bits: Option<f64>,
    p_value: Option<f64>,
    q_value: Option<f64>,
    significant: bool,
    onset: Option<OnsetJson>,
    baseline_samples: u64,
    incident_samples: u64,
}

#[derive(Serialize, Default)]
pub(super) struct SubjectJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    service: &'a str,
    instance: Option<&'a str>,
    version: Option<&'a str>,
    operation: Option<&'a str>,
    caller: Option<&'a str>,
}

#[derive(Serialize)]
struct OnsetJson {
    at: String,
    uncertainty_seconds: f64,
}

#[derive(Serialize)]
struct VictimJson<'a> {
    service: &'a str,
    because_of: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct OnsetRowJson<'a> {
    service: &'a str,
    signal: &'static str,
    onset: OnsetJson,
}

#[derive(Serialize)]
struct AffectedJson<'a> {
    entry: &'a str,
    requests: u64,
    affected: u64,
    baseline_share: Option<f64>,
}

#[derive(Serialize)]
struct ExemplarJson<'a> {
    subject: &'a str,
    bad: Option<TraceJson>,
    normal: Option<TraceJson>,
}

#[derive(Serialize)]
struct TraceJson {
    trace_id: String,
    duration_ns: u64,
}

#[derive(Serialize)]
struct WarningJson<'a> {
    source: &'a str,
    place: &'a str,
    message: &'a str,
    affected: u64,
}

/// JSON has no infinities: what is not a finite number is null.
pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl<'a> From<&'a Diagnosis> for ReportJson<'a> {
    fn from(d: &'a Diagnosis) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            name: &d.name,
            method: d.method,
            verdict: d.verdict.word(),
            verdict_reason: &d.verdict_reason,
            unlisted_probability: finite(d.unlisted_probability),
            none_probability: finite(d.none_probability),
            incident: window(&d.window),
            baselines: d.baselines.iter().map(window).collect(),
            alert: d.alert.as_ref().map(alert),
            symptoms: d.symptoms.iter().map(symptom_change).collect(),
            causes: d.causes.iter().map(cause).collect(),
            alternatives: d.alternatives.iter().map(candidate).collect(),
            victims: d
                .victims
                .iter()
                .map(|v| VictimJson { service: v.service.as_str(), because_of: v.because_of.as_str(), text: &v.text })
                .collect(),
            onsets: d
                .onsets
                .iter()
                .map(|row| OnsetRowJson {
                    service: row.service.as_str(),
                    signal: signal(row.signal),
                    onset: onset(&row.onset),
                })
                .collect(),
            blast_radius: d
                .blast_radius
                .iter()
                .map(|e| AffectedJson {
                    entry: &e.entry,
                    requests: e.requests,
                    affected: e.affected,
                    baseline_share: finite(e.baseline_share),
                })
                .collect(),
            exemplars: d.exemplars.iter().map(exemplar).collect(),
            coverage: coverage(&d.coverage),
            next_steps: &d.next_steps,
            warnings: d
                .warnings
                .iter()
                .map(|w| WarningJson { source: &w.source, place: &w.place, message: &w.message, affected: w.affected })
                .collect(),
            logs: d.logs.iter().map(log).collect(),
            changes: d.changes.iter().map(system_change).collect(),
            history: d.history.as_ref().map(history),
        }
    }
}

fn history(history: &History) -> HistoryJson<'_> {
    fn earlier(earlier: &Earlier) -> EarlierJson<'_> {
        EarlierJson {
            incident: earlier.incident.to_string(),
            started: rfc3339(earlier.starts_ns),
            confirmed_cause: earlier.confirmed_cause.as_deref(),
            false_alarm: earlier.is_confirmed && earlier.confirmed_cause.is_none(),
            note: &earlier.note,
        }
    }
    HistoryJson {
        version: history.version,
        changed: &history.changed,
        similar: history.similar.iter().map(earlier).collect(),
    }
}

pub(super) fn window(window: &Window) -> WindowJson {
    WindowJson { start: rfc3339(window.start_ns()), end: rfc3339(window.end_ns()), duration_seconds: window.seconds() }
}

fn alert(alert: &Alert) -> AlertJson<'_> {
    AlertJson {
        name: &alert.name,
        starts: alert.starts_ns.map(rfc3339),
        ends: alert.ends_ns.map(rfc3339),
        service: alert.service.as_ref().map(|s| s.as_str()),
        symptom: alert.symptom.map(Symptom::word),
        expression: alert.expression.as_deref(),
        summary: alert.summary.as_deref(),
    }
}

fn symptom_change(change: &SymptomChange) -> SymptomJson<'_> {
    SymptomJson {
        entry: change.entry.as_str(),
        symptom: change.symptom.word(),
        unit: unit(numbers::symptom_unit(change.symptom)),
        baseline: finite(change.baseline),
        incident: finite(change.incident),
        significant: change.significant,
    }
}

fn candidate(candidate: &Candidate) -> CandidateJson<'_> {
    let suspect = match &candidate.suspect {
        Suspect::Service(service) => SuspectJson { kind: "service", service: service.as_str(), caller: None },
        Suspect::Edge { caller, callee } => {
            SuspectJson { kind: "edge", service: callee.as_str(), caller: Some(caller.as_str()) }
        }
    };
    CandidateJson {
        suspect,
        score: finite(candidate.score),
        probability: finite(candidate.probability),
        explained_share: candidate.explained_share.and_then(finite),
        onset: candidate.onset.as_ref().map(onset),
        bits_by_modality: candidate
            .evidence
            .iter()
            .map(|e| BitsJson { modality: modality(e.modality), bits: finite(e.bits) })
            .collect(),
    }
}

fn cause(cause: &Cause) -> CauseJson<'_> {
    CauseJson {
        candidate: candidate(&cause.candidate),
        node_kind: cause.kind.map(NodeKind::word),
        path: cause.path.iter().map(step).collect(),
        evidence: cause.evidence.iter().map(evidence).collect(),
    }
}

fn step(step: &PathStep) -> StepJson<'_> {
    StepJson {
        caller: step.caller.as_str(),
        callee: step.callee.as_str(),
        mode: step.mode.word(),
        changes: step.changes.iter().map(before_after).collect(),
    }
}

fn before_after(change: &BeforeAfter) -> ChangeJson {
    ChangeJson {
        signal: signal(change.signal),
        unit: unit(change.unit),
        baseline: finite(change.baseline),
        incident: finite(change.incident),
    }
}

fn evidence(line: &EvidenceLine) -> EvidenceJson<'_> {
    EvidenceJson {
        modality: modality(line.modality),
        bits: finite(line.bits),
        text: &line.text,
        finding: line.finding.as_ref().map(finding),
    }
}

fn finding(finding: &Finding) -> FindingJson<'_> {
    FindingJson {
        subject: subject(&finding.subject),
        signal: signal(finding.signal),
        name: &finding.name,
        change: match finding.change {
            Change::Rise => "rise",
            Change::Fall => "fall",
            Change::Vanished => "vanished",
            Change::Appeared => "appeared",
        },
        unit: unit(finding.unit),
        baseline: finite(finding.baseline),
        incident: finite(finding.incident),
        z: finite(finding.z),
        bits: finite(finding.bits),
        p_value: finite(finding.p_value),
        q_value: finite(finding.q_value),
        significant: finding.significant,
        onset: finding.onset.as_ref().map(onset),
        baseline_samples: finding.n_baseline,
        incident_samples: finding.n_incident,
    }
}

pub(super) fn subject(subject: &Subject) -> SubjectJson<'_> {
    let service = subject.service().as_str();
    let rest = SubjectJson { service, ..SubjectJson::default() };
    match subject {
        Subject::Service(_) => SubjectJson { kind: "service", ..rest },
        Subject::Instance { instance, .. } => SubjectJson { kind: "instance", instance: Some(instance), ..rest },
        Subject::Version { version, .. } => SubjectJson { kind: "version", version: Some(version), ..rest },
        Subject::Operation { operation, .. } => SubjectJson { kind: "operation", operation: Some(operation), ..rest },
        Subject::Edge { caller, .. } => SubjectJson { kind: "edge", caller: Some(caller.as_str()), ..rest },
    }
}

fn onset(onset: &Onset) -> OnsetJson {
    let uncertainty_seconds = onset.uncertainty_ns as f64 / crate::telemetry::time::NANOS_PER_SECOND as f64;
    OnsetJson { at: rfc3339(onset.at_ns), uncertainty_seconds }
}

fn exemplar(pair: &ExemplarPair) -> ExemplarJson<'_> {
    let trace = |t: &(TraceId, u64)| TraceJson { trace_id: t.0.to_string(), duration_ns: t.1 };
    ExemplarJson { subject: &pair.subject, bad: pair.bad.as_ref().map(trace), normal: pair.normal.as_ref().map(trace) }
}

fn log(line: &LogLine) -> LogJson<'_> {
    LogJson {
        service: line.service.as_str(),
        severity: match line.severity {
            Severity::Unspecified => "unspecified",
            Severity::Trace => "trace",
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
            Severity::Fatal => "fatal",
        },
        template: &line.template,
        baseline_per_second: finite(line.baseline),
        incident_per_second: finite(line.incident),
        baseline_records: line.baseline_records,
        incident_records: line.incident_records,
        q_value: finite(line.q_value),
        trace_id: line.trace.map(|trace| trace.to_string()),
    }
}

fn system_change(line: &ChangeLine) -> SystemChangeJson<'_> {
    SystemChangeJson {
        at: rfc3339(line.change.at_ns),
        service: line.change.service.as_ref().map(|s| s.as_str()),
        kind: line.change.kind.word(),
        version: &line.change.version,
        description: &line.change.description,
        source: &line.change.source,
        at_cause: line.at_cause,
        seconds_after_start: line.after_start_ns as f64 / crate::telemetry::time::NANOS_PER_SECOND as f64,
    }
}

fn modality(modality: Modality) -> &'static str {
    match modality {
        Modality::Attribution => "attribution",
        Modality::Resources => "resources",
        Modality::Behaviour => "behaviour",
        Modality::Network => "network",
        Modality::Correlation => "correlation",
        Modality::Walk => "random_walk",
        Modality::Onset => "onset",
        Modality::Structure => "structure",
        Modality::Logs => "logs",
        Modality::Changes => "changes",
    }
}

fn signal(signal: Signal) -> &'static str {
    match signal {
        Signal::Requests => "requests",
        Signal::ErrorRatio => "error_ratio",
        Signal::OriginErrorRatio => "origin_error_ratio",
        Signal::Latency => "latency",
        Signal::SelfTime => "self_time",
        Signal::NetworkGap => "network_gap",
        Signal::Cpu => "cpu",
        Signal::CpuThrottling => "cpu_throttling",
        Signal::Memory => "memory",
        Signal::Disk => "disk",
        Signal::Sockets => "sockets",
        Signal::Restarts => "restarts",
        Signal::NetworkReceive => "network_receive",
        Signal::NetworkTransmit => "network_transmit",
        Signal::Syscalls => "syscalls",
        Signal::NodeCpu => "node_cpu",
        Signal::NodeMemory => "node_memory",
        Signal::Timeouts => "timeouts",
        Signal::Retries => "retries",
        Signal::Hedges => "hedges",
        Signal::Other => "other",
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::PerSecond => "per_second",
        Unit::Ratio => "ratio",
        Unit::Cores => "cores",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "bytes_per_second",
        Unit::Count => "count",
        Unit::None => "none",
    }
}
