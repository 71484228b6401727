//! The split by subtraction, from series of whole services and a call graph: what a service's callees cost is not its own.
//!
//! ```text
//! T_v(t)  = cost of v per entering request = mean cost of v * requests of v / requests of the entry
//! D_v     = mean over the incident of T_v - baseline of T_v
//! own_v   = D_v - sum over synchronous callees c of share_vc * max(D_c, 0)
//! ```
//! `share_vc` is the part of c's requests that come from v. The pass-through is fixed at 1 and never fitted:
//! coefficients learned on normal data extrapolate badly (algorithms.md, 2.4 and 8.5).
//! A callee that the baseline never saw is its caller's change, so its cost stays with the caller.

use std::collections::{BTreeMap, BTreeSet};

use super::{Account, Contribution, floor, part_floor, passes_gate, spread};
use crate::incident::Incident;
use crate::rank::{Suspect, SymptomChange};
use crate::stats::robust;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Statistic, Subject};
use crate::telemetry::topology::EdgeMode;

/// A shorter baseline window next to the incident may move the base level by at most this many scales.
const RECENT_CLIP: f64 = 2.0;
/// An edge whose callee's cost passes to the caller by less than this, surely, is asynchronous.
const ASYNC_SLOPE: f64 = 0.25;
/// Samples needed to judge a pass-through.
const MIN_SLOPE_SAMPLES: usize = 30;

type Samples = BTreeMap<i64, f64>;

/// Cost per entering request of one service.
struct Cost {
    /// Over the longest baseline window.
    baseline: Samples,
    /// Base level, perhaps moved by more recent baseline windows.
    base: f64,
    /// Mean over the incident.
    incident: f64,
    /// Requests over the longest baseline window; 0 when the service was not seen in it.
    requests: f64,
}

impl Cost {
    fn delta(&self) -> f64 {
        self.incident - self.base
    }
}

/// Splits the symptom at `entry`. `None` where the entry has no series of requests and of the symptom.
pub(super) fn account(incident: &Incident, entry: &ServiceId, symptom: Symptom) -> Option<Account> {
    if incident.graph.callees(entry).is_empty() {
        return None; // without calls below it, all would be the entry's own
    }
    let callers = callers(incident);
    let entry_requests = requests(incident, &callers, entry)?;
    let costs = costs(incident, &callers, &entry_requests, symptom);
    let own_cost = costs.get(entry)?;
    let reach = reach(incident, &costs, entry);
    let mut contributions: Vec<Contribution> = reach
        .services
        .iter()
        .filter_map(|service| {
            let cost = costs.get(service).filter(|c| c.requests > 0.0)?;
            let callees = reach.callees(service);
            Some(own_part(service, cost, &callees, &costs, symptom))
        })
        .collect();
    contributions.sort_by(|a, b| a.suspect.cmp(&b.suspect));
    let values: Vec<f64> = own_cost.baseline.values().copied().collect();
    let z = own_cost.delta() / spread(&values, floor(symptom));
    let significant = passes_gate(symptom, z, own_cost.base, own_cost.incident);
    Some(Account {
        change: SymptomChange {
            entry: entry.clone(),
            symptom,
            baseline: own_cost.base,
            incident: own_cost.incident,
            significant,
        },
        rise: own_cost.delta(),
        z,
        contributions,
        busier: BTreeMap::new(),
    })
}

fn own_part(
    service: &ServiceId,
    cost: &Cost,
    callees: &[(&ServiceId, f64)],
    costs: &BTreeMap<ServiceId, Cost>,
    symptom: Symptom,
) -> Contribution {
    let mut baseline = cost.base;
    let mut delta = cost.delta();
    let mut own: Samples = cost.baseline.clone();
    for (callee, share) in callees {
        let Some(callee) = costs.get(*callee).filter(|c| c.requests > 0.0) else { continue };
        delta -= share * callee.delta().max(0.0);
        baseline -= share * callee.base;
        for (time, value) in &mut own {
            *value -= share * callee.baseline.get(time).copied().unwrap_or(0.0);
        }
    }
    let values: Vec<f64> = own.into_values().collect();
    let z = delta / spread(&values, part_floor(symptom));
    Contribution { suspect: Suspect::Service(service.clone()), baseline, incident: baseline + delta, z }
}

/// The services whose cost can reach the entry, with the edges along which it does.
struct Reach {
    services: BTreeSet<ServiceId>,
    /// By caller and callee the share of the callee's requests that come from the caller.
    edges: BTreeMap<ServiceId, BTreeMap<ServiceId, f64>>,
}

