//! Calls that vanish or appear: an operation of a service that used to call another service and no longer does, or calls
//! it for the first time. Who calls otherwise than before goes another way through its code.
//!
//! What is compared is the share of the requests of one operation in which it calls the other service at all, so that
//! neither the load nor the mix of operations, and neither loops nor further attempts, look like another structure:
//!
//! ```text
//! share = requests of the operation in which it calls the other / requests of the operation
//! bits  = min(cap, -log2 p) * |share during - share before| / max(share during, share before)
//! ```
//! p is Fisher's exact test of the two shares. Both counts are divided by how much more than by chance the share varies in
//! the baseline (McCullagh & Nelder, Generalized Linear Models, 1989, equation 4.23: Pearson's X2 over its degrees of
//! freedom) and by the weights of sampled traffic (Kish 1965).

use std::collections::{BTreeMap, BTreeSet};

use super::logs::LogChange;
use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::rank::phase::Phase;
use crate::stats::effective::Weights;
use crate::stats::fdr::benjamini_hochberg;
use crate::stats::proportion::fisher_two_sided;
use crate::telemetry::calls::CallRow;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};

/// Expected share of false findings among all pairs of operation and callee.
const FALSE_DISCOVERY_RATE: f64 = 0.01;
/// The greater share must be at least this: what one request in fifty does is no way that requests go.
const LEAST_SHARE: f64 = 0.02;
/// Of calls that vanish, at most this part may be left. Calls that became more are loops, attempts or lost caches, which
/// are told by what they cost; only one that was never made before is another way.
const MOST_LEFT: f64 = 0.8;
/// What is left of the evidence where a callee on the way fails, is slow by itself or does something else than before.
const EXPLAINED_AWAY: f64 = 0.25;

/// Another way of an operation.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rerouted {
    /// Bits of evidence, positive.
    pub(crate) bits: f64,
    /// Index of the operation's name.
    pub(crate) operation: u32,
    /// Whom it calls more rarely or more often.
    pub(crate) callee: ServiceId,
    /// Share of the operation's requests that called it before.
    pub(crate) before: f64,
    /// Share during the incident.
    pub(crate) during: f64,
}

/// For each service the operation that changed its calls most, at most `cap` bits. `logs` are the changes in the logs of
/// each service that are its own.
pub(crate) fn rerouted(
    incident: &Incident,
    findings: &[Finding],
    logs: &BTreeMap<ServiceId, LogChange>,
    cap: f64,
) -> BTreeMap<ServiceId, Rerouted> {
    let ill = Ill::of(findings, logs);
    let tallies = tallies(incident);
    let tested: Vec<(Way, Shares, f64)> =
        tallies.into_iter().filter_map(|(way, tally)| tally.shares().map(|(shares, p)| (way, shares, p))).collect();
    let p_values: Vec<f64> = tested.iter().map(|(.., p)| *p).collect();
    let mut callees: BTreeMap<(u32, u32), BTreeSet<u32>> = BTreeMap::new();
    for (way, ..) in &tested {
        callees.entry((way.caller, way.operation)).or_default().insert(way.callee);
    }
    let mut rerouted: BTreeMap<ServiceId, Rerouted> = BTreeMap::new();
    for ((way, shares, p), q) in tested.iter().zip(benjamini_hochberg(&p_values)) {
        let [before, during] = *shares;
        let (less, more) = (before.min(during), before.max(during));
        let another = if during < before { less < MOST_LEFT * more } else { before <= 0.0 };
        if q > FALSE_DISCOVERY_RATE || more < LEAST_SHARE || !another {
            continue;
        }
        let caller = incident.calls.service(way.caller);
        // Who gets an error or another answer gives up, or asks somebody else instead: that is the callee's doing.
        let others = callees.get(&(way.caller, way.operation)).into_iter().flatten();
        let excused = others.map(|node| incident.calls.service(*node)).any(|callee| ill.is(caller, callee));
        let left = if excused { EXPLAINED_AWAY } else { 1.0 };
        let bits = (-p.log2()).min(cap) * (1.0 - less / more) * left;
        let callee = incident.calls.service(way.callee).clone();
        let found = Rerouted { bits, operation: way.operation, callee, before, during };
        let known = rerouted.entry(caller.clone()).or_insert_with(|| found.clone());
        if found.bits > known.bits {
            *known = found;
        }
    }
    rerouted
}

