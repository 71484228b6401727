//! Groups of raw series become series: rates, ratios, means and quantiles per interval, and edges.

use std::collections::{BTreeMap, BTreeSet};

use super::derive::{Group, Groups, Member, View};
use super::metric_parts::Part;
use super::metric_table::{self, EDGE_CALLS, EDGE_FAILURES, EDGE_SEEN_BY_CALLEE, EDGE_SEEN_BY_CALLER, Role};
use super::rates::{self, Interval, Scale};
use super::{native_histogram, outcomes};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};

/// Quantiles that are taken of histograms: the middle, and two of the tail that alerts are written for.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

const NETWORK_GAP: &str = "traces_service_graph_request_client_less_server_seconds";
const ISTIO_NETWORK_GAP: &str = "istio_request_duration_source_less_destination";
const MEMORY_SHARE: &str = "container_memory_working_set_bytes/limit";

/// The histograms that measure the same calls by the caller's and by the callee's clock, and the name of what lies
/// between them.
const TWO_CLOCKS: &[(&str, &str, &str)] = &[
    (EDGE_SEEN_BY_CALLER, EDGE_SEEN_BY_CALLEE, NETWORK_GAP),
    (ISTIO_DURATION_BY_CALLER, metric_table::ISTIO_DURATION, ISTIO_NETWORK_GAP),
];

/// Under this name stand Istio's durations by the caller's proxy where those of the callee's count.
pub(super) const ISTIO_DURATION_BY_CALLER: &str = "istio_request_duration_milliseconds{reporter=\"source\"}";

/// The series of all groups.
pub(super) fn series(groups: &Groups<'_>) -> Vec<Series> {
    let counted: BTreeSet<&Subject> = groups
        .iter()
        .filter(|(_, group)| matches!(group.role, Role::Calls | Role::Outcomes(_)))
        .map(|((subject, _), _)| subject)
        .collect();
    let failures_known = groups.keys().any(|(_, name)| name == EDGE_FAILURES);
    let mut out = Vec::new();
    for ((subject, name), group) in groups {
        let mut emit = Emit { subject, out: &mut out };
        match group.role {
            Role::Rate => emit.gauge(name, group, sum(&chosen_containers(group), rates::counter_rates)),
            Role::Level | Role::LevelByReason => {
                emit.gauge(name, group, sum(&chosen_containers(group), rates::gauge_intervals));
                if name == metric_table::WORKING_SET {
                    emit.push(
                        Signal::Memory,
                        Statistic::Mean,
                        Unit::Ratio,
                        MEMORY_SHARE,
                        memory_share(subject, groups),
                    );
                }
            }
            Role::ShareOf(_) => {
                let whole = group.whole.as_ref().and_then(|whole| groups.get(&(subject.clone(), whole.clone())));
                if let Some(whole) = whole {
                    let (part, whole) = (chosen_containers(group), chosen_containers(whole));
                    emit.push(group.signal, Statistic::Mean, Unit::Ratio, name, share(&part, &whole));
                }
            }
            Role::Outcomes(all) => {
                let members: Vec<&Member<'_>> = group.members.iter().collect();
                if !groups.contains_key(&(subject.clone(), all.to_owned())) {
                    emit.rate_of_requests(name, &members);
                }
                emit.errors_among(name, &group.members, &members);
            }
            Role::Calls => {
                emit.requests(name, &group.members, group.members.iter().collect());
                let failed = groups.get(&(subject.clone(), EDGE_FAILURES.to_owned()));
                match failed {
                    Some(failed) if name == EDGE_CALLS => {
                        emit.errors(name, &failed.members.iter().collect::<Vec<_>>(), &group.members);
                    }
                    // A counter of failures begins to exist with the first failure.
                    None if name == EDGE_CALLS && failures_known => emit.errors(name, &[], &group.members),
                    _ => {}
                }
            }
            Role::Duration | Role::Distribution => {
                emit.distribution(name, group);
                if group.role == Role::Duration && group.view != View::CalleeOfGraph && !counted.contains(subject) {
                    emit.requests(&format!("{name}_count"), &group.members, counts(group));
                }
            }
            Role::Whole | Role::FailedCalls | Role::Machine | Role::Tie => {}
        }
    }
    for clocks in TWO_CLOCKS {
        out.extend(groups.keys().filter(|key| key.1 == clocks.0).filter_map(|key| gap(&key.0, *clocks, groups)));
    }
    out.retain(|series| !series.samples.is_empty());
    out
}