impl Reach {
    fn callees(&self, service: &ServiceId) -> Vec<(&ServiceId, f64)> {
        let callees = self.edges.get(service).into_iter().flatten();
        callees.map(|(callee, share)| (callee, *share)).collect()
    }
}

fn reach(incident: &Incident, costs: &BTreeMap<ServiceId, Cost>, entry: &ServiceId) -> Reach {
    let mut reach = Reach { services: BTreeSet::from([entry.clone()]), edges: BTreeMap::new() };
    let mut open = vec![entry.clone()];
    while let Some(caller) = open.pop() {
        for callee in incident.graph.callees(&caller) {
            let share = share(incident, costs, &caller, callee);
            if !waits(incident, costs, &caller, callee, share) {
                continue;
            }
            reach.edges.entry(caller.clone()).or_default().insert(callee.clone(), share);
            if reach.services.insert(callee.clone()) {
                open.push(callee.clone());
            }
        }
    }
    reach
}

/// The part of the callee's requests that come from this caller: from series of edges where there are any, else in
/// proportion to the callers' own requests.
fn share(incident: &Incident, costs: &BTreeMap<ServiceId, Cost>, caller: &ServiceId, callee: &ServiceId) -> f64 {
    let by_edge = |caller: &ServiceId| {
        let subject = Subject::Edge { caller: caller.clone(), callee: callee.clone() };
        let series = of_subject(incident, &subject).iter().find(|s| s.signal == Signal::Requests)?;
        Some(incident.baselines.iter().flat_map(|w| series.values_in(w)).sum::<f64>())
    };
    let callers = incident.graph.callers(callee);
    let weight = |name: &ServiceId| costs.get(name).map_or(0.0, |c| c.requests);
    let (own, total) = match by_edge(caller) {
        Some(own) => (own, callers.iter().filter_map(|c| by_edge(c)).sum::<f64>()),
        None => (weight(caller), callers.iter().map(|c| weight(c)).sum::<f64>()),
    };
    if total > 0.0 { own / total } else { 0.0 }
}

/// Whether the caller waits for the callee.
///
/// An edge stated as asynchronous is not waited for. Neither is one whose callee's cost rose by more than its
/// caller's, when in normal operation too the callee's cost surely does not pass to the caller (slope plus three
/// standard errors below a quarter).
fn waits(
    incident: &Incident,
    costs: &BTreeMap<ServiceId, Cost>,
    caller: &ServiceId,
    callee: &ServiceId,
    share: f64,
) -> bool {
    if incident.graph.edge(caller, callee).is_some_and(|e| e.mode == EdgeMode::Async) {
        return false;
    }
    let (Some(above), Some(below)) = (costs.get(caller), costs.get(callee)) else { return true };
    if share * below.delta() <= above.delta().max(0.0) {
        return true;
    }
    let pairs: Vec<(f64, f64)> =
        below.baseline.iter().filter_map(|(time, x)| above.baseline.get(time).map(|y| (share * x, *y))).collect();
    upper_slope(&pairs).is_none_or(|slope| slope >= ASYNC_SLOPE)
}

/// Least-squares slope plus three standard errors; `None` for too few samples or a constant.
fn upper_slope(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < MIN_SLOPE_SAMPLES {
        return None;
    }
    let n = pairs.len() as f64;
    let mean_x = pairs.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = pairs.iter().map(|p| p.1).sum::<f64>() / n;
    let sxx: f64 = pairs.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    if sxx <= 0.0 {
        return None;
    }
    let slope = pairs.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>() / sxx;
    let residual: f64 = pairs.iter().map(|p| (p.1 - mean_y - slope * (p.0 - mean_x)).powi(2)).sum();
    Some(slope + 3.0 * (residual / n / sxx).sqrt())
}

/// Costs per entering request of all services that have the needed series.
fn costs(
    incident: &Incident,
    callers: &Callers<'_>,
    entry_requests: &Samples,
    symptom: Symptom,
) -> BTreeMap<ServiceId, Cost> {
    let signal = match symptom {
        Symptom::Latency => Signal::Latency,
        Symptom::Errors => Signal::ErrorRatio,
    };
    incident
        .services()
        .into_iter()
        .filter_map(|service| {
            let requests = requests(incident, callers, &service)?;
            let mean = mean_series(incident, &service, signal).map(|s| s.samples.iter().copied().collect::<Samples>());
            Some((service, cost(incident, entry_requests, &requests, &mean.unwrap_or_default())))
        })
        .collect()
}

