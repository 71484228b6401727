//! Golden reports of hand-made diagnoses, and properties that hold for any diagnosis.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use hypocenter::detect::{Change, Finding, Onset};
use hypocenter::explain::{
    AffectedEntry, BeforeAfter, Cause, ChangeLine, Coverage, Deduction, Diagnosis, Earlier, EvidenceLine, ExemplarPair,
    History, KeptShares, KnownFrom, Listed, LogLine, OneWindow, OnsetRow, PathStep, SeriesGap, SeriesName, Shortfall,
    Silent, UnweightedSample, Victim,
};
use hypocenter::rank::{Candidate, Evidence, Modality, Suspect, SymptomChange, Verdict};
use hypocenter::report::{DEFAULT_WIDTH, Format, JSON_SCHEMA, write};
use hypocenter::telemetry::alert::{Alert, Symptom};
use hypocenter::telemetry::calls::SpanCoverage;
use hypocenter::telemetry::change::{Change as SystemChange, ChangeKind};
use hypocenter::telemetry::clock::ClockSkew;
use hypocenter::telemetry::id::{ServiceId, TraceId};
use hypocenter::telemetry::logs::Severity;
use hypocenter::telemetry::series::{Signal, Subject, Unit};
use hypocenter::telemetry::time::{NANOS_PER_SECOND, Window};
use hypocenter::telemetry::topology::{EdgeMode, NodeKind};
use hypocenter::telemetry::warning::Warning;

/// 2026-03-02T10:00:00Z.
const TEN: i64 = 1_772_445_600 * NANOS_PER_SECOND;

fn at(minutes: i64) -> i64 {
    TEN + minutes * 60 * NANOS_PER_SECOND
}

fn onset(seconds: i64) -> Onset {
    Onset { at_ns: at(10) + seconds * NANOS_PER_SECOND, uncertainty_ns: 5 * NANOS_PER_SECOND }
}

fn changed(signal: Signal, unit: Unit, baseline: f64, incident: f64) -> BeforeAfter {
    BeforeAfter { signal, unit, baseline, incident }
}

fn candidate(suspect: Suspect, probability: f64, modality: Modality, bits: f64) -> Candidate {
    Candidate {
        suspect,
        score: bits,
        probability,
        explained_share: None,
        onset: None,
        evidence: vec![
            Evidence { modality, bits, finding: None },
            Evidence { modality: Modality::Walk, bits: -0.02, finding: None },
        ],
    }
}

fn service(name: &str) -> Suspect {
    Suspect::Service(name.into())
}

fn step(caller: &str, callee: &str, mode: EdgeMode, changes: Vec<BeforeAfter>) -> PathStep {
    PathStep { caller: caller.into(), callee: callee.into(), mode, changes }
}

fn self_time_finding() -> Finding {
    Finding {
        subject: Subject::Service("payments".into()),
        signal: Signal::SelfTime,
        name: "p90 of self-times".into(),
        change: Change::Rise,
        baseline: 0.04,
        incident: 1.21,
        unit: Unit::Seconds,
        z: 61.0,
        bits: 6.0,
        p_value: 1e-12,
        q_value: 3e-11,
        significant: true,
        onset: Some(onset(20)),
        n_baseline: 240,
        n_incident: 118,
    }
}

