//! Metrics, call graphs and alerts: every accepted shape and every message, values worked out by hand, damaged files.

use std::path::{Path, PathBuf};

use hypocenter::ingest::{Format, IngestError, ReadOptions, Telemetry, read_bytes, read_paths};
use hypocenter::telemetry::alert::Symptom;
use hypocenter::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use hypocenter::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};
use proptest::prelude::*;

const S: i64 = 1_000_000_000;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics").join(name)
}

fn read(name: &str) -> Telemetry {
    read_paths(&[fixture(name)], &ReadOptions::default(), &|_| {}).expect("a known format")
}

fn text(name: &str, text: &str) -> Telemetry {
    read_bytes(Path::new(name), text.as_bytes(), &ReadOptions::default()).expect("a known format")
}

/// Warnings without the folder of the fixtures.
fn warnings(telemetry: &Telemetry) -> Vec<String> {
    let folder = format!("{}/", fixture("").display().to_string().trim_end_matches('/'));
    telemetry.warnings.iter().map(|w| w.to_string().replace(&folder, "")).collect()
}

/// Series as text: subject, signal, name, statistic, unit, then time in seconds and value.
fn shown(telemetry: &Telemetry) -> Vec<String> {
    telemetry.series.iter().map(show).collect()
}

fn show(series: &Series) -> String {
    let samples: Vec<String> = series
        .samples
        .iter()
        .map(|(at, value)| format!("{}={}", *at as f64 / 1e9, (value * 1e9).round() / 1e9))
        .collect();
    let statistic = match series.statistic {
        Statistic::Quantile(q) => format!("p{}", (q * 100.0).round()),
        other => format!("{other:?}"),
    };
    let Series { subject, signal, name, unit, .. } = series;
    format!("{subject} {signal:?} {name} {statistic} {unit:?} {}", samples.join(" "))
}

fn service(name: &str) -> Subject {
    Subject::Service(name.into())
}

