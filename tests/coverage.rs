//! What telemetry does not show: how reports tell it, what it costs, and what `doctor` advises. Everything is made, so
//! that each gap is known.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::time::Instant;

use hypocenter::aggregate::aggregate;
use hypocenter::analysis::{Settings, analyze};
use hypocenter::doctor::{self, Examination, FileFacts, Severity, Verdict};
use hypocenter::explain::{Coverage, Diagnosis, KnownFrom, Shortfall, coverage};
use hypocenter::incident::{Incident, IncidentParts};
use hypocenter::ingest::{ReadOptions, Telemetry, read_bytes};
use hypocenter::report;
use hypocenter::telemetry::alert::Alert;
use hypocenter::telemetry::change::{Change, ChangeKind};
use hypocenter::telemetry::clock::ClockSkew;
use hypocenter::telemetry::id::{SpanId, TraceId};
use hypocenter::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use hypocenter::telemetry::span::{PeerKind, ResourceKey, Span, SpanKind, SpanStatus, SpanTable};
use hypocenter::telemetry::time::{Grid, NANOS_PER_SECOND, Window};

/// 2026-03-02T10:00:00Z.
const TEN: i64 = 1_772_445_600 * NANOS_PER_SECOND;
const MINUTE: i64 = 60 * NANOS_PER_SECOND;

fn minutes(from: i64, to: i64) -> Window {
    Window::new(TEN + from * MINUTE, TEN + to * MINUTE).unwrap()
}

/// A span as this file writes it: ids below 100 of a trace, whose number is that of its request.
struct Draft<'a> {
    trace: u64,
    id: u64,
    parent: u64,
    service: &'a str,
    kind: SpanKind,
    peer: Option<(&'a str, PeerKind)>,
    failed: bool,
    start_ns: i64,
    milliseconds: u64,
}

fn push(spans: &mut SpanTable, draft: &Draft<'_>) {
    let resource = spans.resource_key(draft.service, &format!("{}-1", draft.service), "1.0");
    let operation = spans.operation_key("GET /");
    let peer = draft.peer.map(|(name, kind)| spans.peer_key(name, kind));
    spans.push(Span {
        trace: TraceId(u128::from(draft.trace) + 1),
        id: SpanId(draft.id),
        parent: (draft.parent > 0).then_some(SpanId(draft.parent)),
        resource,
        operation,
        kind: draft.kind,
        status: if draft.failed { SpanStatus::Error } else { SpanStatus::Unset },
        peer,
        start_ns: draft.start_ns,
        duration_ns: draft.milliseconds * 1_000_000,
    });
}

