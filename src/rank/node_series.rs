//! One measure of every node over time, on a common time axis: what correlation, random walk and traversal look at.
//!
//! Where the entry was seen in traces, all nodes are measured from call statistics; otherwise from metric series.
//! The two are never mixed on one axis: their bins, delays and definitions of latency differ.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::incident::Incident;
use crate::stats::robust::{self, Scale};
use crate::telemetry::alert::Symptom;
use crate::telemetry::calls::CallStats;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Statistic, Subject};
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

/// One measure of every node on one time axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSeries {
    /// Start of each bin, Unix nanoseconds, ascending. Only bins in which any node was measured.
    pub times_ns: Vec<i64>,
    /// Whether the bin belongs to the incident window (otherwise to a baseline); as long as `times_ns`.
    pub in_incident: Vec<bool>,
    /// Values by node, each as long as `times_ns`: seconds, ratio 0 to 1, or requests per second. `None` is a gap.
    pub values: BTreeMap<ServiceId, Vec<Option<f64>>>,
}

/// What users felt, where, and how every node did by the same measure.
#[derive(Clone, Debug, PartialEq)]
pub struct SymptomSeries {
    /// Where users felt it.
    pub entry: ServiceId,
    /// What they felt.
    pub symptom: Symptom,
    /// Latency or error ratio of all nodes, as `symptom` says.
    pub nodes: NodeSeries,
}

/// The least scale of change as a share of the level (algorithms notes, 1.1).
const RELATIVE_FLOOR: f64 = 0.05;
/// The least scale of change: one millisecond, or one request in a thousand (the same notes).
const LATENCY_FLOOR_S: f64 = 1e-3;
const ERROR_RATIO_FLOOR: f64 = 1e-3;

/// Fewest bins, incident and baseline together, that a look at the neighbourhood of the incident keeps.
const MIN_NEAR_BINS: usize = 8;

impl NodeSeries {
    /// Latency, error ratio or requests of all nodes. Other signals give an empty result from calls.
    pub fn measure(incident: &Incident, signal: Signal, source: Source) -> Self {
        let windows = Windows { incident: &incident.window, baselines: &incident.baselines };
        match source {
            Source::Calls => from_calls(&incident.calls, &call_sums(&incident.calls), signal, &windows),
            Source::Series => from_series(&incident.series, signal, &windows),
        }
    }

    /// Values of the node in the baseline and in the incident, without gaps.
    pub fn split(&self, node: &ServiceId) -> (Vec<f64>, Vec<f64>) {
        let mut baseline = Vec::new();
        let mut incident = Vec::new();
        for (value, &in_incident) in self.values.get(node).into_iter().flatten().zip(&self.in_incident) {
            if let Some(value) = *value {
                if in_incident { incident.push(value) } else { baseline.push(value) }
            }
        }
        (baseline, incident)
    }

    /// How many robust scales the node's median in the incident lies from that in the baseline, signed; `None` without
    /// values on both sides. `floor` is the least scale, in the measure's unit; 5 % of the level is the other floor.
    pub fn change(&self, node: &ServiceId, floor: f64) -> Option<f64> {
        let (baseline, incident) = self.split(node);
        let before = robust::median(&baseline)?;
        let during = robust::median(&incident)?;
        Some(robust::robust_z(during, before, Scale::of(&baseline, RELATIVE_FLOOR, floor)))
    }

    /// Indices of the incident's bins and of as many baseline bins (together at least eight), those nearest in time
    /// to the incident, ascending. Without the restriction a long baseline drowns a short incident in a correlation.
    pub fn near_incident(&self) -> Vec<usize> {
        let of = |wanted: bool| (0..self.times_ns.len()).filter(move |&i| self.in_incident[i] == wanted);
        let incident: Vec<usize> = of(true).collect();
        let (Some(&first), Some(&last)) = (incident.first(), incident.last()) else {
            return Vec::new();
        };
        let (start, end) = (self.times_ns[first], self.times_ns[last]);
        let mut baseline: Vec<usize> = of(false).collect();
        baseline.sort_by_key(|&i| {
            let at = self.times_ns[i];
            (if at < start { start.saturating_sub(at) } else { at.saturating_sub(end) }, i)
        });
        baseline.truncate(incident.len().max(MIN_NEAR_BINS.saturating_sub(incident.len())));
        let mut near = incident;
        near.extend(baseline);
        near.sort_unstable();
        near
    }
}

/// From which telemetry a measure is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Call statistics.
    Calls,
    /// Metric series.
    Series,
}

