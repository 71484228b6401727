//! Whether a system can be played: every place that it names exists, every number has a meaning, no request runs in
//! circles.

use std::collections::BTreeSet;

use super::flow::callees_first;
use super::{Call, Link, Operation, OperationIdx, Protocol, Role, Shape, Step, System};

/// Why a system cannot be played.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SystemFlaw {
    /// Nobody asks for anything.
    #[error("it has no entry")]
    NoEntry,
    /// Something names a service, operation, link or topic that does not exist.
    #[error("{place} names {what} {index}, which does not exist")]
    Missing {
        /// Who names it.
        place: String,
        /// What it should be.
        what: &'static str,
        /// The place that is named.
        index: usize,
    },
    /// Two things have one name, or one pair has two links.
    #[error("{0} is there twice")]
    Twice(String),
    /// A number is outside of what it can be.
    #[error("{place}: {what} is {value}")]
    Number {
        /// Where.
        place: String,
        /// What it counts.
        what: &'static str,
        /// What it is.
        value: f64,
    },
    /// A call takes a link between others than its two ends.
    #[error("{0} takes a link that leads elsewhere")]
    WrongLink(String),
    /// More steps would be left out than follow.
    #[error("step {step} of {operation} leaves out more steps than follow")]
    Skip {
        /// Whose step.
        operation: String,
        /// Which, from 0.
        step: usize,
    },
    /// A consumer is called, or a topic is consumed by what is not asked by messages.
    #[error("{0} is asked in a way that it does not serve")]
    Protocol(String),
    /// A topic is on what is no broker.
    #[error("topic {0} is on no broker")]
    NoBroker(String),
    /// A request would come back to where it was, and never end.
    #[error("{0} comes back to itself")]
    Circle(String),
}

/// Finds the first flaw of a system.
///
/// # Errors
///
/// The flaw.
pub fn check(system: &System) -> Result<(), SystemFlaw> {
    if system.entries.is_empty() {
        return Err(SystemFlaw::NoEntry);
    }
    number("the system", "number of machines", f64::from(system.machines), 1.0..=1e6)?;
    number("the system", "cores of a machine", system.machine_cores, 0.1..=1e6)?;
    services(system)?;
    links(system)?;
    let names = operations(system)?;
    topics(system, &names)?;
    for (at, operation) in system.operations.iter().enumerate() {
        steps(system, &names, at, operation)?;
    }
    for entry in &system.entries {
        exists("an entry", "operation", entry.operation, names.len())?;
        let name = &names[entry.operation];
        if system.operations[entry.operation].protocol == Protocol::Message {
            return Err(SystemFlaw::Protocol(name.clone()));
        }
        number(name, "requests per second", entry.rate_per_s, 1e-9..=1e6)?;
        number(name, "objective in ms", entry.objective_ms, 1e-3..=1e9)?;
    }
    match callees_first(system).circle {
        Some(operation) => Err(SystemFlaw::Circle(names[operation].clone())),
        None => Ok(()),
    }
}

fn services(system: &System) -> Result<(), SystemFlaw> {
    let mut names = BTreeSet::new();
    for service in &system.services {
        let name = service.name.as_str();
        if !names.insert(name) {
            return Err(SystemFlaw::Twice(format!("service {name}")));
        }
        number(name, "number of instances", f64::from(service.instances), 1.0..=1e6)?;
        number(name, "number of workers", f64::from(service.workers), 1.0..=1e6)?;
        number(name, "CPU limit", service.cores, 0.01..=1e6)?;
        number(name, "memory limit in MiB", service.memory_mib, 1.0..=1e9)?;
        number(name, "idle memory in MiB", service.idle_memory_mib, 0.0..=0.95 * service.memory_mib)?;
        if let Some(autoscale) = service.autoscale {
            number(name, "most instances", f64::from(autoscale.most), f64::from(service.instances)..=1e6)?;
            number(name, "CPU utilisation to hold", autoscale.target, 0.01..=1.0)?;
        }
    }
    Ok(())
}

