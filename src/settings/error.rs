//! What can be wrong with a settings file: always with the file and the key.

use std::io;
use std::path::PathBuf;

/// Why a settings file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not TOML, or a value of the wrong type; the message of the parser names line and key.
    #[error("{}: not a valid settings file", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key that means nothing.
    #[error("{}: unknown key `{key}`; {}", path.display(), hint(nearest.as_deref(), known))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key with the tables that it is in.
        key: String,
        /// The known key that it resembles.
        nearest: Option<String>,
        /// The keys that may stand there.
        known: Vec<&'static str>,
    },
    /// A word that is none of those that the key takes.
    #[error("{}: key `{key}`: unknown value `{value}`; {}", path.display(), hint(nearest.as_deref(), known))]
    UnknownValue {
        /// Which file.
        path: PathBuf,
        /// The key with the tables that it is in.
        key: String,
        /// What was written.
        value: String,
        /// The known word that it resembles.
        nearest: Option<String>,
        /// The words that it may be.
        known: Vec<&'static str>,
    },
    /// A value that makes no sense.
    #[error("{}: key `{key}`: {problem}", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// The key with the tables that it is in.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

fn hint(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known are {}", known.join(", ")),
    }
}

/// The known word that one resembles so much that it may be a slip.
pub(super) fn nearest(word: &str, known: &[&str]) -> Option<String> {
    let score = |known: &&str| strsim::jaro_winkler(word, known);
    let best = known.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) >= 0.8).then(|| (*best).to_owned())
}
