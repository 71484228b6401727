//! Pieces of JSON, written straight into bytes: millions of spans leave no time for trees of values.

use jiff::Timestamp;

/// Appends a text as a JSON string (RFC 8259, section 7).
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if control < ' ' => {
                out.extend_from_slice(b"\\u00");
                push_byte(out, control as u8);
            }
            plain => out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Appends a number in decimal digits.
pub(super) fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

fn push_byte(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[HEXADECIMAL[usize::from(byte >> 4)], HEXADECIMAL[usize::from(byte & 15)]]);
}

/// Appends 16 hexadecimal digits.
pub(super) fn push_hex(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 16];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&[HEXADECIMAL[usize::from(byte >> 4)], HEXADECIMAL[usize::from(byte & 15)]]);
    }
    out.extend_from_slice(&digits);
}

/// Appends 32 hexadecimal digits.
pub(super) fn push_trace(out: &mut Vec<u8>, trace: u128) {
    push_hex(out, (trace >> 64) as u64);
    push_hex(out, trace as u64);
}

/// An instant as in RFC 3339 with nanoseconds, in UTC. What lies beyond jiff's years becomes 1970.
pub(super) fn instant(unix_ns: i64) -> String {
    let instant = Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{instant:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_by_a_json_parser() {
        for text in ["", "cart", "a \"quoted\" \\ name", "tab\t line\n bell\u{7} return\r", "Grüße 🚀 \u{2028}"] {
            let mut out = Vec::new();
            push_text(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).expect("valid JSON"), text);
        }
    }

    #[test]
    fn numbers_have_their_digits() {
        for number in [0, 9, 10, 1_772_445_600_123_456_789, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            out.push(b' ');
            push_hex(&mut out, number);
            assert_eq!(String::from_utf8(out).expect("digits"), format!("{number} {number:016x}"));
        }
        assert_eq!(instant(1_772_445_600_000_000_001), "2026-03-02T10:00:00.000000001Z");
    }
}
