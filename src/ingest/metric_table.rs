//! The table of metric names whose meaning is known, by dialect: from names to what [`super::derive`] makes of them.
//!
//! Dots in names (UTF-8 names such as `http.server.request.duration`) count as underscores, so a name without the
//! suffix of its unit stands beside the one with it. A name that many programs use (`request_total`) belongs to a
//! dialect only when a label that the dialect always writes is there too.
//!
//! Sources: the metric lists of cAdvisor, kube-state-metrics, node exporter, Istio ("Standard Metrics"), Linkerd
//! ("Proxy metrics") and Envoy ("Cluster statistics"); Tempo's metrics generator; the OpenTelemetry Collector's
//! spanmetrics and servicegraph connectors; the OpenTelemetry HTTP and RPC conventions; the Prometheus client
//! libraries; Micrometer; go-grpc-prometheus and gRPC's own OpenTelemetry metrics.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::dialects::Dialect;
use super::metric_parts::{Part, split_part};
use crate::telemetry::series::{Signal, Unit};

/// What the series of one metric name become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The rate of a counter, summed over the labels that do not name the subject.
    Rate,
    /// A gauge, summed likewise.
    Level,
    /// A gauge of which each value of the label `reason` is a series of its own.
    LevelByReason,
    /// Numerator of a ratio of two counters; the text is the denominator's name.
    ShareOf(&'static str),
    /// Of no use alone: the denominator of a ratio, or the caller's clock where the callee's counts.
    Whole,
    /// Requests handled; failed ones are told by a label.
    Calls,
    /// Outcomes of the requests that the metric of this name counts; where that one is not there, also their number.
    Outcomes(&'static str),
    /// Failed requests of an edge.
    FailedCalls,
    /// A histogram or summary of the time from request to answer; the name is without `_bucket`, `_sum`, `_count`.
    Duration,
    /// The same of something else: the signal is `Other`.
    Distribution,
    /// A metric of a machine, which [`super::machines`] reads.
    Machine,
    /// Says by its labels what belongs together; [`super::ties`] reads it.
    Tie,
}

/// Whose series a row of the table makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// One instance where labels name one.
    Instance,
    /// The service, and each of its operations where labels name them. Only what the handling side measured.
    Service,
    /// The edge between the labels `client` and `server`, as the caller measured it.
    EdgeSeenByCaller,
    /// The same edge as the callee measured it.
    EdgeSeenByCallee,
    /// The edge from the measuring service to the host, client or cluster that a label names.
    Outgoing,
    /// The edge between Istio's workloads, as the proxy of the label `reporter` measured it.
    Istio,
    /// The service or the edge, by the label `direction` of Linkerd's proxy.
    Linkerd,
    /// The edge from the service beside which Envoy runs to the cluster.
    Envoy,
}

/// A row of the table of known metrics.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Known {
    /// Name, without the suffix of a histogram's parts.
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) scope: Scope,
    pub(crate) signal: Signal,
    /// Unit after `scale`.
    pub(crate) unit: Unit,
    /// Factor from the source's unit to the base unit.
    pub(crate) scale: f64,
}

/// The rows of one dialect.
pub(crate) struct Section {
    pub(crate) dialect: Dialect,
    /// One of these labels must be there; none is asked for where the list is empty.
    pub(crate) needs: &'static [&'static str],
    pub(crate) rows: &'static [Known],
}

const fn row(name: &'static str, role: Role, scope: Scope, signal: Signal, unit: Unit, scale: f64) -> Known {
    Known { name, role, scope, signal, unit, scale }
}

const fn calls(name: &'static str, scope: Scope) -> Known {
    row(name, Role::Calls, scope, Signal::Requests, Unit::PerSecond, 1.0)
}

const fn outcomes(name: &'static str, of: &'static str, scope: Scope) -> Known {
    row(name, Role::Outcomes(of), scope, Signal::Requests, Unit::PerSecond, 1.0)
}

const fn seconds(name: &'static str, scope: Scope) -> Known {
    row(name, Role::Duration, scope, Signal::Latency, Unit::Seconds, 1.0)
}

const fn milliseconds(name: &'static str, scope: Scope) -> Known {
    row(name, Role::Duration, scope, Signal::Latency, Unit::Seconds, 1e-3)
}

const fn rate(name: &'static str, signal: Signal, unit: Unit) -> Known {
    row(name, Role::Rate, Scope::Instance, signal, unit, 1.0)
}

