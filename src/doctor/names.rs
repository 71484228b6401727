//! One service under two names: its metrics stand beside its traces unconnected, or callers' spans beside its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Signal;
use crate::telemetry::topology::NodeKind;

use super::{Facts, Finding, Severity, brief, list};

/// From here on two names are called similar: `cart` and `carts`, not `cart` and `card-api`.
const SIMILAR: f64 = 0.8;
/// Names held against each other at most; a comparison costs the product of their lengths, which are bounded too.
const MOST_COMPARED: usize = 300;
/// Pairs that are told.
const MOST_PAIRS: usize = 3;

/// A name without what conventions add: case, namespace, scheme, port, domain, pod hashes, separators, `service`.
pub(super) fn plain(name: &str) -> String {
    let lower = name.chars().take(100).collect::<String>().to_lowercase();
    let host = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let host = host.rsplit('/').next().unwrap_or(host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    // An address keeps its dots: its first number would say nothing.
    let is_address = host.split('.').all(|part| part.parse::<u8>().is_ok());
    let label = if is_address { host } else { host.split('.').next().unwrap_or(host) };
    let letters: String = label.chars().filter(|c| c.is_alphanumeric() || (is_address && *c == '.')).collect();
    let core = ["microservice", "service", "svc"].iter().find_map(|end| letters.strip_suffix(end)).unwrap_or(&letters);
    if core.is_empty() { letters } else { core.to_owned() }
}

/// How alike two names are, 0 to 1; 1 when they differ in conventions only.
fn similarity(a: &str, b: &str) -> f64 {
    let (a, b) = (plain(a), plain(b));
    if a == b { 1.0 } else { strsim::normalized_damerau_levenshtein(&a, &b) }
}

/// The most similar of some names, if it is similar enough; among equals the first.
fn nearest<'a>(name: &str, others: &[&'a ServiceId]) -> Option<&'a ServiceId> {
    let scored = others.iter().take(MOST_COMPARED).map(|other| (similarity(name, other.as_str()), *other));
    let best = scored.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (best.0 >= SIMILAR).then_some(best.1)
}

pub(super) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(in_metrics(facts));
    findings.extend(in_peers(facts));
    findings
}

