//! The traces as JSON: OTLP, Jaeger, Zipkin, and rows of ClickHouse.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::model::{Attributes, ERROR, INTERNAL, OK, Process, SERVER, Span, Value};

fn trace_id(trace: u128) -> String {
    format!("{trace:032x}")
}

fn span_id(id: u64) -> String {
    format!("{id:016x}")
}

fn by_process(spans: &[Span]) -> BTreeMap<Process, Vec<&Span>> {
    let mut groups: BTreeMap<Process, Vec<&Span>> = BTreeMap::new();
    spans.iter().for_each(|span| groups.entry(span.process).or_default().push(span));
    groups
}

pub(crate) fn resource(process: &Process) -> [(&'static str, &'static str); 3] {
    [("service.name", process.service), ("service.instance.id", process.instance), ("service.version", process.version)]
}

/// As the specification of OTLP has it, one message.
pub(crate) fn otlp(spans: &[Span]) -> String {
    let attributes = |attributes: &Attributes| -> Vec<Json> {
        let value = |value: &Value| match value {
            Value::Text(text) => json!({"stringValue": text}),
            Value::Integer(number) => json!({"intValue": number.to_string()}),
        };
        attributes.iter().map(|(key, v)| json!({"key": key, "value": value(v)})).collect()
    };
    let link = |link: &(u128, u64)| json!({"traceId": trace_id(link.0), "spanId": span_id(link.1)});
    let span = |span: &&Span| {
        json!({
            "traceId": trace_id(span.trace), "spanId": span_id(span.id),
            "parentSpanId": if span.parent == 0 { String::new() } else { span_id(span.parent) },
            "name": span.name, "kind": span.kind,
            "startTimeUnixNano": (span.start_us * 1000).to_string(),
            "endTimeUnixNano": (span.end_us() * 1000).to_string(),
            "attributes": attributes(&span.attributes), "status": {"code": span.status},
            "links": span.links.iter().map(link).collect::<Vec<_>>(),
        })
    };
    let resources: Vec<Json> = by_process(spans)
        .iter()
        .map(|(process, spans)| {
            let attributes = resource(process).map(|(key, text)| json!({"key": key, "value": {"stringValue": text}}));
            let spans: Vec<Json> = spans.iter().map(span).collect();
            json!({"resource": {"attributes": attributes}, "scopeSpans": [{"scope": {"name": "shop"}, "spans": spans}]})
        })
        .collect();
    json!({ "resourceSpans": resources }).to_string()
}

/// As Jaeger's interface saves what the collector's exporter gave it: links are references that follow.
pub(crate) fn jaeger(spans: &[Span]) -> String {
    let tag = |key: &str, value: &Value| match value {
        Value::Text(text) => json!({"key": key, "type": "string", "value": text}),
        Value::Integer(number) => json!({"key": key, "type": "int64", "value": number}),
    };
    let mut traces: BTreeMap<u128, Vec<&Span>> = BTreeMap::new();
    spans.iter().for_each(|span| traces.entry(span.trace).or_default().push(span));
    let data: Vec<Json> = traces
        .iter()
        .map(|(trace, spans)| {
            let mut processes = Map::new();
            let mut ids: BTreeMap<Process, String> = BTreeMap::new();
            for span in spans {
                let next = format!("p{}", ids.len() + 1);
                let id = ids.entry(span.process).or_insert(next);
                let tags: Vec<Json> =
                    resource(&span.process)[1..].iter().map(|(key, text)| tag(key, &Value::Text(text))).collect();
                processes.insert(id.clone(), json!({"serviceName": span.process.service, "tags": tags}));
            }
            let spans: Vec<Json> = spans
                .iter()
                .map(|span| {
                    let mut tags: Vec<Json> = span.attributes.iter().map(|(key, value)| tag(key, value)).collect();
                    let kinds = ["", "internal", "server", "client", "producer", "consumer"];
                    tags.push(tag("span.kind", &Value::Text(kinds[span.kind])));
                    match span.status {
                        ERROR => {
                            tags.push(tag("otel.status_code", &Value::Text("ERROR")));
                            tags.push(json!({"key": "error", "type": "bool", "value": true}));
                        }
                        OK => tags.push(tag("otel.status_code", &Value::Text("OK"))),
                        _ => {}
                    }
                    let reference = |kind: &str, trace: u128, id: u64| {
                        json!({"refType": kind, "traceID": trace_id(trace), "spanID": span_id(id)})
                    };
                    let mut references = Vec::new();
                    if span.parent != 0 {
                        references.push(reference("CHILD_OF", span.trace, span.parent));
                    }
                    references.extend(span.links.iter().map(|l| reference("FOLLOWS_FROM", l.0, l.1)));
                    json!({
                        "traceID": trace_id(span.trace), "spanID": span_id(span.id), "operationName": span.name,
                        "references": references, "startTime": span.start_us, "duration": span.duration_us,
                        "tags": tags, "logs": [], "processID": ids[&span.process], "warnings": null,
                    })
                })
                .collect();
            json!({"traceID": trace_id(*trace), "spans": spans, "processes": processes, "warnings": null})
        })
        .collect();
    json!({"data": data, "total": 0, "limit": 0, "offset": 0, "errors": null}).to_string()
}

