//! One incident, before it is played: the system, its load, what goes wrong, what telemetry will lack.

mod calendar;
mod imperfect;
mod lot;
mod quiet;
#[cfg(test)]
mod tests;

use super::fault::{Fault, Moment, Onset, Severity, kinds, make};
use super::observe::Imperfections;
use super::plan::Plan;
use super::random::Random;
use super::system::System;
use lot::Lot;

pub use quiet::{QUIET, Quiet};

/// A scenario. Playing it is a pure function of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Which case of its seed.
    pub index: u64,
    /// Kind of its fault, `two-faults`, or a kind of [`QUIET`].
    pub kind: &'static str,
    /// The system.
    pub system: System,
    /// Load, effects and deploys, the faults' and the red herrings'.
    pub plan: Plan,
    /// What goes wrong; none in a quiet case, two in a double one.
    pub faults: Vec<Fault>,
    /// What a quiet case or a red herring is, for people: `harmless-deploy`. In a quiet
    /// case the first says what happens, if the system has a place for it.
    pub herrings: Vec<String>,
    /// What telemetry lacks.
    pub imperfections: Imperfections,
}

impl Scenario {
    /// Calls the faults subtle: no rule of the alerts noticed them, whatever was meant.
    pub fn call_subtle(&mut self) {
        for fault in &mut self.faults {
            fault.severity = Severity::Subtle;
        }
    }

    /// Name of the case: number, kind and worst severity (quiet cases have none), `0007-slow-database-middle`.
    pub fn name(&self) -> String {
        let worst = self.faults.iter().map(|fault| fault.severity).max();
        let severity = worst.map(|worst| format!("-{}", worst.name())).unwrap_or_default();
        format!("{:04}-{}{severity}", self.index, self.kind)
    }
}

/// What is fixed of a scenario; the rest is drawn.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Choice {
    /// Name of the system.
    pub system: Option<String>,
    /// The system itself, which was read from a file; then the name is not looked at.
    pub given: Option<System>,
    /// A kind of fault, `none` for a quiet case of any kind, a kind of [`QUIET`], or `two` for a double fault.
    pub fault: Option<String>,
    /// How severe.
    pub severity: Option<Severity>,
    /// How sudden.
    pub onset: Option<Onset>,
    /// About how many spans before sampling; the load follows, up to what the system is laid out for.
    pub spans: Option<u32>,
    /// About how many minutes are recorded; two thirds of them are before the fault.
    pub minutes: Option<u32>,
    /// Seconds between two scrapes of metrics.
    pub scrape_s: Option<u32>,
}

/// Why there is no such scenario.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScenarioError {
    /// No system of that name.
    #[error("no system is called `{name}`")]
    UnknownSystem {
        /// What was asked for.
        name: String,
    },
    /// No fault of that name.
    #[error("no fault is called `{name}`")]
    UnknownFault {
        /// What was asked for.
        name: String,
    },
    /// The system has no place for it: no cache to be flushed, nothing external to fail.
    #[error("{system} has no place for `{fault}`")]
    NoPlace {
        /// The system's name.
        system: String,
        /// The fault.
        fault: String,
    },
}

/// Makes a system by its name; what is random about it, from the seed.
pub type Systems<'a> = &'a dyn Fn(&str, u64) -> Option<System>;

/// Systems that are drawn in turn where none is chosen.
pub const DRAWN_SYSTEMS: [&str; 3] = ["shop", "booking", "generated"];

/// Draws case `index` of `seed`: a function of the choice and these two, whatever other cases are drawn.
///
/// # Errors
/// [`ScenarioError`] for what does not exist, or does not fit together.
pub fn draw(choice: &Choice, systems: Systems<'_>, seed: u64, index: u64) -> Result<Scenario, ScenarioError> {
    let lot = lot::of(choice, seed, index)?;
    // Each case has a seed of its own: cases are as independent of each other as streams of different seeds are.
    let case_seed = Random::of_part(seed, &format!("case {index}")).bits();
    let mut refused = None;
    // A generated system may lack a place for a fault that shop and booking have; without a choice the next one serves.
    for turn in 0..DRAWN_SYSTEMS.len() as u64 {
        let system = system_of(choice, systems, case_seed, index + turn)?;
        match drawn_in(choice, &lot, system, case_seed, index) {
            Ok(scenario) => return Ok(scenario),
            Err(error) => refused = Some(error),
        }
        if choice.system.is_some() || choice.given.is_some() {
            break;
        }
    }
    let error = refused.expect("at least one system was tried");
    if choice.fault.is_some() {
        return Err(error);
    }
    // Nothing was asked for that could not be had: the next kinds of the table are tried in the system that is chosen.
    let system = system_of(choice, systems, case_seed, index)?;
    let first = lot.place_in_table();
    let others = (0..kinds::KINDS.len()).map(|step| &kinds::KINDS[(first + step) % kinds::KINDS.len()]);
    let drawn = others.map(|kind| drawn_in(choice, &Lot::Fault(kind), system.clone(), case_seed, index));
    drawn.into_iter().find_map(Result::ok).ok_or(error)
}

