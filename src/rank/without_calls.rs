//! Signs where nothing tells who calls whom: what is inside a service counts beside what shows at its surface.
//!
//! Without calls nothing can be accounted for, and two facts are left. What changes inside (processor, memory, disk,
//! sockets) is not inherited through calls; what shows at the surface is, but it grows thinner on the way up: a caller
//! adds the callee's delay to a longer time of its own. So each kind of sign adds up, as in PRISM (Pham, 2026,
//! <https://arxiv.org/abs/2601.21359>), but on logarithms of robust shifts instead of the farthest sample:
//!
//! ```text
//! strength = log2(1 + max(0, z - 1))     z: shift in scales of the baseline (stats::robust::Scale)
//! inside   = the strongest of the resources that rose, or of memory that fell by a third (a process began anew)
//! surface  = latency + 2 (1 - 2^(-failures / 2))
//! silence  = log2 of the median service's share of its requests over this one's
//! ```
//! Failures count little because they do not grow thinner: a page fails with any of its parts. Latency is compared by
//! medians, which hold against its outliers; all else by means, because requests and resources come in bursts, and failures
//! now and then, which a median does not see. Only signals with a significant finding count: hints of all services together
//! would leave no certainty to the one that has more.
//!
//! Chosen on simulated cases (seed 7) cut down to one series a second of each signal and service. All factors are 1:
//! doubling or halving any of them cost a few cases.

use std::collections::BTreeMap;

use super::fusion::CAP;
use super::inside::{Own, strongest, unexplained_by_traffic};
use crate::detect::{Change, Finding, Floors};
use crate::incident::Incident;
use crate::stats::robust::{Scale, median};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Signal, Statistic, Subject};

/// A scale is at least this share of the level, as in detection.
const RELATIVE_FLOOR: f64 = 0.05;
/// Most that failures add.
const FAILURES_CAP: f64 = 2.0;
/// What a process that began anew uses of the memory of the one before, at most.
const NEW_PROCESS_SHARE: f64 = 2.0 / 3.0;
/// Above this bits grow ever slower towards the cap, so that two loud services are still told apart.
const LINEAR_BITS: f64 = 6.0;

/// Signs by service.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) inside: BTreeMap<ServiceId, Own>,
    pub(super) surface: BTreeMap<ServiceId, Own>,
    pub(super) silence: BTreeMap<ServiceId, Own>,
}

/// The signs of an incident of which no call is known; `None` where one is.
pub(super) fn seen(incident: &Incident, findings: &[Finding]) -> Option<Seen> {
    if !incident.calls.rows.is_empty() || !incident.graph.edges().is_empty() {
        return None;
    }
    let told = told(findings);
    let shifts: Vec<Shifted> = incident.series.iter().filter_map(|one| shifted(incident, one, &told)).collect();
    let kept = kept_requests(&shifts);
    let usual = median(&kept.values().copied().collect::<Vec<_>>()).unwrap_or(1.0);
    let mut seen = Seen::default();
    let (mut slow, mut failing) = (BTreeMap::new(), BTreeMap::new());
    for shift in &shifts {
        let Some(finding) = shift.finding else { continue };
        let service = shift.series.subject.service();
        let traffic = kept.get(service).copied().unwrap_or(1.0);
        match shift.series.signal {
            Signal::Latency if shift.rose() => strongest(&mut slow, service, shift.strength(), finding),
            Signal::ErrorRatio if shift.rose() => {
                strongest(&mut failing, service, towards(FAILURES_CAP, shift.strength()), finding);
            }
            Signal::Requests => {
                strongest(&mut seen.silence, service, (usual / traffic).log2().clamp(0.0, CAP), finding);
            }
            // Events, which have no level.
            Signal::Restarts if findings[finding].change == Change::Rise => {
                strongest(&mut seen.inside, service, findings[finding].bits.min(CAP), finding);
            }
            Signal::Restarts => {}
            signal if signal.is_internal() && (shift.rose() || shift.is_of_new_process()) => {
                let unexplained = unexplained_by_traffic(&findings[finding], traffic);
                strongest(&mut seen.inside, service, bounded(shift.strength() * unexplained), finding);
            }
            _ => {}
        }
    }
    for (service, own) in failing {
        slow.entry(service).and_modify(|slow: &mut Own| slow.bits += own.bits).or_insert(own);
    }
    seen.surface = slow.into_iter().map(|(service, own)| (service, Own { bits: bounded(own.bits), ..own })).collect();
    Some(seen)
}

/// Bits on their way to the cap: as they are up to a point, then closer and closer to it.
fn bounded(bits: f64) -> f64 {
    if bits <= LINEAR_BITS { bits } else { LINEAR_BITS + towards(CAP - LINEAR_BITS, bits - LINEAR_BITS) }
}

/// Closer and closer to `cap`, in the order of the bits.
fn towards(cap: f64, bits: f64) -> f64 {
    cap * (1.0 - (-bits / 2.0).exp2())
}

