//! Writes `case.toml`.

use std::fmt::Write;

use crate::telemetry::time::Window;
use crate::timespec::rfc3339;

/// What a `case.toml` is to say.
#[derive(Clone, Debug)]
pub struct CaseToWrite<'a> {
    /// Where it comes from, in one line without a break.
    pub comment: &'a str,
    /// Name for reports.
    pub name: &'a str,
    /// Where users felt it.
    pub entry: Option<&'a str>,
    /// `latency` or `errors`.
    pub symptom: Option<&'a str>,
    /// When users felt it.
    pub incident: Window,
    /// Normal operation.
    pub baselines: &'a [Window],
    /// The true cause, where it is known.
    pub truth: Option<TruthToWrite<'a>>,
}

/// The true cause, as somebody gave it.
#[derive(Clone, Debug)]
pub struct TruthToWrite<'a> {
    /// The service; `None` for a false alarm.
    pub service: Option<&'a str>,
    /// What was noted with it.
    pub description: &'a str,
}

impl CaseToWrite<'_> {
    /// The text of the file, for [`super::Case::read`].
    pub fn toml(&self) -> String {
        let mut text = format!("# {}\n", self.comment);
        let mut line = |line: String| writeln!(text, "{line}").expect("memory takes all that is written");
        line(format!("name = {}", quoted(self.name)));
        for (key, value) in [("entry", self.entry), ("symptom", self.symptom)] {
            if let Some(value) = value {
                line(format!("{key} = {}", quoted(value)));
            }
        }
        let baselines = self.baselines.iter().map(|window| ("[[baseline]]", window));
        for (title, window) in std::iter::once(("[incident]", &self.incident)).chain(baselines) {
            let (start, end) = (rfc3339(window.start_ns()), rfc3339(window.end_ns()));
            line(format!("\n{title}\nstart = {start}\nend = {end}"));
        }
        if let Some(TruthToWrite { service, description }) = &self.truth {
            line(match service {
                Some(service) => format!("\n[truth]\nservices = [{}]", quoted(service)),
                None => "\n[truth]\nnone = true".to_owned(),
            });
            if !description.is_empty() {
                line(format!("description = {}", quoted(description)));
            }
        }
        text
    }
}

/// A basic string of TOML 1.0: quotes, backslashes and control characters escaped.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_ascii_control() => {
                write!(quoted, "\\u{:04X}", u32::from(control)).expect("a string takes any text");
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
