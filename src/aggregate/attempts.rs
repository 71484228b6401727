//! Calls that repeat each other within one caller's work: retries after a failure, hedged requests beside a slow one.
//!
//! A loop over items repeats calls too. What makes a retry is the failure before it, of which it is the only follower, or
//! the word of the caller's library that it sends a request again. What makes a hedge is that the caller goes on after the
//! first answer, with the other call still running or given up.

use super::calls::Call;
use super::forest::Forest;
use super::names::NONE;
use super::roles::{Role, calls_out};
use crate::telemetry::span::Marks;
use crate::telemetry::topology::EdgeMode;

/// One call as its caller sees it.
#[derive(Clone, Copy)]
struct Attempt {
    /// The work that makes the call.
    home: u32,
    callee: u32,
    /// The caller's name for it.
    operation: u32,
    start_ns: i64,
    /// When the caller had its answer.
    end_ns: i64,
    /// When the callee was done too.
    done_ns: i64,
    /// The callee's name for it, or [`NONE`].
    served: u32,
    failed: bool,
    resent: bool,
    /// Position among the calls.
    call: u32,
}

impl Attempt {
    /// Whether both ask the same of the same callee.
    fn equals(&self, other: &Self) -> bool {
        (self.home, self.callee, self.operation) == (other.home, other.callee, other.operation)
            && (self.served == other.served || self.served == NONE || other.served == NONE)
    }
}

/// Failures that wait for their retry, at most: so that hostile input costs no more than linear time.
const MAX_OPEN: usize = 64;
/// Slots of the look-out for repetition: few calls of a usual trace fall into the same by chance.
const SLOTS: usize = 1 << 10;
/// A hedge starts later than the first call by at least this part of the time to the first answer; what starts at once
/// is a fan-out.
const LEAST_DELAY: f64 = 0.05;
/// How long giving up takes, nanoseconds: a call that is cancelled ends so soon after the answer of the other.
const SLACK_NS: i64 = 1_000_000;

/// Calls between one caller's work and one callee, in the trace of that number.
#[derive(Clone, Copy)]
struct Slot {
    trace: u32,
    home: u32,
    callee: u32,
    /// When the first of them began and the last ended.
    from_ns: i64,
    to_ns: i64,
}

const UNUSED: Slot = Slot { trace: 0, home: NONE, callee: NONE, from_ns: 0, to_ns: 0 };

/// Finds repeated calls; reused from trace to trace.
pub(super) struct Attempts {
    /// Calls of the trace at hand, by a hash of home and callee.
    used: Vec<Slot>,
    trace: u32,
    list: Vec<Attempt>,
    open: Vec<Attempt>,
    /// Of one caller's work: start, first and number of each group of equal calls' members.
    steps: Vec<(i64, u32, u32)>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { used: vec![UNUSED; SLOTS], trace: 0, list: Vec::new(), open: Vec::new(), steps: Vec::new() }
    }
}

impl Attempts {
    /// Marks retries and hedges among the calls of a trace.
    pub(super) fn mark(&mut self, forest: &Forest, roles: &[Role], calls: &mut [Call]) {
        if !self.may_repeat(forest, roles, calls) {
            return;
        }
        self.list.clear();
        self.list.extend(calls.iter().enumerate().filter_map(|(at, call)| attempt(forest, roles, call, at as u32)));
        self.list.sort_unstable_by_key(|a| (a.home, a.callee, a.operation, a.start_ns, a.end_ns, a.call));
        for of_home in self.list.chunk_by(|a, b| a.home == b.home) {
            mark_retries(of_home, &mut self.open, calls);
            mark_hedges(forest, of_home, &mut self.steps, calls);
        }
    }

