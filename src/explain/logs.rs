//! What the logs of the causes and the candidates say in the incident and did not say before. It is shown, and does not move
//! the ranking: what does is in `rank::evidence`.

use std::collections::BTreeMap;

use super::{Cause, LogLine};
use crate::incident::Incident;
use crate::rank::evidence::log_windows::{Counts, Windows, dispersion};
use crate::rank::{Candidate, Suspect};
use crate::stats::fdr::benjamini_hochberg;
use crate::stats::rate::poisson_two_sided;
use crate::telemetry::id::ServiceId;
use crate::telemetry::logs::Severity;
use crate::telemetry::time::NANOS_PER_SECOND;

/// Expected share of templates among those shown that are there by chance.
const MAX_Q: f64 = 0.01;
/// What is not even twice as frequent is no lead.
const MIN_RATIO: f64 = 2.0;
/// Templates shown of one service: its first messages tell most.
const MAX_OF_SERVICE: usize = 3;
/// Candidates beside the causes whose logs are looked at.
const MAX_CANDIDATES: usize = 3;

/// Templates that are new in the incident or much more frequent, error templates first, service by service.
pub(super) fn lines(incident: &Incident, causes: &[Cause], alternatives: &[Candidate]) -> Vec<LogLine> {
    let services = services(incident, causes, alternatives);
    let windows = Windows::of(incident);
    let mut tested: Vec<(LogLine, f64)> = Vec::new();
    for service in &services {
        tested.extend(compared(incident, service, &windows));
    }
    let p_values: Vec<f64> = tested.iter().map(|(_, p_value)| *p_value).collect();
    for ((line, _), q_value) in tested.iter_mut().zip(benjamini_hochberg(&p_values)) {
        line.q_value = q_value;
    }
    let mut lines: Vec<LogLine> = Vec::new();
    for service in &services {
        let rose = |line: &&LogLine| {
            line.service == *service && line.q_value <= MAX_Q && line.incident >= MIN_RATIO * line.baseline
        };
        let mut of_service: Vec<LogLine> = tested.iter().map(|(line, _)| line).filter(rose).cloned().collect();
        of_service.sort_by(|a, b| order(a).cmp(&order(b)));
        of_service.truncate(MAX_OF_SERVICE);
        lines.extend(of_service);
    }
    lines.truncate(super::MAX_ROWS);
    lines
}

/// Errors first, then what is new, then what is most frequent.
fn order(line: &LogLine) -> (u8, bool, u64, &str) {
    let badness = match line.severity {
        Severity::Fatal | Severity::Error => 0,
        Severity::Warn => 1,
        _ => 2,
    };
    (badness, line.baseline_records > 0, u64::MAX - line.incident_records, &line.template)
}

/// The services of the causes, then of the first candidates, each once. For a cause that writes no logs (a database)
/// whoever calls it on the way from the symptom speaks.
fn services(incident: &Incident, causes: &[Cause], alternatives: &[Candidate]) -> Vec<ServiceId> {
    let mut services: Vec<ServiceId> = Vec::new();
    let mut add = |service: &ServiceId| {
        if !services.contains(service) {
            services.push(service.clone());
        }
    };
    for cause in causes {
        match &cause.candidate.suspect {
            Suspect::Service(service) => {
                add(service);
                if let (Err(_), Some(step)) = (incident.logs.services.binary_search(service), cause.path.last()) {
                    add(&step.caller);
                }
            }
            Suspect::Edge { caller, callee } => {
                add(caller);
                add(callee);
            }
        }
    }
    alternatives.iter().take(MAX_CANDIDATES).for_each(|candidate| add(candidate.suspect.service()));
    services
}

/// All templates of a service with the p-value of the difference between incident and baseline.
fn compared(incident: &Incident, service: &ServiceId, windows: &Windows) -> Vec<(LogLine, f64)> {
    let logs = &incident.logs;
    let Ok(place) = logs.services.binary_search(service) else { return Vec::new() };
    let mut counts: BTreeMap<(u32, Severity), Counts> = BTreeMap::new();
    for row in logs.rows.iter().filter(|row| row.service as usize == place) {
        let (during, before) = (windows.incident.contains(&row.bin), windows.in_baseline(row.bin));
        if !during && !before {
            continue;
        }
        let known = counts.entry((row.template, row.severity)).or_default();
        *known.by_bin.entry(row.bin).or_default() += row.records;
        if during {
            known.incident += row.records;
            known.trace = [known.trace, row.trace].into_iter().flatten().min();
        } else {
            known.baseline += row.records;
        }
    }
    // Without a record of the baseline everything would be new.
    if counts.values().all(|known| known.baseline == 0) {
        return Vec::new();
    }
    let step = logs.grid.step_ns() as f64 / NANOS_PER_SECOND as f64;
    let seconds = (windows.incident_bins() as f64 * step, windows.baseline_bins() as f64 * step);
    let requests = requests(incident, service);
    let line = |((template, severity), known): ((u32, Severity), Counts)| {
        let dispersion = dispersion(&known, windows);
        let independent = |count: u64| (count as f64 / dispersion).round() as u64;
        let p_value = |(during, before): (f64, f64)| {
            poisson_two_sided(independent(known.incident), during, independent(known.baseline), before)
        };
        // More traffic writes more logs, and a clock writes as many without traffic: only what is more frequent both by
        // the second and by the request has changed.
        let mut p = p_value(seconds);
        let mut rose = seconds.0 > 0.0 && seconds.1 > 0.0;
        if let Some(requests) = requests {
            p = p.max(p_value(requests));
            rose &= known.incident as f64 * requests.1 >= MIN_RATIO * known.baseline as f64 * requests.0;
        }
        let line = LogLine {
            service: service.clone(),
            template: logs.templates.get(template as usize).cloned().unwrap_or_default(),
            severity,
            baseline: known.baseline as f64 / seconds.1.max(step),
            incident: known.incident as f64 / seconds.0.max(step),
            baseline_records: known.baseline,
            incident_records: known.incident,
            q_value: 1.0,
            trace: known.trace,
        };
        (line, if rose { p } else { 1.0 })
    };
    counts.into_iter().map(line).collect()
}

