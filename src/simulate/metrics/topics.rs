//! What the exporters of brokers tell of their topics.

use std::collections::BTreeMap;

use super::pods::Pods;
use super::scrapes::{Scrapes, scraped_at};
use super::{Family, FamilyKind, Labels};
use crate::simulate::system::{Role, Visibility};

/// Lag of consumers of Kafka, of which each service is a group.
pub(crate) const KAFKA_LAG: &str = "kafka_consumergroup_lag";
/// Messages in a queue of RabbitMQ; each consumer has one of its own, bound to the topic's exchange.
pub(crate) const RABBITMQ_READY: &str = "rabbitmq_queue_messages_ready";

/// The families.
pub(super) fn families(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Vec<Family> {
    let system = pods.system;
    let help = "Current Approximate Lag of a ConsumerGroup at Topic/Partition";
    let mut kafka = Family::new(FamilyKind::Gauge, KAFKA_LAG, help);
    let mut rabbitmq = Family::new(FamilyKind::Gauge, RABBITMQ_READY, "Messages ready to be delivered to consumers");
    let mut by_consumer: BTreeMap<(usize, usize), Vec<(i64, f64)>> = BTreeMap::new();
    for sample in &pods.recording.topic_samples {
        by_consumer.entry((sample.topic, sample.consumer)).or_default().push((sample.at_ns, sample.lag as f64));
    }
    for ((topic, consumer), samples) in by_consumer {
        let Some(topic) = system.topics.get(topic) else { continue };
        let broker = &system.services[topic.broker];
        let Some(&operation) = topic.consumers.get(consumer) else { continue };
        if broker.visibility == Visibility::Nothing {
            continue;
        }
        let group = &system.services[system.operations[operation].service].name;
        // One exporter asks the broker for all of its topics at once.
        let mut loss = scrapes.loss(&format!("exporter of {}", broker.name), Some(topic.broker));
        let stored = samples.into_iter().filter(|(at_ns, _)| loss.keeps(*at_ns));
        let samples: Vec<(i64, f64)> = stored.map(|(at_ns, lag)| (scraped_at(at_ns), lag)).collect();
        let labels = Labels::of([("job", &broker.name), ("namespace", &system.namespace)]);
        match &broker.role {
            Role::Queue(kind) if kind == "rabbitmq" => {
                let instance = format!("{}:15692", broker.name);
                let queue = format!("{}.{group}", topic.name);
                rabbitmq.push(labels.with([("instance", &instance), ("queue", &queue), ("vhost", "/")]), samples);
            }
            _ => {
                let instance = format!("{}:9308", broker.name);
                let labels = labels.with([("instance", &instance), ("partition", "0"), ("topic", &topic.name)]);
                kafka.push(labels.with([("consumergroup", group)]), samples);
            }
        }
    }
    vec![kafka, rabbitmq]
}
