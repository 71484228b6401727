//! Reading JSON as it streams by: values are handed to nodes, nothing is built that nobody asked for.
//!
//! A [`Node`] is what stands where a value is expected. A value of the wrong type is passed over and reported to the
//! node, so that one odd value does not cost the rest of a message; only broken syntax ends it.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::StrRead;

use super::Telemetry;

/// A JSON value that is neither object nor list.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) enum Scalar<'de> {
    /// Null, or not there.
    #[default]
    Absent,
    Text(Cow<'de, str>),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// An object or a list, which was passed over.
    Nested,
}

impl<'de> Scalar<'de> {
    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text, or a number or truth value as text; `None` when absent or nested.
    pub(crate) fn into_text(self) -> Option<Cow<'de, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(number) => Some(number.to_string().into()),
            Self::Float(number) => Some(number.to_string().into()),
            Self::Bool(value) => Some(value.to_string().into()),
            Self::Absent | Self::Nested => None,
        }
    }

    /// A whole number, given as such, as text (64-bit integers in protobuf's JSON) or as a float without fraction.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Float(number) => whole(*number),
            Self::Text(text) => text.parse().ok().or_else(|| text.parse().ok().and_then(whole)),
            Self::Absent | Self::Bool(_) | Self::Nested => None,
        }
    }

    /// The same value, its text copied.
    pub(crate) fn into_owned(self) -> Scalar<'static> {
        match self {
            Self::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Self::Integer(number) => Scalar::Integer(number),
            Self::Float(number) => Scalar::Float(number),
            Self::Bool(value) => Scalar::Bool(value),
            Self::Absent => Scalar::Absent,
            Self::Nested => Scalar::Nested,
        }
    }

    /// A number, given as such or as text (`"Infinity"` and `"NaN"` in protobuf's JSON).
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Absent | Self::Bool(_) | Self::Nested => None,
        }
    }

    /// The piece of the source that the value was borrowed from.
    pub(crate) fn borrowed(&self) -> Option<&'de str> {
        match self {
            Self::Text(Cow::Borrowed(text)) => Some(text),
            _ => None,
        }
    }
}

fn whole(number: f64) -> Option<i64> {
    // Below 2^63, so that the cast is exact.
    (number.fract().abs() < f64::EPSILON && number.abs() < 9.2e18).then_some(number as i64)
}

/// Receives the value that stands in its place.
pub(crate) trait Node<'de> {
    /// A member of an object: take its value from `map`.
    fn field<A: MapAccess<'de>>(&mut self, _key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        ignore(map)
    }

    /// Whether an object may stand here; if not, [`Node::wrong`] hears of it.
    fn takes_object(&self) -> bool {
        true
    }

    /// A list: take its elements. `None`: a list may not stand here.
    fn items<A: SeqAccess<'de>>(&mut self, _seq: &mut A) -> Option<Result<(), A::Error>> {
        None
    }

    /// A value other than object and list. Returns whether it may stand here; null always may.
    fn scalar(&mut self, value: Scalar<'de>) -> bool {
        value == Scalar::Absent
    }

    /// A value of a type that may not stand here was passed over.
    fn wrong(&mut self);
}

/// Hands the value to the node.
pub(crate) struct Visit<'n, N>(pub(crate) &'n mut N);

impl<N> Visit<'_, N> {
    fn scalar<'de>(self, value: Scalar<'de>)
    where
        N: Node<'de>,
    {
        if !self.0.scalar(value) {
            self.0.wrong();
        }
    }
}

impl<'de, N: Node<'de>> DeserializeSeed<'de> for Visit<'_, N> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, N: Node<'de>> Visitor<'de> for Visit<'_, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if !self.0.takes_object() {
            self.0.wrong();
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        while let Some(key) = map.next_key_seed(Text)? {
            self.0.field(key, &mut map)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if let Some(result) = self.0.items(&mut seq) {
            return result;
        }
        self.0.wrong();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.scalar(Scalar::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.scalar(Scalar::Integer(number));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.scalar(i64::try_from(number).map_or(Scalar::Float(number as f64), Scalar::Integer));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(number));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar(Scalar::Absent);
        Ok(())
    }
}

/// A node that stands for one element of a list after the other.
pub(crate) trait Element<'de>: Node<'de> {
    /// An element may follow: forget the one before.
    fn start(&mut self);

    /// The element was read to its end if it is `whole`; else the syntax broke within it, or the list ended before it.
    fn finish(&mut self, whole: bool);
}

/// A list of elements.
pub(crate) struct List<'n, N>(pub(crate) &'n mut N);

impl<'de, N: Element<'de>> List<'_, N> {
    /// Hands every element to the node.
    pub(crate) fn read<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<(), A::Error> {
        loop {
            self.0.start();
            match seq.next_element_seed(Visit(self.0)) {
                Ok(Some(())) => self.0.finish(true),
                Ok(None) => {
                    self.0.finish(false);
                    return Ok(());
                }
                Err(error) => {
                    self.0.finish(false);
                    return Err(error);
                }
            }
        }
    }
}

