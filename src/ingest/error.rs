//! What can go wrong while files are opened and read, always with the file and the place in it.

use std::io;
use std::path::{Path, PathBuf};

use super::guess::Guess;
use crate::telemetry::warning::{Warning, with_causes};

/// Why a file, or the rest of a file, could not be read.
///
/// A format's `read` returns one of these only when it cannot go on; what it had read until then is kept, and the
/// frame turns the error into a [`Warning`]. Single bad records are skipped with `Telemetry::skip` instead.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The path names neither a file nor a folder, and no file matches it as a pattern.
    #[error("{}: no such file or folder, and no file matches it as a pattern", path.display())]
    Missing {
        /// As the user wrote it.
        path: PathBuf,
    },
    /// The path is no valid pattern.
    #[error("{}: not a valid pattern", path.display())]
    Pattern {
        /// As the user wrote it.
        path: PathBuf,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// The operating system or the decompressor could not deliver the bytes.
    #[error("{}, {place}: cannot be read further", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Line or byte up to which it could be read.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than the limit of [`super::ReadOptions::max_file_bytes`].
    #[error("{}, {place}: holds more than {limit} bytes uncompressed; split it, or unfold it if it is compressed", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Line or byte up to which it was read.
        place: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// No format recognises the content.
    #[error("{}: not recognised: it looks like {}; {}", path.display(), guess.looks_like, guess.advice)]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        guess: Guess,
    },
    /// The content is not what its format demands, so that the rest of the file is lost.
    #[error("{}, {place}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line or byte, with the field where there is one: ``line 3, field `spans` ``.
        place: String,
        /// What is wrong and what to do, a lower-case fragment.
        problem: String,
    },
    /// A table lacks a column without which it cannot be read.
    #[error("{}: no column for {field} (columns: {seen}); name it with the column mapping", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// What the column would hold.
        field: String,
        /// The columns that there are, joined by commas.
        seen: String,
    },
}

impl IngestError {
    /// An error of the stream of bytes at `place`; knows the limit's own error from the system's.
    pub(crate) fn io(path: &Path, place: impl ToString, source: io::Error) -> Self {
        let path = path.to_owned();
        let place = place.to_string();
        match source.get_ref().and_then(|e| e.downcast_ref::<LimitReached>()) {
            Some(&LimitReached { limit }) => Self::TooLarge { path, place, limit },
            None => Self::Io { path, place, source },
        }
    }

    /// The rest of the file cannot be read for `problem` at `place`.
    pub(crate) fn malformed(path: &Path, place: impl ToString, problem: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), place: place.to_string(), problem: problem.to_string() }
    }

    /// The file that the error speaks of.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Pattern { path, .. }
            | Self::Io { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Unrecognised { path, .. }
            | Self::Malformed { path, .. }
            | Self::MissingColumn { path, .. } => path,
        }
    }

    /// The same as a warning, for a file whose failure must not stop the others.
    pub(crate) fn to_warning(&self) -> Warning {
        let path = self.path().display().to_string();
        let place = match self {
            Self::Io { place, .. } | Self::TooLarge { place, .. } | Self::Malformed { place, .. } => place.clone(),
            Self::Missing { .. } | Self::Pattern { .. } | Self::Unrecognised { .. } | Self::MissingColumn { .. } => {
                String::new()
            }
        };
        let whole = with_causes(self);
        // The texts above begin with file and place, which a warning carries apart.
        let rest = whole.strip_prefix(path.as_str()).unwrap_or(&whole);
        let rest = rest.strip_prefix(", ").and_then(|r| r.strip_prefix(place.as_str())).unwrap_or(rest);
        let message = rest.strip_prefix(": ").unwrap_or(rest).to_owned();
        Warning { source: path, place, message, affected: 1 }
    }
}

/// Carried inside an [`io::Error`] by a stream that was cut at its limit.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} bytes")]
pub(crate) struct LimitReached {
    pub(crate) limit: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_carries_file_place_and_the_whole_chain_of_causes() {
        let error = IngestError::io(Path::new("a/b.json"), "line 7", io::Error::other("disk on fire"));
        let warning = error.to_warning();
        assert_eq!(warning.to_string(), "a/b.json, line 7: cannot be read further: disk on fire");

        let limited = IngestError::io(Path::new("b.gz"), "byte 9", io::Error::other(LimitReached { limit: 5 }));
        assert_eq!(
            limited.to_warning().to_string(),
            "b.gz, byte 9: holds more than 5 bytes uncompressed; split it, or unfold it if it is compressed"
        );
        let malformed = IngestError::malformed(Path::new("c"), "byte 2, field `spans`", "must be a list");
        assert_eq!(malformed.to_warning().to_string(), malformed.to_string());
    }
}
