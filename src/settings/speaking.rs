//! How a server is spoken to, with the keys of Prometheus' `http_config`: for live sources and sinks alike.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::SettingsError;
use crate::http::{Authentication, Secret, Tls, check_header};
use crate::telemetry::time::NANOS_PER_SECOND;
use crate::timespec::parse_duration;

pub(super) const BASIC: &[&str] = &["username", "password_file"];
pub(super) const AUTHORIZATION: &[&str] = &["type", "credentials_file"];
pub(super) const TLS: &[&str] = &["ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"];

pub(super) const BAD_ADDRESS: &str = "not an address: http:// or https://, a host, perhaps a port and a path; a name and password belong \
     into basic_auth";

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BasicAuth {
    pub(super) username: String,
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authorize {
    pub(super) r#type: Option<String>,
    pub(super) credentials_file: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsConfig {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    server_name: Option<String>,
    insecure_skip_verify: bool,
}

/// Where a value stands, for messages and for the files that it names.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
}

impl Section<'_> {
    pub(super) fn wrong(&self, key: &str, problem: &'static str) -> SettingsError {
        SettingsError::Value { path: self.path.to_owned(), key: format!("{}.{key}", self.name), problem }
    }

    /// Files are named relative to the settings file, as Prometheus does it.
    pub(super) fn file(&self, path: PathBuf) -> PathBuf {
        self.path.parent().map_or(path.clone(), |folder| folder.join(&path))
    }

    pub(super) fn seconds(&self, key: &str, text: &str) -> Result<u32, SettingsError> {
        let seconds = parse_duration(text).ok().map(|ns| ns / NANOS_PER_SECOND).filter(|seconds| *seconds >= 1);
        seconds
            .and_then(|seconds| u32::try_from(seconds).ok())
            .ok_or_else(|| self.wrong(key, "not a duration of at least a second; write it as 30s or 1m30s"))
    }

    pub(super) fn authentication(
        &self,
        basic: Option<BasicAuth>,
        authorization: Option<Authorize>,
    ) -> Result<Option<Authentication>, SettingsError> {
        Ok(match (basic, authorization) {
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
        })
    }

    pub(super) fn headers(&self, headers: BTreeMap<String, String>) -> Result<Vec<(String, Secret)>, SettingsError> {
        for name in headers.keys() {
            check_header(name).map_err(|problem| self.wrong(&format!("headers.{name}"), problem))?;
        }
        Ok(headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
    }

    pub(super) fn tls(&self, given: TlsConfig) -> Result<Tls, SettingsError> {
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
        Ok(tls)
    }
}
