//! Metric series against their baselines.

use rayon::prelude::*;

use crate::stats::robust::quantile;
use crate::telemetry::series::{Series, Signal, Statistic, Unit};
use crate::telemetry::time::Window;

use super::level::{self, Level, View};
use super::windows::{Comparison, onset};
use super::{Change, Finding, Outcome, Settings, counts, may_be_significant, surprise_bits};

/// Samples that the baseline lets expect before their absence, or presence, is significant.
const MIN_EXPECTED_SAMPLES: f64 = 3.0;
/// Other series that a percentile needs.
const MIN_FOR_CAP: usize = 10;

/// One finding for each series that has samples in a window.
pub(super) fn findings(series: &[Series], compared: &Comparison, settings: &Settings) -> Vec<Finding> {
    let levels = series.par_iter().filter(|series| series.signal != Signal::Restarts);
    let mut findings: Vec<Finding> = levels.filter_map(|series| finding(compared, series, settings)).collect();
    findings.extend(restarts(series, compared, settings));
    cap_near_zero(&mut findings, settings);
    findings
}

fn finding(compared: &Comparison, series: &Series, settings: &Settings) -> Option<Finding> {
    let (series, unit) = match series.statistic {
        Statistic::Counter => (&per_second(series), rate_unit(series)),
        Statistic::Mean | Statistic::Sum | Statistic::Quantile(_) => (series, series.unit),
    };
    let baselines: Vec<Vec<f64>> = compared.baselines.iter().map(|window| finite(series, window)).collect();
    let now = finite(series, &compared.incident);
    let floor = settings.floors.of(series.signal, unit);
    let Some(found) = level::compare(&baselines, &now, floor, settings) else {
        let outcome = silence(compared, &baselines, &now, settings)?;
        return Some(outcome.into_finding(&series.subject, series.signal, series.name.clone(), unit));
    };
    let n_baseline = baselines.iter().map(Vec::len).sum::<usize>() as u64;
    let mut outcome = found.shift.outcome(settings, n_baseline, now.len() as u64, None);
    if may_be_significant(&outcome, settings) {
        outcome.onset = date(compared, series, &found);
    }
    let name = match found.view {
        View::Median => series.name.clone(),
        View::P90 => format!("{} (90th percentile)", series.name),
        View::Sustained => format!("{} (sustained)", series.name),
    };
    Some(outcome.into_finding(&series.subject, series.signal, name, unit))
}

/// Finite values of a window, in order of time.
fn finite(series: &Series, window: &Window) -> Vec<f64> {
    let mut values = series.values_in(window);
    values.retain(|v| v.is_finite());
    values
}

fn date(compared: &Comparison, series: &Series, found: &Level) -> Option<super::Onset> {
    let mut samples: Vec<(i64, f64)> = Vec::new();
    for window in compared.lead().iter().chain([&compared.incident]) {
        samples.extend(series.samples.iter().filter(|s| window.contains(s.0)));
    }
    let steps: Vec<f64> = series.samples.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0) as f64).collect();
    let step_ns = quantile(&steps, 0.5).unwrap_or(0.0) as i64;
    onset(&samples, found.shift.baseline, found.shift.incident, found.noise, step_ns)
}

/// Samples in one of the windows only: the telemetry vanished or appeared.
///
/// The number of samples that the other side lets expect is lambda = its samples per second x the length of this side. A
/// series is a process of its own and not a count of independent events, but its samples come one by one: the chance of
/// none is taken as e^-lambda.
fn silence(compared: &Comparison, baselines: &[Vec<f64>], now: &[f64], settings: &Settings) -> Option<Outcome> {
    let before: Vec<f64> = baselines.iter().flatten().copied().collect();
    let seconds: f64 = compared.baselines.iter().map(Window::seconds).sum();
    let (change, expected) = match (before.len(), now.len()) {
        (0, 0) => return None,
        (n, 0) => (Change::Vanished, n as f64 / seconds * compared.incident.seconds()),
        (_, n) => (Change::Appeared, n as f64 / compared.incident.seconds() * seconds),
    };
    let p_value = if expected.is_finite() { (-expected).exp() } else { 1.0 };
    Some(Outcome {
        change,
        baseline: quantile(&before, 0.5).unwrap_or(0.0),
        incident: quantile(now, 0.5).unwrap_or(0.0),
        z: expected.sqrt().min(crate::stats::robust::MAX_Z),
        bits: surprise_bits(p_value).min(settings.max_bits),
        p_value,
        matters: expected >= MIN_EXPECTED_SAMPLES,
        n_baseline: before.len() as u64,
        n_incident: now.len() as u64,
        onset: None,
    })
}

