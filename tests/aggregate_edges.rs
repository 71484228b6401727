//! Edges that others lose, and times that others get wrong: messages across traces and files, names of databases, retries,
//! hedges, timeouts, clocks that disagree.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod span_text;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use hypocenter::aggregate::aggregate;
use hypocenter::graph::ServiceGraph;
use hypocenter::ingest::{ReadOptions, Telemetry, read_bytes};
use hypocenter::telemetry::calls::CallStats;
use hypocenter::telemetry::span::SpanTable;
use hypocenter::telemetry::time::Grid;
use hypocenter::telemetry::topology::NodeKind;
use span_text::{MINUTE_NS, check, spans, stats};

/// Edges as `caller -> callee: calls`, with the counts of attempts where there are any.
fn edges(stats: &CallStats) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for row in stats.rows.iter().filter(|row| row.key.caller.is_some()) {
        let caller = row.key.caller.map_or("*", |caller| stats.service(caller).as_str());
        let mut line = format!("{caller} {} {}: {}", row.key.mode as u8, stats.service(row.key.callee), row.calls);
        for (name, count) in [("timeouts", row.timeouts), ("retries", row.retries), ("hedges", row.hedges)] {
            if count > 0 {
                write!(line, " {name} {count}").unwrap();
            }
        }
        lines.insert(line);
    }
    lines.into_iter().collect()
}

#[test]
fn vector_06_producer_and_consumer_in_two_traces_and_files_in_either_order() {
    let queue = ["web ~> kafka/orders send", "kafka/orders ~> mail process"];
    for (sender, receiver) in [
        // The conventions' kinds of both sides, and which of them names the queue.
        ("web producer send 10+20 queue=kafka/orders", "mail consumer process 90+50 link=1/2"),
        ("web client   send 10+20 queue=kafka/orders", "mail consumer process 90+50 link=1/2"),
        ("web producer send 10+20", "mail consumer process 90+50 queue=kafka/orders link=1/2"),
        ("web client   send 10+20", "mail consumer process 90+50 queue=kafka/orders link=1/2"),
        ("web producer send 10+20 queue=kafka/orders link=2/1", "mail consumer process 90+50"),
    ] {
        let producer = format!("1/1 - web server POST 0+100\n1/2 1 {sender}");
        let consumer = format!("2/1 - {receiver}");
        let mut results = Vec::new();
        for files in [[&producer, &consumer], [&consumer, &producer]] {
            let mut table = SpanTable::new();
            files.iter().for_each(|file| table.append(spans(file)));
            results.push(stats(&table));
        }
        assert_eq!(results[0], results[1], "either order of arrival");
        let rows = results[0].rows.iter().filter_map(|row| {
            let (caller, callee) = (results[0].service(row.key.caller?), results[0].service(row.key.callee));
            Some(format!("{caller} ~> {callee} {}", results[0].operations[row.key.operation as usize]))
        });
        assert_eq!(rows.collect::<BTreeSet<_>>(), queue.map(str::to_owned).into(), "{sender} {receiver}");
        let kind = results[0].nodes.iter().find(|n| n.id.as_str() == "kafka/orders").map(|n| n.kind);
        assert_eq!(kind, Some(NodeKind::Queue));
        assert_eq!(results[0].coverage.unresolved_links, 0);
        // Only one file: what is there stays, and the link is counted.
        let alone = stats(&spans(&consumer));
        assert_eq!(alone.coverage.unresolved_links, u64::from(receiver.contains("link=")));
    }
}

#[test]
fn batches_and_contexts_of_messages() {
    // A batch of three, two of one sender; the link stands on the receiving span, which holds the processing one.
    check(
        "
        1/1 - web  producer send    10+20 queue=q
        1/2 - web  producer send    11+20 queue=q
        3/1 - shop producer send    12+20 queue=q
        2/1 - mail consumer receive 90+60 queue=q link=1/1 link=1/2 link=3/1
        2/2 1 mail consumer process 95+50 queue=q link=1/1
        ",
        &[
            "* -> shop send: 1x20 self 20 part 20+0",
            "* -> web send: 2x40 self 40 part 40+0",
            "q ~> mail receive: 1x60 self 60 part 60+0",
            "shop ~> q send: 1x20 self 20 part 0+0",
            "web ~> q send: 2x40 self 40 part 0+0",
        ],
    );
    // The consumer links to the context in which the message was created, where the sending has no span of its own.
    check(
        "
        1/1 - web  server   POST     0+100
        2/1 - mail consumer process 90+50 queue=q link=1/1
        ",
        &[
            "* -> web POST: 1x100 self 100 part 100+0",
            "q ~> mail process: 1x50 self 50 part 50+0",
            "web ~> q process: 1x0 self 0 part 0+0",
        ],
    );
    // A link that a server writes to a message's handler tells of no message.
    let stats = stats(&spans("1/1 - web server POST 0+100 link=2/1\n2/1 - mail consumer process 90+50 queue=q"));
    assert_eq!(edges(&stats), ["q 1 mail: 1"]);
}