const fn level(name: &'static str, signal: Signal, unit: Unit) -> Known {
    row(name, Role::Level, Scope::Instance, signal, unit, 1.0)
}

const fn whole(name: &'static str, unit: Unit) -> Known {
    row(name, Role::Whole, Scope::Instance, Signal::Other, unit, 1.0)
}

const fn tie(name: &'static str) -> Known {
    row(name, Role::Tie, Scope::Instance, Signal::Other, Unit::None, 1.0)
}

const fn machine(name: &'static str, unit: Unit) -> Known {
    row(name, Role::Machine, Scope::Instance, Signal::Other, unit, 1.0)
}

/// Counter of calls of an edge in service-graph metrics, and that of the failed ones among them.
pub(super) const EDGE_CALLS: &str = "traces_service_graph_request_total";
pub(super) const EDGE_FAILURES: &str = "traces_service_graph_request_failed_total";
/// The histograms of a service graph by the caller's and by the callee's clock.
pub(super) const EDGE_SEEN_BY_CALLER: &str = "traces_service_graph_request_client_seconds";
pub(super) const EDGE_SEEN_BY_CALLEE: &str = "traces_service_graph_request_server_seconds";
pub(super) const ISTIO_DURATION: &str = "istio_request_duration_milliseconds";
pub(super) const LINKERD_LATENCY: &str = "response_latency_ms";
pub(super) const WORKING_SET: &str = "container_memory_working_set_bytes";
/// Limits of containers, by cAdvisor and by kube-state-metrics; the latter's name is completed by its label `resource`.
pub(super) const MEMORY_LIMIT: &str = "container_spec_memory_limit_bytes";
pub(super) const RESOURCE_LIMITS: &str = "kube_pod_container_resource_limits";

