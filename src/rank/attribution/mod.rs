//! Self-contribution accounting: of the symptom's change at the entry, how much *begins* at each suspect?
//!
//! Per request that enters the system, the entry's latency is the sum of the time spent in each service and on
//! each edge along the way; its failures are the sum of the failures that begin somewhere. So the change of the
//! symptom is split exactly among suspects, and a caller that is slow only because its callee is slow gets
//! nothing. Spans give the split outright ([`from_calls`]); series of whole services give it by subtraction
//! along the call graph ([`from_series`]).

mod from_calls;
mod from_series;
mod sums;
mod timeouts;
mod volume;

use std::collections::BTreeMap;

use super::caller_side::CallerSide;
use super::crowding::Crowding;
use super::{Suspect, SymptomChange};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::stats::robust;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;

/// Which part of the symptom begins at one suspect.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Contribution {
    /// Who.
    pub(crate) suspect: Suspect,
    /// Own part before, seconds or failures per entering request.
    pub(crate) baseline: f64,
    /// Own part during, in the same unit.
    pub(crate) incident: f64,
    /// `incident - baseline` in scales of the baseline's spread over time.
    pub(crate) z: f64,
}

impl Contribution {
    /// Change of the own part.
    pub(crate) fn delta(&self) -> f64 {
        self.incident - self.baseline
    }
}

/// The split of one symptom's change.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Account {
    /// What is split.
    pub(crate) change: SymptomChange,
    /// What is split, per entering request: seconds or failures.
    pub(crate) rise: f64,
    /// The symptom's change in scales of the baseline's spread over time.
    pub(crate) z: f64,
    /// Own parts, sorted by suspect.
    pub(crate) contributions: Vec<Contribution>,
    /// Services that make more calls per request than before: the finding that says so, and the cost of the extra calls,
    /// which is part of their contribution.
    pub(crate) busier: BTreeMap<ServiceId, (usize, f64)>,
}

impl Account {
    /// Every own part with the share of the symptom's rise that it is, 0 to 1.
    ///
    /// The denominator is the largest of the symptom's rise and any single own part: a service may rise by more
    /// than the entry does, where others fell.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (&Contribution, f64)> {
        let share = self.share();
        self.contributions.iter().map(move |contribution| (contribution, share(contribution.delta())))
    }

    /// For each service that makes more calls than before: the finding, and the extra calls' share of the rise.
    pub(crate) fn busier_shares(&self) -> impl Iterator<Item = (&ServiceId, usize, f64)> {
        let share = self.share();
        self.busier.iter().map(move |(service, (finding, cost))| (service, *finding, share(*cost)))
    }

    fn share(&self) -> impl Fn(f64) -> f64 + use<> {
        let largest = self.contributions.iter().map(Contribution::delta).fold(self.rise, f64::max);
        move |part| if largest > 0.0 { (part / largest).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The least change of a symptom that matters: one millisecond, one failure in a thousand requests.
pub(crate) fn floor(symptom: Symptom) -> f64 {
    match symptom {
        Symptom::Latency | Symptom::Errors => 0.001,
    }
}

/// The least spread that an own part is compared with: a tenth of [`floor`]. Parts are finer than the whole.
fn part_floor(symptom: Symptom) -> f64 {
    floor(symptom) / 10.0
}

/// Splits the symptom at the entry: from spans where they tell about it, else from series. `None` where neither
/// does.
pub(crate) fn account(
    incident: &Incident,
    findings: &[Finding],
    side: &CallerSide,
    crowding: &Crowding,
    symptom: Symptom,
) -> Option<Account> {
    let entry = incident.entry.as_ref();
    from_calls::account(incident, findings, side, crowding, symptom)
        .or_else(|| entry.and_then(|entry| from_series::account(incident, entry, symptom)))
}

/// Robust spread of values over time, at least `floor`.
fn spread(values: &[f64], floor: f64) -> f64 {
    robust::spread(values).max(floor)
}

/// Whether a symptom's change passes the gate: more than 4 scales and more than 5 % (algorithms.md, step 0).
fn passes_gate(symptom: Symptom, z: f64, baseline: f64, incident: f64) -> bool {
    z > 4.0 && incident - baseline > (0.05 * baseline.abs()).max(floor(symptom))
}
