//! Call statistics against their baselines: nodes, edges, operations, instances, versions.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::stats::effective::{Weights, ratio_design_effect};
use crate::stats::robust::median;
use crate::telemetry::calls::{CallRow, CallStats, InstanceRow};
use crate::telemetry::series::{Signal, Subject, Unit};
use crate::telemetry::sketch::Sketch;

use super::counts::{Events, Failures, Law, Spread, compare_rates, compare_ratios, dispersion};
use super::rows::{Counts, InstanceCounts, Placed, Rows, Tally, by_place, split};
use super::spectrum::{Cell, Room, Spectra};
use super::windows::{Bins, Comparison};
use super::{Finding, Outcome, Settings, level, may_be_significant, spectrum};

/// Findings of all subjects that the spans show, for each comparison.
///
/// Instances and versions are looked at where a service has at least two of them: a single one says what its service says.
pub(super) fn findings(calls: &CallStats, comparisons: &[Comparison], settings: &Settings) -> Vec<Vec<Finding>> {
    let bins = Bins::of(calls, comparisons);
    let Some(first) = bins.first() else { return Vec::new() };
    let placed = Placed::of(calls, first);
    let contexts: Vec<Context<'_>> = bins.iter().map(|bins| Context::new(bins, &placed, settings)).collect();
    let nodes = 0..placed.nodes();
    let mut found: Vec<Vec<Vec<Finding>>> = nodes
        .into_par_iter()
        .map_init(Room::default, |room, node| of_callee(&contexts, calls, &placed, node, room))
        .collect();
    let of_instance = |(subject, rows): &(Subject, Vec<&InstanceRow>)| {
        let counts = InstanceCounts::of(first, rows);
        contexts.iter().map(|context| context.instance(subject, &counts)).collect()
    };
    found.extend(instances(calls).par_iter().map(of_instance).collect::<Vec<_>>());
    let mut by_comparison: Vec<Vec<Finding>> = comparisons.iter().map(|_| Vec::new()).collect();
    for of_subject in found {
        by_comparison.iter_mut().zip(of_subject).for_each(|(all, found)| all.extend(found));
    }
    by_comparison
}

/// Findings of a node, of the edges to it and of its operations, for each comparison.
fn of_callee(
    contexts: &[Context<'_>],
    calls: &CallStats,
    placed: &Placed<'_>,
    node: usize,
    room: &mut Room,
) -> Vec<Vec<Finding>> {
    let mut findings: Vec<Vec<Finding>> = contexts.iter().map(|_| Vec::new()).collect();
    let Some(first) = contexts.first() else { return findings };
    let rows = placed.of_callee(node);
    let Some(callee) = calls.nodes.get(node).filter(|_| !rows.is_empty()) else { return findings };
    let rows = by_place(rows, first.bins.len());
    let mut test = |subject: &Subject, rows: &Rows<'_>, requests: Option<&[u64]>| {
        let tally = Tally::of(first.bins, rows);
        for (context, findings) in contexts.iter().zip(&mut findings) {
            context.common(subject, &tally, findings);
            if let Subject::Edge { .. } = subject {
                context.edge(subject, &tally, requests, findings);
            }
        }
        let gaps = matches!(subject, Subject::Edge { .. });
        let times: [Times; 3] = [
            (Signal::Latency, |row| &row.durations),
            (Signal::SelfTime, |row| &row.self_times),
            (Signal::NetworkGap, |row| &row.gaps),
        ];
        for (signal, sketch) in times.into_iter().filter(|(signal, _)| gaps || *signal != Signal::NetworkGap) {
            let cells = rows.iter().map(|&(place, row)| {
                let weights = Weights { sum: row.calls, squares: row.weight_squares };
                (place, Cell { sketch: sketch(row), weights, observed: row.observed })
            });
            let mut spectra = Spectra::of(first.bins, room, cells);
            for (context, findings) in contexts.iter().zip(&mut findings) {
                context.durations(subject, signal, &mut spectra, findings);
            }
        }
    };
    test(&Subject::Service(callee.id.clone()), &rows, None);
    for (caller, rows) in split(&rows, |key| key.caller) {
        let Some(caller) = caller else { continue };
        let subject = Subject::Edge { caller: calls.service(caller).clone(), callee: callee.id.clone() };
        test(&subject, &rows, placed.handled(caller));
    }
    for (operation, rows) in split(&rows, |key| key.operation) {
        let Some(operation) = calls.operations.get(operation as usize) else { continue };
        let subject = Subject::Operation { service: callee.id.clone(), operation: operation.clone() };
        test(&subject, &rows, None);
    }
    findings
}

/// A signal and its times in a row.
type Times = (Signal, fn(&CallRow) -> &Sketch);

