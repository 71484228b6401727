//! Our own method: attribution along calls, network by endpoint, evidence from inside and from logs, joined in bits.
//!
//! The recommended engine of the design's algorithms, section 1, with what traces and metrics give. Every modality
//! is capped, so that no single loud signal wins alone; scores are bits of evidence, and probabilities are
//! `2^(score / TEMPERATURE)` over the candidates and "none of them".

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::{self, Account};
use super::caller_side::CallerSide;
use super::demand::Demand;
use super::evidence::logs::{self, LogChange};
use super::evidence::machine::{self, Contention};
use super::inside::{self, Own};
use super::network::{self, Endpoint};
use super::node_series::{self, SymptomSeries};
use super::{
    CAUSE_PROBABILITY, Candidate, Evidence, Modality, Ranker, Ranking, Suspect, SymptomChange, Verdict, correlation,
    earliest_onsets, order, random_walk,
};
use crate::detect::{Change, Finding, Onset};
use crate::incident::Incident;
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};
use crate::telemetry::topology::NodeKind;

/// Most bits that one modality may add.
const CAP: f64 = 8.0;
/// Most bits that correlation with the symptom, and a walk along correlated calls, may add each.
const SUPPORT_BITS: f64 = 0.5;
/// Correlation, or share of the most visited node's visits, under which there is no support.
const LEAST_SUPPORT: f64 = 0.5;
/// Score of "none of the candidates": a candidate needs as much evidence to be as likely as not.
const NONE_BITS: f64 = 3.0;
/// Bits of score that double the odds. Evidence of several modalities about one service is correlated,
/// so a bit of score is worth less than a bit of evidence. Chosen on the development cases.
const TEMPERATURE: f64 = 1.5;
/// A contribution within this many scales of the baseline's spread adds nothing, …
const LEAST_Z: f64 = 2.0;
/// … and one beyond this many adds all of its share.
const FULL_Z: f64 = 4.0;
/// A symptom that nobody reported must have risen by this many scales to be split among suspects.
const LEAST_FELT_Z: f64 = 1.0;
/// What is left of the evidence that a service stopped calling others when one of its callees misbehaves, and of all
/// evidence about a service whose machine another workload fills.
const EXPLAINED_AWAY: f64 = 0.25;
/// Share of its probability that a dependency outside of the telemetry loses: as `explain::coverage` takes off where all
/// calls are seen from their callers only.
const OUTSIDE_DOUBT: f64 = 0.25;
/// A further cause must explain at least this share of the symptom by itself, …
const FURTHER_SHARE: f64 = 0.25;
/// … and stand this many scales off its baseline.
const FURTHER_Z: f64 = 6.0;
/// Bits under which a candidate has no evidence worth the name.
const NO_EVIDENCE_BITS: f64 = 1.0;

/// The method `hypocenter`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hypocenter;

impl Ranker for Hypocenter {
    fn name(&self) -> &'static str {
        "hypocenter"
    }

    fn about(&self) -> &'static str {
        "our own: self-contribution accounting along calls, network gaps by endpoint, evidence from inside a service"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        let side = CallerSide::of(incident);
        let accounts = accounts(incident, findings, &side);
        let signs = Signs::new(incident, findings, &accounts, &side);
        let mut candidates: Vec<Candidate> =
            incident.services().iter().map(|service| signs.candidate(service, &accounts)).collect();
        order(&mut candidates);
        let mut none_probability = assign_probabilities(&mut candidates);
        none_probability += doubt_outsiders(incident, &mut candidates);
        let causes = move_causes_first(&mut candidates, &accounts);
        let entry = node_series::entry(incident);
        let verdict = verdict(&candidates[..causes], &accounts, findings, entry.as_ref());
        let causes = if verdict == Verdict::CauseFound { causes } else { 0 };
        if causes == 0 {
            order(&mut candidates);
        }
        let symptoms = accounts.into_iter().map(|a| a.change).collect();
        Ranking { method: self.name(), verdict, symptoms, candidates, causes, none_probability }
    }
}

/// The accounts of the symptoms that are known or possible, the one that changed most first.
fn accounts(incident: &Incident, findings: &[Finding], side: &CallerSide) -> Vec<Account> {
    let symptoms = match incident.symptom {
        Some(symptom) => vec![symptom],
        None => vec![Symptom::Latency, Symptom::Errors],
    };
    let mut accounts: Vec<Account> =
        symptoms.into_iter().filter_map(|symptom| attribution::account(incident, findings, side, symptom)).collect();
    accounts.sort_by(|a, b| b.z.total_cmp(&a.z).then_with(|| a.change.symptom.cmp(&b.change.symptom)));
    accounts
}

