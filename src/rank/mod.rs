//! Candidate root causes in a total order. One file per method behind one trait.

pub(crate) mod answers;
pub(crate) mod attribution;
pub(crate) mod caller_side;
pub mod correlation;
pub(crate) mod crowding;
pub(crate) mod demand;
pub mod earliest_onset;
pub(crate) mod evidence;
mod failures;
pub mod fusion;
pub(crate) mod hearsay;
pub mod hypocenter;
pub(crate) mod inside;
pub mod largest_change;
pub(crate) mod network;
pub mod node_series;
mod page_rank;
pub(crate) mod phase;
pub mod published;
pub mod random;
pub mod random_walk;
mod scored;
mod signs;
pub mod single;
#[cfg(test)]
mod test_findings;
pub mod traversal;
mod without_calls;

use std::collections::BTreeMap;

use fusion::Fusion;

use crate::detect::{Finding, Onset};
use crate::incident::Incident;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Signal;

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
    /// Calls that vanished or appeared.
    Structure,
    /// Order of onset.
    Onset,
    /// What the service logs after what, and which messages are new or gone.
    Logs,
    /// A deploy, flag or other change of the service shortly before: a prior, never proof.
    Changes,
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

impl Candidate {
    /// Whether anything speaks for it that is more than a hint.
    pub(crate) fn is_evident(&self) -> bool {
        self.score > 0.0 && !self.is_hint()
    }

    /// Whether all that speaks for it is a hint, which orders services about which nothing is sure and is no evidence.
    /// Methods that give no evidence give no hints.
    pub fn is_hint(&self) -> bool {
        !self.evidence.is_empty() && self.score < fusion::HINT_BITS
    }
}

/// What an analysis may conclude.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Verdict {
    /// The first candidate stands out.
    CauseFound,
    /// Nothing left its baseline: no cause to be found.
    NoAnomaly,
    /// Something did, but the evidence does not separate the candidates; or nothing that users feel was measured in both
    /// windows, so that there is nothing to compare.
    CannotTell,
}

impl Verdict {
    /// As it stands in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::CauseFound => "cause_found",
            Self::NoAnomaly => "no_anomaly",
            Self::CannotTell => "cannot_tell",
        }
    }
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

impl Ranking {
    /// Lowers the confidence by a factor of 0 to 1 for what the telemetry could not show: the probability taken from
    /// the candidates goes to "none", and a cause that is no longer likelier than not becomes [`Verdict::CannotTell`].
    pub fn lower_confidence(&mut self, factor: f64) {
        let factor = factor.clamp(0.0, 1.0);
        let before = self.causes_probability();
        for candidate in &mut self.candidates {
            candidate.probability *= factor;
        }
        self.none_probability = 1.0 - (1.0 - self.none_probability) * factor;
        let after = self.causes_probability();
        // Methods that name a cause on a small share of a score stand by it.
        let withdrawn = before >= CAUSE_PROBABILITY && after < CAUSE_PROBABILITY;
        if self.verdict == Verdict::CauseFound && withdrawn {
            self.verdict = Verdict::CannotTell;
            self.causes = 0;
        }
    }

    /// Probability that the named causes are causes: that of all of them together, for each excludes none of the others.
    fn causes_probability(&self) -> f64 {
        self.candidates.iter().take(self.causes.max(1)).map(|c| c.probability).sum()
    }
}

/// The probability from which on the first candidate is called the cause: likelier than not.
pub(crate) const CAUSE_PROBABILITY: f64 = 0.5;

/// A method that orders suspects.
pub trait Ranker {
    /// Name on the command line and in tables.
    fn name(&self) -> &'static str;
    /// One line on what it does and where it was published.
    fn about(&self) -> &'static str;
    /// Orders the suspects of an incident. `findings` are those of [`crate::detect::detect`] for the same incident.
    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking;
}

