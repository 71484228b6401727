//! A noisy neighbour: a workload that no call reaches fills a machine, and the services that run there become slow.
//!
//! Such a workload is no service of the call graph, so accounting gives its doing to whoever shares the machine with it:
//! each of them is slow by itself, and none is at fault. Three observations together name it, and none of them alone: its
//! own use of a resource rose, that resource of its machine ran full, and several services there became slow by
//! themselves, more of them than elsewhere. A job that works while everybody is well, or on another machine, is left
//! alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::stats::proportion::fisher_two_sided;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};

/// Use from which on a machine's resource is full: a queue at nine tenths is nine times the wait at one half (M/M/1,
/// L. Kleinrock, Queueing Systems, volume 1, 1975, equation 3.23).
const FULL: f64 = 0.9;
/// Services that must have become slow by themselves: one alone may be at fault itself.
const LEAST_SLOWED: usize = 2;

/// What a workload may use up, as it is measured in the workload and of the machine.
const RESOURCES: &[(Signal, Signal, Option<&str>)] = &[
    (Signal::Cpu, Signal::NodeCpu, None),
    (Signal::Memory, Signal::NodeMemory, None),
    (Signal::Disk, Signal::Other, Some("node_disk_io_time_seconds_total")),
];

/// A workload that took a machine from the services that run there.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Contention {
    /// Who took it.
    pub(crate) workload: ServiceId,
    /// The machine's name or address.
    pub(crate) machine: String,
    /// Index of the finding of what the workload uses.
    pub(crate) used: usize,
    /// Index of the finding of what is used of the machine.
    pub(crate) filled: usize,
    /// All others that run on the machine.
    pub(crate) beside: BTreeSet<ServiceId>,
    /// Those of them that became slow by themselves.
    pub(crate) slowed: BTreeSet<ServiceId>,
    /// Services on the machine whose own time is known.
    pub(crate) known_here: usize,
    /// Services that became slow by themselves, of those that do not run there; their number with it.
    pub(crate) elsewhere: (usize, usize),
    /// How much the first is more than chance, in bits.
    pub(crate) bits: f64,
}

/// All contentions, by workload; at most `cap` bits each.
pub(crate) fn contentions(incident: &Incident, findings: &[Finding], cap: f64) -> BTreeMap<ServiceId, Contention> {
    let on_machine = services_by_machine(incident);
    let times = own_times(incident, findings);
    let mut found: BTreeMap<ServiceId, Contention> = BTreeMap::new();
    for (machine, services) in &on_machine {
        for (used_signal, machine_signal, name) in RESOURCES {
            let Some(filled) = filled(findings, machine, *machine_signal, *name) else { continue };
            let Some((workload, used)) = largest_rise(findings, services, *used_signal) else { continue };
            if incident.graph.kind(workload).is_some() {
                continue;
            }
            let Some(contention) = felt(&times, machine, services, (workload, used, filled), cap) else { continue };
            let known = found.entry(workload.clone()).or_insert_with(|| contention.clone());
            if contention.bits > known.bits {
                *known = contention;
            }
        }
    }
    found
}

/// Which services run on which machine: those to which its series were given.
fn services_by_machine(incident: &Incident) -> BTreeMap<&str, BTreeSet<&ServiceId>> {
    let mut on_machine: BTreeMap<&str, BTreeSet<&ServiceId>> = BTreeMap::new();
    for series in incident.series.iter().filter(|s| matches!(s.signal, Signal::NodeCpu | Signal::NodeMemory)) {
        if let Subject::Instance { service, instance } = &series.subject {
            on_machine.entry(instance).or_default().insert(service);
        }
    }
    on_machine
}

/// The finding that says that a resource of the machine ran full.
fn filled(findings: &[Finding], machine: &str, signal: Signal, name: Option<&str>) -> Option<usize> {
    findings.iter().position(|finding| {
        let here = matches!(&finding.subject, Subject::Instance { instance, .. } if instance == machine);
        let of_resource = finding.signal == signal && name.is_none_or(|name| finding.name.starts_with(name));
        here && of_resource && finding.significant && finding.change == Change::Rise && finding.incident >= FULL
    })
}

/// Who of these services began to use most more of a resource, in its own unit.
fn largest_rise<'a>(
    findings: &'a [Finding],
    services: &BTreeSet<&'a ServiceId>,
    signal: Signal,
) -> Option<(&'a ServiceId, usize)> {
    let rose = |f: &Finding| f.significant && matches!(f.change, Change::Rise | Change::Appeared);
    let of_workload = |f: &Finding| matches!(f.subject, Subject::Service(_) | Subject::Instance { .. });
    let mut largest: Option<(&ServiceId, usize, f64)> = None;
    for (index, finding) in findings.iter().enumerate() {
        let service = finding.subject.service();
        let counts = finding.signal == signal && rose(finding) && of_workload(finding) && services.contains(service);
        let rise = finding.incident - finding.baseline;
        if counts && rise > largest.map_or(0.0, |(_, _, largest)| largest) {
            largest = Some((service, index, rise));
        }
    }
    largest.map(|(service, index, _)| (service, index))
}

/// Whether each service became slow by itself: its own time, or where it calls nobody, its time as callers see it.
fn own_times<'a>(incident: &Incident, findings: &'a [Finding]) -> BTreeMap<&'a ServiceId, bool> {
    let mut times = BTreeMap::new();
    for finding in findings {
        let service = finding.subject.service();
        let own = match (&finding.subject, finding.signal) {
            (Subject::Edge { .. } | Subject::Version { .. }, _) => false,
            (_, Signal::SelfTime) => true,
            (_, Signal::Latency) => incident.graph.kind(service).is_some() && incident.graph.callees(service).is_empty(),
            _ => false,
        };
        if own {
            *times.entry(service).or_insert(false) |= finding.significant && finding.change == Change::Rise;
        }
    }
    times
}

/// What a workload's work did to those beside it; `None` where it did nothing, or no more than happened elsewhere.
fn felt(
    times: &BTreeMap<&ServiceId, bool>,
    machine: &str,
    services: &BTreeSet<&ServiceId>,
    (workload, used, filled): (&ServiceId, usize, usize),
    cap: f64,
) -> Option<Contention> {
    let known_here = times.keys().filter(|service| services.contains(*service)).count();
    let slow = || times.iter().filter(|(_, slow)| **slow).map(|(service, _)| *service);
    let slowed: BTreeSet<ServiceId> = slow().filter(|service| services.contains(service)).cloned().collect();
    let elsewhere = (slow().count() - slowed.len(), times.len() - known_here);
    let more_than_elsewhere = slowed.len() * elsewhere.1 > elsewhere.0 * known_here;
    if slowed.len() < LEAST_SLOWED || !(more_than_elsewhere || elsewhere.1 == 0) {
        return None;
    }
    let p_value =
        fisher_two_sided(slowed.len() as u64, known_here as u64, elsewhere.0 as u64, elsewhere.1 as u64);
    let beside = services.iter().filter(|service| **service != workload).map(|service| (*service).clone()).collect();
    let (workload, machine) = (workload.clone(), machine.to_owned());
    let bits = (-p_value.log2()).clamp(0.0, cap);
    Some(Contention { workload, machine, used, filled, beside, slowed, known_here, elsewhere, bits })
}
