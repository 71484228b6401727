//! MicroRank: a spectrum of covered services, weighted by PageRank over requests and services.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::Moments;
use super::request_groups::{Group, groups};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::{Ranker, Ranking, scored};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::NANOS_PER_SECOND;

/// Requests slower than their services' usual times let expect are abnormal. On the abnormal and on the normal ones a
/// personalised PageRank weighs the services, `F` and `P`; then with `N_f`, `N_p` requests and `N_ef`, `N_ep` of them
/// through the service,
///
/// ```text
/// ef = F N_ef    nf = F (N_f - N_ef)    ep = P N_ep    np = P (N_p - N_ep)
/// score = ef / sqrt((ef + nf)(ef + ep))        (Ochiai)
/// ```
/// Source: Yu, Chen, Li et al., "MicroRank: End-to-end latency issue localization with extended spectrum analysis in
/// microservice environments", WWW 2021, <https://doi.org/10.1145/3442381.3449905>: expected latency, PageRank scorer,
/// weighted spectrum (table 3). Differs in this: a "trace" is all requests of one
/// entry that began in one time bin, for calls are counted and not kept; nodes are services; the expected latency sums
/// own times, since a sum of nested durations holds each second several times. Needs calls; where every request passes
/// every service the spectrum says nothing.
pub struct MicroRank;

/// Standard deviations that a service may take longer.
const SIGMAS: f64 = 1.5;
/// Probability of walking on.
const DAMPING: f64 = 0.85;
/// Weight of calls between services against that of requests.
const OMEGA: f64 = 0.01;
/// Weight of the number of services in a request against the number of requests of its kind.
const PHI: f64 = 0.5;
const ITERATIONS: usize = 25;
/// What stands for a service that one side never saw.
const MISSING: f64 = 1e-4;

impl Ranker for MicroRank {
    fn name(&self) -> &'static str {
        "micro_rank"
    }

    fn about(&self) -> &'static str {
        "MicroRank: spectrum of slow and normal requests, weighted by PageRank (Yu et al., WWW 2021); needs traces"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let groups = groups(incident);
        let usual = usual_times(&groups);
        let (abnormal, normal): (Vec<&Group>, Vec<&Group>) = groups
            .iter()
            .filter(|group| group.in_incident)
            .partition(|group| group.requests.mean_s() > expected_s(group, &usual));
        // Where all of the incident is abnormal, the baseline tells what normal requests pass.
        let normal =
            if normal.is_empty() { groups.iter().filter(|group| !group.in_incident).collect() } else { normal };
        let scores = spectrum(&Coverage::of(&abnormal, Kind::Abnormal), &Coverage::of(&normal, Kind::Normal));
        let scores: BTreeMap<ServiceId, f64> =
            scores.into_iter().map(|(node, score)| (incident.calls.service(node).clone(), score)).collect();
        scored::ranking(self.name(), incident, findings, &scores)
    }
}

/// Mean and deviation of each node's own time a call over the baseline's groups, seconds.
fn usual_times(groups: &[Group]) -> BTreeMap<u32, Moments> {
    let mut times: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for group in groups.iter().filter(|group| !group.in_incident) {
        for (node, calls) in group.nodes() {
            let own_s = calls.self_ns as f64 / calls.calls.max(1) as f64 / NANOS_PER_SECOND as f64;
            times.entry(node).or_default().push(own_s);
        }
    }
    times.into_iter().filter_map(|(node, times)| Some((node, Moments::of(&times)?))).collect()
}

/// The time that a request of the group should take, seconds.
fn expected_s(group: &Group, usual: &BTreeMap<u32, Moments>) -> f64 {
    let requests = group.requests.calls.max(1) as f64;
    let of_node = |(node, calls): (u32, super::request_groups::Calls)| {
        usual.get(&node).map_or(0.0, |m| calls.calls as f64 / requests * (m.mean + SIGMAS * m.deviation))
    };
    group.nodes().into_iter().map(of_node).sum()
}

/// On which requests the walk goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Abnormal,
    Normal,
}

/// Which requests pass which services.
struct Coverage {
    kind: Kind,
    /// The nodes of each request, ascending.
    requests: Vec<Vec<u32>>,
    /// Callees of each node in any of the requests.
    callees: BTreeMap<u32, BTreeSet<u32>>,
}

impl Coverage {
    fn of(groups: &[&Group], kind: Kind) -> Self {
        let mut callees: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for &(caller, callee) in groups.iter().flat_map(|group| group.calls.keys()) {
            if let Some(caller) = caller.filter(|caller| *caller != callee) {
                callees.entry(caller).or_default().insert(callee);
            }
        }
        let requests = groups.iter().map(|group| group.nodes().into_keys().collect()).collect();
        Self { kind, requests, callees }
    }

    /// Requests through each node.
    fn covered(&self) -> BTreeMap<u32, f64> {
        let mut covered = BTreeMap::new();
        for node in self.requests.iter().flatten() {
            *covered.entry(*node).or_default() += 1.0;
        }
        covered
    }

