//! Faults of what a service leans on: databases, locks, pools, caches, the outside, consumers.

use super::Severity;
use super::scene::{Made, Scene};
use super::traffic::Need;
use crate::simulate::plan::{Effect, Knob, Target, Which};
use crate::simulate::system::{OperationIdx, Role, ServiceIdx, Step};

/// Calls that need a connection for each that there is. From severe up they do not get any for a part of the time.
pub(super) const POOL_LOAD: [(f64, f64); 4] = [(0.5, 0.7), (0.85, 1.0), (1.2, 1.6), (f64::MAX, f64::MAX)];
/// Seconds of usual lookups that must miss until a cache is 63 % warm again.
pub(super) const FLUSH_S: [(f64, f64); 4] = [(5.0, 10.0), (60.0, 120.0), (300.0, 600.0), (6_000.0, 9_000.0)];
/// Messages that come in for each that a consumer can take.
pub(super) const STALL: [(f64, f64); 4] = [(0.5, 0.8), (1.3, 1.8), (3.0, 5.0), (30.0, 50.0)];

/// Longest time for one message, µs: a consumer that takes longer is stuck.
const STUCK_US: f64 = 120e6;

pub(super) fn slow_database(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let database = |service: ServiceIdx| matches!(traffic.system.services[service].role, Role::Database(_));
    let place = scene.place(Need::Required, &[&database])?;
    let (cpu_us, wait_us) = traffic.own_us(place.service);
    // A missing index costs CPU, a cold buffer costs waiting: what the statements mostly spend gets longer.
    let longer = |usual_us: f64| 1.0 + scene.added_us(&place) / usual_us.max(1.0);
    let (knob, times) = if cpu_us > wait_us {
        (Knob::Work(longer(cpu_us + wait_us)), longer(cpu_us + wait_us))
    } else {
        (Knob::Wait(longer(wait_us)), longer(wait_us))
    };
    Some(Made {
        causes: vec![place.service],
        description: format!("statements of {} take {times:.1} times as long", scene.name(place.service)),
        effects: vec![scene.effect(Target::Instances(place.service, Which::All), knob)],
        ..Made::default()
    })
}

pub(super) fn lock_contention(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let database = |service: ServiceIdx| matches!(traffic.system.services[service].role, Role::Database(_));
    let holds = |service: ServiceIdx| database(service) || traffic.is_code(service);
    let place = scene.place(Need::Required, &[&holds])?;
    let instances = f64::from(traffic.system.services[place.service].instances);
    let rate_per_us = traffic.service_rate_per_s(place.service) / instances / 1e6;
    let most_used = match scene.severity {
        Severity::Subtle => 0.6,
        Severity::Middle => 0.9,
        Severity::Severe => 1.15,
        Severity::Total => f64::INFINITY,
    };
    let held_us = held_for_us(scene.added_us(&place), rate_per_us).min(most_used / rate_per_us);
    Some(Made {
        causes: vec![place.service],
        description: format!(
            "each request of {} holds one lock for {:.1} ms",
            scene.name(place.service),
            held_us / 1e3
        ),
        effects: vec![scene.effect(Target::Instances(place.service, Which::All), Knob::Lock(held_us))],
        ..Made::default()
    })
}

/// Time for which a lock has to be held so that getting and holding it takes `added_us`: with the share `r` of the time
/// that it is taken, `held (1 + r / (2 (1 - r)))`, the M/D/1 queue (Pollaczek and Khinchine; Gross et al. 2008,
/// Fundamentals of Queueing Theory, 4th ed., section 5.1). Solved by halving: it grows with the time held.
fn held_for_us(added_us: f64, rate_per_us: f64) -> f64 {
    let mut low_us = 0.0;
    let mut high_us = added_us.min(1.0 / rate_per_us);
    for _ in 0..60 {
        let held_us = 0.5 * (low_us + high_us);
        let taken = held_us * rate_per_us;
        if held_us * (1.0 + taken / (2.0 * (1.0 - taken))) < added_us { low_us = held_us } else { high_us = held_us }
    }
    // From a lock that is always taken on, what is asked for can only be reached by an overload.
    if added_us * rate_per_us > 1.0 { added_us.min(3.0 / rate_per_us).max(high_us) } else { high_us }
}

