//! Memory: what requests and leaks take, pauses for garbage, and the end at the limit.
//!
//! The live memory of a container is its idle memory, what leaked or was allocated, and a little for each request in
//! work. Requests of runtimes with a collector leave garbage; when it fills its room, a collection stops the world: work
//! in progress is lengthened by the pause. The room is a share of what the live memory leaves free, so that a leak makes
//! collections more frequent, and above three quarters of the limit a pause grows with the square of what is used beyond
//! (full collections that free little: Jones, Hosking & Moss 2012, "The Garbage Collection Handbook", section 2.5 and
//! chapter 9, on the cost of tracing against the size of the heap). Live memory above the limit gets the container
//! killed, as the kernel does it.

use crate::simulate::plan::Knob;
use crate::simulate::recording::LogEvent;
use crate::simulate::system::{Role, Runtime};

use super::World;
use super::effects::growth;
use super::pod::Stage;
use super::time::{MILLISECOND_NS, SECOND_NS, ms_of_ns};

/// Live memory of one request in work, MiB.
const REQUEST_MIB: f64 = 0.25;
/// Share of the free heap that garbage may fill, and of the limit.
const ROOM_OF_FREE: f64 = 0.35;
const ROOM_OF_LIMIT: f64 = 0.25;
/// Least room, MiB: a collector that has none left works all the time.
const LEAST_ROOM_MIB: f64 = 4.0;
/// Share of the limit above which collections become full ones.
const CROWDED: f64 = 0.75;
/// A full collection at the limit, ms, in a heap of up to 1 GiB; larger ones take as much longer as they are larger.
const FULL_PAUSE_MS: f64 = 500.0;
/// Pauses from here on are logged.
const LOGGED_PAUSE_NS: i64 = 80 * MILLISECOND_NS;
/// A container that was started again takes what killed it again after this time.
const CALM_NS: i64 = 10 * SECOND_NS;

/// How a runtime leaves garbage and collects it.
struct Collector {
    /// Of one request, MiB.
    garbage_mib: f64,
    /// A usual pause, ms.
    pause_ms: f64,
    /// Share of [`FULL_PAUSE_MS`] that it shows when memory is short.
    full: f64,
}

fn collector(runtime: Runtime) -> Option<Collector> {
    match runtime {
        Runtime::Jvm => Some(Collector { garbage_mib: 1.5, pause_ms: 6.0, full: 1.0 }),
        Runtime::Go => Some(Collector { garbage_mib: 0.5, pause_ms: 0.3, full: 0.2 }),
        Runtime::Node => Some(Collector { garbage_mib: 0.5, pause_ms: 2.0, full: 0.8 }),
        Runtime::Python | Runtime::Native => None,
    }
}

impl World<'_> {
    /// Memory that no collection frees, MiB.
    fn live_mib(&self, pod: usize) -> f64 {
        let pod = &self.pods[pod];
        let idle = self.system.services[pod.service].idle_memory_mib;
        idle + pod.memory.leaked + pod.memory.allocated + f64::from(pod.in_work()) * REQUEST_MIB
    }

    /// Memory that the container shows, bytes.
    pub(super) fn memory_bytes(&self, pod: usize) -> u64 {
        let limit = self.system.services[self.pods[pod].service].memory_mib;
        let memory = &self.pods[pod].memory;
        let used = (self.live_mib(pod) + memory.garbage + memory.drift).clamp(1.0, limit);
        (used * 1_048_576.0) as u64
    }

    /// Between two scrapes, memory wanders around what is in use by about one in a hundred.
    pub(super) fn drift_memory(&mut self, pod: usize) {
        let idle = self.system.services[self.pods[pod].service].idle_memory_mib;
        let step = 0.004 * idle * self.draws.logs.normal();
        let memory = &mut self.pods[pod].memory;
        memory.drift = 0.9 * memory.drift + step;
    }

    /// A request begins: it will leave garbage, and may be the one that fills the room.
    pub(super) fn leave_garbage(&mut self, pod: usize) {
        let service = &self.system.services[self.pods[pod].service];
        if service.role != Role::Service {
            return;
        }
        let Some(collector) = collector(service.runtime) else { return };
        let limit = service.memory_mib;
        let live = self.live_mib(pod);
        let room = (ROOM_OF_FREE * (limit - live)).min(ROOM_OF_LIMIT * limit).max(LEAST_ROOM_MIB);
        self.pods[pod].memory.garbage += collector.garbage_mib;
        if self.pods[pod].memory.garbage < room {
            return;
        }
        self.pods[pod].memory.garbage = 0.0;
        let crowded = ((live / limit - CROWDED) / (1.0 - CROWDED)).clamp(0.0, 1.0);
        let full_ms = collector.full * FULL_PAUSE_MS * (limit / 1024.0).max(1.0) * crowded * crowded;
        let pause_ms = (collector.pause_ms + full_ms) * self.draws.service.between(0.7, 1.3);
        self.stop_the_world(pod, (pause_ms * MILLISECOND_NS as f64) as i64);
    }

    fn stop_the_world(&mut self, place: usize, pause_ns: i64) {
        let now_ns = self.now_ns;
        let pod = &mut self.pods[place];
        pod.paused_ns += pause_ns;
        pod.paused_until_ns = pod.paused_until_ns.max(now_ns) + pause_ns;
        pod.counters.gc_ns += pause_ns;
        pod.counters.cpu_ns += pause_ns;
        if pause_ns >= LOGGED_PAUSE_NS {
            self.log_bounded(place, LogEvent::GarbagePause(ms_of_ns(pause_ns)), (0, 0));
        }
    }

    /// What a second adds to memory, and the end of those that are over their limit.
    pub(super) fn second_of_memory(&mut self) {
        let plan = self.plan;
        for pod in &mut self.pods {
            pod.memory.allocated = 0.0;
        }
        for effect in &plan.effects {
            let Knob::Allocate(mib) = effect.knob else { continue };
            if !(effect.from_ns..effect.until_ns).contains(&self.now_ns) {
                continue;
            }
            for pod in self.pods_meant(&effect.target) {
                let pod = &mut self.pods[pod];
                let begun_ns = if pod.restarts > 0 { pod.counters.started_ns + CALM_NS } else { effect.from_ns };
                if self.now_ns >= begun_ns {
                    let since = growth(effect, self.now_ns - (begun_ns.max(effect.from_ns) - effect.from_ns));
                    pod.memory.allocated += mib * since;
                }
            }
        }
        for pod in 0..self.pods.len() {
            if !self.pods[pod].serves() {
                continue;
            }
            self.pods[pod].memory.leaked += self.pods[pod].knobs.leak_mib_per_s;
            let limit = self.system.services[self.pods[pod].service].memory_mib;
            if self.live_mib(pod) > limit && self.pods[pod].stage == Stage::Ready {
                self.kill_out_of_memory(pod);
            }
        }
    }
}
