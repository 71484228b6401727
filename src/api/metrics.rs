//! What the responder tells of itself on `/metrics`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory;
use crate::respond::Responder;

/// Its metrics in Prometheus' text format.
pub fn metrics(responder: &Responder) -> String {
    let counters = responder.counters();
    let mut text = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: String| {
        let name = format!("hypocenter_{name}");
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}").expect("memory takes text");
    };
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed).to_string();
    for (name, help, counter) in [
        ("webhooks_taken", "webhooks whose alerts were taken", &counters.webhooks_taken),
        ("webhooks_refused", "webhooks refused because too many incidents wait", &counters.webhooks_refused_busy),
        ("webhooks_failed", "webhooks that could not be written to the disk", &counters.webhooks_failed),
        ("alerts_new", "alerts that were new", &counters.alerts_new),
        ("alerts_known", "alerts that were known already", &counters.alerts_known),
        ("alerts_ended_before", "alerts that had ended before they were heard of", &counters.alerts_ended_before),
        ("alerts_resolved", "alerts that ended", &counters.alerts_resolved),
        ("incidents", "incidents that began", &counters.incidents),
        ("analyses_done", "analyses that gave a report", &counters.analyses_done),
        ("analyses_failed", "analyses that gave none", &counters.analyses_failed),
        ("messages_sent", "messages that sinks have taken", &counters.messages_sent),
        ("messages_not_taken", "attempts that sinks have not taken", &counters.messages_not_taken),
        ("messages_given_up", "messages that no sink will take", &counters.messages_given_up),
    ] {
        one(&format!("{name}_total"), "counter", help, count(counter));
    }
    let milliseconds = counters.analysis_milliseconds.load(Ordering::Relaxed);
    let seconds = format!("{:.3}", milliseconds as f64 / 1e3);
    one("analysis_seconds_total", "counter", "time that analyses took", seconds);
    // Where the memory fails, its gauge is missing and says so by that.
    if let Ok(waiting) = responder.memory().read(memory::waiting) {
        one("incidents_waiting", "gauge", "incidents that wait for their first analysis", waiting.to_string());
    }
    text
}
