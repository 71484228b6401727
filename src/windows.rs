//! Which windows to compare, where an alert or nothing but the incident's window is given.

use rayon::prelude::*;

use crate::ingest::Telemetry;
use crate::telemetry::alert::Alert;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

const MINUTE_NS: i64 = 60 * NANOS_PER_SECOND;

/// The windows of an analysis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// When users felt it.
    pub incident: Window,
    /// Normal operation.
    pub baselines: Vec<Window>,
}

impl Chosen {
    /// All of them, the incident first.
    pub fn all(&self) -> Vec<Window> {
        std::iter::once(self.incident).chain(self.baselines.iter().copied()).collect()
    }
}

/// How windows are derived. Derived windows are whole seconds: a reader has to be able to name them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// An alert fires only after its condition held for a while, nanoseconds: users felt it so much earlier.
    pub before_alert_ns: i64,
    /// Of an incident that goes on, so much is analysed at most.
    pub longest_firing_ns: i64,
    /// The baseline begins so long before the incident, where there is telemetry.
    pub baseline_ns: i64,
    /// What lies so close before the incident may already be part of it.
    pub guard_ns: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            before_alert_ns: 5 * MINUTE_NS,
            longest_firing_ns: 30 * MINUTE_NS,
            baseline_ns: 60 * MINUTE_NS,
            guard_ns: 10 * MINUTE_NS,
        }
    }
}

impl Rules {
    /// From a while before the earliest alert until it ended, or as long as there is telemetry; of a long one the first part.
    pub fn incident_of(&self, alerts: &[Alert], telemetry_ends_ns: i64) -> Option<Window> {
        let alert = alerts.iter().filter(|a| a.starts_ns.is_some()).min_by_key(|a| (a.starts_ns, a.name.clone()))?;
        let starts_ns = alert.starts_ns?;
        let end_ns = alert.ends_ns.filter(|end| *end > starts_ns).unwrap_or(telemetry_ends_ns);
        let end_ns = end_ns.min(starts_ns.saturating_add(self.longest_firing_ns));
        let start_ns = floor_second(starts_ns.saturating_sub(self.before_alert_ns));
        Window::new(start_ns, ceil_second(end_ns.max(starts_ns))).ok()
    }

    /// The hour before the incident less a guard, shortened to what telemetry there is. Of little time, the guard takes a
    /// third: a short baseline is better than none.
    pub fn baseline_before(&self, incident: &Window, telemetry_starts_ns: i64) -> Option<Window> {
        let start_ns = incident.start_ns().saturating_sub(self.baseline_ns).max(telemetry_starts_ns);
        let start_ns = floor_second(start_ns);
        let available_ns = incident.start_ns().checked_sub(start_ns)?;
        let guard_ns = self.guard_ns.min(available_ns / 3);
        Window::new(start_ns, floor_second(incident.start_ns() - guard_ns)).ok()
    }
}

/// The second in which an instant lies.
pub fn floor_second(at_ns: i64) -> i64 {
    at_ns.div_euclid(NANOS_PER_SECOND).saturating_mul(NANOS_PER_SECOND)
}

/// The first second that does not begin before an instant.
pub fn ceil_second(at_ns: i64) -> i64 {
    floor_second(at_ns.saturating_add(NANOS_PER_SECOND - 1))
}

/// From the first to the last instant of all telemetry; `None` when there is none.
pub fn extent(telemetry: &Telemetry) -> Option<Window> {
    let spans = &telemetry.spans;
    let ends = spans.start_ns.par_iter().zip(&spans.duration_ns);
    let last_span = ends.map(|(start, length)| start.saturating_add_unsigned(*length)).max();
    let first_sample = telemetry.series.iter().filter_map(|s| s.samples.first()).map(|s| s.0).min();
    let last_sample = telemetry.series.iter().filter_map(|s| s.samples.last()).map(|s| s.0).max();
    let first = spans.start_ns.par_iter().copied().min().into_iter().chain(first_sample).min()?;
    let last = last_span.into_iter().chain(last_sample).max()?;
    Window::new(first, last.saturating_add(1).max(first.saturating_add(1))).ok()
}

/// Whether a span or a sample lies in the window.
pub fn holds_telemetry(telemetry: &Telemetry, window: &Window) -> bool {
    telemetry.spans.start_ns.iter().any(|start| window.contains(*start))
        || telemetry.series.iter().any(|series| !series.values_in(window).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(from: i64, to: i64) -> Window {
        Window::new(from * MINUTE_NS, to * MINUTE_NS).unwrap()
    }

    #[test]
    fn an_alert_gives_the_incident_and_the_incident_its_baseline() {
        let rules = Rules::default();
        let alert = |starts: i64, ends: Option<i64>| Alert {
            starts_ns: Some(starts * MINUTE_NS),
            ends_ns: ends.map(|minute| minute * MINUTE_NS),
            ..Alert::default()
        };
        let of = |alerts: &[Alert], until: i64| rules.incident_of(alerts, until * MINUTE_NS);
        assert_eq!(of(&[alert(120, None), alert(100, Some(110))], 200), Some(minutes(95, 110)));
        assert_eq!(of(&[alert(100, None)], 111), Some(minutes(95, 111)));
        assert_eq!(of(&[alert(100, None)], 500), Some(minutes(95, 130)));
        assert_eq!(of(&[alert(100, Some(3_000))], 5_000), Some(minutes(95, 130)));
        assert_eq!(of(&[Alert::default()], 500), None);
        let before = |incident: Window, starts: i64| rules.baseline_before(&incident, starts * MINUTE_NS);
        assert_eq!(before(minutes(95, 110), 0), Some(minutes(35, 85)));
        assert_eq!(before(minutes(10, 15), 1), Some(minutes(1, 7)));
        assert_eq!(before(minutes(10, 15), 12), None);
    }
}
