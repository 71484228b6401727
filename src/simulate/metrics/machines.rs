//! What the node exporter tells of each machine: its processors' time, which all pods on it share.

use super::pods::{self, Pods};
use super::scrapes::Scrapes;
use super::{Family, FamilyKind, Labels};

/// Share of a pod's CPU time that the kernel spends for it.
const SYSTEM_SHARE: f64 = 0.15;

/// The families.
pub(super) fn families(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Vec<Family> {
    let help = "Seconds the CPUs spent in each mode.";
    let mut processors = Family::new(FamilyKind::Counter, "node_cpu_seconds", help);
    let mut names = Family::new(FamilyKind::Gauge, "node_uname_info", "Labeled system information.");
    let begin_ns = pods.recording.instance_samples.first().map_or(0, |sample| sample.at_ns);
    for machine in 0..pods.system.machines {
        let address = format!("{}:9100", pods::machine_address(machine));
        let labels = Labels::of([("instance", &address), ("job", "node-exporter")]);
        let ticks = scrapes.ticks(&pods::machine_name(machine), 1);
        let node = pods::machine_name(machine);
        names.push(labels.with([("nodename", &node)]), ticks.iter().map(|at_ns| (*at_ns, 1.0)).collect());
        let work = Work::of(pods, machine);
        let n_processors = (pods.system.machine_cores.round() as u32).max(1);
        for processor in 0..n_processors {
            let labels = labels.with([("cpu", &processor.to_string())]);
            let mut push = |mode: &str, seconds: &dyn Fn(f64, f64) -> f64| {
                let sample = |at_ns: &i64| {
                    let elapsed_s = (*at_ns - begin_ns) as f64 / 1e9;
                    // The scheduler spreads what is to be done over all processors.
                    let busy_s = (work.at(*at_ns) / f64::from(n_processors)).min(elapsed_s);
                    (*at_ns, to_centiseconds(seconds(elapsed_s, busy_s)))
                };
                processors.push(labels.with([("mode", mode)]), ticks.iter().map(sample).collect());
            };
            push("idle", &|elapsed_s, busy_s| elapsed_s - busy_s);
            push("system", &|_, busy_s| busy_s * SYSTEM_SHARE);
            push("user", &|_, busy_s| busy_s * (1.0 - SYSTEM_SHARE));
        }
    }
    vec![processors, names]
}

/// The kernel counts in ticks of 10 ms.
fn to_centiseconds(seconds: f64) -> f64 {
    (seconds * 100.0).floor() / 100.0
}

/// CPU time of all pods of one machine since the recording began.
struct Work {
    /// For each pod: readings as Unix ns and seconds since the first, starts of the container taken out.
    pods: Vec<Vec<(i64, f64)>>,
}

impl Work {
    fn of(pods: &Pods<'_>, machine: u32) -> Self {
        let here = pods.iter().filter(|pod| pod.instance.machine == machine);
        let mut found: Vec<Vec<(i64, f64)>> = here
            .map(|pod| growth(pods.samples(pod.index).iter().map(|sample| (sample.at_ns, sample.cpu_us))))
            .collect();
        let neighbours = pods.neighbours();
        let foreign = neighbours.iter().filter(|(of, _)| *of == machine);
        found.extend(foreign.map(|(_, samples)| growth(samples.iter().map(|sample| (sample.at_ns, sample.cpu_us)))));
        Self { pods: found }
    }

    /// Seconds up to an instant; between two readings it grew evenly.
    fn at(&self, at_ns: i64) -> f64 {
        self.pods.iter().map(|readings| between(readings, at_ns)).sum()
    }
}

fn growth(readings: impl Iterator<Item = (i64, u64)>) -> Vec<(i64, f64)> {
    let (mut before, mut total_us) = (None, 0_u64);
    readings
        .map(|(at_ns, cpu_us)| {
            total_us += match before {
                Some(before) if cpu_us >= before => cpu_us - before,
                // A container that was started again counts from 0.
                Some(_) => cpu_us,
                None => 0,
            };
            before = Some(cpu_us);
            (at_ns, total_us as f64 / 1e6)
        })
        .collect()
}

fn between(readings: &[(i64, f64)], at_ns: i64) -> f64 {
    let after = readings.partition_point(|(reading_ns, _)| *reading_ns <= at_ns);
    match (after.checked_sub(1).map(|index| readings[index]), readings.get(after)) {
        (Some((from_ns, from)), Some((until_ns, until))) => {
            from + (until - from) * ((at_ns - from_ns) as f64 / (until_ns - from_ns) as f64)
        }
        (Some((_, last)), None) => last,
        (None, _) => 0.0,
    }
}
