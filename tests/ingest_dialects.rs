//! The many shapes of traces: Zipkin, Jaeger's older forms, rows of ClickHouse, and what is made of OTLP's JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hypocenter::aggregate::aggregate;
use hypocenter::ingest::{Format, ReadOptions, SpanColumns, Telemetry, read_bytes, read_paths};
use hypocenter::telemetry::time::Grid;

use shown_spans::{spans, warnings};

mod shown_spans;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces").join(name))
        .expect("the fixture is part of the repository")
}

fn read(text: impl AsRef<[u8]>) -> Telemetry {
    read_bytes(Path::new("t"), text.as_ref(), &ReadOptions::default()).expect("recognised")
}

/// The spans of a text that is read without a warning.
#[track_caller]
fn clean(text: impl AsRef<[u8]>, format: Format) -> Vec<String> {
    let telemetry = read(text);
    assert_eq!(warnings(&telemetry), Vec::<String>::new());
    assert_eq!(telemetry.files[0].format, format);
    spans(&telemetry.spans)
}

/// `caller callee operation calls` of every call in the files.
fn calls(files: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    for (at, text) in files.iter().enumerate() {
        fs::write(folder.path().join(format!("{at}.json")), text).expect("written");
    }
    let telemetry = read_paths(&[folder.path().to_owned()], &ReadOptions::default(), &|_| {}).expect("readable");
    let (stats, _) = aggregate(&telemetry.spans, &Grid::new(60_000_000_000));
    let mut shown = String::new();
    for row in &stats.rows {
        let caller = row.key.caller.map_or("*", |caller| stats.service(caller).as_str());
        let operation = &stats.operations[row.key.operation as usize];
        writeln!(shown, "{caller} > {} {operation} {} {}", stats.service(row.key.callee), row.calls, row.paired_calls)
            .expect("in memory");
    }
    shown
}

#[test]
fn zipkin_as_its_api_answers() {
    let telemetry = read(fixture("zipkin.json"));
    let trace = "5982fe77008310cc80f1da5e10147517";
    let job = "d269b633813fc60c";
    assert_eq!(
        spans(&telemetry.spans),
        [
            // An error is there, whatever it says; the caller is no peer.
            format!("{trace}/90394f6bcffb5d13<0 frontend [ ] get /cart Server Error 1700000000000000000+90000000"),
            format!(
                "{trace}/67fae42571535f60<90394f6bcffb5d13 frontend [ ] get Client Error \
                 1700000000010000000+50000000 → cart Service"
            ),
            // A 4xx is no failure of the server, although its tag repeats it.
            format!(
                "{trace}/67fae42571535f60<90394f6bcffb5d13 cart [cart-7 1.4] get /items Server Unset \
                 1700000000015000000+40000000"
            ),
            format!(
                "{trace}/a1<67fae42571535f60 cart [ ] query Client Unset 1700000000020000000+1000000 → mysql-carts \
                 Database"
            ),
            format!(
                "{trace}/a2<67fae42571535f60 cart [ ] send Producer Unset 1700000000022000000+1500000 → kafka/orders \
                 Queue"
            ),
            format!("{trace}/a3<a2 worker [ ] poll Consumer Unset 1700000000030000000+1000000 → kafka/orders Queue"),
            // A span cannot be its own parent.
            format!("{job}/b1<0 jobs/batch [ ] job Internal Ok 1700000000000001000+7000"),
            // The exporter's copy of the host tells less than the attributes that it was made from.
            format!("{job}/b2<b1 batch [ ]  Client Unset 1700000000000002000+3000 → postgresql/orders Database"),
            format!("{job}/b3<b1 batch [ ]  Client Unset 1700000000000003000+1000 → 192.0.2.9 External"),
            format!("{job}/b4<b3 outside [ ]  Server Unset 1700000000000003000+1000"),
        ]
    );
    let links: Vec<_> = telemetry.spans.links.iter().map(|l| (l.row, l.trace.0, l.id.0)).collect();
    assert_eq!(links, [(6, 0x5982_fe77_0083_10cc_80f1_da5e_1014_7517, 0xa2)]);
    let told = warnings(&telemetry);
    let expected = [
        "field `duration`: spans without a duration last from their timestamp to their last annotation, or are taken \
         as of no length (2 times)",
        "field `tags`: span links left out: their ids cannot be read",
        "field `tags`: values left out: the field must be an object of texts",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with("t, byte ") && told.ends_with(expected), "{told}\n{expected}");
    }
    assert_eq!(telemetry.files[0].format, Format::ZipkinJson);
}

