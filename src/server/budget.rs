//! How many bytes of requests are in memory at once: a request takes its share as its bytes come, and gives it back when
//! it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All that may be taken.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    taken: AtomicU64,
}

/// What one request has taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: AtomicU64,
}

/// There is no more room now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, taken: AtomicU64::new(0) }
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// For a request of which nothing has come yet.
    pub(super) fn hold(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: AtomicU64::new(0) }
    }
}

impl Held {
    /// Takes so many more bytes.
    pub(super) fn grow(&self, bytes: u64) -> Result<(), Full> {
        let before = self.budget.taken.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.budget.limit {
            self.budget.taken.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Full);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_given_back() {
        let budget = Arc::new(Budget::new(10));
        let (first, second) = (budget.hold(), budget.hold());
        assert_eq!((first.grow(4), first.grow(3), second.grow(4)), (Ok(()), Ok(()), Err(Full)));
        assert_eq!((second.grow(3), budget.taken()), (Ok(()), 10));
        drop(first);
        assert_eq!((second.grow(7), budget.taken()), (Ok(()), 10));
        drop(second);
        assert_eq!(budget.taken(), 0);
    }
}
