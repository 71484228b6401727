//! Why the ranking is as it is, in numbers that a person can check.

mod blast_radius;
mod changes;
mod coverage;
mod evidence;
mod exemplars;
mod history;
mod logs;
mod neighbour;
mod next_steps;
pub(crate) mod numbers;
mod path;
mod victims;

use std::collections::BTreeMap;

use crate::detect::{Finding, Onset};
use crate::incident::Incident;
use crate::rank::{Candidate, Modality, Ranking, SymptomChange, Verdict, hypocenter};
use crate::telemetry::alert::Alert;
use crate::telemetry::change::Change;
use crate::telemetry::id::{ServiceId, TraceId};
use crate::telemetry::logs::Severity;
use crate::telemetry::series::{Signal, Subject, Unit};
use crate::telemetry::time::Window;
use crate::telemetry::topology::{EdgeMode, NodeKind};
use crate::telemetry::warning::Warning;

pub use coverage::{
    Coverage, Deduction, KeptShares, KnownFrom, Listed, OneWindow, SeriesGap, SeriesName, Shortfall, Silent,
    UnweightedSample,
};
pub(crate) use coverage::{series_gaps, unweighted_samples};
pub use history::{Earlier, History, changed, signature, suspect};

/// A value before and during the incident.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BeforeAfter {
    /// What was measured.
    pub signal: Signal,
    /// Unit of both values.
    pub unit: Unit,
    /// Baseline.
    pub baseline: f64,
    /// Incident.
    pub incident: f64,
}

/// One call on the way from the symptom to the cause, with what changed on it.
#[derive(Clone, PartialEq, Debug)]
pub struct PathStep {
    /// Who calls.
    pub caller: ServiceId,
    /// Who is called.
    pub callee: ServiceId,
    /// Whether the caller waits.
    pub mode: EdgeMode,
    /// Measured changes on this edge (latency, errors, rate, gap), those that changed most first.
    pub changes: Vec<BeforeAfter>,
}

/// One line of evidence.
#[derive(Clone, PartialEq, Debug)]
pub struct EvidenceLine {
    /// Kind of observation.
    pub modality: Modality,
    /// Bits that it adds.
    pub bits: f64,
    /// The finding behind it.
    pub finding: Option<Finding>,
    /// What it says, in one sentence with its numbers. May hold telemetry's names: escape for each output.
    pub text: String,
}

/// A cause with its reasons.
#[derive(Clone, PartialEq, Debug)]
pub struct Cause {
    /// The candidate as ranked.
    pub candidate: Candidate,
    /// What the node is.
    pub kind: Option<NodeKind>,
    /// From the entry to the cause; empty when the cause is the entry itself or no path is known.
    pub path: Vec<PathStep>,
    /// Why.
    pub evidence: Vec<EvidenceLine>,
}

/// A service that suffers from a cause elsewhere.
#[derive(Clone, PartialEq, Debug)]
pub struct Victim {
    /// Who.
    pub service: ServiceId,
    /// The callee (or caller) from which it suffers.
    pub because_of: ServiceId,
    /// Why it is a victim, with numbers.
    pub text: String,
}

/// One row of the onset order.
#[derive(Clone, PartialEq, Debug)]
pub struct OnsetRow {
    /// Who.
    pub service: ServiceId,
    /// Which signal was first.
    pub signal: Signal,
    /// When.
    pub onset: Onset,
}

/// Who is affected, and how much.
#[derive(Clone, PartialEq, Debug)]
pub struct AffectedEntry {
    /// Service and operation where requests come in.
    pub entry: String,
    /// Requests in the incident window.
    pub requests: u64,
    /// Of these, requests that failed or took longer than the baseline's 99th percentile.
    pub affected: u64,
    /// Share of affected requests expected from the baseline, 0 to 1.
    pub baseline_share: f64,
}

/// Traces to open beside each other.
#[derive(Clone, PartialEq, Debug)]
pub struct ExemplarPair {
    /// What they show.
    pub subject: String,
    /// A bad one, from the incident.
    pub bad: Option<(TraceId, u64)>,
    /// A normal one, from the baseline; the number is the duration in nanoseconds.
    pub normal: Option<(TraceId, u64)>,
}

/// A kind of log message that is new in the incident or much more frequent than before.
#[derive(Clone, PartialEq, Debug)]
pub struct LogLine {
    /// Who wrote it.
    pub service: ServiceId,
    /// The message with `<*>` where it varies. Hostile text.
    pub template: String,
    /// How bad.
    pub severity: Severity,
    /// Records a second in the baseline.
    pub baseline: f64,
    /// Records a second in the incident.
    pub incident: f64,
    /// Records behind `baseline`.
    pub baseline_records: u64,
    /// Records behind `incident`.
    pub incident_records: u64,
    /// Chance of such a difference where nothing changed, adjusted for all templates that were compared.
    pub q_value: f64,
    /// A trace of the incident that one of the records names.
    pub trace: Option<TraceId>,
}

/// A change of the system near the incident.
#[derive(Clone, PartialEq, Debug)]
pub struct ChangeLine {
    /// What was changed, and when. Its texts are hostile.
    pub change: Change,
    /// Whether it was at one of the causes.
    pub at_cause: bool,
    /// From the beginning of the incident to the change, nanoseconds; negative for a change before it.
    pub after_start_ns: i64,
}

