//! Horizontal scaling by CPU, as Kubernetes' HorizontalPodAutoscaler does it.
//!
//! ```text
//! desired = ceil(n · utilisation / target)     unless utilisation / target is within 0.9 to 1.1
//! ```
//!
//! `n` pods, `utilisation` their mean CPU use since the last look over the CPU limit. Looked at every 15 s; growth is at
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
        let utilisation = self.utilisation(service);
        let pods: Vec<usize> = (0..self.pods.len())
            .filter(|pod| self.pods[*pod].service == service && self.pods[*pod].is_wanted())
            .filter(|pod| !self.pods.iter().any(|other| other.replaces == Some(*pod)))
            .collect();
        let n = pods.len();
        let ratio = utilisation / settings.target.max(0.01);
        let least = self.system.services[service].instances.max(1) as usize;
        let wish = if (ratio - 1.0).abs() <= TOLERANCE { n } else { (n as f64 * ratio).ceil() as usize };
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

    /// CPU use of the ready pods since the last look over their limits, 0 to 1.
    fn utilisation(&mut self, service: ServiceIdx) -> f64 {
        let (mut used_ns, mut allowed_ns) = (0.0, 0.0);
        let cores = self.system.services[service].cores;
        for pod in 0..self.pods.len() {
            if self.pods[pod].service != service || self.pods[pod].stage != Stage::Ready {
                continue;
            }
            self.settle_cpu(pod);
            let pod = &mut self.pods[pod];
            let since_ns = LOOK_NS.min(self.now_ns - pod.counters.started_ns);
            used_ns += (pod.counters.cpu_ns - pod.scaled_cpu_ns) as f64;
            allowed_ns += since_ns as f64 * cores;
            pod.scaled_cpu_ns = pod.counters.cpu_ns;
        }
        if allowed_ns > 0.0 { used_ns / allowed_ns } else { 0.0 }
    }

    fn next_ordinal(&self, service: ServiceIdx) -> u32 {
        let taken = |ordinal: u32| {
            self.pods.iter().any(|pod| pod.service == service && pod.stage != Stage::Ended && pod.ordinal == ordinal)
        };
        (0..).find(|ordinal| !taken(*ordinal)).unwrap_or(0)
    }
}
