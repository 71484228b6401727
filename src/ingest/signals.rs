//! Series as read, and what their labels mean: the tables from which [`super::naming`] finds whose a series is.
//!
//! What metric names mean stands in [`super::metric_table`], which labels tell failures in [`super::outcomes`]; names in
//! plain words (columns of a CSV file) are read by [`super::plain_names`]. Dots in names and labels (UTF-8 names,
//! `service.name`) count as underscores.

use std::borrow::Cow;
use std::sync::Arc;

use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Unit;

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
        // Asked dozens of times for every series, so without writing the name anew.
        let is_same = |key: &str| {
            let pairs = key.bytes().zip(name.bytes());
            key.len() == name.len() && pairs.rev().all(|(k, n)| k == n || (k == b'.' && n == b'_'))
        };
        self.labels.iter().find(|(key, _)| is_same(key)).map(|(_, value)| value.as_str())
    }
}

/// The name with dots as underscores, as the OpenTelemetry translation for Prometheus writes it.
pub(crate) fn underscored(name: &str) -> Cow<'_, str> {
    if name.contains('.') { Cow::Owned(name.replace('.', "_")) } else { Cow::Borrowed(name) }
}

/// How a label's value gives a service's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Naming {
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
    // Micrometer's usual common tag.
    ("application", Naming::Whole),
    ("exported_job", Naming::Whole),
    ("job", Naming::Whole),
    ("deployment", Naming::Whole),
    ("statefulset", Naming::Whole),
    ("daemonset", Naming::Whole),
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

/// Words in a label's value that name whoever measured, not who was measured: exporters, collectors, proxies and the
/// generic job names of Prometheus' Kubernetes examples.
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
    "linkerd-proxy",
    "istio-proxy",
    "istio-mesh",
    "envoy-stats",
];

/// The first of [`SERVICE_LABELS`] that names a service: the label, its value, and how that gives the name.
pub(crate) fn service_label<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<(&'static str, &'a str, Naming)> {
    SERVICE_LABELS.iter().find_map(|&(name, naming)| {
        let value = label(name).map(str::trim).filter(|value| !value.is_empty())?;
        // cAdvisor names the pod's pause container so; it does no work.
        let is_service = value != "POD" && !EXPORTERS.iter().any(|exporter| value.contains(exporter));
        is_service.then_some((name, value, naming))
    })
}

/// The service that labels name by themselves; `None` if none does.
pub(crate) fn service<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<ServiceId> {
    let (_, value, naming) = service_label(label)?;
    Some(ServiceId::new(match naming {
        Naming::Whole => value,
        Naming::Pod => service_of_pod(value),
        Naming::Address => value.rsplit_once(':').map_or(value, |(host, _)| host),
    }))
}

/// The instance that labels name, by [`INSTANCE_LABELS`].
pub(crate) fn instance<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    INSTANCE_LABELS.iter().find_map(|name| label(name).filter(|v| !v.is_empty()))
}

/// The operation that labels name, by [`OPERATION_LABELS`].
pub(crate) fn operation<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    // The Prometheus Operator writes the name of the scraped port into `endpoint`, beside these.
    let is_scraped_port = |name: &str, value: &str| {
        name == "endpoint" && is_port_name(value) && ["namespace", "pod", "job"].iter().all(|l| label(l).is_some())
    };
    OPERATION_LABELS.iter().find_map(|name| label(name).filter(|v| !v.is_empty() && !is_scraped_port(name, v)))
}

/// Whether Kubernetes would take the text as a port's name (RFC 6335) or number.
fn is_port_name(text: &str) -> bool {
    text.len() <= 15 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
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

    #[test]
    fn the_port_that_was_scraped_is_no_operation() {
        let of = |labels: &[(&str, &'static str)]| {
            operation(|name| labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value))
        };
        let operator = [("namespace", "shop"), ("pod", "cart-0"), ("job", "cart")];
        let with = |more: (&'static str, &'static str)| of(&[&operator[..], &[more]].concat());
        assert_eq!((with(("endpoint", "http-metrics")), with(("endpoint", "8080"))), (None, None));
        assert_eq!((with(("endpoint", "/cart")), with(("handler", "login"))), (Some("/cart"), Some("login")));
        assert_eq!(of(&[("endpoint", "login"), ("job", "cart")]), Some("login"));
    }

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