#[allow(clippy::too_many_lines, reason = "a whole diagnosis, written out")]
fn found() -> Diagnosis {
    let mut first = candidate(service("payments"), 0.943, Modality::Attribution, 6.24);
    first.explained_share = Some(0.92);
    first.onset = Some(onset(20));
    let cause = Cause {
        candidate: first,
        kind: Some(NodeKind::Service),
        path: vec![
            step(
                "frontend",
                "checkout",
                EdgeMode::Sync,
                vec![
                    changed(Signal::Latency, Unit::Seconds, 0.152, 1.38),
                    changed(Signal::ErrorRatio, Unit::Ratio, 0.001, 0.041),
                    changed(Signal::Requests, Unit::PerSecond, 0.41, 0.39),
                ],
            ),
            step("checkout", "payments", EdgeMode::Sync, vec![changed(Signal::Latency, Unit::Seconds, 0.05, 1.25)]),
        ],
        evidence: vec![
            EvidenceLine {
                modality: Modality::Attribution,
                bits: 6.24,
                finding: Some(self_time_finding()),
                text:
                    "payments' own time on the critical path rose from 40 ms to 1.21 s a request, while its calls to \
                       payments-db stayed at 6 ms: 92 % of what frontend gained is spent here"
                        .into(),
            },
            EvidenceLine {
                modality: Modality::Resources,
                bits: 1.1,
                finding: None,
                text: "open connections rose from 12 to 40, the highest value ever seen".into(),
            },
        ],
    };
    Diagnosis {
        name: "checkout-db-latency".into(),
        window: Window::new(at(10), at(15)).unwrap(),
        baselines: vec![Window::new(at(0), at(10)).unwrap()],
        alert: Some(Alert {
            name: "FrontendLatencyHigh".into(),
            starts_ns: Some(at(12)),
            ends_ns: None,
            service: Some("frontend".into()),
            symptom: Some(Symptom::Latency),
            expression: Some("histogram_quantile(0.99, rate(x[5m])) > 1".into()),
            summary: Some("frontend answers slowly".into()),
        }),
        method: "hypocenter",
        verdict: Verdict::CauseFound,
        verdict_reason: "payments spends 1.21 s of its own on each request instead of 40 ms, and everything that is \
                         slow calls it"
            .into(),
        symptoms: vec![symptom(Symptom::Latency, 0.171, 1.41, true), symptom(Symptom::Errors, 0.0, 0.004, false)],
        causes: vec![cause],
        alternatives: vec![
            candidate(service("recommendation"), 0.031, Modality::Behaviour, 0.8),
            candidate(
                Suspect::Edge { caller: "checkout".into(), callee: "shipping".into() },
                0.006,
                Modality::Network,
                0.2,
            ),
        ],
        unlisted_probability: 0.01,
        none_probability: 0.02,
        victims: vec![
            Victim {
                service: "checkout".into(),
                because_of: "payments".into(),
                text: "latency 152 ms → 1.38 s, of which 1.2 s is waiting for payments; its own time did not change"
                    .into(),
            },
            Victim { service: "frontend".into(), because_of: "checkout".into(), text: "waits for checkout".into() },
        ],
        onsets: vec![
            OnsetRow { service: "payments".into(), signal: Signal::SelfTime, onset: onset(20) },
            OnsetRow { service: "checkout".into(), signal: Signal::Latency, onset: onset(25) },
        ],
        blast_radius: vec![AffectedEntry {
            entry: "frontend POST /checkout".into(),
            requests: 118,
            affected: 97,
            baseline_share: 0.011,
        }],
        exemplars: vec![ExemplarPair {
            subject: "a slow and a normal POST /checkout".into(),
            bad: Some((TraceId(0x5b8a_a5a2_d2c8_72e8_321c_f373_08d6_9df2), 2_310_000_000)),
            normal: Some((TraceId(0x11), 148_000_000)),
        }],
        coverage: coverage(),
        next_steps: vec!["look at the connection pool of payments".into(), "open the two traces above".into()],
        warnings: vec![Warning {
            source: "traces.jsonl".into(),
            place: "line 17, field duration".into(),
            message: "negative duration, read as 0".into(),
            affected: 3,
        }],
        logs: vec![
            log_line("charge of order <*> failed: connection pool timed out after <*>ms", Severity::Error, 0, 118),
            log_line("retry <*> of <*>", Severity::Warn, 12, 240),
        ],
        changes: vec![
            change_line(-4, Some("payments"), ChangeKind::Deploy, "2.3.1", "rollout by ci"),
            change_line(1, None, ChangeKind::Scale, "", "node pool from 5 to 4 nodes"),
        ],
        history: Some(History {
            version: 2,
            changed: vec!["the cause was thought to be checkout".into()],
            similar: vec![
                earlier(7, Some("payments-db"), "the pool was too small"),
                Earlier { is_confirmed: true, ..earlier(5, None, "") },
                earlier(3, None, ""),
            ],
        }),
    }
}

