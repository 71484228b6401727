//! Who is affected: requests by entry that failed or were slower than nearly all before.

use std::collections::BTreeMap;

use super::{AffectedEntry, MAX_ROWS};
use crate::incident::Incident;
use crate::telemetry::sketch::Sketch;

/// The quantile of the baseline's durations beyond which a request counts as slow.
const SLOW_QUANTILE: f64 = 0.99;

#[derive(Default)]
struct Phase {
    calls: u64,
    errors: u64,
    durations: Sketch,
}

/// One row for each entry with requests in the incident, most affected requests first.
///
/// A request that failed and was slow counts once at most: the sum is capped by the number of requests.
pub(super) fn affected_entries(incident: &Incident) -> Vec<AffectedEntry> {
    let calls = &incident.calls;
    let mut entries: BTreeMap<u32, (Phase, Phase)> = BTreeMap::new();
    for row in calls.rows.iter().filter(|r| calls.is_request(r)) {
        let start_ns = calls.grid.bin_start_ns(row.key.bin);
        let (baseline, during) = entries.entry(row.key.entry).or_default();
        let phase = if incident.window.contains(start_ns) {
            during
        } else if incident.baselines.iter().any(|w| w.contains(start_ns)) {
            baseline
        } else {
            continue;
        };
        phase.calls += row.calls;
        phase.errors += row.errors;
        phase.durations.merge(&row.durations);
    }
    let mut rows: Vec<AffectedEntry> = entries
        .into_iter()
        .filter(|(_, (_, during))| during.calls > 0)
        .map(|(entry, (baseline, during))| {
            let entry = &calls.entries[entry as usize];
            let name = format!("{} {}", calls.service(entry.service), calls.operations[entry.operation as usize]);
            let (affected, baseline_share) = affected(&baseline, &during);
            AffectedEntry { entry: name, requests: during.calls, affected, baseline_share }
        })
        .collect();
    rows.sort_by(|a, b| b.affected.cmp(&a.affected).then_with(|| a.entry.cmp(&b.entry)));
    rows.truncate(MAX_ROWS);
    rows
}

fn affected(baseline: &Phase, during: &Phase) -> (u64, f64) {
    let Some(limit) = baseline.durations.quantile(SLOW_QUANTILE) else {
        return (during.errors, 0.0);
    };
    let slow = |phase: &Phase| -> u64 {
        phase.durations.counts().iter().filter(|(b, _)| Sketch::bucket_value(*b) > limit).map(|(_, n)| n).sum()
    };
    let affected = |phase: &Phase| (slow(phase) + phase.errors).min(phase.calls);
    (affected(during), affected(baseline) as f64 / baseline.calls.max(1) as f64)
}