/// A series of a service and how its level shifted.
struct Shifted<'i> {
    series: &'i Series,
    before: f64,
    during: f64,
    /// In scales, unsigned.
    z: f64,
    /// The strongest significant finding about the same signal of the same subject.
    finding: Option<usize>,
}

impl Shifted<'_> {
    fn rose(&self) -> bool {
        self.during > self.before
    }

    /// Whether it is memory that a process which began anew does not use yet. Collected garbage is no such sign.
    fn is_of_new_process(&self) -> bool {
        self.series.signal == Signal::Memory && self.during < NEW_PROCESS_SHARE * self.before
    }

    fn strength(&self) -> f64 {
        (1.0 + (self.z - 1.0).max(0.0)).log2()
    }
}

/// The strongest significant finding about each signal of each subject.
type Told<'f> = BTreeMap<(&'f Subject, Signal), usize>;

fn told(findings: &[Finding]) -> Told<'_> {
    let mut told: Told<'_> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        if finding.significant && finding.change != Change::Appeared {
            let known = told.entry((&finding.subject, finding.signal)).or_insert(index);
            if finding.bits > findings[*known].bits {
                *known = index;
            }
        }
    }
    told
}

fn shifted<'i>(incident: &Incident, series: &'i Series, told: &Told<'_>) -> Option<Shifted<'i>> {
    let whose = matches!(series.subject, Subject::Service(_) | Subject::Instance { .. });
    if !whose || series.statistic == Statistic::Counter {
        return None;
    }
    let baseline: Vec<f64> = incident.baselines.iter().flat_map(|window| series.values_in(window)).collect();
    let now = series.values_in(&incident.window);
    let level = match series.signal {
        Signal::Latency => median,
        _ => mean,
    };
    let (before, during) = (level(&baseline)?, level(&now)?);
    let floor = Floors::default().of(series.signal, series.unit);
    let z = Scale::of(&baseline, RELATIVE_FLOOR, floor).z(during - before);
    let finding = told.get(&(&series.subject, series.signal)).copied();
    Some(Shifted { series, before, during, z, finding })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// What each service has of its usual requests, as a ratio; more than one series of a service are averaged.
fn kept_requests(shifts: &[Shifted<'_>]) -> BTreeMap<ServiceId, f64> {
    let mut sums: BTreeMap<&ServiceId, [f64; 2]> = BTreeMap::new();
    for shift in shifts.iter().filter(|shift| shift.series.signal == Signal::Requests) {
        let of = sums.entry(shift.series.subject.service()).or_default();
        *of = [of[0] + shift.before.max(0.0), of[1] + shift.during.max(0.0)];
    }
    let floor = Floors::default().per_second;
    sums.into_iter().map(|(service, [before, during])| (service.clone(), (during + floor) / (before + floor))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentParts;
    use crate::telemetry::calls::CallStats;
    use crate::telemetry::series::Unit;
    use crate::telemetry::time::{Grid, Window};

    /// What `look` sees of a series with 80 values before the incident and 20 in it.
    fn seen_of<T>(signal: Signal, unit: Unit, value: impl Fn(i64) -> f64, look: impl Fn(&Shifted<'_>) -> T) -> T {
        let series = Series {
            subject: Subject::Service("cart".into()),
            signal,
            statistic: Statistic::Mean,
            unit,
            name: String::new(),
            samples: (0..100).map(|at| (at, value(at))).collect(),
        };
        let window = |from, to| Window::new(from, to).unwrap();
        let parts = IncidentParts::new(window(80, 100), vec![window(0, 80)], CallStats::empty(Grid::new(1)));
        let incident = Incident::new(IncidentParts { series: vec![series], ..parts }).unwrap();
        look(&shifted(&incident, &incident.series[0], &Told::new()).unwrap())
    }

    #[test]
    fn failures_now_and_then_are_a_rise() {
        let failing = |every: i64| move |at: i64| if at >= 80 && at % every == 0 { 0.2 } else { 0.0 };
        let rose = |every| seen_of(Signal::ErrorRatio, Unit::Ratio, failing(every), |shift| shift.rose());
        assert!(rose(5) && !rose(1000));
        assert!(!seen_of(Signal::Latency, Unit::Seconds, failing(5), |shift| shift.rose()), "an outlier");
    }

    #[test]
    fn memory_that_fell_a_little_is_no_new_process() {
        let memory = |during: f64| move |at: i64| if at >= 80 { during } else { 300e6 };
        let is_new = |during| seen_of(Signal::Memory, Unit::Bytes, memory(during), |shift| shift.is_of_new_process());
        assert!(is_new(150e6) && !is_new(240e6) && !is_new(400e6));
    }

    #[test]
    fn bits_are_bounded_and_keep_their_order() {
        assert!((bounded(5.5) - 5.5).abs() < 1e-12);
        // 6 + 2 (1 - 2^-1)
        assert!((bounded(8.0) - 7.0).abs() < 1e-12);
        assert!(bounded(12.0) < bounded(13.0) && bounded(40.0) < CAP);
    }
}
