//! The logs of OTLP JSON: the part of a message under `resourceLogs`. What a record means is told by [`LogDraft`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{MapAccess, SeqAccess};

use super::ids;
use super::json_attributes::read_attributes;
use super::json_stream::{Decoder, Element, List, Node, Scalar, Visit, ignore, scalar};
use super::log_draft::{BodyValue, LogDraft, LogResource, NO_MESSAGE, NO_SERVICE};
use crate::telemetry::logs::LogServiceKey;

/// The records of one resource.
pub(super) struct ResourceLogs<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    first: usize,
    resource: LogResource,
}

impl<'d, 'o, 'de> ResourceLogs<'d, 'o, 'de> {
    pub(super) fn new(decoder: &'d mut Decoder<'o, 'de>) -> Self {
        Self { decoder, first: 0, resource: LogResource::default() }
    }
}

impl<'de> Node<'de> for ResourceLogs<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "resource" => {
                self.decoder.begin("resource", &key);
                let mut node = Resource { decoder: self.decoder, resource: &mut self.resource };
                map.next_value_seed(Visit(&mut node))
            }
            "scopeLogs" | "scope_logs" | "instrumentationLibraryLogs" | "instrumentation_library_logs" => {
                self.decoder.begin("scopeLogs", &key);
                map.next_value_seed(Visit(&mut List(&mut ScopeLogs(self.decoder))))
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of objects");
    }
}

impl<'de> Element<'de> for ResourceLogs<'_, '_, 'de> {
    fn start(&mut self) {
        self.first = self.decoder.out.logs.len();
        self.resource = LogResource::default();
    }

    fn finish(&mut self, _whole: bool) {
        // Only now, because the resource may stand after its records.
        let Decoder { out, source, near, .. } = &mut *self.decoder;
        if out.logs.len() == self.first {
            return;
        }
        match self.resource.key(&mut out.logs) {
            Some(service) => out.logs.set_service(self.first, service),
            None => {
                let lost = out.logs.truncate(self.first) as u64;
                out.skipped += lost;
                out.warn(source.path, source.place(*near, "resource"), NO_SERVICE, lost);
            }
        }
    }
}

struct Resource<'d, 'o, 'de, 'r> {
    decoder: &'d mut Decoder<'o, 'de>,
    resource: &'r mut LogResource,
}

impl<'de> Node<'de> for Resource<'_, '_, 'de, '_> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "attributes" => {
                self.decoder.begin("attributes", &key);
                read_attributes(map, self.resource, self.decoder)
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("an object");
    }
}

struct ScopeLogs<'d, 'o, 'de>(&'d mut Decoder<'o, 'de>);

impl<'de> Node<'de> for ScopeLogs<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "logRecords" | "log_records" | "logs" => {
                self.0.begin("logRecords", &key);
                let mut record = RecordNode { decoder: self.0, draft: LogDraft::default(), level: Level::default() };
                map.next_value_seed(Visit(&mut List(&mut record)))
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.0.wrong_type("a list of objects");
    }
}

impl<'de> Element<'de> for ScopeLogs<'_, '_, 'de> {
    fn start(&mut self) {}

    fn finish(&mut self, _whole: bool) {}
}

#[derive(Default)]
struct Level<'de> {
    number: Scalar<'de>,
    text: Scalar<'de>,
    is_object: bool,
}

struct RecordNode<'d, 'o, 'de> {
    decoder: &'d mut Decoder<'o, 'de>,
    draft: LogDraft<'de>,
    level: Level<'de>,
}

