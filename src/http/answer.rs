//! What an answer says of itself, and the beginning of it for people.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{LOCATION, RETRY_AFTER};

/// So much of an error's text is shown.
const SHOWN_CHARS: usize = 300;

/// Scheme, host and port of where a redirect leads; the rest may hold a token.
pub(crate) fn target(response: &Response) -> String {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
    match response.url().join(location) {
        Ok(url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            shown(&format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?")))
        }
        Err(_unreadable) => "an address that cannot be read".to_owned(),
    }
}

/// The address to give, where a redirect leads to the same path of the API below another one; what is before that path is
/// no secret then.
pub(crate) fn leads_to(response: &Response, path: &str) -> Option<String> {
    let mut url = response.url().join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    let is_plain = url.username().is_empty() && url.password().is_none();
    let base = url.as_str().strip_suffix(path).filter(|_| is_plain)?;
    Some(shown(base))
}

/// The pause that a server asks for, in seconds or as a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or(Duration::ZERO))
}

/// The media type, in small letters; empty where none is told.
pub(crate) fn content_type(response: &Response) -> String {
    let value = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

/// Whether a page for people came in the place of data.
pub(crate) fn is_web_page(content_type: &str, body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let begins = |word: &[u8]| start.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
    content_type.starts_with("text/html") || begins(b"<!doctype html") || begins(b"<html")
}

/// The title of a page, as `, title "…"`.
pub(crate) fn title(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..body.len().min(4096)).unwrap_or_default());
    let lower = text.to_ascii_lowercase();
    let found = lower.find("<title>").zip(lower.find("</title>")).and_then(|(from, to)| text.get(from + 7..to));
    found.map(|title| format!(", title \"{}\"", shown(title.trim()))).unwrap_or_default()
}

/// The beginning of a foreign text, on one line.
pub(crate) fn shown(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}
