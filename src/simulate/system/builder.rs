//! A system written down as people think of it: services, what they can be asked, and what they then do.
//!
//! Operations are given callees first, so that no program comes back to itself. Links come into being with the calls;
//! workers, limits, pools and timeouts follow from the load once everything is known ([`super::calibrate`]).

use std::collections::BTreeMap;

use super::calibrate::calibrate;
use super::{
    Autoscale, Breaker, Call, Entry, Link, LinkIdx, Operation, OperationIdx, Protocol, Role, Runtime, Service,
    ServiceIdx, Shape, Step, System, Topic, TopicIdx, Visibility, Work,
};

/// One way within a cluster, µs: a fraction of a millisecond between machines of one zone.
const CLUSTER_US: f64 = 300.0;
/// One way to the outside, µs.
const OUTSIDE_US: f64 = 12_000.0;
/// Looks back on 20 calls and opens at half of them, as Resilience4j and Polly do by default in kind; short, so that it
/// tries again often.
const BREAKER: Breaker = Breaker { window: 20, failures: 0.5, open_us: 5e6 };
/// Pause before a further attempt, µs.
const BACKOFF_US: f64 = 50_000.0;

/// A step as it is written; programs are flattened from it.
#[derive(Clone, Debug)]
pub(super) enum Do {
    /// Time of its own.
    Work(Work),
    /// A call.
    Ask(Ask),
    /// Calls at the same time.
    Together(Vec<Ask>),
    /// Asks the cache; with the complement of the share of hits does the rest and fills the cache.
    Cached(Cache, f64, Vec<Do>),
    /// Sends a message.
    Publish(TopicIdx),
    /// Does it with this probability.
    Perhaps(f64, Vec<Do>),
}

/// A call as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    operation: OperationIdx,
    retries: u32,
    required: bool,
}

/// What a cache can be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cache {
    pub(super) get: OperationIdx,
    set: OperationIdx,
}

impl Ask {
    /// Asked once, and needed.
    pub(super) fn new(operation: OperationIdx) -> Self {
        Self { operation, retries: 0, required: true }
    }
}

/// Own time with this mean, ms: a part computes, the rest waits for disks and locks.
pub(super) fn work(mean_ms: f64) -> Do {
    own(mean_ms, 0.6)
}

/// Own time with this mean, ms, nearly all of it on the CPU.
pub(super) fn compute(mean_ms: f64) -> Do {
    own(mean_ms, 0.95)
}

fn own(mean_ms: f64, cpu: f64) -> Do {
    Do::Work(Work { mean_us: mean_ms * 1e3, shape: Shape::LogNormal(0.5), cpu })
}

/// A call that is needed.
pub(super) fn ask(operation: OperationIdx) -> Do {
    Do::Ask(Ask::new(operation))
}

/// A call that is needed and tried again so often.
pub(super) fn insist(operation: OperationIdx, retries: u32) -> Do {
    Do::Ask(Ask { retries, ..Ask::new(operation) })
}

/// A call without whose answer the caller goes on.
pub(super) fn try_ask(operation: OperationIdx) -> Do {
    Do::Ask(Ask { required: false, ..Ask::new(operation) })
}

/// Calls at the same time: those that are needed, and those that are not.
pub(super) fn together(needed: &[OperationIdx], optional: &[OperationIdx]) -> Do {
    let optional = optional.iter().map(|&operation| Ask { required: false, ..Ask::new(operation) });
    Do::Together(needed.iter().copied().map(Ask::new).chain(optional).collect())
}

/// A system in the making.
#[derive(Debug)]
pub(super) struct Builder {
    system: System,
    /// By caller and callee.
    links: BTreeMap<(ServiceIdx, ServiceIdx), LinkIdx>,
}

impl Builder {
    /// Nothing yet but machines.
    pub(super) fn new(name: &str, machines: u32, machine_cores: f64) -> Self {
        let system = System {
            name: name.to_owned(),
            namespace: name.to_owned(),
            services: Vec::new(),
            operations: Vec::new(),
            links: Vec::new(),
            topics: Vec::new(),
            entries: Vec::new(),
            machines,
            machine_cores,
        };
        Self { system, links: BTreeMap::new() }
    }