    /// Where a walk jumps: to requests with few services, and of a rare kind.
    fn personalization(&self) -> Vec<f64> {
        let mut of_kind: BTreeMap<&[u32], f64> = BTreeMap::new();
        for request in &self.requests {
            *of_kind.entry(request).or_default() += 1.0;
        }
        let rare: Vec<f64> = self.requests.iter().map(|request| 1.0 / of_kind[request.as_slice()]).collect();
        let short: Vec<f64> = self.requests.iter().map(|request| 1.0 / request.len().max(1) as f64).collect();
        let (all_rare, all_short): (f64, f64) = (rare.iter().sum(), short.iter().sum());
        let join = |(rare, short): (f64, f64)| match self.kind {
            Kind::Abnormal => PHI * short / all_short + (1.0 - PHI) * rare / all_rare,
            Kind::Normal => rare / all_rare,
        };
        rare.into_iter().zip(short).map(join).collect()
    }

    /// The weights of the services after the walk, the largest 1.
    ///
    /// `services <- d (omega A_ss services + A_sr requests)`, `requests <- d A_rs services + (1 - d) u`, each divided
    /// by its largest value; `A_sr` spreads a request evenly over its services, `A_rs` a service over its requests,
    /// `A_ss` a caller over its callees.
    fn weights(&self) -> BTreeMap<u32, f64> {
        let covered = self.covered();
        let jump = self.personalization();
        let start = 1.0 / (covered.len() + self.requests.len()).max(1) as f64;
        let mut services: BTreeMap<u32, f64> = covered.keys().map(|node| (*node, start)).collect();
        let mut requests = vec![start; self.requests.len()];
        for _ in 0..ITERATIONS {
            let mut next: BTreeMap<u32, f64> = covered.keys().map(|node| (*node, 0.0)).collect();
            let mut add = |node: &u32, more: f64| *next.entry(*node).or_default() += DAMPING * more;
            for (caller, callees) in &self.callees {
                let part = OMEGA * services.get(caller).copied().unwrap_or(0.0) / callees.len() as f64;
                callees.iter().for_each(|callee| add(callee, part));
            }
            for (request, weight) in self.requests.iter().zip(&requests) {
                request.iter().for_each(|node| add(node, weight / request.len() as f64));
            }
            for ((request, weight), jump) in self.requests.iter().zip(&mut requests).zip(&jump) {
                let from_services: f64 = request.iter().map(|node| services[node] / covered[node]).sum();
                *weight = DAMPING * from_services + (1.0 - DAMPING) * jump;
            }
            let largest = next.values().copied().fold(0.0, f64::max);
            let largest_request = requests.iter().copied().fold(0.0, f64::max);
            if largest <= 0.0 || largest_request <= 0.0 {
                break;
            }
            next.values_mut().for_each(|weight| *weight /= largest);
            requests.iter_mut().for_each(|weight| *weight /= largest_request);
            services = next;
        }
        services
    }
}

/// The weighted spectrum by Ochiai's formula.
fn spectrum(abnormal: &Coverage, normal: &Coverage) -> BTreeMap<u32, f64> {
    let (f_weights, p_weights) = (abnormal.weights(), normal.weights());
    let (f_covered, p_covered) = (abnormal.covered(), normal.covered());
    let (f_all, p_all) = (abnormal.requests.len() as f64, normal.requests.len() as f64);
    f_weights
        .into_iter()
        .map(|(node, weight)| {
            let covered = f_covered.get(&node).copied().unwrap_or(0.0);
            let (ef, nf) = (weight * covered, weight * (f_all - covered));
            let ep = match (p_weights.get(&node), p_covered.get(&node)) {
                (Some(weight), Some(covered)) => weight * covered.min(p_all),
                _ => MISSING,
            };
            (node, ef / ((ef + nf) * (ef + ep)).sqrt())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(kind: Kind, requests: &[&[u32]], calls: &[(u32, u32)]) -> Coverage {
        let mut callees: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for &(caller, callee) in calls {
            callees.entry(caller).or_default().insert(callee);
        }
        Coverage { kind, requests: requests.iter().map(|request| request.to_vec()).collect(), callees }
    }

    /// The same recurrence on dense matrices in numpy: `A_ss[callee, caller] = 1/callees`, `A_sr[s, r] = 1/len(r)`,
    /// `A_rs[r, s] = 1/covered[s]`; then the spectrum.
    #[test]
    fn the_spectrum_is_that_of_numpy() {
        let calls = [(0, 1), (1, 2), (0, 3)];
        let abnormal = coverage(Kind::Abnormal, &[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2, 3]], &calls);
        let normal = coverage(Kind::Normal, &[&[0, 3], &[0, 3], &[0, 1, 3], &[0, 1, 2, 3]], &calls);
        let got = spectrum(&abnormal, &normal);
        for (node, expected) in NUMPY {
            assert!((got[&node] - expected).abs() < 1e-12, "{got:?}");
        }
        assert!(got.values().all(|score| *score <= got[&2]), "{got:?}");
    }

    const NUMPY: [(u32, f64); 4] = [
        (0, 0.653_119_372_886_507),
        (1, 0.863_940_497_266_584_5),
        (2, 0.960_208_312_606_503_4),
        (3, 0.160_613_623_082_350_4),
    ];

    #[test]
    fn without_abnormal_requests_nobody_is_named() {
        let normal = coverage(Kind::Normal, &[&[0, 1]], &[(0, 1)]);
        assert!(spectrum(&coverage(Kind::Abnormal, &[], &[]), &normal).is_empty());
    }
}