impl<'de> Node<'de> for RecordNode<'_, '_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        self.level.is_object = true;
        match &*key {
            "timeUnixNano" | "time_unix_nano" => {
                self.decoder.begin("timeUnixNano", &key);
                self.draft.time_ns = scalar(map)?.as_integer().unwrap_or_default();
            }
            "observedTimeUnixNano" | "observed_time_unix_nano" => {
                self.draft.observed_ns = scalar(map)?.as_integer().unwrap_or_default();
            }
            "severityNumber" | "severity_number" => self.level.number = scalar(map)?,
            "severityText" | "severity_text" => self.level.text = scalar(map)?,
            "eventName" | "event_name" => self.draft.event = scalar(map)?.into_text().unwrap_or_default(),
            "traceId" | "trace_id" => self.draft.trace = scalar(map)?.as_text().and_then(ids::trace_id),
            "body" => {
                self.decoder.begin("body", &key);
                let mut body = Body(None);
                map.next_value_seed(Visit(&mut body))?;
                if let Some(body) = body.0 {
                    self.draft.set_body(body);
                }
            }
            "attributes" => {
                self.decoder.begin("attributes", &key);
                read_attributes(map, &mut self.draft, self.decoder)?;
            }
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.decoder.wrong_type("a list of log records");
    }
}

impl<'de> Element<'de> for RecordNode<'_, '_, 'de> {
    fn start(&mut self) {
        self.draft = LogDraft::default();
        self.level = Level::default();
    }

    fn finish(&mut self, whole: bool) {
        if !whole || !self.level.is_object {
            return;
        }
        let number = self.level.number.as_integer().unwrap_or_default();
        let named = self.level.text.as_text().or(self.level.number.as_text()).unwrap_or_default();
        // An enum by its name: `SEVERITY_NUMBER_ERROR`.
        let named = named.strip_prefix("SEVERITY_NUMBER_").unwrap_or(named);
        self.draft.judge(number, named);
        let Decoder { out, source, near, .. } = &mut *self.decoder;
        // The service is set when all records of the resource are there.
        if let Err(problem) = self.draft.push(&mut out.logs, LogServiceKey(0)) {
            let field = if problem == NO_MESSAGE { "body" } else { "timeUnixNano" };
            out.skip(source.path, source.place(*near, field), problem);
        }
    }
}

/// A value of OTLP of any type.
struct Body<'de>(Option<BodyValue<'de>>);

impl<'de> Node<'de> for Body<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "kvlistValue" | "kvlist_value" => {
                let mut members = Members { values: BTreeMap::new(), key: None, value: Body(None) };
                map.next_value_seed(Visit(&mut Values(&mut List(&mut members))))?;
                self.0 = Some(BodyValue::Map(members.values));
                Ok(())
            }
            "arrayValue" | "array_value" => {
                let mut items = Items(Vec::new());
                map.next_value_seed(Visit(&mut Values(&mut items)))?;
                self.0 = Some(BodyValue::List(items.0));
                Ok(())
            }
            _ => {
                self.0 = scalar(map)?.into_text().map(BodyValue::Text);
                Ok(())
            }
        }
    }

    fn scalar(&mut self, value: Scalar<'de>) -> bool {
        self.0 = value.into_text().map(BodyValue::Text);
        true
    }

    fn wrong(&mut self) {}
}

/// The object with one list `values` that OTLP puts around lists.
struct Values<'n, N>(&'n mut N);

impl<'de, N: Node<'de>> Node<'de> for Values<'_, N> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "values" => map.next_value_seed(Visit(self.0)),
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {}
}

struct Members<'de> {
    values: BTreeMap<String, BodyValue<'de>>,
    key: Option<String>,
    value: Body<'de>,
}

impl<'de> Node<'de> for Members<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "key" => self.key = scalar(map)?.into_text().map(Cow::into_owned),
            "value" => map.next_value_seed(Visit(&mut self.value))?,
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {}
}

impl<'de> Element<'de> for Members<'de> {
    fn start(&mut self) {
        self.key = None;
        self.value = Body(None);
    }

    fn finish(&mut self, whole: bool) {
        if let (true, Some(key), Some(value)) = (whole, self.key.take(), self.value.0.take()) {
            self.values.insert(key, value);
        }
    }
}

struct Items<'de>(Vec<BodyValue<'de>>);

impl<'de> Node<'de> for Items<'de> {
    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        let mut each = || {
            loop {
                let mut item = Body(None);
                if seq.next_element_seed(Visit(&mut item))?.is_none() {
                    return Ok(());
                }
                self.0.extend(item.0);
            }
        };
        Some(each())
    }

    fn wrong(&mut self) {}
}
