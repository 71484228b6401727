//! TraceRCA: services that abnormal requests have in common, and that pass on less than they take in.

use std::collections::BTreeMap;

use super::columns::Moments;
use super::request_groups::{Calls, Group, Pair, groups};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::rank::{Ranker, Ranking, scored};
use crate::telemetry::id::ServiceId;

/// Three steps. (1) For each pair of caller and callee, features (mean duration, error ratio) whose distance from the
/// baseline grew: `(mean |x - m| in the incident - the same before) / s > 1 + (the same before) / s`. (2) An
/// invocation is abnormal when a kept feature is more than one deviation off, a request when any of its invocations
/// is. (3) For each service, with `n_in` and `n_out` the abnormal invocations of it and by it,
///
/// ```text
/// support = P(service | abnormal)    confidence = P(abnormal | service)
/// score = |n_in - n_out| / (1 / support + 1 / confidence - 1)
/// ```
/// Source: Li, Chen, Jiao et al., "Practical root cause localization for microservice systems via trace analysis",
/// IWQoS 2021, <https://doi.org/10.1109/IWQOS52092.2021.9521340>; formulas and thresholds are the defaults of the
/// authors' code (`run_selecting_features.py`, `run_anomaly_detection_invo.py`), of whose mined sets only single
/// services are used there too. Differs in this: a "trace" is all requests of one entry that began in one time bin, for
/// calls are counted and not kept. Needs calls; names nobody from series alone.
pub struct TraceRca;

/// Of a feature's earlier distance, the part by which the growth must exceed one deviation.
const KEEP_SHARE: f64 = 1.0;
/// Deviations from which on an invocation is abnormal.
const SIGMAS: f64 = 1.0;
/// The least deviation as a share of the level, and in the feature's unit: the same number for both.
const FLOOR: f64 = 0.01;
const FEATURES: usize = 2;

impl Ranker for TraceRca {
    fn name(&self) -> &'static str {
        "trace_rca"
    }

    fn about(&self) -> &'static str {
        "TraceRCA: what abnormal requests share, by support and confidence (Li et al., IWQoS 2021); needs traces"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let service = |node: u32| incident.calls.service(node).clone();
        let scores: BTreeMap<ServiceId, f64> =
            scores(&groups(incident)).into_iter().map(|(node, score)| (service(node), score)).collect();
        scored::ranking(self.name(), incident, findings, &scores)
    }
}

/// What is normal for a kept feature.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normal {
    mean: f64,
    scale: f64,
}

type Features = [Option<Normal>; FEATURES];

fn scores(groups: &[Group]) -> BTreeMap<u32, f64> {
    let mut before_and_during: BTreeMap<Pair, [[Vec<f64>; 2]; FEATURES]> = BTreeMap::new();
    for group in groups {
        for (pair, calls) in &group.calls {
            let features = before_and_during.entry(*pair).or_default();
            for (sides, value) in features.iter_mut().zip(features_of(calls)) {
                sides[usize::from(group.in_incident)].push(value);
            }
        }
    }
    let kept: BTreeMap<Pair, Features> = before_and_during
        .into_iter()
        .map(|(pair, features)| (pair, features.map(|sides| keep(&sides[0], &sides[1]))))
        .collect();
    let mut counts: BTreeMap<u32, Counts> = BTreeMap::new();
    let mut abnormal_groups = 0_u32;
    for group in groups.iter().filter(|group| group.in_incident) {
        let abnormal: Vec<Pair> = group
            .calls
            .iter()
            .filter(|(pair, calls)| kept.get(*pair).is_some_and(|f| is_abnormal(f, features_of(calls))))
            .map(|(pair, _)| *pair)
            .collect();
        abnormal_groups += u32::from(!abnormal.is_empty());
        for node in group.nodes().into_keys() {
            let count = counts.entry(node).or_default();
            count.groups += 1;
            count.abnormal_groups += u32::from(!abnormal.is_empty());
        }
        for (caller, callee) in abnormal {
            counts.entry(callee).or_default().taken_in += 1;
            if let Some(caller) = caller {
                counts.entry(caller).or_default().passed_on += 1;
            }
        }
    }
    counts.into_iter().map(|(node, count)| (node, count.score(abnormal_groups))).collect()
}

