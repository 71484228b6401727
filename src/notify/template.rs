//! Templates of webhooks (Jinja, as MiniJinja has it): checked when the settings are read, strict about names.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

/// Steps that a template may take: far more than any message needs, and an end to loops that have none.
const FUEL: u64 = 1_000_000;

/// A template of a message, known to be readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
}

/// What is wrong with a template, with its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl TemplateError {
    /// What is wrong with what a template makes.
    pub(super) fn other(problem: String) -> Self {
        Self(problem)
    }
}

impl Template {
    /// Reads the text of a template.
    ///
    /// # Errors
    /// [`TemplateError`] when it is none.
    pub fn parse(text: String) -> Result<Self, TemplateError> {
        environment().template_from_str(&text).map_err(|error| wrong(&error))?;
        Ok(Self { text })
    }

    /// Fills it in. Names that are not among the fields are errors; nothing is escaped but by `tojson`.
    ///
    /// # Errors
    /// [`TemplateError`] with the line.
    pub(super) fn render(&self, fields: &impl Serialize) -> Result<String, TemplateError> {
        environment().render_str(&self.text, Serde(fields)).map_err(|error| wrong(&error))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_name| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment
}

fn wrong(error: &minijinja::Error) -> TemplateError {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    TemplateError(format!("{line}{}{detail}", error.kind()))
}
