//! Errors that begin in a caller because the answer it got is wrong, though it said OK.
//!
//! Nothing fails but the callers of such a service, right after it answered. A link from a caller `u` to a callee `x` is
//! made by the messages with which `u` says what failed, where they name one of its callees and no other (names of
//! services count, words do not; a message for each call of `x` that fails openly is about that). Errors that no message
//! explains are linked to the callee all of whose callers fail at the same time; where there are several such, to the one
//! that the failing kinds of requests have in common (Ochiai's coefficient over the places where requests come in).
//!
//! ```text
//! share_ux  = messages that name x / errors that begin in u * called_ux * answered_ux * others_x
//! ochiai_ux = sum_e F_e c_e / sqrt(sum_e F_e * sum_e N_e c_e)
//! ```
//! with all counts beyond the usual; `called` less than 1 where `u` calls `x` less often (it fails before the call),
//! `answered` where calls of `x` fail openly, `others` where other callers of `x` go on as usual (then `u` reads wrongly);
//! `F_e` errors that begin in `u` and `N_e` calls that it handles on account of entry `e`, `c_e` how many of these call `x`
//! in normal operation.

use std::collections::{BTreeMap, BTreeSet};

use super::failures::Failures;
use super::phase::Phase;
use crate::incident::Incident;
use crate::telemetry::logs::Severity;
use crate::telemetry::topology::EdgeMode;

/// What is left of a link whose callee serves all others well.
const ALONE: f64 = 0.3;
/// What a link is worth that no message makes.
const UNSAID: f64 = 0.7;
/// How much better the best callee must fit the failing kinds of requests than the next, for a link that no message makes.
const CLEARLY: f64 = 1.1;

/// Calls that nodes handle with the errors that begin in them, and calls of edges (caller, callee) with all errors.
struct Calls {
    handled: BTreeMap<u32, Failures>,
    edges: BTreeMap<(u32, u32), Failures>,
    /// By node and entry.
    handled_for: BTreeMap<(u32, u32), Failures>,
    /// By caller, callee and entry: calls in normal operation.
    called_for: BTreeMap<(u32, u32, u32), f64>,
}

/// By caller and callee the share of the errors beginning in the caller that are the callee's doing, 0 to 1; at most 1
/// for all callees of a caller together.
pub(crate) fn wrong(incident: &Incident) -> BTreeMap<(u32, u32), f64> {
    let calls = Calls::new(incident);
    let failing: BTreeSet<u32> = calls.handled.iter().filter(|(_, t)| t.rose()).map(|(node, _)| *node).collect();
    let mut shares = BTreeMap::new();
    for &caller in &failing {
        let mut said = calls.said(incident, caller);
        let unsaid = (1.0 - said.values().sum::<f64>()).max(0.0) * UNSAID;
        if let Some(callee) = calls.common(caller, &failing) {
            *said.entry(callee).or_default() += unsaid;
        }
        let total: f64 = said.values().sum();
        for (callee, share) in said {
            let share = share / total.max(1.0) * calls.plausible(caller, callee, &failing);
            if share > 0.0 {
                shares.insert((caller, callee), share);
            }
        }
    }
    shares
}

impl Calls {
    fn new(incident: &Incident) -> Self {
        let mut calls = Self {
            handled: BTreeMap::new(),
            edges: BTreeMap::new(),
            handled_for: BTreeMap::new(),
            called_for: BTreeMap::new(),
        };
        for row in incident.calls.rows.iter().filter(|row| row.key.mode == EdgeMode::Sync) {
            let Some(phase) = Phase::of_bin(incident, &incident.calls.grid, row.key.bin) else { continue };
            calls.handled.entry(row.key.callee).or_default().add(phase, row, row.origin_errors);
            let of_entry = calls.handled_for.entry((row.key.callee, row.key.entry)).or_default();
            of_entry.add(phase, row, row.origin_errors);
            if let Some(caller) = row.key.caller.filter(|caller| *caller != row.key.callee) {
                calls.edges.entry((caller, row.key.callee)).or_default().add(phase, row, row.errors);
                if phase == Phase::Baseline {
                    *calls.called_for.entry((caller, row.key.callee, row.key.entry)).or_default() += row.calls as f64;
                }
            }
        }
        calls
    }

    fn callees(&self, caller: u32) -> impl Iterator<Item = u32> {
        self.edges.range((caller, 0)..=(caller, u32::MAX)).map(|((_, callee), _)| *callee)
    }

    fn handled(&self, node: u32) -> Failures {
        self.handled.get(&node).copied().unwrap_or_default()
    }

