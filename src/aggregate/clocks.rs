//! How far the clocks of processes are apart, estimated from the calls between them.
//!
//! A callee works while its caller waits. So for every synchronous call, with times on each side's own clock,
//!
//! ```text
//! end of callee - end of caller  <=  offset  <=  start of callee - start of caller
//! ```
//!
//! where the offset is how far the callee's clock is ahead. The calls between two processes narrow it down together, as
//! the messages of NTP do (Mills 1991, the intersection of correctness intervals); the middle of what is left is at most
//! half of its length off, however unequal the ways there and back are. Where 0 is left, nothing is corrected.
//!
//! Offsets along calls are joined to one clock for each process, by the pairs with most calls first, and the clock that
//! most processes agree with is taken as right: a lone machine that is wrong is moved, not all others.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::forest::{Forest, LocalSpan};
use super::names::{NONE, Names};
use crate::telemetry::clock::ClockSkew;
use crate::telemetry::id::TraceId;
use crate::telemetry::span::SpanKind;

/// Calls between two processes without which nothing is said of their clocks.
const MIN_PAIRS: u64 = 10;
/// What is nearer counts as equal, nanoseconds: the resolution of times, and of what a correction could change.
const FLOOR_NS: i64 = 1_000_000;
/// Of the calls one in so many may contradict the others at either end: messages that look like calls, clocks set anew.
const TRIM: usize = 20;
/// What is left of the bounds may be empty by this part of the estimate: clocks drift.
const DRIFT: i64 = 10;
/// Calls between two processes that are looked at: those of the smallest hashes, when there are more.
const MAX_SAMPLES: usize = 1024;

/// Whether the callee seems to lie outside of its caller's span, by its clock, and is not simply longer.
pub(super) fn sticks_out(caller: &LocalSpan, callee: &LocalSpan) -> bool {
    let (least_ns, most_ns) = bounds(caller, callee);
    least_ns <= most_ns && (least_ns > FLOOR_NS || most_ns < -FLOOR_NS)
}

fn bounds(caller: &LocalSpan, callee: &LocalSpan) -> (i64, i64) {
    (callee.end_ns.saturating_sub(caller.end_ns), callee.start_ns.saturating_sub(caller.start_ns))
}

/// Whether it is worth a look at all calls: enough of them between some two processes stick out.
pub(super) fn is_suspicious<'a>(sticking_out: impl Iterator<Item = &'a FxHashMap<(u32, u32), u64>>) -> bool {
    let mut total: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for (pair, count) in sticking_out.flatten() {
        *total.entry(*pair).or_default() += count;
    }
    total.values().any(|count| *count >= MIN_PAIRS)
}

/// The bounds of one call: a hash to choose by, least and most offset.
type Sample = (u64, i64, i64);

/// The calls between two processes.
#[derive(Default)]
struct Pair {
    /// Calls from the process of smaller rank, and from the other.
    calls: [u64; 2],
    /// Bounds of how far the clock of greater rank is ahead.
    samples: Vec<Sample>,
}

impl Pair {
    fn keep_smallest(&mut self) {
        if self.samples.len() > MAX_SAMPLES {
            self.samples.sort_unstable();
            self.samples.truncate(MAX_SAMPLES);
        }
    }

    /// Offset and uncertainty, nanoseconds; the offset is 0 where the clocks may be equal. `None` where the calls
    /// contradict each other, or are too few.
    fn estimate(&self) -> Option<(i64, i64)> {
        if self.calls[0] + self.calls[1] < MIN_PAIRS {
            return None;
        }
        let mut least: Vec<i64> = self.samples.iter().map(|s| s.1).collect();
        let mut most: Vec<i64> = self.samples.iter().map(|s| s.2).collect();
        least.sort_unstable();
        most.sort_unstable();
        let (last, trim) = (least.len().checked_sub(1)?, least.len() / TRIM);
        let (from_ns, to_ns) = (*least.get(last - trim)?, *most.get(trim)?);
        let middle_ns = from_ns / 2 + to_ns / 2;
        if from_ns <= FLOOR_NS && to_ns >= -FLOOR_NS && from_ns <= to_ns.saturating_add(FLOOR_NS) {
            return Some((0, FLOOR_NS));
        }
        // Nearly every single call must say that the clocks differ.
        let all_say_so = *least.get(trim)? > FLOOR_NS || *most.get(last - trim)? < -FLOOR_NS;
        let consistent = from_ns.saturating_sub(to_ns) <= middle_ns.saturating_abs() / DRIFT;
        (all_say_so && consistent).then_some((middle_ns, to_ns.saturating_sub(from_ns).max(0) / 2))
    }
}

