//! Sinks against servers that enforce the limits and dialects of the real ones: one message per incident, edited.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "notify/apis.rs"]
mod apis;
#[path = "notify/fake.rs"]
mod fake;
#[path = "notify/incident.rs"]
mod incident;
#[path = "live/server.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use apis::{Kept, TOKEN};
use fake::{Fake, Fault, Told};
use hypocenter::notify::{NotDelivered, Retry, Sink, Target};
use hypocenter::settings::Settings;
use incident::{STEERING, Said};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with the files that settings name.
fn folder() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        fs::write(folder.path().join("wrong"), "another-token\n").unwrap();
        folder
    });
    made.path()
}

/// The sink of a section of settings.
fn sink(keys: &str) -> Sink {
    let text = format!("[[notify]]\nname = \"it\"\n{keys}");
    Settings::parse(&folder().join("s.toml"), &text).unwrap().sinks.remove(0)
}

fn github(fake: &Fake<Kept>, more: &str) -> Sink {
    let url = fake.url();
    sink(&format!("kind = \"github\"\nurl = \"{url}\"\nrepository = \"acme/shop\"\ntoken_file = \"token\"\n{more}"))
}

fn jira_cloud(fake: &Fake<Kept>, more: &str) -> Sink {
    let url = fake.url();
    let who = "basic_auth = { username = \"me\", password_file = \"token\" }";
    sink(&format!("kind = \"jira\"\nflavor = \"cloud\"\nurl = \"{url}\"\n{who}\n{more}"))
}

fn jira_server(fake: &Fake<Kept>, more: &str) -> Sink {
    let url = fake.url();
    let who = "authorization = { credentials_file = \"token\" }";
    sink(&format!("kind = \"jira\"\nflavor = \"server\"\nurl = \"{url}\"\n{who}\n{more}"))
}

fn slack(fake: &Fake<Kept>, channel: &str) -> Sink {
    let url = fake.url();
    sink(&format!("kind = \"slack\"\nurl = \"{url}\"\ntoken_file = \"token\"\nchannel = \"{channel}\""))
}

fn pagerduty(fake: &Fake<Kept>) -> Sink {
    sink(&format!("kind = \"pagerduty\"\nurl = \"{}\"\nrouting_key_file = \"token\"", fake.url()))
}

/// A file with an address, and its name.
fn hidden_url(fake: &Fake<Kept>, path: &str) -> String {
    let url = format!("{}{path}", fake.url());
    let name = format!("url-{}", fake.url().rsplit_once(':').unwrap().1);
    fs::write(folder().join(&name), url + "\n").unwrap();
    name
}

fn webhook(fake: &Fake<Kept>, more: &str) -> Sink {
    let file = hidden_url(fake, &format!("/hook?key={TOKEN}"));
    sink(&format!("kind = \"webhook\"\nurl_file = \"{file}\"\n{more}"))
}

fn slack_webhook(fake: &Fake<Kept>) -> Sink {
    let file = hidden_url(fake, "/services/T1/B1/SECRETSECRET");
    sink(&format!("kind = \"slack\"\nwebhook_url_file = \"{file}\""))
}

const COMMENT: &str = "issue = 42";
const PROJECT: &str = "project = \"OPS\"\nissue_type = \"Incident\"";
const TICKET: &str = "issue = \"OPS-1\"";

/// Every kind of sink with a server of its own.
fn all() -> Vec<(&'static str, Fake<Kept>, Sink)> {
    let made = |api: fn(&mut Kept, &fake::Asked) -> Told| Fake::start(Kept::default(), api);
    let with = |fake: Fake<Kept>, sink: &dyn Fn(&Fake<Kept>) -> Sink| (sink(&fake), fake);
    [
        ("github comment", with(made(apis::github), &|fake| github(fake, COMMENT))),
        ("github issue", with(made(apis::github), &|fake| github(fake, ""))),
        ("jira cloud comment", with(made(apis::jira), &|fake| jira_cloud(fake, TICKET))),
        ("jira cloud issue", with(made(apis::jira), &|fake| jira_cloud(fake, PROJECT))),
        ("jira server comment", with(made(apis::jira), &|fake| jira_server(fake, TICKET))),
        ("jira server issue", with(made(apis::jira), &|fake| jira_server(fake, PROJECT))),
        ("slack", with(made(apis::slack), &|fake| slack(fake, "C1"))),
        ("slack webhook", with(made(apis::slack_webhook), &slack_webhook)),
        ("pagerduty", with(made(apis::pagerduty), &pagerduty)),
        ("webhook", with(made(apis::webhook), &|fake| webhook(fake, ""))),
    ]
    .into_iter()
    .map(|(name, (sink, fake))| (name, fake, sink))
    .collect()
}

