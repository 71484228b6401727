//! Who spent each instant of a call: its own work, or those that it waited for, in equal parts.
//!
//! What nobody covers is the call's own. An instant at which the call waits for `k` others at once is shared among them
//! equally, and so on below each of them. That is the Shapley value of the game whose players are the waits, and in which a
//! coalition costs as much time as its waits cover together (every instant is a game of its own, won by whoever covers it;
//! Shapley 1953, additivity). Where all begin at once it is the airport game (Littlechild and Owen 1973) that ShapleyIQ
//! plays (Li et al., ASPLOS 2023). Since the value is linear in the costs, the difference of two windows' sums is the value
//! of the game of their difference: how much of a rise each of parallel calls brought about, also where two grew and either
//! alone would have been enough. A critical path gives all of it to the last to finish.
//!
//! The shares of an instant add up to it, but for what rounding to whole nanoseconds takes or adds.

use std::cmp::Reverse;

/// Of more waits at once than this, those share that finish last: of hundreds each has a part too small to tell, and to
/// follow them all costs the square of their number.
const MOST_SHARING: usize = 32;

/// A stretch of a node's time that belongs to another node.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    /// The node that waits.
    pub(super) waiting: u32,
    /// First instant, on the clock of the node that waits.
    pub(super) start_ns: i64,
    /// First instant after, on the same clock.
    pub(super) end_ns: i64,
    /// The first instant on the clock of the other node.
    pub(super) origin_ns: i64,
    /// The other node.
    pub(super) target: u32,
}

/// All waits of one trace. Nodes are numbers that the caller chooses.
#[derive(Default)]
pub(super) struct Timeline {
    waits: Vec<Wait>,
    ranges: Vec<(u32, u32)>,
    stack: Vec<Stretch>,
    covering: Vec<Wait>,
}

/// A stretch of a node's time, shared with so many less one others.
#[derive(Clone, Copy)]
struct Stretch {
    node: u32,
    start_ns: i64,
    end_ns: i64,
    sharing: u64,
}

impl Timeline {
    pub(super) fn clear(&mut self) {
        self.waits.clear();
    }

    /// Adds a wait; an empty one is left out.
    pub(super) fn push(&mut self, wait: Wait) {
        if wait.start_ns < wait.end_ns {
            self.waits.push(wait);
        }
    }

    /// Puts the waits in order; `nodes` is above every waiting node. Call once after the last push.
    pub(super) fn finish(&mut self, nodes: usize) {
        self.waits.sort_unstable_by_key(|w| (w.waiting, Reverse(w.end_ns), w.start_ns, w.target));
        self.ranges.clear();
        self.ranges.resize(nodes, (0, 0));
        for (at, wait) in self.waits.iter().enumerate() {
            let range = &mut self.ranges[wait.waiting as usize];
            if range.1 == 0 {
                range.0 = at as u32;
            }
            range.1 = at as u32 + 1;
        }
    }

    /// The node's own time in the stretch, nanoseconds.
    pub(super) fn own_ns(&self, node: u32, start_ns: i64, end_ns: i64) -> u64 {
        uncovered(self.waits_of(node), start_ns, end_ns)
    }

    /// Shares the stretch out among the node and all that it waited for: `give` gets each node's own part, nanoseconds in
    /// total and among how many they are shared.
    pub(super) fn share_out(&mut self, node: u32, start_ns: i64, end_ns: i64, mut give: impl FnMut(u32, u64, u64)) {
        let mut stack = std::mem::take(&mut self.stack);
        let mut covering = std::mem::take(&mut self.covering);
        stack.push(Stretch { node, start_ns, end_ns, sharing: 1 });
        while let Some(stretch) = stack.pop() {
            let own_ns =
                split(self.waits_of(stretch.node), &stretch, &mut covering, |wait, from_ns, to_ns, sharing| {
                    // Both lie within the wait, so neither sum can leave the other node's own stretch.
                    let shifted = |at_ns: i64| wait.origin_ns.wrapping_add(at_ns.wrapping_sub(wait.start_ns));
                    let (start_ns, end_ns) = (shifted(from_ns), shifted(to_ns));
                    let sharing = stretch.sharing.saturating_mul(sharing);
                    stack.push(Stretch { node: wait.target, start_ns, end_ns, sharing });
                });
            give(stretch.node, own_ns, stretch.sharing);
        }
        (self.stack, self.covering) = (stack, covering);
    }

