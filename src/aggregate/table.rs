//! From ranks back to names: the finished call statistics.

use std::collections::BTreeMap;

use super::local::{Key, Line, Row, Total};
use super::names::{NONE, Names};
use super::ways::Way;
use crate::telemetry::calls::{CallKey, CallNode, CallRow, CallStats, Entry, InstanceRow, SpanCoverage, WayRow};
use crate::telemetry::clock::ClockSkew;
use crate::telemetry::id::ServiceId;
use crate::telemetry::span::PeerKind;
use crate::telemetry::time::Grid;
use crate::telemetry::topology::NodeKind;

/// Names the rows and keeps only the names in use. Ranks are in the order of names, so sorted rows stay sorted.
pub(super) fn call_stats(
    total: Total,
    ways: &BTreeMap<(Way, i64), u64>,
    names: &Names,
    instrumented: &[bool],
    grid: &Grid,
    coverage: SpanCoverage,
    clocks: Vec<ClockSkew>,
) -> CallStats {
    let keys = || total.rows.iter().map(|row| &row.key.line);
    let nodes = Renumbering::new(names.nodes.len(), keys().flat_map(nodes_of));
    let operations = Renumbering::new(names.operations.len(), keys().flat_map(|k| [k.operation, k.entry.1]));
    let mut entries: Vec<Entry> = keys()
        .map(|k| k.entry)
        .map(|(service, operation)| Entry {
            service: nodes.new_of[service as usize],
            operation: operations.new_of[operation as usize],
        })
        .collect();
    entries.sort_unstable();
    entries.dedup();

    let kinds = kinds(names, instrumented);
    let node = |&old: &u32| CallNode { id: names.nodes[old as usize].clone(), kind: kinds[old as usize] };
    let table_nodes = nodes.old_of.iter().map(node).collect();
    let table_operations = operations.old_of.iter().map(|&old| names.operations[old as usize].clone()).collect();
    let instances = total.instances.iter().map(|(&(instance, bin), (sums, observed))| {
        let name = &names.instances[instance as usize];
        InstanceRow {
            service: nodes.new_of[name.node as usize],
            instance: name.instance.clone(),
            version: name.version.clone(),
            bin,
            calls: sums.calls,
            observed: observed.calls,
            weight_squares: observed.weight_squares,
            error_weight_squares: observed.error_weight_squares,
            errors: sums.errors,
            origin_errors: sums.origin_errors,
            duration_ns: sums.duration_ns,
            self_ns: sums.self_ns,
        }
    });
    let instances = instances.collect();

    // Ranks keep their order, so these stay sorted too.
    let ways = ways.iter().map(|(&(way, bin), &requests)| WayRow {
        caller: nodes.new_of[way.caller as usize],
        operation: operations.new_of[way.operation as usize],
        callee: nodes.new_of[way.callee as usize],
        bin,
        requests,
    });
    let ways = ways.collect();

    let rows = total.rows.into_iter();
    let rows = rows.map(|row| call_row(renumbered(&row.key, &nodes, &operations, &entries), row));
    let rows = rows.collect();
    let in_use = |(alias, node): &(ServiceId, u32)| {
        let node = nodes.new_of[*node as usize];
        (node != NONE).then(|| (alias.clone(), node))
    };
    let aliases = names.aliases.iter().filter_map(in_use).collect();
    CallStats {
        grid: *grid,
        nodes: table_nodes,
        operations: table_operations,
        entries,
        rows,
        instances,
        ways,
        coverage,
        clocks,
        aliases,
    }
}

fn call_row(key: CallKey, row: Row) -> CallRow {
    let sums = row.sums;
    let [slowest, failed, typical] = row.exemplars.named(&sums);
    let [durations, self_times, gaps] = row.sketches;
    CallRow {
        key,
        calls: sums.calls,
        observed: row.observed.calls,
        weight_squares: row.observed.weight_squares,
        error_weight_squares: row.observed.error_weight_squares,
        errors: sums.errors,
        caller_errors: sums.caller_errors,
        origin_errors: sums.origin_errors,
        edge_errors: sums.edge_errors,
        timeouts: sums.timeouts,
        retries: sums.retries,
        hedges: sums.hedges,
        last_calls: sums.last_calls,
        duration_ns: sums.duration_ns,
        self_ns: sums.self_ns,
        part_ns: sums.part_ns,
        part_gap_ns: sums.part_gap_ns,
        paired_calls: sums.paired_calls,
        gap_ns: sums.gap_ns,
        durations,
        self_times,
        gaps,
        slowest,
        failed,
        typical,
    }
}

/// The ranks in use, and for each rank its position among them.
struct Renumbering {
    old_of: Vec<u32>,
    new_of: Vec<u32>,
}

impl Renumbering {
    fn new(count: usize, used: impl Iterator<Item = u32>) -> Self {
        let mut new_of = vec![NONE; count];
        used.for_each(|old| new_of[old as usize] = 0);
        let old_of: Vec<u32> = (0..count as u32).filter(|&old| new_of[old as usize] == 0).collect();
        for (new, &old) in old_of.iter().enumerate() {
            new_of[old as usize] = new as u32;
        }
        Self { old_of, new_of }
    }
}

/// The nodes of a key. An entry's service is some row's callee.
fn nodes_of(line: &Line) -> impl Iterator<Item = u32> + use<> {
    line.caller.checked_sub(1).into_iter().chain([line.callee, line.entry.0])
}

fn renumbered(key: &Key, nodes: &Renumbering, operations: &Renumbering, entries: &[Entry]) -> CallKey {
    let line = &key.line;
    let (service, operation) = line.entry;
    let entry = Entry { service: nodes.new_of[service as usize], operation: operations.new_of[operation as usize] };
    CallKey {
        caller: line.caller.checked_sub(1).map(|old| nodes.new_of[old as usize]),
        callee: nodes.new_of[line.callee as usize],
        operation: operations.new_of[line.operation as usize],
        mode: line.mode,
        entry: entries.binary_search(&entry).expect("the list holds the entry of every row") as u32,
        bin: key.bin,
    }
}

/// What each node is: a service when it has spans of its own, else what its callers say; of several words the first in
/// the order of [`NodeKind`].
fn kinds(names: &Names, instrumented: &[bool]) -> Vec<NodeKind> {
    let mut kinds = vec![NodeKind::External; names.nodes.len()];
    for peer in &names.peers {
        let kind = match peer.kind {
            PeerKind::Database => NodeKind::Database,
            PeerKind::Queue => NodeKind::Queue,
            PeerKind::Service | PeerKind::External => NodeKind::External,
        };
        let known = &mut kinds[peer.node as usize];
        *known = kind.min(*known);
    }
    for (kind, _) in kinds.iter_mut().zip(instrumented).filter(|(_, instrumented)| **instrumented) {
        *kind = NodeKind::Service;
    }
    kinds
}
