//! A request or message in the hands of one pod: it waits for a worker, goes through the steps of its operation, and
//! ends.

use crate::simulate::random::Random;
use crate::simulate::recording::{LogEvent, Outcome, Side, SpanRecord};
use crate::simulate::system::{Role, Runtime, Shape, Step, Work};

use super::World;
use super::arena::Id;
use super::call::{Purpose, Site};
use super::consumer::Message;
use super::cpu::CORE;
use super::events::What;
use super::time::{MICROSECOND_NS, MILLISECOND_NS, ms_of_ns, ns_of_us};

/// Statements that take longer are logged by databases.
const SLOW_STATEMENT_NS: i64 = 250 * MILLISECOND_NS;

/// Waits for the lock from here on are logged.
const LOGGED_LOCK_WAIT_NS: i64 = 50 * MILLISECOND_NS;
/// How long it takes to say no.
const TURNED_AWAY_NS: i64 = 150 * MICROSECOND_NS;
/// What a request of a service and one of a database leave on the disk, bytes.
const LINE_BYTES: u64 = 200;
const PAGE_BYTES: u64 = 4_096;

/// Where a job comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// From outside, where nobody is watched.
    Outside,
    /// From a call; it may be given up by now.
    Call(Id),
    /// From a topic: consumer group, message.
    Topic(u32, Message),
}

/// What will become of it, drawn when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// What its steps make of it.
    Usual,
    /// Fails within its first work, or at its end when it has none.
    Fails,
    /// Ends well before the first step that is not work.
    EndsEarly,
}

/// A piece of work in progress.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Millionths of a core.
    demand: i64,
    cpu_ns: i64,
    /// The pod's sum of pauses that is already in its end.
    paused_ns: i64,
}

/// A request or message in the hands of one pod.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) pod: u32,
    /// Place of its program: of an operation, or beyond them of what a broker does for a topic.
    pub(super) program: u32,
    pub(super) origin: Origin,
    /// The step it is at.
    pub(super) step: u32,
    /// Calls under way.
    pub(super) pending: u32,
    /// It gets no worker, and is answered so.
    turned_away: Option<Outcome>,
    /// How it will end because a call went wrong that it needs.
    pub(super) broken: Option<Outcome>,
    fate: Fate,
    corrupt: bool,
    piece: Option<Piece>,
    /// Whether a span of it will be recorded.
    pub(super) recorded: bool,
    /// Trace of its span, or handed on through it; 0: none.
    pub(super) trace: u128,
    /// Its span, or where it has none the nearest recorded one above it; 0: none.
    pub(super) span: u64,
    /// The nearest recorded span above its own.
    parent: u64,
    arrived_ns: i64,
    begun_ns: i64,
}