    fn waits_of(&self, node: u32) -> &[Wait] {
        let (from, to) = self.ranges.get(node as usize).copied().unwrap_or((0, 0));
        &self.waits[from as usize..to as usize]
    }
}

/// The part of the stretch that no wait (last end first) covers, nanoseconds.
fn uncovered(waits: &[Wait], start_ns: i64, end_ns: i64) -> u64 {
    let mut own_ns = 0;
    let mut at_ns = end_ns;
    for wait in waits {
        if at_ns <= start_ns || wait.end_ns <= start_ns {
            break;
        }
        if wait.start_ns < at_ns {
            own_ns += at_ns.abs_diff(wait.end_ns.min(at_ns));
            at_ns = wait.start_ns.max(start_ns);
        }
    }
    own_ns + at_ns.abs_diff(start_ns)
}

/// Goes through the stretch from its end to its start, hands out what waits (last end first) cover, piece by piece with
/// the number of those that share it, and returns the length of the rest. `covering` is empty before and after.
fn split(
    waits: &[Wait],
    stretch: &Stretch,
    covering: &mut Vec<Wait>,
    mut cover: impl FnMut(&Wait, i64, i64, u64),
) -> u64 {
    let (start_ns, mut at_ns) = (stretch.start_ns, stretch.end_ns);
    let mut own_ns = 0;
    let mut coming = waits.iter().peekable();
    while at_ns > start_ns {
        covering.retain(|wait| wait.start_ns < at_ns);
        while covering.len() < MOST_SHARING
            && let Some(wait) = coming.next_if(|wait| wait.end_ns >= at_ns)
        {
            if wait.start_ns < at_ns {
                covering.push(*wait);
            }
        }
        // Up to here nobody comes or goes; whom there is no room for comes when another goes.
        let is_full = covering.len() >= MOST_SHARING;
        let next_end_ns = coming.peek().filter(|_| !is_full).map_or(start_ns, |wait| wait.end_ns);
        let from_ns = covering.iter().map(|wait| wait.start_ns).fold(next_end_ns.max(start_ns), i64::max);
        if covering.is_empty() {
            own_ns += at_ns.abs_diff(from_ns);
        }
        for wait in covering.iter() {
            cover(wait, from_ns, at_ns, covering.len() as u64);
        }
        at_ns = from_ns;
    }
    covering.clear();
    own_ns
}

