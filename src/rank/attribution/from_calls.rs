//! The exact split, from call statistics: time on the critical path and errors that begin here, per entering request.

use std::collections::{BTreeMap, BTreeSet};

use super::{Account, Contribution, part_floor, passes_gate, spread};
use crate::incident::Incident;
use crate::rank::{Suspect, SymptomChange};
use crate::telemetry::alert::Symptom;
use crate::telemetry::calls::{CallRow, CallStats};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

/// Entering requests that an entry must have in both windows to be compared.
const MIN_REQUESTS: f64 = 5.0;

/// Costs of one suspect: by entry operation in total for both windows, and by bin of the baseline for the noise.
#[derive(Default)]
struct Costs {
    baseline: BTreeMap<u32, f64>,
    incident: BTreeMap<u32, f64>,
    bins: BTreeMap<i64, f64>,
}

impl Costs {
    fn add(&mut self, phase: Phase, entry: u32, bin: i64, cost: f64) {
        match phase {
            Phase::Baseline => {
                *self.baseline.entry(entry).or_default() += cost;
                *self.bins.entry(bin).or_default() += cost;
            }
            Phase::Incident => *self.incident.entry(entry).or_default() += cost,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Baseline,
    Incident,
}

/// Splits the symptom of requests that enter at `entry`, or anywhere for `None`.
pub(super) fn account(incident: &Incident, entry: Option<&ServiceId>, symptom: Symptom) -> Option<Account> {
    let calls = &incident.calls;
    let entries = matching_entries(calls, entry);
    let mut requests = Costs::default();
    let mut whole = Costs::default();
    let mut parts: BTreeMap<Suspect, Costs> = BTreeMap::new();
    for row in &calls.rows {
        let Some(phase) = phase(incident, row) else { continue };
        if !entries.contains(&row.key.entry) {
            continue;
        }
        let (entry, bin) = (row.key.entry, row.key.bin);
        if row.key.caller.is_none() {
            requests.add(phase, entry, bin, row.calls as f64);
            whole.add(phase, entry, bin, whole_cost(row, symptom));
        }
        for (suspect, cost) in part_costs(calls, row, symptom) {
            parts.entry(suspect).or_default().add(phase, entry, bin, cost);
        }
    }
    let mix = Mix::new(&requests)?;
    if symptom == Symptom::Errors && whole.baseline.values().chain(whole.incident.values()).sum::<f64>() <= 0.0 {
        return None; // no span carries a status: let series speak
    }
    let baseline = mix.mean(&whole.baseline, &requests.baseline);
    let during = mix.mean(&whole.incident, &requests.incident);
    let z = (during - baseline) / spread(&per_request(&whole, &requests), super::floor(symptom));
    let contributions = parts
        .into_iter()
        .map(|(suspect, costs)| {
            let baseline = mix.mean(&costs.baseline, &requests.baseline);
            let incident = mix.mean(&costs.incident, &requests.incident);
            let scale = spread(&per_request(&costs, &requests), part_floor(symptom));
            Contribution { suspect, baseline, incident, z: (incident - baseline) / scale }
        })
        .collect();
    let name = entry.cloned().or_else(|| busiest_entry(calls, &requests))?;
    let significant = passes_gate(symptom, z, baseline, during);
    Some(Account {
        change: SymptomChange { entry: name, symptom, baseline, incident: during, significant },
        z,
        contributions,
    })
}

fn matching_entries(calls: &CallStats, entry: Option<&ServiceId>) -> BTreeSet<u32> {
    (0_u32..)
        .zip(&calls.entries)
        .filter(|(_, e)| entry.is_none_or(|name| calls.service(e.service) == name))
        .map(|(index, _)| index)
        .collect()
}

fn busiest_entry(calls: &CallStats, requests: &Costs) -> Option<ServiceId> {
    let mut by_service: BTreeMap<&ServiceId, f64> = BTreeMap::new();
    for (entry, n) in &requests.incident {
        *by_service.entry(calls.service(calls.entries[*entry as usize].service)).or_default() += n;
    }
    by_service.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.cmp(a.0))).map(|(name, _)| name.clone())
}

/// A bin belongs to a window when it lies fully inside.
fn phase(incident: &Incident, row: &CallRow) -> Option<Phase> {
    let grid = &incident.calls.grid;
    let start_ns = grid.bin_start_ns(row.key.bin);
    let last_ns = start_ns.saturating_add(grid.step_ns() - 1);
    let inside = |window: &Window| window.contains(start_ns) && window.contains(last_ns);
    if inside(&incident.window) {
        Some(Phase::Incident)
    } else {
        incident.baselines.iter().any(inside).then_some(Phase::Baseline)
    }
}

/// What the symptom at the entry adds up, seconds or failures.
fn whole_cost(row: &CallRow, symptom: Symptom) -> f64 {
    match symptom {
        Symptom::Latency => row.duration_ns as f64 / NANOS_PER_SECOND as f64,
        Symptom::Errors => row.errors as f64,
    }
}

/// What begins in the callee, and what begins on the edge to it.
fn part_costs(calls: &CallStats, row: &CallRow, symptom: Symptom) -> Vec<(Suspect, f64)> {
    let callee = calls.service(row.key.callee).clone();
    let (own, edge) = match symptom {
        Symptom::Latency => {
            (row.critical_ns as f64 / NANOS_PER_SECOND as f64, row.critical_gap_ns as f64 / NANOS_PER_SECOND as f64)
        }
        Symptom::Errors => (row.origin_errors as f64, row.edge_errors as f64),
    };
    let mut costs = vec![(Suspect::Service(callee.clone()), own)];
    if let Some(caller) = row.key.caller {
        costs.push((Suspect::Edge { caller: calls.service(caller).clone(), callee }, edge));
    }
    costs
}

/// Weights of the entry operations: those of the incident, so that a changed mix of requests is no change of cost.
struct Mix(BTreeMap<u32, f64>);

impl Mix {
    fn new(requests: &Costs) -> Option<Self> {
        let comparable: BTreeMap<u32, f64> = requests
            .incident
            .iter()
            .filter(|(entry, n)| {
                **n >= MIN_REQUESTS && requests.baseline.get(entry).is_some_and(|before| *before >= MIN_REQUESTS)
            })
            .map(|(entry, n)| (*entry, *n))
            .collect();
        let total: f64 = comparable.values().sum();
        (total > 0.0).then(|| Self(comparable.into_iter().map(|(entry, n)| (entry, n / total)).collect()))
    }

    /// Mean cost per request, over entry operations in the incident's mix.
    fn mean(&self, costs: &BTreeMap<u32, f64>, requests: &BTreeMap<u32, f64>) -> f64 {
        self.0
            .iter()
            .map(|(entry, weight)| {
                let n = requests.get(entry).copied().unwrap_or(0.0).max(1.0);
                weight * costs.get(entry).copied().unwrap_or(0.0) / n
            })
            .sum()
    }
}

/// Cost per request in each bin of the baseline that has requests.
fn per_request(costs: &Costs, requests: &Costs) -> Vec<f64> {
    requests
        .bins
        .iter()
        .filter(|(_, n)| **n > 0.0)
        .map(|(bin, n)| costs.bins.get(bin).copied().unwrap_or(0.0) / n)
        .collect()
}
