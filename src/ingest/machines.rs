//! Metrics of machines (node exporter), given to the services whose pods or processes run there.
//!
//! A machine is known by its name and by the address that is scraped. Which services run on it is told by
//! `kube_pod_info` (the pod's `node` and `host_ip`), by cAdvisor's series (`node`, or the kubelet's address in
//! `instance`), and without Kubernetes by the host in a service's own `instance`. Utilisation follows the rules of the
//! node exporter's own mixin: `idle`, `iowait` and `steal` are not work; memory that is available is not in use.
//! A machine gives one series for each service on it, so the cost grows with the number of pods and no faster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Telemetry;
use super::hosts;
use super::naming::Naming;
use super::rates::{self, Interval};
use super::signals::RawSeries;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};

/// Labels that name the machine of a series.
const MACHINE_LABELS: &[&str] = &["node", "nodename", "kubernetes_node", "k8s_node_name", "kubernetes_io_hostname"];

/// Modes of a processor that are not work.
const NO_WORK: &[&str] = &["idle", "iowait", "steal"];

/// Fall of a processor's time, in seconds, beyond which it began again from zero: the node exporter's own limit.
const LARGEST_JUMP_BACK_S: f64 = 3.0;

/// Machines, and services on them, while series are looked at.
#[derive(Default)]
pub(super) struct Machines<'r> {
    machines: BTreeMap<String, Machine<'r>>,
    /// Name of the machine by the address that is scraped (`node_uname_info`).
    names: BTreeMap<String, String>,
    series: Vec<(&'static str, &'r RawSeries)>,
    /// Services by a machine's name or address.
    services: BTreeMap<String, BTreeSet<ServiceId>>,
}

#[derive(Default)]
struct Machine<'r> {
    /// Name and addresses.
    known_as: BTreeSet<String>,
    series: BTreeMap<&'static str, Vec<&'r RawSeries>>,
}

fn host_of(raw: &RawSeries) -> Option<&str> {
    let instance = raw.label("instance").or_else(|| raw.label("exported_instance"))?;
    Some(hosts::without_port(instance)).filter(|host| !host.is_empty())
}

fn named_machine(raw: &RawSeries) -> Option<&str> {
    MACHINE_LABELS.iter().find_map(|label| raw.label(label).filter(|name| !name.is_empty()))
}

impl<'r> Machines<'r> {
    /// Takes note of which name a scraped address has.
    pub(super) fn name(&mut self, raw: &RawSeries) {
        if let (Some(host), Some(name)) = (host_of(raw), named_machine(raw)) {
            self.names.insert(host.to_owned(), name.to_owned());
        }
    }

    /// Takes a machine's series; `name` is the table's.
    pub(super) fn take(&mut self, name: &'static str, raw: &'r RawSeries) {
        self.series.push((name, raw));
    }

    /// Takes note that a service runs where one of its series was measured.
    pub(super) fn runs(&mut self, service: &ServiceId, raw: &RawSeries) {
        for place in named_machine(raw).into_iter().chain(host_of(raw)) {
            match self.services.get_mut(place) {
                Some(services) if services.contains(service) => {}
                Some(services) => {
                    services.insert(service.clone());
                }
                None => {
                    self.services.insert(place.to_owned(), BTreeSet::from([service.clone()]));
                }
            }
        }
    }

