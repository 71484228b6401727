//! Zipkin's version 2 JSON: a list of spans, a list of traces (`/api/v2/traces`), or a span or list on each line.
//!
//! What a server reports under its client's id (`shared`) stays under it here: the two halves may lie in different files,
//! so `aggregate` parts them where it has the whole trace. Times that are missing come from annotations. Resource
//! attributes and span links are where OpenTelemetry's exporters put them, among the tags. Service names are compared in
//! lower case, as Zipkin keeps them.
//!
//! An `error` tag means failure whatever it says, with one exception: Zipkin's HTTP instrumentation repeats every status
//! from 400 on in it, and a 4xx is no failure of the server that answered it.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use crate::telemetry::span::{ResourceKey, SpanKind};

use super::json_stream::{Decoder, Element, List, Node, Scalar, Source, Visit, ignore, scalar};
use super::semconv::{self, ResourceFacts};
use super::span_draft::{BAD_DURATION, Defect, IdNames, SpanDraft};
use super::span_row::Resources;
use super::{Head, IngestError, Input, ReadOptions, Telemetry, json_values};

/// Zipkin by its ids beside one of its own fields.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let text = head.bytes.trim_ascii_start();
    let has = |name: &str| memchr::memmem::find(text, name.as_bytes()).is_some();
    if !matches!(text.first(), Some(b'{' | b'[')) || !has("\"traceId\"") || !has("\"id\"") {
        return false;
    }
    let endpoints = has("\"localEndpoint\"") || has("\"remoteEndpoint\"") || has("\"binaryAnnotations\"");
    endpoints || (has("\"parentId\"") && has("\"duration\"") && !has("\"spanId\""))
}

/// Reads all spans of a file.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    json_values::read_side_by_side(input, options, out, decode)
}

fn decode(source: &Source<'_>, out: &mut Telemetry) {
    Decoder::new(out, source).read_values(|decoder, json| {
        let mut span = SpanNode::new(decoder);
        let result = Visit(&mut span).deserialize(json);
        span.finish(result.is_ok());
        result
    });
}

const IDS: IdNames = IdNames { trace: "traceId", span: "id", parent: "parentId", links: "tags" };

const NO_START: &str = "spans skipped: neither a timestamp nor an annotation tells when they began, in positive whole \
     microseconds since the Unix epoch, before the year 2262";
const VERSION_1: &str = "spans skipped: they are in Zipkin's version 1 (`binaryAnnotations`); export them from \
     `/api/v2/traces`, or convert them to version 2";
const NO_DURATION: &str =
    "spans without a duration last from their timestamp to their last annotation, or are taken as of no length";

/// A span, or a list of spans or lists.
struct SpanNode<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    draft: SpanDraft<'de>,
    resource: ResourceFacts,
    resources: Resources,
    timestamp: Scalar<'de>,
    duration: Scalar<'de>,
    annotations: Annotations<'de>,
    local: Endpoint<'de>,
    remote: Endpoint<'de>,
    shared: bool,
    topic: Option<(u8, Scalar<'de>)>,
    error: Scalar<'de>,
    version_1: bool,
    is_object: bool,
}

impl<'d, 'o, 'de> SpanNode<'d, 'o, 'de> {
    fn new(decoder: &'d mut Decoder<'o, 'de>) -> Self {
        Self {
            decoder,
            draft: SpanDraft::default(),
            resource: ResourceFacts::default(),
            resources: Resources::default(),
            timestamp: Scalar::Absent,
            duration: Scalar::Absent,
            annotations: Annotations::default(),
            local: Endpoint::default(),
            remote: Endpoint::default(),
            shared: false,
            topic: None,
            error: Scalar::Absent,
            version_1: false,
            is_object: false,
        }
    }

    fn push(&mut self) -> Result<(), Defect> {
        if self.version_1 {
            return Err(Defect { field: "binaryAnnotations", message: VERSION_1 });
        }
        self.complete();
        let times = self.times()?;
        let resource = self.resource();
        let Decoder { out, source, .. } = &mut *self.decoder;
        self.draft.push(out, source, &IDS, resource, times)
    }