/// All sections. Of two that know a name, the first whose labels are there counts.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        dialect: Dialect::Cadvisor,
        needs: &[],
        rows: &[
            rate("container_cpu_usage_seconds_total", Signal::Cpu, Unit::Cores),
            row(
                "container_cpu_cfs_throttled_periods_total",
                Role::ShareOf("container_cpu_cfs_periods_total"),
                Scope::Instance,
                Signal::CpuThrottling,
                Unit::Ratio,
                1.0,
            ),
            whole("container_cpu_cfs_periods_total", Unit::None),
            level(WORKING_SET, Signal::Memory, Unit::Bytes),
            level("container_memory_rss", Signal::Memory, Unit::Bytes),
            whole(MEMORY_LIMIT, Unit::Bytes),
            rate("container_oom_events_total", Signal::Restarts, Unit::PerSecond),
            rate("container_fs_reads_bytes_total", Signal::Disk, Unit::BytesPerSecond),
            rate("container_fs_writes_bytes_total", Signal::Disk, Unit::BytesPerSecond),
            // Seconds of a second in which the disk was busy for it.
            rate("container_fs_io_time_seconds_total", Signal::Disk, Unit::Ratio),
            rate("container_network_receive_bytes_total", Signal::NetworkReceive, Unit::BytesPerSecond),
            rate("container_network_transmit_bytes_total", Signal::NetworkTransmit, Unit::BytesPerSecond),
            level("container_sockets", Signal::Sockets, Unit::Count),
        ],
    },
    Section {
        dialect: Dialect::KubeStateMetrics,
        needs: &[],
        rows: &[
            rate("kube_pod_container_status_restarts_total", Signal::Restarts, Unit::PerSecond),
            row(
                "kube_pod_container_status_last_terminated_reason",
                Role::LevelByReason,
                Scope::Instance,
                Signal::Restarts,
                Unit::Count,
                1.0,
            ),
            whole(RESOURCE_LIMITS, Unit::None),
            tie("kube_pod_info"),
            tie("kube_pod_owner"),
            tie("kube_pod_labels"),
            tie("kube_replicaset_owner"),
            tie("kube_job_owner"),
        ],
    },
    Section {
        dialect: Dialect::NodeExporter,
        needs: &[],
        rows: &[
            machine("node_cpu_seconds_total", Unit::Seconds),
            machine("node_memory_MemAvailable_bytes", Unit::Bytes),
            machine("node_memory_MemTotal_bytes", Unit::Bytes),
            machine("node_disk_io_time_seconds_total", Unit::Seconds),
            machine("instance:node_cpu_utilisation:rate5m", Unit::Ratio),
            machine("instance:node_memory_utilisation:ratio", Unit::Ratio),
            tie("node_uname_info"),
        ],
    },
    Section {
        dialect: Dialect::ClientLibraries,
        needs: &[],
        rows: &[
            rate("process_cpu_seconds_total", Signal::Cpu, Unit::Cores),
            level("process_resident_memory_bytes", Signal::Memory, Unit::Bytes),
            level("jvm_memory_used_bytes", Signal::Memory, Unit::Bytes),
            seconds("http_request_duration_seconds", Scope::Service),
            calls("http_requests_total", Scope::Service),
        ],
    },
    Section {
        dialect: Dialect::SpanMetricsTempo,
        needs: &[],
        rows: &[
            calls("traces_spanmetrics_calls_total", Scope::Service),
            seconds("traces_spanmetrics_latency", Scope::Service),
            seconds("traces_spanmetrics_duration_seconds", Scope::Service),
            milliseconds("traces_spanmetrics_duration_milliseconds", Scope::Service),
        ],
    },
    Section {
        dialect: Dialect::SpanMetricsCollector,
        needs: &[],
        rows: &[
            calls("traces_span_metrics_calls_total", Scope::Service),
            calls("traces_span_metrics_calls", Scope::Service),
            seconds("traces_span_metrics_duration_seconds", Scope::Service),
            milliseconds("traces_span_metrics_duration_milliseconds", Scope::Service),
            milliseconds("traces_span_metrics_duration", Scope::Service),
        ],
    },
    Section {
        dialect: Dialect::SpanMetricsCollectorBefore109,
        needs: &["span_name"],
        rows: &[
            calls("calls_total", Scope::Service),
            calls("calls", Scope::Service),
            seconds("duration_seconds", Scope::Service),
            milliseconds("duration_milliseconds", Scope::Service),
            milliseconds("duration", Scope::Service),
        ],
    },
    Section {
        dialect: Dialect::SpanMetricsProcessor,
        needs: &["operation"],
        rows: &[calls("calls_total", Scope::Service), milliseconds("latency", Scope::Service)],
    },
    Section {
        dialect: Dialect::ServiceGraph,
        needs: &[],
        rows: &[
            calls(EDGE_CALLS, Scope::EdgeSeenByCaller),
            row(EDGE_FAILURES, Role::FailedCalls, Scope::EdgeSeenByCaller, Signal::ErrorRatio, Unit::Ratio, 1.0),
            seconds(EDGE_SEEN_BY_CALLER, Scope::EdgeSeenByCaller),
            seconds(EDGE_SEEN_BY_CALLEE, Scope::EdgeSeenByCallee),
            row(
                "traces_service_graph_request_messaging_system_seconds",
                Role::Distribution,
                Scope::EdgeSeenByCallee,
                Signal::Other,
                Unit::Seconds,
                1.0,
            ),
        ],
    },
    Section {
        dialect: Dialect::OpenTelemetryHttp,
        needs: &[],
        rows: &[
            seconds("http_server_request_duration_seconds", Scope::Service),
            seconds("http_server_request_duration", Scope::Service),
            milliseconds("http_server_duration_milliseconds", Scope::Service),
            milliseconds("http_server_duration", Scope::Service),
            seconds("http_client_request_duration_seconds", Scope::Outgoing),
            seconds("http_client_request_duration", Scope::Outgoing),
            milliseconds("http_client_duration_milliseconds", Scope::Outgoing),
            milliseconds("http_client_duration", Scope::Outgoing),
        ],
    },
    Section {
        dialect: Dialect::OpenTelemetryRpc,
        needs: &[],
        rows: &[
            milliseconds("rpc_server_duration_milliseconds", Scope::Service),
            milliseconds("rpc_server_duration", Scope::Service),
            seconds("rpc_server_call_duration_seconds", Scope::Service),
            seconds("rpc_server_call_duration", Scope::Service),
            milliseconds("rpc_client_duration_milliseconds", Scope::Outgoing),
            milliseconds("rpc_client_duration", Scope::Outgoing),
            seconds("rpc_client_call_duration_seconds", Scope::Outgoing),
            seconds("rpc_client_call_duration", Scope::Outgoing),
        ],
    },
    Section {
        dialect: Dialect::OpenTelemetryResources,
        needs: &[],
        rows: &[
            level("container_cpu_usage", Signal::Cpu, Unit::Cores),
            rate("container_cpu_time_seconds_total", Signal::Cpu, Unit::Cores),
            row("container_cpu_usage_nanoseconds_total", Role::Rate, Scope::Instance, Signal::Cpu, Unit::Cores, 1e-9),
            level("container_memory_rss_bytes", Signal::Memory, Unit::Bytes),
            level("k8s_pod_cpu_usage", Signal::Cpu, Unit::Cores),
            rate("k8s_pod_cpu_time_seconds_total", Signal::Cpu, Unit::Cores),
            level("k8s_pod_memory_working_set_bytes", Signal::Memory, Unit::Bytes),
            rate("k8s_pod_network_receive_bytes_total", Signal::NetworkReceive, Unit::BytesPerSecond),
            rate("k8s_pod_network_transmit_bytes_total", Signal::NetworkTransmit, Unit::BytesPerSecond),
            rate("k8s_container_restarts", Signal::Restarts, Unit::PerSecond),
            rate("process_cpu_time_seconds_total", Signal::Cpu, Unit::Cores),
            level("process_memory_usage_bytes", Signal::Memory, Unit::Bytes),
            rate("jvm_cpu_time_seconds_total", Signal::Cpu, Unit::Cores),
            level("go_memory_used_bytes", Signal::Memory, Unit::Bytes),
        ],
    },
    Section { dialect: Dialect::TargetInfo, needs: &[], rows: &[tie("target_info")] },
    Section {
        dialect: Dialect::Micrometer,
        needs: &[],
        rows: &[
            seconds("http_server_requests_seconds", Scope::Service),
            calls("http_server_requests_total", Scope::Service),
            seconds("http_client_requests_seconds", Scope::Outgoing),
        ],
    },
    Section {
        dialect: Dialect::Grpc,
        needs: &[],
        rows: &[
            calls("grpc_server_handled_total", Scope::Service),
            seconds("grpc_server_handling_seconds", Scope::Service),
            seconds("grpc_server_call_duration_seconds", Scope::Service),
            seconds("grpc_server_call_duration", Scope::Service),
            seconds("grpc_client_attempt_duration_seconds", Scope::Outgoing),
            seconds("grpc_client_attempt_duration", Scope::Outgoing),
        ],
    },
    Section {
        dialect: Dialect::Istio,
        needs: &["reporter"],
        rows: &[
            calls("istio_requests_total", Scope::Istio),
            milliseconds(ISTIO_DURATION, Scope::Istio),
            seconds("istio_request_duration_seconds", Scope::Istio),
        ],
    },
    Section {
        dialect: Dialect::Linkerd,
        needs: &["direction"],
        rows: &[
            calls("request_total", Scope::Linkerd),
            outcomes("response_total", "request_total", Scope::Linkerd),
            milliseconds(LINKERD_LATENCY, Scope::Linkerd),
        ],
    },
    Section {
        dialect: Dialect::Envoy,
        needs: &["envoy_cluster_name", "cluster_name"],
        rows: &[
            calls("envoy_cluster_upstream_rq_total", Scope::Envoy),
            outcomes("envoy_cluster_upstream_rq_xx", "envoy_cluster_upstream_rq_total", Scope::Envoy),
            milliseconds("envoy_cluster_upstream_rq_time", Scope::Envoy),
        ],
    },
];

