//! Why a server cannot be spoken to at all: its address, a file with a secret, a certificate.

use std::io;
use std::path::PathBuf;

/// What keeps a connection from being made.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is of no use.
    #[error("{server_name}: {problem}")]
    Address {
        /// Which server it is of, for example `prometheus`.
        server_name: String,
        /// What is wrong with it; the address itself may hold a password.
        problem: String,
    },
    /// A file with a secret cannot be read.
    #[error("{}: the file with the secret cannot be read", path.display())]
    SecretFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("{}: {problem}", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The client could not be made, for example because of a header's value.
    #[error("{server_name}: the client cannot be set up: {problem}")]
    Setup {
        /// Which server.
        server_name: String,
        /// What is wrong.
        problem: String,
    },
}