/// Edges that metrics state: service graphs, meshes, clients that name whom they call.
pub(super) fn given_edges(groups: &Groups<'_>) -> Vec<GivenEdge> {
    let mut edges: BTreeMap<(ServiceId, ServiceId), (NodeKind, EdgeMode)> = BTreeMap::new();
    for ((subject, _), group) in groups {
        let (Subject::Edge { caller, callee }, Some((kind, mode))) = (subject, group.edge) else { continue };
        // Where series disagree the more telling one counts: each enum has the plain case first.
        let entry = edges.entry((caller.clone(), callee.clone())).or_insert((kind, mode));
        *entry = (entry.0.max(kind), entry.1.max(mode));
    }
    edges
        .into_iter()
        .map(|((caller, callee), (callee_kind, mode))| GivenEdge { caller, callee, callee_kind, mode })
        .collect()
}

type Samples = Vec<(i64, f64)>;

/// Collects the series of one subject.
struct Emit<'e> {
    subject: &'e Subject,
    out: &'e mut Vec<Series>,
}

impl Emit<'_> {
    fn push(&mut self, signal: Signal, statistic: Statistic, unit: Unit, name: &str, samples: Samples) {
        let subject = self.subject.clone();
        self.out.push(Series { subject, signal, statistic, unit, name: name.to_owned(), samples });
    }

    fn gauge(&mut self, name: &str, group: &Group<'_>, samples: Samples) {
        let samples = samples.into_iter().map(|(at, value)| (at, value * group.scale)).collect();
        self.push(group.signal, Statistic::Mean, group.unit, name, samples);
    }

    /// Rate of `counts`, and the share of failed ones where a label of any of `members` tells outcomes.
    fn requests(&mut self, name: &str, members: &[Member<'_>], counts: Vec<&Member<'_>>) {
        self.rate_of_requests(name, &counts);
        self.errors_among(name, members, &counts);
    }

    fn rate_of_requests(&mut self, name: &str, counts: &[&Member<'_>]) {
        self.push(Signal::Requests, Statistic::Mean, Unit::PerSecond, name, sum(counts, rates::counter_rates));
    }

    fn errors_among(&mut self, name: &str, members: &[Member<'_>], counts: &[&Member<'_>]) {
        if members.iter().any(|member| outcomes::tells_outcome(member.raw)) {
            let failed: Vec<&Member<'_>> = counts.iter().copied().filter(|member| member.failed).collect();
            self.push(Signal::ErrorRatio, Statistic::Mean, Unit::Ratio, name, share(&failed, counts));
        }
    }

    fn errors(&mut self, name: &str, failed: &[&Member<'_>], all: &[Member<'_>]) {
        let all: Vec<&Member<'_>> = all.iter().collect();
        self.push(Signal::ErrorRatio, Statistic::Mean, Unit::Ratio, name, share(failed, &all));
    }

    /// Mean and quantiles of a histogram or summary.
    fn distribution(&mut self, name: &str, group: &Group<'_>) {
        let unit = group.unit;
        let scaled = |samples: Samples| samples.into_iter().map(|(at, value)| (at, value * group.scale)).collect();
        let mean = mean(group);
        if !mean.is_empty() {
            self.push(group.signal, Statistic::Mean, unit, name, scaled(mean));
        }
        for (quantile, samples) in histogram_quantiles(group).into_iter().chain(summary_quantiles(group)) {
            self.push(group.signal, Statistic::Quantile(quantile), unit, name, scaled(samples));
        }
    }
}

/// The sum over members of what `intervals` makes of their samples.
fn sum(members: &[&Member<'_>], intervals: fn(&[(i64, f64)]) -> Vec<Interval>) -> Samples {
    let members: Vec<Vec<Interval>> = members.iter().map(|member| intervals(&member.raw.samples)).collect();
    let times = rates::common_times(&members);
    let sums = rates::sum_at(&times, &members);
    times.into_iter().zip(sums).filter_map(|(at, sum)| Some((at, sum?))).collect()
}

/// Rate of `part` over rate of `whole`, 0 to 1; a gap where nothing was counted.
fn share(part: &[&Member<'_>], whole: &[&Member<'_>]) -> Samples {
    ratio(part, whole, |ratio| ratio.clamp(0.0, 1.0))
}

fn ratio(part: &[&Member<'_>], whole: &[&Member<'_>], limit: fn(f64) -> f64) -> Samples {
    let rates_of = |members: &[&Member<'_>]| -> Vec<Vec<Interval>> {
        members.iter().map(|member| rates::counter_rates(&member.raw.samples)).collect()
    };
    let (part, whole) = (rates_of(part), rates_of(whole));
    let times = rates::common_times(&whole);
    let (parts, wholes) = (rates::sum_at(&times, &part), rates::sum_at(&times, &whole));
    times
        .into_iter()
        .zip(parts.into_iter().zip(wholes))
        .filter_map(|(at, (part, whole))| {
            let whole = whole.filter(|whole| *whole > 0.0)?;
            Some((at, limit(part.unwrap_or(0.0) / whole)))
        })
        .collect()
}

fn of_part<'m, 'r>(group: &'m Group<'r>, part: Part) -> Vec<&'m Member<'r>> {
    group.members.iter().filter(|member| member.part == part).collect()
}

/// The members that count observations: `_count`, or the open bucket where there is none.
fn counts<'m, 'r>(group: &'m Group<'r>) -> Vec<&'m Member<'r>> {
    let counts = of_part(group, Part::Count);
    if !counts.is_empty() {
        return counts;
    }
    of_part(group, Part::Bucket).into_iter().filter(|m| upper_bound(m) == Some(f64::INFINITY)).collect()
}

fn mean(group: &Group<'_>) -> Samples {
    let sums = of_part(group, Part::Sum);
    if sums.is_empty() { Vec::new() } else { ratio(&sums, &counts(group), |mean| mean) }
}

/// The bucket's upper bound, from its label `le`.
fn upper_bound(member: &Member<'_>) -> Option<f64> {
    member.raw.label("le")?.parse::<f64>().ok().filter(|bound| !bound.is_nan())
}

/// Quantiles per interval from the increase of the buckets.
fn histogram_quantiles(group: &Group<'_>) -> Vec<(f64, Samples)> {
    let mut by_bound: Vec<(f64, Vec<Vec<Interval>>)> = Vec::new();
    let is_native = |m: &Member<'_>| m.raw.label(native_histogram::MARK).is_some();
    let is_exponential = |m: &Member<'_>| m.raw.label(native_histogram::MARK) == Some(native_histogram::EXPONENTIAL);
    let mut buckets: Vec<(f64, &Member<'_>)> =
        of_part(group, Part::Bucket).into_iter().filter_map(|m| Some((upper_bound(m)?, m))).collect();
    // Where a program exposes both forms of one histogram, the native one is the finer, and both would count twice.
    let native = buckets.iter().any(|(_, m)| is_native(m));
    buckets.retain(|(_, m)| is_native(m) == native);
    let scale =
        if native && buckets.iter().all(|(_, m)| is_exponential(m)) { Scale::Exponential } else { Scale::Linear };
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (bound, member) in buckets {
        let intervals = rates::counter_rates(&member.raw.samples);
        match by_bound.last_mut() {
            Some(last) if last.0.total_cmp(&bound).is_eq() => last.1.push(intervals),
            _ => by_bound.push((bound, vec![intervals])),
        }
    }
    let Some((_, open)) = by_bound.last() else { return Vec::new() };
    let times = rates::common_times(open);
    let sums: Vec<(f64, Vec<Option<f64>>)> =
        by_bound.iter().map(|(bound, members)| (*bound, rates::sum_at(&times, members))).collect();
    let mut quantiles: Vec<(f64, Samples)> = QUANTILES.iter().map(|q| (*q, Vec::new())).collect();
    let mut cumulative = Vec::with_capacity(sums.len());
    for (position, &at) in times.iter().enumerate() {
        cumulative.clear();
        cumulative.extend(sums.iter().filter_map(|(bound, sums)| Some((*bound, sums[position]?))));
        for (q, samples) in &mut quantiles {
            samples.extend(rates::histogram_quantile(*q, &cumulative, scale).map(|value| (at, value)));
        }
    }
    quantiles.retain(|(_, samples)| !samples.is_empty());
    quantiles
}

/// Quantiles that a summary states. Those of several instances cannot be joined; their mean stands for them.
fn summary_quantiles(group: &Group<'_>) -> Vec<(f64, Samples)> {
    let mut quantiles: Vec<(f64, Vec<&Member<'_>>)> = Vec::new();
    for member in of_part(group, Part::None) {
        let Some(q) = member.raw.label("quantile").and_then(|q| q.parse::<f64>().ok()) else { continue };
        if !(0.0..=1.0).contains(&q) {
            continue;
        }
        match quantiles.iter_mut().find(|known| known.0.total_cmp(&q).is_eq()) {
            Some(known) => known.1.push(member),
            None => quantiles.push((q, vec![member])),
        }
    }
    quantiles
        .into_iter()
        .map(|(q, members)| {
            let count = members.len() as f64;
            (q, sum(&members, rates::gauge_intervals).into_iter().map(|(at, total)| (at, total / count)).collect())
        })
        .collect()
}

/// The members to sum where cAdvisor reports containers and their pod: the containers where they are named, else the
/// pod, else its pause container (which owns the network).
fn chosen_containers<'m, 'r>(group: &'m Group<'r>) -> Vec<&'m Member<'r>> {
    let rank = |m: &Member<'_>| match container(m) {
        None | Some("") => 1,
        Some("POD") => 2,
        Some(_) => 0,
    };
    let best = group.members.iter().map(rank).min();
    let is_container_metric = |m: &Member<'_>| m.raw.name.starts_with("container");
    group.members.iter().filter(|m| !is_container_metric(m) || Some(rank(m)) == best).collect()
}

/// Memory in use over what the containers may use, where each of them has a limit.
fn memory_share(subject: &Subject, groups: &Groups<'_>) -> Samples {
    let of_name = |name: &str| groups.get(&(subject.clone(), name.to_owned()));
    let Some(used) = of_name(metric_table::WORKING_SET).map(chosen_containers) else { return Vec::new() };
    let by_state = format!("{}{{resource=\"memory\"}}", metric_table::RESOURCE_LIMITS);
    let Some(limits) = of_name(metric_table::MEMORY_LIMIT)
        .map(chosen_containers)
        .or_else(|| of_name(&by_state).map(|group| group.members.iter().collect()))
    else {
        return Vec::new();
    };
    // cAdvisor writes 0 for no limit.
    let limited: BTreeSet<Option<&str>> = limits
        .iter()
        .filter(|limit| limit.raw.samples.iter().any(|sample| sample.1 > 0.0))
        .map(|limit| container(limit))
        .collect();
    if !used.iter().all(|member| limited.contains(&container(member))) {
        return Vec::new();
    }
    let used_at = sum(&used, rates::gauge_intervals);
    let limit = [rates::gauge_intervals(&sum(&limits, rates::gauge_intervals))];
    let times: Vec<i64> = used_at.iter().map(|sample| sample.0).collect();
    let share = |(&(at, used), limit): (&(i64, f64), Option<f64>)| Some((at, used / limit.filter(|l| *l > 0.0)?));
    used_at.iter().zip(rates::sum_at(&times, &limit)).filter_map(share).collect()
}

fn container<'r>(member: &Member<'r>) -> Option<&'r str> {
    let label = member.raw.label("exported_container").or_else(|| member.raw.label("container"));
    label.or_else(|| member.raw.label("container_name"))
}

/// Mean time on the network: what the caller measured less what the callee measured, where both did.
fn gap(subject: &Subject, (by_caller, by_callee, name): (&str, &str, &str), groups: &Groups<'_>) -> Option<Series> {
    if !matches!(subject, Subject::Edge { .. }) {
        return None;
    }
    let group = |name: &str| groups.get(&(subject.clone(), name.to_owned()));
    let scale = group(by_caller)?.scale;
    let (caller, callee) = (mean(group(by_caller)?), mean(group(by_callee)?));
    let callee = [rates::gauge_intervals(&callee)];
    let times: Vec<i64> = caller.iter().map(|sample| sample.0).collect();
    let samples = caller
        .iter()
        .zip(rates::sum_at(&times, &callee))
        // A negative difference is the clocks' resolution, not time won.
        .filter_map(|(&(at, caller), callee)| Some((at, (caller - callee?).max(0.0) * scale)))
        .collect();
    Some(Series {
        subject: subject.clone(),
        signal: Signal::NetworkGap,
        statistic: Statistic::Mean,
        unit: Unit::Seconds,
        name: name.to_owned(),
        samples,
    })
}