/// Restarts are events, so they are counted: one restart moves no median.
///
/// They are rare, and the minutes before the incident of one container do not say how rare. Where it did not restart in
/// them, all containers' minutes do: they are one population until one of them misbehaves.
fn restarts(series: &[Series], compared: &Comparison, settings: &Settings) -> Vec<Finding> {
    let seconds: f64 = compared.baselines.iter().map(Window::seconds).sum();
    let counted: Vec<(&Series, u64, u64)> = series
        .iter()
        .filter(|series| series.signal == Signal::Restarts)
        .filter(|series| !finite(series, &compared.incident).is_empty())
        .filter(|series| compared.baselines.iter().any(|window| !finite(series, window).is_empty()))
        .map(|series| {
            let before: f64 = compared.baselines.iter().map(|window| events(series, window)).sum();
            (series, before.round() as u64, events(series, &compared.incident).round() as u64)
        })
        .collect();
    let all_before: u64 = counted.iter().map(|(_, before, _)| before).sum();
    let findings = counted.iter().filter_map(|&(series, before, during)| {
        let alone = before > 0;
        let (baseline, containers) = if alone { (before, 1) } else { (all_before, counted.len()) };
        let events = counts::Events {
            incident: during,
            baseline,
            observed: (during, baseline),
            exposure_incident: compared.incident.seconds(),
            exposure_baseline: seconds * containers as f64,
            spread: counts::Spread::new(1.0, 1.0, 1.0),
        };
        if during + before == 0 {
            return None;
        }
        // any restart matters: the floor of a rate of requests does not apply
        let outcome = counts::compare_rates(&events, 0.0, 0.0, settings)?;
        Some(outcome.into_finding(&series.subject, series.signal, series.name.clone(), Unit::PerSecond))
    });
    findings.collect()
}

/// Events in a window that a series tells of: a counter or a gauge of one, counts, or a rate.
fn events(series: &Series, window: &Window) -> f64 {
    let from = series.samples.partition_point(|s| s.0 < window.start_ns());
    let to = series.samples.partition_point(|s| s.0 < window.end_ns());
    // The sample before tells where a counter stood, and since when a rate holds.
    let pairs = series.samples[from.saturating_sub(1)..to].windows(2);
    match (series.statistic, series.unit) {
        (Statistic::Sum, _) => series.samples[from..to].iter().map(|s| s.1.max(0.0)).sum(),
        (Statistic::Mean, Unit::PerSecond) => {
            pairs.map(|pair| pair[1].1.max(0.0) * pair[1].0.saturating_sub(pair[0].0) as f64 / 1e9).sum()
        }
        // a gauge of restarts is the counter that the orchestrator keeps
        (Statistic::Counter | Statistic::Mean | Statistic::Quantile(_), _) => {
            pairs.map(|pair| increase(pair[0].1, pair[1].1)).sum()
        }
    }
}

/// Growth of a counter between two samples; after a reset it counted from zero.
fn increase(before: f64, after: f64) -> f64 {
    let growth = if after < before { after } else { after - before };
    if growth.is_finite() { growth.max(0.0) } else { 0.0 }
}

/// A counter's growth per second, at the later of each two samples.
fn per_second(series: &Series) -> Series {
    let samples = series.samples.windows(2).filter_map(|pair| {
        let seconds = pair[1].0.saturating_sub(pair[0].0) as f64 / 1e9;
        (seconds > 0.0).then(|| (pair[1].0, increase(pair[0].1, pair[1].1) / seconds))
    });
    Series { samples: samples.collect(), statistic: Statistic::Mean, ..series.clone() }
}

/// The unit of a counter's growth per second.
fn rate_unit(series: &Series) -> Unit {
    match series.unit {
        Unit::Bytes => Unit::BytesPerSecond,
        Unit::Seconds if matches!(series.signal, Signal::Cpu | Signal::NodeCpu) => Unit::Cores,
        Unit::Seconds => Unit::Ratio,
        Unit::Count => Unit::PerSecond,
        unit @ (Unit::PerSecond | Unit::Ratio | Unit::Cores | Unit::BytesPerSecond | Unit::None) => unit,
    }
}

/// Caps series that stood near zero and whose floor is a convention (traffic, plain counts) at the 99th percentile of
/// the others: from 0 to anything is many floors, so a disk that began to write would outweigh all other evidence.
/// Units in which the floor says what matters (cores, bytes in memory, seconds, shares, requests) are not capped.
fn cap_near_zero(findings: &mut [Finding], settings: &Settings) {
    let near_zero = |finding: &Finding| {
        matches!(finding.unit, Unit::BytesPerSecond | Unit::Count)
            && finding.baseline.abs() <= settings.floors.of(finding.signal, finding.unit)
            && matches!(finding.change, Change::Rise | Change::Fall)
    };
    let others: Vec<&Finding> = findings.iter().filter(|finding| !near_zero(finding)).collect();
    if others.len() < MIN_FOR_CAP {
        return;
    }
    let percentile = |value: fn(&Finding) -> f64| {
        let values: Vec<f64> = others.iter().map(|finding| value(finding)).collect();
        quantile(&values, 0.99).unwrap_or(f64::INFINITY)
    };
    let (z, bits) = (percentile(|f| f.z), percentile(|f| f.bits));
    for finding in findings.iter_mut().filter(|finding| near_zero(finding)) {
        finding.z = finding.z.min(z);
        finding.bits = finding.bits.min(bits);
    }
}
