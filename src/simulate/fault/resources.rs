//! Faults of what a service runs on: processors, memory, disks, machines.

use super::Severity;
use super::scene::{Made, SECOND_NS, Scene, told};
use super::traffic::{Need, own_us};
use crate::simulate::metrics::NEIGHBOUR;
use crate::simulate::plan::{Effect, Knob, Target, Which};
use crate::simulate::system::{Role, Runtime, ServiceIdx};
use crate::simulate::write::node_name;

/// Least CPU time of a visit for which a shortage of CPU is a likely story, µs.
const WORTH_CPU_US: f64 = 500.0;

/// Seconds between two kills. A container is away for about 15 s, and longer each time that it is killed again soon.
pub(super) const KILLS_S: [(f64, f64); 4] = [(200.0, 300.0), (220.0, 280.0), (90.0, 120.0), (12.0, 16.0)];
/// Times that the free memory leaks away until the end.
pub(super) const LEAKS: [(f64, f64); 4] = [(0.55, 0.8), (1.6, 2.2), (4.0, 6.0), (12.0, 20.0)];

pub(super) fn cpu_hog(scene: &mut Scene<'_>) -> Option<Made> {
    let (service, slower) = slowed_cpu(scene)?;
    let has = &scene.traffic.system.services[service];
    // Shared among what runs, a visit takes (demand + hog) / limit times as long.
    let hog = (slower * has.cores - scene.traffic.cores_in_use(service)).max(0.5 * has.cores);
    let which = scene.some_instances(service);
    Some(Made {
        causes: vec![service],
        description: format!("a process beside {} burns {hog:.1} cores of its {}", told(&which, &has.name), has.cores),
        effects: vec![scene.effect(Target::Instances(service, which), Knob::Hog(hog))],
        ..Made::default()
    })
}

pub(super) fn cpu_throttling(scene: &mut Scene<'_>) -> Option<Made> {
    let (service, slower) = slowed_cpu(scene)?;
    let has = &scene.traffic.system.services[service];
    // A request alone asks for its CPU share of a core and takes share / limit times as long; below the mean demand of
    // all the queue grows without end.
    let (cpu_us, wait_us) = scene.traffic.own_us(service);
    let share = cpu_us / (cpu_us + wait_us);
    let demand = scene.traffic.cores_in_use(service);
    let least = match scene.severity {
        Severity::Subtle | Severity::Middle => demand / 0.85,
        Severity::Severe => demand / 1.1,
        Severity::Total => 0.0,
    };
    let limit = (has.cores.min(share) / slower).max(least).clamp(0.005, 0.95 * has.cores);
    let target = Target::Instances(service, Which::All);
    let description = format!("the CPU limit of {} went from {} to {limit:.3} cores", has.name, has.cores);
    Some(Made {
        causes: vec![service],
        effects: scene.stepped(&target, |grown| Knob::CpuLimit(has.cores + grown * (limit - has.cores))),
        changes: vec![scene.setting(service, description.clone())],
        description,
        ..Made::default()
    })
}

/// A service that burns CPU for its requests, and how many times as long the CPU part has to take.
fn slowed_cpu(scene: &mut Scene<'_>) -> Option<(ServiceIdx, f64)> {
    let traffic = scene.traffic;
    let burns = |service: ServiceIdx| traffic.is_code(service) && traffic.own_us(service).0 > 0.0;
    let worth = |service: ServiceIdx| burns(service) && traffic.own_us(service).0 >= WORTH_CPU_US;
    let place = scene.place(Need::Required, &[&worth, &burns])?;
    Some((place.service, 1.0 + scene.added_us(&place) / traffic.own_us(place.service).0))
}

pub(super) fn memory_leak(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let runs_on = |service: ServiceIdx, fits: &dyn Fn(Runtime) -> bool| {
        traffic.is_code(service) && fits(traffic.system.services[service].runtime)
    };
    let jvm = |service: ServiceIdx| runs_on(service, &|runtime| runtime == Runtime::Jvm);
    let collected = |service: ServiceIdx| runs_on(service, &|runtime| runtime != Runtime::Native);
    let service = scene.place(Need::Required, &[&jvm, &collected, &|service| traffic.is_code(service)])?.service;
    let has = &traffic.system.services[service];
    // While the leak itself grows, half of it is missing.
    let leaking_s = ((scene.until_ns - scene.from_ns) - scene.ramp_ns / 2) as f64 / SECOND_NS as f64;
    let leak = scene.size * (has.memory_mib - has.idle_memory_mib).max(1.0) / leaking_s;
    let which = scene.some_instances(service);
    Some(Made {
        causes: vec![service],
        description: format!("{} leaks {leak:.2} MiB of memory per second", told(&which, &has.name)),
        effects: vec![scene.effect(Target::Instances(service, which), Knob::Leak(leak))],
        ..Made::default()
    })
}