/// A request a second over a quarter of an hour: frontend → cart → a database. `alter` sees each span before it is added.
fn shop(alter: impl Fn(&mut Draft<'_>)) -> SpanTable {
    let mut spans = SpanTable::new();
    for second in 0..900_u64 {
        let start_ns = TEN + second as i64 * NANOS_PER_SECOND;
        let base = Draft {
            trace: second,
            id: 1,
            parent: 0,
            service: "frontend",
            kind: SpanKind::Server,
            peer: None,
            failed: false,
            start_ns,
            milliseconds: 40 + second % 7,
        };
        let to_cart =
            Draft { id: 2, parent: 1, kind: SpanKind::Client, peer: Some(("cart", PeerKind::Service)), ..base };
        let cart = Draft { id: 3, parent: 2, service: "cart", milliseconds: 20 + second % 5, ..base };
        let to_db = Draft {
            id: 4,
            parent: 3,
            service: "cart",
            kind: SpanKind::Client,
            peer: Some(("postgresql/carts", PeerKind::Database)),
            milliseconds: 10,
            ..base
        };
        for mut draft in [base, to_cart, cart, to_db] {
            alter(&mut draft);
            push(&mut spans, &draft);
        }
    }
    spans
}

fn series(service: &str, signal: Signal, unit: Unit, value: impl Fn(i64) -> Option<f64>) -> Series {
    let samples = (0..60).filter_map(|at| Some((TEN + at * 15 * NANOS_PER_SECOND, value(at)?)));
    Series {
        subject: Subject::Service(service.into()),
        signal,
        statistic: Statistic::Mean,
        unit,
        name: format!("{service}_{signal:?}"),
        samples: samples.collect(),
    }
}

fn cpu(service: &str) -> Series {
    series(service, Signal::Cpu, Unit::Cores, |at| Some(0.2 + 0.01 * (at % 3) as f64))
}

fn incident(spans: &SpanTable, series: Vec<Series>, change: impl FnOnce(&mut IncidentParts)) -> Incident {
    let grid = Grid::new(20 * NANOS_PER_SECOND);
    let mut parts = IncidentParts {
        name: "made".into(),
        series,
        ..IncidentParts::new(minutes(10, 15), vec![minutes(0, 10)], aggregate(spans, &grid).0)
    };
    change(&mut parts);
    Incident::new(parts).unwrap()
}

fn covered(spans: &SpanTable, series: Vec<Series>) -> Coverage {
    coverage(&incident(spans, series, |_| {}))
}

fn silent(coverage: &Coverage) -> Vec<(KnownFrom, String)> {
    coverage.silent.first.iter().map(|s| (s.known_from, s.service.to_string())).collect()
}

#[test]
fn whole_telemetry_costs_only_what_its_number_of_requests_costs() {
    let found = covered(&shop(|_| {}), vec![cpu("frontend"), cpu("cart")]);
    assert_eq!(silent(&found), [(KnownFrom::Callers, "postgresql/carts".into())]);
    assert!(found.series_gaps.is_empty() && found.clocks.is_empty() && found.unweighted_samples.is_empty());
    assert_eq!((found.calls_baseline, found.calls_incident), (600, 300));
    let reasons: Vec<Shortfall> = found.deductions.iter().map(|d| d.shortfall).collect();
    assert_eq!(reasons, [Shortfall::FewRequests]);
    assert!((found.factor - 300.0 / 303.0).abs() < 1e-12, "{}", found.factor);
}

#[test]
fn the_more_parents_are_lost_the_lower_the_confidence() {
    let mut last = 1.0;
    for every in [900, 10, 5, 2, 1] {
        let spans = shop(|d| {
            if d.id == 3 && d.trace.is_multiple_of(every) {
                d.parent = 99;
            }
        });
        let found = covered(&spans, vec![]);
        let lost = 900_u64.div_ceil(every);
        assert_eq!(found.spans.orphans, lost);
        let deduction = found.deductions.iter().find(|d| d.shortfall == Shortfall::LostParents).unwrap();
        assert!((deduction.factor - (1.0 - 0.5 * lost as f64 / 3_600.0)).abs() < 1e-12);
        assert!(found.factor < last && found.factor >= 0.0);
        last = found.factor;
    }
}

#[test]
fn who_is_named_but_silent_is_told_with_what_names_it() {
    let spans = shop(|_| {});
    let found = coverage(&incident(&spans, vec![cpu("cart"), cpu("legacy")], |parts| {
        parts.alert = Some(Alert { service: Some("Frontend".into()), ..Alert::default() });
        parts.logs.services = vec!["cron".into(), "cart".into()];
        parts.changes = vec![Change {
            at_ns: TEN,
            service: Some("search".into()),
            kind: ChangeKind::Deploy,
            version: "2".into(),
            description: String::new(),
            source: "changes.json".into(),
        }];
        parts.dialects = vec!["cAdvisor".into()];
    }));
    let expected = [
        (KnownFrom::Callers, "postgresql/carts"),
        (KnownFrom::Metrics, "legacy"),
        (KnownFrom::Alert, "Frontend"),
        (KnownFrom::Logs, "cron"),
        (KnownFrom::Changes, "search"),
    ];
    assert_eq!(silent(&found), expected.map(|(from, name)| (from, name.to_owned())));
    assert_eq!(found.dialects, ["cAdvisor"]);
    // Without any spans, metrics alone are nothing odd.
    assert!(covered(&SpanTable::new(), vec![cpu("cart")]).silent.is_empty());
}

#[test]
fn what_one_window_alone_holds_is_told() {
    let spans = shop(|d| {
        if d.id == 4 && d.trace >= 600 {
            d.peer = Some(("redis/fallback", PeerKind::Database));
        }
    });
    let half = |name: &str, keep: fn(i64) -> bool| {
        series(name, Signal::Memory, Unit::Bytes, move |at| keep(at).then_some(1.0))
    };
    let mut outside = cpu("late");
    outside.samples.iter_mut().for_each(|s| s.0 += 3_600 * NANOS_PER_SECOND);
    let all = vec![half("old", |at| at < 40), half("new", |at| at >= 40), outside, cpu("cart")];
    let one = covered(&spans, all).one_window;
    let names = |list: &hypocenter::explain::Listed<hypocenter::explain::SeriesName>| -> Vec<String> {
        list.first.iter().map(|s| s.subject.to_string()).collect()
    };
    assert_eq!(names(&one.series_baseline_only), ["old"]);
    assert_eq!(names(&one.series_incident_only), ["new"]);
    assert_eq!(names(&one.series_outside), ["late"]);
    assert_eq!(one.nodes_baseline_only.first, ["postgresql/carts".into()]);
    assert_eq!(one.nodes_incident_only.first, ["redis/fallback".into()]);
}

/// Of 20 requests a second, one in twenty of the good ones and all of the failed (one in twenty) are traced.
#[test]
fn sampling_by_outcome_shows_against_metrics() {
    let failing = |d: &mut Draft<'_>| d.failed = d.trace.is_multiple_of(2) && d.id <= 2;
    let spans = shop(failing);
    let requests = |rate: f64| series("frontend", Signal::Requests, Unit::PerSecond, move |_| Some(rate));
    let errors = |ratio: f64| series("frontend", Signal::ErrorRatio, Unit::Ratio, move |_| Some(ratio));
    // 900 × 20 requests, of which 450 failed: 0.025.
    let by_outcome = covered(&spans, vec![requests(20.0), errors(0.025)]).unweighted_samples;
    let kept = by_outcome.first[0].kept.unwrap();
    assert!((kept.failed - 1.0).abs() < 0.02 && (kept.others - 450.0 / 17_550.0).abs() < 0.002, "{kept:?}");
    // Half of the requests failed, in traces as in metrics: sampled, but not by outcome.
    let evenly = covered(&spans, vec![requests(20.0), errors(0.5)]).unweighted_samples;
    assert_eq!((evenly.total, evenly.first[0].kept), (1, None));
    assert!(covered(&spans, vec![requests(1.0), errors(0.5)]).unweighted_samples.is_empty());
}

#[test]
fn clocks_are_told_the_furthest_first() {
    let spans = shop(|_| {});
    let skew = |callee: &str, offset_ns| ClockSkew { caller: "a".into(), callee: callee.into(), offset_ns, pairs: 9 };
    let found = coverage(&incident(&spans, vec![], |parts| {
        parts.calls.clocks = vec![skew("b", 5), skew("c", -70), skew("d", 7)]
    }));
    let order: Vec<&str> = found.clocks.first.iter().map(|c| c.callee.as_str()).collect();
    assert_eq!(order, ["c", "d", "b"]);
}

fn rendered(diagnosis: &Diagnosis, format: report::Format) -> String {
    let mut out = Vec::new();
    report::write(diagnosis, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const TEXT: report::Format = report::Format::Text { colour: false, width: 100 };

fn telemetry(spans: SpanTable, series: Vec<Series>) -> Telemetry {
    let mut telemetry = Telemetry::default();
    (telemetry.spans, telemetry.series) = (spans, series);
    telemetry
}

fn examined(telemetry: &Telemetry) -> Examination {
    doctor::examine(telemetry, FileFacts::of(telemetry, |_| None), None)
}

fn doctor_text(examination: &Examination) -> String {
    let mut out = Vec::new();
    doctor::write_text(examination, false, 100, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn doctor_json(examination: &Examination) -> serde_json::Value {
    let mut out = Vec::new();
    doctor::write_json(examination, None, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_good_system_is_called_ready() {
    let found = examined(&telemetry(shop(|d| d.failed = d.trace == 7), vec![cpu("frontend"), cpu("cart")]));
    assert_eq!(found.verdict, Verdict::Ready, "{}", doctor_text(&found));
    let worst = found.findings.iter().map(|f| f.severity).min();
    assert!(worst.is_none_or(|s| s == Severity::Note));
    assert!(doctor_text(&found).starts_with("READY FOR ANALYSIS\n"));
}

/// Each fault has its finding, with a word of what is so and one of what to do.
#[test]
#[allow(clippy::too_many_lines, reason = "a row for each finding")]
fn each_gap_has_its_finding() {
    let both = || vec![cpu("frontend"), cpu("cart")];
    let shifted = |hours: i64| {
        let mut late = both();
        late.iter_mut().flat_map(|s| &mut s.samples).for_each(|s| s.0 += hours * 60 * MINUTE);
        late
    };
    let client = |d: &mut Draft<'_>| d.kind = SpanKind::Client;
    let graph_latency = || {
        let mut latency = series("cart", Signal::Latency, Unit::Seconds, |_| Some(0.05));
        (latency.statistic, latency.name) =
            (Statistic::Quantile(0.9), "traces_service_graph_request_server_seconds".into());
        latency
    };
    let no_spans = SpanTable::new;
    let cases: Vec<(&str, SpanTable, Vec<Series>, &str, &str)> = vec![
        ("no_metrics", shop(|_| {}), vec![], "no metrics", "--metrics"),
        ("no_spans", no_spans(), both(), "neither traces nor a call graph", "--traces"),
        ("no_server_spans", shop(client), both(), "not one server", "instrument the servers"),
        ("no_span_kinds", shop(|d| d.kind = SpanKind::Unspecified), both(), "guessed", "kind=…"),
        (
            "lost_parents",
            shop(|d| d.parent = if d.id == 3 { 77 } else { d.parent }),
            both(),
            "25 % of the spans have a parent that was not read (cart 900 of 1800)",
            "otelcol_exporter_send_failed_spans",
        ),
        (
            "broken_propagation",
            shop(|d| {
                if d.id >= 3 && d.trace.is_multiple_of(4) {
                    d.trace += 1_000_000;
                    d.parent = if d.id == 3 { 0 } else { 3 };
                }
            }),
            both(),
            "frontend → cart (25 % of 900 calls)",
            "OTEL_PROPAGATORS",
        ),
        (
            "empty_graph",
            shop(|d| {
                d.trace += d.id * 1_000_000;
                (d.parent, d.peer) = (0, None);
            }),
            both(),
            "the map is empty",
            "traceparent",
        ),
        ("time_zone", shop(|_| {}), shifted(8), "do not cover the same time", "differ by 8 h"),
        ("no_overlap", shop(|_| {}), shifted(50), "do not cover the same time", "export both"),
        (
            "names_differ",
            shop(|_| {}),
            vec![cpu("frontend"), cpu("cartservice")],
            "`cartservice` in metrics may be `cart`",
            "one name",
        ),
        ("services_without_metrics", shop(|_| {}), vec![cpu("frontend")], "no metrics: cart", "cAdvisor"),
        (
            "services_without_traces",
            shop(|_| {}),
            [both(), vec![cpu("billing")]].concat(),
            "no traces: billing",
            "instrument",
        ),
        (
            "one_service_two_nodes",
            shop(|d| {
                if d.id == 4 {
                    d.peer = Some(("frontend.shop.svc:8080", PeerKind::External));
                }
            }),
            both(),
            "`frontend.shop.svc:8080` is perhaps `frontend`",
            "service.peer.name",
        ),
        ("coarse_buckets", no_spans(), vec![graph_latency()], "below 100 ms", "histogram_buckets"),
        (
            "unknown_service",
            shop(|d| d.service = if d.service == "cart" { "unknown_service:java" } else { d.service }),
            both(),
            "unknown_service:java",
            "OTEL_SERVICE_NAME",
        ),
        ("no_errors", shop(|_| {}), both(), "not one span has failed", "status"),
        (
            "tail_sampled_without_weights",
            shop(|d| d.failed = d.trace.is_multiple_of(2) && d.id <= 2),
            vec![
                series("frontend", Signal::Requests, Unit::PerSecond, |_| Some(20.0)),
                series("frontend", Signal::ErrorRatio, Unit::Ratio, |_| Some(0.025)),
            ],
            "a part of the requests only",
            "ot=th:",
        ),
        (
            "series_gaps",
            shop(|_| {}),
            vec![
                cpu("frontend"),
                series("cart", Signal::Cpu, Unit::Cores, |at| (!(20..30).contains(&at)).then_some(0.1)),
            ],
            "have gaps, worst cart_Cpu of cart",
            "scrapes",
        ),
        (
            "implausible_times",
            shop(|d| d.start_ns = if d.trace == 3 { 5 } else { d.start_ns }),
            both(),
            "before 2000",
            "unit",
        ),
        ("few_requests", shop_of(20), both(), "20 requests are in the traces", "sampling rate"),
    ];
    for (id, spans, series, what, advice) in cases {
        let found = examined(&telemetry(spans, series));
        let finding =
            found.findings.iter().find(|f| f.id == id).unwrap_or_else(|| panic!("{id}: {}", doctor_text(&found)));
        assert!(finding.what.contains(what), "{id}: {}", finding.what);
        assert!(finding.advice.contains(advice), "{id}: {}", finding.advice);
        assert_eq!(doctor_json(&found)["schema_version"], "1");
    }
}

/// The first so many requests.
fn shop_of(requests: usize) -> SpanTable {
    let all = shop(|_| {});
    let mut spans = SpanTable::new();
    for row in 0..requests * 4 {
        let span = all.get(row);
        let resource = &all.resources()[span.resource.0 as usize];
        let resource = spans.resource_key(&resource.service, &resource.instance, &resource.version);
        let peer = span.peer.map(|key| {
            let peer = &all.peers()[key.0 as usize];
            spans.peer_key(&peer.name, peer.kind)
        });
        let operation = spans.operation_key("GET /");
        spans.push(Span { resource, operation, peer, ..span });
    }
    spans
}

#[test]
fn vector_09_lone_service_empty_graph() {
    // One service that calls nobody, slow in the last five minutes.
    let mut lone = SpanTable::new();
    for second in 0..900_u64 {
        push(
            &mut lone,
            &Draft {
                trace: second,
                id: 1,
                parent: 0,
                service: "solo",
                kind: SpanKind::Server,
                peer: None,
                failed: false,
                start_ns: TEN + second as i64 * NANOS_PER_SECOND,
                milliseconds: if second < 600 { 20 + second % 5 } else { 400 + second % 50 },
            },
        );
    }
    let diagnosis = analyze(&incident(&lone, vec![], |_| {}), &Settings::default());
    let text = rendered(&diagnosis, TEXT);
    assert!(text.starts_with("CAUSE FOUND  solo\n"), "{text}");
    let found = examined(&telemetry(lone, vec![]));
    let first = &found.findings[0];
    assert_eq!((found.verdict, first.id), (Verdict::UsableWithGaps, "lone_service"), "{}", doctor_text(&found));

    // Series of services that nothing connects: an empty graph is no failure, and nothing is blamed. Nor is it said that
    // users felt nothing, for processor time does not tell that.
    let quiet = vec![cpu("a"), cpu("b")];
    let diagnosis = analyze(&incident(&SpanTable::new(), quiet.clone(), |_| {}), &Settings::default());
    for format in [TEXT, report::Format::Markdown, report::Format::Json] {
        let report = rendered(&diagnosis, format).to_lowercase().replace('_', " ");
        assert!(report.contains("cannot tell"), "{report}");
    }
    let found = examined(&telemetry(SpanTable::new(), quiet));
    assert_eq!((found.verdict, found.findings[0].id), (Verdict::UsableWithGaps, "no_spans"));

    // Two programs without a name are two: their spans say nothing of who they are, and doctor says what to set.
    let unnamed =
        shop(|d| d.service = if d.service == "cart" { "unknown_service:java" } else { "unknown_service:node" });
    let found = examined(&telemetry(unnamed, vec![]));
    let finding = found.findings.iter().find(|f| f.id == "unknown_service").unwrap();
    assert!(finding.what.contains("unknown_service:java, unknown_service:node"), "{}", finding.what);

    // Nothing at all.
    let found = examined(&Telemetry::default());
    assert_eq!((found.verdict, found.findings[0].id), (Verdict::NotUsable, "nothing_read"));
}

/// Ten services with names of a megabyte each that differ only at their end: what compares or copies them carelessly
/// takes minutes, what prints them fills a disk.
#[test]
fn vector_11_ten_megabytes_of_labels() {
    let megabyte = "\u{1b}[31m<b>|label\u{202e} ".repeat(50_000);
    let name = |n: u64| format!("{megabyte}{n}");
    let names: Vec<String> = (0..10).map(name).collect();
    let mut spans = SpanTable::new();
    let resources: Vec<ResourceKey> = names.iter().map(|name| spans.resource_key(name, "", "")).collect();
    for second in 0..900_u64 {
        for (depth, resource) in (0..).zip(&resources) {
            let slow = if second >= 600 { 300 } else { 0 };
            push_server(&mut spans, second, depth, *resource, 20 + 10 * (10 - depth) + slow);
        }
    }
    let mut series: Vec<Series> = names.iter().map(|name| cpu(name)).collect();
    series.iter_mut().for_each(|s| s.name = format!("cpu{{pod=\"{megabyte}\"}}"));

    let started = Instant::now();
    let incident = incident(&spans, series.clone(), |_| {});
    let diagnosis = analyze(&incident, &Settings::default());
    for format in [TEXT, report::Format::Markdown, report::Format::Json] {
        let report = rendered(&diagnosis, format);
        assert!(report.len() < 2_000_000, "{format:?}: {} bytes", report.len());
        assert!(!report.contains('\u{1b}'), "{format:?}");
        if format != report::Format::Json {
            assert!(report.len() < 64_000 && !report.contains('\u{202e}'), "{format:?}: {} bytes", report.len());
        }
    }
    let found = examined(&telemetry(spans, series));
    let text = doctor_text(&found);
    assert!(text.len() < 20_000 && text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    assert!(doctor_json(&found).to_string().len() < 200_000);
    let seconds = started.elapsed().as_secs_f64();
    println!("analysis, three reports and doctor: {seconds:.2} s");
    assert!(seconds < 20.0, "{seconds:.1} s");
}

fn push_server(spans: &mut SpanTable, second: u64, depth: u64, resource: ResourceKey, milliseconds: u64) {
    let operation = spans.operation_key("GET /");
    spans.push(Span {
        trace: TraceId(u128::from(second) + 1),
        id: SpanId(depth + 1),
        parent: (depth > 0).then_some(SpanId(depth)),
        resource,
        operation,
        kind: SpanKind::Server,
        status: SpanStatus::Unset,
        peer: None,
        start_ns: TEN + second as i64 * NANOS_PER_SECOND,
        duration_ns: milliseconds * 1_000_000,
    });
}

#[test]
fn unread_files_are_told_with_a_guess() {
    let page = b"<html><body>Please sign in</body></html>";
    let error = read_bytes(std::path::Path::new("answer.txt"), page, &ReadOptions::default());
    // Prometheus' format knows pages by itself; anything else is a guess.
    assert!(error.is_ok_and(|t| t.warnings[0].message.contains("web page")));
    let error = read_bytes(std::path::Path::new("a.zip"), b"PK\x03\x04\x14\0\0\0", &ReadOptions::default());
    let message = error.unwrap_err().to_string();
    assert_eq!(message, "a.zip: not recognised: it looks like a ZIP archive; unpack it and name the folder");
}
