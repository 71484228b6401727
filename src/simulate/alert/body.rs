//! The body that Alertmanager posts to a webhook, version 4.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Firing, fingerprint::fingerprint};
use crate::simulate::system::System;
use crate::simulate::write::CaseFile;

/// Go's zero time: no end.
const NO_END: &str = "0001-01-01T00:00:00Z";

type Labels<'f> = BTreeMap<&'f str, &'f str>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'f> {
    receiver: &'static str,
    status: &'static str,
    alerts: Vec<Alert<'f>>,
    group_labels: Labels<'f>,
    common_labels: Labels<'f>,
    common_annotations: Labels<'f>,
    #[serde(rename = "externalURL")]
    external_url: &'static str,
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'f> {
    status: &'static str,
    labels: Labels<'f>,
    annotations: Labels<'f>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// The file of these alerts, one group by namespace. Those that ended stand there as resolved.
pub fn body(firings: &[Firing], system: &System) -> CaseFile {
    let alerts: Vec<Alert<'_>> = firings.iter().map(alert).collect();
    let body = Body {
        receiver: "hypocenter",
        status: if alerts.iter().all(|alert| alert.status == "resolved") { "resolved" } else { "firing" },
        group_labels: Labels::from([("namespace", system.namespace.as_str())]),
        common_labels: common(alerts.iter().map(|alert| &alert.labels)),
        common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
        external_url: "http://alertmanager.example:9093",
        version: "4",
        group_key: format!("{{}}:{{namespace={:?}}}", system.namespace),
        truncated_alerts: 0,
        alerts,
    };
    let mut bytes = serde_json::to_vec_pretty(&body).expect("maps with keys of text and plain fields become JSON");
    bytes.push(b'\n');
    CaseFile { name: "alert.json".to_owned(), bytes }
}

fn alert(firing: &Firing) -> Alert<'_> {
    let mut labels: Labels<'_> = firing.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    labels.insert("alertname", firing.rule);
    let expression = encoded(&firing.expression);
    Alert {
        status: if firing.ends_ns.is_some() { "resolved" } else { "firing" },
        fingerprint: format!("{:016x}", fingerprint(&labels)),
        labels,
        annotations: Labels::from([("summary", firing.summary.as_str())]),
        starts_at: time(firing.starts_ns),
        ends_at: firing.ends_ns.map_or_else(|| NO_END.to_owned(), time),
        generator_url: format!("http://prometheus.example:9090/graph?g0.expr={expression}&g0.tab=1"),
    }
}

/// What all have in common.
fn common<'b, 'f: 'b>(mut all: impl Iterator<Item = &'b Labels<'f>>) -> Labels<'f> {
    let mut common = all.next().cloned().unwrap_or_default();
    for labels in all {
        common.retain(|name, value| labels.get(name) == Some(value));
    }
    common
}

/// RFC 3339.
fn time(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_out_of_range| NO_END.to_owned(), |at| at.to_string())
}

/// `application/x-www-form-urlencoded`, as Go writes queries.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