fn cost(incident: &Incident, entry_requests: &Samples, requests: &Samples, mean: &Samples) -> Cost {
    // A time at which the entry has no requests says nothing; a service without a sample at a time of the entry's
    // had no requests then.
    let per_request = |time: i64, entering: f64| {
        let cost = mean.get(&time).copied().unwrap_or(0.0) * requests.get(&time).copied().unwrap_or(0.0) / entering;
        (entering > 0.0).then_some((time, cost))
    };
    let within = |window: &crate::telemetry::time::Window| -> Samples {
        entry_requests.range(window.start_ns()..window.end_ns()).filter_map(|(t, n)| per_request(*t, *n)).collect()
    };
    let (long, recent) = long_and_recent(incident, entry_requests);
    let baseline: Samples = long.iter().flat_map(&within).collect();
    let values: Vec<f64> = baseline.values().copied().collect();
    let level = robust::median(&values).unwrap_or(0.0);
    let scale = robust::spread(&values);
    let near: Vec<f64> = recent.iter().flat_map(|w| within(w).into_values()).collect();
    let base = recent_level(level, scale, &near);
    let during: Vec<f64> = within(&incident.window).into_values().collect();
    let incident_mean = if during.is_empty() { 0.0 } else { during.iter().sum::<f64>() / during.len() as f64 };
    let seen = long.iter().flat_map(|w| requests.range(w.start_ns()..w.end_ns())).map(|(_, n)| n).sum();
    Cost { baseline, base, incident: incident_mean, requests: seen }
}

/// Baseline windows that hold most of the samples, and the shorter ones, which only tell where the level is lately.
fn long_and_recent(
    incident: &Incident,
    entry_requests: &Samples,
) -> (Vec<crate::telemetry::time::Window>, Vec<crate::telemetry::time::Window>) {
    let count = |w: &crate::telemetry::time::Window| entry_requests.range(w.start_ns()..w.end_ns()).count();
    let most = incident.baselines.iter().map(count).max().unwrap_or(0);
    incident.baselines.iter().partition(|w| count(w) * 10 >= most)
}

/// The base level: that of the long baseline, unless all recent samples lie on one side of it.
/// Then theirs, at most [`RECENT_CLIP`] scales away (the fault may have begun before the window says).
fn recent_level(level: f64, scale: f64, near: &[f64]) -> f64 {
    let one_side = near.len() >= 2 && (near.iter().all(|x| *x > level) || near.iter().all(|x| *x < level));
    if !one_side {
        return level;
    }
    let mean = near.iter().sum::<f64>() / near.len() as f64;
    mean.clamp(level - RECENT_CLIP * scale, level + RECENT_CLIP * scale)
}

/// Who calls a service, as series of edges tell.
type Callers<'a> = BTreeMap<&'a ServiceId, BTreeSet<&'a ServiceId>>;

fn callers(incident: &Incident) -> Callers<'_> {
    let mut callers = Callers::new();
    for series in incident.series.iter().filter(|s| s.signal == Signal::Requests) {
        if let Subject::Edge { caller, callee } = &series.subject {
            callers.entry(callee).or_default().insert(caller);
        }
    }
    callers
}

/// The series about one subject; the incident keeps them sorted by it.
fn of_subject<'a>(incident: &'a Incident, subject: &Subject) -> &'a [Series] {
    let from = incident.series.partition_point(|s| s.subject < *subject);
    let to = incident.series.partition_point(|s| s.subject <= *subject);
    &incident.series[from..to]
}

/// Requests of a service by time: its own series, else the sum over series of its incoming edges.
fn requests(incident: &Incident, callers: &Callers<'_>, service: &ServiceId) -> Option<Samples> {
    if let Some(series) = mean_series(incident, service, Signal::Requests) {
        return Some(series.samples.iter().copied().collect());
    }
    let mut sum = Samples::new();
    for caller in callers.get(service).into_iter().flatten() {
        let edge = Subject::Edge { caller: (*caller).clone(), callee: service.clone() };
        for series in of_subject(incident, &edge).iter().filter(|s| s.signal == Signal::Requests) {
            for (time, value) in &series.samples {
                *sum.entry(*time).or_default() += value;
            }
        }
    }
    (!sum.is_empty()).then_some(sum)
}

