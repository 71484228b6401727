//! Brings a trace's spans together: rows are copied, packed to a cache line each, into partitions by a hash of the trace.

use std::ops::Range;

use rayon::prelude::*;

use super::names::{NONE, Names};
use super::weight::Weight;
use crate::telemetry::id::TraceId;
use crate::telemetry::span::{Marks, NO_PEER, SpanKind, SpanStatus, SpanTable};

/// Rows in a partition, about: half a megabyte, so that it fits in a core's own cache.
const ROWS_PER_PARTITION: usize = 8192;
/// At most so many partitions at once: more would scatter writes over more lines than a cache holds.
const PARTITIONS_PER_WAVE: usize = 256;

/// One row of the span table with names as ranks: 64 bytes.
#[derive(Clone, Copy)]
pub(super) struct Packed {
    /// High and low half; as one number it would be padded.
    trace: [u64; 2],
    pub(super) id: u64,
    pub(super) parent: u64,
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
    pub(super) instance: u32,
    pub(super) operation: u32,
    pub(super) peer: u32,
    pub(super) kind: SpanKind,
    pub(super) outcome: Outcome,
    pub(super) weight: Weight,
}

/// Status and marks of a span in one byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome(u8);

impl Outcome {
    fn new(status: SpanStatus, marks: Marks) -> Self {
        let status = match status {
            SpanStatus::Unset => 0,
            SpanStatus::Ok => 1,
            SpanStatus::Error => 2,
        };
        Self(status | marks.0 << 2)
    }

    pub(super) fn status(self) -> SpanStatus {
        match self.0 & 3 {
            0 => SpanStatus::Unset,
            1 => SpanStatus::Ok,
            _ => SpanStatus::Error,
        }
    }

    pub(super) fn marks(self) -> Marks {
        Marks(self.0 >> 2)
    }
}

impl Packed {
    pub(super) fn new(spans: &SpanTable, names: &Names, row: usize) -> Self {
        let (trace, peer) = (spans.trace[row], spans.peer[row]);
        Self {
            trace: [(trace >> 64) as u64, trace as u64],
            id: spans.id[row],
            parent: spans.parent[row],
            start_ns: spans.start_ns[row],
            end_ns: spans.start_ns[row].saturating_add_unsigned(spans.duration_ns[row]),
            instance: names.instance_of_resource[spans.resource[row] as usize],
            operation: names.operation_rank[spans.operation[row] as usize],
            peer: if peer == NO_PEER { NONE } else { names.peer_rank[peer as usize] },
            kind: spans.kind[row],
            outcome: Outcome::new(spans.status[row], spans.marks_of(row)),
            weight: if names.sampled { Weight::of(spans.weight[row], TraceId(trace)) } else { Weight::ONE },
        }
    }

    pub(super) fn trace(&self) -> u128 {
        (u128::from(self.trace[0]) << 64) | u128::from(self.trace[1])
    }
}

/// How a table is cut. Several waves bound the memory for copies, whatever the size of the table.
pub(super) struct Plan {
    bits: u32,
    waves: usize,
}

impl Plan {
    pub(super) fn new(rows: usize) -> Self {
        let bits = (rows / ROWS_PER_PARTITION).max(1).ilog2();
        Self { bits, waves: (1_usize << bits).div_ceil(PARTITIONS_PER_WAVE) }
    }

    /// The partitions of each wave.
    pub(super) fn waves(&self) -> impl Iterator<Item = Range<usize>> {
        let partitions = 1_usize << self.bits;
        let size = partitions.div_ceil(self.waves);
        (0..self.waves).map(move |wave| wave * size..((wave + 1) * size).min(partitions))
    }

    fn partition(&self, hash: u64) -> usize {
        hash.unbounded_shr(64 - self.bits) as usize
    }

    /// Copies the rows of one wave, in the memory of the wave before. Each core takes its stretch of the table and fills
    /// partitions of its own.
    pub(super) fn copy(&self, spans: &SpanTable, names: &Names, wave: &Range<usize>, copies: &mut Copies) {
        let stretch = spans.len().div_ceil(rayon::current_num_threads()).max(1);
        let expected = stretch >> self.bits;
        copies.by_stretch.resize_with(spans.len().div_ceil(stretch), Vec::new);
        copies.by_stretch.par_iter_mut().enumerate().for_each(|(at, partitions)| {
            partitions
                .resize_with(wave.len().max(partitions.len()), || Vec::with_capacity(expected + expected / 8 + 8));
            partitions.iter_mut().for_each(Vec::clear);
            for row in at * stretch..((at + 1) * stretch).min(spans.len()) {
                let partition = self.partition(TraceId(spans.trace[row]).mixed());
                if wave.contains(&partition) {
                    partitions[partition - wave.start].push(Packed::new(spans, names, row));
                }
            }
        });
    }

    /// Gathers a partition's rows into one list and lists them by trace.
    pub(super) fn gather(&self, copies: &Copies, partition: usize, into: &mut Gathered) {
        into.rows.clear();
        for stretch in &copies.by_stretch {
            into.rows.extend_from_slice(&stretch[partition]);
        }
        into.order.clear();
        into.order.extend(into.rows.iter().enumerate().map(|(at, row)| {
            // The bits below those that chose the partition, above the row's position.
            (TraceId(row.trace()).mixed().unbounded_shl(self.bits) & 0xffff_ffff_0000_0000) | at as u64
        }));
        into.sort_order();
    }
}

