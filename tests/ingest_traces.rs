//! Traces through the front door of `ingest`: a file for each accepted shape and for each message.

use std::fs;
use std::path::{Path, PathBuf};

use hypocenter::ingest::{Format, IngestError, ReadOptions, Telemetry, read_bytes, read_paths};
use hypocenter::telemetry::span::SpanTable;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces").join(name)
}

fn read(name: &str) -> Telemetry {
    read_paths(&[fixture(name)], &ReadOptions::default(), &|_| {}).expect("the fixture is recognised")
}

/// `trace/span<parent service [instance version] operation kind status start+duration → peer`, a line for each span.
fn spans(table: &SpanTable) -> Vec<String> {
    let line = |row| {
        let span = table.get(row);
        let resource = &table.resources()[span.resource.0 as usize];
        let mut line = format!(
            "{:x}/{:x}<{:x} {} [{} {}] {} {:?} {:?} {}+{}",
            span.trace.0,
            span.id.0,
            span.parent.map_or(0, |p| p.0),
            resource.service,
            resource.instance,
            resource.version,
            table.operations()[span.operation.0 as usize],
            span.kind,
            span.status,
            span.start_ns,
            span.duration_ns,
        );
        if let Some(peer) = span.peer {
            let peer = &table.peers()[peer.0 as usize];
            line.push_str(&format!(" → {} {:?}", peer.name, peer.kind));
        }
        line
    };
    (0..table.len()).map(line).collect()
}

/// Warnings without the folder of their file.
fn warnings(telemetry: &Telemetry) -> Vec<String> {
    let short = |w: &hypocenter::telemetry::warning::Warning| {
        let text = w.to_string();
        text.rsplit_once("fixtures/traces/").map_or(text.clone(), |(_, rest)| rest.to_owned())
    };
    telemetry.warnings.iter().map(short).collect()
}

#[test]
fn otlp_as_the_specification_has_it() {
    let telemetry = read("otlp_pretty.json");
    assert_eq!(
        spans(&telemetry.spans),
        [
            "5b8efff798038103d269b633813fc60c/eee19b7ec3c1b174<0 shop/checkout [checkout-7d9f-abcde 1.4.0] \
             POST /checkout Server Error 1544712660000000000+1000000000",
            "5b8efff798038103d269b633813fc60c/eee19b7ec3c1b173<eee19b7ec3c1b174 shop/checkout \
             [checkout-7d9f-abcde 1.4.0] SELECT orders Client Error 1544712660100000000+200000000 → \
             postgresql/orders Database",
        ]
    );
    let link = telemetry.spans.links[0];
    assert_eq!(
        (link.row, link.trace.0, link.id.0),
        (0, 0x5b8e_fff7_9803_8103_d269_b633_813f_c60d, 0xeee1_9b7e_c3c1_b175)
    );
    assert_eq!(warnings(&telemetry), Vec::<String>::new());
    assert_eq!(telemetry.files.len(), 1);
    let file = &telemetry.files[0];
    assert_eq!((file.format, file.spans, file.skipped), (Format::OtlpJson, 2, 0));
}

#[test]
fn otlp_as_tempo_has_it_with_the_resource_after_its_spans() {
    let telemetry = read("tempo_batches.json");
    assert_eq!(
        spans(&telemetry.spans),
        ["5b8efff798038103d269b633813fc60c/eee19b7ec3c1b174<0 unknown_service:java (box-1) [box-1 ] publish Producer \
          Error 1544712660000000000+2000 → kafka/payments Queue"]
    );
    assert_eq!(
        warnings(&telemetry),
        ["tempo_batches.json, line 1, field `status`: the trace is partial: Tempo did not return all of it"]
    );
}

#[test]
fn lines_of_the_file_exporter_survive_their_neighbours() {
    let telemetry = read("otlp_lines.jsonl");
    // Line 6 is cut off within its second span; its first one counts.
    let ids: Vec<u64> = telemetry.spans.id.clone();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(
        warnings(&telemetry),
        [
            "otlp_lines.jsonl, line 2, field `resourceMetrics`: messages with metrics, logs or profiles: only traces \
             are read from OTLP (2 times)",
            "otlp_lines.jsonl, line 6, column 326, near field `traceId`: the JSON is cut off (EOF while parsing a \
             string); what stood before is kept",
        ]
    );
    assert_eq!(telemetry.skipped, 3);
}

#[test]
fn bad_spans_are_skipped_with_file_byte_and_field() {
    let telemetry = read("otlp_bad_spans.json");
    let names: Vec<_> = telemetry.spans.operations().to_vec();
    assert_eq!(names, ["unknown kind, status and attributes", "good"]);
    // Bytes: `grep -bo` of the value (ids), or of the last key read where the ids do not tell.
    let expected = [
        "byte 211, field `traceId`: spans skipped: a trace id must be",
        "byte 437, field `spanId`: spans skipped: a span id must be",
        "byte 675, field `parentSpanId`: spans skipped: a parent id must be",
        "field `startTimeUnixNano`: spans skipped: the start must be",
        "field `endTimeUnixNano`: spans skipped: the end must be",
        "field `endTimeUnixNano`: spans skipped: they end before they start",
        "field `kind`: spans of unknown kind are taken as unspecified",
        "field `status`: spans of unknown status are taken as unset",
        "field `attributes`: values left out: the field must be a list of attributes",
        "field `links`: span links left out: their ids cannot be read",
        "values left out: the field must be a list of spans (2 times)",
        "field `resource`: values left out: the field must be an object",
    ];
    let seen = warnings(&telemetry);
    assert_eq!(seen.len(), expected.len(), "{seen:#?}");
    for (seen, expected) in seen.iter().zip(expected) {
        assert!(seen.starts_with("otlp_bad_spans.json, byte ") && seen.contains(expected), "{seen}\n{expected}");
    }
    assert_eq!(telemetry.skipped, 10);
}

#[test]
fn jaeger_as_its_ui_saves_it() {
    let telemetry = read("jaeger_ui.json");
    assert_eq!(
        spans(&telemetry.spans),
        [
            "d269b633813fc60c/a1<0 driver [box-1 ] HTTP GET /dispatch Server Error 1700000000000000000+5000000",
            "d269b633813fc60c/a2<a1 customer [ 2] SQL SELECT Client Ok 1700000000001000000+2000000 → customer-db \
             Database",
            "d269b633813fc60c/a3<a2 driver [box-1 ] consume Unspecified Unset 1700000000004000000+0",
        ]
    );
    let links: Vec<_> = telemetry.spans.links.iter().map(|l| (l.row, l.trace.0, l.id.0)).collect();
    assert_eq!(links, [(1, 0xd269_b633_813f_c60c, 0xa9), (1, 0xd269_b633_813f_c60d, 0xb1)]);
    let seen = warnings(&telemetry);
    assert_eq!(seen.len(), 2);
    assert!(seen[0].contains("field `duration`: spans skipped: the duration must be"), "{}", seen[0]);
    assert!(seen[1].contains("field `processID`: spans skipped: their process"), "{}", seen[1]);
}

#[test]
fn jaeger_as_a_bare_list_of_spans() {
    let telemetry = read("jaeger_spans.json");
    assert_eq!(
        spans(&telemetry.spans),
        [
            "a/1<0 one [ ] a Unspecified Unset 1700000000000000000+10000",
            "a/2<1 two [ ] b Unspecified Error 1700000000000001000+4000",
        ]
    );
    assert_eq!(telemetry.files[0].format, Format::JaegerJson);
}
