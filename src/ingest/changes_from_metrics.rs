//! Changes that metrics show: kube-state-metrics sees new images, other specifications and other numbers of replicas;
//! `target_info` and `…_build_info` carry a version.
//!
//! What the data begin with is no change. A value that comes or a number that rises later is one, at the time of its first
//! sample: the change happened within one scrape interval before.

use std::collections::{BTreeMap, BTreeSet};

use super::signals::{self, RawSeries, service_of_pod};
use crate::telemetry::change::{Change, ChangeKind};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::NANOS_PER_SECOND;

/// Metrics that show changes and may have no other meaning; besides, those whose names end in `_build_info`.
pub(super) const NAMES: &[&str] = &[
    "kube_deployment_status_observed_generation",
    "kube_statefulset_status_observed_generation",
    "kube_daemonset_status_observed_generation",
    "kube_deployment_spec_replicas",
    "kube_statefulset_replicas",
    "kube_pod_container_info",
    "target_info",
];

/// All changes that the series show, sorted. `raw` is joined: samples are sorted, and none is missing a value.
pub(super) fn changes(raw: &[RawSeries]) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut versions: BTreeMap<(String, ServiceId), Vec<(&str, &RawSeries)>> = BTreeMap::new();
    for series in raw {
        let name = signals::underscored(&series.name);
        match &*name {
            "kube_deployment_status_observed_generation"
            | "kube_statefulset_status_observed_generation"
            | "kube_daemonset_status_observed_generation" => steps(series, &generation, &mut changes),
            "kube_deployment_spec_replicas" | "kube_statefulset_replicas" => steps(series, &replicas, &mut changes),
            "kube_pod_container_info" => {
                let pod = label(series, &["exported_pod", "pod"]);
                let image = label(series, &["image_spec", "image"]);
                if let (Some(pod), Some(image)) = (pod, image) {
                    let container = label(series, &["exported_container", "container"]).unwrap_or_default();
                    let key = (format!("{name} {container}"), ServiceId::new(service_of_pod(pod)));
                    versions.entry(key).or_default().push((image, series));
                }
            }
            name if name == "target_info" || name.ends_with("_build_info") => {
                let version = label(series, &["service_version", "version"]);
                let service = signals::service(|name| series.label(name));
                if let (Some(version), Some(service)) = (version, service) {
                    versions.entry((name.to_owned(), service)).or_default().push((version, series));
                }
            }
            _ => {}
        }
    }
    for ((metric, service), of_service) in &versions {
        let metric = metric.split(' ').next().unwrap_or(metric);
        new_values(metric, service, of_service, &mut changes);
    }
    without_echoes(&mut changes);
    changes.sort();
    changes.dedup();
    changes
}

fn label<'r>(series: &'r RawSeries, names: &[&str]) -> Option<&'r str> {
    names.iter().find_map(|name| series.label(name).map(str::trim).filter(|value| !value.is_empty()))
}

/// The workload that a series of kube-state-metrics is about.
fn workload(series: &RawSeries) -> Option<ServiceId> {
    let labels = ["exported_deployment", "deployment", "statefulset", "daemonset"];
    label(series, &labels).map(ServiceId::new)
}

/// What the step from one value to the next means, and its words.
type Meaning = dyn Fn(f64, f64) -> Option<(ChangeKind, String)>;

fn generation(before: f64, after: f64) -> Option<(ChangeKind, String)> {
    (after > before).then(|| (ChangeKind::Deploy, format!("specification {before} → {after}")))
}

fn replicas(before: f64, after: f64) -> Option<(ChangeKind, String)> {
    (after.total_cmp(&before).is_ne()).then(|| (ChangeKind::Scale, format!("replicas {before} → {after}")))
}

fn steps(series: &RawSeries, meaning: &Meaning, changes: &mut Vec<Change>) {
    let Some(service) = workload(series) else { return };
    for pair in series.samples.windows(2) {
        let ((_, before), (at_ns, after)) = (pair[0], pair[1]);
        if let Some((kind, description)) = meaning(before, after) {
            let (service, source) = (Some(service.clone()), series.name.clone());
            changes.push(Change { at_ns, service, kind, version: String::new(), description, source });
        }
    }
}

/// Values (versions, images) of one service that begin after another one did.
fn new_values(metric: &str, service: &ServiceId, values: &[(&str, &RawSeries)], changes: &mut Vec<Change>) {
    let mut first: BTreeMap<&str, i64> = BTreeMap::new();
    for (value, series) in values {
        // A value of zero says that it is not so (any more).
        let Some((at_ns, _)) = series.samples.iter().find(|sample| sample.1 > 0.0) else { continue };
        let known = first.entry(value).or_insert(*at_ns);
        *known = (*known).min(*at_ns);
    }
    let mut by_time: Vec<(i64, &str)> = first.into_iter().map(|(value, at_ns)| (at_ns, value)).collect();
    by_time.sort_unstable();
    let begin = by_time.first().map(|(at_ns, _)| *at_ns);
    for pair in by_time.windows(2) {
        let ((_, before), (at_ns, version)) = (pair[0], pair[1]);
        // Targets are scraped at different moments: within a minute of the first sample all count as there from the start.
        if begin.is_some_and(|begin| at_ns.saturating_sub(begin) < SCRAPE_NS) {
            continue;
        }
        changes.push(Change {
            at_ns,
            service: Some(service.clone()),
            kind: ChangeKind::Deploy,
            version: version.to_owned(),
            description: format!("before it {before}"),
            source: metric.to_owned(),
        });
    }
}

