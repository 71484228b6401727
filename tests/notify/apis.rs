//! GitHub, Jira, Slack and PagerDuty as far as messages need them, with the limits and dialects that the real ones enforce.

use serde_json::{Value, json};

use crate::fake::{Asked, Told};

pub(crate) const TOKEN: &str = "sesame-0123456789";

/// Items by their number, each with all that it ever was.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) items: Vec<Vec<Value>>,
}

impl Kept {
    pub(crate) fn only(&self) -> &[Value] {
        assert_eq!(self.items.len(), 1, "one message per incident");
        &self.items[0]
    }

    fn add(&mut self, item: Value) -> usize {
        self.items.push(vec![item]);
        self.items.len() - 1
    }

    fn latest(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.items.iter().enumerate().map(|(index, versions)| (index, versions.last().unwrap()))
    }
}

fn problem(status: u16, message: &str) -> Told {
    Told::json(status, &json!({ "message": message }))
}

/// `acme/shop` with issue 42; items are comments or issues, numbered from 1000.
pub(crate) fn github(kept: &mut Kept, asked: &Asked) -> Told {
    if asked.header("authorization") != format!("Bearer {TOKEN}") {
        return problem(401, "Bad credentials");
    }
    if asked.header("user-agent").is_empty() || asked.header("accept") != "application/vnd.github+json" {
        return problem(403, "Request forbidden by administrative rules");
    }
    assert_eq!(asked.header("x-github-api-version"), "2022-11-28");
    let Some(rest) = asked.path.strip_prefix("/repos/acme/shop/issues") else { return problem(404, "Not Found") };
    let (of_comments, id) = match rest.strip_prefix("/comments/").or_else(|| rest.strip_prefix('/')) {
        None | Some("42/comments") => (rest == "/42/comments", None),
        Some(id) => (rest.starts_with("/comments/"), id.parse::<usize>().ok()),
    };
    if asked.method == "GET" {
        let (page, per_page): (usize, usize) =
            (asked.query["page"].parse().unwrap(), asked.query["per_page"].parse().unwrap());
        assert!(asked.query["since"].ends_with('Z') && per_page <= 100);
        assert_eq!(asked.query.get("state").map(String::as_str), if of_comments { None } else { Some("all") });
        let items = kept.latest().skip((page - 1) * per_page).take(per_page).map(|(index, item)| {
            json!({ "id": 1000 + index, "number": 1000 + index, "body": item["body"], "user": { "login": "x" } })
        });
        return Told::json(200, &Value::Array(items.collect()));
    }
    let item = asked.json();
    let fields = if of_comments { vec!["body"] } else { vec!["body", "title"] };
    assert_eq!(asked.fields(), fields);
    let body = item["body"].as_str().unwrap();
    if body.chars().count() > 65_536 {
        return problem(422, "body is too long (maximum is 65536 characters)");
    }
    if item["title"].as_str().is_some_and(|title| title.chars().count() > 256) {
        return problem(422, "title is too long (maximum is 256 characters)");
    }
    let number = match (asked.method.as_str(), id) {
        ("POST", None) => kept.add(item),
        ("PATCH", Some(id)) if id >= 1000 && id < 1000 + kept.items.len() => {
            kept.items[id - 1000].push(item);
            id - 1000
        }
        _ => return problem(404, "Not Found"),
    };
    let status = if id.is_none() { 201 } else { 200 };
    Told::json(status, &json!({ "id": 1000 + number, "number": 1000 + number, "html_url": "https://…" }))
}

