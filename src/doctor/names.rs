//! One service under two names: its metrics stand beside its traces unconnected, or callers' spans beside its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};
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

/// Whether one name is the other with something before or after it, set off by a separator: `shop-cart` and `cart`.
fn extends(longer: &str, shorter: &str) -> bool {
    let is_separator = |c: Option<char>| c.is_some_and(|c| matches!(c, '-' | '_' | '.' | '/' | ':'));
    let (longer, shorter) = (longer.to_lowercase(), shorter.to_lowercase());
    let prefixed = longer.strip_suffix(&shorter).is_some_and(|prefix| is_separator(prefix.chars().next_back()));
    let suffixed = longer.strip_prefix(&shorter).is_some_and(|suffix| is_separator(suffix.chars().next()));
    !shorter.is_empty() && (prefixed || suffixed)
}

/// The name with which another one is told apart only by what stands before or after it: the longest, and none where
/// two are as long.
fn extended<'a>(name: &str, others: &[&'a ServiceId]) -> Option<&'a ServiceId> {
    let mut found: Vec<&ServiceId> = others
        .iter()
        .take(MOST_COMPARED)
        .filter(|other| extends(name, other.as_str()) || extends(other.as_str(), name))
        .copied()
        .collect();
    found.sort_by_key(|other| std::cmp::Reverse(other.as_str().len()));
    match found.as_slice() {
        [one] => Some(one),
        [first, second, ..] if first.as_str().len() > second.as_str().len() => Some(first),
        _ => None,
    }
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
        if let Some(near) = nearest(name.as_str(), &unmeasured).or_else(|| extended(name.as_str(), &unmeasured)) {
            pairs.push((name, near));
            paired.extend([*name, near]);
        }
    }
    let mut findings = Vec::new();
    if !pairs.is_empty() {
        let line = |(in_metrics, in_traces): &(&ServiceId, &ServiceId)| {
            format!("`\"{}\" = \"{}\"`", brief(in_metrics.as_str()), brief(in_traces.as_str()))
        };
        let lines: Vec<String> = pairs.iter().take(MOST_PAIRS).map(line).collect();
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
                "give both one name, in a settings file (--config): `[metrics.services]` with {}; or at the source, with \
                 OTEL_SERVICE_NAME or `metric_relabel_configs`",
                lines.join(", ")
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
    findings.extend(pods_without_service(facts, untraced.iter().filter(|s| !paired.contains(**s)).copied()));
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

/// Pods in metrics whose names lead to no service of the traces.
fn pods_without_service<'a>(facts: &Facts<'_>, unknown: impl Iterator<Item = &'a ServiceId>) -> Option<Finding> {
    let unknown: BTreeSet<&ServiceId> = unknown.collect();
    let pods: BTreeSet<&str> = facts
        .telemetry
        .series
        .iter()
        .filter_map(|series| match &series.subject {
            // An instance that begins with its service's name is a pod; an address or host is none.
            Subject::Instance { service, instance } => {
                let is_pod = instance.strip_prefix(service.as_str()).is_some_and(|rest| rest.starts_with('-'));
                (is_pod && unknown.contains(service)).then_some(instance.as_str())
            }
            _ => None,
        })
        .collect();
    (!pods.is_empty()).then(|| Finding {
        severity: Severity::Gap,
        id: "pods_without_service",
        weight: 0.5,
        what: format!("pods in metrics that match no service of the traces: {}", list(pods)),
        advice: "add kube-state-metrics' `kube_pod_info` and `kube_pod_owner` (and `kube_pod_labels`), which tell whose pods \
                 they are; or name their services in a settings file (--config) under `[metrics.services]`"
            .to_owned(),
    })
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
    fn a_name_with_something_before_or_after_it_is_paired() {
        let names: Vec<ServiceId> = ["cart", "cart-api", "pay", "web"].map(ServiceId::new).to_vec();
        let names: Vec<&ServiceId> = names.iter().collect();
        let found = |name: &str| extended(name, &names).map(|s| s.as_str());
        assert_eq!(found("shop-pay"), Some("pay"));
        assert_eq!(found("pay_v2"), Some("pay"));
        assert_eq!(found("shop-cart-api"), Some("cart-api"));
        // `cart` and `cart-api` are both told apart from it by an ending; the longer one is nearer.
        assert_eq!(found("cart-api-blue"), Some("cart-api"));
        assert_eq!(found("prepay"), None);
        assert_eq!(found("pay-web"), None, "as likely one as the other");
    }

    fn examined(label: &str, value: &str) -> Vec<Finding> {
        use crate::doctor::{FileFacts, examine};
        use crate::ingest::{ReadOptions, Telemetry, finish, read_bytes};
        use std::path::Path;

        let spans = "trace_id,span_id,parent_id,service,start_us,duration_us\n1,2,,cart,1772445600000000,5\n";
        let metrics = format!("container_memory_working_set_bytes{{{label}=\"{value}\"}} 5 1772445600\n# EOF\n");
        let options = ReadOptions::default();
        let mut telemetry = Telemetry::default();
        for (name, text) in [("s.csv", spans), ("m.prom", metrics.as_str())] {
            telemetry.append(read_bytes(Path::new(name), text.as_bytes(), &options).expect("recognised"));
        }
        finish(&mut telemetry, &options);
        examine(&telemetry, FileFacts::of(&telemetry, |_| None), None).findings
    }

    #[test]
    fn pods_and_prefixed_names_are_told_with_what_maps_them() {
        let advice = |findings: &[Finding], id: &str| findings.iter().find(|f| f.id == id).map(|f| f.advice.clone());
        let pods = examined("pod", "inventory-6b5d8f7c9-x2k4q");
        let advised = advice(&pods, "pods_without_service").expect("told");
        assert!(advised.contains("kube_pod_owner") && advised.contains("[metrics.services]"), "{advised}");
        let prefixed = examined("service", "shop-cart");
        assert_eq!(advice(&prefixed, "pods_without_service"), None);
        let advised = advice(&prefixed, "names_differ").expect("told");
        assert!(advised.contains("`\"shop-cart\" = \"cart\"`"), "{advised}");
        assert_eq!(advice(&examined("pod", "cart-6b5d8f7c9-x2k4q"), "pods_without_service"), None);
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
