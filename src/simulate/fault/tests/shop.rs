//! A small system with one of everything: a gateway, services, databases, a cache, a broker, an outside.

use crate::simulate::system::{
    Call, Entry, Link, Operation, Protocol, Role, Runtime, Service, Shape, Step, System, Topic, Visibility, Work,
};

fn service(name: &str, role: Role, runtime: Runtime, instances: u32) -> Service {
    let visibility = match role {
        Role::Service => Visibility::Full,
        Role::Database(_) | Role::Cache(_) | Role::Queue(_) => Visibility::NoSpans { passes_context: false },
        Role::External => Visibility::Nothing,
    };
    Service {
        name: name.to_owned(),
        role,
        runtime,
        instances,
        workers: 16,
        backlog: 64,
        cores: 1.0,
        memory_mib: 512.0,
        idle_memory_mib: 200.0,
        visibility,
        autoscale: None,
        version: "1.4.2".to_owned(),
    }
}

fn work(mean_us: f64, cpu: f64) -> Step {
    Step::Work(Work { mean_us, shape: Shape::LogNormal(0.5), cpu })
}

fn call(link: usize, operation: usize) -> Call {
    Call { link, operation, timeout_us: Some(1e6), retries: 0, backoff_us: 0.0, required: true }
}

fn operation(service: usize, name: &str, steps: Vec<Step>) -> Operation {
    let protocol = if name.starts_with('/') { Protocol::Http("GET".to_owned()) } else { Protocol::Grpc };
    Operation { service, name: name.to_owned(), protocol, steps }
}

/// Gateway, catalog (cache, then database), orders (database, payments over a card processor, a message to the mailer).
pub(in crate::simulate) fn shop() -> System {
    let links = [(0, 1), (0, 2), (1, 5), (1, 6), (2, 3), (2, 7), (3, 8), (2, 9), (0, 10)];
    let links = links.map(|(caller, callee)| Link {
        caller,
        callee,
        network_us: 250.0,
        pool: (callee == 7).then_some(10),
        breaker: None,
    });
    let lookup = Step::Lookup { call: call(2, 4), hit_ratio: 0.8, skip: 1 };
    let optional = Call { required: false, ..call(8, 9) };
    System {
        name: "small".to_owned(),
        namespace: "small".to_owned(),
        services: vec![
            service("gateway", Role::Service, Runtime::Node, 2),
            service("catalog", Role::Service, Runtime::Go, 3),
            service("orders", Role::Service, Runtime::Jvm, 2),
            service("payments", Role::Service, Runtime::Jvm, 2),
            service("mailer", Role::Service, Runtime::Python, 1),
            service("products-cache", Role::Cache("redis".to_owned()), Runtime::Native, 1),
            service("products-db", Role::Database("postgresql".to_owned()), Runtime::Native, 1),
            service("orders-db", Role::Database("mysql".to_owned()), Runtime::Native, 1),
            service("api.cardpay.example", Role::External, Runtime::Native, 1),
            service("kafka", Role::Queue("kafka".to_owned()), Runtime::Jvm, 1),
            service("ads", Role::Service, Runtime::Python, 1),
        ],
        operations: vec![
            operation(0, "/home", vec![work(2e3, 0.8), Step::Parallel(vec![call(0, 2), optional])]),
            operation(0, "/buy", vec![work(3e3, 0.8), Step::Call(call(1, 3))]),
            operation(1, "shop.Catalog/List", vec![work(4e3, 0.7), lookup, Step::Call(call(3, 5))]),
            operation(
                2,
                "shop.Orders/Place",
                vec![
                    work(6e3, 0.5),
                    Step::Call(call(5, 6)),
                    Step::Call(Call { retries: 1, ..call(4, 7) }),
                    Step::Publish { topic: 0, link: 7 },
                ],
            ),
            operation(5, "GET", vec![work(400.0, 0.9)]),
            operation(6, "SELECT products", vec![work(8e3, 0.3)]),
            operation(7, "INSERT orders", vec![work(5e3, 0.3)]),
            operation(3, "shop.Payments/Charge", vec![work(5e3, 0.6), Step::Call(call(6, 8))]),
            operation(8, "/charge", vec![work(4e4, 0.0)]),
            operation(10, "shop.Ads/Pick", vec![work(3e3, 0.6)]),
            operation(4, "mail", vec![work(2e4, 0.3)]),
        ],
        links: links.to_vec(),
        topics: vec![Topic { name: "orders".to_owned(), broker: 9, consumers: vec![10], linked: true, prefetch: 4 }],
        entries: vec![
            Entry { operation: 0, rate_per_s: 8.0, objective_ms: 100.0 },
            Entry { operation: 1, rate_per_s: 4.0, objective_ms: 300.0 },
        ],
        machines: 4,
        machine_cores: 8.0,
    }
}
