//! The spans of one trace as trees: shared spans parted, duplicates dropped, parents found, cycles cut.

use std::cmp::{Ordering, Reverse};

use super::halves::part_halves;
use super::names::{NONE, Names};
use super::partition::Packed;
use super::weight::Weight;
use crate::telemetry::span::{Marks, SpanKind, SpanStatus};

/// One span with its names as ranks.
#[derive(Clone, Copy)]
pub(super) struct LocalSpan {
    pub(super) id: u64,
    pub(super) parent: u64,
    pub(super) start_ns: i64,
    /// Not before the start; a length that leaves the calendar is cut.
    pub(super) end_ns: i64,
    /// Rank in `Names::instances`.
    pub(super) instance: u32,
    /// Rank in `Names::nodes`.
    pub(super) service: u32,
    /// Rank in `Names::operations`.
    pub(super) operation: u32,
    /// Rank in `Names::peers`, or [`NONE`].
    pub(super) peer: u32,
    pub(super) kind: SpanKind,
    pub(super) status: SpanStatus,
    pub(super) marks: Marks,
    /// How many spans of the real traffic it stands for.
    pub(super) weight: Weight,
}

impl LocalSpan {
    pub(super) fn new(row: &Packed, names: &Names) -> Self {
        Self {
            id: row.id,
            parent: row.parent,
            start_ns: row.start_ns,
            end_ns: row.end_ns,
            instance: row.instance,
            service: names.node_of_instance[row.instance as usize],
            operation: row.operation,
            peer: row.peer,
            kind: row.kind,
            status: row.outcome.status(),
            marks: row.outcome.marks(),
            weight: row.weight,
        }
    }

    /// Length, nanoseconds.
    pub(super) fn duration_ns(&self) -> u64 {
        self.end_ns.abs_diff(self.start_ns)
    }

    /// Whether the span's own side judged it failed.
    pub(super) fn failed(&self) -> bool {
        self.status == SpanStatus::Error
    }

    /// The order of a trace's spans.
    pub(super) fn by_id(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id).then_with(|| self.content().cmp(&other.content()))
    }

    /// All that tells two spans of one trace and id apart, the start first: the order among duplicates.
    pub(super) fn content(&self) -> impl Ord + use<> {
        let said = (self.marks.0, Reverse(self.weight)); // one that says its weight wins
        let status = self.status as u8;
        (self.start_ns, self.end_ns, self.parent, self.instance, self.operation, self.kind, status, self.peer, said)
    }
}

/// What was odd about the trees built so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Oddities {
    pub(super) duplicates: u64,
    pub(super) orphans: u64,
    pub(super) cyclic: u64,
    pub(super) rootless: u64,
    /// Spans that were moved since their clock is off.
    pub(super) moved: u64,
    /// Spans that stand for more than themselves, what all spans stand for, and traces whose spans do not agree on it.
    /// Counted only where the traffic was sampled.
    pub(super) sampled: u64,
    pub(super) represented: u64,
    pub(super) unevenly_sampled: u64,
}

/// The trees of one trace. Reused from trace to trace, so that a span costs no allocation.
#[derive(Default)]
pub(super) struct Forest {
    /// The trace's id.
    pub(super) trace: u128,
    /// Spans by id, each id once.
    pub(super) spans: Vec<LocalSpan>,
    /// Position of each span's parent, or [`NONE`].
    pub(super) parent: Vec<u32>,
    /// Positions, parents before children.
    pub(super) order: Vec<u32>,
    /// The span whose request this is: the first root, or else the first span without a read parent.
    pub(super) entry: u32,
    child_bounds: Vec<u32>,
    children: Vec<u32>,
    walk: Vec<u32>,
}