pub(super) fn out_of_memory(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let service = scene.place(Need::Required, &[&|service| traffic.is_code(service)])?.service;
    let has = &traffic.system.services[service];
    let which = if scene.severity == Severity::Subtle && has.instances > 1 {
        Which::Nth(scene.random.below(has.instances as usize) as u32)
    } else {
        Which::All
    };
    let mut effects = Vec::new();
    let mut at_ns = scene.from_ns;
    while at_ns < scene.until_ns {
        effects.push(Effect {
            target: Target::Instances(service, which.clone()),
            knob: Knob::Allocate(1.1 * has.memory_mib),
            from_ns: at_ns,
            until_ns: (at_ns + 2 * SECOND_NS).min(scene.until_ns),
            ramp_ns: 0,
        });
        let growing = at_ns - scene.from_ns < scene.ramp_ns;
        let pause_s = scene.size * scene.random.between(0.9, 1.1) * if growing { 2.0 } else { 1.0 };
        at_ns += (pause_s * 1e9) as i64;
    }
    Some(Made {
        causes: vec![service],
        description: format!(
            "{} takes more memory than its {} MiB every {:.0} s and is killed",
            told(&which, &has.name),
            has.memory_mib,
            scene.size
        ),
        effects,
        ..Made::default()
    })
}

pub(super) fn disk_saturation(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let waits = |service: ServiceIdx| traffic.own_us(service).1 > 0.0;
    let database =
        |service: ServiceIdx| matches!(traffic.system.services[service].role, Role::Database(_)) && waits(service);
    let code = |service: ServiceIdx| traffic.is_code(service) && waits(service);
    let place = scene.place(Need::Required, &[&database, &code])?;
    let wait_us = traffic.own_us(place.service).1;
    let share = (scene.added_us(&place) / (wait_us + scene.added_us(&place))).min(0.9995);
    Some(Made {
        causes: vec![place.service],
        description: format!(
            "something else takes {:.1} % of the disk of {}",
            100.0 * share,
            scene.name(place.service)
        ),
        effects: vec![scene.effect(Target::Instances(place.service, Which::All), Knob::Disk(share))],
        ..Made::default()
    })
}

pub(super) fn noisy_neighbour(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let system = traffic.system;
    let on = |machine: u32| -> Vec<ServiceIdx> {
        let runs = |service: usize| {
            let nth = 0..system.services[service].instances;
            nth.into_iter().any(|nth| system.machine_of(service, nth) == machine)
        };
        let inside = |service: &usize| system.services[*service].role != Role::External;
        let carries = |service: &usize| traffic.service_rate_per_s(*service) > 0.0;
        (0..system.services.len()).filter(inside).filter(carries).filter(|&service| runs(service)).collect()
    };
    // The machine where fewest services are hit, one of them at least on an entry's way: the answer is to mean something.
    let met = |service: &ServiceIdx| {
        traffic.own_us(*service).0 > 0.0
            && (0..system.entries.len()).any(|entry| traffic.visits_of(Need::Required, entry, *service) >= 0.3)
    };
    let machines: Vec<(u32, Vec<ServiceIdx>)> = (0..system.machines.max(1))
        .map(|machine| (machine, on(machine)))
        .filter(|(_, hit)| hit.iter().any(met) && hit.iter().all(|&service| scene.allowed[service]))
        .collect();
    let (machine, hit) = machines.into_iter().min_by_key(|(machine, hit)| (hit.len(), *machine))?;
    let entry = (0..system.entries.len()).max_by(|&a, &b| {
        let weight = |entry: usize| -> f64 {
            hit.iter().map(|&service| traffic.visits_of(Need::Required, entry, service).min(1.0)).sum()
        };
        (weight(a) * traffic.share_of(a)).total_cmp(&(weight(b) * traffic.share_of(b))).then(b.cmp(&a))
    })?;
    // What twice the CPU time on this machine adds to a request that meets only its pods.
    let doubled = traffic.responses_us(
        &|operation| {
            if hit.contains(&system.operations[operation].service) { own_us(system, operation).0 } else { 0.0 }
        },
        &|_| 0.0,
    );
    let operation = system.entries[entry].operation;
    let added_us = (doubled[operation] - traffic.response_us[operation]).max(1.0);
    let slower = if scene.severity == Severity::Subtle {
        1.0 + scene.size
    } else {
        1.0 + scene.size * scene.objective_us(entry) / added_us
    };
    let used: f64 = hit.iter().map(|&service| traffic.cores_in_use(service)).sum();
    let cores = (slower * system.machine_cores - used).max(0.5 * system.machine_cores);
    let names: Vec<&str> = hit.iter().map(|&service| scene.name(service)).collect();
    Some(Made {
        description: format!(
            "a pod of no service asks for {cores:.0} cores of machine {machine} ({} cores), on which {} run",
            system.machine_cores,
            names.join(", ")
        ),
        effects: vec![scene.effect(Target::Machine(machine), Knob::Neighbour(cores))],
        causes: hit,
        outside: vec![NEIGHBOUR.to_owned(), node_name(machine)],
        ..Made::default()
    })
}