impl World<'_> {
    /// A job for a pod, with the context that came along: trace and nearest recorded span.
    pub(super) fn new_job(&mut self, pod: u32, program: u32, origin: Origin, context: (u128, u64)) -> Job {
        let service = self.pods[pod as usize].service;
        let traits = self.traits[service];
        let (trace, span, parent) = if traits.records {
            let new_trace = context.0 == 0 || matches!(origin, Origin::Topic(group, _) if self.is_linked(group));
            if new_trace {
                (self.draws.trace_id(), self.draws.span_id(), 0)
            } else {
                (context.0, self.draws.span_id(), context.1)
            }
        } else if traits.passes_context {
            (context.0, context.1, 0)
        } else {
            (0, 0, 0)
        };
        Job {
            pod,
            program,
            origin,
            step: 0,
            pending: 0,
            turned_away: None,
            broken: None,
            fate: Fate::Usual,
            corrupt: false,
            piece: None,
            recorded: traits.records,
            trace,
            span,
            parent,
            arrived_ns: self.now_ns,
            begun_ns: self.now_ns,
        }
    }

    /// A request has reached a pod that serves: it begins, waits, or is refused.
    pub(super) fn admit(&mut self, job: Job) {
        let place = job.pod as usize;
        let service = &self.system.services[self.pods[place].service];
        if self.pods[place].busy < service.workers.max(1) && self.pods[place].line.is_empty() {
            let id = self.jobs.insert(job);
            match self.take_up(id) {
                0 => self.run(id),
                delay_ns => self.events.plan(self.now_ns + delay_ns, What::GoOn(id)),
            }
        } else if self.pods[place].line.len() < service.backlog as usize {
            let id = self.jobs.insert(job);
            self.pods[place].line.push_back(id);
        } else {
            self.turn_away(job, Outcome::Overloaded);
        }
    }

    /// A worker takes it up; how long it waits before its first step, ns.
    fn take_up(&mut self, id: Id) -> i64 {
        let Some(job) = self.jobs.get(id) else { return 0 };
        let place = job.pod as usize;
        self.pods[place].busy += 1;
        self.draw_fate(id);
        self.delay_before(place)
    }

    /// A message is taken from a topic; the worker is one of the consumer's own.
    pub(super) fn begin_message(&mut self, job: Job, fetch_ns: i64) {
        let place = job.pod as usize;
        let id = self.jobs.insert(job);
        self.draw_fate(id);
        let delay_ns = self.delay_before(place);
        self.events.plan(self.now_ns + fetch_ns + delay_ns, What::GoOn(id));
    }

    fn draw_fate(&mut self, id: Id) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.begun_ns = self.now_ns;
        let place = job.pod as usize;
        let knobs = &self.pods[place].knobs;
        let draws = &mut self.draws.choice;
        if draws.chance(knobs.fail) {
            job.fate = Fate::Fails;
        } else if draws.chance(knobs.return_early) {
            job.fate = Fate::EndsEarly;
        } else {
            job.corrupt = draws.chance(knobs.corrupt);
        }
        self.leave_garbage(place);
    }

    /// How long a request waits before its first step: for the lock of the instance, and what else holds it up.
    fn delay_before(&mut self, place: usize) -> i64 {
        let now_ns = self.now_ns;
        let pod = &mut self.pods[place];
        let mut delay_ns = pod.knobs.pause_ns;
        if pod.knobs.lock_ns > 0 {
            let taken_ns = pod.lock_free_ns.max(now_ns);
            pod.lock_free_ns = taken_ns + pod.knobs.lock_ns;
            let waited_ns = taken_ns - now_ns;
            delay_ns += pod.lock_free_ns - now_ns;
            if waited_ns > LOGGED_LOCK_WAIT_NS {
                self.log_bounded(place, LogEvent::LockWait(ms_of_ns(waited_ns)), (0, 0));
            }
        }
        delay_ns
    }

    /// Its work or delay is over.
    pub(super) fn go_on(&mut self, id: Id) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let place = job.pod as usize;
        if let Some(outcome) = job.turned_away {
            if let Some(job) = self.jobs.remove(id) {
                self.conclude(job, outcome);
            }
            return;
        }
        let Some(piece) = &mut job.piece else { return self.run(id) };
        let lengthened_ns = self.pods[place].paused_ns - piece.paused_ns;
        if lengthened_ns > 0 {
            piece.paused_ns = self.pods[place].paused_ns;
            self.events.plan(self.now_ns + lengthened_ns, What::GoOn(id));
            return;
        }
        let (demand, cpu_ns) = (piece.demand, piece.cpu_ns);
        job.piece = None;
        job.step += 1;
        let fails = job.fate == Fate::Fails;
        self.pods[place].counters.cpu_ns += cpu_ns;
        if demand > 0 {
            self.change_demand(place, -demand);
        }
        if fails {
            self.finish(id, Outcome::Failed);
        } else {
            self.run(id);
        }
    }

    /// Goes through the steps until one takes time.
    pub(super) fn run(&mut self, id: Id) {
        loop {
            let Some(job) = self.jobs.get_mut(id) else { return };
            let program = self.programs[job.program as usize];
            let Some(step) = program.get(job.step as usize) else {
                let outcome = if job.fate == Fate::Fails { Outcome::Failed } else { Outcome::Ok };
                return self.finish(id, outcome);
            };
            if job.fate == Fate::EndsEarly && !matches!(step, Step::Work(_)) {
                let (place, context, program) = (job.pod as usize, job.context(), job.program);
                self.log_bounded(place, LogEvent::EndedEarly(program as usize), context);
                return self.finish(id, Outcome::Ok);
            }
            match step {
                Step::Work(work) => return self.work(id, work),
                Step::Sometimes { probability, skip } => {
                    job.step += if self.draws.choice.chance(*probability) { 1 } else { 1 + *skip as u32 };
                }
                Step::Call(call) => {
                    job.pending = 1;
                    return self.call(id, Site::of(call, Purpose::Answer));
                }
                Step::Parallel(calls) => {
                    if calls.is_empty() {
                        job.step += 1;
                        continue;
                    }
                    job.pending = calls.len() as u32;
                    for call in calls {
                        self.call(id, Site::of(call, Purpose::Answer));
                    }
                    return;
                }
                Step::Lookup { call, hit_ratio, skip } => {
                    job.pending = 1;
                    let purpose = Purpose::Lookup { hit_ratio: *hit_ratio, skip: *skip as u32 };
                    return self.call(id, Site::of(call, purpose));
                }
                Step::Publish { topic, link } => {
                    job.pending = 1;
                    let program = self.system.operations.len() + topic;
                    return self.call(id, Site::publish(*topic, *link, program));
                }
            }
        }
    }

    /// Begins a piece of work.
    fn work(&mut self, id: Id, work: &Work) {
        let mut total_ns = ns_of_us(draw(&mut self.draws.service, work)) as f64;
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.fate == Fate::Fails {
            total_ns *= self.draws.choice.unit();
        }
        let place = job.pod as usize;
        let knobs = &self.pods[place].knobs;
        let cpu_ns = total_ns * work.cpu * knobs.work;
        let disk_ns = total_ns * (1.0 - work.cpu) * knobs.work;
        let wait_ns = disk_ns * knobs.wait / (1.0 - knobs.disk.min(0.98));
        let demand = if cpu_ns > 0.0 { (cpu_ns / (cpu_ns + wait_ns) * CORE as f64) as i64 } else { 0 };
        let stalled_ns = (self.pods[place].paused_until_ns - self.now_ns).max(0);
        job.piece = Some(Piece { demand, cpu_ns: cpu_ns as i64, paused_ns: self.pods[place].paused_ns });
        self.pods[place].counters.disk_asked_ns += disk_ns as i64;
        let mut slowness = 1.0;
        if demand > 0 {
            self.change_demand(place, demand);
            slowness = self.slowness(place);
        }
        let takes_ns = stalled_ns + (cpu_ns * slowness + wait_ns) as i64;
        self.events.plan(self.now_ns + takes_ns, What::GoOn(id));
    }

    /// It ends: its span, its answer, and the next one in line.
    pub(super) fn finish(&mut self, id: Id, outcome: Outcome) {
        let Some(job) = self.jobs.remove(id) else { return };
        let place = job.pod as usize;
        if let Origin::Topic(group, message) = job.origin {
            self.record_job(&job, outcome);
            self.log_end(&job, outcome);
            self.end_message(place, group, message, outcome);
            return;
        }
        self.pods[place].busy -= 1;
        self.conclude(job, outcome);
        self.next_in_line(place);
        self.end_if_drained(place);
    }

    fn next_in_line(&mut self, place: usize) {
        if let Some(next) = self.pods[place].line.pop_front() {
            let delay_ns = self.take_up(next);
            // An event even without delay: a long line of requests without work would be as deep a recursion.
            self.events.plan(self.now_ns + delay_ns, What::GoOn(next));
        }
    }

    /// Its span, its lines of the log, and its answer.
    fn conclude(&mut self, job: Job, outcome: Outcome) {
        self.record_job(&job, outcome);
        self.log_end(&job, outcome);
        let operation = job.program as usize;
        if let Some(topic) = operation.checked_sub(self.system.operations.len())
            && outcome == Outcome::Ok
        {
            self.deliver(topic, (job.trace, job.span));
        }
        if let Origin::Call(call) = job.origin {
            self.pods[job.pod as usize].counters.sent_bytes += self.sizes[operation].1;
            self.answer(call, outcome, job.corrupt);
        }
    }

    /// Answers without work.
    pub(super) fn turn_away(&mut self, mut job: Job, outcome: Outcome) {
        job.turned_away = Some(outcome);
        let id = self.jobs.insert(job);
        self.events.plan(self.now_ns + TURNED_AWAY_NS, What::GoOn(id));
    }

    fn log_end(&mut self, job: &Job, outcome: Outcome) {
        let (place, operation) = (job.pod as usize, job.program as usize);
        let took_ns = self.now_ns - job.begun_ns;
        let is_service = self.system.services[self.pods[place].service].role == Role::Service;
        self.pods[place].counters.written_bytes += if is_service { LINE_BYTES } else { PAGE_BYTES };
        if operation >= self.system.operations.len() {
            return;
        }
        if outcome == Outcome::Failed {
            self.log_bounded(place, LogEvent::Failed(operation), job.context());
        } else if is_service {
            self.log_served(place, operation, took_ns, job.context());
        } else if took_ns > SLOW_STATEMENT_NS {
            self.log_bounded(place, LogEvent::SlowStatement(operation, ms_of_ns(took_ns)), (0, 0));
        }
    }

    /// Writes down its span if it has one.
    fn record_job(&mut self, job: &Job, outcome: Outcome) {
        if !job.recorded || !self.is_recorded_time() {
            return;
        }
        let (side, topic, link) = match job.origin {
            Origin::Outside | Origin::Call(_) => (Side::Server, None, (0, 0)),
            Origin::Topic(group, message) => {
                let link = if self.is_linked(group) { message.context } else { (0, 0) };
                (Side::Consumer, Some(self.groups[group as usize].topic), link)
            }
        };
        let service = &self.system.services[self.pods[job.pod as usize].service];
        let waited_is_seen = matches!(service.runtime, Runtime::Go | Runtime::Node | Runtime::Native);
        self.recording.spans.push(SpanRecord {
            trace: job.trace,
            span: job.span,
            parent: job.parent,
            link,
            start_ns: if waited_is_seen { job.arrived_ns } else { job.begun_ns },
            end_ns: self.now_ns,
            instance: job.pod,
            operation: job.program as usize,
            topic,
            side,
            outcome,
            attempt: 0,
        });
    }
}

impl Job {
    /// Trace and span in which it logs; nothing where no span is recorded.
    pub(super) fn context(&self) -> (u128, u64) {
        if self.recorded { (self.trace, self.span) } else { (0, 0) }
    }
}

/// A time of own work, µs.
fn draw(random: &mut Random, work: &Work) -> f64 {
    match work.shape {
        Shape::Constant => work.mean_us,
        Shape::Exponential => random.exponential(work.mean_us),
        Shape::LogNormal(sigma) => random.log_normal(work.mean_us, sigma),
        Shape::Pareto(shape) => random.pareto(work.mean_us, shape),
    }
}
