//! RCAEval's layouts in small, made by hand: what is a case, what is read of it, and what is said where something is wrong.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hypocenter::analysis::{Detected, Settings};
use hypocenter::assemble::{Request, assemble};
use hypocenter::eval::recorded::RecordedCase;
use hypocenter::eval::run::evaluate;
use hypocenter::eval::{DatasetFormat, cases};
use hypocenter::ingest::Telemetry;
use hypocenter::rank::hypocenter::Hypocenter;
use hypocenter::telemetry::series::{Series, Signal, Statistic, Unit};
use hypocenter::telemetry::span::SpanStatus;
use hypocenter::telemetry::time::{NANOS_PER_SECOND, Window};

/// Unix seconds of every injection here.
const INJECTION: i64 = 1_700_000_000;
/// Seconds that are recorded before and after it.
const SIDE: i64 = 720;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("the files of a dataset lie in folders")).expect("it can be made");
    fs::write(path, text).expect("it can be written");
}

/// A wide table with a row a second around the injection; the cells of a row follow from its second.
fn table(header: &str, cells: impl Fn(i64) -> String) -> String {
    (INJECTION - SIDE..INJECTION + SIDE).fold(format!("{header}\n"), |mut text, at| {
        writeln!(text, "{at},{}", cells(at)).expect("text takes text");
        text
    })
}

/// A value that goes up and down and never repeats in step with the others.
fn wave(at: i64, salt: i64) -> f64 {
    ((at * (7 + 2 * salt) + salt * 13) % 17) as f64 / 17.0
}

fn during(at: i64, value: f64) -> f64 {
    if at >= INJECTION { value } else { 0.0 }
}

/// Three services of which `cart-service` uses more processor from the injection on; its caller is slow with it.
fn simple(at: i64) -> String {
    let mut row = Vec::new();
    for (salt, cpu, slow) in [(1, 0.0, 0.3), (2, 60.0, 0.25), (3, 0.0, 0.0)] {
        let cpu = 8.0 + wave(at, salt) + during(at, cpu);
        let latency = 0.05 + 0.01 * wave(at, salt + 3) + during(at, slow);
        row.push(format!("{cpu},{},{latency},{}", 2e8 + 1e6 * wave(at, salt + 6), 40.0 + 4.0 * wave(at, salt + 9)));
    }
    row.join(",")
}

const SIMPLE: &str = "time,front_cpu,front_mem,front_latency-90,front_workload,cart-service_cpu,cart-service_mem,\
                      cart-service_latency-90,cart-service_workload,order_service_cpu,order_service_mem,\
                      order_service_latency-90,order_service_workload";

fn case(dir: &Path, folder: &str, metrics: &str, text: &str) {
    write(&dir.join(folder).join("inject_time.txt"), &format!("{INJECTION}\n"));
    write(&dir.join(folder).join(metrics), text);
}

fn found(dir: &Path) -> Vec<RecordedCase> {
    cases(dir, DatasetFormat::RcaEval, 0).expect("there are cases")
}

fn load(case: &RecordedCase) -> (Telemetry, Request) {
    (case.load)().expect(&case.id)
}

fn series<'t>(telemetry: &'t Telemetry, service: &str, name: &str) -> &'t Series {
    let is = |s: &&Series| s.subject.service().as_str() == service && s.name == name;
    telemetry.series.iter().find(is).expect(name)
}

fn names(telemetry: &Telemetry) -> Vec<String> {
    telemetry.series.iter().map(|s| format!("{} {}", s.subject, s.name)).collect()
}

fn seconds(window: &Window) -> (i64, i64) {
    (window.start_ns() / NANOS_PER_SECOND - INJECTION, window.end_ns() / NANOS_PER_SECOND - INJECTION)
}

/// The chain of causes of the error of the only case, as the table of cases shows it.
fn failure(dir: &Path) -> String {
    let evaluation = evaluate("test", &found(dir), &["hypocenter"], &Settings::default(), &|_| {});
    assert_eq!((evaluation.cases.len(), evaluation.methods[0].failures), (1, 1));
    evaluation.cases[0].error.clone().expect("the case failed")
}

