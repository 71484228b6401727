//! All signs of our own method about each service, and the candidate that they make together.

use std::collections::BTreeMap;

use super::attribution::Account;
use super::caller_side::CallerSide;
use super::crowding::Crowding;
use super::demand::Demand;
use super::evidence::changes::{self, Support};
use super::evidence::last_call;
use super::evidence::logs::{self, LogChange};
use super::evidence::machine::{self, Contention};
use super::evidence::structure::{self, Rerouted};
use super::fusion::CAP;
use super::hearsay;
use super::inside::{self, Own};
use super::network::{self, Endpoint};
use super::node_series::SymptomSeries;
use super::{Candidate, Evidence, Modality, Suspect, correlation, earliest_onsets, random_walk, without_calls};
use crate::detect::{Change, Finding, Onset};
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};

/// What a hint counts: of a full cap it is still less than [`super::fusion::HINT_BITS`].
const HINT_SHARE: f64 = 0.05;
/// Most bits that correlation with the symptom, and a walk along correlated calls, may add each.
const SUPPORT_BITS: f64 = 0.5;
/// Correlation, or share of the most visited node's visits, under which there is no support.
const LEAST_SUPPORT: f64 = 0.5;
/// A contribution within this many scales of the baseline's spread adds nothing, …
const LEAST_Z: f64 = 2.0;
/// … and one beyond this many adds all of its share.
const FULL_Z: f64 = 4.0;
/// What is left of all evidence about a service whose machine another workload fills.
const EXPLAINED_AWAY: f64 = 0.25;
/// A symptom that nobody reported must have risen by this many scales to be split among suspects.
const LEAST_FELT_Z: f64 = 1.0;

