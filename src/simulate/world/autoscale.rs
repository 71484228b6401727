//! Horizontal scaling by CPU, as Kubernetes' HorizontalPodAutoscaler does it.
//!
//! ```text
//! desired = ceil(n · utilisation / target)     unless utilisation / target is within 0.9 to 1.1
//! ```
//!
//! `n` pods, `utilisation` their mean CPU use since the last look over the CPU limit; a pod that is not ready yet counts
//! as idle where more are wished for. Looked at every 15 s; growth is at
//! once, at most to twice as many or by four; shrinking waits until the largest wish of the last 5 min is below
//! (kubernetes.io, "Horizontal Pod Autoscaling", Algorithm details and Default behavior).

use std::collections::VecDeque;

use crate::simulate::recording::{ChangeKind, ChangeRecord};
use crate::simulate::system::{Autoscale, ServiceIdx};

use super::World;
use super::pod::Stage;
use super::time::SECOND_NS;

/// Between two looks.
pub(super) const LOOK_NS: i64 = 15 * SECOND_NS;
/// Looks within 5 min.
const REMEMBERED: usize = 20;
/// Deviation from the target that changes nothing.
const TOLERANCE: f64 = 0.1;
/// Pods that may be added at one look even if that is more than twice as many.
const LEAST_STEP: usize = 4;

/// What was wished for at the last looks.
pub(super) type Wishes = VecDeque<usize>;

impl World<'_> {
    /// Looks at every service that scales.
    pub(super) fn autoscale(&mut self) {
        for service in 0..self.system.services.len() {
            if let Some(settings) = self.system.services[service].autoscale {
                self.scale(service, settings);
            }
        }
    }

    fn scale(&mut self, service: ServiceIdx, settings: Autoscale) {
        let pods = self.wanted_pods(service);
        let n = pods.len();
        let least = self.system.services[service].instances.max(1) as usize;
        let wish = wish(n, self.use_of(service), settings.target);
        let wish = wish.clamp(least, (settings.most as usize).max(least));
        let wishes = &mut self.wishes[service];
        if wishes.len() == REMEMBERED {
            wishes.pop_front();
        }
        wishes.push_back(wish);
        // Before five minutes have passed, nothing is known that would justify fewer.
        let settled = if wishes.len() < REMEMBERED { n } else { 0 };
        let shrunk = wishes.iter().copied().max().unwrap_or(n).max(settled);
        let to = if wish > n { wish.min((2 * n).max(n + LEAST_STEP)) } else { shrunk.min(n) };
        if to == n {
            return;
        }
        if to > n {
            let version = self.versions[service].clone();
            for _ in n..to {
                let ordinal = self.next_ordinal(service);
                let pod = self.new_pod(service, ordinal, &version);
                self.start_new(pod);
            }
        } else {
            for pod in &pods[to..] {
                self.drain(*pod);
            }
        }
        self.record_scaling(service, n, to);
    }

    fn record_scaling(&mut self, service: ServiceIdx, from: usize, to: usize) {
        if self.now_ns < self.plan.start_ns {
            return;
        }
        let name = &self.system.services[service].name;
        self.recording.changes.push(ChangeRecord {
            at_ns: self.now_ns,
            service,
            kind: ChangeKind::Scale,
            version: None,
            description: format!("Scaled {name} from {from} to {to} pods: CPU utilisation against its target"),
        });
    }

    /// CPU use of the ready pods since the last look, in limits of one pod, and how many they are.
    fn use_of(&mut self, service: ServiceIdx) -> (f64, usize) {
        let (mut used_ns, mut ready) = (0, 0);
        for nth in 0..self.pods_of[service].len() {
            let pod = self.pods_of[service][nth];
            if self.pods[pod].stage == Stage::Ready {
                self.settle_cpu(pod);
                let pod = &mut self.pods[pod];
                used_ns += pod.counters.cpu_ns - pod.scaled_cpu_ns;
                pod.scaled_cpu_ns = pod.counters.cpu_ns;
                ready += 1;
            }
        }
        (used_ns as f64 / (LOOK_NS as f64 * self.system.services[service].cores), ready)
    }

    fn next_ordinal(&self, service: ServiceIdx) -> u32 {
        let taken = |ordinal: u32| {
            let mut pods = self.pods_of[service].iter().map(|pod| &self.pods[*pod]);
            pods.any(|pod| pod.stage != Stage::Ended && pod.ordinal == ordinal)
        };
        (0..).find(|ordinal| !taken(*ordinal)).unwrap_or(0)
    }
}

/// How many pods there should be: `n` there are, some of them not ready yet.
fn wish(n: usize, (used, ready): (f64, usize), target: f64) -> usize {
    let target = target.max(0.01);
    let ratio = if ready > 0 { used / ready as f64 / target } else { 1.0 };
    if (ratio - 1.0).abs() <= TOLERANCE {
        return n;
    }
    let wish = (used / target).ceil() as usize;
    // Those that are not ready count as idle when more are wished for, or each look would add for the same need.
    if ratio > 1.0 { wish.max(n) } else { wish.min(n) }
}
