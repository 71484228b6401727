//! Which field of a structured log record holds what: the one table for JSON lines and for columns of CSV.
//!
//! Names are compared without case and punctuation, nested objects by their path: `trace_id`, `traceId`, `trace.id` and
//! `{"trace": {"id": …}}` are one name. Which name wins where a record has several is told by its rank, never by their
//! order. Sources: the documentation of zap, logrus, pino, bunyan, Serilog, log4j 2 and logstash layouts, python-json-logger,
//! structlog, the Elastic Common Schema, GELF, journald, Docker's json-file driver, Loki, ClickHouse `otel_logs`.

use std::borrow::Cow;

use super::json_fields::{self, PlainFields};
use super::json_stream::Scalar;
use super::log_draft::LogDraft;
use super::log_text::{level_number, severity_number, severity_word, time};
use super::table_values;
use super::{semconv, signals};
use crate::telemetry::logs::Severity;

/// What a field tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    Time,
    Observed,
    /// Seconds and the nanoseconds beside them (log4j 2).
    Seconds,
    Nanos,
    Severity,
    /// OpenTelemetry's number.
    SeverityNumber,
    Message,
    Event,
    Trace,
    ErrorType,
    ErrorMessage,
    Namespace,
    /// A label that names the service, under its name in `signals`.
    Service(&'static str),
    /// pino and bunyan call the application `name`, as others call their loggers.
    Name,
    /// Both of these beside `name` say that it is pino or bunyan.
    Process,
    Host,
    /// Says that the record is no log record but a span.
    SpanOnly,
}

/// What a name tells, and its rank among the names that tell the same (0 wins).
pub(super) fn slot(name: &str) -> Option<(Slot, u8)> {
    Some(match name {
        "timeunixnano" => (Slot::Time, 0),
        "@timestamp" | "@t" => (Slot::Time, 1),
        "timestamp" | "timestampunixnano" | "realtimetimestamp" | "timestampns" => (Slot::Time, 2),
        "time" | "ts" | "timemillis" => (Slot::Time, 3),
        "eventtime" | "datetime" | "asctime" | "writtenat" | "logtime" | "localtimestamp" => (Slot::Time, 4),
        "date" | "created" | "createdat" => (Slot::Time, 5),
        "observedtimeunixnano" | "observedtimestamp" => (Slot::Observed, 0),
        "instantepochsecond" => (Slot::Seconds, 0),
        "instantnanoofsecond" => (Slot::Nanos, 0),
        "severitynumber" => (Slot::SeverityNumber, 0),
        "severitytext" | "loglevel" | "levelname" => (Slot::Severity, 0),
        "severity" | "level" | "@l" => (Slot::Severity, 1),
        "lvl" | "logseverity" | "sev" | "detectedlevel" => (Slot::Severity, 2),
        "priority" | "levelno" | "levelvalue" => (Slot::Severity, 3),
        "message" | "msg" | "@m" => (Slot::Message, 0),
        "body" | "bodystringvalue" | "logmessage" | "shortmessage" | "@mt" => (Slot::Message, 1),
        "log" | "line" | "content" | "textpayload" | "rawmessage" => (Slot::Message, 2),
        "text" | "event" => (Slot::Message, 3), // structlog calls the message `event`
        "eventname" => (Slot::Event, 0),
        "traceid" | "tracetraceid" | "oteltraceid" => (Slot::Trace, 0),
        "ddtraceid" | "logginggoogleapiscomtrace" | "mdctraceid" => (Slot::Trace, 1),
        "errortype"
        | "exceptiontype"
        | "exceptionclass"
        | "exceptionexceptionclass"
        | "errname"
        | "errtype"
        | "thrownname" => (Slot::ErrorType, 0),
        "errormessage" | "exceptionmessage" | "exceptionexceptionmessage" | "errmessage" | "thrownmessage" => {
            (Slot::ErrorMessage, 0)
        }
        "error" | "err" => (Slot::ErrorMessage, 1), // zap and logrus
        "servicenamespace" => (Slot::Namespace, 0),
        "servicename" => (Slot::Service("service_name"), 0),
        "service" | "servicelabel" => (Slot::Service("service"), 0),
        "app" | "appname" | "application" | "applicationname" | "appid" => (Slot::Service("app"), 0),
        "appkubernetesioname" => (Slot::Service("app_kubernetes_io_name"), 0),
        "job" => (Slot::Service("job"), 0),
        "deployment" | "deploymentname" | "k8sdeploymentname" => (Slot::Service("deployment"), 0),
        "workload" => (Slot::Service("workload"), 0),
        "containerlabelscomdockercomposeservice" | "comdockercomposeservice" | "composeservice" => {
            (Slot::Service("container_label_com_docker_compose_service"), 0)
        }
        "pod" | "podname" | "k8spodname" => (Slot::Service("pod"), 0),
        "cmdbid" => (Slot::Service("cmdb_id"), 0),
        "container" | "containername" | "k8scontainername" => (Slot::Service("container"), 0),
        "name" => (Slot::Name, 0),
        "pid" => (Slot::Process, 0),
        "hostname" => (Slot::Host, 0),
        "spankind" | "spanname" | "operationname" | "starttimeunixnano" | "endtimeunixnano" | "resourcespans"
        | "resourcelogs" | "spans" => (Slot::SpanOnly, 0),
        _ => return None,
    })
}

