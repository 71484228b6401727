//! Situations of real systems whose right answer is known by construction: who is to blame, and when nobody is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::print_stdout, reason = "a failed assertion comes with the whole ranking")]

use hypocenter::analysis::{Settings, analyze};
use hypocenter::assemble::{Request, assemble};
use hypocenter::explain::Diagnosis;
use hypocenter::ingest::Telemetry;
use hypocenter::rank::Verdict;
use hypocenter::telemetry::alert::Symptom;
use hypocenter::telemetry::id::{ServiceId, SpanId, TraceId};
use hypocenter::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use hypocenter::telemetry::span::{PeerKind, Span, SpanKind, SpanStatus, SpanTable};
use hypocenter::telemetry::time::{NANOS_PER_SECOND, Window};

const MINUTE: i64 = 60 * NANOS_PER_SECOND;
const BASELINE_MINUTES: i64 = 20;
const INCIDENT_MINUTES: i64 = 5;

/// A call and what happens in it: first its own work, then the calls that it makes, one after the other.
#[derive(Clone)]
struct Call {
    service: String,
    own_us: u64,
    /// Between the caller's and the callee's side, both ways together.
    network_us: u64,
    failed: bool,
    /// The caller gives up after so long and calls it a failure.
    timeout_us: u64,
    /// A callee without spans, as its caller names it.
    silent: Option<PeerKind>,
    /// Neither spans nor a name: the caller's span alone tells that it called somebody.
    lost: bool,
    /// What the callee does; its name says enough where it does one thing only.
    operation: &'static str,
    version: &'static str,
    /// Copes with failures of its callees, by another attempt or another way.
    copes: bool,
    /// Makes its calls all at once, and waits for the last.
    at_once: bool,
    calls: Vec<Call>,
}

fn call(service: &str, own_ms: u64) -> Call {
    Call {
        service: service.to_owned(),
        own_us: own_ms * 1000,
        network_us: 400,
        failed: false,
        timeout_us: u64::MAX,
        silent: None,
        lost: false,
        operation: "serve",
        version: "",
        copes: false,
        at_once: false,
        calls: Vec::new(),
    }
}

impl Call {
    fn to(mut self, callee: Call) -> Self {
        self.calls.push(callee);
        self
    }

    fn silent(self, kind: PeerKind) -> Self {
        Self { silent: Some(kind), ..self }
    }

    fn failing(self, failed: bool) -> Self {
        Self { failed, ..self }
    }
}

/// Requests under construction.
struct Trace<'a> {
    spans: &'a mut SpanTable,
    number: u64,
    next: u64,
}

impl Trace<'_> {
    fn push(
        &mut self,
        (service, version): (&str, &str),
        operation: &str,
        kind: SpanKind,
        parent: Option<SpanId>,
    ) -> (SpanId, Span) {
        self.next += 1;
        let id = SpanId(self.number * 1000 + self.next);
        let span = Span {
            trace: TraceId(u128::from(self.number) + 1),
            id,
            parent,
            resource: self.spans.resource_key(service, "", version),
            operation: self.spans.operation_key(operation),
            kind,
            status: SpanStatus::Unset,
            peer: None,
            start_ns: 0,
            duration_ns: 0,
        };
        (id, span)
    }

    /// Adds the callee's side with all below it; its end and whether it failed are returned.
    fn serve(&mut self, call: &Call, parent: Option<SpanId>, start_ns: i64) -> (i64, bool) {
        let operation = format!("{} {}", call.operation, call.service);
        let (id, mut span) = self.push((&call.service, call.version), &operation, SpanKind::Server, parent);
        // A tenth up and down is the noise.
        let jitter = (self.number * 7 + self.next * 3) % 21;
        let mut now = start_ns + (call.own_us * 1000 * (90 + jitter) / 100) as i64;
        let mut failed = call.failed;
        let begin = now;
        for callee in &call.calls {
            let at_ns = if call.at_once { begin } else { now };
            let (end, callee_failed) = self.request(call, callee, id, at_ns);
            now = now.max(end);
            failed |= callee_failed && !call.copes;
        }
        span.start_ns = start_ns;
        span.duration_ns = now.abs_diff(start_ns);
        span.status = if failed { SpanStatus::Error } else { SpanStatus::Unset };
        self.spans.push(span);
        (now, failed)
    }

    /// Adds the caller's side of a call, and the callee's where it has spans.
    fn request(&mut self, caller: &Call, call: &Call, parent: SpanId, start_ns: i64) -> (i64, bool) {
        let (id, mut span) = self.push(
            (&caller.service, caller.version),
            &format!("call {}", call.service),
            SpanKind::Client,
            Some(parent),
        );
        let half_ns = call.network_us as i64 * 500;
        let (mut end, mut failed) = if call.silent.is_some() || call.lost {
            (start_ns + call.own_us as i64 * 1000, call.failed)
        } else {
            let (end, failed) = self.serve(call, Some(id), start_ns + half_ns);
            (end + half_ns, failed)
        };
        if let Some(kind) = call.silent {
            span.peer = Some(self.spans.peer_key(&call.service, kind));
        }
        let limit = start_ns.saturating_add_unsigned(call.timeout_us.saturating_mul(1000));
        if end > limit {
            (end, failed) = (limit, true);
        }
        span.start_ns = start_ns;
        span.duration_ns = end.abs_diff(start_ns);
        span.status = if failed { SpanStatus::Error } else { SpanStatus::Unset };
        self.spans.push(span);
        (end, failed)
    }
}

