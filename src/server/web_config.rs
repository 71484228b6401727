//! The web config file: who may come in, and TLS. As of Prometheus, with bearer tokens besides.
//!
//! ```yaml
//! tls_server_config:
//!   cert_file: server.pem
//!   key_file: server.key
//!   client_auth_type: RequireAndVerifyClientCert   # default NoClientCert, or VerifyClientCertIfGiven
//!   client_ca_file: authorities.pem
//!   min_version: TLS13                             # default TLS12
//!   max_version: TLS13                             # the default
//! http_server_config:
//!   http2: true                                    # the default; nothing else, since gRPC needs it
//!   headers: { X-Frame-Options: deny }
//! basic_auth_users:
//!   me: $2y$10$…                                   # a hash of bcrypt
//! bearer_tokens:
//! - name: alertmanager
//!   token_file: token
//! ```
//!
//! What Prometheus knows and is not supported here is refused by name. Files are named relative to this one.
//!
//! Source: Prometheus, "HTTPS and authentication" (`docs/configuration/https.md`); exporter-toolkit,
//! `docs/web-configuration.md`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::tls;

/// A hash of a higher cost takes longer than any client waits.
const MOST_COST: u32 = 16;

/// Headers of answers that may be set, as in Prometheus.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
];

/// Why a web config file is not used.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// The file, or one that it names, cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not say what it should.
    #[error("{}: {place}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The key, or the line.
        place: String,
        /// What is wrong, without any value of the file.
        problem: String,
    },
    /// Nobody would have to say who they are where everybody can come.
    #[error(
        "{}there is no authentication, so the web address has to be one of loopback, and {address} is not: give \
         basic_auth_users, bearer_tokens or a required client certificate with --web.config.file, or listen on \
         127.0.0.1 behind a proxy that authenticates",
        path.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default()
    )]
    Open {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// The web address.
        address: std::net::SocketAddr,
    },
}

/// What the file says.
#[derive(Default)]
pub(super) struct WebConfig {
    pub(super) tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
    /// Whether nobody comes in without a certificate.
    pub(super) requires_client_certificate: bool,
    /// Names with their hashes.
    pub(super) users: Vec<(String, String)>,
    /// Secrets as they come in requests.
    pub(super) tokens: Vec<Vec<u8>>,
    /// To be set on each answer.
    pub(super) headers: HeaderMap,
}

/// The file as it was read, with those that it names.
pub(super) struct Read {
    file: File,
    contents: BTreeMap<PathBuf, Vec<u8>>,
}

