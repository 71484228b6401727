//! What can go wrong with a live source: always with the address, what happened, and what to do.

use std::io;
use std::path::PathBuf;

use super::deadline::SETTING;
use crate::http::HttpError;

/// Why a live source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// It cannot be spoken to at all.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The work cannot begin on this machine.
    #[error("live sources: {0}")]
    Runtime(String),
    /// No answer came.
    #[error("{url}: no answer after {attempts} attempts ({problem}); is the server there, and the address right?")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// How often.
        attempts: u32,
        /// The chain of causes.
        problem: String,
    },
    /// An answer came that is none.
    #[error("{url}: answered with status {status}{}: {body}", advice(*status))]
    Status {
        /// What was asked.
        url: String,
        /// Its status code.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// A web page came instead.
    #[error("{url}: answered with a web page (status {status}{title}) and not with data: {}", behind(*status))]
    WebPage {
        /// What was asked.
        url: String,
        /// Its status code.
        status: u16,
        /// The title of the page, as `, title "…"`.
        title: String,
    },
    /// The server points to another host or to https, or in a way that loses a query.
    #[error("{url}: answers {status} and leads on to {target}, which is not followed{}; {}", lost(*is_query_lost), given(address))]
    Redirect {
        /// What was asked.
        url: String,
        /// Its status code.
        status: u16,
        /// Where it leads, scheme, host and port only.
        target: String,
        /// Whether a query would not arrive there.
        is_query_lost: bool,
        /// The address to give, where the path of the API is the same there.
        address: Option<String>,
    },
    /// The deadline of the whole pull passed.
    #[error(
        "{source_name}: what was asked for did not come within {seconds} s: see why the server is slow, ask for shorter \
         windows, or raise the deadline ({SETTING})"
    )]
    Late {
        /// Which source.
        source_name: &'static str,
        /// What the whole pull had.
        seconds: u64,
    },
    /// An answer is greater than is taken.
    #[error("{url}: the answer has more than {limit_mebibytes} MiB; ask for less: shorter windows")]
    TooLarge {
        /// What was asked.
        url: String,
        /// How much is taken.
        limit_mebibytes: u64,
    },
    /// An answer that cannot be understood.
    #[error("{url}: {problem}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Request(String),
    /// What was pulled cannot be written.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a web page in the place of data means.
fn behind(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "a proxy wants to know who asks, or does not let in who does: check basic_auth or authorization in the settings \
             file"
        }
        500.. => "a proxy answers in the place of the server behind it, which is down or fails: see that it runs",
        _ => {
            "a proxy or a login page stands before the server; give the address behind it, or the credentials that it wants"
        }
    }
}

fn lost(is_query_lost: bool) -> &'static str {
    match is_query_lost {
        true => " (a query is a POST, of which that makes a GET without its text)",
        false => "",
    }
}

fn given(address: &Option<String>) -> String {
    match address {
        Some(address) => format!("give {address} as the address, if it is the right one"),
        None => "give that address if it is the right one".to_owned(),
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        401 => " (who asks is not known: check basic_auth or authorization in the settings file)",
        403 => " (who asks may not: check the credentials and --org-id)",
        404 => " (there is no such address: check what stands before /api in it)",
        429 => " (too many requests, after several attempts)",
        _ => "",
    }
}