fn links(system: &System) -> Result<(), SystemFlaw> {
    let n_services = system.services.len();
    let mut pairs = BTreeSet::new();
    for link in &system.links {
        exists("a link", "service", link.caller, n_services)?;
        exists("a link", "service", link.callee, n_services)?;
        let name = link_name(system, link);
        if !pairs.insert((link.caller, link.callee)) {
            return Err(SystemFlaw::Twice(name));
        }
        number(&name, "time on the network in µs", link.network_us, 0.0..=1e9)?;
        if let Some(pool) = link.pool {
            number(&name, "size of the pool", f64::from(pool), 1.0..=1e6)?;
        }
        if let Some(breaker) = link.breaker {
            number(&name, "window of the breaker", f64::from(breaker.window), 1.0..=1e6)?;
            number(&name, "failures that open the breaker", breaker.failures, 0.0..=1.0)?;
            number(&name, "time of the open breaker in µs", breaker.open_us, 1.0..=1e12)?;
        }
    }
    Ok(())
}

/// Names of all operations for messages, by place.
fn operations(system: &System) -> Result<Vec<String>, SystemFlaw> {
    let mut names = Vec::with_capacity(system.operations.len());
    let mut known = BTreeSet::new();
    for operation in &system.operations {
        exists(&operation.name, "service", operation.service, system.services.len())?;
        let name = format!("{} {:?} {}", system.services[operation.service].name, operation.protocol, operation.name);
        if !known.insert(name.clone()) {
            return Err(SystemFlaw::Twice(name));
        }
        names.push(name);
    }
    Ok(names)
}

fn steps(system: &System, names: &[String], at: OperationIdx, operation: &Operation) -> Result<(), SystemFlaw> {
    let name = &names[at];
    let n_steps = operation.steps.len();
    for (step_at, step) in operation.steps.iter().enumerate() {
        let within = |skip: usize| {
            let flaw = SystemFlaw::Skip { operation: name.clone(), step: step_at };
            if skip > n_steps - 1 - step_at { Err(flaw) } else { Ok(()) }
        };
        match step {
            Step::Work(work) => {
                number(name, "mean time in µs", work.mean_us, 0.0..=1e12)?;
                number(name, "share of CPU", work.cpu, 0.0..=1.0)?;
                match work.shape {
                    Shape::Constant | Shape::Exponential => {}
                    Shape::LogNormal(sigma) => number(name, "deviation of the logarithm", sigma, 0.0..=5.0)?,
                    Shape::Pareto(shape) => number(name, "shape of the tail", shape, 1.000_1..=100.0)?,
                }
            }
            Step::Call(one) => call(system, names, at, one)?,
            Step::Parallel(calls) => calls.iter().try_for_each(|one| call(system, names, at, one))?,
            Step::Lookup { call: one, hit_ratio, skip } => {
                call(system, names, at, one)?;
                number(name, "share of hits", *hit_ratio, 0.0..=1.0)?;
                within(*skip)?;
            }
            Step::Publish { topic, link } => {
                exists(name, "topic", *topic, system.topics.len())?;
                exists(name, "link", *link, system.links.len())?;
                leads(system, name, *link, (operation.service, system.topics[*topic].broker))?;
            }
            Step::Sometimes { probability, skip } => {
                number(name, "probability", *probability, 0.0..=1.0)?;
                within(*skip)?;
            }
        }
    }
    Ok(())
}

fn call(system: &System, names: &[String], caller: OperationIdx, call: &Call) -> Result<(), SystemFlaw> {
    let name = &names[caller];
    exists(name, "operation", call.operation, names.len())?;
    exists(name, "link", call.link, system.links.len())?;
    let callee = &system.operations[call.operation];
    if callee.protocol == Protocol::Message {
        return Err(SystemFlaw::Protocol(names[call.operation].clone()));
    }
    leads(system, name, call.link, (system.operations[caller].service, callee.service))?;
    if let Some(timeout_us) = call.timeout_us {
        number(name, "timeout in µs", timeout_us, 1.0..=1e12)?;
    }
    number(name, "number of further attempts", f64::from(call.retries), 0.0..=100.0)?;
    number(name, "pause before a further attempt in µs", call.backoff_us, 0.0..=1e12)
}

