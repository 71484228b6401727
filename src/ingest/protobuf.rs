//! Protobuf's wire format, field by field, borrowed from the bytes.
//!
//! prost's derived messages decode whole or not at all. Here one flipped bit or a cut-off file shall cost the span that
//! it hit and nothing else, a warning shall name the byte, and of a span's attributes only those are worth decoding that
//! mean something. So messages are walked with prost's primitives (keys, varints, groups) and never built.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// The value of a field.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Value<'b> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// A text, a message, or packed numbers.
    Bytes(&'b [u8]),
    /// The beginning of one of these, whose end lies beyond the end of its message.
    Cut(&'b [u8]),
    /// A group (deprecated), passed over.
    Group,
}

impl<'b> Value<'b> {
    /// The bytes, where they are whole.
    pub(crate) fn bytes(self) -> Option<&'b [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Of a number of type `double`.
    pub(crate) fn double(self) -> Option<f64> {
        match self {
            Self::Fixed64(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Of a number of type `sint32`.
    pub(crate) fn zigzag(self) -> Option<i64> {
        match self {
            Self::Varint(number) => Some((number >> 1) as i64 ^ -((number & 1) as i64)),
            _ => None,
        }
    }
}

/// Why a message could not be read further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Broken<'b> {
    /// What follows the place.
    pub(crate) at: &'b [u8],
    pub(crate) problem: &'static str,
}

pub(crate) const BEYOND_END: &str = "a length goes beyond the end of its message";
const BAD_KEY: &str = "this is no key of a protobuf field";
const BAD_VARINT: &str = "a number that is cut off or has more than ten bytes";
const BAD_FIXED: &str = "a number that is cut off";
const BAD_GROUP: &str = "a group that does not end or is nested too deep";

/// The fields of a message, in the order in which they stand.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    pub(crate) fn of(message: &'b [u8]) -> Self {
        Self { rest: message }
    }

    /// Number and value of the next field; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'b>)>, Broken<'b>> {
        let start = self.rest;
        match self.next_or_cut() {
            Ok(Some((_, Value::Cut(_)))) => Err(Broken { at: start, problem: BEYOND_END }),
            field => field,
        }
    }

    /// As [`Fields::next`], but a value whose length goes beyond the end is given as [`Value::Cut`], as the last one.
    ///
    /// Inlined, because its result would go through memory, where a fifth of all time went.
    #[inline(always)]
    pub(crate) fn next_or_cut(&mut self) -> Result<Option<(u32, Value<'b>)>, Broken<'b>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.rest;
        let broken = |problem| Broken { at: start, problem };
        let (number, wire_type) = decode_key(&mut self.rest).map_err(|_decode_error| broken(BAD_KEY))?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(self.varint().ok_or(broken(BAD_VARINT))?),
            WireType::SixtyFourBit => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(broken(BAD_FIXED))?;
                self.rest = rest;
                Value::Fixed64(u64::from_le_bytes(*bytes))
            }
            WireType::ThirtyTwoBit => {
                let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(broken(BAD_FIXED))?;
                self.rest = rest;
                Value::Fixed32(u32::from_le_bytes(*bytes))
            }
            WireType::LengthDelimited => {
                let length = self.varint().ok_or(broken(BAD_VARINT))?;
                match usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length)) {
                    Some((bytes, rest)) => {
                        self.rest = rest;
                        Value::Bytes(bytes)
                    }
                    None => Value::Cut(std::mem::take(&mut self.rest)),
                }
            }
            WireType::StartGroup | WireType::EndGroup => {
                let skipped = skip_field(wire_type, number, &mut self.rest, DecodeContext::default());
                skipped.map_err(|_decode_error| broken(BAD_GROUP))?;
                Value::Group
            }
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        decode_varint(&mut self.rest).ok()
    }
}

