//! Spans that were made and never arrived: single ones, and all of a service whose exporter failed for a while.

use crate::simulate::random::Random;
use crate::simulate::recording::{Recording, SpanRecord};
use crate::simulate::system::ServiceIdx;

/// Drops this share of the spans, each by itself and by its id.
pub(super) fn lose_spans(spans: &mut Vec<SpanRecord>, share: f64, seed: u64) {
    if share > 0.0 {
        spans.retain(|span| !Random::of_part(seed ^ span.span, "lost spans").chance(share));
    }
}

/// Drops the spans of a service that ended within one of its gaps: exporters send spans when they end.
pub(super) fn lose_batches(spans: &mut Vec<SpanRecord>, recording: &Recording, gaps: &[(ServiceIdx, i64, i64)]) {
    if gaps.is_empty() {
        return;
    }
    spans.retain(|span| {
        let service = recording.instances[span.instance as usize].service;
        !gaps.iter().any(|&(of, start_ns, length_ns)| {
            of == service && (start_ns..start_ns.saturating_add(length_ns)).contains(&span.end_ns)
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::write::sample;

    #[test]
    fn a_share_of_spans_is_lost_one_by_one() {
        let (_, recording) = sample::shop(2000);
        let mut kept = recording.spans.clone();
        lose_spans(&mut kept, 0.2, 5);
        let n = recording.spans.len() as f64;
        let lost = 1.0 - kept.len() as f64 / n;
        assert!((lost - 0.2).abs() < 5.0 * (0.2 * 0.8 / n).sqrt(), "{lost}");
        let mut untouched = recording.spans.clone();
        lose_spans(&mut untouched, 0.0, 5);
        assert_eq!(untouched, recording.spans);
    }

    #[test]
    fn a_gap_takes_all_spans_of_one_service_that_end_in_it() {
        let (system, recording) = sample::shop(500);
        let cart = system.service("cart").expect("in the sample");
        let (start, length) = (sample::START_NS + 10_000_000_000, 20_000_000_000);
        let mut kept = recording.spans.clone();
        lose_batches(&mut kept, &recording, &[(cart, start, length)]);
        let is_hit = |span: &SpanRecord| {
            recording.instances[span.instance as usize].service == cart
                && span.end_ns >= start
                && span.end_ns < start + length
        };
        assert!(recording.spans.iter().any(is_hit));
        let expected: Vec<SpanRecord> = recording.spans.iter().copied().filter(|span| !is_hit(span)).collect();
        assert_eq!(kept, expected);
    }
}
