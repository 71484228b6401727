//! A pull is bounded as a whole, loses no query to a redirect, asks for less where a server finds it too much, and what was
//! odd reaches the report, on the spot and offline.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "live/program.rs"]
mod program;
#[path = "live/prometheus.rs"]
mod prometheus;
#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;
#[path = "live/server.rs"]
mod server;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::any;
use program::{BASELINE, INCIDENT, analyze, failure, hypocenter, report, stderr};
use prometheus::{Asked, Reply, STEP_S, prometheus, prometheus_until};
use receiver::Receiver;
use serde_json::{Value, json};
use server::Serving;
use tempfile::TempDir;

const CPU: &str = "container_cpu_usage_seconds_total";
const MEMORY: &str = "container_memory_working_set_bytes";
/// From the beginning of the baseline to the end of the incident, and a day more on either side.
const ALWAYS: (i64, i64) = (1_773_144_000 - 86_400, 1_773_144_000 + 86_400);

fn held(_: &Asked) -> Reply {
    Reply::Held(ALWAYS.0, ALWAYS.1)
}

/// A settings file that lets a pull take two seconds.
fn hurried(folder: &Path) -> String {
    let file = folder.join("hurried.toml");
    std::fs::write(&file, "[live]\ndeadline = \"2s\"\n").unwrap();
    file.to_str().unwrap().to_owned()
}

