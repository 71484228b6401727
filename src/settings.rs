//! The settings file: one TOML file, given by `--config FILE`, for what no table and no flag can know.
//!
//! ```toml
//! [traces]
//! sampling_attribute = "SampleRate"      # as for --sampling-attribute, which wins; default none
//!
//! [metrics]
//! service_labels = ["team_service"]      # labels that name the service, tried before the known ones; default none
//!
//! [metrics.services]                     # other names for services, by what labels call them; `*` and `?` allowed;
//! "checkout-v*" = "checkout"             # a name without them counts first, then the longer pattern; default none
//!
//! [[metrics.rules]]                      # what a metric means, tried in order before what is known; default none
//! name = "shop_*_duration_ms"            # the metric, without `_bucket`, `_sum`, `_count`; `*` and `?` allowed
//! signal = "latency"                     # requests, error_ratio, latency, cpu, cpu_throttling, memory, disk, sockets,
//!                                        # restarts, network_receive, network_transmit, syscalls, node_cpu,
//!                                        # node_memory, other
//! kind = "histogram"                     # counter, gauge (the default), histogram, summary
//! unit = "milliseconds"                  # of the samples: seconds, milliseconds, microseconds, nanoseconds, bytes,
//!                                        # kibibytes, mebibytes, gibibytes, cores, millicores, ratio, percent,
//!                                        # per_second, bytes_per_second, count, none (the default)
//! scale = 1.0                            # a further factor on the samples; default 1
//! service = "app"                        # label that names the service; default: as for any other metric
//! operation = "endpoint"                 # label that names the operation; default: as for any other metric
//!
//! [serve]                                # where `hypocenter serve` listens, and what it takes; a flag wins
//! grpc_address = "127.0.0.1:4317"        # OTLP over gRPC (the default)
//! http_address = "127.0.0.1:4318"        # OTLP over HTTP (the default)
//! web_address = "127.0.0.1:9464"         # remote-write, health, metrics (the default)
//! max_request_size = "16MiB"             # of one request, uncompressed (the default)
//! memory_limit = "256MiB"                # of all requests that are read or wait for the disk (the default)
//! request_timeout = "10s"                # then a sender is told to try again (the default)
//!
//! [store]
//! path = "hypocenter-data"               # the store's folder, as for --data, which wins; default in the user's data folder
//! segment_size = "64MiB"                 # a log so long becomes segments (the default)
//! segment_age = "5m"                     # the same for one so old (the default)
//! retention_age = "72h"                  # segments received so long ago are removed (the default)
//! retention_size = "10GiB"               # the oldest are removed when all take more (the default)
//!
//! [[metrics.rules]]
//! name = "shop_failures_total"
//! signal = "error_ratio"                 # of a counter of failures:
//! kind = "counter"
//! of = "shop_requests_total"             # the counter of all requests, of which it is a share
//! ```
//!
//! A key that is not known is an error and not a silence: a misspelt rule would otherwise look like one that does not
//! work. Each section is a struct of its own here and becomes data of the room that uses it; nothing below reads files.

mod receiver;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ingest::{MetricKind, MetricRule, MetricSettings, NamePattern};
use crate::server;
use crate::telemetry::series::{Signal, Unit};

pub use receiver::StoreSettings;

/// Everything that the settings file says. The default is what holds without one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// What metric names and labels mean, beyond what is known.
    pub metrics: MetricSettings,
    /// Attribute that tells how spans were sampled, as for `--sampling-attribute`.
    pub sampling_attribute: Option<String>,
    /// Where the receiver listens, and what it takes.
    pub serve: server::Settings,
    /// What its store keeps.
    pub store: StoreSettings,
}

/// Why a settings file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not TOML, or a value of the wrong type; the message of the parser names line and key.
    #[error("{}: not a valid settings file", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key that means nothing.
    #[error("{}: unknown key `{key}`; {}", path.display(), hint(nearest.as_deref(), known))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key with the tables that it is in.
        key: String,
        /// The known key that it resembles.
        nearest: Option<String>,
        /// The keys that may stand there.
        known: Vec<&'static str>,
    },
    /// A word that is none of those that the key takes.
    #[error("{}: key `{key}`: unknown value `{value}`; {}", path.display(), hint(nearest.as_deref(), known))]
    UnknownValue {
        /// Which file.
        path: PathBuf,
        /// The key with the tables that it is in.
        key: String,
        /// What was written.
        value: String,
        /// The known word that it resembles.
        nearest: Option<String>,
        /// The words that it may be.
        known: Vec<&'static str>,
    },
    /// A value that makes no sense.
    #[error("{}: key `{key}`: {problem}", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// The key with the tables that it is in.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

