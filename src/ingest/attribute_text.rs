//! Attributes as an object: of JSON, nested or with dots in its names, as text in a column, or as ClickHouse writes a
//! map into text (`{'service.name':'cart'}`).

use std::borrow::Cow;

use serde::de::{DeserializeSeed, MapAccess};

use super::json_stream::{Node, Scalar, Visit};

/// Takes an attribute: its name, with dots between the levels of nested objects, and its value.
pub(crate) type Note<'n, 'de> = &'n mut dyn FnMut(&str, Scalar<'de>);

/// What is told where a column of attributes holds something else.
pub(crate) const NO_ATTRIBUTES: &str = "attributes left out: they must be an object of JSON, or a map";

/// The value of the current field as attributes. Returns whether it was an object, null, or a text that holds one.
pub(crate) fn read_object<'de, A: MapAccess<'de>>(map: &mut A, note: Note<'_, 'de>) -> Result<bool, A::Error> {
    let mut object = Object { path: String::new(), note, is_object: true };
    map.next_value_seed(Visit(&mut object))?;
    Ok(object.is_object)
}

/// Attributes in a text. Returns whether it holds an object, or nothing.
pub(crate) fn read_text(text: &str, note: Note<'_, 'static>) -> bool {
    let text = text.trim();
    if text.is_empty() {
        return true;
    }
    if text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('\'')) {
        return read_map_literal(text, note).is_some();
    }
    let mut owned = |name: &str, value: Scalar<'_>| note(name, value.into_owned());
    let mut object = Object { path: String::new(), note: &mut owned, is_object: true };
    let mut json = serde_json::Deserializer::from_str(text);
    text.starts_with('{') && Visit(&mut object).deserialize(&mut json).is_ok() && object.is_object
}

/// An object, or a value within one.
struct Object<'n, 'de> {
    path: String,
    note: Note<'n, 'de>,
    is_object: bool,
}

impl<'de> Node<'de> for Object<'_, 'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(&key);
        let result = map.next_value_seed(Visit(&mut *self));
        self.path.truncate(outer);
        result
    }

    fn scalar(&mut self, value: Scalar<'de>) -> bool {
        if !self.path.is_empty() {
            (self.note)(&self.path, value);
        } else if let Scalar::Text(text) = &value {
            let note = &mut *self.note;
            self.is_object = read_text(text, &mut |name, value| note(name, value));
        } else {
            self.is_object = value == Scalar::Absent;
        }
        true
    }

    fn wrong(&mut self) {
        // A list: of no use as an attribute, and none of attributes.
        self.is_object &= !self.path.is_empty();
    }
}

/// ClickHouse's text of a map from text to text: quotes are single, a backslash keeps the next character.
fn read_map_literal(text: &str, note: Note<'_, 'static>) -> Option<()> {
    let mut rest = text.strip_prefix('{')?.trim_start();
    while !rest.starts_with('}') {
        let (name, after) = quoted(rest)?;
        let (value, after) = quoted(after.trim_start().strip_prefix(':')?.trim_start())?;
        note(&name, Scalar::Text(Cow::Owned(value)));
        rest = after.trim_start();
        rest = rest.strip_prefix(',').map_or(rest, str::trim_start);
    }
    Some(())
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('\'')?;
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<String>> {
        let mut noted = Vec::new();
        let whole = read_text(text, &mut |name, value| {
            noted.push(format!("{name}={}", value.into_text().unwrap_or_else(|| "-".into())));
        });
        whole.then_some(noted)
    }

    #[test]
    fn nested_names_are_joined_with_dots() {
        let nested =
            r#"{"service":{"name":"cart","list":[1]},"http.status_code":500,"deep":{"a":{"b":true}},"no":null}"#;
        let expected = ["service.name=cart", "http.status_code=500", "deep.a.b=true", "no=-"];
        assert_eq!(read(nested), Some(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn maps_in_the_text_of_clickhouse() {
        // As ClickHouse 26.9 writes it into CSV.
        let text = r"{'service.name':'front','it\'s':'a\\b', 'n':'1'}";
        let expected = ["service.name=front", r"it's=a\b", "n=1"];
        assert_eq!(read(text), Some(expected.map(str::to_owned).to_vec()));
        assert_eq!(read("{}"), Some(Vec::new()));
        assert_eq!(read(""), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_object_says_so() {
        for text in ["5", "[1]", "{'a'", "{'a':'b", "{'a':5}", "{\"a\":", "text", "\"{}\"", "'a':'b'"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
