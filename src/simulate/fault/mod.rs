//! What goes wrong: kinds of faults, how severe, how sudden, and which service is the cause.

use super::plan::{Deploy, Effect};
use super::recording::ChangeRecord;
use super::system::ServiceIdx;

/// How much of a fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Hardly felt; no alert is certain.
    Subtle,
    /// Users notice, alerts fire.
    Middle,
    /// Many requests are slow or fail.
    Severe,
    /// Nothing works any more at the place of the fault.
    Total,
}

/// How a fault begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Onset {
    /// At once.
    Sudden,
    /// Over some minutes.
    Creeping,
}

/// One fault in one system.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// Name of its kind, `slow-database`.
    pub kind: &'static str,
    /// How much.
    pub severity: Severity,
    /// How it begins.
    pub onset: Onset,
    /// When it begins, Unix ns.
    pub from_ns: i64,
    /// Services of which each is a right answer to "where did it begin".
    pub causes: Vec<ServiceIdx>,
    /// What happens, in a sentence for people.
    pub description: String,
    /// What it does to the world.
    pub effects: Vec<Effect>,
    /// Deploys that belong to it.
    pub deploys: Vec<Deploy>,
    /// Changes that someone recorded with it (settings, flags).
    pub changes: Vec<ChangeRecord>,
}