/// What the report tells among its warnings.
fn warnings(report: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).unwrap();
    let all = report["warnings"].as_array().unwrap().iter();
    all.map(|warning| format!("{}: {}", warning["source"].as_str().unwrap(), warning["message"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_came_until_the_deadline_is_used_and_the_rest_is_told() {
    let reply = |asked: &Asked| if asked.metric == CPU { held(asked) } else { Reply::Never };
    let slow = Serving::start(prometheus(&[CPU, MEMORY], reply));
    let folder = TempDir::new().unwrap();
    let (config, saved) = (hurried(folder.path()), folder.path().join("saved"));
    let began = Instant::now();
    let told = report(&analyze(&["--prometheus", &slow.url(), "--config", &config, "--save", saved.to_str().unwrap()]));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let start = "live sources: prometheus: 1 of 2 metrics did not come within 2 s (`deadline` under [live]";
    let end = format!(") and are left out: {MEMORY}");
    let is_told = |warning: &String| warning.starts_with(start) && warning.ends_with(&end);
    assert!(warnings(&told).iter().any(is_told), "{told}");
    assert_eq!(report(&["analyze", "--case", saved.to_str().unwrap(), "-o", "json"]), told, "offline");

    // Nothing at all came.
    let silent = Serving::start(prometheus(&[CPU], |_: &Asked| Reply::Never));
    let message = failure(&analyze(&["--prometheus", &silent.url(), "--config", &config]));
    assert!(message.contains("did not come within 2 s") && message.contains("[live]"), "{message}");

    // Of one source nothing, of another everything.
    let nobody_answers = Serving::start(Router::new().fallback(any(std::future::pending::<String>)));
    let sources = ["--prometheus", &Serving::start(prometheus(&[CPU], held)).url(), "--jaeger", &nobody_answers.url()];
    let told = report(&analyze(&[&sources[..], &["--entry", "cart", "--config", &config]].concat()));
    let is_told =
        |warning: &String| warning.contains("jaeger: what was asked for did not come") && warning.ends_with("left out");
    assert!(warnings(&told).iter().any(is_told), "{told}");
    let doctor = ["doctor", "--jaeger", &nobody_answers.url(), "--entry", "cart", "--config", &config];
    let told = String::from_utf8(hypocenter(&doctor).stdout).unwrap();
    assert!(told.contains("within 2 s"), "{told}");
    // One that is slow says nothing of the next.
    let services = || async { r#"{"services":["cart"]}"#.into_response() };
    let answers = Serving::start(Router::new().route("/api/v3/services", any(services)));
    let sources = ["--prometheus", &nobody_answers.url(), "--jaeger", &answers.url()];
    let doctor = [&["doctor", "--entry", "cart", "--config", &config], &sources[..]].concat();
    let told = String::from_utf8(hypocenter(&doctor).stdout).unwrap();
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("prometheus does not answer") && told.contains("the server knows cart"), "{told}");
}

#[test]
fn what_was_odd_with_a_pull_stands_in_every_form_of_the_report() {
    let server = Serving::start(prometheus(&[CPU], |_: &Asked| Reply::Partial(ALWAYS.0, ALWAYS.1)));
    let folder = TempDir::new().unwrap();
    let saved = folder.path().join("saved").to_str().unwrap().to_owned();
    let windows = ["analyze", "--incident", INCIDENT, "--baseline", BASELINE];
    report(&[&windows[..], &["--prometheus", &server.url(), "--save", &saved]].concat());
    for form in ["text", "markdown", "json"] {
        let told = report(&["analyze", "--case", &saved, "-o", form]);
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("a part of the server's storage did not answer"), "{form}: {told}");
    }
    // A record that is none is told, too.
    std::fs::write(folder.path().join("saved/pull.json"), "[]").unwrap();
    let told = report(&["analyze", "--case", &saved, "-o", "json"]);
    assert!(warnings(&told).iter().any(|warning| warning.contains("no record of a pull")), "{told}");
}

#[test]
fn a_baseline_of_which_little_is_held_is_told() {
    // From the last three minutes of the baseline on.
    let server = Serving::start(prometheus(&[CPU], |_: &Asked| Reply::Held(1_773_144_000 + 900, ALWAYS.1)));
    let told = report(&analyze(&["--prometheus", &server.url()]));
    let is_told = |warning: &String| warning.contains("samples of the baseline") && warning.contains("(--baseline)");
    assert!(warnings(&told).iter().any(is_told), "{told}");
    let doctor = hypocenter(&["doctor", "--prometheus", &server.url(), "--incident", INCIDENT, "--baseline", BASELINE]);
    let told = String::from_utf8(doctor.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("holds samples of the baseline"), "{told}");
    let whole = Serving::start(prometheus(&[CPU], held));
    let told = report(&analyze(&["--prometheus", &whole.url()]));
    assert!(!warnings(&told).iter().any(is_told), "{told}");
}

#[test]
fn an_incident_that_goes_on_ends_where_samples_have_arrived() {
    let now_s = jiff::Timestamp::now().as_second();
    let newest_s = now_s - 50;
    // Points of a range go on after the last sample, and what is missing comes while metrics are pulled.
    let is_pulled = Arc::new(AtomicBool::new(false));
    let pulled = Arc::clone(&is_pulled);
    let newest = move || if is_pulled.load(Ordering::SeqCst) { now_s } else { newest_s };
    let server = Serving::start(prometheus_until(&[CPU], newest, move |_: &Asked| {
        pulled.store(true, Ordering::SeqCst);
        Reply::Held(now_s - 7200, now_s)
    }));
    let folder = TempDir::new().unwrap();
    let saved = folder.path().join("saved").to_str().unwrap().to_owned();
    let windows = ["analyze", "--incident", "now-10m/now", "--baseline", "now-40m/now-12m", "-o", "json"];
    let told = report(&[&windows[..], &["--prometheus", &server.url(), "--save", &saved]].concat());
    let parsed: Value = serde_json::from_str(&told).unwrap();
    let end: jiff::Timestamp = parsed["incident"]["end"].as_str().unwrap().parse().unwrap();
    assert_eq!(end.as_second(), newest_s + 1, "{parsed:#}");
    assert!(warnings(&told).iter().any(|warning| warning.contains("telemetry had arrived")), "{told}");
    assert_eq!(report(&["analyze", "--case", &saved, "-o", "json"]), told, "offline");
}

/// What a server says to a request, once `is_enough` of it.
async fn asked(url: &str, body: Option<Value>, is_enough: impl Fn(&Value) -> bool) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let request = match &body {
            Some(body) => client.post(url).body(body.to_string()),
            None => client.get(url),
        };
        let told = request.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&told).unwrap();
        if is_enough(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_compares_what_has_arrived_and_a_pull_leaves_its_analysis_time() {
    let now_s = jiff::Timestamp::now().as_second();
    let newest_s = now_s - 50;
    let is_slow = Arc::new(AtomicBool::new(true));
    let slow = Arc::clone(&is_slow);
    let reply = move |asked: &Asked| match asked.metric == MEMORY && slow.load(Ordering::SeqCst) {
        true => Reply::Never,
        // Points of a range go on after the last sample.
        false => Reply::Held(now_s - 7200, now_s + 3600),
    };
    let prometheus = Serving::start(prometheus_until(&[CPU, MEMORY], move || newest_s, reply));
    let folder = TempDir::new().unwrap();
    let (data, settings) = (folder.path().join("data"), folder.path().join("s.toml"));
    let text = format!("[incidents]\ndeadline = \"12s\"\n[prometheus]\nurl = \"{}\"\n", prometheus.url());
    std::fs::write(&settings, text).unwrap();
    let receiver = Receiver::start(&data, &["--config", settings.to_str().unwrap()]);
    let url = |path: &str| format!("http://{}/api/v1/{path}", receiver.web);
    let wanted = json!({ "incident": "now-10m/now", "baselines": ["now-40m/now-12m"] });
    let id = asked(&url("analyses"), Some(wanted), |_| true).await["data"]["id"].as_str().unwrap().to_owned();
    let is_done = |answer: &Value| !answer["data"]["report"].is_null();
    asked(&url(&format!("incidents/{id}")), None, is_done).await;
    let report = asked(&url(&format!("incidents/{id}/report")), None, |_| true).await;
    let end: jiff::Timestamp = report["incident"]["end"].as_str().unwrap().parse().unwrap();
    assert_eq!(end.as_second(), newest_s + 1, "{report:#}");
    let told = warnings(&report.to_string());
    for part in ["telemetry had arrived", "1 of 2 metrics did not come within 9 s"] {
        assert!(told.iter().any(|warning| warning.contains(part)), "{part}: {told:#?}");
    }
    // What is kept says the same.
    is_slow.store(false, Ordering::SeqCst);
    let feedback = asked(&url(&format!("incidents/{id}/feedback")), Some(json!({ "cause": "cart" })), |_| true).await;
    let case = feedback["data"]["case"].as_str().unwrap_or_else(|| panic!("{feedback:#}"));
    let case = std::fs::read_to_string(Path::new(case).join("case.toml")).unwrap();
    let end = jiff::Timestamp::from_second(newest_s + 1).unwrap().to_string();
    assert!(case.contains(&format!("end = {end}")), "{case}");
}

#[test]
fn redirects_that_lose_a_query_are_not_followed_and_the_address_is_told() {
    let moved = |status: StatusCode| {
        let reply = prometheus(&[CPU], held);
        let away = move |request: Request| {
            let reply = reply.clone();
            async move {
                match request.uri().path().strip_prefix("/old") {
                    Some(rest) => (status, [(header::LOCATION, format!("/new{rest}"))]).into_response(),
                    None => tower::ServiceExt::oneshot(reply, request).await.unwrap().into_response(),
                }
            }
        };
        Serving::start(Router::new().fallback(any(away)))
    };
    for status in [StatusCode::MOVED_PERMANENTLY, StatusCode::FOUND] {
        let server = moved(status);
        let message = failure(&analyze(&["--prometheus", &format!("{}/old", server.url())]));
        let (what, address) =
            (format!("answers {}", status.as_u16()), format!("give {}/new as the address", server.url()));
        assert!(message.contains(&what) && message.contains(&address) && message.contains("POST"), "{message}");
    }
    for status in [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT] {
        let server = moved(status);
        let told = report(&analyze(&["--prometheus", &format!("{}/old", server.url())]));
        assert!(told.contains("\"series\": 1"), "{told}");
    }
    // Trace stores are asked with GET, which stays one.
    let services = |request: Request| async move {
        match request.uri().path() {
            "/new/api/v3/services" => r#"{"services":["front"]}"#.into_response(),
            path => (StatusCode::FOUND, [(header::LOCATION, path.replace("/old", "/new"))]).into_response(),
        }
    };
    let server = Serving::start(Router::new().fallback(any(services)));
    let message = failure(&analyze(&["--jaeger", &format!("{}/old", server.url())]));
    assert!(message.contains("the server knows front"), "{message}");
}

/// The times of all samples that a saved case has, in the order of its files.
fn times(saved: &Path) -> Vec<i64> {
    let mut files: Vec<_> =
        std::fs::read_dir(saved.join("metrics")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort_by_key(|file| {
        let part = file.file_name().unwrap().to_str().unwrap().split('-').nth(1).unwrap().to_owned();
        part.parse::<u32>().unwrap()
    });
    let read = |file: &std::path::PathBuf| serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap();
    let samples = |answer: Value| answer["data"]["result"][0]["values"].as_array().unwrap().clone();
    files.iter().map(read).flat_map(samples).map(|sample| sample[0].as_i64().unwrap()).collect()
}

#[test]
fn ranges_that_are_too_much_are_halved_without_gap_or_repetition() {
    let too_many = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#;
    let resolution = r#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}"#;
    let folder = TempDir::new().unwrap();
    for (status, text) in [(413, "too large"), (422, too_many), (400, resolution)] {
        let reply = move |asked: &Asked| if asked.points() > 9 { Reply::Refused(status, text) } else { held(asked) };
        let server = Serving::start(prometheus(&[CPU], reply));
        let saved = folder.path().join(status.to_string());
        report(&analyze(&["--prometheus", &server.url(), "--save", saved.to_str().unwrap()]));
        let times = times(&saved);
        assert!(times.len() > 50 && times.windows(2).all(|pair| pair[1] - pair[0] == STEP_S), "{status}: {times:?}");
    }
    // What is refused at any length is given up soon, and what is wrong otherwise at once.
    for (status, text, most) in [(422, too_many, 10), (400, r#"{"status":"error","error":"parse error"}"#, 1)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let reply = move |_: &Asked| {
            count.fetch_add(1, Ordering::SeqCst);
            Reply::Refused(status, text)
        };
        let server = Serving::start(prometheus(&[CPU], reply));
        let message = failure(&analyze(&["--prometheus", &server.url()]));
        assert!(message.contains(&status.to_string()), "{message}");
        assert!((1..=most).contains(&asked.load(Ordering::SeqCst)), "{status}: {}", asked.load(Ordering::SeqCst));
    }
}

#[test]
fn a_deadline_is_a_duration() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s.toml");
    for (text, part) in [("deadline = \"soon\"", "live.deadline"), ("deadlin = \"2s\"", "did you mean `deadline`?")] {
        std::fs::write(&file, format!("[live]\n{text}\n")).unwrap();
        let output = hypocenter(&["check", "config", file.to_str().unwrap()]);
        assert!(output.status.code() == Some(1) && stderr(&output).contains(part), "{}", stderr(&output));
    }
}