/// A Jira with the project OPS and its ticket OPS-1; items are comments or issues (from OPS-100).
pub(crate) fn jira(kept: &mut Kept, asked: &Asked) -> Told {
    let is_cloud = asked.path.starts_with("/rest/api/3/");
    let who = if is_cloud { "Basic bWU6c2VzYW1lLTAxMjM0NTY3ODk=" } else { "Bearer sesame-0123456789" };
    if asked.header("authorization") != who {
        return Told::new(401, "Basic authentication with passwords is deprecated.");
    }
    let refused = |text: &str| Told::json(400, &json!({ "errorMessages": [], "errors": { "comment": text } }));
    let rest = asked.path.split_at("/rest/api/3".len()).1;
    let has_wiki = |text: &Value| text.is_string();
    let told = |index: usize, item: &Value| {
        json!({ "id": (10_000 + index).to_string(), "key": format!("OPS-{}", 100 + index), "body": item["body"],
            "fields": { "description": item["fields"]["description"] } })
    };
    if asked.method == "GET" {
        let all: Vec<Value> = kept.latest().map(|(index, item)| told(index, item)).collect();
        return match rest {
            "/issue/OPS-1/comment" => Told::json(200, &json!({ "comments": all, "total": all.len() })),
            "/search/jql" if is_cloud => Told::json(200, &json!({ "issues": all, "isLast": true })),
            "/search" if !is_cloud => Told::json(200, &json!({ "issues": all, "total": all.len() })),
            _ => Told::json(404, &json!({ "errorMessages": ["Issue does not exist"] })),
        };
    }
    let item = asked.json();
    let text = if item["fields"].is_object() { &item["fields"]["description"] } else { &item["body"] };
    if has_wiki(text) == is_cloud {
        return refused("INVALID_INPUT: Operation value must be an Atlassian Document (see the ADF format)");
    }
    match text.as_str() {
        Some(wiki) if wiki.encode_utf16().count() > 32_767 => return refused("CONTENT_LIMIT_EXCEEDED"),
        Some(_) => {}
        None => match document(text) {
            Err(problem) => return refused(&format!("INVALID_INPUT: {problem}")),
            Ok(()) if text.to_string().encode_utf16().count() > 32_767 => return refused("CONTENT_LIMIT_EXCEEDED"),
            Ok(()) => {}
        },
    }
    if item["fields"]["summary"].as_str().is_some_and(|s| s.chars().count() > 255 || s.contains('\n')) {
        return refused("Summary can't exceed 255 characters.");
    }
    let path: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("POST", ["issue", "OPS-1", "comment"]) => {
            assert_eq!(asked.fields(), ["body"]);
            let index = kept.add(item.clone());
            Told::json(201, &told(index, &item))
        }
        ("POST", ["issue"]) => {
            assert_eq!(asked.fields(), ["fields"]);
            if item["fields"]["project"]["key"] != "OPS" || item["fields"]["issuetype"]["name"] != "Incident" {
                return refused("Specify a valid issue type");
            }
            let index = kept.add(item.clone());
            Told::json(201, &told(index, &item))
        }
        ("PUT", ["issue", "OPS-1", "comment", id]) => {
            kept.items[id.parse::<usize>().unwrap() - 10_000].push(item);
            Told::json(200, &json!({ "id": id }))
        }
        ("PUT", ["issue", key]) => {
            let index = key.strip_prefix("OPS-").unwrap().parse::<usize>().unwrap() - 100;
            kept.items[index].push(item);
            Told::new(204, "")
        }
        _ => Told::json(
            404,
            &json!({ "errorMessages": ["Issue does not exist or you do not have permission to see it."] }),
        ),
    }
}

/// Whether a value is a document as ADF's schema has it, as far as we use it.
fn document(value: &Value) -> Result<(), String> {
    if value["type"] != "doc" || value["version"] != 1 {
        return Err("no document".to_owned());
    }
    value["content"].as_array().ok_or("no content")?.iter().try_for_each(|node| adf_node(node, "doc"))
}

fn adf_node(node: &Value, parent: &str) -> Result<(), String> {
    let kind = node["type"].as_str().ok_or("a node without a type")?;
    let allowed: &[&str] = match parent {
        "doc" => &["heading", "paragraph", "bulletList", "expand"],
        "bulletList" => &["listItem"],
        "listItem" => &["paragraph"],
        "expand" => &["codeBlock"],
        _ => &["text"],
    };
    if !allowed.contains(&kind) {
        return Err(format!("{kind} in {parent}"));
    }
    let keys: Vec<&str> = node.as_object().unwrap().keys().map(String::as_str).collect();
    if let Some(other) = keys.iter().find(|key| !["type", "attrs", "content", "text", "marks"].contains(key)) {
        return Err(format!("unknown field {other}"));
    }
    if kind == "text" {
        let marks = node["marks"].as_array().map_or(0, Vec::len);
        return match node["text"].as_str() {
            Some("") | None => Err("an empty text".to_owned()),
            Some(_) if parent == "codeBlock" && marks > 0 => Err("marks in code".to_owned()),
            Some(_) => Ok(()),
        };
    }
    let content = node["content"].as_array().filter(|list| !list.is_empty()).ok_or(format!("an empty {kind}"))?;
    content.iter().try_for_each(|child| adf_node(child, kind))
}

/// Slack with the channel C1 (`#incidents`); items are messages, their `ts` numbered from 1000.
pub(crate) fn slack(kept: &mut Kept, asked: &Asked) -> Told {
    let failed = |error: &str| Told::json(200, &json!({ "ok": false, "error": error }));
    if asked.header("authorization") != format!("Bearer {TOKEN}") {
        return failed("invalid_auth");
    }
    if asked.path == "/api/conversations.history" {
        assert_eq!(asked.query["include_all_metadata"], "true");
        if asked.query["channel"] != "C1" {
            return failed("channel_not_found");
        }
        let messages: Vec<Value> = kept
            .latest()
            .map(|(index, item)| json!({ "ts": format!("{}.5", 1000 + index), "metadata": item["metadata"] }))
            .collect();
        return Told::json(200, &json!({ "ok": true, "messages": messages, "has_more": false }));
    }
    if !asked.header("content-type").starts_with("application/json") {
        return failed("invalid_form_data");
    }
    let item = asked.json();
    if let Some(error) = slack_message(&item) {
        return failed(&error);
    }
    assert_eq!(item["metadata"]["event_type"], "hypocenter_incident");
    let known = ["blocks", "channel", "metadata", "text", "ts", "unfurl_links"];
    assert!(asked.fields().iter().all(|field| known.contains(&field.as_str())), "{:?}", asked.fields());
    match asked.path.as_str() {
        "/api/chat.postMessage" if ["C1", "#incidents"].contains(&item["channel"].as_str().unwrap()) => {
            let ts = format!("{}.5", 1000 + kept.add(item));
            Told::json(200, &json!({ "ok": true, "channel": "C1", "ts": ts }))
        }
        "/api/chat.update" if item["channel"] == "C1" => {
            let ts = item["ts"].as_str().unwrap().to_owned();
            let index = ts.split_once('.').unwrap().0.parse::<usize>().unwrap() - 1000;
            if index >= kept.items.len() {
                return failed("message_not_found");
            }
            kept.items[index].push(item);
            Told::json(200, &json!({ "ok": true, "channel": "C1", "ts": ts }))
        }
        _ => failed("channel_not_found"),
    }
}