/// All signs by service, before they are joined.
struct Signs<'a> {
    attribution: BTreeMap<ServiceId, Attributed>,
    network: BTreeMap<ServiceId, Endpoint>,
    resources: BTreeMap<ServiceId, Own>,
    behaviour: BTreeMap<ServiceId, Own>,
    early_returns: BTreeMap<ServiceId, Own>,
    vain_calls: BTreeMap<ServiceId, Own>,
    demand: Demand,
    relief: BTreeMap<&'a ServiceId, f64>,
    busier: BTreeMap<ServiceId, Own>,
    outside: BTreeMap<ServiceId, Own>,
    logs: BTreeMap<ServiceId, LogChange>,
    contentions: BTreeMap<ServiceId, Contention>,
    correlation: BTreeMap<ServiceId, f64>,
    walk: BTreeMap<ServiceId, f64>,
    onsets: BTreeMap<&'a ServiceId, Onset>,
}

/// The part of the symptom that begins in a service, over all accounts.
#[derive(Clone, Copy, Default)]
struct Attributed {
    bits: f64,
    share: f64,
}

impl<'a> Signs<'a> {
    fn new(incident: &'a Incident, findings: &'a [Finding], accounts: &[Account], side: &CallerSide) -> Self {
        let callees = |service: &ServiceId| incident.graph.callees(service).into_iter().cloned().collect::<Vec<_>>();
        let network = network::endpoints(findings, CAP);
        let mut outside = inside::outside(findings, callees, CAP);
        if !accounts.is_empty() {
            // Accounting tells whose time and errors these are; only where the graph does not know a service at all
            // is there a reason to look at it from outside.
            let alone = |s: &ServiceId| incident.graph.callers(s).is_empty() && incident.graph.callees(s).is_empty();
            outside.retain(|service, _| alone(service));
        }
        // Without an alert that says so, a symptom that did not rise has no parts: to split noise would find a cause in it.
        let alerted = incident.symptom.is_some();
        let felt: Vec<&Account> = accounts.iter().filter(|a| alerted || a.z >= LEAST_FELT_Z).collect();
        let demand = Demand::of(incident);
        let relief: BTreeMap<&ServiceId, f64> =
            side.relief.iter().map(|(node, share)| (incident.calls.service(*node), *share)).collect();
        let behaviour = inside::behaviour(findings, &relief, CAP);
        let mut early_returns = inside::early_returns(findings, CAP);
        for (service, own) in &mut early_returns {
            // Who calls a failing callee gives up and calls nobody else: that is the callee's doing.
            if callees(service).iter().any(|callee| callee != service && behaviour.contains_key(callee)) {
                own.bits *= EXPLAINED_AWAY;
            }
        }
        let symptom = SymptomSeries::of(incident);
        let correlation = symptom.as_ref().map(correlation::with_symptom).unwrap_or_default();
        let walk = symptom.map(|s| random_walk::from_symptom(&incident.graph, s)).unwrap_or_default();
        let mut signs = Self {
            correlation,
            walk: relative_to_largest(walk),
            attribution: attributed(&felt, &network),
            network,
            resources: inside::resources(findings, CAP),
            behaviour,
            early_returns,
            vain_calls: vain_calls(incident, findings, side),
            busier: more_calls(incident, &felt, findings, &demand),
            demand,
            relief,
            outside,
            logs: logs::changes(incident, CAP),
            contentions: contentions(incident, findings),
            onsets: earliest_onsets(findings),
        };
        signs.explain_by_neighbours(findings);
        signs
    }

    /// What begins in services whose machine another workload fills is that workload's doing.
    fn explain_by_neighbours(&mut self, findings: &[Finding]) {
        for (workload, contention) in &self.contentions {
            let mut whole = Attributed::default();
            for service in &contention.beside {
                whole.share += self.attribution.remove(service).map_or(0.0, |part| part.share);
                for signs in [
                    &mut self.resources,
                    &mut self.behaviour,
                    &mut self.early_returns,
                    &mut self.vain_calls,
                    &mut self.busier,
                    &mut self.outside,
                ] {
                    signs.entry(service.clone()).and_modify(|own| own.bits *= EXPLAINED_AWAY);
                }
                self.network.entry(service.clone()).and_modify(|endpoint| endpoint.bits *= EXPLAINED_AWAY);
                self.logs.entry(service.clone()).and_modify(|change| change.bits *= EXPLAINED_AWAY);
            }
            whole.share = whole.share.min(1.0);
            whole.bits = CAP * whole.share;
            self.attribution.insert(workload.clone(), whole);
            let used = findings.get(contention.used).map_or(0.0, |finding| finding.bits.min(CAP));
            self.resources.insert(workload.clone(), Own { bits: used, finding: contention.used });
        }
    }