/// Sections and rows by name: every series is looked up, so a search through all rows would be felt.
static BY_NAME: LazyLock<FxHashMap<&str, Vec<(&Section, &Known)>>> = LazyLock::new(|| {
    let mut by_name: FxHashMap<&str, Vec<(&Section, &Known)>> = FxHashMap::default();
    for section in SECTIONS {
        for row in section.rows {
            by_name.entry(row.name).or_default().push((section, row));
        }
    }
    by_name
});

/// The row for a name, the part of a distribution that the name is, and the dialect. `name` has no dots; `has` tells
/// whether a label is there.
pub(crate) fn known(name: &str, has: impl Fn(&str) -> bool) -> Option<(&'static Known, Part, Dialect)> {
    let found = |wanted: &str| {
        let rows = BY_NAME.get(wanted)?;
        let fits = |section: &Section| section.needs.is_empty() || section.needs.iter().any(|label| has(label));
        rows.iter().find(|(section, _)| fits(section)).map(|(section, row)| (*row, section.dialect))
    };
    let (base, part) = split_part(name);
    let is_distribution = |row: &Known| matches!(row.role, Role::Duration | Role::Distribution);
    if part != Part::None
        && let Some((row, dialect)) = found(base).filter(|(row, _)| is_distribution(row))
    {
        return Some((row, part, dialect));
    }
    found(name).map(|(row, dialect)| (row, Part::None, dialect))
}

