//! Aggregation of small traces written as text, its invariants over random traces, and the graph of recorded ones.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too"
)]

mod span_text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hypocenter::aggregate::aggregate;
use hypocenter::graph::ServiceGraph;
use hypocenter::telemetry::calls::{CallStats, WayRow};
use hypocenter::telemetry::id::{SpanId, TraceId};
use hypocenter::telemetry::span::{PeerKind, Span, SpanKind, SpanStatus, SpanTable};
use hypocenter::telemetry::time::Grid;
use hypocenter::telemetry::topology::{EdgeMode, NodeKind};
use proptest::prelude::*;
use span_text::{MINUTE_NS, check, show, spans, stats};

mod sampled;

#[test]
fn calls_one_after_the_other() {
    let stats = check(
        "
        1/1 - web  server GET/  0+100
        1/2 1 web  client get  10+30
        1/3 2 cart server get  15+20
        1/4 1 web  client list 50+40
        1/5 4 shop server list 60+30
        1/6 5 shop client find 65+20 db=postgresql/shop
        ",
        &[
            "* -> web GET/: 1x100 self 30 part 30+0",
            "shop -> postgresql/shop find: 1x20 self 20 part 20+0",
            "web -> cart get: 1x20 self 20 part 20+10 gap 10",
            "web -> shop list: 1x30 self 10 part 10+10 gap 10",
        ],
    );
    let kinds: Vec<(&str, NodeKind)> = stats.nodes.iter().map(|n| (n.id.as_str(), n.kind)).collect();
    let (service, database) = (NodeKind::Service, NodeKind::Database);
    assert_eq!(kinds, [("cart", service), ("postgresql/shop", database), ("shop", service), ("web", service)]);
    let web = &stats.instances[2];
    assert_eq!((web.instance.as_str(), web.version.as_str(), web.calls, web.self_ns), ("web-0", "v1", 1, 30));
    assert_eq!(stats.rows[0].slowest.unwrap().duration_ns, 100);
    assert_eq!(stats.rows[0].typical.unwrap().trace, TraceId(1));
    assert_eq!(stats.rows[0].failed, None);
}

#[test]
fn the_ways_of_each_operation_are_counted_once_a_request() {
    let stats = stats(&spans(
        "
        1/1 - web  server GET/  0+100
        1/2 1 web  client get  10+20
        1/3 2 cart server get  11+18
        1/4 1 web  client get  40+20
        1/5 4 cart server get  41+18
        1/6 5 cart client find 45+10 db=redis
        2/1 - web  server POST/ 0+100
        2/2 1 web  client put  10+20 db=postgresql/shop
        3/1 - web  server GET/  0+100 weight=4
        3/2 1 web  client get  10+20 peer=cart weight=4
        ",
    ));
    let way = |way: &WayRow| {
        let operation = &stats.operations[way.operation as usize];
        format!("{} {operation} -> {}: {}", stats.service(way.caller), stats.service(way.callee), way.requests)
    };
    let ways: Vec<String> = stats.ways.iter().map(way).collect();
    assert_eq!(ways, ["cart get -> redis: 1", "web GET/ -> cart: 5", "web POST/ -> postgresql/shop: 1"]);
}

#[test]
fn calls_in_parallel_and_overlapping() {
    check(
        "
        1/1 - web server GET/  0+100
        1/2 1 a   server get  10+50
        1/3 1 b   server get  10+80
        ",
        &[
            "* -> web GET/: 1x100 self 20 part 20+0",
            "web -> a get: 1x50 self 50 part 25+0",
            "web -> b get: 1x80 self 80 part 55+0",
        ],
    );
    check(
        "
        1/1 - web server GET/  0+100
        1/2 1 a   server get  10+50
        1/3 1 b   server get  40+50
        ",
        &[
            "* -> web GET/: 1x100 self 20 part 20+0",
            "web -> a get: 1x50 self 50 part 40+0",
            "web -> b get: 1x50 self 50 part 40+0",
        ],
    );
}

