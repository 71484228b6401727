//! Simulated metrics in real tools: what is written is read by our own ingest, taken by `promtool`, and a real
//! Prometheus answers over it as we compute.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "simulated_metrics/played.rs"]
mod played;
#[path = "simulated_metrics/prometheus.rs"]
mod prometheus;

use std::path::Path;

use hypocenter::ingest::{ReadOptions, Telemetry, read_bytes};
use hypocenter::simulate::alert::{self, Expression, Firing};
use hypocenter::simulate::fault::Severity;
use hypocenter::simulate::metrics::{Family, MetricSeries, collect, openmetrics};
use hypocenter::simulate::observe::{Imperfections, Sampling};
use hypocenter::simulate::plan::Plan;
use hypocenter::simulate::recording::{Side, SpanRecord};
use hypocenter::simulate::scenario::{Choice, draw};
use hypocenter::simulate::system::{System, by_name};
use hypocenter::simulate::world;
use hypocenter::telemetry::alert::Symptom;
use hypocenter::telemetry::series::{Series, Signal, Statistic};
use played::{DEPLOY_S, FAULT_S, KILLED_S, SECOND_NS, START_NS, plan, played, quiet};
use prometheus::Prometheus;

fn read(families: &[Family]) -> Telemetry {
    let file = openmetrics::write(families);
    read_bytes(Path::new(&file.name), &file.bytes, &ReadOptions::default()).unwrap()
}

/// The only series of a subject, as people write it, with this name and statistic.
fn series<'t>(telemetry: &'t Telemetry, subject: &str, name: &str, signal: Signal) -> &'t Series {
    let is_wanted = |series: &&Series| {
        let known = (series.subject.to_string(), series.name.as_str(), series.signal, series.statistic);
        known == (subject.to_owned(), name, signal, Statistic::Mean)
    };
    let found: Vec<&Series> = telemetry.series.iter().filter(is_wanted).collect();
    assert_eq!(found.len(), 1, "{subject} {name} {signal:?}");
    found[0]
}

fn mean(samples: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = samples.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// What the recording was written with comes out of our own ingest again: every rate, share and change.
#[test]
fn our_own_ingest_understands_what_is_written() {
    let (system, recording) = played();
    let telemetry = read(&collect(&system, &recording, &Imperfections::default(), 7));
    let kinds: Vec<&str> = telemetry.dialects.iter().map(|told| told.rsplit_once(" (").unwrap().0).collect();
    assert_eq!(kinds, ["cAdvisor", "kube-state-metrics", "node exporter", "spanmetrics (OpenTelemetry Collector)"]);
    // Only what Kubernetes' users see as well.
    let warned: Vec<&str> = telemetry.warnings.iter().map(|warning| warning.place.as_str()).collect();
    assert_eq!(warned, ["series `kube_pod_container_info`", "series `traces_span_metrics_calls_total`"]);
    assert_eq!(telemetry.skipped, 0);

    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 0.01 * expected, "{found} {expected}");
    let all = |subject: &str, name: &str, signal| {
        mean(series(&telemetry, subject, name, signal).samples.iter().map(|sample| sample.1))
    };
    close(all("front-5c8d7b6f44-x7j2l", "container_cpu_usage_seconds_total", Signal::Cpu), 0.1);
    close(all("orders-db-0", "container_cpu_cfs_throttled_periods_total", Signal::CpuThrottling), 0.1);
    close(all("bus-0", "container_memory_working_set_bytes/limit", Signal::Memory), 300.0 / 512.0);
    close(all("bus-0", "container_fs_io_time_seconds_total", Signal::Disk), 0.05);
    close(all("cart-6b5d8f7c94-n4kvz", "jvm_gc_overhead", Signal::Other), 0.02);
    close(all("cart-6b5d8f7c94-n4kvz", "hikaricp_connections_active", Signal::Other), 4.0);
    close(all("report-batch-29480222-cfqjs", "container_cpu_usage_seconds_total", Signal::Cpu), 1.5);

    // Machine 2 has four processors, a pod of the cart, one of shipping, and the batch job.
    let machine = telemetry.series.iter().find(|series| {
        series.signal == Signal::NodeCpu
            && series.subject.to_string() == "node-2"
            && series.subject.service().as_str() == "cart"
    });
    close(mean(machine.unwrap().samples.iter().map(|sample| sample.1)), (0.2 + 0.35 + 1.5) / 4.0);

    let restarts =
        series(&telemetry, "cart-6b5d8f7c94-n4kvz", "kube_pod_container_status_restarts_total", Signal::Restarts);
    let restarted: Vec<i64> =
        restarts.samples.iter().filter(|(_, rate)| *rate > 0.0).map(|(at_ns, _)| *at_ns).collect();
    assert_eq!(restarted.len(), 1);
    let since_s = (restarted[0] - START_NS) / SECOND_NS;
    assert!((KILLED_S..KILLED_S + 60).contains(&since_s), "{since_s}");
    let reason = "kube_pod_container_status_last_terminated_reason{reason=\"OOMKilled\"}";
    series(&telemetry, "cart-6b5d8f7c94-n4kvz", reason, Signal::Restarts);

    let [change] = telemetry.changes.as_slice() else { panic!("{:?}", telemetry.changes) };
    assert_eq!(change.version, "registry.example/cart:1.5.0");
    let since_s = (change.at_ns - START_NS) / SECOND_NS;
    assert!((DEPLOY_S..=DEPLOY_S + 30).contains(&since_s), "{since_s}");
}

