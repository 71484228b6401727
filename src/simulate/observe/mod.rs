//! Telemetry as it is: what of a recording reaches a trace store, and with which clock.

mod clocks;
mod head_sampling;
mod loss;
mod tail_sampling;

pub use clocks::Clocks;
pub(crate) use head_sampling::trace_state;

use super::recording::{Recording, SpanRecord};
use super::system::ServiceIdx;

/// What telemetry lacks. The default is perfect telemetry.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Imperfections {
    /// Which traces are kept.
    pub sampling: Sampling,
    /// Share of spans that are lost one by one, 0 to 1.
    pub lost_spans: f64,
    /// Exporters that lose everything for a while: service, start (Unix ns), length (ns).
    pub lost_batches: Vec<(ServiceIdx, i64, i64)>,
    /// By how much the clock of a machine is ahead of the true time, ns: machine, offset.
    pub clock_offsets: Vec<(u32, i64)>,
    /// Scrapes of all instances of a service that are missing: service, start (Unix ns), length (ns).
    pub scrape_gaps: Vec<(ServiceIdx, i64, i64)>,
    /// Share of single scrapes that are missing, 0 to 1.
    pub lost_scrapes: f64,
}

/// Which traces are kept.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Sampling {
    /// All.
    #[default]
    All,
    /// Each with this probability, decided at the root and written into `tracestate` (`ot=th:…`).
    Head(f64),
    /// All that failed or were slower than this many ms; of the others this share. Nothing is written into the spans.
    Tail {
        /// Traces whose longest span is above it are kept, ms.
        slow_ms: f64,
        /// Share of the others, 0 to 1.
        share: f64,
    },
}

/// Spans that were kept.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ObservedSpans {
    /// In order of their end as their own clock told it, then by trace and id.
    pub spans: Vec<SpanRecord>,
    /// The rejection threshold of head sampling, of 2⁵⁶ (OpenTelemetry's `th`); `None`: none was written.
    pub threshold: Option<u64>,
}

/// What of the recorded spans is kept, with the times that the clocks of their machines showed.
///
/// A span's or trace's fate depends on itself, the imperfections and the seed alone: leaving out others changes nothing.
pub fn observe(recording: &Recording, imperfections: &Imperfections, seed: u64) -> ObservedSpans {
    let mut observed = ObservedSpans::default();
    match imperfections.sampling {
        Sampling::All | Sampling::Tail { .. } => observed.spans.clone_from(&recording.spans),
        Sampling::Head(probability) => {
            observed.threshold = head_sampling::threshold(probability);
            if let Some(threshold) = observed.threshold {
                let kept = recording.spans.iter().filter(|span| head_sampling::keeps(threshold, span.trace));
                observed.spans = kept.copied().collect();
            }
        }
    }
    loss::lose_spans(&mut observed.spans, imperfections.lost_spans, seed);
    loss::lose_batches(&mut observed.spans, recording, &imperfections.lost_batches);
    // The collector decides on what reached it.
    if let Sampling::Tail { slow_ms, share } = imperfections.sampling {
        tail_sampling::sample(&mut observed.spans, slow_ms, share, seed);
    }
    Clocks::of(recording, imperfections).set(&mut observed.spans);
    observed.spans.sort_by_key(|span| (span.end_ns, span.trace, span.span));
    observed
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::simulate::write::sample;

    #[test]
    fn perfect_telemetry_is_the_recording() {
        let (_, recording) = sample::shop(100);
        let observed = observe(&recording, &Imperfections::default(), 1);
        assert_eq!(observed.threshold, None);
        assert_eq!(observed.spans.len(), recording.spans.len());
        let ids = |spans: &[SpanRecord]| spans.iter().map(|span| span.span).collect::<BTreeSet<u64>>();
        assert_eq!(ids(&observed.spans), ids(&recording.spans));
    }

    #[test]
    fn head_sampling_keeps_whole_traces_with_its_probability() {
        let (_, recording) = sample::shop(6000);
        let sizes = |spans: &[SpanRecord]| {
            let mut sizes: BTreeMap<u128, usize> = BTreeMap::new();
            spans.iter().for_each(|span| *sizes.entry(span.trace).or_default() += 1);
            sizes
        };
        let all = sizes(&recording.spans);
        for probability in [0.05, 0.5] {
            let imperfections = Imperfections { sampling: Sampling::Head(probability), ..Imperfections::default() };
            let kept = sizes(&observe(&recording, &imperfections, 1).spans);
            assert!(kept.iter().all(|(trace, size)| all[trace] == *size), "whole traces");
            let n = all.len() as f64;
            let share = kept.len() as f64 / n;
            // Five standard errors.
            assert!((share - probability).abs() < 5.0 * (probability * (1.0 - probability) / n).sqrt(), "{share}");
        }
    }

    #[test]
    fn a_machine_whose_clock_is_ahead_shifts_its_pods_spans() {
        let (_, recording) = sample::shop(50);
        let imperfections = Imperfections { clock_offsets: vec![(1, 40_000_000)], ..Imperfections::default() };
        let by_id = |spans: &[SpanRecord]| spans.iter().map(|span| (span.span, *span)).collect::<BTreeMap<_, _>>();
        let (truth, seen) = (by_id(&recording.spans), by_id(&observe(&recording, &imperfections, 1).spans));
        let mut machines = BTreeSet::new();
        for (id, span) in &truth {
            let machine = recording.instances[span.instance as usize].machine;
            let offset = if machine == 1 { 40_000_000 } else { 0 };
            let shown = (seen[id].start_ns - offset, seen[id].end_ns - offset);
            assert_eq!(shown, (span.start_ns, span.end_ns));
            machines.insert(machine);
        }
        assert!(machines.len() > 1, "some are shifted and some are not");
    }
}