#[test]
fn which_of_two_files_is_read_first_decides_nothing() {
    let texts = ["# TYPE a gauge\na{job=\"b\"} 1 10\na{job=\"b\"} 5 20\n", "a{job=\"b\"} 2 10\na{job=\"b\"} 3 20\n"];
    let read = |names: [&str; 2]| {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in names.iter().zip(texts) {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        read_paths(&[folder.path().to_owned()], &ReadOptions::default(), &|_| {}).expect("a known format")
    };
    let expected = ["b Other a Mean None 10=2 20=5"];
    assert_eq!(shown(&read(["1.om", "2.om"])), expected);
    assert_eq!(shown(&read(["2.om", "1.om"])), expected);
}

#[test]
fn counters_become_rates_and_containers_are_summed_once() {
    let telemetry = read("container_cpu_usage_seconds_total.json");
    // 30 s: (15 + 3) / 30; then a reset of `server` to 3: (3 + 3) / 30; the pod's own total must not count again; the
    // NaN is a gap, bridged because it is shorter than five steps: 6 / 60.
    assert_eq!(
        shown(&telemetry),
        [
            "cart-579f59597d-wc2lz Cpu container_cpu_usage_seconds_total Mean Cores 1661255990=0.6 1661256020=0.2 1661256080=0.1"
        ]
    );
    assert_eq!(telemetry.series[0].subject.service().as_str(), "cart");
    assert_eq!(
        warnings(&telemetry),
        [
            "container_cpu_usage_seconds_total.json: prometheus says: PromQL warning: partial data",
            "container_cpu_usage_seconds_total.json: prometheus says: PromQL info: metric might not be a counter",
            "container_cpu_usage_seconds_total.json, series `container_cpu_usage_seconds_total`: samples that are NaN, \
             infinite or marked stale count as gaps",
            "container_cpu_usage_seconds_total.json, series `container_cpu_usage_seconds_total`: cAdvisor's series of the \
             machine and of groups of containers are not used: they name no container",
        ]
    );
    assert_eq!(telemetry.files[0].format, Format::PrometheusRange);
    assert_eq!((telemetry.files[0].series, telemetry.skipped), (4, 0));
}

#[test]
fn the_result_of_an_expression_is_named_by_its_file() {
    let telemetry = read("p99_latency_seconds.json");
    assert_eq!(
        shown(&telemetry),
        [
            "cart Latency p99_latency_seconds p99 Seconds 1661255960.5=0.125",
            "checkout Latency p99_latency_seconds p99 Seconds 1661255960.5=0.25 1661256020.5=0.5",
        ]
    );
    assert!(warnings(&telemetry).contains(
        &"p99_latency_seconds.json, field `histograms`: native histograms in a file that is named after one quantile are \
          not read; name the file after what is measured"
            .to_owned()
    ));
}

#[test]
fn service_graph_metrics_become_edges_with_rates_errors_latency_and_gap() {
    let telemetry = read("service_graph.json");
    let edge = |caller: &str, callee: &str, callee_kind, mode| GivenEdge {
        caller: caller.into(),
        callee: callee.into(),
        callee_kind,
        mode,
    };
    assert_eq!(
        telemetry.given_edges,
        [
            edge("cart", "pay.example.com", NodeKind::External, EdgeMode::Sync),
            edge("cart", "redis-cart", NodeKind::Database, EdgeMode::Sync),
            edge("cart", "shipping", NodeKind::Service, EdgeMode::Async),
            edge("web", "cart", NodeKind::Service, EdgeMode::Sync),
        ]
    );
    let of_edge: Vec<String> = shown(&telemetry).into_iter().filter(|s| s.starts_with("web → cart")).collect();
    // Client: 20/100 and 40/100 s; server: 15/100 and 10/100 s; failed: 5/100 and 25/100.
    assert_eq!(
        of_edge,
        [
            "web → cart Requests traces_service_graph_request_total Mean PerSecond 1661255970=10 1661255980=10",
            "web → cart ErrorRatio traces_service_graph_request_total Mean Ratio 1661255970=0.05 1661255980=0.25",
            "web → cart Latency traces_service_graph_request_client_seconds Mean Seconds 1661255970=0.2 1661255980=0.4",
            "web → cart Latency traces_service_graph_request_server_seconds Mean Seconds 1661255970=0.15 1661255980=0.1",
            "web → cart NetworkGap traces_service_graph_request_client_less_server_seconds Mean Seconds \
             1661255970=0.05 1661255980=0.3",
        ]
    );
    // What all callers ask of a service, by its own clock, is what the service does.
    let of_callee: Vec<String> =
        shown(&telemetry).into_iter().filter(|s| s.starts_with("cart ") && s.contains("ncy traces")).collect();
    assert_eq!(
        of_callee,
        ["cart Latency traces_service_graph_request_server_seconds Mean Seconds 1661255970=0.15 1661255980=0.1"]
    );
    // The caller from outside is no service: what it saw is the entry's own.
    assert!(
        shown(&telemetry)
            .contains(&"web Requests traces_service_graph_request_total Mean PerSecond 1661255970=3".to_owned())
    );
    // Failures were recorded, so that an edge without them had none.
    assert!(shown(&telemetry).contains(
        &"cart → redis-cart ErrorRatio traces_service_graph_request_total Mean Ratio 1661255970=0".to_owned()
    ));
}

#[test]
fn span_metrics_become_service_and_operation_series() {
    let telemetry = read("spanmetrics.om");
    assert_eq!(telemetry.files[0].format, Format::OpenMetrics);
    let duration = "traces_span_metrics_duration_milliseconds";
    let calls = "traces_span_metrics_calls_total";
    // Quantiles: ranks 6, 10.8 and 11.88 of 12 in 5, 7, 11, 12 at 0.1, 0.2, 1 s, open.
    // 0.1 + 0.1 * 1/2; 0.2 + 0.8 * 3.8/4; the open bucket gives 1.
    assert_eq!(
        shown(&telemetry),
        [
            format!("cart Requests {duration}_count Mean PerSecond 1661255970=1.2"),
            format!("cart Latency {duration} Mean Seconds 1661255970=0.25"),
            format!("cart Latency {duration} p50 Seconds 1661255970=0.15"),
            format!("cart Latency {duration} p90 Seconds 1661255970=0.96"),
            format!("cart Latency {duration} p99 Seconds 1661255970=1"),
            format!("checkout Requests {calls} Mean PerSecond 1661255970=20"),
            format!("checkout ErrorRatio {calls} Mean Ratio 1661255970=0.05"),
            format!("checkout GET /ok Requests {calls} Mean PerSecond 1661255970=10"),
            format!("checkout GET /ok ErrorRatio {calls} Mean Ratio 1661255970=0"),
            format!("checkout POST /buy Requests {calls} Mean PerSecond 1661255970=10"),
            format!("checkout POST /buy ErrorRatio {calls} Mean Ratio 1661255970=0.1"),
        ]
    );
    assert_eq!(
        warnings(&telemetry),
        [
            "spanmetrics.om, series `traces_span_metrics_calls_total`: series of client, producer and internal spans are \
             not used: they would count a request twice",
        ]
    );
}

#[test]
fn the_classic_format_keeps_what_it_can_and_says_what_it_cannot() {
    let telemetry = read("classic.prom");
    assert_eq!(
        shown(&telemetry),
        [
            "shop/cart Other go_gc_duration_seconds p50 Seconds 1661255960=0.001",
            "shop/cart Other queue_jobs_total Mean PerSecond 1661255970=8",
            "10.0.0.7:8080 Memory process_resident_memory_bytes Mean Bytes 1661255960=1048576 1661255970=2097152",
        ]
    );
    assert_eq!(
        warnings(&telemetry),
        [
            "classic.prom, line 14: a sample without timestamp cannot be placed in time; record with timestamps \
             (`honor_timestamps`, `promtool tsdb dump-openmetrics`) or ask /api/v1/query_range",
            "classic.prom, line 15: the value is not a number",
            "classic.prom, series `node_load1`: series whose labels name no service are not used; add a label such as \
             `service` or `pod`, or name the one that there is under `[metrics] service_labels` in a settings file (--config)",
        ]
    );
}

#[test]
fn a_long_table_gives_series_by_name_and_labels() {
    let telemetry = read("long.csv");
    assert_eq!(telemetry.files[0].format, Format::SeriesCsv);
    assert_eq!(
        shown(&telemetry),
        [
            "cart Requests http_requests_total Mean PerSecond 1661255970=4",
            "cart Latency latency-90{zone=\"a\"} p90 None 1661255960=0.5",
            "cart Latency latency-90{zone=\"b\"} p90 None 1661255960=0.7",
            "cart Cpu cpu_usage(%){zone=\"a\"} Mean Ratio 1661255960=0.5 1661255970=0.6",
        ]
    );
    assert_eq!(
        warnings(&telemetry),
        [
            "long.csv, line 8, column `time`: the time is neither a Unix time nor RFC 3339",
            "long.csv, line 9, column `value`: the value is not a number",
            "long.csv, line 10: the row has another number of cells than the header (a torn or misquoted line)",
        ]
    );
    assert_eq!(telemetry.skipped, 3);
}

#[test]
fn a_wide_table_has_the_service_in_the_column() {
    let telemetry = read("simple_metrics.csv");
    assert_eq!(
        shown(&telemetry),
        [
            "cart Latency latency-50 p50 None 1661255960=0.01 1661255961=0.02 1661255962=0.03",
            "cart Cpu cpu Mean None 1661255960=0.5 1661255961=0.6",
            "cart Memory mem Mean None 1661255960=1000 1661255962=1200",
            "checkout ErrorRatio error Mean Ratio 1661255960=0 1661255961=0.25 1661255962=1",
            "order_service Requests workload Mean None 1661255960=12 1661255961=13 1661255962=14",
        ]
    );
}

#[test]
fn the_recordings_of_nezha_are_understood() {
    let telemetry = read("adservice-5f6585d649-fnmft_metric.csv");
    let instance = Subject::Instance { service: "adservice".into(), instance: "adservice-5f6585d649-fnmft".to_owned() };
    assert!(telemetry.series.iter().all(|s| s.subject == instance));
    // 19 columns, less the success rate that was not collected.
    assert_eq!(telemetry.series.len(), 18);
    assert_eq!(
        shown(&telemetry)[..6],
        [
            "adservice-5f6585d649-fnmft Requests PodWorkload(Ops) Mean PerSecond 1661255968=4.8 1661256028=4.5",
            "adservice-5f6585d649-fnmft Latency PodServerLatencyP90(s) p90 Seconds 1661255968=0.0187 1661256028=0.0172",
            "adservice-5f6585d649-fnmft Latency PodServerLatencyP95(s) p95 Seconds 1661255968=0.0218 1661256028=0.0211",
            "adservice-5f6585d649-fnmft Latency PodServerLatencyP99(s) p99 Seconds 1661255968=0.0243 1661256028=0.0242",
            "adservice-5f6585d649-fnmft Cpu CpuUsage(m) Mean Cores 1661255968=0.0005 1661256028=0.001",
            "adservice-5f6585d649-fnmft Cpu CpuUsageRate(%) Mean Ratio 1661255968=0.03125 1661256028=0.0375",
        ]
    );
    assert_eq!(
        warnings(&telemetry),
        [
            "adservice-5f6585d649-fnmft_metric.csv, series `PodSuccessRate(%)`: a success rate that is zero throughout was \
          not collected and is not used"
        ]
    );
    let entry = read("front_service.csv");
    assert_eq!(shown(&entry)[0], "frontend ErrorRatio SuccessRate(%) Mean Ratio 1661255968=0 1661256028=0.25");
    assert_eq!(shown(&entry)[1], "frontend Latency LatencyP50(s) p50 Seconds 1661255968=0.1 1661256028=0.2");
    assert_eq!(
        shown(&read("source_50.csv")),
        [
            "frontend → adservice Latency source_50 p50 Seconds 1661255968=0.008 1661256028=0.009",
            "frontend → currencyservice Latency source_50 p50 Seconds 1661255968=0.036 1661256028=0.057",
        ]
    );
    let edges = read("dependency.csv");
    let names: Vec<String> = edges.given_edges.iter().map(|e| format!("{} {}", e.caller, e.callee)).collect();
    assert_eq!(names, ["checkoutservice emailservice", "frontend currencyservice"]);
    assert_eq!(warnings(&edges), ["dependency.csv, line 4: an edge without the name of its caller or callee"]);
}

#[test]
fn petshop_metrics_and_graph() {
    let telemetry = read("petshop_metrics.csv");
    assert_eq!(
        shown(&telemetry),
        [
            "PetSite Requests requests Sum Count 1692608400=488 1692608700=490",
            "PetSite ErrorRatio availability Mean Ratio 1692608400=0.025 1692608700=0.5",
            "PetSite Latency latency Mean Seconds 1692608400=0.1 1692608700=0.2",
            "PetSite Latency latency p99 Seconds 1692608400=0.5",
            "petInfo_AWS::DynamoDB::Table ErrorRatio availability Mean Ratio 1692608400=0",
        ]
    );
    assert_eq!(
        warnings(&telemetry),
        ["petshop_metrics.csv, line 7: the row has another number of cells than the header (a torn or misquoted line)"]
    );
    let graph = read("graph.csv");
    let edges: Vec<String> = graph
        .given_edges
        .iter()
        .map(|e| format!("{} {} {:?} {:?}", e.caller, e.callee, e.callee_kind, e.mode))
        .collect();
    assert_eq!(
        edges,
        [
            "PetSite payforadoption_AWS::ECS::Container Service Sync",
            "PetSite sqs_AWS::SQS::Queue Queue Async",
            "payforadoption_AWS::ECS::Container amazon.com_remote External Sync",
            "payforadoption_AWS::ECS::Container petInfo_AWS::DynamoDB::Table Database Sync",
        ]
    );
    assert_eq!(
        warnings(&graph),
        ["graph.csv, line 4, column `sqs_AWS::SQS::Queue`: the cell is not a number (0 or 1)"]
    );
}

#[test]
fn alerts_give_window_service_symptom_and_expression() {
    let telemetry = read("alertmanager.json");
    assert_eq!(telemetry.alerts.len(), 1);
    let alert = &telemetry.alerts[0];
    assert_eq!(alert.name, "CheckoutSlow");
    // date -u -d 2026-08-01T10:00:00Z +%s
    assert_eq!((alert.starts_ns, alert.ends_ns), (Some(1_785_578_400 * S), None));
    assert_eq!(alert.service.as_ref().map(|s| s.as_str()), Some("checkout"));
    assert_eq!(alert.symptom, Some(Symptom::Latency));
    assert_eq!(alert.expression.as_deref(), Some("histogram_quantile(0.99, x) > 2"));
    assert_eq!(alert.summary.as_deref(), Some("p99 > 2s"));
    assert_eq!(
        warnings(&telemetry),
        [
            "alertmanager.json, field `truncatedAlerts`: alerts were left out by the sender; raise `max_alerts` of the \
             webhook (2 times)",
            "alertmanager.json, field `alerts[2]`: an alert must be an object with `labels` and `startsAt`",
        ]
    );
    let grafana = read("grafana.json");
    let alert = &grafana.alerts[0];
    assert_eq!(alert.service.as_ref().map(|s| s.as_str()), Some("cart"));
    assert_eq!((alert.symptom, alert.ends_ns), (Some(Symptom::Errors), Some(1_634_025_663 * S)));
    assert!(warnings(&grafana).is_empty());
}

#[test]
fn vector_10_bodies_of_every_alertmanager_tell_the_same_alert() {
    let alert = |more: &str| {
        format!(
            r#"{{"labels":{{"alertname":"Slow","service":"cart"}},"startsAt":"2026-08-01T10:00:00Z",{more}"annotations":{{}}}}"#
        )
    };
    let body = |more: &str, alerts: &str| {
        let body = format!(r#"{{"version":"4","receiver":"rca","status":"firing",{more}"alerts":[{alerts}]}}"#);
        let read = read_bytes(Path::new("a.json"), body.as_bytes(), &ReadOptions::default()).unwrap();
        (read.alerts.clone(), warnings(&read))
    };
    let fires = alert(r#""status":"firing","endsAt":"0001-01-01T00:00:00Z","fingerprint":"1a30ba71cca2921f","#);
    let newest = r#""notification_reason":"repeat interval elapsed","routeLabels":{},"truncatedAlerts":0,"#;
    let (expected, told) = body(newest, &fires);
    assert_eq!((expected.len(), expected[0].starts_ns, told.len()), (1, Some(1_785_578_400 * S), 0));
    // 0.27 gives no reason, others no fingerprint and no status.
    assert_eq!(body("", &fires), (expected.clone(), vec![]));
    assert_eq!(body("", &alert("")), (expected.clone(), vec![]));
    // Of the pair's second notification nothing but the reason differs.
    let again = newest.replace("repeat interval elapsed", "first notification");
    assert_eq!(body(&again, &fires), (expected.clone(), vec![]));
    // Of resolved alerts the others count, but all resolved ones do when there are no others: they tell the end.
    let resolved = alert(r#""status":"resolved","endsAt":"2026-08-01T10:10:00Z","#);
    assert_eq!(body("", &format!("{resolved},{fires}")).0, expected);
    assert_eq!(body("", &resolved).0[0].ends_ns, Some(1_785_579_000 * S));
    let (alerts, told) = body(r#""truncatedAlerts":7,"#, &fires);
    assert_eq!(alerts, expected);
    assert!(told[0].contains("alerts were left out by the sender") && told[0].ends_with("(7 times)"), "{told:?}");
}

/// File name, content, warning.
const MESSAGES: &[(&str, &str, &str)] = &[
    (
        "a.json",
        r#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points"}"#,
        "a.json, field `status`: prometheus answered with status `error`: bad_data: exceeded maximum resolution of \
             11,000 points",
    ),
    (
        "a.json",
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}"#,
        "a.json, field `data.resultType`: the result is a `vector`, which has no course in time; ask \
             /api/v1/query_range",
    ),
    (
        "a.json",
        r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#,
        "a.json, field `data.resultType`: the result is a `scalar`, which has no course in time; ask \
             /api/v1/query_range",
    ),
    (
        "a.html",
        "<!DOCTYPE html><html><body>Sign in</body></html>",
        "a.html, byte 0: this is a web page and no telemetry: a login page or a proxy's error was saved in its place; \
             fetch it again with the right address and credentials",
    ),
    (
        "a.json",
        r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
        "a.json, field `data.result`: the answer holds no series; check the query and its time range",
    ),
    (
        "a.json",
        r#"{"status":"success","data":{"resultType":"matrix"}}"#,
        "a.json, field `data.result`: no list of series here; expected \
             {\"status\":\"success\",\"data\":{\"result\":[…]}}",
    ),
    (
        "a.json",
        r#"{"status":"success","data":{"resultType":"matrix","result":[5,{"metric":{}}]}}"#,
        "a.json, field `data.result`: elements that are not a series with `metric` and `values` (2 times)",
    ),
    (
        "a.json",
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"a"},"values":[[1,"x"],7,[],["a","1"],[1661255960,2]]}]}}"#,
        "a.json, field `values`: samples that are not a pair of time and value (4 times)",
    ),
    (
        "a.json",
        r#"{"receiver":"x","status":"firing","commonLabels":{}}"#,
        "a.json, field `alerts`: not a webhook body (missing: `alerts`); if the payload is templated, send the \
             default one",
    ),
    (
        "a.json",
        r#"{"receiver":"x","alerts":{},"status":"firing","commonLabels":{}}"#,
        "a.json, field `alerts`: not a webhook body (`alerts` is no list); if the payload is templated, send the \
             default one",
    ),
    ("a.json", r#"{"receiver":"x","alerts":[]}"#, "a.json, field `alerts`: the list of alerts is empty"),
    (
        "a.json",
        r#"{"receiver":"x","alerts":[{"labels":{}}]}"#,
        "a.json, field `alerts[0].startsAt`: an alert without a readable `startsAt` gives no window; name the \
             incident's window",
    ),
    (
        "a.json",
        r#"{"receiver":"x","alerts":[{"#,
        "a.json, line 1, column 27: not valid JSON: EOF while parsing an object at line 1 column 27",
    ),
    ("a.csv", "time,cart_cpu\n", "a.csv: the table has no rows"),
    ("a.csv", "time,cart_cpu\n2022-08-23 11:59:28,1\n", "a.csv, column `time`: times without a zone are read as UTC"),
    ("source_50.csv", "time,ab\n1661255960,1\n", "source_50.csv, column `ab`: not named `caller_callee`"),
    (
        "a.csv",
        "time,metric,service,value\n1661255960,,cart,1\n",
        "a.csv, line 2, column `metric`: no readable text where a name or label should be",
    ),
    (
        "a.csv",
        "microservice,a\nmetric,latency\nstatistic,Maximum\n",
        "a.csv, line 3, column 2: statistics other than Average, Sum, p50, p90, p95 and p99 are not used",
    ),
    (
        "a.csv",
        "microservice,a\nmetric,latency,x\nstatistic,Average\n",
        "a.csv, line 3: the three header rows must have the same number of cells, at least two",
    ),
    (
        "a.csv",
        "microservice,a\nmetric,latency\nstatistic,Average\nnoon,1\n",
        "a.csv, line 4, column `unix_timestamp`: the time is not a Unix time",
    ),
    (
        "a.csv",
        "microservice,a\nmetric,latency\nstatistic,Average\n1692608400.0,fast\n",
        "a.csv, line 4, column 2: the value is not a number",
    ),
    (
        "a.om",
        "# TYPE a gauge\na{job=\"b\"} 1 1661255960\na{job=\"b\"} 2 1661255960\n",
        "a.om, series `a`: two different values for one time; the larger one is kept",
    ),
    (
        "a.om",
        "container_sockets{namespace=\"shop\",pod=\"cart-0\"} 1 1661255960\n\
         container_sockets{namespace=\"staging\",pod=\"cart-0\"} 2 1661255960\n",
        "a.om, service `cart` in shop, staging: containers of one name in several namespaces count as one service; \
             export one namespace only if they are not the same",
    ),
];