/// Requests, failures and durations are those of the spans, whatever the sampling of traces.
#[test]
fn span_metrics_count_every_span() {
    let (system, recording) = played();
    let lossy = Imperfections { sampling: Sampling::Head(0.01), lost_spans: 0.5, ..Imperfections::default() };
    let families = collect(&system, &recording, &lossy, 7);
    let telemetry = read(&families);
    let errors = series(&telemetry, "front POST /checkout", "traces_span_metrics_calls_total", Signal::ErrorRatio);
    let (before, after): (Vec<_>, Vec<_>) =
        errors.samples.iter().partition(|(at_ns, _)| *at_ns < START_NS + FAULT_S * SECOND_NS);
    assert!(before.iter().all(|(_, ratio)| *ratio < 1e-9));
    // 600 s with 8 requests a second of which a third fails: five standard errors are 0.034.
    let ratio = mean(after.iter().map(|(_, ratio)| *ratio));
    assert!((ratio - 0.33).abs() < 0.04, "{ratio}");

    let calls = families.iter().find(|family| family.name == "traces_span_metrics_calls").unwrap();
    let last_tick = calls.series.iter().flat_map(|series| &series.samples).map(|sample| sample.0).max().unwrap();
    let counted: f64 = calls.series.iter().filter_map(|series| series.samples.last()).map(|sample| sample.1).sum();
    let ended = recording.spans.iter().filter(|span| span.end_ns <= last_tick).count();
    assert!((counted - ended as f64).abs() < 0.5, "{counted} of {ended}");
}

#[test]
fn scrapes_are_missing_where_telemetry_lacks_them() {
    let (system, recording) = played();
    let count = |imperfections: &Imperfections, pod: &str| {
        let families = collect(&system, &recording, imperfections, 7);
        let cpu = families.iter().find(|family| family.name == "container_cpu_usage_seconds").unwrap();
        let of_pod = |series: &&MetricSeries| series.labels.contains(&("pod", pod.to_owned()));
        cpu.series.iter().find(of_pod).unwrap().samples.len()
    };
    let whole = Imperfections::default();
    let gap = Imperfections { scrape_gaps: vec![(2, START_NS, 300 * SECOND_NS)], ..whole.clone() };
    assert_eq!(count(&whole, "orders-db-0") - count(&gap, "orders-db-0"), 20);
    assert_eq!(count(&whole, "bus-0"), count(&gap, "bus-0"));
    // 120 scrapes of which a tenth is lost: 12, with a standard deviation of 3.3.
    let lossy = Imperfections { lost_scrapes: 0.1, ..whole.clone() };
    let lost = count(&whole, "bus-0") - count(&lossy, "bus-0");
    assert!((1..=28).contains(&lost), "{lost}");
    // A pod that ended has no more samples.
    assert_eq!(count(&whole, "cart-6b5d8f7c94-h7jrw"), 40);
}

