//! The fields of a JSON object under plain names: nested objects by their path, names without case and punctuation.
//!
//! `{"trace": {"id": 7}}`, `trace.id`, `trace_id` and `traceId` are all `traceid`. Used where many programs write one kind of
//! record, each with its own spelling.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use super::json_stream::{Node, Scalar, Visit, ignore};

/// Whoever takes fields.
pub(super) trait PlainFields<'de> {
    /// Objects whose members count as if they stood outside.
    const TRANSPARENT: &'static [&'static str];
    /// Takes a field by its plain name. The elements of a list come one after the other under one name.
    fn note(&mut self, name: &str, value: Scalar<'de>);
}

/// Names longer than this are none that we know.
const MAX_NAME: usize = 64;
/// Objects nested deeper are passed over.
const MAX_DEPTH: usize = 4;
/// Elements of a list beyond these are passed over.
const MAX_ITEMS: usize = 64;

/// Adds a name as it is compared: small letters and digits, and the `@` that some put before their own names.
pub(super) fn push_plain(name: &str, path: &mut String) {
    for c in name.chars().take(MAX_NAME) {
        if c.is_ascii_alphanumeric() || c == '@' {
            path.push(c.to_ascii_lowercase());
        }
    }
}

/// Hands the fields of the object to `fields`; whether the text is a whole object. What stands before broken syntax is
/// handed over all the same.
pub(super) fn read<'de, F: PlainFields<'de>>(text: &'de str, fields: &mut F) -> bool {
    let mut json = serde_json::Deserializer::from_str(text);
    let (mut path, mut depth) = (String::new(), 0);
    let mut node = FieldNode { fields, path: &mut path, own: 0, depth: &mut depth };
    Visit(&mut node).deserialize(&mut json).and_then(|()| json.end()).is_ok()
}

/// The value of a field, or the record itself.
struct FieldNode<'f, 'p, F> {
    fields: &'f mut F,
    /// Plain names of the objects around the value and of the value.
    path: &'p mut String,
    /// Where in `path` the value's own name begins.
    own: usize,
    depth: &'p mut usize,
}

impl<'de, F: PlainFields<'de>> Node<'de> for FieldNode<'_, '_, F> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        if *self.depth >= MAX_DEPTH {
            return ignore(map);
        }
        let length = self.path.len();
        let name = self.path.get(self.own..).unwrap_or_default();
        if F::TRANSPARENT.contains(&name) {
            // The members' names stand where the object's stood, for as long as the member lasts.
            let (hidden, own) = (name.to_owned(), self.own);
            self.path.truncate(own);
            let result = self.member(&key, map);
            self.path.truncate(own);
            self.path.push_str(&hidden);
            return result;
        }
        let result = self.member(&key, map);
        self.path.truncate(length);
        result
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        // A list that is the whole text holds no fields.
        (*self.depth > 0).then(|| self.each(seq))
    }

    fn scalar(&mut self, value: Scalar<'de>) -> bool {
        self.fields.note(self.path, value);
        true
    }

    fn wrong(&mut self) {}
}

impl<'de, F: PlainFields<'de>> FieldNode<'_, '_, F> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let own = self.path.len();
        push_plain(key, self.path);
        *self.depth += 1;
        let mut node = FieldNode { fields: &mut *self.fields, path: &mut *self.path, own, depth: &mut *self.depth };
        let result = map.next_value_seed(Visit(&mut node));
        *self.depth -= 1;
        result
    }

    fn each<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<(), A::Error> {
        let mut taken = 0;
        loop {
            let mut item = Scalar::Absent;
            if seq.next_element_seed(Visit(&mut item))?.is_none() {
                return Ok(());
            }
            if taken < MAX_ITEMS && !matches!(item, Scalar::Nested | Scalar::Absent) {
                self.fields.note(self.path, item);
                taken += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct All(Vec<(String, Option<String>)>);

    impl<'de> PlainFields<'de> for All {
        const TRANSPARENT: &'static [&'static str] = &["labels"];

        fn note(&mut self, name: &str, value: Scalar<'de>) {
            self.0.push((name.to_owned(), value.into_text().map(Cow::into_owned)));
        }
    }

    fn check(text: &str, whole: bool, expected: &[(&str, &str)]) {
        let mut all = All::default();
        assert_eq!(read(text, &mut all), whole, "{text}");
        let actual: Vec<(&str, &str)> =
            all.0.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or("-"))).collect();
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn names_are_plain_and_nested_ones_are_paths() {
        check(
            r#"{"trace_id":"a","trace":{"id":"b"},"Trace.ID":7}"#,
            true,
            &[("traceid", "a"), ("traceid", "b"), ("traceid", "7")],
        );
        check(
            r#"{"labels":{"app":"a","pod":{"name":"p"}},"x":1}"#,
            true,
            &[("app", "a"), ("podname", "p"), ("x", "1")],
        );
        check(r#"{"x":{"labels":{"app":"a"},"y":2},"z":3}"#, true, &[("xapp", "a"), ("xy", "2"), ("z", "3")]);
        check(r#"{"tags":["a",{"b":1},"c"],"n":null}"#, true, &[("tags", "a"), ("tags", "c"), ("n", "-")]);
        check(r#"{"a":{"b":{"c":{"d":1,"e":{"f":2}}}},"g":1}"#, true, &[("abcd", "1"), ("g", "1")]);
        check(r#"{"a":1,"b":"#, false, &[("a", "1")]);
        check("[1]", true, &[]);
        check("", false, &[]);
    }
}