/// Abnormal requests and invocations about one service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    groups: u32,
    abnormal_groups: u32,
    /// Abnormal invocations of the service.
    taken_in: u32,
    /// Abnormal invocations by the service.
    passed_on: u32,
}

impl Counts {
    fn score(self, all_abnormal: u32) -> f64 {
        if self.abnormal_groups == 0 || all_abnormal == 0 {
            return 0.0;
        }
        let support = f64::from(self.abnormal_groups) / f64::from(all_abnormal);
        let confidence = f64::from(self.abnormal_groups) / f64::from(self.groups);
        let jaccard = 1.0 / (1.0 / support + 1.0 / confidence - 1.0);
        jaccard * f64::from(self.taken_in.abs_diff(self.passed_on))
    }
}

/// Mean duration in milliseconds, as in the authors' data (the floor is in that unit), and error ratio.
fn features_of(calls: &Calls) -> [f64; FEATURES] {
    [calls.mean_s() * 1e3, calls.error_ratio()]
}

/// The feature's normal values, where the incident's lie farther off than the baseline's own.
fn keep(before: &[f64], during: &[f64]) -> Option<Normal> {
    let moments = Moments::of(before)?;
    let scale = moments.deviation.max(FLOOR * moments.mean + FLOOR);
    let distance = |values: &[f64]| {
        let sum: f64 = values.iter().map(|value| (value - moments.mean).abs()).sum();
        sum / values.len().max(1) as f64 / scale
    };
    let usual = distance(before);
    (distance(during) - usual > KEEP_SHARE * usual + 1.0).then_some(Normal { mean: moments.mean, scale })
}

fn is_abnormal(kept: &Features, values: [f64; FEATURES]) -> bool {
    kept.iter().zip(values).any(|(normal, value)| normal.is_some_and(|n| (value - n.mean).abs() > SIGMAS * n.scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(in_incident: bool, durations_ms: &[(Pair, u64)]) -> Group {
        let calls = |ms: u64| Calls { calls: 1, errors: 0, duration_ns: ms * 1_000_000, self_ns: 0 };
        let calls: BTreeMap<Pair, Calls> = durations_ms.iter().map(|&(pair, ms)| (pair, calls(ms))).collect();
        Group { in_incident, requests: calls[&(None, 0)], calls }
    }

    #[test]
    fn the_end_of_abnormal_invocations_stands_first() {
        // 0 calls 1 calls 2, 0 calls 3; 2 grows slow in two of three incident groups, the third does not pass it.
        let before: Vec<Group> = [0, 2, 1, 3]
            .iter()
            .map(|noise| {
                group(false, &[((None, 0), 100 + noise), ((Some(0), 1), 50), ((Some(1), 2), 20), ((Some(0), 3), 10)])
            })
            .collect();
        let slow = group(true, &[((None, 0), 900), ((Some(0), 1), 850), ((Some(1), 2), 820), ((Some(0), 3), 10)]);
        let spared = group(true, &[((None, 0), 101), ((Some(0), 3), 10)]);
        let groups: Vec<Group> = before.into_iter().chain([slow.clone(), slow, spared]).collect();
        let got = scores(&groups);
        // By hand, 2 abnormal groups of 3. Node 0: support 1, confidence 2/3, |2 - 2| = 0; 1: |2 - 2| = 0;
        // 2: support 1, confidence 1, |2 - 0| = 2; 3: taken in 0, passed on 0.
        assert_eq!(got, BTreeMap::from([(0, 0.0), (1, 0.0), (2, 2.0), (3, 0.0)]));
    }

    #[test]
    fn support_and_confidence_make_the_jaccard_index() {
        let counts = Counts { groups: 8, abnormal_groups: 6, taken_in: 5, passed_on: 1 };
        // 6 groups in common of 10 abnormal ones and 2 others: 6 / 12.
        assert!((counts.score(10) - 0.5 * 4.0).abs() < 1e-12);
        assert!(counts.score(0).abs() < 1e-12);
    }

    #[test]
    fn features_are_kept_where_they_moved() {
        assert_eq!(keep(&[1.0, 1.2, 0.8], &[1.1, 0.9]), None);
        assert!(keep(&[1.0, 1.2, 0.8], &[3.0]).is_some());
        assert_eq!(keep(&[], &[3.0]), None);
    }
}
