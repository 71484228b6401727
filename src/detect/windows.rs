//! Which time bins belong to which window, and when a level changed on them.

use crate::incident::Incident;
use crate::stats::changepoint;
use crate::telemetry::calls::CallStats;
use crate::telemetry::time::{Grid, Window};

use super::Onset;

/// Calls seen of all services that must have been expected in a run of empty bins before the run counts as a gap in the
/// collection and not as silence: a chance below e^-20 even where traffic is a little burstier than Poisson.
const GAP_CALLS: f64 = 20.0;

/// What a bin is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// In the incident window.
    Incident,
    /// Shortly before it: the onset may lie there.
    Lead,
    /// In this baseline window.
    Baseline(usize),
}

/// The bins that an analysis looks at, ascending. Their index is called a *place*.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    grid: Grid,
    bins: Vec<(i64, Role)>,
    /// Places in the incident window, ascending.
    pub(super) incident: Vec<usize>,
    /// Places in each baseline window, ascending.
    pub(super) baselines: Vec<Vec<usize>>,
    /// Places in the incident window and in its lead, ascending.
    leading: Vec<usize>,
}

impl Bins {
    /// The bins of the incident's windows.
    ///
    /// A bin belongs to a window when it lies fully inside. A window without such a bin takes those that overlap it by at
    /// least half of the bin or of the window, whichever is shorter. Runs of bins without a single call of any service are
    /// left out when the traffic lets expect at least 20 calls in them: the collection had a gap, and a gap in the
    /// collection is not a fall of anybody's rate. An incident without a single call keeps all its bins: that is silence,
    /// as far as anybody can see. A baseline without a call was not recorded.
    pub(super) fn of(incident: &Incident) -> Self {
        let grid = incident.calls.grid;
        let mut ranges = vec![(Role::Incident, range(&incident.window, grid))];
        for (at, window) in incident.baselines.iter().enumerate() {
            ranges.push((Role::Baseline(at), range(window, grid)));
        }
        ranges.push((Role::Lead, lead(incident).map_or((0, 0), |window| range(&window, grid))));
        let traffic = Traffic::of(&incident.calls);
        let mut bins: Vec<(i64, Role)> = Vec::new();
        for (role, (from, to)) in ranges {
            let used = if role == Role::Incident || traffic.any(from, to) {
                traffic.without_gaps(from, to)
            } else {
                Vec::new()
            };
            bins.extend(used.into_iter().map(|bin| (bin, role)));
        }
        // the first role wins where half a bin is shared
        bins.sort_by_key(|b| b.0);
        bins.dedup_by_key(|b| b.0);
        let places = |wanted: &dyn Fn(Role) -> bool| -> Vec<usize> {
            bins.iter().enumerate().filter(|(_, bin)| wanted(bin.1)).map(|(place, _)| place).collect()
        };
        Self {
            grid,
            incident: places(&|role| role == Role::Incident),
            baselines: (0..incident.baselines.len()).map(|at| places(&|role| role == Role::Baseline(at))).collect(),
            leading: places(&|role| matches!(role, Role::Incident | Role::Lead)),
            bins,
        }
    }

    /// The place of a bin, if it is looked at.
    pub(super) fn place(&self, bin: i64) -> Option<usize> {
        self.bins.binary_search_by_key(&bin, |b| b.0).ok()
    }

    /// Number of places.
    pub(super) fn len(&self) -> usize {
        self.bins.len()
    }

    /// What the place is used for.
    pub(super) fn role(&self, place: usize) -> Role {
        self.bins[place].1
    }

    /// Length of one bin in seconds.
    pub(super) fn step_seconds(&self) -> f64 {
        self.grid.step_ns() as f64 / 1e9
    }

    /// Places in any baseline window.
    pub(super) fn baseline(&self) -> impl Iterator<Item = usize> {
        self.baselines.iter().flatten().copied()
    }

    /// The onset of a change from `before` to `after` in `value` of each place (`None` where there is none), looking at
    /// the incident and its lead.
    pub(super) fn onset(
        &self,
        before: f64,
        after: f64,
        noise: f64,
        value: impl Fn(usize) -> Option<f64>,
    ) -> Option<Onset> {
        let samples: Vec<(i64, f64)> = self
            .leading
            .iter()
            .filter_map(|&place| Some((self.grid.bin_start_ns(self.bins[place].0), value(place)?)))
            .collect();
        onset(&samples, before, after, noise, self.grid.step_ns())
    }
}

/// The time shortly before the incident, at most as long as the incident itself, in which no baseline lies.
pub(super) fn lead(incident: &Incident) -> Option<Window> {
    let end = incident.window.start_ns();
    let length = incident.window.end_ns().saturating_sub(end);
    let baseline_end = incident.baselines.iter().map(Window::end_ns).filter(|&at| at <= end).max();
    let start = baseline_end.unwrap_or(i64::MIN).max(end.saturating_sub(length));
    Window::new(start, end).ok()
}

