//! The world: plays a plan on a system, event by event.
//!
//! A discrete-event simulation (Law 2015, "Simulation Modeling and Analysis", chapter 1): nothing happens between two
//! events, so that the cost of a run is the number of its events, whatever time it covers.
//!
//! | file | what is played there |
//! | --- | --- |
//! | `load` | requests come in |
//! | `job` | a request waits for a worker of a pod and goes through its steps |
//! | `call`, `pool`, `breaker` | a pod calls another one: connections, network, timeouts, further attempts |
//! | `cache`, `consumer` | lookups; messages |
//! | `cpu`, `memory` | what is short makes slow, or kills |
//! | `lifecycle`, `autoscale` | pods come and go |
//! | `effects` | a plan's disturbances become plain numbers |
//! | `probe` | what exporters read and services log |
//!
//! Spans, lines and samples are recorded that end within the recorded time; what was begun before it and ends in it is
//! there, what is not ended yet is not, as in a trace store that is asked for a window. Spans of a process that is killed
//! are lost with it.

mod arena;
mod autoscale;
mod breaker;
mod cache;
mod call;
mod consumer;
mod cpu;
mod effects;
mod events;
mod job;
mod lifecycle;
mod load;
mod memory;
mod names;
mod pod;
mod pool;
mod probe;
mod time;

#[cfg(test)]
mod tests;

use super::plan::Plan;
use super::random::Random;
use super::recording::Recording;
use super::system::{LinkIdx, Shape, Step, System, Visibility, Work};

use arena::Arena;
use autoscale::Wishes;
use call::Call;
use consumer::Group;
use cpu::Machine;
use effects::LinkKnobs;
use events::{Events, What};
use job::{Job, Origin};
use load::Arrivals;
use pod::Pod;
use time::SECOND_NS;

/// What a broker does with a message that it is sent.
static BROKER_STEPS: [Step; 1] = [Step::Work(Work { mean_us: 300.0, shape: Shape::LogNormal(0.4), cpu: 0.5 })];

/// Plays a plan on a system. A pure function: the same recording on every machine.
pub fn run(system: &System, plan: &Plan) -> Recording {
    let mut world = World::new(system, plan);
    world.begin();
    let end_ns = plan.start_ns + plan.duration_ns;
    let mut events = 0;
    while let Some((at_ns, what)) = world.events.next(end_ns) {
        world.now_ns = at_ns;
        world.happen(what);
        events += 1;
    }
    world.into_recording(events)
}

/// Random numbers, a stream for each use: that one draws more leaves the others as they are.
#[derive(Debug)]
struct Draws {
    /// Times of own work.
    service: Random,
    network: Random,
    /// Ways through programs, hits, failures.
    choice: Random,
    ids: Random,
    routes: Random,
    names: Random,
    logs: Random,
}

impl Draws {
    fn new(seed: u64) -> Self {
        let part = |name: &str| Random::of_part(seed, name);
        Self {
            service: part("world service"),
            network: part("world network"),
            choice: part("world choice"),
            ids: part("world ids"),
            routes: part("world routes"),
            names: part("world names"),
            logs: part("world logs"),
        }
    }

    fn trace_id(&mut self) -> u128 {
        ((u128::from(self.ids.bits()) << 64) | u128::from(self.ids.bits())).max(1)
    }

    fn span_id(&mut self) -> u64 {
        self.ids.bits().max(1)
    }
}

/// What a service tells, in the form in which it is asked for all the time.
#[derive(Clone, Copy, Debug)]
struct Traits {
    records: bool,
    passes_context: bool,
}

