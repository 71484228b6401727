//! Effects of a plan, resolved into plain numbers per instance, link and machine.
//!
//! The loop over events reads only these numbers. They are computed anew where an effect begins or ends, when a pod
//! comes or goes, and once a second while something grows.

use crate::simulate::plan::{Effect, Knob, Plan, Target, Which};
use crate::simulate::system::{Link, ServiceIdx};

use super::World;
use super::cpu::micro_cores;
use super::pod::Stage;
use super::time::{SECOND_NS, ns_of_us};

/// Knobs of one instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct InstanceKnobs {
    /// Factor of own work.
    pub(super) work: f64,
    /// Factor of its part that waits.
    pub(super) wait: f64,
    /// More waiting for each request.
    pub(super) pause_ns: i64,
    /// Foreign CPU demand in the container, millionths of a core.
    pub(super) hog: i64,
    /// Millionths of a core.
    pub(super) cpu_limit: i64,
    pub(super) leak_mib_per_s: f64,
    /// How long each request holds the lock of the instance.
    pub(super) lock_ns: i64,
    /// Share of the disk's time that is taken.
    pub(super) disk: f64,
    pub(super) fail: f64,
    pub(super) corrupt: f64,
    pub(super) return_early: f64,
    pub(super) down: bool,
}

impl InstanceKnobs {
    pub(super) fn new(cores: f64) -> Self {
        Self {
            work: 1.0,
            wait: 1.0,
            pause_ns: 0,
            hog: 0,
            cpu_limit: micro_cores(cores).max(1),
            leak_mib_per_s: 0.0,
            lock_ns: 0,
            disk: 0.0,
            fail: 0.0,
            corrupt: 0.0,
            return_early: 0.0,
            down: false,
        }
    }

    /// Turns one knob; those of links, machines and the load are not here.
    fn turn(&mut self, knob: Knob, growth: f64) {
        match knob {
            Knob::Work(factor) => self.work *= 1.0 + (factor - 1.0) * growth,
            Knob::Wait(factor) => self.wait *= 1.0 + (factor - 1.0) * growth,
            Knob::Pause(us) => self.pause_ns += ns_of_us(us * growth),
            Knob::Hog(cores) => self.hog += micro_cores(cores * growth),
            Knob::CpuLimit(cores) => self.cpu_limit = self.cpu_limit.min(micro_cores(cores).max(1)),
            Knob::Leak(mib_per_s) => self.leak_mib_per_s += mib_per_s * growth,
            Knob::Lock(us) => self.lock_ns += ns_of_us(us * growth),
            Knob::Disk(share) => self.disk = either(self.disk, share * growth),
            Knob::Fail(probability) => self.fail = either(self.fail, probability * growth),
            Knob::Corrupt(probability) => self.corrupt = either(self.corrupt, probability * growth),
            Knob::ReturnEarly(probability) => self.return_early = either(self.return_early, probability * growth),
            Knob::Down => self.down = true,
            // Depends on when its container started: `memory::seconds`.
            Knob::Allocate(_) => {}
            Knob::Flush(_) | Knob::Neighbour(_) | Knob::Arrivals(_) => {}
            Knob::Delay(_) | Knob::Loss(_) | Knob::Cut | Knob::NoName(_) => {}
            Knob::Pool(_) | Knob::Retries(_) | Knob::Timeout(_) | Knob::Misconfigured(_) => {}
        }
    }
}

/// Knobs of one link.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkKnobs {
    pub(super) delay_us: f64,
    pub(super) loss: f64,
    pub(super) cut: bool,
    pub(super) no_name: f64,
    /// Connections of one caller instance; `None`: no bound.
    pub(super) pool: Option<u32>,
    pub(super) retries: Option<u32>,
    pub(super) timeout_ns: Option<i64>,
    pub(super) misconfigured: f64,
}

impl LinkKnobs {
    pub(super) fn new(link: &Link) -> Self {
        Self {
            delay_us: 0.0,
            loss: 0.0,
            cut: false,
            no_name: 0.0,
            pool: link.pool,
            retries: None,
            timeout_ns: None,
            misconfigured: 0.0,
        }
    }

    fn turn(&mut self, knob: Knob, growth: f64) {
        match knob {
            Knob::Delay(us) => self.delay_us += us * growth,
            Knob::Loss(probability) => self.loss = either(self.loss, probability * growth),
            Knob::Cut => self.cut = true,
            Knob::NoName(probability) => self.no_name = either(self.no_name, probability * growth),
            Knob::Pool(size) => self.pool = Some(size),
            Knob::Retries(further) => self.retries = Some(self.retries.unwrap_or(0).max(further)),
            Knob::Timeout(us) => {
                let timeout_ns = ns_of_us(us);
                self.timeout_ns = Some(self.timeout_ns.map_or(timeout_ns, |other_ns| other_ns.min(timeout_ns)));
            }
            Knob::Misconfigured(probability) => self.misconfigured = either(self.misconfigured, probability * growth),
            Knob::Work(_) | Knob::Wait(_) | Knob::Pause(_) | Knob::Hog(_) | Knob::CpuLimit(_) | Knob::Leak(_) => {}
            Knob::Allocate(_) | Knob::Lock(_) | Knob::Disk(_) | Knob::Fail(_) | Knob::Corrupt(_) => {}
            Knob::ReturnEarly(_) | Knob::Down | Knob::Flush(_) | Knob::Neighbour(_) | Knob::Arrivals(_) => {}
        }
    }
}

/// How far an effect has grown at an instant within it, 0 to 1.
pub(super) fn growth(effect: &Effect, at_ns: i64) -> f64 {
    if effect.ramp_ns <= 0 {
        return 1.0;
    }
    ((at_ns - effect.from_ns) as f64 / effect.ramp_ns as f64).clamp(0.0, 1.0)
}

