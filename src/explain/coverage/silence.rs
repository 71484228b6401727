//! Services that something names and that do not speak for themselves.

use std::collections::BTreeSet;

use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};
use crate::telemetry::topology::NodeKind;

use super::{KnownFrom, Silent};

/// The silent nodes, by what knows them and then by name.
pub(super) fn silent(incident: &Incident) -> Vec<Silent> {
    let measured: BTreeSet<&ServiceId> = incident.series.iter().map(|s| s.subject.service()).collect();
    let spanned: BTreeSet<&ServiceId> =
        incident.calls.nodes.iter().filter(|n| n.kind == NodeKind::Service).map(|n| &n.id).collect();
    let in_calls: BTreeSet<&ServiceId> = incident.calls.nodes.iter().map(|n| &n.id).collect();
    let is_traced = !spanned.is_empty();
    let calling: BTreeSet<&ServiceId> = incident.series.iter().filter_map(|s| caller(&s.subject)).collect();

    let mut silent = BTreeSet::new();
    let mut note = |service: &ServiceId, known_from| {
        silent.insert(Silent { known_from, service: service.clone() });
    };
    for node in incident.graph.nodes().iter().filter(|node| !spanned.contains(&node.id)) {
        let sends_no_spans_anyway = matches!(node.kind, NodeKind::Database | NodeKind::Queue);
        match (measured.contains(&node.id), in_calls.contains(&node.id)) {
            (true, _) if is_traced && !sends_no_spans_anyway => note(&node.id, KnownFrom::Metrics),
            (true, _) => {}
            (false, true) => note(&node.id, KnownFrom::Callers),
            // Whoever calls on an edge that is measured is seen there.
            (false, false) if calling.contains(&node.id) => {}
            (false, false) if node.kind == NodeKind::Service => note(&node.id, KnownFrom::Edges),
            (false, false) => note(&node.id, KnownFrom::Callers),
        }
    }
    if is_traced {
        let own = incident.series.iter().filter(|s| s.signal != Signal::Other);
        for service in own.map(|s| s.subject.service()).filter(|s| incident.graph.kind(s).is_none()) {
            note(service, KnownFrom::Metrics);
        }
    }
    let known = incident.services();
    let unknown = |service: &&ServiceId| !known.contains(*service) && !measured.contains(*service);
    let alerted = incident.alert.as_ref().and_then(|alert| alert.service.as_ref());
    alerted.into_iter().filter(unknown).for_each(|s| note(s, KnownFrom::Alert));
    incident.logs.services.iter().filter(unknown).for_each(|s| note(s, KnownFrom::Logs));
    incident
        .changes
        .iter()
        .filter_map(|c| c.service.as_ref())
        .filter(unknown)
        .for_each(|s| note(s, KnownFrom::Changes));
    silent.into_iter().collect()
}

fn caller(subject: &Subject) -> Option<&ServiceId> {
    match subject {
        Subject::Edge { caller, .. } => Some(caller),
        Subject::Service(_) | Subject::Instance { .. } | Subject::Version { .. } | Subject::Operation { .. } => None,
    }
}