/// `per_minute` requests in each minute, as `shape` says for (during the incident, number of the request).
fn traffic(per_minute: impl Fn(bool) -> i64, shape: impl Fn(bool, u64) -> Call) -> SpanTable {
    let mut spans = SpanTable::new();
    let mut number = 0;
    for minute in 0..BASELINE_MINUTES + INCIDENT_MINUTES {
        let during = minute >= BASELINE_MINUTES;
        let count = per_minute(during);
        for at in 0..count {
            number += 1;
            let start_ns = minute * MINUTE + at * (MINUTE / count.max(1)) / 2;
            Trace { spans: &mut spans, number, next: 0 }.serve(&shape(during, number), None, start_ns);
        }
    }
    spans
}

fn steady(shape: impl Fn(bool, u64) -> Call) -> SpanTable {
    traffic(|_| 60, shape)
}

fn series(service: &str, signal: Signal, unit: Unit, value: impl Fn(bool) -> f64) -> Series {
    let minutes = 0..BASELINE_MINUTES + INCIDENT_MINUTES;
    Series {
        subject: Subject::Service(service.into()),
        signal,
        statistic: Statistic::Mean,
        unit,
        name: format!("{signal:?}"),
        samples: minutes.map(|m| (m * MINUTE, value(m >= BASELINE_MINUTES) * (1.0 + 0.01 * (m % 3) as f64))).collect(),
    }
}

fn telemetry(spans: SpanTable, series: Vec<Series>) -> Telemetry {
    let mut telemetry = Telemetry::default();
    (telemetry.spans, telemetry.series) = (spans, series);
    telemetry
}

fn diagnose(telemetry: Telemetry, entry: Option<&str>, symptom: Option<Symptom>) -> Diagnosis {
    let request = Request {
        name: "situation".to_owned(),
        window: Window::new(BASELINE_MINUTES * MINUTE, (BASELINE_MINUTES + INCIDENT_MINUTES) * MINUTE).unwrap(),
        baselines: vec![Window::new(0, BASELINE_MINUTES * MINUTE).unwrap()],
        entry: entry.map(ServiceId::new),
        symptom,
    };
    let diagnosis = analyze(&assemble(telemetry, request).unwrap(), &Settings::default());
    let candidates = diagnosis.causes.iter().map(|c| &c.candidate).chain(&diagnosis.alternatives);
    let probabilities: Vec<f64> =
        candidates.map(|c| c.probability).chain([diagnosis.unlisted_probability, diagnosis.none_probability]).collect();
    assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{probabilities:?}");
    let total: f64 = probabilities.iter().sum();
    assert!((total - 1.0).abs() < 1e-6, "probabilities sum to {total}");
    assert!(!diagnosis.verdict_reason.is_empty());
    diagnosis
}

fn of_spans(spans: SpanTable) -> Diagnosis {
    diagnose(telemetry(spans, Vec::new()), None, None)
}

/// The causes, with the whole story for the message of a failed assertion.
fn causes(diagnosis: &Diagnosis) -> Vec<&str> {
    for candidate in diagnosis.causes.iter().map(|c| &c.candidate).chain(&diagnosis.alternatives) {
        println!("{:?} {:.3} {:?}", candidate.suspect, candidate.probability, candidate.evidence);
    }
    println!("{:?} {} {:?}", diagnosis.verdict, diagnosis.verdict_reason, diagnosis.symptoms);
    diagnosis.causes.iter().map(|c| c.candidate.suspect.service().as_str()).collect()
}

