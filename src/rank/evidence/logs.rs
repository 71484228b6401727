//! What a service's own logs say: another way through the code than before, messages that are new or gone.
//!
//! What its callees' logs say as well is taken off, for who calls a failing service logs that too. Only kinds of messages,
//! their severities and their order count; what the messages say in prose does not.

use std::collections::BTreeMap;

use super::log_windows::Windows;
use super::{log_flow, log_messages};
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;

/// How the logs of a service changed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct LogChange {
    /// Bits of evidence, positive.
    pub(crate) bits: f64,
    /// What shows it most.
    pub(crate) shown: Shown,
}

/// What shows a change in the logs. Templates are indices into those of the incident's logs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Shown {
    /// After a message comes another one than before (`None`: it is the last of its trace): shares of traces with `from`.
    Flow { from: u32, to: Option<u32>, before: f64, during: f64 },
    /// A kind of message comes more or less often: records a second while logs were collected.
    Message { template: u32, before: f64, during: f64 },
}

/// The change in the logs of every service that has one of its own, at most `cap` bits.
pub(crate) fn changes(incident: &Incident, cap: f64) -> BTreeMap<ServiceId, LogChange> {
    let windows = Windows::of(incident);
    let mut strongest: BTreeMap<u32, LogChange> = BTreeMap::new();
    for (service, change) in
        log_flow::changes(incident, &windows).into_iter().chain(log_messages::changes(incident, &windows))
    {
        let known = strongest.entry(service).or_insert(change);
        if change.bits > known.bits {
            *known = change;
        }
    }
    let by_name: BTreeMap<&ServiceId, LogChange> = strongest
        .into_iter()
        .filter_map(|(service, change)| Some((incident.logs.services.get(service as usize)?, change)))
        .collect();
    let own = |service: &ServiceId, change: &LogChange| {
        let callees = incident.graph.callees(service).into_iter().filter(|callee| *callee != service);
        let inherited = callees.filter_map(|callee| by_name.get(callee)).map(|c| c.bits).fold(0.0, f64::max);
        (change.bits - inherited).min(cap)
    };
    by_name
        .iter()
        .map(|(service, change)| ((*service).clone(), LogChange { bits: own(service, change), ..*change }))
        .filter(|(_, change)| change.bits > 0.0)
        .collect()
}
