//! Baseline method: an order by lot, what a method without any knowledge reaches.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ranker, Ranking, scored};
use crate::detect::Finding;
use crate::incident::Incident;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::Window;

/// Orders the services by lot. The lot is drawn from a hash of the incident window and the sorted names, so the same
/// incident has the same order on every machine, while two incidents of one system have different ones.
pub struct Random;

impl Ranker for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn about(&self) -> &'static str {
        "baseline: an order by lot, the same for the same incident"
    }

    fn rank(&self, incident: &Incident, findings: &[Finding]) -> Ranking {
        scored::ranking(self.name(), incident, findings, &lots(&incident.services(), &incident.window))
    }
}

/// A number above 0 and up to 1 for each service.
fn lots(services: &BTreeSet<ServiceId>, window: &Window) -> BTreeMap<ServiceId, f64> {
    let mut seed = fnv1a(OFFSET_BASIS, &window.start_ns().to_le_bytes());
    seed = fnv1a(seed, &window.end_ns().to_le_bytes());
    for service in services {
        seed = fnv1a(seed, service.as_str().as_bytes());
        // A byte that UTF-8 never holds keeps {"ab", "c"} and {"a", "bc"} apart.
        seed = fnv1a(seed, &[0xff]);
    }
    services
        .iter()
        .map(|service| {
            let bits = mix(fnv1a(seed, service.as_str().as_bytes())) >> 11;
            (service.clone(), (bits + 1) as f64 / (1_u64 << 53) as f64)
        })
        .collect()
}

/// Offset basis of the 64-bit FNV-1a hash (Fowler, Noll, Vo; RFC 9923).
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv1a(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, <https://doi.org/10.1145/2660193.2660195>): FNV alone
/// changes few high bits when the last letter changes.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // The test vectors of RFC 9923 for 64-bit FNV-1a.
        assert_eq!(fnv1a(OFFSET_BASIS, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(OFFSET_BASIS, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(OFFSET_BASIS, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_service_comes_first_about_equally_often() {
        let services: BTreeSet<ServiceId> = ["a", "b", "c", "d"].map(ServiceId::new).into();
        let mut firsts: BTreeMap<ServiceId, u32> = BTreeMap::new();
        for start in 0..4000 {
            let drawn = lots(&services, &Window::new(start, start + 1).unwrap());
            assert!(drawn.values().all(|&lot| lot > 0.0 && lot <= 1.0));
            let first = drawn.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
            *firsts.entry(first).or_default() += 1;
        }
        // Binomial with n = 4000, p = 1/4: five standard deviations are 137.
        assert!(firsts.len() == 4 && firsts.values().all(|n| n.abs_diff(1000) < 137), "{firsts:?}");
    }
}
