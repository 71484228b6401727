//! Graphs in, systems out: names, kinds, rates, circles, and what cannot be read.

use super::super::flow::Flow;
use super::super::{OperationIdx, Role};
use super::*;

/// The system of a graph that must be readable.
fn played(json: &str) -> System {
    from_graph(json.as_bytes(), Path::new("graph.json")).unwrap()
}

/// The error and its causes.
fn refused(json: &str) -> String {
    let error = from_graph(json.as_bytes(), Path::new("graph.json")).unwrap_err();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Nodes `name kind calls` and edges `caller callee mode calls`, without windows.
fn graph(nodes: &[&str], edges: &[&str]) -> String {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let node = |line: &&str| {
        let w = words(line);
        format!(r#"{{"name":"{}","kind":"{}","calls":{},"baseline":null,"incident":null}}"#, w[0], w[1], w[2])
    };
    let edge = |line: &&str| {
        let w = words(line);
        format!(
            r#"{{"caller":"{}","callee":"{}","mode":"{}","calls":{},"timeouts":0,"retries":0,"hedges":0}}"#,
            w[0], w[1], w[2], w[3]
        )
    };
    let nodes: Vec<String> = nodes.iter().map(node).collect();
    let edges: Vec<String> = edges.iter().map(edge).collect();
    let (nodes, edges) = (nodes.join(","), edges.join(","));
    format!(r#"{{"schema_version":"1","incident":null,"baselines":[],"nodes":[{nodes}],"edges":[{edges}]}}"#)
}

fn words(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

/// Requests per second of everything that a service is asked.
fn rate(system: &System, name: &str) -> f64 {
    let service = system.service(name).unwrap();
    let flow = Flow::of(system);
    let of = |at: &OperationIdx| system.operations[*at].service == service;
    (0..system.operations.len()).filter(of).map(|at| flow.rates_per_s[at]).sum()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.02 * expected, "{found} against {expected}");
}

#[test]
fn calls_per_request_are_those_of_the_graph() {
    let system = played(&graph(
        &[
            "web service 1000",
            "cart service 1500",
            "redis@cache database 1200",
            "postgresql/orders database 300",
            "api.pay.example external 100",
        ],
        &[
            "web cart sync 1500",
            "cart redis@cache sync 1200",
            "cart postgresql/orders sync 300",
            "web api.pay.example sync 100",
        ],
    ));
    assert_eq!(system.entries.len(), 1);
    for (name, expected) in [("web", 10.0), ("cart", 15.0), ("cache", 12.0), ("orders", 3.0), ("api.pay.example", 1.0)]
    {
        near(rate(&system, name), expected);
    }
    let names: Vec<String> = (0..system.services.len()).map(|at| system.names_of(at)[0].clone()).collect();
    for name in ["web", "cart", "redis@cache", "postgresql/orders", "api.pay.example"] {
        assert!(names.contains(&name.to_owned()), "{name} is not among {names:?}");
    }
    let role = |name: &str| system.services[system.service(name).unwrap()].role.clone();
    assert_eq!(role("orders"), Role::Database("postgresql".to_owned()));
    assert_eq!(role("cache"), Role::Cache("redis".to_owned()));
    assert_eq!(role("api.pay.example"), Role::External);
}

#[test]
fn messages_go_through_topics() {
    let system = played(&graph(
        &["web service 100", "kafka/orders queue 50", "mail service 50", "bills service 50", "log service 100"],
        &[
            "web kafka/orders async 50",
            "kafka/orders mail async 50",
            "kafka/orders bills async 50",
            "web log async 100",
        ],
    ));
    let kafka = system.service("kafka").unwrap();
    assert_eq!(system.names_of(kafka), ["kafka/orders", "kafka/web-to-log", "kafka"]);
    assert_eq!(system.topics[0].consumers.len(), 2);
    for (name, expected) in [("mail", 5.0), ("bills", 5.0), ("log", 10.0)] {
        near(rate(&system, name), expected);
    }
}

#[test]
fn circles_end() {
    // Of calls, of one service with itself, and of messages.
    let system = played(&graph(
        &["web service 10", "orders service 10", "payments service 10", "kafka/done queue 10"],
        &[
            "web orders sync 10",
            "orders payments sync 10",
            "payments orders sync 10",
            "payments payments sync 5",
            "payments kafka/done async 10",
            "kafka/done orders async 10",
        ],
    ));
    let link = |caller, callee| system.link(system.service(caller).unwrap(), system.service(callee).unwrap());
    assert!(link("orders", "payments").is_some() && link("payments", "orders").is_some());
    assert!(link("payments", "payments").is_some());
    assert_eq!(system.entries.len(), 1);
}

#[test]
fn a_service_asked_from_outside_as_well_is_an_entry_too() {
    let system = played(&graph(
        &["web service 60", "api service 100", "kafka/in queue 40", "worker service 40"],
        &["web api sync 60", "kafka/in worker async 40"],
    ));
    // Of 60 + 40 + 40 requests from outside; the queue is filled by nobody that the graph knows.
    let entry = |name: &str| {
        let service = system.service(name).unwrap();
        let entry = system.entries.iter().find(|entry| system.operations[entry.operation].service == service);
        entry.map(|entry| entry.rate_per_s)
    };
    near(entry("web").unwrap(), 10.0 * 60.0 / 140.0);
    near(entry("api").unwrap(), 10.0 * 40.0 / 140.0);
    near(entry("worker").unwrap(), 10.0 * 40.0 / 140.0);
}

#[test]
fn latencies_and_rates_of_the_baseline_are_kept() {
    let traffic = |rate: f64, p50: f64| {
        format!(r#"{{"calls":1,"requests_per_second":{rate},"error_ratio":0,"latency_p50_seconds":{p50}}}"#)
    };
    let json = format!(
        r#"{{"schema_version":"1","nodes":[
            {{"name":"web","kind":"service","calls":9,"baseline":{}}},
            {{"name":"a","kind":"service","calls":9,"baseline":{}}},
            {{"name":"b","kind":"service","calls":9,"baseline":{}}}],
          "edges":[
            {{"caller":"web","callee":"a","mode":"sync","calls":9,"baseline":{}}},
            {{"caller":"web","callee":"b","mode":"sync","calls":9,"baseline":{}}}]}}"#,
        traffic(8.0, 0.100),
        traffic(8.0, 0.080),
        traffic(8.0, 0.070),
        traffic(8.0, 0.080),
        traffic(8.0, 0.070),
    );
    let system = played(&json);
    near(rate(&system, "web"), 8.0);
    let flow = Flow::of(&system);
    let time_ms = |name: &str| {
        let service = system.service(name).unwrap();
        let operation = system.operations.iter().position(|operation| operation.service == service).unwrap();
        flow.times_us[operation] / 1e3
    };
    near(time_ms("a"), 80.0);
    near(time_ms("b"), 70.0);
    // 150 ms of calls in 100 ms: they are made at the same time, and 20 ms are left.
    near(time_ms("web"), 100.6);
}

#[test]
fn one_name_is_one_deployment() {
    let system = played(&graph(
        &["orders service 10", "postgresql/orders database 10", "redis@orders database 10"],
        &["orders postgresql/orders sync 10", "orders redis@orders sync 10"],
    ));
    let names: Vec<&str> = system.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["orders", "orders-postgresql", "orders-redis"]);
}