/// The onset in (time, value) samples in order of time, with the uncertainty of the change point and of one sample's
/// distance, at least `step_ns`.
pub(super) fn onset(samples: &[(i64, f64)], before: f64, after: f64, noise: f64, step_ns: i64) -> Option<Onset> {
    let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
    let found = changepoint::onset(&values, before, after, noise)?;
    let at_ns = samples[found.first].0;
    // a sample speaks of the time since the one before it
    let since = if found.earliest > 0 { samples[found.earliest - 1].0 } else { samples[0].0.saturating_sub(step_ns) };
    let early = at_ns.saturating_sub(since);
    let late = samples[found.latest].0.saturating_sub(at_ns);
    Some(Onset { at_ns, uncertainty_ns: early.max(late).max(step_ns) })
}

/// First bin and first bin after, of a window.
fn range(window: &Window, grid: Grid) -> (i64, i64) {
    let step = grid.step_ns();
    let first = window.start_ns().div_euclid(step) + i64::from(window.start_ns().rem_euclid(step) != 0);
    let end = window.end_ns().div_euclid(step);
    if first < end {
        return (first, end);
    }
    let least = step.min(window.end_ns().saturating_sub(window.start_ns()));
    let overlaps = |bin: i64| {
        let start = grid.bin_start_ns(bin);
        let shared = start.saturating_add(step).min(window.end_ns()).saturating_sub(start.max(window.start_ns()));
        shared.saturating_mul(2) >= least
    };
    let (mut from, mut to) = (grid.bin(window.start_ns()), grid.bin(window.end_ns().saturating_sub(1)) + 1);
    if !overlaps(from) {
        from += 1;
    }
    if to > from && !overlaps(to - 1) {
        to -= 1;
    }
    (from, to)
}

/// When any service was called.
struct Traffic {
    /// Bins with a call, ascending.
    busy: Vec<i64>,
    /// Median number of calls seen in them.
    typical: f64,
}

impl Traffic {
    fn of(calls: &CallStats) -> Self {
        let mut bins: Vec<(i64, u64)> = calls.rows.iter().map(|row| (row.key.bin, row.observed)).collect();
        bins.extend(calls.instances.iter().map(|row| (row.bin, row.observed)));
        bins.sort_unstable();
        bins.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        bins.retain(|bin| bin.1 > 0);
        let counts: Vec<f64> = bins.iter().map(|bin| bin.1 as f64).collect();
        let typical = crate::stats::robust::median(&counts).unwrap_or(0.0);
        Self { busy: bins.into_iter().map(|bin| bin.0).collect(), typical }
    }

    /// Whether there is a call in the window.
    fn any(&self, from: i64, to: i64) -> bool {
        self.busy.partition_point(|&bin| bin < from) < self.busy.partition_point(|&bin| bin < to)
    }

    /// The bins of a window without the collection's gaps; all of them where there is nothing else.
    fn without_gaps(&self, from: i64, to: i64) -> Vec<i64> {
        if self.busy.is_empty() {
            return Vec::new();
        }
        let busy = &self.busy[self.busy.partition_point(|&b| b < from)..self.busy.partition_point(|&b| b < to)];
        if busy.is_empty() {
            return (from..to).collect();
        }
        let mut kept = Vec::new();
        let mut next = from;
        for &bin in busy.iter().chain([&to]) {
            if (bin - next) as f64 * self.typical < GAP_CALLS {
                kept.extend(next..bin);
            }
            if bin < to {
                kept.push(bin);
            }
            next = bin + 1;
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(start: i64, end: i64) -> (i64, i64) {
        let second = 1_000_000_000;
        range(&Window::new(start * second, end * second).unwrap(), Grid::new(60 * second))
    }

    #[test]
    fn bins_lie_fully_inside_or_overlap_by_half() {
        assert_eq!(ranges(0, 300), (0, 5));
        assert_eq!(ranges(1, 300), (1, 5));
        assert_eq!(ranges(0, 299), (0, 4));
        // no full bin: half of a bin, or of the window
        assert_eq!(ranges(25, 110), (0, 2));
        assert_eq!(ranges(50, 110), (1, 2));
        assert_eq!(ranges(10, 20), (0, 1));
        assert_eq!(ranges(55, 65), (0, 2));
        assert_eq!(ranges(-90, -30), (-2, 0));
    }

    #[test]
    fn gaps_of_the_collection_are_left_out() {
        let busy = Traffic { busy: vec![0, 1, 2, 5, 6], typical: 100.0 };
        assert_eq!(busy.without_gaps(0, 9), [0, 1, 2, 5, 6]);
        // nothing at all: silence, not a gap
        assert_eq!(busy.without_gaps(10, 12), [10, 11]);
        let sparse = Traffic { busy: vec![0, 3, 9], typical: 3.0 };
        assert_eq!(sparse.without_gaps(0, 12).len(), 12);
        assert_eq!(Traffic { busy: vec![], typical: 0.0 }.without_gaps(0, 5), [0_i64; 0]);
    }

    #[test]
    fn an_onset_says_how_sure_it_is() {
        let samples: Vec<(i64, f64)> =
            [1.0, 1.0, 1.0, 9.0, 9.0].into_iter().zip(0..).map(|(v, t)| (t * 60, v)).collect();
        let found = onset(&samples, 1.0, 9.0, 0.5, 60).unwrap();
        assert_eq!(found, Onset { at_ns: 180, uncertainty_ns: 60 });
        assert_eq!(onset(&[(5, 9.0)], 1.0, 9.0, 0.5, 60), Some(Onset { at_ns: 5, uncertainty_ns: 60 }));
        assert_eq!(onset(&[], 1.0, 9.0, 0.5, 60), None);
    }
}
