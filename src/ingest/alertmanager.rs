//! The webhook body of Alertmanager (version 4) and of Grafana (version 1), as a file.
//!
//! Only what an analysis starts from is taken; unknown fields are ignored. URLs are read, never fetched.

use serde_json::{Map, Value};

use super::text::read_whole;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, instant, signals};
use crate::telemetry::alert::{Alert, Symptom};
use crate::telemetry::id::ServiceId;

/// Keys of the body; two of them make it one.
const KEYS: &[&str] =
    &["alerts", "receiver", "groupLabels", "commonLabels", "groupKey", "externalURL", "commonAnnotations"];

/// Whether the text begins like a body.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let has = |key: &&&str| memchr::memmem::find(head.bytes, format!("\"{key}\"").as_bytes()).is_some();
    head.bytes.trim_ascii_start().starts_with(b"{") && KEYS.iter().filter(has).count() >= 2
}

/// The body of a webhook.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Webhook {
    /// Whom the sender thinks it talks to; empty when not told.
    pub receiver: String,
    /// The sender's key of the group of alerts; empty when not told.
    pub group_key: String,
    /// Alerts that the sender left out.
    pub truncated: u64,
    /// The alerts, in the order of the body; what is no object stands as `None`.
    pub alerts: Vec<Option<WebhookAlert>>,
}

/// One alert of a webhook.
#[derive(Clone, PartialEq, Debug)]
pub struct WebhookAlert {
    /// What an analysis starts from.
    pub alert: Alert,
    /// Whether it no longer fires.
    pub is_resolved: bool,
    /// The sender's mark of its labels; empty when not told.
    pub fingerprint: String,
    /// The alert as it came, JSON with sorted keys. Hostile text.
    pub body: String,
}

impl WebhookAlert {
    /// The first label or annotation of these names, dots counting as underscores.
    pub fn named(&self, names: &[String]) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        let of = |name: &String| {
            ["labels", "annotations"].into_iter().find_map(|part| label_named(body.get(part)?, name).map(str::to_owned))
        };
        names.iter().find_map(of)
    }
}

/// Why a body is no webhook's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct NotAWebhook {
    /// Where in the body.
    pub place: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// Reads a body. `service_labels` are tried before the labels that are known to name a service.
///
/// # Errors
/// [`NotAWebhook`] for a body without alerts, with the keys that it lacks.
pub fn read_webhook(bytes: &[u8], service_labels: &[String]) -> Result<Webhook, NotAWebhook> {
    let body: Value = serde_json::from_slice(bytes).map_err(|error| NotAWebhook {
        place: format!("line {}, column {}", error.line(), error.column()),
        problem: format!("not valid JSON: {error}"),
    })?;
    let Some(alerts) = body.get("alerts").and_then(Value::as_array) else {
        let missing: Vec<String> = ["alerts", "status", "commonLabels"]
            .iter()
            .filter(|key| body.get(key).is_none())
            .map(|k| format!("`{k}`"))
            .collect();
        let missing = if missing.is_empty() {
            "`alerts` is no list".to_owned()
        } else {
            format!("missing: {}", missing.join(", "))
        };
        let problem = format!("not a webhook body ({missing}); if the payload is templated, send the default one");
        return Err(NotAWebhook { place: "field `alerts`".to_owned(), problem });
    };
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let alert = |alert: &Value| {
        let fields = alert.as_object()?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
        Some(WebhookAlert {
            alert: alert_of(fields, &body, service_labels),
            is_resolved: text("status") == "resolved",
            fingerprint: text("fingerprint").to_owned(),
            body: alert.to_string(),
        })
    };
    Ok(Webhook {
        receiver: text("receiver"),
        group_key: text("groupKey"),
        truncated: body.get("truncatedAlerts").and_then(Value::as_u64).unwrap_or(0),
        alerts: alerts.iter().map(alert).collect(),
    })
}

