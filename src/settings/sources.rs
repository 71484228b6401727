//! The sections of live sources: `[prometheus]`, `[jaeger]`, `[tempo]`, `[zipkin]`, with authentication as in Prometheus'
//! `http_config`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{SettingsError, Table};
use crate::ingest::NamePattern;
use crate::live::{Authentication, Endpoint, PrometheusOptions, Secret, Tls, TraceOptions, check_header};
use crate::telemetry::time::NANOS_PER_SECOND;
use crate::timespec::parse_duration;

const TRACES: &[&str] =
    &["url", "org_id", "headers", "timeout", "basic_auth", "authorization", "tls_config", "max_traces"];
const BASIC: &[&str] = &["username", "password_file"];
const AUTHORIZATION: &[&str] = &["type", "credentials_file"];
const TLS: &[&str] = &["ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"];

/// The keys of their tables; `headers` takes any key.
pub(super) const KEYS: &[Table] = &[
    (
        "prometheus",
        &[
            "url",
            "org_id",
            "headers",
            "timeout",
            "basic_auth",
            "authorization",
            "tls_config",
            "also",
            "step",
            "max_metrics",
        ],
    ),
    ("prometheus.basic_auth", BASIC),
    ("prometheus.authorization", AUTHORIZATION),
    ("prometheus.tls_config", TLS),
    ("jaeger", TRACES),
    ("jaeger.basic_auth", BASIC),
    ("jaeger.authorization", AUTHORIZATION),
    ("jaeger.tls_config", TLS),
    ("tempo", TRACES),
    ("tempo.basic_auth", BASIC),
    ("tempo.authorization", AUTHORIZATION),
    ("tempo.tls_config", TLS),
    ("zipkin", TRACES),
    ("zipkin.basic_auth", BASIC),
    ("zipkin.authorization", AUTHORIZATION),
    ("zipkin.tls_config", TLS),
];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PrometheusSection {
    url: Option<String>,
    org_id: Option<String>,
    headers: BTreeMap<String, String>,
    timeout: Option<String>,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorize>,
    tls_config: TlsConfig,
    also: Vec<String>,
    step: Option<String>,
    max_metrics: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TraceSection {
    url: Option<String>,
    org_id: Option<String>,
    headers: BTreeMap<String, String>,
    timeout: Option<String>,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorize>,
    tls_config: TlsConfig,
    max_traces: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BasicAuth {
    username: String,
    password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorize {
    r#type: Option<String>,
    credentials_file: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    server_name: Option<String>,
    insecure_skip_verify: bool,
}

impl PrometheusSection {
    /// The source, if the section names an address.
    pub(super) fn checked(self, path: &Path) -> Result<Option<(Endpoint, PrometheusOptions)>, SettingsError> {
        let section = Section { path, name: "prometheus" };
        let defaults = PrometheusOptions::default();
        let also = self.also.iter().map(|text| {
            NamePattern::parse(text)
                .ok_or_else(|| section.wrong("also", "not a name or pattern: empty, or its brackets do not close"))
        });
        let also = also.collect::<Result<_, _>>()?;
        let step_s = self.step.as_deref().map(|text| section.seconds("step", text)).transpose()?;
        let max_metrics = match self.max_metrics {
            Some(0) => return Err(section.wrong("max_metrics", "a limit of 0 asks for nothing")),
            given => given.unwrap_or(defaults.max_metrics),
        };
        let says_more = !self.also.is_empty() || step_s.is_some() || self.max_metrics.is_some();
        let common = Common {
            url: self.url,
            org_id: self.org_id,
            headers: self.headers,
            timeout: self.timeout,
            basic_auth: self.basic_auth,
            authorization: self.authorization,
            tls_config: self.tls_config,
        };
        let endpoint = section.endpoint(common, says_more)?;
        Ok(endpoint.map(|endpoint| (endpoint, PrometheusOptions { also, step_s, max_metrics })))
    }
}

impl TraceSection {
    /// The source, if the section names an address.
    pub(super) fn checked(
        self,
        path: &Path,
        name: &'static str,
    ) -> Result<Option<(Endpoint, TraceOptions)>, SettingsError> {
        let section = Section { path, name };
        let max_traces = match self.max_traces {
            Some(0..20) => return Err(section.wrong("max_traces", "fewer than 20 traces say nothing")),
            given => given.unwrap_or(TraceOptions::default().max_traces),
        };
        let common = Common {
            url: self.url,
            org_id: self.org_id,
            headers: self.headers,
            timeout: self.timeout,
            basic_auth: self.basic_auth,
            authorization: self.authorization,
            tls_config: self.tls_config,
        };
        let endpoint = section.endpoint(common, self.max_traces.is_some())?;
        Ok(endpoint.map(|endpoint| (endpoint, TraceOptions { max_traces })))
    }
}

/// What all sources have.
struct Common {
    url: Option<String>,
    org_id: Option<String>,
    headers: BTreeMap<String, String>,
    timeout: Option<String>,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorize>,
    tls_config: TlsConfig,
}

/// Where a value stands, for messages and for the files that it names.
#[derive(Clone, Copy)]
struct Section<'a> {
    path: &'a Path,
    name: &'static str,
}

impl Section<'_> {
    fn wrong(&self, key: &str, problem: &'static str) -> SettingsError {
        SettingsError::Value { path: self.path.to_owned(), key: format!("{}.{key}", self.name), problem }
    }

    /// Files are named relative to the settings file, as Prometheus does it.
    fn file(&self, path: PathBuf) -> PathBuf {
        self.path.parent().map_or(path.clone(), |folder| folder.join(&path))
    }

    fn seconds(&self, key: &str, text: &str) -> Result<u32, SettingsError> {
        let seconds = parse_duration(text).ok().map(|ns| ns / NANOS_PER_SECOND).filter(|seconds| *seconds >= 1);
        seconds
            .and_then(|seconds| u32::try_from(seconds).ok())
            .ok_or_else(|| self.wrong(key, "not a duration of at least a second; write it as 30s or 1m30s"))
    }

    fn endpoint(&self, common: Common, says_more: bool) -> Result<Option<Endpoint>, SettingsError> {
        let authentication = match (common.basic_auth, common.authorization) {
            (Some(_), Some(_)) => {
                return Err(self.wrong("authorization", "either this or basic_auth: both set the same header"));
            }
            (Some(BasicAuth { username, password_file }), None) => {
                Some(Authentication::Basic { username, password_file: password_file.map(|path| self.file(path)) })
            }
            (None, Some(Authorize { r#type, credentials_file })) => Some(Authentication::Authorization {
                scheme: r#type.unwrap_or_else(|| "Bearer".to_owned()),
                credentials_file: self.file(credentials_file),
            }),
            (None, None) => None,
        };
        for name in common.headers.keys() {
            check_header(name).map_err(|problem| self.wrong(&format!("headers.{name}"), problem))?;
        }
        let given = common.tls_config;
        let tls = Tls {
            ca_file: given.ca_file.map(|path| self.file(path)),
            cert_file: given.cert_file.map(|path| self.file(path)),
            key_file: given.key_file.map(|path| self.file(path)),
            server_name: given.server_name,
            insecure_skip_verify: given.insecure_skip_verify,
        };
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            return Err(self.wrong("tls_config", "cert_file and key_file belong together: one of them is missing"));
        }
        let timeout = common.timeout.as_deref().map(|text| self.seconds("timeout", text)).transpose()?;
        let Some(url) = common.url else {
            // An address may come by a flag only where there is nothing to say about it here.
            let is_empty = !says_more
                && authentication.is_none()
                && common.headers.is_empty()
                && common.org_id.is_none()
                && timeout.is_none()
                && tls == Tls::default();
            return if is_empty { Ok(None) } else { Err(self.wrong("url", "the section names no address")) };
        };
        let mut endpoint = Endpoint::new(&url);
        endpoint.check_address(self.name).map_err(|_shown| self.wrong("url", BAD_ADDRESS))?;
        endpoint.org_id = common.org_id;
        endpoint.headers = common.headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        endpoint.timeout = timeout.map_or(endpoint.timeout, |seconds| Duration::from_secs(seconds.into()));
        endpoint.authentication = authentication;
        endpoint.tls = tls;
        Ok(Some(endpoint))
    }
}

const BAD_ADDRESS: &str = "not an address: http:// or https://, a host, perhaps a port and a path; a name and password belong \
     into basic_auth";
