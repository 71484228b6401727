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
//! max_connections = 1024                 # at once, of all addresses (the default)
//! idle_timeout = "2m"                    # then a connection on which nothing is asked is closed (the default)
//! web_config_file = "web.yml"            # TLS and who may come in, for all addresses, as for --web.config.file
//! enable_lifecycle = false               # whether POST /-/reload does what SIGHUP does (the default)
//!
//! [store]
//! path = "hypocenter-data"               # the store's folder, as for --data, which wins; default in the user's data folder
//! segment_size = "64MiB"                 # a log so long becomes segments (the default)
//! segment_age = "5m"                     # the same for one so old (the default)
//! retention_age = "72h"                  # segments received so long ago are removed (the default)
//! retention_size = "10GiB"               # the oldest are removed when all take more (the default)
//!
//! [incidents]                            # what `hypocenter serve` does with alerts
//! before = "5m"                          # users felt it so long before the alert fired (the default)
//! longest = "30m"                        # of an incident that goes on, so much is analysed (the default)
//! baseline = "1h"                        # normal operation begins so long before the incident (the default)
//! guard = "10m"                          # and ends so long before it (the default)
//! ticket_labels = ["ticket", "issue"]    # labels or annotations of alerts that name a ticket (the default)
//! analyse_after = "10s"                  # the first analysis, after the alert came (the default)
//! again_after = ["5m"]                   # further ones, with the telemetry that has come since (the default)
//! group_within = "5m"                    # related alerts within this time are one incident (the default)
//! unheard_after = "12h"                  # longer than any repeat_interval of the sender (the default)
//! most_waiting = 100                     # more incidents than this wait: alerts are answered with 503 (the default)
//! workers = 1                            # analyses at the same time (the default)
//! deadline = "2m"                        # an analysis that takes longer is given up (the default)
//! keep = "90d"                           # incidents are forgotten so long after they ended (the default)
//! external_url = "https://rca.example"   # where people reach this server, for links; default none
//! signature_secret_file = "grafana-key"  # the key by which Grafana signs webhooks; default none: not asked for
//! signature_header = "X-Grafana-Alerting-Signature" # the header with the signature (the default)
//! signature_timestamp_header = "X-Grafana-Alerting-Timestamp" # the header with the signed time; default none
//!
//! [[metrics.rules]]
//! name = "shop_failures_total"
//! signal = "error_ratio"                 # of a counter of failures:
//! kind = "counter"
//! of = "shop_requests_total"             # the counter of all requests, of which it is a share
//!
//! [live]                                 # of all live sources together
//! deadline = "90s"                       # what came until then is used (the default)
//!
//! [prometheus]                           # a live source; [jaeger], [tempo] and [zipkin] have the same keys
//! url = "https://prometheus.example"     # with what stands before /api; default none
//! org_id = "shop"                        # the tenant, sent as X-Scope-OrgID; default none
//! headers = { X-Team = "shop" }          # further headers, none with credentials; default none
//! timeout = "30s"                        # of one request; default 30s
//! also = ["jvm_*"]                       # of Prometheus: further metrics to ask for; `*` and `?` allowed; default none
//! step = "15s"                           # of Prometheus: distance between samples; default as found, else 30s
//! max_metrics = 500                      # of Prometheus: most metrics to ask for; default 500
//!
//! [prometheus.basic_auth]                # either this or `authorization`; default neither
//! username = "me"                        # default empty
//! password_file = "password"             # file with the password, relative to this file; default an empty password
//!
//! [prometheus.tls_config]
//! ca_file = "ca.pem"                     # authorities that alone are trusted; default those of the system
//! cert_file = "me.pem"                   # our certificate; default none
//! key_file = "me.key"                    # its key; default none
//! server_name = "prometheus"             # name in the server's certificate; default the host of the address
//! insecure_skip_verify = false           # take any certificate; default false
//!
//! [tempo]
//! url = "http://tempo.example:3200"
//! max_traces = 400                       # of trace stores: of each window and stratum; default 400
//!
//! [tempo.authorization]
//! type = "Bearer"                        # the scheme; default Bearer
//! credentials_file = "token"             # file with the credentials, relative to this file
//!
//! [[notify]]                             # where reports are sent; each kind has its keys (docs/notify.md)
//! name = "issues"                        # of the sink, unique
//! kind = "github"                        # github, jira, slack, pagerduty, webhook
//! url = "https://api.github.com"         # (the default); of an Enterprise server, https://HOST/api/v3
//! repository = "acme/shop"               # owner and name
//! issue = 42                             # comments on this one; default an issue per incident
//! token_file = "github-token"            # file with the token
//! timeout = "10s"                        # of one request, of any kind of sink (the default)
//!
//! [[notify]]
//! name = "tickets"
//! kind = "jira"
//! url = "https://acme.atlassian.net"     # with what stands before /rest
//! flavor = "cloud"                       # cloud or server (Server, Data Center)
//! projects = ["OPS"]                     # comments on tickets of these, where an alert names one; default none
//! project = "OPS"                        # else an issue per incident here; or `issue = "OPS-1"` for comments on that
//! issue_type = "Incident"                # of such an issue; default Task
//! basic_auth = { username = "me@acme.example", password_file = "jira-token" }    # or `authorization`
//!
//! [[notify]]
//! name = "chat"
//! kind = "slack"
//! token_file = "slack-token"             # of a bot, with `channel`
//! channel = "C0123456789"                # the channel's id, or #name
//!
//! [[notify]]
//! name = "chat-without-a-bot"
//! kind = "slack"
//! webhook_url_file = "slack-webhook"     # in the place of a bot: an incoming webhook, which cannot edit messages
//!
//! [[notify]]
//! name = "pager"
//! kind = "pagerduty"
//! routing_key_file = "pagerduty-key"     # of the service's integration with Events API v2
//! severity = "warning"                   # critical, error, warning (the default), info
//!
//! [[notify]]
//! name = "hook"
//! kind = "webhook"
//! url_file = "hook-url"                  # file with the address; or `url` where that is no secret
//! method = "POST"                        # POST (the default) or PUT
//! headers = { X-Team = "shop" }          # further headers, none with credentials; default none
//! # template_file = "hook.jinja"         # read and checked with the settings; default: all fields as JSON
//! max_size = "256KiB"                    # of the text (the default)
//! ```
//!
//! A key that is not known is an error and not a silence: a misspelt rule would otherwise look like one that does not
//! work. Each section is a struct of its own here and becomes data of the room that uses it; nothing below reads files.

