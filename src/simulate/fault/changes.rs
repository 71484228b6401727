//! Faults that someone brought in: a version, a setting, a policy. The change is recorded.

use super::Severity;
use super::scene::{Made, SECOND_NS, Scene, Way};
use super::traffic::Need;
use crate::simulate::plan::{Deploy, Knob, Target, Which};

/// Deviation of the logarithm of a callee's response times, where all that is known is the mean: the middle of what is
/// usual of services.
const RESPONSE_SIGMA: f64 = 0.5;

/// Share of the time in which the callee of a retry storm fails.
pub(super) const HICCUPS: [(f64, f64); 4] = [(0.01, 0.03), (0.08, 0.15), (0.3, 0.6), (1.0, 1.0)];

pub(super) fn bad_deploy(scene: &mut Scene<'_>) -> Option<Made> {
    let traffic = scene.traffic;
    let several = |service: usize| traffic.is_code(service) && traffic.system.services[service].instances > 1;
    let place = scene.place(Need::Required, &[&several, &|service| traffic.is_code(service)])?;
    let has = &traffic.system.services[place.service];
    let pods = match scene.severity {
        Severity::Subtle | Severity::Middle => 1,
        Severity::Severe => has.instances.div_ceil(2),
        Severity::Total => has.instances,
    };
    let share = f64::from(pods) / f64::from(has.instances);
    let version = next_version(&has.version);
    let (knob, told) = if scene.random.chance(0.5) {
        let fails = (scene.failing_visits(&place, true) / share).min(1.0);
        (Knob::Fail(fails), format!("fails {:.1} % of its requests", 100.0 * fails))
    } else {
        let added_us = scene.slow().added_us(&place);
        (Knob::Pause(added_us), format!("takes {:.1} ms longer", added_us / 1e3))
    };
    let target = Target::Instances(place.service, Which::Version(version.clone()));
    // Pods of the new version come up one after the other; the effect is on none before the first.
    let step_ns = if pods > 1 { scene.ramp_ns.max(20 * SECOND_NS * i64::from(pods)) / i64::from(pods) } else { 0 };
    Some(Made {
        causes: vec![place.service],
        description: format!("version {version} of {} on {pods} of {} pods {told}", has.name, has.instances),
        effects: vec![scene.effect(target, knob)],
        deploys: vec![Deploy {
            at_ns: scene.from_ns,
            service: place.service,
            pods: (pods < has.instances).then_some(pods),
            step_ns,
            description: format!("{} {version}", has.name),
            version,
        }],
        ..Made::default()
    })
}

/// The version after this one: its last number plus one; what has no number at its end gets one.
pub(in crate::simulate) fn next_version(version: &str) -> String {
    match version.rsplit_once('.') {
        Some((head, last)) if last.parse::<u32>().is_ok_and(|last| last < u32::MAX) => {
            format!("{head}.{}", last.parse::<u32>().map_or(1, |last| last + 1))
        }
        _ => format!("{version}.1"),
    }
}

pub(super) fn bad_configuration(scene: &mut Scene<'_>) -> Option<Made> {
    let way = callers_way(scene, false)?;
    let link = scene.traffic.system.links[way.link];
    let share = scene.failing_calls(&way);
    let what = *scene.random.pick(&["password", "address format", "API key", "certificate"])?;
    let (caller, callee) = (scene.name(link.caller), scene.name(link.callee));
    Some(Made {
        causes: vec![link.caller],
        description: format!("{callee} refuses {:.1} % of the calls of {caller}: wrong {what}", 100.0 * share),
        effects: vec![scene.effect(Target::Link(way.link), Knob::Misconfigured(share))],
        changes: vec![scene.setting(link.caller, format!("new {what} for {callee} in the settings of {caller}"))],
        ..Made::default()
    })
}