#[test]
fn a_whole_download_and_one_system_are_both_datasets() {
    let dir = tempfile::tempdir().unwrap();
    let text = table(SIMPLE, simple);
    case(dir.path(), "RE1/RE1-OB/cart-service_cpu/1", "data.csv", &text);
    case(dir.path(), "RE1/RE1-OB/cart-service_cpu/2", "data.csv", &text);
    case(dir.path(), "RE3/RE3-TT/order_service_f4/1", "simple_metrics.csv", &text);
    case(dir.path(), "RE3/multi-source-data", "simple_metrics.csv", &text);
    case(dir.path(), "flat/re2ss_carts_socket_3", "metrics.csv", &text);
    write(&dir.path().join("RE1/README.md"), "no case");
    let told = |dir: &Path| -> Vec<String> {
        found(dir).iter().map(|c| format!("{} | {} | {} | {}", c.id, c.system, c.fault_kind, c.truth())).collect()
    };
    assert_eq!(
        told(dir.path()),
        [
            "RE1/RE1-OB/cart-service_cpu/1 | RE1-OB | cpu | cart-service",
            "RE1/RE1-OB/cart-service_cpu/2 | RE1-OB | cpu | cart-service",
            "RE3/RE3-TT/order_service_f4/1 | RE3-TT | f4 | order_service",
            "flat/re2ss_carts_socket_3 | re2ss | socket | carts",
        ]
    );
    assert_eq!(
        told(&dir.path().join("RE1/RE1-OB")),
        ["cart-service_cpu/1 | RE1-OB | cpu | cart-service", "cart-service_cpu/2 | RE1-OB | cpu | cart-service",]
    );
}

#[test]
fn ten_minutes_on_either_side_of_the_believed_injection() {
    let dir = tempfile::tempdir().unwrap();
    case(dir.path(), "s/cart-service_cpu/1", "data.csv", &table(SIMPLE, simple));
    for (shift_s, incident, baseline) in
        [(0, (0, 600), (-600, 0)), (60, (60, 660), (-540, 60)), (-60, (-60, 540), (-660, -60))]
    {
        let shifted = cases(dir.path(), DatasetFormat::RcaEval, shift_s * NANOS_PER_SECOND).unwrap();
        let (_, request) = load(&shifted[0]);
        assert_eq!(seconds(&request.window), incident);
        assert_eq!(request.baselines.iter().map(seconds).collect::<Vec<_>>(), [baseline]);
        assert_eq!((request.entry, request.symptom), (None, None), "the tool must find them");
    }
    // What was not recorded did not fall silent.
    let late = cases(dir.path(), DatasetFormat::RcaEval, 300 * NANOS_PER_SECOND).unwrap();
    assert_eq!(seconds(&load(&late[0]).1.window), (300, SIDE));
}