/// Where the callee's span lies within its caller's: (start, end) on the caller's clock, and the callee's own instant
/// that corresponds to the start.
///
/// Clocks differ, so a callee that would stick out is moved by as little as makes it fit. Of a callee that takes longer
/// than its caller waited, only the part that was waited for counts.
pub(super) fn place(caller: (i64, i64), callee: (i64, i64)) -> (i64, i64, i64) {
    let (waited, worked) = (caller.1.abs_diff(caller.0), callee.1.abs_diff(callee.0));
    if worked < waited {
        let latest_start = caller.1.saturating_sub_unsigned(worked);
        let start = callee.0.clamp(caller.0, latest_start);
        return (start, start.saturating_add_unsigned(worked), callee.0);
    }
    let origin = if callee.1 < caller.1 { callee.1.saturating_sub_unsigned(waited) } else { callee.0.max(caller.0) };
    (caller.0, caller.1, origin)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn wait(start_ns: i64, end_ns: i64, target: u32) -> Wait {
        Wait { waiting: 0, start_ns, end_ns, origin_ns: start_ns, target }
    }

    fn shares(waits: &[Wait], start_ns: i64, end_ns: i64) -> Vec<(u32, f64)> {
        let mut timeline = Timeline::default();
        waits.iter().for_each(|&w| timeline.push(w));
        timeline.finish(4);
        let mut shares = BTreeMap::new();
        timeline.share_out(0, start_ns, end_ns, |node, ns, sharing| {
            *shares.entry(node).or_default() += ns as f64 / sharing as f64;
        });
        shares.into_iter().collect()
    }

    #[test]
    fn each_instant_is_shared_by_those_that_are_waited_for() {
        // One after the other.
        assert_eq!(shares(&[wait(10, 30, 1), wait(40, 90, 2)], 0, 100), [(0, 30.0), (1, 20.0), (2, 50.0)]);
        // In parallel, the airport game: 70 / 2 and 70 / 2 + 10.
        assert_eq!(shares(&[wait(10, 80, 1), wait(10, 90, 2)], 0, 100), [(0, 20.0), (1, 35.0), (2, 45.0)]);
        // Overlapping.
        assert_eq!(shares(&[wait(10, 60, 1), wait(40, 90, 2)], 0, 100), [(0, 20.0), (1, 40.0), (2, 40.0)]);
        // Outlives the one who waits.
        assert_eq!(shares(&[wait(50, 170, 1)], 0, 100), [(0, 50.0), (1, 50.0)]);
    }

    #[test]
    fn what_lies_below_is_shared_by_the_same_instants() {
        // 1 and 2 at once until 50, then 1 alone; 3 is called by 1 until 50.
        let below = Wait { waiting: 1, start_ns: 0, end_ns: 50, origin_ns: 1000, target: 3 };
        let of = shares(&[wait(0, 100, 1), wait(0, 50, 2), below], 0, 100);
        assert_eq!(of, [(0, 0.0), (1, 50.0), (2, 25.0), (3, 25.0)]);
    }

    /// The Shapley value by its definition: the mean, over all orders, of what each adds to the time that is covered.
    fn by_definition(waits: &[Wait], length: i64) -> Vec<f64> {
        let covered = |of: &[usize]| {
            (0..length).filter(|at| of.iter().any(|&w| waits[w].start_ns <= *at && *at < waits[w].end_ns)).count()
        };
        let mut value = vec![0.0; waits.len()];
        let orders = orders(waits.len());
        for order in &orders {
            for (place, &player) in order.iter().enumerate() {
                value[player] += (covered(&order[..=place]) - covered(&order[..place])) as f64 / orders.len() as f64;
            }
        }
        value
    }

    fn orders(players: usize) -> Vec<Vec<usize>> {
        if players == 0 {
            return vec![Vec::new()];
        }
        let shorter = orders(players - 1);
        let with = |order: &Vec<usize>, at: usize| [&order[..at], &[players - 1], &order[at..]].concat();
        shorter.iter().flat_map(|order| (0..players).map(move |at| with(order, at))).collect()
    }

    proptest! {
        #[test]
        fn shares_are_the_shapley_value(spans in prop::collection::vec((0..30_i64, 1..30_i64), 1..5)) {
            let waits: Vec<Wait> =
                spans.iter().zip(1..).map(|(&(start, length), target)| wait(start, start + length, target)).collect();
            let of: BTreeMap<u32, f64> = shares(&waits, 0, 60).into_iter().collect();
            for (value, target) in by_definition(&waits, 60).into_iter().zip(1..) {
                prop_assert!((of.get(&target).copied().unwrap_or(0.0) - value).abs() < 1e-9);
            }
            prop_assert!((of.values().sum::<f64>() - 60.0).abs() < 1e-9);
        }
    }

    #[test]
    fn of_very_many_at_once_the_last_to_finish_share() {
        let waits: Vec<Wait> = (1..=3).flat_map(|target| vec![wait(0, 90 + i64::from(target), target); 20]).collect();
        let of: BTreeMap<u32, f64> = shares(&waits, 0, 90).into_iter().collect();
        assert!((of[&3] - 90.0 * 20.0 / 32.0).abs() < 1e-9 && (of[&2] - 90.0 * 12.0 / 32.0).abs() < 1e-9, "{of:?}");
        assert!(!of.contains_key(&1));
    }

    #[test]
    fn a_callee_is_moved_as_little_as_makes_it_fit() {
        assert_eq!(place((100, 200), (120, 150)), (120, 150, 120));
        assert_eq!(place((100, 200), (90, 150)), (100, 160, 90)); // starts early: moved 10 later
        assert_eq!(place((100, 200), (5000, 5060)), (140, 200, 5000)); // a clock far ahead
        assert_eq!(place((100, 200), (150, 400)), (100, 200, 150)); // goes on after the caller gave up
        assert_eq!(place((100, 200), (50, 400)), (100, 200, 100)); // covers the caller
        assert_eq!(place((100, 200), (0, 150)), (100, 200, 50));
        assert_eq!(place((i64::MIN, i64::MAX), (0, 1)), (0, 1, 0));
    }
}
