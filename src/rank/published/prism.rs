//! PRISM: what changed inside a service and what changed at its surface, together.

use std::collections::BTreeMap;

use super::columns::{Column, Moments, columns};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::{Ranker, Ranking, scored};
use crate::stats::robust::quantile;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Signal;

/// Scores a service by
///
/// ```text
/// M = I + E - ln(1 + I + E)        I, E = the highest a_m over internal and external metrics
/// a_m = max over t in the incident of |x_m(t) - mean_B| / sd_B
/// ```
/// internal: processor, memory, disk, sockets; external: latency, errors, requests. Internal changes cannot be
/// inherited through calls, so a service with both stands before one with either. Source: Pham, "PRISM", 2026,
/// <https://arxiv.org/abs/2601.21359>: the additive form, its default. The scale is at least 1 % of the level; a metric
/// without any scale (a constant zero) gets the 99th percentile of the others. Names a cause from three deviations on.
pub struct Prism;

/// Least scale as a share of the level.
const RELATIVE_FLOOR: f64 = 0.01;
/// What a change without scale counts at most: this quantile of the others.
const CAP_QUANTILE: f64 = 0.99;
/// A pooled score below that of three deviations in one group is no cause: 3 - ln 4.
const LEAST_SCORE: f64 = 3.0 - 2.0 * std::f64::consts::LN_2;

impl Ranker for Prism {
    fn name(&self) -> &'static str {
        "prism"
    }

    fn about(&self) -> &'static str {
        "PRISM: internal and external change of a service, pooled (Pham, arXiv 2601.21359, 2026)"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let scores = scores(&columns(incident));
        let alarm = scores.values().any(|score| *score > LEAST_SCORE);
        scored::ranking_if(alarm, self.name(), incident, findings, &scores)
    }
}

/// Where a metric is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Internal,
    External,
}

fn side(signal: Signal) -> Option<Side> {
    match signal {
        Signal::Cpu | Signal::CpuThrottling | Signal::Memory | Signal::Disk | Signal::Sockets | Signal::Restarts => {
            Some(Side::Internal)
        }
        Signal::Latency | Signal::ErrorRatio | Signal::Requests => Some(Side::External),
        Signal::OriginErrorRatio
        | Signal::SelfTime
        | Signal::NetworkGap
        | Signal::NetworkReceive
        | Signal::NetworkTransmit
        | Signal::Syscalls
        | Signal::NodeCpu
        | Signal::NodeMemory
        | Signal::Timeouts
        | Signal::Retries
        | Signal::Hedges
        | Signal::Other => None,
    }
}

/// How far a metric went.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// In scales of its baseline.
    Scales(f64),
    /// It moved, but nothing says how much is much.
    Scaleless,
}

fn change(before: &[f64], during: &[f64]) -> Option<Change> {
    let moments = Moments::of(before)?;
    let farthest = during.iter().map(|value| (value - moments.mean).abs()).max_by(f64::total_cmp)?;
    let scale = moments.deviation.max(RELATIVE_FLOOR * moments.mean.abs());
    Some(if scale > 0.0 {
        Change::Scales(farthest / scale)
    } else if farthest > 0.0 {
        Change::Scaleless
    } else {
        Change::Scales(0.0)
    })
}

fn scores(columns: &[Column]) -> BTreeMap<ServiceId, f64> {
    let changes: Vec<(&ServiceId, Side, Change)> = columns
        .iter()
        .filter_map(|column| {
            let (before, during) = column.split();
            Some((&column.service, side(column.signal)?, change(&before, &during)?))
        })
        .collect();
    let known: Vec<f64> = changes
        .iter()
        .filter_map(|(_, _, change)| if let Change::Scales(scales) = change { Some(*scales) } else { None })
        .collect();
    let cap = quantile(&known, CAP_QUANTILE).unwrap_or(0.0);
    let mut sides: BTreeMap<&ServiceId, (f64, f64)> = BTreeMap::new();
    for (service, side, change) in changes {
        let scales = if let Change::Scales(scales) = change { scales } else { cap };
        let (internal, external) = sides.entry(service).or_default();
        let known = if side == Side::Internal { internal } else { external };
        *known = known.max(scales);
    }
    sides.into_iter().map(|(service, (internal, external))| (service.clone(), pooled(internal + external))).collect()
}

/// The additive form.
fn pooled(sum: f64) -> f64 {
    sum - sum.ln_1p()
}

#[cfg(test)]
mod tests {
    use super::super::columns::Sample;
    use super::*;

    fn column(service: &str, signal: Signal, before: &[f64], during: &[f64]) -> Column {
        let sample = |in_incident: bool| move |&value: &f64| Sample { at_ns: 0, in_incident, value };
        let samples = before.iter().map(sample(false)).chain(during.iter().map(sample(true))).collect();
        Column { service: service.into(), signal, samples }
    }

    #[test]
    fn a_service_with_both_kinds_stands_first() {
        let before = [1.0, 3.0, 1.0, 3.0];
        let scores = scores(&[
            column("cause", Signal::Cpu, &before, &[2.0, 8.0]),
            column("cause", Signal::Latency, &before, &[7.0]),
            column("victim", Signal::Latency, &before, &[11.0]),
            column("victim", Signal::NodeCpu, &before, &[99.0]),
        ]);
        // By hand: mean 2, deviation 1; cause 6 + 5 = 11, victim 9: 11 - ln 12, 9 - ln 10.
        assert!((scores[&"cause".into()] - 8.515_093_350_211_999).abs() < 1e-12);
        assert!((scores[&"victim".into()] - 6.697_414_907_005_954).abs() < 1e-12);
    }

    #[test]
    fn a_metric_without_scale_does_not_win_alone() {
        assert_eq!(change(&[0.0, 0.0], &[5.0]), Some(Change::Scaleless));
        assert_eq!(change(&[0.0, 0.0], &[0.0]), Some(Change::Scales(0.0)));
        // 1 % of 200 is 2.
        assert_eq!(change(&[200.0, 200.0], &[210.0]), Some(Change::Scales(5.0)));
    }
}
