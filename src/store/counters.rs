//! What the store has done since it was opened, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Records made durable.
    Records,
    /// Their bytes.
    RecordBytes,
    /// Writes that made them durable: each is one wait for the disk.
    Syncs,
    /// Spans made durable.
    Spans,
    /// Records refused because the disk did not take them.
    WriteFailures,
    /// Segments written.
    Segments,
    /// Segments removed because they were too old.
    RemovedByAge,
    /// Segments removed because all took too much.
    RemovedBySize,
    /// Bytes of all removed segments.
    RemovedBytes,
    /// Broken files set aside at the start.
    SetAside,
    /// Bytes cut from the ends of logs at the start: records that were never answered.
    TornBytes,
    /// Payloads of logs that could not be read when they became segments.
    UnreadablePayloads,
}

const ALL: [(Counted, &str, &str); 12] = [
    (Counted::Records, "records", "messages made durable"),
    (Counted::RecordBytes, "record_bytes", "bytes of messages made durable"),
    (Counted::Syncs, "syncs", "waits for the disk"),
    (Counted::Spans, "spans", "spans made durable"),
    (Counted::WriteFailures, "write_failures", "messages refused because the disk did not take them"),
    (Counted::Segments, "segments_written", "segments written"),
    (Counted::RemovedByAge, "segments_removed_by_age", "segments removed because they were too old"),
    (Counted::RemovedBySize, "segments_removed_by_size", "segments removed because all took too much"),
    (Counted::RemovedBytes, "removed_bytes", "bytes of removed segments"),
    (Counted::SetAside, "set_aside", "broken files set aside at the start"),
    (Counted::TornBytes, "torn_bytes", "bytes cut from the ends of logs at the start"),
    (Counted::UnreadablePayloads, "unreadable_payloads", "messages that could not be read again for a segment"),
];

/// All of them.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; ALL.len()]);

impl Counters {
    /// Adds to a number.
    pub fn add(&self, counted: Counted, more: u64) {
        self.0[counted as usize].fetch_add(more, Ordering::Relaxed);
    }

    /// A number as it is now.
    pub fn get(&self, counted: Counted) -> u64 {
        self.0[counted as usize].load(Ordering::Relaxed)
    }

    /// Name, meaning and value of each.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        ALL.iter().map(|(counted, name, help)| (*name, *help, self.get(*counted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_place() {
        for (at, (counted, name, _)) in ALL.iter().enumerate() {
            assert_eq!(*counted as usize, at, "{name}");
        }
    }
}