    /// What follows from several fields together.
    fn complete(&mut self) {
        let draft = &mut self.draft;
        if self.shared && draft.kind == SpanKind::Unspecified {
            // Only a server joins a span that another began.
            draft.kind = SpanKind::Server;
        }
        if draft.kind == SpanKind::Unspecified {
            let kind = draft.facts.kind().and_then(semconv::kind);
            draft.kind = kind.unwrap_or_default();
        }
        if draft.parent == draft.id {
            draft.parent = Scalar::Absent;
        }
        let error = std::mem::take(&mut self.error);
        let client_failed = error.as_integer().is_some_and(|code| (400..500).contains(&code));
        if client_failed && draft.kind == SpanKind::Server {
            draft.facts.note("http.status_code", error);
        } else if error != Scalar::Absent {
            draft.facts.note("error", Scalar::Bool(true));
        }
        let remote = std::mem::take(&mut self.remote);
        match draft.kind {
            // The broker, and not whoever is at its other side.
            SpanKind::Producer | SpanKind::Consumer => {
                if let Some(name) = remote.name() {
                    draft.facts.note("messaging.system", Scalar::Text(name));
                }
                if let Some((_, topic)) = self.topic.take() {
                    draft.facts.note("messaging.destination", topic);
                }
            }
            // The caller, which has spans of its own.
            SpanKind::Server => {}
            SpanKind::Client | SpanKind::Internal | SpanKind::Unspecified => {
                // OpenTelemetry's exporters repeat the host or the database here where there is no peer service.
                if let Some(name) = remote.name().filter(|name| !draft.facts.repeats(name)) {
                    draft.facts.note("peer.service", Scalar::Text(name));
                }
                draft.facts.note("network.peer.address", remote.address);
            }
        }
    }

    fn times(&mut self) -> Result<(i64, u64), Defect> {
        let positive = |us: i64| (us > 0).then(|| us.checked_mul(1000)).flatten();
        let stated = match &self.timestamp {
            Scalar::Absent | Scalar::Integer(0) => None,
            other => Some(other.as_integer().and_then(positive)),
        };
        let start = stated.unwrap_or_else(|| self.annotations.first.and_then(positive));
        let start = start.ok_or(Defect { field: "timestamp", message: NO_START })?;
        if self.duration != Scalar::Absent {
            let duration = self.duration.as_integer().and_then(|us| u64::try_from(us).ok()?.checked_mul(1000));
            return Ok((start, duration.ok_or(Defect { field: "duration", message: BAD_DURATION })?));
        }
        let end = self.annotations.last.and_then(positive).map_or(start, |end| end.max(start));
        let place = self.decoder.source.place(self.draft.borrowed().or(self.decoder.near), "duration");
        self.decoder.out.warn(self.decoder.source.path, place, NO_DURATION, 1);
        Ok((start, end.abs_diff(start)))
    }

    fn resource(&mut self) -> ResourceKey {
        if let Some(name) = self.local.name() {
            self.resource.rename(&name);
        }
        self.resources.key(std::mem::take(&mut self.resource), &mut self.decoder.out.spans)
    }
}

impl<'de> Node<'de> for SpanNode<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        self.is_object = true;
        match &*key {
            "traceId" => {
                self.decoder.begin("traceId", &key);
                self.draft.trace = scalar(map)?;
            }
            "id" => {
                self.decoder.begin("id", &key);
                self.draft.id = scalar(map)?;
            }
            "parentId" => self.draft.parent = scalar(map)?,
            "name" => self.draft.name = scalar(map)?,
            "kind" => {
                self.decoder.begin("kind", &key);
                match semconv::kind(&scalar(map)?) {
                    Some(kind) => self.draft.kind = kind,
                    None => self.decoder.odd("spans of unknown kind are taken as unspecified"),
                }
            }
            "timestamp" => self.timestamp = scalar(map)?,
            "duration" => self.duration = scalar(map)?,
            "shared" => self.shared = semconv::is_true(&scalar(map)?),
            "localEndpoint" => {
                self.decoder.begin("localEndpoint", &key);
                self.local = self.endpoint(map)?;
            }
            "remoteEndpoint" => {
                self.decoder.begin("remoteEndpoint", &key);
                self.remote = self.endpoint(map)?;
            }
            "annotations" => {
                self.decoder.begin("annotations", &key);
                let mut annotations = Annotations::default();
                map.next_value_seed(Visit(&mut List(&mut annotations)))?;
                if annotations.wrong {
                    self.decoder.wrong_type("a list of annotations");
                }
                self.annotations = annotations;
            }
            "tags" => {
                self.decoder.begin("tags", &key);
                let mut tags = Tags { span: self, wrong: false };
                map.next_value_seed(Visit(&mut tags))?;
                if tags.wrong {
                    self.decoder.wrong_type("an object of texts");
                }
            }
            "binaryAnnotations" => {
                self.decoder.begin("binaryAnnotations", &key);
                self.version_1 = true;
                ignore(map)?;
            }
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        Some(List(self).read(seq))
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a span or a list of spans");
    }
}

impl<'de> SpanNode<'_, '_, 'de> {
    fn endpoint<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<Endpoint<'de>, A::Error> {
        let mut endpoint = Endpoint::default();
        map.next_value_seed(Visit(&mut endpoint))?;
        if endpoint.wrong {
            self.decoder.wrong_type("an object with `serviceName`");
        }
        Ok(endpoint)
    }
}

