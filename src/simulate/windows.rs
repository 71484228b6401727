//! Which windows someone would compare who has only the alert and a look at its graph.

use super::alert::Firing;
use super::fault::Fault;
use super::plan::Plan;
use crate::telemetry::time::NANOS_PER_SECOND;

/// Rates of the rules reach back two minutes: the first half of that may still have been normal.
const BEFORE_PENDING_NS: i64 = 60 * NANOS_PER_SECOND;
/// What lies right before the incident is left out of the baseline.
const GUARD_NS: i64 = 60 * NANOS_PER_SECOND;
/// Without an alert and without a fault someone looks at the last ten minutes.
const LOOK_BACK_NS: i64 = 600 * NANOS_PER_SECOND;
/// Windows begin at whole ten seconds, as people write them.
const ROUND_NS: i64 = 10 * NANOS_PER_SECOND;

/// Which times are compared; each from when to when, Unix ns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Windows {
    /// When users felt it, or would have.
    pub incident: (i64, i64),
    /// Normal operation before it.
    pub baseline: (i64, i64),
}

/// From a minute before the condition of the first alert became true, of those that still fire at the end (else of all),
/// to the end of the recording. Without an alert from the fault's begin (someone noticed), in quiet cases the last ten
/// minutes.
pub fn windows(plan: &Plan, faults: &[Fault], firings: &[Firing]) -> Windows {
    let end_ns = plan.start_ns + plan.duration_ns;
    let pending = |firing: &Firing| firing.pending_since_ns - BEFORE_PENDING_NS;
    let still_firing = firings.iter().filter(|firing| firing.ends_ns.is_none()).map(pending).min();
    let alerted = still_firing.or(firings.iter().map(pending).min());
    let noticed = faults.iter().map(|fault| fault.from_ns).min();
    let start_ns = alerted.or(noticed).unwrap_or(end_ns - LOOK_BACK_NS).div_euclid(ROUND_NS) * ROUND_NS;
    // An alert may fire at once; a baseline has to be left.
    let earliest = plan.start_ns + plan.duration_ns / 4;
    let start_ns = start_ns.max(earliest).min(end_ns - ROUND_NS);
    let baseline_end_ns = (start_ns - GUARD_NS).max(plan.start_ns + ROUND_NS);
    Windows { incident: (start_ns, end_ns), baseline: (plan.start_ns, baseline_end_ns) }
}
