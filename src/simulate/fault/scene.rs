//! What a fault is made from: the system under its load, how much, how sudden, from when to when.

use super::Severity;
use super::traffic::{Need, Traffic};
use crate::simulate::plan::{Deploy, Effect, Knob, Target, Which};
use crate::simulate::random::Random;
use crate::simulate::recording::{ChangeKind, ChangeRecord};
use crate::simulate::system::{LinkIdx, ServiceIdx};

/// Nanoseconds of a second.
pub(super) const SECOND_NS: i64 = 1_000_000_000;

/// Steps in which a knob creeps that knows no growth of its own.
const CREEPING_STEPS: i64 = 4;

/// Where and how a fault is to be made.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) traffic: &'a Traffic<'a>,
    pub(super) severity: Severity,
    pub(super) from_ns: i64,
    pub(super) until_ns: i64,
    /// Time in which it grows, ns; 0 when sudden.
    pub(super) ramp_ns: i64,
    /// What the table of kinds gives for the severity.
    pub(super) size: f64,
    /// By service: whether the fault may lie there.
    pub(super) allowed: &'a [bool],
    pub(super) random: Random,
}

/// What a kind makes of a scene.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) causes: Vec<ServiceIdx>,
    pub(super) outside: Vec<String>,
    pub(super) description: String,
    pub(super) effects: Vec<Effect>,
    pub(super) deploys: Vec<Deploy>,
    pub(super) changes: Vec<ChangeRecord>,
}

/// A service that carries a fair share of an entry's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) service: ServiceIdx,
    /// The entry that meets it most.
    pub(super) entry: usize,
    /// Visits by one request of that entry.
    pub(super) visits: f64,
}

/// A link that carries a fair share of an entry's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) link: LinkIdx,
    /// Calls over it by one request of the entry that meets it most.
    pub(super) calls: f64,
}

/// Least visits of a request, and least share of all requests at its entry, that are a fair share.
const FAIR_VISITS: f64 = 0.3;
const FAIR_ENTRY: f64 = 0.1;
/// Below these visits of a request nobody would notice whatever happens there.
const LEAST_VISITS: f64 = 0.02;

