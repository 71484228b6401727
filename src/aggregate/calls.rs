//! The calls of one trace, each with its caller, its callee, its outcome and its share of the time.

use rustc_hash::{FxHashMap, FxHashSet};

use super::attempts::Attempts;
use super::clocks::sticks_out;
use super::forest::{Forest, LocalSpan};
use super::links::Links;
use super::names::{NONE, Names};
use super::roles::{Outgoing, Role, calls_out, find_roles, queue_between};
use super::timeline::{Timeline, Wait, place};
use super::weight::Weight;
use crate::telemetry::span::{Marks, SpanKind};
use crate::telemetry::topology::EdgeMode;

/// One call.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// Rank of the caller's node, or [`NONE`].
    pub(super) caller: u32,
    /// Rank of the callee's node.
    pub(super) callee: u32,
    /// Rank of the operation.
    pub(super) operation: u32,
    pub(super) mode: EdgeMode,
    /// The callee's span; [`NONE`] when it left none.
    pub(super) head: u32,
    /// The caller's span, or the one in whose work the call was made; [`NONE`] for a call from outside or from a queue.
    pub(super) from: u32,
    /// Rank of the callee's process; [`NONE`] when the callee left no span, or the span already counts with another call.
    pub(super) instance: u32,
    pub(super) start_ns: i64,
    pub(super) duration_ns: u64,
    pub(super) self_ns: u64,
    /// Of the duration of the root, times its weight: so the parts of all calls add up to the weighted durations of the
    /// roots, whatever the weights of the calls.
    pub(super) part_ns: u64,
    pub(super) part_gap_ns: u64,
    /// Caller's less callee's duration, for a call seen from both sides.
    pub(super) gap_ns: Option<u64>,
    pub(super) caller_failed: bool,
    pub(super) callee_failed: bool,
    /// Whether a failure begins at the callee.
    pub(super) origin: bool,
    /// Whether the caller stopped waiting for a callee that did not fail.
    pub(super) timed_out: bool,
    /// Whether the call repeats an earlier one that failed.
    pub(super) retry: bool,
    /// Whether the call repeats an earlier one that was still running, and only the first answer counted.
    pub(super) hedge: bool,
    /// Whether its caller's work called nobody else after it.
    pub(super) last: bool,
    /// How many calls it stands for: what the span says that shows it, the callee's head or else the caller's.
    pub(super) weight: Weight,
}

/// A callee that ends so much later than its caller's span was not waited for, nanoseconds. Less is the resolution of
/// clocks and the time that an answer needs to be noticed.
const OUTLIVES_NS: u64 = 1_000_000;

impl Call {
    /// A call as its caller's span tells it: the callee is silent, and so a failure seems to begin there, unless it is
    /// a timeout.
    fn to_silent(span: &LocalSpan, callee: u32, mode: EdgeMode) -> Self {
        let duration_ns = span.duration_ns();
        let timed_out = span.failed() && span.marks.has(Marks::TIMED_OUT);
        Self {
            caller: span.service,
            callee,
            operation: span.operation,
            mode,
            head: NONE,
            from: NONE,
            instance: NONE,
            start_ns: span.start_ns,
            duration_ns,
            self_ns: duration_ns,
            part_ns: 0,
            part_gap_ns: 0,
            gap_ns: None,
            caller_failed: span.failed(),
            callee_failed: false,
            origin: span.failed() && !timed_out,
            timed_out,
            retry: false,
            hedge: false,
            last: false,
            weight: span.weight,
        }
    }

    /// Whether either side judged the call failed.
    pub(super) fn failed(&self) -> bool {
        self.caller_failed || self.callee_failed
    }

    /// Whether the failure begins on the edge: the caller saw one, the callee was seen and did not.
    pub(super) fn failed_on_edge(&self) -> bool {
        self.caller_failed && self.head != NONE && !self.callee_failed && !self.timed_out
    }
}

