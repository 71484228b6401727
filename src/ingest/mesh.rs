//! Service meshes: whose the series of Istio's, Linkerd's and Envoy's proxies are.
//!
//! A proxy stands on each side of a call, so most requests are counted twice. Of Istio's two reporters one counts for a
//! callee, the callee's own where there is one; what never reached the callee is known to the caller's proxy alone and
//! is added. Linkerd's inbound side counts for the service and its outbound side for the edge.

use std::collections::{BTreeMap, BTreeSet};

use super::hosts;
use super::naming::Naming;
use super::signals::RawSeries;
use crate::telemetry::id::ServiceId;
use crate::telemetry::topology::NodeKind;

/// What a proxy's series counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// Requests that a service handled.
    Handled(ServiceId),
    /// Calls of an edge; the caller is `None` for one without a name.
    Call {
        /// Who calls.
        caller: Option<ServiceId>,
        /// Who is called.
        callee: ServiceId,
        /// What the callee is.
        kind: NodeKind,
        /// Whose clock measured.
        by: By,
    },
    /// The same calls that another series counts already.
    Twice,
    /// Traffic of the mesh's own parts.
    Infrastructure,
    /// Labels do not say who was called.
    Nameless,
}

/// Whose proxy measured a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Caller,
    /// The caller's, while the callee's counts.
    CallerBeside,
    Callee,
}

fn text<'r>(raw: &'r RawSeries, label: &str) -> Option<&'r str> {
    raw.label(label).map(str::trim).filter(|value| !value.is_empty() && *value != "unknown")
}

fn first<'r>(raw: &'r RawSeries, labels: &[&str]) -> Option<&'r str> {
    labels.iter().find_map(|label| text(raw, label))
}

/// Istio's reporters, the more telling the greater: a sidecar of the callee, a waypoint before it, a sidecar of the
/// caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reporter {
    Source,
    Waypoint,
    Destination,
}

fn reporter(raw: &RawSeries) -> Option<Reporter> {
    Some(match raw.label("reporter")? {
        "destination" => Reporter::Destination,
        "waypoint" => Reporter::Waypoint,
        "source" => Reporter::Source,
        _ => return None,
    })
}

/// Envoy's response flags of requests that were not sent on: no healthy host, connection failure, overflow, no route,
/// no cluster. The callee's proxy never saw them.
const NOT_SENT: &[&str] = &["UH", "UF", "UO", "NR", "NC"];

/// Clusters that stand for traffic the mesh does not know.
const CATCH_ALL: &[&str] = &["PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster"];

fn is_catch_all(name: &str) -> bool {
    CATCH_ALL.iter().any(|cluster| name.starts_with(cluster))
}

/// What must be known of all of Istio's series before one can be placed.
#[derive(Debug, Default)]
pub(crate) struct Istio {
    /// The best reporter of each callee: namespace and workload (or service).
    best: BTreeMap<(String, String), Reporter>,
    /// The workloads behind a service: namespace and name.
    workloads: BTreeMap<(String, String), BTreeSet<String>>,
}

/// The callee as labels name it.
struct Callee<'r> {
    namespace: &'r str,
    name: &'r str,
    /// Whether it is the workload's name and not only the service's.
    is_workload: bool,
}

fn callee(raw: &RawSeries) -> Option<Callee<'_>> {
    if let Some(name) = text(raw, "destination_workload") {
        let namespace = text(raw, "destination_workload_namespace").unwrap_or_default();
        return Some(Callee { namespace, name, is_workload: true });
    }
    let name = text(raw, "destination_service_name").or_else(|| text(raw, "destination_service"))?;
    let namespace = text(raw, "destination_service_namespace").unwrap_or_default();
    Some(Callee { namespace, name: if is_catch_all(name) { name } else { hosts::name_of(name) }, is_workload: false })
}

impl Istio {
    /// Takes note of a series.
    pub(crate) fn note(&mut self, raw: &RawSeries) {
        let (Some(reporter), Some(callee)) = (reporter(raw), callee(raw)) else { return };
        let key = (callee.namespace.to_owned(), callee.name.to_owned());
        let best = self.best.entry(key).or_insert(reporter);
        *best = reporter.max(*best);
        if callee.is_workload
            && let Some(service) = text(raw, "destination_service_name")
        {
            let namespace = text(raw, "destination_service_namespace").unwrap_or_default();
            let workloads = self.workloads.entry((namespace.to_owned(), service.to_owned())).or_default();
            workloads.insert(callee.name.to_owned());
        }
    }

