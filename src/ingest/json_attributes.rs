//! Attributes as lists of objects with `key` and `value`: OTLP's, with typed values, and Jaeger's tags.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::json_stream::{Decoder, Element, List, Node, Scalar, Visit, ignore, scalar};
use super::semconv::{self, ResourceFacts, SpanFacts};

/// Whoever takes attributes.
pub(crate) trait Facts<'de> {
    /// Whether the value of an attribute of that name is worth decoding.
    fn wants(name: &str) -> bool;
    /// Takes an attribute.
    fn note(&mut self, name: &str, value: Scalar<'de>);
    /// Takes the attribute that tells how spans were sampled.
    fn note_sampling(&mut self, _name: &str, _value: Scalar<'de>) {}
}

impl<'de> Facts<'de> for SpanFacts<'de> {
    fn wants(name: &str) -> bool {
        semconv::is_span_attribute(name)
    }

    fn note(&mut self, name: &str, value: Scalar<'de>) {
        SpanFacts::note(self, name, value);
    }

    fn note_sampling(&mut self, name: &str, value: Scalar<'de>) {
        SpanFacts::note_sampling(self, name, value);
    }
}

impl<'de> Facts<'de> for ResourceFacts {
    fn wants(_name: &str) -> bool {
        true
    }

    fn note(&mut self, name: &str, value: Scalar<'de>) {
        ResourceFacts::note(self, name, value);
    }
}

/// Reads the value of the current field as a list of attributes into `facts`.
pub(crate) fn read_attributes<'de, A: MapAccess<'de>, F: Facts<'de>>(
    map: &mut A,
    facts: &mut F,
    decoder: &mut Decoder<'_, 'de>,
) -> Result<(), A::Error> {
    let sampling = decoder.source.sampling_attribute;
    let mut attribute = Attribute { key: Scalar::Absent, value: Scalar::Absent, facts, sampling, wrong: false };
    map.next_value_seed(Visit(&mut List(&mut attribute)))?;
    if attribute.wrong {
        decoder.wrong_type("a list of attributes, objects with `key` and `value`");
    }
    Ok(())
}

struct Attribute<'f, 'de, F> {
    key: Scalar<'de>,
    value: Scalar<'de>,
    facts: &'f mut F,
    sampling: Option<&'f str>,
    wrong: bool,
}

impl<'de, F: Facts<'de>> Node<'de> for Attribute<'_, 'de, F> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "key" => self.key = scalar(map)?,
            "value" => match &self.key {
                Scalar::Text(name) if !F::wants(name) && self.sampling != Some(name) => ignore(map)?,
                _ => {
                    let mut value = AnyValue(Scalar::Absent);
                    map.next_value_seed(Visit(&mut value))?;
                    self.value = value.0;
                }
            },
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn wrong(&mut self) {
        self.wrong = true;
    }
}

impl<'de, F: Facts<'de>> Element<'de> for Attribute<'_, 'de, F> {
    fn start(&mut self) {
        self.key = Scalar::Absent;
        self.value = Scalar::Absent;
    }

    fn finish(&mut self, whole: bool) {
        let value = std::mem::take(&mut self.value);
        if let (true, Some(name)) = (whole, self.key.as_text()) {
            if self.sampling == Some(name) {
                self.facts.note_sampling(name, value.clone());
            }
            self.facts.note(name, value);
        }
    }
}

/// A value of OTLP (`{"stringValue": …}`), or simply a scalar.
struct AnyValue<'de>(Scalar<'de>);

impl<'de> Node<'de> for AnyValue<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "stringValue" | "string_value" | "boolValue" | "bool_value" => self.0 = scalar(map)?,
            // 64-bit integers come as text, and whole floats as integers: their type is told by the key alone.
            "intValue" | "int_value" => {
                let value = scalar(map)?;
                self.0 = value.as_integer().map_or(value, Scalar::Integer);
            }
            "doubleValue" | "double_value" => {
                let value = scalar(map)?;
                self.0 = value.as_number().map_or(value, Scalar::Float);
            }
            _ => ignore(map)?,
        }
        Ok(())
    }

    fn scalar(&mut self, value: Scalar<'de>) -> bool {
        self.0 = value;
        true
    }

    fn wrong(&mut self) {}
}
