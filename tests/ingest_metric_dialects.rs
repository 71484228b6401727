//! Metric dialects: each found by itself and named, with the series, edges and error ratios that follow, worked out by
//! hand. The fixtures have the names and labels that the projects write.

use std::path::{Path, PathBuf};

use hypocenter::ingest::{Format, ReadOptions, Telemetry, read_bytes, read_paths};
use hypocenter::settings::Settings;
use hypocenter::telemetry::series::{Series, Signal, Statistic, Subject};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dialects").join(name)
}

fn read(name: &str) -> Telemetry {
    read_paths(&[fixture(name)], &ReadOptions::default(), &|_| {}).expect("a known format")
}

fn text(text: &str) -> Telemetry {
    read_bytes(Path::new("a.prom"), text.as_bytes(), &ReadOptions::default()).expect("a known format")
}

/// Subject, signal, statistic and values of all series of the wanted signals.
fn shown(telemetry: &Telemetry, wanted: &[Signal]) -> Vec<String> {
    telemetry.series.iter().filter(|series| wanted.contains(&series.signal)).map(show).collect()
}

fn show(series: &Series) -> String {
    let samples: Vec<String> = series.samples.iter().map(|s| format!("{}", (s.1 * 1e6).round() / 1e6)).collect();
    let statistic = match series.statistic {
        Statistic::Quantile(q) => format!("p{}", (q * 100.0).round()),
        other => format!("{other:?}"),
    };
    format!("{} {:?} {statistic} {}", series.subject, series.signal, samples.join(" "))
}

fn edges(telemetry: &Telemetry) -> Vec<String> {
    telemetry.given_edges.iter().map(|e| format!("{} → {} {:?}", e.caller, e.callee, e.callee_kind)).collect()
}

fn messages(telemetry: &Telemetry) -> Vec<&str> {
    telemetry.warnings.iter().map(|warning| warning.message.as_str()).collect()
}

const RED: &[Signal] = &[Signal::Requests, Signal::ErrorRatio];

#[test]
fn istio_counts_each_request_once() {
    let telemetry = read("istio.prom");
    assert_eq!(telemetry.dialects, ["Istio (24 series)"]);
    assert_eq!(
        edges(&telemetry),
        ["cart-v1 → stock-v1 Service", "web-v1 → cart-v1 Service", "web-v1 → payments.example.com External",]
    );
    // cart: both proxies report 100 requests in 10 s, 10 of them with 503 and 10 with 404, which is no error at the
    // server; 20 more found no host and only the caller's proxy knows of them: 30 of 120.
    // payments: only the caller's proxy; 429 is its error and not the callee's. stock: gRPC, by its own code.
    assert_eq!(
        shown(&telemetry, RED),
        [
            "cart-v1 Requests Mean 12",
            "cart-v1 ErrorRatio Mean 0.25",
            "payments.example.com Requests Mean 10",
            "payments.example.com ErrorRatio Mean 0",
            "stock-v1 Requests Mean 10",
            "stock-v1 ErrorRatio Mean 0.1",
            "web-v1 Requests Mean 10",
            "web-v1 ErrorRatio Mean 0",
            "cart-v1 → stock-v1 Requests Mean 10",
            "cart-v1 → stock-v1 ErrorRatio Mean 0.1",
            "web-v1 → cart-v1 Requests Mean 12",
            "web-v1 → cart-v1 ErrorRatio Mean 0.25",
            "web-v1 → payments.example.com Requests Mean 10",
            "web-v1 → payments.example.com ErrorRatio Mean 0.5",
        ]
    );
    // Milliseconds, by the callee's proxy; the caller's, 50 ms on average, gives the time between the two.
    assert_eq!(
        shown(&telemetry, &[Signal::Latency, Signal::NetworkGap]),
        [
            "cart-v1 Latency Mean 0.02",
            "cart-v1 Latency p50 0.025",
            "cart-v1 Latency p90 0.05",
            "cart-v1 Latency p99 0.095",
            "web-v1 → cart-v1 Latency Mean 0.02",
            "web-v1 → cart-v1 Latency p50 0.025",
            "web-v1 → cart-v1 Latency p90 0.05",
            "web-v1 → cart-v1 Latency p99 0.095",
            "web-v1 → cart-v1 NetworkGap Mean 0.03",
        ]
    );
    assert_eq!(messages(&telemetry), ["requests that both proxies report count once, as the callee's proxy saw them"]);
}