    fn candidate(&self, service: &ServiceId, accounts: &[Account]) -> Candidate {
        let attributed = self.attribution.get(service).copied().unwrap_or_default();
        let mut evidence = Vec::new();
        let left = self.demand.left(service);
        let mut add = |modality: Modality, bits: f64, finding: Option<usize>| {
            let bits = if modality == Modality::Attribution { bits } else { bits * left };
            if bits > 0.0 {
                evidence.push(Evidence { modality, bits, finding });
            }
        };
        add(Modality::Attribution, attributed.bits, None);
        if let Some(endpoint) = self.network.get(service) {
            add(Modality::Network, endpoint.bits, Some(endpoint.finding));
        }
        for (modality, own) in [
            (Modality::Resources, &self.resources),
            (Modality::Behaviour, &self.behaviour),
            (Modality::Structure, &self.early_returns),
            (Modality::Structure, &self.busier),
            (Modality::Behaviour, &self.vain_calls),
            (Modality::Behaviour, &self.outside),
        ] {
            if let Some(own) = own.get(service) {
                add(modality, own.bits, Some(own.finding));
            }
        }
        if let Some(contention) = self.contentions.get(service) {
            add(Modality::Behaviour, contention.bits, None);
        }
        if let Some(change) = self.logs.get(service) {
            // What others' answers make of it, its logs tell too.
            let own = 1.0 - self.relief.get(service).copied().unwrap_or(0.0);
            add(Modality::Logs, change.bits * own, None);
        }
        // These follow the symptom and not the fault: they support other evidence, and are none by themselves.
        if !evidence.is_empty() {
            for (modality, scores) in [(Modality::Correlation, &self.correlation), (Modality::Walk, &self.walk)] {
                if let Some(score) = scores.get(service).filter(|score| **score >= LEAST_SUPPORT) {
                    evidence.push(Evidence { modality, bits: SUPPORT_BITS * score, finding: None });
                }
            }
        }
        cap_modalities(&mut evidence);
        evidence.sort_by(|a, b| b.bits.total_cmp(&a.bits).then_with(|| a.modality.cmp(&b.modality)));
        Candidate {
            suspect: Suspect::Service(service.clone()),
            score: evidence.iter().map(|e| e.bits).sum(),
            probability: 0.0,
            explained_share: (!accounts.is_empty()).then_some(attributed.share),
            onset: self.onsets.get(service).copied(),
            evidence,
        }
    }
}

/// Where a modality has several signs of one service, together they count no more than the cap.
fn cap_modalities(evidence: &mut [Evidence]) {
    let mut sums: BTreeMap<Modality, f64> = BTreeMap::new();
    for sign in evidence.iter() {
        *sums.entry(sign.modality).or_default() += sign.bits;
    }
    for sign in evidence.iter_mut() {
        let sum = sums.get(&sign.modality).copied().unwrap_or(0.0);
        if sum > CAP {
            sign.bits *= CAP / sum;
        }
    }
}

/// Folds the contributions of services and edges to services. The part that begins on an edge goes to the end at
/// which more edges are slow; without a sign, to the callee.
fn attributed(accounts: &[&Account], network: &BTreeMap<ServiceId, Endpoint>) -> BTreeMap<ServiceId, Attributed> {
    let mut by_service: BTreeMap<ServiceId, Attributed> = BTreeMap::new();
    for account in accounts {
        let mut of_account: BTreeMap<&ServiceId, Attributed> = BTreeMap::new();
        for (contribution, share) in account.shares() {
            let weight = ((contribution.z - LEAST_Z) / (FULL_Z - LEAST_Z)).clamp(0.0, 1.0);
            let entry = of_account.entry(blamed(&contribution.suspect, network)).or_default();
            entry.bits += CAP * share * weight;
            entry.share += share * weight;
        }
        for (service, part) in of_account {
            let entry = by_service.entry(service.clone()).or_default();
            entry.bits = entry.bits.max(part.bits.min(CAP));
            entry.share = entry.share.max(part.share.min(1.0));
        }
    }
    by_service
}

/// Calls that a service makes beyond those that it used to make per request, by their share of the symptom.
fn busier(accounts: &[&Account], findings: &[Finding]) -> BTreeMap<ServiceId, Own> {
    let mut own = BTreeMap::new();
    for (service, finding, share) in accounts.iter().flat_map(|account| account.busier_shares()) {
        inside::strongest(&mut own, service, findings[finding].bits.min(CAP) * share, finding);
    }
    own
}

