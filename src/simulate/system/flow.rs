//! What a system does undisturbed, by arithmetic: rates, times, busy workers and spans of every operation.
//!
//! A request is followed through the programs with the probabilities of their steps; nothing fails. Without queues the
//! times are lower bounds of what is seen under load, and the yardstick for timeouts and numbers of workers; with the
//! waits of queueing theory they are about what users see. Little's law (1961, doi:10.1287/opre.9.3.383) turns rates
//! and times into busy workers: L = λ · W.

use super::queueing::mean_wait;
use super::{Call, OperationIdx, Protocol, Service, ServiceIdx, Step, System, TopicIdx, Visibility};

/// Rates and times at the mean load.
#[derive(Clone, PartialEq, Debug)]
pub struct Flow {
    /// Requests per second, by operation.
    pub rates_per_s: Vec<f64>,
    /// Mean time from the moment that a worker takes a request up to its answer, µs, by operation. Of calls at the same
    /// time the longest mean counts.
    pub times_us: Vec<f64>,
    /// Mean CPU time of a request without that of its callees, µs, by operation.
    pub cpu_us: Vec<f64>,
    /// Mean number of spans of a request with all that it causes, messages included, by operation.
    pub spans: Vec<f64>,
    /// Mean wait for a worker, µs, by service; 0 in a flow without queues.
    pub waits_us: Vec<f64>,
    /// Connections in use, by link: Little's law over the calls that take it.
    pub connections: Vec<f64>,
}

impl Flow {
    /// Follows the requests of a system that passes [`super::check::check`], without queues. Where an operation comes back
    /// to itself all the same, the way back is not followed.
    pub fn of(system: &System) -> Self {
        Self::follow(system, vec![0.0; system.services.len()])
    }

    /// The same with the mean wait for a worker at each service, from the busy workers of the flow without queues. That
    /// callers hold their workers longer while callees wait is left out: it is of second order at usual loads.
    pub fn with_queues(system: &System) -> Self {
        let free = Self::of(system);
        let busy = free.busy_workers(system);
        let mut rates = vec![0.0; system.services.len()];
        for (operation, rate) in system.operations.iter().zip(&free.rates_per_s) {
            rates[operation.service] += if operation.protocol == Protocol::Message { 0.0 } else { *rate };
        }
        let wait = |(at, service): (ServiceIdx, &Service)| {
            let time_us = if rates[at] > 0.0 { busy[at] / rates[at] * 1e6 } else { 0.0 };
            // Without any reserve the queue grows for ever; a number still has to be said.
            time_us * mean_wait(busy[at] / f64::from(service.instances), service.workers).min(1e6)
        };
        Self::follow(system, system.services.iter().enumerate().map(wait).collect())
    }

    /// The mean time that a request from outside takes, its wait for a worker included, µs.
    pub fn request_us(&self, system: &System, operation: OperationIdx) -> f64 {
        self.waits_us[system.operations[operation].service] + self.times_us[operation]
    }

    fn follow(system: &System, waits_us: Vec<f64>) -> Self {
        let n_operations = system.operations.len();
        let mut flow = Self {
            rates_per_s: vec![0.0; n_operations],
            times_us: vec![0.0; n_operations],
            cpu_us: vec![0.0; n_operations],
            spans: vec![0.0; n_operations],
            waits_us,
            connections: vec![0.0; system.links.len()],
        };
        for entry in &system.entries {
            flow.rates_per_s[entry.operation] += entry.rate_per_s;
        }
        let order = callees_first(system).order;
        for &operation in &order {
            flow.measure(system, operation);
        }
        for &operation in order.iter().rev() {
            flow.pass_on(system, operation);
        }
        flow
    }

    /// Workers that are busy with requests, by service. Messages have workers of their own.
    pub fn busy_workers(&self, system: &System) -> Vec<f64> {
        let mut busy = vec![0.0; system.services.len()];
        for (at, operation) in system.operations.iter().enumerate() {
            if operation.protocol != Protocol::Message {
                busy[operation.service] += self.rates_per_s[at] * self.times_us[at] / 1e6;
            }
        }
        busy
    }

    /// Cores that are busy, by service.
    pub fn busy_cores(&self, system: &System) -> Vec<f64> {
        let mut busy = vec![0.0; system.services.len()];
        for (at, operation) in system.operations.iter().enumerate() {
            busy[operation.service] += self.rates_per_s[at] * self.cpu_us[at] / 1e6;
        }
        busy
    }

    /// Share of a service's workers or of its CPU limit that is in use, whichever is larger; 1 is all of it.
    pub fn utilisation(&self, system: &System) -> Vec<f64> {
        let workers = self.busy_workers(system);
        let cores = self.busy_cores(system);
        let share = |(at, service): (ServiceIdx, &Service)| {
            let instances = f64::from(service.instances);
            (workers[at] / (instances * f64::from(service.workers))).max(cores[at] / (instances * service.cores))
        };
        system.services.iter().enumerate().map(share).collect()
    }

