//! What belongs together, as series without a value of their own tell by their labels: pods and the workloads that own
//! them, pods and the machines they run on (kube-state-metrics), processes and their OpenTelemetry resource
//! (`target_info`).

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::signals::{RawSeries, service_of_pod};

/// What is known of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Kind and name of what owns it: a ReplicaSet's own owner is looked up.
    owner: Option<(String, String)>,
    /// Values of the labels by which people name the application, the most usual label first.
    pub(crate) apps: Vec<String>,
    /// The machine's name and address.
    pub(crate) machine: BTreeSet<String>,
}

/// All ties.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    /// By pod name, then namespace: pods of a StatefulSet repeat in other namespaces.
    pods: BTreeMap<String, BTreeMap<String, Pod>>,
    /// Owner of a ReplicaSet or Job, by namespace and name.
    owners: FxHashMap<(String, String), String>,
    pod_of_address: FxHashMap<String, (String, String)>,
    /// `k8s.pod.name` and the like, by `job` and `instance`.
    targets: FxHashMap<(String, String), Target>,
}

/// What `target_info` tells of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// `namespace/name`, where the resource attributes are kept as labels.
    pub(crate) service: Option<String>,
    pub(crate) pod: Option<String>,
}

/// Labels of `kube_pod_labels` that name the application, in the order in which they are believed.
const APP_LABELS: &[&str] = &[
    "label_app_kubernetes_io_name",
    "label_app",
    "label_k8s_app",
    "label_app_kubernetes_io_component",
    "label_component",
];

fn text<'r>(raw: &'r RawSeries, names: &[&str]) -> Option<&'r str> {
    // kube-state-metrics writes `<none>` where there is nothing.
    names.iter().find_map(|name| raw.label(name).filter(|value| !value.is_empty() && *value != "<none>"))
}

const NAMESPACE: &[&str] = &["exported_namespace", "namespace", "k8s_namespace_name"];
const POD: &[&str] = &["exported_pod", "pod", "pod_name", "k8s_pod_name"];

impl Ties {
    /// Takes note of a series that [`super::metric_table::Role::Tie`] marks; `name` has no dots.
    pub(crate) fn note(&mut self, name: &str, raw: &RawSeries) {
        let namespace = text(raw, NAMESPACE).unwrap_or_default().to_owned();
        match name {
            "kube_replicaset_owner" | "kube_job_owner" => {
                let owned = text(raw, &["replicaset", "job_name", "exported_job"]);
                if let (Some(owned), Some(owner)) = (owned, text(raw, &["owner_name"])) {
                    self.owners.insert((namespace, owned.to_owned()), owner.to_owned());
                }
            }
            "target_info" => {
                let service = text(raw, &["service_name"]).map(|service| match text(raw, &["service_namespace"]) {
                    Some(namespace) => format!("{namespace}/{service}"),
                    None => service.to_owned(),
                });
                let target = Target { service, pod: text(raw, &["k8s_pod_name"]).map(str::to_owned) };
                if let Some(key) = target_key(raw) {
                    self.targets.insert(key, target);
                }
            }
            _ => self.note_pod(raw, namespace),
        }
    }

    fn note_pod(&mut self, raw: &RawSeries, namespace: String) {
        let Some(name) = text(raw, POD) else { return };
        if let Some(address) = text(raw, &["pod_ip"]) {
            self.pod_of_address.insert(address.to_owned(), (namespace.clone(), name.to_owned()));
        }
        let pod = self.pods.entry(name.to_owned()).or_default().entry(namespace).or_default();
        let kind = text(raw, &["owner_kind", "created_by_kind"]);
        // A static pod is owned by its machine, which is no service.
        if let (Some(kind), Some(owner)) =
            (kind.filter(|kind| *kind != "Node"), text(raw, &["owner_name", "created_by_name"]))
        {
            pod.owner = Some((kind.to_owned(), owner.to_owned()));
        }
        for app in APP_LABELS.iter().filter_map(|label| text(raw, &[label])) {
            if !pod.apps.iter().any(|known| known == app) {
                pod.apps.push(app.to_owned());
            }
        }
        for label in ["node", "host_ip"] {
            pod.machine.extend(text(raw, &[label]).map(str::to_owned));
        }
    }

    /// What is known of the pod that a series names.
    pub(crate) fn pod_of(&self, raw: &RawSeries) -> Option<&Pod> {
        self.pod(text(raw, NAMESPACE), text(raw, POD)?)
    }

    /// A pod by its name; without a namespace only where one namespace has a pod of that name.
    pub(crate) fn pod(&self, namespace: Option<&str>, name: &str) -> Option<&Pod> {
        let spaces = self.pods.get(name)?;
        match namespace.and_then(|namespace| spaces.get(namespace)) {
            Some(pod) => Some(pod),
            None if spaces.len() == 1 => spaces.values().next(),
            None => None,
        }
    }

