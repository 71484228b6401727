//! OTLP in protobuf and metrics of OTLP: bytes of the official message classes (tests/fixtures/otlp.py) against the same
//! messages in JSON, values worked out by hand, and what damage costs.

use std::fs;
use std::path::{Path, PathBuf};

use hypocenter::ingest::{Format, IngestError, ReadOptions, Telemetry, read_bytes, read_paths};
use hypocenter::telemetry::series::{Series, Statistic};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).expect("the fixture is part of the repository")
}

fn read(name: &str) -> Telemetry {
    read_paths(&[fixture(name)], &ReadOptions::default(), &|_| {}).expect("the fixture is recognised")
}

fn from_bytes(bytes: &[u8]) -> Telemetry {
    read_bytes(Path::new("telemetry"), bytes, &ReadOptions::default()).expect("recognised")
}

/// Warnings without the folder of the fixtures.
fn warnings(telemetry: &Telemetry) -> Vec<String> {
    let folder = format!("{}/", fixture("").display().to_string().trim_end_matches('/'));
    telemetry.warnings.iter().map(|w| w.to_string().replace(&folder, "")).collect()
}

/// Series as text: subject, signal, name, statistic, unit, then seconds since the start of the fixture and value.
fn shown(telemetry: &Telemetry) -> Vec<String> {
    let show = |series: &Series| {
        let samples: Vec<String> = series
            .samples
            .iter()
            .map(|(at, value)| {
                format!("{}={}", (at - 1_700_000_000_000_000_000) as f64 / 1e9, (value * 1e9).round() / 1e9)
            })
            .collect();
        let statistic = match series.statistic {
            Statistic::Quantile(q) => format!("p{}", (q * 100.0).round()),
            other => format!("{other:?}"),
        };
        let Series { subject, signal, name, unit, .. } = series;
        format!("{subject} {signal:?} {name} {statistic} {unit:?} {}", samples.join(" "))
    };
    telemetry.series.iter().map(show).collect()
}

/// All that a file holds, but not its places.
fn content(telemetry: &Telemetry) -> String {
    let warnings: Vec<_> = telemetry.warnings.iter().map(|w| (&w.message, w.affected)).collect();
    format!("{:#?}\n{:#?}\n{warnings:#?}\n{}", telemetry.spans, telemetry.series, telemetry.skipped)
}

#[test]
fn spans_are_the_same_in_json_and_in_protobuf_of_every_framing() {
    let json = read("traces/otlp_sdk.jsonl");
    assert_eq!((json.files[0].format, json.spans.len(), json.spans.links.len()), (Format::OtlpJson, 8, 1));
    for name in ["traces/otlp_bare.pb", "traces/otlp_lengths.pb", "traces/otlp_varints.pb"] {
        let protobuf = read(name);
        assert_eq!(protobuf.files[0].format, Format::OtlpProtobuf, "{name}");
        assert_eq!(format!("{:#?}", protobuf.spans), format!("{:#?}", json.spans), "{name}");
    }
}

#[test]
fn metrics_are_the_same_in_json_and_in_protobuf_of_every_framing() {
    let json = read("metrics/otlp_sdk.jsonl");
    assert_eq!(json.files[0].format, Format::OtlpJson);
    for name in ["metrics/otlp_bare.pb", "metrics/otlp_lengths.pb", "metrics/otlp_varints.pb"] {
        let protobuf = read(name);
        assert_eq!(protobuf.files[0].format, Format::OtlpProtobuf, "{name}");
        assert_eq!(content(&protobuf), content(&json), "{name}");
    }
}

#[test]
fn logs_are_the_same_in_json_and_in_protobuf_of_every_framing() {
    let json = read("logs/otlp_sdk.jsonl");
    assert_eq!((json.files[0].format, json.logs.len()), (Format::OtlpJson, 6));
    for name in ["logs/otlp_bare.pb", "logs/otlp_lengths.pb", "logs/otlp_varints.pb"] {
        let protobuf = read(name);
        assert_eq!(protobuf.files[0].format, Format::OtlpProtobuf, "{name}");
        assert_eq!(format!("{:#?}", protobuf.logs), format!("{:#?}", json.logs), "{name}");
        let told = |telemetry: &Telemetry| {
            telemetry.warnings.iter().map(|w| (w.message.clone(), w.affected)).collect::<Vec<_>>()
        };
        assert_eq!((told(&protobuf), protobuf.skipped), (told(&json), 3), "{name}");
    }
    // Traces and logs in one file.
    let mixed = read("traces/otlp_lengths.pb");
    assert_eq!((mixed.spans.len(), mixed.logs.len()), (8, 4));
    assert_eq!(mixed.logs.messages(), json.logs.messages().get(..4).expect("more than four"));
}

