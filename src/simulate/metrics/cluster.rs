//! What kube-state-metrics tells of pods and of the workloads that own them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::pods::{self, Pod, Pods};
use super::scrapes::Scrapes;
use super::{Family, FamilyKind, Labels};
use crate::simulate::recording::{ChangeKind, ChangeRecord, InstanceSample, LogEvent};
use crate::simulate::system::ServiceIdx;

const MIB: f64 = 1_048_576.0;
/// For so long after a decision to scale the number of pods may be read off those that are there, ns.
const SCALING_NS: i64 = 60_000_000_000;

/// A pod through the eyes of the API server.
struct Watched<'r> {
    pod: Pod<'r>,
    labels: Labels,
    of_container: Labels,
    /// The instants at which it was there, with its last reading.
    ticks: Vec<(i64, Option<&'r InstanceSample>)>,
}

impl Watched<'_> {
    fn ones(&self) -> Vec<(i64, f64)> {
        self.ticks.iter().map(|(at_ns, _)| (*at_ns, 1.0)).collect()
    }

    fn is_ready_at(&self, at_ns: i64) -> bool {
        let found = self.ticks.binary_search_by_key(&at_ns, |tick| tick.0);
        found.is_ok_and(|index| self.ticks[index].1.is_some_and(|sample| sample.ready))
    }

    /// A value of the last reading, at all instants that have one.
    fn read(&self, value: impl Fn(&InstanceSample) -> f64) -> Vec<(i64, f64)> {
        self.ticks.iter().filter_map(|(at_ns, sample)| Some((*at_ns, value((*sample)?)))).collect()
    }
}