/// Reads the alerts: those that fire, or all of them where all are resolved.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let (bytes, torn) = read_whole(input, options);
    if let Some(torn) = torn {
        return Err(torn);
    }
    let webhook = read_webhook(&bytes, &options.metrics.service_labels)
        .map_err(|error| IngestError::malformed(path, error.place, error.problem))?;
    if webhook.truncated > 0 {
        let message = "alerts were left out by the sender; raise `max_alerts` of the webhook";
        out.warn(path, "field `truncatedAlerts`", message, webhook.truncated);
    }
    if webhook.alerts.is_empty() {
        out.warn(path, "field `alerts`", "the list of alerts is empty", 1);
    }
    let all_resolved = webhook.alerts.iter().flatten().all(|alert| alert.is_resolved);
    for (index, alert) in webhook.alerts.into_iter().enumerate() {
        let Some(WebhookAlert { alert, is_resolved, .. }) = alert else {
            let problem = "an alert must be an object with `labels` and `startsAt`";
            out.skip(path, format_args!("field `alerts[{index}]`"), problem);
            continue;
        };
        if is_resolved && !all_resolved {
            continue;
        }
        if alert.starts_ns.is_none() {
            let message = "an alert without a readable `startsAt` gives no window; name the incident's window";
            out.warn(path, format_args!("field `alerts[{index}].startsAt`"), message, 1);
        }
        out.alerts.push(alert);
    }
    Ok(())
}

fn alert_of(fields: &Map<String, Value>, body: &Value, service_labels: &[String]) -> Alert {
    let text_in = |object: Option<&'_ Value>, key: &str| -> Option<String> {
        object?.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    // The group's labels hold for each alert; its own say more.
    let label = |key: &str| -> Option<&str> {
        [fields.get("labels"), body.get("commonLabels")].into_iter().flatten().find_map(|l| label_named(l, key))
    };
    let annotation =
        |key: &str| text_in(fields.get("annotations"), key).or_else(|| text_in(body.get("commonAnnotations"), key));
    let name = label("alertname").map(str::to_owned).or_else(|| text_in(Some(body), "title")).unwrap_or_default();
    let summary = annotation("summary").or_else(|| annotation("description")).or_else(|| annotation("message"));
    let expression = fields.get("generatorURL").and_then(Value::as_str).and_then(expression_of);
    let time = |key: &str| fields.get(key).and_then(Value::as_str).and_then(time_ns);
    let symptom =
        [Some(name.as_str()), summary.as_deref(), expression.as_deref()].into_iter().flatten().find_map(symptom_of);
    let told = service_labels.iter().find_map(|name| label(name)).filter(|name| !name.is_empty());
    let matched = |key: &str| matcher(expression.as_deref()?, key);
    let service = told.map(ServiceId::new).or_else(|| signals::service(label)).or_else(|| signals::service(matched));
    Alert { starts_ns: time("startsAt"), ends_ns: time("endsAt"), service, symptom, expression, summary, name }
}

/// A label's value; dots in names count as underscores.
fn label_named<'v>(labels: &'v Value, name: &str) -> Option<&'v str> {
    let labels = labels.as_object()?;
    labels
        .iter()
        .find(|(key, _)| signals::underscored(key) == signals::underscored(name))
        .and_then(|(_, value)| value.as_str())
}

/// An instant; Go's zero time, the year 1, means none.
fn time_ns(text: &str) -> Option<i64> {
    instant::read(text).map(|instant| instant.ns).filter(|ns| *ns > 0)
}

/// Words that tell a symptom, in lower case. Latency first: `ErrorBudgetLatency` is about latency.
const SYMPTOMS: &[(&str, Symptom)] = &[
    ("latency", Symptom::Latency),
    ("slow", Symptom::Latency),
    ("duration", Symptom::Latency),
    ("response time", Symptom::Latency),
    ("responsetime", Symptom::Latency),
    ("response_time", Symptom::Latency),
    ("p90", Symptom::Latency),
    ("p95", Symptom::Latency),
    ("p99", Symptom::Latency),
    ("histogram_quantile", Symptom::Latency),
    ("error", Symptom::Errors),
    ("5xx", Symptom::Errors),
    ("5..", Symptom::Errors),
    ("fail", Symptom::Errors),
    ("availability", Symptom::Errors),
    ("success", Symptom::Errors),
];

