//! A microservice system on paper: services, what each request does there, and who calls whom.

use std::collections::{BTreeMap, VecDeque};

pub mod booking;
use generated::Blueprint;

mod builder;
mod calibrate;
pub mod check;
pub mod flow;
pub mod from_graph;
pub mod generated;
pub mod queueing;
pub mod shop;

/// Place of a service in [`System::services`].
pub type ServiceIdx = usize;
/// Place of an operation in [`System::operations`].
pub type OperationIdx = usize;
/// Place of a link in [`System::links`].
pub type LinkIdx = usize;
/// Place of a topic in [`System::topics`].
pub type TopicIdx = usize;

/// A system: everything that does not change by load or faults.
#[derive(Clone, PartialEq, Debug)]
pub struct System {
    /// Short name: folder of its cases, `shop`.
    pub name: String,
    /// Kubernetes namespace of its pods.
    pub namespace: String,
    /// Services, databases, caches, brokers, external dependencies.
    pub services: Vec<Service>,
    /// What can be asked of them.
    pub operations: Vec<Operation>,
    /// Which service calls which; one link for each pair.
    pub links: Vec<Link>,
    /// Topics of the brokers.
    pub topics: Vec<Topic>,
    /// Where requests come in.
    pub entries: Vec<Entry>,
    /// Machines of the cluster; pods are spread over them.
    pub machines: u32,
    /// Cores of each machine.
    pub machine_cores: f64,
}

/// One service, database, cache, broker or external dependency.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Name, also of its deployment.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// What it is written in: decides on pauses for garbage and on whether its spans cover the wait for a worker.
    pub runtime: Runtime,
    /// Pods at the start; at least 1.
    pub instances: u32,
    /// Requests that one instance works on at the same time; at least 1. Others wait.
    pub workers: u32,
    /// Requests that may wait at one instance; above it they are refused.
    pub backlog: u32,
    /// CPU limit of one instance, cores.
    pub cores: f64,
    /// Memory limit of one instance, MiB.
    pub memory_mib: f64,
    /// Memory in use by one idle instance, MiB.
    pub idle_memory_mib: f64,
    /// What it tells of itself.
    pub visibility: Visibility,
    /// Whether and how it scales by itself.
    pub autoscale: Option<Autoscale>,
    /// Version at the start, `1.4.2`.
    pub version: String,
}

/// What a service is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// A service of the system.
    Service,
    /// A database; the system as semantic conventions name it: `postgresql`, `mysql`, `mongodb`.
    Database(String),
    /// A cache: `redis`, `memcached`.
    Cache(String),
    /// A message broker: `kafka`, `rabbitmq`.
    Queue(String),
    /// Outside of the system, known by its host's name (the service's name).
    External,
}

/// What a service is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runtime {
    /// Threads, garbage collection with pauses; spans begin when a thread takes the request up.
    Jvm,
    /// Spans begin on arrival; short pauses.
    Go,
    /// Spans begin on arrival.
    Node,
    /// Spans begin when a worker takes the request up.
    Python,
    /// No garbage.
    Native,
}

/// What telemetry a service sends. Callers' spans are not touched by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// Spans, metrics and logs.
    Full,
    /// Metrics and logs, no spans; whether it hands the trace context on to what it calls.
    NoSpans {
        /// Handed on: callees' spans are children of the caller's span. Not: each call begins a trace.
        passes_context: bool,
    },
    /// Nothing: it is outside.
    Nothing,
}

/// Horizontal scaling by CPU, as Kubernetes' autoscaler does it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Autoscale {
    /// Most instances.
    pub most: u32,
    /// Utilisation of the CPU limit to hold, 0 to 1.
    pub target: f64,
}

/// What can be asked of a service, and what it does then.
#[derive(Clone, PartialEq, Debug)]
pub struct Operation {
    /// Who serves it.
    pub service: ServiceIdx,
    /// Span name without the method of the protocol: route (`/cart/{id}`), method (`shop.Cart/Get`), statement summary
    /// (`SELECT products`), command (`GET`).
    pub name: String,
    /// How it is asked for.
    pub protocol: Protocol,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// How an operation is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP with its method, `GET`.
    Http(String),
    /// gRPC.
    Grpc,
    /// A statement to a database or a command to a cache.
    Database,
    /// A message, taken from a topic by a consumer.
    Message,
}

