//! The exact split, from call statistics: time that requests wait for and errors that begin here, per entering request.

use std::collections::{BTreeMap, BTreeSet};

use super::sums::Sums;
use super::timeouts;
use super::volume::{self, PerRequest, Traffic};
use super::{Account, Contribution, part_floor, passes_gate, spread};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::caller_side::CallerSide;
use crate::rank::crowding::{Crowding, Part};
use crate::rank::demand::Demand;
use crate::rank::phase::Phase;
use crate::rank::{Suspect, SymptomChange};
use crate::telemetry::alert::Symptom;
use crate::telemetry::calls::{CallRow, CallStats};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::NANOS_PER_SECOND;

/// Entering requests that must have been seen of an entry in both windows to compare them.
const MIN_REQUESTS: f64 = 5.0;
/// Below this share of comparable requests, operations are pooled: names that hold identifiers never come again.
const LEAST_COMPARABLE: f64 = 0.5;

/// Costs of one suspect: by entry operation in total for both windows, and by bin of the baseline for the noise.
#[derive(Default)]
pub(super) struct Costs {
    baseline: Sums<u32>,
    incident: Sums<u32>,
    bins: Sums<i64>,
}

impl Costs {
    /// Adds a share of other costs.
    pub(super) fn add_share(&mut self, other: &Self, share: f64) {
        self.baseline.add_share(&other.baseline, share);
        self.incident.add_share(&other.incident, share);
        self.bins.add_share(&other.bins, share);
    }

    fn add(&mut self, phase: Phase, entry: u32, bin: i64, cost: f64) {
        match phase {
            Phase::Baseline => {
                self.baseline.add(entry, cost);
                self.bins.add(bin, cost);
            }
            Phase::Incident => self.incident.add(entry, cost),
        }
    }
}

/// Splits the symptom of requests that enter at `entry`, or anywhere for `None`.
///
/// An entry that is called by others in the traces, and is no root, is measured where it is called; only what it can
/// reach along calls takes part then.
pub(super) fn account(
    incident: &Incident,
    findings: &[Finding],
    side: &CallerSide,
    crowding: &Crowding,
    symptom: Symptom,
) -> Option<Account> {
    let scope = Scope::new(incident, incident.entry.as_ref());
    let by_operation = Ledger::new(incident, &scope, side, symptom, Pooling::ByOperation);
    let ledger = if by_operation.comparable_share() >= LEAST_COMPARABLE {
        by_operation
    } else {
        Ledger::new(incident, &scope, side, symptom, Pooling::All)
    };
    ledger.account((incident, findings), side, crowding, &scope, symptom)
}

/// Which requests count, and who may be blamed.
pub(super) struct Scope<'a> {
    entry: Option<&'a ServiceId>,
    /// The entries whose requests count; all when the entry is no root.
    pub(super) entries: BTreeSet<u32>,
    /// The entry as a node, where it is measured among other calls instead of at the root.
    inner: Option<(u32, BTreeSet<&'a ServiceId>)>,
}

impl<'a> Scope<'a> {
    fn new(incident: &'a Incident, entry: Option<&'a ServiceId>) -> Self {
        let calls = &incident.calls;
        let entries = matching_entries(calls, entry);
        if !entries.is_empty() {
            return Self { entry, entries, inner: None };
        }
        let node = entry.and_then(|name| (0_u32..).zip(&calls.nodes).find(|(_, n)| n.id == *name));
        let inner = node.map(|(index, n)| (index, incident.graph.reachable_from(&n.id).into_keys().collect()));
        let entries = if inner.is_some() { matching_entries(calls, None) } else { entries };
        Self { entry, entries, inner }
    }

    /// Whether the row is where the symptom is felt.
    fn is_felt_in(&self, calls: &CallStats, row: &CallRow) -> bool {
        match &self.inner {
            Some((node, _)) => row.key.callee == *node,
            None => calls.is_request(row),
        }
    }

    pub(super) fn may_blame(&self, service: &ServiceId) -> bool {
        self.inner.as_ref().is_none_or(|(_, reach)| reach.contains(service))
    }
}

