//! The door of `hypocenter serve`: TLS and authentication by a web config file, for all three listeners, read again while
//! it runs. `curl` is the client where it is there, since it is not built as we are.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use certificates::Certificates;
use receiver::{Client, Receiver, message};
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/certificates.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod certificates;
#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;

/// The documentation of Prometheus has it; the password is `test`.
const HASH: &str = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";
const TOKEN: &str = "s3cret-of-alertmanager";
const START_NS: u64 = 1_772_445_600_000_000_000;

/// An answer of curl: the code, 0 where there was none, the body, and what curl says.
struct Answer {
    code: u16,
    headers: String,
    body: String,
    error: String,
}

fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: there is no curl");
    }
    found
}

fn curl(arguments: &[&str]) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let (headers, body) = (folder.path().join("headers"), folder.path().join("body"));
    let output = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "--max-time", "20", "-w", "%{http_code}", "-D"])
        .arg(&headers)
        .arg("-o")
        .arg(&body)
        .args(arguments)
        .output()
        .unwrap();
    let text =
        |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    Answer {
        code: String::from_utf8(output.stdout).unwrap().parse().unwrap_or_default(),
        headers: text(&headers),
        body: text(&body),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with a web config file.
struct Config(TempDir);

impl Config {
    fn new(text: &str) -> Self {
        let config = Self(tempfile::tempdir().unwrap());
        config.write(text);
        fs::write(config.0.path().join("token"), TOKEN).unwrap();
        config
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("web.yml")
    }

    fn start(&self, more: &[&str]) -> Receiver {
        let path = self.path();
        let arguments = [&["--web.config.file", path.to_str().unwrap()], more].concat();
        Receiver::start(&self.0.path().join("data"), &arguments)
    }
}

fn users() -> String {
    format!(
        "basic_auth_users:\n  test: {HASH}\nbearer_tokens:\n- name: alertmanager\n  token_file: token\n\
         http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
    )
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
}

#[test]
fn who_has_no_credentials_gets_the_health_only() {
    if !has_curl() {
        return;
    }
    let config = Config::new(&users());
    let receiver = config.start(&[]);
    let web = |path: &str| format!("http://{}{path}", receiver.web);
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(curl(&[&web(path)]).code, 200);
        assert_eq!(curl(&["--head", &web(path)]).code, 200);
    }
    let none = curl(&[&web("/metrics")]);
    assert_eq!((none.code, none.headers.contains("x-frame-options: deny")), (401, true), "{}", none.headers);
    assert!(none.headers.contains("www-authenticate: Basic realm=\"hypocenter\", Bearer"), "{}", none.headers);
    let problem: Value = serde_json::from_str(&none.body).unwrap();
    assert_eq!((problem["status"].as_str(), problem["errorType"].as_str()), (Some("error"), Some("unauthorized")));
    assert_eq!(curl(&["-u", "test:wrong", &web("/metrics")]).code, 401);
    assert_eq!(curl(&["-u", "nobody:test", &web("/metrics")]).code, 401);
    assert_eq!(curl(&["-X", "POST", &web("/api/v1/write")]).code, 401);
    assert_eq!(curl(&[&web("/nowhere")]).code, 401, "what is there is not told either");
    let bearer = format!("authorization: Bearer {TOKEN}");
    assert_eq!(curl(&["-H", &bearer, &web("/metrics")]).code, 200);
    assert_eq!(curl(&["-H", &format!("{bearer}x"), &web("/metrics")]).code, 401);
    assert_eq!(curl(&["-u", "test:test", &web("/nowhere")]).code, 404);
    let metrics = curl(&["-u", "test:test", &web("/metrics")]);
    assert_eq!(metrics.code, 200);
    let failures = "hypocenter_server_authentication_failures_total{listener=\"web\",reason=";
    assert!((metric(&metrics.body, &format!("{failures}\"missing\"}}")) - 3.0).abs() < 0.5, "{}", metrics.body);
    assert!((metric(&metrics.body, &format!("{failures}\"wrong\"}}")) - 3.0).abs() < 0.5, "{}", metrics.body);
    let answered = metric(&metrics.body, "hypocenter_server_requests_total{listener=\"web\",code=\"4xx\"}");
    assert!((answered - 7.0).abs() < 0.5, "{}", metrics.body);
}

