//! Whom the requests of each operation call: the ways that they go.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::calls::TraceCalls;
use super::forest::Forest;
use super::names::NONE;
use super::timetable::Timetable;
use crate::telemetry::time::Grid;

/// A caller, its operation and its callee, in ranks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) caller: u32,
    pub(super) operation: u32,
    pub(super) callee: u32,
}

/// What one thread has added up so far.
#[derive(Default)]
pub(super) struct Ways {
    lines: FxHashMap<Way, u32>,
    row_of: Timetable,
    rows: Vec<(Way, i64, u64)>,
    /// Of the trace at hand, for each call the head in whose work it was made, above the callee.
    found: Vec<u64>,
}

impl Ways {
    /// Adds the requests of one trace; one that calls the same callee several times counts once.
    pub(super) fn add_trace(&mut self, forest: &Forest, trace: &TraceCalls, grid: &Grid) {
        self.found.clear();
        let made = trace.calls.iter().filter(|call| call.from != NONE);
        self.found.extend(made.map(|call| u64::from(trace.home(call.from)) << 32 | u64::from(call.callee)));
        self.found.sort_unstable();
        self.found.dedup();
        for &found in &self.found {
            let head = &forest.spans[(found >> 32) as usize];
            let way = Way { caller: head.service, operation: head.operation, callee: found as u32 };
            let next_line = self.lines.len() as u32;
            let line = *self.lines.entry(way).or_insert(next_line);
            let bin = grid.bin(head.start_ns);
            let row = self.row_of.row(line, bin);
            if *row == NONE {
                *row = self.rows.len() as u32;
                self.rows.push((way, bin, 0));
            }
            self.rows[*row as usize].2 += head.weight.value();
        }
    }
}

/// Joins what the threads added up.
pub(super) fn total(parts: impl Iterator<Item = Ways>) -> BTreeMap<(Way, i64), u64> {
    let mut total = BTreeMap::new();
    for (way, bin, requests) in parts.flat_map(|part| part.rows) {
        *total.entry((way, bin)).or_default() += requests;
    }
    total
}
