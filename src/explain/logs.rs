//! What the logs of the causes and the candidates say in the incident and did not say before. Supporting evidence: it is
//! shown, and does not move the ranking.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Cause, LogLine};
use crate::incident::Incident;
use crate::rank::{Candidate, Suspect};
use crate::stats::fdr::benjamini_hochberg;
use crate::stats::rate::poisson_two_sided;
use crate::telemetry::id::{ServiceId, TraceId};
use crate::telemetry::logs::Severity;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

/// Expected share of templates among those shown that are there by chance.
const MAX_Q: f64 = 0.01;
/// What is not even twice as frequent is no lead.
const MIN_RATIO: f64 = 2.0;
/// Templates shown of one service: its first messages tell most.
const MAX_OF_SERVICE: usize = 3;
/// Candidates beside the causes whose logs are looked at.
const MAX_CANDIDATES: usize = 3;
/// Bins, or blocks of bins, from which a dispersion can be told (as in detection).
const MIN_CELLS: i64 = 4;

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

/// The bins of either side of the comparison, as half-open ranges: a window may have millions.
struct Windows {
    incident: Range<i64>,
    /// Sorted, none overlapping another.
    baselines: Vec<Range<i64>>,
}

impl Windows {
    fn of(incident: &Incident) -> Self {
        let grid = incident.logs.grid;
        let first_from = |at_ns: i64| {
            let bin = grid.bin(at_ns);
            if grid.bin_start_ns(bin) < at_ns { bin.saturating_add(1) } else { bin }
        };
        let bins = |window: &Window| first_from(window.start_ns())..first_from(window.end_ns());
        let mut baselines: Vec<Range<i64>> = Vec::new();
        // Sorted by their beginnings already.
        for range in incident.baselines.iter().map(bins) {
            match baselines.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => baselines.push(range),
            }
        }
        Self { incident: bins(&incident.window), baselines }
    }

    fn in_baseline(&self, bin: i64) -> bool {
        self.baselines.iter().any(|bins| bins.contains(&bin))
    }

    fn baseline_bins(&self) -> i64 {
        self.baselines.iter().map(length).sum()
    }
}

fn length(bins: &Range<i64>) -> i64 {
    bins.end.saturating_sub(bins.start).max(0)
}

/// Records of one template and severity.
#[derive(Default)]
struct Counts {
    by_bin: BTreeMap<i64, u64>,
    incident: u64,
    baseline: u64,
    trace: Option<TraceId>,
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
    let seconds = (length(&windows.incident) as f64 * step, windows.baseline_bins() as f64 * step);
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

/// Variance of the counts over their mean, at least 1: logs come in bursts, and a burst says as much as one record.
///
/// Pearson's chi-squared over its degrees of freedom, as for calls in detection: by bins of the baseline, by blocks of it
/// as long as the incident, and by bins of the incident (a message that is new has no baseline); the largest counts.
fn dispersion(counts: &Counts, windows: &Windows) -> f64 {
    let block = length(&windows.incident).max(1);
    let during = Cells::of(counts, std::slice::from_ref(&windows.incident), 1);
    let by_bin = Cells::of(counts, &windows.baselines, 1);
    let by_block = Cells::of(counts, &windows.baselines, block);
    [during, by_bin, by_block].iter().map(Cells::variance_over_mean).fold(1.0, f64::max)
}

/// Counts in cells of some bins each; empty cells are counted, not kept.
struct Cells {
    filled: Vec<f64>,
    cells: i64,
}

impl Cells {
    /// Whole cells of `width` bins of the ranges.
    fn of(counts: &Counts, ranges: &[Range<i64>], width: i64) -> Self {
        let mut filled: Vec<f64> = Vec::new();
        for range in ranges {
            let end = range.start + length(range) / width * width;
            let mut cell = None;
            for (bin, records) in counts.by_bin.range(range.start..end.max(range.start)) {
                let place = (bin - range.start) / width;
                match filled.last_mut() {
                    Some(last) if cell == Some(place) => *last += *records as f64,
                    _ => filled.push(*records as f64),
                }
                cell = Some(place);
            }
        }
        Self { filled, cells: ranges.iter().map(|range| length(range) / width).sum() }
    }