pub(super) fn pool_exhaustion(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let system = traffic.system;
    let code = |link: usize| traffic.is_code(system.links[link].caller);
    let pooled = |link: usize| system.links[link].pool.is_some() && code(link);
    let busy = |link: usize| pooled(link) && traffic.in_flight(link) >= 0.5;
    let way = scene.way(Need::Required, &[&busy, &pooled, &code])?;
    let link = system.links[way.link];
    let in_use = traffic.in_flight(way.link);
    let usual = link.pool.unwrap_or(50).max(1);
    let target = Target::Link(way.link);
    let left = ((in_use / scene.size) as u32).min(usual.saturating_sub(1));
    let effects = if left >= 1 {
        scene.stepped(&target, |grown| Knob::Pool(usual - (grown * f64::from(usual - left)) as u32))
    } else {
        // Less than one connection on average: the last one is held by something else for a part of the time.
        let share = match scene.severity {
            Severity::Subtle => 0.03,
            Severity::Middle => 0.12,
            Severity::Severe => 0.45,
            Severity::Total => 1.0,
        };
        scene.flapping(share, &target, Knob::Pool(0))
    };
    let (caller, callee) = (scene.name(link.caller), scene.name(link.callee));
    let description = if left >= 1 {
        format!("of {usual} connections of the pool from {caller} to {callee} {left} are left; {in_use:.1} are needed")
    } else {
        format!("the pool from {caller} to {callee} leaks its connections, again and again until it is empty")
    };
    Some(Made { causes: vec![link.caller], description, effects, ..Made::default() })
}

pub(super) fn cache_flush(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let system = traffic.system;
    let mut lookups_per_s = vec![0.0; system.services.len()];
    for (operation, has) in system.operations.iter().enumerate() {
        for step in &has.steps {
            if let Step::Lookup { call, .. } = step {
                lookups_per_s[system.links[call.link].callee] += traffic.rate_per_s[operation];
            }
        }
    }
    let asked = |service: ServiceIdx| lookups_per_s[service] > 0.0;
    let place = scene.place(Need::Optional, &[&asked])?;
    let target = Target::Instances(place.service, Which::All);
    let misses = lookups_per_s[place.service] * scene.size;
    let mut effects = scene.stepped(&target, |grown| Knob::Flush((grown * misses).max(1.0)));
    if scene.severity > Severity::Subtle {
        // How much is felt of misses alone depends on the database behind; a cache that loads its snapshot is slow itself.
        let slow = scene.slow();
        effects.push(scene.effect(target, Knob::Pause(slow.added_us(&place))));
    }
    Some(Made {
        causes: vec![place.service],
        description: format!(
            "{} lost all it held; {misses:.0} misses bring it back, and it is slow while it loads",
            scene.name(place.service)
        ),
        effects,
        ..Made::default()
    })
}

pub(super) fn external_outage(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let external = |service: ServiceIdx| traffic.system.services[service].role == Role::External;
    let place = scene.place(Need::Required, &[&external]).or_else(|| scene.place(Need::Optional, &[&external]))?;
    let name = scene.name(place.service).to_owned();
    let slow = scene.random.chance(0.5);
    let (knob, description) = if scene.severity == Severity::Total {
        (Knob::Down, format!("{name} does not answer any more"))
    } else if slow {
        // The table gives the share of failures; for slowness the sizes of the slow faults are taken at the same place.
        let added_us = scene.slow().added_us(&place);
        (Knob::Pause(added_us), format!("{name} takes {:.0} ms longer", added_us / 1e3))
    } else {
        let share = scene.failing_visits(&place, true);
        (Knob::Fail(share), format!("{name} answers {:.1} % of all requests with an error", 100.0 * share))
    };
    Some(Made {
        causes: vec![place.service],
        description,
        effects: vec![scene.effect(Target::Instances(place.service, Which::All), knob)],
        ..Made::default()
    })
}

pub(super) fn consumer_stall(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let system = traffic.system;
    let consumers: Vec<(OperationIdx, u32)> = system
        .topics
        .iter()
        .flat_map(|topic| topic.consumers.iter().map(|&operation| (operation, topic.prefetch)))
        .filter(|&(operation, _)| {
            let service = system.operations[operation].service;
            traffic.rate_per_s[operation] > 0.0 && traffic.is_code(service) && scene.allowed[service]
        })
        .collect();
    // Rather one that only consumes: otherwise its callers feel the stall as well.
    let only: Vec<(OperationIdx, u32)> = consumers
        .iter()
        .copied()
        .filter(|&(operation, _)| {
            let service = system.operations[operation].service;
            !traffic.sites.iter().any(|site| site.need < Need::Message && system.operations[site.to].service == service)
        })
        .collect();
    let &(operation, prefetch) = scene.random.pick(if only.is_empty() { &consumers } else { &only })?;
    let service = system.operations[operation].service;
    let slots = f64::from(system.services[service].instances) * f64::from(prefetch.max(1));
    let usual_us = traffic.response_us[operation];
    let stalled_us = (scene.size * slots * 1e6 / traffic.rate_per_s[operation]).min(STUCK_US).max(1.4 * usual_us);
    Some(Made {
        causes: vec![service],
        description: format!(
            "{} takes {:.1} s for each message instead of {:.1} ms",
            scene.name(service),
            stalled_us / 1e6,
            usual_us / 1e3
        ),
        effects: vec![Effect {
            target: Target::Instances(service, Which::All),
            knob: Knob::Pause(stalled_us - usual_us),
            from_ns: scene.from_ns,
            until_ns: scene.until_ns,
            ramp_ns: scene.ramp_ns,
        }],
        ..Made::default()
    })
}