/// The labels that each dialect with this name needs, of which any one is enough; an empty list needs none. `None`: no
/// dialect has it.
pub(super) fn needs(name: &str) -> Option<Vec<&'static [&'static str]>> {
    let of = |wanted: &str, is_part: bool| {
        let rows = BY_NAME.get(wanted).into_iter().flatten();
        let is_distribution = |row: &Known| matches!(row.role, Role::Duration | Role::Distribution);
        rows.filter(|(_, row)| !is_part || is_distribution(row)).map(|(section, _)| section.needs).collect::<Vec<_>>()
    };
    let (base, part) = split_part(name);
    let mut found = of(name, false);
    if part != Part::None {
        found.extend(of(base, true));
    }
    (!found.is_empty()).then_some(found)
}

/// Labels that only span metrics have together.
pub(super) const LABELS_OF_SPAN_METRICS: [&str; 2] = ["span_name", "span_kind"];

/// The row for span metrics that were given a namespace of their own (`shop_calls_total`): told by labels that only
/// span metrics have together. The part of the name that stands before the row's is the namespace.
pub(crate) fn own_namespace(name: &str, has: impl Fn(&str) -> bool) -> Option<(&'static Known, Part)> {
    if !LABELS_OF_SPAN_METRICS.iter().all(|label| has(label)) {
        return None;
    }
    let (base, part) = split_part(name);
    let section = SECTIONS.iter().find(|section| section.dialect == Dialect::SpanMetricsCollectorBefore109)?;
    section.rows.iter().find_map(|row| {
        let whole = if matches!(row.role, Role::Duration) { base } else { name };
        let part = if matches!(row.role, Role::Duration) { part } else { Part::None };
        let namespace = whole.strip_suffix(row.name)?;
        (namespace.len() > 1 && namespace.ends_with(['_', ':'])).then_some((row, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_by_itself_and_by_one_dialect_only() {
        for section in SECTIONS {
            for row in section.rows {
                let has = |label: &str| section.needs.first().is_some_and(|need| *need == label);
                let same = SECTIONS.iter().filter(|s| s.rows.iter().any(|r| r.name == row.name));
                let needs: Vec<_> = same.map(|s| s.needs).collect();
                // Two dialects may share a name only where labels tell them apart.
                assert!(needs.len() == 1 || needs.iter().all(|n| !n.is_empty()), "{}", row.name);
                if matches!(row.role, Role::Duration | Role::Distribution) {
                    for (suffix, part) in [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)] {
                        let found = known(&format!("{}{suffix}", row.name), has);
                        assert_eq!(found, Some((row, part, section.dialect)), "{}", row.name);
                    }
                }
                assert_eq!(known(row.name, has), Some((row, Part::None, section.dialect)), "{}", row.name);
                if let Role::ShareOf(whole) = row.role {
                    assert_eq!(known(whole, has).map(|k| k.0.role), Some(Role::Whole), "{}", row.name);
                }
                if let Role::Outcomes(all) = row.role {
                    assert_eq!(known(all, has).map(|k| k.0.role), Some(Role::Calls), "{}", row.name);
                }
            }
        }
        assert_eq!(known("nothing_of_the_kind", |_| true), None);
    }

    #[test]
    fn names_that_many_programs_use_need_the_labels_of_their_dialect() {
        for name in ["request_total", "response_total", "calls_total", "latency_bucket", "duration_seconds_sum"] {
            assert_eq!(known(name, |_| false), None, "{name}");
        }
        let dialect = |label: &'static str| known("calls_total", move |l| l == label).map(|k| k.2);
        assert_eq!(dialect("span_name"), Some(Dialect::SpanMetricsCollectorBefore109));
        assert_eq!(dialect("operation"), Some(Dialect::SpanMetricsProcessor));
    }

    #[test]
    fn span_metrics_may_have_a_namespace_of_their_own() {
        let row = |name: &str| own_namespace(name, |_| true).map(|(row, part)| (row.name, part));
        assert_eq!(row("shop_calls_total"), Some(("calls_total", Part::None)));
        assert_eq!(row("shop_duration_milliseconds_bucket"), Some(("duration_milliseconds", Part::Bucket)));
        assert_eq!(row("recalls_total"), None);
        assert_eq!(own_namespace("shop_calls_total", |label| label == "span_name"), None);
    }
}
