//! ShapleyIQ: the delay of requests, shared among the services on their critical paths.

use std::collections::BTreeMap;

use super::acyclic::Acyclic;
use super::request_groups::{Calls, Pair};
use super::{alarm, request_groups};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::{Ranker, Ranking, scored};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::NANOS_PER_SECOND;

/// From the request down, each service keeps what its own time grew by and shares what its calls grew by among them:
/// one after the other, each call its own growth; at the same time, by the Shapley value of the latest end.
///
/// ```text
/// parallel calls with ends e_i, before o_i = e_i - growth_i: every stretch of time t is shared equally among those with
/// o_i < t <= e_i        (the airport game of Littlechild and Owen, Management Science 1973)
/// ```
/// A service's score is the seconds a request that it keeps. Source: Li, Tian, Xu et al., "ShapleyIQ: Influence
/// quantification by Shapley values for performance debugging of microservices", ASPLOS 2023,
/// <https://doi.org/10.1145/3623278.3624771>: splitting by self time and sharing along parallel timelines. Differs in
/// this: calls are counted and not kept, so means a request of the whole incident stand for single traces (entries are
/// joined as the requests come), and calls of one caller count as parallel where they add up to more than 105 % of
/// the time in which it waits, from a common start. Needs calls; names nobody from series alone. `O(calls log calls)`.
pub struct ShapleyIq;

/// How much more than the waiting time sequential calls may add up to: the paper's tolerance for gaps between spans.
const SEQUENTIAL: f64 = 1.05;

impl Ranker for ShapleyIq {
    fn name(&self) -> &'static str {
        "shapley_iq"
    }

    fn about(&self) -> &'static str {
        "ShapleyIQ: delay shared along critical paths by Shapley values (Li et al., ASPLOS 2023); needs traces"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let service = |node: u32| incident.calls.service(node).clone();
        let scores: BTreeMap<ServiceId, f64> =
            Trees::of(incident).shares().into_iter().map(|(node, share)| (service(node), share)).collect();
        scored::ranking_if(alarm(incident), self.name(), incident, findings, &scores)
    }
}

/// All calls before and during, and the requests that caused them.
#[derive(Clone, Debug, Default)]
struct Trees {
    requests: [u64; 2],
    calls: BTreeMap<Pair, [Calls; 2]>,
}

impl Trees {
    fn of(incident: &Incident) -> Self {
        let mut trees = Self::default();
        for group in request_groups::groups(incident) {
            let side = usize::from(group.in_incident);
            trees.requests[side] += group.requests.calls;
            for (pair, calls) in &group.calls {
                trees.calls.entry(*pair).or_default()[side].add(*calls);
            }
        }
        trees
    }

    /// Seconds a request, before and during.
    fn per_request(&self, nanoseconds: impl Fn(&Calls) -> u64, calls: &[Calls; 2]) -> [f64; 2] {
        let side =
            |at: usize| nanoseconds(&calls[at]) as f64 / self.requests[at].max(1) as f64 / NANOS_PER_SECOND as f64;
        [side(0), side(1)]
    }

    /// Seconds a request that each node keeps.
    fn shares(&self) -> BTreeMap<u32, f64> {
        if self.requests.contains(&0) {
            return BTreeMap::new();
        }
        let mut nodes: BTreeMap<u32, Node> = BTreeMap::new();
        for (&(caller, callee), calls) in &self.calls {
            let node = nodes.entry(callee).or_default();
            let own = self.per_request(|calls| calls.self_ns, calls);
            let whole = self.per_request(|calls| calls.duration_ns, calls);
            node.own += own[1] - own[0];
            node.waiting += whole[1] - own[1];
            node.growth += (whole[1] - whole[0]).max(0.0);
            if caller.is_none() {
                // A request's growth is all there is to share.
                node.granted += (whole[1] - whole[0]).max(0.0);
            }
        }
        let ids: Vec<u32> = nodes.keys().copied().collect();
        let index: BTreeMap<u32, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let pairs: Vec<(usize, usize)> = self
            .calls
            .keys()
            .filter_map(|(caller, callee)| Some((*index.get(caller.as_ref()?)?, *index.get(callee)?)))
            .collect();
        let acyclic = Acyclic::of(ids.len(), &pairs);
        let mut shares = BTreeMap::new();
        for &at in &acyclic.callers_first {
            let caller = ids[at];
            let node = nodes[&caller];
            let granted = if node.growth > 0.0 { (node.granted / node.growth).min(1.0) } else { 0.0 };
            shares.insert(caller, granted * node.own.max(0.0));
            let callees: Vec<u32> = acyclic.callees[at].iter().map(|&callee| ids[callee]).collect();
            for (callee, share) in callees.iter().zip(self.shared(caller, &callees, node.waiting)) {
                if let Some(callee) = nodes.get_mut(callee) {
                    callee.granted += granted * share;
                }
            }
        }
        shares
    }

