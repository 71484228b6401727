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

impl Part {
    /// Its name in tables and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Changes => "changes",
        }
    }
}

/// The kinds that telemetry holds.
pub fn held(telemetry: &Telemetry) -> BTreeSet<Part> {
    let all = [
        (Part::Logs, telemetry.logs.len()),
        (Part::Traces, telemetry.spans.len()),
        (Part::Metrics, telemetry.series.len()),
        (Part::Changes, telemetry.changes.len()),
    ];
    all.into_iter().filter(|(_, records)| *records > 0).map(|(part, _)| part).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logs::{LogRecord, Severity};
    use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};

    #[test]
    fn a_part_that_is_left_out_is_gone_and_the_others_stay() {
        let telemetry = || {
            let mut telemetry = Telemetry::default();
            let service = telemetry.logs.service_key("a");
            telemetry.logs.push(&LogRecord { at_ns: 1, service, severity: Severity::Info, message: "m", trace: None });
            telemetry.series.push(Series {
                subject: Subject::Service("a".into()),
                signal: Signal::Cpu,
                statistic: Statistic::Mean,
                unit: Unit::Cores,
                name: "cpu".into(),
                samples: vec![(0, 1.0)],
            });
            telemetry
        };
        let left = |part| {
            let mut telemetry = telemetry();
            drop_part(&mut telemetry, part);
            (telemetry.logs.len(), telemetry.series.len())
        };
        assert_eq!(left(Part::Logs), (0, 1));
        assert_eq!(left(Part::Metrics), (1, 0));
        assert_eq!(left(Part::Traces), (1, 1));
        assert_eq!(left(Part::Changes), (1, 1));
        assert_eq!(held(&telemetry()), BTreeSet::from([Part::Logs, Part::Metrics]));
    }
}
