//! The changed part of a service against the unchanged one beside it: difference in differences.
//!
//! ```text
//! effect = (changed, during - changed, before) - (unchanged, during - unchanged, before)
//! ```
//! (Card & Krueger, American Economic Review 84, 1994, table 3.) Parts are versions where there are several, else
//! instances. "During" are the bins of the incident in which both answered requests: the same minutes. "Before" are the
//! baseline's; of a part whose instances were not there yet, nothing is known before, and both are taken to be alike.
//!
//! What is compared is the share of requests that fail by the part's own doing, and its mean own time. Each is a ratio of
//! sums over bins, whose variance is (Cochran, Sampling Techniques, 1977, equation 2.39, bins drawn of many)
//!
//! ```text
//! var(y / x) = n / (n - 1) * sum over bins of (y_bin - (y / x) x_bin)^2 / x^2
//! ```
//! and for shares no less than that of a binomial with one failure and one success more (Agresti & Caffo, American
//! Statistician 54, 2000): without any failure the bins all agree, and yet not everything is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::Floors;
use crate::incident::Incident;
use crate::rank::phase::Phase;
use crate::stats::distribution::student_two_sided;
use crate::telemetry::calls::InstanceRow;
use crate::telemetry::change::Change;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Signal;

/// Requests seen of each part that a comparison needs, …
const LEAST_SEEN: u64 = 30;
/// … and bins in which both parts answered.
const LEAST_BINS: usize = 3;
/// An effect must be this many standard errors.
const LEAST_Z: f64 = 3.0;
/// What clocks tell apart, seconds: no mean is surer than that.
const CLOCK_SECONDS: f64 = 1e-6;
/// An effect must be more than this share of what the unchanged part shows.
const LEAST_RELATIVE: f64 = 0.05;

/// How the changed part did beside the unchanged one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Comparison {
    /// What was compared: [`Signal::OriginErrorRatio`] or [`Signal::SelfTime`].
    pub(crate) signal: Signal,
    /// Whether the parts are versions; else they are instances.
    pub(crate) versions: bool,
    /// Of the changed part during the incident: a share or seconds.
    pub(crate) changed: f64,
    /// Of the unchanged part at the same time.
    pub(crate) unchanged: f64,
    /// Difference in differences.
    pub(crate) effect: f64,
    /// Its standard error, positive.
    pub(crate) error: f64,
    /// Degrees of freedom of the error.
    pub(crate) degrees: f64,
}

impl Comparison {
    /// The effect in standard errors.
    pub(crate) fn z(&self) -> f64 {
        self.effect / self.error
    }

    /// Bits that speak for the change: importance, and no more than surprise, as in [`crate::detect`]; 0 where the changed
    /// part is not worse.
    pub(crate) fn bits(&self) -> f64 {
        let floors = Floors::default();
        let floor = if self.signal == Signal::SelfTime { floors.seconds } else { floors.error_ratio };
        let z = self.z();
        if z < LEAST_Z || self.effect < floor.max(LEAST_RELATIVE * self.unchanged) {
            return 0.0;
        }
        let surprise = -student_two_sided(z, self.degrees).log2();
        (1.0 + z).log2().min(surprise)
    }
}

/// The comparison in which the changed part does worst; `None` where no two parts ran side by side.
pub(super) fn compare(incident: &Incident, service: &ServiceId, change: &Change) -> Option<Comparison> {
    let calls = &incident.calls;
    let node = calls.nodes.binary_search_by(|node| node.id.cmp(service)).ok()? as u32;
    let first = calls.instances.partition_point(|row| row.service < node);
    let rows: Vec<&InstanceRow> = calls.instances[first..].iter().take_while(|row| row.service == node).collect();
    let at_bin = calls.grid.bin(change.at_ns);
    let parts = changed_part(&rows, change, at_bin)?;
    let versions = parts.1;
    let cells = Cells::of(incident, &rows, &parts, at_bin);
    let failures = cells.compare(Signal::OriginErrorRatio, versions, |row| row.origin_errors as f64)?;
    let times = cells.compare(Signal::SelfTime, versions, |row| row.self_ns as f64 / 1e9)?;
    let worse = times.bits().total_cmp(&failures.bits()).then_with(|| times.z().total_cmp(&failures.z()));
    Some(if worse.is_gt() { times } else { failures })
}