/// Whom a caller's spans of a name call, as those say that were answered: a service that crashed answers no more, and
/// its callers need not name it. Its silence must not make its callers look as if they failed by themselves.
#[derive(Clone, Default)]
pub(super) struct Callees {
    /// Learnt from this round's spans, by service and operation of the caller's span; [`NONE`] for several callees.
    learnt: FxHashMap<(u32, u32), u32>,
    /// Of this round, spans without an answer or a known callee.
    unknown: FxHashSet<(u32, u32)>,
    /// From the round before.
    known: FxHashMap<(u32, u32), u32>,
}

impl Callees {
    fn learn(&mut self, caller: &LocalSpan, callee: u32) {
        if caller.kind == SpanKind::Client && self.known.is_empty() {
            let known = self.learnt.entry((caller.service, caller.operation)).or_insert(callee);
            if *known != callee {
                *known = NONE;
            }
        }
    }

    fn of(&mut self, caller: &LocalSpan) -> Option<u32> {
        let key = (caller.service, caller.operation);
        let callee = self.known.get(&key).copied();
        if callee.is_none() {
            self.unknown.insert(key);
        }
        callee
    }

    /// What another round over the same spans should know; `None` where it would find no more than this one did.
    pub(super) fn for_another_round(found: &[&Self]) -> Option<Self> {
        let mut unknown = FxHashSet::default();
        found.iter().for_each(|round| unknown.extend(round.unknown.iter().copied()));
        let only = |key: &(u32, u32)| {
            let mut callees = found.iter().filter_map(|round| round.learnt.get(key).copied());
            let first = callees.next().filter(|callee| *callee != NONE)?;
            callees.all(|callee| callee == first).then_some(first)
        };
        let known: FxHashMap<(u32, u32), u32> =
            unknown.into_iter().filter_map(|key| Some((key, only(&key)?))).collect();
        (!known.is_empty()).then(|| Self { known, ..Self::default() })
    }
}

/// What could not be seen of the calls.
#[derive(Clone, Copy, Default)]
pub(super) struct Unseen {
    pub(super) unpaired_clients: u64,
    pub(super) outside_parent: u64,
}

/// The calls of one trace; reused from trace to trace.
#[derive(Default)]
pub(super) struct TraceCalls {
    pub(super) calls: Vec<Call>,
    roles: Vec<Role>,
    /// For each span as a head, and then for each as an outgoing span, its call or [`NONE`].
    call_of: Vec<u32>,
    /// For each head, whether a call that it made failed.
    callee_of_it_failed: Vec<bool>,
    /// For each span when its last child began, as far as anybody asked; [`i64::MIN`] until then.
    last_child_began_ns: Vec<i64>,
    /// For each head its last call, or [`NONE`].
    last_call_of: Vec<u32>,
    timeline: Timeline,
    attempts: Attempts,
    /// Over all traces, by caller's and callee's process: callees that seem to lie outside of their caller's span.
    pub(super) sticking_out: FxHashMap<(u32, u32), u64>,
}

impl TraceCalls {
    /// Finds the calls of the trace. `instrumented` tells which nodes emit spans of their own.
    pub(super) fn rebuild(
        &mut self,
        forest: &Forest,
        names: &Names,
        links: &Links,
        instrumented: &[bool],
        callees: &mut Callees,
        unseen: &mut Unseen,
    ) {
        find_roles(forest, names, links, &mut self.roles);
        self.calls.clear();
        self.call_of.clear();
        self.call_of.resize(forest.spans.len() * 2, NONE);
        self.callee_of_it_failed.clear();
        self.callee_of_it_failed.resize(forest.spans.len(), false);
        self.last_child_began_ns.clear();
        self.last_child_began_ns.resize(forest.spans.len(), i64::MIN);
        for at in 0..forest.spans.len() as u32 {
            let role = self.roles[at as usize];
            if role.head {
                self.add_head(forest, names, links, at);
            }
            if role.pair != NONE {
                callees.learn(&forest.spans[at as usize], forest.spans[role.pair as usize].service);
            }
            let (node, mode) = match role.outgoing {
                Outgoing::Nothing => continue,
                Outgoing::Unknown => match callees.of(&forest.spans[at as usize]) {
                    Some(node) => {
                        self.roles[at as usize].outgoing = Outgoing::Waits(node);
                        (node, EdgeMode::Sync)
                    }
                    None => {
                        unseen.unpaired_clients += 1;
                        continue;
                    }
                },
                Outgoing::Waits(node) => (node, EdgeMode::Sync),
                Outgoing::Sends(node) => (node, EdgeMode::Async),
            };
            unseen.unpaired_clients += u64::from(instrumented[node as usize]);
            self.add_silent(forest, at, node, mode);
        }
        self.attempts.mark(forest, &self.roles, &mut self.calls);
        self.mark_last(forest);
        self.list_waits(forest);
        self.measure(forest, unseen);
        self.share_time_out(forest);
    }

