//! When a case happens, for how long, and how much load there is then.

use super::Choice;
use super::lot::Lot;
use crate::simulate::fault::traffic::Traffic;
use crate::simulate::plan::{Load, Plan};
use crate::simulate::random::Random;
use crate::simulate::system::{System, Visibility};

const SECOND_NS: i64 = 1_000_000_000;
/// Monday, 2026-01-05T00:00:00Z, in seconds of Unix time.
const FIRST_DAY_S: i64 = 1_767_571_200;
const DAY_S: i64 = 86_400;
/// Cases happen within this many days of the first.
const DAYS: usize = 84;
/// Time for queues, heaps and caches to reach their usual state.
const WARM_UP_NS: i64 = 120 * SECOND_NS;
/// Seconds between two scrapes, by most people's settings; the second in `RARE_SCRAPES` of the cases.
const SCRAPES_S: [u32; 2] = [15, 30];
const RARE_SCRAPES: f64 = 0.3;

/// Mean length of a case.
const USUAL_MINUTES: f64 = 29.0;

/// Spans that a case should have before sampling, from the least to the most.
const SPANS: (f64, f64) = (70_000.0, 140_000.0);
/// Fewer where the fault is a surge of requests, which brings its own.
const SPANS_OF_SURGE: (f64, f64) = (30_000.0, 50_000.0);
/// Most times the mean rate: the systems are laid out for the mean.
const MOST_LOAD: f64 = 1.25;

/// When and under which load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    /// First recorded instant, Unix ns.
    pub(super) start_ns: i64,
    /// Recorded time, ns.
    pub(super) duration_ns: i64,
    /// When the fault begins, or would, Unix ns.
    pub(super) onset_ns: i64,
    /// What the rates are multiplied with at the onset, rhythm included.
    pub(super) load_at_onset: f64,
    factor: f64,
    daily: f64,
    weekend: f64,
    scrape_ns: i64,
}

impl Calendar {
    /// Last recorded instant, Unix ns.
    pub(super) fn end_ns(&self) -> i64 {
        self.start_ns + self.duration_ns
    }

    /// The plan of a run in which nothing happens.
    pub(super) fn plan(&self, seed: u64) -> Plan {
        Plan {
            seed,
            start_ns: self.start_ns,
            warm_up_ns: WARM_UP_NS,
            duration_ns: self.duration_ns,
            scrape_ns: self.scrape_ns,
            load: Load { factor: self.factor, daily: self.daily, weekend: self.weekend, bursts: Vec::new() },
            effects: Vec::new(),
            deploys: Vec::new(),
        }
    }
}

/// Draws the calendar of a case: about 20 minutes of normal operation, then 8 to 10 minutes of incident.
///
/// `choice` may say for about how long, with about how many spans before sampling, and how often metrics are scraped.
pub(super) fn draw(system: &System, lot: &Lot, choice: &Choice, random: &mut Random) -> Calendar {
    let day_s = FIRST_DAY_S + random.below(DAYS) as i64 * DAY_S;
    let start_ns = (day_s + random.below(DAY_S as usize) as i64) * SECOND_NS;
    let scale = choice.minutes.map_or(1.0, |minutes| f64::from(minutes) / USUAL_MINUTES);
    let onset_ns = start_ns + ((random.between(19.0, 21.0) * 60.0 * scale) as i64) * SECOND_NS;
    let incident_ns = ((random.between(8.0, 10.0) * 60.0 * scale) as i64) * SECOND_NS;
    let duration_ns = onset_ns + incident_ns - start_ns;
    let (daily, weekend) = (random.between(0.1, 0.5), random.between(0.0, 0.4));
    let surge = matches!(lot, Lot::Fault(kind) if kind.name == "traffic-surge");
    let (least, most) = if surge { SPANS_OF_SURGE } else { SPANS };
    let drawn = random.between(least, most);
    let spans = choice.spans.map_or(drawn, f64::from);
    let rhythm = rhythm_at(onset_ns, daily, weekend);
    let usual = spans_per_s(system) * rhythm * (duration_ns as f64 / 1e9);
    let factor = if usual > 0.0 { (spans / usual).min(MOST_LOAD / rhythm) } else { 1.0 };
    let drawn_s = SCRAPES_S[usize::from(random.chance(RARE_SCRAPES))];
    let scrape_ns = i64::from(choice.scrape_s.unwrap_or(drawn_s)) * SECOND_NS;
    Calendar { scrape_ns, start_ns, duration_ns, onset_ns, load_at_onset: factor * rhythm, factor, daily, weekend }
}

/// What the rhythm of [`Load`] multiplies the mean with: `1 + daily cos(2 π (hour - 14) / 24)`, less on weekends.
fn rhythm_at(at_ns: i64, daily: f64, weekend: f64) -> f64 {
    let seconds = at_ns.div_euclid(SECOND_NS);
    let hour = seconds.rem_euclid(DAY_S) as f64 / 3600.0;
    let swing = 1.0 + daily * libm::cos(2.0 * std::f64::consts::PI * (hour - 14.0) / 24.0);
    // The first of January 1970 was a Thursday: counted from Monday, the third.
    let weekday = (seconds.div_euclid(DAY_S) + 3).rem_euclid(7);
    if weekday >= 5 { swing * (1.0 - weekend) } else { swing }
}

/// Spans per second at the mean rates: one for each side of a call that sends spans.
fn spans_per_s(system: &System) -> f64 {
    let traffic = Traffic::of(system, 1.0);
    let tells = |operation: usize| {
        let service = &system.services[system.operations[operation].service];
        if service.visibility == Visibility::Full { 1.0 } else { 0.0 }
    };
    let entries: f64 = system.entries.iter().map(|entry| entry.rate_per_s * tells(entry.operation)).sum();
    let calls = traffic.sites.iter();
    let calls = calls.map(|site| traffic.rate_per_s[site.from] * site.weight * (tells(site.from) + tells(site.to)));
    entries + calls.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rhythm_is_highest_in_the_afternoon_and_lower_at_weekends() {
        let at = |day: i64, hour: i64| (FIRST_DAY_S + day * DAY_S + hour * 3600) * SECOND_NS;
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        near(rhythm_at(at(0, 14), 0.3, 0.2), 1.3);
        near(rhythm_at(at(4, 2), 0.3, 0.2), 0.7);
        near(rhythm_at(at(5, 14), 0.3, 0.2), 1.3 * 0.8);
        near(rhythm_at(at(6, 2), 0.3, 0.2), 0.7 * 0.8);
        near(rhythm_at(at(7, 20), 0.3, 0.2), 1.0);
    }

    #[test]
    fn the_first_day_is_a_monday() {
        let day = jiff::Timestamp::from_second(FIRST_DAY_S).unwrap().to_string();
        assert_eq!(day, "2026-01-05T00:00:00Z");
        assert_eq!((FIRST_DAY_S / DAY_S + 3) % 7, 0);
    }
}