#[test]
fn timeouts_are_the_callee_slow_and_not_failed() {
    // The callee goes on for 200 ms after its caller gave up.
    check(
        "
        1/1 - web  server GET/   0+100ms error
        1/2 1 web  client get   10+50ms  error
        1/3 2 cart server get   15+245ms
        ",
        &[
            "* -> web GET/: 1x100000000 self 50000000 part 50000000+0 errors 1 caller 0 origin 0 edge 0",
            "web -> cart get: 1x245000000 self 245000000 part 50000000+0 gap 0 errors 1 caller 1 origin 0 \
             edge 0 timeouts 1",
        ],
    );
    // The caller says so, with the callee's answer just in time; and without a span of the caller's side.
    let told =
        stats(&spans("1/1 - web server GET/ 0+9ms\n1/2 1 web client get 0+5ms timeout\n1/3 2 cart server get 1+3ms"));
    assert_eq!(edges(&told), ["web 0 cart: 1 timeouts 1"]);
    let direct = stats(&spans("1/1 - web server GET/ 0+50ms error\n1/3 1 cart server get 5+90ms"));
    assert_eq!(edges(&direct), ["web 0 cart: 1 timeouts 1"]);
    assert_eq!(direct.rows.iter().map(|row| row.origin_errors + row.edge_errors).sum::<u64>(), 0);
    // A failure of its own while an earlier call still runs is no timeout.
    let own = "1/1 - web server GET/ 0+50ms error\n1/3 1 mail server send 5+90ms\n1/4 1 cart server get 20+10ms";
    assert_eq!(edges(&stats(&spans(own))), ["web 0 cart: 1", "web 0 mail: 1"]);
    // A database without spans: its caller's word; nothing fails there.
    let silent = stats(&spans("1/1 - web server GET/ 0+50ms error\n1/2 1 web client find 5+40ms timeout db=redis"));
    assert_eq!(edges(&silent), ["web 0 redis: 1 timeouts 1"]);
    assert_eq!(silent.rows.iter().map(|row| row.origin_errors).sum::<u64>(), 0);
    // Failed answers and answers lost on the way are none.
    let failed =
        "1/1 - web server GET/ 0+50ms\n1/2 1 web client get 5+40ms timeout\n1/3 2 cart server get 6+90ms error";
    assert_eq!(edges(&stats(&spans(failed))), ["web 0 cart: 1"]);
    let lost = "1/1 - web server GET/ 0+50ms\n1/2 1 web client get 5+40ms error\n1/3 2 cart server get 6+10ms";
    assert_eq!(edges(&stats(&spans(lost))), ["web 0 cart: 1"]);
}

#[test]
fn the_call_that_began_last_is_the_last_whatever_ends_later() {
    // In work of its own, cart calls too; the message to the queue is none that web waits for.
    let text = "1/1 - web server GET/ 0+100ms\n1/2 1 web client get 10+80ms\n1/3 2 cart server get 11+70ms\n\
                1/4 1 web client send 20+10ms\n1/5 4 mail server send 21+5ms\n1/6 3 cart client find 30+5ms db=redis\n\
                1/7 1 web producer put 50+1ms queue=orders";
    let told = stats(&spans(text));
    let last: Vec<(&str, u64)> =
        told.rows.iter().map(|row| (told.service(row.key.callee).as_str(), row.last_calls)).collect();
    assert_eq!(last, [("web", 0), ("redis", 1), ("cart", 0), ("mail", 1), ("orders", 0)]);
}