impl Scene<'_> {
    /// Draws a service for the fault: of the first tier in which one carries a fair share of an entry's requests, else
    /// the one of any tier that carries most. `None`: no service of any tier is visited worth speaking of.
    pub(super) fn place(&mut self, need: Need, tiers: &[&dyn Fn(ServiceIdx) -> bool]) -> Option<Place> {
        let traffic = self.traffic;
        let places: Vec<(usize, f64)> = (0..traffic.system.services.len())
            .map(|service| best_entry(traffic, |entry| traffic.visits_of(need, entry, service)))
            .collect();
        let tiers: Vec<Vec<bool>> = tiers
            .iter()
            .map(|tier| (0..places.len()).map(|service| self.allowed[service] && tier(service)).collect())
            .collect();
        let service = self.draw_fair(&places, &tiers)?;
        let (entry, visits) = places[service];
        Some(Place { service, entry, visits })
    }

    /// The same for links. Both ends must be allowed.
    pub(super) fn way(&mut self, need: Need, tiers: &[&dyn Fn(LinkIdx) -> bool]) -> Option<Way> {
        let traffic = self.traffic;
        let ways: Vec<(usize, f64)> = (0..traffic.system.links.len())
            .map(|link| best_entry(traffic, |entry| traffic.calls_over(need, entry, link)))
            .collect();
        let allowed = |link: LinkIdx| {
            let ends = traffic.system.links[link];
            self.allowed[ends.caller] && self.allowed[ends.callee]
        };
        let tiers: Vec<Vec<bool>> =
            tiers.iter().map(|tier| (0..ways.len()).map(|link| allowed(link) && tier(link)).collect()).collect();
        let link = self.draw_fair(&ways, &tiers)?;
        Some(Way { link, calls: ways[link].1 })
    }

    fn draw_fair(&mut self, found: &[(usize, f64)], tiers: &[Vec<bool>]) -> Option<usize> {
        let fair =
            |&(entry, visits): &(usize, f64)| visits >= FAIR_VISITS && self.traffic.share_of(entry) >= FAIR_ENTRY;
        for tier in tiers {
            let fits: Vec<usize> = (0..found.len()).filter(|&at| tier[at] && fair(&found[at])).collect();
            if let Some(&drawn) = self.random.pick(&fits) {
                return Some(drawn);
            }
        }
        let most = |tier: &Vec<bool>| {
            let fits = (0..found.len()).filter(|&at| tier[at] && found[at].1 >= LEAST_VISITS);
            fits.max_by(|&a, &b| found[a].1.total_cmp(&found[b].1).then(b.cmp(&a)))
        };
        tiers.iter().find_map(most)
    }

    /// An effect over the whole time of the fault.
    pub(super) fn effect(&self, target: Target, knob: Knob) -> Effect {
        Effect { target, knob, from_ns: self.from_ns, until_ns: self.until_ns, ramp_ns: self.ramp_ns }
    }

    /// A knob without growth of its own: when creeping, some steps whose argument goes from a part of 1 to 1.
    pub(super) fn stepped(&self, target: &Target, knob: impl Fn(f64) -> Knob) -> Vec<Effect> {
        let steps = if self.ramp_ns > 0 { CREEPING_STEPS } else { 1 };
        let step_ns = self.ramp_ns / steps;
        (0..steps)
            .map(|step| Effect {
                target: target.clone(),
                knob: knob((step + 1) as f64 / steps as f64),
                from_ns: self.from_ns + step * step_ns,
                until_ns: if step + 1 == steps { self.until_ns } else { self.from_ns + (step + 1) * step_ns },
                ramp_ns: 0,
            })
            .collect()
    }

    /// The knob is turned for this share of the time, in stretches of some seconds; when creeping, for a growing share.
    /// From a share of 0.99 on without interruption.
    pub(super) fn flapping(&mut self, share: f64, target: &Target, knob: Knob) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut at_ns = self.from_ns;
        while at_ns < self.until_ns {
            let grown = if self.ramp_ns > 0 {
                ((at_ns - self.from_ns + 10 * SECOND_NS) as f64 / self.ramp_ns as f64).min(1.0)
            } else {
                1.0
            };
            let share = share * grown;
            let whole = share >= 0.99;
            let period_ns = if whole { self.until_ns - at_ns } else { (self.random.between(20.0, 40.0) * 1e9) as i64 };
            let on_ns = if whole { period_ns } else { (period_ns as f64 * share) as i64 };
            let until_ns = (at_ns + on_ns).min(self.until_ns);
            if until_ns > at_ns {
                effects.push(Effect { target: target.clone(), knob, from_ns: at_ns, until_ns, ramp_ns: 0 });
            }
            at_ns += period_ns;
        }
        effects
    }

    /// All instances of a service, or one: a process that goes wrong is often alone in it. All where the fault is total.
    pub(super) fn some_instances(&mut self, service: ServiceIdx) -> Which {
        let instances = self.traffic.system.services[service].instances;
        if self.severity == Severity::Total || instances < 2 || self.random.chance(0.6) {
            return Which::All;
        }
        Which::Nth(self.random.below(instances as usize) as u32)
    }

    /// A change of settings that was recorded as the fault began.
    pub(super) fn setting(&self, service: ServiceIdx, description: String) -> ChangeRecord {
        ChangeRecord { at_ns: self.from_ns, service, kind: ChangeKind::Config, version: None, description }
    }

    pub(super) fn name(&self, service: ServiceIdx) -> &str {
        &self.traffic.system.services[service].name
    }
}

/// The entry whose requests come by most, weighted by its share of all, and how often one of them does.
fn best_entry(traffic: &Traffic<'_>, visits: impl Fn(usize) -> f64) -> (usize, f64) {
    let entries = (0..traffic.system.entries.len()).map(|entry| (entry, visits(entry)));
    let weight = |&(entry, visits): &(usize, f64)| traffic.share_of(entry) * visits.min(1.0);
    entries.max_by(|a, b| weight(a).total_cmp(&weight(b)).then(b.0.cmp(&a.0))).unwrap_or((0, 0.0))
}

/// "instance 2 of cart", "cart".
pub(super) fn told(which: &Which, name: &str) -> String {
    match which {
        Which::All => name.to_owned(),
        Which::Nth(nth) => format!("instance {} of {name}", nth + 1),
        Which::Version(version) => format!("version {version} of {name}"),
    }
}