impl SymptomSeries {
    /// The symptom at the incident's entry, or, where the incident names none, at the place where most requests come
    /// in. Without a given symptom, the one of latency and errors that changed more.
    ///
    /// `None` when no entry can be told or nothing was measured there.
    pub fn of(incident: &Incident) -> Option<Self> {
        let entry = entry(incident)?;
        let symptoms: &[Symptom] = match incident.symptom {
            Some(Symptom::Latency) => &[Symptom::Latency],
            Some(Symptom::Errors) => &[Symptom::Errors],
            None => &[Symptom::Latency, Symptom::Errors],
        };
        let windows = Windows { incident: &incident.window, baselines: &incident.baselines };
        let sums = call_sums(&incident.calls);
        let mut best: Option<(f64, Self)> = None;
        for source in [Source::Calls, Source::Series] {
            for &symptom in symptoms {
                let nodes = match source {
                    Source::Calls => from_calls(&incident.calls, &sums, signal(symptom), &windows),
                    Source::Series => from_series(&incident.series, signal(symptom), &windows),
                };
                let Some(change) = nodes.change(&entry, floor(symptom)) else { continue };
                // Users feel a rise; a fall of latency or errors is no symptom, but better than nothing to look at.
                if best.as_ref().is_none_or(|b| change > b.0) {
                    best = Some((change, Self { entry: entry.clone(), symptom, nodes }));
                }
            }
            if best.is_some() {
                break;
            }
        }
        best.map(|b| b.1)
    }

    /// Robust change of a node by the symptom's measure, see [`NodeSeries::change`].
    pub fn change(&self, node: &ServiceId) -> Option<f64> {
        self.nodes.change(node, floor(self.symptom))
    }
}

/// The signal that shows a symptom.
pub fn signal(symptom: Symptom) -> Signal {
    match symptom {
        Symptom::Latency => Signal::Latency,
        Symptom::Errors => Signal::ErrorRatio,
    }
}

fn floor(symptom: Symptom) -> f64 {
    match symptom {
        Symptom::Latency => LATENCY_FLOOR_S,
        Symptom::Errors => ERROR_RATIO_FLOOR,
    }
}

/// Where users felt it: as given, else the service where most requests come in, else the node without callers that
/// reaches most others.
pub fn entry(incident: &Incident) -> Option<ServiceId> {
    if incident.entry.is_some() {
        return incident.entry.clone();
    }
    let calls = &incident.calls;
    let mut requests: BTreeMap<u32, u64> = BTreeMap::new();
    for row in calls.rows.iter().filter(|row| calls.is_request(row)) {
        *requests.entry(row.key.callee).or_default() += row.calls;
    }
    // Nodes are sorted by name, so the smaller index wins ties by name.
    if let Some((&node, _)) = requests.iter().max_by_key(|&(&node, &n)| (n, std::cmp::Reverse(node))) {
        return Some(calls.service(node).clone());
    }
    let graph = &incident.graph;
    graph
        .nodes()
        .iter()
        .filter(|node| graph.callers(&node.id).is_empty() && !graph.callees(&node.id).is_empty())
        .map(|node| (std::cmp::Reverse(graph.reachable_from(&node.id).len()), &node.id))
        .min()
        .map(|(_, id)| id.clone())
}

struct Windows<'a> {
    incident: &'a Window,
    baselines: &'a [Window],
}

impl Windows<'_> {
    /// Whether the instant lies in the incident (`true`) or in a baseline (`false`); `None` for neither.
    fn side(&self, at_ns: i64) -> Option<bool> {
        if self.incident.contains(at_ns) {
            Some(true)
        } else {
            self.baselines.iter().any(|w| w.contains(at_ns)).then_some(false)
        }
    }
}

#[derive(Clone, Copy, Default)]
struct CallSums {
    calls: u64,
    errors: u64,
    duration_ns: u64,
}

/// Sums of calls by callee and bin, sorted.
fn call_sums(calls: &CallStats) -> Vec<((u32, i64), CallSums)> {
    let mut sums: Vec<((u32, i64), CallSums)> = Vec::new();
    let mut known: FxHashMap<(u32, i64), usize> = FxHashMap::default();
    for row in &calls.rows {
        let key = (row.key.callee, row.key.bin);
        let at = *known.entry(key).or_insert(sums.len());
        if at == sums.len() {
            sums.push((key, CallSums::default()));
        }
        let sum = &mut sums[at].1;
        sum.calls += row.calls;
        sum.errors += row.errors;
        sum.duration_ns = sum.duration_ns.saturating_add(row.duration_ns);
    }
    sums.sort_unstable_by_key(|(key, _)| *key);
    sums
}

