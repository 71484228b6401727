//! JSON whose strings cannot grow without bound: a name of ten megabytes must not make a report of ten megabytes, and
//! it must still be the same name in every place where it stands.
//!
//! This sits in serde_json's formatter and not at the fields, so that no field can be forgotten.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, PrettyFormatter};

/// A longer string is cut to so many bytes of UTF-8 (less up to three, at a character's end).
const MOST_BYTES: usize = 4096;

/// FNV-1a, 64 bits (Fowler, Noll, Vo; <http://www.isthe.com/chongo/tech/comp/fnv/>): a few lines in any language, so that
/// a reader can compute it of the whole name.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Writes pretty JSON; a string of more than 4096 bytes becomes its beginning followed by
/// `…[<length> bytes, fnv1a <16 hexadecimal digits>]`, length and digest being those of the whole string.
pub(super) fn write<T: Serialize>(value: &T, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, Bounded::default());
    value.serialize(&mut serializer).map_err(io::Error::from)
}

#[derive(Default)]
struct Bounded {
    pretty: PrettyFormatter<'static>,
    /// Bytes of the string at hand, and how many of them were written.
    length: usize,
    written: usize,
    digest: u64,
}

impl Bounded {
    fn count(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    /// Whether everything until now was written and so much more may be.
    fn has_room(&self, bytes: usize) -> bool {
        self.written == self.length && self.written + bytes <= MOST_BYTES
    }
}

impl Formatter for Bounded {
    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        (self.length, self.written, self.digest) = (0, 0, OFFSET_BASIS);
        self.pretty.begin_string(writer)
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let fits = if self.has_room(fragment.len()) {
            fragment.len()
        } else if self.written == self.length {
            fragment.floor_char_boundary(MOST_BYTES - self.written)
        } else {
            0
        };
        if fits > 0 {
            self.pretty.write_string_fragment(writer, &fragment[..fits])?;
        }
        self.written += fits;
        self.count(fragment.as_bytes());
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        let byte = match &escape {
            CharEscape::Quote => b'"',
            CharEscape::ReverseSolidus => b'\\',
            CharEscape::Solidus => b'/',
            CharEscape::Backspace => 0x08,
            CharEscape::FormFeed => 0x0c,
            CharEscape::LineFeed => b'\n',
            CharEscape::CarriageReturn => b'\r',
            CharEscape::Tab => b'\t',
            CharEscape::AsciiControl(byte) => *byte,
        };
        if self.has_room(1) {
            self.pretty.write_char_escape(writer, escape)?;
            self.written += 1;
        }
        self.count(&[byte]);
        Ok(())
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.written < self.length {
            write!(writer, "…[{} bytes, fnv1a {:016x}]", self.length, self.digest)?;
        }
        self.pretty.end_string(writer)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.pretty.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.pretty.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &impl Serialize) -> String {
        let mut out = Vec::new();
        write(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// By the definition, written a second time.
    fn fnv1a(text: &str) -> u64 {
        text.bytes()
            .fold(14_695_981_039_346_656_037, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211))
    }

    #[test]
    fn short_strings_are_as_serde_json_writes_them() {
        let value = serde_json::json!({"a\n": ["\u{1}x\"\\/\t", 1.5, null, {}, []], "b": "é".repeat(2048)});
        assert_eq!(written(&value), serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn long_strings_are_cut_at_a_character_and_can_still_be_joined() {
        // Published test vectors of FNV-1a 64: "" and "foobar".
        assert_eq!((fnv1a(""), fnv1a("foobar")), (0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8));
        for long in ["x".repeat(4097), "é".repeat(3000), "\n\"".repeat(4000), format!("{}é", "x".repeat(4095))] {
            let read: String = serde_json::from_str(&written(&long)).unwrap();
            let (kept, mark) = read.split_once("…[").unwrap();
            assert!(long.starts_with(kept) && kept.len() > 4092 && kept.len() <= 4096);
            assert_eq!(mark, format!("{} bytes, fnv1a {:016x}]", long.len(), fnv1a(&long)));
        }
        let ten_megabytes = "label ".repeat(1_700_000);
        assert!(written(&[&ten_megabytes; 10]).len() < 50_000);
    }
}
