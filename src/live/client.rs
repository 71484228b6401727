//! The HTTP client of all sources: bounded in number, rate, time and size; few retries; no other host than the one named.

use std::error::Error as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Identity, RequestBuilder, Response, StatusCode, Url, redirect};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use super::LiveError;
use super::endpoint::{Authentication, Endpoint, Secret, Tls};

/// Requests at once.
const CONCURRENCY: usize = 4;
/// Between the beginnings of two requests at least: fifty a second.
const PACE: Duration = Duration::from_millis(20);
/// Attempts for one request.
const ATTEMPTS: u32 = 4;
/// The first pause before another attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A server that asks for a longer pause is given up.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of one answer, unfolded.
const MOST_BYTES: usize = 256 << 20;
const REDIRECTS: usize = 3;
/// So much of an error's text is shown.
const SHOWN_CHARS: usize = 300;

/// Talks to one source.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    headers: HeaderMap,
    /// User name and password of basic authentication.
    basic: Option<(String, Secret)>,
    gate: Semaphore,
    next: Mutex<Instant>,
    most_bytes: usize,
}

/// An answer with status 200, or 404 where that was allowed.
pub(super) struct Answer {
    /// What was asked, for messages.
    pub(super) url: String,
    /// Whether the status was 404.
    pub(super) not_found: bool,
    /// Whether it says to be protobuf.
    pub(super) is_protobuf: bool,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn new(name: &'static str, endpoint: &Endpoint) -> Result<Self, LiveError> {
        let mut base = address(name, &endpoint.url)?;
        let mut headers = headers(name, endpoint)?;
        // No proxy of the environment: only named hosts are contacted.
        let builder = reqwest::Client::builder()
            .user_agent(concat!("hypocenter/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(endpoint.timeout)
            .redirect(same_host());
        let builder = match &endpoint.tls.server_name {
            Some(server_name) => under_another_name(builder, name, server_name, &mut base, &mut headers)?,
            None => builder,
        };
        let http = tls(builder, &endpoint.tls)?
            .build()
            .map_err(|error| LiveError::Setup { source_name: name, problem: chain(&error.without_url()) })?;
        Ok(Self {
            http,
            base: base.as_str().trim_end_matches('/').to_owned(),
            headers,
            basic: basic(endpoint)?,
            gate: Semaphore::new(CONCURRENCY),
            next: Mutex::new(Instant::now()),
            most_bytes: MOST_BYTES,
        })
    }

    /// The address without a slash at its end; it holds no credentials.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks with GET.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer, LiveError> {
        self.send(path, false, &|| self.http.get(format!("{}{path}", self.base)).query(query)).await
    }

    /// Asks with GET for a media type; nothing being there (404) is an answer as well.
    pub(super) async fn find(
        &self,
        path: &str,
        query: &[(&str, String)],
        accept: &'static str,
    ) -> Result<Answer, LiveError> {
        let ask = || self.http.get(format!("{}{path}", self.base)).query(query).header(ACCEPT, accept);
        self.send(path, true, &ask).await
    }

    /// Asks with a form in the body of a POST, which has no limit of length.
    pub(super) async fn post(&self, path: &str, form: &[(&str, String)]) -> Result<Answer, LiveError> {
        self.send(path, false, &|| self.http.post(format!("{}{path}", self.base)).form(form)).await
    }

    async fn send(
        &self,
        path: &str,
        may_be_absent: bool,
        ask: &(dyn Fn() -> RequestBuilder + Sync),
    ) -> Result<Answer, LiveError> {
        let url = format!("{}{path}", self.base);
        // Never closed, so this cannot fail; were it to, the request would only be less patient.
        let _permit = self.gate.acquire().await;
        let mut attempt = 1;
        loop {
            self.pace().await;
            let pause = FIRST_PAUSE * 2_u32.pow(attempt - 1);
            let request = ask().headers(self.headers.clone());
            let request = match &self.basic {
                Some((username, password)) => request.basic_auth(username, Some(password.reveal())),
                None => request,
            };
            let pause = match request.send().await {
                Ok(response) if is_transient(response.status()) && attempt < ATTEMPTS => match retry_after(&response) {
                    Some(wanted) if wanted > LONGEST_PAUSE => return self.refusal(url, response).await,
                    Some(wanted) => wanted.max(pause),
                    None => pause,
                },
                Ok(response) => return self.take(url, response, may_be_absent).await,
                Err(error) if attempt < ATTEMPTS && is_worth_another(&error) => pause,
                Err(error) => {
                    let hint = if speaks_no_tls(&error) { "; that port does not speak TLS: try http://" } else { "" };
                    let problem = format!("{}{hint}", chain(&error.without_url()));
                    return Err(LiveError::NoAnswer { url, attempts: attempt, problem });
                }
            };
            sleep(jittered(pause)).await;
            attempt += 1;
        }
    }

    /// Waits for its turn.
    async fn pace(&self) {
        let turn = {
            let mut next = self.next.lock().await;
            let turn = (*next).max(Instant::now());
            *next = turn + PACE;
            turn
        };
        sleep_until(turn).await;
    }

    async fn take(&self, url: String, response: Response, may_be_absent: bool) -> Result<Answer, LiveError> {
        let status = response.status();
        if status.is_redirection() {
            return Err(LiveError::Redirect { url, target: target(&response) });
        }
        let not_found = status == StatusCode::NOT_FOUND;
        if status != StatusCode::OK && !(may_be_absent && not_found) {
            return self.refusal(url, response).await;
        }
        let kind = content_type(&response);
        let body = self.body(&url, response).await?;
        if is_web_page(&kind, &body) {
            return Err(LiveError::WebPage { url, status: status.as_u16(), title: title(&body) });
        }
        Ok(Answer { url, not_found, is_protobuf: kind.contains("protobuf"), body })
    }

    async fn refusal<T>(&self, url: String, response: Response) -> Result<T, LiveError> {
        let (status, kind) = (response.status().as_u16(), content_type(&response));
        let body = self.body(&url, response).await.unwrap_or_default();
        if is_web_page(&kind, &body) {
            return Err(LiveError::WebPage { url, status, title: title(&body) });
        }
        Err(LiveError::Status { url, status, body: shown(&String::from_utf8_lossy(&body)) })
    }

    /// The whole body; `reqwest` unfolds it, so that the limit is on what it unfolds to.
    async fn body(&self, url: &str, mut response: Response) -> Result<Vec<u8>, LiveError> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > self.most_bytes => {
                    let limit_mebibytes = (self.most_bytes >> 20) as u64;
                    return Err(LiveError::TooLarge { url: url.to_owned(), limit_mebibytes });
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => {
                    let problem = format!("the answer broke off: {}", chain(&error.without_url()));
                    return Err(LiveError::Answer { url: url.to_owned(), problem });
                }
            }
        }
    }
}