mod error;
mod incidents;
mod metrics;
mod notify;
mod receiver;
mod sources;
mod speaking;

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::ingest::MetricSettings;
use crate::live::Sources;
use crate::notify::Sink;
use crate::respond;
use crate::server;

use error::nearest;
pub use error::{Fault, SettingsError};
use sources::{LiveSection, PrometheusSection, TraceSection};

pub use receiver::StoreSettings;

/// Everything that the settings file says. The default is what holds without one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// What metric names and labels mean, beyond what is known.
    pub metrics: MetricSettings,
    /// Attribute that tells how spans were sampled, as for `--sampling-attribute`.
    pub sampling_attribute: Option<String>,
    /// Live sources.
    pub sources: Sources,
    /// Where the receiver listens, and what it takes.
    pub serve: server::Settings,
    /// What its store keeps.
    pub store: StoreSettings,
    /// How alerts become analyses.
    pub incidents: respond::Settings,
    /// Where reports are sent.
    pub sinks: Vec<Sink>,
}

/// A table, with the tables that it is in, and its keys.
type Table = (&'static str, &'static [&'static str]);

/// The keys of each table; a list of tables has the keys of one. Sections with tables of their own tell those themselves.
const KEYS: &[&[Table]] = &[
    &[
        (
            "",
            &[
                "traces",
                "metrics",
                "live",
                "prometheus",
                "jaeger",
                "tempo",
                "zipkin",
                "serve",
                "store",
                "incidents",
                "notify",
            ],
        ),
        ("traces", &["sampling_attribute"]),
    ],
    metrics::KEYS,
    notify::KEYS,
    receiver::KEYS,
    incidents::KEYS,
    sources::KEYS,
];

/// All tables with their keys.
fn tables() -> impl Iterator<Item = Table> {
    KEYS.iter().flat_map(|tables| tables.iter().copied())
}

/// All keys, of whichever table.
fn keys() -> impl Iterator<Item = &'static str> {
    tables().flat_map(|(_, keys)| keys.iter().copied())
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    traces: Traces,
    metrics: metrics::Metrics,
    live: LiveSection,
    prometheus: PrometheusSection,
    jaeger: TraceSection,
    tempo: TraceSection,
    zipkin: TraceSection,
    serve: receiver::Serve,
    store: receiver::Store,
    incidents: incidents::Incidents,
    notify: Vec<notify::Notify>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Traces {
    sampling_attribute: Option<String>,
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
        let syntax = |error: toml::de::Error| SettingsError::Syntax {
            path: path.to_owned(),
            source: Fault::new(text, &error, keys()),
        };
        let table: toml::Table = text.parse().map_err(syntax)?;
        check_keys(path, "", &table)?;
        notify::check_kinds(path, &table)?;
        let file: File = toml::from_str(text).map_err(syntax)?;
        let sampling_attribute = file.traces.sampling_attribute;
        if sampling_attribute.as_deref().is_some_and(|name| name.trim().is_empty()) {
            let (path, key) = (path.to_owned(), "traces.sampling_attribute".to_owned());
            return Err(SettingsError::Value { path, key, problem: "an attribute without a name" });
        }
        let sources = Sources {
            prometheus: file.prometheus.checked(path)?,
            jaeger: file.jaeger.checked(path, "jaeger")?,
            tempo: file.tempo.checked(path, "tempo")?,
            zipkin: file.zipkin.checked(path, "zipkin")?,
            deadline: file.live.checked(path)?,
        };
        let (serve, store) = (file.serve.checked(path)?, file.store.checked(path)?);
        let incidents = file.incidents.checked(path)?;
        let (metrics, sinks) = (file.metrics.checked(path)?, notify::checked(file.notify, path)?);
        Ok(Self { metrics, sampling_attribute, sources, serve, store, incidents, sinks })
    }
}

/// Refuses keys that no table knows, with the nearest that it knows.
fn check_keys(path: &Path, at: &str, table: &toml::Table) -> Result<(), SettingsError> {
    let Some((_, known)) = tables().find(|(name, _)| *name == at) else { return Ok(()) };
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

#[cfg(test)]
mod tests {
    use super::metrics::{BAD_PATTERN, KINDS, PATTERN_AS_NAME, SIGNALS, UNITS};
    use super::*;
    use crate::ingest::MetricKind;
    use crate::telemetry::series::{Signal, Unit};

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("s.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_of_the_documentation_is_valid_and_read_whole() {
        let docs = include_str!("mod.rs");
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
        for word in words.chain(keys()) {
            assert!(example.contains(word), "`{word}` is not documented");
        }
        let sources = settings.sources;
        let (endpoint, options) = sources.prometheus.unwrap();
        assert_eq!((endpoint.url.as_str(), endpoint.org_id.as_deref()), ("https://prometheus.example", Some("shop")));
        assert!(endpoint.tls.ca_file.is_some() && endpoint.authentication.is_some() && endpoint.headers.len() == 1);
        assert_eq!((options.step_s, options.max_metrics), (Some(15), 500));
        assert!(sources.jaeger.is_none() && sources.tempo.unwrap().0.authentication.is_some());
        assert_eq!(parse(""), Ok(Settings::default()));
    }

    /// Every key stands in the table of the documentation with unit and default, and nothing else does.
    #[test]
    fn the_table_of_the_documentation_has_every_key() {
        let documented: Vec<String> = include_str!("../../docs/settings.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(key, _)| key.to_owned()))
            .collect();
        let is_table = |full: &str| tables().any(|(name, _)| name == full);
        let of_table = |(table, keys): Table| keys.iter().map(move |key| format!("{table}.{key}"));
        let mut known: Vec<String> =
            tables().filter(|(table, _)| !table.is_empty()).flat_map(of_table).filter(|key| !is_table(key)).collect();
        known.sort();
        let mut sorted = documented.clone();
        sorted.sort();
        assert_eq!(sorted, known);
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