    /// Whose the series is, once all are noted.
    pub(crate) fn seen(&self, raw: &RawSeries, naming: &Naming<'_>) -> Seen {
        let (Some(reporter), Some(callee)) = (reporter(raw), callee(raw)) else { return Seen::Nameless };
        // A request that found no host names the service only; where one workload stands behind it, it was meant.
        let key = (callee.namespace.to_owned(), callee.name.to_owned());
        let behind = if callee.is_workload { None } else { self.workloads.get(&key).filter(|w| w.len() == 1) };
        let name = behind.and_then(|workloads| workloads.first()).map_or(callee.name, String::as_str);
        let best = self.best.get(&(key.0, name.to_owned())).copied().unwrap_or(reporter);
        let by = match (reporter == best, reporter) {
            (true, Reporter::Source) => By::Caller,
            (true, _) => By::Callee,
            (false, Reporter::Source) if was_not_sent(raw) => By::Caller,
            (false, Reporter::Source) => By::CallerBeside,
            (false, _) => return Seen::Twice,
        };
        let is_outside = !callee.is_workload && behind.is_none() && (hosts::is_outside(name) || is_catch_all(name));
        Seen::Call {
            caller: text(raw, "source_workload").map(|caller| naming.named(caller)),
            callee: naming.named(name),
            kind: if is_outside { NodeKind::External } else { NodeKind::Service },
            by,
        }
    }
}

fn was_not_sent(raw: &RawSeries) -> bool {
    raw.label("response_flags").is_some_and(|flags| flags.split(',').any(|flag| NOT_SENT.contains(&flag.trim())))
}

/// Whose a series of Linkerd's proxy is. The workload's labels come from the configuration that Linkerd gives
/// Prometheus; where they are missing the pod's name helps.
pub(crate) fn linkerd(raw: &RawSeries, naming: &Naming<'_>) -> Seen {
    const WORKLOAD: &[&str] = &["deployment", "statefulset", "daemonset", "replicaset", "k8s_job"];
    const CALLEE: &[&str] =
        &["dst_deployment", "dst_statefulset", "dst_daemonset", "dst_replicaset", "dst_job", "dst_service"];
    let this = || first(raw, WORKLOAD).map(|name| naming.named(name)).or_else(|| naming.service(raw));
    match raw.label("direction") {
        Some("inbound") => this().map_or(Seen::Nameless, Seen::Handled),
        Some("outbound") => {
            let host = text(raw, "authority").map(hosts::name_of).filter(|host| !host.is_empty());
            let (callee, kind) = match (first(raw, CALLEE), host) {
                (Some(workload), _) => (naming.named(workload), NodeKind::Service),
                (None, Some(host)) if hosts::is_outside(host) => (naming.at(host), NodeKind::External),
                (None, Some(host)) => (naming.at(host), NodeKind::Service),
                (None, None) => return Seen::Nameless,
            };
            Seen::Call { caller: this(), callee, kind, by: By::Caller }
        }
        _ => Seen::Nameless,
    }
}

/// Clusters through which Envoy talks to its control plane, its metrics and its tracing backend.
const ENVOY_INFRASTRUCTURE: &[&str] = &[
    "xds-grpc",
    "sds-grpc",
    "xds_cluster",
    "agent",
    "prometheus_stats",
    "zipkin",
    "admin",
    "ads_cluster",
    "local_agent",
];

