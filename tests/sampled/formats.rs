//! Every format of traces says how its spans were sampled.

use std::io::Cursor;
use std::path::Path;

use hypocenter::ingest::{ReadOptions, SpanColumns, Telemetry, read_bytes, read_paths};
use polars::prelude::{Column, DataFrame, ParquetWriter};

/// Three spans: one whose tracestate says 1 of 2, one with an attribute that says 1 of 20 beside a tracestate that says 1
/// of 16, and one that says nothing.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const HALF: &str = "rojo=1,ot=th:8";
const SIXTEENTH: &str = "ot=rv:fedcba98765432;th:f";

fn options(columns: &str) -> ReadOptions {
    ReadOptions {
        span_columns: SpanColumns::parse(columns).ok(),
        sampling_attribute: Some("SampleRate".to_owned()),
        ..ReadOptions::default()
    }
}

#[track_caller]
fn check(telemetry: &Telemetry) {
    let told: Vec<String> = telemetry.warnings.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(telemetry.spans.weight, [2, 20, 0], "{:?}", telemetry.files);
}

#[track_caller]
fn check_bytes(name: &str, bytes: &[u8]) {
    check(&read_bytes(Path::new(name), bytes, &options("auto")).unwrap());
    // Without the attribute's name the tracestate stands.
    let unnamed = read_bytes(Path::new(name), bytes, &ReadOptions::default()).unwrap();
    assert_eq!(unnamed.spans.weight, [2, 16, 0], "{name}");
}

#[test]
fn otlp_json() {
    let span = |id: u8, more: &str| {
        format!(
            r#"{{"traceId":"{TRACE}","spanId":"00000000000000a{id}","name":"get","kind":2,{more}
            "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000005000000"}}"#
        )
    };
    let rate = r#""attributes":[{"key":"SampleRate","value":{"intValue":"20"}}],"#;
    let spans = [
        span(1, &format!(r#""traceState":"{HALF}","#)),
        span(2, &format!(r#""traceState":"{SIXTEENTH}",{rate}"#)),
        span(3, ""),
    ];
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","));
    check_bytes("t.json", text.as_bytes());
}

/// A field of protobuf with a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![(number << 3) | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    field.extend_from_slice(bytes);
    field
}

#[test]
fn otlp_protobuf() {
    let trace: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap()).collect();
    let span = |id: u8, more: Vec<u8>| {
        let mut span = [field(1, &trace), field(2, &[0, 0, 0, 0, 0, 0, 0, id]), more, field(5, b"get")].concat();
        span.push((7 << 3) | 1);
        span.extend_from_slice(&1_700_000_000_000_000_000_u64.to_le_bytes());
        span.push((8 << 3) | 1);
        span.extend_from_slice(&1_700_000_000_005_000_000_u64.to_le_bytes());
        field(2, &span)
    };
    let rate = field(9, &[field(1, b"SampleRate"), field(2, &[3 << 3, 20])].concat());
    let spans = [
        span(1, field(3, HALF.as_bytes())),
        span(2, [field(3, SIXTEENTH.as_bytes()), rate].concat()),
        span(3, Vec::new()),
    ];
    check_bytes("t.pb", &field(1, &field(2, &spans.concat())));
}