#[test]
fn a_graph_without_counts_is_played_once_each() {
    let system = played(&graph(
        &["web service 0", "app service 0", "cart service 0", "orders-table database 0"],
        &["web cart sync 0", "app cart sync 0", "cart orders-table sync 0"],
    ));
    for (name, expected) in [("web", 5.0), ("app", 5.0), ("cart", 10.0), ("orders-table", 10.0)] {
        near(rate(&system, name), expected);
    }
}

#[test]
fn counts_that_multiply_without_end_are_refused() {
    // Each of fifteen services calls the next ten times as often as it is called.
    let nodes: Vec<String> = (0..15).map(|at| format!("s{at} service {}", 10_u64.pow(at))).collect();
    let edges: Vec<String> = (1..15).map(|at| format!("s{} s{at} sync {}", at - 1, 10_u64.pow(at))).collect();
    let found = refused(&graph(&words(&nodes), &words(&edges)));
    assert!(found.contains("a request would leave"), "{found}");
}

#[test]
fn what_cannot_be_read_is_told_by_file_and_field() {
    let web = r#"{"name":"web","kind":"service","calls":1}"#;
    let of = |nodes: &str, edges: &str| format!(r#"{{"schema_version":"1","nodes":[{nodes}],"edges":[{edges}]}}"#);
    let edge = r#"{"caller":"web","callee":"cart","mode":"sync","calls":1}"#;
    for (json, expected) in [
        (
            "digraph {".to_owned(),
            "graph.json: not what `hypocenter graph -o json` prints: expected value at line 1 column 1",
        ),
        (
            r#"{"schema_version":"1"}"#.to_owned(),
            "graph.json: not what `hypocenter graph -o json` prints: missing field `nodes` at line 1 column 22",
        ),
        (of(&web.replace("service", "lambda"), ""), "unknown variant `lambda`"),
        (of(web, edge), "graph.json: edges[0].callee: \"cart\" is not among the nodes"),
        (of(&format!("{web},{web}"), ""), "graph.json: nodes[1].name: \"web\" is there twice"),
        (of(&web.replace("web", " "), ""), "graph.json: nodes[0].name: is empty"),
        (of("", ""), "graph.json: no service is asked from outside"),
        (of(web, "").replace(r#":"1""#, r#":"2""#), "graph.json: schema_version is 2, but 1 is read"),
        (
            of(&web.replace('}', r#","baseline":{"requests_per_second":-1}}"#), ""),
            "graph.json: nodes[0].baseline: requests_per_second is -1",
        ),
    ] {
        let found = refused(&json);
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
}