/// Calls that fail, or that a caller gives up, by its own doing, and the wrong answers that fail callers.
fn vain_calls(incident: &Incident, findings: &[Finding], side: &CallerSide) -> BTreeMap<ServiceId, Own> {
    let node = |name: &ServiceId| incident.calls.nodes.binary_search_by(|n| n.id.cmp(name)).ok().map(|at| at as u32);
    let share = |caller: &ServiceId, callee: &ServiceId, signal: Signal| {
        let shares = match signal {
            Signal::ErrorRatio => &side.failures,
            Signal::Timeouts => &side.timeouts,
            _ => return 0.0,
        };
        let edge = node(callee).zip(node(caller));
        edge.and_then(|edge| shares.get(&edge)).copied().unwrap_or(0.0)
    };
    let mut own = inside::vain_calls(findings, share, CAP);
    for (index, finding) in findings.iter().enumerate() {
        let Subject::Service(service) = &finding.subject else { continue };
        let is_own = finding.signal == Signal::OriginErrorRatio && finding.change == Change::Rise;
        let Some(caller) = node(service).filter(|_| is_own && finding.significant) else { continue };
        for ((_, callee), share) in side.answers.range((caller, 0)..=(caller, u32::MAX)) {
            let bits = finding.bits.min(CAP) * share;
            inside::strongest(&mut own, incident.calls.service(*callee), bits, index);
        }
    }
    own
}

/// Calls beyond the usual: from a service to others, and from outside.
fn more_calls(
    incident: &Incident,
    accounts: &[&Account],
    findings: &[Finding],
    demand: &Demand,
) -> BTreeMap<ServiceId, Own> {
    let mut own = busier(accounts, findings);
    // Demand that nobody feels harms nobody.
    let harms = incident.symptom.is_some() || accounts.iter().any(|account| account.change.significant);
    let Some((place, weight)) = demand.place().filter(|_| harms) else { return own };
    for (index, finding) in findings.iter().enumerate() {
        let at_place = matches!(&finding.subject, Subject::Service(service) if service == place);
        let requests = finding.signal == Signal::Requests && finding.name != inside::CALLS_PER_REQUEST;
        if at_place && requests && finding.significant && finding.change == Change::Rise {
            inside::strongest(&mut own, place, finding.bits.min(CAP) * weight, index);
        }
    }
    own
}

fn blamed<'a>(suspect: &'a Suspect, network: &BTreeMap<ServiceId, Endpoint>) -> &'a ServiceId {
    match suspect {
        Suspect::Service(service) => service,
        Suspect::Edge { caller, callee } => {
            let bits = |node: &ServiceId| network.get(node).map_or(0.0, |e| e.bits);
            if bits(caller) > bits(callee) { caller } else { callee }
        }
    }
}

fn relative_to_largest(mut scores: BTreeMap<ServiceId, f64>) -> BTreeMap<ServiceId, f64> {
    let largest = scores.values().copied().fold(0.0, f64::max);
    if largest > 0.0 {
        scores.values_mut().for_each(|s| *s /= largest);
    }
    scores
}

/// Probabilities over the candidates and "none", which is returned.
fn assign_probabilities(candidates: &mut [Candidate]) -> f64 {
    let top = candidates.iter().map(|c| c.score).fold(NONE_BITS, f64::max);
    let odds = |score: f64| ((score - top) / TEMPERATURE).exp2();
    // A candidate without any evidence is not an alternative: else a large system could never be sure.
    let weight = |c: &Candidate| if c.score > 0.0 { odds(c.score) } else { 0.0 };
    let none = odds(NONE_BITS);
    let total = none + candidates.iter().map(weight).sum::<f64>();
    for candidate in candidates.iter_mut() {
        candidate.probability = weight(candidate) / total;
    }
    none / total
}

/// Takes a part of their probability from dependencies outside of the system that only their callers tell of: what a
/// caller measures holds its own side too (connection pool, name resolution, the way there). Returns what was taken.
fn doubt_outsiders(incident: &Incident, candidates: &mut [Candidate]) -> f64 {
    let mut taken = 0.0;
    for candidate in candidates {
        let service = candidate.suspect.service();
        let outside = incident.graph.kind(service) == Some(NodeKind::External)
            && !incident.series.iter().any(|series| series.subject.service() == service);
        if outside {
            taken += candidate.probability * OUTSIDE_DOUBT;
            candidate.probability *= 1.0 - OUTSIDE_DOUBT;
        }
    }
    taken
}

