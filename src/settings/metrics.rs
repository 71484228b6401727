//! The section `[metrics]`: what metric names and labels mean.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::nearest;
use super::{SettingsError, Table};
use crate::ingest::{MetricKind, MetricRule, MetricSettings, NamePattern};
use crate::telemetry::series::{Signal, Unit};

/// The keys of its tables; `services` takes any key.
pub(super) const KEYS: &[Table] = &[
    ("metrics", &["service_labels", "services", "rules"]),
    ("metrics.rules", &["name", "signal", "kind", "unit", "scale", "of", "service", "operation"]),
];

pub(super) const SIGNALS: &[(&str, Signal)] = &[
    ("requests", Signal::Requests),
    ("error_ratio", Signal::ErrorRatio),
    ("latency", Signal::Latency),
    ("cpu", Signal::Cpu),
    ("cpu_throttling", Signal::CpuThrottling),
    ("memory", Signal::Memory),
    ("disk", Signal::Disk),
    ("sockets", Signal::Sockets),
    ("restarts", Signal::Restarts),
    ("network_receive", Signal::NetworkReceive),
    ("network_transmit", Signal::NetworkTransmit),
    ("syscalls", Signal::Syscalls),
    ("node_cpu", Signal::NodeCpu),
    ("node_memory", Signal::NodeMemory),
    ("other", Signal::Other),
];

pub(super) const KINDS: &[(&str, MetricKind)] = &[
    ("gauge", MetricKind::Gauge),
    ("counter", MetricKind::Counter),
    ("histogram", MetricKind::Histogram),
    ("summary", MetricKind::Summary),
];

/// Units of samples, with the base unit and the factor to it.
pub(super) const UNITS: &[(&str, (Unit, f64))] = &[
    ("none", (Unit::None, 1.0)),
    ("seconds", (Unit::Seconds, 1.0)),
    ("milliseconds", (Unit::Seconds, 1e-3)),
    ("microseconds", (Unit::Seconds, 1e-6)),
    ("nanoseconds", (Unit::Seconds, 1e-9)),
    ("bytes", (Unit::Bytes, 1.0)),
    ("kibibytes", (Unit::Bytes, 1024.0)),
    ("mebibytes", (Unit::Bytes, 1_048_576.0)),
    ("gibibytes", (Unit::Bytes, 1_073_741_824.0)),
    ("cores", (Unit::Cores, 1.0)),
    ("millicores", (Unit::Cores, 1e-3)),
    ("ratio", (Unit::Ratio, 1.0)),
    ("percent", (Unit::Ratio, 1e-2)),
    ("per_second", (Unit::PerSecond, 1.0)),
    ("bytes_per_second", (Unit::BytesPerSecond, 1.0)),
    ("count", (Unit::Count, 1.0)),
];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    service_labels: Vec<String>,
    services: BTreeMap<String, String>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    signal: String,
    kind: Option<String>,
    unit: Option<String>,
    scale: Option<f64>,
    of: Option<String>,
    service: Option<String>,
    operation: Option<String>,
}

impl Metrics {
    pub(super) fn checked(self, path: &Path) -> Result<MetricSettings, SettingsError> {
        let wrong = |key: &str, problem| SettingsError::Value { path: path.to_owned(), key: key.to_owned(), problem };
        if self.service_labels.iter().any(String::is_empty) {
            return Err(wrong("metrics.service_labels", "a label without a name"));
        }
        let mut services = Vec::with_capacity(self.services.len());
        for (pattern, name) in self.services {
            if name.trim().is_empty() {
                return Err(wrong(&format!("metrics.services.{pattern}"), "a service without a name"));
            }
            if name.contains(['*', '?']) {
                return Err(wrong(&format!("metrics.services.{pattern}"), PATTERN_AS_NAME));
            }
            let Some(pattern) = NamePattern::parse(&pattern) else {
                return Err(wrong(&format!("metrics.services.{pattern}"), BAD_PATTERN));
            };
            services.push((pattern, name));
        }
        // The plain name first, then the longer and so the stricter pattern.
        let rank = |pattern: &NamePattern| {
            let text = pattern.as_str();
            (text.contains(['*', '?', '[']), std::cmp::Reverse(text.len()), text.to_owned())
        };
        services.sort_by_key(|(pattern, _)| rank(pattern));
        let rules = self.rules.into_iter().enumerate();
        let rules = rules.map(|(at, rule)| rule.checked(path, at)).collect::<Result<_, _>>()?;
        Ok(MetricSettings { service_labels: self.service_labels, rules, services })
    }
}

pub(super) const PATTERN_AS_NAME: &str = "the name that a service is to have is taken as it stands, so `*` and `?` cannot stand in it; \
     write one line for each service";
pub(super) const BAD_PATTERN: &str = "not a name or pattern: empty, or its brackets do not close";

impl Rule {
    fn checked(self, path: &Path, at: usize) -> Result<MetricRule, SettingsError> {
        let key = |name: &str| format!("metrics.rules[{at}].{name}");
        let wrong = |name: &str, problem| SettingsError::Value { path: path.to_owned(), key: key(name), problem };
        let name = NamePattern::parse(&self.name).ok_or_else(|| wrong("name", BAD_PATTERN))?;
        let signal = word(path, key("signal"), Some(&self.signal), SIGNALS)?;
        let kind = word(path, key("kind"), self.kind.as_deref(), KINDS)?;
        let (unit, factor) = word(path, key("unit"), self.unit.as_deref(), UNITS)?;
        let scale = self.scale.unwrap_or(1.0);
        if !(scale.is_finite() && scale > 0.0) {
            return Err(wrong("scale", "a scale is a positive number"));
        }
        match (&self.of, kind, signal) {
            (Some(_), MetricKind::Counter, _) => {}
            (Some(_), _, _) => return Err(wrong("of", "only a counter can be a share of another")),
            (None, MetricKind::Counter, Signal::ErrorRatio) => {
                return Err(wrong(
                    "of",
                    "a counter of failures needs the counter of all requests, to be a share of it",
                ));
            }
            (None, MetricKind::Counter, Signal::Latency) => {
                return Err(wrong(
                    "kind",
                    "a counter is no latency; a histogram's parts are read by its name without `_sum`",
                ));
            }
            _ => {}
        }
        let (of, service_label, operation_label) = (self.of, self.service, self.operation);
        Ok(MetricRule { name, signal, kind, unit, scale: factor * scale, of, service_label, operation_label })
    }
}

/// The meaning of a word; the first of the table where there is none.
fn word<T: Copy>(
    path: &Path,
    key: String,
    value: Option<&str>,
    table: &[(&'static str, T)],
) -> Result<T, SettingsError> {
    let value = value.unwrap_or(table[0].0);
    if let Some((_, meaning)) = table.iter().find(|(name, _)| *name == value) {
        return Ok(*meaning);
    }
    let known: Vec<&'static str> = table.iter().map(|(name, _)| *name).collect();
    let nearest = nearest(value, &known);
    Err(SettingsError::UnknownValue { path: path.to_owned(), key, value: value.to_owned(), nearest, known })
}
