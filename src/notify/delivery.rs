//! One request to a sink, and what its refusal means for the next attempt.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{NotDelivered, Retry};
use crate::http::{Answer, Connection, Endpoint, HttpError, Message, Redirects, Secret};

/// A sink that asks for a longer pause is asked again after this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// What GitHub tells to wait at least where it names no time.
const UNNAMED_PAUSE: Duration = Duration::from_secs(60);

/// A failure that another attempt may not meet.
pub(super) fn later(problem: impl Into<String>) -> NotDelivered {
    NotDelivered { retry: Retry::Later, problem: problem.into() }
}

/// A failure that every attempt would meet.
pub(super) fn never(problem: impl Into<String>) -> NotDelivered {
    NotDelivered { retry: Retry::Never, problem: problem.into() }
}

/// A sink that is busy.
pub(super) fn after(pause: Duration, problem: impl Into<String>) -> NotDelivered {
    NotDelivered { retry: Retry::After(pause.min(LONGEST_PAUSE)), problem: problem.into() }
}

/// The sink, with the secrets that stand in its files now: a token that was renewed needs no restart.
pub(super) fn connect(name: &str, endpoint: &Endpoint) -> Result<Connection, NotDelivered> {
    Connection::new(name, endpoint, Redirects::KeepingTheMethod).map_err(|error| cannot_speak(&error))
}

/// The same for a sink whose address may be a secret in a file.
pub(super) fn connect_hidden(
    name: &str,
    endpoint: &Endpoint,
    url_file: Option<&Path>,
) -> Result<Connection, NotDelivered> {
    hidden(name, endpoint, url_file).map_err(|error| cannot_speak(&error))
}

/// The sink at the address of the settings, or at that in a file, which is never shown.
pub(super) fn hidden(name: &str, endpoint: &Endpoint, url_file: Option<&Path>) -> Result<Connection, HttpError> {
    let Some(path) = url_file else { return Connection::new(name, endpoint, Redirects::KeepingTheMethod) };
    let address = Secret::read(path)?;
    let endpoint = Endpoint { url: address.reveal().trim().to_owned(), ..endpoint.clone() };
    Ok(Connection::new(name, &endpoint, Redirects::KeepingTheMethod)?.hiding_the_path())
}

/// Why a sink cannot be spoken to; whoever mends the file need not do more.
pub(super) fn cannot_speak(error: &HttpError) -> NotDelivered {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    later(format!("{error}{cause}"))
}

/// Whether a sink could be spoken to.
pub(super) fn check(name: &str, endpoint: &Endpoint) -> Result<(), HttpError> {
    Connection::new(name, endpoint, Redirects::KeepingTheMethod).map(|_connection| ())
}

/// Sends a message; anything but success is a failure. `what` says in words what was to be done.
pub(super) async fn send(connection: &Connection, what: &str, message: Message<'_>) -> Result<Answer, NotDelivered> {
    let answer = connection.exchange(message).await.map_err(|problem| later(format!("{what}: {problem}")))?;
    if answer.is_success() { Ok(answer) } else { Err(refused(what, &answer)) }
}

/// What an answer holds.
pub(super) fn read<T: DeserializeOwned>(what: &str, answer: &Answer) -> Result<T, NotDelivered> {
    // The parser's words would repeat what it read.
    serde_json::from_slice(&answer.body)
        .map_err(|_shown| later(format!("{what}: the answer is not that of this API: {}", answer.told)))
}

/// Reads a payload that this program made, perhaps in another version.
pub(super) fn payload<T: DeserializeOwned>(text: &str) -> Result<T, NotDelivered> {
    serde_json::from_str(text).map_err(|error| never(format!("the payload is none of this sink: {error}")))
}

/// What a refusal means.
pub(super) fn refused(what: &str, answer: &Answer) -> NotDelivered {
    let Answer { status, told, .. } = answer;
    let problem = format!("{what}: status {status}{}: {told}", advice(*status));
    let limited = matches!(status, 403 | 429).then(|| wait(answer)).flatten();
    match (limited, status) {
        (Some(pause), _) => after(pause, problem),
        // Credentials are renewed, and permissions given, while this waits.
        (None, 401 | 403 | 408 | 425 | 429 | 500..) => match answer.retry_after {
            Some(pause) => after(pause, problem),
            None => later(problem),
        },
        // Also a page with a good status: it stands before the sink, or the sink is none that was meant. Asking again and
        // again could flood one that did take the message.
        (None, _) => never(problem),
    }
}

/// How long a sink that limits the rate of requests wants to be left alone; `None` if that is not why it refused.
fn wait(answer: &Answer) -> Option<Duration> {
    if answer.retry_after.is_some() {
        return answer.retry_after;
    }
    if answer.header("x-ratelimit-remaining") == Some("0")
        && let Some(reset_s) = answer.header("x-ratelimit-reset").and_then(|text| text.parse::<i64>().ok())
    {
        let pause_s = reset_s.saturating_sub(jiff::Timestamp::now().as_second());
        return Some(Duration::from_secs(u64::try_from(pause_s).unwrap_or(0)));
    }
    (answer.status == 403 && answer.told.to_ascii_lowercase().contains("rate limit")).then_some(UNNAMED_PAUSE)
}

fn advice(status: u16) -> &'static str {
    match status {
        401 => " (who writes is not known: check the file with the credentials)",
        403 => " (who writes may not: check the permissions of the credentials)",
        404 => " (not there, or the credentials may not see it)",
        413 => " (too large)",
        _ => "",
    }
}
