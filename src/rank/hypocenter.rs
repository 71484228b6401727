//! Our own method: attribution along calls, network by endpoint, evidence from inside and from logs, joined in bits.
//!
//! The recommended engine of the design's algorithms, section 1: signs of each service (`signs.rs`), joined to scores
//! and probabilities (`fusion.rs`); here they become a verdict and causes.

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::{self, Account};
use super::caller_side::CallerSide;
use super::crowding::Crowding;
use super::evidence::logs::{self, LogChange};
use super::evidence::machine::{self, Contention};
use super::fusion::{CAP, Fusion};
use super::signs::{self, Signs};
use super::{
    CAUSE_PROBABILITY, Candidate, Ranker, Ranking, SymptomChange, Verdict, is_felt_measured, network, node_series,
    order,
};
use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};

/// A further cause must explain at least this share of the symptom by itself, …
const FURTHER_SHARE: f64 = 0.25;
/// … and stand this many scales off its baseline.
const FURTHER_Z: f64 = 6.0;
/// Bits under which a candidate has no evidence worth the name.
const NO_EVIDENCE_BITS: f64 = 1.0;

/// The method `hypocenter`.
#[derive(Clone, Copy, Debug)]
pub struct Hypocenter {
    /// How its signs are weighed.
    pub fusion: Fusion,
}

impl Hypocenter {
    /// Its name on the command line and in tables.
    pub const NAME: &'static str = "hypocenter";
}

impl Ranker for Hypocenter {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn about(&self) -> &'static str {
        "our own: self-contribution accounting along calls, network gaps by endpoint, evidence from inside a service"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let side = CallerSide::of(incident);
        let crowding = Crowding::of(incident, findings);
        let accounts = accounts(incident, findings, &side, &crowding);
        let signs = Signs::new(incident, findings, &accounts, &side, &crowding);
        let mut candidates: Vec<Candidate> =
            incident.services().iter().map(|service| signs.candidate(service, &accounts)).collect();
        let symptoms: Vec<SymptomChange> = accounts.iter().map(|account| account.change.clone()).collect();
        let none_probability = self.fusion.join(incident, &symptoms, &mut candidates);
        let causes = move_causes_first(&mut candidates, &accounts);
        let entry = node_series::entry(incident);
        let verdict = verdict(&candidates[..causes], &accounts, findings, entry.as_ref());
        let causes = if verdict == Verdict::CauseFound { causes } else { 0 };
        if causes == 0 {
            order(&mut candidates);
        }
        Ranking { method: self.name(), verdict, symptoms, candidates, causes, none_probability }
    }
}

/// The accounts of the symptoms that are known or possible, the one that changed most first.
fn accounts(incident: &Incident, findings: &[Finding], side: &CallerSide, crowding: &Crowding) -> Vec<Account> {
    let symptoms = match incident.symptom {
        Some(symptom) => vec![symptom],
        None => vec![Symptom::Latency, Symptom::Errors],
    };
    let account = |symptom| attribution::account(incident, findings, side, crowding, symptom);
    let mut accounts: Vec<Account> = symptoms.into_iter().filter_map(account).collect();
    accounts.sort_by(|a, b| b.z.total_cmp(&a.z).then_with(|| a.change.symptom.cmp(&b.change.symptom)));
    accounts
}

/// Share of the usual requests below which an entry has fallen silent.
const SILENT_SHARE: f64 = 0.05;

/// The verdict on the leading candidates, which are causes if any is.
fn verdict(leading: &[Candidate], accounts: &[Account], findings: &[Finding], entry: Option<&ServiceId>) -> Verdict {
    let score = leading.first().map_or(0.0, |c| c.score);
    // Where no service shows anything each may be the cause, and none is named.
    let probability: f64 = leading.iter().filter(|c| c.is_evident()).map(|c| c.probability).sum();
    let gate = accounts.iter().any(|a| a.change.significant);
    let anything = gate || findings.iter().any(|f| f.significant);
    // Where nobody asks any more, there is neither latency nor an error to account for, and yet it is an incident.
    let vanished = |f: &Finding| f.significant && f.change == Change::Vanished && f.signal == Signal::Requests;
    let whole = |f: &Finding| matches!(f.subject, Subject::Service(_));
    let nobody_asks = accounts.is_empty() && findings.iter().any(|f| vanished(f) && whole(f));
    // The few requests before the silence fell tell nothing of those that did not come.
    let fell_silent = |f: &Finding| {
        let at_entry = entry.is_some_and(|entry| matches!(&f.subject, Subject::Service(service) if service == entry));
        f.significant && f.signal == Signal::Requests && at_entry && f.incident < SILENT_SHARE * f.baseline
    };
    let silence = nobody_asks || findings.iter().any(fell_silent);
    if probability >= CAUSE_PROBABILITY {
        Verdict::CauseFound
    } else if accounts.is_empty() && !is_felt_measured(findings) {
        Verdict::CannotTell
    } else if !anything || (score < NO_EVIDENCE_BITS && !gate && !silence) {
        Verdict::NoAnomaly
    } else {
        Verdict::CannotTell
    }
}

