//! The only place where the stages meet.

use crate::explain::Diagnosis;
use crate::incident::Incident;

/// Settings of all stages.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Name of the ranking method; `None` is our own.
    pub method: Option<String>,
}

/// Finds where the incident began. Pure: the same incident and settings give the same diagnosis.
pub fn analyze(_incident: &Incident, _settings: &Settings) -> Diagnosis {
    todo!()
}