impl<'de> Element<'de> for SpanNode<'_, '_, 'de> {
    fn start(&mut self) {
        self.draft = SpanDraft::default();
        self.resource = ResourceFacts::default();
        (self.timestamp, self.duration) = (Scalar::Absent, Scalar::Absent);
        self.annotations = Annotations::default();
        (self.local, self.remote) = (Endpoint::default(), Endpoint::default());
        (self.shared, self.version_1, self.is_object) = (false, false, false);
        (self.topic, self.error) = (None, Scalar::Absent);
    }

    fn finish(&mut self, whole: bool) {
        if whole
            && self.is_object
            && let Err(defect) = self.push()
        {
            let Decoder { out, source, near, .. } = &mut *self.decoder;
            self.draft.skip(out, source, *near, defect);
        }
        self.is_object = false;
    }
}

/// One end of a call.
#[derive(Default)]
struct Endpoint<'de> {
    service: Scalar<'de>,
    address: Scalar<'de>,
    wrong: bool,
}

impl<'de> Endpoint<'de> {
    /// The service's name in lower case, if there is one.
    fn name(&self) -> Option<Cow<'de, str>> {
        let Scalar::Text(name) = &self.service else { return None };
        if name.trim().is_empty() {
            return None;
        }
        let is_lower = !name.chars().any(char::is_uppercase);
        Some(if is_lower { name.clone() } else { Cow::Owned(name.to_lowercase()) })
    }
}

impl<'de> Node<'de> for Endpoint<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "serviceName" => self.service = scalar(map)?,
            "ipv4" | "ipv6" => self.address = scalar(map)?,
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.wrong = true;
    }
}

/// When the first and the last annotation were made, microseconds.
#[derive(Default)]
struct Annotations<'de> {
    first: Option<i64>,
    last: Option<i64>,
    timestamp: Scalar<'de>,
    wrong: bool,
}

impl<'de> Node<'de> for Annotations<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "timestamp" => self.timestamp = scalar(map)?,
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.wrong = true;
    }
}

impl<'de> Element<'de> for Annotations<'de> {
    fn start(&mut self) {
        self.timestamp = Scalar::Absent;
    }

    fn finish(&mut self, whole: bool) {
        let at = self.timestamp.as_integer().filter(|&us| whole && us > 0);
        if let Some(at) = at {
            self.first = Some(self.first.map_or(at, |first| first.min(at)));
            self.last = Some(self.last.map_or(at, |last| last.max(at)));
        }
    }
}

struct Tags<'s, 'd, 'o, 'de> {
    span: &'s mut SpanNode<'d, 'o, 'de>,
    wrong: bool,
}

impl<'de> Node<'de> for Tags<'_, '_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let value = scalar(map)?;
        let span = &mut *self.span;
        if span.decoder.source.sampling_attribute == Some(&*key) {
            span.draft.facts.note_sampling(&key, value.clone());
        }
        match &*key {
            "error" => span.error = value,
            // Brave's databases name no system.
            "sql.query" => span.draft.facts.note("db.type", Scalar::Text(Cow::Borrowed("sql"))),
            "mongodb.collection" => span.draft.facts.note("db.type", Scalar::Text(Cow::Borrowed("mongodb"))),
            name if name.starts_with("otlp.link.") => span.draft.links.push(link(&value)),
            name => {
                if let Some(rank) = topic_rank(name)
                    && value.as_text().is_some_and(|text| !text.trim().is_empty())
                {
                    if span.topic.as_ref().is_none_or(|(known, _)| rank < *known) {
                        span.topic = Some((rank, value));
                    }
                } else if semconv::is_span_attribute(name) {
                    span.draft.facts.note(name, value);
                } else {
                    span.resource.note(name, value);
                }
            }
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.wrong = true;
    }
}

/// The tags of Brave's messaging instrumentation that name a topic or queue, the one that both sides know first.
fn topic_rank(tag: &str) -> Option<u8> {
    ["kafka.topic", "jms.topic", "jms.queue", "rabbit.exchange", "rabbit.routing_key", "rabbit.queue"]
        .iter()
        .zip(0..)
        .find_map(|(name, rank)| (tag == *name).then_some(rank))
}

/// Trace and span of a link as OpenTelemetry's collector writes it: `trace|span|state|attributes|dropped`.
fn link<'de>(value: &Scalar<'de>) -> (Scalar<'de>, Scalar<'de>) {
    let part = |index: usize| match value {
        Scalar::Text(Cow::Borrowed(text)) => text.split('|').nth(index).map(|part| Scalar::Text(part.into())),
        Scalar::Text(Cow::Owned(text)) => text.split('|').nth(index).map(|part| Scalar::Text(part.to_owned().into())),
        _ => None,
    };
    (part(0).unwrap_or_default(), part(1).unwrap_or_default())
}