#[test]
fn bodies_nested_without_end_are_cut_with_a_warning() {
    let mut body = field(1, b"deep");
    for _ in 0..1000 {
        body = field(5, &field(1, &body));
    }
    let record = [fixed64(1, START), field(5, &body)].concat();
    let resource = field(1, &field(1, &[field(1, b"service.name"), field(2, &field(1, b"cart"))].concat()));
    let entry = [resource, field(2, &field(2, &record))].concat();
    let telemetry = from_bytes(&field(1, &entry));
    assert_eq!(telemetry.logs.len(), 0);
    assert!(
        warnings(&telemetry)
            .iter()
            .any(|w| w.ends_with("values nested too deep in the body of a log record are left out"))
    );
}

#[test]
fn metrics_have_the_values_that_follow_from_their_points() {
    let telemetry = read("metrics/otlp_lengths.pb");
    // Per ten seconds 100 requests, ten of them failed, 20 s in all; 50 up to 0.1 s, 40 up to 0.5 s, 10 above.
    // Of the remote calls per ten seconds 20, 160 ms in all, between 4 and 16 ms, which is one bucket at the coarsest
    // scale, along which they are spread: p50 is 4 · (16/4)^0.5, p90 is 2^3.8, p99 is 2^3.98. The start of the first cumulative points is not used: it may lie far back.
    let expected = "\
shop/cart Requests http_server_request_duration_seconds_count Mean PerSecond 20=10 30=10
shop/cart Requests rpc_server_duration_milliseconds_count Mean PerSecond 20=2 30=2
shop/cart ErrorRatio http_server_request_duration_seconds_count Mean Ratio 20=0.1 30=0.1
shop/cart Latency http_server_request_duration_seconds Mean Seconds 20=0.2 30=0.2
shop/cart Latency http_server_request_duration_seconds p50 Seconds 20=0.1 30=0.1
shop/cart Latency http_server_request_duration_seconds p90 Seconds 20=0.5 30=0.5
shop/cart Latency http_server_request_duration_seconds p99 Seconds 20=0.5 30=0.5
shop/cart Latency rpc_server_duration_milliseconds Mean Seconds 20=0.008 30=0.008
shop/cart Latency rpc_server_duration_milliseconds p50 Seconds 20=0.008 30=0.008
shop/cart Latency rpc_server_duration_milliseconds p90 Seconds 20=0.013928809 30=0.013928809
shop/cart Latency rpc_server_duration_milliseconds p99 Seconds 20=0.015779723 30=0.015779723
";
    let of_cart: String = shown(&telemetry)
        .iter()
        .filter(|s| s.starts_with("shop/cart ") && !s.starts_with("shop/cart /"))
        .map(|s| format!("{s}\n"))
        .collect();
    assert_eq!(of_cart, expected);
    // Deltas: 100 calls per ten seconds from the first one on, since a delta tells when it began; those of clients do not
    // count. A level given by its changes only is not read, nor a point without time.
    let of_mail: String = shown(&telemetry)
        .iter()
        .filter(|s| s.starts_with("shop/mail ") && !s.starts_with("shop/mail send"))
        .map(|s| format!("{s}\n"))
        .collect();
    let expected = "\
shop/mail Requests traces_span_metrics_calls_total Mean PerSecond 10=10 20=10 30=10
shop/mail ErrorRatio traces_span_metrics_calls_total Mean Ratio 10=0 20=0.2 30=0
shop/mail Latency traces_span_metrics_duration_milliseconds Mean Seconds 10=0.02 20=0.04 30=0.06
shop/mail Latency traces_span_metrics_duration_milliseconds p50 Seconds 10=0.05 20=0.05 30=0.05
shop/mail Latency traces_span_metrics_duration_milliseconds p90 Seconds 10=0.09 20=0.09 30=0.09
shop/mail Latency traces_span_metrics_duration_milliseconds p99 Seconds 10=0.099 20=0.099 30=0.099
";
    assert_eq!(of_mail, expected);
    // Processor time: 5 s in 10 s; then nothing was recorded at 30 s, and 30 s since a restart at 35 s, spread over the 20 s
    // since the last value, as a counter's fall would be.
    let rest: Vec<String> = shown(&telemetry).into_iter().filter(|s| !s.starts_with("shop/")).collect();
    assert_eq!(
        rest,
        [
            "cart-579f59597d-wc2lz Cpu process_cpu_time_seconds_total Mean Cores 20=0.5 40=1.5",
            "cart-579f59597d-wc2lz Memory jvm_memory_used_bytes Mean Bytes 10=1000 20=2000 30=1500",
            "cart-579f59597d-wc2lz Other gc_pause_milliseconds Mean Seconds 20=0.005 30=0.005",
            "cart-579f59597d-wc2lz Other gc_pause_milliseconds p50 Seconds 10=0.004 20=0.004 30=0.004",
            "cart-579f59597d-wc2lz Other gc_pause_milliseconds p99 Seconds 10=0.01 20=0.011 30=0.012",
            "cart-579f59597d-wc2lz Other queue_fill_ratio Mean Ratio 10=0.25 20=0.5",
            "mail-1 NetworkReceive k8s_pod_network_receive_bytes_total Mean BytesPerSecond 20=100 30=200",
            "mail-1 NetworkTransmit k8s_pod_network_transmit_bytes_total Mean BytesPerSecond 20=0 30=0",
        ]
    );
    let told = warnings(&telemetry);
    for expected in [
        "samples that are NaN, infinite or marked stale count as gaps (2 times)",
        "data points skipped: changes of a sum that may fall (delta temporality) do not tell its level; let the SDK or the \
         collector export it cumulatively (3 times)",
        "field `data_points`: data points skipped: their time is missing or after the year 2262",
        "series of client, producer and internal spans are not used: they would count a request twice",
    ] {
        assert!(told.iter().any(|w| w.ends_with(expected)), "{expected}: {told:#?}");
    }
    assert_eq!(telemetry.skipped, 4);
}

