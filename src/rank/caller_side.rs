//! Failed calls that are the caller's doing: its settings, its name resolution, its way out, its patience.
//!
//! A call that fails looks as if the callee failed. It did not where others ask it in vain no more than before (a
//! difference in differences: the excess of this caller less that of the callee's other callers), where the caller
//! fails with its other callees just as much at the same time, where the callee answered and saw no failure (by the
//! semantic conventions of OpenTelemetry the status of a refused request, 4xx, is an error at the client only), and
//! where a caller stops waiting for a callee that does not take longer than it used to.
//!
//! ```text
//! excess_uv = failed / calls of u -> v during the incident - the same before, timeouts apart
//! others_uv = excess of all other callers of v / excess_uv            where these called often enough to tell
//! alike_uv  = mean over u's other callees o of excess_uo / excess_uv  where that is more than a half
//! share_uv  = (1 - others_uv) * max(alike_uv, part of excess_uv that v did not see)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::failures::Failures;
use super::phase::Phase;
use crate::incident::Incident;
use crate::telemetry::calls::CallRow;
use crate::telemetry::sketch::Sketch;
use crate::telemetry::topology::EdgeMode;

/// Share of the caller where its other callees answer it well while the callee answers others well: the way between the
/// two is at fault, and nothing tells which end of it.
const LINK: f64 = 0.5;
/// The same where the callee's other callers ask for other things only, of the calls that never arrive at the callee: those
/// may work while this does not.
const LINK_FOR_OTHER_THINGS: f64 = 0.3;
/// Both where the callee has no spans: one that answers all others does not fail these at once and by itself, for what
/// is wrong with a database or a host is wrong for all (what is slow, or times out, is another matter). A wrong password,
/// schema, address or rule in between is of this caller.
const LINK_TO_SILENT: f64 = 0.7;
/// The mean of the other callees' failures, as a share of this one's, from which on all of them fail alike.
const ALIKE: f64 = 0.5;

/// Calls that take longer than this share of the usual ones are late.
const USUAL: f64 = 0.99;

/// Calls of an edge, or of one operation on it.
#[derive(Clone, Default)]
struct Tally {
    /// Failures that are no timeouts.
    all: Failures,
    /// Of those failed, the ones that the callee answered without a failure.
    refused: [f64; 2],
    timeouts: [f64; 2],
    /// Calls of which both sides were seen.
    paired: [f64; 2],
    durations: [Sketch; 2],
}

impl Tally {
    fn add(&mut self, phase: Phase, row: &CallRow) {
        self.all.add(phase, row, row.origin_errors + row.edge_errors);
        self.refused[phase as usize] += row.edge_errors as f64;
        self.timeouts[phase as usize] += row.timeouts as f64;
        self.paired[phase as usize] += row.paired_calls as f64;
    }

    /// What the caller is given where others are answered, for the same or for other things.
    fn link(&self, same: bool) -> f64 {
        if self.paired.iter().sum::<f64>() <= 0.0 {
            return LINK_TO_SILENT;
        }
        if same {
            return LINK;
        }
        // What the callee's own spans call a failure was the callee's.
        let fewer_arrive = -self.all.rise_of(&self.paired) / self.all.excess();
        LINK_FOR_OTHER_THINGS * fewer_arrive.clamp(0.0, 1.0)
    }

    /// Share of the timeouts that came although no more calls than usual take longer than nearly all used to: 1 less the
    /// rise of their share over that of the timeouts.
    fn shortened(&self) -> f64 {
        let [before, during] = &self.durations;
        let Some(late) = before.quantile(USUAL).filter(|_| self.all.has_risen(&self.timeouts)) else { return 0.0 };
        let later = later_than(during, late) - later_than(before, late);
        (1.0 - later / self.all.rise_of(&self.timeouts)).clamp(0.0, 1.0)
    }
}

/// Share of the durations in higher buckets than a value's.
fn later_than(durations: &Sketch, value: f64) -> f64 {
    let later: u64 =
        durations.counts().iter().filter(|(bucket, _)| Sketch::bucket_value(*bucket) > value).map(|(_, n)| n).sum();
    later as f64 / durations.count().max(1) as f64
}