fn earlier(incident: i64, confirmed_cause: Option<&str>, note: &str) -> Earlier {
    Earlier {
        incident,
        starts_ns: at(incident - 100),
        is_confirmed: confirmed_cause.is_some(),
        confirmed_cause: confirmed_cause.map(str::to_owned),
        note: note.into(),
    }
}

fn log_line(template: &str, severity: Severity, before: u64, during: u64) -> LogLine {
    LogLine {
        service: "payments".into(),
        template: template.into(),
        severity,
        baseline: before as f64 / 600.0,
        incident: during as f64 / 300.0,
        baseline_records: before,
        incident_records: during,
        q_value: 1e-9,
        trace: (before == 0).then_some(TraceId(0x77)),
    }
}

fn change_line(minutes: i64, service: Option<&str>, kind: ChangeKind, version: &str, description: &str) -> ChangeLine {
    ChangeLine {
        change: SystemChange {
            at_ns: at(10 + minutes),
            service: service.map(ServiceId::from),
            kind,
            version: version.into(),
            description: description.into(),
            source: "deploys.json".into(),
        },
        at_cause: service.is_some(),
        after_start_ns: at(minutes) - TEN,
    }
}

fn symptom(symptom: Symptom, baseline: f64, incident: f64, significant: bool) -> SymptomChange {
    SymptomChange { entry: "frontend".into(), symptom, baseline, incident, significant }
}

fn coverage() -> Coverage {
    Coverage {
        spans: SpanCoverage { spans: 12_345, traces: 1_290, orphans: 12, ..SpanCoverage::default() },
        series: 36,
        dialects: vec!["spanmetrics (OpenTelemetry Collector)".into()],
        series_gaps: Listed { total: 2, first: vec![gap("payments-7f", 90), gap("checkout-5c", 60)] },
        silent: Listed::new(vec![silent(KnownFrom::Callers, "payments-db")]),
        calls_baseline: 8_100,
        calls_incident: 3_998,
        deductions: vec![
            Deduction { shortfall: Shortfall::UnpairedClients, factor: 0.975 },
            Deduction { shortfall: Shortfall::LostParents, factor: 0.9949 },
        ],
        factor: 0.97,
        ..Coverage::default()
    }
}

fn silent(known_from: KnownFrom, service: &str) -> Silent {
    Silent { known_from, service: service.into() }
}

fn gap(pod: &str, seconds: i64) -> SeriesGap {
    let (service, _) = pod.split_once('-').unwrap();
    let subject = Subject::Instance { service: service.into(), instance: pod.into() };
    let longest = Window::new(at(11), at(11) + seconds * NANOS_PER_SECOND).unwrap();
    let series = SeriesName { subject, name: "container_memory_working_set_bytes".into() };
    SeriesGap { series, missing_ns: longest.end_ns().abs_diff(longest.start_ns()), longest }
}

