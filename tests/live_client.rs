//! The client of live sources against servers that misbehave, and what becomes of secrets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "live/program.rs"]
mod program;
#[path = "live/server.rs"]
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::any;
use program::{BASELINE, INCIDENT, analyze, failure, hypocenter, stderr};
use server::Serving;
use tempfile::TempDir;

/// A Prometheus with one series, whatever it is asked.
async fn one_series(request: Request) -> impl IntoResponse {
    let path = request.uri().path();
    let body = if path.ends_with("/values") {
        r#"{"status":"success","data":["container_cpu_usage_seconds_total"]}"#.to_owned()
    } else if path.ends_with("/query") {
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#.to_owned()
    } else {
        // From before the baseline to the end of the incident, each half a minute.
        let samples: Vec<String> = (0..70).map(|n| format!("[{},\"{}\"]", 1_773_144_000 + n * 30, n * 3)).collect();
        format!(
            r#"{{"status":"success","isPartial":true,"data":{{"resultType":"matrix","result":[{{"metric":{{"__name__":"container_cpu_usage_seconds_total","pod":"cart-0"}},"values":[{}]}}]}},"warnings":["some store was slow"]}}"#,
            samples.join(",")
        )
    };
    ([(header::CONTENT_TYPE, "application/json")], body)
}

#[test]
fn web_pages_of_proxies_are_named() {
    let page = || async { Html("<!DOCTYPE html><html><head><title>Sign in</title></head></html>") };
    let server = Serving::start(Router::new().fallback(any(page)));
    let message = failure(&analyze(&["--prometheus", &server.url()]));
    assert!(
        message.contains("web page") && message.contains("\"Sign in\"") && message.contains(&server.url()),
        "{message}"
    );
    let told = |status: StatusCode| {
        let page = move || async move { (status, Html("<html><title>nginx</title></html>")) };
        let server = Serving::start(Router::new().fallback(any(page)));
        failure(&analyze(&["--prometheus", &server.url()]))
    };
    assert!(told(StatusCode::INTERNAL_SERVER_ERROR).contains("is down or fails"));
    assert!(told(StatusCode::UNAUTHORIZED).contains("basic_auth"));
    let plain = server.url().replace("http://", "https://");
    let message = failure(&analyze(&["--prometheus", &plain]));
    assert!(message.contains("try http://"), "{message}");
}