fn symptom_of(text: &str) -> Option<Symptom> {
    let text = text.to_lowercase();
    SYMPTOMS.iter().find(|(word, _)| text.contains(word)).map(|(_, symptom)| *symptom)
}

/// The expression in a generator's URL: the parameter `g0.expr`, decoded.
fn expression_of(url: &str) -> Option<String> {
    let query = url.split_once('?')?.1;
    let query = query.split('#').next().unwrap_or(query);
    let value = query.split('&').find_map(|pair| pair.strip_prefix("g0.expr="))?;
    let expression = decode_form(value);
    (!expression.is_empty()).then_some(expression)
}

/// The value that an expression asks a label to have: of `rate(x{service="cart",code=~"5.."}[5m])` that of `service` is
/// `cart`. Values with escapes are passed over.
fn matcher<'e>(expression: &'e str, label: &str) -> Option<&'e str> {
    expression.match_indices(label).find_map(|(at, _)| {
        let before = expression[..at].trim_end().chars().next_back();
        let value = expression[at + label.len()..].trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
        let value = value.split('"').next()?;
        (matches!(before, Some('{' | ',')) && !value.is_empty() && !value.contains('\\')).then_some(value)
    })
}

/// Undoes `application/x-www-form-urlencoded`; what is no valid escape stands for itself, what is not UTF-8 becomes
/// U+FFFD.
fn decode_form(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while let Some(&byte) = bytes.get(position) {
        let escaped = || std::str::from_utf8(bytes.get(position + 1..position + 3)?).ok();
        let value = match byte {
            b'%' => escaped().and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        match (byte, value) {
            (b'+', _) => decoded.push(b' '),
            (_, Some(value)) => {
                decoded.push(value);
                position += 2;
            }
            (_, None) => decoded.push(byte),
        }
        position += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expression_is_decoded_and_nothing_else_of_the_url_taken() {
        let url = "http://prom:9090/graph?g0.expr=rate%28http_requests_total%7Bcode%3D~%225..%22%7D%5B5m%5D%29+%3E+1&g0.tab=1";
        assert_eq!(expression_of(url).as_deref(), Some(r#"rate(http_requests_total{code=~"5.."}[5m]) > 1"#));
        assert_eq!(expression_of("https://grafana.example/alerting/1afz29v7z/edit"), None);
        assert_eq!(expression_of("http://prom/graph?g0.expr="), None);
        assert_eq!(decode_form("100%+%zz%e2%98%ba%ff%2"), "100% %zz\u{263a}\u{fffd}%2");
    }

    #[test]
    fn an_expression_tells_the_service_that_the_labels_do_not() {
        let expression = r#"sum(rate(http_requests_total{job!="x", service = "cart",code=~"5.."}[5m])) > 1"#;
        assert_eq!(matcher(expression, "service"), Some("cart"));
        for label in ["job", "code", "vice", "missing"] {
            assert_eq!(matcher(expression, label), None, "{label}");
        }
        assert_eq!(matcher(r#"x{my_service="a",service=""} + y{service="b\"c"}"#, "service"), None);
    }

    #[test]
    fn each_word_tells_its_symptom() {
        for (word, symptom) in SYMPTOMS {
            assert_eq!(symptom_of(&format!("High{}", word.to_uppercase())), Some(*symptom), "{word}");
        }
        assert_eq!(symptom_of("PodRestarts"), None);
    }

    #[test]
    fn the_zero_time_is_none() {
        assert_eq!(time_ns("0001-01-01T00:00:00Z"), None);
        assert_eq!(time_ns("2021-10-12T09:51:03.157076+02:00"), Some(1_634_025_063_157_076_000));
        assert_eq!(time_ns("yesterday"), None);
    }
}