#[derive(Debug)]
struct World<'a> {
    system: &'a System,
    plan: &'a Plan,
    now_ns: i64,
    events: Events,
    draws: Draws,
    arrivals: Vec<Arrivals>,
    /// Requests of each entry: the next pod in turn.
    entry_turns: Vec<usize>,
    jobs: Arena<Job>,
    calls: Arena<Call>,
    /// In the order of [`Recording::instances`].
    pods: Vec<Pod>,
    machines: Vec<Machine>,
    groups: Vec<Group>,
    /// Pods that clients send requests to, of each service.
    routable: Vec<Vec<u32>>,
    links: Vec<LinkKnobs>,
    /// Place of each link among those of its caller.
    slot_of_link: Vec<usize>,
    /// Links out of each service.
    links_of: Vec<Vec<LinkIdx>>,
    /// Pods of each service, those that ended too.
    pods_of: Vec<Vec<usize>>,
    groups_in_service: Vec<usize>,
    traits: Vec<Traits>,
    /// Steps of each operation, then of what a broker does for each topic.
    programs: Vec<&'a [Step]>,
    /// Bytes of request and answer, of each program.
    sizes: Vec<(u64, u64)>,
    /// Version of new pods, of each service.
    versions: Vec<String>,
    wishes: Vec<Wishes>,
    /// Of each deploy; `None`: not begun.
    deploys_left: Vec<Option<u32>>,
    /// Of each effect: whether it has emptied its caches.
    flushed: Vec<bool>,
    /// Pods have come or gone: knobs have to be resolved before the next event.
    must_resolve: bool,
    recording: Recording,
}

impl<'a> World<'a> {
    fn new(system: &'a System, plan: &'a Plan) -> Self {
        let now_ns = plan.start_ns - plan.warm_up_ns;
        let mut groups_in_service = vec![0; system.services.len()];
        for operation in system.topics.iter().flat_map(|topic| &topic.consumers) {
            groups_in_service[system.operations[*operation].service] += 1;
        }
        let mut links_of = vec![Vec::new(); system.services.len()];
        let mut slot_of_link = Vec::new();
        for (place, link) in system.links.iter().enumerate() {
            slot_of_link.push(links_of[link.caller].len());
            links_of[link.caller].push(place);
        }
        let operations = system.operations.iter().map(|operation| operation.steps.as_slice());
        let brokers = system.topics.iter().map(|_| BROKER_STEPS.as_slice());
        let programs: Vec<&[Step]> = operations.chain(brokers).collect();
        let arrivals = system.entries.iter().enumerate().map(|(place, entry)| {
            Arrivals::new(entry.rate_per_s, Random::of_part(plan.seed, &format!("world arrivals {place}")))
        });
        Self {
            slot_of_link,
            links_of,
            pods_of: vec![Vec::new(); system.services.len()],
            arrivals: arrivals.collect(),
            sizes: sizes(programs.len()),
            programs,
            system,
            plan,
            now_ns,
            events: Events::default(),
            draws: Draws::new(plan.seed),
            entry_turns: vec![0; system.entries.len()],
            jobs: Arena::new(),
            calls: Arena::new(),
            pods: Vec::new(),
            machines: (0..system.machines).map(|_| Machine::new(system.machine_cores, now_ns)).collect(),
            groups: consumer::groups_of(system),
            routable: vec![Vec::new(); system.services.len()],
            links: system.links.iter().map(LinkKnobs::new).collect(),
            groups_in_service,
            traits: system.services.iter().map(|service| traits(service.visibility)).collect(),
            versions: system.services.iter().map(|service| service.version.clone()).collect(),
            wishes: vec![Wishes::new(); system.services.len()],
            deploys_left: vec![None; plan.deploys.len()],
            flushed: vec![false; plan.effects.len()],
            must_resolve: false,
            recording: Recording::default(),
        }
    }