/// Bits from which on a service's logs say that it does something else than before.
const LEAST_LOG_BITS: f64 = 1.0;

/// Who fails, is slow by itself or does something else than before, and which calls fail.
struct Ill<'a> {
    services: BTreeSet<&'a ServiceId>,
    /// Caller and callee.
    calls: BTreeSet<(&'a ServiceId, &'a ServiceId)>,
}

impl<'a> Ill<'a> {
    fn of(findings: &'a [Finding], logs: &'a BTreeMap<ServiceId, LogChange>) -> Self {
        let logging = logs.iter().filter(|(_, change)| change.bits >= LEAST_LOG_BITS).map(|(service, _)| service);
        let mut ill = Self { services: logging.collect(), calls: BTreeSet::new() };
        for finding in findings.iter().filter(|f| f.significant && f.change == Change::Rise) {
            match (&finding.subject, finding.signal) {
                (
                    Subject::Service(service) | Subject::Operation { service, .. },
                    Signal::SelfTime | Signal::OriginErrorRatio,
                ) => {
                    ill.services.insert(service);
                }
                (Subject::Edge { caller, callee }, Signal::ErrorRatio | Signal::Timeouts) => {
                    ill.calls.insert((caller, callee));
                }
                _ => {}
            }
        }
        ill
    }

    fn is(&self, caller: &ServiceId, callee: &ServiceId) -> bool {
        caller != callee && (self.services.contains(callee) || self.calls.contains(&(caller, callee)))
    }
}

/// A way that requests of an operation go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    caller: u32,
    operation: u32,
    callee: u32,
}

/// Shares before and during.
type Shares = [f64; 2];

/// Requests of an operation in a bin.
#[derive(Clone, Copy, Default)]
struct Requests {
    weights: Weights,
    calling: f64,
}

/// Requests of a way's operation by bin, before and during.
#[derive(Clone, Default)]
struct Tally([BTreeMap<i64, Requests>; 2]);

impl Tally {
    /// The shares and the chance of such a difference; `None` where the operation was not asked in both.
    fn shares(&self) -> Option<(Shares, f64)> {
        let sums = self.0.each_ref().map(|bins| {
            bins.values().fold(Requests::default(), |sum, one| Requests {
                weights: plus(sum.weights, one.weights),
                calling: sum.calling + one.calling,
            })
        });
        if sums.iter().any(|sum| sum.weights.sum == 0) {
            return None;
        }
        let shares = sums.map(|sum| (sum.calling / sum.weights.sum as f64).min(1.0));
        let dispersion = self.dispersion(shares[0]);
        let [before, during] = [0, 1].map(|at| {
            let count = sums[at].weights.sum as f64 / (sums[at].weights.design_effect() * dispersion);
            ((shares[at] * count).round() as u64, count.round() as u64)
        });
        Some((shares, fisher_two_sided(during.0, during.1, before.0, before.1)))
    }

    /// How much more than by chance the share varies from bin to bin of the baseline; at least 1.
    fn dispersion(&self, share: f64) -> f64 {
        let variance = share * (1.0 - share);
        let [before, _] = &self.0;
        if before.len() < 2 || variance <= 0.0 {
            return 1.0;
        }
        let square = |one: &Requests| {
            let count = one.weights.sum as f64;
            (one.calling - share * count).powi(2) / (count * variance * one.weights.design_effect())
        };
        (before.values().map(square).sum::<f64>() / (before.len() - 1) as f64).max(1.0)
    }
}