/// Whether entry operations are compared each with itself, or all together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pooling {
    ByOperation,
    All,
}

impl Pooling {
    fn entry(self, row: &CallRow) -> u32 {
        if self == Self::All { 0 } else { row.key.entry }
    }
}

/// Requests and what they cost.
struct Ledger {
    pooling: Pooling,
    requests: Costs,
    /// Requests that were seen, and the squares of their weights.
    observed: Costs,
    squares: Costs,
    /// Calls at the place where the symptom is felt.
    felt_calls: Costs,
    whole: Costs,
    /// What begins at a callee, and on the edge from a caller to it.
    parts: BTreeMap<(u32, Option<u32>), Costs>,
    /// Of failures those that are timeouts, by callee and caller: they begin wherever the time goes.
    timeouts: BTreeMap<(u32, u32), Costs>,
}

impl Ledger {
    fn new(incident: &Incident, scope: &Scope<'_>, side: &CallerSide, symptom: Symptom, pooling: Pooling) -> Self {
        let mut ledger = Self {
            pooling,
            requests: Costs::default(),
            observed: Costs::default(),
            squares: Costs::default(),
            felt_calls: Costs::default(),
            whole: Costs::default(),
            parts: BTreeMap::new(),
            timeouts: BTreeMap::new(),
        };
        for row in incident.calls.rows.iter().filter(|row| scope.entries.contains(&row.key.entry)) {
            let Some(phase) = Phase::of_bin(incident, &incident.calls.grid, row.key.bin) else { continue };
            let entry = pooling.entry(row);
            let bin = row.key.bin;
            if incident.calls.is_request(row) {
                ledger.requests.add(phase, entry, bin, row.calls as f64);
                ledger.observed.add(phase, entry, bin, row.observed as f64);
                ledger.squares.add(phase, entry, bin, row.weight_squares as f64);
            }
            if scope.is_felt_in(&incident.calls, row) {
                ledger.felt_calls.add(phase, entry, bin, row.calls as f64);
                ledger.whole.add(phase, entry, bin, whole_cost(row, symptom));
            }
            if scope.may_blame(incident.calls.service(row.key.callee)) {
                let (own, edge) = ledger.leave_to_others(incident, scope, side, symptom, (phase, row));
                ledger.parts.entry((row.key.callee, None)).or_default().add(phase, entry, bin, own);
                if let Some(caller) = row.key.caller {
                    let part = ledger.parts.entry((row.key.callee, Some(caller))).or_default();
                    part.add(phase, entry, bin, edge);
                    if symptom == Symptom::Errors && row.timeouts > 0 {
                        let part = ledger.timeouts.entry((row.key.callee, caller)).or_default();
                        part.add(phase, entry, bin, row.timeouts as f64);
                    }
                }
            }
        }
        ledger
    }

    /// What begins in the callee and on the edge to it, less the failures that are another's doing, which go there.
    fn leave_to_others(
        &mut self,
        incident: &Incident,
        scope: &Scope<'_>,
        side: &CallerSide,
        symptom: Symptom,
        (phase, row): (Phase, &CallRow),
    ) -> (f64, f64) {
        let (own, edge) = part_costs(row, symptom);
        if symptom != Symptom::Errors {
            return (own, edge);
        }
        let callee = row.key.callee;
        let may_blame = |node: u32| scope.may_blame(incident.calls.service(node));
        let caller = row.key.caller.filter(|caller| may_blame(*caller));
        let callers =
            caller.and_then(|caller| Some((caller, *side.failures.get(&(callee, caller))?))).filter(|(_, s)| *s > 0.0);
        let left = 1.0 - callers.map_or(0.0, |(_, share)| share);
        let mut moved: Vec<(u32, f64)> =
            callers.into_iter().map(|(caller, share)| (caller, (own + edge) * share)).collect();
        let (own, edge) = (own * left, edge * left);
        // Errors of a service that cannot use what it was answered.
        let wrong = side.answers.range((callee, 0)..=(callee, u32::MAX)).filter(|((_, below), _)| may_blame(*below));
        let mut passed_on = 0.0;
        for (&(_, below), share) in wrong {
            moved.push((below, own * share));
            passed_on += share;
        }
        for (to, cost) in moved {
            self.parts.entry((to, None)).or_default().add(phase, self.pooling.entry(row), row.key.bin, cost);
        }
        (own * (1.0 - passed_on), edge)
    }

