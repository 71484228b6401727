//! The sections `[serve]` and `[store]`: where the receiver listens, what it takes, what its store keeps.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{SettingsError, Table};
use crate::server;
use crate::store;
use crate::timespec::parse_duration;

/// The sections with their keys.
pub(super) const KEYS: &[Table] = &[
    (
        "serve",
        &[
            "grpc_address",
            "http_address",
            "web_address",
            "max_request_size",
            "memory_limit",
            "request_timeout",
            "max_connections",
            "idle_timeout",
            "web_config_file",
            "enable_lifecycle",
        ],
    ),
    ("store", &["path", "segment_size", "segment_age", "retention_age", "retention_size"]),
];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Serve {
    grpc_address: Option<String>,
    http_address: Option<String>,
    web_address: Option<String>,
    max_request_size: Option<String>,
    memory_limit: Option<String>,
    request_timeout: Option<String>,
    max_connections: Option<u32>,
    idle_timeout: Option<String>,
    web_config_file: Option<PathBuf>,
    enable_lifecycle: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    path: Option<PathBuf>,
    segment_size: Option<String>,
    segment_age: Option<String>,
    retention_age: Option<String>,
    retention_size: Option<String>,
}

/// What the store is to be, but for its folder where none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder; `None` for the default.
    pub folder: Option<PathBuf>,
    segment_bytes: u64,
    segment_age: Duration,
    retention_age: Duration,
    retention_bytes: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        let store::Settings { segment_bytes, segment_age, retention_age, retention_bytes, .. } =
            store::Settings::new(PathBuf::new());
        Self { folder: None, segment_bytes, segment_age, retention_age, retention_bytes }
    }
}

impl StoreSettings {
    /// The settings of a store in this folder.
    pub fn at(&self, folder: PathBuf) -> store::Settings {
        let Self { segment_bytes, segment_age, retention_age, retention_bytes, .. } = *self;
        store::Settings { folder, segment_bytes, segment_age, retention_age, retention_bytes }
    }
}

impl Serve {
    pub(super) fn checked(self, path: &Path) -> Result<server::Settings, SettingsError> {
        let default = server::Settings::default();
        let key = |name: &'static str| At { path, key: format!("serve.{name}") };
        let settings = server::Settings {
            grpc_address: key("grpc_address").address(self.grpc_address, default.grpc_address)?,
            http_address: key("http_address").address(self.http_address, default.http_address)?,
            web_address: key("web_address").address(self.web_address, default.web_address)?,
            host: None,
            max_request_bytes: key("max_request_size").size(self.max_request_size, default.max_request_bytes)?,
            memory_bytes: key("memory_limit").size(self.memory_limit, default.memory_bytes)?,
            request_timeout: key("request_timeout").duration(self.request_timeout, default.request_timeout)?,
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            idle_timeout: key("idle_timeout").duration(self.idle_timeout, default.idle_timeout)?,
            web_config_file: self.web_config_file.map(|file| beside(path, &file)),
            enable_lifecycle: self.enable_lifecycle,
        };
        if settings.max_connections == 0 {
            return Err(key("max_connections").wrong("at least one connection has to be allowed"));
        }
        // A request takes room packed and unpacked.
        if settings.memory_bytes < settings.max_request_bytes.saturating_mul(2) {
            return Err(key("memory_limit")
                .wrong("the memory must hold twice serve.max_request_size, for one request at least"));
        }
        if settings.max_request_bytes >= u64::from(u32::MAX) {
            return Err(key("max_request_size").wrong("a request must be smaller than 4GiB"));
        }
        if let Some(problem) = settings.same_address() {
            return Err(At { path, key: "serve".to_owned() }.wrong(problem));
        }
        Ok(settings)
    }
}

impl Store {
    pub(super) fn checked(self, path: &Path) -> Result<StoreSettings, SettingsError> {
        let default = StoreSettings::default();
        let key = |name: &'static str| At { path, key: format!("store.{name}") };
        let settings = StoreSettings {
            folder: self.path.map(|folder| beside(path, &folder)),
            segment_bytes: key("segment_size").size(self.segment_size, default.segment_bytes)?,
            segment_age: key("segment_age").duration(self.segment_age, default.segment_age)?,
            retention_age: key("retention_age").duration(self.retention_age, default.retention_age)?,
            retention_bytes: key("retention_size").size(self.retention_size, default.retention_bytes)?,
        };
        if settings.retention_bytes < settings.segment_bytes {
            return Err(key("retention_size").wrong("less than store.segment_size: not even one segment would be kept"));
        }
        Ok(settings)
    }
}

/// A file that the settings file names, relative to it.
fn beside(settings: &Path, named: &Path) -> PathBuf {
    settings.parent().unwrap_or(Path::new("")).join(named)
}

/// A key of a file, to say what is wrong with it.
pub(super) struct At<'p> {
    pub(super) path: &'p Path,
    pub(super) key: String,
}

impl At<'_> {
    pub(super) fn wrong(&self, problem: &'static str) -> SettingsError {
        SettingsError::Value { path: self.path.to_owned(), key: self.key.clone(), problem }
    }

    fn address(&self, text: Option<String>, default: SocketAddr) -> Result<SocketAddr, SettingsError> {
        let Some(text) = text else { return Ok(default) };
        text.parse().map_err(|_syntax| {
            self.wrong("an address is an IP address, not a name, and a port, as in \"127.0.0.1:4317\"")
        })
    }

    fn size(&self, text: Option<String>, default: u64) -> Result<u64, SettingsError> {
        let Some(text) = text else { return Ok(default) };
        size(&text)
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| self.wrong("a size is a whole number above 0 with B, KiB, MiB, GiB or TiB, as in \"64MiB\""))
    }

    pub(super) fn duration(&self, text: Option<String>, default: Duration) -> Result<Duration, SettingsError> {
        let Some(text) = text else { return Ok(default) };
        let nanoseconds = parse_duration(&text).ok().and_then(|ns| u64::try_from(ns).ok()).filter(|ns| *ns > 0);
        nanoseconds.map(Duration::from_nanos).ok_or_else(|| {
            self.wrong("a duration is written as in Prometheus and above 0, as in \"90s\", \"15m\", \"3d\"")
        })
    }
}

pub(super) fn size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u32); 5] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0)];
    let (number, shift) = UNITS.iter().find_map(|(unit, shift)| Some((text.trim().strip_suffix(unit)?, *shift)))?;
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_refused_and_folders_are_relative_to_the_file() {
        let parse = |text: &str| crate::settings::Settings::parse(Path::new("etc/s.toml"), text);
        for (text, expected) in [
            ("[serve]\nhttp_address = \"127.0.0.1:4317\"", "serve.grpc_address and serve.http_address are the same"),
            ("[serve]\ngrpc_address = \"localhost:4317\"", "an address is an IP address, not a name, and a port"),
            ("[store]\nretention_size = \"1MiB\"", "`store.retention_size`: less than store.segment_size"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let free = "[serve]\ngrpc_address = \"127.0.0.1:0\"\nhttp_address = \"127.0.0.1:0\"\n";
        assert!(parse(free).is_ok());
        let folder = |path: &str| parse(&format!("[store]\npath = \"{path}\"")).unwrap().store.folder.unwrap();
        assert_eq!([folder("data"), folder("/srv/data")], ["etc/data", "/srv/data"].map(PathBuf::from));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!([size("64MiB"), size("10 GiB"), size("17B")], [Some(64 << 20), Some(10 << 30), Some(17)]);
        assert_eq!([size("64"), size("64MB"), size("-1B"), size("99999999TiB")], [None; 4]);
    }
}