/// Bytes of all files, or why they could not be read: to tell whether anything changed.
pub(super) type Seen = BTreeMap<PathBuf, Result<Vec<u8>, io::ErrorKind>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Option<TlsServerConfig>,
    http_server_config: Option<HttpServerConfig>,
    basic_auth_users: Option<BTreeMap<String, String>>,
    bearer_tokens: Option<Vec<BearerToken>>,
    rate_limit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsServerConfig {
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_auth_type: Option<String>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) min_version: Option<String>,
    pub(super) max_version: Option<String>,
    cert: Option<IgnoredAny>,
    key: Option<IgnoredAny>,
    client_ca: Option<IgnoredAny>,
    client_allowed_sans: Option<IgnoredAny>,
    cipher_suites: Option<IgnoredAny>,
    curve_preferences: Option<IgnoredAny>,
    prefer_server_cipher_suites: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpServerConfig {
    http2: Option<bool>,
    headers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BearerToken {
    name: String,
    token_file: PathBuf,
}

/// Reads the file and those that it names. What was seen is told also when it is not of use.
pub(super) fn read(path: &Path) -> (Seen, Result<Read, WebConfigError>) {
    let mut seen = Seen::new();
    let mut look = |path: &Path| {
        let read = fs::read(path);
        seen.insert(path.to_owned(), read.as_ref().map_err(io::Error::kind).cloned());
        read.map_err(|source| WebConfigError::Io { path: path.to_owned(), source })
    };
    let file = look(path).and_then(|bytes| File::parse(path, &bytes));
    let result = file.and_then(|file| {
        let folder = path.parent().unwrap_or(Path::new(""));
        let named: Vec<PathBuf> = file.files().map(|name| folder.join(name)).collect();
        let read: Vec<_> = named.into_iter().map(|path| (look(&path), path)).collect();
        let contents = read.into_iter().map(|(read, path)| Ok((path, read?))).collect::<Result<_, _>>()?;
        Ok(Read { file, contents })
    });
    (seen, result)
}

impl File {
    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, WebConfigError> {
        let wrong = |place: &str, problem: &str| WebConfigError::Wrong {
            path: path.to_owned(),
            place: place.to_owned(),
            problem: problem.to_owned(),
        };
        let text = std::str::from_utf8(bytes).map_err(|error| wrong("text", &error.to_string()))?;
        let file: Self = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location().map_or("YAML".to_owned(), |at| format!("line {}", at.line()));
            wrong(&place, &explained(error.without_snippet()))
        })?;
        match file.refused() {
            Some((key, problem)) => Err(wrong(key, problem)),
            None => Ok(file),
        }
    }

    /// What Prometheus takes and we do not.
    fn refused(&self) -> Option<(&'static str, &'static str)> {
        const SUITES: &str = "not supported: the safe ones that the library offers are used; take it out";
        const INLINE: &str = "not supported: a file has to be named instead, with the key that ends in _file";
        let tls = self.tls_server_config.as_ref();
        let of_tls = |field: fn(&TlsServerConfig) -> bool| tls.is_some_and(field);
        let refused = [
            ("tls_server_config.cert", of_tls(|tls| tls.cert.is_some()), INLINE),
            ("tls_server_config.key", of_tls(|tls| tls.key.is_some()), INLINE),
            ("tls_server_config.client_ca", of_tls(|tls| tls.client_ca.is_some()), INLINE),
            (
                "tls_server_config.client_allowed_sans",
                of_tls(|tls| tls.client_allowed_sans.is_some()),
                "not supported: whoever has a certificate of client_ca_file comes in; use an authority of its own",
            ),
            ("tls_server_config.cipher_suites", of_tls(|tls| tls.cipher_suites.is_some()), SUITES),
            ("tls_server_config.curve_preferences", of_tls(|tls| tls.curve_preferences.is_some()), SUITES),
            (
                "tls_server_config.prefer_server_cipher_suites",
                of_tls(|tls| tls.prefer_server_cipher_suites.is_some()),
                SUITES,
            ),
            (
                "http_server_config.http2",
                self.http_server_config.as_ref().is_some_and(|http| http.http2 == Some(false)),
                "cannot be switched off: gRPC needs it",
            ),
            (
                "rate_limit",
                self.rate_limit.is_some(),
                "not supported: serve.max_connections and serve.memory_limit of the settings are the limits",
            ),
        ];
        refused.into_iter().find(|(_, is_there, _)| *is_there).map(|(key, _, problem)| (key, problem))
    }

    /// The files that it names.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let of_tls = self.tls_server_config.iter().flat_map(|tls| [&tls.cert_file, &tls.key_file, &tls.client_ca_file]);
        let tokens = self.bearer_tokens.iter().flatten().map(|token| token.token_file.as_path());
        of_tls.flatten().map(PathBuf::as_path).chain(tokens)
    }
}

/// What is wrong with the text, without its values: they may be secrets.
fn explained(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key `{field}`; known are {}", expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("here should be {expected}")
        }
        Error::DuplicateMappingKey { .. } => "a key stands here twice".to_owned(),
        _ => "not valid YAML, or not of the form of a web config file".to_owned(),
    }
}

impl Read {
    /// Checks everything and makes of it what is needed.
    pub(super) fn checked(self, path: &Path) -> Result<WebConfig, WebConfigError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let context = Context { path, folder, contents: &self.contents };
        let mut config = WebConfig::default();
        if let Some(section) = &self.file.tls_server_config {
            config.requires_client_certificate = section.requires_client_certificate();
            config.tls = Some(tls::server(section, &context)?);
        }
        for (name, value) in self.file.http_server_config.iter().flat_map(|http| http.headers.iter().flatten()) {
            let (name, value) = header(&context, name, value)?;
            config.headers.insert(name, value);
        }
        for (name, hash) in self.file.basic_auth_users.into_iter().flatten() {
            check_user(&context, &name, &hash)?;
            config.users.push((name, hash));
        }
        let mut names = Vec::new();
        for (number, token) in self.file.bearer_tokens.iter().flatten().enumerate() {
            let place = format!("bearer_tokens[{number}]");
            if token.name.trim().is_empty() || names.contains(&&token.name) {
                return Err(context.wrong(&format!("{place}.name"), "a name of its own is needed"));
            }
            names.push(&token.name);
            let secret = context.content(&token.token_file).trim_ascii();
            if secret.is_empty() || !secret.iter().all(u8::is_ascii_graphic) {
                let problem = "the file has to hold one token: letters, digits and signs without spaces";
                return Err(context.wrong(&format!("{place}.token_file"), problem));
            }
            config.tokens.push(secret.to_vec());
        }
        Ok(config)
    }
}

fn check_user(context: &Context<'_>, name: &str, hash: &str) -> Result<(), WebConfigError> {
    let wrong = |problem: &str| Err(context.wrong(&format!("basic_auth_users.{name}"), problem));
    if name.contains(':') {
        return wrong("a name with a colon cannot log in");
    }
    match hash.parse::<bcrypt::HashParts>() {
        Err(_secret) => wrong("no hash of bcrypt; make one with `htpasswd -nBC 10 \"\"`"),
        Ok(parts) if parts.get_cost() > MOST_COST => wrong("a hash of a cost above 16 takes too long to check"),
        Ok(_) => Ok(()),
    }
}