/// A signal, its name, and how often it occurred.
type Attempt = (Signal, &'static str, fn(&Counts) -> u64);

/// How often calls were tried, in vain or again.
const ATTEMPTS: [Attempt; 3] = [
    (Signal::Timeouts, "timeouts", |counts| counts.timeouts),
    (Signal::Retries, "retries", |counts| counts.retries),
    (Signal::Hedges, "hedged calls", |counts| counts.hedges),
];

/// Rows of instances and of versions, by subject.
fn instances(calls: &CallStats) -> Vec<(Subject, Vec<&InstanceRow>)> {
    let mut by_service: BTreeMap<u32, [BTreeMap<&str, Vec<&InstanceRow>>; 2]> = BTreeMap::new();
    // Rows are sorted, so that most have the names of the one before.
    let same =
        |a: &InstanceRow, b: &InstanceRow| (a.service, &a.instance, &a.version) == (b.service, &b.instance, &b.version);
    for rows in calls.instances.chunk_by(same) {
        let Some(row) = rows.first().filter(|row| (row.service as usize) < calls.nodes.len()) else { continue };
        let dimensions = by_service.entry(row.service).or_default();
        for (dimension, name) in dimensions.iter_mut().zip([row.instance.as_str(), row.version.as_str()]) {
            if !name.is_empty() {
                dimension.entry(name).or_default().extend(rows);
            }
        }
    }
    let mut subjects = Vec::new();
    for (service, [by_instance, by_version]) in by_service {
        let service = calls.service(service);
        if by_instance.len() > 1 {
            subjects.extend(
                by_instance.into_iter().map(|(name, rows)| {
                    (Subject::Instance { service: service.clone(), instance: name.to_owned() }, rows)
                }),
            );
        }
        if by_version.len() > 1 {
            subjects.extend(
                by_version.into_iter().map(|(name, rows)| {
                    (Subject::Version { service: service.clone(), version: name.to_owned() }, rows)
                }),
            );
        }
    }
    subjects
}

/// What all subjects share in one comparison.
struct Context<'a> {
    bins: &'a Bins,
    settings: &'a Settings,
    /// Design effects of the calls of all subjects in the incident and in the baseline.
    effect_incident: f64,
    effect_baseline: f64,
}

impl<'a> Context<'a> {
    fn new(bins: &'a Bins, placed: &Placed<'_>, settings: &'a Settings) -> Self {
        let mut context = Self { bins, settings, effect_incident: 1.0, effect_baseline: 1.0 };
        let [incident, baseline] = context.weights(|place| placed.calls[place], |place| placed.weight_squares[place]);
        let of = |own: Weights, other: Weights| if own.sum == 0 { other } else { own }.design_effect();
        (context.effect_incident, context.effect_baseline) = (of(incident, baseline), of(baseline, incident));
        context
    }

    /// Totals of the incident window and of all baseline windows.
    fn totals(&self, count: impl Fn(usize) -> u64) -> (u64, u64) {
        let sum = |sum: u64, place: usize| sum.saturating_add(count(place));
        (self.bins.incident.iter().copied().fold(0, sum), self.bins.baseline().fold(0, sum))
    }

    /// What is tested for nodes, edges and operations alike, but for times: requests, errors, where errors begin.
    fn common(&self, subject: &Subject, tally: &Tally, findings: &mut Vec<Finding>) {
        self.rate(subject, tally, findings);
        self.ratio(subject, (Signal::ErrorRatio, "errors"), |counts| counts.errors, tally, findings);
        self.ratio(
            subject,
            (Signal::OriginErrorRatio, "origin errors"),
            |counts| counts.origin_errors,
            tally,
            findings,
        );
    }

    /// What is tested for edges only, but for times.
    fn edge(&self, subject: &Subject, tally: &Tally, requests: Option<&[u64]>, findings: &mut Vec<Finding>) {
        self.ratio(subject, (Signal::OriginErrorRatio, "edge errors"), |counts| counts.edge_errors, tally, findings);
        for (signal, name, count) in ATTEMPTS {
            // Most edges have none of these, and there is nothing to test then.
            if tally.by_place.iter().any(|counts| count(counts) > 0) {
                self.ratio(subject, (signal, name), count, tally, findings);
            }
        }
        if let Some(requests) = requests {
            self.per_request(subject, tally, requests, findings);
        }
    }

