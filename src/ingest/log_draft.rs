//! A log record whose fields come in any order, from any format, checked and pushed into the table once all are there.
//!
//! OTLP in JSON and in protobuf, JSON lines and CSV all end here, so that a record means the same in each of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::json_attributes::Facts;
use super::json_stream::Scalar;
use super::log_fields::LogFields;
use super::log_mask::masked;
use super::log_text::{severity_in, severity_number, severity_word, trace_in};
use super::semconv::ResourceFacts;
use super::signals::service_of_pod;
use crate::telemetry::id::TraceId;
use crate::telemetry::logs::{LogRecord, LogServiceKey, LogTable, Severity};

/// What is known of a record so far. An absent time, number or text is 0 or empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogDraft<'a> {
    /// When it happened, Unix nanoseconds.
    pub(crate) time_ns: i64,
    /// When a collector saw it, Unix nanoseconds.
    pub(crate) observed_ns: i64,
    /// How bad, where a field tells.
    pub(crate) severity: Severity,
    /// The message.
    pub(crate) body: Cow<'a, str>,
    /// Trace id.
    pub(crate) trace: Option<u128>,
    /// Name of the event.
    pub(crate) event: Cow<'a, str>,
    /// `exception.type`.
    pub(crate) error_type: Cow<'a, str>,
    /// `exception.message`.
    pub(crate) error_message: Cow<'a, str>,
}

pub(crate) const NO_TIME: &str = "log records skipped: they have no readable time";
pub(crate) const NO_MESSAGE: &str = "log records skipped: they have no message";
pub(crate) const NO_SERVICE: &str = "log records skipped: nothing names their service; add a field such as service.name, \
     or name the file after its service (checkout.log, <pod>_<namespace>_<container>.log)";
pub(crate) const NO_ZONE: &str = "times of log records name no zone and are read as UTC";

impl<'a> LogDraft<'a> {
    /// Takes OTLP's severity: the number, else the text.
    pub(crate) fn set_severity(&mut self, number: i64, text: &str) {
        let by_number = severity_number(number).filter(|s| *s != Severity::Unspecified);
        self.severity = by_number.or_else(|| severity_word(text)).unwrap_or_default();
    }

    /// As [`LogDraft::set_severity`], once all fields are there: what the body's own level said stays where these say
    /// nothing.
    pub(crate) fn judge(&mut self, number: i64, text: &str) {
        let given = self.severity;
        self.set_severity(number, text);
        if self.severity == Severity::Unspecified {
            self.severity = given;
        }
    }

    /// Takes a body that may have parts: its message where it has one, else all of it.
    pub(crate) fn set_body(&mut self, body: BodyValue<'a>) {
        self.body = match body {
            BodyValue::Text(text) => text,
            BodyValue::Map(mut members) => {
                let level = ["level", "severity", "lvl"].iter().find_map(|key| members.get(*key)?.as_text());
                if let (Severity::Unspecified, Some(level)) = (self.severity, level) {
                    self.severity = severity_word(level).unwrap_or_default();
                }
                match ["message", "msg", "log", "event"].iter().find_map(|key| members.remove(*key)) {
                    Some(BodyValue::Text(text)) => text,
                    Some(other) => Cow::Owned(other.flattened()),
                    None => Cow::Owned(BodyValue::Map(members).flattened()),
                }
            }
            list @ BodyValue::List(_) => Cow::Owned(list.flattened()),
        };
    }

    /// The record in the body's JSON, if the body is one: what a collector reads from a file that it does not parse.
    fn inner(&self) -> Option<LogDraft<'_>> {
        let inner = LogFields::of_json(&self.body, false)?.draft();
        (!inner.body.is_empty() || !inner.event.is_empty()).then_some(inner)
    }

    /// Adds the record to `logs`, or tells why not. `service` may be set later ([`LogTable::set_service`]).
    pub(crate) fn push(&self, logs: &mut LogTable, service: LogServiceKey) -> Result<(), &'static str> {
        let at_ns = if self.time_ns > 0 { self.time_ns } else { self.observed_ns };
        if at_ns <= 0 {
            return Err(NO_TIME);
        }
        let inner = self.inner();
        let telling = inner.as_ref().unwrap_or(self);
        let message = masked(&telling.message());
        if message.is_empty() {
            return Err(NO_MESSAGE);
        }
        let severity = [self.severity, telling.severity].into_iter().find(|s| *s != Severity::Unspecified);
        let severity = severity.unwrap_or_else(|| severity_in(&telling.body));
        let trace = self.trace.or(telling.trace).or_else(|| trace_in(&telling.body)).map(TraceId);
        logs.push(&LogRecord { at_ns, service, severity, message: &message, trace });
        Ok(())
    }

    /// The body, with what the attributes say of an exception and the body does not; else the event's name.
    fn message(&self) -> Cow<'_, str> {
        let (body, kind, error) = (self.body.trim(), self.error_type.trim(), self.error_message.trim());
        let mut message = Cow::Borrowed(if body.is_empty() { self.event.trim() } else { body });
        for part in [kind, error] {
            if !part.is_empty() && !message.contains(part) {
                let text = message.to_mut();
                // One line, so that a stack in the message does not push the exception out of sight.
                if let Some(end) = text.find('\n') {
                    text.truncate(end);
                }
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(part);
            }
        }
        message
    }
}

