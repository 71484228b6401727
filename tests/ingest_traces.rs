//! Traces through the front door of `ingest`: a file for each accepted shape and for each message.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use hypocenter::ingest::{Format, IngestError, Progress, ReadOptions, SpanColumns, Telemetry, read_bytes, read_paths};
use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, ParquetWriter, Series};

use shown_spans::{spans, warnings};

mod shown_spans;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces").join(name)
}

fn read(name: &str) -> Telemetry {
    read_paths(&[fixture(name)], &ReadOptions::default(), &|_| {}).expect("the fixture is recognised")
}

fn fixture_text(name: &str) -> String {
    fs::read_to_string(fixture(name)).expect("the fixture is part of the repository")
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
        ["otlp_lines.jsonl, line 6, column 326, near field `traceId`: the JSON is cut off (EOF while parsing a \
             string); what stood before is kept",]
    );
    assert_eq!(telemetry.skipped, 1);
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
            "d269b633813fc60c/a3<a2 driver [box-1 ] consume Consumer Unset 1700000000004000000+0",
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

#[test]
fn nezha_tables_are_known_by_their_header() {
    let telemetry = read("nezha.csv");
    assert_eq!(
        spans(&telemetry.spans),
        [
            "898fbabdd1894463575af052c4cd7982/233d5101e107e112<0 ts-gateway-service \
             [ts-gateway-service-6f6cfc45b-h5m2n ] /* Unspecified Unset 1674982159219000000+28160439",
            "898fbabdd1894463575af052c4cd7982/f613c6a34f920926<233d5101e107e112 ts-order-service \
             [ts-order-service-5b67c48447-mv5hb ] GET \"orders\", all Unspecified Unset 1674982159219813595+27137515",
        ]
    );
    assert_eq!(telemetry.files[0].format, Format::SpanCsv);
}

#[test]
fn tables_with_the_columns_of_clickhouse() {
    let telemetry = read("clickhouse.csv");
    assert_eq!(
        spans(&telemetry.spans),
        [
            "a/1<0 front [ ] GET / Server Error 1700000000000000001+5000000",
            "a/2<1 front [ ] call Client Ok 1700000000001000000+4000000 → legacy Service",
        ]
    );
}

#[test]
fn tables_with_semicolons_and_units_in_their_names() {
    let telemetry = read("semicolons.csv");
    assert_eq!(
        spans(&telemetry.spans),
        [
            "1/1<0 a;b [ ]  Unspecified Error 1700000000000000000+1500000",
            "1/2<1 b [ ]  Unspecified Unset 1700000000001000000+0",
        ]
    );
}

#[test]
fn bad_rows_are_skipped_with_line_and_field() {
    let telemetry = read("bad_rows.csv");
    assert_eq!(telemetry.spans.operations(), ["odd words", "not utf-8", "good"]);
    assert_eq!(telemetry.spans.resources()[1].service, "\u{fffd}\u{fffd}");
    let expected = [
        "line 2, field `trace_id`: spans skipped: a trace id must",
        "line 3, field `span_id`: spans skipped: a span id must",
        "line 4, field `parent_id`: spans skipped: a parent id must",
        "line 5, field `start_time`: spans skipped: the start must",
        "line 6, field `end_time`: spans skipped: they end before they start",
        "line 7, field `end_time`: spans skipped: the end must",
        "line 8, field `kind`: spans of unknown kind are taken as unspecified",
        "line 8, field `status`: spans of unknown status are taken as unset",
        "line 9, field `service`: text that is not UTF-8 was replaced by U+FFFD",
    ];
    let mut seen = warnings(&telemetry);
    let last = seen.pop().expect("what is odd about the whole comes last");
    assert!(last.contains("no span of the table names a parent"), "{last}");
    assert_eq!(seen.len(), expected.len(), "{seen:#?}");
    for (seen, expected) in seen.iter().zip(expected) {
        assert!(seen.starts_with(&format!("bad_rows.csv, {expected}")), "{seen}\n{expected}");
    }
    assert_eq!((telemetry.skipped, telemetry.files[0].skipped), (6, 6));
}

