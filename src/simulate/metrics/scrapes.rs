//! Which scrapes there were: the instants of each exporter, less those that were lost.

use super::pods::Pods;
use crate::simulate::observe::Imperfections;
use crate::simulate::random::Random;
use crate::simulate::recording::{InstanceIdx, InstanceSample, Recording};
use crate::simulate::system::ServiceIdx;

/// All times are whole multiples of this, ns.
const GRID_NS: i64 = 10_000_000;
/// Where the recording does not tell the time between two scrapes, ns.
const USUAL_STEP_NS: i64 = 15_000_000_000;

/// The instant that a stored sample has.
pub(super) fn scraped_at(at_ns: i64) -> i64 {
    at_ns.div_euclid(GRID_NS) * GRID_NS
}

/// Scrapes of a run.
pub(super) struct Scrapes<'r> {
    recording: &'r Recording,
    imperfections: &'r Imperfections,
    seed: u64,
    step_ns: i64,
    /// Readings that were stored, by instance, then time.
    by_instance: Vec<Vec<&'r InstanceSample>>,
}

impl<'r> Scrapes<'r> {
    pub(super) fn new(pods: &Pods<'r>, imperfections: &'r Imperfections, seed: u64) -> Self {
        let recording = pods.recording;
        let all = || (0..).zip(&recording.instances).map(|(index, instance)| (instance, pods.samples(index)));
        let steps = all().flat_map(|(_, samples)| samples.windows(2).map(|pair| pair[1].at_ns - pair[0].at_ns));
        let step_ns = scraped_at(steps.filter(|step| *step >= GRID_NS).min().unwrap_or(USUAL_STEP_NS));
        let mut scrapes = Self { recording, imperfections, seed, step_ns, by_instance: Vec::new() };
        for (instance, samples) in all() {
            let mut loss = scrapes.loss(&instance.pod, Some(instance.service));
            scrapes.by_instance.push(samples.iter().copied().filter(|sample| loss.keeps(sample.at_ns)).collect());
        }
        scrapes
    }

    /// What was read of a pod and stored, by time.
    pub(super) fn of_instance(&self, instance: InstanceIdx) -> &[&'r InstanceSample] {
        self.by_instance.get(instance as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether the scrape of a pod at this instant was stored. What is read with it but is no reading of the pod (its
    /// pools) is lost with it.
    pub(super) fn stored(&self, instance: InstanceIdx, at_ns: i64) -> bool {
        self.of_instance(instance).binary_search_by_key(&at_ns, |sample| sample.at_ns).is_ok()
    }

    /// The instants at which an exporter that is no pod of the system was scraped: every pod was read before the first.
    /// `times` is by how many times rarer than pods.
    pub(super) fn ticks(&self, exporter: &str, times: i64) -> Vec<i64> {
        let samples = &self.recording.instance_samples;
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
        let step_ns = self.step_ns * times;
        let steps_of_grid = usize::try_from(step_ns / GRID_NS).unwrap_or(1);
        let phase = Random::of_part(self.seed, &format!("phase of {exporter}")).below(steps_of_grid) as i64 * GRID_NS;
        let mut loss = self.loss(exporter, None);
        let begin = scraped_at(first.at_ns) + self.step_ns + phase;
        let instants = (0..).map(|n| begin + n * step_ns).take_while(|at_ns| *at_ns <= last.at_ns);
        instants.filter(|at_ns| loss.keeps(*at_ns)).collect()
    }

    /// What is lost of the scrapes of one target, to be asked in the order of time.
    pub(super) fn loss(&self, target: &str, service: Option<ServiceIdx>) -> Loss {
        let gaps = self.imperfections.scrape_gaps.iter().filter(|(of, _, _)| Some(*of) == service);
        Loss {
            random: Random::of_part(self.seed, &format!("scrapes of {target}")),
            share: self.imperfections.lost_scrapes,
            gaps: gaps.map(|(_, from_ns, length_ns)| (*from_ns, from_ns.saturating_add(*length_ns))).collect(),
        }
    }
}

/// Losses of one target.
pub(super) struct Loss {
    random: Random,
    share: f64,
    /// From and until, Unix ns.
    gaps: Vec<(i64, i64)>,
}

impl Loss {
    /// Whether the next scrape, at this instant, is stored.
    pub(super) fn keeps(&mut self, at_ns: i64) -> bool {
        let lost = self.random.chance(self.share);
        !lost && !self.gaps.iter().any(|(from_ns, until_ns)| (*from_ns..*until_ns).contains(&at_ns))
    }
}
