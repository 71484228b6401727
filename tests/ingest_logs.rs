//! Logs and changes through the front door of `ingest`: a file for each accepted shape, and whole reports with them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hypocenter::analysis::{Settings, analyze};
use hypocenter::assemble::{Request, assemble};
use hypocenter::explain::Diagnosis;
use hypocenter::ingest::{Expected, Format, ReadOptions, Telemetry, read_bytes, read_paths};
use hypocenter::report;
use hypocenter::telemetry::time::{NANOS_PER_SECOND, Window};

/// 2026-03-02T10:00:00Z (date -u -d 2026-03-02T10:00:00Z +%s).
const TEN: i64 = 1_772_445_600 * NANOS_PER_SECOND;
const TRACE: u128 = 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs").join(name)
}

fn read(name: &str) -> Telemetry {
    read_paths(&[fixture(name)], &ReadOptions::default(), &|_| {}).expect("the fixture is recognised")
}

/// `milliseconds after ten o'clock service severity [trace]: message`, a line for each record.
fn records(telemetry: &Telemetry) -> Vec<String> {
    let logs = &telemetry.logs;
    let line = |record: usize| {
        let service = &logs.services()[logs.service[record] as usize];
        let message = &logs.messages()[logs.message[record] as usize];
        let trace = if logs.trace[record] == TRACE { " traced" } else { "" };
        let at = (logs.at_ns[record] - TEN) / 1_000_000;
        format!("{at} {service} {:?}{trace}: {message}", logs.severity[record])
    };
    (0..logs.len()).map(line).collect()
}

/// Warnings without the folder of their file.
fn warnings(telemetry: &Telemetry) -> Vec<String> {
    let short = |text: String| text.rsplit_once("fixtures/logs/").map_or(text.clone(), |(_, rest)| rest.to_owned());
    telemetry.warnings.iter().map(|w| short(w.to_string())).collect()
}

/// The service, minutes after ten o'clock, kind, version and words of each change.
fn changes(telemetry: &Telemetry) -> Vec<String> {
    let line = |c: &hypocenter::telemetry::change::Change| {
        let service = c.service.as_ref().map_or("-", |s| s.as_str());
        format!(
            "{} {service} {:?} [{}] {}",
            (c.at_ns - TEN) / (60 * NANOS_PER_SECOND),
            c.kind,
            c.version,
            c.description
        )
    };
    telemetry.changes.iter().map(line).collect()
}

fn check(name: &str, format: Format, expected: &[&str], expected_warnings: &[&str]) -> Telemetry {
    let telemetry = read(name);
    assert_eq!(telemetry.files[0].format, format, "{name}");
    assert_eq!(records(&telemetry), expected, "{name}");
    assert_eq!(warnings(&telemetry), expected_warnings, "{name}");
    assert_eq!(telemetry.files[0].logs, expected.len() as u64);
    telemetry
}

#[test]
fn otlp_logs_in_json() {
    let expected = [
        "0 shop/cart Info traced: added <*> items for user <*>",
        "1000 shop/cart Error: items=<*> items=true zone=eu: CartException: no room",
        "2000 pay Error traced: payment.refused",
    ];
    let no_service = "otlp.jsonl, line 3, field `resource`: log records skipped: nothing names their service; add a \
                      field such as service.name, or name the file after its service (checkout.log, \
                      <pod>_<namespace>_<container>.log)";
    let warnings = [
        "otlp.jsonl, line 2, field `timeUnixNano`: log records skipped: they have no readable time",
        "otlp.jsonl, line 2, field `body`: log records skipped: they have no message",
        no_service,
    ];
    let telemetry = check("otlp.jsonl", Format::OtlpJson, &expected, &warnings);
    assert_eq!(telemetry.skipped, 3);
}

#[test]
fn json_lines_of_the_usual_loggers() {
    let zap = ["250 cart Info: request done", "1500 cart Error traced: charge failed: card <*> refused"];
    check("zap.jsonl", Format::LogJson, &zap, &[]);
    let pino = ["0 cart Info: ready in <*>ms", "1000 cart Error: call failed: Error: socket hang up"];
    check("pino.jsonl", Format::LogJson, &pino, &[]);
    let logstash = [
        "0 cart Info: Started Cart in <*> seconds",
        "1005 cart Error traced: lost cart <*>: java.io.IOException: disk is full",
        "2123 cart Fatal: out of memory",
    ];
    let zone = "logstash.jsonl, line 3: times of log records name no zone and are read as UTC";
    check("logstash.jsonl", Format::LogJson, &logstash, &[zone]);
    let ecs =
        ["0 pay Warn traced: retry <*> of <*>", "1000 shop/pay Error traced: refused: PayError: limit of <*> reached"];
    check("ecs.jsonl", Format::LogJson, &ecs, &[]);
}