/// The families.
pub(super) fn families(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Vec<Family> {
    // What it tells changes rarely and is much: kube-prometheus asks for it every 30 seconds, too.
    let ticks = scrapes.ticks("kube-state-metrics", 2);
    let watched: Vec<Watched<'_>> = pods.iter().map(|pod| watch(pods, pod, &ticks)).collect();
    let (mut info, mut owner) = ties(&watched);
    let job_owner = neighbours(pods, &ticks, &mut info, &mut owner);
    let mut families = vec![info, owner, job_owner, replica_sets(&watched), images(&watched)];
    families.extend([ready(&watched), restarts(&watched), reasons(pods, &watched), limits(&watched)]);
    families.extend(workloads(pods, &watched, &ticks));
    families
}

/// Labels of kube-state-metrics itself.
fn exporter() -> Labels {
    Labels::of([("instance", "kube-state-metrics:8080"), ("job", "kube-state-metrics")])
}

fn watch<'r>(pods: &Pods<'r>, pod: Pod<'r>, ticks: &[i64]) -> Watched<'r> {
    let samples = pods.samples(pod.index);
    let last_reading = |at_ns: i64| {
        let after = samples.partition_point(|sample| sample.at_ns <= at_ns);
        after.checked_sub(1).and_then(|index| samples.get(index).copied())
    };
    let instance = pod.instance;
    let there = |at_ns: &&i64| instance.started_ns <= **at_ns && instance.ended_ns.is_none_or(|end| **at_ns < end);
    let labels = exporter().with([("namespace", &pods.system.namespace), ("pod", &instance.pod)]);
    Watched {
        of_container: labels.with([("container", &pod.service.name)]),
        labels,
        ticks: ticks.iter().filter(there).map(|at_ns| (*at_ns, last_reading(*at_ns))).collect(),
        pod,
    }
}

/// `kube_pod_info` and `kube_pod_owner`.
fn ties(watched: &[Watched<'_>]) -> (Family, Family) {
    let mut info = Family::new(FamilyKind::Gauge, "kube_pod_info", "Information about pod.");
    let mut owned = Family::new(FamilyKind::Gauge, "kube_pod_owner", "Information about the Pod's owner.");
    for seen in watched {
        let (owner, machine) = (seen.pod.owner(), seen.pod.instance.machine);
        let labels_of_info = seen.labels.with([
            ("created_by_kind", owner.kind),
            ("created_by_name", owner.name),
            ("host_ip", &pods::machine_address(machine)),
            ("node", &pods::machine_name(machine)),
            ("pod_ip", &seen.pod.address()),
        ]);
        let labels_of_owner =
            seen.labels.with([("owner_is_controller", "true"), ("owner_kind", owner.kind), ("owner_name", owner.name)]);
        info.push(labels_of_info, seen.ones());
        owned.push(labels_of_owner, seen.ones());
    }
    (info, owned)
}

/// The foreign pods of machines: run by a job, which a schedule owns. Returns `kube_job_owner`.
fn neighbours(pods: &Pods<'_>, ticks: &[i64], info: &mut Family, owned: &mut Family) -> Family {
    let mut job_owner = Family::new(FamilyKind::Gauge, "kube_job_owner", "Information about the Job's owner.");
    for (machine, samples) in pods.neighbours() {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { continue };
        let there = ticks.iter().filter(|at_ns| (first.at_ns..=last.at_ns).contains(*at_ns));
        let ones: Vec<(i64, f64)> = there.map(|at_ns| (*at_ns, 1.0)).collect();
        let (pod, job) = (pods::neighbour_pod(machine), pods::neighbour_job(machine));
        let namespace = exporter().with([("namespace", pods::NEIGHBOUR_NAMESPACE)]);
        let labels = namespace.with([("pod", &pod)]);
        let labels_of_info = labels.with([
            ("created_by_kind", "Job"),
            ("created_by_name", &job),
            ("host_ip", &pods::machine_address(machine)),
            ("node", &pods::machine_name(machine)),
        ]);
        info.push(labels_of_info, ones.clone());
        let by_job = [("owner_is_controller", "true"), ("owner_kind", "Job"), ("owner_name", &job)];
        owned.push(labels.with(by_job), ones.clone());
        let by_schedule = [("job_name", job.as_str()), ("owner_kind", "CronJob"), ("owner_name", pods::NEIGHBOUR)];
        job_owner.push(namespace.with(by_schedule), ones);
    }
    job_owner
}

/// `kube_replicaset_owner`, at the instants at which a set has pods.
fn replica_sets(watched: &[Watched<'_>]) -> Family {
    let mut family =
        Family::new(FamilyKind::Gauge, "kube_replicaset_owner", "Information about the ReplicaSet's owner.");
    let mut sets: BTreeMap<&str, (&Watched<'_>, BTreeSet<i64>)> = BTreeMap::new();
    for seen in watched {
        // The name of the set lives as long as its pod's.
        let owner = seen.pod.owner();
        if owner.kind == "ReplicaSet" {
            let (_, ticks) = sets.entry(owner.name).or_insert_with(|| (seen, BTreeSet::new()));
            ticks.extend(seen.ticks.iter().map(|tick| tick.0));
        }
    }
    for (set, (seen, ticks)) in sets {
        let mut labels = seen.labels.with([
            ("owner_is_controller", "true"),
            ("owner_kind", "Deployment"),
            ("owner_name", &seen.pod.service.name),
            ("replicaset", set),
        ]);
        labels.0.retain(|(name, _)| *name != "pod");
        family.push(labels, ticks.into_iter().map(|at_ns| (at_ns, 1.0)).collect());
    }
    family
}

fn images(watched: &[Watched<'_>]) -> Family {
    let help = "Information about a container in a pod.";
    let mut family = Family::new(FamilyKind::Gauge, "kube_pod_container_info", help);
    for seen in watched {
        let image = seen.pod.image();
        family.push(seen.of_container.with([("image", &image), ("image_spec", &image)]), seen.ones());
    }
    family
}

fn ready(watched: &[Watched<'_>]) -> Family {
    let help = "Describes whether the pod is ready to serve requests.";
    let mut family = Family::new(FamilyKind::Gauge, "kube_pod_status_ready", help);
    for seen in watched {
        let as_number = |yes: bool| if yes { 1.0 } else { 0.0 };
        family.push(seen.labels.with([("condition", "false")]), seen.read(|sample| as_number(!sample.ready)));
        family.push(seen.labels.with([("condition", "true")]), seen.read(|sample| as_number(sample.ready)));
        family.push(seen.labels.with([("condition", "unknown")]), seen.read(|_| 0.0));
    }
    family
}

fn restarts(watched: &[Watched<'_>]) -> Family {
    let help = "The number of container restarts per container.";
    let mut family = Family::new(FamilyKind::Counter, "kube_pod_container_status_restarts", help);
    for seen in watched {
        family.push(seen.of_container.clone(), seen.read(|sample| f64::from(sample.restarts)));
    }
    family
}

/// Why a container that was started again had ended.
fn reasons(pods: &Pods<'_>, watched: &[Watched<'_>]) -> Family {
    let help = "Describes the last reason the container was in terminated state.";
    let mut family = Family::new(FamilyKind::Gauge, "kube_pod_container_status_last_terminated_reason", help);
    for seen in watched {
        let kills = pods
            .recording
            .logs
            .iter()
            .filter(|log| log.instance == seen.pod.index && matches!(log.event, LogEvent::OutOfMemory));
        let kills: Vec<i64> = kills.map(|log| log.at_ns).collect();
        let ended = |sample: &Option<&InstanceSample>| sample.is_some_and(|sample| sample.restarts > 0);
        let (mut killed, mut failed) = (Vec::new(), Vec::new());
        for (at_ns, _) in seen.ticks.iter().filter(|(_, sample)| ended(sample)) {
            let reason = if kills.iter().any(|kill| kill <= at_ns) { &mut killed } else { &mut failed };
            reason.push((*at_ns, 1.0));
        }
        family.push(seen.of_container.with([("reason", "OOMKilled")]), killed);
        family.push(seen.of_container.with([("reason", "Error")]), failed);
    }
    family
}

fn limits(watched: &[Watched<'_>]) -> Family {
    let help = "The number of requested limit resource by a container.";
    let mut family = Family::new(FamilyKind::Gauge, "kube_pod_container_resource_limits", help);
    for seen in watched {
        let labels = seen.of_container.with([("node", &pods::machine_name(seen.pod.instance.machine))]);
        let memory = (seen.pod.service.memory_mib * MIB).round();
        family.push(labels.with([("resource", "cpu"), ("unit", "core")]), seen.read(|sample| sample.cpu_limit));
        family.push(labels.with([("resource", "memory"), ("unit", "byte")]), seen.read(|_| memory));
    }
    family
}

/// Families of deployments and of sets with a fixed identity.
fn workloads(pods: &Pods<'_>, watched: &[Watched<'_>], ticks: &[i64]) -> Vec<Family> {
    let gauge = |name, help| Family::new(FamilyKind::Gauge, name, help);
    let mut deployments = [
        gauge("kube_deployment_spec_replicas", "Number of desired pods for a deployment."),
        gauge("kube_deployment_status_replicas_available", "The number of available replicas per deployment."),
        gauge("kube_deployment_status_observed_generation", "The generation observed by the deployment controller."),
    ];
    let mut sets = [
        gauge("kube_statefulset_replicas", "Number of desired pods for a StatefulSet."),
        gauge("kube_statefulset_status_replicas_ready", "The number of ready replicas per StatefulSet."),
        gauge("kube_statefulset_status_observed_generation", "The generation observed by the StatefulSet controller."),
    ];
    for (index, service) in pods.system.services.iter().enumerate() {
        let of_service: Vec<&Watched<'_>> = watched.iter().filter(|seen| seen.pod.instance.service == index).collect();
        let Some(first) = of_service.first() else { continue };
        let is_set = first.pod.owner().kind == "StatefulSet";
        let label = if is_set { "statefulset" } else { "deployment" };
        let labels = exporter().with([("namespace", &pods.system.namespace), (label, &service.name)]);
        let available = |at_ns: i64| of_service.iter().filter(|seen| seen.is_ready_at(at_ns)).count() as f64;
        let generation = |at_ns: i64| 1.0 + changes(pods, index, i64::MIN..=at_ns).count() as f64;
        let wanted = wanted(pods, index, &of_service, ticks);
        let [replicas, ready, observed] = if is_set { &mut sets } else { &mut deployments };
        replicas.push(labels.clone(), wanted);
        ready.push(labels.clone(), ticks.iter().map(|at_ns| (*at_ns, available(*at_ns))).collect());
        observed.push(labels, ticks.iter().map(|at_ns| (*at_ns, generation(*at_ns))).collect());
    }
    deployments.into_iter().chain(sets).collect()
}

/// Changes of a workload's specification: settings lie elsewhere.
fn changes<'r>(
    pods: &Pods<'r>,
    service: ServiceIdx,
    within_ns: RangeInclusive<i64>,
) -> impl Iterator<Item = ChangeKind> + use<'r> {
    let of_service = move |change: &&ChangeRecord| change.service == service && within_ns.contains(&change.at_ns);
    let kinds = pods.recording.changes.iter().filter(of_service).map(|change| change.kind);
    kinds.filter(|kind| matches!(kind, ChangeKind::Deploy | ChangeKind::Scale))
}

/// How many pods were wanted: as many as there are, except while a deploy replaces them.
fn wanted(pods: &Pods<'_>, service: ServiceIdx, of_service: &[&Watched<'_>], ticks: &[i64]) -> Vec<(i64, f64)> {
    let there = |at_ns: i64| {
        of_service.iter().filter(|seen| seen.ticks.binary_search_by_key(&at_ns, |tick| tick.0).is_ok()).count() as f64
    };
    let mut wanted = None;
    let mut samples = Vec::with_capacity(ticks.len());
    for &at_ns in ticks {
        let scaled = changes(pods, service, at_ns - SCALING_NS..=at_ns).any(|kind| kind == ChangeKind::Scale);
        let now = wanted.filter(|_| !scaled).unwrap_or_else(|| there(at_ns));
        wanted = Some(now);
        samples.push((at_ns, now));
    }
    samples
}
