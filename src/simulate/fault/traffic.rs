//! How much of the load passes where, and how long it takes there, by the steps of a system at rest.
//!
//! Means only: queues, retries and broken caches are the world's. Faults are chosen and sized by these figures, so that
//! the same severity means about the same to users of any system.

use crate::simulate::system::flow::chances;
use crate::simulate::system::{Call, LinkIdx, OperationIdx, Role, ServiceIdx, Step, System};

/// Rounds after which a system whose calls form cycles is taken as settled. Calls that come back are rare in any system
/// that can be played at all, so that what remains after this many callbacks is nothing.
const ROUNDS: usize = 64;

/// How a call matters to its caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::simulate) enum Need {
    /// It fails with the call.
    Required,
    /// It waits, but goes on without.
    Optional,
    /// It does not wait: a message.
    Message,
}

/// One call site, weighted.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulate) struct CallSite {
    pub(in crate::simulate) from: OperationIdx,
    pub(in crate::simulate) to: OperationIdx,
    pub(in crate::simulate) link: LinkIdx,
    /// Calls for each time that `from` is served.
    pub(in crate::simulate) weight: f64,
    pub(in crate::simulate) need: Need,
    pub(in crate::simulate) retries: u32,
    pub(in crate::simulate) timeout_us: Option<f64>,
}

/// The figures of a system under its load.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Traffic<'a> {
    pub(in crate::simulate) system: &'a System,
    pub(in crate::simulate) sites: Vec<CallSite>,
    /// Requests per second of each operation.
    pub(in crate::simulate) rate_per_s: Vec<f64>,
    /// Mean time to serve each operation, µs.
    pub(in crate::simulate) response_us: Vec<f64>,
    /// Visits of each operation by one request of each entry: over required calls, over all that are waited for, over
    /// all.
    visits: [Vec<Vec<f64>>; 3],
}

impl<'a> Traffic<'a> {
    /// The figures while every entry has `load` times its mean rate.
    pub(in crate::simulate) fn of(system: &'a System, load: f64) -> Self {
        let sites: Vec<CallSite> = (0..system.operations.len()).flat_map(|from| call_sites(system, from)).collect();
        let by_entry = |most: Need| -> Vec<Vec<f64>> {
            system.entries.iter().map(|entry| spread(system, &sites, entry.operation, most)).collect()
        };
        let visits = [by_entry(Need::Required), by_entry(Need::Optional), by_entry(Need::Message)];
        let mut rate_per_s = vec![0.0; system.operations.len()];
        for (entry, visits) in system.entries.iter().zip(&visits[2]) {
            for (rate, visits) in rate_per_s.iter_mut().zip(visits) {
                *rate += load * entry.rate_per_s * visits;
            }
        }
        let mut traffic = Self { system, sites, rate_per_s, response_us: Vec::new(), visits };
        traffic.response_us = traffic.responses_us(&|_| 0.0, &|_| 0.0);
        traffic
    }

    /// Visits of an operation by one request of an entry, over calls that are needed at least as much as `need`.
    pub(in crate::simulate) fn visits(&self, need: Need, entry: usize, operation: OperationIdx) -> f64 {
        self.visits[need as usize][entry][operation]
    }

    /// Visits of a service by one request of an entry.
    pub(in crate::simulate) fn visits_of(&self, need: Need, entry: usize, service: ServiceIdx) -> f64 {
        self.operations_of(service).map(|operation| self.visits(need, entry, operation)).sum()
    }

    /// Calls over a link by one request of an entry.
    pub(in crate::simulate) fn calls_over(&self, need: Need, entry: usize, link: LinkIdx) -> f64 {
        let sites = self.sites.iter().filter(|site| site.link == link && site.need <= need);
        sites.map(|site| site.weight * self.visits(need, entry, site.from)).sum()
    }

    /// Share of all requests that come in at an entry.
    pub(in crate::simulate) fn share_of(&self, entry: usize) -> f64 {
        let total: f64 = self.system.entries.iter().map(|entry| entry.rate_per_s).sum();
        if total > 0.0 { self.system.entries[entry].rate_per_s / total } else { 0.0 }
    }

