//! Every measured quantity of every service as one column of samples: what the methods without a graph look at.

use std::collections::BTreeMap;

use crate::incident::Incident;
use crate::rank::node_series::{NodeSeries, Source};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Statistic};

/// One value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Unix nanoseconds.
    pub(super) at_ns: i64,
    /// Whether it lies in the incident window (otherwise in a baseline).
    pub(super) in_incident: bool,
    /// The value; error ratios in percent, as the published methods are run on availabilities in percent: where the
    /// baseline is constant they fall back to raw units, so the unit decides.
    pub(super) value: f64,
}

/// One quantity of one service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    /// Whose; for a quantity of a call edge, the callee.
    pub(super) service: ServiceId,
    /// What.
    pub(super) signal: Signal,
    /// In order of time.
    pub(super) samples: Vec<Sample>,
}

/// Fewest baseline values of a column: a spread needs two.
const MIN_BASELINE: usize = 2;

impl Column {
    /// Values before the incident and in it.
    pub(super) fn split(&self) -> (Vec<f64>, Vec<f64>) {
        self.split_by(|sample| sample.in_incident)
    }

    /// Values for which `after` is false, and those for which it is true.
    pub(super) fn split_by(&self, after: impl Fn(&Sample) -> bool) -> (Vec<f64>, Vec<f64>) {
        let (after, before): (Vec<&Sample>, Vec<&Sample>) = self.samples.iter().partition(|sample| after(sample));
        let values = |samples: Vec<&Sample>| samples.into_iter().map(|sample| sample.value).collect();
        (values(before), values(after))
    }
}

/// All columns with at least two baseline values and one of the incident: metric series, and latency, error ratio and
/// requests of each service from calls. A counter that was not turned into a rate says nothing and is left out.
pub(super) fn columns(incident: &Incident) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for series in incident.series.iter().filter(|series| series.statistic != Statistic::Counter) {
        let samples = series.samples.iter().filter_map(|&(at_ns, value)| {
            let in_incident = incident.window.contains(at_ns);
            let known = in_incident || incident.baselines.iter().any(|window| window.contains(at_ns));
            known.then(|| Sample { at_ns, in_incident, value: value * unit(series.signal) })
        });
        columns.push(Column {
            service: series.subject.service().clone(),
            signal: series.signal,
            samples: samples.collect(),
        });
    }
    for signal in [Signal::Latency, Signal::ErrorRatio, Signal::Requests] {
        columns.extend(of_nodes(NodeSeries::measure(incident, signal, Source::Calls), signal));
    }
    columns.retain(|column| {
        let n_incident = column.samples.iter().filter(|sample| sample.in_incident).count();
        n_incident > 0 && column.samples.len() - n_incident >= MIN_BASELINE
    });
    columns
}

/// The measure of each node as a column.
pub(super) fn of_nodes(nodes: NodeSeries, signal: Signal) -> Vec<Column> {
    let NodeSeries { times_ns, in_incident, values } = nodes;
    let column = |(service, row): (ServiceId, Vec<Option<f64>>)| {
        let samples =
            row.iter().zip(times_ns.iter().zip(&in_incident)).filter_map(|(value, (&at_ns, &in_incident))| {
                value.map(|value| Sample { at_ns, in_incident, value: value * unit(signal) })
            });
        Column { samples: samples.collect(), service, signal }
    };
    values.into_iter().map(column).collect()
}

/// Factor from our unit to that of the published methods' data.
pub(super) fn unit(signal: Signal) -> f64 {
    if signal == Signal::ErrorRatio { 100.0 } else { 1.0 }
}

/// The largest score of any column of each service.
pub(super) fn best_of(columns: &[Column], score: impl Fn(&Column) -> Option<f64>) -> BTreeMap<ServiceId, f64> {
    let mut best: BTreeMap<ServiceId, f64> = BTreeMap::new();
    for column in columns {
        let Some(score) = score(column).filter(|score| score.is_finite()) else { continue };
        let known = best.entry(column.service.clone()).or_insert(score);
        *known = known.max(score);
    }
    best
}

/// Mean and standard deviation of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moments {
    /// Arithmetic mean.
    pub(super) mean: f64,
    /// Population standard deviation.
    pub(super) deviation: f64,
}

/// A spread below this share of the level is rounding.
const ROUNDING: f64 = 1e-12;

impl Moments {
    /// `None` without values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n)?;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        Some(Self { mean, deviation: variance.sqrt() })
    }

    /// Whether the values are all the same, as far as rounding lets tell.
    pub(super) fn is_constant(self) -> bool {
        self.deviation <= self.mean.abs() * ROUNDING
    }

    /// Signed distance from the mean in standard deviations; in raw units when the sample is constant, as
    /// scikit-learn's `StandardScaler` has it.
    pub(super) fn z(self, value: f64) -> f64 {
        let scale = if self.is_constant() { 1.0 } else { self.deviation };
        (value - self.mean) / scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_values_are_those_of_scikit_learn() {
        // StandardScaler().fit([[1],[2],[4],[3]]).transform([[7],[-1]])[:, 0]
        let moments = Moments::of(&[1.0, 2.0, 4.0, 3.0]).unwrap();
        assert!((moments.z(7.0) - 4.024_922_359_499_621).abs() < 1e-12);
        assert!((moments.z(-1.0) + 3.130_495_168_499_705_6).abs() < 1e-12);
        // StandardScaler().fit([[5],[5]]).transform([[7]])
        assert!((Moments::of(&[5.0, 5.0]).unwrap().z(7.0) - 2.0).abs() < 1e-12);
        assert_eq!(Moments::of(&[]), None);
    }

    #[test]
    fn columns_are_split_by_window_or_by_time() {
        let sample = |at_ns: i64, in_incident: bool| Sample { at_ns, in_incident, value: at_ns as f64 };
        let column = Column {
            service: "a".into(),
            signal: Signal::Cpu,
            samples: vec![sample(1, false), sample(2, false), sample(3, true)],
        };
        assert_eq!(column.split(), (vec![1.0, 2.0], vec![3.0]));
        assert_eq!(column.split_by(|sample| sample.at_ns >= 2), (vec![1.0], vec![2.0, 3.0]));
        assert_eq!(best_of(&[column], |c| Some(c.split().1[0])), BTreeMap::from([("a".into(), 3.0)]));
    }
}