fn topics(system: &System, names: &[String]) -> Result<(), SystemFlaw> {
    let mut known = BTreeSet::new();
    for topic in &system.topics {
        let name = topic.name.as_str();
        exists(name, "broker", topic.broker, system.services.len())?;
        if !matches!(system.services[topic.broker].role, Role::Queue(_)) {
            return Err(SystemFlaw::NoBroker(name.to_owned()));
        }
        if !known.insert((topic.broker, name)) {
            return Err(SystemFlaw::Twice(format!("topic {name}")));
        }
        number(name, "messages at the same time", f64::from(topic.prefetch), 1.0..=1e6)?;
        for &consumer in &topic.consumers {
            exists(name, "operation", consumer, names.len())?;
            if system.operations[consumer].protocol != Protocol::Message {
                return Err(SystemFlaw::Protocol(names[consumer].clone()));
            }
        }
    }
    Ok(())
}

fn leads(system: &System, place: &str, link: usize, ends: (usize, usize)) -> Result<(), SystemFlaw> {
    let link = &system.links[link];
    if (link.caller, link.callee) == ends { Ok(()) } else { Err(SystemFlaw::WrongLink(place.to_owned())) }
}

fn exists(place: &str, what: &'static str, index: usize, n: usize) -> Result<(), SystemFlaw> {
    if index < n { Ok(()) } else { Err(SystemFlaw::Missing { place: place.to_owned(), what, index }) }
}

fn number(place: &str, what: &'static str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<(), SystemFlaw> {
    // NaN is in no range.
    if range.contains(&value) { Ok(()) } else { Err(SystemFlaw::Number { place: place.to_owned(), what, value }) }
}

fn link_name(system: &System, link: &Link) -> String {
    format!("the link from {} to {}", system.services[link.caller].name, system.services[link.callee].name)
}

#[cfg(test)]
mod tests {
    use super::super::{Work, shop::shop};
    use super::*;

    #[test]
    fn each_flaw_is_found_and_told() {
        type Break = fn(&mut System);
        let breaks: &[(Break, &str)] = &[
            (|s| s.entries.clear(), "it has no entry"),
            (|s| s.entries[0].operation = 999, "an entry names operation 999, which does not exist"),
            (|s| s.entries[0].rate_per_s = f64::NAN, "requests per second is NaN"),
            (|s| s.services[1].name = s.services[0].name.clone(), "service frontend is there twice"),
            (|s| s.services[0].workers = 0, "frontend: number of workers is 0"),
            (|s| s.services[0].idle_memory_mib = s.services[0].memory_mib, "idle memory in MiB is 384"),
            (|s| s.links[1] = s.links[0], "is there twice"),
            (|s| s.links[0].callee = 999, "a link names service 999"),
            (|s| s.topics[0].broker = 0, "topic orders is on no broker"),
            (|s| s.topics[0].consumers[0] = s.entries[0].operation, "is asked in a way that it does not serve"),
            (|s| s.operations[0].steps.push(Step::Sometimes { probability: 0.5, skip: 1 }), "leaves out more steps"),
            (|s| s.operations[0].steps.push(Step::Sometimes { probability: 1.5, skip: 0 }), "probability is 1.5"),
            (
                |s| s.operations[0].steps = vec![Step::Work(Work { mean_us: -1.0, shape: Shape::Constant, cpu: 0.5 })],
                "mean time in µs is -1",
            ),
        ];
        for (break_it, expected) in breaks {
            let mut system = shop();
            break_it(&mut system);
            let flaw = check(&system).unwrap_err().to_string();
            assert!(flaw.contains(expected), "{flaw:?} does not say {expected:?}");
        }
    }

    #[test]
    fn a_request_in_circles_or_on_the_wrong_way_is_found() {
        let mut system = shop();
        let place =
            system.operations.iter().position(|operation| operation.name == "shop.Checkout/PlaceOrder").unwrap();
        let Some(Step::Parallel(calls)) =
            system.operations[place].steps.iter().find(|step| matches!(step, Step::Parallel(_)))
        else {
            panic!("the checkout asks several at once");
        };
        let call = calls[0];
        let wrong = Call { operation: place, ..call };
        system.operations[call.operation].steps.push(Step::Call(wrong));
        assert!(matches!(check(&system), Err(SystemFlaw::WrongLink(_))));
        let (cart, checkout) = (system.operations[call.operation].service, system.operations[place].service);
        system.links.push(Link { caller: cart, callee: checkout, ..system.links[call.link] });
        let link = system.links.len() - 1;
        system.operations[call.operation].steps.pop();
        system.operations[call.operation].steps.push(Step::Call(Call { link, ..wrong }));
        assert!(matches!(check(&system), Err(SystemFlaw::Circle(_))));
    }
}
