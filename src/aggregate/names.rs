//! Names in sorted order: a key of the span table becomes a rank, so that nothing depends on how keys were numbered.

use rayon::prelude::*;

use super::peers::PeerNames;
use crate::telemetry::id::ServiceId;
use crate::telemetry::span::{PeerKind, SpanTable};

/// Stands for "none" wherever a number refers to something that may be absent.
pub(super) const NONE: u32 = u32::MAX;

/// What a peer key stands for.
#[derive(Clone, Copy)]
pub(super) struct PeerNode {
    pub(super) node: u32,
    pub(super) kind: PeerKind,
}

/// One process as it appears in the instance table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InstanceName {
    pub(super) node: u32,
    pub(super) instance: String,
    pub(super) version: String,
}

/// Sorted names, and the way from the table's keys to them.
pub(super) struct Names {
    /// Services and peers, sorted.
    pub(super) nodes: Vec<ServiceId>,
    /// Operations, sorted.
    pub(super) operations: Vec<String>,
    /// Processes, sorted.
    pub(super) instances: Vec<InstanceName>,
    /// The node of each process: a short list of its own, since it is read for every span.
    pub(super) node_of_instance: Vec<u32>,
    /// Peers by rank (order of name and kind).
    pub(super) peers: Vec<PeerNode>,
    /// Resource key to rank in `instances`.
    pub(super) instance_of_resource: Vec<u32>,
    /// Operation key to rank in `operations`.
    pub(super) operation_rank: Vec<u32>,
    /// Peer key to rank in `peers`.
    pub(super) peer_rank: Vec<u32>,
    /// Other names of nodes, sorted.
    pub(super) aliases: Vec<(ServiceId, u32)>,
    /// Whether any span stands for more than itself. Where none does, weights cost nothing.
    pub(super) sampled: bool,
}

impl Names {
    pub(super) fn new(spans: &SpanTable) -> Self {
        let services: Vec<ServiceId> = spans.resources().iter().map(|r| ServiceId::new(&r.service)).collect();
        let PeerNames { nodes: peer_names, aliases } = PeerNames::new(spans);
        let mut nodes: Vec<ServiceId> = services.iter().chain(&peer_names).cloned().collect();
        nodes.sort_unstable();
        nodes.dedup();

        let resources = spans.resources().iter().zip(&services).map(|(resource, service)| InstanceName {
            node: rank(&nodes, service),
            instance: resource.instance.clone(),
            version: resource.version.clone(),
        });
        let (instances, instance_of_resource) = ranks(resources.collect());
        let (operations, operation_rank) = ranks(spans.operations().to_vec());
        let named = spans.peers().iter().zip(&peer_names).map(|(peer, name)| (rank(&nodes, name), peer.kind));
        let (peers, peer_rank) = ranks(named.collect());
        let peers = peers.into_iter().map(|(node, kind)| PeerNode { node, kind }).collect();
        let aliases = aliases.into_iter().map(|(alias, node)| (alias, rank(&nodes, &node)));
        // A name of a service is no other node's.
        let aliases = aliases.filter(|(alias, _)| nodes.binary_search(alias).is_err()).collect();
        let node_of_instance = instances.iter().map(|instance| instance.node).collect();
        Self {
            nodes,
            operations,
            instances,
            node_of_instance,
            peers,
            instance_of_resource,
            operation_rank,
            peer_rank,
            aliases,
            sampled: spans.weight.par_iter().with_min_len(1 << 16).any(|&weight| weight > 1),
        }
    }

    /// The queue that a peer rank stands for; [`NONE`] when it is something else or nothing.
    pub(super) fn queue(&self, peer: u32) -> u32 {
        match self.peers.get(peer as usize) {
            Some(found) if found.kind == PeerKind::Queue => found.node,
            Some(_) | None => NONE,
        }
    }
}

/// The position of a value in a sorted list that holds it.
fn rank<T: Ord>(sorted: &[T], value: &T) -> u32 {
    sorted.binary_search(value).map_or(NONE, |at| at as u32)
}

/// The distinct values, sorted, and for each given value its position among them.
fn ranks<T: Ord + Clone>(values: Vec<T>) -> (Vec<T>, Vec<u32>) {
    let mut sorted = values.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let ranks = values.iter().map(|value| rank(&sorted, value)).collect();
    (sorted, ranks)
}