/// Several causes one after the other: after the first, whoever by itself explains a good part of what is left.
/// Contributions exclude what is inherited, so taking one away leaves the others as they are.
///
/// The causes are moved to the front in order of their score; their number is returned, one where only the first can be
/// a cause (0 without candidates). Where accounting does not bear the first out, the others are its rivals.
fn move_causes_first(candidates: &mut [Candidate], accounts: &[Account]) -> usize {
    let mut strong: BTreeSet<&ServiceId> = BTreeSet::new();
    for account in accounts.iter().filter(|a| a.change.significant) {
        for (contribution, share) in account.shares() {
            if contribution.z >= FURTHER_Z && share >= FURTHER_SHARE {
                strong.insert(contribution.suspect.service());
            }
        }
    }
    let Some(first) = candidates.first() else { return 0 };
    let mut causes = 1;
    if strong.contains(first.suspect.service()) {
        for at in 1..candidates.len() {
            if strong.contains(candidates[at].suspect.service()) && candidates[at].score >= CAP {
                candidates[causes..=at].rotate_right(1);
                causes += 1;
            }
        }
    }
    causes
}

/// How much of a symptom's rise begins in each service.
pub(crate) struct OwnParts {
    /// The symptom.
    pub(crate) change: SymptomChange,
    /// Its rise per entering request, seconds or failures.
    pub(crate) rise: f64,
    /// Own parts of that.
    pub(crate) parts: BTreeMap<ServiceId, f64>,
}

/// How the logs of each service changed, as far as the ranking counts it.
pub(crate) fn log_changes(incident: &Incident) -> BTreeMap<ServiceId, LogChange> {
    logs::changes(incident, CAP)
}

/// Workloads outside of the call graph that fill the machine of others, as far as the ranking counts it.
pub(crate) fn contentions(incident: &Incident, findings: &[Finding]) -> BTreeMap<ServiceId, Contention> {
    machine::contentions(incident, findings, CAP)
}

