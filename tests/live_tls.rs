//! Live sources behind TLS: `analyze --prometheus https://…` with authorities, a name and a certificate of its own,
//! against a replay of Prometheus that our own server serves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/certificates.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod certificates;
#[path = "live/program.rs"]
mod program;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::routing::{any, get, post};
use certificates::Certificates;
use hypocenter::ingest::ReadOptions;
use hypocenter::server::{Further, Listeners, Server, Settings};
use hypocenter::store::{self, Store};
use program::{analyze, failure, hypocenter, stderr};

/// A Prometheus with one series.
fn prometheus() -> Router {
    let series = || async {
        // From before the baseline to the end of the incident, each half a minute.
        let samples: Vec<String> = (0..70).map(|n| format!("[{},\"{}\"]", 1_773_144_000 + n * 30, n * 3)).collect();
        let metric = r#"{"__name__":"container_cpu_usage_seconds_total","pod":"cart-0"}"#;
        let values = samples.join(",");
        format!(
            r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{metric},"values":[{values}]}}]}}}}"#
        )
    };
    let names =
        |Path(_label): Path<String>| async { r#"{"status":"success","data":["container_cpu_usage_seconds_total"]}"# };
    let none = || async { r#"{"status":"success","data":{"resultType":"vector","result":[]}}"# };
    Router::new()
        .route("/api/v1/label/{label}/values", any(names))
        .route("/api/v1/query", any(none))
        .route("/api/v1/query_range", any(series))
        .route("/api/v1/status/buildinfo", get(|| async { r#"{"status":"success","data":{"version":"3.0.0"}}"# }))
        .route("/api/v1/length", post(|body: Bytes| async move { body.len().to_string() }))
}

/// Serves it with a web config, to the end of the test's process.
fn serve(folder: &std::path::Path, web_config: &str) -> SocketAddr {
    let file = folder.join("web.yml");
    fs::write(&file, web_config).unwrap();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        grpc_address: free,
        http_address: free,
        web_address: free,
        web_config_file: Some(file),
        request_timeout: Duration::from_secs(2),
        ..Settings::default()
    };
    let (told, address) = std::sync::mpsc::channel();
    let data = folder.join("data");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let opened = Store::open(&store::Settings::new(data), ReadOptions::default()).unwrap();
            let listeners = Listeners::bind(&settings).await.unwrap();
            let server = {
                let further =
                    Further { routes: prometheus(), most_bytes: |_| u64::MAX, metrics: Box::new(String::new) };
                Server::new(listeners, &settings, opened.store(), ReadOptions::default(), further)
            };
            told.send(server.addresses()[2].1).unwrap();
            server.run(std::future::pending(), || Ok(())).await;
        });
    });
    address.recv().unwrap()
}

#[test]
fn authorities_a_name_and_a_certificate_of_its_own_are_used() {
    let Some(made) = Certificates::make() else { return };
    // Not of the host of the address.
    made.sign("ca", "server", "DNS:prometheus.example");
    let hash = bcrypt::hash("pass", 4).unwrap();
    let address = serve(
        made.folder(),
        &format!(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n  \
             client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  me: {hash}\n"
        ),
    );
    fs::write(made.path("password"), "pass\n").unwrap();
    fs::write(made.path("wrong"), "pas\n").unwrap();
    let settings = made.path("settings.toml");
    let write = |tls: &str, password: &str| {
        let text = format!(
            "[prometheus]\nurl = \"https://{address}\"\n[prometheus.basic_auth]\nusername = \"me\"\n\
             password_file = \"{password}\"\n[prometheus.tls_config]\n{tls}"
        );
        fs::write(&settings, text).unwrap();
    };
    let arguments = analyze(&["--config", settings.to_str().unwrap()]);
    let (ca, name) = ("ca_file = \"ca.pem\"\n", "server_name = \"prometheus.example\"\n");
    let own = "cert_file = \"client.pem\"\nkey_file = \"client.key\"\n";
    for (tls, password, expected) in [
        (format!("{name}{own}"), "password", "certificate"),
        (format!("ca_file = \"other-ca.pem\"\n{name}{own}"), "password", "certificate"),
        (format!("{ca}{own}"), "password", "certificate"),
        // The server says why in an alert.
        (format!("{ca}{name}"), "password", "CertificateRequired"),
        (format!("{ca}{name}cert_file = \"stranger.pem\"\nkey_file = \"stranger.key\"\n"), "password", "alert"),
        (format!("{ca}{name}cert_file = \"client.pem\"\nkey_file = \"server.key\"\n"), "password", "KeyMismatch"),
        (format!("{ca}{name}{own}"), "wrong", "401"),
    ] {
        write(&tls, password);
        let message = failure(&arguments);
        assert!(message.contains(expected) && !message.contains("pass\n"), "{tls}: {message}");
        // Certificates do not change by asking again.
        assert!(!message.contains("attempts") || message.contains("after 1 attempts"), "{tls}: {message}");
    }
    for tls in [format!("{ca}{name}{own}"), format!("insecure_skip_verify = true\n{own}")] {
        write(&tls, "password");
        let output = hypocenter(&arguments);
        assert_eq!(output.status.code(), Some(0), "{tls}: {}", stderr(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["coverage"]["series"], 1, "{report:#}");
    }
}

/// Routes that the program adds are behind the same door and within the same limits as those of the receiver.
#[test]
fn further_routes_are_behind_the_door_and_within_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "s3cret").unwrap();
    let address = serve(folder.path(), "bearer_tokens: [{name: a, token_file: token}]\n");
    let post = |token: &str, length: usize| {
        let head = format!(
            "POST /api/v1/length HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {token}\r\n"
        );
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connection.write_all(format!("{head}content-length: {length}\r\n\r\nfive!").as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(post("s3cret", 5).ends_with("\r\n\r\n5"));
    assert!(post("secret", 5).starts_with("HTTP/1.1 401"));
    let began = Instant::now();
    let answer = post("s3cret", 6);
    let is_told = answer.starts_with("HTTP/1.1 503 ") && answer.contains("did not come to its end in time");
    assert!(is_told && began.elapsed() < Duration::from_secs(6), "{answer}");
}
