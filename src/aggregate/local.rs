//! Adds calls up by key on one machine.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::calls::Call;
use super::names::NONE;
use crate::telemetry::calls::Exemplar;
use crate::telemetry::id::TraceId;
use crate::telemetry::sketch::Sketch;
use crate::telemetry::topology::EdgeMode;

/// What calls are added up by, in ranks; its order is that of [`crate::telemetry::calls::CallKey`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    /// One more than the caller's rank; 0 for none.
    pub(super) caller: u32,
    pub(super) callee: u32,
    pub(super) operation: u32,
    pub(super) mode: EdgeMode,
    pub(super) entry: (u32, u32),
    pub(super) bin: i64,
}

/// Sums of the calls of one key. Every operation is commutative and associative, so no order can change the result.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) caller_errors: u64,
    pub(super) origin_errors: u64,
    pub(super) edge_errors: u64,
    pub(super) duration_ns: u64,
    pub(super) self_ns: u64,
    pub(super) critical_ns: u64,
    pub(super) critical_gap_ns: u64,
    pub(super) paired_calls: u64,
    pub(super) gap_ns: u64,
    /// The greatest duration, among equals of the smallest trace.
    slowest: Option<(u64, Reverse<u128>)>,
    /// The smallest trace, in it the shortest.
    failed: Option<Reverse<(u128, u64)>>,
    /// The smallest hash, and then as above.
    typical: Option<Reverse<(u64, u128, u64)>>,
}

impl Sums {
    fn of(call: &Call, trace: u128, trace_hash: u64) -> Self {
        let duration_ns = call.duration_ns;
        let failed = call.failed();
        Self {
            calls: 1,
            errors: u64::from(failed),
            caller_errors: u64::from(call.caller_failed),
            origin_errors: u64::from(call.origin),
            edge_errors: u64::from(call.failed_on_edge()),
            duration_ns,
            self_ns: call.self_ns,
            critical_ns: call.critical_ns,
            critical_gap_ns: call.critical_gap_ns,
            paired_calls: u64::from(call.gap_ns.is_some()),
            gap_ns: call.gap_ns.unwrap_or(0),
            slowest: Some((duration_ns, Reverse(trace))),
            failed: failed.then_some(Reverse((trace, duration_ns))),
            typical: (!failed).then_some(Reverse((trace_hash, trace, duration_ns))),
        }
    }

    fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.calls, other.calls),
            (&mut self.errors, other.errors),
            (&mut self.caller_errors, other.caller_errors),
            (&mut self.origin_errors, other.origin_errors),
            (&mut self.edge_errors, other.edge_errors),
            (&mut self.duration_ns, other.duration_ns),
            (&mut self.self_ns, other.self_ns),
            (&mut self.critical_ns, other.critical_ns),
            (&mut self.critical_gap_ns, other.critical_gap_ns),
            (&mut self.paired_calls, other.paired_calls),
            (&mut self.gap_ns, other.gap_ns),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.slowest = self.slowest.max(other.slowest);
        self.failed = self.failed.max(other.failed);
        self.typical = self.typical.max(other.typical);
    }

    /// The slowest, a failed and a typical call.
    pub(super) fn exemplars(&self) -> [Option<Exemplar>; 3] {
        let exemplar = |duration_ns, trace| Exemplar { duration_ns, trace: TraceId(trace) };
        [
            self.slowest.map(|(duration_ns, Reverse(trace))| exemplar(duration_ns, trace)),
            self.failed.map(|Reverse((trace, duration_ns))| exemplar(duration_ns, trace)),
            self.typical.map(|Reverse((_, trace, duration_ns))| exemplar(duration_ns, trace)),
        ]
    }

    /// How many samples the row's distributions hold together.
    fn samples(&self) -> usize {
        (self.calls * 2 + self.paired_calls) as usize
    }
}

/// Sums of the calls that one process handled in one bin.
#[derive(Clone, Copy, Default)]
pub(super) struct InstanceSums {
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) origin_errors: u64,
    pub(super) duration_ns: u64,
    pub(super) self_ns: u64,
}

impl InstanceSums {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.origin_errors += other.origin_errors;
        self.duration_ns = self.duration_ns.saturating_add(other.duration_ns);
        self.self_ns = self.self_ns.saturating_add(other.self_ns);
    }
}

/// Which distribution a sample belongs to; stored above its bucket.
const DURATION: u32 = 0;
const SELF_TIME: u32 = 1 << 16;
const GAP: u32 = 2 << 16;
/// Samples in a block.
const BLOCK: usize = 1 << 16;

/// What one thread has added up so far.
#[derive(Default)]
pub(super) struct Accumulator {
    index: FxHashMap<Key, u32>,
    rows: Vec<(Key, Sums)>,
    /// (row, distribution and bucket), in blocks, so that growing copies nothing.
    samples: Vec<Vec<(u32, u32)>>,
    instances: FxHashMap<(u32, i64), InstanceSums>,
}

