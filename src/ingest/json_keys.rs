//! The keys of the first row of a JSON file, as far as its beginning shows them: what a header is to other tables.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use super::json_stream::{Node, Visit, ignore};

/// Keys of the first object: that on the first line, the first of a list, or the first in `data` (ClickHouse's
/// `FORMAT JSON`).
pub(crate) fn first_row_keys(head: &[u8]) -> Vec<String> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end within a character.
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    let mut keys = FirstRow { keys: Vec::new(), is_wrapper: false, done: false };
    if text.trim_ascii_start().starts_with(['{', '[']) {
        // A head that is cut off gives the keys before the cut.
        Visit(&mut keys).deserialize(&mut serde_json::Deserializer::from_str(text)).ok();
    }
    keys.keys
}

/// More keys are no table.
const MAX_KEYS: usize = 1024;

struct FirstRow {
    keys: Vec<String>,
    is_wrapper: bool,
    done: bool,
}

impl<'de> Node<'de> for FirstRow {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        if self.done {
            return ignore(map);
        }
        match &*key {
            "meta" if self.keys.is_empty() => {
                self.is_wrapper = true;
                ignore(map)
            }
            "data" if self.is_wrapper || self.keys.is_empty() => {
                map.next_value_seed(Visit(&mut *self))?;
                self.done = true;
                Ok(())
            }
            _ => {
                if self.keys.len() < MAX_KEYS {
                    self.keys.push(key.into_owned());
                }
                ignore(map)
            }
        }
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        while !self.done {
            match seq.next_element_seed(Visit(&mut *self)) {
                Ok(Some(())) => self.done |= !self.keys.is_empty(),
                Ok(None) => return Some(Ok(())),
                Err(error) => return Some(Err(error)),
            }
        }
        // The rest does not matter, and neither does the error of a list that was not read to its end.
        Some(Ok(()))
    }

    fn wrong(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::first_row_keys;

    #[test]
    fn the_first_row_tells_the_columns() {
        for (text, expected) in [
            ("{\"a\":1,\"b\":{\"c\":2}}\n{\"d\":3}", &["a", "b"][..]),
            ("[{\"a\":1},{\"b\":1}]", &["a"]),
            ("{\"meta\":[{\"name\":\"a\"}],\"data\":[{\"a\":1},{\"b\":2}],\"rows\":2}", &["a"]),
            ("{\"a\":1,\"b\":\"cut", &["a", "b"]),
            ("{\"a\":\"\u{e9}", &["a"]),
            ("[[{\"a\":1}]]", &["a"]),
            ("a,b\n", &[]),
            ("5", &[]),
            ("", &[]),
        ] {
            assert_eq!(first_row_keys(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(first_row_keys(b"{\"a\":\"\xc3"), ["a"]);
    }
}