    /// A service of the system.
    pub(super) fn service(&mut self, name: &str, runtime: Runtime, instances: u32) -> ServiceIdx {
        let (memory_mib, idle_memory_mib) = match runtime {
            Runtime::Jvm => (1024.0, 460.0),
            Runtime::Go => (192.0, 48.0),
            Runtime::Node => (384.0, 130.0),
            Runtime::Python => (384.0, 150.0),
            Runtime::Native => (160.0, 40.0),
        };
        let service = self.add(name, Role::Service, runtime);
        let added = &mut self.system.services[service];
        (added.instances, added.memory_mib, added.idle_memory_mib) = (instances, memory_mib, idle_memory_mib);
        // One alone would hide what requests do to each other: locks, empty pools.
        added.workers = 2;
        service
    }

    /// A database on one pod; `system` as semantic conventions name it.
    pub(super) fn database(&mut self, system: &str, name: &str) -> ServiceIdx {
        let service = self.add(name, Role::Database(system.to_owned()), Runtime::Native);
        let added = &mut self.system.services[service];
        added.backlog = 128;
        (added.memory_mib, added.idle_memory_mib) = (2048.0, 900.0);
        service
    }

    /// A cache on one pod, and what it can be asked.
    pub(super) fn cache(&mut self, system: &str, name: &str) -> Cache {
        let service = self.add(name, Role::Cache(system.to_owned()), Runtime::Native);
        let added = &mut self.system.services[service];
        (added.backlog, added.memory_mib, added.idle_memory_mib) = (512, 512.0, 210.0);
        let mut command = |name: &str, mean_ms: f64| {
            let steps = vec![own(mean_ms, 0.9)];
            self.operation(service, name, Protocol::Database, &steps)
        };
        Cache { get: command("GET", 0.4), set: command("SET", 0.5) }
    }

    /// A message broker on one pod.
    pub(super) fn broker(&mut self, system: &str, name: &str) -> ServiceIdx {
        let service = self.add(name, Role::Queue(system.to_owned()), Runtime::Jvm);
        let added = &mut self.system.services[service];
        (added.workers, added.backlog) = (8, 512);
        (added.memory_mib, added.idle_memory_mib) = (2048.0, 800.0);
        service
    }

    /// A host outside of the system.
    pub(super) fn external(&mut self, host: &str) -> ServiceIdx {
        let service = self.add(host, Role::External, Runtime::Native);
        let added = &mut self.system.services[service];
        (added.workers, added.backlog, added.cores) = (64, 512, 64.0);
        added.visibility = Visibility::Nothing;
        service
    }

    /// Lets a service scale by itself up to so many instances.
    pub(super) fn scale(&mut self, service: ServiceIdx, most: u32) {
        self.system.services[service].autoscale = Some(Autoscale { most, target: 0.6 });
    }

    /// Gives a service so many workers per instance at least: for those that are called back while they wait.
    pub(super) fn at_least_workers(&mut self, service: ServiceIdx, workers: u32) {
        let service = &mut self.system.services[service];
        service.workers = service.workers.max(workers);
    }

    /// A topic without consumers yet.
    pub(super) fn topic(&mut self, broker: ServiceIdx, name: &str, linked: bool) -> TopicIdx {
        let topic = Topic { name: name.to_owned(), broker, consumers: Vec::new(), linked, prefetch: 1 };
        self.system.topics.push(topic);
        self.system.topics.len() - 1
    }

    /// An operation asked over HTTP: `GET /cart/{id}`.
    pub(super) fn http(&mut self, service: ServiceIdx, route: &str, steps: &[Do]) -> OperationIdx {
        let (method, path) = route.split_once(' ').unwrap_or(("GET", route));
        self.operation(service, path, Protocol::Http(method.to_owned()), steps)
    }

    /// An operation asked over gRPC: `shop.Cart/Get`.
    pub(super) fn grpc(&mut self, service: ServiceIdx, method: &str, steps: &[Do]) -> OperationIdx {
        self.operation(service, method, Protocol::Grpc, steps)
    }

    /// A statement to a database by its summary, with its mean time, ms.
    pub(super) fn statement(&mut self, database: ServiceIdx, summary: &str, mean_ms: f64) -> OperationIdx {
        let time = Work { mean_us: mean_ms * 1e3, shape: Shape::LogNormal(0.7), cpu: 0.4 };
        self.operation(database, summary, Protocol::Database, &[Do::Work(time)])
    }

    /// What an external host can be asked, with its mean time, ms.
    pub(super) fn remote(&mut self, host: ServiceIdx, route: &str, mean_ms: f64) -> OperationIdx {
        let time = Work { mean_us: mean_ms * 1e3, shape: Shape::Pareto(2.8), cpu: 0.2 };
        self.http(host, route, &[Do::Work(time)])
    }