    /// Share of the incident's requests whose entry operation can be compared with the baseline, 0 to 1.
    fn comparable_share(&self) -> f64 {
        let all: f64 = self.requests.incident.values().sum();
        if all > 0.0 { Mix::comparable(&self.requests, &self.observed).values().sum::<f64>() / all } else { 0.0 }
    }

    fn account(
        self,
        (incident, findings): (&Incident, &[Finding]),
        side: &CallerSide,
        crowding: &Crowding,
        scope: &Scope<'_>,
        symptom: Symptom,
    ) -> Option<Account> {
        let Self { pooling, requests, observed, squares, felt_calls, whole, mut parts, timeouts } = self;
        let mut later = BTreeMap::new();
        if symptom == Symptom::Errors {
            later = timeouts::later(incident, scope);
            crowding.settle(&mut later);
            timeouts::share_out(incident, scope, side, &later, &timeouts, &mut parts);
        }
        let mix = Mix::new(&requests, &observed)?;
        let coarser = coarser(&requests, &squares);
        let costs = || whole.baseline.values().chain(whole.incident.values());
        if costs().sum::<f64>() <= 0.0 {
            return None; // errors where no span carries a status: let series speak
        }
        let baseline = mix.mean(&whole.baseline, &requests.baseline);
        let during = mix.mean(&whole.incident, &requests.incident);
        let z = (during - baseline) / (spread(&per_request(&whole, &requests), super::floor(symptom)) * coarser);
        let keys: Vec<Part> = parts.keys().copied().collect();
        let mut contributions: Vec<(Contribution, f64)> = parts
            .into_iter()
            .map(|((callee, caller), costs)| {
                let baseline = mix.mean(&costs.baseline, &requests.baseline);
                let during = mix.mean(&costs.incident, &requests.incident);
                let scale = spread(&per_request(&costs, &requests), part_floor(symptom)) * coarser;
                let suspect = suspect(&incident.calls, callee, caller);
                (Contribution { suspect, baseline, incident: during, z: (during - baseline) / scale }, scale)
            })
            .collect();
        leave_to_callees(crowding, (symptom == Symptom::Errors).then_some(&later), &keys, &mut contributions);
        let busier = volume::busier(incident, findings);
        let busier = if busier.is_empty() {
            BTreeMap::new()
        } else {
            let traffic = traffic(incident, scope, pooling, &mix, &requests);
            volume::move_to_callers(&incident.calls, &busier, &traffic, &mut contributions)
        };
        if scope.inner.is_none() {
            leave_to_demand(&Demand::of(incident), &mut contributions);
        }
        let mut contributions: Vec<Contribution> = contributions.into_iter().map(|(part, _)| part).collect();
        contributions.sort_by(|a, b| a.suspect.cmp(&b.suspect));
        let entry = scope.entry.cloned().or_else(|| busiest_entry(&incident.calls, &requests))?;
        let significant = passes_gate(symptom, z, baseline, during);
        // An inner entry may be called several times a request, or not at all: people know its cost per call.
        let calls_per_request = |calls: f64, requests: f64| if calls > 0.0 { calls / requests } else { 1.0 };
        let before = calls_per_request(
            mix.mean(&felt_calls.baseline, &requests.baseline),
            mix.mean(&requests.baseline, &requests.baseline),
        );
        let now = calls_per_request(
            mix.mean(&felt_calls.incident, &requests.incident),
            mix.mean(&requests.incident, &requests.incident),
        );
        let change = SymptomChange { entry, symptom, baseline: baseline / before, incident: during / now, significant };
        Some(Account { change, rise: during - baseline, z, contributions, busier })
    }
}

