//! The sections of live sources: `[live]` for all of them, `[prometheus]`, `[jaeger]`, `[tempo]`, `[zipkin]`, with authentication as in Prometheus'
//! `http_config`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::speaking::{AUTHORIZATION, Authorize, BAD_ADDRESS, BASIC, BasicAuth, Section, TLS, TlsConfig};
use super::{SettingsError, Table};
use crate::http::{Endpoint, Tls};
use crate::ingest::NamePattern;
use crate::live::{DEFAULT_DEADLINE, PrometheusOptions, TraceOptions};

const TRACES: &[&str] =
    &["url", "org_id", "headers", "timeout", "basic_auth", "authorization", "tls_config", "max_traces"];

/// The keys of their tables; `headers` takes any key.
pub(super) const KEYS: &[Table] = &[
    ("live", &["deadline"]),
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
pub(super) struct LiveSection {
    deadline: Option<String>,
}

impl LiveSection {
    /// How long a pull may take.
    pub(super) fn checked(self, path: &Path) -> Result<Duration, SettingsError> {
        let section = Section { path, name: "live" };
        let seconds = self.deadline.map(|text| section.seconds("deadline", &text)).transpose()?;
        Ok(seconds.map_or(DEFAULT_DEADLINE, |seconds| Duration::from_secs(seconds.into())))
    }
}

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

impl Section<'_> {
    fn endpoint(&self, common: Common, says_more: bool) -> Result<Option<Endpoint>, SettingsError> {
        let authentication = self.authentication(common.basic_auth, common.authorization)?;
        let headers = self.headers(common.headers)?;
        let tls = self.tls(common.tls_config)?;
        let timeout = common.timeout.as_deref().map(|text| self.seconds("timeout", text)).transpose()?;
        let Some(url) = common.url else {
            // An address may come by a flag only where there is nothing to say about it here.
            let is_empty = !says_more
                && authentication.is_none()
                && headers.is_empty()
                && common.org_id.is_none()
                && timeout.is_none()
                && tls == Tls::default();
            return if is_empty { Ok(None) } else { Err(self.wrong("url", "the section names no address")) };
        };
        let mut endpoint = Endpoint::new(&url);
        endpoint.check_address(self.name).map_err(|_shown| self.wrong("url", BAD_ADDRESS))?;
        endpoint.org_id = common.org_id;
        endpoint.headers = headers;
        endpoint.timeout = timeout.map_or(endpoint.timeout, |seconds| Duration::from_secs(seconds.into()));
        endpoint.authentication = authentication;
        endpoint.tls = tls;
        Ok(Some(endpoint))
    }
}
