//! Systems drawn at random, of any size and shape.
//!
//! Services stand in layers and call downwards, so that requests end; callbacks and messages go the other way through
//! operations that ask for nothing more. Everything is drawn into a draft first; the system is then written from the draft,
//! again with rarer calls if requests would touch too much.

use super::System;
use super::flow::Flow;
use crate::simulate::random::Random;
use draft::Draft;

mod draft;
mod written;

/// A request of the mix leaves no more spans than this on average, as long as rarer calls help.
const MOST_SPANS: f64 = 22.0;
/// Probabilities of a call that are tried, in this order.
const CHANCES: [f64; 10] = [1.0, 0.85, 0.7, 0.55, 0.45, 0.35, 0.25, 0.15, 0.08, 0.03];
/// Most services that can be asked for.
pub const MOST_SERVICES: usize = 5_000;

/// What a generated system is like.
#[derive(Clone, PartialEq, Debug)]
pub struct Blueprint {
    /// Services without databases, caches, brokers and hosts outside; 1 to [`MOST_SERVICES`].
    pub services: usize,
    /// Services on the longest way of calls; at least 1, at most the number of services.
    pub depth: usize,
    /// How much wider each layer is than the one above; 1: as wide.
    pub fan_out: f64,
    /// Share of operations that a second caller asks, 0 to 1: shared dependencies.
    pub shared: f64,
    /// Share of services that call their caller back, 0 to 1.
    pub callbacks: f64,
    /// Databases per service.
    pub databases: f64,
    /// Share of services with a database that ask a cache first, 0 to 1.
    pub caches: f64,
    /// Share of services that only consume messages, 0 to 1.
    pub asynchronous: f64,
    /// Share of operations of the lowest layers that ask a host outside, 0 to 1.
    pub outside: f64,
}

impl Blueprint {
    /// A usual one: as deep as systems of that size are.
    pub fn of_size(services: usize) -> Self {
        let services = services.clamp(1, MOST_SERVICES);
        let depth = match services {
            0..=4 => 2,
            5..=11 => 3,
            12..=29 => 4,
            30..=99 => 5,
            _ => 7,
        };
        Self {
            services,
            depth,
            fan_out: 1.6,
            shared: 0.25,
            callbacks: 0.06,
            databases: 0.3,
            caches: 0.4,
            asynchronous: 0.15,
            outside: 0.1,
        }
    }

    /// A random one of 8 to 60 services.
    pub fn random(seed: u64) -> Self {
        let mut random = Random::of_part(seed, "blueprint");
        let usual = Self::of_size(8 + random.below(53));
        Self {
            depth: (usual.depth + random.below(4)).saturating_sub(1).max(3),
            fan_out: random.between(1.0, 2.4),
            shared: random.between(0.05, 0.5),
            callbacks: if random.chance(0.5) { random.between(0.0, 0.15) } else { 0.0 },
            databases: random.between(0.15, 0.6),
            caches: random.between(0.0, 0.8),
            asynchronous: if random.chance(0.7) { random.between(0.05, 0.3) } else { 0.0 },
            outside: random.between(0.0, 0.25),
            ..usual
        }
    }
}

/// Draws a system.
pub fn generated(blueprint: &Blueprint, seed: u64) -> System {
    let draft = Draft::draw(blueprint, &mut Random::of_part(seed, "generated"));
    let mut system = written::written(&draft, CHANCES[0]);
    for chance in &CHANCES[1..] {
        if Flow::of(&system).spans_per_request(&system) <= MOST_SPANS {
            break;
        }
        system = written::written(&draft, *chance);
    }
    system
}
