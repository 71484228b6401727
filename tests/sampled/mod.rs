//! Sampled traffic: what its weights must give back, held against the traffic that it was taken from.

use hypocenter::analysis::{self, analyze};
use hypocenter::assemble::{Request, assemble};
use hypocenter::detect::{self, Finding, detect};
use hypocenter::incident::Incident;
use hypocenter::ingest::{ReadOptions, Telemetry, read_bytes};
use hypocenter::report;
use hypocenter::telemetry::calls::CallRow;
use hypocenter::telemetry::series::{Signal, Subject};
use hypocenter::telemetry::sketch::Sketch;
use hypocenter::telemetry::time::Window;

use super::*;

mod formats;

#[test]
fn every_call_counts_as_its_span_says() {
    let stats = check(
        "
        1/1 - web  server GET/ 0+100 weight=10
        1/2 1 web  client get  10+30 weight=10
        1/3 2 cart server get  15+20 weight=10
        2/1 - web  server GET/ 0+200 error weight=1
        3/1 - web  server GET/ 0+300 error weight=3
        ",
        &[
            "* -> web GET/: 14x2100 self 1800 part 1800+0 errors 4 caller 0 origin 4 edge 0",
            "web -> cart get: 10x200 self 200 part 200+100 gap 100",
        ],
    );
    let web = &stats.rows[0];
    assert_eq!((web.observed, web.weight_squares, web.error_weight_squares), (3, 110, 10));
    assert_eq!(web.durations.counts(), [(Sketch::bucket(100), 10), (Sketch::bucket(200), 1), (Sketch::bucket(300), 3)]);
    assert_eq!((stats.rows[1].gaps.count(), stats.rows[1].paired_calls), (10, 10));
    let instance = &stats.instances[1];
    assert_eq!((instance.calls, instance.observed, instance.weight_squares), (14, 3, 110));
    assert_eq!((instance.error_weight_squares, instance.errors, instance.duration_ns), (10, 4, 2100));
    assert_eq!((stats.coverage.sampled, stats.coverage.represented), (4, 34));
    assert_eq!((stats.coverage.spans, stats.coverage.unevenly_sampled), (5, 0));
    assert_eq!(web.failed.unwrap().trace, TraceId(2), "an exemplar is one trace, whatever it stands for");
}

#[test]
fn who_does_not_say_it_follows_the_caller() {
    // Jaeger's clients write the parameter of their sampler on the first span only; a proxy before it writes nothing.
    let stats = check(
        "
        1/1 - proxy server GET/ 0+100
        1/2 1 web   server GET/ 10+80 weight=5
        1/3 2 cart  server get  20+30
        2/1 - web   server GET/ 0+50
        ",
        &[
            "* -> proxy GET/: 5x500 self 100 part 100+0",
            "* -> web GET/: 1x50 self 50 part 50+0",
            "proxy -> web GET/: 5x400 self 250 part 250+0",
            "web -> cart get: 5x150 self 150 part 150+0",
        ],
    );
    assert_eq!(stats.coverage.unevenly_sampled, 0);
}

#[test]
fn spans_of_a_trace_that_disagree_are_told_and_split_the_roots_time_exactly() {
    let text = "
        1/1 - web  server GET/ 0+100 weight=2
        1/2 1 cart server get  10+30 weight=8
        1/3 2 shop server find 15+10
        2/1 - web  server GET/ 0+100 weight=2
    ";
    let (stats, warnings) = aggregate(&spans(text), &Grid::new(MINUTE_NS));
    let calls: Vec<u64> = stats.rows.iter().map(|row| row.calls).collect();
    assert_eq!(calls, [4, 8, 8]);
    assert_eq!(stats.rows.iter().map(|row| row.part_ns).sum::<u64>(), 400);
    assert_eq!(stats.coverage.unevenly_sampled, 1);
    let told = warnings.iter().find(|w| w.message.contains("sampled at different rates")).unwrap();
    assert_eq!(told.affected, 1);
}

/// Service, instance, bin, and the sums of an instance.
type InstanceSums = (u32, String, i64, [u64; 5]);

