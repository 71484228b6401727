//! What sinks are told, and how often: what failed, what was found, what is over, and what has begun again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::analyse::{Analysed, Known};
use super::tell::Failed;
use super::workers::{TRY_AGAIN_AFTER, conclude, fail, note, remember};
use super::*;
use crate::analysis::analyze;
use crate::assemble::{Request, assemble};
use crate::case::Case;
use crate::explain::Diagnosis;
use crate::http::Endpoint;
use crate::ingest::{read_paths, read_webhook};
use crate::memory::{About, Condition, Delivery, Job};
use crate::notify::{self, NotDelivered, Retry, Target, WebhookMethod};

const HOOK: &str = "hook";

struct Bench {
    folder: tempfile::TempDir,
    responder: Arc<Responder>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { responder: Arc::new(open(&folder)), folder }
    }

    /// As after a `kill -9`.
    fn start_again(&mut self) {
        self.responder = Arc::new(open(&self.folder));
    }

    fn tells(&self, status: &str) {
        self.tells_of("frontend", status);
    }

    fn tells_of(&self, service: &str, status: &str) {
        let body = serde_json::json!({ "receiver": "rca", "alerts": [{
            "status": status, "startsAt": "2026-03-02T10:12:00Z", "endsAt": "2026-03-02T10:20:00Z", "fingerprint": service,
            "labels": { "alertname": "Slow", "service": service },
        }]});
        self.responder.take(&read_webhook(body.to_string().as_bytes(), &[]).unwrap()).unwrap();
    }

    /// Begins what is due next, whenever that is.
    fn claimed(&self) -> Job {
        self.responder.memory.change(|transaction| memory::claim(transaction, i64::MAX)).unwrap().unwrap()
    }

    fn fails(&self) {
        let failed = Failed { problem: "the window holds no telemetry".to_owned(), next_step: "ask the doctor" };
        fail(&self.responder, &self.claimed(), &failed).unwrap();
    }

    fn fails_for_good(&self) {
        (0..MOST_ATTEMPTS).for_each(|_| self.fails());
    }

    fn succeeds(&self) {
        self.succeeds_while(|| {});
    }

    fn succeeds_while(&self, meanwhile: impl FnOnce()) {
        let job = self.claimed();
        let known = Known::recall(&self.responder, job.incident).unwrap().unwrap();
        meanwhile();
        let analysed = Analysed { diagnosis: diagnosis(), edges: Vec::new() };
        conclude(&self.responder, &self.responder.configuration(), &known, &job, analysed).unwrap();
    }

    /// The message that is due next, whenever that is.
    fn next(&self) -> Option<Delivery> {
        self.responder.memory.change(|transaction| memory::next_delivery(transaction, HOOK, i64::MAX)).unwrap()
    }

    /// What the sink answers to it.
    async fn answers(&self, answer: Result<Option<String>, Retry>) {
        let sent = answer.map_err(|retry| NotDelivered { retry, problem: "busy".to_owned() });
        note(&self.responder, self.next().expect("something is sent"), sent).await;
    }

    /// In how many seconds the next message is due.
    fn due_s(&self) -> Option<i64> {
        let due_ns = self.responder.memory.read(|transaction| memory::due_delivery_ns(transaction, HOOK)).unwrap();
        Some((due_ns? - now_ns()) / NANOS_PER_SECOND)
    }

    /// What is sent now: what it says, of an incident how, the version and the text.
    fn sent(&self) -> Option<(About, Condition, u32, String)> {
        let delivery = self.responder.memory.change(|transaction| {
            let delivery = memory::next_delivery(transaction, HOOK, i64::MAX)?;
            delivery.iter().try_for_each(|delivery| memory::delivered(transaction, delivery, None))?;
            Ok::<_, MemoryError>(delivery)
        });
        let message = delivery.unwrap()?.message;
        Some((message.about, message.condition, message.version, message.payload))
    }

    fn sent_is(&self, about: About, condition: Condition, version: u32) -> String {
        let (of, how, which, payload) = self.sent().expect("something is sent");
        assert_eq!((of, how, which), (about, condition, version), "{payload}");
        payload
    }
}

fn open(folder: &tempfile::TempDir) -> Responder {
    let webhook = notify::Webhook {
        endpoint: Endpoint::new("http://127.0.0.1:1"),
        url_file: None,
        method: WebhookMethod::Post,
        template: None,
        max_bytes: 1 << 20,
    };
    let sinks = vec![Sink { name: HOOK.to_owned(), target: Target::Webhook(webhook) }];
    let settings = Settings { group_within: Duration::ZERO, ..Settings::default() };
    let configuration = Configuration { settings, sinks, ..Configuration::default() };
    let memory = Memory::open(&folder.path().join("incidents.db")).unwrap();
    Responder::new(memory, folder.path().to_owned(), configuration).unwrap()
}

fn diagnosis() -> Diagnosis {
    static MADE: std::sync::OnceLock<Diagnosis> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let case = Case::read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("datasets/checkout-db-latency")).unwrap();
        let telemetry = read_paths(&case.files, &ReadOptions::default(), &|_| {}).unwrap();
        analyze(&assemble(telemetry, Request::from(&case)).unwrap(), &crate::analysis::Settings::default())
    });
    made.clone()
}

