//! Log records as read, and what remains of millions of them: counts by service, template and time bin.

use super::id::{ServiceId, TraceId};
use super::time::Grid;

/// How bad a log record is, as its source judged it (OpenTelemetry's ranges of severity numbers).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub enum Severity {
    /// The source does not tell.
    #[default]
    Unspecified,
    /// 1 to 4.
    Trace,
    /// 5 to 8.
    Debug,
    /// 9 to 12.
    Info,
    /// 13 to 16.
    Warn,
    /// 17 to 20.
    Error,
    /// 21 to 24.
    Fatal,
}

/// Records of one service, template and severity in one time bin.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct LogRow {
    /// Index into [`LogStats::services`].
    pub service: u32,
    /// Index into [`LogStats::templates`].
    pub template: u32,
    /// How bad.
    pub severity: Severity,
    /// Time bin.
    pub bin: i64,
    /// Number of records.
    pub records: u64,
    /// A trace that one of them names: the smallest id.
    pub trace: Option<TraceId>,
}

/// What remains of the logs. Rows are sorted.
#[derive(Clone, PartialEq, Debug)]
pub struct LogStats {
    /// Width and alignment of the time bins.
    pub grid: Grid,
    /// Names, sorted.
    pub services: Vec<ServiceId>,
    /// Templates, sorted: messages with `<*>` where they vary. Hostile text.
    pub templates: Vec<String>,
    /// The counts, sorted.
    pub rows: Vec<LogRow>,
}

impl LogStats {
    /// Statistics of no logs.
    pub fn empty(grid: Grid) -> Self {
        Self { grid, services: Vec::new(), templates: Vec::new(), rows: Vec::new() }
    }
}