    /// Marks of each caller's work the call that began last.
    fn mark_last(&mut self, forest: &Forest) {
        self.last_call_of.clear();
        self.last_call_of.resize(forest.spans.len(), NONE);
        let began =
            |call: &Call| (forest.spans[call.from as usize].start_ns, call.start_ns, call.callee, call.operation);
        let waits = |call: &Call| call.from != NONE && call.mode == EdgeMode::Sync;
        for (at, call) in self.calls.iter().enumerate().filter(|(_, call)| waits(call)) {
            let home = self.roles[call.from as usize].home;
            let Some(last) = self.last_call_of.get_mut(home as usize) else { continue };
            if *last == NONE || began(&self.calls[*last as usize]) < began(call) {
                *last = at as u32;
            }
        }
        for &at in self.last_call_of.iter().filter(|at| **at != NONE) {
            self.calls[at as usize].last = true;
        }
    }

    /// Adds the call that begins at a head. A message that several sent (a batch) is a call from each of them.
    fn add_head(&mut self, forest: &Forest, names: &Names, links: &Links, at: u32) {
        let span = &forest.spans[at as usize];
        let parent = forest.parent[at as usize];
        let above = (parent != NONE).then(|| &forest.spans[parent as usize]);
        let role = self.roles[at as usize];
        let mut call = Call {
            caller: above.map_or(NONE, |a| a.service),
            mode: if role.detached { EdgeMode::Async } else { EdgeMode::Sync },
            instance: span.instance,
            caller_failed: false,
            callee_failed: span.failed(),
            head: at,
            from: parent,
            origin: false,
            timed_out: false,
            ..Call::to_silent(span, span.service, EdgeMode::Sync)
        };
        if let Some(above) = above {
            if calls_out(above.kind) {
                let answers = self.roles[parent as usize].pair == at;
                call.caller_failed = above.failed() && (answers || role.detached);
                call.timed_out = call.caller_failed && !role.detached && timed_out(above, span);
            } else if above.failed() && !role.detached && timed_out(above, span) && self.is_last_child(forest, at) {
                // The caller has no span for its side of the call, but it gave up while it waited for this one.
                (call.caller_failed, call.timed_out) = (true, true);
            }
            self.look_at_clocks(above, span);
        }
        self.call_of[at as usize] = self.calls.len() as u32;
        if span.kind == SpanKind::Consumer {
            self.add_message(forest, names, links, at, call);
        } else {
            self.calls.push(call);
        }
        if parent != NONE && (!role.detached || call.caller_failed) {
            let caller = self.roles[parent as usize].home as usize;
            self.callee_of_it_failed[caller] |= call.failed();
        }
    }

    /// The head of the work that a span belongs to.
    pub(super) fn home(&self, span: u32) -> u32 {
        self.roles[span as usize].home
    }

    /// Whether the parent began nothing after this child.
    fn is_last_child(&mut self, forest: &Forest, at: u32) -> bool {
        let parent = forest.parent[at as usize];
        let last_ns = &mut self.last_child_began_ns[parent as usize];
        if *last_ns == i64::MIN {
            // Once for all children: each of many may ask.
            let starts = forest.children(parent).iter().map(|&child| forest.spans[child as usize].start_ns);
            *last_ns = starts.max().unwrap_or(i64::MIN);
        }
        *last_ns <= forest.spans[at as usize].start_ns
    }

