//! What is too old or too much is removed, whole segments at a time, the oldest first.

use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Settings;
use super::counters::{Counted, Counters};
use super::files::Folders;

/// Removes segments. Their age counts from when they were received, so that neither history that is sent later nor a
/// clock that goes wrong removes them too soon or never.
pub(super) fn apply(folders: &Folders, settings: &Settings, counters: &Counters) -> io::Result<()> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let oldest_ms = now_ms.saturating_sub(settings.retention_age.as_millis());
    let segments = folders.segments()?;
    let sizes: Vec<u64> = segments.iter().map(|segment| fs::metadata(&segment.path).map_or(0, |m| m.len())).collect();
    let mut left_bytes: u64 = sizes.iter().sum();
    for (segment, bytes) in segments.iter().zip(sizes) {
        let counted = if u128::from(segment.number) < oldest_ms {
            Counted::RemovedByAge
        } else if left_bytes > settings.retention_bytes {
            Counted::RemovedBySize
        } else {
            break;
        };
        fs::remove_file(&segment.path)?;
        left_bytes -= bytes;
        counters.add(counted, 1);
        counters.add(Counted::RemovedBytes, bytes);
        tracing::info!(file = %segment.path.display(), bytes, "removed a segment, as retention says");
    }
    Ok(())
}
