//! The description of the API and what it does are one.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::memory::Memory;
use crate::respond::Configuration;

struct Api {
    _folder: tempfile::TempDir,
    router: Router,
    responder: Shared,
}

fn api() -> Api {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::open(&folder.path().join("incidents.db")).unwrap();
    let responder = Responder::new(memory, folder.path().to_owned(), Configuration::default()).unwrap();
    let responder = Arc::new(responder);
    Api { _folder: folder, router: router(Arc::clone(&responder)), responder }
}

impl Api {
    async fn send(&self, method: &str, path: &str, body: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, to_bytes(response.into_body(), 1 << 22).await.unwrap().to_vec())
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, bytes) = self.send(method, path, body).await;
        (status.as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

fn alert(service: &str, status: &str) -> String {
    json!({ "receiver": "rca", "alerts": [{
        "status": status, "startsAt": "2026-08-01T10:00:00Z", "endsAt": "2026-08-01T10:20:00Z", "fingerprint": service,
        "labels": { "alertname": "<b>Slow</b>", "service": service }, "annotations": { "summary": "<script>alert(1)</script>" },
    }]})
    .to_string()
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_a_route() {
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let described: BTreeSet<&str> = description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let routes = routes();
    let served: BTreeSet<&str> = routes.iter().map(|(path, _)| *path).filter(|path| path.starts_with("/api")).collect();
    assert_eq!(described, served);
    let api = api();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete", "patch"] {
            let (status, _) = api.send(&method.to_uppercase(), &path.replace("{id}", "1"), "x").await;
            let is_described = item.get(method).is_some();
            assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, is_described, "{method} {path}: {status}");
            if is_described {
                let known = item[method]["responses"].as_object().unwrap();
                assert!(known.contains_key(&status.as_u16().to_string()), "{method} {path}: {status} is not described");
            }
        }
    }
}

#[tokio::test]
async fn an_alert_becomes_an_incident_that_can_be_found() {
    let api = api();
    let (status, taken) = api.json("POST", "/api/v1/alerts", &alert("web", "firing")).await;
    assert_eq!((status, &taken["data"]["new"], &taken["data"]["incidents"]), (200, &json!(1), &json!(1)));
    let (_, again) = api.json("PUT", "/api/v1/alerts", &alert("web", "firing")).await;
    assert_eq!((&again["data"]["new"], &again["data"]["known"]), (&json!(0), &json!(1)));
    let (status, list) = api.json("GET", "/api/v1/incidents?status=firing&service=web&limit=5", "").await;
    assert_eq!((status, &list["status"], &list["data"][0]["id"]), (200, &json!("success"), &json!("1")));
    assert_eq!(list["data"][0]["status"], "firing");
    let (_, one) = api.json("GET", "/api/v1/incidents/1", "").await;
    assert_eq!(one["data"]["alerts"][0]["service"], "web");
    api.json("POST", "/api/v1/alerts", &alert("web", "resolved")).await;
    let (_, one) = api.json("GET", "/api/v1/incidents/1", "").await;
    assert_eq!((&one["data"]["status"], &one["data"]["ends_at"]), (&json!("resolved"), &json!("2026-08-01T10:20:00Z")));
    let (status, none) = api.json("GET", "/api/v1/incidents/1/report", "").await;
    assert_eq!((status, none["error"].as_str().unwrap().contains("not made yet")), (404, true), "{none}");
}

