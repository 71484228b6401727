//! How often telemetry is read for requests: each of them costs seconds of a processor, whoever asks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many in one [`SPAN`] are let through: about what one worker analyses in that time.
pub(super) const MOST: u32 = 30;
const SPAN: Duration = Duration::from_secs(60);

/// Counts them, of all clients together: from one that comes from many addresses they cost the same.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Option<(Instant, u32)>>);

impl Rate {
    /// Counts one more, or tells how many seconds there are to wait.
    pub(super) fn take(&self, now: Instant) -> Result<(), u32> {
        // Counts are whole whatever happened to who held them.
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = |first: Instant| now.saturating_duration_since(first);
        let (first, count) = counted.filter(|(first, _)| elapsed(*first) < SPAN).unwrap_or((now, 0));
        if count >= MOST {
            let left = SPAN.saturating_sub(elapsed(first));
            return Err(u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(1));
        }
        *counted = Some((first, count + 1));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_for_the_next_minute() {
        let (rate, began) = (Rate::default(), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        assert!((0..MOST).all(|_| rate.take(began).is_ok()));
        assert_eq!((rate.take(after(20)), rate.take(after(59))), (Err(41), Err(2)));
        assert!((0..MOST).all(|_| rate.take(after(60)).is_ok()));
        assert_eq!(rate.take(after(61)), Err(60));
    }
}
