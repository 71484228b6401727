//! A workload that fills the machine of others, in sentences: what it uses, who runs beside it, who suffers.

use std::collections::BTreeSet;

use super::evidence::points;
use super::{Victim, numbers};
use crate::detect::{Change, Finding};
use crate::rank::evidence::machine::Contention;
use crate::rank::hypocenter::OwnParts;
use crate::rank::{Evidence, Modality};
use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject, Unit};

/// Names in one sentence; the report has a list of victims besides.
const NAMES: usize = 6;

/// What a piece of evidence against such a workload says; `None` where it says no more than about any service.
pub(super) fn sentence(
    findings: &[Finding],
    parts: &[OwnParts],
    contention: &Contention,
    evidence: &Evidence,
) -> Option<String> {
    let Contention { workload, machine, .. } = contention;
    match (evidence.modality, evidence.finding) {
        (Modality::Resources, Some(_)) => {
            let (used, filled) = (findings.get(contention.used)?, findings.get(contention.filled)?);
            let resource = super::evidence::signal_phrase(used.signal, &used.name);
            let (before, during) = from_to(used);
            let (before_whole, during_whole) = from_to(filled);
            Some(format!(
                "{resource} of {workload} on machine {machine} went from {before} to {during}, and what is used of the \
                 machine in all from {before_whole} to {during_whole}"
            ))
        }
        (Modality::Behaviour, None) => {
            let (slowed, known) = (contention.slowed.len(), contention.known_here);
            let (elsewhere, known_elsewhere) = contention.elsewhere;
            let names = names(&contention.slowed);
            Some(format!(
                "{slowed} of the {known} services on machine {machine}, where {workload} works, became slow by themselves \
                 ({names}); of the {known_elsewhere} that do not run there {elsewhere} did"
            ))
        }
        (Modality::Attribution, None) => attribution(parts, contention),
        _ => None,
    }
}

fn from_to(finding: &Finding) -> (String, String) {
    (numbers::value(finding.baseline, finding.unit), numbers::value(finding.incident, finding.unit))
}

fn names(services: &BTreeSet<ServiceId>) -> String {
    let mut names: Vec<&str> = services.iter().take(NAMES).map(ServiceId::as_str).collect();
    if services.len() > NAMES {
        names.push("…");
    }
    names.join(", ")
}

/// How much of the symptom begins at the services beside the workload, for the symptom of which that is most.
fn attribution(parts: &[OwnParts], contention: &Contention) -> Option<String> {
    let own = |part: &OwnParts| -> f64 {
        contention.beside.iter().filter_map(|service| part.parts.get(service)).filter(|own| **own > 0.0).sum()
    };
    let share = |part: &OwnParts| if part.rise > 0.0 { own(part) / part.rise } else { 0.0 };
    let part = parts.iter().reduce(|best, next| if share(next) > share(best) { next } else { best })?;
    let (what, own, rise) = match part.change.symptom {
        Symptom::Latency => ("mean latency", numbers::seconds(own(part)), numbers::seconds(part.rise)),
        Symptom::Errors => ("error ratio", points(own(part)), points(part.rise)),
    };
    let (entry, machine, workload) = (&part.change.entry, &contention.machine, &contention.workload);
    Some(format!(
        "the {what} of {entry} rose by {rise}, and {own} of that begins at services on machine {machine}, which {workload} \
         fills"
    ))
}

/// Those beside the workload that became slow by themselves.
pub(super) fn victims(findings: &[Finding], contention: &Contention) -> Vec<Victim> {
    let Contention { workload, machine, .. } = contention;
    let slowest = |service: &ServiceId| {
        let own = |f: &&Finding| {
            let time = matches!(f.signal, Signal::SelfTime | Signal::Latency) && f.unit == Unit::Seconds;
            time && f.significant && f.change == Change::Rise && f.subject == Subject::Service(service.clone())
        };
        findings.iter().filter(own).reduce(|most, next| {
            let order = (next.signal == Signal::SelfTime)
                .cmp(&(most.signal == Signal::SelfTime))
                .then_with(|| next.bits.total_cmp(&most.bits));
            if order.is_gt() { next } else { most }
        })
    };
    let text = |service: &ServiceId| match slowest(service) {
        Some(finding) => {
            let (before, during) = from_to(finding);
            let time = super::evidence::signal_phrase(finding.signal, &finding.name);
            format!("{time} rose from {before} to {during}: it runs on machine {machine}, which {workload} fills")
        }
        None => format!("it became slow: it runs on machine {machine}, which {workload} fills"),
    };
    let victim =
        |service: &ServiceId| Victim { service: service.clone(), because_of: workload.clone(), text: text(service) };
    contention.slowed.iter().map(victim).collect()
}
