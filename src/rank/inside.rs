//! What callees cannot explain away: resources, own time, errors that begin here, calls in vain.

use std::collections::BTreeMap;

use crate::detect::{Change, Finding};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject};

/// Bits and the finding behind them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Own {
    /// Bits, 0 to the cap.
    pub(crate) bits: f64,
    /// Index of the strongest finding.
    pub(crate) finding: usize,
}

/// Keeps the strongest finding of each service.
pub(crate) fn strongest(own: &mut BTreeMap<ServiceId, Own>, service: &ServiceId, bits: f64, finding: usize) {
    let entry = own.entry(service.clone()).or_insert(Own { bits, finding });
    if bits > entry.bits {
        *entry = Own { bits, finding };
    }
}

/// Resources that rose in a service by more than its traffic explains: the strongest of processor, memory, disk, ….
pub(crate) fn resources(findings: &[Finding], cap: f64) -> BTreeMap<ServiceId, Own> {
    let traffic: BTreeMap<&ServiceId, f64> = findings
        .iter()
        .filter(|f| f.signal == Signal::Requests && f.baseline > 0.0)
        .filter_map(|f| match &f.subject {
            Subject::Service(service) => Some((service, f.incident / f.baseline)),
            _ => None,
        })
        .collect();
    let mut own = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        // Only a rise counts: a deployment makes the old instances' series vanish and the new ones' appear.
        // Restarts are counted where there were none before: that they appear says so.
        let rose = finding.change == Change::Rise
            || (finding.signal == Signal::Restarts && finding.change == Change::Appeared);
        if !finding.signal.is_internal() || !finding.significant || !rose {
            continue;
        }
        if !matches!(finding.subject, Subject::Service(_) | Subject::Instance { .. }) {
            continue;
        }
        let service = finding.subject.service();
        let unexplained = unexplained_by_traffic(finding, traffic.get(service).copied().unwrap_or(1.0));
        strongest(&mut own, service, (finding.bits * unexplained).min(cap), index);
    }
    own
}

/// Share of a resource's rise that is left when it is assumed to grow in proportion to requests, 0 to 1.
pub(crate) fn unexplained_by_traffic(finding: &Finding, traffic_ratio: f64) -> f64 {
    if traffic_ratio <= 1.0 || finding.baseline <= 0.0 || finding.incident <= finding.baseline {
        return 1.0;
    }
    let ratio = finding.incident / finding.baseline;
    ((ratio / traffic_ratio - 1.0) / (ratio - 1.0)).clamp(0.0, 1.0)
}

/// Own time and errors that begin in a service, from spans: these cannot be inherited from callees.
///
/// `inherited` is the share of such a finding that is the doing of others all the same, 0 to 1.
pub(crate) fn behaviour(
    findings: &[Finding],
    inherited: impl Fn(&ServiceId, Signal) -> f64,
    cap: f64,
) -> BTreeMap<ServiceId, Own> {
    let mut own = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        let begins_here = matches!(finding.signal, Signal::SelfTime | Signal::OriginErrorRatio);
        let whose = matches!(finding.subject, Subject::Service(_) | Subject::Operation { .. });
        if begins_here && whose && finding.significant && finding.change == Change::Rise {
            let service = finding.subject.service();
            let left = 1.0 - inherited(service, finding.signal);
            if left > 0.0 {
                strongest(&mut own, service, finding.bits.min(cap) * left, index);
            }
        }
    }
    own
}

/// Failures and timeouts of a caller's calls that are its own doing, by edge; the strongest edge of each caller.
pub(crate) fn vain_calls(
    findings: &[Finding],
    share: impl Fn(&ServiceId, &ServiceId, Signal) -> f64,
    cap: f64,
) -> BTreeMap<ServiceId, Own> {
    let mut own = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        let Subject::Edge { caller, callee } = &finding.subject else { continue };
        if finding.significant && finding.change == Change::Rise {
            let bits = finding.bits.min(cap) * share(caller, callee, finding.signal);
            if bits > 0.0 {
                strongest(&mut own, caller, bits, index);
            }
        }
    }
    own
}

/// The name under which detection reports how often a caller calls a callee per request that it handles itself.
pub(crate) const CALLS_PER_REQUEST: &str = "calls per caller request";

/// Latency and errors as seen from outside, for systems without spans and without accounting: what the anomalous
/// callees show as well is taken off, for it is inherited.
pub(crate) fn outside(
    findings: &[Finding],
    callees: impl Fn(&ServiceId) -> Vec<ServiceId>,
    cap: f64,
) -> BTreeMap<ServiceId, Own> {
    let mut seen = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        let outside = matches!(finding.signal, Signal::Latency | Signal::ErrorRatio);
        let whose = matches!(finding.subject, Subject::Service(_) | Subject::Instance { .. });
        if outside && whose && finding.significant && finding.change != Change::Fall {
            strongest(&mut seen, finding.subject.service(), finding.bits.min(cap), index);
        }
    }
    seen.iter()
        .map(|(service, own)| {
            let inherited = callees(service)
                .iter()
                .filter(|callee| *callee != service)
                .filter_map(|callee| seen.get(callee))
                .map(|o| o.bits)
                .fold(0.0, f64::max);
            (service.clone(), Own { bits: (own.bits - inherited).max(0.0), finding: own.finding })
        })
        .collect()
}

/// The strongest rise of each service's own signals, significant or not. Where calls are known, signals that callers
/// inherit are left out.
pub(super) fn hints(findings: &[Finding], calls_known: bool, cap: f64) -> BTreeMap<ServiceId, Own> {
    let mut hints = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate().filter(|(_, finding)| finding.change == Change::Rise) {
        let inherited = matches!(finding.signal, Signal::Latency | Signal::ErrorRatio);
        let own = finding.signal.is_internal()
            || matches!(finding.signal, Signal::SelfTime | Signal::OriginErrorRatio | Signal::NetworkGap);
        if own || (inherited && !calls_known) {
            strongest(&mut hints, finding.subject.service(), finding.bits.min(cap), index);
        }
    }
    hints.retain(|_, hint| hint.bits > 0.0);
    hints
}