/// Adds a field of repeated fixed 64-bit numbers to `numbers`, packed or not.
pub(crate) fn push_fixed64(numbers: &mut Vec<f64>, value: Value<'_>, number: fn(u64) -> f64) {
    match value {
        Value::Fixed64(bits) => numbers.push(number(bits)),
        Value::Bytes(bytes) => {
            let (words, _rest) = bytes.as_chunks::<8>();
            numbers.extend(words.iter().map(|word| number(u64::from_le_bytes(*word))));
        }
        Value::Varint(_) | Value::Fixed32(_) | Value::Cut(_) | Value::Group => {}
    }
}

/// Adds a field of repeated varints to `numbers`, packed or not.
pub(crate) fn push_varints(numbers: &mut Vec<f64>, value: Value<'_>) {
    match value {
        Value::Varint(number) => numbers.push(number as f64),
        Value::Bytes(mut bytes) => {
            while let Ok(number) = decode_varint(&mut bytes) {
                numbers.push(number as f64);
            }
        }
        Value::Fixed64(_) | Value::Fixed32(_) | Value::Cut(_) | Value::Group => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(mut bytes: &[u8]) -> (Vec<(u32, Value<'_>)>, Option<&'static str>) {
        let mut fields = Fields::of(std::mem::take(&mut bytes));
        let mut seen = Vec::new();
        loop {
            match fields.next() {
                Ok(Some(field)) => seen.push(field),
                Ok(None) => return (seen, None),
                Err(broken) => return (seen, Some(broken.problem)),
            }
        }
    }

    #[test]
    fn all_wire_types_are_read() {
        // The first two are the examples of protobuf.dev's page on encoding: 08 96 01 is 150, 12 07 … is "testing".
        let bytes = b"\x08\x96\x01\x12\x07testing\x19\x01\0\0\0\0\0\0\0\x25\x02\0\0\0\x2b\x08\x01\x2c\x30\x07";
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"testing")),
            (3, Value::Fixed64(1)),
            (4, Value::Fixed32(2)),
            (5, Value::Group),
            (6, Value::Varint(7)),
        ];
        assert_eq!(fields(bytes), (expected, None));
        assert_eq!([Value::Varint(1), Value::Varint(2)].map(Value::zigzag), [Some(-1), Some(1)]);
    }

    #[test]
    fn what_is_broken_is_told_after_what_stood_before() {
        for (bytes, problem) in [
            (b"\x08\x01\x12\x05abc".as_slice(), BEYOND_END),
            (b"\x08\x01\x07", BAD_KEY),
            (b"\x08\x01\x00\x01", BAD_KEY),
            (b"\x08\x01\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", BAD_VARINT),
            (b"\x08\x01\x08\x80", BAD_VARINT),
            (b"\x08\x01\x09\x01\x02", BAD_FIXED),
            (b"\x08\x01\x0d\x01\x02", BAD_FIXED),
            (b"\x08\x01\x2b\x08\x01", BAD_GROUP),
            (b"\x08\x01\x2c", BAD_GROUP),
            (&[&b"\x08\x01"[..], &[0x2b; 1000]].concat(), BAD_GROUP),
        ] {
            assert_eq!(fields(bytes), (vec![(1, Value::Varint(1))], Some(problem)));
        }
        let mut cut = Fields::of(b"\x12\x05abc");
        assert_eq!(cut.next_or_cut(), Ok(Some((2, Value::Cut(b"abc")))));
        assert_eq!(cut.next_or_cut(), Ok(None));
    }

    #[test]
    fn repeated_numbers_are_packed_or_not() {
        let mut numbers = Vec::new();
        push_varints(&mut numbers, Value::Bytes(&[1, 0xac, 2]));
        push_varints(&mut numbers, Value::Varint(7));
        push_fixed64(&mut numbers, Value::Bytes(&1.5_f64.to_le_bytes()), f64::from_bits);
        push_fixed64(&mut numbers, Value::Fixed64(3), |count| count as f64);
        assert_eq!(numbers, [1.0, 300.0, 7.0, 1.5, 3.0]);
    }
}
