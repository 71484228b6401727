//! Rows of call statistics by the subjects that they are about, and their sums for each place.

use rustc_hash::FxHashMap;

use crate::telemetry::calls::{CallKey, CallRow, CallStats, InstanceRow};

use super::windows::Bins;

/// Rows with their places.
pub(super) type Rows<'a> = Vec<(usize, &'a CallRow)>;

/// The rows in places that are looked at, by callee.
pub(super) struct Placed<'a> {
    /// Rows of one callee after the other, those of each in their own order.
    rows: Rows<'a>,
    /// Where the rows of each callee begin, and the end.
    starts: Vec<usize>,
    /// Calls that each node handles at each place.
    handled: Vec<u64>,
    places: usize,
    /// Calls of all nodes at each place.
    pub(super) calls: Vec<u64>,
    /// Squares of these calls' weights.
    pub(super) weight_squares: Vec<u64>,
}

impl<'a> Placed<'a> {
    pub(super) fn of(calls: &'a CallStats, bins: &Bins) -> Self {
        let (nodes, places) = (calls.nodes.len(), bins.len());
        let known = |row: &CallRow| {
            let known = |node: u32| (node as usize) < nodes;
            known(row.key.callee) && row.key.caller.is_none_or(known)
        };
        let mut placed = Self {
            rows: Vec::new(),
            starts: vec![0; nodes + 1],
            handled: vec![0; nodes * places],
            places,
            calls: vec![0; places],
            weight_squares: vec![0; places],
        };
        let add = |sum: &mut u64, count: u64| *sum = sum.saturating_add(count);
        let mut rows: Rows<'a> = Vec::with_capacity(calls.rows.len());
        for row in &calls.rows {
            let Some(place) = bins.place(row.key.bin) else { continue };
            add(&mut placed.calls[place], row.calls);
            add(&mut placed.weight_squares[place], row.weight_squares);
            if known(row) {
                let callee = row.key.callee as usize;
                add(&mut placed.handled[callee * places + place], row.calls);
                placed.starts[callee + 1] += 1;
                rows.push((place, row));
            }
        }
        for node in 0..nodes {
            placed.starts[node + 1] += placed.starts[node];
        }
        placed.rows = scattered(&rows, &placed.starts, |(_, row)| row.key.callee as usize);
        placed
    }

    /// Number of nodes.
    pub(super) fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    /// The rows of a callee.
    pub(super) fn of_callee(&self, node: usize) -> &[(usize, &'a CallRow)] {
        &self.rows[self.starts[node]..self.starts[node + 1]]
    }

    /// Calls that a node handles at each place; `None` where it handles none.
    pub(super) fn handled(&self, node: u32) -> Option<&[u64]> {
        let node = node as usize;
        let any = !self.of_callee(node).is_empty();
        any.then(|| &self.handled[node * self.places..(node + 1) * self.places])
    }
}

/// Rows in order of place, those of one place in their own order.
pub(super) fn by_place<'a>(rows: &[(usize, &'a CallRow)], places: usize) -> Rows<'a> {
    let mut starts = vec![0; places + 1];
    rows.iter().for_each(|row| starts[row.0 + 1] += 1);
    for place in 0..places {
        starts[place + 1] += starts[place];
    }
    scattered(rows, &starts, |row| row.0)
}

/// Rows moved to where those of their kind begin, in their own order.
fn scattered<'a>(
    rows: &[(usize, &'a CallRow)],
    starts: &[usize],
    kind: impl Fn(&(usize, &'a CallRow)) -> usize,
) -> Rows<'a> {
    let Some(any) = rows.first() else { return Vec::new() };
    let mut next = starts.to_vec();
    let mut moved = vec![*any; rows.len()];
    for row in rows {
        let at = &mut next[kind(row)];
        moved[*at] = *row;
        *at += 1;
    }
    moved
}

/// Rows by a part of their key, in the order in which its values first come.
pub(super) fn split<'a, Key: Copy + Eq + std::hash::Hash>(
    rows: &[(usize, &'a CallRow)],
    key: impl Fn(&CallKey) -> Key,
) -> Vec<(Key, Rows<'a>)> {
    let mut groups: Vec<(Key, Rows<'a>)> = Vec::new();
    let mut known: FxHashMap<Key, usize> = FxHashMap::default();
    for row in rows {
        let key = key(&row.1.key);
        let at = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.1.push(*row),
            None => groups.push((key, vec![*row])),
        }
    }
    groups
}

/// What is counted of one subject at one place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    /// Calls that were seen.
    pub(super) observed: u64,
    /// Squares of the calls' weights.
    pub(super) weight_squares: u64,
    pub(super) errors: u64,
    /// Squares of the failed calls' weights.
    pub(super) error_squares: u64,
    pub(super) origin_errors: u64,
    pub(super) edge_errors: u64,
    pub(super) timeouts: u64,
    pub(super) retries: u64,
    pub(super) hedges: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, count: u64| *sum = sum.saturating_add(count);
        add(&mut self.calls, other.calls);
        add(&mut self.observed, other.observed);
        add(&mut self.weight_squares, other.weight_squares);
        add(&mut self.errors, other.errors);
        add(&mut self.error_squares, other.error_squares);
        add(&mut self.origin_errors, other.origin_errors);
        add(&mut self.edge_errors, other.edge_errors);
        add(&mut self.timeouts, other.timeouts);
        add(&mut self.retries, other.retries);
        add(&mut self.hedges, other.hedges);
    }
}

impl From<&CallRow> for Counts {
    fn from(row: &CallRow) -> Self {
        Self {
            calls: row.calls,
            observed: row.observed,
            weight_squares: row.weight_squares,
            errors: row.errors,
            error_squares: row.error_weight_squares,
            origin_errors: row.origin_errors,
            edge_errors: row.edge_errors,
            timeouts: row.timeouts,
            retries: row.retries,
            hedges: row.hedges,
        }
    }
}

impl From<&InstanceRow> for Counts {
    fn from(row: &InstanceRow) -> Self {
        Self {
            calls: row.calls,
            observed: row.observed,
            weight_squares: row.weight_squares,
            errors: row.errors,
            error_squares: row.error_weight_squares,
            origin_errors: row.origin_errors,
            ..Self::default()
        }
    }
}

/// Counts of one subject.
pub(super) struct Tally {
    pub(super) by_place: Vec<Counts>,
}

impl Tally {
    pub(super) fn of(bins: &Bins, rows: &Rows<'_>) -> Self {
        let mut by_place = vec![Counts::default(); bins.len()];
        for (place, row) in rows {
            by_place[*place].add(&Counts::from(*row));
        }
        Self { by_place }
    }
}

/// Counts and times of one instance or version.
pub(super) struct InstanceCounts {
    pub(super) tally: Tally,
    /// Sum of durations at each place.
    pub(super) duration_ns: Vec<u64>,
    /// Sum of self-times at each place.
    pub(super) self_ns: Vec<u64>,
}

impl InstanceCounts {
    pub(super) fn of(bins: &Bins, rows: &[&InstanceRow]) -> Self {
        let mut by_place = vec![Counts::default(); bins.len()];
        let (mut duration_ns, mut self_ns) = (vec![0_u64; bins.len()], vec![0_u64; bins.len()]);
        for row in rows {
            let Some(place) = bins.place(row.bin) else { continue };
            by_place[place].add(&Counts::from(*row));
            duration_ns[place] = duration_ns[place].saturating_add(row.duration_ns);
            self_ns[place] = self_ns[place].saturating_add(row.self_ns);
        }
        Self { tally: Tally { by_place }, duration_ns, self_ns }
    }
}
