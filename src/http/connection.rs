//! The client of one server: bounded in time, with its credentials and its trust, and no other host than the one named.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Identity, Method, RequestBuilder, StatusCode, Url, redirect};

use super::HttpError;
use super::endpoint::{Authentication, Endpoint, Secret, Tls, whole_address};
use crate::telemetry::warning::with_causes;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 3;
/// A shorter part of a path is a word, such as `services`, and no secret.
const SECRET_SEGMENT: usize = 9;

/// Which redirects on the same host and port are followed; those to another never are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// All of them, for who asks with GET only.
    Any,
    /// Those that keep method and body (307, 308): any other makes a GET of a POST, and loses what it says.
    KeepingTheMethod,
}

/// Speaks to one server. Secrets are read from their files when this is made.
pub(crate) struct Connection {
    http: reqwest::Client,
    base: Url,
    headers: HeaderMap,
    /// User name and password of basic authentication.
    basic: Option<(String, Secret)>,
    /// What must not be repeated, whoever repeats it.
    secrets: Vec<Secret>,
}

impl Connection {
    pub(crate) fn new(server_name: &str, endpoint: &Endpoint, redirects: Redirects) -> Result<Self, HttpError> {
        let mut base = whole_address(server_name, &endpoint.url)?;
        let mut secrets = Vec::new();
        let mut headers = headers(server_name, endpoint, &mut secrets)?;
        // No proxy of the environment: only named hosts are contacted.
        let builder = reqwest::Client::builder()
            .user_agent(concat!("hypocenter/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(endpoint.timeout)
            .redirect(same_host(redirects));
        let builder = match &endpoint.tls.server_name {
            Some(certified) => under_another_name(builder, server_name, certified, &mut base, &mut headers)?,
            None => builder,
        };
        let http = tls(builder, &endpoint.tls)?.build().map_err(|error| HttpError::Setup {
            server_name: server_name.to_owned(),
            problem: with_causes(&error.without_url()),
        })?;
        let basic = basic(endpoint)?;
        secrets.extend(basic.iter().map(|(_, password)| password.clone()));
        Ok(Self { http, base, headers, basic, secrets })
    }

    /// The same, where what follows the host in the address is a secret: as a whole and in parts, since who answers may
    /// repeat either.
    pub(crate) fn hiding_the_path(mut self) -> Self {
        let segments = self.base.path().split('/').filter(|segment| segment.len() >= SECRET_SEGMENT);
        let mut parts: Vec<String> = segments.map(str::to_owned).collect();
        parts.extend(self.base.query_pairs().map(|(_, value)| value.into_owned()));
        parts.extend(self.base.query().map(str::to_owned));
        self.secrets.extend(parts.into_iter().map(Secret::new));
        self
    }

    /// The same, with more that must not be repeated.
    pub(crate) fn hiding(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// The address with a path of the API, or as it is where that is empty; it holds no credentials.
    pub(crate) fn url(&self, path: &str) -> String {
        match path {
            "" => self.base.to_string(),
            path => format!("{}{path}", self.base.as_str().trim_end_matches('/')),
        }
    }

    /// Scheme and host of the address.
    pub(super) fn host(&self) -> String {
        let port = self.base.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.base.scheme(), self.base.host_str().unwrap_or("?"))
    }

    /// A request to begin with; [`Self::signed`] makes it whole.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// The request with the headers of the settings, credentials among them.
    pub(crate) fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.headers(self.headers.clone());
        match &self.basic {
            Some((username, password)) => request.basic_auth(username, Some(password.reveal())),
            None => request,
        }
    }

    /// A foreign text without the secrets that it may repeat.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        // Two or three letters are in any text, and no secret.
        let secrets = self.secrets.iter().map(Secret::reveal).filter(|secret| secret.len() > 3);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "<secret>"))
    }
}

fn headers(server_name: &str, endpoint: &Endpoint, secrets: &mut Vec<Secret>) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    let wrong = |name: &str| HttpError::Setup {
        server_name: server_name.to_owned(),
        problem: format!("the header `{name}` has a value that no header can have"),
    };
    let mut put = |name: HeaderName, value: &str| {
        let mut value = HeaderValue::from_str(value).map_err(|_lossy| wrong(name.as_str()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    };
    for (name, value) in &endpoint.headers {
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_lossy| wrong(name))?;
        put(known, value.reveal())?;
        secrets.push(value.clone());
    }
    if let Some(org_id) = &endpoint.org_id {
        put(HeaderName::from_static("x-scope-orgid"), org_id)?;
    }
    if let Some(Authentication::Authorization { scheme, credentials_file }) = &endpoint.authentication {
        let credentials = Secret::read(credentials_file)?;
        put(AUTHORIZATION, &format!("{scheme} {}", credentials.reveal()))?;
        secrets.push(credentials);
    }
    Ok(headers)
}

