//! Balanced sampling of a trace store: failures and slow requests on purpose, the rest by slices of time, weighted back.
//!
//! Every trace of a window is in one of three strata, by looking at it: failed, slow, rest. Of each stratum the server is
//! asked over the whole window; an answer below the limit is a *census*, and each trace stands for itself. Where the
//! limit is reached, short slices are asked, one in each of [`SLICES`] equal parts of the window, all of one width that
//! is halved until every answer stays below its limit: each is then a census of its slice, and a trace stands for
//!
//! ```text
//! length of the window / (number of slices * their width)
//! ```
//! traces. A trace counts at one instant, the start of the service's first span, hence in one slice; and in one stratum,
//! hence once. A trace of a slice that the server's answer about failures or slow ones lacks shows that this answer is not
//! to be believed; then that stratum is taken from the slices as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tokio::task::JoinSet;

use super::LiveError;
use super::traces::{Ask, Found, Outcome, Trace, TraceStore};
use crate::telemetry::id::TraceId;
use crate::telemetry::time::Window;
use crate::timespec::window_text;

/// Parts of a window, with a slice in each.
const SLICES: usize = 20;
/// Slower than this share of the baseline's traces is slow.
const SLOW_QUANTILE: f64 = 0.95;
/// From so few traces no quantile is learned.
const LEAST_LEARNED: usize = 20;
/// The fractional part of the golden ratio: its multiples spread evenly, with no period that a load could have, too.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// What one question, or its slices, gave.
#[derive(Debug)]
struct Covered {
    traces: Vec<Trace>,
    /// Traces that came and could not be read.
    unreadable: BTreeSet<TraceId>,
    /// Empty for a census.
    slices: Vec<Window>,
    /// How many traces each stands for.
    stands_for: f64,
}

/// One trace of the sample.
#[derive(Debug)]
pub(super) struct Sampled {
    pub(super) trace: Trace,
    pub(super) stands_for: f64,
}

/// How the traces of one window were sampled.
#[derive(Serialize, Debug)]
pub(super) struct WindowRecord {
    window: String,
    slow_from_microseconds: Option<u64>,
    strata: Vec<StratumRecord>,
}

#[derive(Serialize, Debug)]
struct StratumRecord {
    stratum: &'static str,
    /// `census`, or `slices`.
    how: &'static str,
    slices: usize,
    slice_milliseconds: f64,
    traces: usize,
    stands_for: f64,
}

/// The sample of one window.
#[derive(Debug)]
pub(super) struct WindowSample {
    pub(super) traces: Vec<Sampled>,
    pub(super) record: WindowRecord,
    pub(super) warnings: Vec<String>,
    /// Up to when traces have arrived, Unix ns, as far as they tell.
    pub(super) arrived_ns: Option<i64>,
}

/// Samples all windows, the baselines first: they tell what is slow.
pub(super) async fn sample<S: TraceStore>(
    store: &Arc<S>,
    baselines: &[Window],
    incident: Window,
    limit: usize,
) -> Result<Vec<WindowSample>, LiveError> {
    let mut slow_from_us = None;
    let mut samples = Vec::new();
    for window in baselines.iter().chain([&incident]) {
        let any = cover(store, *window, Outcome::Any, limit).await?;
        slow_from_us = slow_from_us.or_else(|| slow_from(&any.traces));
        let arrived_ns = arrived_ns(window, &any);
        if any.slices.is_empty() {
            samples.push(WindowSample { arrived_ns, ..strata(*window, any, None, None, slow_from_us) });
            continue;
        }
        let failed = cover(store, *window, Outcome::Failed, limit).await?;
        let slow = match slow_from_us {
            Some(from_us) => Some(cover(store, *window, Outcome::SlowerThan(from_us), limit).await?),
            None => None,
        };
        samples.push(WindowSample { arrived_ns, ..strata(*window, any, Some(failed), slow, slow_from_us) });
    }
    Ok(samples)
}

/// Traces come evenly but for chance: a pause so many times as long as usual at the end is none.
const LONG_PAUSE: i64 = 5;

