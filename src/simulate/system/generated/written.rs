//! A drawn system, written down for the builder.

use super::super::builder::{Builder, Cache, Do, ask, compute, insist, together, try_ask, work};
use super::super::{OperationIdx, ServiceIdx, System, TopicIdx};
use super::draft::{Draft, DraftCall, DraftConsumer, DraftOperation, DraftService, name_of};

/// Requests per second over all entries.
const TOTAL_PER_S: f64 = 8.0;
/// The system, with calls made with this probability.
pub(super) fn written(draft: &Draft, chance: f64) -> System {
    let mut writer = Writer::new(draft, chance);
    // Lower layers first: callees above their callers.
    for at in (0..draft.operations.len()).rev() {
        writer.operation(at);
    }
    for consumer in &draft.consumers {
        writer.consumer(consumer);
    }
    let total: f64 = draft.operations.iter().map(|operation| operation.weight).sum();
    for (drawn, operation) in draft.operations.iter().zip(&writer.operations) {
        if let Some(operation) = operation.filter(|_| drawn.layer == 0) {
            writer.builder.entry(operation, TOTAL_PER_S * drawn.weight / total);
        }
    }
    writer.builder.finish()
}

/// The system in the making; places of the draft's lists to places of the system's.
struct Writer<'a> {
    draft: &'a Draft,
    chance: f64,
    builder: Builder,
    services: Vec<ServiceIdx>,
    databases: Vec<ServiceIdx>,
    /// By service.
    caches: Vec<Option<Cache>>,
    topics: Vec<TopicIdx>,
    outside: Option<ServiceIdx>,
    /// What services that are called back are asked then.
    contexts: Vec<Option<OperationIdx>>,
    /// Those written so far.
    operations: Vec<Option<OperationIdx>>,
}

impl<'a> Writer<'a> {
    fn new(draft: &'a Draft, chance: f64) -> Self {
        let machines = (draft.services.len() as u32).div_ceil(6) + 2;
        let mut b = Builder::new("generated", machines, 16.0);
        let services: Vec<ServiceIdx> = draft.services.iter().map(|drawn| service(&mut b, drawn)).collect();
        let database = |(at, system): (usize, &&str)| b.database(system, &format!("{}-db", name_of(at)));
        let databases = draft.databases.iter().enumerate().map(database).collect();
        let cache = |drawn: &DraftService| {
            (drawn.cached && drawn.database.is_some()).then(|| b.cache("redis", &format!("{}-cache", drawn.name)))
        };
        let caches = draft.services.iter().map(cache).collect();
        let broker = (draft.n_topics > 0).then(|| b.broker("kafka", "kafka"));
        let topic = |at: usize| Some(b.topic(broker?, &format!("{}-events", name_of(at)), at % 2 == 1));
        let topics = (0..draft.n_topics).filter_map(topic).collect();
        let any_outside = draft.operations.iter().any(|operation| operation.asks_outside);
        let outside = any_outside.then(|| b.external("api.partner.example"));
        let mut contexts = vec![None; services.len()];
        for above in draft.operations.iter().filter_map(|operation| operation.calls_back) {
            // It works for those who wait for it while it waits itself.
            b.at_least_workers(services[above], 4);
            contexts[above].get_or_insert_with(|| b.http(services[above], "GET /context/{id}", &[work(18.0)]));
        }
        let operations = vec![None; draft.operations.len()];
        Self { draft, chance, builder: b, services, databases, caches, topics, outside, contexts, operations }
    }

    fn operation(&mut self, at: usize) {
        let drawn = &self.draft.operations[at];
        let service = &self.draft.services[drawn.service];
        let mut steps = vec![work(drawn.before_ms)];
        if let Some(database) = service.database {
            let summary = format!("SELECT {}_{at}", service.name);
            let statement = self.builder.statement(self.databases[database], &summary, drawn.statement_ms);
            steps.push(match self.caches[drawn.service] {
                Some(cache) => Do::Cached(cache, drawn.hit_ratio, vec![ask(statement)]),
                None => ask(statement),
            });
        }
        steps.extend(drawn.calls_back.and_then(|above| self.contexts[above]).map(ask));
        steps.extend(self.calls(drawn));
        if let Some(host) = self.outside.filter(|_| drawn.asks_outside) {
            let route = format!("POST /v1/{}/{at}", service.name);
            steps.push(insist(self.builder.remote(host, &route, 160.0), 1));
        }
        steps.extend(drawn.topic.map(|topic| Do::Publish(self.topics[topic])));
        steps.push(compute(drawn.after_ms));
        let of = self.services[drawn.service];
        self.operations[at] = Some(if service.over_http || drawn.layer == 0 {
            self.builder.http(of, &format!("GET /{}/{at}", service.name), &steps)
        } else {
            self.builder.grpc(of, &format!("generated.{}/Get{at}", service.name), &steps)
        });
    }

    /// The calls of an operation, each or all of them with the probability of the system.
    fn calls(&self, drawn: &DraftOperation) -> Vec<Do> {
        let known = drawn.callees.iter().filter_map(|call| Some((call, self.operations[call.operation]?)));
        let calls: Vec<Do> = if drawn.at_once && drawn.callees.len() > 1 {
            let of = |required: bool| {
                let of = known.clone().filter(|(call, _)| call.required == required);
                of.map(|(_, operation)| operation).collect::<Vec<_>>()
            };
            vec![together(&of(true), &of(false))]
        } else {
            let one = |(call, operation): (&DraftCall, OperationIdx)| {
                if call.required { insist(operation, call.retries) } else { try_ask(operation) }
            };
            known.map(one).collect()
        };
        if self.chance >= 1.0 {
            return calls;
        }
        calls.into_iter().map(|call| Do::Perhaps(self.chance, vec![call])).collect()
    }

    fn consumer(&mut self, drawn: &DraftConsumer) {
        let mut steps = vec![work(drawn.time_ms)];
        let service = &self.draft.services[drawn.service];
        if let Some(database) = service.database {
            let summary = format!("INSERT {}", service.name);
            steps.push(ask(self.builder.statement(self.databases[database], &summary, 40.0)));
        }
        self.builder.consume(self.services[drawn.service], self.topics[drawn.topic], &steps);
    }
}

fn service(b: &mut Builder, drawn: &DraftService) -> ServiceIdx {
    let service = b.service(&drawn.name, drawn.runtime, drawn.instances);
    if drawn.scales {
        b.scale(service, drawn.instances * 2);
    }
    service
}
