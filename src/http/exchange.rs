//! One request and its answer, for who writes: no second attempt here, since the first may have been heard.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::answer::{is_web_page, retry_after, shown, target, title};
use super::connection::Connection;
use crate::telemetry::warning::with_causes;

/// Most bytes of one answer, unfolded: a page of a hundred long comments.
const MOST_BYTES: usize = 16 << 20;

/// What is sent.
pub(crate) struct Message<'a> {
    pub(crate) method: Method,
    /// Added to the address; empty for the address itself.
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, String)],
    pub(crate) headers: &'a [(&'static str, &'static str)],
    /// Media type and text.
    pub(crate) body: Option<(&'static str, String)>,
}

/// What came back, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The pause that is asked for.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
    /// What it says, on one line and without our secrets, for people.
    pub(crate) told: String,
    /// Whether a web page came, or a way to another place, and not an answer of an API.
    pub(crate) is_of_another: bool,
    headers: HeaderMap,
}

impl Answer {
    /// Whether what was asked for was done.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status) && !self.is_of_another
    }

    /// A header's value, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Connection {
    /// Sends a message once and takes the answer.
    ///
    /// # Errors
    /// Why there is none, for people and without secrets. The message may have been heard all the same.
    pub(crate) async fn exchange(&self, message: Message<'_>) -> Result<Answer, String> {
        let mut request = self.ask(message.method, message.path);
        if !message.query.is_empty() {
            request = request.query(message.query);
        }
        for (name, value) in message.headers {
            request = request.header(*name, *value);
        }
        if let Some((media_type, text)) = message.body {
            request = request.header(CONTENT_TYPE, media_type).body(text);
        }
        let no_answer = |error: reqwest::Error| {
            let problem = self.without_secrets(&with_causes(&error.without_url()));
            format!("{}: no answer ({problem})", self.host())
        };
        let mut response = self.signed(request).send().await.map_err(no_answer)?;
        let status = response.status();
        let elsewhere = status.is_redirection().then(|| target(&response));
        let (retry_after, headers) = (retry_after(&response), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(format!("{}: the answer has more than {} MiB", self.host(), MOST_BYTES >> 20));
            }
            body.extend_from_slice(&chunk);
        }
        // By its text alone: Slack's own "ok" says to be HTML.
        let is_page = is_web_page("", &body);
        let told = match &elsewhere {
            Some(target) => format!("leads on to {target}, which is not followed"),
            None if is_page => format!("a web page and no answer of an API{}", self.without_secrets(&title(&body))),
            // Secrets go before the text is cut: half a secret is one, too.
            None => shown(&self.without_secrets(&String::from_utf8_lossy(&body))),
        };
        let is_of_another = is_page || elsewhere.is_some();
        Ok(Answer { status: status.as_u16(), retry_after, body, told, is_of_another, headers })
    }
}
