//! A topology made into a system: roles by names, programs from calls per request, times from latencies.

use std::collections::{BTreeMap, BTreeSet};

use super::super::builder::{Builder, Cache, Do, compute, insist, together, work};
use super::super::{OperationIdx, Runtime, ServiceIdx, System, TopicIdx};
use super::rates::{Topology, TopologyEdge, TopologyNode};
use super::{Kind, Mode};

/// Own time of a service, time of a database and of a host outside, where the graph has no latencies; ms.
const SERVICE_MS: f64 = 50.0;
const DATABASE_MS: f64 = 20.0;
const OUTSIDE_MS: f64 = 120.0;
/// What a cache takes, ms.
const CACHE_MS: f64 = 0.4;
/// What is done for a caller that is waited for, ms.
const SHORT_MS: f64 = 10.0;
/// What a call spends on the network there and back, ms.
const NETWORK_MS: f64 = 0.6;
/// A service that seems to do nothing but wait still needs this share of its time for itself.
const LEAST_OWN: f64 = 0.2;
/// Calls of one kind for one request; what asks more often is a loop, of which as many make the point.
const MOST_REPEATS: f64 = 12.0;

/// What a node becomes.
enum Place {
    Service(ServiceIdx),
    /// A leaf: what it can be asked, and how long that takes, ms.
    Leaf(OperationIdx, f64),
    Topic(TopicIdx),
    /// A queue that nobody fills or empties, a leaf that nobody asks.
    Unused,
}

/// Makes the system. It may lack entries; everything else is as [`super::super::check`] wants it.
pub(super) fn system(topology: &Topology) -> System {
    let mut maker = Maker::new(topology);
    let order = Order::of(topology);
    for &node in &order.callees_first {
        maker.service(node, &order);
    }
    for (at, node) in topology.nodes.iter().enumerate() {
        if let Some(operation) = maker.asked[at].filter(|_| node.entry_per_s > 0.0) {
            maker.builder.entry(operation, node.entry_per_s);
        }
    }
    maker.builder.finish()
}

/// Where requests go through services, and which edges close a circle.
struct Order {
    /// Services after all services that they reach without the closing edges.
    callees_first: Vec<usize>,
    /// Edges to a service (from a service or a queue) that would lead a request back to where it was.
    closing: BTreeSet<usize>,
}

impl Order {
    /// Depth-first search over services, from entries first, so that circles close at the edge that leads back up. A
    /// queue is passed through: it does not stop the search.
    fn of(topology: &Topology) -> Self {
        let n_nodes = topology.nodes.len();
        let mut edges_from: Vec<Vec<usize>> = vec![Vec::new(); n_nodes];
        for (at, edge) in topology.edges.iter().enumerate() {
            if matches!(topology.nodes[edge.caller].kind, Kind::Service | Kind::Queue) {
                edges_from[edge.caller].push(at);
            }
        }
        let mut roots: Vec<usize> = (0..n_nodes).collect();
        roots.sort_by_key(|&at| topology.nodes[at].entry_per_s <= 0.0);
        let (mut seen, mut open) = (vec![false; n_nodes], vec![false; n_nodes]);
        let mut order = Self { callees_first: Vec::new(), closing: BTreeSet::new() };
        for root in roots {
            if seen[root] {
                continue;
            }
            (seen[root], open[root]) = (true, true);
            let mut stack = vec![(root, edges_from[root].clone())];
            while let Some((node, left)) = stack.last_mut() {
                let Some(at) = left.pop() else {
                    open[*node] = false;
                    if topology.nodes[*node].kind == Kind::Service {
                        order.callees_first.push(*node);
                    }
                    stack.pop();
                    continue;
                };
                let callee = topology.edges[at].callee;
                if open[callee] {
                    order.closing.insert(at);
                } else if !seen[callee] {
                    (seen[callee], open[callee]) = (true, true);
                    stack.push((callee, edges_from[callee].clone()));
                }
            }
        }
        order
    }
}

/// The system in the making.
struct Maker<'a> {
    topology: &'a Topology,
    builder: Builder,
    places: Vec<Place>,
    /// What each service can be asked, by node; those written so far.
    asked: Vec<Option<OperationIdx>>,
    /// What each service is asked by those whom it reaches itself.
    called_back: Vec<Option<OperationIdx>>,
    /// Topics of messages from service to service, by edge.
    direct: BTreeMap<usize, TopicIdx>,
    /// Usual times of services, ms, by node.
    times_ms: Vec<f64>,
}

