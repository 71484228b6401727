//! What a source holds of the windows: whether a baseline begins before it does, and until when telemetry has arrived.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use crate::telemetry::time::{NANOS_PER_SECOND, Window};
use crate::timespec::{rfc3339, window_text};

/// The first and the last of some instants, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Ends(pub(super) Option<(f64, f64)>);

impl Ends {
    /// Of both together.
    pub(super) fn joined(self, other: Self) -> Self {
        Self(match (self.0, other.0) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        })
    }
}

impl<'de> Deserialize<'de> for Ends {
    /// Of a list of samples, `[time, value]`, in order of time; the values are read elsewhere.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Samples;
        impl<'de> Visitor<'de> for Samples {
            type Value = Ends;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of samples")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ends, A::Error> {
                let mut ends = Ends::default();
                while let Some((at, _)) = seq.next_element::<(f64, IgnoredAny)>()? {
                    ends = Ends(Some((ends.0.map_or(at, |(first, _)| first), at)));
                }
                Ok(ends)
            }
        }
        deserializer.deserialize_seq(Samples)
    }
}

/// A beginning that lacks no more than this share of a window is whole enough.
const MISSING_SHARE: f64 = 0.1;
/// Nor is one that lacks no more than a few scrapes.
const MISSING_S: f64 = 120.0;

/// Tells the windows of whose beginning there is no sample; the last one is the incident. `held` is what the answers hold.
pub(super) fn late_beginnings(windows: &[Window], held: &[Ends]) -> Vec<String> {
    let seconds = |at_ns: i64| at_ns as f64 / NANOS_PER_SECOND as f64;
    let told = |(at, window): (usize, &Window)| {
        let (start_s, end_s) = (seconds(window.start_ns()), seconds(window.end_ns()));
        let within = held.iter().filter_map(|ends| ends.0).filter(|(first, last)| *first < end_s && *last >= start_s);
        let first_s = within.map(|(first, _)| first).min_by(f64::total_cmp);
        let kind = if at + 1 == windows.len() { "incident" } else { "baseline" };
        let of = format!("the {kind} {}", window_text(window));
        let advice = format!("name one that it still keeps (--{kind}), or see how long it keeps samples");
        let Some(first_s) = first_s else { return Some(format!("prometheus holds no sample of {of}: {advice}")) };
        let missing_s = first_s - start_s;
        let is_little = missing_s > MISSING_S.max(window.seconds() * MISSING_SHARE);
        is_little.then(|| {
            let (from, left) =
                (rfc3339(first_s as i64 * NANOS_PER_SECOND), 100.0 * (end_s - first_s) / window.seconds());
            format!("prometheus holds samples of {of} from {from} on only, {left:.0} % of it: {advice}")
        })
    };
    let is_empty = held.iter().all(|ends| ends.0.is_none());
    if is_empty { Vec::new() } else { windows.iter().enumerate().filter_map(told).collect() }
}

/// Telemetry that is so much behind is late; what is missing for longer is silence, and stays one.
const MOST_LAG_NS: i64 = 120 * NANOS_PER_SECOND;
/// Late telemetry takes no more of an incident than this part.
const MOST_CUT: i64 = 4;

/// Whether the incident goes on, so that some of its telemetry may be on its way.
pub(super) fn goes_on(incident: &Window, now_ns: i64) -> bool {
    incident.end_ns() > now_ns - MOST_LAG_NS
}

/// The incident up to where the telemetry of each source has arrived, if that is not its end: what has not arrived yet is
/// no silence.
pub(super) fn arrived_part(incident: &Window, arrived_ns: &[i64], now_ns: i64) -> Option<Window> {
    let late = arrived_ns.iter().copied().filter(|at| incident.end_ns() - at <= MOST_LAG_NS).min()?;
    // The second in which the last of it came is the last one.
    let end_ns = (late.div_euclid(NANOS_PER_SECOND) + 1) * NANOS_PER_SECOND;
    let most_ns = (incident.end_ns() - incident.start_ns()) / MOST_CUT;
    let cut_ns = incident.end_ns() - end_ns;
    let is_late = goes_on(incident, now_ns) && cut_ns > 0 && cut_ns <= most_ns;
    Window::new(incident.start_ns(), end_ns).ok().filter(|_| is_late)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from_s: i64, to_s: i64) -> Window {
        Window::new(from_s * NANOS_PER_SECOND, to_s * NANOS_PER_SECOND).unwrap()
    }

    #[test]
    fn a_baseline_of_which_little_is_held_is_told() {
        let windows = [window(0, 3600), window(4000, 4600)];
        let ends = |first: f64, last: f64| Ends(Some((first, last)));
        assert!(late_beginnings(&windows, &[ends(60.0, 4600.0)]).is_empty());
        // One metric of which there is all is enough: others may be new.
        assert!(late_beginnings(&windows, &[ends(3000.0, 4600.0), ends(-60.0, 4600.0)]).is_empty());
        let told = late_beginnings(&windows, &[ends(2700.0, 4600.0), ends(3000.0, 4600.0), Ends(None)]);
        let [told] = told.as_slice() else { panic!("{told:?}") };
        assert!(told.contains("1970-01-01T00:45:00Z on only, 25 %") && told.contains("(--baseline)"), "{told}");
        let told = late_beginnings(&windows, &[ends(4300.0, 4600.0)]);
        assert!(told[0].contains("no sample of the baseline") && told[1].contains("50 % of it"), "{told:?}");
        assert!(late_beginnings(&windows, &[Ends(None)]).is_empty(), "that nothing came is told elsewhere");
    }

    #[test]
    fn what_has_not_arrived_yet_is_cut_off_and_silence_is_not() {
        let second = |at_s: i64| at_s * NANOS_PER_SECOND;
        let cut = |arrived_s: &[i64], now_s: i64| {
            let arrived: Vec<i64> = arrived_s.iter().map(|at_s| second(*at_s)).collect();
            arrived_part(&window(1000, 1600), &arrived, second(now_s))
        };
        assert_eq!(cut(&[1541, 1590], 1600), Some(window(1000, 1542)));
        assert_eq!(cut(&[1600], 1600), None);
        assert_eq!(cut(&[], 1600), None);
        assert_eq!(cut(&[1541], 1800), None, "two minutes later it would be there");
        assert_eq!(cut(&[1300, 1590], 1600), Some(window(1000, 1591)), "silence for five minutes is one");
        assert_eq!(arrived_part(&window(1000, 1100), &[second(1060)], second(1100)), None, "most of it stays");
    }

    #[test]
    fn the_ends_of_samples_are_read() {
        let ends: Ends = serde_json::from_str(r#"[[1.5,"2"],[3,"NaN"],[7,{"count":"1"}]]"#).unwrap();
        assert_eq!(ends, Ends(Some((1.5, 7.0))));
        assert_eq!(ends.joined(Ends::default()), ends);
        assert_eq!(ends.joined(Ends(Some((0.5, 2.0)))), Ends(Some((0.5, 7.0))));
        assert_eq!(serde_json::from_str::<Ends>("[]").unwrap(), Ends(None));
    }
}
