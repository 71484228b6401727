//! The alert rules of a system: what its operators would have been woken by.
//!
//! | rule | fires when | for |
//! | --- | --- | --- |
//! | `ErrorRatioHigh` | over 5 % of an entry's or a consumer's requests failed in 2 m, and at least 5 | 1 m |
//! | `ErrorBudgetBurn` | over 2 % failed in 5 m, and at least 9 | 2 m |
//! | `LatencyHigh` | over 5 % of an entry's requests in 2 m took longer than promised | 1 m |
//! | `LatencyObjectiveMissed` | over 2 % in 5 m did | 2 m |
//! | `LatencyDoubled` | one in ten requests takes twice as long as the slowest tenth did ten to twenty minutes ago | 2 m |
//! | `ServiceSilent` | an entry handles less than a tenth of what it did before | 1 m |
//! | `CallsDropped` | of what users ask for, less than half of the usual share reaches the end of the chain | 2 m |
//! | `TopicLag` | more than 30 messages wait for a consumer, and more than before | 2 m |
//!
//! Short and long windows together follow "Alerting on SLOs" of the Site Reliability Workbook (Beyer et al., 2018,
//! chapter 5); a least number of events keeps rules quiet where a few requests would be a high share.

use std::collections::BTreeSet;

use super::promql::{Expression, Range, Selector};
use crate::simulate::metrics::{CALLS, DURATIONS, KAFKA_LAG, RABBITMQ_READY};
use crate::simulate::system::{OperationIdx, Protocol, Role, Service, ServiceIdx, System, Visibility};
use crate::simulate::write::served_name;

/// One rule for one subject.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// `alertname`.
    pub name: &'static str,
    /// Further labels, sorted by name: `namespace`, `service`, `severity` and what the rule is about.
    pub labels: Vec<(&'static str, String)>,
    /// Fires while this has a value.
    pub expression: Expression,
    /// For how long it must have had one before, seconds.
    pub for_s: u32,
    /// What it means, for people.
    pub summary: String,
}

/// Somebody is woken.
const PAGE: &str = "critical";
/// Somebody looks at it in the morning.
const TICKET: &str = "warning";

/// All rules of a system, in the order of the table.
pub fn rules(system: &System) -> Vec<Rule> {
    let entries: Vec<(OperationIdx, f64)> = system
        .entries
        .iter()
        .filter(|entry| has_spans(&system.services[system.operations[entry.operation].service]))
        .map(|entry| (entry.operation, entry.objective_ms))
        .collect();
    let consumers: BTreeSet<OperationIdx> =
        system.topics.iter().flat_map(|topic| topic.consumers.iter().copied()).collect();
    let traced = |operation: &OperationIdx| has_spans(&system.services[system.operations[*operation].service]);
    let mut rules = Vec::new();
    for operation in entries.iter().map(|entry| entry.0).chain(consumers.iter().copied().filter(traced)) {
        rules.extend(errors(system, operation));
    }
    for (operation, objective_ms) in &entries {
        rules.extend(latency(system, *operation, *objective_ms));
    }
    rules.extend(entries.iter().map(|(operation, _)| silent(system, *operation)));
    rules.extend(dropped(system, &entries));
    rules.extend(lags(system));
    rules
}

fn has_spans(service: &Service) -> bool {
    service.role == Role::Service && service.visibility == Visibility::Full
}

impl Rule {
    fn new(system: &System, name: &'static str, severity: &str, service: ServiceIdx) -> Self {
        let labels = vec![
            ("namespace", system.namespace.clone()),
            ("service", system.services[service].name.clone()),
            ("severity", severity.to_owned()),
        ];
        Self { name, labels, expression: Expression::Number(0.0), for_s: 0, summary: String::new() }
    }

    fn fires(mut self, expression: Expression, for_s: u32, summary: String) -> Self {
        (self.expression, self.for_s, self.summary) = (expression, for_s, summary);
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.labels.push((name, value.to_owned()));
        self.labels.sort_by_key(|(name, _)| *name);
        self
    }
}

/// The requests that an operation handles, in one of the families of span metrics.
fn handled(system: &System, operation: OperationIdx, family: &'static str, suffix: &'static str) -> Selector {
    let of = &system.operations[operation];
    let kind = if of.protocol == Protocol::Message { "SPAN_KIND_CONSUMER" } else { "SPAN_KIND_SERVER" };
    let labels = vec![
        ("service_name", vec![system.services[of.service].name.clone()]),
        ("span_kind", vec![kind.to_owned()]),
        ("span_name", operation_names(system, operation)),
    ];
    Selector { family, suffix, labels }
}

