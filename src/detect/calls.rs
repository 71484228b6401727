//! Call statistics against their baselines: nodes, edges, operations, instances, versions.

use std::collections::BTreeMap;

use crate::incident::Incident;
use crate::stats::effective::{Weights, ratio_design_effect};
use crate::stats::robust::median;
use crate::telemetry::calls::{CallRow, CallStats, InstanceRow};
use crate::telemetry::series::{Signal, Subject, Unit};
use crate::telemetry::sketch::Sketch;

use super::counts::{Events, Failures, Law, Spread, compare_rates, compare_ratios, dispersion};
use super::spectrum::Cell;
use super::windows::{Bins, Role};
use super::{Finding, Outcome, Settings, level, may_be_significant, spectrum};

/// Findings of all subjects that the spans show.
///
/// Instances and versions are looked at where a service has at least two of them: a single one says what its service says.
pub(super) fn findings(incident: &Incident, settings: &Settings) -> Vec<Finding> {
    let calls = &incident.calls;
    let context = Context::new(incident, settings);
    let node = |row: &CallRow| Some((row.key.callee, 0));
    let handled: BTreeMap<u32, Vec<u64>> = groups(&context, calls, node)
        .into_iter()
        .map(|(key, rows)| (key.0, context.sum(&rows, |row| row.calls)))
        .collect();
    let mut findings = Vec::new();
    for ((callee, _), rows) in groups(&context, calls, node) {
        let subject = Subject::Service(calls.service(callee).clone());
        context.common(&subject, &rows, &context.tally(&rows), &mut findings);
        context.durations(&subject, Signal::SelfTime, &rows, |row| &row.self_times, &mut findings);
    }
    for ((caller, callee), rows) in groups(&context, calls, |row| Some((row.key.caller?, row.key.callee))) {
        let subject = Subject::Edge { caller: calls.service(caller).clone(), callee: calls.service(callee).clone() };
        let tally = context.tally(&rows);
        context.common(&subject, &rows, &tally, &mut findings);
        let edge_errors = context.sum(&rows, |row| row.edge_errors);
        context.ratio(&subject, (Signal::OriginErrorRatio, "edge errors"), &edge_errors, &tally, &mut findings);
        context.durations(&subject, Signal::SelfTime, &rows, |row| &row.self_times, &mut findings);
        context.durations(&subject, Signal::NetworkGap, &rows, |row| &row.gaps, &mut findings);
        for (signal, name, count) in ATTEMPTS {
            let counts = context.sum(&rows, count);
            // Most edges have none of these, and there is nothing to test then.
            if counts.iter().any(|count| *count > 0) {
                context.ratio(&subject, (signal, name), &counts, &tally, &mut findings);
            }
        }
        if let Some(requests) = handled.get(&caller) {
            context.per_request(&subject, &tally, requests, &mut findings);
        }
    }
    for ((callee, operation), rows) in groups(&context, calls, |row| Some((row.key.callee, row.key.operation))) {
        let Some(operation) = calls.operations.get(operation as usize) else { continue };
        let subject = Subject::Operation { service: calls.service(callee).clone(), operation: operation.clone() };
        context.common(&subject, &rows, &context.tally(&rows), &mut findings);
        context.durations(&subject, Signal::SelfTime, &rows, |row| &row.self_times, &mut findings);
    }
    for (subject, rows) in instances(calls) {
        context.instance(&subject, &rows, &mut findings);
    }
    findings
}

/// A signal, its name, and how often it occurred in a row.
type Attempt = (Signal, &'static str, fn(&CallRow) -> u64);

/// How often calls were tried, in vain or again.
const ATTEMPTS: [Attempt; 3] = [
    (Signal::Timeouts, "timeouts", |row| row.timeouts),
    (Signal::Retries, "retries", |row| row.retries),
    (Signal::Hedges, "hedged calls", |row| row.hedges),
];

/// The rows of one subject with their places, in order of place.
type Rows<'a> = Vec<(usize, &'a CallRow)>;

