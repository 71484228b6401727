//! Pods and machines as Kubernetes names them: what all exporters agree on.

use super::Labels;
use crate::simulate::recording::{Instance, InstanceIdx, InstanceSample, NeighbourSample, Recording};
use crate::simulate::system::{Role, Service, System, Visibility};

/// All pods of a run.
pub(super) struct Pods<'r> {
    pub(super) system: &'r System,
    pub(super) recording: &'r Recording,
    /// Readings by instance, then time.
    samples: Vec<Vec<&'r InstanceSample>>,
}

/// Container of a machine's foreign pod, and the job that runs it.
pub(crate) const NEIGHBOUR: &str = "report-batch";
/// Its namespace.
pub(crate) const NEIGHBOUR_NAMESPACE: &str = "reports";

/// A pod with everything that exporters tell of it.
pub(super) struct Pod<'r> {
    pub(super) index: InstanceIdx,
    pub(super) instance: &'r Instance,
    pub(super) service: &'r Service,
}

/// What owns a pod.
pub(super) struct Owner<'p> {
    /// `ReplicaSet` or `StatefulSet`.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: &'p str,
}

impl<'r> Pods<'r> {
    pub(super) fn new(system: &'r System, recording: &'r Recording) -> Self {
        let mut samples: Vec<Vec<&InstanceSample>> = vec![Vec::new(); recording.instances.len()];
        for sample in &recording.instance_samples {
            if let Some(samples) = samples.get_mut(sample.instance as usize) {
                samples.push(sample);
            }
        }
        Self { system, recording, samples }
    }

    /// Everything that was read of an instance, stored or not.
    pub(super) fn samples(&self, instance: InstanceIdx) -> &[&'r InstanceSample] {
        self.samples.get(instance as usize).map_or(&[], Vec::as_slice)
    }

    /// Pods inside the cluster, in order of their start.
    pub(super) fn iter(&self) -> impl Iterator<Item = Pod<'r>> + use<'r> {
        let system = self.system;
        (0..).zip(&self.recording.instances).filter_map(|(index, instance)| {
            let service = system.services.get(instance.service)?;
            let inside = service.role != Role::External && service.visibility != Visibility::Nothing;
            inside.then_some(Pod { index, instance, service })
        })
    }

    /// Labels by which application metrics of a pod are found: as a ServiceMonitor sets them.
    pub(super) fn process_labels(&self, pod: &Pod<'_>) -> Labels {
        let instance = format!("{}:8080", pod.address());
        let (container, namespace) = (pod.service.name.as_str(), self.system.namespace.as_str());
        let pod = pod.instance.pod.as_str();
        Labels::of([
            ("container", container),
            ("instance", &instance),
            ("job", container),
            ("namespace", namespace),
            ("pod", pod),
        ])
    }

    /// Machines with a foreign pod: its readings by time.
    pub(super) fn neighbours(&self) -> Vec<(u32, Vec<&'r NeighbourSample>)> {
        let mut machines: Vec<(u32, Vec<&NeighbourSample>)> = Vec::new();
        for sample in &self.recording.neighbour_samples {
            match machines.iter_mut().find(|(machine, _)| *machine == sample.machine) {
                Some((_, samples)) => samples.push(sample),
                None => machines.push((sample.machine, vec![sample])),
            }
        }
        machines.sort_by_key(|(machine, _)| *machine);
        machines
    }
}

impl Pod<'_> {
    /// Its address in the cluster's network.
    pub(super) fn address(&self) -> String {
        format!("10.244.{}.{}", self.index / 250, self.index % 250 + 2)
    }

    /// What owns it: pods of a set with a fixed identity are numbered, those of a deployment have random ends.
    pub(super) fn owner(&self) -> Owner<'_> {
        let pod = self.instance.pod.as_str();
        let (set, end) = pod.rsplit_once('-').unwrap_or((pod, ""));
        let is_number = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
        Owner { kind: if is_number && set == self.service.name { "StatefulSet" } else { "ReplicaSet" }, name: set }
    }

    /// The image that it runs.
    pub(super) fn image(&self) -> String {
        format!("registry.example/{}:{}", self.service.name, self.instance.version)
    }
}

/// Name of a machine in the cluster.
pub(super) fn machine_name(machine: u32) -> String {
    format!("node-{machine}")
}

/// Its address.
pub(super) fn machine_address(machine: u32) -> String {
    format!("10.0.{}.{}", machine / 250, machine % 250 + 10)
}

/// The foreign pod of a machine.
pub(super) fn neighbour_pod(machine: u32) -> String {
    const LETTERS: &[u8; 16] = b"bcdfghjklmnpqrst";
    let end = [16, 12, 8, 4, 0].map(|shift| char::from(LETTERS[(machine.wrapping_mul(40_503) >> shift) as usize % 16]));
    format!("{}-{}", neighbour_job(machine), String::from_iter(end))
}

/// The run of the job that the foreign pod of a machine belongs to: jobs of a schedule are numbered by their minute.
pub(super) fn neighbour_job(machine: u32) -> String {
    format!("{NEIGHBOUR}-{}", 29_480_220 + machine)
}