/// Up to when traces have arrived. Of a census up to its last trace, if what follows is longer than such pauses are; of
/// slices up to the end of the part whose slice is the last one with a trace.
fn arrived_ns(window: &Window, any: &Covered) -> Option<i64> {
    let starts = || any.traces.iter().map(|trace| trace.facts.starts_ns);
    let (first, last) = starts().min().zip(starts().max())?;
    if any.slices.is_empty() {
        let pause_ns = (last - first) / any.traces.len() as i64;
        let is_pause = any.traces.len() < LEAST_LEARNED || window.end_ns() - last <= LONG_PAUSE * pause_ns;
        return Some(if is_pause { window.end_ns() } else { last });
    }
    let at = any.slices.iter().rposition(|slice| starts().any(|start| slice.contains(start)))?;
    let part_ns = (window.end_ns() - window.start_ns()) / SLICES as i64;
    let is_last = at + 1 == any.slices.len();
    Some(if is_last { window.end_ns() } else { window.start_ns() + (at as i64 + 1) * part_ns - 1 })
}

/// The time from which on a trace is slow.
fn slow_from(traces: &[Trace]) -> Option<u64> {
    let mut lengths: Vec<u64> = traces.iter().map(|trace| trace.facts.longest_us).collect();
    lengths.sort_unstable();
    let at = (lengths.len() as f64 * SLOW_QUANTILE) as usize;
    lengths.get(at).copied().filter(|from_us| lengths.len() >= LEAST_LEARNED && *from_us > 0)
}

/// Asks over the whole window, and by slices where that is too much.
async fn cover<S: TraceStore>(
    store: &Arc<S>,
    window: Window,
    outcome: Outcome,
    limit: usize,
) -> Result<Covered, LiveError> {
    let whole = store.ask(Ask { window, outcome, limit }).await?;
    if whole.is_all {
        let (traces, unreadable) = (within(whole.traces, &window), whole.unreadable);
        return Ok(Covered { traces, unreadable, slices: Vec::new(), stands_for: 1.0 });
    }
    let part_ns = (window.end_ns() - window.start_ns()) / SLICES as i64;
    let mut width_ns = (part_ns / 2).max(1);
    // The middle one alone tells about how narrow slices have to be.
    let mut known: BTreeMap<usize, Vec<Trace>> = BTreeMap::new();
    let mut wanted = vec![SLICES / 2];
    let mut lost = BTreeSet::new();
    loop {
        let slices = slices(&window, part_ns, width_ns);
        let is_narrowest = width_ns / 2 < store.shortest_ns();
        // Twice a slice's share, because widths are halved and load is uneven: so all slices together have about as many
        // as the limit. One that cannot be halved may have as many as a whole window.
        let of_slice = if is_narrowest { limit } else { (2 * limit / SLICES).max(4) };
        let mut tasks = JoinSet::new();
        for &at in &wanted {
            let (store, ask) = (store.clone(), Ask { window: slices[at], outcome, limit: of_slice });
            tasks.spawn(async move { (at, store.ask(ask).await) });
        }
        let mut is_too_wide = false;
        for (at, found) in tasks.join_all().await {
            let Found { traces, unreadable, is_all } = found?;
            if is_all {
                known.insert(at, traces);
                lost.extend(unreadable);
            } else if is_narrowest {
                return Err(too_many(&slices[at], limit));
            } else {
                is_too_wide = true;
            }
        }
        if is_too_wide {
            width_ns /= 2;
        } else if known.len() == SLICES {
            // What was known of wider slices, in the narrow one that lies in their middle.
            let traces = known.into_iter().flat_map(|(at, traces)| within(traces, &slices[at])).collect();
            let covered_ns: i64 = slices.iter().map(|slice| slice.end_ns() - slice.start_ns()).sum();
            let stands_for = (window.end_ns() - window.start_ns()) as f64 / covered_ns as f64;
            return Ok(Covered { traces, unreadable: lost, slices, stands_for });
        }
        let missing = (0..SLICES).filter(|at| !known.contains_key(at));
        wanted = if known.is_empty() { vec![SLICES / 2] } else { missing.collect() };
    }
}

fn too_many(slice: &Window, limit: usize) -> LiveError {
    LiveError::Request(format!(
        "there are more than {limit} traces in {}, which cannot be divided further; raise max_traces in the settings file",
        window_text(slice)
    ))
}

/// One slice in each part, its middle anywhere in the part's middle half, so that it lies within its part.
fn slices(window: &Window, part_ns: i64, width_ns: i64) -> Vec<Window> {
    let slice = |at: usize| {
        let place = 0.25 + 0.5 * (at as f64 * GOLDEN).fract();
        let middle_ns = window.start_ns() + at as i64 * part_ns + (part_ns as f64 * place) as i64;
        let start_ns = middle_ns - width_ns / 2;
        Window::new(start_ns, start_ns + width_ns).expect("slices have a width")
    };
    (0..SLICES).map(slice).collect()
}

