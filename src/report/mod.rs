//! A diagnosis for readers: text for the terminal, Markdown for tickets, JSON for programs. One file per format.
//!
//! Whatever comes from telemetry is hostile text and passes through `escape`; whatever is a number passes through
//! `explain::numbers`. The formats differ in form, not in content: what is cut short in one for its readers is complete in JSON.

mod bounded_json;
mod brief;
mod coverage;
mod coverage_json;
mod escape;
mod graph;
mod json;
mod markdown;
pub(crate) mod page;
mod text;
mod wording;

use std::io;

use crate::explain::Diagnosis;

pub use brief::{Brief, BriefCause};
pub use graph::{GraphFormat, write_graph};

/// The form of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For a terminal.
    Text {
        /// Whether to use ANSI colours. Nothing is said by colour alone.
        colour: bool,
        /// Columns to fit; at least 80 are used.
        width: usize,
    },
    /// For a ticket: GitHub-flavoured Markdown with a Mermaid graph of the path.
    Markdown,
    /// For programs: one object, described by [`JSON_SCHEMA`].
    Json,
}

/// Columns that a text report fits when nothing better is known.
pub const DEFAULT_WIDTH: usize = 100;

/// The JSON Schema (draft 2020-12) of the JSON report. Its version is the report's `schema_version`; fields may be
/// added within a version, so that a reader ignores what it does not know.
pub const JSON_SCHEMA: &str = include_str!("schema-v1.json");

/// Writes the whole report, ending in a line break. The same diagnosis gives the same bytes.
///
/// # Errors
/// Those of `out`.
pub fn write(diagnosis: &Diagnosis, format: Format, out: &mut dyn io::Write) -> io::Result<()> {
    match format {
        Format::Text { colour, width } => text::write(diagnosis, colour, width.max(80), out),
        Format::Markdown => markdown::write(diagnosis, &[], out),
        Format::Json => json::write(diagnosis, out),
    }
}

/// What someone else has to say beside a report: a short list with a title.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// What the lines are.
    pub title: &'a str,
    /// May hold telemetry's names: they are escaped as the report itself.
    pub lines: &'a [String],
}

/// The report in Markdown with notes below its first table.
pub(crate) fn markdown_with(diagnosis: &Diagnosis, notes: &[Note<'_>]) -> String {
    let mut out = Vec::new();
    markdown::write(diagnosis, notes, &mut out).expect("writing to memory does not fail");
    String::from_utf8(out).expect("a report is text")
}

/// The whole report as one text.
pub fn to_text(diagnosis: &Diagnosis, format: Format) -> String {
    let mut bytes = Vec::new();
    write(diagnosis, format, &mut bytes).expect("memory takes all that is written");
    String::from_utf8(bytes).expect("reports are text")
}

/// Writes pretty JSON in which no string is longer than 4096 bytes and a mark; see [`JSON_SCHEMA`].
pub(crate) fn write_bounded_json<T: serde::Serialize>(value: &T, out: &mut dyn io::Write) -> io::Result<()> {
    bounded_json::write(value, out)
}

/// Makes foreign text safe in Markdown, in a sentence as in a table's cell: nothing in it is markup.
pub(crate) fn markdown_text(text: &str, limit: usize) -> String {
    escape::markdown(text, limit)
}

/// Makes foreign text safe in Slack's mrkdwn, within a line.
pub(crate) fn slack_text(text: &str, limit: usize) -> String {
    escape::slack(text, limit)
}

/// Makes foreign text safe in Jira's wiki markup, within a line.
pub(crate) fn jira_text(text: &str, limit: usize) -> String {
    escape::jira(text, limit)
}

/// Makes foreign text safe to print on a terminal: one line, no control sequences, at most `limit` characters.
pub fn terminal_text(text: &str, limit: usize) -> String {
    escape::terminal(text, limit)
}