/// A span of Zipkin: `id parent kind service start+duration`, then members to add.
fn zipkin(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (start, duration) = words[4].split_once('+').expect("a length");
    let parent = if words[1] == "-" { String::new() } else { format!(r#""parentId":"{}","#, words[1]) };
    let kind = if words[2] == "-" { String::new() } else { format!(r#""kind":"{}","#, words[2]) };
    let more: String = words[5..].iter().map(|member| format!(",{member}")).collect();
    let start = 1_700_000_000_000_000 + start.parse::<i64>().expect("a number");
    let (id, service) = (words[0], words[3]);
    format!(r#"{{"traceId":"a1","id":"{id}",{parent}{kind}"name":"work","timestamp":{start},"duration":{duration},"#)
        + &format!(r#""localEndpoint":{{"serviceName":"{service}"}}{more}}}"#)
}

#[test]
fn zipkin_halves_join_whatever_files_they_come_in() {
    let spans = [
        "1 - SERVER web 0+100",
        "2 1 CLIENT web 10+40",
        r#"2 1 SERVER cart 15+30 "shared":true"#,
        r#"3 2 CLIENT cart 20+10 "remoteEndpoint":{"serviceName":"redis"}"#,
        "4 2 CLIENT cart 32+8",
        r#"4 2 SERVER shop 34+4 "shared":true"#,
    ];
    let expected = "* > web work 1 0\ncart > redis work 1 0\ncart > shop work 1 1\nweb > cart work 1 1\n";
    let written: Vec<String> = spans.iter().map(|line| zipkin(line)).collect();
    let list = format!("[{}]", written.join(","));
    let lines = written.join("\n");
    let alone: Vec<&str> = written.iter().map(String::as_str).collect();
    let reversed: Vec<&str> = alone.iter().rev().copied().collect();
    let (mine, theirs) = (written[..2].join("\n"), format!("[{}]", written[2..].join(",")));
    for files in [&[list.as_str()][..], &[&lines], &alone, &reversed, &[&mine, &theirs], &[&theirs, &mine]] {
        assert_eq!(calls(files), expected, "{files:#?}");
    }
    // The flag is late or was lost on the way, or the kind is missing beside it.
    let without_flags = list.replace(",\"shared\":true", "");
    assert_eq!(calls(&[&without_flags]), expected);
    let without_kinds = list.replace(
        "\"kind\":\"SERVER\",\"name\":\"work\",\"timestamp\":1700000000000015",
        "\"name\":\"work\",\"timestamp\":1700000000000015",
    );
    assert_ne!(without_kinds, list);
    assert_eq!(calls(&[&without_kinds]), expected);
}

#[test]
fn a_shared_span_of_zipkin_whose_client_is_absent_is_a_call_from_the_service_above() {
    let spans = [
        "1 - SERVER web 0+100",
        r#"2 1 SERVER cart 15+30 "shared":true"#,
        "3 2 CLIENT cart 20+10",
        "3 2 SERVER shop 21+8",
    ];
    let written: Vec<String> = spans.iter().map(|line| zipkin(line)).collect();
    assert_eq!(calls(&[&written.join("\n")]), "* > web work 1 0\ncart > shop work 1 1\nweb > cart work 1 0\n");
}

#[test]
fn zipkin_spans_that_make_no_sense_are_skipped_with_their_place() {
    let bad = [
        zipkin("1 - SERVER web 0+100").replace("\"a1\"", "\"\""),
        zipkin("1 - SERVER web 0+100").replace("\"id\":\"1\"", "\"id\":\"none\""),
        zipkin("1 zz SERVER web 0+100"),
        zipkin("1 - SERVER web 0+100").replace("\"timestamp\":1700000000000000,", ""),
        zipkin("1 - SERVER web 0+100").replace("1700000000000000", "-5"),
        zipkin("1 - SERVER web 0+-1"),
        zipkin("1 - SERVER web 0+100").replace("\"localEndpoint\"", "\"binaryAnnotations\":[],\"localEndpoint\""),
        "7".to_owned(),
        zipkin("9 - SIDEWAYS web 0+100"),
    ];
    let telemetry = read(bad.join("\n"));
    assert_eq!(spans(&telemetry.spans), ["a1/9<0 web [ ] work Unspecified Unset 1700000000000000000+100000"]);
    let expected = [
        "line 1, field `traceId`: spans skipped: a trace id must be",
        "line 2, field `id`: spans skipped: a span id must be",
        "line 3, field `parentId`: spans skipped: a parent id must be",
        "line 4, field `timestamp`: spans skipped: neither a timestamp nor an annotation tells when they began, in \
         positive whole microseconds since the Unix epoch, before the year 2262 (2 times)",
        "line 6, field `duration`: spans skipped: the duration must be",
        "line 7, field `binaryAnnotations`: spans skipped: they are in Zipkin's version 1",
        "line 8: values left out: the field must be a span or a list of spans",
        "line 9, field `kind`: spans of unknown kind are taken as unspecified",
    ];
    let told = warnings(&telemetry);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(&format!("t, {expected}")), "{told}\n{expected}");
    }
    assert_eq!(telemetry.skipped, 8);
}

#[test]
fn version_1_of_zipkin_is_told_from_version_2() {
    let text = concat!(
        r#"[{"traceId":"a1","name":"get","id":"1","#,
        r#""annotations":[{"endpoint":{"serviceName":"web"},"timestamp":1,"value":"sr"}],"#,
        r#""binaryAnnotations":[{"key":"http.path","value":"/"}]}]"#
    );
    let telemetry = read(text);
    assert!(telemetry.spans.is_empty());
    let told = warnings(&telemetry);
    assert!(told[0].contains("`/api/v2/traces`"), "{told:?}");
    assert_eq!(telemetry.files[0].format, Format::ZipkinJson);
}

/// Documents of Elasticsearch, without what Elasticsearch puts around them: with a list of tags, and with tags as fields.
const DOCUMENTS: &str = include_str!("fixtures/traces/jaeger_elastic.jsonl");

fn documents() -> [&'static str; 2] {
    let mut lines = DOCUMENTS.lines();
    [lines.next().expect("two lines"), lines.next().expect("two lines")]
}

fn elastic_spans() -> Vec<String> {
    vec![
        "d269b633813fc60c/a1<0 front [box-1 ] GET / Server Error 1700000000000000000+5000000".to_owned(),
        "d269b633813fc60c/a2<a1 front [box-1 2] find Client Unset 1700000000000001000+4000 → redis/0 Database"
            .to_owned(),
    ]
}

#[test]
fn jaeger_documents_of_elasticsearch() {
    let [with_list, with_fields] = documents();
    let source = |document: &str| {
        format!(r#"{{"_index":"jaeger-span-2023-11-14","_id":"x","_score":1.0,"_source":{document}}}"#)
    };
    let (one, two) = (source(with_list), source(with_fields));
    let lines = format!("{one}\n{two}\n");
    let bare = format!("{with_list}\n{with_fields}\n");
    let bulk = format!("{{\"index\":{{\"_index\":\"jaeger\"}}}}\n{with_list}\n{{\"index\":{{}}}}\n{with_fields}\n");
    let search = format!(r#"{{"took":3,"hits":{{"total":{{"value":2}},"max_score":1.0,"hits":[{one},{two}]}}}}"#);
    let list = format!("[{with_list},\n{with_fields}]");
    for text in [lines, bare, bulk, search, list] {
        assert_eq!(clean(&text, Format::JaegerJson), elastic_spans(), "{text}");
    }
}

#[test]
fn jaeger_spans_that_only_know_milliseconds_or_the_deprecated_parent() {
    let text = documents()[0].replace("\"startTime\":1700000000000000,", "").replace(
        "\"references\":[]",
        r#""parentSpanID":"a0","references":[{"refType":"FOLLOWS_FROM","traceID":"d269b633813fc60c","spanID":"a9"}]"#,
    );
    let telemetry = read(text);
    assert_eq!(
        spans(&telemetry.spans),
        ["d269b633813fc60c/a1<a0 front [box-1 ] GET / Server Error 1700000000000000000+5000000"]
    );
    assert_eq!(telemetry.spans.links.len(), 1);
}

#[test]
fn nobody_waits_for_a_jaeger_span_that_follows_from_another() {
    let follows = concat!(
        r#"{"traceID":"d269b633813fc60c","spanID":"a3","operationName":"mail","#,
        r#""references":[{"refType":"FOLLOWS_FROM","traceID":"d269b633813fc60c","spanID":"a1"}],"#,
        r#""startTime":1700000000001000,"duration":9000,"process":{"serviceName":"mailer"}}"#
    );
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("spans.json"), format!("{}\n{follows}\n", documents()[0])).expect("written");
    let telemetry = read_paths(&[folder.path().to_owned()], &ReadOptions::default(), &|_| {}).expect("readable");
    let (stats, _) = aggregate(&telemetry.spans, &Grid::new(60_000_000_000));
    let mail = stats.rows.iter().find(|row| row.key.caller.is_some()).expect("a call");
    assert_eq!(stats.service(mail.key.callee).as_str(), "mailer");
    assert_eq!(mail.key.mode, hypocenter::telemetry::topology::EdgeMode::Async);
    // The entry's time stays its own.
    assert_eq!(stats.rows.iter().find(|row| row.key.caller.is_none()).expect("the entry").self_ns, 5_000_000);
}

fn clickhouse_spans() -> Vec<String> {
    let (trace, other) = ("af7651916cd43dd8448eb211c80319c", "af7651916cd43dd8448eb211c80319d");
    let (front, cart) = ("front [front-1 2.1.0]", "shop/cart [cart-1 ]");
    vec![
        format!("{trace}/1<0 {front} GET /cart Server Error 1704067200123456789+80000000"),
        format!("{trace}/2<1 {front} GET Client Error 1704067200123556789+60000000 → cart External"),
        format!("{trace}/3<2 {cart} GET / Server Unset 1704067200123656789+50000001"),
        format!("{trace}/4<3 {cart} SELECT Client Ok 1704067200123756789+40000000 → postgresql/carts Database"),
        format!("{trace}/5<3 {cart} publish Producer Unset 1704067200123856789+1000 → kafka/orders Queue"),
        format!("{other}/6<0 worker [box \"7\" ] process Consumer Unset 1704067200124356789+0 → kafka/orders Queue"),
    ]
}

#[test]
fn tables_of_the_exporter_for_clickhouse_in_every_form() {
    for (name, format) in [
        ("rows.jsonl", Format::SpanJson),
        ("rows_quoted.jsonl", Format::SpanJson),
        ("format.json", Format::SpanJson),
        ("rows.csv", Format::SpanCsv),
        ("rows.parquet", Format::SpanParquet),
        ("old.jsonl", Format::SpanJson),
        ("old.parquet", Format::SpanParquet),
        ("json_type.jsonl", Format::SpanJson),
        ("json_type.csv", Format::SpanCsv),
        ("json_type.parquet", Format::SpanParquet),
    ] {
        let telemetry = read(fixture(&format!("clickhouse/{name}")));
        assert_eq!(warnings(&telemetry), Vec::<String>::new(), "{name}");
        assert_eq!(spans(&telemetry.spans), clickhouse_spans(), "{name}");
        let links: Vec<_> = telemetry.spans.links.iter().map(|l| (l.row, l.trace.0, l.id.0)).collect();
        assert_eq!(links, [(5, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 5)], "{name}");
        assert_eq!(telemetry.files[0].format, format, "{name}");
    }
}

#[test]
fn rows_of_json_with_other_columns() {
    // Numbers for ids, links as objects, attributes as text, and members that stand in any order or not at all.
    let first = concat!(
        r#"{"duration_us":12,"trace_id":10,"span_id":1,"service":"front","start_time":1700000000.5,"#,
        r#""links":[{"trace_id":"b","span_id":"2"}]}"#
    );
    let second = concat!(
        r#"{"start_time":"2023-11-14T22:13:21Z","duration_us":"3","parent_id":1,"span_id":2,"trace_id":10,"#,
        r#""kind":"client","attributes":"{\"db.system\":\"redis\"}","#,
        r#""resource_attributes":{"service":{"name":"cart"}},"is_error":1}"#
    );
    let rows = format!("{first}\n{second}");
    let list = format!("[{first},\n{second}]");
    for text in [rows, list] {
        let telemetry = read(text);
        assert_eq!(warnings(&telemetry), Vec::<String>::new());
        assert_eq!(
            spans(&telemetry.spans),
            [
                "a/1<0 front [ ]  Unspecified Unset 1700000000500000000+12000",
                "a/2<1 cart [ ]  Client Error 1700000001000000000+3000 → redis Database",
            ]
        );
        assert_eq!(telemetry.spans.links.len(), 1);
    }
}

#[test]
fn a_mapping_names_the_members_of_rows_and_their_attributes() {
    let text = concat!(
        r#"{"T":"a","S":"1","Begin":1700000000000,"Took":250,"Meta":{"service.name":"cart"},"#,
        r#""Facts":"{'peer.service':'bank','span.kind':'client'}"}"#
    );
    let columns = "trace=T,span=S,start=Begin,duration=Took:us,resource=Meta,attributes=Facts";
    let options = ReadOptions { span_columns: SpanColumns::parse(columns).ok(), ..ReadOptions::default() };
    let telemetry = read_bytes(Path::new("t"), text.as_bytes(), &options).expect("recognised by its mapping");
    let expected = ["a/1<0 cart [ ]  Client Unset 1700000000000000000+250000 → bank Service"];
    assert_eq!(spans(&telemetry.spans), expected);
    assert_eq!(warnings(&telemetry), Vec::<String>::new());

    let csv = concat!(
        "T,S,Begin,Took,Meta,Facts\na,1,1700000000000,250,{'service.name':'cart'},",
        r#""{""peer.service"":""bank"",""span.kind"":""client""}""#,
        "\n"
    );
    let telemetry = read_bytes(Path::new("t"), csv.as_bytes(), &options).expect("recognised by its mapping");
    assert_eq!(spans(&telemetry.spans), expected);
}

#[test]
fn bad_rows_of_json_are_skipped_with_line_and_column() {
    let good = r#"{"TraceId":"a","SpanId":"1","ServiceName":"s","Timestamp":"2024-01-01 00:00:00","Duration":5}"#;
    let with = |from: &str, to: &str| good.replace(from, to);
    let rows = [
        good.to_owned(),
        with("\"a\"", "\"\""),
        with("\"1\"", "0"),
        with("\"ServiceName\"", "\"ParentSpanId\":\"what\",\"ServiceName\""),
        with("2024-01-01 00:00:00", "noon"),
        with(":5", ":-5"),
        with(":5", ":5,\"SpanKind\":\"9\",\"StatusCode\":\"odd\",\"SpanAttributes\":[],\"Links.TraceId\":[\"x\"]"),
        with("\"Duration\":5", "\"Duration\":null"),
        "[]".to_owned(),
        "3".to_owned(),
    ];
    let telemetry = read(rows.join("\n"));
    assert_eq!(telemetry.spans.len(), 2);
    let expected = [
        "line 2, field `TraceId`: spans skipped: a trace id must be",
        "line 3, field `SpanId`: spans skipped: a span id must be",
        "line 4, field `ParentSpanId`: spans skipped: a parent id must be",
        "line 5, field `Timestamp`: spans skipped: the start must be",
        "line 6, field `Duration`: spans skipped: the duration must be a number that is not negative (2 times)",
        "line 7, field `attributes`: values left out: the field must be an object of attributes",
        "line 7, field `SpanKind`: spans of unknown kind are taken as unspecified",
        "line 7, field `StatusCode`: spans of unknown status are taken as unset",
        "line 7, field `linksspanid`: span links left out: their ids cannot be read",
        "line 10: values left out: the field must be a row, an object, or a list of rows",
    ];
    let told = warnings(&telemetry);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(&format!("t, {expected}")), "{told}\n{expected}");
    }
    assert_eq!(telemetry.skipped, 8);
}

/// One message in the specification's form; every dialect says the same.
const OTLP: &str = r#"{"resourceSpans":[{
"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
"scopeSpans":[{"spans":[
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /","kind":2,
"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000",
"attributes":[{"key":"http.response.status_code","value":{"intValue":"503"}}],
"links":[{"traceId":"5b8efff798038103d269b633813fc60d","spanId":"eee19b7ec3c1b175"}],"status":{}},
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b173","parentSpanId":"eee19b7ec3c1b174",
"name":"find","kind":3,"startTimeUnixNano":"1544712660100000000","endTimeUnixNano":"1544712660300000000",
"attributes":[{"key":"db.system","value":{"stringValue":"redis"}}],"status":{"code":2}}]}]}]}"#;

