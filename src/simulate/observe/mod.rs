//! Telemetry as it is: what of a recording reaches a trace store, and with which clock.

use super::recording::SpanRecord;
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