#[test]
fn messages_packed_one_by_one_are_read_in_json_and_in_protobuf() {
    let plain = read("traces/otlp_sdk.jsonl");
    let frame = |message: &[u8]| {
        let packed = zstd::encode_all(message, 1).expect("in memory");
        [&(packed.len() as u32).to_be_bytes()[..], &packed].concat()
    };
    let json = bytes("traces/otlp_sdk.jsonl");
    let packed: Vec<u8> = json.split_inclusive(|b| *b == b'\n').flat_map(frame).collect();
    assert_eq!(format!("{:?}", from_bytes(&packed).spans), format!("{:?}", plain.spans));
    let packed = frame(&bytes("traces/otlp_bare.pb"));
    assert_eq!(format!("{:?}", from_bytes(&packed).spans), format!("{:?}", plain.spans));
    // The second message is damaged: the first is kept, and the damage is told.
    let mut both = frame(&bytes("traces/otlp_bare.pb"));
    let at = both.len();
    both.extend(frame(&bytes("traces/otlp_bare.pb")));
    let middle = at + (both.len() - at) / 2;
    both[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let damaged = from_bytes(&both);
    assert!(damaged.spans.len() >= 8 && damaged.skipped > 0, "{:?}", damaged.warnings);
}

#[test]
fn a_cut_off_file_keeps_every_span_before_the_cut_and_names_the_byte() {
    for name in ["traces/otlp_bare.pb", "traces/otlp_lengths.pb", "traces/otlp_varints.pb"] {
        let whole = bytes(name);
        let ids = read(name).spans.id;
        let (mut most, mut silent) = (0, 0);
        for cut in 1..=whole.len() {
            let options = ReadOptions { format: Some(Format::OtlpProtobuf), ..ReadOptions::default() };
            let telemetry = read_bytes(Path::new("cut"), &whole[..cut], &options).expect("the format is named");
            let n = telemetry.spans.len();
            assert!(n >= most && telemetry.spans.id == ids[..n], "{name} at {cut}");
            most = n;
            let told = telemetry.warnings.iter().any(|w| w.place.starts_with("byte "));
            silent += usize::from(n < ids.len() && !told);
        }
        // Between two entries, or two messages, a file may as well end.
        assert!(silent <= 3, "{name}: {silent}");
        assert_eq!(most, ids.len(), "{name}");
    }
    let whole = bytes("traces/otlp_bare.pb");
    // Behind the first two spans, in the third.
    let third = memchr::memmem::find(&whole, b"\x12\x08\0\0\0\0\0\0\0\x03").expect("the third span's id");
    let telemetry = from_bytes(&whole[..third + 4]);
    assert_eq!(telemetry.spans.id, [1, 2]);
    let message = "the protobuf message is cut off, or a length in it is wrong; what stood before is kept";
    assert_eq!(warnings(&telemetry), [format!("telemetry, byte {}: {message}", third + 4)]);
    assert_eq!(telemetry.skipped, 1);
}

#[test]
fn a_flipped_bit_costs_one_span() {
    let mut damaged = bytes("traces/otlp_lengths.pb");
    let second = memchr::memmem::find(&damaged, b"\x12\x08\0\0\0\0\0\0\0\x02").expect("the second span's id");
    // Field 2 of wire type 7, which there is not.
    damaged[second] = 0x17;
    let telemetry = from_bytes(&damaged);
    assert_eq!(telemetry.spans.id, [1, 3, 4, 5, 6, 7, 8]);
    assert!(
        warnings(&telemetry).contains(&format!(
            "telemetry, byte {second}: broken protobuf: this is no key of a protobuf field; the rest of the span, metric \
             or record is left out"
        )),
        "{:?}",
        warnings(&telemetry)
    );
}

/// A field with a length: number, content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128 * 128 && number < 16);
    let length = content.len();
    let length = if length < 128 { vec![length as u8] } else { vec![length as u8 | 0x80, (length >> 7) as u8] };
    [vec![number << 3 | 2], length, content.to_vec()].concat()
}