    /// The series of all machines, each for every service on it; what runs nothing that is known is told.
    pub(super) fn finish(mut self, naming: &Naming<'_>, telemetry: &mut Telemetry) {
        for (namespace, name, pod) in naming.ties.pods().filter(|(_, _, pod)| !pod.machine.is_empty()) {
            let service = naming.of_pod(namespace, name, pod);
            for place in &pod.machine {
                self.services.entry(place.clone()).or_default().insert(service.clone());
            }
        }
        for (name, raw) in std::mem::take(&mut self.series) {
            let host = host_of(raw);
            let named = named_machine(raw).or_else(|| self.names.get(host?).map(String::as_str));
            let Some(key) = named.or(host) else {
                let message =
                    "a machine's series without `instance` or `node` is not used: nothing tells which machine";
                telemetry.warn(Path::new(&*raw.source), format!("series `{}`", raw.name), message, 1);
                continue;
            };
            let machine = self.machines.entry(key.to_owned()).or_default();
            machine.known_as.extend(named.into_iter().chain(host).map(str::to_owned));
            machine.series.entry(name).or_default().push(raw);
        }
        for (name, machine) in &self.machines {
            let services: BTreeSet<&ServiceId> =
                machine.known_as.iter().filter_map(|known| self.services.get(known)).flatten().collect();
            if services.is_empty() {
                let Some(raw) = machine.series.values().flatten().next() else { continue };
                let count = machine.series.values().map(|all| all.len() as u64).sum();
                telemetry.warn(Path::new(&*raw.source), format!("series `{}`", raw.name), NOBODY, count);
                continue;
            }
            let found = machine.utilisations();
            for service in services {
                let subject = Subject::Instance { service: service.clone(), instance: name.clone() };
                telemetry.series.extend(found.iter().map(|(signal, name, samples)| Series {
                    subject: subject.clone(),
                    signal: *signal,
                    statistic: Statistic::Mean,
                    unit: Unit::Ratio,
                    name: (*name).to_owned(),
                    samples: samples.clone(),
                }));
            }
        }
    }
}

const NOBODY: &str = "a machine's series are not used where nothing tells which services run on it; add `kube_pod_info` \
                      of kube-state-metrics, or cAdvisor's series with `node` or `instance`";

type Samples = Vec<(i64, f64)>;

impl Machine<'_> {
    fn all(&self, name: &str) -> &[&RawSeries] {
        self.series.get(name).map_or(&[], Vec::as_slice)
    }

    /// What the machine's series say, each as a share of what there is.
    fn utilisations(&self) -> Vec<(Signal, &'static str, Samples)> {
        let gauge = |name: &str| average(&intervals_of(self.all(name), rates::gauge_intervals));
        let mut found = vec![
            (Signal::NodeCpu, "node_cpu_seconds_total", self.processor()),
            (Signal::NodeMemory, "node_memory_MemAvailable_bytes", self.memory()),
            (Signal::Other, "node_disk_io_time_seconds_total", self.busiest_disk()),
            (Signal::NodeCpu, "instance:node_cpu_utilisation:rate5m", gauge("instance:node_cpu_utilisation:rate5m")),
            (
                Signal::NodeMemory,
                "instance:node_memory_utilisation:ratio",
                gauge("instance:node_memory_utilisation:ratio"),
            ),
        ];
        found.retain(|(_, _, samples)| !samples.is_empty());
        found
    }

    /// Share of processor time that was work.
    fn processor(&self) -> Samples {
        let all = self.all("node_cpu_seconds_total");
        let is_work = |raw: &&RawSeries| !raw.label("mode").is_some_and(|mode| NO_WORK.contains(&mode));
        let idle: Vec<&RawSeries> = all.iter().copied().filter(|raw| !is_work(raw)).collect();
        let idle = intervals_of(&idle, idle_rates);
        let times = rates::common_times(&idle);
        let idle = rates::sum_at(&times, &idle);
        let wholes = if all.iter().any(is_work) {
            rates::sum_at(&times, &intervals_of(all, idle_rates))
        } else {
            // Only the idle modes were kept: a processor has one second a second.
            let processors: BTreeSet<Option<&str>> = all.iter().map(|raw| raw.label("cpu")).collect();
            vec![Some(processors.len() as f64); times.len()]
        };
        let share = |(at, (idle, whole)): (i64, (Option<f64>, Option<f64>))| {
            let whole = whole.filter(|whole| *whole > 0.0)?;
            Some((at, (1.0 - idle? / whole).clamp(0.0, 1.0)))
        };
        times.into_iter().zip(idle.into_iter().zip(wholes)).filter_map(share).collect()
    }

    /// Share of memory that is not available.
    fn memory(&self) -> Samples {
        let available = intervals_of(self.all("node_memory_MemAvailable_bytes"), rates::gauge_intervals);
        let total = intervals_of(self.all("node_memory_MemTotal_bytes"), rates::gauge_intervals);
        let times = rates::common_times(&available);
        let (available, total) = (rates::sum_at(&times, &available), rates::sum_at(&times, &total));
        let share = |(at, (available, total)): (i64, (Option<f64>, Option<f64>))| {
            let total = total.filter(|total| *total > 0.0)?;
            Some((at, (1.0 - available? / total).clamp(0.0, 1.0)))
        };
        times.into_iter().zip(available.into_iter().zip(total)).filter_map(share).collect()
    }

    /// Share of time in which the busiest disk was at work.
    fn busiest_disk(&self) -> Samples {
        let disks = intervals_of(self.all("node_disk_io_time_seconds_total"), rates::counter_rates);
        let times = rates::common_times(&disks);
        let mut busiest: Vec<Option<f64>> = vec![None; times.len()];
        for disk in disks {
            for (most, value) in busiest.iter_mut().zip(rates::sum_at(&times, &[disk])) {
                *most = match (*most, value) {
                    (Some(most), Some(value)) => Some(most.max(value)),
                    (most, value) => most.or(value),
                };
            }
        }
        times.into_iter().zip(busiest).filter_map(|(at, value)| Some((at, value?.clamp(0.0, 1.0)))).collect()
    }
}