#[test]
fn columns_become_signals_with_units() {
    let dir = tempfile::tempdir().unwrap();
    let header = "time,a_cpu,a_mem,a_latency-50,a_latency-90,a_workload,a_error,a_diskio,a_socket,load-generator_cpu,b_error,time";
    let cells = |at: i64| format!("150,2e8,0.004,0.01,40,0.02,4096,12,20,{},{at}", 3 + at % 2);
    case(dir.path(), "s/a_mem/1", "simple_metrics.csv", &table(header, cells));
    let (telemetry, _) = load(&found(dir.path())[0]);
    let told: Vec<_> = telemetry
        .series
        .iter()
        .map(|s| (s.subject.to_string(), s.name.clone(), s.signal, s.statistic, s.unit, s.samples[0].1))
        .collect();
    let row = |service: &str, name: &str, signal, statistic, unit, value| {
        (service.to_owned(), name.to_owned(), signal, statistic, unit, value)
    };
    let (mean, quantile) = (Statistic::Mean, Statistic::Quantile);
    let mut expected = vec![
        row("a", "cpu", Signal::Cpu, mean, Unit::Cores, 1.5),
        row("a", "mem", Signal::Memory, mean, Unit::Bytes, 2e8),
        row("a", "latency-50", Signal::Latency, quantile(0.5), Unit::Seconds, 0.004),
        row("a", "latency-90", Signal::Latency, quantile(0.9), Unit::Seconds, 0.01),
        row("a", "workload", Signal::Requests, mean, Unit::PerSecond, 40.0),
        row("a", "error", Signal::ErrorRatio, mean, Unit::Ratio, 0.02),
        row("a", "diskio", Signal::Disk, mean, Unit::BytesPerSecond, 4096.0),
        row("a", "socket", Signal::Sockets, mean, Unit::Count, 12.0),
        row("load-generator", "cpu", Signal::Cpu, mean, Unit::Cores, 0.2),
        // More than one failure a second is no share, and of what is not known.
        row("b", "error", Signal::Other, mean, Unit::None, 3.0),
    ];
    let by_name = |a: &(String, String, Signal, Statistic, Unit, f64),
                   b: &(String, String, Signal, Statistic, Unit, f64)| {
        (&a.0, &a.1).cmp(&(&b.0, &b.1))
    };
    let mut told = told;
    told.sort_by(by_name);
    expected.sort_by(by_name);
    assert_eq!(told, expected);
    let again = telemetry.warnings.iter().find(|w| w.message.contains("more than once")).expect("it is said");
    assert_eq!((again.place.as_str(), again.affected), ("column `time`", 1));
}

#[test]
fn failures_per_second_become_shares_of_the_requests() {
    let dir = tempfile::tempdir().unwrap();
    case(
        dir.path(),
        "s/a_f1/1",
        "data.csv",
        &table("time,a_error,a_workload", |at| format!("{},40", 4.0 + wave(at, 1))),
    );
    let (telemetry, _) = load(&found(dir.path())[0]);
    let error = series(&telemetry, "a", "error");
    assert_eq!((error.signal, error.unit), (Signal::ErrorRatio, Unit::Ratio));
    assert!(error.samples.iter().all(|s| (0.1..0.126).contains(&s.1)));
}

#[test]
fn gaps_infinite_values_and_numbered_repeats_of_the_time_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let cells = |at: i64| match at % 4 {
        0 => format!(",{at},inf"),
        1 => format!("nan,{at},1"),
        _ => format!("5,{at},2"),
    };
    case(dir.path(), "s/a_cpu/1", "data.csv", &table("time,a_cpu,time.1,b_cpu", cells));
    let (telemetry, _) = load(&found(dir.path())[0]);
    assert_eq!(names(&telemetry), ["a cpu", "b cpu"]);
    let (half, quarter) = (SIDE as usize, SIDE as u64 / 2);
    assert_eq!(series(&telemetry, "a", "cpu").samples.len(), half, "empty cells and NaN are gaps");
    assert_eq!(series(&telemetry, "b", "cpu").samples.len(), half + half / 2);
    let lost =
        telemetry.warnings.iter().filter(|w| w.message.contains("NaN, infinite")).map(|w| w.affected).sum::<u64>();
    assert_eq!(lost, 2 * quarter);
    assert!(telemetry.warnings.iter().any(|w| w.message.contains("more than once")));
}