/// One step of an operation. `skip` counts the steps that follow in the same list: programs are flat, so that the
/// world needs one counter for where a request stands.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Time of its own.
    Work(Work),
    /// A call; the next step begins after its answer.
    Call(Call),
    /// Calls at the same time; the next step begins after the last answer.
    Parallel(Vec<Call>),
    /// Asks a cache. On a hit the next `skip` steps (asking the database, filling the cache) are left out.
    Lookup {
        /// The call of the cache.
        call: Call,
        /// Share of hits of a warm cache, 0 to 1.
        hit_ratio: f64,
        /// Steps to leave out on a hit.
        skip: usize,
    },
    /// Sends a message and goes on once the broker has it.
    Publish {
        /// Where to.
        topic: TopicIdx,
        /// The link to the broker.
        link: LinkIdx,
    },
    /// With the complement of the probability, leaves out the next `skip` steps.
    Sometimes {
        /// Probability that the steps are done, 0 to 1.
        probability: f64,
        /// Steps to leave out otherwise.
        skip: usize,
    },
}

/// Time that a service spends itself.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Work {
    /// Mean of the undisturbed service, µs.
    pub mean_us: f64,
    /// How it varies.
    pub shape: Shape,
    /// Share that burns CPU, 0 to 1; the rest waits (disk, sleep, locks).
    pub cpu: f64,
}

/// Distribution of a time, by its mean and what is given here.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Shape {
    /// Always the mean.
    Constant,
    /// Memoryless: for comparison with queueing theory.
    Exponential,
    /// Log-normal with this deviation of the logarithm: usual of services (0.3 to 0.8).
    LogNormal(f64),
    /// Pareto with this shape (above 1; 2.1 to 3 are heavy tails).
    Pareto(f64),
}

/// One call site.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Call {
    /// To whom.
    pub link: LinkIdx,
    /// What is asked.
    pub operation: OperationIdx,
    /// The caller gives up after this time, µs; `None`: never.
    pub timeout_us: Option<f64>,
    /// Further attempts after a failed one.
    pub retries: u32,
    /// Pause before the first further attempt, µs; doubled each time, with jitter.
    pub backoff_us: f64,
    /// Whether the caller fails when it fails; otherwise it goes on without.
    pub required: bool,
}

/// The way from one service to another, shared by all call sites.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Link {
    /// Who calls.
    pub caller: ServiceIdx,
    /// Who is called.
    pub callee: ServiceIdx,
    /// Mean time on the network, one way, µs.
    pub network_us: f64,
    /// Connections of one caller instance; calls above it wait for one. `None`: no bound.
    pub pool: Option<u32>,
    /// Circuit breaker of each caller instance.
    pub breaker: Option<Breaker>,
}

/// Opens when too many of the last calls failed; then calls fail at once until one probe succeeds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Breaker {
    /// Calls that it looks back on.
    pub window: u32,
    /// Share of failures that opens it, 0 to 1.
    pub failures: f64,
    /// How long it stays open before a probe, µs.
    pub open_us: f64,
}

/// Messages from producers to consumers.
#[derive(Clone, PartialEq, Debug)]
pub struct Topic {
    /// Name, `orders`.
    pub name: String,
    /// The broker.
    pub broker: ServiceIdx,
    /// Operations that take every message, one for each consumer group.
    pub consumers: Vec<OperationIdx>,
    /// Whether a consumer's span begins its own trace and links to the producer; otherwise it is its child.
    pub linked: bool,
    /// Messages that one consumer instance works on at the same time.
    pub prefetch: u32,
}

/// Where requests come in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entry {
    /// What is asked.
    pub operation: OperationIdx,
    /// Mean rate, requests per second.
    pub rate_per_s: f64,
    /// 99 % of requests are promised to be faster, ms: the objective of the alert rule.
    pub objective_ms: f64,
}

