//! Which alerts are about the same incident: the service graph says it.

use std::collections::{BTreeMap, BTreeSet};

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

    /// Whether a failure may show at both: one of them calls the other on some way, or both call a third.
    pub(super) fn relate(&self, one: &str, other: &str) -> bool {
        one == other || !self.reach(one).is_disjoint(&self.reach(other))
    }

    /// A service and all that it calls on some way.
    fn reach<'c>(&'c self, service: &'c str) -> BTreeSet<&'c str> {
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
            assert_eq!(calls.relate(one, other), related, "{one} {other}");
        }
    }
}