/// Given format, content, warning.
const MESSAGES_OF_GIVEN_FORMATS: &[(Format, &[u8], &str)] = &[
    (Format::PetShopMetrics, b"a\n", "x, line 2: three header rows (microservice, metric, statistic) expected"),
    (
        Format::CallGraphCsv,
        b"a\n",
        "x, line 1: expected an adjacency matrix (first row and column: names) or columns `source,target`",
    ),
    (Format::CallGraphCsv, b",a,b\na,0,1\n\xff,1,1\n", "x, line 3: not valid UTF-8"),
    (Format::OpenMetrics, b"a{b=\"\xff\"} 1 2\n", "x, line 1: not valid UTF-8"),
    (Format::SeriesCsv, b"a,b\n1,2\n", "x: no column for the time (columns: a, b); name it with the column mapping"),
    (
        Format::SeriesCsv,
        b"time,pod\n1,2\n",
        "x: no column for values (columns: time, pod); name it with the column mapping",
    ),
];

#[test]
fn every_other_message_has_an_input_that_shows_it() {
    for (name, input, expected) in MESSAGES {
        let telemetry = text(name, input);
        assert!(
            warnings(&telemetry).iter().any(|w| w == expected),
            "{input}\n{:#?}\nmisses {expected}",
            telemetry.warnings
        );
    }
    let options = |format| ReadOptions { format: Some(format), ..ReadOptions::default() };
    for (format, bytes, expected) in MESSAGES_OF_GIVEN_FORMATS {
        let telemetry = read_bytes(Path::new("x"), bytes, &options(*format)).expect("the format is given");
        assert!(warnings(&telemetry).iter().any(|w| w == expected), "{:#?}\nmisses {expected}", telemetry.warnings);
    }
    let not_parquet = read_bytes(Path::new("x"), b"PAR1 and no more", &options(Format::SeriesParquet)).expect("given");
    assert!(warnings(&not_parquet)[0].contains("broken Parquet"), "{:?}", not_parquet.warnings);
    assert!(matches!(
        read_bytes(Path::new("x"), b"nothing of the kind", &ReadOptions::default()),
        Err(IngestError::Unrecognised { .. })
    ));
}