/// An incoming webhook of Slack at `/services/T1/B1/SECRETSECRET`.
pub(crate) fn slack_webhook(kept: &mut Kept, asked: &Asked) -> Told {
    if asked.path != "/services/T1/B1/SECRETSECRET" {
        return Told::new(404, "no_team").with("content-type", "text/html");
    }
    let item = asked.json();
    assert_eq!(asked.fields(), ["blocks", "text"]);
    match slack_message(&item) {
        Some(error) => Told::new(400, &error).with("content-type", "text/plain"),
        None => {
            kept.add(item);
            // So the real one has it.
            Told::new(200, "ok").with("content-type", "text/html; charset=utf-8")
        }
    }
}

/// What Slack would say of a message.
fn slack_message(item: &Value) -> Option<String> {
    let blocks = item["blocks"].as_array().unwrap();
    let mut total = 0;
    for block in blocks {
        let (texts, limit): (Vec<&Value>, usize) = match block["type"].as_str().unwrap() {
            "header" if block["text"]["type"] == "plain_text" => (vec![&block["text"]], 150),
            "section" => (vec![&block["text"]], 3_000),
            "context" => (block["elements"].as_array().unwrap().iter().collect(), 3_000),
            other => return Some(format!("invalid_blocks: {other}")),
        };
        for text in texts {
            let is_mrkdwn = text["type"] == "mrkdwn" && text["verbatim"] == true;
            let units = text["text"].as_str().unwrap().encode_utf16().count();
            if units > limit || units == 0 || !(is_mrkdwn || block["type"] == "header") {
                return Some(format!("invalid_blocks: {units} in {block}"));
            }
            total += units;
        }
    }
    (blocks.len() > 50 || total > 13_000).then(|| "msg_blocks_too_long".to_owned())
}

/// The Events API of PagerDuty.
pub(crate) fn pagerduty(kept: &mut Kept, asked: &Asked) -> Told {
    let refused = |text: &str| Told::json(400, &json!({ "status": "invalid event", "errors": [text] }));
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/v2/enqueue"));
    if asked.body.len() > 512_000 {
        return Told::json(413, &json!({ "status": "payload too large" }));
    }
    let event = asked.json();
    let known = ["client", "client_url", "dedup_key", "event_action", "links", "payload", "routing_key"];
    assert!(asked.fields().iter().all(|field| known.contains(&field.as_str())), "{:?}", asked.fields());
    if event["routing_key"] != TOKEN {
        return refused(&format!("Invalid routing key {}", event["routing_key"]));
    }
    let dedup_key = event["dedup_key"].as_str().unwrap().to_owned();
    if dedup_key.chars().count() > 255 {
        return refused("dedup_key is too long");
    }
    let payload = &event["payload"];
    match event["event_action"].as_str() {
        Some("resolve") => {}
        Some("trigger") => {
            let severities = ["critical", "error", "warning", "info"];
            if !severities.contains(&payload["severity"].as_str().unwrap_or_default()) {
                return refused("severity is invalid");
            }
            if !(1..=1_024).contains(&payload["summary"].as_str().unwrap_or_default().chars().count()) {
                return refused("summary is too long");
            }
            if payload["source"].as_str().is_none_or(str::is_empty) {
                return refused("source is missing or blank");
            }
        }
        _ => return refused("event_action is invalid"),
    }
    match kept.items.iter_mut().find(|versions| versions[0]["dedup_key"] == event["dedup_key"]) {
        Some(versions) => versions.push(event),
        None => {
            kept.add(event);
        }
    }
    Told::json(202, &json!({ "status": "success", "message": "Event processed", "dedup_key": dedup_key }))
}

/// Any webhook at `/hook`.
pub(crate) fn webhook(kept: &mut Kept, asked: &Asked) -> Told {
    if asked.path != "/hook" || asked.query.get("key").is_none_or(|key| key != TOKEN) {
        return Told::new(404, "no such hook");
    }
    let item = match asked.header("content-type") {
        "application/json" => asked.json(),
        _ => json!(asked.body),
    };
    kept.add(json!({ "method": asked.method, "team": asked.header("x-team"), "sent": item }));
    Told::new(204, "")
}