/// Moves what begins in crowded services to those below that take longer: by how much they do (`later`, for errors), or by
/// their own parts. Of each contribution, in the order of `keys`, comes the spread that it is compared with.
fn leave_to_callees(
    crowding: &Crowding,
    later: Option<&BTreeMap<Part, f64>>,
    keys: &[Part],
    contributions: &mut [(Contribution, f64)],
) {
    let place: BTreeMap<Part, usize> = keys.iter().enumerate().map(|(at, part)| (*part, at)).collect();
    for crowded in crowding.services() {
        let shares = match later {
            Some(later) => crowded.shares(later),
            None => {
                let growth = place.iter().map(|(part, at)| (*part, contributions[*at].0.delta())).collect();
                crowded.shares(&growth)
            }
        };
        let taking: Vec<(usize, f64)> =
            shares.into_iter().filter_map(|(part, share)| Some((*place.get(&part)?, share))).collect();
        let all: f64 = taking.iter().map(|(_, share)| share).sum();
        if all <= 0.0 {
            continue;
        }
        let Some(&from) = place.get(&(crowded.node, None)) else { continue };
        let own = &mut contributions[from].0;
        let moved = own.delta().max(0.0) * crowded.weight;
        own.incident -= moved;
        for (to, share) in taking {
            contributions[to].0.incident += moved * share / all;
        }
    }
    for (part, scale) in contributions {
        part.z = part.delta() / *scale;
    }
}

/// Moves what the demand explains of every rise to where it comes in. Of each contribution comes the spread that it is
/// compared with.
fn leave_to_demand(demand: &Demand, contributions: &mut [(Contribution, f64)]) {
    let Some((place, weight)) = demand.place() else { return };
    let is_place = |part: &Contribution| matches!(&part.suspect, Suspect::Service(service) if service == place);
    if !contributions.iter().any(|(part, _)| is_place(part)) {
        return;
    }
    let mut moved = 0.0;
    for (part, scale) in contributions.iter_mut().filter(|(part, _)| !is_place(part) && part.delta() > 0.0) {
        let cost = part.delta() * weight;
        part.incident -= cost;
        part.z = part.delta() / *scale;
        moved += cost;
    }
    for (part, scale) in contributions.iter_mut().filter(|(part, _)| is_place(part)) {
        part.incident += moved;
        part.z = part.delta() / *scale;
    }
}

fn matching_entries(calls: &CallStats, entry: Option<&ServiceId>) -> BTreeSet<u32> {
    (0_u32..)
        .zip(&calls.entries)
        .filter(|(_, e)| entry.is_none_or(|name| calls.service(e.service) == name))
        .map(|(index, _)| index)
        .collect()
}

fn busiest_entry(calls: &CallStats, requests: &Costs) -> Option<ServiceId> {
    let mut by_service: BTreeMap<&ServiceId, f64> = BTreeMap::new();
    for (entry, n) in requests.incident.iter() {
        *by_service.entry(calls.service(calls.entries[entry as usize].service)).or_default() += n;
    }
    by_service.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.cmp(a.0))).map(|(name, _)| name.clone())
}

/// What the symptom at the entry adds up, seconds or failures.
fn whole_cost(row: &CallRow, symptom: Symptom) -> f64 {
    match symptom {
        Symptom::Latency => row.duration_ns as f64 / NANOS_PER_SECOND as f64,
        Symptom::Errors => row.errors as f64,
    }
}

/// What begins in the callee, and what begins on the edge to it.
pub(super) fn part_costs(row: &CallRow, symptom: Symptom) -> (f64, f64) {
    match symptom {
        Symptom::Latency => {
            (row.part_ns as f64 / NANOS_PER_SECOND as f64, row.part_gap_ns as f64 / NANOS_PER_SECOND as f64)
        }
        Symptom::Errors => (row.origin_errors as f64, row.edge_errors as f64),
    }
}

