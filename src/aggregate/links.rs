//! Span links between producers and consumers, which often lie in different traces.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::forest::LocalSpan;
use super::names::{NONE, Names};
use super::partition::Packed;
use crate::telemetry::span::{SpanKind, SpanTable};

/// A span's address: trace and id.
type Address = (u128, u64);

/// Who sent the message that a consumer handles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sender {
    /// The queue that the producer names, or [`NONE`].
    pub(super) queue: u32,
    /// The producer's service.
    pub(super) service: u32,
    /// Whether the sending failed.
    pub(super) failed: bool,
    /// Whether the span does something else beside sending, so that nothing is known of the hand-over itself.
    pub(super) in_passing: bool,
}

/// Which end of a link holds it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    ByProducer,
    ByConsumer,
}

/// Links that join a producer and a consumer, in whichever direction they were written.
#[derive(Default)]
pub(super) struct Links {
    senders: FxHashMap<Address, Vec<Sender>>,
    /// The queue that the consumers of a producer's message name, or [`NONE`].
    receiving_queue: FxHashMap<Address, u32>,
    /// Links whose other end was not read.
    pub(super) unresolved: u64,
}

impl Links {
    /// Resolves all links of a table. Costs a look at every span, but only when there are links.
    pub(super) fn new(spans: &SpanTable, names: &Names) -> Self {
        if spans.links.is_empty() {
            return Self::default();
        }
        let own = |row: u32| (spans.trace[row as usize], spans.id[row as usize]);
        let ends = find_ends(spans, names, spans.links.iter().flat_map(|l| [own(l.row), (l.trace.0, l.id.0)]));
        let mut links = Self::default();
        for link in &spans.links {
            let (from, to) = (own(link.row), (link.trace.0, link.id.0));
            match (ends.get(&from), ends.get(&to)) {
                (Some(Some(a)), Some(Some(b))) => {
                    links.join(names, (from, a), (to, b), Written::ByProducer);
                    links.join(names, (to, b), (from, a), Written::ByConsumer);
                }
                _ => links.unresolved += 1,
            }
        }
        #[expect(clippy::iter_over_hash_type, reason = "each list is sorted by itself")]
        for senders in links.senders.values_mut() {
            senders.sort_unstable();
            senders.dedup();
        }
        links
    }

    fn join(&mut self, names: &Names, producer: (Address, &LocalSpan), consumer: (Address, &LocalSpan), by: Written) {
        let (sent, received) = (producer.1, consumer.1);
        if received.kind != SpanKind::Consumer {
            return;
        }
        let queues = (names.queue(sent.peer), names.queue(received.peer));
        let in_passing = match sent.kind {
            SpanKind::Producer => false,
            // A client sends where either side speaks of a queue.
            SpanKind::Client if queues != (NONE, NONE) => false,
            SpanKind::Consumer | SpanKind::Client => return,
            // The context in which the message was created, where the sending has no span. Only the consumer knows of it.
            SpanKind::Server | SpanKind::Internal | SpanKind::Unspecified if by == Written::ByConsumer => true,
            SpanKind::Server | SpanKind::Internal | SpanKind::Unspecified => return,
        };
        let failed = sent.failed() && !in_passing;
        let sender = Sender { queue: queues.0, service: sent.service, failed, in_passing };
        self.senders.entry(consumer.0).or_default().push(sender);
        let queue = self.receiving_queue.entry(producer.0).or_insert(NONE);
        *queue = (*queue).min(queues.1); // NONE is the greatest: a named queue wins, the first by name
    }

    /// Those who sent what this consumer handles, sorted; empty when no link tells.
    pub(super) fn senders(&self, trace: u128, id: u64) -> &[Sender] {
        if self.senders.is_empty() { &[] } else { self.senders.get(&(trace, id)).map_or(&[], Vec::as_slice) }
    }

    /// Whether a link leads from this producer to a consumer, and the queue that the consumer names (or [`NONE`]).
    pub(super) fn receiver(&self, trace: u128, id: u64) -> Option<u32> {
        if self.receiving_queue.is_empty() { None } else { self.receiving_queue.get(&(trace, id)).copied() }
    }
}

/// The span at each of the addresses; among duplicates the one that counts.
fn find_ends(
    spans: &SpanTable,
    names: &Names,
    addresses: impl Iterator<Item = Address>,
) -> FxHashMap<Address, Option<LocalSpan>> {
    let mut ends: FxHashMap<Address, Option<LocalSpan>> = addresses.map(|address| (address, None)).collect();
    let wanted: Vec<usize> = (0..spans.len())
        .into_par_iter()
        .with_min_len(1 << 16)
        .filter(|&row| ends.contains_key(&(spans.trace[row], spans.id[row])))
        .collect();
    for row in wanted {
        let span = LocalSpan::new(&Packed::new(spans, names, row), names);
        if let Some(found) = ends.get_mut(&(spans.trace[row], spans.id[row])) {
            match found {
                Some(before) if before.content() <= span.content() => {}
                _ => *found = Some(span),
            }
        }
    }
    ends
}
