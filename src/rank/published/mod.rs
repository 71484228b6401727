//! The published methods that ours is compared with, each from its paper, by the same rules and on the same incident.
//!
//! | method | file | looks at |
//! | --- | --- | --- |
//! | N-sigma, BARO, epsilon-diagnosis, PRISM, SimpleRCA | one each | every metric by itself |
//! | ranked correlation, CIRCA, smooth traversal, MicroHECL | one each | the symptom's measure of every node, along calls |
//! | MicroRCA | `micro_rca.rs` | latencies of edges, resources of nodes |
//! | MicroRank, TraceRCA, ShapleyIQ | one each | requests by entry and time bin |
//!
//! Anomaly traversal and MonitorRank's random walk lie beside this folder (`traversal.rs`, `random_walk.rs`), for our
//! own method uses parts of them. What had to be adapted to an [`Incident`] is said with each method. Most of them
//! assume an alarm and cannot doubt: they name a cause when the symptom at the entry is anomalous.

mod acyclic;
pub mod baro;
mod change_points;
pub mod circa;
mod columns;
pub mod epsilon_diagnosis;
pub mod micro_hecl;
pub mod micro_rank;
pub mod micro_rca;
pub mod n_sigma;
pub mod prism;
pub mod ranked_correlation;
mod regression;
mod request_groups;
pub mod shapley_iq;
pub mod simple_rca;
pub mod smooth_traversal;
mod symptom_rows;
pub mod trace_rca;

use super::Ranker;
use super::node_series::SymptomSeries;
use crate::incident::Incident;

/// All of them, in the order of tables.
pub fn methods() -> Vec<Box<dyn Ranker>> {
    vec![
        Box::new(n_sigma::NSigma),
        Box::new(baro::Baro::Given),
        Box::new(baro::Baro::Detected),
        Box::new(epsilon_diagnosis::EpsilonDiagnosis),
        Box::new(prism::Prism),
        Box::new(simple_rca::SimpleRca),
        Box::new(ranked_correlation::RankedCorrelation),
        Box::new(circa::Circa),
        Box::new(smooth_traversal::SmoothTraversal),
        Box::new(micro_hecl::MicroHecl),
        Box::new(micro_rca::MicroRca),
        Box::new(micro_rank::MicroRank),
        Box::new(trace_rca::TraceRca),
        Box::new(shapley_iq::ShapleyIq),
    ]
}

/// Whether the symptom at the entry is anomalous by the rule of anomaly traversal.
fn alarm(incident: &Incident) -> bool {
    SymptomSeries::of(incident)
        .and_then(|symptom| symptom.change(&symptom.entry))
        .is_some_and(|change| change.abs() > super::traversal::ANOMALOUS)
}