#[tokio::test]
async fn otlp_is_refused_as_it_specifies() {
    if !has_curl() {
        return;
    }
    let config = Config::new(&users());
    let receiver = config.start(&[]);
    let client = Client::new();
    let refused = client.export(&receiver.grpc, "trace.v1.TraceService", b"").await.unwrap();
    assert_eq!(refused.code, Some(16), "UNAUTHENTICATED");
    let url = format!("http://{}/v1/traces", receiver.http);
    let post = |content: &str, more: &[&str]| {
        let content = format!("content-type: {content}");
        curl(&[&["-H", &content, "--data-binary", "", &url], more].concat())
    };
    let json = post("application/json", &[]);
    let status: Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!((json.code, status["code"].as_u64()), (401, Some(16)));
    let protobuf = post("application/x-protobuf", &[]);
    assert!(protobuf.code == 401 && protobuf.body.starts_with("\u{8}\u{10}\u{12}"), "{:?}", protobuf.body);
    assert_eq!(post("application/x-protobuf", &["-u", "test:test"]).code, 200);
}

#[test]
fn who_guesses_is_told_to_wait_and_others_are_not() {
    if !has_curl() {
        return;
    }
    let config =
        Config::new(&users().replace("$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay", &cheap_hash()));
    let receiver = config.start(&[]);
    let url = format!("http://{}/metrics", receiver.web);
    assert_eq!(curl(&["-u", "test:cheap", &url]).code, 200);
    let codes: Vec<u16> = (0..11).map(|number| curl(&["-u", &format!("test:{number}"), &url]).code).collect();
    assert_eq!(codes[..10], [401; 10]);
    assert_eq!(codes[10], 429);
    let bearer = format!("authorization: Bearer {TOKEN}");
    assert_eq!([curl(&["-u", "test:cheap", &url]).code, curl(&["-H", &bearer, &url]).code], [200, 200]);
}

/// Of the password `cheap`, at the lowest cost.
fn cheap_hash() -> String {
    bcrypt::hash("cheap", 4).unwrap()
}

/// A web config with TLS by these certificates.
fn tls(certificates: &Certificates, more: &str) -> Config {
    let named = |name: &str| certificates.text(name);
    Config::new(&format!(
        "tls_server_config:\n  cert_file: {}\n  key_file: {}\n{more}",
        named("server.pem"),
        named("server.key")
    ))
}