/// Everything that can be missing.
fn poor_coverage() -> Coverage {
    let clock = |callee: &str, milliseconds: i64, pairs| ClockSkew {
        caller: "frontend/web-1".into(),
        callee: callee.into(),
        offset_ns: milliseconds * 1_000_000,
        pairs,
    };
    let sample = |service: &str, kept| UnweightedSample { service: service.into(), traced: 195, measured: 2_000, kept };
    let name = |service: &str| SeriesName { subject: Subject::Service(service.into()), name: "cpu".into() };
    Coverage {
        spans: SpanCoverage {
            spans: 1_000,
            traces: 90,
            orphans: 380,
            rootless_traces: 12,
            duplicates: 3,
            cyclic: 1,
            unpaired_clients: 40,
            outside_parent: 17,
            unresolved_links: 2,
            sampled: 500,
            represented: 12_000,
            unevenly_sampled: 4,
            moved: 60,
        },
        calls_baseline: 60,
        calls_incident: 11,
        silent: Listed::new(vec![
            silent(KnownFrom::Callers, "mysql/orders"),
            silent(KnownFrom::Metrics, "cartservice"),
            silent(KnownFrom::Alert, "Frontend"),
        ]),
        one_window: OneWindow {
            nodes_incident_only: Listed::new(vec!["fallback".into()]),
            series_baseline_only: Listed::new(vec![name("payments"), name("shipping")]),
            ..OneWindow::default()
        },
        clocks: Listed::new(vec![clock("cart/cart-2", -1_250, 34), clock("ads/ads-1", 90, 7), clock("x", 50, 6)]),
        unweighted_samples: Listed::new(vec![
            sample("checkout", Some(KeptShares { failed: 1.0, others: 0.05 })),
            sample("cart", None),
        ]),
        deductions: vec![
            Deduction { shortfall: Shortfall::FewRequests, factor: 11.0 / 14.0 },
            Deduction { shortfall: Shortfall::LostParents, factor: 0.81 },
            Deduction { shortfall: Shortfall::UnpairedClients, factor: 0.99 },
        ],
        factor: 11.0 / 14.0 * 0.81 * 0.99,
        ..coverage()
    }
}

fn no_anomaly() -> Diagnosis {
    Diagnosis {
        verdict: Verdict::NoAnomaly,
        verdict_reason: "frontend's latency and errors are within what the baseline shows".into(),
        symptoms: vec![symptom(Symptom::Latency, 0.171, 0.174, false)],
        alert: None,
        causes: vec![],
        alternatives: vec![],
        unlisted_probability: 0.0,
        none_probability: 1.0,
        victims: vec![],
        onsets: vec![],
        blast_radius: vec![],
        exemplars: vec![],
        next_steps: vec!["check that the windows are right".into()],
        warnings: vec![],
        logs: vec![],
        changes: vec![],
        history: None,
        coverage: Coverage { factor: 1.0, deductions: vec![], silent: Listed::default(), ..coverage() },
        ..found()
    }
}

fn cannot_tell() -> Diagnosis {
    Diagnosis {
        verdict: Verdict::CannotTell,
        verdict_reason: "shipping and cart explain the symptom about equally well".into(),
        causes: vec![],
        alternatives: vec![
            candidate(service("shipping"), 0.41, Modality::Attribution, 2.1),
            candidate(service("cart"), 0.38, Modality::Attribution, 2.0),
        ],
        unlisted_probability: 0.0,
        none_probability: 0.21,
        ..found()
    }
}

/// Two causes, one of them an asynchronous edge.
fn two_causes() -> Diagnosis {
    let mut diagnosis = found();
    let suspect = Suspect::Edge { caller: "checkout".into(), callee: "mail".into() };
    diagnosis.causes.push(Cause {
        candidate: candidate(suspect, 0.71, Modality::Network, 3.0),
        kind: Some(NodeKind::External),
        path: vec![step("checkout", "mail", EdgeMode::Async, vec![])],
        evidence: vec![],
    });
    diagnosis.verdict_reason = "two parts of the system changed independently".into();
    diagnosis
}