/// The calls between processes; one for each thread, joined afterwards.
#[derive(Default)]
pub(super) struct Calls {
    pairs: FxHashMap<(u32, u32), Pair>,
    /// Of the trace at hand, for each span how many children in other processes it has.
    answers: Vec<u32>,
}

impl Calls {
    /// Takes note of the synchronous calls of a trace whose two sides are two processes.
    pub(super) fn add_trace(&mut self, forest: &Forest) {
        self.answers.clear();
        self.answers.resize(forest.spans.len(), 0);
        for (span, &parent) in forest.spans.iter().zip(&forest.parent).filter(|(_, parent)| **parent != NONE) {
            let elsewhere = span.instance != forest.spans[parent as usize].instance;
            self.answers[parent as usize] += u32::from(elsewhere);
        }
        for (at, callee) in forest.spans.iter().enumerate() {
            let parent = forest.parent[at];
            if parent == NONE {
                continue;
            }
            let caller = &forest.spans[parent as usize];
            if caller.instance == callee.instance || caller.failed() || !self.is_pair(forest, parent, callee) {
                continue;
            }
            let (least_ns, most_ns) = bounds(caller, callee);
            if least_ns > most_ns {
                continue; // longer than its caller waited: it says nothing
            }
            let hash = TraceId(forest.trace ^ u128::from(callee.id)).mixed();
            let forwards = caller.instance < callee.instance;
            let (key, sample) = if forwards {
                ((caller.instance, callee.instance), (hash, least_ns, most_ns))
            } else {
                ((callee.instance, caller.instance), (hash, most_ns.saturating_neg(), least_ns.saturating_neg()))
            };
            let pair = self.pairs.entry(key).or_default();
            pair.calls[usize::from(!forwards)] += 1;
            pair.samples.push(sample);
            if pair.samples.len() == 2 * MAX_SAMPLES {
                pair.keep_smallest();
            }
        }
    }

    /// Whether the span is the only answer to a caller that waits for it. In data without kinds the caller's half is a span
    /// within other work of its service, with no child but this.
    fn is_pair(&self, forest: &Forest, parent: u32, callee: &LocalSpan) -> bool {
        let caller = &forest.spans[parent as usize];
        match (caller.kind, callee.kind) {
            (SpanKind::Client, SpanKind::Server | SpanKind::Unspecified) => self.answers[parent as usize] == 1,
            (SpanKind::Unspecified, SpanKind::Unspecified) => {
                let above = forest.parent[parent as usize];
                let within = above != NONE && forest.spans[above as usize].service == caller.service;
                within && forest.children(parent).len() == 1
            }
            _ => false,
        }
    }
}

/// What is wrong with the clocks.
#[derive(Default)]
pub(super) struct Clocks {
    /// By process, how far its clock is ahead; empty where all are right.
    pub(super) ahead_ns: Vec<i64>,
    /// The estimates behind that, sorted.
    pub(super) skews: Vec<ClockSkew>,
}

impl Clocks {
    /// Joins what all threads saw.
    pub(super) fn new(parts: Vec<Calls>, names: &Names) -> Self {
        let mut pairs: BTreeMap<(u32, u32), Pair> = BTreeMap::new();
        for (key, part) in parts.into_iter().flat_map(|part| part.pairs) {
            let pair = pairs.entry(key).or_default();
            pair.samples.extend(part.samples);
            (0..2).for_each(|direction| pair.calls[direction] += part.calls[direction]);
        }
        let mut edges: Vec<Edge> = Vec::new();
        for (&(a, b), pair) in &mut pairs {
            pair.keep_smallest();
            if let Some((offset_ns, uncertain_ns)) = pair.estimate() {
                edges.push(Edge { a, b, calls: pair.calls, offset_ns, uncertain_ns });
            }
        }
        if edges.iter().all(|edge| edge.offset_ns == 0) {
            return Self::default();
        }
        let ahead_ns = ahead(&edges, names.instances.len());
        let moved = |edge: &&Edge| edge.offset_ns != 0 && ahead_ns[edge.a as usize] != ahead_ns[edge.b as usize];
        let mut skews: Vec<ClockSkew> = edges.iter().filter(moved).map(|edge| edge.skew(names)).collect();
        skews.sort_unstable();
        if skews.is_empty() { Self::default() } else { Self { ahead_ns, skews } }
    }
}