/// Calls of web to cart within one request of 1000 ms: start and length in milliseconds, and what else.
fn attempts(calls: &[(u64, u64, &str)]) -> Vec<String> {
    let mut text = "1/1 - web server GET/ 0+1000ms\n".to_owned();
    for (at, (start, length, extra)) in calls.iter().enumerate() {
        let (client, server) = (10 + 2 * at, 11 + 2 * at);
        let (client_extra, server_extra) = extra.split_once('|').unwrap_or((extra, extra));
        writeln!(text, "1/{client} 1 web client call {start}+{length}ms {client_extra}").unwrap();
        let (start, length) = (start + 1, length - 2);
        let (length, server_extra) = match server_extra.split_once("+") {
            Some((extra, more)) => (length + more.parse::<u64>().unwrap(), extra),
            None => (length, server_extra),
        };
        let server_extra = server_extra.replace("resent", "");
        writeln!(text, "1/{server} {client} cart server get {start}+{length}ms {server_extra}").unwrap();
    }
    edges(&stats(&spans(&text)))
}

#[test]
fn retries_follow_failures() {
    assert_eq!(attempts(&[(0, 50, "error"), (60, 50, "error"), (200, 50, "")]), ["web 0 cart: 3 retries 2"]);
    // A loop over items, one of which fails: at most one of the others can be its retry.
    assert_eq!(attempts(&[(0, 9, ""), (10, 9, ""), (20, 9, ""), (30, 9, "")]), ["web 0 cart: 4"]);
    assert_eq!(attempts(&[(0, 9, ""), (10, 9, "error"), (20, 9, ""), (30, 9, "")]), ["web 0 cart: 4 retries 1"]);
    // Side by side, a failure is no reason for what was begun before.
    assert_eq!(attempts(&[(0, 50, "error"), (0, 60, ""), (0, 70, "")]), ["web 0 cart: 3"]);
    // The library says so, where the failure was none (a redirect) or was not seen.
    assert_eq!(attempts(&[(0, 9, ""), (10, 9, "resent")]), ["web 0 cart: 2 retries 1"]);
    assert_eq!(attempts(&[(10, 9, "resent")]), ["web 0 cart: 1 retries 1"]);
    // After a timeout, while the callee still works on the first.
    assert_eq!(attempts(&[(0, 50, "error|+300"), (60, 50, "")]), ["web 0 cart: 2 timeouts 1 retries 1"]);
    // Another operation after a failure, another callee, another request: no retries.
    let others = "
        1/1 - web  server GET/  0+500ms
        1/2 1 web  client a     0+50ms error
        1/3 2 cart server a     1+40ms error
        1/4 1 web  client b    60+50ms
        1/5 4 cart server b    61+40ms
        1/6 1 web  client a   160+50ms
        1/7 6 shop server a   161+40ms
        2/1 - web  server GET/  0+500ms
        2/2 1 web  client a   100+50ms
        2/3 2 cart server a   101+40ms
    ";
    assert!(edges(&stats(&spans(others))).iter().all(|edge| !edge.contains("retries")));
    // A first attempt that did not get through leaves no span of the callee; databases leave none at all.
    let silent = "
        1/1 - web server GET/  0+500ms
        1/2 1 web client find  0+50ms error db=redis
        1/3 1 web client find 60+50ms error db=redis
        1/4 1 web client find 160+50ms db=redis
        1/5 1 web client get  300+50ms error peer=cart
        1/6 1 web client get  360+50ms
        1/7 6 cart server get 361+40ms
    ";
    assert_eq!(edges(&stats(&spans(silent))), ["web 0 cart: 2 retries 1", "web 0 redis: 3 retries 2"]);
    // Two attempts of a proxy under one client span.
    let proxy = "1/1 - web client get 0+100ms\n1/2 1 cart server get 10+30ms error\n1/3 1 cart server get 50+40ms";
    assert_eq!(edges(&stats(&spans(proxy))), ["web 0 cart: 2 retries 1"]);
}