#[test]
fn a_torn_answer_keeps_the_series_before_the_tear() {
    let whole = std::fs::read_to_string(fixture("service_graph.json")).expect("fixture");
    let cut = whole.find("redis-cart").expect("is there");
    let telemetry = text("a.json", &whole[..cut]);
    assert!(shown(&telemetry).iter().any(|s| s.starts_with("web → cart NetworkGap")));
    assert!(telemetry.warnings.iter().any(|w| w.message.contains("not valid JSON from here on")));
}

#[test]
fn pieces_of_a_series_in_several_files_are_joined_in_any_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let piece = |name: &str, values: &str| {
        let answer = format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{{\"metric\":\
             {{\"__name__\":\"process_cpu_seconds_total\",\"job\":\"cart\"}},\"values\":[{values}]}}]}}}}"
        );
        let path = folder.path().join(name);
        std::fs::write(&path, answer).expect("written");
        path
    };
    let first = piece("1.json", "[1661255960,\"0\"],[1661255970,\"5\"]");
    let second = piece("2.json", "[1661255980,\"15\"],[1661255990,\"16\"]");
    let read = |paths: &[PathBuf]| read_paths(paths, &ReadOptions::default(), &|_| {}).expect("known");
    let forward = read(&[first.clone(), second.clone()]);
    assert_eq!(
        shown(&forward),
        ["cart Cpu process_cpu_seconds_total Mean Cores 1661255970=0.5 1661255980=1 1661255990=0.1"]
    );
    let backward = read(&[second, first]);
    assert_eq!(forward.series, backward.series);
}

