//! Whether traces show only a part of the requests although no weights say so.
//!
//! Metrics that count every request are the yardstick: of one service and time, the traced requests over the measured
//! ones are the share that was kept. Where the share of the failed requests that was kept is far greater than that of
//! the others, sampling chose by outcome, and every error ratio from these traces is too high. Nothing is said where the
//! metrics count errors otherwise than the spans do (more failed spans than failed requests), nor on few requests.

use std::collections::BTreeMap;

use crate::telemetry::calls::CallStats;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Statistic, Subject};
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

use super::{KeptShares, UnweightedSample};

/// Measured requests from which on a share means something.
const LEAST_MEASURED: f64 = 100.0;
/// Failed requests by metrics from which on their kept share means something.
const LEAST_FAILED: f64 = 10.0;
/// Metrics and spans never agree to the request (edges of windows, scrapes); half of them missing is sampling.
const SAMPLED_BELOW: f64 = 0.5;
/// How many times likelier a failed request must be to be kept.
const BY_OUTCOME: f64 = 2.0;
/// Above this share of "kept" failed requests, the two count different things.
const SAME_THING: f64 = 1.3;

/// Requests of one service, all and failed.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Outcome {
    requests: f64,
    failed: f64,
}

/// The services whose traces are a sample without weights: those sampled by outcome first, then those of which least
/// was kept, then by name.
pub(crate) fn unweighted_samples(calls: &CallStats, series: &[Series], windows: &[Window]) -> Vec<UnweightedSample> {
    if calls.coverage.sampled > 0 {
        return Vec::new();
    }
    let mut traced: BTreeMap<u32, Outcome> = BTreeMap::new();
    for row in &calls.rows {
        let start_ns = calls.grid.bin_start_ns(row.key.bin);
        if windows.iter().any(|w| w.contains(start_ns)) {
            let sum = traced.entry(row.key.callee).or_default();
            sum.requests += row.calls as f64;
            // As the callee judged it, as its own metrics do.
            sum.failed += row.errors.saturating_sub(row.edge_errors) as f64;
        }
    }
    let means = means(series);
    let mut found: Vec<UnweightedSample> = Vec::new();
    for (node, traced) in traced {
        let service = calls.service(node);
        let of = |signal| means.get(&(service, signal)).copied();
        let Some(rates) = of(Signal::Requests) else { continue };
        let measured = measured(rates, of(Signal::ErrorRatio), windows);
        if measured.requests < LEAST_MEASURED || traced.requests >= measured.requests * SAMPLED_BELOW {
            continue;
        }
        found.push(UnweightedSample {
            service: service.clone(),
            traced: traced.requests as u64,
            measured: measured.requests.round() as u64,
            kept: by_outcome(&traced, &measured),
        });
    }
    let share = |s: &UnweightedSample| s.traced as f64 / (s.measured.max(1)) as f64;
    found.sort_by(|a, b| {
        a.kept.is_none().cmp(&b.kept.is_none()).then(share(a).total_cmp(&share(b))).then(a.service.cmp(&b.service))
    });
    found
}

/// The first series of means of each service as a whole, by signal.
fn means(series: &[Series]) -> BTreeMap<(&ServiceId, Signal), &Series> {
    let mut means = BTreeMap::new();
    for one in series.iter().filter(|s| s.statistic == Statistic::Mean) {
        if let (Subject::Service(service), Signal::Requests | Signal::ErrorRatio) = (&one.subject, one.signal) {
            means.entry((service, one.signal)).or_insert(one);
        }
    }
    means
}

/// Requests that a rate and its error ratio stand for inside the windows.
fn measured(rates: &Series, ratios: Option<&Series>, windows: &[Window]) -> Outcome {
    let mut sum = Outcome::default();
    for window in windows {
        let from = rates.samples.partition_point(|s| s.0 < window.start_ns());
        let to = rates.samples.partition_point(|s| s.0 < window.end_ns());
        let samples = &rates.samples[from..to];
        let mut steps: Vec<i64> = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        steps.sort_unstable();
        let Some(step_ns) = steps.get(steps.len() / 2) else { continue };
        for (at, rate) in samples {
            let requests = rate.max(0.0) * *step_ns as f64 / NANOS_PER_SECOND as f64;
            sum.requests += requests;
            let ratio = ratios.and_then(|r| r.samples.binary_search_by_key(at, |s| s.0).ok().map(|i| r.samples[i].1));
            sum.failed += requests * ratio.unwrap_or(0.0).clamp(0.0, 1.0);
        }
    }
    sum
}

/// The kept shares, where they are too far apart for chance.
fn by_outcome(traced: &Outcome, measured: &Outcome) -> Option<KeptShares> {
    if measured.failed < LEAST_FAILED {
        return None;
    }
    let failed = traced.failed / measured.failed;
    let others = (traced.requests - traced.failed) / (measured.requests - measured.failed).max(1.0);
    let expected = others * measured.failed;
    let beyond_chance = traced.failed > expected + 3.0 * expected.sqrt() + 3.0;
    (failed <= SAME_THING && failed >= BY_OUTCOME * others && beyond_chance).then_some(KeptShares { failed, others })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(requests: f64, failed: f64) -> Outcome {
        Outcome { requests, failed }
    }

    #[test]
    fn sampling_by_outcome_is_told_from_sampling_and_from_other_definitions() {
        // 95 % of 2000 fine at 5 %, all 100 failed kept: the numbers of hypertrace's issue 206, times twenty.
        let kept = by_outcome(&outcome(195.0, 100.0), &outcome(2000.0, 100.0)).unwrap();
        assert!((kept.failed - 1.0).abs() < 1e-12 && (kept.others - 0.05).abs() < 1e-12);
        // One in twenty of each.
        assert_eq!(by_outcome(&outcome(100.0, 5.0), &outcome(2000.0, 100.0)), None);
        // Chance: seven where five are to be expected.
        assert_eq!(by_outcome(&outcome(102.0, 7.0), &outcome(2000.0, 100.0)), None);
        // Spans call more failed than the metrics do: 4xx, say.
        assert_eq!(by_outcome(&outcome(400.0, 300.0), &outcome(2000.0, 100.0)), None);
        assert_eq!(by_outcome(&outcome(100.0, 9.0), &outcome(2000.0, 9.0)), None);
    }
}