/// Rows by subject, in order of subject and place.
fn groups<'a>(
    context: &Context,
    calls: &'a CallStats,
    key: impl Fn(&CallRow) -> Option<(u32, u32)>,
) -> BTreeMap<(u32, u32), Rows<'a>> {
    let nodes = calls.nodes.len();
    let mut groups: BTreeMap<(u32, u32), Rows<'a>> = BTreeMap::new();
    for row in &calls.rows {
        let known = |node: u32| (node as usize) < nodes;
        if !known(row.key.callee) || !row.key.caller.is_none_or(known) {
            continue;
        }
        if let (Some(key), Some(place)) = (key(row), context.bins.place(row.key.bin)) {
            groups.entry(key).or_default().push((place, row));
        }
    }
    for rows in groups.values_mut() {
        rows.sort_by_key(|row| row.0);
    }
    groups
}

/// Rows of instances and of versions, by subject.
fn instances(calls: &CallStats) -> BTreeMap<Subject, Vec<&InstanceRow>> {
    let mut by_service: BTreeMap<u32, [BTreeMap<&str, Vec<&InstanceRow>>; 2]> = BTreeMap::new();
    for row in calls.instances.iter().filter(|row| (row.service as usize) < calls.nodes.len()) {
        let dimensions = by_service.entry(row.service).or_default();
        for (dimension, name) in dimensions.iter_mut().zip([row.instance.as_str(), row.version.as_str()]) {
            if !name.is_empty() {
                dimension.entry(name).or_default().push(row);
            }
        }
    }
    let mut subjects = BTreeMap::new();
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

/// Counts of one subject for each place.
struct Tally {
    calls: Vec<u64>,
    /// Calls that were seen.
    observed: Vec<u64>,
    /// Squares of the calls' weights.
    squares: Vec<u64>,
    errors: Vec<u64>,
    /// Squares of the failed calls' weights.
    error_squares: Vec<u64>,
}

/// What all subjects share.
struct Context<'a> {
    bins: Bins,
    settings: &'a Settings,
    /// Design effects of the calls of all subjects in the incident and in the baseline.
    effect_incident: f64,
    effect_baseline: f64,
}

impl<'a> Context<'a> {
    fn new(incident: &Incident, settings: &'a Settings) -> Self {
        let mut context = Self { bins: Bins::of(incident), settings, effect_incident: 1.0, effect_baseline: 1.0 };
        let placed = || incident.calls.rows.iter().filter_map(|row| Some((context.bins.place(row.key.bin)?, row)));
        let calls = context.sum_of(placed().map(|(place, row)| (place, row.calls)));
        let squares = context.sum_of(placed().map(|(place, row)| (place, row.weight_squares)));
        let [incident, baseline] = context.weights(&calls, &squares);
        let of = |own: Weights, other: Weights| if own.sum == 0 { other } else { own }.design_effect();
        (context.effect_incident, context.effect_baseline) = (of(incident, baseline), of(baseline, incident));
        context
    }

    /// Sum of a count for each place.
    fn sum(&self, rows: &Rows<'_>, count: impl Fn(&CallRow) -> u64) -> Vec<u64> {
        self.sum_of(rows.iter().map(|&(place, row)| (place, count(row))))
    }

    fn sum_of(&self, cells: impl Iterator<Item = (usize, u64)>) -> Vec<u64> {
        let mut sums = vec![0_u64; self.bins.len()];
        for (place, count) in cells {
            sums[place] = sums[place].saturating_add(count);
        }
        sums
    }

    /// Totals of the incident window and of all baseline windows.
    fn totals(&self, counts: &[u64]) -> (u64, u64) {
        let (mut incident, mut baseline) = (0_u64, 0_u64);
        for (place, &count) in counts.iter().enumerate() {
            match self.bins.role(place) {
                Role::Incident => incident = incident.saturating_add(count),
                Role::Baseline(_) => baseline = baseline.saturating_add(count),
                Role::Lead => {}
            }
        }
        (incident, baseline)
    }

    /// What is tested for nodes, edges and operations alike: requests, errors, where errors begin, latency.
    fn common(&self, subject: &Subject, rows: &Rows<'_>, tally: &Tally, findings: &mut Vec<Finding>) {
        let origin = self.sum(rows, |row| row.origin_errors);
        self.rate(subject, tally, findings);
        self.ratio(subject, (Signal::ErrorRatio, "errors"), &tally.errors, tally, findings);
        self.ratio(subject, (Signal::OriginErrorRatio, "origin errors"), &origin, tally, findings);
        self.durations(subject, Signal::Latency, rows, |row| &row.durations, findings);
    }

