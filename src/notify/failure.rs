//! What is said where an analysis failed: that there is no report, why, and what to do; with the report before, if any.

use crate::report::{Brief, markdown_text, terminal_text};

use super::content::Content;

/// Longest reason.
const PROBLEM: usize = 400;

/// An analysis that gave no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, in a line.
    pub problem: String,
    /// What to do, most useful first.
    pub next_steps: Vec<String>,
    /// When the incident began, Unix nanoseconds.
    pub starts_ns: i64,
    /// The report of an earlier analysis: it still says the most.
    pub before: Option<ReportBefore>,
}

/// A report that was made before an analysis failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportBefore {
    /// What and how sure, in a line.
    pub headline: String,
    /// The report as Markdown.
    pub markdown: String,
    /// The report as plain text.
    pub text: String,
}

impl Failure {
    /// The few sentences that there are.
    pub(super) fn brief(&self) -> Brief {
        let problem = terminal_text(&self.problem, PROBLEM);
        let (headline, reason) = match &self.before {
            Some(before) => (
                terminal_text(&before.headline, PROBLEM),
                format!("the last analysis failed; this is from the one before: {problem}"),
            ),
            None => ("no report, since the analysis failed".to_owned(), problem),
        };
        Brief {
            verdict: "no_report",
            headline,
            causes: Vec::new(),
            reason,
            symptoms: Vec::new(),
            window: String::new(),
            path: String::new(),
            evidence: Vec::new(),
            candidates: Vec::new(),
            changes: Vec::new(),
            next_steps: self.next_steps.iter().map(|step| terminal_text(step, PROBLEM)).collect(),
        }
    }

    /// The whole of it in Markdown, below the line that says which incident it is.
    pub(super) fn markdown(&self, content: &Content) -> String {
        let escaped = |text: &str| markdown_text(text, 1_000);
        let mut text = format!("## {}\n\n{}\n", escaped(&content.brief.headline), escaped(&content.brief.reason));
        for section in &content.sections {
            text.push_str(&format!("\n**{}**\n\n", escaped(&section.title)));
            section.lines.iter().for_each(|line| text.push_str(&format!("- {}\n", escaped(line))));
        }
        if let Some(before) = &self.before {
            text.push_str(&format!("\n{}", before.markdown));
        }
        text
    }

    /// The report before, as on a terminal; empty where there is none.
    pub(super) fn text(&self) -> String {
        self.before.as_ref().map(|before| before.text.clone()).unwrap_or_default()
    }
}