fn within(traces: Vec<Trace>, window: &Window) -> Vec<Trace> {
    traces.into_iter().filter(|trace| window.contains(trace.facts.starts_ns)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stratum {
    Failed,
    Slow,
    Rest,
}

impl Stratum {
    fn of(trace: &Trace, slow_from_us: Option<u64>) -> Self {
        if trace.facts.failed {
            Self::Failed
        } else if slow_from_us.is_some_and(|from_us| trace.facts.longest_us >= from_us) {
            Self::Slow
        } else {
            Self::Rest
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Slow => "slow",
            Self::Rest => "rest",
        }
    }
}

/// Sorts what came into strata and weighs it.
fn strata(
    window: Window,
    any: Covered,
    failed: Option<Covered>,
    slow: Option<Covered>,
    slow_from_us: Option<u64>,
) -> WindowSample {
    let mut warnings = Vec::new();
    let mut parts: Vec<(Stratum, Covered)> = Vec::new();
    let of = |trace: &Trace| Stratum::of(trace, slow_from_us);
    let lost = |covered: &Covered| covered.unreadable.clone();
    let lost: BTreeSet<TraceId> =
        [Some(&any), failed.as_ref(), slow.as_ref()].into_iter().flatten().flat_map(lost).collect();
    if let Some(example) = lost.first() {
        let (number, window) = (lost.len(), window_text(&window));
        warnings.push(format!(
            "traces: {number} traces of {window} came and no span of them could be read: they are left out, for example \
             {example}"
        ));
    }
    for (stratum, covered) in [(Stratum::Failed, failed), (Stratum::Slow, slow)] {
        let Some(covered) = covered else { continue };
        if lacks(&covered, &any, |trace| of(trace) == stratum) {
            warnings.push(format!(
                "traces: the server's answer about {} traces of {} lacks some that slices of time hold; the slices count \
                 instead, which are fewer",
                stratum.name(),
                window_text(&window)
            ));
        } else {
            parts.push((stratum, covered));
        }
    }
    let asked: BTreeSet<Stratum> = parts.iter().map(|(stratum, _)| *stratum).collect();
    let left = [Stratum::Failed, Stratum::Slow, Stratum::Rest].into_iter().filter(|stratum| !asked.contains(stratum));
    let left: BTreeSet<Stratum> = left.collect();
    let mut sampled: BTreeMap<TraceId, Sampled> = BTreeMap::new();
    let mut records = Vec::new();
    let mut take = |name: &'static str, covered: Covered, is_wanted: &dyn Fn(&Trace) -> bool| {
        let Covered { traces, slices, stands_for, .. } = covered;
        let traces: Vec<Trace> = traces.into_iter().filter(is_wanted).collect();
        records.push(StratumRecord {
            stratum: name,
            how: if slices.is_empty() { "census" } else { "slices" },
            slices: slices.len(),
            slice_milliseconds: slices.first().map_or(0.0, |slice| slice.seconds() * 1e3),
            traces: traces.len(),
            stands_for,
        });
        sampled.extend(traces.into_iter().map(|trace| (trace.id, Sampled { trace, stands_for })));
    };
    for (stratum, covered) in parts {
        take(stratum.name(), covered, &|trace| of(trace) == stratum);
    }
    let name = if left.len() == 1 { "rest" } else { "all others" };
    take(name, any, &|trace| left.contains(&of(trace)));
    let record = WindowRecord { window: window_text(&window), slow_from_microseconds: slow_from_us, strata: records };
    WindowSample { traces: sampled.into_values().collect(), record, warnings, arrived_ns: None }
}

/// Whether an answer lacks a trace that it has to hold, since the slices of `any` hold it.
fn lacks(covered: &Covered, any: &Covered, is_in_stratum: impl Fn(&Trace) -> bool) -> bool {
    let held: BTreeSet<TraceId> = covered.traces.iter().map(|trace| trace.id).collect();
    let was_asked = |trace: &&Trace| {
        covered.slices.is_empty() || covered.slices.iter().any(|slice| slice.contains(trace.facts.starts_ns))
    };
    any.traces.iter().filter(|trace| is_in_stratum(trace)).filter(was_asked).any(|trace| !held.contains(&trace.id))
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