fn fixed64(number: u8, value: u64) -> Vec<u8> {
    [vec![number << 3 | 1], value.to_le_bytes().to_vec()].concat()
}

/// A message with one leaf for each of `leaves`.
fn message(leaves: &[Vec<u8>]) -> Vec<u8> {
    let scope: Vec<u8> = leaves.iter().flat_map(|leaf| field(2, leaf)).collect();
    field(1, &field(2, &scope))
}

const START: u64 = 1_700_000_000_000_000_000;

fn span(trace: &[u8], id: &[u8], parent: &[u8], start: u64, end: u64) -> Vec<u8> {
    [field(1, trace), field(2, id), field(4, parent), field(5, b"work"), fixed64(7, start), fixed64(8, end)].concat()
}

#[test]
fn bad_spans_are_skipped_with_byte_and_field() {
    let (trace, id) = ([1; 16], [2; 8]);
    let odd_link = [span(&trace, &[3; 8], &[0; 8], START, START), field(13, &field(1, b"short"))].concat();
    let odd_kind = [span(&trace, &[4; 8], &[], START, START + 1), vec![0x30, 9], field(15, &[0x18, 7])].concat();
    let not_utf8 = [span(&trace, &[5; 8], &[], START, START + 1), field(5, b"caf\xe9")].concat();
    let telemetry = from_bytes(&message(&[
        span(&trace, &id, &[], START, START + 5),
        span(&[0; 16], &id, &[], START, START + 5),
        span(&[1; 8], &id, &[], START, START + 5),
        span(&trace, b"", &[], START, START + 5),
        span(&trace, &id, &[1; 3], START, START + 5),
        span(&trace, &id, &[], 0, START + 5),
        span(&trace, &id, &[], START, u64::MAX),
        span(&trace, &id, &[], START, START - 1),
        odd_link,
        odd_kind,
        not_utf8,
    ]));
    assert_eq!(telemetry.spans.id, [[2; 8], [3; 8], [4; 8], [5; 8]].map(u64::from_be_bytes));
    assert_eq!(telemetry.spans.operations(), ["work", "caf\u{fffd}"]);
    assert_eq!(telemetry.spans.parent, [0; 4]);
    let told: Vec<String> =
        warnings(&telemetry).iter().map(|w| w.split_once(", byte ").expect("a byte").1.to_owned()).collect();
    let parts: Vec<(&str, &str)> = told.iter().map(|w| w.split_once(", field ").unwrap_or(("", w))).collect();
    let messages: Vec<&str> = parts.iter().map(|(_, rest)| *rest).collect();
    assert_eq!(
        messages[..9],
        [
            "`trace_id`: spans skipped: a trace id must be 16 bytes, and not zero (2 times)",
            "`span_id`: spans skipped: a span id must be 8 bytes, and not zero",
            "`parent_span_id`: spans skipped: a parent id must be 8 bytes, or empty for a root",
            "`start_time_unix_nano`: spans skipped: the start must be a positive whole number of nanoseconds \
             (microseconds in Jaeger) since the Unix epoch, before the year 2262",
            "`end_time_unix_nano`: spans skipped: the end must be a positive whole number of nanoseconds since the Unix \
             epoch, before the year 2262",
            "`end_time_unix_nano`: spans skipped: they end before they start",
            "`links`: span links left out: their ids cannot be read",
            "`kind`: spans of unknown kind are taken as unspecified",
            "`status`: spans of unknown status are taken as unset",
        ]
    );
    assert!(told[9].ends_with("text that is not UTF-8 was replaced by U+FFFD"), "{told:?}");
    // The second span begins behind the first.
    let first = span(&trace, &id, &[], START, START + 5).len();
    assert_eq!(parts[0].0.parse::<usize>().ok(), Some(6 + 2 + first + 2));
    assert_eq!(telemetry.skipped, 7);
}