/// An edge: callee, caller.
pub(crate) type Edge = (u32, u32);

/// By edge the share of its failures, and of its timeouts, that begin at the caller, 0 to 1; edges without are absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CallerSide {
    /// Failures that are no timeouts.
    pub(crate) failures: BTreeMap<Edge, f64>,
    /// Timeouts.
    pub(crate) timeouts: BTreeMap<Edge, f64>,
    /// By caller and callee the share of the errors that begin in the caller because of the callee's answers.
    pub(crate) answers: BTreeMap<(u32, u32), f64>,
    /// By node the share of the failures that seem to begin there and do not.
    pub(crate) relief: BTreeMap<u32, f64>,
}

/// All edges of the call statistics, by callee and caller (`None` from outside) and operation.
struct Edges {
    by_operation: BTreeMap<(u32, Option<u32>, u32), Tally>,
    by_edge: BTreeMap<(u32, Option<u32>), Tally>,
}

impl CallerSide {
    /// Compares callers with each other and with the baseline.
    pub(crate) fn of(incident: &Incident) -> Self {
        let edges = Edges::new(incident);
        let mut side = Self { answers: super::answers::wrong(incident), ..Self::default() };
        let mut answered_wrongly: BTreeMap<u32, f64> = BTreeMap::new();
        for (&(node, _), share) in &side.answers {
            *answered_wrongly.entry(node).or_default() += share;
        }
        let mut moved: BTreeMap<u32, f64> = BTreeMap::new();
        for (&(callee, caller), tally) in &edges.by_edge {
            let Some(caller) = caller.filter(|caller| *caller != callee) else { continue };
            let shortened = tally.shortened();
            if shortened > 0.0 {
                side.timeouts.insert((callee, caller), shortened);
            }
            if !tally.all.rose() {
                continue;
            }
            // What a callee fails with because of its own callees' answers is not its caller's doing either.
            let told_wrongly = answered_wrongly.get(&callee).copied().unwrap_or(0.0).min(1.0);
            let share = edges.share(callee, caller, tally) * (1.0 - told_wrongly);
            if share > 0.0 {
                side.failures.insert((callee, caller), share);
                *moved.entry(callee).or_default() += share * failures_beyond(tally);
            }
        }
        for (callee, failures) in moved {
            let all: f64 = edges.callers(callee).map(|(_, tally)| failures_beyond(tally).max(0.0)).sum();
            side.relief.insert(callee, if all > 0.0 { (failures / all).clamp(0.0, 1.0) } else { 0.0 });
        }
        for (&(caller, _), share) in &side.answers {
            let relief = side.relief.entry(caller).or_default();
            *relief = 1.0 - (1.0 - *relief) * (1.0 - share);
        }
        side
    }
}

/// Failures during the incident beyond the usual share.
fn failures_beyond(tally: &Tally) -> f64 {
    tally.all.excess() * tally.all.calls(Phase::Incident)
}

impl Edges {
    fn new(incident: &Incident) -> Self {
        let mut edges = Self { by_operation: BTreeMap::new(), by_edge: BTreeMap::new() };
        let place = |row: &CallRow| (row.key.callee, row.key.caller, row.key.operation);
        let phase = |row: &CallRow| Phase::of_bin(incident, &incident.calls.grid, row.key.bin);
        for rows in incident.calls.rows.chunk_by(|a, b| place(a) == place(b)) {
            let compared = rows.iter().filter(|row| row.key.mode == EdgeMode::Sync);
            let mut compared = compared.filter_map(|row| Some((phase(row)?, row))).peekable();
            let Some((callee, caller, operation)) = compared.peek().map(|(_, row)| place(row)) else { continue };
            let of_operation = edges.by_operation.entry((callee, caller, operation)).or_default();
            let of_edge = edges.by_edge.entry((callee, caller)).or_default();
            for (phase, row) in compared {
                of_operation.add(phase, row);
                of_edge.add(phase, row);
            }
        }
        edges.add_durations(incident);
        edges
    }

