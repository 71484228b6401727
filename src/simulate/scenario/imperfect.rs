//! What telemetry of a case lacks: drawn as it is met in practice, but never so that only the cause is hidden.

use crate::simulate::observe::{Imperfections, Sampling};
use crate::simulate::plan::Plan;
use crate::simulate::random::Random;
use crate::simulate::system::{Role, ServiceIdx, System, Visibility};

/// Traces per second that head sampling keeps at least: with fewer, minutes hold too few requests to judge.
const LEAST_TRACES_PER_S: f64 = 3.0;

/// In a quarter of the cases one service sends no spans. Not a cause, which could not be found; not the caller of a
/// cause that sends none either, without which nobody speaks of it; and not an entry, whose requests are where an analysis
/// begins. One in five of them drops the trace context too.
pub(super) fn hide_spans(system: &mut System, causes: &[ServiceIdx], random: &mut Random) {
    if !random.chance(0.25) {
        return;
    }
    let entries = entry_services(system);
    let is_silent = |service: ServiceIdx| system.services[service].role != Role::Service;
    let speaks_for = |service: ServiceIdx| {
        let links = system.links.iter().filter(|link| link.caller == service);
        links.into_iter().any(|link| causes.contains(&link.callee) && is_silent(link.callee))
    };
    let may: Vec<ServiceIdx> = (0..system.services.len())
        .filter(|service| system.services[*service].role == Role::Service)
        .filter(|service| !causes.contains(service) && !entries.contains(service) && !speaks_for(*service))
        .collect();
    let passes_context = random.chance(0.8);
    if let Some(&service) = random.pick(&may) {
        system.services[service].visibility = Visibility::NoSpans { passes_context };
    }
}

fn entry_services(system: &System) -> Vec<ServiceIdx> {
    system.entries.iter().map(|entry| system.operations[entry.operation].service).collect()
}

/// Draws the rest.
pub(super) fn draw(system: &System, causes: &[ServiceIdx], plan: &Plan, random: &mut Random) -> Imperfections {
    let sampling = sampling(system, plan, random);
    let lost_spans = if random.chance(0.5) { random.between(0.0, 0.02) } else { 0.0 };
    let lost_scrapes = if random.chance(0.5) { random.between(0.0, 0.02) } else { 0.0 };
    let entries = entry_services(system);
    let is_other = |service: &ServiceIdx| !causes.contains(service) && !entries.contains(service);
    let others: Vec<ServiceIdx> = (0..system.services.len()).filter(is_other).collect();
    Imperfections {
        sampling,
        lost_spans,
        lost_batches: gap(&others, plan, 0.15, (20.0, 60.0), random),
        clock_offsets: clock_offsets(system, random),
        scrape_gaps: gap(&others, plan, 0.25, (60.0, 180.0), random),
        lost_scrapes,
    }
}

/// All in 40 %, decided at the root in 40 %, decided at the end in 20 %.
fn sampling(system: &System, plan: &Plan, random: &mut Random) -> Sampling {
    let traces_per_s: f64 = plan.load.factor * system.entries.iter().map(|entry| entry.rate_per_s).sum::<f64>();
    let least = LEAST_TRACES_PER_S / traces_per_s.max(1e-9);
    let drawn = random.unit();
    if drawn < 0.4 {
        return Sampling::All;
    }
    let share = random.between(0.1, 0.5).max(least);
    if drawn < 0.8 {
        return if share < 1.0 { Sampling::Head(share) } else { Sampling::All };
    }
    // What is slower than promised is kept: the usual policy, by one threshold for all.
    let objectives_ms = system.entries.iter().map(|entry| entry.objective_ms);
    let slow_ms = objectives_ms.fold(0.0, f64::max) * random.between(0.8, 1.5);
    Sampling::Tail { slow_ms, share: (0.5 * share).min(1.0) }
}

/// In this share of the cases, one service sends nothing for a while (seconds, from the least to the most).
fn gap(
    others: &[ServiceIdx],
    plan: &Plan,
    chance: f64,
    (least_s, most_s): (f64, f64),
    random: &mut Random,
) -> Vec<(ServiceIdx, i64, i64)> {
    if !random.chance(chance) {
        return Vec::new();
    }
    let length_ns = (random.between(least_s, most_s) * 1e9) as i64;
    let start_ns = plan.start_ns + (random.unit() * (plan.duration_ns - length_ns) as f64) as i64;
    random.pick(others).map(|&service| (service, start_ns, length_ns)).into_iter().collect()
}

/// In 40 % of the cases some machines are off by up to 50 ms; in 5 % one is off by up to 2 s.
fn clock_offsets(system: &System, random: &mut Random) -> Vec<(u32, i64)> {
    let skewed = random.chance(0.4);
    let far = random.chance(0.05).then(|| random.below(system.machines.max(1) as usize) as u32);
    let mut offsets = Vec::new();
    for machine in 0..system.machines {
        let small_ms = if skewed && random.chance(0.5) { random.between(-50.0, 50.0) } else { 0.0 };
        let offset_ms = if far == Some(machine) { random.between(-2000.0, 2000.0) } else { small_ms };
        let offset_ns = (offset_ms * 1e6) as i64;
        if offset_ns != 0 {
            offsets.push((machine, offset_ns));
        }
    }
    offsets
}