fn from_calls(calls: &CallStats, sums: &[((u32, i64), CallSums)], signal: Signal, windows: &Windows<'_>) -> NodeSeries {
    let step_ns = calls.grid.step_ns();
    let mut cells = Cells::default();
    for of_node in sums.chunk_by(|a, b| a.0.0 == b.0.0) {
        let values = of_node.iter().filter_map(|((_, bin), sum)| {
            let start_ns = calls.grid.bin_start_ns(*bin);
            // The middle decides for a bin that a window's edge cuts.
            let side = windows.side(start_ns.saturating_add(step_ns / 2))?;
            let n = sum.calls.max(1) as f64;
            let value = match signal {
                Signal::Latency => sum.duration_ns as f64 / n / NANOS_PER_SECOND as f64,
                Signal::ErrorRatio => sum.errors as f64 / n,
                Signal::Requests => sum.calls as f64 * NANOS_PER_SECOND as f64 / step_ns as f64,
                _ => return None,
            };
            Some(((start_ns, side), value))
        });
        cells.add(calls.service(of_node[0].0.0), values);
    }
    cells.finish(signal)
}

fn from_series(series: &[Series], signal: Signal, windows: &Windows<'_>) -> NodeSeries {
    // The best kind of series for each node, and all series of that kind.
    let mut chosen: BTreeMap<&ServiceId, (Preference, Vec<&Series>)> = BTreeMap::new();
    for one in series.iter().filter(|s| s.signal == signal) {
        let Some(preference) = preference(one) else { continue };
        let (best, list) = chosen.entry(one.subject.service()).or_insert((preference, Vec::new()));
        if preference < *best {
            *best = preference;
            list.clear();
        }
        if preference == *best {
            list.push(one);
        }
    }
    let step_ns = sampling_step_ns(chosen.values().flat_map(|c| &c.1));
    let mut cells = Cells::default();
    for (node, (_, list)) in &chosen {
        let samples = list.iter().flat_map(|one| &one.samples);
        let values = samples.filter_map(|&(at_ns, value)| {
            let side = windows.side(at_ns)?;
            Some(((at_ns.div_euclid(step_ns).saturating_mul(step_ns), side), value))
        });
        cells.add(node, values);
    }
    cells.finish(signal)
}

/// (directness of the subject, statistic: mean first, then lower quantiles, quantile in thousandths).
type Preference = (u8, u8, u16);

/// How well a series stands for its node, smaller is better; `None` when it does not.
fn preference(series: &Series) -> Option<Preference> {
    let subject = match series.subject {
        Subject::Service(_) => 0,
        Subject::Instance { .. } | Subject::Version { .. } => 1,
        Subject::Operation { .. } => 2,
        Subject::Edge { .. } => 3,
    };
    match series.statistic {
        Statistic::Mean | Statistic::Sum => Some((subject, 0, 0)),
        // Low quantiles are steadier than high ones; both follow a shift.
        Statistic::Quantile(q) => Some((subject, 1, (q.clamp(0.0, 1.0) * 1000.0).round() as u16)),
        // A counter's value says nothing before it is turned into a rate.
        Statistic::Counter => None,
    }
}

/// The usual distance of neighbouring samples: the lower quartile, since gaps only lengthen it, in whole seconds.
fn sampling_step_ns<'a, 'b: 'a>(series: impl Iterator<Item = &'a &'b Series>) -> i64 {
    let mut steps: Vec<i64> =
        series.flat_map(|s| s.samples.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0))).collect();
    if steps.is_empty() {
        return NANOS_PER_SECOND;
    }
    let quartile = steps.len() / 4;
    let step_ns = *steps.select_nth_unstable(quartile).1;
    (step_ns.saturating_add(NANOS_PER_SECOND / 2) / NANOS_PER_SECOND).max(1) * NANOS_PER_SECOND
}

/// Start of a bin, and whether the incident's part of it is meant.
type Place = (i64, bool);

/// Values on their way to a common axis, by node.
#[derive(Default)]
struct Cells(Vec<(ServiceId, Vec<(Place, f64)>)>);

impl Cells {
    /// Adds all values of a node.
    fn add(&mut self, node: &ServiceId, values: impl Iterator<Item = (Place, f64)>) {
        let mut values: Vec<(Place, f64)> = values.collect();
        // Values of one place stay in the order in which they are added up.
        values.sort_by_key(|(place, _)| *place);
        if !values.is_empty() {
            self.0.push((node.clone(), values));
        }
    }

