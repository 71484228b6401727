//! SimpleRCA: the service with the most alerts.

use std::collections::BTreeMap;

use super::columns::{Column, Moments, columns};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::{Ranker, Ranking, scored};
use crate::stats::robust::quantile;
use crate::telemetry::id::ServiceId;
use crate::telemetry::logs::Severity;
use crate::telemetry::series::Signal;

/// Counts three kinds of alert for each service: a metric with a sample above `mean_B + 3 sd_B`; the 95th percentile of
/// its latency above three times that of the baseline; records of severity error above their number in a
/// baseline of the same length. Most alerts stand first; there is nothing else, so ties are many.
///
/// Source: Fang et al., "Rethinking the evaluation of microservice RCA with a fault propagation-aware benchmark", 2025,
/// <https://arxiv.org/abs/2510.04711>, the rule-based probe. Differs in this: the log rule is on severities and not on
/// words in messages, the latency rule on the service's time bins where no span is at hand, and the weights by kind of
/// metric that the released rules carry are left out: the text has none.
pub struct SimpleRca;

const SIGMAS: f64 = 3.0;
const LATENCY_QUANTILE: f64 = 0.95;
const LATENCY_RATIO: f64 = 3.0;

impl Ranker for SimpleRca {
    fn name(&self) -> &'static str {
        "simple_rca"
    }

    fn about(&self) -> &'static str {
        "SimpleRCA: the service with the most alerts of metrics, latency and logs (Fang et al., arXiv 2510.04711, 2025)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let mut alerts: BTreeMap<ServiceId, f64> = BTreeMap::new();
        for column in columns(incident) {
            *alerts.entry(column.service.clone()).or_default() += f64::from(alerts_of(&column));
        }
        for service in more_error_records(incident) {
            *alerts.entry(service).or_default() += 1.0;
        }
        scored::ranking(self.name(), incident, findings, &alerts)
    }
}

/// Alerts of one metric: 0 to 2.
fn alerts_of(column: &Column) -> u8 {
    let (before, during) = column.split();
    let beyond = Moments::of(&before).is_some_and(|moments| {
        during.iter().any(|value| *value - moments.mean > SIGMAS * moments.deviation && moments.z(*value) > 0.0)
    });
    let p95 = |values: &[f64]| quantile(values, LATENCY_QUANTILE).unwrap_or(0.0);
    let slow = column.signal == Signal::Latency && p95(&during) > LATENCY_RATIO * p95(&before);
    u8::from(beyond) + u8::from(slow)
}

/// Services with more error records in the incident than their baseline lets expect in the same time.
fn more_error_records(incident: &Incident) -> Vec<ServiceId> {
    let logs = &incident.logs;
    let mut records: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for row in logs.rows.iter().filter(|row| row.severity >= Severity::Error) {
        let middle_ns = logs.grid.bin_start_ns(row.bin).saturating_add(logs.grid.step_ns() / 2);
        let (before, during) = records.entry(row.service).or_default();
        if incident.window.contains(middle_ns) {
            *during += row.records;
        } else if incident.baselines.iter().any(|window| window.contains(middle_ns)) {
            *before += row.records;
        }
    }
    let baseline_seconds: f64 = incident.baselines.iter().map(|window| window.seconds()).sum();
    let ratio = incident.window.seconds() / baseline_seconds;
    records
        .into_iter()
        .filter(|(_, (before, during))| *during as f64 > *before as f64 * ratio)
        .filter_map(|(service, _)| logs.services.get(service as usize).cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::columns::Sample;
    use super::*;

    #[test]
    fn alerts_are_counted_by_the_rules_of_the_paper() {
        let alerts = |signal: Signal, before: &[f64], during: &[f64]| {
            let sample = |in_incident: bool| move |&value: &f64| Sample { at_ns: 0, in_incident, value };
            let samples = before.iter().map(sample(false)).chain(during.iter().map(sample(true))).collect();
            alerts_of(&Column { service: "a".into(), signal, samples })
        };
        // Mean 2, deviation 1: 5 is three deviations and no more.
        let before = [1.0, 3.0, 1.0, 3.0];
        assert_eq!(alerts(Signal::Cpu, &before, &[5.0]), 0);
        assert_eq!(alerts(Signal::Cpu, &before, &[4.0, 5.1]), 1);
        assert_eq!(alerts(Signal::Cpu, &before, &[-9.0]), 0, "a fall is no alert");
        assert_eq!(alerts(Signal::Latency, &before, &[10.0]), 2, "and its p95 above 3 * 3");
        assert_eq!(alerts(Signal::Latency, &before, &[8.9]), 1);
        assert_eq!(alerts(Signal::Memory, &[7.0, 7.0], &[7.0]), 0);
        assert_eq!(alerts(Signal::Memory, &[7.0, 7.0], &[7.5]), 1);
    }
}
