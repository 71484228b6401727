//! Faults of the network between services.

use super::scene::{Made, Scene};
use super::traffic::Need;
use crate::simulate::plan::{Knob, Target};
use crate::simulate::system::{Role, ServiceIdx};

/// Share of the requests that meet the network of which a message is lost: each costs 200 ms or more.
pub(super) const LOST: [(f64, f64); 4] = [(0.02, 0.04), (0.1, 0.2), (0.4, 0.7), (0.999, 0.9999)];
/// Share of the time in which nothing comes through.
pub(super) const CUT: [(f64, f64); 4] = [(0.01, 0.03), (0.06, 0.15), (0.2, 0.6), (1.0, 1.0)];

pub(super) fn network_delay(scene: &mut Scene<'_>) -> Option<Made> {
    let place = inside(scene)?;
    // A visit is a question and an answer, and so is each call that the service makes itself.
    let messages = 2.0 * (1.0 + scene.traffic.calls_per_visit(place.service));
    let delay_us = scene.added_us(&place) / messages;
    Some(Made {
        causes: vec![place.service],
        description: format!(
            "each message to and from {} takes {:.1} ms longer",
            scene.name(place.service),
            delay_us / 1e3
        ),
        effects: vec![scene.effect(Target::Network(place.service), Knob::Delay(delay_us))],
        ..Made::default()
    })
}

pub(super) fn packet_loss(scene: &mut Scene<'_>) -> Option<Made> {
    let place = inside(scene)?;
    let messages = 2.0 * (1.0 + scene.traffic.calls_per_visit(place.service)) * place.visits.max(1.0);
    let loss = 1.0 - libm::pow(1.0 - scene.size, 1.0 / messages);
    Some(Made {
        causes: vec![place.service],
        description: format!(
            "{:.1} % of the messages to and from {} are lost and sent again",
            100.0 * loss,
            scene.name(place.service)
        ),
        effects: vec![scene.effect(Target::Network(place.service), Knob::Loss(loss))],
        ..Made::default()
    })
}

/// A place whose network is ours.
fn inside(scene: &mut Scene<'_>) -> Option<super::scene::Place> {
    let traffic = scene.traffic;
    let ours = |service: ServiceIdx| traffic.system.services[service].role != Role::External;
    // An entry's callers are outside: what it is asked over is no link, so that only others feel their network whole.
    let asked = |service: ServiceIdx| ours(service) && traffic.system.links.iter().any(|link| link.callee == service);
    scene.place(Need::Required, &[&asked, &ours])
}

pub(super) fn partition(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let ours = |link: usize| {
        let ends = traffic.system.links[link];
        traffic.system.services[ends.callee].role != Role::External
    };
    let way = scene.way(Need::Required, &[&ours])?;
    let ends = traffic.system.links[way.link];
    let target = Target::Link(way.link);
    Some(Made {
        causes: vec![ends.caller, ends.callee],
        description: format!(
            "nothing comes through from {} to {} for {:.0} % of the time",
            scene.name(ends.caller),
            scene.name(ends.callee),
            100.0 * scene.size
        ),
        effects: scene.flapping(scene.size, &target, Knob::Cut),
        ..Made::default()
    })
}

pub(super) fn dns_failure(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let asks = |service: ServiceIdx| {
        traffic.is_code(service)
            && traffic
                .sites
                .iter()
                .any(|site| site.need == Need::Required && traffic.system.operations[site.from].service == service)
    };
    let place = scene.place(Need::Required, &[&asks])?;
    let calls = traffic.mean_over(place.service, |operation| {
        let sites = traffic.sites.iter().filter(|site| site.from == operation && site.need == Need::Required);
        sites.map(|site| site.weight).sum()
    });
    let from = |operation: usize| traffic.system.operations[operation].service == place.service;
    let sites = traffic.sites.iter().filter(|site| site.need == Need::Required && from(site.from));
    let retries = sites.map(|site| site.retries).max().unwrap_or(0);
    let share = scene.failing(place.visits * calls, retries);
    Some(Made {
        causes: vec![place.service],
        description: format!(
            "the resolver of {} does not find {:.1} % of the names it is asked for",
            scene.name(place.service),
            100.0 * share
        ),
        effects: vec![scene.effect(Target::CallsFrom(place.service), Knob::NoName(share))],
        ..Made::default()
    })
}