#[test]
fn hedges_are_begun_beside_a_call_whose_answer_nobody_waits_for() {
    // The first is slow; the second, begun later, answers; the first is cancelled, its server goes on.
    assert_eq!(attempts(&[(0, 80, "error|+200"), (50, 30, "")])[0], "web 0 cart: 2 timeouts 1 hedges 1");
    assert_eq!(attempts(&[(0, 80, "|+200"), (50, 30, "")])[0], "web 0 cart: 2 hedges 1");
    // The caller answers while the first still runs.
    assert_eq!(attempts(&[(800, 400, ""), (850, 50, "")]), ["web 0 cart: 2 hedges 1"]);
    // Fan-outs: begun at once, or one after the other and all waited for.
    assert_eq!(attempts(&[(0, 80, ""), (0, 90, ""), (0, 30, "")]), ["web 0 cart: 3"]);
    assert_eq!(attempts(&[(0, 80, ""), (20, 80, ""), (40, 80, "")]), ["web 0 cart: 3"]);
    // All given up since one failed.
    assert_eq!(attempts(&[(0, 80, "error"), (40, 40, "error")]), ["web 0 cart: 2"]);
    // The caller's next step comes after the first answer.
    let next = |steps: &str| {
        let hedge = "
            1/1 - web  server GET/   0+500ms
            1/2 1 web  client get    0+200ms
            1/3 2 cart server get    1+190ms
            1/4 1 web  client get   50+50ms
            1/5 4 cart server get   51+40ms
            1/6 1 web  client pay  101+20ms db=bank
        ";
        edges(&stats(&spans(&format!("{hedge}{steps}"))))
    };
    assert_eq!(next(""), ["web 0 bank: 1", "web 0 cart: 2 hedges 1"]);
    // But a pipeline of two items side by side has two next steps.
    assert_eq!(next("1/7 1 web client pay 201+20ms db=bank"), ["web 0 bank: 2", "web 0 cart: 2"]);
}

/// So many requests, one a second: web on host w calls cart on host c, which calls a database; cart's clock is ahead.
fn skewed(requests: i64, ahead_ms: i64, there_ms: i64, back_ms: i64) -> String {
    let mut text = String::new();
    for number in 1..=requests {
        let start = number * 1000;
        let jitter = number % 7;
        let (client, served) = (start + 5, start + 5 + there_ms + jitter);
        let work = 40 + number % 11;
        let waits = there_ms + back_ms + jitter + number % 5 + work;
        writeln!(text, "{number}/1 - web server GET/ {start}+{}ms pod=w", waits + 20).unwrap();
        writeln!(text, "{number}/2 1 web client get {client}+{waits}ms pod=w").unwrap();
        writeln!(text, "{number}/3 2 cart server get {}+{work}ms pod=c", served + ahead_ms).unwrap();
        writeln!(text, "{number}/4 3 cart client find {}+20ms pod=c db=redis", served + ahead_ms + 5).unwrap();
    }
    text
}

#[test]
fn two_hosts_five_seconds_apart() {
    for ahead_ms in [5000, -5000] {
        let stats = stats(&spans(&skewed(100, ahead_ms, 1, 1)));
        let [clock] = stats.clocks.as_slice() else { panic!("{:?}", stats.clocks) };
        assert_eq!((clock.caller.as_str(), clock.callee.as_str(), clock.pairs), ("web/w", "cart/c", 100));
        assert!((clock.offset_ns - ahead_ms * 1_000_000).abs() <= 1_000_000, "{}", clock.offset_ns);
        assert_eq!(stats.coverage.moved, 200, "cart's spans, and no others");
        assert_eq!(stats.coverage.outside_parent, 0);
    }
}

#[test]
fn without_a_skew_nothing_is_corrected() {
    for ahead_ms in [0, 1] {
        let stats = stats(&spans(&skewed(100, ahead_ms, 2, 2)));
        assert_eq!((stats.clocks.len(), stats.coverage.moved), (0, 0), "{ahead_ms} ms are within the bounds");
    }
    // Too few calls say nothing.
    assert_eq!(stats(&spans(&skewed(9, 5000, 1, 1))).coverage.moved, 0);
}

#[test]
fn a_corrected_clock_gives_the_same_table_as_a_right_one() {
    // Minute boundaries fall between web's clock and cart's, so uncorrected calls would lie in other bins.
    let (right, wrong) = (stats(&spans(&skewed(150, 0, 1, 1))), stats(&spans(&skewed(150, 30_000, 1, 1))));
    assert_eq!(right.rows.len(), wrong.rows.len());
    for (right, wrong) in right.rows.iter().zip(&wrong.rows) {
        assert_eq!((right.key, right.calls, right.duration_ns), (wrong.key, wrong.calls, wrong.duration_ns));
        assert_eq!((right.self_ns, right.part_ns, right.gap_ns), (wrong.self_ns, wrong.part_ns, wrong.gap_ns));
    }
    assert_eq!(right.instances, wrong.instances);
}

