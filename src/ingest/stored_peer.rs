//! The other end of a call as text in tables of our own: everything that is known of it, which no usual column holds.

use crate::telemetry::span::{Peer, PeerKind, Place};

const KINDS: [(&str, PeerKind); 4] = [
    ("service", PeerKind::Service),
    ("database", PeerKind::Database),
    ("queue", PeerKind::Queue),
    ("external", PeerKind::External),
];

/// A list of JSON: kind, name, host, address, port.
pub(super) fn write(peer: &Peer) -> String {
    let Place { host, address, port } = &peer.place;
    let kind = KINDS.iter().find(|(_, kind)| *kind == peer.kind).map_or("", |(name, _)| name);
    serde_json::json!([kind, peer.name, host, address, port]).to_string()
}

/// `None` for what [`write`] has not written.
pub(super) fn read(text: &str) -> Option<Peer> {
    let (kind, name, host, address, port): (String, String, String, String, u16) = serde_json::from_str(text).ok()?;
    let (_, kind) = *KINDS.iter().find(|(name, _)| *name == kind)?;
    Some(Peer { name, kind, place: Place { host, address, port } })
}