/// What the calls between two processes say.
struct Edge {
    a: u32,
    b: u32,
    calls: [u64; 2],
    /// How far the clock of `b` is ahead of that of `a`.
    offset_ns: i64,
    uncertain_ns: i64,
}

impl Edge {
    fn pairs(&self) -> u64 {
        self.calls[0] + self.calls[1]
    }

    fn skew(&self, names: &Names) -> ClockSkew {
        let name = |instance: u32| {
            let named = &names.instances[instance as usize];
            let service = names.nodes[named.node as usize].as_str();
            if named.instance.is_empty() { service.to_owned() } else { format!("{service}/{}", named.instance) }
        };
        let (a, b) = (name(self.a), name(self.b));
        let pairs = self.pairs();
        if self.calls[1] > self.calls[0] {
            ClockSkew { caller: b, callee: a, offset_ns: self.offset_ns.saturating_neg(), pairs }
        } else {
            ClockSkew { caller: a, callee: b, offset_ns: self.offset_ns, pairs }
        }
    }
}

/// How far each of `count` clocks is ahead of the one that most of those agree with that are joined with it by calls.
fn ahead(edges: &[Edge], count: usize) -> Vec<i64> {
    let mut order: Vec<&Edge> = edges.iter().collect();
    // The surest first: of equally many calls the tighter bounds, then by name.
    order.sort_by_key(|edge| (std::cmp::Reverse(edge.pairs()), edge.uncertain_ns, edge.a, edge.b));
    let mut joined = Joined::new(count);
    order.iter().for_each(|edge| joined.join(edge.a, edge.b, edge.offset_ns));

    let mut calls_made = vec![0_i64; count];
    for edge in edges {
        let surplus = edge.calls[0] as i64 - edge.calls[1] as i64;
        calls_made[edge.a as usize] += surplus;
        calls_made[edge.b as usize] -= surplus;
    }
    let mut groups: BTreeMap<u32, Vec<(i64, u32)>> = BTreeMap::new();
    for clock in 0..count as u32 {
        let (root, offset_ns) = joined.find(clock);
        groups.entry(root).or_default().push((offset_ns, clock));
    }
    let mut ahead_ns = vec![0; count];
    for mut group in groups.into_values().filter(|group| group.len() > 1) {
        group.sort_unstable();
        let span_ns = group[group.len() - 1].0.saturating_sub(group[0].0);
        let near_ns = (span_ns / DRIFT).max(FLOOR_NS);
        let agreeing = |offset_ns: i64| {
            let from = group.partition_point(|g| g.0 < offset_ns.saturating_sub(near_ns));
            let to = group.partition_point(|g| g.0 <= offset_ns.saturating_add(near_ns));
            to - from
        };
        // Of equally many the caller's side, then the first by name.
        let best = group.iter().max_by_key(|(offset_ns, clock)| {
            (agreeing(*offset_ns), calls_made[*clock as usize], std::cmp::Reverse(*clock))
        });
        let right_ns = best.map_or(0, |best| best.0);
        for (offset_ns, clock) in group {
            let off_ns = offset_ns.saturating_sub(right_ns);
            ahead_ns[clock as usize] = if off_ns.saturating_abs() <= near_ns { 0 } else { off_ns };
        }
    }
    ahead_ns
}

/// Sets of clocks whose offsets to each other are known (union-find with differences).
struct Joined {
    above: Vec<u32>,
    /// How far the clock is ahead of the one above.
    offset_ns: Vec<i64>,
}

impl Joined {
    fn new(count: usize) -> Self {
        Self { above: (0..count as u32).collect(), offset_ns: vec![0; count] }
    }

    /// The root of the clock's set, and how far the clock is ahead of it. Halves the way for the next time.
    fn find(&mut self, clock: u32) -> (u32, i64) {
        let (mut at, mut offset_ns) = (clock, 0_i64);
        while self.above[at as usize] != at {
            let above = self.above[at as usize];
            self.offset_ns[at as usize] = self.offset_ns[at as usize].saturating_add(self.offset_ns[above as usize]);
            self.above[at as usize] = self.above[above as usize];
            offset_ns = offset_ns.saturating_add(self.offset_ns[at as usize]);
            at = self.above[at as usize];
        }
        (at, offset_ns)
    }