#[test]
fn a_source_that_has_nothing_or_is_not_there_is_named() {
    let none = || async { ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"success","data":[]}"#) };
    let server = Serving::start(Router::new().fallback(any(none)));
    let message = failure(&analyze(&["--prometheus", &server.url()]));
    let (start, _) = INCIDENT.split_once('/').unwrap();
    assert!(message.contains(&format!("prometheus at {}", server.url())) && message.contains(start), "{message}");
    let doctor = |url: &str| {
        let output = hypocenter(&["doctor", "--prometheus", url, "--incident", INCIDENT, "--baseline", BASELINE]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let nobody = program::nobody();
    for (told, part) in [(doctor(&server.url()), "nothing of use came"), (doctor(&nobody), "nothing else to look at")] {
        let is_about_files = told.contains("there is no file") || told.contains("leaving it out");
        assert!(told.contains("NOT USABLE") && told.contains(part) && !is_about_files, "{told}");
    }
}

#[test]
fn busy_servers_are_asked_again_and_notes_are_shown() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let busy = move |request: Request| async move {
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "busy").into_response(),
            1 => (StatusCode::TOO_MANY_REQUESTS, "slow down").into_response(),
            _ => one_series(request).await.into_response(),
        }
    };
    let server = Serving::start(Router::new().fallback(any(busy)));
    let began = std::time::Instant::now();
    let output = hypocenter(&analyze(&["--prometheus", &server.url()]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(began.elapsed().as_secs_f64() >= 1.0, "Retry-After was not honoured");
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(told.contains("some store was slow") && told.contains("partial"), "{told}");
    // Always busy: given up after four attempts.
    let always = Arc::new(AtomicUsize::new(0));
    let count = always.clone();
    let busy = move || async move {
        count.fetch_add(1, Ordering::SeqCst);
        (StatusCode::BAD_GATEWAY, "nobody home")
    };
    let server = Serving::start(Router::new().fallback(any(busy)));
    let message = failure(&analyze(&["--prometheus", &server.url()]));
    assert!(message.contains("502") && message.contains("nobody home"), "{message}");
    assert_eq!(always.load(Ordering::SeqCst), 4);
}

#[test]
fn no_other_host_is_contacted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let other = Serving::start(Router::new().fallback(any(move || async move {
        count.fetch_add(1, Ordering::SeqCst);
        "secret"
    })));
    let target = format!("{}/api?token=hunter2", other.url());
    let away = move || async move { Redirect::temporary(&target) };
    let server = Serving::start(Router::new().fallback(any(away)));
    let message = failure(&analyze(&["--prometheus", &server.url()]));
    assert!(message.contains("not followed") && !message.contains("hunter2"), "{message}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // Nor is https: a POST would become a GET, and the request was already sent in the clear.
    let upgrade = || async { (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, "https://127.0.0.1/api")]) };
    let server = Serving::start(Router::new().fallback(any(upgrade)));
    let message = failure(&analyze(&["--prometheus", &server.url()]));
    assert!(message.contains("leads on to https://127.0.0.1, which is not followed"), "{message}");
    // A trace store is asked with GET, which loses nothing.
    let message = failure(&analyze(&["--jaeger", &server.url(), "--entry", "cart"]));
    assert!(message.contains("which is not followed; give") && !message.contains("POST"), "{message}");
    // On the same host it is followed, and a proxy of the environment is not asked.
    let here = |request: Request| async move {
        match request.uri().path().strip_prefix("/old") {
            Some(rest) => Redirect::temporary(&format!("/new{rest}")).into_response(),
            None => one_series(request).await.into_response(),
        }
    };
    let server = Serving::start(Router::new().fallback(any(here)));
    let url = format!("{}/old", server.url());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hypocenter"))
        .args(analyze(&["--prometheus", &url]))
        .env("HTTP_PROXY", other.url())
        .env("http_proxy", other.url())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn who_asks_is_told_to_the_server_and_to_nobody_else() {
    let folder = TempDir::new().unwrap();
    let check = |headers: HeaderMap, request: Request| async move {
        // me:hunter2
        let is_me = headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Basic bWU6aHVudGVyMg==");
        let is_tenant = headers.get("x-scope-orgid").is_some_and(|value| value == "shop");
        let is_extra = headers.get("x-key").is_some_and(|value| value == "hunter3");
        if is_me && is_tenant && is_extra {
            one_series(request).await.into_response()
        } else {
            (StatusCode::UNAUTHORIZED, format!("who are you? {headers:?}")).into_response()
        }
    };
    let server = Serving::start(Router::new().fallback(any(check)));
    std::fs::write(folder.path().join("password"), "hunter2\n").unwrap();
    let settings = folder.path().join("settings.toml");
    let text = format!(
        "[prometheus]\nurl = \"{}\"\norg_id = \"shop\"\n[prometheus.basic_auth]\nusername = \"me\"\npassword_file = \"password\"\n",
        server.url()
    );
    std::fs::write(&settings, text).unwrap();
    let saved = folder.path().join("saved");
    let inputs =
        ["--config", settings.to_str().unwrap(), "--header", "X-Key=hunter3", "--save", saved.to_str().unwrap()];
    let args = [&["analyze", "--incident", INCIDENT, "--baseline", BASELINE], &inputs[..]].concat();
    let output = hypocenter(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut told = String::from_utf8(output.stdout.clone()).unwrap() + &stderr(&output);
    for file in ["pull.json", "case.toml"] {
        told += &std::fs::read_to_string(saved.join(file)).unwrap();
    }
    assert!(!told.contains("hunter") && !told.contains("aHVudGVy"), "{told}");

    // Without credentials; and with the same file for another address, for which they are not.
    let message = failure(&analyze(&["--prometheus", &server.url()]));
    assert!(message.contains("401") && message.contains("basic_auth"), "{message}");
    let elsewhere = server.url().replace("127.0.0.1", "localhost");
    let message = failure(&analyze(&[
        "--prometheus",
        &elsewhere,
        "--config",
        settings.to_str().unwrap(),
        "--header",
        "X-Key=hunter3",
    ]));
    assert!(message.contains("401") && !message.contains("aHVudGVy"), "{message}");
    std::fs::remove_file(folder.path().join("password")).unwrap();
    let message = failure(&analyze(&["--config", settings.to_str().unwrap()]));
    assert!(message.contains("password: the file with the secret cannot be read"), "{message}");
}

#[test]
fn mistakes_on_the_command_line_say_what_to_do() {
    let nobody = program::nobody();
    for (inputs, parts) in [
        (&["--prometheus", "localhost:9090"][..], ["prometheus:", "http://"]),
        (&["--prometheus", "http://me:hunter2@localhost"], ["basic_auth", "password"]),
        (&["--header", "Authorization=Bearer x"], ["--header", "files"]),
        (&["--org-id", "shop"], ["--org-id", "--prometheus"]),
        (&["--save", "x"], ["--save", "--prometheus"]),
        (&["--prometheus", &nobody, "--traces", "t.json", "--save", "x"], ["--save", "the files"]),
        (&["--prometheus", &nobody, "--data", "d"], ["--data", "twice"]),
        (&["--prometheus", &nobody], [nobody.as_str(), "is the server there"]),
    ] {
        let message = failure(&analyze(inputs));
        assert!(parts.iter().all(|part| message.contains(part)), "{inputs:?}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let message = failure(&["analyze", "--prometheus", "http://127.0.0.1:1"]);
    assert!(message.contains("--incident now-15m/now"), "{message}");
}

#[test]
fn a_folder_that_holds_something_is_not_written_into() {
    let server = Serving::start(Router::new().fallback(any(one_series)));
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("precious"), "x").unwrap();
    let message = failure(&analyze(&["--prometheus", &server.url(), "--save", folder.path().to_str().unwrap()]));
    assert!(message.contains("not empty"), "{message}");
}

#[test]
fn settings_are_checked_before_they_are_used() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s.toml");
    let checked = |text: &str| {
        std::fs::write(&file, text).unwrap();
        hypocenter(&["check", "config", file.to_str().unwrap()])
    };
    let good = "[tempo]\nurl = \"https://tempo.example\"\norg_id = \"shop\"\n[tempo.authorization]\ncredentials_file = \"token\"\n";
    let missing = stderr(&checked(good));
    assert!(missing.contains("s.toml: section [tempo]") && missing.contains("token"), "{missing}");
    std::fs::write(folder.path().join("token"), "hunter2").unwrap();
    let output = checked(good);
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        told.contains("OK ") && told.contains("Bearer credentials, tenant shop") && !told.contains("hunter"),
        "{told}"
    );
    let output =
        checked("[serve]\nhttp_address = \"127.0.0.1:9999\"\n[store]\npath = \"kept\"\nretention_age = \"48h\"\n");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(["127.0.0.1:9999", "127.0.0.1:4317", "kept", "48 h"].iter().all(|part| told.contains(part)), "{told}");
    for (text, parts) in [
        ("[tempoo]\n", ["tempoo", "did you mean `tempo`?"]),
        ("[tempo]\nurl = \"http://a\"\ntimeuot = \"3s\"\n", ["tempo.timeuot", "did you mean `timeout`?"]),
        ("[tempo.tls_config]\nca_fil = \"x\"\n", ["tempo.tls_config.ca_fil", "ca_file"]),
        ("[tempo]\nurl = \"http://me:hunter2@a\"\n", ["tempo.url", "basic_auth"]),
        ("[tempo]\nurl = \"http://a\"\ntimeout = \"3\"\n", ["tempo.timeout", "30s"]),
        ("[tempo]\norg_id = \"a\"\n", ["tempo.url", "no address"]),
        ("[tempo]\nurl = \"http://a\"\nheaders = { Cookie = \"hunter2\" }\n", ["tempo.headers.Cookie", "files"]),
        ("[jaeger]\nurl = \"http://a\"\nmax_traces = 3\n", ["jaeger.max_traces", "20"]),
        ("[prometheus]\nurl = \"http://a\"\nalso = [\"[\"]\n", ["prometheus.also", "brackets"]),
        ("[zipkin]\nurl = \"http://a\"\ntls_config = { cert_file = \"a\" }\n", ["zipkin.tls_config", "together"]),
        ("[serve]\nweb_config_file = \"none.yml\"\n", ["section [serve]", "none.yml"]),
        ("[serve]\nmax_connections = 0\n", ["serve.max_connections", "at least one"]),
        ("[zipkin]\nurl = 5\n", ["line 2", "key `url`"]),
        ("[prometheus]\nulr = \"http://a\"\n", ["prometheus.ulr", "did you mean `url`?"]),
        ("[prometheus]\nurl = \"http://a\"\n[prometheus.headers]\nX-Api-Key = \"hunter2\n", ["line 4", "column"]),
        ("[prometheus]\nurl = http://me:hunter2@a\n", ["line 2", "key `url`"]),
        ("[prometheus]\nurl = \"http://a\"\nbasic_auth = \"me:hunter2\"\n", ["line 3", "key `basic_auth`"]),
        ("[prometheus]\nurl = \"http://a\"\nbasic_auth = \"me, expected \\\"hunter2\"\n", ["line 3", "expected"]),
    ] {
        let output = checked(text);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn the_ready_settings_can_be_used() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let settings: Vec<_> =
        files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    assert!(settings.len() >= 3);
    for file in settings {
        let output = hypocenter(&["check", "config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}: {}", file.display(), stderr(&output));
    }
}

/// A Prometheus with four metrics; of one, the later range cannot be had. It keeps series of either range for each.
async fn one_half(request: Request) -> axum::response::Response {
    let path = request.uri().path().to_owned();
    let json = |body: String| ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    if path.ends_with("/values") {
        let names = ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "job:req", "job_req"];
        return json(serde_json::json!({"status": "success", "data": names}).to_string());
    }
    if path.ends_with("/query") {
        return json(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#.to_owned());
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let form = String::from_utf8(body.to_vec()).unwrap();
    let start_s: i64 = form.split('&').find_map(|pair| pair.strip_prefix("start=")).unwrap().parse().unwrap();
    if form.contains("container_memory") && start_s > 1_773_140_000 {
        return (StatusCode::INTERNAL_SERVER_ERROR, "no disk").into_response();
    }
    let samples: Vec<_> = (0..60).map(|n| serde_json::json!([start_s + n * 30, (n * 3).to_string()])).collect();
    let series = serde_json::json!({"metric": {"__name__": "container_cpu_usage_seconds_total", "pod": "cart-0"}, "values": samples});
    // In the order in which Prometheus writes it.
    json(format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#))
}

#[test]
fn half_a_metric_is_not_kept_and_no_file_is_lost() {
    let server = Serving::start(Router::new().fallback(any(one_half)));
    let folder = TempDir::new().unwrap();
    let (settings, saved) = (folder.path().join("s.toml"), folder.path().join("saved"));
    std::fs::write(&settings, format!("[prometheus]\nurl = \"{}\"\nalso = [\"job*\"]\n", server.url())).unwrap();
    let windows = ["--incident", INCIDENT, "--baseline", "2026-03-10T08:00:00Z/20m"];
    let more = ["--config", settings.to_str().unwrap(), "--save", saved.to_str().unwrap()];
    let output = hypocenter(&[&["analyze"], &windows[..], &more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("container_memory_working_set_bytes was not pulled"), "{}", stderr(&output));
    let files = std::fs::read_dir(saved.join("metrics")).unwrap();
    let mut files: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let expected = [(0, "container_cpu_usage_seconds_total"), (2, "job_req"), (3, "job_req")];
    let expected: Vec<String> =
        expected.iter().flat_map(|(at, name)| [1, 2].map(|part| format!("{at:04}-{part}-{name}.json"))).collect();
    assert_eq!(files, expected);
}

#[test]
fn a_store_that_is_named_is_read_instead_of_the_sources_of_the_settings() {
    let folder = TempDir::new().unwrap();
    let settings = folder.path().join("s.toml");
    let nobody = program::nobody();
    std::fs::write(&settings, format!("[prometheus]\nurl = \"{nobody}\"\n")).unwrap();
    let data = folder.path().join("none");
    let message = failure(&analyze(&["--config", settings.to_str().unwrap(), "--data", data.to_str().unwrap()]));
    assert!(message.contains("store") && !message.contains(&nobody), "{message}");
}