    /// Messages of a topic that one instance of each of its consumers works on at the same time; by consumer.
    pub fn busy_consumers(&self, system: &System, topic: TopicIdx) -> Vec<f64> {
        let busy = |&operation: &OperationIdx| {
            let instances = system.services[system.operations[operation].service].instances;
            self.rates_per_s[operation] * self.times_us[operation] / 1e6 / f64::from(instances)
        };
        system.topics[topic].consumers.iter().map(busy).collect()
    }

    /// Mean number of spans that a request of the system's mix of entries leaves.
    pub fn spans_per_request(&self, system: &System) -> f64 {
        let total: f64 = system.entries.iter().map(|entry| entry.rate_per_s).sum();
        let spans: f64 = system.entries.iter().map(|entry| entry.rate_per_s * self.spans[entry.operation]).sum();
        if total > 0.0 { spans / total } else { 0.0 }
    }

    /// The mean time of a call as its caller sees it, µs.
    pub fn call_us(&self, system: &System, call: &Call) -> f64 {
        self.request_us(system, call.operation) + 2.0 * system.links[call.link].network_us
    }

    /// Times and spans of an operation whose callees are measured already.
    fn measure(&mut self, system: &System, operation: OperationIdx) {
        let program = &system.operations[operation];
        let has_spans = system.services[program.service].visibility == Visibility::Full;
        let own = f64::from(u8::from(has_spans));
        let (mut time_us, mut cpu_us, mut spans) = (0.0, 0.0, own);
        for (step, chance) in program.steps.iter().zip(chances(&program.steps)) {
            match step {
                Step::Work(work) => {
                    time_us += chance * work.mean_us;
                    cpu_us += chance * work.mean_us * work.cpu;
                }
                Step::Call(call) | Step::Lookup { call, .. } => {
                    time_us += chance * self.call_us(system, call);
                    spans += chance * (own + self.spans[call.operation]);
                }
                Step::Parallel(calls) => {
                    let times = calls.iter().map(|call| self.call_us(system, call));
                    time_us += chance * times.fold(0.0, f64::max);
                    spans += chance * calls.iter().map(|call| own + self.spans[call.operation]).sum::<f64>();
                }
                Step::Publish { topic, link } => {
                    time_us += chance * 2.0 * system.links[*link].network_us;
                    let consumers = system.topics[*topic].consumers.iter();
                    spans += chance * (own + consumers.map(|&consumer| self.spans[consumer]).sum::<f64>());
                }
                Step::Sometimes { .. } => {}
            }
        }
        self.times_us[operation] = time_us;
        self.cpu_us[operation] = cpu_us;
        self.spans[operation] = spans;
    }

    /// Adds the rate of an operation whose callers are done to what it asks for.
    fn pass_on(&mut self, system: &System, operation: OperationIdx) {
        let steps = &system.operations[operation].steps;
        for (step, chance) in steps.iter().zip(chances(steps)) {
            let rate = self.rates_per_s[operation] * chance;
            let calls = match step {
                Step::Call(call) | Step::Lookup { call, .. } => std::slice::from_ref(call),
                Step::Parallel(calls) => calls,
                Step::Publish { topic, link } => {
                    self.connections[*link] += rate * 2.0 * system.links[*link].network_us / 1e6;
                    for &consumer in &system.topics[*topic].consumers {
                        self.rates_per_s[consumer] += rate;
                    }
                    continue;
                }
                Step::Work(_) | Step::Sometimes { .. } => continue,
            };
            for call in calls {
                self.rates_per_s[call.operation] += rate;
                self.connections[call.link] += rate * self.call_us(system, call) / 1e6;
            }
        }
    }
}

/// For each step the probability that a request comes to it. What is skipped may hold what is skipped in turn.
pub(in crate::simulate) fn chances(steps: &[Step]) -> Vec<f64> {
    let mut chances = vec![1.0; steps.len()];
    for (at, step) in steps.iter().enumerate() {
        let (probability, skip) = match step {
            Step::Lookup { hit_ratio, skip, .. } => (1.0 - hit_ratio, *skip),
            Step::Sometimes { probability, skip } => (*probability, *skip),
            Step::Work(_) | Step::Call(_) | Step::Parallel(_) | Step::Publish { .. } => continue,
        };
        for chance in chances.iter_mut().skip(at + 1).take(skip) {
            *chance *= probability;
        }
    }
    chances
}

/// Operations in an order of their own, and one of them that comes back to itself.
pub(super) struct Order {
    /// Every operation after all that it asks for, as far as there are no circles.
    pub(super) order: Vec<OperationIdx>,
    /// An operation on a circle of calls and messages.
    pub(super) circle: Option<OperationIdx>,
}

