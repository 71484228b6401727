//! Clocks of two processes that disagree.

/// How far a callee's clock is ahead of its caller's, as their paired spans show it.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct ClockSkew {
    /// Instance that calls (`service` or `service/instance`).
    pub caller: String,
    /// Instance that is called.
    pub callee: String,
    /// Callee's clock less caller's, nanoseconds.
    pub offset_ns: i64,
    /// Synchronous pairs of client and server span behind the estimate.
    pub pairs: u64,
}
