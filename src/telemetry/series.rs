//! Metric series after their names and labels were understood: whose, what, in which unit.

use std::fmt;

use super::id::ServiceId;

/// What a series, or a finding, is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Subject {
    /// A service, database, queue or external dependency.
    Service(ServiceId),
    /// One instance (pod, host process) of a service.
    Instance {
        /// The service that the instance belongs to.
        service: ServiceId,
        /// Pod or instance id.
        instance: String,
    },
    /// One version of a service.
    Version {
        /// The service.
        service: ServiceId,
        /// `service.version`.
        version: String,
    },
    /// One operation of a service.
    Operation {
        /// The service that does the operation.
        service: ServiceId,
        /// Its low-cardinality name.
        operation: String,
    },
    /// A call edge.
    Edge {
        /// Who calls.
        caller: ServiceId,
        /// Who is called.
        callee: ServiceId,
    },
}

impl Subject {
    /// The service that a finding about this subject speaks of; for an edge, the callee.
    pub fn service(&self) -> &ServiceId {
        match self {
            Self::Service(service)
            | Self::Instance { service, .. }
            | Self::Version { service, .. }
            | Self::Operation { service, .. } => service,
            Self::Edge { callee, .. } => callee,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "{service}"),
            Self::Instance { instance, .. } => write!(f, "{instance}"),
            Self::Version { service, version } => write!(f, "{service}@{version}"),
            Self::Operation { service, operation } => write!(f, "{service} {operation}"),
            Self::Edge { caller, callee } => write!(f, "{caller} → {callee}"),
        }
    }
}

/// What is measured. The first group is seen by callers (external), the second inside the service (internal).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Signal {
    /// Requests handled, per second.
    Requests,
    /// Failed requests over all requests, 0 to 1.
    ErrorRatio,
    /// Requests that failed although no callee failed, over all requests, 0 to 1.
    OriginErrorRatio,
    /// Time from request to answer.
    Latency,
    /// Latency less the time spent waiting for callees.
    SelfTime,
    /// Caller's measured duration less the callee's: network, proxies, connection and accept queues.
    NetworkGap,
    /// Processor use.
    Cpu,
    /// Share of time in which the processor limit held the service back.
    CpuThrottling,
    /// Memory in use.
    Memory,
    /// Disk traffic.
    Disk,
    /// Open sockets or connections.
    Sockets,
    /// Restarts of the process or container.
    Restarts,
    /// Bytes received.
    NetworkReceive,
    /// Bytes sent.
    NetworkTransmit,
    /// System calls.
    Syscalls,
    /// Processor use of the machine underneath.
    NodeCpu,
    /// Memory use of the machine underneath.
    NodeMemory,
    /// Calls that the caller stopped waiting for, over all calls, 0 to 1.
    Timeouts,
    /// Calls that repeat one that failed, over all calls, 0 to 1.
    Retries,
    /// Calls that repeat one that was still running, over all calls, 0 to 1.
    Hedges,
    /// Anything else; the series' name tells.
    Other,
}

impl Signal {
    /// Whether a callee cannot cause a change of this signal through calls alone (CPU, memory, disk, …).
    pub fn is_internal(self) -> bool {
        matches!(self, Self::Cpu | Self::CpuThrottling | Self::Memory | Self::Disk | Self::Sockets | Self::Restarts)
    }
}

/// Unit of a series' values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Events per second.
    PerSecond,
    /// A share, 0 to 1.
    Ratio,
    /// Processor cores.
    Cores,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// A plain count.
    Count,
    /// Unknown.
    None,
}

/// How the samples of one interval were condensed into one value.
#[derive(Clone, Copy, PartialEq, Debug, PartialOrd)]
pub enum Statistic {
    /// Arithmetic mean, or a gauge as read.
    Mean,
    /// Sum over the interval.
    Sum,
    /// A quantile, 0 to 1.
    Quantile(f64),
    /// A monotonic counter since some start; falls only when it is reset.
    Counter,
}

/// One series: times ascending, one finite value each; a gap is a missing time, never a NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Whose.
    pub subject: Subject,
    /// What.
    pub signal: Signal,
    /// How it was condensed.
    pub statistic: Statistic,
    /// Unit of `values`.
    pub unit: Unit,
    /// The name in the source, for evidence and for telling `Other` signals apart.
    pub name: String,
    /// (Unix nanoseconds, value), ascending by time, without duplicate times.
    pub samples: Vec<(i64, f64)>,
}

impl Series {
    /// The values whose time lies in the window, in order of time.
    pub fn values_in(&self, window: &super::time::Window) -> Vec<f64> {
        let from = self.samples.partition_point(|s| s.0 < window.start_ns());
        let to = self.samples.partition_point(|s| s.0 < window.end_ns());
        self.samples[from..to].iter().map(|s| s.1).collect()
    }
    /// Whether a sample lies in the window.
    pub fn has_sample_in(&self, window: &super::time::Window) -> bool {
        let from = self.samples.partition_point(|s| s.0 < window.start_ns());
        self.samples.get(from).is_some_and(|s| s.0 < window.end_ns())
    }
}
