//! A finding for the tests of the ranking methods.

use crate::detect::{Change, Finding, Onset};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Signal, Subject, Unit};
use crate::telemetry::time::NANOS_PER_SECOND;

/// A significant rise of a service's latency by `z` scales, with its onset in seconds.
pub(super) fn finding(service: &str, z: f64, onset_s: Option<i64>) -> Finding {
    Finding {
        subject: Subject::Service(ServiceId::new(service)),
        signal: Signal::Latency,
        name: "mean duration".to_owned(),
        change: Change::Rise,
        baseline: 1.0,
        incident: 2.0,
        unit: Unit::Seconds,
        z,
        bits: (1.0 + z).log2(),
        p_value: 1e-6,
        q_value: 1e-5,
        significant: true,
        onset: onset_s.map(|s| Onset { at_ns: s * NANOS_PER_SECOND, uncertainty_ns: 0 }),
        n_baseline: 10,
        n_incident: 10,
    }
}