#[test]
fn parquet_tables_read_as_the_same_tables_in_csv_do() {
    use polars::prelude::*;
    let times = [1_661_255_960_i64, 1_661_255_961, 1_661_255_962];
    let mut frame = df!(
        "time" => times,
        "cart_cpu" => [Some(0.5), Some(0.6), None],
        "cart_mem" => [1000_i32, 1100, 1200],
        "pod" => ["a-0", "a-0", "b-0"],
    )
    .expect("columns of one length");
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).expect("written");
    let telemetry = read_bytes(Path::new("a.parquet"), &bytes, &ReadOptions::default()).expect("known");
    assert_eq!(telemetry.files[0].format, Format::SeriesParquet);
    let csv = "time,cart_cpu,cart_mem,pod\n1661255960,0.5,1000,a-0\n1661255961,0.6,1100,a-0\n1661255962,,1200,b-0\n";
    assert_eq!(telemetry.series, text("a.csv", csv).series);
    assert_eq!(telemetry.series.len(), 3);

    let nanoseconds: Vec<i64> = times.iter().map(|t| t * S + 1).collect();
    let mut long =
        df!("timestamp" => nanoseconds, "metric" => ["cpu"; 3], "service" => ["cart"; 3], "value" => [1.0, 2.0, 3.0])
            .expect("columns of one length");
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut long).expect("written");
    let telemetry = read_bytes(Path::new("b.parquet"), &bytes, &ReadOptions::default()).expect("known");
    assert_eq!(telemetry.series[0].subject, service("cart"));
    // Whole nanoseconds survive: a float could not hold them.
    assert_eq!(telemetry.series[0].samples[0].0, 1_661_255_960_000_000_001);
}

fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets").join(path);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn a_day_of_nezha() {
    let Some(folder) = shared("nezha/rca_data/2022-08-23/metric") else { return };
    let telemetry = read_paths(&[folder], &ReadOptions::default(), &|_| {}).expect("known");
    assert_eq!(telemetry.files.len(), 14);
    let count = |format: Format| telemetry.files.iter().filter(|f| f.format == format).count();
    assert_eq!((count(Format::SeriesCsv), count(Format::CallGraphCsv)), (13, 1));
    // 10 pods of 19 columns less the success rate; the entry's 5; 14 edges from either side.
    assert_eq!(telemetry.series.len(), 10 * 18 + 5 + 2 * 14);
    let find = |subject: &str, name: &str| {
        telemetry.series.iter().find(|s| s.subject.to_string() == subject && s.name == name).expect("is there")
    };
    let cpu = find("adservice-5f6585d649-fnmft", "CpuUsage(m)");
    assert_eq!((cpu.signal, cpu.unit, cpu.subject.service().as_str()), (Signal::Cpu, Unit::Cores, "adservice"));
    assert_eq!(cpu.samples[0], (1_661_255_968 * S, 0.937_286_34 * 1e-3));
    assert_eq!(cpu.samples[2], (1_661_256_088 * S, 1.097_368_535 * 1e-3));
    let latency = find("frontend", "LatencyP99(s)");
    assert_eq!(latency.statistic, Statistic::Quantile(0.99));
    assert_eq!(latency.samples[1], (1_661_256_028 * S, 2.269_999_999_999_999));
    let edge = find("checkoutservice → currencyservice", "destination_50");
    assert_eq!(edge.samples[0], (1_661_255_968 * S, 0.085));
    assert_eq!(find("frontend", "SuccessRate(%)").signal, Signal::ErrorRatio);
    assert!(!telemetry.given_edges.is_empty());
}

