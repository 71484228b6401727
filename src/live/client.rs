//! The HTTP client of all sources: bounded in number, rate, time and size; few retries; no other host than the one named.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use super::LiveError;
use crate::http::{
    Connection, Endpoint, Method, Redirects, content_type, is_refused_by_tls, is_web_page, leads_to, retry_after,
    shown, speaks_no_tls, target, title,
};
use crate::telemetry::warning::with_causes;

/// Requests at once.
pub(super) const CONCURRENCY: usize = 4;
/// Between the beginnings of two requests at least: fifty a second.
const PACE: Duration = Duration::from_millis(20);
/// Attempts for one request.
const ATTEMPTS: u32 = 4;
/// The first pause before another attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A server that asks for a longer pause is given up.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Most bytes of one answer, unfolded.
const MOST_BYTES: usize = 256 << 20;

/// Talks to one source.
pub(super) struct Client {
    connection: Connection,
    redirects: Redirects,
    base: String,
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
        endpoint.check_address(name)?;
        // Queries are POSTs; trace stores are asked with GET alone.
        let redirects = if name == "prometheus" { Redirects::KeepingTheMethod } else { Redirects::Any };
        let connection = Connection::new(name, endpoint, redirects)?;
        Ok(Self {
            base: connection.url("").trim_end_matches('/').to_owned(),
            connection,
            redirects,
            gate: Semaphore::new(CONCURRENCY),
            next: Mutex::new(Instant::now()),
            most_bytes: MOST_BYTES,
        })
    }

    /// The same with another limit of answers.
    #[cfg(test)]
    pub(super) fn taking(self, most_bytes: usize) -> Self {
        Self { most_bytes, ..self }
    }

    /// The address without a slash at its end; it holds no credentials.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks with GET.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer, LiveError> {
        self.send(path, false, &|| self.connection.ask(Method::GET, path).query(query)).await
    }

    /// Asks with GET for a media type; nothing being there (404) is an answer as well.
    pub(super) async fn find(
        &self,
        path: &str,
        query: &[(&str, String)],
        accept: &'static str,
    ) -> Result<Answer, LiveError> {
        let ask = || self.connection.ask(Method::GET, path).query(query).header(ACCEPT, accept);
        self.send(path, true, &ask).await
    }

    /// Asks with a form in the body of a POST, which has no limit of length.
    pub(super) async fn post(&self, path: &str, form: &[(&str, String)]) -> Result<Answer, LiveError> {
        self.send(path, false, &|| self.connection.ask(Method::POST, path).form(form)).await
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
            let pause = match self.connection.signed(ask()).send().await {
                Ok(response) if is_transient(response.status()) && attempt < ATTEMPTS => match retry_after(&response) {
                    Some(wanted) if wanted > LONGEST_PAUSE => return self.refusal(url, response).await,
                    Some(wanted) => wanted.max(pause),
                    None => pause,
                },
                Ok(response) => return self.take(url, path, response, may_be_absent).await,
                Err(error) if attempt < ATTEMPTS && is_worth_another(&error) => pause,
                Err(error) => {
                    let hint = if speaks_no_tls(&error) { "; that port does not speak TLS: try http://" } else { "" };
                    let problem = format!("{}{hint}", with_causes(&error.without_url()));
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

    async fn take(
        &self,
        url: String,
        path: &str,
        response: Response,
        may_be_absent: bool,
    ) -> Result<Answer, LiveError> {
        let status = response.status();
        if status.is_redirection() {
            let (status, target) = (status.as_u16(), target(&response));
            // Such a one makes a GET of a POST (RFC 9110, 15.4).
            let is_query_lost = self.redirects == Redirects::KeepingTheMethod && matches!(status, 301..=303);
            return Err(LiveError::Redirect { url, status, target, is_query_lost, address: leads_to(&response, path) });
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
                    let problem = format!("the answer broke off: {}", with_causes(&error.without_url()));
                    return Err(LiveError::Answer { url: url.to_owned(), problem });
                }
            }
        }
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// No connection, or one that was closed before the answer. A request that ran out of time would do so again, and a
/// certificate stays wrong.
fn is_worth_another(error: &reqwest::Error) -> bool {
    let is_lost = error.is_connect() || (error.is_request() && !error.is_timeout());
    is_lost && !is_refused_by_tls(error)
}

/// Between the pause and one and a half times of it, so that many who wait do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    pause.mul_f64(1.0 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_jittered_upwards() {
        let pauses: Vec<Duration> = (0..20).map(|_| jittered(Duration::from_secs(2))).collect();
        assert!(pauses.iter().all(|pause| (2.0..=3.0).contains(&pause.as_secs_f64())));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