/// The address, if it is one of HTTP without credentials.
pub(super) fn address(source_name: &'static str, text: &str) -> Result<Url, LiveError> {
    let wrong = |problem: String| LiveError::Address { source_name, problem };
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
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("the address ends with its path: `?` and `#` are not taken".to_owned()));
    }
    Ok(url)
}

fn headers(source_name: &'static str, endpoint: &Endpoint) -> Result<HeaderMap, LiveError> {
    let mut headers = HeaderMap::new();
    let wrong = |name: &str| LiveError::Setup {
        source_name,
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
    }
    if let Some(org_id) = &endpoint.org_id {
        put(HeaderName::from_static("x-scope-orgid"), org_id)?;
    }
    if let Some(Authentication::Authorization { scheme, credentials_file }) = &endpoint.authentication {
        put(AUTHORIZATION, &format!("{scheme} {}", Secret::read(credentials_file)?.reveal()))?;
    }
    Ok(headers)
}

fn basic(endpoint: &Endpoint) -> Result<Option<(String, Secret)>, LiveError> {
    let Some(Authentication::Basic { username, password_file }) = &endpoint.authentication else { return Ok(None) };
    let password = password_file.as_deref().map(Secret::read).transpose()?;
    Ok(Some((username.clone(), password.unwrap_or_else(|| Secret::new(String::new())))))
}