/// The service's series of the signal that is a mean or a sum; quantiles do not add up.
fn mean_series<'a>(incident: &'a Incident, service: &ServiceId, signal: Signal) -> Option<&'a Series> {
    let whole = |s: &&Series| s.signal == signal && matches!(s.statistic, Statistic::Mean | Statistic::Sum);
    of_subject(incident, &Subject::Service(service.clone())).iter().find(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::telemetry::calls::CallStats;

    use crate::telemetry::series::Unit;
    use crate::telemetry::time::{Grid, Window};
    use crate::telemetry::topology::{GivenEdge, NodeKind};

    const MINUTE: i64 = 60_000_000_000;

    /// Forty minutes of baseline and five of incident; latencies in seconds, ten requests a second everywhere.
    fn incident(services: &[(&str, f64, f64)], edges: &[(&str, &str)]) -> Incident {
        let series = |name: &str, signal: Signal, unit: Unit, value: &dyn Fn(i64) -> f64| Series {
            subject: Subject::Service(name.into()),
            signal,
            statistic: Statistic::Mean,
            unit,
            name: format!("{signal:?}"),
            samples: (0..45).map(|minute| (minute * MINUTE, value(minute))).collect(),
        };
        let mut all = Vec::new();
        for (name, before, during) in services {
            all.push(series(name, Signal::Requests, Unit::PerSecond, &|_| 10.0));
            // An alternating millisecond gives a known spread.
            let latency = |minute: i64| if minute < 40 { before + 0.001 * (minute % 2) as f64 } else { *during };
            all.push(series(name, Signal::Latency, Unit::Seconds, &latency));
        }
        let given = |(caller, callee): &(&str, &str)| GivenEdge {
            caller: (*caller).into(),
            callee: (*callee).into(),
            callee_kind: NodeKind::Service,
            mode: EdgeMode::Sync,
        };
        Incident::new(IncidentParts {
            name: "test".to_owned(),
            entry: Some("frontend".into()),
            symptom: Some(Symptom::Latency),
            series: all,
            given_edges: edges.iter().map(given).collect(),
            ..IncidentParts::new(
                Window::new(40 * MINUTE, 45 * MINUTE).expect("not empty"),
                vec![Window::new(0, 40 * MINUTE).expect("not empty")],
                CallStats::empty(Grid::new(MINUTE)),
            )
        })
        .expect("a sound incident")
    }

    fn own(account: &Account, name: &str) -> f64 {
        let of_name = |c: &&Contribution| c.suspect == Suspect::Service(name.into());
        account.contributions.iter().find(of_name).expect("it is reachable").delta()
    }

    #[test]
    fn the_slow_callee_keeps_what_its_callers_inherit() {
        let edges = [("frontend", "checkout"), ("checkout", "payment"), ("frontend", "ads")];
        let services = [("frontend", 0.1, 0.3), ("checkout", 0.05, 0.25), ("payment", 0.01, 0.21), ("ads", 0.02, 0.02)];
        let account = account(&incident(&services, &edges), &"frontend".into(), Symptom::Latency).expect("series tell");
        assert!(account.change.significant);
        assert!((own(&account, "payment") - 0.1995).abs() < 1e-9, "0.21 less the median 0.0105");
        assert!(own(&account, "checkout").abs() < 1e-9);
        assert!(own(&account, "frontend").abs() < 1e-9);
        let payment = account.shares().find(|(c, _)| c.suspect.service() == &"payment".into());
        assert!(payment.expect("it is reachable").1 > 0.99);
    }

    #[test]
    fn two_callers_share_a_callee_in_proportion_to_their_requests() {
        let edges = [("frontend", "checkout"), ("frontend", "cart"), ("checkout", "db"), ("cart", "db")];
        let services = [("frontend", 0.1, 0.3), ("checkout", 0.05, 0.15), ("cart", 0.05, 0.15), ("db", 0.01, 0.21)];
        let account = account(&incident(&services, &edges), &"frontend".into(), Symptom::Latency).expect("series tell");
        assert!(own(&account, "checkout").abs() < 1e-3, "half of the database's 0.2 s is its own 0.1 s");
        assert!(own(&account, "db") > 0.19);
    }

    #[test]
    fn nothing_changed_passes_no_gate() {
        let account = account(
            &incident(&[("frontend", 0.1, 0.1005), ("db", 0.01, 0.0105)], &[("frontend", "db")]),
            &"frontend".into(),
            Symptom::Latency,
        )
        .expect("series tell");
        assert!(!account.change.significant);
        assert!(account.contributions.iter().all(|c| c.z.abs() < 1.0));
    }
}