#[test]
fn alerts_fire_where_users_feel_it_and_not_before() {
    let (system, recording) = played();
    let families = collect(&system, &recording, &Imperfections::default(), 7);
    let firings = alert::evaluate(&system, &families, &plan());
    let told: Vec<(&str, &str)> = firings.iter().map(|firing| (firing.rule, firing.service())).collect();
    let expected = [
        ("ErrorRatioHigh", "front"),
        ("LatencyHigh", "front"),
        ("ErrorBudgetBurn", "front"),
        ("LatencyObjectiveMissed", "front"),
        ("TopicLag", "shipping"),
        ("LatencyDoubled", "front"),
    ];
    assert_eq!(told, expected);
    for firing in &firings {
        let since_s = (firing.pending_since_ns - START_NS) / SECOND_NS;
        assert!((FAULT_S..FAULT_S + 90).contains(&since_s), "{since_s} {}", firing.rule);
        assert_eq!(firing.ends_ns, None);
    }
    let (system, recording) = quiet();
    let families = collect(&system, &recording, &Imperfections::default(), 7);
    assert_eq!(alert::evaluate(&system, &families, &plan()), []);
}

/// Calls vanish though every answer is OK, later all requests, and then all is well again.
#[test]
fn alerts_fire_on_what_is_missing_and_end() {
    let (system, mut recording) = quiet();
    let since_s = |span: &SpanRecord| (span.end_ns - START_NS) / SECOND_NS;
    recording.spans.retain(|span| span.side != Side::Consumer || since_s(span) < 1200);
    recording.spans.retain(|span| !(1380..1620).contains(&since_s(span)));
    let families = collect(&system, &recording, &Imperfections::default(), 7);
    let firings = alert::evaluate(&system, &families, &plan());
    let dropped: Vec<&Firing> = firings.iter().filter(|firing| firing.rule == "CallsDropped").collect();
    assert_eq!(dropped.iter().map(|firing| firing.service()).collect::<Vec<_>>(), ["shipping"]);
    // Half of five minutes after the calls end the share is half, two minutes later it is known.
    let starts_s = (dropped[0].starts_ns - START_NS) / SECOND_NS;
    assert!((1200 + 150 + 120 - 30..1200 + 150 + 120 + 60).contains(&starts_s), "{starts_s}");
    let silent: Vec<&Firing> = firings.iter().filter(|firing| firing.rule == "ServiceSilent").collect();
    assert_eq!(silent.len(), 2, "{firings:?}");
    for firing in silent {
        let (starts_s, ends_s) = ((firing.starts_ns - START_NS) / SECOND_NS, firing.ends_ns.unwrap() - START_NS);
        assert!((1490..1600).contains(&starts_s) && ends_s / SECOND_NS < 1740, "{firing:?}");
    }
    let body = alert::body(&firings, &system);
    let read = read_bytes(Path::new(&body.name), &body.bytes, &ReadOptions::default()).unwrap();
    // What ended is not what an analysis starts from.
    assert_eq!(read.alerts.len(), firings.iter().filter(|firing| firing.ends_ns.is_none()).count());
}

