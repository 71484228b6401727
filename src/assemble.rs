//! From telemetry and windows to a checked [`Incident`].

use crate::incident::{Incident, IncidentError};
use crate::ingest::Telemetry;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::Window;

/// Which windows of the telemetry to analyse, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Name for the report.
    pub name: String,
    /// When users felt it.
    pub window: Window,
    /// Normal operation.
    pub baselines: Vec<Window>,
    /// Where users felt it; `None` looks for it.
    pub entry: Option<ServiceId>,
    /// What they felt; `None` looks at both.
    pub symptom: Option<Symptom>,
}

/// Aggregates the spans of the windows and checks everything against everything.
///
/// # Errors
/// [`IncidentError`] for a mistake that no analysis can mend.
pub fn assemble(_telemetry: Telemetry, _request: Request) -> Result<Incident, IncidentError> {
    todo!()
}