/// Labels of one record beyond these do not tell more about its service.
const MAX_LABELS: usize = 16;

/// What the fields of one record tell.
#[derive(Debug, Default)]
pub(super) struct LogFields<'a> {
    pub(super) draft: LogDraft<'a>,
    /// Whether the time names no zone.
    pub(super) zoneless: bool,
    time_rank: Option<u8>,
    severity_rank: Option<u8>,
    message_rank: Option<u8>,
    trace_rank: Option<u8>,
    error_rank: Option<u8>,
    seconds: i64,
    nanos: i64,
    namespace: Cow<'a, str>,
    labels: Vec<(&'static str, Cow<'a, str>)>,
    name: Cow<'a, str>,
    has_process: bool,
    has_host: bool,
    /// It has fields that spans have and logs have not.
    pub(super) is_span: bool,
}

/// Whether a name of this rank replaces what is known.
fn wins(rank: u8, known: &mut Option<u8>) -> bool {
    let wins = known.is_none_or(|known| rank < known);
    if wins {
        *known = Some(rank);
    }
    wins
}

impl<'a> PlainFields<'a> for LogFields<'a> {
    const TRANSPARENT: &'static [&'static str] = &[
        "labels",
        "kubernetes",
        "k8s",
        "resource",
        "resources",
        "resourceattributes",
        "attributes",
        "logattributes",
        "fields",
        "metadata",
        "properties",
        "mdc",
        "contextmap",
        "context",
        "extra",
        "json",
        "jsonpayload",
        "source",
        "structuredmetadata",
        "stream",
    ];

    fn note(&mut self, name: &str, value: Scalar<'a>) {
        if let Some((slot, rank)) = slot(name) {
            self.take(slot, rank, value);
        }
    }
}

impl<'a> LogFields<'a> {
    /// The fields of a JSON object; `None` when the text is no object. What stands before broken syntax is kept for
    /// `lenient` readers (a sniff sees the beginning of a file only).
    pub(super) fn of_json(text: &'a str, lenient: bool) -> Option<Self> {
        if !text.trim_start().starts_with('{') {
            return None;
        }
        let mut fields = Self::default();
        let whole = json_fields::read(text, &mut fields);
        (whole || lenient).then_some(fields)
    }

    /// Takes a field by what it tells.
    pub(super) fn take(&mut self, slot: Slot, rank: u8, value: Scalar<'a>) {
        if slot == Slot::SpanOnly {
            self.is_span |= value != Scalar::Absent;
            return;
        }
        if matches!(value, Scalar::Absent | Scalar::Nested) || value.as_text().is_some_and(|t| t.trim().is_empty()) {
            return;
        }
        match slot {
            Slot::Time | Slot::Observed => self.note_time(slot, rank, &value),
            Slot::Seconds => self.seconds = value.as_integer().unwrap_or_default(),
            Slot::Nanos => self.nanos = value.as_integer().unwrap_or_default(),
            Slot::Severity | Slot::SeverityNumber => self.note_severity(slot, rank, &value),
            Slot::Process => self.has_process = true,
            Slot::Host => self.has_host = true,
            Slot::Trace => {
                // Google Cloud: `projects/p/traces/<id>`.
                let id = value.as_text().and_then(|text| text.rsplit('/').next()).and_then(table_values::trace_id);
                if id.is_some() && wins(rank, &mut self.trace_rank) {
                    self.draft.trace = id;
                }
            }
            _ => {
                let Some(text) = value.into_text() else { return };
                match slot {
                    Slot::Message if wins(rank, &mut self.message_rank) => self.draft.body = text,
                    Slot::Event => self.draft.event = text,
                    Slot::ErrorType => self.draft.error_type = text,
                    Slot::ErrorMessage if wins(rank, &mut self.error_rank) => self.draft.error_message = text,
                    Slot::Namespace => self.namespace = text,
                    Slot::Name => self.name = text,
                    Slot::Service(label) if self.labels.len() < MAX_LABELS => self.labels.push((label, text)),
                    _ => {}
                }
            }
        }
    }