    /// Requests per second.
    fn rate(&self, subject: &Subject, tally: &Tally, findings: &mut Vec<Finding>) {
        let step = self.bins.step_seconds();
        let calls = &tally.calls;
        let (incident, baseline) = self.totals(calls);
        let events = Events {
            incident,
            baseline,
            observed: self.totals(&tally.observed),
            exposure_incident: self.bins.incident.len() as f64 * step,
            exposure_baseline: self.bins.baseline().count() as f64 * step,
            spread: self.spread_of_calls(tally, dispersion(&self.bins, Law::Poisson, |place| calls[place], |_| step)),
        };
        let floor = self.settings.floors.per_second;
        let Some(outcome) = compare_rates(&events, self.settings.relative_floor, floor, self.settings) else { return };
        let noise = (events.spread.greater() * outcome.baseline / step).sqrt();
        let outcome = self.dated(outcome, noise, |place| Some(calls[place] as f64 / step));
        findings.push(outcome.into_finding(subject, Signal::Requests, "requests", Unit::PerSecond));
    }

    /// Calls on an edge per request that its caller handles: unlike the rate, it does not follow the load.
    fn per_request(&self, subject: &Subject, tally: &Tally, requests: &[u64], findings: &mut Vec<Finding>) {
        let calls = &tally.calls;
        let (incident, baseline) = self.totals(calls);
        let (requests_incident, requests_baseline) = self.totals(requests);
        let measured = dispersion(&self.bins, Law::Poisson, |place| calls[place], |place| requests[place] as f64);
        let events = Events {
            incident,
            baseline,
            observed: self.totals(&tally.observed),
            exposure_incident: requests_incident as f64,
            exposure_baseline: requests_baseline as f64,
            spread: self.spread_of_calls(tally, measured),
        };
        let floor = self.settings.floors.calls_per_request;
        let Some(outcome) = compare_rates(&events, self.settings.relative_floor, floor, self.settings) else { return };
        let places = self.bins.len().max(1) as f64;
        let typical = (events.exposure_baseline / places).max(1.0);
        let noise = (events.spread.greater() * outcome.baseline / typical).sqrt();
        let value = |place: usize| (requests[place] > 0).then(|| calls[place] as f64 / requests[place] as f64);
        let outcome = self.dated(outcome, noise, value);
        findings.push(outcome.into_finding(subject, Signal::Requests, "calls per caller request", Unit::Count));
    }

    /// Failed calls over all calls.
    fn ratio(
        &self,
        subject: &Subject,
        (signal, name): (Signal, &str),
        failed: &[u64],
        tally: &Tally,
        findings: &mut Vec<Finding>,
    ) {
        let calls = &tally.calls;
        let (incident, baseline) = self.totals(failed);
        let (calls_incident, calls_baseline) = self.totals(calls);
        let failures = Failures {
            incident,
            calls_incident,
            baseline,
            calls_baseline,
            observed: self.totals(&tally.observed),
            spread: self.spread_of_failures(
                tally,
                signal,
                (incident, baseline),
                dispersion(&self.bins, Law::Binomial, |p| failed[p], |p| calls[p] as f64),
            ),
        };
        let Some(outcome) = compare_ratios(&failures, self.settings) else { return };
        let busy = calls.iter().filter(|count| **count > 0).count().max(1) as f64;
        let typical = (calls.iter().map(|&c| c as f64).sum::<f64>() / busy).max(1.0);
        let probability = outcome.baseline.max(1.0 / typical).min(0.5);
        let noise = (failures.spread.greater() * probability * (1.0 - probability) / typical).sqrt();
        let value = |place: usize| (calls[place] > 0).then(|| failed[place] as f64 / calls[place] as f64);
        let outcome = self.dated(outcome, noise, value);
        findings.push(outcome.into_finding(subject, signal, name, Unit::Ratio));
    }

