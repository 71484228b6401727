//! What is drawn of a generated system: layers of services, who calls whom, who keeps what.

use super::super::Runtime;
use super::{Blueprint, MOST_SERVICES};
use crate::simulate::random::Random;

/// Front doors at most, in systems of more than one layer.
const MOST_FRONT: usize = 4;

const NOUNS: [&str; 64] = [
    "accounts",
    "ads",
    "alerts",
    "archive",
    "assets",
    "audit",
    "auth",
    "batches",
    "billing",
    "bookmarks",
    "budgets",
    "calendar",
    "campaigns",
    "carts",
    "catalog",
    "claims",
    "comments",
    "contacts",
    "contracts",
    "coupons",
    "credits",
    "devices",
    "documents",
    "events",
    "exports",
    "feeds",
    "files",
    "forms",
    "geo",
    "groups",
    "identity",
    "images",
    "imports",
    "invoices",
    "labels",
    "leads",
    "ledger",
    "limits",
    "listings",
    "maps",
    "media",
    "members",
    "messages",
    "metadata",
    "offers",
    "orders",
    "partners",
    "payouts",
    "plans",
    "policies",
    "prices",
    "profiles",
    "quotas",
    "quotes",
    "ratings",
    "refunds",
    "reports",
    "rules",
    "search",
    "sessions",
    "stock",
    "tags",
    "tasks",
    "users",
];

/// What was drawn. Places are those of the draft's own lists.
pub(super) struct Draft {
    pub(super) services: Vec<DraftService>,
    /// Upper layers first.
    pub(super) operations: Vec<DraftOperation>,
    /// What each is, as semantic conventions name it.
    pub(super) databases: Vec<&'static str>,
    pub(super) consumers: Vec<DraftConsumer>,
    pub(super) n_topics: usize,
}

pub(super) struct DraftService {
    pub(super) name: String,
    pub(super) runtime: Runtime,
    pub(super) instances: u32,
    pub(super) scales: bool,
    pub(super) over_http: bool,
    pub(super) database: Option<usize>,
    pub(super) cached: bool,
}

pub(super) struct DraftOperation {
    pub(super) service: usize,
    /// From 0, the front doors.
    pub(super) layer: usize,
    pub(super) before_ms: f64,
    pub(super) after_ms: f64,
    pub(super) statement_ms: f64,
    pub(super) hit_ratio: f64,
    pub(super) asks_outside: bool,
    /// Together or one after the other.
    pub(super) at_once: bool,
    pub(super) callees: Vec<DraftCall>,
    pub(super) topic: Option<usize>,
    /// The service that is called back.
    pub(super) calls_back: Option<usize>,
    /// Weight of its requests among all, for front doors.
    pub(super) weight: f64,
}

pub(super) struct DraftCall {
    pub(super) operation: usize,
    pub(super) required: bool,
    pub(super) retries: u32,
}

pub(super) struct DraftConsumer {
    pub(super) service: usize,
    pub(super) topic: usize,
    pub(super) time_ms: f64,
}

impl Draft {
    pub(super) fn draw(blueprint: &Blueprint, random: &mut Random) -> Self {
        let n_services = blueprint.services.clamp(1, MOST_SERVICES);
        // At least one service is asked, by whom consumers get their messages.
        let n_consumers = ((n_services as f64 * blueprint.asynchronous) as usize).min(n_services - 1);
        let widths = widths(n_services - n_consumers, blueprint.depth, blueprint.fan_out);
        let mut draft = Self {
            services: services(n_services, blueprint, random),
            operations: Vec::new(),
            databases: Vec::new(),
            consumers: Vec::new(),
            n_topics: 0,
        };
        draft.keep_data(blueprint, widths.first().copied().unwrap_or(1), n_services - n_consumers, random);
        let mut service = 0;
        for (layer, width) in widths.iter().enumerate() {
            for _ in 0..*width {
                // Front doors have more to offer.
                for _ in 0..1 + random.below(if layer == 0 { 4 } else { 2 }) {
                    draft.operations.push(operation(service, layer, random));
                }
                service += 1;
            }
        }
        draft.connect(blueprint, random);
        draft.call_back(blueprint, random);
        draft.send(n_services - n_consumers..n_services, random);
        let lowest = widths.len().saturating_sub(2).max(1);
        for operation in draft.operations.iter_mut().filter(|operation| operation.layer >= lowest) {
            operation.asks_outside = random.chance(blueprint.outside);
        }
        draft
    }

    /// Gives databases to services below the front doors: each database has one at least. From `n_callable` on they are
    /// consumers, who write and have no use for a cache.
    fn keep_data(&mut self, blueprint: &Blueprint, n_front: usize, n_callable: usize, random: &mut Random) {
        let systems = ["postgresql", "mysql", "mongodb", "postgresql"];
        let n_databases = (self.services.len() as f64 * blueprint.databases).ceil() as usize;
        let mut places: Vec<usize> = (n_front.min(self.services.len() - 1)..self.services.len()).collect();
        random.shuffle(&mut places);
        for (at, service) in places.into_iter().enumerate() {
            let database = if at < n_databases {
                self.databases.push(random.pick(&systems).copied().unwrap_or("postgresql"));
                at
            } else if random.chance(0.35) && !self.databases.is_empty() {
                random.below(self.databases.len())
            } else {
                continue;
            };
            self.services[service].database = Some(database);
            let consumes = service >= n_callable;
            self.services[service].cached = !consumes && random.chance(blueprint.caches);
        }
    }