    /// Clock `b` is so far ahead of `a`; where more is known already, that holds.
    fn join(&mut self, a: u32, b: u32, b_ahead_ns: i64) {
        let ((root_a, a_ns), (root_b, b_ns)) = (self.find(a), self.find(b));
        if root_a != root_b {
            self.above[root_b as usize] = root_a;
            self.offset_ns[root_b as usize] = a_ns.saturating_add(b_ahead_ns).saturating_sub(b_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(a: u32, b: u32, calls: u64, offset_ns: i64) -> Edge {
        Edge { a, b, calls: [calls, 0], offset_ns, uncertain_ns: 0 }
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn of_two_the_caller_is_right_and_of_many_the_most() {
        assert_eq!(ahead(&[edge(0, 1, 10, 5 * SECOND)], 2), [0, 5 * SECOND]);
        assert_eq!(ahead(&[Edge { calls: [0, 10], ..edge(0, 1, 0, 5 * SECOND) }], 2), [-5 * SECOND, 0]);
        // A gateway that is wrong towards everybody, not quite equally.
        let wrong =
            [edge(0, 1, 10, 5 * SECOND), edge(0, 2, 10, 5 * SECOND + 200_000), edge(0, 3, 10, 5 * SECOND - 300)];
        assert_eq!(ahead(&wrong, 4), [-5 * SECOND, 0, 0, 0]);
    }

    #[test]
    fn offsets_add_up_along_calls_and_the_surest_hold() {
        let chain = [edge(0, 1, 10, 5 * SECOND), edge(1, 2, 10, 5 * SECOND)];
        assert_eq!(ahead(&chain, 4), [0, 5 * SECOND, 10 * SECOND, 0]);
        let back = [edge(0, 1, 10, 5 * SECOND), edge(1, 2, 10, -5 * SECOND), edge(2, 3, 10, 0)];
        assert_eq!(ahead(&back, 4), [0, 5 * SECOND, 0, 0]);
        // The last, of fewest calls, contradicts the others.
        let circle = [edge(0, 1, 30, 0), edge(1, 2, 20, 0), edge(0, 2, 10, 7 * SECOND)];
        assert_eq!(ahead(&circle, 3), [0, 0, 0]);
    }

    fn pair(bounds: impl Iterator<Item = (i64, i64)>) -> Option<(i64, i64)> {
        let samples: Vec<Sample> = bounds.enumerate().map(|(at, (least, most))| (at as u64, least, most)).collect();
        Pair { calls: [samples.len() as u64, 0], samples }.estimate()
    }

    #[test]
    fn bounds_are_intersected() {
        let ms = 1_000_000;
        // The way there takes 1 to 9 ms, the way back 20 to 28 ms; the offset is 5 s.
        let skewed = |n: i64| (0..n).map(move |at| (5 * SECOND - (20 + at % 9) * ms, 5 * SECOND + (1 + at % 9) * ms));
        let (offset_ns, uncertain_ns) = pair(skewed(90)).unwrap();
        assert!(offset_ns.abs_diff(5 * SECOND) <= uncertain_ns.unsigned_abs(), "{offset_ns} ± {uncertain_ns}");
        assert!(uncertain_ns <= 11 * ms);
        assert_eq!(pair(skewed(9)), None, "too few");
        // The same without a skew, and a twentieth of strange calls.
        assert_eq!(pair((0..90).map(|at| (-(20 + at % 9) * ms, (1 + at % 9) * ms))), Some((0, FLOOR_NS)));
        let strange = (0..100).map(|at| if at < 5 { (SECOND, 2 * SECOND) } else { (-ms, ms) });
        assert_eq!(pair(strange), Some((0, FLOOR_NS)));
        // Half of the calls say so, half otherwise: two machines under one name.
        assert_eq!(pair((0..100).map(|at| if at % 2 == 0 { (5 * SECOND, 5 * SECOND + ms) } else { (-ms, ms) })), None);
        // Callees that were queued for a time and outlived their callers.
        assert_eq!(pair((0..100).map(|at| if at < 60 { (100 * ms, 400 * ms) } else { (-ms, ms) })), None);
    }
}
