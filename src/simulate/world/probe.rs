//! What exporters read: samples of pods, pools, topics and foreign pods, and what services log.

use crate::simulate::plan::{Knob, Target};
use crate::simulate::recording::{InstanceSample, LogEvent, LogRecord, NeighbourSample, PoolSample, TopicSample};
use crate::simulate::system::{Role, Visibility};

use super::World;
use super::events::What;
use super::pod::Stage;
use super::time::{MILLISECOND_NS, SECOND_NS, ms_of_ns};

/// CPU of a container without work, cores.
const IDLE_CPU: f64 = 0.004;
/// Share of what a database waits, and of what a service waits, in which the disk is busy.
const DISK_OF_DATABASE: f64 = 0.5;
const DISK_OF_SERVICE: f64 = 0.02;
/// A period of the CPU quota.
const PERIOD_NS: i64 = 100 * MILLISECOND_NS;
/// One in so many served requests is logged.
const SERVED_PER_LINE: f64 = 30.0;
/// Lines about failures of one pod in one second.
const LINES_PER_SECOND: u32 = 5;
/// Mean time between two routine lines of one pod.
const ROUTINE_S: f64 = 10.0;
/// Kinds of routine messages.
const ROUTINE_KINDS: usize = 8;

impl World<'_> {
    /// Whether what ends now is recorded.
    pub(super) fn is_recorded_time(&self) -> bool {
        self.now_ns >= self.plan.start_ns
    }

    /// Plans the scrapes and the routine lines of a new pod.
    pub(super) fn plan_telemetry(&mut self, place: usize) {
        if self.system.services[self.pods[place].service].visibility == Visibility::Nothing {
            return;
        }
        let scrape_ns = self.plan.scrape_ns.max(MILLISECOND_NS);
        let phase_ns = (self.draws.logs.unit() * scrape_ns as f64) as i64;
        let first_ns = self.plan.start_ns + phase_ns;
        let missed = ((self.now_ns - first_ns).max(0) + scrape_ns - 1) / scrape_ns;
        self.events.plan(first_ns + missed * scrape_ns, What::Scrape(place as u32));
        self.plan_routine(place);
    }

    /// A scrape of one pod and of its connection pools.
    pub(super) fn scrape(&mut self, place: usize) {
        let stage = self.pods[place].stage;
        if stage == Stage::Ended {
            return;
        }
        self.events.plan(self.now_ns + self.plan.scrape_ns.max(MILLISECOND_NS), What::Scrape(place as u32));
        if stage == Stage::Silent {
            return;
        }
        self.settle_cpu(place);
        self.settle_disk(place);
        let now_ns = self.now_ns;
        let runs = self.pods[place].serves();
        self.drift_memory(place);
        let memory_bytes = if runs { self.memory_bytes(place) } else { 0 };
        let pod = &self.pods[place];
        let counters = &pod.counters;
        let lived_ns = if runs { now_ns - counters.started_ns } else { 0 };
        let cpu_ns = counters.cpu_ns + (lived_ns as f64 * IDLE_CPU) as i64;
        let periods = lived_ns / PERIOD_NS;
        self.recording.instance_samples.push(InstanceSample {
            at_ns: now_ns,
            instance: place as u32,
            cpu_us: (cpu_ns / 1_000) as u64,
            cpu_periods: periods as u64,
            cpu_throttled_periods: (counters.throttled_ns / PERIOD_NS).min(periods) as u64,
            memory_bytes,
            gc_us: (counters.gc_ns / 1_000) as u64,
            received_bytes: counters.received_bytes,
            sent_bytes: counters.sent_bytes,
            written_bytes: counters.written_bytes,
            disk_us: (counters.disk_ns / 1_000) as u64,
            restarts: pod.restarts,
            ready: stage == Stage::Ready,
            busy_workers: pod.in_work(),
            waiting: pod.line.len() as u32,
            cpu_limit: pod.knobs.cpu_limit as f64 / super::cpu::CORE as f64,
        });
        for (&link, outgoing) in self.links_of[pod.service].iter().zip(&pod.outgoing) {
            if let Some(size) = self.links[link].pool {
                let (used, waiting) = (outgoing.used, outgoing.waiting);
                let instance = place as u32;
                self.recording.pool_samples.push(PoolSample { at_ns: now_ns, instance, link, size, used, waiting });
            }
        }
    }

    /// The disk cannot have been busy for longer than the time that has passed.
    fn settle_disk(&mut self, place: usize) {
        let now_ns = self.now_ns;
        let is_database = matches!(self.system.services[self.pods[place].service].role, Role::Database(_));
        let share = if is_database { DISK_OF_DATABASE } else { DISK_OF_SERVICE };
        let pod = &mut self.pods[place];
        let passed_ns = now_ns - pod.counters.disk_read_ns;
        let asked_ns = pod.counters.disk_asked_ns as f64 * share + passed_ns as f64 * pod.knobs.disk;
        pod.counters.disk_ns += (asked_ns as i64).min(passed_ns);
        (pod.counters.disk_asked_ns, pod.counters.disk_read_ns) = (0, now_ns);
    }

    /// A scrape of the exporters that belong to no service.
    pub(super) fn scrape_shared(&mut self) {
        let now_ns = self.now_ns;
        self.events.plan(now_ns + self.plan.scrape_ns.max(MILLISECOND_NS), What::ScrapeShared);
        for group in &self.groups {
            let (topic, consumer, lag) = (group.topic, group.consumer, group.line.len() as u64);
            self.recording.topic_samples.push(TopicSample { at_ns: now_ns, topic, consumer, lag });
        }
        for machine in 0..self.machines.len() {
            let has_neighbour = self.plan.effects.iter().any(|effect| {
                effect.target == Target::Machine(machine as u32)
                    && matches!(effect.knob, Knob::Neighbour(_))
                    && (effect.from_ns..effect.until_ns).contains(&now_ns)
            });
            if has_neighbour {
                self.machines[machine].settle(now_ns);
                let cpu_us = (self.machines[machine].neighbour_cpu_ns / 1_000) as u64;
                let machine = machine as u32;
                self.recording.neighbour_samples.push(NeighbourSample { at_ns: now_ns, machine, cpu_us });
            }
        }
    }

    /// One of many served requests.
    pub(super) fn log_served(&mut self, place: usize, operation: usize, took_ns: i64, context: (u128, u64)) {
        if self.draws.logs.chance(1.0 / SERVED_PER_LINE) {
            self.log(place, LogEvent::Served(operation, ms_of_ns(took_ns)), context);
        }
    }

    /// What would flood the log is cut off.
    pub(super) fn log_bounded(&mut self, place: usize, event: LogEvent, context: (u128, u64)) {
        let second = self.now_ns / SECOND_NS;
        let pod = &mut self.pods[place];
        if pod.log_second != second {
            (pod.log_second, pod.log_lines) = (second, 0);
        }
        pod.log_lines += 1;
        if pod.log_lines <= LINES_PER_SECOND {
            self.log(place, event, context);
        }
    }

    /// A line, if anybody keeps it.
    pub(super) fn log(&mut self, place: usize, event: LogEvent, context: (u128, u64)) {
        let visibility = self.system.services[self.pods[place].service].visibility;
        if visibility != Visibility::Nothing && self.is_recorded_time() {
            let (trace, span) = context;
            self.recording.logs.push(LogRecord { at_ns: self.now_ns, instance: place as u32, event, trace, span });
        }
    }

    /// A routine line, and the next one.
    pub(super) fn log_routine(&mut self, place: usize) {
        if self.pods[place].stage == Stage::Ended {
            return;
        }
        let kind = self.draws.logs.below(ROUTINE_KINDS) as u8;
        if self.pods[place].serves() {
            self.log(place, LogEvent::Routine(kind), (0, 0));
        }
        self.plan_routine(place);
    }

    fn plan_routine(&mut self, place: usize) {
        let pause_ns = (self.draws.logs.exponential(ROUTINE_S) * SECOND_NS as f64) as i64;
        self.events.plan(self.now_ns + pause_ns, What::Routine(place as u32));
    }
}