/// Which rows are of the changed part, and whether parts are versions: the change's own version, else the versions or
/// instances that came with the change while others had been there.
fn changed_part(rows: &[&InstanceRow], change: &Change, at_bin: i64) -> Option<(BTreeSet<String>, bool)> {
    for (name, versions) in [(version as fn(&InstanceRow) -> &str, true), (instance, false)] {
        let mut first: BTreeMap<&str, i64> = BTreeMap::new();
        for row in rows.iter().filter(|row| !name(row).is_empty()) {
            let known = first.entry(name(row)).or_insert(row.bin);
            *known = (*known).min(row.bin);
        }
        let told = |part: &str| versions && change.is_of_version(part);
        let is_told = first.keys().any(|part| told(part));
        let came = |part: &str, bin: i64| if is_told { told(part) } else { bin >= at_bin };
        let changed: BTreeSet<String> =
            first.iter().filter(|(part, bin)| came(part, **bin)).map(|(part, _)| (*part).to_owned()).collect();
        if !changed.is_empty() && changed.len() < first.len() {
            return Some((changed, versions));
        }
    }
    None
}

fn version(row: &InstanceRow) -> &str {
    &row.version
}

fn instance(row: &InstanceRow) -> &str {
    &row.instance
}

/// Whether a row is of the changed part.
const CHANGED: usize = 1;
const UNCHANGED: usize = 0;