fn hint(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known are {}", known.join(", ")),
    }
}

/// The keys of each table; a list of tables has the keys of one. `services` takes any key.
const KEYS: &[(&str, &[&str])] = &[
    ("", &["traces", "metrics", "serve", "store"]),
    ("serve", receiver::SERVE),
    ("store", receiver::STORE),
    ("traces", &["sampling_attribute"]),
    ("metrics", &["service_labels", "services", "rules"]),
    ("metrics.rules", &["name", "signal", "kind", "unit", "scale", "of", "service", "operation"]),
];

const SIGNALS: &[(&str, Signal)] = &[
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

const KINDS: &[(&str, MetricKind)] = &[
    ("gauge", MetricKind::Gauge),
    ("counter", MetricKind::Counter),
    ("histogram", MetricKind::Histogram),
    ("summary", MetricKind::Summary),
];

/// Units of samples, with the base unit and the factor to it.
const UNITS: &[(&str, (Unit, f64))] = &[
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
struct File {
    traces: Traces,
    metrics: Metrics,
    serve: receiver::Serve,
    store: receiver::Store,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Traces {
    sampling_attribute: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Metrics {
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

impl Settings {
    /// Reads a settings file.
    ///
    /// # Errors
    /// [`SettingsError`] when the file cannot be read or does not say what it should.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path).map_err(|source| SettingsError::Io { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a settings file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let syntax =
            |source: toml::de::Error| SettingsError::Syntax { path: path.to_owned(), source: Box::new(source) };
        let table: toml::Table = text.parse().map_err(syntax)?;
        check_keys(path, "", &table)?;
        let file: File = toml::from_str(text).map_err(syntax)?;
        let sampling_attribute = file.traces.sampling_attribute;
        if sampling_attribute.as_deref().is_some_and(|name| name.trim().is_empty()) {
            let (path, key) = (path.to_owned(), "traces.sampling_attribute".to_owned());
            return Err(SettingsError::Value { path, key, problem: "an attribute without a name" });
        }
        let (serve, store) = (file.serve.checked(path)?, file.store.checked(path)?);
        Ok(Self { metrics: file.metrics.checked(path)?, sampling_attribute, serve, store })
    }
}

/// Refuses keys that no table knows, with the nearest that it knows.
fn check_keys(path: &Path, at: &str, table: &toml::Table) -> Result<(), SettingsError> {
    let Some((_, known)) = KEYS.iter().find(|(name, _)| *name == at) else { return Ok(()) };
    for (key, value) in table {
        let full = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        if !known.contains(&key.as_str()) {
            let nearest = nearest(key, known);
            return Err(SettingsError::UnknownKey { path: path.to_owned(), key: full, nearest, known: known.to_vec() });
        }
        match value {
            toml::Value::Table(inner) => check_keys(path, &full, inner)?,
            toml::Value::Array(list) => {
                list.iter().filter_map(toml::Value::as_table).try_for_each(|inner| check_keys(path, &full, inner))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The known word that one resembles so much that it may be a slip.
fn nearest(word: &str, known: &[&str]) -> Option<String> {
    let score = |known: &&str| strsim::jaro_winkler(word, known);
    let best = known.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) >= 0.8).then(|| (*best).to_owned())
}

impl Metrics {
    fn checked(self, path: &Path) -> Result<MetricSettings, SettingsError> {
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

const PATTERN_AS_NAME: &str = "the name that a service is to have is taken as it stands, so `*` and `?` cannot stand in it; \
     write one line for each service";
const BAD_PATTERN: &str = "not a name or pattern: empty, or its brackets do not close";

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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("s.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_of_the_documentation_is_valid_and_read_whole() {
        let docs = include_str!("settings.rs");
        let (_, rest) = docs.split_once("//! ```toml\n").unwrap();
        let (example, _) = rest.split_once("//! ```\n").unwrap();
        let text: String = example.lines().map(|line| format!("{}\n", line.trim_start_matches("//!"))).collect();
        let settings = parse(&text).unwrap();
        assert_eq!(settings.sampling_attribute.as_deref(), Some("SampleRate"));
        let metrics = settings.metrics;
        assert_eq!(metrics.service_labels, ["team_service"]);
        assert_eq!((metrics.services[0].0.as_str(), metrics.services[0].1.as_str()), ("checkout-v*", "checkout"));
        let latency = &metrics.rules[0];
        assert!(latency.name.fits("shop_cart_duration_ms"));
        assert_eq!(
            (latency.signal, latency.kind, latency.unit),
            (Signal::Latency, MetricKind::Histogram, Unit::Seconds)
        );
        assert!((latency.scale - 1e-3).abs() < 1e-15);
        assert_eq!(
            (latency.service_label.as_deref(), latency.operation_label.as_deref()),
            (Some("app"), Some("endpoint"))
        );
        assert_eq!(metrics.rules[1].of.as_deref(), Some("shop_requests_total"));
        // Every word that the documentation lists is one, and every word is listed.
        let words = SIGNALS.iter().map(|w| w.0).chain(KINDS.iter().map(|w| w.0)).chain(UNITS.iter().map(|w| w.0));
        for word in words.chain(KEYS.iter().flat_map(|(_, keys)| keys.iter().copied())) {
            assert!(example.contains(word), "`{word}` is not documented");
        }
        assert_eq!(parse(""), Ok(Settings::default()));
    }

    #[test]
    fn names_count_before_patterns_and_longer_patterns_before_shorter() {
        let text = "[metrics.services]\n\"*\" = \"rest\"\n\"cart-*\" = \"cart\"\n\"cart-v9\" = \"next\"\n";
        let metrics = parse(text).unwrap().metrics;
        let patterns: Vec<&str> = metrics.services.iter().map(|(pattern, _)| pattern.as_str()).collect();
        assert_eq!(patterns, ["cart-v9", "cart-*", "*"]);
    }

    #[test]
    fn each_mistake_has_its_message() {
        let rule = |more: &str| format!("[[metrics.rules]]\nname = \"a\"\nsignal = \"cpu\"\n{more}");
        for (text, expected) in [
            ("[metrcis]", "s.toml: unknown key `metrcis`; did you mean `metrics`?"),
            (
                "[metrics]\nservice_lables = []",
                "s.toml: unknown key `metrics.service_lables`; did you mean `service_labels`?",
            ),
            ("[metrics]\nx = 1", "s.toml: unknown key `metrics.x`; known are service_labels, services, rules"),
            (&rule("operatoin = \"b\""), "s.toml: unknown key `metrics.rules.operatoin`; did you mean `operation`?"),
            (
                &rule("kind = \"guage\""),
                "s.toml: key `metrics.rules[0].kind`: unknown value `guage`; did you mean `gauge`?",
            ),
            (
                &rule("kind = \"x\""),
                "s.toml: key `metrics.rules[0].kind`: unknown value `x`; known are gauge, counter, histogram, summary",
            ),
            (
                &rule("unit = \"milisecond\""),
                "s.toml: key `metrics.rules[0].unit`: unknown value `milisecond`; did you mean `milliseconds`?",
            ),
            (&rule("scale = -1.0"), "s.toml: key `metrics.rules[0].scale`: a scale is a positive number"),
            (&rule("of = \"b\""), "s.toml: key `metrics.rules[0].of`: only a counter can be a share of another"),
            (
                "[[metrics.rules]]\nname = \"\"\nsignal = \"cpu\"",
                "s.toml: key `metrics.rules[0].name`: not a name or pattern: empty, or its brackets do not close",
            ),
            (
                "[[metrics.rules]]\nname = \"a\"\nsignal = \"error_ratio\"\nkind = \"counter\"",
                "s.toml: key `metrics.rules[0].of`: a counter of failures needs the counter of all requests, to be a \
                 share of it",
            ),
            (
                "[[metrics.rules]]\nname = \"a\"\nsignal = \"latency\"\nkind = \"counter\"",
                "s.toml: key `metrics.rules[0].kind`: a counter is no latency; a histogram's parts are read by its name \
                 without `_sum`",
            ),
            ("[metrics]\nservice_labels = [\"\"]", "s.toml: key `metrics.service_labels`: a label without a name"),
            (
                "[metrics.services]\n\"shop-*\" = \"*\"",
                &format!("s.toml: key `metrics.services.shop-*`: {PATTERN_AS_NAME}"),
            ),
            ("[metrics.services]\na = \"\"", "s.toml: key `metrics.services.a`: a service without a name"),
            ("[metrics.services]\n\"[a\" = \"b\"", &format!("s.toml: key `metrics.services.[a`: {BAD_PATTERN}")),
            (
                "[traces]\nsampling_attribute = \"\"",
                "s.toml: key `traces.sampling_attribute`: an attribute without a name",
            ),
            ("metrics = 5", "s.toml: not a valid settings file"),
            ("[metrics", "s.toml: not a valid settings file"),
        ] {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
        let missing = Settings::read(Path::new("no/such/file.toml")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read no/such/file.toml");
    }
}
