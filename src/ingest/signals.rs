//! What metric names and labels mean: the tables from which [`super::derive`] makes subjects, signals and units.
//!
//! Everything that is known about naming conventions stands in the tables of this file; names in plain words (columns
//! of a CSV file) are read by [`super::plain_names`]. Dots in names and labels (UTF-8 names, `service.name`) count as
//! underscores.

use std::borrow::Cow;
use std::sync::Arc;

use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject, Unit};

/// What the source says about a series' samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(crate) enum RawKind {
    /// Nothing: the name's suffix decides.
    Unknown,
    /// Declared a counter, or a counter-like part of a histogram or summary.
    Counter,
    /// Declared a gauge.
    Gauge,
    /// The name is free words, not a metric's name: a table's column, or the file of an expression's result.
    Words,
}

/// One series as read, before its name and labels are understood.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct RawSeries {
    /// File, for messages.
    pub(crate) source: Arc<str>,
    /// Metric name.
    pub(crate) name: String,
    /// Labels without `__name__`, sorted by name.
    pub(crate) labels: Vec<(String, String)>,
    /// What the source says about the samples.
    pub(crate) kind: RawKind,
    /// (Unix nanoseconds, value) as read: any order, any value.
    pub(crate) samples: Vec<(i64, f64)>,
}

impl RawSeries {
    /// The value of a label; dots in label names count as underscores.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| underscored(key) == name).map(|(_, value)| value.as_str())
    }
}

/// The name with dots as underscores, as the OpenTelemetry translation for Prometheus writes it.
pub(crate) fn underscored(name: &str) -> Cow<'_, str> {
    if name.contains('.') { Cow::Owned(name.replace('.', "_")) } else { Cow::Borrowed(name) }
}

/// How a label's value gives a service's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Naming {
    /// As it stands. `job` stays `namespace/name`, which is the identity of the OpenTelemetry conventions.
    Whole,
    /// A pod: the hashes of ReplicaSet and pod, or the ordinal of a StatefulSet, are cut.
    Pod,
    /// `host:port`: the port is cut.
    Address,
}

/// Labels that name the service, the first that is there and names no exporter wins. `exported_…` stands where
/// Prometheus renamed the label of the scraped program in favour of its own. A pod stands before a container because
/// many charts call every container `server` or `app`.
const SERVICE_LABELS: &[(&str, Naming)] = &[
    ("service_name", Naming::Whole),
    ("exported_service", Naming::Whole),
    ("service", Naming::Whole),
    ("servicename", Naming::Whole),
    ("microservice", Naming::Whole),
    ("app", Naming::Whole),
    ("app_kubernetes_io_name", Naming::Whole),
    ("label_app_kubernetes_io_name", Naming::Whole),
    ("label_app", Naming::Whole),
    ("exported_job", Naming::Whole),
    ("job", Naming::Whole),
    ("deployment", Naming::Whole),
    ("k8s_deployment_name", Naming::Whole),
    ("workload", Naming::Whole),
    ("container_label_com_docker_compose_service", Naming::Whole),
    ("exported_pod", Naming::Pod),
    ("pod", Naming::Pod),
    ("pod_name", Naming::Pod),
    ("podname", Naming::Pod),
    ("k8s_pod_name", Naming::Pod),
    ("kubernetes_pod_name", Naming::Pod),
    ("cmdb_id", Naming::Pod),
    ("exported_container", Naming::Whole),
    ("container", Naming::Whole),
    ("container_name", Naming::Whole),
    ("k8s_container_name", Naming::Whole),
    ("exported_instance", Naming::Address),
    ("instance", Naming::Address),
];

/// Labels that name one instance of a service.
const INSTANCE_LABELS: &[&str] = &[
    "exported_pod",
    "pod",
    "pod_name",
    "podname",
    "k8s_pod_name",
    "kubernetes_pod_name",
    "service_instance_id",
    "exported_instance",
    "instance",
];

/// Labels that name an operation.
const OPERATION_LABELS: &[&str] = &["span_name", "operation", "http_route", "route", "endpoint", "handler", "uri"];