/// Rows by part and bin.
struct Cells<'a> {
    during: [BTreeMap<i64, Vec<&'a InstanceRow>>; 2],
    before: [BTreeMap<i64, Vec<&'a InstanceRow>>; 2],
}

impl<'a> Cells<'a> {
    fn of(
        incident: &Incident,
        rows: &[&'a InstanceRow],
        (changed, versions): &(BTreeSet<String>, bool),
        at_bin: i64,
    ) -> Self {
        let name = if *versions { version } else { instance };
        let part = |row: &InstanceRow| usize::from(changed.contains(name(row)));
        // Where instances keep their names over a change, what became the changed part is known before it too.
        let became: BTreeSet<&str> = rows
            .iter()
            .filter(|row| part(row) == CHANGED && !row.instance.is_empty())
            .map(|row| instance(row))
            .collect();
        let mut cells = Self { during: Default::default(), before: Default::default() };
        for row in rows.iter().filter(|row| !name(row).is_empty() && row.calls > 0) {
            match Phase::of_bin(incident, &incident.calls.grid, row.bin) {
                Some(Phase::Incident) if row.bin >= at_bin => {
                    cells.during[part(row)].entry(row.bin).or_default().push(row);
                }
                Some(Phase::Baseline) if row.bin < at_bin => {
                    let part = usize::from(became.contains(row.instance.as_str()));
                    cells.before[part].entry(row.bin).or_default().push(row);
                }
                Some(_) | None => {}
            }
        }
        let [unchanged, changed] = &mut cells.during;
        unchanged.retain(|bin, _| changed.contains_key(bin));
        changed.retain(|bin, _| unchanged.contains_key(bin));
        cells
    }

    fn compare(&self, signal: Signal, versions: bool, measure: impl Fn(&InstanceRow) -> f64) -> Option<Comparison> {
        let ratio = |bins| Ratio::of(bins, signal, &measure);
        let [unchanged, changed] = [ratio(&self.during[UNCHANGED])?, ratio(&self.during[CHANGED])?];
        let before = ratio(&self.before[UNCHANGED]).zip(ratio(&self.before[CHANGED]));
        let (was, was_variance) = before.map_or((0.0, 0.0), |(u, c)| (c.mean - u.mean, c.variance + u.variance));
        let effect = changed.mean - unchanged.mean - was;
        let error = (changed.variance + unchanged.variance + was_variance).sqrt();
        let degrees = self.during[CHANGED].len() as f64 - 1.0;
        Some(Comparison { signal, versions, changed: changed.mean, unchanged: unchanged.mean, effect, error, degrees })
    }
}

/// A ratio of sums over bins.
#[derive(Clone, Copy)]
struct Ratio {
    mean: f64,
    variance: f64,
}

impl Ratio {
    /// `None` for too little to compare.
    fn of(
        bins: &BTreeMap<i64, Vec<&InstanceRow>>,
        signal: Signal,
        measure: &impl Fn(&InstanceRow) -> f64,
    ) -> Option<Self> {
        let rows = || bins.values().flatten();
        let seen: u64 = rows().map(|row| row.observed).sum();
        if seen < LEAST_SEEN || bins.len() < LEAST_BINS {
            return None;
        }
        let calls: f64 = rows().map(|row| row.calls as f64).sum();
        let mean = rows().map(|row| measure(row)).sum::<f64>() / calls;
        let squares: f64 = bins
            .values()
            .map(|rows| rows.iter().map(|row| measure(row) - mean * row.calls as f64).sum::<f64>().powi(2))
            .sum();
        let count = bins.len() as f64;
        let variance = count / (count - 1.0) * squares / (calls * calls);
        if signal == Signal::SelfTime {
            return Some(Self { mean, variance: variance.max(CLOCK_SECONDS * CLOCK_SECONDS) });
        }
        let more = seen as f64 + 2.0;
        let share = (mean * seen as f64 + 1.0) / more;
        Some(Self { mean, variance: variance.max(share * (1.0 - share) / more) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::telemetry::calls::{CallNode, CallStats};
    use crate::telemetry::change::ChangeKind;

    use crate::telemetry::series::{Series, Statistic, Subject, Unit};
    use crate::telemetry::time::{Grid, NANOS_PER_SECOND, Window};
    use crate::telemetry::topology::NodeKind;

    const MINUTE: i64 = 60 * NANOS_PER_SECOND;

    /// What a part of the service `pay` answers in each minute.
    #[derive(Clone)]
    pub(in crate::rank::evidence) struct Traffic {
        row: InstanceRow,
        minutes: std::ops::Range<i64>,
    }

    impl Traffic {
        pub(in crate::rank::evidence) fn of(
            version: &str,
            instance: &str,
            from: i64,
            until: i64,
            calls: u64,
            failed: u64,
        ) -> Self {
            let row = InstanceRow {
                service: 0,
                instance: instance.to_owned(),
                version: version.to_owned(),
                bin: 0,
                calls,
                observed: calls,
                weight_squares: calls,
                error_weight_squares: failed,
                errors: failed,
                origin_errors: failed,
                duration_ns: calls * 10_000_000,
                self_ns: calls * 10_000_000,
            };
            Self { row, minutes: from..until }
        }

        fn taking(mut self, seconds: f64) -> Self {
            self.row.self_ns = (seconds * 1e9 * self.row.calls as f64) as u64;
            self
        }
    }

    pub(in crate::rank::evidence) fn deploy(version: &str, minute: i64) -> Change {
        Change {
            at_ns: minute * MINUTE,
            service: Some("pay".into()),
            kind: ChangeKind::Deploy,
            version: version.to_owned(),
            description: String::new(),
            source: String::new(),
        }
    }

    /// Twenty minutes of baseline, five of incident.
    pub(in crate::rank::evidence) fn incident(parts: &[Traffic], changes: Vec<Change>) -> Incident {
        let mut calls = CallStats::empty(Grid::new(MINUTE));
        calls.nodes = vec![CallNode { id: "pay".into(), kind: NodeKind::Service }];
        for part in parts {
            calls.instances.extend(part.minutes.clone().map(|bin| InstanceRow { bin, ..part.row.clone() }));
        }
        calls.instances.sort();
        let series = Series {
            subject: Subject::Service("pay".into()),
            signal: Signal::Cpu,
            statistic: Statistic::Mean,
            unit: Unit::Cores,
            name: String::new(),
            samples: vec![(0, 1.0)],
        };
        Incident::new(IncidentParts {
            name: "test".to_owned(),
            series: vec![series],
            changes,
            ..IncidentParts::new(
                Window::new(20 * MINUTE, 25 * MINUTE).expect("not empty"),
                vec![Window::new(0, 20 * MINUTE).expect("not empty")],
                calls,
            )
        })
        .expect("a sound incident")
    }

    fn compared(parts: &[Traffic], change: &Change) -> Option<Comparison> {
        compare(&incident(parts, Vec::new()), &"pay".into(), change)
    }

    #[test]
    fn a_worse_version_beside_the_old_one_is_told_by_how_much() {
        let parts = [Traffic::of("1", "a", 0, 25, 100, 0), Traffic::of("2", "b", 19, 25, 100, 12)];
        let found = compared(&parts, &deploy("registry/pay:2", 19)).expect("side by side");
        assert_eq!((found.signal, found.versions), (Signal::OriginErrorRatio, true));
        assert!((found.changed - 0.12).abs() < 1e-12 && found.unchanged.abs() < 1e-12);
        // 60 failures in 500 and none in 500, each with one more of both kinds (Agresti & Caffo):
        // math.sqrt(61/502*441/502/502 + 1/502*501/502/502) in Python.
        assert!((found.error - 0.014_717_55).abs() < 1e-7, "{}", found.error);
        assert!(found.bits() > 3.0);
    }

    #[test]
    fn what_the_parts_differed_in_before_is_taken_off() {
        // Card & Krueger, table 3: New Jersey 20.44 to 21.03, Pennsylvania 23.33 to 21.17, so that the effect is 2.76
        // (from unrounded means). Instances keep their names, and the change is known from one of them.
        let parts = [
            Traffic::of("1", "nj", 0, 20, 100, 0).taking(20.44),
            Traffic::of("2", "nj", 20, 25, 100, 0).taking(21.03),
            Traffic::of("1", "pa", 0, 20, 100, 0).taking(23.33),
            Traffic::of("1", "pa", 20, 25, 100, 0).taking(21.17),
        ];
        let found = compared(&parts, &deploy("2", 20)).expect("side by side");
        assert_eq!(found.signal, Signal::SelfTime);
        assert!((found.effect - 2.76).abs() < 0.015, "{found:?}");
    }

    #[test]
    fn a_ratio_varies_between_bins_as_the_formula_says() {
        let row = |bin, calls, failed| InstanceRow { bin, ..Traffic::of("1", "a", 0, 1, calls, failed).row };
        let rows = [row(0, 10, 1), row(1, 20, 4), row(2, 30, 3)];
        let bins: BTreeMap<i64, Vec<&InstanceRow>> = rows.iter().map(|row| (row.bin, vec![row])).collect();
        // By hand: 8/60; residuals -1/3, 4/3, -1; 3/2 * (26/9) / 3600.
        let found = Ratio::of(&bins, Signal::SelfTime, &|row| row.origin_errors as f64).expect("enough");
        assert!((found.mean - 8.0 / 60.0).abs() < 1e-12 && (found.variance - 26.0 / 21_600.0).abs() < 1e-12);
    }

    #[test]
    fn without_parts_side_by_side_nothing_is_compared() {
        let old = Traffic::of("1", "a", 0, 20, 100, 0);
        let alone = [old.clone(), Traffic::of("2", "b", 20, 25, 100, 50)];
        assert_eq!(compared(&alone, &deploy("2", 20)), None, "one after the other");
        let rare = [Traffic::of("1", "a", 0, 25, 100, 0), Traffic::of("2", "b", 20, 25, 4, 4)];
        assert_eq!(compared(&rare, &deploy("2", 20)), None, "too few requests");
        assert_eq!(compared(&[Traffic::of("1", "a", 0, 25, 9, 0)], &deploy("2", 20)), None);
        assert_eq!(compare(&incident(&[old], Vec::new()), &"cart".into(), &deploy("2", 20)), None);
    }

    #[test]
    fn without_versions_the_instances_that_came_with_the_change_are_compared() {
        let parts = [
            Traffic::of("", "a", 0, 25, 100, 0),
            Traffic::of("", "b", 20, 25, 100, 0).taking(0.05),
            Traffic::of("", "c", 20, 25, 90, 0).taking(0.06),
        ];
        let found = compared(&parts, &deploy("", 20)).expect("side by side");
        assert_eq!((found.signal, found.versions), (Signal::SelfTime, false));
        assert!(found.changed > 0.05 && found.unchanged < 0.011);
        assert_eq!(compared(&[parts[0].clone(), Traffic::of("", "b", 0, 25, 9, 9)], &deploy("", 20)), None);
    }
}