fn kind_read(leaf: &[u8]) -> String {
    let options = ReadOptions { format: Some(Format::OtlpProtobuf), ..ReadOptions::default() };
    let telemetry = read_bytes(Path::new("leaf"), &message(&[leaf.to_vec()]), &options).expect("the format is named");
    let (spans, series) = (telemetry.spans.len(), telemetry.series.len());
    format!("{spans} {series} {}", telemetry.skipped)
}

#[test]
fn spans_metrics_and_log_records_are_told_apart_whatever_they_lack() {
    let (trace, id) = ([0xaa; 16], [2; 8]);
    // A span without times is still a span: it is skipped as one.
    assert_eq!(kind_read(&[field(1, &trace), field(2, &id), field(5, b"name")].concat()), "0 0 1");
    assert_eq!(kind_read(&[field(1, &trace), field(2, &id)].concat()), "0 0 1");
    assert_eq!(kind_read(&span(&trace, &id, &[], START, START + 1)), "1 0 0");
    // A gauge whose name has 16 bytes and whose description has 8, as the ids of a span have.
    let attribute = field(7, &[field(1, b"service.name"), field(2, &field(1, b"cart"))].concat());
    let point = [attribute, fixed64(3, START), fixed64(4, 1.5_f64.to_bits())].concat();
    let gauge = [field(1, b"system.cpu.usage"), field(2, b"in use !"), field(5, &field(1, &point))].concat();
    assert_eq!(kind_read(&gauge), "0 1 0");
}

#[test]
fn other_files_are_not_taken_for_protobuf() {
    let read = |bytes: &[u8]| read_bytes(Path::new("f"), bytes, &ReadOptions::default());
    for text in [
        "\n",
        "\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
        "\n{\"a\":1}\n",
        "\n\tname,value\n",
        "\u{a}\u{12}\u{12}\u{12}",
        "\0\0\0\u{4}text",
    ] {
        match read(text.as_bytes()) {
            Err(IngestError::Unrecognised { .. }) => {}
            Ok(telemetry) => assert_ne!(telemetry.files[0].format, Format::OtlpProtobuf, "{text:?}"),
            Err(other) => panic!("{other}"),
        }
    }
    // A Prometheus exposition in protobuf has a length before each message too.
    let family =
        [field(1, b"http_requests_total"), field(2, b"help"), vec![0x18, 0], field(4, &fixed64(1, 1))].concat();
    let exposition = [vec![family.len() as u8], family].concat();
    if let Ok(telemetry) = read(&exposition) {
        assert_ne!(telemetry.files[0].format, Format::OtlpProtobuf);
    }
}