    /// Gives every operation below the front doors a caller in the layer above, and some a second one.
    fn connect(&mut self, blueprint: &Blueprint, random: &mut Random) {
        for at in 0..self.operations.len() {
            let layer = self.operations[at].layer;
            let above = |from: usize| {
                let fits = |operation: &DraftOperation| (from..layer).contains(&operation.layer);
                (0..at).filter(|&other| fits(&self.operations[other])).collect::<Vec<_>>()
            };
            let Some(just_above) = layer.checked_sub(1).map(above) else { continue };
            let all_above = above(0);
            // The one with fewer callees of two, so that none has all.
            let two = [random.below(just_above.len()), random.below(just_above.len())].map(|place| just_above[place]);
            let first = two.into_iter().min_by_key(|&other| self.operations[other].callees.len());
            let second = if random.chance(blueprint.shared) { random.pick(&all_above).copied() } else { None };
            for caller in first.into_iter().chain(second.filter(|second| Some(*second) != first)) {
                let required = !random.chance(0.15);
                let retries = u32::from(required && random.chance(0.3));
                self.operations[caller].callees.push(DraftCall { operation: at, required, retries });
            }
        }
    }

    fn call_back(&mut self, blueprint: &Blueprint, random: &mut Random) {
        for caller in 0..self.operations.len() {
            for callee in 0..self.operations[caller].callees.len() {
                let callee = self.operations[caller].callees[callee].operation;
                let (above, below) = (self.operations[caller].service, self.operations[callee].service);
                let free = self.operations[callee].calls_back.is_none() && above != below;
                if free && random.chance(blueprint.callbacks) {
                    self.operations[callee].calls_back = Some(above);
                }
            }
        }
    }

    /// Topics for the consumers: a new one or one that others have already.
    fn send(&mut self, consumers: std::ops::Range<usize>, random: &mut Random) {
        let deep: Vec<usize> = (0..self.operations.len()).filter(|&at| self.operations[at].layer > 0).collect();
        for service in consumers {
            let topic = if self.n_topics > 0 && random.chance(0.35) {
                random.below(self.n_topics)
            } else {
                let free = |at: &&usize| self.operations[**at].topic.is_none();
                let free: Vec<usize> = deep.iter().filter(free).copied().collect();
                match random.pick(&free) {
                    Some(&producer) => {
                        self.operations[producer].topic = Some(self.n_topics);
                        self.n_topics += 1;
                        self.n_topics - 1
                    }
                    None if self.n_topics > 0 => random.below(self.n_topics),
                    None => {
                        self.operations[0].topic = Some(0);
                        self.n_topics = 1;
                        0
                    }
                }
            };
            self.consumers.push(DraftConsumer { service, topic, time_ms: random.between(150.0, 400.0) });
        }
    }
}

/// How many services are in each layer: at least one, and each layer `fan_out` times as wide as the one above.
fn widths(n_services: usize, depth: usize, fan_out: f64) -> Vec<usize> {
    let depth = depth.clamp(1, n_services.max(1));
    let fan_out = fan_out.clamp(0.1, 10.0);
    // Widths relative to the widest layer, which is the last or the first: they may be far apart.
    let mut share = 1.0;
    let mut shares: Vec<f64> = Vec::with_capacity(depth);
    for _ in 0..depth {
        shares.push(share);
        share /= fan_out.max(1.0 / fan_out);
    }
    if fan_out > 1.0 {
        shares.reverse();
    }
    let sum: f64 = shares.iter().sum();
    let free = (n_services - depth) as f64;
    let mut widths: Vec<usize> = shares.iter().map(|share| 1 + (free * share / sum) as usize).collect();
    let missing = n_services - widths.iter().sum::<usize>();
    for nth in 0..missing {
        widths[depth - 1 - nth % depth] += 1;
    }
    // However many services there are, few are front doors.
    if let [front, below, ..] = widths.as_mut_slice() {
        let moved = front.saturating_sub(MOST_FRONT);
        (*front, *below) = (*front - moved, *below + moved);
    }
    widths
}

fn services(n: usize, blueprint: &Blueprint, random: &mut Random) -> Vec<DraftService> {
    let mut names: Vec<String> = (0..n).map(name_of).collect();
    random.shuffle(&mut names);
    let runtimes =
        [Runtime::Jvm, Runtime::Jvm, Runtime::Go, Runtime::Go, Runtime::Node, Runtime::Python, Runtime::Native];
    let n_front = (n / blueprint.depth.max(1)).max(1);
    names
        .into_iter()
        .enumerate()
        .map(|(at, name)| DraftService {
            name,
            runtime: random.pick(&runtimes).copied().unwrap_or(Runtime::Go),
            instances: 2 + u32::from(at < n_front && random.chance(0.6)),
            scales: random.chance(0.2),
            over_http: random.chance(0.5),
            database: None,
            cached: false,
        })
        .collect()
}

fn operation(service: usize, layer: usize, random: &mut Random) -> DraftOperation {
    DraftOperation {
        service,
        layer,
        before_ms: random.between(12.0, 60.0),
        after_ms: random.between(12.0, 70.0),
        statement_ms: random.between(16.0, 52.0),
        hit_ratio: random.between(0.5, 0.9),
        asks_outside: false,
        at_once: random.chance(0.45),
        callees: Vec::new(),
        topic: None,
        calls_back: None,
        weight: if layer == 0 { random.between(0.3, 1.5) } else { 0.0 },
    }
}

/// The nth name: `orders`, in later rounds `orders-2`.
pub(super) fn name_of(at: usize) -> String {
    let noun = NOUNS[at % NOUNS.len()];
    match at / NOUNS.len() {
        0 => noun.to_owned(),
        round => format!("{noun}-{}", round + 1),
    }
}
