//! Demand: where many times the usual requests come in, what saturates below is their doing.
//!
//! ```text
//! weight = log2(requests per second during / before) - 1, between 0 and 1
//! ```
//! of requests that did not fail. A doubling is what days and campaigns bring; at four times the usual nothing that happens below tells of a fault there.

use std::collections::{BTreeMap, BTreeSet};

use super::phase::Phase;
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;

/// Requests before that are needed to call something a rise.
const LEAST_REQUESTS: f64 = 20.0;

/// A rise of the requests that come in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Demand {
    /// How much of what happens below it explains, 0 to 1.
    weight: f64,
    /// Where requests come in, at which they rose.
    at: Option<ServiceId>,
}

impl Demand {
    /// Compares the requests from outside with those of the baseline.
    pub(crate) fn of(incident: &Incident) -> Self {
        let calls = &incident.calls;
        let mut bins = [BTreeSet::new(), BTreeSet::new()];
        let mut requests: BTreeMap<u32, [f64; 2]> = BTreeMap::new();
        for row in calls.rows.iter().filter(|row| calls.is_request(row)) {
            let Some(phase) = Phase::of_bin(incident, &calls.grid, row.key.bin) else { continue };
            bins[phase as usize].insert(row.key.bin);
            // Who is refused comes again at once: failed requests are no demand.
            let answered = row.calls.saturating_sub(row.errors);
            requests.entry(row.key.callee).or_default()[phase as usize] += answered as f64;
        }
        // Time of which there are no requests at all may be time of which there are no data.
        let [before_bins, during_bins] = bins.map(|bins| bins.len().max(1) as f64);
        let weight = |[before, during]: [f64; 2]| {
            let ratio = (during / during_bins) / (before / before_bins).max(f64::MIN_POSITIVE);
            if before >= LEAST_REQUESTS { (ratio.max(1.0).log2() - 1.0).clamp(0.0, 1.0) } else { 0.0 }
        };
        let all = requests.values().fold([0.0, 0.0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
        let extra = |of: [f64; 2]| of[1] / during_bins - of[0] / before_bins;
        let felt = |node: u32| incident.entry.as_ref() == Some(calls.service(node));
        let place = requests
            .iter()
            .filter(|(_, of)| weight(**of) > 0.0)
            .max_by(|a, b| {
                felt(*a.0).cmp(&felt(*b.0)).then_with(|| extra(*a.1).total_cmp(&extra(*b.1))).then_with(|| b.0.cmp(a.0))
            })
            .map(|(node, _)| calls.service(*node).clone());
        Self { weight: if place.is_some() { weight(all) } else { 0.0 }, at: place }
    }

    /// Where the demand comes in, and how much it explains, 0 to 1; `None` where it explains nothing.
    pub(crate) fn place(&self) -> Option<(&ServiceId, f64)> {
        self.at.as_ref().filter(|_| self.weight > 0.0).map(|at| (at, self.weight))
    }

    /// What is left of the signs of a service when the demand is taken off, 0 to 1.
    pub(crate) fn left(&self, service: &ServiceId) -> f64 {
        if self.at.as_ref() == Some(service) { 1.0 } else { 1.0 - self.weight }
    }
}