/// Words in a label's value that name whoever measured, not who was measured: exporters, collectors and the generic
/// job names of Prometheus' Kubernetes examples.
const EXPORTERS: &[&str] = &[
    "kubelet",
    "cadvisor",
    "kube-state-metrics",
    "node-exporter",
    "node_exporter",
    "kubernetes-pods",
    "kubernetes-nodes",
    "kubernetes-service-endpoints",
    "otel-collector",
    "opentelemetry-collector",
    "metrics-generator",
    "pushgateway",
];

/// The service that labels name, by [`SERVICE_LABELS`]; `None` if none does.
pub(crate) fn service<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<ServiceId> {
    for &(name, naming) in SERVICE_LABELS {
        let Some(value) = label(name).map(str::trim).filter(|v| !v.is_empty()) else { continue };
        // cAdvisor names the pod's pause container so; it does no work.
        if value == "POD" || EXPORTERS.iter().any(|exporter| value.contains(exporter)) {
            continue;
        }
        return Some(ServiceId::new(match naming {
            Naming::Whole => value,
            Naming::Pod => service_of_pod(value),
            Naming::Address => value.rsplit_once(':').map_or(value, |(host, _)| host),
        }));
    }
    None
}

/// The instance that labels name, by [`INSTANCE_LABELS`].
fn instance<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    INSTANCE_LABELS.iter().find_map(|name| label(name).filter(|v| !v.is_empty()))
}

/// The operation that labels name, by [`OPERATION_LABELS`].
pub(crate) fn operation<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    OPERATION_LABELS.iter().find_map(|name| label(name).filter(|v| !v.is_empty()))
}

/// The instance of a service if labels name one, else the service; `None` if they name no service.
pub(crate) fn instance_subject(series: &RawSeries) -> Option<Subject> {
    let service = service(|name| series.label(name))?;
    Some(match instance(|name| series.label(name)) {
        Some(instance) => Subject::Instance { service, instance: instance.to_owned() },
        None => Subject::Service(service),
    })
}

/// The letters of hashes in Kubernetes' generated names: no vowels and nothing that looks like one
/// (apimachinery, `util/rand`).
const HASH_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// A pod's name without the parts that its controller appended: `-<8 to 10 letters>-<5 letters>` of ReplicaSet and pod,
/// or the ordinal of a StatefulSet. Other names stay.
pub(crate) fn service_of_pod(pod: &str) -> &str {
    let is_hash = |text: &str| text.chars().all(|c| HASH_LETTERS.contains(c));
    if let Some((rest, last)) = pod.rsplit_once('-') {
        if last.len() == 5
            && is_hash(last)
            && let Some((service, set)) = rest.rsplit_once('-')
            && (8..=10).contains(&set.len())
            && is_hash(set)
            && !service.is_empty()
        {
            return service;
        }
        if !rest.is_empty() && last.len() <= 4 && !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) {
            return rest;
        }
    }
    pod
}

