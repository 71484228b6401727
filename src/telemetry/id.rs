//! Identifiers of services, traces and spans.

use std::fmt;
use std::sync::Arc;

/// The name under which a service, database, queue or external dependency appears in telemetry.
///
/// Never empty. Cheap to clone; ordered and compared by its text, so that ties by name are the same on every machine.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(Arc<str>);

impl ServiceId {
    /// Names a service; surrounding white space is cut, and an empty name becomes `unknown_service`,
    /// the fallback of the OpenTelemetry resource conventions.
    pub fn new(name: &str) -> Self {
        let name = name.trim();
        Self(Arc::from(if name.is_empty() { "unknown_service" } else { name }))
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