#[test]
fn linkerd_tells_the_service_from_its_inbound_and_edges_from_its_outbound_side() {
    let telemetry = read("linkerd.prom");
    assert_eq!(telemetry.dialects, ["Linkerd (14 series)"]);
    assert_eq!(edges(&telemetry), ["web → linkerd.io External", "web → voting Service"]);
    // web: 10 requests a second, and 20 of 100 answers failed. voting as web sees it: 5 failed and 5 with 404 of 50;
    // as voting would: 5.
    assert_eq!(
        shown(&telemetry, RED),
        [
            "linkerd.io Requests Mean 1",
            "voting Requests Mean 5",
            "voting ErrorRatio Mean 0.1",
            "web Requests Mean 10",
            "web ErrorRatio Mean 0.2",
            "web → linkerd.io Requests Mean 1",
            "web → voting Requests Mean 5",
            "web → voting ErrorRatio Mean 0.2",
        ]
    );
    // Ranks 50, 90 and 99 of 100 in 20, 80, 100 at 1, 10 and 100 ms.
    assert_eq!(
        shown(&telemetry, &[Signal::Latency]),
        ["web Latency Mean 0.015", "web Latency p50 0.0055", "web Latency p90 0.055", "web Latency p99 0.0955"]
    );
    assert_eq!(messages(&telemetry), ["Linkerd's latency is the time to the first byte of the answer, not to its end"]);
}

#[test]
fn envoy_clusters_are_called_by_the_service_beside_which_envoy_runs() {
    let telemetry = read("envoy.json");
    assert_eq!(telemetry.dialects, ["Envoy (15 series)"]);
    assert_eq!(edges(&telemetry), ["gateway → api.example.com External", "gateway → cart Service"]);
    assert_eq!(
        shown(&telemetry, RED),
        [
            "api.example.com Requests Mean 5",
            "api.example.com ErrorRatio Mean 0",
            "cart Requests Mean 10",
            "cart ErrorRatio Mean 0.1",
            "gateway → api.example.com Requests Mean 5",
            "gateway → api.example.com ErrorRatio Mean 0",
            "gateway → cart Requests Mean 10",
            "gateway → cart ErrorRatio Mean 0.2",
        ]
    );
    assert!(shown(&telemetry, &[Signal::Latency]).contains(&"gateway → cart Latency Mean 0.012".to_owned()));
    assert_eq!(messages(&telemetry), ["a proxy's traffic with its own control plane and backends is not used"]);
}

#[test]
fn semantic_convention_http_has_its_service_in_job_and_its_pod_in_target_info() {
    let telemetry = read("semconv_http.om");
    assert_eq!(
        telemetry.dialects,
        ["OpenTelemetry HTTP (8 series)", "OpenTelemetry target_info (1 series)", "client libraries (1 series)"]
    );
    // The pod of the span's process, and 4xx an error at the client only.
    assert_eq!(edges(&telemetry), ["shop/cart → stock Service"]);
    assert_eq!(
        shown(&telemetry, RED),
        [
            "shop/cart Requests Mean 10",
            "shop/cart ErrorRatio Mean 0.1",
            "stock Requests Mean 5",
            "stock ErrorRatio Mean 0.2",
            "shop/cart /cart/{id} Requests Mean 10",
            "shop/cart /cart/{id} ErrorRatio Mean 0.1",
            "shop/cart → stock Requests Mean 5",
            "shop/cart → stock ErrorRatio Mean 0.4",
        ]
    );
    let memory = telemetry.series.iter().find(|s| s.signal == Signal::Memory).expect("is there");
    let instance = "cart-5f6585d649-fnmft".to_owned();
    assert_eq!(memory.subject, Subject::Instance { service: "shop/cart".into(), instance });
}

#[test]
fn names_with_dots_are_the_same_metrics() {
    let telemetry = read("utf8.om");
    assert_eq!(
        telemetry.dialects,
        ["OpenTelemetry HTTP (2 series)", "spanmetrics (OpenTelemetry Collector) (6 series)"]
    );
    let of_services: Vec<String> = shown(&telemetry, &[Signal::Requests, Signal::ErrorRatio, Signal::Latency])
        .into_iter()
        .filter(|s| !s.contains('/'))
        .collect();
    assert_eq!(
        of_services,
        [
            "cart Requests Mean 10",
            "cart ErrorRatio Mean 0.25",
            "cart Latency p50 0.1",
            "cart Latency p90 0.22",
            "cart Latency p99 0.247",
            "web Requests Mean 5",
            "web ErrorRatio Mean 0",
            "web Latency Mean 0.2",
        ]
    );
}

