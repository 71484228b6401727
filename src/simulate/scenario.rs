//! One incident, before it is played: the system, its load, what goes wrong, what telemetry will lack.

use super::fault::Fault;
use super::observe::Imperfections;
use super::plan::Plan;
use super::system::System;

/// A scenario. Playing it is a pure function of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Name of the case, `0007-slow-database-middle`.
    pub name: String,
    /// The system.
    pub system: System,
    /// Load, effects and deploys, the faults' and the red herrings'.
    pub plan: Plan,
    /// What goes wrong; none in a quiet case, two in a double one.
    pub faults: Vec<Fault>,
    /// What a quiet case or a red herring is, for people: `harmless-deploy`.
    pub herrings: Vec<String>,
    /// What telemetry lacks.
    pub imperfections: Imperfections,
}
