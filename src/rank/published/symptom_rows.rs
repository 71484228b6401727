//! The symptom's measure of a node sample by sample: whether any sample of the incident lies off the baseline.

use crate::rank::node_series::SymptomSeries;
use crate::stats::robust;
use crate::telemetry::id::ServiceId;

/// The threshold of the PetShop paper's baselines, in median absolute deviations.
const ANOMALOUS_MAD: f64 = 5.0;

/// Whether any incident sample is more than five MAD off the baseline's median; any deviation where the MAD is 0.
pub(super) fn is_anomalous(symptom: &SymptomSeries, node: &ServiceId) -> bool {
    let (before, during) = symptom.nodes.split(node);
    let (Some(median), Some(mad)) = (robust::median(&before), robust::mad(&before)) else { return false };
    during.iter().any(|value| (value - median).abs() > ANOMALOUS_MAD * mad)
}

/// A symptom whose incident begins at sample `incident_from`; the first series is the entry's.
#[cfg(test)]
pub(super) fn test_symptom(incident_from: usize, series: &[(&str, &[f64])]) -> SymptomSeries {
    use crate::rank::node_series::NodeSeries;
    use crate::telemetry::alert::Symptom;

    let n = series[0].1.len();
    let nodes = NodeSeries {
        times_ns: (0..n as i64).collect(),
        in_incident: (0..n).map(|at| at >= incident_from).collect(),
        values: series.iter().map(|&(id, v)| (id.into(), v.iter().copied().map(Some).collect())).collect(),
    };
    SymptomSeries { entry: series[0].0.into(), symptom: Symptom::Latency, nodes }
}
