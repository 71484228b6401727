//! Where a server is and how to speak to it: address, headers, authentication, TLS. Secrets come from files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::HttpError;

/// How long one request may take, unless a setting says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Text that is never shown, not even for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Reads a file, without the line end that editors leave.
    ///
    /// # Errors
    /// [`HttpError::SecretFile`].
    pub fn read(path: &Path) -> Result<Self, HttpError> {
        let text =
            fs::read_to_string(path).map_err(|source| HttpError::SecretFile { path: path.to_owned(), source })?;
        Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The text itself, for the wire.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// File with the password; none is the empty one.
        password_file: Option<PathBuf>,
    },
    /// The header `Authorization` with a scheme and credentials.
    Authorization {
        /// The scheme, usually `Bearer`.
        scheme: String,
        /// File with the credentials.
        credentials_file: PathBuf,
    },
}

/// How TLS is spoken. The default checks the server against the roots of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of authorities in PEM, which alone are trusted then.
    pub ca_file: Option<PathBuf>,
    /// Our certificate in PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key in PEM.
    pub key_file: Option<PathBuf>,
    /// The name for which the server's certificate has to stand, where it is not that of the address.
    pub server_name: Option<String>,
    /// Takes any certificate.
    pub insecure_skip_verify: bool,
}

/// A server and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address, with what stands before the paths of its API, without a name or password.
    pub url: String,
    /// The tenant, sent as `X-Scope-OrgID`.
    pub org_id: Option<String>,
    /// Further headers; their values count as secrets.
    pub headers: Vec<(String, Secret)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Who asks.
    pub authentication: Option<Authentication>,
    /// How TLS is spoken.
    pub tls: Tls,
}

impl Endpoint {
    /// A server that asks for nothing but its address.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            org_id: None,
            headers: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            authentication: None,
            tls: Tls::default(),
        }
    }

    /// Whether the address can be used.
    ///
    /// # Errors
    /// [`HttpError::Address`].
    pub fn check_address(&self, server_name: &str) -> Result<(), HttpError> {
        address(server_name, &self.url).map(|_url| ())
    }

    /// The same for an address that may have a query, as those of webhooks.
    ///
    /// # Errors
    /// [`HttpError::Address`].
    pub fn check_whole_address(&self, server_name: &str) -> Result<(), HttpError> {
        whole_address(server_name, &self.url).map(|_url| ())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password until it is refused for that.
        f.debug_struct("Endpoint").field("authentication", &self.authentication).field("tls", &self.tls).finish()
    }
}

/// The address of an API, to which paths are added, if it is one of HTTP without credentials.
fn address(server_name: &str, text: &str) -> Result<Url, HttpError> {
    let url = whole_address(server_name, text)?;
    if url.query().is_some() || url.fragment().is_some() {
        let problem = "the address ends with its path: `?` and `#` are not taken".to_owned();
        return Err(HttpError::Address { server_name: server_name.to_owned(), problem });
    }
    Ok(url)
}

/// An address of HTTP without credentials; a query may follow, as in those of webhooks.
pub(super) fn whole_address(server_name: &str, text: &str) -> Result<Url, HttpError> {
    let wrong = |problem: String| HttpError::Address { server_name: server_name.to_owned(), problem };
    let url = Url::parse(text).map_err(|error| {
        wrong(format!("the address cannot be read ({error}); write it as http://host:9090 or https://host/path"))
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("the address has to begin with http:// or https:// and name a host".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "the address holds a name or password; put them into `basic_auth` of the settings file (password_file)"
                .to_owned(),
        ));
    }
    Ok(url)
}

/// Headers that carry credentials, which belong into files.
const SECRET_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// Whether a header may be given in plain text; the advice if not.
///
/// # Errors
/// What to do instead.
pub fn check_header(name: &str) -> Result<(), &'static str> {
    if SECRET_HEADERS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
        return Err("credentials are read from files only: set `authorization` or `basic_auth` in the settings file");
    }
    if name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case("content-length") {
        return Err("this header is set by the program itself");
    }
    if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
        Err("this is no header's name")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut endpoint = Endpoint::new("http://me:hunter2@localhost");
        endpoint.headers.push(("X-Key".to_owned(), Secret::new("hunter2".to_owned())));
        assert!(!format!("{endpoint:?} {:?}", endpoint.headers).contains("hunter2"));
    }

    #[test]
    fn addresses_are_checked_and_passwords_not_repeated() {
        for text in ["localhost:9090", "ftp://a", "http://", "http://a?x=1", "http://me:hunter2@a"] {
            let message = address("prometheus", text).unwrap_err().to_string();
            assert!(message.starts_with("prometheus: ") && !message.contains("hunter2"), "{message}");
        }
        assert_eq!(address("tempo", "https://a/tempo/").unwrap().as_str(), "https://a/tempo/");
        assert_eq!(whole_address("hook", "https://a/b?c=d").unwrap().as_str(), "https://a/b?c=d");
    }

    #[test]
    fn headers_with_credentials_are_refused() {
        assert!(check_header("AUTHORIZATION").unwrap_err().contains("files"));
        assert!(check_header("no header").is_err() && check_header("Host").is_err());
        assert_eq!(check_header("X-Team"), Ok(()));
    }
}