/// What must be the same for traffic and for its weighted stand-in.
fn without_traces(stats: &CallStats) -> (Vec<CallRow>, Vec<InstanceSums>) {
    let rows = stats.rows.iter().map(|row| CallRow {
        observed: 0,
        weight_squares: 0,
        error_weight_squares: 0,
        slowest: None,
        failed: None,
        typical: None,
        ..row.clone()
    });
    let instances = stats.instances.iter().map(|i| {
        let sums = [i.calls, i.errors, i.origin_errors, i.duration_ns, i.self_ns];
        (i.service, i.instance.clone(), i.bin, sums)
    });
    (rows.collect(), instances.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_trace_of_weight_n_counts_as_n_such_traces(mut spans in sketchy(), weights in prop::array::uniform3(1..6_u32)) {
        spans.iter_mut().for_each(|span| span.9 = 40); // links name traces, and copies have other names
        let mut weighted = table(&spans);
        for (row, span) in spans.iter().enumerate() {
            weighted.set_weight(row, weights[usize::from(span.0)]);
        }
        let copies: Vec<Sketchy> = spans
            .iter()
            .flat_map(|span| (0..weights[usize::from(span.0)]).map(|copy| (span.0 + 3 * copy as u8, *span)))
            .map(|(trace, span)| (trace, span.1, span.2, span.3, span.4, span.5, span.6, span.7, span.8, span.9))
            .collect();
        let (weighted, all, seen) = (stats(&weighted), stats(&table(&copies)), stats(&table(&spans)));
        prop_assert_eq!(without_traces(&weighted), without_traces(&all));
        for (row, seen) in weighted.rows.iter().zip(&seen.rows) {
            prop_assert_eq!((row.observed, row.slowest, row.failed, row.typical),
                (seen.calls, seen.slowest, seen.failed, seen.typical));
            prop_assert!(row.weight_squares >= row.calls && row.calls * row.calls <= row.weight_squares * row.observed);
            prop_assert!(row.error_weight_squares >= row.errors && row.error_weight_squares <= row.weight_squares);
        }
    }

    #[test]
    fn weights_know_no_order(spans in sketchy(), seed in any::<u64>(), cut in 0..40_usize) {
        let weighted = |spans: &[Sketchy]| {
            let mut table = table(spans);
            for (row, span) in spans.iter().enumerate() {
                table.set_weight(row, [0, 1, 20, 9001, u32::MAX][(span.5.rem_euclid(5)) as usize]);
            }
            table
        };
        let mut shuffled = spans.clone();
        shuffled.sort_by_key(|span| format!("{span:?}").bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)));
        let (head, tail) = shuffled.split_at(cut.min(shuffled.len()));
        let mut joined = weighted(head);
        joined.append_all(vec![weighted(tail), SpanTable::new()]);
        prop_assert_eq!(joined.weight.is_empty(), weighted(&spans).weight.is_empty());
        let grid = Grid::new(MINUTE_NS);
        prop_assert_eq!(aggregate(&weighted(&spans), &grid), aggregate(&joined, &grid));
    }
}

/// Repeatable noise (Knuth's MMIX generator).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// Which traces are kept.
#[derive(Clone, Copy, PartialEq)]
enum Sampling {
    /// All.
    Full,
    /// One of so many, whatever comes of it.
    Head(u32),
    /// All that fail, of the others one of so many.
    Tail(u32),
    /// All before minute 40 and one of so many from there on: somebody turned the sampling on.
    HeadFromIncident(u32),
}

/// Fifty minutes of traffic through web to cart and stock, as far as it is kept. Stock fails for a share of requests that
/// depends on the minute.
fn traffic(seed: u64, per_minute: u64, sampling: Sampling, failing: impl Fn(i64) -> f64) -> SpanTable {
    let mut noise = Noise(seed);
    let mut table = SpanTable::new();
    let resources = ["web", "cart", "stock"].map(|name| table.resource_key(name, &format!("{name}-0"), ""));
    let operation = table.operation_key("get");
    for request in 0..50 * per_minute {
        let trace = TraceId((u128::from(noise.next()) << 64) | u128::from(noise.next()));
        let minute = (request / per_minute) as i64;
        let at = minute * MINUTE_NS + (noise.uniform() * MINUTE_NS as f64) as i64;
        let fails = noise.uniform() < failing(minute);
        let lengths = [0.1, 0.4, 0.4].map(|sigma| (2e7 * (sigma * noise.normal()).exp()) as u64);
        let weight = match sampling {
            Sampling::Full => 1,
            Sampling::Tail(_) if fails => 1,
            Sampling::HeadFromIncident(_) if minute < 40 => 1,
            Sampling::Head(weight) | Sampling::Tail(weight) | Sampling::HeadFromIncident(weight) => weight,
        };
        // Consistent sampling: the last 56 bits are held against the threshold.
        let random = (trace.0 as u64) & ((1 << 56) - 1);
        if random < (1 << 56) - (1_u64 << 56) / u64::from(weight) {
            continue;
        }
        let starts = [at, at + 1_000_000, at + 2_000_000 + lengths[1] as i64];
        let durations = [lengths[0] + lengths[1] + lengths[2], lengths[1], lengths[2]];
        for node in 0..3 {
            let span = Span {
                trace,
                id: SpanId(node as u64 + 1),
                parent: (node > 0).then_some(SpanId(1)),
                resource: resources[node],
                operation,
                kind: SpanKind::Server,
                status: if fails && node != 1 { SpanStatus::Error } else { SpanStatus::Unset },
                peer: None,
                start_ns: starts[node],
                duration_ns: durations[node],
            };
            table.push_weighted(span, if sampling == Sampling::Full { 0 } else { weight });
        }
    }
    table
}