#[tokio::test]
async fn mistakes_are_told_in_the_shape_of_prometheus() {
    let api = api();
    for (method, path, body, status, kind, part) in [
        ("POST", "/api/v1/alerts", "{", 400, "bad_data", "not valid JSON"),
        ("POST", "/api/v1/alerts", "{}", 400, "bad_data", "missing: `alerts`"),
        ("GET", "/api/v1/incidents?status=x", "", 400, "bad_data", "`resolved` and `unheard`"),
        ("GET", "/api/v1/incidents?from=soon", "", 400, "bad_data", "parameter `from`"),
        ("GET", "/api/v1/incidents?limt=1", "", 400, "bad_data", "unknown field `limt`"),
        ("GET", "/api/v1/incidents/7", "", 404, "not_found", "no incident 7"),
        ("GET", "/api/v1/incidents/x", "", 404, "not_found", "no incident x"),
        ("POST", "/api/v1/incidents/7/feedback", r#"{"cause": "cart"}"#, 404, "not_found", "no incident 7"),
        ("POST", "/api/v1/incidents/7/feedback", "{}", 400, "bad_data", "give `cause`"),
        ("POST", "/api/v1/analyses", r#"{"incident": "now-5m"}"#, 400, "bad_data", "`incident`"),
        ("POST", "/api/v1/analyses", r#"{"incident": "now-5d/now"}"#, 400, "bad_data", "24 hours"),
        (
            "POST",
            "/api/v1/analyses",
            r#"{"incident": "now-5m/now", "baselines": ["now-6m/now-4m"]}"#,
            400,
            "bad_data",
            "overlaps",
        ),
        ("POST", "/api/v1/changes", r#"[{"service": "cart"}]"#, 400, "bad_data", "no readable time"),
        ("POST", "/api/v1/changes", " ", 400, "bad_data", "body is empty"),
        ("GET", "/api/v1/graph?format=png", "", 400, "bad_data", "`dot`"),
        ("GET", "/api/v1/changes?from=now&to=now-1h", "", 400, "bad_data", "later than"),
    ] {
        let (got, answer) = api.json(method, path, body).await;
        assert_eq!((got, &answer["status"], &answer["errorType"]), (status, &json!("error"), &json!(kind)), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
    let (status, _) = api.json("POST", "/api/v1/changes", &" ".repeat(MOST_BYTES + 1)).await;
    assert_eq!(status, 413);
    let nested = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(api.json("POST", "/api/v1/alerts", &nested).await.0, 400);
}

#[tokio::test]
async fn pages_of_other_sites_cannot_tell_alerts() {
    let api = api();
    for (name, value, status) in [
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("origin", "http://localhost:9464", 200),
        ("sec-fetch-site", "same-origin", 200),
        ("x-nothing", "x", 200),
    ] {
        let request = Request::builder().method("POST").uri("/api/v1/alerts").header("host", "localhost:9464");
        let request = request.header(name, value).body(Body::from(alert("web", "firing"))).unwrap();
        assert_eq!(api.router.clone().oneshot(request).await.unwrap().status().as_u16(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn changes_are_told_once_and_listed() {
    let api = api();
    let now = crate::timespec::rfc3339(crate::respond::now_ns() - 1_000_000_000);
    let body = json!([{ "time": now, "service": "cart", "kind": "deploy", "version": "2.0" }]).to_string();
    assert_eq!(api.json("POST", "/api/v1/changes", &body).await.1["data"], json!({ "new": 1, "known": 0 }));
    assert_eq!(api.json("POST", "/api/v1/changes", &body).await.1["data"], json!({ "new": 0, "known": 1 }));
    let (_, list) = api.json("GET", "/api/v1/changes?from=now-1h", "").await;
    assert_eq!(list["data"][0]["service"], "cart");
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn pages_escape_what_alerts_say() {
    let api = api();
    api.send("POST", "/api/v1/alerts", &alert("web", "firing")).await;
    for path in ["/", "/incidents", "/incidents/1", "/incidents?search=slow"] {
        let (status, bytes) = api.send("GET", path, "").await;
        let page = String::from_utf8(bytes).unwrap();
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(page.contains("&lt;b&gt;Slow") && !page.contains("<b>Slow") && !page.contains("<script>"), "{page}");
    }
    assert_eq!(api.send("GET", "/incidents/9", "").await.0, StatusCode::NOT_FOUND);
    let (_, bytes) = api.send("GET", "/incidents?search=%22%3E%3Cscript%3E", "").await;
    assert!(!String::from_utf8(bytes).unwrap().contains("<script>"));
    assert!(metrics(&api.responder).contains("hypocenter_alerts_new_total 1"));
}

#[tokio::test]
async fn telemetry_is_not_read_for_everybody_at_any_rate() {
    let api = api();
    let asked = || api.json("POST", "/api/v1/analyses", r#"{"incident": "now-5m/now"}"#);
    for _ in 0..rate::MOST {
        assert_eq!(asked().await.0, 202);
    }
    let (status, answer) = asked().await;
    assert_eq!((status, &answer["errorType"]), (429, &json!("unavailable")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("ask again in"), "{answer}");
    assert_eq!(api.send("GET", "/api/v1/graph", "").await.0, 429, "of all together");
    // What reads none, and above all alerts, goes on.
    assert_eq!(api.json("POST", "/api/v1/alerts", &alert("web", "firing")).await.0, 200);
    assert_eq!(api.send("GET", "/api/v1/incidents", "").await.0, 200);
}

/// A thousand incidents with reports of 60 KB each. That a list does not read them is shown by taking their columns away.
#[tokio::test]
async fn a_list_reads_no_text_of_a_report() {
    const TEXTS: [&str; 3] = ["json", "markdown", "text"];
    let api = api();
    let text = "x".repeat(20_000);
    let set_up = api.responder.memory().change(|transaction| {
        for number in 1..=1_000 {
            transaction.execute(
                "INSERT INTO incidents (origin, condition, title, starts_ns, last_alert_ns, updated_ns) \
                 VALUES ('alert', 'firing', 'Slow', ?1, ?1, ?1)",
                [number],
            )?;
            transaction.execute(
                "INSERT INTO reports VALUES (?1, 1, ?1, 5, 'firing', 'cause_found', 'cart', 0.5, 's', '', ?2, ?2, ?2)",
                (number, &text),
            )?;
        }
        Ok::<_, MemoryError>(())
    });
    set_up.unwrap();
    let lists = ["/api/v1/incidents?limit=500", "/incidents", "/api/v1/incidents?service=cart&status=firing"];
    let read = async |path: &str| api.send("GET", path, "").await;
    let mut whole = Vec::new();
    for path in lists {
        let (status, bytes) = read(path).await;
        assert_eq!(status, 200);
        assert!(
            String::from_utf8_lossy(&bytes).contains("cart") && bytes.len() < 300_000,
            "{path}: {} bytes",
            bytes.len()
        );
        whole.push(bytes);
    }
    let without = api.responder.memory().change(|transaction| {
        TEXTS
            .iter()
            .try_for_each(|column| transaction.execute_batch(&format!("ALTER TABLE reports DROP COLUMN {column}")))?;
        Ok::<_, MemoryError>(())
    });
    without.unwrap();
    for (path, whole) in lists.iter().zip(whole) {
        assert!(read(path).await == (StatusCode::OK, whole), "{path}");
    }
    assert_eq!(read("/api/v1/incidents/1").await.0, 200);
    assert_eq!(read("/api/v1/incidents/1/report").await.0, 503, "it does read them");
}