#[test]
fn span_metrics_of_all_ages_give_the_same() {
    let telemetry = read("spanmetrics.prom");
    assert_eq!(
        telemetry.dialects,
        [
            "spanmetrics (OpenTelemetry Collector before 0.109) (5 series)",
            "spanmetrics (OpenTelemetry Collector) (5 series)",
            "spanmetrics (OpenTelemetry Collector, old processor) (5 series)",
            "spanmetrics (OpenTelemetry Collector, own namespace) (5 series)",
            "spanmetrics (Tempo) (5 series)",
        ]
    );
    for service in ["tempo", "collector", "before", "old", "own"] {
        let of_service: Vec<String> = shown(&telemetry, &[Signal::Requests, Signal::ErrorRatio, Signal::Latency])
            .into_iter()
            .filter_map(|s| Some(s.strip_prefix(service)?.to_owned()))
            .filter(|s| !s.contains('/'))
            .collect();
        assert_eq!(
            of_service,
            [
                " Requests Mean 10",
                " ErrorRatio Mean 0.1",
                " Latency p50 0.1",
                " Latency p90 0.18",
                " Latency p99 0.198"
            ],
            "{service}"
        );
    }
}

#[test]
fn resources_of_pods_and_machines_are_tied_to_services() {
    let telemetry = read("kubernetes.prom");
    assert_eq!(
        telemetry.dialects,
        ["cAdvisor (4 series)", "kube-state-metrics (7 series)", "node exporter (15 series)"]
    );
    assert!(telemetry.series.iter().all(|s| s.subject.service().as_str() == "checkout"), "{:?}", telemetry.series);
    let pod = "checkout-7c9d8f6b5d-x2x4z";
    // Processors: (10 + 10) s of 20 s each 10 s: idle and waiting 12 then 4 of 20. Memory: 4000, 2000, 1000 of 8000
    // available. The busier disk: 4 s, then 9 s of 10.
    assert_eq!(
        telemetry.series.iter().map(show).collect::<Vec<_>>(),
        [
            format!("{pod} CpuThrottling Mean 0.1 0.3"),
            format!("{pod} Memory Mean 500 900 950"),
            format!("{pod} Memory Mean 0.5 0.9 0.95"),
            format!("{pod} Restarts Mean 0 0 1"),
            format!("{pod} Restarts Mean 0 0.1"),
            "node-1 NodeCpu Mean 0.4 0.8".to_owned(),
            "node-1 NodeMemory Mean 0.5 0.75 0.875".to_owned(),
            "node-1 Other Mean 0.4 0.9".to_owned(),
        ]
    );
    assert_eq!(
        messages(&telemetry),
        [
            "cAdvisor's series of the machine and of groups of containers are not used: they name no container",
            "of a machine's series only processor, memory and disk time are used",
            "a machine's series are not used where nothing tells which services run on it; add `kube_pod_info` of \
             kube-state-metrics, or cAdvisor's series with `node` or `instance`",
        ]
    );
}

#[test]
fn containers_of_docker_are_told_by_their_names() {
    let of = |more: &str, value: u32, at: u32| {
        format!(
            "container_memory_working_set_bytes{{instance=\"host-1:8080\",job=\"docker\",{more}}} {value} 166125596{at}\n"
        )
    };
    let telemetry = text(
        &[
            of("id=\"/\"", 900, 0),
            of("id=\"/docker/1\",name=\"cart\"", 10, 0),
            of("id=\"/docker/2\",name=\"shop-stock-1\",container_label_com_docker_compose_service=\"stock\"", 20, 0),
        ]
        .concat(),
    );
    let subjects: Vec<&str> = telemetry.series.iter().map(|s| s.subject.service().as_str()).collect();
    assert_eq!(subjects, ["cart", "stock"]);
}