/// Systems that come with the program: name and what it is.
pub const NAMES: [(&str, &str); 3] = [
    ("shop", "a web shop of 10 services with databases, caches, a broker and a card processor"),
    ("booking", "a travel booking system of 40 services, seven calls deep, with two brokers and callbacks"),
    ("generated", "a random system of 8 to 60 services; generated:N has N services"),
];

/// A system by its name; `seed` draws the generated ones. `None`: there is no system of that name.
pub fn by_name(name: &str, seed: u64) -> Option<System> {
    match name {
        "shop" => Some(shop::shop()),
        "booking" => Some(booking::booking()),
        "generated" => Some(generated::generated(&Blueprint::random(seed), seed)),
        _ => {
            let services = name.strip_prefix("generated:")?.parse().ok()?;
            let possible = (1..=generated::MOST_SERVICES).contains(&services);
            possible.then(|| generated::generated(&Blueprint::of_size(services), seed))
        }
    }
}

impl System {
    /// The place of a service by its name.
    pub fn service(&self, name: &str) -> Option<ServiceIdx> {
        self.services.iter().position(|service| service.name == name)
    }

    /// The link between two services.
    pub fn link(&self, caller: ServiceIdx, callee: ServiceIdx) -> Option<LinkIdx> {
        self.links.iter().position(|link| (link.caller, link.callee) == (caller, callee))
    }

    /// The machine on which the nth pod of a service runs.
    pub fn machine_of(&self, service: ServiceIdx, nth: u32) -> u32 {
        // Consecutive pods of one service are on different machines, and services are shifted against each other.
        ((service as u32).wrapping_mul(7).wrapping_add(nth)) % self.machines.max(1)
    }

    /// Names under which the service may stand in a report: its own, and for what has no spans what callers call it.
    pub fn names_of(&self, service: ServiceIdx) -> Vec<String> {
        let Service { name, role, .. } = &self.services[service];
        match role {
            Role::Service | Role::External => vec![name.clone()],
            Role::Database(system) => vec![format!("{system}/{name}"), name.clone()],
            Role::Cache(system) => vec![format!("{system}@{name}"), name.clone()],
            Role::Queue(system) => {
                let topics = self.topics.iter().filter(|topic| topic.broker == service);
                topics.map(|topic| format!("{system}/{}", topic.name)).chain([name.clone()]).collect()
            }
        }
    }

    /// Callees of a service with the operations asked of them: calls, lookups and, through the topic, consumers.
    pub fn callees(&self, operation: OperationIdx) -> Vec<OperationIdx> {
        let mut found = Vec::new();
        for step in &self.operations[operation].steps {
            match step {
                Step::Call(call) | Step::Lookup { call, .. } => found.push(call.operation),
                Step::Parallel(calls) => found.extend(calls.iter().map(|call| call.operation)),
                Step::Publish { topic, .. } => found.extend(&self.topics[*topic].consumers),
                Step::Work(_) | Step::Sometimes { .. } => {}
            }
        }
        found
    }

    /// Services on a shortest way from an entry's service to `target`, both included; `None` when there is no way.
    pub fn path(&self, entry: &Entry, target: ServiceIdx) -> Option<Vec<ServiceIdx>> {
        let mut from: BTreeMap<OperationIdx, Option<OperationIdx>> = BTreeMap::from([(entry.operation, None)]);
        let mut queue = VecDeque::from([entry.operation]);
        while let Some(operation) = queue.pop_front() {
            if self.operations[operation].service == target {
                let mut path = vec![target];
                let mut at = operation;
                while let Some(Some(before)) = from.get(&at) {
                    at = *before;
                    path.push(self.operations[at].service);
                }
                path.reverse();
                path.dedup();
                return Some(path);
            }
            for callee in self.callees(operation) {
                from.entry(callee).or_insert_with(|| {
                    queue.push_back(callee);
                    Some(operation)
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
