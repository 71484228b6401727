//! Clocks of machines that are ahead or behind: everything that a pod tells has the time of its machine.

use crate::simulate::recording::{InstanceIdx, Recording, SpanRecord};

use super::Imperfections;

/// By how much the clock of each instance is ahead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clocks {
    /// By instance, ns.
    ahead_ns: Vec<i64>,
}

impl Clocks {
    /// The clocks of all instances of a recording. Several offsets of one machine add up.
    pub fn of(recording: &Recording, imperfections: &Imperfections) -> Self {
        let offsets = &imperfections.clock_offsets;
        let of_machine = |machine: u32| offsets.iter().filter(|(of, _)| *of == machine).map(|(_, ns)| ns).sum();
        Self { ahead_ns: recording.instances.iter().map(|instance| of_machine(instance.machine)).collect() }
    }

    /// What an instance's clock shows at `true_ns`, Unix ns; no clock shows a time before 1970.
    pub fn shown_ns(&self, instance: InstanceIdx, true_ns: i64) -> i64 {
        let ahead_ns = self.ahead_ns.get(instance as usize).copied().unwrap_or_default();
        true_ns.saturating_add(ahead_ns).max(1)
    }

    /// Gives spans the times that their instances' clocks showed. Lengths stay.
    pub(super) fn set(&self, spans: &mut [SpanRecord]) {
        for span in spans {
            span.start_ns = self.shown_ns(span.instance, span.start_ns);
            span.end_ns = self.shown_ns(span.instance, span.end_ns);
        }
    }
}