/// Whose a series of one of Envoy's clusters is: the service beside which Envoy runs calls the cluster.
pub(crate) fn envoy(raw: &RawSeries, naming: &Naming<'_>) -> Seen {
    let Some(cluster) = first(raw, &["envoy_cluster_name", "cluster_name"]) else { return Seen::Nameless };
    if ENVOY_INFRASTRUCTURE.contains(&cluster) {
        return Seen::Infrastructure;
    }
    // Istio names clusters `direction|port|subset|host`.
    let parts: Vec<&str> = cluster.split('|').collect();
    let name = match parts[..] {
        ["inbound", ..] => return naming.service(raw).map_or(Seen::Nameless, Seen::Handled),
        ["outbound", _, _, host] => hosts::name_of(host),
        // Consul's end in `….internal.<trust domain>.consul`.
        _ if cluster.ends_with(".consul") => cluster.split('.').next().unwrap_or(cluster),
        _ => hosts::name_of(cluster),
    };
    if name.is_empty() {
        return Seen::Nameless;
    }
    let kind = if hosts::is_outside(name) || is_catch_all(name) { NodeKind::External } else { NodeKind::Service };
    Seen::Call { caller: naming.service(raw), callee: naming.named(name), kind, by: By::Caller }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::metric_rules::MetricSettings;
    use super::super::signals::RawKind;
    use super::super::ties::Ties;
    use super::*;
    use crate::telemetry::span::SpanTable;

    fn series(labels: &[(&str, &str)]) -> RawSeries {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (source, name, kind) = (Arc::from("test"), "m".to_owned(), RawKind::Unknown);
        RawSeries { source, name, labels, kind, samples: Vec::new() }
    }

    fn shown(seen: &Seen) -> String {
        match seen {
            Seen::Handled(service) => format!("{service}"),
            Seen::Call { caller, callee, kind, by } => {
                let caller = caller.as_ref().map_or("-", ServiceId::as_str);
                format!("{caller} → {callee} {kind:?} {by:?}")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn one_reporter_counts_for_each_callee_of_istio() {
        let call = |reporter: &str, from: &str, to: &str, service: &str, flags: &str| {
            series(&[
                ("reporter", reporter),
                ("source_workload", from),
                ("destination_workload", to),
                ("destination_workload_namespace", if to == "unknown" { "unknown" } else { "shop" }),
                ("destination_service_name", service),
                ("destination_service_namespace", "shop"),
                ("response_flags", flags),
            ])
        };
        let all = [
            (call("destination", "web", "cart-v1", "cart", "-"), "web → cart-v1 Service Callee"),
            (call("source", "web", "cart-v1", "cart", "-"), "web → cart-v1 Service CallerBeside"),
            // Not sent, so the callee's proxy does not count it; no host was found, so the service is all it names.
            (call("source", "web", "cart-v1", "cart", "UF,URX"), "web → cart-v1 Service Caller"),
            (call("source", "web", "unknown", "cart", "UH"), "web → cart-v1 Service Caller"),
            // Outside the mesh: only the caller's proxy counts.
            (call("source", "web", "old-vm", "old", "-"), "web → old-vm Service Caller"),
            (call("source", "web", "unknown", "api.example.com", "-"), "web → api.example.com External Caller"),
            (call("source", "web", "unknown", "PassthroughCluster", "-"), "web → PassthroughCluster External Caller"),
            // From outside the mesh there is no caller.
            (call("destination", "unknown", "cart-v1", "cart", "-"), "- → cart-v1 Service Callee"),
            (call("source", "web", "unknown", "unknown", "NR"), "Nameless"),
            // A waypoint stands between the two.
            (call("waypoint", "web", "pay-v1", "pay", "-"), "web → pay-v1 Service Callee"),
            (call("waypoint", "web", "cart-v1", "cart", "-"), "Twice"),
        ];
        let settings = MetricSettings::default();
        let naming = Naming::new(&settings, Ties::default(), &SpanTable::default());
        let mut istio = Istio::default();
        all.iter().for_each(|(raw, _)| istio.note(raw));
        for (raw, expected) in &all {
            assert_eq!(shown(&istio.seen(raw, &naming)), *expected, "{:?}", raw.labels);
        }
    }

    #[test]
    fn proxies_of_linkerd_and_envoy_tell_service_and_edge() {
        let settings = MetricSettings::default();
        let naming = Naming::new(&settings, Ties::default(), &SpanTable::default());
        let scraped = [("job", "linkerd-proxy"), ("deployment", "web"), ("pod", "web-5f6585d649-fnmft")];
        let with = |more: &[(&str, &str)]| series(&[&scraped[..], more].concat());
        for (labels, expected) in [
            (vec![("direction", "inbound"), ("authority", "web-svc.shop.svc.cluster.local:80")], "web"),
            (vec![("direction", "outbound"), ("dst_deployment", "voting")], "web → voting Service Caller"),
            (
                vec![("direction", "outbound"), ("authority", "emoji-svc.shop.svc.cluster.local:8080")],
                "web → emoji-svc Service Caller",
            ),
            (vec![("direction", "outbound"), ("authority", "linkerd.io")], "web → linkerd.io External Caller"),
            (vec![("direction", "outbound")], "Nameless"),
        ] {
            assert_eq!(shown(&linkerd(&with(&labels), &naming)), expected, "{labels:?}");
        }
        for (cluster, expected) in [
            ("cart", "web → cart Service Caller"),
            ("outbound|9080|v1|reviews.default.svc.cluster.local", "web → reviews Service Caller"),
            ("inbound|9080||", "web"),
            ("cart.default.dc1.internal.0000-11.consul", "web → cart Service Caller"),
            ("api.example.com", "web → api.example.com External Caller"),
            ("PassthroughCluster", "web → PassthroughCluster External Caller"),
            ("xds-grpc", "Infrastructure"),
        ] {
            assert_eq!(shown(&envoy(&with(&[("envoy_cluster_name", cluster)]), &naming)), expected, "{cluster}");
        }
    }
}