#[test]
fn a_mapping_reads_columns_of_any_name() {
    let csv = b"T,S,P,Pod,Begin,Took\na,1,,cart-7d9f-x2,1700000000000,250\n";
    let columns = "trace=T,span=S,parent=P,service=Pod:pod,start=Begin,duration=Took:us";
    let options = ReadOptions { span_columns: SpanColumns::parse(columns).ok(), ..ReadOptions::default() };
    let telemetry = read_bytes(Path::new("t.csv"), csv, &options).expect("recognised by its mapping");
    assert_eq!(spans(&telemetry.spans), ["a/1<0 cart [cart-7d9f-x2 ]  Unspecified Unset 1700000000000000000+250000"]);
}

#[test]
fn a_table_without_a_needed_column_says_which() {
    let options = ReadOptions { format: Some(Format::SpanCsv), ..ReadOptions::default() };
    let telemetry = read_paths(&[fixture("no_duration.csv")], &options, &|_| {}).expect("a warning");
    assert_eq!(
        warnings(&telemetry),
        [
            "no_duration.csv: no column for the service (columns: trace_id, span_id, start_time); name it with the column \
          mapping"
        ]
    );
}

fn parquet(columns: Vec<Column>) -> Vec<u8> {
    let height = columns[0].len();
    let mut frame = DataFrame::new(height, columns).expect("columns of one length");
    let mut bytes = Vec::new();
    // Small row groups, so that batches are joined.
    ParquetWriter::new(&mut bytes).with_row_group_size(Some(2)).finish(&mut frame).expect("written");
    bytes
}

#[test]
fn parquet_takes_ids_as_text_numbers_or_bytes() {
    let starts = [1_700_000_000_000_000_000_i64, 1_700_000_000_000_000_001, 1_700_000_000_000_000_002, -1];
    let common = || {
        vec![
            Series::new("service".into(), ["front", "cart", "cart", "cart"]).into_column(),
            Series::new("name".into(), ["GET /", "GET", "GET", "GET"]).into_column(),
            Series::new("kind".into(), [2_i32, 3, 9, 2]).into_column(),
            Series::new("status_code".into(), ["Ok", "Error", "Unset", "Ok"]).into_column(),
            Series::new("start_time".into(), starts).into_column(),
            Series::new("duration_us".into(), [5_u32, 4, 3, 2]).into_column(),
            Series::new("unused".into(), [0.5, 0.5, 0.5, 0.5]).into_column(),
        ]
    };
    let text = [
        Series::new("trace_id".into(), ["000000000000000a"; 4]).into_column(),
        Series::new("span_id".into(), ["01", "02", "03", "04"]).into_column(),
        Series::new("parent_span_id".into(), [None, Some("01"), Some("02"), Some("03")]).into_column(),
    ];
    let numbers = [
        Series::new("trace_id".into(), [10_i64; 4]).into_column(),
        Series::new("span_id".into(), [1_u64, 2, 3, 4]).into_column(),
        Series::new("parent_span_id".into(), [0_u64, 1, 2, 3]).into_column(),
    ];
    let trace = 10_u128.to_be_bytes();
    let bytes = |ids: [u64; 4]| ids.map(|id| id.to_be_bytes().to_vec());
    let bytes = [
        Series::new("trace_id".into(), vec![&trace[..]; 4]).into_column(),
        Series::new("span_id".into(), bytes([1, 2, 3, 4]).each_ref().map(Vec::as_slice)).into_column(),
        Series::new("parent_span_id".into(), bytes([0, 1, 2, 3]).each_ref().map(Vec::as_slice)).into_column(),
    ];
    for ids in [text, numbers, bytes] {
        let file = parquet(ids.into_iter().chain(common()).collect());
        let telemetry = read_bytes(Path::new("t.parquet"), &file, &ReadOptions::default()).expect("recognised");
        assert_eq!(
            spans(&telemetry.spans),
            [
                "a/1<0 front [ ] GET / Server Ok 1700000000000000000+5000",
                "a/2<1 cart [ ] GET Client Error 1700000000000000001+4000",
                "a/3<2 cart [ ] GET Unspecified Unset 1700000000000000002+3000",
            ]
        );
        let seen = warnings(&telemetry);
        assert_eq!(seen.len(), 2, "{seen:#?}");
        assert!(seen[0].starts_with("t.parquet, row 3, field `kind`: spans of unknown kind"), "{}", seen[0]);
        assert!(seen[1].starts_with("t.parquet, row 4, field `start_time`: spans skipped: the start"), "{}", seen[1]);
        assert_eq!(telemetry.files[0].format, Format::SpanParquet);
    }
}