#[test]
fn an_asymmetric_network_bounds_the_error() {
    // 1 to 7 ms there, 30 to 34 ms back: the bounds are 31 ms wide, and the truth is within.
    let stats = stats(&spans(&skewed(200, 5000, 1, 30)));
    let offset_ms = stats.clocks[0].offset_ns as f64 / 1e6;
    assert!((offset_ms - 5000.0).abs() <= 16.0, "{offset_ms}");
    assert_eq!(stats.coverage.outside_parent, 0, "every callee fits its caller");
}

#[test]
fn three_hosts_in_a_chain() {
    let mut text = String::new();
    for number in 1..=50 {
        let start = number * 1000;
        writeln!(text, "{number}/1 - web server GET/ {start}+100ms pod=w").unwrap();
        writeln!(text, "{number}/2 1 web client get {}+80ms pod=w", start + 10).unwrap();
        writeln!(text, "{number}/3 2 cart server get {}+78ms pod=c", start + 11 + 5000).unwrap();
        writeln!(text, "{number}/4 3 cart client find {}+50ms pod=c", start + 20 + 5000).unwrap();
        writeln!(text, "{number}/5 4 stock server find {}+48ms pod=s", start + 21 + 12_000).unwrap();
        // On web's own host again.
        writeln!(text, "{number}/6 5 stock client ask {}+20ms pod=s", start + 30 + 12_000).unwrap();
        writeln!(text, "{number}/7 6 price server ask {}+18ms pod=p", start + 31).unwrap();
    }
    let stats = stats(&spans(&text));
    let told: Vec<String> = stats
        .clocks
        .iter()
        .map(|c| format!("{} {} {} {}", c.caller, c.callee, c.offset_ns / 1_000_000, c.pairs))
        .collect();
    assert_eq!(told, ["cart/c stock/s 7000 50", "stock/s price/p -12000 50", "web/w cart/c 5000 50"]);
    assert_eq!(stats.coverage.moved, 200);
    assert!(stats.rows.iter().all(|row| row.key.mode as u8 == 0), "all of them are waited for");
    let parts: u64 = stats.rows.iter().map(|row| row.part_ns + row.part_gap_ns).sum();
    assert_eq!(parts, 50 * 100_000_000);
}

#[test]
fn a_lone_wrong_machine_is_moved_and_not_all_others() {
    let mut text = String::new();
    for number in 1..=60 {
        let start = number * 1000;
        writeln!(text, "{number}/1 - gate server GET/ {}+200ms pod=g", start - 8000).unwrap();
        for (at, service) in ["cart", "shop", "mail"].iter().enumerate() {
            let (client, begin) = (2 + 2 * at, start + 10 + 50 * at as i64);
            writeln!(text, "{number}/{client} 1 gate client {service} {}+40ms pod=g", begin - 8000).unwrap();
            writeln!(text, "{number}/{} {client} {service} server get {}+38ms pod={service}", client + 1, begin + 1)
                .unwrap();
        }
    }
    let stats = stats(&spans(&text));
    assert_eq!((stats.clocks.len(), stats.coverage.moved), (3, 60 * 4), "the gate's spans");
    // The bins are those of the clock that most agree on.
    let first = stats.rows.iter().map(|row| row.key.bin).min();
    assert_eq!(first, Some(0));
}

#[test]
fn what_nobody_waits_for_says_nothing_about_clocks() {
    let mut text = String::new();
    for number in 1..=60 {
        let start = number * 1000;
        // A message that is handled 400 ms later; work begun by a server and not waited for; a call that timed out.
        writeln!(text, "{number}/1 - web server POST {start}+100ms pod=w").unwrap();
        writeln!(text, "{number}/2 1 web producer send {}+50ms pod=w queue=q", start + 10).unwrap();
        writeln!(text, "{number}/3 2 mail consumer read {}+30ms pod=m", start + 400).unwrap();
        writeln!(text, "{number}/4 1 job server later {}+20ms pod=j", start + 300).unwrap();
        writeln!(text, "{number}/5 1 web client get {}+50ms pod=w error", start + 20).unwrap();
        writeln!(text, "{number}/6 5 cart server get {}+40ms pod=c", start + 60).unwrap();
    }
    let stats = stats(&spans(&text));
    assert_eq!((stats.clocks.len(), stats.coverage.moved), (0, 0));
}