    /// Pods are ready; what is known beforehand is planned.
    fn begin(&mut self) {
        let now_ns = self.now_ns;
        for (service, settings) in self.system.services.iter().enumerate() {
            for ordinal in 0..settings.instances.max(1) {
                let pod = self.new_pod(service, ordinal, &settings.version);
                self.make_ready(pod);
            }
        }
        for at_ns in effects::boundaries_ns(self.plan) {
            self.events.plan(at_ns.max(now_ns), What::Resolve);
        }
        for (deploy, place) in self.plan.deploys.iter().zip(0..) {
            self.events.plan(deploy.at_ns.max(now_ns), What::Replace(place));
        }
        self.resolve();
        for entry in 0..self.system.entries.len() {
            self.plan_arrival(entry);
        }
        self.events.plan(now_ns + SECOND_NS, What::Second);
        self.events.plan(now_ns + autoscale::LOOK_NS, What::Autoscale);
        let phase_ns = (self.draws.logs.unit() * self.plan.scrape_ns as f64) as i64;
        self.events.plan(self.plan.start_ns + phase_ns, What::ScrapeShared);
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrival(entry) => self.arrive(entry as usize),
            What::GoOn(job) => self.go_on(job),
            What::Reach(call) => self.reach(call),
            What::Answer(call) => self.answered(call),
            What::GiveUp(call) => self.give_up(call),
            What::GiveUpConnection(call) => self.give_up_connection(call),
            What::Retry(call) => self.attempt(call),
            What::Resolve => self.resolve(),
            What::Second => self.second(),
            What::Autoscale => {
                self.autoscale();
                self.events.plan(self.now_ns + autoscale::LOOK_NS, What::Autoscale);
            }
            What::Replace(deploy) => self.replace_next(deploy as usize),
            What::Started(pod, container) => self.started(pod as usize, container),
            What::Unroute(pod, container) => self.unroute_dead(pod as usize, container),
            What::Stop(pod) => self.stop(pod as usize),
            What::Scrape(pod) => self.scrape(pod as usize),
            What::ScrapeShared => self.scrape_shared(),
            What::Routine(pod) => self.log_routine(pod as usize),
        }
        if std::mem::take(&mut self.must_resolve) {
            self.resolve();
        }
    }

    /// A request comes in from outside.
    fn arrive(&mut self, entry: usize) {
        self.plan_arrival(entry);
        let operation = self.system.entries[entry].operation;
        let service = self.system.operations[operation].service;
        let ready = &self.routable[service];
        if ready.is_empty() || self.is_cut_off(service) {
            return;
        }
        self.entry_turns[entry] += 1;
        let pod = ready[self.entry_turns[entry] % ready.len()];
        if self.pods[pod as usize].serves() {
            self.pods[pod as usize].counters.received_bytes += self.sizes[operation].0;
            let job = self.new_job(pod, operation as u32, Origin::Outside, (0, 0));
            self.admit(job);
        }
    }

    fn plan_arrival(&mut self, entry: usize) {
        if let Some(at_ns) = self.arrivals[entry].next(self.plan, self.now_ns) {
            self.events.plan(at_ns, What::Arrival(entry as u32));
        }
    }

    /// What is looked at once a second.
    fn second(&mut self) {
        self.second_of_memory();
        if self.something_grows() {
            self.resolve();
        }
        // A broker or a consumer may have come back.
        for group in 0..self.groups.len() {
            self.take_messages(group);
        }
        self.events.plan(self.now_ns + SECOND_NS, What::Second);
    }

    fn into_recording(self, events: u64) -> Recording {
        let mut recording = self.recording;
        recording.events = events;
        // They were written down as they ended; only those of one instant are in no order of their own.
        for instant in recording.spans.chunk_by_mut(|one, other| one.end_ns == other.end_ns) {
            instant.sort_unstable_by_key(|span| span.span);
        }
        recording.instance_samples.sort_by_key(|sample| (sample.at_ns, sample.instance));
        recording.pool_samples.sort_by_key(|sample| (sample.at_ns, sample.instance, sample.link));
        recording.changes.sort_by_key(|change| change.at_ns);
        recording
    }
}

fn traits(visibility: Visibility) -> Traits {
    match visibility {
        Visibility::Full => Traits { records: true, passes_context: true },
        Visibility::NoSpans { passes_context } => Traits { records: false, passes_context },
        Visibility::Nothing => Traits { records: false, passes_context: false },
    }
}

/// Requests of some hundred bytes, answers of some kilobytes, different for each program.
fn sizes(programs: usize) -> Vec<(u64, u64)> {
    (0..programs)
        .map(|program| {
            let mut random = Random::of_part(program as u64, "sizes");
            (300 + random.below(900) as u64, 500 + random.below(8_000) as u64)
        })
        .collect()
}