    /// What each of the calls of one caller gets of their growth.
    fn shared(&self, caller: u32, callees: &[u32], waiting_s: f64) -> Vec<f64> {
        let durations: Vec<[f64; 2]> = callees
            .iter()
            .filter_map(|callee| self.calls.get(&(Some(caller), *callee)))
            .map(|calls| self.per_request(|calls| calls.duration_ns, calls))
            .collect();
        let total: f64 = durations.iter().map(|duration| duration[1]).sum();
        if total <= SEQUENTIAL * waiting_s {
            durations.iter().map(|[before, during]| (during - before).max(0.0)).collect()
        } else {
            airport_shares(&durations)
        }
    }
}

/// One node of the call tree: seconds a request.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// What its own time grew by.
    own: f64,
    /// The time in which it waits for callees, during.
    waiting: f64,
    /// What calls of it grew by.
    growth: f64,
    /// The part of that which its callers' growth holds.
    granted: f64,
}

/// Shares every stretch of time equally among those that end later than before and cover it: `[before, during]` are
/// ends after a common start. `O(n log n)`.
fn airport_shares(ends: &[[f64; 2]]) -> Vec<f64> {
    let grown: Vec<[f64; 2]> = ends.iter().copied().filter(|[before, during]| during > before).collect();
    let mut steps: Vec<(f64, i64)> = grown.iter().flat_map(|[before, during]| [(*before, 1), (*during, -1)]).collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    // What somebody active from the first end on would have got at each end.
    let mut so_far = 0.0;
    let mut active = 0;
    let mut last = 0.0;
    let mut sums: Vec<(f64, f64)> = Vec::with_capacity(steps.len());
    for (at, change) in steps {
        if active > 0 {
            so_far += (at - last) / active as f64;
        }
        sums.push((at, so_far));
        active += change;
        last = at;
    }
    let sum_at = |end: f64| {
        let place = sums.partition_point(|(at, _)| at.total_cmp(&end).is_lt());
        sums.get(place).map_or(so_far, |(_, sum)| *sum)
    };
    ends.iter().map(|&[before, during]| if during > before { sum_at(during) - sum_at(before) } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_ends_are_shared_as_in_the_airport_game() {
        // From nothing: the runway game with costs 1, 2, 4: 1/3, 1/3 + 1/2, 1/3 + 1/2 + 2.
        let got = airport_shares(&[[0.0, 1.0], [0.0, 2.0], [0.0, 4.0], [3.0, 3.0]]);
        for (got, expected) in got.iter().zip([1.0 / 3.0, 5.0 / 6.0, 17.0 / 6.0, 0.0]) {
            assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
        }
        // Growth 2..5 and 4..6: alone 2..4, both 4..5, alone 5..6.
        let got = airport_shares(&[[2.0, 5.0], [4.0, 6.0]]);
        assert!((got[0] - 2.5).abs() < 1e-12 && (got[1] - 1.5).abs() < 1e-12, "{got:?}");
        assert!(airport_shares(&[]).is_empty());
    }

    fn calls(duration_ms: u64, self_ms: u64) -> Calls {
        Calls { calls: 10, errors: 0, duration_ns: duration_ms * 10_000_000, self_ns: self_ms * 10_000_000 }
    }

    #[test]
    fn sequential_delay_stays_where_it_began() {
        let trees = Trees {
            requests: [10, 10],
            calls: BTreeMap::from([
                ((None, 0), [calls(100, 20), calls(400, 20)]),
                ((Some(0), 1), [calls(50, 10), calls(350, 10)]),
                ((Some(0), 2), [calls(30, 30), calls(30, 30)]),
                ((Some(1), 3), [calls(40, 40), calls(340, 340)]),
            ]),
        };
        let shares = trees.shares();
        let expected = [0.0, 0.0, 0.0, 0.3];
        for (node, expected) in (0..).zip(expected) {
            assert!((shares[&node] - expected).abs() < 1e-9, "{shares:?}");
        }
    }

    #[test]
    fn parallel_delay_is_shared() {
        // Both callees begin at once and now end at 150 and 200 instead of 50: growth 100 and 150.
        let trees = Trees {
            requests: [10, 10],
            calls: BTreeMap::from([
                ((None, 0), [calls(60, 10), calls(210, 10)]),
                ((Some(0), 1), [calls(50, 50), calls(150, 150)]),
                ((Some(0), 2), [calls(50, 50), calls(200, 200)]),
            ]),
        };
        let shares = trees.shares();
        // 50..150 shared by two, 150..200 alone.
        assert!((shares[&1] - 0.05).abs() < 1e-9 && (shares[&2] - 0.1).abs() < 1e-9, "{shares:?}");
        assert!(Trees::default().shares().is_empty());
    }
}