fn header(context: &Context<'_>, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), WebConfigError> {
    let place = format!("http_server_config.headers.{name}");
    let known = HEADERS.iter().find(|known| known.eq_ignore_ascii_case(name));
    let known = known.and_then(|known| HeaderName::from_bytes(known.as_bytes()).ok());
    let Some(known) = known else {
        return Err(context.wrong(&place, &format!("unknown header; known are {}", HEADERS.join(", "))));
    };
    let value = HeaderValue::from_str(value);
    Ok((known, value.map_err(|error| context.wrong(&place, &error.to_string()))?))
}

/// The file at hand, for messages and for those that it names.
pub(super) struct Context<'a> {
    path: &'a Path,
    folder: &'a Path,
    contents: &'a BTreeMap<PathBuf, Vec<u8>>,
}

impl Context<'_> {
    pub(super) fn wrong(&self, place: &str, problem: &str) -> WebConfigError {
        WebConfigError::Wrong { path: self.path.to_owned(), place: format!("`{place}`"), problem: problem.to_owned() }
    }

    /// The bytes of a file that is named.
    pub(super) fn content(&self, named: &Path) -> &[u8] {
        self.contents.get(&self.folder.join(named)).expect("every named file was read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the documentation of Prometheus; the password is `test`.
    const HASH: &str = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";

    fn checked(text: &str) -> Result<WebConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join("token"), "  s3cret-of-alertmanager\n").unwrap();
        fs::write(folder.path().join("empty"), "\n").unwrap();
        fs::write(folder.path().join("text.pem"), "no certificate").unwrap();
        let config = read(&path).1.and_then(|read| read.checked(&path));
        config.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn users_tokens_and_headers_are_read() {
        let text = format!(
            "basic_auth_users:\n  me: {HASH}\nbearer_tokens:\n- {{name: a, token_file: token}}\n\
             http_server_config:\n  http2: true\n  headers: {{x-frame-options: deny}}\ntls_server_config:\n"
        );
        let config = checked(&text).unwrap();
        assert_eq!(config.users, [("me".to_owned(), HASH.to_owned())]);
        assert_eq!(config.tokens, [b"s3cret-of-alertmanager"]);
        assert_eq!(config.headers["x-frame-options"], "deny");
        assert!(config.tls.is_none());
        assert!(checked("").is_ok_and(|config| config.users.is_empty()));
    }

    #[test]
    fn each_mistake_has_its_message_and_no_secret_is_in_it() {
        for (text, expected) in [
            ("basic_auth_user: {}", "web.yml: line 1: unknown key `basic_auth_user`; known are tls_server_config"),
            ("a: b: c: [", "web.yml: line 1: "),
            ("basic_auth_users: hunter2", "web.yml: line 1: "),
            ("basic_auth_users: {me: hunter2}", "web.yml: `basic_auth_users.me`: no hash of bcrypt"),
            ("basic_auth_users:\n  me: a\n  me: b", "web.yml: line 3: a key stands here twice"),
            ("bearer_tokens: [{name: a}]", "the key `token_file` is missing"),
            ("bearer_tokens: [{name: a, token_file: none}]", "cannot read none"),
            ("bearer_tokens: [{name: a, token_file: empty}]", "`bearer_tokens[0].token_file`: the file has to hold"),
            (
                "bearer_tokens: [{name: a, token_file: token}, {name: a, token_file: token}]",
                "`bearer_tokens[1].name`: a name of its own is needed",
            ),
            ("http_server_config: {http2: false}", "http_server_config.http2: cannot be switched off"),
            ("http_server_config: {headers: {Server: me}}", "unknown header; known are Content-Security-Policy"),
            ("rate_limit: {burst: 1}", "rate_limit: not supported"),
            ("tls_server_config: {cert_file: text.pem}", "`tls_server_config.key_file`: is missing"),
            ("tls_server_config: {cert_file: text.pem, key_file: text.pem}", "`tls_server_config.cert_file`: holds no"),
            ("tls_server_config: {cipher_suites: [a]}", "tls_server_config.cipher_suites: not supported"),
            ("tls_server_config: {client_allowed_sans: [a]}", "tls_server_config.client_allowed_sans: not supported"),
            (
                "tls_server_config: {cert_file: text.pem, key_file: text.pem, client_auth_type: RequestClientCert}",
                "`tls_server_config.client_auth_type`: must be NoClientCert, VerifyClientCertIfGiven or Require",
            ),
            (
                "tls_server_config: {cert_file: text.pem, key_file: text.pem, min_version: TLS10}",
                "`tls_server_config.min_version`: must be TLS12 or TLS13",
            ),
        ] {
            let error = checked(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.contains(expected.trim_start_matches("web.yml: `")), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