    /// Operations of a service.
    pub(in crate::simulate) fn operations_of(&self, service: ServiceIdx) -> impl Iterator<Item = OperationIdx> {
        let system = self.system;
        (0..system.operations.len()).filter(move |&operation| system.operations[operation].service == service)
    }

    /// Requests per second that a service serves.
    pub(in crate::simulate) fn service_rate_per_s(&self, service: ServiceIdx) -> f64 {
        self.operations_of(service).map(|operation| self.rate_per_s[operation]).sum()
    }

    /// Mean of a figure of a service's operations, each weighted by its rate; 0 where nothing is served.
    pub(in crate::simulate) fn mean_over(&self, service: ServiceIdx, figure: impl Fn(OperationIdx) -> f64) -> f64 {
        let rate = self.service_rate_per_s(service);
        let sum: f64 =
            self.operations_of(service).map(|operation| self.rate_per_s[operation] * figure(operation)).sum();
        if rate > 0.0 { sum / rate } else { 0.0 }
    }

    /// CPU and waiting time that one visit costs a service itself, µs.
    pub(in crate::simulate) fn own_us(&self, service: ServiceIdx) -> (f64, f64) {
        let cpu = self.mean_over(service, |operation| own_us(self.system, operation).0);
        let wait = self.mean_over(service, |operation| own_us(self.system, operation).1);
        (cpu, wait)
    }

    /// Calls that a service itself makes and waits for, for each visit.
    pub(in crate::simulate) fn calls_per_visit(&self, service: ServiceIdx) -> f64 {
        self.mean_over(service, |operation| {
            let sites = self.sites.iter().filter(|site| site.from == operation && site.need < Need::Message);
            sites.map(|site| site.weight).sum()
        })
    }

    /// Cores in use by one instance, at the mean.
    pub(in crate::simulate) fn cores_in_use(&self, service: ServiceIdx) -> f64 {
        let cpu_us_per_s = self.service_rate_per_s(service) * self.own_us(service).0;
        cpu_us_per_s / 1e6 / f64::from(self.system.services[service].instances)
    }

    /// Mean time to serve each operation when operations and links take longer by what is given, µs. Timeouts are not
    /// looked at.
    pub(in crate::simulate) fn responses_us(
        &self,
        operation_us: &dyn Fn(OperationIdx) -> f64,
        link_us: &dyn Fn(LinkIdx) -> f64,
    ) -> Vec<f64> {
        let mut now = vec![0.0; self.system.operations.len()];
        for _ in 0..ROUNDS {
            let mut change: f64 = 0.0;
            for operation in (0..now.len()).rev() {
                let response = operation_us(operation) + self.response_of(operation, &now, link_us);
                change = change.max((response - now[operation]).abs());
                now[operation] = response;
            }
            // A tenth of a microsecond is below anything that is looked at.
            if change < 0.1 {
                break;
            }
        }
        now
    }

    fn response_of(&self, operation: OperationIdx, now: &[f64], link_us: &dyn Fn(LinkIdx) -> f64) -> f64 {
        let call_us = |call: &Call| link_us(call.link) + self.round_trip_us(call.link) + now[call.operation];
        let steps = &self.system.operations[operation].steps;
        let times = steps.iter().zip(chances(steps)).map(|(step, weight)| {
            weight
                * match step {
                    Step::Work(work) => work.mean_us,
                    Step::Call(call) | Step::Lookup { call, .. } => call_us(call),
                    Step::Parallel(calls) => calls.iter().map(call_us).fold(0.0, f64::max),
                    Step::Publish { link, .. } => link_us(*link) + self.round_trip_us(*link),
                    Step::Sometimes { .. } => 0.0,
                }
        });
        times.sum()
    }

    /// Time on the network there and back, µs.
    pub(in crate::simulate) fn round_trip_us(&self, link: LinkIdx) -> f64 {
        2.0 * self.system.links[link].network_us
    }

    /// Mean number of calls in flight over a link, of one instance of the caller.
    pub(in crate::simulate) fn in_flight(&self, link: LinkIdx) -> f64 {
        let sites = self.sites.iter().filter(|site| site.link == link && site.need < Need::Message);
        let busy_us: f64 = sites
            .map(|site| {
                self.rate_per_s[site.from] * site.weight * (self.response_us[site.to] + self.round_trip_us(link))
            })
            .sum();
        busy_us / 1e6 / f64::from(self.system.services[self.system.links[link].caller].instances)
    }

