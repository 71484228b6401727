//! Requests of one entry that began in one time bin: what stands for a trace where calls are counted and not kept.

use std::collections::BTreeMap;

use crate::incident::Incident;
use crate::telemetry::time::NANOS_PER_SECOND;

/// A caller (none for the request itself) and a callee, indices into the nodes of the call statistics.
pub(super) type Pair = (Option<u32>, u32);

/// Calls between two nodes within a group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Calls {
    /// Number of calls.
    pub(super) calls: u64,
    /// Of these, failed ones.
    pub(super) errors: u64,
    /// Sum of durations, nanoseconds.
    pub(super) duration_ns: u64,
    /// Sum of the callee's own time, nanoseconds.
    pub(super) self_ns: u64,
}

impl Calls {
    pub(super) fn add(&mut self, other: Calls) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.duration_ns = self.duration_ns.saturating_add(other.duration_ns);
        self.self_ns = self.self_ns.saturating_add(other.self_ns);
    }

    /// Mean duration of a call, seconds.
    pub(super) fn mean_s(&self) -> f64 {
        self.duration_ns as f64 / self.calls.max(1) as f64 / NANOS_PER_SECOND as f64
    }

    /// Failed over all calls, 0 to 1.
    pub(super) fn error_ratio(&self) -> f64 {
        self.errors as f64 / self.calls.max(1) as f64
    }
}

/// Requests of one entry in one bin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    /// Whether they began in the incident.
    pub(super) in_incident: bool,
    /// The requests themselves.
    pub(super) requests: Calls,
    /// All calls that they caused, themselves included.
    pub(super) calls: BTreeMap<Pair, Calls>,
}

impl Group {
    /// Calls received by each node and its own time in them.
    pub(super) fn nodes(&self) -> BTreeMap<u32, Calls> {
        let mut nodes: BTreeMap<u32, Calls> = BTreeMap::new();
        for (&(_, callee), &calls) in &self.calls {
            nodes.entry(callee).or_default().add(calls);
        }
        nodes
    }
}

/// All groups with at least one request in the incident or a baseline, by entry and time.
pub(super) fn groups(incident: &Incident) -> Vec<Group> {
    let statistics = &incident.calls;
    let mut groups: BTreeMap<(u32, i64), Group> = BTreeMap::new();
    for row in &statistics.rows {
        // The middle decides for a bin that a window's edge cuts.
        let middle_ns = statistics.grid.bin_start_ns(row.key.bin).saturating_add(statistics.grid.step_ns() / 2);
        let in_incident = incident.window.contains(middle_ns);
        if !in_incident && !incident.baselines.iter().any(|window| window.contains(middle_ns)) {
            continue;
        }
        let group = groups.entry((row.key.entry, row.key.bin)).or_default();
        group.in_incident = in_incident;
        let calls = Calls { calls: row.calls, errors: row.errors, duration_ns: row.duration_ns, self_ns: row.self_ns };
        if statistics.is_request(row) {
            group.requests.add(calls);
        }
        group.calls.entry((row.key.caller, row.key.callee)).or_default().add(calls);
    }
    groups.into_values().filter(|group| group.requests.calls > 0).collect()
}
