//! What only one of the windows holds: it cannot be compared.

use std::collections::BTreeMap;

use crate::incident::Incident;
use crate::telemetry::id::ServiceId;

use super::{Listed, OneWindow, SeriesName};

/// Where something was seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    baseline: bool,
    incident: bool,
}

pub(super) fn one_window(incident: &Incident) -> OneWindow {
    let calls = &incident.calls;
    let mut nodes: BTreeMap<u32, Seen> = BTreeMap::new();
    for row in &calls.rows {
        let start_ns = calls.grid.bin_start_ns(row.key.bin);
        let seen = nodes.entry(row.key.callee).or_default();
        seen.incident |= incident.window.contains(start_ns);
        seen.baseline |= incident.baselines.iter().any(|w| w.contains(start_ns));
    }
    let nodes_where = |wanted: fn(&Seen) -> bool| -> Listed<ServiceId> {
        Listed::new(
            nodes.iter().filter(|(_, seen)| wanted(seen)).map(|(node, _)| calls.service(*node).clone()).collect(),
        )
    };
    let (mut baseline_only, mut incident_only, mut outside) = (Vec::new(), Vec::new(), Vec::new());
    for series in &incident.series {
        let in_incident = series.has_sample_in(&incident.window);
        let list = match (incident.baselines.iter().any(|w| series.has_sample_in(w)), in_incident) {
            (true, true) => continue,
            (true, false) => &mut baseline_only,
            (false, true) => &mut incident_only,
            (false, false) => &mut outside,
        };
        list.push(SeriesName { subject: series.subject.clone(), name: series.name.clone() });
    }
    OneWindow {
        nodes_baseline_only: nodes_where(|seen| seen.baseline && !seen.incident),
        nodes_incident_only: nodes_where(|seen| seen.incident && !seen.baseline),
        series_baseline_only: Listed::new(baseline_only),
        series_incident_only: Listed::new(incident_only),
        series_outside: Listed::new(outside),
    }
}