/// What the series of one metric name become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The rate of a counter, summed over the labels that do not name the subject.
    Rate,
    /// A gauge, summed likewise.
    Level,
    /// Numerator of a ratio of two counters; the text is the denominator's name.
    ShareOf(&'static str),
    /// Denominator of such a ratio, of no use alone.
    Whole,
    /// Requests handled; failed ones are told by a label.
    Calls,
    /// Failed requests of an edge.
    FailedCalls,
    /// A histogram or summary of the time from request to answer; the name is without `_bucket`, `_sum`, `_count`.
    Duration,
    /// The same of something else: the signal is `Other`.
    Distribution,
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

const fn row(name: &'static str, role: Role, scope: Scope, signal: Signal, unit: Unit, scale: f64) -> Known {
    Known { name, role, scope, signal, unit, scale }
}

/// Metric names whose meaning is known. Sources: cAdvisor's and kube-state-metrics' metric lists, the client libraries'
/// process collectors, Tempo's metrics generator, the OpenTelemetry Collector's spanmetrics and servicegraph connectors,
/// the OpenTelemetry HTTP and RPC conventions, Micrometer, go-grpc-prometheus.
#[rustfmt::skip]
pub(crate) const KNOWN: &[Known] = &[
    // Containers (cAdvisor).
    row("container_cpu_usage_seconds_total", Role::Rate, Scope::Instance, Signal::Cpu, Unit::Cores, 1.0),
    row("container_cpu_cfs_throttled_periods_total", Role::ShareOf("container_cpu_cfs_periods_total"), Scope::Instance, Signal::CpuThrottling, Unit::Ratio, 1.0),
    row("container_cpu_cfs_periods_total", Role::Whole, Scope::Instance, Signal::CpuThrottling, Unit::Ratio, 1.0),
    row("container_memory_working_set_bytes", Role::Level, Scope::Instance, Signal::Memory, Unit::Bytes, 1.0),
    row("container_memory_rss", Role::Level, Scope::Instance, Signal::Memory, Unit::Bytes, 1.0),
    row("container_fs_reads_bytes_total", Role::Rate, Scope::Instance, Signal::Disk, Unit::BytesPerSecond, 1.0),
    row("container_fs_writes_bytes_total", Role::Rate, Scope::Instance, Signal::Disk, Unit::BytesPerSecond, 1.0),
    row("container_network_receive_bytes_total", Role::Rate, Scope::Instance, Signal::NetworkReceive, Unit::BytesPerSecond, 1.0),
    row("container_network_transmit_bytes_total", Role::Rate, Scope::Instance, Signal::NetworkTransmit, Unit::BytesPerSecond, 1.0),
    row("container_sockets", Role::Level, Scope::Instance, Signal::Sockets, Unit::Count, 1.0),
    row("kube_pod_container_status_restarts_total", Role::Rate, Scope::Instance, Signal::Restarts, Unit::PerSecond, 1.0),
    // Processes (client libraries).
    row("process_cpu_seconds_total", Role::Rate, Scope::Instance, Signal::Cpu, Unit::Cores, 1.0),
    row("process_resident_memory_bytes", Role::Level, Scope::Instance, Signal::Memory, Unit::Bytes, 1.0),
    row("jvm_memory_used_bytes", Role::Level, Scope::Instance, Signal::Memory, Unit::Bytes, 1.0),
    // The OpenTelemetry conventions for containers, pods, processes and runtimes (Collector receivers, SDKs).
    row("container_cpu_usage", Role::Level, Scope::Instance, Signal::Cpu, Unit::Cores, 1.0),
    row("container_cpu_time_seconds_total", Role::Rate, Scope::Instance, Signal::Cpu, Unit::Cores, 1.0),
    row("container_cpu_usage_nanoseconds_total", Role::Rate, Scope::Instance, Signal::Cpu, Unit::Cores, 1e-9),
    row("container_memory_rss_bytes", Role::Level, Scope::Instance, Signal::Memory, Unit::Bytes, 1.0),
    row("k8s_pod_cpu_usage", Role::Level, Scope::Instance, Signal::Cpu, Unit::Cores, 1.0),
    row("k8s_pod_cpu_time_seconds_total", Role::Rate, Scope::Instance, Signal::Cpu, Unit::Cores, 1.0),
    row("k8s_pod_memory_working_set_bytes", Role::Level, Scope::Instance, Signal::Memory, Unit::Bytes, 1.0),
    row("k8s_pod_network_receive_bytes_total", Role::Rate, Scope::Instance, Signal::NetworkReceive, Unit::BytesPerSecond, 1.0),
    row("k8s_pod_network_transmit_bytes_total", Role::Rate, Scope::Instance, Signal::NetworkTransmit, Unit::BytesPerSecond, 1.0),
    row("k8s_container_restarts", Role::Rate, Scope::Instance, Signal::Restarts, Unit::PerSecond, 1.0),
    row("process_cpu_time_seconds_total", Role::Rate, Scope::Instance, Signal::Cpu, Unit::Cores, 1.0),
    row("process_memory_usage_bytes", Role::Level, Scope::Instance, Signal::Memory, Unit::Bytes, 1.0),
    row("jvm_cpu_time_seconds_total", Role::Rate, Scope::Instance, Signal::Cpu, Unit::Cores, 1.0),
    row("go_memory_used_bytes", Role::Level, Scope::Instance, Signal::Memory, Unit::Bytes, 1.0),
    row("rpc_server_call_duration_seconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    // Machines, where a label says whose: idle and busy time together are no use, so only shares computed elsewhere.
    row("instance:node_cpu_utilisation:rate5m", Role::Level, Scope::Instance, Signal::NodeCpu, Unit::Ratio, 1.0),
    row("instance:node_memory_utilisation:ratio", Role::Level, Scope::Instance, Signal::NodeMemory, Unit::Ratio, 1.0),
    // Span metrics: Tempo, the Collector since 0.109, the Collector before, the old processor.
    row("traces_spanmetrics_calls_total", Role::Calls, Scope::Service, Signal::Requests, Unit::PerSecond, 1.0),
    row("traces_spanmetrics_latency", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    row("traces_spanmetrics_duration_seconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    row("traces_spanmetrics_duration_milliseconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1e-3),
    row("traces_span_metrics_calls_total", Role::Calls, Scope::Service, Signal::Requests, Unit::PerSecond, 1.0),
    row("traces_span_metrics_calls", Role::Calls, Scope::Service, Signal::Requests, Unit::PerSecond, 1.0),
    row("traces_span_metrics_duration_seconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    row("traces_span_metrics_duration_milliseconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1e-3),
    row("traces_span_metrics_duration", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1e-3),
    row("calls_total", Role::Calls, Scope::Service, Signal::Requests, Unit::PerSecond, 1.0),
    row("duration_seconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    row("duration_milliseconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1e-3),
    row("latency", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1e-3),
    // Servers: OpenTelemetry (new and old convention), client libraries, Micrometer, gRPC.
    row("http_server_request_duration_seconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    row("http_server_duration_milliseconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1e-3),
    row("http_server_requests_seconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    row("http_request_duration_seconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    row("rpc_server_duration_milliseconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1e-3),
    row("grpc_server_handling_seconds", Role::Duration, Scope::Service, Signal::Latency, Unit::Seconds, 1.0),
    row("http_requests_total", Role::Calls, Scope::Service, Signal::Requests, Unit::PerSecond, 1.0),
    row("http_server_requests_total", Role::Calls, Scope::Service, Signal::Requests, Unit::PerSecond, 1.0),
    row("grpc_server_handled_total", Role::Calls, Scope::Service, Signal::Requests, Unit::PerSecond, 1.0),
    // Service graph: Tempo and the Collector's connector.
    row("traces_service_graph_request_total", Role::Calls, Scope::EdgeSeenByCaller, Signal::Requests, Unit::PerSecond, 1.0),
    row("traces_service_graph_request_failed_total", Role::FailedCalls, Scope::EdgeSeenByCaller, Signal::ErrorRatio, Unit::Ratio, 1.0),
    row("traces_service_graph_request_client_seconds", Role::Duration, Scope::EdgeSeenByCaller, Signal::Latency, Unit::Seconds, 1.0),
    row("traces_service_graph_request_server_seconds", Role::Duration, Scope::EdgeSeenByCallee, Signal::Latency, Unit::Seconds, 1.0),
    row("traces_service_graph_request_messaging_system_seconds", Role::Distribution, Scope::EdgeSeenByCallee, Signal::Other, Unit::Seconds, 1.0),
];

/// Part of a histogram or summary that a name's suffix marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Cumulative count of observations up to the label `le`.
    Bucket,
    /// Sum of observations.
    Sum,
    /// Count of observations.
    Count,
    /// A whole metric.
    None,
}

/// Splits a histogram part's suffix off.
pub(crate) fn split_part(name: &str) -> (&str, Part) {
    for (suffix, part) in [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)] {
        if let Some(base) = name.strip_suffix(suffix) {
            return (base, part);
        }
    }
    (name, Part::None)
}

/// The row for a name: the part of a distribution, or a whole metric. `name` has no dots.
pub(crate) fn known(name: &str) -> Option<(&'static Known, Part)> {
    let (base, part) = split_part(name);
    let found = |wanted: &str| KNOWN.iter().find(|k| k.name == wanted);
    if part != Part::None
        && let Some(row) = found(base).filter(|k| matches!(k.role, Role::Duration | Role::Distribution))
    {
        return Some((row, part));
    }
    found(name).map(|row| (row, Part::None))
}

/// Labels and values by which a span's or request's outcome is told.
const FAILURE_LABELS: &[(&str, Failure)] = &[
    ("status_code", Failure::OneOf(&["STATUS_CODE_ERROR", "ERROR", "Error"])),
    ("otel_status_code", Failure::OneOf(&["STATUS_CODE_ERROR", "ERROR", "Error"])),
    ("http_response_status_code", Failure::ServerStatus),
    ("http_status_code", Failure::ServerStatus),
    ("status", Failure::ServerStatus),
    ("code", Failure::ServerStatus),
    ("grpc_code", Failure::OneOf(GRPC_FAILURES)),
    // gRPC's own exporters call it `code` too; the names never look like an HTTP status.
    ("code", Failure::OneOf(GRPC_FAILURES)),
    ("rpc_grpc_status_code", Failure::OneOf(&["2", "4", "12", "13", "14", "15"])),
    ("outcome", Failure::OneOf(&["SERVER_ERROR"])),
    ("classification", Failure::OneOf(&["failure"])),
];

/// gRPC codes that are the server's fault (OpenTelemetry RPC conventions, server side).
const GRPC_FAILURES: &[&str] = &["Unknown", "DeadlineExceeded", "Unimplemented", "Internal", "Unavailable", "DataLoss"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    OneOf(&'static [&'static str]),
    /// `500` to `599`, or a class written `5xx`. A client's mistake is not the server's failure.
    ServerStatus,
}

/// Whether labels say that the requests counted here failed.
pub(crate) fn failed(series: &RawSeries) -> bool {
    FAILURE_LABELS.iter().any(|&(name, failure)| {
        series.label(name).is_some_and(|value| match failure {
            Failure::OneOf(values) => values.contains(&value),
            Failure::ServerStatus => value.len() == 3 && value.starts_with('5'),
        })
    })
}

/// Whether labels tell outcomes at all: without, no failure is not the same as no failures.
pub(crate) fn tells_outcome(series: &RawSeries) -> bool {
    FAILURE_LABELS.iter().any(|(name, _)| series.label(name).is_some())
}

/// Whether a label takes part in naming service, instance or operation.
pub(crate) fn names_a_subject(label: &str) -> bool {
    let label = underscored(label);
    SERVICE_LABELS.iter().any(|(name, _)| *name == label)
        || INSTANCE_LABELS.contains(&&*label)
        || OPERATION_LABELS.contains(&&*label)
}

/// Whether a label of span metrics says that the span was not the handling side's (client, producer, internal spans:
/// counting them too would count a request twice).
pub(crate) fn not_the_handling_side(series: &RawSeries) -> bool {
    series.label("span_kind").is_some_and(|kind| {
        let kind = kind.trim_start_matches("SPAN_KIND_").to_ascii_uppercase();
        !matches!(kind.as_str(), "SERVER" | "CONSUMER")
    })
}

/// Base unit and factor that a metric's name tells by its last word, as Prometheus and OpenMetrics demand it.
pub(crate) fn unit_of_name(name: &str) -> (Unit, f64) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next().unwrap_or(name) {
        "seconds" => (Unit::Seconds, 1.0),
        "milliseconds" | "ms" => (Unit::Seconds, 1e-3),
        "bytes" => (Unit::Bytes, 1.0),
        "ratio" => (Unit::Ratio, 1.0),
        "percent" => (Unit::Ratio, 1e-2),
        _ => (Unit::None, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> RawSeries {
        RawSeries {
            source: Arc::from("test"),
            name: "m".to_owned(),
            labels: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            kind: RawKind::Unknown,
            samples: Vec::new(),
        }
    }

    fn service_of(pairs: &[(&str, &str)]) -> Option<String> {
        let series = labels(pairs);
        service(|name| series.label(name)).map(|s| s.as_str().to_owned())
    }

    #[test]
    fn each_label_of_the_table_names_the_service_when_it_stands_alone() {
        for &(label, naming) in SERVICE_LABELS {
            let (value, expected) = match naming {
                Naming::Whole => ("checkout", "checkout"),
                Naming::Pod => ("checkout-5f6585d649-fnmft", "checkout"),
                Naming::Address => ("10.0.0.7:8080", "10.0.0.7"),
            };
            assert_eq!(service_of(&[(label, value)]).as_deref(), Some(expected), "{label}");
        }
    }

    #[test]
    fn an_earlier_label_of_the_table_wins_over_each_later_one() {
        for pair in SERVICE_LABELS.windows(2) {
            let (first, second) = (pair[0].0, pair[1].0);
            assert_eq!(service_of(&[(second, "late"), (first, "early")]).as_deref(), Some("early"), "{first}");
        }
    }

    #[test]
    fn exporters_are_not_services() {
        let scraped = [
            ("service", "monitoring-kubelet"),
            ("job", "kubelet"),
            ("container", "server"),
            ("pod", "cartservice-579f59597d-wc2lz"),
            ("instance", "10.0.0.1:10250"),
        ];
        assert_eq!(service_of(&scraped).as_deref(), Some("cartservice"));
        for exporter in EXPORTERS {
            assert_eq!(service_of(&[("job", exporter)]), None, "{exporter}");
        }
        assert_eq!(service_of(&[("container", "POD")]), None);
        assert_eq!(service_of(&[("le", "0.5")]), None);
        assert_eq!(service_of(&[("service.name", "cart"), ("job", "shop/cart")]).as_deref(), Some("cart"));
        assert_eq!(service_of(&[("job", "shop/cart")]).as_deref(), Some("shop/cart"));
    }

    #[test]
    fn pods_lose_only_what_their_controller_appended() {
        for (pod, expected) in [
            ("adservice-5f6585d649-fnmft", "adservice"),
            ("ts-consign-price-service-df498d7fb-527hf", "ts-consign-price-service"),
            ("mysql-0", "mysql"),
            ("ts-order-service", "ts-order-service"),
            // Hashes have no vowels: this is a name, not a hash.
            ("order-processing-queue", "order-processing-queue"),
            ("frontend", "frontend"),
            ("-0", "-0"),
            ("", ""),
        ] {
            assert_eq!(service_of_pod(pod), expected, "{pod}");
        }
    }

    #[test]
    fn every_known_name_is_found_once_and_by_itself() {
        for row in KNOWN {
            assert_eq!(KNOWN.iter().filter(|k| k.name == row.name).count(), 1, "{}", row.name);
            if matches!(row.role, Role::Duration | Role::Distribution) {
                for (suffix, part) in [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)] {
                    assert_eq!(known(&format!("{}{suffix}", row.name)), Some((row, part)), "{}", row.name);
                }
            }
            assert_eq!(known(row.name), Some((row, Part::None)), "{}", row.name);
            if let Role::ShareOf(whole) = row.role {
                assert_eq!(known(whole).map(|k| k.0.role), Some(Role::Whole), "{}", row.name);
            }
        }
        assert_eq!(known("nothing_of_the_kind"), None);
    }

    #[test]
    fn each_failure_label_tells_failures_from_successes() {
        for (label, bad, good) in [
            ("status_code", "STATUS_CODE_ERROR", "STATUS_CODE_UNSET"),
            ("otel_status_code", "ERROR", "OK"),
            ("http_response_status_code", "503", "404"),
            ("http_status_code", "500", "200"),
            ("status", "5xx", "2xx"),
            ("code", "502", "499"),
            ("grpc_code", "Unavailable", "NotFound"),
            ("code", "Internal", "OK"),
            ("rpc_grpc_status_code", "14", "5"),
            ("outcome", "SERVER_ERROR", "CLIENT_ERROR"),
            ("classification", "failure", "success"),
        ] {
            assert!(failed(&labels(&[(label, bad)])), "{label}={bad}");
            assert!(!failed(&labels(&[(label, good)])), "{label}={good}");
        }
    }

    #[test]
    fn only_handling_spans_count() {
        for (kind, other) in [("SPAN_KIND_SERVER", false), ("Server", false), ("SPAN_KIND_CONSUMER", false)]
            .into_iter()
            .chain([("SPAN_KIND_CLIENT", true), ("SPAN_KIND_INTERNAL", true), ("Producer", true)])
        {
            assert_eq!(not_the_handling_side(&labels(&[("span_kind", kind)])), other, "{kind}");
        }
        assert!(!not_the_handling_side(&labels(&[])));
    }

    #[test]
    fn units_come_from_the_last_word_of_the_name() {
        assert_eq!(unit_of_name("gc_pause_seconds_total"), (Unit::Seconds, 1.0));
        assert_eq!(unit_of_name("db_wait_milliseconds"), (Unit::Seconds, 1e-3));
        assert_eq!(unit_of_name("heap_bytes"), (Unit::Bytes, 1.0));
        assert_eq!(unit_of_name("hit_ratio"), (Unit::Ratio, 1.0));
        assert_eq!(unit_of_name("fill_percent"), (Unit::Ratio, 1e-2));
        assert_eq!(unit_of_name("threads"), (Unit::None, 1.0));
    }
}