    /// Adds the call of a consumer: from the queue when one is named, else from whoever sent the message.
    fn add_message(&mut self, forest: &Forest, names: &Names, links: &Links, at: u32, call: Call) {
        let span = &forest.spans[at as usize];
        let parent = forest.parent[at as usize];
        let above = (parent != NONE).then(|| &forest.spans[parent as usize]);
        let own_queue = names.queue(span.peer);
        let from_queue =
            |queue: u32| Call { caller: queue, from: NONE, mode: EdgeMode::Async, caller_failed: false, ..call };
        if above.is_some_and(|a| calls_out(a.kind)) {
            let queue = queue_between(forest, names, parent, at);
            self.calls.push(if queue == NONE { call } else { from_queue(queue) });
            return;
        }
        let senders = links.senders(forest.trace, span.id);
        if !senders.is_empty() {
            let first = self.calls.len();
            for sender in senders {
                let queue = if sender.queue == NONE { own_queue } else { sender.queue };
                let caller_failed = sender.failed;
                let direct = Call { caller: sender.service, from: NONE, mode: EdgeMode::Async, caller_failed, ..call };
                let next = if queue == NONE { direct } else { from_queue(queue) };
                let new = |calls: &[Call], of: &Call| {
                    calls[first..].iter().all(|c| (c.caller, c.callee) != (of.caller, of.callee))
                };
                if new(&self.calls, &next) {
                    // Time and process count once, with the first.
                    let instance = if self.calls.len() == first { call.instance } else { NONE };
                    self.calls.push(Call { instance, ..next });
                }
                let handed_over = Call { caller: sender.service, ..hand_over(span, queue) };
                if sender.in_passing && queue != NONE && new(&self.calls, &handed_over) {
                    self.calls.push(handed_over);
                }
            }
            return;
        }
        match above {
            _ if own_queue == NONE => {
                // A handler without a word about its sender is called by its parent, or comes from outside.
                self.calls.push(call);
            }
            Some(above) if above.service != span.service => {
                self.calls.push(from_queue(own_queue));
                let start_ns = above.start_ns;
                self.calls.push(Call { caller: above.service, start_ns, ..hand_over(span, own_queue) });
            }
            Some(_) | None => self.calls.push(from_queue(own_queue)),
        }
    }

    /// Counts a callee that seems to lie outside of its caller's span by more than the resolution of clocks.
    fn look_at_clocks(&mut self, above: &LocalSpan, head: &LocalSpan) {
        if above.instance != head.instance && sticks_out(above, head) {
            *self.sticking_out.entry((above.instance, head.instance)).or_default() += 1;
        }
    }

    /// Adds a call to a callee that left no span.
    fn add_silent(&mut self, forest: &Forest, at: u32, node: u32, mode: EdgeMode) {
        let span = &forest.spans[at as usize];
        self.call_of[forest.spans.len() + at as usize] = self.calls.len() as u32;
        self.calls.push(Call { from: at, ..Call::to_silent(span, node, mode) });
        let caller = self.roles[at as usize].home as usize;
        self.callee_of_it_failed[caller] |= span.failed();
    }

    /// Lists who waits for whom. The timeline's nodes are, for each of `n` spans: as a head `at`, as a caller's half
    /// `n + at`, as a call to a silent callee `2n + at`.
    fn list_waits(&mut self, forest: &Forest) {
        let count = forest.spans.len() as u32;
        self.timeline.clear();
        for at in 0..count {
            let span = &forest.spans[at as usize];
            let role = self.roles[at as usize];
            let (start_ns, end_ns) = (span.start_ns, span.end_ns);
            let whole = |target| Wait { waiting: role.home, start_ns, end_ns, origin_ns: start_ns, target };
            if matches!(role.outgoing, Outgoing::Waits(_)) {
                self.timeline.push(whole(2 * count + at));
            }
            if role.pair != NONE {
                self.timeline.push(whole(count + at));
            }
            let roles = &self.roles;
            let waited_for = |child: &&u32| roles[**child as usize].head && !roles[**child as usize].detached;
            let alone = forest.children(at).iter().filter(waited_for).count() == 1;
            for &child in forest.children(at).iter().filter(waited_for) {
                let callee = &forest.spans[child as usize];
                let direct = Wait {
                    waiting: role.home,
                    start_ns: callee.start_ns,
                    end_ns: callee.end_ns,
                    origin_ns: callee.start_ns,
                    target: child,
                };
                self.timeline.push(if role.pair == NONE {
                    direct
                } else if alone {
                    let (from_ns, to_ns, origin_ns) = place((start_ns, end_ns), (callee.start_ns, callee.end_ns));
                    Wait { waiting: count + at, start_ns: from_ns, end_ns: to_ns, origin_ns, target: child }
                } else {
                    // Several answered one client (a proxy's second attempt): their clocks are taken as they are.
                    Wait { waiting: count + at, ..direct }
                });
            }
        }
        self.timeline.finish(2 * count as usize);
    }