    fn note_time(&mut self, slot: Slot, rank: u8, value: &Scalar<'a>) {
        let Some(instant) = time(value) else { return };
        if slot == Slot::Observed {
            self.draft.observed_ns = instant.ns;
        } else if wins(rank, &mut self.time_rank) {
            self.draft.time_ns = instant.ns;
            self.zoneless = !instant.zoned;
        }
    }

    fn note_severity(&mut self, slot: Slot, rank: u8, value: &Scalar<'a>) {
        let by_number =
            value.as_integer().and_then(if slot == Slot::SeverityNumber { severity_number } else { level_number });
        let severity = by_number.or_else(|| value.as_text().and_then(severity_word));
        if let Some(severity) = severity.filter(|s| *s != Severity::Unspecified)
            && wins(rank, &mut self.severity_rank)
        {
            self.draft.severity = severity;
        }
    }

    /// Whether a record with these fields can be no other thing than a log record.
    pub(super) fn is_log(&self) -> bool {
        let has_time = self.time_ns() > 0 || self.draft.observed_ns > 0;
        // `text` and `event` alone are too common to mean a message.
        let has_message = match self.message_rank {
            Some(0..=2) => true,
            Some(_) => self.severity_rank.is_some(),
            None => !self.draft.event.is_empty() && self.severity_rank.is_some(),
        };
        has_message && has_time && !self.is_span
    }

    /// Whether they make a log record, where it was said that it is one.
    pub(super) fn may_be_log(&self) -> bool {
        let has_time = self.time_ns() > 0 || self.draft.observed_ns > 0;
        has_time && !(self.draft.body.is_empty() && self.draft.event.is_empty()) && !self.is_span
    }

    fn time_ns(&self) -> i64 {
        if self.draft.time_ns > 0 || self.seconds <= 0 {
            return self.draft.time_ns;
        }
        self.seconds.saturating_mul(1_000_000_000).saturating_add(self.nanos.clamp(0, 999_999_999))
    }

    /// The record, its message being whole.
    pub(super) fn draft(self) -> LogDraft<'a> {
        LogDraft { time_ns: self.time_ns(), ..self.draft }
    }

    /// The service that the fields name.
    pub(super) fn service(&self) -> Option<Cow<'_, str>> {
        let label = |name: &str| self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| &**value);
        if let Some(name) = label("service_name").map(str::trim).filter(|name| !name.is_empty())
            && !self.namespace.is_empty()
        {
            return Some(semconv::service_identity(name, self.namespace.trim(), ""));
        }
        if let Some(service) = signals::service(label) {
            return Some(Cow::Owned(service.as_str().to_owned()));
        }
        let is_application = self.has_process && self.has_host && !self.name.trim().is_empty();
        is_application.then(|| Cow::Borrowed(self.name.trim()))
    }

    /// What a record wrapped around this one knows and this one does not: a container's runtime knows the time and the
    /// pod, the program inside it what happened.
    pub(super) fn complete(&mut self, outer: LogFields<'a>) {
        // The outer time always has a zone, the inner one often not.
        if outer.time_ns() > 0 {
            (self.draft.time_ns, self.zoneless) = (outer.time_ns(), outer.zoneless);
        }
        self.draft.observed_ns = self.draft.observed_ns.max(outer.draft.observed_ns);
        if self.draft.severity == Severity::Unspecified {
            self.draft.severity = outer.draft.severity;
        }
        self.draft.trace = self.draft.trace.or(outer.draft.trace);
        if self.labels.is_empty() && (self.name.is_empty() || !outer.labels.is_empty()) {
            (self.labels, self.namespace) = (outer.labels, outer.namespace);
        }
    }
}
