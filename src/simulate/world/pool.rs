//! Connections of one caller instance to one callee, and the calls that wait for one.

use std::collections::VecDeque;

use super::arena::Id;
use super::breaker::BreakerState;

/// What a pod keeps for one of the links that go out of it.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Connections in use.
    pub(super) used: u32,
    /// Calls that wait, first come first served. Those that gave up stay in line until it is their turn.
    pub(super) line: VecDeque<Id>,
    /// Calls that wait and have not given up.
    pub(super) waiting: u32,
    /// The breaker, where the link has one.
    pub(super) breaker: Option<BreakerState>,
    /// Counts calls: the next instance in turn.
    pub(super) turn: usize,
}

impl Outgoing {
    /// Takes a connection if one is free and nobody waits for it.
    pub(super) fn take(&mut self, size: Option<u32>) -> bool {
        let free = size.is_none_or(|size| self.used < size && self.waiting == 0);
        self.used += u32::from(free);
        free
    }
}