/// For each symptom: its change, and how much of it begins in each service (edges folded as in the ranking).
pub(crate) fn own_parts(incident: &Incident, findings: &[Finding]) -> Vec<OwnParts> {
    let network = network::endpoints(findings, CAP);
    accounts(incident, findings, &CallerSide::of(incident), &Crowding::of(incident, findings))
        .into_iter()
        .map(|account| {
            let mut parts: BTreeMap<ServiceId, f64> = BTreeMap::new();
            for contribution in &account.contributions {
                *parts.entry(signs::blamed(&contribution.suspect, &network).clone()).or_default() +=
                    contribution.delta();
            }
            OwnParts { change: account.change, rise: account.rise, parts }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::telemetry::calls::{CallKey, CallNode, CallRow, CallStats, Entry};

    use crate::telemetry::sketch::Sketch;
    use crate::telemetry::time::{Grid, NANOS_PER_SECOND, Window};
    use crate::telemetry::topology::{EdgeMode, NodeKind};

    const MINUTE: i64 = 60 * NANOS_PER_SECOND;
    const BASELINE_BINS: i64 = 20;
    const INCIDENT_BINS: i64 = 5;

    /// A frontend that calls `services` one after the other, 60 requests a minute. For each the milliseconds that a call
    /// takes before and during the incident; all of it its own.
    fn incident(services: &[(&str, u64, u64)], symptom: Option<Symptom>) -> Incident {
        let mut nodes: Vec<CallNode> = services
            .iter()
            .map(|s| s.0)
            .chain(["frontend"])
            .map(|name| CallNode { id: name.into(), kind: NodeKind::Service })
            .collect();
        nodes.sort();
        let node = |name: &str| nodes.iter().position(|n| n.id == name.into()).expect("it is listed") as u32;
        let mut rows = Vec::new();
        for bin in 0..BASELINE_BINS + INCIDENT_BINS {
            let during = bin >= BASELINE_BINS;
            // Half a millisecond up and down is the noise.
            let noise_us = if bin % 2 == 0 { 500 } else { 0 };
            let mut total_us = 0;
            for (name, before_ms, during_ms) in services {
                let own_us = if during { during_ms * 1000 } else { before_ms * 1000 + noise_us };
                total_us += own_us;
                rows.push(row(Some(node("frontend")), node(name), bin, own_us, own_us));
            }
            rows.push(row(None, node("frontend"), bin, total_us + 5000, 5000));
        }
        rows.sort_by_key(|r| r.key);
        let entries = vec![Entry { service: node("frontend"), operation: 0 }];
        let operations = vec!["GET /".to_owned()];
        let calls = CallStats { nodes, operations, entries, rows, ..CallStats::empty(Grid::new(MINUTE)) };
        Incident::new(IncidentParts {
            name: "test".to_owned(),
            symptom,
            ..IncidentParts::new(
                Window::new(BASELINE_BINS * MINUTE, (BASELINE_BINS + INCIDENT_BINS) * MINUTE).expect("not empty"),
                vec![Window::new(0, BASELINE_BINS * MINUTE).expect("not empty")],
                calls,
            )
        })
        .expect("a sound incident")
    }

    fn row(caller: Option<u32>, callee: u32, bin: i64, duration_us: u64, own_us: u64) -> CallRow {
        let calls = 60;
        let times = |us: u64| Sketch::from_counts(vec![(Sketch::bucket(us * 1000), calls)]);
        CallRow {
            calls,
            observed: calls,
            weight_squares: calls,
            duration_ns: duration_us * 1000 * calls,
            self_ns: own_us * 1000 * calls,
            part_ns: own_us * 1000 * calls,
            durations: times(duration_us),
            self_times: times(own_us),
            ..CallRow::empty(CallKey { caller, callee, operation: 0, mode: EdgeMode::Sync, entry: 0, bin })
        }
    }

    fn rank(incident: &Incident) -> Ranking {
        let findings = crate::detect::detect(incident, &crate::detect::Settings::default());
        Hypocenter { fusion: Fusion::rules() }.rank(incident, &findings)
    }

    fn causes(ranking: &Ranking) -> Vec<&str> {
        ranking.candidates[..ranking.causes].iter().map(|c| c.suspect.service().as_str()).collect()
    }

    #[test]
    fn one_slow_service_is_the_one_cause() {
        let ranking = rank(&incident(&[("cart", 20, 20), ("payment", 20, 220), ("ads", 10, 10)], None));
        assert_eq!(ranking.verdict, Verdict::CauseFound);
        assert_eq!(causes(&ranking), ["payment"]);
        assert!(ranking.candidates[0].explained_share.is_some_and(|share| share > 0.99));
        let sum: f64 = ranking.candidates.iter().map(|c| c.probability).sum::<f64>() + ranking.none_probability;
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn two_slow_services_are_two_causes_the_larger_first() {
        let services = [("cart", 20, 20), ("payment", 20, 220), ("ads", 10, 130)];
        let ranking = rank(&incident(&services, Some(Symptom::Latency)));
        assert_eq!(ranking.verdict, Verdict::CauseFound);
        assert_eq!(causes(&ranking), ["payment", "ads"]);
    }

    #[test]
    fn two_equal_causes_are_named_and_not_held_against_each_other() {
        let services = [("cart", 20, 20), ("payment", 20, 220), ("ads", 20, 220)];
        let mut ranking = rank(&incident(&services, None));
        assert_eq!(ranking.verdict, Verdict::CauseFound);
        assert_eq!(causes(&ranking), ["ads", "payment"], "a tie goes by name");
        assert!(ranking.candidates[0].probability < CAUSE_PROBABILITY);
        ranking.lower_confidence(0.95);
        assert_eq!(ranking.causes, 2, "a little less confidence withdraws neither");
        ranking.lower_confidence(0.3);
        assert_eq!((ranking.verdict, ranking.causes), (Verdict::CannotTell, 0));
    }

    #[test]
    fn nothing_changed_is_no_anomaly() {
        let ranking = rank(&incident(&[("cart", 20, 20), ("payment", 20, 20)], None));
        assert_eq!((ranking.verdict, ranking.causes), (Verdict::NoAnomaly, 0));
    }
}
