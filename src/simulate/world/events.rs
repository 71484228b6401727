//! What happens next: events in order of time, and those of one instant in the order in which they were planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::arena::Id;

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// A request may come in at this entry.
    Arrival(u32),
    /// A job goes on: its work or its delay is over.
    GoOn(Id),
    /// A call reaches the callee.
    Reach(Id),
    /// The answer of a call, or the news that there is none, reaches the caller.
    Answer(Id),
    /// The caller waits no longer for an answer.
    GiveUp(Id),
    /// The caller waits no longer for a connection.
    GiveUpConnection(Id),
    /// The next attempt of a call.
    Retry(Id),
    /// An effect begins or ends.
    Resolve,
    /// A second has passed.
    Second,
    /// The autoscaler looks.
    Autoscale,
    /// One pod of a deploy is replaced.
    Replace(u32),
    /// The container of a pod has started; the number says which of its containers.
    Started(u32, u32),
    /// Clients are told that a pod takes no requests; the number says which of its containers died.
    Unroute(u32, u32),
    /// A pod that was told to stop is stopped.
    Stop(u32),
    /// A pod is scraped.
    Scrape(u32),
    /// The exporters of topics and machines are scraped.
    ScrapeShared,
    /// A pod logs something routine.
    Routine(u32),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at_ns: i64,
    sequence: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// The earliest is the greatest: the heap gives out its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ns, other.sequence).cmp(&(self.at_ns, self.sequence))
    }
}

/// Events to come.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Event>,
    planned: u64,
}

impl Events {
    pub(super) fn plan(&mut self, at_ns: i64, what: What) {
        self.planned += 1;
        self.heap.push(Event { at_ns, sequence: self.planned, what });
    }

    /// The next event before `end_ns`.
    pub(super) fn next(&mut self, end_ns: i64) -> Option<(i64, What)> {
        if self.heap.peek()?.at_ns >= end_ns {
            return None;
        }
        self.heap.pop().map(|event| (event.at_ns, event.what))
    }
}