#[test]
fn our_own_ingest_reads_the_body() {
    let (system, recording) = played();
    let families = collect(&system, &recording, &Imperfections::default(), 7);
    let firings = alert::evaluate(&system, &families, &plan());
    let file = alert::body(&firings, &system);
    let telemetry = read_bytes(Path::new(&file.name), &file.bytes, &ReadOptions::default()).unwrap();
    assert!(telemetry.warnings.is_empty(), "{:?}", telemetry.warnings);
    assert_eq!(telemetry.alerts.len(), firings.len());
    for (alert, firing) in telemetry.alerts.iter().zip(&firings) {
        let symptom = match firing.rule {
            "ErrorRatioHigh" | "ErrorBudgetBurn" => Some(Symptom::Errors),
            "LatencyHigh" | "LatencyObjectiveMissed" | "LatencyDoubled" => Some(Symptom::Latency),
            _ => None,
        };
        assert_eq!(alert.name, firing.rule);
        assert_eq!(alert.symptom, symptom, "{}", firing.rule);
        assert_eq!(alert.service.as_ref().map(ToString::to_string).as_deref(), Some(firing.service()));
        assert_eq!((alert.starts_ns, alert.ends_ns), (Some(firing.starts_ns), None));
        assert_eq!(alert.expression.as_ref(), Some(&firing.expression));
        assert_eq!(alert.summary.as_ref(), Some(&firing.summary));
    }
}

#[test]
fn promtool_accepts_the_rules() {
    let (system, _) = played();
    let Some(told) = prometheus::check_rules(&alert::rules_file(&system).bytes) else { return };
    let expected = format!("SUCCESS: {} rules found", alert::rules(&system).len());
    assert!(told.contains(&expected), "{told}");
}

/// An expression and everything that it is made of.
fn parts(expression: &Expression) -> Vec<Expression> {
    let inner: Vec<&Expression> = match expression {
        Expression::Divide(left, right)
        | Expression::Times(left, right)
        | Expression::Above(left, right)
        | Expression::Below(left, right)
        | Expression::And(left, right) => vec![&**left, &**right],
        Expression::Number(_)
        | Expression::Sum(_)
        | Expression::SumRate(..)
        | Expression::SumDelta(..)
        | Expression::Quantile(..) => Vec::new(),
    };
    let inner = inner.into_iter().flat_map(parts);
    inner.filter(|part| !matches!(part, Expression::Number(_))).chain([expression.clone()]).collect()
}

/// Every rule at every instant at which it is evaluated, and all parts of it, by our own arithmetic and by a real
/// Prometheus over the file that was written; then its verdict on each alert.
fn compare(system: &System, plan: &Plan, families: &[Family], prometheus: &Prometheus) {
    let instants = alert::instants(plan);
    let rules = alert::rules(system);
    let mut compared = 0;
    for expression in rules.iter().flat_map(|rule| parts(&rule.expression)) {
        let ours = expression.values(families, &instants);
        let theirs = prometheus.query_range(&expression.to_string(), &instants, i64::from(alert::INTERVAL_S));
        for ((ours, theirs), at_ns) in ours.iter().zip(&theirs).zip(&instants) {
            let same = match (ours, theirs) {
                (Some(ours), Some(theirs)) => {
                    (ours.is_nan() && theirs.is_nan()) || (ours - theirs).abs() <= 1e-9 * theirs.abs()
                }
                (None, None) => true,
                _ => false,
            };
            assert!(same, "{ours:?} {theirs:?} at {at_ns} of {expression}");
            compared += usize::from(ours.is_some());
        }
    }
    // Each rule has parts that have a value for most of the time.
    assert!(compared > 40 * rules.len(), "{compared} values of {} rules", rules.len());
    // Nothing before it was pending, something from then on.
    for firing in alert::evaluate(system, families, plan) {
        let theirs = prometheus.query_range(&firing.expression, &instants, i64::from(alert::INTERVAL_S));
        let holds = |at_ns: i64| theirs[instants.iter().position(|instant| *instant == at_ns).unwrap()].is_some();
        let interval_ns = i64::from(alert::INTERVAL_S) * SECOND_NS;
        assert!(!holds(firing.pending_since_ns - interval_ns), "{}", firing.expression);
        assert!(holds(firing.pending_since_ns) && holds(firing.starts_ns), "{}", firing.expression);
    }
}