/// As Zipkin's API answers, with spans that client and server share as its own instrumentation reports them, and tags as
/// the collector's exporter writes them: resource attributes and links among the tags, `peer.service` as the remote
/// endpoint.
pub(crate) fn zipkin(spans: &[Span]) -> String {
    let by_id: BTreeMap<(u128, u64), &Span> = spans.iter().map(|span| ((span.trace, span.id), span)).collect();
    // The id under which Zipkin knows a span: a server's is its client's.
    let joined = |span: &Span| match by_id.get(&(span.trace, span.parent)) {
        Some(client) if span.kind == SERVER => Some(*client),
        _ => None,
    };
    let shared_id = |trace: u128, id: u64| by_id.get(&(trace, id)).and_then(|span| joined(span)).map_or(id, |c| c.id);
    let mut traces: BTreeMap<u128, Vec<Json>> = BTreeMap::new();
    for span in spans {
        let client = joined(span);
        let parent = client.map_or(span.parent, |client| client.parent);
        let mut tags = Map::new();
        for (key, text) in &resource(&span.process)[1..] {
            tags.insert((*key).to_owned(), json!(text));
        }
        let mut remote = Json::Null;
        for (key, value) in &span.attributes {
            if *key == "peer.service" {
                remote = json!({"serviceName": value.text()});
            } else {
                tags.insert((*key).to_owned(), json!(value.text()));
            }
        }
        match span.status {
            ERROR => {
                tags.insert("error".to_owned(), json!("true"));
                tags.insert("otel.status_code".to_owned(), json!("Error"));
            }
            OK => drop(tags.insert("otel.status_code".to_owned(), json!("Ok"))),
            _ => {}
        }
        if span.kind == INTERNAL {
            tags.insert("span.kind".to_owned(), json!("internal"));
        }
        for (at, link) in span.links.iter().enumerate() {
            let text = format!("{}|{}||{{}}|0", trace_id(link.0), span_id(link.1));
            tags.insert(format!("otlp.link.{at}"), json!(text));
        }
        let mut row = json!({
            "traceId": trace_id(span.trace), "id": span_id(client.map_or(span.id, |client| client.id)),
            "name": span.name, "timestamp": span.start_us, "duration": span.duration_us,
            "localEndpoint": {"serviceName": span.process.service}, "tags": tags,
        });
        let members = row.as_object_mut().expect("an object");
        if parent != 0 {
            members.insert("parentId".to_owned(), json!(span_id(shared_id(span.trace, parent))));
        }
        if span.kind != INTERNAL {
            let kinds = ["SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
            members.insert("kind".to_owned(), json!(kinds[span.kind - SERVER]));
        }
        if client.is_some() {
            members.insert("shared".to_owned(), json!(true));
        }
        if !remote.is_null() {
            members.insert("remoteEndpoint".to_owned(), remote);
        }
        traces.entry(span.trace).or_default().push(row);
    }
    json!(traces.into_values().collect::<Vec<_>>()).to_string()
}

pub(crate) const KINDS: [&str; 6] = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
pub(crate) const STATUSES: [&str; 3] = ["Unset", "Ok", "Error"];

/// As ClickHouse writes the exporter's table with `FORMAT JSONEachRow`.
pub(crate) fn clickhouse(spans: &[Span]) -> String {
    let row = |span: &Span| {
        let seconds = span.start_us / 1_000_000 - super::model::START_S;
        let time = format!("2026-03-02 10:{:02}:{:02}.{:06}000", seconds / 60, seconds % 60, span.start_us % 1_000_000);
        let attributes: Map<String, Json> =
            span.attributes.iter().map(|(key, value)| ((*key).to_owned(), json!(value.text()))).collect();
        let resource: Map<String, Json> =
            resource(&span.process).iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
        let row = json!({
            "Timestamp": time, "TraceId": trace_id(span.trace), "SpanId": span_id(span.id),
            "ParentSpanId": if span.parent == 0 { String::new() } else { span_id(span.parent) }, "TraceState": "",
            "SpanName": span.name, "SpanKind": KINDS[span.kind], "ServiceName": span.process.service,
            "ResourceAttributes": resource, "ScopeName": "shop", "ScopeVersion": "", "SpanAttributes": attributes,
            "Duration": (span.duration_us * 1000).to_string(), "StatusCode": STATUSES[span.status], "StatusMessage": "",
            "Events.Timestamp": [], "Events.Name": [], "Events.Attributes": [],
            "Links.TraceId": span.links.iter().map(|l| trace_id(l.0)).collect::<Vec<_>>(),
            "Links.SpanId": span.links.iter().map(|l| span_id(l.1)).collect::<Vec<_>>(),
            "Links.TraceState": span.links.iter().map(|_| "").collect::<Vec<_>>(),
            "Links.Attributes": span.links.iter().map(|_| json!({})).collect::<Vec<_>>(),
        });
        row.to_string() + "\n"
    };
    spans.iter().map(row).collect()
}
