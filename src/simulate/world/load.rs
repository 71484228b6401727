//! Requests that come in: an inhomogeneous Poisson process for each entry, by thinning.
//!
//! Candidates arrive at a constant rate that the true one never exceeds, and each is kept with the ratio of the two
//! (Lewis & Shedler 1979, "Simulation of nonhomogeneous Poisson processes by thinning", Naval Research Logistics
//! Quarterly 26(3), algorithm 1, doi:10.1002/nav.3800260304). The bound is drawn anew every minute, so that a short burst
//! does not make the whole day expensive; the process has no memory, so that a candidate beyond the minute may be
//! drawn again from its end.

use std::f64::consts::PI;

use crate::simulate::plan::{Effect, Knob, Plan, Target};
use crate::simulate::random::Random;

use super::effects::grown_factor;
use super::time::{SECOND_NS, ns_of_us};

const WINDOW_NS: i64 = 60 * SECOND_NS;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// Hour of the day (UTC) with the most requests.
const PEAK_HOUR: f64 = 14.0;

/// Arrivals of one entry.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// Requests per second without rhythm and bursts.
    base_per_s: f64,
    /// How much of it arrives at most in the current window.
    bound: f64,
    window_end_ns: i64,
    random: Random,
}

impl Arrivals {
    pub(super) fn new(base_per_s: f64, random: Random) -> Self {
        Self { base_per_s, bound: 0.0, window_end_ns: i64::MIN, random }
    }

    /// When the next request comes in after `now_ns`, ns; `None`: not before the plan ends.
    pub(super) fn next(&mut self, plan: &Plan, now_ns: i64) -> Option<i64> {
        let end_ns = plan.start_ns + plan.duration_ns;
        let mut at_ns = now_ns;
        while at_ns < end_ns {
            if at_ns >= self.window_end_ns {
                self.window_end_ns = at_ns + WINDOW_NS;
                self.bound = bound(plan, at_ns, self.window_end_ns);
            }
            let rate_per_s = self.base_per_s * self.bound;
            if rate_per_s <= 0.0 {
                at_ns = self.window_end_ns;
                continue;
            }
            // Never at the same instant: two arrivals of one entry are two instants.
            at_ns += ns_of_us(self.random.exponential(1e6 / rate_per_s)).max(1);
            if at_ns >= self.window_end_ns {
                at_ns = self.window_end_ns;
            } else if self.random.unit() * self.bound < intensity(plan, at_ns) {
                return Some(at_ns);
            }
        }
        None
    }
}

/// How many times the mean rate of each entry arrives at an instant.
pub(super) fn intensity(plan: &Plan, at_ns: i64) -> f64 {
    let load = &plan.load;
    let mut product = load.factor * rhythm(load.daily, load.weekend, at_ns);
    for (from_ns, length_ns, factor) in &load.bursts {
        if (*from_ns..from_ns + length_ns).contains(&at_ns) {
            product *= factor;
        }
    }
    for (effect, factor) in surges(plan) {
        if (effect.from_ns..effect.until_ns).contains(&at_ns) {
            product *= grown_factor(effect, factor, at_ns);
        }
    }
    product
}

/// At least the intensity at any instant of a window.
fn bound(plan: &Plan, from_ns: i64, until_ns: i64) -> f64 {
    let load = &plan.load;
    let mut product = load.factor * (1.0 + load.daily);
    for (start_ns, length_ns, factor) in &load.bursts {
        if *start_ns < until_ns && start_ns + length_ns > from_ns {
            product *= factor.max(1.0);
        }
    }
    for (effect, factor) in surges(plan) {
        if effect.from_ns < until_ns && effect.until_ns > from_ns {
            product *= factor.max(1.0);
        }
    }
    product
}

fn surges(plan: &Plan) -> impl Iterator<Item = (&Effect, f64)> {
    plan.effects.iter().filter_map(|effect| match (&effect.target, effect.knob) {
        (Target::Load, Knob::Arrivals(factor)) => Some((effect, factor)),
        _ => None,
    })
}

/// Swing over the day, and what Saturdays and Sundays lack.
fn rhythm(daily: f64, weekend: f64, at_ns: i64) -> f64 {
    let hour = at_ns.rem_euclid(DAY_NS) as f64 / 3_600e9;
    // 1 January 1970 was a Thursday: with 3 added, Monday is 0.
    let weekday = (at_ns.div_euclid(DAY_NS) + 3).rem_euclid(7);
    let week = if weekday >= 5 { 1.0 - weekend } else { 1.0 };
    week * (1.0 + daily * libm::cos(2.0 * PI * (hour - PEAK_HOUR) / 24.0))
}