#[test]
fn children_that_outlive_their_parent() {
    // The gateway answers before its own client span ends; the callee goes on beyond that.
    check(
        "
        1/1 - gate ? /*    0+50
        1/2 1 gate ? POST 10+45
        1/3 2 shop ? buy  20+60
        ",
        &["* -> gate /*: 1x50 self 10 part 10+0", "gate -> shop buy: 1x60 self 60 part 40+0 gap 0"],
    );
    // Work that starts after the answer is not waited for.
    check(
        "
        1/1 - web  server GET/  0+100
        1/2 1 mail server send 150+70
        ",
        &["* -> web GET/: 1x100 self 100 part 100+0", "web ~> mail send: 1x70 self 70 part 0+0"],
    );
}

#[test]
fn spans_without_kinds() {
    // As in Nezha: `GetCart` in web is the client's half (its only child is remote), `work` is not (two children),
    // and the root is not (it is web's whole work).
    check(
        "
        1/1 - web  ? Recv     0+100
        1/2 1 web  ? GetCart 10+40
        1/3 2 cart ? GetCart 20+20
        1/4 3 cart ? lookup  22+10
        1/5 1 web  ? work    60+30
        1/6 5 a    ? do      60+10
        1/7 5 b    ? do      75+10
        ",
        &[
            "* -> web Recv: 1x100 self 40 part 40+0",
            "web -> a do: 1x10 self 10 part 10+0",
            "web -> b do: 1x10 self 10 part 10+0",
            "web -> cart GetCart: 1x20 self 20 part 20+20 gap 20",
        ],
    );
    check(
        "
        1/1 - web  ? Recv     0+100
        1/3 1 cart ? GetCart 20+20
        ",
        &["* -> web Recv: 1x100 self 80 part 80+0", "web -> cart GetCart: 1x20 self 20 part 20+0"],
    );
}

#[test]
fn retries_and_errors() {
    // First attempt: the server fails by itself. Second: the answer is lost on the way. Third: success.
    check(
        "
        1/1 - web  server GET/  0+100 error
        1/2 1 web  client get   0+20  error
        1/3 2 cart server get   5+10  error
        1/4 1 web  client get  30+20  error
        1/5 4 cart server get  35+10
        1/6 1 web  client get  60+20
        1/7 6 cart server get  65+10
        ",
        &[
            "* -> web GET/: 1x100 self 40 part 40+0 errors 1 caller 0 origin 0 edge 0",
            "web -> cart get: 3x30 self 30 part 30+30 gap 30 errors 2 caller 2 origin 1 edge 1 retries 2",
        ],
    );
    // A proxy's two attempts under one client span: the gap is what neither server covers.
    check(
        "
        1/1 - web  client get  0+100 error
        1/2 1 cart server get 10+30  error
        1/3 1 cart server get 50+40
        ",
        &[
            "* -> web get: 1x100 self 0 part 0+0 errors 1 caller 0 origin 0 edge 0",
            "web -> cart get: 2x70 self 70 part 70+30 gap 30 errors 2 caller 1 origin 1 edge 1 retries 1",
        ],
    );
    // A database tells nothing itself: what fails there begins there.
    check(
        "
        1/1 - web server GET/ 0+100 error
        1/2 1 web client find 0+50  error db=redis
        ",
        &[
            "* -> web GET/: 1x100 self 50 part 50+0 errors 1 caller 0 origin 0 edge 0",
            "web -> redis find: 1x50 self 50 part 50+0 errors 1 caller 1 origin 1 edge 0",
        ],
    );
}

#[test]
fn clients_without_servers() {
    let stats = check(
        "
        1/1 - web  server GET/   0+100
        1/2 1 web  client who   10+10
        1/3 1 web  client lost  30+10 peer=cart
        1/4 1 web  client pay   50+10 peer=bank
        1/5 4 web  client POST  52+6  peer=10.0.0.1
        1/6 1 web  client sdk   70+20 peer=aws
        1/7 6 web  client POST  72+16
        1/8 7 cart server POST  75+10
        ",
        &[
            "* -> web GET/: 1x100 self 64 part 64+0",
            "web -> bank pay: 1x10 self 10 part 10+0",
            "web -> cart POST: 1x10 self 10 part 10+6 gap 6",
            "web -> cart lost: 1x10 self 10 part 10+0",
        ],
    );
    assert_eq!(stats.coverage.unpaired_clients, 2); // `who`, and `lost`, whose callee emits spans
    let kind = |name: &str| stats.nodes.iter().find(|n| n.id.as_str() == name).map(|n| n.kind);
    assert_eq!(kind("bank"), Some(NodeKind::External));
    assert_eq!(kind("cart"), Some(NodeKind::Service));
}

#[test]
fn roots_that_are_missing() {
    let stats = check(
        "
        1/2 1 web  client get  10+30
        1/3 2 cart server get  15+20
        1/5 4 shop server list 60+30
        ",
        &[
            "* -> shop list: 1x30 self 30 part 0+0",
            "* -> web get: 1x30 self 0 part 0+0",
            "web -> cart get: 1x20 self 20 part 20+10 gap 10",
        ],
    );
    assert_eq!((stats.coverage.orphans, stats.coverage.rootless_traces), (2, 1));
    let entry = stats.entries[0];
    assert_eq!((stats.entries.len(), stats.service(entry.service).as_str()), (1, "web"));
}

#[test]
fn duplicates_and_circles() {
    let stats = check(
        "
        1/1 - web  server GET/  0+100
        1/2 1 cart server get  40+20
        1/2 1 cart server get  10+20
        1/2 1 cart server get  10+20
        ",
        &["* -> web GET/: 1x100 self 80 part 80+0", "web -> cart get: 1x20 self 20 part 20+0"],
    );
    assert_eq!((stats.coverage.duplicates, stats.coverage.spans), (2, 4));
    let stats = check(
        "
        1/1 3 a server x 10+50
        1/2 1 b server x 20+30
        1/3 2 c server x  5+10
        1/4 3 d server x  7+2
        2/9 9 e server x  7+2
        ",
        &[
            "* -> c x: 1x10 self 3 part 3+0",
            "* -> e x: 1x2 self 2 part 2+0",
            "a -> b x: 1x30 self 30 part 0+0",
            "c -> a x: 1x50 self 20 part 5+0",
            "c -> d x: 1x2 self 2 part 2+0",
        ],
    );
    assert_eq!((stats.coverage.cyclic, stats.coverage.rootless_traces, stats.coverage.traces), (4, 2, 2));
}

#[test]
fn clocks_that_differ() {
    // The server's clock is 1000 behind; what it calls is on its own clock again.
    let stats = check(
        "
        1/1 - web  server GET/ 1000+100
        1/2 1 web  client get  1010+50
        1/3 2 cart server get    20+40
        1/4 3 cart client find   30+20 db=redis
        ",
        &[
            "* -> web GET/: 1x100 self 50 part 50+0",
            "cart -> redis find: 1x20 self 20 part 20+0",
            "web -> cart get: 1x40 self 20 part 20+10 gap 10",
        ],
    );
    assert_eq!(stats.coverage.outside_parent, 1);
}

#[test]
fn messages() {
    // Through a named queue, in one trace.
    check(
        "
        1/1 - web  server   GET/   0+100
        1/2 1 web  producer send  10+20 queue=kafka/orders
        1/3 2 mail consumer read  90+50
        ",
        &[
            "* -> web GET/: 1x100 self 100 part 100+0",
            "kafka/orders ~> mail read: 1x50 self 50 part 0+0",
            "web ~> kafka/orders send: 1x20 self 20 part 0+0",
        ],
    );
    // Directly, where nobody names a queue.
    check(
        "
        1/1 - web  server   GET/   0+100
        1/2 1 web  producer send  10+20 error
        1/3 2 mail consumer read  20+50
        ",
        &[
            "* -> web GET/: 1x100 self 100 part 100+0",
            "web ~> mail read: 1x50 self 50 part 0+0 errors 1 caller 1 origin 0 edge 1",
        ],
    );
    // A poller in its own trace, with nothing but the queue's name; a handler within a handler is the same message.
    check(
        "
        1/1 - mail ?        poll   0+100
        1/2 1 mail consumer read  10+50 queue=kafka/orders
        1/3 2 mail consumer work  20+30 queue=kafka/orders
        ",
        &["* -> mail poll: 1x100 self 100 part 100+0", "kafka/orders ~> mail read: 1x50 self 50 part 0+0"],
    );
}

#[test]
fn messages_by_link() {
    let lines = [
        "1/1 - web  server   GET/   0+100",
        "1/2 1 web  producer send  10+20",
        "2/1 - mail consumer read  90+50 link=1/2 link=7/7",
    ];
    let expected = ["* -> web GET/: 1x100 self 100 part 100+0", "web ~> mail read: 1x50 self 50 part 50+0"];
    let stats = check(&lines.join("\n"), &expected);
    assert_eq!((stats.coverage.unresolved_links, stats.coverage.unpaired_clients), (1, 0));
    check(&[lines[2], lines[0], lines[1]].join("\n"), &expected);
    // The other direction, and a batch from two senders whose queue only the consumer names.
    check(
        "1/2 - web producer send 10+20 link=2/1\n2/1 - mail consumer read 90+50",
        &["* -> web send: 1x20 self 20 part 20+0", "web ~> mail read: 1x50 self 50 part 50+0"],
    );
    check(
        "
        1/2 - web  producer send 10+20
        3/2 - shop producer send 10+20
        2/1 - mail consumer read 90+50 queue=q link=1/2 link=3/2
        ",
        &[
            "* -> shop send: 1x20 self 20 part 20+0",
            "* -> web send: 1x20 self 20 part 20+0",
            "q ~> mail read: 1x50 self 50 part 50+0",
            "shop ~> q send: 1x20 self 20 part 0+0",
            "web ~> q send: 1x20 self 20 part 0+0",
        ],
    );
}

#[test]
fn bins_entries_and_distributions() {
    let text = "
        1/1 - web  server GET/ 0+100
        1/2 1 cart server get 10+30
        2/1 - web  server PUT/ 60000000000+100
        2/2 1 cart server get  60000000010+40
        3/1 - web  server PUT/ 60000000000+300
        3/2 1 cart server get  60000000010+40 error
    ";
    let stats = stats(&spans(text));
    let rows: Vec<_> = stats.rows.iter().filter(|row| row.key.caller.is_some()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].key.bin, rows[0].calls, rows[1].key.bin, rows[1].calls), (0, 1, 1, 2));
    let entry = stats.entries[rows[1].key.entry as usize];
    assert_eq!(stats.operations[entry.operation as usize], "PUT/");
    assert_eq!(rows[1].durations.counts(), [(40, 2)]);
    assert_eq!(rows[1].self_times.count(), 2);
    assert_eq!(rows[1].gaps.count(), 0);
    assert_eq!(rows[1].slowest.unwrap().trace, TraceId(2)); // of equal durations the smaller trace
    assert_eq!(rows[1].failed.unwrap().trace, TraceId(3));
    assert_eq!(rows[1].typical.unwrap().trace, TraceId(2));
    assert_eq!(aggregate(&SpanTable::new(), &Grid::new(MINUTE_NS)), (CallStats::empty(stats.grid), Vec::new()));
}

/// A span for the properties: (trace, id, parent, service, kind, start, duration, failed, peer, link).
type Sketchy = (u8, u8, u8, u8, u8, i64, u64, bool, u8, u8);

fn sketchy() -> impl Strategy<Value = Vec<Sketchy>> {
    let span =
        (0..3_u8, 1..18_u8, 0..20_u8, 0..4_u8, 0..6_u8, -20..100_i64, 0..80_u64, any::<bool>(), 0..12_u8, 0..40_u8);
    prop::collection::vec(span, 1..40)
}

fn table(spans: &[Sketchy]) -> SpanTable {
    let mut table = SpanTable::new();
    for &(trace, id, parent, service, kind, start_ns, duration_ns, failed, peer, link) in spans {
        use SpanKind::{Client, Consumer, Internal, Producer, Server, Unspecified};
        let peers = [PeerKind::Service, PeerKind::Database, PeerKind::Queue, PeerKind::External];
        let span = Span {
            trace: TraceId(u128::from(trace)),
            id: SpanId(u64::from(id)),
            parent: (parent != 0).then_some(SpanId(u64::from(parent))),
            resource: table.resource_key(&format!("s{service}"), &format!("i{}", id % 2), ""),
            operation: table.operation_key(&format!("o{}", (service + id) % 3)),
            kind: [Unspecified, Internal, Server, Client, Producer, Consumer][usize::from(kind)],
            status: if failed { SpanStatus::Error } else { SpanStatus::Unset },
            peer: (peer < 4).then(|| table.peer_key(&format!("s{}", peer + 2), peers[usize::from(peer)])),
            start_ns,
            duration_ns,
        };
        table.push(span);
        if link < 18 {
            table.push_link(TraceId(u128::from(link % 3)), SpanId(u64::from(link)));
        }
    }
    table
}

/// Each trace's id with the durations of its roots together, or of what stands for them; the earliest of duplicates
/// counts, which is told by the start alone, so traces with undecided duplicates or without a root are left out, and so
/// are those where two halves of a call share an id and are no duplicates.
fn root_time(spans: &[Sketchy]) -> Option<u64> {
    let mut first: BTreeMap<(u8, u8), &Sketchy> = BTreeMap::new();
    let mut called: BTreeMap<(u8, u8), bool> = BTreeMap::new();
    for span in spans {
        let is_called = span.4 == 2 || span.4 == 5; // a server or a consumer
        if *called.entry((span.0, span.1)).or_insert(is_called) != is_called {
            return None;
        }
        match first.get(&(span.0, span.1)) {
            Some(before) if before.5 == span.5 => return None,
            Some(before) if before.5 < span.5 => {}
            _ => drop(first.insert((span.0, span.1), span)),
        }
    }
    let traces: BTreeSet<u8> = spans.iter().map(|s| s.0).collect();
    let roots: Vec<&&Sketchy> = first.values().filter(|s| s.2 == 0).collect();
    let rooted: BTreeSet<u8> = roots.iter().map(|s| s.0).collect();
    (rooted == traces).then(|| roots.iter().map(|s| s.6).sum())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_time_of_roots_is_shared_out(mut spans in sketchy()) {
        // A root for each trace, so that the expected sum is plain.
        for (trace, span) in spans.clone().iter().enumerate().take(3) {
            spans.push((trace as u8, 19, 0, span.3, span.4, span.5, span.6, span.7, span.8, 40));
        }
        let stats = stats(&table(&spans));
        let parts: u64 = stats.rows.iter().map(|r| r.part_ns + r.part_gap_ns).sum();
        if let Some(expected) = root_time(&spans) {
            // Rounded once for each piece of a shared stretch.
            prop_assert!(parts.abs_diff(expected) <= (spans.len() * spans.len()) as u64, "{parts}, expected {expected}");
        }
        for row in &stats.rows {
            prop_assert!(row.part_ns <= row.self_ns && row.self_ns <= row.duration_ns);
            prop_assert!(row.part_gap_ns <= row.gap_ns && row.paired_calls <= row.calls);
            prop_assert_eq!((row.durations.count(), row.self_times.count()), (row.calls, row.calls));
            prop_assert_eq!(row.gaps.count(), row.paired_calls);
            prop_assert!(row.errors <= row.calls && row.origin_errors + row.edge_errors <= row.errors);
            prop_assert_eq!(row.failed.is_some(), row.errors > 0);
            prop_assert_eq!(row.typical.is_some(), row.errors < row.calls);
        }
        prop_assert_eq!(stats.coverage.spans, spans.len() as u64);
        prop_assert!(stats.rows.is_sorted_by(|a, b| a.key < b.key));
        prop_assert!(stats.instances.is_sorted() && stats.entries.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn neither_order_nor_keys_matter(spans in sketchy(), seed in any::<u64>(), cut in 0..40_usize) {
        let mut shuffled = spans.clone();
        shuffled.sort_by_key(|span| {
            let text = format!("{span:?}{seed}");
            text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        });
        let (head, tail) = shuffled.split_at(cut.min(shuffled.len()));
        let mut joined = table(head);
        joined.append(table(tail));
        let grid = Grid::new(MINUTE_NS);
        prop_assert_eq!(aggregate(&table(&spans), &grid), aggregate(&joined, &grid));
    }

    #[test]
    fn the_graph_has_the_edges_of_the_rows(spans in sketchy()) {
        let stats = stats(&table(&spans));
        let (graph, _) = ServiceGraph::build(&stats, &[]);
        let keys = stats.rows.iter().map(|row| row.key);
        let of_rows: BTreeSet<_> =
            keys.filter_map(|k| k.caller.map(|caller| (stats.service(caller), stats.service(k.callee)))).collect();
        let of_graph: BTreeSet<_> = graph.edges().iter().map(|edge| (&edge.caller, &edge.callee)).collect();
        prop_assert_eq!(of_graph, of_rows);
        prop_assert_eq!(graph.nodes(), stats.nodes.as_slice());
    }
}

#[test]
fn absurd_numbers_do_not_panic() {
    let text = format!(
        "
        1/1 - web  server GET/ {min}+{long}
        1/2 1 web  client get  {max}+{long}
        1/3 2 cart server get  {min}+{long}
        1/4 2 cart server get  0+{long}
        2/1 - web  server GET/ {max}+{long}
        ",
        min = i64::MIN,
        max = i64::MAX,
        long = u64::MAX
    );
    assert_eq!(stats(&spans(&text)).coverage.spans, 5);
}

#[test]
fn a_chain_of_a_hundred_thousand_calls() {
    let chain = (1..=100_000).map(|id| {
        let parent = if id == 1 { "-".to_owned() } else { (id - 1).to_string() };
        format!("1/{id} {parent} s{} server get {id}+{}\n", id % 7, 300_000 - 2 * id)
    });
    let stats = stats(&spans(&chain.collect::<String>()));
    assert_eq!(stats.rows.iter().map(|row| row.calls).sum::<u64>(), 100_000);
    assert_eq!(stats.rows.iter().map(|row| row.part_ns).sum::<u64>(), 299_998);
}

/// The spans of some of Nezha's files; `None` when they are not there.
fn nezha(files: &[&str]) -> Option<SpanTable> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets/nezha");
    let mut table = SpanTable::new();
    for file in files {
        let path = folder.join(file);
        let Ok(file) = std::fs::File::open(&path) else {
            println!("skipped: {} is not there", path.display());
            return None;
        };
        let mut reader = csv::Reader::from_reader(zstd::Decoder::new(file).unwrap());
        for record in reader.records() {
            // TraceID, SpanID, ParentID, PodName, OperationName, StartTimeUnixNano, EndTimeUnixNano, Duration
            let record = record.unwrap();
            let mut service = record[3].rsplitn(3, '-');
            let service = service.nth(2).unwrap_or(&record[3]);
            let start_ns: i64 = record[5].parse().unwrap();
            let span = Span {
                trace: TraceId::from_hex(&record[0]).unwrap(),
                id: SpanId::from_hex(&record[1]).unwrap(),
                parent: (&record[2] != "root").then(|| SpanId::from_hex(&record[2]).unwrap()),
                resource: table.resource_key(service, &record[3], ""),
                operation: table.operation_key(&record[4]),
                kind: SpanKind::Unspecified,
                status: SpanStatus::Unset,
                peer: None,
                start_ns,
                duration_ns: record[6].parse::<i64>().unwrap().saturating_sub(start_ns).max(0) as u64,
            };
            table.push(span);
        }
    }
    Some(table)
}

/// Whether the parts of all calls add up to the roots of traces that have one (each of Nezha's has at most one), but for
/// rounding: half a nanosecond for each span.
fn assert_roots_are_shared_out(table: &SpanTable, stats: &CallStats) {
    let parts: u64 = stats.rows.iter().map(|row| row.part_ns + row.part_gap_ns).sum();
    let roots: BTreeMap<(u128, u64), u64> = (0..table.len())
        .filter(|&row| table.parent[row] == 0)
        .map(|row| ((table.trace[row], table.id[row]), table.duration_ns[row]))
        .collect();
    let roots: u64 = roots.values().sum();
    assert!(parts.abs_diff(roots) <= table.len() as u64 / 2, "{parts}, expected {roots}");
    assert_eq!(stats.coverage.rootless_traces, 0);
}

/// Calls between nodes, and how many of them are seen from both sides.
fn remote_calls(stats: &CallStats) -> (u64, u64) {
    let remote = stats.rows.iter().filter(|row| row.key.caller.is_some());
    remote.fold((0, 0), |sum, row| (sum.0 + row.calls, sum.1 + row.paired_calls))
}

#[test]
fn online_boutique_has_its_known_graph() {
    let minutes = ["construct_data/2022-08-23/trace/17_00_trace.csv.zst"];
    let Some(table) = nezha(&minutes) else { return };
    let stats = stats(&table);
    let (graph, _) = ServiceGraph::build(&stats, &[]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/datasets/nezha/rca_data/2022-08-23/metric/dependency.csv.zst");
    let mut reader = csv::Reader::from_reader(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
    // Beside the edges between services the file lists addresses of hosts. Of checkout's calls to currency no server
    // span of the whole day has its client's span as parent: the context is lost on the way.
    let known: BTreeSet<String> = reader
        .records()
        .map(|record| record.unwrap())
        .filter(|record| !record[1].starts_with(|c: char| c.is_ascii_digit()))
        .map(|record| format!("{} {}", &record[0], &record[1]))
        .filter(|edge| edge != "checkoutservice currencyservice")
        .collect();
    let found: BTreeSet<String> = graph.edges().iter().map(|e| format!("{} {}", e.caller, e.callee)).collect();
    assert_eq!(found, known);
    assert!(graph.edges().iter().all(|edge| edge.mode == EdgeMode::Sync));
    // By counting in the file: spans whose parent is another pod's, each the only child of its parent.
    assert_eq!(remote_calls(&stats), (5525, 5525));
    assert_roots_are_shared_out(&table, &stats);
}

#[test]
fn train_ticket_has_its_graph_behind_a_reactive_gateway() {
    let minutes = ["construct_data/2023-01-29/trace/08_50_trace.csv.zst"];
    let Some(table) = nezha(&minutes) else { return };
    let stats = stats(&table);
    // Counted in the file as above: 783 calls on 42 edges, all below client spans.
    assert_eq!(remote_calls(&stats), (783, 783));
    let (graph, _) = ServiceGraph::build(&stats, &[]);
    assert_eq!(graph.edges().len(), 42);
    assert!(graph.edges().iter().all(|edge| edge.mode == EdgeMode::Sync));
    assert!(graph.callers(&"ts-gateway-service".into()).is_empty());
    assert!(graph.cycles().is_empty());
    assert_roots_are_shared_out(&table, &stats);
}

#[test]
fn minutes_that_overlap_count_once() {
    let minute = "rca_data/2022-08-23/trace/12_10_trace.csv.zst";
    let (Some(once), Some(twice)) = (nezha(&[minute]), nezha(&[minute, minute])) else { return };
    let (once, twice) = (stats(&once), stats(&twice));
    assert_eq!(once.rows, twice.rows);
    assert_eq!(twice.coverage.duplicates, once.coverage.spans + once.coverage.duplicates);
}

#[test]
fn shared_spans_are_parted_into_a_caller_and_a_callee() {
    // As Zipkin's clients report: each id twice, once by either side; what the server does names the shared id as parent.
    let shared = "
        1/1 - web  server GET/   0+100
        1/2 1 web  client get    10+40
        1/2 1 cart server get    15+30
        1/3 2 cart client find   20+10 db=redis
        1/4 2 cart client price  32+8
        1/4 2 shop server price  34+4
        1/5 2 web  ?      encode 11+2
        ";
    let distinct = "
        1/1 - web  server GET/   0+100
        1/2 1 web  client get    10+40
        1/12 2 cart server get   15+30
        1/3 12 cart client find  20+10 db=redis
        1/4 12 cart client price 32+8
        1/14 4 shop server price 34+4
        1/5 2 web  ?      encode 11+2
        ";
    let expected = stats(&spans(distinct));
    let found = stats(&spans(shared));
    assert_eq!(show(&found), show(&expected));
    assert_eq!(found.coverage, expected.coverage);
    // Read twice, as overlapping files give it: duplicates, and nothing else changes.
    let twice = stats(&spans(&format!("{shared}{shared}")));
    assert_eq!(show(&twice), show(&expected));
    assert_eq!(twice.coverage.duplicates, 7);
    let backwards: Vec<&str> = shared.lines().rev().collect();
    assert_eq!(show(&stats(&spans(&backwards.join("\n")))), show(&expected));
}

#[test]
fn a_shared_span_without_its_caller_keeps_its_place() {
    // cart's own client of span 3 is missing: the call is still cart's, not web's.
    check(
        "
        1/1 - web  server GET/  0+100
        1/2 1 web  client get   10+40
        1/2 1 cart server get   15+30
        1/3 2 shop server price 34+4
        ",
        &[
            "* -> web GET/: 1x100 self 60 part 60+0",
            "cart -> shop price: 1x4 self 4 part 4+0",
            "web -> cart get: 1x30 self 26 part 26+10 gap 10",
        ],
    );
}

#[test]
fn several_servers_under_one_shared_id_share_the_spans_below_by_service_and_time() {
    // A client that tried twice under one id: the second try did the query.
    check(
        "
        1/1 - web  client get  0+100
        1/1 - cart server get  5+20 error
        1/1 - cart server get  40+50
        1/2 1 cart client find 50+10 db=redis
        ",
        &[
            "* -> web get: 1x100 self 0 part 0+0",
            "cart -> redis find: 1x10 self 10 part 10+0",
            "web -> cart get: 2x70 self 60 part 60+30 gap 30 errors 1 caller 0 origin 1 edge 0 retries 1",
        ],
    );
}

#[test]
fn a_service_that_calls_itself_under_one_shared_id_works_in_the_called_half() {
    check(
        "
        1/1 - web client get  0+100
        1/1 - web server get  5+90
        1/2 1 web client find 50+10 db=redis
        ",
        &[
            "* -> web get: 1x100 self 0 part 0+0",
            "web -> redis find: 1x10 self 10 part 10+0",
            "web -> web get: 1x90 self 80 part 80+10 gap 10",
        ],
    );
}