#[test]
fn a_slow_database_without_spans_is_blamed() {
    let diagnosis = of_spans(steady(|during, _| {
        let db = call("postgresql/orders", if during { 300 } else { 10 }).silent(PeerKind::Database);
        call("frontend", 5).to(call("orders", 8).to(db)).to(call("ads", 4))
    }));
    assert_eq!(causes(&diagnosis), ["postgresql/orders"]);
}

#[test]
fn a_failing_external_dependency_is_blamed() {
    let diagnosis = of_spans(steady(|during, n| {
        let psp = call("psp.example", 30).silent(PeerKind::External).failing(during && n.is_multiple_of(2));
        call("frontend", 5).to(call("payments", 8).to(psp)).to(call("ads", 4))
    }));
    assert_eq!(causes(&diagnosis), ["psp.example"]);
}

#[test]
fn of_calls_at_once_both_that_became_slow_are_blamed() {
    let diagnosis = of_spans(steady(|during, _| {
        let slow = |name: &str, during_ms: u64| call(name, if during { during_ms } else { 20 });
        Call { at_once: true, ..call("frontend", 5) }.to(slow("cart", 220)).to(slow("quotes", 210)).to(call("ads", 15))
    }));
    let mut causes = causes(&diagnosis);
    causes.sort_unstable();
    assert_eq!(causes, ["cart", "quotes"]);
}

#[test]
fn an_entry_that_is_slow_itself_is_the_cause() {
    let diagnosis = of_spans(steady(|during, _| {
        call("frontend", if during { 400 } else { 20 }).to(call("cart", 10)).to(call("ads", 4))
    }));
    assert_eq!(causes(&diagnosis), ["frontend"]);
    assert!(diagnosis.causes[0].path.is_empty());
}

#[test]
fn of_a_timeout_the_slow_callee_is_blamed_though_it_saw_no_error() {
    for symptom in [None, Some(Symptom::Latency), Some(Symptom::Errors)] {
        let spans = steady(|during, _| {
            let slow = Call { timeout_us: 500_000, ..call("payments", if during { 3000 } else { 20 }) };
            call("frontend", 5).to(call("checkout", 8).to(slow)).to(call("ads", 4))
        });
        let diagnosis = diagnose(telemetry(spans, Vec::new()), None, symptom);
        assert_eq!(causes(&diagnosis), ["payments"], "{symptom:?}");
    }
}

/// Its resolver fails, say: calls to everybody fail and arrive nowhere, while others reach the same callees.
#[test]
fn who_reaches_none_of_its_callees_is_blamed_and_not_they() {
    let asked = |service: &str, lost: bool| {
        let callee = call(service, 8);
        if lost { callee.silent(PeerKind::Service).failing(true) } else { callee }
    };
    let diagnosis = of_spans(steady(|incident, n| {
        if n % 2 == 0 {
            return call("web", 5).to(asked("cart", false)).to(asked("stock", false));
        }
        call("web", 5).to(call("orders", 10).to(asked("cart", incident)).to(asked("stock", incident)))
    }));
    assert_eq!(causes(&diagnosis), ["orders"]);
}

/// A timeout below what the callee always took is the caller's mistake: the callee is as fast as ever, and others wait.
/// Shoppers look at goods and order them in turn; spans have no status. `stops` tells who calls nobody after the catalog.
fn shop_without_status(stops: impl Fn(&str, bool) -> bool) -> SpanTable {
    steady(|during, request| {
        let after = |caller: &str, own_ms: u64, then: &[&str]| {
            let first = call(caller, own_ms).to(call("catalog", 3));
            let then = if stops(caller, during) { &[] } else { then };
            then.iter().fold(first, |caller, callee| caller.to(call(callee, 5)))
        };
        if request % 2 == 0 {
            after("web", 4, &["cart", "ads"])
        } else {
            call("web", 4).to(after("checkout", 4, &["payment", "mail"]))
        }
    })
}

#[test]
fn where_several_callers_stop_after_the_same_call_the_callee_is_blamed() {
    assert_eq!(causes(&of_spans(shop_without_status(|_, during| during))), ["catalog"]);
}

#[test]
fn a_caller_that_alone_stops_after_a_call_is_blamed_itself() {
    assert_eq!(causes(&of_spans(shop_without_status(|caller, during| during && caller == "checkout"))), ["checkout"]);
}

#[test]
fn who_gives_up_too_early_is_blamed_and_not_the_callee() {
    let diagnosis = of_spans(steady(|incident, n| {
        if n % 2 == 0 {
            return call("web", 5).to(call("prices", 60));
        }
        let timeout_us = if incident { 20_000 } else { u64::MAX };
        call("web", 5).to(call("orders", 10).to(Call { timeout_us, ..call("prices", 60) }))
    }));
    assert_eq!(causes(&diagnosis), ["orders"]);
}