#[test]
fn data_without_kinds_has_clocks_too_and_what_seemed_late_is_waited_for() {
    let mut text = String::new();
    for number in 1..=30 {
        let start = number * 1000;
        writeln!(text, "{number}/1 - web ? Recv {start}+100ms pod=w").unwrap();
        writeln!(text, "{number}/2 1 web ? GetCart {}+60ms pod=w", start + 10).unwrap();
        writeln!(text, "{number}/3 2 cart ? GetCart {}+58ms pod=c", start + 11 + 3000).unwrap();
    }
    let stats = stats(&spans(&text));
    assert_eq!(stats.coverage.moved, 30);
    assert_eq!(edges(&stats), ["web 0 cart: 30"], "not a message, as it would seem by the clocks");
}

#[test]
fn corrections_depend_on_no_order() {
    let text = skewed(60, 5000, 1, 1) + &skewed(60, 5000, 1, 1).replace("pod=c", "pod=d").replace("/", "00/");
    let mut lines: Vec<&str> = text.lines().collect();
    let forwards = aggregate(&spans(&lines.join("\n")), &Grid::new(MINUTE_NS));
    lines.reverse();
    assert_eq!(aggregate(&spans(&lines.join("\n")), &Grid::new(MINUTE_NS)), forwards);
    assert_eq!(forwards.0.clocks.len(), 2);
}

fn read(name: &str, text: &str) -> Telemetry {
    read_bytes(Path::new(name), text.as_bytes(), &ReadOptions::default()).unwrap()
}

/// OTLP JSON of clients, each in a service of its own, with these attributes (`key=value` with spaces between).
fn clients(attributes: &[(&str, &str)]) -> Telemetry {
    let mut spans = Vec::new();
    for (number, (service, attributes)) in (1..).zip(attributes) {
        let list: Vec<String> = attributes
            .split_whitespace()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#))
            .collect();
        spans.push(format!(
            r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
            "scopeSpans":[{{"spans":[{{"traceId":"{number:032x}","spanId":"{number:016x}","name":"query","kind":3,
            "startTimeUnixNano":"1000000000","endTimeUnixNano":"1000000500","attributes":[{}]}}]}}]}}"#,
            list.join(",")
        ));
    }
    read("clients.json", &format!(r#"{{"resourceSpans":[{}]}}"#, spans.join(",")))
}

#[test]
fn one_database_that_clients_name_differently_is_one_node() {
    let telemetry = clients(&[
        ("a", "db.system.name=postgresql db.namespace=orders server.address=db server.port=5432"),
        ("b", "db.system=postgres db.name=orders net.peer.name=DB.prod.svc.cluster.local"),
        ("c", "db.system=postgresql db.name=orders net.peer.name=db.prod:5432 net.peer.ip=10.0.0.7"),
        ("d", "db.system=postgresql db.name=orders net.sock.peer.addr=10.0.0.7 net.sock.peer.port=5432"),
        ("e", "db.type=postgresql db.instance=orders"),
        ("f", "db.system=postgresql db.name=users net.peer.name=db"),
    ]);
    let expected = ["a", "b", "c", "d", "e"].map(|caller| format!("{caller} 0 postgresql/orders: 1"));
    let found = edges(&stats(&telemetry.spans));
    assert_eq!(found[..5], expected);
    assert_eq!(found[5..], ["f 0 postgresql/users: 1"], "another database of the same server");
    let two = clients(&[
        ("a", "db.system=redis net.peer.name=cache net.peer.port=6379"),
        ("b", "db.system=redis net.peer.name=cache"),
        ("c", "db.system=redis net.peer.name=cache net.peer.port=6380"),
    ]);
    let expected = ["a 0 redis@cache:6379: 1", "b 0 redis@cache:6379: 1", "c 0 redis@cache:6380: 1"];
    assert_eq!(edges(&stats(&two.spans)), expected);
}

#[test]
fn a_service_graph_beside_traces_names_a_database_once() {
    let metric = |server: &str| {
        format!(
            "# TYPE traces_service_graph_request counter\n\
             traces_service_graph_request_total{{client=\"a\",server=\"{server}\",connection_type=\"database\"}} 5 1.0\n\
             traces_service_graph_request_total{{client=\"a\",server=\"{server}\",connection_type=\"database\"}} 9 61.0\n\
             # EOF\n"
        )
    };
    let attributes = "db.system=postgresql db.name=orders net.peer.name=pg-1 net.peer.port=5432";
    // By host, by host and port, by the database's name; and one that nobody knows.
    for (server, names) in [
        ("pg-1", vec!["a", "postgresql/orders"]),
        ("pg-1:5432", vec!["a", "postgresql/orders"]),
        ("orders", vec!["a", "postgresql/orders"]),
        ("pg-2", vec!["a", "pg-2", "postgresql/orders"]),
    ] {
        let mut telemetry = clients(&[("a", attributes)]);
        telemetry.append(read("graph.prom", &metric(server)));
        let calls = stats(&telemetry.spans);
        calls.adopt(&mut telemetry.given_edges, &mut telemetry.series);
        let (graph, _) = ServiceGraph::build(&calls, &telemetry.given_edges);
        let nodes: Vec<&str> = graph.nodes().iter().map(|node| node.id.as_str()).collect();
        assert_eq!(nodes, names, "{server}");
        let known = |name: &str| nodes.contains(&name);
        assert!(telemetry.series.iter().all(|series| known(series.subject.service().as_str())), "{server}");
        assert!(!telemetry.series.is_empty());
    }
}

#[test]
fn a_host_that_is_an_instrumented_service_is_no_external() {
    let telemetry = clients(&[
        ("a", "url.full=http://cart.shop.svc:8080/items"),
        ("b", "peer.service=cart"),
        ("cart", "server.address=api.example"),
    ]);
    let stats = stats(&telemetry.spans);
    assert_eq!(edges(&stats), ["a 0 cart: 1", "b 0 cart: 1", "cart 0 api.example: 1"]);
    assert_eq!(stats.coverage.unpaired_clients, 2, "cart's own spans are missing");
}

#[test]
fn vector_09_unknown_services_are_not_merged_and_a_lone_service_is_a_graph() {
    let resource = |instance: &str, id: u8| {
        format!(
            r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"unknown_service:java"}}}},
            {{"key":"service.instance.id","value":{{"stringValue":"{instance}"}}}}]}},
            "scopeSpans":[{{"spans":[{{"traceId":"{id:032x}","spanId":"{id:016x}","name":"GET","kind":2,
            "startTimeUnixNano":"1000000000","endTimeUnixNano":"1000000500"}}]}}]}}"#
        )
    };
    let text = format!(r#"{{"resourceSpans":[{},{}]}}"#, resource("pod-1", 1), resource("pod-2", 2));
    let two = stats(&read("unknown.json", &text).spans);
    let names: Vec<&str> = two.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(names, ["unknown_service:java (pod-1)", "unknown_service:java (pod-2)"]);
    let lone = stats(&spans("1/1 - web server GET/ 0+100"));
    let (graph, warnings) = ServiceGraph::build(&lone, &[]);
    assert_eq!((graph.nodes().len(), graph.edges().len(), warnings.len()), (1, 0, 0));
    let (graph, _) = ServiceGraph::build(&stats(&SpanTable::new()), &[]);
    assert!(graph.nodes().is_empty());
}