#[test]
fn the_service_may_stand_in_the_name_of_the_file() {
    let logrus = ["-3600000 checkout Warn: slow answer", "-3599000 checkout Error traced: no route"];
    let cut = "checkout.log, line 1: lines skipped: not a JSON object (a start-up message, or a line cut in two)";
    check("checkout.log", Format::LogJson, &logrus, &[cut]);
    let id = "0123456789abcdef".repeat(4);
    let name = format!("cart-5f6585d649-fnmft_shop_server-{id}.log");
    let kubernetes = ["123 cart Error: <*> ERROR cannot reach <*>"];
    let empty = format!("{name}, line 2: log records without a message are passed over");
    let cut = format!("{name}, line 3: lines skipped: not a JSON object (a start-up message, or a line cut in two)");
    check(&name, Format::LogJson, &kubernetes, &[&empty, &cut]);
}

#[test]
fn lines_that_loki_wraps() {
    let expected = ["0 cart Error: level=error msg=\"no route to <*>\"", "1000 pay Warn: queue is <*>% full"];
    check("logcli.jsonl", Format::LogJson, &expected, &[]);
}

#[test]
fn tables_of_logs() {
    let expected = ["0 cart Error traced: no; route", "1000 cart Info: ready"];
    let warnings = [
        "table.csv, line 2: times of log records name no zone and are read as UTC (2 times)",
        "table.csv, line 4: log records skipped: they have no readable time",
        "table.csv, line 5: log records skipped: nothing names their service; add a field such as service.name, or name \
         the file after its service (checkout.log, <pod>_<namespace>_<container>.log)",
    ];
    // The name of the file says nothing, nor does the row.
    let text = fs::read(fixture("table.csv")).unwrap();
    let telemetry = read_bytes(Path::new("logs.csv"), &text, &ReadOptions::default()).unwrap();
    assert_eq!(
        (telemetry.files[0].format, records(&telemetry)),
        (Format::LogCsv, expected.map(str::to_owned).to_vec())
    );
    let renamed: Vec<String> = warnings.iter().map(|w| w.replace("table.csv", "logs.csv")).collect();
    let actual: Vec<String> = telemetry.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(actual, renamed);

    let nezha = read("nezha_log.csv");
    assert_eq!(nezha.files[0].format, Format::LogCsv);
    let services: Vec<&str> = nezha.logs.services().iter().map(String::as_str).collect();
    assert_eq!(services, ["ts-order-service", "productcatalogservice"]);
    let messages = [
        "<*> WARN o.s.OrderServiceImpl#361 TraceID: <*> SpanID: <*> [getOrderById][Order not found][OrderId: <*>]",
        "TraceID: <*> SpanID: <*> List products end",
    ];
    assert_eq!(nezha.logs.messages(), messages);
    assert_eq!(nezha.logs.trace[0], 0xb8ea_b8b5_ba03_e26a_5344_52ad_d95d_4ceb);
    assert_eq!(nezha.logs.at_ns[0], 1_674_989_804_788_257_817);
    assert_eq!(nezha.skipped, 1, "the torn row");
}

#[test]
fn the_order_of_files_does_not_matter() {
    let names = ["zap.jsonl", "logcli.jsonl", "nezha_log.csv"];
    let together = |names: &[&str]| {
        let paths: Vec<PathBuf> = names.iter().map(|name| fixture(name)).collect();
        records(&read_paths(&paths, &ReadOptions::default(), &|_| {}).unwrap())
    };
    let mut backwards = names;
    backwards.reverse();
    assert_eq!(together(&names), together(&backwards));
}

