//! Plays a scenario to the files of a case folder.

use super::alert::{self, Firing};
use super::fault::{Fault, Severity};
use super::metrics::{self, Family, openmetrics};
use super::observe::{Clocks, observe};
use super::random::Random;
use super::recording::Recording;
use super::scenario::{Choice, Scenario, ScenarioError, draw};
use super::system;
use super::windows::windows;
use super::world;
use super::write::case_toml::{Felt, case_toml};
use super::write::{CaseFile, TraceFormat, changes::changes, logs::logs, traces};

/// Of a fault that users are to notice, so many variants are played until an alert fires. Decided by the rules of the
/// alerts alone: whether an analysis finds the cause has no part in it.
const ATTEMPTS: u64 = 4;

/// A case, ready to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Played {
    /// Name of the system: the folder above.
    pub system: String,
    /// Name of the case: its folder.
    pub name: String,
    /// Its files, `case.toml` among them.
    pub files: Vec<CaseFile>,
    /// Spans in the traces.
    pub spans: usize,
    /// Whether an alert fired.
    pub is_alerted: bool,
}

/// Draws and plays case `index` of `seed`.
///
/// # Errors
/// [`ScenarioError`] when what was chosen does not exist or does not fit together.
pub fn play(choice: &Choice, seed: u64, index: u64, format: TraceFormat) -> Result<Played, ScenarioError> {
    let first = draw(choice, &system::by_name, seed, index)?;
    let mut take = Take::of(first);
    for attempt in 1..ATTEMPTS {
        if take.is_noticed_enough() {
            break;
        }
        let seed = Random::of_part(seed, &format!("attempt {attempt}")).bits();
        // Another place for the fault may not be had: then the last one serves.
        let Ok(other) = draw(&take.same_again(choice), &system::by_name, seed, index) else { break };
        take = Take::of(other);
    }
    if !take.is_noticed_enough() {
        take.scenario.call_subtle();
    }
    Ok(take.written(format))
}

/// A scenario that was played, and the alerts that it raised.
struct Take {
    scenario: Scenario,
    recording: Recording,
    families: Vec<Family>,
    firings: Vec<Firing>,
}

impl Take {
    fn of(scenario: Scenario) -> Self {
        let Scenario { system, plan, imperfections, .. } = &scenario;
        let mut recording = world::run(system, plan);
        // What the platform recorded, and what people did.
        recording.changes.extend(scenario.faults.iter().flat_map(|fault| fault.changes.iter().cloned()));
        recording.changes.sort_by_key(|change| change.at_ns);
        let families = metrics::collect(system, &recording, imperfections, plan.seed);
        let firings = alert::evaluate(system, &families, plan);
        Self { scenario, recording, families, firings }
    }

    /// Whether users notice what they are meant to notice: an alert began after the first fault of middle severity or
    /// above did.
    fn is_noticed_enough(&self) -> bool {
        let felt = self.scenario.faults.iter().filter(|fault| fault.severity >= Severity::Middle);
        let from_ns = felt.map(|fault| fault.from_ns).min();
        from_ns.is_none_or(|from_ns| self.firings.iter().any(|firing| firing.starts_ns >= from_ns))
    }

    /// What is kept when it is played again: everything that tables are made by.
    fn same_again(&self, choice: &Choice) -> Choice {
        let faults = &self.scenario.faults;
        let kind = |fault: &Fault| if faults.len() > 1 { "two".to_owned() } else { fault.kind.to_owned() };
        Choice {
            fault: faults.first().map(kind),
            severity: faults.first().map(|fault| fault.severity),
            onset: faults.first().map(|fault| fault.onset),
            ..choice.clone()
        }
    }

    fn written(&self, format: TraceFormat) -> Played {
        let Scenario { system, plan, imperfections, .. } = &self.scenario;
        let observed = observe(&self.recording, imperfections, plan.seed);
        let clocks = Clocks::of(&self.recording, imperfections);
        let windows = windows(plan, &self.scenario.faults, &self.firings);
        let files = [
            Some(case_toml(&self.scenario, &windows, &felt(&self.firings))),
            Some(traces(format, system, &self.recording, &observed)),
            Some(openmetrics::write(&self.families)),
            logs(system, &self.recording, &clocks),
            changes(system, &self.recording),
            (!self.firings.is_empty()).then(|| alert::body(&self.firings, system)),
        ];
        Played {
            system: system.name.clone(),
            name: self.scenario.name(),
            files: files.into_iter().flatten().collect(),
            spans: observed.spans.len(),
            is_alerted: !self.firings.is_empty(),
        }
    }
}

/// Where and how users felt it, by the first alert; what wakes people counts before what waits for the morning.
fn felt(firings: &[Firing]) -> Felt<'_> {
    let is_page = |firing: &&Firing| firing.labels.iter().any(|label| label.0 == "severity" && label.1 == "critical");
    let first = firings.iter().min_by_key(|firing| (!is_page(firing), firing.pending_since_ns));
    let symptom = |firing: &Firing| if firing.rule.starts_with("Latency") { "latency" } else { "errors" };
    Felt { entry: first.map(Firing::service), symptom: first.map(symptom), alerted: first.is_some() }
}