/// Requests that the service handled during and before; `None` where calls do not tell of both.
fn requests(incident: &Incident, service: &ServiceId) -> Option<(f64, f64)> {
    let calls = &incident.calls;
    let (mut during, mut before) = (0, 0);
    for row in calls.rows.iter().filter(|row| calls.service(row.key.callee) == service) {
        let start_ns = calls.grid.bin_start_ns(row.key.bin);
        if incident.window.contains(start_ns) {
            during += row.calls;
        } else if incident.baselines.iter().any(|window| window.contains(start_ns)) {
            before += row.calls;
        }
    }
    (during > 0 && before > 0).then_some((during as f64, before as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::telemetry::calls::CallStats;
    use crate::telemetry::logs::{LogRow, LogStats};
    use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
    use crate::telemetry::time::{Grid, Window};

    const SECOND: i64 = NANOS_PER_SECOND;

    /// Baseline of 600 s, incident of 60 s, bins of 5 s; records of the service `a` by template and severity.
    fn incident(records: impl Fn(i64) -> Vec<(u32, Severity, u64)>) -> Incident {
        let grid = Grid::new(5 * SECOND);
        let row =
            |bin, (template, severity, records)| LogRow { service: 0, template, severity, bin, records, trace: None };
        let rows = (0..132).flat_map(|bin| records(bin).into_iter().map(move |r| row(bin, r))).collect();
        let logs = LogStats {
            services: vec!["a".into()],
            templates: vec!["t0".into(), "t1".into(), "t2".into()],
            rows,
            ..LogStats::empty(grid)
        };
        let series = Series {
            subject: Subject::Service("a".into()),
            signal: Signal::Cpu,
            statistic: Statistic::Mean,
            unit: Unit::Cores,
            name: "cpu".into(),
            samples: vec![(0, 1.0)],
        };
        Incident::new(IncidentParts {
            series: vec![series],
            logs,
            ..IncidentParts::new(
                Window::new(600 * SECOND, 660 * SECOND).unwrap(),
                vec![Window::new(0, 600 * SECOND).unwrap()],
                CallStats::empty(grid),
            )
        })
        .unwrap()
    }

    fn shown(incident: &Incident) -> Vec<(String, u64, u64)> {
        let candidate = Candidate {
            suspect: Suspect::Service("a".into()),
            score: 1.0,
            probability: 0.5,
            explained_share: None,
            onset: None,
            evidence: Vec::new(),
        };
        let of = |line: LogLine| (line.template, line.baseline_records, line.incident_records);
        lines(incident, &[], &[candidate]).into_iter().map(of).collect()
    }

    #[test]
    fn a_new_error_comes_before_what_became_more_frequent() {
        let records = |bin: i64| {
            let mut records = vec![(0, Severity::Info, if bin >= 120 { 30 } else { 10 })];
            if bin >= 120 {
                records.push((1, Severity::Error, 2));
            }
            records
        };
        let expected = [("t1".to_owned(), 0, 24), ("t0".to_owned(), 1200, 360)];
        assert_eq!(shown(&incident(records)), expected);
    }

    #[test]
    fn chance_bursts_and_slight_rises_are_not_shown() {
        // One record more or less, one burst in one bin, and a rise by half.
        let few = |bin: i64| if bin % 40 == 0 || bin == 125 { vec![(0, Severity::Error, 1)] } else { Vec::new() };
        assert_eq!(shown(&incident(few)), []);
        let burst = |bin: i64| match bin {
            0 => vec![(0, Severity::Info, 1)],
            125 => vec![(1, Severity::Error, 500)],
            _ => Vec::new(),
        };
        assert_eq!(shown(&incident(burst)), []);
        let slight = |bin: i64| vec![(0, Severity::Error, if bin >= 120 { 150 } else { 100 })];
        assert_eq!(shown(&incident(slight)), []);
    }

    #[test]
    fn without_logs_of_the_baseline_nothing_is_new() {
        let late = |bin: i64| if bin >= 120 { vec![(0, Severity::Error, 9)] } else { Vec::new() };
        assert_eq!(shown(&incident(late)), []);
        assert_eq!(shown(&incident(|_| Vec::new())), []);
    }
}
