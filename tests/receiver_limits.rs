//! Clients that are slow, silent or many: `hypocenter serve` gets rid of them and has a place for the others.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use receiver::Receiver;
use tempfile::TempDir;

#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;

fn start(settings: &str) -> (TempDir, Receiver) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    fs::write(&file, format!("[serve]\n{settings}")).unwrap();
    let receiver = Receiver::start(&folder.path().join("data"), &["--config", file.to_str().unwrap()]);
    (folder, receiver)
}

fn connect(address: &str, bytes: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    connection.write_all(bytes).unwrap();
    connection
}

/// Waits until the server closes; what it said before, and after how many seconds.
fn closed(mut connection: TcpStream) -> (Vec<u8>, f64) {
    let (began, mut said) = (Instant::now(), Vec::new());
    match connection.read_to_end(&mut said) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("still open: {error}"),
        _ => (said, began.elapsed().as_secs_f64()),
    }
}

fn metrics(receiver: &Receiver) -> String {
    let mut connection = connect(&receiver.web, b"GET /metrics HTTP/1.0\r\n\r\n");
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text
}

fn metric(receiver: &Receiver, name: &str) -> u64 {
    let text = metrics(receiver);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
}

#[test]
fn who_does_not_end_the_head_of_a_request_is_cut() {
    let (_folder, receiver) = start("");
    let half = b"POST /v1/traces HTTP/1.1\r\nhost: a\r\n";
    let mut second = connect(&receiver.web, b"GET /-/healthy HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut answer = [0; 4096];
    assert!(second.read(&mut answer).unwrap() > 0);
    second.write_all(half).unwrap();
    let slow = [
        connect(&receiver.http, half),
        connect(&receiver.web, b""),
        connect(&receiver.grpc, b"PRI * HTTP/2.0"),
        second,
    ];
    // Bytes that trickle help nobody.
    let mut trickling = slow[0].try_clone().unwrap();
    std::thread::spawn(move || {
        while trickling.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let began = Instant::now();
    for connection in slow {
        closed(connection);
        let seconds = began.elapsed().as_secs_f64();
        assert!((8.0..16.0).contains(&seconds), "{seconds}");
    }
    let of = |listener: &str| {
        metric(
            &receiver,
            &format!("hypocenter_server_connections_closed_total{{listener=\"{listener}\",reason=\"slow\"}}"),
        )
    };
    assert_eq!([of("otlp_http"), of("otlp_grpc"), of("web")], [1, 1, 2]);
}

#[test]
fn heads_have_a_limit() {
    let (_folder, receiver) = start("");
    let mut head = b"GET /-/healthy HTTP/1.1\r\nhost: a\r\nx: ".to_vec();
    head.resize(1 << 20, b'x');
    let mut connection = TcpStream::connect(&receiver.web).unwrap();
    // It may be cut before all is sent.
    connection.write_all(&head).ok();
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = vec![0; 12];
    match connection.read_exact(&mut answer) {
        Ok(()) => assert_eq!(answer, b"HTTP/1.1 431"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn who_has_nothing_to_say_is_closed_and_not_before_its_time() {
    let (_folder, receiver) = start("idle_timeout = \"3s\"\n");
    let request = b"GET /-/healthy HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut connection = connect(&receiver.web, request);
    std::thread::sleep(Duration::from_millis(1500));
    connection.write_all(request).unwrap();
    let (said, seconds) = closed(connection);
    assert_eq!(String::from_utf8(said).unwrap().matches("healthy\n").count(), 2);
    assert!((2.5..6.0).contains(&seconds), "{seconds}");
    let name = "hypocenter_server_connections_closed_total{listener=\"web\",reason=\"idle\"}";
    assert_eq!(metric(&receiver, name), 1);
}

/// A thousand at once take all places: a new one waits and gets one, on each listener.
#[test]
fn a_thousand_idle_connections_do_not_keep_a_new_one_out() {
    let (_folder, receiver) = start("max_connections = 1000\n");
    let request = b"GET /-/healthy HTTP/1.1\r\nhost: a\r\n\r\n";
    // Silent ones, and ones that asked once.
    let idle: Vec<TcpStream> =
        (0..1000).map(|number| connect(&receiver.web, if number % 2 == 0 { b"" } else { request })).collect();
    let began = Instant::now();
    let mut new = connect(&receiver.http, b"POST /v1/traces HTTP/1.0\r\ncontent-length: 0\r\n\r\n");
    let mut answer = String::new();
    new.read_to_string(&mut answer).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert!(answer.starts_with("HTTP/1.0 415"), "{answer}");
    assert!(seconds < 20.0, "{seconds}");
    // Long before their time, since others wait.
    assert!(metric(&receiver, "hypocenter_server_connections_closed_total{listener=\"web\",reason=\"idle\"}") > 0);
    assert!(metric(&receiver, "hypocenter_server_connections_accepted_total{listener=\"web\"}") >= 1000);
    drop(idle);
}

/// The receiver's own limit of files is raised, so that connections do not take those of the store.
#[test]
fn there_are_files_for_all_connections_and_the_store() {
    let (_folder, receiver) = start("max_connections = 2000\n");
    let limits = fs::read_to_string(format!("/proc/{}/limits", receiver.id()));
    let Ok(limits) = limits else { return };
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft: u64 = files.split_whitespace().next().unwrap().parse().unwrap();
    assert!(soft >= 2512, "{soft}");
}

/// A stop lets open requests end and does not wait for who is idle.
#[test]
fn a_stop_does_not_wait_for_idle_connections() {
    let (_folder, receiver) = start("");
    let idle = [
        connect(&receiver.web, b"GET /-/healthy HTTP/1.1\r\nhost: a\r\n\r\n"),
        connect(&receiver.grpc, b""),
        connect(&receiver.http, b"POST /v1/tra"),
    ];
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    assert!(receiver.stop().success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(idle);
}

/// A body is read no further than its path takes.
#[test]
fn a_body_that_is_too_long_for_its_path_is_refused_before_its_end() {
    let (_folder, receiver) = start("max_request_size = \"8MiB\"\n");
    let post = |path: &str, bytes: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n");
        let head = format!("{head}content-type: application/x-protobuf\r\n\r\n{bytes:x}\r\n");
        let mut connection = connect(&receiver.web, &[]);
        connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // It may be cut before all is sent.
        connection.write_all(&[head.as_bytes(), &vec![b'x'; bytes]].concat()).ok();
        let (mut answer, mut part) = (String::new(), [0; 4096]);
        while let Ok(length @ 1..) = connection.read(&mut part) {
            answer += &String::from_utf8_lossy(&part[..length]);
            if answer.contains("too_large") {
                break;
            }
        }
        answer
    };
    let small = (1 << 20) + 1;
    let is_refused = |answer: &str| answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"too_large\"");
    for (path, bytes) in [("/api/v1/changes", small), ("/api/v1/alerts", 4 * small), ("/api/v1/write", 8 * small)] {
        let answer = post(path, bytes);
        assert!(is_refused(&answer), "{path}: {answer}");
    }
    assert_eq!(post("/api/v1/alerts", small), "", "more is waited for");
}

/// Bodies of webhooks are in memory as those of telemetry are.
#[test]
fn bodies_of_the_api_count_for_the_memory_limit() {
    let (_folder, receiver) = start("memory_limit = \"1MiB\"\nmax_request_size = \"512KiB\"\n");
    let post = |bytes: usize, length: usize| {
        let head = format!(
            "POST /api/v1/alerts HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        connect(&receiver.web, (head + &"x".repeat(bytes)).as_bytes())
    };
    let answer = || String::from_utf8(closed(post(400_000, 400_000)).0).unwrap();
    assert!(answer().starts_with("HTTP/1.1 400 "), "there is room for one, which is no webhook");
    let unfinished = [post(400_000, 500_000), post(400_000, 500_000)];
    let is_full = |answer: &str| {
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after") && answer.contains("serve.memory_limit")
    };
    // Until the server has read the two.
    assert!((0..50).any(|_| is_full(&answer())), "{}", answer());
    drop(unfinished);
    assert!((0..50).any(|_| answer().starts_with("HTTP/1.1 400 ")), "the room is given back");
}