/// The ranking with its reasons: everything that a report shows.
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnosis {
    /// Name of the incident.
    pub name: String,
    /// Incident window.
    pub window: Window,
    /// Baseline windows.
    pub baselines: Vec<Window>,
    /// The alert, if any.
    pub alert: Option<Alert>,
    /// Name of the ranking method.
    pub method: &'static str,
    /// Conclusion.
    pub verdict: Verdict,
    /// Why the verdict is what it is, one sentence.
    pub verdict_reason: String,
    /// What users felt.
    pub symptoms: Vec<SymptomChange>,
    /// The causes, when the verdict is `CauseFound`; most often one.
    pub causes: Vec<Cause>,
    /// Other candidates in order, without the causes.
    pub alternatives: Vec<Candidate>,
    /// Probability that the cause is a service that is not listed here, as it shows nothing or little.
    pub unlisted_probability: f64,
    /// Probability that none of the services is the cause. With this and the above the probabilities sum to 1.
    pub none_probability: f64,
    /// Who suffers.
    pub victims: Vec<Victim>,
    /// Who changed first.
    pub onsets: Vec<OnsetRow>,
    /// Who is affected.
    pub blast_radius: Vec<AffectedEntry>,
    /// Traces to open.
    pub exemplars: Vec<ExemplarPair>,
    /// What could be seen.
    pub coverage: Coverage,
    /// What to look at next.
    pub next_steps: Vec<String>,
    /// Everything odd, sorted.
    pub warnings: Vec<Warning>,
    /// What the logs of the causes and the first candidates say that they did not say before.
    pub logs: Vec<LogLine>,
    /// What was changed shortly before the incident and in it, by time.
    pub changes: Vec<ChangeLine>,
    /// What went before, as only a server that remembers can tell.
    pub history: Option<History>,
}

/// How many rows of a list a person reads at night; the JSON report is cut at the same length.
const MAX_ROWS: usize = 12;

/// What the telemetry let us see; its factor is to lower the confidence of the ranking before it is explained.
pub fn coverage(incident: &Incident) -> Coverage {
    coverage::coverage(incident)
}

/// Gives the reasons for a ranking. `coverage` is that of [`coverage`] for the same incident.
pub fn explain(incident: &Incident, findings: &[Finding], ranking: Ranking, coverage: Coverage) -> Diagnosis {
    let mut candidates = ranking.candidates;
    let others = candidates.split_off(ranking.causes.min(candidates.len()));
    let symptom = ranking.symptoms.first();
    let entry = symptom.map(|s| s.entry.clone()).or_else(|| incident.entry.clone());
    let parts = if candidates.is_empty() { Vec::new() } else { hypocenter::own_parts(incident, findings) };
    let causes: Vec<Cause> = candidates
        .into_iter()
        .map(|candidate| {
            let service = candidate.suspect.service();
            Cause {
                kind: incident.graph.kind(service),
                path: entry.as_ref().map_or_else(Vec::new, |e| path::path(incident, findings, e, service)),
                evidence: evidence::lines(incident, &parts, findings, &candidate),
                candidate,
            }
        })
        .collect();
    let (mut alternatives, mut unlisted): (Vec<Candidate>, Vec<Candidate>) =
        others.into_iter().partition(Candidate::is_evident);
    unlisted.extend(alternatives.split_off(alternatives.len().min(MAX_ROWS)));
    let named = Named { verdict: ranking.verdict, causes: &causes, alternatives: &alternatives };
    Diagnosis {
        name: incident.name.clone(),
        window: incident.window,
        baselines: incident.baselines.clone(),
        alert: incident.alert.clone(),
        method: ranking.method,
        verdict: ranking.verdict,
        verdict_reason: next_steps::reason(&named, findings, symptom),
        victims: victims::victims(incident, findings, &causes),
        onsets: onsets(findings),
        blast_radius: blast_radius::affected_entries(incident),
        exemplars: exemplars::pairs(incident, &causes, symptom),
        next_steps: next_steps::steps(&named, findings, &coverage),
        logs: logs::lines(incident, &causes, &alternatives),
        changes: changes::lines(incident, &causes, &alternatives),
        symptoms: ranking.symptoms,
        causes,
        alternatives,
        unlisted_probability: unlisted.iter().map(|candidate| candidate.probability).sum(),
        none_probability: ranking.none_probability,
        coverage,
        warnings: incident.warnings.clone(),
        history: None,
    }
}

/// What the sentences of a report speak about.
struct Named<'a> {
    verdict: Verdict,
    causes: &'a [Cause],
    alternatives: &'a [Candidate],
}

/// Who changed first: the earliest onset of each service as a whole. Instances come and go with every deployment.
fn onsets(findings: &[Finding]) -> Vec<OnsetRow> {
    let mut first: BTreeMap<&ServiceId, OnsetRow> = BTreeMap::new();
    let whole = |f: &&Finding| !matches!(f.subject, Subject::Instance { .. } | Subject::Version { .. });
    for finding in findings.iter().filter(|f| f.significant).filter(whole) {
        let Some(onset) = finding.onset else { continue };
        let row = OnsetRow { service: finding.subject.service().clone(), signal: finding.signal, onset };
        let known = first.entry(finding.subject.service()).or_insert_with(|| row.clone());
        if onset.at_ns < known.onset.at_ns {
            *known = row;
        }
    }
    let mut rows: Vec<OnsetRow> = first.into_values().collect();
    rows.sort_by(|a, b| a.onset.at_ns.cmp(&b.onset.at_ns).then_with(|| a.service.cmp(&b.service)));
    rows.truncate(MAX_ROWS);
    rows
}
