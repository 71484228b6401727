//! A queue that takes no more messages, or takes them late, is full: it fills up where those who take messages out of it
//! have become slow. What begins at such a queue begins at them.

use std::collections::BTreeSet;

use super::Contribution;
use crate::detect::{Change, Finding};
use crate::incident::Incident;
use crate::rank::Suspect;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};
use crate::telemetry::topology::NodeKind;

/// A consumer that needs less than this many times as long for a message as before keeps up: services are seldom used to
/// more than two thirds of what they can do.
const SLOWER: f64 = 1.5;

/// Moves what rose at queues to their slow consumers, in equal shares. Of each contribution comes the spread that it is
/// compared with.
pub(super) fn leave_to_consumers(
    incident: &Incident,
    findings: &[Finding],
    contributions: &mut Vec<(Contribution, f64)>,
) {
    let graph = &incident.graph;
    for node in graph.nodes().iter().filter(|node| node.kind == NodeKind::Queue) {
        if std::env::var_os("DBG").is_some() {
            for f in findings.iter().filter(|f| graph.callees(&node.id).contains(&f.subject.service())) { eprintln!("{f:?}"); }
            for (c, _) in contributions.iter() { eprintln!("{c:?}"); }
        }
        let consumers: BTreeSet<&ServiceId> =
            graph.callees(&node.id).into_iter().filter(|consumer| is_slow(consumer, findings)).collect();
        if consumers.is_empty() {
            continue;
        }
        let of_queue = |part: &Contribution| match &part.suspect {
            Suspect::Service(service) | Suspect::Edge { callee: service, .. } => *service == node.id,
        };
        let (mut moved, mut scale) = (0.0, f64::MAX);
        for (part, of_part) in contributions.iter_mut().filter(|(part, _)| of_queue(part) && part.delta() > 0.0) {
            moved += part.delta();
            scale = scale.min(*of_part);
            part.incident = part.baseline;
            part.z = 0.0;
        }
        for consumer in consumers.iter().filter(|_| moved > 0.0) {
            let share = moved / consumers.len() as f64;
            let suspect = Suspect::Service((*consumer).clone());
            match contributions.iter_mut().find(|(part, _)| part.suspect == suspect) {
                Some((part, scale)) => {
                    part.incident += share;
                    part.z = part.delta() / *scale;
                }
                None => {
                    contributions
                        .push((Contribution { suspect, baseline: 0.0, incident: share, z: share / scale }, scale));
                }
            }
        }
    }
}

/// Whether a service needs much longer for what it does itself.
fn is_slow(service: &ServiceId, findings: &[Finding]) -> bool {
    findings.iter().any(|finding| {
        finding.significant
            && finding.signal == Signal::SelfTime
            && finding.change == Change::Rise
            && matches!(&finding.subject, Subject::Service(subject) if subject == service)
            && finding.incident > SLOWER * finding.baseline
    })
}
