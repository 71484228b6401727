//! Candidate root causes in a total order. One file per method behind one trait.

pub mod correlation;
pub mod earliest_onset;
pub mod largest_change;
pub mod node_series;
mod page_rank;
pub mod random;
pub mod random_walk;
mod scored;
#[cfg(test)]
mod test_findings;
pub mod traversal;

use crate::detect::{Finding, Onset};
use crate::incident::Incident;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;

/// Where a failure may have begun.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Suspect {
    /// A service, database, queue or external dependency.
    Service(ServiceId),
    /// A call edge: network, proxy, connection pool.
    Edge {
        /// Who calls.
        caller: ServiceId,
        /// Who is called.
        callee: ServiceId,
    },
}

impl Suspect {
    /// The service that a team would be called for; for an edge, the callee.
    pub fn service(&self) -> &ServiceId {
        match self {
            Self::Service(service) | Self::Edge { callee: service, .. } => service,
        }
    }
}

/// From which kind of observation a piece of evidence comes. Evidence is capped per modality.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Modality {
    /// The service's own share of the symptom, by accounting along calls.
    Attribution,
    /// Resources inside the service.
    Resources,
    /// The service's own latency, errors, silence.
    Behaviour,
    /// Caller's less callee's time.
    Network,
    /// Correlation with the symptom over time.
    Correlation,
    /// Random walk along call edges.
    Walk,
    /// Order of onset.
    Onset,
}

/// One reason for or against a suspect.
#[derive(Clone, PartialEq, Debug)]
pub struct Evidence {
    /// Which kind.
    pub modality: Modality,
    /// Log-odds in bits that this adds to the suspect; negative speaks against it. Finite, capped.
    pub bits: f64,
    /// Index of the finding it rests on, where it rests on one.
    pub finding: Option<usize>,
}

/// One suspect with its score.
#[derive(Clone, PartialEq, Debug)]
pub struct Candidate {
    /// Who.
    pub suspect: Suspect,
    /// Score of the method: higher is more suspect; finite. Equal scores are ties.
    pub score: f64,
    /// Probability that this is the (first) cause, 0 to 1; with `Ranking::none_probability` these sum to 1.
    /// For methods without probabilities, the score's share.
    pub probability: f64,
    /// Share of the symptom's change that began here, 0 to 1, where accounting could tell.
    pub explained_share: Option<f64>,
    /// Earliest onset among its significant findings.
    pub onset: Option<Onset>,
    /// Why, strongest first.
    pub evidence: Vec<Evidence>,
}

/// What an analysis may conclude.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Verdict {
    /// The first candidate stands out.
    CauseFound,
    /// Nothing left its baseline: no cause to be found.
    NoAnomaly,
    /// Something did, but the evidence does not separate the candidates.
    CannotTell,
}

/// The measured change of the symptom at the entry.
#[derive(Clone, PartialEq, Debug)]
pub struct SymptomChange {
    /// Where.
    pub entry: ServiceId,
    /// What.
    pub symptom: Symptom,
    /// Typical value in the baseline: seconds, or a share of requests.
    pub baseline: f64,
    /// The same in the incident.
    pub incident: f64,
    /// Whether the change passes the gate.
    pub significant: bool,
}

/// Candidates, best first. Order: score, then earlier onset, then name.
#[derive(Clone, PartialEq, Debug)]
pub struct Ranking {
    /// Name of the method.
    pub method: &'static str,
    /// Conclusion.
    pub verdict: Verdict,
    /// The symptoms that were explained, the main one first.
    pub symptoms: Vec<SymptomChange>,
    /// Suspects in order.
    pub candidates: Vec<Candidate>,
    /// Number of leading candidates that are causes by themselves (several causes one after the other): 0 unless `CauseFound`.
    pub causes: usize,
    /// Probability that none of the candidates is the cause.
    pub none_probability: f64,
}

/// A method that orders suspects.
pub trait Ranker {
    /// Name on the command line and in tables.
    fn name(&self) -> &'static str;
    /// One line on what it does and where it was published.
    fn about(&self) -> &'static str;
    /// Orders the suspects of an incident. `findings` are those of [`crate::detect::detect`] for the same incident.
    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking;
}

/// All methods, in the order of tables.
pub fn registry() -> Vec<Box<dyn Ranker>> {
    vec![
        Box::new(correlation::Correlation),
        Box::new(traversal::Traversal),
        Box::new(random_walk::RandomWalk),
        Box::new(largest_change::LargestChange),
        Box::new(earliest_onset::EarliestOnset),
        Box::new(random::Random),
    ]
}
