//! What the flag to which a file was given says of it, where the content alone leaves that open.
//!
//! A time, a service and a message are a log record and a change alike: whoever gives the file to `--changes` knows.

use super::csv_table::header;
use super::{Format, Guess, Head, changes, log_csv, log_json};

/// What a file was said to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Changes.
    Changes,
    /// Log records.
    Logs,
}

impl Expected {
    /// The format to read the file as, where its content was recognised as `sniffed`. A content that can be no other
    /// thing (OTLP, a table of spans) stays what it is.
    pub(super) fn format(self, head: &Head<'_>, sniffed: Option<Format>) -> Option<Format> {
        let is_json =
            head.bytes.trim_ascii_start().starts_with(b"{") || head.bytes.trim_ascii_start().starts_with(b"[");
        let is_open = match self {
            Self::Changes => {
                matches!(sniffed, None | Some(Format::LogJson | Format::LogCsv | Format::SeriesCsv))
            }
            Self::Logs => {
                matches!(sniffed, None | Some(Format::ChangesJson | Format::ChangesCsv | Format::SeriesCsv))
            }
        };
        let format = match self {
            _ if !is_open => None,
            // Entries that are no changes are told one by one, with what they lack.
            Self::Changes if is_json => Some(Format::ChangesJson),
            Self::Changes => changes::could_be_csv(&header(head)).then_some(Format::ChangesCsv),
            Self::Logs if is_json => log_json::could_be(head).then_some(Format::LogJson),
            Self::Logs => log_csv::could_be(&header(head)).then_some(Format::LogCsv),
        };
        format.or(sniffed)
    }

    /// The guess at an unrecognised file, with advice for what was expected instead of for spans.
    pub(super) fn mend(self, mut guess: Guess) -> Guess {
        if guess.advice.contains("--span-columns") {
            guess.advice = match self {
                Self::Changes => {
                    "a list of changes needs a time and what was changed (`time`, `service`, `version`, `title`)"
                }
                Self::Logs => "log records need a time, a message and a service (`time`, `message`, `service`)",
            }
            .to_owned();
        }
        guess
    }
}