/// Calls and errors of a service and the quantiles of its durations.
fn of_service(stats: &CallStats, name: &str) -> (f64, f64, Sketch) {
    let mut found = (0.0, 0.0, Sketch::default());
    for row in stats.rows.iter().filter(|row| stats.service(row.key.callee).as_str() == name) {
        found.0 += row.calls as f64;
        found.1 += row.errors as f64;
        found.2.merge(&row.durations);
    }
    found
}

#[test]
fn sampled_traffic_says_what_all_of_it_says() {
    let failing = |_| 0.05;
    let full = stats(&traffic(3, 2000, Sampling::Full, failing));
    for (sampling, weight) in [(Sampling::Head(20), 20.0), (Sampling::Tail(20), 20.0), (Sampling::Head(7), 7.0)] {
        let sampled = stats(&traffic(3, 2000, sampling, failing));
        for name in ["web", "cart", "stock"] {
            let (all, errors, durations) = of_service(&full, name);
            let (estimate, estimated_errors, estimated_durations) = of_service(&sampled, name);
            // A sample of one in w of n: the estimate's variance is n (w - 1).
            let allowed = 5.0 * (all * (weight - 1.0)).sqrt();
            assert!((estimate - all).abs() < allowed, "{name}: {estimate} of {all}");
            if matches!(sampling, Sampling::Tail(_)) {
                assert_eq!(estimated_errors as u64, errors as u64, "every failure was kept");
            } else {
                assert!((estimated_errors - errors).abs() < 5.0 * (errors * (weight - 1.0)).sqrt() + 1e-9, "{name}");
            }
            for q in [0.5, 0.9, 0.99] {
                // Five standard errors of a rank, in the full traffic's own distribution; one bucket for the sketch.
                let error = 5.0 * (q * (1.0 - q) * (weight - 1.0) / all).sqrt();
                let (low, high) = (durations.quantile(q - error).unwrap(), durations.quantile(q + error).unwrap());
                let found = estimated_durations.quantile(q).unwrap();
                assert!(
                    found >= low * (1.0 - 1.0 / 64.0) && found <= high * (1.0 + 1.0 / 64.0),
                    "{name} p{q}: {found}"
                );
            }
        }
        let kept = sampled.coverage;
        assert_eq!(kept.sampled > 0, kept.represented > kept.spans);
        let requests: u64 = sampled.rows.iter().map(|row| row.calls).sum();
        assert_eq!(kept.represented, requests, "here every span is a call");
    }
}

fn minutes(from: i64, to: i64) -> Window {
    Window::new(from * MINUTE_NS, to * MINUTE_NS).unwrap()
}

/// Baseline from minute 0 to 30, incident from 40 to 50.
fn incident(spans: SpanTable) -> Incident {
    let request = Request {
        name: "sampled".to_owned(),
        window: minutes(40, 50),
        baselines: vec![minutes(0, 30)],
        entry: None,
        symptom: None,
    };
    let mut telemetry = Telemetry::default();
    telemetry.spans = spans;
    assemble(telemetry, request).unwrap()
}

fn found(spans: SpanTable) -> Vec<Finding> {
    detect(&incident(spans), &detect::Settings::default())
}

#[test]
fn sampling_raises_no_more_alarms_than_promised() {
    let all = [
        (Sampling::Full, 60),
        (Sampling::Head(20), 600),
        (Sampling::Head(100), 600),
        (Sampling::Tail(20), 400),
        (Sampling::HeadFromIncident(10), 200),
    ];
    for (sampling, per_minute) in all {
        let alarms = (0..40).filter(|seed| {
            let findings = found(traffic(100 + seed, per_minute, sampling, |_| 0.02));
            assert!(findings.len() > 10);
            findings.iter().any(|finding| finding.significant)
        });
        // 5 % of 40 and three standard deviations
        let alarms = alarms.count();
        assert!(alarms <= 6, "{alarms} of 40 alarms");
    }
}