    /// The durations of those edges whose timeouts rose: nobody asks for the others'.
    fn add_durations(&mut self, incident: &Incident) {
        let rose = |tally: &Tally| tally.all.has_risen(&tally.timeouts);
        type Counts = [Vec<(u16, u64)>; 2];
        let mut counts: BTreeMap<(u32, Option<u32>), Counts> =
            self.by_edge.iter().filter(|(_, tally)| rose(tally)).map(|(edge, _)| (*edge, Default::default())).collect();
        if counts.is_empty() {
            return;
        }
        for row in incident.calls.rows.iter().filter(|row| row.key.mode == EdgeMode::Sync) {
            let Some(counts) = counts.get_mut(&(row.key.callee, row.key.caller)) else { continue };
            let Some(phase) = Phase::of_bin(incident, &incident.calls.grid, row.key.bin) else { continue };
            counts[phase as usize].extend_from_slice(row.durations.counts());
        }
        for (edge, counts) in counts {
            if let Some(tally) = self.by_edge.get_mut(&edge) {
                tally.durations = counts.map(Sketch::from_counts);
            }
        }
    }

    fn callers(&self, callee: u32) -> impl Iterator<Item = (Option<u32>, &Tally)> {
        self.by_edge.range((callee, None)..=(callee, Some(u32::MAX))).map(|((_, caller), tally)| (*caller, tally))
    }

    /// Share of the failures of an edge that begin at the caller.
    fn share(&self, callee: u32, caller: u32, tally: &Tally) -> f64 {
        let refused = (tally.all.rise_of(&tally.refused) / tally.all.excess()).clamp(0.0, 1.0);
        let alike = self.alike(callee, caller, tally);
        match self.others(callee, caller, tally) {
            Some((others, same)) => (1.0 - others) * alike.max(refused).max(tally.link(same)),
            None => alike.max(refused),
        }
    }

    /// How much other callers of the callee fail, 0 to 1 of this one; whether they ask for the same.
    fn others(&self, callee: u32, caller: u32, tally: &Tally) -> Option<(f64, bool)> {
        let mut same = Failures::default();
        let failing: BTreeSet<u32> = self
            .by_operation
            .range((callee, Some(caller), 0)..=(callee, Some(caller), u32::MAX))
            .filter(|(_, tally)| tally.all.excess() > 0.0)
            .map(|((_, _, operation), _)| *operation)
            .collect();
        for ((_, who, operation), other) in
            self.by_operation.range((callee, None, 0)..=(callee, Some(u32::MAX), u32::MAX))
        {
            if *who != Some(caller) && failing.contains(operation) {
                same.join(&other.all);
            }
        }
        let mut any = Failures::default();
        self.callers(callee).filter(|(who, _)| *who != Some(caller)).for_each(|(_, other)| any.join(&other.all));
        let excess = tally.all.excess();
        let relative = |others: &Failures| (others.excess() / excess).clamp(0.0, 1.0);
        if same.would_tell(excess) {
            Some((relative(&same), true))
        } else {
            any.would_tell(excess).then(|| (relative(&any), false))
        }
    }

    /// How much the caller fails with its other callees that nobody else fails with, 0 to 1 of this one.
    fn alike(&self, callee: u32, caller: u32, tally: &Tally) -> f64 {
        let mut shares = Vec::new();
        for (&(other, who), edge) in &self.by_edge {
            if who != Some(caller) || other == callee || other == caller {
                continue;
            }
            if !edge.all.would_tell(tally.all.excess()) {
                continue;
            }
            let failing = edge.all.rose();
            let elsewhere = self.others(other, caller, edge).filter(|_| failing).map_or(0.0, |(others, _)| others);
            let relative = (edge.all.excess() / tally.all.excess()).clamp(0.0, 1.0);
            shares.push(if failing { relative * (1.0 - elsewhere) } else { 0.0 });
        }
        let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        if mean >= ALIKE { mean } else { 0.0 }
    }
}
