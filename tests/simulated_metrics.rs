//! Simulated metrics in real tools: what is written is read by our own ingest, taken by `promtool`, and a real
//! Prometheus answers over it as we compute.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "simulated_metrics/played.rs"]
mod played;

use std::path::Path;

use hypocenter::ingest::{ReadOptions, Telemetry, read_bytes};
use hypocenter::simulate::metrics::{Family, MetricSeries, collect, openmetrics};
use hypocenter::simulate::observe::{Imperfections, Sampling};
use hypocenter::telemetry::series::{Series, Signal, Statistic};
use played::{DEPLOY_S, FAULT_S, KILLED_S, SECOND_NS, START_NS, played};

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
    close(all("bus-0", "container_fs_io_time_seconds_total", Signal::Other), 0.05);
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
    assert!((KILLED_S..KILLED_S + 30).contains(&since_s), "{since_s}");
    let reason = "kube_pod_container_status_last_terminated_reason{reason=\"OOMKilled\"}";
    series(&telemetry, "cart-6b5d8f7c94-n4kvz", reason, Signal::Restarts);

    let [change] = telemetry.changes.as_slice() else { panic!("{:?}", telemetry.changes) };
    assert_eq!(change.version, "registry.example/cart:1.5.0");
    let since_s = (change.at_ns - START_NS) / SECOND_NS;
    assert!((DEPLOY_S..=DEPLOY_S + 15).contains(&since_s), "{since_s}");
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
