//! What TLS says of a connection that came to nothing, by the type of its error and not by its text.

use std::error::Error;
use std::io;

use tokio_rustls::rustls::{self, AlertDescription, InvalidMessage};

/// Whether what came instead of a handshake is none.
pub(crate) fn speaks_no_tls(error: &reqwest::Error) -> bool {
    matches!(of_tls(error), Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)))
}

/// Whether TLS failed for a reason that stays: a certificate, ours or theirs, or what the two sides speak. A server that
/// says it failed by itself, or went away, may do better the next time.
pub(crate) fn is_refused_by_tls(error: &reqwest::Error) -> bool {
    let may_pass = [AlertDescription::InternalError, AlertDescription::CloseNotify, AlertDescription::UserCanceled];
    match of_tls(error) {
        Some(rustls::Error::AlertReceived(alert)) => !may_pass.contains(alert),
        Some(_) => true,
        None => false,
    }
}

/// The error of TLS in the chain of causes.
fn of_tls(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        // An `io::Error` gives the cause of the error in it, and not that error itself.
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}