/// Every text that telemetry can bring, at its worst, and every number at its oddest.
fn hostile() -> Diagnosis {
    const EVIL: &str = "\u{1b}[31m</details><script>|`x` **b** @team #1 [l](http://e) \u{202e}txt\n\n## h";
    let mut d = two_causes();
    d.name = format!("{EVIL}{}", "n".repeat(5_000));
    d.verdict_reason = EVIL.repeat(100);
    if let Some(history) = &mut d.history {
        history.changed = vec![EVIL.repeat(100)];
        history.similar[0].confirmed_cause = Some(EVIL.repeat(100));
        history.similar[0].note = EVIL.repeat(100);
    }
    for line in &mut d.logs {
        line.template = EVIL.repeat(1_000);
        line.service = EVIL.into();
    }
    for line in &mut d.changes {
        line.change.service = Some(EVIL.into());
        line.change.version = EVIL.into();
        line.change.description = EVIL.repeat(1_000);
    }
    for cause in &mut d.causes {
        cause.candidate.suspect = service(EVIL);
        for step in &mut cause.path {
            step.caller = EVIL.into();
            step.changes.push(changed(Signal::Other, Unit::None, f64::NAN, f64::INFINITY));
        }
        for line in &mut cause.evidence {
            line.text = EVIL.into();
        }
    }
    d.alternatives =
        (0..40).map(|n| candidate(service(&format!("{EVIL}{n}")), 0.01, Modality::Onset, f64::NAN)).collect();
    d.none_probability = f64::NAN;
    d.victims[0].text = EVIL.into();
    d.victims[0].service = ServiceId::new(&EVIL.repeat(9));
    d.onsets[0].service = ServiceId::new(&"long".repeat(40));
    d.blast_radius[0].entry = EVIL.into();
    d.blast_radius[0].requests = 0;
    d.exemplars[0].subject = EVIL.into();
    d.coverage.silent = Listed::new(vec![silent(KnownFrom::Callers, EVIL)]);
    d.next_steps = vec![EVIL.into(); 30];
    d.warnings = (0..500)
        .map(|n| Warning { source: EVIL.into(), place: EVIL.into(), message: format!("{n}{EVIL}"), affected: n })
        .collect();
    if let Some(alert) = &mut d.alert {
        alert.name = EVIL.into();
        alert.summary = Some(EVIL.repeat(1000));
    }
    d
}

