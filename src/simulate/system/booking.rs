//! A travel booking system of forty services: two front doors, a search that fans out, a booking that calls back, and
//! much that happens by messages afterwards.

use std::collections::BTreeMap;

use super::builder::{Builder, Cache, Do, ask, compute, insist, together, try_ask, work};
use super::{OperationIdx, Runtime, ServiceIdx, System, TopicIdx};
use Part::{All, Ask, Cached, Compute, Insist, Maybe, Remote, Send, Sql, Try, Work};
use Runtime::{Go, Jvm, Native, Node, Python};

/// A step by names. Times are means in ms.
enum Part {
    Work(f64),
    Compute(f64),
    /// A call, written `service Method`.
    Ask(&'static str),
    /// A call that is tried again so often.
    Insist(&'static str, u32),
    /// A call that may fail.
    Try(&'static str),
    /// Calls at the same time: needed ones and others.
    All(&'static [&'static str], &'static [&'static str]),
    /// A statement: database, summary, time.
    Sql(&'static str, &'static str, f64),
    /// Cache, share of hits, what a miss costs.
    Cached(&'static str, f64, &'static [Part]),
    /// A request to the outside: host, route, time.
    Remote(&'static str, &'static str, f64),
    Send(&'static str),
    Maybe(f64, &'static [Part]),
}

/// System and name of databases.
const DATABASES: &[(&str, &str)] = &[
    ("postgresql", "users-db"),
    ("postgresql", "stays-db"),
    ("postgresql", "flights-db"),
    ("mysql", "fares-db"),
    ("mongodb", "content-db"),
    ("postgresql", "orders-db"),
    ("mysql", "ledger-db"),
    ("postgresql", "ground-db"),
    ("mongodb", "events-db"),
];

const CACHES: &[(&str, &str)] = &[
    ("redis", "sessions"),
    ("redis", "offers-cache"),
    ("redis", "fares-cache"),
    ("memcached", "content-cache"),
    ("redis", "places-cache"),
];

const HOSTS: &[&str] = &["gds.airlink.example", "api.stayhub.example", "api.cardpay.example", "api.textpost.example"];

/// Broker, topic, and whether consumers begin a trace of their own.
const TOPICS: &[(&str, &str, bool)] = &[
    ("kafka", "bookings", false),
    ("kafka", "searches", true),
    ("kafka", "payments-settled", true),
    ("kafka", "inventory-changes", true),
    ("rabbitmq", "mails", false),
];

/// Name, what it is written in, pods, most pods where it scales by itself (else 0).
const SERVICES: &[(&str, Runtime, u32, u32)] = &[
    ("web-bff", Node, 3, 6),
    ("mobile-bff", Node, 2, 6),
    ("auth", Go, 2, 0),
    ("profiles", Jvm, 2, 0),
    ("loyalty", Jvm, 2, 0),
    ("search", Go, 3, 6),
    ("availability", Jvm, 3, 0),
    ("ranking", Python, 3, 6),
    ("geo", Native, 2, 0),
    ("flights", Jvm, 2, 4),
    ("hotels", Go, 2, 4),
    ("cars", Node, 2, 0),
    ("trains", Go, 2, 0),
    ("activities", Python, 2, 0),
    ("seats", Jvm, 2, 0),
    ("rooms", Go, 2, 0),
    ("fares", Jvm, 3, 0),
    ("pricing", Jvm, 3, 6),
    ("taxes", Go, 2, 0),
    ("currencies", Go, 2, 0),
    ("promotions", Python, 2, 0),
    ("content", Node, 2, 0),
    ("reviews", Python, 2, 0),
    ("recommendations", Python, 2, 4),
    ("trips", Go, 2, 0),
    ("orders", Jvm, 3, 0),
    ("payments", Jvm, 2, 0),
    ("fraud", Python, 2, 0),
    ("wallets", Go, 2, 0),
    ("ledger", Jvm, 2, 0),
    ("airlines", Go, 2, 0),
    ("stays", Jvm, 2, 0),
    ("tickets", Jvm, 2, 0),
    ("invoices", Python, 2, 0),
    ("notifications", Node, 2, 0),
    ("mailer", Go, 2, 0),
    ("texting", Node, 2, 0),
    ("analytics", Python, 2, 0),
    ("indexer", Jvm, 2, 0),
    ("audit", Go, 2, 0),
];

/// Service, how it is asked (`Method` over gRPC, `GET /route` over HTTP, `< topic` by messages) and what it then does.
/// Callees stand above their callers.
const OPERATIONS: &[(&str, &str, &[Part])] = &[
    // Who is asking.
    ("auth", "Check", &[Work(30.0), Cached("sessions", 0.85, &[Sql("users-db", "SELECT sessions", 22.0)]), Work(12.0)]),
    ("auth", "Login", &[Compute(160.0), Sql("users-db", "SELECT users", 26.0), Work(20.0)]),
    ("profiles", "Get", &[Work(60.0), Sql("users-db", "SELECT profiles", 28.0), Work(40.0)]),
    ("loyalty", "Status", &[Work(70.0), Sql("users-db", "SELECT points", 34.0), Compute(40.0)]),
    // What things cost.
    (
        "currencies",
        "Convert",
        &[Work(14.0), Cached("fares-cache", 0.9, &[Sql("fares-db", "SELECT rates", 20.0)]), Work(6.0)],
    ),
    ("taxes", "Quote", &[Compute(34.0), Maybe(0.25, &[Sql("fares-db", "SELECT taxes", 26.0)]), Work(12.0)]),
    ("promotions", "Match", &[Work(24.0), Sql("fares-db", "SELECT promotions", 24.0), Compute(44.0)]),
    (
        "fares",
        "Quote",
        &[
            Work(36.0),
            Cached("fares-cache", 0.6, &[Sql("fares-db", "SELECT fares", 36.0), Ask("taxes Quote")]),
            Insist("currencies Convert", 1),
            Compute(40.0),
        ],
    ),
    ("pricing", "Price", &[Work(40.0), All(&["fares Quote"], &["promotions Match"]), Compute(70.0)]),
    // What there is.
    (
        "geo",
        "GET /places",
        &[Work(16.0), Cached("places-cache", 0.92, &[Sql("ground-db", "SELECT places", 40.0)]), Compute(20.0)],
    ),
    ("airlines", "Offers", &[Work(30.0), Remote("gds.airlink.example", "POST /offers", 240.0), Compute(36.0)]),
    ("airlines", "Book", &[Work(50.0), Remote("gds.airlink.example", "POST /orders", 380.0), Work(40.0)]),
    ("stays", "Book", &[Work(60.0), Remote("api.stayhub.example", "POST /reservations", 310.0), Work(60.0)]),
    ("seats", "GET /flights/{id}/seats", &[Work(50.0), Sql("flights-db", "SELECT seats", 34.0), Compute(40.0)]),
    ("seats", "POST /holds", &[Work(60.0), Sql("flights-db", "UPDATE seats", 48.0), Work(40.0)]),
    ("rooms", "GET /hotels/{id}/rooms", &[Work(60.0), Sql("stays-db", "SELECT rooms", 40.0), Compute(50.0)]),
    ("rooms", "POST /holds", &[Work(60.0), Sql("stays-db", "UPDATE rooms", 52.0), Work(40.0)]),
    (
        "flights",
        "Find",
        &[
            Work(40.0),
            Cached("offers-cache", 0.8, &[Try("airlines Offers"), Sql("flights-db", "SELECT flights", 44.0)]),
            Maybe(0.3, &[Ask("fares Quote")]),
            Compute(50.0),
        ],
    ),
    (
        "hotels",
        "Find",
        &[Work(40.0), Cached("offers-cache", 0.7, &[Sql("stays-db", "SELECT hotels", 52.0)]), Compute(60.0)],
    ),
    ("cars", "GET /cars", &[Work(50.0), Sql("ground-db", "SELECT cars", 36.0), Work(30.0)]),
    ("trains", "Find", &[Work(60.0), Sql("ground-db", "SELECT trains", 40.0), Compute(50.0)]),
    ("activities", "GET /activities", &[Work(70.0), Sql("content-db", "find activities", 38.0), Compute(50.0)]),
    (
        "content",
        "GET /texts/{id}",
        &[Work(36.0), Cached("content-cache", 0.75, &[Sql("content-db", "find texts", 42.0)]), Work(30.0)],
    ),
    ("reviews", "GET /reviews/{id}", &[Work(50.0), Sql("content-db", "aggregate reviews", 60.0), Compute(50.0)]),
    ("recommendations", "ForUser", &[Work(30.0), Sql("events-db", "find affinities", 48.0), Compute(110.0)]),
    ("availability", "Search", &[Work(30.0), All(&["flights Find", "hotels Find"], &[]), Compute(36.0)]),
    ("availability", "Ground", &[Work(40.0), All(&[], &["cars GET /cars", "trains Find"]), Compute(30.0)]),
    (
        "availability",
        "Check",
        &[Work(40.0), All(&["seats GET /flights/{id}/seats", "rooms GET /hotels/{id}/rooms"], &[]), Work(24.0)],
    ),
    ("ranking", "Rank", &[Work(16.0), Maybe(0.3, &[Try("recommendations ForUser")]), Compute(120.0)]),
    (
        "search",
        "Find",
        &[
            Work(24.0),
            Ask("geo GET /places"),
            Ask("availability Search"),
            Maybe(0.25, &[Try("availability Ground")]),
            Insist("ranking Rank", 1),
            Maybe(0.2, &[Send("searches")]),
            Work(20.0),
        ],
    ),
    ("search", "Offer", &[Work(30.0), Ask("availability Check"), Ask("pricing Price"), Compute(30.0)]),
    (
        "trips",
        "List",
        &[
            Work(60.0),
            Sql("orders-db", "SELECT trips", 40.0),
            Maybe(0.4, &[Try("activities GET /activities")]),
            Work(40.0),
        ],
    ),
    // Booking: payments ask orders back what exactly is paid.
    ("orders", "Lines", &[Work(30.0), Sql("orders-db", "SELECT order_lines", 30.0), Work(16.0)]),
    ("orders", "MarkTicketed", &[Work(60.0), Sql("orders-db", "UPDATE orders", 46.0), Work(20.0)]),
    ("fraud", "Score", &[Work(40.0), Sql("events-db", "find devices", 50.0), Compute(180.0)]),
    ("wallets", "Hold", &[Work(50.0), Sql("ledger-db", "UPDATE wallets", 46.0), Work(30.0)]),
    ("ledger", "POST /entries", &[Work(90.0), Sql("ledger-db", "INSERT entries", 54.0), Work(40.0)]),
    (
        "payments",
        "Charge",
        &[
            Work(60.0),
            Insist("orders Lines", 1),
            Ask("fraud Score"),
            Maybe(0.4, &[Ask("wallets Hold")]),
            Remote("api.cardpay.example", "POST /v1/charges", 210.0),
            Ask("ledger POST /entries"),
            Send("payments-settled"),
            Work(40.0),
        ],
    ),
    (
        "orders",
        "Place",
        &[
            Work(60.0),
            All(&["seats POST /holds", "rooms POST /holds"], &["loyalty Status"]),
            Sql("orders-db", "INSERT orders", 56.0),
            Ask("payments Charge"),
            Maybe(0.6, &[Ask("airlines Book")]),
            Maybe(0.5, &[Ask("stays Book")]),
            Send("bookings"),
            Work(40.0),
        ],
    ),
    // What happens afterwards.
    ("mailer", "< mails", &[Work(180.0), Remote("api.textpost.example", "POST /mails", 160.0), Work(30.0)]),
    ("texting", "POST /texts", &[Work(120.0), Remote("api.textpost.example", "POST /texts", 140.0)]),
    (
        "tickets",
        "< bookings",
        &[
            Compute(320.0),
            Ask("profiles Get"),
            Sql("orders-db", "INSERT tickets", 48.0),
            Insist("orders MarkTicketed", 2),
            Send("mails"),
            Work(60.0),
        ],
    ),
    ("notifications", "< bookings", &[Work(200.0), Maybe(0.5, &[Try("texting POST /texts")]), Work(80.0)]),
    ("loyalty", "< payments-settled", &[Work(160.0), Sql("users-db", "INSERT points", 40.0), Work(60.0)]),
    ("invoices", "< payments-settled", &[Compute(360.0), Sql("ledger-db", "INSERT invoices", 50.0), Send("mails")]),
    ("audit", "< payments-settled", &[Work(220.0), Sql("events-db", "insert audit", 44.0)]),
    ("analytics", "< searches", &[Compute(240.0), Sql("events-db", "insert searches", 46.0)]),
    ("indexer", "< inventory-changes", &[Compute(260.0), Sql("content-db", "update index", 60.0)]),
    // The front doors.
    ("web-bff", "GET /search", &[Work(14.0), Ask("auth Check"), Ask("search Find"), Compute(40.0)]),
    (
        "web-bff",
        "GET /offers/{id}",
        &[Work(14.0), All(&["search Offer", "content GET /texts/{id}"], &["reviews GET /reviews/{id}"]), Compute(36.0)],
    ),
    (
        "web-bff",
        "GET /trips",
        &[Work(14.0), Ask("auth Check"), All(&["trips List"], &["profiles Get", "loyalty Status"]), Compute(30.0)],
    ),
    ("web-bff", "POST /bookings", &[Work(20.0), Ask("auth Check"), Ask("orders Place"), Work(30.0)]),
    ("mobile-bff", "GET /v2/search", &[Work(10.0), Ask("auth Check"), Ask("search Find"), Compute(24.0)]),
    (
        "mobile-bff",
        "GET /v2/offers/{id}",
        &[Work(10.0), All(&["search Offer", "content GET /texts/{id}"], &[]), Compute(24.0)],
    ),
    ("mobile-bff", "POST /v2/bookings", &[Work(20.0), Ask("auth Check"), Ask("orders Place"), Work(20.0)]),
    ("mobile-bff", "POST /v2/sessions", &[Work(20.0), Ask("auth Login"), Try("profiles Get"), Work(20.0)]),
    (
        "rooms",
        "POST /changes",
        &[Work(80.0), Sql("stays-db", "INSERT changes", 44.0), Send("inventory-changes"), Work(40.0)],
    ),
];

/// Entries by service and how they are asked, with requests per second.
const ENTRIES: &[(&str, f64)] = &[
    ("web-bff GET /search", 1.5),
    ("web-bff GET /offers/{id}", 1.3),
    ("web-bff GET /trips", 0.7),
    ("web-bff POST /bookings", 0.35),
    ("mobile-bff GET /v2/search", 1.2),
    ("mobile-bff GET /v2/offers/{id}", 1.2),
    ("mobile-bff POST /v2/bookings", 0.25),
    ("mobile-bff POST /v2/sessions", 0.9),
    ("rooms POST /changes", 0.7),
];

/// The booking system.
pub fn booking() -> System {
    let mut names = Names::new(Builder::new("booking", 8, 16.0));
    for (service, how, parts) in OPERATIONS {
        names.operation(service, how, parts);
    }
    for (name, rate_per_s) in ENTRIES {
        let operation = names.asked(name);
        names.builder.entry(operation, *rate_per_s);
    }
    names.builder.finish()
}

/// The system in the making, with what its names stand for.
struct Names {
    builder: Builder,
    services: BTreeMap<&'static str, ServiceIdx>,
    caches: BTreeMap<&'static str, Cache>,
    topics: BTreeMap<&'static str, TopicIdx>,
    /// By service and how it is asked.
    operations: BTreeMap<String, OperationIdx>,
}

impl Names {
    fn new(mut b: Builder) -> Self {
        let mut services = BTreeMap::new();
        for (name, runtime, instances, most) in SERVICES {
            let service = b.service(name, *runtime, *instances);
            if *most > 0 {
                b.scale(service, *most);
            }
            services.insert(*name, service);
        }
        services.extend(DATABASES.iter().map(|(system, name)| (*name, b.database(system, name))));
        services.extend(HOSTS.iter().map(|host| (*host, b.external(host))));
        let caches = CACHES.iter().map(|(system, name)| (*name, b.cache(system, name))).collect();
        let brokers: BTreeMap<&str, ServiceIdx> =
            ["kafka", "rabbitmq"].into_iter().map(|system| (system, b.broker(system, system))).collect();
        let topics = TOPICS.iter().map(|(broker, name, linked)| (*name, b.topic(brokers[broker], name, *linked)));
        let topics = topics.collect();
        // They are called back while they wait for whom they called.
        b.at_least_workers(services["orders"], 4);
        Self { builder: b, services, caches, topics, operations: BTreeMap::new() }
    }

    fn operation(&mut self, service: &str, how: &str, parts: &[Part]) {
        let steps = self.steps(parts);
        let at = self.services[service];
        let operation = if let Some(topic) = how.strip_prefix("< ") {
            self.builder.consume(at, self.topics[topic], &steps)
        } else if how.contains(' ') {
            self.builder.http(at, how, &steps)
        } else {
            self.builder.grpc(at, &format!("travel.{}/{how}", camel(service)), &steps)
        };
        self.operations.insert(format!("{service} {how}"), operation);
    }

    fn steps(&mut self, parts: &[Part]) -> Vec<Do> {
        parts.iter().map(|part| self.step(part)).collect()
    }

    fn step(&mut self, part: &Part) -> Do {
        match part {
            Work(mean_ms) => work(*mean_ms),
            Compute(mean_ms) => compute(*mean_ms),
            Ask(name) => ask(self.asked(name)),
            Insist(name, retries) => insist(self.asked(name), *retries),
            Try(name) => try_ask(self.asked(name)),
            All(needed, optional) => {
                let asked = |names: &[&str]| names.iter().map(|name| self.asked(name)).collect::<Vec<_>>();
                together(&asked(needed), &asked(optional))
            }
            Sql(database, summary, mean_ms) => {
                let at = self.services[database];
                ask(self.builder.statement(at, summary, *mean_ms))
            }
            Cached(cache, hits, parts) => Do::Cached(self.caches[cache], *hits, self.steps(parts)),
            Remote(host, route, mean_ms) => {
                let at = self.services[host];
                insist(self.builder.remote(at, route, *mean_ms), 1)
            }
            Send(topic) => Do::Publish(self.topics[topic]),
            Maybe(probability, parts) => Do::Perhaps(*probability, self.steps(parts)),
        }
    }

    fn asked(&self, name: &str) -> OperationIdx {
        *self.operations.get(name).expect("a callee stands above its callers")
    }
}

/// `mobile-bff` as gRPC names it: `MobileBff`.
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_services_deep_and_a_callback() {
        let booking = booking();
        super::super::check::check(&booking).unwrap();
        let search = booking.entries[0];
        let path = booking.path(&search, booking.service("currencies").unwrap()).unwrap();
        let names: Vec<&str> = path.iter().map(|&at| booking.services[at].name.as_str()).collect();
        assert_eq!(names, ["web-bff", "search", "availability", "flights", "fares", "currencies"]);
        let (orders, payments) = (booking.service("orders").unwrap(), booking.service("payments").unwrap());
        assert!(booking.link(orders, payments).is_some() && booking.link(payments, orders).is_some());
    }
}