/// A factor on its way from 1 to its full size.
pub(super) fn grown_factor(effect: &Effect, factor: f64, at_ns: i64) -> f64 {
    1.0 + (factor - 1.0) * growth(effect, at_ns)
}

/// Instants at which something begins or ends, ns.
pub(super) fn boundaries_ns(plan: &Plan) -> Vec<i64> {
    let mut found: Vec<i64> = plan.effects.iter().flat_map(|effect| [effect.from_ns, effect.until_ns]).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Probability that at least one of two independent things happens.
fn either(first: f64, second: f64) -> f64 {
    1.0 - (1.0 - first) * (1.0 - second)
}

impl World<'_> {
    /// Whether an effect still grows: then its numbers change every second.
    pub(super) fn something_grows(&self) -> bool {
        let now_ns = self.now_ns;
        // One second more, so that the last second before its full size is not what remains.
        self.plan.effects.iter().any(|effect| {
            effect.ramp_ns > 0
                && (effect.from_ns..effect.until_ns).contains(&now_ns)
                && now_ns < effect.from_ns + effect.ramp_ns + SECOND_NS
        })
    }

    /// Computes all knobs anew and does what follows from them at once.
    pub(super) fn resolve(&mut self) {
        let now_ns = self.now_ns;
        for pod in &mut self.pods {
            pod.next_knobs = InstanceKnobs::new(self.system.services[pod.service].cores);
        }
        let mut links: Vec<LinkKnobs> = self.system.links.iter().map(LinkKnobs::new).collect();
        let mut neighbours = vec![0_i64; self.machines.len()];
        let plan = self.plan;
        for (place, effect) in plan.effects.iter().enumerate() {
            if !(effect.from_ns..effect.until_ns).contains(&now_ns) {
                continue;
            }
            let growth = growth(effect, now_ns);
            match (&effect.target, effect.knob) {
                (Target::Machine(machine), Knob::Neighbour(cores)) => {
                    if let Some(neighbour) = neighbours.get_mut(*machine as usize) {
                        *neighbour += micro_cores(cores * growth);
                    }
                }
                (Target::Instances(..) | Target::Machine(_), Knob::Flush(misses)) => self.flush(place, misses),
                (Target::Instances(..) | Target::Machine(_), knob) => {
                    for pod in self.pods_meant(&effect.target) {
                        self.pods[pod].next_knobs.turn(knob, growth);
                    }
                }
                (Target::Link(_) | Target::CallsFrom(_) | Target::Network(_), knob) => {
                    let all = self.system.links.iter().zip(&mut links).enumerate();
                    for (_, (_, knobs)) in all.filter(|(place, (link, _))| is_meant(&effect.target, *place, link)) {
                        knobs.turn(knob, growth);
                    }
                }
                (Target::Load, _) => {}
            }
        }
        self.put_in_force(links, &neighbours);
    }

    fn put_in_force(&mut self, links: Vec<LinkKnobs>, neighbours: &[i64]) {
        for (machine, neighbour) in neighbours.iter().enumerate() {
            self.set_neighbour(machine, *neighbour);
        }
        for pod in 0..self.pods.len() {
            self.set_knobs(pod);
        }
        let before = std::mem::replace(&mut self.links, links);
        for (link, old) in before.iter().enumerate() {
            if old.pool != self.links[link].pool {
                self.resize_pools(link);
            }
        }
        for pod in 0..self.pods.len() {
            let is_down = self.pods[pod].knobs.down;
            match self.pods[pod].stage {
                Stage::Draining if is_down => self.end(pod),
                Stage::Ready | Stage::Starting | Stage::Killed if is_down => self.fall_silent(pod),
                Stage::Silent if !is_down => self.start_again(pod),
                _ => {}
            }
        }
    }

    /// Pods that an effect on instances is about, those that are alive only.
    pub(super) fn pods_meant(&self, target: &Target) -> Vec<usize> {
        let of_service = |service: ServiceIdx| {
            self.pods_of[service].iter().copied().filter(|pod| self.pods[*pod].stage != Stage::Ended)
        };
        match target {
            Target::Instances(service, Which::All) => of_service(*service).collect(),
            Target::Instances(service, Which::Nth(nth)) => of_service(*service).skip(*nth as usize).take(1).collect(),
            Target::Instances(service, Which::Version(version)) => {
                of_service(*service).filter(|place| self.recording.instances[*place].version == *version).collect()
            }
            Target::Machine(machine) => {
                let all = self.pods.iter().enumerate();
                all.filter(|(_, pod)| pod.machine == Some(*machine as usize) && pod.stage != Stage::Ended)
                    .map(|(place, _)| place)
                    .collect()
            }
            Target::Link(_) | Target::CallsFrom(_) | Target::Network(_) | Target::Load => Vec::new(),
        }
    }

    /// Whether nothing from outside comes through to a service.
    pub(super) fn is_cut_off(&self, service: ServiceIdx) -> bool {
        self.plan.effects.iter().any(|effect| {
            matches!(effect.knob, Knob::Cut)
                && effect.target == Target::Network(service)
                && (effect.from_ns..effect.until_ns).contains(&self.now_ns)
        })
    }
}

fn is_meant(target: &Target, place: usize, link: &Link) -> bool {
    match target {
        Target::Link(meant) => *meant == place,
        Target::CallsFrom(service) => link.caller == *service,
        Target::Network(service) => link.caller == *service || link.callee == *service,
        Target::Instances(..) | Target::Machine(_) | Target::Load => false,
    }
}
