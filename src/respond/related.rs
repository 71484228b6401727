//! Which alerts are about the same incident: the service graph says it.

use std::collections::{BTreeMap, BTreeSet};

use super::Origin;
use crate::assemble::graph_of;
use crate::graph::ServiceGraph;
use crate::ingest::Telemetry;
use crate::store;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

/// Who is called by whom, directly or not.
pub(super) struct Calls(BTreeMap<String, BTreeSet<String>>);

impl Calls {
    pub(super) fn of(edges: Vec<(String, String)>) -> Self {
        let mut callees: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (caller, callee) in edges {
            callees.entry(caller).or_default().insert(callee);
        }
        Self(callees)
    }

    /// Whether the service calls any or is called.
    pub(super) fn know(&self, service: &str) -> bool {
        self.0.contains_key(service) || self.0.values().any(|callees| callees.contains(service))
    }

    /// A service and all that it calls on some way. A failure may show at two services where these sets meet: one of them
    /// calls the other, or both call a third.
    pub(super) fn reach<'c>(&'c self, service: &'c str) -> BTreeSet<&'c str> {
        let mut reached = BTreeSet::from([service]);
        let mut next = vec![service];
        while let Some(service) = next.pop() {
            for callee in self.0.get(service).into_iter().flatten() {
                if reached.insert(callee) {
                    next.push(callee);
                }
            }
        }
        reached
    }
}

/// The calls of a graph, callers first.
pub(super) fn named(graph: &ServiceGraph) -> Vec<(String, String)> {
    graph.edges().iter().map(|edge| (edge.caller.to_string(), edge.callee.to_string())).collect()
}

/// What spans of the last minutes say of who calls whom.
const LAST_NS: i64 = 120 * NANOS_PER_SECOND;

/// The calls that the own store has seen in the last minutes; none where it cannot be read, which others tell.
pub(super) fn calls_in_store(origin: &Origin, now_ns: i64) -> Vec<(String, String)> {
    let read = || {
        let window = Window::new(now_ns.saturating_sub(LAST_NS), now_ns).ok()?;
        let spans = store::read_spans(origin.store.as_deref()?, &[window], &origin.options).ok()?;
        Some(named(&graph_of(&mut Telemetry { spans, ..Telemetry::default() }, &window).1))
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_may_show_at_callers_and_beside() {
        let edges = [
            ("web", "cart"),
            ("web", "pay"),
            ("cart", "redis"),
            ("ads", "redis"),
            ("batch", "mail"),
            ("a", "b"),
            ("b", "a"),
        ];
        let calls = Calls::of(edges.map(|(caller, callee)| (caller.to_owned(), callee.to_owned())).to_vec());
        for (one, other, related) in [
            ("web", "redis", true),
            ("redis", "web", true),
            ("cart", "ads", true),
            ("cart", "pay", false),
            ("web", "mail", false),
            ("mail", "mail", true),
            ("a", "b", true),
            ("unknown", "web", false),
        ] {
            assert_eq!(!calls.reach(one).is_disjoint(&calls.reach(other)), related, "{one} {other}");
        }
    }
}