#[test]
fn counters_become_rates_and_rates_under_a_counters_name_stay() {
    let dir = tempfile::tempdir().unwrap();
    let header = "time,a_container-cpu-usage-seconds-total,b_container-cpu-usage-seconds-total,c_container-cpu-usage-seconds-total,\
                  a_istio-latency-90,b_istio-request-total,a_container-memory-working-set-bytes";
    // A counter of half a core, the rate of one, and one that stands still.
    let cells = |at: i64| {
        let since = at - INJECTION + SIDE;
        format!("{},{},7,0.25,{},1e8", since as f64 * 0.5, 0.5 + 0.1 * wave(at, 2), 30.0 + wave(at, 3))
    };
    case(dir.path(), "s/a_cpu/1", "data.csv", &table(header, cells));
    let (telemetry, _) = load(&found(dir.path())[0]);
    let of = |service: &str, signal: Signal| {
        let is = |s: &&Series| s.subject.service().as_str() == service && s.signal == signal;
        let one = telemetry.series.iter().find(is).unwrap_or_else(|| panic!("{service} {signal:?}"));
        (one.unit, one.samples[0].1)
    };
    let (unit, rate) = of("a", Signal::Cpu);
    assert!(unit == Unit::Cores && (rate - 0.5).abs() < 1e-9, "{rate}");
    let (unit, level) = of("b", Signal::Cpu);
    assert!(unit == Unit::Cores && (0.5..0.6).contains(&level), "{level}");
    assert_eq!(of("c", Signal::Cpu), (Unit::Cores, 7.0), "a constant");
    assert_eq!(of("a", Signal::Latency), (Unit::Seconds, 0.25));
    assert_eq!(of("b", Signal::Requests).0, Unit::PerSecond);
    assert_eq!(of("a", Signal::Memory), (Unit::Bytes, 1e8));
}

#[test]
fn the_table_of_the_published_figures_is_read_compressed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let constant = |name: &str| table(&format!("time,{name}_cpu"), |_| "1".to_owned());
    case(dir.path(), "s/a_cpu/1", "data.csv", &constant("whole"));
    write(&dir.path().join("s/a_cpu/1/simple_data.csv"), &constant("short"));
    let zipped = zstd::encode_all(constant("zipped").as_bytes(), 1).unwrap();
    case(dir.path(), "s/a_cpu/2", "metrics.csv", &constant("whole"));
    fs::write(dir.path().join("s/a_cpu/2/simple_metrics.csv.zst"), zipped).unwrap();
    let found = found(dir.path());
    assert_eq!(names(&load(&found[0]).0), ["short cpu"]);
    assert_eq!(names(&load(&found[1]).0), ["zipped cpu"]);
}

/// Jaeger's documents as a table: both starts, durations in microseconds, gRPC's and HTTP's codes.
#[test]
fn spans_and_logs_beside_the_metrics_are_read() {
    let dir = tempfile::tempdir().unwrap();
    case(dir.path(), "RE2-OB/cart-service_delay/1", "simple_metrics.csv", &table(SIMPLE, simple));
    let us = INJECTION * 1_000_000;
    let spans = format!(
        "time,traceID,spanID,serviceName,methodName,operationName,startTimeMillis,startTime,duration,statusCode,parentSpanID\n\
         a,0af7651916cd43dd8448eb211c80319c,00f067aa0ba902b7,front,,/cart,{0},{1},28160,200.0,\n\
         a,0af7651916cd43dd8448eb211c80319c,00f067aa0ba902b8,cart-service,GetCart,hipstershop/GetCart,{0},{1},1500,13,00f067aa0ba902b7\n\
         a,0af7651916cd43dd8448eb211c80319d,00f067aa0ba902b9,front,,/pay,{0},{1},99,503,\n\
         a,0af7651916cd43dd8448eb211c80319e,00f067aa0ba902ba,front,,/gone,{0},{1},99,,\n",
        us / 1000,
        us + 7
    );
    let folder = dir.path().join("RE2-OB/cart-service_delay/1");
    write(&folder.join("traces.csv"), &spans);
    let logs = format!(
        "time,timestamp,container_name,message,level\n\
         22:13,{0}000,cart-service,cannot reach the store,error\n\
         22:13,{0}000,front,\"GET /cart, 200\",info\n",
        us
    );
    write(&folder.join("logs.csv"), &logs);
    write(&folder.join("logts.csv"), "time,front_1\n1,2\n");
    write(&folder.join("cluster_info.json"), "{}");
    let (telemetry, _) = load(&found(dir.path())[0]);
    let spans = &telemetry.spans;
    assert_eq!(spans.start_ns, [(us + 7) * 1000; 4], "the exact start, not the one in milliseconds");
    assert_eq!(spans.duration_ns, [28_160_000, 1_500_000, 99_000, 99_000]);
    let status = [SpanStatus::Unset, SpanStatus::Error, SpanStatus::Error, SpanStatus::Unset];
    assert_eq!(spans.status, status, "HTTP 200, gRPC INTERNAL, HTTP 503, none");
    assert_eq!(telemetry.logs.len(), 2);
    assert_eq!(telemetry.logs.at_ns, [us * 1000; 2]);
    assert_eq!(telemetry.files.len(), 3, "what was made from these is not read: {:?}", telemetry.files);
    assert_eq!(telemetry.skipped, 0, "{:?}", telemetry.warnings);
}