/// Depth-first search without recursion: programs may be deep.
pub(super) fn callees_first(system: &System) -> Order {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        Open,
        Done,
    }
    let mut seen = vec![Seen::No; system.operations.len()];
    let mut found = Order { order: Vec::with_capacity(seen.len()), circle: None };
    for root in 0..seen.len() {
        if seen[root] != Seen::No {
            continue;
        }
        seen[root] = Seen::Open;
        let mut open = vec![(root, system.callees(root))];
        while let Some((operation, left)) = open.last_mut() {
            match left.pop() {
                Some(callee) if seen[callee] == Seen::No => {
                    seen[callee] = Seen::Open;
                    open.push((callee, system.callees(callee)));
                }
                Some(callee) => {
                    if seen[callee] == Seen::Open {
                        found.circle.get_or_insert(callee);
                    }
                }
                None => {
                    seen[*operation] = Seen::Done;
                    found.order.push(*operation);
                    open.pop();
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Runtime;
    use super::super::builder::{Builder, Do, ask, together, try_ask, work};
    use super::*;

    /// A front door of 10 requests per second that asks `a` and `b` at the same time and then, for a fifth of its requests,
    /// `b` once more; `a` keeps things in a database behind a cache with 75 % hits and sends a message every second time.
    fn small() -> System {
        let mut b = Builder::new("small", 2, 4.0);
        let cache = b.cache("redis", "cache");
        let database = b.database("postgresql", "db");
        let select = b.statement(database, "SELECT things", 20.0);
        let broker = b.broker("kafka", "kafka");
        let topic = b.topic(broker, "things", false);
        let (front, a, other) =
            (b.service("front", Runtime::Go, 2), b.service("a", Runtime::Go, 2), b.service("b", Runtime::Go, 2));
        let other = b.grpc(other, "B/Get", &[work(30.0)]);
        let steps =
            [work(10.0), Do::Cached(cache, 0.75, vec![ask(select)]), Do::Perhaps(0.5, vec![Do::Publish(topic)])];
        let get = b.grpc(a, "A/Get", &steps);
        let listener = b.service("listener", Runtime::Go, 1);
        b.consume(listener, topic, &[work(40.0)]);
        let steps = [work(5.0), together(&[get, other], &[]), Do::Perhaps(0.2, vec![try_ask(other)])];
        let home = b.http(front, "GET /", &steps);
        b.entry(home, 10.0);
        b.finish()
    }

    /// Worked out by hand: a way on the network is 0.3 ms, GET takes 0.4 ms and SET 0.5 ms.
    #[test]
    fn rates_times_and_spans_are_those_worked_out_by_hand() {
        let system = small();
        let flow = Flow::of(&system);
        let of = |name: &str| system.operations.iter().position(|operation| operation.name == name).unwrap();
        let a_ms = 10.0 + 1.0 + 0.25 * (20.6 + 1.1) + 0.5 * 0.6;
        let b_ms: f64 = 30.0;
        // Spans of `a`: its own, GET, for a quarter SELECT and SET, for a half the sending and the receiving one.
        let a_spans = 1.0 + 1.0 + 0.25 * 2.0 + 0.5 * 2.0;
        for (name, rate, time_ms, spans) in [
            ("/", 10.0, 5.0 + (b_ms + 0.6) + 0.2 * (b_ms + 0.6), 1.0 + (1.0 + a_spans) + 2.0 + 0.2 * 2.0),
            ("A/Get", 10.0, a_ms, a_spans),
            ("B/Get", 12.0, b_ms, 1.0),
            ("GET", 10.0, 0.4, 0.0),
            ("SET", 2.5, 0.5, 0.0),
            ("SELECT things", 2.5, 20.0, 0.0),
            ("things", 5.0, 40.0, 1.0),
        ] {
            let at = of(name);
            assert!((flow.rates_per_s[at] - rate).abs() < 1e-9, "{name}: {} per second", flow.rates_per_s[at]);
            assert!((flow.times_us[at] - 1e3 * time_ms).abs() < 1e-6, "{name}: {} µs", flow.times_us[at]);
            assert!((flow.spans[at] - spans).abs() < 1e-9, "{name}: {} spans", flow.spans[at]);
        }
        let b = system.service("b").unwrap();
        assert!((flow.busy_workers(&system)[b] - 0.36).abs() < 1e-9, "12 per second of 30 ms");
        assert!((flow.busy_cores(&system)[b] - 0.36 * 0.6).abs() < 1e-9, "60 % of it on the CPU");
        assert!((flow.busy_consumers(&system, 0)[0] - 0.2).abs() < 1e-9, "5 per second of 40 ms on one pod");
        let listener = system.service("listener").unwrap();
        assert!(flow.busy_workers(&system)[listener].abs() < 1e-9, "messages have workers of their own");
    }

    /// Two pods of two workers, 0.18 busy each: M/M/2 waits rho² / (1 - rho²) of 30 ms, rho = 0.09.
    #[test]
    fn queues_add_the_waits_of_theory() {
        let system = small();
        let flow = Flow::with_queues(&system);
        let b = system.service("b").unwrap();
        let rho: f64 = 0.09;
        let expected_us = 30e3 * rho * rho / (1.0 - rho * rho);
        assert!((flow.waits_us[b] - expected_us).abs() < 1e-6, "{} µs", flow.waits_us[b]);
    }
}
