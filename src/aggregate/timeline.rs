//! Who spent each instant of a call: its own work, or one of those that it waited for.
//!
//! The critical path follows CRISP (Zhang et al., USENIX ATC 2022): from a call's end backwards, the last to finish of
//! those waited for is on the path, from its start the last to finish before, and so on; what nobody covers is the
//! call's own. Where waits overlap CRISP leaves the earlier one out, and its time falls to the caller; here it counts
//! up to the start of the later one, so that time on the path never counts as own work while the caller waits.
//! Hence every instant of a request has exactly one owner, and the sums are exact.

use std::cmp::Reverse;

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
    stack: Vec<(u32, i64, i64)>,
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
        sweep(self.waits_of(node), start_ns, end_ns, |_, _, _| {})
    }

    /// Shares the stretch out among the node and all that it waited for: `give` gets each node's own part.
    pub(super) fn share_out(&mut self, node: u32, start_ns: i64, end_ns: i64, mut give: impl FnMut(u32, u64)) {
        let mut stack = std::mem::take(&mut self.stack);
        stack.push((node, start_ns, end_ns));
        while let Some((node, start_ns, end_ns)) = stack.pop() {
            let own_ns = sweep(self.waits_of(node), start_ns, end_ns, |wait, from_ns, to_ns| {
                // Both lie within the wait, so neither sum can leave the other node's own stretch.
                let shifted = |at_ns: i64| wait.origin_ns.wrapping_add(at_ns.wrapping_sub(wait.start_ns));
                stack.push((wait.target, shifted(from_ns), shifted(to_ns)));
            });
            give(node, own_ns);
        }
        self.stack = stack;
    }

    fn waits_of(&self, node: u32) -> &[Wait] {
        let (from, to) = self.ranges.get(node as usize).copied().unwrap_or((0, 0));
        &self.waits[from as usize..to as usize]
    }
}

/// Goes through the stretch from its end to its start, hands out what the waits (last end first) cover, each instant
/// once, and returns the length of the rest.
fn sweep(waits: &[Wait], start_ns: i64, end_ns: i64, mut cover: impl FnMut(&Wait, i64, i64)) -> u64 {
    let mut own_ns = 0;
    let mut at_ns = end_ns;
    for wait in waits {
        if at_ns <= start_ns || wait.end_ns <= start_ns {
            break;
        }
        if wait.start_ns >= at_ns {
            continue;
        }
        let (from_ns, to_ns) = (wait.start_ns.max(start_ns), wait.end_ns.min(at_ns));
        own_ns += at_ns.abs_diff(to_ns);
        cover(wait, from_ns, to_ns);
        at_ns = from_ns;
    }
    own_ns + at_ns.abs_diff(start_ns)
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
    use super::*;

    fn wait(start_ns: i64, end_ns: i64, target: u32) -> Wait {
        Wait { waiting: 0, start_ns, end_ns, origin_ns: start_ns, target }
    }

    fn shares(waits: &[Wait], start_ns: i64, end_ns: i64) -> Vec<(u32, u64)> {
        let mut timeline = Timeline::default();
        waits.iter().for_each(|&w| timeline.push(w));
        timeline.finish(4);
        let mut shares = Vec::new();
        timeline.share_out(0, start_ns, end_ns, |node, ns| shares.push((node, ns)));
        shares.sort_unstable();
        shares
    }

    #[test]
    fn each_instant_has_one_owner() {
        // One after the other.
        assert_eq!(shares(&[wait(10, 30, 1), wait(40, 90, 2)], 0, 100), [(0, 30), (1, 20), (2, 50)]);
        // In parallel: the last to finish was waited for.
        assert_eq!(shares(&[wait(10, 80, 1), wait(10, 90, 2)], 0, 100), [(0, 20), (2, 80)]);
        // Overlapping: the first counts until the second starts.
        assert_eq!(shares(&[wait(10, 60, 1), wait(40, 90, 2)], 0, 100), [(0, 20), (1, 30), (2, 50)]);
        // Outlives the one who waits.
        assert_eq!(shares(&[wait(50, 170, 1)], 0, 100), [(0, 50), (1, 50)]);
        // Of equal ends the longer.
        assert_eq!(shares(&[wait(50, 90, 1), wait(20, 90, 2)], 0, 100), [(0, 30), (2, 70)]);
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
