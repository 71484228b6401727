//! What happens without being the cause: quiet cases, and red herrings beside a fault.

use super::calendar::Calendar;
use crate::simulate::fault::traffic::{Need, Traffic};
use crate::simulate::fault::{Fault, next_version};
use crate::simulate::plan::{Deploy, Effect, Knob, Plan, Target, Which};
use crate::simulate::random::Random;
use crate::simulate::system::{ServiceIdx, System};

const SECOND_NS: i64 = 1_000_000_000;

/// A case in which nothing is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quiet {
    /// Nothing at all.
    Day,
    /// A new version that is as good as the old one.
    Deploy,
    /// Somewhat more requests for some minutes, which everything can serve.
    Burst,
    /// A service that hardly matters is uneven all the time, before and after.
    Noise,
}

/// All quiet cases.
pub const QUIET: [Quiet; 4] = [Quiet::Day, Quiet::Deploy, Quiet::Burst, Quiet::Noise];

impl Quiet {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "quiet-day",
            Self::Deploy => "harmless-deploy",
            Self::Burst => "harmless-burst",
            Self::Noise => "noisy-service",
        }
    }

    /// What happens, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Day => "Nothing happens.",
            Self::Deploy => "A service gets a new version that is as good as the old one.",
            Self::Burst => "Up to 30 % more requests come in for some minutes; everything can serve them.",
            Self::Noise => "A service that requests hardly wait for is uneven all the time, before and after.",
        }
    }
}

/// Adds what a quiet case is about to the plan and says it; where the system has no place for it, nothing happens.
pub(super) fn quiet_case(
    quiet: Quiet,
    system: &System,
    plan: &mut Plan,
    calendar: &Calendar,
    random: &mut Random,
) -> Vec<String> {
    let traffic = Traffic::of(system, calendar.load_at_onset);
    let nowhere = vec![true; system.services.len()];
    let happened = match quiet {
        Quiet::Day => None,
        Quiet::Deploy => {
            // About when an incident would begin: an analysis is to look at it and not to blame it.
            let at_ns = calendar.onset_ns + (random.between(-120.0, 60.0) * 1e9) as i64;
            deploy(&traffic, plan, &nowhere, at_ns, random)
        }
        Quiet::Burst => Some(burst(plan, calendar, random)),
        Quiet::Noise => noise(&traffic, plan, &nowhere, random),
    };
    match happened {
        Some(told) => vec![format!("{}: {told}", quiet.name())],
        None => vec![Quiet::Day.name().to_owned()],
    }
}

/// Beside a fault: in half of the cases an unrelated deploy, in three of ten an unrelated uneven service.
pub(super) fn herrings(
    system: &System,
    faults: &[Fault],
    plan: &mut Plan,
    calendar: &Calendar,
    random: &mut Random,
) -> Vec<String> {
    let traffic = Traffic::of(system, calendar.load_at_onset);
    let causes: Vec<ServiceIdx> = faults.iter().flat_map(|fault| fault.causes.iter().copied()).collect();
    let unrelated = apart(system, &causes);
    let mut told = Vec::new();
    if random.chance(0.5) {
        let at_ns = calendar.onset_ns + (random.between(-600.0, 180.0) * 1e9) as i64;
        let made = unrelated.iter().find_map(|allowed| deploy(&traffic, plan, allowed, at_ns, random));
        told.extend(made.map(|made| format!("{}: {made}", Quiet::Deploy.name())));
    }
    if random.chance(0.3) {
        let made = unrelated.iter().find_map(|allowed| noise(&traffic, plan, allowed, random));
        told.extend(made.map(|made| format!("{}: {made}", Quiet::Noise.name())));
    }
    told
}

