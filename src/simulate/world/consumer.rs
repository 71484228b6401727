//! Topics: every consumer group gets every message in turn, as fast as its pods take them.

use std::collections::VecDeque;

use crate::simulate::recording::Outcome;
use crate::simulate::system::{LinkIdx, OperationIdx, ServiceIdx, System, TopicIdx};

use super::World;
use super::job::Origin;
use super::pod::Stage;
use super::time::MICROSECOND_NS;

/// Between the broker and the consumer's code.
const FETCH_NS: i64 = 400 * MICROSECOND_NS;
/// Times that a message is delivered before it is dropped.
const MOST_DELIVERIES: u8 = 2;

/// A message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    /// Trace and span of the producer; 0: it records none.
    pub(super) context: (u128, u64),
    deliveries: u8,
}

/// The consumers of one topic with one operation.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) topic: TopicIdx,
    /// Place in the topic's list of consumers.
    pub(super) consumer: usize,
    operation: OperationIdx,
    service: ServiceIdx,
    /// Place among the groups of its service.
    slot: usize,
    /// The way from the consumer to the broker, where the system has one.
    link: Option<LinkIdx>,
    pub(super) line: VecDeque<Message>,
    /// Counts messages: the next pod in turn.
    turn: usize,
}

/// All groups of a system, by topic, then place among its consumers.
pub(super) fn groups_of(system: &System) -> Vec<Group> {
    let mut in_service = vec![0; system.services.len()];
    let mut groups = Vec::new();
    for (topic, settings) in system.topics.iter().enumerate() {
        for (consumer, operation) in settings.consumers.iter().enumerate() {
            let service = system.operations[*operation].service;
            let slot = in_service[service];
            in_service[service] += 1;
            groups.push(Group {
                topic,
                consumer,
                operation: *operation,
                service,
                slot,
                link: system.link(service, settings.broker),
                line: VecDeque::new(),
                turn: 0,
            });
        }
    }
    groups
}

impl World<'_> {
    /// Whether consumers of a group begin traces of their own.
    pub(super) fn is_linked(&self, group: u32) -> bool {
        self.system.topics[self.groups[group as usize].topic].linked
    }

    /// The broker has a message: every group gets it.
    pub(super) fn deliver(&mut self, topic: TopicIdx, context: (u128, u64)) {
        // Groups stand in the order of their topics.
        let first = self.groups.partition_point(|group| group.topic < topic);
        for group in first..first + self.system.topics[topic].consumers.len() {
            self.groups[group].line.push_back(Message { context, deliveries: 1 });
            self.take_messages(group);
        }
    }

    /// Pods with a free place take messages.
    pub(super) fn take_messages(&mut self, place: usize) {
        while let Some(message) = self.groups[place].line.front().copied() {
            let Some(pod) = self.free_consumer(place) else { return };
            let group = &mut self.groups[place];
            group.line.pop_front();
            group.turn += 1;
            let (slot, operation) = (group.slot, group.operation);
            self.pods[pod as usize].consuming[slot] += 1;
            self.pods[pod as usize].counters.received_bytes += self.sizes[operation].0;
            let job = self.new_job(pod, operation as u32, Origin::Topic(place as u32, message), message.context);
            self.begin_message(job, FETCH_NS);
        }
    }

    /// A pod of the group with a free place; `None` when there is none or the broker cannot be reached.
    fn free_consumer(&self, place: usize) -> Option<u32> {
        let group = &self.groups[place];
        let topic = &self.system.topics[group.topic];
        let broker_serves = self.routable[topic.broker].iter().any(|pod| self.pods[*pod as usize].serves());
        if !broker_serves || group.link.is_some_and(|link| self.links[link].cut) {
            return None;
        }
        let pods = &self.routable[group.service];
        (0..pods.len()).map(|nth| pods[(group.turn + nth) % pods.len()]).find(|pod| {
            let pod = &self.pods[*pod as usize];
            pod.stage == Stage::Ready && pod.consuming[group.slot] < topic.prefetch.max(1)
        })
    }

    /// A message has been worked on; one that failed comes once more.
    pub(super) fn end_message(&mut self, pod: usize, group: u32, message: Message, outcome: Outcome) {
        let place = group as usize;
        let slot = self.groups[place].slot;
        self.pods[pod].consuming[slot] -= 1;
        if outcome != Outcome::Ok {
            self.redeliver(group, message);
        }
        self.take_messages(place);
        self.end_if_drained(pod);
    }

    /// Puts a message back unless it was delivered often enough.
    pub(super) fn redeliver(&mut self, group: u32, message: Message) {
        if message.deliveries >= MOST_DELIVERIES {
            return;
        }
        let again = Message { deliveries: message.deliveries + 1, ..message };
        self.groups[group as usize].line.push_back(again);
    }
}