    /// By callee the messages about errors of the caller that name it, per error that begins there, beyond the usual.
    fn said(&self, incident: &Incident, caller: u32) -> BTreeMap<u32, f64> {
        let logs = &incident.logs;
        let handled = self.handled(caller);
        let Ok(service) = logs.services.binary_search(incident.calls.service(caller)) else { return BTreeMap::new() };
        let requests = handled.calls(Phase::Incident);
        let growth = requests / handled.calls(Phase::Baseline).max(1.0);
        let errors = handled.excess() * requests;
        let mut named: BTreeMap<u32, Option<u32>> = BTreeMap::new();
        let mut records: BTreeMap<u32, [f64; 2]> = BTreeMap::new();
        for row in &logs.rows {
            let is_error = matches!(row.severity, Severity::Error | Severity::Fatal);
            if row.service as usize != service || !is_error {
                continue;
            }
            let Some(phase) = Phase::of_bin(incident, &logs.grid, row.bin) else { continue };
            let names = || {
                let text = logs.templates.get(row.template as usize)?;
                let mut callees = self.callees(caller).filter(|c| names(text, incident.calls.service(*c).as_str()));
                callees.next().filter(|_| callees.next().is_none())
            };
            if let Some(callee) = *named.entry(row.template).or_insert_with(names) {
                records.entry(callee).or_default()[phase as usize] += row.records as f64;
            }
        }
        records
            .into_iter()
            .map(|(callee, [before, during])| {
                let edge = self.edges.get(&(caller, callee)).copied().unwrap_or_default();
                let openly = (edge.excess() * edge.calls(Phase::Incident)).max(0.0);
                (callee, ((during - before * growth - openly) / errors).clamp(0.0, 1.0))
            })
            .filter(|(_, share)| *share > 0.0)
            .collect()
    }

    /// The callee all of whose callers fail, of which there are several; of several such callees the one that clearly fits
    /// the failing requests best.
    fn common(&self, caller: u32, failing: &BTreeSet<u32>) -> Option<u32> {
        let shared = |callee: &u32| {
            let callers: Vec<u32> = self.edges.keys().filter(|(_, to)| to == callee).map(|(from, _)| *from).collect();
            callers.len() > 1 && callers.iter().all(|from| failing.contains(from))
        };
        let mut fits: Vec<(f64, u32)> =
            self.callees(caller).filter(shared).map(|callee| (self.ochiai(caller, callee), callee)).collect();
        fits.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        match fits[..] {
            [(_, only)] => Some(only),
            [(best, callee), (next, _), ..] if best >= CLEARLY * next => Some(callee),
            _ => None,
        }
    }

    /// How well the requests that call a callee are those in which errors begin in the caller, 0 to 1.
    fn ochiai(&self, caller: u32, callee: u32) -> f64 {
        let (mut both, mut failed, mut called) = (0.0, 0.0, 0.0);
        for ((_, entry), handled) in self.handled_for.range((caller, 0)..=(caller, u32::MAX)) {
            let calls = self.called_for.get(&(caller, callee, *entry)).copied().unwrap_or(0.0);
            let per_request = (calls / handled.calls(Phase::Baseline).max(1.0)).min(1.0);
            let errors = (handled.excess() * handled.calls(Phase::Incident)).max(0.0);
            both += errors * per_request;
            failed += errors;
            called += handled.calls(Phase::Incident) * per_request;
        }
        if failed * called > 0.0 { both / (failed * called).sqrt() } else { 0.0 }
    }

    /// How well the calls bear a link out, 0 to 1.
    fn plausible(&self, caller: u32, callee: u32, failing: &BTreeSet<u32>) -> f64 {
        let (handled, edge) = (self.handled(caller), self.edges.get(&(caller, callee)).copied().unwrap_or_default());
        let excess = handled.excess();
        let per_request = |phase| edge.calls(phase) / handled.calls(phase).max(1.0);
        let (before, during) = (per_request(Phase::Baseline), per_request(Phase::Incident));
        if before <= 0.0 || excess <= 0.0 {
            return 0.0;
        }
        let fewer = (1.0 - during / before) / excess;
        let openly = edge.excess() * during / excess;
        let called = (1.0 - fewer).clamp(0.0, 1.0);
        let answered = (1.0 - openly).clamp(0.0, 1.0);
        called * answered * self.others(caller, callee, excess, failing)
    }

    /// 1 where the callee's other callers fail too, or where there are none that would tell.
    fn others(&self, caller: u32, callee: u32, excess: f64, failing: &BTreeSet<u32>) -> f64 {
        let telling =
            |(ends, edge): &(&(u32, u32), &Failures)| ends.1 == callee && ends.0 != caller && edge.would_tell(excess);
        let others: Vec<u32> = self.edges.iter().filter(telling).map(|((from, _), _)| *from).collect();
        if others.is_empty() {
            return 1.0;
        }
        let too = others.iter().filter(|from| failing.contains(from)).count();
        (too as f64 / others.len() as f64).max(ALONE)
    }
}

/// Whether a text has a name in it as a word of its own.
fn names(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
    text.match_indices(name).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}