#[test]
fn of_retries_the_failing_callee_is_blamed() {
    // The first attempts fail, the third succeeds: users see latency alone.
    let diagnosis = of_spans(steady(|during, _| {
        let mut checkout = Call { copes: true, ..call("checkout", 8) };
        for _ in 0..if during { 2 } else { 0 } {
            checkout = checkout.to(Call { failed: true, ..call("payments", 50) });
        }
        call("frontend", 5).to(checkout.to(call("payments", 50))).to(call("ads", 4))
    }));
    assert_eq!(causes(&diagnosis), ["payments"]);
}

#[test]
fn who_goes_another_way_round_a_failing_cache_is_not_blamed() {
    let diagnosis = of_spans(steady(|during, n| {
        let cache = call("redis/cart", 1).silent(PeerKind::Database).failing(during);
        let db = call("postgresql/cart", 40).silent(PeerKind::Database);
        let cart = Call { copes: true, ..call("cart", 8) }.to(cache);
        // The cache misses one request of ten anyway.
        let cart = if during || n.is_multiple_of(10) { cart.to(db) } else { cart };
        call("frontend", 5).to(cart).to(call("ads", 4))
    }));
    let causes = causes(&diagnosis);
    assert!(causes.is_empty() || causes == ["redis/cart"], "{causes:?}");
}

#[test]
fn a_slow_consumer_that_nobody_waits_for_is_no_cause_of_slow_answers() {
    let diagnosis = of_spans(steady(|during, _| {
        // The frontend has answered long before its reports are written.
        let write = Call { timeout_us: 1000, ..call("reports", if during { 2000 } else { 20 }) };
        call("frontend", if during { 300 } else { 5 }).to(Call { copes: true, ..call("cart", 4) }.to(write))
    }));
    assert_ne!(causes(&diagnosis), ["cart"]);
}

#[test]
fn who_calls_ten_times_as_often_is_blamed_and_not_the_one_called() {
    let queries = |during: bool| if during { 12 } else { 1 };
    let silent = of_spans(steady(|during, _| {
        let db = call("postgresql/orders", 20).silent(PeerKind::Database);
        let orders = (0..queries(during)).fold(call("orders", 8), |orders, _| orders.to(db.clone()));
        call("frontend", 5).to(orders).to(call("ads", 4))
    }));
    assert_eq!(causes(&silent), ["orders"]);
    let deeper = of_spans(steady(|during, _| {
        let stock = call("stock", 3).to(call("postgresql/stock", 20).silent(PeerKind::Database));
        let orders = (0..queries(during)).fold(call("orders", 8), |orders, _| orders.to(stock.clone()));
        call("frontend", 5).to(orders).to(call("ads", 4))
    }));
    assert_eq!(causes(&deeper), ["orders"]);
}

#[test]
fn a_crashed_service_is_blamed_by_what_its_callers_see() {
    for named in [true, false] {
        let diagnosis = of_spans(steady(|during, _| {
            let mut cart = call("cart", 20);
            if during {
                cart = Call { failed: true, own_us: 500, lost: !named, ..cart };
                cart.silent = named.then_some(PeerKind::Service);
            }
            call("frontend", 5).to(call("checkout", 8).to(cart)).to(call("ads", 4))
        }));
        assert_eq!(causes(&diagnosis), ["cart"], "named by its caller: {named}");
    }
}

#[test]
fn a_surge_of_traffic_is_nobodys_fault() {
    let spans = traffic(
        |during| if during { 240 } else { 60 },
        |_, _| call("frontend", 5).to(call("cart", 10)).to(call("ads", 4)),
    );
    let cpu = |name: &str| series(name, Signal::Cpu, Unit::Cores, |during| if during { 0.8 } else { 0.2 });
    let all = telemetry(spans, vec![cpu("frontend"), cpu("cart")]);
    let diagnosis = diagnose(all, None, None);
    assert!(causes(&diagnosis).is_empty());
    assert!(!diagnosis.verdict_reason.contains("no signal left"), "{}", diagnosis.verdict_reason);
    assert!(!diagnosis.verdict_reason.contains("nothing at"), "{}", diagnosis.verdict_reason);
}

#[test]
fn an_outage_of_everything_is_no_quiet_time() {
    let diagnosis = of_spans(traffic(
        |during| if during { 0 } else { 60 },
        |_, _| call("frontend", 5).to(call("cart", 10)).to(call("ads", 4)),
    ));
    assert!(causes(&diagnosis).is_empty());
    assert_eq!(diagnosis.verdict, Verdict::CannotTell);
}