#[test]
fn petshop_in_normal_operation() {
    let Some(folder) = shared("petshop/dataset/low_traffic") else { return };
    let paths = [folder.join("noissue/metrics.csv"), folder.join("graph.csv")];
    let telemetry = read_paths(&paths, &ReadOptions::default(), &|_| {}).expect("known");
    // 287 columns of values: 41 components, 7 statistics each.
    assert_eq!(telemetry.series.len(), 287);
    // Counted with Python's csv module: cells other than 0 in graph.csv.
    assert_eq!(telemetry.given_edges.len(), 44);
    assert!(telemetry.warnings.is_empty(), "{:?}", telemetry.warnings);
    let of_site = |signal: Signal, statistic: Statistic| {
        let series = telemetry
            .series
            .iter()
            .find(|s| s.subject == service("PetSite") && s.signal == signal && s.statistic == statistic)
            .expect("is there");
        (series.samples[0], series.samples.len())
    };
    let at = 1_692_608_400 * S;
    assert_eq!(of_site(Signal::Requests, Statistic::Sum), ((at, 488.0), 589));
    assert_eq!(of_site(Signal::Latency, Statistic::Mean), ((at, 0.100_220_255_148_155_7), 589));
    assert_eq!(of_site(Signal::Latency, Statistic::Quantile(0.95)), ((at, 0.320_661_847_506_029_9), 589));
    assert_eq!(of_site(Signal::ErrorRatio, Statistic::Mean), ((at, 1.0 - 97.336_065_573_770_5 / 100.0), 589));
}

