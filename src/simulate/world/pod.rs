//! A pod as the world sees it: its queue, its workers, its connections and its counters.

use std::collections::VecDeque;

use crate::simulate::system::ServiceIdx;

use super::arena::Id;
use super::effects::InstanceKnobs;
use super::pool::Outgoing;

/// Where a pod stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its container starts: connections are refused.
    Starting,
    /// Takes requests.
    Ready,
    /// Told to stop: finishes what it has.
    Draining,
    /// Its container was killed and will be started again.
    Killed,
    /// Gone without a word ([`crate::simulate::plan::Knob::Down`]).
    Silent,
    /// Is no more.
    Ended,
}

/// What only grows while a container lives.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) started_ns: i64,
    pub(super) cpu_ns: i64,
    pub(super) throttled_ns: i64,
    pub(super) gc_ns: i64,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) disk_ns: i64,
    /// What requests waited for the disk since the last reading of `disk_ns`.
    pub(super) disk_asked_ns: i64,
    pub(super) disk_read_ns: i64,
}

/// Memory of one container, MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Never given back.
    pub(super) leaked: f64,
    /// Taken at once by a disturbance.
    pub(super) allocated: f64,
    /// Waits for the next collection.
    pub(super) garbage: f64,
    /// What the kernel and the allocator keep at the moment, more or less than usual.
    pub(super) drift: f64,
}

/// A pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) service: ServiceIdx,
    /// `None`: outside of the cluster.
    pub(super) machine: Option<usize>,
    /// Place among the pods of its service: for the machine, and in the names of stateful pods.
    pub(super) ordinal: u32,
    pub(super) stage: Stage,
    /// Counts its containers: events that were planned for an earlier one are void.
    pub(super) container: u32,
    pub(super) restarts: u32,
    /// Restarts in a row without ten quiet minutes.
    pub(super) crashes: u32,
    /// The pod that is told to stop when this one is ready.
    pub(super) replaces: Option<usize>,

    pub(super) busy: u32,
    pub(super) line: VecDeque<Id>,
    /// Messages in work, for each consumer group of its service.
    pub(super) consuming: Vec<u32>,
    /// One for each link out of its service.
    pub(super) outgoing: Vec<Outgoing>,

    pub(super) knobs: InstanceKnobs,
    /// Being computed.
    pub(super) next_knobs: InstanceKnobs,
    /// CPU that the work in progress asks for, millionths of a core.
    pub(super) demand: i64,
    /// When the demand changed last.
    pub(super) demand_ns: i64,
    /// Sum of all pauses for garbage; work in progress is lengthened by what it grows.
    pub(super) paused_ns: i64,
    /// End of the current pause.
    pub(super) paused_until_ns: i64,
    /// When the lock of the instance becomes free.
    pub(super) lock_free_ns: i64,
    /// Share of its usual hits that a cache has, 0 to 1.
    pub(super) warmth: f64,
    /// This many misses bring it back to 63 %.
    pub(super) misses_to_warm: f64,

    pub(super) memory: Memory,
    pub(super) counters: Counters,
    /// CPU time at the autoscaler's last look.
    pub(super) scaled_cpu_ns: i64,

    /// Second of the last bounded line of the log, and how many there were in it.
    pub(super) log_second: i64,
    pub(super) log_lines: u32,
}

impl Pod {
    /// Whether a request that reaches it is taken.
    pub(super) fn serves(&self) -> bool {
        matches!(self.stage, Stage::Ready | Stage::Draining)
    }

    /// Requests and messages in work.
    pub(super) fn in_work(&self) -> u32 {
        self.busy + self.consuming.iter().sum::<u32>()
    }

    /// Whether it counts among the pods that the service should have.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self.stage, Stage::Draining | Stage::Ended)
    }

    /// CPU that the container would use if the machine were free: demand up to the limit.
    pub(super) fn capped_demand(&self) -> i64 {
        (self.demand + self.knobs.hog).min(self.knobs.cpu_limit)
    }
}
