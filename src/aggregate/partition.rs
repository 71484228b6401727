//! Brings a trace's spans together: a radix partition of row numbers by a hash of the trace id.

use std::ops::Range;

use rayon::prelude::*;

/// Rows in a partition, about: its sort keys (8 bytes a row) then fit in a core's own cache.
const ROWS_PER_PARTITION: usize = 16_384;
/// At most so many partitions: more would scatter writes over more lines than a cache holds.
const MAX_PARTITION_BITS: u32 = 12;
/// Rows that one task hashes.
const CHUNK: usize = 1 << 18;

/// A mix of all bits of a trace id, the same on every machine (multiply and fold, as in wyhash by Wang Yi).
pub(super) fn hash_trace(trace: u128) -> u64 {
    let low = (trace as u64) ^ 0x9e37_79b9_7f4a_7c15;
    let high = ((trace >> 64) as u64) ^ 0xd1b5_4a32_d192_ed03;
    let product = u128::from(low) * u128::from(high | 1);
    let folded = (product as u64) ^ ((product >> 64) as u64) ^ low.rotate_left(32) ^ high;
    let mixed = u128::from(folded) * 0xa076_1d64_78bd_642f_u128;
    (mixed as u64) ^ ((mixed >> 64) as u64)
}

/// Row numbers, those of a trace in one partition; once a partition is sorted they lie side by side.
pub(super) struct Partitions {
    /// 32 bits of the trace's hash above the row number.
    entries: Vec<u64>,
    bounds: Vec<usize>,
}

impl Partitions {
    /// Partitions the first `u32::MAX` rows (a table of more would not fit in memory).
    pub(super) fn new(traces: &[u128]) -> Self {
        let traces = &traces[..traces.len().min(u32::MAX as usize)];
        let bits = (traces.len() / ROWS_PER_PARTITION).max(1).ilog2().min(MAX_PARTITION_BITS);
        let partitions = 1_usize << bits;
        let partition = |hash: u64| (hash.unbounded_shr(64 - bits)) as usize;

        let counts: Vec<Vec<u32>> = traces
            .par_chunks(CHUNK)
            .map(|chunk| {
                let mut counts = vec![0_u32; partitions];
                chunk.iter().for_each(|&trace| counts[partition(hash_trace(trace))] += 1);
                counts
            })
            .collect();
        let mut bounds = vec![0_usize; partitions + 1];
        for at in 0..partitions {
            bounds[at + 1] = bounds[at] + counts.iter().map(|c| c[at] as usize).sum::<usize>();
        }

        let mut next = bounds.clone();
        let mut entries = vec![0_u64; traces.len()];
        for (row, &trace) in traces.iter().enumerate() {
            let hash = hash_trace(trace);
            let slot = &mut next[partition(hash)];
            entries[*slot] = (hash.unbounded_shl(bits) & 0xffff_ffff_0000_0000) | row as u64;
            *slot += 1;
        }
        Self { entries, bounds }
    }

    /// The entries of each partition, not sorted yet.
    pub(super) fn slices(&mut self) -> Vec<&mut [u64]> {
        let mut rest = self.entries.as_mut_slice();
        let mut slices = Vec::with_capacity(self.bounds.len());
        for bound in self.bounds.windows(2) {
            let (slice, tail) = rest.split_at_mut(bound[1] - bound[0]);
            slices.push(slice);
            rest = tail;
        }
        slices
    }
}

/// The row number of an entry.
pub(super) fn row(entry: u64) -> usize {
    (entry & 0xffff_ffff) as usize
}

/// Cuts a sorted partition into traces and hands each one's entries out. Traces whose hashes collide are told apart.
pub(super) fn for_each_trace(entries: &mut [u64], traces: &[u128], mut visit: impl FnMut(&[u64])) {
    let mut from = 0;
    while from < entries.len() {
        let hash = entries[from] >> 32;
        let length = entries[from..].iter().take_while(|&&entry| entry >> 32 == hash).count();
        let group = &mut entries[from..from + length];
        let first = traces[row(group[0])];
        if group.iter().any(|&entry| traces[row(entry)] != first) {
            group.sort_unstable_by_key(|&entry| (traces[row(entry)], entry));
        }
        for run in runs(group, |&a, &b| traces[row(a)] == traces[row(b)]) {
            visit(&group[run]);
        }
        from += length;
    }
}

/// Ranges of neighbours that are alike.
fn runs<T>(items: &[T], alike: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = items.get(from)?;
        let length = items[from..].iter().take_while(|item| alike(first, item)).count();
        let run = from..from + length;
        from = run.end;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_once_and_with_its_trace() {
        // Three hundred traces of unequal length, interleaved.
        let traces: Vec<u128> = (0..100_000_u128).map(|row| (row * row + 7) % 300).collect();
        let mut partitions = Partitions::new(&traces);
        let mut seen = vec![false; traces.len()];
        let mut visited = std::collections::BTreeSet::new();
        for slice in partitions.slices() {
            slice.sort_unstable();
            for_each_trace(slice, &traces, |entries| {
                let trace = traces[row(entries[0])];
                assert!(visited.insert(trace), "trace {trace} came twice");
                for &entry in entries {
                    assert_eq!(traces[row(entry)], trace);
                    assert!(!std::mem::replace(&mut seen[row(entry)], true));
                }
            });
        }
        assert!(seen.iter().all(|&s| s));
    }

    #[test]
    fn traces_with_equal_hashes_are_told_apart() {
        let traces = [5_u128, 9, 5, 9, 9];
        let mut entries: Vec<u64> = (0..5).collect(); // all with hash 0, as after a collision
        let mut lengths = Vec::new();
        for_each_trace(&mut entries, &traces, |trace| lengths.push(trace.len()));
        assert_eq!(lengths, [2, 3]);
    }
}
