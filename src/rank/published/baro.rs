//! BARO: robust scores of all metrics, with the given time of the incident or with one that it detects.

use std::collections::BTreeMap;

use super::change_points::{Detected, change_points};
use super::columns::{Column, Sample, best_of, columns, of_nodes};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::node_series::{NodeSeries, Source, entry};
use crate::rank::{Ranker, Ranking, scored};
use crate::stats::robust;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Signal;

/// Scores a metric by
///
/// ```text
/// s_m = max over t in the incident of (x_m(t) - median_B) / IQR_B        (IQR_B = 1 where it is 0)
/// ```
/// and a service by its highest metric. Source: Pham, Ha, Zhang, "BARO: Robust root cause analysis for microservices
/// via multivariate Bayesian online change point detection", FSE 2024, <https://doi.org/10.1145/3660805>: RobustScorer;
/// signed, as in the authors' code, which uses scikit-learn's `RobustScaler`.
pub enum Baro {
    /// The incident begins when the caller says. Such a method always names a cause.
    Given,
    /// The incident begins at the first change point (`change_points.rs`) of latencies and error ratios around the
    /// given window; without one there is no cause. Differs from the paper in this: at most 180 bins of the baseline
    /// nearest to the incident, followed by at most 60 of it, are looked at, and at most 24 metrics, those whose robust
    /// score is highest, because a step costs `O(bins * metrics^2)`: all metrics of 5 000 services cannot be done.
    Detected,
}

/// Most bins of the baseline and of the incident, and most metrics, that the change-point detector takes.
const MAX_BASELINE_BINS: usize = 180;
const MAX_INCIDENT_BINS: usize = 60;
const MAX_METRICS: usize = 24;

impl Ranker for Baro {
    fn name(&self) -> &'static str {
        match self {
            Self::Given => "baro",
            Self::Detected => "baro_bocpd",
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Given => "BARO's RobustScorer, with the incident's given time (Pham et al., FSE 2024)",
            Self::Detected => "BARO with its multivariate Bayesian change-point detector (Pham et al., FSE 2024)",
        }
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let columns = columns(incident);
        let (alarm, scores) = match self {
            Self::Given => (true, scores(&columns, |sample| sample.in_incident)),
            Self::Detected => match detected(incident) {
                Some(Onset::Later(at_ns)) => {
                    (true, scores(&columns, |sample| sample.in_incident && sample.at_ns >= at_ns))
                }
                Some(Onset::Before(at_ns)) => {
                    let lead = at_ns..incident.window.start_ns();
                    (true, scores(&columns, |sample| sample.in_incident || lead.contains(&sample.at_ns)))
                }
                None => (false, scores(&columns, |sample| sample.in_incident)),
            },
        };
        scored::ranking_if(alarm, self.name(), incident, findings, &scores)
    }
}

fn scores(columns: &[Column], after: impl Fn(&Sample) -> bool) -> BTreeMap<ServiceId, f64> {
    best_of(columns, |column| {
        let (before, during) = column.split_by(&after);
        robust_score(&before, &during)
    })
}

/// The largest signed distance from the baseline's median in interquartile ranges.
fn robust_score(before: &[f64], during: &[f64]) -> Option<f64> {
    let (median, range) = (robust::median(before)?, robust::iqr(before)?);
    let scale = if range > 0.0 { range } else { 1.0 };
    during.iter().map(|value| (value - median) / scale).max_by(f64::total_cmp)
}

/// Where the first change lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Onset {
    /// In the baseline: what follows it up to the incident belongs to the incident. Unix nanoseconds.
    Before(i64),
    /// In the given window: what lies before it belongs to the baseline. Unix nanoseconds.
    Later(i64),
}