#[test]
fn a_busy_service_without_spans_is_found_by_its_processor() {
    let spans = steady(|during, _| {
        let cache = call("cache", if during { 120 } else { 5 }).silent(PeerKind::Service);
        call("frontend", 5).to(call("cart", 10).to(cache)).to(call("ads", 4))
    });
    let cpu = |name: &str, high: f64| series(name, Signal::Cpu, Unit::Cores, |during| if during { high } else { 0.2 });
    let all = telemetry(spans, vec![cpu("cache", 0.99), cpu("cart", 0.2)]);
    assert_eq!(causes(&diagnose(all, None, None)), ["cache"]);
}

#[test]
fn metrics_without_a_graph_blame_the_one_that_is_ill_inside_or_nobody() {
    let all = |sick: bool| {
        let mut all: Vec<Series> = [("frontend", 0.3), ("cart", 0.2), ("db", 0.1)]
            .into_iter()
            .map(|(name, base)| {
                series(name, Signal::Latency, Unit::Seconds, |during| if during { base + 0.5 } else { base })
            })
            .collect();
        let high = if sick { 0.95 } else { 0.1 };
        all.push(series("db", Signal::Cpu, Unit::Cores, |during| if during { high } else { 0.1 }));
        telemetry(SpanTable::new(), all)
    };
    assert_eq!(causes(&diagnose(all(true), None, Some(Symptom::Latency))), ["db"]);
    assert_eq!(diagnose(all(false), None, Some(Symptom::Latency)).verdict, Verdict::CannotTell);
}

#[test]
fn an_alert_of_an_inner_service_looks_below_it() {
    let spans = steady(|during, _| {
        let payments = call("payments", if during { 250 } else { 20 });
        let slow_too = call("ads", if during { 900 } else { 10 });
        call("frontend", 5).to(call("checkout", 8).to(payments)).to(slow_too)
    });
    let diagnosis = diagnose(telemetry(spans, Vec::new()), Some("checkout"), Some(Symptom::Latency));
    assert_eq!(causes(&diagnosis), ["payments"], "the slower ads is not below checkout");
}

#[test]
fn calls_in_a_circle_have_a_cause_too() {
    let diagnosis = of_spans(steady(|during, _| {
        let back = call("users", 6);
        call("users", 5).to(call("groups", if during { 300 } else { 10 }).to(back))
    }));
    assert_eq!(causes(&diagnosis), ["groups"]);
}

#[test]
fn a_single_request_in_each_window_proves_nothing() {
    let mut spans = SpanTable::new();
    for (number, (minute, own_ms)) in [(10, 10), (22, 900)].into_iter().enumerate() {
        let shape = call("frontend", 5).to(call("cart", own_ms));
        Trace { spans: &mut spans, number: number as u64, next: 0 }.serve(&shape, None, minute * MINUTE);
    }
    assert!(causes(&of_spans(spans)).is_empty());
}

#[test]
fn a_service_that_is_new_and_slow_is_blamed() {
    let diagnosis = of_spans(steady(|during, _| {
        let cart = call("cart", 10);
        let cart = if during { cart.to(call("promotions", 400)) } else { cart };
        call("frontend", 5).to(cart).to(call("ads", 4))
    }));
    assert_eq!(causes(&diagnosis), ["promotions"]);
}

#[test]
fn entries_that_the_baseline_never_saw_prove_nothing() {
    let spans = steady(|during, _| {
        if during { call("mobile", 500).to(call("cart", 10)) } else { call("frontend", 5).to(call("cart", 10)) }
    });
    let diagnosis = of_spans(spans);
    assert_ne!(causes(&diagnosis), ["cart"]);
}