#[test]
fn an_analysis_that_failed_is_told_once_and_the_report_takes_its_place() {
    let bench = Bench::new();
    bench.tells("firing");
    bench.fails();
    bench.fails();
    assert_eq!(bench.sent(), None, "it is tried again soon");
    bench.fails();
    let text = bench.sent_is(About::Failure, Condition::Firing, 0);
    for part in ["no report", "the window holds no telemetry", "ask the doctor", "the next analysis is due at"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    bench.fails_for_good();
    assert_eq!(bench.sent(), None, "nothing new");
    bench.tells("resolved");
    bench.fails_for_good();
    let text = bench.sent_is(About::Failure, Condition::Resolved, 0);
    assert!(text.contains("Resolved: Slow at frontend") && !text.contains("is due at"), "{text}");
    bench.tells("firing");
    bench.succeeds();
    let text = bench.sent_is(About::Report, Condition::Firing, 1);
    assert!(text.contains("is the cause"), "{text}");
}

#[test]
fn the_end_and_a_new_beginning_are_told_and_nothing_twice() {
    let bench = Bench::new();
    bench.tells("firing");
    bench.succeeds();
    bench.sent_is(About::Report, Condition::Firing, 1);
    bench.succeeds();
    assert_eq!(bench.sent(), None, "nothing has changed");
    bench.tells("resolved");
    bench.succeeds();
    bench.sent_is(About::Report, Condition::Resolved, 3);
    bench.tells("firing");
    bench.succeeds();
    bench.sent_is(About::Report, Condition::Firing, 4);
    assert_eq!(bench.sent(), None);
}

#[test]
fn what_ends_while_it_is_analysed_is_told_to_have_ended() {
    let bench = Bench::new();
    bench.tells("firing");
    bench.succeeds_while(|| bench.tells("resolved"));
    bench.sent_is(About::Report, Condition::Resolved, 1);
    bench.succeeds();
    assert_eq!(bench.sent(), None, "known already");
}

#[test]
fn where_the_last_analysis_fails_the_end_is_told_with_the_report_before() {
    let bench = Bench::new();
    bench.tells("firing");
    bench.succeeds();
    bench.sent_is(About::Report, Condition::Firing, 1);
    bench.fails_for_good();
    assert_eq!(bench.sent(), None, "the report stands");
    bench.tells("resolved");
    bench.fails_for_good();
    let text = bench.sent_is(About::Failure, Condition::Resolved, 1);
    for part in ["Resolved: ", "cause found: ", "the last analysis failed", "## Cause found: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    bench.tells("firing");
    bench.succeeds();
    bench.sent_is(About::Report, Condition::Firing, 2);
}

#[test]
fn an_analysis_that_ends_the_process_each_time_is_told() {
    let mut bench = Bench::new();
    bench.tells("firing");
    for _ in 0..MOST_ATTEMPTS {
        assert_eq!(bench.sent(), None);
        bench.claimed();
        bench.start_again();
    }
    let text = bench.sent_is(About::Failure, Condition::Firing, 0);
    assert!(text.contains("the process ended each time"), "{text}");
}

#[test]
fn what_somebody_asks_for_is_told_to_no_sink() {
    let bench = Bench::new();
    let incident = Window::new(0, 60 * NANOS_PER_SECOND).unwrap();
    let asked = Asked { title: "Asked".to_owned(), incident, baselines: Vec::new(), entry: None, symptom: None };
    bench.responder.ask(&asked).unwrap();
    bench.fails_for_good();
    assert_eq!(bench.sent(), None);
    bench.responder.ask(&asked).unwrap();
    bench.succeeds();
    assert_eq!(bench.sent(), None);
}

#[tokio::test]
async fn by_the_mark_of_a_sink_the_next_message_finds_its_place() {
    let bench = Bench::new();
    bench.tells("firing");
    bench.succeeds();
    bench.answers(Ok(Some("C1/17".to_owned()))).await;
    bench.tells("resolved");
    bench.succeeds();
    assert_eq!(bench.next().unwrap().mark.as_deref(), Some("C1/17"));
}

#[tokio::test]
async fn what_a_sink_refuses_is_given_up_and_told() {
    let bench = Bench::new();
    bench.tells("firing");
    bench.succeeds();
    bench.answers(Err(Retry::Never)).await;
    assert_eq!(bench.next(), None);
    assert_eq!(bench.responder.counters.messages_given_up.load(Ordering::Relaxed), 1);
    let known = bench.responder.memory.read(|transaction| memory::undelivered(transaction, 1)).unwrap();
    assert_eq!(known, [(HOOK.to_owned(), Some("busy".to_owned()))]);
}

#[tokio::test]
async fn a_sink_that_asks_for_a_pause_gets_it_from_all_messages() {
    let bench = Bench::new();
    for service in ["frontend", "cart"] {
        bench.tells_of(service, "firing");
        bench.succeeds();
    }
    bench.answers(Err(Retry::Later)).await;
    assert!(bench.due_s().unwrap() <= 0, "the other is due still");
    bench.answers(Err(Retry::After(Duration::from_secs(3_600)))).await;
    assert!(bench.due_s().unwrap() > 3_500, "{:?}", bench.due_s());
    assert_eq!(bench.responder.counters.messages_given_up.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn after_a_defect_nothing_is_tried_again_at_once() {
    let bench = Bench::new();
    let began = Instant::now();
    let done: Option<()> = remember(&bench.responder, |_| panic!("a defect of the memory")).await;
    assert!(done.is_none() && began.elapsed() >= TRY_AGAIN_AFTER, "{:?}", began.elapsed());
}

#[test]
fn a_pull_has_three_quarters_of_the_time_of_its_analysis_at_most() {
    let of = |analysis_s: u64, pull_s: u64| {
        let mut configuration = Configuration::default();
        configuration.settings.deadline = Duration::from_secs(analysis_s);
        configuration.origin.sources.deadline = Duration::from_secs(pull_s);
        configuration.origin_of_an_analysis().sources.deadline.as_secs()
    };
    assert_eq!([of(60, 90), of(120, 90), of(120, 5)], [45, 90, 5]);
}