fn suspect(calls: &CallStats, callee: u32, caller: Option<u32>) -> Suspect {
    let callee = calls.service(callee).clone();
    match caller {
        Some(caller) => Suspect::Edge { caller: calls.service(caller).clone(), callee },
        None => Suspect::Service(callee),
    }
}

/// Calls and failures of every edge per entering request.
fn traffic(incident: &Incident, scope: &Scope<'_>, pooling: Pooling, mix: &Mix, requests: &Costs) -> Traffic {
    let mut edges: BTreeMap<(Option<u32>, u32), (Costs, Costs)> = BTreeMap::new();
    for row in incident.calls.rows.iter().filter(|row| scope.entries.contains(&row.key.entry)) {
        let Some(phase) = Phase::of_bin(incident, &incident.calls.grid, row.key.bin) else { continue };
        let (calls, failed) = edges.entry((row.key.caller, row.key.callee)).or_default();
        calls.add(phase, pooling.entry(row), row.key.bin, row.calls as f64);
        failed.add(phase, pooling.entry(row), row.key.bin, row.errors as f64);
    }
    let before = |costs: &Costs| mix.mean(&costs.baseline, &requests.baseline);
    let during = |costs: &Costs| mix.mean(&costs.incident, &requests.incident);
    let per_request = |(calls, failed): (Costs, Costs)| PerRequest {
        calls_baseline: before(&calls),
        calls_incident: during(&calls),
        failed_baseline: before(&failed),
        failed_incident: during(&failed),
    };
    Traffic::new(edges.into_iter().map(|(edge, costs)| (edge, per_request(costs))).collect())
}

/// Weights of the entry operations: those of the incident, so that a changed mix of requests is no change of cost.
struct Mix(BTreeMap<u32, f64>);

impl Mix {
    /// Requests in the incident of the entry operations that have enough of them in both windows.
    fn comparable(requests: &Costs, observed: &Costs) -> BTreeMap<u32, f64> {
        let enough = |seen: &Sums<u32>, entry| seen.get(entry).is_some_and(|seen| seen >= MIN_REQUESTS);
        requests
            .incident
            .iter()
            .filter(|(entry, _)| enough(&observed.incident, *entry) && enough(&observed.baseline, *entry))
            .collect()
    }

    fn new(requests: &Costs, observed: &Costs) -> Option<Self> {
        let comparable = Self::comparable(requests, observed);
        let total: f64 = comparable.values().sum();
        (total > 0.0).then(|| Self(comparable.into_iter().map(|(entry, n)| (entry, n / total)).collect()))
    }

    /// Mean cost per request, over entry operations in the incident's mix.
    fn mean(&self, costs: &Sums<u32>, requests: &Sums<u32>) -> f64 {
        self.0
            .iter()
            .map(|(entry, weight)| {
                let n = requests.get(*entry).unwrap_or(0.0).max(1.0);
                weight * costs.get(*entry).unwrap_or(0.0) / n
            })
            .sum()
    }
}

/// How much wider than from bin to bin of the baseline the incident's mean may scatter because it was sampled: by the root
/// of how many times more requests a bin of the baseline is worth than the whole incident. 1 for traffic that was not
/// sampled, and for nearly all that was.
fn coarser(requests: &Costs, squares: &Costs) -> f64 {
    let sum = |costs: &Sums<u32>| costs.values().sum::<f64>();
    let (calls, weights) = (sum(&requests.incident), sum(&squares.incident));
    if weights <= calls || calls <= 0.0 {
        return 1.0;
    }
    let effective = |calls: f64, weights: f64| calls * calls / weights.max(calls).max(1.0);
    let bins = requests.bins.len().max(1) as f64;
    let per_bin = effective(sum(&requests.baseline), sum(&squares.baseline)) / bins;
    (per_bin / effective(calls, weights)).max(1.0).sqrt()
}

/// Cost per request in each bin of the baseline that has requests.
fn per_request(costs: &Costs, requests: &Costs) -> Vec<f64> {
    requests.bins.iter().filter(|(_, n)| *n > 0.0).map(|(bin, n)| costs.bins.get(bin).unwrap_or(0.0) / n).collect()
}
