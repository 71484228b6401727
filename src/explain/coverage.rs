//! What the telemetry let us see, and how much less sure that makes us.

use std::collections::BTreeSet;

use super::Coverage;
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Series;
use crate::telemetry::time::Window;
use crate::telemetry::topology::NodeKind;

/// Confidence lost when every span is an orphan: half, for then only services of one's own are compared.
const ORPHAN_COST: f64 = 0.5;
/// Confidence lost when every call is seen from its caller only: a quarter, for callees cannot be cleared.
const UNPAIRED_COST: f64 = 0.25;
/// Requests at which the confidence is half of what it would be with many: few requests are chance.
const HALF_CONFIDENCE_REQUESTS: f64 = 3.0;
/// A gap is a distance of more than this many typical steps.
const GAP_STEPS: i64 = 3;

pub(super) fn coverage(incident: &Incident) -> Coverage {
    let spans = incident.calls.coverage;
    let (mut calls_baseline, mut calls_incident) = (0, 0);
    let (mut seen_baseline, mut seen_incident) = (0, 0);
    for row in incident.calls.rows.iter().filter(|r| r.key.caller.is_none()) {
        let start_ns = incident.calls.grid.bin_start_ns(row.key.bin);
        if incident.window.contains(start_ns) {
            calls_incident += row.calls;
            seen_incident += row.observed;
        } else if incident.baselines.iter().any(|w| w.contains(start_ns)) {
            calls_baseline += row.calls;
            seen_baseline += row.observed;
        }
    }
    let measured: BTreeSet<&ServiceId> = incident.series.iter().map(|s| s.subject.service()).collect();
    let silent_nodes = incident
        .graph
        .nodes()
        .iter()
        .filter(|n| n.kind != NodeKind::Service && !measured.contains(&n.id))
        .map(|n| n.id.clone())
        .collect();
    let windows: Vec<Window> = incident.baselines.iter().copied().chain([incident.window]).collect();
    let series_with_gaps = incident.series.iter().filter(|s| windows.iter().any(|w| has_gap(s, w))).count() as u64;
    let share = |part: u64| if spans.spans > 0 { part as f64 / spans.spans as f64 } else { 0.0 };
    let mut factor = (1.0 - ORPHAN_COST * share(spans.orphans)) * (1.0 - UNPAIRED_COST * share(spans.unpaired_clients));
    if spans.spans > 0 {
        // A request that stands for a hundred others is still one that was seen.
        let fewest = seen_baseline.min(seen_incident) as f64;
        factor *= fewest / (fewest + HALF_CONFIDENCE_REQUESTS);
    }
    Coverage {
        spans,
        series: incident.series.len() as u64,
        series_with_gaps,
        silent_nodes,
        calls_baseline,
        calls_incident,
        factor: factor.clamp(0.0, 1.0),
    }
}

/// Whether samples are missing between the first and the last of the window.
fn has_gap(series: &Series, window: &Window) -> bool {
    let times: Vec<i64> = series.samples.iter().map(|s| s.0).filter(|t| window.contains(*t)).collect();
    let mut steps: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    steps.sort_unstable();
    let Some(typical) = steps.get(steps.len() / 2) else { return false };
    steps.last().is_some_and(|longest| *longest > typical.saturating_mul(GAP_STEPS))
}
