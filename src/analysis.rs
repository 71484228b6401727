//! The only place where the stages meet.

use std::borrow::Cow;

use crate::detect::guard::guarded;
use crate::detect::{self, Finding, detect};
use crate::explain::{Diagnosis, coverage, explain};
use crate::incident::Incident;
use crate::model;
use crate::rank::{Ranker, Ranking, fusion::Fusion, hypocenter::Hypocenter};

/// Settings of all stages.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Settings of detection.
    pub detect: detect::Settings,
    /// How our own method weighs its signs; the model that comes with the program unless another is given.
    pub fusion: Fusion,
}

impl Default for Settings {
    fn default() -> Self {
        Self { detect: detect::Settings::default(), fusion: model::builtin() }
    }
}

/// Finds where the incident began, by our own method. Pure: the same incident and settings give the same diagnosis.
pub fn analyze(incident: &Incident, settings: &Settings) -> Diagnosis {
    analyze_with(incident, &Hypocenter { fusion: settings.fusion }, settings)
}

/// What several methods say about one incident, in their order; detection runs once.
pub fn rankings(incident: &Incident, rankers: &[Box<dyn Ranker>], settings: &Settings) -> Vec<Ranking> {
    let (incident, findings) = compared(incident, settings);
    let incident = incident.as_ref();
    let factor = coverage(incident).factor;
    let ranked = rankers.iter().map(|ranker| {
        let mut ranking = ranker.rank(incident, &findings);
        ranking.lower_confidence(factor);
        ranking
    });
    ranked.collect()
}

/// Finds where the incident began, by any method.
pub fn analyze_with(incident: &Incident, ranker: &dyn Ranker, settings: &Settings) -> Diagnosis {
    let (incident, findings) = compared(incident, settings);
    let coverage = coverage(&incident);
    let mut ranking = ranker.rank(&incident, &findings);
    ranking.lower_confidence(coverage.factor);
    explain(&incident, &findings, ranking, coverage)
}

/// The findings, and the incident with the baselines that they were compared with.
fn compared<'i>(incident: &'i Incident, settings: &Settings) -> (Cow<'i, Incident>, Vec<Finding>) {
    let findings = detect(incident, &settings.detect);
    match guarded(incident, &findings, &settings.detect) {
        Some((shorter, found)) => (Cow::Owned(shorter), found),
        None => (Cow::Borrowed(incident), findings),
    }
}