    /// Requests per second.
    fn rate(&self, subject: &Subject, tally: &Tally, findings: &mut Vec<Finding>) {
        let step = self.bins.step_seconds();
        let calls = |place: usize| tally.by_place[place].calls;
        let (incident, baseline) = self.totals(calls);
        let events = Events {
            incident,
            baseline,
            observed: self.totals(|place| tally.by_place[place].observed),
            exposure_incident: self.bins.incident.len() as f64 * step,
            exposure_baseline: self.bins.baseline().count() as f64 * step,
            spread: self.spread_of_calls(tally, dispersion(self.bins, Law::Poisson, calls, |_| step)),
        };
        let floor = self.settings.floors.per_second;
        let Some(outcome) = compare_rates(&events, self.settings.relative_floor, floor, self.settings) else { return };
        let noise = (events.spread.greater() * outcome.baseline / step).sqrt();
        let outcome = self.dated(outcome, noise, |place| Some(calls(place) as f64 / step));
        findings.push(outcome.into_finding(subject, Signal::Requests, "requests", Unit::PerSecond));
    }

    /// Calls on an edge per request that its caller handles: unlike the rate, it does not follow the load.
    fn per_request(&self, subject: &Subject, tally: &Tally, requests: &[u64], findings: &mut Vec<Finding>) {
        let calls = |place: usize| tally.by_place[place].calls;
        let (incident, baseline) = self.totals(calls);
        let (requests_incident, requests_baseline) = self.totals(|place| requests[place]);
        let measured = dispersion(self.bins, Law::Poisson, calls, |place| requests[place] as f64);
        let events = Events {
            incident,
            baseline,
            observed: self.totals(|place| tally.by_place[place].observed),
            exposure_incident: requests_incident as f64,
            exposure_baseline: requests_baseline as f64,
            spread: self.spread_of_calls(tally, measured),
        };
        let floor = self.settings.floors.calls_per_request;
        let Some(outcome) = compare_rates(&events, self.settings.relative_floor, floor, self.settings) else { return };
        let places = self.bins.used().count().max(1) as f64;
        let typical = (events.exposure_baseline / places).max(1.0);
        let noise = (events.spread.greater() * outcome.baseline / typical).sqrt();
        let value = |place: usize| (requests[place] > 0).then(|| calls(place) as f64 / requests[place] as f64);
        let outcome = self.dated(outcome, noise, value);
        findings.push(outcome.into_finding(subject, Signal::Requests, "calls per caller request", Unit::Count));
    }

    /// Failed calls over all calls.
    fn ratio(
        &self,
        subject: &Subject,
        (signal, name): (Signal, &str),
        count: impl Fn(&Counts) -> u64,
        tally: &Tally,
        findings: &mut Vec<Finding>,
    ) {
        let calls = |place: usize| tally.by_place[place].calls;
        let failed = |place: usize| count(&tally.by_place[place]);
        let (incident, baseline) = self.totals(failed);
        if incident.saturating_add(baseline) == 0 {
            return; // nothing to compare, as for most subjects
        }
        let (calls_incident, calls_baseline) = self.totals(calls);
        let failures = Failures {
            incident,
            calls_incident,
            baseline,
            calls_baseline,
            observed: self.totals(|place| tally.by_place[place].observed),
            spread: self.spread_of_failures(
                tally,
                signal,
                (incident, baseline),
                dispersion(self.bins, Law::Binomial, failed, |place| calls(place) as f64),
            ),
        };
        let Some(outcome) = compare_ratios(&failures, self.settings) else { return };
        let busy = self.bins.used().filter(|place| calls(*place) > 0).count().max(1) as f64;
        let typical = (self.bins.used().map(|place| calls(place) as f64).sum::<f64>() / busy).max(1.0);
        let probability = outcome.baseline.max(1.0 / typical).min(0.5);
        let noise = (failures.spread.greater() * probability * (1.0 - probability) / typical).sqrt();
        let value = |place: usize| (calls(place) > 0).then(|| failed(place) as f64 / calls(place) as f64);
        let outcome = self.dated(outcome, noise, value);
        findings.push(outcome.into_finding(subject, signal, name, Unit::Ratio));
    }

    /// A distribution of times.
    fn durations(&self, subject: &Subject, signal: Signal, spectra: &mut Spectra<'_>, findings: &mut Vec<Finding>) {
        let Some((outcome, quantile)) = spectrum::compare(self.bins, spectra, self.settings) else { return };
        let what = match signal {
            Signal::SelfTime => "self-times",
            Signal::NetworkGap => "gaps",
            _ => "durations",
        };
        findings.push(outcome.into_finding(subject, signal, format!("{quantile} of {what}"), Unit::Seconds));
    }