fn system_of(choice: &Choice, systems: Systems<'_>, case_seed: u64, turn: u64) -> Result<System, ScenarioError> {
    if let Some(given) = &choice.given {
        return Ok(given.clone());
    }
    let drawn = DRAWN_SYSTEMS[(turn % DRAWN_SYSTEMS.len() as u64) as usize];
    let name = choice.system.as_deref().unwrap_or(drawn);
    systems(name, case_seed).ok_or_else(|| ScenarioError::UnknownSystem { name: name.to_owned() })
}

/// Draws what the lot says in one system.
fn drawn_in(
    choice: &Choice,
    lot: &Lot,
    mut system: System,
    case_seed: u64,
    index: u64,
) -> Result<Scenario, ScenarioError> {
    let part = |name: &str| Random::of_part(case_seed, name);
    let calendar = calendar::draw(&system, lot, choice, &mut part("calendar"));
    let severity = choice.severity.unwrap_or_else(|| lot::severity(lot, &mut part("severity")));
    let onset = choice.onset.unwrap_or_else(|| lot::onset(&mut part("onset")));
    let moment = Moment {
        severity,
        onset,
        from_ns: calendar.onset_ns,
        until_ns: calendar.end_ns(),
        load: calendar.load_at_onset,
    };
    let faults = match lot {
        Lot::Quiet(_) => Vec::new(),
        Lot::Fault(kind) => vec![one_fault(kind, &system, &moment, &mut part("fault"))?],
        Lot::Two => two_faults(choice, &system, &moment, &mut part("faults"))?,
    };
    let mut plan = calendar.plan(Random::of_part(case_seed, "world").bits());
    for fault in &faults {
        plan.effects.extend(fault.effects.iter().cloned());
        plan.deploys.extend(fault.deploys.iter().cloned());
    }
    let herrings = match lot {
        Lot::Quiet(quiet) => quiet::quiet_case(*quiet, &system, &mut plan, &calendar, &mut part("quiet")),
        Lot::Fault(_) | Lot::Two => quiet::herrings(&system, &faults, &mut plan, &calendar, &mut part("herrings")),
    };
    let causes: Vec<usize> = faults.iter().flat_map(|fault| fault.causes.iter().copied()).collect();
    imperfect::hide_spans(&mut system, &causes, &mut part("instrumentation"));
    let imperfections = imperfect::draw(&system, &causes, &plan, &mut part("imperfections"));
    Ok(Scenario { index, kind: lot.name(), system, plan, faults, herrings, imperfections })
}

fn one_fault(
    kind: &kinds::Kind,
    system: &System,
    moment: &Moment,
    random: &mut Random,
) -> Result<Fault, ScenarioError> {
    let allowed = vec![true; system.services.len()];
    make(kind, system, moment, &allowed, random).ok_or_else(|| no_place(system, kind.name))
}

/// Two faults of different kinds at different places, of which neither lies below the other where the system has such.
fn two_faults(
    choice: &Choice,
    system: &System,
    moment: &Moment,
    random: &mut Random,
) -> Result<Vec<Fault>, ScenarioError> {
    // One that is hardly felt beside another is none.
    let moment = Moment { severity: moment.severity.max(Severity::Middle), ..*moment };
    let mut order: Vec<&kinds::Kind> = kinds::KINDS.iter().filter(|kind| kind.name != "traffic-surge").collect();
    random.shuffle(&mut order);
    let everywhere = vec![true; system.services.len()];
    let first = order.iter().find_map(|kind| make(kind, system, &moment, &everywhere, random));
    let first = first.ok_or_else(|| no_place(system, lot::TWO))?;
    let severity = choice.severity.unwrap_or_else(|| lot::felt_severity(random)).max(Severity::Middle);
    // The second begins while the first goes on, so that there is one incident.
    let later_ns = (random.between(0.0, 60.0) * 1e9) as i64;
    let second = Moment { severity, from_ns: moment.from_ns + later_ns, ..moment };
    for allowed in quiet::apart(system, &first.causes) {
        let others = order.iter().filter(|kind| kind.name != first.kind);
        for kind in others {
            if let Some(found) = make(kind, system, &second, &allowed, random) {
                return Ok(vec![first, found]);
            }
        }
    }
    Err(no_place(system, lot::TWO))
}

fn no_place(system: &System, fault: &str) -> ScenarioError {
    ScenarioError::NoPlace { system: system.name.clone(), fault: fault.to_owned() }
}