fn otlp_spans() -> Vec<String> {
    let trace = "5b8efff798038103d269b633813fc60c";
    vec![
        format!("{trace}/eee19b7ec3c1b174<0 shop [ ] GET / Server Error 1544712660000000000+1000000000"),
        format!(
            "{trace}/eee19b7ec3c1b173<eee19b7ec3c1b174 shop [ ] find Client Error 1544712660100000000+200000000 → \
             redis Database"
        ),
    ]
}

/// Ids in base64 and enums by name, as protobuf's own JSON mapping has them.
fn protobuf_json(text: &str) -> String {
    // Python: base64.b64encode(bytes.fromhex(…))
    [
        ("5b8efff798038103d269b633813fc60c", "W47/95gDgQPSabYzgT/GDA=="),
        ("5b8efff798038103d269b633813fc60d", "W47/95gDgQPSabYzgT/GDQ=="),
        ("eee19b7ec3c1b173", "7uGbfsPBsXM="),
        ("eee19b7ec3c1b174", "7uGbfsPBsXQ="),
        ("eee19b7ec3c1b175", "7uGbfsPBsXU="),
        ("\"kind\":2", "\"kind\":\"SPAN_KIND_SERVER\""),
        ("\"kind\":3", "\"kind\":\"SPAN_KIND_CLIENT\""),
        ("\"code\":2", "\"code\":\"STATUS_CODE_ERROR\""),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn snake_case(text: &str) -> String {
    let names = [
        "resourceSpans",
        "scopeSpans",
        "traceId",
        "spanId",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "stringValue",
        "intValue",
    ];
    let snake = |name: &str| {
        name.chars().fold(String::new(), |text, c| {
            if c.is_uppercase() { text + "_" + &c.to_lowercase().to_string() } else { text + &c.to_string() }
        })
    };
    let text = text.replace("parentSpanId", "parent_span_id");
    names.iter().fold(text, |text, name| text.replace(&format!("\"{name}\""), &format!("\"{}\"", snake(name))))
}

#[test]
fn otlp_in_all_its_dialects() {
    let tempo = protobuf_json(OTLP);
    for (dialect, text) in [
        ("the specification", OTLP.to_owned()),
        ("upper case ids", OTLP.replace("5b8efff798038103d269b633813fc60", "5B8EFFF798038103D269B633813FC60")),
        ("numbers for 64-bit integers", OTLP.replace("\"1544712660000000000\"", "1544712660000000000")),
        ("protobuf's JSON", tempo.clone()),
        ("snake case", snake_case(OTLP)),
        ("snake case of protobuf's JSON", snake_case(&tempo)),
        ("Tempo v1", tempo.replace("\"resourceSpans\"", "\"batches\"")),
        (
            "Tempo before scopes",
            tempo
                .replace("\"resourceSpans\"", "\"batches\"")
                .replace("\"scopeSpans\"", "\"instrumentationLibrarySpans\""),
        ),
        ("Tempo v2", format!(r#"{{"trace":{tempo},"metrics":{{"inspectedBytes":"5"}},"status":"COMPLETE"}}"#)),
        ("Jaeger v3", format!(r#"{{"result":{OTLP}}}"#)),
        ("data", format!(r#"{{"data":{OTLP}}}"#)),
        ("a list in data", format!(r#"{{"data":[{OTLP}]}}"#)),
        ("a list", format!("[{OTLP}]")),
    ] {
        let telemetry = read(&text);
        assert_eq!(warnings(&telemetry), Vec::<String>::new(), "{dialect}: {text}");
        assert_eq!(spans(&telemetry.spans), otlp_spans(), "{dialect}: {text}");
        assert_eq!(telemetry.spans.links.len(), 1, "{dialect}");
        assert_eq!(telemetry.files[0].format, Format::OtlpJson, "{dialect}");
    }
    // Jaeger v3 streams its answer: an object after the other.
    let telemetry = read(format!("{{\"result\":{OTLP}}}\n{{\"result\":{OTLP}}}"));
    assert_eq!(telemetry.spans.len(), 4);
    let partial = read(format!(r#"{{"trace":{tempo},"status":"PARTIAL","message":"too large"}}"#));
    assert_eq!(partial.spans.len(), 2);
    assert!(warnings(&partial)[0].contains("Tempo did not return all of it"));
}