fn deliver(sink: &Sink, payload: &str, earlier: Option<&str>, again: bool) -> Result<Option<String>, NotDelivered> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = sink.deliver(payload, earlier, again);
    can_be_done_by_any_thread(&work);
    runtime.block_on(work)
}

fn can_be_done_by_any_thread<T: Send>(_work: &T) {}

fn delivered(sink: &Sink, said: &Said, earlier: Option<&str>, again: bool) -> Option<String> {
    deliver(sink, &sink.render(&said.message()), earlier, again).unwrap()
}

/// The text that people see of what a sink was sent.
fn seen(item: &Value) -> String {
    let strings = |value: &Value| {
        let mut all = Vec::new();
        collect(value, &mut all);
        all.join("\n")
    };
    let text = item["body"].as_str().or(item["fields"]["description"].as_str());
    text.map_or_else(|| strings(item), str::to_owned)
}

fn collect(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| collect(value, all)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, all)),
        _ => {}
    }
}

#[test]
fn an_incident_has_one_message_which_is_edited() {
    for (name, fake, sink) in all() {
        let first = delivered(&sink, &Said::first(), None, false);
        let second = delivered(&sink, &Said::second(), first.as_deref(), false);
        let last = delivered(&sink, &Said::resolved(), second.as_deref(), false);
        fake.state(|kept| match name {
            // A webhook has no memory of ours: each message says which incident and version it is of.
            "webhook" => {
                let told: Vec<Value> = kept.items.iter().map(|i| i[0]["sent"]["version"].clone()).collect();
                assert_eq!(told, [1, 2, 3]);
                assert_eq!(kept.items[2][0]["sent"]["status"], "resolved");
            }
            // Cannot edit: the second version is not sent.
            "slack webhook" => {
                assert_eq!(kept.items.len(), 2);
                assert!(seen(&kept.items[1][0]).contains("Resolved: "));
            }
            _ => {
                let versions = kept.only();
                assert_eq!(versions.len(), 3, "{name}");
                assert_eq!((&first, &second), (&last, &last), "{name}");
                if name == "pagerduty" {
                    assert_eq!(versions[2]["event_action"], "resolve");
                    assert_eq!(versions[2]["dedup_key"], "hypocenter-17");
                } else {
                    assert!(!seen(&versions[0]).contains("What changed since"), "{name}");
                    assert!(seen(&versions[1]).contains("What changed since version 1"), "{name}");
                    assert!(seen(&versions[2]).contains("Resolved: FrontendLatencyHigh"), "{name}");
                }
                assert!(seen(&versions[0]).contains("payments"), "{name}");
            }
        });
    }
}

#[test]
fn an_analysis_that_failed_is_told_and_its_message_becomes_the_report() {
    for (name, fake, sink) in all() {
        let failed = delivered(&sink, &Said::failed(), None, false);
        // An incoming webhook is not rung twice for the same.
        let again = delivered(&sink, &Said::failed(), failed.as_deref(), false);
        let first = delivered(&sink, &Said::first(), again.as_deref(), false);
        let last = delivered(&sink, &Said::failed_at_the_end(), first.as_deref(), false);
        fake.state(|kept| {
            let seen_of: Vec<String> = match name {
                "webhook" | "slack webhook" => kept.items.iter().map(|versions| seen(&versions[0])).collect(),
                _ => kept.only().iter().map(seen).collect(),
            };
            if name == "slack webhook" {
                assert_eq!(seen_of.len(), 3);
            } else {
                assert_eq!((seen_of.len(), &failed, &first), (4, &last, &last), "{name}");
            }
            for part in ["no report", "holds no telemetry", "hypocenter doctor"] {
                assert!(seen_of[0].contains(part), "{name}: `{part}` in {}", seen_of[0]);
            }
            let [.., report, end] = &seen_of[..] else { panic!("{name}") };
            assert!(report.contains("payments") && !report.contains("holds no telemetry"), "{name}: {report}");
            if name == "pagerduty" {
                assert_eq!(kept.only()[3]["event_action"], "resolve");
                return;
            }
            for part in ["Not heard of any more: ", "payments", "holds no telemetry"] {
                assert!(end.contains(part), "{name}: `{part}` in {end}");
            }
        });
    }
}

