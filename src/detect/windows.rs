//! Which time bins belong to which window, and when a level changed on them.

use rustc_hash::FxHashMap;

use crate::incident::Incident;
use crate::stats::changepoint;
use crate::telemetry::calls::CallStats;
use crate::telemetry::time::{Grid, Window};

use super::Onset;

/// Calls seen of all services that must have been expected in a run of empty bins before the run counts as a gap in the
/// collection and not as silence: a chance below e^-20 even where traffic is a little burstier than Poisson.
const GAP_CALLS: f64 = 20.0;

/// What is compared with what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Comparison {
    pub(crate) incident: Window,
    /// Sorted by time, none overlapping the incident.
    pub(crate) baselines: Vec<Window>,
}

impl Comparison {
    /// The windows as they were given.
    pub(super) fn given(incident: &Incident) -> Self {
        Self { incident: incident.window, baselines: incident.baselines.clone() }
    }

    /// The time shortly before the incident, at most as long as the incident itself, in which no baseline lies.
    pub(super) fn lead(&self) -> Option<Window> {
        let end = self.incident.start_ns();
        let length = self.incident.end_ns().saturating_sub(end);
        let baseline_end = self.baselines.iter().map(Window::end_ns).filter(|&at| at <= end).max();
        let start = baseline_end.unwrap_or(i64::MIN).max(end.saturating_sub(length));
        Window::new(start, end).ok()
    }
}

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
///
/// Several comparisons of one incident have the places in common, so that what does not depend on the windows is found
/// once. A *part* is a set of places that have the same role in each of them.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    grid: Grid,
    bins: Vec<i64>,
    /// The place of each bin.
    places: FxHashMap<i64, usize>,
    /// What each place is used for, if it is.
    roles: Vec<Option<Role>>,
    /// The part that each place belongs to, if it is compared.
    part_of: Vec<Option<usize>>,
    parts: usize,
    /// Places in the incident window, ascending.
    pub(super) incident: Vec<usize>,
    /// Places in each baseline window, ascending.
    pub(super) baselines: Vec<Vec<usize>>,
    /// Parts of the incident.
    pub(super) incident_parts: Vec<usize>,
    /// Parts of each baseline window.
    pub(super) baseline_parts: Vec<Vec<usize>>,
    /// Places in the incident window and in its lead, ascending.
    leading: Vec<usize>,
}

impl Bins {
    /// The bins of each comparison's windows.
    ///
    /// A bin belongs to a window when it lies fully inside. A window without such a bin takes those that overlap it by at
    /// least half of the bin or of the window, whichever is shorter. Runs of bins without a single call of any service are
    /// left out when the traffic lets expect at least 20 calls in them: the collection had a gap, and a gap in the
    /// collection is not a fall of anybody's rate. An incident without a single call keeps all its bins: that is silence,
    /// as far as anybody can see. A baseline without a call was not recorded.
    pub(super) fn of(calls: &CallStats, comparisons: &[Comparison]) -> Vec<Self> {
        let traffic = Traffic::of(calls);
        let used: Vec<Vec<(i64, Role)>> =
            comparisons.iter().map(|comparison| roles(calls.grid, comparison, &traffic)).collect();
        let mut bins: Vec<i64> = used.iter().flatten().map(|bin| bin.0).collect();
        bins.sort_unstable();
        bins.dedup();
        let places: FxHashMap<i64, usize> = bins.iter().enumerate().map(|(place, bin)| (*bin, place)).collect();
        let by_place: Vec<Vec<Option<Role>>> = used
            .iter()
            .map(|used| {
                let mut roles = vec![None; bins.len()];
                used.iter().for_each(|(bin, role)| roles[places[bin]] = Some(*role));
                roles
            })
            .collect();
        let (part_of, parts) = parts(&by_place, bins.len());
        comparisons
            .iter()
            .zip(by_place)
            .map(|(comparison, roles)| {
                Self::new(calls.grid, (&bins, &places), roles, (&part_of, parts), comparison.baselines.len())
            })
            .collect()
    }

