//! Which message of a service comes after which in the same trace: what is left of a program's flow in its logs.
//!
//! The order of events in a trace is what Nezha compares (Yu et al., ESEC/FSE 2023,
//! <https://doi.org/10.1145/3611643.3616249>). Here it is of one service by itself, so that a message after which the
//! program goes another way than before is told from one that comes more often because other requests come.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::telemetry::logs::{LogTable, LogTransition, Severity, WHOLE_TRACE};
use crate::telemetry::time::Grid;

/// A message as counted: rank of its template, and its severity.
type State = (u32, Severity);
/// Service, state, next state, bin.
type Key = (u32, State, Option<State>, i64);

/// Counts transitions on the grid. `place` gives the ranks of service and template of a record.
///
/// A trace counts once for each message that it holds, in the bin of its first: what follows it is split among the ways
/// that were taken. A request that loops a hundred times is one witness, not a hundred. Records that are equal in all but
/// their number (collected twice) are one.
pub(super) fn transitions(logs: &LogTable, grid: &Grid, place: impl Fn(usize) -> (u32, u32)) -> Vec<LogTransition> {
    let mut records: Vec<(u128, u32, i64, State)> = (0..logs.len())
        .filter(|&record| logs.trace[record] != 0)
        .map(|record| {
            let (service, template) = place(record);
            (logs.trace[record], service, logs.at_ns[record], (template, logs.severity[record]))
        })
        .collect();
    records.par_sort_unstable();
    records.dedup();
    let mut sums: BTreeMap<Key, u64> = BTreeMap::new();
    for of_trace in records.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        add_trace(of_trace, grid, &mut sums);
    }
    sums.into_iter()
        .map(|((service, from, to, bin), millionths)| LogTransition { service, from, to, bin, millionths })
        .collect()
}

/// Adds the records of one service in one trace, in order of time.
fn add_trace(records: &[(u128, u32, i64, State)], grid: &Grid, sums: &mut BTreeMap<Key, u64>) {
    let mut followers: BTreeMap<State, (i64, BTreeMap<Option<State>, u64>)> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let next = records.get(at + 1).map(|next| next.3);
        let first = grid.bin(record.2);
        *followers.entry(record.3).or_insert_with(|| (first, BTreeMap::new())).1.entry(next).or_default() += 1;
    }
    let service = records[0].1;
    for (from, (bin, next)) in followers {
        let total: u64 = next.values().sum();
        for (to, count) in next {
            *sums.entry((service, from, to, bin)).or_default() += count * WHOLE_TRACE / total;
        }
    }
}