/// Rates of processor time. A small fall is no restart: the kernel's count of idle time goes back a little on a busy
/// machine (node exporter, `cpu_linux.go`, `jumpBackSeconds`), and as a restart it would make the machine look idle.
fn idle_rates(samples: &[(i64, f64)]) -> Vec<Interval> {
    let (mut fallen, mut previous) = (0.0, f64::NEG_INFINITY);
    let mut risen = Vec::with_capacity(samples.len());
    for &(at, value) in samples {
        let fall = previous - value;
        if fall > LARGEST_JUMP_BACK_S {
            fallen = 0.0;
        } else if fall > 0.0 {
            fallen += fall;
        }
        previous = value;
        risen.push((at, value + fallen));
    }
    rates::counter_rates(&risen)
}

fn intervals_of(all: &[&RawSeries], intervals: fn(&[(i64, f64)]) -> Vec<Interval>) -> Vec<Vec<Interval>> {
    all.iter().map(|raw| intervals(&raw.samples)).collect()
}

/// Mean over several series of one machine.
fn average(all: &[Vec<Interval>]) -> Samples {
    let times = rates::common_times(all);
    let sums = rates::sum_at(&times, all);
    let count = all.len() as f64;
    times.into_iter().zip(sums).filter_map(|(at, sum)| Some((at, sum? / count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Rates of a counter that is read every ten seconds.
    fn rates_of(values: &[f64]) -> Vec<f64> {
        let samples: Vec<(i64, f64)> = (0..).zip(values).map(|(at, value)| (at * 10 * SECOND, *value)).collect();
        idle_rates(&samples).iter().map(|interval| interval.value).collect()
    }

    #[test]
    fn idle_time_that_goes_back_a_little_stands_still() {
        // By hand: 8 s of 10 idle, then none, with falls of 0.2 s as they were recorded on busy machines.
        assert!(rates_of(&[100.0, 108.0, 107.8, 107.6]).iter().zip([0.8, 0.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn a_large_fall_of_idle_time_is_a_restart() {
        // What Prometheus' `rate` makes of it: the counter rose from 0 to 5.
        assert!(rates_of(&[100.0, 108.0, 5.0, 12.0]).iter().zip([0.8, 0.5, 0.7]).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}