/// When the first change of latencies and error ratios began.
fn detected(incident: &Incident) -> Option<Onset> {
    let entry = entry(incident)?;
    let source = [Source::Calls, Source::Series]
        .into_iter()
        .find(|&source| NodeSeries::measure(incident, Signal::Latency, source).values.contains_key(&entry))?;
    let latency = NodeSeries::measure(incident, Signal::Latency, source);
    let near = baseline_then_incident(&latency);
    let mut metrics = of_nodes(latency, Signal::Latency);
    metrics.extend(of_nodes(NodeSeries::measure(incident, Signal::ErrorRatio, source), Signal::ErrorRatio));
    let times_ns: Vec<i64> = near.iter().map(|bin| bin.1).collect();
    let rows = rows(loudest(metrics), &times_ns);
    let &Detected { row } = change_points(&rows).first()?;
    let &(in_incident, at_ns) = near.get(row)?;
    Some(if in_incident { Onset::Later(at_ns) } else { Onset::Before(at_ns) })
}

/// Times of the bins nearest to the incident's begin, those of the baseline first: recorded baselines may be later than
/// the incident, and the way back to normal is no onset.
fn baseline_then_incident(nodes: &NodeSeries) -> Vec<(bool, i64)> {
    let bins = || nodes.in_incident.iter().copied().zip(nodes.times_ns.iter().copied());
    let mut incident: Vec<(bool, i64)> = bins().filter(|bin| bin.0).collect();
    incident.truncate(MAX_INCIDENT_BINS);
    let Some(&(_, begin_ns)) = incident.first() else { return Vec::new() };
    let mut baseline: Vec<(bool, i64)> = bins().filter(|bin| !bin.0).collect();
    baseline.sort_by_key(|bin| (begin_ns.abs_diff(bin.1), bin.1));
    baseline.truncate(MAX_BASELINE_BINS);
    baseline.sort_unstable();
    baseline.extend(incident);
    baseline
}

/// The metrics with the highest robust scores, by name among equals.
fn loudest(metrics: Vec<Column>) -> Vec<Column> {
    let mut scored: Vec<(f64, Column)> = metrics
        .into_iter()
        .map(|metric| {
            let (before, during) = metric.split();
            (robust_score(&before, &during).unwrap_or(f64::NEG_INFINITY), metric)
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.truncate(MAX_METRICS);
    scored.into_iter().map(|(_, metric)| metric).collect()
}

/// One row of values for each time, every metric scaled to 0..1, gaps filled with the value before, as the authors do;
/// constant metrics and such without a value are left out.
fn rows(metrics: Vec<Column>, times_ns: &[i64]) -> Vec<Vec<f64>> {
    let mut rows = vec![Vec::new(); times_ns.len()];
    for metric in metrics {
        let values: BTreeMap<i64, f64> = metric.samples.iter().map(|sample| (sample.at_ns, sample.value)).collect();
        let mut last = times_ns.iter().find_map(|at| values.get(at).copied());
        let filled: Vec<f64> = times_ns
            .iter()
            .filter_map(|at| {
                last = values.get(at).copied().or(last);
                last
            })
            .collect();
        let (low, high) = filled.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        if high > low {
            for (row, value) in rows.iter_mut().zip(filled) {
                row.push((value - low) / (high - low));
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // RobustScaler().fit(np.array([[10.,12.,11.,9.,13.,30.]]).T).transform(np.array([[14.,2.,20.]]).T).max()
        let score = robust_score(&[10.0, 12.0, 11.0, 9.0, 13.0, 30.0], &[14.0, 2.0, 20.0]).unwrap();
        assert!((score - 3.4).abs() < 1e-12, "{score}");
        // RobustScaler().fit(np.array([[5.,5.,5.]]).T).transform(np.array([[7.]]).T)
        assert!((robust_score(&[5.0, 5.0, 5.0], &[7.0]).unwrap() - 2.0).abs() < 1e-12);
    }

    #[test]
    fn rows_are_scaled_and_filled() {
        let sample = |at_ns: i64, value: f64| Sample { at_ns, in_incident: false, value };
        let column = |samples: Vec<Sample>| Column { service: "a".into(), signal: Signal::Latency, samples };
        let metrics = vec![
            column(vec![sample(2, 4.0), sample(4, 8.0), sample(9, 99.0)]),
            column(vec![sample(1, 3.0), sample(2, 3.0)]),
        ];
        assert_eq!(rows(metrics, &[1, 2, 3, 4]), [vec![0.0], vec![0.0], vec![0.0], vec![1.0]]);
    }
}