/// Requests of every operation that calls somebody, for each whom it calls.
fn tallies(incident: &Incident) -> BTreeMap<Way, Tally> {
    let calls = &incident.calls;
    let mut ways: BTreeMap<(u32, u32), BTreeSet<u32>> = BTreeMap::new();
    for row in &calls.ways {
        ways.entry((row.caller, row.operation)).or_default().insert(row.callee);
    }
    // The requests of an operation are those of each of its ways.
    let mut requests: BTreeMap<(u32, u32), Tally> = BTreeMap::new();
    let asked = |row: &CallRow| (row.key.callee, row.key.operation);
    for rows in calls.rows.chunk_by(|a, b| asked(a) == asked(b)) {
        let Some(operation) = rows.first().map(asked).filter(|operation| ways.contains_key(operation)) else {
            continue;
        };
        let tally = requests.entry(operation).or_default();
        for row in rows {
            let Some(phase) = Phase::of_bin(incident, &calls.grid, row.key.bin) else { continue };
            let weights = &mut tally.0[phase as usize].entry(row.key.bin).or_default().weights;
            *weights = plus(*weights, Weights { sum: row.calls, squares: row.weight_squares });
        }
    }
    let mut tallies: BTreeMap<Way, Tally> = BTreeMap::new();
    for (&(caller, operation), callees) in &ways {
        let Some(tally) = requests.get(&(caller, operation)) else { continue };
        tallies.extend(callees.iter().map(|callee| (Way { caller, operation, callee: *callee }, tally.clone())));
    }
    for row in &calls.ways {
        let way = Way { caller: row.caller, operation: row.operation, callee: row.callee };
        let Some(phase) = Phase::of_bin(incident, &calls.grid, row.bin) else { continue };
        // What no request of its own is known for (a lost head) has no share.
        if let Some(one) = tallies.get_mut(&way).and_then(|tally| tally.0[phase as usize].get_mut(&row.bin)) {
            one.calling += row.requests as f64;
        }
    }
    tallies
}

fn plus(one: Weights, other: Weights) -> Weights {
    Weights { sum: one.sum + other.sum, squares: one.squares.saturating_add(other.squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bins of so many requests, and in how many of them the other is called.
    fn tally(before: &[(u64, f64)], during: &[(u64, f64)]) -> Tally {
        let bins = |counts: &[(u64, f64)]| {
            let of = |&(sum, calling): &(u64, f64)| Requests { weights: Weights { sum, squares: sum }, calling };
            (0..).zip(counts.iter().map(of)).collect()
        };
        Tally([bins(before), bins(during)])
    }

    #[test]
    fn shares_are_tested_as_proportions() {
        let (shares, p) = tally(&[(54, 50.0), (54, 50.0)], &[(8, 5.0)]).shares().expect("asked in both");
        assert!((shares[0] - 50.0 / 54.0).abs() < 1e-12 && (shares[1] - 0.625).abs() < 1e-12);
        // h = scipy.stats.hypergeom(116, 105, 8); 2 * h.cdf(5)
        assert!((p - 0.055_404_2).abs() < 1e-6, "{p}");
        assert!(tally(&[(5, 5.0)], &[]).shares().is_none());
    }

    #[test]
    fn what_varies_anyway_counts_less() {
        // By hand: X2 = sum((k - 5)^2 / (10 * 0.5 * 0.5)) = 4 * 16 / 2.5 over 3 degrees of freedom.
        let varied = tally(&[(10, 1.0), (10, 9.0), (10, 1.0), (10, 9.0)], &[(40, 8.0)]);
        assert!((varied.dispersion(0.5) - 64.0 / 2.5 / 3.0).abs() < 1e-12);
        let steady = tally(&[(10, 5.0); 4], &[(40, 8.0)]);
        assert!((steady.dispersion(0.5) - 1.0).abs() < 1e-12);
        let p = |tally: &Tally| tally.shares().map_or(1.0, |(_, p)| p);
        assert!(p(&steady) < 0.02 && p(&varied) > 0.2);
    }
}
