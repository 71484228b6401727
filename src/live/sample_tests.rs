//! Sampling against stores that lie in memory: what is estimated, and that servers which do not filter are found out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::traces::{Facts, Form};
use super::*;
use crate::telemetry::time::NANOS_PER_SECOND;

/// Traces in memory, searched as servers do: the newest first, up to the limit.
struct Memory {
    traces: Vec<Trace>,
    /// Whether it knows failures when asked for them.
    filters: bool,
    shortest_ns: i64,
    unreadable: BTreeSet<TraceId>,
    asked: AtomicUsize,
}

impl TraceStore for Memory {
    async fn ask(&self, ask: Ask) -> Result<Found, LiveError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let fits = |trace: &&Trace| {
            let facts = trace.facts;
            ask.window.contains(facts.starts_ns)
                && match ask.outcome {
                    Outcome::Any => true,
                    Outcome::Failed => facts.failed && self.filters,
                    Outcome::SlowerThan(from_us) => facts.longest_us >= from_us,
                }
        };
        let traces: Vec<Trace> = self.traces.iter().rev().filter(fits).take(ask.limit).cloned().collect();
        let is_all = traces.len() < ask.limit;
        Ok(Found { traces, unreadable: self.unreadable.clone(), is_all })
    }

    fn shortest_ns(&self) -> i64 {
        self.shortest_ns
    }
}

/// Ten traces a second for an hour; every `failing`-th fails; in the last ten minutes a fifth is slow.
fn store(failing: u64, filters: bool) -> Arc<Memory> {
    let trace = |n: u64| {
        let starts_ns = n as i64 * (NANOS_PER_SECOND / 10) + (n * 7919 % 97) as i64 * 1_000_000;
        let is_slow = n >= 30_000 && n.is_multiple_of(5);
        let longest_us = if is_slow { 900_000 } else { 100_000 + n * 7919 % 1000 };
        let facts = Facts { starts_ns, longest_us, failed: n.is_multiple_of(failing) };
        Trace { id: TraceId(u128::from(n) + 1), facts, form: Form::Json, body: Vec::new() }
    };
    let traces = (0..36_000).map(trace).collect();
    let unreadable = BTreeSet::new();
    Arc::new(Memory { traces, filters, shortest_ns: 1_000_000, unreadable, asked: AtomicUsize::new(0) })
}

fn sampled(store: &Arc<Memory>, limit: usize) -> Result<Vec<WindowSample>, LiveError> {
    let window = |from_s: i64, to_s: i64| Window::new(from_s * NANOS_PER_SECOND, to_s * NANOS_PER_SECOND).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(sample(store, &[window(0, 3000)], window(3000, 3600), limit))
}

fn estimate(sample: &WindowSample, is_counted: impl Fn(&Facts) -> bool) -> f64 {
    sample.traces.iter().filter(|sampled| is_counted(&sampled.trace.facts)).map(|sampled| sampled.stands_for).sum()
}

fn close(found: f64, truth: f64, share: f64) {
    assert!((found - truth).abs() <= share * truth, "{found} is not about {truth}");
}

#[test]
fn few_traces_are_taken_whole() {
    let samples = sampled(&store(100, true), 100_000).unwrap();
    assert_eq!(samples.iter().map(|sample| sample.traces.len()).sum::<usize>(), 36_000);
    assert!(samples.iter().flat_map(|sample| &sample.traces).all(|sampled| (sampled.stands_for - 1.0).abs() < 1e-12));
}

#[test]
fn rare_failures_are_a_census_and_the_rest_is_weighted_back() {
    let store = store(1000, true);
    let samples = sampled(&store, 400).unwrap();
    let [baseline, incident] = samples.as_slice() else { panic!("two windows") };
    for (sample, failures, all) in [(baseline, 30.0, 30_000.0), (incident, 6.0, 6000.0)] {
        close(estimate(sample, |facts| facts.failed), failures, 1e-9);
        close(estimate(sample, |_| true), all, 0.1);
        assert!(sample.warnings.is_empty() && sample.traces.len() < 2000, "{}", sample.traces.len());
    }
    // 1200 slow ones, of which 6 in 1000 failed too and count there.
    close(estimate(incident, |facts| facts.longest_us > 500_000), 1200.0, 0.25);
    let ids: BTreeSet<TraceId> = samples.iter().flat_map(|s| &s.traces).map(|sampled| sampled.trace.id).collect();
    assert_eq!(ids.len(), samples.iter().map(|sample| sample.traces.len()).sum::<usize>(), "each once");
    // The middle slice finds the width, the others follow: no search in each slice.
    assert!(store.asked.load(Ordering::Relaxed) < 300, "{:?}", store.asked);
}

#[test]
fn many_failures_are_sampled_as_the_rest_is() {
    let samples = sampled(&store(3, true), 400).unwrap();
    close(estimate(&samples[0], |facts| facts.failed), 10_000.0, 0.1);
    close(estimate(&samples[0], |facts| !facts.failed), 20_000.0, 0.1);
}

#[test]
fn a_server_that_knows_no_failures_is_found_out() {
    let samples = sampled(&store(3, false), 400).unwrap();
    assert!(samples.iter().all(|sample| sample.warnings.len() == 1), "{samples:?}");
    close(estimate(&samples[0], |facts| facts.failed), 10_000.0, 0.15);
}

#[test]
fn what_cannot_be_divided_is_an_error_that_says_what_to_do() {
    let mut coarse = Arc::into_inner(store(1000, true)).unwrap();
    coarse.shortest_ns = 60 * NANOS_PER_SECOND;
    let message = sampled(&Arc::new(coarse), 100).unwrap_err().to_string();
    assert!(message.contains("max_traces"), "{message}");
}

#[test]
fn the_end_of_an_incident_tells_until_when_traces_have_arrived() {
    let until_s = |last_s: i64, limit: usize| {
        let mut known = Arc::into_inner(store(1000, true)).unwrap();
        known.traces.retain(|trace| trace.facts.starts_ns < last_s * NANOS_PER_SECOND);
        sampled(&Arc::new(known), limit).unwrap()[1].arrived_ns.unwrap() as f64 / 1e9
    };
    // Taken whole, and by slices.
    for limit in [100_000, 400] {
        close(until_s(3600, limit), 3600.0, 1e-9);
        close(until_s(3540, limit), 3540.0, 1e-4);
    }
}
