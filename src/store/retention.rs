//! What is too old or too much is removed, whole segments at a time, the oldest first.

use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Settings;
use super::counters::{Counted, Counters};
use super::files::Folders;

/// Removes segments. Their age counts from when they were received, so that history that is sent later is young.
///
/// None is removed by its age where even the newest is too old: then the clock has jumped ahead, or nothing has come for
/// so long that the store holds the last there is. (A clock that stays ahead makes the others old with the next segment.)
pub(super) fn apply(folders: &Folders, settings: &Settings, counters: &Counters) -> io::Result<()> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let oldest_ms = now_ms.saturating_sub(settings.retention_age.as_millis());
    let segments = folders.segments()?;
    let sizes: Vec<u64> = segments.iter().map(|segment| fs::metadata(&segment.path).map_or(0, |m| m.len())).collect();
    // A segment is named after when its log was begun.
    let grace_ms = settings.segment_age.as_millis();
    let is_deserted = segments.iter().all(|segment| u128::from(segment.number) + grace_ms < oldest_ms);
    let mut left_bytes: u64 = sizes.iter().sum();
    for (segment, bytes) in segments.iter().zip(sizes) {
        let counted = if !is_deserted && u128::from(segment.number) < oldest_ms {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::files::Content;

    #[test]
    fn a_clock_that_jumps_ahead_does_not_empty_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::create(folder.path()).unwrap();
        let settings = Settings::new(folder.path().to_owned());
        let segment = |age: Duration| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let number = u64::try_from((now - age).as_millis()).unwrap();
            fs::write(folders.segment(Content::Spans, number, 1, 2), "a").unwrap();
        };
        let left = || {
            apply(&folders, &settings, &Counters::default()).unwrap();
            folders.segments().unwrap().len()
        };
        segment(settings.retention_age * 3);
        segment(settings.retention_age * 2);
        assert_eq!(left(), 2, "as far as is known, nothing newer was ever received");
        segment(settings.retention_age / 2);
        assert_eq!(left(), 1);
    }
}