    /// Several values of one cell are added up for requests and averaged otherwise.
    fn finish(self, signal: Signal) -> NodeSeries {
        let mut axis: Vec<Place> = self.0.iter().flat_map(|(_, values)| values.iter().map(|value| value.0)).collect();
        axis.sort_unstable();
        axis.dedup();
        let on_axis = |values: Vec<(Place, f64)>| {
            let mut cells = values.chunk_by(|a, b| a.0 == b.0).peekable();
            let row = axis.iter().map(|place| {
                let cell = cells.next_if(|cell| cell[0].0 == *place)?;
                let sum = cell.iter().fold(0.0, |sum, value| sum + value.1);
                Some(if signal == Signal::Requests { sum } else { sum / cell.len() as f64 })
            });
            row.collect()
        };
        NodeSeries {
            values: self.0.into_iter().map(|(node, values)| (node, on_axis(values))).collect(),
            times_ns: axis.iter().map(|a| a.0).collect(),
            in_incident: axis.iter().map(|a| a.1).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::calls::{CallKey, CallNode, CallRow, Entry};
    use crate::telemetry::series::Unit;

    use crate::telemetry::time::Grid;
    use crate::telemetry::topology::{EdgeMode, NodeKind};

    const S: i64 = NANOS_PER_SECOND;

    fn windows<'a>(incident: &'a Window, baselines: &'a [Window]) -> Windows<'a> {
        Windows { incident, baselines }
    }

    fn series(subject: Subject, statistic: Statistic, samples: &[(i64, f64)]) -> Series {
        Series {
            subject,
            signal: Signal::Latency,
            statistic,
            unit: Unit::Seconds,
            name: "latency".to_owned(),
            samples: samples.iter().map(|&(t, v)| (t * S, v)).collect(),
        }
    }

    #[test]
    fn series_share_one_axis_and_keep_their_gaps() {
        let all = [
            series(Subject::Service("a".into()), Statistic::Quantile(0.9), &[(0, 9.0), (60, 9.0)]),
            series(Subject::Service("a".into()), Statistic::Mean, &[(0, 1.0), (60, 2.0), (180, 4.0)]),
            series(
                Subject::Instance { service: "b".into(), instance: "b-1".into() },
                Statistic::Mean,
                &[(1, 1.0), (121, 5.0), (400, 7.0)],
            ),
            series(
                Subject::Instance { service: "b".into(), instance: "b-2".into() },
                Statistic::Mean,
                &[(2, 3.0), (61, 5.0)],
            ),
        ];
        let incident = Window::new(120 * S, 240 * S).unwrap();
        let baselines = [Window::new(0, 120 * S).unwrap()];
        let got = from_series(&all, Signal::Latency, &windows(&incident, &baselines));
        assert_eq!(got.times_ns, [0, 60 * S, 120 * S, 180 * S]);
        assert_eq!(got.in_incident, [false, false, true, true]);
        assert_eq!(got.values[&"a".into()], [Some(1.0), Some(2.0), None, Some(4.0)], "the mean, not the p90");
        assert_eq!(got.values[&"b".into()], [Some(2.0), Some(5.0), Some(5.0), None], "instances averaged");
        assert_eq!(got.split(&"a".into()), (vec![1.0, 2.0], vec![4.0]));
    }

    #[test]
    fn calls_give_latency_errors_and_requests_per_bin() {
        let mut calls = CallStats::empty(Grid::new(10 * S));
        calls.nodes = ["a", "b"].map(|n| CallNode { id: n.into(), kind: NodeKind::Service }).to_vec();
        calls.operations = vec!["get".to_owned()];
        calls.entries = vec![Entry { service: 0, operation: 0 }];
        let row = |caller, callee, bin, n: u64, errors, duration_s: u64| CallRow {
            calls: n,
            observed: n,
            weight_squares: n,
            error_weight_squares: errors,
            errors,
            duration_ns: duration_s * S as u64,
            ..CallRow::empty(CallKey { caller, callee, operation: 0, mode: EdgeMode::Sync, entry: 0, bin })
        };
        calls.rows = vec![
            row(None, 0, 0, 10, 1, 20),
            row(None, 0, 1, 5, 5, 20),
            row(Some(0), 1, 1, 4, 0, 2),
            row(None, 0, 9, 1, 0, 1),
        ];
        let incident = Window::new(10 * S, 20 * S).unwrap();
        let baselines = [Window::new(0, 10 * S).unwrap()];
        let measure = |signal| from_calls(&calls, &call_sums(&calls), signal, &windows(&incident, &baselines));
        assert_eq!(measure(Signal::Latency).values[&"a".into()], [Some(2.0), Some(4.0)]);
        assert_eq!(measure(Signal::ErrorRatio).values[&"a".into()], [Some(0.1), Some(1.0)]);
        assert_eq!(measure(Signal::Requests).values[&"b".into()], [None, Some(0.4)]);
    }

    #[test]
    fn the_neighbourhood_of_the_incident_is_balanced() {
        let times: Vec<i64> = (0..30).collect();
        let in_incident = times.iter().map(|t| (20..25).contains(t)).collect();
        let nodes = NodeSeries { times_ns: times, in_incident, values: BTreeMap::new() };
        assert_eq!(nodes.near_incident(), [17, 18, 19, 20, 21, 22, 23, 24, 25, 26]);
        assert!(NodeSeries::default().near_incident().is_empty());
    }
}