/// All signs by service, before they are joined.
pub(super) struct Signs<'a> {
    attribution: BTreeMap<ServiceId, Attributed>,
    network: BTreeMap<ServiceId, Endpoint>,
    resources: BTreeMap<ServiceId, Own>,
    behaviour: BTreeMap<ServiceId, Own>,
    rerouted: BTreeMap<ServiceId, Rerouted>,
    stopped_at: BTreeMap<ServiceId, f64>,
    hints: BTreeMap<ServiceId, Own>,
    silence: BTreeMap<ServiceId, Own>,
    vain_calls: BTreeMap<ServiceId, Own>,
    demand: Demand,
    relief: BTreeMap<&'a ServiceId, f64>,
    hearsay: BTreeMap<&'a ServiceId, f64>,
    busier: BTreeMap<ServiceId, Own>,
    outside: BTreeMap<ServiceId, Own>,
    logs: BTreeMap<ServiceId, LogChange>,
    contentions: BTreeMap<ServiceId, Contention>,
    changes: BTreeMap<ServiceId, Support>,
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
    pub(super) fn new(
        incident: &'a Incident,
        findings: &'a [Finding],
        accounts: &[Account],
        side: &CallerSide,
        crowding: &Crowding,
    ) -> Self {
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
        let crowded: BTreeMap<&ServiceId, f64> =
            crowding.services().iter().map(|c| (incident.calls.service(c.node), c.weight)).collect();
        let hearsay: BTreeMap<&ServiceId, f64> = hearsay::shares(incident, side, crowding)
            .into_iter()
            .map(|(node, share)| (incident.calls.service(node), share))
            .collect();
        let inherited = |service: &ServiceId, signal: Signal| {
            let left = |shares: &BTreeMap<&ServiceId, f64>| 1.0 - shares.get(service).copied().unwrap_or(0.0);
            let errors = if signal == Signal::OriginErrorRatio { left(&relief) * left(&hearsay) } else { 1.0 };
            1.0 - left(&crowded) * errors
        };
        let behaviour = inside::behaviour(findings, inherited, CAP);
        let logs = logs::changes(incident, CAP);
        let mut rerouted = structure::rerouted(incident, findings, &logs, CAP);
        for (service, way) in &mut rerouted {
            way.bits *= 1.0 - hearsay.get(service).copied().unwrap_or(0.0);
        }
        let stopped_at = last_call::taken_from_callers(incident, &mut rerouted);
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
            rerouted,
            stopped_at,
            hints: inside::hints(findings, !incident.calls.rows.is_empty(), CAP),
            silence: BTreeMap::new(),
            vain_calls: vain_calls(incident, findings, side),
            busier: more_calls(incident, &felt, findings, &demand),
            demand,
            relief,
            hearsay,
            outside,
            logs,
            contentions: machine::contentions(incident, findings, CAP),
            changes: changes::supports(incident, findings),
            onsets: earliest_onsets(findings),
        };
        if let Some(seen) = without_calls::seen(incident, findings) {
            // Without calls all of the symptom would be its own wherever it was felt.
            signs.attribution.clear();
            (signs.resources, signs.outside, signs.silence) = (seen.inside, seen.surface, seen.silence);
        }
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
                    &mut self.vain_calls,
                    &mut self.busier,
                    &mut self.outside,
                ] {
                    signs.entry(service.clone()).and_modify(|own| own.bits *= EXPLAINED_AWAY);
                }
                self.network.entry(service.clone()).and_modify(|endpoint| endpoint.bits *= EXPLAINED_AWAY);
                self.rerouted.entry(service.clone()).and_modify(|way| way.bits *= EXPLAINED_AWAY);
                self.stopped_at.entry(service.clone()).and_modify(|bits| *bits *= EXPLAINED_AWAY);
                self.logs.entry(service.clone()).and_modify(|change| change.bits *= EXPLAINED_AWAY);
            }
            whole.share = whole.share.min(1.0);
            whole.bits = CAP * whole.share;
            self.attribution.insert(workload.clone(), whole);
            let used = findings.get(contention.used).map_or(0.0, |finding| finding.bits.min(CAP));
            self.resources.insert(workload.clone(), Own { bits: used, finding: contention.used });
        }
    }

    pub(super) fn candidate(&self, service: &ServiceId, accounts: &[Account]) -> Candidate {
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
            (Modality::Structure, &self.busier),
            (Modality::Structure, &self.silence),
            (Modality::Behaviour, &self.vain_calls),
            (Modality::Behaviour, &self.outside),
        ] {
            if let Some(own) = own.get(service) {
                add(modality, own.bits, Some(own.finding));
            }
        }
        if let Some(way) = self.rerouted.get(service) {
            add(Modality::Structure, way.bits, None);
        }
        add(Modality::Structure, self.stopped_at.get(service).copied().unwrap_or(0.0), None);
        if let Some(contention) = self.contentions.get(service) {
            add(Modality::Behaviour, contention.bits, None);
        }
        if let Some(change) = self.logs.get(service) {
            // What others' answers make of it, and what its callees fail it with, its logs tell too.
            let left = |shares: &BTreeMap<&ServiceId, f64>| 1.0 - shares.get(service).copied().unwrap_or(0.0);
            add(Modality::Logs, change.bits * left(&self.relief) * left(&self.hearsay), None);
        }
        // A change is a prior, and these follow the symptom and not the fault: they support other evidence, and are none by
        // themselves.
        if !evidence.is_empty() {
            if let Some(change) = self.changes.get(service) {
                evidence.push(Evidence { modality: Modality::Changes, bits: change.bits, finding: None });
            }
            for (modality, scores) in [(Modality::Correlation, &self.correlation), (Modality::Walk, &self.walk)] {
                if let Some(score) = scores.get(service).filter(|score| **score >= LEAST_SUPPORT) {
                    evidence.push(Evidence { modality, bits: SUPPORT_BITS * score, finding: None });
                }
            }
        }
        if evidence.is_empty()
            && let Some(hint) = self.hints.get(service)
        {
            let bits = hint.bits * HINT_SHARE;
            evidence.push(Evidence { modality: Modality::Behaviour, bits, finding: Some(hint.finding) });
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

/// The end of an edge that is blamed: that at which more edges are slow; without a sign, the callee.
pub(super) fn blamed<'a>(suspect: &'a Suspect, network: &BTreeMap<ServiceId, Endpoint>) -> &'a ServiceId {
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let way = Rerouted { bits: CAP, operation: 0, callee: "b".into(), before: 1.0, during: 0.0 };
        let signs = Signs {
            attribution: BTreeMap::new(),
            network: BTreeMap::new(),
            resources: BTreeMap::new(),
            behaviour: BTreeMap::new(),
            rerouted: BTreeMap::from([(ServiceId::new("a"), way)]),
            stopped_at: BTreeMap::new(),
            hints: BTreeMap::new(),
            silence: BTreeMap::new(),
            vain_calls: BTreeMap::new(),
            demand: Demand::default(),
            relief: BTreeMap::new(),
            hearsay: BTreeMap::new(),
            busier: own(),
            outside: BTreeMap::new(),
            logs: BTreeMap::new(),
            contentions: BTreeMap::new(),
            changes: BTreeMap::new(),
            correlation: BTreeMap::new(),
            walk: BTreeMap::new(),
            onsets: BTreeMap::new(),
        };
        assert!((signs.candidate(&"a".into(), &[]).score - CAP).abs() < 1e-12);
    }
}
