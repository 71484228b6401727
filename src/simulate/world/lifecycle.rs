//! How pods come and go: starts, kills and restarts, silence, deploys and draining.

use std::collections::VecDeque;

use crate::simulate::plan::Deploy;
use crate::simulate::recording::{ChangeKind, ChangeRecord, Instance, LogEvent, Outcome};
use crate::simulate::system::{Role, ServiceIdx};

use super::World;
use super::breaker::BreakerState;
use super::cache::MISSES_AFTER_RESTART;
use super::effects::InstanceKnobs;
use super::events::What;
use super::job::Origin;
use super::names::pod_name;
use super::pod::{Counters, Memory, Pod, Stage};
use super::pool::Outgoing;
use super::time::SECOND_NS;

/// From the start of a new pod until it takes requests: scheduling, image, start of the process.
const NEW_POD_NS: i64 = 20 * SECOND_NS;
/// From the start of a container in a pod that is there already.
const START_NS: i64 = 15 * SECOND_NS;
/// Pause before the second restart in a row, doubled up to the most (Kubernetes' CrashLoopBackOff).
const BACK_OFF_NS: i64 = 10 * SECOND_NS;
const MOST_BACK_OFF_NS: i64 = 300 * SECOND_NS;
/// A container that ran for so long has not crashed in a row.
const SETTLED_NS: i64 = 600 * SECOND_NS;
/// Until clients know of a killed container; its node sees it die.
const KILL_SEEN_NS: i64 = 2 * SECOND_NS;
/// Until clients know of a silent one: readiness probes have to fail.
const SILENCE_SEEN_NS: i64 = 20 * SECOND_NS;
/// How long a pod may take to finish what it has.
const GRACE_NS: i64 = 30 * SECOND_NS;