/// What the text report says, for whatever a person reads there.
fn report_of(diagnosis: &Diagnosis) -> String {
    text_report(diagnosis).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text_report(diagnosis: &Diagnosis) -> String {
    let mut out = Vec::new();
    let form = hypocenter::report::Format::Text { colour: false, width: 100 };
    hypocenter::report::write(diagnosis, form, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn vector_04_slow_not_failed_callee_with_parent_timeout() {
    // Checkout gives up on payments, which waits for a slow ledger. No span of payments or of the ledger fails.
    for symptom in [None, Some(Symptom::Latency), Some(Symptom::Errors)] {
        for deep in [false, true] {
            let spans = steady(|during, _| {
                let slow = if during { 3000 } else { 20 };
                let payments = if deep { call("payments", 8).to(call("ledger", slow)) } else { call("payments", slow) };
                let payments = Call { timeout_us: 500_000, ..payments };
                call("frontend", 5).to(call("checkout", 8).to(payments)).to(call("ads", 4))
            });
            let diagnosis = diagnose(telemetry(spans, Vec::new()), None, symptom);
            let cause = if deep { "ledger" } else { "payments" };
            assert_eq!(causes(&diagnosis), [cause], "{symptom:?}");
            let because_of = |victim: &str| {
                diagnosis.victims.iter().find(|v| v.service.as_str() == victim).map(|v| v.because_of.as_str())
            };
            assert_eq!(because_of("checkout"), Some("payments"), "{symptom:?} {:?}", diagnosis.victims);
            let edge = diagnosis.causes[0].path.iter().find(|step| step.callee.as_str() == "payments").unwrap();
            let timeouts = edge.changes.iter().find(|c| c.signal == Signal::Timeouts).unwrap();
            assert_eq!((timeouts.baseline, timeouts.incident), (0.0, 1.0));
            assert!(text_report(&diagnosis).contains("timeouts"), "{}", text_report(&diagnosis));
        }
    }
}

#[test]
fn a_limit_that_was_lowered_is_not_the_fault_of_what_lies_below() {
    let diagnosis = of_spans(steady(|during, _| {
        let payments = call("payments", 8).to(call("ledger", 100));
        let payments = Call { timeout_us: if during { 50_000 } else { u64::MAX }, ..payments };
        call("frontend", 5).to(call("checkout", 8).to(payments)).to(call("ads", 4))
    }));
    assert!(!causes(&diagnosis).contains(&"ledger"));
}

#[test]
fn vector_05_retry_amplification() {
    // Payments fails six of ten times for a reason of its own; checkout tries three times, and frontend tries checkout
    // twice: payments is asked much more often than before.
    let failing = |n: u64, attempt: u64| !(n * 7 + attempt * 3).is_multiple_of(5);
    let spans = steady(|during, n| {
        let checkout = |round: u64| {
            let mut checkout = Call { copes: true, ..call("checkout", 8) };
            let mut failed = true;
            for attempt in 0..3 {
                failed = during && failing(n, round * 3 + attempt);
                checkout = checkout.to(Call { failed, ..call("payments", 20) });
                if !failed {
                    break;
                }
            }
            (Call { failed, ..checkout }, failed)
        };
        let mut frontend = Call { copes: true, ..call("frontend", 5) };
        let mut failed = true;
        for round in 0..2 {
            let (next, next_failed) = checkout(round);
            (frontend, failed) = (frontend.to(next), next_failed);
            if !failed {
                break;
            }
        }
        Call { failed, ..frontend.to(call("ads", 4)) }
    });
    let diagnosis = of_spans(spans);
    assert_eq!(causes(&diagnosis), ["payments"], "who fails, not who is busy");
    let edge = diagnosis.causes[0].path.iter().find(|step| step.callee.as_str() == "payments").unwrap();
    let retries = edge.changes.iter().find(|c| c.signal == Signal::Retries).unwrap();
    assert!(retries.baseline < 1e-9 && retries.incident > 0.3, "{retries:?}");
    assert!(text_report(&diagnosis).contains("retries"), "{}", text_report(&diagnosis));
}

#[test]
fn vector_13_parallel_callees_are_not_made_out_to_cause_each_other() {
    // Two callees side by side: the longer one is waited for. When it gets slow, its sibling is neither cause nor victim.
    let spans = steady(|during, _| {
        let slow = if during { 300 } else { 30 };
        call("frontend", 5).to(call("cart", slow)).to(call("ads", 25))
    });
    let diagnosis = of_spans(spans);
    assert_eq!(causes(&diagnosis), ["cart"]);
    assert!(diagnosis.victims.iter().all(|victim| victim.service.as_str() != "ads"), "{:?}", diagnosis.victims);
    // An order in time is all that spans show; no sentence may make more of it.
    let report = text_report(&diagnosis);
    assert!(!report.contains("ads") || !report.contains("because of cart"), "{report}");
}

#[test]
fn vector_15_cause_outside_telemetry() {
    let spans = |named: bool| {
        steady(move |during, n| {
            let api = Call { own_us: if during { 900_000 } else { 40_000 }, ..call("api.payments.example", 0) };
            let api = api.failing(during && n.is_multiple_of(4));
            let kind = if named { PeerKind::External } else { PeerKind::Service };
            call("frontend", 5).to(call("payments", 8).to(api.silent(kind))).to(call("ads", 4))
        })
    };
    let inside = of_spans(steady(|during, n| {
        let api = call("bank", if during { 900 } else { 40 }).failing(during && n.is_multiple_of(4));
        call("frontend", 5).to(call("payments", 8).to(api)).to(call("ads", 4))
    }));
    for named in [true, false] {
        let diagnosis = of_spans(spans(named));
        assert_eq!(causes(&diagnosis), ["api.payments.example"]);
        let cause = &diagnosis.causes[0];
        let edge = cause.path.last().unwrap();
        assert_eq!((edge.caller.as_str(), edge.callee.as_str()), ("payments", "api.payments.example"));
        assert_eq!(cause.kind, Some(hypocenter::telemetry::topology::NodeKind::External));
        assert!(diagnosis.coverage.silent.first.iter().any(|silent| silent.service.as_str() == "api.payments.example"));
        // What is known from its callers only is known less surely than what told of itself.
        let (outside, known) = (cause.candidate.probability, inside.causes[0].candidate.probability);
        assert!(outside < known, "{outside} against {known}");
    }
}

/// Requests of two operations of `orders`: `buy` calls payments, `look` does not.
fn orders(buys: bool, pays: bool) -> Call {
    let orders = Call { operation: if buys { "buy" } else { "look" }, ..call("orders", 10) }.to(call("stock", 5));
    let orders = if pays { orders.to(call("payments", 20)) } else { orders };
    call("frontend", 5).to(orders).to(call("ads", 4))
}

#[test]
fn who_no_longer_calls_as_one_operation_used_to_is_blamed() {
    let diagnosis = of_spans(steady(|during, n| {
        let buys = n.is_multiple_of(2);
        Call { failed: during && buys, ..orders(buys, buys && !during) }
    }));
    let report = report_of(&diagnosis);
    let candidates = diagnosis.causes.iter().map(|c| &c.candidate).chain(&diagnosis.alternatives);
    let bits = |candidate: &hypocenter::rank::Candidate| -> f64 {
        let of_structure = candidate.evidence.iter().filter(|e| e.modality == hypocenter::rank::Modality::Structure);
        of_structure.map(|e| e.bits).sum()
    };
    let told: Vec<(&str, bool)> =
        candidates.map(|c| (c.suspect.service().as_str(), bits(c) > 5.0)).filter(|(_, told)| *told).collect();
    assert_eq!(told, [("orders", true)], "{report}");
}

#[test]
fn another_mix_of_operations_is_no_other_structure() {
    let diagnosis = of_spans(steady(|during, n| {
        let buys = n.is_multiple_of(if during { 6 } else { 2 });
        orders(buys, buys)
    }));
    assert!(causes(&diagnosis).is_empty());
    let structure = hypocenter::rank::Modality::Structure;
    assert!(diagnosis.alternatives.iter().flat_map(|c| &c.evidence).all(|e| e.modality != structure));
}

fn deployed(service: &str, version: &str, minute: i64) -> hypocenter::telemetry::change::Change {
    hypocenter::telemetry::change::Change {
        at_ns: minute * MINUTE,
        service: Some(service.into()),
        kind: hypocenter::telemetry::change::ChangeKind::Deploy,
        version: version.to_owned(),
        description: String::new(),
        source: "changes.json".to_owned(),
    }
}

#[test]
fn a_new_version_that_fails_beside_the_old_one_is_told_as_such() {
    let spans = steady(|during, n| {
        let new = during && n.is_multiple_of(4);
        let version = if new { "2" } else { "1" };
        let payments = Call { version, ..call("payments", 20) }.failing(new && n.is_multiple_of(8));
        call("frontend", 5).to(call("checkout", 8).to(payments)).to(call("ads", 4))
    });
    let mut telemetry = telemetry(spans, Vec::new());
    telemetry.changes = vec![deployed("payments", "2", BASELINE_MINUTES), deployed("ads", "7", BASELINE_MINUTES - 1)];
    let diagnosis = diagnose(telemetry, None, None);
    assert_eq!(causes(&diagnosis), ["payments"]);
    let report = report_of(&diagnosis);
    // 37 of 75: every eighth of 300 requests, and every fourth.
    let told = "the new version failed in 49.3 % of calls where the old one beside it failed in 0 %";
    assert!(report.contains(told), "{report}");
    assert_eq!(diagnosis.changes.iter().filter(|line| line.at_cause).count(), 1, "told once: {:?}", diagnosis.changes);
}

#[test]
fn a_harmless_deploy_shortly_before_is_not_blamed() {
    let spans = steady(|during, _| {
        let ads = Call { version: if during { "7" } else { "6" }, ..call("ads", 4) };
        call("frontend", 5).to(call("checkout", 8).to(call("payments", if during { 300 } else { 20 }))).to(ads)
    });
    let mut telemetry = telemetry(spans, Vec::new());
    telemetry.changes = vec![deployed("ads", "7", BASELINE_MINUTES - 1)];
    let diagnosis = diagnose(telemetry, None, None);
    assert_eq!(causes(&diagnosis), ["payments"]);
    assert!(diagnosis.causes[0].evidence.iter().all(|line| line.modality != hypocenter::rank::Modality::Changes));
}

/// The client's own deadline for the whole request is too short for what lies below: nothing below is slower than before.
#[test]
fn a_client_whose_own_deadline_is_too_short_is_to_blame() {
    let diagnosis = of_spans(steady(|during, n| {
        let prices = || call("prices", 60).to(call("rates", 30));
        if n.is_multiple_of(2) {
            return call("web", 5).to(prices());
        }
        let timeout_us = if during { 40_000 } else { u64::MAX };
        call("web", 5).to(call("orders", 10).to(Call { timeout_us, ..prices() }))
    }));
    assert_eq!(causes(&diagnosis), ["orders"]);
}

#[test]
fn who_waits_for_a_slow_callee_with_all_its_workers_is_no_cause() {
    // The cache answers late, so catalog has no worker free and its requests queue for seconds, which is time of its own.
    let shape = |cache_ms: u64, queue_ms: u64| {
        let catalog = call("catalog", 20 + queue_ms).to(call("cache", cache_ms));
        call("frontend", 5).to(catalog).to(call("ads", 4))
    };
    let crowded = of_spans(steady(|during, _| if during { shape(800, 4000) } else { shape(10, 0) }));
    assert_eq!(causes(&crowded), ["cache"]);
    // The same queue without a callee that holds the workers is its own.
    let slow = of_spans(steady(|during, _| if during { shape(10, 4000) } else { shape(10, 0) }));
    assert_eq!(causes(&slow), ["catalog"]);
}

#[test]
fn a_few_errors_of_its_own_do_not_make_a_cause_of_who_passes_on_many() {
    // Spans get lost: of some failed requests of cart nothing tells any more that catalog failed them.
    let diagnosis = of_spans(steady(|during, n| {
        let failing = during && n.is_multiple_of(2);
        let lost = failing && n.is_multiple_of(10);
        let cart = if lost {
            call("cart", 12).failing(true)
        } else {
            call("cart", 12).to(call("catalog", 20).failing(failing))
        };
        call("frontend", 5).to(cart).to(call("ads", 4))
    }));
    assert_eq!(causes(&diagnosis), ["catalog"]);
}

#[test]
fn a_database_that_refuses_one_caller_and_serves_another_is_misused_by_the_one() {
    let diagnosis = of_spans(steady(|during, _| {
        let database = || call("stock-db", 10).silent(PeerKind::Database);
        let exports = call("exports", 8).to(database().failing(during));
        call("frontend", 5).to(exports).to(call("reports", 8).to(database()))
    }));
    assert_eq!(causes(&diagnosis), ["exports"]);
}

#[test]
fn a_wrong_answer_is_found_by_the_requests_that_need_it() {
    // All callers of prices and of stock fail, but of those requests only that ask for prices.
    let diagnosis = of_spans(steady(|during, n| {
        let wants_prices = n.is_multiple_of(2);
        let user = |name: &str| {
            let service = call(name, 8).to(call("stock", 10)).failing(during && wants_prices);
            if wants_prices { service.to(call("prices", 10)) } else { service }
        };
        call(if wants_prices { "web" } else { "kiosk" }, 5).to(user("offers")).to(user("orders"))
    }));
    assert_eq!(causes(&diagnosis), ["prices"]);
}

#[test]
fn without_requests_in_the_baseline_there_is_no_all_clear() {
    let mut spans = SpanTable::new();
    for number in 0..60_u64 {
        let at = (BASELINE_MINUTES + 1) * MINUTE + number as i64 * NANOS_PER_SECOND;
        let shape = call("frontend", 5).to(call("cart", 20));
        Trace { spans: &mut spans, number, next: 0 }.serve(&shape, None, at);
    }
    let diagnosis = of_spans(spans);
    assert_eq!(diagnosis.verdict, Verdict::CannotTell);
    assert!(diagnosis.verdict_reason.contains("measured in both windows"), "{}", diagnosis.verdict_reason);
}