/// The usual longest scrape interval.
const SCRAPE_NS: i64 = 60 * NANOS_PER_SECOND;
/// A roll-out takes minutes from the new specification to the first pod with the new image.
const ROLLOUT_NS: i64 = 10 * SCRAPE_NS;

/// Drops new specifications that another change of the service tells in better words: other replicas (which are part of
/// the specification) or a new image soon after.
fn without_echoes(changes: &mut Vec<Change>) {
    let is_generation = |change: &Change| change.source.ends_with("_observed_generation");
    // By service and kind, and sorted by time: a number of replicas may change with every sample.
    let mut told: BTreeMap<(Option<ServiceId>, bool), BTreeSet<i64>> = BTreeMap::new();
    for change in changes.iter().filter(|change| !is_generation(change)) {
        told.entry((change.service.clone(), change.kind == ChangeKind::Scale)).or_default().insert(change.at_ns);
    }
    changes.retain(|change| {
        let echoes = |is_scale: bool| {
            let within = if is_scale { SCRAPE_NS } else { ROLLOUT_NS };
            let near = change.at_ns.saturating_sub(SCRAPE_NS)..=change.at_ns.saturating_add(within);
            told.get(&(change.service.clone(), is_scale)).is_some_and(|times| times.range(near).next().is_some())
        };
        !is_generation(change) || !(echoes(true) || echoes(false))
    });
}

#[cfg(test)]
mod tests {
    use super::super::signals::RawKind;
    use super::*;

    const MINUTE: i64 = 60 * NANOS_PER_SECOND;

    /// A series with one sample a minute from `from`.
    fn series(name: &str, labels: &[(&str, &str)], from: i64, values: &[f64]) -> RawSeries {
        RawSeries {
            source: "m".into(),
            name: name.to_owned(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            kind: RawKind::Gauge,
            samples: (from..).zip(values).map(|(minute, value)| (minute * MINUTE, *value)).collect(),
        }
    }

    fn found(raw: &[RawSeries]) -> Vec<(i64, String, ChangeKind, String, String)> {
        let of = |c: Change| {
            let service = c.service.map(|s| s.to_string()).unwrap_or_default();
            (c.at_ns / MINUTE, service, c.kind, c.version, c.description)
        };
        changes(raw).into_iter().map(of).collect()
    }

    fn change(
        at: i64,
        kind: ChangeKind,
        version: &str,
        description: &str,
    ) -> (i64, String, ChangeKind, String, String) {
        (at, "pay".to_owned(), kind, version.to_owned(), description.to_owned())
    }

    const PAY: &[(&str, &str)] = &[("deployment", "pay"), ("job", "kube-state-metrics"), ("namespace", "shop")];

    #[test]
    fn a_new_specification_is_a_deploy() {
        let raw = [series("kube_deployment_status_observed_generation", PAY, 10, &[4.0, 4.0, 5.0, 5.0])];
        assert_eq!(found(&raw), [change(12, ChangeKind::Deploy, "", "specification 4 → 5")]);
    }

    #[test]
    fn other_replicas_are_told_once_as_scaling() {
        let raw = [
            series("kube_deployment_status_observed_generation", PAY, 10, &[4.0, 4.0, 5.0]),
            series("kube_deployment_spec_replicas", PAY, 10, &[3.0, 3.0, 1.0]),
        ];
        assert_eq!(found(&raw), [change(12, ChangeKind::Scale, "", "replicas 3 → 1")]);
    }

    #[test]
    fn a_new_image_is_a_deploy_and_the_first_one_is_not() {
        let pod = |pod, image, from, n: usize| {
            let labels = [("container", "server"), ("image", image), ("pod", pod)];
            series("kube_pod_container_info", &labels, from, &vec![1.0; n])
        };
        let mut raw = vec![
            pod("pay-5f6585d649-fnmft", "pay:1", 10, 9),
            pod("pay-5f6585d649-x2x4z", "pay:1", 14, 5),
            pod("pay-68b9b5645b-2kx4z", "pay:2", 15, 5),
            series("kube_deployment_status_observed_generation", PAY, 10, &[4.0, 4.0, 4.0, 4.0, 5.0]),
        ];
        assert_eq!(found(&raw), [change(15, ChangeKind::Deploy, "pay:2", "before it pay:1")]);
        raw.reverse();
        assert_eq!(found(&raw).len(), 1);
    }

    #[test]
    fn versions_in_info_metrics_count_likewise() {
        let info =
            |name, version, from| series(name, &[("job", "pay"), ("service_version", version)], from, &[1.0, 1.0, 1.0]);
        let raw = [info("target_info", "1.0", 10), info("target_info", "1.1", 13)];
        assert_eq!(found(&raw), [change(13, ChangeKind::Deploy, "1.1", "before it 1.0")]);
        // Side by side from the start.
        assert_eq!(found(&[info("target_info", "1.0", 10), info("target_info", "1.1", 10)]), []);
        let build =
            |version, from| series("app_build_info", &[("job", "pay"), ("version", version)], from, &[1.0, 1.0]);
        assert_eq!(found(&[build("a", 1), build("b", 3)]), [change(3, ChangeKind::Deploy, "b", "before it a")]);
    }
}
