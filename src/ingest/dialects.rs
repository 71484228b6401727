//! Which convention a metric follows, under the name by which people know it.

use std::collections::BTreeMap;

/// A family of metric names and labels that one project, or one version of it, writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(crate) enum Dialect {
    SpanMetricsTempo,
    SpanMetricsCollector,
    SpanMetricsCollectorBefore109,
    SpanMetricsProcessor,
    SpanMetricsOwnNamespace,
    ServiceGraph,
    OpenTelemetryHttp,
    OpenTelemetryRpc,
    OpenTelemetryResources,
    TargetInfo,
    Istio,
    Linkerd,
    Envoy,
    Grpc,
    Micrometer,
    ClientLibraries,
    Cadvisor,
    KubeStateMetrics,
    NodeExporter,
    Settings,
}

impl Dialect {
    /// The name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SpanMetricsTempo => "spanmetrics (Tempo)",
            Self::SpanMetricsCollector => "spanmetrics (OpenTelemetry Collector)",
            Self::SpanMetricsCollectorBefore109 => "spanmetrics (OpenTelemetry Collector before 0.109)",
            Self::SpanMetricsProcessor => "spanmetrics (OpenTelemetry Collector, old processor)",
            Self::SpanMetricsOwnNamespace => "spanmetrics (OpenTelemetry Collector, own namespace)",
            Self::ServiceGraph => "service graph",
            Self::OpenTelemetryHttp => "OpenTelemetry HTTP",
            Self::OpenTelemetryRpc => "OpenTelemetry RPC",
            Self::OpenTelemetryResources => "OpenTelemetry containers and processes",
            Self::TargetInfo => "OpenTelemetry target_info",
            Self::Istio => "Istio",
            Self::Linkerd => "Linkerd",
            Self::Envoy => "Envoy",
            Self::Grpc => "gRPC",
            Self::Micrometer => "Micrometer",
            Self::ClientLibraries => "client libraries",
            Self::Cadvisor => "cAdvisor",
            Self::KubeStateMetrics => "kube-state-metrics",
            Self::NodeExporter => "node exporter",
            Self::Settings => "rules of the settings file",
        }
    }
}

/// What was recognised, in words: `Istio (24 series)`, sorted by name.
pub(crate) fn told(counts: &BTreeMap<Dialect, u64>) -> Vec<String> {
    let mut told: Vec<String> = counts.iter().map(|(dialect, &series)| with_count(dialect.name(), series)).collect();
    told.sort();
    told
}

fn with_count(name: &str, series: u64) -> String {
    format!("{name} ({series} series)")
}

/// Sorts what several readings recognised and adds up the series of those that repeat.
pub(super) fn join(told: &mut Vec<String>) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for text in told.drain(..) {
        let (name, series) = split_count(&text);
        *counts.entry(name.to_owned()).or_default() += series;
    }
    told.extend(counts.into_iter().map(|(name, series)| if series == 0 { name } else { with_count(&name, series) }));
}

/// `Istio (24 series)` is `Istio` and 24; text of another form has no count.
fn split_count(text: &str) -> (&str, u64) {
    let count = |(name, rest): (_, &str)| Some((name, rest.strip_suffix(" series)")?.parse().ok()?));
    text.rsplit_once(" (").and_then(count).unwrap_or((text, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_readings_recognised_is_told_once_and_in_order() {
        let counts = BTreeMap::from([(Dialect::SpanMetricsTempo, 2), (Dialect::Cadvisor, 7)]);
        let mut all = told(&counts);
        assert_eq!(all, ["cAdvisor (7 series)", "spanmetrics (Tempo) (2 series)"]);
        all.extend(["Istio (24 series)".to_owned(), "spanmetrics (Tempo) (3 series)".to_owned(), "other".to_owned()]);
        join(&mut all);
        assert_eq!(all, ["Istio (24 series)", "cAdvisor (7 series)", "other", "spanmetrics (Tempo) (5 series)"]);
    }
}