/// Every method, our own first, which weighs its signs by `fusion`. The names are those of the command line and of tables.
pub fn registry(fusion: Fusion) -> Vec<Box<dyn Ranker>> {
    let mut methods: Vec<Box<dyn Ranker>> = vec![
        Box::new(hypocenter::Hypocenter { fusion }),
        Box::new(single::ATTRIBUTION),
        Box::new(single::NETWORK_GAP),
        Box::new(single::INSIDE),
    ];
    methods.extend(published::methods());
    let more: [Box<dyn Ranker>; 6] = [
        Box::new(correlation::Correlation),
        Box::new(traversal::Traversal),
        Box::new(random_walk::RandomWalk),
        Box::new(largest_change::LargestChange),
        Box::new(earliest_onset::EarliestOnset),
        Box::new(random::Random),
    ];
    methods.extend(more);
    methods
}

/// The method of that name.
pub fn by_name(name: &str, fusion: Fusion) -> Option<Box<dyn Ranker>> {
    registry(fusion).into_iter().find(|r| r.name() == name)
}

/// Puts candidates in order: higher score, then earlier onset, then name.
pub(crate) fn order(candidates: &mut [Candidate]) {
    let onset = |c: &Candidate| c.onset.map_or(i64::MAX, |o| o.at_ns);
    candidates.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| onset(a).cmp(&onset(b))).then_with(|| a.suspect.cmp(&b.suspect))
    });
}

/// Whether anything that users feel was measured in both windows: only then can nothing have changed.
pub(crate) fn is_felt_measured(findings: &[Finding]) -> bool {
    let felt = |f: &&Finding| matches!(f.signal, Signal::Latency | Signal::ErrorRatio | Signal::OriginErrorRatio);
    findings.iter().filter(felt).any(|f| f.n_baseline > 0 && f.n_incident > 0)
}

/// The earliest onset among the significant findings about each service.
pub(crate) fn earliest_onsets(findings: &[Finding]) -> BTreeMap<&ServiceId, Onset> {
    let mut earliest: BTreeMap<&ServiceId, Onset> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.significant) {
        let Some(onset) = finding.onset else { continue };
        let known = earliest.entry(finding.subject.service()).or_insert(onset);
        if (onset.at_ns, onset.uncertainty_ns) < (known.at_ns, known.uncertainty_ns) {
            *known = onset;
        }
    }
    earliest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking() -> Ranking {
        let candidate = |name: &str, probability: f64| Candidate {
            suspect: Suspect::Service(name.into()),
            score: probability,
            probability,
            explained_share: None,
            onset: None,
            evidence: Vec::new(),
        };
        Ranking {
            method: "test",
            verdict: Verdict::CauseFound,
            symptoms: Vec::new(),
            candidates: vec![candidate("a", 0.6), candidate("b", 0.2)],
            causes: 1,
            none_probability: 0.2,
        }
    }

    #[test]
    fn lowered_confidence_still_sums_to_one() {
        let mut ranking = ranking();
        ranking.lower_confidence(0.9);
        let sum: f64 = ranking.candidates.iter().map(|c| c.probability).sum::<f64>() + ranking.none_probability;
        assert!((sum - 1.0).abs() < 1e-12);
        assert_eq!(ranking.verdict, Verdict::CauseFound);
    }

    #[test]
    fn a_cause_no_longer_likelier_than_not_is_withdrawn() {
        let mut ranking = ranking();
        ranking.lower_confidence(0.5);
        assert_eq!((ranking.verdict, ranking.causes), (Verdict::CannotTell, 0));
    }

    #[test]
    fn ties_go_to_the_earlier_onset_then_to_the_name() {
        let mut candidates = ranking().candidates;
        for candidate in &mut candidates {
            candidate.score = 1.0;
        }
        order(&mut candidates);
        assert_eq!(candidates[0].suspect.service().as_str(), "a");
        candidates[1].onset = Some(Onset { at_ns: 5, uncertainty_ns: 1 });
        order(&mut candidates);
        assert_eq!(candidates[0].suspect.service().as_str(), "b");
    }
}