#[test]
fn the_start_in_milliseconds_alone_does_not_stretch_durations() {
    let dir = tempfile::tempdir().unwrap();
    case(dir.path(), "s/a_delay/1", "data.csv", &table(SIMPLE, simple));
    let spans = format!(
        "traceID,spanID,serviceName,operationName,startTimeMillis,duration,parentSpanID\n\
         0af7651916cd43dd8448eb211c80319c,00f067aa0ba902b7,a,/x,{},28160,\n",
        INJECTION * 1000
    );
    write(&dir.path().join("s/a_delay/1/traces.csv"), &spans);
    let (telemetry, _) = load(&found(dir.path())[0]);
    assert_eq!(
        (telemetry.spans.start_ns[0], telemetry.spans.duration_ns[0]),
        (INJECTION * NANOS_PER_SECOND, 28_160_000)
    );
}

#[test]
fn metrics_alone_are_enough_to_find_a_busy_service() {
    let dir = tempfile::tempdir().unwrap();
    case(dir.path(), "RE1-OB/cart-service_cpu/1", "data.csv", &table(SIMPLE, simple));
    for shift_s in [-60, 0, 60] {
        let shifted = cases(dir.path(), DatasetFormat::RcaEval, shift_s * NANOS_PER_SECOND).unwrap();
        let (telemetry, request) = load(&shifted[0]);
        let incident = assemble(telemetry, request).unwrap();
        let settings = Settings::default();
        let ranking = Detected::of(&incident, &settings).ranking(&Hypocenter { fusion: settings.fusion });
        assert_eq!(ranking.candidates[0].suspect.service().as_str(), "cart-service", "shift {shift_s} s");
    }
}

#[test]
fn what_is_wrong_is_said_with_the_file_and_fails_one_case_only() {
    let broken = |files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&dir.path().join("s/a_cpu/1").join(name), text);
        }
        failure(dir.path())
    };
    let at = INJECTION.to_string();
    let rows = format!("time,a_cpu\n{},1\n{},2\n", INJECTION - 9, INJECTION - 5);
    for (files, parts) in [
        (vec![("inject_time.txt", "soon\n"), ("data.csv", rows.as_str())], ["inject_time.txt", "`soon` is not a time"]),
        (vec![("inject_time.txt", ""), ("data.csv", rows.as_str())], ["inject_time.txt", "Unix seconds"]),
        (
            vec![("inject_time.txt", at.as_str())],
            ["a_cpu/1", "no table of metrics; expected one of simple_metrics.csv"],
        ),
        (vec![("inject_time.txt", at.as_str()), ("data.csv", "")], ["a_cpu/1", "no table of metrics"]),
        (vec![("inject_time.txt", at.as_str()), ("data.csv", rows.as_str())], ["data.csv", "end before the injection"]),
        (vec![("inject_time.txt", at.as_str()), ("data.csv", "time,a_cpu\n")], ["data.csv", "with values"]),
        (vec![("inject_time.txt", at.as_str()), ("data.csv", "when,what\nnoon,tea\n")], ["data.csv", ""]),
    ] {
        let message = broken(&files);
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
    let empty = tempfile::tempdir().unwrap();
    let error = cases(empty.path(), DatasetFormat::RcaEval, 0).err().expect("there is nothing").to_string();
    assert!(error.contains("no case of format rcaeval") && error.contains("inject_time.txt"), "{error}");
}