    /// Fills in self-times, gaps, and where failures begin.
    fn measure(&mut self, forest: &Forest, unseen: &mut Unseen) {
        for call in self.calls.iter_mut().filter(|call| call.head != NONE) {
            let span = &forest.spans[call.head as usize];
            call.self_ns = self.timeline.own_ns(call.head, span.start_ns, span.end_ns);
            call.origin = call.callee_failed && !self.callee_of_it_failed[call.head as usize];
        }
        for (at, role) in self.roles.iter().enumerate().filter(|(_, role)| role.pair != NONE) {
            let (caller, callee) = (&forest.spans[at], &forest.spans[role.pair as usize]);
            let half = (forest.spans.len() + at) as u32;
            let gap_ns = self.timeline.own_ns(half, caller.start_ns, caller.end_ns);
            self.calls[self.call_of[role.pair as usize] as usize].gap_ns = Some(gap_ns);
            let outside = callee.start_ns < caller.start_ns || callee.end_ns > caller.end_ns;
            unseen.outside_parent += u64::from(outside);
        }
    }

    /// Shares each root's duration out. A fragment whose parent was not read lies within somebody else's time, so it
    /// has none of its own, unless the trace has no root at all.
    fn share_time_out(&mut self, forest: &Forest) {
        let count = forest.spans.len() as u32;
        let (calls, call_of, roles) = (&mut self.calls, &self.call_of, &self.roles);
        for &at in forest.order.iter().take_while(|&&at| forest.parent[at as usize] == NONE) {
            if at != forest.entry && !forest.is_root(at) {
                continue;
            }
            let span = &forest.spans[at as usize];
            let weight = span.weight.value();
            self.timeline.share_out(at, span.start_ns, span.end_ns, |node, own_ns, sharing| {
                let share = if node < count {
                    &mut calls[call_of[node as usize] as usize].part_ns
                } else if node < 2 * count {
                    let pair = roles[(node - count) as usize].pair;
                    &mut calls[call_of[pair as usize] as usize].part_gap_ns
                } else {
                    &mut calls[call_of[(node - count) as usize] as usize].part_ns
                };
                // Rounded, so that halves of nanoseconds are not lost on one side only.
                let part_ns = own_ns.saturating_add(sharing / 2) / sharing;
                *share = share.saturating_add(part_ns.saturating_mul(weight));
            });
        }
    }
}

/// Whether the caller stopped waiting: its span failed, the callee's did not and went on, or the caller says so.
fn timed_out(caller: &LocalSpan, callee: &LocalSpan) -> bool {
    let goes_on = callee.end_ns > caller.end_ns && callee.end_ns.abs_diff(caller.end_ns) > OUTLIVES_NS;
    caller.failed() && !callee.failed() && (goes_on || caller.marks.has(Marks::TIMED_OUT))
}

/// A message to a queue of which only the consumer's span tells: the sender left no span of its own for the hand-over, so
/// nothing is known of its time.
fn hand_over(consumer: &LocalSpan, queue: u32) -> Call {
    Call {
        duration_ns: 0,
        self_ns: 0,
        caller_failed: false,
        origin: false,
        timed_out: false,
        ..Call::to_silent(consumer, queue, EdgeMode::Async)
    }
}