#[test]
fn tls_is_spoken_at_all_three_addresses_and_nothing_else() {
    let Some(made) = Certificates::make().filter(|_| has_curl()) else { return };
    let config = tls(&made, "  min_version: TLS13\n");
    let receiver = config.start(&[]);
    let ca = made.text("ca.pem");
    let healthy = format!("https://{}/-/healthy", receiver.web);
    assert_eq!(curl(&["--cacert", &ca, &healthy]).code, 200);
    let plain = curl(&[&healthy.replace("https", "http")]);
    assert!(plain.code == 400 && plain.body.contains("use https://"), "{}", plain.body);
    let old = curl(&["--cacert", &ca, "--tls-max", "1.2", &healthy]);
    assert!(old.code == 0 && old.error.contains("alert protocol version"), "{}", old.error);
    let untrusted = curl(&["--cacert", &made.text("other-ca.pem"), &healthy]);
    assert!(untrusted.code == 0 && untrusted.error.contains("certificate"), "{}", untrusted.error);
    let spans = config.0.path().join("spans");
    fs::write(&spans, message(0..100, START_NS, 1_000_000_000)).unwrap();
    let data = format!("@{}", spans.display());
    let content = ["-H", "content-type: application/x-protobuf", "--data-binary", &data];
    for version in ["--http1.1", "--http2"] {
        let url = format!("https://{}/v1/traces", receiver.http);
        assert_eq!(curl(&[&["--cacert", &ca, version, &url], &content[..]].concat()).code, 200);
    }
    let grpc = format!("https://{}/opentelemetry.proto.collector.trace.v1.TraceService/Export", receiver.grpc);
    let mut framed = vec![0];
    let bytes = fs::read(&spans).unwrap();
    framed.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    fs::write(&spans, [framed, bytes].concat()).unwrap();
    let call = ["--http2", "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", &data, &grpc];
    let called = curl(&[&["--cacert", &ca], &call[..]].concat());
    assert!(called.code == 200 && called.headers.contains("grpc-status: 0"), "{}{}", called.headers, called.error);
    let metrics = curl(&["--cacert", &ca, &healthy.replace("/-/healthy", "/metrics")]).body;
    let failed = metric(&metrics, "hypocenter_server_connections_closed_total{listener=\"web\",reason=\"handshake\"}");
    assert!((failed - 3.0).abs() < 0.5, "{metrics}");
    assert!((metric(&metrics, "hypocenter_receiver_requests_accepted_total") - 3.0).abs() < 0.5, "{metrics}");
}

#[test]
fn a_client_certificate_is_asked_for() {
    let Some(made) = Certificates::make().filter(|_| has_curl()) else { return };
    let more = format!("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {}\n", made.text("ca.pem"));
    let config = tls(&made, &more);
    let receiver = config.start(&[]);
    let url = format!("https://{}/metrics", receiver.web);
    let with = |name: &str| {
        let [pem, key] = ["pem", "key"].map(|kind| made.text(&format!("{name}.{kind}")));
        curl(&["--cacert", &made.text("ca.pem"), "--cert", &pem, "--key", &key, &url])
    };
    assert_eq!(with("client").code, 200);
    assert_eq!(with("stranger").code, 0);
    let none = curl(&["--cacert", &made.text("ca.pem"), &url]);
    assert!(none.code == 0 && none.error.contains("certificate required"), "{}", none.error);
}