    /// The pod that has an address: its name.
    pub(crate) fn pod_at(&self, address: &str) -> Option<(&str, &str)> {
        self.pod_of_address.get(address).map(|(namespace, pod)| (namespace.as_str(), pod.as_str()))
    }

    /// The workload that owns a pod: the Deployment behind the ReplicaSet, the CronJob behind the Job.
    pub(crate) fn workload<'t>(&'t self, namespace: &str, pod: &'t Pod) -> Option<&'t str> {
        let (kind, owner) = pod.owner.as_ref()?;
        if let Some(above) = self.owners.get(&(namespace.to_owned(), owner.clone())) {
            return Some(above);
        }
        // A ReplicaSet's name is its Deployment's with a hash; a pod's hash behind it makes the whole a pod's name.
        if kind == "ReplicaSet" {
            let deployment = owner.rsplit_once('-').map(|(deployment, _)| deployment);
            return Some(deployment.filter(|name| !name.is_empty()).unwrap_or(owner));
        }
        Some(service_of_pod(owner))
    }

    /// What `target_info` tells of the process that a series is of.
    pub(crate) fn target(&self, raw: &RawSeries) -> Option<&Target> {
        if self.targets.is_empty() { None } else { self.targets.get(&target_key(raw)?) }
    }

    /// Every pod: namespace, name and what is known, in order.
    pub(crate) fn pods(&self) -> impl Iterator<Item = (&str, &str, &Pod)> {
        self.pods.iter().flat_map(|(name, spaces)| {
            spaces.iter().map(move |(namespace, pod)| (namespace.as_str(), name.as_str(), pod))
        })
    }
}

fn target_key(raw: &RawSeries) -> Option<(String, String)> {
    let job = text(raw, &["exported_job", "job"])?;
    let instance = text(raw, &["exported_instance", "instance"]).unwrap_or_default();
    Some((job.to_owned(), instance.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::signals::RawKind;
    use super::*;

    fn series(labels: &[(&str, &str)]) -> RawSeries {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (source, name, kind) = (Arc::from("test"), "m".to_owned(), RawKind::Unknown);
        RawSeries { source, name, labels, kind, samples: Vec::new() }
    }

    fn workload(ties: &Ties, namespace: &str, pod: &str) -> Option<String> {
        ties.workload(namespace, ties.pod(Some(namespace), pod)?).map(str::to_owned)
    }

    #[test]
    fn pods_lead_to_their_workloads() {
        let mut ties = Ties::default();
        let pod = |name: &str, kind: &str, owner: &str| {
            series(&[("namespace", "shop"), ("pod", name), ("owner_kind", kind), ("owner_name", owner)])
        };
        ties.note("kube_pod_owner", &pod("cart-6b-x", "ReplicaSet", "cart-6b"));
        ties.note("kube_pod_owner", &pod("pay-77f9-x", "ReplicaSet", "pay-77f9"));
        ties.note("kube_pod_owner", &pod("db-0", "StatefulSet", "db"));
        ties.note("kube_pod_owner", &pod("tidy-28-x", "Job", "tidy-28"));
        ties.note("kube_pod_owner", &pod("proxy-n1", "Node", "n1"));
        ties.note(
            "kube_replicaset_owner",
            &series(&[
                ("namespace", "shop"),
                ("replicaset", "cart-6b"),
                ("owner_kind", "Deployment"),
                ("owner_name", "cart-v2"),
            ]),
        );
        ties.note("kube_job_owner", &series(&[("namespace", "shop"), ("job_name", "tidy-28"), ("owner_name", "tidy")]));
        assert_eq!(workload(&ties, "shop", "cart-6b-x").as_deref(), Some("cart-v2"));
        assert_eq!(workload(&ties, "shop", "pay-77f9-x").as_deref(), Some("pay"));
        assert_eq!(workload(&ties, "shop", "db-0").as_deref(), Some("db"));
        assert_eq!(workload(&ties, "shop", "tidy-28-x").as_deref(), Some("tidy"));
        assert_eq!(workload(&ties, "shop", "proxy-n1"), None);
    }

    #[test]
    fn a_pod_name_without_namespace_counts_only_where_it_is_the_only_one() {
        let mut ties = Ties::default();
        let info = |namespace: &str| {
            series(&[
                ("namespace", namespace),
                ("pod", "db-0"),
                ("node", "n1"),
                ("host_ip", "10.0.0.1"),
                ("pod_ip", "10.8.0.1"),
            ])
        };
        ties.note("kube_pod_info", &info("a"));
        assert!(ties.pod(None, "db-0").is_some());
        assert_eq!(ties.pod_at("10.8.0.1"), Some(("a", "db-0")));
        ties.note("kube_pod_info", &info("b"));
        assert!(ties.pod(None, "db-0").is_none() && ties.pod(Some("b"), "db-0").is_some());
        assert_eq!(ties.pods().count(), 2);
    }
}
