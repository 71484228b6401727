//! What each span of a trace is in a call: the head of a callee's work, the caller's half, a call to a silent peer, or none.

use super::forest::Forest;
use super::links::Links;
use super::names::{NONE, Names};
use crate::telemetry::span::{PeerKind, SpanKind};

/// The part that one span plays.
#[derive(Clone, Copy)]
pub(super) struct Role {
    /// The head of the callee's work that the span belongs to; its own position for a head.
    pub(super) home: u32,
    /// The head whose answer this span waits for as the caller's half; [`NONE`] when it is no half.
    pub(super) pair: u32,
    /// Whether a call begins here at the callee's side.
    pub(super) head: bool,
    /// Whether nobody waits for this head.
    pub(super) detached: bool,
    /// What an outgoing span without a head below calls.
    pub(super) outgoing: Outgoing,
    /// Whether a span of the same work, this one or above, handles a message.
    consuming: bool,
    /// Whether a head hangs below, through spans of the same work only.
    head_below: bool,
    /// Whether an outgoing span with a named peer is below, through spans of the same work only.
    peer_below: bool,
    /// Whether this span or one above in the same work is already counted as an outgoing call.
    covered: bool,
}

/// What an outgoing span means when its callee left no span below it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// Nothing: not outgoing, or a callee's span tells more.
    Nothing,
    /// A call to the node with this rank, which the caller waits for.
    Waits(u32),
    /// A message to the node with this rank.
    Sends(u32),
    /// A call to somebody unknown.
    Unknown,
}

const UNDECIDED: Role = Role {
    home: NONE,
    pair: NONE,
    head: false,
    detached: false,
    outgoing: Outgoing::Nothing,
    consuming: false,
    head_below: false,
    peer_below: false,
    covered: false,
};

/// Finds the role of every span. `roles` is emptied first.
pub(super) fn find_roles(forest: &Forest, names: &Names, links: &Links, roles: &mut Vec<Role>) {
    roles.clear();
    roles.resize(forest.spans.len(), UNDECIDED);
    find_heads(forest, names, links, roles);
    find_halves(forest, roles);
    look_below(forest, roles);
    find_outgoing(forest, names, links, roles);
}

/// Whether the kind says outright that the span is the caller's side.
pub(super) fn calls_out(kind: SpanKind) -> bool {
    matches!(kind, SpanKind::Client | SpanKind::Producer)
}

/// Whether the kind says outright that the span is the callee's side.
fn is_called(kind: SpanKind) -> bool {
    matches!(kind, SpanKind::Server | SpanKind::Consumer)
}

/// A head is a span without a parent, one of another service than its parent, the server of a client, or a message's
/// handler (its link or queue says so; a handler within a handler is the same message).
fn find_heads(forest: &Forest, names: &Names, links: &Links, roles: &mut [Role]) {
    for &at in &forest.order {
        let span = &forest.spans[at as usize];
        let parent = forest.parent[at as usize];
        let consumer = span.kind == SpanKind::Consumer;
        let (mut head, mut home, mut consuming) = (true, at, consumer);
        if parent != NONE {
            let above = &forest.spans[parent as usize];
            let around = roles[parent as usize];
            let remote = span.service != above.service || (is_called(span.kind) && calls_out(above.kind));
            let message = consumer
                && !around.consuming
                && (names.queue(span.peer) != NONE || !links.senders(forest.trace, span.id).is_empty());
            head = remote || message;
            if !head {
                home = around.home;
                consuming |= around.consuming;
            }
        }
        let role = &mut roles[at as usize];
        (role.head, role.home, role.consuming) = (head, home, consuming);
    }
}

