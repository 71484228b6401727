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

/// Chance, where the machine made no difference, of so many more slow services on it: beyond this it made none.
const LARGEST_CHANCE: f64 = 0.05;

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
    /// All others that run on the machine, but for those that are known to be as quick as before.
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
    let mut found: BTreeMap<ServiceId, Contention> = BTreeMap::new();
    let on_machine = services_by_machine(incident);
    if on_machine.is_empty() {
        return found;
    }
    let times = own_times(incident, findings);
    let risen = Risen::of(findings);
    for (machine, services) in &on_machine {
        for (used_signal, machine_signal, name) in RESOURCES {
            let Some(filled) = risen.filled(machine, *machine_signal, *name) else { continue };
            let Some((workload, used)) = risen.largest(services, *used_signal) else { continue };
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

/// Findings that something rose, by what they are about: there may be as many machines as findings.
struct Risen<'a> {
    findings: &'a [Finding],
    /// Of instances, by their name.
    by_instance: BTreeMap<&'a str, Vec<usize>>,
    /// Of services and their instances.
    by_service: BTreeMap<&'a ServiceId, Vec<usize>>,
}

impl<'a> Risen<'a> {
    fn of(findings: &'a [Finding]) -> Self {
        let mut risen = Self { findings, by_instance: BTreeMap::new(), by_service: BTreeMap::new() };
        let rose = |f: &Finding| f.significant && matches!(f.change, Change::Rise | Change::Appeared);
        for (index, finding) in findings.iter().enumerate().filter(|(_, finding)| rose(finding)) {
            if let Subject::Instance { instance, .. } = &finding.subject {
                risen.by_instance.entry(instance).or_default().push(index);
            }
            if matches!(finding.subject, Subject::Service(_) | Subject::Instance { .. }) {
                risen.by_service.entry(finding.subject.service()).or_default().push(index);
            }
        }
        risen
    }

    /// The finding that says that a resource of the machine ran full.
    fn filled(&self, machine: &str, signal: Signal, name: Option<&str>) -> Option<usize> {
        self.by_instance.get(machine)?.iter().copied().find(|index| {
            let finding = &self.findings[*index];
            let of_resource = finding.signal == signal && name.is_none_or(|name| finding.name.starts_with(name));
            of_resource && finding.change == Change::Rise && finding.incident >= FULL
        })
    }

    /// Who of these services began to use most more of a resource, in its own unit.
    fn largest(&self, services: &BTreeSet<&ServiceId>, signal: Signal) -> Option<(&'a ServiceId, usize)> {
        let of_services = services.iter().filter_map(|service| self.by_service.get(service)).flatten().copied();
        let mut indices: Vec<usize> = of_services.filter(|index| self.findings[*index].signal == signal).collect();
        indices.sort_unstable();
        let mut largest: Option<(usize, f64)> = None;
        for index in indices {
            let rise = self.findings[index].incident - self.findings[index].baseline;
            if rise > largest.map_or(0.0, |(_, largest)| largest) {
                largest = Some((index, rise));
            }
        }
        largest.map(|(index, _)| (self.findings[index].subject.service(), index))
    }
}

/// Whether each service became slow by itself: its own time, or where it calls nobody, its time as callers see it.
fn own_times<'a>(incident: &Incident, findings: &'a [Finding]) -> BTreeMap<&'a ServiceId, bool> {
    let mut times = BTreeMap::new();
    for finding in findings {
        let service = finding.subject.service();
        let own = match (&finding.subject, finding.signal) {
            (Subject::Edge { .. } | Subject::Version { .. }, _) => false,
            (_, Signal::SelfTime) => true,
            (_, Signal::Latency) => {
                incident.graph.kind(service).is_some() && incident.graph.callees(service).is_empty()
            }
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
    // Twice the smaller tail, of which that of more slow services here is asked for.
    let two_sided = fisher_two_sided(slowed.len() as u64, known_here as u64, elsewhere.0 as u64, elsewhere.1 as u64);
    let p_value = if elsewhere.1 == 0 { 1.0 } else { two_sided / 2.0 };
    let more_than_elsewhere = slowed.len() * elsewhere.1 > elsewhere.0 * known_here && p_value <= LARGEST_CHANCE;
    // Where everything runs on one machine there is nothing to compare with.
    if slowed.len() < LEAST_SLOWED || !(more_than_elsewhere || elsewhere.1 == 0) {
        return None;
    }
    let may_suffer = |service: &&ServiceId| *service != workload && times.get(*service).copied().unwrap_or(true);
    let beside = services.iter().copied().filter(may_suffer).cloned().collect();
    let (workload, machine) = (workload.clone(), machine.to_owned());
    let bits = (-p_value.log2()).clamp(0.0, cap);
    Some(Contention { workload, machine, used, filled, beside, slowed, known_here, elsewhere, bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::rank::test_findings::finding;
    use crate::telemetry::calls::CallStats;

    use crate::telemetry::series::{Series, Statistic, Unit};
    use crate::telemetry::time::{Grid, NANOS_PER_SECOND, Window};
    use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};

    const STEP: i64 = 60 * NANOS_PER_SECOND;
    const HERE: [&str; 3] = ["a", "b", "c"];
    const ELSEWHERE: [&str; 5] = ["d", "e", "f", "g", "h"];

    /// Eight services of which `a`, `b`, `c` run on machine `m`, and beside them a `job`; `also` is called too.
    fn incident(also: Option<&str>) -> Incident {
        let edge = |callee: &str| GivenEdge {
            caller: "d".into(),
            callee: callee.into(),
            callee_kind: NodeKind::Service,
            mode: EdgeMode::Sync,
        };
        let series = |service: &str| Series {
            subject: on("m", service),
            signal: Signal::NodeCpu,
            statistic: Statistic::Mean,
            unit: Unit::Ratio,
            name: "node_cpu_seconds_total".to_owned(),
            samples: vec![(STEP, 0.2)],
        };
        Incident::new(IncidentParts {
            name: "test".to_owned(),
            series: HERE.iter().chain(&["job"]).map(|service| series(service)).collect(),
            given_edges: HERE.iter().chain(&ELSEWHERE[1..]).copied().chain(also).map(edge).collect(),
            ..IncidentParts::new(
                Window::new(20 * STEP, 25 * STEP).expect("not empty"),
                vec![Window::new(0, 20 * STEP).expect("not empty")],
                CallStats::empty(Grid::new(STEP)),
            )
        })
        .expect("a sound incident")
    }

    fn on(instance: &str, service: &str) -> Subject {
        Subject::Instance { service: service.into(), instance: instance.to_owned() }
    }

    /// The job takes 8 cores, the machine is used to `full`, and of all services the own time of these rises.
    fn findings(full: f64, slow: &[&str]) -> Vec<Finding> {
        let own_time = |service: &&str| Finding {
            signal: Signal::SelfTime,
            significant: slow.contains(service),
            ..finding(service, 9.0, None)
        };
        let used = Finding {
            subject: on("job-x", "job"),
            signal: Signal::Cpu,
            change: Change::Appeared,
            baseline: 0.0,
            incident: 8.0,
            ..finding("job", 9.0, None)
        };
        let machine = Finding {
            subject: on("m", "a"),
            signal: Signal::NodeCpu,
            baseline: 0.2,
            incident: full,
            ..finding("a", 9.0, None)
        };
        HERE.iter().chain(&ELSEWHERE).map(own_time).chain([used, machine]).collect()
    }

    fn found(findings: &[Finding]) -> BTreeMap<ServiceId, Contention> {
        contentions(&incident(None), findings, 8.0)
    }

    #[test]
    fn a_job_that_fills_the_machine_of_slow_services_is_named() {
        let found = found(&findings(0.99, &HERE));
        let contention = found.get(&ServiceId::new("job")).expect("it is named");
        assert_eq!((contention.machine.as_str(), contention.slowed.len(), contention.elsewhere), ("m", 3, (0, 5)));
        // scipy.stats.fisher_exact([[3, 0], [0, 5]], alternative="greater").pvalue = 0.017857142857142856
        assert!((contention.bits + 0.017857142857142856_f64.log2()).abs() < 1e-9);
    }

    #[test]
    fn a_job_that_harms_nobody_is_left_alone() {
        assert!(found(&findings(0.99, &[])).is_empty(), "nobody is slow");
        assert!(found(&findings(0.5, &HERE)).is_empty(), "the machine has room");
        assert!(found(&findings(0.99, &["a"])).is_empty(), "one alone may be at fault itself");
        assert!(
            found(&findings(0.99, &["a", "b", "c", "d", "e", "f", "g", "h"])).is_empty(),
            "all are slow everywhere"
        );
        assert!(found(&findings(0.99, &ELSEWHERE)).is_empty(), "the slow ones run elsewhere");
    }

    #[test]
    fn who_is_called_answers_for_itself() {
        assert!(contentions(&incident(Some("job")), &findings(0.99, &HERE), 8.0).is_empty());
    }
}
