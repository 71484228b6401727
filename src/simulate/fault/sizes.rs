//! From what users of an entry are to feel to how far a knob has to be turned.

use super::Severity;
use super::scene::{Place, Scene, Way};
use super::traffic::{Need, Traffic};
use crate::simulate::system::OperationIdx;

/// Time added to a request: subtle, in mean responses of the target; from middle up in objectives of the entry. An
/// objective is a little above the usual 99th percentile.
pub(super) const SLOWER: [(f64, f64); 4] = [(0.2, 0.6), (0.8, 1.4), (4.0, 7.0), (20.0, 40.0)];
/// What [`SLOWER`] measures.
pub(super) const SLOWER_PARAMETER: &str =
    "time added to a request that meets it, in objectives of the entry; subtle: in mean responses of the target";

/// Share of an entry's requests that fail.
pub(super) const FAILING: [(f64, f64); 4] = [(0.01, 0.03), (0.06, 0.15), (0.2, 0.6), (0.97, 1.0)];
/// What [`FAILING`] measures.
pub(super) const FAILING_PARAMETER: &str = "share of the entry's requests that fail, of those that meet it";

/// Share of the room (below) that a fault of middle severity may take, so that it is felt as slowness and not as outage.
const MIDDLE_OF_ROOM: f64 = 0.7;
/// The same for severe: beyond the room queues grow and callers give up.
const SEVERE_OF_ROOM: f64 = 1.1;
/// A total fault makes every caller give up.
const TOTAL_OF_PATIENCE: f64 = 2.0;

/// How much longer something may take before something else gives way.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Until the mean caller gives up, µs.
    patience_us: f64,
    /// Until all workers or connections of someone on the way are taken, µs.
    capacity_us: f64,
}

impl<'a> Scene<'a> {
    /// The same scene with a size of [`SLOWER`]: for kinds whose own sizes measure something else.
    pub(super) fn slow(&mut self) -> Scene<'a> {
        let (low, high) = SLOWER[self.severity as usize];
        Scene { size: self.random.between(low, high), random: self.random.clone(), ..*self }
    }

    /// Time to add to each visit of a service, µs.
    pub(super) fn added_us(&self, place: &Place) -> f64 {
        let system = self.traffic.system;
        let probe_us = self.objective_us(place.entry);
        let there = |operation: OperationIdx| {
            if system.operations[operation].service == place.service { probe_us } else { 0.0 }
        };
        let slowed = self.traffic.responses_us(&there, &|_| 0.0);
        let usual_us = self.traffic.mean_over(place.service, |operation| self.traffic.response_us[operation]);
        self.sized_us(place.entry, probe_us, &slowed, usual_us)
    }

    fn sized_us(&self, entry: usize, probe_us: f64, slowed_us: &[f64], usual_us: f64) -> f64 {
        let gain: Vec<f64> = slowed_us
            .iter()
            .zip(&self.traffic.response_us)
            .map(|(slowed, usual)| (slowed - usual) / probe_us)
            .collect();
        // A request that meets it more than once feels it more than once; one that rarely meets it feels it fully then.
        let felt = gain[self.traffic.system.entries[entry].operation].max(1.0);
        let room = room(self.traffic, &gain);
        let least_us = room.patience_us.min(room.capacity_us);
        let wanted_us = self.size * self.objective_us(entry) / felt;
        match self.severity {
            Severity::Subtle => (self.size * usual_us).min(MIDDLE_OF_ROOM * least_us),
            Severity::Middle => wanted_us.min(MIDDLE_OF_ROOM * least_us),
            Severity::Severe => wanted_us.min(SEVERE_OF_ROOM * least_us),
            Severity::Total if room.patience_us.is_finite() => wanted_us.max(TOTAL_OF_PATIENCE * room.patience_us),
            Severity::Total => wanted_us,
        }
    }

    /// Probability with which one visit has to fail, so that the wanted share of an entry's requests fails though
    /// callers try again; `retried` is whether a further attempt can go well.
    pub(super) fn failing_visits(&self, place: &Place, retried: bool) -> f64 {
        let sites = self.traffic.sites.iter().filter(|site| {
            site.need == Need::Required && self.traffic.system.operations[site.to].service == place.service
        });
        let weighted = sites.map(|site| (site.weight * self.traffic.rate_per_s[site.from], site.retries));
        self.failing(place.visits, if retried { usual_retries(weighted) } else { 0 })
    }

    /// The same for one call over a link.
    pub(super) fn failing_calls(&self, way: &Way) -> f64 {
        let sites = self.traffic.sites.iter().filter(|site| site.need == Need::Required && site.link == way.link);
        let weighted = sites.map(|site| (site.weight * self.traffic.rate_per_s[site.from], site.retries));
        self.failing(way.calls, usual_retries(weighted))
    }

    /// Of `times` tries by one request one failure is enough to fail it. Below one try on average, `times` is taken as
    /// the share of requests that try once, and of these the wanted share fails.
    pub(super) fn failing(&self, times: f64, retries: u32) -> f64 {
        let of_a_try = 1.0 - libm::pow(1.0 - self.size.min(1.0), 1.0 / times.max(1.0));
        libm::pow(of_a_try, 1.0 / f64::from(1 + retries))
    }

    /// What the entry promises, µs.
    pub(super) fn objective_us(&self, entry: usize) -> f64 {
        self.traffic.system.entries[entry].objective_ms * 1e3
    }
}

/// Retries of the call sites that carry most.
fn usual_retries(weighted: impl Iterator<Item = (f64, u32)>) -> u32 {
    weighted.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, retries)| retries)
}

/// The room, where `gain` says by how much longer each operation takes when what is slowed takes one longer.
fn room(traffic: &Traffic<'_>, gain: &[f64]) -> Room {
    let mut room = Room { patience_us: f64::INFINITY, capacity_us: f64::INFINITY };
    for site in traffic.sites.iter().filter(|site| gain[site.to] > 0.01) {
        if let Some(timeout_us) = site.timeout_us {
            let usual_us = traffic.response_us[site.to] + traffic.round_trip_us(site.link);
            room.patience_us = room.patience_us.min((timeout_us - usual_us).max(0.0) / gain[site.to]);
        }
    }
    for (service, has) in traffic.system.services.iter().enumerate() {
        let work = |figure: &[f64]| -> f64 {
            traffic.operations_of(service).map(|operation| traffic.rate_per_s[operation] * figure[operation]).sum()
        };
        let (busy, busier) = (work(&traffic.response_us), work(gain));
        if busier > 0.0 {
            let workers = f64::from(has.instances) * f64::from(has.workers);
            room.capacity_us = room.capacity_us.min((workers * 1e6 - busy).max(0.0) / busier);
        }
    }
    for (link, has) in traffic.system.links.iter().enumerate() {
        let Some(pool) = has.pool else { continue };
        let sites = traffic.sites.iter().filter(|site| site.link == link && site.need < Need::Message);
        let busier: f64 = sites.map(|site| traffic.rate_per_s[site.from] * site.weight * gain[site.to]).sum();
        if busier > 0.0 {
            let instances = f64::from(traffic.system.services[has.caller].instances);
            let free = (f64::from(pool) - traffic.in_flight(link)).max(0.0);
            room.capacity_us = room.capacity_us.min(free * instances * 1e6 / busier);
        }
    }
    room
}