#[test]
fn parquet_on_the_disk_reads_as_parquet_in_memory() {
    let n = 1000_u64;
    let file = parquet(vec![
        Series::new("TraceId".into(), (0..n).map(|i| format!("{:032x}", i / 7 + 1)).collect::<Vec<_>>()).into_column(),
        Series::new("SpanId".into(), (0..n).map(|i| format!("{:016x}", i + 1)).collect::<Vec<_>>()).into_column(),
        Series::new("ParentSpanId".into(), (0..n).map(|i| format!("{:016x}", i - i % 7)).collect::<Vec<_>>())
            .into_column(),
        Series::new("ServiceName".into(), (0..n).map(|i| format!("s{}", i % 5)).collect::<Vec<_>>()).into_column(),
        Series::new("StartNs".into(), (0..n).map(|i| 1_700_000_000_000_000_000 + i).collect::<Vec<_>>()).into_column(),
        Series::new("DurationNs".into(), (0..n).collect::<Vec<_>>()).into_column(),
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("spans.parquet");
    fs::write(&path, &file).expect("written");
    let on_disk = read_paths(&[path], &ReadOptions::default(), &|_| {}).expect("recognised");
    let in_memory = read_bytes(Path::new("spans.parquet"), &file, &ReadOptions::default()).expect("recognised");
    assert_eq!(spans(&on_disk.spans), spans(&in_memory.spans));
    assert_eq!(on_disk.spans.len(), 1000);
    assert_eq!(on_disk.warnings, []);
}

#[test]
fn compressed_files_read_as_plain_ones_and_keep_to_the_limit() {
    let plain = fs::read(fixture("otlp_lines.jsonl")).expect("the fixture");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain[..700]).expect("in memory");
    let mut compressed = gzip.finish().expect("in memory");
    // Several members in one file, as `cat a.gz b.gz` makes them.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain[700..]).expect("in memory");
    compressed.extend(gzip.finish().expect("in memory"));
    let zstd = zstd::encode_all(plain.as_slice(), 1).expect("in memory");
    for bytes in [compressed, zstd] {
        let telemetry = read_bytes(Path::new("t"), &bytes, &ReadOptions::default()).expect("recognised");
        assert_eq!(telemetry.spans.id, [1, 2, 3, 4]);

        let options = ReadOptions { max_file_bytes: 900, ..ReadOptions::default() };
        let telemetry = read_bytes(Path::new("t"), &bytes, &options).expect("recognised");
        assert_eq!(telemetry.spans.id, [1, 2]);
        let last = telemetry.warnings.last().expect("a warning").to_string();
        assert_eq!(
            last,
            "t, line 6: holds more than 900 bytes uncompressed; split it, or unfold it if it is compressed"
        );
    }
}

#[test]
fn a_torn_archive_gives_what_stands_before_the_tear() {
    let line = fs::read_to_string(fixture("otlp_lines.jsonl")).expect("the fixture").lines().next().map(str::to_owned);
    let line = line.expect("a line") + "\n";
    // Enough different ids that the compressed file is larger than one block.
    let text: String = (1..=20_000_u64)
        .map(|i| line.replace("0000000000000001", &format!("{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
        .collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("in memory");
    let gzip = gzip.finish().expect("in memory");
    let zstd = zstd::encode_all(text.as_bytes(), 1).expect("in memory");
    for bytes in [gzip, zstd] {
        let torn = &bytes[..bytes.len() / 2];
        let telemetry = read_bytes(Path::new("t"), torn, &ReadOptions::default()).expect("recognised");
        let n = telemetry.spans.len();
        assert!((5_000..15_000).contains(&n), "{n}");
        let last = telemetry.warnings.last().expect("a warning");
        assert!(last.message.starts_with("cannot be read further: "), "{last}");
        assert!(last.place.starts_with("line "), "{last}");
    }
}

#[test]
fn folders_and_patterns_are_read_in_order_of_path_whatever_the_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("b/deep")).expect("a folder");
    let line = |id: u64| {
        format!(
            "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{\"traceId\":\"{id:032x}\",\"spanId\":\"{id:016x}\",\
             \"startTimeUnixNano\":\"1\",\"endTimeUnixNano\":\"2\"}}]}}]}}]}}\n"
        )
    };
    for (name, id) in [("c.json", 5), ("a.json", 1), ("b/2.json", 3), ("b/1.json", 2), ("b/deep/x.json", 4)] {
        fs::write(at(name), line(id)).expect("written");
    }
    for name in [".hidden.json", "README.md", "LICENSE", "case.toml"] {
        fs::write(at(name), "not telemetry").expect("written");
    }
    fs::write(at("b/noise.bin"), [0, 1, 2]).expect("written");
    fs::write(at("empty.json"), "").expect("written");

    let options = ReadOptions::default();
    let done = std::sync::Mutex::new(Progress::default());
    let note = |progress: Progress| {
        let mut done = done.lock().expect("no panic");
        done.files_done = done.files_done.max(progress.files_done);
        done.bytes_done = done.bytes_done.max(progress.bytes_done);
        (done.files, done.bytes) = (progress.files, progress.bytes);
    };
    let all = read_paths(&[folder.path().to_owned()], &options, &note).expect("readable");
    assert_eq!(all.spans.id, [1, 2, 3, 4, 5]);
    let told: Vec<_> =
        all.warnings.iter().map(|w| (w.source.rsplit('/').next().unwrap_or(""), w.message.as_str())).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].0, "noise.bin");
    assert!(told[0].1.starts_with("not recognised: it looks like "), "{}", told[0].1);
    assert_eq!(told[1], ("empty.json", "the file is empty"));
    let done = *done.lock().expect("no panic");
    assert_eq!((done.files_done, done.files), (7, 7));
    assert_eq!(done.bytes_done, done.bytes);

    // Named twice and in another order: the same.
    let paths = [at("c.json"), at("b"), at("*.json"), at("b/1.json")];
    let again = read_paths(&paths, &options, &|_| {}).expect("readable");
    assert_eq!(again.spans.id, [1, 2, 3, 4, 5]);

    let error = read_paths(&[at("b/noise.bin")], &options, &|_| {}).expect_err("named outright");
    assert!(matches!(error, IngestError::Unrecognised { .. }), "{error}");
    let error = read_paths(&[at("nothing*.json")], &options, &|_| {}).expect_err("no match");
    assert!(error.to_string().ends_with("nothing*.json: no such file or folder, and no file matches it as a pattern"));
    let error = read_paths(&[at("a[.json")], &options, &|_| {}).expect_err("no pattern");
    assert!(matches!(error, IngestError::Pattern { .. }), "{error}");
}