impl<'de, N: Element<'de>> Node<'de> for List<'_, N> {
    fn takes_object(&self) -> bool {
        false
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        Some(self.read(seq))
    }

    fn wrong(&mut self) {
        self.0.wrong();
    }
}

/// Takes whatever scalar comes.
impl<'de> Node<'de> for Scalar<'de> {
    fn takes_object(&self) -> bool {
        false
    }

    fn scalar(&mut self, value: Scalar<'de>) -> bool {
        *self = value;
        true
    }

    fn wrong(&mut self) {
        *self = Scalar::Nested;
    }
}

/// The value of the current field as a scalar.
pub(crate) fn scalar<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Scalar<'de>, A::Error> {
    let mut value = Scalar::Absent;
    map.next_value_seed(Visit(&mut value))?;
    Ok(value)
}

/// Passes over the value of the current field.
pub(crate) fn ignore<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// A text, borrowed from the source unless it holds escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A piece of a file that is being decoded, for telling where in the file a value stands and what the user said of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'s> {
    pub(crate) path: &'s Path,
    /// The piece.
    pub(crate) text: &'s str,
    /// Its line, when the piece is one line; `None` when it is the whole file.
    pub(crate) line: Option<u64>,
    /// The attribute that tells how spans were sampled, see [`super::ReadOptions::sampling_attribute`].
    pub(crate) sampling_attribute: Option<&'s str>,
}

impl Source<'_> {
    /// The place of a value, from the piece of text that it was borrowed from, with its field.
    pub(crate) fn place(&self, borrowed: Option<&str>, field: &str) -> String {
        let offset = borrowed.and_then(|piece| {
            let offset = piece.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
            (offset < self.text.len()).then_some(offset)
        });
        let place = match (self.line, offset) {
            (Some(line), _) => format!("line {line}"),
            (None, Some(byte)) => format!("byte {byte}"),
            (None, None) => String::new(),
        };
        // A value that is a whole message stands in no field.
        match (place.is_empty(), field.is_empty()) {
            (_, true) => place,
            (true, false) => format!("field `{field}`"),
            (false, false) => format!("{place}, field `{field}`"),
        }
    }

    /// Place and problem of broken syntax.
    pub(crate) fn syntax(&self, error: &serde_json::Error) -> (String, String) {
        let (line, column) = (error.line(), error.column());
        let problem = error.to_string();
        let problem = problem.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&problem);
        let line = self.line.map_or(line as u64, |first| first + line.saturating_sub(1) as u64);
        let problem = match error.classify() {
            serde_json::error::Category::Eof => {
                format!("the JSON is cut off ({problem}); what stood before is kept")
            }
            _ => format!("broken JSON: {problem}"),
        };
        (format!("line {line}, column {column}"), problem)
    }
}

/// What all nodes of one decoding share: where spans and warnings go, and where in the source we are.
pub(crate) struct Decoder<'o, 'de> {
    pub(crate) out: &'o mut Telemetry,
    pub(crate) source: &'o Source<'de>,
    /// The field that was begun last, for messages.
    field: &'static str,
    /// Its key in the source, for places.
    pub(crate) near: Option<&'de str>,
}

impl<'o, 'de> Decoder<'o, 'de> {
    pub(crate) fn new(out: &'o mut Telemetry, source: &'o Source<'de>) -> Self {
        Self { out, source, field: "", near: None }
    }

    /// Remembers the field for messages.
    #[allow(clippy::ptr_arg, reason = "only a borrowed key tells its place, and with `&str` that could not be told")]
    pub(crate) fn begin(&mut self, field: &'static str, key: &Cow<'de, str>) {
        self.field = field;
        if let Cow::Borrowed(key) = key {
            self.near = Some(key);
        }
    }

    /// A value of the wrong type was left out.
    pub(crate) fn wrong_type(&mut self, expected: &str) {
        let place = self.source.place(self.near, self.field);
        self.out.skip(self.source.path, place, &format!("values left out: the field must be {expected}"));
    }

    /// Notes something odd about the current field.
    pub(crate) fn odd(&mut self, message: &str) {
        self.out.warn(self.source.path, self.source.place(self.near, self.field), message, 1);
    }

    /// Reads the values of the source one after the other with `read`, until broken syntax ends it.
    pub(crate) fn read_values<F>(&mut self, mut read: F)
    where
        F: FnMut(&mut Self, &mut serde_json::Deserializer<StrRead<'de>>) -> serde_json::Result<()>,
    {
        let mut json = serde_json::Deserializer::from_str(self.source.text);
        // `end` is an error as long as there is another value.
        while json.end().is_err() {
            if let Err(error) = read(self, &mut json) {
                let (place, problem) = self.source.syntax(&error);
                if error.is_eof() && self.source.line.is_none() {
                    self.out.cut(self.source.path);
                }
                self.out.skip(self.source.path, format!("{place}, near field `{}`", self.field), &problem);
                return;
            }
        }
    }
}