fn rendered(diagnosis: &Diagnosis, format: Format) -> String {
    let mut out = Vec::new();
    write(diagnosis, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn text(diagnosis: &Diagnosis) -> String {
    rendered(diagnosis, Format::Text { colour: false, width: DEFAULT_WIDTH })
}

#[test]
fn a_found_cause_reads_well() {
    insta::assert_snapshot!("found_text", text(&found()));
    insta::assert_snapshot!("found_markdown", rendered(&found(), Format::Markdown));
    insta::assert_snapshot!("found_json", rendered(&found(), Format::Json));
}

#[test]
fn the_other_verdicts_are_honest() {
    insta::assert_snapshot!("no_anomaly_text", text(&no_anomaly()));
    insta::assert_snapshot!("no_anomaly_markdown", rendered(&no_anomaly(), Format::Markdown));
    insta::assert_snapshot!("cannot_tell_text", text(&cannot_tell()));
    insta::assert_snapshot!("cannot_tell_markdown", rendered(&cannot_tell(), Format::Markdown));
}

#[test]
fn several_causes_stand_one_after_the_other() {
    insta::assert_snapshot!("two_causes_text", text(&two_causes()));
    insta::assert_snapshot!("two_causes_markdown", rendered(&two_causes(), Format::Markdown));
}

#[test]
fn the_same_warning_about_many_files_is_said_once() {
    let warning = |file: &str, message: &str, affected| Warning {
        source: file.into(),
        place: "line 3".into(),
        message: message.into(),
        affected,
    };
    let mut diagnosis = found();
    diagnosis.warnings = vec![warning("a", "torn", 2), warning("b", "torn", 3), warning("b", "odd", 1)];
    let report = text(&diagnosis);
    let (_, warnings) = report.split_once("\nWarnings (3)\n").unwrap();
    let expected = "  - 2 files, first a, line 3: torn (2 times); 5 times in all\n  - b, line 3: odd\n";
    assert_eq!(warnings, expected);
}

#[test]
fn coverage_says_what_is_missing_and_what_it_costs_worst_first() {
    let section = |diagnosis: &Diagnosis| {
        let report = text(diagnosis);
        let (_, section) = report.split_once("\nWhat could be seen\n").unwrap();
        section.split("\n\n").next().unwrap().to_owned()
    };
    insta::assert_snapshot!("poor_coverage", section(&Diagnosis { coverage: poor_coverage(), ..found() }));
    let well = Coverage {
        spans: SpanCoverage { spans: 1_000, traces: 90, ..SpanCoverage::default() },
        calls_baseline: 60,
        calls_incident: 30,
        factor: 1.0,
        ..Coverage::default()
    };
    let short = section(&Diagnosis { coverage: well, ..no_anomaly() });
    assert_eq!(short.lines().count(), 3, "{short}");
    let mut endless = poor_coverage();
    let name = "n\u{1b}[2J".repeat(2_000_000);
    endless.silent = Listed::new(vec![silent(KnownFrom::Callers, &name); 300]);
    endless.dialects = vec![name.clone(); 50];
    let endless = section(&Diagnosis { coverage: endless, ..hostile() });
    assert!(endless.lines().count() <= 40 && !endless.contains('\u{1b}'), "{endless}");
}

#[test]
fn text_fits_its_width() {
    for width in [80, 100, 140] {
        for diagnosis in [found(), no_anomaly(), cannot_tell(), two_causes(), hostile()] {
            let report = rendered(&diagnosis, Format::Text { colour: false, width });
            for line in report.lines() {
                assert!(line.chars().count() <= width, "{} columns: {line}", line.chars().count());
                assert_eq!(line, line.trim_end());
            }
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let coloured = rendered(&found(), Format::Text { colour: true, width: DEFAULT_WIDTH });
    assert!(coloured.contains('\u{1b}'));
    let mut plain = String::new();
    for (index, part) in coloured.split("\u{1b}[").enumerate() {
        plain.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(plain, text(&found()));
}

#[test]
fn hostile_telemetry_steers_no_output() {
    let report = text(&hostile());
    assert!(report.chars().all(|c| c == '\n' || !c.is_control()), "a control character got through");
    assert!(!report.contains('\u{202e}'));
    assert!(report.len() < 100_000);
    let ticket = rendered(&hostile(), Format::Markdown);
    for markup in ["<script", "@team", "[l](", "\n## h", "#1 ", "**b**", "`x`"] {
        assert!(!ticket.contains(markup), "{markup} got through");
    }
    assert_eq!(ticket.matches("<details>").count(), ticket.matches("</details>").count());
    assert!(ticket.chars().count() < 32_767, "Jira takes no more; this has {}", ticket.chars().count());
    // What is left out is counted.
    assert!(report.contains("and 490 more") && ticket.contains("and 490 more"));
}

#[test]
fn json_is_complete_and_finite() {
    let report: serde_json::Value = serde_json::from_str(&rendered(&hostile(), Format::Json)).unwrap();
    assert_eq!(report["warnings"].as_array().unwrap().len(), 500);
    assert_eq!(report["alternatives"].as_array().unwrap().len(), 40);
    assert!(report["none_probability"].is_null());
}

#[test]
fn json_follows_its_schema() {
    let script = "import json, sys, jsonschema\n\
        d = json.load(sys.stdin)\n\
        v = jsonschema.Draft202012Validator\n\
        v.check_schema(d['schema'])\n\
        bad = [r for r in d['reports'] for e in v(d['schema']).iter_errors(r) if print(e.json_path, e.message) is None]\n\
        broken = dict(d['reports'][0], verdict='maybe')\n\
        assert not v(d['schema']).is_valid(broken), 'the schema accepts anything'\n\
        sys.exit(1 if bad else 0)";
    let can = |python: &&str| {
        Command::new(python).args(["-c", "import jsonschema"]).output().is_ok_and(|output| output.status.success())
    };
    // Debian's own first: another Python in front of it need not have the module.
    let Some(python) = ["/usr/bin/python3", "python3"].into_iter().find(can) else {
        assert!(std::env::var_os("CI").is_none(), "python3-jsonschema is missing, and in CI it must not be");
        println!("skipped: no python3 has the module jsonschema (on Debian: apt-get install python3-jsonschema)");
        return;
    };
    let poor = Diagnosis { coverage: poor_coverage(), ..found() };
    let reports = [found(), no_anomaly(), cannot_tell(), two_causes(), hostile(), poor];
    let reports: Vec<serde_json::Value> =
        reports.iter().map(|d| serde_json::from_str(&rendered(d, Format::Json)).unwrap()).collect();
    let schema: serde_json::Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let input = serde_json::json!({ "schema": schema, "reports": reports }).to_string();
    let mut child =
        Command::new(python).args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
