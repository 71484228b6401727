//! Evidence switched off: what is a kind of telemetry worth?

use std::collections::BTreeSet;

use super::recorded::RecordedCase;
use crate::ingest::Telemetry;
use crate::telemetry::logs::LogTable;
use crate::telemetry::span::SpanTable;

/// A kind of telemetry that can be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Part {
    /// Log records.
    Logs,
    /// Spans, and what only they tell: calls, versions.
    Traces,
    /// Metric series. Edges that files state outright stay.
    Metrics,
    /// Changes that files tell of. Versions in spans stay: they are part of the traces.
    Changes,
}

/// The same cases, whose telemetry is loaded without the parts.
pub fn without(cases: Vec<RecordedCase>, parts: &BTreeSet<Part>) -> Vec<RecordedCase> {
    if parts.is_empty() {
        return cases;
    }
    cases
        .into_iter()
        .map(|case| {
            let (load, parts) = (case.load, parts.clone());
            let load = Box::new(move || {
                let (mut telemetry, request) = load()?;
                parts.iter().for_each(|part| drop_part(&mut telemetry, *part));
                Ok((telemetry, request))
            });
            RecordedCase { load, ..case }
        })
        .collect()
}

fn drop_part(telemetry: &mut Telemetry, part: Part) {
    match part {
        Part::Logs => telemetry.logs = LogTable::default(),
        Part::Traces => telemetry.spans = SpanTable::new(),
        Part::Metrics => telemetry.series.clear(),
        Part::Changes => telemetry.changes.clear(),
    }
}