const FIXTURES: &[&str] = &[
    "container_cpu_usage_seconds_total.json",
    "service_graph.json",
    "p99_latency_seconds.json",
    "spanmetrics.om",
    "classic.prom",
    "long.csv",
    "simple_metrics.csv",
    "adservice-5f6585d649-fnmft_metric.csv",
    "front_service.csv",
    "source_50.csv",
    "dependency.csv",
    "petshop_metrics.csv",
    "graph.csv",
    "alertmanager.json",
    "grafana.json",
    "../dialects/istio.prom",
    "../dialects/kubernetes.prom",
    "../dialects/semconv_http.om",
    "../dialects/envoy.json",
    "../dialects/prometheus.pb",
];

const FORMATS: &[Format] = &[
    Format::PrometheusRange,
    Format::PrometheusProtobuf,
    Format::OpenMetrics,
    Format::SeriesCsv,
    Format::SeriesParquet,
    Format::PetShopMetrics,
    Format::CallGraphCsv,
    Format::Alertmanager,
];

/// What holds for whatever was read, however damaged.
fn check_sound(telemetry: &Telemetry) {
    for series in &telemetry.series {
        assert!(!series.samples.is_empty());
        assert!(series.samples.windows(2).all(|pair| pair[0].0 < pair[1].0), "{}", show(series));
        assert!(series.samples.iter().all(|s| s.1.is_finite()), "{}", show(series));
        assert_ne!(series.statistic, Statistic::Counter);
        if series.signal == Signal::ErrorRatio {
            assert!(series.samples.iter().all(|s| (0.0..=1.0).contains(&s.1)), "{}", show(series));
        }
    }
}

fn parquet() -> Vec<u8> {
    use polars::prelude::*;
    let mut frame = df!(
        "timestamp" => [1_661_255_960_i64, 1_661_255_970, 1_661_255_980],
        "metric" => ["cpu", "cpu", "error_rate(%)"],
        "service" => ["cart", "checkout", "cart"],
        "value" => [Some(0.5), None, Some(2.0)],
    )
    .expect("columns of one length");
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).expect("written");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn damaged_files_never_panic_and_give_sound_series(
        file in 0..=FIXTURES.len(),
        forced in proptest::option::of(0..FORMATS.len()),
        cut in proptest::option::of(0.0..1.0_f64),
        edits in proptest::collection::vec((0.0..1.0_f64, any::<u8>(), 0..4_u8), 0..12),
    ) {
        let name = FIXTURES.get(file).copied().unwrap_or("series.parquet");
        let mut bytes = if file < FIXTURES.len() { std::fs::read(fixture(name)).expect("fixture") } else { parquet() };
        for (position, byte, kind) in edits {
            let at = (position * bytes.len() as f64) as usize;
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                // Digits and signs make numbers extreme, and other letters only make them no numbers.
                _ => bytes.insert(at, b"0123456789-+.eE,\"{}[]\n"[byte as usize % 22]),
            }
        }
        if let Some(cut) = cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        let format = forced.map(|index| FORMATS[index]);
        let options = ReadOptions { format, ..ReadOptions::default() };
        if let Ok(telemetry) = read_bytes(Path::new(name), &bytes, &options) {
            check_sound(&telemetry);
        }
    }
}

#[test]
fn an_answer_is_known_whichever_of_its_keys_stands_first() {
    let values: Vec<String> = (0..200).map(|n| format!("[{}, \"{n}\"]", 1_773_144_000 + n * 15)).collect();
    let values = values.join(", ");
    let metric = r#""metric": {"__name__": "container_cpu_usage_seconds_total", "pod": "cart-0"}"#;
    for answer in [
        // Sorted keys, as Python's `json.dumps(…, sort_keys=True)` writes them: what tells more is at the far end.
        format!(
            r#"{{"data": {{"result": [{{{metric}, "values": [{values}]}}], "resultType": "matrix"}}, "status": "success"}}"#
        ),
        format!(
            "{{\n \"isPartial\": false,\n \"data\": {{\n  \"resultType\": \"matrix\", \"result\": [{{{metric}, \"values\": [{values}]}}]}}, \"status\": \"success\"}}"
        ),
        format!(
            r#"{{"status": "success", "data": {{"resultType": "matrix", "result": [{{{metric}, "values": [{values}]}}]}}}}"#
        ),
    ] {
        let telemetry = text("cpu.json", &answer);
        assert_eq!(telemetry.files[0].format, Format::PrometheusRange, "{:?}", warnings(&telemetry));
        assert_eq!((telemetry.series.len(), telemetry.skipped), (1, 0), "{:?}", warnings(&telemetry));
    }
    // Loki shapes its answers alike.
    let loki = r#"{"data": {"result": [{"stream": {"app": "cart"}, "values": [["1773144000000000000", "a line"]]}], "resultType": "streams"}, "status": "success"}"#;
    assert_eq!(text("loki.json", loki).logs.len(), 1);
}
