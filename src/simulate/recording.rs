//! Everything that happened in a run, before telemetry forgets some of it.

use super::system::{LinkIdx, OperationIdx, ServiceIdx, TopicIdx};

/// Place of an instance in [`Recording::instances`].
pub type InstanceIdx = u32;

/// What a run of the world leaves behind.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recording {
    /// All pods that ever were, in order of their start.
    pub instances: Vec<Instance>,
    /// Spans by end (then by id).
    pub spans: Vec<SpanRecord>,
    /// Readings of instances, by time, then instance.
    pub instance_samples: Vec<InstanceSample>,
    /// Readings of connection pools, by time, then instance, then link. Only of links with a pool.
    pub pool_samples: Vec<PoolSample>,
    /// Readings of topics, by time, then topic, then consumer.
    pub topic_samples: Vec<TopicSample>,
    /// Readings of machines' foreign pods, by time, then machine. Only of machines that have one.
    pub neighbour_samples: Vec<NeighbourSample>,
    /// What services log, by time.
    pub logs: Vec<LogRecord>,
    /// Deploys, scalings and restarts that someone or something recorded, by time.
    pub changes: Vec<ChangeRecord>,
    /// Events that were processed: the cost of the run.
    pub events: u64,
}

/// A pod.
#[derive(Clone, PartialEq, Debug)]
pub struct Instance {
    /// Whose.
    pub service: ServiceIdx,
    /// Name of the pod, `cart-6b5d8f7c9-h7jrw`.
    pub pod: String,
    /// Machine it runs on.
    pub machine: u32,
    /// Version it runs.
    pub version: String,
    /// Unix ns.
    pub started_ns: i64,
    /// Unix ns; `None` while it lives.
    pub ended_ns: Option<i64>,
}

/// A span, as the instrumentation of its process sees it (by the true clock).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SpanRecord {
    /// Trace id, not 0.
    pub trace: u128,
    /// Span id, not 0.
    pub span: u64,
    /// Parent's id; 0: a root.
    pub parent: u64,
    /// For consumers that begin a trace of their own: trace and span of the producer; else 0.
    pub link: (u128, u64),
    /// Unix ns.
    pub start_ns: i64,
    /// Unix ns, not before the start.
    pub end_ns: i64,
    /// Where it ran.
    pub instance: InstanceIdx,
    /// Server and consumer: what is served. Client: what is asked. Producer: any consumer's operation is not known to
    /// it, so this is meaningless and `topic` counts.
    pub operation: OperationIdx,
    /// Producer and consumer: the topic.
    pub topic: Option<TopicIdx>,
    /// Which side.
    pub side: Side,
    /// How it ended.
    pub outcome: Outcome,
    /// Client: 0 for the first attempt, 1 for the first further one.
    pub attempt: u8,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Serves a request.
    Server,
    /// Waits for an answer.
    Client,
    /// Sends a message.
    Producer,
    /// Works on a message.
    Consumer,
}

/// How a request or call ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// Answered; of an answer with wrong content too.
    Ok,
    /// Failed inside (HTTP 500, gRPC INTERNAL).
    Failed,
    /// Could not use what a callee answered (HTTP 500, another exception).
    InvalidAnswer,
    /// Failed because a call that it requires failed (HTTP 502 or 500).
    DependencyFailed,
    /// No answer in time.
    TimedOut,
    /// No connection: nobody listens.
    Refused,
    /// The connection broke: the other side died.
    Reset,
    /// The name was not found.
    NameNotFound,
    /// Too many waited already (HTTP 503, gRPC RESOURCE_EXHAUSTED).
    Overloaded,
    /// The circuit breaker was open: not asked at all.
    BreakerOpen,
    /// No connection of the pool became free in time.
    PoolTimedOut,
    /// The callee did not accept it: wrong credentials or format (HTTP 401, gRPC UNAUTHENTICATED).
    Rejected,
}

