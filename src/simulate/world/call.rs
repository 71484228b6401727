//! A call from a pod to a service: its attempts, the connection it needs, the way there and back, and how it ends.
//!
//! The client span of a call by HTTP or gRPC begins when the call is wanted, so that waiting for a connection is within
//! it; that of a database begins with the connection, since there the pool lies above the instrumented driver: its wait
//! is the caller's own time, and a call that gets no connection leaves no span. The timeout counts from the connection
//! on; before it, the wait for one is bounded by the same time (5 s where there is none). A caller that gave up closes
//! the connection, the callee goes on working. Every failed attempt is tried again but those that the callee did not
//! accept and those that the breaker stopped.

use crate::simulate::recording::{LogEvent, Outcome, Side, SpanRecord};
use crate::simulate::system::{Call as CallSite, LinkIdx, OperationIdx, Protocol, System, TopicIdx};

use super::World;
use super::arena::Id;
use super::breaker::Turn;
use super::events::What;
use super::job::Origin;
use super::time::{MICROSECOND_NS, MILLISECOND_NS, SECOND_NS, ns_of_us};

/// How long a call without timeout waits for a connection, or hangs on one that is cut.
const HANG_NS: i64 = 5 * SECOND_NS;
/// How long a producer waits for the broker.
const PUBLISH_TIMEOUT_NS: i64 = 5 * SECOND_NS;
/// How long the resolver takes to say that there is no such name.
const NO_NAME_NS: i64 = 1_500 * MICROSECOND_NS;
/// A message that is lost is sent again after this time, doubled each time (RFC 6298 with the usual least timeout).
const RESEND_NS: i64 = 200 * MILLISECOND_NS;
/// Losses of one message in a row after which it comes through: the connection would be given up.
const MOST_LOSSES: u32 = 6;

/// What is done with the answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// It is used.
    Answer,
    /// It says whether the cache has it.
    Lookup { hit_ratio: f64, skip: u32 },
    /// The broker has the message.
    Publish(TopicIdx),
}

/// What is called, and what is known of it beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    link: LinkIdx,
    /// Place of the program that serves it.
    program: usize,
    timeout_ns: Option<i64>,
    retries: u32,
    backoff_ns: i64,
    required: bool,
    purpose: Purpose,
}

impl Site {
    pub(super) fn of(call: &CallSite, purpose: Purpose) -> Self {
        Self {
            link: call.link,
            program: call.operation,
            timeout_ns: call.timeout_us.map(ns_of_us),
            retries: call.retries,
            backoff_ns: ns_of_us(call.backoff_us),
            required: call.required,
            purpose,
        }
    }

    pub(super) fn publish(topic: TopicIdx, link: LinkIdx, program: usize) -> Self {
        Self {
            link,
            program,
            timeout_ns: Some(PUBLISH_TIMEOUT_NS),
            retries: 0,
            backoff_ns: 0,
            required: true,
            purpose: Purpose::Publish(topic),
        }
    }
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    /// Who waits for it.
    pub(super) job: Id,
    /// The pod of `job`.
    pub(super) caller: u32,
    site: Site,
    attempt: u8,
    /// Begin of the client span.
    started_ns: i64,
    /// What the callee is told: trace and nearest recorded span.
    context: (u128, u64),
    /// Trace, own id and parent of the client span; `None`: not recorded.
    recorded: Option<(u128, u64, u64)>,
    connected: bool,
    waits: bool,
    callee: u32,
    outcome: Outcome,
    corrupt: bool,
}

