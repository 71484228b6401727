//! Messages that come more often or no longer than the traffic explains, for logs that do not tell of their trace, and for
//! what a request logs first.
//!
//! An error is compared by time and by the requests of its service, and counts by the less surprising of both. A message
//! is gone only if it fell further than any operation of its service did: which of them writes it is not known, and one
//! that is no longer called writes nothing.
//!
//! ```text
//! bits = max(0, -log2 p - log2 m) * (1 - less / more)
//! ```
//! with p of the exact test of two Poisson rates on counts over their dispersion, m the number of messages tested, and `less`
//! and `more` the rates before and during.

use std::collections::{BTreeMap, BTreeSet};

use super::log_windows::{Counts, Windows, dispersion, dispersion_beside};
use super::logs::{LogChange, Shown};
use crate::incident::Incident;
use crate::stats::rate::poisson_two_sided;
use crate::telemetry::logs::Severity;
use crate::telemetry::time::NANOS_PER_SECOND;

/// An error that is not even twice as frequent is no lead (as in the report).
const MIN_RATIO: f64 = 2.0;
/// A message of which more than this share is left is not gone: what is left of it comes of branches on data.
const GONE: f64 = 0.1;

/// What a count is compared by: how much of it there was before and during.
type Exposure = [f64; 2];

/// The strongest change of each service (index into the logs' services).
pub(super) fn changes(incident: &Incident, windows: &Windows) -> Vec<(u32, LogChange)> {
    let logs = &incident.logs;
    let mut counts: BTreeMap<(u32, u32, Severity), Counts> = BTreeMap::new();
    let mut collected = [BTreeSet::new(), BTreeSet::new()];
    for row in &logs.rows {
        let during = windows.in_incident(row.bin);
        if !during && !windows.in_baseline(row.bin) {
            continue;
        }
        collected[usize::from(during)].insert(row.bin);
        let known = counts.entry((row.service, row.template, row.severity)).or_default();
        *known.by_bin.entry(row.bin).or_default() += row.records;
        *(if during { &mut known.incident } else { &mut known.baseline }) += row.records;
    }
    if collected.iter().any(BTreeSet::is_empty) {
        return Vec::new();
    }
    let step_s = logs.grid.step_ns() as f64 / NANOS_PER_SECOND as f64;
    let seconds = collected.each_ref().map(|bins| bins.len() as f64 * step_s);
    let traffic = traffic(incident, &collected);
    // Of a service that said nothing before, everything would be new.
    let spoke: BTreeSet<u32> = counts.iter().filter(|(_, c)| c.baseline > 0).map(|(key, _)| key.0).collect();
    let mut tested: Vec<(u32, f64, LogChange)> = Vec::new();
    for ((service, template, severity), of) in counts.iter().filter(|(key, _)| spoke.contains(&key.0)) {
        let is_error = matches!(severity, Severity::Error | Severity::Fatal);
        let (p_value, weight) = match (is_error, traffic.get(service)) {
            (true, of_service) => rise(of, windows, seconds, of_service),
            (false, Some(of_service)) => gone(of, of_service),
            (false, None) => continue,
        };
        let [before, during] = [of.baseline as f64 / seconds[0], of.incident as f64 / seconds[1]];
        let shown = Shown::Message { template: *template, before, during };
        tested.push((*service, p_value, LogChange { bits: weight, shown }));
    }
    let tests = tested.len().max(1) as f64;
    tested
        .into_iter()
        .map(|(service, p_value, change)| {
            let surprise = (-p_value.max(f64::MIN_POSITIVE).log2() - tests.log2()).max(0.0);
            (service, LogChange { bits: change.bits * surprise, ..change })
        })
        .filter(|(_, change)| change.bits > 0.0)
        .collect()
}

/// Requests of a service, and the operation that kept least of its own.
struct Traffic {
    requests: Exposure,
    /// Those of the baseline, by bin of the logs.
    by_bin: BTreeMap<i64, f64>,
    least_kept: f64,
}

/// Traffic by index of the service in the logs, over the bins of which logs were collected; of services that were called
/// before and during.
fn traffic(incident: &Incident, collected: &[BTreeSet<i64>; 2]) -> BTreeMap<u32, Traffic> {
    let calls = &incident.calls;
    let mut by_operation: BTreeMap<(u32, u32), Exposure> = BTreeMap::new();
    let mut by_bin: BTreeMap<u32, BTreeMap<i64, f64>> = BTreeMap::new();
    for row in &calls.rows {
        let bin = incident.logs.grid.bin(calls.grid.bin_start_ns(row.key.bin));
        let Some(side) = collected.iter().position(|bins| bins.contains(&bin)) else { continue };
        let Ok(service) = incident.logs.services.binary_search(calls.service(row.key.callee)) else { continue };
        by_operation.entry((service as u32, row.key.operation)).or_default()[side] += row.calls as f64;
        if side == 0 {
            *by_bin.entry(service as u32).or_default().entry(bin).or_default() += row.calls as f64;
        }
    }
    let mut traffic: BTreeMap<u32, Traffic> = BTreeMap::new();
    for ((service, _), [before, during]) in by_operation {
        let of = traffic.entry(service).or_insert_with(|| Traffic {
            requests: [0.0, 0.0],
            by_bin: by_bin.remove(&service).unwrap_or_default(),
            least_kept: f64::INFINITY,
        });
        of.requests[0] += before;
        of.requests[1] += during;
        if before > 0.0 {
            of.least_kept = of.least_kept.min(during / before);
        }
    }
    traffic.retain(|_, of| of.requests.iter().all(|requests| *requests > 0.0));
    traffic
}

/// p-value and weight of an error that comes more often.
fn rise(of: &Counts, windows: &Windows, seconds: Exposure, traffic: Option<&Traffic>) -> (f64, f64) {
    let mut found = (0.0, 1.0);
    for exposure in [Some(seconds), traffic.map(|t| t.requests)].into_iter().flatten() {
        let kept = (of.baseline as f64 / exposure[0]) / (of.incident as f64 / exposure[1]);
        if of.incident == 0 || kept * MIN_RATIO > 1.0 {
            return (1.0, 0.0);
        }
        let (p_value, weight) = (p_value(of, dispersion(of, windows), exposure), 1.0 - kept);
        found = (p_value.max(found.0), weight.min(found.1));
    }
    found
}

/// p-value and weight of a message that no longer comes. Bursts of requests make bursts of messages, so that only what
/// varies beyond the requests is the message's own.
fn gone(of: &Counts, traffic: &Traffic) -> (f64, f64) {
    let expected = of.baseline as f64 * traffic.least_kept;
    if !expected.is_finite() || of.incident as f64 >= GONE * expected {
        return (1.0, 0.0);
    }
    let dispersion = dispersion_beside(of, &traffic.by_bin);
    (p_value(of, dispersion, [1.0, traffic.least_kept]), 1.0 - of.incident as f64 / expected)
}

fn p_value(of: &Counts, dispersion: f64, exposure: Exposure) -> f64 {
    let independent = |count: u64| (count as f64 / dispersion).round() as u64;
    poisson_two_sided(independent(of.incident), exposure[1], independent(of.baseline), exposure[0])
}
