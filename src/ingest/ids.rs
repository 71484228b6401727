//! Trace and span identifiers as sources write them: hexadecimal or base64 text, raw bytes.

/// What stands for a byte that is no hexadecimal digit in [`NIBBLES`].
const NO_DIGIT: u8 = 0x80;

/// Value of each byte as a hexadecimal digit. A table, because ids are most of the text of a span table.
static NIBBLES: [u8; 256] = nibbles();

const fn nibbles() -> [u8; 256] {
    let mut table = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 10 {
        table[b'0' as usize + digit as usize] = digit;
        digit += 1;
    }
    while digit < 16 {
        table[b'a' as usize + digit as usize - 10] = digit;
        table[b'A' as usize + digit as usize - 10] = digit;
        digit += 1;
    }
    table
}

/// Up to 16 hexadecimal digits.
fn hex_u64(digits: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    let mut seen = 0u8;
    for &byte in digits {
        let nibble = NIBBLES[byte as usize];
        seen |= nibble;
        value = (value << 4) | u64::from(nibble & 0xf);
    }
    (seen & NO_DIGIT == 0 && digits.len() <= 16).then_some(value)
}

fn hex_u128(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    let (high, low) = digits.split_at(digits.len().saturating_sub(16));
    Some((u128::from(hex_u64(high)?) << 64) | u128::from(hex_u64(low)?))
}

/// Exactly `N` bytes of base64, padded or not, in the standard or the URL alphabet.
fn base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let end = text.iter().rposition(|&b| b != b'=').map_or(0, |last| last + 1);
    let (symbols, padding) = text.split_at(end);
    // N bytes take ceil(8 N / 6) symbols, and padding fills to a multiple of four.
    if symbols.len() != (N * 8).div_ceil(6) || (!padding.is_empty() && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = [0; N];
    let (mut bits, mut n_bits, mut filled) = (0u32, 0, 0);
    for &symbol in symbols {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            *bytes.get_mut(filled)? = (bits >> n_bits) as u8;
            filled += 1;
        }
    }
    Some(bytes)
}

/// A trace id: 32 hexadecimal digits, else base64 of 16 bytes, else fewer digits whose leading zeros were cut (Tempo),
/// or a UUID with dashes. Decided by the decoded length, because 32 hexadecimal digits are valid base64 too.
/// `None` for other text and for the invalid id zero.
pub(crate) fn trace_id(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    let id = if bytes.len() == 32 { hex_u128(bytes) } else { None }
        .or_else(|| base64::<16>(bytes).map(u128::from_be_bytes))
        .or_else(|| hex_u128(bytes))
        .or_else(|| uuid(bytes))?;
    (id != 0).then_some(id)
}

fn uuid(text: &[u8]) -> Option<u128> {
    if text.len() != 36 {
        return None;
    }
    let digits: Vec<u8> = text.iter().copied().filter(|&b| b != b'-').collect();
    hex_u128(&digits)
}

/// A span id: 16 hexadecimal digits, else base64 of 8 bytes, else fewer digits. Zero is a valid answer here, since it
/// stands for "no parent" in that place.
pub(crate) fn span_id(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return None;
    }
    if bytes.len() == 16 { hex_u64(bytes) } else { None }
        .or_else(|| base64::<8>(bytes).map(u64::from_be_bytes))
        .or_else(|| hex_u64(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The base64 forms are those of Python: base64.b64encode(bytes.fromhex("5b8efff798038103d269b633813fc60c")).
    const TRACE: u128 = 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c;
    const SPAN: u64 = 0xeee1_9b7e_c3c1_b174;

    #[test]
    fn ids_are_hexadecimal_or_base64_by_decoded_length() {
        assert_eq!(trace_id("5b8efff798038103d269b633813fc60c"), Some(TRACE));
        assert_eq!(trace_id("5B8EFFF798038103D269B633813FC60C"), Some(TRACE));
        assert_eq!(trace_id("W47/95gDgQPSabYzgT/GDA=="), Some(TRACE));
        assert_eq!(trace_id("W47_95gDgQPSabYzgT_GDA"), Some(TRACE));
        assert_eq!(trace_id("5b8efff7-9803-8103-d269-b633813fc60c"), Some(TRACE));
        assert_eq!(span_id("eee19b7ec3c1b174"), Some(SPAN));
        assert_eq!(span_id("EEE19B7EC3C1B174"), Some(SPAN));
        assert_eq!(span_id("7uGbfsPBsXQ="), Some(SPAN));
    }

    #[test]
    fn leading_zeros_may_be_missing() {
        assert_eq!(trace_id("d269b633813fc60c"), Some(0xd269_b633_813f_c60c));
        assert_eq!(trace_id("1f"), Some(0x1f));
        assert_eq!(span_id("b174"), Some(0xb174));
    }

    #[test]
    fn other_text_is_no_id() {
        for bad in ["", "xyz", "5b8efff798038103d269b633813fc60c0", "W47/95gDgQPSabYzgT/GDA=", "00", "é"] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
        for bad in ["", "eee19b7ec3c1b1740", "7uGbfsPBsXQ==", "root", "-1"] {
            assert_eq!(span_id(bad), None, "{bad}");
        }
    }
}