#[test]
fn the_official_sdk_sends_over_tls_with_credentials() {
    let modules = "opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http, opentelemetry.exporter.otlp.proto.grpc";
    let python = std::env::var("HYPOCENTER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = format!("import {modules}");
    if !Command::new(&python).args(["-c", &import]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} lacks one of {modules}");
        return;
    }
    let Some(made) = Certificates::make() else { return };
    let config = tls(&made, &users());
    let receiver = config.start(&[]);
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otel_sdk/shop.py");
    let sent = |address: &str, transport: &[&str], token: &str| {
        let output = Command::new(&python)
            .arg(&script)
            .args([&format!("https://localhost:{}", port(address)), "4"])
            .args(transport)
            // Its HTTP library would prefer these to what is named.
            .env_remove("REQUESTS_CA_BUNDLE")
            .env_remove("CURL_CA_BUNDLE")
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", made.path("ca.pem"))
            .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{token}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    for (address, transport) in [(&receiver.grpc, &["grpc"][..]), (&receiver.http, &[])] {
        assert_eq!(sent(address, transport, TOKEN), "", "the SDK complains");
        let complaint = sent(address, transport, "wrong").to_lowercase();
        assert!(complaint.contains("unauthenticated") || complaint.contains("unauthorized"), "{complaint}");
    }
}

/// A real Prometheus remote-writes over TLS with a password what it scrapes with a token.
#[test]
fn a_real_prometheus_comes_in() {
    if !Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no prometheus");
        return;
    }
    let Some(made) = Certificates::make().filter(|_| has_curl()) else { return };
    let config = tls(&made, &users());
    let receiver = config.start(&[]);
    let folder = config.0.path();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (web, ca) = (&receiver.web, made.text("ca.pem"));
    let settings = format!(
        "global:\n  scrape_interval: 500ms\nscrape_configs:\n- job_name: receiver\n  scheme: https\n  \
         tls_config: {{ca_file: {ca}}}\n  authorization: {{credentials_file: {token}}}\n  static_configs:\n  \
         - targets: ['{web}']\nremote_write:\n- url: https://{web}/api/v1/write\n  \
         tls_config: {{ca_file: {ca}}}\n  basic_auth: {{username: test, password: test}}\n",
        token = folder.join("token").display(),
    );
    fs::write(folder.join("prometheus.yml"), settings).unwrap();
    let prometheus = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", &format!("--web.listen-address={address}")])
        .current_dir(folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut prometheus = prometheus.unwrap();
    let metrics = || curl(&["--cacert", &ca, "-u", "test:test", &format!("https://{web}/metrics")]).body;
    let began = Instant::now();
    while metric(&metrics(), "hypocenter_receiver_requests_accepted_total") < 0.5
        && began.elapsed() < Duration::from_secs(40)
    {
        thread::sleep(Duration::from_millis(500));
    }
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    let told = metrics();
    assert!(metric(&told, "hypocenter_receiver_requests_accepted_total") > 0.5, "{told}");
    let refused = metric(&told, "hypocenter_server_authentication_failures_total{listener=\"web\",reason=\"wrong\"}");
    assert!(refused < 0.5, "{told}");
}

/// Asks again until it is so; for at most 15 seconds.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(15), "never: {what}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// The certificate that a server shows, in PEM.
fn shown(address: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address]).stdin(std::process::Stdio::null());
    let told = String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned();
    let begin = told.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("no certificate in {told}"));
    told[begin..told.find("-----END CERTIFICATE").unwrap()].to_owned()
}

#[test]
fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let Some(made) = Certificates::make().filter(|_| has_curl()) else { return };
    let config = tls(&made, "");
    let receiver = config.start(&["--web.enable-lifecycle"]);
    let ca = made.text("ca.pem");
    let url = |path: &str| format!("https://{}{path}", receiver.web);
    let get = |path: &str| curl(&["--cacert", &ca, &url(path)]);
    let succeeded = || metric(&get("/metrics").body, "hypocenter_config_last_reload_successful") > 0.5;
    let before = shown(&receiver.web);
    assert!(succeeded());
    made.sign("ca", "server", "DNS:localhost,IP:127.0.0.1");
    until("the new certificate is shown", || shown(&receiver.web) != before);
    until("key and certificate fit", succeeded);
    // Half of a pair: what held goes on, and that is told.
    let renewed = fs::read(made.path("server.key")).unwrap();
    fs::copy(made.path("client.key"), made.path("server.key")).unwrap();
    until("the failure is noticed", || !succeeded());
    let refused = curl(&["--cacert", &ca, "-X", "POST", &url("/-/reload")]);
    assert!(refused.code == 500 && refused.body.contains("does not fit to cert_file"), "{}", refused.body);
    assert_eq!(get("/-/healthy").code, 200);
    fs::write(made.path("server.key"), renewed).unwrap();
    assert_eq!(curl(&["--cacert", &ca, "-X", "PUT", &url("/-/reload")]).code, 200);
    assert!(succeeded());
}

