//! From when to when telemetry reaches that was read but not finished.

use super::Telemetry;

impl Telemetry {
    /// First and last instant (Unix nanoseconds) of spans by their start, data points and log records; `None` when there
    /// is none of them.
    pub fn first_and_last_ns(&self) -> Option<(i64, i64)> {
        let series = self.raw_series.iter().flat_map(|series| &series.samples).map(|(at_ns, _)| *at_ns);
        let spans_and_logs = self.spans.start_ns.iter().chain(&self.logs.at_ns).copied();
        let all = spans_and_logs.chain(series).chain(self.otlp_metrics.times_ns());
        all.fold(None, |range, at_ns| {
            let (first, last) = range.unwrap_or((at_ns, at_ns));
            Some((first.min(at_ns), last.max(at_ns)))
        })
    }
}