impl World<'_> {
    /// A new pod; it does not take requests yet.
    pub(super) fn new_pod(&mut self, service: ServiceIdx, ordinal: u32, version: &str) -> usize {
        let now_ns = self.now_ns;
        let place = self.pods.len();
        let settings = &self.system.services[service];
        let machine = self.system.machine_of(service, ordinal);
        let is_inside = settings.role != Role::External;
        self.recording.instances.push(Instance {
            service,
            pod: pod_name(settings, version, ordinal, &mut self.draws.names),
            machine,
            version: version.to_owned(),
            started_ns: now_ns,
            ended_ns: None,
        });
        let knobs = InstanceKnobs::new(settings.cores);
        let outgoing = self.new_outgoing(service);
        self.pods.push(Pod {
            service,
            machine: is_inside.then_some(machine as usize),
            ordinal,
            stage: Stage::Starting,
            container: 0,
            restarts: 0,
            crashes: 0,
            replaces: None,
            busy: 0,
            line: VecDeque::new(),
            consuming: vec![0; self.groups_in_service[service]],
            outgoing,
            knobs,
            next_knobs: knobs,
            demand: 0,
            demand_ns: now_ns,
            paused_ns: 0,
            paused_until_ns: now_ns,
            lock_free_ns: now_ns,
            warmth: 1.0,
            misses_to_warm: MISSES_AFTER_RESTART,
            memory: Memory::default(),
            counters: Counters { started_ns: now_ns, disk_read_ns: now_ns, ..Counters::default() },
            scaled_cpu_ns: 0,
            log_second: 0,
            log_lines: 0,
        });
        self.pods_of[service].push(place);
        self.plan_telemetry(place);
        place
    }

    fn new_outgoing(&mut self, service: ServiceIdx) -> Vec<Outgoing> {
        let links = self.links_of[service].iter().map(|link| &self.system.links[*link]);
        links
            .map(|link| Outgoing {
                used: 0,
                line: VecDeque::new(),
                waiting: 0,
                breaker: link.breaker.map(BreakerState::new),
                turn: self.draws.routes.below(1 << 16),
            })
            .collect()
    }

    /// Takes requests from now on.
    pub(super) fn make_ready(&mut self, place: usize) {
        let pod = &mut self.pods[place];
        pod.stage = Stage::Ready;
        let service = pod.service;
        if !self.routable[service].contains(&(place as u32)) {
            self.routable[service].push(place as u32);
            self.routable[service].sort_unstable();
        }
    }

    /// A container has started, unless it died before.
    pub(super) fn started(&mut self, place: usize, container: u32) {
        let now_ns = self.now_ns;
        let pod = &mut self.pods[place];
        if pod.container != container || !matches!(pod.stage, Stage::Starting | Stage::Killed) {
            return;
        }
        pod.memory = Memory::default();
        pod.counters = Counters { started_ns: now_ns, disk_read_ns: now_ns, ..Counters::default() };
        pod.scaled_cpu_ns = 0;
        let old = pod.replaces.take();
        let is_empty_cache = pod.restarts > 0 && matches!(self.system.services[pod.service].role, Role::Cache(_));
        if is_empty_cache {
            self.empty_cache(place, MISSES_AFTER_RESTART);
        }
        self.make_ready(place);
        self.log(place, LogEvent::Started, (0, 0));
        if let Some(old) = old {
            self.drain(old);
        }
        self.resolve();
    }

    /// The kernel kills a container that is over its limit.
    pub(super) fn kill_out_of_memory(&mut self, place: usize) {
        self.log(place, LogEvent::OutOfMemory, (0, 0));
        let settled = self.now_ns - self.pods[place].counters.started_ns > SETTLED_NS;
        self.abort(place);
        let pod = &mut self.pods[place];
        pod.stage = Stage::Killed;
        pod.restarts += 1;
        pod.crashes = if settled { 1 } else { pod.crashes + 1 };
        let back_off_ns = match pod.crashes {
            0 | 1 => 0,
            more => (BACK_OFF_NS << (more - 2).min(10)).min(MOST_BACK_OFF_NS),
        };
        let container = pod.container;
        let place = place as u32;
        self.events.plan(self.now_ns + START_NS + back_off_ns, What::Started(place, container));
        self.events.plan(self.now_ns + KILL_SEEN_NS, What::Unroute(place, container));
    }

    /// Is gone without a word.
    pub(super) fn fall_silent(&mut self, place: usize) {
        self.abort(place);
        self.pods[place].stage = Stage::Silent;
        self.events.plan(self.now_ns + SILENCE_SEEN_NS, What::Unroute(place as u32, self.pods[place].container));
    }

    /// The container of a silent pod starts again.
    pub(super) fn start_again(&mut self, place: usize) {
        let pod = &mut self.pods[place];
        pod.stage = Stage::Starting;
        pod.container += 1;
        pod.restarts += 1;
        self.events.plan(self.now_ns + START_NS, What::Started(place as u32, pod.container));
        self.unroute(place);
    }

    /// Clients know by now that a container is dead.
    pub(super) fn unroute_dead(&mut self, place: usize, container: u32) {
        if self.pods[place].container == container && self.pods[place].stage != Stage::Ready {
            self.unroute(place);
        }
    }

    fn unroute(&mut self, place: usize) {
        let service = self.pods[place].service;
        self.routable[service].retain(|pod| *pod as usize != place);
    }

    /// Ends all that a container has in work, and all that it waits for.
    fn abort(&mut self, place: usize) {
        for id in self.calls.find(|call| call.caller as usize == place) {
            self.calls.remove(id);
        }
        for id in self.jobs.find(|job| job.pod as usize == place) {
            match self.jobs.remove(id).map(|job| job.origin) {
                Some(Origin::Call(call)) => self.answer(call, Outcome::Reset, false),
                Some(Origin::Topic(group, message)) => self.redeliver(group, message),
                Some(Origin::Outside) | None => {}
            }
        }
        let demand = self.pods[place].demand;
        self.change_demand(place, -demand);
        let outgoing = self.new_outgoing(self.pods[place].service);
        let pod = &mut self.pods[place];
        pod.container += 1;
        pod.busy = 0;
        pod.line.clear();
        pod.consuming.fill(0);
        pod.outgoing = outgoing;
        pod.lock_free_ns = self.now_ns;
        pod.paused_until_ns = self.now_ns;
        pod.memory = Memory::default();
    }

    /// Told to stop: gets nothing new, and ends when it has finished.
    pub(super) fn drain(&mut self, place: usize) {
        self.unroute(place);
        match self.pods[place].stage {
            Stage::Ready => {
                self.log(place, LogEvent::Stopping, (0, 0));
                self.pods[place].stage = Stage::Draining;
                self.events.plan(self.now_ns + GRACE_NS, What::Stop(place as u32));
                self.end_if_drained(place);
            }
            Stage::Starting | Stage::Killed | Stage::Silent => self.end(place),
            Stage::Draining | Stage::Ended => {}
        }
    }

    /// Ends a pod that was told to stop once nothing is left to do.
    pub(super) fn end_if_drained(&mut self, place: usize) {
        let pod = &self.pods[place];
        if pod.stage == Stage::Draining && pod.in_work() == 0 && pod.line.is_empty() {
            self.end(place);
        }
    }

    /// The time to finish is over.
    pub(super) fn stop(&mut self, place: usize) {
        if self.pods[place].stage == Stage::Draining {
            self.end(place);
        }
    }

    /// Is no more, and neither is what it had in work.
    pub(super) fn end(&mut self, place: usize) {
        self.abort(place);
        self.pods[place].stage = Stage::Ended;
        self.recording.instances[place].ended_ns = Some(self.now_ns);
        self.must_resolve = true;
    }

    /// Replaces one pod of a deploy, and plans the next one.
    pub(super) fn replace_next(&mut self, place: usize) {
        let plan = self.plan;
        let deploy = &plan.deploys[place];
        let service = deploy.service;
        let wanted = self.wanted_pods(service);
        let is_old = |pod: &&usize| self.recording.instances[**pod].version != deploy.version;
        let old: Vec<usize> = wanted.iter().filter(is_old).copied().collect();
        let left = match self.deploys_left[place] {
            Some(left) => left,
            None => {
                self.announce(deploy);
                deploy.pods.unwrap_or(u32::MAX).min(old.len() as u32)
            }
        };
        let Some(old) = old.first().copied().filter(|_| left > 0) else { return };
        let stateful = self.system.services[service].role != Role::Service;
        let new = self.new_pod(service, self.pods[old].ordinal, &deploy.version);
        if stateful {
            // The new one has the old one's name and disk: it cannot start before the old one is gone.
            self.drain(old);
            self.stop(old);
            self.recording.instances[new].pod = self.recording.instances[old].pod.clone();
        } else {
            self.pods[new].replaces = Some(old);
        }
        self.start_new(new);
        self.deploys_left[place] = Some(left - 1);
        if left > 1 {
            self.events.plan(self.now_ns + deploy.step_ns.max(SECOND_NS), What::Replace(place as u32));
        }
    }

    /// Pods that a service should have: neither told to stop nor about to be.
    pub(super) fn wanted_pods(&self, service: ServiceIdx) -> Vec<usize> {
        let pods = &self.pods_of[service];
        let is_replaced = |pod: usize| pods.iter().any(|other| self.pods[*other].replaces == Some(pod));
        pods.iter().copied().filter(|pod| self.pods[*pod].is_wanted() && !is_replaced(*pod)).collect()
    }

    fn announce(&mut self, deploy: &Deploy) {
        if deploy.pods.is_none() {
            self.versions[deploy.service].clone_from(&deploy.version);
        }
        self.recording.changes.push(ChangeRecord {
            at_ns: self.now_ns,
            service: deploy.service,
            kind: ChangeKind::Deploy,
            version: Some(deploy.version.clone()),
            description: deploy.description.clone(),
        });
    }

    /// The container of a new pod begins to start.
    pub(super) fn start_new(&mut self, place: usize) {
        self.events.plan(self.now_ns + NEW_POD_NS, What::Started(place as u32, self.pods[place].container));
        self.must_resolve = true;
    }
}