    /// One instance or version: counts as for a service; times only as means of each bin, which are compared as a series.
    fn instance(
        &self,
        subject: &Subject,
        InstanceCounts { tally, duration_ns, self_ns }: &InstanceCounts,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.common(subject, tally, &mut findings);
        let calls = |place: usize| tally.by_place[place].calls;
        let (effect_incident, effect_baseline) = self.design_effects(tally);
        // The means of the incident's bins are so much noisier than those of the baseline, because fewer calls were kept.
        let coarser = (effect_incident / effect_baseline).sqrt();
        let times =
            [(Signal::Latency, "mean of durations", duration_ns), (Signal::SelfTime, "mean of self-times", self_ns)];
        for (signal, name, total) in times {
            let mean = |place: usize| (calls(place) > 0).then(|| total[place] as f64 / calls(place) as f64 / 1e9);
            let means = |places: &[usize]| -> Vec<f64> { places.iter().filter_map(|&place| mean(place)).collect() };
            let baselines: Vec<Vec<f64>> = self.bins.baselines.iter().map(|places| means(places)).collect();
            let now = means(&self.bins.incident);
            let floor = self.settings.floors.seconds;
            let Some(mut found) = level::compare(&baselines, &now, floor, self.settings) else { continue };
            if coarser > 1.0 {
                let Some(careful) =
                    level::compare(&baselines, &closer(&baselines, &now, coarser), floor, self.settings)
                else {
                    continue;
                };
                (found.shift.z, found.shift.p_value) = (careful.shift.z, careful.shift.p_value);
                found.noise *= coarser;
            }
            let (incident, baseline) = self.totals(|place| tally.by_place[place].observed);
            let outcome = found.shift.outcome(self.settings, baseline, incident, None);
            let outcome = self.dated(outcome, found.noise, mean);
            findings.push(outcome.into_finding(subject, signal, name, Unit::Seconds));
        }
        findings
    }

    /// Weights of a kind of calls in the incident and in the baseline.
    fn weights(&self, count: impl Fn(usize) -> u64, squares: impl Fn(usize) -> u64) -> [Weights; 2] {
        let (sums, squares) = (self.totals(count), self.totals(squares));
        [Weights { sum: sums.0, squares: squares.0 }, Weights { sum: sums.1, squares: squares.1 }]
    }

    /// Weights of a subject's calls.
    fn weights_of_calls(&self, tally: &Tally) -> [Weights; 2] {
        self.weights(|place| tally.by_place[place].calls, |place| tally.by_place[place].weight_squares)
    }

    /// The design effects of a subject's calls in the incident and in the baseline. A window in which it has none is taken
    /// to be sampled as the calls of all others: that nothing of it was kept need not mean that there was nothing.
    fn design_effects(&self, tally: &Tally) -> (f64, f64) {
        let [incident, baseline] = self.weights_of_calls(tally);
        let effect = |weights: Weights, all: f64| if weights.sum == 0 { all } else { weights.design_effect() };
        (effect(incident, self.effect_incident), effect(baseline, self.effect_baseline))
    }

    fn spread_of_calls(&self, tally: &Tally, measured: f64) -> Spread {
        let (incident, baseline) = self.design_effects(tally);
        Spread::new(measured, incident, baseline)
    }

    /// For failures of one kind, of which there are so many in the incident and in the baseline. What need not have failed
    /// (a second attempt) need not be weighted as failures are.
    fn spread_of_failures(&self, tally: &Tally, signal: Signal, failed: (u64, u64), measured: f64) -> Spread {
        let [calls_incident, calls_baseline] = self.weights_of_calls(tally);
        let [errors_incident, errors_baseline] = match signal {
            Signal::Retries | Signal::Hedges => [Weights::default(); 2],
            _ => self.weights(|place| tally.by_place[place].errors, |place| tally.by_place[place].error_squares),
        };
        let ratio = |failed: u64, calls: Weights| failed as f64 / calls.sum.max(1) as f64;
        Spread::new(
            measured,
            ratio_design_effect(ratio(failed.0, calls_incident), errors_incident, calls_incident),
            ratio_design_effect(ratio(failed.1, calls_baseline), errors_baseline, calls_baseline),
        )
    }

    /// Looks for the onset where the finding may become significant.
    fn dated(&self, mut outcome: Outcome, noise: f64, value: impl Fn(usize) -> Option<f64>) -> Outcome {
        if may_be_significant(&outcome, self.settings) {
            outcome.onset = self.bins.onset(outcome.baseline, outcome.incident, noise, value);
        }
        outcome
    }
}

/// The samples of the incident moved towards the middle of the baseline, to where they would be likely to lie were they as
/// exact as the baseline's.
fn closer(baselines: &[Vec<f64>], now: &[f64], coarser: f64) -> Vec<f64> {
    let pooled: Vec<f64> = baselines.iter().flatten().copied().collect();
    let Some(middle) = median(&pooled) else { return now.to_vec() };
    now.iter().map(|value| middle + (value - middle) / coarser).collect()
}