#[test]
fn a_trace_of_any_width_costs_linear_time() {
    // If every child looked at all others, each of these would take minutes.
    const WIDTH: usize = 200_000;
    let fan = |top: &str, child: &str| -> String {
        let children = (0..WIDTH).map(|n| child.replace('N', &(n + 10).to_string()) + "\n");
        std::iter::once(format!("{top}\n")).chain(children).collect()
    };
    for (name, text) in [
        (
            "a failure above calls without one",
            fan("1/1 - web server GET 0+900ms error", "1/N 1 cart server GET 1+999ms"),
        ),
        (
            "calls at once that begin one after the other and end so",
            fan("1/1 - web server GET 0+900000ms", "1/N 1 cart server GET N+400000ms"),
        ),
        (
            "answers to one client, by another clock",
            fan("1/1 - web server GET 0+90ms\n1/2 1 web client GET 0+90ms", "1/N 2 cart server GET 500+1ms"),
        ),
        (
            "one id for all",
            fan("1/7 - web internal GET 9000+1ms", "1/7 - web internal GET N+1")
                + &fan("1/7 - cart server GET 9000+1ms", "1/7 - cart server GET 300000N+1")
                + "1/7 - web server GET 9000000+1ms",
        ),
    ] {
        let table = spans(&text);
        let start = std::time::Instant::now();
        assert_eq!(stats(&table).coverage.traces, 1, "{name}");
        assert!(start.elapsed().as_secs() < 20, "{name}: {:?}", start.elapsed());
    }
}