/// `kill -9` between the answer of the sink and our note of it: the message is found, and no second one written.
#[test]
fn a_message_whose_answer_was_lost_is_found_again() {
    for (name, fake, sink) in all() {
        if matches!(name, "webhook" | "slack webhook") {
            continue;
        }
        fake.fails_with(Fault::Lost);
        let payload = sink.render(&Said::first().message());
        let lost = deliver(&sink, &payload, None, false).unwrap_err();
        assert_eq!(lost.retry, Retry::Later, "{name}: {lost}");
        let mark = deliver(&sink, &payload, None, true).unwrap();
        assert!(mark.is_some());
        fake.state(|kept| assert_eq!(kept.only().len(), 2, "{name}"));
        // Nothing of another incident is taken for it.
        let mut other = Said::first();
        other.title = "Another".to_owned();
        let message = hypocenter::notify::Message { incident_id: "1", ..other.message() };
        deliver(&sink, &sink.render(&message), None, true).unwrap();
        fake.state(|kept| assert_eq!(kept.items.len(), 2, "{name}"));
    }
}

#[test]
fn quotes_are_not_taken_for_our_message_and_long_lists_are_read() {
    let fake = Fake::start(Kept::default(), apis::github);
    let sink = github(&fake, COMMENT);
    fake.state(|kept| {
        let quote = json!({ "body": "> the report\n> <!-- hypocenter incident 17 -->\n\nis this so?" });
        let only_a_quote = json!({ "body": "> <!-- hypocenter incident 17 -->" });
        kept.items = vec![vec![quote], vec![only_a_quote]];
        kept.items.extend((0..148).map(|n| vec![json!({ "body": format!("comment {n}") })]));
    });
    let mark = delivered(&sink, &Said::first(), None, true);
    assert_eq!(mark.as_deref(), Some("acme/shop#comment-1150"));
    // Found on the second page.
    assert_eq!(delivered(&sink, &Said::second(), None, true), mark);
    fake.state(|kept| assert_eq!((kept.items.len(), kept.items[150].len()), (151, 2)));
    // The mark of another repository is none of this one.
    assert_eq!(delivered(&sink, &Said::second(), Some("acme/other#comment-1150"), true), mark);
    let asked = fake.asked();
    assert!(asked.iter().any(|asked| asked.query.get("page").is_some_and(|page| page == "2")));
    let since = asked.iter().find_map(|asked| asked.query.get("since")).unwrap();
    assert_eq!(since, "2026-03-01T10:10:00Z");
}

