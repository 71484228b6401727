//! The wire format of protobuf, as much of it as OTLP's traces need.

/// Types of a field on the wire.
const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED_32: u32 = 5;

pub(super) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_tag(out: &mut Vec<u8>, field: u32, wire: u32) {
    push_varint(out, u64::from(field << 3 | wire));
}

pub(super) fn push_number(out: &mut Vec<u8>, field: u32, number: u64) {
    push_tag(out, field, VARINT);
    push_varint(out, number);
}

pub(super) fn push_fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    push_tag(out, field, FIXED_64);
    out.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn push_fixed32(out: &mut Vec<u8>, field: u32, number: u32) {
    push_tag(out, field, FIXED_32);
    out.extend_from_slice(&number.to_le_bytes());
}

/// A text, bytes, or a message that was written before.
pub(super) fn push_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    push_length(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// What stands before so many bytes of a field.
pub(super) fn push_length(out: &mut Vec<u8>, field: u32, length: usize) {
    push_tag(out, field, LENGTH);
    push_varint(out, length as u64);
}
