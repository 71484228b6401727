//! Alert rules, evaluated on simulated metrics as Prometheus would.

mod body;
mod fingerprint;
mod promql;
mod rules;
mod rules_file;

pub use body::body;
pub use promql::{Expression, Range, Selector};
pub use rules::{Rule, rules};
pub use rules_file::rules_file;

use super::metrics::Family;
use super::plan::Plan;
use super::system::System;

/// Time between two evaluations of a rule, seconds.
pub const INTERVAL_S: u32 = 30;
/// Stored samples are at whole hundredths of a second; rules are evaluated between them.
const GRID_NS: i64 = 10_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// A rule that fired.
#[derive(Clone, PartialEq, Debug)]
pub struct Firing {
    /// `alertname`.
    pub rule: &'static str,
    /// Labels without `alertname`, sorted by name.
    pub labels: Vec<(&'static str, String)>,
    /// First evaluation at which the condition held, Unix ns.
    pub pending_since_ns: i64,
    /// First evaluation at which it had held for long enough, Unix ns.
    pub starts_ns: i64,
    /// First evaluation at which it did not hold any more, Unix ns; `None`: it fires until the end.
    pub ends_ns: Option<i64>,
    /// What it means, for people.
    pub summary: String,
    /// Value of the expression at the start.
    pub value: f64,
    /// The condition in PromQL.
    pub expression: String,
}

impl Firing {
    /// The service that the alert names.
    pub fn service(&self) -> &str {
        self.labels.iter().find(|(name, _)| *name == "service").map_or("", |(_, service)| service)
    }
}

/// The instants at which the rules are evaluated, Unix ns.
pub fn instants(plan: &Plan) -> Vec<i64> {
    let begin = plan.start_ns.div_euclid(GRID_NS) * GRID_NS + GRID_NS / 2;
    let end = plan.start_ns.saturating_add(plan.duration_ns);
    (0..).map(|n| begin + n * i64::from(INTERVAL_S) * SECOND_NS).take_while(|at_ns| *at_ns < end).collect()
}

/// Everything that fired during the plan, by start, then name and labels.
pub fn evaluate(system: &System, families: &[Family], plan: &Plan) -> Vec<Firing> {
    let instants = instants(plan);
    let mut firings: Vec<Firing> = rules(system)
        .iter()
        .flat_map(|rule| firings(rule, &instants, &rule.expression.values(families, &instants)))
        .collect();
    firings.sort_by(|a, b| (a.starts_ns, a.rule, &a.labels).cmp(&(b.starts_ns, b.rule, &b.labels)));
    firings
}

/// Each time that a rule fired: pending from the first value on, firing once that is `for` ago, over without a value.
fn firings(rule: &Rule, instants: &[i64], values: &[Option<f64>]) -> Vec<Firing> {
    let mut firings: Vec<Firing> = Vec::new();
    let mut pending_since = None;
    let mut fires = false;
    for (&at_ns, value) in instants.iter().zip(values) {
        let Some(value) = *value else {
            if fires && let Some(firing) = firings.last_mut() {
                firing.ends_ns = Some(at_ns);
            }
            (pending_since, fires) = (None, false);
            continue;
        };
        let pending_since_ns = *pending_since.get_or_insert(at_ns);
        if !fires && at_ns - pending_since_ns >= i64::from(rule.for_s) * SECOND_NS {
            fires = true;
            firings.push(Firing {
                rule: rule.name,
                labels: rule.labels.clone(),
                pending_since_ns,
                starts_ns: at_ns,
                ends_ns: None,
                summary: rule.summary.clone(),
                value,
                expression: rule.expression.to_string(),
            });
        }
    }
    firings
}
