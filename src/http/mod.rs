//! Speaking HTTP to a server that the settings name: where it is, who asks, TLS, no other host. Live sources are read by
//! it and sinks are written to.

mod answer;
mod connection;
mod endpoint;
mod error;
mod exchange;
mod handshake;

pub(crate) use answer::{content_type, is_web_page, leads_to, retry_after, shown, target, title};
pub(crate) use connection::{Connection, Redirects};
pub use endpoint::{Authentication, DEFAULT_TIMEOUT, Endpoint, Secret, Tls, check_header};
pub use error::HttpError;
pub(crate) use exchange::{Answer, Message};
pub(crate) use handshake::{is_refused_by_tls, speaks_no_tls};
pub(crate) use reqwest::Method;