impl World<'_> {
    /// A step of a job makes a call.
    pub(super) fn call(&mut self, job: Id, site: Site) {
        let Some(calling) = self.jobs.get(job) else { return };
        let call = Call {
            job,
            caller: calling.pod,
            site,
            attempt: 0,
            started_ns: self.now_ns,
            context: (calling.trace, calling.span),
            recorded: None,
            connected: false,
            waits: false,
            callee: 0,
            outcome: Outcome::Ok,
            corrupt: false,
        };
        let id = self.calls.insert(call);
        self.attempt(id);
    }

    /// Begins an attempt: breaker, then connection.
    pub(super) fn attempt(&mut self, id: Id) {
        let now_ns = self.now_ns;
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(job) = self.jobs.get(call.job) else { return };
        call.started_ns = now_ns;
        (call.connected, call.corrupt) = (false, false);
        call.context = (job.trace, job.span);
        if job.recorded {
            let span = self.draws.span_id();
            call.recorded = Some((job.trace, span, job.span));
            call.context.1 = span;
        }
        let (link, site_timeout_ns) = (call.site.link, call.site.timeout_ns);
        let slot = self.slot_of_link[link];
        let outgoing = &mut self.pods[call.caller as usize].outgoing[slot];
        if outgoing.breaker.as_mut().is_some_and(|breaker| !breaker.allows(now_ns)) {
            call.outcome = Outcome::BreakerOpen;
            return self.events.plan(now_ns + 20 * MICROSECOND_NS, What::Answer(id));
        }
        let knobs = &self.links[link];
        if outgoing.take(knobs.pool) {
            return self.connect(id);
        }
        outgoing.line.push_back(id);
        outgoing.waiting += 1;
        call.waits = true;
        let patience_ns = knobs.timeout_ns.or(site_timeout_ns).unwrap_or(HANG_NS);
        self.events.plan(now_ns + patience_ns, What::GiveUpConnection(id));
    }

    /// Has its connection: sends the request.
    fn connect(&mut self, id: Id) {
        let now_ns = self.now_ns;
        let Some(call) = self.calls.get_mut(id) else { return };
        call.connected = true;
        call.waits = false;
        let (site, caller) = (call.site, call.caller);
        if is_database(self.system, site.program) {
            call.started_ns = now_ns;
        }
        let link = site.link;
        let knobs = self.links[link];
        if self.draws.choice.chance(knobs.no_name) {
            return self.end_at(id, now_ns + NO_NAME_NS, Outcome::NameNotFound);
        }
        let timeout_ns = knobs.timeout_ns.or(site.timeout_ns);
        if knobs.cut {
            return self.events.plan(now_ns + timeout_ns.unwrap_or(HANG_NS), What::GiveUp(id));
        }
        if let Some(timeout_ns) = timeout_ns {
            self.events.plan(now_ns + timeout_ns, What::GiveUp(id));
        }
        let there_ns = self.transit(link);
        let callee = self.system.links[link].callee;
        let outgoing = &mut self.pods[caller as usize].outgoing[self.slot_of_link[link]];
        let ready = &self.routable[callee];
        if ready.is_empty() {
            let back_ns = self.transit(link);
            return self.end_at(id, now_ns + there_ns + back_ns, Outcome::Refused);
        }
        outgoing.turn += 1;
        let pod = ready[outgoing.turn % ready.len()];
        if let Some(call) = self.calls.get_mut(id) {
            call.callee = pod;
        }
        self.pods[caller as usize].counters.sent_bytes += self.sizes[site.program].0;
        self.events.plan(now_ns + there_ns, What::Reach(id));
    }

    /// The request is at the callee.
    pub(super) fn reach(&mut self, id: Id) {
        let Some(call) = self.calls.get(id) else { return };
        let (site, pod, context) = (call.site, call.callee, call.context);
        let place = pod as usize;
        if !self.pods[place].serves() {
            return self.answer(id, Outcome::Refused, false);
        }
        self.pods[place].counters.received_bytes += self.sizes[site.program].0;
        let mut job = self.new_job(pod, site.program as u32, Origin::Call(id), context);
        if let Purpose::Publish(_) = site.purpose {
            // The broker hands on what it got, whatever it tells of itself.
            (job.trace, job.span, job.recorded) = (context.0, context.1, false);
        }
        if self.draws.choice.chance(self.links[site.link].misconfigured) {
            self.turn_away(job, Outcome::Rejected);
        } else {
            self.admit(job);
        }
    }

    /// The callee, or the network, answers; where the way back is cut the caller waits in vain.
    pub(super) fn answer(&mut self, id: Id, outcome: Outcome, corrupt: bool) {
        let Some(call) = self.calls.get_mut(id) else { return };
        // Of a failed answer of the callee's own, the caller sees that it failed.
        call.outcome = if outcome == Outcome::InvalidAnswer { Outcome::Failed } else { outcome };
        call.corrupt = corrupt;
        let link = call.site.link;
        let has_timeout = call.site.timeout_ns.is_some() || self.links[link].timeout_ns.is_some();
        let (caller, program) = (call.caller as usize, call.site.program);
        if self.links[link].cut {
            if !has_timeout {
                self.events.plan(self.now_ns + HANG_NS, What::GiveUp(id));
            }
            return;
        }
        self.pods[caller].counters.received_bytes += self.sizes[program].1;
        let back_ns = self.transit(link);
        self.events.plan(self.now_ns + back_ns, What::Answer(id));
    }

    fn end_at(&mut self, id: Id, at_ns: i64, outcome: Outcome) {
        if let Some(call) = self.calls.get_mut(id) {
            call.outcome = outcome;
            self.events.plan(at_ns, What::Answer(id));
        }
    }

    /// The answer is there.
    pub(super) fn answered(&mut self, id: Id) {
        if let Some(call) = self.calls.get(id) {
            let outcome = call.outcome;
            self.end_attempt(id, outcome);
        }
    }

    /// The caller has waited long enough for an answer.
    pub(super) fn give_up(&mut self, id: Id) {
        self.end_attempt(id, Outcome::TimedOut);
    }

    /// The caller has waited long enough for a connection, unless it has one by now.
    pub(super) fn give_up_connection(&mut self, id: Id) {
        if self.calls.get(id).is_some_and(|call| call.waits) {
            self.end_attempt(id, Outcome::PoolTimedOut);
        }
    }

    /// Time of one message on the network, ns.
    fn transit(&mut self, link: LinkIdx) -> i64 {
        let knobs = &self.links[link];
        let random = &mut self.draws.network;
        let mean_us = self.system.links[link].network_us;
        let mut ns = ns_of_us(0.6 * mean_us + random.exponential(0.4 * mean_us));
        if knobs.delay_us > 0.0 {
            ns += ns_of_us(0.5 * knobs.delay_us + random.exponential(0.5 * knobs.delay_us));
        }
        let mut losses = 0;
        while losses < MOST_LOSSES && random.chance(knobs.loss) {
            ns += RESEND_NS << losses;
            losses += 1;
        }
        ns
    }

    /// An attempt has ended: what it held is given back, and it is tried again or its job goes on.
    pub(super) fn end_attempt(&mut self, id: Id, outcome: Outcome) {
        let Some(call) = self.calls.get(id) else { return };
        let (site, caller, attempt, job) = (call.site, call.caller as usize, call.attempt, call.job);
        self.record_call(id, outcome);
        self.give_back(id, outcome);
        let failed = outcome != Outcome::Ok;
        if failed {
            self.log_failed_call(caller, job, &site, outcome);
        }
        let knobs = &self.links[site.link];
        let retries = site.retries.max(knobs.retries.unwrap_or(0));
        let may_retry = failed && !matches!(outcome, Outcome::Rejected | Outcome::BreakerOpen);
        if may_retry && u32::from(attempt) < retries.min(u32::from(u8::MAX)) {
            let pause_ns = if knobs.retries.is_some() { 0 } else { self.pause_before_retry(&site, attempt) };
            let id = self.calls.renew(id);
            if let Some(call) = self.calls.get_mut(id) {
                call.attempt += 1;
            }
            self.events.plan(self.now_ns + pause_ns, What::Retry(id));
        } else if let Some(call) = self.calls.remove(id) {
            self.use_answer(&call, outcome);
        }
    }

    /// Doubled each time, and half of it random (full jitter would let some be tried at once).
    fn pause_before_retry(&mut self, site: &Site, attempt: u8) -> i64 {
        let whole_ns = site.backoff_ns.saturating_mul(1 << attempt.min(16));
        (whole_ns as f64 * self.draws.network.between(0.5, 1.0)) as i64
    }

    fn record_call(&mut self, id: Id, outcome: Outcome) {
        let Some(call) = self.calls.get(id) else { return };
        let Some((trace, span, parent)) = call.recorded else { return };
        let no_connection = outcome == Outcome::PoolTimedOut && is_database(self.system, call.site.program);
        if no_connection || !self.is_recorded_time() {
            return;
        }
        let (side, topic) = match call.site.purpose {
            Purpose::Publish(topic) => (Side::Producer, Some(topic)),
            Purpose::Answer | Purpose::Lookup { .. } => (Side::Client, None),
        };
        let operation: OperationIdx = match topic {
            Some(topic) => self.system.topics[topic].consumers.first().copied().unwrap_or(0),
            None => call.site.program,
        };
        self.recording.spans.push(SpanRecord {
            trace,
            span,
            parent,
            link: (0, 0),
            start_ns: call.started_ns,
            end_ns: self.now_ns,
            instance: call.caller,
            operation,
            topic,
            side,
            outcome,
            attempt: call.attempt,
        });
    }

    /// Breaker and connection learn how it ended.
    fn give_back(&mut self, id: Id, outcome: Outcome) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let (caller, link) = (call.caller as usize, call.site.link);
        let (connected, waits) = (call.connected, call.waits);
        (call.connected, call.waits) = (false, false);
        let slot = self.slot_of_link[link];
        let outgoing = &mut self.pods[caller].outgoing[slot];
        outgoing.waiting -= u32::from(waits);
        outgoing.used -= u32::from(connected);
        if outcome != Outcome::BreakerOpen
            && let Some(breaker) = &mut outgoing.breaker
        {
            match breaker.note(self.now_ns, outcome != Outcome::Ok) {
                Turn::Opened => self.log(caller, LogEvent::BreakerOpened(link), (0, 0)),
                Turn::Closed => self.log(caller, LogEvent::BreakerClosed(link), (0, 0)),
                Turn::Stayed => {}
            }
        }
        if connected {
            self.connect_waiting(caller, link);
        }
    }

    /// Free connections go to those who wait.
    pub(super) fn connect_waiting(&mut self, caller: usize, link: LinkIdx) {
        let slot = self.slot_of_link[link];
        let size = self.links[link].pool;
        loop {
            let outgoing = &mut self.pods[caller].outgoing[slot];
            if size.is_some_and(|size| outgoing.used >= size) {
                return;
            }
            let Some(next) = outgoing.line.pop_front() else { return };
            if self.calls.get(next).is_some() {
                outgoing.used += 1;
                outgoing.waiting -= 1;
                self.connect(next);
            }
        }
    }

    /// The size of the pools of a link has changed.
    pub(super) fn resize_pools(&mut self, link: LinkIdx) {
        let caller = self.system.links[link].caller;
        for nth in 0..self.pods_of[caller].len() {
            self.connect_waiting(self.pods_of[caller][nth], link);
        }
    }

    fn log_failed_call(&mut self, caller: usize, job: Id, site: &Site, outcome: Outcome) {
        let context = self.jobs.get(job).map_or((0, 0), |job| job.context());
        let event = match (outcome, site.purpose) {
            (Outcome::PoolTimedOut, _) => LogEvent::PoolEmpty(site.link),
            (_, Purpose::Publish(topic)) => {
                let Some(operation) = self.system.topics[topic].consumers.first() else { return };
                LogEvent::CallFailed(site.link, *operation, outcome)
            }
            _ => LogEvent::CallFailed(site.link, site.program, outcome),
        };
        self.log_bounded(caller, event, context);
    }

    /// The job learns how its call ended.
    fn use_answer(&mut self, call: &Call, outcome: Outcome) {
        let site = &call.site;
        let answered = outcome == Outcome::Ok;
        let hit_skip = match site.purpose {
            Purpose::Lookup { hit_ratio, skip } if answered => {
                self.look_up(call.callee as usize, hit_ratio).then_some(skip)
            }
            _ => None,
        };
        let Some(job) = self.jobs.get_mut(call.job) else { return };
        let broken = match (site.required, answered, call.corrupt) {
            (true, false, _) => Some(Outcome::DependencyFailed),
            (true, true, true) => Some(Outcome::InvalidAnswer),
            _ => None,
        };
        job.broken = job.broken.or(broken);
        job.pending -= 1;
        if job.pending > 0 {
            return;
        }
        match job.broken {
            Some(outcome) => {
                let (place, context) = (job.pod as usize, job.context());
                if broken == Some(Outcome::InvalidAnswer) {
                    self.log_bounded(place, LogEvent::InvalidAnswer(site.link, site.program), context);
                }
                self.finish(call.job, outcome);
            }
            None => {
                job.step += 1 + hit_skip.unwrap_or(0);
                self.run(call.job);
            }
        }
    }
}

fn is_database(system: &System, program: usize) -> bool {
    system.operations.get(program).is_some_and(|operation| operation.protocol == Protocol::Database)
}