/// Share of the usual requests below which an entry has fallen silent.
const SILENT_SHARE: f64 = 0.05;

/// The verdict on the leading candidates, which are causes if any is.
fn verdict(leading: &[Candidate], accounts: &[Account], findings: &[Finding], entry: Option<&ServiceId>) -> Verdict {
    let score = leading.first().map_or(0.0, |c| c.score);
    let probability: f64 = leading.iter().map(|c| c.probability).sum();
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
    accounts(incident, findings, &CallerSide::of(incident))
        .into_iter()
        .map(|account| {
            let mut parts: BTreeMap<ServiceId, f64> = BTreeMap::new();
            for contribution in &account.contributions {
                *parts.entry(blamed(&contribution.suspect, &network).clone()).or_default() += contribution.delta();
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
    use crate::telemetry::logs::LogStats;
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
            window: Window::new(BASELINE_BINS * MINUTE, (BASELINE_BINS + INCIDENT_BINS) * MINUTE).expect("not empty"),
            baselines: vec![Window::new(0, BASELINE_BINS * MINUTE).expect("not empty")],
            entry: None,
            symptom,
            calls,
            series: Vec::new(),
            given_edges: Vec::new(),
            logs: LogStats::empty(Grid::new(MINUTE)),
            changes: Vec::new(),
            dialects: Vec::new(),
            cut_files: std::collections::BTreeSet::new(),
            alert: None,
            warnings: Vec::new(),
        })
        .expect("a sound incident")
    }

    fn row(caller: Option<u32>, callee: u32, bin: i64, duration_us: u64, own_us: u64) -> CallRow {
        let calls = 60;
        let times = |us: u64| Sketch::from_counts(vec![(Sketch::bucket(us * 1000), calls)]);
        CallRow {
            key: CallKey { caller, callee, operation: 0, mode: EdgeMode::Sync, entry: 0, bin },
            calls,
            observed: calls,
            weight_squares: calls,
            error_weight_squares: 0,
            errors: 0,
            caller_errors: 0,
            origin_errors: 0,
            edge_errors: 0,
            timeouts: 0,
            retries: 0,
            hedges: 0,
            duration_ns: duration_us * 1000 * calls,
            self_ns: own_us * 1000 * calls,
            critical_ns: own_us * 1000 * calls,
            critical_gap_ns: 0,
            paired_calls: 0,
            gap_ns: 0,
            durations: times(duration_us),
            self_times: times(own_us),
            gaps: Sketch::default(),
            slowest: None,
            failed: None,
            typical: None,
        }
    }

    fn rank(incident: &Incident) -> Ranking {
        let findings = crate::detect::detect(incident, &crate::detect::Settings::default());
        Hypocenter.rank(incident, &findings)
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
    fn one_modality_counts_no_more_than_the_cap() {
        let sign = |modality: Modality, bits: f64| Evidence { modality, bits, finding: None };
        let mut evidence =
            [sign(Modality::Structure, 6.0), sign(Modality::Structure, 4.0), sign(Modality::Network, 5.0)];
        cap_modalities(&mut evidence);
        let bits: Vec<f64> = evidence.iter().map(|e| e.bits).collect();
        assert!((bits[0] + bits[1] - CAP).abs() < 1e-12 && (bits[2] - 5.0).abs() < 1e-12, "{bits:?}");
    }

    #[test]
    fn a_candidate_with_two_signs_of_one_modality_scores_the_cap() {
        let own = || BTreeMap::from([(ServiceId::new("a"), Own { bits: CAP, finding: 0 })]);
        let signs = Signs {
            attribution: BTreeMap::new(),
            network: BTreeMap::new(),
            resources: BTreeMap::new(),
            behaviour: BTreeMap::new(),
            early_returns: own(),
            vain_calls: BTreeMap::new(),
            demand: Demand::default(),
            relief: BTreeMap::new(),
            busier: own(),
            outside: BTreeMap::new(),
            logs: BTreeMap::new(),
            contentions: BTreeMap::new(),
            correlation: BTreeMap::new(),
            walk: BTreeMap::new(),
            onsets: BTreeMap::new(),
        };
        assert!((signs.candidate(&"a".into(), &[]).score - CAP).abs() < 1e-12);
    }

    #[test]
    fn nothing_changed_is_no_anomaly() {
        let ranking = rank(&incident(&[("cart", 20, 20), ("payment", 20, 20)], None));
        assert_eq!((ranking.verdict, ranking.causes), (Verdict::NoAnomaly, 0));
    }
}