impl<'a> Facts<'a> for LogDraft<'a> {
    fn wants(name: &str) -> bool {
        matches!(name, "exception.type" | "exception.message" | "error.type" | "event.name")
    }

    /// Takes note of an attribute, if it tells something.
    fn note(&mut self, name: &str, value: Scalar<'a>) {
        let Some(text) = value.into_text() else { return };
        match name {
            "exception.type" => self.error_type = text,
            "error.type" if self.error_type.is_empty() => self.error_type = text,
            "exception.message" => self.error_message = text,
            "event.name" => self.event = text,
            _ => {}
        }
    }
}

/// A body as OTLP allows it: text, or values within values.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum BodyValue<'a> {
    /// Text; numbers and truth values as text.
    Text(Cow<'a, str>),
    /// Named values.
    Map(BTreeMap<String, BodyValue<'a>>),
    /// Values in order.
    List(Vec<BodyValue<'a>>),
}

/// Longest flattened body in bytes: a mask keeps less.
const MAX_FLAT: usize = 2_000;

impl BodyValue<'_> {
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Map(_) | Self::List(_) => None,
        }
    }

    /// `a=1 b.c=2`, names sorted.
    fn flattened(&self) -> String {
        let mut out = String::new();
        self.flatten("", &mut out);
        out
    }

    fn flatten(&self, name: &str, out: &mut String) {
        if out.len() > MAX_FLAT {
            return;
        }
        match self {
            Self::Text(text) => {
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(name);
                if !name.is_empty() {
                    out.push('=');
                }
                out.push_str(text);
            }
            Self::Map(members) => {
                for (key, value) in members {
                    let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                    value.flatten(&name, out);
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.flatten(name, out)),
        }
    }
}

/// What the attributes of a resource tell of who writes logs: the service as spans name it, else the workload.
#[derive(Debug, Default)]
pub(crate) struct LogResource {
    facts: ResourceFacts,
    workload: Option<(u8, String)>,
}

/// Attributes that name the workload where `service.name` is missing, as the collector's file reader leaves it.
const WORKLOADS: [&str; 6] = [
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
];

impl<'de> Facts<'de> for LogResource {
    fn wants(_name: &str) -> bool {
        true
    }

    fn note(&mut self, name: &str, value: Scalar<'de>) {
        let rank = (0..).zip(WORKLOADS).find(|(_, known)| *known == name).map(|(rank, _)| rank);
        if let (Some(rank), Some(text)) = (rank, value.as_text().map(str::trim).filter(|t| !t.is_empty()))
            && self.workload.as_ref().is_none_or(|(known, _)| rank < *known)
        {
            let workload = if name == "k8s.pod.name" { service_of_pod(text) } else { text };
            self.workload = Some((rank, workload.to_owned()));
        }
        self.facts.note(name, value);
    }
}

