//! Identifiers of services, traces and spans.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The name under which a service, database, queue or external dependency appears in telemetry.
///
/// Never empty. Cheap to clone; ordered and compared by its text, so that ties by name are the same on every machine.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceId(Arc<str>);

impl Ord for ServiceId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Most comparisons are of clones, and a hostile name may be megabytes long.
        if Arc::ptr_eq(&self.0, &other.0) { std::cmp::Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for ServiceId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl ServiceId {
    /// Names a service; surrounding white space is cut, an empty name becomes `unknown_service`, the fallback of the
    /// OpenTelemetry resource conventions, and a long one is [`bounded`].
    pub fn new(name: &str) -> Self {
        let name = bounded(name.trim());
        Self(Arc::from(if name.is_empty() { "unknown_service" } else { &name }))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for ServiceId {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// Bytes that a name from telemetry may have. People name things in less; what is longer is a mistake or an attack, and
/// would fill memory and reports.
pub const MAX_NAME_BYTES: usize = 1024;

/// Stands before the hash that ends a name which was cut.
const CUT: &str = "…#";

/// The name; or, where it is longer than [`MAX_NAME_BYTES`], its beginning and a hash of the whole, so that two long names
/// stay apart.
pub fn bounded(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME_BYTES {
        return Cow::Borrowed(name);
    }
    let hash = format!("{CUT}{:016x}", fnv1a(name.as_bytes()));
    let kept = name.floor_char_boundary(MAX_NAME_BYTES - hash.len());
    Cow::Owned(format!("{}{hash}", &name[..kept]))
}

/// Whether [`bounded`] has cut the name.
pub fn was_cut(name: &str) -> bool {
    name.len() > MAX_NAME_BYTES - CUT.len() - 20 && name.rfind(CUT).is_some_and(|at| name.len() - at == CUT.len() + 16)
}

/// The 64-bit FNV-1a hash (Fowler, Noll, Vo): the same on every machine and in every release.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A trace's 128-bit identifier; shown as 32 hexadecimal digits, as Jaeger and Tempo show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TraceId(pub u128);

impl TraceId {
    /// A mix of all bits, the same on every machine (multiply and fold, as in wyhash by Wang Yi).
    #[inline]
    pub fn mixed(self) -> u64 {
        let low = (self.0 as u64) ^ 0x9e37_79b9_7f4a_7c15;
        let high = ((self.0 >> 64) as u64) ^ 0xd1b5_4a32_d192_ed03;
        let product = u128::from(low) * u128::from(high | 1);
        let folded = (product as u64) ^ ((product >> 64) as u64) ^ low.rotate_left(32) ^ high;
        let mixed = u128::from(folded) * 0xa076_1d64_78bd_642f_u128;
        (mixed as u64) ^ ((mixed >> 64) as u64)
    }

    /// Reads 1 to 32 hexadecimal digits in either case; dashes, as in a UUID, are skipped.
    /// `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut value: u128 = 0;
        let mut digits = 0;
        for byte in text.bytes() {
            if byte == b'-' {
                continue;
            }
            let digit = (byte as char).to_digit(16)?;
            digits += 1;
            if digits > 32 {
                return None;
            }
            value = (value << 4) | u128::from(digit);
        }
        (digits > 0).then_some(Self(value))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A span's 64-bit identifier, unique within its trace; shown as 16 hexadecimal digits. Zero is not a valid id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SpanId(pub u64);

impl SpanId {
    /// Reads 1 to 16 hexadecimal digits in either case; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        assert_eq!(bounded("cart"), "cart");
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8); // the authors' test vector
        for letter in ["x", "ä", "語"] {
            let (one, other) = (letter.repeat(5_000_000), letter.repeat(5_000_001));
            let (one, other) = (bounded(&one), bounded(&other));
            assert_ne!(one, other);
            assert!(one.len() <= MAX_NAME_BYTES && was_cut(&one), "{} bytes", one.len());
            assert_eq!(bounded(&one), one, "cut once");
        }
        let exact = "x".repeat(MAX_NAME_BYTES);
        assert_eq!(bounded(&exact), exact);
        assert!(!was_cut(&exact) && !was_cut("cart…#"));
    }
}