#[test]
fn passwords_change_while_it_runs() {
    if !has_curl() {
        return;
    }
    let config = Config::new(&format!("basic_auth_users:\n  test: {}\n", cheap_hash()));
    let receiver = config.start(&[]);
    let url = format!("http://{}/metrics", receiver.web);
    let code = |user: &str| curl(&["-u", user, &url]).code;
    assert_eq!([code("test:cheap"), code("me:new")], [200, 401]);
    let hang_up = || {
        let told = Command::new("kill").args(["-HUP", &receiver.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
    };
    config.write(&format!("basic_auth_users:\n  me: {}\n", bcrypt::hash("new", 4).unwrap()));
    hang_up();
    until("the new name is known", || code("me:new") == 200);
    assert_eq!(code("test:cheap"), 401);
    config.write("basic_auth_users: {me: new}\n");
    hang_up();
    let failures = "hypocenter_config_reloads_total{result=\"failure\"}";
    until("the failure is counted", || metric(&curl(&["-u", "me:new", &url]).body, failures) > 0.5);
    assert_eq!(code("me:new"), 200, "what held still holds");
    // Without --web.enable-lifecycle nobody can ask for it.
    let asked = curl(&["-u", "me:new", "-X", "POST", &url.replace("/metrics", "/-/reload")]);
    assert!(asked.code == 403 && asked.body.contains("--web.enable-lifecycle"), "{}", asked.body);
    assert_eq!(curl(&["-u", "me:new", &url.replace("/metrics", "/-/reload")]).code, 405);
}

#[test]
fn settings_are_read_again_too_and_what_is_wrong_with_them_is_told() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "[serve]\nenable_lifecycle = true\n").unwrap();
    let receiver = Receiver::start(&folder.path().join("data"), &["--config", settings.to_str().unwrap()]);
    let reload = || curl(&["-X", "POST", &format!("http://{}/-/reload", receiver.web)]);
    assert_eq!(reload().code, 200);
    fs::write(&settings, "[serv]\n").unwrap();
    let refused = reload();
    assert!(refused.code == 500 && refused.body.contains("unknown key `serv`"), "{}", refused.body);
}

#[test]
fn without_authentication_the_web_address_is_one_of_loopback() {
    let start = |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("web.yml"), "http_server_config: {}\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypocenter"));
        command.args(["serve", "--data", "new", "--otlp.grpc-address", "127.0.0.1:0"]).args(arguments);
        let output = command.args(["--otlp.http-address", "127.0.0.1:0"]).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(!folder.path().join("new").exists());
        String::from_utf8(output.stderr).unwrap()
    };
    for address in ["0.0.0.0:0", "[::]:0"] {
        let told = start(&["--web.listen-address", address]);
        assert!(told.contains("--web.config.file") && told.contains("127.0.0.1 behind a proxy"), "{told}");
    }
    let told = start(&["--web.listen-address", "0.0.0.0:0", "--web.config.file", "web.yml"]);
    assert!(told.contains("web.yml: there is no authentication"), "{told}");
    let told = start(&["--web.listen-address", "127.0.0.1:0", "--web.config.file", "none.yml"]);
    assert!(told.contains("cannot read none.yml"), "{told}");
    let config = Config::new(&users());
    let path = config.path();
    let arguments = ["--web.config.file", path.to_str().unwrap(), "--web.listen-address", "0.0.0.0:0"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_hypocenter"));
    command.args(["serve", "--data"]).arg(config.0.path().join("data")).args(arguments);
    command.args(["--otlp.grpc-address", "127.0.0.1:0", "--otlp.http-address", "127.0.0.1:0"]);
    assert!(Receiver::spawn(&mut command).web.starts_with("0.0.0.0:"));
}

/// The documentation names every metric that is served, and none that is not.
#[tokio::test]
async fn the_documentation_has_all_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(folder.path(), &[]);
    let text = reqwest::get(format!("http://{}/metrics", receiver.web)).await.unwrap().text().await.unwrap();
    let mut served: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let documentation = concat!(include_str!("../docs/receiver.md"), include_str!("../docs/alerts.md"));
    let named = documentation.lines().filter_map(|line| line.strip_prefix("| `hypocenter_")?.split('`').next());
    let mut named: Vec<String> = named.map(|name| format!("hypocenter_{}", name.split('{').next().unwrap())).collect();
    served.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, served);
}
