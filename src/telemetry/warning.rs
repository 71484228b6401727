//! What was odd or skipped, carried to the reader of the report. Nothing is dropped silently.

use std::fmt;

/// Something that the reader of a report should know about its input.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct Warning {
    /// File, or stage where there is no file.
    pub source: String,
    /// Where in the source: line, byte or row, with the field; empty when the whole source is meant.
    pub place: String,
    /// What is wrong and what to do, a lower-case fragment without full stop.
    pub message: String,
    /// How many records were skipped or are affected.
    pub affected: u64,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if !self.place.is_empty() {
            write!(f, ", {}", self.place)?;
        }
        write!(f, ": {}", self.message)?;
        if self.affected > 1 {
            write!(f, " ({} times)", self.affected)?;
        }
        Ok(())
    }
}

/// An error with all its causes, on one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
