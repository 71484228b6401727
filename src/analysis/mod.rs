//! The only place where the stages meet.

mod start;

use std::borrow::Cow;

use crate::detect::{self, Finding};
use crate::explain::{Coverage, Diagnosis, Shortfall, coverage, explain};
use crate::incident::Incident;
use crate::model;
use crate::rank::{Ranker, Ranking, fusion::Fusion, hypocenter::Hypocenter};

use start::{Compared, compared};

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
    let detected = Detected::of(incident, settings);
    let ranking = detected.ours();
    detected.explained(ranking)
}

/// Finds where the incident began, by any method.
pub fn analyze_with(incident: &Incident, ranker: &dyn Ranker, settings: &Settings) -> Diagnosis {
    let detected = Detected::of(incident, settings);
    let ranking = detected.ranking(ranker);
    detected.explained(ranking)
}

/// What detection found in an incident: where every method starts, so that several can be asked for one detection.
pub struct Detected<'i> {
    /// In the windows that were compared.
    incident: Cow<'i, Incident>,
    findings: Vec<Finding>,
    ours: Ranking,
    coverage: Coverage,
}

impl<'i> Detected<'i> {
    /// Runs detection: in the windows as given or, where these leave our own method unsure, in those of a likelier start.
    pub fn of(incident: &'i Incident, settings: &Settings) -> Self {
        let ours = Hypocenter { fusion: settings.fusion };
        let Compared { moved, findings, ranking: ours } = compared(incident, &ours, &settings.detect);
        let incident = moved.map_or(Cow::Borrowed(incident), Cow::Owned);
        let mut coverage = coverage(&incident);
        if let Cow::Owned(_) = incident {
            coverage.deduct(Shortfall::OtherWindows, start::REMAINS);
        }
        Self { incident, findings, ours, coverage }
    }

    /// What our own method says, as sure as the telemetry lets it be.
    pub fn ours(&self) -> Ranking {
        self.as_sure_as_may_be(self.ours.clone())
    }

    /// The same of any method.
    pub fn ranking(&self, ranker: &dyn Ranker) -> Ranking {
        self.as_sure_as_may_be(ranker.rank(&self.incident, &self.findings))
    }

    fn as_sure_as_may_be(&self, mut ranking: Ranking) -> Ranking {
        ranking.lower_confidence(self.coverage.factor);
        ranking
    }

    fn explained(self, ranking: Ranking) -> Diagnosis {
        explain(&self.incident, &self.findings, ranking, self.coverage)
    }
}