/// Decides which heads nobody waits for, and which spans are the caller's half of a call.
///
/// A client is a half by its kind. In data without kinds, a span whose only child is another service's is taken for
/// one, unless it is itself a head: then it is the caller's whole work and not just its waiting.
fn find_halves(forest: &Forest, roles: &mut [Role]) {
    for &at in &forest.order {
        let children = forest.children(at);
        let span = &forest.spans[at as usize];
        let answered = forest.spans[roles[at as usize].home as usize].end_ns;
        let client = span.kind == SpanKind::Client;
        let (mut last, mut last_end) = (NONE, i64::MIN);
        for &child in children {
            if !roles[child as usize].head {
                continue;
            }
            let head = &forest.spans[child as usize];
            let message = head.kind == SpanKind::Consumer || span.kind == SpanKind::Producer;
            // A client waits whatever the callee's clock says; without one, the callee's start is all there is.
            let late = if client { span.start_ns } else { head.start_ns } > answered;
            let detached = message || late || (!client && head.start_ns > span.end_ns);
            roles[child as usize].detached = detached;
            if !detached && (last == NONE || head.end_ns > last_end) {
                (last, last_end) = (child, head.end_ns);
            }
        }
        let unnamed = span.kind == SpanKind::Unspecified && !roles[at as usize].head && children.len() == 1;
        if last != NONE && (client || unnamed) {
            roles[at as usize].pair = last;
        }
    }
}

/// Tells every span what hangs below it within the same work.
fn look_below(forest: &Forest, roles: &mut [Role]) {
    for &at in forest.order.iter().rev() {
        let parent = forest.parent[at as usize];
        if parent == NONE {
            continue;
        }
        let role = roles[at as usize];
        let named = forest.spans[at as usize].peer != NONE && !is_called(forest.spans[at as usize].kind);
        let above = &mut roles[parent as usize];
        above.head_below |= role.head || role.head_below;
        above.peer_below |= !role.head && (named || role.peer_below);
    }
}

/// Finds the outgoing spans that no callee's span explains. Of nested ones (a client library in a client library)
/// the outermost that names its peer counts, and only once.
fn find_outgoing(forest: &Forest, names: &Names, links: &Links, roles: &mut [Role]) {
    for &at in &forest.order {
        let span = &forest.spans[at as usize];
        let parent = forest.parent[at as usize];
        let role = roles[at as usize];
        if !role.head && parent != NONE && roles[parent as usize].covered {
            roles[at as usize].covered = true;
            continue;
        }
        if is_called(span.kind) || (span.peer == NONE && !calls_out(span.kind)) {
            continue;
        }
        let (outgoing, covered) = if role.head_below {
            (queue_towards_children(forest, names, roles, at).map_or(Outgoing::Nothing, Outgoing::Sends), false)
        } else {
            let receiver = links.receiver(forest.trace, span.id);
            match (names.peers.get(span.peer as usize), receiver) {
                (Some(peer), _) if span.kind == SpanKind::Producer || peer.kind == PeerKind::Queue => {
                    (Outgoing::Sends(peer.node), true)
                }
                (Some(peer), _) => (Outgoing::Waits(peer.node), true),
                (None, Some(NONE)) => (Outgoing::Nothing, true), // the consumer's own call tells of this edge
                (None, Some(queue)) => (Outgoing::Sends(queue), true),
                (None, None) if role.peer_below => (Outgoing::Nothing, false),
                (None, None) => (Outgoing::Unknown, true),
            }
        };
        roles[at as usize].outgoing = outgoing;
        roles[at as usize].covered = covered;
    }
}

/// The queue between a sending span and the consumers right below it.
fn queue_towards_children(forest: &Forest, names: &Names, roles: &[Role], at: u32) -> Option<u32> {
    let consumers = forest
        .children(at)
        .iter()
        .filter(|&&child| roles[child as usize].head && forest.spans[child as usize].kind == SpanKind::Consumer);
    consumers.map(|&child| queue_between(forest, names, at, child)).find(|&queue| queue != NONE)
}

/// The queue that either side of a message names, the sender first; [`NONE`] when neither does.
pub(super) fn queue_between(forest: &Forest, names: &Names, sender: u32, consumer: u32) -> u32 {
    let sender = &forest.spans[sender as usize];
    let sent_to = if calls_out(sender.kind) { names.queue(sender.peer) } else { NONE };
    if sent_to == NONE { names.queue(forest.spans[consumer as usize].peer) } else { sent_to }
}