#[test]
fn deep_nesting_and_huge_texts_do_no_harm() {
    let deep = format!("{{\"resourceSpans\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let telemetry = read_bytes(Path::new("t"), deep.as_bytes(), &ReadOptions::default()).expect("recognised");
    assert!(telemetry.spans.is_empty());
    let ignored = format!("{{\"x\":{}{},\"resourceSpans\":[]}}", "[".repeat(20_000), "]".repeat(20_000));
    let telemetry = read_bytes(Path::new("t"), ignored.as_bytes(), &ReadOptions::default()).expect("recognised");
    assert_eq!(warnings(&telemetry), ["t: nothing was found in it, although it looks like otlp-json"]);
    let plain = fs::read_to_string(fixture("otlp_pretty.json")).expect("the fixture");
    let huge = plain.replace("SELECT orders", &"x".repeat(10_000_000));
    let telemetry = read_bytes(Path::new("t"), huge.as_bytes(), &ReadOptions::default()).expect("recognised");
    assert_eq!(telemetry.spans.len(), 2);
}

#[test]
fn several_messages_in_one_file_and_lists_of_them() {
    let plain = fs::read_to_string(fixture("otlp_pretty.json")).expect("the fixture");
    for text in [format!("{plain}{plain}"), format!("[{plain},{plain}]"), format!("\n\n{plain} {plain}\n")] {
        let telemetry = read_bytes(Path::new("t"), text.as_bytes(), &ReadOptions::default()).expect("recognised");
        assert_eq!(telemetry.spans.len(), 4);
        assert_eq!(telemetry.warnings, []);
    }
}

#[test]
fn text_that_is_not_utf_8_is_replaced_and_counted() {
    let mut text = fixture_text("otlp_lines.jsonl").into_bytes();
    let second_get = memchr::memmem::find_iter(&text, "GET /cart").nth(1).expect("in line 5");
    text[second_get + 5] = 0xff;
    let telemetry = read_bytes(Path::new("t"), &text, &ReadOptions::default()).expect("recognised");
    assert_eq!(telemetry.spans.id, [1, 2, 3, 4]);
    assert_eq!(telemetry.spans.operations(), ["GET /cart", "GET /\u{fffd}art"]);
    let told = warnings(&telemetry);
    assert!(told.contains(&"t, line 5: text that is not UTF-8 was replaced by U+FFFD".to_owned()), "{told:?}");
}

#[test]
fn jaeger_values_of_the_wrong_type_cost_only_themselves() {
    let text = fixture_text("jaeger_ui.json")
        .replacen("\"references\": []", "\"references\": \"none\"", 1)
        .replacen("\"tags\": []", "\"tags\": [7]", 1)
        .replacen("\"p2\": {", "\"p3\": [], \"p2\": {", 1);
    let telemetry = read_bytes(Path::new("t"), text.as_bytes(), &ReadOptions::default()).expect("recognised");
    assert_eq!(telemetry.spans.len(), 3);
    let told = warnings(&telemetry);
    let expected = [
        "field `references`: values left out: the field must be a list of references",
        "field `tags`: values left out: the field must be a list of attributes",
        "field `processes`: values left out: the field must be an object",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with("t, byte ") && told.contains(expected), "{told}\n{expected}");
    }
}