impl Accumulator {
    /// Adds one call of the trace.
    pub(super) fn add(&mut self, key: Key, call: &Call, trace: u128, trace_hash: u64) {
        let sums = Sums::of(call, trace, trace_hash);
        let next = self.rows.len() as u32;
        let row = *self.index.entry(key).or_insert(next);
        if row == next {
            self.rows.push((key, sums));
        } else {
            self.rows[row as usize].1.add(&sums);
        }

        if self.samples.last().is_none_or(|block| block.len() + 3 > BLOCK) {
            self.samples.push(Vec::with_capacity(BLOCK));
        }
        if let Some(block) = self.samples.last_mut() {
            block.push((row, DURATION | u32::from(Sketch::bucket(call.duration_ns))));
            block.push((row, SELF_TIME | u32::from(Sketch::bucket(call.self_ns))));
            if let Some(gap_ns) = call.gap_ns {
                block.push((row, GAP | u32::from(Sketch::bucket(gap_ns))));
            }
        }

        if call.instance != NONE {
            self.instances.entry((call.instance, key.bin)).or_default().add(&InstanceSums {
                calls: 1,
                errors: sums.errors,
                origin_errors: sums.origin_errors,
                duration_ns: sums.duration_ns,
                self_ns: sums.self_ns,
            });
        }
    }
}

/// One finished row: sums, and the distributions of duration, self-time and gap.
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) sums: Sums,
    pub(super) sketches: [Sketch; 3],
}

/// What all threads added up together.
pub(super) struct Total {
    /// Sorted by key.
    pub(super) rows: Vec<Row>,
    pub(super) instances: BTreeMap<(u32, i64), InstanceSums>,
}

/// Joins what the threads added up.
pub(super) fn total(mut parts: Vec<Accumulator>) -> Total {
    let mut instances = BTreeMap::<(u32, i64), InstanceSums>::new();
    for part in &mut parts {
        #[expect(clippy::iter_over_hash_type, reason = "sums into an ordered map; addition is commutative")]
        for (key, sums) in part.instances.drain() {
            instances.entry(key).or_default().add(&sums);
        }
        part.index = FxHashMap::default();
    }

    let mut order: Vec<(Key, u32, u32)> = Vec::with_capacity(parts.iter().map(|p| p.rows.len()).sum());
    for (number, part) in parts.iter().enumerate() {
        order.extend(part.rows.iter().enumerate().map(|(at, row)| (row.0, number as u32, at as u32)));
    }
    order.par_sort_unstable();

    let mut rows: Vec<(Key, Sums)> = Vec::new();
    let mut row_of: Vec<Vec<u32>> = parts.iter().map(|part| vec![0; part.rows.len()]).collect();
    for (key, part, at) in order {
        let sums = &parts[part as usize].rows[at as usize].1;
        match rows.last_mut() {
            Some(last) if last.0 == key => last.1.add(sums),
            _ => rows.push((key, *sums)),
        }
        row_of[part as usize][at as usize] = (rows.len() - 1) as u32;
    }
    let sketches = sketches(&rows, parts.into_iter().map(|part| part.samples).zip(&row_of));
    let rows = rows.into_iter().zip(sketches).map(|((key, sums), sketches)| Row { key, sums, sketches }).collect();
    Total { rows, instances }
}

/// Brings each row's samples together (a counting sort: how many there are is known) and counts them.
fn sketches<'a>(
    rows: &[(Key, Sums)],
    parts: impl Iterator<Item = (Vec<Vec<(u32, u32)>>, &'a Vec<u32>)>,
) -> Vec<[Sketch; 3]> {
    let mut next = Vec::with_capacity(rows.len());
    let mut count = 0;
    for (_, sums) in rows {
        next.push(count);
        count += sums.samples();
    }
    let mut samples = vec![0_u32; count];
    for (blocks, row_of) in parts {
        for (row, sample) in blocks.into_iter().flatten() {
            let slot = &mut next[row_of[row as usize] as usize];
            samples[*slot] = sample;
            *slot += 1;
        }
    }
    let mut rest = samples.as_mut_slice();
    let mut slices = Vec::with_capacity(rows.len());
    for (_, sums) in rows {
        let (slice, tail) = rest.split_at_mut(sums.samples());
        slices.push(slice);
        rest = tail;
    }
    slices.into_par_iter().map(count_samples).collect()
}

/// The three distributions of one row.
fn count_samples(samples: &mut [u32]) -> [Sketch; 3] {
    samples.sort_unstable();
    [DURATION, SELF_TIME, GAP].map(|distribution| {
        let from = samples.partition_point(|&sample| sample < distribution);
        let to = samples.partition_point(|&sample| sample < distribution + (1 << 16));
        let equal = samples[from..to].chunk_by(|a, b| a == b);
        Sketch::from_counts(equal.map(|run| (run[0] as u16, run.len() as u64)).collect())
    })
}