    /// What a service does with each message of a topic.
    pub(super) fn consume(&mut self, service: ServiceIdx, topic: TopicIdx, steps: &[Do]) -> OperationIdx {
        let name = self.system.topics[topic].name.clone();
        let operation = self.operation(service, &name, Protocol::Message, steps);
        self.system.topics[topic].consumers.push(operation);
        operation
    }

    /// Requests that come in.
    pub(super) fn entry(&mut self, operation: OperationIdx, rate_per_s: f64) {
        self.system.entries.push(Entry { operation, rate_per_s, objective_ms: 0.0 });
    }

    /// The system, with as much of everything as its load asks for.
    pub(super) fn finish(mut self) -> System {
        calibrate(&mut self.system);
        self.system
    }

    /// Any operation.
    pub(super) fn operation(
        &mut self,
        service: ServiceIdx,
        name: &str,
        protocol: Protocol,
        steps: &[Do],
    ) -> OperationIdx {
        let steps = self.flat(service, steps);
        self.system.operations.push(Operation { service, name: name.to_owned(), protocol, steps });
        self.system.operations.len() - 1
    }

    fn add(&mut self, name: &str, role: Role, runtime: Runtime) -> ServiceIdx {
        let at = self.system.services.len();
        let version = format!("{}.{}.{}", 1 + at % 4, (3 + 5 * at) % 17, (2 * at) % 9);
        self.system.services.push(Service {
            name: name.to_owned(),
            visibility: match role {
                Role::Service => Visibility::Full,
                Role::Database(_) | Role::Cache(_) | Role::Queue(_) => Visibility::NoSpans { passes_context: true },
                Role::External => Visibility::Nothing,
            },
            role,
            runtime,
            instances: 1,
            workers: 1,
            backlog: 48,
            cores: 1.0,
            memory_mib: 256.0,
            idle_memory_mib: 64.0,
            autoscale: None,
            version,
        });
        at
    }

    fn flat(&mut self, caller: ServiceIdx, steps: &[Do]) -> Vec<Step> {
        let mut flat = Vec::new();
        for step in steps {
            match step {
                Do::Work(work) => flat.push(Step::Work(*work)),
                Do::Ask(ask) => flat.push(Step::Call(self.call(caller, *ask))),
                Do::Together(asks) => {
                    flat.push(Step::Parallel(asks.iter().map(|ask| self.call(caller, *ask)).collect()));
                }
                Do::Cached(cache, hit_ratio, otherwise) => {
                    // A cache that does not answer is a miss, no failure.
                    let optional = |operation| Ask { required: false, ..Ask::new(operation) };
                    let call = self.call(caller, optional(cache.get));
                    let mut inner = self.flat(caller, otherwise);
                    inner.push(Step::Call(self.call(caller, optional(cache.set))));
                    flat.push(Step::Lookup { call, hit_ratio: *hit_ratio, skip: inner.len() });
                    flat.extend(inner);
                }
                Do::Publish(topic) => {
                    let link = self.link(caller, self.system.topics[*topic].broker);
                    flat.push(Step::Publish { topic: *topic, link });
                }
                Do::Perhaps(probability, steps) => {
                    let inner = self.flat(caller, steps);
                    flat.push(Step::Sometimes { probability: *probability, skip: inner.len() });
                    flat.extend(inner);
                }
            }
        }
        flat
    }

    fn call(&mut self, caller: ServiceIdx, ask: Ask) -> Call {
        let callee = self.system.operations[ask.operation].service;
        let link = self.link(caller, callee);
        let role = &self.system.services[callee].role;
        if *role == Role::External || (*role == Role::Service && !ask.required) {
            self.system.links[link].breaker = Some(BREAKER);
        }
        Call {
            link,
            operation: ask.operation,
            timeout_us: None,
            retries: ask.retries,
            backoff_us: BACKOFF_US,
            required: ask.required,
        }
    }

    fn link(&mut self, caller: ServiceIdx, callee: ServiceIdx) -> LinkIdx {
        let new = self.system.links.len();
        let link = *self.links.entry((caller, callee)).or_insert(new);
        if link < new {
            return link;
        }
        let outside = self.system.services[callee].role == Role::External;
        let network_us = if outside { OUTSIDE_US } else { CLUSTER_US };
        self.system.links.push(Link { caller, callee, network_us, pool: None, breaker: None });
        link
    }
}
