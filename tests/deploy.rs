//! The files of `deploy/`: each tool that is here checks its own, and what they say of Hypocenter is compared with it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use receiver::Receiver;
use serde_json::Value;

#[path = "support/receiver.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod receiver;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// All documents of a YAML file.
fn documents(name: &str) -> Vec<Value> {
    text(name).split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// Status and body of an answer.
fn ask(address: &str, request: &str, headers: &str, body: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(connection, "{head}\r\n{headers}\r\n{body}").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Names of our metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(|c| !is_of_name(c)).filter(|word| word.starts_with("hypocenter_")).collect()
}

#[test]
fn the_metrics_that_alerts_and_panels_ask_for_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Receiver::start(folder.path(), &[]);
    let (status, shown) = ask(&serving.web, "GET /metrics", "", "");
    assert_eq!(status, 200);
    let served: BTreeSet<&str> =
        shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for (file, at_least) in [("prometheus-rules.yml", 10), ("grafana/dashboard.json", 25)] {
        let content = text(file);
        let asked = metrics(&content);
        assert!(asked.len() >= at_least, "{file} asks for {asked:?}");
        let unknown: Vec<_> = asked.difference(&served).collect();
        assert!(unknown.is_empty(), "{file} asks for what is not served: {unknown:?}; served are {served:?}");
    }
    // Where alerts are sent is where they are taken: an empty body is wrong, the place is not.
    for (file, document) in [("alertmanager.yml", 0), ("grafana/contact-point.yaml", 0)] {
        let told = documents(file)[document].to_string();
        let (_, rest) = told.split_once("http://127.0.0.1:9464").unwrap();
        let place = rest.split('"').next().unwrap();
        let (status, _) = ask(&serving.web, &format!("POST {place}"), "Content-Type: application/json\r\n", "{}");
        assert_eq!(status, 400, "{file} sends to {place}");
    }
}

#[test]
fn panels_have_places_of_their_own_and_names() {
    let dashboard: Value = serde_json::from_str(&text("grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for cell in (at("y")..at("y") + at("h")).flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y))) {
            assert!(taken.insert(cell), "{} lies over another", panel["title"]);
        }
    }
}

/// What stands in the ConfigMap is what `serve` takes, and what the manifest says of ports and probes is so.
#[test]
fn the_manifests_fit_the_program() {
    let manifests = documents("kubernetes/hypocenter.yaml");
    let of_kind = |kind: &str| manifests.iter().find(|manifest| manifest["kind"] == kind).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = &of_kind("ConfigMap")["data"];
    let secret = folder.path().join("senders-token");
    fs::write(&secret, "a-token-of-many-letters\n").unwrap();
    let web = config["web.yml"].as_str().unwrap();
    assert!(web.contains("/etc/hypocenter-secrets/senders-token"));
    let web = web.replace("/etc/hypocenter-secrets/senders-token", secret.to_str().unwrap());
    fs::write(folder.path().join("web.yml"), web).unwrap();
    let settings = folder.path().join("hypocenter.toml");
    fs::write(&settings, config["hypocenter.toml"].as_str().unwrap()).unwrap();

    let serving = Receiver::start(&folder.path().join("data"), &["--config", settings.to_str().unwrap()]);
    let token = "Authorization: Bearer a-token-of-many-letters\r\n";
    assert_eq!(ask(&serving.web, "GET /metrics", "", "").0, 401);
    assert_eq!(ask(&serving.web, "GET /metrics", token, "").0, 200);
    let container = &of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let place = container[probe]["httpGet"]["path"].as_str().unwrap();
        assert_eq!(ask(&serving.web, &format!("GET {place}"), "", "").0, 200, "{probe}");
    }

    let ports = |list: &Value, key: &str| -> BTreeSet<(String, u64)> {
        let name = |port: &Value| port["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(|port| (name(port), port[key].as_u64().unwrap())).collect()
    };
    let settings = config["hypocenter.toml"].as_str().unwrap();
    let inside = ports(&container["ports"], "containerPort");
    assert_eq!(inside, ports(&of_kind("Service")["spec"]["ports"], "port"));
    for (name, port) in &inside {
        assert!(settings.contains(&format!("_address = \"0.0.0.0:{port}\"")), "{name}");
    }
    let mounts = container["volumeMounts"].as_array().unwrap();
    for argument in container["args"].as_array().unwrap().iter().filter_map(Value::as_str) {
        let is_mounted = |mount: &Value| argument.starts_with(mount["mountPath"].as_str().unwrap());
        assert!(!argument.starts_with('/') || mounts.iter().any(is_mounted), "{argument} is on no volume");
    }
}

#[test]
fn each_tool_takes_its_file() {
    let folder = tempfile::tempdir().unwrap();
    // A unit is checked with the program that it starts.
    let unit =
        text("systemd/hypocenter.service").replace("/usr/local/bin/hypocenter", env!("CARGO_BIN_EXE_hypocenter"));
    let unit_file = folder.path().join("hypocenter.service");
    fs::write(&unit_file, unit).unwrap();
    let rules = path("prometheus-rules.yml");
    let receiver = path("alertmanager.yml");
    for (tool, arguments, file) in [
        ("promtool", &["check", "rules"][..], &rules),
        ("amtool", &["check-config"], &receiver),
        ("systemd-analyze", &["verify", "--man=no"], &unit_file),
    ] {
        match Command::new(tool).args(arguments).arg(file).output() {
            Ok(output) => {
                let told =
                    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                assert!(output.status.success() && !told.contains("hypocenter.service:"), "{tool}: {told}");
            }
            Err(error) => println!("skipped: {tool}: {error}"),
        }
    }
    let mut security = Command::new("systemd-analyze");
    match security.args(["security", "--offline=yes", "--no-pager", "--threshold=15"]).arg(&unit_file).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => println!("skipped: systemd-analyze: {error}"),
    }
}
