//! Sampling of whole traces after they ended: what failed or was slow, and a share of the rest.
//!
//! As the Collector's tail sampling processor with its policies `status_code`, `latency` and `probabilistic` does it:
//! what is kept for a reason is not marked, so that counts over such spans say nothing of the traffic.

use rustc_hash::FxHashMap;

use crate::simulate::random::Random;
use crate::simulate::recording::{Outcome, SpanRecord};

/// Keeps the spans of traces that failed somewhere, of those whose longest span took more than `slow_ms`, and of this
/// share of the others. A trace's fate depends on its spans, its id and the seed, not on other traces.
pub(super) fn sample(spans: &mut Vec<SpanRecord>, slow_ms: f64, share: f64, seed: u64) {
    let mut is_kept: FxHashMap<u128, bool> = FxHashMap::default();
    for span in spans.iter() {
        let length_ms = (span.end_ns - span.start_ns) as f64 / 1e6;
        let stands_out = span.outcome != Outcome::Ok || length_ms > slow_ms;
        let by_chance = || Random::of_part(seed ^ span.trace as u64 ^ (span.trace >> 64) as u64, "tail").chance(share);
        *is_kept.entry(span.trace).or_insert_with(by_chance) |= stands_out;
    }
    spans.retain(|span| is_kept.get(&span.trace).copied().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::write::sample;

    #[test]
    fn failed_and_slow_traces_are_kept_whole_and_a_share_of_the_others() {
        let (_, recording) = sample::shop(4000);
        let all = recording.spans;
        let mut kept = all.clone();
        sample(&mut kept, 400.0, 0.1, 3);
        let spans_of = |spans: &[SpanRecord], trace: u128| spans.iter().filter(|span| span.trace == trace).count();
        let mut traces: Vec<u128> = all.iter().map(|span| span.trace).collect();
        traces.sort_unstable();
        traces.dedup();
        let (mut others, mut others_kept) = (0_u32, 0_u32);
        for trace in traces.into_iter().step_by(7) {
            let own: Vec<&SpanRecord> = all.iter().filter(|span| span.trace == trace).collect();
            let stands_out = own.iter().any(|s| s.outcome != Outcome::Ok || s.end_ns - s.start_ns > 400_000_000);
            let n_kept = spans_of(&kept, trace);
            assert!(n_kept == 0 || n_kept == own.len(), "whole or not at all");
            if stands_out {
                assert_eq!(n_kept, own.len());
            } else {
                others += 1;
                others_kept += u32::from(n_kept > 0);
            }
        }
        // Five standard errors of a share of 0.1.
        let n = f64::from(others);
        assert!(others > 300, "{others}");
        assert!((f64::from(others_kept) / n - 0.1).abs() < 5.0 * (0.1 * 0.9 / n).sqrt(), "{others_kept} of {others}");
    }
}
