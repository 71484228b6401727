//! How much less sure each gap makes the ranking.
//!
//! Only gaps that blur *where* something began are charged. Silent nodes, gaps in series, sampling and clocks are told
//! but not charged: what they take away is missing from the evidence itself, and charging it again would count it twice.

use crate::incident::Incident;
use crate::telemetry::calls::{CallRow, SpanCoverage};

use super::{Deduction, Shortfall};

/// Confidence lost when every span is an orphan: half, for then only services of one's own are compared.
const ORPHAN_COST: f64 = 0.5;
/// Confidence lost when every call is seen from its caller only: a quarter, for callees cannot be cleared.
const UNPAIRED_COST: f64 = 0.25;
/// Requests at which the confidence is half of what it would be with many: few requests are chance.
const HALF_CONFIDENCE_REQUESTS: f64 = 3.0;

/// Confidence that remains where a file could not be read to its end: half, for nobody knows what it held, and a service
/// whose spans are missing looks as if it had stopped.
const CUT_REMAINS: f64 = 0.5;

/// Requests of one window.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    /// Requests; of sampled traffic the estimate of all.
    pub(super) calls: u64,
    weight_squares: u64,
}

impl Sum {
    fn add(&mut self, row: &CallRow) {
        self.calls = self.calls.saturating_add(row.calls);
        self.weight_squares = self.weight_squares.saturating_add(row.weight_squares);
    }

    /// How many requests would tell as much had each been kept (Kish, Survey Sampling, 1965): `(Σw)² / Σw²`, which
    /// without weights is their number. Weights make an estimate of all of few that were seen; they make no evidence.
    fn in_effect(self) -> f64 {
        let calls = self.calls as f64;
        if self.weight_squares == 0 { calls } else { calls * (calls / self.weight_squares as f64) }
    }
}

/// Requests from outside, by window.
#[derive(Clone, Copy, Default)]
pub(super) struct Requests {
    pub(super) baseline: Sum,
    pub(super) incident: Sum,
}

impl Requests {
    pub(super) fn count(incident: &Incident) -> Self {
        let mut requests = Self::default();
        for row in incident.calls.rows.iter().filter(|r| incident.calls.is_request(r)) {
            let start_ns = incident.calls.grid.bin_start_ns(row.key.bin);
            if incident.window.contains(start_ns) {
                requests.incident.add(row);
            } else if incident.baselines.iter().any(|w| w.contains(start_ns)) {
                requests.baseline.add(row);
            }
        }
        requests
    }
}

/// The deductions, the dearest first, and what they leave of the confidence.
pub(super) fn deductions(spans: &SpanCoverage, requests: &Requests, cut_files: usize) -> (Vec<Deduction>, f64) {
    let cut = Deduction { shortfall: Shortfall::CutFiles, factor: CUT_REMAINS };
    if spans.spans == 0 {
        return if cut_files > 0 { (vec![cut], CUT_REMAINS) } else { (Vec::new(), 1.0) };
    }
    // More oddities than spans cannot be, but a share above one would turn a cost into a gain of sign.
    let share = |part: u64| (part as f64 / spans.spans as f64).min(1.0);
    let fewest = requests.baseline.in_effect().min(requests.incident.in_effect());
    let mut deductions = vec![
        Deduction { shortfall: Shortfall::LostParents, factor: 1.0 - ORPHAN_COST * share(spans.orphans) },
        Deduction {
            shortfall: Shortfall::UnpairedClients,
            factor: 1.0 - UNPAIRED_COST * share(spans.unpaired_clients),
        },
        Deduction { shortfall: Shortfall::FewRequests, factor: fewest / (fewest + HALF_CONFIDENCE_REQUESTS) },
    ];
    if cut_files > 0 {
        deductions.push(cut);
    }
    let product = deductions.iter().map(|d| d.factor).product::<f64>().clamp(0.0, 1.0);
    deductions.retain(|d| d.factor < 1.0);
    deductions.sort_by(|a, b| a.factor.total_cmp(&b.factor).then(a.shortfall.cmp(&b.shortfall)));
    (deductions, product)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unweighted(baseline: u64, incident: u64) -> Requests {
        let sum = |calls| Sum { calls, weight_squares: calls };
        Requests { baseline: sum(baseline), incident: sum(incident) }
    }

    fn spans(spans: u64, orphans: u64, unpaired_clients: u64) -> SpanCoverage {
        SpanCoverage { spans, orphans, unpaired_clients, ..SpanCoverage::default() }
    }

    #[test]
    fn the_parts_and_their_product() {
        // By hand: 1 - 0.5 · 0.2 = 0.9; 1 - 0.25 · 0.4 = 0.9; 9 / (9 + 3) = 0.75.
        let (parts, factor) = deductions(&spans(100, 20, 40), &unweighted(50, 9), 0);
        let told: Vec<_> = parts.iter().map(|d| (d.shortfall, (d.factor * 1000.0).round())).collect();
        assert_eq!(
            told,
            [(Shortfall::FewRequests, 750.0), (Shortfall::LostParents, 900.0), (Shortfall::UnpairedClients, 900.0)]
        );
        assert!((factor - 0.9 * 0.9 * 0.75).abs() < 1e-12);
        assert_eq!(deductions(&SpanCoverage::default(), &unweighted(0, 0), 0), (vec![], 1.0));
        let (parts, factor) = deductions(&spans(100, 20, 0), &unweighted(3_000, 3_000), 7);
        assert_eq!((parts[0].shortfall, parts.len()), (Shortfall::CutFiles, 3));
        assert!((factor - 0.5 * 0.9 * 3_000.0 / 3_003.0).abs() < 1e-12);
        assert!((deductions(&SpanCoverage::default(), &unweighted(0, 0), 1).1 - 0.5).abs() < 1e-12, "metrics, too");
        assert!(deductions(&spans(5, 0, 0), &unweighted(5, 0), 0).1.abs() < 1e-12, "nothing to compare with");
    }

    #[test]
    fn weights_make_no_evidence() {
        // Ten requests that stand for a thousand tell as much as ten; unequal weights tell less.
        let weighted = |weight_squares| Sum { calls: 1_000, weight_squares };
        assert!((weighted(10 * 100 * 100).in_effect() - 10.0).abs() < 1e-9);
        assert!(weighted(910 * 910 + 9 * 10 * 10).in_effect() < 2.0);
    }

    proptest! {
        #[test]
        fn worse_telemetry_never_raises_the_factor(
            all in 0..2_000_u64, orphans in 0..2_500_u64, unpaired in 0..2_500_u64, baseline in 0..500_u64,
            incident in 0..500_u64, worse in 0..4_usize, by in 1..300_u64,
        ) {
            let requests = unweighted(baseline, incident);
            let (parts, factor) = deductions(&spans(all, orphans, unpaired), &requests, 0);
            prop_assert!((0.0..=1.0).contains(&factor));
            prop_assert!(parts.iter().all(|d| (0.0..1.0).contains(&d.factor)));
            let product: f64 = parts.iter().map(|d| d.factor).product();
            prop_assert!((product - factor).abs() < 1e-12);
            let (_, lower) = match worse {
                0 => deductions(&spans(all, orphans + by, unpaired), &requests, 0),
                1 => deductions(&spans(all, orphans, unpaired + by), &requests, 0),
                2 => deductions(&spans(all, orphans, unpaired), &unweighted(baseline.saturating_sub(by), incident), 0),
                _ => deductions(&spans(all, orphans, unpaired), &unweighted(baseline, incident.saturating_sub(by)), 0),
            };
            prop_assert!(lower <= factor + 1e-12, "{lower} > {factor}");
        }
    }
}