fn basic(endpoint: &Endpoint) -> Result<Option<(String, Secret)>, HttpError> {
    let Some(Authentication::Basic { username, password_file }) = &endpoint.authentication else { return Ok(None) };
    let password = password_file.as_deref().map(Secret::read).transpose()?;
    Ok(Some((username.clone(), password.unwrap_or_else(|| Secret::new(String::new())))))
}

fn tls(builder: reqwest::ClientBuilder, tls: &Tls) -> Result<reqwest::ClientBuilder, HttpError> {
    let mut builder = builder.tls_danger_accept_invalid_certs(tls.insecure_skip_verify);
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path)
            .map_err(|error| HttpError::Certificate { path: path.clone(), problem: format!("cannot be read: {error}") })
    };
    let unusable = |path: &std::path::PathBuf, problem: String| HttpError::Certificate { path: path.clone(), problem };
    if let Some(path) = &tls.ca_file {
        let certificates = Certificate::from_pem_bundle(&read(path)?)
            .map_err(|error| unusable(path, format!("holds no certificates in PEM: {}", with_causes(&error))))?;
        if certificates.is_empty() {
            return Err(unusable(path, "holds no certificates in PEM".to_owned()));
        }
        builder = builder.tls_certs_only(certificates);
    }
    match (&tls.cert_file, &tls.key_file) {
        (None, None) => Ok(builder),
        (Some(certificate), Some(key)) => {
            let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
            let identity = Identity::from_pem(&pem).map_err(|error| {
                unusable(certificate, format!("is no certificate with its key: {}", with_causes(&error)))
            })?;
            Ok(builder.identity(identity))
        }
        (Some(path), None) | (None, Some(path)) => {
            Err(unusable(path, "cert_file and key_file belong together: one of them is missing".to_owned()))
        }
    }
}

/// Speaks to the host of the address, but asks for a certificate of another name.
fn under_another_name(
    builder: reqwest::ClientBuilder,
    server_name: &str,
    certified: &str,
    base: &mut Url,
    headers: &mut HeaderMap,
) -> Result<reqwest::ClientBuilder, HttpError> {
    let wrong = |problem: String| HttpError::Setup { server_name: server_name.to_owned(), problem };
    if certified.parse::<IpAddr>().is_ok() {
        return Err(wrong(format!("server_name `{certified}` is an address; give the name in the certificate")));
    }
    let (host, port) = (base.host_str().unwrap_or_default().to_owned(), base.port_or_known_default().unwrap_or(443));
    let found = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    let found: Vec<_> = found.map_err(|error| wrong(format!("the host `{host}` is not found: {error}")))?.collect();
    let shown = base.port().map_or(host.clone(), |port| format!("{host}:{port}"));
    base.set_host(Some(certified)).map_err(|error| wrong(format!("server_name `{certified}`: {error}")))?;
    let value = HeaderValue::from_str(&shown).map_err(|error| wrong(format!("the host `{host}`: {error}")))?;
    headers.insert(HOST, value);
    // HTTP/2 has no header for the host beside the address.
    Ok(builder.http1_only().resolve_to_addrs(certified, &found))
}

/// Follows a few redirects on the same host and port; others end as the answer that they are. So does one to https, which
/// would make a GET of a POST, and which each request would be sent in the clear before: that address is to be given.
fn same_host(redirects: Redirects) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let keeps = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        let same = attempt.previous().first().is_some_and(|first| {
            let to = attempt.url();
            let port = |url: &Url| url.port_or_known_default();
            first.scheme() == to.scheme() && first.host_str() == to.host_str() && port(first) == port(to)
        });
        let is_wanted = keeps || redirects == Redirects::Any;
        if same && is_wanted && attempt.previous().len() <= MOST_REDIRECTS { attempt.follow() } else { attempt.stop() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_name_of_a_certificate() {
        let mut endpoint = Endpoint::new("https://localhost");
        endpoint.tls.server_name = Some("10.0.0.1".to_owned());
        let message = Connection::new("tempo", &endpoint, Redirects::Any).err().unwrap().to_string();
        assert!(message.contains("server_name `10.0.0.1` is an address"), "{message}");
    }
}