/// By service whether it has nothing to do with the causes: first without everything above and below them, then, for
/// small systems in which that leaves nothing, without the causes alone.
pub(super) fn apart(system: &System, causes: &[ServiceIdx]) -> [Vec<bool>; 2] {
    let traffic = Traffic::of(system, 1.0);
    let related: Vec<Vec<bool>> = causes.iter().map(|&cause| traffic.related(cause)).collect();
    let far = (0..system.services.len()).map(|service| related.iter().all(|related| !related[service]));
    let other = (0..system.services.len()).map(|service| !causes.contains(&service));
    [far.collect(), other.collect()]
}

fn deploy(traffic: &Traffic<'_>, plan: &mut Plan, allowed: &[bool], at_ns: i64, random: &mut Random) -> Option<String> {
    let system = traffic.system;
    let may: Vec<ServiceIdx> = (0..system.services.len())
        .filter(|&service| allowed[service] && traffic.is_code(service))
        // A single pod is away while it is replaced, which is not harmless.
        .filter(|&service| system.services[service].instances > 1)
        .filter(|&service| !plan.deploys.iter().any(|deploy| deploy.service == service))
        .collect();
    let service = *random.pick(&may)?;
    let version = next_version(&system.services[service].version);
    let description = format!("{} {version}", system.services[service].name);
    plan.deploys.push(Deploy {
        at_ns,
        service,
        version,
        pods: None,
        step_ns: (random.between(15.0, 40.0) * 1e9) as i64,
        description: description.clone(),
    });
    Some(description)
}

fn burst(plan: &mut Plan, calendar: &Calendar, random: &mut Random) -> String {
    let factor = random.between(1.15, 1.3);
    let length_ns = (random.between(180.0, 400.0) * 1e9) as i64;
    let at_ns = calendar.onset_ns + (random.between(0.0, 60.0) * 1e9) as i64;
    plan.load.bursts.push((at_ns, length_ns, factor));
    format!("{:.0} % more requests", 100.0 * (factor - 1.0))
}

/// Share of an entry's objective that an uneven service may add, at the most.
const UNEVEN: f64 = 0.08;

fn noise(traffic: &Traffic<'_>, plan: &mut Plan, allowed: &[bool], random: &mut Random) -> Option<String> {
    let system = traffic.system;
    let asks = |service: ServiceIdx| traffic.sites.iter().any(|site| system.operations[site.from].service == service);
    let leaves: Vec<ServiceIdx> = (0..system.services.len())
        .filter(|&service| allowed[service] && traffic.is_code(service) && !asks(service))
        .filter(|&service| traffic.service_rate_per_s(service) > 0.0)
        .collect();
    let service = *random.pick(&leaves)?;
    let met = |entry: &usize| traffic.visits_of(Need::Optional, *entry, service) > 0.0;
    let objective_us = (0..system.entries.len())
        .filter(met)
        .map(|entry| {
            1e3 * system.entries[entry].objective_ms / traffic.visits_of(Need::Optional, entry, service).max(1.0)
        })
        .fold(f64::INFINITY, f64::min);
    // Nobody waits for what only takes messages: there its own usual time is the measure.
    let usual_us = traffic.mean_over(service, |operation| traffic.response_us[operation]);
    let added_us = if objective_us.is_finite() { (UNEVEN * objective_us).min(3.0 * usual_us) } else { 3.0 * usual_us };
    let end_ns = plan.start_ns + plan.duration_ns;
    let mut at_ns = plan.start_ns;
    while at_ns < end_ns {
        at_ns += (random.between(10.0, 90.0) * 1e9) as i64;
        let until_ns = (at_ns + (random.between(5.0, 20.0) * 1e9) as i64).min(end_ns);
        if until_ns - at_ns < SECOND_NS {
            break;
        }
        plan.effects.push(Effect {
            target: Target::Instances(service, Which::All),
            knob: Knob::Pause(added_us * random.between(0.3, 1.0)),
            from_ns: at_ns,
            until_ns,
            ramp_ns: 0,
        });
        at_ns = until_ns;
    }
    Some(format!("{} is up to {:.1} ms slower now and then", system.services[service].name, added_us / 1e3))
}