impl LogResource {
    /// The key of the service in `logs`; `None` where the resource names nobody.
    pub(crate) fn key(&self, logs: &mut LogTable) -> Option<LogServiceKey> {
        let unnamed = self.facts.given_name().is_empty();
        let name = match &self.workload {
            Some((_, workload)) if unnamed => Cow::Borrowed(workload.as_str()),
            _ => self.facts.identity()?,
        };
        Some(logs.service_key(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Scalar<'static> {
        Scalar::Text(text.into())
    }

    fn pushed(draft: &LogDraft<'_>) -> Result<(i64, Severity, String, u128), &'static str> {
        let mut logs = LogTable::default();
        let service = logs.service_key("a");
        draft.push(&mut logs, service)?;
        Ok((logs.at_ns[0], logs.severity[0], logs.messages()[0].clone(), logs.trace[0]))
    }

    #[test]
    fn the_time_is_that_of_the_event_else_of_its_observation() {
        let draft = LogDraft { observed_ns: 7, body: "x".into(), ..LogDraft::default() };
        assert_eq!(pushed(&draft), Ok((7, Severity::Unspecified, "x".to_owned(), 0)));
        assert_eq!(pushed(&LogDraft { time_ns: 5, ..draft.clone() }).map(|r| r.0), Ok(5));
        assert_eq!(pushed(&LogDraft { observed_ns: 0, ..draft.clone() }), Err(NO_TIME));
        assert_eq!(pushed(&LogDraft { body: " ".into(), ..draft }), Err(NO_MESSAGE));
    }

    #[test]
    fn an_exception_in_the_attributes_completes_the_message() {
        let mut draft = LogDraft { time_ns: 1, body: "charge failed\n  at f()".into(), ..LogDraft::default() };
        draft.note("exception.type", text("TimeoutException"));
        draft.note("exception.message", text("no answer after 300 ms"));
        draft.set_severity(0, "ERROR");
        let message = "charge failed: TimeoutException: no answer after <*> ms".to_owned();
        assert_eq!(pushed(&draft), Ok((1, Severity::Error, message, 0)));
        draft.body = "TimeoutException: no answer after 300 ms".into();
        assert_eq!(pushed(&draft).map(|r| r.2), Ok("TimeoutException: no answer after <*> ms".to_owned()));
        draft.body = "".into();
        draft.note("event.name", text("charge.failed"));
        let message = "charge.failed: TimeoutException: no answer after <*> ms".to_owned();
        assert_eq!(pushed(&draft).map(|r| r.2), Ok(message));
    }

    #[test]
    fn severity_and_trace_may_stand_in_the_text() {
        let body = "10:00:00 WARN TraceID: 49a51828322183eb20bfe4ace3060000 slow";
        let draft = LogDraft { time_ns: 1, body: body.into(), ..LogDraft::default() };
        let message = "<*> WARN TraceID: <*> slow".to_owned();
        assert_eq!(pushed(&draft), Ok((1, Severity::Warn, message, 0x49a5_1828_3221_83eb_20bf_e4ac_e306_0000)));
    }

    #[test]
    fn bodies_with_parts_become_one_line() {
        let map = |members: &[(&str, BodyValue<'static>)]| {
            BodyValue::Map(members.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
        };
        let value = |text: &'static str| BodyValue::Text(text.into());
        let list = BodyValue::List(vec![value("x"), value("y")]);
        let parts =
            map(&[("zone", value("eu")), ("at", map(&[("line", value("7")), ("file", value("a.c"))])), ("l", list)]);
        let mut draft = LogDraft { time_ns: 1, ..LogDraft::default() };
        draft.set_body(parts);
        assert_eq!(pushed(&draft).map(|r| r.2), Ok("at.file=a.c at.line=<*> l=x l=y zone=eu".to_owned()));
        draft.set_body(map(&[("msg", value("no route")), ("level", value("error"))]));
        assert_eq!(pushed(&draft), Ok((1, Severity::Error, "no route".to_owned(), 0)));
        let draft = LogDraft { body: r#"{"level":"warn","msg":"no route"}"#.into(), time_ns: 1, ..LogDraft::default() };
        assert_eq!(pushed(&draft), Ok((1, Severity::Warn, "no route".to_owned(), 0)));
    }

    #[test]
    fn a_resource_is_named_as_spans_name_it() {
        let key = |attributes: &[(&str, &'static str)]| {
            let (mut resource, mut logs) = (LogResource::default(), LogTable::default());
            attributes.iter().for_each(|(name, value)| resource.note(name, text(value)));
            resource.key(&mut logs).map(|_| logs.services()[0].clone())
        };
        let pod = ("k8s.pod.name", "cart-5f6585d649-fnmft");
        assert_eq!(key(&[("service.namespace", "shop"), ("service.name", "cart"), pod]), Some("shop/cart".to_owned()));
        assert_eq!(key(&[pod, ("k8s.container.name", "server")]), Some("cart".to_owned()));
        assert_eq!(key(&[("k8s.container.name", "server"), ("k8s.deployment.name", "cart")]), Some("cart".to_owned()));
        assert_eq!(key(&[("host.name", "n1")]), Some("unknown_service (n1)".to_owned()));
        assert_eq!(key(&[]), None);
    }
}
