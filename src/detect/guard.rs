//! A baseline that already holds the beginning of the incident: people notice late, and alerts fire later still.
//!
//! Where a baseline reaches up to the incident, its last part, a third of the incident's length, is left out if that makes
//! the rest differ from the incident much more surely: what is like the incident belongs to it, or to neither.

use std::collections::BTreeSet;

use super::{Finding, Settings, calls, detect, judged, series};
use crate::graph::ServiceGraph;
use crate::incident::Incident;
use crate::telemetry::calls::CallStats;
use crate::telemetry::logs::LogStats;
use crate::telemetry::time::Window;
use crate::telemetry::warning::Warning;

/// The guard is the incident's length over this.
const GUARD_SHARE: i64 = 3;
/// By this factor, and by one full finding, the evidence must grow: leaving out ordinary time moves it by a few bits.
/// On the development cases 1.1 to 1.25 chose the same; 1.5 and more left out too little where the incident's time was
/// given a minute late.
const LEAST_GROWTH: f64 = 1.25;

/// What [`detect`] finds, and where a shorter baseline is the better comparison the incident with that and what is found
/// then.
pub(crate) fn guarded(incident: &Incident, settings: &Settings) -> (Option<Incident>, Vec<Finding>) {
    let Some((baselines, guard)) = shorter(incident) else { return (None, detect(incident, settings)) };
    let mut of_calls = calls::findings(incident, &[&incident.baselines, &baselines], settings).into_iter();
    let mut all = |mut findings: Vec<Finding>| {
        findings.extend(of_calls.next().unwrap_or_default());
        judged(findings, settings)
    };
    let whole = all(series::findings(incident, settings));
    let cut = all(series::findings(&with_series_only(incident, &baselines), settings));
    if evidence(&cut) <= evidence(&whole) * LEAST_GROWTH + settings.max_bits {
        return (None, whole);
    }
    let warning = Warning {
        source: "baseline".to_owned(),
        place: String::new(),
        message: format!(
            "its last {:.0} s before the incident are like the incident and are left out; if it began earlier, say so",
            guard.seconds()
        ),
        affected: 1,
    };
    let mut shorter = Incident { baselines, ..incident.clone() };
    shorter.warnings.push(warning);
    shorter.warnings.sort();
    (Some(shorter), cut)
}

/// The baselines without the last part before the incident, and that part; `None` where they do not reach up to it, or
/// too little would be left.
fn shorter(incident: &Incident) -> Option<(Vec<Window>, Window)> {
    let start = incident.window.start_ns();
    let length = incident.window.end_ns().saturating_sub(start);
    let guard = Window::new(start.saturating_sub(length / GUARD_SHARE), start).ok()?;
    if !incident.baselines.iter().any(|baseline| baseline.overlaps(&guard)) {
        return None;
    }
    let baselines: Vec<Window> = incident
        .baselines
        .iter()
        .flat_map(|baseline| {
            let before = Window::new(baseline.start_ns(), baseline.end_ns().min(guard.start_ns()));
            let after = Window::new(baseline.start_ns().max(guard.end_ns()), baseline.end_ns());
            [before, after].into_iter().flatten()
        })
        .collect();
    let left: f64 = baselines.iter().map(Window::seconds).sum();
    (left >= incident.window.seconds()).then_some((baselines, guard))
}

/// What detection in series looks at, with other baselines: calls and logs are the bulk of an incident.
fn with_series_only(incident: &Incident, baselines: &[Window]) -> Incident {
    Incident {
        name: incident.name.clone(),
        window: incident.window,
        baselines: baselines.to_vec(),
        entry: incident.entry.clone(),
        symptom: incident.symptom,
        calls: CallStats::empty(incident.calls.grid),
        series: incident.series.clone(),
        graph: ServiceGraph::default(),
        logs: LogStats::empty(incident.logs.grid),
        changes: Vec::new(),
        dialects: Vec::new(),
        cut_files: BTreeSet::new(),
        alert: None,
        warnings: Vec::new(),
    }
}

/// Bits of all significant findings.
fn evidence(findings: &[Finding]) -> f64 {
    findings.iter().filter(|finding| finding.significant).map(|finding| finding.bits).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
    use crate::telemetry::time::{Grid, NANOS_PER_SECOND};

    const STEP: i64 = 10 * NANOS_PER_SECOND;

    /// Latencies of four services, every 10 s; an incident of 180 s after 300 s of baseline. They rise at `onset`.
    fn incident(onset: i64) -> Incident {
        let noise = |at: i64, salt: i64| ((at * 7 + salt * 3) % 5) as f64 * 0.002;
        let level = |at: i64, salt: i64| 0.1 + noise(at, salt) + if at >= onset { 0.5 } else { 0.0 };
        let series = |salt: i64| Series {
            subject: Subject::Service(format!("s{salt}").as_str().into()),
            signal: Signal::Latency,
            statistic: Statistic::Mean,
            unit: Unit::Seconds,
            name: "latency".to_owned(),
            samples: (0..48).map(|at| (at * STEP, level(at, salt))).collect(),
        };
        Incident::new(IncidentParts {
            name: String::new(),
            window: Window::new(30 * STEP, 48 * STEP).unwrap(),
            baselines: vec![Window::new(0, 30 * STEP).unwrap()],
            entry: None,
            symptom: None,
            calls: CallStats::empty(Grid::new(STEP)),
            series: (0..4).map(series).collect(),
            given_edges: Vec::new(),
            logs: LogStats::empty(Grid::new(STEP)),
            changes: Vec::new(),
            dialects: Vec::new(),
            cut_files: std::collections::BTreeSet::new(),
            alert: None,
            warnings: Vec::new(),
        })
        .unwrap()
    }

    fn shortened(onset: i64) -> Option<Incident> {
        guarded(&incident(onset), &Settings::default()).0
    }

    #[test]
    fn a_baseline_that_holds_the_beginning_is_cut_and_says_so() {
        let shorter = shortened(24).expect("the last minute of the baseline is like the incident");
        assert_eq!(shorter.baselines, [Window::new(0, 24 * STEP).unwrap()]);
        assert!(shorter.warnings.iter().any(|w| w.message.contains("last 60 s")), "{:?}", shorter.warnings);
    }

    #[test]
    fn a_baseline_without_the_incident_stays_whole() {
        assert!(shortened(30).is_none());
        // A quiet system.
        assert!(shortened(99).is_none());
    }
}