/// Names of the spans in which an operation is handled: a consumer's are those of its topics.
fn operation_names(system: &System, operation: OperationIdx) -> Vec<String> {
    if system.operations[operation].protocol != Protocol::Message {
        return vec![served_name(system, operation)];
    }
    let topics = system.topics.iter().filter(|topic| topic.consumers.contains(&operation));
    topics.map(|topic| format!("process {}", topic.name)).collect()
}

fn rate(selector: &Selector, range: Range) -> Expression {
    Expression::SumRate(selector.clone(), range)
}

/// So many a range, as events a second.
fn at_least(selector: &Selector, range: Range, events: f64) -> Expression {
    // To four digits, for people who read the rule.
    let per_s = (events / f64::from(range.length_s) * 1e4).round() / 1e4;
    rate(selector, range).above(Expression::Number(per_s))
}

fn errors(system: &System, operation: OperationIdx) -> [Rule; 2] {
    let all = handled(system, operation, CALLS, "_total");
    let mut failed = all.clone();
    failed.labels.push(("status_code", vec!["STATUS_CODE_ERROR".to_owned()]));
    let ratio = |range, above, events| {
        let ratio = rate(&failed, range).over(rate(&all, range));
        ratio.above(Expression::Number(above)).and(at_least(&failed, range, events))
    };
    let service = system.operations[operation].service;
    let names = operation_names(system, operation).join(", ");
    let told = |percent| format!("over {percent} % of {names} at {} fails", system.services[service].name);
    let rule = |name, severity| Rule::new(system, name, severity, service).with("operation", &names);
    [
        rule("ErrorRatioHigh", PAGE).fires(ratio(Range::last(120), 0.05, 5.0), 60, told(5)),
        rule("ErrorBudgetBurn", TICKET).fires(ratio(Range::last(300), 0.02, 9.0), 120, told(2)),
    ]
}

fn latency(system: &System, operation: OperationIdx, objective_ms: f64) -> [Rule; 3] {
    let buckets = handled(system, operation, DURATIONS, "_bucket");
    let requests = handled(system, operation, DURATIONS, "_count");
    let service = system.operations[operation].service;
    let names = operation_names(system, operation).join(", ");
    let rule = |name, severity| Rule::new(system, name, severity, service).with("operation", &names);
    let missed = |q, range| Expression::Quantile(q, buckets.clone(), range).above(Expression::Number(objective_ms));
    let told = |percent| {
        let name = &system.services[service].name;
        format!("over {percent} % of {names} at {name} takes longer than {objective_ms} ms")
    };
    let (short, long) = (Range::last(120), Range::last(300));
    let slowest = |range| Expression::Quantile(0.9, buckets.clone(), range);
    let doubled = slowest(long).above(slowest(BEFORE).times(2.0)).and(at_least(&requests, long, 100.0));
    let summary = format!("the slowest tenth of {names} at {} takes twice as long", system.services[service].name);
    [
        rule("LatencyHigh", PAGE).fires(missed(0.95, short).and(at_least(&requests, short, 25.0)), 60, told(5)),
        rule("LatencyObjectiveMissed", TICKET).fires(
            missed(0.98, long).and(at_least(&requests, long, 200.0)),
            120,
            told(2),
        ),
        rule("LatencyDoubled", TICKET).fires(doubled, 120, summary),
    ]
}

/// The time that now is compared to: ten minutes, up to ten minutes ago.
const BEFORE: Range = Range { length_s: 600, offset_s: 600 };

fn silent(system: &System, operation: OperationIdx) -> Rule {
    let requests = handled(system, operation, CALLS, "_total");
    let before = Range { length_s: 600, offset_s: 300 };
    let expression = rate(&requests, Range::last(120)).below(rate(&requests, before).times(0.1));
    let service = system.operations[operation].service;
    let names = operation_names(system, operation).join(", ");
    Rule::new(system, "ServiceSilent", PAGE, service).with("operation", &names).fires(
        expression.and(at_least(&requests, before, 150.0)),
        60,
        format!("{} hardly handles {names} any more", system.services[service].name),
    )
}