#[test]
fn the_names_that_traces_use_win() {
    // The workload is `checkout`, the label says `checkoutservice`, and so do the traces.
    let folder = tempfile::tempdir().expect("a folder");
    let traces = folder.path().join("traces.csv");
    let header = "TraceID,SpanID,ParentID,ServiceName,OperationName,StartTimeUnixNano,Duration";
    let span = "0123456789abcdef0123456789abcdef,0123456789abcdef,,checkoutservice,GET /,1661255960000000000,1000000";
    std::fs::write(&traces, format!("{header}\n{span}\n")).expect("written");
    let read = |paths: &[PathBuf]| read_paths(paths, &ReadOptions::default(), &|_| {}).expect("known formats");
    let telemetry = read(&[traces.clone(), fixture("kubernetes.prom")]);
    assert_eq!(telemetry.spans.len(), 1);
    assert!(telemetry.series.iter().all(|s| s.subject.service().as_str() == "checkoutservice"));
    // Whichever is named first.
    assert_eq!(telemetry.series, read(&[fixture("kubernetes.prom"), traces]).series);
}

#[test]
fn the_settings_file_adds_labels_rules_and_names() {
    let settings = Settings::parse(
        Path::new("s.toml"),
        "[metrics]\nservice_labels = [\"team.service\"]\n\
         [metrics.services]\n\"checkout-v*\" = \"checkout\"\n\
         [[metrics.rules]]\nname = \"shop_*_ms\"\nsignal = \"latency\"\nkind = \"histogram\"\nunit = \"milliseconds\"\n\
         operation = \"step\"\n\
         [[metrics.rules]]\nname = \"shop_failures_total\"\nsignal = \"error_ratio\"\nkind = \"counter\"\n\
         of = \"shop_attempts_total\"\n\
         [[metrics.rules]]\nname = \"shop_attempts_total\"\nsignal = \"requests\"\nkind = \"counter\"\n\
         [[metrics.rules]]\nname = \"pool_busy\"\nsignal = \"sockets\"\nservice = \"owner\"\nscale = 2\n",
    )
    .expect("valid");
    let options = ReadOptions { metrics: settings.metrics, ..ReadOptions::default() };
    let labels = "job=\"kitchen\",team_service=\"checkout-v2\"";
    let exposition = format!(
        "shop_pay_ms_sum{{{labels},step=\"charge\"}} 0 1661255960\nshop_pay_ms_sum{{{labels},step=\"charge\"}} 500 1661255970\n\
         shop_pay_ms_count{{{labels},step=\"charge\"}} 0 1661255960\nshop_pay_ms_count{{{labels},step=\"charge\"}} 10 1661255970\n\
         shop_attempts_total{{{labels}}} 0 1661255960\nshop_attempts_total{{{labels}}} 20 1661255970\n\
         shop_failures_total{{{labels}}} 0 1661255960\nshop_failures_total{{{labels}}} 5 1661255970\n\
         pool_busy{{owner=\"db\",job=\"kitchen\"}} 3 1661255960\n"
    );
    let telemetry = read_bytes(Path::new("a.om"), exposition.as_bytes(), &options).expect("known");
    assert_eq!(telemetry.dialects, ["rules of the settings file (5 series)"]);
    assert_eq!(
        telemetry.series.iter().map(show).collect::<Vec<_>>(),
        [
            "checkout Requests Mean 2",
            "checkout ErrorRatio Mean 0.25",
            "checkout Latency Mean 0.05",
            "db Sockets Mean 6",
            "checkout charge Requests Mean 1",
            "checkout charge Latency Mean 0.05",
        ]
    );
}

#[test]
fn service_graphs_alone_say_what_their_buckets_hide() {
    let line = |le: &str, count: u32, at: u32| {
        let labels = format!("client=\"web\",server=\"cart\",connection_type=\"\",le=\"{le}\"");
        format!("traces_service_graph_request_server_seconds_bucket{{{labels}}} {count} 166125596{at}\n")
    };
    let graph = |bound: &str| -> String {
        [(bound, 0, 0), (bound, 50, 9), ("+Inf", 0, 0), ("+Inf", 100, 9)].map(|(le, n, at)| line(le, n, at)).concat()
    };
    let hidden = "latency is known from service-graph histograms alone, whose buckets begin at 0.1 s: what happens below \
                  is not seen; add traces, span metrics or finer buckets";
    assert_eq!(text(&graph("0.1")).dialects, ["service graph (2 series)"]);
    assert_eq!(messages(&text(&graph("0.1"))), [hidden]);
    assert!(messages(&text(&graph("0.05"))).is_empty());
    // Span metrics of any service are finer, and what they say of a service is taken.
    let own = "traces_spanmetrics_latency_count{service=\"cart\",span_name=\"GET\",span_kind=\"SPAN_KIND_SERVER\"}";
    let both = text(&format!("{}{own} 0 1661255960\n{own} 9 1661255969\n", graph("0.1")));
    assert!(messages(&both).is_empty(), "{:?}", both.warnings);
    assert!(!both.series.iter().any(|s| s.subject == Subject::Service("cart".into()) && s.signal == Signal::Latency));
}