#[test]
fn a_real_prometheus_computes_the_same() {
    let (system, recording) = played();
    let families = collect(&system, &recording, &Imperfections::default(), 7);
    let Some(prometheus) = Prometheus::over(&openmetrics::text(&families)) else { return };
    compare(&system, &plan(), &families, &prometheus);
}

/// An incident as `hypocenter simulate` plays it, with all that its telemetry lacks.
#[test]
fn a_real_prometheus_takes_a_simulated_incident() {
    let choice = Choice {
        system: Some("shop".to_owned()),
        fault: Some("slow-database".to_owned()),
        severity: Some(Severity::Severe),
        ..Choice::default()
    };
    let scenario = draw(&choice, &by_name, 3, 0).unwrap();
    let recording = world::run(&scenario.system, &scenario.plan);
    let families = collect(&scenario.system, &recording, &scenario.imperfections, scenario.plan.seed);
    let firings = alert::evaluate(&scenario.system, &families, &scenario.plan);
    assert!(firings.iter().any(|firing| firing.starts_ns >= scenario.faults[0].from_ns), "{firings:?}");
    let Some(prometheus) = Prometheus::over(&openmetrics::text(&families)) else { return };
    compare(&scenario.system, &scenario.plan, &families, &prometheus);
}

/// What people ask a Prometheus of a cluster, against what the recording was written with.
#[test]
fn a_real_prometheus_answers_what_people_ask() {
    let (system, recording) = played();
    let families = collect(&system, &recording, &Imperfections::default(), 7);
    let Some(prometheus) = Prometheus::over(&openmetrics::text(&families)) else { return };
    let at_ns = START_NS + 1000 * SECOND_NS;
    let check = |expression: &str, label: &str, expected: &[(&str, f64)]| {
        let found = prometheus.query(expression, at_ns, label);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{expression}");
        for ((name, found), (_, expected)) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 0.001 * expected.abs(), "{found} of {name} for {expression}");
        }
    };
    let by_pod = [
        ("bus-0", 0.3),
        ("cart-6b5d8f7c94-n4kvz", 0.2),
        ("cart-77d9c8b5f6-m8txk", 0.45),
        ("front-5c8d7b6f44-b2k9x", 0.05),
        ("front-5c8d7b6f44-x7j2l", 0.1),
        ("orders-db-0", 0.25),
        ("report-batch-29480222-cfqjs", 1.5),
        ("shipping-7f9c6d5b88-q2wtx", 0.35),
    ];
    check("sum by (pod) (rate(container_cpu_usage_seconds_total[2m]))", "pod", &by_pod);
    let of_machines = [("10.0.0.10:9100", 0.3), ("10.0.0.11:9100", 0.85), ("10.0.0.12:9100", 2.05)];
    check(r#"sum by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[5m]))"#, "instance", &of_machines);
    let of_nodes = [("node-0", 2.0), ("node-1", 3.0), ("node-2", 3.0)];
    check("count by (node) (kube_pod_info)", "node", &of_nodes);
    check(
        "container_memory_working_set_bytes / on (namespace, pod, container) container_spec_memory_limit_bytes \
         and on (pod) kube_pod_owner{owner_kind=\"StatefulSet\"}",
        "pod",
        &[("bus-0", 300.0 / 512.0), ("orders-db-0", 300.0 / 512.0)],
    );
    check(
        r#"sum by (container) (container_spec_cpu_quota{container!=""} / container_spec_cpu_period)"#,
        "container",
        &[("bus", 1.0), ("cart", 2.0), ("front", 2.0), ("orders-db", 1.0), ("shipping", 1.0)],
    );
    let as_wanted = [("cart", 2.0), ("front", 2.0), ("shipping", 1.0)];
    check("kube_deployment_status_replicas_available == kube_deployment_spec_replicas", "deployment", &as_wanted);
    check("max by (pool) (hikaricp_connections_active / hikaricp_connections_max)", "pool", &[("orders-db", 0.4)]);
}