#[test]
fn a_rise_of_failures_is_found_in_sampled_traffic() {
    let failing = |minute| if minute >= 42 { 0.06 } else { 0.02 };
    let ratio = |findings: &[Finding]| {
        let of_stock = |f: &&Finding| f.subject == Subject::Service("stock".into()) && f.signal == Signal::ErrorRatio;
        findings.iter().find(of_stock).cloned().unwrap()
    };
    for sampling in [Sampling::Full, Sampling::Tail(20), Sampling::Head(5)] {
        let found = ratio(&found(traffic(11, 1000, sampling, failing)));
        assert!(found.significant, "{found:?}");
        assert!((found.baseline - 0.02).abs() < 0.006 && (found.incident - 0.052).abs() < 0.015, "{found:?}");
    }
}

/// One server span as OTLP JSON.
fn otlp_span(trace: u128, at_ns: i64, failed: bool, trace_state: &str) -> String {
    let (status, end_ns) = (if failed { 2 } else { 0 }, at_ns + 5_000_000);
    format!(
        r#"{{"traceId":"{trace:032x}","spanId":"00000000000000aa","name":"GET /","kind":2,"traceState":"{trace_state}",
        "startTimeUnixNano":"{at_ns}","endTimeUnixNano":"{end_ns}","status":{{"code":{status}}}}}"#
    )
}

/// Tail sampling keeps every failure (`th:0`) and one success of twenty (`th` of 95 %): 380 + 20 requests a minute with 4
/// failures before, 1900 + 100 requests with 100 failures in the incident. Counted as they come, 51 % would have failed.
#[test]
fn vector_01_95_ok_at_5_percent_5_errors_at_100_percent_gives_5_percent_errors() {
    let (all, one_of_twenty) = ("ot=th:0", "rojo=00f067aa0ba902b7,ot=rv:ffffffffffffff;th:f3333333333333");
    let start = 29_000_000 * MINUTE_NS;
    let mut noise = Noise(1);
    let mut spans = Vec::new();
    let mut add = |minute: i64, count: usize, failed, trace_state| {
        for _ in 0..count {
            let at_ns = start + minute * MINUTE_NS + (noise.uniform() * 59e9) as i64;
            spans.push(otlp_span(
                (u128::from(noise.next()) << 64) | u128::from(noise.next()),
                at_ns,
                failed,
                trace_state,
            ));
        }
    };
    for minute in 0..10 {
        add(minute, 95, false, one_of_twenty);
        add(minute, 4, true, all);
    }
    for minute in 10..15 {
        add(minute, 95, false, one_of_twenty);
        add(minute, 100, true, all);
    }
    let resource = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}}]}"#;
    let text =
        format!(r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","));
    let telemetry = read_bytes(Path::new("t.json"), text.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!((telemetry.warnings.len(), telemetry.spans.len()), (0, 10 * 99 + 5 * 195));

    let window = |from: i64, to: i64| Window::new(start + from * MINUTE_NS, start + to * MINUTE_NS).unwrap();
    let request = Request {
        name: "tail sampling".to_owned(),
        window: window(10, 15),
        baselines: vec![window(0, 10)],
        entry: None,
        symptom: None,
    };
    let incident = assemble(telemetry, request).unwrap();
    let sum = |of: fn(&CallRow) -> u64, during: bool| -> u64 {
        let rows = incident.calls.rows.iter();
        rows.filter(|r| incident.window.contains(incident.calls.grid.bin_start_ns(r.key.bin)) == during).map(of).sum()
    };
    assert_eq!((sum(|r| r.calls, true), sum(|r| r.errors, true), sum(|r| r.observed, true)), (10_000, 500, 975));
    assert_eq!((sum(|r| r.calls, false), sum(|r| r.errors, false)), (19_040, 40));

    let findings = detect(&incident, &detect::Settings::default());
    let ratio = findings.iter().find(|f| f.signal == Signal::ErrorRatio).unwrap();
    assert!((ratio.incident - 0.05).abs() < 1e-9 && ratio.significant, "{ratio:?}");
    assert_eq!((ratio.n_incident, ratio.n_baseline), (975, 990), "counts behind a finding are what was seen");
    let mut text = Vec::new();
    let diagnosis = analyze(&incident, &analysis::Settings::default());
    report::write(&diagnosis, report::Format::Markdown, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("0.21 % → 5 % (×24)"), "{text}");
}