#[test]
fn the_protobuf_form_is_read_as_the_text_form_is() {
    let telemetry = read("prometheus.pb");
    assert_eq!(telemetry.files[0].format, Format::PrometheusProtobuf);
    assert_eq!(telemetry.dialects, ["client libraries (9 series)"]);
    // Classic: as Prometheus' histograms.test; native: as native_histograms.test, .5, .9 and .99 of `histogram_quantile_1`.
    let instance = "10.8.0.5:8080";
    assert_eq!(
        telemetry.series.iter().map(show).collect::<Vec<_>>(),
        [
            "cart Requests Mean 10".to_owned(),
            "cart ErrorRatio Mean 0.1".to_owned(),
            "cart Latency Mean 0.5".to_owned(),
            "cart Latency p50 0.15".to_owned(),
            "cart Latency p90 0.96".to_owned(),
            "cart Latency p99 1".to_owned(),
            format!("{instance} Memory Mean 1048576"),
            format!("{instance} Other Mean 8.333333"),
            format!("{instance} Other p50 1.587401"),
            format!("{instance} Other p90 12.996038"),
            format!("{instance} Other p99 15.670725"),
            format!("{instance} Other Mean 0.5"),
            format!("{instance} Other p50 0.25 1.25"),
        ]
    );
    let told: Vec<String> = telemetry.warnings.iter().map(|w| format!("{}: {}", w.place, w.message)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("metric 2: a sample without timestamp cannot be placed in time"), "{told:?}");
    assert!(told[1].contains("samples that are NaN, infinite or marked stale count as gaps"), "{told:?}");
    assert_eq!(telemetry.skipped, 2);
}

#[test]
fn a_torn_protobuf_file_keeps_what_comes_before() {
    let whole = std::fs::read(fixture("prometheus.pb")).expect("fixture");
    for cut in [whole.len() - 1, whole.len() / 2] {
        let telemetry = read_bytes(Path::new("a.pb"), &whole[..cut], &ReadOptions::default()).expect("known");
        assert_eq!(telemetry.files[0].format, Format::PrometheusProtobuf);
        let torn = "the file ends within a message; what comes before is kept";
        assert!(messages(&telemetry).contains(&torn), "{:?}", telemetry.warnings);
        assert!(!telemetry.series.is_empty());
    }
    // A message that is none does not take the next with it.
    let mut broken = whole.clone();
    broken.extend([0x03, 0x22, 0x05, 0x00]);
    broken.extend(&whole);
    let telemetry = read_bytes(Path::new("a.pb"), &broken, &ReadOptions::default()).expect("known");
    assert!(telemetry.warnings.iter().any(|w| w.message.starts_with("not a MetricFamily")), "{:?}", telemetry.warnings);
    assert_eq!(telemetry.series, read("prometheus.pb").series);
}

