//! Traces of each format, read back by our own readers: they must say what was observed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use super::*;
use crate::ingest::{ReadOptions, Telemetry, read_bytes};
use crate::simulate::observe::{Imperfections, ObservedSpans, Sampling, observe};
use crate::simulate::recording::{Outcome, Recording, SpanRecord};
use crate::simulate::system::System;
use crate::telemetry::span::{Marks, Peer, SpanKind, SpanStatus};

fn perfect(recording: &Recording) -> ObservedSpans {
    observe(recording, &Imperfections::default(), 1)
}

fn read(file: &CaseFile) -> Telemetry {
    let read = read_bytes(Path::new(&file.name), &file.bytes, &ReadOptions::default()).expect("recognised");
    assert_eq!((read.warnings.as_slice(), read.skipped), (&[][..], 0), "{}", file.name);
    read
}

/// A span as a reader has it, by its id.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    trace: u128,
    parent: u64,
    link: Option<(u128, u64)>,
    service: String,
    instance: String,
    version: String,
    operation: String,
    kind: SpanKind,
    status: SpanStatus,
    peer: Option<Peer>,
    start_ns: i64,
    duration_ns: u64,
    marks: Marks,
    weight: u32,
}

fn rows(telemetry: &Telemetry) -> BTreeMap<u64, Row> {
    let spans = &telemetry.spans;
    let links: BTreeMap<u32, (u128, u64)> =
        spans.links.iter().map(|link| (link.row, (link.trace.0, link.id.0))).collect();
    let row = |row: usize| {
        let span = spans.get(row);
        let resource = &spans.resources()[span.resource.0 as usize];
        let found = Row {
            trace: span.trace.0,
            parent: span.parent.map_or(0, |parent| parent.0),
            link: links.get(&(row as u32)).copied(),
            service: resource.service.clone(),
            instance: resource.instance.clone(),
            version: resource.version.clone(),
            operation: spans.operations()[span.operation.0 as usize].clone(),
            kind: span.kind,
            status: span.status,
            peer: span.peer.map(|peer| spans.peers()[peer.0 as usize].clone()),
            start_ns: span.start_ns,
            duration_ns: span.duration_ns,
            marks: spans.marks_of(row),
            weight: spans.weight.get(row).copied().unwrap_or_default(),
        };
        (span.id.0, found)
    };
    (0..spans.len()).map(row).collect()
}

/// Times as exact as the format has them.
fn rounded(format: TraceFormat, ns: i64) -> i64 {
    match format {
        TraceFormat::OtlpJson | TraceFormat::OtlpProtobuf | TraceFormat::Parquet => ns,
        TraceFormat::JaegerJson => ns / 1000 * 1000,
    }
}

fn check(format: TraceFormat, system: &System, recording: &Recording, written: &SpanRecord, found: &Row) {
    let instance = &recording.instances[written.instance as usize];
    assert_eq!((found.trace, found.parent), (written.trace, written.parent));
    assert_eq!(found.link, (written.link.1 != 0).then_some(written.link));
    assert_eq!(found.service, system.services[instance.service].name);
    assert_eq!((&found.instance, &found.version), (&instance.pod, &instance.version));
    assert_eq!(found.operation, span_name(system, written));
    let kind = match written.side {
        Side::Server => SpanKind::Server,
        Side::Client => SpanKind::Client,
        Side::Producer => SpanKind::Producer,
        Side::Consumer => SpanKind::Consumer,
    };
    assert_eq!(found.kind, kind);
    assert_eq!(found.start_ns, rounded(format, written.start_ns));
    assert_eq!(found.duration_ns as i64, rounded(format, written.end_ns - written.start_ns));
    let expected = if status_is_error(system, written) { SpanStatus::Error } else { SpanStatus::Unset };
    assert_eq!(found.status, expected, "{written:?}");
    if written.side == Side::Client {
        assert_eq!(found.marks.has(Marks::TIMED_OUT), written.outcome == Outcome::TimedOut, "{written:?}");
        let callee = system.operations[written.operation].service;
        let peer = found.peer.as_ref().expect("clients name whom they call");
        assert!(system.names_of(callee).contains(&peer.name), "{peer:?}");
    }
}

#[test]
fn every_format_gives_the_observed_spans() {
    let (system, recording) = sample::shop(3000);
    let observed = perfect(&recording);
    let outcomes: BTreeSet<Outcome> = observed.spans.iter().map(|span| span.outcome).collect();
    assert_eq!(outcomes.len(), 12, "the sample has all outcomes");
    for format in TraceFormat::ALL {
        let file = traces(format, &system, &recording, &observed);
        let found = rows(&read(&file));
        assert_eq!(found.len(), observed.spans.len(), "{}", file.name);
        for span in &observed.spans {
            check(format, &system, &recording, span, &found[&span.span]);
        }
    }
}