#[test]
fn a_wrong_length_between_messages_ends_the_file_with_its_byte() {
    let good = message(&[span(&[1; 16], &[2; 8], &[], START, START + 5)]);
    let frame = |message: &[u8]| [&(message.len() as u32).to_be_bytes()[..], message].concat();
    let mut file = [frame(&good), frame(b""), frame(&good)].concat();
    let end = file.len();
    file.extend(b"\0\0\0\x05hello");
    let telemetry = from_bytes(&file);
    assert_eq!(telemetry.spans.len(), 2);
    let expected = format!(
        "telemetry, byte {}: no message of OTLP begins here, after a length of 5 bytes: a length before it is wrong; what \
         stood before is kept",
        end + 4
    );
    assert_eq!(warnings(&telemetry), [expected]);
    // A length beyond all bounds takes no memory.
    let mut file = frame(&good);
    file.extend(b"\xff\xff\xff\xff\x0a\x00");
    assert_eq!(from_bytes(&file).spans.len(), 1);
}

#[test]
fn large_files_are_read_alike_on_one_core_and_on_many() {
    let n = 30_000_u64;
    let frame = |id: u64| {
        let message = message(&[span(&[1; 16], &id.to_be_bytes(), &[], START + id, START + id + 5)]);
        [&(message.len() as u32).to_be_bytes()[..], &message].concat()
    };
    let line = |id: u64| {
        let name = "n".repeat((id % 100) as usize);
        format!(
            "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"s{}\"}}}}]}},\
             \"scopeSpans\":[{{\"spans\":[{{\"traceId\":\"{:032x}\",\"spanId\":\"{id:016x}\",\"name\":\"{name}\",\
             \"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"1700000000000000001\"}}]}}]}}]}}\n",
            id % 7,
            id / 20 + 1
        )
    };
    // About ten megabytes in lines, and a broken one far behind the first piece.
    let mut lines: String = (1..=n).map(line).collect();
    lines.push_str("{\"resourceSpans\":[{]\n");
    lines.extend((n + 1..=n + 10).map(line));
    let mut frames: Vec<u8> = (1..=n + 10).flat_map(frame).collect();
    frames.extend(b"\0\0\0\x05\x0a\x7f");
    for (name, bytes) in [("lines", lines.into_bytes()), ("frames", frames)] {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| from_bytes(&bytes))
        };
        let (one, many) = (on(1), on(5));
        let expected: Vec<u64> = (1..=n + 10).collect();
        assert!(one.spans.id == expected, "{name}");
        assert!(format!("{one:?}") == format!("{many:?}"), "{name}");
        assert_eq!((one.skipped, one.warnings.len()), (1, 1), "{name}: {:?}", one.warnings);
        let place = &one.warnings[0].place;
        assert!(place.starts_with("line 30001, ") || *place == format!("byte {}", bytes.len()), "{place}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_not_taken_for_protobuf(
        start in prop_oneof![Just(vec![]), Just(vec![0x0a]), Just(vec![0, 0, 0, 40, 0x0a]), Just(vec![40, 0x0a])],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [start, rest].concat();
        if let Ok(telemetry) = read_bytes(Path::new("random"), &bytes, &ReadOptions::default()) {
            prop_assert!(telemetry.files.iter().all(|file| file.format != Format::OtlpProtobuf), "{:?}", bytes);
        }
    }

    #[test]
    fn named_as_protobuf_any_bytes_end_in_warnings(
        start in prop_oneof![Just(vec![]), Just(vec![0x0a]), Just(vec![0, 0, 0, 40, 0x0a]), Just(vec![40, 0x0a])],
        rest in proptest::collection::vec(prop_oneof![Just(0x0a_u8), Just(0x12), Just(4), any::<u8>()], 0..300),
    ) {
        let bytes = [start, rest].concat();
        let options = ReadOptions { format: Some(Format::OtlpProtobuf), ..ReadOptions::default() };
        let telemetry = read_bytes(Path::new("random"), &bytes, &options).expect("the format is named");
        prop_assert!(!telemetry.warnings.is_empty() || telemetry.spans.len() + telemetry.series.len() > 0);
    }
}

#[test]
fn a_message_in_which_nothing_can_be_read_is_told() {
    // Lengths are right, but the only entry in the message claims to be longer than it is.
    let options = ReadOptions { format: Some(Format::OtlpProtobuf), ..ReadOptions::default() };
    let telemetry = read_bytes(Path::new("broken.bin"), &[0, 0, 0, 3, 0x0a, 0x7f, 0x01], &options).unwrap();
    let told: Vec<String> = telemetry.warnings.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|line| line.contains("byte 4") && line.contains("broken protobuf")), "{told:?}");
}
