//! Which side of the comparison a bin belongs to.

use crate::incident::Incident;
use crate::telemetry::time::{Grid, Window};

/// A side of the comparison. As a number it is the place in a pair of figures: before, during.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Normal operation.
    Baseline = 0,
    /// The incident window.
    Incident = 1,
}

impl Phase {
    /// The side of a bin. It belongs to a window when it lies fully inside.
    pub(crate) fn of_bin(incident: &Incident, grid: &Grid, bin: i64) -> Option<Self> {
        let start_ns = grid.bin_start_ns(bin);
        let last_ns = start_ns.saturating_add(grid.step_ns() - 1);
        let inside = |window: &Window| window.contains(start_ns) && window.contains(last_ns);
        if inside(&incident.window) {
            Some(Self::Incident)
        } else {
            incident.baselines.iter().any(inside).then_some(Self::Baseline)
        }
    }
}