    /// A distribution of times.
    fn durations(
        &self,
        subject: &Subject,
        signal: Signal,
        rows: &Rows<'_>,
        sketch: impl Fn(&CallRow) -> &Sketch,
        findings: &mut Vec<Finding>,
    ) {
        let cells = rows.iter().map(|&(place, row)| {
            let weights = Weights { sum: row.calls, squares: row.weight_squares };
            (place, Cell { sketch: sketch(row), weights, observed: row.observed })
        });
        let Some((outcome, quantile)) = spectrum::compare(&self.bins, cells, self.settings) else { return };
        let what = match signal {
            Signal::SelfTime => "self-times",
            Signal::NetworkGap => "gaps",
            _ => "durations",
        };
        findings.push(outcome.into_finding(subject, signal, format!("{quantile} of {what}"), Unit::Seconds));
    }

    /// One instance or version: counts as for a service; times only as means of each bin, which are compared as a series.
    fn instance(&self, subject: &Subject, rows: &[&InstanceRow], findings: &mut Vec<Finding>) {
        let sum = |count: fn(&InstanceRow) -> u64| {
            self.sum_of(rows.iter().filter_map(|row| Some((self.bins.place(row.bin)?, count(row)))))
        };
        let tally = Tally {
            calls: sum(|row| row.calls),
            observed: sum(|row| row.observed),
            squares: sum(|row| row.weight_squares),
            errors: sum(|row| row.errors),
            error_squares: sum(|row| row.error_weight_squares),
        };
        let calls = &tally.calls;
        self.rate(subject, &tally, findings);
        self.ratio(subject, (Signal::ErrorRatio, "errors"), &tally.errors, &tally, findings);
        let origin = sum(|row| row.origin_errors);
        self.ratio(subject, (Signal::OriginErrorRatio, "origin errors"), &origin, &tally, findings);
        let (effect_incident, effect_baseline) = self.design_effects(&tally);
        // The means of the incident's bins are so much noisier than those of the baseline, because fewer calls were kept.
        let coarser = (effect_incident / effect_baseline).sqrt();
        let times = [
            (Signal::Latency, "mean of durations", sum(|row| row.duration_ns)),
            (Signal::SelfTime, "mean of self-times", sum(|row| row.self_ns)),
        ];
        for (signal, name, total) in times {
            let mean = |place: usize| (calls[place] > 0).then(|| total[place] as f64 / calls[place] as f64 / 1e9);
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
            let (incident, baseline) = self.totals(&tally.observed);
            let outcome = found.shift.outcome(self.settings, baseline, incident, None);
            let outcome = self.dated(outcome, found.noise, mean);
            findings.push(outcome.into_finding(subject, signal, name, Unit::Seconds));
        }
    }

    /// Sums over the rows of a subject.
    fn tally(&self, rows: &Rows<'_>) -> Tally {
        Tally {
            calls: self.sum(rows, |row| row.calls),
            observed: self.sum(rows, |row| row.observed),
            squares: self.sum(rows, |row| row.weight_squares),
            errors: self.sum(rows, |row| row.errors),
            error_squares: self.sum(rows, |row| row.error_weight_squares),
        }
    }

    /// Weights of a kind of calls in the incident and in the baseline.
    fn weights(&self, counts: &[u64], squares: &[u64]) -> [Weights; 2] {
        let (sums, squares) = (self.totals(counts), self.totals(squares));
        [Weights { sum: sums.0, squares: squares.0 }, Weights { sum: sums.1, squares: squares.1 }]
    }

    /// The design effects of a subject's calls in the incident and in the baseline. A window in which it has none is taken
    /// to be sampled as the calls of all others: that nothing of it was kept need not mean that there was nothing.
    fn design_effects(&self, tally: &Tally) -> (f64, f64) {
        let [incident, baseline] = self.weights(&tally.calls, &tally.squares);
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
        let [calls_incident, calls_baseline] = self.weights(&tally.calls, &tally.squares);
        let [errors_incident, errors_baseline] = match signal {
            Signal::Retries | Signal::Hedges => [Weights::default(); 2],
            _ => self.weights(&tally.errors, &tally.error_squares),
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