pub(super) fn bad_timeout(scene: &mut Scene<'_>) -> Option<Made> {
    let way = callers_way(scene, false)?;
    let link = scene.traffic.system.links[way.link];
    let timeout_us = timeout_that_fails(scene, &way);
    let usual_us = scene.traffic.sites.iter().filter(|site| site.link == way.link);
    // Creeping: the timeout is lowered in steps, from one that nobody meets.
    let easy_us = usual_us.filter_map(|site| site.timeout_us).fold(10.0 * timeout_us, f64::max);
    let (caller, callee) = (scene.name(link.caller), scene.name(link.callee));
    let description = format!("{caller} waits only {:.1} ms for {callee}", timeout_us / 1e3);
    Some(Made {
        causes: vec![link.caller],
        effects: scene
            .stepped(&Target::Link(way.link), |grown| Knob::Timeout(easy_us * libm::pow(timeout_us / easy_us, grown))),
        changes: vec![scene.setting(link.caller, format!("timeout of {callee} is now {:.1} ms", timeout_us / 1e3))],
        description,
        ..Made::default()
    })
}

/// The time that so many calls over the link exceed as the severity wants to fail. Response times are taken as
/// log-normal around their means, and the normal distribution function by the logistic one, `1 / (1 + exp(-1.702 z))`,
/// which is off by less than 0.01 (Camilli 1994, doi:10.3102/10769986019003293).
fn timeout_that_fails(scene: &Scene<'_>, way: &Way) -> f64 {
    let traffic = scene.traffic;
    let wanted = scene.failing_calls(way).clamp(1e-4, 0.995);
    let round_trip_us = traffic.round_trip_us(way.link);
    let sites: Vec<(f64, f64)> = traffic
        .sites
        .iter()
        .filter(|site| site.need == Need::Required && site.link == way.link)
        .map(|site| (site.weight * traffic.rate_per_s[site.from], traffic.response_us[site.to] + round_trip_us))
        .collect();
    let total: f64 = sites.iter().map(|(weight, _)| weight).sum();
    let exceeding = |timeout_us: f64| -> f64 {
        let shares = sites.iter().map(|(weight, mean_us)| {
            let z = libm::log(timeout_us / mean_us) / RESPONSE_SIGMA + 0.5 * RESPONSE_SIGMA;
            weight / total / (1.0 + libm::exp(1.702 * z))
        });
        shares.sum()
    };
    let (mut low_us, mut high_us) = (1.0, sites.iter().map(|(_, mean_us)| 20.0 * mean_us).fold(10.0, f64::max));
    for _ in 0..60 {
        // The middle of the logarithms: times lie orders of magnitude apart.
        let middle_us = libm::sqrt(low_us * high_us);
        if exceeding(middle_us) > wanted { low_us = middle_us } else { high_us = middle_us }
    }
    high_us
}

pub(super) fn retry_storm(scene: &mut Scene<'_>) -> Option<Made> {
    let way = callers_way(scene, true)?;
    let link = scene.traffic.system.links[way.link];
    let retries = match scene.severity {
        Severity::Subtle => 3,
        Severity::Middle => 6,
        Severity::Severe => 10,
        Severity::Total => 20,
    };
    let callee = Target::Instances(link.callee, Which::All);
    let mut effects =
        scene.stepped(&Target::Link(way.link), |grown| Knob::Retries((grown * f64::from(retries)).ceil() as u32));
    // In a hiccup a request has to fail with all its tries.
    let fails = libm::pow(0.9, 1.0 / f64::from(1 + retries));
    effects.extend(scene.flapping(scene.size, &callee, Knob::Fail(fails)));
    let (caller, callee) = (scene.name(link.caller), scene.name(link.callee));
    Some(Made {
        causes: vec![link.caller, link.callee],
        description: format!(
            "{caller} tries calls of {callee} {retries} further times at once, and {callee} has hiccups"
        ),
        effects,
        changes: vec![scene.setting(link.caller, format!("retries of {callee} are now {retries}, without a pause"))],
        ..Made::default()
    })
}

/// A link whose caller is code, and where the callee is to be watched, the callee too.
fn callers_way(scene: &mut Scene<'_>, to_code: bool) -> Option<Way> {
    let traffic = scene.traffic;
    let ends = |link: usize| traffic.system.links[link];
    let code = |link: usize| traffic.is_code(ends(link).caller);
    let both = |link: usize| code(link) && traffic.is_code(ends(link).callee);
    if to_code { scene.way(Need::Required, &[&both]) } else { scene.way(Need::Required, &[&code]) }
}