/// Ends of the chain, by service: messages that it consumes, requests of a service that asks no other one, statements
/// of a service to its databases. Each as a share of all that users ask for, so that quiet hours and bursts do not
/// count.
fn dropped(system: &System, entries: &[(OperationIdx, f64)]) -> Vec<Rule> {
    let asked: Vec<Selector> = entries.iter().map(|entry| handled(system, entry.0, CALLS, "_total")).collect();
    let Some(asked) = joined(asked) else { return Vec::new() };
    let mut rules = Vec::new();
    for (index, service) in system.services.iter().enumerate().filter(|(_, service)| has_spans(service)) {
        let name = &service.name;
        for (end, what) in ends(system, index, entries) {
            let share = |range| rate(&end, range).over(rate(&asked, range));
            let before = share(BEFORE).times(0.5);
            let expression = share(Range::last(300)).below(before).and(at_least(&end, BEFORE, 180.0));
            let summary = format!("less than half of the usual {what} of {name} for as many requests of users");
            rules.push(
                Rule::new(system, "CallsDropped", PAGE, index).with("ends", what).fires(expression, 120, summary),
            );
        }
    }
    rules
}

/// Selectors of one family as one.
fn joined(selectors: Vec<Selector>) -> Option<Selector> {
    let mut selectors = selectors.into_iter();
    let mut whole = selectors.next()?;
    for (label, more) in selectors.flat_map(|selector| selector.labels) {
        let known = whole.labels.iter_mut().filter(|(name, _)| *name == label);
        known.for_each(|(_, values)| values.extend(more.iter().cloned()));
    }
    for (_, values) in &mut whole.labels {
        values.sort();
        values.dedup();
    }
    Some(whole)
}

fn ends(system: &System, service: ServiceIdx, entries: &[(OperationIdx, f64)]) -> Vec<(Selector, &'static str)> {
    let operations = || (0..system.operations.len()).filter(|op| system.operations[*op].service == service);
    let (mut messages, mut requests, mut statements) = (Vec::new(), Vec::new(), BTreeSet::new());
    for operation in operations() {
        let callees: Vec<OperationIdx> = system.callees(operation);
        let asks_a_service =
            callees.iter().any(|callee| has_spans(&system.services[system.operations[*callee].service]));
        if system.operations[operation].protocol == Protocol::Message {
            messages.push(handled(system, operation, CALLS, "_total"));
        } else if !asks_a_service && !entries.iter().any(|entry| entry.0 == operation) {
            requests.push(handled(system, operation, CALLS, "_total"));
        }
        let is_statement = |callee: &&OperationIdx| {
            matches!(system.services[system.operations[**callee].service].role, Role::Database(_))
        };
        statements.extend(callees.iter().filter(is_statement).map(|callee| served_name(system, *callee)));
    }
    let labels = vec![
        ("service_name", vec![system.services[service].name.clone()]),
        ("span_kind", vec!["SPAN_KIND_CLIENT".to_owned()]),
        ("span_name", statements.iter().cloned().collect()),
    ];
    let statements =
        if statements.is_empty() { None } else { Some(Selector { family: CALLS, suffix: "_total", labels }) };
    let ends = [(joined(messages), "messages"), (joined(requests), "requests"), (statements, "statements")];
    ends.into_iter().filter_map(|(end, what)| Some((end?, what))).collect()
}

fn lags(system: &System) -> Vec<Rule> {
    let mut rules = Vec::new();
    for topic in &system.topics {
        for operation in &topic.consumers {
            let service = system.operations[*operation].service;
            let group = system.services[service].name.clone();
            let is_rabbitmq = system.services[topic.broker].role == Role::Queue("rabbitmq".to_owned());
            let (family, labels) = if is_rabbitmq {
                (RABBITMQ_READY, vec![("queue", vec![format!("{}.{group}", topic.name)])])
            } else {
                (KAFKA_LAG, vec![("consumergroup", vec![group.clone()]), ("topic", vec![topic.name.clone()])])
            };
            let lag = Selector { family, suffix: "", labels };
            let grows = Expression::SumDelta(lag.clone(), Range::last(300)).above(Expression::Number(0.0));
            let rule = Rule::new(system, "TopicLag", TICKET, service).with("topic", &topic.name);
            rules.push(rule.fires(
                Expression::Sum(lag).above(Expression::Number(30.0)).and(grows),
                120,
                format!("messages of {} pile up before {group}", topic.name),
            ));
        }
    }
    rules
}
