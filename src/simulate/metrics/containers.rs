//! What cAdvisor tells of each container.

use super::pods::{self, Pods};
use super::scrapes::{Scrapes, scraped_at};
use super::{Family, FamilyKind, Labels};
use crate::simulate::recording::InstanceSample;

/// Length of a period of the CPU quota, µs: Kubernetes' default.
const QUOTA_PERIOD_US: f64 = 100_000.0;
const MIB: f64 = 1_048_576.0;

/// Labels that tell what of a container a family is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The container.
    Container,
    /// Its disk.
    Disk,
    /// The network, which all containers of a pod share: cAdvisor counts it for the pod.
    Network,
}

struct Reading {
    kind: FamilyKind,
    name: &'static str,
    help: &'static str,
    scope: Scope,
    value: fn(&InstanceSample) -> f64,
}

const fn reading(
    kind: FamilyKind,
    name: &'static str,
    help: &'static str,
    scope: Scope,
    value: fn(&InstanceSample) -> f64,
) -> Reading {
    Reading { kind, name, help, scope, value }
}

const CPU: Reading = reading(
    FamilyKind::Counter,
    "container_cpu_usage_seconds",
    "Cumulative cpu time consumed in seconds.",
    Scope::Container,
    |sample| sample.cpu_us as f64 / 1e6,
);

const READINGS: [Reading; 10] = [
    CPU,
    reading(
        FamilyKind::Counter,
        "container_cpu_cfs_periods",
        "Number of elapsed enforcement period intervals.",
        Scope::Container,
        |sample| sample.cpu_periods as f64,
    ),
    reading(
        FamilyKind::Counter,
        "container_cpu_cfs_throttled_periods",
        "Number of throttled period intervals.",
        Scope::Container,
        |sample| sample.cpu_throttled_periods as f64,
    ),
    reading(
        FamilyKind::Gauge,
        "container_memory_working_set_bytes",
        "Current working set in bytes.",
        Scope::Container,
        |sample| sample.memory_bytes as f64,
    ),
    reading(FamilyKind::Gauge, "container_spec_cpu_quota", "CPU quota of the container.", Scope::Container, |sample| {
        (sample.cpu_limit * QUOTA_PERIOD_US).round()
    }),
    reading(FamilyKind::Gauge, "container_spec_cpu_period", "CPU period of the container.", Scope::Container, |_| {
        QUOTA_PERIOD_US
    }),
    reading(
        FamilyKind::Counter,
        "container_network_receive_bytes",
        "Cumulative count of bytes received",
        Scope::Network,
        |sample| sample.received_bytes as f64,
    ),
    reading(
        FamilyKind::Counter,
        "container_network_transmit_bytes",
        "Cumulative count of bytes transmitted",
        Scope::Network,
        |sample| sample.sent_bytes as f64,
    ),
    reading(
        FamilyKind::Counter,
        "container_fs_writes_bytes",
        "Cumulative count of bytes written",
        Scope::Disk,
        |sample| sample.written_bytes as f64,
    ),
    reading(
        FamilyKind::Counter,
        "container_fs_io_time_seconds",
        "Cumulative count of seconds spent doing I/Os",
        Scope::Disk,
        |sample| sample.disk_us as f64 / 1e6,
    ),
];

/// The families, of all pods and of machines' foreign ones.
pub(super) fn families(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Vec<Family> {
    let namespace = pods.system.namespace.as_str();
    let mut families: Vec<Family> = READINGS.iter().map(|r| Family::new(r.kind, r.name, r.help)).collect();
    let mut memory_limit =
        Family::new(FamilyKind::Gauge, "container_spec_memory_limit_bytes", "Memory limit for the container.");
    for pod in pods.iter() {
        let readings = scrapes.of_instance(pod.index);
        let of_pod = labels(pod.instance.machine, namespace, &pod.instance.pod);
        let of_container = of_pod.with([("container", &pod.service.name)]);
        for (family, reading) in families.iter_mut().zip(&READINGS) {
            let labels = match reading.scope {
                Scope::Container => of_container.clone(),
                Scope::Disk => of_container.with([("device", "/dev/sda")]),
                Scope::Network => of_pod.with([("interface", "eth0")]),
            };
            family.push(labels, readings.iter().map(|s| (scraped_at(s.at_ns), (reading.value)(s))).collect());
        }
        let limit = (pod.service.memory_mib * MIB).round();
        memory_limit.push(of_container, readings.iter().map(|s| (scraped_at(s.at_ns), limit)).collect());
    }
    for (machine, samples) in pods.neighbours() {
        let pod = pods::neighbour_pod(machine);
        let mut loss = scrapes.loss(&pod, None);
        let of_container = labels(machine, pods::NEIGHBOUR_NAMESPACE, &pod).with([("container", pods::NEIGHBOUR)]);
        let stored = samples.iter().filter(|sample| loss.keeps(sample.at_ns));
        let samples = stored.map(|sample| (scraped_at(sample.at_ns), sample.cpu_us as f64 / 1e6)).collect();
        if let Some(cpu) = families.iter_mut().find(|family| family.name == CPU.name) {
            cpu.push(of_container, samples);
        }
    }
    families.push(memory_limit);
    families
}

fn labels(machine: u32, namespace: &str, pod: &str) -> Labels {
    let instance = format!("{}:10250", pods::machine_address(machine));
    let node = pods::machine_name(machine);
    Labels::of([("instance", &instance), ("job", "kubelet"), ("namespace", namespace), ("node", &node), ("pod", pod)])
}
