//! What a case is about: each kind of fault equally often, quiet cases and double faults among them.

use super::quiet::{QUIET, Quiet};
use super::{Choice, ScenarioError};
use crate::simulate::fault::kinds::{self, KINDS, Kind};
use crate::simulate::fault::{Onset, Severity};
use crate::simulate::random::Random;

/// The word for a double fault.
pub(super) const TWO: &str = "two";

/// Quiet cases in a block of cases that holds each kind once: a fifth of the block.
const QUIET_IN_BLOCK: usize = 7;
/// Double faults in a block: a twelfth.
const TWO_IN_BLOCK: usize = 3;

/// What a case is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lot {
    /// Nothing is wrong.
    Quiet(Quiet),
    /// One fault.
    Fault(&'static Kind),
    /// Two.
    Two,
}

impl Lot {
    /// In the name of the case and in its truth.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Quiet(quiet) => quiet.name(),
            Self::Fault(kind) => kind.name,
            Self::Two => "two-faults",
        }
    }

    /// Where the table of kinds goes on when this one cannot be had.
    pub(super) fn place_in_table(&self) -> usize {
        match self {
            Self::Fault(kind) => KINDS.iter().position(|found| found.name == kind.name).unwrap_or(0),
            Self::Quiet(_) | Self::Two => 0,
        }
    }
}

/// What case `index` of `seed` is about.
pub(super) fn of(choice: &Choice, seed: u64, index: u64) -> Result<Lot, ScenarioError> {
    match choice.fault.as_deref() {
        Some("none") => Ok(Lot::Quiet(QUIET[(index % QUIET.len() as u64) as usize])),
        Some(TWO) => Ok(Lot::Two),
        Some(name) => {
            let quiet = QUIET.into_iter().find(|quiet| quiet.name() == name).map(Lot::Quiet);
            let found = quiet.or_else(|| kinds::by_name(name).map(Lot::Fault));
            found.ok_or_else(|| ScenarioError::UnknownFault { name: name.to_owned() })
        }
        None => Ok(shuffled(seed, index)),
    }
}

/// Cases come in blocks, each in an order of its own, so that any long run of cases holds every kind about as often.
fn shuffled(seed: u64, index: u64) -> Lot {
    let in_block = (KINDS.len() + QUIET_IN_BLOCK + TWO_IN_BLOCK) as u64;
    let block = index / in_block;
    let quiet = |nth: usize| QUIET[((block * QUIET_IN_BLOCK as u64 + nth as u64) % QUIET.len() as u64) as usize];
    let mut lots: Vec<Lot> = KINDS.iter().map(Lot::Fault).collect();
    lots.extend((0..QUIET_IN_BLOCK).map(|nth| Lot::Quiet(quiet(nth))));
    lots.extend([Lot::Two; TWO_IN_BLOCK]);
    Random::of_part(seed, &format!("block {block}")).shuffle(&mut lots);
    lots[(index % in_block) as usize]
}

/// Subtle 20 %, middle 40 %, severe 25 %, total 15 %. Double faults are felt.
pub(super) fn severity(lot: &Lot, random: &mut Random) -> Severity {
    if !matches!(lot, Lot::Two) && random.chance(0.2) { Severity::Subtle } else { felt_severity(random) }
}

/// One from middle up.
pub(super) fn felt_severity(random: &mut Random) -> Severity {
    match random.unit() {
        drawn if drawn < 40.0 / 80.0 => Severity::Middle,
        drawn if drawn < 65.0 / 80.0 => Severity::Severe,
        _ => Severity::Total,
    }
}

/// Sudden in 65 %.
pub(super) fn onset(random: &mut Random) -> Onset {
    if random.chance(0.65) { Onset::Sudden } else { Onset::Creeping }
}