/// Counters and gauges of one instance at one scrape. Counters begin at 0 when the container starts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct InstanceSample {
    /// Unix ns.
    pub at_ns: i64,
    /// Of whom.
    pub instance: InstanceIdx,
    /// CPU time of the container since its start, µs.
    pub cpu_us: u64,
    /// Periods of 100 ms of the CPU quota since its start.
    pub cpu_periods: u64,
    /// Of these, periods in which it was throttled.
    pub cpu_throttled_periods: u64,
    /// Working set, bytes.
    pub memory_bytes: u64,
    /// Time in pauses for garbage since its start, µs.
    pub gc_us: u64,
    /// Bytes received since its start.
    pub received_bytes: u64,
    /// Bytes sent since its start.
    pub sent_bytes: u64,
    /// Bytes written to disk since its start.
    pub written_bytes: u64,
    /// Time in which the disk was busy since its start, µs.
    pub disk_us: u64,
    /// Times the container was started again in this pod.
    pub restarts: u32,
    /// Whether it takes requests.
    pub ready: bool,
    /// Requests in work.
    pub busy_workers: u32,
    /// Requests that wait for a worker.
    pub waiting: u32,
    /// CPU limit in force, cores.
    pub cpu_limit: f64,
}

/// A connection pool of one instance at one scrape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PoolSample {
    /// Unix ns.
    pub at_ns: i64,
    /// Of whom.
    pub instance: InstanceIdx,
    /// To whom.
    pub link: LinkIdx,
    /// Connections there are.
    pub size: u32,
    /// Connections in use.
    pub used: u32,
    /// Calls that wait for one.
    pub waiting: u32,
}

/// A topic at one scrape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TopicSample {
    /// Unix ns.
    pub at_ns: i64,
    /// Which.
    pub topic: TopicIdx,
    /// Place of the consumer in the topic's list.
    pub consumer: usize,
    /// Messages that this consumer has not taken yet.
    pub lag: u64,
}

/// The pod of no service on a machine at one scrape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NeighbourSample {
    /// Unix ns.
    pub at_ns: i64,
    /// Which machine.
    pub machine: u32,
    /// CPU time since its start, µs.
    pub cpu_us: u64,
}

/// A line of a log, before it has words.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LogRecord {
    /// Unix ns.
    pub at_ns: i64,
    /// Who wrote it.
    pub instance: InstanceIdx,
    /// What about.
    pub event: LogEvent,
    /// Trace and span in which it was written; 0 where there is none.
    pub trace: u128,
    /// See `trace`.
    pub span: u64,
}

/// What is logged.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum LogEvent {
    /// A request was served (one in some dozens is logged): operation and milliseconds.
    Served(OperationIdx, f64),
    /// A request failed inside: operation.
    Failed(OperationIdx),
    /// A call failed: link, operation, how.
    CallFailed(LinkIdx, OperationIdx, Outcome),
    /// What a callee answered could not be used: link, operation.
    InvalidAnswer(LinkIdx, OperationIdx),
    /// A request ended early though nothing failed: operation.
    EndedEarly(OperationIdx),
    /// A pool was empty for this call: link.
    PoolEmpty(LinkIdx),
    /// A breaker opened: link.
    BreakerOpened(LinkIdx),
    /// A breaker closed again: link.
    BreakerClosed(LinkIdx),
    /// A request waited long for a lock: milliseconds.
    LockWait(f64),
    /// A statement was slow: operation, milliseconds.
    SlowStatement(OperationIdx, f64),
    /// A pause for garbage: milliseconds.
    GarbagePause(f64),
    /// The container used all its memory and was killed.
    OutOfMemory,
    /// The process started.
    Started,
    /// The process was told to stop.
    Stopping,
    /// A routine message that means nothing, by number of its kind (0 to 7).
    Routine(u8),
}

/// Something was changed on purpose, or by the platform.
#[derive(Clone, PartialEq, Debug)]
pub struct ChangeRecord {
    /// Unix ns.
    pub at_ns: i64,
    /// Of whom.
    pub service: ServiceIdx,
    /// What kind.
    pub kind: ChangeKind,
    /// The version after it, for deploys.
    pub version: Option<String>,
    /// In words.
    pub description: String,
}

/// Kind of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    /// A new version.
    Deploy,
    /// Settings, flags, limits.
    Config,
    /// More or fewer instances.
    Scale,
}