impl<'a> Maker<'a> {
    fn new(topology: &'a Topology) -> Self {
        let n_services = topology.nodes.iter().filter(|node| node.kind == Kind::Service).count();
        let machines = (n_services as u32).div_ceil(6) + 2;
        let mut builder = Builder::new("own", machines, 16.0);
        let mut names = Names::default();
        let n_nodes = topology.nodes.len();
        let mut places: Vec<Place> = (0..n_nodes).map(|_| Place::Unused).collect();
        let mut brokers: Vec<(String, ServiceIdx)> = Vec::new();
        // Services have the first claim on a name.
        for (at, node) in topology.nodes.iter().enumerate().filter(|(_, node)| node.kind == Kind::Service) {
            names.taken.insert(node.name.clone());
            places[at] = Place::Service(builder.service(&node.name, Runtime::Go, 2));
        }
        for (at, node) in topology.nodes.iter().enumerate() {
            let callers = || topology.edges.iter().filter(|edge| edge.callee == at);
            let is_asked = callers().any(|edge| topology.nodes[edge.caller].kind == Kind::Service);
            if !is_asked {
                continue;
            }
            match node.kind {
                Kind::Service => {}
                Kind::Database | Kind::External => places[at] = leaf(&mut builder, &mut names, node),
                Kind::Queue => {
                    let is_emptied = topology.edges.iter().any(|edge| edge.caller == at);
                    if is_emptied {
                        let (system, topic) = queue_name(&node.name);
                        let broker = broker(&mut builder, &mut names, &mut brokers, system);
                        places[at] = Place::Topic(builder.topic(broker, topic, false));
                    }
                }
            }
        }
        let none = vec![None; n_nodes];
        let mut maker = Self {
            topology,
            builder,
            places,
            asked: none.clone(),
            called_back: none,
            direct: BTreeMap::new(),
            times_ms: vec![0.0; n_nodes],
        };
        maker.direct_messages(&mut names, &mut brokers);
        maker
    }
}

impl Maker<'_> {
    /// Messages from service to service whose queue the graph does not show get a topic each.
    fn direct_messages(&mut self, names: &mut Names, brokers: &mut Vec<(String, ServiceIdx)>) {
        let topology = self.topology;
        for (at, edge) in topology.edges.iter().enumerate() {
            if edge.mode == Mode::Async && is_between_services(topology, edge) {
                let broker = broker(&mut self.builder, names, brokers, "kafka");
                let (from, to) = (&topology.nodes[edge.caller].name, &topology.nodes[edge.callee].name);
                let topic = self.builder.topic(broker, &format!("{from}-to-{to}"), false);
                self.direct.insert(at, topic);
            }
        }
    }

    /// Writes what a service does; its callees are written, but for those on the way back.
    fn service(&mut self, node: usize, order: &Order) {
        let Place::Service(service) = self.places[node] else { return };
        let topology = self.topology;
        let into = |at: &usize| topology.edges[*at].callee == node;
        let ways_in: Vec<usize> = (0..topology.edges.len()).filter(into).collect();
        let (steps, time_ms) = self.program(node, order);
        self.times_ms[node] = time_ms;
        let is_called = |at: &usize| !order.closing.contains(at) && self.is_call(*at);
        if topology.nodes[node].entry_per_s > 0.0 || ways_in.iter().any(is_called) {
            let route = format!("GET /{}", last_part(&topology.nodes[node].name));
            self.asked[node] = Some(self.builder.http(service, &route, &steps));
        }
        let mut consumed = BTreeSet::new();
        for at in ways_in {
            let Some(topic) = self.topic_into(at) else { continue };
            if !consumed.insert(topic) {
                continue;
            }
            // On the way back a message is worked on, and that is the end of it.
            let short = [work(SHORT_MS)];
            let steps = if order.closing.contains(&at) { &short } else { steps.as_slice() };
            self.builder.consume(service, topic, steps);
        }
    }

    /// The steps of a service and how long they take, ms.
    fn program(&mut self, node: usize, order: &Order) -> (Vec<Do>, f64) {
        let topology = self.topology;
        let mut calls: Vec<(OperationIdx, &TopologyEdge, f64)> = Vec::new();
        let mut sends = Vec::new();
        for (at, edge) in topology.edges.iter().enumerate().filter(|(_, edge)| edge.caller == node) {
            let closing = order.closing.contains(&at);
            match self.places[edge.callee] {
                Place::Service(service) if edge.mode == Mode::Sync && closing => {
                    calls.push((self.callback(edge.callee, service), edge, SHORT_MS));
                }
                Place::Service(_) if edge.mode == Mode::Sync => {
                    let operation = self.asked[edge.callee];
                    calls.extend(operation.map(|operation| (operation, edge, self.times_ms[edge.callee])));
                }
                Place::Service(_) => sends.extend(self.direct.get(&at).map(|topic| (*topic, edge))),
                Place::Leaf(operation, time_ms) => calls.push((operation, edge, time_ms)),
                Place::Topic(topic) if !closing => sends.push((topic, edge)),
                Place::Topic(_) | Place::Unused => {}
            }
        }
        let waits = |(_, edge, time_ms): &(OperationIdx, &TopologyEdge, f64)| {
            edge.per_request.min(MOST_REPEATS) * (time_ms + NETWORK_MS)
        };
        let in_turn_ms: f64 = calls.iter().map(waits).sum();
        let whole_ms = topology.nodes[node].latency_ms;
        // Those that take longer in turn than the caller in all must be made at the same time.
        let is_whole = |edge: &TopologyEdge| (0.95..1.05).contains(&edge.per_request);
        let at_once = whole_ms.is_some_and(|whole_ms| in_turn_ms > whole_ms);
        let (together_calls, in_turn): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|(_, edge, _)| at_once && is_whole(edge));
        let waits_ms = in_turn.iter().map(waits).sum::<f64>() + together_calls.iter().map(waits).fold(0.0, f64::max);
        let own_ms = whole_ms.map_or(SERVICE_MS, |whole_ms| (whole_ms - waits_ms).max(LEAST_OWN * whole_ms));
        let mut steps = vec![work(0.5 * own_ms)];
        if !together_calls.is_empty() {
            let operations: Vec<OperationIdx> = together_calls.iter().map(|(operation, ..)| *operation).collect();
            steps.push(together(&operations, &[]));
        }
        for (operation, edge, _) in in_turn {
            repeat(&mut steps, edge.per_request, &insist(operation, u32::from(edge.retried)));
        }
        for (topic, edge) in sends {
            repeat(&mut steps, edge.per_request, &Do::Publish(topic));
        }
        steps.push(compute(0.5 * own_ms));
        (steps, own_ms + waits_ms)
    }

    /// What a service is asked by those whom it waits for: nothing that leads further.
    fn callback(&mut self, node: usize, service: ServiceIdx) -> OperationIdx {
        if let Some(known) = self.called_back[node] {
            return known;
        }
        self.builder.at_least_workers(service, 4);
        let route = format!("GET /{}/context", last_part(&self.topology.nodes[node].name));
        let operation = self.builder.http(service, &route, &[work(SHORT_MS)]);
        self.called_back[node] = Some(operation);
        operation
    }

    /// Whether an edge to a service is a call, no message.
    fn is_call(&self, edge: usize) -> bool {
        let edge = &self.topology.edges[edge];
        edge.mode == Mode::Sync && is_between_services(self.topology, edge)
    }

    /// The topic from which an edge brings messages.
    fn topic_into(&self, edge: usize) -> Option<TopicIdx> {
        match self.places[self.topology.edges[edge].caller] {
            Place::Topic(topic) => Some(topic),
            Place::Service(_) | Place::Leaf(..) | Place::Unused => self.direct.get(&edge).copied(),
        }
    }
}