#[test]
fn a_torn_parquet_file_says_so() {
    let columns = ["trace_id", "span_id", "service", "start_ns", "duration_ns"];
    let file = parquet(columns.map(|name| Series::new(name.into(), [1_i64; 8]).into_column()).to_vec());
    let options = ReadOptions { format: Some(Format::SpanParquet), ..ReadOptions::default() };
    let torn = read_bytes(Path::new("t.parquet"), &file[..file.len() - 9], &options).expect("the format is named");
    assert!(
        torn.warnings[0].to_string().starts_with("t.parquet, the footer: broken Parquet: "),
        "{}",
        torn.warnings[0]
    );

    // Damage within the first row group leaves the others.
    let mut scratched = file.clone();
    scratched[4..40].fill(0xff);
    let telemetry = read_bytes(Path::new("t.parquet"), &scratched, &options).expect("the format is named");
    assert_eq!(telemetry.spans.len(), 6);
    assert!(
        telemetry.warnings[0].to_string().starts_with("t.parquet, row 1: broken Parquet: "),
        "{}",
        telemetry.warnings[0]
    );
    assert_eq!((telemetry.warnings[0].affected, telemetry.skipped), (2, 2));
}

#[test]
fn real_traces_of_nezha() {
    let day = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets/nezha/construct_data/2023-01-29/trace");
    if !day.is_dir() {
        println!("skipped: {} is absent", day.display());
        return;
    }
    let telemetry = read_paths(std::slice::from_ref(&day), &ReadOptions::default(), &|_| {}).expect("readable");
    let mut lines = 0;
    for entry in fs::read_dir(&day).expect("listed") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("read");
        let text = zstd::decode_all(bytes.as_slice()).expect("unfolded");
        lines += String::from_utf8_lossy(&text).lines().count() - 1;
    }
    assert_eq!(telemetry.spans.len(), lines);
    assert_eq!(telemetry.warnings, []);
    let mut services: Vec<_> = telemetry.spans.resources().iter().map(|r| r.service.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    // zstd -dc 08_50_trace.csv.zst | tail -n +2 | cut -d, -f4 | sed -E 's/-[^-]+-[^-]+$//' | sort -u | wc -l
    assert_eq!(services.len(), NEZHA_SERVICES, "{services:?}");
    assert!(services.contains(&"ts-order-service") && services.contains(&"ts-gateway-service"));
}

const NEZHA_SERVICES: usize = 25;