    fn new(
        grid: Grid,
        (bins, places): (&[i64], &FxHashMap<i64, usize>),
        roles: Vec<Option<Role>>,
        (part_of, parts): (&[Option<usize>], usize),
        baselines: usize,
    ) -> Self {
        let of = |wanted: &dyn Fn(Role) -> bool| -> Vec<usize> {
            roles.iter().enumerate().filter(|(_, role)| role.is_some_and(wanted)).map(|(place, _)| place).collect()
        };
        let parts_of = |places: &[usize]| {
            let mut parts: Vec<usize> = places.iter().filter_map(|place| part_of[*place]).collect();
            parts.sort_unstable();
            parts.dedup();
            parts
        };
        let incident = of(&|role| role == Role::Incident);
        let baselines: Vec<Vec<usize>> = (0..baselines).map(|at| of(&|role| role == Role::Baseline(at))).collect();
        Self {
            grid,
            leading: of(&|role| matches!(role, Role::Incident | Role::Lead)),
            incident_parts: parts_of(&incident),
            baseline_parts: baselines.iter().map(|places| parts_of(places)).collect(),
            incident,
            baselines,
            bins: bins.to_vec(),
            places: places.clone(),
            part_of: part_of.to_vec(),
            parts,
            roles,
        }
    }

    /// The place of a bin, if any comparison looks at it.
    pub(super) fn place(&self, bin: i64) -> Option<usize> {
        self.places.get(&bin).copied()
    }

    /// Number of places.
    pub(super) fn len(&self) -> usize {
        self.bins.len()
    }

    /// The places that this comparison looks at, ascending.
    pub(super) fn used(&self) -> impl Iterator<Item = usize> {
        self.roles.iter().enumerate().filter(|(_, role)| role.is_some()).map(|(place, _)| place)
    }

    /// The part that a place belongs to, if it is compared.
    pub(super) fn part(&self, place: usize) -> Option<usize> {
        self.part_of[place]
    }

    /// Number of parts.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    /// Places in any baseline window, ascending.
    pub(super) fn baseline_by_time(&self) -> impl Iterator<Item = usize> {
        let is_baseline = |role: &Option<Role>| matches!(role, Some(Role::Baseline(_)));
        self.roles.iter().enumerate().filter(move |(_, role)| is_baseline(role)).map(|(place, _)| place)
    }

    /// Length of one bin in seconds.
    pub(super) fn step_seconds(&self) -> f64 {
        self.grid.step_ns() as f64 / 1e9
    }

    /// Places in any baseline window, one window after the other.
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
            .filter_map(|&place| Some((self.grid.bin_start_ns(self.bins[place]), value(place)?)))
            .collect();
        onset(&samples, before, after, noise, self.grid.step_ns())
    }
}

/// The bins that a comparison uses, ascending.
fn roles(grid: Grid, comparison: &Comparison, traffic: &Traffic) -> Vec<(i64, Role)> {
    let mut ranges = vec![(Role::Incident, range(&comparison.incident, grid))];
    for (at, window) in comparison.baselines.iter().enumerate() {
        ranges.push((Role::Baseline(at), range(window, grid)));
    }
    let lead = comparison.lead();
    ranges.push((Role::Lead, lead.map_or((0, 0), |window| range(&window, grid))));
    let mut bins: Vec<(i64, Role)> = Vec::new();
    for (role, (from, to)) in ranges {
        let used =
            if role == Role::Incident || traffic.any(from, to) { traffic.without_gaps(from, to) } else { Vec::new() };
        bins.extend(used.into_iter().map(|bin| (bin, role)));
    }
    // the first role wins where half a bin is shared
    bins.sort_by_key(|b| b.0);
    bins.dedup_by_key(|b| b.0);
    bins
}

/// The part of each place, given its role in each comparison, and the number of parts. What is compared nowhere belongs to
/// none.
fn parts(roles: &[Vec<Option<Role>>], places: usize) -> (Vec<Option<usize>>, usize) {
    let mut known: Vec<Vec<Option<Role>>> = Vec::new();
    let part_of = (0..places)
        .map(|place| {
            let of_place: Vec<Option<Role>> =
                roles.iter().map(|roles| roles[place].filter(|role| *role != Role::Lead)).collect();
            of_place.iter().any(Option::is_some).then(|| {
                known.iter().rposition(|part| *part == of_place).unwrap_or_else(|| {
                    known.push(of_place);
                    known.len() - 1
                })
            })
        })
        .collect();
    (part_of, known.len())
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
        let mut bins: Vec<(i64, u64)> = Vec::new();
        let mut places: FxHashMap<i64, usize> = FxHashMap::default();
        let rows = calls.rows.iter().map(|row| (row.key.bin, row.observed));
        for (bin, observed) in rows.chain(calls.instances.iter().map(|row| (row.bin, row.observed))) {
            let place = *places.entry(bin).or_insert(bins.len());
            match bins.get_mut(place) {
                Some(sum) => sum.1 = sum.1.saturating_add(observed),
                None => bins.push((bin, observed)),
            }
        }
        bins.sort_unstable();
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