fn is_between_services(topology: &Topology, edge: &TopologyEdge) -> bool {
    [edge.caller, edge.callee].iter().all(|&node| topology.nodes[node].kind == Kind::Service)
}

/// So often on average.
fn repeat(steps: &mut Vec<Do>, times: f64, step: &Do) {
    let times = times.min(MOST_REPEATS);
    let whole = (times + 0.02).floor();
    steps.extend((0..whole as usize).map(|_| step.clone()));
    let rest = times - whole;
    if rest > 0.0 {
        steps.push(Do::Perhaps(rest, vec![step.clone()]));
    }
}

/// A database, cache or host, and what it can be asked.
fn leaf(builder: &mut Builder, names: &mut Names, node: &TopologyNode) -> Place {
    let ms = |otherwise: f64| node.latency_ms.unwrap_or(otherwise);
    match (node.kind, node.name.split_once('/'), node.name.split_once('@')) {
        (Kind::Database, Some((system, name)), _) if !system.is_empty() && !name.is_empty() => {
            let database = builder.database(system, &names.free(name, system));
            let summary = format!("SELECT {}", last_part(name));
            Place::Leaf(builder.statement(database, &summary, ms(DATABASE_MS)), ms(DATABASE_MS))
        }
        (Kind::Database, None, Some((system, host))) if !system.is_empty() && !host.is_empty() => {
            let cache: Cache = builder.cache(system, &names.free(host, system));
            Place::Leaf(cache.get, ms(CACHE_MS))
        }
        // Of a database that has neither its system nor its host in its name only the name is certain.
        _ => {
            let host = builder.external(&names.free(&node.name, "remote"));
            Place::Leaf(builder.remote(host, "GET /", ms(OUTSIDE_MS)), ms(OUTSIDE_MS))
        }
    }
}

/// The broker of a messaging system, made when it is first named.
fn broker(
    builder: &mut Builder,
    names: &mut Names,
    brokers: &mut Vec<(String, ServiceIdx)>,
    system: &str,
) -> ServiceIdx {
    if let Some((_, known)) = brokers.iter().find(|(name, _)| name == system) {
        return *known;
    }
    let broker = builder.broker(system, &names.free(system, "broker"));
    brokers.push((system.to_owned(), broker));
    broker
}

/// System and topic of a queue: `kafka/orders`, `rabbitmq@host`, `orders`.
fn queue_name(name: &str) -> (&str, &str) {
    name.split_once('/').or_else(|| name.split_once('@')).unwrap_or(("kafka", name))
}

/// A name without what stands before it, as a route or a statement has it.
fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Names of deployments: each is there once.
#[derive(Default)]
struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// The name, or one with a suffix where a service or another database has it already.
    fn free(&mut self, name: &str, suffix: &str) -> String {
        let mut free = name.to_owned();
        while !self.taken.insert(free.clone()) {
            free = format!("{free}-{suffix}");
        }
        free
    }
}