    /// Whether calls from one caller's work to one callee may repeat each other: with a failure somewhere in the trace, or
    /// side by side, or because they say so. Says yes now and then without need.
    fn may_repeat(&mut self, forest: &Forest, roles: &[Role], calls: &[Call]) -> bool {
        self.trace = self.trace.wrapping_add(1);
        if self.trace == 0 {
            self.used.fill(UNUSED);
            self.trace = 1;
        }
        let (mut repeats, mut fails, mut needs) = (false, false, false);
        for call in calls.iter().filter(|call| call.from != NONE) {
            let from = &forest.spans[call.from as usize];
            let home = roles[call.from as usize].home;
            let mixed = (u64::from(home) << 32 | u64::from(call.callee)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let slot = &mut self.used[(mixed >> 54) as usize];
            let seen =
                Slot { trace: self.trace, home, callee: call.callee, from_ns: from.start_ns, to_ns: from.end_ns };
            if slot.trace != self.trace {
                *slot = seen;
            } else if (slot.home, slot.callee) == (home, call.callee) {
                repeats = true;
                needs |= seen.from_ns < slot.to_ns && slot.from_ns < seen.to_ns;
                (slot.from_ns, slot.to_ns) = (slot.from_ns.min(seen.from_ns), slot.to_ns.max(seen.to_ns));
            } else {
                needs = true; // two pairs in one slot: only a closer look can tell
            }
            fails |= call.failed();
            needs |= from.marks.has(Marks::RESENT);
        }
        needs || (repeats && fails)
    }
}

fn attempt(forest: &Forest, roles: &[Role], call: &Call, at: u32) -> Option<Attempt> {
    let from = (call.from != NONE).then(|| &forest.spans[call.from as usize])?;
    let role = &roles[call.from as usize];
    let head = (call.head != NONE).then(|| &forest.spans[call.head as usize]);
    // Several answers to one client are attempts of their own, with the callee's times.
    let alone = call.head == NONE || (role.pair == call.head && forest.children(call.from).len() == 1);
    let seen = match head {
        Some(head) if !alone => head,
        _ => from,
    };
    Some(Attempt {
        home: role.home,
        callee: call.callee,
        operation: if calls_out(from.kind) { from.operation } else { NONE },
        start_ns: seen.start_ns,
        end_ns: seen.end_ns,
        done_ns: head.map_or(seen.end_ns, |head| head.end_ns.max(seen.end_ns)),
        served: head.map_or(NONE, |head| head.operation),
        failed: call.failed(),
        resent: from.marks.has(Marks::RESENT),
        call: at,
    })
}

/// Each failure has one retry at most: the first equal call that starts after it.
fn mark_retries(of_home: &[Attempt], open: &mut Vec<Attempt>, calls: &mut [Call]) {
    for group in of_home.chunk_by(|a, b| (a.callee, a.operation) == (b.callee, b.operation)) {
        open.clear();
        for attempt in group {
            let failure = open.iter().position(|failed| failed.end_ns <= attempt.start_ns && failed.equals(attempt));
            if let Some(failure) = failure {
                open.remove(failure);
            }
            calls[attempt.call as usize].retry = failure.is_some() || attempt.resent;
            if attempt.failed {
                if open.len() == MAX_OPEN {
                    open.remove(0);
                }
                open.push(*attempt);
            }
        }
    }
}

fn mark_hedges(forest: &Forest, of_home: &[Attempt], steps: &mut Vec<(i64, u32, u32)>, calls: &mut [Call]) {
    let overlap = |pair: &[Attempt]| pair[1].equals(&pair[0]) && pair[1].start_ns < pair[0].end_ns;
    if !of_home.windows(2).any(overlap) {
        return;
    }
    steps.clear();
    let mut first = 0;
    for group in of_home.chunk_by(|a, b| (a.callee, a.operation) == (b.callee, b.operation)) {
        steps.extend(group.iter().map(|attempt| (attempt.start_ns, first, group.len() as u32)));
        first += group.len() as u32;
    }
    // By the first member of their group, the calls of which group is `at`.
    let groups: Vec<(u32, u32)> = steps.iter().map(|&(_, first, count)| (first, count)).collect();
    steps.sort_unstable();
    let answered_ns = of_home.first().map_or(i64::MAX, |a| forest.spans[a.home as usize].end_ns);
    for (at, pair) in of_home.windows(2).enumerate().filter(|(_, pair)| overlap(pair)) {
        let (group, members) = groups[at];
        // The next step of another kind: one for all these calls, else it is a pipeline of several items side by side.
        let goes_on = |from_ns: i64| {
            let later = &steps[steps.partition_point(|step| step.0 < from_ns)..];
            let next = later.iter().take(MAX_OPEN).find(|step| step.1 != group);
            next.filter(|step| step.2 < members).map_or(answered_ns, |step| step.0.min(answered_ns))
        };
        calls[pair[1].call as usize].hedge = is_hedge(&pair[0], &pair[1], &calls[pair[1].call as usize], goes_on);
    }
}

fn is_hedge(first: &Attempt, second: &Attempt, call: &Call, goes_on: impl Fn(i64) -> i64) -> bool {
    let (winner, loser) = if second.end_ns < first.end_ns { (second, first) } else { (first, second) };
    // Of two that end together the one has answered that neither failed nor was left at work.
    let together = loser.end_ns.saturating_sub(winner.end_ns) <= SLACK_NS;
    let given_up = |one: &Attempt| one.failed || one.done_ns > one.end_ns.saturating_add(SLACK_NS);
    let (winner, loser) = if together && given_up(winner) { (loser, winner) } else { (winner, loser) };
    let delay = first.start_ns.abs_diff(second.start_ns) as f64;
    if winner.failed
        || call.mode != EdgeMode::Sync
        || delay < LEAST_DELAY * first.start_ns.abs_diff(winner.end_ns) as f64
    {
        return false;
    }
    (together && given_up(loser)) || goes_on(winner.end_ns) < loser.end_ns
}