/// The rows of one wave, by stretch of the table and partition.
#[derive(Default)]
pub(super) struct Copies {
    by_stretch: Vec<Vec<Vec<Packed>>>,
}

impl Copies {
    /// Gives the memory back on all cores, which takes a good part of the time that filling it took.
    pub(super) fn free(self) {
        self.by_stretch.into_par_iter().for_each(drop);
    }
}

/// Binary logarithm of how many buckets a partition's rows are sorted into first: a few traces fall into each.
const BUCKET_BITS: u32 = 11;

/// The rows of one partition; reused from partition to partition.
#[derive(Default)]
pub(super) struct Gathered {
    rows: Vec<Packed>,
    /// 32 bits of the trace's hash above the row's position, sorted.
    order: Vec<u64>,
    /// For sorting.
    unsorted: Vec<u64>,
    next_in_bucket: Vec<u32>,
}

impl Gathered {
    /// Sorts `order`: into buckets by the first bits of the hash, which are evenly distributed, and each bucket by itself.
    fn sort_order(&mut self) {
        let bucket = |entry: u64| (entry >> (64 - BUCKET_BITS)) as usize;
        std::mem::swap(&mut self.order, &mut self.unsorted);
        let next = &mut self.next_in_bucket;
        next.clear();
        next.resize(1 << BUCKET_BITS, 0);
        self.unsorted.iter().for_each(|&entry| next[bucket(entry)] += 1);
        let mut start = 0;
        for slot in next.iter_mut() {
            start += std::mem::replace(slot, start);
        }
        self.order.clear();
        self.order.resize(self.unsorted.len(), 0);
        for &entry in &self.unsorted {
            let slot = &mut next[bucket(entry)];
            self.order[*slot as usize] = entry;
            *slot += 1;
        }
        let mut start = 0;
        for &end in next.iter() {
            self.order[start as usize..end as usize].sort_unstable();
            start = end;
        }
    }

    /// Hands out the rows of each trace. Traces whose hashes collide are told apart.
    pub(super) fn for_each_trace(&mut self, mut visit: impl FnMut(u128, &mut dyn Iterator<Item = &Packed>)) {
        let rows = &self.rows;
        let row = |entry: u64| &rows[(entry & 0xffff_ffff) as usize];
        for group in self.order.chunk_by_mut(|a, b| a >> 32 == b >> 32) {
            let first = row(group[0]).trace;
            if group.iter().any(|&entry| row(entry).trace != first) {
                group.sort_unstable_by_key(|&entry| (row(entry).trace, entry));
            }
            for trace in group.chunk_by(|&a, &b| row(a).trace == row(b).trace) {
                visit(row(trace[0]).trace(), &mut trace.iter().map(|&entry| row(entry)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::id::SpanId;
    use crate::telemetry::span::Span;

    fn table(traces: impl Iterator<Item = u128>) -> SpanTable {
        let mut table = SpanTable::new();
        let (resource, operation) = (table.resource_key("a", "", ""), table.operation_key("o"));
        for (row, trace) in traces.enumerate() {
            table.push(Span {
                trace: TraceId(trace),
                id: SpanId(row as u64),
                parent: None,
                resource,
                operation,
                kind: SpanKind::Server,
                status: SpanStatus::Ok,
                peer: None,
                start_ns: 0,
                duration_ns: 1,
            });
        }
        table
    }

    #[test]
    fn every_row_comes_once_and_with_its_trace() {
        // Three hundred traces of unequal length, interleaved; waves as if the table were far greater.
        let spans = table((0..100_000_u128).map(|row| (row * row + 7) % 300));
        let names = Names::new(&spans);
        let plan = Plan { bits: 5, waves: 3 };
        let mut seen = vec![false; spans.len()];
        let mut visited = std::collections::BTreeSet::new();
        let (mut gathered, mut copies) = (Gathered::default(), Copies::default());
        for wave in plan.waves() {
            plan.copy(&spans, &names, &wave, &mut copies);
            for partition in 0..wave.len() {
                plan.gather(&copies, partition, &mut gathered);
                gathered.for_each_trace(|trace, rows| {
                    assert!(visited.insert(trace), "trace {trace} came twice");
                    for row in rows {
                        assert_eq!(spans.trace[row.id as usize], trace);
                        assert!(!std::mem::replace(&mut seen[row.id as usize], true));
                    }
                });
            }
        }
        assert!(seen.iter().all(|&s| s));
    }

    #[test]
    fn traces_with_equal_hashes_are_told_apart() {
        let spans = table([5_u128, 9, 5, 9, 9].into_iter());
        let names = Names::new(&spans);
        let rows = (0..5).map(|row| Packed::new(&spans, &names, row)).collect();
        let mut gathered = Gathered { rows, order: (0..5).collect(), ..Gathered::default() }; // all with hash 0, as after a collision
        let mut lengths = Vec::new();
        gathered.for_each_trace(|trace, rows| lengths.push((trace, rows.count())));
        assert_eq!(lengths, [(5, 2), (9, 3)]);
        assert_eq!(size_of::<Packed>(), 64);
    }
}
