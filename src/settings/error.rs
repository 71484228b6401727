//! What can be wrong with a settings file: always with the file and the key.

use std::io;
use std::path::PathBuf;

use crate::notify::TemplateError;

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
    /// Not TOML, or a value of the wrong type.
    #[error("{}: not a valid settings file", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Fault,
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
    /// A template of a message that cannot be used.
    #[error("{}: the template cannot be used", path.display())]
    Template {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, with the line.
        source: TemplateError,
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

/// What the parser found, without the text that it found: a value in the wrong place may be a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}{}: {problem}", key.map(|key| format!(", key `{key}`")).unwrap_or_default())]
pub struct Fault {
    line: usize,
    column: usize,
    /// The key of that line, if it is one that a settings file may have.
    key: Option<&'static str>,
    problem: String,
}

impl Fault {
    /// What the parser says of a text.
    pub(super) fn new(text: &str, error: &toml::de::Error, mut known: impl Iterator<Item = &'static str>) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let key = line.split('=').next().unwrap_or_default().trim();
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            key: known.find(|word| *word == key),
            problem: without_values(error.message()),
        }
    }
}

/// The message of a parser without the value that it quotes.
fn without_values(message: &str) -> String {
    let is_of_value = message.starts_with("invalid type") || message.starts_with("invalid value");
    // A value may hold anything, the end of such a message does not: so its last part counts.
    match message.rsplit_once(", expected ") {
        Some((found, expected)) if is_of_value => {
            let found = found.split(['"', '`']).next().unwrap_or_default().trim_end();
            format!("{found}, expected {expected}")
        }
        _ => match (message.find('"'), message.rfind('"')) {
            (Some(from), Some(to)) if from < to => format!("{}\"…{}", &message[..from], &message[to..]),
            _ => message.to_owned(),
        },
    }
}

fn hint(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known are {}", known.join(", ")),
    }
}

/// The known word that one resembles so much that it may be a slip.
pub(super) fn nearest(word: &str, known: &[&str]) -> Option<String> {
    // Two letters that changed places are a slip in short words too, which have little in common by the other measure.
    let is_swapped = |known: &str| known.len() >= 3 && strsim::osa_distance(word, known) == 1;
    let score = |known: &&str| strsim::jaro_winkler(word, known).max(if is_swapped(known) { 0.9 } else { 0.0 });
    let best = known.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) >= 0.8).then(|| (*best).to_owned())
}