#[test]
fn native_histograms_of_a_range_query_become_quantiles() {
    let histogram = |count: u32, sum: u32, own: [u32; 5]| {
        let [zero, a, b, c, d] = own;
        format!(
            "{{\"count\":\"{count}\",\"sum\":\"{sum}\",\"buckets\":[[3,\"-0.001\",\"0.001\",\"{zero}\"],\
             [0,\"0.5\",\"1\",\"{a}\"],[0,\"1\",\"2\",\"{b}\"],[0,\"4\",\"8\",\"{c}\"],[0,\"8\",\"16\",\"{d}\"]]}}"
        )
    };
    let empty = "{\"count\":\"0\",\"sum\":\"0\"}";
    let answer = |metric: &str| {
        let full = histogram(12, 100, [2, 2, 3, 1, 4]);
        format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{{\"metric\":{{{metric}}},\
             \"histograms\":[[1661255960,{empty}],[1661255970,{full}],[1661255980,5],[1661255990,{{\"count\":\"x\"}}]]}}]}}}}"
        )
    };
    // A name: a counter, of which what was added counts. The numbers are those of `histogram_quantile_1` in Prometheus'
    // native_histograms.test.
    let named = "\"__name__\":\"http_request_duration_seconds\",\"service\":\"cart\"";
    let telemetry = read_bytes(Path::new("a.json"), answer(named).as_bytes(), &ReadOptions::default()).expect("known");
    assert_eq!(
        telemetry.series.iter().map(show).collect::<Vec<_>>(),
        [
            "cart Requests Mean 1.2",
            "cart Latency Mean 8.333333",
            "cart Latency p50 1.587401",
            "cart Latency p90 12.996038",
            "cart Latency p99 15.670725",
        ]
    );
    assert_eq!(
        messages(&telemetry),
        ["samples that are not a pair of time and native histogram (`count`, `sum`, `buckets`)"]
    );
    assert_eq!(telemetry.skipped, 2);
    // No name: the result of an expression, whose samples are what they are.
    let path = Path::new("latency_seconds.json");
    let telemetry =
        read_bytes(path, answer("\"service\":\"cart\"").as_bytes(), &ReadOptions::default()).expect("known");
    assert_eq!(
        telemetry.series.iter().map(show).collect::<Vec<_>>(),
        [
            "cart Latency Mean 8.333333",
            "cart Latency p50 1.587401",
            "cart Latency p90 12.996038",
            "cart Latency p99 15.670725",
        ]
    );
}

/// Constant, NaN, +Inf, reset and stale series (PyRCA's issues 30 and 39): each is read, none is lost in silence, and
/// none is taken for an incident.
#[test]
fn vector_08_constant_nan_inf_reset_stale() {
    use hypocenter::analysis;
    use hypocenter::assemble::{Request, assemble};
    use hypocenter::rank::Verdict;
    use hypocenter::telemetry::time::Window;

    let mut lines = String::new();
    for minute in 0..60_u32 {
        let at = 1_661_256_000 + minute * 60;
        let gauge = |value: &str, name: &str| format!("process_resident_memory_bytes{{job=\"{name}\"}} {value} {at}\n");
        lines.push_str(&gauge("1048576", "constant"));
        lines.push_str(&gauge(if minute % 7 == 3 { "NaN" } else { "1048576" }, "nan"));
        lines.push_str(&gauge(if minute % 11 == 5 { "+Inf" } else { "1048576" }, "inf"));
        // 600 requests a minute; the process restarts within the incident and counts from zero again.
        let counted = if minute < 52 { 600 * minute } else { 600 * (minute - 51) };
        lines.push_str(&format!("http_requests_total{{job=\"reset\",code=\"200\"}} {counted} {at}\n"));
        // Ends before the incident, as a stale marker would end it.
        let value = if minute < 45 { "1048576" } else { "NaN" };
        lines.push_str(&gauge(value, "stale"));
    }
    let telemetry = text(&lines);
    let rates: Vec<f64> = telemetry
        .series
        .iter()
        .find(|s| s.signal == Signal::Requests)
        .expect("is there")
        .samples
        .iter()
        .map(|s| s.1)
        .collect();
    assert_eq!(rates.len(), 59);
    assert!(rates.iter().all(|rate| (rate - 10.0).abs() < 1e-9), "{rates:?}");
    let lost: u64 = telemetry.warnings.iter().map(|warning| warning.affected).sum();
    assert_eq!(lost, 9 + 5 + 15, "{:?}", telemetry.warnings);

    let window = |from: i64, to: i64| {
        Window::new((1_661_256_000 + from * 60) * 1_000_000_000, (1_661_256_000 + to * 60) * 1_000_000_000).unwrap()
    };
    let request = Request {
        name: "vector 8".to_owned(),
        window: window(48, 60),
        baselines: vec![window(0, 48)],
        entry: None,
        symptom: None,
    };
    let incident = assemble(telemetry, request).expect("windows and telemetry are there");
    let diagnosis = analysis::analyze(&incident, &analysis::Settings::default());
    assert_eq!(diagnosis.verdict, Verdict::NoAnomaly, "{:?}", diagnosis.verdict);
}