/// Services of metrics that traces do not know and the other way round, by pairs of similar names.
fn in_metrics(facts: &Facts<'_>) -> Vec<Finding> {
    if facts.traced.is_empty() || facts.measured.is_empty() {
        return Vec::new();
    }
    let meant: BTreeSet<&ServiceId> =
        facts.telemetry.series.iter().filter(|s| s.signal != Signal::Other).map(|s| s.subject.service()).collect();
    let unmeasured: Vec<&ServiceId> = facts.traced.iter().filter(|s| !facts.measured.contains(*s)).collect();
    let untraced: Vec<&ServiceId> =
        meant.into_iter().filter(|s| !facts.traced.contains(*s) && facts.graph.kind(s).is_none()).collect();
    let mut pairs: Vec<(&ServiceId, &ServiceId)> = Vec::new();
    let mut paired: BTreeSet<&ServiceId> = BTreeSet::new();
    for name in untraced.iter().take(MOST_COMPARED) {
        if let Some(near) = nearest(name.as_str(), &unmeasured) {
            pairs.push((name, near));
            paired.extend([*name, near]);
        }
    }
    let mut findings = Vec::new();
    if let Some((first, near)) = pairs.first() {
        let told: Vec<String> = pairs
            .iter()
            .take(MOST_PAIRS)
            .map(|(in_metrics, in_traces)| {
                format!("`{}` in metrics may be `{}` in traces", brief(in_metrics.as_str()), brief(in_traces.as_str()))
            })
            .collect();
        let more = pairs.len().saturating_sub(told.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        findings.push(Finding {
            severity: Severity::Gap,
            id: "names_differ",
            weight: pairs.len() as f64 / facts.traced.len() as f64,
            what: format!("services are named differently: {}{more}", told.join(", ")),
            advice: format!(
                "give both one name, in a settings file (--config): `[metrics.services]` with `\"{}\" = \"{}\"`; or at the \
                 source, with OTEL_SERVICE_NAME or `metric_relabel_configs`",
                brief(first.as_str()),
                brief(near.as_str())
            ),
        });
    }
    let rest: Vec<&str> = unmeasured.iter().filter(|s| !paired.contains(**s)).map(|s| s.as_str()).collect();
    if !rest.is_empty() {
        findings.push(Finding {
            severity: Severity::Gap,
            id: "services_without_metrics",
            weight: 0.6 * rest.len() as f64 / facts.traced.len() as f64,
            what: format!("traces but no metrics: {}", list(rest.iter().copied())),
            advice: "export CPU, memory and restarts of these too (cAdvisor, kube-state-metrics, the runtime's metrics), with a \
                     label that names the service (`service_name`, `app`, `pod`)"
                .to_owned(),
        });
    }
    let rest: Vec<&str> = untraced.iter().filter(|s| !paired.contains(**s)).map(|s| s.as_str()).collect();
    if !rest.is_empty() {
        findings.push(Finding {
            severity: Severity::Note,
            id: "services_without_traces",
            weight: 0.3,
            what: format!("metrics but no traces: {}", list(rest.iter().copied())),
            advice: "if these are services of yours, instrument them; if they are machines or exporters, nothing"
                .to_owned(),
        });
    }
    findings
}

/// Callees known from their callers only whose name is that of a service with spans: one node drawn as two.
fn in_peers(facts: &Facts<'_>) -> Option<Finding> {
    let by_plain: BTreeMap<String, &ServiceId> = facts.traced.iter().map(|s| (plain(s.as_str()), s)).collect();
    let unseen = facts.graph.nodes().iter().filter(|n| n.kind == NodeKind::External && !facts.traced.contains(&n.id));
    let pairs: Vec<(&ServiceId, &ServiceId)> =
        unseen.filter_map(|n| by_plain.get(&plain(n.id.as_str())).map(|service| (&n.id, *service))).collect();
    if pairs.is_empty() {
        return None;
    }
    let told: Vec<String> = pairs
        .iter()
        .take(MOST_PAIRS)
        .map(|(host, service)| format!("`{}` is perhaps `{}`", brief(host.as_str()), brief(service.as_str())))
        .collect();
    let more = pairs.len().saturating_sub(told.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(Finding {
        severity: Severity::Gap,
        id: "one_service_two_nodes",
        weight: 0.5 * pairs.len() as f64 / facts.graph.nodes().len().max(1) as f64,
        what: format!("callers name by address whom the map knows by name: {}{more}", told.join(", ")),
        advice:
            "the trace context is lost between them, or set `service.peer.name` (`peer.service`) at the client to the \
                 service's name"
                .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conventions_do_not_tell_names_apart() {
        for (a, b) in [
            ("cartservice", "cart"),
            ("Cart-Service", "shop/cart"),
            ("http://cart.shop.svc.cluster.local:8080", "cart"),
            ("order_svc", "order"),
        ] {
            assert_eq!(plain(a), plain(b));
        }
        assert_ne!(plain("10.0.0.1:80"), plain("10.0.0.2:80"));
        assert_eq!(plain("service"), "service");
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names: Vec<ServiceId> = ["checkout", "cart", "card-api"].map(ServiceId::new).to_vec();
        let names: Vec<&ServiceId> = names.iter().collect();
        let near = |name: &str| nearest(name, &names).map(|s| s.as_str());
        assert_eq!(near("carts"), Some("cart"));
        assert_eq!(near("checkoutservice"), Some("checkout"));
        assert_eq!(near("payments"), None);
        assert_eq!(near(&"x".repeat(10_000_000)), None);
    }
}
