//! What a service's own logs say: another way through the code than before, messages that are new or gone.
//!
//! What its callees' logs say as well is taken off, for who calls a failing service logs that too. Only kinds of messages,
//! their severities and their order count; what the messages say in prose does not.

use std::collections::BTreeMap;

use super::log_windows::Windows;
use super::{log_flow, log_messages};
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;

/// How the logs of a service changed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct LogChange {
    /// Bits of evidence, positive.
    pub(crate) bits: f64,
    /// What shows it most.
    pub(crate) shown: Shown,
}

/// What shows a change in the logs. Templates are indices into those of the incident's logs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Shown {
    /// After a message comes another one than before (`None`: it is the last of its trace): shares of traces with `from`.
    Flow { from: u32, to: Option<u32>, before: f64, during: f64 },
    /// A kind of message comes more or less often: records a second while logs were collected.
    Message { template: u32, before: f64, during: f64 },
}

/// The change in the logs of every service that has one of its own, at most `cap` bits.
pub(crate) fn changes(incident: &Incident, cap: f64) -> BTreeMap<ServiceId, LogChange> {
    let windows = Windows::of(incident);
    let mut strongest: BTreeMap<u32, LogChange> = BTreeMap::new();
    for (service, change) in
        log_flow::changes(incident, &windows).into_iter().chain(log_messages::changes(incident, &windows))
    {
        let known = strongest.entry(service).or_insert(change);
        if change.bits > known.bits {
            *known = change;
        }
    }
    let by_name: BTreeMap<&ServiceId, LogChange> = strongest
        .into_iter()
        .filter_map(|(service, change)| Some((incident.logs.services.get(service as usize)?, change)))
        .collect();
    let own = |service: &ServiceId, change: &LogChange| {
        let callees = incident.graph.callees(service).into_iter().filter(|callee| *callee != service);
        let inherited = callees.filter_map(|callee| by_name.get(callee)).map(|c| c.bits).fold(0.0, f64::max);
        // Beyond the cap a caller that logs more would be surer than the callee whose doing it is.
        change.bits.min(cap) - inherited.min(cap)
    };
    by_name
        .iter()
        .map(|(service, change)| ((*service).clone(), LogChange { bits: own(service, change), ..*change }))
        .filter(|(_, change)| change.bits > 0.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::telemetry::calls::{CallKey, CallNode, CallRow, CallStats, Entry};
    use crate::telemetry::logs::{LogRow, LogStats, LogTransition, Severity, WHOLE_TRACE};
    use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};

    use crate::telemetry::time::{Grid, NANOS_PER_SECOND, Window};
    use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};

    const BIN: i64 = 5 * NANOS_PER_SECOND;
    const BASELINE_BINS: i64 = 40;
    const BINS: i64 = 60;
    const CAP: f64 = 8.0;
    const WELL: Severity = Severity::Info;
    const BAD: Severity = Severity::Error;

    /// Service, template, next template, whether that is an error, traces in a bin before and during.
    type Flow = (u32, u32, Option<(u32, Severity)>, u64, u64);

    /// Services `a` (0) and `b` (1) that calls it.
    fn incident(flows: &[Flow], rows: Vec<LogRow>, calls: CallStats) -> Incident {
        let grid = Grid::new(BIN);
        let mut transitions = Vec::new();
        for bin in 0..BINS {
            for &(service, from, to, before, during) in flows {
                let traces = if bin < BASELINE_BINS { before } else { during };
                if traces > 0 {
                    let millionths = traces * WHOLE_TRACE;
                    transitions.push(LogTransition { service, from: (from, WELL), to, bin, millionths });
                }
            }
        }
        transitions.sort();
        let templates = (0..9).map(|t| format!("t{t}")).collect();
        let logs = LogStats { grid, services: vec!["a".into(), "b".into()], templates, rows, transitions };
        let series = Series {
            subject: Subject::Service("a".into()),
            signal: Signal::Cpu,
            statistic: Statistic::Mean,
            unit: Unit::Cores,
            name: "cpu".into(),
            samples: vec![(0, 1.0)],
        };
        let edge =
            GivenEdge { caller: "b".into(), callee: "a".into(), callee_kind: NodeKind::Service, mode: EdgeMode::Sync };
        Incident::new(IncidentParts {
            series: vec![series],
            given_edges: vec![edge],
            logs,
            ..IncidentParts::new(
                Window::new(BASELINE_BINS * BIN, BINS * BIN).unwrap(),
                vec![Window::new(0, BASELINE_BINS * BIN).unwrap()],
                calls,
            )
        })
        .unwrap()
    }

    fn by_flows(flows: &[Flow]) -> Vec<(String, f64)> {
        let incident = incident(flows, Vec::new(), CallStats::empty(Grid::new(BIN)));
        changes(&incident, CAP).into_iter().map(|(service, change)| (service.to_string(), change.bits)).collect()
    }

    #[test]
    fn an_error_instead_of_the_usual_is_the_services_own_and_not_its_callers() {
        let flows = [
            (0, 0, Some((1, WELL)), 3, 0),
            (0, 0, Some((2, BAD)), 0, 3),
            // The caller logs it too, for some of its requests.
            (1, 3, Some((4, WELL)), 6, 4),
            (1, 3, Some((5, BAD)), 0, 2),
        ];
        assert_eq!(by_flows(&flows), [("a".to_owned(), CAP)]);
    }

    #[test]
    fn other_requests_and_fewer_errors_are_no_change() {
        // Three times as many of one kind, a third of the other.
        let mixed = [(0, 0, Some((1, WELL)), 2, 6), (0, 3, Some((4, WELL)), 6, 2), (0, 4, None, 6, 2)];
        assert_eq!(by_flows(&mixed), []);
        let mended = [(0, 0, Some((1, WELL)), 2, 4), (0, 0, Some((2, BAD)), 2, 0)];
        assert_eq!(by_flows(&mended), []);
    }

    #[test]
    fn another_way_without_an_error_counts_half() {
        // The surprise is far beyond both caps: what is left is the weight.
        let all_of = |to| {
            incident(&[(0, 0, Some((1, WELL)), 1, 0), (0, 0, to, 0, 1)], Vec::new(), CallStats::empty(Grid::new(BIN)))
        };
        let bits = |to| changes(&all_of(to), f64::MAX).values().map(|change| change.bits).sum::<f64>();
        let (elsewhere, ends) = (bits(Some((7, WELL))), bits(None));
        assert!(elsewhere > 1.0 && (ends - 2.0 * elsewhere).abs() < 1e-9, "{elsewhere} {ends}");
    }

    /// One call of `a` a second; `kept` of it in the incident.
    fn calls(kept: u64) -> CallStats {
        let row = |bin: i64| {
            let calls = if bin < BASELINE_BINS { 5 } else { kept };
            CallRow {
                calls,
                observed: calls,
                weight_squares: calls,
                ..CallRow::empty(CallKey { bin, entry: 0, caller: None, callee: 0, operation: 0, mode: EdgeMode::Sync })
            }
        };
        let nodes = vec![CallNode { id: "a".into(), kind: NodeKind::Service }];
        let rows = (0..BINS).filter(|bin| *bin < BASELINE_BINS || kept > 0).map(row).collect();
        let entries = vec![Entry { service: 0, operation: 0 }];
        CallStats { nodes, operations: vec!["GET".into()], entries, rows, ..CallStats::empty(Grid::new(BIN)) }
    }

    fn rows(template: u32, severity: Severity, before: u64, during: u64) -> Vec<LogRow> {
        let records = |bin| if bin < BASELINE_BINS { before } else { during };
        let row = |bin| LogRow { service: 0, template, severity, bin, records: records(bin), trace: None };
        (0..BINS).map(row).filter(|row| row.records > 0).collect()
    }

    fn by_rows(mut kinds: Vec<Vec<LogRow>>, calls: CallStats) -> f64 {
        kinds.push(rows(8, WELL, 1, 1));
        let mut rows = kinds.concat();
        rows.sort();
        changes(&incident(&[], rows, calls), CAP).values().map(|change| change.bits).sum()
    }

    #[test]
    fn a_new_error_and_a_message_gone_while_requests_go_on_are_evidence() {
        let none = || CallStats::empty(Grid::new(BIN));
        assert!((by_rows(vec![rows(1, BAD, 0, 3)], none()) - CAP).abs() < 1e-9);
        assert!((by_rows(vec![rows(1, BAD, 0, 3)], calls(5)) - CAP).abs() < 1e-9);
        assert!((by_rows(vec![rows(1, WELL, 3, 0)], calls(5)) - CAP).abs() < 1e-9);
    }

    #[test]
    fn what_follows_the_traffic_is_no_evidence() {
        let nothing = |bits: f64| assert!(bits <= 0.0, "{bits}");
        // Ten times the requests, ten times the errors; and nobody calls what is no longer logged.
        nothing(by_rows(vec![rows(1, BAD, 1, 10)], calls(50)));
        nothing(by_rows(vec![rows(1, WELL, 3, 0)], calls(0)));
        // More of what is no error; as much of all as before.
        nothing(by_rows(vec![rows(1, WELL, 1, 10)], calls(5)));
        nothing(by_rows(vec![rows(1, BAD, 2, 2)], calls(5)));
    }
}
