//! Whether the name of a metric means something here, before a single sample is read: what a live source is asked for.

use super::changes_from_metrics;
use super::metric_parts::split_part;
use super::metric_rules::MetricSettings;
use super::metric_table;
use super::signals;

/// What the name of a metric tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Meant {
    /// Nothing that is known.
    Unknown,
    /// It means something, whatever the labels.
    Always,
    /// It means something for series that have all labels of one of these lists; other programs use the name as well.
    WithLabels(Vec<Vec<&'static str>>),
}

/// What a metric's name tells, by the settings and the tables of dialects.
pub fn meant(name: &str, settings: &MetricSettings) -> Meant {
    let name = signals::underscored(name);
    let is_change = name.ends_with("_build_info") || changes_from_metrics::NAMES.contains(&&*name);
    if settings.rule(&name, split_part(&name).0).is_some() || is_change {
        return Meant::Always;
    }
    // The denominators that rules name.
    if settings.rules.iter().any(|rule| rule.of.as_deref() == Some(&*name)) {
        return Meant::Always;
    }
    let needs = metric_table::needs(&name);
    match needs {
        None if metric_table::own_namespace(&name, |_| true).is_some() => {
            Meant::WithLabels(vec![metric_table::LABELS_OF_SPAN_METRICS.to_vec()])
        }
        None => Meant::Unknown,
        Some(needs) if needs.iter().any(|labels| labels.is_empty()) => Meant::Always,
        // A section needs any one of its labels.
        Some(needs) => Meant::WithLabels(needs.into_iter().flatten().map(|label| vec![*label]).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{MetricKind, MetricRule, NamePattern};
    use crate::telemetry::series::{Signal, Unit};

    #[test]
    fn names_of_the_dialects_mean_something_and_others_do_not() {
        let meant = |name: &str| super::meant(name, &MetricSettings::default());
        for name in [
            "container_cpu_usage_seconds_total",
            "http.server.request.duration_bucket",
            "traces_spanmetrics_calls_total",
            "kube_pod_container_info",
            "app_build_info",
            "target_info",
        ] {
            assert_eq!(meant(name), Meant::Always, "{name}");
        }
        assert_eq!(meant("request_total"), Meant::WithLabels(vec![vec!["direction"]]));
        assert_eq!(meant("calls_total"), Meant::WithLabels(vec![vec!["span_name"], vec!["operation"]]));
        assert_eq!(meant("shop_calls_total"), Meant::WithLabels(vec![vec!["span_name", "span_kind"]]));
        // It ends as span metrics do, and the labels tell that it is none of them.
        assert_eq!(meant("go_gc_duration_seconds"), meant("shop_calls_total"));
        assert_eq!(meant("go_goroutines"), Meant::Unknown);
        assert_eq!(meant("prometheus_tsdb_head_series"), Meant::Unknown);
    }

    #[test]
    fn rules_of_the_settings_count() {
        let rule = MetricRule {
            name: NamePattern::parse("shop_*_ms").unwrap(),
            signal: Signal::Latency,
            kind: MetricKind::Histogram,
            unit: Unit::Seconds,
            scale: 1e-3,
            of: Some("shop_all".to_owned()),
            service_label: None,
            operation_label: None,
        };
        let settings = MetricSettings { rules: vec![rule], ..MetricSettings::default() };
        for name in ["shop_pay_ms_bucket", "shop_all"] {
            assert_eq!(super::meant(name, &settings), Meant::Always, "{name}");
        }
    }
}