#[test]
fn what_a_sink_answers_decides_about_the_next_attempt() {
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let page = "<!DOCTYPE html><html><title>Sign in</title></html>";
    let limited = Told::new(403, r#"{"message":"API rate limit exceeded"}"#)
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", &(now_s + 90).to_string());
    let elsewhere = Fake::start(Kept::default(), apis::webhook);
    let away = |status: u16| Told::new(status, "").with("location", &format!("{}/hook?x=hunter2", elsewhere.url()));
    for (told, retry, part) in [
        (Told::new(429, "{}").with("retry-after", "7"), Retry::After(Duration::from_secs(7)), "429"),
        (Told::new(503, "{}").with("retry-after", "9"), Retry::After(Duration::from_secs(9)), "503"),
        (Told::new(429, "{}").with("retry-after", "99999999999"), Retry::After(Duration::from_secs(3600)), "429"),
        (Told::new(429, "{}"), Retry::Later, "429"),
        (Told::new(500, "{\"message\":\"boom\"}"), Retry::Later, "boom"),
        (limited, Retry::After(Duration::from_secs(90)), "rate limit"),
        (Told::new(200, page).with("content-type", "text/html"), Retry::Never, "\"Sign in\""),
        (Told::new(502, page).with("content-type", "text/html"), Retry::Later, "web page"),
        (Told::new(401, "{}"), Retry::Later, "check the file with the credentials"),
        (Told::new(403, "{\"message\":\"Resource not accessible\"}"), Retry::Later, "check the permissions"),
        (Told::new(404, "{}"), Retry::Never, "may not see it"),
        (Told::new(400, &format!("no such token {TOKEN} SECRETSECRET")), Retry::Never, "no such token"),
        (Told::new(422, &"x\n\u{1b}[31m\u{7}y ".repeat(5_000)), Retry::Never, "x [31my x"),
        (away(301), Retry::Never, "which is not followed"),
        (away(307), Retry::Never, "which is not followed"),
    ] {
        for (name, fake, sink) in all() {
            fake.fails_with(Fault::Answer(told.clone()));
            let failure = deliver(&sink, &sink.render(&Said::first().message()), None, false).unwrap_err();
            let problem = &failure.problem;
            match (failure.retry, retry) {
                (Retry::After(asked), Retry::After(wanted)) => {
                    let early = wanted.saturating_sub(asked);
                    assert!(asked <= wanted && early < Duration::from_secs(3), "{name}: {asked:?} for {told:?}");
                }
                (found, wanted) => assert_eq!(found, wanted, "{name}: {problem}"),
            }
            assert!(problem.contains(part), "{name}: `{problem}` does not tell of `{part}`");
            // Each knows its own secret.
            let own = if name == "slack webhook" { "SECRETSECRET" } else { TOKEN };
            for secret in [own, "hunter2", "\u{1b}", "\n"] {
                assert!(!problem.contains(secret), "{name}: {problem}");
            }
            assert!(problem.chars().count() < 700, "{name}: {problem}");
            fake.state(|kept| assert!(kept.items.is_empty(), "{name}"));
        }
    }
    assert!(elsewhere.asked().is_empty(), "another host was spoken to");
}

#[test]
fn slack_tells_of_failures_with_status_200() {
    let fake = Fake::start(Kept::default(), apis::slack);
    let sink = slack(&fake, "C1");
    let fails = |told: Told, earlier: Option<&str>| {
        fake.fails_with(Fault::Answer(told));
        deliver(&sink, &sink.render(&Said::first().message()), earlier, false).unwrap_err()
    };
    let limited = Told::new(200, r#"{"ok":false,"error":"ratelimited"}"#);
    assert_eq!(fails(limited.clone(), None).retry, Retry::After(Duration::from_secs(30)));
    assert_eq!(fails(limited.with("retry-after", "3"), None).retry, Retry::After(Duration::from_secs(3)));
    assert_eq!(fails(Told::new(200, r#"{"ok":false,"error":"internal_error"}"#), None).retry, Retry::Later);
    let failure = fails(Told::new(200, r#"{"ok":false,"error":"not_in_channel"}"#), None);
    assert!(failure.retry == Retry::Later && failure.problem.contains("invite the bot"), "{failure}");
    let failure = fails(Told::new(200, &format!("{{\"ok\":false,\"error\":\"bad {TOKEN}\"}}")), None);
    assert!(failure.problem.contains("an unknown code") && !failure.problem.contains(TOKEN), "{failure}");
    // A message that someone deleted stays deleted.
    let payload = sink.render(&Said::first().message());
    let failure = deliver(&sink, &payload, Some("C1/1999.5"), false).unwrap_err();
    assert!(failure.retry == Retry::Never && failure.problem.contains("deleted"), "{failure}");
    // By the channel's name an earlier message cannot be looked for: a second one is better than none.
    let by_name = slack(&fake, "#incidents");
    let mark = delivered(&by_name, &Said::first(), None, true).unwrap();
    assert_eq!(mark, "C1/1000.5");
}

#[test]
fn a_sink_that_hangs_or_is_not_there_is_left() {
    let fake = Fake::start(Kept::default(), apis::pagerduty);
    fake.fails_with(Fault::Hang);
    let keys =
        format!("kind = \"pagerduty\"\nurl = \"{}\"\nrouting_key_file = \"token\"\ntimeout = \"1s\"", fake.url());
    let began = Instant::now();
    let hanging = sink(&keys);
    let payload = hanging.render(&Said::first().message());
    let failure = deliver(&hanging, &payload, None, false).unwrap_err();
    assert!(failure.retry == Retry::Later && began.elapsed() < Duration::from_secs(5), "{failure}");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = sink(&format!("kind = \"pagerduty\"\nurl = \"http://127.0.0.1:{port}\"\nrouting_key_file = \"token\""));
    assert_eq!(deliver(&gone, &payload, None, false).unwrap_err().retry, Retry::Later);
    // A file that is not there today may be tomorrow.
    let without = sink("kind = \"pagerduty\"\nrouting_key_file = \"nothing\"");
    let failure = deliver(&without, &payload, None, false).unwrap_err();
    assert!(
        failure.retry == Retry::Later && failure.problem.contains("nothing: the file with the secret"),
        "{failure}"
    );
    // What is no payload of this sink never will be.
    assert_eq!(deliver(&gone, "{", None, false).unwrap_err().retry, Retry::Never);
}

#[test]
fn a_wrong_token_is_told_without_it() {
    let fake = Fake::start(Kept::default(), apis::github);
    let url = fake.url();
    let wrong =
        sink(&format!("kind = \"github\"\nurl = \"{url}\"\nrepository = \"acme/shop\"\ntoken_file = \"wrong\""));
    let failure = deliver(&wrong, &wrong.render(&Said::first().message()), None, false).unwrap_err();
    assert!(failure.retry == Retry::Later && failure.problem.contains("Bad credentials"), "{failure}");
    assert!(!failure.problem.contains("another-token") && !format!("{wrong:?}").contains("another-token"));
}

#[test]
fn tickets_that_alerts_name_are_commented_where_the_settings_allow() {
    let fake = Fake::start(Kept::default(), apis::jira);
    let sink = jira_cloud(&fake, "projects = [\"OPS\"]");
    let named = |ticket: Option<&str>| {
        let said = Said { ticket: ticket.map(str::to_owned), ..Said::first() };
        deliver(&sink, &sink.render(&said.message()), None, false)
    };
    assert_eq!(named(Some("OPS-1")).unwrap().as_deref(), Some("OPS-1/10000"));
    for ticket in [None, Some("HR-1"), Some("OPS-1/../../HR-1"), Some("ops-1")] {
        let failure = named(ticket).unwrap_err();
        assert!(
            failure.retry == Retry::Never && failure.problem.contains("no alert names a ticket of OPS"),
            "{failure}"
        );
    }
    fake.asked();
    // A payload that was rendered when the settings allowed more goes nowhere else.
    let payload = sink.render(&Said { ticket: Some("OPS-1".to_owned()), ..Said::first() }.message());
    let payload = payload.replace("\"OPS-1\"", "\"HR-1\"");
    assert_eq!(deliver(&sink, &payload, None, false).unwrap_err().retry, Retry::Never);
    assert!(fake.asked().is_empty());
    let fallback = jira_cloud(&fake, &format!("projects = [\"SRE\"]\n{PROJECT}"));
    let said = Said { ticket: Some("OPS-1".to_owned()), ..Said::first() };
    assert_eq!(delivered(&fallback, &said, None, false).as_deref(), Some("OPS-101"));
}

#[test]
fn ten_million_bytes_of_hostile_labels_fit_every_sink_and_steer_none() {
    // Beside what steers, what takes most room where it is escaped.
    for one in [STEERING, "&", "\"", "{", "𝄞"] {
        let (said, failed) = (Said::hostile(one), Said::hostile_failure(one));
        for (name, fake, sink) in all() {
            delivered(&sink, &said, None, false);
            fake.state(|kept| is_not_steered(name, &kept.items[0][0]));
            delivered(&sink, &failed, None, false);
            fake.state(|kept| is_not_steered(name, kept.items.iter().flatten().next_back().unwrap()));
            if one == "&" && name.starts_with("slack") {
                let text = fake.state(|kept| seen(&kept.items[0][0]));
                assert!(text.contains("lines left out; the whole report: http"), "{text}");
            }
        }
    }
}

fn is_not_steered(name: &str, item: &Value) {
    let text = seen(item);
    assert!(!text.contains('\u{202e}') && !text.contains('\u{1b}'), "{name}");
    match name {
        "github comment" | "github issue" => {
            assert!(!text.contains("@here") && !text.contains("@org/team") && !text.contains("<!channel"));
            let fences = text.lines().filter(|line| line.starts_with("```")).count();
            assert_eq!(fences % 2, 0);
            assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
            assert!(text.ends_with("\n<!-- hypocenter incident 17 -->\n"));
            assert!(text.contains("and 5 more"));
        }
        "slack" | "slack webhook" => {
            let blocks = item["blocks"].as_array().unwrap();
            let marked: Vec<&Value> = blocks.iter().filter(|block| block["type"] == "section").collect();
            for block in marked {
                let text = block["text"]["text"].as_str().unwrap();
                assert!(!text.contains("<!channel") && !text.contains("@here") && !text.contains("``"), "{text}");
            }
        }
        "jira server comment" | "jira server issue" => {
            let (brief, report) = text.split_once("{noformat}").unwrap();
            let brief = brief.replace("\\{", "").replace("\\[", "");
            assert!(!brief.contains("{code") && !brief.contains("[~") && !brief.contains("{noformat"), "{brief}");
            assert_eq!(report.matches("{noformat}").count(), 1, "the text ends once");
            assert!(text.trim_end().ends_with("hypocenter incident 17"));
        }
        _ => {}
    }
}

#[test]
fn a_report_that_is_too_long_is_cut_at_line_ends_and_says_so() {
    let mut said = Said::first();
    // Warnings are folded, so that what is cut is open there.
    let fake = Fake::start(Kept::default(), apis::webhook);
    let whole: String = {
        let large = webhook(&fake, "");
        delivered(&large, &said, None, false);
        fake.state(|kept| kept.items.pop().unwrap()[0]["sent"]["markdown"].as_str().unwrap().to_owned())
    };
    said.version = 2;
    for max_kibibytes in [5, 6, 7, 8] {
        let keys = format!("template_file = \"t-{max_kibibytes}\"\nmax_size = \"{max_kibibytes}KiB\"");
        fs::write(folder().join(format!("t-{max_kibibytes}")), "{\"text\": {{ markdown | tojson }}}").unwrap();
        let small = webhook(&fake, &keys);
        delivered(&small, &said, None, false);
        let text = fake.state(|kept| kept.items.pop().unwrap()[0]["sent"]["text"].as_str().unwrap().to_owned());
        if text.contains("left out") {
            let (_, said) = text.trim_end().rsplit_once("… ").unwrap();
            let left_out: usize = said.split(' ').next().unwrap().parse().unwrap();
            assert!(said.ends_with("the whole report: http://hypocenter.example:9464/api/v1/incidents/17"), "{said}");
            let kept =
                text.lines().take_while(|line| whole.lines().any(|other| other == *line) || line.contains("version 2"));
            assert!(kept.count() + left_out >= whole.lines().count(), "{text}");
        }
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count(), "{text}");
        assert_eq!(text.matches("```").count() % 2, 0, "{text}");
        assert!(text.len() <= max_kibibytes << 10, "{}", text.len());
    }
}

#[test]
fn a_template_makes_what_another_system_takes() {
    let fake = Fake::start(Kept::default(), apis::webhook);
    let template = "{\"summary\": {{ (title ~ ': ' ~ headline) | tojson }},\n \
                    \"services\": [{% for cause in causes %}{{ cause.service | tojson }}{{ ',' if not loop.last }}{% endfor %}],\n \
                    \"state\": {% if status == 'resolved' %}\"ok\"{% else %}\"alerting\"{% endif %}}";
    fs::write(folder().join("alert.jinja"), template).unwrap();
    let sink = webhook(&fake, "template_file = \"alert.jinja\"\nmethod = \"PUT\"\nheaders = { X-Team = \"shop\" }");
    delivered(&sink, &Said::first(), None, false);
    delivered(&sink, &Said::resolved(), None, false);
    fake.state(|kept| {
        let first = &kept.items[0][0];
        assert_eq!((first["method"].as_str(), first["team"].as_str()), (Some("PUT"), Some("shop")));
        let summary = "FrontendLatencyHigh at frontend: payments is the cause (99 %, very likely)";
        assert_eq!(first["sent"], json!({ "summary": summary, "services": ["payments"], "state": "alerting" }));
        assert_eq!(kept.items[1][0]["sent"]["state"], "ok");
    });
    // Text for a server that takes no JSON.
    fs::write(folder().join("text.jinja"), "{{ title }}\n{{ headline }}\n").unwrap();
    let text = webhook(&fake, "template_file = \"text.jinja\"\nheaders = { Content-Type = \"text/plain\" }");
    delivered(&text, &Said::first(), None, false);
    fake.state(|kept| {
        let sent = kept.items[2][0]["sent"].as_str().unwrap().to_owned();
        assert_eq!(sent, "FrontendLatencyHigh at frontend\npayments is the cause (99 %, very likely)");
    });
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of mistakes and their messages")]
fn each_mistake_in_a_section_has_its_message() {
    for (name, text) in [("bad.jinja", "{{ titel }}"), ("open.jinja", "{% if title %}"), ("no.jinja", "{{ title }}")] {
        fs::write(folder().join(name), text).unwrap();
    }
    let refused = |text: &str| {
        let error = Settings::parse(&folder().join("s.toml"), text).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}").replace(&format!("{}/", folder().display()), "")
    };
    let github = "kind = \"github\"\nrepository = \"a/b\"\ntoken_file = \"token\"\n";
    let jira = "kind = \"jira\"\nflavor = \"cloud\"\nurl = \"https://j\"\nbasic_auth = { username = \"me\" }\n";
    for (keys, expected) in [
        ("kind = \"git\"", "s.toml: key `notify[0].kind`: unknown value `git`; did you mean `github`?".to_owned()),
        ("kind = \"github\"\nrepo = \"a/b\"", "s.toml: unknown key `notify.repo`; did you mean `repository`?".to_owned()),
        (
            "kind = \"slack\"\nrouting_key_file = \"token\"",
            "s.toml: unknown key `notify[0].routing_key_file`; known are name, kind, timeout, tls_config, url, token_file, \
             channel, webhook_url_file"
                .to_owned(),
        ),
        (
            "kind = \"github\"\nrepository = \"a\"\ntoken_file = \"token\"",
            "s.toml: key `notify[0].repository`: a repository is written as owner/name".to_owned(),
        ),
        (
            &format!("{github}issue = \"OPS-1\""),
            "s.toml: key `notify[0].issue`: an issue of GitHub is a number above 0".to_owned(),
        ),
        (
            "kind = \"github\"\nrepository = \"a/b\"",
            "s.toml: key `notify[0].token_file`: name the file with the token".to_owned(),
        ),
        (jira, "s.toml: key `notify[0].project`: name at least one of project, issue and projects".to_owned()),
        (
            &format!("{jira}project = \"ops\""),
            "s.toml: key `notify[0].project`: the key of a project is of capitals, digits and `_`, such as \"OPS\"".to_owned(),
        ),
        (
            &format!("{jira}issue = 12"),
            "s.toml: key `notify[0].issue`: a ticket of Jira is a key such as \"OPS-12\"".to_owned(),
        ),
        (
            "kind = \"slack\"\ntoken_file = \"token\"",
            "s.toml: key `notify[0].channel`: a bot needs a channel".to_owned(),
        ),
        (
            "kind = \"webhook\"\nurl = \"https://me:pw@h/\"",
            "s.toml: key `notify[0].url`: not an address: http:// or https://, a host, perhaps a port and a path; a name and \
             password belong into basic_auth"
                .to_owned(),
        ),
        (
            "kind = \"webhook\"\nurl = \"http://h/\"\nheaders = { Authorization = \"Bearer x\" }",
            "s.toml: key `notify[0].headers.Authorization`: credentials are read from files only: set `authorization` or \
             `basic_auth` in the settings file"
                .to_owned(),
        ),
        (
            "kind = \"webhook\"\nurl = \"http://h/\"\ntemplate_file = \"bad.jinja\"",
            "bad.jinja: the template cannot be used: line 1: undefined value".to_owned(),
        ),
        (
            "kind = \"webhook\"\nurl = \"http://h/\"\ntemplate_file = \"no.jinja\"",
            "no.jinja: the template cannot be used: what it makes is not valid JSON (line 1 of the text); write values with \
             the filter `tojson`, or name another media type by the header Content-Type"
                .to_owned(),
        ),
        (
            "kind = \"webhook\"\nurl = \"http://h/\"\nmax_size = \"1KiB\"",
            "s.toml: key `notify[0].max_size`: not even a message without the report has so few bytes: take 64KiB or more"
                .to_owned(),
        ),
        (
            "kind = \"pagerduty\"\nrouting_key_file = \"token\"\nseverity = \"high\"",
            "s.toml: key `notify[0].severity`: unknown value `high`; known are critical, error, warning, info".to_owned(),
        ),
    ] {
        let told = refused(&format!("[[notify]]\nname = \"it\"\n{keys}"));
        assert!(told.starts_with(&expected), "{keys}\n{told}\n{expected}");
    }
    let open =
        refused("[[notify]]\nname = \"it\"\nkind = \"webhook\"\nurl = \"http://h/\"\ntemplate_file = \"open.jinja\"");
    assert!(open.starts_with("open.jinja: the template cannot be used: line 1: syntax error"), "{open}");
    let twice =
        |other: &str| refused(&format!("[[notify]]\nname = \"a\"\n{github}[[notify]]\nname = \"{other}\"\n{github}"));
    assert!(twice("a").contains("`notify[1].name`: another sink has this name"), "{}", twice("a"));
    assert!(twice("b").contains("`notify[1].kind`: another sink is the same"), "{}", twice("b"));
}

#[test]
fn check_config_tells_of_every_sink_and_no_secret() {
    let url = folder().join("hook-url");
    fs::write(&url, "https://hooks.example/services/SECRETSECRET\n").unwrap();
    let text = "\
[[notify]]\nname = \"issues\"\nkind = \"github\"\nrepository = \"acme/shop\"\ntoken_file = \"token\"\n\
[[notify]]\nname = \"tickets\"\nkind = \"jira\"\nflavor = \"cloud\"\nurl = \"https://acme.example\"\nprojects = [\"OPS\"]\n\
project = \"OPS\"\nbasic_auth = { username = \"me\", password_file = \"token\" }\n\
[[notify]]\nname = \"chat\"\nkind = \"slack\"\nwebhook_url_file = \"hook-url\"\n\
[[notify]]\nname = \"pager\"\nkind = \"pagerduty\"\nrouting_key_file = \"token\"\n\
[[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl_file = \"hook-url\"\n";
    let file = folder().join("all.toml");
    fs::write(&file, text).unwrap();
    let check = |file: &PathBuf| {
        let program = env!("CARGO_BIN_EXE_hypocenter");
        std::process::Command::new(program).args(["check", "config"]).arg(file).output().unwrap()
    };
    let output = check(&file);
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("notify ")).collect();
    assert_eq!(
        lines,
        [
            "notify issues: github, an issue per incident in acme/shop at https://api.github.com, a token",
            "notify tickets: jira cloud, comments on tickets of OPS that alerts name, else a Task per incident in OPS at \
             https://acme.example, basic authentication",
            "notify chat: slack, an incoming webhook: first report and resolution only, since it cannot edit",
            "notify pager: pagerduty, events of severity warning to https://events.pagerduty.com",
            "notify hook: webhook, POST to the address in a file, as JSON, no authentication, at most 262144 bytes",
        ]
    );
    assert!(!told.contains(TOKEN) && !told.contains("SECRET"));
    fs::write(&file, text.replace("routing_key_file = \"token\"", "routing_key_file = \"gone\"")).unwrap();
    let failed = String::from_utf8(check(&file).stderr).unwrap();
    assert!(failed.contains("the sink `pager` of [[notify]] cannot be used") && failed.contains("gone"), "{failed}");
}

/// Without a cause every sink says so in its first lines, and names who it could be.
#[test]
fn what_cannot_be_told_is_said_first() {
    let mut said = Said::first();
    let causes = std::mem::take(&mut said.diagnosis.causes);
    said.diagnosis.alternatives = causes.into_iter().map(|cause| cause.candidate).collect();
    said.diagnosis.verdict = hypocenter::rank::Verdict::CannotTell;
    said.diagnosis.verdict_reason = "the evidence does not separate the candidates (payments)".to_owned();
    let mut quiet = Said::first();
    quiet.diagnosis.causes.clear();
    quiet.diagnosis.verdict = hypocenter::rank::Verdict::NoAnomaly;
    for (said, headline, markdown) in [
        (said, "the cause cannot be told; candidates: payments 99 %", "## Cannot tell"),
        (quiet, "no anomaly found", "## No anomaly"),
    ] {
        for (name, fake, sink) in all() {
            delivered(&sink, &said, None, false);
            fake.state(|kept| {
                let text = seen(&kept.items[0][0]);
                let expected = if name.starts_with("github") { markdown } else { headline };
                assert!(text.contains(expected) && !text.contains("is the cause"), "{name}: {text}");
            });
        }
    }
}

/// What an engineer on call sees, read by one: the first lines say what, where and how sure.
#[test]
fn payloads_of_a_recorded_incident() {
    let said = Said::first();
    for (name, _fake, sink) in all() {
        let payload: Value = serde_json::from_str(&sink.render(&said.message())).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
        let (snapshot, shown) = match (name, &sink.target) {
            ("github issue", _) => ("github", format!("{}\n\n{}", text(&payload["title"]), text(&payload["body"]))),
            ("jira cloud issue", _) => ("jira_cloud", pretty(&payload)),
            ("jira server issue", _) => {
                ("jira_server", format!("{}\n\n{}", text(&payload["summary"]), text(&payload["text"])))
            }
            ("slack", _) => ("slack", pretty(&payload)),
            ("pagerduty", _) => ("pagerduty", pretty(&payload)),
            ("webhook", Target::Webhook(_)) => {
                let sent: Value = serde_json::from_str(payload["text"].as_str().unwrap()).unwrap();
                ("webhook", pretty(&sent))
            }
            _ => continue,
        };
        if matches!(snapshot, "github" | "jira_server") {
            let first: Vec<&str> = shown.lines().skip(2).filter(|line| !line.is_empty()).take(3).collect();
            let first = first.join(" ");
            assert!(["FrontendLatencyHigh", "payments", "99 %"].iter().all(|part| first.contains(part)), "{first}");
        }
        insta::assert_snapshot!(snapshot, shown);
    }
}
