//! Records of a log: length, checksum, kind, payload.
//!
//! ```text
//! file    "HYPOLOG1" record*
//! record  length of kind and payload (u32), CRC32C of kind and payload (u32), kind (u8), payload; little end first
//! ```

use crate::ingest::{OtlpEncoding, OtlpSignal};

/// How a log begins.
pub(super) const MAGIC: &[u8; 8] = b"HYPOLOG1";

const HEADER_BYTES: usize = 8;

/// What a payload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    /// A message of OTLP.
    Otlp(OtlpSignal, OtlpEncoding),
    /// A request of Prometheus' remote-write 1.0, uncompressed.
    RemoteWrite,
}

const CODES: [(u8, Kind); 7] = [
    (1, Kind::Otlp(OtlpSignal::Traces, OtlpEncoding::Protobuf)),
    (2, Kind::Otlp(OtlpSignal::Traces, OtlpEncoding::Json)),
    (3, Kind::Otlp(OtlpSignal::Metrics, OtlpEncoding::Protobuf)),
    (4, Kind::Otlp(OtlpSignal::Metrics, OtlpEncoding::Json)),
    (5, Kind::Otlp(OtlpSignal::Logs, OtlpEncoding::Protobuf)),
    (6, Kind::Otlp(OtlpSignal::Logs, OtlpEncoding::Json)),
    (7, Kind::RemoteWrite),
];

impl Kind {
    /// The number that stands for it in files.
    pub(super) fn code(self) -> u8 {
        CODES.iter().find(|(_, kind)| *kind == self).map_or(0, |(code, _)| *code)
    }

    /// The kind of a number; `None` for one that a later version may have written.
    pub(super) fn of_code(code: u8) -> Option<Self> {
        CODES.iter().find(|(known, _)| *known == code).map(|(_, kind)| *kind)
    }

    /// Whether it holds spans, which have segments of their own.
    pub(super) fn has_spans(self) -> bool {
        matches!(self, Self::Otlp(OtlpSignal::Traces, _))
    }
}

/// Adds a record to `buffer`.
///
/// # Panics
/// When the payload has four gigabytes or more.
pub(super) fn push(buffer: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    let length = u32::try_from(payload.len() + 1).expect("a payload is smaller than any limit on requests");
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&[kind.code()]), payload);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&checksum.to_le_bytes());
    buffer.push(kind.code());
    buffer.extend_from_slice(payload);
}

/// The records of a log, up to the first that is not whole.
pub(super) struct Records<'b> {
    bytes: &'b [u8],
    whole_bytes: usize,
}

impl<'b> Records<'b> {
    /// `None` when the file is no log, or was torn within its first bytes.
    pub(super) fn of(bytes: &'b [u8]) -> Option<Self> {
        bytes.starts_with(MAGIC).then_some(Self { bytes, whole_bytes: MAGIC.len() })
    }

    /// Up to where all records were whole so far.
    pub(super) fn whole_bytes(&self) -> usize {
        self.whole_bytes
    }
}

impl<'b> Iterator for Records<'b> {
    /// The code of the kind, and the payload.
    type Item = (u8, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.whole_bytes..)?;
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (checksum, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let content = after.get(..length)?;
        let (code, payload) = content.split_first()?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        self.whole_bytes += HEADER_BYTES + length;
        Some((*code, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_cut_or_changed_anywhere_keeps_what_stands_before() {
        let mut log = MAGIC.to_vec();
        let payloads: [&[u8]; 3] = [b"first", b"", b"the third"];
        let mut ends = vec![MAGIC.len()];
        for payload in payloads {
            push(&mut log, Kind::RemoteWrite, payload);
            ends.push(log.len());
        }
        let whole =
            |bytes: &[u8]| Records::of(bytes).map(|records| records.map(|(_, p)| p.to_vec()).collect::<Vec<_>>());
        assert_eq!(whole(&log).unwrap(), payloads);
        for cut in MAGIC.len()..log.len() {
            let before = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(whole(&log[..cut]).unwrap(), payloads[..before], "cut at {cut}");
            let mut changed = log.clone();
            changed[cut] ^= 0x10;
            assert_eq!(whole(&changed).unwrap(), payloads[..before], "changed at {cut}");
        }
        assert!(whole(&log[..5]).is_none());
    }

    #[test]
    fn every_kind_has_a_code() {
        for (code, kind) in CODES {
            assert_eq!((kind.code(), Kind::of_code(code)), (code, Some(kind)));
        }
        assert_eq!(Kind::of_code(0), None);
    }
}