    fn variance_over_mean(&self) -> f64 {
        let mean = self.filled.iter().sum::<f64>() / self.cells.max(1) as f64;
        if self.cells < MIN_CELLS || mean <= 0.0 {
            return 1.0;
        }
        let empty = (self.cells as f64 - self.filled.len() as f64) * mean.powi(2);
        let filled: f64 = self.filled.iter().map(|cell| (cell - mean).powi(2)).sum();
        (filled + empty) / mean / (self.cells - 1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::telemetry::calls::CallStats;
    use crate::telemetry::logs::{LogRow, LogStats};
    use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
    use crate::telemetry::time::Grid;

    const SECOND: i64 = NANOS_PER_SECOND;

    /// Baseline of 600 s, incident of 60 s, bins of 5 s; records of the service `a` by template and severity.
    fn incident(records: impl Fn(i64) -> Vec<(u32, Severity, u64)>) -> Incident {
        let grid = Grid::new(5 * SECOND);
        let row =
            |bin, (template, severity, records)| LogRow { service: 0, template, severity, bin, records, trace: None };
        let rows = (0..132).flat_map(|bin| records(bin).into_iter().map(move |r| row(bin, r))).collect();
        let logs =
            LogStats { grid, services: vec!["a".into()], templates: vec!["t0".into(), "t1".into(), "t2".into()], rows };
        let series = Series {
            subject: Subject::Service("a".into()),
            signal: Signal::Cpu,
            statistic: Statistic::Mean,
            unit: Unit::Cores,
            name: "cpu".into(),
            samples: vec![(0, 1.0)],
        };
        Incident::new(IncidentParts {
            name: String::new(),
            window: Window::new(600 * SECOND, 660 * SECOND).unwrap(),
            baselines: vec![Window::new(0, 600 * SECOND).unwrap()],
            entry: None,
            symptom: None,
            calls: CallStats::empty(grid),
            series: vec![series],
            given_edges: Vec::new(),
            logs,
            changes: Vec::new(),
            dialects: Vec::new(),
            cut_files: std::collections::BTreeSet::new(),
            alert: None,
            warnings: Vec::new(),
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
    fn dispersion_is_the_variance_over_the_mean_of_all_cells() {
        let by_bin = BTreeMap::from([(0, 4), (3, 2), (5, 6), (9, 100)]);
        let counts = Counts { by_bin, ..Counts::default() };
        let dispersion = |ranges: &[Range<i64>], width| Cells::of(&counts, ranges, width).variance_over_mean();
        let close = |actual: f64, expected: f64| assert!((actual - expected).abs() < 1e-9, "{actual}");
        // numpy.var([4, 0, 0, 2, 0, 6, 0, 0], ddof=1) / 1.5
        close(dispersion(std::slice::from_ref(&(0..8)), 1), 3.619_047_619_047_619);
        // numpy.var([4, 2, 6, 0], ddof=1) / 3
        close(dispersion(std::slice::from_ref(&(0..8)), 2), 2.222_222_222_222_222_3);
        // The ninth bin makes no whole cell, and three cells are too few.
        close(dispersion(std::slice::from_ref(&(0..9)), 2), 2.222_222_222_222_222_3);
        close(dispersion(std::slice::from_ref(&(0..9)), 3), 1.0);
        close(dispersion(&[0..4, 4..8], 2), 2.222_222_222_222_222_3);
    }

    #[test]
    fn without_logs_of_the_baseline_nothing_is_new() {
        let late = |bin: i64| if bin >= 120 { vec![(0, Severity::Error, 9)] } else { Vec::new() };
        assert_eq!(shown(&incident(late)), []);
        assert_eq!(shown(&incident(|_| Vec::new())), []);
    }
}