#[test]
fn jaeger_and_zipkin_tags() {
    let jaeger = |id: u8, tags: &str| {
        format!(
            r#"{{"traceID":"{TRACE}","spanID":"a{id}","operationName":"get","startTime":1700000000000000,"duration":5000,
            "processID":"p1","tags":[{tags}]}}"#
        )
    };
    let tag = |value: &str| format!(r#"{{"key":"w3c.tracestate","type":"string","value":"{value}"}}"#);
    let rate = r#",{"key":"SampleRate","type":"int64","value":20}"#;
    let spans = [jaeger(1, &tag(HALF)), jaeger(2, &(tag(SIXTEENTH) + rate)), jaeger(3, "")].join(",");
    let text = format!(
        r#"{{"data":[{{"traceID":"{TRACE}","spans":[{spans}],"processes":{{"p1":{{"serviceName":"web"}}}}}}]}}"#
    );
    check_bytes("jaeger.json", text.as_bytes());

    let zipkin = |id: u8, tags: &str| {
        format!(
            r#"{{"traceId":"{TRACE}","id":"00000000000000a{id}","name":"get","timestamp":1700000000000000,"duration":5000,
            "localEndpoint":{{"serviceName":"web"}},"tags":{{{tags}}}}}"#
        )
    };
    let tag = |value: &str| format!(r#""w3c.tracestate":"{value}""#);
    let spans = [zipkin(1, &tag(HALF)), zipkin(2, &(tag(SIXTEENTH) + r#","SampleRate":"20""#)), zipkin(3, "")];
    check_bytes("zipkin.json", format!("[{}]", spans.join(",")).as_bytes());
}

/// `sampler.param` is a probability on the first spans of Jaeger's traces only, and only of one kind of sampler.
#[test]
fn the_parameter_of_jaegers_samplers() {
    let span = |id: u8, kind: &str, parameter: &str| {
        format!(
            r#"{{"traceID":"{TRACE}","spanID":"a{id}","operationName":"get","startTime":1700000000000000,"duration":5000,
            "process":{{"serviceName":"web"}},"tags":[{{"key":"sampler.param","type":"float64","value":{parameter}}},
            {{"key":"sampler.type","type":"string","value":"{kind}"}}]}}"#
        )
    };
    let spans = [span(1, "probabilistic", "0.01"), span(2, "ratelimiting", "2"), span(3, "const", "true")];
    let options = ReadOptions { sampling_attribute: Some("sampler.param".to_owned()), ..ReadOptions::default() };
    let text = format!("[{}]", spans.join(","));
    let telemetry = read_bytes(Path::new("t.json"), text.as_bytes(), &options).unwrap();
    assert_eq!((telemetry.spans.weight.as_slice(), telemetry.warnings.len()), ([100, 0, 0].as_slice(), 0));
}

#[test]
fn rows_of_json_and_csv() {
    let row = |id: u8, trace_state: &str, attributes: &str| {
        format!(
            r#"{{"Timestamp":"2023-11-14 22:13:20","TraceId":"{TRACE}","SpanId":"00000000000000a{id}","ServiceName":"web",
            "Duration":5000000,"TraceState":"{trace_state}","SpanAttributes":{{{attributes}}}}}"#
        )
        .replace('\n', " ")
    };
    let rows = [row(1, HALF, ""), row(2, SIXTEENTH, r#""SampleRate":"20""#), row(3, "", "")];
    check_bytes("rows.jsonl", rows.join("\n").as_bytes());

    let attributes = r#""{""SampleRate"":""20""}""#;
    let csv = format!(
        "TraceId,SpanId,ServiceName,Timestamp,Duration,TraceState,SpanAttributes\n\
         {TRACE},00000000000000a1,web,2023-11-14 22:13:20,5000000,\"{HALF}\",{{}}\n\
         {TRACE},00000000000000a2,web,2023-11-14 22:13:20,5000000,{SIXTEENTH},{attributes}\n\
         {TRACE},00000000000000a3,web,2023-11-14 22:13:20,5000000,,{{}}\n"
    );
    check_bytes("rows.csv", csv.as_bytes());
    // A column that the user maps, probabilities among rates.
    let csv = format!(
        "trace_id,span_id,service,start_ns,duration_ns,Kept,TraceState\n\
         {TRACE},a1,web,1700000000000000000,5000000,0.5,ot=th:c\n\
         {TRACE},a2,web,1700000000000000000,5000000,20,\n\
         {TRACE},a3,web,1700000000000000000,5000000,,\n"
    );
    for name in ["weight", "sample_rate"] {
        check(&read_bytes(Path::new("t.csv"), csv.as_bytes(), &options(&format!("{name}=kept"))).unwrap());
    }
}

#[test]
fn parquet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let column = |name: &str, values: [&str; 3]| Column::new(name.into(), values);
    let ids = ["00000000000000a1", "00000000000000a2", "00000000000000a3"];
    let write = |more: Vec<Column>| {
        let mut columns = vec![
            column("trace_id", [TRACE; 3]),
            column("span_id", ids),
            column("service", ["web"; 3]),
            Column::new("start_ns".into(), [1_700_000_000_000_000_000_i64; 3]),
            Column::new("duration_ns".into(), [5_000_000_i64; 3]),
        ];
        columns.extend(more);
        let mut bytes = Cursor::new(Vec::new());
        ParquetWriter::new(&mut bytes).finish(&mut DataFrame::new(3, columns).unwrap()).unwrap();
        std::fs::write(&path, bytes.into_inner()).unwrap();
    };
    let read = |columns: &str| read_paths(std::slice::from_ref(&path), &options(columns), &|_| {}).unwrap();
    write(vec![
        column("TraceState", [HALF, SIXTEENTH, ""]),
        column("SpanAttributes", ["{}", r#"{"SampleRate":"20"}"#, "{}"]),
    ]);
    check(&read("auto"));
    write(vec![Column::new("rate".into(), [Some(0.5), Some(20.0), None])]);
    check(&read("weight=rate"));
    write(vec![column("TraceState", [HALF, "ot=th:8", ""])]);
    assert_eq!(read("auto").spans.weight, [2, 2, 0]);
    write(vec![column("TraceState", [""; 3])]);
    assert!(read("auto").spans.weight.is_empty());
}

#[test]
fn what_cannot_be_read_is_counted_and_told() {
    let csv = format!(
        "trace_id,span_id,service,start_ns,duration_ns,tracestate\n\
         {TRACE},a1,web,1700000000000000000,5000000,ot=th:8\n\
         {TRACE},a2,web,1700000000000000000,5000000,ot=th:0x8\n\
         {TRACE},a3,web,1700000000000000000,5000000,ot=th:123456789abcdef\n\
         {TRACE},a4,web,1700000000000000000,5000000,ot=th:ffffffffffffff\n"
    );
    let telemetry = read_bytes(Path::new("t.csv"), csv.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!(telemetry.spans.weight, [2, 0, 0, 1 << 20]);
    let told: Vec<String> = telemetry.warnings.iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with("t.csv, line 3, field `tracestate`: spans say in tracestate"), "{told:?}");
    assert!(told[0].ends_with("(2 times)") && told[1].contains("more than 1 048 576 others"), "{told:?}");
    assert_eq!(telemetry.skipped, 0);
}
