//! CPU: who asks for how much, and how much slower everything becomes when there is not enough.
//!
//! A piece of work with `c` seconds of CPU and `w` seconds of waiting asks for `c / (c + w)` cores while it runs. Where
//! the pieces of a container (with what else burns in it) ask for more than its limit, the CPU part of each takes
//! `demand / limit` times as long: the processor sharing of the CFS quota, seen over more than one of its periods of
//! 100 ms. Where the containers of a machine, each up to its limit, ask for more than its cores, all slow down once more.
//! The factor is fixed when a piece begins: pieces are short against the changes that matter, and one event for each
//! piece is what makes the world fast. When all workers are busy, which is when it counts, the factor is exact.
//!
//! A period counts as throttled for the share of it in which the demand was above the limit.

use super::World;
use super::effects::InstanceKnobs;

/// One core, in the unit of demands: whole numbers, so that adding and taking away leaves nothing behind.
pub(super) const CORE: i64 = 1_000_000;

/// Millionths of a core; at least 0.
pub(super) fn micro_cores(cores: f64) -> i64 {
    ((cores * CORE as f64) as i64).max(0)
}

/// A machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Millionths of a core.
    pub(super) cores: i64,
    /// Sum over its containers, each up to its limit, and the foreign pod.
    pub(super) demand: i64,
    /// Demand of the foreign pod.
    pub(super) neighbour: i64,
    pub(super) neighbour_cpu_ns: i64,
    /// When the demand changed last.
    pub(super) demand_ns: i64,
}

impl Machine {
    pub(super) fn new(cores: f64, now_ns: i64) -> Self {
        let cores = micro_cores(cores).max(1);
        Self { cores, demand: 0, neighbour: 0, neighbour_cpu_ns: 0, demand_ns: now_ns }
    }

    /// Counts what the foreign pod got since the last change.
    pub(super) fn settle(&mut self, now_ns: i64) {
        if self.neighbour > 0 {
            let got = self.neighbour as f64 / self.crowding();
            self.neighbour_cpu_ns += ((now_ns - self.demand_ns) as f64 * got / CORE as f64) as i64;
        }
        self.demand_ns = now_ns;
    }

    /// How many times as long everything takes on it.
    pub(super) fn crowding(&self) -> f64 {
        if self.demand > self.cores { self.demand as f64 / self.cores as f64 } else { 1.0 }
    }
}

impl World<'_> {
    /// Adds to what the work in a pod asks for; negative when a piece ends.
    pub(super) fn change_demand(&mut self, pod: usize, change: i64) {
        self.settle_cpu(pod);
        let pod = &mut self.pods[pod];
        let before = pod.capped_demand();
        pod.demand += change;
        let after = pod.capped_demand();
        if let Some(machine) = pod.machine
            && before != after
        {
            let machine = &mut self.machines[machine];
            machine.settle(self.now_ns);
            machine.demand += after - before;
        }
    }

    /// How many times as long the CPU part of a piece takes that begins now.
    pub(super) fn slowness(&self, pod: usize) -> f64 {
        let pod = &self.pods[pod];
        let asked = pod.demand + pod.knobs.hog;
        let limited = if asked > pod.knobs.cpu_limit { asked as f64 / pod.knobs.cpu_limit as f64 } else { 1.0 };
        pod.machine.map_or(limited, |machine| limited * self.machines[machine].crowding())
    }

    /// Counts throttling and foreign CPU since the demand changed last. The CPU of requests is counted when each piece
    /// ends, since it is known exactly then.
    pub(super) fn settle_cpu(&mut self, pod: usize) {
        let now_ns = self.now_ns;
        let machines = &self.machines;
        let pod = &mut self.pods[pod];
        let asked = pod.demand + pod.knobs.hog;
        if asked > pod.knobs.cpu_limit {
            pod.counters.throttled_ns += now_ns - pod.demand_ns;
        }
        if pod.knobs.hog > 0 {
            let share = (pod.knobs.cpu_limit as f64 / asked as f64).min(1.0);
            let crowding = pod.machine.map_or(1.0, |machine| machines[machine].crowding());
            let got = pod.knobs.hog as f64 * share / crowding / CORE as f64;
            pod.counters.cpu_ns += ((now_ns - pod.demand_ns) as f64 * got) as i64;
        }
        pod.demand_ns = now_ns;
    }

    /// Puts the knobs that were computed into force.
    pub(super) fn set_knobs(&mut self, pod: usize) {
        self.settle_cpu(pod);
        let knobs: InstanceKnobs = self.pods[pod].next_knobs;
        let pod = &mut self.pods[pod];
        let before = pod.capped_demand();
        pod.knobs = knobs;
        if !pod.serves() {
            // Nothing burns in a container that does not run.
            pod.knobs.hog = 0;
        }
        let after = pod.capped_demand();
        if let Some(machine) = pod.machine {
            let machine = &mut self.machines[machine];
            machine.settle(self.now_ns);
            machine.demand += after - before;
        }
    }

    /// The foreign pod of a machine asks for this much now.
    pub(super) fn set_neighbour(&mut self, machine: usize, demand: i64) {
        let machine = &mut self.machines[machine];
        machine.settle(self.now_ns);
        machine.demand += demand - machine.neighbour;
        machine.neighbour = demand;
    }
}
