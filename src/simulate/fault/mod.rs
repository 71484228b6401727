//! What goes wrong: kinds of faults, how severe, how sudden, and which service is the cause.

mod changes;
mod code;
mod dependencies;
pub mod kinds;
mod load;
mod network;
mod resources;
mod scene;
mod sizes;
#[cfg(test)]
pub(in crate::simulate) mod tests;
pub(in crate::simulate) mod traffic;

pub(in crate::simulate) use changes::next_version;

use super::plan::{Deploy, Effect};
use super::random::Random;
use super::recording::ChangeRecord;
use super::system::{ServiceIdx, System};
use kinds::Kind;
use scene::Scene;
use traffic::Traffic;

/// How much of a fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Hardly felt; no alert is certain.
    Subtle,
    /// Users notice, alerts fire.
    Middle,
    /// Many requests are slow or fail.
    Severe,
    /// Nothing works any more at the place of the fault.
    Total,
}

impl Severity {
    /// All, from the least.
    pub const ALL: [Self; 4] = [Self::Subtle, Self::Middle, Self::Severe, Self::Total];

    /// As it is written: `subtle`, `middle`, `severe`, `total`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subtle => "subtle",
            Self::Middle => "middle",
            Self::Severe => "severe",
            Self::Total => "total",
        }
    }
}

/// How a fault begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Onset {
    /// At once.
    Sudden,
    /// Over some minutes.
    Creeping,
}

impl Onset {
    /// All.
    pub const ALL: [Self; 2] = [Self::Sudden, Self::Creeping];

    /// As it is written: `sudden`, `creeping`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sudden => "sudden",
            Self::Creeping => "creeping",
        }
    }
}

/// When and how a fault is to happen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moment {
    /// How much.
    pub severity: Severity,
    /// How it begins.
    pub onset: Onset,
    /// When it begins, Unix ns.
    pub from_ns: i64,
    /// When it ends, Unix ns.
    pub until_ns: i64,
    /// What the mean rates of the entries are multiplied with then.
    pub load: f64,
}

/// Seconds over which a creeping fault grows, from the least to the most.
const RAMP_S: (f64, f64) = (180.0, 300.0);

/// Makes a fault of a kind in a system, at a place drawn from those that carry a fair share of an entry's requests, of a
/// size that its users feel as the severity says. `allowed` says by service where it may lie. `None`: the system has no
/// place for it.
pub fn make(kind: &Kind, system: &System, moment: &Moment, allowed: &[bool], random: &mut Random) -> Option<Fault> {
    let traffic = Traffic::of(system, moment.load);
    let (low, high) = kind.sizes[moment.severity as usize];
    let size = random.between(low, high);
    let ramp_s = random.between(RAMP_S.0, RAMP_S.1);
    let mut scene = Scene {
        traffic: &traffic,
        severity: moment.severity,
        from_ns: moment.from_ns,
        until_ns: moment.until_ns,
        ramp_ns: match moment.onset {
            Onset::Sudden => 0,
            Onset::Creeping => ((ramp_s * 1e9) as i64).min((moment.until_ns - moment.from_ns) / 2),
        },
        size,
        allowed,
        random: Random::new(random.bits()),
    };
    let made = (kind.make)(&mut scene)?;
    Some(Fault {
        kind: kind.name,
        severity: moment.severity,
        onset: moment.onset,
        from_ns: moment.from_ns,
        causes: made.causes,
        outside: made.outside,
        description: made.description,
        effects: made.effects,
        deploys: made.deploys,
        changes: made.changes,
    })
}

/// One fault in one system.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// Name of its kind, `slow-database`.
    pub kind: &'static str,
    /// How much.
    pub severity: Severity,
    /// How it begins.
    pub onset: Onset,
    /// When it begins, Unix ns.
    pub from_ns: i64,
    /// Services of which each is a right answer to "where did it begin"; where `outside` has names, those that are hit
    /// first.
    pub causes: Vec<ServiceIdx>,
    /// Where it begins in no service of the system: the right answers, instead of `causes`.
    pub outside: Vec<String>,
    /// What happens, in a sentence for people.
    pub description: String,
    /// What it does to the world.
    pub effects: Vec<Effect>,
    /// Deploys that belong to it.
    pub deploys: Vec<Deploy>,
    /// Changes that someone recorded with it (settings, flags).
    pub changes: Vec<ChangeRecord>,
}