    /// By service, whether requests or messages come from there to `service` or from `service` there, directly or over
    /// others; true of itself.
    pub(in crate::simulate) fn related(&self, service: ServiceIdx) -> Vec<bool> {
        let served_by = |operation: OperationIdx| self.system.operations[operation].service;
        let calls = self.system.links.iter().map(|link| (link.caller, link.callee));
        let messages = self.sites.iter().filter(|site| site.need == Need::Message);
        let messages = messages.map(|site| (served_by(site.from), served_by(site.to)));
        let below: Vec<(ServiceIdx, ServiceIdx)> = calls.chain(messages).collect();
        let above: Vec<(ServiceIdx, ServiceIdx)> = below.iter().map(|&(from, to)| (to, from)).collect();
        let mut related = reached(service, &below, self.system.services.len());
        for (related, above) in related.iter_mut().zip(reached(service, &above, self.system.services.len())) {
            *related |= above;
        }
        related
    }

    /// Whether a service belongs to the system and runs its code: no database, cache, broker or outside.
    pub(in crate::simulate) fn is_code(&self, service: ServiceIdx) -> bool {
        self.system.services[service].role == Role::Service
    }
}

/// Which of `n` can be reached over steps from one to the other.
fn reached(start: ServiceIdx, steps: &[(ServiceIdx, ServiceIdx)], n: usize) -> Vec<bool> {
    let mut seen = vec![false; n];
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            open.extend(steps.iter().filter(|(from, _)| *from == at).map(|(_, to)| *to));
        }
    }
    seen
}

/// Own time of an operation, once: CPU and waiting, µs.
pub(in crate::simulate) fn own_us(system: &System, operation: OperationIdx) -> (f64, f64) {
    let steps = &system.operations[operation].steps;
    steps.iter().zip(chances(steps)).fold((0.0, 0.0), |(cpu, wait), (step, weight)| match step {
        Step::Work(work) => (cpu + weight * work.mean_us * work.cpu, wait + weight * work.mean_us * (1.0 - work.cpu)),
        Step::Call(_) | Step::Parallel(_) | Step::Lookup { .. } | Step::Publish { .. } | Step::Sometimes { .. } => {
            (cpu, wait)
        }
    })
}

fn call_sites(system: &System, from: OperationIdx) -> Vec<CallSite> {
    let steps = &system.operations[from].steps;
    let mut sites = Vec::new();
    for (step, weight) in steps.iter().zip(chances(steps)) {
        let site = |call: &Call| CallSite {
            from,
            to: call.operation,
            link: call.link,
            weight,
            need: if call.required { Need::Required } else { Need::Optional },
            retries: call.retries,
            timeout_us: call.timeout_us,
        };
        match step {
            Step::Call(call) | Step::Lookup { call, .. } => sites.push(site(call)),
            Step::Parallel(calls) => sites.extend(calls.iter().map(site)),
            Step::Publish { topic, link } => {
                sites.extend(system.topics[*topic].consumers.iter().map(|&to| CallSite {
                    from,
                    to,
                    link: *link,
                    weight,
                    need: Need::Message,
                    retries: 0,
                    timeout_us: None,
                }));
            }
            Step::Work(_) | Step::Sometimes { .. } => {}
        }
    }
    sites
}

/// Visits of each operation by one request that comes in at `start`, over calls needed at least as much as `most`.
fn spread(system: &System, sites: &[CallSite], start: OperationIdx, most: Need) -> Vec<f64> {
    let mut total = vec![0.0; system.operations.len()];
    let mut wave = vec![0.0; system.operations.len()];
    wave[start] = 1.0;
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; wave.len()];
        for (total, wave) in total.iter_mut().zip(&wave) {
            *total += wave;
        }
        for site in sites.iter().filter(|site| site.need <= most) {
            next[site.to] += site.weight * wave[site.from];
        }
        wave = next;
        if wave.iter().sum::<f64>() < 1e-9 {
            break;
        }
    }
    total
}