#[test]
fn other_formats_are_not_taken_for_logs_or_changes() {
    for (text, format) in [
        (r#"{"resourceSpans":[]}"#, Format::OtlpJson),
        (
            r#"{"data":[{"traceID":"1","spans":[{"traceID":"1","spanID":"2","operationName":"o","startTime":1}]}]}"#,
            Format::JaegerJson,
        ),
        ("trace_id,span_id,parent_id,service,start_time,duration_s\n", Format::SpanCsv),
        ("time,service,metric,value\n1772445600,pay,cpu,1\n", Format::SeriesCsv),
        ("time,pay_cpu\n1772445600,1\n", Format::SeriesCsv),
        ("source,target\na,b\n", Format::CallGraphCsv),
        (
            r#"{"receiver":"r","status":"firing","version":"4","groupKey":"g","alerts":[{"startsAt":"2026-03-02T10:00:00Z","labels":{}}]}"#,
            Format::Alertmanager,
        ),
        (r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#, Format::PrometheusRange),
    ] {
        let telemetry = read_bytes(Path::new("f"), text.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(telemetry.files[0].format, format, "{text}");
    }
    // Nor does any file of the other fixtures.
    for folder in ["traces", "metrics"] {
        for entry in fs::read_dir(fixture("..").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if let Ok(telemetry) = read_paths(std::slice::from_ref(&path), &ReadOptions::default(), &|_| {}) {
                let ours = [Format::LogJson, Format::LogCsv, Format::ChangesJson, Format::ChangesCsv];
                assert!(telemetry.files.iter().all(|file| !ours.contains(&file.format)), "{}", path.display());
            }
        }
    }
}

fn check_changes(name: &str, format: Format, expected: &[&str], expected_warnings: &[&str]) {
    let telemetry = read(name);
    assert_eq!(telemetry.files[0].format, format, "{name}");
    assert_eq!(changes(&telemetry), expected, "{name}");
    assert_eq!(warnings(&telemetry), expected_warnings, "{name}");
}

#[test]
fn changes_as_people_list_them() {
    let json = [
        "-5 pay Deploy [2.3.1] rollout by ci",
        "-1 cart Flag [on] new-cart",
        "-20 mail Deploy [4f2a91c] Release 77",
        "-20 pay Deploy [4f2a91c] Release 77",
        "-30 pay Scale [] replicas 3 -> 5",
    ];
    let skipped = [
        "changes.json, change 5: changes skipped: they have no readable time; write one as `time`, in RFC 3339 or as a Unix time",
        "changes.json, change 6: changes skipped: a change must be an object with a time",
    ];
    check_changes("changes.json", Format::ChangesJson, &json, &skipped);
    let csv = ["-5 pay Deploy [2.3.1] rollout, by ci", "-4 - Config [] pool size 10 to 5"];
    let skipped = [
        "changes.csv, line 4: changes skipped: they have no readable time; write one as `time`, in RFC 3339 or as a Unix time",
    ];
    check_changes("changes.csv", Format::ChangesCsv, &csv, &skipped);
    let lines = "{\"time\":\"2026-03-02T09:55:00Z\",\"service\":\"pay\",\"version\":\"2\"}\n{\"time\":\"2026-03-02T09:56:00Z\",\"service\":\"pay\",\"image\":\"pay:3\"}\n";
    let telemetry = read_bytes(Path::new("x"), lines.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!(changes(&telemetry), ["-5 pay Deploy [2] ", "-4 pay Deploy [pay:3] "]);
}

/// What a file holds whose flag says what is expected of it.
fn read_as(expected: Expected, name: &str, text: &str) -> Telemetry {
    let options = ReadOptions { expected: Some(expected), ..ReadOptions::default() };
    read_bytes(Path::new(name), text.as_bytes(), &options).unwrap()
}

#[test]
fn the_flag_decides_between_changes_and_logs() {
    let changes_of = |text: &str| read_as(Expected::Changes, "f", text);
    let short = changes_of(r#"[{"time":"2026-03-02 09:55:00","service":"pay"}]"#);
    assert_eq!(changes(&short), ["-5 pay Other [] "]);
    assert_eq!(warnings(&short), ["f, line 1, change 1: times of changes name no zone and are read as UTC"]);

    let ambiguous = r#"[{"timestamp":1772445300,"app":"pay","message":"x"}]"#;
    assert_eq!(changes(&changes_of(ambiguous)), ["-5 pay Other [] x"]);
    let logs = read_as(Expected::Logs, "f", ambiguous);
    assert_eq!((logs.logs.len(), logs.changes.len()), (1, 0));
    // A record whose content alone tells neither.
    let versioned = r#"{"time":1772445300,"service":"pay","version":"2","text":"x"}"#;
    assert!(read_bytes(Path::new("f"), versioned.as_bytes(), &ReadOptions::default()).is_err());
    assert_eq!(read_as(Expected::Logs, "f", versioned).logs.len(), 1);
    let table = "time,service,message\n1772445300,pay,x\n";
    assert_eq!(changes(&changes_of(table)), ["-5 pay Other [] x"]);
    assert_eq!(read_as(Expected::Logs, "f", table).logs.len(), 1);

    // What can be no other thing stays what it is; what is nothing is told with what is expected.
    assert_eq!(changes_of(r#"{"resourceSpans":[]}"#).files[0].format, Format::OtlpJson);
    let options = ReadOptions { expected: Some(Expected::Logs), ..ReadOptions::default() };
    let error = read_bytes(Path::new("f"), br#"{"colour":"red"}"#, &options).unwrap_err().to_string();
    assert!(error.contains("a time, a message and a service") && !error.contains("span-columns"), "{error}");
}

#[test]
fn a_bad_change_costs_only_itself() {
    let good = r#"{"time":"2026-03-02T09:55:00Z","service":"pay","version":"2"}"#;
    let bad = [
        (r#"{"service":"pay","version":"2"}"#, "they have no readable time; write one"),
        (r#"{"time":"yesterday","service":"pay","version":"2"}"#, "they have no readable time; write one"),
        (r#"{"time":"2026-03-02T09:55:00Z"}"#, "they tell nothing but a time; write what was changed"),
        ("7", "a change must be an object with a time"),
    ];
    for (entry, problem) in bad {
        for (list, place) in [(format!("[{entry},{good}]"), 1), (format!("[{good},{entry}]"), 2)] {
            let telemetry = read_as(Expected::Changes, "f", &list);
            assert_eq!(changes(&telemetry), ["-5 pay Deploy [2] "], "{list}");
            assert_eq!(telemetry.skipped, 1, "{list}");
            let told = format!("f, line 1, change {place}: changes skipped: {problem}");
            assert!(warnings(&telemetry)[0].starts_with(&told), "{:?}", warnings(&telemetry));
        }
    }
    // Without a flag the first good entry tells what the list is.
    let list = format!("[{},{good}]", bad[0].0);
    assert_eq!(read_bytes(Path::new("f"), list.as_bytes(), &ReadOptions::default()).unwrap().changes.len(), 1);
}

#[test]
fn changes_as_programs_list_them() {
    let alert =
        "annotations.json, change 2: annotations that tell the state of an alert are no changes and are passed over";
    check_changes("annotations.json", Format::ChangesJson, &["-5 pay Deploy [] pay 2.3.1"], &[alert]);
    let github = ["-5 pay Deploy [a84d88e7554fc1fa21bcbc4efae3c782a70d2b9d] Deploy request from hubot"];
    check_changes("deployments.json", Format::ChangesJson, &github, &[]);
    check_changes(
        "argocd.json",
        Format::ChangesJson,
        &["-1560 pay Deploy [0a1b2c3] main", "-5 pay Deploy [4f2a91c] main"],
        &[],
    );
}

/// A small shop for ten minutes: at ten o'clock `pay` begins to fail, five minutes after a deploy.
fn shop(hostile: bool) -> Telemetry {
    let mut spans = String::from("trace_id,span_id,parent_id,service,name,kind,status,start_time_ns,duration_ns\n");
    let mut logs = String::new();
    for i in 0..900_i64 {
        let at = TEN + (i - 600) * NANOS_PER_SECOND;
        let failing = i >= 600;
        let status = if failing { "Error" } else { "Ok" };
        for (id, parent, service, kind, start, length) in
            [(1, 0, "web", "server", 0, 90), (2, 1, "web", "client", 5, 80), (3, 2, "pay", "server", 10, 70)]
        {
            let parent = if parent == 0 { String::new() } else { format!("{:016x}", i * 8 + parent + 8) };
            let (start, length) = (at + start * 1_000_000, length * 1_000_000);
            spans.push_str(&format!(
                "{:032x},{:016x},{parent},{service},op,{kind},{status},{start},{length}\n",
                i + 1,
                i * 8 + id + 8
            ));
        }
        let trace = format!("{:032x}", i + 1);
        let mut line = |service: &str, level: &str, message: &str| {
            let record = serde_json::json!({
                "time": at / 1_000_000, "level": level, "service": service, "message": message, "trace_id": trace,
            });
            logs.push_str(&format!("{record}\n"));
        };
        line("web", "info", &format!("GET /pay/{i} 200"));
        line("pay", "info", &format!("charging order {i}"));
        if failing {
            let evil = if hostile { "\u{1b}[31m<script>|`x`" } else { "" };
            line("pay", "error", &format!("charge of order {i} failed: ledger is read-only{evil}"));
        }
    }
    let deploys = r#"[{"time":"2026-03-02T09:56:00Z","service":"pay","type":"deploy","version":"2.3.1","description":"rollout by ci"},
        {"time":"2026-03-02T01:00:00Z","service":"web","type":"deploy","version":"9"}]"#;
    let mut telemetry = Telemetry::default();
    for (name, text) in [("spans.csv", spans.as_str()), ("logs.json", logs.as_str()), ("changes.json", deploys)] {
        telemetry.append(read_bytes(Path::new(name), text.as_bytes(), &ReadOptions::default()).unwrap());
    }
    telemetry
}

fn diagnose(telemetry: Telemetry) -> Diagnosis {
    let request = Request {
        name: "shop".into(),
        window: Window::new(TEN, TEN + 300 * NANOS_PER_SECOND).unwrap(),
        baselines: vec![Window::new(TEN - 600 * NANOS_PER_SECOND, TEN - 60 * NANOS_PER_SECOND).unwrap()],
        entry: None,
        symptom: None,
    };
    analyze(&assemble(telemetry, request).unwrap(), &Settings::default())
}

fn written(diagnosis: &Diagnosis, format: report::Format) -> String {
    let mut out = Vec::new();
    report::write(diagnosis, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const TEXT: report::Format = report::Format::Text { colour: false, width: 100 };

#[test]
fn the_report_shows_the_new_error_and_the_deploy() {
    let diagnosis = diagnose(shop(false));
    assert_eq!(diagnosis.causes[0].candidate.suspect.service().as_str(), "pay");
    let [line] = diagnosis.logs.as_slice() else { panic!("{:?}", diagnosis.logs) };
    assert_eq!(line.template, "charge of order <*> failed: ledger is read-only");
    assert_eq!((line.baseline_records, line.incident_records), (0, 300));
    let [change] = diagnosis.changes.as_slice() else { panic!("{:?}", diagnosis.changes) };
    assert!(change.at_cause && change.change.version == "2.3.1");

    let text = written(&diagnosis, TEXT);
    for part in [
        "New or more frequent in the logs\n  pay · error · new: 300 records (1/s)\n      charge of order <*> failed: ledger is read-only\n      trace 00000000000000000000000000000259\n",
        "What was changed\n▶ 2026-03-02T09:56:00Z  pay: deploy of 2.3.1: rollout by ci\n      at the cause; changed 4 min before the incident began\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    let markdown = written(&diagnosis, report::Format::Markdown);
    for part in [
        "| pay | error | new: 300 records (1/s) | charge of order &lt;\\*&gt; failed: ledger is read-only | `00000000000000000000000000000259` |",
        "| 2026-03-02T09:56:00Z | **pay** (the cause) | deploy of 2.3.1: rollout by ci | changed 4 min before the incident began |",
    ] {
        assert!(markdown.contains(part), "{part}\nis not in\n{markdown}");
    }
    let json: serde_json::Value = serde_json::from_str(&written(&diagnosis, report::Format::Json)).unwrap();
    assert_eq!(json["logs"][0]["template"], "charge of order <*> failed: ledger is read-only");
    assert_eq!(json["changes"][0]["seconds_after_start"], -240.0);
}

#[test]
fn hostile_log_text_is_escaped_everywhere() {
    let diagnosis = diagnose(shop(true));
    assert!(diagnosis.logs[0].template.contains('\u{1b}'));
    let text = written(&diagnosis, TEXT);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    let markdown = written(&diagnosis, report::Format::Markdown);
    assert!(!markdown.contains("<script") && !markdown.contains("`x`"));
}

#[test]
fn without_logs_and_changes_the_sections_are_not_there() {
    let mut telemetry = shop(false);
    telemetry.logs = hypocenter::telemetry::logs::LogTable::default();
    telemetry.changes.clear();
    let text = written(&diagnose(telemetry), TEXT);
    assert!(!text.contains("in the logs") && !text.contains("What was changed"));
}

/// All logs of the Nezha recordings, if they are there. Prints the throughput.
#[test]
fn the_logs_of_real_recordings_are_read_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets/nezha");
    if !root.is_dir() {
        return eprintln!("skipped: {} is not there", root.display());
    }
    let pattern = root.join("*/*/log/*.csv.zst");
    let started = Instant::now();
    let telemetry = read_paths(&[pattern], &ReadOptions::default(), &|_| {}).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let logs = &telemetry.logs;
    eprintln!(
        "{} files, {} records, {} services, {} masked messages in {seconds:.2} s, {} skipped",
        telemetry.files.len(),
        logs.len(),
        logs.services().len(),
        logs.messages().len(),
        telemetry.skipped,
    );
    for warning in telemetry.warnings.iter().take(5) {
        eprintln!("{warning}");
    }
    assert!(telemetry.files.iter().all(|file| file.format == Format::LogCsv));
    // Python's csv module counts 191 776 rows in these 96 files, one of them with ten cells instead of eight.
    assert_eq!((telemetry.files.len(), logs.len(), telemetry.skipped), (96, 191_775, 1));
}
