//! Time that a thread spent on a processor, so that a busy machine does not count against what is measured.

use std::fs;
use std::time::Instant;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// Processor time of the measuring thread on Linux; elsewhere the time on the wall.
pub(crate) struct ProcessorTime;

/// Nanoseconds on a processor, as the scheduler counts them (Documentation/scheduler/sched-stats.rst).
fn on_processor_ns() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

impl Measurement for ProcessorTime {
    type Intermediate = (Option<f64>, Instant);
    /// Nanoseconds.
    type Value = f64;

    fn start(&self) -> Self::Intermediate {
        (on_processor_ns(), Instant::now())
    }

    fn end(&self, (start_ns, started): Self::Intermediate) -> f64 {
        match (start_ns, on_processor_ns()) {
            (Some(start), Some(end)) => end - start,
            _ => started.elapsed().as_nanos() as f64,
        }
    }

    fn add(&self, left: &f64, right: &f64) -> f64 {
        left + right
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