fn tls(builder: reqwest::ClientBuilder, tls: &Tls) -> Result<reqwest::ClientBuilder, LiveError> {
    let mut builder = builder.tls_danger_accept_invalid_certs(tls.insecure_skip_verify);
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path)
            .map_err(|error| LiveError::Certificate { path: path.clone(), problem: format!("cannot be read: {error}") })
    };
    let unusable = |path: &std::path::PathBuf, problem: String| LiveError::Certificate { path: path.clone(), problem };
    if let Some(path) = &tls.ca_file {
        let certificates = Certificate::from_pem_bundle(&read(path)?)
            .map_err(|error| unusable(path, format!("holds no certificates in PEM: {}", chain(&error))))?;
        if certificates.is_empty() {
            return Err(unusable(path, "holds no certificates in PEM".to_owned()));
        }
        builder = builder.tls_certs_only(certificates);
    }
    match (&tls.cert_file, &tls.key_file) {
        (None, None) => Ok(builder),
        (Some(certificate), Some(key)) => {
            let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
            let identity = Identity::from_pem(&pem)
                .map_err(|error| unusable(certificate, format!("is no certificate with its key: {}", chain(&error))))?;
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
    source_name: &'static str,
    server_name: &str,
    base: &mut Url,
    headers: &mut HeaderMap,
) -> Result<reqwest::ClientBuilder, LiveError> {
    let wrong = |problem: String| LiveError::Setup { source_name, problem };
    if server_name.parse::<IpAddr>().is_ok() {
        return Err(wrong(format!("server_name `{server_name}` is an address; give the name in the certificate")));
    }
    let (host, port) = (base.host_str().unwrap_or_default().to_owned(), base.port_or_known_default().unwrap_or(443));
    let found = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    let found: Vec<_> = found.map_err(|error| wrong(format!("the host `{host}` is not found: {error}")))?.collect();
    let shown = base.port().map_or(host.clone(), |port| format!("{host}:{port}"));
    base.set_host(Some(server_name)).map_err(|error| wrong(format!("server_name `{server_name}`: {error}")))?;
    let value = HeaderValue::from_str(&shown).map_err(|error| wrong(format!("the host `{host}`: {error}")))?;
    headers.insert(HOST, value);
    // HTTP/2 has no header for the host beside the address.
    Ok(builder.http1_only().resolve_to_addrs(server_name, &found))
}

/// Follows a few redirects on the same host and port; others end as the answer that they are. So does one to https, which
/// would make a GET of a POST, and which each request would be sent in the clear before: that address is to be given.
fn same_host() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let same = attempt.previous().first().is_some_and(|first| {
            let to = attempt.url();
            let port = |url: &Url| url.port_or_known_default();
            first.scheme() == to.scheme() && first.host_str() == to.host_str() && port(first) == port(to)
        });
        if same && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
    })
}

/// Scheme, host and port of where a redirect leads; the rest may hold a token.
fn target(response: &Response) -> String {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
    match response.url().join(location) {
        Ok(url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            shown(&format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?")))
        }
        Err(_unreadable) => "an address that cannot be read".to_owned(),
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// No connection, or one that was closed before the answer. A request that ran out of time would do so again, and a
/// certificate stays wrong.
fn is_worth_another(error: &reqwest::Error) -> bool {
    let is_lost = error.is_connect() || (error.is_request() && !error.is_timeout());
    is_lost && !chain(error).contains("certificate") && !speaks_no_tls(error)
}

/// Whether what came instead of a handshake is none: so rustls says it.
fn speaks_no_tls(error: &reqwest::Error) -> bool {
    chain(error).contains("InvalidContentType")
}

/// The pause that a server asks for, in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or(Duration::ZERO))
}

/// Between the pause and one and a half times of it, so that many who wait do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    pause.mul_f64(1.0 + chance / 2.0)
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

fn is_web_page(content_type: &str, body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let begins = |word: &[u8]| start.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
    content_type.starts_with("text/html") || begins(b"<!doctype html") || begins(b"<html")
}

fn title(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..body.len().min(4096)).unwrap_or_default());
    let lower = text.to_ascii_lowercase();
    let found = lower.find("<title>").zip(lower.find("</title>")).and_then(|(from, to)| text.get(from + 7..to));
    found.map(|title| format!(", title \"{}\"", shown(title.trim()))).unwrap_or_default()
}

/// The beginning of a foreign text, on one line.
fn shown(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

/// An error with all its causes on one line.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_passwords_not_repeated() {
        for text in ["localhost:9090", "ftp://a", "http://", "http://a?x=1", "http://me:hunter2@a"] {
            let message = address("prometheus", text).unwrap_err().to_string();
            assert!(message.starts_with("prometheus: ") && !message.contains("hunter2"), "{message}");
        }
        assert_eq!(address("tempo", "https://a/tempo/").unwrap().as_str(), "https://a/tempo/");
    }

    #[test]
    fn an_address_is_no_name_of_a_certificate() {
        let mut endpoint = Endpoint::new("https://localhost");
        endpoint.tls.server_name = Some("10.0.0.1".to_owned());
        let message = Client::new("tempo", &endpoint).err().unwrap().to_string();
        assert!(message.contains("server_name `10.0.0.1` is an address"), "{message}");
    }

    #[test]
    fn pauses_are_jittered_upwards() {
        let pauses: Vec<Duration> = (0..20).map(|_| jittered(Duration::from_secs(2))).collect();
        assert!(pauses.iter().all(|pause| (2.0..=3.0).contains(&pause.as_secs_f64())));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