#[test]
fn all_formats_say_the_same() {
    let (system, recording) = sample::shop(1000);
    let imperfections = Imperfections { sampling: Sampling::Head(0.3), ..Imperfections::default() };
    let observed = observe(&recording, &imperfections, 1);
    let read = |format| rows(&read(&traces(format, &system, &recording, &observed)));
    let first = read(TraceFormat::OtlpJson);
    assert!(first == read(TraceFormat::OtlpProtobuf));
    assert!(first == read(TraceFormat::Parquet));
    let mut coarse = first;
    for row in coarse.values_mut() {
        row.start_ns = rounded(TraceFormat::JaegerJson, row.start_ns);
        row.duration_ns = rounded(TraceFormat::JaegerJson, row.duration_ns as i64) as u64;
    }
    assert!(coarse == read(TraceFormat::JaegerJson));
}

#[test]
fn names_are_those_of_the_conventions() {
    let (system, recording) = sample::shop(40);
    let names: BTreeSet<String> = recording.spans.iter().map(|span| span_name(&system, span)).collect();
    let expected = [
        "GET",
        "POST",
        "POST /checkout",
        "PUT",
        "PUT /orders/{id}",
        "SELECT orders",
        "process orders",
        "publish orders",
        "shop.Cart/Get",
        "shop.Ranker/Rank",
    ];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn databases_caches_topics_and_hosts_are_the_peers_of_those_who_call_them() {
    let (system, recording) = sample::shop(10);
    for format in TraceFormat::ALL {
        let found = rows(&read(&traces(format, &system, &recording, &perfect(&recording))));
        let peers: BTreeSet<&str> =
            found.values().filter_map(|row| row.peer.as_ref()).map(|peer| peer.name.as_str()).collect();
        for peer in ["postgresql/orders-db", "redis@sessions", "kafka/orders", "api.pay.example"] {
            assert!(peers.contains(peer), "{}: {peers:?}", format.name());
        }
    }
}

#[test]
fn a_sampled_span_stands_for_as_many_as_its_threshold_says() {
    let (system, recording) = sample::shop(2000);
    let imperfections = Imperfections { sampling: Sampling::Head(0.25), ..Imperfections::default() };
    let observed = observe(&recording, &imperfections, 1);
    for format in TraceFormat::ALL {
        let found = rows(&read(&traces(format, &system, &recording, &observed)));
        assert_eq!(found.len(), observed.spans.len());
        assert!(found.values().all(|row| row.weight == 4), "{}", format.name());
    }
}

#[test]
fn hostile_names_stay_whole() {
    let (mut system, mut recording) = sample::shop(30);
    const HOSTILE: &str = "\"},\\\"x\" \n\t\u{1} <b>ü</b> 🚀";
    for service in &mut system.services {
        service.name.push_str(HOSTILE);
    }
    for operation in &mut system.operations {
        operation.name.push_str(HOSTILE);
    }
    for instance in &mut recording.instances {
        instance.version.push_str(HOSTILE);
    }
    for format in TraceFormat::ALL {
        let found = rows(&read(&traces(format, &system, &recording, &perfect(&recording))));
        assert_eq!(found.len(), recording.spans.len());
        let service = format!("cart{HOSTILE}");
        assert!(
            found.values().any(|row| row.service == service && row.version.ends_with(HOSTILE)),
            "{}",
            format.name()
        );
    }
}

#[test]
fn the_same_spans_are_the_same_bytes() {
    let (system, recording) = sample::shop(500);
    for format in TraceFormat::ALL {
        let once = traces(format, &system, &recording, &perfect(&recording));
        let again = traces(format, &system, &recording, &perfect(&recording));
        assert!(once == again, "{}", format.name());
    }
}

/// Without spans there is an empty file, not a broken one.
#[test]
fn no_spans_are_no_spans() {
    let (system, recording) = sample::shop(1);
    for format in TraceFormat::ALL {
        let file = traces(format, &system, &recording, &ObservedSpans::default());
        let read = read_bytes(Path::new(&file.name), &file.bytes, &ReadOptions::default());
        assert!(read.is_ok_and(|telemetry| telemetry.spans.is_empty() && telemetry.skipped == 0), "{}", format.name());
    }
}

/// FNV-1a of a Parquet file, for the test below.
#[test]
#[ignore = "run by the next test, in processes with other numbers of threads"]
fn tell_the_bytes_of_parquet() {
    let (system, recording) = sample::shop(6000);
    let file = traces(TraceFormat::Parquet, &system, &recording, &perfect(&recording));
    let hash = file
        .bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    println!("bytes {hash:016x} {}", file.bytes.len());
}

#[test]
fn the_bytes_do_not_depend_on_threads() {
    let told = |threads: &str| {
        let output = Command::new(std::env::current_exe().expect("a test has a file"))
            .args(["--exact", "simulate::write::read_back::tell_the_bytes_of_parquet", "--ignored", "--nocapture"])
            .env("POLARS_MAX_THREADS", threads)
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .expect("the test runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = text.lines().find_map(|line| line.split_once("bytes ")).map(|(_, told)| told.to_owned());
        told.unwrap_or_else(|| panic!("nothing told: {text}"))
    };
    let one = told("1");
    assert_eq!(one, told("2"));
    assert_eq!(one, told("5"));
}
