//! Spans become small: a table of (time bin, entry, edge, operation) with counts, errors and distributions.

use crate::telemetry::calls::CallStats;
use crate::telemetry::span::SpanTable;
use crate::telemetry::time::Grid;
use crate::telemetry::warning::Warning;

/// Condenses spans into call statistics on the grid. Never fails: what is odd becomes a warning.
pub fn aggregate(_spans: &SpanTable, _grid: &Grid) -> (CallStats, Vec<Warning>) {
    todo!()
}
