//! Instants, windows and the grid of time bins. All instants are Unix nanoseconds in UTC (`i64`: years 1677 to 2262).

/// Nanoseconds in one second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A half-open interval of time, `start_ns <= t < end_ns`, never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Window {
    start_ns: i64,
    end_ns: i64,
}

/// Why two instants do not make a window.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a window must end after it starts (start {start_ns} ns, end {end_ns} ns since the Unix epoch)")]
pub struct EmptyWindow {
    start_ns: i64,
    end_ns: i64,
}

impl Window {
    /// The window from `start_ns` (included) to `end_ns` (excluded), Unix nanoseconds.
    ///
    /// # Errors
    /// [`EmptyWindow`] when the end is not after the start.
    pub fn new(start_ns: i64, end_ns: i64) -> Result<Self, EmptyWindow> {
        if start_ns < end_ns { Ok(Self { start_ns, end_ns }) } else { Err(EmptyWindow { start_ns, end_ns }) }
    }

    /// First instant inside, Unix nanoseconds.
    pub fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// First instant after, Unix nanoseconds.
    pub fn end_ns(&self) -> i64 {
        self.end_ns
    }

    /// Length in seconds, always positive.
    pub fn seconds(&self) -> f64 {
        (self.end_ns.saturating_sub(self.start_ns)) as f64 / NANOS_PER_SECOND as f64
    }

    /// Whether the instant lies inside.
    pub fn contains(&self, at_ns: i64) -> bool {
        self.start_ns <= at_ns && at_ns < self.end_ns
    }

    /// Whether the two windows share an instant.
    pub fn overlaps(&self, other: &Window) -> bool {
        self.start_ns < other.end_ns && other.start_ns < self.end_ns
    }
}

/// What of `windows` lies outside all of `holes`, sorted.
pub fn without(windows: &[Window], holes: &[Window]) -> Vec<Window> {
    let mut left: Vec<Window> = windows.to_vec();
    for hole in holes {
        left = left
            .iter()
            .flat_map(|w| {
                let before = Window::new(w.start_ns(), w.end_ns().min(hole.start_ns()));
                let after = Window::new(w.start_ns().max(hole.end_ns()), w.end_ns());
                [before, after].into_iter().flatten()
            })
            .collect();
    }
    left.sort();
    left
}

/// A partition of time into bins of equal length, aligned to multiples of the step since the Unix epoch.
///
/// Alignment to the epoch, and not to a window, makes tables of two runs mergeable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    step_ns: i64,
}

impl Grid {
    /// A grid of bins of `step_ns` nanoseconds; a step below one millisecond is raised to it.
    pub fn new(step_ns: i64) -> Self {
        Self { step_ns: step_ns.max(1_000_000) }
    }

    /// Length of one bin, nanoseconds.
    pub fn step_ns(&self) -> i64 {
        self.step_ns
    }

    /// The bin that holds the instant: its start is `bin * step`.
    pub fn bin(&self, at_ns: i64) -> i64 {
        at_ns.div_euclid(self.step_ns)
    }

    /// First instant of a bin, Unix nanoseconds.
    pub fn bin_start_ns(&self, bin: i64) -> i64 {
        bin.saturating_mul(self.step_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window::new(start, end).unwrap()
    }

    #[test]
    fn holes_are_cut_out() {
        let holes = [window(0, 5), window(20, 30), window(25, 40), window(90, 200)];
        assert_eq!(without(&[window(0, 100)], &holes), [window(5, 20), window(40, 90)]);
        assert_eq!(without(&[window(20, 30), window(2, 3)], &holes), []);
        assert_eq!(without(&[window(50, 60)], &[]), [window(50, 60)]);
    }
}