impl Forest {
    /// Builds the trees of one trace from its rows, in any order. `ahead_ns` tells by instance how far its clock is ahead;
    /// it is empty where all are right.
    pub(super) fn rebuild<'a>(
        &mut self,
        trace: u128,
        rows: impl Iterator<Item = &'a Packed>,
        names: &Names,
        ahead_ns: &[i64],
        odd: &mut Oddities,
    ) {
        self.trace = trace;
        self.spans.clear();
        self.spans.extend(rows.map(|row| LocalSpan::new(row, names)));
        let read = self.spans.len();
        self.spans.sort_unstable_by(LocalSpan::by_id);
        part_halves(&mut self.spans);
        self.spans.dedup_by_key(|span| span.id);
        odd.duplicates += (read - self.spans.len()) as u64;
        if !ahead_ns.is_empty() {
            for span in &mut self.spans {
                let ahead_ns = ahead_ns[span.instance as usize];
                span.start_ns = span.start_ns.saturating_sub(ahead_ns);
                span.end_ns = span.end_ns.saturating_sub(ahead_ns);
                odd.moved += u64::from(ahead_ns != 0);
            }
        }

        self.find_parents(odd);
        self.cut_cycles(odd);
        self.list_children();
        self.sort_parents_first();
        self.find_entry(odd);
        if names.sampled {
            self.spread_weights(odd);
        }
    }

    /// The children of a span, by id.
    pub(super) fn children(&self, span: u32) -> &[u32] {
        let at = span as usize;
        &self.children[self.child_bounds[at] as usize..self.child_bounds[at + 1] as usize]
    }

    /// Whether the span is a root by its own account, not for want of its parent.
    pub(super) fn is_root(&self, span: u32) -> bool {
        self.spans[span as usize].parent == 0
    }

    fn find_parents(&mut self, odd: &mut Oddities) {
        self.parent.clear();
        for span in &self.spans {
            let found = self.spans.binary_search_by_key(&span.parent, |other| other.id);
            self.parent.push(match found {
                _ if span.parent == 0 => NONE,
                Ok(at) => at as u32,
                Err(_) => {
                    odd.orphans += 1;
                    NONE
                }
            });
        }
    }

    /// Follows parents from every span; a walk that meets itself has found a cycle, and its earliest span loses its parent.
    fn cut_cycles(&mut self, odd: &mut Oddities) {
        self.walk.clear();
        self.walk.resize(self.spans.len(), NONE);
        for start in 0..self.spans.len() as u32 {
            let mut at = start;
            while at != NONE && self.walk[at as usize] == NONE {
                self.walk[at as usize] = start;
                at = self.parent[at as usize];
            }
            if at == NONE || self.walk[at as usize] != start {
                continue;
            }
            let mut earliest = at;
            let mut member = at;
            loop {
                odd.cyclic += 1;
                let key = |span: u32| (self.spans[span as usize].start_ns, span);
                if key(member) < key(earliest) {
                    earliest = member;
                }
                member = self.parent[member as usize];
                if member == at {
                    break;
                }
            }
            self.parent[earliest as usize] = NONE;
        }
    }

    fn list_children(&mut self) {
        let count = self.spans.len();
        self.child_bounds.clear();
        self.child_bounds.resize(count + 1, 0);
        for &parent in self.parent.iter().filter(|&&p| p != NONE) {
            self.child_bounds[parent as usize] += 1;
        }
        let mut total = 0;
        for bound in &mut self.child_bounds {
            total += *bound;
            *bound = total;
        }
        self.children.clear();
        self.children.resize(total as usize, 0);
        // Filled from the back, so that each bound ends as the beginning of its children.
        for (at, &parent) in self.parent.iter().enumerate().rev().filter(|(_, p)| **p != NONE) {
            let bound = &mut self.child_bounds[parent as usize];
            *bound -= 1;
            self.children[*bound as usize] = at as u32;
        }
    }

    fn sort_parents_first(&mut self) {
        self.order.clear();
        self.order.extend((0..self.spans.len() as u32).filter(|&at| self.parent[at as usize] == NONE));
        let mut next = 0;
        while let Some(&at) = self.order.get(next) {
            let (from, to) = (self.child_bounds[at as usize] as usize, self.child_bounds[at as usize + 1] as usize);
            self.order.extend_from_slice(&self.children[from..to]);
            next += 1;
        }
    }

    /// A span whose source does not say how it was sampled counts as its parent does: whoever did not write it down
    /// followed the decision of its caller. Where no span above says it, the least weight of the trace counts.
    fn spread_weights(&mut self, odd: &mut Oddities) {
        let said = || self.spans.iter().map(|span| span.weight).filter(|&weight| weight != Weight::UNSAID);
        let least = said().min().unwrap_or(Weight::ONE);
        odd.unevenly_sampled += u64::from(said().any(|weight| weight != least));
        for &at in &self.order {
            let parent = self.parent[at as usize];
            let above = if parent == NONE { least } else { self.spans[parent as usize].weight };
            let span = &mut self.spans[at as usize];
            if span.weight == Weight::UNSAID {
                span.weight = above;
            }
            odd.sampled += u64::from(span.weight > Weight::ONE);
            odd.represented += span.weight.value();
        }
    }

    fn find_entry(&mut self, odd: &mut Oddities) {
        let tops = self.order.iter().copied().filter(|&at| self.parent[at as usize] == NONE);
        let first = tops.min_by_key(|&at| (!self.is_root(at), self.spans[at as usize].start_ns, at));
        self.entry = first.unwrap_or(NONE);
        if self.entry == NONE || !self.is_root(self.entry) {
            odd.rootless += 1;
        }
    }
}
