//! Names of OTLP metrics as the OpenTelemetry translation for Prometheus writes them, so that one table of known names
//! serves both. Source: `metric_namer.go` of prometheus/otlptranslator.

use super::otlp_metrics::Kind;

/// Units as UCUM abbreviates them, and the words that Prometheus' names end in.
const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// The same for what stands after the stroke of a rate.
const PER_UNITS: &[(&str, &str)] =
    &[("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// Words of a text: runs of ASCII letters, digits and colons.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':')).filter(|word| !word.is_empty())
}

/// The name of a metric with its unit, and `total` for a counter, `ratio` for a gauge without unit.
pub(crate) fn prometheus_name(name: &str, unit: &str, kind: Kind, is_counter: bool) -> String {
    let mut tokens: Vec<String> = words(name).map(str::to_owned).collect();
    for token in unit_words(unit) {
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    let mut end_in = |word: &str| {
        tokens.retain(|token| token != word);
        tokens.push(word.to_owned());
    };
    if kind == Kind::Sum && is_counter {
        end_in("total");
    } else if kind == Kind::Gauge && unit.trim() == "1" {
        end_in("ratio");
    }
    let name = tokens.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// What a unit adds to a name: the unit, and `per_` something.
fn unit_words(unit: &str) -> Vec<String> {
    let translate = |table: &[(&str, &str)], unit: &str| {
        let unit = unit.trim();
        // Annotations such as `{request}` are no units.
        if unit.contains(['{', '}']) {
            return String::new();
        }
        let word = table.iter().find(|(short, _)| *short == unit).map_or(unit, |(_, word)| word);
        words(word).collect::<Vec<_>>().join("_")
    };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (translate(UNITS, main), translate(PER_UNITS, per));
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    [main, per].into_iter().filter(|word| !word.is_empty()).collect()
}

/// The name of an attribute as a label: Prometheus' alphabet.
pub(crate) fn label_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// Labels that tell the direction of traffic.
const DIRECTIONS: &[&str] = &["network_io_direction", "direction"];

/// Traffic of both directions comes as one metric `….network.io`; its two directions become two names, as cAdvisor has
/// them, since they are two signals.
pub(crate) fn with_direction(name: &mut String, labels: &mut Vec<(String, String)>) {
    if !name.contains("_network_io_") {
        return;
    }
    let Some(at) = labels.iter().position(|(label, value)| {
        DIRECTIONS.contains(&label.as_str()) && matches!(value.as_str(), "receive" | "transmit")
    }) else {
        return;
    };
    let (_, direction) = labels.remove(at);
    *name = name.replacen("_network_io_", &format!("_network_{direction}_"), 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_translator() {
        // The first rows are cases of otlptranslator's metric_namer_test.go and of the connectors' documentation.
        for (name, unit, kind, is_counter, expected) in [
            ("system.io", "foo/bar", Kind::Gauge, false, "system_io_foo_per_bar"),
            ("hw.fan.speed", "rpm", Kind::Gauge, false, "hw_fan_speed_rpm"),
            ("system.cpu.utilization", "1", Kind::Gauge, false, "system_cpu_utilization_ratio"),
            ("storage.filesystem.used", "GiBy", Kind::Gauge, false, "storage_filesystem_used_gibibytes"),
            ("presence_ratio", "1", Kind::Gauge, false, "presence_ratio"),
            ("broken.metric.speed", "km/h", Kind::Gauge, false, "broken_metric_speed_km_per_hour"),
            ("active.tasks", "{task}", Kind::Sum, false, "active_tasks"),
            ("system.disk.written", "By", Kind::Sum, true, "system_disk_written_bytes_total"),
            ("system.uptime", "", Kind::Gauge, false, "system_uptime"),
            ("total_requests", "", Kind::Sum, true, "requests_total"),
            ("http.server.request.duration", "s", Kind::Histogram, true, "http_server_request_duration_seconds"),
            ("http.server.duration", "ms", Kind::Histogram, true, "http_server_duration_milliseconds"),
            ("traces.span.metrics.calls", "", Kind::Sum, true, "traces_span_metrics_calls_total"),
            ("traces.span.metrics.duration", "ms", Kind::Histogram, true, "traces_span_metrics_duration_milliseconds"),
            ("traces_service_graph_request_total", "", Kind::Sum, true, "traces_service_graph_request_total"),
            (
                "traces_service_graph_request_server",
                "s",
                Kind::Histogram,
                true,
                "traces_service_graph_request_server_seconds",
            ),
            ("process.cpu.time", "s", Kind::Sum, true, "process_cpu_time_seconds_total"),
            ("jvm.memory.used", "By", Kind::Sum, false, "jvm_memory_used_bytes"),
            ("3xx.rate", "{request}/s", Kind::Gauge, false, "_3xx_rate_per_second"),
        ] {
            assert_eq!(prometheus_name(name, unit, kind, is_counter), expected);
        }
        assert_eq!(label_name("http.response.status_code"), "http_response_status_code");
    }

    #[test]
    fn traffic_is_told_apart_by_direction() {
        let translate = |name: &str, label: &str, value: &str| {
            let (mut name, mut labels) = (name.to_owned(), vec![(label.to_owned(), value.to_owned())]);
            with_direction(&mut name, &mut labels);
            (name, labels.len())
        };
        let name = "k8s_pod_network_io_bytes_total";
        assert_eq!(translate(name, "direction", "receive"), ("k8s_pod_network_receive_bytes_total".to_owned(), 0));
        assert_eq!(
            translate(name, "network_io_direction", "transmit"),
            ("k8s_pod_network_transmit_bytes_total".to_owned(), 0)
        );
        assert_eq!(translate(name, "direction", "sideways"), (name.to_owned(), 1));
        assert_eq!(translate("system_disk_io_bytes_total", "direction", "read").1, 1);
    }
}
